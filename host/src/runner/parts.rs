//! What every run needs, built once by the composition root.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sandbook_core::duration::Rate;
use sandbook_core::journal::Limits;
use sandbook_core::manifest::Manifest;
use sandbook_core::run::Mode;

use super::Asking;
use super::drivers::Driver;
use crate::about_us::AboutUs;
use crate::clock::Clock;
use crate::guest::Sandbox;
use crate::metrics::Metrics;
use crate::otel::Traces;
use crate::policy::Policy;
use crate::silences::Silences;
use crate::store::{Scope, Store, Storm, Window};

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
    /// What nobody wants to be acted on.
    pub silences: Arc<Silences>,
    /// Alerts about the engine itself.
    pub about_us: Arc<AboutUs>,
    asking: OnceLock<Asking>,
    traces: OnceLock<Traces>,
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
    /// How many subjects of a host may be touched; absent: any number.
    pub storm: Option<crate::config::Storm>,
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
        let (silences, about_us) = Default::default();
        Arc::new(Parts {
            store,
            sandbox,
            driver,
            clock,
            metrics,
            acting,
            ceilings,
            brakes,
            silences,
            about_us,
            asking: OnceLock::new(),
            traces: OnceLock::new(),
            policy,
        })
    }

    /// How people are asked.
    pub fn asking(&self) -> &Asking {
        self.asking.get_or_init(Asking::default)
    }

    /// Says how people are asked, once, before the first run.
    pub fn set_asking(&self, asking: Asking) {
        // Whoever was asked already was asked as before.
        drop(self.asking.set(asking));
    }

    /// Where traces of runs go, if anywhere.
    pub fn traces(&self) -> Option<&Traces> {
        self.traces.get()
    }

    /// Says where traces of runs go, once, before the first run.
    pub fn set_traces(&self, traces: Traces) {
        drop(self.traces.set(traces));
    }

    /// A run ended, for whoever traces.
    pub(super) fn trace_end(&self, run: &str) {
        if let Some(traces) = self.traces() {
            traces.ended(run, &self.metrics);
        }
    }

    /// The same engine before another world: for rehearsals, whose effects are counted nowhere.
    pub(super) fn with(
        &self,
        driver: Arc<dyn Driver>,
        clock: Arc<dyn Clock>,
        policy: Option<Arc<Policy>>,
    ) -> Arc<Parts> {
        static UNCOUNTED: OnceLock<Arc<Metrics>> = OnceLock::new();
        Arc::new(Parts {
            store: self.store.clone(),
            sandbox: self.sandbox.clone(),
            driver,
            clock,
            metrics: UNCOUNTED.get_or_init(Arc::default).clone(),
            acting: self.acting,
            ceilings: self.ceilings.clone(),
            brakes: self.brakes.clone(),
            silences: self.silences.clone(),
            about_us: self.about_us.clone(),
            asking: OnceLock::new(),
            traces: OnceLock::new(),
            policy: RwLock::new(policy.unwrap_or_else(|| self.policy())),
        })
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

    /// The storm limit on a host, by how many containers it has now; where nobody can say, only its minimum holds.
    pub async fn storm(&self, host: &str) -> Option<Storm> {
        let storm = self.brakes.storm.as_ref()?;
        let containers = self.driver.population(host).await.unwrap_or(0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32, from 0 to 1")]
        let share = (storm.share * f64::from(containers)).ceil() as u32;
        Some(Storm {
            subjects_max: storm.min.max(share),
            window_ms: storm.window.0,
            label: format!(
                "brakes.storm = {{ min = {}, share = {}, window = \"{}\" }}",
                storm.min, storm.share, storm.window
            ),
        })
    }

    /// The limits of a run: the manifest's where it narrows, never above the ceilings.
    pub fn limits(&self, manifest: &Manifest) -> Limits {
        self.ceilings.of(&manifest.limits)
    }
}

fn window(scope: Scope, rate: &Rate, label: &str) -> Window {
    Window { scope, count: rate.count, window_ms: rate.window_ms, label: format!("{label} = {rate}") }
}
