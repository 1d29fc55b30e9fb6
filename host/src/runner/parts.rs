//! What every run needs, built once by the composition root.

use std::sync::{Arc, PoisonError, RwLock};

use sandbook_core::duration::Rate;
use sandbook_core::journal::Limits;
use sandbook_core::manifest::Manifest;
use sandbook_core::run::Mode;

use super::drivers::Driver;
use crate::clock::Clock;
use crate::guest::Sandbox;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::store::{Scope, Store, Window};

/// The engine's parts.
pub struct Parts {
    /// Remembers everything.
    pub store: Arc<dyn Store>,
    /// Executes guests.
    pub sandbox: Arc<Sandbox>,
    /// Touches the world.
    pub driver: Arc<dyn Driver>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The mode of runs that may act: live, or simulate over a simulated world.
    pub acting: Mode,
    /// Ceilings of every run.
    pub ceilings: crate::config::Limits,
    /// Brakes of the engine.
    pub brakes: Brakes,
    policy: RwLock<Arc<Policy>>,
}

/// The engine's own brakes; the tightest of these, policy and manifest wins.
#[derive(Debug, Clone, Default)]
pub struct Brakes {
    /// Per runbook and subject.
    pub per_runbook_target: Vec<Rate>,
    /// Per subject.
    pub per_target: Vec<Rate>,
    /// Per runbook.
    pub per_runbook: Vec<Rate>,
    /// Per host.
    pub per_host: Vec<Rate>,
    /// How long a target is left alone after acting, when the manifest does not say, in milliseconds.
    pub settle_ms: u64,
}

impl Parts {
    /// All parts; policy can be replaced later.
    #[allow(clippy::too_many_arguments, reason = "the composition root calls it once, by name of the part")]
    pub fn new(
        store: Arc<dyn Store>,
        sandbox: Arc<Sandbox>,
        driver: Arc<dyn Driver>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        acting: Mode,
        ceilings: crate::config::Limits,
        brakes: Brakes,
        policy: Policy,
    ) -> Arc<Parts> {
        let policy = RwLock::new(Arc::new(policy));
        Arc::new(Parts { store, sandbox, driver, clock, metrics, acting, ceilings, brakes, policy })
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another policy in force, from the next decision on.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// The windows that brake a run of this manifest; all of them hold.
    pub fn windows(&self, manifest: &Manifest) -> Vec<Window> {
        let engine = [
            (Scope::RunbookSubject, &self.brakes.per_runbook_target, "brakes.per_runbook_target"),
            (Scope::Subject, &self.brakes.per_target, "brakes.per_target"),
            (Scope::Runbook, &self.brakes.per_runbook, "brakes.per_runbook"),
            (Scope::Host, &self.brakes.per_host, "brakes.per_host"),
        ];
        let mut windows: Vec<Window> = engine
            .iter()
            .flat_map(|(scope, rates, label)| rates.iter().map(move |rate| window(scope.clone(), rate, label)))
            .collect();
        windows
            .extend(manifest.brake.attempts.iter().map(|rate| window(Scope::RunbookSubject, rate, "manifest.brake")));
        windows
    }

    /// The limits of a run: the manifest's where it narrows, never above the ceilings.
    pub fn limits(&self, manifest: &Manifest) -> Limits {
        self.ceilings.of(&manifest.limits)
    }
}

fn window(scope: Scope, rate: &Rate, label: &str) -> Window {
    Window { scope, count: rate.count, window_ms: rate.window_ms, label: format!("{label} = {rate}") }
}
