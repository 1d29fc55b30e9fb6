//! What `perform` drives effects with: the live drivers, or a simulated world, behind one trait.
//!
//! Only `perform` may hold a [`Driver`]. Effects the engine answers itself (memory, clock, random) never reach one.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use sandbook_core::effect::Scope;
use sandbook_core::error::Error;
use sandbook_core::gate::Permit;
use sandbook_core::target::Resolved;
use sandbook_core::world::World;
use serde_json::Value;

use crate::driver::{Live, Steps};

/// Finds out what a name means, and does what a permit allows.
pub trait Driver: Send + Sync {
    /// What a reference means on that host, looked up afresh.
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>>;
    /// Names of the containers of a compose service `project/service` on that host.
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>>;
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
    fn drive<'a>(&'a self, permit: &'a Permit, _steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).perform(permit.effect(), permit.resolved());
        Box::pin(std::future::ready(answer))
    }
}
