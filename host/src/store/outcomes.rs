//! What came of acting: verifications that change, and what they add up to.
//!
//! A run that acted has a time until which its verification may change, `verify_until`. Whatever ends that time early
//! (a condition that failed, an alert that fired again) sets it to now, in the transaction that changes the
//! verification; the runner tells people and only then clears it. So a crash between the two tells late, never not at
//! all.
//!
//! Deliberately not here: looking at the world, and what follows from a contradiction.

use rusqlite::{Connection, Row, params};
use sandbook_core::run::Verification;

use super::row::{Columns, int};
use super::writer::Tx;
use super::{Aftermath, Due, Mean, PAGE_MAX, Result, RunRow, Speed, Tally, Verdict, runs};

/// Runs whose condition is looked at again after a start: far more than brakes let act in the time conditions have.
const PENDING_MAX: i64 = 100_000;
/// Lines of a tally: runbooks times what they are about.
const TALLIES_MAX: i64 = 10_000;

/// The columns of a run that are about this.
pub(super) fn aftermath(row: &Row<'_>) -> rusqlite::Result<Aftermath> {
    Ok(Aftermath {
        acted_at: row.ms_maybe("acted_at")?,
        needless: row.get("needless")?,
        verified_at: row.ms_maybe("verified_at")?,
        verify_until: row.ms_maybe("verify_until")?,
        resolve_by: row.ms_maybe("resolve_by")?,
        refire_until: row.ms_maybe("refire_until")?,
        verification_why: row.get("verification_why")?,
    })
}

/// Sets all of them.
pub(super) fn set_aftermath(tx: &mut Tx<'_>, id: &str, aftermath: &Aftermath) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "UPDATE runs SET acted_at = ?2, needless = ?3, verified_at = ?4, verify_until = ?5, resolve_by = ?6,
             refire_until = ?7, verification_why = ?8
         WHERE id = ?1",
    )?;
    statement.execute(params![
        id,
        aftermath.acted_at.map(int),
        aftermath.needless,
        aftermath.verified_at.map(int),
        aftermath.verify_until.map(int),
        aftermath.resolve_by.map(int),
        aftermath.refire_until.map(int),
        aftermath.verification_why,
    ])?;
    Ok(())
}

/// See [`super::Store::set_verification`].
pub(super) fn set(tx: &mut Tx<'_>, id: &str, verdict: &Verdict) -> Result<bool> {
    let open = match verdict.to {
        Verification::Pending | Verification::Confirmed => true,
        Verification::Contradicted | Verification::Unknown => false,
    };
    let mut statement = tx.sql.prepare_cached(
        "UPDATE runs SET verification = ?3, verification_why = ?4, verified_at = ?5,
             verify_until = CASE WHEN ?6 THEN verify_until ELSE ?5 END
         WHERE id = ?1 AND verification = ?2 AND verify_until IS NOT NULL",
    )?;
    let Verdict { from, to, why, at } = verdict;
    Ok(statement.execute(params![id, from.name(), to.name(), why, int(*at), open])? == 1)
}

/// An alert fires anew: what was done about its earlier firings, and is still being watched, did not last.
pub(super) fn refired(tx: &mut Tx<'_>, fingerprint: &str, received_at: u64) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "SELECT id, coalesce(finished_at, ?2) AS finished_at FROM runs INDEXED BY runs_verifying
         WHERE verify_until IS NOT NULL AND refire_until >= ?2 AND verification IN ('pending', 'confirmed')
             AND (episode IN (SELECT id FROM episodes WHERE fingerprint = ?1)
                 OR id IN (SELECT run FROM joins JOIN episodes ON episodes.id = joins.episode
                           WHERE episodes.fingerprint = ?1))",
    )?;
    let found = statement.query_map(params![fingerprint, int(received_at)], |row| {
        Ok((row.get::<_, String>("id")?, row.ms("finished_at")?))
    })?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut statement = tx.sql.prepare_cached(
        "UPDATE runs SET verification = 'contradicted', verification_why = ?2, verified_at = ?3, verify_until = ?3
         WHERE id = ?1",
    )?;
    for (id, finished_at) in found {
        let why = format!("fired again {} after it was fixed", span(received_at.saturating_sub(finished_at)));
        statement.execute(params![id, why, int(received_at)])?;
    }
    Ok(())
}

/// `4 min` or `12 s`.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}

/// See [`super::Store::pending_verifications`].
pub(super) fn pending(sql: &Connection) -> Result<Vec<RunRow>> {
    let select = "SELECT * FROM runs INDEXED BY runs_verifying
                  WHERE verify_until IS NOT NULL AND verification = 'pending' ORDER BY verify_until LIMIT ?1";
    runs::rows(sql, select, [PENDING_MAX])
}

/// See [`super::Store::due_verifications`].
pub(super) fn due(sql: &Connection, now: u64) -> Result<Vec<Due>> {
    let mut statement = sql.prepare_cached(
        "SELECT *, coalesce(verification = 'confirmed' AND resolve_by <= ?1
                 AND EXISTS (SELECT 1 FROM episodes WHERE id = runs.episode AND resolved_at IS NULL), 0) AS unresolved
         FROM runs INDEXED BY runs_verifying
         WHERE verify_until IS NOT NULL AND verification <> 'pending'
             AND (verify_until <= ?1 OR verification = 'confirmed' AND resolve_by <= ?1
                 AND EXISTS (SELECT 1 FROM episodes WHERE id = runs.episode AND resolved_at IS NULL))
         ORDER BY verify_until LIMIT ?2",
    )?;
    let rows = statement.query_map(params![int(now), i64::from(PAGE_MAX)], |row| {
        Ok(Due { run: runs::row(row)?, unresolved: row.get("unresolved")? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::close_verification`].
pub(super) fn close(tx: &mut Tx<'_>, id: &str, settled: Verification) -> Result<bool> {
    let mut statement = tx.sql.prepare_cached(
        "UPDATE runs SET verify_until = NULL WHERE id = ?1 AND verification = ?2 AND verify_until IS NOT NULL",
    )?;
    Ok(statement.execute(params![id, settled.name()])? == 1)
}

/// See [`super::Store::tallies`].
pub(super) fn tallies(sql: &Connection, since: u64, runbook: Option<&str>) -> Result<Vec<Tally>> {
    let mut statement = sql.prepare_cached(
        "SELECT runbook, subject, count(*) AS runs,
             count(*) FILTER (WHERE verification = 'confirmed') AS confirmed,
             count(*) FILTER (WHERE verification = 'contradicted') AS contradicted,
             count(*) FILTER (WHERE verification = 'unknown') AS unknown,
             count(*) FILTER (WHERE verification = 'pending') AS pending,
             count(*) FILTER (WHERE outcome = 'nothing-to-do') AS nothing_to_do,
             count(*) FILTER (WHERE needless) AS needless
         FROM runs WHERE at >= ?1 AND (?2 IS NULL OR runbook = ?2)
         GROUP BY runbook, subject ORDER BY runbook, subject LIMIT ?3",
    )?;
    let rows = statement.query_map(params![int(since), runbook, TALLIES_MAX], |row| {
        Ok(Tally {
            runbook: row.get("runbook")?,
            subject: row.get("subject")?,
            runs: row.ms("runs")?,
            confirmed: row.ms("confirmed")?,
            contradicted: row.ms("contradicted")?,
            unknown: row.ms("unknown")?,
            pending: row.ms("pending")?,
            nothing_to_do: row.ms("nothing_to_do")?,
            needless: row.ms("needless")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::contradictions`].
pub(super) fn contradictions(sql: &Connection, name: &str, digest: &str, since: u64, limit: u32) -> Result<u64> {
    let mut statement = sql.prepare_cached(
        "SELECT count(*) FILTER (WHERE verification = 'contradicted') AS contradicted FROM (
             SELECT verification FROM runs INDEXED BY runs_verified
             WHERE runbook = ?1 AND verified_at IS NOT NULL AND digest = ?2 AND at >= ?3
                 AND verification IN ('confirmed', 'contradicted')
             ORDER BY finished_at DESC LIMIT ?4)",
    )?;
    Ok(statement.query_row(params![name, digest, int(since), limit], |row| row.ms("contradicted"))?)
}

/// See [`super::Store::speed`].
pub(super) fn speed(sql: &Connection, since: u64) -> Result<Speed> {
    let mean = |select: &'static str| -> Result<Option<Mean>> {
        let mut statement = sql.prepare_cached(select)?;
        let (count, sum) =
            statement.query_row([int(since)], |row| Ok((row.ms("count")?, row.ms_maybe("sum")?.unwrap_or(0))))?;
        Ok(sum.checked_div(count).map(|mean_ms| Mean { mean_ms, count }))
    };
    Ok(Speed {
        repair: mean(
            "SELECT count(*) AS count, sum(max(resolved_at - first_heard, 0)) AS sum FROM episodes AS e
             WHERE resolved_at >= ?1 AND NOT superseded
                 AND (EXISTS (SELECT 1 FROM runs WHERE episode = e.id AND acted_at IS NOT NULL)
                     OR EXISTS (SELECT 1 FROM joins JOIN runs ON runs.id = joins.run
                                WHERE joins.episode = e.id AND acted_at IS NOT NULL))",
        )?,
        first_effect: mean(
            "SELECT count(*) AS count, sum(max(acted_at - at, 0)) AS sum FROM runs INDEXED BY runs_acted
             WHERE acted_at IS NOT NULL AND acted_at >= ?1",
        )?,
    })
}
