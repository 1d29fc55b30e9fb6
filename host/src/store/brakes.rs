//! The intend transaction: stop switch, pauses, windows; then the attempt is counted and the intent recorded.
//!
//! Attempts count, not successes, and they count before the world changes. Everything is checked in the transaction
//! that counts, so two runs cannot both take the last place. An attempt of the future (a clock was set back) counts.
//!
//! Deliberately not here: which windows apply; engine, policy and manifest say, and all of them must have room.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use sandbook_core::error::Error as CoreError;
use sandbook_core::journal::Record;

use super::row::{Columns, Where, int, page};
use super::writer::Tx;
use super::{AttemptFilter, AttemptRow, Intend, Result, Scope, Window, journal, pauses};

/// See [`super::Store::intend`].
pub(super) fn intend(
    tx: &mut Tx<'_>,
    run: &str,
    record: Record,
    intend: &Intend,
) -> Result<std::result::Result<(), CoreError>> {
    if let Some(refusal) = refusal(tx.sql, intend)? {
        return Ok(Err(CoreError::limited(refusal)));
    }
    let at = int(intend.at);
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO attempts (run, runbook, subject, host, effect, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let attempt = statement.insert(params![run, intend.runbook, intend.subject, intend.host, intend.effect, at])?;
    let mut statement =
        tx.sql.prepare_cached("INSERT OR IGNORE INTO attempts_policy (policy, at, attempt) VALUES (?1, ?2, ?3)")?;
    for policy in &intend.policy {
        statement.execute(params![policy, at, attempt])?;
    }
    journal::append(tx, run, vec![record])?;
    Ok(Ok(()))
}

/// Why it may not be done now.
fn refusal(sql: &Connection, intend: &Intend) -> Result<Option<String>> {
    if let Some(stop) = pauses::stopped(sql)? {
        let since = time(stop.at);
        return Ok(Some(format!(
            "everything is stopped by {} since {since}: {}; lift it with `sandbook stop-all --release`",
            stop.by, stop.reason
        )));
    }
    for pause in pauses::list(sql, intend.at)? {
        if pauses::covers(&pause.selector, intend) {
            let until = time(pause.until);
            return Ok(Some(format!("paused by {} until {until}: {} (pause {})", pause.by, pause.reason, pause.id)));
        }
    }
    for window in &intend.windows {
        if let Some(refusal) = full(sql, intend, window)? {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

/// Queries of one scope: how many after a time, and the time of the one that many places back.
struct Queries {
    count: &'static str,
    nth: &'static str,
}

macro_rules! queries {
    ($table:literal, $condition:literal) => {
        Queries {
            count: concat!("SELECT count(*) FROM ", $table, " WHERE ", $condition, " AND at > ?3"),
            nth: concat!(
                "SELECT at FROM ",
                $table,
                " WHERE ",
                $condition,
                " AND at > ?3 ORDER BY at DESC LIMIT 1 OFFSET ?4"
            ),
        }
    };
}

fn full(sql: &Connection, intend: &Intend, window: &Window) -> Result<Option<String>> {
    let (runbook, subject, host) = (intend.runbook.as_str(), intend.subject.as_str(), intend.host.as_str());
    // `?2` is bound everywhere, so scopes with one key compare with it in vain.
    let (queries, keys, about) = match &window.scope {
        Scope::RunbookSubject => (
            queries!("attempts", "runbook = ?1 AND subject = ?2"),
            [runbook, subject],
            format!("{runbook} on {subject}"),
        ),
        Scope::Subject => (queries!("attempts", "subject = ?1 AND ?2 = ''"), [subject, ""], subject.to_owned()),
        Scope::Runbook => (queries!("attempts", "runbook = ?1 AND ?2 = ''"), [runbook, ""], runbook.to_owned()),
        Scope::Host => (queries!("attempts", "host = ?1 AND ?2 = ''"), [host, ""], format!("host {host}")),
        Scope::Policy(key) => {
            (queries!("attempts_policy", "policy = ?1 AND ?2 = ''"), [key.as_str(), ""], format!("policy {key}"))
        }
    };
    if window.count == 0 {
        return Ok(Some(format!("{} allows no attempt of {about}", window.label)));
    }
    let after = int(intend.at).saturating_sub(int(window.window_ms));
    let place = window.count - 1;
    let values: [&dyn ToSql; 4] = [&keys[0], &keys[1], &after, &place];
    let oldest: Option<i64> = sql.prepare_cached(queries.nth)?.query_row(&values[..], |row| row.get(0)).optional()?;
    let Some(oldest) = oldest else { return Ok(None) };
    let count: i64 = sql.prepare_cached(queries.count)?.query_row(&values[..3], |row| row.get(0))?;
    let room = time(oldest.max(0).unsigned_abs().saturating_add(window.window_ms));
    Ok(Some(format!(
        "{}: {count} attempts of {about}, at most {} are allowed; there is room again at {room}",
        window.label, window.count
    )))
}

fn time(ms: u64) -> String {
    Timestamp::from_millisecond(int(ms)).map_or_else(|_| "never".to_owned(), |at| at.to_string())
}

fn row(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        id: row.get("id")?,
        run: row.get("run")?,
        runbook: row.get("runbook")?,
        subject: row.get("subject")?,
        host: row.get("host")?,
        effect: row.get("effect")?,
        at: row.ms("at")?,
    })
}

/// See [`super::Store::attempts`].
pub(super) fn list(sql: &Connection, filter: AttemptFilter) -> Result<Vec<AttemptRow>> {
    let mut query = Where::new("SELECT * FROM attempts");
    query.and("runbook = ?", filter.runbook);
    query.and("subject = ?", filter.subject);
    query.and("host = ?", filter.host);
    query.and("at >= ?", filter.since.map(int));
    query.rows(sql, " ORDER BY at DESC, id DESC", page(filter.limit), row)
}
