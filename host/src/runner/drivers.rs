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
    /// Drives an effect that passed the gate.
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>>;
}

impl Driver for Live {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(Live::resolve(self, own_host, scope))
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
    fn drive<'a>(&'a self, permit: &'a Permit, _steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        let answer =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).perform(permit.effect(), permit.resolved());
        Box::pin(std::future::ready(answer))
    }
}
