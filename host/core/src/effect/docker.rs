//! Effects on containers. Reads are `observe`, changes are `mutate` and settled by looking, `exec` by its exec id.
//!
//! Deliberately not here: talking to Docker (the host's driver) and behaving like it ([`crate::world`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, MARGIN_MS, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Longest stop grace a guest may ask for, in milliseconds: a run's wall time is minutes, not hours.
pub const GRACE_MS_MAX: u64 = 300_000;
/// Docker's own default grace, in milliseconds, when neither request nor container names one.
pub const GRACE_MS_DEFAULT: u64 = 10_000;
/// Longest container reference: host and name, each at most 255 bytes, and room for a service.
pub const REFERENCE_BYTES_MAX: usize = 600;
/// Longest argument vector of an exec in bytes: what a kernel takes is 128 KiB, what a runbook needs is far less.
pub const ARGV_BYTES_MAX: usize = 32 * 1024;

/// Container status, Docker's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Status {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

/// Health as the engine's health check reports it; `none` without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Health {
    #[default]
    None,
    Starting,
    Healthy,
    Unhealthy,
}

/// The state of a container as a runbook sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ContainerState {
    /// Docker's state word.
    pub status: Status,
    /// Of its health check.
    pub health: Health,
    /// Of the last exit; absent while it never exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the kernel killed it for memory. The flag can miss kills of children (moby).
    pub oom_killed: bool,
    /// What went wrong at the last start.
    pub error: String,
    /// RFC 3339; compared for equality only, never with another clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Restarts by the restart policy since creation.
    pub restart_count: u32,
}

/// What a change left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// False when it was already so.
    pub changed: bool,
    /// Afterwards.
    pub state: ContainerState,
}

/// Which containers to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerFilter {
    /// Also those that do not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// Shell-style pattern on the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `key` or `key=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Compose project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Compose service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ContainerSummary {
    pub name: String,
    pub id: String,
    pub host: String,
    pub image: String,
    pub status: Status,
    pub status_text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// One probe of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HealthProbe {
    pub started_at: String,
    pub exit_code: i32,
    pub output: String,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Mount {
    pub kind: String,
    pub source: String,
    pub destination: String,
    pub writable: bool,
}

/// Resource limits; zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Limits {
    pub memory_bytes: u64,
    pub memory_swap_bytes: i64,
    pub cpus: f64,
    pub pids: i64,
}

/// Everything worth knowing of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ContainerDetails {
    pub name: String,
    pub id: String,
    pub host: String,
    pub image: String,
    pub image_id: String,
    pub state: ContainerState,
    pub health_log: Vec<HealthProbe>,
    pub created_at: String,
    pub command: Vec<String>,
    pub environment_names: Vec<String>,
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    pub restart_policy: String,
    pub network_mode: String,
    pub networks: Vec<String>,
    pub mounts: Vec<Mount>,
    pub limits: Limits,
    pub has_healthcheck: bool,
}

/// One sample of resource use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Stats {
    pub cpu_percent: f64,
    pub memory_bytes: u64,
    pub memory_limit_bytes: u64,
    pub pids: u64,
    pub network_received_bytes: u64,
    pub network_sent_bytes: u64,
    pub block_read_bytes: u64,
    pub block_written_bytes: u64,
    pub throttled_periods: u64,
}

/// Processes inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Processes {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub zombies: u32,
}

/// Why a container stops working with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Dependency {
    SharesNetwork,
    DependsOn,
    VolumesFrom,
}

/// A container that depends on another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Dependent {
    pub name: String,
    pub id: String,
    pub why: Dependency,
    pub status: Status,
}

/// Which events to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// Only of this container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Default [`EVENTS_SINCE_MS_DEFAULT`], at most [`EVENTS_SINCE_MS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Default [`EVENTS_DEFAULT`], at most [`EVENTS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How far back events are read when the request does not say, in milliseconds.
pub const EVENTS_SINCE_MS_DEFAULT: u64 = 600_000;
/// How far back events are read at the most: Docker itself keeps 256 events in memory.
pub const EVENTS_SINCE_MS_MAX: u64 = 86_400_000;
/// Events returned when the request does not say.
pub const EVENTS_DEFAULT: u32 = 100;
/// Events returned at the most.
pub const EVENTS_MAX: u32 = 500;
/// Rows of a process listing at the most.
pub const PROCESSES_MAX: usize = 500;
/// How long a program may take when the request does not say, in milliseconds.
pub const EXEC_MS_DEFAULT: u64 = 10_000;
/// Bytes of each output stream of an exec at the most.
pub const EXEC_STREAM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one health probe's output at the most.
pub const PROBE_BYTES_MAX: usize = 4 * 1024;

/// One event of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Event {
    pub at: String,
    pub action: String,
    pub container: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// How a container is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct StopOptions {
    /// Grace before the kill, at most [`GRACE_MS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// How a container is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct KillOptions {
    /// Such as `TERM`; default `KILL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// How a program is run inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ExecOptions {
    /// Default 10 seconds, at most 5 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// User inside the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory inside the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
}

/// What a program inside a container did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ExecResult {
    pub exit_code: i32,
    pub stdout: String,
    pub stderr: String,
    pub truncated: bool,
}

/// New limits; what is absent stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
}

macro_rules! container_op {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $ty:ty),* } -> $output:ty, $effect:literal, $class:ident, $recovery:ident,
     deadline $deadline:expr, bytes $bytes:expr, |$self_:ident| $validate:expr, wait |$wait_self:ident| $wait:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Handle, name or `host/name`.
            pub container: String,
            $(#[allow(missing_docs)] #[serde(default)] pub $field: $ty),*
        }
        impl Op for $name {
            type Output = $output;
            const NAME: &'static str = $effect;
            const CLASS: Class = Class::$class;
            const DEADLINE_MS: u64 = $deadline;
            const OUTPUT_BYTES_MAX: usize = $bytes;
            fn recovery(&self) -> Recovery { Recovery::$recovery }
            fn scope(&self) -> Scope<'_> { Scope::Container(&self.container) }
            fn validate(&self) -> Result<(), Error> {
                if self.container.is_empty() { return Err(Error::invalid("container is empty")); }
                check_text("container", &self.container, REFERENCE_BYTES_MAX)?;
                let $self_ = self;
                $validate
            }
            fn deadline_ms(&self) -> u64 { let $wait_self = self; $wait }
        }
    };
}

mod disk;
mod network;
mod replace;

pub use disk::*;
pub use network::*;
pub use replace::*;

/// A read of Docker: it answers in milliseconds or hangs.
const READ_MS: u64 = 10_000;
/// One Docker answer of moderate size.
const READ_BYTES: usize = 256 * 1024;
/// A change answers with a state.
const CHANGE_BYTES: usize = 16 * 1024;

/// Lists containers of the run's host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListContainers {
    /// Which ones.
    #[serde(default)]
    pub filter: ContainerFilter,
}

impl Op for ListContainers {
    type Output = Vec<ContainerSummary>;
    const NAME: &'static str = "docker.list-containers";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = READ_MS;
    const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Host
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("name", self.filter.name.as_deref().unwrap_or(""), REFERENCE_BYTES_MAX)
    }
}

/// What the engine reported lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecentEvents {
    /// Which ones.
    #[serde(default)]
    pub filter: EventFilter,
}

impl Op for RecentEvents {
    type Output = Vec<Event>;
    const NAME: &'static str = "docker.recent-events";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = READ_MS;
    const OUTPUT_BYTES_MAX: usize = READ_BYTES;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        match &self.filter.container {
            Some(container) => Scope::Container(container),
            None => Scope::Host,
        }
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("container", self.filter.container.as_deref().unwrap_or(""), REFERENCE_BYTES_MAX)?;
        check_range("since_ms", self.filter.since_ms, 1, EVENTS_SINCE_MS_MAX)?;
        check_range("limit", self.filter.limit, 1, EVENTS_MAX)
    }
}

container_op! {
    /// Everything worth knowing of one container.
    InspectContainer {} -> ContainerDetails, "docker.inspect-container", Observe, Again,
    deadline READ_MS, bytes READ_BYTES, |_op| Ok(()), wait |_op| READ_MS
}
container_op! {
    /// One sample of resource use.
    ContainerStats {} -> Stats, "docker.container-stats", Observe, Again,
    deadline READ_MS, bytes CHANGE_BYTES, |_op| Ok(()), wait |_op| READ_MS
}
container_op! {
    /// Processes inside a running container.
    ContainerProcesses {} -> Processes, "docker.container-processes", Observe, Again,
    deadline READ_MS, bytes READ_BYTES, |_op| Ok(()), wait |_op| READ_MS
}
container_op! {
    /// Who stops working when this container restarts.
    Dependents {} -> Vec<Dependent>, "docker.dependents", Observe, Again,
    deadline READ_MS, bytes READ_BYTES, |_op| Ok(()), wait |_op| READ_MS
}
container_op! {
    /// Starts a container that does not run.
    StartContainer {} -> Change, "docker.start-container", Mutate, Look,
    deadline 30_000, bytes CHANGE_BYTES, |_op| Ok(()), wait |_op| 30_000
}
container_op! {
    /// Stops a running container.
    StopContainer { options: StopOptions } -> Change, "docker.stop-container", Mutate, Look,
    deadline GRACE_MS_MAX + MARGIN_MS, bytes CHANGE_BYTES,
    |op| check_range("grace_ms", op.options.grace_ms, 0, GRACE_MS_MAX),
    wait |op| op.options.grace_ms.unwrap_or(GRACE_MS_MAX) + 2 * MARGIN_MS
}
container_op! {
    /// Restarts a container, running or not.
    RestartContainer { options: StopOptions } -> Change, "docker.restart-container", Mutate, Look,
    deadline GRACE_MS_MAX + MARGIN_MS, bytes CHANGE_BYTES,
    |op| check_range("grace_ms", op.options.grace_ms, 0, GRACE_MS_MAX),
    wait |op| op.options.grace_ms.unwrap_or(GRACE_MS_MAX) + 2 * MARGIN_MS
}
container_op! {
    /// Sends a signal to a running container. A signal that does not end it leaves no trace, so it is asked for.
    KillContainer { options: KillOptions } -> Change, "docker.kill-container", Mutate, Look,
    deadline 15_000, bytes CHANGE_BYTES,
    |op| check_signal(op.options.signal.as_deref()), wait |_op| 15_000
}
container_op! {
    /// Freezes every process.
    PauseContainer {} -> Change, "docker.pause-container", Mutate, Look,
    deadline 15_000, bytes CHANGE_BYTES, |_op| Ok(()), wait |_op| 15_000
}
container_op! {
    /// Thaws a paused container.
    UnpauseContainer {} -> Change, "docker.unpause-container", Mutate, Look,
    deadline 15_000, bytes CHANGE_BYTES, |_op| Ok(()), wait |_op| 15_000
}
container_op! {
    /// Changes limits while it runs.
    UpdateResources { resources: Resources } -> Change, "docker.update-resources", Mutate, Look,
    deadline 15_000, bytes CHANGE_BYTES, |op| check_resources(&op.resources), wait |_op| 15_000
}
container_op! {
    /// Runs a program inside a running container. Its exec id is journaled before it starts, so it never starts twice.
    Exec { argv: Vec<String>, options: ExecOptions } -> ExecResult, "docker.exec", Mutate, Key,
    deadline 300_000 + MARGIN_MS, bytes 3 * 128 * 1024,
    |op| check_exec(op), wait |op| op.options.timeout_ms.unwrap_or(EXEC_MS_DEFAULT) + MARGIN_MS
}

fn check_signal(signal: Option<&str>) -> Result<(), Error> {
    let signal = signal.unwrap_or("KILL");
    let known = signal.len() <= 16
        && !signal.is_empty()
        && signal.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-');
    if known {
        Ok(())
    } else {
        Err(Error::invalid(format!("signal `{signal}` is not a signal name, such as TERM or HUP")))
    }
}

fn check_resources(resources: &Resources) -> Result<(), Error> {
    if resources == &Resources::default() {
        return Err(Error::invalid("resources is empty: name memory_bytes, memory_swap_bytes, cpus or pids"));
    }
    // Docker's own floor is 6 MiB; nobody has more than 4,096 CPUs or 64 TiB.
    check_range("memory_bytes", resources.memory_bytes, 6 * 1024 * 1024, 1 << 46)?;
    check_range("cpus", resources.cpus, 0.01, 4_096.0)?;
    check_range("pids", resources.pids, -1, 4_194_304)
}

fn check_exec(op: &Exec) -> Result<(), Error> {
    if op.argv.is_empty() || op.argv[0].is_empty() {
        return Err(Error::invalid("argv is empty: give the program and its arguments, one item each"));
    }
    let bytes: usize = op.argv.iter().map(String::len).sum();
    check_range("argv bytes", Some(bytes), 1, ARGV_BYTES_MAX)?;
    check_range("timeout_ms", op.options.timeout_ms, 1, 300_000)
}
