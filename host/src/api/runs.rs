//! Runs: the list, one, its journal, and starting one by hand.
//!
//! Deliberately not here: ending or settling one, see [`super::settle`], and following one, see [`super::events`].

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use sandbook_core::run::{Stage, State as RunState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::alerts::SimilarQuery;
use super::error::{self, Error, Result};
use super::extract::{JsonOrNothing, Path, Query, since, word};
use super::plans::{may_be_about_nothing, reference};
use super::record::{RecordView, TargetView, Viewer};
use super::runbooks::of_library;
use super::time::Time;
use crate::auth::Caller;
use crate::runner::aim::Hint;
use crate::runner::execute::mode_of;
use crate::similar::{self, Similar};
use crate::state::App;
use crate::store::{NewRun, RunFilter, RunRow, id};

/// A run.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
pub(super) struct RunView {
    /// Its id.
    run: String,
    runbook: String,
    version: String,
    /// Of the version it is pinned to.
    digest: String,
    /// `live`, `plan`, `shadow`, `replay` or `simulate`.
    mode: &'static str,
    /// When it was started.
    stage: &'static str,
    /// `alert`, `docker-event`, `manual` or `schedule`.
    trigger: String,
    /// `queued`, `running`, `waiting`, `succeeded`, `failed`, `cancelled` or `needs-attention`.
    state: &'static str,
    episode: Option<String>,
    target: Option<TargetView>,
    /// Typed, in the shapes of the guest contract.
    #[schema(value_type = Object)]
    parameters: Value,
    /// When it was queued.
    at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    /// What it changed that the compose file of the container does not know; of a single run only.
    drift: Vec<String>,
    /// When a waiting run goes on by itself.
    wake_at: Option<Time>,
    /// `done`, `fixed`, `nothing-to-do`, `escalate`, `no-target`, `ambiguous-target`, `refused`, `limited` or `failed`.
    outcome: Option<&'static str>,
    /// What happened, for people.
    sentence: Option<String>,
    /// With its place in the script, where it has one.
    error: Option<String>,
    /// `pending`, `confirmed`, `contradicted` or `unknown`; absent when it changed nothing.
    verification: Option<&'static str>,
    /// Why it is what it is, in a sentence.
    verification_why: Option<String>,
    /// When it last changed.
    verified_at: Option<Time>,
    /// Until when it may still change; absent once it cannot.
    verify_until: Option<Time>,
    /// When the run first changed something.
    acted_at: Option<Time>,
    /// How often the daemon ended while it ran.
    crashes: u32,
    /// Its trace, where the daemon exports one; only when asked for a single run.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl From<RunRow> for RunView {
    fn from(row: RunRow) -> RunView {
        RunView {
            run: row.id,
            runbook: row.runbook,
            version: row.version,
            digest: row.digest,
            mode: row.mode.name(),
            stage: row.stage.name(),
            trigger: row.trigger,
            state: row.state.name(),
            episode: row.episode,
            target: row.target.as_ref().map(TargetView::from),
            drift: Vec::new(),
            parameters: row.parameters,
            at: Time(row.at),
            started_at: row.started_at.map(Time),
            finished_at: row.finished_at.map(Time),
            wake_at: row.wake_at.map(Time),
            outcome: row.outcome.map(|outcome| outcome.name()),
            sentence: row.sentence,
            error: row.error,
            verification: row.verification.map(|verification| verification.name()),
            verification_why: row.aftermath.verification_why,
            verified_at: row.aftermath.verified_at.map(Time),
            verify_until: row.aftermath.verify_until.map(Time),
            acted_at: row.aftermath.acted_at.map(Time),
            crashes: row.crashes,
            trace: None,
        }
    }
}

/// A page of runs.
#[derive(Serialize, ToSchema)]
pub(super) struct Runs {
    runs: Vec<RunView>,
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsQuery {
    /// Only in this state.
    state: Option<String>,
    /// Only of this runbook.
    runbook: Option<String>,
    /// Only on this target: `name` or `host/name`.
    target: Option<String>,
    /// Only of this episode.
    episode: Option<String>,
    /// Only queued since: a duration back, or a time.
    since: Option<String>,
    /// How many; at most 1000, which is also the default.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// Runs, newest first
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(RunsQuery), responses((status = 200, body = Runs)))]
pub(super) async fn list(State(app): State<Arc<App>>, Query(query): Query<RunsQuery>) -> Result<Answer<Runs>> {
    let filter = RunFilter {
        state: word("state", query.state.as_deref(), RunState::ALL, RunState::name)?,
        mode: None,
        runbook: query.runbook.filter(|name| !name.is_empty()),
        target: query.target.filter(|name| !name.is_empty()),
        since: since(query.since.as_deref(), app.now_ms())?,
        episode: query.episode.filter(|id| !id.is_empty()),
        limit: query.limit.unwrap_or(0),
        cursor: query.cursor,
    };
    let (rows, next_cursor) = app.store.runs(filter).await?;
    Ok(Answer(Runs { runs: rows.into_iter().map(RunView::from).collect(), next_cursor }))
}

/// The run an id means: whole, the unique beginning of one, or `last`.
pub(super) async fn find(app: &App, id: &str) -> Result<RunRow> {
    let row = app.store.run(id).await?;
    row.ok_or_else(|| Error::not_found(format!("there is no run {id}"), "`sandbook runs` lists them"))
}

/// One run
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "id, its unique beginning, or `last`")),
    responses((status = 200, body = RunView)))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Answer<RunView>> {
    let row = find(&app, &id).await?;
    let drift = app.store.drifts_of(&row.id).await?;
    let said = |drift: crate::store::Drift| format!("{}/{}: {}", drift.host, drift.container, drift.change);
    let trace = app.runner.parts().traces().and_then(|traces| traces.id_of(&row.id));
    Ok(Answer(RunView { drift: drift.into_iter().map(said).collect(), trace, ..row.into() }))
}

/// A journal.
#[derive(Serialize, ToSchema)]
pub(super) struct Records {
    records: Vec<RecordView>,
    /// Always absent: a journal is bounded and comes whole.
    next_cursor: Option<String>,
}

/// What is recorded of a run, as far as it is durable
#[utoipa::path(get, path = "/v1/runs/{id}/journal", tag = "runs",
    params(("id" = String, Path, description = "id, its unique beginning, or `last`")), responses((status = 200, body = Records)))]
pub(super) async fn journal(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Answer<Records>> {
    let row = find(&app, &id).await?;
    let mut viewer = Viewer::default();
    let records = app.store.records_after(&row.id, None).await?;
    let records = records.iter().map(|(seq, record)| viewer.view(*seq, record)).collect();
    Ok(Answer(Records { records, next_cursor: None }))
}

/// Earlier incidents like the one of this run, and what helped
///
/// Of a run that no alert started: none.
#[utoipa::path(get, path = "/v1/runs/{id}/similar", tag = "runs",
    params(("id" = String, Path, description = "id, its unique beginning, or `last`"), SimilarQuery), responses((status = 200, body = Similar)))]
pub(super) async fn similar_to(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<SimilarQuery>,
) -> Result<Answer<Similar>> {
    let row = find(&app, &id).await?;
    let found = match &row.episode {
        Some(episode) => similar::of_episode(&*app.store, episode, query.limit()).await?,
        None => None,
    };
    Ok(Answer(found.unwrap_or_default()))
}

/// A run to be started by hand.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Start {
    /// A container, `host/container` or `host/project/service`, or such a target as runs show it; absent where the runbook
    /// is about nothing in particular.
    #[schema(value_type = Object)]
    target: Option<Value>,
    /// Texts, numbers and flags by name; the manifest types them.
    #[schema(value_type = Object)]
    parameters: BTreeMap<String, Value>,
    /// Beginning of a version's digest; absent: the version that runs.
    digest: Option<String>,
    /// Stands in the audit.
    reason: String,
}

/// The id of what was started.
#[derive(Serialize, ToSchema)]
pub(super) struct Started {
    pub(super) run: String,
}

/// Starts a run by hand
///
/// The version must be in stage ask or live: one that only watches would do nothing.
#[utoipa::path(post, path = "/v1/runbooks/{name}/runs", tag = "runs", params(("name" = String, Path, description = "name or its unique beginning")),
    request_body = Start, responses((status = 202, body = Started, description = "it is durable and queued")))]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    JsonOrNothing(start): JsonOrNothing<Start>,
) -> Result<(StatusCode, Answer<Started>)> {
    let standing = app.library.find(&name, start.digest.as_deref()).map_err(of_library)?;
    if standing.stage < Stage::Ask {
        let message =
            format!("{} {} is in stage {}, which never acts", standing.name, standing.version, standing.stage);
        let fix = format!("sandbook promote {} ask --reason \"…\"", standing.name);
        return Err(Error::new(StatusCode::CONFLICT, error::STAGE, message, fix));
    }
    let package = app.library.package_by_digest(&standing.digest).await.map_err(of_library)?;
    let package = package.ok_or_else(|| Error::defect(&format!("package {} is not stored", standing.digest)))?;
    let parameters = package.manifest.parameters_from(&texts(&start.parameters)?).map_err(|misfits| {
        let details = misfits.iter().map(|misfit| json!(misfit)).collect();
        let fix = format!("`sandbook runbooks {}` shows what it takes", standing.name);
        Error::invalid(crate::intake::sentences(&misfits), fix).with_details(details)
    })?;
    if app.runner.room() == 0 {
        let message = format!("the queue is full ({} runs are waiting to start)", app.runner.queue_length());
        return Err(Error::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error::NOT_DURABLE,
            message,
            "try again when there is room",
        ));
    }
    let reference = reference(start.target.clone())?;
    if reference.is_none() {
        may_be_about_nothing(&package, "send `target`: `sandbook targets` lists what there is")?;
    }
    let hint = Hint { reference, ..Hint::default() };
    let now = app.now_ms();
    let run = NewRun {
        id: id::new("r"),
        runbook: standing.name.clone(),
        version: standing.version,
        digest: standing.digest.clone(),
        mode: mode_of(standing.stage, app.runner.parts().acting),
        stage: standing.stage,
        origin: standing.origin,
        trigger: "manual".to_owned(),
        episode: None,
        parameters: serde_json::to_value(parameters).unwrap_or_default(),
        target_hint: serde_json::to_value(hint).unwrap_or_default(),
        priority: 0,
        at: now,
    };
    let run_id = run.id.clone();
    let details = json!({"run": run_id, "target": start.target, "digest": standing.digest, "reason": start.reason});
    app.store.audit(caller.who(), "run", &standing.name, details, now).await?;
    app.runner.submit(run, None).await?;
    Ok((StatusCode::ACCEPTED, Answer(Started { run: run_id })))
}

/// Parameters as the manifest reads them.
pub(super) fn texts(given: &BTreeMap<String, Value>) -> Result<BTreeMap<String, String>> {
    given
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Number(number) => Ok((name.clone(), number.to_string())),
            Value::Bool(flag) => Ok((name.clone(), flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(Error::invalid(format!("parameter `{name}` is no text, number or flag"), "give one value a name"))
            }
        })
        .collect()
}
