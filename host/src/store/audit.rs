//! The audit: who did what, each line chained to the one before.
//!
//! A line's hash is SHA-256 over the hash before it and the line as canonical JSON (sorted keys, no spaces), so a
//! changed, removed or inserted line breaks the chain from there on. Deliberately not here: protection against someone
//! who rewrites all of it, or cuts its end; for that, keep the newest number and hash elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::row::{Columns, Where, int, json, page};
use super::writer::Tx;
use super::{AuditCheck, AuditRow, Error, Result};

/// What the first line is chained to.
const GENESIS: &str = "sandbook";
/// How often all of it is computed again though only its end was asked about: whoever changes an old line is found.
const WHOLE_EVERY: Duration = Duration::from_secs(3_600);

/// A line without its number and hash.
pub(super) struct Line {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) subject: String,
    pub(super) details: Value,
    pub(super) at: u64,
}

/// Keys sorted, in depth: the same value gives the same text everywhere.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// `details` is the stored text: it is never read and written again, so numbers keep their spelling.
fn hash(before: &str, seq: i64, at: i64, [who, what, subject]: [&str; 3], details: &str) -> Result<String> {
    let (who, what, subject) = (json(&who)?, json(&what)?, json(&subject)?);
    let line =
        format!(r#"{{"at":{at},"details":{details},"seq":{seq},"subject":{subject},"what":{what},"who":{who}}}"#);
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(line.as_bytes());
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// See [`super::Store::audit`].
pub(super) fn add(tx: &mut Tx<'_>, line: &Line) -> Result<u64> {
    let mut statement = tx.sql.prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?;
    let last: Option<(i64, String)> = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (seq, before) = last.map_or_else(|| (1, GENESIS.to_owned()), |(seq, hash)| (seq + 1, hash));
    let (at, details) = (int(line.at), json(&canonical(&line.details))?);
    let hash = hash(&before, seq, at, [&line.who, &line.what, &line.subject], &details)?;
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO audit (seq, at, who, what, subject, details, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![seq, at, line.who, line.what, line.subject, details, hash])?;
    Ok(seq.unsigned_abs())
}

fn row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.ms("seq")?,
        at: row.ms("at")?,
        who: row.get("who")?,
        what: row.get("what")?,
        subject: row.get("subject")?,
        details: row.json("details")?,
        hash: row.get("hash")?,
    })
}

/// See [`super::Store::audit_rows`].
pub(super) fn list(
    sql: &Connection,
    since: Option<u64>,
    limit: u32,
    cursor: Option<String>,
) -> Result<(Vec<AuditRow>, Option<String>)> {
    let page = page(limit);
    let before = cursor.map(|cursor| {
        cursor.parse::<i64>().map_err(|_| Error::Invalid(format!("`{cursor}` is not a cursor of an earlier page")))
    });
    let mut query = Where::new("SELECT * FROM audit");
    query.and("at >= ?", since.map(int));
    query.and("seq < ?", before.transpose()?);
    let mut rows = query.rows(sql, " ORDER BY seq DESC", page + 1, row)?;
    let more = rows.len() > page;
    rows.truncate(page);
    let next = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    Ok((rows, next))
}

/// How far the chain was found to hold, and when all of it was looked at.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<(Link, Instant)>>);

/// A line that held.
#[derive(Clone)]
struct Link {
    seq: i64,
    hash: String,
}

/// See [`super::Store::verify_audit`].
pub(super) fn verify(sql: &Connection, known: &Known, whole: bool) -> Result<AuditCheck> {
    let kept = known.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let kept =
        kept.filter(|(link, since)| !whole && since.elapsed() < WHOLE_EVERY && holds(sql, link).unwrap_or(false));
    let (from, since) = kept.unwrap_or_else(|| (Link { seq: 0, hash: GENESIS.to_owned() }, Instant::now()));
    let (link, check) = follow(sql, from)?;
    // What does not hold is looked at from its beginning again, and so found again.
    let keep = check.broken.is_none().then_some((link, since));
    *known.0.lock().unwrap_or_else(PoisonError::into_inner) = keep;
    Ok(check)
}

/// Whether a line that held is still there.
fn holds(sql: &Connection, link: &Link) -> Result<bool> {
    let mut statement = sql.prepare_cached("SELECT hash FROM audit WHERE seq = ?1")?;
    let hash: Option<String> = statement.query_row([link.seq], |row| row.get(0)).optional()?;
    Ok(hash.as_ref() == Some(&link.hash))
}

/// Computes every hash after a line again.
fn follow(sql: &Connection, from: Link) -> Result<(Link, AuditCheck)> {
    let mut statement =
        sql.prepare_cached("SELECT seq, at, who, what, subject, details, hash FROM audit WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = statement.query([from.seq])?;
    let mut link = from;
    while let Some(row) = rows.next()? {
        let (seq, expected): (i64, i64) = (row.get(0)?, link.seq + 1);
        let texts: [String; 5] = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
        let [who, what, subject, details, stored] = &texts;
        let holds = hash(&link.hash, seq, row.get(1)?, [who, what, subject], details)? == *stored;
        if seq != expected || !holds {
            let check = AuditCheck { rows: link.seq.unsigned_abs(), broken: Some(expected.unsigned_abs()) };
            return Ok((link, check));
        }
        link = Link { seq, hash: stored.clone() };
    }
    let rows = link.seq.unsigned_abs();
    Ok((link, AuditCheck { rows, broken: None }))
}
