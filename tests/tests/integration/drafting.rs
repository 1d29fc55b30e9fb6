//! A sentence from the command line to a real container, with a model at the wire; and what a run is told as afterwards.
//!
//! Deliberately not here: the corpus of sentences, which the daemon's own tests show over a simulated world.

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::fake_openai::{FakeOpenAi, Say};
use serde_json::json;

const SCRIPT: &str = "fn run(input) {
    if docker::inspect_container(input.target).state.health != \"unhealthy\" { return nothing_to_do(\"it is well\"); }
    log::attach_evidence(\"log\", logs::tail_container(input.target, #{ lines: 5 }).text);
    docker::restart_container(input.target);
    fixed(\"restarted\")
}";

#[test]
fn a_sentence_heals_a_real_container_after_a_person_said_so() {
    let docker = Dockerd::start();
    let web = docker.service("market-predictor");
    let fake = FakeOpenAi::start();
    fake.always(Say::json(
        &json!({"kind": "plan", "say": "safe", "target": "local/market-predictor", "script": SCRIPT}),
    ));
    let config = format!(
        "[llm]\nbase_url = \"{}\"\nmodel = \"fake\"\n[auth.tokens.dana]\nrole = \"operator\"\nperson = \"dana\"\n\
         token_file = \"./dana\"\n",
        fake.base_url()
    );
    let token = "danas-own-token-of-this-test";
    let daemon = Daemon::start(Setup::with(&config).docker(&docker.endpoint()).file("dana", token));
    web.sicken();
    let asked = daemon.cli(&["ask", "restart the market predictor if it is unhealthy"]).expect(0);
    let asked = asked.says("draft of a model").says("docker.restart-container: restarts");
    let asked =
        asked.says("+ fn run(input)").says("~ restart container local/market-predictor").says("sandbook apply p_");
    let plan =
        asked.out.split("sandbook apply ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a plan");
    daemon.cli(&["apply", plan]).expect(3).says("SB0812");
    let run = daemon.cli(&["--token", token, "apply", plan, "--watch"]).expect(0);
    assert!(!run.out.contains('\x1b'), "{run}");
    daemon
        .cli(&["explain", "run", "last"])
        .expect(0)
        .says("applying plan")
        .says("it did restart container")
        .says("[record ");
    let report = daemon.cli(&["report", "last"]).expect(0).says("## What it changed").says("written by: llm");
    assert!(report.out.starts_with("# asked on local/market-predictor: fixed"), "{report}");
    daemon.cli(&["ask", "clean everything up"]).expect(5).says("which container is meant");
    daemon.cli(&["ask", "delete market-predictor"]).expect(3).says("cannot be taken back");
    assert_eq!(fake.asked().len(), 1, "those two never reached the model");
}

#[test]
fn without_a_model_both_commands_say_what_to_configure_and_how_by_hand() {
    let docker = FakeDocker::start();
    let daemon = Daemon::start(Setup::without_file().docker(&docker.endpoint()));
    daemon.cli(&["ask", "restart web-1"]).expect(1).says("SB0801").says("[llm]").says("sandbook plan");
    daemon.cli(&["generate", "restart the worker"]).expect(1).says("SB0801").says("sandbook new");
    daemon.cli(&["explain", "run"]).expect(2).says("sandbook explain run last");
    daemon.cli(&["explain", "SB0812"]).expect(0).says("a draft of a model is trusted by a person");
}
