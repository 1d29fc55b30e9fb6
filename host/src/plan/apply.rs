//! Applying a reviewed plan: a run that may do the plan's changes and nothing else, in a world that is still the one the
//! plan looked at.
//!
//! Deliberately not here: holding the run to the plan, which the gate does at every change.

use std::collections::BTreeMap;

use sandbook_core::effect::Scope;
use sandbook_core::effect::docker::ContainerState;
use sandbook_core::journal::{Answer, Journal, Slot};
use sandbook_core::run::Certainty;
use sandbook_core::target::Target;
use serde_json::{Value, json};

use super::{Error, Planner, stamp};
use crate::runner::aim::Hint;
use crate::runner::{Queued, row_of};
use crate::store::{NewRun, PlanRow, id};

/// What starts such a run, as runs show it.
const TRIGGER: &str = "apply";
/// The read whose answer holds a container's state.
const INSPECT: &str = "docker.inspect-container";

impl Planner {
    /// Starts the run that does what a plan says, in the name of a person, and audits it. Answers with its id.
    ///
    /// # Errors
    /// When the plan is too old, was applied, is of a version that is not stored, or looked at a world that is no longer
    /// there.
    pub async fn apply(&self, row: &PlanRow, by: &str) -> Result<String, Error> {
        let parts = self.runner.parts();
        let now = parts.clock.now().unix_ms;
        let plan = row.id.clone();
        if let Some(run) = &row.applied {
            return Err(Error::Applied { plan, run: run.clone() });
        }
        if now >= row.expires_at {
            return Err(Error::Expired { plan, at: stamp(row.expires_at) });
        }
        let journal = Journal::fold(row.records.clone())
            .map_err(|error| Error::Invalid(format!("plan {plan} cannot be read: {error}")))?;
        let header = &journal.header;
        if parts.store.all_versions().await?.iter().all(|version| version.digest != header.digest) {
            let (runbook, version, digest) = (header.runbook.clone(), header.version.clone(), header.digest.clone());
            return Err(Error::Gone { plan, runbook, version, digest });
        }
        self.unchanged(&plan, &journal).await?;
        let run = self.applying(row, &journal, by, now);
        let (run_id, alert) = (run.id.clone(), header.alert.clone());
        if !parts.store.apply_plan(&plan, run.clone()).await? {
            let other = parts.store.plan(&plan).await?.and_then(|row| row.applied).unwrap_or_default();
            return Err(Error::Applied { plan, run: other });
        }
        let details = json!({"run": run_id, "runbook": header.runbook, "digest": header.digest,
            "target": header.target.as_ref().map(Target::handle), "planned_by": row.by});
        let audited = parts.store.audit(by, "apply", &plan, details, now).await;
        let accepted = std::time::Instant::now();
        // It is durable, so it goes on even where the audit cannot be written; that is then an error of its own.
        self.runner.enqueue(Queued { row: row_of(run), alert, accepted, resumed: false });
        audited?;
        Ok(run_id)
    }

    fn applying(&self, row: &PlanRow, journal: &Journal, by: &str, now: u64) -> NewRun {
        let header = &journal.header;
        let hint = Hint {
            reference: header.target.as_ref().map(Target::handle),
            labels: header.alert.as_ref().map(|alert| alert.labels.clone()).unwrap_or_default(),
            plan: Some(row.id.clone()),
            applied_by: Some(by.to_owned()),
            host: Some(header.host.clone()).filter(|host| !host.is_empty()),
            ..Hint::default()
        };
        NewRun {
            id: id::new("r"),
            runbook: header.runbook.clone(),
            version: header.version.clone(),
            digest: header.digest.clone(),
            mode: self.runner.parts().acting,
            stage: header.stage,
            origin: header.origin,
            trigger: TRIGGER.to_owned(),
            episode: header.episode.clone(),
            parameters: serde_json::to_value(&header.parameters).unwrap_or_default(),
            target_hint: serde_json::to_value(hint).unwrap_or_default(),
            priority: 0,
            at: now,
        }
    }

    /// Every container the plan looked into or would change is the same instance in the same state.
    async fn unchanged(&self, plan: &str, journal: &Journal) -> Result<(), Error> {
        let mut seen: BTreeMap<String, (&Target, ContainerState)> = BTreeMap::new();
        for (target, state) in journal.slots.iter().filter_map(first_look) {
            // What a later effect starts from is the plan's own doing.
            seen.entry(target.to_string()).or_insert((target, state));
        }
        let changed = |what: String| Err(Error::Changed { plan: plan.to_owned(), what });
        for (name, (target, before)) in seen {
            let found = self.runner.parts().driver.resolve(&target.host, &Scope::Container(&target.handle())).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => return changed(error.to_string()),
            };
            if found.target.id != target.id {
                return changed(format!("{name} is another container by now, it was recreated"));
            }
            let now = found.before.and_then(|state| serde_json::from_value::<ContainerState>(state).ok());
            match now {
                Some(now) if now == before => {}
                Some(now) => return changed(format!("{name} {}", differs(&before, &now))),
                None => return changed(format!("{name} says nothing of its state")),
            }
        }
        Ok(())
    }
}

/// The state a slot found a real container in: what a change starts from, or what a look answered.
pub(super) fn first_look(slot: &Slot) -> Option<(&Target, ContainerState)> {
    let state = |value: &Value| serde_json::from_value(value.clone()).ok();
    if let Some(resolved) = slot.resolved.as_deref()
        && let Some(before) = resolved.before.as_ref().and_then(state)
    {
        return Some((&resolved.target, before));
    }
    let real = slot.request.effect == INSPECT && slot.certainty == Some(Certainty::Real);
    match (&slot.answer, &slot.target) {
        (Some(Answer::Ok(details)), Some(target)) if real => Some((target, state(&details["state"])?)),
        (_, _) => None,
    }
}

/// The parts of a state that differ, in words: `health was unhealthy, now healthy`.
fn differs(before: &ContainerState, now: &ContainerState) -> String {
    let fields = |state: &ContainerState| serde_json::to_value(state).unwrap_or_default();
    let (before, now) = (fields(before), fields(now));
    let names = before.as_object().into_iter().chain(now.as_object()).flat_map(serde_json::Map::keys);
    let names: std::collections::BTreeSet<&String> = names.collect();
    let said = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let differing = names.into_iter().filter(|name| before[name.as_str()] != now[name.as_str()]);
    let words: Vec<String> = differing
        .map(|name| {
            let (before, now) = (said(&before[name.as_str()]), said(&now[name.as_str()]));
            format!("{} was {before}, now {now}", name.replace('_', " "))
        })
        .collect();
    words.join("; ")
}
