//! Incidents of the same shape: what an alert looks like beside its labels, and how much two of them are alike.
//!
//! A [`Shape`] is what is known of an incident: alert, labels, how the container ended, and the patterns of its log
//! lines ([`template`]). [`likeness`] compares two and says why; [`tried`] counts what was done about the older ones and
//! what came of it. Nothing here guesses: a part that one side does not know counts for nothing, and no part alone but
//! the alert's name or its logs makes two incidents alike.
//!
//! Deliberately not here: where shapes are kept, and which older ones are worth comparing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub mod template;

/// Likeness from which on two incidents are shown as similar, of 100.
pub const LIKENESS_MIN: u8 = 50;
/// Share of the log patterns that must agree where the alerts' names do not, in percent.
const LOGS_ALONE_MIN: u32 = 60;
/// Weights of the parts; a part that one side does not know is left out.
const NAME_WEIGHT: u32 = 30;
const LABELS_WEIGHT: u32 = 20;
const ENDED_WEIGHT: u32 = 20;
const LOGS_WEIGHT: u32 = 30;
/// Labels that say where an alert was made rather than what it is about.
const LABELS_IGNORED: &[&str] =
    &["alertname", "severity", "instance", "job", "prometheus", "monitor", "replica", "id", "container_id", "pod_uid"];

/// What an incident looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// The label `alertname`.
    pub name: String,
    /// All of them.
    pub labels: BTreeMap<String, String>,
    /// How its container was, where somebody looked.
    pub ended: Option<Ended>,
    /// Patterns of its log lines, see [`template::mine`].
    pub logs: Vec<String>,
}

/// How a container was when the alert arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// Docker's word.
    pub status: String,
    /// Docker's word.
    pub health: String,
    /// Of its last exit.
    pub exit_code: Option<i64>,
    /// The kernel ended it.
    pub oom_killed: bool,
}

/// How much two incidents are alike, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likeness {
    /// Of 100.
    pub score: u8,
    /// Such as `same alert`, `same exit code 137`, `3 of 4 log patterns`.
    pub reasons: Vec<String>,
}

/// One part of the comparison: its weight, how far it agrees in percent, and what to say of it.
struct Part {
    weight: u32,
    percent: u32,
    reason: Option<String>,
}

/// Compares a new incident with an older one; `None` when they are not alike enough to be worth showing.
pub fn likeness(new: &Shape, old: &Shape) -> Option<Likeness> {
    let logs = logs(&new.logs, &old.logs);
    let same_name = !new.name.is_empty() && new.name == old.name;
    // Otherwise any two stopped containers would be alike.
    if !same_name && logs.as_ref().is_none_or(|part| part.percent < LOGS_ALONE_MIN) {
        return None;
    }
    let name = Part {
        weight: NAME_WEIGHT,
        percent: if same_name { 100 } else { 0 },
        reason: same_name.then(|| "same alert".to_owned()),
    };
    let parts = [Some(name), labels(&new.labels, &old.labels), ended(new.ended.as_ref(), old.ended.as_ref()), logs];
    let parts: Vec<Part> = parts.into_iter().flatten().collect();
    let weight: u32 = parts.iter().map(|part| part.weight).sum();
    let sum: u32 = parts.iter().map(|part| part.weight * part.percent).sum();
    let score = u8::try_from(sum / weight.max(1)).unwrap_or(100);
    let reasons = parts.into_iter().filter_map(|part| part.reason).collect();
    (score >= LIKENESS_MIN).then_some(Likeness { score, reasons })
}

fn labels(new: &BTreeMap<String, String>, old: &BTreeMap<String, String>) -> Option<Part> {
    let told = |labels: &BTreeMap<String, String>| -> BTreeSet<(String, String)> {
        let meant = labels.iter().filter(|(name, _)| !LABELS_IGNORED.contains(&name.as_str()));
        meant.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (new, old) = (told(new), told(old));
    let all = new.union(&old).count();
    if all == 0 {
        return None;
    }
    let same: Vec<String> = new.intersection(&old).map(|(name, value)| format!("{name}={value}")).collect();
    let reason = (!same.is_empty()).then(|| format!("same {}", same.join(", ")));
    Some(Part { weight: LABELS_WEIGHT, percent: percent(same.len(), all), reason })
}

fn ended(new: Option<&Ended>, old: Option<&Ended>) -> Option<Part> {
    let (new, old) = (new?, old?);
    let same_code = new.exit_code == old.exit_code;
    let told = |ended: &Ended| ended.exit_code.is_some_and(|code| code != 0);
    let percent = match (same_code && new.oom_killed == old.oom_killed, new.health == old.health) {
        (true, true) => 100,
        (true, false) | (false, true) => 50,
        (false, false) => 0,
    };
    let reason = if new.oom_killed && old.oom_killed {
        Some("out of memory both times".to_owned())
    } else if same_code && told(new) {
        new.exit_code.map(|code| format!("same exit code {code}"))
    } else if new.health == old.health && new.health == "unhealthy" {
        Some("unhealthy both times".to_owned())
    } else {
        None
    };
    Some(Part { weight: ENDED_WEIGHT, percent, reason })
}

/// Patterns of errors count three times as much as the rest: every service writes the same lines when it is well.
fn logs(new: &[String], old: &[String]) -> Option<Part> {
    if new.is_empty() || old.is_empty() {
        return None;
    }
    let weight = |text: &String| if template::tells_of_trouble(text) { 3 } else { 1 };
    let found = |text: &&String, among: &[String]| among.iter().any(|other| template::alike(text, other));
    let shared: Vec<&String> = new.iter().filter(|text| found(text, old)).collect();
    let only_old = old.iter().filter(|text| !found(text, new)).map(weight).sum::<usize>();
    let all = new.iter().map(weight).sum::<usize>() + only_old;
    let reason = (!shared.is_empty()).then(|| format!("{} of {} log patterns", shared.len(), new.len()));
    Some(Part { weight: LOGS_WEIGHT, percent: percent(shared.iter().map(|text| weight(text)).sum(), all), reason })
}

fn percent(part: usize, all: usize) -> u32 {
    u32::try_from(part * 100 / all.max(1)).unwrap_or(100)
}

/// What was done once about an older incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the runbook.
    pub runbook: String,
    /// What it changed, each effect once.
    pub effects: BTreeSet<String>,
    /// Whether it helped, where that is known.
    pub helped: Option<bool>,
}

/// What was tried about similar incidents, and how often it helped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Name of the runbook.
    pub runbook: String,
    /// What it changed, in the order of the alphabet; empty where it changed nothing.
    pub effects: Vec<String>,
    /// How often.
    pub times: u32,
    /// How often the alert's condition was gone afterwards.
    pub helped: u32,
    /// How often it was not.
    pub did_not_help: u32,
}

/// Counts attempts by runbook and what it changed: what helped most often first, of equals the one tried more often.
pub fn tried(attempts: &[Attempt]) -> Vec<Tried> {
    let mut counted: BTreeMap<(&String, Vec<&String>), Tried> = BTreeMap::new();
    for attempt in attempts {
        let effects: Vec<&String> = attempt.effects.iter().collect();
        let entry = counted.entry((&attempt.runbook, effects)).or_insert_with(|| Tried {
            runbook: attempt.runbook.clone(),
            effects: attempt.effects.iter().cloned().collect(),
            times: 0,
            helped: 0,
            did_not_help: 0,
        });
        entry.times += 1;
        entry.helped += u32::from(attempt.helped == Some(true));
        entry.did_not_help += u32::from(attempt.helped == Some(false));
    }
    let mut all: Vec<Tried> = counted.into_values().collect();
    all.sort_by(|a, b| (b.helped, a.did_not_help, b.times).cmp(&(a.helped, b.did_not_help, a.times)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &str, service: &str, exit_code: i64, logs: &str) -> Shape {
        let labels = [("alertname", name), ("service", service), ("instance", "host-1:9100")];
        Shape {
            name: name.to_owned(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ended: Some(Ended { exit_code: Some(exit_code), status: "exited".to_owned(), ..Ended::default() }),
            logs: template::mine(logs.lines()),
        }
    }

    const LOST: &str = "connected to db-1\nERROR lost connection to 10.0.0.7:5432 after 3120 ms\ngiving up on job 881";
    const LOST_AGAIN: &str =
        "connected to db-1\nERROR lost connection to 10.0.0.9:5432 after 17 ms\ngiving up on job 4";
    const DISK: &str = "ERROR cannot write /data/7.seg: no space left on device\nshutting down";

    #[test]
    fn the_same_alert_with_the_same_log_is_alike_and_says_why() {
        let found = likeness(&shape("WorkerDown", "worker", 1, LOST_AGAIN), &shape("WorkerDown", "worker", 1, LOST));
        let found = found.expect("alike");
        assert_eq!(found.score, 100);
        assert_eq!(found.reasons, ["same alert", "same service=worker", "same exit code 1", "3 of 3 log patterns"]);
    }

    #[test]
    fn another_cause_of_the_same_alert_is_less_alike() {
        let new = shape("WorkerDown", "worker", 1, LOST_AGAIN);
        let same = likeness(&new, &shape("WorkerDown", "worker", 1, LOST)).expect("alike").score;
        let other = likeness(&new, &shape("WorkerDown", "worker", 137, DISK)).map_or(0, |found| found.score);
        assert!(other + 20 < same, "{other} and {same}");
    }

    #[test]
    fn another_alert_is_alike_only_by_its_log() {
        let new = shape("QueueStuck", "worker", 1, LOST_AGAIN);
        let by_log = likeness(&new, &shape("WorkerDown", "worker", 1, LOST)).expect("alike");
        assert!(!by_log.reasons.contains(&"same alert".to_owned()), "{by_log:?}");
        assert_eq!(likeness(&new, &shape("WorkerDown", "worker", 1, DISK)), None);
        assert_eq!(likeness(&new, &Shape { logs: Vec::new(), ..shape("WorkerDown", "worker", 1, "") }), None);
    }

    #[test]
    fn what_one_side_does_not_know_counts_for_nothing() {
        let bare = Shape { ended: None, logs: Vec::new(), ..shape("WorkerDown", "worker", 1, "") };
        assert_eq!(likeness(&shape("WorkerDown", "worker", 1, LOST), &bare).expect("alike").score, 100);
        assert_eq!(likeness(&Shape::default(), &Shape::default()), None);
    }

    #[test]
    fn what_helped_most_often_comes_first() {
        let attempt = |runbook: &str, effect: &str, helped| Attempt {
            runbook: runbook.to_owned(),
            effects: [effect.to_owned()].into(),
            helped,
        };
        let all = [
            attempt("restart", "docker.restart-container", Some(false)),
            attempt("restart", "docker.restart-container", Some(true)),
            attempt("grow", "docker.update-resources", Some(true)),
            attempt("grow", "docker.update-resources", Some(true)),
            attempt("restart", "docker.restart-container", None),
        ];
        let counted: Vec<_> = tried(&all)
            .into_iter()
            .map(|tried| (tried.runbook, tried.times, tried.helped, tried.did_not_help))
            .collect();
        assert_eq!(counted, [("grow".to_owned(), 2, 2, 0), ("restart".to_owned(), 3, 1, 1)]);
    }
}
