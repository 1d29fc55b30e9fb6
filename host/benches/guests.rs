//! One whole run of a guest in each language, beside one interpreter and one container as a sandbox; and `check` at the desk.
//!
//! A run: new store, WASI, instantiate, call `run`, one effect, drop; no gate, no journal, no disk. A floor is what the parts
//! alone take, measured on two cores; a run may take twice its floor. One table: what was measured, how many times its floor
//! that is, and how many times slower the peers are. Figures stand in docs/benchmarks.md. Not a test: what misses is printed.

use std::path::Path;
use std::process::{Command, Stdio};
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
/// Before those that count: the first compiles the guest or loads it, the others fill pools.
const WARM_UP: usize = 20;
const PEER_RUNS: usize = 10;
const CHECK_RUNS: usize = 30;
const CHECK_TARGET: Duration = Duration::from_millis(20);
/// Of its floor, which a whole run may take.
const RATIO_MAX: f64 = 2.0;

const MANIFEST: &str = "name = \"one-effect\"\nversion = \"1.0.0\"\nsummary = \"One effect.\"\n\
    [requests]\neffects = [\"docker.list-containers\"]\n";
const RHAI: &str = "fn run(input) { docker::list_containers(#{}); done(\"looked\") }\n";
/// A built-in script of a page, of which only the parsing counts: its own `run` is not called.
const PAGE: &str = include_str!("../../runbooks/restart-unhealthy/main.rhai");
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
    heading();
    let slowest = runtime.block_on(guests());
    peers(slowest);
    check();
}

/// Measures each language; the median of the slowest.
async fn guests() -> Duration {
    let cache_dir = std::env::temp_dir().join("sandbook-bench-cache");
    let sandbox = Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("an engine");
    let page = format!("{RHAI}\n{}", PAGE.replace("fn run(input)", "fn unused(input)"));
    /// Name, files of the package, its floor in microseconds.
    type Language<'a> = (&'a str, &'a [(&'a str, &'a str)], u64);
    let languages: [Language<'_>; 5] = [
        ("Rust", &[("Cargo.toml", CARGO), ("src/lib.rs", RUST)], 50),
        ("Rhai, one line", &[("main.rhai", RHAI)], 84),
        ("Rhai, one page", &[("main.rhai", &page)], 460),
        ("JavaScript", &[("main.js", JAVASCRIPT)], 800),
        ("Python", &[("main.py", PYTHON)], 1_150),
    ];
    let mut slowest = Duration::ZERO;
    for (name, files, floor_us) in languages {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let code = built(folder.path(), files).await;
        let mut took = Vec::new();
        for _ in 0..WARM_UP + RUNS {
            let start = Instant::now();
            let input = json!({"alert": null, "target": null, "parameters": {}});
            let limits = Limits { memory_bytes: 256 << 20, ..Limits::default() };
            let call =
                Call { code: &code, entry: Entry::Run, input: &input, limits: &limits, seed: 7, door: Arc::new(Door) };
            let ended = sandbox.run(call).await;
            assert!(matches!(ended, Ended::Outcome(..)), "{name}: {ended:?}");
            took.push(start.elapsed());
        }
        let (median, high) = quantiles(took.split_off(WARM_UP));
        let floor = Duration::from_micros(floor_us);
        let ratio = median.as_secs_f64() / floor.as_secs_f64();
        let verdict = if ratio <= RATIO_MAX { "met" } else { "MISSED" };
        row(&format!("whole run, {name}"), median, high, &shown(floor), &format!("{ratio:.2}x floor"), verdict);
        slowest = slowest.max(median);
    }
    slowest
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

/// What one would run a script with otherwise, beside the slowest of the languages.
fn peers(slowest: Duration) {
    let beside = |name: &str, took: Vec<Duration>| {
        let (median, high) = quantiles(took);
        let ratio = median.as_secs_f64() / slowest.as_secs_f64();
        row(
            name,
            median,
            high,
            "a peer",
            &format!("{ratio:.0}x slowest run"),
            if ratio > 1.0 { "met" } else { "MISSED" },
        );
    };
    let python = timed(PEER_RUNS, || {
        let mut command = Command::new("python3");
        command.args(["-c", "pass"]);
        command
    });
    beside("python3 -c pass", python);
    let docker = Dockerd::start();
    let run = timed(PEER_RUNS, || {
        let mut command = Command::new("docker");
        command.args(["--host", &docker.endpoint(), "run", "--rm", "--network", "none", IMAGE, "/bin/busybox", "true"]);
        command
    });
    beside("docker run --rm of a static binary", run);
}

/// The whole command, from start to exit, with a warm cache.
fn check() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = sandbook_tests::daemon::binary();
    let command = |arguments: &'static [&'static str]| {
        let mut command = Command::new(&binary);
        command.args(arguments).current_dir(folder.path()).env("HOME", folder.path()).stdout(Stdio::null());
        command
    };
    assert!(command(&["new", "heal"]).status().expect("it starts").success());
    assert!(command(&["check", "heal"]).status().expect("it starts").success());
    let (median, high) = quantiles(timed(CHECK_RUNS, || command(&["check", "heal"])));
    let ratio = median.as_secs_f64() / CHECK_TARGET.as_secs_f64();
    let verdict = if ratio <= 1.0 { "met" } else { "MISSED" };
    row("sandbook check of a Rhai package", median, high, &shown(CHECK_TARGET), &format!("{ratio:.2}x limit"), verdict);
}

fn timed(runs: usize, mut command: impl FnMut() -> Command) -> Vec<Duration> {
    let mut once = || {
        let mut command = command();
        let start = Instant::now();
        assert!(command.stdout(Stdio::null()).status().expect("it starts").success());
        start.elapsed()
    };
    // Files are read from disk by the first.
    once();
    (0..runs).map(|_| once()).collect()
}

fn quantiles(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// Microseconds below ten milliseconds, milliseconds above: one unit would hide one end of the table.
fn shown(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ 0..10_000 => format!("{micros} us"),
        micros => format!("{:.1} ms", micros as f64 / 1_000.0),
    }
}

fn heading() {
    println!("{:<36} {:>10} {:>10} {:>10} {:>18}", "", "p50", "p99", "limit", "ratio");
}

fn row(what: &str, median: Duration, high: Duration, limit: &str, ratio: &str, verdict: &str) {
    println!("{what:<36} {:>10} {:>10} {limit:>10} {ratio:>18}   {verdict}", shown(median), shown(high));
}
