//! What people did or own is left alone: the engine's own container, containers somebody stopped, compose files.
//!
//! With a real Docker engine, and a policy that permits everything: what holds back here is not policy.

use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::Package;
use sandbook_tests::wait;
use serde_json::{Value, json};

/// A start or a restart, in a debug build on a loaded machine.
const DONE_WITHIN: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[brakes]
settle = "0s"
storm = { min = 1000, share = 1.0, window = "10m" }
"#;
/// Everything to everybody.
const POLICY: &str = "permit (principal, action in Action::\"mutate\", resource);\n";

/// A runbook of one effect on its target, started by an alert of its name or by hand.
fn one_effect(name: &str, effect: &str, alert: &str, line: &str) -> Package {
    let text = format!(
        r#"//! name = "{name}"
//! version = "1.0.0"
//! summary = "Does one thing."
//! [[trigger]]
//! alert = ["{alert}"]
//! [target]
//! kind = "container"
//! container_from = ["container"]
//! [requests]
//! effects = ["docker.{effect}"]
//! [brake]
//! settle = "1ms"
fn run(input) {{
    {line}
    done("did it")
}}
"#
    );
    Package::rhai_file(name, &text)
}

fn daemon(docker: &Dockerd) -> Daemon {
    Daemon::start(Setup::with(CONFIG).docker(&docker.endpoint()).file("policy/everything.cedar", POLICY))
}

/// The one run of a runbook, ended.
#[track_caller]
fn run_of(daemon: &Daemon, runbook: &str) -> Value {
    let first = || daemon.runs(&format!("runbook={runbook}")).into_iter().next().ok_or("no run yet".to_owned());
    let run = wait::until("a run", DONE_WITHIN, || daemon.log_tail(), first);
    daemon.ended(run["run"].as_str().expect("an id"))
}

#[track_caller]
fn journal(daemon: &Daemon, run: &Value) -> String {
    Value::from(daemon.journal(run["run"].as_str().expect("an id"))).to_string()
}

#[test]
fn the_engines_own_container_and_what_it_needs_are_never_touched() {
    let docker = Dockerd::start();
    let proxy = docker.service("proxy");
    let labels = json!({"Labels": {"sandbook.self": "true"}, "HostConfig": {"NetworkMode": "container:proxy"}});
    let own = docker.create("sandbook", &labels);
    let daemon = daemon(&docker);
    for (effect, call) in [
        ("restart-container", "docker::restart_container(input.target);"),
        ("stop-container", "docker::stop_container(input.target);"),
        ("kill-container", "docker::kill_container(input.target);"),
        ("pause-container", "docker::pause_container(input.target);"),
        ("update-resources", "docker::update_resources(input.target, #{ cpus: 0.5 });"),
        ("exec", "docker::exec(input.target, [\"true\"]);"),
    ] {
        let runbook = format!("do-{effect}");
        daemon.push_live(&one_effect(&runbook, effect, "Nothing", call));
        for (target, why) in
            [("sandbook", "this engine runs in it"), ("proxy", "in which this engine runs, uses its network")]
        {
            let run = daemon.ended(&daemon.run(&runbook, &json!({"target": target})));
            assert_eq!(run["outcome"], "refused", "{effect} on {target}: {run}");
            let journal = journal(&daemon, &run);
            assert!(journal.contains(why) && journal.contains("do this by hand"), "{effect} on {target}: {journal}");
        }
    }
    for one in [&own, &proxy] {
        let done: usize =
            ["restart", "stop", "kill", "pause", "update"].map(|what| docker.events(one.name(), what)).iter().sum();
        assert_eq!(done, 0, "{}", one.name());
    }
}

#[test]
fn what_somebody_stopped_is_left_alone_until_a_person_says_so() {
    let docker = Dockerd::start();
    let policy = json!({"HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "unless-stopped"}}});
    let web = docker.create("web", &policy);
    let queue = docker.service("queue");
    let daemon = daemon(&docker);
    for (name, alert) in [("start-web", "WebDown"), ("start-queue", "QueueDown")] {
        daemon.push_live(&one_effect(name, "start-container", alert, "docker::start_container(input.target);"));
    }
    daemon.cli(&["promote", "restart-exited", "live", "--reason", "it heals in this test"]).expect(0);

    web.stop();
    web.await_state("exited");
    daemon.alert(&[Alert::firing("WebDown").label("container", "web")]);
    let run = run_of(&daemon, "start-web");
    assert_eq!(run["outcome"], "limited", "{run}");
    let sentence = run["sentence"].as_str().unwrap_or_default();
    assert!(sentence.starts_with("left alone: somebody stopped it (exit 0 at 20"), "{sentence}");
    assert!(sentence.ends_with("start it yourself or run `sandbook run start-web local/web`"), "{sentence}");
    // Docker's own event started the built-in as well; an alert would join that run while it is at work.
    let of_event = |run: &Value| run["trigger"] == "docker-event" && !run["finished_at"].is_null();
    wait::until(
        "the run of the engine's own event to be over",
        DONE_WITHIN,
        || daemon.log_tail(),
        || {
            let runs = daemon.runs("runbook=restart-exited");
            if runs.iter().any(of_event) { Ok(()) } else { Err(format!("{runs:?}")) }
        },
    );
    daemon.alert(&[Alert::firing("ContainerExited").label("container", "web")]);
    let left = wait::until(
        "the built-in to look",
        DONE_WITHIN,
        || daemon.log_tail(),
        || {
            let runs = daemon.runs("runbook=restart-exited");
            let of_alert = runs.into_iter().find(|run| run["trigger"] == "alert" && run["mode"] == "live");
            of_alert.ok_or("no run yet".to_owned())
        },
    );
    let left = daemon.ended(left["run"].as_str().expect("an id"));
    assert_eq!(left["outcome"], "nothing-to-do", "{left}");
    assert_eq!(docker.events("web", "start"), 1, "the one that made it");

    // A person may.
    let run = daemon.ended(&daemon.run("start-web", &json!({"target": "web"})));
    assert_eq!(run["outcome"], "done", "{run}");
    web.await_state("running");

    // A crash is nobody's wish.
    daemon.cli(&["demote", "restart-exited", "--reason", "the other one is to do it"]).expect(0);
    queue.crash();
    queue.await_state("exited");
    daemon.alert(&[Alert::firing("QueueDown").label("container", "queue")]);
    let run = run_of(&daemon, "start-queue");
    assert_eq!(run["outcome"], "done", "{run}");
    queue.await_state("running");
}

#[test]
fn what_this_engine_stopped_it_may_start() {
    let docker = Dockerd::start();
    let web = docker.service("web");
    let daemon = daemon(&docker);
    let both = "docker::stop_container(input.target, #{ grace_ms: 2000 }); docker::start_container(input.target);";
    let cycle = one_effect("cycle", "stop-container\", \"docker.start-container", "WebIll", both);
    daemon.push_live(&cycle);
    daemon.alert(&[Alert::firing("WebIll").label("container", "web")]);
    let run = run_of(&daemon, "cycle");
    assert_eq!(run["outcome"], "done", "{run}\n{}", journal(&daemon, &run));
    web.await_state("running");
}

#[test]
fn what_no_compose_file_knows_is_written_down() {
    let docker = Dockerd::start();
    let web = docker.compose_service("shop", "web", 1);
    let plain = docker.service("plain");
    let daemon = daemon(&docker);
    daemon.cli(&["drift"]).expect(0).says("no run made a container differ");
    let line = "docker::update_resources(input.target, #{ cpus: 0.5 });";
    daemon.push_live(&one_effect("slow-down", "update-resources", "Nothing", line));
    for target in ["shop-web-1", "plain"] {
        let planned = daemon.cli(&["plan", "slow-down", target]).expect(0);
        assert_eq!(format!("{planned:?}").contains("drift: it then differs"), target == "shop-web-1", "{planned:?}");
        let run = daemon.ended(&daemon.run("slow-down", &json!({"target": target})));
        assert_eq!(run["outcome"], "done", "{run}");
        let said = daemon.cli(&["show", run["run"].as_str().expect("an id")]).expect(0);
        let expected = target == "shop-web-1";
        assert_eq!(format!("{said:?}").contains("its compose file does not know"), expected, "{target}: {said:?}");
    }
    let listed = daemon.api().get("/v1/drift").expect(200).json();
    let drift = listed["drift"].as_array().expect("a list");
    assert_eq!(drift.len(), 1, "a container without compose differs from nothing: {listed}");
    assert_eq!((&drift[0]["container"], &drift[0]["change"]), (&json!("shop-web-1"), &json!("cpus 0.5")), "{listed}");
    assert_eq!((&drift[0]["gone"], &drift[0]["instance"]), (&json!(false), &json!(web.id())), "{listed}");
    daemon.cli(&["drift"]).expect(0).says("local/shop-web-1").says("cpus 0.5").says("yes");
    web.remove();
    wait::until(
        "it to be gone",
        DONE_WITHIN,
        || daemon.log_tail(),
        || {
            let listed = daemon.api().get("/v1/drift").expect(200).json();
            if listed["drift"][0]["gone"] == true { Ok(()) } else { Err(listed.to_string()) }
        },
    );
    drop(plain);
}

#[test]
fn dependents_are_restarted_in_order() {
    let docker = Dockerd::start();
    let vpn = docker.service("vpn");
    let shared = json!({"HostConfig": {"NetworkMode": "container:vpn"}});
    let (one, two) = (
        docker.create("b-sharer", &shared),
        docker.create("a-volumes", &json!({"HostConfig": {"NetworkMode": "none", "VolumesFrom": ["vpn"]}})),
    );
    let bystander = docker.service("bystander");
    let daemon = daemon(&docker);
    daemon.cli(&["promote", "restart-with-dependents", "live", "--reason", "it heals in this test"]).expect(0);
    vpn.sicken();
    vpn.await_health("unhealthy");
    let run = daemon.ended_within(&daemon.run("restart-with-dependents", &json!({"target": "vpn"})), 2 * DONE_WITHIN);
    assert_eq!(run["outcome"], "fixed", "{run}\n{}", journal(&daemon, &run));
    assert_eq!(run["sentence"], "restarted vpn, b-sharer, a-volumes, all well");
    let started = [&vpn, &one, &two].map(|container| container.started_at());
    assert!(started.is_sorted(), "the network first, then its sharer, then the rest: {started:?}");
    for container in [&vpn, &one, &two] {
        assert_eq!(docker.events(container.name(), "restart"), 1, "{}", container.name());
    }
    assert_eq!(docker.events(bystander.name(), "restart"), 0);
}
