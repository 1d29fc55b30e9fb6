//! Reading TOML with places: every wrong key and value becomes a [`Problem`] at its line and column, and reading goes on.
//!
//! Deliberately not here: which keys there are and what they mean; see [`super::parse`].

use std::{fmt::Display, ops::Range, str::FromStr};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    effect::closest,
    problem::{Problem, line_column},
};

/// The problems' codes with their titles.
pub const CODES: &[(&str, &str)] = &[
    (SYNTAX, "a manifest is not TOML"),
    (UNKNOWN_KEY, "a manifest has an unknown key"),
    (WRONG_TYPE, "a manifest's value has the wrong type"),
    (MISSING_KEY, "a manifest lacks a key"),
    (BAD_VALUE, "a manifest's value cannot be read"),
    (UNKNOWN_EFFECT, "a manifest requests an effect that does not exist"),
    (LIMIT, "a manifest's limit is out of range"),
    (PARAMETER, "a parameter's default is not of its type"),
    (TRIGGER, "a trigger can never match, or mixes sources"),
    (NEEDLESS, "a manifest says something that has no effect"),
];
pub(super) const SYNTAX: &str = "SB0201";
pub(super) const UNKNOWN_KEY: &str = "SB0202";
pub(super) const WRONG_TYPE: &str = "SB0203";
pub(super) const MISSING_KEY: &str = "SB0204";
pub(super) const BAD_VALUE: &str = "SB0205";
pub(super) const UNKNOWN_EFFECT: &str = "SB0206";
pub(super) const LIMIT: &str = "SB0207";
pub(super) const PARAMETER: &str = "SB0208";
pub(super) const TRIGGER: &str = "SB0209";
pub(super) const NEEDLESS: &str = "SB0210";

/// A place in the text, in bytes.
pub(super) type Span = Range<usize>;

/// A table, its path for messages (empty for the document) and its place.
pub(super) struct Section<'a> {
    pub(super) path: String,
    pub(super) table: &'a DeTable<'a>,
    pub(super) span: Span,
}

impl<'a> Section<'a> {
    pub(super) fn find(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// `trigger.alert` for the key `alert`.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The text, and the problems found so far.
pub(super) struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, file: &'a str) -> Reader<'a> {
        Reader { text, file, problems: Vec::new() }
    }

    /// Everything found, in the order of the text.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    pub(super) fn error(&mut self, code: &'static str, span: &Span, message: String, help: String) {
        self.report(code, span, message, help, false);
    }

    pub(super) fn warn(&mut self, span: &Span, message: String, help: String) {
        self.report(NEEDLESS, span, message, help, true);
    }

    fn report(&mut self, code: &'static str, span: &Span, message: String, help: String, warning: bool) {
        let (line, column) = line_column(self.text, span.start);
        let file = self.file.to_owned();
        self.problems.push(Problem { code, file, line, column, message, help, warning });
    }

    /// The document. A broken line is one problem; the rest is read on.
    pub(super) fn document(&mut self) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let (line, _) = line_column(self.text, span.start);
            if self.problems.iter().all(|problem| problem.line != line) {
                self.error(SYNTAX, &span, format!("not toml: {}", error.message()), String::new());
            }
        }
        table
    }

    /// Drops what follows from broken syntax: other problems of the same lines, and keys missing only therefore.
    pub(super) fn forgive_consequences(&mut self) {
        let broken: Vec<u32> = self.problems.iter().filter(|p| p.code == SYNTAX).map(|p| p.line).collect();
        if !broken.is_empty() {
            self.problems
                .retain(|p| p.code == SYNTAX || (p.code != MISSING_KEY && !broken.contains(&p.line) && !p.warning));
        }
    }

    /// Reports every key that is not known.
    pub(super) fn known_keys(&mut self, section: &Section<'_>, known: &[&str]) {
        for (name, _) in section.table {
            if known.contains(&name.get_ref().as_ref()) {
                continue;
            }
            let help = match closest(name.get_ref(), known.iter().copied()) {
                Some(candidate) => format!("did you mean `{candidate}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.error(UNKNOWN_KEY, &name.span(), format!("unknown key `{}`", section.key(name.get_ref())), help);
        }
    }

    pub(super) fn wrong_type(&mut self, key: &str, found: &Spanned<DeValue<'_>>, wanted: &str) {
        let kind = match found.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(WRONG_TYPE, &found.span(), format!("`{key}` is {kind}, it must be {wanted}"), String::new());
    }

    pub(super) fn missing(&mut self, section: &Section<'_>, key: &str, help: &str) {
        // The document itself begins nowhere in particular; any other table is placed at its header.
        let span = if section.path.is_empty() { 0..0 } else { section.span.clone() };
        self.error(MISSING_KEY, &span, format!("`{}` is missing", section.key(key)), help.to_owned());
    }

    /// A sub-table.
    pub(super) fn table<'t>(&mut self, section: &Section<'t>, key: &str) -> Option<Section<'t>> {
        let value = section.find(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section { path: section.key(key), table, span: value.span() }),
            _ => {
                self.wrong_type(&section.key(key), value, &format!("a table: [{}]", section.key(key)));
                None
            }
        }
    }

    pub(super) fn string(&mut self, section: &Section<'_>, key: &str) -> Option<(String, Span)> {
        let value = section.find(key)?;
        let text = value.get_ref().as_str().map(|text| (text.to_owned(), value.span()));
        if text.is_none() {
            self.wrong_type(&section.key(key), value, "a text in quotes");
        }
        text
    }

    /// A list of texts; empty when absent.
    pub(super) fn strings(&mut self, section: &Section<'_>, key: &str) -> Vec<(String, Span)> {
        let Some(value) = section.find(key) else { return Vec::new() };
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_type(&section.key(key), value, "a list of texts: [\"…\"]");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(list.len());
        for item in list {
            match item.get_ref().as_str() {
                Some(text) => texts.push((text.to_owned(), item.span())),
                None => self.wrong_type(&section.key(key), item, "a list of texts: [\"…\"]"),
            }
        }
        texts
    }

    pub(super) fn flag(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let value = section.find(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(&section.key(key), value, "true or false");
        }
        flag
    }

    pub(super) fn integer(&mut self, section: &Section<'_>, key: &str) -> Option<(i64, Span)> {
        let value = section.find(key)?;
        let number = integer(value.get_ref());
        if number.is_none() {
            self.wrong_type(&section.key(key), value, "a whole number");
        }
        number.map(|number| (number, value.span()))
    }

    /// A text read as something else.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, section: &Section<'_>, key: &str) -> Option<(T, Span)> {
        let (text, span) = self.string(section, key)?;
        self.read(&section.key(key), &text, &span).map(|value| (value, span))
    }

    /// A list of texts read as something else; those that cannot be read are left out.
    pub(super) fn parsed_list<T: FromStr<Err: Display>>(&mut self, section: &Section<'_>, key: &str) -> Vec<T> {
        let texts = self.strings(section, key);
        texts.iter().filter_map(|(text, span)| self.read(&section.key(key), text, span)).collect()
    }

    fn read<T: FromStr<Err: Display>>(&mut self, key: &str, text: &str, span: &Span) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(BAD_VALUE, span, format!("`{key}`: {error}"), String::new());
                None
            }
        }
    }
}

/// A whole number of 64 bits in any radix.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    value.as_integer().and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok())
}
