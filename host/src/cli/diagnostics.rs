//! Mistakes shown as a compiler shows them: place, the line itself, a caret below, what to write instead.
//!
//! Quoted lines come from files anybody may have written, so they are made harmless like everything else.
//! Deliberately not here: finding mistakes.

use sandbook_core::problem::Problem;

use super::screen::{Ink, Paint};
use super::text::{clean, count};

/// Characters of a quoted line at the most; around the caret when the line is longer.
const LINE_CHARS_MAX: usize = 160;

/// Every problem, in order, each quoted from its file as `source` has it.
pub(crate) fn render(problems: &[Problem], ink: Ink, source: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    for problem in problems {
        let (word, paint) = if problem.warning { ("warning", Paint::Warn) } else { ("error", Paint::Bad) };
        let code = if problem.code.is_empty() { String::new() } else { format!("[{}]", problem.code) };
        let head = ink.paint(paint, &format!("{word}{code}"));
        text.push_str(&format!("{head}: {}\n", ink.paint(Paint::Bold, &clean(&problem.message))));
        let line_number = problem.line.to_string();
        let margin = " ".repeat(line_number.len());
        text.push_str(&format!(
            "{margin}{} {}:{}:{}\n",
            ink.paint(Paint::Dim, "-->"),
            clean(&problem.file),
            problem.line,
            problem.column
        ));
        let quoted = source(&problem.file)
            .and_then(|text| text.lines().nth((problem.line as usize).checked_sub(1)?).map(str::to_owned))
            .filter(|line| !line.trim().is_empty());
        if let Some(line) = quoted {
            let bar = ink.paint(Paint::Dim, "|");
            let (shown, caret) = window(&line, problem.column as usize);
            text.push_str(&format!("{margin} {bar}\n"));
            text.push_str(&format!("{} {bar} {shown}\n", ink.paint(Paint::Dim, &line_number)));
            text.push_str(&format!("{margin} {bar} {}{}\n", " ".repeat(caret), ink.paint(paint, "^")));
        }
        if !problem.help.is_empty() {
            text.push_str(&format!("{margin} {} {}\n", ink.paint(Paint::Good, "= help:"), clean(&problem.help)));
        }
        text.push('\n');
    }
    text
}

/// The line as it can be shown, and how far from its beginning the caret stands.
fn window(line: &str, column: usize) -> (String, usize) {
    let at = column.saturating_sub(1);
    let skipped =
        if at > LINE_CHARS_MAX / 2 && line.chars().count() > LINE_CHARS_MAX { at - LINE_CHARS_MAX / 2 } else { 0 };
    let part: String = line.chars().skip(skipped).take(LINE_CHARS_MAX).collect();
    let show = |text: &str| clean(&text.replace('\t', "    ")).into_owned();
    let before: String = part.chars().take(at - skipped.min(at)).collect();
    (show(&part), show(&before).chars().count())
}

/// `2 errors, 1 warning`.
pub(super) fn tally(problems: &[Problem]) -> String {
    let warnings = problems.iter().filter(|problem| problem.warning).count();
    let mut parts = Vec::new();
    if problems.len() > warnings {
        parts.push(count(problems.len() - warnings, "error"));
    }
    if warnings > 0 {
        parts.push(count(warnings, "warning"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: u32, column: u32) -> Problem {
        Problem {
            code: "SB0206",
            file: "runbook.toml".to_owned(),
            line,
            column,
            message: "there is no effect `docker.restart`".to_owned(),
            help: "did you mean `docker.restart-container`?".to_owned(),
            warning: false,
        }
    }

    #[test]
    fn a_mistake_is_quoted_with_a_caret() {
        let source = "name = \"x\"\n\teffects = [\"docker.restart\"]\n";
        let text = render(&[problem(2, 13)], Ink::default(), |_| Some(source.to_owned()));
        assert_eq!(
            text,
            "error[SB0206]: there is no effect `docker.restart`\n \
             --> runbook.toml:2:13\n  \
             |\n\
             2 |     effects = [\"docker.restart\"]\n  \
             |                ^\n  \
             = help: did you mean `docker.restart-container`?\n\n"
        );
        let warned = Problem { warning: true, help: String::new(), ..problem(9, 1) };
        assert_eq!(
            render(std::slice::from_ref(&warned), Ink::default(), |_| None),
            "warning[SB0206]: there is no effect `docker.restart`\n --> runbook.toml:9:1\n\n"
        );
        assert_eq!(tally(&[warned, problem(1, 1), problem(1, 1)]), "2 errors, 1 warning");
    }

    #[test]
    fn long_and_hostile_lines_stay_in_bounds() {
        let long = "é".repeat(1_000);
        let (shown, caret) = window(&long, 700);
        assert_eq!((shown.chars().count(), caret), (160, 80));
        assert_eq!(window("\x1b[2Jx", 5), ("\\u{1b}[2Jx".to_owned(), 9));
        assert_eq!(window("x", 0), ("x".to_owned(), 0));
        assert_eq!(window("x", 99).1, 1);
    }
}
