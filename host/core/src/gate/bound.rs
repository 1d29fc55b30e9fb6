//! Holding a run to a reviewed plan: the next change must be the plan's next change, or a person is asked.
//!
//! Whoever applies a plan permits what it says and nothing else: [`Session::planned`] tells the host when their word
//! stands in for a policy. Deliberately not here: whether the world is still the one the plan looked at (the host
//! compares before it starts).

use super::{Claim, Pending, Session};
use crate::effect::{Class, Effect};
use crate::journal::{Act, Answer, Bound, Slot};
use crate::target::Target;

impl Session {
    /// Whether a change is the one that the applied plan says comes next. In a plan for somebody who is going to apply
    /// it, every change is.
    pub fn planned(&self, claim: &Claim) -> bool {
        let Some(bound) = self.journal.header.bound.as_deref() else { return false };
        if !self.journal.header.acts() {
            return true;
        }
        bound.acts.get(self.changes_before(claim.slot)) == Some(&act(&claim.effect, &claim.resolved.target))
    }

    /// How a change differs from what the plan says comes next; `None` when it does not, or when there is no plan.
    pub(super) fn beyond_plan(&self, pending: &Pending) -> Option<String> {
        let bound = self.journal.header.bound.as_deref().filter(|_| self.journal.header.acts())?;
        if pending.effect.class() != Class::Mutate {
            return None;
        }
        let now = act(&pending.effect, &pending.resolved.as_ref()?.target);
        match bound.acts.get(self.changes_before(pending.slot)) {
            Some(planned) if *planned == now => None,
            next => Some(difference(bound, next, &now)),
        }
    }

    fn changes_before(&self, slot: u32) -> usize {
        self.journal.slots.iter().take(slot as usize).filter(|slot| drove(slot)).count()
    }
}

/// Whether a slot is a change that was let through, also one that failed: what a plan lists and a run is held to.
pub fn drove(slot: &Slot) -> bool {
    let changes = Effect::find(&slot.request.effect).is_some_and(|info| info.class == Class::Mutate);
    changes && (slot.attempt > 0 || matches!(slot.answer, Some(Answer::Ok(_))))
}

fn act(effect: &Effect, target: &Target) -> Act {
    Act { effect: effect.name().to_owned(), arguments: effect.arguments(), target: target.clone() }
}

fn difference(bound: &Bound, planned: Option<&Act>, now: &Act) -> String {
    match planned {
        Some(planned) => {
            format!("plan {} says {} here, but now it is {}", bound.plan, said(planned), said(now))
        }
        None => format!("plan {} says nothing is changed here any more, but now it is {}", bound.plan, said(now)),
    }
}

fn said(act: &Act) -> String {
    let id = act.target.id.as_deref().map_or(String::new(), |id| format!(" ({})", &id[..id.len().min(12)]));
    format!("{} on {}{id} with {}", act.effect, act.target, act.arguments)
}
