//! Runs: a bounded queue, workers, one run at a time per subject, and each run from its trigger to its end.
//!
//! A run is durable before it is queued here. It finds its target, takes its subject's lock, executes its guest through
//! [`perform`], and ends, waits, or stands as needs-attention. Waiting runs hold no guest, lock or worker; they come
//! back by replay. After a restart every open run comes back the same way.
//!
//! Deliberately not here: what an effect is allowed to do (gate, policy), and how alerts become runs (intake).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbook_core::journal::AlertInput;
use sandbook_core::run::State;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tracing::Instrument as _;

use crate::library::Library;
use crate::store::{NewRun, RunPatch, RunRow};

pub mod aim;
pub mod drivers;
mod ending;
pub mod execute;
pub mod parts;
pub mod perform;
#[cfg(test)]
mod tests;
mod verify;

pub use parts::{Brakes, Parts};

/// Runs that may be accepted and not started; beyond it new firing alerts are answered 503 and Alertmanager tries again.
pub const QUEUE_MAX: usize = 10_000;
/// Guests executing at once when the configuration does not say: they mostly wait for Docker.
pub const WORKERS_DEFAULT: usize = 32;
/// Targets looked up at once: each is one or two Docker calls.
const AIMING_MAX: usize = 16;
/// Attempts that crashed the daemon before a run is left to a person.
const CRASHES_MAX: u32 = 3;
/// How often waiting runs are looked at.
const WAKE_EVERY: Duration = Duration::from_millis(500);

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
    workers: Semaphore,
    aiming: Semaphore,
    queued: AtomicUsize,
    queue_max: usize,
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    active: Mutex<BTreeMap<String, Arc<perform::Attempt>>>,
    /// Runs cancelled while they were queued.
    cancelled: Mutex<std::collections::BTreeSet<String>>,
    /// Latest acting run of each runbook and subject: triggers in its settle window join it.
    acted: Mutex<HashMap<(String, String), (String, u64)>>,
    /// When containers were last acted on, by `host/name`.
    touched: Mutex<HashMap<String, u64>>,
    notices: tokio::sync::broadcast::Sender<Notice>,
    myself: Weak<Runner>,
}

/// Something people may want to be told, by whoever sends notifications.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Which kind: `acted`, `refused`, `limited`, `escalated`, `contradicted`, `needs-attention`, `failed`.
    pub event: &'static str,
    /// The run.
    pub run: String,
    /// Its runbook.
    pub runbook: String,
    /// What it is about.
    pub target: String,
    /// What happened, in a sentence.
    pub sentence: String,
}

/// Notices that may be unread before the oldest are dropped: they are also in the journal.
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
            workers: Semaphore::new(workers),
            aiming: Semaphore::new(AIMING_MAX),
            queued: AtomicUsize::new(0),
            queue_max,
            locks: Mutex::default(),
            active: Mutex::default(),
            cancelled: Mutex::default(),
            acted: Mutex::default(),
            touched: Mutex::default(),
            notices: tokio::sync::broadcast::channel(NOTICES_MAX).0,
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
        tokio::spawn(async move { myself.serve(queued).await }.instrument(span));
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
        for row in self.parts.store.open_runs().await? {
            match row.state {
                State::Queued => self.bring_back(row).await?,
                State::Running => self.after_crash(row).await?,
                State::Waiting | State::NeedsAttention | State::Succeeded | State::Failed | State::Cancelled => {}
            }
        }
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
            let patch = RunPatch {
                state: Some(State::NeedsAttention),
                crashes: Some(crashes),
                error: Some(sentence.clone()),
                ..RunPatch::default()
            };
            self.parts.store.update_run(&row.id, patch).await?;
            self.notice("needs-attention", &row, &sentence);
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
                        if let Err(error) = self.bring_back(row).await {
                            tracing::warn!("a waiting run cannot be brought back: {error:#}");
                        }
                    }
                    Ok(false) => {}
                    Err(error) => tracing::warn!(run = %row.id, "a waiting run cannot be woken: {error}"),
                }
            }
        }
    }

    /// Ends a run before its next effect. False when it is not open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel(&self, run: &str, by: &str, reason: &str) -> Result<bool> {
        let why = if reason.is_empty() { format!("cancelled by {by}") } else { format!("cancelled by {by}: {reason}") };
        {
            let mut cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
            if cancelled.len() >= QUEUE_MAX {
                cancelled.clear();
            }
            cancelled.insert(run.to_owned());
        }
        let attempt = self.active.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned();
        if let Some(attempt) = attempt {
            self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
            attempt.stop(perform::Why::Cancelled(why));
            return Ok(true);
        }
        let patch = RunPatch {
            from: vec![State::Queued, State::Waiting, State::NeedsAttention],
            state: Some(State::Cancelled),
            finished_at: Some(self.parts.clock.now().unix_ms),
            sentence: Some(why),
            wake_at: Some(None),
            ..RunPatch::default()
        };
        self.parts.store.withdraw_approvals(run, "the run was cancelled", self.parts.clock.now().unix_ms).await?;
        Ok(self.parts.store.update_run(run, patch).await?)
    }

    async fn serve(self: Arc<Self>, queued: Queued) {
        let id = queued.row.id.clone();
        let started = self.prepare(queued).await;
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.parts.metrics.queue_length.dec();
        let result = match started {
            Ok(Some((prepared, _lock))) => {
                let Ok(_worker) = self.workers.acquire().await else { return };
                self.parts.metrics.runs_active.inc();
                let result = self.execute(prepared).await;
                self.parts.metrics.runs_active.dec();
                result
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::error!(run = %id, "the run cannot go on and stays as it is on disk: {error:#}");
        }
    }

    /// Finds the target and takes the subject's lock. `None`: the run has ended already.
    async fn prepare(&self, queued: Queued) -> Result<Option<(execute::Prepared, Option<OwnedMutexGuard<()>>)>> {
        let Some(prepared) = self.aim_run(queued).await? else { return Ok(None) };
        let lock = match prepared.subject() {
            Some(subject) => Some(self.lock(subject).await),
            None => None,
        };
        Ok(Some((prepared, lock)))
    }

    /// One run at a time per subject.
    async fn lock(&self, subject: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.len() > QUEUE_MAX {
                locks.retain(|_, lock| lock.strong_count() > 0);
            }
            let found = locks.get(subject).and_then(Weak::upgrade);
            found.unwrap_or_else(|| {
                let lock = Arc::<tokio::sync::Mutex<()>>::default();
                locks.insert(subject.to_owned(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    fn notice(&self, event: &'static str, row: &RunRow, sentence: &str) {
        let target = row.target.as_ref().map_or_else(String::new, ToString::to_string);
        let notice =
            Notice { event, run: row.id.clone(), runbook: row.runbook.clone(), target, sentence: sentence.to_owned() };
        // Nobody listening is fine: the journal has it.
        drop(self.notices.send(notice));
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
    }
}
