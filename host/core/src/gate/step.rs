//! What goes between the gate and its host: what to do next, and what the host answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fault, Permit};
use crate::effect::{Effect, Recovery};
use crate::error::Error;
use crate::journal::Record;
use crate::run::Decision;
use crate::target::Resolved;

/// The host's clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970: for records.
    pub unix_ms: u64,
    /// Milliseconds since boot, suspend included: for permits.
    pub boot_ms: u64,
}

/// What the operator's policy says of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Allow, ask or deny.
    pub decision: Decision,
    /// Ids of the policies that decided.
    pub policy: Vec<String>,
    /// Limits of those policies, all of which hold.
    pub limits: Vec<PolicyLimit>,
    /// Why, in a sentence.
    pub reason: String,
    /// What to do to allow it; empty when allowed.
    pub fix: String,
}

/// A limit that a policy puts on what it permits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLimit {
    /// Id of the policy.
    pub key: String,
    /// Attempts.
    pub count: u32,
    /// In this many milliseconds.
    pub window_ms: u64,
}

/// What is asked of policy and of the intend transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Which slot.
    pub slot: u32,
    /// What.
    pub effect: Effect,
    /// On what; a name that resolved to nothing is here as written, without facts.
    pub resolved: Resolved,
    /// Which attempt of this slot, from 1.
    pub attempt: u32,
    /// Limits that policy added.
    pub limits: Vec<PolicyLimit>,
}

/// What the host does next.
#[derive(Debug)]
pub enum Step {
    /// Give this to the guest.
    Answer(Result<Value, Error>),
    /// Find out what it is about, then [`Session::resolved`].
    Resolve(Effect),
    /// Ask policy, then [`Session::authorized`].
    Authorize(Box<Claim>),
    /// One store transaction, with the records, then [`Session::intended`].
    Intend(Box<Claim>),
    /// Call the driver, then [`Session::settle`].
    Drive(Box<Permit>),
    /// Wait until then (milliseconds since 1970), here or with the guest dropped, then [`Session::woken`].
    Wait(u64),
    /// Drop the guest; a person's answer resumes it by replay.
    Ask(Box<Claim>),
    /// An intent without an outcome: settle it as declared, then [`Session::recovered`].
    Recover(Box<Claim>, Recovery),
    /// End the run.
    End(Fault),
}

/// A step, and the records that come before it.
#[derive(Debug)]
pub struct Next {
    /// To append in order, before the step.
    pub records: Vec<Record>,
    /// Whether they, and all before them, must be on disk before the step.
    pub durable: bool,
    /// What to do then.
    pub step: Step,
}

/// How an intent without an outcome turned out.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovered {
    /// It happened; this is its answer.
    Done(Value),
    /// It did not happen and cannot any more: authorized and driven again as a further attempt.
    NotDone,
    /// Nobody can tell: a person settles it.
    Unknown(String),
}

impl Next {
    pub(super) fn then(step: Step) -> Next {
        Next { records: Vec::new(), durable: false, step }
    }
    pub(super) fn answer(result: Result<Value, Error>) -> Next {
        Next::then(Step::Answer(result))
    }
    pub(super) fn end(fault: Fault) -> Next {
        Next::then(Step::End(fault))
    }
}
