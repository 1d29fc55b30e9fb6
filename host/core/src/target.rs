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
    /// Why nothing may change it, whatever policy says: a clause such as "its label … protects it".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shield: Option<String>,
    /// That somebody stopped it on request; absent while it runs, and where nothing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

/// A container that was stopped on request, by a person or by this engine: Docker does not say who.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// When it ended, RFC 3339 by the engine's clock; absent where the engine does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// Compose's label with the project's name.
pub const LABEL_PROJECT: &str = "com.docker.compose.project";
/// Compose's label with the service's name.
pub const LABEL_SERVICE: &str = "com.docker.compose.service";
/// Compose's label with the number of the replica.
pub const LABEL_NUMBER: &str = "com.docker.compose.container-number";
/// Any value but `false` keeps every mutating effect away, whatever policy says.
pub const LABEL_PROTECT: &str = "sandbook.protect";
/// Any value but `false` says that this engine runs in the container: where neither its cgroup nor its name tells.
pub const LABEL_SELF: &str = "sandbook.self";
/// Compose's label with what a service depends on, such as `db:service_healthy:false,cache:service_started:true`.
pub const LABEL_DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// Whether a label is there with any value but `false`.
pub fn labelled(labels: &BTreeMap<String, String>, key: &str) -> bool {
    labels.get(key).is_some_and(|value| value != "false")
}

/// Services that compose's label says a container depends on.
pub fn depends_on(labels: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let list = labels.get(LABEL_DEPENDS_ON).map_or("", String::as_str);
    list.split(',').filter_map(|entry| entry.split(':').next()).map(str::trim).filter(|name| !name.is_empty())
}

/// Why the engine's own container is shielded.
pub const OWN: &str = "this engine runs in it";

impl Facts {
    /// Facts with project, service and number taken from compose's labels, and shielded where a label says so.
    pub fn from_labels(image: String, state: String, labels: BTreeMap<String, String>) -> Facts {
        let get = |key: &str| labels.get(key).filter(|value| !value.is_empty()).cloned();
        let shield = if labelled(&labels, LABEL_SELF) {
            Some(OWN.to_owned())
        } else {
            labelled(&labels, LABEL_PROTECT).then(|| format!("its label {LABEL_PROTECT} protects it"))
        };
        Facts {
            shield,
            stop: None,
            project: get(LABEL_PROJECT),
            service: get(LABEL_SERVICE),
            number: get(LABEL_NUMBER),
            image,
            state,
            labels,
        }
    }

    /// Whether it is the container this engine runs in.
    pub fn is_own(&self) -> bool {
        self.shield.as_deref() == Some(OWN)
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
