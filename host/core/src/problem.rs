//! What is wrong with a text a person wrote, and where: one [`Problem`] a mistake, with file, line and column.
//!
//! `check`, an upload's answer 422 and the daemon's log all show the same value, so that a mistake reads the same
//! everywhere. Deliberately not here: the pages behind the codes, and how a problem is coloured or quoted.

use serde::Serialize;

/// One mistake or doubt, placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable code, such as `SB0201`; `sandbook explain` has the page.
    pub code: &'static str,
    /// File as given by the caller, usually relative to the package.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Lower case, no full stop: what is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
    /// True: it works, but is probably not what was meant.
    pub warning: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// A text that is not what it should be. The message names the text and says what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Line and column (from 1, columns in characters) of a byte offset; one past the end or inside a character is
/// placed at what comes before it.
pub fn line_column(text: &str, byte_offset: usize) -> (u32, u32) {
    let mut end = byte_offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// A text as it stands in a message: quoted, and cut at 80 characters.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns() {
        let text = "ab\nÄc\n\nd";
        for (offset, want) in [
            (0, (1, 1)),
            (1, (1, 2)),
            (2, (1, 3)),
            (3, (2, 1)),
            (4, (2, 1)),
            (5, (2, 2)),
            (7, (3, 1)),
            (8, (4, 1)),
            (9, (4, 2)),
            (99, (4, 2)),
        ] {
            assert_eq!(line_column(text, offset), want, "offset {offset}");
        }
        assert_eq!(line_column("", 0), (1, 1));
    }

    #[test]
    fn a_problem_reads_like_a_compilers() {
        let problem = Problem {
            code: "SB0202",
            file: "runbook.toml".to_owned(),
            line: 3,
            column: 7,
            message: "unknown key `sumary`".to_owned(),
            help: "did you mean `summary`?".to_owned(),
            warning: false,
        };
        assert_eq!(problem.to_string(), "runbook.toml:3:7: unknown key `sumary`");
        assert_eq!(serde_json::to_value(&problem).expect("plain")["line"], 3);
    }

    #[test]
    fn long_texts_are_cut_when_quoted() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        assert_eq!(quote(&"ä".repeat(200)).chars().count(), 83);
    }
}
