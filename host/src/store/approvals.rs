//! Questions to people: put once, answered once.
//!
//! Deliberately not here: going on with the run, and who may answer.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{Columns, Where, int, json, unique, word};
use super::writer::Tx;
use super::{Approval, ApprovalDecision, ApprovalEnd, Decided, PAGE_MAX, Result};

fn row(row: &Row<'_>) -> rusqlite::Result<Approval> {
    let decision = match row.word_maybe("decision")? {
        None => None,
        Some(kind) => Some(ApprovalDecision {
            kind,
            by: row.get("decided_by")?,
            reason: row.get("decided_reason")?,
            at: row.ms("decided_at")?,
        }),
    };
    Ok(Approval {
        id: row.get("id")?,
        run: row.get("run")?,
        slot: row.get("slot")?,
        runbook: row.get("runbook")?,
        effect: row.get("effect")?,
        arguments: row.json("arguments")?,
        target: row.json_maybe("target")?,
        reason: row.get("reason")?,
        at: row.ms("at")?,
        expires_at: row.ms("expires_at")?,
        decision,
    })
}

/// See [`super::Store::put_approval`]. A decision it comes with is not stored.
pub(super) fn put(tx: &mut Tx<'_>, approval: &Approval) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO approvals (id, run, slot, runbook, effect, arguments, target, reason, at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        approval.id,
        approval.run,
        approval.slot,
        approval.runbook,
        approval.effect,
        json(&approval.arguments)?,
        approval.target.as_ref().map(json).transpose()?,
        approval.reason,
        int(approval.at),
        int(approval.expires_at),
    ])?;
    Ok(())
}

/// See [`super::Store::approval`].
pub(super) fn get(sql: &Connection, prefix: &str) -> Result<Option<Approval>> {
    unique(sql, "SELECT * FROM approvals WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2", prefix, row)
}

/// See [`super::Store::approvals`].
pub(super) fn list(sql: &Connection, open_only: bool) -> Result<Vec<Approval>> {
    let mut query = Where::new("SELECT * FROM approvals");
    if open_only {
        query.and_plain("decision IS NULL");
    }
    query.rows(sql, " ORDER BY at DESC, id DESC", PAGE_MAX as usize, row)
}

/// See [`super::Store::decide_approval`]. Needs the whole id: nobody approves by a guess.
pub(super) fn decide(tx: &mut Tx<'_>, id: &str, decision: ApprovalDecision) -> Result<Decided> {
    let found = tx.sql.prepare_cached("SELECT * FROM approvals WHERE id = ?1")?.query_row([id], row).optional()?;
    let Some(mut approval) = found else { return Ok(Decided::Unknown) };
    if approval.decision.is_some() {
        return Ok(Decided::Already(Box::new(approval)));
    }
    if decision.at >= approval.expires_at {
        return Ok(Decided::Expired(Box::new(approval)));
    }
    let mut statement = tx.sql.prepare_cached(
        "UPDATE approvals SET decision = ?2, decided_by = ?3, decided_reason = ?4, decided_at = ?5 WHERE id = ?1",
    )?;
    statement.execute(params![id, word(&decision.kind)?, decision.by, decision.reason, int(decision.at)])?;
    approval.decision = Some(decision);
    Ok(Decided::Done(Box::new(approval)))
}

/// See [`super::Store::withdraw_approvals`].
pub(super) fn withdraw(tx: &mut Tx<'_>, run: &str, reason: &str, at: u64) -> Result<u64> {
    let mut statement = tx.sql.prepare_cached(
        "UPDATE approvals SET decision = ?2, decided_by = 'sandbook', decided_reason = ?3, decided_at = ?4
         WHERE run = ?1 AND decision IS NULL",
    )?;
    Ok(statement.execute(params![run, word(&ApprovalEnd::Withdrawn)?, reason, int(at)])? as u64)
}
