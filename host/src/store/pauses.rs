//! Pauses and the stop switch: what keeps everything, or some of it, from acting.
//!
//! Checked in the intend transaction, so an answer to whoever sets one means that nothing new passes from then on.
//! Deliberately not here: what already passed. An effect under way ends as it ends.

use globset::{Glob, GlobMatcher};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{Columns, int, json};
use super::writer::Tx;
use super::{Error, Intend, Pause, Result, Selector, Stop};

/// Pauses at once. Every intent looks at all of them.
pub const PAUSES_MAX: u32 = 1_000;

impl Selector {
    /// Reads `runbook=… target=… host=…`, each a glob, at least one of them.
    pub fn parse(text: &str) -> std::result::Result<Selector, Error> {
        let mut selector = Selector::default();
        for part in text.split_whitespace() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let place = match name {
                "runbook" => &mut selector.runbook,
                "target" => &mut selector.target,
                "host" => &mut selector.host,
                _ => return Err(Error::Invalid(format!("`{part}` is not runbook=…, target=… or host=…"))),
            };
            if value.is_empty() || place.replace(value.to_owned()).is_some() {
                return Err(Error::Invalid(format!("`{name}` needs exactly one value, such as {name}=web-*")));
            }
        }
        selector.check().map(|()| selector)
    }

    /// Whether its globs can be read and it selects something by name.
    pub fn check(&self) -> std::result::Result<(), Error> {
        let globs: Vec<&String> = [&self.runbook, &self.target, &self.host].into_iter().flatten().collect();
        if globs.is_empty() {
            return Err(Error::Invalid(
                "a pause needs runbook=…, target=… or host=…; to hold everything use stop".to_owned(),
            ));
        }
        for glob in globs {
            Glob::new(glob).map_err(|error| Error::Invalid(format!("`{glob}` is not a glob: {error}")))?;
        }
        Ok(())
    }
}

/// Whether a pause holds it back. A stored glob that cannot be read matches everything: rather too still than too bold.
pub(super) fn covers(selector: &Selector, intend: &Intend) -> bool {
    let matches = |glob: &Option<String>, texts: &[&str]| {
        let matcher =
            glob.as_ref().map(|glob| Glob::new(glob).map(|glob: Glob| -> GlobMatcher { glob.compile_matcher() }));
        match matcher {
            None | Some(Err(_)) => true,
            Some(Ok(matcher)) => texts.iter().any(|text| matcher.is_match(text)),
        }
    };
    matches(&selector.runbook, &[&intend.runbook])
        && matches(&selector.target, &[&intend.subject, &intend.target, &format!("{}/{}", intend.host, intend.target)])
        && matches(&selector.host, &[&intend.host])
}

fn row(row: &Row<'_>) -> rusqlite::Result<Pause> {
    Ok(Pause {
        id: row.get("id")?,
        selector: row.json("selector")?,
        reason: row.get("reason")?,
        by: row.get("by")?,
        at: row.ms("at")?,
        until: row.ms("until")?,
    })
}

/// See [`super::Store::add_pause`].
pub(super) fn add(tx: &mut Tx<'_>, pause: &Pause) -> Result<()> {
    pause.selector.check()?;
    tx.sql.prepare_cached("DELETE FROM pauses WHERE until <= ?1")?.execute([int(pause.at)])?;
    let count: u32 = tx.sql.prepare_cached("SELECT count(*) FROM pauses")?.query_row([], |row| row.get(0))?;
    if count >= PAUSES_MAX {
        return Err(Error::Invalid(format!("there are {count} pauses, at most {PAUSES_MAX} are allowed; delete some")));
    }
    let mut statement = tx
        .sql
        .prepare_cached("INSERT INTO pauses (id, selector, reason, by, at, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let selector = json(&pause.selector)?;
    statement.execute(params![pause.id, selector, pause.reason, pause.by, int(pause.at), int(pause.until)])?;
    Ok(())
}

/// See [`super::Store::pauses`].
pub(super) fn list(sql: &Connection, now: u64) -> Result<Vec<Pause>> {
    let mut statement = sql.prepare_cached("SELECT * FROM pauses WHERE until > ?1 ORDER BY at DESC, id DESC")?;
    let rows = statement.query_map([int(now)], row)?;
    rows.map(|row| row.map_err(Error::from)).collect()
}

/// See [`super::Store::delete_pause`].
pub(super) fn delete(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    Ok(tx.sql.prepare_cached("DELETE FROM pauses WHERE id = ?1")?.execute([id])? == 1)
}

/// See [`super::Store::stopped`].
pub(super) fn stopped(sql: &Connection) -> Result<Option<Stop>> {
    let mut statement = sql.prepare_cached("SELECT by, reason, at FROM stop")?;
    let stop = statement
        .query_row([], |row| Ok(Stop { by: row.get("by")?, reason: row.get("reason")?, at: row.ms("at")? }))
        .optional()?;
    Ok(stop)
}

/// See [`super::Store::release_stop`].
pub(super) fn release_stop(tx: &mut Tx<'_>, stop: &Stop) -> Result<bool> {
    let mut statement = tx.sql.prepare_cached("DELETE FROM stop WHERE by = ?1 AND reason = ?2 AND at = ?3")?;
    Ok(statement.execute(params![stop.by, stop.reason, int(stop.at)])? == 1)
}

/// See [`super::Store::set_stop`].
pub(super) fn set_stop(tx: &mut Tx<'_>, stop: Option<Stop>) -> Result<()> {
    match stop {
        None => tx.sql.prepare_cached("DELETE FROM stop")?.execute([])?,
        Some(stop) => tx
            .sql
            .prepare_cached("INSERT OR REPLACE INTO stop (one, by, reason, at) VALUES (1, ?1, ?2, ?3)")?
            .execute(params![stop.by, stop.reason, int(stop.at)])?,
    };
    Ok(())
}
