//! Targets: the hosts and containers the daemon sees, with their health.
//!
//! Deliberately not here: values of environment variables, which nobody reads.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{badge, items, nothing, plain, said, table, when};
use super::visit::Visit;
use crate::api::extract::Query;
use crate::cli::text::field;

/// Containers on a page.
const PAGE: usize = 100;

/// Which page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    from: usize,
}

/// `GET /targets`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let answer = visit.get("/v1/targets", &[]).await?;
    let drift = visit.get("/v1/drift", &[]).await?;
    let (hosts, containers): (Vec<&Value>, Vec<&Value>) =
        items(&answer, "targets").iter().partition(|target| target["kind"] == "host");
    let rows: Vec<Vec<Markup>> = containers.iter().skip(wanted.from).take(PAGE).map(|one| row(one)).collect();
    let next = wanted.from.saturating_add(PAGE);
    let body = html! {
        h1 { "Targets" }
        ul class="health" {
            @for host in &hosts { li { span { "Host " (said(host, "name")) } (badge(&field(host, "state"))) span class="quiet" { (said(host, "error")) } } }
        }
        h2 { "Containers (" (containers.len()) ")" }
        @if rows.is_empty() { (nothing("No container is seen. A simulated world has no watcher, and lists none.")) }
        @else { (table("Containers by host and name", &["Container", "State", "Health", "Image", "Compose", "Protected"], &rows)) }
        @if wanted.from > 0 || next < containers.len() {
            nav class="pages" aria-label="Pages" {
                @if wanted.from > 0 { a href="/targets" { "← First" } }
                @if next < containers.len() { a href={ "/targets?from=" (next) } { "More →" } }
            }
        }
        section aria-labelledby="drift" {
            h2 id="drift" { "Changed by runs, unknown to their compose file" }
            (drifted(&visit, items(&drift, "drift")))
        }
    };
    visit.page(Place::Targets, "Targets", &body).await
}

fn row(target: &Value) -> Vec<Markup> {
    let compose = [said(target, "project"), said(target, "service")];
    let compose: Vec<&String> = compose.iter().filter(|part| !part.is_empty()).collect();
    let health = field(target, "health");
    vec![
        html! { strong class="target" { (said(target, "host")) "/" (said(target, "name")) } },
        badge(&field(target, "state")),
        html! { @if health != "none" { (badge(&health)) } },
        html! { code { (said(target, "image")) } },
        html! { @for (index, part) in compose.iter().enumerate() { @if index > 0 { "/" } (plain(part)) } },
        html! { @if target["protected"] == true { (badge("protected")) } },
    ]
}

fn drifted(visit: &Visit, drift: &[Value]) -> Markup {
    let rows: Vec<Vec<Markup>> = drift
        .iter()
        .take(PAGE)
        .map(|one| {
            vec![
                html! { (said(one, "host")) "/" (said(one, "container")) },
                html! { (said(one, "change")) },
                super::parts::run_link(&field(one, "run")),
                when(&one["at"], visit.now),
                html! { @match one["gone"].as_bool() { Some(true) => "made anew since", Some(false) => "still so", None => "unknown" } },
            ]
        })
        .collect();
    if rows.is_empty() {
        return nothing("No run made a container differ.");
    }
    table("Drift, newest first", &["Container", "Change", "Run", "When", "Now"], &rows)
}
