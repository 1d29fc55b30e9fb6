//! Ids people can read out and sort: `r_01JD8Z0Q4M3V…`, a prefix, the time, and chance.
//!
//! 26 characters of Crockford's base32 hold 48 bits of milliseconds and 80 random bits; within one process each id is
//! greater than the one before, also when the clock is set back. Deliberately not here: secrets. Ids are guessable
//! after one has been seen, and nothing may depend on their not being known.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Crockford's alphabet, lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters after the prefix.
pub const CHARS: usize = 26;
const RANDOM_BITS: u32 = 80;

static LAST: Mutex<u128> = Mutex::new(0);

/// A new id `prefix_…`, greater than every one this process made before.
pub fn new(prefix: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut random = [0u8; 16];
    // Without random numbers (no known system today) ids are still unique within the process and ordered.
    let _ = getrandom::fill(&mut random[6..]);
    let fresh = (u128::from(now_ms) << RANDOM_BITS) | u128::from_be_bytes(random);
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *last = fresh.max(last.saturating_add(1));
    spell(prefix, *last)
}

fn spell(prefix: &str, value: u128) -> String {
    let mut id = String::with_capacity(prefix.len() + 1 + CHARS);
    id.push_str(prefix);
    id.push('_');
    for place in (0..CHARS).rev() {
        let digit = (value >> (5 * place)) & 31;
        id.push(char::from(ALPHABET[digit as usize]));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_have_one_shape() {
        let ids: Vec<String> = (0..10_000).map(|_| new("e")).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.len() == 2 + CHARS && id.starts_with("e_")));
    }

    #[test]
    fn the_time_comes_first_so_later_milliseconds_sort_later() {
        let at = |ms: u128| spell("r", (ms << RANDOM_BITS) | 7);
        assert!(at(1) < at(2) && at(31) < at(32) && at(1_700_000_000_000) < at(1_700_000_000_001));
        assert_eq!(spell("r", 0), format!("r_{}", "0".repeat(26)));
        assert_eq!(spell("r", u128::MAX), format!("r_7{}", "z".repeat(25)));
    }
}
