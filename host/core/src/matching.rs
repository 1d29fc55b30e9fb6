//! Which runbook an alert or a Docker event means, which target its labels name, and why, in sentences for people.
//!
//! The operator's routes come first, then the manifests' triggers, the most specific first; one runbook an episode unless
//! one says `continue`. The same function serves the daemon and `sandbook match`, so that what is explained is what
//! happens. Deliberately not here: whether a target exists, stages, silences and brakes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{manifest::Manifest, manifest::TargetSpec, target::Kind};

mod choose;
mod matcher;
#[cfg(test)]
mod tests;

pub use choose::{choose, choose_event, fits};
pub use matcher::{Matcher, Op};

/// The operator's own wiring: `[[routes]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// All must hold; none at all never matches.
    #[serde(rename = "match", default)]
    pub matchers: Vec<Matcher>,
    /// The runbook's name.
    pub runbook: String,
    /// Labels that name the target, instead of the manifest's.
    #[serde(default)]
    pub target_from: Vec<String>,
    /// Values by name, still as text; the manifest types them.
    #[serde(default, deserialize_with = "scalars")]
    pub parameters: BTreeMap<String, String>,
    /// Higher goes first; equal ones in the order of the configuration.
    #[serde(default)]
    pub priority: i32,
    /// Goes on to the next route, and to triggers.
    #[serde(rename = "continue", default)]
    pub continue_: bool,
}

/// Texts by name from texts, numbers and flags, so that `retries = 3` needs no quotes.
fn scalars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text, a number, true or false")]
    enum Scalar {
        Text(String),
        Integer(i64),
        Number(f64),
        Flag(bool),
    }
    let scalars = BTreeMap::<String, Scalar>::deserialize(deserializer)?;
    let text = |scalar| match scalar {
        Scalar::Text(text) => text,
        Scalar::Integer(number) => number.to_string(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Flag(flag) => flag.to_string(),
    };
    Ok(scalars.into_iter().map(|(name, scalar)| (name, text(scalar))).collect())
}

/// A runbook that may be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What routes call it.
    pub name: &'a str,
    /// Its manifest, of the version in effect.
    pub manifest: &'a Manifest,
}

/// What led to a runbook, by its place from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// In the operator's list of routes.
    Route(usize),
    /// In the runbook's own list of triggers.
    Trigger(usize),
}

/// A runbook that is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// Its name.
    pub runbook: String,
    /// What led to it.
    pub via: Via,
    /// A sentence.
    pub why: String,
}

/// A route or trigger that led to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The runbook's name; for a route maybe one that does not exist.
    pub runbook: String,
    /// Which of its ways.
    pub via: Via,
    /// It matched, but something else was chosen.
    pub matched: bool,
    /// A sentence.
    pub why: String,
}

/// What was chosen, and everything that was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Choice {
    /// In the order of choosing; each runbook once. Usually one or none.
    pub chosen: Vec<Chosen>,
    /// The others, in the order they were looked at; those chosen are not repeated.
    pub considered: Vec<Considered>,
}

/// Compose's project as labels of cAdvisor and of exporters have it.
const PROJECT_LABELS: [&str; 2] = ["project", "container_label_com_docker_compose_project"];

/// What the labels say the target may be, best first: the label's name and the value as a target's name. A route's labels
/// replace the manifest's. A service becomes `project/service` where a label names the project, a host loses its port.
pub fn target_names(
    labels: &BTreeMap<String, String>,
    spec: &TargetSpec,
    route_from: &[String],
) -> Vec<(String, String)> {
    let from = match spec.kind {
        Kind::None => return Vec::new(),
        _ if !route_from.is_empty() => route_from,
        Kind::Container => &spec.container_from,
        Kind::Service => &spec.service_from,
        Kind::Host => &spec.host_from,
    };
    let value = |label: &str| {
        let text = labels.get(label)?.trim();
        let text = text.strip_prefix('/').unwrap_or(text);
        (!text.is_empty()).then_some(text)
    };
    let project = PROJECT_LABELS.into_iter().find_map(value);
    let mut names: Vec<(String, String)> = Vec::new();
    for label in from {
        let Some(text) = value(label) else { continue };
        let name = match (spec.kind, project) {
            (Kind::Service, Some(project)) if !text.contains('/') => format!("{project}/{text}"),
            (Kind::Host, _) => without_port(text).to_owned(),
            (Kind::Service | Kind::Container | Kind::None, _) => text.to_owned(),
        };
        if names.iter().all(|(_, known)| *known != name) {
            names.push((label.clone(), name));
        }
    }
    names
}

/// `web1:9100` is the host `web1`; a bare IPv6 address keeps its colons.
fn without_port(instance: &str) -> &str {
    match instance.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        Some(_) | None => instance,
    }
}
