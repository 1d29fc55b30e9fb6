//! The world of a moment that is over, as a driver: recorded answers first, then a simulated world made of what is known
//! of the containers, and metrics at that time where somebody keeps them.
//!
//! A read that is asked for the n-th time gets the n-th recorded answer to the same request; the last one again, and
//! assumed, when there are no more. What a change touched is read in the simulated world from then on. What was never
//! recorded is assumed too.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use sandbook_core::effect::docker::{ContainerDetails, ContainerState};
use sandbook_core::effect::{Class, Effect, Scope};
use sandbook_core::error::Error;
use sandbook_core::gate::Permit;
use sandbook_core::journal::{Answer, Journal, Request};
use sandbook_core::run::Certainty;
use sandbook_core::target::{Kind, Resolved, Target};
use sandbook_core::world::{Container, World};
use serde_json::Value;

use crate::driver::Steps;
use crate::driver::docker::ExecState;
use crate::runner::drivers::{Driver, Simulated};
use crate::runner::overlay::Overlay;

/// A moment that is over. See the module.
pub struct Past {
    overlay: Overlay,
    /// Asked for metrics at that time.
    metrics: Option<(Arc<dyn Driver>, u64)>,
    /// How sure it is what a container was like.
    inspected: Certainty,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Recorded answers by request: the one given last, and those still to come.
    answers: HashMap<String, Recorded>,
    /// Names of containers that were changed, as `host/name`.
    touched: BTreeSet<String>,
    certainty: BTreeMap<u32, Certainty>,
}

#[derive(Default)]
struct Recorded {
    last: Option<Result<Value, Error>>,
    next: VecDeque<Result<Value, Error>>,
}

impl Past {
    /// Of a journal, from a slot on.
    pub fn of(journal: &Journal, from: u32) -> Past {
        let before = journal.slots.iter().take(from as usize).map(|slot| slot.at).max();
        let mut world = World::new(before.unwrap_or(journal.header.at));
        world.hosts.entry(journal.header.host.clone()).or_default();
        for (host, container) in containers(journal, from) {
            world.add_container(&host, container);
        }
        let past = Past { inspected: Certainty::Assumed, ..Past::over(world, None) };
        past.remember(journal, from);
        past
    }

    /// Of containers alone, with metrics asked for at that time (milliseconds since 1970).
    pub fn over(world: World, metrics: Option<(Arc<dyn Driver>, u64)>) -> Past {
        let now_ms = world.now_ms;
        let real = Arc::new(Simulated(Arc::new(Mutex::new(world))));
        Past {
            overlay: Overlay::new(real, now_ms, Vec::new()),
            metrics,
            inspected: Certainty::Real,
            inner: Mutex::default(),
        }
    }

    /// The simulated part, whose time is the replay's.
    pub fn world(&self) -> Arc<Mutex<World>> {
        self.overlay.world()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the recorded answers of reads; those before the slot were given already.
    fn remember(&self, journal: &Journal, from: u32) {
        let mut inner = self.lock();
        for (slot, number) in journal.slots.iter().zip(0..) {
            let reads = Effect::find(&slot.request.effect).is_some_and(|info| reads(info.class));
            let Some(answer) = slot.answer.clone().filter(|_| reads) else { continue };
            let recorded = inner.answers.entry(key(&slot.request)).or_default();
            if number < from {
                recorded.last = Some(answer.into());
            } else {
                recorded.next.push_back(answer.into());
            }
        }
    }

    fn recorded(&self, request: &Request) -> Option<(Result<Value, Error>, Certainty)> {
        let mut inner = self.lock();
        let recorded = inner.answers.get_mut(&key(request))?;
        match recorded.next.pop_front() {
            Some(next) => {
                recorded.last = Some(next.clone());
                Some((next, Certainty::Real))
            }
            None => recorded.last.clone().map(|last| (last, Certainty::Assumed)),
        }
    }

    async fn answer(&self, permit: &Permit, steps: &dyn Steps) -> (Result<Value, Error>, Certainty) {
        let effect = permit.effect();
        let about = permit.resolved().map(|resolved| format!("{}/{}", resolved.target.host, resolved.target.name));
        let drive = async || (self.overlay.drive(permit, steps).await, self.overlay.certainty(permit));
        match effect.class() {
            Class::Mutate => {
                self.lock().touched.extend(about);
                drive().await
            }
            Class::Observe | Class::Egress => {
                let touched = about.is_some_and(|about| self.lock().touched.contains(&about));
                if touched {
                    return drive().await;
                }
                let request = Request { effect: effect.name().to_owned(), arguments: effect.arguments() };
                if let Some(found) = self.recorded(&request) {
                    return found;
                }
                if let (Some((real, at)), Effect::Query(_) | Effect::QueryRange(_)) = (&self.metrics, effect) {
                    return (real.metrics_at(permit, *at).await, Certainty::Real);
                }
                let (answer, _) = drive().await;
                match effect {
                    Effect::InspectContainer(_) => (answer, self.inspected),
                    // A guess: nobody wrote down what it would have been.
                    _ => (answer, Certainty::Assumed),
                }
            }
            Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Tell => drive().await,
        }
    }
}

fn reads(class: Class) -> bool {
    match class {
        Class::Observe | Class::Egress => true,
        Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Tell | Class::Mutate => false,
    }
}

fn key(request: &Request) -> String {
    format!("{} {}", request.effect, request.arguments)
}

/// Every container the journal names, as it was last seen before the slot, else as it was first seen after it.
fn containers(journal: &Journal, from: u32) -> Vec<(String, Container)> {
    let mut found: BTreeMap<(String, String), (bool, Container)> = BTreeMap::new();
    let mut see = |target: &Target, before: bool, container: Option<Container>| {
        if target.kind != Kind::Container {
            return;
        }
        let named = || Container {
            id: target.id.clone().unwrap_or_default(),
            ..Container::named(&target.name, "not recorded")
        };
        let key = (target.host.clone(), target.name.clone());
        match (found.get_mut(&key), container) {
            (Some((was_before, known)), Some(container)) if before || !*was_before => {
                (*was_before, *known) = (before || *was_before, container);
            }
            (Some(_), _) => {}
            (None, container) => {
                drop(found.insert(key, (before && container.is_some(), container.unwrap_or_else(named))))
            }
        }
    };
    if let Some(target) = &journal.header.target {
        see(target, true, None);
    }
    let later = journal.slots.iter().zip(0..).skip(from as usize);
    // Backwards, so that of what comes after the slot the first stays.
    let later: Vec<_> = later.collect::<Vec<_>>().into_iter().rev().collect();
    let earlier = journal.slots.iter().zip(0..).take(from as usize);
    for (slot, number) in later.into_iter().chain(earlier) {
        let target = slot.resolved.as_ref().map(|resolved| &resolved.target).or(slot.target.as_ref());
        if let Some(target) = target {
            see(target, number < from, seen(&slot.request, slot.answer.as_ref(), slot.resolved.as_deref()));
        }
    }
    found.into_iter().map(|((host, _), (_, container))| (host, container)).collect()
}

/// What one slot says of its container.
fn seen(request: &Request, answer: Option<&Answer>, resolved: Option<&Resolved>) -> Option<Container> {
    if let ("docker.inspect-container", Some(Answer::Ok(value))) = (request.effect.as_str(), answer) {
        let details: ContainerDetails = serde_json::from_value(value.clone()).ok()?;
        return Some(Container::from_details(&details));
    }
    let resolved = resolved?;
    let facts = resolved.facts.as_ref()?;
    // After the change if it was answered, before it if not.
    let after = match answer {
        Some(Answer::Ok(value)) => value.get("state").cloned(),
        Some(Answer::Error(_)) | None => None,
    };
    let state: ContainerState = serde_json::from_value(after.or_else(|| resolved.before.clone())?).ok()?;
    Some(Container {
        id: resolved.target.id.clone().unwrap_or_default(),
        labels: facts.labels.clone(),
        status: state.status,
        health: state.health,
        exit_code: state.exit_code,
        oom_killed: state.oom_killed,
        error: state.error,
        started_at: state.started_at,
        finished_at: state.finished_at,
        restart_count: state.restart_count,
        ..Container::named(&resolved.target.name, &facts.image)
    })
}

impl Driver for Past {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        self.overlay.resolve(own_host, scope)
    }
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.overlay.members(host, service)
    }
    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>> {
        self.overlay.population(host)
    }
    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        self.overlay.details(target)
    }
    fn exec_state<'a>(&'a self, host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>> {
        self.overlay.exec_state(host, exec)
    }
    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.overlay.dependents_of(host, id)
    }
    fn is_own<'a>(&'a self, host: &'a str, name: &'a str) -> BoxFuture<'a, bool> {
        self.overlay.is_own(host, name)
    }
    fn certainty(&self, permit: &Permit) -> Certainty {
        self.lock().certainty.get(&permit.slot()).copied().unwrap_or(Certainty::Assumed)
    }
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            let (answer, certainty) = self.answer(permit, steps).await;
            self.lock().certainty.insert(permit.slot(), certainty);
            answer
        })
    }
}
