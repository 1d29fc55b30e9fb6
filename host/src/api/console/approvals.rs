//! Questions that wait for a person, beside the plans that wait for one; and one question with all there is to decide by.
//!
//! Opening a page decides nothing. Deliberately not here: deciding, see [`super::acts::decide`].

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{badge, block, facts, items, link, nothing, on, plain, reason, run_link, said, when};
use super::visit::Visit;
use super::{plans, timeline};
use crate::api::extract::{Path, Query};
use crate::cli::client::segment;
use crate::cli::text::{digest, field, time};

/// Answered questions shown.
const ANSWERED_MAX: usize = 30;
/// Plans beside the questions.
const PLANS: &str = "10";
/// Evidence in the list of questions, of each: the whole is on its page.
const INLINE_MAX: usize = 20;

/// What the list is narrowed to.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    all: bool,
}

/// `GET /approvals`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let open = visit.get("/v1/approvals", &[]).await?;
    let questions = items(&open, "approvals");
    let plans = visit.get("/v1/plans", &[("limit", PLANS)]).await?;
    let all = if wanted.all { Some(visit.get("/v1/approvals", &[("all", "true")]).await?) } else { None };
    let body = html! {
        h1 { @match questions.len() { 0 => "Nothing waits for a person", 1 => "1 question waits for a person", count => { (count) " questions wait for a person" } } }
        div class="columns" {
            section aria-labelledby="questions" {
                h2 id="questions" { "Open questions" }
                @if questions.is_empty() { (nothing("Nothing waits for a person.")) }
                @for (index, question) in questions.iter().enumerate() { (card(&visit, question, index < INLINE_MAX)) }
            }
            section aria-labelledby="plans" {
                h2 id="plans" { "Plans to apply" }
                (plans::cards(&visit, items(&plans, "plans")))
                p { a href="/plans" { "All plans" } }
            }
        }
        section aria-labelledby="answered" {
            h2 id="answered" { "Answered" }
            @match &all {
                Some(all) => (answered(&visit, items(all, "approvals"))),
                None => p { a href="/approvals?all=true" { "Show what was answered" } },
            }
        }
    };
    visit.page(Place::Approvals, "Approvals", &body).await
}

fn card(visit: &Visit, question: &Value, inline: bool) -> Markup {
    let id = field(question, "id");
    html! {
        article class="card warn" {
            h3 { (link("/approvals", &id, &field(question, "sentence"))) }
            p class="quiet" {
                (said(question, "runbook")) " · " (said(question, "reason")) " · expires " (when(&question["expires_at"], visit.now))
            }
            p { "Otherwise: " (said(question, "otherwise")) }
            @if inline && visit.may("POST", "/v1/approvals/{id}") { (form(visit, question, &format!("why-{}", plain(&id)))) }
        }
    }
}

/// Yes, no and why.
fn form(visit: &Visit, question: &Value, field_id: &str) -> Markup {
    let options: Vec<&str> = items(question, "options").iter().filter_map(Value::as_str).collect();
    let action = format!("/approvals/{}", segment(&field(question, "id")));
    visit.form(
        &action,
        "stack decide",
        &html! {
            (reason(field_id, "Why (stands in the run and in the audit)", false))
            div class="choices" {
                @for option in &options { button class="go" name="answer" value=(option) { (plain(option)) } }
                @if options.is_empty() { button class="go" name="decision" value="approve" { "Approve" } }
                button class="stop" name="decision" value="deny" { "Deny" }
            }
        },
    )
}

fn answered(visit: &Visit, questions: &[Value]) -> Markup {
    let over = questions.iter().filter(|question| question["decision"].is_object()).take(ANSWERED_MAX);
    let rows: Vec<Vec<Markup>> = over
        .map(|question| {
            let end = &question["decision"];
            vec![
                link("/approvals", &field(question, "id"), &field(question, "sentence")),
                badge(&field(end, "kind")),
                html! { (said(end, "by")) },
                html! { (said(end, "reason")) },
                when(&end["at"], visit.now),
            ]
        })
        .collect();
    if rows.is_empty() {
        return nothing("No question was answered yet.");
    }
    super::parts::table("Answered questions, newest first", &["Question", "Answer", "By", "Why", "When"], &rows)
}

/// `GET /approvals/{id}`
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Refused> {
    let question = visit.get(&format!("/v1/approvals/{}", segment(&id)), &[]).await?;
    let run = visit.get(&format!("/v1/runs/{}", segment(&field(&question, "run"))), &[]).await?;
    let journal = visit.get(&format!("/v1/runs/{}/journal", segment(&field(&question, "run"))), &[]).await?;
    let records = items(&journal, "records");
    let plan = plan_of(&visit, records).await;
    let body = html! {
        p class="quiet" { a href="/approvals" { "Approvals" } " / " span class="id" { (said(&question, "id")) } }
        p class="quiet" { (said(&question, "runbook")) @if question["kind"] == "question" { " asks" } @else { " wants to" } }
        h1 { (said(&question, "sentence")) }
        div class="columns" {
            section aria-label="The question" {
                (decision(&visit, &question))
                (about(&visit, &question))
                @for evidence in items(&question, "evidence") {
                    details open {
                        summary { span class="kind" { "evidence" } " " (said(evidence, "name")) }
                        (block(&field(evidence, "name"), &field(evidence, "text")))
                    }
                }
            }
            section aria-labelledby="beside" {
                @if let Some(plan) = &plan {
                    h2 id="beside" { "The plan it applies" }
                    p { (link("/plans", &field(plan, "plan"), &field(plan, "sentence"))) }
                    (plans::effects(items(plan, "effects")))
                    h2 { "What the run has done so far" }
                } @else {
                    h2 id="beside" { "What the run has done so far" }
                }
                (timeline::so_far(&run, records))
            }
        }
    };
    let title = said(&question, "sentence");
    visit.page(Place::Approvals, &title, &body).await
}

/// The plan that the run applies, if it is still there.
async fn plan_of(visit: &Visit, records: &[Value]) -> Option<Value> {
    let bound = records.first()?["header"]["bound"]["plan"].as_str()?;
    visit.get(&format!("/v1/plans/{}", segment(bound)), &[]).await.ok()
}

fn decision(visit: &Visit, question: &Value) -> Markup {
    let end = &question["decision"];
    let expired = time(&question["expires_at"]).is_some_and(|at| at <= visit.now);
    html! {
        @if end.is_object() {
            p class="note" {
                "This is over: " (said(end, "kind")) " by " (said(end, "by")) " " (when(&end["at"], visit.now))
                @if end["answer"].is_string() { ", answer “" (said(end, "answer")) "”" }
                @if !field(end, "reason").is_empty() { " (" (said(end, "reason")) ")" }
                "."
            }
        } @else if expired {
            p class="note" { "This is over: nobody answered before it expired " (when(&question["expires_at"], visit.now)) "." }
        } @else if visit.may("POST", "/v1/approvals/{id}") {
            (form(visit, question, "reason"))
        } @else {
            p class="note" { "Deciding needs a token of role operator; yours may look." }
        }
    }
}

fn about(visit: &Visit, question: &Value) -> Markup {
    let state = question["state"].as_object().into_iter().flatten();
    let state: Vec<(&String, &Value)> =
        state.filter(|(_, value)| !value.is_null() && *value != &Value::from("")).collect();
    html! {
        (facts(&[
            ("otherwise", html! { (said(question, "otherwise")) }),
            ("why it asks", html! { (said(question, "reason")) }),
            ("expires", html! { @if !question["decision"].is_object() { (when(&question["expires_at"], visit.now)) } }),
            ("target", on(&question["target"])),
            ("alert", html! { (said(question, "alert")) }),
            ("runbook", html! {
                (link("/runbooks", &field(question, "runbook"), &field(question, "runbook"))) " " (said(question, "version")) " "
                @if question["stage"].is_string() { "stage " (said(question, "stage")) }
            }),
            ("its digest", html! { code { (digest(&field(question, "runbook_digest"))) } }),
            ("run", run_link(&field(question, "run"))),
            ("policy", html! { @for id in items(question, "policy").iter().filter_map(Value::as_str) { code { (plain(id)) } " " } }),
        ]))
        @if question["kind"] == "approval" {
            h2 { "Arguments" }
            (block("Arguments", &format!("{:#}", question["arguments"])))
        }
        @if !state.is_empty() {
            h2 { "The target when it was asked" }
            dl { @for (key, value) in state {
                div { dt { (plain(&key.replace('_', " "))) } dd { (plain(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))) } }
            } }
        }
    }
}
