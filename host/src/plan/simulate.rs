//! A plan in the world of a scenario instead of the real one: shown, never kept, and nothing to apply.
//!
//! Deliberately not here: playing it, see [`crate::scenario`].

use std::collections::BTreeMap;

use sandbook_core::run::Stage;

use super::{Error, Plan, Planner, stamp, view};
use crate::library::Package;
use crate::scenario::{Bench, Scenario};

/// The id of such a plan.
const ID: &str = "scenario";

impl Planner {
    /// What a runbook does in a scenario.
    ///
    /// # Errors
    /// When there are too many, or it takes too long.
    pub async fn simulate(
        &self,
        package: &Package,
        stage: Stage,
        scenario: &Scenario,
        by: &str,
    ) -> Result<Plan, Error> {
        self.in_turn(Box::pin(self.simulated(package, stage, scenario, by))).await
    }

    async fn simulated(&self, package: &Package, stage: Stage, scenario: &Scenario, by: &str) -> Result<Plan, Error> {
        let bench = Bench::new(self.runner.parts().sandbox.clone())
            .map_err(|error| Error::Invalid(format!("no world can be made: {error:#}")))?;
        let (played, rehearsal) = bench.rehearsed(package, scenario).await;
        let summary = view::summary(&played.effects);
        let labels = scenario.alert.as_ref().map(|alert| &alert.labels);
        let fault = rehearsal.as_ref().and_then(|rehearsal| rehearsal.fault.clone());
        let at = stamp(scenario.world.now_ms);
        Ok(Plan {
            plan: ID.to_owned(),
            runbook: package.manifest.name.clone(),
            version: package.version.clone(),
            digest: package.digest.clone(),
            stage: stage.name().to_owned(),
            target: rehearsal.as_ref().and_then(|rehearsal| rehearsal.journal.header.target.clone()),
            alert: labels.and_then(|labels: &BTreeMap<String, String>| labels.get("alertname").cloned()),
            by: by.to_owned(),
            to_apply: false,
            expires_at: at.clone(),
            at,
            outcome: played.outcome.name().to_owned(),
            sentence: played.sentence,
            complete: fault.is_none(),
            summary,
            effects: played.effects,
            notes: played.notes,
            place: rehearsal.and_then(|rehearsal| rehearsal.place),
            fault,
            applied: None,
        })
    }
}
