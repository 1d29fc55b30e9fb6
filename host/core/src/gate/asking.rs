//! Asking people: for leave to do an effect, or for the answer to a runbook's own question.
//!
//! Both are one `asked` record, after which the guest is dropped, and one `answered`, after which it comes back by
//! replay. Leave is for one effect with these arguments on one instance, which [`fingerprint`] stands for; when it
//! arrives, the effect is resolved and authorized again, and asked for again if the instance is another one by then.
//! Silence is a no, except where a question declares a fallback.
//!
//! Deliberately not here: who may answer, and what is shown to them (the host).

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Next, Now, Pending, Session, Step, request};
use crate::effect::Effect;
use crate::effect::human::Ask;
use crate::error::Error;
use crate::gate::Fault;
use crate::journal::{Record, Said};
use crate::run::{Decision, Mode};
use crate::target::Resolved;

/// How long a person has to answer before the question expires, unless the operator says otherwise.
pub const APPROVAL_MS: u64 = 30 * 60_000;
/// The shortest such time: a person has to be woken, and to read.
pub const APPROVAL_MS_MIN: u64 = 60_000;
/// The longest: what was wrong a week ago is no reason to act today.
pub const APPROVAL_MS_MAX: u64 = 7 * 86_400_000;

/// Who answers when nobody does.
const NOBODY: &str = "nobody";
const EXPIRED: &str = "nobody answered before the question expired";

/// What a leave to act is for, as `sha256:…`: effect, arguments, and the instance it is about.
pub fn fingerprint(effect: &Effect, resolved: Option<&Resolved>) -> String {
    let target = resolved.map(|resolved| &resolved.target);
    let what = json!([
        effect.name(),
        canonical(&effect.arguments()),
        target.map(|target| [Some(target.host.as_str()), Some(target.name.as_str()), target.id.as_deref()]),
    ]);
    let hex: String = Sha256::digest(what.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Keys sorted, in depth.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The question that an effect is, if it is one.
pub(super) fn question(effect: &Effect) -> Option<Ask> {
    if let Effect::Ask(ask) = effect { Some(ask.clone()) } else { None }
}

impl Session {
    /// How long a person has to answer, in milliseconds, held to [`APPROVAL_MS_MIN`] and [`APPROVAL_MS_MAX`].
    #[must_use]
    pub fn asking_for(mut self, approval_ms: u64) -> Session {
        self.approval_ms = approval_ms.clamp(APPROVAL_MS_MIN, APPROVAL_MS_MAX);
        self
    }

    /// Nobody answered in time: the declared fallback, else a no.
    pub(super) fn expire(&mut self, pending: Pending, now: Now) -> Next {
        let fallback = question(&pending.effect).and_then(|ask| ask.settings.fallback);
        let answered = Record::Answered {
            slot: pending.slot,
            approved: fallback.is_some(),
            by: NOBODY.to_owned(),
            reason: EXPIRED.to_owned(),
            answer: fallback,
            withdrawn: false,
            at: now.unix_ms,
        };
        if let Err(error) = self.journal.append(&answered) {
            return Next::end(Fault::Journal(error));
        }
        let mut next = self.answered(pending, now);
        next.records.insert(0, answered);
        Next { durable: true, ..next }
    }

    /// Goes on with what was said. Leave to act is not yet the act: it is resolved and authorized again.
    pub(super) fn answered(&mut self, pending: Pending, now: Now) -> Next {
        let said = self.journal.slots.get(pending.slot as usize).and_then(|slot| slot.said.clone());
        let Some(said) = said else { return self.advance(pending, now) };
        if !said.approved {
            return self.conclude(pending, Decision::Deny, Err(refusal(&said)), now);
        }
        let Some(ask) = question(&pending.effect) else { return self.advance(pending, now) };
        let fallback = expired(&said);
        let option = said.answer.unwrap_or_else(|| ask.assumed());
        let answer = json!({"option": option, "by": said.by, "reason": said.reason, "fallback": fallback});
        self.conclude(pending, Decision::Allow, Ok(answer), now)
    }

    /// Whether a person approved this very effect on this very instance.
    pub(super) fn approved(&self, pending: &Pending) -> bool {
        let Some(slot) = self.journal.slots.get(pending.slot as usize) else { return false };
        slot.said.as_ref().is_some_and(|said| said.approved) && !self.replaced(pending)
    }

    /// Whether the question of this slot was about another instance than the one found now.
    fn replaced(&self, pending: &Pending) -> bool {
        let Some(slot) = self.journal.slots.get(pending.slot as usize) else { return false };
        if slot.digest.is_empty() {
            let asked = slot.resolved.as_deref().map(|resolved| &resolved.target);
            return asked != pending.resolved.as_ref().map(|resolved| &resolved.target);
        }
        slot.digest != fingerprint(&pending.effect, pending.resolved.as_ref())
    }

    /// Asks for leave to do an effect.
    pub(super) fn ask(&mut self, pending: Pending, reason: String, now: Now) -> Next {
        let said = self.journal.slots.get(pending.slot as usize).and_then(|slot| slot.said.as_ref());
        let reason = match said {
            Some(said) => format!("{} approved it for another instance, which is gone; {reason}", said.by),
            None => reason,
        };
        self.asked(pending, reason, self.approval_ms, now)
    }

    /// Puts a runbook's own question. Where nothing is real nobody is asked, and the record says that it would have been.
    pub(super) fn put_question(&mut self, mut pending: Pending, ask: &Ask, now: Now) -> Next {
        if self.journal.header.mode != Mode::Live {
            pending.decision = Decision::Ask;
            return self.drive(pending, 0, Vec::new(), now);
        }
        let reason = format!("{} asks", self.journal.header.runbook);
        self.asked(pending, reason, ask.settings.timeout_ms.unwrap_or(self.approval_ms), now)
    }

    fn asked(&mut self, pending: Pending, reason: String, for_ms: u64, now: Now) -> Next {
        let record = Record::Asked {
            slot: pending.slot,
            request: request(&pending.effect),
            digest: fingerprint(&pending.effect, pending.resolved.as_ref()),
            resolved: pending.resolved.clone().map(Box::new),
            reason,
            policy: pending.policy.clone(),
            expires_at: now.unix_ms + for_ms,
            at: now.unix_ms,
        };
        let claim = Box::new(self.claim(&pending));
        self.record(vec![record], true, Step::Ask(claim))
    }
}

fn expired(said: &Said) -> bool {
    said.by == NOBODY && said.reason == EXPIRED
}

/// What the runbook gets for a no.
fn refusal(said: &Said) -> Error {
    if said.withdrawn || expired(said) {
        return Error::denied(said.reason.clone());
    }
    let why = if said.reason.is_empty() { String::new() } else { format!(": {}", said.reason) };
    Error::denied(format!("{} denied it{why}", said.by))
}
