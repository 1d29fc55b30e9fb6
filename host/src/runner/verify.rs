//! Closing the loop: after a run that acted, look whether it helped, and go on watching whether that lasts.
//!
//! First the condition is looked at until it holds or its time is over: *pending* becomes *confirmed*, *contradicted* or
//! *unknown*. What is confirmed can still change while the manifest's windows are open: the same alert firing again
//! contradicts (in the transaction that takes the alert), an alert that does not resolve in time leaves it unknown. All
//! of it is in the store, so a restart goes on with it. Contradictions count against the version, which is demoted when
//! there are too many of them.
//!
//! Deliberately not here: how a condition is looked at, see [`look`], and when a version is demoted; the library judges.

use std::time::Duration;

use anyhow::Result;
use sandbook_core::duration::DurationMs;
use sandbook_core::effect::docker::{ContainerState, Health, Status};
use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal::{Answer, Slot};
use sandbook_core::manifest::{Condition, Verify};
use sandbook_core::run::Verification;

use super::Runner;
use super::execute::Prepared;
use crate::library::Demoted;
use crate::store::{Aftermath, Due, Happened, Notice, RunRow, Verdict};

mod look;

use look::Look;
pub(super) use look::only_observes;

/// How often the condition is looked at, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;
/// Conditions looked at at once: each look is a call or two of Docker or Prometheus, or a guest.
pub(super) const LOOKS_MAX: usize = 16;
/// How often verifications whose time is over are looked for.
const WATCH_EVERY: Duration = Duration::from_secs(1);

impl Runner {
    /// Starts verifying a run that has just ended.
    pub(super) fn verify_later(&self, row: RunRow) {
        let Some(myself) = self.myself.upgrade() else { return };
        tokio::spawn(async move {
            let id = row.id.clone();
            while let Err(error) = myself.verify(row.clone()).await {
                tracing::warn!(run = %id, "its verification cannot go on yet: {error:#}");
                let clock = &myself.parts.clock;
                clock.sleep_until(clock.now().unix_ms + super::STORE_RETRY_MS).await;
            }
        });
    }

    /// Verifications that a restart interrupted, and from now on those whose time comes.
    pub(super) async fn resume_verifications(&self) -> Result<()> {
        for row in self.parts.store.pending_verifications().await? {
            self.verify_later(row);
        }
        let Some(myself) = self.myself.upgrade() else { return Ok(()) };
        tokio::spawn(async move {
            loop {
                if let Err(error) = myself.settle_verifications().await {
                    tracing::warn!("verifications cannot be settled: {error:#}");
                }
                tokio::time::sleep(WATCH_EVERY).await;
            }
        });
        Ok(())
    }

    /// Looks until the condition holds, its time is over, or nobody can ever tell.
    async fn verify(&self, row: RunRow) -> Result<()> {
        let package = self.library.package_by_digest(&row.digest).await?;
        let within = package.as_ref().and_then(|package| package.manifest.verify.as_ref()).map(|verify| verify.within);
        let within = within.unwrap_or(Verify::default().within);
        let until = row.finished_at.unwrap_or_else(|| self.parts.clock.now().unix_ms) + within.0;
        let lookout = self.lookout(&row, package.as_deref()).await?;
        let (to, why) = loop {
            let look = {
                let _turn = self.looking.acquire().await?;
                lookout.look(&self.parts).await
            };
            let now = self.parts.clock.now().unix_ms;
            match look {
                Look::Holds(why) => break (Verification::Confirmed, why),
                Look::Never(why) => break (Verification::Unknown, why),
                Look::Cannot(why) if now >= until => break (Verification::Unknown, why),
                Look::NotYet(why) if now >= until => {
                    break (Verification::Contradicted, format!("{why}, {within} after the run"));
                }
                Look::Cannot(_) | Look::NotYet(_) => self.parts.clock.sleep_until(now + LOOK_EVERY_MS).await,
            }
        };
        self.judge(&row, Verification::Pending, to, &why).await?;
        self.settle_verifications().await
    }

    /// Writes what was found. False: something else was found meanwhile, and stands.
    async fn judge(&self, row: &RunRow, from: Verification, to: Verification, why: &str) -> Result<bool> {
        let at = self.parts.clock.now().unix_ms;
        let verdict = Verdict { from, to, why: why.to_owned(), at };
        let written = self.parts.store.set_verification(&row.id, verdict).await?;
        if written {
            tracing::info!(run = %row.id, runbook = %row.runbook, verification = to.name(), "verified: {why}");
            if to == Verification::Confirmed {
                self.count(row, to);
            }
        }
        Ok(written)
    }

    fn count(&self, row: &RunRow, verification: Verification) {
        if let Some(traces) = self.parts.traces() {
            traces.verified(&row.id, verification, &self.parts.metrics);
        }
        self.parts.metrics.outcomes.verifications.with_label_values(&[row.runbook.as_str(), verification.name()]).inc();
    }

    /// Tells of verifications that became final and closes those whose time is over. One at a time, so that everything
    /// is told once.
    pub(super) async fn settle_verifications(&self) -> Result<()> {
        let _one = self.settling.lock().await;
        for due in self.parts.store.due_verifications(self.parts.clock.now().unix_ms).await? {
            self.settle_due(due).await?;
        }
        Ok(())
    }

    async fn settle_due(&self, Due { mut run, unresolved }: Due) -> Result<()> {
        if unresolved {
            let acted = run.finished_at.unwrap_or(run.at);
            let within = DurationMs(run.aftermath.resolve_by.unwrap_or(acted).saturating_sub(acted));
            let why = format!("the condition held, but the alert was not resolved within {within}");
            if !self.judge(&run, Verification::Confirmed, Verification::Unknown, &why).await? {
                return Ok(()); // It fired again just now, and is due as contradicted.
            }
            run.verification = Some(Verification::Unknown);
        }
        let Some(settled) = run.verification else { return Ok(()) };
        match settled {
            Verification::Contradicted => {
                let why = run.aftermath.verification_why.as_deref().unwrap_or("it did not help");
                self.tell(self.notice(Happened::Contradicted, &run, &format!("it acted, but {why}"))).await?;
                self.demote(&run).await?;
            }
            Verification::Unknown | Verification::Confirmed | Verification::Pending => {}
        }
        let closed = self.parts.store.close_verification(&run.id, settled).await?;
        // What was confirmed is counted when that was found, the rest once it is final.
        if closed && matches!(settled, Verification::Contradicted | Verification::Unknown) {
            self.count(&run, settled);
        }
        Ok(())
    }

    /// Takes a version that was contradicted too often out of action.
    async fn demote(&self, row: &RunRow) -> Result<()> {
        let told = |reason: &str| {
            let sentence = format!(
                "{} {} is in shadow now: {reason}. Once it is mended: sandbook promote {0} live --reason \"…\"",
                row.runbook, row.version
            );
            self.notice(Happened::Demoted, row, &sentence)
        };
        let demoted = self.library.demote_contradicted(&row.runbook, &row.digest, told).await?;
        let Some(Demoted { reason, notice }) = demoted else { return Ok(()) };
        tracing::warn!(runbook = %row.runbook, digest = %row.digest, "demoted to shadow: {reason}");
        self.parts.metrics.outcomes.demotions.with_label_values(&[&row.runbook]).inc();
        self.noticed(vec![notice]);
        Ok(())
    }

    /// Stores a notice by itself: what it tells of stays due until that is done.
    async fn tell(&self, notice: Notice) -> Result<()> {
        self.parts.store.put_notice(notice.clone()).await?;
        self.noticed(vec![notice]);
        Ok(())
    }
}

/// What the row of a run that ends says of what follows; `None`: it changed nothing and tried nothing.
pub(super) fn aftermath(prepared: &Prepared, now: u64, verified: bool) -> Option<Aftermath> {
    let verify = prepared.package.manifest.verify.as_ref();
    let slots = &prepared.journal.slots;
    let acted_at = slots.iter().filter(|slot| acted(slot)).map(|slot| slot.at).min();
    let needless = needless(slots, verify.map_or(&Condition::Healthy, |verify| &verify.condition));
    let windows = if verified { windows(verify, prepared.row.episode.is_some(), now) } else { Aftermath::default() };
    (needless || acted_at.is_some()).then_some(Aftermath { acted_at, needless, ..windows })
}

/// Until when it is watched whether what a run did lasts. Only alerts resolve and fire again.
fn windows(verify: Option<&Verify>, heard: bool, now: u64) -> Aftermath {
    let no_refire = heard.then(|| verify.map_or(Verify::default().no_refire, |verify| verify.no_refire).0);
    let resolved_within = verify.filter(|_| heard).map(|verify| verify.resolved_within.0);
    Aftermath {
        verify_until: Some(now + no_refire.max(resolved_within).unwrap_or(0)),
        resolve_by: resolved_within.map(|within| now + within),
        refire_until: no_refire.map(|window| now + window),
        ..Aftermath::default()
    }
}

/// Whether a slot changed the world.
pub(super) fn acted(slot: &Slot) -> bool {
    mutates(slot) && matches!(&slot.answer, Some(Answer::Ok(_)))
}

fn mutates(slot: &Slot) -> bool {
    Effect::find(&slot.request.effect).is_some_and(|info| info.class == Class::Mutate)
}

/// Whether what was changed first was well in the look just before. A container without a health check is never known
/// to be well, and a query is not asked again before every change.
fn needless(slots: &[Slot], condition: &Condition) -> bool {
    let Some(first) = slots.iter().find(|slot| mutates(slot) && slot.attempt > 0) else { return false };
    let before = first.resolved.as_ref().and_then(|resolved| resolved.before.clone());
    let Some(before) = before.and_then(|json| serde_json::from_value::<ContainerState>(json).ok()) else {
        return false;
    };
    match condition {
        Condition::Healthy => before.status == Status::Running && before.health == Health::Healthy,
        Condition::Running => before.status == Status::Running,
        Condition::Promql(_) => false,
    }
}
