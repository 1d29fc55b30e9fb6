//! Shadow runs: what a version that may not act would have done about a real alert, rehearsed over the real world and
//! recorded.
//!
//! Deliberately not here: acting. A shadow run has no path to a driver that changes anything.

use std::sync::Arc;

use anyhow::Result;
use sandbook_core::effect::sentence;
use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal::{Answer, Journal};
use sandbook_core::run::{Decision, State};

use super::Runner;
use super::execute::Prepared;
use super::ledger::Rehearsed;
use super::overlay::Overlay;
use super::rehearse::{Rehearsal, Stage, rehearse};
use crate::clock::Virtual;

/// Changes named in the sentence of a shadow run; the journal has all.
const NAMED_MAX: usize = 3;

impl Runner {
    /// Rehearses a run that may not act, and ends it with what it would have done.
    pub(super) async fn shadow(&self, mut prepared: Prepared) -> Result<()> {
        let overlay = Arc::new(Overlay::new(self.parts.driver.clone(), self.parts.clock.now().unix_ms, Vec::new()));
        let clock = Arc::new(Virtual(overlay.world()));
        let kept = Rehearsed::over(self.parts.store.clone());
        let stage = Stage { driver: overlay, clock, policy: None, kept };
        let rehearsal = rehearse(&self.parts, &prepared.package, prepared.journal.clone(), stage).await;
        let Rehearsal { mut records, journal, outcome, sentence, fault, .. } = rehearsal;
        // The header is there already.
        records.remove(0);
        self.parts.store.append(&prepared.row.id, records, true).await?;
        let row = &prepared.row;
        let said = format!(
            "in {}: {}; nothing was done. The runbook's own words: {}. To let it act: {}",
            row.stage,
            would_have(&journal),
            sentence.trim_end_matches('.'),
            to_let_it_act(&journal, &row.runbook)
        );
        prepared.journal = journal;
        self.finish(&prepared, State::Succeeded, Some(outcome), &said, fault).await
    }
}

/// Such as `it would restart container local/web; it would be refused to stop container local/db`.
fn would_have(journal: &Journal) -> String {
    let mut done = Vec::new();
    let (mut asked, mut refused) = (Vec::new(), Vec::new());
    for slot in &journal.slots {
        let Ok(effect) = Effect::from_arguments(&slot.request.effect, slot.request.arguments.clone()) else { continue };
        if effect.class() != Class::Mutate {
            continue;
        }
        let said = sentence(&effect, slot.resolved.as_deref());
        match slot.decision {
            Some(Decision::Ask) => asked.push(said),
            Some(Decision::Deny | Decision::Limited) => refused.push(said),
            Some(Decision::Allow) | None => done.push(said),
        }
    }
    let mut parts = Vec::new();
    for (would, changes) in [("would", done), ("would ask a person to", asked), ("would be refused to", refused)] {
        if !changes.is_empty() {
            parts.push(format!("it {would} {}", several(&changes)));
        }
    }
    if parts.is_empty() { "it would change nothing".to_owned() } else { parts.join("; ") }
}

fn several(changes: &[String]) -> String {
    let named = changes.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", then ");
    match changes.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}

/// The line to type: the stage, and the grant that the first refusal names.
fn to_let_it_act(journal: &Journal, runbook: &str) -> String {
    let promote = format!("sandbook promote {runbook} live --reason \"…\"");
    let refusals = journal.slots.iter().filter_map(|slot| match &slot.answer {
        Some(Answer::Error(error)) if slot.decision == Some(Decision::Deny) => Some(&error.message),
        Some(Answer::Ok(_) | Answer::Error(_)) | None => None,
    });
    let grants = |message: &String| message.find("sandbook grant ").map(|at| message[at..].to_owned());
    refusals.filter_map(grants).next().map_or(promote.clone(), |grant| format!("{grant} && {promote}"))
}
