//! What an episode's target was like when its first run was aimed: what a backtest looks at weeks later.
//!
//! Taken beside the run, which waits for nothing of it; when Docker does not answer, the episode has none. Deliberately
//! not here: what is made of it, see [`crate::backtest`].

use sandbook_core::effect::docker::ContainerDetails;
use sandbook_core::target::{Kind, Target};
use serde::{Deserialize, Serialize};

use super::Runner;
use crate::store::RunRow;

/// An episode's target as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which.
    pub target: Target,
    /// Key of its brakes.
    pub subject: String,
    /// Everything there was to know of it.
    pub details: ContainerDetails,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

impl Runner {
    /// Keeps what the target of an alert's run is like, unless its episode has that already.
    pub(super) fn snapshot_later(&self, row: &RunRow, target: Option<&Target>, subject: Option<&str>) {
        let (Some(episode), Some(target), Some(subject)) = (&row.episode, target, subject) else { return };
        if target.kind != Kind::Container {
            return;
        }
        let (episode, target, subject) = (episode.clone(), target.clone(), subject.to_owned());
        let parts = self.parts.clone();
        tokio::spawn(async move {
            let taken = async {
                let known = parts.store.episode(&episode).await?;
                if known.is_none_or(|known| !known.snapshot.is_null()) {
                    return anyhow::Ok(());
                }
                let details = parts.driver.details(&target).await?;
                let snapshot = Snapshot { target, subject, details, at: parts.clock.now().unix_ms };
                parts.store.set_episode_snapshot(&episode, serde_json::to_value(snapshot)?).await?;
                Ok(())
            };
            if let Err(error) = taken.await {
                tracing::debug!(%episode, "no snapshot of its target: {error:#}");
            }
        });
    }
}
