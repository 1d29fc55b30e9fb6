//! Why there is no answer of the model.

use sandbook_core::error::{Error, ErrorKind};

/// Why, as a metric label and as the reason of a fallback. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No `[llm]` is configured.
    Unconfigured,
    /// A budget is used up.
    Budget,
    /// No whole answer in time.
    Timeout,
    /// The server cannot be reached, or broke off.
    Unreachable,
    /// The server wants fewer requests.
    Overloaded,
    /// The server failed.
    Server,
    /// The server refused the key.
    Key,
    /// The server refused the request.
    Refused,
    /// The answer is longer than it may be.
    TooLong,
    /// The answer is not what was asked for, also after its repair.
    Answer,
    /// The option is none of those offered.
    NotOffered,
    /// The quoted evidence does not occur in the evidence.
    Quote,
    /// The model is not sure enough.
    Unsure,
    /// The daemon cannot keep its books.
    Books,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 14] = [
        Reason::Unconfigured,
        Reason::Budget,
        Reason::Timeout,
        Reason::Unreachable,
        Reason::Overloaded,
        Reason::Server,
        Reason::Key,
        Reason::Refused,
        Reason::TooLong,
        Reason::Answer,
        Reason::NotOffered,
        Reason::Quote,
        Reason::Unsure,
        Reason::Books,
    ];

    /// The word everywhere outside.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Unconfigured => "unconfigured",
            Reason::Budget => "budget",
            Reason::Timeout => "timeout",
            Reason::Unreachable => "unreachable",
            Reason::Overloaded => "overloaded",
            Reason::Server => "server",
            Reason::Key => "key",
            Reason::Refused => "refused",
            Reason::TooLong => "too-long",
            Reason::Answer => "answer",
            Reason::NotOffered => "not-offered",
            Reason::Quote => "quote",
            Reason::Unsure => "unsure",
            Reason::Books => "books",
        }
    }

    /// The page about it.
    pub fn code(self) -> &'static str {
        match self {
            Reason::Unconfigured => "SB0801",
            Reason::Budget => "SB0802",
            Reason::Key => "SB0803",
            Reason::Timeout
            | Reason::Unreachable
            | Reason::Overloaded
            | Reason::Server
            | Reason::Refused
            | Reason::Books => "SB0804",
            Reason::TooLong | Reason::Answer | Reason::NotOffered | Reason::Quote | Reason::Unsure => "SB0805",
        }
    }
}

/// Why there is no answer, in words that hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[{}] {message}", reason.code())]
pub struct Fault {
    /// The case.
    pub reason: Reason,
    /// Lower case, no full stop; names the thing and the way out.
    pub message: String,
}

impl Fault {
    /// A fault.
    pub fn new(reason: Reason, message: impl Into<String>) -> Fault {
        Fault { reason, message: message.into() }
    }

    /// Nobody configured a model.
    pub fn unconfigured() -> Fault {
        let message = "no model is configured; set [llm] base_url and model (see docs/llm.md)";
        Fault::new(Reason::Unconfigured, message)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let kind = match fault.reason {
            Reason::Unconfigured => ErrorKind::NotFound,
            Reason::Budget | Reason::TooLong => ErrorKind::Limited,
            Reason::Timeout => ErrorKind::Timeout,
            Reason::Unreachable
            | Reason::Overloaded
            | Reason::Server
            | Reason::Key
            | Reason::Refused
            | Reason::Answer
            | Reason::NotOffered
            | Reason::Quote
            | Reason::Unsure
            | Reason::Books => ErrorKind::Failed,
        };
        Error::new(kind, fault.to_string())
    }
}
