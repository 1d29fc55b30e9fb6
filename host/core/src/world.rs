//! The one simulated Docker world: the overlay of plans, the world of scenarios and the stage of the demo.
//!
//! A [`World`] is data: what exists, what time it is and what will happen when. [`World::perform`] answers an effect
//! the way Docker 20.10 and later do as a runbook sees it through a driver, and [`World::advance`] lets time pass. The
//! same world and the same sequence of effects always give the same answers and the same world: that is what makes a
//! plan, a scenario and a test repeatable. What of Docker is modelled and what is not stands in [`conformance`].
//!
//! Scenario files are worlds in TOML. Whatever is left out has a sensible default, so a container is three lines:
//!
//! ```toml
//! [hosts.local.containers.web]
//! image = "nginx:1.27"
//! health = "unhealthy"
//! ```
//!
//! Deliberately not here: permission (the gate has decided before), parsing of PromQL (answers are a table), and
//! anything that reads a real clock or draws a real random number.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::effect::Effect;
use crate::error::ErrorKind;

mod ambient;
mod changes;
pub mod conformance;
pub mod container;
mod demo;
mod disk;
mod life;
mod logs;
mod moment;
mod outside;
pub mod parts;
mod perform;
mod reads;
mod replace;
mod resolve;
mod settle;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use container::{Container, Due, Life, LogLine, Program, Stopping, What};
pub use moment::Moment;
pub use outside::{Endpoint, Metric, MetricSample};

/// Time of a world that does not say: 2026-01-01T00:00:00Z, in milliseconds since 1970.
pub const NOW_MS_DEFAULT: u64 = 1_767_225_600_000;
/// The latest time a world can show: 9999-12-30T00:00:00Z. Its clock stops there.
pub const NOW_MS_MAX: u64 = 253_402_128_000_000;
/// How far one [`World::advance`] goes at the most, in milliseconds: longer than any sleep, short enough for a crash
/// loop to stay cheap.
pub const ADVANCE_MS_MAX: u64 = 31 * 86_400_000;
/// Events a host remembers: as many as Docker keeps in memory.
pub const EVENTS_KEPT_MAX: usize = 256;
/// Notifications and requests a world remembers, each.
pub const SENT_KEPT_MAX: usize = 1_000;

/// A simulated world. Plain data: clone it, compare it, store it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct World {
    /// What time it is, in milliseconds since 1970; a file may say it as RFC 3339. At most [`NOW_MS_MAX`].
    #[serde(deserialize_with = "moment::absolute")]
    pub now_ms: u64,
    /// State of the generator behind `random.random-u64`.
    pub seed: u64,
    /// Docker hosts by their name in the configuration.
    pub hosts: BTreeMap<String, Host>,
    /// What the metrics source answers. A query that is not listed has an empty result, as in Prometheus.
    pub metrics: Vec<Metric>,
    /// What can be reached over the network. What is not listed cannot.
    pub endpoints: Vec<Endpoint>,
    /// Calls that fail.
    pub faults: Vec<Fault>,
    /// What people answer, by question; else a question's fallback or first option counts.
    pub answers: BTreeMap<String, String>,
    /// Alerts that Alertmanager holds.
    pub alerts: Vec<parts::KnownAlert>,
    /// Its silences.
    pub silences: Vec<parts::KnownSilence>,
    /// What Loki answers. A query that is not listed finds nothing.
    pub loki: Vec<parts::LogAnswer>,
    /// What the language model answers; without one that fits, the declared fallback is the answer.
    pub model: Vec<parts::ModelAnswer>,
    /// Earlier incidents like the run's.
    pub incidents: Vec<crate::effect::incidents::Incident>,
    /// The runbook's own memory.
    pub memory: BTreeMap<String, String>,
    /// Messages sent, oldest first; at most [`SENT_KEPT_MAX`].
    pub notifications: Vec<Notification>,
    /// HTTP requests made, oldest first; at most [`SENT_KEPT_MAX`].
    pub requests: Vec<RequestMade>,
    /// Exit codes of programs that ran inside containers, by the id they were started with; none while one runs.
    #[serde(skip)]
    pub execs: BTreeMap<String, Option<i32>>,
}

/// One Docker host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// By name.
    #[serde(deserialize_with = "settle::named")]
    pub containers: BTreeMap<String, Container>,
    /// What the engine reported, oldest first; at most [`EVENTS_KEPT_MAX`].
    pub events: Vec<HostEvent>,
    /// Images that are there. When none is listed, every image is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<HostImage>,
    /// Networks that are there beside those containers are connected to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Swarm services and how many containers each has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, u32>,
    /// Bytes of build cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub build_cache_bytes: u64,
    /// Bytes of volumes.
    #[serde(skip_serializing_if = "is_zero")]
    pub volumes_bytes: u64,
}

// Serde asks with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An image of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostImage {
    /// Derived from tag and size when empty.
    pub id: String,
    /// None: it is dangling.
    pub tags: Vec<String>,
    /// How large.
    pub size_bytes: u64,
    /// Default a week ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Moment>,
}

/// One event of a host's engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEvent {
    /// When.
    pub at: Moment,
    /// Docker's word, such as `die` or `health_status: unhealthy`.
    pub action: String,
    /// Container name.
    pub container: String,
    /// Of `die`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A call that fails. Each fault counts the calls it matches by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Effect name, such as `docker.restart-container`.
    pub effect: String,
    /// Only calls about this container: `name` or `host/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The first matching call that fails, counted from 1.
    pub call: u32,
    /// How many calls fail from there on.
    pub times: u32,
    /// What the caller gets. `timeout` lets the effect's whole deadline pass.
    pub error: ErrorKind,
    /// The error's text; empty for a plain one.
    pub message: String,
    /// Whether the effect happened although its answer was lost.
    pub happened: bool,
    /// Matching calls so far.
    pub seen: u32,
}

impl Default for Fault {
    fn default() -> Self {
        Fault {
            effect: String::new(),
            container: None,
            call: 1,
            times: 1,
            error: ErrorKind::Failed,
            message: String::new(),
            happened: false,
            seen: 0,
        }
    }
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Where to.
    pub channel: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub text: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// Messages with the same key are one incident.
    pub dedup_key: String,
}

/// An HTTP request that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMade {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// As sent, such as `POST`.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Empty without one.
    pub body: String,
}

/// A container of a world: what acts bind to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) host: String,
    pub(crate) name: String,
}

impl Default for World {
    fn default() -> Self {
        World::new(NOW_MS_DEFAULT)
    }
}

impl Serialize for World {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        World::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for World {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<World, D::Error> {
        let mut world = World::deserialize(deserializer)?;
        world.settle().map_err(|problem| serde::de::Error::custom(problem.message))?;
        Ok(world)
    }
}

impl World {
    /// A world without hosts at that time, in milliseconds since 1970, at most [`NOW_MS_MAX`].
    pub fn new(now_ms: u64) -> World {
        World {
            now_ms: now_ms.min(NOW_MS_MAX),
            seed: 0,
            hosts: BTreeMap::new(),
            metrics: Vec::new(),
            endpoints: Vec::new(),
            faults: Vec::new(),
            answers: BTreeMap::new(),
            alerts: Vec::new(),
            silences: Vec::new(),
            loki: Vec::new(),
            model: Vec::new(),
            incidents: Vec::new(),
            memory: BTreeMap::new(),
            notifications: Vec::new(),
            requests: Vec::new(),
            execs: BTreeMap::new(),
        }
    }

    /// A world from a scenario file. The problem reads `file:line: what is wrong`, lines counted from 1.
    pub fn from_toml(text: &str, file: &str) -> Result<World, String> {
        let placed = |offset: usize, message: &str| {
            let line = text.get(..offset).unwrap_or(text).matches('\n').count() + 1;
            format!("{file}:{line}: {}", message.trim())
        };
        let parsed = toml::Deserializer::parse(text).and_then(World::deserialize);
        let mut world = parsed.map_err(|error| placed(error.span().map_or(0, |span| span.start), error.message()))?;
        world.settle().map_err(|problem| placed(text.find(&problem.near).unwrap_or(0), &problem.message))?;
        Ok(world)
    }

    /// Adds a container, and the host where it is new. A container of that name is replaced. What the container leaves
    /// open (id, times) is filled in as in a scenario file.
    pub fn add_container(&mut self, host: &str, mut container: Container) -> &mut World {
        settle::fill(&mut container, host, self.now_ms);
        self.hosts.entry(host.to_owned()).or_default().containers.insert(container.name.clone(), container);
        self
    }

    /// A container by host and name.
    pub fn container(&self, host: &str, name: &str) -> Option<&Container> {
        self.hosts.get(host)?.containers.get(name)
    }

    /// A container by host and name, to be changed by hand.
    pub fn container_mut(&mut self, host: &str, name: &str) -> Option<&mut Container> {
        self.hosts.get_mut(host)?.containers.get_mut(name)
    }

    /// Appends an event and forgets the oldest beyond [`EVENTS_KEPT_MAX`].
    pub(crate) fn note_event(&mut self, seat: &Seat, action: &str, exit_code: Option<i32>) {
        let at = Moment::At(self.now_ms);
        let Some(host) = self.hosts.get_mut(&seat.host) else { return };
        let (action, container) = (action.to_owned(), seat.name.clone());
        host.events.push(HostEvent { at, action, container, exit_code });
        let beyond = host.events.len().saturating_sub(EVENTS_KEPT_MAX);
        host.events.drain(..beyond);
    }

    /// The fault that strikes this call, if any; counts the call for every fault it matches.
    fn strike(&mut self, effect: &Effect, seat: Option<&Seat>) -> Option<Fault> {
        let mut struck = None;
        for fault in &mut self.faults {
            let about = match (&fault.container, seat) {
                (None, _) => true,
                (Some(name), Some(seat)) => *name == seat.name || *name == format!("{}/{}", seat.host, seat.name),
                (Some(_), None) => false,
            };
            if fault.effect != effect.name() || !about {
                continue;
            }
            fault.seen = fault.seen.saturating_add(1);
            if fault.seen >= fault.call && fault.seen - fault.call < fault.times && struck.is_none() {
                struck = Some(fault.clone());
            }
        }
        struck
    }
}
