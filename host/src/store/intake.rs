//! Alerts become episodes: which message begins one, which only repeats it, which ends it.
//!
//! One unbroken firing shows several starts (a peer's clock, a restarted sender), so a start not later than the last
//! time the alert was heard firing continues the episode. A sender whose clock is ahead sends starts in our future: the
//! latest start heard continues it as well. Once the sender said when it ended, a start after that end is a new firing
//! whatever our clock says. Late messages of an episode that is over never stretch it.
//!
//! Deliberately not here: what runs an alert deserves; the caller decides, and says so in [`Incoming::runs`].

use rusqlite::{Connection, OptionalExtension, Row, params};
use sandbook_core::alert::{Alert, Status};
use sandbook_core::run::Mode;

use super::row::{Columns, Where, cut_page, int, json, page, parse_cursor, unique};
use super::writer::Tx;
use super::{
    Accepted, AcceptedKind, EpisodeFilter, EpisodeRow, EpisodeRun, Incoming, NewRun, Result, id, outcomes, runs,
};

/// The newest episode of a fingerprint.
struct Latest {
    id: String,
    starts_at: i64,
    starts_latest: i64,
    heard_firing: i64,
    ends_at: Option<i64>,
    open: bool,
}

impl Latest {
    fn of(sql: &Connection, fingerprint: &str) -> Result<Option<Latest>> {
        let mut statement = sql.prepare_cached(
            "SELECT id, starts_at, starts_latest, heard_firing, ends_at, resolved_at IS NULL AS open
             FROM episodes WHERE fingerprint = ?1 ORDER BY seq DESC LIMIT 1",
        )?;
        let latest = statement.query_row([fingerprint], |row| {
            Ok(Latest {
                id: row.get("id")?,
                starts_at: row.get("starts_at")?,
                starts_latest: row.get("starts_latest")?,
                heard_firing: row.get("heard_firing")?,
                ends_at: row.get("ends_at")?,
                open: row.get("open")?,
            })
        });
        Ok(latest.optional()?)
    }

    /// Whether a firing with that start is this episode's.
    fn includes(&self, starts_at: i64) -> bool {
        let after_end = !self.open && self.ends_at.is_some_and(|end| starts_at > end);
        !after_end && starts_at <= self.heard_firing.max(self.starts_latest)
    }
}

/// See [`super::Store::accept`].
pub(super) fn accept(tx: &mut Tx<'_>, incoming: Vec<Incoming>) -> Result<Vec<Accepted>> {
    incoming.into_iter().map(|one| accept_one(tx, one)).collect()
}

fn accept_one(tx: &mut Tx<'_>, incoming: Incoming) -> Result<Accepted> {
    let latest = Latest::of(tx.sql, &incoming.alert.fingerprint)?;
    match incoming.alert.status {
        Status::Firing => firing(tx, incoming, latest),
        Status::Resolved => resolved(tx, &incoming, latest),
    }
}

fn firing(tx: &mut Tx<'_>, incoming: Incoming, latest: Option<Latest>) -> Result<Accepted> {
    let starts_at = incoming.alert.starts_at.as_millisecond();
    let kind = match latest {
        None => AcceptedKind::New,
        Some(latest) if latest.includes(starts_at) => {
            hear_again(tx.sql, &latest.id, starts_at, incoming.received_at)?;
            let runs = if latest.open { late_runs(tx, &latest.id, incoming.runs)? } else { Vec::new() };
            return Ok(Accepted { episode: latest.id, kind: AcceptedKind::Duplicate, runs, joined: Vec::new() });
        }
        Some(latest) => {
            tx.sql
                .prepare_cached(
                    "UPDATE episodes SET resolved_at = ?2, superseded = 1 WHERE id = ?1 AND resolved_at IS NULL",
                )?
                .execute(params![latest.id, int(incoming.received_at)])?;
            outcomes::refired(tx, &incoming.alert.fingerprint, incoming.received_at)?;
            AcceptedKind::Refired
        }
    };
    let episode = insert(tx.sql, &incoming)?;
    let mut created = Vec::with_capacity(incoming.runs.len());
    let mut joined = Vec::new();
    for mut run in incoming.runs {
        if let Some(other) = incoming.joins.get(&run.id)
            && runs::state(tx.sql, other)?.is_some_and(|state| !state.is_final())
        {
            join_at(tx, &episode, other, incoming.received_at)?;
            joined.push(other.clone());
            continue;
        }
        run.episode = Some(episode.clone());
        runs::create(tx, &run)?;
        created.push(run.id);
    }
    Ok(Accepted { episode, kind, runs: created, joined })
}

/// See [`super::Store::join`].
pub(super) fn join(tx: &mut Tx<'_>, episode: &str, run: &str) -> Result<()> {
    let at = jiff::Timestamp::now().as_millisecond();
    join_at(tx, episode, run, at.max(0).unsigned_abs())
}

fn join_at(tx: &mut Tx<'_>, episode: &str, run: &str, at: u64) -> Result<()> {
    let mut statement = tx.sql.prepare_cached("INSERT OR IGNORE INTO joins (episode, run, at) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![episode, run, int(at)])?;
    Ok(())
}

/// Keeps what the episode's target was like, unless that is known.
pub(super) fn keep_snapshot(tx: &mut Tx<'_>, id: &str, snapshot: &serde_json::Value) -> Result<()> {
    let mut statement =
        tx.sql.prepare_cached("UPDATE episodes SET snapshot = ?2 WHERE id = ?1 AND snapshot = 'null'")?;
    statement.execute(params![id, json(snapshot)?])?;
    Ok(())
}

/// Runs of an episode that is known but that nobody was allowed to act on when it began: a runbook promoted, or added,
/// while its alert goes on firing acts on the next message, once.
fn late_runs(tx: &mut Tx<'_>, episode: &str, runs: Vec<NewRun>) -> Result<Vec<String>> {
    let mut created = Vec::new();
    for mut run in runs.into_iter().filter(|run| run.mode != Mode::Shadow) {
        let acted: i64 = tx
            .sql
            .prepare_cached(
                "SELECT (SELECT count(*) FROM runs WHERE episode = ?1 AND runbook = ?2 AND mode <> 'shadow')
                     + (SELECT count(*) FROM joins JOIN runs ON runs.id = joins.run
                        WHERE joins.episode = ?1 AND runs.runbook = ?2)",
            )?
            .query_row(params![episode, run.runbook], |row| row.get(0))?;
        if acted == 0 {
            run.episode = Some(episode.to_owned());
            runs::create(tx, &run)?;
            created.push(run.id);
        }
    }
    Ok(created)
}

fn hear_again(sql: &Connection, id: &str, starts_at: i64, received_at: u64) -> Result<()> {
    let mut statement = sql.prepare_cached(
        "UPDATE episodes SET count = count + 1, last_heard = max(last_heard, ?2),
             heard_firing = CASE WHEN resolved_at IS NULL THEN max(heard_firing, ?2) ELSE heard_firing END,
             starts_latest = CASE WHEN resolved_at IS NULL THEN max(starts_latest, ?3) ELSE starts_latest END,
             starts_at = min(starts_at, ?3)
         WHERE id = ?1",
    )?;
    statement.execute(params![id, int(received_at), starts_at])?;
    Ok(())
}

fn resolved(tx: &mut Tx<'_>, incoming: &Incoming, latest: Option<Latest>) -> Result<Accepted> {
    let ends_at = incoming.alert.ends_at.map(|end| end.as_millisecond());
    let duplicate =
        |episode| Ok(Accepted { episode, kind: AcceptedKind::Duplicate, runs: Vec::new(), joined: Vec::new() });
    match latest {
        // The end of an earlier firing, delivered late: the open one goes on.
        Some(latest) if latest.open && ends_at.is_some_and(|end| end < latest.starts_at) => duplicate(latest.id),
        Some(latest) if latest.open => {
            tx.sql
                .prepare_cached("UPDATE episodes SET resolved_at = ?2, ends_at = ?3 WHERE id = ?1")?
                .execute(params![latest.id, int(incoming.received_at), ends_at])?;
            Ok(Accepted { episode: latest.id, kind: AcceptedKind::Resolved, runs: Vec::new(), joined: Vec::new() })
        }
        Some(latest) if latest.includes(incoming.alert.starts_at.as_millisecond()) => duplicate(latest.id),
        Some(_) | None => {
            let episode = insert(tx.sql, incoming)?;
            Ok(Accepted { episode, kind: AcceptedKind::ResolvedUnknown, runs: Vec::new(), joined: Vec::new() })
        }
    }
}

/// A new episode; one that arrives resolved is over at once, and a firing that was only delivered late is part of it.
fn insert(sql: &Connection, incoming: &Incoming) -> Result<String> {
    let Incoming { alert, received_at, source, matched, snapshot, .. } = incoming;
    let (id, received_at) = (id::new("e"), int(*received_at));
    let over = alert.status == Status::Resolved;
    let ends_at = alert.ends_at.filter(|_| over).map(|end| end.as_millisecond());
    let heard_firing = if over { ends_at.unwrap_or(received_at).min(received_at) } else { received_at };
    let mut statement = sql.prepare_cached(
        "INSERT INTO episodes (id, fingerprint, name, labels, annotations, starts_at, starts_latest, heard_firing,
             first_heard, last_heard, count, resolved_at, ends_at, source, matched, snapshot)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    let Alert { labels, annotations, starts_at, fingerprint, .. } = alert;
    statement.execute(params![
        id,
        fingerprint,
        alert.name(),
        json(labels)?,
        json(annotations)?,
        starts_at.as_millisecond(),
        heard_firing,
        received_at,
        i64::from(!over),
        over.then_some(received_at),
        ends_at,
        source,
        json(matched)?,
        json(snapshot)?,
    ])?;
    Ok(id)
}

const SELECT: &str = "SELECT * FROM episodes";

fn row(row: &Row<'_>) -> rusqlite::Result<EpisodeRow> {
    Ok(EpisodeRow {
        id: row.get("id")?,
        fingerprint: row.get("fingerprint")?,
        name: row.get("name")?,
        labels: row.json("labels")?,
        annotations: row.json("annotations")?,
        starts_at: row.get("starts_at")?,
        first_heard: row.ms("first_heard")?,
        last_heard: row.ms("last_heard")?,
        count: row.ms("count")?,
        resolved_at: row.ms_maybe("resolved_at")?,
        superseded: row.get("superseded")?,
        source: row.get("source")?,
        matched: row.json("matched")?,
        snapshot: row.json("snapshot")?,
        outcome: row.get("outcome")?,
        runs: Vec::new(),
    })
}

fn runs_of(sql: &Connection, episode: &str) -> Result<Vec<EpisodeRun>> {
    let mut statement = sql.prepare_cached(
        "SELECT id, runbook, state, outcome FROM runs
             WHERE episode = ?1 OR id IN (SELECT run FROM joins WHERE episode = ?1) ORDER BY at, id LIMIT 100",
    )?;
    let rows = statement.query_map([episode], |row| {
        let (run, runbook) = (row.get("id")?, row.get("runbook")?);
        Ok(EpisodeRun { run, runbook, state: row.word("state")?, outcome: row.word_maybe("outcome")? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::episodes`].
pub(super) fn list(sql: &Connection, filter: EpisodeFilter) -> Result<(Vec<EpisodeRow>, Option<String>)> {
    let page = page(filter.limit);
    let mut query = Where::new(SELECT);
    if filter.open {
        query.and_plain("resolved_at IS NULL");
    }
    query.and("first_heard >= ?", filter.since.map(int));
    query.and_two("(first_heard, id) < (?, ?)", parse_cursor(filter.cursor.as_deref())?);
    let mut rows = query.rows(sql, " ORDER BY first_heard DESC, id DESC", page + 1, row)?;
    let next = cut_page(&mut rows, page, |row| (row.first_heard, row.id.clone()));
    for row in &mut rows {
        row.runs = runs_of(sql, &row.id)?;
    }
    Ok((rows, next))
}

/// See [`super::Store::episode`].
pub(super) fn get(sql: &Connection, prefix: &str) -> Result<Option<EpisodeRow>> {
    let found = unique(sql, "SELECT * FROM episodes WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2", prefix, row)?;
    let Some(mut episode) = found else { return Ok(None) };
    episode.runs = runs_of(sql, &episode.id)?;
    Ok(Some(episode))
}

/// See [`super::Store::set_episode_outcome`].
pub(super) fn set_outcome(tx: &mut Tx<'_>, id: &str, outcome: &str) -> Result<bool> {
    let changed = tx.sql.prepare_cached("UPDATE episodes SET outcome = ?2 WHERE id = ?1")?.execute([id, outcome])?;
    Ok(changed == 1)
}
