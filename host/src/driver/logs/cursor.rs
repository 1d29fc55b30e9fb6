//! Where a search stopped, so that the next page goes on without a gap and without a repeat.
//!
//! Docker can only be asked for lines since a time. Lines share timestamps, and the two streams of a container are
//! stamped before they are written, so times in a log may step back a little. A cursor therefore holds a time a little
//! before the last line taken and how many lines since then are done. Deliberately not here: reading.

use std::collections::VecDeque;

use sandbook_core::error::Error;

/// How far times in one log may step back: far more than two copying goroutines ever differ.
const SLACK: jiff::SignedDuration = jiff::SignedDuration::from_millis(500);

/// `since/done/last`, times as nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    since: jiff::Timestamp,
    /// Lines at or after `since` that are done.
    done: u64,
    /// The latest time among them: a later line is a new one, even if the log was rotated meanwhile.
    last: jiff::Timestamp,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Result<Cursor, Error> {
        let parsed = || {
            let mut parts = text.split('/');
            let mut nanos = || jiff::Timestamp::from_nanosecond(parts.next()?.parse().ok()?).ok();
            let since = nanos()?;
            let last = nanos()?;
            let done = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Cursor { since, done, last })
        };
        parsed().ok_or_else(|| Error::invalid("cursor is not one that a previous page returned"))
    }

    pub(super) fn since(&self) -> jiff::Timestamp {
        self.since
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.since.as_nanosecond(), self.last.as_nanosecond(), self.done)
    }
}

/// Keeps count while lines are skipped and taken.
#[derive(Debug)]
pub(super) struct Position {
    skip: u64,
    until: jiff::Timestamp,
    /// Times of the done lines within the slack, in the order of the log.
    recent: VecDeque<jiff::Timestamp>,
    latest: Option<jiff::Timestamp>,
}

impl Position {
    pub(super) fn after(cursor: Option<Cursor>) -> Position {
        let (skip, until) = cursor.map_or((0, jiff::Timestamp::UNIX_EPOCH), |cursor| (cursor.done, cursor.last));
        Position { skip, until, recent: VecDeque::new(), latest: None }
    }

    /// Whether a previous page did this line.
    pub(super) fn skips(&mut self, at: jiff::Timestamp) -> bool {
        if self.skip == 0 || at > self.until {
            self.skip = 0;
            return false;
        }
        self.skip -= 1;
        self.took(at);
        true
    }

    /// Counts a line as done.
    pub(super) fn took(&mut self, at: jiff::Timestamp) {
        let latest = self.latest.map_or(at, |latest| latest.max(at));
        self.latest = Some(latest);
        self.recent.push_back(at);
        let from = since(latest);
        // Later lines that stepped back may hide an older one behind them; those only cost memory until the next prune.
        while self.recent.front().is_some_and(|at| *at < from) {
            self.recent.pop_front();
        }
    }

    /// Where the next page begins; absent when nothing was seen.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let last = self.latest?;
        let since = since(last);
        let done = self.recent.iter().filter(|at| **at >= since).count() as u64;
        Some(Cursor { since, done, last })
    }
}

fn since(latest: jiff::Timestamp) -> jiff::Timestamp {
    latest.checked_sub(SLACK).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of `page` lines over a log of times in milliseconds, each through the text of a cursor.
    fn pages(log: &[i64], page: usize) -> Vec<usize> {
        let times: Vec<jiff::Timestamp> =
            log.iter().map(|ms| jiff::Timestamp::from_millisecond(1_000_000 + ms).expect("in range")).collect();
        let (mut taken, mut cursor): (Vec<usize>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let mut position = Position::after(cursor);
            let from = cursor.map(|cursor| cursor.since());
            let visible = times.iter().enumerate().filter(|(_, at)| from.is_none_or(|from| **at >= from));
            let mut count = 0;
            for (index, at) in visible {
                if position.skips(*at) {
                    continue;
                }
                position.took(*at);
                taken.push(index);
                count += 1;
                if count == page {
                    break;
                }
            }
            if count < page {
                return taken;
            }
            cursor = Some(Cursor::parse(&position.cursor().expect("lines").to_string()).expect("own text"));
        }
    }

    #[test]
    fn pages_have_neither_gap_nor_repeat() {
        let logs: [&[i64]; 4] = [
            &[0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 2, 3_000, 3_000, 3_000, 9_000],
            &[5, 4, 5, 4, 700, 699, 700, 650, 1_200],
            &[0, 600, 200, 601, 1_200, 800, 1_201],
        ];
        for log in logs {
            for page in 1..=log.len() {
                assert_eq!(pages(log, page), (0..log.len()).collect::<Vec<_>>(), "{log:?} by {page}");
            }
        }
    }

    #[test]
    fn a_foreign_cursor_is_invalid() {
        for bad in ["", "1/2", "1/2/3/4", "a/b/c", "1/2/-3"] {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
    }
}
