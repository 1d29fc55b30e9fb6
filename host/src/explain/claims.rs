//! Claims about a run, from its records and its row.
//!
//! Every record that matters becomes one sentence; texts of guests, labels and logs stand in quotes, cut short, on one
//! line. Deliberately not here: wording for effect; a model may do that, see [`super::reword`].

use sandbook_core::effect::{Class, Effect, sentence};
use sandbook_core::error::truncate_at_char;
use sandbook_core::journal::{Answer, Header, Record, Request};
use sandbook_core::run::{Decision, Mode, Verification};
use sandbook_core::target::{Resolved, Target};
use serde_json::Value;

use super::{About, Claim, Link};
use crate::cli::text::took;
use crate::plan::stamp;
use crate::store::RunRow;

/// Claims of one explanation: what is beyond is counted in the last of them.
pub const CLAIMS_MAX: usize = 150;
/// Longest text of somebody else in a claim.
const QUOTED_BYTES_MAX: usize = 300;
/// Labels named of an alert.
const LABELS_MAX: usize = 8;

/// What is known of the effects so far: later records of a slot do not repeat it.
#[derive(Default)]
struct Seen {
    slots: Vec<(Request, Option<Resolved>)>,
    claims: Vec<Claim>,
    left_out: usize,
}

/// Claims about a run in the order of its records; those of its row come last.
pub fn of(row: &RunRow, records: &[(u64, Record)]) -> Vec<Claim> {
    let mut seen = Seen::default();
    let acts = row.mode == Mode::Live || row.mode == Mode::Simulate;
    for (seq, record) in records {
        seen.take(*seq, record, acts);
    }
    if seen.left_out > 0 {
        let text = format!("{} more records are in its journal", seen.left_out);
        seen.claims.push(Claim {
            id: 0,
            about: About::Finding,
            at: None,
            text,
            link: Link { record: None, slot: None },
        });
    }
    for text in of_row(row, records) {
        let link = Link { record: None, slot: None };
        let at = row.finished_at.or(row.started_at).map(stamp);
        seen.claims.push(Claim { id: 0, about: About::End, at, text, link });
    }
    for (claim, id) in seen.claims.iter_mut().zip(1..) {
        claim.id = id;
    }
    seen.claims
}

impl Seen {
    fn take(&mut self, seq: u64, record: &Record, acts: bool) {
        let (about, text) = match record {
            Record::Begun { header } => (About::Trigger, begun(header)),
            Record::Note { effect, data, .. } => (About::Finding, note(effect, data)),
            Record::Asked { slot, request, resolved, reason, .. } => {
                self.remember(*slot, request, resolved.as_deref());
                (About::Refusal, format!("a person was asked to {}: {}", self.said(*slot), quoted(reason)))
            }
            Record::Answered { approved, by, reason, answer, withdrawn, .. } => {
                (About::Refusal, answered(*approved, by, reason, answer.as_deref(), *withdrawn))
            }
            Record::Waiting { slot, request, until, .. } => {
                self.remember(*slot, request, None);
                (About::Finding, format!("it began to wait until {}", stamp(*until)))
            }
            Record::Intended { slot, request, resolved, attempt, .. } => {
                self.remember(*slot, request, resolved.as_deref());
                if *attempt < 2 {
                    return;
                }
                let said = self.said(*slot);
                (About::Change, format!("attempt {attempt} to {said} began, because the one before did nothing"))
            }
            // What recovery needs to know tells a person nothing.
            Record::Step { .. } => return,
            Record::Settled { slot, request, decision, answer, target, .. } => {
                if let Some(request) = request {
                    self.remember(*slot, request, None);
                }
                match self.settled(*slot, *decision, answer, target.as_ref(), acts) {
                    Some(said) => said,
                    None => return,
                }
            }
            Record::Ended { state, outcome, sentence, .. } => {
                let outcome = outcome.map_or_else(|| state.name(), |outcome| outcome.name());
                (About::End, format!("it ended as {outcome}: {}", quoted(sentence)))
            }
        };
        let ends = matches!(record, Record::Ended { .. });
        if self.claims.len() >= CLAIMS_MAX && !ends {
            self.left_out += 1;
            return;
        }
        let link = Link { record: Some(seq), slot: record.slot() };
        self.claims.push(Claim { id: 0, about, at: Some(stamp(record.at())), text, link });
    }

    fn remember(&mut self, slot: u32, request: &Request, resolved: Option<&Resolved>) {
        let known = (request.clone(), resolved.cloned());
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = known,
            None => self.slots.push(known),
        }
    }

    /// What a slot asked for, in words.
    fn said(&self, slot: u32) -> String {
        let Some((request, resolved)) = self.slots.get(slot as usize) else { return "do something".to_owned() };
        Effect::from_arguments(&request.effect, request.arguments.clone())
            .map_or_else(|_| request.effect.clone(), |effect| one_line(&sentence(&effect, resolved.as_ref())))
    }

    fn settled(
        &self,
        slot: u32,
        decision: Decision,
        answer: &Answer,
        target: Option<&Target>,
        acts: bool,
    ) -> Option<(About, String)> {
        let (request, _) = self.slots.get(slot as usize)?;
        let class = Effect::find(&request.effect).map_or(Class::Mutate, |info| info.class);
        let said = self.said(slot);
        let refused = match decision {
            Decision::Deny => Some("refused"),
            Decision::Limited => Some("held back"),
            Decision::Allow | Decision::Ask => None,
        };
        if let (Some(word), Answer::Error(error)) = (refused, answer) {
            return Some((About::Refusal, format!("to {said} was {word}: {}", quoted(&error.message))));
        }
        if let Answer::Error(error) = answer {
            return Some((
                About::Refusal,
                format!("to {said} failed ({}): {}", error.kind.name(), quoted(&error.message)),
            ));
        }
        let Answer::Ok(value) = answer else { return None };
        match class {
            Class::Mutate if acts => Some((About::Change, format!("it did {said}{}", left(value)))),
            Class::Mutate => Some((About::Change, format!("it would {said}; nothing was done"))),
            Class::Observe => {
                let on = target.map(|target| format!(" on {target}")).unwrap_or_default();
                Some((About::Finding, format!("{}{on} found: {}", request.effect, found(value))))
            }
            Class::Egress => Some((About::Finding, format!("{} was answered: {}", request.effect, found(value)))),
            Class::Tell => Some((About::Message, format!("it sent a message with {}", request.effect))),
            Class::Wait => Some((About::Finding, waited(request))),
            Class::Ambient | Class::Note | Class::State => None,
        }
    }
}

fn begun(header: &Header) -> String {
    let on = header.target.as_ref().map(|target| format!(" on {target}")).unwrap_or_default();
    let what = format!("{} {} began in mode {}{on}", header.runbook, header.version, header.mode);
    match (&header.alert, &header.bound) {
        (_, Some(bound)) => format!("{what}, applying plan {} for {}", bound.plan, one_line(&bound.by)),
        (Some(alert), None) => {
            let labels = alert.labels.iter().filter(|(name, _)| *name != "alertname").take(LABELS_MAX);
            let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={}", quoted(value))).collect();
            format!("{what} for the alert {} with {}", quoted(&alert.name), labels.join(", "))
        }
        (None, None) => format!("{what}, started by {}", header.trigger),
    }
}

fn note(effect: &str, data: &Value) -> String {
    let text = |key: &str| data[key].as_str().map(quoted);
    match (text("name"), text("text"), text("message")) {
        (Some(name), Some(text), _) => format!("it kept evidence {name}, which begins {text}"),
        (_, _, Some(message)) => format!("it noted {message}"),
        _ => format!("it wrote a {effect}"),
    }
}

fn answered(approved: bool, by: &str, reason: &str, answer: Option<&str>, withdrawn: bool) -> String {
    let (by, reason) = (one_line(by), if reason.is_empty() { String::new() } else { format!(": {}", quoted(reason)) });
    match (withdrawn, answer) {
        (true, _) => format!("the question was withdrawn{reason}"),
        (false, Some(answer)) => format!("{by} answered {}{reason}", quoted(answer)),
        (false, None) if approved => format!("{by} approved it{reason}"),
        (false, None) => format!("{by} denied it{reason}"),
    }
}

fn waited(request: &Request) -> String {
    match request.arguments["duration_ms"].as_u64() {
        Some(ms) => format!("it waited {}", took(ms)),
        None => format!("the wait of {} ended", request.effect),
    }
}

/// What a change left behind.
fn left(value: &Value) -> String {
    match (value["changed"].as_bool(), state(&value["state"])) {
        (Some(false), _) => ", which it was already".to_owned(),
        (_, Some(state)) => format!(", which left it {state}"),
        (_, None) => match value["exit_code"].as_i64() {
            Some(code) => format!(", which ended with exit code {code}"),
            None => String::new(),
        },
    }
}

/// What a read found, as far as it fits a sentence.
fn found(value: &Value) -> String {
    if let Some(state) = state(&value["state"]) {
        return state;
    }
    if let Some(items) = value.as_array() {
        return format!("{} entries", items.len());
    }
    if let Some(found) = value["found"].as_array() {
        return format!("{} matches", found.len());
    }
    if let (Some(lines), true) = (value["lines"].as_u64(), value["text"].is_string()) {
        return format!("{lines} lines");
    }
    quoted(&value.to_string())
}

/// `running, unhealthy, exit code 137`.
pub(crate) fn state(state: &Value) -> Option<String> {
    let status = state["status"].as_str()?;
    let mut words = vec![one_line(status)];
    words.extend(state["health"].as_str().filter(|health| *health != "none").map(one_line));
    if status != "running" {
        words.extend(state["exit_code"].as_i64().map(|code| format!("exit code {code}")));
    }
    if state["oom_killed"] == true {
        words.push("out of memory".to_owned());
    }
    Some(words.join(", "))
}

/// What the run's row says and no record does.
fn of_row(row: &RunRow, records: &[(u64, Record)]) -> Vec<String> {
    let mut texts = Vec::new();
    if !records.iter().any(|(_, record)| matches!(record, Record::Ended { .. })) {
        let sentence = row.sentence.as_deref().map(|said| format!(": {}", quoted(said))).unwrap_or_default();
        texts.push(format!("its state is {}{sentence}", row.state));
    }
    if let Some(error) = row.error.as_ref().filter(|error| row.sentence.as_ref() != Some(*error)) {
        texts.push(format!("its error is {}", quoted(error)));
    }
    let why = row.aftermath.verification_why.as_deref().map(|why| format!(": {}", quoted(why))).unwrap_or_default();
    texts.extend(row.verification.map(|verification| match verification {
        Verification::Pending => format!("whether it helped is not known yet{why}"),
        Verification::Confirmed => format!("afterwards the condition was confirmed{why}"),
        Verification::Contradicted => format!("afterwards the condition was contradicted, it did not help{why}"),
        Verification::Unknown => format!("whether it helped stayed unknown{why}"),
    }));
    texts
}

/// Text of somebody else: on one line, cut, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut text = one_line(text).replace('"', "'");
    if text.len() > QUOTED_BYTES_MAX {
        truncate_at_char(&mut text, QUOTED_BYTES_MAX);
        text.push('…');
    }
    format!("\"{}\"", text.trim())
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
