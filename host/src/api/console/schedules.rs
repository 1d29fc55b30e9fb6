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

/// Coming times of each.
const COMING: &str = "3";

/// `GET /schedules`
pub(super) async fn list(visit: Visit) -> Result<Response, Refused> {
    let answer = visit.get("/v1/schedules", &[("count", COMING)]).await?;
    let all = items(&answer, "schedules");
    let rows: Vec<Vec<Markup>> = all.iter().take(SHOWN_MAX).map(|schedule| row(&visit, schedule)).collect();
    let body = html! {
        h1 { "Schedules" }
        @if rows.is_empty() { (nothing("No runbook has a schedule.")) }
        @else { (table("Schedules", &["Runbook", "When", "State", "Next", "Last time", "Why"], &rows)) }
        p class="quiet" { "A schedule is part of a runbook's manifest. To hold one back, pause its runbook on the page of " a href="/brakes" { "brakes" } "." }
    };
    visit.page(Place::Schedules, "Schedules", &body).await
}

fn row(visit: &Visit, schedule: &Value) -> Vec<Markup> {
    let state = field(schedule, "state");
    let look = match state.as_str() {
        "on" => "good",
        "watching" => "calm",
        _ => "warn",
    };
    let last = &schedule["last"];
    vec![
        link("/runbooks", &field(schedule, "runbook"), &field(schedule, "runbook")),
        html! {
            code { (said(schedule, "schedule")) } " " span class="quiet" { (said(schedule, "timezone")) }
            @if schedule["target"].is_string() { span class="line" { "on " (said(schedule, "target")) } }
        },
        badge_of(&state, look),
        html! { @for (index, next) in items(schedule, "next").iter().enumerate() {
            span class="line" {
                @if index == 0 { (when(&next["at"], visit.now)) ", " }
                span class="quiet" { (said(next, "clock")) @if next["note"].is_string() { " (" (said(next, "note")) ")" } }
            }
        } },
        html! {
            @if last.is_object() { (said(last, "result")) " " (when(&last["at"], visit.now)) " " (run_link(&field(last, "run"))) }
        },
        html! { (said(schedule, "why")) " " (said(last, "why")) },
    ]
}
