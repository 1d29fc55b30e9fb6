//! Earlier incidents of the same shape, what was tried about them, and what helped.
//!
//! The store names candidates through its indexes, the core compares them ([`sandbook_core::similar`]); no model is
//! asked, and the same store gives the same answer. An answer holds no line of a log: only that patterns are shared, so
//! that whoever may not read logs learns none of them here.
//!
//! Deliberately not here: acting on any of it.

use sandbook_core::run::{Mode, Verification};
use sandbook_core::similar::{Attempt, Ended, Shape, Tried, likeness, tried};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod live;

pub use live::{Remembered, of_plan};

use crate::store::{EpisodeRow, PastEpisode, PastFilter, PastRun, Result, Store};

/// Incidents of one answer at the most, and when nobody says how many: what a person reads, and what a runbook weighs.
pub const INCIDENTS_MAX: usize = 20;
/// How many when nobody says.
pub const INCIDENTS_DEFAULT: usize = 5;

/// Earlier incidents, the most alike first, and what was tried about all that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Similar {
    /// The most alike first, of equals the newest.
    pub incidents: Vec<Incident>,
    /// What helped most often first.
    pub tried: Vec<TriedView>,
    /// How many older ones were looked at.
    pub compared: usize,
}

/// An earlier incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Incident {
    /// Id of its episode.
    pub episode: String,
    /// Name of its alert.
    pub alert: String,
    /// Of 100.
    pub likeness: u8,
    /// Why, such as `same exit code 137`.
    pub reasons: Vec<String>,
    /// When it was first heard.
    pub at: String,
    /// When its alert resolved.
    pub resolved_at: Option<String>,
    /// What was done about it, oldest first.
    pub runs: Vec<RunView>,
}

/// A run of an earlier incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PastRun)]
pub struct RunView {
    /// Its id.
    pub run: String,
    pub runbook: String,
    pub version: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// In its own words.
    pub sentence: Option<String>,
    /// `confirmed`, `contradicted`, `unknown` or `pending`; absent where it changed nothing.
    pub verification: Option<String>,
    /// What it really changed, a sentence each.
    pub changes: Vec<String>,
    /// Whether it helped; absent where it changed nothing or nobody knows.
    pub helped: Option<bool>,
}

/// What was tried about similar incidents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Tried)]
pub struct TriedView {
    pub runbook: String,
    /// What it changed, by name.
    pub effects: Vec<String>,
    /// How often.
    pub times: u32,
    /// How often it helped.
    pub helped: u32,
    /// How often it did not.
    pub did_not_help: u32,
}

/// Incidents like an episode that is kept, before it. `None` when there is no such episode.
///
/// # Errors
/// When the store cannot be read.
pub async fn of_episode(store: &dyn Store, id: &str, limit: usize) -> Result<Option<Similar>> {
    let Some(episode) = store.episode(id).await? else { return Ok(None) };
    let logs = store.log_patterns(&episode.id).await?;
    let shape = shape_of(&episode, logs);
    find(store, &shape, episode.first_heard, &episode.id, limit).await.map(Some)
}

/// What is known of an episode; its logs are those its runs have read.
pub fn shape_of(episode: &EpisodeRow, logs: Vec<String>) -> Shape {
    let ended = ended(&episode.snapshot["details"]["state"]);
    Shape { name: episode.name.clone(), labels: episode.labels.clone(), ended, logs }
}

/// A container's state as incidents are compared by it.
pub fn ended(state: &Value) -> Option<Ended> {
    let word = |key: &str| state[key].as_str().unwrap_or_default().to_owned();
    state.is_object().then(|| Ended {
        status: word("status"),
        health: word("health"),
        exit_code: state["exit_code"].as_i64(),
        oom_killed: state["oom_killed"] == true,
    })
}

/// Incidents like a shape that were first heard before then (milliseconds since 1970).
///
/// # Errors
/// When the store cannot be read.
pub async fn find(store: &dyn Store, shape: &Shape, before: u64, except: &str, limit: usize) -> Result<Similar> {
    let (name, except) = (shape.name.clone(), except.to_owned());
    let past = store.past(PastFilter { name, patterns: shape.logs.clone(), before, except }).await?;
    let compared = past.len();
    let mut found: Vec<(u8, Vec<String>, PastEpisode)> = Vec::new();
    for episode in past {
        if let Some(alike) = likeness(shape, &of_past(&episode)) {
            found.push((alike.score, alike.reasons, episode));
        }
    }
    found.sort_by(|(a, _, older), (b, _, newer)| (b, newer.first_heard).cmp(&(a, older.first_heard)));
    let attempts: Vec<Attempt> = found.iter().flat_map(|(_, _, episode)| &episode.runs).filter_map(attempt).collect();
    let tried = tried(&attempts).into_iter().map(TriedView::from).collect();
    found.truncate(limit.clamp(1, INCIDENTS_MAX));
    let incidents = found.into_iter().map(|(score, reasons, episode)| incident(score, reasons, episode)).collect();
    Ok(Similar { incidents, tried, compared })
}

fn of_past(episode: &PastEpisode) -> Shape {
    let ended = episode.state.as_ref().and_then(ended);
    Shape { name: episode.name.clone(), labels: episode.labels.clone(), ended, logs: episode.logs.clone() }
}

/// A run that really changed something counts as tried.
fn attempt(run: &PastRun) -> Option<Attempt> {
    let tried = run.acted && run.mode != Mode::Shadow;
    let effects = run.changes.iter().map(|change| change.effect.clone()).collect();
    tried.then(|| Attempt { runbook: run.runbook.clone(), effects, helped: helped(run) })
}

fn helped(run: &PastRun) -> Option<bool> {
    match run.verification.filter(|_| run.acted)? {
        Verification::Confirmed => Some(true),
        Verification::Contradicted => Some(false),
        Verification::Pending | Verification::Unknown => None,
    }
}

fn incident(likeness: u8, reasons: Vec<String>, episode: PastEpisode) -> Incident {
    let runs = episode.runs.into_iter().filter(|run| run.mode != Mode::Shadow).map(|run| RunView {
        helped: helped(&run),
        run: run.id,
        runbook: run.runbook,
        version: run.version,
        outcome: run.outcome.map(|outcome| outcome.name().to_owned()),
        verification: run.verification.map(|verification| verification.name().to_owned()),
        sentence: run.sentence,
        changes: run.changes.into_iter().map(|change| change.sentence).collect(),
    });
    Incident {
        episode: episode.id,
        alert: episode.name,
        likeness,
        reasons,
        at: crate::plan::stamp(episode.first_heard),
        resolved_at: episode.resolved_at.map(crate::plan::stamp),
        runs: runs.collect(),
    }
}

impl From<Tried> for TriedView {
    fn from(tried: Tried) -> TriedView {
        let Tried { runbook, effects, times, helped, did_not_help } = tried;
        TriedView { runbook, effects, times, helped, did_not_help }
    }
}
