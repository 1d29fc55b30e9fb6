//! Where the lines of evidence come from: which of them stand in which log that the run has read.
//!
//! A runbook hands over one text, put together as it likes; the engine has the logs it read, and compares. What stands in
//! none of them is the runbook's own words, an alert's or somebody else's, and no log is named for it.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::Hygiene;
use crate::driver::Read;

/// Bytes of logs that are compared, the newest: what a run reads last is what it asks about.
const READ_BYTES_MAX: usize = 1 << 20;
/// Places that are named; evidence of more is a list of lines and no log.
const NAMED_MAX: usize = 8;

/// Lines of a text that stand in a row in a log.
struct Stretch<'a> {
    from: usize,
    until: usize,
    read: &'a Read,
    at: usize,
}

impl Hygiene {
    /// `; lines 1-3: log of local/web-1 (call 2), its lines 7-9`, for each stretch; empty where nothing is known.
    ///
    /// Lines are numbered as they are shown: after secrets were taken out, which can make several lines one.
    pub fn origins(&self, text: &str, read: &[Read]) -> String {
        let text = self.redact(text);
        let (mut clean, mut left) = (Vec::new(), READ_BYTES_MAX);
        for one in read.iter().rev() {
            let Some(rest) = left.checked_sub(one.text.len()) else { break };
            left = rest;
            clean.push((one, self.redact(&one.text)));
        }
        let logs: Vec<(&Read, Vec<&str>)> = clean.iter().map(|(read, text)| (*read, text.lines().collect())).collect();
        let mut known: HashMap<&str, (usize, usize)> = HashMap::new();
        for (log, (_, lines)) in logs.iter().enumerate() {
            for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                known.entry(line).or_insert((log, at));
            }
        }
        let mut stretches: Vec<Stretch<'_>> = Vec::new();
        let mut last: Option<(usize, usize)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let next = last.map(|(log, at)| (log, at + 1)).filter(|(log, at)| logs[*log].1.get(*at) == Some(&line));
            let found = next.or_else(|| known.get(line).copied());
            match (next, found) {
                (Some(_), _) => stretches.last_mut().into_iter().for_each(|stretch| stretch.until = number),
                (None, Some((log, at))) => {
                    stretches.push(Stretch { from: number, until: number, read: logs[log].0, at: at + 1 });
                }
                (None, None) => {}
            }
            last = found;
        }
        said(&stretches)
    }
}

fn said(stretches: &[Stretch<'_>]) -> String {
    let mut said = String::new();
    for Stretch { from, until, read, at } in stretches.iter().take(NAMED_MAX) {
        let (last, source) = (at + until - from, &read.source);
        let _ = write!(said, "; lines {from}-{until}: {source}, its lines {at}-{last}");
    }
    if stretches.len() > NAMED_MAX {
        let _ = write!(said, "; and {} more stretches", stretches.len() - NAMED_MAX);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str, text: &str) -> Read {
        Read { source: source.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn each_line_of_evidence_has_the_log_it_stands_in() {
        let hygiene = Hygiene::new(&[], true).expect("no patterns");
        let logs = [
            read("log of local/web-1 (call 2)", "starting\nGET / 200\npassword=hunter2-hunter2\n\nout of memory\n"),
            read("log of local/db-1 (call 3)", "ready\nout of disk\n"),
        ];
        let text =
            "what the runbook says\nGET / 200\npassword=hunter2-hunter2\n\nout of memory\nout of disk\nits own words";
        let said = hygiene.origins(text, &logs);
        assert_eq!(
            said,
            "; lines 2-5: log of local/web-1 (call 2), its lines 2-5; lines 6-6: log of local/db-1 (call 3), its lines 2-2"
        );
        assert_eq!(hygiene.origins("nobody logged this", &logs), "");
        assert_eq!(hygiene.origins("starting", &[]), "");
        let mixed: String = (0..10).map(|n| format!("own {n}\nready\n")).collect();
        assert!(hygiene.origins(&mixed, &logs).ends_with("; and 2 more stretches"));
    }
}
