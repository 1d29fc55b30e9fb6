//! Hosts, subjects and instances: what a run is about and what an effect touches.
//!
//! A *subject* is what keeps its identity when a container is recreated (host + compose project/service/number, else
//! host + name): locks, brakes and success rates are keyed by it. An *instance* is a container id: acts bind to it.
//! Deliberately not here: looking anything up. Resolving a name is the host's work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What kind of thing a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One container.
    #[default]
    Container,
    /// A compose or swarm service: `project/service`.
    Service,
    /// A Docker host.
    Host,
    /// The runbook is about nothing in particular.
    None,
}

/// What a run is about, or what an effect touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The host's name in the configuration.
    pub host: String,
    /// What kind of thing.
    pub kind: Kind,
    /// Container name, `project/service`, host name, URL host or channel.
    pub name: String,
    /// The instance; absent for services and hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Target {
    /// What a guest passes back: `host/name`. Stable when the container is recreated.
    pub fn handle(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

/// A container reference of a guest, split: `name` is on the run's own host, `host/name` names one.
/// `host/project/service` is a service. Container names contain no `/` (Docker's own rule).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Absent: the run's own host.
    pub host: Option<String>,
    /// Container name or id, or `project/service`.
    pub name: String,
}

impl Reference {
    /// Splits `name`, `host/name` or `host/project/service`; a leading `/` (Docker's spelling) is dropped.
    pub fn parse(text: &str) -> Reference {
        let text = text.strip_prefix('/').unwrap_or(text);
        match text.split_once('/') {
            Some((host, name)) => Reference { host: Some(host.to_owned()), name: name.to_owned() },
            None => Reference { host: None, name: text.to_owned() },
        }
    }
}

/// A container as policy, locks and plans see it. Built by the host from a fresh look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Facts {
    /// Container image as configured, such as `nginx:1.27`.
    pub image: String,
    /// Docker's state word, such as `running`.
    pub state: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Compose project, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Compose service, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Compose container number, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// Compose's label with the project's name.
pub const LABEL_PROJECT: &str = "com.docker.compose.project";
/// Compose's label with the service's name.
pub const LABEL_SERVICE: &str = "com.docker.compose.service";
/// Compose's label with the number of the replica.
pub const LABEL_NUMBER: &str = "com.docker.compose.container-number";
/// Any value but `false` keeps every mutating effect away, whatever policy says.
pub const LABEL_PROTECT: &str = "sandbook.protect";

impl Facts {
    /// Facts with project, service and number taken from compose's labels.
    pub fn from_labels(image: String, state: String, labels: BTreeMap<String, String>) -> Facts {
        let get = |key: &str| labels.get(key).filter(|value| !value.is_empty()).cloned();
        Facts {
            project: get(LABEL_PROJECT),
            service: get(LABEL_SERVICE),
            number: get(LABEL_NUMBER),
            image,
            state,
            labels,
        }
    }

    /// Whether the label `sandbook.protect` shields it.
    pub fn protected(&self) -> bool {
        self.labels.get(LABEL_PROTECT).is_some_and(|value| value != "false")
    }

    /// The subject's key: host + compose identity, else host + name.
    pub fn subject(&self, host: &str, name: &str) -> String {
        match (&self.project, &self.service) {
            (Some(project), Some(service)) => {
                format!("{host}/{project}/{service}/{}", self.number.as_deref().unwrap_or("1"))
            }
            (None, _) | (_, None) => format!("{host}/{name}"),
        }
    }
}

/// What resolving a reference found: who it is, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Canonical target.
    pub target: Target,
    /// Key of locks and brakes.
    pub subject: String,
    /// What policy sees. Absent where the target is no container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// What recovery compares with after a crash: the state before the effect, as the effect's own driver reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
}
