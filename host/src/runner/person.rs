//! What a person did or has to know: containers somebody stopped are left alone, and changes that no compose file knows
//! are written down.
//!
//! Both belong to `perform` and are asked by it only. Deliberately not here: what counts as stopped on request (the
//! core), and listing drift (the API).

use sandbook_core::effect::{Class, Effect};
use sandbook_core::error::Error;
use sandbook_core::gate::{Claim, Recovered, Session};
use sandbook_core::stopped;
use sandbook_core::target::{Facts, Resolved};
use serde_json::Value;

use super::perform::{Attempt, Why, broken};
use crate::store::{self, AttemptFilter, AttemptRow, Drift};

/// Triggers of runs that a person starts: they may start what a person stopped.
const BY_HAND: [&str; 2] = ["manual", "apply"];
/// How far the end of a container may lie from this engine's own kill of it, in milliseconds: a signal acts at once, and
/// two clocks differ a little.
const KILL_NEAR_MS: u64 = 30_000;
/// Bytes in a MiB, as people write memory.
const MIB: u64 = 1024 * 1024;

impl Attempt {
    /// Why an effect that would start a stopped container is not driven: somebody stopped it, and not this engine.
    pub(super) async fn left_alone(&self, session: &Session, claim: &Claim) -> Result<Option<Error>, Why> {
        let header = &session.journal().header;
        let Some(facts) = claim.resolved.facts.as_ref().filter(|_| !BY_HAND.contains(&header.trigger.as_str())) else {
            return Ok(None);
        };
        let target = claim.resolved.target.to_string();
        let Some(why) = stopped::left_alone(&claim.effect, facts, &header.runbook, &target) else { return Ok(None) };
        let started = before(&claim.resolved, "started_at");
        let filter = AttemptFilter {
            subject: Some(claim.resolved.subject.clone()),
            since: started,
            limit: store::PAGE_MAX,
            ..AttemptFilter::default()
        };
        let attempts = self.parts.store.attempts(filter).await.map_err(broken)?;
        let ended = facts.stop.as_ref().and_then(|stop| ms(stop.at.as_deref()?));
        Ok((!attempts.iter().any(|attempt| was_own(attempt, ended))).then(|| Error::limited(why)))
    }

    /// Writes down what no compose file knows, before the outcome is recorded: after a crash in between it is known twice
    /// rather than never.
    pub(super) async fn note_drift(
        &self,
        session: &Session,
        slot: u32,
        (effect, resolved): (&Effect, Option<&Resolved>),
        answer: &Result<Value, Error>,
    ) -> Result<(), Why> {
        let Ok(answer) = answer else { return Ok(()) };
        let acts = session.journal().header.mode == self.parts.acting && effect.class() == Class::Mutate;
        let composed = |facts: &Facts| facts.project.is_some() && facts.service.is_some();
        let Some(resolved) = resolved.filter(|it| it.facts.as_ref().is_some_and(composed)) else { return Ok(()) };
        if !acts || !effect.drifts() || answer["changed"] == false {
            return Ok(());
        }
        let drift = Drift {
            host: resolved.target.host.clone(),
            subject: resolved.subject.clone(),
            container: resolved.target.name.clone(),
            // A recreation leaves another instance behind than it was about.
            instance: answer["id"].as_str().map(str::to_owned).or(resolved.target.id.clone()).unwrap_or_default(),
            effect: effect.name().to_owned(),
            change: change(&effect.arguments()),
            run: session.journal().header.run.clone(),
            slot,
            at: self.parts.clock.now().unix_ms,
        };
        self.parts.store.add_drift(drift).await.map_err(broken)
    }

    /// The same of an effect that turned out to have happened.
    pub(super) async fn note_late_drift(
        &self,
        session: &Session,
        claim: &Claim,
        recovered: &Recovered,
    ) -> Result<(), Why> {
        match recovered {
            Recovered::Done(answer) => {
                let about = (&claim.effect, Some(&claim.resolved));
                self.note_drift(session, claim.slot, about, &Ok(answer.clone())).await
            }
            Recovered::NotDone | Recovered::Unknown(_) => Ok(()),
        }
    }
}

/// Whether an attempt since the container's last start explains its end: then nobody else stopped it.
fn was_own(attempt: &AttemptRow, ended: Option<u64>) -> bool {
    match attempt.effect.as_str() {
        "docker.stop-container" => true,
        "docker.kill-container" => ended.is_some_and(|ended| ended.abs_diff(attempt.at) <= KILL_NEAR_MS),
        _ => false,
    }
}

/// A time of the state before, in milliseconds since 1970.
fn before(resolved: &Resolved, field: &str) -> Option<u64> {
    ms(resolved.before.as_ref()?[field].as_str()?)
}

fn ms(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok()
}

/// What an effect changed, from its arguments: all but the container, `memory 512 MiB, cpus 0.5`.
fn change(arguments: &Value) -> String {
    let mut words = Vec::new();
    let fields = arguments.as_object().into_iter().flatten().filter(|(name, _)| name.as_str() != "container");
    for (name, value) in fields {
        match value.as_object() {
            Some(inner) => words.extend(inner.iter().map(|(name, value)| word(name, value))),
            None => words.push(word(name, value)),
        }
    }
    words.join(", ")
}

fn word(name: &str, value: &Value) -> String {
    let bytes = name.strip_suffix("_bytes").zip(value.as_u64().filter(|bytes| bytes % MIB == 0));
    match bytes {
        Some((name, bytes)) => format!("{} {} MiB", name.replace('_', " "), bytes / MIB),
        None => format!("{} {value}", name.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_stop_of_this_engine_explains_an_end() {
        let attempt = |effect: &str, at: u64| AttemptRow {
            id: 1,
            run: "r".to_owned(),
            runbook: "b".to_owned(),
            subject: "local/web".to_owned(),
            host: "local".to_owned(),
            effect: effect.to_owned(),
            at,
        };
        let ended = Some(1_000_000);
        assert!(was_own(&attempt("docker.stop-container", 5), ended));
        assert!(was_own(&attempt("docker.kill-container", 999_000), ended));
        assert!(!was_own(&attempt("docker.kill-container", 900_000), ended), "a signal long before");
        assert!(!was_own(&attempt("docker.restart-container", 999_999), ended), "it ran afterwards");
    }

    #[test]
    fn a_change_is_said_in_words() {
        let arguments = json!({"container": "web", "resources": {"memory_bytes": 536_870_912, "cpus": 0.5, "memory_swap_bytes": -1}});
        assert_eq!(change(&arguments), "memory 512 MiB, cpus 0.5, memory swap bytes -1");
    }
}
