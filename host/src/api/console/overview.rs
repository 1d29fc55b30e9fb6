//! The first page: what needs a person, what is on fire and what was done about it, and how the engine is.
//!
//! Deliberately not here: anything that is not also on a page of its own.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::alerts::{episode_card, kinds};
use super::frame::{Place, Refused};
use super::parts::{badge, badge_of, items, link, nothing, on, plain, said, span_ms, when};
use super::runs::table_of;
use super::visit::Visit;
use crate::cli::client::segment;
use crate::cli::text::{field, took};

/// Episodes shown: more than these at once are one fault, and their page lists them.
const EPISODES: &str = "12";
/// Episodes looked through when there are more.
const MANY: &str = "200";
/// Runs shown.
const RUNS: &str = "10";
/// Runs that need a person, of each kind.
const LEFT: &str = "20";

/// `GET /`
pub(super) async fn show(visit: Visit) -> Result<Response, Refused> {
    let status = visit.get("/status", &[]).await?;
    let firing = visit.get("/v1/alerts", &[("open", "true"), ("limit", EPISODES)]).await?;
    // More than fit: what they have in common says more than the newest dozen.
    let many = match firing["next_cursor"].is_null() {
        true => None,
        false => Some(visit.get("/v1/alerts", &[("open", "true"), ("limit", MANY)]).await?),
    };
    let mut done = Vec::new();
    for episode in items(&firing, "alerts").iter().take_while(|_| many.is_none()) {
        done.push(newest_run(&visit, episode).await?);
    }
    let runs = visit.get("/v1/runs", &[("limit", RUNS)]).await?;
    let left = visit.get("/v1/runs", &[("state", "needs-attention"), ("limit", LEFT)]).await?;
    let questions = visit.get("/v1/approvals", &[]).await?;
    let body = html! {
        h1 { (headline(&status, many.as_ref().unwrap_or(&firing), &left, &questions)) }
        (people(&visit, &status, &left, &questions))
        section aria-labelledby="fire" {
            h2 id="fire" { "On fire" }
            @if let Some(many) = &many {
                (kinds(items(many, "alerts"), visit.now))
                p { a href="/alerts?open=true" { "All alerts that fire" } @if !many["next_cursor"].is_null() { span class="quiet" { " (counted are the newest " (MANY) ")" } } }
            } @else if items(&firing, "alerts").is_empty() { (nothing("No alert is firing.")) }
            @else { div class="cards" { @for (episode, run) in items(&firing, "alerts").iter().zip(&done) { (episode_card(episode, run.as_ref(), visit.now)) } } }
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

/// What was done about an episode last.
async fn newest_run(visit: &Visit, episode: &Value) -> Result<Option<Value>, Refused> {
    match items(episode, "runs").last() {
        Some(run) => Ok(Some(visit.get(&format!("/v1/runs/{}", segment(&field(run, "run"))), &[]).await?)),
        None => Ok(None),
    }
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
    let alone = items(firing, "alerts").iter().filter(|episode| items(episode, "runs").is_empty()).count();
    let taken = match alone {
        0 => String::new(),
        1 if fires == 1 => ", no runbook took it".to_owned(),
        all if all == fires => format!(", no runbook took any{}", if more.is_empty() { "" } else { " of the newest" }),
        some => format!(", no runbook took {some} of them"),
    };
    let people = match (waits, alone) {
        (0, 0) => "nothing waits for you".to_owned(),
        (0, _) => "nothing else waits for you".to_owned(),
        (1, _) => "1 thing needs a person".to_owned(),
        (_, _) => format!("{waits} things need a person"),
    };
    format!("{alerts}{taken}, {people}")
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
                (told(status))
                li { span { "Policy" } (badge(if status["policy"]["ok"] == true { "ok" } else { "broken" })) }
                li { span { "Model" } (badge_of(if llm == "ok" { "configured" } else { "none, and none is needed" }, "calm")) span class="quiet" { (said(&status["llm"], "model")) (spent(&status["llm"])) } }
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

/// How many channels do not take what they get; nothing where none is configured.
fn told(status: &Value) -> Markup {
    let none = serde_json::Map::new();
    let channels = status["notify"].as_object().unwrap_or(&none);
    let bad = channels.values().filter(|channel| super::notifications::state(channel).1 == "bad").count();
    html! {
        @if !channels.is_empty() {
            li { span { a href="/notifications" { "Notifications" } } @if bad == 0 { (badge("ok")) } @else { (badge_of(&format!("{bad} failing"), "bad")) } }
        }
    }
}

/// What the model took of its budgets, those that have a bound.
fn spent(llm: &Value) -> String {
    let one = |window: &str, figure: &str| {
        let figures = &llm[window][figure];
        let most = figures["most"].as_f64()?;
        Some(format!(" · {} of {most} {figure} this {window}", figures["used"].as_f64().unwrap_or(0.0)))
    };
    let pairs = [("hour", "calls"), ("day", "calls"), ("day", "tokens"), ("day", "money")];
    pairs.iter().filter_map(|(window, figure)| one(window, figure)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_runbook_took_does_not_sound_like_all_is_well() {
        let (taken, alone) = (json!({"runs": [{"run": "r_1"}]}), json!({"runs": []}));
        let said = |alerts: &[&Value]| headline(&json!({}), &json!({"alerts": alerts}), &json!({}), &json!({}));
        assert_eq!(said(&[]), "No alert is firing, nothing waits for you");
        assert_eq!(said(&[&taken]), "1 alert is firing, nothing waits for you");
        assert_eq!(said(&[&alone]), "1 alert is firing, no runbook took it, nothing else waits for you");
        assert_eq!(
            said(&[&alone, &taken]),
            "2 alerts are firing, no runbook took 1 of them, nothing else waits for you"
        );
        assert_eq!(said(&[&alone, &alone]), "2 alerts are firing, no runbook took any, nothing else waits for you");
    }

    #[test]
    fn budgets_are_shown_where_there_are_any() {
        let llm = json!({"hour": {"calls": {"used": 3, "most": 60}}, "day": {"money": {"used": 0.25, "most": 2.0}}});
        assert_eq!(spent(&llm), " · 3 of 60 calls this hour · 0.25 of 2 money this day");
        assert_eq!(spent(&Value::Null), "");
    }
}
