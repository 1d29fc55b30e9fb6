//! A simulated container: what Docker would report of it, and what it is going to do.
//!
//! Deliberately not here: doing it. See `life` for what time brings and `changes` for what effects do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Moment, is_zero, settle};
use crate::depend::Node;
use crate::effect::docker::{
    ContainerDetails, ContainerState, FileChange, GRACE_MS_DEFAULT, Health, HealthProbe, Limits, Mount, Processes,
    Stats, Status,
};
use crate::stopped;
use crate::target::Facts;

/// Lines of a log that a world keeps; older ones are forgotten.
pub const LOG_LINES_MAX: usize = 10_000;
/// How long after a start a health check first succeeds when nothing else is said, in milliseconds.
pub const HEALTHY_AFTER_MS_DEFAULT: u64 = 5_000;
/// Probes of a health check that Docker remembers.
pub const PROBES_MAX: usize = 5;

/// A container and its future. Times are RFC 3339, or `-3m` from now in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Container {
    /// Unique on its host; in a file it is the key.
    pub name: String,
    /// 64 hex digits; derived from host, name and generation when empty.
    pub id: String,
    /// How often it was recreated under this name.
    pub generation: u32,
    /// As configured; the name when empty.
    pub image: String,
    /// Derived from the image when empty.
    pub image_id: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Default `running`.
    pub status: Status,
    /// Anything but `none` implies a health check.
    pub health: Health,
    /// Of the last exit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the kernel killed it for memory.
    pub oom_killed: bool,
    /// What went wrong at the last start.
    pub error: String,
    /// Default an hour ago, if it ever ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Default a minute ago, if it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// By the restart policy.
    pub restart_count: u32,
    /// Whether it has a health check.
    pub has_healthcheck: bool,
    /// Last probes, oldest first; at most [`PROBES_MAX`].
    pub health_log: Vec<HealthProbe>,
    /// Default a day ago.
    pub created_at: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Names only.
    pub environment_names: Vec<String>,
    /// `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:3`.
    pub restart_policy: String,
    /// Such as `bridge` or `container:vpn`.
    pub network_mode: String,
    /// Networks it is connected to.
    pub networks: Vec<String>,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// What is left out is no limit.
    #[serde(deserialize_with = "settle::filled")]
    pub limits: Limits,
    /// How long a stop waits before it kills, in milliseconds.
    pub stop_grace_ms: u64,
    /// Containers whose volumes it uses.
    pub volumes_from: Vec<String>,
    /// Services or containers it depends on, beside compose's label.
    pub depends_on: Vec<String>,
    /// What it wrote, oldest first; at most [`LOG_LINES_MAX`].
    pub logs: Vec<LogLine>,
    /// Size of its log file in bytes; what its lines take when zero.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_bytes: u64,
    /// Files that differ from its image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FileChange>,
    /// Lines forgotten at the front of [`Container::logs`].
    pub logs_forgotten: u64,
    /// While it runs. What is left out is zero; a limit of zero is taken from [`Container::limits`].
    #[serde(deserialize_with = "settle::filled")]
    pub stats: Stats,
    /// While it runs; one row of its command when empty.
    #[serde(deserialize_with = "settle::filled")]
    pub processes: Processes,
    /// Programs that an exec finds inside.
    pub programs: Vec<Program>,
    /// How it takes a stop.
    pub stopping: Stopping,
    /// What happens after each start from now on; the last one repeats.
    pub lives: Vec<Life>,
    /// Starts so far.
    pub starts: u32,
    /// What is going to happen in the present life.
    pub due: Vec<Due>,
    /// The restart policy's last delay, in milliseconds.
    pub backoff_ms: u64,
    /// A person stopped or killed it, so the restart policy rests.
    pub stopped_by_hand: bool,
    /// Since when it is frozen, in milliseconds since 1970, and the health it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<(u64, Health)>,
}

/// One line of a log; a file may write it as a plain text, stamped with the world's now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, from = "settle::LineText")]
pub struct LogLine {
    /// When.
    pub at: Moment,
    /// Without its line break.
    pub line: String,
}

/// A program that an exec finds, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Program {
    /// The beginning of the argument vector; the first program that fits answers.
    pub argv: Vec<String>,
    /// Default 0.
    pub exit_code: i32,
    /// Its output.
    pub stdout: String,
    /// Its complaints.
    pub stderr: String,
    /// How long it runs, in milliseconds; default 10.
    pub takes_ms: u64,
}

impl Default for Program {
    fn default() -> Self {
        let (stdout, stderr) = (String::new(), String::new());
        Program { argv: Vec::new(), exit_code: 0, stdout, stderr, takes_ms: 10 }
    }
}

/// How a container takes a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stopping {
    /// How long it takes to end after its stop signal, in milliseconds; default 50. Longer than the grace means killed.
    pub takes_ms: u64,
    /// How it ends then: 143 (default), or 0 where the program handles the signal.
    pub exit_code: i32,
    /// Takes its whole grace and is killed: exit 137.
    pub ignores_term: bool,
    /// Not even a kill ends it: Docker gives up after ten more seconds.
    pub cannot_be_killed: bool,
}

impl Default for Stopping {
    fn default() -> Self {
        Stopping { takes_ms: 50, exit_code: 143, ignores_term: false, cannot_be_killed: false }
    }
}

/// What happens after a start; all times in milliseconds from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Life {
    /// Its health check succeeds. Default [`HEALTHY_AFTER_MS_DEFAULT`] where neither this nor unhealthy is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_after_ms: Option<u64>,
    /// Its health check gives up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_after_ms: Option<u64>,
    /// What a failing probe says.
    pub probe_output: String,
    /// It exits by itself. With a restart policy that is a crash loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_after_ms: Option<u64>,
    /// With this code; default 1.
    pub exit_code: i32,
    /// The kernel kills it for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_after_ms: Option<u64>,
    /// Unless its limit is zero or at least this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_needs_bytes: Option<u64>,
    /// It does not start: Docker's text, such as `port is already allocated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_error: Option<String>,
    /// What it writes at once.
    pub logs: Vec<String>,
}

impl Default for Life {
    fn default() -> Self {
        Life {
            healthy_after_ms: None,
            unhealthy_after_ms: None,
            probe_output: String::new(),
            exit_after_ms: None,
            exit_code: 1,
            oom_after_ms: None,
            oom_needs_bytes: None,
            start_error: None,
            logs: Vec::new(),
        }
    }
}

/// Something that is going to happen to a container by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Due {
    /// When.
    pub at: Moment,
    /// What.
    pub what: What,
    /// Exit code of [`What::Exit`].
    #[serde(default)]
    pub code: i32,
    /// Memory that would prevent [`What::Oom`], in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_bytes: Option<u64>,
    /// Probe output, or the line of [`What::Log`].
    #[serde(default)]
    pub text: String,
}

/// Kinds of [`Due`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The health check succeeds.
    Healthy,
    /// The health check gives up.
    Unhealthy,
    /// It exits by itself.
    Exit,
    /// The kernel kills it for memory.
    Oom,
    /// The restart policy starts it.
    Restart,
    /// It writes a line.
    Log,
}

impl Due {
    /// Something due at that time, in milliseconds since 1970.
    pub fn new(at_ms: u64, what: What) -> Due {
        Due { at: Moment::At(at_ms), what, code: 0, needs_bytes: None, text: String::new() }
    }
}

impl Default for Container {
    fn default() -> Self {
        Container {
            name: String::new(),
            id: String::new(),
            generation: 0,
            image: String::new(),
            image_id: String::new(),
            labels: BTreeMap::new(),
            status: Status::Running,
            health: Health::None,
            exit_code: None,
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: None,
            restart_count: 0,
            has_healthcheck: false,
            health_log: Vec::new(),
            created_at: String::new(),
            command: Vec::new(),
            environment_names: Vec::new(),
            restart_policy: "no".to_owned(),
            network_mode: "bridge".to_owned(),
            networks: vec!["bridge".to_owned()],
            mounts: Vec::new(),
            limits: Limits::default(),
            stop_grace_ms: GRACE_MS_DEFAULT,
            volumes_from: Vec::new(),
            depends_on: Vec::new(),
            logs: Vec::new(),
            log_bytes: 0,
            changes: Vec::new(),
            logs_forgotten: 0,
            stats: Stats::default(),
            processes: Processes::default(),
            programs: Vec::new(),
            stopping: Stopping::default(),
            lives: Vec::new(),
            starts: 0,
            due: Vec::new(),
            backoff_ms: 0,
            stopped_by_hand: false,
            frozen: None,
        }
    }
}

impl Container {
    /// A running container without a health check.
    pub fn named(name: &str, image: &str) -> Container {
        Container { name: name.to_owned(), image: image.to_owned(), ..Container::default() }
    }

    /// What a real container looks like when a simulation takes it over: the same facts, no known future.
    pub fn from_details(details: &ContainerDetails) -> Container {
        let (state, details) = (details.state.clone(), details.clone());
        Container {
            name: details.name,
            id: details.id,
            image: details.image,
            image_id: details.image_id,
            labels: details.labels,
            status: state.status,
            health: state.health,
            exit_code: state.exit_code,
            oom_killed: state.oom_killed,
            error: state.error,
            started_at: state.started_at,
            finished_at: state.finished_at,
            restart_count: state.restart_count,
            has_healthcheck: details.has_healthcheck,
            health_log: details.health_log,
            created_at: details.created_at,
            command: details.command,
            environment_names: details.environment_names,
            restart_policy: details.restart_policy,
            network_mode: details.network_mode,
            networks: details.networks,
            mounts: details.mounts,
            limits: details.limits,
            ..Container::default()
        }
    }

    /// Its state as a runbook sees it.
    pub fn state(&self) -> ContainerState {
        // Of a running container Docker shows no code that says anything about its last exit.
        let exited = self.finished_at.is_some() && !matches!(self.status, Status::Running | Status::Paused);
        ContainerState {
            status: self.status,
            health: self.health,
            exit_code: self.exit_code.filter(|_| exited),
            oom_killed: self.oom_killed,
            error: self.error.clone(),
            started_at: self.started_at.clone(),
            finished_at: self.finished_at.clone(),
            restart_count: self.restart_count,
        }
    }

    /// What policy, locks and plans see of it.
    pub fn facts(&self) -> Facts {
        let facts = Facts::from_labels(self.image.clone(), status_word(self.status).to_owned(), self.labels.clone());
        let asked = self.stopped_by_hand.then_some(true);
        Facts { stop: stopped::on_request(&self.state(), &self.restart_policy, asked), ..facts }
    }

    /// As far as dependence goes.
    pub(super) fn node(&self) -> Node {
        Node {
            id: self.id.clone(),
            name: self.name.clone(),
            labels: self.labels.clone(),
            network_mode: self.network_mode.clone(),
            volumes_from: self.volumes_from.clone(),
            depends_on: self.depends_on.clone(),
        }
    }

    /// Sets a label.
    pub fn label(mut self, key: &str, value: &str) -> Container {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Writes a line to its log and forgets the oldest beyond [`LOG_LINES_MAX`].
    pub fn write_line(&mut self, at_ms: u64, line: &str) {
        self.logs.push(LogLine { at: Moment::At(at_ms), line: line.to_owned() });
        let beyond = self.logs.len().saturating_sub(LOG_LINES_MAX);
        self.logs.drain(..beyond);
        self.logs_forgotten += beyond as u64;
    }
}

/// Docker's state word.
pub(crate) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Restarting => "restarting",
        Status::Removing => "removing",
        Status::Exited => "exited",
        Status::Dead => "dead",
    }
}
