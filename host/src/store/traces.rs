//! What runs saw and did, for the next incident of the same shape.
//!
//! A trace is written with its run's end and removed with its run. Reading is bounded whatever there is: the newest
//! episodes of the alert's name and the newest of each log pattern, each found through an index. Deliberately not here:
//! comparing.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, params};
use sha2::{Digest as _, Sha256};

use super::row::{Columns, int, json};
use super::writer::Tx;
use super::{PastEpisode, PastFilter, PastRun, Result, Trace};

/// Episodes of the same alert that are compared, the newest: a year of one a day.
const SAME_NAME_MAX: u32 = 365;
/// Episodes that are compared for one log pattern they share.
const SAME_PATTERN_MAX: u32 = 20;
/// Log patterns of an incident by which others are found: those of trouble come first.
pub const PATTERNS_MAX: usize = 8;
/// Runs of one episode that are looked at.
const RUNS_MAX: u32 = 10;

/// Episodes of an alert, newest first.
const NAMED: &str = "SELECT id FROM episodes WHERE name = ?1 AND first_heard < ?2 ORDER BY first_heard DESC LIMIT ?3";
/// Episodes with a log pattern, newest first.
const SHARING: &str = "SELECT episode FROM log_patterns WHERE pattern = ?1 AND at < ?2 ORDER BY at DESC LIMIT ?3";
/// What the logs of an episode showed.
const LOGS: &str = "SELECT logs FROM traces WHERE episode = ?1 ORDER BY at, run LIMIT ?2";
/// Those whose cost could grow with what is kept.
#[cfg(test)]
pub(super) const QUERIES: &[&str] = &[NAMED, SHARING, LOGS];

/// A pattern as it is looked up: short, whatever a log wrote.
fn key(pattern: &str) -> String {
    Sha256::digest(pattern.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Written in the transaction that ends the run; a run without an episode leaves none.
pub(super) fn put(tx: &mut Tx<'_>, run: &str, trace: &Trace) -> Result<()> {
    let changed = tx
        .sql
        .prepare_cached(
            "INSERT OR REPLACE INTO traces (run, episode, at, changes, logs)
             SELECT id, episode, at, ?2, ?3 FROM runs WHERE id = ?1 AND episode IS NOT NULL",
        )?
        .execute(params![run, json(&trace.changes)?, json(&trace.logs)?])?;
    if changed == 0 {
        return Ok(());
    }
    for pattern in trace.logs.iter().take(PATTERNS_MAX) {
        tx.sql
            .prepare_cached(
                "INSERT OR IGNORE INTO log_patterns (pattern, at, run, episode)
                 SELECT ?2, at, run, episode FROM traces WHERE run = ?1",
            )?
            .execute(params![run, key(pattern)])?;
    }
    Ok(())
}

/// Removes what a run left.
pub(super) fn remove(tx: &mut Tx<'_>, run: &str) -> Result<()> {
    tx.sql.prepare_cached("DELETE FROM log_patterns WHERE run = ?1")?.execute([run])?;
    tx.sql.prepare_cached("DELETE FROM traces WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// See [`super::Store::log_patterns`].
pub(super) fn logs_of(sql: &Connection, episode: &str) -> Result<Vec<String>> {
    let mut statement = sql.prepare_cached(LOGS)?;
    let rows = statement.query_map(params![episode, RUNS_MAX], |row| row.json::<Vec<String>>("logs"))?;
    let mut logs: Vec<String> = Vec::new();
    for row in rows {
        for pattern in row? {
            if !logs.contains(&pattern) {
                logs.push(pattern);
            }
        }
    }
    Ok(logs)
}

/// See [`super::Store::past`].
pub(super) fn past(sql: &Connection, filter: &PastFilter) -> Result<Vec<PastEpisode>> {
    let mut ids: Vec<String> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::from([filter.except.clone()]);
    let before = int(filter.before);
    let mut take = |id: String| {
        if seen.insert(id.clone()) {
            ids.push(id);
        }
    };
    let mut named = sql.prepare_cached(NAMED)?;
    for id in named.query_map(params![filter.name, before, SAME_NAME_MAX], |row| row.get(0))? {
        take(id?);
    }
    let mut sharing = sql.prepare_cached(SHARING)?;
    for pattern in filter.patterns.iter().take(PATTERNS_MAX) {
        for id in sharing.query_map(params![key(pattern), before, SAME_PATTERN_MAX], |row| row.get(0))? {
            take(id?);
        }
    }
    let mut episodes = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(mut episode) = episode(sql, &id)?.filter(|episode| episode.first_heard < filter.before) {
            episode.logs = logs_of(sql, &id)?;
            episode.runs = runs_of(sql, &id)?;
            episodes.push(episode);
        }
    }
    Ok(episodes)
}

fn episode(sql: &Connection, id: &str) -> Result<Option<PastEpisode>> {
    let mut statement = sql.prepare_cached(
        "SELECT id, name, labels, first_heard, resolved_at, json_extract(snapshot, '$.details.state') AS state
         FROM episodes WHERE id = ?1",
    )?;
    let rows = statement.query_map([id], |row| {
        Ok(PastEpisode {
            id: row.get("id")?,
            name: row.get("name")?,
            labels: row.json("labels")?,
            first_heard: row.ms("first_heard")?,
            resolved_at: row.ms_maybe("resolved_at")?,
            state: row.json_maybe("state")?,
            logs: Vec::new(),
            runs: Vec::new(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.pop())
}

fn runs_of(sql: &Connection, episode: &str) -> Result<Vec<PastRun>> {
    let mut statement = sql.prepare_cached(
        "SELECT runs.id, runs.runbook, version, mode, outcome, sentence, verification, acted_at IS NOT NULL AS acted,
             traces.changes
         FROM runs LEFT JOIN traces ON traces.run = runs.id
         WHERE finished_at IS NOT NULL
             AND (runs.episode = ?1 OR runs.id IN (SELECT run FROM joins WHERE episode = ?1))
         ORDER BY runs.at, runs.id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![episode, RUNS_MAX], run)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn run(row: &Row<'_>) -> rusqlite::Result<PastRun> {
    Ok(PastRun {
        id: row.get("id")?,
        runbook: row.get("runbook")?,
        version: row.get("version")?,
        mode: row.word("mode")?,
        outcome: row.word_maybe("outcome")?,
        sentence: row.get("sentence")?,
        verification: row.word_maybe("verification")?,
        acted: row.get("acted")?,
        changes: row.json_maybe("changes")?.unwrap_or_default(),
    })
}
