//! Journals on disk: one row a record, numbered from 0 without gaps.
//!
//! Records that need not be durable yet are held in memory and written in front of the run's next durable write, in
//! the same transaction. So a journal on disk is always a beginning of what was appended, whichever write fails.
//!
//! Deliberately not here: whether a record may follow another; [`sandbook_core::journal`] says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use sandbook_core::journal::Record;

use super::row::{int, json};
use super::writer::Tx;
use super::{Checkpoint, Error, Event, EventKind, Result, approvals, runs};

/// Records of a run held back at most: few enough that a crash repeats only some reads, and that large answers do not
/// pile up in memory.
const HELD_MAX: usize = 16;
/// How long the oldest is held back at most, seen at the next append, so that observers of a long run of reads see it
/// move.
const HELD_FOR: Duration = Duration::from_millis(250);

/// Records held back, by run. One attempt appends to a run at a time; this only keeps what it said in order.
#[derive(Default)]
pub(super) struct Held {
    runs: Mutex<HashMap<String, (Instant, Vec<Record>)>>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<Record>)>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps records for later, or gives them back when it is time to write.
    pub(super) fn hold(&self, run: &str, records: Vec<Record>) -> Option<Vec<Record>> {
        let mut runs = self.lock();
        let held = runs.get(run);
        let full = held.is_some_and(|(_, held)| held.len() + records.len() > HELD_MAX) || records.len() > HELD_MAX;
        if full || held.is_some_and(|(since, _)| since.elapsed() > HELD_FOR) {
            return Some(records);
        }
        runs.entry(run.to_owned()).or_insert_with(|| (Instant::now(), Vec::new())).1.extend(records);
        None
    }

    /// Takes what is held back and passes it on before anybody else can append.
    pub(super) fn release<T>(&self, run: &str, send: impl FnOnce(Vec<Record>) -> T) -> T {
        let mut runs = self.lock();
        let held = runs.remove(run).map(|(_, records)| records).unwrap_or_default();
        send(held)
    }
}

/// Appends in order; the run must exist.
pub(super) fn append(tx: &mut Tx<'_>, run: &str, records: Vec<Record>) -> Result<()> {
    if records.is_empty() {
        return Ok(());
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
pub(super) fn checkpoint(tx: &mut Tx<'_>, run: &str, checkpoint: Checkpoint) -> Result<bool> {
    let Some(state) = runs::state(tx.sql, run)? else { return Err(Error::UnknownRun(run.to_owned())) };
    if !checkpoint.patch.from.is_empty() && !checkpoint.patch.from.contains(&state) {
        return Ok(false);
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
