//! Earlier incidents for runbooks: what `incidents.similar` answers in a live run.
//!
//! The logs that count are those the run has read so far, and those earlier runs of its episode read. Deliberately not
//! here: plans and scenarios, which have no episode of their own or a table of their own.

use std::sync::Arc;

use futures::future::BoxFuture;
use sandbook_core::effect::incidents::Incident as Answer;
use sandbook_core::error::Error;
use sandbook_core::journal::Journal;

use super::{Incident, find, shape_of};
use crate::driver::Incidents;
use crate::runner::trace;
use crate::store::{self, Store};

/// The store, asked by a run.
pub struct Remembered(pub Arc<dyn Store>);

impl Incidents for Remembered {
    fn similar<'a>(&'a self, run: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<Answer>, Error>> {
        Box::pin(async move {
            let found = self.found(run, limit).await;
            found.map_err(|error| Error::failed(format!("earlier incidents cannot be read: {error}")))
        })
    }
}

impl Remembered {
    async fn found(&self, run: &str, limit: u32) -> store::Result<Vec<Answer>> {
        let Some(episode) = self.0.run(run).await?.and_then(|row| row.episode) else { return Ok(Vec::new()) };
        let Some(episode) = self.0.episode(&episode).await? else { return Ok(Vec::new()) };
        let mut logs = self.0.log_patterns(&episode.id).await?;
        if let Ok(journal) = Journal::fold(self.0.records(run).await?) {
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
