//! Alerts as episodes: what each matched, or why nothing did, and what came of it.
//!
//! Deliberately not here: matching. The page shows what the intake wrote down.

use std::collections::BTreeMap;

use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::client::query;
use super::frame::{Place, Refused};
use super::parts::{ROWS, badge, badge_of, facts, items, link, nothing, pages, plain, said, table, when};
use super::runs::{came_to, table_of};
use super::similar;
use super::visit::Visit;
use crate::api::extract::{Path, Query};
use crate::cli::client::segment;
use crate::cli::text::{count, field};

/// Labels on a card: what names the thing.
const LABELS_SHOWN: usize = 4;

/// Runs shown of one alert.
const RUNS: &str = "20";

/// What the list is narrowed to.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    open: bool,
    cursor: String,
}

/// `GET /alerts`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let open = if wanted.open { "true" } else { "" };
    let answer = visit.get("/v1/alerts", &[("open", open), ("limit", ROWS), ("cursor", &wanted.cursor)]).await?;
    let rows: Vec<Vec<Markup>> = items(&answer, "alerts").iter().map(|episode| row(episode, visit.now)).collect();
    let body = html! {
        h1 { "Alerts" }
        nav class="tabs" aria-label="Which alerts" {
            a href="/alerts" aria-current=[(!wanted.open).then_some("true")] { "All" }
            a href="/alerts?open=true" aria-current=[wanted.open.then_some("true")] { "Firing now" }
        }
        @if rows.is_empty() { (nothing("No alert has arrived.")) }
        @else { (table("Alerts, newest first", &["Alert", "State", "About", "What came of it", "Runs", "First heard"], &rows)) }
        (pages("/alerts", &[("open", open)], &answer, !wanted.cursor.is_empty()))
    };
    visit.page(Place::Alerts, "Alerts", &body).await
}

fn row(episode: &Value, now: Timestamp) -> Vec<Markup> {
    vec![
        link("/alerts", &field(episode, "episode"), &field(episode, "name")),
        badge(&field(episode, "state")),
        labels(episode, LABELS_SHOWN),
        html! { (came_of(episode)) },
        runs(episode),
        when(&episode["first_heard"], now),
    ]
}

/// What came of it in a sentence; where nothing matched, that.
fn came_of(episode: &Value) -> String {
    let outcome = said(episode, "outcome");
    if !outcome.is_empty() {
        return outcome;
    }
    if items(episode, "runs").is_empty() { "no runbook matched".to_owned() } else { String::new() }
}

fn runs(episode: &Value) -> Markup {
    html! {
        @for run in items(episode, "runs") {
            span class="line" {
                a href={ "/runs/" (segment(&field(run, "run"))) } { (said(run, "runbook")) } " " (came_to(run))
            }
        }
    }
}

/// The labels that name what is wrong.
fn labels(episode: &Value, most: usize) -> Markup {
    const TELLING: [&str; 7] = ["container", "name", "service", "job", "instance", "host", "severity"];
    let shown = TELLING.iter().filter(|name| episode["labels"][**name].is_string()).take(most);
    html! { @for name in shown { span class="label" { (name) "=" (said(&episode["labels"], name)) } " " } }
}

/// An episode on the overview: what fires, and what its newest run did about it.
pub(super) fn episode_card(episode: &Value, done: Option<&Value>, now: Timestamp) -> Markup {
    let summary = said(&episode["annotations"], "summary");
    html! {
        article class="card bad" {
            h3 { (link("/alerts", &field(episode, "episode"), &field(episode, "name"))) " " (badge(&field(episode, "state"))) }
            @if !summary.is_empty() { p { (summary) } }
            p class="quiet" { (labels(episode, LABELS_SHOWN)) " first heard " (when(&episode["first_heard"], now)) }
            p { (came_of(episode)) }
            @match done {
                Some(run) => p {
                    (link("/runs", &field(run, "run"), &field(run, "runbook"))) " " (came_to(run)) " " (badge(&field(run, "verification"))) " "
                    (said(run, "sentence"))
                },
                None => p { (runs(episode)) },
            }
        }
    }
}

/// Kinds of alerts in a table of many.
const KINDS_MAX: usize = 20;

/// Many episodes by the name of their alert, the most frequent first: how many fire, how many a run is about, and what came
/// of the newest.
pub(super) fn kinds(episodes: &[Value], now: Timestamp) -> Markup {
    let mut kinds: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for episode in episodes {
        kinds.entry(field(episode, "name")).or_default().push(episode);
    }
    let mut kinds: Vec<(String, Vec<&Value>)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, episodes)| std::cmp::Reverse(episodes.len()));
    let more = kinds.len().saturating_sub(KINDS_MAX);
    let rows: Vec<Vec<Markup>> = kinds.iter().take(KINDS_MAX).filter_map(|(name, all)| kind(name, all, now)).collect();
    html! {
        (table("Alerts that fire, by name", &["Alert", "Firing", "With a run", "What came of the newest", "Newest"], &rows))
        @if more > 0 { p class="quiet" { "… and " (more) " more names" } }
    }
}

fn kind(name: &str, episodes: &[&Value], now: Timestamp) -> Option<Vec<Markup>> {
    let newest = episodes.first()?;
    let with_run = episodes.iter().filter(|episode| !items(episode, "runs").is_empty()).count();
    Some(vec![
        html! { (link("/alerts", &field(newest, "episode"), name)) " " (badge("firing")) },
        html! { (episodes.len()) },
        html! { (with_run) },
        html! { (came_of(newest)) " " (runs(newest)) },
        when(&newest["first_heard"], now),
    ])
}

/// `GET /alerts/{id}`
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Refused> {
    let episode = visit.get(&format!("/v1/alerts/{}", segment(&id)), &[]).await?;
    let path = format!("/v1/alerts/{}/similar", segment(&field(&episode, "episode")));
    let done = visit.get("/v1/runs", &[("episode", &field(&episode, "episode")), ("limit", RUNS)]).await?;
    let similar = visit.get(&path, &[("limit", similar::WANTED)]).await?;
    let body = html! {
        p class="quiet" { a href="/alerts" { "Alerts" } " / " (said(&episode, "episode")) }
        h1 { (said(&episode, "name")) " " (badge(&field(&episode, "state"))) }
        @let outcome = came_of(&episode);
        @if !outcome.is_empty() { p class="lead" { (outcome) } }
        (facts(&[
            ("first heard", when(&episode["first_heard"], visit.now)),
            ("last heard", html! { (when(&episode["last_heard"], visit.now)) " in " (count(usize::try_from(episode["count"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX), "message")) }),
            ("resolved", when(&episode["resolved_at"], visit.now)),
            ("sent by", html! { (said(&episode, "source")) }),
            ("fingerprint", html! { code { (said(&episode, "fingerprint")) } }),
            ("runs", runs(&episode)),
        ]))
        @if !items(&done, "runs").is_empty() {
            section aria-labelledby="done" {
                h2 id="done" { "What was done about it" }
                (table_of(items(&done, "runs"), visit.now))
            }
        }
        @if visit.may("POST", "/v1/runbooks/{name}/plan") { p { a class="button" href=(query("/runs/new", &[("episode", &field(&episode, "episode"))])) { "Start a runbook about it by hand" } } }
        (similar::section(&similar, visit.now))
        (matched(&episode["matched"]))
        div class="columns" {
            section { h2 { "Labels" } (pairs("Labels", &episode["labels"])) }
            section { h2 { "Annotations" } (pairs("Annotations", &episode["annotations"])) }
        }
    };
    let title = format!("Alert {}", said(&episode, "name"));
    visit.page(Place::Alerts, &title, &body).await
}

/// Which runbooks were chosen and which were not, with the reason of each.
fn matched(matched: &Value) -> Markup {
    let chosen = items(matched, "chosen");
    let rows: Vec<Vec<Markup>> = items(matched, "considered")
        .iter()
        .map(|one| {
            let took = chosen.iter().any(|chosen| chosen["runbook"] == one["runbook"]);
            let word = match (took, one["matched"] == true) {
                (true, _) => badge_of("chosen", "good"),
                (false, true) => badge_of("matches, another is more specific", "calm"),
                (false, false) => badge_of("no", "calm"),
            };
            vec![link("/runbooks", &field(one, "runbook"), &field(one, "runbook")), word, html! { (said(one, "why")) }]
        })
        .collect();
    html! {
        section aria-labelledby="why" {
            h2 id="why" { "What matched, and why not the others" }
            @for one in chosen { p { (badge_of("chosen", "good")) " " (link("/runbooks", &field(one, "runbook"), &field(one, "runbook"))) ": " (said(one, "why")) } }
            @if chosen.is_empty() { p { "Nothing was chosen." } }
            @if !rows.is_empty() {
                details open[chosen.is_empty()] {
                    summary { "All that were considered (" (rows.len()) ")" }
                    (table("Runbooks considered", &["Runbook", "Verdict", "Why"], &rows))
                }
            }
        }
    }
}

fn pairs(caption: &str, map: &Value) -> Markup {
    let rows: Vec<Vec<Markup>> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| vec![html! { (plain(name)) }, html! { (plain(value.as_str().unwrap_or_default())) }])
        .collect();
    if rows.is_empty() { nothing("None.") } else { table(caption, &["Name", "Value"], &rows) }
}
