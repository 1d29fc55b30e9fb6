//! The decision, off the engine: `cargo test`. What the runbook does as a whole: `sandbook test .`

use sandbook_sdk::{ContainerState, ContainerStatus, HealthStatus};

use super::is_ill;

fn state(health: HealthStatus) -> ContainerState {
    ContainerState {
        status: ContainerStatus::Running,
        health,
        exit_code: None,
        oom_killed: false,
        error: String::new(),
        started_at: None,
        finished_at: None,
        restart_count: 0,
    }
}

#[test]
fn a_sick_container_is_ill() {
    assert!(is_ill(&state(HealthStatus::Unhealthy)));
}

#[test]
fn one_that_starts_is_not_ill_yet() {
    assert!(!is_ill(&state(HealthStatus::Starting)));
    assert!(!is_ill(&state(HealthStatus::Healthy)));
}
