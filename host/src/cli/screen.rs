//! The terminal: colours where they help, tables without borders, one place that writes.
//!
//! Colours only on a terminal and never with `NO_COLOR`; a reader that goes away (`| head`) ends the command quietly.
//! Deliberately not here: what is said.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use super::text::clean;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    /// As the terminal has it.
    #[default]
    Plain,
    /// Headings and names.
    Bold,
    /// What is looked at second.
    Dim,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong or refused.
    Bad,
}

/// Whether one stream shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ink {
    /// It does.
    pub color: bool,
}

impl Ink {
    /// Colours for a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub fn of(terminal: bool) -> Ink {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Ink { color: terminal && !set("NO_COLOR") && !dumb }
    }

    /// The text in that colour. The text must be clean already.
    pub fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
        };
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns of a terminal that does not say.
const COLUMNS: usize = 100;

/// How wide lines may be: `COLUMNS` where it is set, a usual width on a terminal, and any where nobody reads columns.
pub(super) fn width() -> Option<usize> {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    set.or_else(|| std::io::stdout().is_terminal().then_some(COLUMNS))
}

/// Where a command writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Screen {
    /// One JSON value instead of words.
    pub json: bool,
    /// A person reads, at a terminal of some width.
    pub terminal: bool,
    /// Of stdout.
    pub ink: Ink,
    /// Of stderr.
    pub errors: Ink,
}

impl Screen {
    /// The process's own streams.
    pub fn new(json: bool) -> Screen {
        let terminal = std::io::stdout().is_terminal();
        Screen { json, terminal, ink: Ink::of(terminal), errors: Ink::of(std::io::stderr().is_terminal()) }
    }

    /// Writes to stdout. Whoever reads may have gone away; then nothing is left to do.
    pub fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// One line to stdout.
    pub fn line(&self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    /// A JSON value to stdout.
    pub fn value(&self, value: &Value) {
        self.print(&format!("{value:#}\n"));
    }

    /// Writes to stderr.
    pub fn error(&self, text: &str) {
        // Nobody listens: there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// The sensible next step, the last line of what a command says.
    pub fn next(&self, step: &str) {
        self.line(&format!("\n{} {}", self.ink.paint(Paint::Dim, "next:"), clean(step)));
    }
}

/// A cell of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    text: String,
    paint: Paint,
    /// Runs on over the columns to its right, which the row must not have.
    spills: bool,
}

impl Cell {
    /// Text of anybody, made harmless.
    pub(super) fn new(text: impl AsRef<str>) -> Cell {
        Cell { text: clean(text.as_ref()).into_owned(), ..Cell::default() }
    }

    /// The same as the last cell of its row, however long: it makes no column wider.
    #[must_use]
    pub(super) fn spill(self) -> Cell {
        Cell { spills: true, ..self }
    }

    /// The same in a colour.
    #[must_use]
    pub(super) fn paint(self, paint: Paint) -> Cell {
        Cell { paint, ..self }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text)
    }
}

/// Aligned columns with a heading; columns in which nothing stands are left out.
#[derive(Debug, Default)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(heads: &[&'static str]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Appends a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, each ended; none without rows.
    pub(super) fn render(&self, ink: Ink) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let text = |row: &Vec<Cell>, column: usize| {
            row.get(column).filter(|cell| !cell.spills).map_or(0, |cell| cell.text.chars().count())
        };
        let columns: Vec<(usize, usize)> = (0..self.heads.len())
            .filter_map(|column| {
                let widest = self.rows.iter().map(|row| text(row, column)).max().unwrap_or(0);
                (widest > 0).then(|| (column, widest.max(self.heads[column].chars().count())))
            })
            .collect();
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::new(head).paint(Paint::Dim)).collect();
        let mut lines = String::new();
        // Columns a spilling cell stands in may be empty otherwise; it is written where they would begin.
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            let mut gap = 0;
            for (column, width) in &columns {
                let Some(cell) = row.get(*column) else { continue };
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(gap));
                    line.push_str(&ink.paint(cell.paint, &cell.text));
                    gap = 0;
                }
                gap += width.saturating_sub(cell.text.chars().count()) + 2;
            }
            if let Some(cell) =
                row.last().filter(|cell| cell.spills && !columns.iter().any(|(at, _)| *at == row.len() - 1))
            {
                line.push_str(&" ".repeat(gap));
                line.push_str(&ink.paint(cell.paint, &cell.text));
            }
            lines.push_str(&line);
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_empty_ones_vanish() {
        let mut table = Table::new(&["RUN", "NOTHING", "STATE"]);
        table.row(["a".into(), "".into(), Cell::new("waiting").paint(Paint::Warn)]);
        table.row(["long-one".into(), "".into(), "failed\x1b[31m".into()]);
        table.row(["".into(), "".into(), "x".into()]);
        assert_eq!(
            table.render(Ink::default()),
            "RUN       STATE\na         waiting\nlong-one  failed\\u{1b}[31m\n          x\n"
        );
        assert!(table.render(Ink { color: true }).contains("\x1b[33mwaiting\x1b[0m"));
    }
}
