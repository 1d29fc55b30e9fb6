//! How an intent without an outcome is settled by looking: the world before, the world now, and what the effect does.
//!
//! *Done* means that the post-image holds, *not done* that the pre-image is unchanged and the intent's horizon has passed.
//! Anything else is unknown and a person settles it. Clocks are never compared: a restart is recognised by a start time
//! that *differs* from the journaled one.
//!
//! Deliberately not here: looking, and keys (a driver's work).

use crate::effect::docker::{Change, ContainerState, Limits, Resources, Status};
use crate::effect::{Effect, Recovery};
use crate::gate::Recovered;

/// What the look says.
pub fn look(effect: &Effect, before: &ContainerState, after: &ContainerState, horizon_passed: bool) -> Recovered {
    let restarted = before.started_at != after.started_at;
    // Health comes and goes by itself: it tells of no change that was asked for.
    let unchanged = ContainerState { health: after.health, ..before.clone() } == *after;
    let done = match effect {
        Effect::StartContainer(_) => restarted && after.status != Status::Created,
        Effect::RestartContainer(_) => restarted,
        Effect::StopContainer(_) => !restarted && stopped(after) && !stopped(before),
        Effect::KillContainer(_) => !restarted && stopped(after) && !stopped(before),
        Effect::PauseContainer(_) => after.status == Status::Paused && before.status != Status::Paused,
        Effect::UnpauseContainer(_) => after.status == Status::Running && before.status == Status::Paused,
        Effect::UpdateResources(_) => return unknown("limits are looked at by themselves"),
        // Settled by what the driver finds, each in its own way.
        Effect::RecreateContainer(_)
        | Effect::RemoveContainer(_)
        | Effect::ScaleService(_)
        | Effect::ConnectNetwork(_)
        | Effect::DisconnectNetwork(_)
        | Effect::PruneImages(_)
        | Effect::PruneBuildCache(_)
        | Effect::TruncateContainerLog(_)
        | Effect::CreateSilence(_)
        | Effect::ExpireSilence(_) => return unknown("it is not settled by the state of a container"),
        Effect::ListContainers(_)
        | Effect::InspectContainer(_)
        | Effect::ContainerStats(_)
        | Effect::ContainerProcesses(_)
        | Effect::Dependents(_)
        | Effect::RecentEvents(_)
        | Effect::ContainerChanges(_)
        | Effect::ListImages(_)
        | Effect::DiskUsage(_)
        | Effect::QueryLoki(_)
        | Effect::ListAlerts(_)
        | Effect::ListSilences(_)
        | Effect::Choose(_)
        | Effect::Summarize(_)
        | Effect::Extract(_)
        | Effect::Similar(_)
        | Effect::Exec(_)
        | Effect::TailContainer(_)
        | Effect::SearchContainer(_)
        | Effect::Query(_)
        | Effect::QueryRange(_)
        | Effect::HttpProbe(_)
        | Effect::TcpCheck(_)
        | Effect::DnsLookup(_)
        | Effect::Get(_)
        | Effect::Request(_)
        | Effect::Send(_)
        | Effect::StateGet(_)
        | Effect::StatePut(_)
        | Effect::StateCompareAndPut(_)
        | Effect::Now(_)
        | Effect::Sleep(_)
        | Effect::RandomU64(_)
        | Effect::Log(_)
        | Effect::Progress(_)
        | Effect::AttachEvidence(_)
        | Effect::Ask(_) => return unknown("it is not settled by looking"),
    };
    debug_assert!(effect.recovery() == Recovery::Look);
    if done {
        let change = Change { changed: true, state: after.clone() };
        return serde_json::to_value(change).map_or_else(|error| unknown(&error.to_string()), Recovered::Done);
    }
    match (unchanged, horizon_passed, leaves_a_trace(effect)) {
        (true, true, true) => Recovered::NotDone,
        (true, true, false) => unknown("the signal may have been delivered without ending the container"),
        (true, false, _) => unknown("it may still happen"),
        (false, ..) => unknown("the container changed in a way this effect does not explain"),
    }
}

/// Settles a change of limits by what they are now.
pub fn look_at_limits(wanted: &Resources, before: &Limits, after: &Limits, horizon_passed: bool) -> Recovered {
    let has = |limits: &Limits| {
        wanted.memory_bytes.is_none_or(|memory| memory == limits.memory_bytes)
            && wanted.memory_swap_bytes.is_none_or(|swap| swap == 0 || swap == limits.memory_swap_bytes)
            && wanted.cpus.is_none_or(|cpus| (cpus - limits.cpus).abs() < CPUS_SAME)
            && wanted.pids.is_none_or(|pids| pids == limits.pids || (pids <= 0 && limits.pids <= 0))
    };
    match (has(after), before == after) {
        (true, _) => Recovered::Done(serde_json::Value::Null),
        (false, true) if horizon_passed => Recovered::NotDone,
        (false, true) => unknown("it may still happen"),
        (false, false) => unknown("somebody set other limits meanwhile"),
    }
}

/// CPU counts nearer than this are the same: Docker keeps billionths of a core.
const CPUS_SAME: f64 = 1e-6;

/// A signal that does not end a container leaves nothing to see.
fn leaves_a_trace(effect: &Effect) -> bool {
    let Effect::KillContainer(kill) = effect else { return true };
    matches!(kill.options.signal.as_deref(), None | Some("KILL" | "SIGKILL" | "9"))
}

fn stopped(state: &ContainerState) -> bool {
    match state.status {
        Status::Exited | Status::Dead => true,
        Status::Created | Status::Running | Status::Paused | Status::Restarting | Status::Removing => false,
    }
}

fn unknown(why: &str) -> Recovered {
    Recovered::Unknown(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(status: Status, started_at: &str) -> ContainerState {
        ContainerState { status, started_at: Some(started_at.to_owned()), ..ContainerState::default() }
    }

    fn effect(name: &str) -> Effect {
        Effect::from_arguments(name, json!({"container": "web"})).expect("valid")
    }

    #[test]
    fn looks_are_settled_by_what_changed() {
        let running = state(Status::Running, "a");
        let again = state(Status::Running, "b");
        let exited = state(Status::Exited, "a");
        let restart = effect("docker.restart-container");
        assert!(matches!(look(&restart, &running, &again, false), Recovered::Done(_)));
        assert_eq!(look(&restart, &running, &running, true), Recovered::NotDone);
        assert!(matches!(look(&restart, &running, &running, false), Recovered::Unknown(_)));
        assert!(matches!(look(&restart, &running, &exited, true), Recovered::Unknown(_)));
        let ill = ContainerState { health: crate::effect::docker::Health::Unhealthy, ..running.clone() };
        assert_eq!(look(&restart, &ill, &running, true), Recovered::NotDone, "health came back by itself");
        let stop = effect("docker.stop-container");
        assert!(matches!(look(&stop, &running, &exited, true), Recovered::Done(_)));
        assert!(matches!(look(&stop, &running, &again, true), Recovered::Unknown(_)));
        let start = effect("docker.start-container");
        assert!(matches!(look(&start, &exited, &again, false), Recovered::Done(_)));
    }

    #[test]
    fn limits_are_settled_by_what_they_are() {
        let limits = |memory_bytes| Limits { memory_bytes, memory_swap_bytes: -1, cpus: 1.0, pids: 0 };
        let wanted = Resources { memory_bytes: Some(2), ..Resources::default() };
        let look = |after, passed| look_at_limits(&wanted, &limits(1), &limits(after), passed);
        assert!(matches!(look(2, false), Recovered::Done(_)));
        assert_eq!(look(1, true), Recovered::NotDone);
        assert!(matches!(look(1, false), Recovered::Unknown(_)));
        assert!(matches!(look(3, true), Recovered::Unknown(_)));
    }

    #[test]
    fn a_signal_without_a_trace_is_asked_for() {
        let running = state(Status::Running, "a");
        let hup =
            Effect::from_arguments("docker.kill-container", json!({"container": "web", "options": {"signal": "HUP"}}))
                .expect("valid");
        assert!(matches!(look(&hup, &running, &running, true), Recovered::Unknown(_)));
        assert_eq!(look(&effect("docker.kill-container"), &running, &running, true), Recovered::NotDone);
    }
}
