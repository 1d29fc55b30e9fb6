//! From what a scenario file says to a world without gaps: names, ids and times are filled in, nonsense is refused.
//!
//! Deliberately not here: behaviour. A settled world is complete, still and valid.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::container::{Container, Due, LogLine, What};
use super::life::{BACKOFF_MS_MIN, Policy};
use super::moment::{self, Moment};
use super::{EVENTS_KEPT_MAX, World};
use crate::effect::Effect;
use crate::effect::docker::{Health, Status};

/// What is wrong with a world, and a text near which the file says it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) near: String,
    pub(super) message: String,
}

/// Docker's rule for container names, and ours for host names.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let good = !name.is_empty()
        && name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if good { Ok(()) } else { Err(format!("{what} `{name}`: letters, digits, `_`, `.` and `-`, at most 255")) }
}

impl World {
    /// Fills gaps and checks everything a file can get wrong.
    pub(super) fn settle(&mut self) -> Result<(), Problem> {
        let now_ms = self.now_ms;
        let mut ids = BTreeSet::new();
        for (host_name, host) in &mut self.hosts {
            check_name("host", host_name).map_err(|message| Problem { near: host_name.clone(), message })?;
            for (name, container) in &mut host.containers {
                let place = format!("{host_name}.containers.{name}");
                let problem = |message: String| Problem { near: place.clone(), message: format!("{name}: {message}") };
                check_container(container).map_err(problem)?;
                fill(container, host_name, now_ms);
                if !ids.insert(container.id.clone()) {
                    return Err(problem(format!("its id {} is taken", container.id)));
                }
            }
            for event in &mut host.events {
                event.at = Moment::At(event.at.ms(now_ms));
            }
            host.events.sort_by_key(|event| event.at.ms(now_ms));
            let beyond = host.events.len().saturating_sub(EVENTS_KEPT_MAX);
            host.events.drain(..beyond);
        }
        self.settle_metrics()?;
        self.check_faults()
    }

    fn settle_metrics(&mut self) -> Result<(), Problem> {
        for metric in &mut self.metrics {
            metric.from = metric.from.map(|from| Moment::At(from.ms(self.now_ms)));
            if let Some(sample) = metric.samples.iter().find(|sample| !sample.value.is_finite()) {
                let message = format!("metric {}: {} is not a finite number", metric.promql, sample.value);
                return Err(Problem { near: metric.promql.clone(), message });
            }
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), Problem> {
        for fault in &self.faults {
            let problem = |near: &str, message: String| Problem { near: near.to_owned(), message };
            if Effect::find(&fault.effect).is_none() {
                let hint =
                    Effect::closest(&fault.effect).map_or(String::new(), |name| format!(", did you mean `{name}`?"));
                return Err(problem(&fault.effect, format!("fault: there is no effect `{}`{hint}", fault.effect)));
            }
            if fault.call == 0 {
                return Err(problem(&fault.effect, "fault: calls count from 1".to_owned()));
            }
            let Some(wanted) = &fault.container else { continue };
            let known = self.hosts.iter().any(|(host, of)| {
                of.containers.keys().any(|name| name == wanted || format!("{host}/{name}") == *wanted)
            });
            if !known {
                return Err(problem(wanted, format!("fault: there is no container `{wanted}` in this world")));
            }
        }
        Ok(())
    }
}

fn check_container(container: &Container) -> Result<(), String> {
    check_name("name", &container.name)?;
    if Policy::parse(&container.restart_policy).is_none() {
        let known = "no, always, unless-stopped, on-failure or on-failure:3";
        return Err(format!("restart_policy `{}` is none of {known}", container.restart_policy));
    }
    let probes = container.health_log.iter().map(|probe| probe.started_at.as_str());
    let given = [&container.started_at, &container.finished_at].into_iter().flatten().map(String::as_str);
    let created = Some(container.created_at.as_str()).filter(|at| !at.is_empty());
    for at in probes.chain(given).chain(created) {
        Moment::parse(at).map(drop)?;
    }
    let hex = container.id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if hex && matches!(container.id.len(), 0 | 12..=64) {
        Ok(())
    } else {
        Err(format!("id `{}` is not 12 to 64 lower-case hex digits", container.id))
    }
}

/// Fills in whatever a container leaves open. A time that cannot be read stays as it is.
pub(super) fn fill(container: &mut Container, host: &str, now_ms: u64) {
    let c = container;
    if c.id.is_empty() {
        c.id = derive_id(host, &c.name, c.generation);
    }
    if c.image.is_empty() {
        c.image.clone_from(&c.name);
    }
    if c.image_id.is_empty() {
        c.image_id = format!("sha256:{}", hex(&Sha256::digest(c.image.as_bytes())));
    }
    if c.created_at.is_empty() {
        c.created_at = "-1d".to_owned();
    }
    let ran = c.status != Status::Created;
    let ended = matches!(c.status, Status::Exited | Status::Dead | Status::Restarting);
    if ran && c.started_at.is_none() {
        c.started_at = Some("-1h".to_owned());
    }
    if ended {
        c.finished_at.get_or_insert_with(|| "-1m".to_owned());
        c.exit_code.get_or_insert(i32::from(c.status == Status::Restarting));
    }
    if c.status == Status::Paused && c.frozen.is_none() {
        let health = if c.has_healthcheck { Health::Healthy } else { Health::None };
        c.frozen = Some((now_ms, health));
    }
    fill_health(c);
    let times = [&mut c.started_at, &mut c.finished_at].into_iter().flatten();
    for at in times.chain([&mut c.created_at]).chain(c.health_log.iter_mut().map(|probe| &mut probe.started_at)) {
        // RFC 3339 stays as written: a real container's nanoseconds must survive.
        if let Ok(Moment::From(offset)) = Moment::parse(at) {
            *at = moment::rfc3339(now_ms.saturating_add_signed(offset));
        }
    }
    for line in &mut c.logs {
        line.at = Moment::At(line.at.ms(now_ms));
    }
    c.logs.sort_by_key(|line| line.at.ms(now_ms));
    for due in &mut c.due {
        due.at = Moment::At(due.at.ms(now_ms));
    }
    if c.status == Status::Restarting && c.due.iter().all(|due| due.what != What::Restart) {
        c.backoff_ms = c.backoff_ms.max(BACKOFF_MS_MIN);
        c.due.push(Due::new(now_ms.saturating_add(c.backoff_ms), What::Restart));
    }
}

fn fill_health(c: &mut Container) {
    c.has_healthcheck |= c.health != Health::None;
    if c.has_healthcheck && c.health == Health::None {
        c.health = match c.status {
            // Docker begins to speak of health at the first start.
            Status::Created => Health::None,
            Status::Running => Health::Healthy,
            Status::Paused | Status::Restarting | Status::Removing | Status::Exited | Status::Dead => Health::Unhealthy,
        };
    }
}

/// An id that depends on nothing but its arguments.
pub(super) fn derive_id(host: &str, name: &str, generation: u32) -> String {
    hex(&Sha256::digest(format!("{host}/{name}#{generation}").as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Containers of a host by name: the key is the name.
pub(super) fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Container>, D::Error> {
    let mut containers = BTreeMap::<String, Container>::deserialize(deserializer)?;
    for (key, container) in &mut containers {
        if container.name.is_empty() {
            container.name.clone_from(key);
        } else if container.name != *key {
            return Err(D::Error::custom(format!("container `{key}` calls itself `{}`", container.name)));
        }
    }
    Ok(containers)
}

/// A record whose missing fields are those of its default.
pub(super) fn filled<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Serialize + DeserializeOwned,
{
    let given = serde_json::Map::<String, Value>::deserialize(deserializer)?;
    let mut whole = serde_json::to_value(T::default()).map_err(D::Error::custom)?;
    if let Value::Object(fields) = &mut whole {
        fields.extend(given);
    }
    serde_json::from_value(whole).map_err(D::Error::custom)
}

/// A log line as files write it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum LineText {
    Plain(String),
    Stamped { at: Moment, line: String },
}

impl From<LineText> for LogLine {
    fn from(text: LineText) -> LogLine {
        match text {
            LineText::Plain(line) => LogLine { at: Moment::From(0), line },
            LineText::Stamped { at, line } => LogLine { at, line },
        }
    }
}
