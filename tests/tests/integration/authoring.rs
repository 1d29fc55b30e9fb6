//! From nothing to a tested component in every language, with the toolchains as authors have them; mistakes named where they
//! stand; a save rehearsed at once.
//!
//! The toolchains are those that `sandbook build --install` puts below the user's cache, and `./dev test` before it.
//! Deliberately not here: what an SDK does off the engine, which its own tests say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Ran, Setup, binary, sandbook};
use sandbook_tests::{repository, wait};

/// A build and a look at it, on a loaded machine.
const SAVED_WITHIN: Duration = Duration::from_secs(60);
/// A guest in Rust is a matter of kilobytes.
const RUST_BYTES_MAX: u64 = 100_000;

fn real(name: &str, below_home: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(below_home);
    std::env::var_os(name).filter(|value| !value.is_empty()).map_or_else(home, PathBuf::from)
}

fn cache() -> PathBuf {
    real("XDG_CACHE_HOME", ".cache")
}

/// The binary with the machine's toolchains.
pub(crate) fn author(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", cache());
    Ran::new(&arguments.join(" "), command.output().expect("the binary starts"))
}

/// Another program in a package's folder.
#[track_caller]
fn run(folder: &Path, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).envs(environment.iter().copied());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?} in {}: {said}", folder.display());
    said
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    std::fs::write(path, text).expect("writable");
}

/// Where tests of guests in Rust are built for this machine: what they depend on is compiled once.
fn off_the_engine() -> String {
    repository().join("target/guests").display().to_string()
}

/// A new package, untouched: it passes `check` before and after it is built, and `test` with the same scenario everywhere.
fn passes_untouched(folder: &Path, lang: &str) -> PathBuf {
    let name = format!("heal-{lang}");
    author(folder, &["new", &name, "--lang", lang]).expect(0).says("runbook.toml");
    author(folder, &["check", &name]).expect(0);
    let package = folder.join(&name);
    if lang != "rhai" {
        let unbuilt = author(folder, &["check", &name]).expect(0).says("SB0250");
        unbuilt.says(&format!("sandbook build {name}"));
        author(folder, &["build", &name]).expect(0).says("main.wasm");
    }
    let checked = author(folder, &["check", &name]).expect(0);
    assert!(!checked.out.contains("warning"), "{checked}");
    author(folder, &["test", &name]).expect(0).says("✓ heals").says("1 scenario, all passed");
    author(folder, &["inspect", &name]).expect(0).says("can change, if granted\n  docker.restart-container: ");
    package
}

#[test]
fn a_new_package_in_rhai_passes_untouched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    passes_untouched(folder.path(), "rhai");
}

#[test]
fn a_new_package_in_rust_passes_untouched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = passes_untouched(folder.path(), "rust");
    let bytes = std::fs::metadata(package.join("main.wasm")).expect("built").len();
    assert!(bytes < RUST_BYTES_MAX, "{bytes} bytes");
    let said = run(&package, "cargo", &["test", "--quiet"], &[("CARGO_TARGET_DIR", off_the_engine().as_str())]);
    assert!(said.contains("3 passed"), "{said}");

    // The component alone is a package: its manifest is inside.
    let wasm = package.join("main.wasm").display().to_string();
    author(folder.path(), &["inspect", &wasm]).expect(0).says("heal-rust").says("logs.tail-container");
    // A changed source is built again before it is played.
    let source = package.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).expect("readable");
    std::fs::write(&source, text.replace("healthy after about", "well again after")).expect("writable");
    author(folder.path(), &["check", "heal-rust"]).expect(0).says("SB0251");
    author(folder.path(), &["test", "heal-rust"]).expect(1).says("building").says("well again after");
    // What the compiler says is shown, and what cargo tells programs is not.
    std::fs::write(&source, text.replace("input.container()?", "input.conteiner()?")).expect("writable");
    let refused = author(folder.path(), &["build", "heal-rust"]).expect(1).says("SB0254").says("src/lib.rs:1");
    assert!(!refused.to_string().contains("\"reason\""), "{refused}");
}

#[test]
fn a_new_package_in_python_passes_untouched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = passes_untouched(folder.path(), "python");
    let environment = [("PYTHONPATH", ".sandbook/sdk/python/src")];
    let said = run(&package, "python3", &["-m", "unittest"], &environment);
    assert!(said.contains("OK"), "{said}");
    let world = std::fs::read_to_string(package.join(".sandbook/build/world.wit")).expect("its world");
    assert!(world.contains("restart-container: func") && !world.contains("kill-container: func"), "{world}");
}

#[test]
fn a_new_package_in_javascript_passes_untouched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = passes_untouched(folder.path(), "js");
    run(&package, "npm", &["install", "--no-audit", "--no-fund", "--offline"], &[]);
    run(&package, "npm", &["test"], &[]);
    let tsc = cache().join("sandbook/toolchains/js/node_modules/typescript/bin/tsc");
    run(&package, "node", &[&tsc.display().to_string(), "--project", "."], &[]);
}

#[test]
fn the_sdks_own_tests_pass() {
    let sdk = repository().join("sdk");
    let said = run(
        &sdk.join("python"),
        "python3",
        &["-m", "unittest", "discover", "-s", "tests"],
        &[("PYTHONPATH", "src"), ("PYTHONDONTWRITEBYTECODE", "1")],
    );
    assert!(said.contains("OK"), "{said}");
    run(&sdk.join("js"), "node", &["--test", "tests/"], &[]);
    cargo_tests_pass(&sdk.join("rust"));
}

#[track_caller]
fn cargo_tests_pass(package: &Path) {
    let arguments = ["test", "--quiet", "--locked"];
    let said = run(package, "cargo", &arguments, &[("CARGO_TARGET_DIR", off_the_engine().as_str())]);
    assert!(said.contains(" passed"), "{said}");
}

#[test]
fn built_in_runbooks_in_rust_play_whole_runs_off_the_engine() {
    let runbooks = repository().join("runbooks");
    let folders = std::fs::read_dir(&runbooks).expect("readable").map(|entry| entry.expect("an entry").path());
    let in_rust: Vec<PathBuf> = folders.filter(|folder| folder.join("Cargo.toml").is_file()).collect();
    assert!(in_rust.len() >= 2, "{in_rust:?}");
    for package in in_rust {
        let sources = ["src/lib.rs", "src/tests.rs"].map(|file| std::fs::read_to_string(package.join(file)));
        let plays = sources.iter().flatten().any(|text| text.contains("play(&world, run, "));
        assert!(plays, "no test of {} plays a run", package.display());
        cargo_tests_pass(&package);
    }
}

#[test]
fn the_example_in_c_needs_nothing_but_the_contract() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let from = repository().join("examples/runbooks/c");
    for name in ["runbook.toml", "main.c", "sandbook.h", "scenarios/restarts.toml", "scenarios/refused.toml"] {
        write(folder.path(), name, &std::fs::read_to_string(from.join(name)).expect("readable"));
    }
    author(folder.path(), &["build", "."]).expect(0).says("of C");
    author(folder.path(), &["check", "."]).expect(0);
    author(folder.path(), &["test", "."]).expect(0).says("2 scenarios, all passed");
}

const PROBE: &str = r#"name = "probe"
version = "1.0.0"
summary = "What a guest sees of the world."
[target]
kind = "none"
[requests]
effects = ["docker.list-containers"]
"#;
const PROBE_SCENARIO: &str = r#"summary = "Time stands still, output is notes, nothing is reached"
[world.hosts.local.containers.web-1]
image = "nginx:1.27"
[expect]
outcome = "done"
sentence = "saw web-1"
notes = ["printed", "clock agrees", "denied: the manifest does not request docker.stop-container", "no network"]
"#;

#[test]
fn a_guest_in_python_reaches_nothing_but_effects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    write(path, "runbook.toml", PROBE);
    write(path, "scenarios/sees.toml", PROBE_SCENARIO);
    write(path, "scenarios/breaks.toml", BREAKS);
    write(
        path,
        "main.py",
        r#"
import random, socket, time
from sandbook import Denied, Input, clock, docker, done, log

def run(input: Input):
    print("printed")
    if input.parameters["fail"]:
        raise ValueError("as it was told")
    if abs(time.time() * 1000 - clock.now()) < 5000:
        log.log("info", "clock agrees")
    before = time.time()
    time.sleep(2)
    assert time.time() - before >= 2 and 0 <= random.random() < 1
    stop = getattr(docker, "stop_container")
    try:
        stop("web-1")
    except Denied as error:
        print(error)
    try:
        socket.socket()
    except OSError as error:
        print("no network")
    return done("saw " + ", ".join(one.name for one in docker.list_containers()))

def verify(input: Input) -> bool:
    return True
"#,
    );
    let breaks = std::fs::read_to_string(path.join("runbook.toml")).expect("readable")
        + "[parameters.fail]\ntype = \"text\"\ndefault = \"\"\n";
    write(path, "runbook.toml", &breaks);
    author(path, &["build", "."]).expect(0);
    assert_eq!(author(path, &["check", ".", "--json"]).expect(0).json()["package"]["has_verify"], true);
    author(path, &["test", "."]).expect(0).says("2 scenarios, all passed");
}

const BREAKS: &str = r#"summary = "An exception nobody catches ends the run with its place"
parameters = { fail = "now" }
[world.hosts.local.containers.web-1]
image = "nginx:1.27"
[expect]
outcome = "failed"
sentence = "as it was told ("
"#;

#[test]
fn a_guest_in_typescript_reaches_nothing_but_effects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    write(path, "runbook.toml", &format!("{PROBE}[parameters.fail]\ntype = \"text\"\ndefault = \"\"\n"));
    write(path, "scenarios/sees.toml", PROBE_SCENARIO);
    write(path, "scenarios/breaks.toml", BREAKS);
    write(path, "names.ts", "export const joined = (names: string[]): string => names.join(\", \");\n");
    write(
        path,
        "main.ts",
        r#"
import { clock, Denied, docker, done, log, type Input, type Outcome } from "sandbook";
import { joined } from "./names.ts";

export function run(input: Input): Outcome {
  console.log("printed");
  if (input.parameters.fail) throw new TypeError("as it was told");
  if (Math.abs(Date.now() - clock.now()) < 5000) log.log("info", "clock agrees");
  if (!(Math.random() < 1)) throw new Error("random");
  const { stopContainer: stop } = docker;
  try {
    stop("web-1");
  } catch (error) {
    if (error instanceof Denied) console.log(error.message);
  }
  if (typeof (globalThis as any).process === "undefined") console.log("no network");
  return done("saw " + joined(docker.listContainers().map((one) => one.name)));
}

export function verify(_: Input): boolean {
  return true;
}
"#,
    );
    author(path, &["build", "."]).expect(0).says("of JavaScript");
    assert_eq!(author(path, &["check", ".", "--json"]).expect(0).json()["package"]["has_verify"], true);
    author(path, &["test", "."]).expect(0).says("2 scenarios, all passed");
}

#[test]
fn what_is_missing_is_named_with_the_commands_that_install_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bare = |arguments: &[&str], path: &str| {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(folder.path()).env_clear().env("HOME", folder.path()).env("PATH", path);
        Ran::new(&arguments.join(" "), command.output().expect("the binary starts"))
    };
    for lang in ["python", "js", "rust"] {
        bare(&["new", lang, "--lang", lang], "").expect(0);
    }
    let missing = bare(&["build", "python"], "").expect(1).says("SB0253");
    missing.says("as root: apt-get install python3 python3-venv");
    bare(&["build", "js"], "").expect(1).says("SB0253").says("apt-get install nodejs npm");
    bare(&["build", "rust"], "").expect(1).says("SB0253").says("a linker called cc").says("apt-get install gcc");
    bare(&["build", "nosuch"], "").expect(1).says("there is no folder nosuch").says("sandbook new");

    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).expect("writable");
    for name in ["python3", "node", "npm"] {
        std::os::unix::fs::symlink("/bin/false", programs.join(name)).expect("a link");
    }
    let path = programs.display().to_string();
    let named = bare(&["build", "python"], &path).expect(1).says("sandbook build python --install");
    named.says("python3 -m venv").says("pip install --quiet componentize-py==");
    bare(&["build", "js"], &path).expect(1).says("npm install").says("@bytecodealliance/componentize-js@");
    assert!(!folder.path().join(".cache/sandbook/toolchains/python").exists(), "nothing is installed unasked");
    bare(&["build", "python", "--install"], &path).expect(1).says("SB0254").says("python3 -m venv");
}

/// Every kind of mistake with its place, its line, what was expected and the way out.
const MISTAKES: &str = r##"error[SB0215]: the code uses `docker.restart-container`, which the manifest does not request
  --> heal/main.rhai:18:5
   |
18 |     docker::restart_container(container, #{ grace_ms: input.parameters.grace });
   |     ^
   = help: write under [requests]: effects = ["docker.inspect-container", "docker.stop-container", "logs.tail-container", "docker.restart-container"]

warning[SB0217]: trigger 1 can never match: severity=~"warning|critical" and severity!~"w.*|c.*" exclude each other (label severity)
  --> heal/runbook.toml:10:11
   |
10 | match = ['severity=~"warning|critical"', 'severity!~"w.*|c.*"']
   |           ^
   = help: all matchers of a trigger must hold; for one or the other write two [[trigger]] tables

warning[SB0216]: `docker.stop-container` is requested, but the code never uses it
  --> heal/runbook.toml:25:40
   |
25 | effects = ["docker.inspect-container", "docker.stop-container", "logs.tail-container"]
   |                                        ^
   = help: remove it: what is not requested can never be granted by mistake

error[SB0221]: this world has no container `local/web-9`
  --> heal/scenarios/heals.toml:25:20
   |
25 | [expect.containers."local/web-9"]
   |                    ^
   = help: did you mean `local/web-1`?

warning[SB0252]: no policy permits `docker.stop-container` for heal
  --> heal/runbook.toml:25:40
   |
25 | effects = ["docker.inspect-container", "docker.stop-container", "logs.tail-container"]
   |                                        ^
   = help: sandbook grant heal docker.stop-container --container NAME
"##;

#[test]
fn mistakes_are_named_where_they_stand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let type_in = |arguments: &[&str]| sandbook(folder.path(), arguments);
    let file = |name: &str, from: &str, to: &str| {
        let path = folder.path().join("heal").join(name);
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.contains(from), "{name} has no {from}");
        std::fs::write(path, text.replacen(from, to, 1)).expect("writable");
    };
    type_in(&["new", "heal"]).expect(0);
    file("runbook.toml", "\"docker.restart-container\", ", "\"docker.stop-container\", ");
    file(
        "runbook.toml",
        "alert = [\"ContainerUnhealthy\"]",
        "alert = [\"ContainerUnhealthy\"]\nmatch = ['severity=~\"warning|critical\"', 'severity!~\"w.*|c.*\"']",
    );
    file("scenarios/heals.toml", "[expect.containers.\"local/web-1\"]", "[expect.containers.\"local/web-9\"]");
    let checked = type_in(&["check", "heal"]).expect(1);
    for said in [
        "heal/main.rhai:18:5",
        "18 |     docker::restart_container(container",
        "the code uses `docker.restart-container`, which the manifest does not request",
        "= help: write under [requests]: effects = [",
        "`docker.stop-container` is requested, but the code never uses it",
        "trigger 1 can never match",
        "this world has no container `local/web-9`",
        "did you mean `local/web-1`?",
    ] {
        assert!(checked.out.contains(said), "wanted {said:?} in {checked}");
    }
    let problems = type_in(&["check", "heal", "--json"]).expect(1).json()["problems"].clone();
    let codes: Vec<&str> = problems.as_array().expect("a list").iter().filter_map(|one| one["code"].as_str()).collect();
    for code in ["SB0215", "SB0216", "SB0217", "SB0221"] {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }

    // With the operator's policy as well, word for word.
    std::fs::create_dir(folder.path().join("policy")).expect("writable");
    std::fs::write(folder.path().join("policy/none.cedar"), "").expect("writable");
    let checked = type_in(&["check", "heal", "--policy", "policy"]).expect(1);
    assert!(checked.out.starts_with(MISTAKES), "{checked}");

    // Code and manifest are both wrong, and both are said; a folder without code as well.
    std::fs::rename(folder.path().join("heal/main.rhai"), folder.path().join("heal/other.rhai")).expect("renamed");
    file("runbook.toml", "summary", "sumary");
    type_in(&["check", "heal"]).expect(1).says("SB0212").says("did you mean `summary`?");

    // A language that is built later is checked in its sources as far as they go.
    type_in(&["new", "late", "--lang", "python"]).expect(0);
    let path = folder.path().join("late/runbook.toml");
    let text = std::fs::read_to_string(&path).expect("readable");
    std::fs::write(&path, text.replace(", \"logs.tail-container\"", "")).expect("writable");
    type_in(&["check", "late"]).expect(1).says("late/main.py:18:").says("logs.tail-container");
}

#[test]
fn what_policy_would_refuse_is_said_before_a_run_finds_out() {
    let daemon = Daemon::start(Setup::with("[policy]\ndirs = [\"./policy\"]").file("policy/none.cedar", ""));
    daemon.cli(&["new", "heal"]).expect(0);
    let refused = "no policy permits `docker.restart-container` for heal";
    daemon
        .cli(&["check", "heal", "--daemon"])
        .expect(0)
        .says("SB0252")
        .says(refused)
        .says("sandbook grant heal docker.restart-container");
    daemon.cli(&["check", "heal", "--policy", "policy"]).expect(0).says(refused);
    daemon.cli(&["push", "heal"]).expect(0);
    daemon.cli(&["grant", "heal", "docker.restart-container", "--container", "web-*"]).expect(0);
    for arguments in [&["check", "heal", "--daemon"][..], &["check", "heal", "--policy", "policy"]] {
        let checked = daemon.cli(arguments).expect(0);
        assert!(!checked.out.contains("SB0252"), "{checked}");
    }
}

#[test]
fn every_save_is_checked_and_rehearsed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    sandbook(folder.path(), &["new", "heal"]).expect(0);
    sandbook(folder.path(), &["dev", "heal", "--once"]).expect(0).says("✓ heals").says("checked");
    sandbook(folder.path(), &["dev", "heal", "--once", "--scenario", "heals"])
        .expect(0)
        .says("restart container local/web-1");
    sandbook(folder.path(), &["dev", "heal", "--once", "--scenario", "none"])
        .expect(1)
        .says("there is no scenario none");

    let output = folder.path().join("output");
    let file = std::fs::File::create(&output).expect("a file");
    let mut command = Command::new(binary());
    command.args(["dev", "heal"]).current_dir(folder.path()).env("HOME", folder.path());
    command.env("XDG_CACHE_HOME", sandbook_tests::warm::cache_home());
    let mut child = command.stdin(Stdio::null()).stdout(file).spawn().expect("it starts");
    let said = || std::fs::read_to_string(&output).expect("readable");
    let until = |words: &str| wait::for_words(words, SAVED_WITHIN, said);
    until("waiting for a save");
    let script = folder.path().join("heal/main.rhai");
    let text = std::fs::read_to_string(&script).expect("readable");
    std::fs::write(&script, text.replace("healthy after about", "well after")).expect("writable");
    until("+ restarted web-1, well after");
    std::fs::write(&script, text.replace("docker::restart_container(", "docker::restart_contaner(")).expect("writable");
    until("did you mean `docker::restart_container`?");
    std::fs::write(&script, &text).expect("writable");
    let rounds = |count: usize| move |said: String| said.matches("✓ heals").count() >= count;
    wait::until("it to be well again", SAVED_WITHIN, said, || {
        if rounds(2)(said()) { Ok(()) } else { Err("not yet".to_owned()) }
    });
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
