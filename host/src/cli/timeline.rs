//! A run as a person reads it at three in the morning: what it was about and why, what it did and when, what came of
//! it, and what to do next.
//!
//! Works from the API's JSON of a run and its journal and from nothing else, so that `show`, `demo` and a support
//! bundle read the same. A field that is absent is left out, never guessed. Deliberately not here: fetching.

use jiff::Timestamp;
use serde_json::Value;

use super::screen::{Cell, Ink, Paint, Table};
use super::text::{
    ago, between_ms, clean, count, digest, field, offset, suggested, target, time, took, without_suggestion,
};

pub(crate) mod answers;
pub(crate) mod fold;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub(in crate::cli) use words::of_effect;

use fold::{Entry, Note, Slot, Story};

/// Lines of an evidence shown without `--full`: the newest are at its end, but the first tell what it is.
const EVIDENCE_LINES: usize = 6;
/// Characters of a line of evidence shown without `--full`.
const LINE_CHARS_MAX: usize = 160;
/// Labels shown of an alert.
const LABELS_MAX: usize = 8;

/// How it is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// With colours.
    pub ink: Ink,
    /// Whole arguments, results and evidence.
    pub full: bool,
    /// What relative times refer to; without it none are shown.
    pub now: Option<Timestamp>,
}

/// The whole story of a run.
pub fn render(run: &Value, records: &[Value], options: Options) -> String {
    let story = Story::fold(run, records);
    let mut text = header(&story, options);
    text.push('\n');
    text.push_str(&timeline(&story, options));
    text.push('\n');
    text.push_str(&answers::answers(&story, options));
    text
}

/// What comes after this run, as a line to type. `show --json` readers and `watch` use it too.
pub fn next_step(run: &Value, records: &[Value]) -> String {
    answers::next(&Story::fold(run, records))
}

/// What the run says of itself, without the line to type that [`next_step`] repeats.
pub(super) fn sentence(run: &Value) -> String {
    clean(&Story::fold(run, &[]).sentence).into_owned()
}

fn header(story: &Story, options: Options) -> String {
    let ink = options.ink;
    let word = story.word();
    let mut title =
        format!("{}  {}", ink.paint(Paint::Bold, &clean(&story.runbook)), ink.paint(paint_of(&word), &word));
    if let Some(target) = &story.target {
        title.push_str(&format!("  {}", clean(target)));
    }
    let mut lines = format!("{title}\n\n");
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push_str(&format!("  {} {value}\n", ink.paint(Paint::Dim, &format!("{name:<9}"))));
        }
    };
    fact(
        "run",
        facts(&[clean(&story.run).into_owned(), clean(&field(&story.raw, "mode")).into_owned(), when(story, options)]),
    );
    let version = [clean(&story.version).into_owned(), digest(&story.digest)];
    fact("version", facts(&[facts(&version).replace(" · ", " "), stage(story)]));
    fact("why", why(story));
    if let Some(parameters) = story.parameters.as_object().filter(|parameters| !parameters.is_empty()) {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| words::pair(name, value, options.full)).collect();
        fact("with", parameters.join(", "));
    }
    fact("outcome", outcome(story));
    fact("verified", verified(story));
    fact("trace", clean(story.raw["trace"].as_str().unwrap_or_default()).into_owned());
    let drift = story.raw["drift"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for one in drift {
        fact("drift", format!("{}; its compose file does not know", clean(one)));
    }
    lines
}

/// What is known, joined.
fn facts(parts: &[String]) -> String {
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" · ")
}

fn stage(story: &Story) -> String {
    if story.stage.is_empty() { String::new() } else { format!("stage {}", clean(&story.stage)) }
}

fn when(story: &Story, options: Options) -> String {
    let Some(begin) = story.began else { return String::new() };
    let ago = options.now.map(|now| ago(&Value::from(begin.to_string()), now)).unwrap_or_default();
    let span = story.ended.map(|end| format!("took {}", took(between_ms(begin, end)))).unwrap_or_default();
    let span = if span.is_empty() && options.now.is_some() && !story.is_over() {
        options.now.map(|now| format!("for {}", took(between_ms(begin, now)))).unwrap_or_default()
    } else {
        span
    };
    facts(&[ago, span])
}

/// What started it: the alert with the labels that name it, or whoever did.
fn why(story: &Story) -> String {
    let explained = clean(&story.why).into_owned();
    if story.labels.is_empty() || story.applied.is_some() {
        return facts(&[trigger(story), explained]);
    }
    let mut shown: Vec<String> = Vec::new();
    for (name, value) in story.labels.iter().filter(|(name, _)| name != "alertname").take(LABELS_MAX) {
        shown.push(format!("{}=\"{}\"", clean(name), clean(value)));
    }
    let more = story.labels.iter().filter(|(name, _)| name != "alertname").count().saturating_sub(LABELS_MAX);
    if more > 0 {
        shown.push(format!("and {}", count(more, "more label")));
    }
    let alert = format!("alert {} {}", clean(&story.alert), shown.join(" "));
    facts(&[alert.trim().to_owned(), explained])
}

/// What started it when no alert did, and what that named.
fn trigger(story: &Story) -> String {
    // The target, where one was found, stands in the title.
    let named = Some(clean(&story.reference)).filter(|name| !name.is_empty() && story.target.is_none());
    let on = |word: &str| named.as_ref().map(|name| format!(" {word} {name}")).unwrap_or_default();
    if let Some((plan, by)) = &story.applied {
        return format!("plan {} applied by {}", clean(plan), clean(by));
    }
    match story.trigger.as_str() {
        "apply" => "a plan".to_owned(),
        "manual" => format!("started by hand{}", on("for")),
        "schedule" => "its schedule".to_owned(),
        "docker-event" if !story.event.is_empty() => format!("the Docker event {}{}", clean(&story.event), on("of")),
        "docker-event" => format!("an event of Docker{}", on("about")),
        "alert" if !story.alert.is_empty() => format!("alert {}", clean(&story.alert)),
        other => clean(other).into_owned(),
    }
}

fn outcome(story: &Story) -> String {
    let sentence = clean(&story.sentence).into_owned();
    let word = story.word();
    if sentence.is_empty() { word } else { format!("{word}: {sentence}") }
}

fn verified(story: &Story) -> String {
    let why = clean(&story.verification_why);
    let otherwise = match story.verification.as_str() {
        "confirmed" => "the condition holds",
        "contradicted" => "the condition failed or the alert fired again",
        "pending" => "not yet known whether it helped",
        "unknown" => "nobody can tell whether it helped",
        other => return clean(other).into_owned(),
    };
    format!("{}: {}", story.verification, if why.is_empty() { otherwise } else { &why })
}

fn paint_of(word: &str) -> Paint {
    match word {
        "fixed" | "done" | "nothing-to-do" | "succeeded" => Paint::Good,
        "failed" | "refused" | "cancelled" => Paint::Bad,
        _ => Paint::Warn,
    }
}

fn timeline(story: &Story, options: Options) -> String {
    if story.entries.is_empty() {
        let said = if story.is_over() { "no effects were performed" } else { "nothing is recorded of it yet" };
        return format!("  {said}\n");
    }
    let next = answers::next(story);
    let mut table = Table::new(&["", "", "", "", "", ""]);
    let mut below: Vec<Vec<String>> = Vec::new();
    for entry in &story.entries {
        let at = entry.at().zip(story.began).map(|(at, begin)| offset(between_ms(begin, at))).unwrap_or_default();
        let at = Cell::new(format!("{at:>9}")).paint(Paint::Dim);
        match entry {
            Entry::Note(note) => {
                table.row([at, Cell::new(note.what()).paint(Paint::Dim), Cell::new(note.line(options.full)).spill()]);
                below.push(note_lines(note, options));
            }
            Entry::Slot(slot) => {
                let (result, paint) = words::result(slot, options.full);
                let simulated = matches!(story.mode(), "shadow" | "plan") && slot.mutates();
                let result = if simulated { result.replacen("now ", "would be ", 1) } else { result };
                table.row([
                    at,
                    Cell::new(&slot.effect).paint(Paint::Bold),
                    Cell::new(words::arguments(slot, story.target.as_deref(), options.full)),
                    Cell::new(words::decision(slot, story.mode())).paint(words::decision_paint(slot)),
                    Cell::new(slot.took_ms().map(took).unwrap_or_default()).paint(Paint::Dim),
                    Cell::new(result).paint(paint),
                ]);
                below.push(slot_lines(slot, &next, options));
            }
        }
    }
    let rendered = table.render(options.ink);
    let mut text = String::new();
    // The first line holds headings, of which there are none.
    for (line, below) in rendered.lines().skip(1).zip(below) {
        text.push_str(&format!(" {line}\n"));
        for line in below {
            text.push_str(&format!("            {} {line}\n", options.ink.paint(Paint::Dim, "│")));
        }
    }
    text
}

fn note_lines(note: &Note, options: Options) -> Vec<String> {
    let Some(evidence) = &note.evidence else { return Vec::new() };
    let all: Vec<&str> = evidence.lines().collect();
    let kept = if options.full { all.len() } else { all.len().min(EVIDENCE_LINES) };
    let mut lines: Vec<String> = all[..kept].iter().map(|line| cut(line, options.full)).collect();
    if all.len() > kept {
        lines.push(
            options.ink.paint(Paint::Dim, &format!("… {} (--full shows them)", count(all.len() - kept, "more line"))),
        );
    }
    lines
}

/// A line of evidence, cut unless it is wanted whole.
fn cut(line: &str, full: bool) -> String {
    let line = indented(line);
    if full || line.chars().count() <= LINE_CHARS_MAX {
        return line;
    }
    line.chars().take(LINE_CHARS_MAX).chain(['…']).collect()
}

/// A log's line: tabs keep their room, the rest is made harmless.
fn indented(line: &str) -> String {
    clean(&line.replace('\t', "    ")).into_owned()
}

/// `next` is what comes after the run; a line to type is not said twice.
fn slot_lines(slot: &Slot, next: &str, options: Options) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(question) = &slot.question {
        lines.push(format!("asked a person: {}", clean(question)));
    }
    if let Some((approved, by, reason)) = &slot.answered {
        let verdict = if *approved { "approved" } else { "denied" };
        let reason = if reason.is_empty() { String::new() } else { format!(": {}", clean(reason)) };
        lines.push(format!("{verdict} by {}{reason}", clean(by)));
    }
    if let Some(policy) = words::policy_below(slot) {
        lines.push(clean(&policy).into_owned());
    }
    if slot.attempt > 1 {
        lines.push(format!("attempt {}: the one before did nothing", slot.attempt));
    }
    if let Some(message) = slot.error_message().filter(|_| slot.refused()) {
        lines.push(format!("because {}", clean(without_suggestion(message))));
        if let Some(fix) = suggested(message).filter(|fix| fix != next) {
            lines.push(format!("{} {fix}", options.ink.paint(Paint::Good, "fix:")));
        }
    }
    if options.full
        && let Some(result) = &slot.result
    {
        lines.extend(format!("{result:#}").lines().map(indented));
    }
    lines
}

/// The time of a record, for callers that print lines of their own.
pub(super) fn at(record: &Value) -> Option<Timestamp> {
    time(&record["at"])
}

/// A record on one line, for `journal` and `watch`.
pub(super) fn line(record: &Value) -> [String; 4] {
    let kind = field(record, "kind");
    let slot = field(record, "slot");
    let effect = fold::effect(record);
    let on = target(&record["target"]);
    let said = match kind.as_str() {
        "note" => Note::of(record).line(false),
        "ended" => facts(&[super::text::first_field(record, &["outcome", "state"]), field(record, "sentence")])
            .replace(" · ", ": "),
        _ => words::record(record),
    };
    let what = if kind == "note" { Note::of(record).what() } else { effect };
    [slot, kind, facts(&[what, on]).replace(" · ", " "), said]
}
