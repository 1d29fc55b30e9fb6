//! Scenarios as an author has them: a new runbook's passes, a wrong one fails and says how, an update mends it, and a real
//! run becomes one that passes at once.
//!
//! Deliberately not here: each expectation, which the daemon's own tests go through.

use std::path::Path;

use sandbook_tests::daemon::{Daemon, Setup, sandbook};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::repository;
use serde_json::{Value, json};

#[test]
fn a_new_runbook_is_tested_at_the_desk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let type_in = |arguments: &[&str]| sandbook(folder.path(), arguments);
    type_in(&["new", "heal"]).expect(0).says("scenarios/heals.toml");
    type_in(&["check", "heal"]).expect(0);
    type_in(&["test", "heal"]).expect(0).says("✓ heals").says("never reached").says("1 scenario, all passed");

    let file = folder.path().join("heal/scenarios/heals.toml");
    let good = std::fs::read_to_string(&file).expect("readable");
    let write = |text: &str| std::fs::write(&file, text).expect("writable");
    write(&good.replace("outcome = \"fixed\"", "outcome = \"escalate\"").replace("grace_ms = 10000", "grace_ms = 1"));
    let failed =
        type_in(&["test", "heal"]).expect(1).says("✗ heals").says("- escalate").says("+ fixed").says("1 failed");
    let failed = failed.says("- docker.restart-container local/web-1").says("+ restart container local/web-1");
    assert!(!failed.out.contains('\u{1b}'), "colours are for terminals: {failed}");
    let answer: Value = serde_json::from_str(&type_in(&["test", "heal", "--json"]).expect(1).out).expect("JSON");
    assert_eq!(answer["packages"][0]["scenarios"][0]["mismatches"][0]["what"], "outcome");

    type_in(&["test", "heal", "--update"]).expect(0).says("↻ heals");
    let updated = std::fs::read_to_string(&file).expect("readable");
    let (head, _) = good.split_once("[expect]").expect("expectations");
    assert!(updated.starts_with(head), "the rest stays as it was:\n{updated}");
    type_in(&["test", "heal", "--update"]).expect(0).says("✓ heals");
    assert_eq!(std::fs::read_to_string(&file).expect("readable"), updated, "once is enough");

    write(&good.replace("local/web-1\"]", "local/web-2\"]"));
    let place = "heal/scenarios/heals.toml:";
    type_in(&["test", "heal"]).expect(1).says(place).says("no container `local/web-2`").says("SB0221");
    type_in(&["check", "heal"]).expect(1).says(place).says("did you mean `local/web-1`?");
    type_in(&["test", "heal", "--scenario", "other"]).expect(1);
}

#[test]
fn a_run_becomes_a_scenario_that_passes_at_once() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let policy = std::fs::read_to_string(repository().join("examples/policies/restart-web.cedar")).expect("there");
    let setup = Setup::with("[policy]\ndirs = [\"./policy\"]").docker(&docker.endpoint());
    let daemon = Daemon::start(setup.file("policy/restart-web.cedar", &policy));
    web.sicken();
    daemon.cli(&["promote", "restart-unhealthy", "live", "--reason", "it heals in this test"]).expect(0);
    let started: Value =
        serde_json::from_str(&daemon.cli(&["run", "restart-unhealthy", "web-1", "--json"]).expect(0).out)
            .expect("JSON");
    let run = started["run"].as_str().unwrap_or_else(|| panic!("a run: {started}")).to_owned();
    let ended = daemon.ended(&run);
    assert_eq!(ended["outcome"], "fixed", "{ended}");

    let package = daemon.path("restart-unhealthy");
    std::fs::create_dir(&package).expect("writable");
    for file in ["runbook.toml", "main.rhai"] {
        let from = repository().join("runbooks/restart-unhealthy").join(file);
        std::fs::copy(from, package.join(file)).expect("copied");
    }
    daemon.cli(&["test", "restart-unhealthy", "--from-run", &run]).expect(0).says("scenarios/").says("new");
    let file = package.join("scenarios").join(format!("{run}.toml"));
    let text = std::fs::read_to_string(&file).expect("written");
    assert!(text.contains("outcome = \"fixed\"") && text.contains("docker.restart-container"), "{text}");
    daemon.cli(&["test", "restart-unhealthy"]).expect(0).says("1 scenario, all passed");
    daemon.cli(&["test", "restart-unhealthy", "--from-run", &run]).expect(1).says("nothing is overwritten");

    plans_it(&daemon, &file);
}

/// The daemon plans a scenario without looking at the real world, and keeps nothing of it.
fn plans_it(daemon: &Daemon, file: &Path) {
    let scenario = std::fs::read_to_string(file).expect("written");
    let plan =
        daemon.api().post("/v1/runbooks/restart-unhealthy/plan", &json!({"scenario": scenario})).expect(200).json();
    assert_eq!(
        (&plan["outcome"], &plan["plan"], &plan["summary"]["changes"]),
        (&json!("fixed"), &json!("scenario"), &json!(1))
    );
    assert_eq!(daemon.api().get("/v1/plans").expect(200).json()["plans"], json!([]));
    let wrong = daemon.api().post("/v1/runbooks/restart-unhealthy/plan", &json!({"scenario": "sumary = 1"}));
    assert!(wrong.expect(422).text().contains("did you mean `summary`?"));
}
