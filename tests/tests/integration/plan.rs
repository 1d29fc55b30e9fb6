//! Plan and apply from the command line: what a plan asks of the engine, what an apply does to it, and when it refuses.
//!
//! Mostly with an engine at the wire, which tells every request there was. Deliberately not here: what plans say of what
//! is no container, which the daemon's own tests show over a simulated world.

use std::time::{Duration, Instant};

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

const CONFIG: &str = "[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n";
const POLICY: &str = "@id(\"restarts\") permit (principal == Runbook::\"restart-unhealthy\", action == Action::\"docker.restart-container\", resource is Container);\n";
/// From a save to its plan: much longer than that takes, for slow machines.
const SAVED_WITHIN: Duration = Duration::from_secs(60);
/// Plans of which the median is told.
const TIMED: usize = 21;

fn ill() -> (FakeDocker, Daemon) {
    let fake = FakeDocker::start();
    fake.container("web-1", "unhealthy");
    let daemon = Daemon::start(Setup::with(CONFIG).docker(&fake.endpoint()).file("policy/one.cedar", POLICY));
    fake.forget();
    (fake, daemon)
}

/// Nothing but reads was asked of the engine.
#[track_caller]
fn assert_only_read(fake: &FakeDocker) {
    assert!(
        !fake.seen("GET", "/containers/web-1/json").is_empty() || !fake.seen("GET", "/json").is_empty(),
        "it was read"
    );
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(fake.seen(method, "").len(), 0, "{method}: {:?}", fake.seen(method, ""));
    }
    assert_eq!(fake.changes("web-1"), 0);
}

#[test]
fn a_plan_only_reads_and_an_apply_does_what_it_says_once() {
    let (fake, daemon) = ill();
    let shown = daemon.cli(&["plan", "restart-unhealthy", "web-1"]).expect(0);
    let shown = shown.says("  ~ restart container local/web-1").says("permitted by restarts").says("unhealthy →");
    let shown = shown.says("Plan: 1 to change, 0 to ask, 0 refused").says("next: sandbook apply p_");
    assert!(!shown.out.contains('\x1b'), "no colours into a pipe: {shown}");
    daemon.cli(&["plan", "restart-unhealthy", "web-1", "--detailed-exitcode"]).expect(7);
    let planned = daemon.cli(&["plan", "restart-unhealthy", "alertname=ContainerUnhealthy", "name=web-1", "--json"]);
    let planned = planned.expect(0).json();
    assert_eq!((&planned["outcome"], &planned["stage"]), (&json!("fixed"), &json!("shadow")), "{planned}");
    assert_only_read(&fake);

    let id = planned["plan"].as_str().expect("an id");
    // In shadow, and applied all the same: by a person, within the plan.
    daemon.cli(&["apply", id, "--watch"]).expect(0).says("applies plan");
    assert_eq!(
        (fake.seen("POST", "/restart").len(), fake.seen("POST", "").len()),
        (1, 1),
        "one restart and nothing else"
    );
    daemon.cli(&["show", "last"]).expect(0).says(&format!("plan {id} applied by")).says("fixed");
    daemon.cli(&["audit"]).expect(0).says("apply").says(id);
    daemon.cli(&["apply", id]).expect(3).says("SB0521").says("applied already, by run r_");
    daemon.cli(&["plan", "restart-unhealthy", "web-1", "--detailed-exitcode"]).expect(0).says("nothing-to-do");
}

#[test]
fn without_a_grant_a_plan_is_refused_and_names_the_line() {
    let fake = FakeDocker::start();
    fake.container("web-1", "unhealthy");
    let daemon = Daemon::start(Setup::without_file().docker(&fake.endpoint()));
    let refused = daemon.cli(&["plan", "restart-unhealthy", "web-1"]).expect(3);
    let refused = refused.says("  ! restart container local/web-1").says("refused: no policy permits");
    let line = "sandbook grant restart-unhealthy docker.restart-container --container web-1";
    let refused = refused.says(line).says("--to-apply");
    assert!(refused.out.contains("Plan: 0 to change, 0 to ask, 1 refused"), "{refused}");
    daemon.cli(&["plan", "restart-unhealthy", "web-1", "--to-apply"]).expect(0).says(", by applying it");
    assert_only_read(&fake);
    daemon.shell(line).expect(0);
    daemon.cli(&["plan", "restart-unhealthy", "web-1"]).expect(0);
    daemon.cli(&["plan", "restart-unhealthy"]).expect(1).says("none is named");
    daemon.cli(&["plan", "restart-unhealthy", "nobody"]).expect(0).says("no-target");
    daemon.cli(&["plan", "restart-unhealthy", "web-1", "--assume", "net.http-prob=ok"]).expect(2).says("did you mean");
}

#[test]
fn a_folder_is_planned_without_being_stored() {
    let (fake, daemon) = ill();
    let manifest = "name = \"mine\"\nversion = \"0.1.0\"\nsummary = \"Restarts.\"\n[target]\nkind = \"container\"\n\
        [requests]\neffects = [\"docker.restart-container\"]\n";
    daemon.write("mine/runbook.toml", manifest);
    daemon.write("mine/main.rhai", "fn run(input) { docker::restart_container(input.target); done(\"did it\") }");
    let planned = daemon.cli(&["plan", "./mine", "web-1", "--to-apply", "--json"]).expect(0).json();
    assert_eq!((&planned["runbook"], &planned["stage"]), (&json!("mine"), &json!("draft")), "{planned}");
    daemon.cli(&["runbooks", "mine"]).expect(1);
    let id = planned["plan"].as_str().expect("an id");
    daemon.cli(&["apply", id]).expect(1).says("SB0523").says("sandbook push PATH --stage draft");
    assert_only_read(&fake);
    daemon.cli(&["push", "./mine", "--stage", "draft"]).expect(0);
    daemon.cli(&["apply", id, "--watch"]).expect(0);
    assert_eq!(fake.changes("web-1"), 1);
}

#[test]
fn another_world_than_the_planned_one_is_refused() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let daemon = Daemon::start(Setup::with(CONFIG).docker(&docker.endpoint()).file("policy/one.cedar", POLICY));
    web.sicken();
    let planned = daemon.cli(&["plan", "restart-unhealthy", "web-1", "--json"]).expect(0).json();
    assert_eq!(planned["summary"]["changes"], 1, "{planned}");
    time_plans(&daemon);
    let restarts = docker.events("web-1", "restart");
    assert_eq!(restarts, 0, "plans change nothing");
    web.exec(&["touch", "/ok"]);
    web.await_health("healthy");
    let id = planned["plan"].as_str().expect("an id");
    daemon.cli(&["apply", id]).expect(4).says("SB0522").says("health was unhealthy, now healthy");
    assert_eq!(docker.events("web-1", "restart"), 0);
}

/// How long a plan takes over a real engine, as a caller of the API waits for it.
fn time_plans(daemon: &Daemon) {
    let mut took: Vec<Duration> = (0..TIMED)
        .map(|_| {
            let began = Instant::now();
            daemon.api().post("/v1/runbooks/restart-unhealthy/plan", &json!({"target": "web-1"})).expect(200);
            began.elapsed()
        })
        .collect();
    took.sort();
    announce(&format!("a plan over a local dockerd: median {:?}, slowest {:?}", took[TIMED / 2], took[TIMED - 1]));
}

#[test]
fn an_alert_in_shadow_tells_what_would_have_been_done() {
    let (fake, daemon) = ill();
    let answer = daemon.alert(&[Alert::unhealthy("web-1")]);
    let run = answer["runs"][0]["run"].as_str().expect("a run").to_owned();
    let ended = daemon.ended(&run);
    let said = ended["sentence"].as_str().unwrap_or_default();
    assert!(said.starts_with("in shadow: it would restart container local/web-1"), "{ended}");
    assert_eq!((&ended["mode"], &ended["verification"]), (&json!("shadow"), &Value::Null), "{ended}");
    assert_only_read(&fake);
    let shown = daemon.cli(&["show", &run]).expect(0).says("would be running").says("nothing was done");
    shown.says("sandbook promote restart-unhealthy live");
    // An episode can be planned again, by its id.
    let episode = ended["episode"].as_str().expect("an episode");
    let planned = daemon.cli(&["plan", "restart-unhealthy", "--episode", episode, "--json"]).expect(0).json();
    assert_eq!((&planned["alert"], &planned["target"]["name"]), (&json!("ContainerUnhealthy"), &json!("web-1")));
    assert_only_read(&fake);
}

#[test]
fn every_save_is_planned_again_against_the_chosen_alert() {
    let (fake, daemon) = ill();
    daemon.cli(&["new", "heal"]).expect(0);
    daemon.cli(&["dev", "heal", "--alert", "alert.json", "--once"]).expect(1).says("alert.json cannot be read");
    daemon.write("alert.json", "{\"labels\": ");
    daemon.cli(&["dev", "heal", "--alert", "alert.json", "--once"]).expect(1).says("an alert, or a message of alerts");
    daemon.write("alert.json", json!({"labels": {"alertname": "ContainerUnhealthy", "name": "web-1"}}).to_string());
    let once = daemon.cli(&["dev", "heal", "--alert", "alert.json", "--once"]).expect(0).says("checked  heal 0.1.0");
    once.says("! restart container local/web-1").says("sandbook grant heal docker.restart-container").says("ms in all");

    let output = daemon.path("output");
    let following = daemon.follow(&["dev", "heal", "--alert", "alert.json"], &output);
    let said = || std::fs::read_to_string(&output).expect("readable");
    let until = |words: &str| wait::for_words(words, SAVED_WITHIN, said);
    until("waiting for a save");
    let script = std::fs::read_to_string(daemon.path("heal/main.rhai")).expect("readable");
    // Who asks for the one thing gets the plan of that.
    let stops = |text: &str| text.replace("docker::restart_container", "docker::stop_container");
    daemon.write("heal/main.rhai", stops(&script));
    until("SB0215");
    let manifest = std::fs::read_to_string(daemon.path("heal/runbook.toml")).expect("readable");
    daemon.write("heal/runbook.toml", manifest.replace("docker.restart-container", "docker.stop-container"));
    until("! stop container local/web-1");
    drop(following);
    assert_only_read(&fake);
    daemon.cli(&["runbooks", "heal"]).expect(1);
}
