//! Ending a run because somebody says so: one that executes before its next effect, any other at once.
//!
//! Deliberately not here: changes under way, which end as they end.

use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Result;
use sandbook_core::run::State;

use super::perform::Why;
use super::{QUEUE_MAX, Runner};
use crate::store::RunPatch;

/// How often a run that is to be cancelled is looked for while it changes its state, and the pause between two looks: a
/// change of state is a commit or two, and a store that takes longer answers with its own error.
const LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(25);

impl Runner {
    /// Ends a run before its next effect. False when it is not open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel(&self, run: &str, by: &str, reason: &str) -> Result<bool> {
        let why = if reason.is_empty() { format!("cancelled by {by}") } else { format!("cancelled by {by}: {reason}") };
        {
            let mut cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
            if cancelled.len() >= QUEUE_MAX {
                cancelled.clear();
            }
            cancelled.insert(run.to_owned(), why.clone());
        }
        let forget = || self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        // A run that begins, suspends or wakes in this very moment is in neither place for as long as that takes.
        for _ in 0..LOOKS {
            let attempt = self.active.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned();
            if let Some(attempt) = attempt {
                forget();
                attempt.stop(Why::Cancelled(why));
                return Ok(true);
            }
            if self.cancel_idle(run, &why).await? {
                return Ok(true);
            }
            match self.parts.store.run(run).await? {
                Some(row) if !row.state.is_final() => {}
                over => {
                    let taken = forget().is_none();
                    return Ok(taken && over.is_some_and(|row| row.state == State::Cancelled));
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        forget();
        Ok(false)
    }

    /// Ends a run that nobody executes. False when it is in no such state.
    async fn cancel_idle(&self, run: &str, why: &str) -> Result<bool> {
        let now = self.parts.clock.now().unix_ms;
        let patch = RunPatch {
            from: vec![State::Queued, State::Waiting, State::NeedsAttention],
            state: Some(State::Cancelled),
            finished_at: Some(now),
            sentence: Some(why.to_owned()),
            wake_at: Some(None),
            ..RunPatch::default()
        };
        let ended = self.parts.store.update_run(run, patch).await?;
        if ended {
            self.parts.trace_end(run);
            // Afterwards: nobody can answer for a run that is over, but one that lost its question would wait for ever.
            self.parts.store.withdraw_approvals(run, "the run was cancelled", now).await?;
        }
        Ok(ended)
    }
}
