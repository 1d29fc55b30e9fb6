//! The daemon's clocks: what time it is, and waiting.
//!
//! Deliberately not here: reading a clock anywhere else. The engine's tests and the demo put a virtual one here, whose
//! waits take no time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use sandbook_core::gate::Now;
use sandbook_core::world::World;

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// Both clocks at this moment.
    fn now(&self) -> Now;
    /// Resolves when [`Now::unix_ms`] has reached that moment.
    fn sleep_until(&self, unix_ms: u64) -> BoxFuture<'_, ()>;
    /// Whether waiting takes no real time, so that no run need be suspended for it.
    fn is_virtual(&self) -> bool;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

/// Longest single sleep: the wall clock may be set meanwhile, so it is looked at again.
const NAP: Duration = Duration::from_secs(5);

impl Clock for System {
    fn now(&self) -> Now {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Now { unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX), boot_ms: crate::driver::boot_ms() }
    }

    fn sleep_until(&self, unix_ms: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = Duration::from_millis(unix_ms.saturating_sub(self.now().unix_ms));
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(NAP)).await;
            }
        })
    }

    fn is_virtual(&self) -> bool {
        false
    }
}

/// The clock of a simulated world: waiting advances it.
pub struct Virtual(pub Arc<Mutex<World>>);

impl Clock for Virtual {
    fn now(&self) -> Now {
        let now_ms = self.0.lock().unwrap_or_else(PoisonError::into_inner).now_ms;
        Now { unix_ms: now_ms, boot_ms: now_ms }
    }

    fn sleep_until(&self, unix_ms: u64) -> BoxFuture<'_, ()> {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = unix_ms.saturating_sub(world.now_ms);
        world.advance(left);
        Box::pin(std::future::ready(()))
    }

    fn is_virtual(&self) -> bool {
        true
    }
}
