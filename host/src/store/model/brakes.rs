//! What is counted before it is done, and what happens when it was done often enough.
//!
//! Deliberately not here: which windows apply to a run (engine, policy and manifest say), and counting.

use sandbook_core::duration::DurationMs;
use sandbook_core::error::Error as CoreError;
use serde::Serialize;

/// Over what attempts are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Of this runbook on this subject.
    RunbookSubject,
    /// Of any runbook on this subject.
    Subject,
    /// Of this runbook on anything.
    Runbook,
    /// Of any runbook on anything of this host.
    Host,
    /// Permitted by this policy.
    Policy(String),
    /// Subjects of this host, each once however often it was touched.
    Storm,
}

impl Scope {
    /// Every word.
    pub const NAMES: [&'static str; 6] = ["runbook-subject", "subject", "runbook", "host", "policy", "storm"];

    /// Its word in metrics, the API and the database.
    pub fn name(&self) -> &'static str {
        match self {
            Scope::RunbookSubject => "runbook-subject",
            Scope::Subject => "subject",
            Scope::Runbook => "runbook",
            Scope::Host => "host",
            Scope::Policy(_) => "policy",
            Scope::Storm => "storm",
        }
    }

    /// The scope of that word; a policy's key is its id.
    pub fn parse(name: &str, key: &str) -> Option<Scope> {
        Some(match name {
            "runbook-subject" => Scope::RunbookSubject,
            "subject" => Scope::Subject,
            "runbook" => Scope::Runbook,
            "host" => Scope::Host,
            "policy" => Scope::Policy(key.to_owned()),
            "storm" => Scope::Storm,
            _ => return None,
        })
    }

    /// What an attempt is counted under. Names of runbooks have no spaces, so no two attempts share a key by accident.
    pub fn key(&self, runbook: &str, subject: &str, host: &str) -> String {
        match self {
            Scope::RunbookSubject => format!("{runbook} on {subject}"),
            Scope::Subject => subject.to_owned(),
            Scope::Runbook => runbook.to_owned(),
            Scope::Host | Scope::Storm => host.to_owned(),
            Scope::Policy(id) => id.clone(),
        }
    }

    /// A key as people read it.
    pub fn about(&self, key: &str) -> String {
        match self {
            Scope::RunbookSubject | Scope::Subject | Scope::Runbook => key.to_owned(),
            Scope::Host | Scope::Storm => format!("host {key}"),
            Scope::Policy(_) => format!("policy {key}"),
        }
    }
}

/// At most `count` attempts in any `window_ms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Which attempts.
    pub scope: Scope,
    /// How many; 0 forbids.
    pub count: u32,
    /// In how long.
    pub window_ms: u64,
    /// What people read, such as `brakes.per_runbook_target = 3/1h`.
    pub label: String,
}

/// At most `subjects_max` subjects of a host in any `window_ms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storm {
    /// How many; one that was touched within the window may be touched again.
    pub subjects_max: u32,
    /// In how long.
    pub window_ms: u64,
    /// What people read.
    pub label: String,
}

/// An attempt to be counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Intend {
    pub runbook: String,
    pub subject: String,
    pub host: String,
    /// The name pauses are matched with, besides the subject: a container's name.
    pub target: String,
    pub effect: String,
    pub at: u64,
    /// All must have room.
    pub windows: Vec<Window>,
    /// Ids of the policies that permitted it; windows of [`Scope::Policy`] count them.
    pub policy: Vec<String>,
    /// How many subjects of the host may be touched; absent: any number.
    pub storm: Option<Storm>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intended {
    /// It is counted and its record is on disk; only asked, it would be.
    Taken,
    /// Something holds it back; its record is not there.
    Limited {
        /// Why, and what to do.
        error: CoreError,
        /// The brake that this very attempt tripped.
        tripped: Option<Box<Trip>>,
    },
}

/// A brake that was too much asked of: what it covers is held back until a person re-arms it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Trip {
    pub id: String,
    pub scope: Scope,
    /// Which of that scope; see [`Scope::key`].
    pub key: String,
    /// Where its window is said, such as `brakes.per_host = 10/10m`.
    pub label: String,
    /// Attempts in the window when it tripped; of a storm: subjects.
    pub counted: u64,
    pub allowed: u32,
    pub window_ms: u64,
    /// The attempt that tripped it.
    pub run: String,
    pub runbook: String,
    pub subject: String,
    pub host: String,
    pub at: u64,
    /// Absent while it is open.
    pub rearmed: Option<Rearm>,
}

impl Trip {
    /// The figures in a sentence.
    pub fn figures(&self) -> String {
        figures(&self.scope, &self.key, self.counted, self.allowed, self.window_ms)
    }

    /// What a person types once the cause is found.
    pub fn line(&self) -> String {
        format!("sandbook rearm {} --reason \"…\"", self.id)
    }

    /// Why what it covers is held back, ending with the line to type.
    pub fn refusal(&self) -> String {
        let at = super::time(self.at);
        let (label, figures) = (&self.label, self.figures());
        format!("{label} tripped at {at}: {figures}; when the cause is found: {}", self.line())
    }
}

/// `3 attempts of restart-unhealthy on local/web-1 within 1h, at most 3 are allowed`.
pub(in crate::store) fn figures(scope: &Scope, key: &str, counted: u64, allowed: u32, window_ms: u64) -> String {
    let (about, within) = (scope.about(key), DurationMs(window_ms));
    match scope {
        Scope::Storm => format!("{counted} containers of {about} touched within {within}, at most {allowed} may be"),
        Scope::RunbookSubject | Scope::Subject | Scope::Runbook | Scope::Host | Scope::Policy(_) => {
            format!("{counted} attempts of {about} within {within}, at most {allowed} are allowed")
        }
    }
}

/// Who let a brake go on, and from where it counts afresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rearm {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: u64,
    /// Attempts up to this one no longer count for this scope and key. Not a time: clocks are set back.
    pub attempt: i64,
}

/// What became of a re-arming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rearmed {
    /// It counts afresh.
    Done(Box<Trip>),
    /// Somebody was faster.
    Already(Box<Trip>),
    /// No such trip.
    Unknown,
}

/// A counted attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct AttemptRow {
    pub id: i64,
    pub run: String,
    pub runbook: String,
    pub subject: String,
    pub host: String,
    pub effect: String,
    pub at: u64,
}

/// Which attempts; newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct AttemptFilter {
    pub runbook: Option<String>,
    pub subject: Option<String>,
    pub host: Option<String>,
    pub since: Option<u64>,
    pub limit: u32,
}
