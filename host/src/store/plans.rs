//! Plans that were made: kept for their review, applied at most once, removed a week after they expired.
//!
//! Deliberately not here: making and applying them.

use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::row::{Columns, Where, cut_page, int, json, page, parse_cursor, unique};
use super::writer::Tx;
use super::{NewRun, PlanRow, Result, runs};

/// How long a plan is kept after it expired, in milliseconds: long enough to talk about it.
const KEPT_MS: u64 = 7 * 86_400_000;
/// Plans that are kept at the most, the newest: each is a journal of a run's size.
const KEPT_MAX: u32 = 2_000;
/// Plans that are removed at once.
const REMOVED_MAX: u32 = 100;

/// See [`super::Store::put_plan`].
pub(super) fn put(tx: &mut Tx<'_>, plan: &PlanRow) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO plans (id, runbook, digest, by, at, expires_at, view, records)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let PlanRow { id, runbook, digest, by, at, expires_at, view, records, applied: _ } = plan;
    statement.execute(params![id, runbook, digest, by, int(*at), int(*expires_at), json(view)?, json(records)?])?;
    tx.sql
        .prepare_cached("DELETE FROM plans WHERE id IN (SELECT id FROM plans WHERE at < ?1 ORDER BY at LIMIT ?2)")?
        .execute(params![int(at.saturating_sub(KEPT_MS)), REMOVED_MAX])?;
    tx.sql
        .prepare_cached("DELETE FROM plans WHERE id IN (SELECT id FROM plans ORDER BY at DESC LIMIT ?1 OFFSET ?2)")?
        .execute(params![REMOVED_MAX, KEPT_MAX])?;
    Ok(())
}

fn row(row: &Row<'_>) -> rusqlite::Result<PlanRow> {
    let mut view: Value = row.json("view")?;
    let applied: Option<String> = row.get("applied")?;
    if let Some(view) = view.as_object_mut() {
        view.insert("applied".to_owned(), applied.clone().into());
    }
    Ok(PlanRow {
        id: row.get("id")?,
        runbook: row.get("runbook")?,
        digest: row.get("digest")?,
        by: row.get("by")?,
        at: row.ms("at")?,
        expires_at: row.ms("expires_at")?,
        view,
        records: row.json("records")?,
        applied,
    })
}

/// See [`super::Store::plan`].
pub(super) fn get(sql: &Connection, prefix: &str) -> Result<Option<PlanRow>> {
    unique(sql, "SELECT * FROM plans WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2", prefix, row)
}

/// See [`super::Store::plans`].
pub(super) fn list(sql: &Connection, limit: u32, cursor: Option<String>) -> Result<(Vec<PlanRow>, Option<String>)> {
    let page = page(limit);
    // Without what was recorded: a page of journals is more than anybody wants.
    let mut query =
        Where::new("SELECT id, runbook, digest, by, at, expires_at, view, '[]' AS records, applied FROM plans");
    query.and_two("(at, id) < (?, ?)", parse_cursor(cursor.as_deref())?);
    let mut rows = query.rows(sql, " ORDER BY at DESC, id DESC", page + 1, row)?;
    let next = cut_page(&mut rows, page, |row| (row.at, row.id.clone()));
    Ok((rows, next))
}

/// See [`super::Store::apply_plan`].
pub(super) fn apply(tx: &mut Tx<'_>, id: &str, run: &NewRun) -> Result<bool> {
    let mut statement = tx.sql.prepare_cached("UPDATE plans SET applied = ?2 WHERE id = ?1 AND applied IS NULL")?;
    if statement.execute([id, &run.id])? == 0 {
        return Ok(false);
    }
    drop(statement);
    runs::create(tx, run).map(|()| true)
}
