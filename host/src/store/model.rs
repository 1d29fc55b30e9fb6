//! What goes into the store and what comes out of it. Times are milliseconds since 1970.
//!
//! Deliberately not here: anything of SQL. A database of another kind stores the same values.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbook_core::alert::Alert;
use sandbook_core::journal::Record;
use sandbook_core::run::{Mode, Origin, Outcome, Stage, State, Verification};
use sandbook_core::target::Target;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod brakes;
mod llm;
mod notices;
mod outcomes;
mod people;
mod schedules;
mod traces;

pub(in crate::store) use brakes::figures;
pub use brakes::*;
pub use llm::*;
pub use notices::*;
pub use outcomes::*;
pub use people::*;
pub use schedules::*;
pub use traces::*;

/// Rows of one page when a filter asks for more, or for none.
pub const PAGE_MAX: u32 = 1_000;

/// A time as people read it.
pub(super) fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

/// An alert that arrived, and what it means.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Incoming {
    pub alert: Alert,
    /// On our clock.
    pub received_at: u64,
    /// Who sent it, such as `alertmanager`.
    pub source: String,
    /// Which runbook and target it means and why, as `alerts` shows it.
    pub matched: Value,
    /// The target as it was when the alert arrived.
    pub snapshot: Value,
    /// Created only when the alert begins an episode, and then with that episode's id.
    pub runs: Vec<NewRun>,
    /// By id of a new run: the run it joins instead of being created, if that one is still open.
    pub joins: BTreeMap<String, String>,
}

/// What an alert was to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptedKind {
    /// The first of its fingerprint: an episode begins.
    New,
    /// Heard before: counted, nothing started. Also a resolution heard again, and one older than the open episode.
    Duplicate,
    /// The open episode ended.
    Resolved,
    /// The end of something never heard firing: recorded, nothing started.
    ResolvedUnknown,
    /// An episode begins, and the fingerprint had one before.
    Refired,
}

/// What became of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The episode it belongs to.
    pub episode: String,
    /// What it was.
    pub kind: AcceptedKind,
    /// Runs really created.
    pub runs: Vec<String>,
    /// Open runs that the episode joined instead.
    pub joined: Vec<String>,
}

/// A run to be queued.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct NewRun {
    pub id: String,
    pub runbook: String,
    pub version: String,
    pub digest: String,
    pub mode: Mode,
    pub stage: Stage,
    pub origin: Origin,
    /// `alert`, `docker-event`, `manual`, `schedule`.
    pub trigger: String,
    pub episode: Option<String>,
    pub parameters: Value,
    /// What is known of the target before it is looked up.
    pub target_hint: Value,
    /// Greater goes first.
    pub priority: i32,
    pub at: u64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct RunRow {
    #[serde(rename = "run")]
    pub id: String,
    pub runbook: String,
    pub version: String,
    pub digest: String,
    pub mode: Mode,
    pub stage: Stage,
    pub origin: Origin,
    pub trigger: String,
    pub episode: Option<String>,
    pub parameters: Value,
    pub target_hint: Value,
    pub target: Option<Target>,
    /// Key of locks and brakes.
    pub subject: Option<String>,
    pub priority: i32,
    /// When it was queued.
    pub at: u64,
    pub state: State,
    pub started_at: Option<u64>,
    pub finished_at: Option<u64>,
    pub outcome: Option<Outcome>,
    pub sentence: Option<String>,
    pub verification: Option<Verification>,
    /// When a waiting run goes on by itself.
    pub wake_at: Option<u64>,
    pub error: Option<String>,
    /// How often the daemon ended while it ran.
    pub crashes: u32,
    #[serde(flatten)]
    pub aftermath: Aftermath,
}

/// A change of a run; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct RunPatch {
    /// Only when the run is in one of these states; empty: in any.
    pub from: Vec<State>,
    pub state: Option<State>,
    pub target: Option<Target>,
    pub subject: Option<String>,
    pub started_at: Option<u64>,
    pub finished_at: Option<u64>,
    pub outcome: Option<Outcome>,
    pub sentence: Option<String>,
    pub verification: Option<Verification>,
    /// `Some(None)` clears it.
    pub wake_at: Option<Option<u64>>,
    pub error: Option<String>,
    pub crashes: Option<u32>,
    /// Set as a whole.
    pub aftermath: Option<Aftermath>,
    /// What it leaves for the next incident of the same shape.
    pub trace: Option<Trace>,
    /// What people may want to be told of it.
    pub notices: Vec<Notice>,
    /// Runs that take its place.
    pub runs: Vec<NewRun>,
}

/// A plan that was made.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct PlanRow {
    pub id: String,
    pub runbook: String,
    pub digest: String,
    pub by: String,
    pub at: u64,
    /// Until when it can be applied.
    pub expires_at: u64,
    /// As everybody sees it.
    pub view: Value,
    /// Of its rehearsal, the header first.
    pub records: Vec<Record>,
    /// The run that applied it.
    pub applied: Option<String>,
}

/// What a version would have done about recorded alerts.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct BacktestRow {
    pub id: String,
    pub runbook: String,
    pub digest: String,
    pub by: String,
    pub at: u64,
    /// As everybody sees it.
    pub view: Value,
}

/// Which runs; newest first.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct RunFilter {
    pub state: Option<State>,
    pub mode: Option<Mode>,
    pub runbook: Option<String>,
    /// `host/name` or `name`.
    pub target: Option<String>,
    /// Queued at or after.
    pub since: Option<u64>,
    pub episode: Option<String>,
    /// At most [`PAGE_MAX`]; 0 means that.
    pub limit: u32,
    /// From the page before.
    pub cursor: Option<String>,
}

/// What is written when a run starts, with its first durable record.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Applied to the run.
    pub patch: RunPatch,
    /// Its first record.
    pub begun: Record,
    /// What its episode's target is like, kept unless the episode has that already.
    pub snapshot: Option<(String, Value)>,
}

/// Everything that must become durable together when a run reaches a barrier.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    /// Appended after whatever was appended before.
    pub records: Vec<Record>,
    /// Applied to the run; when its `from` does not hold, nothing of the checkpoint happens.
    pub patch: RunPatch,
    /// A question that becomes visible with it.
    pub approval: Option<Approval>,
}

/// What observers hear, in order, once it is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The run it is about.
    pub run: String,
    /// What happened.
    pub kind: EventKind,
}

/// The case of [`Event`].
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// A record and its number, from 0.
    Record(u64, Arc<Record>),
    /// The run's new state.
    State(State),
    /// How far something has come that is not over; never on disk, so never asked for again.
    Progress(Arc<Value>),
}

/// That a run made a container differ from the compose file it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Drift {
    pub host: String,
    pub subject: String,
    /// Its name then.
    pub container: String,
    /// Its id.
    pub instance: String,
    pub effect: String,
    /// What differs, in words.
    pub change: String,
    pub run: String,
    pub slot: u32,
    pub at: u64,
}

/// What a pause is about: globs, all of which must match. None at all means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Subject, or name of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Nothing selected acts until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Pause {
    pub id: String,
    pub selector: Selector,
    pub reason: String,
    pub by: String,
    pub at: u64,
    pub until: u64,
}

/// Nothing acts at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Stop {
    pub by: String,
    pub reason: String,
    pub at: u64,
}

/// One firing of an alert, from its first message to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct EpisodeRow {
    #[serde(rename = "episode")]
    pub id: String,
    pub fingerprint: String,
    /// The label `alertname`.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// The earliest start it was heard with.
    pub starts_at: i64,
    pub first_heard: u64,
    pub last_heard: u64,
    /// Messages that told of its firing.
    pub count: u64,
    pub resolved_at: Option<u64>,
    /// It was never reported as over: the alert started to fire anew.
    pub superseded: bool,
    pub source: String,
    pub matched: Value,
    pub snapshot: Value,
    pub outcome: Option<String>,
    pub runs: Vec<EpisodeRun>,
}

/// A run of an episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct EpisodeRun {
    pub run: String,
    pub runbook: String,
    pub state: State,
    pub outcome: Option<Outcome>,
}

/// Which episodes; newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct EpisodeFilter {
    /// Only those not over.
    pub open: bool,
    /// First heard at or after.
    pub since: Option<u64>,
    pub limit: u32,
    pub cursor: Option<String>,
}

/// What pruning removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs)]
pub struct Pruned {
    pub runs: u64,
    pub records: u64,
    pub episodes: u64,
    pub attempts: u64,
    /// Versions of one-off drafts.
    pub drafts: u64,
}

/// Whether writing works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The last commit worked.
    pub ok: bool,
    /// Of the last commit that did not.
    pub last_error: Option<String>,
    /// Writes waiting for the writer.
    pub queued: u64,
}

/// Upper bounds of the classes of [`Stats::commit_ms`], in milliseconds; the last class has none.
pub const COMMIT_MS_BOUNDS: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 100.0, 500.0, 2_500.0];

/// Figures for metrics, since the start.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Stats {
    /// Commits, also of nothing but failed writes.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Writes that were committed.
    pub writes: u64,
    /// Rows they changed.
    pub rows: u64,
    /// Writes waiting for the writer.
    pub queued: u64,
    /// How long the last commit took.
    pub last_commit_ms: f64,
    /// Sum over all commits.
    pub commit_ms_sum: f64,
    /// How many commits took at most [`COMMIT_MS_BOUNDS`] (not cumulative), and longer.
    pub commit_ms: [u64; COMMIT_MS_BOUNDS.len() + 1],
}
