//! The books of the model: every request counted in the transaction that permits it.
//!
//! Two requests at once cannot both take the last place. Deliberately not here: sending anything.

use rusqlite::{Connection, params};

use super::row::int;
use super::writer::Tx;
use super::{LlmCall, LlmCeiling, LlmReserved, LlmSpent, LlmWindow, Result};

/// See [`super::Store::llm_reserve`].
pub(super) fn reserve(tx: &mut Tx<'_>, call: &LlmCall, ceilings: &[LlmCeiling]) -> Result<LlmReserved> {
    for ceiling in ceilings {
        if let Some(what) = exceeds(ceiling, spent(tx.sql, &ceiling.window)?, call) {
            return Ok(LlmReserved::Exhausted(what));
        }
    }
    let LlmCall { run, purpose, at, tokens_in, tokens_out, cost_nanos } = call;
    let (tokens_in, tokens_out, cost) = (int(*tokens_in), int(*tokens_out), int(*cost_nanos));
    tx.sql
        .prepare_cached(
            "INSERT INTO llm_calls (run, purpose, at, tokens_in, tokens_out, cost_nanos) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![run, purpose, int(*at), tokens_in, tokens_out, cost])?;
    Ok(LlmReserved::Taken(tx.sql.last_insert_rowid()))
}

/// Which ceiling one more request would pass, in words.
fn exceeds(ceiling: &LlmCeiling, spent: LlmSpent, call: &LlmCall) -> Option<String> {
    let LlmCeiling { label, calls, tokens, cost_nanos, .. } = ceiling;
    let used = spent.tokens_in + spent.tokens_out;
    if calls.is_some_and(|most| spent.calls >= most) {
        return Some(format!("the model's budget of {} requests {label} is used up", calls.unwrap_or_default()));
    }
    if tokens.is_some_and(|most| used + call.tokens_in + call.tokens_out > most) {
        let (most, asks) = (tokens.unwrap_or_default(), call.tokens_in + call.tokens_out);
        return Some(format!(
            "the model's budget of {most} tokens {label} has {} left, this request may take {asks}",
            most.saturating_sub(used)
        ));
    }
    if cost_nanos.is_some_and(|most| spent.cost_nanos + call.cost_nanos > most) {
        let (most, asks) = (cost_nanos.unwrap_or_default(), call.cost_nanos);
        let left = money(most.saturating_sub(spent.cost_nanos));
        return Some(format!(
            "the model's budget of {} in money {label} has {left} left, this request may cost {}",
            money(most),
            money(asks)
        ));
    }
    None
}

#[allow(clippy::cast_precision_loss, reason = "shown, not counted with")]
fn money(nanos: u64) -> f64 {
    nanos as f64 / 1_000_000_000.0
}

/// See [`super::Store::llm_settle`].
pub(super) fn settle(tx: &mut Tx<'_>, id: i64, tokens_in: u64, tokens_out: u64, cost_nanos: u64) -> Result<()> {
    tx.sql
        .prepare_cached("UPDATE llm_calls SET tokens_in = ?2, tokens_out = ?3, cost_nanos = ?4 WHERE id = ?1")?
        .execute(params![id, int(tokens_in), int(tokens_out), int(cost_nanos)])?;
    Ok(())
}

/// See [`super::Store::llm_spent`].
pub(super) fn spent(sql: &Connection, window: &LlmWindow) -> Result<LlmSpent> {
    const SUMS: &str =
        "count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), coalesce(sum(cost_nanos), 0)";
    let row = |row: &rusqlite::Row<'_>| {
        let number = |at| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(at)?.max(0).unsigned_abs());
        Ok(LlmSpent { calls: number(0)?, tokens_in: number(1)?, tokens_out: number(2)?, cost_nanos: number(3)? })
    };
    Ok(match window {
        LlmWindow::Since(at) => {
            let mut statement = sql.prepare_cached(&format!("SELECT {SUMS} FROM llm_calls WHERE at > ?1"))?;
            statement.query_row([int(*at)], row)?
        }
        LlmWindow::Run(run) => {
            let mut statement = sql.prepare_cached(&format!("SELECT {SUMS} FROM llm_calls WHERE run = ?1"))?;
            statement.query_row([run], row)?
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::store::{LlmCall, LlmCeiling, LlmReserved, LlmSpent, LlmWindow, Sqlite, Store as _};

    fn call(run: &str, at: u64) -> LlmCall {
        let (run, purpose) = (Some(run.to_owned()), "choose".to_owned());
        LlmCall { run, purpose, at, tokens_in: 60, tokens_out: 40, cost_nanos: 10 }
    }

    fn most(window: LlmWindow, calls: Option<u64>, tokens: Option<u64>, cost_nanos: Option<u64>) -> Vec<LlmCeiling> {
        vec![LlmCeiling { label: "an hour", window, calls, tokens, cost_nanos }]
    }

    #[tokio::test]
    async fn a_request_is_counted_before_and_corrected_after_also_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(folder.path()).expect("a store");
        let since = || LlmWindow::Since(0);
        let taken = store.llm_reserve(call("r_1", 5), most(since(), None, Some(150), None)).await.expect("written");
        let LlmReserved::Taken(id) = taken else { panic!("{taken:?}") };
        let refused = store.llm_reserve(call("r_2", 6), most(since(), None, Some(150), None)).await.expect("read");
        assert!(matches!(&refused, LlmReserved::Exhausted(why) if why.contains("50 left")), "{refused:?}");
        drop(store);
        // What was never settled stays counted with the most it could have taken.
        let store = Sqlite::open(folder.path()).expect("a store");
        assert_eq!(store.llm_spent(since()).await.expect("read").tokens_in, 60);
        store.llm_settle(id, 7, 2, 1).await.expect("written");
        let spent = LlmSpent { calls: 1, tokens_in: 7, tokens_out: 2, cost_nanos: 1 };
        assert_eq!(store.llm_spent(since()).await.expect("read"), spent);
        let taken = store.llm_reserve(call("r_2", 6), most(since(), None, Some(150), None)).await.expect("written");
        assert!(matches!(taken, LlmReserved::Taken(_)), "{taken:?}");
    }

    #[tokio::test]
    async fn windows_of_time_and_of_a_run_and_every_unit_hold() {
        let store = Sqlite::in_memory().expect("a store");
        for at in [10, 20] {
            store.llm_reserve(call("r_1", at), Vec::new()).await.expect("written");
        }
        let refused = async |ceilings| {
            let reserved = store.llm_reserve(call("r_1", 30), ceilings).await.expect("read");
            matches!(reserved, LlmReserved::Exhausted(_))
        };
        assert!(refused(most(LlmWindow::Since(0), Some(2), None, None)).await);
        assert!(refused(most(LlmWindow::Since(0), None, None, Some(29))).await);
        assert!(refused(most(LlmWindow::Run("r_1".to_owned()), Some(2), None, None)).await);
        assert!(!refused(most(LlmWindow::Run("r_2".to_owned()), Some(1), None, None)).await);
        assert!(!refused(most(LlmWindow::Since(15), Some(3), None, Some(40))).await);
    }
}
