//! The permit: proof that an effect passed the gate. A driver demands one, and only the gate builds one.

use crate::effect::{Class, Effect};
use crate::journal::Header;
use crate::run::{Decision, Mode};
use crate::target::Resolved;

use super::{HORIZON_MARGIN_MS, Now, Pending};

/// Which driver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The real world.
    Live,
    /// The simulated one.
    Simulated,
}

impl Route {
    /// Where an effect of that class goes in that mode.
    pub(super) fn of(mode: Mode, class: Class) -> Route {
        match (mode, class) {
            (Mode::Live, _) => Route::Live,
            (Mode::Simulate | Mode::Replay, _) => Route::Simulated,
            // An overlay decides which of these it answers itself.
            (Mode::Plan | Mode::Shadow, Class::Observe | Class::Ambient | Class::Note | Class::Egress) => Route::Live,
            (Mode::Plan | Mode::Shadow, Class::State | Class::Wait | Class::Tell | Class::Mutate) => Route::Simulated,
        }
    }
}

/// Proof that an effect passed the gate. It names what may be done, once, and until when.
#[derive(Debug)]
pub struct Permit {
    effect: Effect,
    resolved: Option<Resolved>,
    run: String,
    runbook: String,
    host: String,
    slot: u32,
    attempt: u32,
    route: Route,
    not_after_boot_ms: u64,
    decision: Decision,
    policy: Vec<String>,
}

impl Permit {
    pub(super) fn new(
        header: &Header,
        effect: Effect,
        resolved: Option<Resolved>,
        slot: u32,
        attempt: u32,
        route: Route,
        now: Now,
    ) -> Permit {
        Permit {
            not_after_boot_ms: now.boot_ms + effect.deadline_ms() + HORIZON_MARGIN_MS,
            effect,
            resolved,
            run: header.run.clone(),
            runbook: header.runbook.clone(),
            host: header.host.clone(),
            slot,
            attempt,
            route,
            decision: Decision::Allow,
            policy: Vec::new(),
        }
    }

    pub(super) fn decided(mut self, decision: Decision, policy: Vec<String>) -> Permit {
        self.decision = decision;
        self.policy = policy;
        self
    }

    pub(super) fn into_pending(self) -> Pending {
        let mut pending = Pending::new(self.slot, self.effect);
        pending.resolved = self.resolved;
        pending.decision = self.decision;
        pending.policy = self.policy;
        pending
    }

    /// What may be done.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }
    /// On what.
    pub fn resolved(&self) -> Option<&Resolved> {
        self.resolved.as_ref()
    }
    /// For which run.
    pub fn run(&self) -> &str {
        &self.run
    }
    /// Of which runbook.
    pub fn runbook(&self) -> &str {
        &self.runbook
    }
    /// The run's own Docker host.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// In which slot.
    pub fn slot(&self) -> u32 {
        self.slot
    }
    /// Which attempt of the slot; 0 for effects without an intent.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
    /// By which driver.
    pub fn route(&self) -> Route {
        self.route
    }
    /// How long it may take, in milliseconds.
    pub fn deadline_ms(&self) -> u64 {
        self.effect.deadline_ms()
    }
    /// After this moment of the boot clock a driver refuses it: somebody else may own the run by then.
    pub fn not_after_boot_ms(&self) -> u64 {
        self.not_after_boot_ms
    }
}
