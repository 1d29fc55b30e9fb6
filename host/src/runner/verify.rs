//! Closing the loop: after a run that acted, look whether its condition holds.
//!
//! The condition is the manifest's; the default is running and healthy. A failed condition contradicts; what cannot be
//! looked at is unknown. Deliberately not here: the alert's resolution, which Alertmanager reports late.

use std::sync::Arc;

use anyhow::Result;
use sandbook_core::effect::Scope;
use sandbook_core::effect::docker::{ContainerState, Health, Status};
use sandbook_core::manifest::{Condition, Verify};
use sandbook_core::run::{State, Verification};

use super::Runner;
use super::execute::Prepared;
use crate::store::{RunFilter, RunPatch, RunRow};

/// How often the condition is looked at, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;
/// How long it may take to hold when the manifest does not say, in milliseconds.
const WITHIN_MS_DEFAULT: u64 = 120_000;

/// What a look at the condition says.
enum Look {
    Holds,
    NotYet(String),
    Cannot(String),
}

impl Runner {
    /// Starts verifying a run that has just ended.
    pub(super) fn verify_later(&self, prepared: &Prepared) {
        let Some(myself) = self.myself.upgrade() else { return };
        let (row, verify) = (prepared.row.clone(), prepared.package.manifest.verify.clone());
        tokio::spawn(async move {
            if let Err(error) = myself.verify(row, verify).await {
                tracing::warn!("a verification cannot be recorded: {error:#}");
            }
        });
    }

    /// Verifications that a restart interrupted.
    pub(super) async fn resume_verifications(&self) -> Result<()> {
        let filter = RunFilter { state: Some(State::Succeeded), limit: crate::store::PAGE_MAX, ..RunFilter::default() };
        let (rows, _) = self.parts.store.runs(filter).await?;
        for row in rows.into_iter().filter(|row| row.verification == Some(Verification::Pending)) {
            let Some(package) = self.library.package_by_digest(&row.digest).await? else { continue };
            let Some(myself): Option<Arc<Runner>> = self.myself.upgrade() else { return Ok(()) };
            let verify = package.manifest.verify.clone();
            tokio::spawn(async move {
                if let Err(error) = myself.verify(row, verify).await {
                    tracing::warn!("a verification cannot be recorded: {error:#}");
                }
            });
        }
        Ok(())
    }

    async fn verify(&self, row: RunRow, verify: Option<Verify>) -> Result<()> {
        let (condition, within_ms) = match &verify {
            Some(verify) => (verify.condition.clone(), verify.within.0),
            None => (Condition::Healthy, WITHIN_MS_DEFAULT),
        };
        let until = row.finished_at.unwrap_or_else(|| self.parts.clock.now().unix_ms) + within_ms;
        let (verification, why) = loop {
            match self.look(&row, &condition).await {
                Look::Holds => break (Verification::Confirmed, String::new()),
                Look::Cannot(why) if self.parts.clock.now().unix_ms >= until => break (Verification::Unknown, why),
                Look::NotYet(why) if self.parts.clock.now().unix_ms >= until => {
                    break (Verification::Contradicted, why);
                }
                Look::Cannot(_) | Look::NotYet(_) => {
                    self.parts.clock.sleep_until(self.parts.clock.now().unix_ms + LOOK_EVERY_MS).await;
                }
            }
        };
        let patch = RunPatch { verification: Some(verification), ..RunPatch::default() };
        self.parts.store.update_run(&row.id, patch).await?;
        self.parts.metrics.verifications.with_label_values(&[row.runbook.as_str(), verification.name()]).inc();
        let why = if why.is_empty() { "the condition holds".to_owned() } else { why };
        tracing::info!(run = %row.id, runbook = %row.runbook, verification = verification.name(), "verified: {why}");
        if verification == Verification::Contradicted {
            self.notice("contradicted", &row, &format!("it acted, but {why}"));
        }
        Ok(())
    }

    async fn look(&self, row: &RunRow, condition: &Condition) -> Look {
        let Some(target) = &row.target else { return Look::Cannot("it has no target".to_owned()) };
        let healthy = match condition {
            Condition::Healthy => true,
            Condition::Running => false,
            Condition::Promql(_) => return Look::Cannot("conditions in PromQL are not looked at yet".to_owned()),
        };
        let handle = target.handle();
        let resolved = match self.parts.driver.resolve(&target.host, &Scope::Container(&handle)).await {
            Ok(resolved) => resolved,
            Err(error) => return Look::Cannot(error.to_string()),
        };
        if resolved.target.id != target.id {
            return Look::Cannot("the container it acted on was replaced".to_owned());
        }
        let Some(state) = resolved.before.and_then(|json| serde_json::from_value::<ContainerState>(json).ok()) else {
            return Look::Cannot("its state is not visible".to_owned());
        };
        match (state.status, state.health) {
            (Status::Running, Health::Healthy | Health::None) => Look::Holds,
            (Status::Running, Health::Starting | Health::Unhealthy) if !healthy => Look::Holds,
            (Status::Running, Health::Starting) => Look::NotYet("it is still starting".to_owned()),
            (Status::Running, Health::Unhealthy) => Look::NotYet("it is still unhealthy".to_owned()),
            (
                Status::Created
                | Status::Paused
                | Status::Restarting
                | Status::Removing
                | Status::Exited
                | Status::Dead,
                _,
            ) => Look::NotYet("it does not run".to_owned()),
        }
    }
}
