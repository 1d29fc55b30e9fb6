//! Brakes that tripped: what they cover is held back until a person says that it may go on.
//!
//! A brake is one scope and key, such as a runbook on a subject; while one of its windows has tripped, no other can. A
//! window that has room again, a success, and a new version of the runbook change nothing.
//!
//! Deliberately not here: counting, and sending what people are told.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::brakes::Full;
use super::row::{Columns, Where, int, unique};
use super::writer::Tx;
use super::{Happened, Intend, Notice, PAGE_MAX, Rearm, Rearmed, Result, Scope, Trip, id, outbox, runs};

fn row(row: &Row<'_>) -> rusqlite::Result<Trip> {
    let (scope, key): (String, String) = (row.get("scope")?, row.get("key")?);
    let unknown = || rusqlite::Error::InvalidColumnType(0, format!("scope {scope}"), rusqlite::types::Type::Text);
    let rearmed = match row.ms_maybe("rearmed_at")? {
        None => None,
        Some(at) => Some(Rearm {
            by: row.get("rearmed_by")?,
            reason: row.get("rearmed_reason")?,
            at,
            attempt: row.get("rearmed_attempt")?,
        }),
    };
    Ok(Trip {
        id: row.get("id")?,
        scope: Scope::parse(&scope, &key).ok_or_else(unknown)?,
        key,
        label: row.get("label")?,
        counted: row.ms("counted")?,
        allowed: row.get("allowed")?,
        window_ms: row.ms("window_ms")?,
        run: row.get("run")?,
        runbook: row.get("runbook")?,
        subject: row.get("subject")?,
        host: row.get("host")?,
        at: row.ms("at")?,
        rearmed,
    })
}

/// The open trip that covers an attempt, if one does.
pub(super) fn covering(sql: &Connection, intend: &Intend) -> Result<Option<Trip>> {
    let scopes = [Scope::RunbookSubject, Scope::Subject, Scope::Runbook, Scope::Host, Scope::Storm];
    let policies = intend.policy.iter().map(|id| Scope::Policy(id.clone()));
    let mut statement =
        sql.prepare_cached("SELECT * FROM trips WHERE scope = ?1 AND key = ?2 AND rearmed_at IS NULL")?;
    for scope in scopes.into_iter().chain(policies) {
        let key = scope.key(&intend.runbook, &intend.subject, &intend.host);
        if let Some(trip) = statement.query_row([scope.name(), &key], row).optional()? {
            return Ok(Some(trip));
        }
    }
    Ok(None)
}

/// The newest attempt that no longer counts for a scope and key, because a person re-armed it later.
pub(super) fn counts_after(sql: &Connection, scope: &Scope, key: &str) -> Result<i64> {
    let mut statement = sql.prepare_cached(
        "SELECT max(rearmed_attempt) FROM trips WHERE scope = ?1 AND key = ?2 AND rearmed_at IS NOT NULL",
    )?;
    let attempt: Option<i64> = statement.query_row([scope.name(), key], |row| row.get(0))?;
    Ok(attempt.unwrap_or(0))
}

/// Trips a brake.
pub(super) fn open(tx: &mut Tx<'_>, run: &str, intend: &Intend, full: Full) -> Result<Trip> {
    let Full { scope, key, label, counted, allowed, window_ms } = full;
    let trip = Trip {
        id: id::new("t"),
        scope,
        key,
        label,
        counted,
        allowed,
        window_ms,
        run: run.to_owned(),
        runbook: intend.runbook.clone(),
        subject: intend.subject.clone(),
        host: intend.host.clone(),
        at: intend.at,
        rearmed: None,
    };
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO trips (id, scope, key, label, counted, allowed, window_ms, run, runbook, subject, host, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    statement.execute(params![
        trip.id,
        trip.scope.name(),
        trip.key,
        trip.label,
        int(trip.counted),
        trip.allowed,
        int(trip.window_ms),
        trip.run,
        trip.runbook,
        trip.subject,
        trip.host,
        int(trip.at),
    ])?;
    outbox::put_notice(tx, &notice(tx, &trip)?)?;
    Ok(trip)
}

/// What people are told of it, in the transaction in which it trips.
fn notice(tx: &Tx<'_>, trip: &Trip) -> Result<Notice> {
    let run = runs::get(tx.sql, &trip.run)?;
    let target = run.as_ref().and_then(|run| run.target.as_ref()).map(ToString::to_string);
    let key = format!("sandbook-{}", trip.id);
    Ok(Notice {
        once: key.clone(),
        key,
        event: Happened::Tripped,
        severity: Happened::Tripped.severity(),
        run: trip.run.clone(),
        runbook: trip.runbook.clone(),
        target: target.unwrap_or_else(|| trip.subject.clone()),
        episode: run.and_then(|run| run.episode),
        title: None,
        sentence: trip.refusal(),
        channel: None,
        over: false,
        at: trip.at,
    })
}

/// See [`super::Store::trips`].
pub(super) fn list(sql: &Connection, open_only: bool) -> Result<Vec<Trip>> {
    let mut query = Where::new("SELECT * FROM trips");
    if open_only {
        query.and_plain("rearmed_at IS NULL");
    }
    query.rows(sql, " ORDER BY at DESC, id DESC", PAGE_MAX as usize, row)
}

/// See [`super::Store::rearm`].
pub(super) fn rearm(tx: &mut Tx<'_>, id: &str, by: &str, reason: &str, at: u64) -> Result<Rearmed> {
    const SELECT: &str = "SELECT * FROM trips WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2";
    let Some(mut trip) = unique(tx.sql, SELECT, id, row)? else { return Ok(Rearmed::Unknown) };
    if trip.rearmed.is_some() {
        return Ok(Rearmed::Already(Box::new(trip)));
    }
    let newest: Option<i64> = tx.sql.prepare_cached("SELECT max(id) FROM attempts")?.query_row([], |row| row.get(0))?;
    let rearm = Rearm { by: by.to_owned(), reason: reason.to_owned(), at, attempt: newest.unwrap_or(0) };
    let mut statement = tx.sql.prepare_cached(
        "UPDATE trips SET rearmed_by = ?2, rearmed_reason = ?3, rearmed_at = ?4, rearmed_attempt = ?5 WHERE id = ?1",
    )?;
    statement.execute(params![trip.id, rearm.by, rearm.reason, int(rearm.at), rearm.attempt])?;
    trip.rearmed = Some(rearm);
    Ok(Rearmed::Done(Box::new(trip)))
}
