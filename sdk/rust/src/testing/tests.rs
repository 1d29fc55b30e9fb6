//! The SDK off the engine: a test's world, errors, inputs. The same as the tests of the SDKs in Python and JavaScript.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{About, Call, World, play};
use crate::{Answer, Change, Error, Input, Value, clock, docker, done, fixed, http, log, state};

fn restart(input: Input) -> Answer {
    let before = docker::inspect_container(input.container()?)?;
    log::attach_evidence("state", before.state.status.word());
    docker::restart_container(&before.name, docker::StopOptions { grace_ms: input.duration("grace") })?;
    fixed(format!("restarted {} for {}", before.name, input.label("alertname").unwrap_or_default()))
}

fn web() -> docker::ContainerDetails {
    docker::ContainerDetails { name: "web-1".into(), ..Default::default() }
}

/// What a panic said.
fn panic_of<T>(what: impl FnOnce() -> T) -> String {
    let said = catch_unwind(AssertUnwindSafe(what)).err().expect("it panics");
    said.downcast_ref::<String>().cloned().unwrap_or_else(|| (*said.downcast::<&str>().expect("a text")).to_owned())
}

#[test]
fn a_world_answers_and_remembers() {
    let world = World::new()
        .answer("docker.inspect-container", web())
        .answer("docker.restart-container", Change { changed: true, ..Default::default() });
    let about = About::target("t:1").label("alertname", "X").parameter("grace", Value::Duration(5));
    assert_eq!(play(&world, restart, about), fixed("restarted web-1 for X"));
    assert_eq!(world.effects(), ["docker.inspect-container", "docker.restart-container"]);
    assert_eq!(world.calls()[2].argument::<docker::StopOptions>("options").grace_ms, Some(5));
    assert_eq!(world.calls()[2].argument::<String>("container"), "web-1");
    assert_eq!(world.notes(), ["created"]);
}

#[test]
fn answers_come_call_by_call_and_the_last_is_repeated() {
    let mut ill = web();
    ill.name = "first".into();
    let by_name = |call: &Call| match call.argument::<String>("container").as_str() {
        "gone" => Err(Error::NotFound("it is gone".into())),
        name => Ok(docker::ContainerDetails { name: name.into(), ..Default::default() }),
    };
    let world = World::new().answer("docker.inspect-container", ill).answer_with("docker.inspect-container", by_name);
    let names = |_: Input| ["a", "b", "gone"].map(|name| docker::inspect_container(name).map(|found| found.name));
    let found = play(&world, names, About::default());
    assert_eq!(found, [Ok("first".into()), Ok("b".into()), Err(Error::NotFound("it is gone".into()))]);
}

#[test]
fn errors_are_typed_and_unanswered_effects_fail() {
    let world = World::new().answer("docker.inspect-container", Error::Denied("no".into()));
    assert_eq!(play(&world, restart, About::target("t:1")), Err(Error::Denied("no".into())));
    let nothing = |_: Input| http::get("http://x", &http::GetOptions::default());
    let said = panic_of(|| play(&World::new(), nothing, About::default()));
    assert!(said.contains("http.get(url: \"http://x\"") && said.contains("world.answer(\"http.get\""), "{said}");
    // A run that was started without a target.
    let without = play(&World::new(), restart, About::default());
    assert_eq!(without.map_err(|error| error.kind()), Err("invalid"));
}

#[test]
fn a_test_that_says_something_impossible_is_told_so() {
    let said = panic_of(|| World::new().answer("docker.inspect-container", 5_u32));
    assert!(
        said.contains("docker.inspect-container answers a ") && said.ends_with("ContainerDetails, not a u32"),
        "{said}"
    );
    let said = panic_of(|| World::new().answer("docker.inspect", web()));
    assert!(said.contains("there is no effect \"docker.inspect\""), "{said}");
    let said = panic_of(|| World::new().answer("docker.inspect", Error::Denied("no".into())));
    assert!(said.contains("there is no effect"), "{said}");
}

#[test]
fn memory_and_time_need_no_answers() {
    let world = World::new().at(1_000).remembering("known", "1");
    let run = |_: Input| -> Answer {
        let before = clock::now()?;
        clock::sleep(2_000)?;
        assert!(state::compare_and_put("k", None, "v")? && !state::compare_and_put("k", None, "w")?);
        assert_eq!((state::get("k")?, state::get("known")?), (Some("v".into()), Some("1".into())));
        done((clock::now()? - before).to_string())
    };
    assert_eq!(play(&world, run, About::default()), done("2000"));
    assert_eq!((world.now_ms(), world.memory("k")), (3_000, Some("v".into())));
}

#[test]
fn without_a_world_it_says_how() {
    let list = || docker::list_containers(&docker::ContainerFilter::default());
    assert!(panic_of(list).contains("sandbook_sdk::testing::play"));
    // And a world is over when its run is, also when that panics.
    panic_of(|| play(&World::new(), |_| -> () { panic!("as it was told") }, About::default()));
    assert!(panic_of(list).contains("sandbook_sdk::testing::play"));
}
