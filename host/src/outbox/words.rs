//! What a message says: what happened, what shows it, and the next step with its link and its command.
//!
//! Evidence comes from the run's journal: before and after of a change, exit code, the last line of the log that was read.
//! Deliberately not here: the look of a channel, and claims; an explanation has all of them.

use std::collections::BTreeMap;

use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal::{Answer, Record, Request};
use serde_json::{Value, json};

use crate::driver::notify::Said;
use crate::explain::claims::{quoted, state};
use crate::store::{Happened, Notice};

/// Ids in links and commands are our own; what else comes is no id.
const ID_CHARS_MAX: usize = 64;

/// A notice in words. `home` is where people find the daemon, without a slash at the end.
pub(super) fn said(notice: &Notice, labels: BTreeMap<String, String>, records: &[(u64, Record)], home: &str) -> Said {
    let Notice { event, runbook, target, run, .. } = notice;
    let made = match (runbook.is_empty(), target.is_empty()) {
        (true, _) => event.name().to_owned(),
        (false, true) => format!("{}: {runbook}", event.name()),
        (false, false) => format!("{}: {runbook} on {target}", event.name()),
    };
    Said {
        title: notice.title.clone().unwrap_or(made),
        text: notice.sentence.clone(),
        evidence: evidence(records),
        severity: notice.severity,
        dedup_key: notice.key.clone(),
        kind: event.name().to_owned(),
        runbook: runbook.clone(),
        run: run.clone(),
        target: target.clone(),
        url: link(notice, home),
        command: if is_id(run) { format!("sandbook show {run}") } else { String::new() },
        labels,
        count: 1,
        resolves: notice.over,
        at: notice.at,
    }
}

fn link(notice: &Notice, home: &str) -> String {
    let asked = notice.key.strip_prefix("sandbook-approval-").filter(|_| notice.event == Happened::Approval);
    match (asked, &notice.episode) {
        _ if home.is_empty() => String::new(),
        (Some(id), _) => format!("{home}/approvals/{id}"),
        (None, _) if is_id(&notice.run) => format!("{home}/runs/{}", notice.run),
        (None, Some(episode)) if is_id(episode) => format!("{home}/alerts/{episode}"),
        (None, _) => format!("{home}/"),
    }
}

fn is_id(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !text.is_empty() && text.len() <= ID_CHARS_MAX && text.chars().all(known)
}

/// What the journal shows of it, a line each.
fn evidence(records: &[(u64, Record)]) -> Vec<String> {
    let mut requests: BTreeMap<u32, &Request> = BTreeMap::new();
    let (mut before, mut after, mut seen, mut line) = (None, None, None, None);
    for (_, record) in records {
        match record {
            Record::Intended { slot, request, resolved, .. } => {
                requests.insert(*slot, request);
                let found =
                    resolved.as_ref().filter(|_| mutates(request)).and_then(|resolved| resolved.before.as_ref());
                before = before.or_else(|| found.and_then(state));
            }
            Record::Asked { slot, request, .. } | Record::Waiting { slot, request, .. } => {
                requests.insert(*slot, request);
            }
            Record::Settled { slot, request, answer: Answer::Ok(value), .. } => {
                let Some(request) = request.as_ref().or_else(|| requests.get(slot).copied()) else { continue };
                let found = left(value);
                if mutates(request) {
                    after = found.or(after);
                } else {
                    seen = found.or(seen);
                    line = last_line(request, value).or(line);
                }
            }
            Record::Settled { .. }
            | Record::Begun { .. }
            | Record::Note { .. }
            | Record::Answered { .. }
            | Record::Step { .. }
            | Record::Ended { .. } => {}
        }
    }
    let seen = seen.filter(|_| before.is_none() && after.is_none());
    let lines = [("before", before), ("after", after), ("seen", seen), ("last log line", line)];
    lines.into_iter().filter_map(|(name, text)| Some(format!("{name}: {}", text?))).collect()
}

fn mutates(request: &Request) -> bool {
    Effect::find(&request.effect).is_some_and(|info| info.class == Class::Mutate)
}

/// The state an answer shows, or the exit code.
fn left(value: &Value) -> Option<String> {
    state(&value["state"]).or_else(|| value["exit_code"].as_i64().map(|code| format!("exit code {code}")))
}

fn last_line(request: &Request, value: &Value) -> Option<String> {
    if !request.effect.starts_with("logs.") {
        return None;
    }
    let listed = |key: &str| value[key].as_array().and_then(|lines| lines.last()).map(|last| &last["line"]);
    let text = value["text"].as_str().or_else(|| listed("lines").or_else(|| listed("found"))?.as_str())?;
    text.lines().rev().find(|line| !line.trim().is_empty()).map(quoted)
}

/// A change that was made, for a graph.
pub(super) struct Change {
    pub(super) slot: u32,
    pub(super) at: u64,
    pub(super) annotation: Value,
}

/// Every change a run made, as annotations.
pub(super) fn changes(notice: &Notice, records: &[(u64, Record)], home: &str) -> Vec<Change> {
    let mut open: BTreeMap<u32, (&Request, Option<String>)> = BTreeMap::new();
    let mut changes = Vec::new();
    for (_, record) in records {
        match record {
            Record::Intended { slot, request, resolved, .. } if mutates(request) => {
                let sentence = Effect::from_arguments(&request.effect, request.arguments.clone())
                    .map(|effect| sandbook_core::effect::sentence(&effect, resolved.as_deref()));
                open.insert(*slot, (request, sentence.ok()));
            }
            Record::Settled { slot, answer: Answer::Ok(value), at, .. } => {
                let Some((request, sentence)) = open.get(slot).filter(|_| value["changed"] != json!(false)) else {
                    continue;
                };
                let what = sentence.clone().unwrap_or_else(|| request.effect.clone());
                let text = format!("{}: {what}\n{home}/runs/{}", notice.runbook, notice.run);
                let tags = ["sandbook", notice.runbook.as_str(), request.effect.as_str(), notice.target.as_str()];
                let tags: Vec<&str> = tags.into_iter().filter(|tag| !tag.is_empty()).collect();
                changes.push(Change {
                    slot: *slot,
                    at: *at,
                    annotation: json!({"time": at, "tags": tags, "text": text}),
                });
            }
            Record::Intended { .. }
            | Record::Settled { .. }
            | Record::Begun { .. }
            | Record::Note { .. }
            | Record::Asked { .. }
            | Record::Answered { .. }
            | Record::Waiting { .. }
            | Record::Step { .. }
            | Record::Ended { .. } => {}
        }
    }
    changes
}
