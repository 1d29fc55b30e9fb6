//! A runbook's manifest, `runbook.toml`: what starts it, what it is about, what it asks for, and what holds it back.
//!
//! The manifest's requests are the most a runbook can ever do; the operator's policy may only take away. Everything is
//! checked when read, so that a manifest that exists is sound. Deliberately not here: packages and digests (the host
//! reads folders), and whether an alert matches; see [`crate::matching`].

use std::{collections::BTreeMap, fmt, str::FromStr};

use indexmap::IndexMap;
use serde::{Serialize, Serializer};

use crate::{
    duration::{Bytes, DurationMs, Rate},
    matching::Matcher,
    problem::{Malformed, Problem, quote},
    schedule::{CatchUp, Patience},
    target::Kind,
};

mod declared;
mod parameter;
mod parse;
mod read;
#[cfg(test)]
mod tests;

pub use parameter::{Misfit, Parameter, ParameterType, ParameterValue, TEXT_BYTES_MAX};
pub use parse::{DOCKER_ACTIONS, MODEL_CHARS_MAX};
pub use read::CODES;

/// A sound manifest. Serialises for answers and tools; it is read only from TOML.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// `[a-z0-9-]{1,63}`.
    pub name: String,
    /// `major.minor.patch`, maybe with a suffix.
    pub version: String,
    /// One sentence of at most 200 characters.
    pub summary: String,
    /// The model that drafted it, wherever the package goes; absent: people wrote it, or answer for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drafted_by: Option<String>,
    /// What starts it, in the manifest's order.
    pub triggers: Vec<Trigger>,
    /// What it is about.
    pub target: TargetSpec,
    /// In the manifest's order.
    pub parameters: IndexMap<String, Parameter>,
    /// Names of effects, each once, all in the catalogue.
    pub requests: Vec<String>,
    /// Narrower limits than the engine's.
    pub limits: Limits,
    /// Narrower brakes than the engine's.
    pub brake: Brake,
    /// How to tell that acting helped; absent: the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// One way to start: alerts (names, matchers or both), Docker events (matchers narrow them), or a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Trigger {
    /// Any of these alert names; empty: any name.
    pub alert: Vec<String>,
    /// All must hold.
    #[serde(rename = "match")]
    pub matchers: Vec<Matcher>,
    /// Any of these; then it listens to Docker and not to alerts.
    pub docker_event: Vec<String>,
    /// Five cron fields; then it listens to nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Of the schedule; absent: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What becomes of its times that were missed; absent: [`CatchUp::Latest`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// How old the newest of them may be; absent: [`Patience::WITHIN_MS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up_within: Option<DurationMs>,
    /// What scheduled runs are about: `name`, `host/name` or `host/project/service`; absent: as the target's kind says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What scheduled runs are given, as a person types it; each fits its declaration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Higher wins whatever is more specific; 0 unless said otherwise.
    pub priority: i32,
    /// Lets the next best runbook run as well.
    #[serde(rename = "continue")]
    pub continue_: bool,
}

impl Trigger {
    /// Whether it listens to alerts.
    pub fn listens_to_alerts(&self) -> bool {
        self.docker_event.is_empty() && self.schedule.is_none()
    }

    /// How late is still worth it.
    pub fn patience(&self) -> Patience {
        let within_ms = self.catch_up_within.map_or(Patience::WITHIN_MS, |within| within.0);
        Patience { catch_up: self.catch_up.unwrap_or_default(), within_ms }
    }
}

/// How labels name the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetSpec {
    /// What kind of thing.
    pub kind: Kind,
    /// Labels that may name a container, in order.
    pub container_from: Vec<String>,
    /// Labels that may name a service, in order.
    pub service_from: Vec<String>,
    /// Labels that may name a host, in order.
    pub host_from: Vec<String>,
    /// One run a member when several are meant.
    pub each: bool,
}

impl Default for TargetSpec {
    fn default() -> Self {
        let list = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
        TargetSpec {
            kind: Kind::Container,
            container_from: list(&[
                "name",
                "container",
                "container_name",
                "container_label_com_docker_compose_service",
            ]),
            service_from: list(&["service", "container_label_com_docker_compose_service"]),
            host_from: list(&["host", "docker_host", "instance"]),
            each: false,
        }
    }
}

/// Narrower limits of a run; absent ones are the engine's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Limits {
    /// Wall time without waits, at most [`Limits::WALL_MS_MAX`].
    pub wall: Option<DurationMs>,
    /// Processor time, at most [`Limits::CPU_MS_MAX`].
    pub cpu: Option<DurationMs>,
    /// Sum of linear memories, at most [`Limits::MEMORY_BYTES_MAX`].
    pub memory: Option<Bytes>,
    /// Effects, at most [`Limits::EFFECTS_MAX`].
    pub effects: Option<u32>,
    /// One result, at most [`Limits::RESULT_BYTES_MAX`].
    pub result: Option<Bytes>,
    /// The journal, at most [`Limits::JOURNAL_BYTES_MAX`].
    pub journal: Option<Bytes>,
    /// Denials before a probing run ends, at most [`Limits::DENIALS_MAX`].
    pub denials: Option<u32>,
    /// All notes, at most [`Limits::NOTES_BYTES_MAX`].
    pub notes: Option<Bytes>,
}

impl Limits {
    /// 24 hours.
    pub const WALL_MS_MAX: u64 = 24 * 3_600_000;
    /// 60 seconds.
    pub const CPU_MS_MAX: u64 = 60_000;
    /// 256 MiB.
    pub const MEMORY_BYTES_MAX: u64 = 256 << 20;
    /// Effects of one run.
    pub const EFFECTS_MAX: u32 = 5_000;
    /// 8 MiB.
    pub const RESULT_BYTES_MAX: u64 = 8 << 20;
    /// 64 MiB.
    pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;
    /// Denials of one run.
    pub const DENIALS_MAX: u32 = 1_000;
    /// 8 MiB.
    pub const NOTES_BYTES_MAX: u64 = 8 << 20;
}

/// Narrower brakes; the tightest of engine, policy and manifest wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Brake {
    /// Attempts for one target; at most 8 rates, all hold.
    pub attempts: Vec<Rate>,
    /// How long to leave the target alone after acting.
    pub settle: Option<DurationMs>,
}

/// How to tell that acting helped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verify {
    /// What must become true; [`Condition::Healthy`] unless said otherwise.
    pub condition: Condition,
    /// How soon; 2 minutes unless said otherwise.
    pub within: DurationMs,
    /// How soon the alert should resolve; later is unknown, not contradicted. 15 minutes unless said otherwise.
    pub resolved_within: DurationMs,
    /// How long it must not fire again; 30 minutes unless said otherwise.
    pub no_refire: DurationMs,
}

impl Default for Verify {
    fn default() -> Self {
        Verify {
            condition: Condition::Healthy,
            within: DurationMs(2 * 60_000),
            resolved_within: DurationMs(15 * 60_000),
            no_refire: DurationMs(30 * 60_000),
        }
    }
}

/// What tells that it works again. As text: `healthy`, `running`, or `promql:` and a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Running, and healthy where there is a health check.
    Healthy,
    /// Running.
    Running,
    /// The query has a result, and every value of it is not zero.
    Promql(String),
}

impl FromStr for Condition {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match (text, text.strip_prefix("promql:").map(str::trim)) {
            ("healthy", _) => Ok(Condition::Healthy),
            ("running", _) => Ok(Condition::Running),
            (_, Some(query)) if !query.is_empty() => Ok(Condition::Promql(query.to_owned())),
            (_, Some(_)) => Err(Malformed("after promql: comes a query, like promql:up{job=\"web\"} == 1".to_owned())),
            (other, None) => {
                Err(Malformed(format!("{} is not a condition: write healthy, running or promql:…", quote(other))))
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Healthy => f.write_str("healthy"),
            Condition::Running => f.write_str("running"),
            Condition::Promql(query) => write!(f, "promql:{query}"),
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Manifest {
    /// Reads a manifest; the warnings, or every problem including them, in the order of the text. `file` is only quoted.
    pub fn parse(text: &str, file: &str) -> Result<(Manifest, Vec<Problem>), Vec<Problem>> {
        parse::parse(text, file)
    }

    /// Reads the manifest in a script's leading `//!` lines; problems are placed in the script. None: it has no such lines.
    #[expect(clippy::type_complexity, reason = "what `parse` answers, or nothing")]
    pub fn parse_script(source: &str, file: &str) -> Option<Result<(Manifest, Vec<Problem>), Vec<Problem>>> {
        let (text, offset) = manifest_of_script(source)?;
        let place = |mut problems: Vec<Problem>| {
            problems.iter_mut().for_each(|problem| problem.line += offset);
            problems
        };
        Some(match Manifest::parse(&text, file) {
            Ok((manifest, warnings)) => Ok((manifest, place(warnings))),
            Err(problems) => Err(place(problems)),
        })
    }
}

/// The manifest in a script's leading `//!` lines, and how many lines stand before it: what to add to a problem's line.
/// `//!` becomes three blanks, so columns are those of the script; a text over several lines keeps them.
pub fn manifest_of_script(source: &str) -> Option<(String, u32)> {
    let skipped = source.lines().take_while(|line| line.trim().is_empty() || line.starts_with("#!")).count();
    let mut text = String::new();
    for line in source.lines().skip(skipped) {
        let Some(content) = line.trim_start().strip_prefix("//!") else { break };
        text.push_str(&" ".repeat(line.len() - content.len()));
        text.push_str(content);
        text.push('\n');
    }
    if text.is_empty() { None } else { Some((text, u32::try_from(skipped).unwrap_or(u32::MAX))) }
}
