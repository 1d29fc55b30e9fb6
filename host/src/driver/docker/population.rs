//! How many containers an engine has, for limits on the share of them that is touched.
//!
//! All of them count, running or not: what fails in a storm must not make the limit on it tighter while it fails.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Host;

/// How long a count is good: containers come and go by the minute, and a list of hundreds takes dockerd a while.
const COUNTED_FOR: Duration = Duration::from_secs(30);

/// The latest count and when it was made.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<Option<(Instant, u32)>>);

impl Host {
    /// How many containers there are, counted at most [`COUNTED_FOR`] ago; `None` when the engine does not say.
    pub async fn population(&self) -> Option<u32> {
        let last = *self.counted.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, count)) = last
            && at.elapsed() < COUNTED_FOR
        {
            return Some(count);
        }
        let count = u32::try_from(self.ids().await.ok()?.len()).unwrap_or(u32::MAX);
        *self.counted.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), count));
        Some(count)
    }
}
