//! The gate: a pure machine that says, for one effect after another, what happens next.
//!
//! [`Session::begin`] takes an effect; each answer of the host ([`Session::resolved`], [`Session::authorized`],
//! [`Session::intended`], [`Session::settle`]) gives the next [`Step`] and the records to append before it is taken.
//! The order is recorded answer, bound, resolve, authorize, decide, intend, drive, settle (see the architecture).
//!
//! Invariants: a recorded answer is returned without asking policy, clock, world or driver. Only this module builds a
//! [`Permit`], and without one no driver can be called. No domain word stands here: what an effect is, its class and its
//! recovery say.
//!
//! Deliberately not here: doing anything. The host's `perform` does what the step says and is the only one to do so.

use serde_json::Value;

use crate::effect::{Class, Effect, Recovery, Scope};
use crate::error::Error;
use crate::journal::{self, Answer, Journal, Record, Request, SlotState};
use crate::run::{Certainty, Decision, Mode};
use crate::target::{Kind, Reference, Resolved, Target};

mod asking;
mod bound;
mod bounds;
mod permit;
mod replay;
mod step;
#[cfg(test)]
mod tests;

pub use asking::{APPROVAL_MS, APPROVAL_MS_MAX, APPROVAL_MS_MIN, fingerprint};
pub use bound::drove;
pub use bounds::{Fault, OVERRUN_MAX};
pub use permit::{Permit, Route};
pub use step::{Claim, Next, Now, PolicyLimit, Recovered, Step, Verdict};

/// After a drive's deadline, how long the world may still be finishing what a lost client asked for, beyond the effect's
/// own waiting: measured on dockerd, a restart whose client was cut happened at its full grace plus 0.2 s.
pub const HORIZON_MARGIN_MS: u64 = 5_000;

/// Attempts of one slot whose answer was lost and that proved not done: an engine that loses every answer is not helped
/// by asking it for ever, and further attempts count in no brake.
pub const ATTEMPTS_MAX: u32 = 3;

enum Phase {
    Idle,
    Resolving(Pending),
    Authorizing(Pending),
    Intending(Pending),
    Waiting(Pending),
    Recovering(Pending),
    Driving { slot: u32 },
}

/// The effect in hand.
struct Pending {
    slot: u32,
    effect: Effect,
    resolved: Option<Resolved>,
    /// Why nothing was resolved; told only to whom policy would have permitted it.
    unresolved: Option<Error>,
    policy: Vec<String>,
    limits: Vec<PolicyLimit>,
    decision: Decision,
}

/// One run at the gate.
pub struct Session {
    journal: Journal,
    next_slot: u32,
    next_note: u32,
    counts: bounds::Counts,
    phase: Phase,
    /// How long a person has to answer, in milliseconds.
    approval_ms: u64,
}

impl Session {
    /// A session over what is already recorded of the run; a new run has only its header.
    pub fn new(journal: Journal) -> Session {
        let counts = bounds::Counts::recorded(&journal);
        Session { journal, next_slot: 0, next_note: 0, counts, phase: Phase::Idle, approval_ms: APPROVAL_MS }
    }

    /// What is recorded so far.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Whether the next effect has a recorded answer. CPU and wall limits do not apply while it has.
    pub fn replaying(&self) -> bool {
        self.journal.slots.get(self.next_slot as usize).is_some_and(|slot| slot.state == SlotState::Settled)
    }

    /// Takes a guest's effect.
    pub fn begin(&mut self, effect: Effect, now: Now) -> Next {
        if !matches!(self.phase, Phase::Idle) {
            return Next::end(Fault::Confused("an effect began while another was in hand"));
        }
        if effect.class() == Class::Note {
            return self.note(&effect, now);
        }
        let slot = self.next_slot;
        if let Some(recorded) = self.journal.slots.get(slot as usize) {
            if recorded.request.effect != effect.name() || recorded.request.arguments != effect.arguments() {
                let recorded = Box::new(recorded.request.clone());
                return Next::end(Fault::ReplayMismatch { slot, recorded, asked: Box::new(request(&effect)) });
            }
            if let Some(answer) = &recorded.answer {
                let answer = answer.clone();
                self.next_slot += 1;
                return Next::answer(answer.into());
            }
            return self.reopen(slot, effect, now);
        }
        // What goes beyond the effects of a run took no slot when it was recorded either.
        if self.journal.header.mode == Mode::Replay && slot < self.journal.header.limits.effects {
            return Next::end(Fault::JournalExhausted { slot, asked: Box::new(request(&effect)) });
        }
        if let Err(refusal) = self.counts.admit(&self.journal.header.limits) {
            return *refusal;
        }
        let pending = Pending::new(slot, effect);
        if let Err(error) = pending.effect.validate() {
            return self.conclude(pending, Decision::Allow, Err(error), now);
        }
        if pending.effect.class().needs_request() && !self.requested(pending.effect.name()) {
            let message = format!(
                "{} is not requested; add it to `effects` under [requests] in runbook.toml of {}",
                pending.effect.name(),
                self.journal.header.runbook
            );
            return self.conclude(pending, Decision::Deny, Err(Error::denied(message)), now);
        }
        self.advance(pending, now)
    }

    fn requested(&self, name: &str) -> bool {
        self.journal.header.requests.iter().any(|request| request == name)
    }

    /// Goes on with a slot that has records but no answer: after a wait, an answered question, or a crash.
    fn reopen(&mut self, slot: u32, effect: Effect, now: Now) -> Next {
        let recorded = &self.journal.slots[slot as usize];
        let mut pending = Pending::new(slot, effect);
        match recorded.state {
            SlotState::Waiting => {
                let until = recorded.until.unwrap_or(now.unix_ms);
                self.phase = Phase::Waiting(pending);
                Next::then(Step::Wait(until))
            }
            SlotState::Asked if recorded.expires_at.is_some_and(|expires_at| now.unix_ms >= expires_at) => {
                self.expire(pending, now)
            }
            SlotState::Asked => {
                pending.resolved = recorded.resolved.as_deref().cloned();
                Next::then(Step::Ask(Box::new(self.claim(&pending))))
            }
            SlotState::Answered => self.answered(pending, now),
            SlotState::Intended | SlotState::Step => {
                pending.resolved = recorded.resolved.as_deref().cloned();
                pending.policy.clone_from(&recorded.policy);
                let recovery = pending.effect.recovery();
                let claim = Box::new(self.claim(&pending));
                self.phase = Phase::Recovering(pending);
                Next::then(Step::Recover(claim, recovery))
            }
            SlotState::Vacant | SlotState::Settled => Next::end(Fault::Confused("an open slot is vacant or settled")),
        }
    }

    fn advance(&mut self, pending: Pending, now: Now) -> Next {
        match pending.effect.scope() {
            Scope::Run | Scope::Memory => self.permitted(pending, now),
            Scope::Container(_)
            | Scope::Host
            | Scope::Service(_)
            | Scope::Url(_)
            | Scope::Net(..)
            | Scope::Channel(_)
            | Scope::Metrics
            | Scope::Part(_) => {
                let step = Step::Resolve(pending.effect.clone());
                self.phase = Phase::Resolving(pending);
                Next::then(step)
            }
        }
    }

    /// What the effect is about, or why it is about nothing.
    pub fn resolved(&mut self, resolved: Result<Resolved, Error>, now: Now) -> Next {
        let Phase::Resolving(mut pending) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Next::end(Fault::Confused("nothing was being resolved"));
        };
        match resolved {
            Ok(resolved) => pending.resolved = Some(resolved),
            // Unknown and ungranted names must answer alike, so policy speaks first.
            Err(error) if pending.effect.class().needs_operator() => {
                pending.resolved = Some(as_written(&self.journal.header.host, &pending.effect));
                pending.unresolved = Some(error);
            }
            Err(error) => return self.conclude(pending, Decision::Allow, Err(error), now),
        }
        if !pending.effect.class().needs_operator() {
            return self.permitted(pending, now);
        }
        let claim = Box::new(self.claim(&pending));
        self.phase = Phase::Authorizing(pending);
        Next::then(Step::Authorize(claim))
    }

    /// What policy says.
    pub fn authorized(&mut self, verdict: Verdict, now: Now) -> Next {
        let Phase::Authorizing(mut pending) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Next::end(Fault::Confused("nothing was being authorized"));
        };
        pending.policy = verdict.policy;
        pending.limits = verdict.limits;
        if verdict.decision == Decision::Deny || verdict.decision == Decision::Limited {
            let separator = if verdict.fix.is_empty() { "" } else { "; " };
            let error = Error::denied(format!("{}{separator}{}", verdict.reason, verdict.fix));
            return self.conclude(pending, Decision::Deny, Err(error), now);
        }
        if let Some(error) = pending.unresolved.take() {
            return self.conclude(pending, Decision::Allow, Err(error), now);
        }
        if let Some(why) = self.beyond_plan(&pending).filter(|_| !self.approved(&pending)) {
            return self.ask(pending, why, now);
        }
        if verdict.decision == Decision::Ask && !self.approved(&pending) && self.journal.header.mode == Mode::Live {
            return self.ask(pending, verdict.reason, now);
        }
        pending.decision = verdict.decision;
        self.permitted(pending, now)
    }

    fn permitted(&mut self, pending: Pending, now: Now) -> Next {
        match (pending.effect.class(), pending.effect.recovery().writes_intent()) {
            (Class::Wait, _) => self.wait(pending, now),
            (Class::Mutate | Class::Egress | Class::Tell, true) => {
                let claim = Box::new(self.claim(&pending));
                self.phase = Phase::Intending(pending);
                Next::then(Step::Intend(claim))
            }
            (Class::Ambient | Class::Note | Class::State | Class::Observe, _)
            | (Class::Mutate | Class::Egress | Class::Tell, false) => self.drive(pending, 0, Vec::new(), now),
        }
    }

    fn wait(&mut self, pending: Pending, now: Now) -> Next {
        if let Some(how) = asking::question(&pending.effect) {
            return self.put_question(pending, &how, now);
        }
        let Effect::Sleep(sleep) = &pending.effect else {
            return Next::end(Fault::Confused("a wait that does not say for how long"));
        };
        let until = now.unix_ms + sleep.duration_ms;
        let record = Record::Waiting { slot: pending.slot, request: request(&pending.effect), until, at: now.unix_ms };
        self.phase = Phase::Waiting(pending);
        self.record(vec![record], false, Step::Wait(until))
    }

    /// The intent of the effect in hand, to be appended in the transaction that counts the attempt.
    pub fn intent(&self, now: Now) -> Option<Record> {
        let Phase::Intending(pending) = &self.phase else { return None };
        Some(Record::Intended {
            slot: pending.slot,
            request: request(&pending.effect),
            resolved: pending.resolved.clone().map(Box::new),
            attempt: self.attempt(pending.slot) + 1,
            policy: pending.policy.clone(),
            horizon_at: now.unix_ms + pending.effect.deadline_ms() + HORIZON_MARGIN_MS,
            boot_ms: Some(now.boot_ms),
            at: now.unix_ms,
        })
    }

    /// Whether the transaction took the intent, or what held it back. On `Ok` the intent is already on disk.
    pub fn intended(&mut self, intent: Result<Record, Error>, now: Now) -> Next {
        let Phase::Intending(pending) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Next::end(Fault::Confused("nothing was being intended"));
        };
        match intent {
            Ok(record) => {
                if let Err(error) = self.journal.append(&record) {
                    return Next::end(Fault::Journal(error));
                }
                let attempt = self.attempt(pending.slot);
                // The permit counts from the intent, however long writing it took: nothing begun with it can outlive
                // the intent's horizon.
                let since = match self.journal.slots.get(pending.slot as usize).and_then(|slot| slot.intended) {
                    Some((_, Some(boot_ms))) => Now { boot_ms, ..now },
                    Some((_, None)) | None => now,
                };
                self.drive(pending, attempt, Vec::new(), since)
            }
            Err(error) => self.conclude(pending, Decision::Limited, Err(error), now),
        }
    }

    fn drive(&mut self, pending: Pending, attempt: u32, records: Vec<Record>, now: Now) -> Next {
        let route = Route::of(self.journal.header.mode, pending.effect.class());
        let slot = pending.slot;
        let permit = Permit::new(&self.journal.header, pending.effect, pending.resolved, slot, attempt, route, now)
            .decided(pending.decision, pending.policy);
        self.phase = Phase::Driving { slot };
        Next { records, durable: false, step: Step::Drive(Box::new(permit)) }
    }

    /// A sub-step that a driver wants on disk before it goes on.
    pub fn step(&mut self, data: Value, now: Now) -> Result<Record, Fault> {
        let slot = match &self.phase {
            Phase::Driving { slot } => *slot,
            Phase::Recovering(pending) => pending.slot,
            Phase::Idle | Phase::Resolving(_) | Phase::Authorizing(_) | Phase::Intending(_) | Phase::Waiting(_) => {
                return Err(Fault::Confused("a sub-step outside a drive"));
            }
        };
        let record = Record::Step { slot, data, at: now.unix_ms };
        self.journal.append(&record).map_err(Fault::Journal)?;
        Ok(record)
    }

    /// What the driver answered.
    pub fn settle(&mut self, permit: Permit, result: Result<Value, Error>, now: Now) -> Next {
        let certainty = match permit.route() {
            Route::Live => Certainty::Real,
            Route::Simulated => Certainty::Modelled,
        };
        self.settle_as(permit, certainty, result, now)
    }

    /// What the driver answered, and how sure that is.
    pub fn settle_as(&mut self, permit: Permit, certainty: Certainty, result: Result<Value, Error>, now: Now) -> Next {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Driving { slot } if slot == permit.slot() => {}
            Phase::Idle
            | Phase::Resolving(_)
            | Phase::Authorizing(_)
            | Phase::Intending(_)
            | Phase::Waiting(_)
            | Phase::Recovering(_)
            | Phase::Driving { .. } => return Next::end(Fault::Confused("settled what was not driven")),
        }
        let pending = permit.into_pending();
        let result = bounds::check_result(&pending.effect, result, &self.journal.header.limits);
        self.conclude_as(pending, certainty, result, now)
    }

    /// The record that [`Session::settle`] would append for this result: for what is stored in one transaction with it.
    pub fn preview(&self, permit: &Permit, result: Result<Value, Error>, now: Now) -> Record {
        Record::Settled {
            slot: permit.slot(),
            request: Some(request(permit.effect())),
            target: permit.resolved().map(|resolved| resolved.target.clone()),
            decision: Decision::Allow,
            certainty: match permit.route() {
                Route::Live => Certainty::Real,
                Route::Simulated => Certainty::Modelled,
            },
            policy: Vec::new(),
            answer: Answer::from(result),
            at: now.unix_ms,
        }
    }

    /// The wait is over.
    pub fn woken(&mut self, now: Now) -> Next {
        let Phase::Waiting(pending) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Next::end(Fault::Confused("nothing was waiting"));
        };
        self.conclude(pending, Decision::Allow, Ok(Value::Null), now)
    }

    /// The permit of the attempt that is being recovered, to finish or take back what is half done: it was let through,
    /// counted and recorded before. `None` when nothing is.
    pub fn reissue(&self, now: Now) -> Option<Permit> {
        let Phase::Recovering(pending) = &self.phase else { return None };
        let (effect, resolved) = (pending.effect.clone(), pending.resolved.clone());
        let route = Route::of(self.journal.header.mode, effect.class());
        let attempt = self.attempt(pending.slot);
        Some(Permit::new(&self.journal.header, effect, resolved, pending.slot, attempt, route, now))
    }

    /// How the open intent turned out.
    pub fn recovered(&mut self, how: Recovered, now: Now) -> Next {
        let Phase::Recovering(pending) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Next::end(Fault::Confused("nothing was being recovered"));
        };
        match how {
            Recovered::Done(value) => self.conclude(pending, Decision::Allow, Ok(value), now),
            Recovered::NotDone if self.attempt(pending.slot) >= ATTEMPTS_MAX => {
                let asked = Box::new(request(&pending.effect));
                let reason = format!("it was tried {ATTEMPTS_MAX} times, each answer was lost and nothing came of it");
                Next::end(Fault::NeedsAttention { slot: pending.slot, asked, reason })
            }
            Recovered::NotDone => self.advance(Pending::new(pending.slot, pending.effect), now),
            Recovered::Unknown(reason) => {
                let asked = Box::new(request(&pending.effect));
                Next::end(Fault::NeedsAttention { slot: pending.slot, asked, reason })
            }
        }
    }

    fn attempt(&self, slot: u32) -> u32 {
        self.journal.slots.get(slot as usize).map_or(0, |slot| slot.attempt)
    }

    fn claim(&self, pending: &Pending) -> Claim {
        Claim {
            slot: pending.slot,
            effect: pending.effect.clone(),
            resolved: pending
                .resolved
                .clone()
                .unwrap_or_else(|| as_written(&self.journal.header.host, &pending.effect)),
            attempt: self.attempt(pending.slot) + 1,
            limits: pending.limits.clone(),
        }
    }

    fn conclude(&mut self, mut pending: Pending, decision: Decision, result: Result<Value, Error>, now: Now) -> Next {
        pending.decision = decision;
        self.conclude_as(pending, Certainty::Real, result, now)
    }

    fn conclude_as(&mut self, pending: Pending, certainty: Certainty, result: Result<Value, Error>, now: Now) -> Next {
        let denied = pending.decision == Decision::Deny;
        let known = (pending.slot as usize) < self.journal.slots.len();
        let record = Record::Settled {
            slot: pending.slot,
            request: (!known).then(|| request(&pending.effect)),
            target: pending.resolved.as_ref().map(|resolved| resolved.target.clone()),
            decision: pending.decision,
            certainty,
            policy: pending.policy,
            answer: Answer::from(result.clone()),
            at: now.unix_ms,
        };
        self.next_slot = pending.slot + 1;
        // Plain reads may be flushed late: after a crash they are read again.
        let durable = pending.effect.recovery() != Recovery::Again;
        let next = self.record(vec![record], durable, Step::Answer(result));
        if denied && let Err(fault) = self.counts.deny(&self.journal.header.limits) {
            return Next { records: next.records, durable: true, step: Step::End(fault) };
        }
        next
    }

    fn note(&mut self, effect: &Effect, now: Now) -> Next {
        if let Err(error) = effect.validate() {
            return Next::answer(Err(error));
        }
        let number = self.next_note;
        self.next_note += 1;
        if number < self.journal.notes {
            return Next::answer(Ok(Value::Null));
        }
        let data = effect.arguments();
        match self.counts.admit_note(&data, &self.journal.header.limits) {
            bounds::NoteAdmission::Keep => {
                let record = Record::Note { effect: effect.name().to_owned(), data, at: now.unix_ms };
                self.record(vec![record], false, Step::Answer(Ok(Value::Null)))
            }
            bounds::NoteAdmission::Last(data) => {
                let record = Record::Note { effect: effect.name().to_owned(), data, at: now.unix_ms };
                self.record(vec![record], false, Step::Answer(Ok(Value::Null)))
            }
            bounds::NoteAdmission::Drop => Next::answer(Ok(Value::Null)),
            bounds::NoteAdmission::Flood(fault) => Next::end(fault),
        }
    }

    fn record(&mut self, records: Vec<Record>, durable: bool, step: Step) -> Next {
        for record in &records {
            if let Err(error) = self.journal.append(record) {
                return Next::end(Fault::Journal(error));
            }
        }
        if let Err(fault) = bounds::check_journal(&self.journal) {
            return Next { records, durable: true, step: Step::End(fault) };
        }
        Next { records, durable, step }
    }
}

impl Pending {
    fn new(slot: u32, effect: Effect) -> Pending {
        Pending {
            slot,
            effect,
            resolved: None,
            unresolved: None,
            policy: Vec::new(),
            limits: Vec::new(),
            decision: Decision::Allow,
        }
    }
}

fn request(effect: &Effect) -> Request {
    Request { effect: effect.name().to_owned(), arguments: effect.arguments() }
}

/// What an effect is about when nothing answers to the name: the name as the guest wrote it.
fn as_written(own_host: &str, effect: &Effect) -> Resolved {
    let mut host = own_host.to_owned();
    let (kind, name) = match effect.scope() {
        Scope::Container(name) => {
            let reference = Reference::parse(name);
            host = reference.host.unwrap_or(host);
            (Kind::Container, reference.name)
        }
        Scope::Url(url) => (Kind::None, url.to_owned()),
        Scope::Net(host, Some(port)) => (Kind::None, format!("{host}:{port}")),
        Scope::Net(host, None) => (Kind::None, host.to_owned()),
        Scope::Channel(channel) => (Kind::None, channel.unwrap_or("").to_owned()),
        Scope::Host => (Kind::Host, own_host.to_owned()),
        Scope::Service(name) => (Kind::Service, name.to_owned()),
        Scope::Part(part) => (Kind::None, part.name().to_owned()),
        Scope::Memory | Scope::Metrics | Scope::Run => (Kind::None, String::new()),
    };
    let target = Target { host, kind, name, id: None };
    Resolved { subject: target.to_string(), target, facts: None, before: None }
}

/// The state a journal is left in by records that may not be there is a defect of the store, so it is named.
impl From<journal::Error> for Fault {
    fn from(error: journal::Error) -> Fault {
        Fault::Journal(error)
    }
}
