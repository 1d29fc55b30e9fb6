//! Runs: queued, claimed, changed, found again.
//!
//! Deliberately not here: which state may follow which; the engine says from which states a change is meant.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sandbook_core::run::State;

use super::row::{Columns, Where, cut_page, int, json, page, parse_cursor, unique};
use super::writer::Tx;
use super::{Error, Event, EventKind, NewRun, Result, RunFilter, RunPatch, RunRow, outbox, outcomes, traces};

/// Open runs that are read at once: far more than an engine has at a time.
const OPEN_MAX: i64 = 100_000;

/// See [`super::Store::create_run`].
pub(super) fn create(tx: &mut Tx<'_>, run: &NewRun) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO runs (id, runbook, version, digest, mode, stage, origin, trigger, episode, parameters, target_hint,
             priority, at, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'queued')",
    )?;
    statement.execute(params![
        run.id,
        run.runbook,
        run.version,
        run.digest,
        run.mode.name(),
        run.stage.name(),
        run.origin.name(),
        run.trigger,
        run.episode,
        json(&run.parameters)?,
        json(&run.target_hint)?,
        run.priority,
        int(run.at),
    ])?;
    tx.events.push(Event { run: run.id.clone(), kind: EventKind::State(State::Queued) });
    Ok(())
}

/// The run's state, if there is such a run.
pub(super) fn state(sql: &Connection, id: &str) -> Result<Option<State>> {
    let mut statement = sql.prepare_cached("SELECT state FROM runs WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.word("state")).optional()?)
}

/// See [`super::Store::update_run`].
pub(super) fn update(tx: &mut Tx<'_>, id: &str, patch: RunPatch) -> Result<bool> {
    let Some(current) = state(tx.sql, id)? else { return Ok(false) };
    if !patch.from.is_empty() && !patch.from.contains(&current) {
        return Ok(false);
    }
    let mut statement = tx.sql.prepare_cached(
        "UPDATE runs SET
             state = coalesce(?2, state), target = coalesce(?3, target), target_key = coalesce(?4, target_key),
             target_name = coalesce(?5, target_name), subject = coalesce(?6, subject),
             started_at = coalesce(?7, started_at), finished_at = coalesce(?8, finished_at),
             outcome = coalesce(?9, outcome), sentence = coalesce(?10, sentence),
             verification = coalesce(?11, verification), wake_at = CASE WHEN ?12 THEN ?13 ELSE wake_at END,
             error = coalesce(?14, error), crashes = coalesce(?15, crashes)
         WHERE id = ?1",
    )?;
    statement.execute(params![
        id,
        patch.state.map(State::name),
        patch.target.as_ref().map(json).transpose()?,
        patch.target.as_ref().map(ToString::to_string),
        patch.target.as_ref().map(|target| &target.name),
        patch.subject,
        patch.started_at.map(int),
        patch.finished_at.map(int),
        patch.outcome.map(|outcome| outcome.name()),
        patch.sentence,
        patch.verification.map(|verification| verification.name()),
        patch.wake_at.is_some(),
        patch.wake_at.flatten().map(int),
        patch.error,
        patch.crashes,
    ])?;
    if let Some(aftermath) = &patch.aftermath {
        outcomes::set_aftermath(tx, id, aftermath)?;
    }
    if let Some(trace) = &patch.trace {
        traces::put(tx, id, trace)?;
    }
    for notice in &patch.notices {
        outbox::put_notice(tx, notice)?;
    }
    for run in &patch.runs {
        create(tx, run)?;
    }
    if let Some(state) = patch.state.filter(|state| *state != current) {
        tx.events.push(Event { run: id.to_owned(), kind: EventKind::State(state) });
    }
    Ok(true)
}

pub(super) fn row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: row.get("id")?,
        runbook: row.get("runbook")?,
        version: row.get("version")?,
        digest: row.get("digest")?,
        mode: row.word("mode")?,
        stage: row.word("stage")?,
        origin: row.word("origin")?,
        trigger: row.get("trigger")?,
        episode: row.get("episode")?,
        parameters: row.json("parameters")?,
        target_hint: row.json("target_hint")?,
        target: row.json_maybe("target")?,
        subject: row.get("subject")?,
        priority: row.get("priority")?,
        at: row.ms("at")?,
        state: row.word("state")?,
        started_at: row.ms_maybe("started_at")?,
        finished_at: row.ms_maybe("finished_at")?,
        outcome: row.word_maybe("outcome")?,
        sentence: row.get("sentence")?,
        verification: row.word_maybe("verification")?,
        wake_at: row.ms_maybe("wake_at")?,
        error: row.get("error")?,
        crashes: row.get("crashes")?,
        aftermath: outcomes::aftermath(row)?,
    })
}

pub(super) fn rows(sql: &Connection, select: &'static str, values: impl rusqlite::Params) -> Result<Vec<RunRow>> {
    let mut statement = sql.prepare_cached(select)?;
    let rows = statement.query_map(values, row)?;
    rows.map(|row| row.map_err(Error::from)).collect()
}

/// See [`super::Store::queued`].
pub(super) fn queued(sql: &Connection, limit: u32) -> Result<Vec<RunRow>> {
    let select =
        "SELECT * FROM runs INDEXED BY runs_state WHERE state = 'queued' ORDER BY priority DESC, at, id LIMIT ?1";
    rows(sql, select, [i64::try_from(page(limit)).unwrap_or(i64::MAX)])
}

/// See [`super::Store::open_runs`].
pub(super) fn open(sql: &Connection) -> Result<Vec<RunRow>> {
    let select = "SELECT * FROM runs WHERE state IN ('queued', 'running', 'waiting', 'needs-attention')
                  ORDER BY at, id LIMIT ?1";
    rows(sql, select, [OPEN_MAX])
}

/// See [`super::Store::due_waiting`].
pub(super) fn due_waiting(sql: &Connection, now: u64) -> Result<Vec<RunRow>> {
    let select =
        "SELECT * FROM runs INDEXED BY runs_wake WHERE state = 'waiting' AND wake_at IS NOT NULL AND wake_at <= ?1
                  ORDER BY wake_at LIMIT ?2";
    rows(sql, select, [int(now), i64::from(super::PAGE_MAX)])
}

/// See [`super::Store::run`].
pub(super) fn get(sql: &Connection, id: &str) -> Result<Option<RunRow>> {
    if id == "last" {
        return Ok(rows(sql, "SELECT * FROM runs ORDER BY at DESC, id DESC LIMIT 1", [])?.pop());
    }
    unique(sql, "SELECT * FROM runs WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2", id, row)
}

/// See [`super::Store::runs`].
pub(super) fn list(sql: &Connection, filter: RunFilter) -> Result<(Vec<RunRow>, Option<String>)> {
    let page = page(filter.limit);
    let mut query = Where::new("SELECT * FROM runs");
    query.and("state = ?", filter.state.map(State::name));
    query.and("mode = ?", filter.mode.map(|mode| mode.name()));
    query.and("runbook = ?", filter.runbook);
    let (key, name) = match filter.target {
        Some(target) if target.contains('/') => (Some(target), None),
        other => (None, other),
    };
    query.and("target_key = ?", key);
    query.and("target_name = ?", name);
    query.and("episode = ?", filter.episode);
    query.and("at >= ?", filter.since.map(int));
    query.and_two("(at, id) < (?, ?)", parse_cursor(filter.cursor.as_deref())?);
    let mut rows = query.rows(sql, " ORDER BY at DESC, id DESC", page + 1, row)?;
    let next = cut_page(&mut rows, page, |row| (row.at, row.id.clone()));
    Ok((rows, next))
}
