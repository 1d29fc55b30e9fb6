//! Container logs: the end of one, and lines that match, a page at a time.
//!
//! Filtering and cutting happen here, next to the socket, so that a gigabyte of log costs bytes of one page. Timestamps
//! are always requested: they carry the cursor and mark where Docker split a long line. Deliberately not here:
//! following a log, and log stores other than Docker's own.

use std::collections::VecDeque;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use regex::Regex;
use sandbook_core::effect::logs::{
    MATCHES_DEFAULT, Match, Matches, PAGE_BYTES_MAX, Page, SEARCH_SINCE_MS_DEFAULT, SearchOptions, TAIL_LINES_DEFAULT,
    TailOptions,
};
use sandbook_core::error::{Error, truncate_at_char};

use super::docker::{Host, instant};
use cursor::{Cursor, Position};
use lines::{Line, Lines};

mod cursor;
mod lines;

/// Bytes of new log read for one page of a search: a second or two of a busy log, well inside the deadline.
const SCAN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// JSON bytes of one page: half of what a result may have, because escaping can make a line six times as long.
const PAGE_JSON_BYTES_MAX: usize = 480 * 1024;
/// Bytes of a context line: forty of them stand around one match.
const CONTEXT_LINE_BYTES_MAX: usize = 2 * 1024;
/// Pieces asked for beyond the lines wanted: Docker counts each 16 KiB of a long line as one.
const TAIL_PIECES_EXTRA: u32 = 64;
/// As in the catalogue, where the pattern was validated with it.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// The last lines of a container's log, as the container wrote them.
pub(super) async fn tail(host: &Host, id: &str, options: &TailOptions) -> Result<Page, Error> {
    let wanted = options.lines.unwrap_or(TAIL_LINES_DEFAULT);
    let asked = wanted.saturating_add(TAIL_PIECES_EXTRA);
    let mut query = format!("stdout=1&stderr=1&timestamps=1&tail={asked}");
    if let Some(since_ms) = options.since_ms {
        query.push_str(&format!("&since={}", instant(ago(since_ms))));
    }
    let mut reader = Reader::open(host, id, &query).await?;
    let mut kept: VecDeque<String> = VecDeque::new();
    let (mut bytes, mut json_bytes, mut truncated) = (0, 0, false);
    while let Some(line) = reader.next().await? {
        if kept.len() == wanted as usize
            && let Some(dropped) = kept.pop_front()
        {
            bytes -= dropped.len() + 1;
            json_bytes -= json_len(&dropped) + 2;
        }
        truncated |= line.cut;
        bytes += line.text.len() + 1;
        json_bytes += json_len(&line.text) + 2;
        kept.push_back(line.text);
        while bytes > PAGE_BYTES_MAX || json_bytes > PAGE_JSON_BYTES_MAX {
            let Some(dropped) = kept.pop_front() else { break };
            bytes -= dropped.len() + 1;
            json_bytes -= json_len(&dropped) + 2;
            truncated = true;
        }
    }
    let lines = u32::try_from(kept.len()).unwrap_or(u32::MAX);
    Ok(Page { text: Vec::from(kept).join("\n"), lines, truncated })
}

/// One page of lines that match, oldest first.
pub(super) async fn search(host: &Host, id: &str, pattern: &str, options: &SearchOptions) -> Result<Matches, Error> {
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE_MAX)
        .build()
        .map_err(|error| Error::invalid(format!("pattern: {error}")))?;
    let cursor = options.cursor.as_deref().map(Cursor::parse).transpose()?;
    let since = match &cursor {
        Some(cursor) => cursor.since(),
        None => ago(options.since_ms.unwrap_or(SEARCH_SINCE_MS_DEFAULT)),
    };
    let query = format!("stdout=1&stderr=1&timestamps=1&since={}", instant(since));
    let reader = Reader::open(host, id, &query).await?;
    let limit = options.limit.unwrap_or(MATCHES_DEFAULT) as usize;
    Search::new(regex, limit, options.context.unwrap_or(0) as usize, Position::after(cursor)).run(reader).await
}

fn ago(ms: u64) -> jiff::Timestamp {
    let back = jiff::SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    jiff::Timestamp::now().checked_sub(back).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// Bytes of a text inside JSON quotes.
pub(super) fn json_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

struct Search {
    regex: Regex,
    limit: usize,
    context: usize,
    position: Position,
    before: VecDeque<String>,
    found: Vec<Match>,
    /// Context lines still owed to each of the last matches, oldest first: (index, lines).
    owed: VecDeque<(usize, usize)>,
    json_bytes: usize,
    scanned: u32,
}

impl Search {
    fn new(regex: Regex, limit: usize, context: usize, position: Position) -> Search {
        let (before, found, owed) = (VecDeque::new(), Vec::new(), VecDeque::new());
        Search { regex, limit, context, position, before, found, owed, json_bytes: 0, scanned: 0 }
    }

    async fn run(mut self, mut reader: Reader) -> Result<Matches, Error> {
        let mut start = None;
        let mut full = false;
        while let Some(line) = reader.next().await? {
            if full {
                // Read on only for the context of what was found; the next page searches these lines.
                self.pay(&line.text);
                if self.owed.is_empty() {
                    break;
                }
                continue;
            }
            if self.position.skips(line.at) {
                self.remember(&line.text);
                continue;
            }
            let start = *start.get_or_insert(reader.bytes);
            self.take(line);
            let enough = self.found.len() >= self.limit || self.json_bytes >= PAGE_JSON_BYTES_MAX;
            full = enough || reader.bytes - start >= SCAN_BYTES_MAX;
            if full && self.owed.is_empty() {
                break;
            }
        }
        let cursor = full.then(|| self.position.cursor()).flatten();
        Ok(Matches { found: self.found, cursor: cursor.map(|cursor| cursor.to_string()), scanned: self.scanned })
    }

    fn take(&mut self, line: Line) {
        self.scanned = self.scanned.saturating_add(1);
        self.position.took(line.at);
        self.pay(&line.text);
        if self.regex.is_match(&line.text) {
            let context: Vec<String> = self.before.iter().cloned().collect();
            self.json_bytes += json_len(&line.text) + context.iter().map(|line| json_len(line) + 3).sum::<usize>() + 80;
            if self.context > 0 {
                self.owed.push_back((self.found.len(), self.context));
            }
            self.remember(&line.text);
            self.found.push(Match { at: line.at.to_string(), line: line.text, context });
        } else {
            self.remember(&line.text);
        }
    }

    /// Gives a line to the matches before it.
    fn pay(&mut self, text: &str) {
        if self.owed.is_empty() {
            return;
        }
        let text = shortened(text);
        for (index, lines) in &mut self.owed {
            self.json_bytes += json_len(&text) + 3;
            self.found[*index].context.push(text.clone());
            *lines -= 1;
        }
        self.owed.retain(|(_, lines)| *lines > 0);
    }

    fn remember(&mut self, text: &str) {
        if self.context == 0 {
            return;
        }
        if self.before.len() == self.context {
            self.before.pop_front();
        }
        self.before.push_back(shortened(text));
    }
}

fn shortened(text: &str) -> String {
    let mut text = text.to_owned();
    truncate_at_char(&mut text, CONTEXT_LINE_BYTES_MAX);
    text
}

/// A log's bytes as lines.
struct Reader {
    body: Incoming,
    lines: Lines,
    ended: bool,
    /// Bytes read so far.
    bytes: usize,
}

impl Reader {
    async fn open(host: &Host, id: &str, query: &str) -> Result<Reader, Error> {
        let tty = host.fixed(id).await?.tty;
        let body = host.raw_log(id, query).await?;
        Ok(Reader { body, lines: Lines::new(tty), ended: false, bytes: 0 })
    }

    async fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            if let Some(line) = self.lines.pop() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes += data.len();
                        self.lines.feed(&data);
                    }
                }
                Some(Err(error)) => {
                    let why = super::docker::fault::chain(&error);
                    return Err(Error::failed(format!("docker's log was cut off: {why}")));
                }
                None => {
                    self.ended = true;
                    self.lines.end();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_length_is_that_of_the_writer() {
        for text in ["plain", "a\"b\\c\n\t\r", "\u{1}\u{1f}", "ä\u{fffd}"] {
            assert_eq!(json_len(text) + 2, serde_json::to_string(text).expect("JSON").len(), "{text:?}");
        }
    }
}
