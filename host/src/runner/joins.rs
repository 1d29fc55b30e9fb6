//! Joining: one fault, one run.
//!
//! A trigger for a runbook and a subject joins the run that is already open for both. A trigger that arrives in the
//! settle window of an act waits until the window is over: if its alert is gone by then it has joined, otherwise the
//! fault is still there and it goes on. So several alerts about one fault act once, and none is lost.
//!
//! What acted is rebuilt from the attempts at the start. Deliberately not here: brakes, which count attempts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use sandbook_core::run::{Mode, Outcome, State};

use super::Runner;
use super::execute::Prepared;
use crate::library::Package;
use crate::store::{AttemptFilter, PAGE_MAX, RunPatch, RunRow};

/// Longest settle window that is remembered over a restart, in milliseconds; longer ones are what pauses are for.
const REMEMBERED_MS: u64 = 24 * 3_600_000;
/// Open runs and acts that are remembered.
const REMEMBERED_MAX: usize = 20_000;
/// Triggers by a person are never joined to anything: starting by hand, and applying a plan.
const BY_PERSON: [&str; 2] = ["manual", "apply"];

/// Runbook and subject.
type Key = (String, String);

/// Who is at work on what, and who acted last.
#[derive(Default)]
pub(super) struct Joins {
    open: Mutex<HashMap<Key, Open>>,
    acted: Mutex<HashMap<Key, Acted>>,
}

struct Open {
    run: String,
    /// `host/name`.
    target: String,
}

struct Acted {
    run: String,
    at: u64,
}

/// The settle window of an earlier act.
pub(super) struct Settling {
    by: String,
    acted_at: u64,
    until: u64,
    over: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// Which runs are open and which acted, after a start.
    pub(super) async fn remember_windows(&self, open: &[RunRow]) -> Result<()> {
        for row in open.iter().filter(|row| row.mode != Mode::Shadow) {
            self.opened(row);
        }
        let since = self.parts.clock.now().unix_ms.saturating_sub(REMEMBERED_MS);
        let filter = AttemptFilter { since: Some(since), limit: PAGE_MAX, ..AttemptFilter::default() };
        // Newest first, so that the newest stays.
        for attempt in self.parts.store.attempts(filter).await?.into_iter().rev() {
            let acted = Acted { run: attempt.run, at: attempt.at };
            lock(&self.joins.acted).insert((attempt.runbook, attempt.subject), acted);
        }
        Ok(())
    }

    fn opened(&self, row: &RunRow) {
        let (Some(subject), Some(target)) = (&row.subject, &row.target) else { return };
        let open = Open { run: row.id.clone(), target: target.to_string() };
        let mut map = lock(&self.joins.open);
        if map.len() >= REMEMBERED_MAX {
            map.clear();
        }
        map.insert((row.runbook.clone(), subject.clone()), open);
    }

    /// Forgets a run that has ended, once that is on disk: the next trigger needs not ask the store about it.
    pub(super) fn closed(&self, row: &RunRow) {
        let Some(subject) = &row.subject else { return };
        let key = (row.runbook.clone(), subject.clone());
        let mut map = lock(&self.joins.open);
        if map.get(&key).is_some_and(|open| open.run == row.id) {
            map.remove(&key);
        }
    }

    /// The open run of a runbook on `host/name`, as far as names tell: the store says whether it is really open.
    pub fn open_on(&self, runbook: &str, target: &str) -> Option<String> {
        let open = lock(&self.joins.open);
        open.iter().find(|((name, _), open)| name == runbook && open.target == target).map(|(_, open)| open.run.clone())
    }

    /// A run that acts claims its runbook and subject. When another open run has both: the sentence it ends with.
    pub(super) async fn joins_open(&self, prepared: &Prepared) -> Result<Option<String>> {
        let header = &prepared.journal.header;
        let (Some(subject), Some(target)) = (&header.subject, &header.target) else { return Ok(None) };
        if header.mode == Mode::Shadow || BY_PERSON.contains(&header.trigger.as_str()) || prepared.recorded {
            return Ok(None);
        }
        let key = (header.runbook.clone(), subject.clone());
        loop {
            let other = lock(&self.joins.open).get(&key).map(|open| open.run.clone());
            if let Some(other) = other.as_ref().filter(|other| **other != header.run) {
                let row = self.parts.store.run(other).await?;
                if row.is_some_and(|row| !row.state.is_final()) {
                    if let Some(episode) = &header.episode {
                        self.parts.store.join(episode, other).await?;
                    }
                    return Ok(Some(format!("joins {other}, which is at work on {target}")));
                }
            }
            let mut map = lock(&self.joins.open);
            // Somebody else may have claimed it while the store was asked.
            if map.get(&key).map(|open| &open.run) == other.as_ref() {
                if map.len() >= REMEMBERED_MAX {
                    map.clear();
                }
                map.insert(key, Open { run: header.run.clone(), target: target.to_string() });
                return Ok(None);
            }
        }
    }

    /// The window that this run falls into, open or over.
    pub(super) fn joins_window(&self, row: &RunRow, package: &Package) -> Option<Settling> {
        let settle_ms = package.manifest.brake.settle.map_or(self.parts.brakes.settle_ms, |settle| settle.0);
        let key = (row.runbook.clone(), row.subject.clone()?);
        if BY_PERSON.contains(&row.trigger.as_str()) || row.started_at.is_some() || row.mode == Mode::Shadow {
            return None;
        }
        let now = self.parts.clock.now().unix_ms;
        let mut acted = lock(&self.joins.acted);
        let acted = acted.get_mut(&key).filter(|acted| acted.run != row.id)?;
        // The clock was set back: the window is not longer for that.
        acted.at = acted.at.min(now);
        let until = acted.at + settle_ms;
        let heard_in_it = row.at >= acted.at && row.at < until;
        let over = now >= until;
        (!over || heard_in_it).then(|| Settling { by: acted.run.clone(), acted_at: acted.at, until, over })
    }

    /// Waits for the end of a window. `false`: it is over and the fault is still there, so the run goes on.
    pub(super) async fn defer(&self, row: &RunRow, window: &Settling) -> Result<bool> {
        let Settling { by, acted_at, until, over } = window;
        let episode = match &row.episode {
            Some(episode) => self.parts.store.episode(episode).await?,
            None => None,
        };
        let gone = episode.as_ref().is_none_or(|episode| episode.resolved_at.is_some());
        if gone {
            if let Some(episode) = &row.episode {
                self.parts.store.join(episode, by).await?;
            }
            let ago = self.parts.clock.now().unix_ms.saturating_sub(*acted_at) / 1_000;
            let joined = format!("joins {by}, which acted {ago} s ago");
            self.end_early(row, State::Succeeded, Outcome::NothingToDo, &joined).await?;
            return Ok(true);
        }
        if *over {
            return Ok(false);
        }
        let seconds = until.saturating_sub(*acted_at) / 1_000;
        let patch = RunPatch {
            from: vec![State::Queued],
            state: Some(State::Waiting),
            target: row.target.clone(),
            subject: row.subject.clone(),
            wake_at: Some(Some(*until)),
            sentence: Some(format!(
                "{by} acted on it; its settle window of {seconds} s is open, then this run looks whether the alert is gone"
            )),
            ..RunPatch::default()
        };
        self.parts.store.update_run(&row.id, patch).await?;
        Ok(true)
    }

    /// Remembers that a run acted, for its settle window.
    pub(super) fn remember_acted(&self, row: &RunRow) {
        let now = self.parts.clock.now().unix_ms;
        if let Some(target) = &row.target {
            let mut touched = lock(&self.touched);
            let settle_ms = self.parts.brakes.settle_ms;
            touched.retain(|_, at| now.saturating_sub(*at) < settle_ms);
            touched.insert(target.to_string(), now);
        }
        let Some(subject) = &row.subject else { return };
        let mut acted = lock(&self.joins.acted);
        if acted.len() > REMEMBERED_MAX {
            acted.clear();
        }
        acted.insert((row.runbook.clone(), subject.clone()), Acted { run: row.id.clone(), at: now });
    }
}
