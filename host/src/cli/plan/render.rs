//! A plan as a person reviews it, in the manner of tools that plan infrastructure: what is read, what would be changed
//! and how, what would ask or be refused, what is only assumed, and one line that sums it up.
//!
//! Works from the API's JSON and nothing else. Deliberately not here: fetching, and deciding.

use serde_json::Value;

use crate::cli::screen::{Ink, Paint};
use crate::cli::text::{clean, count, digest, field, shell, short, suggested, target, took, without_suggestion};
use crate::cli::timeline::of_effect;

/// Characters of a note that are shown: its first line says what it is.
const NOTE_CHARS_MAX: usize = 120;
/// Characters of a value before or after a change.
const VALUE_CHARS_MAX: usize = 60;
/// Where the text of an effect begins, after its sign.
const INDENT: usize = 4;
/// Where what belongs to it begins.
const BELOW: usize = 6;

/// What stands before a person's name in the place of a policy.
const APPLIED: &str = "applied by ";

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Options<'a> {
    pub(in crate::cli) ink: Ink,
    /// Columns of the terminal; without it lines are as long as they are.
    pub(in crate::cli) width: Option<usize>,
    /// The command as it was typed.
    pub(in crate::cli) typed: &'a str,
}

struct Page<'a> {
    options: Options<'a>,
    text: String,
}

/// The whole plan, up to the line that sums it up.
pub(in crate::cli) fn render(plan: &Value, options: Options<'_>) -> String {
    let mut page = Page { options, text: String::new() };
    page.header(plan);
    let notes = list(plan, "notes");
    let mut told = notes.iter().peekable();
    for effect in list(plan, "effects") {
        while let Some(note) = told.next_if(|note| note["before_slot"].as_u64() <= effect["slot"].as_u64()) {
            page.note(note);
        }
        page.effect(effect);
    }
    told.for_each(|note| page.note(note));
    page.ending(plan);
    page.text
}

impl Page<'_> {
    fn paint(&self, paint: Paint, text: &str) -> String {
        self.options.ink.paint(paint, text)
    }

    /// One line, broken between words where it would not fit; what follows is indented as far.
    fn line(&mut self, indent: usize, sign: &str, paint: Paint, text: &str) {
        let text = clean(text);
        let room = self.options.width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
        for (number, part) in wrapped(&text, room).into_iter().enumerate() {
            let lead = if number == 0 && !sign.is_empty() {
                format!(
                    "{:>width$} ",
                    self.paint(paint, sign),
                    width = indent - 1 + self.paint(paint, sign).len() - sign.len()
                )
            } else {
                " ".repeat(indent)
            };
            let shown = self.paint(paint, &part);
            self.text.push_str(&format!("{lead}{shown}\n"));
        }
    }

    fn header(&mut self, plan: &Value) {
        let (name, stage) = (clean(&field(plan, "runbook")).into_owned(), field(plan, "stage"));
        self.text.push_str(&format!(
            "{}@{} {} {}\n\n",
            self.paint(Paint::Bold, &name),
            clean(&field(plan, "version")),
            self.paint(Paint::Dim, &digest(&field(plan, "digest"))),
            self.paint(crate::cli::look::paint_state(&stage), &clean(&stage)),
        ));
        let until = format!("{}, to be applied until {}", field(plan, "plan"), field(plan, "expires_at"));
        let who = format!("{}, who permits its changes by applying it", field(plan, "by"));
        for (title, value) in [
            ("target", target(&plan["target"])),
            ("alert", field(plan, "alert")),
            ("plan", until),
            ("for", if plan["to_apply"] == true { who } else { String::new() }),
        ] {
            if !value.is_empty() {
                let title = self.paint(Paint::Dim, &format!("{title:<7}"));
                self.text.push_str(&format!("  {title} {}\n", clean(&value)));
            }
        }
        self.text.push('\n');
    }

    fn note(&mut self, note: &Value) {
        let what = match field(note, "effect").as_str() {
            "log.attach-evidence" => "evidence: ",
            "log.progress" => "progress: ",
            _ => "",
        };
        let text = format!("{what}{}", short(&field(note, "text"), NOTE_CHARS_MAX));
        self.line(BELOW, "", Paint::Dim, &text);
    }

    fn effect(&mut self, effect: &Value) {
        let (sign, paint) = sign(effect);
        let mut text = said(effect);
        if let Some(answer) = answer(effect) {
            text.push_str(&format!(": {answer}"));
        }
        if let Some(doubt) = doubt(effect) {
            text.push_str(&format!(" ({doubt})"));
        }
        self.line(INDENT, sign, paint, &text);
        for (name, before, after) in differences(effect) {
            self.line(BELOW, "", Paint::Plain, &format!("{name:<13} {before} → {after}"));
        }
        if let Some(drift) = effect["drift"].as_str() {
            self.line(BELOW, "", Paint::Warn, &format!("drift: {drift}"));
        }
        let policy: Vec<&str> = effect["policy"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let said =
            |id: &&str| id.strip_prefix(APPLIED).map_or((*id).to_owned(), |who| format!("{who}, by applying it"));
        let policy = policy.iter().map(said).collect::<Vec<_>>().join(", ");
        match sign {
            "~" if !policy.is_empty() => self.line(BELOW, "", Paint::Dim, &format!("permitted by {policy}")),
            "?" if policy.is_empty() => self.line(BELOW, "", Paint::Warn, "would ask a person"),
            "?" => self.line(BELOW, "", Paint::Warn, &format!("would ask a person, by {policy}")),
            _ => {}
        }
        let Some(error) = effect["error"].as_str() else { return };
        let (word, paint) = if sign == "!" { ("refused", Paint::Bad) } else { ("failed", Paint::Warn) };
        self.line(BELOW, "", paint, &format!("{word}: {}", without_suggestion(error)));
        if let Some(line) = suggested(error) {
            // To be typed, so it is never broken.
            let to_add = self.paint(Paint::Good, "to allow it:");
            self.text.push_str(&format!("{}{to_add} {}\n", " ".repeat(BELOW), clean(&line)));
        }
    }

    fn ending(&mut self, plan: &Value) {
        if list(plan, "effects").is_empty() && list(plan, "notes").is_empty() {
            self.line(INDENT, "", Paint::Dim, "it asks for nothing");
        }
        let outcome = field(plan, "outcome");
        let said = [outcome.clone(), field(plan, "sentence")].into_iter().filter(|part| !part.is_empty());
        let said = said.collect::<Vec<_>>().join(": ");
        self.text.push('\n');
        self.line(0, "", crate::cli::look::paint_state(&outcome), &said);
        if let Some(place) = plan["place"].as_object().filter(|place| place["line"].as_u64() > Some(0)) {
            let at = format!("at main.rhai:{}:{}: {}", place["line"], place["column"], field(&plan["place"], "source"));
            self.line(2, "", Paint::Dim, &at);
        }
        for (effect, words) in assumed(plan) {
            self.line(
                0,
                "",
                Paint::Warn,
                &format!("assumed: {effect} answers {words}; nobody can know it after a change"),
            );
            let typed = self.options.typed;
            if let Some(other) =
                other_branch(&effect, &words).filter(|_| !typed.contains(&format!("--assume {effect}")))
            {
                self.text.push_str(&format!(
                    "  {} {} --assume {effect}={other}\n",
                    self.paint(Paint::Dim, "the other branch:"),
                    clean(typed)
                ));
            }
        }
        self.text.push_str(&format!("\n{}\n", summary(plan)));
    }
}

/// `Plan: 1 to change, 0 to ask, 0 refused, 3 read; incomplete: 1 answer is assumed`.
fn summary(plan: &Value) -> String {
    let number = |key: &str| plan["summary"][key].as_u64().unwrap_or(0);
    let tells = match number("tells") {
        0 => String::new(),
        told => format!(", {} to send", count(usize::try_from(told).unwrap_or(usize::MAX), "message")),
    };
    let assumed = match number("assumed") {
        0 if plan["complete"] == false => "; incomplete: it was ended before its end".to_owned(),
        0 => String::new(),
        1 => "; incomplete: 1 answer is assumed".to_owned(),
        several => format!("; incomplete: {several} answers are assumed"),
    };
    let (changes, asks, refused, reads) = (number("changes"), number("asks"), number("refused"), number("reads"));
    format!("Plan: {changes} to change, {asks} to ask, {refused} refused, {reads} read{tells}{assumed}")
}

/// What makes most sense now.
pub(super) fn next(plan: &Value, typed: &str) -> String {
    let number = |key: &str| plan["summary"][key].as_u64().unwrap_or(0);
    let errors = || list(plan, "effects").iter().filter(|effect| sign(effect).0 == "!");
    if plan["fault"].is_string() || plan["outcome"] == "failed" {
        return "mend the runbook, then plan it again".to_owned();
    }
    if let Some(line) = errors().find_map(|effect| suggested(effect["error"].as_str()?)) {
        let apply = "; or plan it as you would apply it yourself: ";
        let unpermitted = line.starts_with("sandbook grant ") && !typed.contains("--to-apply");
        return if unpermitted { format!("{line}{apply}{typed} --to-apply") } else { line };
    }
    if number("refused") > 0 {
        return "look at what refuses it: sandbook brakes, sandbook pauses".to_owned();
    }
    if number("changes") + number("asks") > 0 {
        return format!("sandbook apply {}", shell(&field(plan, "plan")));
    }
    match plan["outcome"].as_str() {
        Some("no-target" | "ambiguous-target") => "sandbook targets, then name one".to_owned(),
        _ => "nothing: it would change nothing".to_owned(),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn sign(effect: &Value) -> (&'static str, Paint) {
    let class = effect["class"].as_str().unwrap_or_default();
    match (effect["decision"].as_str().unwrap_or_default(), class) {
        ("deny" | "limited", _) => ("!", Paint::Bad),
        ("ask", _) => ("?", Paint::Warn),
        (_, "mutate") => ("~", Paint::Bold),
        (_, "tell") => (">", Paint::Plain),
        (_, _) => ("", Paint::Plain),
    }
}

/// What it does, in a sentence; waiting in fewer words.
fn said(effect: &Value) -> String {
    match (effect["effect"].as_str(), effect["arguments"]["duration_ms"].as_u64()) {
        (Some("clock.sleep"), Some(ms)) => format!("wait {}", took(ms)),
        (_, _) => field(effect, "sentence"),
    }
}

/// What a read or probe answered. Changes show what they change, and refusals why.
fn answer(effect: &Value) -> Option<String> {
    let class = effect["class"].as_str().unwrap_or_default();
    let result = effect.get("result").filter(|result| !result.is_null())?;
    let told = matches!(class, "observe" | "egress" | "state")
        || effect["effect"] == "docker.exec"
        || effect["effect"] == "human.ask";
    let words = of_effect(&field(effect, "effect"), result);
    Some(words).filter(|words| told && !words.is_empty())
}

fn doubt(effect: &Value) -> Option<&str> {
    let waits = effect["effect"] == "clock.sleep";
    effect["certainty"].as_str().filter(|certainty| *certainty != "real" && !waits && sign(effect).0 != "!")
}

/// The parts of the state that a change changes: name, before, after.
fn differences(effect: &Value) -> Vec<(String, String, String)> {
    let (before, after) = (effect["before"].as_object(), effect["after"].as_object());
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let said = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "none".to_owned(),
        Some(Value::String(text)) => short(text, VALUE_CHARS_MAX),
        Some(other) => short(&other.to_string(), VALUE_CHARS_MAX),
    };
    let new = after.keys().filter(|name| !before.contains_key(*name));
    before
        .keys()
        .chain(new)
        // Which state it is in is shown even where it stays: restarting keeps a container running.
        .filter(|name| before.get(*name) != after.get(*name) || *name == "status")
        .map(|name| (name.replace('_', " "), said(before.get(name)), said(after.get(name))))
        .collect()
}

/// Effects whose answers are assumed, each once, with the answer in words.
fn assumed(plan: &Value) -> Vec<(String, String)> {
    let mut assumed: Vec<(String, String)> = Vec::new();
    for effect in list(plan, "effects").iter().filter(|effect| effect["certainty"] == "assumed") {
        let name = field(effect, "effect");
        let words = match effect["error"].as_str() {
            Some(error) => format!("an error, {}", short(error, VALUE_CHARS_MAX)),
            None => of_effect(&name, &effect["result"]),
        };
        if assumed.iter().all(|(known, _)| *known != name) {
            assumed.push((name, if words.is_empty() { "nothing".to_owned() } else { words }));
        }
    }
    assumed
}

/// What to assume to see the other branch.
fn other_branch(effect: &str, words: &str) -> Option<&'static str> {
    Some(match effect {
        "net.http-probe" => {
            if words.starts_with("ok") {
                "fail"
            } else {
                "ok"
            }
        }
        "net.tcp-check" => {
            if words.starts_with("open") {
                "closed"
            } else {
                "open"
            }
        }
        "docker.exec" => {
            if words.starts_with("exit code 0") {
                "1"
            } else {
                "0"
            }
        }
        "http.get" | "http.request" => {
            if words.starts_with("200") {
                "500"
            } else {
                "200"
            }
        }
        _ => return None,
    })
}

/// A text in lines of at most so many characters, broken between words; a word that is longer stays whole.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
        }
    }
    lines
}
