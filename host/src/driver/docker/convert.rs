//! Docker's answers as the plain bounded data of the catalogue.
//!
//! Values of environment variables are dropped here, before anything else sees them. Times are passed as Docker wrote
//! them; its zero time means "never" and becomes an absent value. Deliberately not here: asking Docker for anything.

use std::collections::{BTreeMap, HashMap};

use bollard::models;
use sandbook_core::effect::docker::{
    ContainerDetails, ContainerState, ContainerSummary, Health, HealthProbe, Limits, Mount, PROBE_BYTES_MAX, Stats,
    Status,
};
use sandbook_core::error::truncate_at_char;
use sandbook_core::target::{Facts, LABEL_PROJECT, LABEL_SERVICE};

/// Health probes kept: what Docker keeps itself.
const PROBES_MAX: usize = 5;
/// Billionths of a core in one.
const NANO: f64 = 1e9;

pub(super) fn state(container: &models::ContainerInspectResponse) -> ContainerState {
    let restart_count = u32::try_from(container.restart_count.unwrap_or(0)).unwrap_or(0);
    let Some(state) = &container.state else { return ContainerState { restart_count, ..ContainerState::default() } };
    let status = status(state);
    let finished_at = time(state.finished_at.as_deref());
    // Docker resets the code at every start: of a running container it says nothing about the last exit.
    let exited = finished_at.is_some() && !matches!(status, Status::Running | Status::Paused);
    ContainerState {
        status,
        health: state.health.as_ref().map_or(Health::None, |health| health_status(health.status)),
        exit_code: state.exit_code.filter(|_| exited).and_then(|code| i32::try_from(code).ok()),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.clone().unwrap_or_default(),
        started_at: time(state.started_at.as_deref()),
        finished_at,
        restart_count,
    }
}

fn status(state: &models::ContainerState) -> Status {
    use models::ContainerStateStatusEnum as Word;
    match state.status.unwrap_or(Word::EMPTY) {
        Word::CREATED => Status::Created,
        Word::RUNNING | Word::STOPPING => Status::Running,
        Word::PAUSED => Status::Paused,
        Word::RESTARTING => Status::Restarting,
        Word::REMOVING => Status::Removing,
        Word::EXITED => Status::Exited,
        Word::DEAD => Status::Dead,
        Word::EMPTY if state.running == Some(true) => Status::Running,
        Word::EMPTY => Status::Exited,
    }
}

fn summary_status(word: Option<models::ContainerSummaryStateEnum>) -> Status {
    use models::ContainerSummaryStateEnum as Word;
    match word.unwrap_or(Word::EMPTY) {
        Word::CREATED => Status::Created,
        Word::RUNNING | Word::STOPPING => Status::Running,
        Word::PAUSED => Status::Paused,
        Word::RESTARTING => Status::Restarting,
        Word::REMOVING => Status::Removing,
        Word::DEAD => Status::Dead,
        Word::EXITED | Word::EMPTY => Status::Exited,
    }
}

fn health_status(word: Option<models::HealthStatusEnum>) -> Health {
    use models::HealthStatusEnum as Word;
    match word.unwrap_or(Word::NONE) {
        Word::EMPTY | Word::NONE => Health::None,
        Word::STARTING => Health::Starting,
        Word::HEALTHY => Health::Healthy,
        Word::UNHEALTHY => Health::Unhealthy,
    }
}

/// Docker's word of a status, as policy compares it.
pub(in crate::driver) fn status_word(status: Status) -> &'static str {
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

/// Absent for Docker's zero time, which means never.
fn time(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty() && !text.starts_with("0001-")).map(str::to_owned)
}

pub(super) fn name(container: &models::ContainerInspectResponse) -> String {
    container.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned()
}

pub(super) fn labels(container: &models::ContainerInspectResponse) -> BTreeMap<String, String> {
    sorted(container.config.as_ref().and_then(|config| config.labels.as_ref()))
}

pub(super) fn sorted(labels: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    labels.map(|labels| labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()).unwrap_or_default()
}

pub(super) fn facts(container: &models::ContainerInspectResponse) -> Facts {
    let image = container.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default();
    Facts::from_labels(image, status_word(state(container).status).to_owned(), labels(container))
}

pub(super) fn details(host: &str, container: &models::ContainerInspectResponse) -> ContainerDetails {
    let config = container.config.as_ref();
    let host_config = container.host_config.as_ref();
    let facts = facts(container);
    let mut command: Vec<String> = container.path.clone().filter(|path| !path.is_empty()).into_iter().collect();
    command.extend(container.args.clone().unwrap_or_default());
    let mut networks: Vec<String> = container
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref())
        .map(|networks| networks.keys().cloned().collect())
        .unwrap_or_default();
    networks.sort();
    ContainerDetails {
        name: name(container),
        id: container.id.clone().unwrap_or_default(),
        host: host.to_owned(),
        image: facts.image.clone(),
        image_id: container.image.clone().unwrap_or_default(),
        state: state(container),
        health_log: health_log(container),
        created_at: container.created.clone().unwrap_or_default(),
        command,
        environment_names: environment_names(config.and_then(|config| config.env.as_deref()).unwrap_or_default()),
        project: facts.project.clone(),
        service: facts.service.clone(),
        labels: facts.labels,
        restart_policy: restart_policy_of(container),
        network_mode: host_config.and_then(|config| config.network_mode.clone()).unwrap_or_default(),
        networks,
        mounts: mounts(container),
        limits: limits(host_config),
        has_healthcheck: has_healthcheck(container),
    }
}

fn environment_names(environment: &[String]) -> Vec<String> {
    let mut names: Vec<String> = environment
        .iter()
        .map(|line| line.split_once('=').map_or(line.as_str(), |(name, _)| name).to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

pub(super) fn restart_policy_of(container: &models::ContainerInspectResponse) -> String {
    restart_policy(container.host_config.as_ref().and_then(|config| config.restart_policy.as_ref()))
}

fn restart_policy(policy: Option<&models::RestartPolicy>) -> String {
    use models::RestartPolicyNameEnum as Word;
    match policy.and_then(|policy| policy.name).unwrap_or(Word::EMPTY) {
        Word::EMPTY | Word::NO => "no".to_owned(),
        Word::ALWAYS => "always".to_owned(),
        Word::UNLESS_STOPPED => "unless-stopped".to_owned(),
        Word::ON_FAILURE => match policy.and_then(|policy| policy.maximum_retry_count) {
            Some(count) if count > 0 => format!("on-failure:{count}"),
            Some(_) | None => "on-failure".to_owned(),
        },
    }
}

fn mounts(container: &models::ContainerInspectResponse) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = container
        .mounts
        .iter()
        .flatten()
        .map(|mount| Mount {
            kind: mount.typ.clone().unwrap_or_default(),
            source: mount.name.clone().filter(|name| !name.is_empty()).or(mount.source.clone()).unwrap_or_default(),
            destination: mount.destination.clone().unwrap_or_default(),
            writable: mount.rw.unwrap_or(false),
        })
        .collect();
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    mounts
}

pub(super) fn limits(config: Option<&models::HostConfig>) -> Limits {
    let Some(config) = config else { return Limits::default() };
    let nano = config.nano_cpus.unwrap_or(0);
    let quota = config.cpu_quota.unwrap_or(0);
    // A quota without a period counts against the kernel's default period of 100 ms.
    let period = config.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
    let cpus = match (nano, quota) {
        (nano, _) if nano > 0 => nano as f64 / NANO,
        (_, quota) if quota > 0 => quota as f64 / period as f64,
        (_, _) => 0.0,
    };
    Limits {
        memory_bytes: u64::try_from(config.memory.unwrap_or(0)).unwrap_or(0),
        memory_swap_bytes: config.memory_swap.unwrap_or(0),
        cpus,
        // Docker writes "no limit" as absent, 0 or -1.
        pids: config.pids_limit.unwrap_or(0).max(0),
    }
}

fn has_healthcheck(container: &models::ContainerInspectResponse) -> bool {
    let test = container
        .config
        .as_ref()
        .and_then(|config| config.healthcheck.as_ref())
        .and_then(|check| check.test.as_deref())
        .unwrap_or_default();
    let configured = test.first().is_some_and(|word| word != "NONE" && !word.is_empty());
    configured || state(container).health != Health::None
}

fn health_log(container: &models::ContainerInspectResponse) -> Vec<HealthProbe> {
    let log = container
        .state
        .as_ref()
        .and_then(|state| state.health.as_ref())
        .and_then(|health| health.log.as_deref())
        .unwrap_or_default();
    log[log.len().saturating_sub(PROBES_MAX)..]
        .iter()
        .map(|probe| {
            let mut output = probe.output.clone().unwrap_or_default();
            truncate_at_char(&mut output, PROBE_BYTES_MAX);
            HealthProbe {
                started_at: probe.start.clone().unwrap_or_default(),
                exit_code: probe.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1),
                output,
            }
        })
        .collect()
}

pub(super) fn summary(host: &str, container: &models::ContainerSummary) -> ContainerSummary {
    let label = |key: &str| {
        container.labels.as_ref().and_then(|labels| labels.get(key)).filter(|value| !value.is_empty()).cloned()
    };
    ContainerSummary {
        name: summary_name(container),
        id: container.id.clone().unwrap_or_default(),
        host: host.to_owned(),
        image: container.image.clone().unwrap_or_default(),
        status: summary_status(container.state),
        status_text: container.status.clone().unwrap_or_default(),
        project: label(LABEL_PROJECT),
        service: label(LABEL_SERVICE),
    }
}

/// The container's own name: links add further ones such as `/web/db`.
fn summary_name(container: &models::ContainerSummary) -> String {
    let names = container.names.as_deref().unwrap_or_default();
    let own = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
    own.unwrap_or_default().to_owned()
}

/// One sample. `memory_limit_bytes` is the configured one: without a limit Docker reports the host's memory.
pub(super) fn stats(sample: &models::ContainerStatsResponse, memory_limit_bytes: u64) -> Stats {
    let cpu = sample.cpu_stats.as_ref();
    let networks = sample.networks.iter().flat_map(HashMap::values);
    let (received, sent) = networks.fold((0_u64, 0_u64), |(received, sent), network| {
        (received.saturating_add(network.rx_bytes.unwrap_or(0)), sent.saturating_add(network.tx_bytes.unwrap_or(0)))
    });
    Stats {
        cpu_percent: cpu_percent(cpu, sample.precpu_stats.as_ref()),
        memory_bytes: sample.memory_stats.as_ref().map_or(0, memory_used),
        memory_limit_bytes,
        pids: sample.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or(0),
        network_received_bytes: received,
        network_sent_bytes: sent,
        block_read_bytes: block_bytes(sample, "read"),
        block_written_bytes: block_bytes(sample, "write"),
        throttled_periods: cpu
            .and_then(|cpu| cpu.throttling_data.as_ref())
            .and_then(|throttling| throttling.throttled_periods)
            .unwrap_or(0),
    }
}

/// Percent of one core between the two samples of one answer; zero where the first one is missing.
fn cpu_percent(now: Option<&models::ContainerCpuStats>, before: Option<&models::ContainerCpuStats>) -> f64 {
    let total = |stats: Option<&models::ContainerCpuStats>| stats?.cpu_usage.as_ref()?.total_usage;
    let system = |stats: Option<&models::ContainerCpuStats>| stats?.system_cpu_usage;
    let (Some(total_now), Some(total_before)) = (total(now), total(before)) else { return 0.0 };
    let (Some(system_now), Some(system_before)) = (system(now), system(before)) else { return 0.0 };
    let used = total_now.saturating_sub(total_before) as f64;
    let elapsed = system_now.saturating_sub(system_before) as f64;
    // cgroup v1 engines list every core, v2 engines give only their number.
    let listed =
        now.and_then(|now| now.cpu_usage.as_ref()).and_then(|usage| usage.percpu_usage.as_ref()).map_or(0, Vec::len);
    let cores = now.and_then(|now| now.online_cpus).filter(|cores| *cores > 0).map_or(listed as f64, f64::from);
    if elapsed > 0.0 { used / elapsed * cores * 100.0 } else { 0.0 }
}

/// Usage without the page cache that can be dropped, as `docker stats` counts it.
fn memory_used(memory: &models::ContainerMemoryStats) -> u64 {
    let usage = memory.usage.unwrap_or(0);
    let cache = memory.stats.as_ref().and_then(|stats| {
        // cgroup v1 has the total over children, v2 counts hierarchically anyway.
        stats.get("total_inactive_file").or_else(|| stats.get("inactive_file")).copied()
    });
    match cache {
        Some(cache) if cache < usage => usage - cache,
        Some(_) | None => usage,
    }
}

fn block_bytes(sample: &models::ContainerStatsResponse, op: &str) -> u64 {
    let entries =
        sample.blkio_stats.as_ref().and_then(|stats| stats.io_service_bytes_recursive.as_deref()).unwrap_or_default();
    // v1 writes `Read`, v2 `read`.
    entries
        .iter()
        .filter(|entry| entry.op.as_deref().is_some_and(|word| word.eq_ignore_ascii_case(op)))
        .fold(0, |sum, entry| sum.saturating_add(entry.value.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(value: serde_json::Value) -> models::ContainerStatsResponse {
        serde_json::from_value(value).expect("a sample")
    }

    #[test]
    fn cpu_and_memory_count_alike_on_both_cgroup_versions() {
        let v1 = sample(json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 600, "percpu_usage": [300, 300]}, "system_cpu_usage": 2_000,
                "throttling_data": {"throttled_periods": 7}},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1_000},
            "memory_stats": {"usage": 1_000, "stats": {"total_inactive_file": 400, "inactive_file": 1}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 3}, {"op": "Write", "value": 4}, {"op": "Total", "value": 7}]},
        }));
        let found = stats(&v1, 0);
        assert_eq!((found.cpu_percent, found.memory_bytes, found.throttled_periods), (100.0, 600, 7));
        assert_eq!((found.block_read_bytes, found.block_written_bytes), (3, 4));
        let v2 = sample(json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 2_000, "online_cpus": 4},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1_000},
            "memory_stats": {"usage": 1_000, "stats": {"inactive_file": 400}},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
        }));
        let found = stats(&v2, 5);
        assert_eq!((found.cpu_percent, found.memory_bytes, found.memory_limit_bytes), (200.0, 600, 5));
        assert_eq!((found.network_received_bytes, found.network_sent_bytes), (11, 22));
    }

    #[test]
    fn a_first_sample_or_a_reset_counter_is_zero_and_not_absurd() {
        let first = sample(
            json!({"cpu_stats": {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 2_000, "online_cpus": 4},
            "precpu_stats": {"cpu_usage": {"total_usage": 0}}}),
        );
        assert_eq!(stats(&first, 0).cpu_percent, 0.0);
        let reset =
            sample(json!({"cpu_stats": {"cpu_usage": {"total_usage": 5}, "system_cpu_usage": 2_000, "online_cpus": 4},
            "precpu_stats": {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 1_000}}));
        assert_eq!(stats(&reset, 0).cpu_percent, 0.0);
    }

    #[test]
    fn environment_values_and_zero_times_do_not_cross() {
        let container: models::ContainerInspectResponse = serde_json::from_value(json!({
            "Id": "a", "Name": "/web", "RestartCount": 2,
            "State": {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"},
            "Config": {"Env": ["PASSWORD=hunter22", "A"], "Labels": {"com.docker.compose.project": "shop"}},
            "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "CpuQuota": 50_000, "PidsLimit": -1},
        }))
        .expect("an answer");
        let details = details("local", &container);
        assert_eq!(details.environment_names, ["A", "PASSWORD"]);
        assert!(!serde_json::to_string(&details).expect("JSON").contains("hunter22"));
        assert_eq!((details.state.exit_code, details.state.finished_at, details.state.restart_count), (None, None, 2));
        assert_eq!(
            (details.restart_policy.as_str(), details.limits.cpus, details.limits.pids),
            ("on-failure:3", 0.5, 0)
        );
        assert_eq!(details.project.as_deref(), Some("shop"));
    }
}
