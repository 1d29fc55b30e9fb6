//! One thing after another: runs on a container and on what depends on it, alerts that join, and a daemon that is told
//! to stop while it works.

use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::package::Package;
use sandbook_tests::wait;
use serde_json::{Value, json};

const WORKS_WITHIN: Duration = Duration::from_secs(60);
const POLICY: &str = "@id(\"all\")\npermit (principal, action in Action::\"mutate\", resource);\n";
const CONFIG: &str = "[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n[brakes]\nper_host = []\n";

/// Half a second each. A run that is looked at while it naps must nap for longer than a stalled machine takes to look.
const NAPS: usize = 8;
/// Each stop of the daemon lets the nap at hand end, and a stalled machine lets some more.
const NAPS_OF_FOUR_STOPS: usize = 24;

/// Keeps its guest, and with it its locks, for some seconds (pauses below a second do not drop it), then restarts.
fn slow(name: &str, naps: usize) -> Package {
    let text = format!(
        "//! name = \"{name}\"\n//! version = \"1.0.0\"\n//! summary = \"Made by a test.\"\n\
         //! [[trigger]]\n//! alert = [\"Down\", \"AlsoDown\"]\n\
         //! [target]\n//! kind = \"container\"\n//! container_from = [\"name\"]\n\
         //! [requests]\n//! effects = [\"docker.restart-container\", \"docker.inspect-container\"]\n\
         //! [brake]\n//! attempts = [\"9/1h\"]\n//! settle = \"1s\"\n\
         fn run(input) {{\n    docker::inspect_container(input.target);\n    for i in 0..{naps} {{ clock::sleep(500); }}\n\
             docker::restart_container(input.target, #{{ grace_ms: 0 }});\n    fixed(\"restarted\")\n}}\n"
    );
    Package::rhai_file(name, &text)
}

fn state(daemon: &Daemon, run: &str) -> String {
    let run = daemon.api().get(&format!("/v1/runs/{run}")).expect(200).json();
    run["state"].as_str().unwrap_or_default().to_owned()
}

fn await_state(daemon: &Daemon, run: &str, wanted: &str) {
    wait::until(
        &format!("{run} to be {wanted}"),
        WORKS_WITHIN,
        || daemon.log_tail(),
        || {
            let state = state(daemon, run);
            if state == wanted { Ok(()) } else { Err(state) }
        },
    );
}

/// Both runs act on one network; whichever comes second waits until the first is through.
#[test]
fn runs_on_a_container_and_its_dependent_never_interleave() {
    let docker = Dockerd::start();
    let vpn = docker.service("vpn");
    let shares = json!({"HostConfig": {"NetworkMode": format!("container:{}", vpn.id())}});
    let _torrent = docker.create("torrent", &shares);
    let setup = Setup::with(CONFIG).docker(&docker.endpoint()).file("policy/all.cedar", POLICY);
    let daemon = Daemon::start(setup);
    daemon.push_live(&slow("of-the-parent", NAPS));
    daemon.push_live(&slow("of-the-child", NAPS));
    let parent = daemon.run("of-the-parent", &json!({"target": "vpn"}));
    await_state(&daemon, &parent, "running");
    let child = daemon.run("of-the-child", &json!({"target": "torrent"}));
    let (parent, child) = (daemon.ended(&parent), daemon.ended(&child));
    assert_eq!((&parent["outcome"], &child["outcome"]), (&json!("fixed"), &json!("fixed")), "{parent}\n{child}");
    let time = |run: &Value, key: &str| run[key].as_str().unwrap_or_default().to_owned();
    assert!(
        time(&child, "started_at") >= time(&parent, "finished_at"),
        "the dependent's run began while the other was at work: {parent}\n{child}"
    );
}

#[test]
fn an_alert_about_a_fault_somebody_is_at_work_on_joins_that_run() {
    let fake = FakeDocker::start();
    fake.container("web-1", "none");
    let setup = Setup::with(CONFIG).docker(&fake.endpoint()).file("policy/all.cedar", POLICY);
    let daemon = Daemon::start(setup);
    daemon.push_live(&slow("heals", NAPS));
    let alert = |name: &str, severity: &str| Alert::firing(name).label("name", "web-1").label("severity", severity);
    let first = daemon.alert(&[alert("Down", "warning")]);
    let run = first["runs"][0]["run"].as_str().expect("it starts a run").to_owned();
    await_state(&daemon, &run, "running");
    let second = daemon.alert(&[alert("AlsoDown", "critical")]);
    assert_eq!((&second["joined"], &second["runs"]), (&json!(1), &json!([])), "{second}");
    assert_eq!(daemon.ended(&run)["outcome"], "fixed");
    assert_eq!(fake.seen("POST", "/restart").len(), 1);
    let joined = daemon.episodes().into_iter().find(|episode| episode["name"] == "AlsoDown").expect("it is kept");
    assert_eq!(joined["runs"][0]["run"], json!(run), "its episode shows the run it joined: {joined}");
}

/// A service manager's stop is no crash: the run is put aside after the effect it is at, and goes on at the next start.
#[test]
fn a_daemon_told_to_stop_finishes_the_effect_and_goes_on_later() {
    let fake = FakeDocker::start();
    fake.container("web-1", "none");
    let setup = Setup::with(CONFIG).docker(&fake.endpoint()).file("policy/all.cedar", POLICY);
    let mut daemon = Daemon::start(setup);
    daemon.push_live(&slow("heals", NAPS_OF_FOUR_STOPS));
    let answer = daemon.alert(&[Alert::firing("Down").label("name", "web-1")]);
    let run = answer["runs"][0]["run"].as_str().expect("it starts a run").to_owned();
    for _ in 0..4 {
        await_state(&daemon, &run, "running");
        assert_eq!(daemon.stop(), Some(0), "{}", daemon.log_tail());
        daemon.restart();
    }
    let ended = daemon.ended(&run);
    assert_eq!((&ended["outcome"], &ended["crashes"]), (&json!("fixed"), &json!(0)), "{ended}");
    assert_eq!(fake.seen("POST", "/restart").len(), 1);
}
