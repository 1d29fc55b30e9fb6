//! Drafts of a model: runbooks from a description ([`generate`]) and one-off plans from a sentence ([`ask`]).
//!
//! A model writes text and decides nothing. Its script is compiled, checked, played in scenarios and planned like
//! anybody's; what it may touch is derived from the code, never from what the model says of it; and guards that know no
//! model ([`sentence`], [`guard`]) decide whether a sentence becomes a plan, a question or a refusal. Whatever comes of
//! it is a version of origin `llm` in stage draft: it can be planned and simulated, and nothing more, until a person
//! trusts that very digest or applies that very plan.
//!
//! Deliberately not here: HTTP, how a review looks, and holding an applied plan to itself, which the gate does.

use sandbook_core::effect::docker::ContainerSummary;
use serde::{Deserialize, Serialize};

use crate::config::{Context, Drafts};
use crate::intake::Intake;
use crate::library;
use crate::library::difference::Difference;
use crate::library::{Library, Package, UploadError, power};
use crate::llm::{Fault, Model};
use crate::plan::{self, Plan, Planner};
use crate::runner::Runner;

pub mod ask;
pub mod generate;
pub mod guard;
mod package;
mod prompt;
pub mod sentence;
#[cfg(test)]
mod tests;

/// What drafting needs of a daemon.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Who writes.
    pub model: &'a Model,
    /// Where drafts go.
    pub library: &'a Library,
    /// Who plans them.
    pub planner: &'a Planner,
    /// What they are checked and played with.
    pub runner: &'a Runner,
    /// What an alert means.
    pub intake: &'a Intake,
    /// What they may be.
    pub settings: &'a Drafts,
    /// Docker hosts by name.
    pub hosts: &'a [String],
    /// Who asks.
    pub by: &'a str,
}

/// A file of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DraftFile)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// What came of a scenario of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DraftScenario)]
pub struct Rehearsed {
    pub file: String,
    pub summary: String,
    /// How it ended.
    pub outcome: String,
    /// In the runbook's words.
    pub sentence: String,
}

/// A draft that is kept, and everything a person needs to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Draft {
    pub runbook: String,
    pub version: String,
    pub digest: String,
    /// `draft`.
    pub stage: String,
    /// `llm`.
    pub origin: String,
    /// Which model wrote it.
    pub model: String,
    /// How often it was sent back before it was sound.
    pub rounds: u32,
    /// The most it can do, whatever anybody grants; derived from its manifest, to which the gate holds its code.
    #[schema(value_type = Object)]
    pub power: serde_json::Value,
    /// How it differs from the version it is to replace, where there is one; else all of it, as added.
    #[schema(value_type = Object)]
    pub difference: Difference,
    /// All of it, to be read.
    pub files: Vec<File>,
    /// Its scenarios, all of which came out as they say.
    pub scenarios: Vec<Rehearsed>,
    /// What it would do on the real world now, where there is something to do it to.
    pub plan: Option<Plan>,
    /// Why there is no plan.
    pub unplanned: Option<String>,
    /// What whoever asked for it lacks to apply its plan or to trust it with more; absent: nothing.
    #[serde(default)]
    pub needs: Option<String>,
}

/// A container as a sentence can mean it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Name of its Docker host.
    pub host: String,
    /// Its name.
    pub name: String,
    /// Docker's words: status, and health where there is a check.
    pub state: String,
    /// Image, compose project and service; shown to a model only where the configuration says so.
    pub more: Vec<String>,
    /// Compose service, for names that people use.
    pub service: Option<String>,
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The model gave no answer that can be used.
    #[error(transparent)]
    Model(#[from] Fault),
    /// Every round ended with something wrong.
    #[error("the model's draft was not sound after {rounds} rounds; the last one: {}", .problems.first().map_or("", String::as_str))]
    Unsound {
        /// How many.
        rounds: u32,
        /// What is wrong with the last one.
        problems: Vec<String>,
    },
    /// What it is to replace is not known, or cannot be read.
    #[error(transparent)]
    Library(#[from] library::Error),
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// It cannot be kept.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Desk<'_> {
    /// Everything the daemon sees, at most [`SEEN_MAX`], by host and name.
    async fn containers(&self) -> Result<Vec<Seen>, Error> {
        let mut all = Vec::new();
        for host in self.hosts {
            let listed = self.runner.parts().driver.containers(host).await;
            let listed = listed.map_err(|error| Error::Plan(plan::Error::Unreachable(error.to_string())))?;
            all.extend(listed.into_iter().map(|container| seen(host, container)));
        }
        all.sort_by(|a, b| (&a.host, &a.name).cmp(&(&b.host, &b.name)));
        all.truncate(SEEN_MAX);
        Ok(all)
    }

    /// A container in one line, as the model is shown it.
    fn shown(&self, container: &Seen) -> String {
        let more = match self.settings.context {
            Context::Names => String::new(),
            Context::Images => container.more.join(" "),
        };
        format!("{}/{} {} {more}", container.host, container.name, container.state).trim_end().to_owned()
    }
}

/// The most a package can do, as `sandbook inspect` says it.
fn power_of(package: &Package) -> serde_json::Value {
    serde_json::to_value(power::of(&package.manifest)).unwrap_or_default()
}

/// Containers a sentence is compared with: what a machine runs, and what a model can read.
pub const SEEN_MAX: usize = 500;

fn seen(host: &str, container: ContainerSummary) -> Seen {
    let ContainerSummary { name, image, status, status_text, project, service, .. } = container;
    let status = serde_json::to_value(status).ok().and_then(|word| word.as_str().map(str::to_owned));
    let health = ["unhealthy", "healthy"].into_iter().find(|word| status_text.contains(&format!("({word})")));
    let state: Vec<String> = status.into_iter().chain(health.map(str::to_owned)).collect();
    let more = [Some(image), project, service.clone()].into_iter().flatten().collect();
    Seen { host: host.to_owned(), name, state: state.join(", "), more, service }
}
