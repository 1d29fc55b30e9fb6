//! Scenarios: their format, every expectation, coverage and recording.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbook_core::manifest::Manifest;
use serde_json::json;

use super::*;
use crate::guest::{Compiler, Options, Sandbox};
use crate::library::Upload;

const MANIFEST: &str = r#"
name = "heal"
version = "1.0.0"
summary = "Restart what is sick."
[target]
kind = "container"
container_from = ["name"]
[parameters.grace]
type = "duration"
default = "10s"
[requests]
effects = ["docker.inspect-container", "docker.restart-container", "docker.stop-container", "net.tcp-check", "notify.send"]
"#;

const SCRIPT: &str = r#"
fn run(input) {
    let c = input.target;
    let state = docker::inspect_container(c).state;
    if state.health != "unhealthy" { return nothing_to_do("it is well"); }
    log::log("info", "it is sick");
    notify::send(#{ title: "sick", text: "it is sick", severity: "warning" });
    try {
        docker::restart_container(c, #{ grace_ms: input.parameters.grace });
    } catch (e) {
        if e.kind == "failed" { return escalate(`it cannot be restarted: ${e.message}`); }
        throw e;
    }
    clock::sleep(6000);
    switch docker::inspect_container(c).state.health {
        "healthy" => fixed("restarted"),
        _ => escalate("restarted in vain"),
    }
}
"#;

/// A sick container and an alert for it; expectations are added to it.
const SICK: &str = r#"summary = "A sick container is restarted"

[alert]
labels = { alertname = "Sick", name = "web" }

[world.hosts.local.containers.web]
health = "unhealthy"
"#;

const GOOD: &str = r#"
[expect]
outcome = "fixed"
sentence = "restarted"
effects = [
    { effect = "notify.send", arguments = { message = { severity = "warning" } } },
    { effect = "docker.restart-container", target = "web", arguments = { options = { grace_ms = 10000 } } },
    { effect = "docker.inspect-container" },
]
notes = ["it is sick"]
messages = 1

[expect.containers."local/web"]
status = "running"
health = "healthy"
starts = 1
restart_count = 0
"#;

fn sandbox() -> Arc<Sandbox> {
    static SANDBOX: std::sync::OnceLock<Arc<Sandbox>> = std::sync::OnceLock::new();
    let cache_dir = std::env::temp_dir().join("sandbook-test-cache");
    let new = || Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("an engine");
    SANDBOX.get_or_init(new).clone()
}

fn bench() -> Bench {
    Bench::new(sandbox()).expect("a bench")
}

fn package(script: &str) -> Package {
    let manifest: String = MANIFEST.lines().map(|line| format!("//! {line}\n")).collect();
    let text = format!("{manifest}{script}");
    let upload = Upload::Bytes { bytes: text.as_bytes(), content_type: Some("text/x-rhai") };
    Package::read(upload).expect("a package").0
}

fn understood(text: &str) -> Scenario {
    read(text, "scenarios/a.toml", &package(SCRIPT).manifest).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

async fn played(text: &str) -> (Scenario, Played) {
    let scenario = understood(text);
    let played = bench().play(&package(SCRIPT), &scenario).await;
    (scenario, played)
}

async fn mismatches(text: &str) -> Vec<Mismatch> {
    let (scenario, played) = played(text).await;
    judge(scenario.expect.as_ref().expect("expectations"), &played)
}

#[tokio::test]
async fn what_is_expected_and_happens_is_no_mismatch() {
    assert_eq!(mismatches(&format!("{SICK}{GOOD}")).await, []);
}

#[tokio::test]
async fn each_expectation_can_fail() {
    for (right, wrong, what) in [
        ("outcome = \"fixed\"", "outcome = \"escalate\"", "outcome"),
        ("sentence = \"restarted\"", "sentence = \"in vain\"", "sentence"),
        ("notes = [\"it is sick\"]", "notes = [\"all is well\"]", "note"),
        ("messages = 1", "messages = 2", "messages"),
        ("status = \"running\"", "status = \"exited\"", "status of local/web"),
        ("health = \"healthy\"\nstarts", "health = \"none\"\nstarts", "health of local/web"),
        ("starts = 1", "starts = 0", "starts of local/web"),
        ("restart_count = 0", "restart_count = 4", "restart count of local/web"),
        ("status = \"running\"", "exit_code = 3", "exit code of local/web"),
    ] {
        let text = format!("{SICK}{GOOD}").replace(right, wrong);
        assert!(text.contains(wrong), "{wrong}");
        let found = mismatches(&text).await;
        let [Mismatch::Value { what: found, .. }] = &found[..] else { panic!("{wrong}: {found:?}") };
        assert_eq!(found, what);
    }
}

#[tokio::test]
async fn effects_are_compared_in_order_and_completely() {
    let restart = "    { effect = \"docker.restart-container\", target = \"web\", arguments = { options = { grace_ms = 10000 } } },\n";
    for (right, wrong) in [
        (restart, ""),
        ("grace_ms = 10000", "grace_ms = 1"),
        ("target = \"web\"", "decision = \"deny\""),
        ("target = \"web\"", "decision = \"ask\""),
        ("target = \"web\"", "error = \"no\""),
        ("severity = \"warning\"", "severity = \"critical\""),
        ("docker.inspect-container", "net.tcp-check"),
    ] {
        let found = mismatches(&format!("{SICK}{GOOD}").replace(right, wrong)).await;
        assert!(matches!(&found[..], [Mismatch::Effects { .. }]), "{wrong}: {found:?}");
    }
    let swapped =
        format!("{SICK}{GOOD}").replace(restart, "").replace("effects = [\n", &format!("effects = [\n{restart}"));
    let found = mismatches(&swapped).await;
    let [Mismatch::Effects { lines }] = &found[..] else { panic!("{found:?}") };
    let signs: Vec<Sign> = lines.iter().map(|line| line.sign).collect();
    assert_eq!(signs.iter().filter(|sign| **sign == Sign::Both).count(), 1, "one of both stays in place: {lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test]
async fn a_refusal_has_to_be_expected_as_one() {
    let refused = SICK.replace("[world", "[policy]\ndeny = [\"docker.restart-container\"]\n\n[world");
    let found = mismatches(&format!("{refused}{GOOD}")).await;
    assert!(found.iter().any(|one| matches!(one, Mismatch::Effects { .. })), "{found:?}");
    let expect = "\n[expect]\noutcome = \"refused\"\neffects = [{ effect = \"notify.send\" }, { effect = \"docker.restart-container\", decision = \"deny\", error = \"the scenario denies it\" }]\n";
    assert_eq!(mismatches(&format!("{refused}{expect}")).await, []);
}

#[tokio::test]
async fn people_policies_and_faults_are_part_of_it() {
    for (rules, fault, decision, outcome) in [
        ("ask = [\"docker.restart-container\"]", "", "ask", "fixed"),
        (
            "ask = [\"docker.restart-container\"]\nanswers = { \"docker.restart-container\" = \"no\" }",
            "",
            "deny",
            "refused",
        ),
        ("allow = false\nchannels = []", "", "deny", "refused"),
        ("cedar = 'permit (principal, action == Action::\"docker.stop-container\", resource);'", "", "deny", "refused"),
        (
            "cedar = 'permit (principal, action, resource) when { resource has name && resource.name == \"web\" };'",
            "",
            "allow",
            "fixed",
        ),
        ("", "\n[[world.faults]]\neffect = \"docker.restart-container\"\nmessage = \"no room\"\n", "allow", "escalate"),
    ] {
        let text = SICK.replace("[world", &format!("[policy]\n{rules}\n\n[world")) + fault;
        let (_, played) = played(&text).await;
        assert_eq!(played.outcome.name(), outcome, "{rules}: {}", played.sentence);
        let last = played.effects.iter().rfind(|effect| counted(&effect.effect)).expect("something was asked for");
        assert_eq!(last.decision, decision, "{rules}");
    }
}

#[tokio::test]
async fn nobody_of_that_name_is_an_outcome() {
    let text = SICK.replace("name = \"web\"", "name = \"other\"");
    let (_, played) = played(&text).await;
    assert_eq!((played.outcome.name(), played.effects.len()), ("no-target", 0));
}

#[tokio::test]
async fn playing_twice_comes_to_the_same() {
    let scenario = understood(SICK);
    let (package, bench) = (package(SCRIPT), bench());
    let (_, first) = bench.rehearsed(&package, &scenario).await;
    let (_, second) = bench.rehearsed(&package, &scenario).await;
    assert_eq!(first.expect("it has a target").records, second.expect("it has a target").records);
}

#[test]
fn mistakes_have_places() {
    let broken = [
        "summary = 1\n",
        "target = \"local/webb\"\n",
        "[alert]\nlabel = {}\n",
        "[world.hosts.local.containers.web]\nhealt = \"unhealthy\"\n",
        "[world.hosts.local.containers.web]\nrestart_policy = \"sometimes\"\n",
        "[[world.faults]]\neffect = \"docker.restart-contaner\"\n",
        "[policy]\ndeny = [\"docker.restart\"]\n",
        "[policy]\ncedar = \"permit\"\n",
        "[policy]\nanswers = { \"docker.restart-container\" = \"maybe\" }\n",
        "[parameters]\ngrase = \"1s\"\n",
        "[llm]\nchoose = \"a\"\n",
        "[expect]\noutcome = \"healed\"\n",
        "[expect]\neffects = [{ effect = \"docker.restart-container\", target = \"local/wep\" }]\n",
        "[expect]\neffects = [{ effect = \"docker.restart-container\", decision = \"no\" }]\n",
        "[expect]\neffects = [{ effect = \"docker.restart-containr\" }]\n",
        "[expect.containers.\"local/wbe\"]\nstatus = \"running\"\n",
        "[expect\n",
    ];
    let manifest = Manifest::parse(MANIFEST, "runbook.toml").expect("sound").0;
    let mut shown = String::new();
    for text in broken {
        let world = if text.contains("containers.web]") || text.ends_with("[expect\n") {
            ""
        } else {
            "[world.hosts.local.containers.web]\n"
        };
        let summary = if text.starts_with("summary") { "" } else { "summary = \"s\"\n" };
        let text = format!("{summary}{text}{world}");
        let problems = read(&text, "a.toml", &manifest).expect_err("a mistake");
        for problem in problems {
            shown.push_str(&format!("{} {problem} | {}\n", problem.code, problem.help));
        }
    }
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn an_update_keeps_the_rest_and_is_done_once() {
    let head = format!("# kept\n{SICK}\n\n# kept too\n");
    let (scenario, came) =
        played(&format!("{head}[expect]\noutcome = \"escalate\" # not kept\nnotes = [\"it is sick\", \"no\"]\n")).await;
    let text = format!("{head}[expect]\noutcome = \"escalate\"\n");
    let new = updated(&text, &expectations(&came, scenario.expect.as_ref())).expect("it is the last part");
    assert!(new.starts_with(&head), "{new}");
    assert!(new.contains("notes = [\"it is sick\"]"), "{new}");
    insta::assert_snapshot!(&new[head.len()..]);
    let (scenario, again) = played(&new).await;
    assert_eq!(judge(scenario.expect.as_ref().expect("expectations"), &again), []);
    assert_eq!(updated(&new, &expectations(&again, scenario.expect.as_ref())).expect("the same"), new);
    let added = updated(SICK, "[expect]\n").expect("there was none");
    assert_eq!(added, format!("{SICK}\n[expect]\n"));
    let misplaced = "summary = \"s\"\n[expect]\noutcome = \"fixed\"\n[world]\nseed = 1\n";
    assert!(updated(misplaced, "[expect]\n").expect_err("it is not last").contains("last part"));
}

#[tokio::test]
async fn branches_and_effects_that_nothing_reaches_are_named() {
    let (package, bench) = (package(SCRIPT), bench());
    let mut coverage = Coverage::of(&package);
    let sick = understood(SICK);
    coverage.add(&bench.play(&package, &sick).await, bench.branches(&package, &sick).await);
    let shown = |coverage: &Coverage| {
        let line = |point: &&Point| format!("{} {}", point.line as usize - MANIFEST.lines().count(), point.what);
        coverage.unreached().iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(shown(&coverage), ["5 nothing_to_do(…)", "10 catch", "11 escalate(…)", "17 escalate(…)"]);
    assert_eq!(coverage.unused(&package), ["docker.stop-container", "net.tcp-check"]);
    let well = understood(&SICK.replace("unhealthy", "healthy"));
    coverage.add(&bench.play(&package, &well).await, bench.branches(&package, &well).await);
    assert_eq!(shown(&coverage), ["10 catch", "11 escalate(…)", "17 escalate(…)"]);
}

/// A hostile script cannot be made to do something else by marking it, because what is judged is never marked.
#[tokio::test]
async fn marking_changes_nothing_that_is_judged() {
    let package = package(SCRIPT);
    let played = bench().play(&package, &understood(SICK)).await;
    assert!(played.notes.iter().all(|note| !note.text.contains(MARK)), "{:?}", played.notes);
}

#[test]
fn a_run_becomes_a_scenario() {
    let at = 1_767_225_600_000_u64;
    let stamp = |ms: u64| {
        jiff::Timestamp::from_millisecond(i64::try_from(at + ms).expect("small")).expect("a time").to_string()
    };
    let details = |health: &str| {
        let mut world = sandbook_core::world::World::new(at);
        world.add_container("local", sandbook_core::world::Container::named("web", "nginx:1.27"));
        let mut details = serde_json::to_value(world.details("local", "web").expect("there")).expect("plain");
        details["state"]["health"] = json!(health);
        details["has_healthcheck"] = json!(true);
        details
    };
    let target = json!({"host": "local", "kind": "container", "name": "web", "id": "x"});
    let settled = |slot: u32, effect: &str, ms: u64, ok: serde_json::Value| {
        json!({"kind": "settled", "slot": slot, "effect": effect, "target": target, "at": stamp(ms), "decision": "allow",
            "arguments": {"container": "local/web"}, "result": {"ok": ok}})
    };
    let records = [
        json!({"kind": "begun", "header": {"run": "r_1", "at": at, "seed": 7, "target": target,
            "parameters": {"grace": {"duration": 5000}},
            "alert": {"name": "Sick", "labels": {"alertname": "Sick", "name": "web"}, "annotations": {}}}}),
        settled(0, "docker.inspect-container", 1, details("unhealthy")),
        settled(1, "notify.send", 2, json!(null)),
        json!({"kind": "intended", "slot": 2, "effect": "docker.restart-container", "arguments": {"container": "local/web"}}),
        settled(2, "docker.restart-container", 100, json!({"changed": true})),
        settled(3, "docker.inspect-container", 6_100, details("healthy")),
    ];
    let run = json!({"run": "r_1", "runbook": "heal", "sentence": "restarted"});
    let Recorded { text, doubts } = recorded(&run, &records).expect("a scenario");
    assert_eq!(doubts, Vec::<String>::new());
    let scenario = understood(&text);
    assert_eq!(scenario.texts()["grace"], "5000ms");
    assert_eq!(scenario.world.container("local", "web").expect("there").lives[0].healthy_after_ms, Some(3_000));
    insta::assert_snapshot!(text);
}

/// Folders with a manifest and code below a folder of the repository.
fn packages_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" && entry.file_name() != "node_modules" {
            let code = path.join("main.rhai").exists() || path.join("main.wasm").exists();
            if path.join("runbook.toml").exists() && code {
                found.push(path.clone());
            }
            packages_below(&path, found);
        }
    }
}

/// What `test --update` makes of a scenario is read again, holds, and stays as it is.
fn round_trip(package: &Package, file: &str, scenario: &Scenario, played: &Played) -> Result<(), String> {
    let (_, content) = package.scenarios().find(|(name, _)| *name == file).expect("it was read");
    let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
    let new = updated(text, &expectations(played, scenario.expect.as_ref()))?;
    let again = read(&new, file, &package.manifest).map_err(|problems| format!("{problems:?}"))?;
    let expect = again.expect.ok_or("nothing is expected")?;
    match judge(&expect, played).as_slice() {
        [] if updated(&new, &expectations(played, Some(&expect)))? == new => Ok(()),
        [] => Err("another update changes it".to_owned()),
        mismatches => Err(format!("{mismatches:?}")),
    }
}

#[tokio::test]
async fn every_scenario_of_the_repository_passes_and_every_runbook_has_some() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut folders = Vec::new();
    packages_below(&repository.join("runbooks"), &mut folders);
    packages_below(&repository.join("examples"), &mut folders);
    assert!(folders.len() >= 4, "{folders:?}");
    let (bench, mut failures) = (bench(), Vec::new());
    for folder in folders {
        let (package, _) = Package::read(Upload::Path(&folder)).expect("a package");
        let (scenarios, problems) = of(&package);
        failures.extend(problems.iter().map(|problem| format!("{}: {problem}", package.name)));
        if scenarios.is_empty() {
            failures.push(format!("{} has no scenario", package.name));
        }
        let mut coverage = Coverage::of(&package);
        for (file, scenario) in &scenarios {
            let played = bench.play(&package, scenario).await;
            match &scenario.expect {
                Some(expect) => failures
                    .extend(judge(expect, &played).iter().map(|one| format!("{}/{file}: {one:?}", package.name))),
                None => failures.push(format!("{}/{file} expects nothing", package.name)),
            }
            if let Err(why) = round_trip(&package, file, scenario, &played) {
                failures.push(format!("{}/{file}: what an update writes: {why}", package.name));
            }
            coverage.add(&played, bench.branches(&package, scenario).await);
        }
        failures.extend(
            coverage.unused(&package).iter().map(|effect| format!("{}: no scenario uses {effect}", package.name)),
        );
        let unreached = coverage.unreached();
        failures.extend(
            unreached
                .iter()
                .map(|point| format!("{}:{}: no scenario reaches {}", package.name, point.line, point.what)),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
