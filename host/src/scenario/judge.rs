//! Comparing what came of a scenario with what it expects.
//!
//! Deliberately not here: colours.

use sandbook_core::effect::{Class, Effect};
use sandbook_core::run::Decision;
use sandbook_core::target::Reference;
use serde_json::Value;
use toml::Spanned;

use super::format::{Expect, ExpectedContainer, ExpectedEffect, find};
use super::play::Played;
use crate::plan::EffectView;

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Mismatch {
    /// One value.
    Value {
        /// Of what, such as `outcome`.
        what: String,
        /// As in the file.
        expected: String,
        /// As it came.
        actual: String,
    },
    /// The effects, as a whole: what agrees stands among what does not.
    Effects {
        /// In order.
        lines: Vec<Line>,
    },
}

impl Mismatch {
    /// In words, on one line.
    pub fn said(&self) -> String {
        match self {
            Mismatch::Value { what, expected, actual } => format!("{what} is {actual}, expected {expected}"),
            Mismatch::Effects { lines } => {
                let word = |sign| match sign {
                    Sign::Both => "as expected",
                    Sign::Expected => "expected and did not happen",
                    Sign::Happened => "happened and is not expected",
                };
                let lines: Vec<String> =
                    lines.iter().map(|line| format!("{}: {}", word(line.sign), line.text)).collect();
                lines.join("; ")
            }
        }
    }
}

/// A line of compared effects.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// Which side has it.
    pub sign: Sign,
    /// An effect in words.
    pub text: String,
}

/// Which side has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Both.
    Both,
    /// It is expected, and did not happen.
    Expected,
    /// It happened, and is not expected.
    Happened,
}

/// Everything that is not as expected.
pub fn judge(expect: &Expect, played: &Played) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut value = |what: &str, expected: String, actual: String| {
        found.push(Mismatch::Value { what: what.to_owned(), expected, actual });
    };
    if let Some(outcome) = &expect.outcome
        && outcome.get_ref() != played.outcome.name()
    {
        let came = format!("{} ({})", played.outcome.name(), played.sentence);
        value("outcome", outcome.get_ref().clone(), came);
    }
    if let Some(sentence) = &expect.sentence
        && !played.sentence.contains(sentence.as_str())
    {
        value("sentence", sentence.clone(), played.sentence.clone());
    }
    if let Some(messages) = expect.messages
        && messages != played.after.notifications.len()
    {
        value("messages", messages.to_string(), played.after.notifications.len().to_string());
    }
    for note in expect.notes.iter().filter(|note| !played.notes.iter().any(|seen| seen.text.contains(note.as_str()))) {
        let seen: Vec<&str> = played.notes.iter().map(|note| note.text.as_str()).collect();
        let seen = if seen.is_empty() { "no notes".to_owned() } else { seen.join(" | ") };
        value("note", note.clone(), seen);
    }
    for (name, container) in &expect.containers {
        for (what, expected, actual) in states(container, played, name.get_ref()) {
            if expected != actual {
                value(&format!("{} of {}", what, name.get_ref()), expected, actual);
            }
        }
    }
    if let Some(expected) = &expect.effects {
        let lines = compare(expected, &played.effects);
        if lines.iter().any(|line| line.sign != Sign::Both) {
            found.push(Mismatch::Effects { lines });
        }
    }
    found
}

/// What is expected of a container, beside what is so.
fn states(expected: &ExpectedContainer, played: &Played, name: &str) -> Vec<(&'static str, String, String)> {
    let Some(container) = find(&played.after, name) else {
        return vec![("existence", "it exists".to_owned(), "it does not".to_owned())];
    };
    let before = find(&played.before, name).map_or(0, |before| before.starts);
    let word = |value: serde_json::Result<Value>| value.ok().and_then(|value| value.as_str().map(str::to_owned));
    let number = |code: Option<i32>| code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    let mut compared = Vec::new();
    if let Some(status) = &expected.status {
        let actual = word(serde_json::to_value(container.status)).unwrap_or_default();
        compared.push(("status", status.clone(), actual));
    }
    if let Some(health) = &expected.health {
        let actual = word(serde_json::to_value(container.health)).unwrap_or_default();
        compared.push(("health", health.clone(), actual));
    }
    if expected.exit_code.is_some() {
        compared.push(("exit code", number(expected.exit_code), number(container.exit_code)));
    }
    if let Some(starts) = expected.starts {
        compared.push(("starts", starts.to_string(), container.starts.saturating_sub(before).to_string()));
    }
    if let Some(count) = expected.restart_count {
        compared.push(("restart count", count.to_string(), container.restart_count.to_string()));
    }
    compared
}

/// Whether an effect is one that expectations list completely.
pub fn counted(effect: &str) -> bool {
    let Some(info) = Effect::find(effect) else { return true };
    match info.class {
        Class::Mutate | Class::Tell => true,
        Class::Egress => effect == "http.request",
        Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Observe => false,
    }
}

/// Both sides in order; what agrees is aligned so that most does.
fn compare(expected: &[Spanned<ExpectedEffect>], effects: &[EffectView]) -> Vec<Line> {
    let expected: Vec<&ExpectedEffect> = expected.iter().map(Spanned::get_ref).collect();
    let (listed, reads): (Vec<_>, Vec<_>) = expected.into_iter().partition(|effect| counted(&effect.effect));
    let happened: Vec<&EffectView> = effects.iter().filter(|effect| counted(&effect.effect)).collect();
    let mut lines = aligned(&listed, &happened);
    for read in reads.into_iter().filter(|read| !effects.iter().any(|effect| fits(read, effect))) {
        lines.push(Line { sign: Sign::Expected, text: wanted(read) });
    }
    lines
}

fn aligned(listed: &[&ExpectedEffect], happened: &[&EffectView]) -> Vec<Line> {
    // How many agree from here on, at most: the longest common subsequence. A run has some hundred effects.
    let mut agree = vec![vec![0_usize; happened.len() + 1]; listed.len() + 1];
    for i in (0..listed.len()).rev() {
        for j in (0..happened.len()).rev() {
            agree[i][j] = if fits(listed[i], happened[j]) {
                agree[i + 1][j + 1] + 1
            } else {
                agree[i + 1][j].max(agree[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < listed.len() || j < happened.len() {
        if i < listed.len() && j < happened.len() && fits(listed[i], happened[j]) {
            lines.push(Line { sign: Sign::Both, text: said(happened[j]) });
            (i, j) = (i + 1, j + 1);
        } else if j == happened.len() || (i < listed.len() && agree[i + 1][j] >= agree[i][j + 1]) {
            lines.push(Line { sign: Sign::Expected, text: wanted(listed[i]) });
            i += 1;
        } else {
            lines.push(Line { sign: Sign::Happened, text: said(happened[j]) });
            j += 1;
        }
    }
    lines
}

/// Whether an effect went ahead, asked or not.
pub(super) fn went_ahead(decision: &str) -> bool {
    [Decision::Allow.name(), Decision::Ask.name()].contains(&decision)
}

fn fits(expected: &ExpectedEffect, effect: &EffectView) -> bool {
    let decided = match &expected.decision {
        Some(decision) => *decision == effect.decision,
        None => went_ahead(&effect.decision),
    };
    let about = expected.target.as_ref().is_none_or(|name| {
        let Reference { host, name } = Reference::parse(name);
        let target = effect.target.as_ref();
        target.is_some_and(|target| {
            let whole = host.as_ref().is_none_or(|host| *host == target.host) && name == target.name;
            whole || host.as_ref().is_some_and(|host| format!("{host}/{name}") == target.name)
        })
    });
    let arguments = expected.arguments.as_ref().is_none_or(|part| holds(&effect.arguments, part));
    let error = expected
        .error
        .as_ref()
        .is_none_or(|part| effect.error.as_ref().is_some_and(|error| error.contains(part.as_str())));
    expected.effect == effect.effect && decided && about && arguments && error
}

/// Whether a value has all of another: objects may have more keys.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| holds(whole, part)))
        }
        (Value::Number(whole), Value::Number(part)) => whole.as_f64() == part.as_f64(),
        (whole, part) => whole == part,
    }
}

/// What happened, in words.
fn said(effect: &EffectView) -> String {
    let mut text = effect.sentence.clone();
    if effect.decision != Decision::Allow.name() {
        text.push_str(&format!(" [{}]", effect.decision));
    }
    if let Some(error) = &effect.error {
        text.push_str(&format!(": {error}"));
    }
    text
}

/// What is expected, in words.
fn wanted(effect: &ExpectedEffect) -> String {
    let mut text = effect.effect.clone();
    if let Some(target) = &effect.target {
        text.push_str(&format!(" {target}"));
    }
    if let Some(arguments) = &effect.arguments {
        text.push_str(&format!(" with {arguments}"));
    }
    if let Some(decision) = &effect.decision {
        text.push_str(&format!(" [{decision}]"));
    }
    if let Some(error) = &effect.error {
        text.push_str(&format!(": …{error}…"));
    }
    text
}
