//! Shadow runs: what a version that may not act would have done about a real alert, rehearsed over the real world and
//! recorded.
//!
//! Deliberately not here: acting. A shadow run has no path to a driver that changes anything.

use std::sync::Arc;

use anyhow::Result;
use sandbook_core::effect::sentence;
use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal::{Answer, Journal};
use sandbook_core::run::{Decision, Stage as RunbookStage, State};

use super::Runner;
use super::execute::Prepared;
use super::ledger::Rehearsed;
use super::overlay::Overlay;
use super::rehearse::{Rehearsal, Stage, rehearse};
use crate::clock::Virtual;

/// Changes named in the sentence of a shadow run; the journal has all.
const NAMED_MAX: usize = 3;
/// What follows upon what it would have done.
const NOTHING_DONE: &str = "; nothing was done.";
/// What it would not have been let do.
const REFUSED: &str = "it would be refused to";
/// It would have left everything as it is.
const NO_CHANGE: &str = "it would change nothing";

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
        let said = said(row.stage, &would_have(&journal), &sentence, &to_let_it_act(&journal, &row.runbook));
        prepared.journal = journal;
        self.finish(&prepared, State::Succeeded, Some(outcome), &said, fault).await
    }
}

/// What a shadow run ends with.
fn said(stage: RunbookStage, would: &str, own: &str, to_act: &str) -> String {
    let own = own.trim_end_matches('.');
    format!("in {stage}: {would}{NOTHING_DONE} The runbook's own words: {own}. To let it act: {to_act}")
}

/// What a shadow run would have changed or asked for, of the sentence it ended with. `None`: nothing, or all of it would
/// have been refused.
pub(crate) fn would_act(sentence: &str) -> Option<&str> {
    let (would, _) = sentence.split_once(": ")?.1.split_once(NOTHING_DONE)?;
    // What would be done stands before what would be refused.
    let first = would.split("; it would ").next().unwrap_or(would);
    (!first.starts_with(REFUSED) && first != NO_CHANGE && first.starts_with("it would ")).then_some(first)
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
    for (would, changes) in [("it would", done), ("it would ask a person to", asked), (REFUSED, refused)] {
        if !changes.is_empty() {
            parts.push(format!("{would} {}", several(&changes)));
        }
    }
    if parts.is_empty() { NO_CHANGE.to_owned() } else { parts.join("; ") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shadow_run_would_have_done_is_read_from_its_own_words() {
        let restart = "it would restart container local/web";
        for (would, acts) in [
            (restart.to_owned(), Some(restart)),
            (format!("{restart}; it would ask a person to stop container local/db"), Some(restart)),
            (
                "it would ask a person to stop container local/db".to_owned(),
                Some("it would ask a person to stop container local/db"),
            ),
            (format!("{restart}; {REFUSED} stop container local/db"), Some(restart)),
            (format!("{REFUSED} stop container local/db"), None),
            (NO_CHANGE.to_owned(), None),
        ] {
            let said = said(RunbookStage::Shadow, &would, "restarted; nothing was done.", "sandbook promote x");
            assert_eq!(would_act(&said), acts, "{said}");
        }
        assert_eq!(would_act("restarted web-1: it would be well"), None);
    }
}
