//! A run leaves its machine as one file and executes again without daemon and Docker; a draft is tried on what was
//! recorded before it may act.
//!
//! The engine is a fake: what is looked at here is what was recorded, not what Docker does.

use std::path::Path;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup, sandbook};
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::package::Package;
use sandbook_tests::wait;
use serde_json::{Value, json};

/// A snapshot is taken beside the run; a loaded machine is slow.
const TAKEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// In a file that only a driver reads, and in a header that only a receiver sees.
const CANARIES: [&str; 2] = ["canary-in-the-url-4711", "canary-in-the-header-4712"];

const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[brakes]
settle = "0s"
[notify.channels.ops]
kind = "webhook"
url_file = "./secrets/ops-url"
headers = { x-canary = "canary-in-the-header-4712" }
"#;
const POLICY: &str = "permit (principal, action in Action::\"mutate\", resource);\n";

/// A runbook that waits, tells and acts.
fn heal(version: &str, body: &str) -> String {
    format!(
        r#"//! name = "heal"
//! version = "{version}"
//! summary = "Waits, tells and restarts."
//! [[trigger]]
//! alert = ["ContainerUnhealthy"]
//! [target]
//! kind = "container"
//! container_from = ["name"]
//! [requests]
//! effects = ["docker.inspect-container", "docker.restart-container", "docker.stop-container", "notify.send"]
//! [brake]
//! attempts = ["2/1h"]
//! settle = "1ms"
fn run(input) {{
    let before = docker::inspect_container(input.target);
    log::progress("looking at " + before.name, 10);
    {body}
}}
"#
    )
}

const RESTARTS: &str = r#"clock::sleep(1500);
    try { notify::send(#{ title: "about " + before.name, text: "restarting it" }); } catch (problem) { print(problem.kind); }
    docker::restart_container(input.target);
    fixed("restarted " + before.name)"#;

fn daemon(docker: &FakeDocker, more: &str) -> Daemon {
    let setup = Setup::with(&CONFIG.replace("[brakes]", &format!("{more}\n[brakes]")))
        .docker(&docker.endpoint())
        .file("policy/everything.cedar", POLICY)
        .file("secrets/ops-url", "http://127.0.0.1:9/canary-in-the-url-4711\n");
    Daemon::start(setup)
}

#[test]
fn a_run_replays_on_a_machine_without_docker_and_says_where_another_version_differs() {
    let docker = FakeDocker::start();
    docker.container("web", "unhealthy");
    let daemon = daemon(&docker, "");
    daemon.push_live(&Package::rhai_file("heal", &heal("1.0.0", RESTARTS)));
    let run = daemon.run("heal", &json!({"target": "web"}));
    assert_eq!(daemon.ended(&run)["outcome"], "fixed");

    let here = daemon.cli(&["replay", &run]).expect(0).says("equal").says("restarted web");
    assert!(here.out.contains(&run), "{here}");
    daemon.cli(&["journal", &run, "--export", "run.json"]).expect(0).says("written to run.json");
    let file = std::fs::read_to_string(daemon.path("run.json")).expect("it was written");
    for canary in CANARIES {
        assert!(!file.contains(canary), "{canary} is in the file");
    }

    // Elsewhere: an empty folder, no daemon, no engine.
    let elsewhere = tempfile::TempDir::with_prefix("sandbook-replay-").expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(elsewhere.path().join(name), text).expect("our own folder");
    let replay = |arguments: &[&str]| sandbook(elsewhere.path(), &[&["replay"], arguments].concat());
    write("run.json", &file);
    replay(&["run.json"]).expect(0).says("equal");
    let seen: Value = replay(&["run.json", "--json"]).expect(0).json();
    assert_eq!((&seen["verdict"], &seen["run"], &seen["outcome"]), (&json!("equal"), &json!(run), &json!("fixed")));

    write("stops.rhai", &heal("2.0.0", "docker::stop_container(input.target);\n    done(\"stopped \" + before.name)"));
    let other = replay(&["run.json", "--path", "stops.rhai"]).expect(4);
    other.says("diverges at slot 1").says("clock.sleep").says("docker.stop-container").says("stop container local/web");
    let on_the_daemon =
        daemon.cli(&["replay", &run, "--path", &elsewhere.path().join("stops.rhai").display().to_string()]);
    on_the_daemon.expect(4).says("diverges at slot 1").says("stopped web");
    assert_eq!(docker.changes("web"), 1, "only the run itself restarted it");

    write("edited.json", &file.replacen("restarted web", "restarted wet", 1));
    replay(&["edited.json"]).expect(1).says("it was changed after it was exported").says("export the run again");
    write("newer.json", &file.replacen("\"sandbook_export\":1", "\"sandbook_export\":9", 1));
    replay(&["newer.json"]).expect(1).says("it has format 9, and this version reads 1");
    write("other.json", "{\"runs\":[]}");
    replay(&["other.json"]).expect(1).says("it is no exported run");
}

#[test]
fn runs_that_are_not_over_or_never_began_say_so() {
    let docker = FakeDocker::start();
    docker.container("web", "unhealthy");
    let daemon = daemon(&docker, "");
    daemon.push_live(&Package::rhai_file("heal", &heal("1.0.0", "clock::sleep(3600000); done(\"late\")")));
    let run = daemon.run("heal", &json!({"target": "web"}));
    wait::until(
        "it to wait",
        TAKEN_WITHIN,
        || daemon.log_tail(),
        || {
            let state = daemon.api().get(&format!("/v1/runs/{run}")).expect(200).json()["state"].clone();
            if state == "waiting" { Ok(()) } else { Err(state.to_string()) }
        },
    );
    daemon.cli(&["replay", &run]).expect(0).says("equal so far");
    daemon.cli(&["cancel", &run]).expect(0);
    daemon.ended(&run);
    daemon.cli(&["replay", &run]).expect(0).says("equal: ").says("cancelled by admin");
    let never = daemon.run("heal", &json!({"target": "nobody"}));
    assert_eq!(daemon.ended(&never)["outcome"], "no-target");
    daemon.cli(&["replay", &never]).expect(1).says("it ended before its runbook began");
    daemon.cli(&["journal", &never, "--export", "never.json"]).expect(1).says("it ended before its runbook began");
    assert!(!Path::new(&daemon.path("never.json")).exists());
}

#[test]
fn a_draft_is_tried_on_recorded_alerts_before_it_goes_live() {
    let docker = FakeDocker::start();
    docker.container("web", "unhealthy");
    let daemon = daemon(&docker, "[runbooks]\nbacktest_required = true");
    // The recorded days: a version in shadow sees three alerts about one container, and one about nothing.
    daemon.push(&Package::rhai_file("heal", &heal("1.0.0", "nothing_to_do(\"only looking\")")));
    for (number, name) in ["web", "web", "web", "gone"].iter().enumerate() {
        daemon.alert(&[Alert::unhealthy(name).fingerprint(&format!("{number:016x}"))]);
    }
    daemon.alert(&[Alert::firing("SomethingElse")]);
    daemon.write("draft.rhai", heal("2.0.0", RESTARTS));
    // What the targets were like is written down beside the runs.
    let made = wait::until(
        "every target to be known",
        TAKEN_WITHIN,
        || daemon.log_tail(),
        || {
            let made = daemon.cli(&["backtest", "./draft.rhai", "--since", "1d", "--json"]).expect(0).json();
            if made["totals"]["unknown"] == 1 { Ok(made) } else { Err(made.to_string()) }
        },
    );
    let totals = &made["totals"];
    assert_eq!(
        (&totals["episodes"], &totals["matched"], &totals["unmatched"]),
        (&json!(5), &json!(4), &json!(1)),
        "{made}"
    );
    // The manifest brakes the third restart within the hour.
    assert_eq!((&totals["acts"], &totals["braked"], &totals["unknown"]), (&json!(2), &json!(1), &json!(1)), "{made}");
    assert_eq!(made["targets"][0]["target"], "local/web");
    daemon.cli(&["backtest", "./draft.rhai", "--since", "1d"]).expect(0).says("4 of 5 alerts").says("local/web");
    assert_eq!(docker.changes("web"), 0, "nothing was done");

    // Its version needs one of exactly its digest, and another has none.
    let refused = daemon.cli(&["promote", "heal", "live", "--reason", "untested"]);
    refused.expect(1).says("SB0530").says("sandbook backtest heal@");
    daemon.cli(&["push", "draft.rhai"]).expect(0);
    let digest = made["digest"].as_str().expect("a digest");
    daemon.cli(&["promote", &format!("heal@{digest}"), "live", "--reason", "tested"]).expect(0).says("4 of 5 alerts");
    daemon.cli(&["backtest", "nobody"]).expect(1).says("nobody");
}
