//! A line of the log that is written at most so often: who sends a thousand bad requests gets a line, not a thousand.
//!
//! What is left out is counted, and the next line says how many. Deliberately not here: metrics, which count everything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Says each of a closed set of things at most so often.
pub struct Seldom {
    every: Duration,
    said: Mutex<BTreeMap<&'static str, (Instant, u64)>>,
}

impl Seldom {
    /// At most once in that time.
    pub const fn every(every: Duration) -> Seldom {
        Seldom { every, said: Mutex::new(BTreeMap::new()) }
    }

    /// Whether it is said now, and then how often it was left out since it was said last.
    pub fn now(&self, what: &'static str) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match said.get_mut(what) {
            Some((last, left_out)) if now.duration_since(*last) < self.every => {
                *left_out += 1;
                None
            }
            known => {
                let left_out = known.map_or(0, |(_, left_out)| *left_out);
                said.insert(what, (now, 0));
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let seldom = Seldom::every(Duration::from_secs(3_600));
        assert_eq!((seldom.now("a"), seldom.now("a"), seldom.now("b")), (Some(0), None, Some(0)));
        let often = Seldom::every(Duration::ZERO);
        assert_eq!((often.now("a"), often.now("a")), (Some(0), Some(0)));
        seldom.said.lock().expect("kept").entry("a").and_modify(|(last, _)| *last -= Duration::from_secs(4_000));
        assert_eq!(seldom.now("a"), Some(1));
    }
}
