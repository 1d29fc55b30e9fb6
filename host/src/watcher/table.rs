//! What is known of the containers of one host, kept current by events.
//!
//! Counters live here because Docker keeps none: OOM kills seen, the last exit's code (Docker forgets it at the next
//! start), and whether anybody asked for that exit. Deliberately not here: asking Docker.

use std::collections::{BTreeMap, BTreeSet};

use sandbook_core::effect::docker::{ContainerDetails, ContainerState, Status};
use serde::Serialize;

use crate::driver::docker::{EngineEvent, LastExit};

/// Containers of one host at the most: each makes a dozen time series. More are counted, not shown.
pub const CONTAINERS_MAX: usize = 2_000;

/// Containers that are looked at again without an event, each time.
const LOOKS_MAX: usize = 50;

/// One container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Container {
    /// Configured name of the host.
    pub host: String,
    /// Without Docker's leading `/`.
    pub name: String,
    /// Full id.
    pub id: String,
    /// As configured.
    pub image: String,
    /// Compose project.
    pub project: Option<String>,
    /// Compose service.
    pub service: Option<String>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// As last seen.
    pub state: ContainerState,
    /// Whether there is a health check.
    pub has_healthcheck: bool,
    /// Zero: no limit.
    pub memory_limit_bytes: u64,
    /// As configured, such as `bridge` or `container:<id>`.
    #[serde(skip)]
    pub network_mode: String,
    /// When it was made.
    #[serde(skip)]
    pub created_at: String,
    /// Of the last exit, kept over restarts; absent if none was seen.
    pub last_exit_code: Option<i32>,
    /// Seen since this daemon started.
    pub oom_kills: u64,
    /// The last exit had a code other than 0 and 143, and nobody had sent a signal that ends it.
    pub exited_unexpectedly: bool,
}

/// What events tell and inspections do not.
#[derive(Debug, Default)]
struct Memory {
    exit: LastExit,
    oom_kills: u64,
    last_exit_code: Option<i32>,
    unexpected: bool,
}

/// The containers of one host.
#[derive(Debug, Default)]
pub struct ContainerTable {
    containers: BTreeMap<String, Container>,
    memory: BTreeMap<String, Memory>,
    dropped: BTreeSet<String>,
}

impl ContainerTable {
    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    /// Containers beyond [`CONTAINERS_MAX`], not shown.
    pub fn dropped(&self) -> u64 {
        self.dropped.len() as u64
    }

    /// Those that may have changed without an event: a start that fails leaves none. At most [`LOOKS_MAX`].
    pub(super) fn to_look_at(&self) -> Vec<String> {
        let down = self.containers.values().filter(|one| match one.state.status {
            Status::Created | Status::Exited => true,
            Status::Running | Status::Paused | Status::Restarting | Status::Removing | Status::Dead => false,
        });
        down.map(|one| one.id.clone()).take(LOOKS_MAX).collect()
    }

    /// Forgets whatever is not listed.
    pub(super) fn keep_only(&mut self, ids: &[String]) {
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        self.containers.retain(|id, _| ids.contains(id.as_str()));
        self.memory.retain(|id, _| ids.contains(id.as_str()));
        self.dropped.clear();
    }

    /// Whether it has a line.
    pub(super) fn shows(&self, id: &str) -> bool {
        self.containers.contains_key(id)
    }

    /// Counts containers that are listed but have no line.
    pub(super) fn drop_rest(&mut self, ids: &[String]) {
        self.dropped.extend(ids.iter().filter(|id| !self.containers.contains_key(*id)).cloned());
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, id: &str) {
        self.containers.remove(id);
        self.memory.remove(id);
        self.dropped.remove(id);
    }

    /// Takes a fresh look in.
    pub(super) fn put(&mut self, details: ContainerDetails) {
        if !self.containers.contains_key(&details.id) && self.containers.len() >= CONTAINERS_MAX {
            self.dropped.insert(details.id);
            return;
        }
        self.dropped.remove(&details.id);
        let first = !self.memory.contains_key(&details.id);
        let memory = self.memory.entry(details.id.clone()).or_default();
        if first {
            // What happened before this daemon looked: the last exit is known, who asked for it is not.
            memory.oom_kills = u64::from(details.state.oom_killed);
            memory.last_exit_code = details.state.exit_code;
            memory.unexpected =
                details.state.exit_code.is_some_and(|code| is_failure(code) && code != 137 || details.state.oom_killed);
        }
        let container = Container {
            host: details.host,
            name: details.name,
            image: details.image,
            project: details.project,
            service: details.service,
            labels: details.labels,
            has_healthcheck: details.has_healthcheck,
            memory_limit_bytes: details.limits.memory_bytes,
            network_mode: details.network_mode,
            created_at: details.created_at,
            last_exit_code: memory.last_exit_code,
            oom_kills: memory.oom_kills,
            exited_unexpectedly: memory.unexpected,
            state: details.state,
            id: details.id.clone(),
        };
        self.containers.insert(details.id, container);
    }

    /// Takes an event in. A look follows each; this keeps what a look does not show.
    pub(super) fn note(&mut self, event: &EngineEvent) {
        if self.dropped.contains(&event.id) {
            return;
        }
        let memory = self.memory.entry(event.id.clone()).or_default();
        memory.exit.note(event);
        match event.action.as_str() {
            "stop" => memory.unexpected = false,
            "oom" => memory.oom_kills += 1,
            "die" => {
                memory.last_exit_code = event.exit_code;
                memory.unexpected = event.exit_code.is_some_and(is_failure) && memory.exit.asked() != Some(true);
            }
            _ => {}
        }
        if let Some(container) = self.containers.get_mut(&event.id) {
            container.oom_kills = memory.oom_kills;
            container.last_exit_code = memory.last_exit_code;
            container.exited_unexpectedly = memory.unexpected;
            if event.action == "die" && container.state.status == Status::Running {
                container.state.status = Status::Exited;
            }
        }
    }
}

/// 143 is what `docker stop` leaves behind in a program that heeds it.
fn is_failure(code: i32) -> bool {
    code != 0 && code != 143
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, exit_code: Option<i32>, signal: Option<&str>, second: i64) -> EngineEvent {
        EngineEvent {
            at: jiff::Timestamp::from_second(second).expect("in range"),
            action: action.to_owned(),
            id: "a".to_owned(),
            name: "web".to_owned(),
            labels: BTreeMap::new(),
            exit_code,
            signal: signal.map(str::to_owned),
        }
    }

    fn details(id: &str) -> ContainerDetails {
        serde_json::from_value(serde_json::json!({
            "name": id, "id": id, "host": "local", "image": "i", "image_id": "i", "health_log": [], "created_at": "", "command": [],
            "state": {"status": "running", "health": "none", "oom_killed": false, "error": "", "restart_count": 0},
            "environment_names": [], "labels": {}, "restart_policy": "no", "network_mode": "", "networks": [], "mounts": [],
            "limits": {"memory_bytes": 0, "memory_swap_bytes": 0, "cpus": 0.0, "pids": 0}, "has_healthcheck": false,
        }))
        .expect("details")
    }

    fn after(events: &[EngineEvent]) -> Container {
        let mut table = ContainerTable::default();
        table.put(details("a"));
        for event in events {
            table.note(event);
        }
        table.put(details("a"));
        table.iter().next().expect("one").clone()
    }

    #[test]
    fn an_exit_is_unexpected_unless_asked_for_or_clean() {
        let unexpected = |events: &[EngineEvent]| after(events).exited_unexpectedly;
        assert!(unexpected(&[event("die", Some(1), None, 1)]));
        assert!(!unexpected(&[event("die", Some(0), None, 1)]));
        assert!(!unexpected(&[event("die", Some(143), None, 1)]));
        assert!(!unexpected(&[
            event("kill", None, Some("15"), 1),
            event("kill", None, Some("9"), 11),
            event("die", Some(137), None, 11)
        ]));
        assert!(unexpected(&[event("kill", None, Some("HUP"), 1), event("die", Some(1), None, 2)]));
        assert!(unexpected(&[event("kill", None, Some("TERM"), 1), event("die", Some(1), None, 1_000)]));
        assert!(unexpected(&[event("oom", None, None, 1), event("die", Some(137), None, 1)]));
    }

    #[test]
    fn the_last_exit_and_oom_kills_outlive_a_restart() {
        let container = after(&[
            event("oom", None, None, 1),
            event("die", Some(137), None, 1),
            event("start", None, None, 2),
            event("oom", None, None, 3),
            event("die", Some(137), None, 3),
            event("start", None, None, 4),
        ]);
        assert_eq!((container.oom_kills, container.last_exit_code), (2, Some(137)));
        assert_eq!(container.state.exit_code, None);
    }

    #[test]
    fn only_what_does_not_run_is_looked_at_without_an_event() {
        let mut table = ContainerTable::default();
        for index in 0..LOOKS_MAX + 2 {
            let mut down = details(&format!("c{index}"));
            down.state.status = Status::Created;
            table.put(down);
        }
        table.put(details("runs"));
        let looked_at = table.to_look_at();
        assert_eq!(looked_at.len(), LOOKS_MAX);
        assert!(!looked_at.contains(&"runs".to_owned()));
    }

    #[test]
    fn a_host_shows_so_many_and_counts_the_rest() {
        let mut table = ContainerTable::default();
        for index in 0..CONTAINERS_MAX + 3 {
            table.put(details(&format!("c{index}")));
        }
        assert_eq!((table.iter().count(), table.dropped()), (CONTAINERS_MAX, 3));
        table.remove("c2001");
        assert_eq!(table.dropped(), 2);
    }
}
