//! The loop is closed: the real binary acts on real containers and finds out whether that helped.
//!
//! A container that stays ill contradicts; a version that keeps failing is taken out of action and people are told; an
//! alert that fires again contradicts what was confirmed, also across a restart; a runbook's own `verify`, in Rhai and
//! in Rust, is asked instead of the condition.

use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::Package;
use sandbook_tests::{repository, wait};
use serde_json::{Value, json};

use super::brakes::Received;

/// `within` is seconds here; a look and a restart of a container come on top, on a loaded machine.
const VERIFIED_WITHIN: Duration = Duration::from_secs(60);
/// Notifications go out at once.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

const POLICY: &str = r#"
@id("changes")
permit (principal, action in Action::"mutate", resource is Container);
"#;

/// Changes its container in a way that heals nothing.
const USELESS: &str = r#"//! name = "useless"
//! version = "1.0.0"
//! summary = "Made by a test."
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.update-resources"]
//! [verify]
//! within = "2s"
fn run(input) {
    docker::update_resources(input.target, #{ pids: 500 });
    fixed("limited")
}
"#;

/// Restarts its container, which heals it.
const HEALS: &str = r#"//! name = "heals"
//! version = "1.0.0"
//! summary = "Made by a test."
//! [[trigger]]
//! alert = ["WebIll"]
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.restart-container"]
//! [verify]
//! within = "30s"
fn run(input) {
    docker::restart_container(input.target, #{ grace_ms: 0 });
    fixed("restarted")
}
"#;

fn daemon(docker: &Dockerd, more: &str) -> Daemon {
    let config = format!("[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n{more}");
    Daemon::start(Setup::with(&config).docker(&docker.endpoint()).file("policy/changes.cedar", POLICY))
}

fn channel(received: &Received) -> String {
    format!(
        "[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{}\"\n\
         [[notify.routes]]\non = [\"contradicted\", \"demoted\"]\nchannel = \"ops\"\n",
        received.listen()
    )
}

/// The run once its verification says one of these.
#[track_caller]
fn verified(daemon: &Daemon, run: &str, words: &[&str]) -> Value {
    daemon.ended(run);
    wait::until(
        &format!("run {run} to be {}", words.join(" or ")),
        VERIFIED_WITHIN,
        || daemon.log_tail(),
        || {
            let found = daemon.api().get(&format!("/v1/runs/{run}")).expect(200).json();
            let there = words.iter().any(|word| found["verification"] == *word);
            if there { Ok(found) } else { Err(found.to_string()) }
        },
    )
}

fn stage(daemon: &Daemon, runbook: &str) -> Value {
    daemon.api().get(&format!("/v1/runbooks/{runbook}")).expect(200).json()
}

#[test]
fn what_never_helps_is_contradicted_then_demoted_and_people_are_told() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    web.sicken();
    let received = Received::default();
    let mut daemon = daemon(&docker, &channel(&received));
    let digest = daemon.push_live(&Package::rhai_file("useless", USELESS));
    for n in 1..=3 {
        assert_eq!(stage(&daemon, "useless")["stage"], "live", "before run {n}");
        let run = daemon.run("useless", &json!({"target": "web-1"}));
        let run = verified(&daemon, &run, &["contradicted", "confirmed", "unknown"]);
        assert_eq!(run["verification"], "contradicted", "{run}");
        assert_eq!(run["verification_why"], "it was still unhealthy, 2s after the run");
        assert!(run["acted_at"].is_string() && run["verified_at"].is_string(), "{run}");
    }
    let runbook = wait::until(
        "the version to be demoted",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            let runbook = stage(&daemon, "useless");
            if runbook["stage"] == "shadow" { Ok(runbook) } else { Err(runbook.to_string()) }
        },
    );
    assert_eq!(runbook["demoted"], "3 of its last 5 runs that acted did not help");
    assert_eq!((&runbook["contradicted"], &runbook["success_rate"]), (&json!(3), &json!(0.0)));
    assert_eq!(runbook["subjects"][0]["subject"], "local/web-1");
    assert_eq!(runbook["digest"], digest.as_str());
    wait::until(
        "people to be told",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            // Two that wait at once are one message that counts them.
            let told = received.all();
            let count = |kind: &str| -> u64 {
                told.iter().filter(|body| body["kind"] == kind).filter_map(|body| body["count"].as_u64()).sum()
            };
            if (count("contradicted"), count("demoted")) == (3, 1) { Ok(()) } else { Err(format!("{told:?}")) }
        },
    );
    daemon.cli(&["runbooks", "useless"]).expect(0).says("the engine put it into shadow").says("0 % (0 of 3)");
    daemon.cli(&["show", "last"]).expect(0).says("contradicted: it was still unhealthy, 2s after the run");
    let status = daemon.api().get("/status").expect(200).json();
    assert_eq!(status["demoted"][0], "useless 1.0.0 is in shadow: 3 of its last 5 runs that acted did not help");
    assert_eq!(status["outcomes"]["contradicted"], 3);
    assert_eq!(status["time_to_first_effect"]["count"], 3);
    let metrics = daemon.api().get("/metrics").expect(200).text();
    assert!(metrics.contains("sandbook_demotions_total{runbook=\"useless\"} 1"), "{metrics}");
    assert!(metrics.contains("sandbook_verifications_total{result=\"contradicted\",runbook=\"useless\"} 3"));

    // It stays in shadow over a restart, and a person's promotion lifts it.
    daemon.kill();
    daemon.restart();
    assert_eq!(stage(&daemon, "useless")["stage"], "shadow");
    daemon.cli(&["promote", "useless", "live", "--reason", "mended"]).expect(0);
    let runbook = stage(&daemon, "useless");
    assert_eq!((&runbook["stage"], &runbook["demoted"]), (&json!("live"), &Value::Null));
}

#[test]
fn an_alert_that_fires_again_contradicts_also_after_a_kill() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    web.sicken();
    let received = Received::default();
    let mut daemon = daemon(&docker, &channel(&received));
    daemon.push_live(&Package::rhai_file("heals", HEALS));
    let alert = || Alert::firing("WebIll").label("name", "web-1").fingerprint("f1");
    let first = daemon.alert(&[alert()]);
    let run = first["runs"][0]["run"].as_str().expect("a run").to_owned();
    let confirmed = verified(&daemon, &run, &["confirmed", "contradicted", "unknown"]);
    assert_eq!(confirmed["verification"], "confirmed", "{confirmed}");
    assert_eq!(confirmed["verification_why"], "it runs and is healthy");
    assert!(confirmed["verify_until"].is_string(), "it can still change: {confirmed}");

    daemon.alert(&[alert().resolved()]);
    let status = daemon.api().get("/status").expect(200).json();
    assert_eq!(status["mttr"]["count"], 1, "{status}");
    daemon.kill();
    daemon.restart();
    daemon.alert(&[alert().starts_at(&jiff::Timestamp::now().to_string())]);
    let run = verified(&daemon, &run, &["contradicted"]);
    let why = run["verification_why"].as_str().expect("a sentence");
    assert!(why.starts_with("fired again ") && why.ends_with(" after it was fixed"), "{why}");
    wait::until(
        "people to be told",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            let all = received.all();
            if all.len() == 1 { Ok(()) } else { Err(format!("{all:?}")) }
        },
    );
}

/// The manifest's condition could never hold, so what is confirmed was confirmed by the runbook's own word.
#[test]
fn a_runbooks_own_verify_is_asked_in_both_languages() {
    let docker = Dockerd::start();
    let daemon = daemon(&docker, "");
    let folder = repository().join("tests/cases/verified");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("the case is there");
    let manifest = String::from_utf8(read("runbook.toml")).expect("text");
    for (name, code) in [("verified-rhai", "main.rhai"), ("verified-rust", "main.wasm")] {
        let container = docker.service(&format!("web-{name}"));
        container.sicken();
        let manifest = manifest.replace("name = \"verified\"", &format!("name = \"{name}\""));
        daemon.push_live(&Package::tar(name, &[("runbook.toml", manifest.as_bytes()), (code, &read(code))]));
        let run = daemon.run(name, &json!({"target": container.name()}));
        let run = verified(&daemon, &run, &["confirmed", "contradicted", "unknown"]);
        assert_eq!(run["verification"], "confirmed", "{name}: {run}");
        assert_eq!(run["verification_why"], "the runbook's `verify` says yes", "{name}");
    }
}

/// Makes its container anew, which heals it.
const ANEW: &str = r#"//! name = "anew"
//! version = "1.0.0"
//! summary = "Made by a test."
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.recreate-container"]
//! [verify]
//! within = "30s"
fn run(input) {
    docker::recreate_container(input.target, #{ grace_ms: 1000, healthy_within_ms: 20000 });
    fixed("made anew")
}
"#;

#[test]
fn a_container_that_a_run_made_anew_is_judged_by_its_new_instance() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    web.sicken();
    let daemon = daemon(&docker, "");
    daemon.push_live(&Package::rhai_file("anew", ANEW));
    let run = daemon.run("anew", &json!({"target": "web-1"}));
    let run = verified(&daemon, &run, &["contradicted", "confirmed", "unknown"]);
    assert_eq!(run["verification"], "confirmed", "{run}\n{}", daemon.log_tail());
    assert_eq!(run["verification_why"], "it runs and is healthy");
    assert_ne!(web.inspect()["Id"], web.id(), "there is a new instance");
}
