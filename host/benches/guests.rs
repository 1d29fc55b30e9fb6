//! One whole run of a guest in each language, beside one interpreter and one container as a sandbox; and `check` at the desk.
//!
//! A run: new store, WASI, instantiate, call `run`, one effect, drop. Limits are what the parts themselves take, measured on
//! two cores; a run may take twice that. Figures stand in docs/benchmarks.md. Not a test: a missed target is printed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sandbook::guest::{Call, Code, Compiler, Ended, Entry, Options, Perform, Sandbox, Stopped};
use sandbook_core::effect::Effect;
use sandbook_core::error::Error;
use sandbook_core::journal::Limits;
use sandbook_tests::docker::{Dockerd, IMAGE};
use serde_json::{Value, json};

/// The daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 200;
const PEER_RUNS: usize = 10;
const CHECK_TARGET: Duration = Duration::from_millis(20);

const MANIFEST: &str = "name = \"one-effect\"\nversion = \"1.0.0\"\nsummary = \"One effect.\"\n\
    [requests]\neffects = [\"docker.list-containers\"]\n";
const RHAI: &str = "fn run(input) { docker::list_containers(#{}); done(\"looked\") }\n";
const PYTHON: &str = "from sandbook import docker, done\n\n\ndef run(input):\n    docker.list_containers()\n    return done(\"looked\")\n";
const JAVASCRIPT: &str = "import { docker, done } from \"sandbook\";\n\nexport function run() {\n  docker.listContainers({});\n  return done(\"looked\");\n}\n";
const RUST: &str = "use sandbook_sdk::{Answer, Input, docker, done, runbook};\n\nrunbook!(run);\n\n\
    fn run(_: Input) -> Answer {\n    docker::list_containers(&docker::ContainerFilter::default())?;\n    done(\"looked\")\n}\n";
const CARGO: &str = include_str!("../../sdk/templates/rust/Cargo.toml");

/// Answers like an empty engine.
struct Door;

impl Perform for Door {
    fn perform(&self, _: Effect) -> BoxFuture<'_, Result<Result<Value, Error>, Stopped>> {
        Box::pin(std::future::ready(Ok(Ok(json!([])))))
    }
    fn journal_time_ms(&self) -> u64 {
        1_700_000_000_000
    }
    fn replaying(&self) -> bool {
        false
    }
    fn waiting(&self) -> bool {
        false
    }
    fn stopped(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    if !"guests".contains(&filter) {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(guests());
    peers();
    check();
}

async fn guests() {
    let cache_dir = std::env::temp_dir().join("sandbook-bench-cache");
    let sandbox = Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("an engine");
    /// Name, files of the package, megabytes of memory.
    type Language<'a> = (&'a str, &'a [(&'a str, &'a str)], u64);
    let languages: [Language<'_>; 4] = [
        ("Rust", &[("Cargo.toml", CARGO), ("src/lib.rs", RUST)], 50),
        ("Rhai", &[("main.rhai", RHAI)], 84),
        ("JavaScript", &[("main.js", JAVASCRIPT)], 800),
        ("Python", &[("main.py", PYTHON)], 1_150),
    ];
    for (name, files, limit_us) in languages {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let code = built(folder.path(), files).await;
        let mut took = Vec::new();
        for _ in 0..RUNS + 20 {
            let start = Instant::now();
            let input = json!({"alert": null, "target": null, "parameters": {}});
            let limits = Limits { memory_bytes: 256 << 20, ..Limits::default() };
            let call =
                Call { code: &code, entry: Entry::Run, input: &input, limits: &limits, seed: 7, door: Arc::new(Door) };
            let ended = sandbox.run(call).await;
            assert!(matches!(ended, Ended::Outcome(..)), "{name}: {ended:?}");
            took.push(start.elapsed());
        }
        // The first compile it, or load it.
        let (median, high) = quantiles(took.split_off(20));
        let target = Duration::from_micros(2 * limit_us);
        report(
            &format!("whole run, {name}"),
            &format!("{median:.0?} (p99 {high:.0?})"),
            &format!("{target:.0?}"),
            median <= target,
        );
    }
}

async fn built(folder: &Path, files: &[(&str, &str)]) -> Code {
    for (name, text) in files.iter().chain(&[("runbook.toml", MANIFEST)]) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text.replace("NAME", "one-effect")).expect("writable");
    }
    let built = sandbook::sdk::build(folder, false).await.unwrap_or_else(|trouble| panic!("{trouble:?}"));
    let bytes = std::fs::read(&built.file).expect("built");
    match built.language {
        sandbook::sdk::Language::Rhai => Code::Script(String::from_utf8(bytes).expect("text").into()),
        _ => Code::Wasm(bytes.into()),
    }
}

/// What one would run a script with otherwise.
fn peers() {
    let python = timed(|| {
        let mut command = Command::new("python3");
        command.args(["-c", "pass"]);
        command
    });
    report("python3 -c pass", &format!("{:.0?}", quantiles(python).0), "a peer", true);
    let docker = Dockerd::start();
    let run = timed(|| {
        let mut command = Command::new("docker");
        command.args(["--host", &docker.endpoint(), "run", "--rm", "--network", "none", IMAGE, "/bin/busybox", "true"]);
        command
    });
    report("docker run --rm of a static binary", &format!("{:.0?}", quantiles(run).0), "a peer", true);
}

/// The whole command, from start to exit, with a warm cache.
fn check() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = sandbook_tests::daemon::binary();
    let command = |arguments: &'static [&'static str]| {
        let mut command = Command::new(&binary);
        command
            .args(arguments)
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdout(std::process::Stdio::null());
        command
    };
    assert!(command(&["new", "heal"]).status().expect("it starts").success());
    assert!(command(&["check", "heal"]).status().expect("it starts").success());
    let (median, high) = quantiles(timed(|| command(&["check", "heal"])));
    report(
        "sandbook check of a Rhai package",
        &format!("{median:.1?} (p99 {high:.1?})"),
        "20ms",
        median <= CHECK_TARGET,
    );
}

fn timed(mut command: impl FnMut() -> Command) -> Vec<Duration> {
    (0..PEER_RUNS)
        .map(|_| {
            let mut command = command();
            let start = Instant::now();
            assert!(command.status().expect("it starts").success());
            start.elapsed()
        })
        .collect()
}

fn quantiles(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// One line of the result.
fn report(what: &str, measured: &str, target: &str, met: bool) {
    println!("{what:<46} {measured:>26}   target {target:<10} {}", if met { "met" } else { "MISSED" });
}
