//! The one error a runbook can see: always a value, journaled and replayed like any other answer.
//!
//! Deliberately not here: errors for operators (they carry a code, see [`crate::code`]) and faults of the daemon
//! itself, which no guest ever sees.

use serde::{Deserialize, Serialize};

/// The case of [`Error`], as scripts compare it (`e.kind == "denied"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The manifest does not request it, or the operator does not permit it.
    Denied,
    /// The arguments make no sense, or name several things where one is expected.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// The world is in a state that forbids it.
    Conflict,
    /// No answer within the deadline.
    Timeout,
    /// A limit or a brake of the engine holds it back.
    Limited,
    /// The other side failed.
    Failed,
}

impl ErrorKind {
    /// Every case, in the order of the WIT variant.
    pub const ALL: [ErrorKind; 7] = [
        ErrorKind::Denied,
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Timeout,
        ErrorKind::Limited,
        ErrorKind::Failed,
    ];

    /// The name of the WIT case.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Denied => "denied",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Limited => "limited",
            ErrorKind::Failed => "failed",
        }
    }

    /// The case of that name.
    pub fn from_name(name: &str) -> Option<ErrorKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The answer of an effect that did not work out. The message says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", kind.name())]
pub struct Error {
    /// Which case.
    pub kind: ErrorKind,
    /// Lower case, no full stop; names the thing and the way out. At most [`MESSAGE_BYTES_MAX`].
    pub message: String,
}

/// Messages longer than this are cut: they travel into journals, notifications and terminals.
pub const MESSAGE_BYTES_MAX: usize = 4096;

impl Error {
    /// An error of that kind; the message is cut at [`MESSAGE_BYTES_MAX`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        truncate_at_char(&mut message, MESSAGE_BYTES_MAX);
        Error { kind, message }
    }
    /// The manifest does not request it, or the operator does not permit it.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }
    /// The arguments make no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }
    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    /// The world is in a state that forbids it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }
    /// No answer within the deadline.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }
    /// A limit or a brake holds it back.
    pub fn limited(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limited, message)
    }
    /// The other side failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }
}

/// Cuts a text to at most `bytes_max` without splitting a character.
pub fn truncate_at_char(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
