//! Automatic demotion: a version that keeps failing to help stops acting by itself.
//!
//! Judged by the newest runs of the version alone, so a new digest begins afresh; what counts begins anew with the last
//! stage a person set, so a promotion lifts a demotion. Being in shadow is written into the history like any stage, and
//! the lowest of all opinions counts, so a pin in the configuration does not keep it acting.
//!
//! Deliberately not here: what a contradiction is; the runner looks at the world.

use sandbook_core::run::Stage;
use serde_json::json;

use super::{CONFIGURED, ENGINE, Library, Result, now_ms};

impl Library {
    /// Demotes a version to shadow when enough of its last judged runs were contradicted, and says why; `None` when
    /// there is no reason to, or it does not act anyway.
    pub async fn demote_contradicted(&self, name: &str, digest: &str) -> Result<Option<String>> {
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
        self.store.set_stage(name, digest, Stage::Shadow, &reason, ENGINE, at).await?;
        let details = json!({
            "version": before.version, "digest": digest, "from": before.stage, "stage": Stage::Shadow,
            "contradicted": contradicted, "of": limits.of, "reason": reason,
        });
        self.store.audit(ENGINE, "demote", name, details, at).await?;
        self.refresh(&mut work).await?;
        Ok(Some(reason))
    }
}
