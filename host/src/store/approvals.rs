//! Questions to people: put once, answered once.
//!
//! An answer is one transaction: it closes the question, stands in the run's journal and in the audit, and queues the
//! run, so that a crash leaves all of it or nothing. Deliberately not here: who may answer, and what they are shown.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sandbook_core::journal::Record;
use sandbook_core::run::State;
use serde_json::json as data;

use super::row::{Columns, Where, int, json, unique, word};
use super::writer::Tx;
use super::{
    Approval, ApprovalDecision, ApprovalEnd, Checkpoint, Decided, PAGE_MAX, Result, RunPatch, audit, journal, runs,
};

fn row(row: &Row<'_>) -> rusqlite::Result<Approval> {
    let decision = match row.word_maybe("decision")? {
        None => None,
        Some(kind) => Some(ApprovalDecision {
            kind,
            by: row.get("decided_by")?,
            reason: row.get("decided_reason")?,
            answer: row.get("answer")?,
            at: row.ms("decided_at")?,
        }),
    };
    Ok(Approval {
        id: row.get("id")?,
        run: row.get("run")?,
        slot: row.get("slot")?,
        kind: row.word("kind")?,
        runbook: row.get("runbook")?,
        effect: row.get("effect")?,
        arguments: row.json("arguments")?,
        target: row.json_maybe("target")?,
        sentence: row.get("sentence")?,
        otherwise: row.get("otherwise")?,
        digest: row.get("digest")?,
        options: row.json("options")?,
        reason: row.get("reason")?,
        at: row.ms("at")?,
        expires_at: row.ms("expires_at")?,
        decision,
    })
}

/// Stores a question; a decision it comes with is not stored.
pub(super) fn put(tx: &mut Tx<'_>, approval: &Approval) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO approvals (id, run, slot, kind, runbook, effect, arguments, target, sentence, otherwise, digest,
             options, reason, at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    statement.execute(params![
        approval.id,
        approval.run,
        approval.slot,
        word(&approval.kind)?,
        approval.runbook,
        approval.effect,
        json(&approval.arguments)?,
        approval.target.as_ref().map(json).transpose()?,
        approval.sentence,
        approval.otherwise,
        approval.digest,
        json(&approval.options)?,
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

/// See [`super::Store::open_approval`].
pub(super) fn open(sql: &Connection, run: &str, slot: u32) -> Result<Option<Approval>> {
    let mut statement =
        sql.prepare_cached("SELECT * FROM approvals WHERE run = ?1 AND slot = ?2 AND decision IS NULL LIMIT 1")?;
    Ok(statement.query_row(params![run, slot], row).optional()?)
}

/// See [`super::Store::resolved_approvals`].
pub(super) fn resolved(sql: &Connection, episode: Option<String>) -> Result<Vec<Approval>> {
    let mut query = Where::new(
        "SELECT approvals.* FROM approvals JOIN runs ON runs.id = approvals.run JOIN episodes ON episodes.id = runs.episode",
    );
    query.and_plain("approvals.decision IS NULL");
    query.and_plain("episodes.resolved_at IS NOT NULL");
    query.and("runs.episode = ?", episode);
    query.rows(sql, " ORDER BY approvals.at, approvals.id", PAGE_MAX as usize, row)
}

/// The run a question is of. Needs the whole id: nobody approves by a guess.
pub(super) fn run_of(sql: &Connection, id: &str) -> Result<Option<String>> {
    let mut statement = sql.prepare_cached("SELECT run FROM approvals WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// See [`super::Store::answer_approval`].
pub(super) fn answer(tx: &mut Tx<'_>, id: &str, decision: ApprovalDecision) -> Result<Decided> {
    let found = tx.sql.prepare_cached("SELECT * FROM approvals WHERE id = ?1")?.query_row([id], row).optional()?;
    let Some(mut approval) = found else { return Ok(Decided::Unknown) };
    if approval.decision.is_some() {
        return Ok(Decided::Already(Box::new(approval)));
    }
    if decision.at >= approval.expires_at {
        return Ok(Decided::Expired(Box::new(approval)));
    }
    if runs::state(tx.sql, &approval.run)? != Some(State::Waiting) {
        return Ok(Decided::Gone(Box::new(approval)));
    }
    end(tx, id, &decision)?;
    let record = Record::Answered {
        slot: approval.slot,
        approved: decision.kind == ApprovalEnd::Approved,
        by: decision.by.clone(),
        reason: decision.reason.clone(),
        answer: decision.answer.clone(),
        withdrawn: decision.kind == ApprovalEnd::Withdrawn,
        at: decision.at,
    };
    let patch = RunPatch { state: Some(State::Queued), wake_at: Some(None), ..RunPatch::default() };
    let checkpoint = Checkpoint { records: vec![record], patch, approval: None };
    journal::checkpoint(tx, &approval.run, None, checkpoint)?;
    audit::add(tx, &line(&approval, &decision))?;
    approval.decision = Some(decision);
    Ok(Decided::Done(Box::new(approval)))
}

fn end(tx: &mut Tx<'_>, id: &str, decision: &ApprovalDecision) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "UPDATE approvals SET decision = ?2, decided_by = ?3, decided_reason = ?4, decided_at = ?5, answer = ?6
         WHERE id = ?1",
    )?;
    let ApprovalDecision { kind, by, reason, answer, at } = decision;
    statement.execute(params![id, word(kind)?, by, reason, int(*at), answer])?;
    Ok(())
}

fn line(approval: &Approval, decision: &ApprovalDecision) -> audit::Line {
    let what = match decision.kind {
        ApprovalEnd::Approved => "approve",
        ApprovalEnd::Denied => "deny",
        ApprovalEnd::Withdrawn => "withdraw",
    };
    audit::Line {
        who: decision.by.clone(),
        what: what.to_owned(),
        subject: approval.id.clone(),
        details: data!({
            "run": approval.run, "slot": approval.slot, "runbook": approval.runbook, "effect": approval.effect,
            "target": approval.target, "sentence": approval.sentence, "digest": approval.digest,
            "answer": decision.answer, "reason": decision.reason,
        }),
        at: decision.at,
    }
}

/// See [`super::Store::withdraw_approvals`].
pub(super) fn withdraw(tx: &mut Tx<'_>, run: &str, reason: &str, at: u64) -> Result<u64> {
    let mut statement = tx.sql.prepare_cached(
        "UPDATE approvals SET decision = ?2, decided_by = 'sandbook', decided_reason = ?3, decided_at = ?4
         WHERE run = ?1 AND decision IS NULL",
    )?;
    Ok(statement.execute(params![run, word(&ApprovalEnd::Withdrawn)?, reason, int(at)])? as u64)
}
