//! From labels or a name to the one thing a run is about, inspected live.
//!
//! Never the first of several, never on labels alone: `no-target` and `ambiguous-target` are normal, reported outcomes.

use std::collections::BTreeMap;

use sandbook_core::effect::Scope;
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::manifest::TargetSpec;
use sandbook_core::matching::target_names;
use sandbook_core::target::{Kind, Reference, Resolved, Target};
use serde::{Deserialize, Serialize};

use super::HostMatch;
use super::drivers::Driver;

/// Label of our own metrics that names the Docker host.
const LABEL_HOST: &str = "host";

/// What a run is to be aimed at, as known when it was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Hint {
    /// A reference given by a person or a Docker event; wins over labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Labels of the alert.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Labels the operator's route takes the target from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_from: Vec<String>,
    /// The reviewed plan that it applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Who applies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_by: Option<String>,
    /// The Docker host it is about, where that was said; wins over what reference and labels mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Aimed {
    /// The runbook is about nothing in particular.
    Nothing {
        /// The host its names belong to.
        host: String,
    },
    /// One thing.
    At(Box<Resolved>),
    /// One run for each of these, which are one service.
    Each(Vec<String>),
    /// The labels name nothing that exists.
    NoTarget(String),
    /// They name several things.
    Ambiguous(String),
    /// It cannot be looked up now.
    Unreachable(Error),
}

/// Aims runs.
pub struct Aim {
    hosts: Vec<HostMatch>,
}

impl Aim {
    /// Aims among those hosts.
    pub fn new(hosts: Vec<HostMatch>) -> Aim {
        Aim { hosts }
    }

    /// The Docker host an alert belongs to: the one whose matchers hold, the one the label `host` names, or the only one.
    pub fn host(&self, labels: &BTreeMap<String, String>) -> Result<&str, String> {
        let holds = |host: &&HostMatch| !host.matchers.is_empty() && host.matchers.iter().all(|m| m.matches(labels));
        let matching: Vec<&HostMatch> = self.hosts.iter().filter(holds).collect();
        match matching[..] {
            [host] => return Ok(&host.name),
            [] => {}
            [..] => {
                let names: Vec<&str> = matching.iter().map(|host| host.name.as_str()).collect();
                return Err(format!("the labels match several Docker hosts: {}", names.join(", ")));
            }
        }
        let named = labels.get(LABEL_HOST).and_then(|name| self.hosts.iter().find(|host| &host.name == name));
        match (named, &self.hosts[..]) {
            (Some(host), _) => Ok(&host.name),
            (None, [only]) => Ok(&only.name),
            (None, hosts) => {
                let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
                Err(format!(
                    "the labels name none of the Docker hosts {}; set `match` under [docker.hosts.NAME]",
                    names.join(", ")
                ))
            }
        }
    }

    /// What the labels most probably mean, as `host/name`, without looking.
    pub fn guess(&self, spec: &TargetSpec, hint: &Hint) -> Option<String> {
        if spec.kind != Kind::Container {
            return None;
        }
        let host = self.host_of(hint).ok()?;
        let (_, name) = names(spec, hint).into_iter().next()?;
        Some(format!("{host}/{}", name.strip_prefix('/').unwrap_or(&name)))
    }

    /// Looks for the target.
    pub async fn find(&self, driver: &dyn Driver, spec: &TargetSpec, hint: &Hint) -> Aimed {
        let host = match self.host_of(hint) {
            Ok(host) => host.to_owned(),
            Err(why) => return Aimed::Ambiguous(why),
        };
        match spec.kind {
            Kind::None => Aimed::Nothing { host },
            Kind::Host => match driver.resolve(&host, &Scope::Host).await {
                Ok(resolved) => Aimed::At(Box::new(resolved)),
                Err(error) => Aimed::Unreachable(error),
            },
            Kind::Service => find_service(driver, &host, spec, hint).await,
            Kind::Container => find_container(driver, &host, spec, hint).await,
        }
    }

    fn host_of(&self, hint: &Hint) -> Result<&str, String> {
        if let Some(named) = &hint.host {
            let names = || self.hosts.iter().map(|host| host.name.as_str());
            let unknown =
                || format!("there is no Docker host {named}; there are {}", names().collect::<Vec<_>>().join(", "));
            return names().find(|name| name == named).ok_or_else(unknown);
        }
        if let Some(reference) = &hint.reference {
            let named = Reference::parse(reference).host;
            if let Some(host) = named.and_then(|name| self.hosts.iter().find(|host| host.name == name)) {
                return Ok(&host.name);
            }
            if let [first, ..] = &self.hosts[..]
                && hint.labels.is_empty()
            {
                return Ok(&first.name);
            }
        }
        self.host(&hint.labels)
    }
}

/// Names to try, in order: a reference, or the values of the labels.
fn names(spec: &TargetSpec, hint: &Hint) -> Vec<(String, String)> {
    match &hint.reference {
        Some(reference) => vec![("target".to_owned(), reference.clone())],
        None => target_names(&hint.labels, spec, &hint.target_from),
    }
}

async fn find_container(driver: &dyn Driver, host: &str, spec: &TargetSpec, hint: &Hint) -> Aimed {
    let names = names(spec, hint);
    let mut tried = Vec::new();
    for (label, value) in &names {
        match driver.resolve(host, &Scope::Container(value)).await {
            Ok(resolved) => return Aimed::At(Box::new(resolved)),
            Err(error) if error.kind == ErrorKind::NotFound => tried.push(format!("{label}=\"{value}\"")),
            // Either it names several, or it is no name at all: a label can hold anything.
            Err(error) if error.kind == ErrorKind::Invalid => match driver.members(host, value).await {
                Ok(members) if members.len() < 2 => tried.push(format!("{label}={value:?}")),
                Ok(members) if spec.each => {
                    return Aimed::Each(members.iter().map(|name| format!("{host}/{name}")).collect());
                }
                Ok(_) => return Aimed::Ambiguous(error.message),
                Err(error) => return Aimed::Unreachable(error),
            },
            Err(error) => return Aimed::Unreachable(error),
        }
    }
    if spec.each
        && let Some(aimed) = each_of_service(driver, host, spec, hint).await
    {
        return aimed;
    }
    Aimed::NoTarget(nothing(host, spec, &tried))
}

/// `each` also takes the members of the service the labels name.
async fn each_of_service(driver: &dyn Driver, host: &str, spec: &TargetSpec, hint: &Hint) -> Option<Aimed> {
    let service = TargetSpec { kind: Kind::Service, ..spec.clone() };
    for (_, value) in names(&service, hint) {
        match driver.members(host, &value).await {
            Ok(members) if !members.is_empty() => {
                return Some(Aimed::Each(members.iter().map(|name| format!("{host}/{name}")).collect()));
            }
            Ok(_) => {}
            Err(error) => return Some(Aimed::Unreachable(error)),
        }
    }
    None
}

async fn find_service(driver: &dyn Driver, host: &str, spec: &TargetSpec, hint: &Hint) -> Aimed {
    let mut tried = Vec::new();
    for (label, value) in names(spec, hint) {
        let name = value.strip_prefix(&format!("{host}/")).unwrap_or(&value).to_owned();
        match driver.members(host, &name).await {
            Ok(members) if members.is_empty() => tried.push(format!("{label}=\"{value}\"")),
            Ok(members) if spec.each => {
                return Aimed::Each(members.iter().map(|name| format!("{host}/{name}")).collect());
            }
            Ok(_) => {
                let target = Target { host: host.to_owned(), kind: Kind::Service, name, id: None };
                let subject = target.to_string();
                return Aimed::At(Box::new(Resolved { target, subject, facts: None, before: None }));
            }
            Err(error) => return Aimed::Unreachable(error),
        }
    }
    Aimed::NoTarget(nothing(host, spec, &tried))
}

fn nothing(host: &str, spec: &TargetSpec, tried: &[String]) -> String {
    let from = match spec.kind {
        Kind::Service => &spec.service_from,
        Kind::Container | Kind::Host | Kind::None => &spec.container_from,
    };
    if tried.is_empty() {
        format!("the alert has none of the labels {}; map it with `target_from` in a route", from.join(", "))
    } else {
        format!("nothing on host {host} is called {}", tried.join(" or "))
    }
}
