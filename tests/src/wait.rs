//! Waiting: polling with a deadline, and a failure that says what was awaited and what was seen last.
//!
//! Deliberately not here: a bare sleep as a way of waiting.

use std::time::{Duration, Instant};

/// Between two looks: short beside everything awaited here, long beside what a look costs.
pub const POLL: Duration = Duration::from_millis(50);

/// Looks until the probe succeeds and returns what it found and how long that took; `Err` is what it saw instead.
///
/// Panics at the deadline with the last sight and whatever `context` gives, usually the tail of a log.
#[track_caller]
pub fn timed<T>(
    what: &str,
    deadline: Duration,
    context: impl Fn() -> String,
    mut probe: impl FnMut() -> Result<T, String>,
) -> (T, Duration) {
    let start = Instant::now();
    loop {
        match probe() {
            Ok(found) => return (found, start.elapsed()),
            Err(seen) if start.elapsed() >= deadline => {
                panic!("waited {deadline:?} for {what}; last seen: {seen}\n{}", context())
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// [`timed`] without the time.
#[track_caller]
pub fn until<T>(
    what: &str,
    deadline: Duration,
    context: impl Fn() -> String,
    probe: impl FnMut() -> Result<T, String>,
) -> T {
    timed(what, deadline, context, probe).0
}

/// Waits until a growing text, such as what a command says, has these words.
#[track_caller]
pub fn for_words(words: &str, deadline: Duration, text: impl Fn() -> String) {
    until(words, deadline, &text, || if text().contains(words) { Ok(()) } else { Err("not yet".to_owned()) });
}
