//! Faults on the wire to Docker: each has its outcome, and no intent is ever done twice.
//!
//! The engine is a fake, because no real one cuts a connection on request. It counts what was asked (the proof that
//! nothing was sent blindly again) and what was really done. Every case is a run of its own on a container of its own, all
//! at once, because most of them wait: for a deadline, or until nothing of a lost change can happen any more.
//!
//! Deliberately not here: faults of the daemon's own machine, see `machine`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::{FakeDocker, Fault};
use sandbook_tests::package::Package;
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

/// The longest: a start has a deadline of 30 s, and 5 s later nothing of it can happen any more; then it is driven again.
const SETTLED_WITHIN: Duration = Duration::from_secs(100);
/// A run whose engine is away looks for it every 5 s.
const BACK_WITHIN: Duration = Duration::from_secs(30);

const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[brakes]
per_runbook_target = ["1000/1d"]
per_host = ["1000/1d"]
settle = "0s"
storm = { min = 1000, share = 1.0, window = "10m" }
[workers]
count = 150
"#;
const POLICY: &str =
    "permit (principal == Runbook::\"one-effect\", action in Action::\"mutate\", resource is Container);\n";
/// Does the one thing it is told, to a container named by a parameter: so the first look is the effect's own.
const RUNBOOK: &str = r#"//! name = "one-effect"
//! version = "1.0.0"
//! summary = "Does one thing."
//! [target]
//! kind = "none"
//! [parameters.effect]
//! type = "text"
//! [parameters.container]
//! type = "text"
//! [requests]
//! effects = ["docker.start-container", "docker.stop-container", "docker.restart-container", "docker.kill-container",
//!   "docker.exec", "docker.inspect-container", "logs.tail-container"]
//! [brake]
//! attempts = ["1000/1d"]
//! settle = "1ms"
fn run(input) {
    let container = input.parameters.container;
    switch input.parameters.effect {
        "start" => docker::start_container(container),
        "stop" => docker::stop_container(container, #{ grace_ms: 0 }),
        "restart" => docker::restart_container(container, #{ grace_ms: 0 }),
        "kill" => docker::kill_container(container),
        "exec" => docker::exec(container, ["true"], #{ timeout_ms: 10000 }),
        "inspect" => docker::inspect_container(container),
        "tail" => logs::tail_container(container, #{ lines: 5 }),
    }
    done("did it")
}
"#;

/// How a case must end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Succeeded; asked once, done once.
    Once,
    /// Succeeded; the first was provably not done, so it was asked twice and done once.
    Again,
    /// Failed with those words at the place in the script; asked once, nothing done.
    Told(&'static str),
    /// Failed with those words; asked once, and whether it was done nobody knows: it is never asked again.
    Lost(&'static str),
}

/// One run against one fault.
struct Case {
    effect: &'static str,
    what: &'static str,
    container: String,
    path: String,
    method: &'static str,
    end: End,
}

/// A daemon, its engine, and what was injected.
struct Bench {
    fake: FakeDocker,
    daemon: Daemon,
    cases: Vec<Case>,
}

impl Bench {
    #[track_caller]
    fn start() -> Bench {
        let fake = FakeDocker::start();
        let setup = Setup::with(CONFIG).docker(&fake.endpoint()).file("policy/one.cedar", POLICY);
        let daemon = Daemon::start(setup);
        daemon.push_live(&Package::rhai_file("one-effect", RUNBOOK));
        Bench { fake, daemon, cases: Vec::new() }
    }

    /// A change of a container of its own, answered with a fault the first time.
    fn change(&mut self, effect: &'static str, what: &'static str, fault: Fault, end: End) {
        let container = format!("{effect}-{}", self.cases.len());
        let id = match effect {
            "start" => self.fake.ended_container(&container),
            _ => self.fake.container(&container, "none"),
        };
        let path = format!("/{id}/{effect}");
        self.fake.script("POST", &path, fault, 1);
        self.cases.push(Case { effect, what, container, path, method: "POST", end });
    }

    /// A read of a container of its own, answered with a fault every time.
    fn read(&mut self, effect: &'static str, what: &'static str, fault: Fault, words: &'static str) {
        let container = format!("{effect}-{}", self.cases.len());
        let id = self.fake.container(&container, "none");
        let path = match effect {
            "tail" => format!("/{id}/logs"),
            _ => format!("/{container}/json"),
        };
        self.fake.script("GET", &path, fault, usize::MAX);
        self.cases.push(Case { effect, what, container, path, method: "GET", end: End::Told(words) });
    }

    /// Runs all cases at once and checks each.
    fn run(self) {
        let began = Instant::now();
        let request = |case: &Case| json!({"parameters": {"effect": case.effect, "container": case.container}});
        let runs: Vec<String> = self.cases.iter().map(|case| self.daemon.run("one-effect", &request(case))).collect();
        let mut wrong = BTreeMap::new();
        for (case, run) in self.cases.iter().zip(&runs) {
            let ended = self.daemon.ended_within(run, SETTLED_WITHIN);
            if let Err(why) = self.check(case, &ended) {
                wrong.insert(format!("{} {}", case.effect, case.what), format!("{why}: {ended}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}\n{}", self.daemon.log_tail());
        announce(&format!(
            "faults: {} on the wire of {}, {:.0} s",
            self.cases.len(),
            self.cases.first().map_or("nothing", |case| if case.method == "GET" { "reads" } else { "changes" }),
            began.elapsed().as_secs_f64()
        ));
    }

    fn check(&self, case: &Case, ended: &Value) -> Result<(), String> {
        let (asked, done) = (self.fake.seen(case.method, &case.path).len(), self.fake.changes(&case.container));
        let (state, error) = (ended["state"].as_str().unwrap_or_default(), ended["error"].as_str().unwrap_or_default());
        let placed = |words: &str| error.contains("main.rhai:") && error.contains(words);
        let right = match case.end {
            End::Once => state == "succeeded" && (asked, done) == (1, 1),
            End::Again => state == "succeeded" && (asked, done) == (2, 1),
            End::Told(words) => state == "failed" && placed(words) && done == 0 && (asked == 1 || case.method == "GET"),
            End::Lost(words) => state == "failed" && placed(words) && asked == 1,
        };
        if right {
            Ok(())
        } else {
            Err(format!("wanted {:?}, {state}, asked {asked} times, done {done} times", case.end))
        }
    }
}

#[test]
fn a_lost_answer_of_a_change_is_looked_at_and_never_sent_again_blindly() {
    let mut bench = Bench::start();
    for effect in ["restart", "start", "stop", "kill"] {
        bench.change(effect, "delayed", Fault::Delay(Duration::from_millis(1_500)), End::Once);
        bench.change(effect, "cut after it was done", Fault::Cut { done: true }, End::Once);
        bench.change(effect, "cut before anything was done", Fault::Cut { done: false }, End::Again);
        bench.change(effect, "done and never answered", Fault::Mute, End::Once);
        bench.change(effect, "never done and never answered", Fault::Hang, End::Again);
        bench.change(effect, "half an answer", Fault::Half, End::Once);
        bench.change(effect, "a chunk cut off", Fault::Torn, End::Once);
        bench.change(effect, "500", Fault::Status(500, "driver failed"), End::Told("driver failed"));
        bench.change(effect, "404", Fault::Status(404, "No such container"), End::Told("No such container"));
        bench.change(effect, "409", Fault::Status(409, "is marked for removal"), End::Told("marked for removal"));
    }
    bench.run();
}

#[test]
fn a_read_that_fails_says_what_and_where_and_changes_nothing() {
    let mut bench = Bench::start();
    for (effect, gone) in [("inspect", "there is no container"), ("tail", "No such container")] {
        bench.read(effect, "500", Fault::Status(500, "driver failed"), "driver failed");
        bench.read(effect, "404", Fault::Status(404, "No such container"), gone);
        bench.read(effect, "409", Fault::Status(409, "is marked for removal"), "marked for removal");
        bench.read(effect, "cut", Fault::Cut { done: false }, "docker");
        bench.read(effect, "never answered", Fault::Hang, "10000 ms");
        bench.read(effect, "half an answer", Fault::Half, "docker");
        bench.read(effect, "a chunk cut off", Fault::Torn, "docker");
    }
    bench.read("inspect", "nonsense", Fault::Nonsense("<html>not docker</html>"), "docker");
    bench.run();
}

#[test]
fn a_program_in_a_container_is_never_started_twice() {
    let mut bench = Bench::start();
    let start = |bench: &mut Bench, what, fault, end| {
        let container = format!("exec-{}", bench.cases.len());
        let _ = bench.fake.container(&container, "none");
        let path = format!("{container}/start");
        bench.fake.script("POST", &path, fault, usize::MAX);
        bench.cases.push(Case { effect: "exec", what, container, path, method: "POST", end });
    };
    start(&mut bench, "started and cut", Fault::Cut { done: true }, End::Once);
    start(&mut bench, "never answered", Fault::Hang, End::Lost("may still run"));
    start(&mut bench, "409", Fault::Status(409, "is already running"), End::Told("already running"));
    start(&mut bench, "500", Fault::Status(500, "OCI runtime exec failed"), End::Told("OCI runtime exec failed"));
    bench.change("exec", "cut before it was made", Fault::Cut { done: false }, End::Told("docker"));
    bench.change("exec", "not made", Fault::Status(409, "is paused"), End::Told("is paused"));
    bench.change("exec", "half of its id", Fault::Half, End::Told("docker"));
    bench.change("exec", "nonsense for an id", Fault::Nonsense("<html>"), End::Told("docker"));
    bench.run();
}

#[test]
fn an_engine_that_is_away_and_comes_back_is_waited_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("docker.sock");
    let script = "fn run(input) { docker::restart_container(input.target, #{ grace_ms: 0 }); fixed(\"restarted\") }";
    let manifest = "name = \"one-effect\"\nversion = \"1.0.0\"\nsummary = \"Restarts.\"\n\
        [[trigger]]\nalert = [\"FallenIll\"]\n[target]\nkind = \"container\"\ncontainer_from = [\"name\"]\n\
        [requests]\neffects = [\"docker.restart-container\"]\n";
    let header: String = manifest.lines().map(|line| format!("//! {line}\n")).collect();
    let endpoint = format!("unix://{}", socket.display());
    let daemon = Daemon::start(Setup::with(CONFIG).docker(&endpoint).file("policy/one.cedar", POLICY));
    daemon.push_live(&Package::rhai_file("one-effect", &format!("{header}{script}")));
    let answer = daemon.alert(&[Alert::firing("FallenIll").label("name", "web-1")]);
    let run = answer["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("a run was started: {answer}")).to_owned();
    wait::until(
        "the run to wait for its engine",
        BACK_WITHIN,
        || daemon.log_tail(),
        || {
            let found = daemon.api().get(&format!("/v1/runs/{run}")).expect(200).json();
            let says = found["error"].as_str().is_some_and(|error| error.contains("docker.sock"));
            if found["state"] == "waiting" && says { Ok(()) } else { Err(found.to_string()) }
        },
    );
    let fake = FakeDocker::start_at(&socket);
    fake.container("web-1", "unhealthy");
    let ended = daemon.ended_within(&run, BACK_WITHIN);
    assert_eq!(ended["outcome"], "fixed", "{ended}");
    assert_eq!((fake.seen("POST", "/restart").len(), fake.changes("web-1")), (1, 1));
}

#[test]
fn an_engine_without_a_version_in_common_is_named_and_a_newer_one_is_spoken_to() {
    let fake = FakeDocker::start();
    fake.container("web-1", "unhealthy");
    let says = |version: &'static str| fake.script("GET", "/version", Fault::Nonsense(version), 1_000);
    says(r#"{"Version": "19.03.15", "ApiVersion": "1.40", "MinAPIVersion": "1.12"}"#);
    let daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\"").docker(&fake.endpoint()));
    let refused = daemon.cli(&["plan", "restart-unhealthy", "web-1"]).expect(1).says("update Docker [SB0703]");
    refused.says("docker 19.03.15 speaks version 1.40 of its API, and at least 1.41 is needed");
    daemon.cli(&["status"]).says("update Docker [SB0703]");
    let others = fake.seen("GET", "").iter().filter(|seen| seen.path != "/version" && seen.path != "/_ping").count();
    assert_eq!(others, 0, "nothing else is asked of it");
    fake.recover();
    says(r#"{"Version": "29.0.0", "ApiVersion": "1.52", "MinAPIVersion": "1.44"}"#);
    daemon.cli(&["plan", "restart-unhealthy", "web-1"]).expect(3).says("! restart container local/web-1");
}
