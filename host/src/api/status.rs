//! How the daemon is: alive, ready, and what is going on.
//!
//! Readiness is for people and balancers and never gates intake: a daemon without Docker still takes alerts. Deliberately
//! not here: judging what to do next; the command line does.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use sandbook_core::problem::Problem;
use sandbook_core::run::{Stage, State as RunState};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Result;
use super::pauses::PauseView;
use super::runbooks::{BrokenView, broken};
use super::stop::StopView;
use super::time::Time;
use crate::state::App;
use crate::store::{EpisodeFilter, RunFilter};

/// Ended runs are counted over this time.
const RECENT_MS: u64 = 24 * 3_600_000;
/// Episodes are looked at over this time for how long they last.
const EPISODES_MS: u64 = 7 * 24 * 3_600_000;
/// Rows looked at for one figure: a status answers at once, also on a busy day.
const ROWS_MAX: u32 = 1_000;
/// How long `/ready` waits for an interpreter that is being compiled.
const INTERPRETER_WAIT: Duration = Duration::from_millis(50);

/// Alive.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the daemon answers; needs no token
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn health() -> Answer<Health> {
    Answer(Health { status: "ok" })
}

/// Ready, or why not.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready` or `not-ready`.
    status: &'static str,
    /// What is missing, a sentence each.
    reasons: Vec<String>,
}

/// Whether runs can act: the store writes, every Docker host answers, the script interpreter is compiled
///
/// Alerts are taken and kept also while it is not.
#[utoipa::path(get, path = "/ready", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Ready, description = "not ready")))]
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Answer<Ready>) {
    let mut reasons = Vec::new();
    let health = app.store.health();
    if !health.ok {
        reasons.push(format!("the store cannot write: {}", health.last_error.unwrap_or_default()));
    }
    for (name, connection) in app.watcher.iter().flat_map(|watcher| watcher.connections()) {
        if !connection.up {
            let why = connection.last_error.unwrap_or_else(|| "not connected yet".to_owned());
            reasons.push(format!("docker host {name} is down: {why}"));
        }
    }
    match tokio::time::timeout(INTERPRETER_WAIT, app.runner.parts().sandbox.warm()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(format!("the script interpreter does not compile: {error:#}")),
        Err(_) => reasons.push("the script interpreter is being compiled".to_owned()),
    }
    if let Some(problem) = policy_problems(&app).first() {
        reasons.push(format!("the policy on disk is broken, the one loaded before stays in force: {problem}"));
    }
    match reasons.is_empty() {
        true => (StatusCode::OK, Answer(Ready { status: "ready", reasons })),
        false => (StatusCode::SERVICE_UNAVAILABLE, Answer(Ready { status: "not-ready", reasons })),
    }
}

/// What is going on.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    version: &'static str,
    /// Which daemon this is, across restarts another one each time.
    instance: String,
    started_at: Time,
    uptime_ms: u64,
    store: StoreStatus,
    /// Docker hosts.
    docker: Vec<HostStatus>,
    /// Absent: no model is configured.
    llm: Option<LlmStatus>,
    queue: Queue,
    /// By state: open ones, and those that ended in the last 24 hours.
    runs: BTreeMap<&'static str, u64>,
    /// Runbooks by the stage of the version that runs.
    runbooks: BTreeMap<&'static str, u64>,
    /// Folders whose package cannot be used.
    broken: Vec<BrokenView>,
    /// Who stopped everything; absent while runbooks may act.
    stop: Option<StopView>,
    pauses: Vec<PauseView>,
    /// How long alerts with a run lasted in the last 7 days; absent before the first one ended.
    mttr: Option<Mean>,
    /// From an alert's request to the first change; absent before the first one since the start.
    time_to_first_effect: Option<Mean>,
    /// Whether the policy on disk is the one in force.
    policy: PolicyStatus,
    /// What is probably not what was meant.
    warnings: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct PolicyStatus {
    ok: bool,
    /// Why it was not loaded; the policy before stays in force.
    #[schema(value_type = Vec<Object>)]
    problems: Vec<Problem>,
}

#[derive(Serialize, ToSchema)]
struct StoreStatus {
    /// `ok` or `error`.
    status: &'static str,
    ok: bool,
    error: Option<String>,
    /// Writes waiting for the writer.
    queued: u64,
}

#[derive(Serialize, ToSchema)]
struct HostStatus {
    name: String,
    /// `up` or `down`.
    status: &'static str,
    endpoint: String,
    engine_version: Option<String>,
    api_version: Option<String>,
    /// Why it is down.
    error: Option<String>,
    /// Since when it is up or down.
    #[schema(format = DateTime)]
    since: String,
}

#[derive(Serialize, ToSchema)]
struct LlmStatus {
    base_url: String,
    model: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Queue {
    /// Runs accepted and not started.
    length: usize,
    /// How many may be before new firing alerts are answered 503.
    capacity: usize,
}

#[derive(Serialize, ToSchema)]
struct Mean {
    mean_ms: u64,
    /// How many it is the mean of.
    count: u64,
}

/// What is going on
#[utoipa::path(get, path = "/status", tag = "health", responses((status = 200, body = Status)))]
pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Answer<Status>> {
    let now = app.now_ms();
    let health = app.store.health();
    let (length, room) = (app.runner.queue_length(), app.runner.room());
    let pauses = app.store.pauses(now).await?.into_iter().map(PauseView::from).collect();
    Ok(Answer(Status {
        version: env!("CARGO_PKG_VERSION"),
        instance: app.instance.clone(),
        started_at: Time(app.started_at_ms),
        uptime_ms: now.saturating_sub(app.started_at_ms),
        store: StoreStatus {
            status: if health.ok { "ok" } else { "error" },
            ok: health.ok,
            error: health.last_error.filter(|_| !health.ok),
            queued: health.queued,
        },
        docker: hosts(&app),
        llm: app
            .config
            .llm
            .base_url
            .clone()
            .map(|base_url| LlmStatus { base_url, model: app.config.llm.model.clone() }),
        queue: Queue { length, capacity: length + room },
        runs: runs(&app, now).await?,
        runbooks: stages(&app),
        broken: broken(&app),
        stop: app.store.stopped().await?.map(StopView::from),
        pauses,
        mttr: mttr(&app, now).await?,
        time_to_first_effect: first_effect(&app),
        policy: PolicyStatus { ok: policy_problems(&app).is_empty(), problems: policy_problems(&app) },
        warnings: warnings(&app),
    }))
}

fn hosts(app: &App) -> Vec<HostStatus> {
    let connections = app.watcher.iter().flat_map(|watcher| watcher.connections());
    connections
        .map(|(name, connection)| HostStatus {
            name,
            status: if connection.up { "up" } else { "down" },
            endpoint: connection.endpoint,
            engine_version: connection.engine_version,
            api_version: connection.api_version,
            error: connection.last_error.filter(|_| !connection.up),
            since: connection.since.to_string(),
        })
        .collect()
}

async fn runs(app: &App, now: u64) -> Result<BTreeMap<&'static str, u64>> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for state in RunState::ALL {
        counts.insert(state.name(), 0);
    }
    for row in app.store.open_runs().await? {
        *counts.entry(row.state.name()).or_default() += 1;
    }
    let filter = RunFilter { since: Some(now.saturating_sub(RECENT_MS)), limit: ROWS_MAX, ..RunFilter::default() };
    let (recent, _) = app.store.runs(filter).await?;
    for row in recent.iter().filter(|row| row.state.is_final()) {
        *counts.entry(row.state.name()).or_default() += 1;
    }
    Ok(counts)
}

fn stages(app: &App) -> BTreeMap<&'static str, u64> {
    let mut highest: BTreeMap<String, Stage> = BTreeMap::new();
    for standing in app.library.standings().iter() {
        let stage = highest.entry(standing.name.clone()).or_insert(Stage::Draft);
        if standing.current {
            *stage = standing.stage;
        }
    }
    let mut counts: BTreeMap<&'static str, u64> = Stage::ALL.iter().map(|stage| (stage.name(), 0)).collect();
    for stage in highest.into_values() {
        *counts.entry(stage.name()).or_default() += 1;
    }
    counts
}

async fn mttr(app: &App, now: u64) -> Result<Option<Mean>> {
    let filter =
        EpisodeFilter { since: Some(now.saturating_sub(EPISODES_MS)), limit: ROWS_MAX, ..EpisodeFilter::default() };
    let (episodes, _) = app.store.episodes(filter).await?;
    let lasted = episodes.iter().filter(|episode| !episode.runs.is_empty());
    let lasted: Vec<u64> =
        lasted.filter_map(|episode| Some(episode.resolved_at?.saturating_sub(episode.first_heard))).collect();
    let count = lasted.len() as u64;
    Ok(lasted.iter().sum::<u64>().checked_div(count).map(|mean_ms| Mean { mean_ms, count }))
}

fn first_effect(app: &App) -> Option<Mean> {
    let seen = &app.metrics.first_effect_seconds;
    let count = seen.get_sample_count();
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds, not negative"
    )]
    (count > 0).then(|| Mean { mean_ms: (seen.get_sample_sum() / count as f64 * 1_000.0).round() as u64, count })
}

fn policy_problems(app: &App) -> Vec<Problem> {
    app.policy_problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn warnings(app: &App) -> Vec<String> {
    let mut warnings: Vec<String> = app.config.warnings.iter().map(ToString::to_string).collect();
    let policy = app.runner.parts().policy();
    let known = app.library.standings().iter().map(|standing| standing.name.clone()).collect();
    warnings.extend(policy.warnings().iter().map(ToString::to_string));
    warnings.extend(policy.unknown_runbooks(&known).iter().map(ToString::to_string));
    if app.auth.is_open() {
        warnings.push("authentication is off: everybody on this machine is the daemon's admin".to_owned());
    }
    warnings
}
