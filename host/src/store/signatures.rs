//! Signatures of versions, kept apart from their packages: they may come later than those.
//!
//! Deliberately not here: whether a signature holds. Whoever reads one checks it again.

use rusqlite::{Connection, params};

use super::row::{Columns, int};
use super::writer::Tx;
use super::{Result, SignatureRow};

/// Signatures that are listed at most: of all versions together.
const LISTED_MAX: u32 = 20_000;

/// See [`super::Store::put_signature`].
pub(super) fn put(tx: &mut Tx<'_>, row: &SignatureRow) -> Result<bool> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO signatures (digest, key_id, text, at, by) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (digest, key_id) DO NOTHING",
    )?;
    Ok(statement.execute(params![row.digest, row.key_id, row.text, int(row.at), row.by])? == 1)
}

/// See [`super::Store::signatures`].
pub(super) fn list(sql: &Connection) -> Result<Vec<SignatureRow>> {
    let mut statement = sql.prepare_cached("SELECT * FROM signatures ORDER BY digest, at, key_id LIMIT ?1")?;
    let rows = statement.query_map([LISTED_MAX], |row| {
        Ok(SignatureRow {
            digest: row.get("digest")?,
            key_id: row.get("key_id")?,
            text: row.get("text")?,
            at: row.ms("at")?,
            by: row.get("by")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
