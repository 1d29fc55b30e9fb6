//! The one writer: a thread that takes writes from a bounded queue and commits many of them at once.
//!
//! A commit waits for the disk once, however many writes it holds: it takes all that queued up while the one before
//! was waiting. A write that fails undoes only itself. A commit that fails is answered to every write in it, and the
//! next ones are tried anew, so a disk that has room again needs no restart.
//!
//! Invariant: an answer is given, and an event sent, after the commit and never before.
//! Deliberately not here: what is written.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::{COMMIT_MS_BOUNDS, Error, Event, Health, Result, Stats};

/// Writes that wait; further callers wait outside. Two batches: enough that a commit is always full under load, few
/// enough that the last one waits some milliseconds.
pub const WRITES_QUEUED_MAX: usize = 1_024;
/// Writes of one commit: measured, a commit of 512 rows takes 2 ms, and more gains nothing.
pub const BATCH_MAX: usize = 512;

/// What a write may use.
pub(super) struct Tx<'a> {
    pub(super) sql: &'a Connection,
    pub(super) events: &'a mut Vec<Event>,
}

/// A write of any kind.
pub(super) trait Write: Send {
    /// Does it, inside a transaction. The result is kept until `answer`.
    fn execute(&mut self, tx: &mut Tx<'_>) -> Result<()>;
    /// Tells the caller.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Call<T, F> {
    work: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

/// A write that answers with what the closure does.
pub(super) fn write<T, F>(work: F) -> (Box<dyn Write>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Call { work: Some(work), result: None, reply }), answer)
}

impl<T: Send, F: FnOnce(&mut Tx<'_>) -> Result<T> + Send> Write for Call<T, F> {
    fn execute(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let Some(work) = self.work.take() else { return Err(Error::Defect("a write ran twice".to_owned())) };
        self.result = Some(work(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Call { result, reply, .. } = *self;
        let lost = || Error::Defect("a write was committed without a result".to_owned());
        // A caller that no longer waits does not need the answer.
        let _ = reply.send(committed.and_then(|()| result.ok_or_else(lost)));
    }
}

/// What others may know of the writer.
#[derive(Default)]
pub(super) struct Gauge {
    inner: Mutex<(Stats, Option<String>, bool)>,
}

impl Gauge {
    fn lock(&self) -> MutexGuard<'_, (Stats, Option<String>, bool)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self, queued: u64) -> Health {
        let inner = self.lock();
        Health { ok: !inner.2, last_error: inner.1.clone(), queued }
    }

    pub(super) fn stats(&self, queued: u64) -> Stats {
        Stats { queued, ..self.lock().0.clone() }
    }

    fn committed(&self, began: Instant, writes: u64, rows: u64, result: &Result<()>) {
        let ms = began.elapsed().as_secs_f64() * 1e3;
        let mut inner = self.lock();
        let (stats, last_error, failing) = &mut *inner;
        // Said once when it begins and once when it ends: a full disk must not fill the log too.
        let failed_before = std::mem::replace(failing, result.is_err());
        if let Err(error) = result {
            if !failed_before {
                tracing::error!(%error, "store.commit fails from now on: {error}");
            }
            stats.commits_failed += 1;
            *last_error = Some(error.to_string());
            return;
        }
        if failed_before {
            tracing::info!("store.commit works again");
        }
        stats.commits += 1;
        stats.writes += writes;
        stats.rows += rows;
        stats.last_commit_ms = ms;
        stats.commit_ms_sum += ms;
        let class = COMMIT_MS_BOUNDS.iter().position(|bound| ms <= *bound).unwrap_or(COMMIT_MS_BOUNDS.len());
        stats.commit_ms[class] += 1;
    }
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) sql: Connection,
    pub(super) queue: mpsc::Receiver<Box<dyn Write>>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) gauge: Arc<Gauge>,
}

impl Writer {
    /// Runs until every sender is gone and the queue is empty.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while let Some(first) = self.queue.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH_MAX {
                let Ok(next) = self.queue.try_recv() else { break };
                batch.push(next);
            }
            self.commit(std::mem::take(&mut batch));
        }
    }

    fn commit(&mut self, mut batch: Vec<Box<dyn Write>>) {
        let began = Instant::now();
        let mut events = Vec::new();
        let rows_before = self.sql.total_changes();
        let mut results = Vec::with_capacity(batch.len());
        let mut outcome = self.sql.execute_batch("BEGIN IMMEDIATE").map_err(Error::from);
        if outcome.is_ok() {
            let alone = batch.len() == 1;
            for write in &mut batch {
                let result = execute(&self.sql, write.as_mut(), &mut events, alone);
                // SQLite undoes the whole transaction by itself on some errors, a full disk among them.
                if self.sql.is_autocommit() {
                    let lost = || Error::Database("the transaction was undone".to_owned());
                    outcome = Err(result.err().unwrap_or_else(lost));
                    break;
                }
                results.push(result);
            }
        }
        if outcome.is_ok() {
            outcome = self.sql.execute_batch("COMMIT").map_err(Error::from);
        }
        if outcome.is_err() && !self.sql.is_autocommit() {
            // Fails only when there is nothing to undo.
            let _ = self.sql.execute_batch("ROLLBACK");
        }
        let rows = self.sql.total_changes().saturating_sub(rows_before);
        self.gauge.committed(began, batch.len() as u64, rows, &outcome);
        self.tell(batch, results, events, outcome);
    }

    fn tell(&self, batch: Vec<Box<dyn Write>>, results: Vec<Result<()>>, events: Vec<Event>, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                for event in events {
                    // Nobody listening is fine.
                    let _ = self.events.send(event);
                }
                for (write, result) in batch.into_iter().zip(results) {
                    write.answer(result);
                }
            }
            Err(error) => {
                for write in batch {
                    write.answer(Err(error.clone()));
                }
            }
        }
    }
}

/// One write; if it fails, nothing of it stays. Alone in its transaction it needs no savepoint: undoing is starting
/// the transaction anew.
fn execute(sql: &Connection, write: &mut dyn Write, events: &mut Vec<Event>, alone: bool) -> Result<()> {
    let heard = events.len();
    if !alone {
        sql.prepare_cached("SAVEPOINT one")?.execute([])?;
    }
    let mut tx = Tx { sql, events };
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| write.execute(&mut tx)))
        .unwrap_or_else(|_| Err(Error::Defect("a write panicked".to_owned())));
    if result.is_err() {
        events.truncate(heard);
    }
    if sql.is_autocommit() {
        return result;
    }
    match (&result, alone) {
        (Ok(()), true) => {}
        (Ok(()), false) => {
            sql.prepare_cached("RELEASE one")?.execute([])?;
        }
        (Err(_), true) => sql.execute_batch("ROLLBACK; BEGIN IMMEDIATE")?,
        (Err(_), false) => sql.execute_batch("ROLLBACK TO one; RELEASE one")?,
    }
    result
}
