//! `[parameters.NAME]`: the declarations as TOML has them, each with its bounds checked against its type and default.
//!
//! Deliberately not here: typing what a run is given; see [`super::parameter`].

use indexmap::IndexMap;
use toml::{Spanned, de::DeValue};

use super::parameter::whole;
use super::parse::word;
use super::read::{self, Reader, Section};
use super::{Parameter, ParameterType, ParameterValue};
use crate::problem::quote;

/// Choices of one parameter: more are no choice for a person.
const CHOICES_MAX: usize = 100;

pub(super) fn parameters(reader: &mut Reader<'_>, root: &Section<'_>) -> IndexMap<String, Parameter> {
    let Some(section) = reader.table(root, "parameters") else { return IndexMap::new() };
    // Tables come sorted; people expect their own order.
    let mut names: Vec<_> = section.table.keys().collect();
    names.sort_by_key(|name| name.span().start);
    let mut parameters = IndexMap::new();
    for name in names {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let text = name.get_ref();
        if text.len() > 63 || !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.bytes().all(plain) {
            let message =
                format!("parameter {}: a name must be up to 63 of a-z, 0-9 and _, a letter first", quote(text));
            reader.error(read::BAD_VALUE, &name.span(), message, String::new());
        }
        if let Some(parameter) = reader.table(&section, text).and_then(|section| parameter(reader, &section)) {
            parameters.insert(text.to_string(), parameter);
        }
    }
    parameters
}

fn parameter(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Parameter> {
    reader.known_keys(section, &["type", "default", "min", "max", "pattern", "choices", "summary"]);
    if section.find("type").is_none() {
        let names = ParameterType::ALL.map(ParameterType::name).join(", ");
        reader.missing(section, "type", &format!("one of {names}"));
    }
    let summary = reader.string(section, "summary").map(|(text, _)| text).unwrap_or_default();
    let type_ = type_of(reader, section)?;
    let mut parameter = Parameter {
        type_,
        default: None,
        min: bound(reader, section, type_, "min"),
        max: bound(reader, section, type_, "max"),
        pattern: pattern(reader, section, type_),
        choices: choices(reader, section, type_),
        summary,
    };
    if let (Some(min), Some(max)) = (&parameter.min, &parameter.max)
        && max.is_less(min)
    {
        let message = format!("`{}` is less than `min`: nothing fits", section.key("max"));
        let span = section.find("max").map_or(section.span.clone(), Spanned::span);
        reader.error(read::PARAMETER, &span, message, String::new());
        (parameter.min, parameter.max) = (None, None);
    }
    parameter.default = default(reader, section, &parameter);
    Some(parameter)
}

fn type_of(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<ParameterType> {
    let written = section.find("type").and_then(|value| value.get_ref().as_str());
    let other = ParameterType::OTHER_WORDS.iter().find(|(word, _)| Some(*word) == written);
    match other {
        Some((_, type_)) => Some(*type_),
        None => word(reader, section, "type", &ParameterType::ALL.map(|type_| (type_.name(), type_))),
    }
}

fn default(reader: &mut Reader<'_>, section: &Section<'_>, parameter: &Parameter) -> Option<ParameterValue> {
    let value = section.find("default")?;
    let default = value_of(parameter.type_, value.get_ref()).filter(|value| parameter.admits(value));
    if default.is_none() {
        let message = format!("`{}` must be {}", section.key("default"), parameter.expected());
        reader.error(read::PARAMETER, &value.span(), message, format!("its type is {}", parameter.type_.name()));
    }
    default
}

fn bound(reader: &mut Reader<'_>, section: &Section<'_>, type_: ParameterType, key: &str) -> Option<ParameterValue> {
    let value = section.find(key)?;
    if !type_.is_ordered() {
        needless(reader, section, key, type_, "integer, number, duration and size");
        return None;
    }
    let bound = value_of(type_, value.get_ref());
    if bound.is_none() {
        let message = format!("`{}` must be {}", section.key(key), type_.example());
        reader.error(read::PARAMETER, &value.span(), message, format!("the type is {}", type_.name()));
    }
    bound
}

fn pattern(reader: &mut Reader<'_>, section: &Section<'_>, type_: ParameterType) -> Option<String> {
    let (text, span) = reader.string(section, "pattern")?;
    if type_ != ParameterType::Text {
        needless(reader, section, "pattern", type_, "text");
        return None;
    }
    if let Err(error) = whole(&text) {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message =
            format!("`{}` is {}, which is no regular expression: {why}", section.key("pattern"), quote(&text));
        reader.error(read::BAD_VALUE, &span, message, String::new());
        return None;
    }
    Some(text)
}

fn choices(reader: &mut Reader<'_>, section: &Section<'_>, type_: ParameterType) -> Vec<String> {
    let given = reader.strings(section, "choices");
    let place = section.find("choices").map_or(section.span.clone(), Spanned::span);
    match (type_, given.len()) {
        (ParameterType::Choice, 0) => {
            reader.missing(section, "choices", "write choices = [\"fast\", \"careful\"]");
        }
        (ParameterType::Choice, count) if count > CHOICES_MAX => {
            let message = format!("`{}` has {count} texts, at most {CHOICES_MAX} are allowed", section.key("choices"));
            reader.error(read::LIMIT, &place, message, String::new());
        }
        (ParameterType::Choice, _) | (_, 0) => {}
        (_, _) => needless(reader, section, "choices", type_, "choice"),
    }
    for (index, (text, span)) in given.iter().enumerate() {
        if text.is_empty() || given[..index].iter().any(|(other, _)| other == text) {
            let message = format!("`{}` holds {} twice, or nothing", section.key("choices"), quote(text));
            reader.error(read::BAD_VALUE, span, message, String::new());
        }
    }
    given.into_iter().map(|(text, _)| text).collect()
}

/// A bound that the type does not have would be taken for one that holds.
fn needless(reader: &mut Reader<'_>, section: &Section<'_>, key: &str, type_: ParameterType, of: &str) {
    let span = section.find(key).map_or(section.span.clone(), Spanned::span);
    let message = format!("`{}` means nothing for the type {}", section.key(key), type_.name());
    reader.error(read::PARAMETER, &span, message, format!("it belongs to {of}"));
}

/// A value as TOML has it: numbers and flags bare, texts, durations and sizes quoted; a size may be a number of bytes.
fn value_of(type_: ParameterType, value: &DeValue<'_>) -> Option<ParameterValue> {
    match type_ {
        ParameterType::Text | ParameterType::Choice | ParameterType::Duration => {
            value.as_str().and_then(|text| type_.value_from(text))
        }
        ParameterType::Size => match read::integer(value) {
            Some(bytes) => u64::try_from(bytes).is_ok().then_some(ParameterValue::Integer(bytes)),
            None => value.as_str().and_then(|text| type_.value_from(text)),
        },
        ParameterType::Integer => read::integer(value).map(ParameterValue::Integer),
        ParameterType::Number => match value {
            DeValue::Float(number) => type_.value_from(number.as_str()),
            DeValue::Integer(_) => read::integer(value).map(|number| ParameterValue::Number(number as f64)),
            DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                None
            }
        },
        ParameterType::Flag => value.as_bool().map(ParameterValue::Flag),
    }
}
