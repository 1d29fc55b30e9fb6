//! Container state in the Prometheus text format.
//!
//! Labels are host, name, project and service: an image as label would make a new series at every deploy. Deliberately
//! not here: metrics of Sandbook itself.

use sandbook_core::effect::docker::{Health, Status};

use super::{Container, Write};

type Value = fn(&Container) -> Option<f64>;

/// Name, type, help and value of each metric of a container.
const METRICS: [(&str, &str, &str, Value); 8] = [
    ("sandbook_container_running", "gauge", "1 when the container runs.", |container| {
        Some(f64::from(u8::from(matches!(container.state.status, Status::Running))))
    }),
    (
        "sandbook_container_restarts_total",
        "counter",
        "Restarts by the engine's restart policy since creation.",
        |container| Some(f64::from(container.state.restart_count)),
    ),
    (
        "sandbook_container_oom_kills_total",
        "counter",
        "Kills for memory seen since this daemon started.",
        |container| Some(container.oom_kills as f64),
    ),
    ("sandbook_container_last_exit_code", "gauge", "Exit code of the last exit seen.", |container| {
        container.last_exit_code.map(f64::from)
    }),
    (
        "sandbook_container_exited_unexpectedly",
        "gauge",
        "1 when the last exit had a code other than 0 or 143 and nobody had asked for it.",
        |container| Some(f64::from(u8::from(container.exited_unexpectedly))),
    ),
    ("sandbook_container_start_time_seconds", "gauge", "Start time since the epoch.", |container| {
        seconds(container.state.started_at.as_deref()?)
    }),
    (
        "sandbook_container_created_seconds",
        "gauge",
        "When it was made, since the epoch: a deploy makes it anew.",
        |container| seconds(&container.created_at),
    ),
    ("sandbook_container_memory_limit_bytes", "gauge", "Memory limit; 0 without one.", |container| {
        Some(container.memory_limit_bytes as f64)
    }),
];

/// Since the epoch.
fn seconds(at: &str) -> Option<f64> {
    let at: jiff::Timestamp = at.parse().ok()?;
    Some(at.as_millisecond() as f64 / 1_000.0)
}

/// Health words of the state set; absent where there is no health check.
const HEALTH: [(Health, &str); 3] =
    [(Health::Healthy, "healthy"), (Health::Unhealthy, "unhealthy"), (Health::Starting, "starting")];

/// Why Docker could not start a container, by words of its error; the last one takes the rest.
const START_FAILURES: [(&str, &[&str]); 4] = [
    ("port", &["port is already allocated", "address already in use"]),
    ("network", &["network of a non running container", "network namespace", "no such container", "network not found"]),
    ("command", &["executable file not found", "permission denied", "exec format error"]),
    ("other", &[""]),
];

/// A host, for [`write`].
pub(super) struct HostLine<'a> {
    pub(super) name: &'a str,
    /// Whether its events are followed.
    pub(super) up: bool,
    /// Whether calls to it fail at once.
    pub(super) silent: bool,
    /// Containers not shown.
    pub(super) dropped: u64,
}

/// Value of a metric of a host.
type HostValue = fn(&HostLine<'_>) -> f64;

/// Name, help and value of each.
const HOST_METRICS: [(&str, &str, HostValue); 3] = [
    ("sandbook_docker_up", "1 when the host's events are followed.", |host| f64::from(u8::from(host.up))),
    (
        "sandbook_docker_breaker_open",
        "1 while the host does not answer, so that calls to it fail at once and runs on it wait.",
        |host| f64::from(u8::from(host.silent)),
    ),
    ("sandbook_containers_dropped", "Containers beyond the limit of a host, not shown.", |host| host.dropped as f64),
];

/// Appends everything.
pub(super) fn write(out: &mut String, hosts: &[HostLine<'_>], containers: &[Container]) {
    for (name, help, value) in HOST_METRICS {
        head(out, name, "gauge", help);
        for host in hosts {
            line(out, name, &format!("host=\"{}\"", escape(host.name)), value(host));
        }
    }
    let labels: Vec<String> = containers.iter().map(labels).collect();
    for (name, kind, help, value) in METRICS {
        head(out, name, kind, help);
        for (container, labels) in containers.iter().zip(&labels) {
            if let Some(value) = value(container) {
                line(out, name, labels, value);
            }
        }
    }
    write_starts(out, containers, &labels);
    head(out, "sandbook_container_health", "gauge", "1 for the state its health check is in; absent without one.");
    for (container, labels) in containers.iter().zip(&labels) {
        if !container.has_healthcheck {
            continue;
        }
        for (health, word) in HEALTH {
            let value = f64::from(u8::from(container.state.health == health));
            line(out, "sandbook_container_health", &format!("{labels},status=\"{word}\""), value);
        }
    }
}

/// What keeps a container from starting, and whose network is gone.
fn write_starts(out: &mut String, containers: &[Container], labels: &[String]) {
    let help = "1 while it is down because Docker could not start it, by reason: port, network, command, other.";
    head(out, "sandbook_container_start_failed", "gauge", help);
    for (container, labels) in containers.iter().zip(labels) {
        if let Some(reason) = start_failure(container) {
            line(out, "sandbook_container_start_failed", &format!("{labels},reason=\"{reason}\""), 1.0);
        }
    }
    let help =
        "1 while it runs in the network of a container that is gone, stopped or newer; absent without such a network.";
    head(out, "sandbook_container_network_orphaned", "gauge", help);
    for (container, labels) in containers.iter().zip(labels) {
        if let Some(orphaned) = network_orphaned(container, containers) {
            line(out, "sandbook_container_network_orphaned", labels, f64::from(u8::from(orphaned)));
        }
    }
}

fn start_failure(container: &Container) -> Option<&'static str> {
    if container.state.error.is_empty() || matches!(container.state.status, Status::Running | Status::Restarting) {
        return None;
    }
    let error = container.state.error.to_lowercase();
    let reason = START_FAILURES.iter().find(|(_, words)| words.iter().any(|word| error.contains(word)));
    reason.map(|(name, _)| *name)
}

/// Whoever shares a network holds on to that of the start it found: a container that started later has another.
fn network_orphaned(container: &Container, containers: &[Container]) -> Option<bool> {
    let of = container.network_mode.strip_prefix("container:")?;
    if !matches!(container.state.status, Status::Running) {
        return Some(false);
    }
    let named = |other: &&Container| other.host == container.host && (other.id == of || other.name == of);
    let Some(parent) = containers.iter().find(named) else { return Some(true) };
    if !matches!(parent.state.status, Status::Running | Status::Paused) {
        return Some(true);
    }
    let started = |one: &Container| one.state.started_at.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    Some(matches!((started(parent), started(container)), (Some(parent), Some(own)) if parent > own))
}

fn labels(container: &Container) -> String {
    format!(
        "host=\"{}\",name=\"{}\",project=\"{}\",service=\"{}\"",
        escape(&container.host),
        escape(&container.name),
        escape(container.project.as_deref().unwrap_or_default()),
        escape(container.service.as_deref().unwrap_or_default()),
    )
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(out, "{name}{{{labels}}} {value}");
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sandbook_core::effect::docker::ContainerState;

    use super::*;

    #[test]
    fn a_container_is_written_as_prometheus_reads_it() {
        let container = Container {
            host: "local".to_owned(),
            name: "web".to_owned(),
            id: "a".to_owned(),
            image: "i".to_owned(),
            project: Some("sh\"op".to_owned()),
            service: None,
            labels: BTreeMap::new(),
            state: ContainerState {
                status: Status::Running,
                health: Health::Unhealthy,
                started_at: Some("1970-01-01T00:00:01.5Z".to_owned()),
                ..ContainerState::default()
            },
            has_healthcheck: true,
            memory_limit_bytes: 64 << 20,
            network_mode: "bridge".to_owned(),
            created_at: "1970-01-01T00:00:01Z".to_owned(),
            last_exit_code: None,
            oom_kills: 2,
            exited_unexpectedly: false,
        };
        let mut out = String::new();
        let host = HostLine { name: "local", up: true, silent: false, dropped: 0 };
        write(&mut out, &[host], &[container]);
        for wanted in [
            "sandbook_docker_breaker_open{host=\"local\"} 0\n",
            "sandbook_docker_up{host=\"local\"} 1\n",
            "sandbook_container_running{host=\"local\",name=\"web\",project=\"sh\\\"op\",service=\"\"} 1\n",
            "service=\"\",status=\"unhealthy\"} 1\n",
            "service=\"\",status=\"healthy\"} 0\n",
            "sandbook_container_start_time_seconds{host=\"local\",name=\"web\",project=\"sh\\\"op\",service=\"\"} 1.5\n",
            "sandbook_container_created_seconds{host=\"local\",name=\"web\",project=\"sh\\\"op\",service=\"\"} 1\n",
            "sandbook_container_memory_limit_bytes{host=\"local\",name=\"web\",project=\"sh\\\"op\",service=\"\"} 67108864\n",
        ] {
            assert!(out.contains(wanted), "{wanted} in\n{out}");
        }
        assert!(!out.contains("last_exit_code{"));
    }

    fn container(name: &str, status: Status, started_at: &str, network_mode: &str) -> Container {
        let started_at = Some(started_at.to_owned());
        Container {
            host: "local".to_owned(),
            name: name.to_owned(),
            id: format!("id-{name}"),
            image: String::new(),
            project: None,
            service: None,
            labels: BTreeMap::new(),
            state: ContainerState { status, started_at, ..ContainerState::default() },
            has_healthcheck: false,
            memory_limit_bytes: 0,
            network_mode: network_mode.to_owned(),
            created_at: String::new(),
            last_exit_code: None,
            oom_kills: 0,
            exited_unexpectedly: false,
        }
    }

    #[test]
    fn a_failed_start_has_a_reason_while_it_is_down() {
        let reason = |status, error: &str| {
            let mut one = container("web", status, "1970-01-01T00:00:01Z", "bridge");
            one.state.error = error.to_owned();
            start_failure(&one)
        };
        let taken = "Bind for 0.0.0.0:8080 failed: port is already allocated";
        assert_eq!(reason(Status::Created, taken), Some("port"));
        assert_eq!(reason(Status::Exited, "No such container: d46d"), Some("network"));
        assert_eq!(reason(Status::Created, "exec: \"nosuch\": executable file not found in $PATH"), Some("command"));
        assert_eq!(reason(Status::Created, "cgroup: unknown controller"), Some("other"));
        assert_eq!(reason(Status::Running, taken), None, "it was started after all");
        assert_eq!(reason(Status::Exited, ""), None);
    }

    #[test]
    fn a_sharer_is_orphaned_when_the_network_it_found_is_gone() {
        let (early, late) = ("1970-01-01T00:00:01Z", "1970-01-01T00:00:05Z");
        let sharer = container("web", Status::Running, early, "container:id-vpn");
        let orphaned = |parent: Container| network_orphaned(&sharer, &[sharer.clone(), parent]);
        assert_eq!(orphaned(container("vpn", Status::Running, early, "bridge")), Some(false));
        assert_eq!(orphaned(container("vpn", Status::Running, late, "bridge")), Some(true), "it has a new network");
        assert_eq!(orphaned(container("vpn", Status::Exited, early, "bridge")), Some(true));
        assert_eq!(orphaned(container("another", Status::Running, early, "bridge")), Some(true), "it is gone");
        let down = container("web", Status::Exited, early, "container:id-vpn");
        assert_eq!(network_orphaned(&down, &[]), Some(false), "what is down has no network to lose");
        assert_eq!(network_orphaned(&container("web", Status::Running, early, "bridge"), &[]), None);
    }
}
