//! The daemon killed in the middle of every kind of change that is settled by looking, at once: in the end each change was
//! made once, and the engine (or Alertmanager) heard of it as often as that takes.
//!
//! The real binary, a real Docker engine and a real Alertmanager. A way between them and the daemon holds back the call or
//! its answer until the daemon is gone. Deliberately not here: recreations, see `replacing`, and restarts, see `kills`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::{Container, Dockerd, IMAGE};
use sandbook_tests::monitoring::{Alertmanager, Files, Ports};
use sandbook_tests::package::Package;
use sandbook_tests::process::{free_port, require};
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

use way::{Way, before_alertmanager, before_docker};

mod way;

/// Guests start one after the other in a debug build.
const HELD_WITHIN: Duration = Duration::from_secs(90);
/// What was not done is done again once nothing of the first attempt can come any more: 30 s for a removal, and margins.
const ENDED_WITHIN: Duration = Duration::from_secs(120);

const POLICY: &str = "permit (principal, action in Action::\"mutate\", resource);\n\
    permit (principal, action == Action::\"logs.truncate-container-log\", resource is Container)\n\
    when { resource.name == \"emptied\" };\n";

const RUNBOOK: &str = r#"//! name = "cut"
//! version = "1.0.0"
//! summary = "Makes one change."
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.remove-container", "docker.scale-service", "docker.connect-network", "docker.disconnect-network",
//!     "docker.prune-images", "docker.update-resources", "docker.exec", "logs.truncate-container-log",
//!     "alertmanager.create-silence", "alertmanager.expire-silence"]
//! [brake]
//! attempts = ["100/1d"]
//! settle = "1ms"
//! [parameters.what]
//! type = "text"
//! summary = "which change"
//! [parameters.on]
//! type = "text"
//! default = ""
//! summary = "network, service or silence"
fn run(input) {
    let t = input.target;
    let p = input.parameters;
    switch p.what {
        "remove" => docker::remove_container(t, #{ force: true }),
        "connect" => docker::connect_network(t, p.on),
        "disconnect" => docker::disconnect_network(t, p.on),
        "update" => docker::update_resources(t, #{ memory_bytes: 67108864, memory_swap_bytes: 134217728 }),
        "up" => docker::scale_service(p.on, 2, #{ grace_ms: 1000 }),
        "down" => docker::scale_service(p.on, 1, #{ grace_ms: 1000 }),
        "swarm" => docker::scale_service(p.on, 2),
        "prune" => docker::prune_images(),
        "exec" => docker::exec(t, ["sh", "-c", "echo ran >> /ran"]),
        "empty" => { logs::truncate_container_log(t); try { docker::exec(t, ["true"]); } catch {} }
        "silence" => alertmanager::create_silence(#{
            matchers: ["name=\"" + p.on + "\""], duration_ms: 3600000, comment: "cut " + p.on,
        }),
        "expire" => alertmanager::expire_silence(p.on),
    }
    fixed("made")
}
"#;

/// One change that is cut: what the runbook is told, and words of the call that is held.
struct Case {
    what: &'static str,
    /// The other side hears it, and only its answer is held.
    heard: bool,
    target: String,
    on: String,
    words: Vec<String>,
}

fn case((what, heard): (&'static str, bool), target: &str, on: &str, words: &[&str]) -> Case {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Case { what, heard, target: target.to_owned(), on: on.to_owned(), words }
}

/// Everything the cases are about.
struct Scene<'a> {
    engine: &'a Dockerd,
    alertmanager: &'a Alertmanager,
    docker: Arc<Way>,
    silences: Arc<Way>,
    daemon: Daemon,
}

impl Scene<'_> {
    /// Starts a run for each case and kills the daemon once all their calls are held; `meanwhile` happens while it is gone.
    fn cut(&mut self, cases: &[Case], meanwhile: impl FnOnce(&Scene<'_>, &[String])) {
        for case in cases {
            let way = if matches!(case.what, "silence" | "expire") { &self.silences } else { &self.docker };
            way.hold(&case.words, case.heard);
        }
        let start = |case: &Case| {
            let request = json!({"target": case.target, "parameters": {"what": case.what, "on": case.on}});
            self.daemon.run("cut", &request)
        };
        let runs: Vec<String> = cases.iter().map(start).collect();
        self.await_held();
        self.daemon.kill();
        meanwhile(self, &runs);
        self.daemon.restart();
        for (case, run) in cases.iter().zip(&runs).filter(|(case, _)| case.what != "prune") {
            let ended = self.daemon.ended_within(run, ENDED_WITHIN);
            let what = format!("{}, {}", case.what, if case.heard { "its answer lost" } else { "not heard" });
            let said = || format!("{what}: {ended}\n{:#?}\n{}", self.daemon.journal(run), self.daemon.log_tail());
            assert_eq!(ended["outcome"], "fixed", "{}", said());
            announce(&format!("cut: {what}: made"));
        }
    }

    fn await_held(&self) {
        wait::until(
            "every call to be held",
            HELD_WITHIN,
            || self.daemon.log_tail(),
            || {
                let ((docker, answers), (silences, more)) = (self.docker.left(), self.silences.left());
                let (left, going) = ([docker, silences].concat(), answers + more);
                if left.is_empty() && going == 0 { Ok(()) } else { Err(format!("not yet {left:?}, {going} under way")) }
            },
        );
    }

    fn container(&self, name: &str) -> Value {
        self.engine.api().get(&format!("/containers/{name}/json")).json()
    }

    fn names(&self, beginning: &str) -> Vec<String> {
        let listed = self.engine.api().get("/containers/json?all=1").expect(200).json();
        let names = listed.as_array().into_iter().flatten();
        let names = names.filter_map(|one| Some(one["Names"][0].as_str()?.trim_start_matches('/').to_owned()));
        let mut names: Vec<String> = names.filter(|name| name.starts_with(beginning)).collect();
        names.sort();
        names
    }

    fn silences_of(&self, name: &str) -> Vec<Value> {
        let all = self.alertmanager.api().get("/api/v2/silences").expect(200).json();
        let of = |silence: &&Value| silence["matchers"][0]["value"] == name;
        all.as_array().into_iter().flatten().filter(of).cloned().collect()
    }
}

/// A container that answers to nothing but its end, on a network of its own or on none.
fn plain<'e>(engine: &'e Dockerd, name: &str, network: &str) -> Container<'e> {
    let more = json!({"Healthcheck": {"Test": ["NONE"]}, "HostConfig": {"NetworkMode": network}});
    engine.create(name, &more)
}

/// The command line client, for what is asked of the engine beside containers.
fn docker(engine: &Dockerd, args: &[&str]) -> String {
    let done = Command::new("docker").args(["-H", &engine.endpoint()]).args(args).output().expect("docker runs");
    assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// A swarm of this engine alone.
fn swarm(engine: &Dockerd) {
    let listen = format!("127.0.0.1:{}", free_port());
    docker(engine, &["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", &listen]);
}

/// The id of a new service of the swarm, with one replica.
fn swarm_service(engine: &Dockerd, name: &str) -> String {
    docker(
        engine,
        &["service", "create", "--detach", "--quiet", "--no-resolve-image", "--name", name, IMAGE, "sleep", "1000"],
    )
}

fn silence(alertmanager: &Alertmanager, name: &str) -> String {
    let now = jiff::Timestamp::now();
    let silence = json!({
        "matchers": [{"name": "name", "value": name, "isRegex": false, "isEqual": true}],
        "startsAt": now.to_string(), "endsAt": (now + jiff::SignedDuration::from_hours(1)).to_string(),
        "createdBy": "dana", "comment": "deploy",
    });
    let answer = alertmanager.api().post("/api/v2/silences", &silence).expect(200).json();
    answer["silenceID"].as_str().expect("a silence has an id").to_owned()
}

/// Takes everything from a run's journal that came after the first sub-step: what a machine that lost its power forgets.
fn forget_after_first_step(daemon: &Daemon, run: &str) {
    require("sqlite3", "sqlite3");
    let step = daemon_step(daemon, run);
    let delete = format!(".timeout 5000\nDELETE FROM records WHERE run = '{run}' AND seq > {step};\n");
    let database = daemon.data("sandbook.db");
    let done = Command::new("sqlite3").arg(&database).arg(delete).output().expect("sqlite3 runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn daemon_step(daemon: &Daemon, run: &str) -> String {
    let select = format!("SELECT min(seq) FROM records WHERE run = '{run}' AND record LIKE '%log_bytes%'");
    let found = Command::new("sqlite3").arg(daemon.data("sandbook.db")).arg(select).output();
    let found = String::from_utf8(found.expect("sqlite3 runs").stdout).expect("text");
    assert!(found.trim().parse::<u64>().is_ok(), "the size of the log was written down: {found}");
    found.trim().to_owned()
}

/// A daemon between which and its engine and Alertmanager calls can be held.
fn scene<'a>(
    engine: &'a Dockerd,
    alertmanager: &'a Alertmanager,
    own_port: u16,
    folder: &Path,
    runbook: &str,
) -> Scene<'a> {
    let (docker, endpoint) = before_docker(engine, folder);
    let (silences, port) = before_alertmanager(own_port);
    let config = format!(
        "[alertmanager]\nurl = \"http://127.0.0.1:{port}\"\n[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n\
         [workers]\ncount = 32\n[brakes]\nsettle = \"0s\"\nper_host = [\"1000/1d\"]\n\
         storm = {{ min = 10000, share = 1.0, window = \"10m\" }}\n"
    );
    let daemon = Daemon::start(Setup::with(&config).docker(&endpoint).file("policy/all.cedar", POLICY));
    daemon.push_live(&Package::rhai_file("cut", runbook));
    Scene { engine, alertmanager, docker, silences, daemon }
}

#[test]
fn a_daemon_killed_in_the_middle_of_any_change_makes_it_once() {
    let engine = Dockerd::start();
    let folder = || tempfile::TempDir::with_prefix("sandbook-way-").expect("a temporary folder");
    let ports = Ports { daemon: free_port(), prometheus: free_port(), alertmanager: free_port() };
    let files = Files::for_test(ports, "unused", "a-sender-token-that-only-this-test-knows-0002");
    let alertmanager = Alertmanager::start(&files, ports);
    let (one, other) = (folder(), folder());
    // Runs wait for each other's silences, so two daemons share the cases.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut scene = scene(&engine, &alertmanager, ports.alertmanager, one.path(), RUNBOOK);
            changes_of_containers_and_a_silence(&mut scene);
            cut_expiry(&mut scene, true, "a");
        });
        scope.spawn(|| {
            let mut scene = scene(&engine, &alertmanager, ports.alertmanager, other.path(), RUNBOOK);
            let case = case_of_silence(&scene, false, "b");
            scene.cut(&[case], |_, _| {});
            check_silence(&scene, "b");
            cut_expiry(&mut scene, false, "b");
        });
    });
}

fn changes_of_containers_and_a_silence(scene: &mut Scene<'_>) {
    let engine = scene.engine;
    let mut cases = Vec::new();
    swarm(engine);
    let rounds = [Round::make(scene, true, "a", &mut cases), Round::make(scene, false, "b", &mut cases)];
    cases.push(case_of_silence(scene, true, "a"));
    // A program that was started, and images that went: nobody hears of it.
    let runs = plain(engine, "runs", "none");
    cases.push(case(("exec", true), runs.name(), "", &["POST", "/exec/", "/start"]));
    // The first of two images by one name has none afterwards.
    engine.import("cut-old", "1", &["old"]);
    engine.import("cut-old", "1", &["new"]);
    cases.push(case(("prune", true), plain(engine, "pruner", "none").name(), "", &["/images/prune"]));
    // Emptying a log is no call; the one after it is held, and what was written of the emptying is forgotten.
    let emptied = plain(engine, "emptied", "none");
    emptied.exec(&["sh", "-c", "for i in $(seq 100); do echo line $i > /proc/1/fd/1; done"]);
    cases.push(case(("empty", false), "emptied", "", &[&format!("/containers/{}/exec", emptied.id())]));
    scene.cut(&cases, |scene, runs| {
        forget_after_first_step(&scene.daemon, runs.last().expect("it was started"));
        // More than there was: its size does not tell that it was emptied.
        emptied.exec(&["sh", "-c", "for i in $(seq 300); do echo written meanwhile $i > /proc/1/fd/1; done"]);
    });
    rounds.iter().for_each(|round| round.check(scene));
    check_silence(scene, "a");
    assert_eq!(docker(engine, &["exec", "runs", "cat", "/ran"]), "ran", "a program is started once");
    let log = engine.api().get(&format!("/containers/{}/logs?stdout=1", emptied.id())).expect(200).text();
    let after = log.matches("written meanwhile").count();
    assert_eq!(after, 300, "what came after the emptying stays: {log}");
    assert!(!log.contains("line 1"), "it was emptied: {log}");
    docker(engine, &["swarm", "leave", "--force"]);
    // A prune is not sent again before nothing of the first can come any more, which takes minutes.
    assert_eq!(scene.docker.heard(&["/images/prune"]), 1);
}

fn case_of_silence(scene: &Scene<'_>, heard: bool, suffix: &str) -> Case {
    let (asks, on) = (plain(scene.engine, &format!("asks-{suffix}"), "none"), format!("quiet-{suffix}"));
    case(("silence", heard), asks.name(), &on, &["POST", &format!("cut {on}")])
}

fn check_silence(scene: &Scene<'_>, suffix: &str) {
    let on = format!("quiet-{suffix}");
    let made = scene.silences_of(&on);
    assert_eq!(made.len(), 1, "one silence: {made:?}");
    assert_eq!(scene.silences.heard(&["POST", &format!("cut {on}")]), 1, "Alertmanager hears of it once");
}

fn cut_expiry(scene: &mut Scene<'_>, heard: bool, suffix: &str) {
    let (ends, loud) = (plain(scene.engine, &format!("ends-{suffix}"), "none"), format!("loud-{suffix}"));
    let id = silence(scene.alertmanager, &loud);
    let case = case(("expire", heard), ends.name(), &id, &["DELETE", &id]);
    scene.cut(&[case], |_, _| {});
    let ended = scene.silences_of(&loud);
    assert_eq!((ended.len(), &ended[0]["status"]["state"]), (1, &json!("expired")), "{ended:?}");
    assert_eq!(scene.silences.heard(&["DELETE", &id]), 1, "Alertmanager hears of it once");
}

/// Each kind of change once.
struct Round {
    suffix: &'static str,
    removed: String,
    limited: String,
    swarm: String,
}

impl Round {
    fn make(scene: &Scene<'_>, heard: bool, suffix: &'static str, cases: &mut Vec<Case>) -> Round {
        let engine = scene.engine;
        let named = |name: &str| format!("{name}-{suffix}");
        let (connect, leave) = (named("connect"), named("leave"));
        let part = if heard { 0 } else { 2 };
        engine.network_part(&connect, part);
        engine.network_part(&leave, part + 1);
        let (removed, limited) = (plain(engine, &named("removed"), "none"), plain(engine, &named("limited"), "none"));
        let (joins, leaves) = (plain(engine, &named("joins"), &leave), plain(engine, &named("leaves"), &leave));
        let up = engine.compose_service(&format!("up{suffix}"), "web", 1);
        let down = engine.compose_service(&format!("down{suffix}"), "web", 1);
        let second = engine.compose_service(&format!("down{suffix}"), "web", 2);
        let (asks, swarm) = (plain(engine, &named("scales"), "none"), swarm_service(engine, &named("swarm")));
        cases.extend([
            case(("remove", heard), removed.name(), "", &["DELETE", removed.id()]),
            case(("connect", heard), joins.name(), &connect, &[&format!("/networks/{connect}/connect")]),
            case(("disconnect", heard), leaves.name(), &leave, &[&format!("/networks/{leave}/disconnect")]),
            case(("update", heard), limited.name(), "", &[&format!("{}/update", limited.id())]),
            case(("up", heard), up.name(), &format!("up{suffix}/web"), &[&format!("create?name=up{suffix}-web-2")]),
            case(("down", heard), down.name(), &format!("down{suffix}/web"), &[&format!("{}/stop", second.id())]),
        ]);
        // One that was not heard is done again after minutes, once nothing of the first attempt can come any more.
        if heard {
            let words = ["POST", &format!("/services/{swarm}/update")];
            cases.push(case(("swarm", heard), asks.name(), &named("swarm"), &words));
        }
        Round { suffix, removed: removed.id().to_owned(), limited: limited.id().to_owned(), swarm }
    }

    fn check(&self, scene: &Scene<'_>) {
        let suffix = self.suffix;
        let named = |name: &str| format!("{name}-{suffix}");
        let once = |way: &Way, words: &[&str]| assert_eq!(way.heard(words), 1, "it is heard of once: {words:?}");
        once(&scene.docker, &["DELETE", &self.removed]);
        assert_eq!(scene.names(&named("removed")), Vec::<String>::new());
        once(&scene.docker, &[&format!("/networks/connect-{suffix}/connect")]);
        let networks = scene.container(&named("joins"))["NetworkSettings"]["Networks"].clone();
        assert!(networks[named("connect")].is_object() && networks[named("leave")].is_object(), "{networks}");
        once(&scene.docker, &[&format!("/networks/leave-{suffix}/disconnect")]);
        assert_eq!(scene.container(&named("leaves"))["NetworkSettings"]["Networks"], json!({}));
        once(&scene.docker, &[&format!("{}/update", self.limited)]);
        assert_eq!(scene.container(&named("limited"))["HostConfig"]["Memory"], 64 << 20);
        once(&scene.docker, &[&format!("create?name=up{suffix}-web-2")]);
        assert_eq!(scene.names(&format!("up{suffix}-")), [format!("up{suffix}-web-1"), format!("up{suffix}-web-2")]);
        assert_eq!(scene.container(&format!("up{suffix}-web-2"))["State"]["Running"], true);
        assert_eq!(scene.names(&format!("down{suffix}-")), [format!("down{suffix}-web-1")]);
        if suffix != "a" {
            return;
        }
        once(&scene.docker, &["POST", &format!("/services/{}/update", self.swarm)]);
        let replicas = "{{.Spec.Mode.Replicated.Replicas}}";
        assert_eq!(docker(scene.engine, &["service", "inspect", &self.swarm, "--format", replicas]), "2");
    }
}
