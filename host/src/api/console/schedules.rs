//! Schedules: what is due when, what became of the last time, and why nothing is started where nothing is.
//!
//! Deliberately not here: following them.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{badge_of, items, link, nothing, run_link, said, table, when};
use super::visit::Visit;
use crate::cli::text::field;

/// Schedules shown.
const SHOWN_MAX: usize = 200;

/// `GET /schedules`
pub(super) async fn list(visit: Visit) -> Result<Response, Refused> {
    let answer = visit.get("/v1/schedules", &[]).await?;
    let all = items(&answer, "schedules");
    let rows: Vec<Vec<Markup>> = all.iter().take(SHOWN_MAX).map(|schedule| row(&visit, schedule)).collect();
    let body = html! {
        h1 { "Schedules" }
        @if rows.is_empty() { (nothing("No runbook has a schedule.")) }
        @else { (table("Schedules", &["Runbook", "When", "State", "Next", "Last time", "Why"], &rows)) }
    };
    visit.page(Place::Schedules, "Schedules", &body).await
}

fn row(visit: &Visit, schedule: &Value) -> Vec<Markup> {
    let state = field(schedule, "state");
    let look = if state == "on" { "good" } else { "warn" };
    let (next, last) = (&schedule["next"][0], &schedule["last"]);
    vec![
        link("/runbooks", &field(schedule, "runbook"), &field(schedule, "runbook")),
        html! { code { (said(schedule, "schedule")) } " " span class="quiet" { (said(schedule, "timezone")) } },
        badge_of(&state, look),
        html! { (when(&next["at"], visit.now)) @if next["note"].is_string() { " " span class="quiet" { (said(next, "note")) } } },
        html! {
            @if last.is_object() { (said(last, "result")) " " (when(&last["at"], visit.now)) " " (run_link(&field(last, "run"))) }
        },
        html! { (said(schedule, "why")) " " (said(last, "why")) },
    ]
}
