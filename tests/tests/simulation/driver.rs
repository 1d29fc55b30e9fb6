//! The engine's driver and clock: the simulated world, as a Docker host that refuses, loses answers, finishes work whose
//! client is gone, and cannot be reached for a while.
//!
//! Like the real drivers it refuses a permit that is too old. Deliberately not here: what the world does.

use futures::future::BoxFuture;
use sandbook::clock::Clock;
use sandbook::driver::Steps;
use sandbook::driver::docker::ExecState;
use sandbook::runner::drivers::Driver;
use sandbook_core::effect::docker::ContainerDetails;
use sandbook_core::effect::{Class, Effect, Scope};
use sandbook_core::error::Error;
use sandbook_core::gate::{Now, Permit};
use sandbook_core::target::{Resolved, Target};
use serde_json::{Value, json};
use std::time::Duration;

use crate::sim::{Act, Broken, Fate, Mishap, Shared, Sim};

/// The wall clock is looked at again after so long, as the real one does.
const NAP_MS: u64 = 5_000;

/// The clock of the simulation.
pub struct SimClock(pub Shared);

impl Clock for SimClock {
    fn now(&self) -> Now {
        self.0.lock().now()
    }

    fn sleep_until(&self, unix_ms: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = unix_ms.saturating_sub(self.now().unix_ms);
                if left == 0 {
                    return;
                }
                pass(left.min(NAP_MS)).await;
            }
        })
    }

    fn is_virtual(&self) -> bool {
        false
    }
}

/// Lets so many milliseconds pass.
pub async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// The driver of the simulation.
pub struct SimDriver(pub Shared);

impl SimDriver {
    /// A look at the world, when the host answers.
    async fn look<T>(&self, what: &str, look: impl FnOnce(&mut Sim) -> Result<T, Error>) -> Result<T, Error> {
        let found = {
            let mut sim = self.0.lock();
            if sim.dead {
                None
            } else if let Some(error) = unreachable(&mut sim) {
                Some(Err(error))
            } else {
                sim.sync();
                let found = look(&mut sim);
                let word = found.as_ref().map_or_else(|error| error.kind.name(), |_| "ok");
                sim.say(&format!("docker: {what}: {word}"));
                Some(found)
            }
        };
        match found {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }

    async fn act(&self, permit: &Permit, steps: &dyn Steps) -> Result<Value, Error> {
        let act = Act { run: permit.run().to_owned(), slot: permit.slot(), attempt: permit.attempt() };
        if let Effect::Exec(_) = permit.effect() {
            steps.step(json!({ "exec": act.exec_id() })).await?;
        }
        let (effect, resolved) = (permit.effect().clone(), permit.resolved().cloned());
        let begun = {
            let mut sim = self.0.lock();
            begin(&mut sim, permit, &act, &effect, resolved.as_ref())
        };
        match begun {
            Begun::Off => std::future::pending().await,
            Begun::Answer(after_ms, answer) => {
                pass(after_ms).await;
                if self.0.lock().dead { std::future::pending().await } else { answer }
            }
        }
    }
}

/// How a drive began.
enum Begun {
    /// The machine is off.
    Off,
    /// This answer comes after so many milliseconds.
    Answer(u64, Result<Value, Error>),
}

fn unreachable(sim: &mut Sim) -> Option<Error> {
    let away = !sim.calm && sim.boot_ms() < sim.unreachable_until;
    if away {
        sim.counts.faults += 1;
    }
    away.then(|| Error::failed("docker does not answer: connection refused"))
}

fn begin(sim: &mut Sim, permit: &Permit, act: &Act, effect: &Effect, resolved: Option<&Resolved>) -> Begun {
    let fate = sim.drive_fate();
    if fate == Fate::Dead {
        return Begun::Off;
    }
    if permit.not_after_boot_ms() <= sim.boot_ms() {
        return Begun::Answer(0, Err(Error::failed(format!("{}: the permit is too old", effect.name()))));
    }
    sim.law.drives(act, effect);
    if let Effect::Send(send) = effect {
        let key = send.message.dedup_key.clone().unwrap_or_else(|| format!("sandbook-{}-{}", act.run, act.slot));
        sim.law.sent(act, &key);
    }
    if fate == (Fate::Go { die: true }) {
        // The machine goes off while dockerd works: it has done it, will do it, or never heard of it.
        match sim.dice.within(0, 3) {
            0 => drop(sim.perform(effect, resolved, act)),
            1 if effect.class() == Class::Mutate => {
                let after = sim.dice.within(1, effect.deadline_ms().max(2));
                sim.later(after, effect.clone(), resolved.cloned(), act.clone());
            }
            _ => {}
        }
        sim.die();
        return Begun::Off;
    }
    if let Some(error) = unreachable(sim) {
        return Begun::Answer(0, Err(error));
    }
    let name = sim.name(&act.run);
    let mishap = sim.mishap(effect);
    sim.say(&format!("drive: {} of {name} slot {} attempt {}: {mishap:?}", effect.name(), act.slot, act.attempt));
    let Some(mishap) = mishap else {
        if sim.broken == Broken::DrivesTwice && effect.class() == Class::Mutate {
            drop(sim.perform(effect, resolved, act));
        }
        let (took, answer) = sim.perform(effect, resolved, act);
        return Begun::Answer(took, answer);
    };
    lose(sim, mishap, act, effect, resolved)
}

fn lose(sim: &mut Sim, mishap: Mishap, act: &Act, effect: &Effect, resolved: Option<&Resolved>) -> Begun {
    let late = || Err(Error::timeout(format!("{}: no answer in time; it may still have happened", effect.name())));
    let deadline = effect.deadline_ms();
    match mishap {
        Mishap::Refused(kind) => {
            let error = match kind {
                0 => Error::failed("docker answered 500"),
                1 => Error::conflict("docker: a conflict"),
                _ => Error::not_found("docker: no such container"),
            };
            Begun::Answer(5, Err(error))
        }
        Mishap::LostDone => {
            drop(sim.perform(effect, resolved, act));
            Begun::Answer(deadline, late())
        }
        Mishap::LostNotDone => Begun::Answer(deadline, late()),
        Mishap::LostLater(after) => {
            sim.later(after, effect.clone(), resolved.cloned(), act.clone());
            Begun::Answer(deadline, late())
        }
    }
}

impl Driver for SimDriver {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(async move {
            let what = format!("what is {scope:?}");
            self.look(&what, |sim| sim.world.resolve(own_host, scope)).await
        })
    }

    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move {
            let what = format!("who is {service}");
            self.look(&what, |sim| {
                let all = sim.world.hosts.get(host).into_iter().flat_map(|host| &host.containers);
                let member = |container: &sandbook_core::world::Container| {
                    let facts = container.facts();
                    let (project, name) = (facts.project.unwrap_or_default(), facts.service.unwrap_or_default());
                    format!("{project}/{name}") == service
                };
                Ok(all.filter(|(_, container)| member(container)).map(|(name, _)| name.clone()).collect())
            })
            .await
        })
    }

    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(async move {
            let count = |sim: &mut Sim| Ok(sim.world.hosts.get(host).map(|host| host.containers.len()));
            let count = self.look("how many", count).await.ok().flatten();
            count.map(|count| u32::try_from(count).unwrap_or(u32::MAX))
        })
    }

    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        Box::pin(async move { self.look("details", |sim| sim.world.details(&target.host, &target.name)).await })
    }

    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move { self.look("who depends", |sim| sim.world.dependents_of(host, id)).await })
    }

    fn is_own<'a>(&'a self, _host: &'a str, _name: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }

    fn exec_state<'a>(&'a self, _host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>> {
        Box::pin(async move {
            let state = |sim: &mut Sim| {
                Ok(match sim.program(exec) {
                    None => ExecState::NotStarted,
                    Some(None) => ExecState::Running,
                    Some(Some(code)) => ExecState::Ended(code),
                })
            };
            self.look("a program's state", state).await
        })
    }

    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(self.act(permit, steps))
    }
}
