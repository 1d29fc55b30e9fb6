//! Reads of simulated container logs. They work in every state, as Docker's do.
//!
//! Deliberately not here: streams; stdout and stderr are one log.

use super::container::{Container, LogLine};
use super::moment::rfc3339;
use super::{Seat, World};
use crate::effect::logs::{
    MATCHES_DEFAULT, Match, Matches, PAGE_BYTES_MAX, Page, SEARCH_SINCE_MS_DEFAULT, SearchOptions, TAIL_LINES_DEFAULT,
    TailOptions,
};
use crate::error::Error;

impl World {
    fn log_of(&self, seat: &Seat) -> Result<&Container, Error> {
        let lost = || Error::not_found(format!("no such container: {}/{}", seat.host, seat.name));
        self.container(&seat.host, &seat.name).ok_or_else(lost)
    }

    /// The newest lines that fit, oldest first.
    pub(super) fn tail(&self, seat: &Seat, options: &TailOptions) -> Result<Page, Error> {
        let logs = &self.log_of(seat)?.logs;
        let count = usize::try_from(options.lines.unwrap_or(TAIL_LINES_DEFAULT)).unwrap_or(usize::MAX);
        let since = options.since_ms.map_or(0, |since_ms| self.now_ms.saturating_sub(since_ms));
        let young = logs.iter().rev().take_while(|line| line.at.ms(self.now_ms) >= since).take(count);
        let mut kept: Vec<&str> = Vec::new();
        let (mut bytes, mut truncated) = (0, false);
        for line in young.map(|line| line.line.as_str()) {
            let room = PAGE_BYTES_MAX.saturating_sub(bytes);
            let cost = line.len() + usize::from(!kept.is_empty());
            if cost > room {
                truncated = true;
                if kept.is_empty() {
                    kept.push(end_of(line, room));
                }
                break;
            }
            bytes += cost;
            kept.push(line);
        }
        kept.reverse();
        let lines = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        Ok(Page { text: kept.join("\n"), lines, truncated })
    }

    /// A page of matches, oldest first; the cursor is the number of the next line since the container was created.
    pub(super) fn search(&self, seat: &Seat, pattern: &str, options: &SearchOptions) -> Result<Matches, Error> {
        let container = self.log_of(seat)?;
        let expression = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| Error::invalid(format!("pattern: {error}")))?;
        let logs = &container.logs;
        let first = match &options.cursor {
            Some(cursor) => {
                let wrong = || Error::invalid(format!("cursor `{cursor}` is none that a search returned"));
                let number: u64 = cursor.strip_prefix("line:").and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
                usize::try_from(number.saturating_sub(container.logs_forgotten)).unwrap_or(usize::MAX)
            }
            None => 0,
        };
        let since = self.now_ms.saturating_sub(options.since_ms.unwrap_or(SEARCH_SINCE_MS_DEFAULT));
        let limit = usize::try_from(options.limit.unwrap_or(MATCHES_DEFAULT)).unwrap_or(usize::MAX);
        let around = usize::try_from(options.context.unwrap_or(0)).unwrap_or(0);
        let (mut page, mut bytes) = (Matches::default(), 0);
        for (index, line) in logs.iter().enumerate().skip(first) {
            if line.at.ms(self.now_ms) < since {
                continue;
            }
            if expression.is_match(&line.line) {
                let context = context(logs, index, around);
                bytes += line.line.len() + context.iter().map(String::len).sum::<usize>();
                if bytes > PAGE_BYTES_MAX && !page.found.is_empty() {
                    page.cursor = Some(format!("line:{}", container.logs_forgotten + index as u64));
                    break;
                }
                let text = end_of(&line.line, PAGE_BYTES_MAX).to_owned();
                page.found.push(Match { at: rfc3339(line.at.ms(self.now_ms)), line: text, context });
            }
            page.scanned += 1;
            // A full page does not look whether there is more.
            if page.found.len() >= limit {
                page.cursor = Some(format!("line:{}", container.logs_forgotten + index as u64 + 1));
                break;
            }
        }
        Ok(page)
    }
}

/// The lines around one, without it.
fn context(logs: &[LogLine], index: usize, around: usize) -> Vec<String> {
    let from = index.saturating_sub(around);
    let to = index.saturating_add(around + 1).min(logs.len());
    let room = PAGE_BYTES_MAX / (2 * around + 1);
    (from..to).filter(|near| *near != index).map(|near| end_of(&logs[near].line, room).to_owned()).collect()
}

/// The last bytes of a line, whole characters only.
fn end_of(line: &str, bytes_max: usize) -> &str {
    let mut start = line.len().saturating_sub(bytes_max);
    while !line.is_char_boundary(start) {
        start += 1;
    }
    &line[start..]
}
