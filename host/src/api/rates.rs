//! How much one caller may ask: requests in a time by address and by token, and event streams by token.
//!
//! An address is counted before anybody looks at its token, so guessing is bounded as well; a token after it is known.
//! `/health` counts for nobody: a probe must not fail because somebody else on the machine is loud. What is over the
//! bound is answered 429 with when to come again, and 503 where alerts are posted. Deliberately not here: connections
//! ([`crate::listen`]), and what is asked at once ([`super::guard`]).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use sandbook_core::duration::Rate;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{self, Error};
use crate::auth::Caller;
use crate::config::Server;

/// Callers remembered at once before those that have been quiet are forgotten: some hundred bytes each.
const KNOWN_MAX: usize = 10_000;

/// A bound for each of many callers.
struct Each<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, HashMapStateStore<K>, DefaultClock>,
}

impl<K: Hash + Eq + Clone> Each<K> {
    fn new(rate: Rate) -> Each<K> {
        let count = NonZeroU32::new(rate.count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_millis(rate.window_ms) / count.get());
        // A period of nothing is no bound; the configuration has none.
        let quota = quota.unwrap_or(Quota::per_second(count)).allow_burst(count);
        Each { limiter: RateLimiter::hashmap(quota) }
    }

    /// Counts one; else how long until the next is let through.
    fn take(&self, key: &K) -> Result<(), Duration> {
        if self.limiter.len() > KNOWN_MAX {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// Bounds of every caller.
pub(super) struct Rates {
    addresses: Each<IpAddr>,
    tokens: Each<String>,
    streams: Arc<Semaphore>,
    streams_max: u32,
    per_token: u32,
    streaming: Arc<Mutex<HashMap<String, u32>>>,
}

/// A place for one event stream, given back when dropped.
pub(super) struct StreamPlace {
    token: String,
    streaming: Arc<Mutex<HashMap<String, u32>>>,
    _all: OwnedSemaphorePermit,
}

impl Rates {
    pub(super) fn new(server: &Server) -> Rates {
        Rates {
            addresses: Each::new(server.requests_per_address),
            tokens: Each::new(server.requests_per_token),
            streams: Arc::new(Semaphore::new(server.streams as usize)),
            streams_max: server.streams,
            per_token: server.streams_per_token,
            streaming: Arc::default(),
        }
    }

    /// One more request of that address.
    pub(super) fn address(&self, address: IpAddr, alerts: bool) -> Result<(), Error> {
        let taken = self.addresses.take(&address);
        taken.map_err(|wait| too_often("this address asks", "requests_per_address", wait, alerts))
    }

    /// One more request of that token.
    pub(super) fn token(&self, caller: &Caller, alerts: bool) -> Result<(), Error> {
        let taken = self.tokens.take(&caller.name);
        let who = format!("the token `{}` asks", caller.name);
        taken.map_err(|wait| too_often(&who, "requests_per_token", wait, alerts))
    }

    /// One more event stream of that token.
    pub(super) fn stream(&self, caller: &Caller) -> Result<StreamPlace, Error> {
        let all = self.streams.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{} event streams are open already", self.streams_max);
            let fix = "close one, poll `/v1/runs`, or raise [server] streams";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, error::BUSY, message, fix)
        })?;
        let mut streaming = self.streaming.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streaming.entry(caller.name.clone()).or_default();
        if *count >= self.per_token {
            let message = format!("the token `{}` has {} event streams open already", caller.name, self.per_token);
            let fix = "close one, poll `/v1/runs`, or raise [server] streams_per_token";
            return Err(Error::new(StatusCode::TOO_MANY_REQUESTS, error::TOO_OFTEN, message, fix).after(STREAM_AGAIN));
        }
        *count += 1;
        Ok(StreamPlace { token: caller.name.clone(), streaming: self.streaming.clone(), _all: all })
    }
}

/// When a stream may be asked for again: nobody knows when one ends.
const STREAM_AGAIN: Duration = Duration::from_secs(5);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streaming = self.streaming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streaming.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                streaming.remove(&self.token);
            }
        }
    }
}

/// Alertmanager sends again after a 503 and after nothing else, so alerts are never answered 429.
fn too_often(who: &str, key: &str, wait: Duration, alerts: bool) -> Error {
    let status = if alerts { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
    let fix = format!("wait, ask less often, or raise [server] {key}");
    Error::new(status, error::TOO_OFTEN, format!("{who} too often"), fix).after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn caller(name: &str) -> Caller {
        Caller { name: name.to_owned(), person: None, role: Role::Viewer, agent: false }
    }

    fn rates() -> Rates {
        let rate = |count| Rate { count, window_ms: 3_600_000 };
        Rates::new(&Server {
            requests_per_token: rate(2),
            requests_per_address: rate(3),
            streams: 2,
            streams_per_token: 1,
            ..Server::default()
        })
    }

    #[test]
    fn each_caller_has_a_bound_of_its_own_and_alerts_come_again() {
        let rates = rates();
        for name in ["a", "b"] {
            assert!(rates.token(&caller(name), false).is_ok() && rates.token(&caller(name), true).is_ok());
            let refused = rates.token(&caller(name), false).expect_err("the third in an hour");
            assert_eq!((refused.status, refused.code), (StatusCode::TOO_MANY_REQUESTS, error::TOO_OFTEN));
            assert!(refused.retry_after.is_some_and(|after| after > Duration::from_secs(600)), "{refused:?}");
            let alerts = rates.token(&caller(name), true).expect_err("the fourth");
            assert_eq!(alerts.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        let address = "127.0.0.1".parse().expect("an address");
        assert_eq!((0..5).filter(|_| rates.address(address, false).is_ok()).count(), 3);
        assert!(rates.address("127.0.0.2".parse().expect("an address"), false).is_ok());
    }

    #[test]
    fn streams_are_bounded_for_each_token_and_for_all_and_given_back() {
        let rates = rates();
        let first = rates.stream(&caller("a")).expect("a place");
        assert_eq!(rates.stream(&caller("a")).err().map(|error| error.status), Some(StatusCode::TOO_MANY_REQUESTS));
        let _second = rates.stream(&caller("b")).expect("a place");
        assert_eq!(rates.stream(&caller("c")).err().map(|error| error.status), Some(StatusCode::SERVICE_UNAVAILABLE));
        drop(first);
        assert!(rates.stream(&caller("a")).is_ok());
    }
}
