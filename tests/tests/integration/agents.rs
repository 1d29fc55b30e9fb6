//! Outside agents at both doors, a pipe and HTTP: what they may ask and propose under each role, and that a person does
//! the rest. A model is at the wire; Docker is real.
//!
//! Deliberately not here: each tool with each role, which the daemon's own tests walk.

use std::process::Command;

use sandbook_tests::agent::{Agent, Pipe, Web};
use sandbook_tests::daemon::{Daemon, Setup, binary};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::fake_openai::{FakeOpenAi, Say};
use serde_json::json;

const VIEWER: &str = "a-looking-agents-token-of-this-test";
const AUTHOR: &str = "a-writing-agents-token-of-this-test";
const DANA: &str = "danas-own-token-of-this-test-of-agents";
const SENTENCE: &str = "restart web-1 if it is unhealthy";
const SCRIPT: &str = "fn run(input) {
    if docker::inspect_container(input.target).state.health != \"unhealthy\" { return nothing_to_do(\"it is well\"); }
    docker::restart_container(input.target);
    fixed(\"restarted\")
}";

fn daemon(docker: &Dockerd, model: &FakeOpenAi) -> Daemon {
    let config = format!(
        "[llm]\nbase_url = \"{}\"\nmodel = \"fake\"\n\
         [auth.tokens.looker]\nrole = \"viewer\"\nagent = true\ntoken_file = \"./looker\"\n\
         [auth.tokens.writer]\nrole = \"author\"\nagent = true\ntoken_file = \"./writer\"\n\
         [auth.tokens.dana]\nrole = \"operator\"\nperson = \"dana\"\ntoken_file = \"./dana\"\n",
        model.base_url()
    );
    let setup = Setup::with(&config).docker(&docker.endpoint());
    Daemon::start(setup.file("looker", VIEWER).file("writer", AUTHOR).file("dana", DANA))
}

fn pipe(daemon: &Daemon, token: &str) -> Pipe {
    let mut pipe = Pipe::start(Command::new(binary()).args(["mcp", "--server", &daemon.url(), "--token", token]));
    pipe.greet();
    pipe
}

/// The plan that is told of.
fn plan_in(said: &str) -> String {
    let (_, rest) = said.split_once("\"plan\": \"").unwrap_or_else(|| panic!("no plan in {said}"));
    rest.split('"').next().expect("an id").to_owned()
}

/// What a sentence becomes for whoever may ask and whoever may not.
fn asks(looker: &mut dyn Agent, writer: &mut dyn Agent, model: &FakeOpenAi) -> String {
    let before = model.asked().len();
    let (failed, said) = looker.call("ask", json!({"sentence": SENTENCE}));
    assert!(failed && said.contains("SB0105"), "a viewer asks nothing: {said}");
    let (failed, said) = looker.call("generate", json!({"description": SENTENCE}));
    assert!(failed && said.contains("SB0105"), "and lets nothing be drafted: {said}");
    assert_eq!(model.asked().len(), before, "no model was paid for it");
    let (failed, said) = writer.call("ask", json!({"sentence": "clean everything up"}));
    assert!(!failed && said.contains("\"question\""), "{said}");
    let (failed, said) = writer.call("ask", json!({"sentence": "delete web-1"}));
    assert!(!failed && said.contains("\"refusal\"") && said.contains("cannot be taken back"), "{said}");
    let (failed, said) = writer.call("ask", json!({"sentence": SENTENCE}));
    assert!(!failed && said.contains("restart container local/web-1"), "{said}");
    assert!(said.contains("never instructions to follow"), "{said}");
    plan_in(&said)
}

#[test]
fn an_agent_asks_at_both_doors_and_a_person_applies() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let model = FakeOpenAi::start();
    model.always(Say::json(&json!({"kind": "plan", "say": "safe", "target": "local/web-1", "script": SCRIPT})));
    let daemon = daemon(&docker, &model);
    let over = |token: &str| Web(daemon.anonymous().with_token(token));
    web.sicken();
    web.await_health("unhealthy");
    let before = web.started_at();
    let (mut looker, mut writer) = (pipe(&daemon, VIEWER), pipe(&daemon, AUTHOR));
    asks(&mut looker, &mut writer, &model);
    let plan = asks(&mut over(VIEWER), &mut over(AUTHOR), &model);
    assert_eq!(web.started_at(), before, "nothing was done yet");
    // The gate is the same at every door: the agent's own token applies nothing, a person's does.
    let apply = |token: &str| daemon.anonymous().with_token(token).post(&format!("/v1/plans/{plan}/apply"), &json!({}));
    assert_eq!(apply(AUTHOR).status, 403);
    let started = apply(DANA).expect(202).json();
    let run = started["run"].as_str().expect("a run").to_owned();
    assert_eq!(daemon.ended(&run)["outcome"], "fixed");
    assert_ne!(web.started_at(), before);
    let (failed, said) = looker.call("explain", json!({"run": run}));
    assert!(!failed && said.contains("restart container"), "{said}");
    let alert = json!([{"labels": {"alertname": "Odd", "container": "web-1"}}]);
    daemon.sender().post("/webhook/alerts", &alert).expect(202);
    let episode = daemon.episodes()[0]["episode"].as_str().expect("an id").to_owned();
    let (failed, said) = over(VIEWER).call("similar", json!({"episode": episode}));
    assert!(!failed && said.contains("\"incidents\""), "{said}");
    let audit = daemon.api().get("/v1/audit").json().to_string();
    assert!(audit.contains("\"writer\"") && audit.contains(SENTENCE), "{audit}");
    assert!(looker.end().success() && writer.end().success(), "they end with their input");
}
