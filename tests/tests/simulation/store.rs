//! The engine's store: the real one, asked in an order that depends on no thread, slow or full at times, and gone with
//! the machine before or after a write.
//!
//! A call waits for the real store on the spot, so that no other task runs meanwhile. Deliberately not here: anything
//! that is remembered. What is on disk is what SQLite wrote.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbook::store::*;
use sandbook_core::error::Error as CoreError;
use sandbook_core::journal::Record;
use sandbook_core::run::{Stage, Verification};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::driver::pass;
use crate::law::Attempted;
use crate::sim::{Act, Broken, Fate, Shared, Sim};

/// The store of the simulation.
pub struct SimStore {
    inner: Sqlite,
    sim: Shared,
    /// Nothing that waits is due before this time: most looks for it need no database.
    quiet_until: AtomicU64,
}

/// What kind of call it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It changes nothing.
    Read,
    /// It changes something, but not a journal.
    Write,
    /// It writes a journal: when it fails, nothing that was held back of it is kept.
    Journal,
    /// It may be held back.
    Hold,
}

/// Wakes a thread that waits on the spot.
struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on the spot.
pub fn block<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(tokio::task::unconstrained(future));
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

impl SimStore {
    /// Over a database that is open.
    pub fn new(inner: Sqlite, sim: Shared) -> SimStore {
        SimStore { inner, sim, quiet_until: AtomicU64::new(0) }
    }

    /// The real one, for looking from outside.
    pub fn real(&self) -> &Sqlite {
        &self.inner
    }

    fn call<'a, T: Send + Sync + 'a>(
        &'a self,
        (name, kind, run): (&'static str, Kind, Option<&str>),
        work: Answer<'a, T>,
        seen: impl FnOnce(&mut Sim, &Result<T>) + Send + 'a,
    ) -> Answer<'a, T> {
        let run = run.map(str::to_owned);
        Box::pin(async move {
            let slowness = self.sim.lock().slowness();
            if slowness > 0 {
                pass(slowness).await;
            }
            let fate = self.sim.lock().fate(matches!(kind, Kind::Write | Kind::Journal));
            let die = match fate {
                Fate::Dead => return std::future::pending().await,
                Fate::Full => {
                    self.sim.lock().say(&format!("store: {name}: full"));
                    return self.full(kind, run.as_deref(), seen);
                }
                Fate::Go { die } => die,
            };
            let answer = block(work);
            if matches!(kind, Kind::Write | Kind::Journal) {
                // Something may wait now that did not before.
                self.quiet_until.store(0, Ordering::Relaxed);
            }
            {
                let mut sim = self.sim.lock();
                let about = run.map(|run| sim.name(&run)).unwrap_or_default();
                sim.say(&format!("store: {name} {about}: {}", if answer.is_ok() { "ok" } else { "failed" }));
                seen(&mut sim, &answer);
                if die {
                    sim.die();
                }
            }
            if die { std::future::pending().await } else { answer }
        })
    }

    /// The answer of a full disk. The real store drops what it held back of a journal it could not write; so does this.
    fn full<T>(&self, kind: Kind, run: Option<&str>, seen: impl FnOnce(&mut Sim, &Result<T>)) -> Result<T> {
        if let (Kind::Journal, Some(run)) = (kind, run) {
            let fails: RecordOf = Box::new(|_| std::panic::resume_unwind(Box::new("no room")));
            drop(block(self.inner.memory_compare_and_put(run, "simulation", "none", Some("never"), "", fails)));
        }
        let answer = Err(Error::Full("no room, as the simulation has it".to_owned()));
        seen(&mut self.sim.lock(), &answer);
        answer
    }

    /// When the next waiting run is due.
    fn look_for_waiting(&self) {
        let filter = RunFilter { state: Some(sandbook_core::run::State::Waiting), ..RunFilter::default() };
        let rows = block(self.inner.runs(filter)).map(|(rows, _)| rows).unwrap_or_default();
        let next = rows.iter().filter_map(|row| row.wake_at).min().unwrap_or(u64::MAX);
        self.quiet_until.store(next, Ordering::Relaxed);
    }

    fn journal<'a, T: Send + Sync + 'a>(
        &'a self,
        name: &'static str,
        run: &str,
        records: Vec<Record>,
        work: Answer<'a, T>,
        taken: impl FnOnce(&T) -> bool + Send + 'a,
    ) -> Answer<'a, T> {
        let id = run.to_owned();
        self.sim.lock().append(run, &records);
        self.call((name, Kind::Journal, Some(run)), work, move |sim, answer| match answer {
            Ok(value) if taken(value) => sim.law.intends(&id, &records),
            Ok(_) => sim.law.undone(&id, records.len()),
            Err(_) => sim.law.failed(&id),
        })
    }
}

/// Calls of which nothing is to be said.
macro_rules! plain {
    ($kind:ident: $($name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)+) => {
        $(fn $name(&self, $($arg: $ty),*) -> Answer<'_, $out> {
            self.call((stringify!($name), Kind::$kind, None), self.inner.$name($($arg),*), |_, _| {})
        })+
    };
}

impl Store for SimStore {
    plain! { Read:
        episodes(filter: EpisodeFilter) -> (Vec<EpisodeRow>, Option<String>);
        episode(id: &str) -> Option<EpisodeRow>;
        past(filter: PastFilter) -> Vec<PastEpisode>;
        log_patterns(episode: &str) -> Vec<String>;
        queued(limit: u32) -> Vec<RunRow>;
        run(id: &str) -> Option<RunRow>;
        runs(filter: RunFilter) -> (Vec<RunRow>, Option<String>);
        open_runs() -> Vec<RunRow>;
        records_after(run: &str, seq: Option<u64>) -> Vec<(u64, Record)>;
        notices(limit: u32) -> Vec<(i64, Notice)>;
        waiting_messages(channel: &str, limit: u32) -> Vec<MessageRow>;
        sent_times(channel: &str, after: u64) -> Vec<u64>;
        message_counts() -> Vec<ChannelCount>;
        memory_get(runbook: &str, key: &str) -> Option<String>;
        versions(name: &str) -> Vec<VersionRow>;
        version(name: &str, digest: &str) -> Option<VersionRow>;
        all_versions() -> Vec<VersionRow>;
        package(digest: &str) -> Option<Vec<u8>>;
        stages() -> Vec<StageRow>;
        stage_history(name: &str) -> Vec<StageRow>;
        current(name: &str) -> Option<String>;
        audit_rows(since: Option<u64>, limit: u32, cursor: Option<String>) -> (Vec<AuditRow>, Option<String>);
        verify_audit(whole: bool) -> AuditCheck;
        approval(id: &str) -> Option<Approval>;
        approvals(open_only: bool) -> Vec<Approval>;
        open_approval(run: &str, slot: u32) -> Option<Approval>;
        resolved_approvals(episode: Option<&str>) -> Vec<Approval>;
        plan(id: &str) -> Option<PlanRow>;
        plans(limit: u32, cursor: Option<String>) -> (Vec<PlanRow>, Option<String>);
        newest_backtest(digest: &str) -> Option<BacktestRow>;
        backtests(runbook: Option<String>) -> Vec<BacktestRow>;
        backtest(id: &str) -> Option<BacktestRow>;
        llm_spent(window: LlmWindow) -> LlmSpent;
        pending_verifications() -> Vec<RunRow>;
        tallies(since: u64, runbook: Option<String>) -> Vec<Tally>;
        contradictions(name: &str, digest: &str, since: u64, limit: u32) -> u64;
        speed(since: u64) -> Speed;
        would_intend(intend: Intend) -> Intended;
        drifts() -> Vec<Drift>;
        drifts_of(run: &str) -> Vec<Drift>;
        pauses(now: u64) -> Vec<Pause>;
        stopped() -> Option<Stop>;
        trips(open_only: bool) -> Vec<Trip>;
        attempts(filter: AttemptFilter) -> Vec<AttemptRow>;
        signatures() -> Vec<SignatureRow>;
        schedules() -> Vec<ScheduleRow>;
        fires(key: &ScheduleKey, limit: u32) -> Vec<FireRow>;
    }
    plain! { Write:
        put_notice(notice: Notice) -> ();
        route_notice(notice: i64, messages: Vec<NewMessage>, now: u64) -> Vec<(String, u64)>;
        batch_messages(ids: Vec<i64>) -> ();
        settle_messages(ids: Vec<i64>, delivery: Delivery, at: u64) -> ();
        resolve_incidents(now: u64) -> u64;
        join(episode: &str, run: &str) -> ();
        set_episode_outcome(id: &str, outcome: &str) -> bool;
        create_run(run: NewRun) -> ();
        put_version(version: VersionRow) -> PutVersion;
        demote(demotion: Demotion) -> bool;
        set_stage(name: &str, digest: &str, stage: Stage, reason: &str, by: &str, at: u64) -> bool;
        set_stages(changes: Vec<(StageRow, Value)>) -> bool;
        audit(who: &str, what: &str, subject: &str, details: Value, at: u64) -> u64;
        put_signature(signature: SignatureRow) -> bool;
        follow_schedule(key: &ScheduleKey, seen: u64) -> ();
        fire(fire: Fire) -> Fired;
        put_plan(plan: PlanRow) -> ();
        put_backtest(backtest: BacktestRow) -> ();
        llm_reserve(call: LlmCall, ceilings: Vec<LlmCeiling>) -> LlmReserved;
        llm_settle(id: i64, tokens_in: u64, tokens_out: u64, cost_nanos: u64) -> ();
        apply_plan(id: &str, run: NewRun) -> bool;
        withdraw_approvals(run: &str, reason: &str, at: u64) -> u64;
        delete_pause(id: &str) -> bool;
        set_verification(id: &str, verdict: Verdict) -> bool;
        close_verification(id: &str, settled: Verification) -> bool;
        add_drift(drift: Drift) -> ();
        prune(before: u64) -> Pruned;
        backup(file: &Path) -> ();
    }

    fn accept(&self, incoming: Vec<Incoming>) -> Answer<'_, Vec<Accepted>> {
        if self.sim.lock().broken == Broken::LosesAlerts && !incoming.is_empty() {
            let one = |incoming: Incoming| Accepted {
                episode: "e_lost".to_owned(),
                kind: AcceptedKind::New,
                runs: incoming.runs.into_iter().map(|run| run.id).collect(),
                joined: Vec::new(),
            };
            return Box::pin(std::future::ready(Ok(incoming.into_iter().map(one).collect())));
        }
        self.call(("accept", Kind::Write, None), self.inner.accept(incoming), |sim, answer| {
            for accepted in answer.iter().flatten() {
                let runs: Vec<String> = accepted.runs.iter().map(|run| sim.name(run)).collect();
                sim.say(&format!("accepted: {:?}, runs {runs:?}", accepted.kind));
            }
        })
    }

    fn update_run(&self, id: &str, patch: RunPatch) -> Answer<'_, bool> {
        let state = patch.state;
        let name = id.to_owned();
        self.call(("update_run", Kind::Write, Some(id)), self.inner.update_run(id, patch), move |sim, answer| {
            let run = sim.name(&name);
            sim.say(&format!("run {run}: {state:?} {}", matches!(answer, Ok(true))));
        })
    }

    fn start_run(&self, id: &str, start: Start) -> Answer<'_, ()> {
        self.sim.lock().append(id, std::slice::from_ref(&start.begun));
        self.call(("start_run", Kind::Hold, Some(id)), self.inner.start_run(id, start), |_, _| {})
    }

    fn flush(&self, run: &str) -> Answer<'_, ()> {
        self.journal("flush", run, Vec::new(), self.inner.flush(run), |()| true)
    }

    /// Asked all the time: no place for a crash, and no line in the trace.
    fn due_verifications(&self, now: u64) -> Answer<'_, Vec<Due>> {
        if self.sim.lock().dead {
            return Box::pin(std::future::pending());
        }
        Box::pin(async move { block(self.inner.due_verifications(now)) })
    }

    fn due_waiting(&self, now: u64) -> Answer<'_, Vec<RunRow>> {
        if self.sim.lock().dead {
            return Box::pin(std::future::pending());
        }
        if now < self.quiet_until.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        self.look_for_waiting();
        self.call(("due_waiting", Kind::Read, None), self.inner.due_waiting(now), |_, _| {})
    }

    fn append(&self, run: &str, records: Vec<Record>, durable: bool) -> Answer<'_, ()> {
        let work = self.inner.append(run, records.clone(), durable);
        if durable {
            return self.journal("append", run, records, work, |()| true);
        }
        self.sim.lock().append(run, &records);
        let id = run.to_owned();
        self.call(("append held", Kind::Hold, Some(run)), work, move |sim, answer| {
            if answer.is_err() {
                sim.law.failed(&id);
            }
        })
    }

    fn checkpoint(&self, run: &str, checkpoint: Checkpoint) -> Answer<'_, bool> {
        let records = checkpoint.records.clone();
        let state = format!("{:?} {:?}", checkpoint.patch.state, checkpoint.patch.outcome);
        let name = self.sim.lock().name(run);
        self.sim.lock().say(&format!("run {name}: {state}"));
        self.journal("checkpoint", run, records, self.inner.checkpoint(run, checkpoint), |done| *done)
    }

    fn intend(&self, run: &str, record: Record, intend: Intend) -> Answer<'_, Intended> {
        let (slot, attempt) = match &record {
            Record::Intended { slot, attempt, .. } => (*slot, *attempt),
            _ => (u32::MAX, 0),
        };
        let act = Act { run: run.to_owned(), slot, attempt };
        let (broken, rule) = {
            let sim = self.sim.lock();
            (sim.broken, sim.law.rule)
        };
        let mut asked = intend.clone();
        if broken == Broken::ForgetsBrakes {
            (asked.windows, asked.storm) = (Vec::new(), None);
        }
        let work = if broken == Broken::DropsIntents {
            Box::pin(std::future::ready(Ok(Intended::Taken)))
        } else {
            self.inner.intend(run, record.clone(), asked)
        };
        let work: Answer<'_, Intended> = if broken == Broken::IgnoresStop {
            Box::pin(async move {
                self.inner.set_stop(None).await?;
                work.await
            })
        } else {
            work
        };
        self.sim.lock().append(run, std::slice::from_ref(&record));
        let records = vec![record];
        self.call(("intend", Kind::Journal, Some(run)), work, move |sim, answer| match answer {
            Ok(Intended::Taken) => {
                sim.law.intends(&act.run, &records);
                sim.law.obeys(&act, rule, intend.at);
                if act.attempt <= 1 {
                    let Intend { runbook, subject, host, at, .. } = intend;
                    sim.law.counted(Attempted { runbook, subject, host, at });
                }
            }
            Ok(Intended::Limited { error, .. }) => {
                sim.law.undone(&act.run, 1);
                let why = error.message.chars().take(24).collect::<String>();
                sim.say(&format!("limited: {why}"));
            }
            Err(_) => sim.law.failed(&act.run),
        })
    }

    fn records(&self, run: &str) -> Answer<'_, Vec<Record>> {
        let id = run.to_owned();
        self.call(("records", Kind::Read, Some(run)), self.inner.records(run), move |sim, answer| {
            if let Ok(records) = answer {
                sim.law.read(&id, records);
            }
        })
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.subscribe()
    }
    fn announce(&self, run: &str, progress: Value) {
        self.inner.announce(run, progress);
    }

    fn memory_put(
        &self,
        run: &str,
        record: Record,
        runbook: &str,
        key: &str,
        value: &str,
    ) -> Answer<'_, std::result::Result<(), CoreError>> {
        let work = self.inner.memory_put(run, record.clone(), runbook, key, value);
        self.journal("memory_put", run, vec![record], work, |put| put.is_ok())
    }

    fn memory_compare_and_put(
        &self,
        run: &str,
        runbook: &str,
        key: &str,
        expected: Option<&str>,
        value: &str,
        record: RecordOf,
    ) -> Answer<'_, std::result::Result<bool, CoreError>> {
        // Which record it is is known inside the transaction only.
        let (sim, id) = (self.sim.clone(), run.to_owned());
        let watched: RecordOf = Box::new(move |put| {
            let record = record(put);
            sim.lock().append(&id, std::slice::from_ref(&record));
            record
        });
        let work = self.inner.memory_compare_and_put(run, runbook, key, expected, value, watched);
        let id = run.to_owned();
        self.call(("memory_cas", Kind::Journal, Some(run)), work, move |sim, answer| {
            if answer.is_err() {
                sim.law.failed(&id);
            }
        })
    }

    fn answer_approval(&self, id: &str, decision: ApprovalDecision) -> Answer<'_, Decided> {
        let yes = decision.kind == ApprovalEnd::Approved;
        let work = self.inner.answer_approval(id, decision);
        self.call(("answer_approval", Kind::Write, None), work, move |sim, answer| {
            if let Ok(Decided::Done(approval)) = answer {
                // What it appended is seen when the run is read again.
                sim.law.failed(&approval.run);
                if yes {
                    sim.law.approved.insert((approval.run.clone(), approval.slot));
                }
            }
        })
    }

    fn rearm(&self, id: &str, by: &str, reason: &str, at: u64) -> Answer<'_, Rearmed> {
        self.call(("rearm", Kind::Write, None), self.inner.rearm(id, by, reason, at), |sim, answer| {
            if let Ok(Rearmed::Done(trip)) = answer {
                sim.law.rearms(&trip.key);
            }
        })
    }

    fn add_pause(&self, pause: Pause) -> Answer<'_, ()> {
        let until = pause.until;
        self.call(("add_pause", Kind::Write, None), self.inner.add_pause(pause), move |sim, answer| {
            if answer.is_ok() {
                sim.law.paused_until = until;
            }
        })
    }

    fn set_stop(&self, stop: Option<Stop>) -> Answer<'_, ()> {
        let on = stop.is_some();
        self.call(("set_stop", Kind::Write, None), self.inner.set_stop(stop), move |sim, answer| {
            if answer.is_ok() {
                sim.law.stopped = on;
                sim.say(&format!("stopped: {on}"));
            }
        })
    }

    fn release_stop(&self, stop: Stop) -> Answer<'_, bool> {
        self.call(("release_stop", Kind::Write, None), self.inner.release_stop(stop), move |sim, answer| {
            if answer.as_ref().is_ok_and(|released| *released) {
                sim.law.stopped = false;
                sim.say("stopped: false");
            }
        })
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}
