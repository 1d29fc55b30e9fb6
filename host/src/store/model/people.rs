//! What people put in and decide: versions, stages, questions, and the audit of it.
//!
//! Deliberately not here: who may; the API knows.

use sandbook_core::run::{Origin, Stage};
use sandbook_core::target::Target;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Notice;

/// Where a runbook's package came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Embedded in the binary.
    BuiltIn,
    /// A watched directory.
    Dir,
    /// Uploaded through the API.
    Upload,
}

/// One version of a runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct VersionRow {
    pub name: String,
    pub version: String,
    pub digest: String,
    pub origin: Origin,
    pub source: Source,
    pub manifest_json: String,
    /// Tar of its files. Empty in every answer but that of `package`.
    #[serde(skip)]
    pub package: Vec<u8>,
    pub at: u64,
    pub by: String,
}

/// What became of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutVersion {
    /// It is new.
    Stored,
    /// It was there.
    SameBytes,
    /// The version has other bytes, of this digest; nothing is stored.
    VersionTaken(String),
}

/// A stage that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct StageRow {
    pub name: String,
    pub digest: String,
    pub stage: Stage,
    pub reason: String,
    pub by: String,
    pub at: u64,
}

/// A version that is trusted with less because it did not help: everything that is written of it at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Demotion {
    /// The new stage.
    pub stage: StageRow,
    /// Of the audit's line.
    pub details: Value,
    /// What people are told.
    pub notice: Notice,
}

/// One line of the audit, chained by its hash to the one before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct AuditRow {
    /// From 1, without gaps.
    pub seq: u64,
    pub at: u64,
    pub who: String,
    pub what: String,
    pub subject: String,
    pub details: Value,
    pub hash: String,
}

/// What checking the audit's chain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AuditCheck {
    /// Rows that hold, from the first on.
    pub rows: u64,
    /// The first that does not.
    pub broken: Option<u64>,
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Approval {
    pub id: String,
    pub run: String,
    pub slot: u32,
    pub kind: ApprovalKind,
    pub runbook: String,
    pub effect: String,
    /// In the shapes of the guest contract.
    pub arguments: Value,
    pub target: Option<Target>,
    /// What is asked for, in plain words.
    pub sentence: String,
    /// What happens when nobody says yes.
    pub otherwise: String,
    /// Over effect, arguments and instance: what an answer is for.
    pub digest: String,
    /// What may be answered; empty: only yes or no.
    pub options: Vec<String>,
    /// Why it is asked.
    pub reason: String,
    pub at: u64,
    pub expires_at: u64,
    pub decision: Option<ApprovalDecision>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalKind {
    /// Whether an effect may be done.
    Approval,
    /// What the runbook itself wants to know.
    Question,
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct ApprovalDecision {
    pub kind: ApprovalEnd,
    pub by: String,
    pub reason: String,
    /// Which option, where there are some.
    pub answer: Option<String>,
    pub at: u64,
}

/// The case of [`ApprovalDecision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ApprovalEnd {
    Approved,
    Denied,
    /// The reason to ask went away.
    Withdrawn,
}

/// What became of an answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// It counts.
    Done(Box<Approval>),
    /// Somebody was faster; this is how it ended.
    Already(Box<Approval>),
    /// It came too late.
    Expired(Box<Approval>),
    /// The run waits no longer.
    Gone(Box<Approval>),
    /// No such question.
    Unknown,
}
