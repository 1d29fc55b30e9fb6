//! Writing expectations: what came of a scenario as the last part of its file, the rest byte for byte as it was.
//!
//! Deliberately not here: reading, and writing files.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sandbook_core::run::Decision;
use sandbook_core::target::{Kind, Target};
use serde_json::Value;
use toml::de::DeTable;

use super::format::{Expect, find};
use super::judge::{counted, went_ahead};
use super::play::Played;
use crate::plan::EffectView;

/// The part `[expect]` for what came of a scenario. Of the expectations so far, notes and reads that still hold are kept.
pub fn expectations(played: &Played, so_far: Option<&Expect>) -> String {
    let mut text = "[expect]\n".to_owned();
    let _ = writeln!(text, "outcome = {}", quoted(played.outcome.name()));
    let _ = writeln!(text, "sentence = {}", quoted(&played.sentence));
    let mut lines: Vec<String> = played.effects.iter().filter(|effect| counted(&effect.effect)).map(effect).collect();
    let reads: BTreeSet<&str> = so_far
        .and_then(|expect| expect.effects.as_ref())
        .into_iter()
        .flatten()
        .map(|expected| expected.get_ref().effect.as_str())
        .filter(|name| !counted(name))
        .collect();
    for read in reads {
        let happened: Vec<&EffectView> = played.effects.iter().filter(|effect| effect.effect == read).collect();
        let went_ahead = happened.iter().any(|effect| went_ahead(&effect.decision));
        match happened.first() {
            Some(_) if went_ahead => lines.push(format!("{{ effect = {} }}", quoted(read))),
            Some(refused) => {
                let decision = quoted(&refused.decision);
                lines.push(format!("{{ effect = {}, decision = {decision} }}", quoted(read)));
            }
            None => {}
        }
    }
    if lines.is_empty() {
        text.push_str("effects = []\n");
    } else {
        let _ = writeln!(text, "effects = [\n    {},\n]", lines.join(",\n    "));
    }
    let notes: Vec<String> = so_far
        .map_or(&[][..], |expect| &expect.notes)
        .iter()
        .filter(|note| played.notes.iter().any(|seen| seen.text.contains(note.as_str())))
        .map(|note| quoted(note))
        .collect();
    if !notes.is_empty() {
        let _ = writeln!(text, "notes = [{}]", notes.join(", "));
    }
    let messages = played.after.notifications.len();
    if messages > 0 {
        let _ = writeln!(text, "messages = {messages}");
    }
    for name in touched(played, so_far) {
        text.push_str(&container(played, &name));
    }
    text
}

/// Containers that were changed, and those that were looked at so far.
fn touched(played: &Played, so_far: Option<&Expect>) -> BTreeSet<String> {
    let changed =
        played.effects.iter().filter(|effect| effect.class == "mutate").filter_map(|effect| effect.target.as_ref());
    let known = so_far.into_iter().flat_map(|expect| expect.containers.keys().map(|name| name.get_ref().clone()));
    changed.map(ToString::to_string).chain(known).collect()
}

fn container(played: &Played, name: &str) -> String {
    let Some(container) = find(&played.after, name) else { return String::new() };
    let word = |value: Value| quoted(value.as_str().unwrap_or_default());
    let mut text = format!("\n[expect.containers.{}]\n", quoted(name));
    let _ = writeln!(text, "status = {}", word(serde_json::to_value(container.status).unwrap_or_default()));
    if container.has_healthcheck {
        let _ = writeln!(text, "health = {}", word(serde_json::to_value(container.health).unwrap_or_default()));
    }
    text
}

fn effect(effect: &EffectView) -> String {
    let mut text = format!("{{ effect = {}", quoted(&effect.effect));
    if let Some(target) = &effect.target {
        let _ = write!(text, ", target = {}", quoted(&named(target)));
    }
    if effect.decision != Decision::Allow.name() {
        let _ = write!(text, ", decision = {}", quoted(&effect.decision));
    }
    let mut arguments = effect.arguments.clone();
    if let Value::Object(map) = &mut arguments {
        map.remove("container");
    }
    if let Some(inline) = inline(&arguments) {
        let _ = write!(text, ", arguments = {inline}");
    }
    text.push_str(" }");
    text
}

/// A target as a scenario names it: a host by its name alone.
fn named(target: &Target) -> String {
    match target.kind {
        Kind::Host => target.host.clone(),
        Kind::Container | Kind::Service | Kind::None => target.to_string(),
    }
}

/// A value on one line; `None` for nothing and for what has nothing in it. Numbers TOML cannot hold are left out.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(map) => {
            let parts = map.iter().filter_map(|(key, value)| Some(format!("{} = {}", bare(key), inline(value)?)));
            let parts: Vec<String> = parts.collect();
            (!parts.is_empty()).then(|| format!("{{ {} }}", parts.join(", ")))
        }
        Value::Array(items) => Some(format!("[{}]", items.iter().filter_map(inline).collect::<Vec<_>>().join(", "))),
        Value::String(text) => Some(quoted(text)),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => None,
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
    }
}

fn bare(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain { key.to_owned() } else { quoted(key) }
}

/// A text in TOML, on one line.
pub(super) fn quoted(text: &str) -> String {
    // JSON escapes all that TOML wants escaped but one.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The file with other expectations.
///
/// # Errors
/// When `[expect]` is not the last part of the file; the message says what comes after it.
pub fn updated(text: &str, expectations: &str) -> Result<String, String> {
    let table = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    let Some((expect, _)) = table.get_ref().iter().find(|(key, _)| key.get_ref() == "expect") else {
        return Ok(written(text, expectations));
    };
    let start = text[..expect.span().start].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[..start];
    let table = |text: &str| toml::from_str::<toml::Table>(text).map_err(|error| error.message().to_owned());
    let (mut whole, rest) = (table(text)?, table(before)?);
    whole.remove("expect");
    if whole != rest {
        return Err("`[expect]` must be the last part of the file, something comes after it".to_owned());
    }
    Ok(written(before, expectations))
}

/// Expectations behind everything else, an empty line between.
pub fn written(before: &str, expectations: &str) -> String {
    let gap = match before {
        "" => "",
        before if before.ends_with("\n\n") => "",
        before if before.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    format!("{before}{gap}{expectations}")
}
