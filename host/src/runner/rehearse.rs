//! Rehearsing: a guest executed through the same gate and `perform` as a run that acts, over another world and with its
//! records kept in memory. Plans, shadow runs, scenarios, replays and backtests are rehearsals.
//!
//! Deliberately not here: which world (a driver and a clock say), and what is made of the records.

use std::sync::Arc;
use std::time::Instant;

use sandbook_core::gate::Session;
use sandbook_core::journal::{Journal, Record};
use sandbook_core::run::Outcome;

use super::drivers::Driver;
use super::ending::outcome_of;
use super::execute::input;
use super::ledger::{Ledger, Rehearsed};
use super::parts::Parts;
use super::perform::{Attempt, Why};
use crate::clock::Clock;
use crate::guest::{Call, Ended, Entry, Place};
use crate::library::Package;

/// The world of a rehearsal.
pub struct Stage {
    /// Answers effects.
    pub driver: Arc<dyn Driver>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The operator's policy in it; without one that of the daemon.
    pub policy: Option<Arc<crate::policy::Policy>>,
    /// The runbook's memory, and whose brakes are asked.
    pub kept: Rehearsed,
}

/// What came of a rehearsal.
#[derive(Debug)]
pub struct Rehearsal {
    /// Every record, the header first and without an end.
    pub records: Vec<Record>,
    /// The same, folded.
    pub journal: Journal,
    /// What the guest came to.
    pub outcome: Outcome,
    /// In a sentence.
    pub sentence: String,
    /// The place of an error it did not handle.
    pub place: Option<Place>,
    /// Why the gate ended it, if it did.
    pub fault: Option<String>,
}

/// Executes `run` of a package. A journal with more than a header is replayed first.
pub async fn rehearse(parts: &Parts, package: &Package, journal: Journal, stage: Stage) -> Rehearsal {
    let Stage { driver, clock, policy, kept } = stage;
    let parts = parts.with(driver, clock, policy);
    let windows = parts.windows(&package.manifest);
    let header = journal.header.clone();
    let session = Session::new(journal);
    let attempt =
        Attempt::over(parts.clone(), Ledger::Memory(kept), session, windows, Instant::now(), Default::default());
    let call = Call {
        code: &package.code,
        entry: Entry::Run,
        input: &input(&header),
        limits: &header.limits,
        seed: header.seed,
        door: attempt.clone(),
    };
    let ended = parts.sandbox.run(call).await;
    let journal = attempt.session().await.journal().clone();
    let mut records = vec![Record::Begun { header: Box::new(header) }];
    records.extend(attempt.take_records());
    let rehearsal =
        |outcome, sentence: String, place, fault| Rehearsal { records, journal, outcome, sentence, place, fault };
    match (attempt.take_why(), ended) {
        (Some(why), _) => {
            let sentence = stopped(&why);
            rehearsal(Outcome::Failed, sentence.clone(), None, Some(sentence))
        }
        (None, Ended::Outcome(outcome, sentence)) => rehearsal(outcome, sentence, None, None),
        (None, Ended::Error(error, place)) => rehearsal(outcome_of(error.kind), error.message, place, None),
        (None, Ended::Trap { message, .. }) => rehearsal(Outcome::Failed, message.clone(), None, Some(message)),
        (None, Ended::Stopped) => rehearsal(Outcome::Failed, "it was stopped".to_owned(), None, None),
    }
}

fn stopped(why: &Why) -> String {
    match why {
        Why::Ended(fault) => fault.to_string(),
        Why::Cancelled(why) => why.clone(),
        Why::Waits(_) => "it waits for something that does not happen here".to_owned(),
        Why::Asks(claim) => format!("a person would be asked about {}", claim.effect.name()),
        Why::Broken(error) => format!("{error:#}"),
    }
}
