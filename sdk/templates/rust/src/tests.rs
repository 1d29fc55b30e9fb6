//! The runbook off the engine: `cargo test`. What it does as a whole: `sandbook test .`

use sandbook_sdk::testing::{About, World, play};
use sandbook_sdk::{Change, ContainerState, Error, HealthStatus, Outcome, Value, docker, fixed, logs};

use super::run;

fn container(health: HealthStatus) -> docker::ContainerDetails {
    let state = ContainerState { health, ..Default::default() };
    docker::ContainerDetails { name: "web-1".into(), state, ..Default::default() }
}

fn about() -> About {
    About::target("web-1").parameter("grace", Value::Duration(10_000))
}

#[test]
fn a_sick_container_is_restarted_once() {
    let world = World::new()
        .answer("docker.inspect-container", container(HealthStatus::Unhealthy))
        .answer("docker.inspect-container", container(HealthStatus::Healthy))
        .answer("logs.tail-container", logs::Page { text: "GET / 500".into(), ..Default::default() })
        .answer("docker.restart-container", Change::default());
    assert_eq!(play(&world, run, about()), fixed("restarted web-1, healthy after about 2 seconds"));
    assert_eq!(world.effects().iter().filter(|effect| **effect == "docker.restart-container").count(), 1);
    assert_eq!(world.notes(), ["GET / 500"]);
}

#[test]
fn a_healthy_container_is_left_alone() {
    let world = World::new().answer("docker.inspect-container", container(HealthStatus::Healthy));
    assert!(matches!(play(&world, run, about()), Ok(Outcome::NothingToDo(_))));
    assert_eq!(world.effects(), ["docker.inspect-container"]);
}

#[test]
fn a_restart_that_is_denied_ends_the_run_with_the_reason() {
    let denied = Error::Denied("no policy permits it".into());
    let world = World::new()
        .answer("docker.inspect-container", container(HealthStatus::Unhealthy))
        .answer("logs.tail-container", logs::Page::default())
        .answer("docker.restart-container", denied.clone());
    assert_eq!(play(&world, run, about()), Err(denied));
}
