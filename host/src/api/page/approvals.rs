//! The page of one question, and the list of the open ones.
//!
//! Deliberately not here: who may look and who may decide; the guard has said so before any of this is reached.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::{Refused, go, page};
use crate::api::approvals::{ApprovalView, Decide, Details, REASON_BYTES_MAX, Verdict, answer_as, details, open};
use crate::api::error::Error;
use crate::api::extract::Path;
use crate::api::session::{OwnForm, Session, WORD_FIELD};
use crate::config::Role;
use crate::state::App;

/// `GET /approvals`
pub(in crate::api) async fn list(State(app): State<Arc<App>>, session: Session) -> Result<Response, Refused> {
    let (now, questions) = (app.now_ms(), open(&app).await?);
    let body = html! {
        h1 { "Open questions" }
        @if questions.is_empty() { p { "Nothing waits for a person." } }
        ul {
            @for question in &questions {
                li {
                    a href={ "/approvals/" (question.id) } { (question.sentence) }
                    div class="quiet" { (question.runbook) " · " (question.reason) " · expires " (away(question.expires_at.0, now)) }
                }
            }
        }
    };
    Ok(page(StatusCode::OK, "open questions", Some(&session), &body))
}

/// `GET /approvals/{id}`
pub(in crate::api) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let details = details(&app, &id).await?;
    let now = app.now_ms();
    let question = &details.question;
    let may = session.caller.role >= Role::Operator;
    let body = html! {
        p class="quiet" { (question.runbook) @if question.kind == "question" { " asks" } @else { " wants to" } }
        h1 { (question.sentence) }
        @match &question.decision {
            Some(end) => {
                p class="note" {
                    "This is over: " (end.kind) " by " (end.by) " at " (end.at)
                    @if let Some(answer) = &end.answer { ", answer “" (answer) "”" }
                    @if !end.reason.is_empty() { " (" (end.reason) ")" }
                    "."
                }
            }
            None if question.expires_at.0 <= now => {
                p class="note" { "This is over: nobody answered before it expired at " (question.expires_at) "." }
            }
            None if may => (form(question, &session)),
            None => p class="note" { "Deciding needs a token of role operator; yours may look." },
        }
        (facts(&details, now))
        @for evidence in &details.evidence {
            h2 { (evidence.name) }
            pre tabindex="0" { (evidence.text) }
        }
    };
    Ok(page(StatusCode::OK, &question.sentence, Some(&session), &body))
}

fn form(question: &ApprovalView, session: &Session) -> Markup {
    html! {
        form method="post" action={ "/approvals/" (question.id) } {
            input type="hidden" name=(WORD_FIELD) value=(session.word);
            label for="reason" { "Why (stands in the run and in the audit)" }
            // No input: Enter in one would press the first button.
            textarea id="reason" name="reason" rows="2" maxlength=(REASON_BYTES_MAX) autocomplete="off" {}
            div class="choices" {
                @for option in &question.options { button class="yes" name="answer" value=(option) { (option) } }
                @if question.options.is_empty() { button class="yes" name="decision" value="approve" { "Approve" } }
                button class="no" name="decision" value="deny" { "Deny" }
            }
        }
    }
}

fn facts(details: &Details, now: u64) -> Markup {
    let question = &details.question;
    let version = details.version.as_deref().unwrap_or("?");
    html! {
        dl {
            dt { "otherwise" } dd { (question.otherwise) }
            dt { "why it asks" } dd { (question.reason) }
            @if question.decision.is_none() { dt { "expires" } dd { (away(question.expires_at.0, now)) " (" (question.expires_at) ")" } }
            @if let Some(alert) = &details.alert { dt { "alert" } dd { (alert) } }
            dt { "runbook" } dd { (question.runbook) " " (version) @if let Some(stage) = details.stage { ", stage " (stage) } }
            @if let Some(digest) = &details.runbook_digest { dt { "its digest" } dd { (digest) } }
            dt { "run" } dd { (question.run) }
            @if !details.policy.is_empty() { dt { "policy" } dd { (details.policy.join(", ")) } }
        }
        @if question.kind == "approval" {
            h2 { "Arguments" }
            pre tabindex="0" { (format!("{:#}", question.arguments)) }
        }
        @if let Some(state) = &details.state {
            h2 { "The target when it was asked" }
            dl { @for (key, value) in state.as_object().into_iter().flatten().filter(|(_, value)| tells(value)) {
                dt { (key.replace('_', " ")) } dd { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) }
            } }
        }
    }
}

/// Whether a value is worth a line.
fn tells(value: &Value) -> bool {
    !value.is_null() && value != &Value::from("")
}

/// How far away a time is, for somebody who is half asleep.
fn away(at: u64, now: u64) -> String {
    let seconds = at.abs_diff(now) / 1_000;
    let length = match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    };
    if at > now { format!("in {length}") } else { format!("{length} ago") }
}

/// `POST /approvals/{id}`
pub(in crate::api) async fn decide(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    form: OwnForm,
) -> Result<Response, Refused> {
    let OwnForm { session, mut fields } = form;
    let (decision, answer) = (fields.remove("decision"), fields.remove("answer"));
    let decision = match (decision.as_deref(), &answer) {
        (Some("approve"), None) | (None, Some(_)) => Verdict::Approve,
        (Some("deny"), None) => Verdict::Deny,
        (Some(_), _) | (None, None) => {
            return Err(Refused(Error::invalid("the form says neither yes nor no", "use the buttons of the page")));
        }
    };
    let said = Decide { decision, reason: fields.remove("reason").unwrap_or_default(), answer };
    let decided = answer_as(&app, &session.caller, &id, said).await?;
    Ok(go(&format!("/approvals/{}", decided.id), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_away_is_one_number() {
        for (at, now, said) in
            [(1_000_000, 940_000, "in 60 s"), (3_000_000, 1_000_000, "in 33 min"), (1_000_000, 30_000_000, "8 h ago")]
        {
            assert_eq!(away(at, now), said);
        }
    }
}
