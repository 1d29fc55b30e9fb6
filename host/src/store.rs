//! What the daemon remembers: episodes, runs and their journals, versions, brakes, questions, pauses and the audit.
//!
//! [`Store`] is the whole of it, without a word of SQL in it, so that another database can stand behind it;
//! [`Sqlite`] is the embedded one. When a call that writes answers `Ok`, what it wrote is on disk, and after a crash
//! either all of one call is there or nothing of it. The one exception says so: [`Store::append`] without `durable`.
//! Dropping the future of a call never tears it: the call happens whole or not at all.
//!
//! Deliberately not here: what may follow what in a journal (the core's law), what an alert starts (the matcher), and
//! who may do what (the API). Deliberately not stored: secrets.

use std::path::Path;

use futures::future::BoxFuture;
use sandbook_core::error::Error as CoreError;
use sandbook_core::journal::Record;
use sandbook_core::run::{Stage, Verification};
use serde_json::Value;
use tokio::sync::broadcast;

mod approvals;
mod audit;
mod backtests;
mod brakes;
mod dir;
mod drifts;
mod error;
mod facade;
pub mod id;
mod intake;
mod journal;
mod llm;
mod memory;
mod model;
mod outbox;
mod outcomes;
mod pauses;
mod plans;
mod prune;
mod readers;
mod row;
mod runs;
mod schedules;
mod schema;
mod signatures;
mod sqlite;
#[cfg(test)]
mod tests;
mod traces;
mod trips;
mod versions;
mod writer;

pub use error::Error;
pub use model::*;
pub use outbox::{NOTICES_MAX, WAITING_MAX};
pub use pauses::PAUSES_MAX;
pub use sqlite::{EVENTS_MAX, Sqlite};
pub use traces::PATTERNS_MAX;
pub use versions::{ASKED, ASKED_MAX};
pub use writer::{BATCH_MAX, WRITES_QUEUED_MAX};

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;
/// What every call returns.
pub type Answer<'a, T> = BoxFuture<'a, Result<T>>;
/// Builds a record from whether a compare-and-put took place. Runs inside the transaction: quick, and no I/O.
pub type RecordOf = Box<dyn FnOnce(bool) -> Record + Send>;

/// Everything that is remembered. See the module for what a crash can do.
pub trait Store: Send + Sync {
    /// Takes alerts and queues the runs of those that begin an episode, all in one transaction: on `Ok` every one of
    /// them survives a crash, on `Err` none is there. The same alerts again start nothing.
    fn accept(&self, incoming: Vec<Incoming>) -> Answer<'_, Vec<Accepted>>;
    /// Episodes, newest first, and the cursor of the next page.
    fn episodes(&self, filter: EpisodeFilter) -> Answer<'_, (Vec<EpisodeRow>, Option<String>)>;
    /// By id or unique beginning of one.
    fn episode(&self, id: &str) -> Answer<'_, Option<EpisodeRow>>;
    /// Notes that an episode has no run of its own because another run is at work on the same fault.
    fn join(&self, episode: &str, run: &str) -> Answer<'_, ()>;
    /// Says in a sentence what came of it. False when there is no such episode.
    fn set_episode_outcome(&self, id: &str, outcome: &str) -> Answer<'_, bool>;

    /// Older episodes that may have the shape of a new one: a few hundred at the most, whatever there is.
    fn past(&self, filter: PastFilter) -> Answer<'_, Vec<PastEpisode>>;
    /// Patterns of the logs that runs of an episode read.
    fn log_patterns(&self, episode: &str) -> Answer<'_, Vec<String>>;

    /// Queues a run. The same id twice is an error.
    fn create_run(&self, run: NewRun) -> Answer<'_, ()>;
    /// Queued runs: greatest priority first, then oldest. Claim one with [`Store::update_run`] from `queued`.
    fn queued(&self, limit: u32) -> Answer<'_, Vec<RunRow>>;
    /// Changes a run, unless it is in none of the patch's `from` states (or does not exist): then false.
    fn update_run(&self, id: &str, patch: RunPatch) -> Answer<'_, bool>;
    /// A run's start: its change and its first record, held back like records that need not be durable.
    fn start_run(&self, id: &str, start: Start) -> Answer<'_, ()>;
    /// On `Ok` everything said of the run so far is on disk, and observers see it.
    fn flush(&self, run: &str) -> Answer<'_, ()>;
    /// By id, unique beginning of one, or `last`.
    fn run(&self, id: &str) -> Answer<'_, Option<RunRow>>;
    /// Runs, newest first, and the cursor of the next page.
    fn runs(&self, filter: RunFilter) -> Answer<'_, (Vec<RunRow>, Option<String>)>;
    /// Every run whose state is not final, oldest first: what a start has to look after.
    fn open_runs(&self) -> Answer<'_, Vec<RunRow>>;
    /// Waiting runs whose time has come, longest due first.
    fn due_waiting(&self, now: u64) -> Answer<'_, Vec<RunRow>>;

    /// Changes a run's verification. What is confirmed may still change until its time is over; the rest is final, and
    /// stands in [`Store::due_verifications`] until [`Store::close_verification`]. False, and nothing happened, when it
    /// is not what the verdict starts from, or is final.
    fn set_verification(&self, id: &str, verdict: Verdict) -> Answer<'_, bool>;
    /// Every run whose condition is still to be looked at, oldest first.
    fn pending_verifications(&self) -> Answer<'_, Vec<RunRow>>;
    /// Verifications that became final and of which nobody was told yet, and those whose time is over; longest due
    /// first.
    fn due_verifications(&self, now: u64) -> Answer<'_, Vec<Due>>;
    /// Nothing is left to do about its verification, which was found to be that. False, and nothing happened, when that was
    /// so already, or when it is another meanwhile: an alert that fired again is yet to be told.
    fn close_verification(&self, id: &str, settled: Verification) -> Answer<'_, bool>;
    /// How runs queued since then went, by runbook and subject; of one runbook, or of all.
    fn tallies(&self, since: u64, runbook: Option<String>) -> Answer<'_, Vec<Tally>>;
    /// Of the last `limit` confirmed or contradicted runs of a version queued since then, how many were contradicted.
    fn contradictions(&self, name: &str, digest: &str, since: u64, limit: u32) -> Answer<'_, u64>;
    /// Of alerts resolved, and of first changes made, since then.
    fn speed(&self, since: u64) -> Answer<'_, Speed>;

    /// Appends records in order. `durable`: on `Ok` they and all before them are on disk. Otherwise they may be held
    /// back until the run's next durable write and are lost in a crash before it; never some without those before.
    /// On `Err` nothing that was held back is kept: end the attempt and read [`Store::records`] again.
    fn append(&self, run: &str, records: Vec<Record>, durable: bool) -> Answer<'_, ()>;
    /// Appends, changes the run and asks a question in one transaction. False, and nothing happened, when the run is
    /// in none of the patch's `from` states.
    fn checkpoint(&self, run: &str, checkpoint: Checkpoint) -> Answer<'_, bool>;
    /// Checks stop-all, pauses, open trips, every window and the storm limit, counts the attempt and appends the intent,
    /// in one transaction. When something holds it back nothing is counted and nothing appended; a full window trips
    /// its brake, which is on disk with the answer. A further attempt of the same slot is not counted again.
    fn intend(&self, run: &str, record: Record, intend: Intend) -> Answer<'_, Intended>;
    /// What [`Store::intend`] would say now. Counts nothing, trips nothing, writes nothing.
    fn would_intend(&self, intend: Intend) -> Answer<'_, Intended>;
    /// All records, those held back included (they are on disk then). For whoever goes on with the run.
    fn records(&self, run: &str) -> Answer<'_, Vec<Record>>;
    /// Durable records whose number is greater than `seq` (`None`: all), with their numbers. For observers.
    fn records_after(&self, run: &str, seq: Option<u64>) -> Answer<'_, Vec<(u64, Record)>>;
    /// What becomes durable from now on. A slow observer misses some ([`EVENTS_MAX`]) and asks `records_after`.
    fn subscribe(&self) -> broadcast::Receiver<Event>;
    /// Tells observers how far something in a run has come. Written nowhere.
    fn announce(&self, run: &str, progress: Value);

    /// A value of a runbook's memory.
    fn memory_get(&self, runbook: &str, key: &str) -> Answer<'_, Option<String>>;
    /// Sets it and appends the record, in one transaction. `Ok(Err(limited))` and nothing happened when the runbook
    /// has as many keys as it may.
    fn memory_put(
        &self,
        run: &str,
        record: Record,
        runbook: &str,
        key: &str,
        value: &str,
    ) -> Answer<'_, std::result::Result<(), CoreError>>;
    /// Sets it if it is still as expected (`None`: absent), and appends the record built from whether it was, in one
    /// transaction.
    fn memory_compare_and_put(
        &self,
        run: &str,
        runbook: &str,
        key: &str,
        expected: Option<&str>,
        value: &str,
        record: RecordOf,
    ) -> Answer<'_, std::result::Result<bool, CoreError>>;

    /// Stores a version with its package, unless its name and version have another digest. With the same digest the package
    /// takes the place of the one before: what is beside code and manifest may differ.
    fn put_version(&self, version: VersionRow) -> Answer<'_, PutVersion>;
    /// Of one runbook, newest first, without packages.
    fn versions(&self, name: &str) -> Answer<'_, Vec<VersionRow>>;
    /// By unique beginning of the digest, with or without `sha256:`.
    fn version(&self, name: &str, digest: &str) -> Answer<'_, Option<VersionRow>>;
    /// Of every runbook, by name, newest first, without packages.
    fn all_versions(&self) -> Answer<'_, Vec<VersionRow>>;
    /// Tar of the files.
    fn package(&self, digest: &str) -> Answer<'_, Option<Vec<u8>>>;
    /// Sets how far a version is trusted. What was before stays in the history. False when there is no such version.
    fn set_stage(&self, name: &str, digest: &str, stage: Stage, reason: &str, by: &str, at: u64) -> Answer<'_, bool>;
    /// The same for several, each with the details of its line in the audit; all of it, or nothing when one is not known.
    fn set_stages(&self, changes: Vec<(StageRow, Value)>) -> Answer<'_, bool>;
    /// Sets the stage of a version that did not help, audits it and keeps the notice of it, in one transaction. False, and
    /// nothing happened, when there is no such version.
    fn demote(&self, demotion: Demotion) -> Answer<'_, bool>;
    /// The latest of every version that ever had one.
    fn stages(&self) -> Answer<'_, Vec<StageRow>>;
    /// All of one runbook, newest first.
    fn stage_history(&self, name: &str) -> Answer<'_, Vec<StageRow>>;
    /// Digest of the version that runs: of those with the highest stage, the one that was given its stage last.
    fn current(&self, name: &str) -> Answer<'_, Option<String>>;

    /// Keeps a version's signature; false when there was one of that key.
    fn put_signature(&self, signature: SignatureRow) -> Answer<'_, bool>;
    /// Of every version.
    fn signatures(&self) -> Answer<'_, Vec<SignatureRow>>;

    /// Every schedule that was ever followed, with the newest of its times.
    fn schedules(&self) -> Answer<'_, Vec<ScheduleRow>>;
    /// The newest times of a schedule.
    fn fires(&self, key: &ScheduleKey, limit: u32) -> Answer<'_, Vec<FireRow>>;
    /// Follows a schedule from then on: what was due before is settled without anything being started.
    fn follow_schedule(&self, key: &ScheduleKey, seen: u64) -> Answer<'_, ()>;
    /// Settles a time and queues its runs, in one transaction; a time that was settled before starts nothing.
    fn fire(&self, fire: Fire) -> Answer<'_, Fired>;

    /// Adds a line to the audit; answers with its number.
    fn audit(&self, who: &str, what: &str, subject: &str, details: Value, at: u64) -> Answer<'_, u64>;
    /// Newest first, and the cursor of the next page.
    fn audit_rows(
        &self,
        since: Option<u64>,
        limit: u32,
        cursor: Option<String>,
    ) -> Answer<'_, (Vec<AuditRow>, Option<String>)>;
    /// Recomputes hashes: of every line when asked for the whole or when that is an hour ago, else of those since the last
    /// look. Cannot see that lines are missing at the end: compare the count with one kept elsewhere.
    fn verify_audit(&self, whole: bool) -> Answer<'_, AuditCheck>;

    /// By id or unique beginning of one.
    fn approval(&self, id: &str) -> Answer<'_, Option<Approval>>;
    /// Newest first; expired ones without an answer count as open.
    fn approvals(&self, open_only: bool) -> Answer<'_, Vec<Approval>>;
    /// The open question of a run's slot.
    fn open_approval(&self, run: &str, slot: u32) -> Answer<'_, Option<Approval>>;
    /// Open questions of runs whose alert resolved, of one episode or of all.
    fn resolved_approvals(&self, episode: Option<&str>) -> Answer<'_, Vec<Approval>>;
    /// Answers a question if it is open, not expired and its run waits: journals it, audits it and queues the run, all in
    /// one transaction. Exactly one of several answers counts.
    fn answer_approval(&self, id: &str, decision: ApprovalDecision) -> Answer<'_, Decided>;
    /// Withdraws the open questions of a run; answers with how many.
    fn withdraw_approvals(&self, run: &str, reason: &str, at: u64) -> Answer<'_, u64>;

    /// Keeps a plan for its review.
    fn put_plan(&self, plan: PlanRow) -> Answer<'_, ()>;
    /// By id or unique beginning of one.
    fn plan(&self, id: &str) -> Answer<'_, Option<PlanRow>>;
    /// Newest first and without their records, and the cursor of the next page.
    fn plans(&self, limit: u32, cursor: Option<String>) -> Answer<'_, (Vec<PlanRow>, Option<String>)>;
    /// Queues the run that applies a plan and says so of the plan, in one transaction. False, and nothing happened, when
    /// another run does.
    fn apply_plan(&self, id: &str, run: NewRun) -> Answer<'_, bool>;

    /// Keeps a backtest; of all of them the newest few hundred stay.
    fn put_backtest(&self, backtest: BacktestRow) -> Answer<'_, ()>;
    /// The newest of a version, by its whole digest.
    fn newest_backtest(&self, digest: &str) -> Answer<'_, Option<BacktestRow>>;
    /// Those that are kept, of one runbook or of all, newest first, without their lines.
    fn backtests(&self, runbook: Option<String>) -> Answer<'_, Vec<BacktestRow>>;
    /// One by its whole id.
    fn backtest(&self, id: &str) -> Answer<'_, Option<BacktestRow>>;

    /// Counts a request to the model with the most it can take, unless that would pass a ceiling, in one transaction.
    fn llm_reserve(&self, call: LlmCall, ceilings: Vec<LlmCeiling>) -> Answer<'_, LlmReserved>;
    /// Corrects what was counted by what it took.
    fn llm_settle(&self, id: i64, tokens_in: u64, tokens_out: u64, cost_nanos: u64) -> Answer<'_, ()>;
    /// What the model took in a window.
    fn llm_spent(&self, window: LlmWindow) -> Answer<'_, LlmSpent>;

    /// Keeps a notice until it is routed. The same once more is kept once.
    fn put_notice(&self, notice: Notice) -> Answer<'_, ()>;
    /// Notices nobody routed yet, oldest first, with their numbers.
    fn notices(&self, limit: u32) -> Answer<'_, Vec<(i64, Notice)>>;
    /// Queues the messages a notice becomes and forgets it, in one transaction. What was queued before is not queued
    /// again; beyond [`WAITING_MAX`] of a channel the oldest are dropped: answers with how many, by channel.
    fn route_notice(&self, notice: i64, messages: Vec<NewMessage>, now: u64) -> Answer<'_, Vec<(String, u64)>>;
    /// Messages of a channel that wait, due or not, oldest first.
    fn waiting_messages(&self, channel: &str, limit: u32) -> Answer<'_, Vec<MessageRow>>;
    /// When messages of a channel were taken since then, earliest first; those that went out together count once.
    fn sent_times(&self, channel: &str, after: u64) -> Answer<'_, Vec<u64>>;
    /// From now on these go out together, under the number of the first.
    fn batch_messages(&self, ids: Vec<i64>) -> Answer<'_, ()>;
    /// What came of an attempt to send them.
    fn settle_messages(&self, ids: Vec<i64>, delivery: Delivery, at: u64) -> Answer<'_, ()>;
    /// Queues the end of every incident at a receiver whose alert is over or whose brake is re-armed; answers with how
    /// many.
    fn resolve_incidents(&self, now: u64) -> Answer<'_, u64>;
    /// By channel.
    fn message_counts(&self) -> Answer<'_, Vec<ChannelCount>>;

    /// Adds a pause; its globs must be valid.
    fn add_pause(&self, pause: Pause) -> Answer<'_, ()>;
    /// Those not over at `now`, newest first.
    fn pauses(&self, now: u64) -> Answer<'_, Vec<Pause>>;
    /// False when there is none of that id.
    fn delete_pause(&self, id: &str) -> Answer<'_, bool>;
    /// The stop switch: set while `Some`.
    fn stopped(&self) -> Answer<'_, Option<Stop>>;
    /// Sets or clears the stop switch. From the answer on no intent passes.
    fn set_stop(&self, stop: Option<Stop>) -> Answer<'_, ()>;
    /// Clears it if it is still that one. False, and nothing happened, when it is not.
    fn release_stop(&self, stop: Stop) -> Answer<'_, bool>;
    /// Tripped brakes, newest first, at most [`PAGE_MAX`]; re-armed ones too unless only open ones are wanted.
    fn trips(&self, open_only: bool) -> Answer<'_, Vec<Trip>>;
    /// Lets what a trip covers go on and starts its count afresh. By id or unique beginning of one.
    fn rearm(&self, id: &str, by: &str, reason: &str, at: u64) -> Answer<'_, Rearmed>;
    /// Writes down that a container differs from its compose file; once a slot, again is in vain.
    fn add_drift(&self, drift: Drift) -> Answer<'_, ()>;
    /// The newest of each subject, newest first, at most a page.
    fn drifts(&self) -> Answer<'_, Vec<Drift>>;
    /// Of one run, in order.
    fn drifts_of(&self, run: &str) -> Answer<'_, Vec<Drift>>;
    /// Counted attempts, newest first.
    fn attempts(&self, filter: AttemptFilter) -> Answer<'_, Vec<AttemptRow>>;

    /// Removes what ended before: finished runs with their journals and questions, episodes, attempts. The audit,
    /// versions and memory stay. In small transactions, so that others get their turn; a crash leaves the rest.
    fn prune(&self, before: u64) -> Answer<'_, Pruned>;
    /// Writes a consistent copy into a file that must not exist, while everything goes on.
    fn backup(&self, file: &Path) -> Answer<'_, ()>;
    /// Whether writing works.
    fn health(&self) -> Health;
    /// Figures for metrics.
    fn stats(&self) -> Stats;
}
