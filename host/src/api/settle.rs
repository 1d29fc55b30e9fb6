//! Ending a run, and settling one that only a person can settle.
//!
//! A change whose outcome nobody could look up is recorded as the person says: done with the world as it is now, or as
//! an error the runbook sees. Deliberately not here: settling by looking; the gate does it before it asks anybody.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use sandbook_core::effect::{Effect, Scope};
use sandbook_core::journal::{Answer as Outcome, Journal, Record, Slot, SlotState};
use sandbook_core::run::{Certainty, Decision, State as RunState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::error::{Error, Result};
use super::extract::{Json, JsonOrNothing, Path};
use super::runs::find;
use crate::auth::Caller;
use crate::state::App;
use crate::store::{Checkpoint, RunPatch, RunRow};

/// Why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Why {
    /// Stands in the audit and in the run.
    reason: String,
}

/// A run and the state it is brought to.
#[derive(Serialize, ToSchema)]
pub(super) struct Brought {
    run: String,
    state: &'static str,
}

/// Ends a run before its next effect
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path, description = "id, its unique beginning, or `last`")),
    request_body = Why, responses((status = 200, body = Brought)))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    JsonOrNothing(why): JsonOrNothing<Why>,
) -> Result<Answer<Brought>> {
    let row = find(&app, &id).await?;
    if row.state.is_final() || !app.runner.cancel(&row.id, caller.who(), &why.reason).await? {
        return Err(Error::too_late(
            format!("run {} is {} already", row.id, find(&app, &row.id).await?.state),
            "there is nothing to end",
        ));
    }
    app.store
        .audit(caller.who(), "cancel", &row.id, json!({"runbook": row.runbook, "reason": why.reason}), app.now_ms())
        .await?;
    Ok(Answer(Brought { run: row.id, state: RunState::Cancelled.name() }))
}

/// How it turned out, as far as a person can tell.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Settled {
    /// The change happened.
    Done,
    /// It did not, and cannot any more.
    NotDone,
}

/// What a person says of the change a run stopped at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    /// Whether it happened.
    #[serde(rename = "as")]
    settled: Settled,
    /// Stands in the audit.
    #[serde(default)]
    reason: String,
}

/// Settles a run that needs attention, and lets it go on
#[utoipa::path(post, path = "/v1/runs/{id}/resume", tag = "runs", params(("id" = String, Path, description = "id, its unique beginning, or `last`")),
    request_body = Resume, responses((status = 200, body = Brought)))]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(resume): Json<Resume>,
) -> Result<Answer<Brought>> {
    let row = find(&app, &id).await?;
    let too_late = |state: RunState| {
        Error::too_late(format!("run {} is {state} and needs no attention", row.id), "look at it with `sandbook show`")
    };
    if row.state != RunState::NeedsAttention {
        return Err(too_late(row.state));
    }
    let settled = settlement(&app, &row, &caller, &resume).await?;
    let effect = settled.as_ref().map(|(effect, _)| effect.clone());
    let patch = RunPatch {
        from: vec![RunState::NeedsAttention],
        state: Some(RunState::Queued),
        wake_at: Some(None),
        crashes: Some(0),
        ..RunPatch::default()
    };
    let checkpoint =
        Checkpoint { records: settled.into_iter().map(|(_, record)| record).collect(), patch, approval: None };
    if !app.store.checkpoint(&row.id, checkpoint).await? {
        return Err(too_late(find(&app, &row.id).await?.state));
    }
    app.runner.queue_again(&row.id).await;
    let word = if resume.settled == Settled::Done { "done" } else { "not-done" };
    let details = json!({"runbook": row.runbook, "as": word, "effect": effect, "reason": resume.reason});
    app.store.audit(caller.who(), "resume", &row.id, details, app.now_ms()).await?;
    Ok(Answer(Brought { run: row.id, state: RunState::Queued.name() }))
}

/// The record that settles the change the run stopped at, with the effect's name; nothing when it stopped elsewhere.
async fn settlement(app: &App, row: &RunRow, caller: &Caller, resume: &Resume) -> Result<Option<(String, Record)>> {
    let records = app.store.records(&row.id).await?;
    if records.is_empty() {
        return Ok(None);
    }
    let journal = Journal::fold(records).map_err(|error| {
        Error::too_late(format!("the journal of {} cannot be read: {error}", row.id), "cancel it and start a new run")
    })?;
    let open = |slot: &&Slot| matches!(slot.state, SlotState::Intended | SlotState::Step);
    let Some(slot) = journal.slots.last().filter(open) else { return Ok(None) };
    let answer = match resume.settled {
        Settled::Done => Outcome::Ok(outcome_now(app, slot).await?),
        Settled::NotDone => {
            let message = format!("{} did not happen; {} settled it", slot.request.effect, caller.who());
            Outcome::Error(sandbook_core::error::Error::failed(message))
        }
    };
    let record = Record::Settled {
        slot: u32::try_from(journal.slots.len() - 1).unwrap_or(u32::MAX),
        request: None,
        target: slot.target.clone(),
        decision: slot.decision.unwrap_or(Decision::Allow),
        certainty: Certainty::Assumed,
        policy: slot.policy.clone(),
        answer,
        at: app.now_ms(),
    };
    Ok(Some((slot.request.effect.clone(), record)))
}

/// What the effect would have answered: the container as it is now, for those that answer with it.
async fn outcome_now(app: &App, slot: &Slot) -> Result<Value> {
    let effect = &slot.request.effect;
    let fix = "settle it as not-done if the runbook can go on without its answer, or cancel the run";
    let target =
        slot.target.as_ref().ok_or_else(|| Error::too_late(format!("{effect} has no target to look at"), fix))?;
    if effect == "docker.remove-container" {
        return Ok(json!({"name": target.name, "id": target.id}));
    }
    let found = app.runner.parts().driver.resolve(&target.host, &Scope::Container(&target.name)).await;
    let found = found.map_err(|error| Error::too_late(format!("{target} cannot be looked at: {error}"), fix))?;
    let answer = match effect.as_str() {
        "docker.recreate-container" => json!({
            "name": found.target.name,
            "id": found.target.id,
            "old_id": target.id,
            "image": found.facts.map(|facts| facts.image).unwrap_or_default(),
            "state": found.before,
        }),
        _ => json!({"changed": true, "state": found.before}),
    };
    Effect::check_output(effect, &answer)
        .map_err(|_| Error::too_late(format!("what {effect} answered is lost and cannot be looked up"), fix))?;
    Ok(answer)
}
