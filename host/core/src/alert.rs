//! Alerts and the messages they come in: Alertmanager's webhook (version 4), Grafana's, a list as Alertmanager's API v2
//! has it, or one bare alert.
//!
//! A broken alert never costs the others: it stands as a reason in its place, and only a text that is no JSON or no
//! message at all is refused. Parsed in one pass, typed, as messages come in storms. Deliberately not here:
//! deduplication, episodes' lives and what an alert starts; see [`crate::matching`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod parse;
#[cfg(test)]
mod tests;

pub use parse::parse_message;

/// Alerts taken from one message; the ones after are rejected.
pub const ALERTS_MAX: usize = 10_000;
/// Rejected alerts that keep a place beyond [`ALERTS_MAX`]; more are only counted in [`Message::truncated`].
pub const REJECTED_MAX: usize = 10_000;
/// One label's value, in bytes.
pub const LABEL_BYTES_MAX: usize = 64 << 10;
/// All names and values of an alert's labels, in bytes. Annotations have the same room and are cut, not refused.
pub const LABELS_BYTES_MAX: usize = 256 << 10;
/// Whether an alert holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It holds.
    Firing,
    /// It ended.
    Resolved,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Whether it holds.
    pub status: Status,
    /// At least one; bounded by [`LABEL_BYTES_MAX`] and [`LABELS_BYTES_MAX`].
    pub labels: BTreeMap<String, String>,
    /// For people; cut to the bounds of labels.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When it started to fire.
    pub starts_at: Timestamp,
    /// When it ended, if it did and the sender says when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Where it came from; may be empty.
    #[serde(default)]
    pub generator_url: String,
    /// The sender's hash of the labels, else ours: 16 hex digits.
    pub fingerprint: String,
}

impl Alert {
    /// The label `alertname`, or nothing.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    /// Key of the episode this alert begins when it continues none: fingerprint and start in milliseconds.
    pub fn episode_key(&self) -> String {
        episode_key(&self.fingerprint, self.starts_at)
    }
}

/// Key of an episode: the fingerprint and the start of its first firing, in milliseconds since 1970.
pub fn episode_key(fingerprint: &str, starts_at: Timestamp) -> String {
    format!("{fingerprint}-{}", starts_at.as_millisecond())
}

/// Our hash of a label set: 16 hex digits, the same on every machine and in every version.
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (name, value) in labels {
        for part in [name, value] {
            hash.update(part.as_bytes());
            // Not part of any UTF-8 text, so it separates.
            hash.update([0xff]);
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What sent a message, as far as its shape tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Alertmanager's webhook.
    Alertmanager,
    /// Grafana's webhook: Alertmanager's with an organisation.
    Grafana,
    /// A list of alerts as in Alertmanager's API v2.
    ApiV2,
    /// One alert.
    Bare,
}

/// A parsed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// In the sender's order; a broken one is the reason it was rejected for.
    pub alerts: Vec<Result<Alert, String>>,
    /// Alerts the sender cut away, and those beyond [`ALERTS_MAX`] + [`REJECTED_MAX`].
    pub truncated: u64,
    /// The sender's group; may be empty.
    pub group_key: String,
    /// The sender's receiver; may be empty.
    pub receiver: String,
    /// The sender's own address; may be empty.
    pub external_url: String,
    /// What sent it.
    pub format: Format,
}

/// Why a body is no message. Short: Alertmanager writes it to its log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is no JSON.
    #[error("not json: {message} at line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// JSON, but nothing that holds alerts.
    #[error("not an alert message: {0}")]
    NotAMessage(String),
}
