//! The first page: what needs a person, what is on fire and what was done about it, and how the engine is.
//!
//! Deliberately not here: anything that is not also on a page of its own.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::alerts::episode_card;
use super::frame::{Place, Refused};
use super::parts::{badge, badge_of, items, link, nothing, on, plain, said, span_ms, when};
use super::runs::table_of;
use super::visit::Visit;
use crate::cli::text::{field, took};

/// Episodes shown: more than these at once are one fault, and their page lists them.
const EPISODES: &str = "12";
/// Runs shown.
const RUNS: &str = "10";
/// Runs that need a person, of each kind.
const LEFT: &str = "20";

/// `GET /`
pub(super) async fn show(visit: Visit) -> Result<Response, Refused> {
    let status = visit.get("/status", &[]).await?;
    let firing = visit.get("/v1/alerts", &[("open", "true"), ("limit", EPISODES)]).await?;
    let runs = visit.get("/v1/runs", &[("limit", RUNS)]).await?;
    let left = visit.get("/v1/runs", &[("state", "needs-attention"), ("limit", LEFT)]).await?;
    let questions = visit.get("/v1/approvals", &[]).await?;
    let body = html! {
        h1 { (headline(&status, &firing, &left, &questions)) }
        (people(&visit, &status, &left, &questions))
        section aria-labelledby="fire" {
            h2 id="fire" { "On fire" }
            @if items(&firing, "alerts").is_empty() { (nothing("No alert is firing.")) }
            @else {
                div class="cards" { @for episode in items(&firing, "alerts") { (episode_card(episode, visit.now)) } }
                @if !firing["next_cursor"].is_null() { p { a href="/alerts?open=true" { "All alerts that fire" } } }
            }
        }
        section aria-labelledby="recent" {
            h2 id="recent" { "What was done" }
            (table_of(items(&runs, "runs"), visit.now))
            @if !runs["next_cursor"].is_null() { p { a href="/runs" { "All runs" } } }
        }
        (health(&visit, &status))
    };
    visit.page(Place::Overview, "Overview", &body).await
}

/// The one sentence for somebody who has just been woken.
fn headline(status: &Value, firing: &Value, left: &Value, questions: &Value) -> String {
    let waits = items(questions, "approvals").len() + items(left, "runs").len() + items(status, "trips").len();
    let fires = items(firing, "alerts").len();
    let more = if firing["next_cursor"].is_null() { "" } else { "+" };
    let alerts = match fires {
        0 => "No alert is firing".to_owned(),
        1 => "1 alert is firing".to_owned(),
        _ => format!("{fires}{more} alerts are firing"),
    };
    let people = match waits {
        0 => "nothing waits for you".to_owned(),
        1 => "1 thing needs a person".to_owned(),
        _ => format!("{waits} things need a person"),
    };
    format!("{alerts}, {people}")
}

/// Everything that goes on only when somebody does something.
fn people(visit: &Visit, status: &Value, left: &Value, questions: &Value) -> Markup {
    let empty = items(questions, "approvals").is_empty()
        && items(left, "runs").is_empty()
        && items(status, "trips").is_empty()
        && items(status, "demoted").is_empty();
    html! {
        @if !empty {
            section class="needs" aria-labelledby="needs" {
                h2 id="needs" { "Needs a person" }
                ul class="todo" {
                    @for question in items(questions, "approvals") {
                        li {
                            (badge("ask"))
                            div {
                                (link("/approvals", &field(question, "id"), &field(question, "sentence")))
                                p class="quiet" { (said(question, "runbook")) " · " (said(question, "reason")) " · expires " (when(&question["expires_at"], visit.now)) }
                            }
                        }
                    }
                    @for run in items(left, "runs") {
                        li {
                            (badge("needs-attention"))
                            div {
                                (link("/runs", &field(run, "run"), &format!("{} stopped and cannot tell whether its change happened", field(run, "runbook"))))
                                p class="quiet" { (on(&run["target"])) " · " (said(run, "sentence")) " · " (when(&run["at"], visit.now)) }
                            }
                        }
                    }
                    @for trip in items(status, "trips") {
                        li {
                            (badge("tripped"))
                            div {
                                a href="/brakes" { "The brake on " (said(trip, "about")) " has to be re-armed" }
                                p class="quiet" { (said(trip, "reason")) " · " (when(&trip["at"], visit.now)) }
                            }
                        }
                    }
                    @for demoted in items(status, "demoted").iter().filter_map(Value::as_str) {
                        li { (badge("demoted")) div { a href="/runbooks" { (plain(demoted)) } } }
                    }
                }
            }
        }
    }
}

fn health(visit: &Visit, status: &Value) -> Markup {
    let llm = if visit.app().config.llm.base_url.is_some() { "ok" } else { "off" };
    let mean = |key: &str| status[key]["mean_ms"].as_u64().map(|ms| format!("{} on average", took(ms)));
    html! {
        section aria-labelledby="health" {
            h2 id="health" { "The engine" }
            ul class="health" {
                li { span { "Store" } (badge(&field(&status["store"], "status"))) span class="quiet" { (said(&status["store"], "error")) } }
                @for host in items(status, "docker") {
                    li { span { "Docker " (said(host, "name")) } (badge(&field(host, "status"))) span class="quiet" { (said(host, "error")) } }
                }
                @if status["alertmanager"].is_object() {
                    li { span { "Alertmanager" } (badge(&field(&status["alertmanager"], "status"))) span class="quiet" { (said(&status["alertmanager"], "error")) } }
                }
                @if status["watchdog"].is_object() {
                    li { span { "Watchdog" } (badge(&field(&status["watchdog"], "status"))) span class="quiet" { (when(&status["watchdog"]["last_heard"], visit.now)) } }
                }
                li { span { "Policy" } (badge(if status["policy"]["ok"] == true { "ok" } else { "broken" })) }
                li { span { "Model" } (badge_of(if llm == "ok" { "configured" } else { "none, and none is needed" }, "calm")) span class="quiet" { (said(&status["llm"], "model")) } }
                li { span { "Queue" } span { (said(&status["queue"], "length")) " of " (said(&status["queue"], "capacity")) } }
                @if let Some(mean) = mean("time_to_first_effect") { li { span { "First effect" } span { (mean) } } }
                @if let Some(mean) = mean("mttr") { li { span { "Time to repair" } span { (mean) } } }
                li { span { "Version" } span { (said(status, "version")) ", up " (span_ms(status["uptime_ms"].as_u64().unwrap_or(0))) } }
            }
            @for warning in items(status, "warnings").iter().filter_map(Value::as_str) { p class="note" { (plain(warning)) } }
            @for broken in items(status, "broken") { p class="note" { "The package in " code { (said(broken, "folder")) } " cannot be used; " code { "sandbook check" } " says why." } }
        }
    }
}
