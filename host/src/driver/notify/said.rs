//! A message as it is sent, and what may go wrong with it. Channels word it each in its own way.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbook_core::effect::notify::Severity;
use serde::{Deserialize, Serialize};

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    /// In a line.
    pub title: String,
    /// What happened; may have lines.
    pub text: String,
    /// What it was seen by, a line each.
    pub evidence: Vec<String>,
    /// How loud.
    pub severity: Severity,
    /// What makes two messages one incident at the receiver.
    pub dedup_key: String,
    /// What kind of thing happened, such as `acted`; of a runbook's own message `message`.
    pub kind: String,
    /// The runbook it is about, or empty.
    pub runbook: String,
    /// The run it is about, or empty.
    pub run: String,
    /// The target it is about, or empty.
    pub target: String,
    /// Where to look, or empty.
    pub url: String,
    /// What to type next, or empty.
    pub command: String,
    /// The alert's labels.
    pub labels: BTreeMap<String, String>,
    /// How many messages it stands for.
    pub count: u32,
    /// It says that the incident of its key is over.
    pub resolves: bool,
    /// When it happened, in milliseconds since 1970.
    pub at: u64,
}

impl Said {
    /// All of it as plain text: what happened, the evidence, and the next step.
    pub fn whole(&self) -> String {
        let mut lines = vec![self.text.as_str()];
        lines.extend(self.evidence.iter().map(String::as_str));
        // What is asked of a person has its own link and command in its text.
        let next = [self.url.as_str(), self.command.as_str()];
        lines.extend(next.into_iter().filter(|next| !next.is_empty() && !self.text.contains(next)));
        lines.retain(|line| !line.is_empty());
        lines.join("\n")
    }
}

/// When it is worth trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// In a moment: it is busy or away.
    Soon,
    /// Once a person has mended something: it does not let us in, or is not there.
    Later,
    /// Never: it does not take this message.
    Never,
}

/// Why a message was not taken. Shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In words.
    pub why: String,
    /// Whether again.
    pub retry: Retry,
    /// Not before so long, if the receiver says so.
    pub after: Option<Duration>,
}

impl Fault {
    pub(in crate::driver) fn new(retry: Retry, why: impl Into<String>) -> Fault {
        Fault { why: why.into(), retry, after: None }
    }
}
