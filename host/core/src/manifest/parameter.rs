//! A runbook's parameters: what the manifest declares, and typing what a person, a route or a program gave as text.
//!
//! Values serialise exactly as the guest contract's variant `value`. Deliberately not here: ranges and choices; a runbook
//! checks what its values mean.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::{duration::DurationMs, effect::closest, problem::quote};

/// One text value, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

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
}

impl ParameterType {
    /// Every type.
    pub const ALL: [ParameterType; 5] = [
        ParameterType::Text,
        ParameterType::Integer,
        ParameterType::Number,
        ParameterType::Flag,
        ParameterType::Duration,
    ];

    /// The word in manifests.
    pub fn name(self) -> &'static str {
        match self {
            ParameterType::Text => "text",
            ParameterType::Integer => "integer",
            ParameterType::Number => "number",
            ParameterType::Flag => "flag",
            ParameterType::Duration => "duration",
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
        }
    }

    /// A value of this type from its text.
    pub fn value_from(self, text: &str) -> Option<ParameterValue> {
        match self {
            ParameterType::Text if text.len() > TEXT_BYTES_MAX => None,
            ParameterType::Text => Some(ParameterValue::Text(text.to_owned())),
            ParameterType::Integer => text.trim().parse().ok().map(ParameterValue::Integer),
            ParameterType::Number => {
                text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(ParameterValue::Number)
            }
            ParameterType::Flag => text.trim().parse().ok().map(ParameterValue::Flag),
            ParameterType::Duration => {
                text.parse().ok().map(|DurationMs(milliseconds)| ParameterValue::Duration(milliseconds))
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

/// A declared parameter. Without a default, every run must be given one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// What it holds.
    #[serde(rename = "type")]
    pub type_: ParameterType,
    /// What it is when nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<ParameterValue>,
    /// What it is for; may be empty.
    pub summary: String,
}

impl Manifest {
    /// The values of a run, in the manifest's order: texts typed, defaults filled in. The errors name every parameter
    /// that is unknown, missing or of another type.
    pub fn parameters_from(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<IndexMap<String, ParameterValue>, Vec<String>> {
        let mut errors = Vec::new();
        for name in given.keys().filter(|name| !self.parameters.contains_key(*name)) {
            let hint = match closest(name, self.parameters.keys().map(String::as_str)) {
                Some(known) => format!("; did you mean `{known}`?"),
                None if self.parameters.is_empty() => "; it takes none".to_owned(),
                None => {
                    let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                    format!("; it takes {}", known.join(", "))
                }
            };
            errors.push(format!("runbook {} has no parameter {}{hint}", self.name, quote(name)));
        }
        let mut values = IndexMap::new();
        for (name, parameter) in &self.parameters {
            let value = match (given.get(name), &parameter.default) {
                (Some(text), _) => parameter.type_.value_from(text).ok_or_else(|| {
                    format!("parameter `{name}` is {}, it must be {}", quote(text), parameter.type_.example())
                }),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) => {
                    Err(format!("parameter `{name}` is missing: give it as {name}=… ({})", parameter.type_.example()))
                }
            };
            match value {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(values) } else { Err(errors) }
    }
}
