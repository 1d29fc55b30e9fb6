//! Questions that wait for a person, and answering them.
//!
//! Exactly one answer counts: the store decides which, and writes it to the run's journal and the audit in the same
//! transaction; then the run goes on by replay. The page for browsers ([`super::page`]) answers through the same
//! function. Deliberately not here: links that decide. A GET never answers.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use sandbook_core::error::truncate_at_char;
use sandbook_core::journal::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{Error, Result};
use super::extract::{Json, Path, Query};
use super::record::TargetView;
use super::time::Time;
use crate::auth::Caller;
use crate::state::App;
use crate::store::{Approval, ApprovalDecision, ApprovalEnd, ApprovalKind, Decided};

/// Longest reason: it stands in the journal, the audit and messages.
pub(super) const REASON_BYTES_MAX: usize = 2_000;
/// Texts shown as evidence, the newest: more is read in the run itself.
const EVIDENCE_MAX: usize = 10;
/// Bytes of each shown at the most; the run has the whole.
const EVIDENCE_BYTES_MAX: usize = 16 * 1024;

/// A question.
#[derive(Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct ApprovalView {
    pub(super) id: String,
    pub(super) run: String,
    /// Which effect of the run, from 0.
    slot: u32,
    /// `approval`: whether an effect may be done. `question`: what the runbook itself wants to know.
    pub(super) kind: &'static str,
    pub(super) runbook: String,
    effect: String,
    #[schema(value_type = Object)]
    pub(super) arguments: Value,
    target: Option<TargetView>,
    /// What would be done, or the question, in plain words.
    pub(super) sentence: String,
    /// What happens when nobody says yes.
    pub(super) otherwise: String,
    /// Over effect, arguments and instance: what an answer is for.
    digest: String,
    /// What may be answered; empty: only yes or no.
    pub(super) options: Vec<String>,
    /// Why it is asked.
    pub(super) reason: String,
    pub(super) at: Time,
    pub(super) expires_at: Time,
    /// How it ended; absent while it is open.
    pub(super) decision: Option<DecisionView>,
}

/// How a question ended.
#[derive(Serialize, ToSchema)]
#[schema(as = ApprovalDecision)]
pub(super) struct DecisionView {
    /// `approved`, `denied`, or `withdrawn` because the reason to ask went away.
    pub(super) kind: &'static str,
    pub(super) by: String,
    pub(super) reason: String,
    /// Which option.
    pub(super) answer: Option<String>,
    pub(super) at: Time,
}

/// A question with everything to decide it by.
#[derive(Serialize, ToSchema)]
#[schema(as = ApprovalDetails)]
pub(super) struct Details {
    #[serde(flatten)]
    pub(super) question: ApprovalView,
    /// Of the runbook.
    pub(super) version: Option<String>,
    /// Of the runbook's code and manifest.
    pub(super) runbook_digest: Option<String>,
    pub(super) stage: Option<&'static str>,
    /// The alert that started the run.
    pub(super) alert: Option<String>,
    /// Ids of the policies that ask.
    pub(super) policy: Vec<String>,
    /// The target's state when it was asked.
    #[schema(value_type = Option<Object>)]
    pub(super) state: Option<Value>,
    /// What the run attached before it asked, the newest last.
    pub(super) evidence: Vec<Evidence>,
}

/// A text that a run attached.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Evidence {
    pub(super) name: String,
    pub(super) text: String,
}

fn word(end: ApprovalEnd) -> &'static str {
    match end {
        ApprovalEnd::Approved => "approved",
        ApprovalEnd::Denied => "denied",
        ApprovalEnd::Withdrawn => "withdrawn",
    }
}

impl From<Approval> for ApprovalView {
    fn from(approval: Approval) -> ApprovalView {
        ApprovalView {
            id: approval.id,
            run: approval.run,
            slot: approval.slot,
            kind: match approval.kind {
                ApprovalKind::Approval => "approval",
                ApprovalKind::Question => "question",
            },
            runbook: approval.runbook,
            effect: approval.effect,
            arguments: approval.arguments,
            target: approval.target.as_ref().map(TargetView::from),
            sentence: approval.sentence,
            otherwise: approval.otherwise,
            digest: approval.digest,
            options: approval.options,
            reason: approval.reason,
            at: Time(approval.at),
            expires_at: Time(approval.expires_at),
            decision: approval.decision.map(|decision| DecisionView {
                kind: word(decision.kind),
                by: decision.by,
                reason: decision.reason,
                answer: decision.answer,
                at: Time(decision.at),
            }),
        }
    }
}

/// Questions.
#[derive(Serialize, ToSchema)]
pub(super) struct Approvals {
    approvals: Vec<ApprovalView>,
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalsQuery {
    /// Also those that ended.
    #[serde(default)]
    all: bool,
}

/// Open questions, newest first; nobody can answer an expired one any more.
pub(super) async fn open(app: &App) -> Result<Vec<ApprovalView>> {
    let now = app.now_ms();
    let mut approvals = app.store.approvals(true).await?;
    approvals.retain(|approval| approval.expires_at > now);
    Ok(approvals.into_iter().map(ApprovalView::from).collect())
}

/// Open questions, newest first
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(ApprovalsQuery), responses((status = 200, body = Approvals)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ApprovalsQuery>,
) -> Result<Answer<Approvals>> {
    let approvals = if query.all {
        app.store.approvals(false).await?.into_iter().map(ApprovalView::from).collect()
    } else {
        open(&app).await?
    };
    Ok(Answer(Approvals { approvals, next_cursor: None }))
}

fn unknown(id: &str) -> Error {
    Error::not_found(
        format!("there is no question {id}"),
        "`sandbook approvals` lists the open ones; answering needs the whole id",
    )
}

/// A question by its id or the unique beginning of one, with what its run has recorded.
pub(super) async fn details(app: &App, id: &str) -> Result<Details> {
    let approval = app.store.approval(id).await?.ok_or_else(|| unknown(id))?;
    let records = app.store.records_after(&approval.run, None).await?;
    let mut details = Details {
        version: None,
        runbook_digest: None,
        stage: None,
        alert: None,
        policy: Vec::new(),
        state: None,
        evidence: Vec::new(),
        question: approval.into(),
    };
    let text = |data: &Value, key: &str| data[key].as_str().unwrap_or_default().to_owned();
    for (_, record) in records {
        if record.at() > details.question.at.0 {
            break;
        }
        match record {
            Record::Begun { header } => {
                details.version = Some(header.version);
                details.runbook_digest = Some(header.digest);
                details.stage = Some(header.stage.name());
                details.alert = header.alert.map(|alert| alert.name);
            }
            Record::Note { effect, data, .. } if effect == "log.attach-evidence" => {
                details.evidence.push(Evidence { name: text(&data, "name"), text: shown(text(&data, "text")) });
            }
            Record::Asked { slot, policy, resolved, .. } if slot == details.question.slot => {
                details.policy = policy;
                details.state = resolved.and_then(|resolved| resolved.before);
            }
            Record::Note { .. }
            | Record::Asked { .. }
            | Record::Answered { .. }
            | Record::Waiting { .. }
            | Record::Intended { .. }
            | Record::Step { .. }
            | Record::Settled { .. }
            | Record::Ended { .. } => {}
        }
    }
    let beyond = details.evidence.len().saturating_sub(EVIDENCE_MAX);
    details.evidence.drain(..beyond);
    if let Some(more) = details.question.arguments["settings"]["details"].as_str() {
        details.evidence.push(Evidence { name: "details".to_owned(), text: more.to_owned() });
    }
    Ok(details)
}

fn shown(mut text: String) -> String {
    if text.len() > EVIDENCE_BYTES_MAX {
        truncate_at_char(&mut text, EVIDENCE_BYTES_MAX);
        text.push_str("\n… the run has all of it");
    }
    text
}

/// One question
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = String, Path, description = "id or its unique beginning")),
    responses((status = 200, body = Details)))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Answer<Details>> {
    Ok(Answer(details(&app, &id).await?))
}

/// What a person says.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It may be done.
    Approve,
    /// It may not; the runbook sees a denial.
    Deny,
}

/// An answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    pub(super) decision: Verdict,
    /// Stands in the audit and in the run; at most 2,000 bytes.
    #[serde(default)]
    pub(super) reason: String,
    /// One of the options, where there are some.
    #[serde(default)]
    pub(super) answer: Option<String>,
}

/// Answers a question
#[utoipa::path(post, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = String, Path, description = "the whole id")),
    request_body = Decide, responses((status = 200, body = ApprovalView)))]
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(answer): Json<Decide>,
) -> Result<Answer<ApprovalView>> {
    answer_as(&app, &caller, &id, answer).await.map(Answer)
}

/// Answers a question as somebody who may. Needs the whole id: nobody approves by a guess.
pub(super) async fn answer_as(app: &App, caller: &Caller, id: &str, said: Decide) -> Result<ApprovalView> {
    let found = app.store.approval(id).await?.filter(|found| found.id == id);
    let question = found.ok_or_else(|| unknown(id))?;
    if said.reason.len() > REASON_BYTES_MAX {
        return Err(Error::invalid(format!("the reason has more than {REASON_BYTES_MAX} bytes"), "write less"));
    }
    let kind = match said.decision {
        Verdict::Approve => ApprovalEnd::Approved,
        Verdict::Deny => ApprovalEnd::Denied,
    };
    let decision = ApprovalDecision {
        kind,
        by: caller.who().to_owned(),
        answer: option(&question, said.decision, said.answer)?,
        reason: said.reason,
        at: app.now_ms(),
    };
    match app.runner.answer(id, decision).await? {
        Decided::Done(approval) => Ok((*approval).into()),
        Decided::Already(approval) => Err(Error::too_late(ended(&approval), "look at the run")),
        Decided::Expired(approval) => {
            let message = format!("question {id} expired at {}", Time(approval.expires_at));
            Err(Error::too_late(message, "the run asks again if it still needs to"))
        }
        Decided::Gone(approval) => {
            let message = format!("run {} no longer waits for question {id}", approval.run);
            Err(Error::too_late(message, "look at it with `sandbook show`"))
        }
        Decided::Unknown => Err(unknown(id)),
    }
}

/// The option that was chosen, if one had to be.
fn option(question: &Approval, said: Verdict, answer: Option<String>) -> Result<Option<String>> {
    let listed = || question.options.iter().map(|option| format!("\"{option}\"")).collect::<Vec<_>>().join(", ");
    match (said, answer, question.options.as_slice()) {
        (Verdict::Deny, None, _) | (Verdict::Approve, None, []) => Ok(None),
        (Verdict::Deny, Some(_), _) => Err(Error::invalid("a refusal has no answer", "leave `answer` out")),
        (Verdict::Approve, Some(_), []) => {
            Err(Error::invalid("this question is answered with yes or no", "leave `answer` out"))
        }
        (Verdict::Approve, None, [only]) => Ok(Some(only.clone())),
        (Verdict::Approve, Some(answer), options) if options.contains(&answer) => Ok(Some(answer)),
        (Verdict::Approve, Some(answer), _) => Err(Error::invalid(
            format!("\"{answer}\" is none of the options"),
            format!("answer with one of {}", listed()),
        )),
        (Verdict::Approve, None, _) => {
            Err(Error::invalid("this question has several answers", format!("answer with one of {}", listed())))
        }
    }
}

/// How a question ended, in a sentence.
fn ended(approval: &Approval) -> String {
    let Some(end) = &approval.decision else { return format!("question {} is over", approval.id) };
    let why = if end.reason.is_empty() { String::new() } else { format!(": {}", end.reason) };
    format!("question {} was answered before, {} by {} at {}{why}", approval.id, word(end.kind), end.by, Time(end.at))
}
