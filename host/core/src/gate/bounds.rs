//! Size and count limits of a run, and the ways a run ends at the gate.

use serde_json::Value;

use super::Next;
use crate::effect::Effect;
use crate::error::{Error, ErrorKind};
use crate::journal::{self, Answer, Journal, Limits, Request, value_bytes};

/// How many calls beyond the effect limit are answered with `limited` before the run is ended: enough for a script to
/// clean up, too few to spin on.
pub const OVERRUN_MAX: u32 = 20;
/// Notes dropped beyond the byte limit before the run is ended as flooding.
const NOTES_DROPPED_MAX: u32 = 100_000;

/// Why the gate ended a run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Fault {
    #[error(
        "slot {slot} asks for {} but the journal has {} there: the code is not the one that was recorded",
        show(asked),
        show(recorded)
    )]
    ReplayMismatch { slot: u32, recorded: Box<Request>, asked: Box<Request> },
    #[error("the journal ends before slot {slot} ({})", show(asked))]
    JournalExhausted { slot: u32, asked: Box<Request> },
    #[error("slot {slot} ({}) may or may not have happened: {reason}", show(asked))]
    NeedsAttention { slot: u32, asked: Box<Request>, reason: String },
    #[error("more than {0} denied effects: a runbook that probes is ended")]
    Probing(u32),
    #[error("more than {0} effects, and it went on asking")]
    Effects(u32),
    #[error("its journal has more than {0} bytes")]
    JournalBytes(u64),
    #[error("it floods its notes: {0} were dropped")]
    Flooding(u32),
    #[error("the journal refuses a record: {0}")]
    Journal(journal::Error),
    #[error("defect in the gate: {0}")]
    Confused(&'static str),
}

fn show(request: &Request) -> String {
    let mut arguments = request.arguments.to_string();
    crate::error::truncate_at_char(&mut arguments, 200);
    format!("{}{arguments}", request.effect)
}

/// What a run has used up.
pub(super) struct Counts {
    effects: u32,
    overrun: u32,
    denials: u32,
    notes_bytes: u64,
    notes_dropped: u32,
}

pub(super) enum NoteAdmission {
    Keep,
    /// The one that says that further ones are dropped.
    Last(Value),
    Drop,
    Flood(Fault),
}

impl Counts {
    /// What the recorded part used up, so that a resumed run cannot start counting anew.
    pub(super) fn recorded(journal: &Journal) -> Counts {
        let denied = |answer: &Answer| matches!(answer, Answer::Error(error) if error.kind == ErrorKind::Denied);
        let denials = journal.slots.iter().filter(|slot| slot.answer.as_ref().is_some_and(denied)).count();
        Counts {
            effects: u32::try_from(journal.slots.len()).unwrap_or(u32::MAX),
            overrun: 0,
            denials: u32::try_from(denials).unwrap_or(u32::MAX),
            notes_bytes: journal.notes_bytes,
            notes_dropped: 0,
        }
    }

    pub(super) fn admit(&mut self, limits: &Limits) -> Result<(), Box<Next>> {
        if self.effects < limits.effects {
            self.effects += 1;
            return Ok(());
        }
        self.overrun += 1;
        if self.overrun > OVERRUN_MAX {
            return Err(Box::new(Next::end(Fault::Effects(limits.effects))));
        }
        let message = format!(
            "this run has used its {} effects; raise `effects` under [limits] if it needs more",
            limits.effects
        );
        Err(Box::new(Next::answer(Err(Error::limited(message)))))
    }

    pub(super) fn admit_note(&mut self, data: &Value, limits: &Limits) -> NoteAdmission {
        let bytes = value_bytes(data);
        if self.notes_dropped == 0 && self.notes_bytes + bytes <= limits.notes_bytes {
            self.notes_bytes += bytes;
            return NoteAdmission::Keep;
        }
        self.notes_dropped += 1;
        if self.notes_dropped > NOTES_DROPPED_MAX {
            return NoteAdmission::Flood(Fault::Flooding(self.notes_dropped));
        }
        if self.notes_dropped > 1 {
            return NoteAdmission::Drop;
        }
        NoteAdmission::Last(serde_json::json!({
            "level": "warn",
            "message": format!("notes beyond {} bytes are dropped from here on", limits.notes_bytes),
        }))
    }

    pub(super) fn deny(&mut self, limits: &Limits) -> Result<(), Fault> {
        self.denials += 1;
        if self.denials > limits.denials { Err(Fault::Probing(limits.denials)) } else { Ok(()) }
    }
}

/// Whether the journal is within its size.
pub(super) fn check_journal(journal: &Journal) -> Result<(), Fault> {
    let max = journal.header.limits.journal_bytes;
    if journal.bytes > max { Err(Fault::JournalBytes(max)) } else { Ok(()) }
}

/// Holds a driver's answer to the effect's and the run's size limits.
pub(super) fn check_result(effect: &Effect, result: Result<Value, Error>, limits: &Limits) -> Result<Value, Error> {
    let value = result?;
    let max = limits.result_bytes.min(effect.info().output_bytes_max as u64);
    let bytes = value_bytes(&value);
    if bytes > max {
        return Err(Error::limited(format!(
            "the answer of {} has {bytes} bytes, at most {max} are allowed; ask for less",
            effect.name()
        )));
    }
    Ok(value)
}
