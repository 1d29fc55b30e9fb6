//! A guest executed again over what is recorded of a run: every answer comes from the record, and nothing else is there
//! to answer.
//!
//! The door has no driver, no policy, no store and no clock, so a replay cannot reach any of them. What the guest asks
//! for is compared with the record at the gate, what it notes is compared here.
//!
//! Deliberately not here: what other code would have done after the point where it differs, see [`crate::replay`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use sandbook_core::effect::{Class, Effect};
use sandbook_core::error::Error;
use sandbook_core::gate::{Fault, Next, Now, Session, Step};
use sandbook_core::journal::{self, Header, Journal, Limits, Record, Request, value_bytes};
use sandbook_core::run::{Mode, Outcome, State};
use serde_json::Value;
use tokio::sync::Notify;

use super::ending::outcome_of;
use super::execute::input;
use crate::guest::{Call, Ended, Entry, Exceeded, Perform, Sandbox, Stopped, exceeded};
use crate::library::Package;

/// How a recorded run ended.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct End {
    pub state: State,
    pub outcome: Option<Outcome>,
    pub sentence: String,
}

/// What is recorded of a run, taken apart for executing it again.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Every record.
    pub records: Vec<Record>,
    /// Folded, without the end, in mode replay.
    pub journal: Journal,
    /// Absent while the run is not over.
    pub end: Option<End>,
    notes: Vec<(String, Value)>,
    mode: Mode,
}

/// Where the guest stopped agreeing with the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// The slot; of a note the one after it.
    pub slot: u32,
    /// What is recorded there; absent when nothing is.
    pub recorded: Option<Request>,
    /// What the guest asks for; absent when it ended.
    pub asked: Option<Request>,
    /// In a sentence.
    pub why: String,
}

/// What came of executing it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Again {
    /// How many recorded answers the guest got.
    pub slots: u32,
    /// What it came to; absent when the record ends before it does.
    pub ended: Option<(Outcome, String)>,
    /// Absent: it is the same.
    pub divergence: Option<Divergence>,
}

impl Recording {
    /// Of a run's records, the header first.
    ///
    /// # Errors
    /// When they break the law of journals.
    pub fn of(records: Vec<Record>) -> Result<Recording, journal::Error> {
        let mut journal = Journal::fold(records.iter().cloned())?;
        let end = journal.end.take().map(|(state, outcome, sentence)| End { state, outcome, sentence });
        let mode = std::mem::replace(&mut journal.header.mode, Mode::Replay);
        let note = |record: &Record| match record {
            Record::Note { effect, data, .. } => Some((effect.clone(), data.clone())),
            Record::Begun { .. }
            | Record::Asked { .. }
            | Record::Answered { .. }
            | Record::Waiting { .. }
            | Record::Intended { .. }
            | Record::Step { .. }
            | Record::Settled { .. }
            | Record::Ended { .. } => None,
        };
        let notes = records.iter().filter_map(note).collect();
        Ok(Recording { records, journal, end, notes, mode })
    }

    /// The header as it was written.
    pub fn header(&self) -> Header {
        Header { mode: self.mode, ..self.journal.header.clone() }
    }

    /// Whether something outside the guest ended it: a person, a limit of time, or the gate after its last record. Then
    /// nobody knows what the guest would have done next.
    fn cut(&self) -> bool {
        let Some(end) = &self.end else { return true };
        let limits = &self.journal.header.limits;
        let by_time = [Exceeded::Cpu, Exceeded::Wall].into_iter().any(|limit| match exceeded(limit, limits) {
            Ended::Trap { message, .. } => self.says(&message),
            Ended::Outcome(..) | Ended::Error(..) | Ended::Stopped => false,
        });
        let by_gate = [Fault::Probing(limits.denials), Fault::JournalBytes(limits.journal_bytes)];
        end.state == State::Cancelled || by_time || by_gate.iter().any(|fault| self.says(&fault.to_string()))
    }

    /// Whether the run ended with these words. A run in shadow quotes them.
    fn says(&self, words: &str) -> bool {
        let Some(end) = &self.end else { return false };
        match self.mode {
            Mode::Shadow => end.sentence.contains(words.trim_end_matches('.')),
            Mode::Live | Mode::Plan | Mode::Replay | Mode::Simulate => end.sentence == words,
        }
    }

    /// Executes a package over the record. `header` says what is pinned: that of the record, or for another version one
    /// with its limits and parameters.
    pub async fn again(&self, sandbox: &Sandbox, package: &Package, header: Header) -> Again {
        let same = header.digest == self.journal.header.digest;
        let header = Header { mode: Mode::Replay, ..header };
        let cut = self.cut();
        let door = Arc::new(Door {
            time_counts: !same,
            limits: header.limits,
            slots: self.journal.slots.len(),
            // What ended it from outside is not asked to happen again.
            stops_at_the_end: cut && same,
            notes: self.notes.clone(),
            inner: Mutex::new(Inner {
                session: Session::new(Journal { header: header.clone(), ..self.journal.clone() }),
                notes: 0,
                notes_bytes: 0,
                reached: None,
            }),
            stop: Notify::new(),
            stopped: AtomicBool::new(false),
        });
        let call = Call {
            code: &package.code,
            entry: Entry::Run,
            input: &input(&header),
            limits: &header.limits,
            seed: header.seed,
            door: door.clone(),
        };
        let ended = sandbox.run(call).await;
        let mut inner = door.lock();
        let slots = inner.session.next_slot();
        let reached = inner.reached.take();
        drop(inner);
        self.judge(slots, reached, ended, cut)
    }

    fn judge(&self, slots: u32, reached: Option<Reached>, ended: Ended, cut: bool) -> Again {
        let again = |ended, divergence| Again { slots, ended, divergence };
        let ended = match (reached, ended) {
            (Some(Reached::Differs(divergence)), _) => return again(None, Some(*divergence)),
            (Some(Reached::Records(_)), _) if cut => return again(None, None),
            (Some(Reached::Records(asked)), _) => {
                let why = format!("the recorded run ended here, and this goes on with {}", asked.effect);
                return again(None, Some(Divergence { slot: slots, recorded: None, asked: Some(asked), why }));
            }
            (Some(Reached::Fault(fault)), _) => (Outcome::Limited, fault.to_string()),
            (None, Ended::Outcome(outcome, sentence)) => (outcome, sentence),
            (None, Ended::Error(error, _)) => (outcome_of(error.kind), error.message),
            (None, Ended::Trap { message, .. }) => (Outcome::Failed, message),
            (None, Ended::Stopped) => (Outcome::Failed, "it was stopped".to_owned()),
        };
        let divergence = self.differs_at_the_end(slots, &ended, cut);
        again(Some(ended), divergence)
    }

    fn differs_at_the_end(&self, slots: u32, (outcome, sentence): &(Outcome, String), cut: bool) -> Option<Divergence> {
        if let Some(next) = self.journal.slots.get(slots as usize) {
            let why =
                format!("the recorded run goes on with {}, and this ends: {outcome}, {sentence}", next.request.effect);
            return Some(Divergence { slot: slots, recorded: Some(next.request.clone()), asked: None, why });
        }
        let end = self.end.as_ref().filter(|_| !cut)?;
        // A rehearsal calls whatever the gate ended failed.
        let shadow = self.mode == Mode::Shadow && end.outcome == Some(Outcome::Failed);
        if self.says(sentence) && (end.outcome == Some(*outcome) || shadow) {
            return None;
        }
        let was = end.outcome.map_or(end.state.name(), Outcome::name);
        let why = format!("the recorded run ended {was}: {}; this ends {outcome}: {sentence}", end.sentence);
        Some(Divergence { slot: slots, recorded: None, asked: None, why })
    }
}

enum Reached {
    /// The record ends, and the guest asks for this.
    Records(Request),
    Differs(Box<Divergence>),
    /// The gate ended it, as it does without looking at any world.
    Fault(Box<Fault>),
}

struct Inner {
    session: Session,
    /// Notes seen.
    notes: usize,
    notes_bytes: u64,
    reached: Option<Reached>,
}

struct Door {
    /// Whether CPU and wall time count: they do for code that was never executed so.
    time_counts: bool,
    limits: Limits,
    slots: usize,
    stops_at_the_end: bool,
    notes: Vec<(String, Value)>,
    inner: Mutex<Inner>,
    stop: Notify,
    stopped: AtomicBool,
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, effect: Effect) -> Result<Result<Value, Error>, Reached> {
        let mut inner = self.lock();
        if effect.class() == Class::Note && effect.validate().is_ok() {
            self.note(&mut inner, &effect)?;
        }
        let asked = Request { effect: effect.name().to_owned(), arguments: effect.arguments() };
        let Next { step, .. } = inner.session.begin(effect, Now { unix_ms: 0, boot_ms: 0 });
        let answer = match step {
            Step::Answer(answer) => answer,
            Step::End(Fault::JournalExhausted { asked, .. }) => return Err(Reached::Records(*asked)),
            Step::End(Fault::ReplayMismatch { slot, recorded, asked }) => {
                let why = format!("recorded is {}, and this asks for {}", said(&recorded), said(&asked));
                let divergence = Divergence { slot, recorded: Some(*recorded), asked: Some(*asked), why };
                return Err(Reached::Differs(Box::new(divergence)));
            }
            Step::End(fault) => return Err(Reached::Fault(Box::new(fault))),
            // The slot is open: that is where the run stood.
            Step::Resolve(_)
            | Step::Authorize(_)
            | Step::Intend(_)
            | Step::Drive(_)
            | Step::Wait(_)
            | Step::Ask(_)
            | Step::Recover(..) => return Err(Reached::Records(asked)),
        };
        let through = inner.session.next_slot() as usize >= self.slots && inner.notes >= self.notes.len();
        if self.stops_at_the_end && through { Err(Reached::Records(asked)) } else { Ok(answer) }
    }

    /// Compares a note with the recorded one. Beyond their byte limit notes were dropped.
    fn note(&self, inner: &mut Inner, effect: &Effect) -> Result<(), Reached> {
        let asked = Request { effect: effect.name().to_owned(), arguments: effect.arguments() };
        inner.notes_bytes += value_bytes(&asked.arguments);
        let number = inner.notes;
        inner.notes += 1;
        if inner.notes_bytes > self.limits.notes_bytes {
            return Ok(());
        }
        let slot = inner.session.next_slot();
        let Some((effect, data)) = self.notes.get(number) else {
            // Notes are written late: the last of a run that did not end may be missing.
            if self.stops_at_the_end {
                return Ok(());
            }
            let why = format!("this notes what is not recorded: {}", said(&asked));
            return Err(Reached::Differs(Box::new(Divergence { slot, recorded: None, asked: Some(asked), why })));
        };
        if *effect == asked.effect && *data == asked.arguments {
            return Ok(());
        }
        let recorded = Request { effect: effect.clone(), arguments: data.clone() };
        let why = format!("the recorded note is {}, and this is {}", said(&recorded), said(&asked));
        Err(Reached::Differs(Box::new(Divergence { slot, recorded: Some(recorded), asked: Some(asked), why })))
    }
}

/// Longest request quoted in a sentence, in bytes.
const SAID_BYTES_MAX: usize = 200;

fn said(request: &Request) -> String {
    let mut arguments = request.arguments.to_string();
    sandbook_core::error::truncate_at_char(&mut arguments, SAID_BYTES_MAX);
    format!("{} {arguments}", request.effect)
}

impl Perform for Door {
    fn perform(&self, effect: Effect) -> BoxFuture<'_, Result<Result<Value, Error>, Stopped>> {
        let answer = match self.stopped.load(Ordering::Acquire) {
            true => Err(Stopped),
            false => self.answer(effect).map_err(|reached| {
                self.lock().reached.get_or_insert(reached);
                self.stopped.store(true, Ordering::Release);
                self.stop.notify_waiters();
                Stopped
            }),
        };
        Box::pin(std::future::ready(answer))
    }

    fn journal_time_ms(&self) -> u64 {
        self.lock().session.time_ms()
    }

    fn replaying(&self) -> bool {
        !self.time_counts && self.lock().session.replaying()
    }

    fn waiting(&self) -> bool {
        false
    }

    fn stopped(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                let notified = self.stop.notified();
                if self.stopped.load(Ordering::Acquire) {
                    return;
                }
                notified.await;
            }
        })
    }
}
