//! Patterns of log lines: lines that differ only in numbers, ids and names become one template with gaps.
//!
//! A small tree as in the Drain family of miners: lines are grouped by how many words they have and by their first
//! word, and join the most similar template of their group or begin one of their own. What varies by its looks
//! (anything with a digit in it) is a gap from the start, so that the templates of two incidents can be compared
//! without sharing a tree. Every size is bounded, and the same lines give the same templates.
//!
//! Deliberately not here: reading logs.

use std::collections::BTreeMap;

/// What stands for whatever varies.
pub const GAP: &str = "<*>";
/// Lines that are looked at, the last ones: a fault is written at the end.
pub const LINES_MAX: usize = 2_000;
/// Bytes of a line that are looked at: what follows is a payload.
pub const LINE_BYTES_MAX: usize = 1_000;
/// Words of a line that are looked at.
pub const WORDS_MAX: usize = 40;
/// Templates while mining: a log where every line is new ends here.
const GROUPS_MAX: usize = 256;
/// Templates that are kept: those of errors first, then the most frequent.
pub const TEMPLATES_MAX: usize = 24;
/// Share of words that must agree for a line to join a template, in percent.
const JOIN_MIN: usize = 60;
/// Share of words that must agree or be a gap for two templates to mean the same, in percent.
const FIT_MIN: usize = 75;
/// Share of words that must be the very same, in percent: gaps alone fit everything.
const SAME_MIN: usize = 40;
/// Words that make a line one about trouble.
const TROUBLE: &[&str] = &[
    "error",
    "fail",
    "fatal",
    "panic",
    "exception",
    "refused",
    "timeout",
    "timed out",
    "denied",
    "killed",
    "abort",
    "cannot",
    "unable",
    "lost",
    "corrupt",
    "no space",
    "out of memory",
    "oom",
    "traceback",
    "segfault",
    "unreachable",
];

struct Template {
    words: Vec<String>,
    count: u32,
}

/// The templates of a log, each as its words with gaps. See the module.
pub fn mine<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let lines: Vec<&str> = lines.collect();
    let mut templates: Vec<Template> = Vec::new();
    let mut tree: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
    for line in &lines[lines.len().saturating_sub(LINES_MAX)..] {
        let words = words(line);
        if words.iter().all(|word| word == GAP) {
            continue;
        }
        let group = tree.entry((words.len(), words[0].clone())).or_default();
        let near = group.iter().map(|index| (agreeing(&templates[*index].words, &words), *index)).max();
        match near {
            Some((same, index)) if same * 100 >= words.len() * JOIN_MIN => templates[index].join(&words),
            Some(_) | None if templates.len() < GROUPS_MAX => {
                group.push(templates.len());
                templates.push(Template { words, count: 1 });
            }
            Some(_) | None => {}
        }
    }
    let mut texts: Vec<(String, u32)> =
        templates.into_iter().map(|template| (template.words.join(" "), template.count)).collect();
    texts.sort_by(|(a, a_count), (b, b_count)| {
        (tells_of_trouble(b), b_count).cmp(&(tells_of_trouble(a), a_count)).then(a.cmp(b))
    });
    texts.dedup_by(|a, b| a.0 == b.0);
    texts.into_iter().take(TEMPLATES_MAX).map(|(text, _)| text).collect()
}

impl Template {
    fn join(&mut self, words: &[String]) {
        for (mine, other) in self.words.iter_mut().zip(words) {
            if mine != other {
                GAP.clone_into(mine);
            }
        }
        self.count = self.count.saturating_add(1);
    }
}

/// Whether two templates of different incidents mean the same: most words agree or are a gap, and not gaps alone.
pub fn alike(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split(' ').collect(), b.split(' ').collect());
    let fits = a.iter().zip(&b).filter(|(a, b)| a == b || **a == GAP || **b == GAP).count();
    let same = a.iter().zip(&b).filter(|(a, b)| a == b && **a != GAP).count();
    a.len() == b.len() && fits * 100 >= a.len() * FIT_MIN && same * 100 >= a.len() * SAME_MIN
}

/// Whether a line or template is about something that went wrong.
pub fn tells_of_trouble(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    TROUBLE.iter().any(|word| text.contains(word))
}

fn agreeing(template: &[String], words: &[String]) -> usize {
    template.iter().zip(words).filter(|(a, b)| a == b).count()
}

/// The words of a line, what varies by its looks replaced; at least one.
fn words(line: &str) -> Vec<String> {
    let mut end = line.len().min(LINE_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let mut words: Vec<String> = line[..end].split_whitespace().take(WORDS_MAX).map(masked).collect();
    // A clock at the beginning is no part of what happened.
    let stamps = words.iter().take_while(|word| *word == GAP).count();
    words.drain(..stamps.min(words.len().saturating_sub(1)));
    words.dedup_by(|a, b| *a == GAP && *b == GAP);
    if words.is_empty() {
        words.push(GAP.to_owned());
    }
    words
}

/// A word with every piece that holds a digit replaced, pieces that hang together by one gap.
fn masked(word: &str) -> String {
    let bare = word.trim_matches(|c: char| "[](){}<>,;\"'`".contains(c)).trim_end_matches([':', '.']);
    let mut out = String::new();
    let mut piece = String::new();
    for c in bare.chars().map(Some).chain([None]) {
        if let Some(c) = c.filter(|c| c.is_alphanumeric() || "_%".contains(*c)) {
            piece.push(c);
            continue;
        }
        if piece.chars().any(|c| c.is_ascii_digit()) {
            // Dotted, dashed and coloned numbers are one thing: addresses, times, versions.
            let joins = out.strip_suffix(['.', ':', '-', '+']).filter(|before| before.ends_with(GAP)).map(str::len);
            match joins {
                Some(length) => out.truncate(length),
                None => out.push_str(GAP),
            }
        } else {
            out.push_str(&piece);
        }
        piece.clear();
        out.extend(c);
    }
    if out.is_empty() { word.to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mined(text: &str) -> Vec<String> {
        mine(text.lines())
    }

    #[test]
    fn numbers_addresses_times_and_ids_are_gaps() {
        for (word, masked_word) in [
            ("10.0.0.7:5432", GAP),
            ("2026-11-27T02:00:00.123Z", GAP),
            ("[17]", GAP),
            ("worker-7", "worker-<*>"),
            ("id=42abc,", "id=<*>"),
            ("/data/7.seg:", "/data/<*>.seg"),
            ("3f2a1b4c-5d6e", GAP),
            ("timeout:", "timeout"),
            ("(refused)", "refused"),
            ("99.5%", GAP),
            ("---", "---"),
        ] {
            assert_eq!(masked(word), masked_word, "{word}");
        }
    }

    #[test]
    fn lines_of_one_kind_are_one_template_whatever_varies() {
        let log = "2026-11-27T02:00:00Z INFO user alice logged in from 10.0.0.1\n\
                   2026-11-27T02:00:03Z INFO user bob logged in from 10.0.0.2\n\
                   2026-11-27T02:00:09Z ERROR queue jobs stalled for 31 s\n\
                   2026-11-27T02:01:09Z ERROR queue jobs stalled for 91 s";
        assert_eq!(mined(log), ["ERROR queue jobs stalled for <*> s", "INFO user <*> logged in from <*>"]);
    }

    #[test]
    fn templates_of_two_incidents_fit_though_each_saw_another_name() {
        assert!(alike(&mined("user alice was refused at gate 4")[0], &mined("user bob was refused at gate 9")[0]));
        assert!(alike("user <*> was refused at gate <*>", "user alice was refused at gate <*>"));
        assert!(!alike("user alice was refused at gate", "disk is full on node today"));
        assert!(!alike("<*> <*>", "anything else"), "gaps alone fit everything");
        assert!(!alike("a b", "a b c"));
    }

    #[test]
    fn trouble_comes_first_and_everything_is_bounded() {
        let all_new: String =
            (0..5_000).map(|n| format!("w{}x word{} z{n}\n", "q".repeat(n % 60), "y".repeat(n % 90))).collect();
        let log = format!("{all_new}{}\nall is well\nall is well\nFATAL cannot open socket", "long ".repeat(100_000));
        let found = mined(&log);
        assert!(found.len() <= TEMPLATES_MAX);
        assert_eq!(found[0], "FATAL cannot open socket");
        assert!(
            found
                .iter()
                .all(|template| template.split(' ').count() <= WORDS_MAX && template.len() <= 2 * LINE_BYTES_MAX)
        );
    }

    #[test]
    fn nothing_and_noise_give_nothing() {
        assert_eq!(mined(""), Vec::<String>::new());
        assert_eq!(mined("17\n2026-11-27 02:00:00\n\n   "), Vec::<String>::new());
        assert_eq!(mined("ÄÖÜ ☃\u{1b}[31m"), ["ÄÖÜ ☃\u{1b}[<*>"]);
    }
}
