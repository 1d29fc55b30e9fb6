//! Another version in a recorded incident: as recorded up to where it differs, from there on over a simulated world made
//! of what the journal says.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal::{Answer, Header, Journal, Record};
use sandbook_core::run::{Certainty, Mode, Outcome};

use super::past::Past;
use crate::clock::Virtual;
use crate::library::Package;
use crate::plan::{self, EffectView};
use crate::runner::Parts;
use crate::runner::execute::pinned;
use crate::runner::ledger::Rehearsed;
use crate::runner::rehearse::{Stage, rehearse};
use crate::runner::replay::Recording;

/// What came of going on.
pub(super) struct On {
    pub(super) outcome: Outcome,
    pub(super) sentence: String,
    pub(super) would: Vec<EffectView>,
    pub(super) assumed: u32,
}

/// The recorded trigger with another version's code, limits and parameters. What both have keeps its recorded value.
pub(super) fn header(parts: &Parts, package: &Package, recorded: &Header) -> Header {
    let manifest = &package.manifest;
    // A parameter without a default has no value unless it was recorded.
    let defaults = manifest.parameters_from(&BTreeMap::new()).unwrap_or_default().into_iter();
    let mut parameters: indexmap::IndexMap<String, serde_json::Value> =
        defaults.map(|(name, value)| (name, serde_json::to_value(value).unwrap_or_default())).collect();
    let known = recorded.parameters.iter().filter(|(name, _)| manifest.parameters.contains_key(*name));
    parameters.extend(known.map(|(name, value)| (name.clone(), value.clone())));
    let pinned = pinned(package);
    Header {
        runbook: pinned.runbook,
        version: pinned.version,
        digest: pinned.digest,
        interpreter: pinned.interpreter,
        abi: pinned.abi,
        origin: pinned.origin,
        requests: pinned.requests,
        limits: parts.limits(manifest),
        parameters,
        bound: None,
        ..recorded.clone()
    }
}

/// Goes on from a slot.
pub(super) async fn go_on(parts: &Parts, package: &Package, recording: &Recording, header: Header, from: u32) -> On {
    let header = Header { mode: Mode::Plan, ..header };
    let kept = Rehearsed::alone(memory(&recording.journal, from));
    let past = Arc::new(Past::of(&recording.journal, from));
    let clock = Arc::new(Virtual(past.world()));
    let stage = Stage { driver: past, clock, policy: None, kept };
    let rehearsal = match prefix(recording, header, from) {
        Ok(journal) => rehearse(parts, package, journal, stage).await,
        Err(error) => {
            let sentence = format!("it cannot go on from slot {from}: {error}");
            return On { outcome: Outcome::Failed, sentence, would: Vec::new(), assumed: 0 };
        }
    };
    let assumed = rehearsal.journal.slots.iter().skip(from as usize);
    let assumed = assumed.filter(|slot| matches!(slot.certainty, Some(Certainty::Assumed | Certainty::Unknown)));
    let assumed = u32::try_from(assumed.count()).unwrap_or(u32::MAX);
    let outward = |view: &EffectView| {
        Effect::find(&view.effect).is_some_and(|info| match info.class {
            Class::Mutate | Class::Tell => true,
            Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Observe | Class::Egress => false,
        })
    };
    let views = plan::effects(&rehearsal.journal).into_iter();
    let would = views.filter(|view| view.slot >= from && outward(view)).collect();
    On { outcome: rehearsal.outcome, sentence: rehearsal.sentence, would, assumed }
}

/// The recorded slots before it. Notes are made again, so they are left out.
fn prefix(recording: &Recording, header: Header, from: u32) -> Result<Journal, sandbook_core::journal::Error> {
    let before = |record: &&Record| record.slot().is_some_and(|slot| slot < from);
    let records = recording.records.iter().filter(before).cloned();
    Journal::fold(std::iter::once(Record::Begun { header: Box::new(header) }).chain(records))
}

/// The runbook's memory as the journal tells: what was read of it, and what was written before that slot.
fn memory(journal: &Journal, from: u32) -> BTreeMap<String, String> {
    let mut memory = BTreeMap::new();
    let read = |slot: &sandbook_core::journal::Slot| {
        Effect::from_arguments(&slot.request.effect, slot.request.arguments.clone()).ok()
    };
    for slot in journal.slots.iter().rev() {
        if let (Some(Effect::StateGet(get)), Some(Answer::Ok(serde_json::Value::String(value)))) =
            (read(slot), &slot.answer)
        {
            memory.insert(get.key, value.clone());
        }
    }
    for slot in journal.slots.iter().take(from as usize) {
        match (read(slot), &slot.answer) {
            (Some(Effect::StatePut(put)), Some(Answer::Ok(_))) => drop(memory.insert(put.key, put.value)),
            (Some(Effect::StateCompareAndPut(put)), Some(Answer::Ok(serde_json::Value::Bool(true)))) => {
                memory.insert(put.key, put.value);
            }
            (_, _) => {}
        }
    }
    memory
}
