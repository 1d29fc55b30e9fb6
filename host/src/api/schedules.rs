//! Schedules: what is due when, what became of the last time, and why nothing is started where nothing is.
//!
//! Deliberately not here: following them; see [`crate::schedules`].

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use sandbook_core::schedule::{Due, Shift};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Result;
use super::extract::Query;
use super::runbooks::of_library;
use super::time::Time;
use crate::schedules::{SHOWN_MAX, Shown};
use crate::state::App;
use crate::store::FireRow;

/// Coming times of each schedule when nobody says how many.
const SHOWN: usize = 1;

/// A schedule.
#[derive(Serialize, ToSchema)]
#[schema(as = Schedule)]
pub(super) struct ScheduleView {
    runbook: String,
    /// Five cron fields.
    schedule: String,
    timezone: String,
    /// What its runs are about, where the trigger says so.
    target: Option<String>,
    /// Of the version in force; absent: no version in force has it.
    stage: Option<&'static str>,
    /// What its runs are given; what is left out has its default.
    parameters: BTreeMap<String, String>,
    /// `on`, `watching`, `paused`, `stopped`, `unfit`, `no-time-zone` or `gone`.
    state: &'static str,
    /// Why, in a sentence; may be empty.
    why: String,
    /// `latest` or `skip`: what becomes of times that were missed.
    catch_up: &'static str,
    /// How old a missed time may be to be made up for.
    catch_up_within_ms: u64,
    /// Coming times.
    next: Vec<DueView>,
    /// What became of the last time; absent before the first.
    last: Option<FireView>,
}

/// A coming time.
#[derive(Serialize, ToSchema)]
#[schema(as = Due)]
pub(super) struct DueView {
    at: Time,
    /// On a clock at the place.
    clock: String,
    /// What the clock does then, where it is moved.
    note: Option<String>,
}

/// A time that was settled.
#[derive(Serialize, ToSchema)]
#[schema(as = Fire)]
pub(super) struct FireView {
    /// When it was due.
    at: Time,
    /// When it was settled.
    noticed: Time,
    /// `started`, `late`, `missed`, `paused`, `overlap` or `failed`.
    result: &'static str,
    /// Why nothing was started, or that it was late; may be empty.
    why: String,
    /// The run that was started.
    run: Option<String>,
}

/// All schedules.
#[derive(Serialize, ToSchema)]
pub(super) struct Schedules {
    schedules: Vec<ScheduleView>,
    next_cursor: Option<String>,
}

impl From<Due> for DueView {
    fn from(due: Due) -> DueView {
        let note = match due.shift {
            Shift::None => None,
            Shift::Skipped => Some(format!("the clock skips {} that day: made when it is moved", due.clock.time())),
            Shift::First => Some(format!("the clock shows {} twice that day: the first counts", due.clock.time())),
            Shift::Second => Some(format!("the clock shows {} a second time", due.clock.time())),
        };
        let at = u64::try_from(due.at.as_millisecond()).unwrap_or(0);
        DueView { at: Time(at), clock: due.clock.strftime("%Y-%m-%d %H:%M").to_string(), note }
    }
}

impl From<FireRow> for FireView {
    fn from(row: FireRow) -> FireView {
        let (at, noticed) = (Time(row.at), Time(row.noticed));
        FireView { at, noticed, result: row.result.name(), why: row.why, run: row.run }
    }
}

impl From<Shown> for ScheduleView {
    fn from(shown: Shown) -> ScheduleView {
        ScheduleView {
            runbook: shown.key.runbook,
            schedule: shown.key.schedule,
            timezone: shown.key.timezone,
            target: Some(shown.key.target).filter(|target| !target.is_empty()),
            stage: shown.stage.map(|stage| stage.name()),
            parameters: shown.parameters,
            state: shown.state.name(),
            why: shown.why,
            catch_up: shown.patience.catch_up.name(),
            catch_up_within_ms: shown.patience.within_ms,
            next: shown.next.into_iter().map(DueView::from).collect(),
            last: shown.last.map(FireView::from),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SchedulesQuery {
    /// Only of this runbook: name or its unique beginning.
    runbook: Option<String>,
    /// Coming times of each; 1, at most 100.
    count: Option<u32>,
}

/// Schedules, by runbook, with what is due next and what became of the last time
#[utoipa::path(get, path = "/v1/schedules", tag = "runbooks", params(SchedulesQuery), responses((status = 200, body = Schedules)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<SchedulesQuery>,
) -> Result<Answer<Schedules>> {
    let name = query.runbook.filter(|name| !name.is_empty());
    let name = name.map(|name| app.library.name_of(&name)).transpose().map_err(of_library)?;
    let count = query.count.map_or(SHOWN, |count| (count as usize).min(SHOWN_MAX));
    let shown = app.schedules.list(count).await?;
    // What no version has any more is history, and shown to whoever asks for that runbook.
    let wanted = |shown: &Shown| match &name {
        Some(name) => shown.key.runbook == *name,
        None => shown.stage.is_some(),
    };
    let schedules = shown.into_iter().filter(wanted).map(ScheduleView::from).collect();
    Ok(Answer(Schedules { schedules, next_cursor: None }))
}
