//! The decision and the whole run, off the engine.

use sandbook_sdk::testing::{About, World, play};
use sandbook_sdk::{Change, ContainerState};

use super::*;

fn died(status: ContainerStatus, exit_code: Option<i32>) -> ContainerDetails {
    let state = ContainerState { status, exit_code, ..Default::default() };
    ContainerDetails { name: "web".into(), state, ..Default::default() }
}

fn events(actions: &[&str]) -> Vec<Event> {
    let event = |action: &&str| Event { action: (*action).into(), container: "web".into(), ..Default::default() };
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

/// A crash, as far as the start.
fn crashed() -> World {
    World::new()
        .answer("docker.inspect-container", died(ContainerStatus::Exited, Some(1)))
        .answer("docker.recent-events", events(&["start", "die"]))
        .answer("logs.tail-container", logs::Page { text: "out of file handles".into(), ..Default::default() })
}

fn about() -> About {
    About::target("web")
}

#[test]
fn a_crash_is_started_once_after_its_evidence_was_kept() {
    let world = crashed()
        .answer("docker.inspect-container", died(ContainerStatus::Running, None))
        .answer("docker.start-container", Change::default());
    assert_eq!(play(&world, run, about()), fixed("web died with exit code 1; started, and running a second later"));
    let look = "docker.inspect-container";
    let expected = [look, "docker.recent-events", "logs.tail-container", "docker.start-container", "clock.sleep", look];
    assert_eq!(world.effects(), expected);
    assert_eq!(world.notes()[1], "out of file handles");
}

#[test]
fn a_start_that_does_not_hold_goes_to_a_person() {
    let world = crashed().answer("docker.start-container", Change::default());
    let said = "web died with exit code 1; started, but it does not stay up: exit code 1";
    assert_eq!(play(&world, run, about()), escalate(said));
}

#[test]
fn a_refused_start_is_the_runs_error_and_what_the_engine_holds_back_is_left_alone() {
    let denied = Error::Denied("no policy permits it".into());
    let world = crashed().answer("docker.start-container", denied.clone());
    assert_eq!(play(&world, run, about()), Err(denied));
    let why = "left alone: somebody stopped it";
    let world = crashed().answer("docker.start-container", Error::Limited(why.into()));
    assert_eq!(play(&world, run, about()), nothing_to_do(why));
}

#[test]
fn evidence_that_cannot_be_read_does_not_end_the_run() {
    let world = World::new()
        .answer("docker.inspect-container", died(ContainerStatus::Exited, Some(127)))
        .answer("docker.recent-events", events(&["die"]))
        .answer("logs.tail-container", Error::Failed("the log driver keeps none".into()));
    let said = "web cannot start: its command was not found, exit code 127";
    assert_eq!(play(&world, run, about()), escalate(said));
    assert_eq!(world.notes().last().map(String::as_str), Some("no log lines: the log driver keeps none"));
}
