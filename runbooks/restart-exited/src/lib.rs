//! Starts a container that died by itself. What someone stopped stays stopped; what cannot start goes to a person.
//!
//! The decision is `judge`, a plain function over what was read, so that it is tested off the engine. Deliberately not here:
//! how often this may happen (the engine's brakes) and whether it worked in the end (the engine's verification).

use sandbook_sdk::docker::{self, ContainerDetails, Event, EventFilter};
use sandbook_sdk::{Answer, ContainerStatus, Error, Input, clock, escalate, fixed, log, logs, nothing_to_do, runbook};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// So many starts by the engine's restart policy are a crash loop that one more start does not end.
const LOOPING: u32 = 3;

/// How the engine says that somebody stopped it.
const LEFT_ALONE: &str = "left alone";

/// What to do about a container, with the sentence that says why.
#[derive(Debug, PartialEq)]
enum Judgement {
    Leave(String),
    Person(String),
    Start(String),
}

fn run(input: Input) -> Answer {
    let container = input.container()?;
    let details = docker::inspect_container(container)?;
    let filter = EventFilter { container: Some(container.to_owned()), since_ms: Some(DAY_MS), limit: Some(200) };
    let events = docker::recent_events(&filter)?;
    match judge(&details, &events) {
        Judgement::Leave(why) => nothing_to_do(why),
        Judgement::Person(why) => {
            collect(container, &details);
            escalate(why)
        }
        Judgement::Start(why) => {
            collect(container, &details);
            start(container, &details.name, &why)
        }
    }
}

fn start(container: &str, name: &str, why: &str) -> Answer {
    log::progress("starting", Some(30));
    match docker::start_container(container) {
        // The engine knows of a stop that is too long ago for the events.
        Err(Error::Limited(why)) if why.starts_with(LEFT_ALONE) => return nothing_to_do(why),
        started => started?,
    };
    clock::sleep(1000)?;
    let after = docker::inspect_container(container)?.state;
    match after.status {
        ContainerStatus::Running => fixed([name, " ", why, "; started, and running a second later"].concat()),
        _ => escalate([name, " ", why, "; started, but it does not stay up: ", &exit_text(after.exit_code)].concat()),
    }
}

fn judge(details: &ContainerDetails, events: &[Event]) -> Judgement {
    let (name, state) = (details.name.as_str(), &details.state);
    match state.status {
        ContainerStatus::Exited | ContainerStatus::Dead => {}
        ContainerStatus::Restarting if state.restart_count < LOOPING => {
            return Judgement::Leave([name, " is being started by its restart policy"].concat());
        }
        ContainerStatus::Restarting => {
            let count = state.restart_count.to_string();
            return Judgement::Person([name, " dies again and again: its restart policy started it ", &count, " times"].concat());
        }
        ContainerStatus::Running => return Judgement::Leave([name, " is running"].concat()),
        ContainerStatus::Created | ContainerStatus::Paused | ContainerStatus::Removing => {
            return Judgement::Leave([name, " did not exit"].concat());
        }
    }
    if stopped_on_request(events) && !state.oom_killed {
        return Judgement::Leave([name, " was stopped on request"].concat());
    }
    match state.exit_code {
        Some(0) => Judgement::Leave([name, " ended by itself, without an error"].concat()),
        Some(code @ (126 | 127)) => {
            let why = if code == 126 { "its command cannot be executed" } else { "its command was not found" };
            Judgement::Person([name, " cannot start: ", why, ", ", &exit_text(Some(code))].concat())
        }
        _ if !state.error.is_empty() => Judgement::Person([name, " cannot start: ", &state.error].concat()),
        _ if state.oom_killed => Judgement::Start("ran out of memory".into()),
        code => Judgement::Start(["died with ", &exit_text(code)].concat()),
    }
}

/// A stop or kill after the last start was asked for by someone; a process that dies by itself leaves only `die`.
fn stopped_on_request(events: &[Event]) -> bool {
    events.iter().fold(false, |requested, event| match event.action.as_str() {
        "start" | "restart" => false,
        "stop" | "kill" => true,
        _ => requested,
    })
}

fn exit_text(code: Option<i32>) -> String {
    match code {
        Some(code) => ["exit code ", &code.to_string()].concat(),
        None => "an unknown exit code".into(),
    }
}

/// Evidence never fails a run.
fn collect(container: &str, details: &ContainerDetails) {
    let state = &details.state;
    let facts = [
        exit_text(state.exit_code),
        ["out of memory: ", if state.oom_killed { "yes" } else { "no" }].concat(),
        ["finished at: ", state.finished_at.as_deref().unwrap_or("unknown")].concat(),
        ["restarts by the engine: ", &state.restart_count.to_string()].concat(),
        ["error at start: ", &state.error].concat(),
    ];
    log::attach_evidence("state", &facts.join("\n"));
    match logs::tail_container(container, logs::TailOptions { lines: Some(50), since_ms: None }) {
        Ok(page) => log::attach_evidence("last log lines", &page.text),
        Err(error) => log::log(log::Level::Warn, &["no log lines: ", error.text()].concat()),
    }
}

runbook!(run);

#[cfg(test)]
mod tests;
