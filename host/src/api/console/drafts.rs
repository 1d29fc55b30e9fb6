//! Drafts to be reviewed: versions that never act until somebody has read and promoted them, those of a model first.
//!
//! Deliberately not here: making drafts.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::client::query;
use super::frame::{Place, Refused};
use super::parts::{badge_of, items, link, nothing, plain, reason, said, when};
use super::visit::Visit;
use crate::cli::client::segment;
use crate::cli::text::{digest, field};

/// Drafts shown; who has more looks at the runbooks.
const DRAFTS_MAX: usize = 50;

/// `GET /drafts`
pub(super) async fn list(visit: Visit) -> Result<Response, Refused> {
    let runbooks = visit.get("/v1/runbooks", &[]).await?;
    let mut drafts: Vec<(Value, Value)> = Vec::new();
    for runbook in items(&runbooks, "runbooks") {
        let path = format!("/v1/runbooks/{}/versions", segment(&field(runbook, "name")));
        let versions = visit.get(&path, &[]).await?;
        let waiting = items(&versions, "versions").iter().filter(|version| version["stage"] == "draft");
        drafts.extend(waiting.map(|version| (runbook.clone(), version.clone())));
    }
    drafts.sort_by_key(|(_, version)| (version["origin"] != "llm", std::cmp::Reverse(field(version, "at"))));
    let body = html! {
        h1 { "Drafts in review" }
        p class="lead" { "A draft is planned and simulated, and nothing else. Read what it does, try it, then let it watch in shadow." }
        @if drafts.is_empty() { (nothing("No draft waits for a review.")) }
        @for (index, (runbook, version)) in drafts.iter().take(DRAFTS_MAX).enumerate() { (card(&visit, runbook, version, index)) }
    };
    visit.page(Place::Drafts, "Drafts", &body).await
}

fn card(visit: &Visit, runbook: &Value, version: &Value, index: usize) -> Markup {
    let (name, own) = (field(runbook, "name"), field(version, "digest"));
    let by_model = version["origin"] == "llm";
    let files = query(&format!("/runbooks/{}/diff", segment(&name)), &[("to", &own)]);
    html! {
        article class="card" {
            h3 {
                (link("/runbooks", &name, &name)) " " (said(version, "version")) " " code { (digest(&own)) } " "
                @if by_model { (badge_of("written by a model", "warn")) } @else { (badge_of("draft", "calm")) }
            }
            p { (said(runbook, "summary")) }
            p class="quiet" { "by " (said(version, "by")) " " (when(&version["at"], visit.now)) @if version["reason"].is_string() { " · " (said(version, "reason")) } }
            p { "It may ask for " @for effect in items(runbook, "requests").iter().filter_map(Value::as_str) { code { (plain(effect)) } " " } }
            p { a href=(files) { "Read its files" span class="hidden" { " of " (plain(&name)) } } }
            div class="columns" {
                @if visit.may("POST", "/v1/runbooks/{name}/plan") {
                    (visit.form(&format!("/runbooks/{}/plan", segment(&name)), "stack", &html! {
                        input type="hidden" name="digest" value=(own);
                        label for={ "target-" (index) } { "Plan it on" }
                        input id={ "target-" (index) } name="target" placeholder="name or host/name" autocomplete="off";
                        div class="choices" { button { "Make a plan" } }
                    }))
                }
                @if visit.may("PUT", "/v1/runbooks/{name}/stage") {
                    (visit.form(&format!("/runbooks/{}/stage", segment(&name)), "stack", &html! {
                        input type="hidden" name="digest" value=(own);
                        input type="hidden" name="stage" value="shadow";
                        (reason(&format!("why-{index}"), "What you reviewed (stands in the audit)", true))
                        div class="choices" { button class="go" { "Accept into shadow" } }
                    }))
                }
            }
        }
    }
}
