//! The decision, off the engine.

use sandbook_sdk::docker::Limits;
use sandbook_sdk::{ContainerState, HealthStatus};

use super::*;

fn died(status: ContainerStatus, exit_code: Option<i32>) -> ContainerDetails {
    ContainerDetails {
        name: "web".into(),
        id: "1".into(),
        host: "local".into(),
        image: "web:1".into(),
        image_id: String::new(),
        state: ContainerState {
            status,
            health: HealthStatus::None,
            exit_code,
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: None,
            restart_count: 0,
        },
        health_log: Vec::new(),
        created_at: String::new(),
        command: Vec::new(),
        environment_names: Vec::new(),
        labels: Vec::new(),
        project: None,
        service: None,
        restart_policy: "no".into(),
        network_mode: "bridge".into(),
        networks: Vec::new(),
        mounts: Vec::new(),
        limits: Limits { memory_bytes: 0, memory_swap_bytes: 0, cpus: 0.0, pids: 0 },
        has_healthcheck: false,
    }
}

fn events(actions: &[&str]) -> Vec<Event> {
    let event = |action: &&str| Event { at: String::new(), action: (*action).into(), container: "web".into(), exit_code: None };
    actions.iter().map(event).collect()
}

#[test]
fn a_crash_is_started() {
    let judged = judge(&died(ContainerStatus::Exited, Some(1)), &events(&["start", "die"]));
    assert_eq!(judged, Judgement::Start("died with exit code 1".into()));
}

#[test]
fn a_requested_stop_is_left_alone() {
    for code in [143, 137, 1] {
        let judged = judge(&died(ContainerStatus::Exited, Some(code)), &events(&["start", "kill", "die", "stop"]));
        assert!(matches!(judged, Judgement::Leave(_)), "{code}");
    }
}

#[test]
fn a_stop_before_the_last_start_does_not_count() {
    let judged = judge(&died(ContainerStatus::Exited, Some(137)), &events(&["kill", "die", "stop", "start", "die"]));
    assert!(matches!(judged, Judgement::Start(_)));
}

#[test]
fn out_of_memory_is_no_request() {
    let mut details = died(ContainerStatus::Exited, Some(137));
    details.state.oom_killed = true;
    assert_eq!(judge(&details, &events(&["start", "oom", "die"])), Judgement::Start("ran out of memory".into()));
}

#[test]
fn what_cannot_start_goes_to_a_person() {
    for code in [126, 127] {
        assert!(matches!(judge(&died(ContainerStatus::Exited, Some(code)), &[]), Judgement::Person(_)));
    }
}

#[test]
fn the_restart_policy_goes_first_until_it_loops() {
    let mut details = died(ContainerStatus::Restarting, Some(1));
    assert!(matches!(judge(&details, &[]), Judgement::Leave(_)));
    details.state.restart_count = 3;
    assert!(matches!(judge(&details, &[]), Judgement::Person(_)));
}

#[test]
fn success_and_running_are_left_alone() {
    assert!(matches!(judge(&died(ContainerStatus::Exited, Some(0)), &[]), Judgement::Leave(_)));
    assert!(matches!(judge(&died(ContainerStatus::Running, None), &[]), Judgement::Leave(_)));
}
