//! What came of acting: how a run was verified, and what that adds up to.
//!
//! Deliberately not here: looking whether it helped; the runner does.

use sandbook_core::run::Verification;
use serde::Serialize;

use super::RunRow;

/// What follows a run that acted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Aftermath {
    /// When it first changed the world.
    pub acted_at: Option<u64>,
    /// What it changed first was well before it was changed.
    pub needless: bool,
    /// When its verification last changed.
    pub verified_at: Option<u64>,
    /// Until when it may still change; `None` once it cannot.
    pub verify_until: Option<u64>,
    /// When its alert should have resolved.
    pub resolve_by: Option<u64>,
    /// Until when the same alert firing again contradicts.
    pub refire_until: Option<u64>,
    /// Why it is what it is, in a sentence.
    pub verification_why: Option<String>,
}

/// A verification that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Only when it is this so far.
    pub from: Verification,
    /// What it becomes.
    pub to: Verification,
    /// Why, in a sentence.
    pub why: String,
    /// When.
    pub at: u64,
}

/// A verification whose time has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The run.
    pub run: RunRow,
    /// The alert it was started for still fires although it should have resolved.
    pub unresolved: bool,
}

/// How runs of a runbook on a subject went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Tally {
    pub runbook: String,
    /// Absent: those about nothing in particular.
    pub subject: Option<String>,
    /// All of them, whatever their mode.
    pub runs: u64,
    pub confirmed: u64,
    pub contradicted: u64,
    pub unknown: u64,
    pub pending: u64,
    /// They looked and found nothing wrong.
    pub nothing_to_do: u64,
    /// They changed what was well.
    pub needless: u64,
}

impl Tally {
    /// Of the judged runs, how many helped; from 0 to 1, `None` before the first one.
    pub fn rate(&self) -> Option<f64> {
        let judged = self.confirmed + self.contradicted;
        #[allow(clippy::cast_precision_loss, reason = "far fewer runs than a float counts exactly")]
        (judged > 0).then(|| self.confirmed as f64 / judged as f64)
    }

    /// Both together; name and subject stay this one's.
    pub fn add(&mut self, other: &Tally) {
        self.runs += other.runs;
        self.confirmed += other.confirmed;
        self.contradicted += other.contradicted;
        self.unknown += other.unknown;
        self.pending += other.pending;
        self.nothing_to_do += other.nothing_to_do;
        self.needless += other.needless;
    }
}

/// A mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mean {
    /// In milliseconds.
    pub mean_ms: u64,
    /// How many it is the mean of.
    pub count: u64,
}

/// How fast alerts were handled; `None`: there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Speed {
    /// From the first message of an alert to its resolution, where a run acted.
    pub repair: Option<Mean>,
    /// From a trigger to the first change.
    pub first_effect: Option<Mean>,
}
