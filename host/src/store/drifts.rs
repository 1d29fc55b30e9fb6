//! What runs changed so that a container differs from the compose file it came from.
//!
//! A line is written before the outcome of its effect, and once a slot: whoever resumes the run writes it again in vain.
//! Deliberately not here: whether the container still exists, which the watcher knows.

use rusqlite::{Connection, Row, params};

use super::row::{Columns, int};
use super::writer::Tx;
use super::{Drift, PAGE_MAX, Result};

fn row(row: &Row<'_>) -> rusqlite::Result<Drift> {
    Ok(Drift {
        host: row.get("host")?,
        subject: row.get("subject")?,
        container: row.get("container")?,
        instance: row.get("instance")?,
        effect: row.get("effect")?,
        change: row.get("change")?,
        run: row.get("run")?,
        slot: row.get("slot")?,
        at: row.ms("at")?,
    })
}

/// See [`super::Store::add_drift`].
pub(super) fn add(tx: &mut Tx<'_>, drift: &Drift) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT OR IGNORE INTO drifts (host, subject, container, instance, effect, change, run, slot, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement.execute(params![
        drift.host,
        drift.subject,
        drift.container,
        drift.instance,
        drift.effect,
        drift.change,
        drift.run,
        drift.slot,
        int(drift.at)
    ])?;
    Ok(())
}

/// See [`super::Store::drifts`].
pub(super) fn newest(sql: &Connection) -> Result<Vec<Drift>> {
    let mut statement = sql.prepare_cached(
        "SELECT * FROM drifts WHERE id IN (SELECT max(id) FROM drifts GROUP BY subject) ORDER BY at DESC, id DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([PAGE_MAX], row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::drifts_of`].
pub(super) fn of_run(sql: &Connection, run: &str) -> Result<Vec<Drift>> {
    let mut statement = sql.prepare_cached("SELECT * FROM drifts WHERE run = ?1 ORDER BY slot LIMIT ?2")?;
    let rows = statement.query_map(params![run, PAGE_MAX], row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::Sqlite;
    use super::*;
    use crate::store::Store;

    fn drift(subject: &str, run: &str, slot: u32, at: u64) -> Drift {
        Drift {
            host: "local".to_owned(),
            subject: subject.to_owned(),
            container: subject.to_owned(),
            instance: format!("{subject}-{run}"),
            effect: "docker.update-resources".to_owned(),
            change: format!("memory {at} MiB"),
            run: run.to_owned(),
            slot,
            at,
        }
    }

    #[tokio::test]
    async fn the_newest_of_each_container_is_listed_and_a_slot_counts_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Sqlite::open(dir.path()).expect("opens");
        for one in [drift("a", "r1", 0, 1), drift("b", "r1", 1, 2), drift("a", "r2", 0, 3), drift("a", "r1", 0, 9)] {
            store.add_drift(one).await.expect("written");
        }
        let newest = store.drifts().await.expect("read");
        assert_eq!(newest, [drift("a", "r2", 0, 3), drift("b", "r1", 1, 2)]);
        assert_eq!(store.drifts_of("r1").await.expect("read"), [drift("a", "r1", 0, 1), drift("b", "r1", 1, 2)]);
    }
}
