//! A runbook's parameters: what the manifest declares, and typing what a person, a route or a program gave as text.
//!
//! Values serialise exactly as the guest contract's variant `value`: a size crosses as an integer of bytes, a choice as its
//! text. Deliberately not here: what values mean beyond their bounds; a runbook checks that.

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::{
    duration::{Bytes, DurationMs},
    effect::closest,
    problem::quote,
};

/// One text value, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// A pattern's compiled size, in bytes: patterns come from strangers.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterType {
    /// Any text up to [`TEXT_BYTES_MAX`].
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A finite number.
    Number,
    /// True or false.
    Flag,
    /// Such as `10s`.
    Duration,
    /// Such as `64MiB`.
    Size,
    /// One of the manifest's `choices`.
    Choice,
}

impl ParameterType {
    /// Every type.
    pub const ALL: [ParameterType; 7] = [
        ParameterType::Text,
        ParameterType::Integer,
        ParameterType::Number,
        ParameterType::Flag,
        ParameterType::Duration,
        ParameterType::Size,
        ParameterType::Choice,
    ];
    /// Words of other languages that mean one of them.
    pub const OTHER_WORDS: [(&str, ParameterType); 4] = [
        ("string", ParameterType::Text),
        ("boolean", ParameterType::Flag),
        ("bool", ParameterType::Flag),
        ("enum", ParameterType::Choice),
    ];

    /// The word in manifests.
    pub fn name(self) -> &'static str {
        match self {
            ParameterType::Text => "text",
            ParameterType::Integer => "integer",
            ParameterType::Number => "number",
            ParameterType::Flag => "flag",
            ParameterType::Duration => "duration",
            ParameterType::Size => "size",
            ParameterType::Choice => "choice",
        }
    }

    /// What a value looks like, for messages.
    pub fn example(self) -> &'static str {
        match self {
            ParameterType::Text => "a text of at most 65536 bytes",
            ParameterType::Integer => "a whole number like 3",
            ParameterType::Number => "a number like 0.5",
            ParameterType::Flag => "true or false",
            ParameterType::Duration => "a duration like 10s or 1h30m",
            ParameterType::Size => "a size like 64MiB",
            ParameterType::Choice => "one of the choices",
        }
    }

    /// Whether `min` and `max` mean something.
    pub fn is_ordered(self) -> bool {
        match self {
            ParameterType::Integer | ParameterType::Number | ParameterType::Duration | ParameterType::Size => true,
            ParameterType::Text | ParameterType::Flag | ParameterType::Choice => false,
        }
    }

    /// A value of this type from its text.
    pub fn value_from(self, text: &str) -> Option<ParameterValue> {
        match self {
            ParameterType::Text | ParameterType::Choice if text.len() > TEXT_BYTES_MAX => None,
            ParameterType::Text | ParameterType::Choice => Some(ParameterValue::Text(text.to_owned())),
            ParameterType::Integer => text.trim().parse().ok().map(ParameterValue::Integer),
            ParameterType::Number => {
                text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(ParameterValue::Number)
            }
            ParameterType::Flag => text.trim().parse().ok().map(ParameterValue::Flag),
            ParameterType::Duration => {
                text.parse().ok().map(|DurationMs(milliseconds)| ParameterValue::Duration(milliseconds))
            }
            ParameterType::Size => {
                let Bytes(bytes) = text.parse().ok()?;
                i64::try_from(bytes).ok().map(ParameterValue::Integer)
            }
        }
    }
}

/// A typed value: the guest contract's variant `value`, such as `{"duration": 10000}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterValue {
    /// Any text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// Milliseconds.
    Duration(u64),
}

impl ParameterValue {
    /// Whether it is less than another of the same type.
    pub fn is_less(&self, other: &ParameterValue) -> bool {
        match (self, other) {
            (ParameterValue::Integer(one), ParameterValue::Integer(other)) => one < other,
            (ParameterValue::Number(one), ParameterValue::Number(other)) => one < other,
            (ParameterValue::Duration(one), ParameterValue::Duration(other)) => one < other,
            (_, _) => false,
        }
    }

    /// As a person types it.
    pub fn text(&self, type_: ParameterType) -> String {
        match self {
            ParameterValue::Text(text) => text.clone(),
            ParameterValue::Integer(bytes) if type_ == ParameterType::Size => Bytes(bytes.unsigned_abs()).to_string(),
            ParameterValue::Integer(number) => number.to_string(),
            ParameterValue::Number(number) => number.to_string(),
            ParameterValue::Flag(flag) => flag.to_string(),
            ParameterValue::Duration(ms) => DurationMs(*ms).to_string(),
        }
    }
}

/// A declared parameter. Without a default, every run must be given one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// What it holds.
    #[serde(rename = "type")]
    pub type_: ParameterType,
    /// What it is when nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<ParameterValue>,
    /// Nothing less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<ParameterValue>,
    /// Nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<ParameterValue>,
    /// A regular expression that the whole text matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What a choice is among.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What it is for; may be empty.
    pub summary: String,
}

/// A parameter that does not fit: one line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// Its name.
    pub parameter: String,
    /// What it must be; absent when there is no such parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was given; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// All of that in a sentence.
    pub message: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A pattern that must match as a whole.
pub(super) fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES_MAX).build()
}

impl Parameter {
    /// What a value must be, with its bounds: `a whole number like 3, from 1 to 5`.
    pub fn expected(&self) -> String {
        let shown = |value: &Option<ParameterValue>| value.as_ref().map(|value| value.text(self.type_));
        let bounds = match (shown(&self.min), shown(&self.max)) {
            (Some(min), Some(max)) => format!(", from {min} to {max}"),
            (Some(min), None) => format!(", at least {min}"),
            (None, Some(max)) => format!(", at most {max}"),
            (None, None) => String::new(),
        };
        match (self.type_, &self.pattern) {
            (ParameterType::Choice, _) => format!("one of {}", self.choices.join(", ")),
            (type_, Some(pattern)) => format!("{} that matches {pattern}", type_.example()),
            (type_, None) => format!("{}{bounds}", type_.example()),
        }
    }

    /// The value of a text, if it is one and within the bounds.
    pub fn value_from(&self, text: &str) -> Option<ParameterValue> {
        self.type_.value_from(text).filter(|value| self.admits(value))
    }

    /// Whether a value of its type is within the bounds.
    pub fn admits(&self, value: &ParameterValue) -> bool {
        let right = match (value, self.type_) {
            (ParameterValue::Text(text), ParameterType::Choice) => self.choices.contains(text),
            (ParameterValue::Text(text), _) => match &self.pattern {
                // One that cannot be read was reported with the manifest and admits nothing.
                Some(pattern) => whole(pattern).is_ok_and(|pattern| pattern.is_match(text)),
                None => true,
            },
            (_, _) => true,
        };
        let within = |bound: &Option<ParameterValue>, less: bool| match bound {
            Some(bound) if less => !value.is_less(bound),
            Some(bound) => !bound.is_less(value),
            None => true,
        };
        right && within(&self.min, true) && within(&self.max, false)
    }
}

impl Manifest {
    /// The values of a run, in the manifest's order: texts typed, defaults filled in. The errors name every parameter
    /// that is unknown, missing, of another type or out of bounds.
    pub fn parameters_from(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<IndexMap<String, ParameterValue>, Vec<Misfit>> {
        let unknown = given.iter().filter(|(name, _)| !self.parameters.contains_key(*name));
        let mut misfits: Vec<Misfit> = unknown.map(|(name, text)| self.unknown(name, text)).collect();
        let mut values = IndexMap::new();
        for (name, parameter) in &self.parameters {
            let expected = || Some(parameter.expected());
            match (given.get(name), &parameter.default) {
                (Some(text), _) => match parameter.value_from(text) {
                    Some(value) => drop(values.insert(name.clone(), value)),
                    None => {
                        let message =
                            format!("parameter `{name}` is {}, it must be {}", quote(text), parameter.expected());
                        let given = Some(text.clone());
                        misfits.push(Misfit { parameter: name.clone(), expected: expected(), given, message });
                    }
                },
                (None, Some(default)) => drop(values.insert(name.clone(), default.clone())),
                (None, None) => {
                    let message =
                        format!("parameter `{name}` is missing: give it as {name}=… ({})", parameter.expected());
                    misfits.push(Misfit { parameter: name.clone(), expected: expected(), given: None, message });
                }
            }
        }
        if misfits.is_empty() { Ok(values) } else { Err(misfits) }
    }

    fn unknown(&self, name: &str, text: &str) -> Misfit {
        let hint = match closest(name, self.parameters.keys().map(String::as_str)) {
            Some(known) => format!("; did you mean `{known}`?"),
            None if self.parameters.is_empty() => "; it takes none".to_owned(),
            None => {
                let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                format!("; it takes {}", known.join(", "))
            }
        };
        let message = format!("runbook {} has no parameter {}{hint}", self.name, quote(name));
        Misfit { parameter: name.to_owned(), expected: None, given: Some(text.to_owned()), message }
    }
}
