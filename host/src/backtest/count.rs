//! Counting: which changes the brakes would have held back, and what that makes together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Line, Verdict};
use crate::store::{Scope, Storm, Window};

/// How many episodes of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BacktestTotals)]
pub struct Totals {
    /// Looked at.
    pub episodes: usize,
    /// Would have started it.
    pub matched: usize,
    pub unmatched: usize,
    pub acts: usize,
    pub asks: usize,
    pub refused: usize,
    pub braked: usize,
    pub nothing: usize,
    pub failed: usize,
    pub unknown: usize,
}

/// The episodes of one target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BacktestTarget)]
pub struct TargetLine {
    /// As `host/name`; empty where it is unknown or nothing.
    pub target: String,
    pub matched: usize,
    pub acts: usize,
    pub asks: usize,
    pub refused: usize,
    pub braked: usize,
    pub nothing: usize,
    pub failed: usize,
    pub unknown: usize,
}

struct Attempt {
    at: u64,
    subject: String,
    host: String,
}

/// Goes through the changes in the order of their times; where a window was full, the episode is braked there.
pub(super) fn brake(lines: &mut [Line], runbook: &str, windows: &[Window], storms: &BTreeMap<String, Option<Storm>>) {
    let mut attempts: Vec<Attempt> = Vec::new();
    lines.sort_by_key(|line| line.at_ms);
    for line in lines {
        for (subject, host) in &line.subjects {
            let storm = storms.get(host).and_then(Option::as_ref);
            let full = full(&attempts, line.at_ms, (runbook, subject, host), windows, storm);
            if let Some(label) = full {
                line.verdict = Verdict::Braked;
                line.sentence = format!("held back by {label}");
                break;
            }
            attempts.push(Attempt { at: line.at_ms, subject: subject.clone(), host: host.clone() });
        }
    }
}

/// The window that has no room for one more at that time.
fn full(
    attempts: &[Attempt],
    now: u64,
    (runbook, subject, host): (&str, &str, &str),
    windows: &[Window],
    storm: Option<&Storm>,
) -> Option<String> {
    let within = |attempt: &&Attempt, ms: u64| attempt.at.saturating_add(ms) > now;
    for window in windows {
        let same = |attempt: &&Attempt| {
            window.scope.key(runbook, &attempt.subject, &attempt.host) == window.scope.key(runbook, subject, host)
        };
        let counted = attempts.iter().filter(same).filter(|attempt| within(attempt, window.window_ms)).count();
        if counted >= window.count as usize {
            return Some(window.label.clone());
        }
    }
    let storm = storm?;
    let key = |attempt: &&Attempt| Scope::Storm.key(runbook, &attempt.subject, &attempt.host) == host;
    let mut touched: Vec<&str> = attempts
        .iter()
        .filter(key)
        .filter(|attempt| within(attempt, storm.window_ms))
        .map(|attempt| attempt.subject.as_str())
        .collect();
    touched.sort_unstable();
    touched.dedup();
    let another = !touched.contains(&subject) && touched.len() >= storm.subjects_max as usize;
    another.then(|| storm.label.clone())
}

pub(super) fn totals(episodes: usize, unmatched: usize, lines: &[Line]) -> Totals {
    let of = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    Totals {
        episodes,
        matched: lines.len(),
        unmatched,
        acts: of(Verdict::Acts),
        asks: of(Verdict::Asks),
        refused: of(Verdict::Refused),
        braked: of(Verdict::Braked),
        nothing: of(Verdict::Nothing),
        failed: of(Verdict::Failed),
        unknown: of(Verdict::Unknown),
    }
}

/// By target, those it would change most often first.
pub(super) fn by_target(lines: &[Line]) -> Vec<TargetLine> {
    let mut targets: BTreeMap<String, TargetLine> = BTreeMap::new();
    for line in lines {
        let name = line.target.clone().unwrap_or_default();
        let target =
            targets.entry(name.clone()).or_insert_with(|| TargetLine { target: name, ..TargetLine::default() });
        target.matched += 1;
        *match line.verdict {
            Verdict::Acts => &mut target.acts,
            Verdict::Asks => &mut target.asks,
            Verdict::Refused => &mut target.refused,
            Verdict::Braked => &mut target.braked,
            Verdict::Nothing => &mut target.nothing,
            Verdict::Failed => &mut target.failed,
            Verdict::Unknown => &mut target.unknown,
        } += 1;
    }
    let mut targets: Vec<TargetLine> = targets.into_values().collect();
    targets.sort_by_key(|target| std::cmp::Reverse(target.acts + target.asks + target.braked));
    targets
}
