//! Hostile guests, pushed through the API to the real daemon: each is refused at upload or ends its run as failed, and
//! afterwards `/health` answers and a good run works.
//!
//! What is bounded is the daemon, so its memory is looked at after every guest as well.

use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::fake_docker::{FakeDocker, Fault};
use sandbook_tests::package::{Asks, Package, core_module, frame, manifest, typed, well};
use serde_json::json;

/// One guest may hold 64 MiB; the rest is what a debug build with Cranelift, its caches and its freed arenas keeps.
const RESIDENT_KIB_MAX: u64 = 700 << 10;
/// A run is stopped by its CPU limit of a second, by its memory, or by the gate; compiling in a debug build is slow.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// One CPU second instead of five: the limit is what is tested, not patience.
const SHORT: Asks<'_> = Asks { effects: &[], limits: "cpu = \"1s\"\nwall = \"30s\"", more: "" };

fn daemon() -> Daemon {
    let daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\""));
    daemon.push_live(&good("good"));
    daemon
}

fn good(name: &str) -> Package {
    Package::rhai(name, Asks::default(), "fn run(input) { done(\"well\") }\n")
}

/// How a hostile guest may be met.
#[derive(Clone, Copy, PartialEq)]
enum Met {
    /// Only at upload: it is not even a runbook.
    Refused,
    /// Only by ending its run.
    Stopped,
    /// Either.
    RefusedOrStopped,
}

/// Pushes a guest, runs it if it is taken, and sees that it got nowhere and harmed nobody.
#[track_caller]
fn meet(daemon: &Daemon, met: Met, guest: &Package) {
    let answer = daemon.push(guest);
    match answer.status {
        400 | 413 | 422 if met != Met::Stopped => {
            answer.error();
        }
        200 | 201 if met != Met::Refused => {
            daemon.push_live(guest);
            let run = daemon.run(&guest.name, &json!({}));
            let ended = daemon.ended_within(&run, ENDS_WITHIN);
            assert_eq!(ended["state"], "failed", "{}: {ended}\n{}", guest.name, daemon.log_tail());
        }
        status => panic!("{} got {status}: {:.2000}\n{}", guest.name, answer.text(), daemon.log_tail()),
    }
    assert_unharmed(daemon, &guest.name);
}

#[track_caller]
fn assert_unharmed(daemon: &Daemon, after: &str) {
    assert_eq!(daemon.anonymous().get("/health").expect(200).json()["status"], "ok", "after {after}");
    let run = daemon.run("good", &json!({}));
    let ended = daemon.ended(&run);
    assert_eq!(ended["state"], "succeeded", "a good run after {after}: {ended}\n{}", daemon.log_tail());
    let resident = daemon.resident_kib();
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB resident after {after}");
}

#[test]
fn scripts_that_take_everything() {
    let daemon = daemon();
    #[rustfmt::skip]
    let scripts = [
        ("loop-for-ever", "fn run(input) { loop {} }"),
        ("loop-in-comparator", "fn run(input) { let a = [3, 1, 2]; a.sort(|x, y| { loop {} }); done(\"no\") }"),
        ("loop-and-catch", "fn run(input) { loop { try { loop {} } catch { } } }"),
        ("recurse-for-ever", "fn f(n) { f(n + 1) + 1 }\nfn run(input) { f(0); done(\"no\") }"),
        ("recurse-through-closure", "fn run(input) { let f = |g, n| g.call(g, n + 1) + 1; f.call(f, 0); done(\"no\") }"),
        ("string-bomb", "fn run(input) { let s = \"xxxxxxxx\"; loop { s += s; } }"),
        ("array-bomb", "fn run(input) { let a = []; loop { a.push(\"x\".len()); a += a; } }"),
        ("nested-bomb", "fn run(input) { let a = [1]; loop { a = [a, a, a, a]; } }"),
        ("map-bomb", "fn run(input) { let m = #{}; let i = 0; loop { m[i.to_string()] = \"x\".pad(1000, 'x'); i += 1; } }"),
        ("curry-bomb", "fn f(a, b) { a }\nfn run(input) { let keep = []; let s = \"x\"; s.pad(500000, 'x'); loop { keep.push(Fn(\"f\").curry(s + keep.len())); } }"),
        ("closure-bomb", "fn run(input) { let f = || 1; let i = 0; loop { let g = f; f = || g.call(); i += 1; } }"),
        ("blob-bomb", "fn run(input) { let keep = []; loop { keep.push(blob(1000000, 1)); } }"),
        ("effects-for-ever", "fn run(input) { loop { clock::now(); } }"),
        ("effects-and-catch", "fn run(input) { loop { try { clock::now(); } catch { } } }"),
        ("throw-huge", "fn run(input) { let s = \"x\"; s.pad(1000000, 'x'); throw s; }"),
    ];
    for (name, script) in scripts {
        meet(&daemon, Met::Stopped, &Package::rhai(name, SHORT, script));
    }
}

#[test]
fn scripts_that_flood_the_record() {
    let daemon = daemon();
    let print = "fn run(input) { let s = \"x\"; s.pad(10000, 'x'); loop { print(s); } }";
    meet(&daemon, Met::Stopped, &Package::rhai("print-flood", SHORT, print));
    let evidence = "fn run(input) { let s = \"x\"; s.pad(200000, 'x'); loop { log::attach_evidence(\"e\", s); } }";
    meet(&daemon, Met::Stopped, &Package::rhai("evidence-flood", SHORT, evidence));
    let state =
        "fn run(input) { let s = \"x\"; s.pad(60000, 'x'); let i = 0; loop { state::put(\"k\" + i, s); i += 1; } }";
    meet(&daemon, Met::Stopped, &Package::rhai("state-flood", SHORT, state));
    let journal = daemon.runs("runbook=print-flood");
    let id = journal[0]["run"].as_str().expect("a run has an id");
    let answer = daemon.api().get(&format!("/v1/runs/{id}/journal")).expect(200);
    assert!(answer.body.len() < 16 << 20, "the record is bounded, not {} bytes", answer.body.len());
}

#[test]
fn scripts_that_the_parser_must_survive() {
    let daemon = daemon();
    let nest = |open: &str, close: &str, depth: usize| {
        format!("fn run(input) {{ let x = {}1{}; done(\"no\") }}", open.repeat(depth), close.repeat(depth))
    };
    #[rustfmt::skip]
    let scripts = [
        ("nested-brackets", nest("[", "]", 100_000)),
        ("nested-parens", nest("(", ")", 100_000)),
        ("nested-maps", nest("#{a:", "}", 50_000)),
        ("nested-blocks", nest("{", "}", 50_000)),
        ("nested-closures", nest("|| ", "", 50_000)),
        ("nested-negation", nest("-", "", 100_000)),
        ("nested-interpolation", nest("`${", "}`", 10_000)),
        ("long-sum", format!("fn run(input) {{ {}1; done(\"no\") }}", "1 + ".repeat(200_000))),
        ("no-run", "fn walk(input) { }".to_owned()),
        ("eval", "fn run(input) { eval(\"1\"); done(\"no\") }".to_owned()),
        ("import", "import \"std\" as s;\nfn run(input) { done(\"no\") }".to_owned()),
    ];
    for (name, script) in scripts {
        meet(&daemon, Met::RefusedOrStopped, &Package::rhai(name, SHORT, &script));
    }
}

/// Components that are sound and mean no good.
fn greedy_components() -> Vec<(&'static str, String)> {
    let import = |interface: &str, function: &str, signature: &str| {
        format!("(import \"sandbook:runbook/{interface}@1.0.0\" \"{function}\" (func $effect {signature}))")
    };
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let fill = "(local $at i32) (loop $l (drop (memory.grow (i32.const 1))) (i32.store (local.get $at) (i32.const 7)) \
                (local.set $at (i32.add (local.get $at) (i32.const 4096))) (br $l)) unreachable";
    let table =
        "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) unreachable";
    let million = "(local $n i32) (loop $l (call $effect (i32.const 2048)) (local.set $n (i32.add (local.get $n) (i32.const 1))) \
                   (br_if $l (i32.lt_u (local.get $n) (i32.const 1000000)))) (i32.const 1024)";
    let flood = "(loop $l (call $effect (i32.const 1) (i32.const 4096) (i32.const 50000)) (br $l)) unreachable";
    let huge = "(call $effect (i32.const 1) (i32.const 0) (i32.const -1)) unreachable";
    #[rustfmt::skip]
    let guests = vec![
        ("wasm-loop", frame("", "(loop $l (br $l)) unreachable", "")),
        ("wasm-grow", frame("", grow, "")),
        ("wasm-fill", frame("", fill, "")),
        ("wasm-table", frame("", table, "(table $t 1 funcref)")),
        ("wasm-recurse", frame("", "(call $deep (i32.const 0))", "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))")),
        ("wasm-trap", frame("", "unreachable", "")),
        ("wasm-bad-pointer", frame("", "(i32.const -8)", "")),
        ("wasm-bad-text", frame("", "(i32.store (i32.const 1032) (i32.const -4)) (i32.store (i32.const 1036) (i32.const 1000000)) (i32.const 1024)", "")),
        ("wasm-million-calls", frame(&import("clock", "now", "(param i32)"), million, "")),
        ("wasm-log-flood", frame(&import("log", "log", "(param i32 i32 i32)"), flood, "")),
        ("wasm-huge-argument", frame(&import("log", "log", "(param i32 i32 i32)"), huge, "")),
        ("wasm-start-loop", frame("", "(i32.const 1024)", "(func $spin (loop $l (br $l))) (start $spin)")),
    ];
    guests
}

#[test]
fn components_that_take_everything() {
    let daemon = daemon();
    for (name, wat) in &greedy_components() {
        meet(&daemon, Met::Stopped, &Package::wat(name, SHORT, wat));
    }
    let mut fine = Package::wat("wasm-well", SHORT, &well());
    daemon.push_live(&fine);
    let ended = daemon.ended(&daemon.run("wasm-well", &json!({})));
    assert_eq!(ended["outcome"], "done", "the frame itself is sound: {ended}");
    fine.bytes.truncate(fine.bytes.len() / 2);
    fine.name = "cut-tar".to_owned();
    meet(&daemon, Met::Refused, &fine);
}

#[test]
fn files_that_are_no_runbook() {
    let daemon = daemon();
    let sound = typed(&core_module(&well()));
    let random: Vec<u8> = (0..65_536_u64).map(|n| (n.wrapping_mul(6_364_136_223_846_793_005) >> 56) as u8).collect();
    let foreign = frame("(import \"env\" \"system\" (func $effect (param i32)))", "(i32.const 1024)", "");
    let wasi = frame(
        "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $effect (param i32 i32 i32 i32) (result i32)))",
        "(i32.const 1024)",
        "",
    );
    let no_run = "(module (memory (export \"memory\") 1))";
    let wants_memory = well().replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 65536)");
    let wants_table = frame("", "(i32.const 1024)", "(table 100000000 funcref)");
    let component =
        wat::parse_str("(component (import \"wasi:http/outgoing-handler@0.2.0\" (instance)))").expect("a component");
    meet(&daemon, Met::Refused, &Package::wasm("random", SHORT, &random));
    meet(&daemon, Met::Refused, &Package::wasm("empty", SHORT, b""));
    meet(&daemon, Met::Refused, &Package::wasm("header-only", SHORT, b"\0asm\x01\0\0\0"));
    for keep in [9, 40, sound.len() / 2, sound.len() - 1] {
        meet(&daemon, Met::Refused, &Package::wasm(&format!("truncated-{keep}"), SHORT, &sound[..keep]));
    }
    meet(&daemon, Met::Refused, &Package::wasm("untyped", SHORT, &core_module(&well())));
    meet(&daemon, Met::Refused, &Package::wasm("foreign-import", SHORT, &typed(&core_module(&foreign))));
    meet(&daemon, Met::Refused, &Package::wasm("wasi-import", SHORT, &typed(&core_module(&wasi))));
    meet(&daemon, Met::Refused, &Package::wasm("http-import", SHORT, &component));
    meet(&daemon, Met::Refused, &Package::wasm("no-run", SHORT, &core_module(no_run)));
    meet(&daemon, Met::RefusedOrStopped, &Package::wat("wants-memory", SHORT, &wants_memory));
    meet(&daemon, Met::RefusedOrStopped, &Package::wat("wants-table", SHORT, &wants_table));
    meet(&daemon, Met::Refused, &Package::file("no-manifest", &sound));
    meet(&daemon, Met::Refused, &Package::tar("no-code", &[("runbook.toml", manifest("no-code", SHORT).as_bytes())]));
}

#[test]
fn requests_beyond_the_manifest_are_denied_and_end_a_probing_run() {
    let daemon = daemon();
    let probe = "fn run(input) { loop { try { docker::restart_container(\"web-1\"); } catch { } } }";
    meet(&daemon, Met::RefusedOrStopped, &Package::rhai("probe", SHORT, probe));
    let asks = Asks { effects: &["docker.restart-container"], ..SHORT };
    meet(&daemon, Met::Stopped, &Package::rhai("probe-requested", asks, probe));
}

/// A function whose values all live to its end: registers cannot be allotted quickly.
fn slow_to_compile() -> String {
    const LOCALS: usize = 20_000;
    const ROUNDS: usize = 15;
    let locals: String = (0..LOCALS).map(|_| "(local i64)").collect();
    let mut body = String::with_capacity(LOCALS * ROUNDS * 64);
    for round in 1..=ROUNDS {
        for local in 1..LOCALS {
            let other = local * (round * 7919) % (LOCALS - 1) + 1;
            body.push_str(&format!("local.get {local}\nlocal.get {other}\ni64.add\nlocal.set {local}\n"));
        }
    }
    frame(
        "",
        "(call $slow) unreachable",
        &format!("(func $slow {locals} (loop $l {body} (br_if $l (i64.eqz (local.get 1)))))"),
    )
}

#[test]
fn a_component_that_takes_minutes_or_gigabytes_to_compile() {
    let daemon = daemon();
    let slow = Package::wat("slow-to-compile", SHORT, &slow_to_compile());
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| meet(&daemon, Met::RefusedOrStopped, &slow));
        // Long enough for the compiler to be at it; a run started now must not wait for it.
        std::thread::sleep(Duration::from_secs(5));
        assert_unharmed(&daemon, "the upload, while it is compiled");
        upload.join().expect("the upload was met");
    });
    let functions =
        (0..60_000).map(|n| format!("(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {n})))"));
    let many = frame("", "unreachable", &functions.collect::<String>());
    meet(&daemon, Met::RefusedOrStopped, &Package::wat("many-functions", SHORT, &many));
}

#[test]
fn an_upload_of_200_mb_is_refused_without_being_kept() {
    let daemon = daemon();
    let before = daemon.resident_kib();
    let headers = [("content-type", "application/wasm")];
    match daemon.api().send("POST", "/v1/runbooks", &headers, vec![0_u8; 200 << 20]) {
        Ok(answer) => assert_eq!(answer.status, 413, "{}", answer.text()),
        // A server may close while the rest is still being sent.
        Err(error) => assert!(format!("{error:#}").contains("/v1/runbooks"), "{error:#}"),
    }
    assert_unharmed(&daemon, "200 MB");
    assert!(daemon.resident_kib() < before + (100 << 10), "{before} KiB became {}", daemon.resident_kib());
    let packing = ["-c", "head -c 1000000000 /dev/zero | gzip -9"];
    let packed = std::process::Command::new("sh").args(packing).output().expect("sh starts").stdout;
    assert!(packed.len() < 2 << 20, "a gigabyte of nothing packs well, not to {} bytes", packed.len());
    let bomb = Package { name: "gzip-bomb".to_owned(), content_type: "application/gzip", bytes: packed };
    meet(&daemon, Met::Refused, &bomb);
}

#[test]
fn a_host_call_that_hangs_ends_at_its_own_deadline_or_the_runs() {
    let fake = FakeDocker::start();
    fake.container("web-1", "unhealthy");
    let daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\"").docker(&fake.endpoint()));
    daemon.push_live(&good("good"));
    let asks = Asks { effects: &["docker.inspect-container"], limits: "wall = \"5s\"", more: "" };
    let script = "fn run(input) { docker::inspect_container(\"web-1\"); done(\"no\") }";
    fake.script("GET", "/web-1/json", Fault::Hang, usize::MAX);
    fake.script("GET", "/containers/json", Fault::Hang, usize::MAX);
    fake.script(
        "GET",
        "/0000000000000000000000000000000000000000000000000000000000000001/json",
        Fault::Hang,
        usize::MAX,
    );
    meet(&daemon, Met::Stopped, &Package::rhai("hangs", asks, script));
}

#[test]
fn forty_hostile_runs_at_once_starve_nobody() {
    let docker = Dockerd::start();
    let daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\"").docker(&docker.endpoint()));
    daemon.push_live(&good("good"));
    let names: Vec<String> = (0..8).map(|number| format!("busy-{number}")).collect();
    for name in &names {
        daemon.push_live(&Package::rhai(name, SHORT, "fn run(input) { loop {} }"));
    }
    let runs: Vec<String> = (0..5).flat_map(|_| names.iter().map(|name| daemon.run(name, &json!({})))).collect();
    // Other tests share the machine: the fastest of some answers tells whether guests keep the daemon from answering.
    let answered = || {
        let start = std::time::Instant::now();
        daemon.anonymous().get("/health").expect(200);
        start.elapsed()
    };
    let fastest = (0..5).map(|_| answered()).min().expect("five");
    let open = runs.iter().any(|run| daemon.api().get(&format!("/v1/runs/{run}")).json()["finished_at"].is_null());
    assert!(open, "the guests were over before anybody asked");
    assert!(fastest < Duration::from_secs(2), "/health waited {fastest:?} for guests");
    for run in &runs {
        assert_eq!(daemon.ended_within(run, ENDS_WITHIN)["state"], "failed");
    }
    assert_unharmed(&daemon, "forty busy runs");
}
