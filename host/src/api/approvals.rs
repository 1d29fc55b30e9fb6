//! Questions that wait for a person, and answering them.
//!
//! Exactly one answer counts: the store decides which. The answer is recorded in the run's journal together with the
//! run's new state; then the run goes on by replay. Deliberately not here: links that decide. A GET never answers.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use sandbook_core::journal::Record;
use sandbook_core::run::State as RunState;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::error::{Error, Result};
use super::extract::{Json, Path, Query};
use super::record::TargetView;
use super::runs::find;
use super::time::Time;
use crate::auth::Caller;
use crate::state::App;
use crate::store::{Approval, ApprovalEnd, Checkpoint, Decided, RunPatch};

/// A question.
#[derive(Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct ApprovalView {
    id: String,
    run: String,
    /// Which effect of the run, from 0.
    slot: u32,
    runbook: String,
    effect: String,
    #[schema(value_type = Object)]
    arguments: Value,
    target: Option<TargetView>,
    /// Why it is asked.
    reason: String,
    at: Time,
    expires_at: Time,
    /// How it ended; absent while it is open.
    decision: Option<DecisionView>,
}

/// How a question ended.
#[derive(Serialize, ToSchema)]
#[schema(as = ApprovalDecision)]
pub(super) struct DecisionView {
    /// `approved`, `denied`, or `withdrawn` because the reason to ask went away.
    kind: &'static str,
    by: String,
    reason: String,
    at: Time,
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
            runbook: approval.runbook,
            effect: approval.effect,
            arguments: approval.arguments,
            target: approval.target.as_ref().map(TargetView::from),
            reason: approval.reason,
            at: Time(approval.at),
            expires_at: Time(approval.expires_at),
            decision: approval.decision.map(|decision| DecisionView {
                kind: word(decision.kind),
                by: decision.by,
                reason: decision.reason,
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

/// Open questions, newest first
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(ApprovalsQuery), responses((status = 200, body = Approvals)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ApprovalsQuery>,
) -> Result<Answer<Approvals>> {
    let now = app.now_ms();
    let mut approvals = app.store.approvals(!query.all).await?;
    // Nobody can answer an expired one any more.
    approvals.retain(|approval| query.all || approval.expires_at > now);
    Ok(Answer(Approvals { approvals: approvals.into_iter().map(ApprovalView::from).collect(), next_cursor: None }))
}

fn unknown(id: &str) -> Error {
    Error::not_found(
        format!("there is no question {id}"),
        "`sandbook approvals` lists the open ones; answering needs the whole id",
    )
}

/// One question
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = String, Path, description = "id or its unique beginning")),
    responses((status = 200, body = ApprovalView)))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Answer<ApprovalView>> {
    let approval = app.store.approval(&id).await?;
    approval.map(|approval| Answer(approval.into())).ok_or_else(|| unknown(&id))
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
    decision: Verdict,
    /// Stands in the audit and in the run.
    #[serde(default)]
    reason: String,
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
    let (approved, now) = (answer.decision == Verdict::Approve, app.now_ms());
    let approval = match app.store.decide_approval(&id, approved, caller.who(), &answer.reason, now).await? {
        Decided::Done(approval) => approval,
        Decided::Already(approval) => {
            let how = approval
                .decision
                .as_ref()
                .map_or_else(String::new, |end| format!(": {} by {}", word(end.kind), end.by));
            return Err(Error::too_late(format!("question {id} was answered before{how}"), "look at the run"));
        }
        Decided::Expired(approval) => {
            let message = format!("question {id} expired at {}", Time(approval.expires_at));
            return Err(Error::too_late(message, "the run asks again if it still needs to"));
        }
        Decided::Unknown => return Err(unknown(&id)),
    };
    let what = if approved { "approve" } else { "deny" };
    let details = json!({
        "run": approval.run, "slot": approval.slot, "runbook": approval.runbook, "effect": approval.effect,
        "target": approval.target, "reason": answer.reason,
    });
    app.store.audit(caller.who(), what, &approval.id, details, now).await?;
    carry_on(&app, &approval, approved, caller.who(), &answer.reason).await?;
    Ok(Answer((*approval).into()))
}

/// Records the answer and queues the run, in one transaction.
async fn carry_on(app: &App, approval: &Approval, approved: bool, by: &str, reason: &str) -> Result<()> {
    let record = Record::Answered {
        slot: approval.slot,
        approved,
        by: by.to_owned(),
        reason: reason.to_owned(),
        at: app.now_ms(),
    };
    let patch = RunPatch {
        from: vec![RunState::Waiting],
        state: Some(RunState::Queued),
        wake_at: Some(None),
        ..RunPatch::default()
    };
    let checkpoint = Checkpoint { records: vec![record], patch, approval: None };
    if !app.store.checkpoint(&approval.run, checkpoint).await? {
        let row = find(app, &approval.run).await?;
        return Err(Error::too_late(
            format!("run {} is {} and no longer waits", row.id, row.state),
            "look at it with `sandbook show`",
        ));
    }
    let row = find(app, &approval.run).await?;
    Ok(app.runner.bring_back(row).await?)
}
