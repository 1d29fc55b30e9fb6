//! The real world with a simulated one laid over it: what a plan reads and writes.
//!
//! Reads go to the real driver and are frozen at their first touch. A change takes the container it is about into the
//! simulated world, and from then on that container is read there. What nobody can know after a simulated change (a
//! probe, a log, a metric, what a program printed) is assumed, and each answer says how sure it is.
//!
//! Nothing here changes the real world: no mutating effect is ever passed on. Deliberately not here: behaving like
//! Docker ([`sandbook_core::world`]), and deciding what may be done (the gate, as in every mode).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use sandbook_core::effect::docker::{ContainerDetails, ContainerSummary, Health};
use sandbook_core::effect::incidents::Incident;
use sandbook_core::effect::{Class, Effect, Scope};
use sandbook_core::error::Error;
use sandbook_core::gate::Permit;
use sandbook_core::run::Certainty;
use sandbook_core::service::Standing;
use sandbook_core::target::{Kind, Resolved, Target};
use sandbook_core::world::{Container, World};
use serde_json::{Value, json};

use super::drivers::{Driver, Simulated};
use crate::driver::docker::ExecState;
use crate::driver::{Settled, Steps};

/// Reads that are frozen: a run has at most as many effects.
const FROZEN_MAX: usize = 4_096;

/// What somebody wants to assume of an effect, in the place of what nobody can know.
#[derive(Debug, Clone, PartialEq)]
pub struct Assumption {
    /// Name of the effect.
    pub effect: String,
    /// Its answer.
    pub answer: Result<Value, Error>,
}

/// A simulated world over a real one. Its time is the world's.
pub struct Overlay {
    real: Arc<dyn Driver>,
    world: Arc<Mutex<World>>,
    simulated: Simulated,
    assumptions: Vec<Assumption>,
    /// Messages are really sent.
    tells: bool,
    /// Earlier incidents, where the run is none that the real driver knows.
    recalled: Option<Result<Vec<Incident>, Error>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Real answers, by effect, arguments and what they are about.
    frozen: HashMap<String, Result<Value, Error>>,
    /// By slot, where it is not what the route says.
    certainty: BTreeMap<u32, Certainty>,
    /// Host and name of containers that the plan removed.
    removed: BTreeSet<(String, String)>,
    /// Subjects of services that the plan scaled.
    scaled: BTreeSet<String>,
    /// Something was changed, so that probes and metrics of the real world say nothing of the simulated one.
    changed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Overlay {
    /// Over a real driver, at that time (milliseconds since 1970).
    pub fn new(real: Arc<dyn Driver>, now_ms: u64, assumptions: Vec<Assumption>) -> Overlay {
        let world = Arc::new(Mutex::new(World { now_ms, ..World::default() }));
        let simulated = Simulated(world.clone());
        Overlay { real, world, simulated, assumptions, tells: false, recalled: None, inner: Mutex::default() }
    }

    /// Really sends messages, because whoever plans asked for it.
    #[must_use]
    pub fn telling(self, tells: bool) -> Overlay {
        Overlay { tells, ..self }
    }

    /// Answers `incidents.similar` with these: a plan has no episode of its own that the store could be asked about.
    #[must_use]
    pub fn recalling(self, recalled: Option<Result<Vec<Incident>, Error>>) -> Overlay {
        Overlay { recalled, ..self }
    }

    /// The simulated part, whose time is the plan's.
    pub fn world(&self) -> Arc<Mutex<World>> {
        self.world.clone()
    }

    /// Whether a container was taken over.
    fn has(&self, target: &Target) -> bool {
        let world = lock(&self.world);
        world.hosts.get(&target.host).is_some_and(|host| host.containers.contains_key(&target.name))
    }

    /// The name of a reference in the simulated world, if it is there: by name, `host/name` or the beginning of an id.
    fn taken(&self, own_host: &str, reference: &str) -> bool {
        lock(&self.world).resolve(own_host, &Scope::Container(reference)).is_ok()
    }

    /// Whatever a change is about: a container, every container of a service, or nothing that can be taken over.
    async fn take_over_all(&self, resolved: &Resolved) -> Result<(), Error> {
        let target = &resolved.target;
        match target.kind {
            Kind::Container => self.take_over(target).await,
            Kind::Service => {
                let Some(standing) = Standing::of(resolved) else { return Ok(()) };
                for name in &standing.members {
                    let handle = format!("{}/{name}", target.host);
                    let found = self.look_up(&target.host, &Scope::Container(&handle)).await?;
                    self.take_over(&found.target).await?;
                }
                if standing.swarm.is_some() {
                    let mut world = lock(&self.world);
                    let host = world.hosts.entry(target.host.clone()).or_default();
                    host.services.entry(standing.name).or_insert(standing.replicas);
                }
                Ok(())
            }
            Kind::Host | Kind::None => Ok(()),
        }
    }

    /// What was removed in the simulated world is gone, also where the real one still has it.
    fn forget_removed(&self, effect: &Effect, resolved: &Resolved, done: bool) {
        if !done {
            return;
        }
        let host = resolved.target.host.clone();
        let gone: Vec<String> = match effect {
            Effect::RemoveContainer(_) => vec![resolved.target.name.clone()],
            Effect::ScaleService(_) => {
                let world = lock(&self.world);
                let members = Standing::of(resolved).map(|standing| standing.members).unwrap_or_default();
                members.into_iter().filter(|name| world.container(&host, name).is_none()).collect()
            }
            _ => return,
        };
        let mut inner = lock(&self.inner);
        if matches!(effect, Effect::ScaleService(_)) {
            inner.scaled.insert(resolved.subject.clone());
        }
        inner.removed.extend(gone.into_iter().map(|name| (host.clone(), name)));
    }

    async fn take_over(&self, target: &Target) -> Result<(), Error> {
        if self.has(target) {
            return Ok(());
        }
        let details = self.real.details_as_resolved(target).await?;
        // Whose network it shares decides whether it starts.
        if let Some(other) = details.network_mode.strip_prefix("container:")
            && let Ok(other) = self.real.resolve(&target.host, &Scope::Container(other)).await
            && !self.has(&other.target)
        {
            let other = (other.target.name.clone(), self.real.details_as_resolved(&other.target).await?);
            self.put(&target.host, other.0, &other.1);
        }
        self.put(&target.host, target.name.clone(), &details);
        Ok(())
    }

    fn put(&self, host: &str, name: String, details: &ContainerDetails) {
        let mut container = Container::from_details(details);
        // Whoever has a health has a check, also where the engine keeps it in the image.
        container.has_healthcheck |= container.health != Health::None;
        lock(&self.world).add_container(host, Container { name, ..container });
    }

    async fn look_up(&self, own_host: &str, scope: &Scope<'_>) -> Result<Resolved, Error> {
        if let Scope::Container(reference) = scope
            && self.taken(own_host, reference)
        {
            return self.simulated.resolve(own_host, scope).await;
        }
        if let Scope::Service(reference) = scope
            && let Ok(standing) = self.simulated.resolve(own_host, scope).await
        {
            // Only what was scaled already stands there as a whole.
            let scaled = lock(&self.inner).scaled.contains(&standing.subject);
            if scaled {
                return Ok(standing);
            }
            tracing::trace!(reference, "a service is looked up anew");
        }
        let found = self.real.resolve(own_host, scope).await?;
        let place = (found.target.host.clone(), found.target.name.clone());
        if lock(&self.inner).removed.contains(&place) {
            return Err(Error::not_found(format!("no such container: {}/{}, the plan removed it", place.0, place.1)));
        }
        Ok(found)
    }

    async fn answer(&self, permit: &Permit, steps: &dyn Steps) -> (Result<Value, Error>, Certainty) {
        let effect = permit.effect();
        let target = permit.resolved().map(|resolved| &resolved.target);
        if let (Effect::Similar(op), Some(recalled)) = (effect, &self.recalled) {
            let most = usize::try_from(op.limit).unwrap_or(usize::MAX);
            let list = recalled.clone().map(|all| json!(all.into_iter().take(most).collect::<Vec<_>>()));
            return (list, Certainty::Real);
        }
        match effect.class() {
            Class::Mutate => {
                let Some(resolved) = permit.resolved() else { return self.simulate(permit, steps).await };
                if let Err(error) = self.take_over_all(resolved).await {
                    return (Err(error), Certainty::Real);
                }
                lock(&self.inner).changed |= touches_containers(effect);
                let answer = match effect {
                    Effect::Exec(_) => self.assumed(effect, Ok(program_ended_well())),
                    // Nobody knows what of it is still there when it is done.
                    Effect::PruneImages(_) | Effect::PruneBuildCache(_) => {
                        self.assumed(effect, Ok(json!({"deleted": 0, "freed_bytes": 0})))
                    }
                    Effect::TruncateContainerLog(_) => self.assumed(effect, Ok(json!({"freed_bytes": 0}))),
                    Effect::ExpireSilence(_) => self.assumed(effect, Ok(json!({"changed": true}))),
                    _ => self.simulate(permit, steps).await,
                };
                self.forget_removed(effect, resolved, answer.0.is_ok());
                answer
            }
            Class::Observe => match target.filter(|target| self.has(target)) {
                Some(_) => self.read_simulated(permit, steps).await,
                None => self.read_real(permit, steps).await,
            },
            Class::Egress if effect.recovery().writes_intent() => {
                let fallen_back = effect.fallen_back("a plan asks no model").unwrap_or_else(empty_response);
                self.assumed(effect, Ok(fallen_back))
            }
            Class::Egress if lock(&self.inner).changed => self.probe_after_change(permit, steps).await,
            Class::Egress => self.read_real(permit, steps).await,
            Class::Tell if self.tells => (self.real.drive(permit, steps).await, Certainty::Real),
            Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Tell => {
                self.simulate(permit, steps).await
            }
        }
    }

    async fn simulate(&self, permit: &Permit, steps: &dyn Steps) -> (Result<Value, Error>, Certainty) {
        (self.simulated.drive(permit, steps).await, Certainty::Modelled)
    }

    /// A read of a container that was taken over.
    async fn read_simulated(&self, permit: &Permit, steps: &dyn Steps) -> (Result<Value, Error>, Certainty) {
        match permit.effect() {
            Effect::TailContainer(_) => {
                self.assumed(permit.effect(), Ok(json!({"text": "", "lines": 0, "truncated": false})))
            }
            // What happened before the change is real, what followed is not.
            Effect::RecentEvents(_) => {
                let ((real, _), (simulated, _)) =
                    (self.read_real(permit, steps).await, self.simulate(permit, steps).await);
                (real.and_then(|real| simulated.map(|more| joined(real, more))), Certainty::Modelled)
            }
            Effect::SearchContainer(_) => self.assumed(permit.effect(), Ok(json!({"found": [], "scanned": 0}))),
            // As it was before the change: nobody can say how much it will use after it.
            Effect::ContainerStats(_) | Effect::ContainerProcesses(_) => {
                let (answer, _) = self.read_real(permit, steps).await;
                self.assumed(permit.effect(), answer)
            }
            _ => self.simulate(permit, steps).await,
        }
    }

    async fn read_real(&self, permit: &Permit, steps: &dyn Steps) -> (Result<Value, Error>, Certainty) {
        let effect = permit.effect();
        let about = permit.resolved().and_then(|resolved| resolved.target.id.clone()).unwrap_or_default();
        let key = format!("{} {about} {}", effect.name(), effect.arguments());
        let frozen = lock(&self.inner).frozen.get(&key).cloned();
        let answer = match frozen {
            Some(answer) => answer,
            None => {
                let answer = self.real.drive(permit, steps).await;
                let mut inner = lock(&self.inner);
                if inner.frozen.len() < FROZEN_MAX {
                    inner.frozen.insert(key, answer.clone());
                }
                answer
            }
        };
        let changed = lock(&self.inner).changed;
        match effect {
            Effect::ListContainers(_) if changed => (answer.map(|list| self.as_changed(list)), Certainty::Modelled),
            // What the metrics said before the change says little of after it.
            Effect::Query(_) | Effect::QueryRange(_) if changed => self.assumed(effect, answer),
            _ => (answer, Certainty::Real),
        }
    }

    /// A listing with what was taken over as it is in the simulated world.
    fn as_changed(&self, list: Value) -> Value {
        let Ok(mut list) = serde_json::from_value::<Vec<ContainerSummary>>(list.clone()) else { return list };
        let world = lock(&self.world);
        let removed = &lock(&self.inner).removed;
        list.retain(|line| !removed.contains(&(line.host.clone(), line.name.clone())));
        for line in &mut list {
            let host = world.hosts.get(&line.host);
            if let Some(container) = host.and_then(|host| host.containers.get(&line.name)) {
                line.status = container.status;
                "after the plan's changes".clone_into(&mut line.status_text);
            }
        }
        serde_json::to_value(list).unwrap_or_default()
    }

    /// A probe after a change asks the world as it is, which is not the one the plan is in: it is assumed to go well.
    async fn probe_after_change(&self, permit: &Permit, steps: &dyn Steps) -> (Result<Value, Error>, Certainty) {
        match permit.effect() {
            Effect::HttpProbe(op) => {
                let status = op.options.expect_status.unwrap_or(200);
                let well = json!({"ok": true, "status": status, "duration_ms": 0, "reason": "assumed"});
                self.assumed(permit.effect(), Ok(well))
            }
            Effect::TcpCheck(_) => {
                self.assumed(permit.effect(), Ok(json!({"open": true, "duration_ms": 0, "reason": "assumed"})))
            }
            effect => {
                let (answer, _) = self.read_real(permit, steps).await;
                self.assumed(effect, answer)
            }
        }
    }

    /// What somebody wants to assume, else this.
    fn assumed(&self, effect: &Effect, otherwise: Result<Value, Error>) -> (Result<Value, Error>, Certainty) {
        let said = self.assumptions.iter().find(|assumption| assumption.effect == effect.name());
        (said.map_or(otherwise, |assumption| assumption.answer.clone()), Certainty::Assumed)
    }
}

fn joined(mut earlier: Value, later: Value) -> Value {
    if let (Some(earlier), Value::Array(later)) = (earlier.as_array_mut(), later) {
        earlier.extend(later);
    }
    earlier
}

/// Whether containers differ afterwards, so that probes and metrics of the real world say nothing of the simulated one.
fn touches_containers(effect: &Effect) -> bool {
    match effect.scope() {
        Scope::Container(_) | Scope::Service(_) => true,
        Scope::Host
        | Scope::Url(_)
        | Scope::Net(..)
        | Scope::Channel(_)
        | Scope::Memory
        | Scope::Metrics
        | Scope::Part(_)
        | Scope::Run => false,
    }
}

fn program_ended_well() -> Value {
    json!({"exit_code": 0, "stdout": "", "stderr": "", "truncated": false})
}

fn empty_response() -> Value {
    json!({"status": 200, "headers": {}, "body": "", "truncated": false})
}

impl Driver for Overlay {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(self.look_up(own_host, scope))
    }
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.real.members(host, service)
    }
    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>> {
        self.real.population(host)
    }
    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        if self.has(target) { self.simulated.details(target) } else { self.real.details(target) }
    }
    fn details_as_resolved<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        if self.has(target) { self.simulated.details(target) } else { self.real.details_as_resolved(target) }
    }
    fn exec_state<'a>(&'a self, host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>> {
        self.simulated.exec_state(host, exec)
    }
    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.real.dependents_of(host, id)
    }
    fn is_own<'a>(&'a self, host: &'a str, name: &'a str) -> BoxFuture<'a, bool> {
        self.real.is_own(host, name)
    }
    fn settle<'a>(
        &'a self,
        permit: &'a Permit,
        last: Option<&'a Value>,
        steps: &'a dyn Steps,
        horizon_passed: bool,
    ) -> BoxFuture<'a, Result<Settled, Error>> {
        self.simulated.settle(permit, last, steps, horizon_passed)
    }
    fn certainty(&self, permit: &Permit) -> Certainty {
        lock(&self.inner).certainty.get(&permit.slot()).copied().unwrap_or(Certainty::Modelled)
    }
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            let assumed = self.assumptions.iter().find(|assumption| assumption.effect == permit.effect().name());
            let (answer, certainty) = match (assumed, permit.effect().class()) {
                // Reads and probes can be assumed outright, changes are simulated all the same.
                (Some(assumption), Class::Observe | Class::Egress) => (assumption.answer.clone(), Certainty::Assumed),
                (Some(_) | None, _) => self.answer(permit, steps).await,
            };
            lock(&self.inner).certainty.insert(permit.slot(), certainty);
            answer
        })
    }
}
