//! Messages to people, at least once, with a deduplication key.
//!
//! Deliberately not here: the engine's own notifications (refused, tripped), which are no effect of a runbook.

use serde::{Deserialize, Serialize};

use super::{Class, Op, Recovery, Scope, check_text};
use crate::error::Error;

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Severity {
    #[default]
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Default: the escalation channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// At most 256 bytes.
    pub title: String,
    /// At most 16 KiB.
    pub text: String,
    /// Default `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Default: run and slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<String>,
}

/// Where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Receipt {
    pub channel: String,
    pub dedup_key: String,
}

/// Sends a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// What.
    pub message: Message,
}

impl Op for Send {
    type Output = Receipt;
    const NAME: &'static str = "notify.send";
    const CLASS: Class = Class::Tell;
    const DEADLINE_MS: u64 = 15_000;
    const OUTPUT_BYTES_MAX: usize = 4 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Key
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Channel(self.message.channel.as_deref())
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("channel", self.message.channel.as_deref().unwrap_or(""), 63)?;
        check_text("title", &self.message.title, 256)?;
        check_text("text", &self.message.text, 16 * 1024)?;
        check_text("dedup_key", self.message.dedup_key.as_deref().unwrap_or(""), 255)
    }
}
