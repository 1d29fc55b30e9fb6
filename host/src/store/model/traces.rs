//! What a run leaves behind for the next incident of the same shape.
//!
//! Deliberately not here: telling how much two incidents are alike; the core does.

use std::collections::BTreeMap;

use sandbook_core::run::{Mode, Outcome, Verification};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a run of an episode saw and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// What it changed, in order.
    pub changes: Vec<Change>,
    /// Patterns of the log lines it read, those of trouble first.
    pub logs: Vec<String>,
}

/// A change a run really made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Name of the effect.
    pub effect: String,
    /// On what and with what.
    pub sentence: String,
}

/// Which older episodes are worth comparing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastFilter {
    /// Alerts of that name.
    pub name: String,
    /// And those whose logs had one of these patterns.
    pub patterns: Vec<String>,
    /// Only those first heard before.
    pub before: u64,
    /// Never this one.
    pub except: String,
}

/// An older episode, as far as it is compared.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct PastEpisode {
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub first_heard: u64,
    pub resolved_at: Option<u64>,
    /// State of its container when it arrived, where somebody looked.
    pub state: Option<Value>,
    /// Patterns of its logs.
    pub logs: Vec<String>,
    /// Its runs that are over, oldest first.
    pub runs: Vec<PastRun>,
}

/// A run of an older episode.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct PastRun {
    pub id: String,
    pub runbook: String,
    pub version: String,
    pub mode: Mode,
    pub outcome: Option<Outcome>,
    pub sentence: Option<String>,
    pub verification: Option<Verification>,
    /// It really changed something.
    pub acted: bool,
    /// What it changed, in order.
    pub changes: Vec<Change>,
}
