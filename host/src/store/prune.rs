//! Retention and backup.
//!
//! Each call of [`batch`] is one small transaction, so that intake never waits long behind a clean-up. Deliberately
//! not here: giving pages back to the file system; they are used again.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rusqlite::{Connection, params};

use super::row::int;
use super::writer::Tx;
use super::{Error, Pruned, Result, dir, outbox, readers, traces, versions};

/// Runs of one transaction; a run has some hundred records.
const RUNS_MAX: u32 = 50;
/// Rows of other tables of one transaction.
const ROWS_MAX: u32 = 1_000;
/// Attempts are kept this much longer: they are small, and brakes with long windows count them.
const ATTEMPTS_LONGER_MS: u64 = 31 * 86_400_000;

/// Removes some of what ended before; nothing left to remove when it answers zeroes.
pub(super) fn batch(tx: &mut Tx<'_>, before: u64) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    let mut statement = tx.sql.prepare_cached(
        "SELECT id FROM runs INDEXED BY runs_finished WHERE finished_at IS NOT NULL AND finished_at < ?1
             AND state IN ('succeeded', 'failed', 'cancelled')
             -- What was done about an alert that still fires must be known, or it would be done again.
             AND NOT EXISTS (SELECT 1 FROM episodes WHERE episodes.id = runs.episode AND resolved_at IS NULL
                 AND last_heard >= ?1)
             AND NOT EXISTS (SELECT 1 FROM joins JOIN episodes ON episodes.id = joins.episode
                 WHERE joins.run = runs.id AND resolved_at IS NULL AND last_heard >= ?1)
             -- Whether it helped is not known for good, or nobody was told yet.
             AND verify_until IS NULL
             ORDER BY finished_at LIMIT ?2",
    )?;
    let ids = statement.query_map(params![int(before), RUNS_MAX], |row| row.get::<_, String>(0))?;
    let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
    for id in &ids {
        pruned.records += tx.sql.prepare_cached("DELETE FROM records WHERE run = ?1")?.execute([id])? as u64;
        tx.sql.prepare_cached("DELETE FROM approvals WHERE run = ?1")?.execute([id])?;
        tx.sql.prepare_cached("DELETE FROM joins WHERE run = ?1")?.execute([id])?;
        traces::remove(tx, id)?;
        pruned.runs += tx.sql.prepare_cached("DELETE FROM runs WHERE id = ?1")?.execute([id])? as u64;
    }
    pruned.episodes = tx
        .sql
        .prepare_cached(
            "DELETE FROM episodes WHERE seq IN (SELECT seq FROM episodes AS e
             WHERE resolved_at IS NOT NULL AND resolved_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM runs WHERE episode = e.id)
                 -- An incident at a pager ends when this alert does not fire again any more.
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE opens = e.id) LIMIT ?2)",
        )?
        .execute(params![int(before), ROWS_MAX])? as u64;
    tx.sql
        .prepare_cached("DELETE FROM llm_calls WHERE id IN (SELECT id FROM llm_calls WHERE at < ?1 LIMIT ?2)")?
        // The budget of a day counts them, however short everything else is kept.
        .execute(params![int(before.saturating_sub(ATTEMPTS_LONGER_MS)), ROWS_MAX])?;
    pruned.drafts = versions::remove_asked(tx, RUNS_MAX)?;
    outbox::prune(tx, before, ROWS_MAX)?;
    let before = int(before.saturating_sub(ATTEMPTS_LONGER_MS));
    pruned.attempts = tx
        .sql
        .prepare_cached(
            // The newest stays: ids that are used again would be taken for attempts from before a re-arming.
            "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts
             WHERE at < ?1 AND id < (SELECT max(id) FROM attempts) LIMIT ?2)",
        )?
        .execute(params![before, ROWS_MAX])? as u64;
    tx.sql
        .prepare_cached("DELETE FROM trips WHERE id IN (SELECT id FROM trips WHERE rearmed_at < ?1 LIMIT ?2)")?
        .execute(params![before, ROWS_MAX])?;
    tx.sql
        .prepare_cached(
            "DELETE FROM attempts_policy WHERE (policy, at, attempt) IN
             (SELECT policy, at, attempt FROM attempts_policy WHERE at < ?1 LIMIT ?2)",
        )?
        .execute(params![before, ROWS_MAX])?;
    Ok(pruned)
}

/// See [`super::Store::backup`]. The file is complete and on disk, or it is gone again.
pub(super) fn backup(database: &Path, file: &Path) -> Result<()> {
    let io = |error: std::io::Error| Error::io(file, &error);
    dir::private(OpenOptions::new().write(true).create_new(true)).open(file).map_err(io)?;
    let copied = readers::connect(database).and_then(|connection| copy(&connection, file));
    let synced = copied.and_then(|()| File::open(file).and_then(|file| file.sync_all()).map_err(io));
    if synced.is_err() {
        // Best effort: the error that is reported is the first.
        let _ = std::fs::remove_file(file);
    }
    synced
}

fn copy(connection: &Connection, file: &Path) -> Result<()> {
    let name = file.to_str().ok_or_else(|| Error::Invalid(format!("{} is not UTF-8", file.display())))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}
