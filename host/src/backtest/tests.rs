//! Brakes counted over recorded times, and sums.

use std::collections::BTreeMap;

use super::*;
use crate::store::{Scope, Storm, Window};

fn line(at_ms: u64, subjects: &[&str]) -> Line {
    Line {
        episode: format!("e_{at_ms}"),
        alert: "Down".to_owned(),
        at: stamp(at_ms),
        target: subjects.first().map(|subject| (*subject).to_owned()),
        verdict: if subjects.is_empty() { Verdict::Nothing } else { Verdict::Acts },
        changes: Vec::new(),
        outcome: None,
        sentence: "as it went".to_owned(),
        assumed: 0,
        at_ms,
        subjects: subjects.iter().map(|subject| ((*subject).to_owned(), "local".to_owned())).collect(),
    }
}

fn window(scope: Scope, count: u32) -> Window {
    Window { scope, count, window_ms: 1_000, label: "2/1s".to_owned() }
}

fn verdicts(lines: &[Line]) -> Vec<Verdict> {
    lines.iter().map(|line| line.verdict).collect()
}

#[test]
fn a_window_has_room_again_when_its_oldest_attempt_left_it() {
    use Verdict::{Acts, Braked};
    let at = [0, 100, 200, 999, 1_000, 1_050];
    let mut lines: Vec<Line> = at.iter().map(|at| line(*at, &["local/web"])).collect();
    lines.reverse();
    count::brake(&mut lines, "heal", &[window(Scope::RunbookSubject, 2)], &BTreeMap::new());
    assert_eq!(verdicts(&lines), [Acts, Acts, Braked, Braked, Acts, Braked], "in the order of their times");
    assert_eq!(lines[2].sentence, "held back by 2/1s");
    // Another subject has its own count, a host has one for all.
    let mut lines = vec![line(0, &["local/a", "local/b"]), line(1, &["local/c"])];
    count::brake(&mut lines, "heal", &[window(Scope::Subject, 1)], &BTreeMap::new());
    assert_eq!(verdicts(&lines), [Acts, Acts]);
    count::brake(&mut lines, "heal", &[window(Scope::Host, 2)], &BTreeMap::new());
    assert_eq!(verdicts(&lines), [Acts, Braked]);
}

#[test]
fn a_storm_counts_subjects_once() {
    use Verdict::{Acts, Braked};
    let storm = Storm { subjects_max: 2, window_ms: 1_000, label: "storm".to_owned() };
    let storms = BTreeMap::from([("local".to_owned(), Some(storm))]);
    let mut lines: Vec<Line> = ["local/a", "local/a", "local/b", "local/c", "local/a"]
        .iter()
        .zip(0..)
        .map(|(subject, at)| line(at, &[subject]))
        .collect();
    count::brake(&mut lines, "heal", &[], &storms);
    assert_eq!(verdicts(&lines), [Acts, Acts, Acts, Braked, Acts]);
}

#[test]
fn sums_are_by_kind_and_target() {
    let lines = [line(0, &["local/a"]), line(1, &[]), line(2, &["local/b"]), line(3, &["local/b"])];
    let totals = count::totals(6, 2, &lines);
    assert_eq!((totals.episodes, totals.matched, totals.unmatched, totals.acts, totals.nothing), (6, 4, 2, 3, 1));
    let targets = count::by_target(&lines);
    let seen: Vec<(&str, usize)> = targets.iter().map(|target| (target.target.as_str(), target.acts)).collect();
    assert_eq!(seen, [("local/b", 2), ("local/a", 1), ("", 0)]);
}
