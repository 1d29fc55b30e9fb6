//! How far schedules are settled, and what became of each of their times.
//!
//! Settling a time and queueing its runs is one transaction, and a time is settled once: whatever crashes, no time is made
//! twice, also when the clock went back. Deliberately not here: when a schedule is due.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{Columns, int, word};
use super::runs;
use super::writer::Tx;
use super::{Fire, FireResult, FireRow, Fired, Result, ScheduleKey, ScheduleRow};

/// Times that are remembered of one schedule: a week of one a minute. A clock that goes back further may repeat one.
const FIRES_KEPT: u32 = 10_080;
/// Schedules that are listed at most.
const LISTED_MAX: u32 = 10_000;

fn fire_row(row: &Row<'_>) -> rusqlite::Result<FireRow> {
    Ok(FireRow {
        at: row.ms("at")?,
        noticed: row.ms("noticed")?,
        result: row.word("result")?,
        why: row.get("why")?,
        run: row.get("run")?,
    })
}

fn id_of(sql: &Connection, key: &ScheduleKey) -> Result<Option<i64>> {
    let mut statement = sql.prepare_cached(
        "SELECT id FROM schedules WHERE runbook = ?1 AND schedule = ?2 AND timezone = ?3 AND target = ?4",
    )?;
    Ok(statement
        .query_row(params![key.runbook, key.schedule, key.timezone, key.target], |row| row.get(0))
        .optional()?)
}

fn newest(sql: &Connection, id: i64) -> Result<Option<FireRow>> {
    let mut statement = sql.prepare_cached("SELECT * FROM fires WHERE schedule = ?1 ORDER BY at DESC LIMIT 1")?;
    Ok(statement.query_row([id], fire_row).optional()?)
}

/// See [`super::Store::schedules`].
pub(super) fn list(sql: &Connection) -> Result<Vec<ScheduleRow>> {
    let mut statement = sql.prepare_cached("SELECT * FROM schedules ORDER BY runbook, schedule, id LIMIT ?1")?;
    let rows = statement.query_map([LISTED_MAX], |row| {
        let key = ScheduleKey {
            runbook: row.get("runbook")?,
            schedule: row.get("schedule")?,
            timezone: row.get("timezone")?,
            target: row.get("target")?,
        };
        Ok((row.get::<_, i64>("id")?, ScheduleRow { key, seen: row.ms("seen")?, last: None }))
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    rows.into_iter().map(|(id, row)| Ok(ScheduleRow { last: newest(sql, id)?, ..row })).collect()
}

/// See [`super::Store::fires`].
pub(super) fn fires(sql: &Connection, key: &ScheduleKey, limit: u32) -> Result<Vec<FireRow>> {
    let Some(id) = id_of(sql, key)? else { return Ok(Vec::new()) };
    let mut statement = sql.prepare_cached("SELECT * FROM fires WHERE schedule = ?1 ORDER BY at DESC LIMIT ?2")?;
    let rows = statement.query_map(params![id, limit], fire_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::follow_schedule`].
pub(super) fn follow(tx: &mut Tx<'_>, key: &ScheduleKey, seen: u64) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO schedules (runbook, schedule, timezone, target, seen) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET seen = ?5",
    )?;
    statement.execute(params![key.runbook, key.schedule, key.timezone, key.target, int(seen)])?;
    Ok(())
}

/// See [`super::Store::fire`].
pub(super) fn fire(tx: &mut Tx<'_>, fire: Fire) -> Result<Fired> {
    let id = match id_of(tx.sql, &fire.key)? {
        Some(id) => id,
        None => {
            follow(tx, &fire.key, fire.at)?;
            tx.sql.last_insert_rowid()
        }
    };
    tx.sql
        .prepare_cached("UPDATE schedules SET seen = max(seen, ?2) WHERE id = ?1")?
        .execute(params![id, int(fire.at)])?;
    let mut known = tx.sql.prepare_cached("SELECT 1 FROM fires WHERE schedule = ?1 AND at = ?2")?;
    if known.exists(params![id, int(fire.at)])? {
        return Ok(Fired::Already);
    }
    let mut row = FireRow { at: fire.at, noticed: fire.now, result: fire.result, why: fire.why, run: None };
    if let (FireResult::Started | FireResult::Late, Some(open)) = (row.result, open(tx.sql, id)?) {
        row.result = FireResult::Overlap;
        row.why = format!("run {open} of the time before is not over");
    }
    if matches!(row.result, FireResult::Started | FireResult::Late) {
        row.run = fire.runs.first().map(|run| run.id.clone());
        for run in &fire.runs {
            runs::create(tx, run)?;
        }
    }
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO fires (schedule, at, noticed, result, why, run) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![id, int(row.at), int(row.noticed), word(&row.result)?, row.why, row.run])?;
    tx.sql
        .prepare_cached(
            "DELETE FROM fires WHERE schedule = ?1
             AND at <= (SELECT at FROM fires WHERE schedule = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![id, FIRES_KEPT])?;
    Ok(Fired::Settled(row))
}

/// The run of its newest time that had one, while that is not over.
fn open(sql: &Connection, id: i64) -> Result<Option<String>> {
    let mut statement =
        sql.prepare_cached("SELECT run FROM fires WHERE schedule = ?1 AND run IS NOT NULL ORDER BY at DESC LIMIT 1")?;
    let Some(run): Option<String> = statement.query_row([id], |row| row.get(0)).optional()? else { return Ok(None) };
    let over = runs::state(sql, &run)?.is_none_or(|state| state.is_final());
    Ok(Some(run).filter(|_| !over))
}
