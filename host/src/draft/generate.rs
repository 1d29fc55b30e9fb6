//! A runbook from a description, from prose, or from a recorded incident.
//!
//! Round after round the model's draft is read, compiled, checked, played in its own scenarios and planned on the sample
//! alert; what is wrong is told to the model. A draft that passes is kept as a version of origin `llm`. Deliberately not
//! here: what a person makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbook_core::alert::{Alert, Status};
use sandbook_core::run::{Outcome, Stage};
use serde::Deserialize;
use serde_json::Value;

use super::ask::files_of;
use super::{Desk, Draft, Error, File, Rehearsed, package, prompt};
use crate::intake::input_of;
use crate::library::difference::{between, of_new};
use crate::library::{self, Package};
use crate::llm::{Purpose, Request, Schema};
use crate::plan::{self, Plan};
use crate::scenario::{self, Bench, Scenario, judge};

/// Bytes of a description or of prose.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Tokens of an answer: a script, a manifest and some scenarios.
const ANSWER_TOKENS_MAX: u32 = 8_000;

/// What a runbook is to be drafted from; at least one of them.
#[derive(Debug, Clone, Default)]
pub struct Matter {
    /// In a sentence or a few: what it is to do.
    pub description: String,
    /// A runbook people follow by hand, in Markdown.
    pub prose: String,
    /// What was recorded of an incident, in words.
    pub incident: String,
    /// Labels of an alert it is for.
    pub labels: BTreeMap<String, String>,
    /// Name of a runbook whose next version it is to be.
    pub replaces: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    manifest: String,
    script: String,
    scenarios: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    text: String,
}

/// A draft that passed everything but the plan.
struct Sound {
    package: Package,
    scenarios: Vec<(String, Scenario)>,
    rehearsed: Vec<Rehearsed>,
}

impl Desk<'_> {
    /// Drafts a runbook and keeps it.
    ///
    /// # Errors
    /// When there is nothing to draft from, the model gives no answer, or no round ends with a sound draft.
    pub async fn generate(&self, matter: &Matter) -> Result<Draft, Error> {
        let older = match &matter.replaces {
            Some(name) => Some(self.older(name).await?),
            None => None,
        };
        let replaced = older.as_deref().map(shown).unwrap_or_default();
        let labels: Vec<String> = matter.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let labels = labels.join("\n");
        let parts = [
            ("the description", matter.description.as_str()),
            ("the runbook people follow by hand", matter.prose.as_str()),
            (prompt::INCIDENT, matter.incident.as_str()),
            ("the labels of the alert", labels.as_str()),
            ("the runbook whose next version this is to be", replaced.as_str()),
        ];
        let parts: Vec<(&str, &str)> = parts.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect();
        if parts.iter().all(|(_, text)| *text == replaced) {
            return Err(Error::Invalid("there is nothing to draft from".to_owned()));
        }
        if let Some((what, text)) = parts.iter().find(|(_, text)| text.len() > TEXT_BYTES_MAX) {
            return Err(Error::Invalid(format!("{what} has {} bytes, at most {TEXT_BYTES_MAX} are read", text.len())));
        }
        let mut messages = prompt::generate(self.model, &parts);
        let mut problems = Vec::new();
        for round in 1..=self.settings.rounds {
            let schema = Schema { name: "runbook".to_owned(), schema: prompt::generate_schema(), strict: true };
            let request = Request {
                schema: Some(schema),
                answer_tokens_max: ANSWER_TOKENS_MAX,
                ..Request::new(Purpose::Generate, messages.clone())
            };
            let answer = self.model.complete(request).await?.json.unwrap_or_default();
            let found = match self.sound_runbook(&answer, older.as_deref()).await {
                Ok(sound) => match self.finished(matter, sound, older.as_deref(), round).await? {
                    Ok(draft) => return Ok(draft),
                    Err(problem) => vec![problem],
                },
                Err(problems) => problems,
            };
            messages.extend(prompt::again(self.model, &answer, &found));
            problems = found;
        }
        Err(Error::Unsound { rounds: self.settings.rounds, problems })
    }

    /// The version it is compared with: the one that runs, else the newest.
    async fn older(&self, name: &str) -> Result<Arc<Package>, Error> {
        let current = self.library.find(name, None)?;
        let unknown = || library::Error::UnknownVersion { name: current.name, digest: current.digest.clone() };
        let package = self.library.package_by_digest(&current.digest).await?;
        Ok(package.ok_or_else(unknown)?)
    }

    /// Reads, compiles, checks and plays a draft.
    async fn sound_runbook(&self, answer: &Value, older: Option<&Package>) -> Result<Sound, Vec<String>> {
        let said: Said = serde_json::from_value(answer.clone())
            .map_err(|_| vec!["the answer has another form than was asked for".to_owned()])?;
        let scenarios = said.scenarios.into_iter().map(|scenario| (scenario.name, scenario.text)).collect();
        let files = package::generated(self.model.name(Purpose::Generate), &said.manifest, &said.script, &scenarios)?;
        let (package, warnings) = package::of(&files).map_err(|problems| package::told(&problems))?;
        self.called(&package, older).await?;
        let (mut problems, _) = package.examine(&self.runner.parts().sandbox).await;
        problems.extend(warnings);
        // A doubt is a mistake here: what is requested and not used is more than the least.
        if !problems.is_empty() {
            return Err(package::told(&problems));
        }
        let (scenarios, problems) = scenario::of(&package);
        if !problems.is_empty() {
            return Err(package::told(&problems));
        }
        let rehearsed = self.rehearsed(&package, &scenarios).await?;
        Ok(Sound { package, scenarios, rehearsed })
    }

    /// Its name and number are free, or those of the next version of what it replaces.
    async fn called(&self, package: &Package, older: Option<&Package>) -> Result<(), Vec<String>> {
        let name = &package.name;
        let known = self.library.name_of(name).is_ok_and(|known| known == *name);
        let problem = match older {
            None if known => format!("there is a runbook {name} already; give this one another name"),
            None => return Ok(()),
            Some(older) if older.name != *name => {
                format!("it is the next version of {}, so that is its name", older.name)
            }
            Some(_) if self.library.find(name, Some(&package.version)).is_ok() => {
                format!("there is a version {} of {name} already; give this one the next number", package.version)
            }
            Some(_) => return Ok(()),
        };
        Err(vec![problem])
    }

    /// Plays every scenario; what did not come out as it says is a problem.
    async fn rehearsed(
        &self,
        package: &Package,
        scenarios: &[(String, Scenario)],
    ) -> Result<Vec<Rehearsed>, Vec<String>> {
        let bench = Bench::new(self.runner.parts().sandbox.clone()).map_err(|error| vec![format!("{error:#}")])?;
        let (mut rehearsed, mut problems) = (Vec::new(), Vec::new());
        for (file, scenario) in scenarios {
            let Some(expect) = scenario.expect.as_ref().filter(|expect| expect.outcome.is_some()) else {
                problems.push(format!("{file} expects no outcome: write [expect] outcome = \"…\""));
                continue;
            };
            let played = bench.play(package, scenario).await;
            let place = played.place.map(|(line, column)| format!(" at main.rhai:{line}:{column}")).unwrap_or_default();
            for mismatch in judge(expect, &played) {
                let (outcome, sentence) = (played.outcome, &played.sentence);
                problems.push(format!("{file}: {} (it ended as {outcome}: {sentence}{place})", mismatch.said()));
            }
            rehearsed.push(Rehearsed {
                file: file.clone(),
                summary: scenario.summary.clone(),
                outcome: played.outcome.name().to_owned(),
                sentence: played.sentence,
            });
        }
        if problems.is_empty() { Ok(rehearsed) } else { Err(problems) }
    }

    /// Plans a sound draft on its sample alert and keeps it; or what its script did wrong in the real world.
    async fn finished(
        &self,
        matter: &Matter,
        sound: Sound,
        older: Option<&Package>,
        round: u32,
    ) -> Result<Result<Draft, String>, Error> {
        let Sound { package, scenarios, rehearsed } = sound;
        let package = Arc::new(package);
        let labels = sample(matter, &scenarios);
        let (plan, unplanned) = match labels {
            Some(labels) => match self.sampled(&package, labels).await {
                Ok(plan) => (Some(plan), None),
                Err(error) => (None, Some(error.to_string())),
            },
            None => (None, Some("no scenario has an alert to plan it for".to_owned())),
        };
        if let Some(plan) = &plan
            && (plan.fault.is_some() || (plan.outcome == Outcome::Failed.name() && plan.place.is_some()))
        {
            let place = plan.place.as_ref().map(|place| format!("line {}: ", place.line)).unwrap_or_default();
            return Ok(Err(format!("planned on the real world: {place}{}", plan.sentence)));
        }
        let uploaded = self.library.upload_draft(&package.to_tar(), self.by).await?;
        Ok(Ok(Draft {
            runbook: uploaded.name,
            version: uploaded.version,
            digest: uploaded.digest,
            stage: uploaded.stage.name().to_owned(),
            origin: package.origin.name().to_owned(),
            model: self.model.name(Purpose::Generate).to_owned(),
            rounds: round,
            power: super::power_of(&package),
            difference: older.map_or_else(|| of_new(&package), |older| between(older, &package)),
            files: files_of(&package),
            scenarios: rehearsed,
            plan,
            unplanned,
            needs: None,
        }))
    }

    /// The plan for an alert with those labels.
    async fn sampled(&self, package: &Arc<Package>, labels: BTreeMap<String, String>) -> Result<Plan, Error> {
        let now = i64::try_from(self.runner.parts().clock.now().unix_ms).unwrap_or_default();
        let alert = Alert {
            status: Status::Firing,
            labels,
            annotations: BTreeMap::new(),
            starts_at: jiff::Timestamp::from_millisecond(now).unwrap_or_default(),
            ends_at: None,
            generator_url: String::new(),
            fingerprint: "sample".to_owned(),
        };
        let (hint, parameters) = self.intake.aimed_at(&alert, &package.name);
        let request = plan::Request {
            package: package.clone(),
            stage: Stage::Draft,
            hint,
            alert: Some(input_of(&alert)),
            episode: None,
            parameters,
            assumptions: Vec::new(),
            by: self.by.to_owned(),
            notify: false,
            to_apply: false,
        };
        Ok(self.planner.make(request).await?)
    }
}

/// A runbook as a model is shown it, to write its next version.
fn shown(package: &Package) -> String {
    let file = |file: File| format!("{}:\n{}\n", file.name, file.text);
    files_of(package).into_iter().map(file).collect()
}

/// Labels of the alert it was asked for, else of the first scenario with one.
fn sample(matter: &Matter, scenarios: &[(String, Scenario)]) -> Option<BTreeMap<String, String>> {
    if !matter.labels.is_empty() {
        return Some(matter.labels.clone());
    }
    scenarios.iter().find_map(|(_, scenario)| scenario.alert.as_ref()).map(|alert| alert.labels.clone())
}
