//! What the languages are for, beyond the first package: a guest with the whole standard library of Rust over WASI, and the
//! catalogue's runbooks in Python, JavaScript and TypeScript, built with the real toolchains, played, and run against a real engine.
//!
//! Deliberately not here: a new package in each language, see `authoring`.

use std::path::Path;
use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::Package;
use sandbook_tests::repository;
use serde_json::{Value, json};

use crate::authoring::{author, write};
use crate::catalogue::plays_every_scenario;

/// Compiling an interpreter of some megabytes in a debug build, on a loaded machine.
const ENDED_WITHIN: Duration = Duration::from_secs(180);

const WASI_MANIFEST: &str = r#"name = "probe"
version = "1.0.0"
summary = "What a guest with a standard library sees of the world."
[target]
kind = "none"
[requests]
effects = ["docker.list-containers"]
"#;
const WASI_SCENARIO: &str = r#"summary = "Time is recorded, output is notes, nothing else is there"
[world.hosts.local.containers.web-1]
image = "nginx:1.27"
[expect]
outcome = "done"
sentence = "saw web-1"
notes = ["printed", "complained", "clock agrees", "slept", "no environment", "no input", "no files", "hashed"]
"#;
const WASI_PANICS: &str = r#"summary = "A panic ends the run"
parameters = { fail = "now" }
[expect]
outcome = "failed"
notes = ["as it was told"]
"#;
const WASI_SOURCE: &str = r#"
use std::collections::HashMap;
use std::io::Read as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sandbook_sdk::{Answer, Error, Input, clock, docker, done, runbook};

runbook!(run, verify);

fn run(input: Input) -> Answer {
    println!("printed");
    eprintln!("complained");
    assert!(input.text("fail") != Some("now"), "as it was told");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    if now.abs_diff(clock::now()?) < 5_000 {
        println!("clock agrees");
    }
    let before = Instant::now();
    std::thread::sleep(Duration::from_secs(2));
    if before.elapsed() >= Duration::from_secs(2) {
        println!("slept");
    }
    if std::env::vars().count() == 0 && std::env::args().count() == 0 {
        println!("no environment");
    }
    let mut text = String::new();
    if std::io::stdin().read_to_string(&mut text).is_ok_and(|bytes| bytes == 0) {
        println!("no input");
    }
    if std::fs::read_to_string("/etc/passwd").is_err() && std::fs::write("/tmp/x", "x").is_err() {
        println!("no files");
    }
    // Seeded at random, and so by the run.
    let words: HashMap<u32, u32> = (0..64).map(|number| (number, number)).collect();
    println!("hashed {:?}", words.keys().collect::<Vec<_>>());
    let found = docker::list_containers(&docker::ContainerFilter::default())?;
    done(format!("saw {}", found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")))
}

fn verify(_: Input) -> Result<bool, Error> {
    Ok(true)
}
"#;
/// What the standard library imports of WASI, whether or not a runbook uses it.
const WASI_IMPORTS: [&str; 10] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
    "wasi:random/",
];

#[test]
fn a_guest_for_wasip2_has_the_standard_library_and_reaches_nothing_but_effects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("probe");
    author(folder.path(), &["new", "probe", "--lang", "rust"]).expect(0);
    let cargo = std::fs::read_to_string(path.join("Cargo.toml")).expect("readable");
    let setting = "# [package.metadata.sandbook]\n# target = \"wasm32-wasip2\"\n";
    assert!(cargo.contains(setting), "the template shows the setting: {cargo}");
    write(&path, "Cargo.toml", &cargo.replace(setting, &setting.replace("# ", "")));
    let manifest = format!("{WASI_MANIFEST}[parameters.fail]\ntype = \"text\"\ndefault = \"\"\n");
    write(&path, "runbook.toml", &manifest);
    write(&path, "src/lib.rs", WASI_SOURCE);
    std::fs::remove_dir_all(path.join("scenarios")).expect("removable");
    write(&path, "scenarios/sees.toml", WASI_SCENARIO);
    write(&path, "scenarios/panics.toml", WASI_PANICS);
    author(folder.path(), &["build", "probe"]).expect(0).says("of Rust");
    let wasm = std::fs::read(path.join("main.wasm")).expect("built");
    for import in WASI_IMPORTS {
        let there = wasm.windows(import.len()).any(|window| window == import.as_bytes());
        assert!(there, "{import} is no import: this is not what the standard library takes");
    }
    author(folder.path(), &["check", "probe"]).expect(0);
    author(folder.path(), &["test", "probe"]).expect(0).says("2 scenarios, all passed");

    replays_equal(&wasm);
}

/// A real run, executed again from its journal: clocks, hash seeds and output come to the same.
fn replays_equal(wasm: &[u8]) {
    let docker = Dockerd::start();
    let daemon = daemon(&docker, "");
    daemon.push_live(&Package::file("probe", wasm));
    let run = daemon.run("probe", &json!({}));
    let ended = daemon.ended_within(&run, ENDED_WITHIN);
    assert_eq!(ended["outcome"], "done", "{ended}");
    let notes = Value::from(daemon.journal(&run)).to_string();
    assert!(notes.contains("hashed [") && notes.contains("clock agrees"), "{ended}\n{notes}");
    daemon.cli(&["replay", &run]).expect(0).says("equal");
}

/// A runbook of the catalogue as its author has it: built, checked without a warning, every scenario played. Its page and its
/// alert are held with everybody's, in `host/src/reference/catalogue.rs`.
#[track_caller]
fn built(folder: &Path, name: &str) -> Package {
    let from = repository().join("runbooks").join(name);
    copy(&from, &folder.join(name));
    author(folder, &["build", name]).expect(0).says("main.wasm");
    let checked = author(folder, &["check", name]).expect(0);
    assert!(!checked.out.contains("warning"), "{checked}");
    plays_every_scenario(&folder.join(name));
    Package::file(name, &std::fs::read(folder.join(name).join("main.wasm")).expect("built"))
}

/// Sources only: what a build left beside them is not what is tested.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in from.read_dir().expect("readable").flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        match path.is_dir() {
            true if name != ".sandbook" => copy(&path, &to.join(name)),
            false if name != "main.wasm" => _ = std::fs::copy(&path, to.join(name)).expect("copied"),
            true | false => {}
        }
    }
}

fn daemon(docker: &Dockerd, policy: &str) -> Daemon {
    let config = "[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n";
    Daemon::start(Setup::with(config).docker(&docker.endpoint()).file("policy/one.cedar", policy))
}

fn service(docker: &Dockerd, name: &str, script: &str) {
    let request = json!({"Cmd": ["sh", "-c", script], "Healthcheck": {"Test": ["NONE"]}, "StopTimeout": 1});
    docker.create(name, &request);
}

#[test]
fn runbooks_in_python_pass_their_scenarios_and_read_the_log_of_a_real_container() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = built(folder.path(), "report-error-rate");
    built(folder.path(), "check-certificate");

    let docker = Dockerd::start();
    let ok = r#"{"method": "GET", "path": "/cart", "status": 200}"#;
    let bad = r#"{"method": "POST", "path": "/orders/'$i'", "status": 502, "error": "payment gateway timed out"}"#;
    let script = format!(
        "echo started; for i in $(seq 24); do echo '{ok}'; done; for i in $(seq 6); do echo '{bad}'; done; exec sleep 1000"
    );
    service(&docker, "shop-1", &script);
    let daemon = daemon(&docker, "");
    daemon.push_live(&package);
    let run = daemon.run("report-error-rate", &json!({"target": "shop-1"}));
    let ended = daemon.ended_within(&run, ENDED_WITHIN);
    assert_eq!(ended["outcome"], "escalate", "{ended}");
    let sentence = "6 of 30 requests of shop-1 failed within 10 minutes (20.0 %), 6 of them POST /orders/:id; mostly: payment \
                    gateway timed out";
    assert_eq!(ended["sentence"], sentence, "{ended}");
    daemon.cli(&["replay", &run]).expect(0).says("equal");
}

#[test]
fn runbooks_in_javascript_pass_their_scenarios_and_heal_a_real_container() {
    let docker = Dockerd::start();
    // Works, hangs with work waiting, and works again after a restart. It hangs long before its runbook is built.
    let script = r#"
finished() { echo '{"event": "finished", "job": 1}'; }
[ -e /once ] && while :; do finished; sleep 1; done
touch /once; finished; sleep 3
while :; do echo '{"event": "waiting", "jobs": 12}'; sleep 0.5; done"#;
    service(&docker, "worker-1", script);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = built(folder.path(), "restart-stalled-worker");
    built(folder.path(), "report-error-budget");

    let permit = "permit (principal == Runbook::\"restart-stalled-worker\", action in Action::\"mutate\", \
                  resource is Container) when { resource.name like \"worker-*\" };\n";
    let daemon = daemon(&docker, permit);
    daemon.push_live(&package);
    let parameters = json!({"stalled": "2s", "patience": "30s"});
    let run = daemon.run("restart-stalled-worker", &json!({"target": "worker-1", "parameters": parameters}));
    let ended = daemon.ended_within(&run, ENDED_WITHIN);
    assert_eq!(ended["outcome"], "fixed", "{ended}");
    assert_eq!(ended["sentence"], "restarted worker-1 with 12 jobs waiting; it works again", "{ended}");
    // Docker says `restart` once a restart is over.
    assert_eq!(docker.events("worker-1", "restart"), 1);
    daemon.cli(&["replay", &run]).expect(0).says("equal");
}
