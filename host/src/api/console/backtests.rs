//! Backtests: what a version would have done about recorded alerts; the list, one with its lines, and starting one.
//!
//! Deliberately not here: making one. Who starts one is shown it, or, when it takes longer than anybody waits, the list.

use std::time::Duration;

use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::acts::sent;
use super::client::query;
use super::frame::{Place, Refused, go};
use super::parts::{badge_of, facts, items, link, nothing, plain, said, table, when};
use super::session::OwnForm;
use super::visit::Visit;
use crate::api::extract::{Path, Query};
use crate::cli::client::segment;
use crate::cli::text::{count, digest, field};

/// How long a browser waits for one that was started; it goes on without it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Backtests listed.
const SHOWN_MAX: usize = 100;
/// Lines shown of one, the newest; the API has all.
const LINES_MAX: usize = 200;
/// Targets shown of one.
const TARGETS_MAX: usize = 50;

/// What the list is narrowed to, and what was said of the one being made.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    runbook: String,
    making: String,
}

/// `GET /backtests`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let name = wanted.runbook.split('@').next().unwrap_or_default();
    let answer = visit.get("/v1/backtests", &[("runbook", name)]).await?;
    let runbooks = visit.get("/v1/runbooks", &[]).await?;
    let rows: Vec<Vec<Markup>> =
        items(&answer, "backtests").iter().take(SHOWN_MAX).map(|test| row(&visit, test)).collect();
    let body = html! {
        h1 { "Backtests" }
        p class="lead" { "What a version would have done about the alerts of the last days. Nothing is changed, and nothing but metrics is read." }
        @if !wanted.making.is_empty() { p class="note" { "The backtest of " (plain(&wanted.making)) " is still being made; it stands here when it is done." } }
        (start(&visit, items(&runbooks, "runbooks"), &wanted.runbook))
        @if rows.is_empty() { (nothing("No backtest was made yet.")) }
        @else { (table("Backtests, newest first", &["Runbook", "It would have", "Alerts", "Since", "By", "Made"], &rows)) }
        @if !name.is_empty() { p { a href="/backtests" { "Backtests of all runbooks" } } }
    };
    visit.page(Place::Backtests, "Backtests", &body).await
}

fn start(visit: &Visit, runbooks: &[Value], wanted: &str) -> Markup {
    if !visit.may("POST", "/v1/backtests") {
        return html! { p class="quiet" { "Starting one needs a token of role author." } };
    }
    let version = wanted.split_once('@');
    visit.form("/backtests", "filter", &html! {
        div { label for="runbook" { "Runbook" } select id="runbook" name="runbook" {
            @if let Some((name, own)) = version { option value=(wanted) selected { (plain(name)) " " (digest(own)) } }
            @for name in runbooks.iter().map(|runbook| field(runbook, "name")) {
                option value=(name) selected[name == wanted] { (plain(&name)) }
            }
        } }
        div { label for="since" { "Since" } input id="since" name="since" value="30d" autocomplete="off" required; }
        button class="go" { "Start a backtest" }
    })
}

fn row(visit: &Visit, test: &Value) -> Vec<Markup> {
    vec![
        html! { (link("/backtests", &field(test, "backtest"), &field(test, "runbook"))) " " (said(test, "version")) " " code { (digest(&field(test, "digest"))) } },
        html! { (summary(&test["totals"])) },
        html! { (said(&test["totals"], "matched")) " of " (said(&test["totals"], "episodes")) },
        when(&test["since"], visit.now),
        html! { (said(test, "by")) },
        when(&test["at"], visit.now),
    ]
}

/// Each verdict, the words for one with it and for several, and how it looks.
const VERDICTS: [(&str, &str, &str); 7] = [
    ("acts", "acted", "good"),
    ("asks", "asked", "warn"),
    ("refused", "been refused", "bad"),
    ("braked", "been held back", "bad"),
    ("nothing", "changed nothing", "calm"),
    ("failed", "failed", "bad"),
    ("unknown", "unknown", "warn"),
];

/// What it would have done, counted.
pub(super) fn summary(totals: &Value) -> String {
    let counted = |key: &str| totals[key].as_u64().filter(|count| *count > 0);
    let parts: Vec<String> =
        VERDICTS.iter().filter_map(|(key, words, _)| counted(key).map(|count| format!("{words} {count}×"))).collect();
    if parts.is_empty() { "had nothing to do".to_owned() } else { parts.join(", ") }
}

/// `GET /backtests/{id}`
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Refused> {
    let test = visit.get(&format!("/v1/backtests/{}", segment(&id)), &[]).await?;
    let (name, own, totals) = (field(&test, "runbook"), field(&test, "digest"), &test["totals"]);
    let review = query(&format!("/runbooks/{}/review", segment(&name)), &[("digest", &own)]);
    let lines = items(&test, "lines");
    let body = html! {
        p class="quiet" { a href="/backtests" { "Backtests" } " / " span class="id" { (said(&test, "backtest")) } }
        h1 { "Backtest: " (plain(&name)) " " span class="at" { (said(&test, "version")) } }
        p class="lead" {
            "Of " (count(usize::try_from(totals["episodes"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX), "alert")) ", "
            (said(totals, "matched")) " would have started it. It would have " (summary(totals)) "."
        }
        @if test["truncated"] == true { p class="note" { "There were more alerts; only the newest were looked at." } }
        (facts(&[
            ("version", html! { (link("/runbooks", &name, &name)) " " (said(&test, "version")) " " code { (digest(&own)) } " " a href=(review) { "Review it" } }),
            ("alerts since", when(&test["since"], visit.now)),
            ("made", html! { (when(&test["at"], visit.now)) " by " (said(&test, "by")) }),
        ]))
        section aria-labelledby="targets" {
            h2 id="targets" { "By target" }
            (targets(items(&test, "targets")))
        }
        section aria-labelledby="alerts" {
            h2 id="alerts" { "Alert by alert, newest first" }
            @if lines.len() > LINES_MAX { p class="quiet" { "The newest " (LINES_MAX) " of " (lines.len()) "." } }
            (each(&visit, lines))
        }
    };
    visit.page(Place::Backtests, &format!("Backtest of {}", plain(&name)), &body).await
}

fn targets(targets: &[Value]) -> Markup {
    let rows: Vec<Vec<Markup>> = targets
        .iter()
        .take(TARGETS_MAX)
        .map(|line| {
            let name = said(line, "target");
            vec![
                html! { @if name.is_empty() { span class="quiet" { "nothing in particular" } } @else { (name) } },
                html! { (summary(line)) },
                html! { (said(line, "matched")) },
            ]
        })
        .collect();
    if rows.is_empty() {
        nothing("No alert matched.")
    } else {
        table("By target", &["Target", "It would have", "Alerts"], &rows)
    }
}

fn each(visit: &Visit, lines: &[Value]) -> Markup {
    let rows: Vec<Vec<Markup>> = lines
        .iter()
        .rev()
        .take(LINES_MAX)
        .map(|line| {
            let verdict = field(line, "verdict");
            let look = VERDICTS.iter().find(|(key, _, _)| *key == verdict).map_or("calm", |(_, _, look)| look);
            let changes: Vec<&str> = items(line, "changes").iter().filter_map(Value::as_str).collect();
            vec![
                link("/alerts", &field(line, "episode"), &field(line, "alert")),
                badge_of(&verdict, look),
                html! { (said(line, "target")) },
                html! { @for change in changes { span class="line" { (plain(change)) } } span class="quiet" { (said(line, "sentence")) } },
                when(&line["at"], visit.now),
            ]
        })
        .collect();
    if rows.is_empty() {
        return nothing("No alert matched.");
    }
    table(
        "Alerts that would have started it",
        &["Alert", "Verdict", "Target", "What it would have done", "Heard"],
        &rows,
    )
}

/// `POST /backtests`
pub(super) async fn make(visit: Visit, form: OwnForm) -> Result<Response, Refused> {
    let runbook = sent(&form.fields, "runbook");
    let body = json!({"runbook": runbook, "since": sent(&form.fields, "since")});
    // On its own, so that whoever leaves does not end it.
    let made = tokio::spawn(visit.send_on(Method::POST, "/v1/backtests", body));
    match tokio::time::timeout(PATIENCE, made).await {
        Ok(made) => {
            let last = made.map_err(|error| crate::api::error::Error::defect(&error))??;
            if let Some(error) = last.get("error") {
                return Err(Refused(super::client::said_in(error)));
            }
            Ok(go(&format!("/backtests/{}", segment(&field(&last["backtest"], "backtest"))), None))
        }
        Err(_) => Ok(go(&query("/backtests", &[("making", &runbook)]), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_would_have_done_is_counted_in_words() {
        assert_eq!(summary(&json!({"acts": 3, "braked": 1, "nothing": 0})), "acted 3×, been held back 1×");
        assert_eq!(summary(&json!({})), "had nothing to do");
    }
}
