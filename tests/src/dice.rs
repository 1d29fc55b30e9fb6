//! Chance that can be repeated: numbers from a seed that is printed, and taken from `SANDBOOK_TEST_SEED` when it is set.
//!
//! Deliberately not here: quality. Sixty-four bits of xorshift choose moments and containers, nothing else.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The variable that repeats a run of a test.
pub const SEED: &str = "SANDBOOK_TEST_SEED";

/// Numbers from a seed.
#[derive(Debug)]
pub struct Dice {
    state: u64,
    seed: u64,
}

impl Dice {
    /// From the variable, or from the clock.
    #[track_caller]
    pub fn new() -> Dice {
        let seed = match std::env::var(SEED) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED} is a whole number, not {text:?}")),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos())),
        };
        // Xorshift stays at zero for ever.
        Dice { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1), seed }
    }

    /// What to set the variable to for the same numbers.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number of the range.
    pub fn pick(&mut self, range: Range<u64>) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        range.start + self.state % (range.end - range.start)
    }

    /// A time of the range, given in milliseconds.
    pub fn pick_ms(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.pick(range))
    }
}

impl Default for Dice {
    fn default() -> Self {
        Dice::new()
    }
}
