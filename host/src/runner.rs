//! Runs: a bounded queue, workers, one run at a time per subject, and each run from its trigger to its end.
//!
//! A run is durable before it is queued here. It finds its target, takes its subject's lock, executes its guest through
//! [`perform`], and ends, waits, or stands as needs-attention. Waiting runs hold no guest, lock or worker; they come
//! back by replay. After a restart every open run comes back the same way.
//!
//! Deliberately not here: what an effect is allowed to do (gate, policy), and how alerts become runs (intake).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbook_core::journal::AlertInput;
use sandbook_core::run::{Mode, Outcome, State};
use tracing::Instrument as _;

use crate::library::Library;
use crate::store::{Happened, NewRun, Notice, RunPatch, RunRow};

pub mod aim;
mod cancel;
pub mod drivers;
mod ending;
pub mod execute;
mod intend;
mod joins;
pub mod ledger;
mod locks;
pub mod overlay;
pub mod parts;
pub mod perform;
mod person;
mod questions;
mod recover;
pub mod rehearse;
pub mod replay;
pub(crate) mod shadow;
pub mod snapshot;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
mod turns;
mod verify;

pub use parts::{Brakes, Parts};
pub use questions::Asking;

/// Runs that may be accepted and not started; beyond it new firing alerts are answered 503 and Alertmanager tries again.
pub const QUEUE_MAX: usize = 10_000;
/// Guests executing at once when the configuration does not say: they mostly wait for Docker.
pub const WORKERS_DEFAULT: usize = 32;
/// Targets looked up at once: each is one or two Docker calls.
const AIMING_MAX: usize = 16;
/// Attempts that crashed the daemon before a run is left to a person.
const CRASHES_MAX: u32 = 3;
/// How often a daemon that ends looks whether its runs have stopped.
const CLOSE_LOOK: Duration = Duration::from_millis(10);
/// How long after the store failed a run is tried again, in milliseconds: a full disk stays full for a while.
const STORE_RETRY_MS: u64 = 5_000;
/// How often waiting runs are looked at.
const WAKE_EVERY: Duration = Duration::from_millis(500);

/// Priority of runs in shadow: less than any alert has.
const WATCHING: i32 = i32::MIN;

/// A run to be executed, with what the store knows of it.
pub struct Queued {
    /// The row.
    pub row: RunRow,
    /// The alert of its episode.
    pub alert: Option<AlertInput>,
    /// When its trigger was heard.
    pub accepted: Instant,
    /// Whether it has records already.
    pub resumed: bool,
}

/// Executes runs.
pub struct Runner {
    parts: Arc<Parts>,
    library: Arc<Library>,
    aim: aim::Aim,
    workers: turns::Turns,
    aiming: turns::Turns,
    /// Looks of verifications.
    looking: tokio::sync::Semaphore,
    /// Verifications are told of one at a time.
    settling: tokio::sync::Mutex<()>,
    queued: AtomicUsize,
    queue_max: usize,
    locks: Arc<locks::Locks>,
    joins: joins::Joins,
    active: Mutex<BTreeMap<String, Arc<perform::Attempt>>>,
    /// Runs cancelled while they were queued.
    /// With the sentence each ends with.
    cancelled: Mutex<BTreeMap<String, String>>,
    /// When containers were last acted on, by `host/name`.
    touched: Mutex<HashMap<String, u64>>,
    notices: tokio::sync::broadcast::Sender<Notice>,
    /// The daemon ends: nothing new begins.
    closing: AtomicBool,
    myself: Weak<Runner>,
}

/// Runs that take turns with others: those of one alert name, or of one runbook.
fn group_of(queued: &Queued) -> String {
    queued.alert.as_ref().map_or_else(|| queued.row.runbook.clone(), |alert| alert.name.clone())
}

/// Notices that may be unread before the oldest are dropped: they are in the store, and its reader looks there.
const NOTICES_MAX: usize = 1_024;

impl Runner {
    /// A runner with no runs yet. `hosts` says which alerts belong to which Docker host.
    pub fn new(
        parts: Arc<Parts>,
        library: Arc<Library>,
        hosts: Vec<HostMatch>,
        workers: usize,
        queue_max: usize,
    ) -> Arc<Runner> {
        parts.metrics.queue_capacity.set(i64::try_from(queue_max).unwrap_or(i64::MAX));
        Arc::new_cyclic(|myself| Runner {
            aim: aim::Aim::new(hosts),
            workers: turns::Turns::new(workers),
            aiming: turns::Turns::new(AIMING_MAX),
            looking: tokio::sync::Semaphore::new(verify::LOOKS_MAX),
            settling: tokio::sync::Mutex::default(),
            queued: AtomicUsize::new(0),
            queue_max,
            locks: Arc::default(),
            joins: joins::Joins::default(),
            active: Mutex::default(),
            cancelled: Mutex::default(),
            touched: Mutex::default(),
            notices: tokio::sync::broadcast::channel(NOTICES_MAX).0,
            closing: AtomicBool::new(false),
            myself: myself.clone(),
            parts,
            library,
        })
    }

    /// The parts.
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// How alerts and names become targets.
    pub fn aim(&self) -> &aim::Aim {
        &self.aim
    }

    /// What people may want to be told.
    pub fn notices(&self) -> tokio::sync::broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Runs accepted and not started.
    pub fn queue_length(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// How many more runs may be accepted.
    pub fn room(&self) -> usize {
        self.queue_max.saturating_sub(self.queue_length())
    }

    /// Whether a run is at work on a container, `host/name`, or acted on it within the engine's settle window.
    pub fn is_touching(&self, container: &str) -> bool {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if active.values().any(|attempt| attempt.target() == Some(container)) {
            return true;
        }
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.parts.clock.now().unix_ms;
        touched.get(container).is_some_and(|at| now.saturating_sub(*at) < self.parts.brakes.settle_ms)
    }

    /// Takes a run that is durable already.
    pub fn enqueue(&self, queued: Queued) {
        let Some(myself) = self.myself.upgrade() else { return };
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.parts.metrics.queue_length.inc();
        let span = crate::telemetry::run_span(&queued.row.id, &queued.row.runbook);
        tokio::spawn(async move { Box::pin(myself.serve(queued)).await }.instrument(span));
    }

    /// Takes a new run: durable first, then queued.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub async fn submit(&self, run: NewRun, alert: Option<AlertInput>) -> Result<()> {
        self.parts.store.create_run(run.clone()).await.context("the run cannot be made durable")?;
        self.enqueue(Queued { row: row_of(run), alert, accepted: Instant::now(), resumed: false });
        Ok(())
    }

    /// Brings back every open run after a restart, and waiting ones when their time comes. Call once.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(&self) -> Result<()> {
        let open = self.parts.store.open_runs().await?;
        self.remember_windows(&open).await?;
        for row in open {
            match row.state {
                State::Queued => self.bring_back(row).await?,
                State::Running => self.after_crash(row).await?,
                State::Waiting | State::NeedsAttention | State::Succeeded | State::Failed | State::Cancelled => {}
            }
        }
        self.withdraw_resolved().await?;
        let Some(myself) = self.myself.upgrade() else { return Ok(()) };
        tokio::spawn(async move { myself.wake_forever().await });
        self.resume_verifications().await
    }

    async fn after_crash(&self, row: RunRow) -> Result<()> {
        let crashes = row.crashes + 1;
        if crashes >= CRASHES_MAX {
            let sentence = format!(
                "the daemon stopped {crashes} times while it ran; see what it did with `sandbook show {}`",
                row.id
            );
            let counted = RunPatch { crashes: Some(crashes), ..RunPatch::default() };
            self.parts.store.update_run(&row.id, counted).await?;
            self.park(&row, ending::CRASHES, &sentence).await?;
            return Ok(());
        }
        let patch = RunPatch { state: Some(State::Queued), crashes: Some(crashes), ..RunPatch::default() };
        self.parts.store.update_run(&row.id, patch).await?;
        self.bring_back(row).await
    }

    /// Queues a run the store knows.
    ///
    /// # Errors
    /// When its episode cannot be read.
    pub async fn bring_back(&self, row: RunRow) -> Result<()> {
        let alert = match &row.episode {
            Some(episode) => self.parts.store.episode(episode).await?.map(|episode| AlertInput {
                name: episode.name,
                labels: episode.labels,
                annotations: episode.annotations,
                starts_at: jiff::Timestamp::from_millisecond(episode.starts_at).unwrap_or_default().to_string(),
                fingerprint: episode.fingerprint,
            }),
            None => None,
        };
        self.enqueue(Queued { row, alert, accepted: Instant::now(), resumed: true });
        Ok(())
    }

    /// Queues a run whose state in the store says already that it is queued; when the store fails, as soon as it works again.
    pub async fn queue_again(&self, id: &str) {
        let brought = async {
            match self.parts.store.run(id).await? {
                Some(row) => self.bring_back(row).await,
                None => Ok(()),
            }
        };
        self.or_later(id, brought.await);
    }

    fn or_later(&self, id: &str, brought: Result<()>) {
        if let Err(error) = brought {
            tracing::warn!(run = %id, "it cannot be brought back yet: {error:#}");
            self.try_again_later(id.to_owned());
        }
    }

    async fn wake_forever(&self) {
        loop {
            tokio::time::sleep(WAKE_EVERY).await;
            let now = self.parts.clock.now().unix_ms;
            self.parts.metrics.heartbeat.set(i64::try_from(now / 1_000).unwrap_or(i64::MAX));
            let due = match self.parts.store.due_waiting(now).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!("waiting runs cannot be read: {error}");
                    continue;
                }
            };
            for row in due {
                let patch = RunPatch {
                    from: vec![State::Waiting],
                    state: Some(State::Queued),
                    wake_at: Some(None),
                    ..RunPatch::default()
                };
                match self.parts.store.update_run(&row.id, patch).await {
                    Ok(true) => {
                        let id = row.id.clone();
                        self.or_later(&id, self.bring_back(row).await);
                    }
                    Ok(false) => {}
                    Err(error) => tracing::warn!(run = %row.id, "a waiting run cannot be woken: {error}"),
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, queued: Queued) {
        let (id, group) = (queued.row.id.clone(), group_of(&queued));
        // What only watches waits for whatever acts.
        let priority = if queued.row.mode == Mode::Shadow { WATCHING } else { queued.row.priority };
        let started = self.prepare(queued, &group).await;
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.parts.metrics.queue_length.dec();
        let result = match started {
            Ok(Some((prepared, held))) => {
                let _worker = self.workers.take(priority, &group).await;
                self.parts.metrics.runs_active.inc();
                let result = self.execute(prepared, held).await;
                self.parts.metrics.runs_active.dec();
                result
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::error!(run = %id, "the run stands still, tried again in {} s: {error:#}", STORE_RETRY_MS / 1_000);
            self.try_again_later(id);
        }
    }

    /// A run that the store let down goes on from what is on disk once the store works again.
    fn try_again_later(&self, id: String) {
        let Some(myself) = self.myself.upgrade() else { return };
        tokio::spawn(async move {
            while !myself.closing.load(Ordering::Acquire) {
                myself.parts.clock.sleep_until(myself.parts.clock.now().unix_ms + STORE_RETRY_MS).await;
                match myself.try_again(&id).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(run = %id, "the run still stands still: {error:#}"),
                }
            }
        });
    }

    async fn try_again(&self, id: &str) -> Result<()> {
        let Some(row) = self.parts.store.run(id).await? else { return Ok(()) };
        let patch =
            RunPatch { from: vec![State::Queued, State::Running], state: Some(State::Queued), ..RunPatch::default() };
        if self.parts.store.update_run(id, patch).await? { self.bring_back(row).await } else { Ok(()) }
    }

    /// Finds the target and takes its locks. `None`: the run has ended already, or waits.
    async fn prepare(&self, queued: Queued, group: &str) -> Result<Option<(execute::Prepared, locks::Held)>> {
        let Some(prepared) = self.aim_run(queued, group).await? else { return Ok(None) };
        if let Some(joined) = self.joins_open(&prepared).await? {
            self.end_early(&prepared.row, State::Succeeded, Outcome::NothingToDo, &joined).await?;
            return Ok(None);
        }
        let held = self.locks.take(&prepared.row.id, self.lock_set(&prepared).await).await;
        Ok(Some((prepared, held)))
    }

    /// The run's subject, and for a run that may act those that depend on it.
    async fn lock_set(&self, prepared: &execute::Prepared) -> BTreeSet<String> {
        let mut subjects: BTreeSet<String> = prepared.subject().map(str::to_owned).into_iter().collect();
        let header = &prepared.journal.header;
        if header.mode == Mode::Shadow {
            // It touches nothing, and must neither wait for a run that acts nor keep one waiting.
            return BTreeSet::new();
        }
        let id = header.target.as_ref().and_then(|target| target.id.as_deref());
        if let (Some(id), true) = (id, header.may_change()) {
            // Whoever cannot be listed now is locked when it is touched.
            let dependents = self.parts.driver.dependents_of(&header.host, id).await;
            subjects.extend(dependents.unwrap_or_default());
        }
        subjects
    }

    /// Lets running runs finish the effect they are at, puts them on disk as waiting, and starts no more: the next start
    /// goes on with them, and no crash is counted. Waits for that for so long.
    pub async fn close(&self, grace: Duration) {
        self.closing.store(true, Ordering::Release);
        let now = self.parts.clock.now().unix_ms;
        let stop_all = || {
            let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            active.values().for_each(|attempt| attempt.stop(perform::Why::Waits(now)));
            active.is_empty()
        };
        let until = Instant::now() + grace;
        while !stop_all() && Instant::now() < until {
            tokio::time::sleep(CLOSE_LOOK).await;
        }
    }

    /// What people may want to be told of a run. It goes into the transaction of what it tells of.
    fn notice(&self, event: Happened, row: &RunRow, sentence: &str) -> Notice {
        let key = format!("sandbook-{}-{}", row.id, event.name());
        Notice {
            once: key.clone(),
            key,
            event,
            severity: event.severity(),
            run: row.id.clone(),
            runbook: row.runbook.clone(),
            target: row.target.as_ref().map_or_else(String::new, ToString::to_string),
            episode: row.episode.clone(),
            title: None,
            sentence: sentence.to_owned(),
            channel: None,
            over: false,
            at: self.parts.clock.now().unix_ms,
        }
    }

    /// Says that notices are stored. Nobody listening is fine: they are found there.
    fn noticed(&self, notices: Vec<Notice>) {
        for notice in notices {
            drop(self.notices.send(notice));
        }
    }
}

/// Which alerts belong to a Docker host.
#[derive(Debug, Clone)]
pub struct HostMatch {
    /// The host's name in the configuration.
    pub name: String,
    /// All must hold; empty matches nothing where there are several hosts.
    pub matchers: Vec<sandbook_core::matching::Matcher>,
}

/// A new run as the store will show it.
pub fn row_of(run: NewRun) -> RunRow {
    RunRow {
        id: run.id,
        runbook: run.runbook,
        version: run.version,
        digest: run.digest,
        mode: run.mode,
        stage: run.stage,
        origin: run.origin,
        trigger: run.trigger,
        episode: run.episode,
        parameters: run.parameters,
        target_hint: run.target_hint,
        target: None,
        subject: None,
        priority: run.priority,
        at: run.at,
        state: State::Queued,
        started_at: None,
        finished_at: None,
        outcome: None,
        sentence: None,
        verification: None,
        wake_at: None,
        error: None,
        crashes: 0,
        aftermath: crate::store::Aftermath::default(),
    }
}
