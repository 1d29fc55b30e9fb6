//! A runbook's own memory: small texts by key, written together with the record that says so.
//!
//! Deliberately not here: sizes of keys and values, which the effects bound.

use rusqlite::{Connection, OptionalExtension};
use sandbook_core::effect::engine::KEYS_MAX;
use sandbook_core::error::Error as CoreError;

use super::writer::Tx;
use super::{RecordOf, Result, journal};

/// See [`super::Store::memory_get`].
pub(super) fn get(sql: &Connection, runbook: &str, key: &str) -> Result<Option<String>> {
    let mut statement = sql.prepare_cached("SELECT value FROM memory WHERE runbook = ?1 AND key = ?2")?;
    Ok(statement.query_row([runbook, key], |row| row.get(0)).optional()?)
}

/// Sets it, unless it would be one key too many.
pub(super) fn put(tx: &Tx<'_>, runbook: &str, key: &str, value: &str) -> Result<std::result::Result<(), CoreError>> {
    if get(tx.sql, runbook, key)?.is_none() {
        let mut statement = tx.sql.prepare_cached("SELECT count(*) FROM memory WHERE runbook = ?1")?;
        let keys: i64 = statement.query_row([runbook], |row| row.get(0))?;
        if keys >= i64::from(KEYS_MAX) {
            let message = format!("{runbook} remembers {keys} keys, at most {KEYS_MAX} are allowed; use a key it has");
            return Ok(Err(CoreError::limited(message)));
        }
    }
    let mut statement =
        tx.sql.prepare_cached("INSERT OR REPLACE INTO memory (runbook, key, value) VALUES (?1, ?2, ?3)")?;
    statement.execute([runbook, key, value])?;
    Ok(Ok(()))
}

/// See [`super::Store::memory_compare_and_put`].
pub(super) fn compare_and_put(
    tx: &mut Tx<'_>,
    run: &str,
    (runbook, key): (&str, &str),
    expected: Option<&str>,
    value: &str,
    record: RecordOf,
) -> Result<std::result::Result<bool, CoreError>> {
    let same = get(tx.sql, runbook, key)?.as_deref() == expected;
    if same && let Err(limited) = put(tx, runbook, key, value)? {
        return Ok(Err(limited));
    }
    journal::append(tx, run, vec![record(same)])?;
    Ok(Ok(same))
}
