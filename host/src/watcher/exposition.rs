//! Container state in the Prometheus text format.
//!
//! Labels are host, name, project and service: an image as label would make a new series at every deploy. Deliberately
//! not here: metrics of Sandbook itself.

use sandbook_core::effect::docker::{Health, Status};

use super::{Container, Write};

type Value = fn(&Container) -> Option<f64>;

/// Name, type, help and value of each metric of a container.
const METRICS: [(&str, &str, &str, Value); 7] = [
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
        let at: jiff::Timestamp = container.state.started_at.as_deref()?.parse().ok()?;
        Some(at.as_millisecond() as f64 / 1_000.0)
    }),
    ("sandbook_container_memory_limit_bytes", "gauge", "Memory limit; 0 without one.", |container| {
        Some(container.memory_limit_bytes as f64)
    }),
];

/// Health words of the state set; absent where there is no health check.
const HEALTH: [(Health, &str); 3] =
    [(Health::Healthy, "healthy"), (Health::Unhealthy, "unhealthy"), (Health::Starting, "starting")];

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
            "sandbook_container_memory_limit_bytes{host=\"local\",name=\"web\",project=\"sh\\\"op\",service=\"\"} 67108864\n",
        ] {
            assert!(out.contains(wanted), "{wanted} in\n{out}");
        }
        assert!(!out.contains("last_exit_code{"));
    }
}
