//! Schedules that are followed, what became of their times, and signatures of versions.
//!
//! Deliberately not here: when a schedule is due, and who is trusted; core and library know.

use serde::{Deserialize, Serialize};

use crate::store::NewRun;

/// What one schedule is: the same words in a newer version of the runbook are the same schedule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ScheduleKey {
    pub runbook: String,
    /// Five cron fields.
    pub schedule: String,
    pub timezone: String,
    /// What its runs are about; may be empty.
    pub target: String,
}

/// A schedule and how far it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ScheduleRow {
    pub key: ScheduleKey,
    /// Everything due until then is settled, in milliseconds.
    pub seen: u64,
    /// The newest of its times.
    pub last: Option<FireRow>,
}

/// What became of one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct FireRow {
    /// When it was due.
    pub at: u64,
    /// When that was settled.
    pub noticed: u64,
    pub result: FireResult,
    /// Why nothing was started, or that it was late; may be empty.
    pub why: String,
    /// The first run of it.
    pub run: Option<String>,
}

/// The case of [`FireRow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FireResult {
    /// Its runs were started in time.
    Started,
    /// They were started late.
    Late,
    /// It was missed and is not made up for.
    Missed,
    /// A pause names the runbook.
    Paused,
    /// The run before it is not over.
    Overlap,
    /// Its parameters do not fit.
    Failed,
}

impl FireResult {
    /// Every case.
    pub const ALL: [FireResult; 6] = [
        FireResult::Started,
        FireResult::Late,
        FireResult::Missed,
        FireResult::Paused,
        FireResult::Overlap,
        FireResult::Failed,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            FireResult::Started => "started",
            FireResult::Late => "late",
            FireResult::Missed => "missed",
            FireResult::Paused => "paused",
            FireResult::Overlap => "overlap",
            FireResult::Failed => "failed",
        }
    }
}

/// A time to be settled.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Fire {
    pub key: ScheduleKey,
    pub at: u64,
    pub now: u64,
    pub result: FireResult,
    pub why: String,
    /// Queued when the result says so, and when no run of the time before is open.
    pub runs: Vec<NewRun>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fired {
    /// It is settled like this now.
    Settled(FireRow),
    /// It was settled before; nothing happened.
    Already,
}

/// A signature of a version's digest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SignatureRow {
    pub digest: String,
    /// Of the key, 16 hex digits.
    pub key_id: String,
    /// In minisign's format.
    pub text: String,
    /// When it was accepted.
    pub at: u64,
    pub by: String,
}
