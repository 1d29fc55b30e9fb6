//! What of a channel's queue goes out next, and how several messages become one.
//!
//! Deliberately not here: clocks and stores. Everything is data.

use std::collections::BTreeMap;

use sandbook_core::error::truncate_at_char;

use crate::driver::notify::Said;
use crate::store::{Happened, MessageRow};

/// Messages that become one at the most; what is beyond waits for the next.
const TOGETHER_MAX: usize = 500;
/// Messages named in one that stands for several: a screen of a phone; the rest is counted.
const LISTED_MAX: usize = 20;
/// Bytes of each of them.
const LINE_BYTES_MAX: usize = 400;

/// How much of a channel's queue goes out, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long the first of a kind waits for others.
    pub(super) group_wait_ms: u64,
    /// Messages in a minute.
    pub(super) per_minute: u32,
    /// Whether several may become one: not where each is an incident of its own.
    pub(super) groups: bool,
}

/// What is to be done with a queue.
#[derive(Debug, PartialEq)]
pub(super) enum Pick {
    /// Nothing yet.
    Nothing,
    /// These have waited too long.
    Expired(Vec<i64>),
    /// These go out, as one.
    Send(Vec<MessageRow>),
}

/// Decides. `rows` are all that wait, oldest first. Those tried least go first, so that none stands in the way of others.
pub(super) fn pick(rows: &[MessageRow], pace: Pace, now: u64, give_up_ms: u64) -> Pick {
    let expired = |row: &&MessageRow| row.at.saturating_add(give_up_ms) < now;
    let old: Vec<i64> = rows.iter().filter(expired).map(|row| row.id).collect();
    if !old.is_empty() {
        return Pick::Expired(old);
    }
    let mut due: Vec<&MessageRow> = rows.iter().filter(|row| row.due <= now).collect();
    due.sort_by_key(|row| (row.attempts, row.id));
    for first in due {
        let together: Vec<MessageRow> = match first.batch {
            Some(batch) => rows.iter().filter(|row| row.batch == Some(batch)).cloned().collect(),
            None if pace.groups && joins(first.event) => {
                let alike = rows.iter().filter(|row| row.batch.is_none() && row.event == first.event && row.due <= now);
                let alike: Vec<MessageRow> = alike.take(TOGETHER_MAX).cloned().collect();
                let oldest = alike.iter().map(|row| row.at).min().unwrap_or(now);
                if alike.len() < TOGETHER_MAX && oldest.saturating_add(wait_ms(first.event, pace)) > now {
                    continue;
                }
                alike
            }
            None => vec![first.clone()],
        };
        return Pick::Send(together);
    }
    Pick::Nothing
}

/// Whether several of a kind may become one message.
fn joins(event: Happened) -> bool {
    match event {
        Happened::Acted
        | Happened::Refused
        | Happened::Limited
        | Happened::Escalated
        | Happened::Contradicted
        | Happened::Demoted
        | Happened::Approval
        | Happened::Tripped
        | Happened::NeedsAttention
        | Happened::Failed => true,
        Happened::Us | Happened::Resolved | Happened::Digest | Happened::Annotation => false,
    }
}

/// How long it waits for others. A question is asked at once: its run stands still.
fn wait_ms(event: Happened, pace: Pace) -> u64 {
    if event == Happened::Approval { 0 } else { pace.group_wait_ms }
}

/// Several messages as one. `first` is the number of the oldest, the same at every attempt.
pub(super) fn together(mut all: Vec<Said>, first: i64, home: &str) -> Said {
    if all.len() == 1
        && let Some(one) = all.pop()
    {
        return one;
    }
    let count = all.len();
    let kind = all.first().map(|said| said.kind.clone()).unwrap_or_default();
    let runbook = same(&all, |said| &said.runbook);
    let target = same(&all, |said| &said.target);
    let mut title = format!("{count} × {kind}");
    if !runbook.is_empty() {
        title.push_str(&format!(": {runbook}"));
    }
    if !target.is_empty() {
        title.push_str(&format!(" on {target}"));
    }
    let mut lines: Vec<String> = all.iter().take(LISTED_MAX).map(line).collect();
    if count > LISTED_MAX {
        lines.push(format!("… and {} more", count - LISTED_MAX));
    }
    let loudest = all.iter().map(|said| said.severity).max().unwrap_or_default();
    let mut labels: BTreeMap<String, String> = all.first().map(|said| said.labels.clone()).unwrap_or_default();
    labels.retain(|name, value| all.iter().all(|said| said.labels.get(name) == Some(value)));
    Said {
        title,
        text: lines.join("\n"),
        severity: loudest,
        dedup_key: format!("sandbook-group-{first}"),
        kind,
        runbook,
        target,
        url: home.to_owned(),
        command: "sandbook runs".to_owned(),
        labels,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        at: all.iter().map(|said| said.at).min().unwrap_or(0),
        ..Said::default()
    }
}

fn same(all: &[Said], part: impl Fn(&Said) -> &String) -> String {
    let first = all.first().map(&part).cloned().unwrap_or_default();
    if all.iter().all(|said| *part(said) == first) { first } else { String::new() }
}

fn line(said: &Said) -> String {
    let about = if said.target.is_empty() { &said.title } else { &said.target };
    let mut text = format!("- {about}: {}", said.text.lines().next().unwrap_or_default());
    truncate_at_char(&mut text, LINE_BYTES_MAX);
    let next = if said.kind == Happened::Approval.name() { &said.url } else { &said.command };
    if next.is_empty() { text } else { format!("{text} ({next})") }
}

#[cfg(test)]
mod tests {
    use sandbook_core::effect::notify::Severity;
    use serde_json::Value;

    use super::*;

    const PACE: Pace = Pace { group_wait_ms: 0, per_minute: 20, groups: true };

    fn row(id: i64, event: Happened, at: u64) -> MessageRow {
        let (channel, message) = ("ops".to_owned(), Value::Null);
        MessageRow { id, channel, event, message, at, batch: None, attempts: 0, due: 0 }
    }

    fn picked(rows: &[MessageRow], pace: Pace, now: u64) -> Vec<i64> {
        match pick(rows, pace, now, 1_000_000) {
            Pick::Send(rows) => rows.iter().map(|row| row.id).collect(),
            Pick::Nothing => Vec::new(),
            Pick::Expired(ids) => panic!("expired {ids:?}"),
        }
    }

    #[test]
    fn what_is_of_a_kind_goes_out_together_and_the_pager_gets_each() {
        let rows = [
            row(1, Happened::Acted, 5),
            row(2, Happened::Failed, 6),
            row(3, Happened::Acted, 7),
            row(4, Happened::Us, 7),
        ];
        assert_eq!(picked(&rows, PACE, 10), [1, 3]);
        assert_eq!(picked(&rows[1..2], PACE, 10), [2]);
        assert_eq!(picked(&rows, Pace { groups: false, ..PACE }, 10), [1]);
        assert_eq!(picked(&[row(4, Happened::Us, 7), row(5, Happened::Us, 7)], PACE, 10), [4]);
    }

    #[test]
    fn the_first_of_a_kind_waits_for_others_and_a_question_does_not() {
        let pace = Pace { group_wait_ms: 30, ..PACE };
        let rows = [row(1, Happened::Acted, 100), row(2, Happened::Approval, 110), row(3, Happened::Acted, 125)];
        assert_eq!(picked(&rows, pace, 126), [2]);
        assert_eq!(picked(&[rows[0].clone(), rows[2].clone()], pace, 129), [0_i64; 0]);
        assert_eq!(picked(&[rows[0].clone(), rows[2].clone()], pace, 130), [1, 3], "counted from the first");
    }

    #[test]
    fn a_batch_stays_what_it_was_and_what_was_tried_least_goes_first() {
        let mut rows: Vec<MessageRow> = (1..=4).map(|id| row(id, Happened::Acted, 5)).collect();
        for one in &mut rows[..2] {
            (one.batch, one.attempts, one.due) = (Some(1), 3, 50);
        }
        assert_eq!(picked(&rows, PACE, 10), [3, 4], "the batch is not due and stands in nobody's way");
        assert_eq!(picked(&rows, PACE, 60), [3, 4], "tried least");
        assert_eq!(picked(&rows[..2], PACE, 60), [1, 2]);
    }

    #[test]
    fn what_waited_too_long_is_given_up() {
        let rows = [row(1, Happened::Acted, 5), row(2, Happened::Acted, 500)];
        assert_eq!(pick(&rows, PACE, 200, 100), Pick::Expired(vec![1]));
    }

    #[test]
    fn several_messages_say_how_many_they_are_and_name_a_bounded_list() {
        let said = |number: usize| Said {
            title: format!("acted: heal on local/web-{number}"),
            text: format!("restarted\n{}", "x".repeat(3_000)),
            severity: if number == 7 { Severity::Critical } else { Severity::Info },
            kind: "acted".to_owned(),
            runbook: "heal".to_owned(),
            target: format!("local/web-{number}"),
            command: format!("sandbook show r_{number}"),
            labels: [("team".to_owned(), "a".to_owned()), ("name".to_owned(), number.to_string())].into(),
            ..Said::default()
        };
        let one = together((0..50).map(said).collect(), 12, "https://s");
        assert_eq!(one.title, "50 × acted: heal");
        assert_eq!((one.severity, one.count, one.dedup_key.as_str()), (Severity::Critical, 50, "sandbook-group-12"));
        assert!(one.text.contains("- local/web-3: restarted (sandbook show r_3)"), "{}", one.text);
        assert!(one.text.ends_with("… and 30 more"), "{}", one.text);
        assert_eq!(one.labels.len(), 1);
        assert_eq!(together(vec![said(1)], 12, "https://s"), said(1));
    }
}
