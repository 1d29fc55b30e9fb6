//! A run as a person reads it: what happened, why, what next, and every effect with what was before and after it.
//!
//! The same fold and the same words as `sandbook show` ([`crate::cli::timeline`]); only the looks are this file's.
//! Deliberately not here: fetching, and what may be done about it.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::client::query;
use super::parts::{badge, badge_of, block, facts, link, plain, said, when};
use crate::cli::client::segment;
use crate::cli::text::{between_ms, digest, field, offset, suggested, took, without_suggestion};
use crate::cli::timeline::answers;
use crate::cli::timeline::fold::{Entry, Note, Slot, Story};
use crate::cli::timeline::words;

/// Entries shown: as many effects as a run has by default, and its notes.
const ENTRIES_MAX: usize = 1_000;
/// Keys of a state that differ all the time and tell nothing.
const UNTELLING: [&str; 2] = ["id", "labels"];

/// The three answers.
pub(super) fn answers(run: &Value, records: &[Value]) -> Markup {
    let story = Story::fold(run, records);
    html! {
        dl class="answers" {
            div { dt { "What happened" } dd { (plain(&answers::happened(&story))) } }
            div { dt { "Why" } dd { (plain(&answers::because(&story))) } }
            div { dt { "What next" } dd { (next(&answers::next(&story))) } }
        }
    }
}

/// A line to type is set as one.
fn next(line: &str) -> Markup {
    let types = line.starts_with("sandbook ");
    html! {
        @if types { code { (plain(line)) } } @else { (plain(line)) }
        @if let Some(page) = page_of(line) { " " a href=(page) { "or here" } }
    }
}

/// The page where the same is done.
fn page_of(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["sandbook", "approvals", ..] => Some("/approvals".to_owned()),
        ["sandbook", "brakes" | "pauses" | "rearm", ..] => Some("/brakes".to_owned()),
        ["sandbook", "grant" | "grants", name, ..] => Some(query("/grants", &[("runbook", name)])),
        ["sandbook", "promote", name, ..] => Some(format!("/runbooks/{}", segment(name))),
        _ => None,
    }
}

/// What the run was started with.
pub(super) fn header(run: &Value, records: &[Value], now: Timestamp) -> Markup {
    let story = Story::fold(run, records);
    let span = match (story.began, story.ended) {
        (Some(began), Some(ended)) => took(between_ms(began, ended)),
        (Some(began), None) => format!("for {} so far", took(between_ms(began, now))),
        (None, _) => String::new(),
    };
    let parameters = story.parameters.as_object().into_iter().flatten();
    let parameters: Vec<String> = parameters.map(|(name, value)| words::pair(name, value, false)).collect();
    let labels = story.labels.iter().filter(|(name, _)| name != "alertname");
    facts(&[
        ("started", html! { (when(&run["at"], now)) @if !span.is_empty() { ", took " (span) } }),
        (
            "trigger",
            html! {
                (said(run, "trigger"))
                @if !story.alert.is_empty() { ": " @match run["episode"].as_str() {
                    Some(episode) => (link("/alerts", episode, &story.alert)),
                    None => (plain(&story.alert)),
                } }
                @if let Some((plan, by)) = &story.applied { ", " (link("/plans", plan, "a plan")) " applied by " (plain(by)) }
            },
        ),
        (
            "labels",
            html! { @for (name, value) in labels { span class="label" { (plain(name)) "=" (plain(value)) } " " } },
        ),
        (
            "version",
            html! {
                (link("/runbooks", &story.runbook, &story.runbook)) " " (plain(&story.version)) " "
                code { (digest(&story.digest)) } " " (badge(&story.stage))
            },
        ),
        ("mode", html! { (said(run, "mode")) }),
        ("with", html! { (plain(&parameters.join(", "))) }),
        (
            "verified",
            html! {
                @if !story.verification.is_empty() { (badge(&story.verification)) " " (plain(&story.verification_why)) " " (when(&run["verified_at"], now)) }
            },
        ),
        (
            "drift",
            html! {
                @for one in run["drift"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    span class="line" { (plain(one)) "; its compose file does not know" }
                }
            },
        ),
        ("error", html! { @if !story.error.is_empty() && story.error != story.sentence { (plain(&story.error)) } }),
    ])
}

/// Every effect and note in order.
pub(super) fn timeline(run: &Value, records: &[Value]) -> Markup {
    let story = Story::fold(run, records);
    let beyond = story.entries.len().saturating_sub(ENTRIES_MAX);
    html! {
        @if story.entries.is_empty() { p class="quiet" { "No effect is recorded of it." } }
        ol class="timeline" {
            @for entry in story.entries.iter().take(ENTRIES_MAX) {
                @let at = entry.at().zip(story.began).map(|(at, began)| offset(between_ms(began, at))).unwrap_or_default();
                @match entry {
                    Entry::Note(said) => (note(said, &at)),
                    Entry::Slot(done) => (slot(done, &story, &at)),
                }
            }
        }
        @if beyond > 0 { p class="quiet" { "… and " (beyond) " more entries, in the journal" } }
    }
}

fn note(note: &Note, at: &str) -> Markup {
    html! {
        li class="entry note-entry" {
            span class="offset" { (at) }
            div class="what" {
                @match &note.evidence {
                    Some(evidence) => details open {
                        summary { span class="kind" { "evidence" } " " (plain(&note.line(true))) }
                        (block(&note.line(true), evidence))
                    },
                    None => p { span class="kind" { (plain(&note.what())) } " " (plain(&note.line(true))) },
                }
            }
        }
    }
}

/// How an effect ended, as a tone.
fn tone_of(slot: &Slot) -> &'static str {
    if slot.refused() || slot.error_message().is_some() {
        "bad"
    } else if slot.result.is_none() {
        "warn"
    } else if slot.mutates() {
        "good"
    } else {
        "calm"
    }
}

fn slot(slot: &Slot, story: &Story, at: &str) -> Markup {
    let (result, _) = words::result(slot, false);
    let simulated = matches!(story.mode(), "shadow" | "plan") && slot.mutates();
    let result = if simulated { result.replacen("now ", "would be ", 1) } else { result };
    let arguments = words::arguments(slot, story.target.as_deref(), false);
    html! {
        li class={ "entry " (tone_of(slot)) @if slot.mutates() { " mutates" } } {
            span class="offset" { (at) }
            div class="what" {
                p class="line-of" {
                    strong { (plain(&slot.effect)) } " " span class="args" { (plain(&arguments)) }
                    @if let Some(ms) = slot.took_ms() { " " span class="quiet took" { (took(ms)) } }
                }
                p class="line-of" { (badge_of(result_word(slot), tone_of(slot))) " " (plain(&result)) " " (decision(slot)) }
                (decided(slot))
                @if slot.mutates() { (before_after(slot.before.as_ref(), slot.ok().map(|ok| &ok["state"]))) }
                (whole(slot))
            }
        }
    }
}

fn result_word(slot: &Slot) -> &'static str {
    match (slot.refused(), slot.error_message(), slot.result.is_some(), slot.mutates()) {
        (true, ..) => "refused",
        (_, Some(_), ..) => "failed",
        (_, _, false, _) => "open",
        (_, _, _, true) => "changed",
        (_, _, _, false) => "answered",
    }
}

/// What was decided, by which policy, and how sure the answer is.
fn decision(slot: &Slot) -> Markup {
    let word = if slot.decision.is_empty() { "allow" } else { &slot.decision };
    html! {
        @if slot.result.is_some() {
            span class="quiet" {
                "· decision " @if word == "allow" { "allow" } @else { (badge(word)) }
                @if !slot.policy.is_empty() { " by policy " @for id in &slot.policy { code { (plain(id)) } " " } }
                @if !matches!(slot.certainty.as_str(), "" | "real") { " · " (plain(&slot.certainty)) }
            }
        }
    }
}

/// Who was asked, what was tried before, and why it was refused.
fn decided(slot: &Slot) -> Markup {
    let refused = slot.error_message().filter(|_| slot.refused());
    html! {
        @if let Some(question) = &slot.question { p { "A person was asked: " (plain(question)) } }
        @if let Some((approved, by, reason)) = &slot.answered {
            p { (badge(if *approved { "approved" } else { "denied" })) " by " (plain(by)) @if !reason.is_empty() { ": " (plain(reason)) } }
        }
        @if slot.attempt > 1 { p class="quiet" { "Attempt " (slot.attempt) ": the one before did nothing." } }
        @if let Some(message) = refused {
            p { "Because " (plain(without_suggestion(message))) }
            @if let Some(fix) = suggested(message) { p { "Fix: " code { (plain(&fix)) } } }
        }
    }
}

/// What was before and is after, where either is known; what differs stands out.
pub(super) fn before_after(before: Option<&Value>, after: Option<&Value>) -> Markup {
    let known = |state: Option<&Value>| state.and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (known(before), known(after));
    let mut keys: Vec<&String> = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))).collect();
    keys.retain(|key| !UNTELLING.contains(&key.as_str()) && (tells(before.get(*key)) || tells(after.get(*key))));
    html! {
        @if !keys.is_empty() {
            table class="before-after" role="table" {
                caption class="hidden" { "State before and after" }
                thead role="rowgroup" { tr role="row" {
                    th role="columnheader" scope="col" { "State" } th role="columnheader" scope="col" { "Before" } th role="columnheader" scope="col" { "After" }
                } }
                tbody role="rowgroup" {
                    @for key in keys {
                        @let differs = !after.is_empty() && before.get(key) != after.get(key);
                        tr role="row" class=[differs.then_some("differs")] {
                            th role="rowheader" scope="row" { (plain(&key.replace('_', " "))) }
                            td role="cell" data-label="Before" { (value(before.get(key))) }
                            td role="cell" data-label="After" { (value(after.get(key))) @if differs { span class="hidden" { " (changed)" } } }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a value is worth a line.
fn tells(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !value.is_null() && value != &Value::from("") && value != &Value::Bool(false))
}

fn value(value: Option<&Value>) -> Markup {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    html! { (plain(&text)) }
}

/// Arguments and answer as they are recorded.
fn whole(slot: &Slot) -> Markup {
    html! {
        details class="raw" {
            summary { "Arguments and answer of " (plain(&slot.effect)) }
            (block(&format!("arguments of {}", slot.effect), &format!("{:#}", slot.arguments)))
            @if let Some(result) = &slot.result { (block(&format!("answer of {}", slot.effect), &pretty(result))) }
        }
    }
}

/// JSON for people: a text of several lines is shown as such.
fn pretty(result: &Value) -> String {
    match result["ok"]["text"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("{result:#}"),
    }
}

/// The same of a run's journal up to now, for the page of a question.
pub(super) fn so_far(run: &Value, records: &[Value]) -> Markup {
    html! {
        p { (link("/runs", &field(run, "run"), "The whole run")) }
        (timeline(run, records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_step_leads_to_the_page_where_it_is_done() {
        assert_eq!(page_of("sandbook grants heal").as_deref(), Some("/grants?runbook=heal"));
        assert_eq!(page_of("sandbook promote a/../b ask").as_deref(), Some("/runbooks/a%2F..%2Fb"));
        assert_eq!(page_of("sandbook brakes").as_deref(), Some("/brakes"));
        assert_eq!(page_of("look at web-1, then sandbook brakes"), None);
    }
}
