//! What a run leaves for the next incident of the same shape: what it changed, and the patterns of the logs it read.
//!
//! Only what the run itself asked for and was given, so that comparing incidents reads nothing that a runbook was not
//! allowed to read. Deliberately not here: keeping and comparing it.

use sandbook_core::effect::{Effect, sentence};
use sandbook_core::journal::{Answer, Journal, Slot};
use sandbook_core::similar::template;

use super::verify::acted;
use crate::driver::Read;
use crate::store::{Change, Trace};

/// Changes that are kept of a run: more is not read by anybody who compares.
const CHANGES_MAX: usize = 20;

/// What a run leaves; `None` where it neither changed anything nor read a log.
pub(super) fn of(journal: &Journal) -> Option<Trace> {
    let logs = patterns(journal);
    let acts = journal.header.acts();
    let changes = journal.slots.iter().filter(|slot| acts && acted(slot)).take(CHANGES_MAX).map(change);
    let trace = Trace { changes: changes.collect(), logs };
    (!trace.changes.is_empty() || !trace.logs.is_empty()).then_some(trace)
}

fn change(slot: &Slot) -> Change {
    let effect = Effect::from_arguments(&slot.request.effect, slot.request.arguments.clone());
    let said = effect.map(|effect| sentence(&effect, slot.resolved.as_deref()));
    Change { effect: slot.request.effect.clone(), sentence: said.unwrap_or_else(|_| slot.request.effect.clone()) }
}

/// Patterns of the log lines a run has read so far.
pub(crate) fn patterns(journal: &Journal) -> Vec<String> {
    let texts: Vec<&str> = journal.slots.iter().flat_map(log_texts).collect();
    template::mine(texts.iter().flat_map(|text| text.lines()))
}

/// Logs a run has read so far, and where each comes from.
pub(crate) fn read(journal: &Journal) -> Vec<Read> {
    let mut read = Vec::new();
    for (number, slot) in journal.slots.iter().enumerate() {
        let texts = log_texts(slot);
        if texts.is_empty() {
            continue;
        }
        let target = slot.resolved.as_ref().map(|resolved| &resolved.target).or(slot.target.as_ref());
        let of = match target {
            Some(target) => format!("log of {target}"),
            None => format!("answer of {}", slot.request.effect),
        };
        read.push(Read { source: format!("{of} (call {number})"), text: texts.join("\n") });
    }
    read
}

/// The text of an answer that is part of a log: a page, or lines that matched.
fn log_texts(slot: &Slot) -> Vec<&str> {
    let Some(Answer::Ok(answer)) = slot.answer.as_ref().filter(|_| slot.request.effect.starts_with("logs.")) else {
        return Vec::new();
    };
    let found = answer["found"].as_array().into_iter().flatten().filter_map(|found| found["line"].as_str());
    answer["text"].as_str().into_iter().chain(found).collect()
}
