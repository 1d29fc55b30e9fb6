//! What happened, why, and what next: the three questions at three in the morning, answered in a sentence each.
//!
//! Deliberately not here: the header and the lines of the timeline, see [`super`].

use super::fold::{Slot, Story};
use super::{Options, why};
use crate::cli::screen::Paint;
use crate::cli::text::{clean, count, field, shell, suggested, without_suggestion};

/// How the error of a run begins that reached a limit of its own.
const LIMIT: &str = "[SB0504]";

pub(crate) fn answers(story: &Story, options: Options) -> String {
    let ink = options.ink;
    let mut text = String::new();
    for (question, answer) in [("what happened", happened(story)), ("why", because(story)), ("what next", next(story))]
    {
        text.push_str(&format!("{} {answer}\n", ink.paint(Paint::Bold, &format!("{question:<13}"))));
    }
    text
}

/// Names in it may be anybody's.
pub(crate) fn next(story: &Story) -> String {
    clean(&next_of(story)).into_owned()
}

/// What came of it, and what it changed on the way.
pub(crate) fn happened(story: &Story) -> String {
    let sentence = clean(story.sentence.trim_end_matches('.')).into_owned();
    // In shadow the sentence says all there is: what was matched, and that nothing was done.
    if story.mode() == "shadow" && !sentence.is_empty() {
        return sentence;
    }
    let changes: Vec<String> = story
        .slots()
        .filter(|slot| slot.mutates() || slot.asks())
        .map(|slot| {
            let (effect, on) = (&slot.effect, slot.target.clone().unwrap_or_default());
            let on = if on.is_empty() { on } else { format!(" on {on}") };
            let what = if slot.refused() {
                format!("{effect}{on} was refused")
            } else if slot.error_message().is_some() {
                format!("{effect}{on} failed")
            } else if slot.asks() && !story.is_over() {
                format!("a person is asked about {effect}{on}")
            } else if slot.result.is_none() {
                format!("{effect}{on} is not settled")
            } else {
                format!("{effect}{on}")
            };
            clean(&what).into_owned()
        })
        .collect();
    let reads = story.slots().count() - changes.len();
    let did = if changes.is_empty() { "nothing was changed".to_owned() } else { changes.join(", ") };
    let did = if reads == 0 { did } else { format!("{did} ({})", count(reads, "other effect")) };
    let simulated = match field(&story.raw, "mode").as_str() {
        "live" | "shadow" | "" => "",
        "simulate" => "; in a simulated world",
        "plan" => "; a dry run, nothing was driven",
        _ => "; from its journal alone",
    };
    if sentence.is_empty() { format!("{did}{simulated}") } else { format!("{sentence}; {did}{simulated}") }
}

/// The reason for how it stands.
pub(crate) fn because(story: &Story) -> String {
    if let Some(question) = story.asked().and_then(|slot| slot.question.as_ref()).filter(|why| !why.is_empty()) {
        return clean(question).into_owned();
    }
    if let Some(message) = story.refusal().and_then(Slot::error_message).filter(|_| !story.helped()) {
        return clean(without_suggestion(message)).into_owned();
    }
    if !story.error.is_empty() && story.error != story.sentence {
        return clean(&story.error).into_owned();
    }
    why(story)
}

/// The one step that makes most sense now.
fn next_of(story: &Story) -> String {
    let run = shell(&story.run);
    match story.state.as_str() {
        "queued" | "running" => return format!("sandbook watch {run}"),
        "waiting" if story.asked().is_some() => return "sandbook approvals".to_owned(),
        "waiting" => return format!("sandbook watch {run}"),
        "needs-attention" => return format!("look at {}, then sandbook resume {run} --as done|not-done", story.on()),
        _ => {}
    }
    if let Some(message) = story.refusal().and_then(Slot::error_message).filter(|_| !story.helped()) {
        if let Some(line) = suggested(message) {
            return line;
        }
        if message.starts_with("paused by ") {
            return "sandbook pauses".to_owned();
        }
    }
    if let Some(line) = &story.advice {
        return line.clone();
    }
    let shadow = matches!(story.mode(), "shadow" | "plan");
    match (story.outcome.as_str(), story.verification.as_str()) {
        (_, "contradicted") => format!("it did not help: look at {} yourself, then sandbook journal {run}", story.on()),
        ("fixed" | "done", _) if shadow => {
            format!("sandbook promote {} ask --reason \"…\"", shell(&story.runbook))
        }
        ("fixed", "pending") => format!("nothing yet: it is verified; sandbook show {run}"),
        ("fixed" | "done" | "nothing-to-do", _) => "nothing".to_owned(),
        ("escalate", _) => format!("a person is needed: look at {}", story.on()),
        ("no-target" | "ambiguous-target", _) => "sandbook targets, then name one by a label or a route".to_owned(),
        // Its own limit, not a brake: nothing is counted down, and nobody can re-arm it.
        ("limited", _) if story.error.starts_with(LIMIT) => "sandbook explain SB0504".to_owned(),
        ("limited", _) => "sandbook brakes".to_owned(),
        ("refused", _) => format!("sandbook grants {}", shell(&story.runbook)),
        (_, _) if story.state == "cancelled" => "nothing: it was cancelled".to_owned(),
        (_, _) if story.slots().next().is_none() => "sandbook status says whether everything is reachable".to_owned(),
        (_, _) => format!("sandbook show {run} --full, then mend the runbook"),
    }
}
