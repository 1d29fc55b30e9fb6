//! What a run begins with: everything that a guest can observe and that no record says later.
//!
//! Pinned, so that a resumed run sees the same world of inputs. Deliberately not here: what happens in the run.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::effect::{Class, Effect};
use crate::run::{Mode, Origin, Stage};
use crate::target::Target;

/// What a run may use up. Pinned in the header, so that a resumed run keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Sum of linear memories, in bytes.
    pub memory_bytes: u64,
    /// Guest CPU, in milliseconds.
    pub cpu_ms: u64,
    /// Wall time without waits, in milliseconds.
    pub wall_ms: u64,
    /// Slots.
    pub effects: u32,
    /// Bytes of JSON of one result.
    pub result_bytes: u64,
    /// Bytes of JSON of all records.
    pub journal_bytes: u64,
    /// Denials before the run is ended as probing.
    pub denials: u32,
    /// Bytes of notes.
    pub notes_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 64 << 20,
            cpu_ms: 5_000,
            wall_ms: 600_000,
            effects: 500,
            result_bytes: 1 << 20,
            journal_bytes: 8 << 20,
            denials: 20,
            notes_bytes: 1 << 20,
        }
    }
}

/// The alert as a run sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AlertInput {
    pub name: String,
    pub labels: std::collections::BTreeMap<String, String>,
    pub annotations: std::collections::BTreeMap<String, String>,
    pub starts_at: String,
    pub fingerprint: String,
}

/// Pins everything a guest can observe: a resumed run sees the same world of inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// Run id.
    pub run: String,
    /// Name.
    pub runbook: String,
    /// Version in the manifest.
    pub version: String,
    /// `sha256:…` of code and manifest.
    pub digest: String,
    /// Digest of the interpreter, for scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Of the guest contract, such as `sandbook:runbook@1.0.0`.
    pub abi: String,
    /// How it relates to the world.
    pub mode: Mode,
    /// When it was started.
    pub stage: Stage,
    /// Who wrote the runbook.
    pub origin: Origin,
    /// What started it: `alert`, `docker-event`, `manual`, `schedule`.
    pub trigger: String,
    /// Absent for manual runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<String>,
    /// Absent for manual, scheduled and event-triggered runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertInput>,
    /// Absent when the runbook's target kind is `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Key of the lock it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The Docker host whose names need no prefix.
    pub host: String,
    /// Typed, in the shapes of the guest contract's variant `value`.
    pub parameters: IndexMap<String, Value>,
    /// Effects the manifest requests.
    pub requests: Vec<String>,
    /// What it may use up.
    pub limits: Limits,
    /// Seed of WASI's random functions.
    pub seed: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// It may do what a reviewed plan says and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Box<Bound>>,
}

/// What a run is held to that applies a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Id of the plan.
    pub plan: String,
    /// Who applies it, and answers for it.
    pub by: String,
    /// Its changes, in order.
    pub acts: Vec<Act>,
}

/// A change that was reviewed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// Name of the effect.
    pub effect: String,
    /// In the shapes of the guest contract.
    pub arguments: Value,
    /// On what: host, name and instance.
    pub target: Target,
}

impl Header {
    /// Whether its changes are real, as far as its world is.
    pub fn acts(&self) -> bool {
        match self.mode {
            Mode::Live | Mode::Simulate => true,
            Mode::Plan | Mode::Shadow | Mode::Replay => false,
        }
    }

    /// Whether it may change the world at all: it acts, and its manifest requests an effect that changes something.
    pub fn may_change(&self) -> bool {
        let changes = |name: &String| Effect::find(name).is_some_and(|info| info.class == Class::Mutate);
        self.acts() && self.requests.iter().any(changes)
    }
}
