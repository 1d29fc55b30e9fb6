//! Versions of runbooks, their packages, and how far each is trusted.
//!
//! A version's name and number stand for its bytes for ever. Stages are only added, so the history stays.
//! Deliberately not here: the effective stage, which is the lowest of several opinions; this is the stored one.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sandbook_core::run::{Origin, Stage};
use serde_json::Value;

use super::row::{Columns, Where, int, word};
use super::writer::Tx;
use super::{Demotion, Error, PutVersion, Result, StageRow, VersionRow, audit, outbox};

/// What digests begin with.
const DIGEST_PREFIX: &str = "sha256:";
/// Name of every one-off draft.
pub const ASKED: &str = "asked";
/// One-off drafts that are kept in any case, the newest: every sentence that became a plan is one.
pub const ASKED_MAX: u32 = 200;
/// Versions that are listed at most: of all runbooks together.
const LISTED_MAX: usize = 10_000;

fn row(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    Ok(VersionRow {
        name: row.get("name")?,
        version: row.get("version")?,
        digest: row.get("digest")?,
        origin: row.word("origin")?,
        source: row.word("source")?,
        manifest_json: row.get("manifest")?,
        package: Vec::new(),
        at: row.ms("at")?,
        by: row.get("by")?,
    })
}

/// See [`super::Store::put_version`].
pub(super) fn put(tx: &mut Tx<'_>, version: &VersionRow) -> Result<PutVersion> {
    let mut statement = tx.sql.prepare_cached("SELECT digest FROM versions WHERE name = ?1 AND version = ?2")?;
    let taken: Option<String> = statement.query_row([&version.name, &version.version], |row| row.get(0)).optional()?;
    match taken {
        Some(digest) if digest == version.digest => {
            let mut statement =
                tx.sql.prepare_cached("UPDATE packages SET bytes = ?2 WHERE digest = ?1 AND bytes <> ?2")?;
            statement.execute(params![version.digest, version.package])?;
            return Ok(PutVersion::SameBytes);
        }
        Some(digest) => return Ok(PutVersion::VersionTaken(digest)),
        None => {}
    }
    let mut statement = tx.sql.prepare_cached("INSERT OR IGNORE INTO packages (digest, bytes) VALUES (?1, ?2)")?;
    statement.execute(params![version.digest, version.package])?;
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO versions (name, version, digest, origin, source, manifest, at, by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        version.name,
        version.version,
        version.digest,
        version.origin.name(),
        word(&version.source)?,
        version.manifest_json,
        int(version.at),
        version.by,
    ])?;
    Ok(PutVersion::Stored)
}

/// See [`super::Store::versions`].
pub(super) fn list(sql: &Connection, name: &str) -> Result<Vec<VersionRow>> {
    let mut query = Where::new("SELECT * FROM versions");
    query.and("name = ?", Some(name.to_owned()));
    query.rows(sql, " ORDER BY seq DESC", LISTED_MAX, row)
}

/// See [`super::Store::all_versions`].
pub(super) fn all(sql: &Connection) -> Result<Vec<VersionRow>> {
    Where::new("SELECT * FROM versions").rows(sql, " ORDER BY name, seq DESC", LISTED_MAX, row)
}

/// See [`super::Store::version`].
pub(super) fn get(sql: &Connection, name: &str, digest: &str) -> Result<Option<VersionRow>> {
    let bare = digest.strip_prefix(DIGEST_PREFIX).unwrap_or(digest);
    if bare.is_empty() {
        return Ok(None);
    }
    let from = format!("{DIGEST_PREFIX}{bare}");
    let to = super::row::after_prefix(&from);
    let mut statement = sql.prepare_cached(
        "SELECT * FROM versions WHERE name = ?1 AND digest >= ?2 AND digest < ?3 ORDER BY digest LIMIT 2",
    )?;
    let rows = statement.query_map([name, &from, &to], row)?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    if rows.len() > 1 { Err(Error::Ambiguous(digest.to_owned())) } else { Ok(rows.pop()) }
}

/// See [`super::Store::package`].
pub(super) fn package(sql: &Connection, digest: &str) -> Result<Option<Vec<u8>>> {
    let mut statement = sql.prepare_cached("SELECT bytes FROM packages WHERE digest = ?1")?;
    Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
}

/// Removes some one-off drafts beyond [`ASKED_MAX`], the oldest first; says how many.
///
/// Not those of a run that is kept, which must be readable and replay, of a plan that can still be applied, or that a
/// person trusts with more. What was asked by whom stays in the audit.
pub(super) fn remove_asked(tx: &mut Tx<'_>, most: u32) -> Result<u64> {
    let mut statement = tx.sql.prepare_cached(
        "DELETE FROM versions WHERE seq IN (SELECT seq FROM versions AS v WHERE name = ?1 AND origin = ?2
             AND seq < (SELECT min(seq) FROM (SELECT seq FROM versions WHERE name = ?1 ORDER BY seq DESC LIMIT ?3))
             AND digest NOT IN (SELECT digest FROM runs WHERE runbook = ?1)
             -- A plan is as old as the newest one says.
             AND digest NOT IN (SELECT digest FROM plans WHERE runbook = ?1 AND expires_at > (SELECT max(at) FROM plans))
             AND ?4 = coalesce((SELECT stage FROM stages WHERE name = v.name AND digest = v.digest
                 ORDER BY seq DESC LIMIT 1), ?4)
             ORDER BY seq LIMIT ?5)
         RETURNING digest",
    )?;
    let (origin, draft) = (Origin::Llm.name(), Stage::Draft.name());
    let gone = statement.query_map(params![ASKED, origin, ASKED_MAX, draft, most], |row| row.get::<_, String>(0))?;
    let gone = gone.collect::<rusqlite::Result<Vec<_>>>()?;
    drop(statement);
    for digest in &gone {
        tx.sql.prepare_cached("DELETE FROM stages WHERE name = ?1 AND digest = ?2")?.execute([ASKED, digest])?;
        tx.sql
            .prepare_cached("DELETE FROM packages WHERE digest = ?1 AND digest NOT IN (SELECT digest FROM versions)")?
            .execute([digest])?;
    }
    Ok(gone.len() as u64)
}

fn stage_row(row: &Row<'_>) -> rusqlite::Result<StageRow> {
    Ok(StageRow {
        name: row.get("name")?,
        digest: row.get("digest")?,
        stage: row.word("stage")?,
        reason: row.get("reason")?,
        by: row.get("by")?,
        at: row.ms("at")?,
    })
}

/// See [`super::Store::set_stage`].
pub(super) fn set_stage(tx: &mut Tx<'_>, row: &StageRow) -> Result<bool> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT INTO stages (name, digest, stage, reason, by, at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 FROM versions WHERE name = ?1 AND digest = ?2",
    )?;
    let stage = row.stage.name();
    Ok(statement.execute(params![row.name, row.digest, stage, row.reason, row.by, int(row.at)])? == 1)
}

/// See [`super::Store::set_stages`].
pub(super) fn set_stages(tx: &mut Tx<'_>, changes: Vec<(StageRow, Value)>) -> Result<bool> {
    let mut known = tx.sql.prepare_cached("SELECT 1 FROM versions WHERE name = ?1 AND digest = ?2")?;
    for (row, _) in &changes {
        if !known.exists(params![row.name, row.digest])? {
            return Ok(false);
        }
    }
    for (stage, details) in changes {
        set_stage(tx, &stage)?;
        let (what, StageRow { by: who, name: subject, at, .. }) = ("stage".to_owned(), stage);
        audit::add(tx, &audit::Line { who, what, subject, details, at })?;
    }
    Ok(true)
}

/// See [`super::Store::demote`].
pub(super) fn demote(tx: &mut Tx<'_>, demotion: Demotion) -> Result<bool> {
    let Demotion { stage, details, notice } = demotion;
    if !set_stage(tx, &stage)? {
        return Ok(false);
    }
    let (what, StageRow { by: who, name: subject, at, .. }) = ("demote".to_owned(), stage);
    audit::add(tx, &audit::Line { who, what, subject, details, at })?;
    outbox::put_notice(tx, &notice)?;
    Ok(true)
}

/// See [`super::Store::stages`].
pub(super) fn stages(sql: &Connection) -> Result<Vec<StageRow>> {
    let mut query = Where::new("SELECT * FROM stages AS s");
    query.and_plain("seq = (SELECT max(seq) FROM stages WHERE name = s.name AND digest = s.digest)");
    query.rows(sql, " ORDER BY name, seq DESC", LISTED_MAX, stage_row)
}

/// See [`super::Store::stage_history`].
pub(super) fn history(sql: &Connection, name: &str) -> Result<Vec<StageRow>> {
    let mut query = Where::new("SELECT * FROM stages");
    query.and("name = ?", Some(name.to_owned()));
    query.rows(sql, " ORDER BY seq DESC", LISTED_MAX, stage_row)
}

/// See [`super::Store::current`].
pub(super) fn current(sql: &Connection, name: &str) -> Result<Option<String>> {
    let mut query = Where::new("SELECT * FROM stages AS s");
    query.and("name = ?", Some(name.to_owned()));
    query.and_plain("seq = (SELECT max(seq) FROM stages WHERE name = s.name AND digest = s.digest)");
    // Newest first, so the first of the highest is the one that got there last.
    let latest = query.rows(sql, " ORDER BY seq DESC", LISTED_MAX, stage_row)?;
    let highest: Option<Stage> = latest.iter().map(|row| row.stage).max();
    Ok(latest.into_iter().find(|row| Some(row.stage) == highest).map(|row| row.digest))
}
