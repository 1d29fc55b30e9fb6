//! Journals on disk: one row a record, numbered from 0 without gaps.
//!
//! Records that need not be durable yet are held in memory and written in front of the run's next durable write, in
//! the same transaction. So a journal on disk is always a beginning of what was appended, whichever write fails. That a
//! run has started is held the same way, so that a short run costs one write less.
//!
//! Deliberately not here: whether a record may follow another; [`sandbook_core::journal`] says.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use sandbook_core::journal::Record;
use sandbook_core::run::State;
use serde_json::Value;
use tokio::time::Instant;

use super::row::{int, json};
use super::writer::Tx;
use super::{Checkpoint, Error, Event, EventKind, Result, RunPatch, approvals, intake, runs};

/// Records of a run held back at most: few enough that a crash repeats only some reads, and that large answers do not
/// pile up in memory.
const HELD_MAX: usize = 16;
/// How long the oldest is held back at most, seen at the next append, so that observers of a long run of reads see it
/// move.
const HELD_FOR: Duration = Duration::from_millis(250);

/// Records held back, by run. One attempt appends to a run at a time; this only keeps what it said in order.
#[derive(Default)]
pub(super) struct Held {
    runs: Mutex<HashMap<String, HeldRun>>,
    /// Runs of which something held back could not be written: nothing may follow it until they are read again.
    lost: Mutex<HashSet<String>>,
}

/// What is held back of one run, in the order in which it is written.
pub(super) struct HeldRun {
    since: Instant,
    started: Option<RunPatch>,
    /// What the episode's target was like.
    snapshot: Option<(String, Value)>,
    records: Vec<Record>,
}

impl HeldRun {
    fn new() -> HeldRun {
        HeldRun { since: Instant::now(), started: None, snapshot: None, records: Vec::new() }
    }

    /// Writes it, in the transaction of what comes after it.
    pub(super) fn write(self, tx: &mut Tx<'_>, run: &str) -> Result<()> {
        if let Some(started) = self.started {
            runs::update(tx, run, started)?;
        }
        keep_snapshot(tx, self.snapshot)?;
        append(tx, run, self.records)
    }

    /// Writes it in front of a change that says all the start said: only the states are told apart.
    fn write_before(self, tx: &mut Tx<'_>, run: &str, patch: &mut RunPatch) -> Result<()> {
        if let Some(started) = self.started {
            tx.events.push(Event { run: run.to_owned(), kind: EventKind::State(State::Running) });
            patch.target = patch.target.take().or(started.target);
            patch.subject = patch.subject.take().or(started.subject);
            patch.started_at = patch.started_at.or(started.started_at);
        }
        keep_snapshot(tx, self.snapshot)?;
        append(tx, run, self.records)
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, HeldRun>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps records for later, or gives them back when it is time to write.
    pub(super) fn hold(&self, run: &str, records: Vec<Record>) -> Option<Vec<Record>> {
        let mut runs = self.lock();
        let held = runs.get(run);
        let full = held.is_some_and(|held| held.records.len() + records.len() > HELD_MAX) || records.len() > HELD_MAX;
        if full || held.is_some_and(|held| held.since.elapsed() > HELD_FOR) {
            return Some(records);
        }
        runs.entry(run.to_owned()).or_insert_with(HeldRun::new).records.extend(records);
        None
    }

    /// Keeps a run's start for later.
    pub(super) fn start(&self, run: &str, started: RunPatch, snapshot: Option<(String, Value)>) {
        let mut runs = self.lock();
        let held = runs.entry(run.to_owned()).or_insert_with(HeldRun::new);
        held.started = Some(started);
        held.snapshot = snapshot;
    }

    /// What was held back of the run is lost.
    pub(super) fn lose(&self, run: &str) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(run.to_owned());
    }

    /// Whoever goes on with the run reads it now.
    pub(super) fn read_again(&self, run: &str) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }

    /// That records may follow, so that a journal on disk never has a gap.
    pub(super) fn check(&self, run: &str) -> Result<()> {
        if self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(run) {
            return Err(Error::Database(format!("records of {run} could not be written, so none may follow them")));
        }
        Ok(())
    }

    /// Whether something of the run is held back.
    pub(super) fn has(&self, run: &str) -> bool {
        self.lock().contains_key(run)
    }

    /// Takes what is held back and passes it on before anybody else can append.
    pub(super) fn release<T>(&self, run: &str, send: impl FnOnce(Option<HeldRun>) -> T) -> T {
        let mut runs = self.lock();
        let held = runs.remove(run);
        send(held)
    }
}

fn keep_snapshot(tx: &mut Tx<'_>, snapshot: Option<(String, Value)>) -> Result<()> {
    let Some((episode, snapshot)) = snapshot else { return Ok(()) };
    intake::keep_snapshot(tx, &episode, &snapshot)
}

/// Appends in order; the run must exist.
pub(super) fn append(tx: &mut Tx<'_>, run: &str, records: Vec<Record>) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    if records.iter().any(|record| matches!(record, Record::Settled { .. })) {
        // Only crashes without progress in between are held against a run.
        let mut statement = tx.sql.prepare_cached("UPDATE runs SET crashes = 0 WHERE id = ?1 AND crashes > 0")?;
        statement.execute([run])?;
    }
    let first = next_seq(tx.sql, run)?;
    let mut statement = tx.sql.prepare_cached("INSERT INTO records (run, seq, record) VALUES (?1, ?2, ?3)")?;
    for (seq, record) in (first..).zip(records) {
        statement.execute(params![run, int(seq), json(&record)?])?;
        tx.events.push(Event { run: run.to_owned(), kind: EventKind::Record(seq, Arc::new(record)) });
    }
    Ok(())
}

fn next_seq(sql: &Connection, run: &str) -> Result<u64> {
    let mut statement = sql.prepare_cached("SELECT seq FROM records WHERE run = ?1 ORDER BY seq DESC LIMIT 1")?;
    match statement.query_row([run], |row| row.get::<_, i64>(0)).optional()? {
        Some(last) => Ok(last.unsigned_abs() + 1),
        None if runs::state(sql, run)?.is_some() => Ok(0),
        None => Err(Error::UnknownRun(run.to_owned())),
    }
}

/// See [`super::Store::checkpoint`].
pub(super) fn checkpoint(
    tx: &mut Tx<'_>,
    run: &str,
    held: Option<HeldRun>,
    mut checkpoint: Checkpoint,
) -> Result<bool> {
    let Some(state) = runs::state(tx.sql, run)? else { return Err(Error::UnknownRun(run.to_owned())) };
    if !checkpoint.patch.from.is_empty() && !checkpoint.patch.from.contains(&state) {
        // What was said before stays said.
        append(tx, run, held.map(|held| held.records).unwrap_or_default())?;
        return Ok(false);
    }
    if let Some(held) = held {
        held.write_before(tx, run, &mut checkpoint.patch)?;
    }
    append(tx, run, checkpoint.records)?;
    if let Some(approval) = checkpoint.approval {
        approvals::put(tx, &approval)?;
    }
    runs::update(tx, run, checkpoint.patch)
}

/// Records with numbers from `from` on.
pub(super) fn from(sql: &Connection, run: &str, from: u64) -> Result<Vec<(u64, Record)>> {
    let mut statement =
        sql.prepare_cached("SELECT seq, record FROM records WHERE run = ?1 AND seq >= ?2 ORDER BY seq")?;
    let mut rows = statement.query(params![run, int(from)])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        records.push((row.get::<_, i64>(0)?.unsigned_abs(), serde_json::from_str(text)?));
    }
    Ok(records)
}
