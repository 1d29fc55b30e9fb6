//! What holds runbooks back: the stop switch, tripped brakes, windows that fill, pauses; and letting go of each.
//!
//! Deliberately not here: holding back, and the forms' effects ([`super::acts`]).

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{badge, items, nothing, plain, reason, run_link, said, span_ms, table, when};
use super::visit::Visit;
use crate::cli::client::segment;
use crate::cli::text::{field, selector};

/// `GET /brakes`
pub(super) async fn show(visit: Visit) -> Result<Response, Refused> {
    let status = visit.get("/status", &[]).await?;
    let brakes = visit.get("/v1/brakes", &[]).await?;
    let (tripped, counting): (Vec<&Value>, Vec<&Value>) =
        items(&brakes, "brakes").iter().partition(|brake| brake["state"] == "tripped");
    let body = html! {
        h1 { "Brakes, pauses and the stop switch" }
        (switch(&visit, &status["stop"]))
        section aria-labelledby="tripped" {
            h2 id="tripped" { "Tripped brakes" }
            @if tripped.is_empty() { (nothing("No brake is tripped.")) }
            @for brake in &tripped { (trip(&visit, brake)) }
        }
        section aria-labelledby="pauses" {
            h2 id="pauses" { "Pauses" }
            @if items(&status, "pauses").is_empty() { (nothing("Nothing is paused.")) }
            @for pause in items(&status, "pauses") { (paused(&visit, pause)) }
            @if visit.may("POST", "/v1/pauses") { (new_pause(&visit)) }
        }
        section aria-labelledby="windows" {
            h2 id="windows" { "Windows" }
            (windows(&visit, &counting))
        }
    };
    visit.page(Place::Brakes, "Brakes", &body).await
}

fn switch(visit: &Visit, stop: &Value) -> Markup {
    html! {
        section aria-labelledby="switch" {
            h2 id="switch" { "Stop switch" }
            @if stop.is_object() {
                article class="card bad" {
                    p { (badge("stopped")) " by " (said(stop, "by")) " " (when(&stop["at"], visit.now)) ": " (said(stop, "reason")) }
                    @if visit.may("DELETE", "/v1/stop") {
                        (visit.form("/stop/release", "choices", &html! { button class="go" { "Release: runbooks may act again" } }))
                    } @else { p class="quiet" { "Releasing needs a token of role admin." } }
                }
            } @else {
                p { (badge("ready")) " Runbooks may act as policy and stages say." }
                @if visit.may("POST", "/v1/stop") { p { a class="button stop" href="/stop" { "Stop everything …" } } }
            }
        }
    }
}

/// `GET /stop`: asks whether it is meant.
pub(super) async fn confirm_stop(visit: Visit) -> Result<Response, Refused> {
    let body = html! {
        p class="quiet" { a href="/brakes" { "Brakes" } " / stop" }
        h1 { "Stop everything?" }
        p class="lead" { "From the moment you confirm, no runbook changes anything on any host. Effects under way end as they end; runs go on reading. An admin has to release it." }
        (visit.form("/stop", "card bad stack", &html! {
            (reason("reason", "Why (whoever finds nothing acting reads it)", true))
            label class="check" { input type="checkbox" name="sure" value="yes" required; " I mean everything" }
            div class="choices" { button class="stop" { "Stop everything" } a class="button" href="/brakes" { "Go back" } }
        }))
    };
    visit.page(Place::Brakes, "Stop everything", &body).await
}

fn trip(visit: &Visit, brake: &Value) -> Markup {
    let id = field(brake, "id");
    html! {
        article class="card bad" {
            h3 { (badge("tripped")) " " (said(brake, "about")) }
            p { (said(brake, "attempts")) " attempts of at most " (said(brake, "limit")) " in " (span_ms(brake["window_ms"].as_u64().unwrap_or(0))) ": " code { (said(brake, "label")) } }
            p class="quiet" { (when(&brake["at"], visit.now)) " by run " (run_link(&field(brake, "run"))) }
            @if visit.may("POST", "/v1/brakes/{id}/rearm") {
                (visit.form(&format!("/brakes/{}/rearm", segment(&id)), "stack", &html! {
                    (reason(&format!("why-{}", plain(&id)), "What you found and did (stands in the audit)", true))
                    div class="choices" { button class="go" { "Re-arm" } }
                }))
            }
        }
    }
}

fn paused(visit: &Visit, pause: &Value) -> Markup {
    html! {
        article class="card warn" {
            h3 { (badge("paused")) " " (plain(&selector(&pause["selector"]))) }
            p { (said(pause, "reason")) }
            p class="quiet" { "by " (said(pause, "by")) " " (when(&pause["at"], visit.now)) " · ends " (when(&pause["until"], visit.now)) }
            @if visit.may("DELETE", "/v1/pauses/{id}") {
                (visit.form(&format!("/pauses/{}/end", segment(&field(pause, "id"))), "choices", &html! { button { "End it now" } }))
            }
        }
    }
}

fn new_pause(visit: &Visit) -> Markup {
    html! {
        details class="act" {
            summary { "Pause something for maintenance" }
            (visit.form("/pauses", "stack", &html! {
                p class="quiet" { "Names may have * in them; all three must match, and an empty one matches everything." }
                div class="fields" {
                    div { label for="pause-runbook" { "Runbook" } input id="pause-runbook" name="runbook" autocomplete="off"; }
                    div { label for="pause-target" { "Target" } input id="pause-target" name="target" autocomplete="off"; }
                    div { label for="pause-host" { "Host" } input id="pause-host" name="host" autocomplete="off"; }
                    div { label for="pause-for" { "For" } input id="pause-for" name="for" value="30m" required; }
                }
                (reason("pause-reason", "Why (whoever finds nothing acting reads it)", true))
                div class="choices" { button class="go" { "Pause" } }
            }))
        }
    }
}

fn windows(visit: &Visit, brakes: &[&Value]) -> Markup {
    if brakes.is_empty() {
        return nothing("Nothing was attempted lately.");
    }
    let rows: Vec<Vec<Markup>> = brakes
        .iter()
        .map(|brake| {
            vec![
                html! { (said(brake, "about")) },
                badge(&field(brake, "state")),
                html! { (said(brake, "attempts")) " of " (said(brake, "limit")) " in " (span_ms(brake["window_ms"].as_u64().unwrap_or(0))) },
                html! { code { (said(brake, "label")) } },
                html! { @if !brake["room_at"].is_null() { "room " (when(&brake["room_at"], visit.now)) } },
            ]
        })
        .collect();
    table("Windows that counted something", &["About", "State", "Attempts", "Said in", "Room"], &rows)
}
