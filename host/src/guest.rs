//! The sandbox: every runbook, in any language, runs as a WebAssembly component here. A script runs inside the
//! interpreter, which is one of them.
//!
//! The only way out is [`Perform`]: a host call becomes an effect, and `perform` answers. Limits are held by the engine:
//! the sum of linear memories, CPU counted in ticks that yield (time in host calls does not count), stack, tables, and
//! what one call may carry.
//!
//! Deliberately not here: deciding anything (the gate), driving anything (drivers), storing anything. This module must
//! not name a driver or the store.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use sandbook_core::effect::Effect;
use sandbook_core::error::Error;
use sandbook_core::journal::Limits;
use serde_json::Value;

mod audit;
mod cache;
mod compile;
mod context;
mod convert;
mod engine;
mod invoke;
mod link;
#[cfg(test)]
mod tests;
mod wasi;

pub use audit::{Audit, Import};
pub use cache::user_cache;
pub use compile::{COMPONENT_BYTES_MAX, Compiler, append_section, compile_worker, component_of};
pub use engine::Sandbox;
pub use invoke::exceeded;
pub use link::parse_wit;

/// The guest contract: the only copy of the WIT, embedded.
pub static WIT: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/../sdk/wit");

/// The Rhai interpreter as a component, built from `sdk/rhai` by `./dev guests`.
pub static INTERPRETER: &[u8] = include_bytes!("../../sdk/rhai/interpreter.wasm");

/// Package and version of the guest contract; pinned in every run's header.
pub const ABI: &str = "sandbook:runbook@1.0.0";

/// The run was stopped at the gate (suspended, ended or cancelled); why is with whoever performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// The one door to the world.
pub trait Perform: Send + Sync + 'static {
    /// Performs an effect. [`Stopped`] means that the guest gets no answer and is dropped.
    fn perform(&self, effect: Effect) -> BoxFuture<'_, Result<Result<Value, Error>, Stopped>>;
    /// Time of the last journal record, in milliseconds since 1970: what WASI clocks show.
    fn journal_time_ms(&self) -> u64;
    /// Whether recorded answers are being returned: CPU and wall limits do not apply meanwhile.
    fn replaying(&self) -> bool;
    /// Whether a wait is under way: it does not count against the wall time.
    fn waiting(&self) -> bool;
    /// Resolves when the run was stopped.
    fn stopped(&self) -> BoxFuture<'_, ()>;
}

/// A binary with its hash, by which its compiled form is found: hashed once, not at every run.
#[derive(Clone)]
pub struct Binary {
    bytes: Arc<[u8]>,
    hash: [u8; 32],
}

impl Binary {
    /// SHA-256 of the bytes.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Binary {
        use sha2::{Digest as _, Sha256};
        Binary { hash: Sha256::digest(&bytes).into(), bytes: bytes.into() }
    }
}

impl std::ops::Deref for Binary {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What can be executed.
#[derive(Clone)]
pub enum Code {
    /// A component, or a core module with an embedded component type.
    Wasm(Binary),
    /// A Rhai script.
    Script(Arc<str>),
}

/// Which exported function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// `run`: the runbook.
    Run,
    /// `verify`: whether it worked.
    Verify,
}

impl Entry {
    /// Name of the export.
    pub fn name(self) -> &'static str {
        match self {
            Entry::Run => "run",
            Entry::Verify => "verify",
        }
    }
}

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// From 1; 0 where unknown.
    pub line: u32,
    /// From 1; 0 where unknown.
    pub column: u32,
    /// The line itself, trimmed at the end.
    pub source: String,
}

/// Which limit ended a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exceeded {
    /// CPU time.
    Cpu,
    /// Linear memory.
    Memory,
    /// Wall time without waits.
    Wall,
    /// The guest's stack.
    Stack,
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It returned an outcome; for `verify`, `done` is true and `nothing-to-do` false.
    Outcome(sandbook_core::run::Outcome, String),
    /// It returned or threw an error.
    Error(Error, Option<Place>),
    /// It broke: a limit, or a trap of its own making.
    Trap {
        /// Which limit, if one.
        exceeded: Option<Exceeded>,
        /// For people.
        message: String,
    },
    /// The gate stopped it.
    Stopped,
}

/// A problem of a script or component, placed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GuestProblem {
    /// From 1; 0 where unknown.
    pub line: u32,
    /// From 1; 0 where unknown.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Does not prevent an upload.
    pub warning: bool,
}

/// Facts about code, found without running it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong.
    pub problems: Vec<GuestProblem>,
    /// Effects it can ask for.
    pub effects: Vec<String>,
    /// Whether it can check whether it worked.
    pub has_verify: bool,
}

/// Where compiled components are kept and how they are compiled.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory for compiled components; created when absent.
    pub cache_dir: PathBuf,
    /// Who compiles.
    pub compiler: Compiler,
}

/// One execution.
pub struct Call<'a> {
    /// What.
    pub code: &'a Code,
    /// Which function.
    pub entry: Entry,
    /// In the shape of the guest contract's `input`.
    pub input: &'a Value,
    /// What it may use up.
    pub limits: &'a Limits,
    /// Seed of WASI's random functions.
    pub seed: u64,
    /// The door.
    pub door: Arc<dyn Perform>,
}
