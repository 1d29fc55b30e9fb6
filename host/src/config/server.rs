//! The section of the daemon's own address: how much of it anybody may take.
//!
//! Deliberately not here: what each bound protects, which stands with the code that keeps it (`listen`, `api`).

use std::time::Duration;

use sandbook_core::duration::{Bytes, DurationMs, Rate};

use super::shape::section;
use crate::listen::Bounds;

section! {
    /// How much of the daemon anybody may take. Alerts are never answered 429: beyond a bound they are a 503 and come again.
    Server {
        /// Connections at once; further ones wait. A thousand are some ten megabytes.
        connections: u32 = 1_024;
        /// Connections of one address at once; further ones are answered 503. Behind a proxy all have its address.
        connections_per_address: u32 = 512;
        /// How long a TLS handshake may take.
        handshake_timeout: DurationMs = DurationMs(10_000);
        /// How long a request's head may take, and a kept connection may be idle: below the 15s at which scrapers call.
        header_timeout: DurationMs = DurationMs(10_000);
        /// How long a request may take from its head to its answer; uploads, plans and copies five times that.
        request_timeout: DurationMs = DurationMs(30_000);
        /// How long a client may take nothing of an answer that waits for it.
        write_timeout: DurationMs = DurationMs(30_000);
        /// Requests being answered at once.
        requests: u32 = 512;
        /// Requests of one token: what one processor answers. A script in a loop is held at that.
        requests_per_token: Rate = Rate { count: 30_000, window_ms: 60_000 };
        /// Requests of one address (IPv6: one /64), whatever token they show; this also bounds guessing.
        requests_per_address: Rate = Rate { count: 60_000, window_ms: 60_000 };
        /// Event streams open at once: consoles and terminals of a team.
        streams: u32 = 256;
        /// Event streams of one token.
        streams_per_token: u32 = 64;
        /// Largest message of alerts; a larger one is lost (413). The largest groups seen have a few megabytes.
        message: Bytes = Bytes(16 << 20);
        /// Largest other body, packages aside: a person's words, a few labels.
        body: Bytes = Bytes(1 << 20);
    }
}

/// Of everything that is counted here: more is no bound.
pub(super) const COUNT_MAX: u32 = 100_000;
/// Of timeouts, in milliseconds.
pub(super) const TIMEOUT_MS: (u64, u64) = (100, 600_000);
/// Of bodies. A message that does not fit into memory four times is no message.
pub(super) const BODY_BYTES: (u64, u64) = (1 << 10, 256 << 20);

impl Server {
    /// As the listener takes it.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections as usize,
            per_address: self.connections_per_address as usize,
            handshake: self.handshake_timeout.to_std(),
            head: self.header_timeout.to_std(),
            write: self.write_timeout.to_std(),
        }
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout.to_std()
    }
}
