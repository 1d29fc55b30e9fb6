//! A breaker a host: an engine that does not answer is left in peace, and nobody waits for it in vain.
//!
//! After some unanswered calls in a row every call fails at once, saying since when and why; a ping in the background
//! finds out when the engine is back: the first one at once, so that a few calls hanging on one container close nothing for long. An answer that says no is an answer. Deliberately not here: what a call that failed
//! means for a run (it waits), and events that stay away (the watcher pings).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Unanswered calls in a row that open it: one is a slow disk, two a busy engine.
pub const UNANSWERED_MAX: u32 = 3;
/// What an engine is pinged with: an engine that hangs on its containers goes on to answer `/_ping`.
pub(super) const PING: &str = "/containers/json?limit=1";
/// How often a silent engine is pinged. With the time runs take to look again it is far below half a minute.
pub(super) const PING_EVERY: Duration = Duration::from_secs(5);
/// How long a ping may take: an engine that needs longer for nothing would hang on everything else.
pub(super) const PING_WITHIN: Duration = Duration::from_secs(2);
/// A change given up before this was cancelled rather than unanswered: no change has a shorter deadline.
const CHANGE_GIVEN_UP: Duration = Duration::from_secs(14);

/// That an engine does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Of the first call in the row.
    pub since: jiff::Timestamp,
    /// What became of the last one.
    pub why: String,
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.since.strftime("%Y-%m-%dT%H:%M:%SZ");
        write!(f, "does not answer since {since} ({})", self.why)
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    row: Mutex<Row>,
    open: watch::Sender<Option<Silence>>,
}

/// Calls without an answer, one after the other.
#[derive(Debug, Default)]
struct Row {
    count: u32,
    since: jiff::Timestamp,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { row: Mutex::default(), open: watch::Sender::new(None) }
    }
}

impl Breaker {
    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why calls fail at once; absent while they do not.
    pub(super) fn silence(&self) -> Option<Silence> {
        self.open.borrow().clone()
    }

    /// Returns once calls go through.
    pub(super) async fn until_closed(&self) {
        // The sender is here, so waiting cannot fail.
        let _ = self.open.subscribe().wait_for(Option::is_none).await;
    }

    /// A call was answered.
    pub(super) fn answered(&self) {
        self.row().count = 0;
        self.open.send_if_modified(|open| open.take().is_some());
    }

    /// A call was not. True when this one opened the breaker: then somebody has to ping.
    pub(super) fn unanswered(&self, why: &str) -> bool {
        let since = {
            let mut row = self.row();
            if row.count == 0 {
                row.since = jiff::Timestamp::now();
            }
            row.count = row.count.saturating_add(1);
            if row.count < UNANSWERED_MAX {
                return false;
            }
            row.since
        };
        self.open.send_if_modified(|open| {
            let opened = open.is_none();
            *open = Some(Silence { since, why: why.to_owned() });
            opened
        })
    }
}

/// One call under way. Dropped without a word it was given up, which counts when it had time enough.
pub(super) struct Call<F: FnMut(&str)> {
    began: Instant,
    patience: Duration,
    over: bool,
    unanswered: F,
}

impl<F: FnMut(&str)> Call<F> {
    /// A call begins. `read_timeout` is how long reads may take; changes take as long as they take.
    pub(super) fn begin(read: bool, read_timeout: Duration, unanswered: F) -> Call<F> {
        // Half, because some of it is spent before the call: negotiating, waiting for a connection.
        let patience = if read { read_timeout / 2 } else { CHANGE_GIVEN_UP };
        Call { began: Instant::now(), patience, over: false, unanswered }
    }

    /// It was answered, or broke in a way that says nothing.
    pub(super) fn end(mut self) {
        self.over = true;
    }

    /// Nobody was there.
    pub(super) fn fail(mut self, why: &str) {
        self.over = true;
        (self.unanswered)(why);
    }
}

impl<F: FnMut(&str)> Drop for Call<F> {
    fn drop(&mut self) {
        let waited = self.began.elapsed();
        if !self.over && waited >= self.patience {
            (self.unanswered)(&format!("no answer within {} ms", waited.as_millis()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_once_after_a_row_and_closes_with_an_answer() {
        let breaker = Breaker::default();
        let row = |count: u32| (0..count).map(|_| breaker.unanswered("refused")).filter(|opened| *opened).count();
        assert_eq!(row(UNANSWERED_MAX - 1), 0);
        breaker.answered();
        assert_eq!(row(UNANSWERED_MAX - 1), 0, "an answer in between begins anew");
        assert_eq!(breaker.silence(), None);
        assert_eq!(row(5), 1, "opened once");
        let silence = breaker.silence().expect("open").to_string();
        assert!(silence.contains("does not answer since 20") && silence.ends_with("(refused)"), "{silence}");
        breaker.answered();
        assert_eq!(breaker.silence(), None);
    }

    #[test]
    fn a_call_given_up_counts_when_it_had_time_enough() {
        let mut seen = Vec::new();
        drop(Call::begin(true, Duration::from_secs(60), |why: &str| seen.push(why.to_owned())));
        drop(Call::begin(true, Duration::ZERO, |why: &str| seen.push(why.to_owned())));
        Call::begin(true, Duration::ZERO, |why: &str| seen.push(why.to_owned())).end();
        drop(Call::begin(false, Duration::ZERO, |why: &str| seen.push(why.to_owned())));
        Call::begin(false, Duration::ZERO, |why: &str| seen.push(why.to_owned())).fail("refused");
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen[0].starts_with("no answer within") && seen[1] == "refused", "{seen:?}");
    }
}
