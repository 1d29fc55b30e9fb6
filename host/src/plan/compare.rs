//! What a version in shadow would have done, beside what the version that acts did, for the same episodes.
//!
//! Both are the changes of a run's journal in order: effect, container and arguments. Deliberately not here: judging which
//! of the two is right.

use std::collections::BTreeMap;

use sandbook_core::effect::docker::ContainerState;
use sandbook_core::journal::{Act, Journal};
use sandbook_core::run::Mode;
use serde::Serialize;

use super::acts;
use super::apply::first_look;
use crate::store::{Result, RunFilter, RunRow, Store};

/// Episodes compared: who wants to know more than this looks at the runs.
pub const EPISODES_MAX: usize = 100;
/// Runs looked through for them: a page, the newest.
const RUNS_MAX: u32 = crate::store::PAGE_MAX;

/// What both versions did about an episode.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Compared {
    pub episode: String,
    /// `host/name`, where the runs had a target.
    pub target: Option<String>,
    /// Both made the same changes in the same order.
    pub same: bool,
    /// Both found their target in the same state; otherwise one looked after the other had acted, and a difference says
    /// little.
    pub same_world: bool,
    pub acted: Side,
    pub shadow: Side,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Side {
    pub run: String,
    pub version: String,
    pub digest: String,
    pub outcome: Option<String>,
    /// In order: what it changed, or would have.
    pub changes: Vec<String>,
}

/// The newest episodes about which both an acting and a shadow version of a runbook had a run that is over.
///
/// # Errors
/// When the store fails.
pub async fn compared(store: &dyn Store, runbook: &str) -> Result<Vec<Compared>> {
    let filter = RunFilter { runbook: Some(runbook.to_owned()), limit: RUNS_MAX, ..RunFilter::default() };
    let (runs, _) = store.runs(filter).await?;
    let mut compared = Vec::new();
    for (acting, shadow) in pairs(runs) {
        let sides = (side(store, acting.clone()).await?, side(store, shadow.clone()).await?);
        let (Some((acted, did)), Some((shadow, would))) = sides else { continue };
        compared.push(Compared {
            episode: acting.episode.unwrap_or_default(),
            target: acting.target.as_ref().map(ToString::to_string),
            same: acts(&did) == acts(&would),
            same_world: first_states(&did) == first_states(&would),
            acted,
            shadow,
        });
    }
    Ok(compared)
}

/// Runs of one episode and subject, the acting one first; newest episodes first.
fn pairs(runs: Vec<RunRow>) -> Vec<(RunRow, RunRow)> {
    let mut open: BTreeMap<(String, Option<String>, bool), RunRow> = BTreeMap::new();
    let mut pairs = Vec::new();
    for run in runs.into_iter().filter(|run| run.state.is_final()) {
        let Some(episode) = run.episode.clone() else { continue };
        let shadow = run.mode == Mode::Shadow;
        let key = |shadow| (episode.clone(), run.subject.clone(), shadow);
        // Of several versions in shadow the newest run counts, as for the one that acts.
        if let Some(other) = open.remove(&key(!shadow)) {
            if pairs.len() == EPISODES_MAX {
                break;
            }
            pairs.push(if shadow { (other, run) } else { (run, other) });
        } else {
            open.entry(key(shadow)).or_insert(run);
        }
    }
    pairs
}

/// The state of the first container each looked into, or changed without a look.
fn first_states(journal: &Journal) -> Option<(String, ContainerState)> {
    let (target, state) = journal.slots.iter().find_map(first_look)?;
    Some((target.to_string(), state))
}

async fn side(store: &dyn Store, run: RunRow) -> Result<Option<(Side, Journal)>> {
    let records = store.records_after(&run.id, None).await?;
    let Ok(journal) = Journal::fold(records.into_iter().map(|(_, record)| record)) else { return Ok(None) };
    let side = Side {
        run: run.id,
        version: run.version,
        digest: run.digest,
        outcome: run.outcome.map(|outcome| outcome.name().to_owned()),
        changes: acts(&journal).iter().map(said).collect(),
    };
    Ok(Some((side, journal)))
}

/// `docker.restart-container on local/web with {"grace_ms":10000}`.
fn said(act: &Act) -> String {
    let mut options = act.arguments.clone();
    if let Some(options) = options.as_object_mut() {
        options.shift_remove("container");
        options.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|inner| !inner.is_empty()));
    }
    let with = if options.as_object().is_none_or(serde_json::Map::is_empty) {
        String::new()
    } else {
        format!(" with {options}")
    };
    format!("{} on {}{with}", act.effect, act.target)
}
