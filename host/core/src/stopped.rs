//! Containers that somebody stopped: they are left alone, because a person who stops one has a reason.
//!
//! Docker says neither who stopped a container nor, after a while, that anybody did. What it does say is put together
//! here: its events where they are known, and its restart policy, which starts everything again but what was stopped on
//! request. Deliberately not here: reading events, and which stops were this engine's own (its attempts tell).

use crate::effect::Effect;
use crate::effect::docker::{ContainerState, Status};
use crate::target::{Facts, Stop};

/// How a refusal begins that a runbook need not treat as a failure.
pub const LEFT_ALONE: &str = "left alone";

/// Whether a container that does not run was stopped on request. `asked`: events since its last start show a stop or a
/// signal that ends, or show none; absent where no events are known.
pub fn on_request(state: &ContainerState, restart_policy: &str, asked: Option<bool>) -> Option<Stop> {
    match state.status {
        Status::Exited => {}
        Status::Created | Status::Running | Status::Paused | Status::Restarting | Status::Removing | Status::Dead => {
            return None;
        }
    }
    // What ran out of memory was not asked to, and what could not be started was meant to run.
    if state.oom_killed || !state.error.is_empty() {
        return None;
    }
    let kept_up = matches!(restart_policy, "always" | "unless-stopped");
    let stopped = asked == Some(true) || kept_up;
    stopped.then(|| Stop { at: state.finished_at.clone(), exit_code: state.exit_code })
}

/// Why an effect that would start a stopped container is not driven. Whether the stop was this engine's own is not
/// known here.
pub fn left_alone(effect: &Effect, facts: &Facts, runbook: &str, target: &str) -> Option<String> {
    let stop = facts.stop.as_ref().filter(|_| effect.revives())?;
    let code = stop.exit_code.map_or_else(|| "exit code unknown".to_owned(), |code| format!("exit {code}"));
    let at = stop.at.as_deref().map_or_else(String::new, |at| format!(" at {at}"));
    Some(format!(
        "{LEFT_ALONE}: somebody stopped it ({code}{at}); start it yourself or run `sandbook run {runbook} {target}`"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(status: Status, exit_code: i32) -> ContainerState {
        let finished_at = Some("2026-01-01T00:00:00Z".to_owned());
        ContainerState { status, exit_code: Some(exit_code), finished_at, ..ContainerState::default() }
    }

    #[test]
    fn a_stop_is_told_by_events_and_by_the_restart_policy() {
        // status, exit code, restart policy, what events show, stopped on request
        for (status, code, policy, asked, wanted) in [
            (Status::Exited, 0, "no", Some(true), true),
            (Status::Exited, 143, "no", Some(true), true),
            (Status::Exited, 137, "no", Some(true), true),
            (Status::Exited, 1, "on-failure", Some(true), true),
            (Status::Exited, 0, "no", Some(false), false),
            (Status::Exited, 1, "no", Some(false), false),
            (Status::Exited, 137, "on-failure:3", Some(false), false),
            (Status::Exited, 143, "no", None, false),
            (Status::Exited, 143, "unless-stopped", None, true),
            (Status::Exited, 1, "always", Some(false), true),
            (Status::Restarting, 1, "always", Some(false), false),
            (Status::Running, 0, "always", Some(true), false),
            (Status::Created, 0, "unless-stopped", None, false),
            (Status::Dead, 137, "always", None, false),
            (Status::Paused, 0, "always", None, false),
            (Status::Removing, 0, "always", None, false),
        ] {
            let found = on_request(&state(status, code), policy, asked).is_some();
            assert_eq!(found, wanted, "{status:?} {code} {policy} {asked:?}");
        }
        let oom = ContainerState { oom_killed: true, ..state(Status::Exited, 137) };
        assert_eq!(on_request(&oom, "always", Some(true)), None);
        let unstartable =
            ContainerState { error: "port is already allocated".to_owned(), ..state(Status::Exited, 128) };
        assert_eq!(on_request(&unstartable, "always", Some(true)), None);
    }

    #[test]
    fn only_what_would_start_it_is_held_back() {
        let stop = on_request(&state(Status::Exited, 143), "no", Some(true));
        let facts = Facts { stop, ..Facts::default() };
        let effect = |name: &str| Effect::from_arguments(name, json!({"container": "web"})).expect("valid");
        let why = left_alone(&effect("docker.start-container"), &facts, "mend", "local/web").expect("held back");
        assert_eq!(
            why,
            "left alone: somebody stopped it (exit 143 at 2026-01-01T00:00:00Z); start it yourself or run `sandbook run mend local/web`"
        );
        assert!(left_alone(&effect("docker.restart-container"), &facts, "mend", "local/web").is_some());
        for harmless in ["docker.inspect-container", "docker.stop-container", "docker.kill-container"] {
            assert_eq!(left_alone(&effect(harmless), &facts, "mend", "local/web"), None, "{harmless}");
        }
        assert_eq!(left_alone(&effect("docker.start-container"), &Facts::default(), "mend", "local/web"), None);
    }
}
