//! What `perform` drives effects with: the live drivers, or a simulated world, behind one trait.
//!
//! Only `perform` may hold a [`Driver`]. Effects the engine answers itself (memory, clock, random) never reach one.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use sandbook_core::effect::docker::{ContainerDetails, ContainerSummary};
use sandbook_core::effect::{Effect, Scope};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::{Permit, Recovered, Route};
use sandbook_core::run::Certainty;
use sandbook_core::target::{Resolved, Target};
use sandbook_core::world::World;
use serde_json::Value;

use crate::driver::docker::ExecState;
use crate::driver::{Live, Settled, Steps};

/// Finds out what a name means, and does what a permit allows.
pub trait Driver: Send + Sync {
    /// What a reference means on that host, looked up afresh.
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>>;
    /// Names of the containers of a compose service `project/service` on that host.
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>>;
    /// Every container of that host, also those that do not run: what a person's sentence can mean.
    fn containers<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<ContainerSummary>, Error>> {
        let message = format!("nobody lists the containers of {host}");
        Box::pin(std::future::ready(Err(Error::not_found(message))))
    }
    /// How many containers that host has, perhaps some seconds ago; `None` when nobody can say.
    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>>;
    /// Everything there is to know of a container now: what recovery compares.
    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>>;
    /// The same of one that was resolved a moment ago: the look that resolved it may answer.
    fn details_as_resolved<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        self.details(target)
    }
    /// What became of a program by the id that was journaled before it started.
    fn exec_state<'a>(&'a self, host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>>;
    /// Subjects of the containers that depend on one: who must not be touched while it is.
    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>>;
    /// Whether a name means a container this engine runs in: what happens to it starts nothing.
    fn is_own<'a>(&'a self, host: &'a str, name: &'a str) -> BoxFuture<'a, bool>;
    /// How sure the answer to a driven effect is.
    fn certainty(&self, permit: &Permit) -> Certainty {
        match permit.route() {
            Route::Live => Certainty::Real,
            Route::Simulated => Certainty::Modelled,
        }
    }
    /// A query of metrics as it would have been answered at that time, in milliseconds since 1970.
    fn metrics_at<'a>(&'a self, permit: &'a Permit, at_ms: u64) -> BoxFuture<'a, Result<Value, Error>> {
        let message = format!("nobody keeps metrics of {at_ms} for {}", permit.effect().name());
        Box::pin(std::future::ready(Err(Error::not_found(message))))
    }
    /// How an effect turned out that nobody saw the end of, by what its slot journaled last.
    fn settle<'a>(
        &'a self,
        permit: &'a Permit,
        last: Option<&'a Value>,
        steps: &'a dyn Steps,
        horizon_passed: bool,
    ) -> BoxFuture<'a, Result<Settled, Error>> {
        let _ = (last, steps, horizon_passed);
        let why = format!("nobody here can tell how {} turned out", permit.effect().name());
        Box::pin(std::future::ready(Ok(Settled::Is(Recovered::Unknown(why)))))
    }
    /// Drives an effect that passed the gate.
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>>;
}

impl Driver for Live {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(Live::resolve(self, own_host, scope))
    }
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(Live::members(self, host, service))
    }
    fn containers<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<ContainerSummary>, Error>> {
        Box::pin(Live::containers(self, host))
    }
    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(async move { self.host(host).ok()?.population().await })
    }
    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        Box::pin(Live::details(self, target))
    }
    fn details_as_resolved<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        Box::pin(Live::details_as_resolved(self, target))
    }
    fn exec_state<'a>(&'a self, host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>> {
        Box::pin(Live::exec_state(self, host, exec))
    }
    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(Live::dependents_of(self, host, id))
    }
    fn is_own<'a>(&'a self, host: &'a str, name: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(Live::is_own(self, host, name))
    }
    fn metrics_at<'a>(&'a self, permit: &'a Permit, at_ms: u64) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(Live::metrics_at(self, permit, at_ms))
    }
    fn settle<'a>(
        &'a self,
        permit: &'a Permit,
        last: Option<&'a Value>,
        steps: &'a dyn Steps,
        horizon_passed: bool,
    ) -> BoxFuture<'a, Result<Settled, Error>> {
        Box::pin(Live::settle(self, permit, last, steps, horizon_passed))
    }
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(Live::drive(self, permit, steps))
    }
}

/// The simulated world as a driver.
pub struct Simulated(pub Arc<Mutex<World>>);

impl Driver for Simulated {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        let resolved = self.0.lock().unwrap_or_else(PoisonError::into_inner).resolve(own_host, scope);
        Box::pin(std::future::ready(resolved))
    }
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let member = |container: &sandbook_core::world::Container| {
            let facts = container.facts();
            format!("{}/{}", facts.project.unwrap_or_default(), facts.service.unwrap_or_default()) == service
        };
        let containers = world.hosts.get(host).into_iter().flat_map(|host| &host.containers);
        let members = containers.filter(|(_, container)| member(container)).map(|(name, _)| name.clone()).collect();
        Box::pin(std::future::ready(Ok(members)))
    }
    fn containers<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<ContainerSummary>, Error>> {
        let listed = self.0.lock().unwrap_or_else(PoisonError::into_inner).containers(host);
        Box::pin(std::future::ready(listed))
    }
    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>> {
        let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let containers = world.hosts.get(host).map(|host| host.containers.len());
        Box::pin(std::future::ready(containers.map(|count| u32::try_from(count).unwrap_or(u32::MAX))))
    }
    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        let details = self.0.lock().unwrap_or_else(PoisonError::into_inner).details(&target.host, &target.name);
        Box::pin(std::future::ready(details))
    }
    fn exec_state<'a>(&'a self, _host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>> {
        let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match world.execs.get(exec) {
            Some(Some(code)) => ExecState::Ended(*code),
            Some(None) => ExecState::Running,
            None => ExecState::NotStarted,
        };
        Box::pin(std::future::ready(Ok(state)))
    }
    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let subjects = self.0.lock().unwrap_or_else(PoisonError::into_inner).dependents_of(host, id);
        Box::pin(std::future::ready(subjects))
    }
    /// No simulated container runs this engine; what a label says of one shields it all the same.
    fn is_own<'a>(&'a self, _host: &'a str, _name: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }
    fn settle<'a>(
        &'a self,
        permit: &'a Permit,
        _last: Option<&'a Value>,
        _steps: &'a dyn Steps,
        horizon_passed: bool,
    ) -> BoxFuture<'a, Result<Settled, Error>> {
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner).happened(permit.effect(), permit.resolved());
        let settled = match done {
            Some(value) => Settled::Is(Recovered::Done(value)),
            None if horizon_passed => Settled::Is(Recovered::NotDone),
            None => Settled::AtHorizon,
        };
        Box::pin(std::future::ready(Ok(settled)))
    }
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            let exec = matches!(permit.effect(), Effect::Exec(_))
                .then(|| format!("{}-{}-{}", permit.run(), permit.slot(), permit.attempt()));
            if let Some(exec) = &exec {
                steps.step(serde_json::json!({ "exec": exec })).await?;
            }
            let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = world.perform(permit.effect(), permit.resolved());
            if let Some(exec) = exec {
                match &answer {
                    Ok(result) => {
                        let code = result["exit_code"].as_i64().and_then(|code| i32::try_from(code).ok());
                        world.execs.insert(exec, Some(code.unwrap_or_default()));
                    }
                    Err(error) if error.kind == ErrorKind::Timeout => {
                        world.execs.insert(exec, None);
                    }
                    Err(_) => {}
                }
            }
            answer
        })
    }
}
