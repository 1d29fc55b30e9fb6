//! What people are told: notices, which are facts, and messages, which wait for one channel each.

use sandbook_core::effect::notify::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happened. A closed set: routes, metrics and titles name every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// A run changed something.
    Acted,
    /// Something it needed was denied.
    Refused,
    /// A brake, a pause, a silence or a limit held it back.
    Limited,
    /// It passed the matter to people.
    Escalated,
    /// Acting did not help.
    Contradicted,
    /// A version that did not help too often is in shadow now.
    Demoted,
    /// A person is asked.
    Approval,
    /// A brake tripped.
    Tripped,
    /// Only a person can tell how it goes on.
    NeedsAttention,
    /// A run failed.
    Failed,
    /// Something is wrong with the engine, or is well again.
    #[serde(rename = "self")]
    Us,
    /// What an incident at the pager is about is over: its alert ended, or its brake was re-armed.
    Resolved,
    /// The digest of a week.
    Digest,
    /// A change, for a graph.
    Annotation,
}

impl Happened {
    /// Its word in the configuration and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Happened::Acted => "acted",
            Happened::Refused => "refused",
            Happened::Limited => "limited",
            Happened::Escalated => "escalated",
            Happened::Contradicted => "contradicted",
            Happened::Demoted => "demoted",
            Happened::Approval => "approval",
            Happened::Tripped => "tripped",
            Happened::NeedsAttention => "needs-attention",
            Happened::Failed => "failed",
            Happened::Us => "self",
            Happened::Resolved => "resolved",
            Happened::Digest => "digest",
            Happened::Annotation => "annotation",
        }
    }

    /// How loud, unless somebody says otherwise.
    pub fn severity(self) -> Severity {
        match self {
            Happened::Acted | Happened::Resolved | Happened::Digest | Happened::Annotation => Severity::Info,
            Happened::Refused | Happened::Limited | Happened::Approval | Happened::Tripped | Happened::Failed => {
                Severity::Warning
            }
            Happened::NeedsAttention
            | Happened::Contradicted
            | Happened::Demoted
            | Happened::Escalated
            | Happened::Us => Severity::Critical,
        }
    }
}

/// Something people may want to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Notice {
    /// Told once, whatever crashes.
    pub once: String,
    /// What makes two messages one incident at the receiver.
    pub key: String,
    pub event: Happened,
    pub severity: Severity,
    /// Empty where it is about no run.
    pub run: String,
    pub runbook: String,
    /// `host/name`, or empty.
    pub target: String,
    pub episode: Option<String>,
    /// Absent: made of what happened.
    pub title: Option<String>,
    /// What happened, in a sentence; may have lines.
    pub sentence: String,
    /// The one channel it goes to; absent: routes say.
    pub channel: Option<String>,
    /// It says that what its key named is over.
    #[serde(default)]
    pub over: bool,
    pub at: u64,
}

/// A message for one channel, as it is queued.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct NewMessage {
    /// Queued once, whatever crashes.
    pub once: String,
    pub channel: String,
    pub event: Happened,
    /// As the sender takes it.
    pub message: Value,
    pub at: u64,
    /// The episode whose end, or the tripped brake whose re-arming, ends the incident that this opens at the receiver.
    pub opens: Option<String>,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct MessageRow {
    pub id: i64,
    pub channel: String,
    pub event: Happened,
    pub message: Value,
    pub at: u64,
    /// It goes out together with that one, whatever comes later.
    pub batch: Option<i64>,
    pub attempts: u32,
    /// Not before.
    pub due: u64,
}

/// What came of an attempt to send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Delivery {
    Sent,
    /// Not yet, and why; tried again then.
    Again {
        due: u64,
        why: String,
    },
    /// Given up, and why.
    Dropped(String),
}

/// What waits for a channel, and what came of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ChannelCount {
    pub channel: String,
    pub waiting: u64,
    /// When the oldest that waits was queued.
    pub oldest: Option<u64>,
    pub sent: u64,
    /// When the newest was taken.
    pub last_sent: Option<u64>,
    /// When the oldest was queued that waits although it was tried.
    pub failing_since: Option<u64>,
    pub dropped: u64,
    pub last_dropped: Option<u64>,
    /// Why the newest that failed did.
    pub last_error: Option<String>,
}
