//! Drafts to be reviewed: versions that never act until somebody has read and promoted them, those of a model first.
//!
//! Deliberately not here: making drafts.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::client::query;
use super::frame::{Place, Refused};
use super::parts::{badge_of, items, nothing, plain, said, when};
use super::visit::Visit;
use crate::cli::client::segment;
use crate::cli::text::{digest, field};

/// Drafts shown; who has more looks at the runbooks.
const DRAFTS_MAX: usize = 50;

/// `GET /drafts`
pub(super) async fn list(visit: Visit) -> Result<Response, Refused> {
    let runbooks = visit.get("/v1/runbooks", &[]).await?;
    let mut drafts: Vec<(Value, Value)> = Vec::new();
    for runbook in items(&runbooks, "runbooks").iter().filter(|runbook| runbook["drafts"] != 0) {
        let path = format!("/v1/runbooks/{}/versions", segment(&field(runbook, "name")));
        let versions = visit.get(&path, &[]).await?;
        let waiting = items(&versions, "versions").iter().filter(|version| version["stage"] == "draft");
        drafts.extend(waiting.map(|version| (runbook.clone(), version.clone())));
    }
    drafts.sort_by_key(|(_, version)| (version["origin"] != "llm", std::cmp::Reverse(field(version, "at"))));
    let body = html! {
        h1 { "Drafts in review" }
        p class="lead" { "A draft is planned and simulated, and nothing else. Open one to read what it can do and every line of it, try it, and let it watch in shadow." }
        @if drafts.is_empty() { (nothing("No draft waits for a review.")) }
        @for (runbook, version) in drafts.iter().take(DRAFTS_MAX) { (card(&visit, runbook, version)) }
    };
    visit.page(Place::Drafts, "Drafts", &body).await
}

fn card(visit: &Visit, runbook: &Value, version: &Value) -> Markup {
    let (name, own) = (field(runbook, "name"), field(version, "digest"));
    let by_model = version["origin"] == "llm";
    let review = query(&format!("/runbooks/{}/review", segment(&name)), &[("digest", &own)]);
    html! {
        article class="card" {
            h3 {
                a href=(review) { (plain(&name)) " " (said(version, "version")) } " " code { (digest(&own)) } " "
                @if by_model { (badge_of("written by a model", "warn")) } @else { (badge_of("draft", "calm")) }
            }
            p { (said(runbook, "summary")) }
            p class="quiet" { "by " (said(version, "by")) " " (when(&version["at"], visit.now)) @if version["reason"].is_string() { " · " (said(version, "reason")) } }
        }
    }
}
