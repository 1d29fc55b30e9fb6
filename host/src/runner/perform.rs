//! `perform`: does what the gate says, and is the only caller of drivers.
//!
//! One [`Attempt`] is one execution of a run's guest. Its session is the gate; everything the gate wants appended is
//! appended before the step it belongs to, and nothing is driven, answered or waited for without a step that says so.
//! A fault of the daemon itself (journal, disk) ends the attempt and is never seen by the guest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sandbook_core::effect::{Class, Effect};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::{Claim, Fault, Next, Permit, Recovered, Session, Step};
use sandbook_core::journal::Record;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::ledger::Ledger;
use super::locks::{Held, Locks};
use super::parts::Parts;
use crate::driver::Steps;
use crate::guest::{Perform, Stopped};
use crate::store::{self, Trip, Window};

/// Waits up to this long, in milliseconds, keep the guest: dropping and replaying it costs a millisecond and a commit.
const INLINE_WAIT_MS: u64 = 1_000;

/// Why an attempt was stopped before its guest was through.
#[derive(Debug)]
pub enum Why {
    /// It waits until then (milliseconds since 1970); the guest is dropped and resumes by replay.
    Waits(u64),
    /// A person is asked.
    Asks(Box<Claim>),
    /// The gate ended the run.
    Ended(Fault),
    /// Somebody cancelled it.
    Cancelled(String),
    /// The daemon itself failed; the run goes on with another attempt.
    Broken(anyhow::Error),
}

impl Why {
    pub(super) fn take_place(self, first: &mut Option<Why>) {
        let waits = matches!(first, Some(Why::Waits(_) | Why::Asks(_)));
        if first.is_none() || waits && matches!(self, Why::Cancelled(_)) {
            *first = Some(self);
        }
    }
}

/// One execution of a run's guest.
pub struct Attempt {
    pub(super) run: String,
    target: Option<String>,
    pub(super) parts: Arc<Parts>,
    pub(super) ledger: Ledger,
    /// What it may touch: all there is, and what it holds.
    pub(super) locks: Arc<Locks>,
    pub(super) held: Mutex<Held>,
    session: tokio::sync::Mutex<Session>,
    /// Engine and manifest brakes of this run.
    pub(super) windows: Vec<Window>,
    pub(super) labels: BTreeMap<String, String>,
    why: Mutex<Option<Why>>,
    /// Brakes this attempt tripped and nobody was told of yet.
    pub(super) trips: Mutex<Vec<Trip>>,
    stop: Notify,
    stopped: AtomicBool,
    journal_time_ms: AtomicU64,
    replaying: AtomicBool,
    waiting: AtomicBool,
    /// Changes really driven in this attempt or recorded before.
    changes: AtomicU64,
    /// It only looks, and nothing of it is kept.
    pub(super) observing: AtomicBool,
    accepted: Instant,
    first_effect: AtomicBool,
}

impl Attempt {
    /// An attempt over a session. `accepted` is when the trigger was heard, for the time to the first effect.
    pub fn new(
        parts: Arc<Parts>,
        session: Session,
        windows: Vec<Window>,
        accepted: Instant,
        (locks, held): (Arc<Locks>, Held),
    ) -> Arc<Attempt> {
        let run = session.journal().header.run.clone();
        let ledger = Ledger::Disk { store: parts.store.clone(), run };
        Attempt::over(parts, ledger, session, windows, accepted, (locks, held))
    }

    /// An attempt that keeps its records elsewhere.
    pub fn over(
        parts: Arc<Parts>,
        ledger: Ledger,
        session: Session,
        windows: Vec<Window>,
        accepted: Instant,
        (locks, held): (Arc<Locks>, Held),
    ) -> Arc<Attempt> {
        let header = &session.journal().header;
        let labels = header.alert.as_ref().map(|alert| alert.labels.clone()).unwrap_or_default();
        Arc::new(Attempt {
            run: header.run.clone(),
            target: header.target.as_ref().map(ToString::to_string),
            journal_time_ms: AtomicU64::new(session.time_ms()),
            replaying: AtomicBool::new(session.replaying()),
            session: tokio::sync::Mutex::new(session),
            parts,
            ledger,
            locks,
            held: Mutex::new(held),
            windows,
            labels,
            why: Mutex::new(None),
            trips: Mutex::default(),
            stop: Notify::new(),
            stopped: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            observing: AtomicBool::new(false),
            accepted,
            first_effect: AtomicBool::new(false),
        })
    }

    /// What an attempt recorded that keeps its records in memory.
    pub fn take_records(&self) -> Vec<Record> {
        self.ledger.take_records()
    }

    /// What it is about, as `host/name`.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Stops it: its guest gets no more answers. The first reason stays; but what is cancelled does not wait.
    pub fn stop(&self, why: Why) {
        why.take_place(&mut self.why.lock().unwrap_or_else(PoisonError::into_inner));
        self.stopped.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }

    /// Why it was stopped, if it was.
    pub fn take_why(&self) -> Option<Why> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The brakes it tripped since this was asked last.
    pub fn take_trips(&self) -> Vec<Trip> {
        std::mem::take(&mut *self.trips.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes of the world in this attempt, also those found done and those that may have happened.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// The session, once the guest is through.
    pub async fn session(&self) -> tokio::sync::MutexGuard<'_, Session> {
        self.session.lock().await
    }

    async fn answer(&self, effect: Effect) -> Result<Result<Value, Error>, Why> {
        let mut session = self.session.lock().await;
        let mut next = session.begin(effect, self.parts.clock.now());
        loop {
            let Next { records, durable, step } = next;
            if !records.is_empty() {
                self.append(records, durable).await?;
            }
            next = match step {
                Step::Answer(answer) => {
                    self.journal_time_ms.store(session.time_ms(), Ordering::Relaxed);
                    self.replaying.store(session.replaying(), Ordering::Relaxed);
                    return Ok(answer);
                }
                Step::Resolve(effect) => {
                    let host = session.journal().header.host.clone();
                    let resolved = self.parts.driver.resolve(&host, &effect.scope()).await;
                    session.resolved(resolved, self.parts.clock.now())
                }
                Step::Authorize(claim) => {
                    let verdict = self.authorize(&session, &claim).await?;
                    session.authorized(verdict, self.parts.clock.now())
                }
                Step::Intend(claim) => self.intend(&mut session, &claim).await?,
                Step::Drive(permit) => self.drive(&mut session, *permit).await?,
                Step::Wait(until) => {
                    self.wait(until).await?;
                    session.woken(self.parts.clock.now())
                }
                Step::Ask(claim) => return Err(Why::Asks(claim)),
                Step::Recover(claim, how) => {
                    let recovered = self.recover(&mut session, &claim, how).await?;
                    if claim.effect.class() == Class::Mutate && matches!(recovered, Recovered::Done(_)) {
                        self.changes.fetch_add(1, Ordering::Relaxed);
                    }
                    self.note_late_drift(&session, &claim, &recovered).await?;
                    session.recovered(recovered, self.parts.clock.now())
                }
                Step::End(fault) => return Err(Why::Ended(fault)),
            };
        }
    }

    /// Gives its locks back.
    pub fn release(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Held::default();
    }

    pub(super) async fn append(&self, records: Vec<Record>, durable: bool) -> Result<(), Why> {
        self.ledger.append(records, durable).await.map_err(broken)
    }

    async fn drive(&self, session: &mut Session, permit: Permit) -> Result<Next, Why> {
        let (effect, class) = (permit.effect().name(), permit.effect().class());
        if class == Class::Mutate {
            self.note_first_effect();
        }
        if let Some(next) = self.remember(session, &permit).await? {
            return Ok(next(permit, session));
        }
        self.note_before(session, &permit).await?;
        let now = self.parts.clock.now();
        if permit.attempt() > 0 && permit.not_after_boot_ms() < now.boot_ms + permit.deadline_ms() {
            // The daemon stood still since its intent. Nothing was sent: the run comes back, looks, and tries again.
            return Err(Why::Waits(now.unix_ms));
        }
        let began = Instant::now();
        let result = match self.engine_answer(&permit, session).await? {
            Some(answer) => answer,
            None => {
                let steps = self.recorder(session);
                self.parts.driver.drive(&permit, &steps).await
            }
        };
        self.parts.metrics.effect(effect, &result, began.elapsed());
        let lost = matches!(&result, Err(error) if error.kind == ErrorKind::Timeout)
            && class == Class::Mutate
            // An answer that is assumed was not lost.
            && self.parts.driver.certainty(&permit) != sandbook_core::run::Certainty::Assumed
            && !outlived(permit.effect(), began.elapsed());
        let result = match lost {
            false => result,
            true => match self.look_after_timeout(&permit).await {
                Some(done) => Ok(done),
                None => {
                    // It may have happened, and what comes of it must not start others.
                    self.changes.fetch_add(1, Ordering::Relaxed);
                    return Err(self.until_horizon(session, permit.slot()).await);
                }
            },
        };
        if class == Class::Mutate && result.is_ok() {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        self.note_drift(session, permit.slot(), (permit.effect(), permit.resolved()), &result).await?;
        let certainty = self.parts.driver.certainty(&permit);
        Ok(session.settle_as(permit, certainty, result, self.parts.clock.now()))
    }

    fn note_first_effect(&self) {
        if !self.first_effect.swap(true, Ordering::Relaxed) {
            self.parts.metrics.first_effect(self.accepted.elapsed());
        }
    }

    /// What the engine answers itself: memory reads, clock and random.
    async fn engine_answer(&self, permit: &Permit, session: &Session) -> Result<Option<Result<Value, Error>>, Why> {
        let simulated = permit.route() == sandbook_core::gate::Route::Simulated;
        Ok(match permit.effect() {
            Effect::Now(_) => Some(Ok(json!(self.parts.clock.now().unix_ms))),
            Effect::RandomU64(_) if !simulated => Some(match getrandom::u64() {
                Ok(number) => Ok(json!(number)),
                Err(error) => Err(Error::failed(format!("random.random-u64: {error}"))),
            }),
            Effect::StateGet(op) => {
                let runbook = &session.journal().header.runbook;
                let value = self.ledger.get(runbook, &op.key).await.map_err(broken)?;
                Some(Ok(value.map_or(Value::Null, Value::String)))
            }
            _ => None,
        })
    }

    /// Memory is written in the same transaction as its outcome.
    #[allow(clippy::type_complexity, reason = "a continuation, used once")]
    async fn remember(
        &self,
        session: &mut Session,
        permit: &Permit,
    ) -> Result<Option<Box<dyn FnOnce(Permit, &mut Session) -> Next + Send>>, Why> {
        let now = self.parts.clock.now();
        let runbook = session.journal().header.runbook.clone();
        let settled = match permit.effect() {
            Effect::StatePut(op) => {
                let record = session.preview(permit, Ok(Value::Null), now);
                let put = self.ledger.put(record, &runbook, &op.key, &op.value);
                put.await.map_err(broken)?.map(|()| Value::Null)
            }
            Effect::StateCompareAndPut(op) => {
                let (yes, no) =
                    (session.preview(permit, Ok(json!(true)), now), session.preview(permit, Ok(json!(false)), now));
                let build: store::RecordOf = Box::new(move |put| if put { yes } else { no });
                let expected = op.expected.as_deref();
                let put = self.ledger.compare_and_put(&runbook, &op.key, expected, &op.value, build);
                put.await.map_err(broken)?.map(|put| json!(put))
            }
            _ => return Ok(None),
        };
        Ok(Some(Box::new(move |permit, session| {
            let stored = settled.is_ok();
            let next = session.settle(permit, settled, now);
            // On success the transaction appended the record already.
            if stored { Next { records: Vec::new(), ..next } } else { next }
        })))
    }

    /// Journals what a driver does inside the slot in hand.
    pub(super) fn recorder<'a>(&'a self, session: &'a mut Session) -> Recorder<'a> {
        Recorder { attempt: self, session: tokio::sync::Mutex::new(session) }
    }

    /// Which run it belongs to.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    async fn wait(&self, until: u64) -> Result<(), Why> {
        let left = until.saturating_sub(self.parts.clock.now().unix_ms);
        if left > INLINE_WAIT_MS && !self.parts.clock.is_virtual() {
            return Err(Why::Waits(until));
        }
        self.waiting.store(true, Ordering::Relaxed);
        self.parts.clock.sleep_until(until).await;
        self.waiting.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether a program simply took longer than it was given: that is its answer, nothing was lost.
fn outlived(effect: &Effect, took: Duration) -> bool {
    let Effect::Exec(exec) = effect else { return false };
    let given = exec.options.timeout_ms.unwrap_or(sandbook_core::effect::docker::EXEC_MS_DEFAULT);
    took >= Duration::from_millis(given)
}

pub(super) fn broken(error: store::Error) -> Why {
    Why::Broken(error.into())
}

/// Journals a driver's sub-steps inside its slot.
pub(super) struct Recorder<'a> {
    attempt: &'a Attempt,
    session: tokio::sync::Mutex<&'a mut Session>,
}

impl Steps for Recorder<'_> {
    fn step<'a>(&'a self, data: Value) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let now = self.attempt.parts.clock.now();
            let record = self.session.lock().await.step(data, now);
            let record = record.map_err(|fault| Error::failed(fault.to_string()))?;
            let appended = self.attempt.ledger.append(vec![record], true).await;
            appended.map_err(|error| Error::failed(error.to_string()))
        })
    }
}

impl Perform for Attempt {
    fn perform(&self, effect: Effect) -> BoxFuture<'_, Result<Result<Value, Error>, Stopped>> {
        Box::pin(async move {
            if self.stopped.load(Ordering::Acquire) {
                return Err(Stopped);
            }
            if self.observing.load(Ordering::Acquire)
                && let Err(refused) = super::verify::only_observes(&effect)
            {
                return Ok(Err(refused));
            }
            match self.answer(effect).await {
                Ok(answer) => Ok(answer),
                Err(why) => {
                    self.stop(why);
                    Err(Stopped)
                }
            }
        })
    }

    fn journal_time_ms(&self) -> u64 {
        self.journal_time_ms.load(Ordering::Relaxed)
    }

    fn replaying(&self) -> bool {
        self.replaying.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
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
