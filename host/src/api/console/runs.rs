//! Runs: the list, one as a story, and one executed again from its journal.
//!
//! Deliberately not here: the lines of the story, see [`super::timeline`].

use axum::http::Method;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use sandbook_core::run::State as RunState;
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{ROWS, badge, items, link, nothing, on, pages, plain, reason, run_link, said, table, when};
use super::session::OwnForm;
use super::visit::Visit;
use super::{similar, timeline};
use crate::api::extract::{Path, Query};
use crate::cli::client::segment;
use crate::cli::text::{field, took};

/// What the list is narrowed to.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    state: String,
    runbook: String,
    target: String,
    since: String,
    cursor: String,
}

/// `GET /runs`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let narrowed = [
        ("state", wanted.state.as_str()),
        ("runbook", &wanted.runbook),
        ("target", &wanted.target),
        ("since", &wanted.since),
    ];
    let mut asked = narrowed.to_vec();
    asked.extend([("limit", ROWS), ("cursor", wanted.cursor.as_str())]);
    let answer = visit.get("/v1/runs", &asked).await?;
    let body = html! {
        h1 { "Runs" }
        @if visit.may("POST", "/v1/runbooks/{name}/plan") { p { a class="button" href="/runs/new" { "Start a run by hand" } } }
        form method="get" action="/runs" class="filter" {
            div { label for="state" { "State" } select id="state" name="state" {
                option value="" { "any" }
                @for state in RunState::ALL { option value=(state.name()) selected[state.name() == wanted.state] { (state.name()) } }
            } }
            div { label for="runbook" { "Runbook" } input id="runbook" name="runbook" value=(wanted.runbook); }
            div { label for="target" { "Target" } input id="target" name="target" value=(wanted.target) placeholder="name or host/name"; }
            div { label for="since" { "Since" } input id="since" name="since" value=(wanted.since) placeholder="24h"; }
            button { "Show" }
        }
        (table_of(items(&answer, "runs"), visit.now))
        (pages("/runs", &narrowed, &answer, !wanted.cursor.is_empty()))
    };
    visit.page(Place::Runs, "Runs", &body).await
}

/// Runs as rows.
pub(super) fn table_of(runs: &[Value], now: Timestamp) -> Markup {
    if runs.is_empty() {
        return nothing("No run.");
    }
    let rows: Vec<Vec<Markup>> = runs.iter().map(|run| row(run, now)).collect();
    table("Runs, newest first", &["Runbook", "Came to", "Target", "What happened", "Verified", "When"], &rows)
}

fn row(run: &Value, now: Timestamp) -> Vec<Markup> {
    let mode = field(run, "mode");
    vec![
        html! {
            (link("/runs", &field(run, "run"), &field(run, "runbook")))
            @if mode != "live" { " " span class="label" { (plain(&mode)) } }
        },
        came_to(run),
        on(&run["target"]),
        html! { (first_of(run)) },
        badge(&field(run, "verification")),
        when(&run["at"], now),
    ]
}

/// The outcome of a run that has one, else its state.
pub(super) fn came_to(run: &Value) -> Markup {
    let outcome = field(run, "outcome");
    if outcome.is_empty() { badge(&field(run, "state")) } else { badge(&outcome) }
}

fn first_of(run: &Value) -> String {
    const CHARS: usize = 160;
    let sentence = said(run, "sentence");
    let sentence = if sentence.is_empty() { said(run, "error") } else { sentence };
    if sentence.chars().count() > CHARS { sentence.chars().take(CHARS).chain(['…']).collect() } else { sentence }
}

/// `GET /runs/{id}`
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Refused> {
    let path = format!("/v1/runs/{}", segment(&id));
    let run = visit.get(&path, &[]).await?;
    let id = field(&run, "run");
    let journal = visit.get(&format!("/v1/runs/{}/journal", segment(&id)), &[]).await?;
    let records = items(&journal, "records");
    let similar = visit.get(&format!("{path}/similar"), &[("limit", similar::WANTED)]).await?;
    let question = if run["state"] == "waiting" { question_of(&visit, &id).await? } else { None };
    let body = html! {
        p class="quiet" { a href="/runs" { "Runs" } " / " span class="id" { (plain(&id)) } }
        h1 { (said(&run, "runbook")) " " (came_to(&run)) @if run["target"].is_object() { " " span class="at" { "on " (on(&run["target"])) } } }
        @if let Some(question) = &question {
            p class="ask" { (badge("ask")) " A person is asked: " (link("/approvals", &field(question, "id"), &field(question, "sentence"))) }
        }
        (timeline::answers(&run, records))
        (timeline::header(&run, records, visit.now))
        (controls(&visit, &run))
        section aria-labelledby="timeline" {
            h2 id="timeline" { "Timeline" }
            (timeline::timeline(&run, records))
        }
        (similar::section(&similar, visit.now))
        p class="quiet" { "The whole journal: " code { "sandbook journal " (plain(&id)) } }
    };
    let title = format!("{} · run", said(&run, "runbook"));
    visit.page(Place::Runs, &title, &body).await
}

/// The open question of a run.
async fn question_of(visit: &Visit, run: &str) -> Result<Option<Value>, Refused> {
    let open = visit.get("/v1/approvals", &[]).await?;
    Ok(items(&open, "approvals").iter().find(|question| question["run"] == run).cloned())
}

/// What somebody may do about the run now.
fn controls(visit: &Visit, run: &Value) -> Markup {
    let (state, base) = (field(run, "state"), format!("/runs/{}", segment(&field(run, "run"))));
    let over = matches!(state.as_str(), "succeeded" | "failed" | "cancelled");
    html! {
        div class="controls" {
            @if state == "needs-attention" && visit.may("POST", "/v1/runs/{id}/resume") {
                (visit.form(&format!("{base}/resume"), "card stack", &html! {
                    h2 { "Did the change happen?" }
                    p { "Sandbook lost the answer and cannot tell. Look at the target, then say what you found; the run goes on from there." }
                    (reason("resume-reason", "What you found (stands in the audit)", false))
                    div class="choices" {
                        button class="go" name="as" value="done" { "It happened" }
                        button class="stop" name="as" value="not-done" { "It did not happen" }
                    }
                }))
            }
            @if !over && visit.may("POST", "/v1/runs/{id}/cancel") {
                details class="act" {
                    summary { "Cancel this run" }
                    (visit.form(&format!("{base}/cancel"), "stack", &html! {
                        (reason("cancel-reason", "Why (stands in the run and in the audit)", false))
                        button class="stop" { "Cancel before its next effect" }
                    }))
                }
            }
            @if over && visit.may("POST", "/v1/runs/{id}/replay") {
                details class="act" {
                    summary { "Replay it from its journal" }
                    (visit.form(&format!("{base}/replay"), "stack", &html! {
                        p class="quiet" { "Nothing is touched and nothing is asked." }
                        label for="with" { "With (empty: the version it had)" }
                        input id="with" name="runbook" placeholder={ (said(run, "runbook")) "@digest" } autocomplete="off";
                        button { "Replay" }
                    }))
                }
            }
        }
    }
}

/// `POST /runs/{id}/replay`
pub(super) async fn replay(visit: Visit, Path(id): Path<String>, form: OwnForm) -> Result<Response, Refused> {
    let with = form.fields.get("runbook").map(|name| name.trim()).filter(|name| !name.is_empty());
    let body = with.map(|runbook| serde_json::json!({ "runbook": runbook }));
    let replay = visit.send(Method::POST, &format!("/v1/runs/{}/replay", segment(&id)), body).await?;
    let version = |value: &Value| format!("{} {}", said(value, "runbook"), said(value, "version"));
    let body = html! {
        p class="quiet" { a href="/runs" { "Runs" } " / " (run_link(&field(&replay, "run"))) " / replay" }
        h1 { "Replay " (badge(&verdict(&replay))) }
        p class="lead" {
            (version(&replay["recorded"])) " executed again with " (version(&replay["with"])) ": "
            (said(&replay, "slots")) " recorded answers, " (took(replay["took_ms"].as_u64().unwrap_or(0))) "."
        }
        @if replay["outcome"].is_string() { p { "It came to " (badge(&field(&replay, "outcome"))) " " (said(&replay, "sentence")) } }
        @if !replay["diverges"].is_null() {
            h2 { "Where it differs" }
            (super::parts::block("Where it differs", &format!("{:#}", replay["diverges"])))
        }
        @if !items(&replay, "would").is_empty() {
            h2 { "What it would have done from there on" }
            (super::plans::effects(items(&replay, "would")))
        }
        p { a href={ "/runs/" (segment(&id)) } { "Back to the run" } }
    };
    visit.page(Place::Runs, "Replay", &body).await
}

/// A word, or an object named by its kind.
fn verdict(replay: &Value) -> String {
    let verdict = &replay["verdict"];
    verdict
        .as_str()
        .map_or_else(|| if replay["diverges"].is_null() { "equal" } else { "diverges" }.to_owned(), str::to_owned)
}
