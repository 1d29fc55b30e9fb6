//! What an alert would start, and why: for people and for plans. Nothing is stored.
//!
//! Deliberately not here: the choice itself, which is the one that intake makes.

use std::collections::BTreeMap;

use sandbook_core::alert::Alert;
use sandbook_core::effect::closest;
use sandbook_core::manifest::Manifest;
use sandbook_core::matching::{Candidate, Via, choose};
use sandbook_core::run::Stage;
use sandbook_core::target::Target;
use serde::Serialize;

use super::{Intake, sentences};
use crate::about_us;
use crate::runner::aim::{Aimed, Hint};

/// Why an alert starts what it starts.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Runbooks that would run, best first.
    pub chosen: Vec<Choosing>,
    /// The others, and why not.
    pub considered: Vec<Considering>,
}

/// A runbook that would run.
#[derive(Debug, Clone, Serialize)]
pub struct Choosing {
    /// Its name.
    pub runbook: String,
    /// `route 1` or `trigger 1`.
    pub via: String,
    /// In a sentence.
    pub why: String,
    /// How far its version is trusted.
    pub stage: Stage,
    /// What it would be about.
    pub target: Option<Target>,
    /// Why there is none, or which label named it.
    pub target_why: String,
}

/// How an alert would start a package.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// How it would be aimed.
    pub hint: Hint,
    /// Those of the operator's route.
    pub parameters: BTreeMap<String, String>,
    /// By which route or trigger.
    pub why: String,
}

/// A runbook that would not.
#[derive(Debug, Clone, Serialize)]
pub struct Considering {
    /// Its name.
    pub runbook: String,
    /// Whether its trigger matched all the same.
    pub matched: bool,
    /// In a sentence.
    pub why: String,
}

impl Intake {
    /// Routes that start nothing, each with why: to a runbook that is not there, or with parameters that it does not take.
    pub fn idle_routes(&self) -> Vec<String> {
        let actives = self.library.snapshot();
        let routes = self.routes.iter().zip(1..);
        routes
            .filter_map(|(route, number)| {
                let name = &route.runbook;
                let Some(active) = actives.iter().find(|active| active.package.manifest.name == *name) else {
                    return Some(format!("route {number} starts nothing: {}", self.absent(name)));
                };
                let misfits = active.package.manifest.parameters_from(&route.parameters).err()?;
                Some(format!("route {number} to {name} starts nothing: {}", sentences(&misfits)))
            })
            .collect()
    }

    /// Why no alert can start a runbook of that name.
    fn absent(&self, name: &str) -> String {
        let standings = self.library.standings();
        if standings.iter().any(|standing| standing.name == name) {
            return format!("{name} is a draft, and drafts see no alerts");
        }
        let near = closest(name, standings.iter().map(|standing| standing.name.as_str()));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("there is no runbook {name}{near}")
    }

    /// How an alert would aim a runbook and with which parameters: as the operator's route says, where one leads there.
    pub fn aimed_at(&self, alert: &Alert, runbook: &str) -> (Hint, BTreeMap<String, String>) {
        let chosen = self.choose(alert, &self.library.snapshot()).chosen;
        let route = chosen.iter().find(|one| one.runbook == runbook).and_then(|one| self.route(&one.via));
        let target_from = route.map(|route| route.target_from.clone()).unwrap_or_default();
        let parameters = route.map(|route| route.parameters.clone()).unwrap_or_default();
        (Hint { labels: alert.labels.clone(), target_from, ..Hint::default() }, parameters)
    }

    /// Whether an alert would start a package, were it the only one: by which route or trigger, how it would be aimed and
    /// with which parameters; or why not.
    pub fn would_start(&self, alert: &Alert, manifest: &Manifest) -> Result<Start, String> {
        if about_us::about(&alert.labels).is_some() {
            return Err("it is about this engine itself, which heals nothing of its own".to_owned());
        }
        let choice = choose(alert, &self.routes, &[Candidate { name: &manifest.name, manifest }]);
        let Some(chosen) = choice.chosen.into_iter().next() else {
            let own = |one: &&sandbook_core::matching::Considered| one.runbook == manifest.name;
            let why = choice.considered.iter().find(own).map(|one| one.why.clone());
            return Err(why.unwrap_or_else(|| "it has no trigger for alerts".to_owned()));
        };
        let route = self.route(&chosen.via);
        let target_from = route.map(|route| route.target_from.clone()).unwrap_or_default();
        let parameters = route.map(|route| route.parameters.clone()).unwrap_or_default();
        let hint = Hint { labels: alert.labels.clone(), target_from, ..Hint::default() };
        Ok(Start { hint, parameters, why: chosen.why })
    }

    /// Which runbooks and targets an alert means, and why not the others. Changes nothing.
    pub async fn explain(&self, alert: &Alert) -> Explanation {
        let actives = self.library.snapshot();
        let choice = self.choose(alert, &actives);
        let mut chosen = Vec::new();
        for one in choice.chosen {
            let Some(active) = actives.iter().find(|active| active.package.manifest.name == one.runbook) else {
                continue;
            };
            let target_from = self.route(&one.via).map(|route| route.target_from.clone()).unwrap_or_default();
            let hint = Hint { labels: alert.labels.clone(), target_from, ..Hint::default() };
            let spec = &active.package.manifest.target;
            let (target, target_why) = match self.runner.aim().find(&*self.runner.parts().driver, spec, &hint).await {
                Aimed::Nothing { .. } => (None, "it is about nothing in particular".to_owned()),
                Aimed::At(resolved) => (Some(resolved.target), "found on the host".to_owned()),
                Aimed::Each(members) => (None, format!("one run for each of {}", members.join(", "))),
                Aimed::NoTarget(why) => (None, format!("no target: {why}")),
                Aimed::Ambiguous(why) => (None, format!("ambiguous target: {why}")),
                Aimed::Unreachable(error) => (None, format!("cannot be looked up: {error}")),
            };
            let via = match one.via {
                Via::Route(index) => format!("route {}", index + 1),
                Via::Trigger(index) => format!("trigger {}", index + 1),
            };
            chosen.push(Choosing { runbook: one.runbook, via, why: one.why, stage: active.stage, target, target_why });
        }
        let considered = choice
            .considered
            .into_iter()
            .map(|one| Considering { runbook: one.runbook, matched: one.matched, why: one.why })
            .collect();
        Explanation { chosen, considered }
    }
}
