//! Docker's log stream as lines: frames taken apart, split lines joined, endless ones cut.
//!
//! Bytes are handled as they come: no length in a frame header is believed enough to reserve memory for it. With a
//! terminal there are no frames; the container writes every byte itself. Deliberately not here: I/O.

use std::collections::VecDeque;

/// Longest line, after which the rest is dropped: what Docker itself stores as one piece.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a frame's header.
const HEADER: usize = 8;
/// Longest timestamp prefix with its space: RFC 3339 with nanoseconds and offset.
const STAMP_BYTES_MAX: usize = 40;
/// Streams kept apart while their lines are incomplete: stdin, stdout, stderr, and the engine's own errors.
const STREAMS: usize = 4;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Docker's timestamp. Lines without a readable one take that of the line before.
    pub(super) at: jiff::Timestamp,
    /// Without line break; bytes that are no UTF-8 are replaced.
    pub(super) text: String,
    /// Whether its end is missing.
    pub(super) cut: bool,
}

/// The state of taking a stream apart.
#[derive(Debug)]
pub(super) struct Lines {
    tty: bool,
    header: Vec<u8>,
    /// Of the current frame.
    stream: usize,
    left: usize,
    partial: [Partial; STREAMS],
    ready: VecDeque<Line>,
    last_at: jiff::Timestamp,
}

#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// Something of the line was seen, even if nothing is left of it.
    open: bool,
    cut: bool,
    /// Inside the timestamp that Docker repeats before each further piece of a split line.
    skipping: bool,
}

impl Lines {
    pub(super) fn new(tty: bool) -> Lines {
        Lines {
            tty,
            header: Vec::with_capacity(HEADER),
            stream: 1,
            left: 0,
            partial: Default::default(),
            ready: VecDeque::new(),
            last_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// The oldest complete line.
    pub(super) fn pop(&mut self) -> Option<Line> {
        self.ready.pop_front()
    }

    pub(super) fn feed(&mut self, mut data: &[u8]) {
        if self.tty {
            self.take(data);
            return;
        }
        while !data.is_empty() {
            if self.left == 0 {
                let missing = (HEADER - self.header.len()).min(data.len());
                self.header.extend_from_slice(&data[..missing]);
                data = &data[missing..];
                if self.header.len() == HEADER {
                    self.stream = usize::from(self.header[0]).min(STREAMS - 1);
                    let length = [self.header[4], self.header[5], self.header[6], self.header[7]];
                    self.left = u32::from_be_bytes(length) as usize;
                    self.header.clear();
                    let partial = &mut self.partial[self.stream];
                    partial.skipping = partial.open;
                }
                continue;
            }
            let (now, rest) = data.split_at(self.left.min(data.len()));
            self.left -= now.len();
            data = rest;
            self.take(now);
        }
    }

    /// The stream ended: what is incomplete is a line too.
    pub(super) fn end(&mut self) {
        for stream in 0..STREAMS {
            self.stream = stream;
            if self.partial[stream].open {
                self.close();
            }
        }
    }

    fn take(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let partial = &mut self.partial[self.stream];
            if partial.skipping {
                let Some(space) = data.iter().position(|byte| *byte == b' ') else { return };
                partial.skipping = false;
                data = &data[space + 1..];
                continue;
            }
            partial.open = true;
            let end = data.iter().position(|byte| *byte == b'\n');
            let piece = &data[..end.unwrap_or(data.len())];
            let room = (LINE_BYTES_MAX + STAMP_BYTES_MAX).saturating_sub(partial.bytes.len());
            partial.cut |= piece.len() > room;
            partial.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
            match end {
                Some(end) => {
                    self.close();
                    data = &data[end + 1..];
                }
                None => return,
            }
        }
    }

    fn close(&mut self) {
        let Partial { bytes, cut, .. } = std::mem::take(&mut self.partial[self.stream]);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let stamp = bytes.iter().take(STAMP_BYTES_MAX).position(|byte| *byte == b' ');
        let stamped = stamp.and_then(|space| {
            let at: jiff::Timestamp = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
            Some((at, &bytes[space + 1..]))
        });
        // An empty line is only its timestamp; Docker writes the space anyway, podman may not.
        let bare = || Some((std::str::from_utf8(bytes).ok()?.parse().ok()?, &bytes[bytes.len()..]));
        let (at, text) = stamped.or_else(bare).unwrap_or((self.last_at, bytes));
        self.last_at = at;
        let long = text.len() > LINE_BYTES_MAX;
        let text = String::from_utf8_lossy(&text[..text.len().min(LINE_BYTES_MAX)]).into_owned();
        self.ready.push_back(Line { at, text, cut: cut || long });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend_from_slice(&u32::try_from(text.len()).expect("short").to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    fn texts(lines: &mut Lines) -> Vec<String> {
        std::iter::from_fn(|| lines.pop()).map(|line| line.text).collect()
    }

    const T: &str = "2026-01-02T03:04:05.000000006Z";

    #[test]
    fn frames_come_apart_at_any_byte() {
        let bytes =
            [frame(1, &format!("{T} out\n")), frame(2, &format!("{T} err\r\n")), frame(1, &format!("{T} \n"))].concat();
        for step in 1..bytes.len() {
            let mut lines = Lines::new(false);
            bytes.chunks(step).for_each(|chunk| lines.feed(chunk));
            lines.end();
            assert_eq!(texts(&mut lines), ["out", "err", ""], "step {step}");
        }
    }

    #[test]
    fn a_line_docker_split_is_one_line_and_streams_do_not_mix() {
        let mut lines = Lines::new(false);
        for part in [frame(1, &format!("{T} aaa")), frame(2, &format!("{T} e\n")), frame(1, &format!("{T} bbb\n"))] {
            lines.feed(&part);
        }
        assert_eq!(texts(&mut lines), ["e", "aaabbb"]);
    }

    #[test]
    fn long_lines_are_cut_and_lengths_are_not_believed() {
        let mut lines = Lines::new(true);
        lines.feed(format!("{T} {}\n{T} next", "x".repeat(100_000)).as_bytes());
        lines.end();
        let first = lines.pop().expect("a line");
        assert_eq!((first.text.len(), first.cut), (LINE_BYTES_MAX, true));
        assert_eq!(lines.pop().map(|line| (line.text, line.cut)), Some(("next".to_owned(), false)));
        let mut lines = Lines::new(false);
        lines.feed(&[1, 0, 0, 0, 255, 255, 255, 255, b'a']);
        lines.end();
        assert_eq!(texts(&mut lines), ["a"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_lines_without_time_keep_the_last() {
        let mut lines = Lines::new(true);
        lines.feed(format!("{T} a\nno time here\n").as_bytes());
        lines.feed(b"\xff\xfe\n");
        let all: Vec<Line> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(
            all.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
            ["a", "no time here", "\u{fffd}\u{fffd}"]
        );
        assert!(all.iter().all(|line| line.at.to_string() == T));
    }
}
