//! Earlier incidents for runbooks: what `incidents.similar` answers in a run and in a plan; and where evidence comes from.
//!
//! The logs that count are those the run has read so far, and those earlier runs of its episode read. A plan that is of no
//! episode is compared by its alert and by how its container is now. Deliberately not here: scenarios, which have a table
//! of their own.

use std::sync::Arc;

use futures::future::BoxFuture;
use sandbook_core::effect::docker::ContainerState;
use sandbook_core::effect::incidents::{Incident as Answer, SIMILAR_MAX};
use sandbook_core::error::Error;
use sandbook_core::journal::{Header, Journal};
use sandbook_core::similar::Shape;

use super::{Incident, Similar, find, shape_of};
use crate::driver::{Incidents, Read};
use crate::runner::trace;
use crate::store::{self, Store};

/// The store, asked by a run.
pub struct Remembered(pub Arc<dyn Store>);

impl Incidents for Remembered {
    fn similar<'a>(&'a self, run: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<Answer>, Error>> {
        Box::pin(async move {
            let found = self.found(run, limit).await;
            found.map_err(unreadable)
        })
    }

    fn read_by<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Vec<Read>> {
        Box::pin(async move {
            let journal = self.so_far(run).await.ok().flatten();
            journal.as_ref().map(trace::read).unwrap_or_default()
        })
    }
}

fn unreadable(error: store::Error) -> Error {
    Error::failed(format!("earlier incidents cannot be read: {error}"))
}

/// Incidents like the one a plan is for: of its episode, else of its alert now, else none.
///
/// # Errors
/// When the store cannot be read.
pub async fn of_plan(
    store: &dyn Store,
    header: &Header,
    state: Option<&ContainerState>,
    now_ms: u64,
) -> Result<Vec<Answer>, Error> {
    let most = usize::try_from(SIMILAR_MAX).unwrap_or(usize::MAX);
    let found = async {
        if let Some(episode) = &header.episode {
            return Ok(super::of_episode(store, episode, most).await?.unwrap_or_default());
        }
        let Some(alert) = &header.alert else { return Ok(Similar::default()) };
        let state = state.and_then(|state| serde_json::to_value(state).ok());
        let ended = state.as_ref().and_then(super::ended);
        let shape = Shape { name: alert.name.clone(), labels: alert.labels.clone(), ended, logs: Vec::new() };
        find(store, &shape, now_ms, "", most).await
    };
    let similar: Similar = found.await.map_err(unreadable)?;
    Ok(similar.incidents.into_iter().flat_map(answers).take(most).collect())
}

impl Remembered {
    /// What a run that is at work has recorded. As an observer: only whoever goes on with a run may read what a failed store
    /// held back of it.
    async fn so_far(&self, run: &str) -> store::Result<Option<Journal>> {
        self.0.flush(run).await?;
        let records = self.0.records_after(run, None).await?;
        Ok(Journal::fold(records.into_iter().map(|(_, record)| record)).ok())
    }

    async fn found(&self, run: &str, limit: u32) -> store::Result<Vec<Answer>> {
        let Some(episode) = self.0.run(run).await?.and_then(|row| row.episode) else { return Ok(Vec::new()) };
        let Some(episode) = self.0.episode(&episode).await? else { return Ok(Vec::new()) };
        let mut logs = self.0.log_patterns(&episode.id).await?;
        if let Some(journal) = self.so_far(run).await? {
            logs.extend(
                trace::patterns(&journal).into_iter().filter(|pattern| !logs.contains(pattern)).collect::<Vec<_>>(),
            );
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let similar = find(&*self.0, &shape_of(&episode, logs), episode.first_heard, &episode.id, limit).await?;
        Ok(similar.incidents.into_iter().flat_map(answers).take(limit).collect())
    }
}

/// One for each run of an incident; one without a run where nothing was done about it.
fn answers(incident: Incident) -> Vec<Answer> {
    let about = |score| Answer {
        episode: incident.episode.clone(),
        alert: incident.alert.clone(),
        at: incident.at.clone(),
        score,
        ..Answer::default()
    };
    let score = f64::from(incident.likeness) / 100.0;
    if incident.runs.is_empty() {
        return vec![about(score)];
    }
    let of_run = |run: &super::RunView| Answer {
        run: run.run.clone(),
        runbook: run.runbook.clone(),
        outcome: run.outcome.clone().unwrap_or_default(),
        verification: run.verification.clone().unwrap_or_default(),
        worked: run.helped == Some(true),
        changes: run.changes.clone(),
        ..about(score)
    };
    incident.runs.iter().map(of_run).collect()
}
