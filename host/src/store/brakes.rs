//! The intend transaction: stop switch, pauses, trips, windows; then the attempt is counted and the intent recorded.
//!
//! Attempts count, not successes, and they count before the world changes. Everything is checked in the transaction
//! that counts, so two runs cannot both take the last place. An attempt of the future (a clock was set back) counts.
//! What finds its window full trips the brake: that commits although the intent is refused.
//!
//! Deliberately not here: which windows apply; engine, policy and manifest say, and all of them must have room.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use sandbook_core::error::Error as CoreError;
use sandbook_core::journal::Record;

use super::row::{Columns, Where, int, page};
use super::writer::Tx;
use super::{
    AttemptFilter, AttemptRow, Intend, Intended, Result, Scope, Storm, Window, figures, journal, pauses, time, trips,
};

/// A window without room for one more.
pub(super) struct Full {
    pub(super) scope: Scope,
    pub(super) key: String,
    pub(super) label: String,
    pub(super) counted: u64,
    pub(super) allowed: u32,
    pub(super) window_ms: u64,
}

/// See [`super::Store::intend`].
pub(super) fn intend(tx: &mut Tx<'_>, run: &str, record: Record, intend: &Intend) -> Result<Intended> {
    if let Some(why) = held(tx.sql, intend)? {
        return Ok(Intended::Limited { error: CoreError::limited(why), tripped: None });
    }
    // A further attempt of a slot follows a look that proved that the one before did nothing, and that one is counted.
    let counted = matches!(&record, Record::Intended { attempt, .. } if *attempt > 1);
    if !counted && let Some(full) = full(tx.sql, intend)? {
        let trip = trips::open(tx, run, intend, full)?;
        return Ok(Intended::Limited { error: CoreError::limited(trip.refusal()), tripped: Some(Box::new(trip)) });
    }
    if !counted {
        count(tx, run, intend)?;
    }
    journal::append(tx, run, vec![record])?;
    Ok(Intended::Taken)
}

/// See [`super::Store::would_intend`].
pub(super) fn would(sql: &Connection, intend: &Intend) -> Result<Intended> {
    let why = match held(sql, intend)? {
        Some(why) => Some(why),
        None => full(sql, intend)?.map(|full| {
            let Full { scope, key, label, counted, allowed, window_ms } = &full;
            format!("{label} would trip: {}", figures(scope, key, *counted, *allowed, *window_ms))
        }),
    };
    Ok(match why {
        Some(why) => Intended::Limited { error: CoreError::limited(why), tripped: None },
        None => Intended::Taken,
    })
}

fn count(tx: &mut Tx<'_>, run: &str, intend: &Intend) -> Result<()> {
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
    Ok(())
}

/// Why it may not be done, whatever has room.
fn held(sql: &Connection, intend: &Intend) -> Result<Option<String>> {
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
    if let Some(window) = intend.windows.iter().find(|window| window.count == 0) {
        let about = window.scope.about(&window.scope.key(&intend.runbook, &intend.subject, &intend.host));
        return Ok(Some(format!("{} allows no attempt of {about}", window.label)));
    }
    Ok(trips::covering(sql, intend)?.map(|trip| trip.refusal()))
}

/// The first window without room.
fn full(sql: &Connection, intend: &Intend) -> Result<Option<Full>> {
    for window in &intend.windows {
        if let Some(full) = full_window(sql, intend, window)? {
            return Ok(Some(full));
        }
    }
    match &intend.storm {
        Some(storm) => storming(sql, intend, storm),
        None => Ok(None),
    }
}

macro_rules! count_of {
    ($table:literal, $id:literal, $condition:literal) => {
        concat!("SELECT count(*) FROM ", $table, " WHERE ", $condition, " AND at > ?3 AND ", $id, " > ?4")
    };
}

fn full_window(sql: &Connection, intend: &Intend, window: &Window) -> Result<Option<Full>> {
    let (runbook, subject, host) = (intend.runbook.as_str(), intend.subject.as_str(), intend.host.as_str());
    // `?2` is bound everywhere, so scopes with one key compare with it in vain.
    let (query, keys) = match &window.scope {
        Scope::RunbookSubject => (count_of!("attempts", "id", "runbook = ?1 AND subject = ?2"), [runbook, subject]),
        Scope::Subject => (count_of!("attempts", "id", "subject = ?1 AND ?2 = ''"), [subject, ""]),
        Scope::Runbook => (count_of!("attempts", "id", "runbook = ?1 AND ?2 = ''"), [runbook, ""]),
        Scope::Host => (count_of!("attempts", "id", "host = ?1 AND ?2 = ''"), [host, ""]),
        Scope::Policy(key) => (count_of!("attempts_policy", "attempt", "policy = ?1 AND ?2 = ''"), [key.as_str(), ""]),
        Scope::Storm => return Err(super::Error::Defect("a storm limit is no window".to_owned())),
    };
    let key = window.scope.key(runbook, subject, host);
    let afresh = trips::counts_after(sql, &window.scope, &key)?;
    let after = int(intend.at).saturating_sub(int(window.window_ms));
    let values: [&dyn ToSql; 4] = [&keys[0], &keys[1], &after, &afresh];
    let counted: i64 = sql.prepare_cached(query)?.query_row(&values[..], |row| row.get(0))?;
    if counted < i64::from(window.count) {
        return Ok(None);
    }
    Ok(Some(Full {
        scope: window.scope.clone(),
        key,
        label: window.label.clone(),
        counted: counted.unsigned_abs(),
        allowed: window.count,
        window_ms: window.window_ms,
    }))
}

/// Many subjects of one host at once have one cause, and restarting each of them is not its cure.
fn storming(sql: &Connection, intend: &Intend, storm: &Storm) -> Result<Option<Full>> {
    let afresh = trips::counts_after(sql, &Scope::Storm, &intend.host)?;
    let after = int(intend.at).saturating_sub(int(storm.window_ms));
    let mut statement = sql.prepare_cached(
        "SELECT 1 FROM attempts INDEXED BY attempts_subject
         WHERE subject = ?1 AND host = ?2 AND at > ?3 AND id > ?4 LIMIT 1",
    )?;
    let again = statement.query_row(params![intend.subject, intend.host, after, afresh], |_| Ok(())).optional()?;
    if again.is_some() {
        return Ok(None);
    }
    let mut statement =
        sql.prepare_cached("SELECT count(DISTINCT subject) FROM attempts WHERE host = ?1 AND at > ?2 AND id > ?3")?;
    let counted: i64 = statement.query_row(params![intend.host, after, afresh], |row| row.get(0))?;
    if counted < i64::from(storm.subjects_max) {
        return Ok(None);
    }
    Ok(Some(Full {
        scope: Scope::Storm,
        key: intend.host.clone(),
        label: storm.label.clone(),
        counted: counted.unsigned_abs(),
        allowed: storm.subjects_max,
        window_ms: storm.window_ms,
    }))
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
