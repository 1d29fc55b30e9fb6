//! Backtests that were made: what a version would have done about recorded alerts, kept beside its promotion.
//!
//! Deliberately not here: making one.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::row::{Columns, int, json};
use super::writer::Tx;
use super::{BacktestRow, Result};

/// Backtests that are kept at the most, the newest: each has a line for every alert it looked at.
const KEPT_MAX: u32 = 200;

fn row(row: &Row<'_>) -> rusqlite::Result<BacktestRow> {
    Ok(BacktestRow {
        id: row.get("id")?,
        runbook: row.get("runbook")?,
        digest: row.get("digest")?,
        by: row.get("by")?,
        at: row.ms("at")?,
        view: row.json("view")?,
    })
}

/// See [`super::Store::put_backtest`].
pub(super) fn put(tx: &mut Tx<'_>, backtest: &BacktestRow) -> Result<()> {
    let BacktestRow { id, runbook, digest, by, at, view } = backtest;
    tx.sql
        .prepare_cached("INSERT INTO backtests (id, runbook, digest, by, at, view) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![id, runbook, digest, by, int(*at), json(view)?])?;
    tx.sql
        .prepare_cached(
            "DELETE FROM backtests WHERE id NOT IN (SELECT id FROM backtests ORDER BY at DESC, id DESC LIMIT ?1)",
        )?
        .execute([KEPT_MAX])?;
    Ok(())
}

/// See [`super::Store::newest_backtest`].
pub(super) fn newest(sql: &Connection, digest: &str) -> Result<Option<BacktestRow>> {
    let mut statement =
        sql.prepare_cached("SELECT * FROM backtests WHERE digest = ?1 ORDER BY at DESC, id DESC LIMIT 1")?;
    Ok(statement.query_row([digest], row).optional()?)
}

/// See [`super::Store::backtests`].
pub(super) fn list(sql: &Connection, runbook: Option<&str>) -> Result<Vec<BacktestRow>> {
    let mut statement = sql.prepare_cached(
        "SELECT id, runbook, digest, by, at, json_remove(view, '$.lines', '$.targets') AS view FROM backtests \
         WHERE ?1 IS NULL OR runbook = ?1 ORDER BY at DESC, id DESC",
    )?;
    let rows = statement.query_map([runbook], row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::backtest`].
pub(super) fn get(sql: &Connection, id: &str) -> Result<Option<BacktestRow>> {
    let mut statement = sql.prepare_cached("SELECT * FROM backtests WHERE id = ?1")?;
    Ok(statement.query_row([id], row).optional()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::store::{BacktestRow, Sqlite, Store as _};

    #[tokio::test]
    async fn the_newest_of_a_digest_counts_and_old_ones_go() {
        let store = Sqlite::in_memory().expect("a store");
        let one = |number: u64, digest: &str| BacktestRow {
            id: format!("t_{number:04}"),
            runbook: "heal".to_owned(),
            digest: digest.to_owned(),
            by: "dana".to_owned(),
            at: number,
            view: json!({ "number": number, "lines": [1, 2, 3] }),
        };
        assert_eq!(store.newest_backtest("sha256:a").await.expect("readable"), None);
        store.put_backtest(one(1, "sha256:old")).await.expect("kept");
        for number in 2..=202 {
            store.put_backtest(one(number, "sha256:a")).await.expect("kept");
        }
        assert_eq!(store.newest_backtest("sha256:a").await.expect("readable"), Some(one(202, "sha256:a")));
        assert_eq!(store.newest_backtest("sha256:old").await.expect("readable"), None, "only so many are kept");
        let all = store.backtests(None).await.expect("readable");
        assert_eq!((all.len(), all[0].view["number"].as_u64(), all[0].view.get("lines")), (200, Some(202), None));
        assert!(store.backtests(Some("other".to_owned())).await.expect("readable").is_empty());
        assert_eq!(store.backtest("t_0202").await.expect("readable"), Some(one(202, "sha256:a")), "whole");
        assert_eq!(store.backtest("t_0001").await.expect("readable"), None);
    }
}
