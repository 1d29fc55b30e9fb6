//! Automatic demotion: a version that keeps failing to help stops acting by itself.
//!
//! Judged by the newest runs of the version alone, so a new digest begins afresh; what counts begins anew with the last
//! stage a person set, so a promotion lifts a demotion. Being in shadow is written into the history like any stage, and
//! the lowest of all opinions counts, so a pin in the configuration does not keep it acting. Stage, audit and what people
//! are told are written at once: whatever crashes, nobody finds a version in shadow of which nobody was told.
//!
//! Deliberately not here: what a contradiction is; the runner looks at the world.

use sandbook_core::run::Stage;
use serde_json::json;

use super::{CONFIGURED, ENGINE, Library, Result, now_ms};
use crate::store::{Demotion, Notice, StageRow};

/// A version that does not act any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Demoted {
    /// Why, in a sentence without a full stop.
    pub reason: String,
    /// What people are told; it is stored.
    pub notice: Notice,
}

impl Library {
    /// Demotes a version to shadow when enough of its last judged runs were contradicted, and keeps the notice that is
    /// made of why with it; `None` when there is no reason to, or it does not act anyway.
    pub async fn demote_contradicted(
        &self,
        name: &str,
        digest: &str,
        notice: impl FnOnce(&str) -> Notice + Send,
    ) -> Result<Option<Demoted>> {
        let limits = &self.config.runbooks.demotion;
        if limits.contradicted == 0 {
            return Ok(None);
        }
        let mut work = self.work.lock().await;
        let Some(before) = self.standing_of(name, digest).filter(|standing| standing.stage > Stage::Shadow) else {
            return Ok(None);
        };
        let history = self.store.stage_history(name).await?;
        let by_person = history.iter().find(|row| row.digest == digest && row.by != CONFIGURED && row.by != ENGINE);
        let since = by_person.map_or(0, |row| row.at);
        let contradicted = self.store.contradictions(name, digest, since, limits.of).await?;
        if contradicted < u64::from(limits.contradicted) {
            return Ok(None);
        }
        let reason = format!("{contradicted} of its last {} runs that acted did not help", limits.of);
        let at = now_ms();
        let notice = notice(&reason);
        let details = json!({
            "version": before.version, "digest": digest, "from": before.stage, "stage": Stage::Shadow,
            "contradicted": contradicted, "of": limits.of, "reason": reason,
        });
        let stage = StageRow {
            name: name.to_owned(),
            digest: digest.to_owned(),
            stage: Stage::Shadow,
            reason: reason.clone(),
            by: ENGINE.to_owned(),
            at,
        };
        self.store.demote(Demotion { stage, details, notice: notice.clone() }).await?;
        self.refresh(&mut work).await?;
        Ok(Some(Demoted { reason, notice }))
    }
}
