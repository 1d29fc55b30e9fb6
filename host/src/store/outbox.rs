//! What people are to be told, until they are told: notices beside the facts they tell of, then messages by channel.
//!
//! A notice is written in the transaction of its fact. Routing it replaces it by its messages, in one transaction, and a
//! message is queued once: whatever crashes, nothing is lost and nothing queued twice. What was sent is kept, so that it
//! is not queued again. Everything is bounded. Deliberately not here: routes, sending, and when to give up.

use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::row::{Columns, int, json, word};
use super::writer::Tx;
use super::{ChannelCount, Delivery, Error, Happened, MessageRow, NewMessage, Notice, Result};

/// Notices that wait to be routed at the most: some seconds of the worst storm. Beyond it the oldest are dropped.
pub const NOTICES_MAX: u32 = 10_000;
/// Messages that wait for one channel at the most: a channel that is down for days gets a summary, not its history.
pub const WAITING_MAX: u32 = 5_000;
/// Messages that are over and kept at the most, so that none is queued again.
const DONE_MAX: u32 = 20_000;
/// Incidents that are ended at once.
const INCIDENTS_MAX: u32 = 100;
/// Bytes of an error that are kept.
const ERROR_BYTES_MAX: usize = 500;
/// Why the oldest of a channel are dropped.
const CROWDED: &str = "more messages wait for the channel than may";

/// See [`super::Store::put_notice`].
pub(super) fn put_notice(tx: &Tx<'_>, notice: &Notice) -> Result<()> {
    let mut statement = tx.sql.prepare_cached("INSERT OR IGNORE INTO notices (once, notice) VALUES (?1, ?2)")?;
    if statement.execute(params![notice.once, json(notice)?])? == 0 {
        return Ok(());
    }
    let newest = tx.sql.last_insert_rowid();
    let mut statement = tx.sql.prepare_cached("DELETE FROM notices WHERE id <= ?1")?;
    let lost = statement.execute([newest - i64::from(NOTICES_MAX)])?;
    if lost > 0 {
        tracing::error!(lost, "notices that nobody routed are dropped: more wait than {NOTICES_MAX}");
    }
    Ok(())
}

/// See [`super::Store::notices`].
pub(super) fn notices(sql: &Connection, limit: u32) -> Result<Vec<(i64, Notice)>> {
    let mut statement = sql.prepare_cached("SELECT id, notice FROM notices ORDER BY id LIMIT ?1")?;
    let rows = statement.query_map([limit], |row| Ok((row.get("id")?, row.json("notice")?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::route_notice`].
pub(super) fn route(tx: &mut Tx<'_>, notice: i64, messages: &[NewMessage], now: u64) -> Result<Vec<(String, u64)>> {
    let mut dropped = Vec::new();
    for message in messages {
        if queue(tx, message)? {
            let crowded = drop_oldest(tx, &message.channel, now)?;
            if crowded > 0 {
                dropped.push((message.channel.clone(), crowded));
            }
        }
    }
    tx.sql.prepare_cached("DELETE FROM notices WHERE id = ?1")?.execute([notice])?;
    Ok(dropped)
}

/// False when it was queued before.
fn queue(tx: &Tx<'_>, message: &NewMessage) -> Result<bool> {
    let mut statement = tx.sql.prepare_cached(
        "INSERT OR IGNORE INTO outbox (once, channel, event, message, at, state, due, opens)
         VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', 0, ?6)",
    )?;
    let NewMessage { once, channel, event, message, at, opens } = message;
    Ok(statement.execute(params![once, channel, word(event)?, json(message)?, int(*at), opens])? > 0)
}

fn drop_oldest(tx: &Tx<'_>, channel: &str, now: u64) -> Result<u64> {
    let mut statement = tx.sql.prepare_cached(
        "UPDATE outbox SET state = 'dropped', done_at = ?2, error = ?3, opens = NULL WHERE id IN
             (SELECT id FROM outbox WHERE channel = ?1 AND state = 'waiting' ORDER BY id DESC LIMIT -1 OFFSET ?4)",
    )?;
    Ok(statement.execute(params![channel, int(now), CROWDED, WAITING_MAX])? as u64)
}

fn row(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    Ok(MessageRow {
        id: row.get("id")?,
        channel: row.get("channel")?,
        event: row.word("event")?,
        message: row.json("message")?,
        at: row.ms("at")?,
        batch: row.get("batch")?,
        attempts: row.get("attempts")?,
        due: row.ms("due")?,
    })
}

/// See [`super::Store::waiting_messages`].
pub(super) fn waiting(sql: &Connection, channel: &str, limit: u32) -> Result<Vec<MessageRow>> {
    let mut statement = sql.prepare_cached(
        "SELECT * FROM outbox INDEXED BY outbox_waiting WHERE channel = ?1 AND state = 'waiting' ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![channel, limit], row)?;
    rows.map(|row| row.map_err(Error::from)).collect()
}

/// See [`super::Store::sent_times`].
pub(super) fn sent_times(sql: &Connection, channel: &str, after: u64) -> Result<Vec<u64>> {
    let mut statement = sql.prepare_cached(
        "SELECT max(done_at) AS at FROM outbox INDEXED BY outbox_done
         WHERE done_at IS NOT NULL AND done_at > ?2 AND channel = ?1 AND state = 'sent'
         GROUP BY coalesce(batch, id) ORDER BY at",
    )?;
    let rows = statement.query_map(params![channel, int(after)], |row| row.ms("at"))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`super::Store::batch_messages`].
pub(super) fn batch(tx: &Tx<'_>, ids: &[i64]) -> Result<()> {
    let Some(first) = ids.first() else { return Ok(()) };
    let mut statement = tx.sql.prepare_cached("UPDATE outbox SET batch = ?2 WHERE id = ?1 AND state = 'waiting'")?;
    for id in ids {
        statement.execute([id, first])?;
    }
    Ok(())
}

/// See [`super::Store::settle_messages`].
pub(super) fn settle(tx: &Tx<'_>, ids: &[i64], delivery: &Delivery, at: u64) -> Result<()> {
    let (state, due, why) = match delivery {
        Delivery::Sent => ("sent", 0, None),
        Delivery::Again { due, why } => ("waiting", *due, Some(why)),
        Delivery::Dropped(why) => ("dropped", 0, Some(why)),
    };
    let why = why.map(|why| {
        let mut why = why.clone();
        sandbook_core::error::truncate_at_char(&mut why, ERROR_BYTES_MAX);
        why
    });
    let mut statement = tx.sql.prepare_cached(
        "UPDATE outbox SET state = ?2, due = ?3, error = ?4, attempts = attempts + 1,
             done_at = CASE WHEN ?2 = 'waiting' THEN NULL ELSE ?5 END,
             opens = CASE WHEN ?2 = 'dropped' THEN NULL ELSE opens END
         WHERE id = ?1 AND state = 'waiting'",
    )?;
    for id in ids {
        statement.execute(params![id, state, int(due), why, int(at)])?;
    }
    Ok(())
}

/// Messages that were sent and whose alert is over, or whose brake was re-armed: ids of both are told apart by themselves.
/// An alert that fires again is not over, though that is another episode.
const OVER: &str =
    "FROM outbox LEFT JOIN episodes ON episodes.id = outbox.opens LEFT JOIN trips ON trips.id = outbox.opens
     WHERE outbox.opens IS NOT NULL AND outbox.state = 'sent'
         AND (trips.rearmed_at IS NOT NULL OR episodes.resolved_at IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM episodes AS again
                 WHERE again.fingerprint = episodes.fingerprint AND again.resolved_at IS NULL))";

/// Whether there is something for [`resolve`].
pub(super) fn any_over(sql: &Connection) -> Result<bool> {
    Ok(sql.prepare_cached(&format!("SELECT 1 {OVER} LIMIT 1"))?.exists([])?)
}

/// See [`super::Store::resolve_incidents`].
pub(super) fn resolve(tx: &mut Tx<'_>, now: u64) -> Result<u64> {
    let mut statement = tx.sql.prepare_cached(&format!(
        "SELECT outbox.id, outbox.once, outbox.channel, outbox.message {OVER} ORDER BY outbox.id LIMIT ?1"
    ))?;
    let rows = statement.query_map([INCIDENTS_MAX], |row| {
        let (id, once, channel): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((id, once, channel, row.json::<Value>("message")?))
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let count = rows.len() as u64;
    for (id, once, channel, mut message) in rows {
        message["resolves"] = Value::Bool(true);
        let (once, event) = (format!("{once}/resolved"), Happened::Resolved);
        queue(tx, &NewMessage { once, channel, event, message, at: now, opens: None })?;
        tx.sql.prepare_cached("UPDATE outbox SET opens = NULL WHERE id = ?1")?.execute([id])?;
    }
    Ok(count)
}

/// See [`super::Store::message_counts`].
pub(super) fn counts(sql: &Connection) -> Result<Vec<ChannelCount>> {
    let mut statement = sql.prepare_cached(
        "SELECT channel, sum(state = 'waiting') AS waiting, min(CASE WHEN state = 'waiting' THEN at END) AS oldest,
             sum(state = 'sent') AS sent, max(CASE WHEN state = 'sent' THEN done_at END) AS last_sent,
             min(CASE WHEN state = 'waiting' AND attempts > 0 THEN at END) AS failing_since,
             sum(state = 'dropped') AS dropped, max(CASE WHEN state = 'dropped' THEN done_at END) AS last_dropped,
             (SELECT error FROM outbox AS o WHERE o.channel = outbox.channel AND error IS NOT NULL
                  ORDER BY id DESC LIMIT 1) AS last_error
         FROM outbox GROUP BY channel",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(ChannelCount {
            channel: row.get("channel")?,
            waiting: row.ms("waiting")?,
            oldest: row.ms_maybe("oldest")?,
            sent: row.ms("sent")?,
            last_sent: row.ms_maybe("last_sent")?,
            failing_since: row.ms_maybe("failing_since")?,
            dropped: row.ms("dropped")?,
            last_dropped: row.ms_maybe("last_dropped")?,
            last_error: row.get("last_error")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Removes some of what was over before then, and what is beyond the most that is kept.
pub(super) fn prune(tx: &Tx<'_>, before: u64, rows_max: u32) -> Result<()> {
    let mut statement = tx.sql.prepare_cached(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE done_at IS NOT NULL
             -- What opened an incident is there until that is over.
             AND (opens IS NULL AND done_at < ?1 OR done_at <
             (SELECT done_at FROM outbox WHERE done_at IS NOT NULL ORDER BY done_at DESC LIMIT 1 OFFSET ?2)) LIMIT ?3)",
    )?;
    statement.execute(params![int(before), DONE_MAX, rows_max])?;
    Ok(())
}
