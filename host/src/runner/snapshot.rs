//! What an episode's target was like when its first run was aimed: what a backtest looks at weeks later.
//!
//! It is the look that aimed the run, and written with the run's start: no question to Docker and no write of its own. When
//! Docker does not answer, the episode has none. Deliberately not here: what is made of it, see [`crate::backtest`].

use sandbook_core::effect::docker::ContainerDetails;
use sandbook_core::error::Error;
use sandbook_core::target::{Kind, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// What the target of an alert's run is like, by episode. An episode that has one already keeps it.
    pub(super) async fn snapshot(
        &self,
        row: &RunRow,
        target: Option<&Target>,
        subject: Option<&str>,
    ) -> Option<(String, Value)> {
        let (episode, target, subject) = (row.episode.as_ref()?, target?, subject?);
        if target.kind != Kind::Container {
            return None;
        }
        let taken = self.parts.driver.details_as_resolved(target).await.and_then(|details| {
            let at = self.parts.clock.now().unix_ms;
            let snapshot = Snapshot { target: target.clone(), subject: subject.to_owned(), details, at };
            serde_json::to_value(snapshot).map_err(|error| Error::failed(error.to_string()))
        });
        match taken {
            Ok(snapshot) => Some((episode.clone(), snapshot)),
            Err(error) => {
                tracing::debug!(%episode, "no snapshot of its target: {error:#}");
                None
            }
        }
    }
}
