//! The twin of main.rhai: a runbook that says itself whether it helped. Change both.

use sandbook_sdk::docker::{self, StopOptions};
use sandbook_sdk::{Answer, Error, HealthStatus, Input, fixed, runbook};

fn run(input: Input) -> Answer {
    docker::restart_container(container(&input), StopOptions::default())?;
    fixed("restarted")
}

fn verify(input: Input) -> Result<bool, Error> {
    Ok(matches!(docker::inspect_container(container(&input))?.state.health, HealthStatus::Healthy))
}

fn container(input: &Input) -> &str {
    input.target.as_ref().map(|target| target.handle.as_str()).unwrap_or_default()
}

runbook!(run, verify);
