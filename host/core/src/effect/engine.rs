//! Effects the engine answers itself: memory, clock, random and notes.
//!
//! Deliberately not here: how sleeping costs nothing (the host's runner drops the guest and replays it).

use serde::{Deserialize, Serialize};

use super::{Class, MARGIN_MS, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Longest key of a runbook's memory.
pub const KEY_BYTES_MAX: usize = 256;
/// Longest value of a runbook's memory.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Keys a runbook may have.
pub const KEYS_MAX: u32 = 1_000;
/// Longest sleep, in milliseconds: longer waits belong to a schedule.
pub const SLEEP_MS_MAX: u64 = 7 * 86_400_000;
/// Longest line of a note.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Longest piece of evidence.
pub const EVIDENCE_BYTES_MAX: usize = 256 * 1024;

macro_rules! engine_op {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty),* } -> $output:ty, $effect:literal, $class:ident, $recovery:ident,
     $scope:ident, deadline $deadline:expr, bytes $bytes:expr, |$self_:ident| $validate:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fmeta])* #[allow(missing_docs)] pub $field: $ty),* }
        impl Op for $name {
            type Output = $output;
            const NAME: &'static str = $effect;
            const CLASS: Class = Class::$class;
            const DEADLINE_MS: u64 = $deadline;
            const OUTPUT_BYTES_MAX: usize = $bytes;
            fn recovery(&self) -> Recovery { Recovery::$recovery }
            fn scope(&self) -> Scope<'_> { Scope::$scope }
            fn validate(&self) -> Result<(), Error> { let $self_ = self; $validate }
        }
    };
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::invalid("key is empty"));
    }
    check_text("key", key, KEY_BYTES_MAX)
}

engine_op! {
    /// The value of a key.
    StateGet { key: String } -> Option<String>, "state.get", State, Again, Memory,
    deadline MARGIN_MS, bytes 2 * VALUE_BYTES_MAX, |op| check_key(&op.key)
}
engine_op! {
    /// Sets a key.
    StatePut { key: String, value: String } -> (), "state.put", State, Transaction, Memory,
    deadline MARGIN_MS, bytes 64, |op| check_key(&op.key).and_then(|()| check_text("value", &op.value, VALUE_BYTES_MAX))
}
engine_op! {
    /// Sets a key if it still has the expected value.
    StateCompareAndPut { key: String, #[serde(default, skip_serializing_if = "Option::is_none")] expected: Option<String>, value: String }
    -> bool, "state.compare-and-put", State, Transaction, Memory,
    deadline MARGIN_MS, bytes 64, |op| check_key(&op.key).and_then(|()| check_text("value", &op.value, VALUE_BYTES_MAX))
}
engine_op! {
    /// Milliseconds since 1970.
    Now {} -> u64, "clock.now", Ambient, Again, Run, deadline MARGIN_MS, bytes 64, |_op| Ok(())
}
engine_op! {
    /// Waits.
    Sleep { duration_ms: u64 } -> (), "clock.sleep", Wait, Again, Run,
    deadline SLEEP_MS_MAX, bytes 64, |op| check_range("duration_ms", Some(op.duration_ms), 0, SLEEP_MS_MAX)
}
engine_op! {
    /// A random number.
    RandomU64 {} -> u64, "random.random-u64", Ambient, Again, Run, deadline MARGIN_MS, bytes 64, |_op| Ok(())
}

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

engine_op! {
    /// A line in the run's record.
    Log { level: Level, message: String } -> (), "log.log", Note, Again, Run,
    deadline MARGIN_MS, bytes 64, |op| check_text("message", &op.message, MESSAGE_BYTES_MAX)
}
engine_op! {
    /// What is being done now.
    Progress { message: String, #[serde(default, skip_serializing_if = "Option::is_none")] percent: Option<u8> }
    -> (), "log.progress", Note, Again, Run,
    deadline MARGIN_MS, bytes 64,
    |op| check_text("message", &op.message, MESSAGE_BYTES_MAX).and_then(|()| check_range("percent", op.percent, 0, 100))
}
engine_op! {
    /// Keeps a text with the run.
    AttachEvidence { name: String, text: String } -> (), "log.attach-evidence", Note, Again, Run,
    deadline MARGIN_MS, bytes 64,
    |op| check_text("name", &op.name, 255).and_then(|()| check_text("text", &op.text, EVIDENCE_BYTES_MAX))
}
