//! The laws, and what is seen of the engine from outside: at its store, at its driver, at its intake.
//!
//! Each law is counted every time it is held against something, so that a figure says whether it was exercised. What is
//! known here is known from the calls themselves; no law asks the engine whether it was obeyed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal::{Journal, Record};
use sandbook_core::run::{Outcome, State};

use crate::sim::Act;

/// What the operator's policy says of every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// It is allowed.
    #[default]
    Allow,
    /// A person is asked.
    Ask,
    /// It is forbidden.
    Forbid,
}

/// A brake, as the harness knows it: of one runbook or of all, counted on its subject or on the host.
pub struct Brake {
    /// Absent: of every runbook.
    pub runbook: Option<&'static str>,
    /// Whether attempts are counted on each subject by itself.
    pub by_subject: bool,
    /// Whether attempts are counted of each runbook by itself.
    pub by_runbook: bool,
    /// At the most.
    pub count: usize,
    /// In this many milliseconds.
    pub window_ms: u64,
}

/// The brakes of the simulation: the engine's (see `engine`) and the manifests' (see `books`).
pub const BRAKES: &[Brake] = &[
    Brake { runbook: None, by_subject: true, by_runbook: true, count: 3, window_ms: 600_000 },
    Brake { runbook: None, by_subject: false, by_runbook: false, count: 14, window_ms: 600_000 },
    Brake { runbook: Some("sim-restart"), by_subject: true, by_runbook: true, count: 2, window_ms: 600_000 },
    Brake { runbook: Some("sim-bounce"), by_subject: true, by_runbook: true, count: 4, window_ms: 600_000 },
    Brake { runbook: Some("restart-exited"), by_subject: true, by_runbook: true, count: 3, window_ms: 3_600_000 },
    Brake { runbook: Some("restart-unhealthy"), by_subject: true, by_runbook: true, count: 3, window_ms: 3_600_000 },
];

/// An attempt that was counted.
#[derive(Debug, Clone)]
pub struct Attempted {
    pub runbook: String,
    pub subject: String,
    pub host: String,
    pub at: u64,
}

/// An alert that was answered with "it survives a crash".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledged {
    pub alert: String,
    pub container: String,
    pub starts_at: i64,
}

/// What was seen.
#[derive(Default)]
pub struct Law {
    pub rule: Rule,
    /// Run and slot of questions that were answered with yes.
    pub approved: BTreeSet<(String, u32)>,
    pub stopped: bool,
    /// The engine has no brakes of its own.
    pub unbraked: bool,
    /// Wall clock until when everything is paused.
    pub paused_until: u64,
    pub acknowledged: BTreeSet<Acknowledged>,
    pub promised_runs: BTreeSet<String>,
    pub checks: u64,
    intents: BTreeMap<Act, String>,
    driven: BTreeMap<Act, u32>,
    executed: BTreeMap<(String, u32), Vec<(u32, &'static str)>>,
    keys: BTreeMap<(String, u32), String>,
    attempts: Vec<Attempted>,
    rearmed: BTreeMap<String, usize>,
    appended: HashMap<String, Option<Vec<Record>>>,
    disk: HashMap<String, Vec<Record>>,
    finals: HashMap<String, (State, Option<Outcome>)>,
    violations: Vec<String>,
}

impl Law {
    /// What was violated, in the order in which it was seen.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Holds a law against something.
    pub fn holds(&mut self, condition: bool, otherwise: impl FnOnce() -> String) {
        self.checks += 1;
        if !condition {
            self.violations.push(otherwise());
        }
    }

    /// Records are handed to the store.
    pub fn append(&mut self, run: &str, records: &[Record]) {
        if let Some(appended) = self.appended.entry(run.to_owned()).or_insert_with(|| Some(Vec::new())) {
            appended.extend_from_slice(records);
        }
    }

    /// An intent that was taken, of any class.
    pub fn intends(&mut self, run: &str, records: &[Record]) {
        for record in records {
            if let Record::Intended { slot, attempt, request, .. } = record {
                let act = Act { run: run.to_owned(), slot: *slot, attempt: *attempt };
                let before = self.intents.insert(act.clone(), request.effect.clone());
                self.holds(before.is_none(), || format!("{act:?} was intended twice"));
            }
        }
    }

    /// They were not taken: the store keeps less than was handed to it, and whoever goes on reads first.
    pub fn failed(&mut self, run: &str) {
        self.appended.insert(run.to_owned(), None);
    }

    /// They were not taken, and nothing else changed.
    pub fn undone(&mut self, run: &str, count: usize) {
        if let Some(Some(appended)) = self.appended.get_mut(run) {
            appended.truncate(appended.len().saturating_sub(count));
        }
    }

    /// The engine reads what is recorded, to go on with it.
    pub fn read(&mut self, run: &str, records: &[Record]) {
        self.appended.insert(run.to_owned(), Some(records.to_vec()));
    }

    /// An attempt of a change was counted.
    pub fn counted(&mut self, attempted: Attempted) {
        if self.unbraked {
            return;
        }
        for brake in BRAKES.iter().filter(|brake| brake.runbook.is_none_or(|name| name == attempted.runbook)) {
            let key = if brake.by_subject {
                format!("{} on {}", attempted.runbook, attempted.subject)
            } else {
                attempted.host.clone()
            };
            let counts_from = self.rearmed.get(&key).copied().unwrap_or(0);
            let alike = |other: &&Attempted| {
                other.host == attempted.host
                    && (!brake.by_subject || other.subject == attempted.subject)
                    && (!brake.by_runbook || other.runbook == attempted.runbook)
                    && other.at > attempted.at.saturating_sub(brake.window_ms)
            };
            let count = self.attempts[counts_from..].iter().filter(alike).count() + 1;
            self.holds(count <= brake.count, || {
                format!(
                    "{count} attempts of {} on {} within {} ms",
                    attempted.runbook, attempted.subject, brake.window_ms
                )
            });
        }
        self.attempts.push(attempted);
    }

    /// A person re-armed a brake: what was attempted before no longer counts for it.
    pub fn rearms(&mut self, key: &str) {
        self.rearmed.insert(key.to_owned(), self.attempts.len());
    }

    /// A permit reached the driver.
    pub fn drives(&mut self, act: &Act, effect: &Effect) {
        if !effect.recovery().writes_intent() {
            return;
        }
        let intended = self.intents.get(act).is_some_and(|name| name == effect.name());
        self.holds(intended, || format!("{} {act:?} is driven without an intent", effect.name()));
        let times = self.driven.entry(act.clone()).or_default();
        *times += 1;
        let times = *times;
        self.holds(times == 1, || format!("{} {act:?} is driven {times} times", effect.name()));
    }

    /// Something really happened in the world.
    pub fn executed(&mut self, act: &Act, effect: &Effect) {
        let done = self.executed.entry((act.run.clone(), act.slot)).or_default();
        done.push((act.attempt, effect.name()));
        let done = done.clone();
        // Messages are sent at least once; their key tells them apart.
        if effect.class() == Class::Mutate {
            self.holds(done.len() <= 1, || format!("{act:?} happened more than once: {done:?}"));
        }
    }

    /// A message was sent, with this key.
    pub fn sent(&mut self, act: &Act, key: &str) {
        let first = self.keys.entry((act.run.clone(), act.slot)).or_insert_with(|| key.to_owned()).clone();
        self.holds(first == key, || format!("{act:?} is sent again under another key: {first}, then {key}"));
    }

    /// What is on disk of a run, looked at when the machine is off or all is quiet.
    pub fn on_disk(&mut self, run: &str, records: Vec<Record>) {
        let before = self.disk.remove(run).unwrap_or_default();
        self.holds(records.starts_with(&before), || format!("{run}: records that were on disk are gone or changed"));
        if let Some(Some(appended)) = self.appended.get(run) {
            let (beginning, appended) = (appended.starts_with(&records), kinds(appended));
            self.holds(beginning, || {
                format!("{run}: the disk has {:?}, which is no beginning of {appended:?}", kinds(&records))
            });
        }
        if !records.is_empty() {
            let folded = Journal::fold(records.iter().cloned());
            self.holds(folded.is_ok(), || format!("{run}: its journal does not fold: {:?}", folded.err()));
        }
        self.disk.insert(run.to_owned(), records);
    }

    /// A run's state on disk.
    pub fn stands(&mut self, run: &str, state: State, outcome: Option<Outcome>) {
        if let Some(before) = self.finals.get(run).copied() {
            self.holds(before == (state, outcome), || format!("{run} ended as {before:?} and is now {state}"));
        }
        if state.is_final() {
            self.finals.insert(run.to_owned(), (state, outcome));
        }
    }

    /// Whether every change that happened has its intent on disk, and every message that was answered was sent.
    pub fn settle_accounts(&mut self) {
        let disk = std::mem::take(&mut self.disk);
        for (run, slot) in self.executed.clone().into_keys() {
            let intended = disk.get(&run).is_some_and(|records| {
                records.iter().any(|record| matches!(record, Record::Intended { slot: of, .. } if *of == slot))
            });
            self.holds(intended, || format!("slot {slot} of {run} happened, and no intent is on disk"));
        }
        for (run, records) in &disk {
            let Ok(journal) = Journal::fold(records.iter().cloned()) else { continue };
            for (number, slot) in journal.slots.iter().enumerate() {
                let told = slot.request.effect == "notify.send"
                    && matches!(slot.answer, Some(sandbook_core::journal::Answer::Ok(_)));
                if told {
                    let key = (run.clone(), u32::try_from(number).unwrap_or(u32::MAX));
                    let sent = self.executed.contains_key(&key);
                    self.holds(sent, || format!("{key:?} says it told somebody, and nothing was sent"));
                }
            }
        }
        self.disk = disk;
    }

    /// What an intent has to obey when it is taken.
    pub fn obeys(&mut self, act: &Act, rule: Rule, now_ms: u64) {
        let (stopped, paused) = (self.stopped, now_ms < self.paused_until);
        self.holds(!stopped, || format!("{act:?} is intended although everything is stopped"));
        self.holds(!paused, || format!("{act:?} is intended although everything is paused"));
        let allowed = match rule {
            Rule::Allow => true,
            Rule::Ask => self.approved.contains(&(act.run.clone(), act.slot)),
            Rule::Forbid => false,
        };
        self.holds(allowed, || format!("{act:?} is intended although the policy says {rule:?}"));
    }
}

fn kinds(records: &[Record]) -> Vec<String> {
    let slot = |record: &Record| record.slot().map_or_else(String::new, |slot| format!(" {slot}"));
    records.iter().map(|record| format!("{}{}", record.kind(), slot(record))).collect()
}
