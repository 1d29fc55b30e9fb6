//! A runbook never touches the world: it asks for an effect, and the engine answers. Whatever is asked for is recorded, so
//! that `sandbook show last` tells the whole story.

use sandbook_sdk::{Answer, HealthStatus, Input, clock, docker, escalate, fixed, log, logs, nothing_to_do, runbook};

runbook!(run);

fn run(input: Input) -> Answer {
    // What the alert named, found by the labels in [target].
    let container = input.container()?;

    // Look first: the alert may be minutes old.
    let before = docker::inspect_container(container)?;
    if before.state.health != HealthStatus::Unhealthy {
        return nothing_to_do(format!("{} is not unhealthy, its health is {}", before.name, before.state.health.word()));
    }

    // A restart removes what was wrong, and with it the reason. Keep what a person will want to read.
    match logs::tail_container(container, logs::TailOptions { lines: Some(50), ..Default::default() }) {
        Ok(tail) => log::attach_evidence("last log lines", &tail.text),
        Err(error) => log::log(log::Level::Warn, &format!("no log lines: {}", error.text())),
    }

    // Changes the world. Policy, brakes and the stage decide whether it may; `?` ends the run with the error. To go on
    // instead: match on it, `Err(Error::Denied(why)) => …`.
    docker::restart_container(container, docker::StopOptions { grace_ms: input.duration("grace") })?;

    // Waiting costs nothing and survives a restart of the daemon.
    for attempt in 1..=15 {
        clock::sleep(2_000)?;
        let after = docker::inspect_container(container)?;
        if after.state.health == HealthStatus::Healthy {
            let seconds = attempt * 2;
            return fixed(format!("restarted {}, healthy after about {seconds} seconds", after.name));
        }
    }

    // A person is needed. The sentence is what they read first.
    escalate(format!("restarted {}, but it is not healthy after 30 seconds", before.name))
}

#[cfg(test)]
mod tests;
