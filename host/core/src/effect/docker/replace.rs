//! Effects that make and unmake containers: recreating one, removing one, and how many a service has.
//!
//! Deliberately not here: the steps of a recreation and its way back (the host's driver), and volumes, which nothing here
//! removes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ARGV_BYTES_MAX, ContainerState, GRACE_MS_MAX, REFERENCE_BYTES_MAX, Resources, check_resources};
use crate::effect::{Class, MARGIN_MS, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// How long a new instance may take to be healthy when the request does not say, in milliseconds.
pub const HEALTHY_WITHIN_MS_DEFAULT: u64 = 60_000;
/// How long at the most: the old one is down meanwhile.
pub const HEALTHY_WITHIN_MS_MAX: u64 = 300_000;
/// How long an instance without a health check must run to count as well, in milliseconds: what exits at once is not.
pub const RUNS_FOR_MS: u64 = 3_000;
/// Containers a service has at the most: a typing error must not start a thousand.
pub const REPLICAS_MAX: u32 = 100;
/// Bytes of everything a recreation changes, at the most.
const OPTIONS_BYTES_MAX: usize = 64 * 1024;
/// Calls of a recreation and of its way back that wait for nothing, in milliseconds: a dozen, each well below a second.
const CALLS_MS: u64 = 60_000;
/// How long making and starting one container takes at the most, in milliseconds.
const EACH_MS: u64 = 5_000;
/// Labels that say who a container is, or what Sandbook may do with it: they stay.
const LABELS_KEPT: [&str; 3] = ["com.docker.compose.", "com.docker.swarm.", "sandbook."];

/// What is different about the new instance; what is absent stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct RecreateOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_environment: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<NewMount>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_within_ms: Option<u64>,
}

impl RecreateOptions {
    /// How long the new instance may take to be well, in milliseconds.
    pub fn healthy_within_ms(&self) -> u64 {
        self.healthy_within_ms.unwrap_or(HEALTHY_WITHIN_MS_DEFAULT)
    }

    /// What of the configuration is changed, in the words policies use.
    pub fn changes(&self) -> Vec<&'static str> {
        let all = [
            ("image", self.image.is_some()),
            ("environment", self.environment.is_some() || self.remove_environment.is_some()),
            ("command", self.command.is_some()),
            ("mounts", self.mounts.is_some()),
            ("labels", self.labels.is_some() || self.remove_labels.is_some()),
            ("limits", self.limits.is_some()),
            ("network", self.network_of.is_some()),
        ];
        all.into_iter().filter(|(_, changed)| *changed).map(|(word, _)| word).collect()
    }
}

/// Where a mount comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum MountKind {
    Bind,
    Volume,
    Tmpfs,
}

/// A mount of the new instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct NewMount {
    pub kind: MountKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub destination: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
}

/// What a recreation left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Recreated {
    pub name: String,
    pub id: String,
    pub old_id: String,
    pub image: String,
    pub state: ContainerState,
}

/// How a container is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveOptions {
    /// Kills it first when it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Removed {
    pub name: String,
    pub id: String,
}

/// How a service is scaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ScaleOptions {
    /// Grace before the kill of those that go, at most [`GRACE_MS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// How many there were and are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Scaled {
    pub changed: bool,
    pub before: u32,
    pub after: u32,
    pub created: Vec<String>,
    pub removed: Vec<String>,
}

container_op! {
    /// Replaces a container by a new instance; a saga with a way back.
    RecreateContainer { options: Box<RecreateOptions> } -> Recreated, "docker.recreate-container", Mutate, Look,
    deadline HEALTHY_WITHIN_MS_MAX + 2 * GRACE_MS_MAX + CALLS_MS, bytes super::CHANGE_BYTES,
    |op| check_recreate(&op.options),
    // Stopping the old one and, on the way back, the new one.
    wait |op| op.options.healthy_within_ms() + 2 * op.options.grace_ms.unwrap_or(GRACE_MS_MAX) + CALLS_MS
}
container_op! {
    /// Removes a container, never its volumes.
    RemoveContainer { options: RemoveOptions } -> Removed, "docker.remove-container", Mutate, Look,
    deadline 30_000, bytes super::CHANGE_BYTES, |_op| Ok(()), wait |_op| 30_000
}

/// Sets how many containers a service has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleService {
    /// Handle, `project/service`, `service`, or `host/project/service`.
    pub service: String,
    /// From 1 to [`REPLICAS_MAX`]: the last one is what others are made after.
    pub replicas: u32,
    /// How.
    #[serde(default)]
    pub options: ScaleOptions,
}

impl Op for ScaleService {
    type Output = Scaled;
    const NAME: &'static str = "docker.scale-service";
    const CLASS: Class = Class::Mutate;
    const DEADLINE_MS: u64 = GRACE_MS_MAX + REPLICAS_MAX as u64 * EACH_MS + MARGIN_MS;
    const OUTPUT_BYTES_MAX: usize = 64 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Look
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Service(&self.service)
    }
    fn validate(&self) -> Result<(), Error> {
        if self.service.is_empty() {
            return Err(Error::invalid("service is empty"));
        }
        check_text("service", &self.service, REFERENCE_BYTES_MAX)?;
        check_range("replicas", Some(self.replicas), 1, REPLICAS_MAX)?;
        check_range("grace_ms", self.options.grace_ms, 0, GRACE_MS_MAX)
    }
    fn deadline_ms(&self) -> u64 {
        // Those that go are stopped at once.
        self.options.grace_ms.unwrap_or(GRACE_MS_MAX)
            + u64::from(REPLICAS_MAX.min(self.replicas)) * EACH_MS
            + CALLS_MS / 2
    }
}

fn check_recreate(options: &RecreateOptions) -> Result<(), Error> {
    check_range("grace_ms", options.grace_ms, 0, GRACE_MS_MAX)?;
    check_range("healthy_within_ms", options.healthy_within_ms, 1_000, HEALTHY_WITHIN_MS_MAX)?;
    if options.image.as_deref().is_some_and(|image| image.trim().is_empty() || image.contains(char::is_whitespace)) {
        return Err(Error::invalid("image is no name of an image, such as `shop/web:1.4`"));
    }
    if let Some(command) = &options.command {
        check_range("command bytes", Some(command.iter().map(String::len).sum()), 1, ARGV_BYTES_MAX)?;
    }
    let named = options.environment.iter().flat_map(BTreeMap::keys).chain(options.remove_environment.iter().flatten());
    if let Some(name) = named.into_iter().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(Error::invalid(format!("environment: `{}` is no name of a variable", name.escape_debug())));
    }
    let labels = options.labels.iter().flat_map(BTreeMap::keys).chain(options.remove_labels.iter().flatten());
    if let Some(label) = labels.into_iter().find(|label| LABELS_KEPT.iter().any(|kept| label.starts_with(kept))) {
        return Err(Error::invalid(format!("label `{label}` says who the container is; it cannot be changed")));
    }
    for mount in options.mounts.iter().flatten() {
        check_mount(mount)?;
    }
    if let Some(limits) = &options.limits {
        check_resources(limits)?;
    }
    check_text("network_of", options.network_of.as_deref().unwrap_or(""), REFERENCE_BYTES_MAX)?;
    let bytes = serde_json::to_string(options).map_or(0, |text| text.len());
    check_range("options bytes", Some(bytes), 0, OPTIONS_BYTES_MAX)
}

fn check_mount(mount: &NewMount) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::invalid(format!("mount at `{}`: {why}", mount.destination)));
    if !mount.destination.starts_with('/') || mount.destination == "/" {
        return wrong("its destination must be a path below /");
    }
    match (mount.kind, mount.source.as_deref()) {
        (MountKind::Bind, Some(source)) if source.starts_with('/') && !source.contains(':') => Ok(()),
        (MountKind::Bind, _) => wrong("a bind needs a path of the host as source"),
        (MountKind::Volume, Some(source)) if !source.is_empty() && !source.contains(['/', ':']) => Ok(()),
        (MountKind::Volume, _) => wrong("a volume needs a name as source"),
        (MountKind::Tmpfs, None) => Ok(()),
        (MountKind::Tmpfs, Some(_)) => wrong("tmpfs has no source"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::effect::Effect;

    fn check(name: &str, arguments: serde_json::Value) -> Result<(), Error> {
        Effect::from_arguments(name, arguments).and_then(|effect| effect.validate())
    }

    #[test]
    fn a_recreation_keeps_who_the_container_is() {
        let with = |options| check("docker.recreate-container", json!({"container": "web", "options": options}));
        assert!(with(json!({})).is_ok());
        assert!(with(json!({"image": "shop/web:2", "labels": {"team": "shop"}, "limits": {"cpus": 0.5}})).is_ok());
        for (options, named) in [
            (json!({"labels": {"sandbook.protect": "false"}}), "cannot be changed"),
            (json!({"remove_labels": ["com.docker.compose.project"]}), "cannot be changed"),
            (json!({"image": " "}), "image"),
            (json!({"environment": {"A=B": "c"}}), "A=B"),
            (json!({"limits": {}}), "resources is empty"),
            (json!({"command": []}), "command"),
            (json!({"healthy_within_ms": 300_001}), "healthy_within_ms"),
            (json!({"mounts": [{"kind": "bind", "source": "data", "destination": "/data"}]}), "a path of the host"),
            (json!({"mounts": [{"kind": "volume", "source": "/data", "destination": "/data"}]}), "needs a name"),
            (json!({"mounts": [{"kind": "tmpfs", "destination": "/"}]}), "below /"),
        ] {
            let error = with(options).expect_err(named);
            assert!(error.message.contains(named), "{error}");
        }
    }

    #[test]
    fn a_service_has_a_bounded_number_of_containers() {
        let with = |replicas: u32| check("docker.scale-service", json!({"service": "shop/web", "replicas": replicas}));
        assert!(with(1).is_ok() && with(REPLICAS_MAX).is_ok());
        assert!(with(0).is_err() && with(REPLICAS_MAX + 1).is_err());
    }
}
