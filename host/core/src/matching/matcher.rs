//! Prometheus matchers: `severity=~"warning|critical"`, `name!="db"`. An absent label counts as the empty text.
//!
//! Names may hold what container labels hold (`com.docker.compose.service`); any other name is quoted. Regular
//! expressions are anchored at both ends. Deliberately not here: lists in braces; a list is a list of matchers.

use std::{collections::BTreeMap, fmt, str::FromStr};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::problem::{Malformed, quote};

/// A compiled expression may take this much memory, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
}

impl Op {
    /// As written. Two-letter operators stand before `=`, which they begin with.
    const ALL: [(&'static str, Op); 4] =
        [("=~", Op::Matches), ("!~", Op::MatchesNot), ("!=", Op::NotEqual), ("=", Op::Equal)];

    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Op::Equal => "=",
            Op::NotEqual => "!=",
            Op::Matches => "=~",
            Op::MatchesNot => "!~",
        }
    }
}

/// One condition on one label. Parsed from and displayed as Prometheus writes it; text in serde.
#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    op: Op,
    value: String,
    /// Present for the two operators with an expression.
    regex: Option<Regex>,
}

impl Matcher {
    /// A matcher from its parts; the error says what is wrong with the expression.
    pub fn new(label: impl Into<String>, op: Op, value: impl Into<String>) -> Result<Matcher, Malformed> {
        let (label, value) = (label.into(), value.into());
        let regex = match op {
            Op::Equal | Op::NotEqual => None,
            Op::Matches | Op::MatchesNot => Some(compile(&value)?),
        };
        Ok(Matcher { label, op, value, regex })
    }

    /// The label's name.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How its value is compared.
    pub fn op(&self) -> Op {
        self.op
    }

    /// What its value is compared with: a text or an expression.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the labels satisfy it; an absent label is the empty text.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_value(labels.get(&self.label).map_or("", String::as_str))
    }

    /// Whether a value of its label satisfies it.
    pub fn matches_value(&self, value: &str) -> bool {
        let matches = self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            Op::Equal => value == self.value,
            Op::NotEqual => value != self.value,
            Op::Matches => matches,
            Op::MatchesNot => !matches,
        }
    }

    /// Why the labels do not satisfy it, as a sentence; none when they do.
    pub fn mismatch(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        match labels.get(&self.label) {
            Some(value) if self.matches_value(value) => None,
            Some(value) => Some(format!("{}={} does not match {self}", self.label, quote(value))),
            None if self.matches_value("") => None,
            None => Some(format!("there is no label {}, so {self} does not match", self.label)),
        }
    }
}

/// Compiles an anchored expression. First alone: `a)|(b` must not escape from the group around it.
fn compile(pattern: &str) -> Result<Regex, Malformed> {
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    build(pattern).and_then(|_| build(&format!("^(?s:{pattern})$"))).map_err(|error| {
        let reason = error.to_string();
        let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Malformed(format!("the regular expression {} does not compile: {last}", quote(pattern)))
    })
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (self.op, &self.label, &self.value) == (other.op, &other.label, &other.value)
    }
}

impl Eq for Matcher {}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn continues_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':')
}

fn is_plain_name(name: &str) -> bool {
    name.starts_with(starts_name) && name.chars().all(continues_name)
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        if is_plain_name(&self.label) {
            f.write_str(&self.label)?;
        } else {
            write!(f, "\"{}\"", escape(&self.label))?;
        }
        write!(f, "{}\"{}\"", self.op.symbol(), escape(&self.value))
    }
}

impl FromStr for Matcher {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = |why: &str| {
            Malformed(format!("{} is not a matcher: {why}; write it like severity=\"critical\"", quote(text)))
        };
        let trimmed = text.trim();
        if trimmed.starts_with('{') {
            return Err(malformed("leave the braces out and write one matcher a string"));
        }
        let (label, rest) = if trimmed.starts_with('"') {
            unquote(trimmed).ok_or_else(|| malformed("the label's closing quote is missing"))?
        } else {
            let end = trimmed.find(|c| !continues_name(c)).unwrap_or(trimmed.len());
            (trimmed[..end].to_owned(), &trimmed[end..])
        };
        if label.is_empty() || (!trimmed.starts_with('"') && !label.starts_with(starts_name)) {
            return Err(malformed("it does not start with a label's name"));
        }
        let rest = rest.trim_start();
        let Some((symbol, op)) = Op::ALL.into_iter().find(|(symbol, _)| rest.starts_with(symbol)) else {
            return Err(malformed("after the label comes one of =, !=, =~, !~"));
        };
        let rest = rest[symbol.len()..].trim_start();
        let value = if rest.starts_with('"') {
            let (value, after) = unquote(rest).ok_or_else(|| malformed("the closing quote is missing"))?;
            match after.trim_start().chars().next() {
                None => value,
                Some(',') => return Err(malformed("one matcher a string: split it at the comma")),
                Some(_) => return Err(malformed("something follows the closing quote")),
            }
        } else {
            bare_value(rest).map_err(malformed)?.to_owned()
        };
        Matcher::new(label, op, value)
    }
}

/// A value without quotes, as people type it in a shell.
fn bare_value(text: &str) -> Result<&str, &'static str> {
    match text.chars().find(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | '~' | ',' | '{' | '}' | '\\')) {
        None if text.is_empty() => Err("the value is missing (an empty one is \"\")"),
        None => Ok(text),
        Some('=' | '~') => Err("the operators are =, !=, =~, !~ (put a value with = or ~ into double quotes)"),
        Some('\'') => Err("the value's quotes must be double"),
        Some(_) => Err("put the value into double quotes"),
    }
}

/// The quoted text at the start, and what follows it. `\"`, `\\` and `\n` are escapes; any other backslash is itself,
/// as in Alertmanager, so that `\d` needs no doubling.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek().map(|(_, next)| *next)) {
            ('"', _) => return Some((value, &text[at + 1..])),
            ('\\', Some(next @ ('"' | '\\' | 'n'))) => {
                value.push(if next == 'n' { '\n' } else { next });
                chars.next();
            }
            (c, _) => value.push(c),
        }
    }
    None
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matchers_parse_display_and_match() {
        // Text, as displayed, a value it accepts, a value it refuses.
        for (text, shown, yes, no) in [
            (r#"severity="critical""#, r#"severity="critical""#, "critical", "warning"),
            (r#" severity = "critical" "#, r#"severity="critical""#, "critical", ""),
            ("severity=critical", r#"severity="critical""#, "critical", "Critical"),
            (r#"severity!="info""#, r#"severity!="info""#, "", "info"),
            (r#"severity=~"warning|critical""#, r#"severity=~"warning|critical""#, "warning", "warnings"),
            (r#"name!~"db.*""#, r#"name!~"db.*""#, "web-db", "db-1"),
            (r#"name=~".*""#, r#"name=~".*""#, "", "\u{0}never\u{0}"),
            (r#"name=~"a.b""#, r#"name=~"a.b""#, "a\nb", "ab"),
            (r#"name=~"web\d+""#, r#"name=~"web\\d+""#, "web12", "webd"),
            (r#"name="a\"b\\c""#, r#"name="a\"b\\c""#, "a\"b\\c", "a"),
            (r#"com.docker.compose.service="x""#, r#"com.docker.compose.service="x""#, "x", ""),
            (r#""odd name"="x""#, r#""odd name"="x""#, "x", ""),
            (r#"absent="""#, r#"absent="""#, "", "x"),
        ] {
            let matcher: Matcher = text.parse().expect(text);
            assert_eq!(matcher.to_string(), shown, "{text}");
            assert!(matcher.matches_value(yes), "{text} {yes}");
            assert!(no.contains("never") || !matcher.matches_value(no), "{text} {no}");
            assert_eq!(serde_json::from_value::<Matcher>(serde_json::json!(text)).expect("text"), matcher);
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, says) in [
            ("", "label's name"),
            ("1a=\"x\"", "label's name"),
            ("severity", "one of ="),
            ("severity~=\"x\"", "one of ="),
            ("severity==\"x\"", "operators are"),
            ("severity=", "value is missing"),
            ("severity='x'", "must be double"),
            ("severity=\"x", "closing quote"),
            ("severity=\"x\" y", "follows the closing quote"),
            ("a=\"x\",b=\"y\"", "split it at the comma"),
            ("{a=\"x\"}", "braces"),
            ("a=~\"(\"", "does not compile: unclosed group"),
            ("a=~\"a)|(b\"", "does not compile: unopened group"),
            ("a=~\"(a{1000}){1000}\"", "does not compile"),
            ("a=~\"(?=b)\"", "look-around"),
        ] {
            let error = text.parse::<Matcher>().expect_err(text);
            assert!(error.0.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn an_absent_label_is_the_empty_text() {
        let labels = BTreeMap::from([("severity".to_owned(), "info".to_owned())]);
        for (text, want) in [
            (r#"severity=~"warning|critical""#, Some(r#"severity="info" does not match severity=~"warning|critical""#)),
            (r#"team="a""#, Some(r#"there is no label team, so team="a" does not match"#)),
            (r#"team!="a""#, None),
            (r#"severity="info""#, None),
        ] {
            let matcher: Matcher = text.parse().expect(text);
            assert_eq!(matcher.mismatch(&labels).as_deref(), want, "{text}");
            assert_eq!(matcher.matches(&labels), want.is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn matchers_round_trip(label in ".+", op in 0usize..4, value in ".*") {
            if let Ok(matcher) = Matcher::new(label, Op::ALL[op].1, value) {
                prop_assert_eq!(matcher.to_string().parse::<Matcher>(), Ok(matcher));
            }
        }

        #[test]
        fn nothing_panics(text in "[a-z\"\\\\=!~{},.(n ]*") {
            if let Ok(matcher) = text.parse::<Matcher>() {
                prop_assert_eq!(matcher.to_string().parse::<Matcher>(), Ok(matcher));
            }
        }
    }
}
