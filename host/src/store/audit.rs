//! The audit: who did what, each line chained to the one before.
//!
//! A line's hash is SHA-256 over the hash before it and the line as canonical JSON (sorted keys, no spaces), so a
//! changed, removed or inserted line breaks the chain from there on. Deliberately not here: protection against someone
//! who rewrites all of it, or cuts its end; for that, keep the newest number and hash elsewhere.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::row::{Columns, Where, int, json, page};
use super::writer::Tx;
use super::{AuditCheck, AuditRow, Error, Result};

/// What the first line is chained to.
const GENESIS: &str = "sandbook";

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

/// See [`super::Store::verify_audit`].
pub(super) fn verify(sql: &Connection) -> Result<AuditCheck> {
    let mut statement =
        sql.prepare_cached("SELECT seq, at, who, what, subject, details, hash FROM audit ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let (mut before, mut expected) = (GENESIS.to_owned(), 1i64);
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let texts: [String; 5] = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
        let [who, what, subject, details, stored] = &texts;
        let holds = hash(&before, seq, row.get(1)?, [who, what, subject], details)? == *stored;
        if seq != expected || !holds {
            return Ok(AuditCheck { rows: expected.unsigned_abs() - 1, broken: Some(expected.unsigned_abs()) });
        }
        before.clone_from(stored);
        expected += 1;
    }
    Ok(AuditCheck { rows: expected.unsigned_abs() - 1, broken: None })
}
