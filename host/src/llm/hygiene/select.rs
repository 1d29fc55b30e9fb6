//! Which lines of a log are worth their bytes: errors with what stands around them, the end, and no repeats.
//!
//! Order stays; what is left out is said where it was. Deliberately not here: understanding the lines.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// Bytes of one line at the most; stack traces of one line have thousands.
pub const LINE_BYTES_MAX: usize = 1_000;
/// Lines looked at, the newest: beyond them a log says the same again.
const LINES_MAX: usize = 20_000;
/// Lines kept before and after an error.
const CONTEXT: usize = 3;
/// The last lines: what happened before somebody asked.
const TAIL: usize = 20;
/// Lines that differ only in numbers are kept so often.
const ALIKE_MAX: usize = 3;
/// Room for saying what was left out.
const MARK_BYTES: usize = 48;

static BAD: LazyLock<Regex> = LazyLock::new(|| {
    let words = "error|err|fatal|panic(ked)?|exception|traceback|oom|out of memory|oomkilled|killed|fail(ed|ure|s)?|segfault|\
                 sigsegv|abort(ed)?|refused|denied|unreachable|cannot|could not|unable|critical|crit|emerg|corrupt(ed)?|no space|deadlock";
    Regex::new(&format!(r"(?i)\b({words})\b")).expect("a test compiles it")
});
static SUSPECT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(warn(ing)?|time(d )?out|retry(ing)?|slow|reset|unhealthy|restart(ed|ing)?|exit(ed)?)\b")
        .expect("a test compiles it")
});
static VARIES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[0-9a-fA-F]*[0-9][0-9a-fA-F]*").expect("a test compiles it"));

/// What was selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Number in the whole (from 1) and text, ascending.
    pub lines: Vec<(usize, String)>,
    /// How many there were.
    pub of: usize,
}

/// How much a line is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Repeated,
    Plain,
    Near,
    Last,
    Suspect,
    Bad,
}

/// Selects at most about `bytes_max` bytes of a text's lines.
pub fn select(text: &str, bytes_max: usize) -> Selection {
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(LINES_MAX);
    let worth = weigh(&all[from..]);
    let mut order: Vec<usize> = (0..worth.len()).filter(|at| worth[*at] > Worth::Repeated).collect();
    // Of equal worth the newer goes first.
    order.sort_by_key(|at| (std::cmp::Reverse(worth[*at]), std::cmp::Reverse(*at)));
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for at in order {
        let line = shorten(all[from + at]);
        bytes += line.len() + MARK_BYTES;
        if bytes > bytes_max {
            break;
        }
        kept.push((from + at + 1, line));
    }
    kept.sort_by_key(|(number, _)| *number);
    Selection { lines: kept, of: all.len() }
}

fn weigh(lines: &[&str]) -> Vec<Worth> {
    let mut worth: Vec<Worth> = lines.iter().map(|line| own_worth(line)).collect();
    let mut alike: BTreeMap<String, usize> = BTreeMap::new();
    // The newest of those that are alike stay.
    for at in (0..lines.len()).rev() {
        let seen = alike.entry(VARIES.replace_all(lines[at].trim(), "#").into_owned()).or_default();
        *seen += 1;
        if *seen > ALIKE_MAX || lines[at].trim().is_empty() {
            worth[at] = Worth::Repeated;
        }
    }
    let bad: Vec<usize> = (0..worth.len()).filter(|at| worth[*at] == Worth::Bad).collect();
    for at in bad {
        for near in at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(worth.len()) {
            if worth[near] == Worth::Plain {
                worth[near] = Worth::Near;
            }
        }
    }
    let last = worth.len().saturating_sub(TAIL);
    for one in &mut worth[last..] {
        if matches!(one, Worth::Plain | Worth::Near) {
            *one = Worth::Last;
        }
    }
    worth
}

fn own_worth(line: &str) -> Worth {
    match (BAD.is_match(line), SUSPECT.is_match(line)) {
        (true, _) => Worth::Bad,
        (false, true) => Worth::Suspect,
        (false, false) => Worth::Plain,
    }
}

fn shorten(line: &str) -> String {
    let mut short = line.to_owned();
    if short.len() > LINE_BYTES_MAX {
        sandbook_core::error::truncate_at_char(&mut short, LINE_BYTES_MAX);
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_and_its_context_survive_ten_thousand_lines_of_noise() {
        let mut lines: Vec<String> = (0..10_000).map(|n| format!("GET /item/{n} 200 in {n} ms")).collect();
        lines[4_000] = "connecting to ledger".to_owned();
        lines[4_001] = "ERROR ledger: disk quota exceeded".to_owned();
        lines[4_002] = "closing the queue".to_owned();
        let selection = select(&lines.join("\n"), 4_096);
        let texts: Vec<&str> = selection.lines.iter().map(|(_, text)| text.as_str()).collect();
        for wanted in ["connecting to ledger", "ERROR ledger: disk quota exceeded", "closing the queue"] {
            assert!(texts.contains(&wanted), "{texts:?}");
        }
        assert!(texts.iter().filter(|text| text.starts_with("GET")).count() <= ALIKE_MAX, "{texts:?}");
        assert_eq!(selection.of, 10_000);
        assert!(selection.lines.windows(2).all(|two| two[0].0 < two[1].0), "order stays");
    }

    #[test]
    fn the_selection_is_bounded_whatever_comes() {
        let errors = (0..5_000).map(|n| format!("error {}", "ab".repeat(n % 700))).collect::<Vec<_>>().join("\n");
        let bytes: usize = select(&errors, 2_000).lines.iter().map(|(_, line)| line.len()).sum();
        assert!(bytes <= 2_000, "{bytes}");
        let one = select(&"x".repeat(1 << 20), 1 << 16);
        assert!(one.lines[0].1.len() <= LINE_BYTES_MAX + '…'.len_utf8());
        assert_eq!(select("", 100), Selection { lines: Vec::new(), of: 0 });
    }
}
