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

use super::brakes::TripView;
use super::error::Result;
use super::llm::LlmStatus;
use super::notify::{self, ChannelStatus};
use super::pauses::PauseView;
use super::runbooks::{BrokenView, Figures, broken, figures};
use super::stop::StopView;
use super::time::Time;
use crate::about_us::refused::{Count, sentence};
use crate::state::App;
use crate::store::{self, RunFilter};

/// Ended runs are counted over this time.
const RECENT_MS: u64 = 24 * 3_600_000;
/// Means of how long things took are taken over this time.
pub(super) const SPEED_MS: u64 = 7 * 24 * 3_600_000;
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
    let silent = app.watcher.as_ref().map(|watcher| watcher.silent()).unwrap_or_default();
    for (name, connection) in app.watcher.iter().flat_map(|watcher| watcher.connections()) {
        if let Some(silence) = silent.get(&name) {
            reasons.push(format!("docker host {name} {silence}"));
        } else if !connection.up {
            let why = connection.last_error.unwrap_or_else(|| "not connected yet".to_owned());
            reasons.push(format!("docker host {name} is down: {why}"));
        }
    }
    if let Some(WatchdogStatus { status: "silent", last_heard, .. }) = watchdog(&app) {
        let last = last_heard.map_or_else(|| "the start".to_owned(), |at| at.to_string());
        reasons.push(format!("the alert that always fires was not heard since {last}: alerts may not arrive"));
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
    /// Absent: none is configured.
    alertmanager: Option<AlertmanagerStatus>,
    /// The alert that always fires; absent: none is expected.
    watchdog: Option<WatchdogStatus>,
    /// Absent: no model is configured.
    llm: Option<LlmStatus>,
    queue: Queue,
    /// By state: open ones, and those that ended in the last 24 hours.
    runs: BTreeMap<&'static str, u64>,
    /// Runbooks by the stage of the version that runs.
    runbooks: BTreeMap<&'static str, u64>,
    /// What waits for each channel of people, and what was dropped.
    notify: BTreeMap<String, ChannelStatus>,
    /// When runbooks with a schedule are due next, the earliest first.
    schedules: Vec<NextFire>,
    /// Folders whose package cannot be used.
    broken: Vec<BrokenView>,
    /// Who stopped everything; absent while runbooks may act.
    stop: Option<StopView>,
    pauses: Vec<PauseView>,
    /// Brakes that tripped and wait for a person to re-arm them.
    trips: Vec<TripView>,
    /// Versions the engine demoted because acting did not help, and why.
    demoted: Vec<String>,
    /// What came of the runs of all runbooks in the last 30 days.
    outcomes: Figures,
    /// How long alerts lasted on which a run acted, from the first message to the resolution, in the last 7 days; absent
    /// before the first one ended.
    mttr: Option<Mean>,
    /// From a trigger to the first change, in the last 7 days; absent before the first one.
    time_to_first_effect: Option<Mean>,
    /// Whether the policy on disk is the one in force.
    policy: PolicyStatus,
    /// Webhook messages refused since the start that their sender does not send again; a warning each says what to do.
    refused: Vec<RefusedStatus>,
    /// What is probably not what was meant, and what was lost.
    warnings: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct RefusedStatus {
    /// As in `sandbook_webhook_refused_total`.
    reason: &'static str,
    count: u64,
    last: Time,
}

#[derive(Serialize, ToSchema)]
struct NextFire {
    name: String,
    next: Time,
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
struct AlertmanagerStatus {
    /// `up` or `down`.
    status: &'static str,
    /// Host and port.
    address: String,
    /// Why it is down, or what its silences have that cannot be read.
    error: Option<String>,
    /// When its alerts were fetched last; absent: not since the start.
    last_success: Option<Time>,
    /// Times in a row that they could not be.
    failures: u64,
    /// Alerts that only it knew, since the start.
    missed: u64,
    /// Silences, active and pending.
    silences: usize,
}

#[derive(Serialize, ToSchema)]
struct WatchdogStatus {
    /// `heard` or `silent`.
    status: &'static str,
    /// Absent: not since the start.
    last_heard: Option<Time>,
    /// After how long without it people are told.
    within_ms: u64,
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

impl From<store::Mean> for Mean {
    fn from(mean: store::Mean) -> Mean {
        Mean { mean_ms: mean.mean_ms, count: mean.count }
    }
}

/// What is going on
#[utoipa::path(get, path = "/status", tag = "health", responses((status = 200, body = Status)))]
pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Answer<Status>> {
    let now = app.now_ms();
    let health = app.store.health();
    let speed = app.store.speed(now.saturating_sub(SPEED_MS)).await?;
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
        alertmanager: alertmanager(&app),
        watchdog: watchdog(&app),
        llm: LlmStatus::of(&app, now).await?,
        queue: Queue { length, capacity: length + room },
        runs: runs(&app, now).await?,
        runbooks: stages(&app),
        notify: notify::channels(&app).await?,
        schedules: schedules(&app),
        broken: broken(&app),
        stop: app.store.stopped().await?.map(StopView::from),
        pauses,
        trips: app.store.trips(true).await?.into_iter().map(TripView::from).collect(),
        demoted: demoted(&app),
        outcomes: figures(&app).await?,
        mttr: speed.repair.map(Mean::from),
        time_to_first_effect: speed.first_effect.map(Mean::from),
        policy: PolicyStatus { ok: policy_problems(&app).is_empty(), problems: policy_problems(&app) },
        refused: refused(&app),
        warnings: warnings(&app),
    }))
}

/// Due next at the most: a status fits a screen.
const SCHEDULES_MAX: usize = 5;

fn schedules(app: &App) -> Vec<NextFire> {
    let coming = app.schedules.coming().into_iter();
    let mut coming: Vec<NextFire> = coming.map(|(name, next)| NextFire { name, next: Time(next) }).collect();
    coming.sort_by_key(|one| one.next.0);
    coming.truncate(SCHEDULES_MAX);
    coming
}

fn alertmanager(app: &App) -> Option<AlertmanagerStatus> {
    let catch_up = app.catch_up.as_ref()?;
    let (progress, silences) = (catch_up.progress(), app.runner.parts().silences.known());
    let count = silences.count();
    let error = progress.error.or(silences.error);
    Some(AlertmanagerStatus {
        status: if error.is_none() { "up" } else { "down" },
        address: catch_up.place().to_owned(),
        error: error.or_else(|| silences.unreadable.into_iter().next()),
        last_success: progress.last_success.map(Time),
        failures: progress.failures,
        missed: progress.missed,
        silences: count,
    })
}

fn watchdog(app: &App) -> Option<WatchdogStatus> {
    let within = app.config.alertmanager.watchdog?;
    let watchdog = app.runner.parts().about_us.watchdog();
    Some(WatchdogStatus {
        status: if watchdog.silent { "silent" } else { "heard" },
        last_heard: watchdog.heard_at.map(Time),
        within_ms: within.0,
    })
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

fn demoted(app: &App) -> Vec<String> {
    let standings = app.library.standings();
    let demoted = standings.iter().filter(|standing| standing.demoted && standing.present);
    demoted
        .map(|standing| {
            let why = standing.reason.as_deref().unwrap_or_default();
            format!("{} {} is in shadow: {why}", standing.name, standing.version)
        })
        .collect()
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
    warnings.extend(app.intake.idle_routes());
    if app.auth.is_open() {
        warnings.push("authentication is off: everybody on this machine is the daemon's admin".to_owned());
    }
    let lost = app.runner.parts().about_us.lost.counts();
    let said = |(reason, count): (_, Count)| sentence(reason, count.count, &Time(count.last_at).to_string());
    warnings.extend(lost.into_iter().map(said));
    warnings
}

fn refused(app: &App) -> Vec<RefusedStatus> {
    let lost = app.runner.parts().about_us.lost.counts().into_iter();
    lost.map(|(reason, one)| RefusedStatus { reason: reason.name(), count: one.count, last: Time(one.last_at) })
        .collect()
}
