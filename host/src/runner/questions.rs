//! Questions to people: what is put to them, and what comes of their answer.
//!
//! A question is stored together with the run's wait, an answer together with the run's return, so that neither is ever
//! there without the other. Deliberately not here: when to ask (the gate), and who may answer (the API).

use anyhow::Result;
use sandbook_core::effect::{Effect, sentence};
use sandbook_core::gate::{APPROVAL_MS, Claim, fingerprint};
use sandbook_core::journal::Slot;

use super::Runner;
use super::execute::Prepared;
use crate::store::{Approval, ApprovalDecision, ApprovalEnd, ApprovalKind, Decided, Happened, Notice, id};

/// Who withdraws a question when its alert is over.
const THE_ALERT: &str = "the alert";
const RESOLVED: &str = "withdrawn: the alert resolved";

/// How people are asked.
#[derive(Debug, Clone)]
pub struct Asking {
    /// How long they have, in milliseconds.
    pub approval_ms: u64,
    /// Where they find the daemon, without a slash at the end.
    pub public_url: String,
}

impl Default for Asking {
    fn default() -> Asking {
        Asking { approval_ms: APPROVAL_MS, public_url: String::new() }
    }
}

impl Runner {
    /// Stores a question with the run's wait for its answer, and tells people. A run that came back without an answer has
    /// asked already.
    pub(super) async fn put_question(&self, prepared: &Prepared, claim: &Claim) -> Result<()> {
        let row = &prepared.row;
        if let Some(open) = self.parts.store.open_approval(&row.id, claim.slot).await? {
            return self.suspend(row, open.expires_at, None).await;
        }
        let approval = self.question(prepared, claim);
        let key = format!("sandbook-approval-{}", approval.id);
        let notice = self.notice(Happened::Approval, row, &self.said(&approval));
        let notice = Notice { once: key.clone(), key, ..notice };
        self.suspend(row, approval.expires_at, Some((approval, notice))).await?;
        // A run may come to ask after its alert resolved.
        match &row.episode {
            Some(episode) => self.withdraw_for_episode(episode).await.map(drop),
            None => Ok(()),
        }
    }

    fn question(&self, prepared: &Prepared, claim: &Claim) -> Approval {
        let slot = prepared.journal.slots.get(claim.slot as usize);
        let now = self.parts.clock.now().unix_ms;
        let resolved = slot.and_then(|slot| slot.resolved.as_deref());
        let (kind, options, fallback) = if let Effect::Ask(ask) = &claim.effect {
            (ApprovalKind::Question, ask.options.clone(), ask.settings.fallback.as_deref())
        } else {
            (ApprovalKind::Approval, Vec::new(), None)
        };
        Approval {
            id: id::new("a"),
            run: prepared.row.id.clone(),
            slot: claim.slot,
            kind,
            runbook: prepared.row.runbook.clone(),
            effect: claim.effect.name().to_owned(),
            arguments: claim.effect.arguments(),
            target: resolved.map(|resolved| resolved.target.clone()),
            sentence: sentence(&claim.effect, resolved),
            otherwise: otherwise(kind, fallback),
            digest: slot.map_or_else(|| fingerprint(&claim.effect, resolved), |slot| slot.digest.clone()),
            options,
            reason: slot.map(|slot| slot.reason.clone()).unwrap_or_default(),
            at: now,
            expires_at: slot.and_then(|slot: &Slot| slot.expires_at).unwrap_or(now + APPROVAL_MS),
            decision: None,
        }
    }

    /// What a message says of it. The link opens a page; opening decides nothing.
    fn said(&self, approval: &Approval) -> String {
        let Approval { sentence, reason, otherwise, id, .. } = approval;
        let asking = self.parts.asking();
        let link = match asking.public_url.as_str() {
            "" => String::new(),
            url => format!("\nanswer here: {url}/approvals/{id}"),
        };
        format!("{sentence}\nwhy it asks: {reason}\notherwise: {otherwise}{link}\nor: sandbook approve {id}")
    }

    /// Answers a question; the run goes on with it.
    ///
    /// # Errors
    /// When the store fails; then nothing was answered.
    pub async fn answer(&self, id: &str, decision: ApprovalDecision) -> Result<Decided> {
        let decided = self.parts.store.answer_approval(id, decision).await?;
        if let Decided::Done(approval) = &decided {
            self.queue_again(&approval.run).await;
        }
        Ok(decided)
    }

    /// Withdraws every open question of an episode's runs if its alert resolved: the runs go on and get `denied`. Answers
    /// with how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn withdraw_for_episode(&self, episode: &str) -> Result<usize> {
        self.withdraw(self.parts.store.resolved_approvals(Some(episode)).await?).await
    }

    /// The same for every episode: after a start, because the one before may have ended in between.
    pub(super) async fn withdraw_resolved(&self) -> Result<usize> {
        self.withdraw(self.parts.store.resolved_approvals(None).await?).await
    }

    async fn withdraw(&self, open: Vec<Approval>) -> Result<usize> {
        let mut withdrawn = 0;
        for approval in open {
            let decision = ApprovalDecision {
                kind: ApprovalEnd::Withdrawn,
                by: THE_ALERT.to_owned(),
                reason: RESOLVED.to_owned(),
                answer: None,
                at: self.parts.clock.now().unix_ms,
            };
            withdrawn += usize::from(matches!(self.answer(&approval.id, decision).await?, Decided::Done(_)));
        }
        Ok(withdrawn)
    }
}

/// What happens when nobody says yes.
fn otherwise(kind: ApprovalKind, fallback: Option<&str>) -> String {
    match (kind, fallback) {
        (ApprovalKind::Approval, _) => {
            "denied or unanswered, it is not done: the runbook gets `denied` and goes on without it".to_owned()
        }
        (ApprovalKind::Question, Some(fallback)) => {
            format!(
                "unanswered, the answer is \"{fallback}\"; denied, the runbook gets `denied` and goes on without one"
            )
        }
        (ApprovalKind::Question, None) => {
            "denied or unanswered, the runbook gets `denied` and goes on without an answer".to_owned()
        }
    }
}
