//! Which runbook an alert means when several want it, and what holds a chosen one back.

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::{Asks, Package};
use serde_json::{Value, json};

const FAST: &str = "[[trigger]]\nalert = [\"Fast\"]\n";

fn wants_fast(name: &str, more: &str) -> Package {
    Package::rhai(name, Asks { more, ..Asks::default() }, "fn run(input) { done(\"well\") }")
}

fn started(answer: &Value) -> Vec<&str> {
    let runs = answer["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<&str> = runs.iter().filter_map(|run| run["runbook"].as_str()).collect();
    names.sort_unstable();
    names
}

/// A package that only watches must not be able to switch healing off, however specific its trigger is.
#[test]
fn a_runbook_in_shadow_takes_no_alert_from_one_that_acts() {
    let daemon = Daemon::start(Setup::with(""));
    daemon.push_live(&wants_fast("heals", FAST));
    let greedy = "[[trigger]]\nalert = [\"Fast\"]\nmatch = ['name=~\".+\"']\npriority = 100\n";
    daemon.push(&wants_fast("aaa-watches", greedy)).expect(201);
    let answer = daemon.alert(&[Alert::firing("Fast").label("name", "x")]);
    assert_eq!(started(&answer), ["aaa-watches", "heals"], "{answer}");
    for run in answer["runs"].as_array().expect("runs") {
        let ended = daemon.ended(run["run"].as_str().expect("an id"));
        let mode = if run["runbook"] == "heals" { "live" } else { "shadow" };
        assert_eq!(ended["mode"], mode, "{ended}");
    }
}

/// Whoever promotes a runbook while its alert fires expects it to act on the next message: once.
#[test]
fn a_promotion_while_the_alert_fires_counts_from_the_next_message() {
    let daemon = Daemon::start(Setup::with(""));
    daemon.push(&wants_fast("late", FAST)).expect(201);
    let alert = Alert::firing("Fast").starts_at("2026-03-01T03:00:00Z");
    assert_eq!(started(&daemon.alert(std::slice::from_ref(&alert))), ["late"], "in shadow");
    assert_eq!(started(&daemon.alert(std::slice::from_ref(&alert))), [""; 0], "a repeat starts nothing");
    daemon.cli(&["promote", "late", "live", "--reason", "a test"]).expect(0);
    let answer = daemon.alert(std::slice::from_ref(&alert));
    assert_eq!((started(&answer), answer["duplicate"].as_u64()), (vec!["late"], Some(1)), "{answer}");
    assert_eq!(started(&daemon.alert(&[alert])), [""; 0], "and a further repeat starts nothing");
}

#[test]
fn a_pause_by_name_holds_changes_back() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let policy = "permit (principal, action in Action::\"mutate\", resource);";
    let setup =
        Setup::with("[policy]\ndirs = [\"./policy\"]\n").docker(&docker.endpoint()).file("policy/all.cedar", policy);
    let daemon = Daemon::start(setup);
    let script = "fn run(input) { docker::restart_container(\"web-1\", #{ grace_ms: 0 }); fixed(\"restarted\") }";
    let effects = &["docker.restart-container"];
    daemon.push_live(&Package::rhai("restarts", Asks { effects, ..Asks::default() }, script));
    for (selector, outcome) in [("web-*", "limited"), ("local/web-1", "limited"), ("other-*", "fixed")] {
        daemon.cli(&["pause", selector, "--for", "10m", "--reason", "a test"]).expect(0);
        let ended = daemon.ended(&daemon.run("restarts", &json!({})));
        assert_eq!(ended["outcome"], outcome, "paused {selector}: {ended}");
        let pauses = daemon.api().get("/v1/pauses").json();
        let id = pauses["pauses"][0]["pause"].as_str().or(pauses["pauses"][0]["id"].as_str());
        daemon.cli(&["pauses", "--end", id.unwrap_or_else(|| panic!("{pauses}"))]).expect(0);
    }
    assert_eq!(docker.events(web.name(), "restart"), 1);
}

/// A mistake in a route is seen before an alert comes, and where the alert is looked at afterwards.
#[test]
fn a_route_that_leads_nowhere_is_said_at_the_start_in_the_status_and_with_the_alert() {
    let routes = "[[routes]]\nmatch = ['alertname=\"Fast\"']\nrunbook = \"heal\"\n\
                  [[routes]]\nmatch = ['alertname=\"Slow\"']\nrunbook = \"heals\"\nparameters = { nope = \"1\" }\n\
                  [[routes]]\nmatch = ['alertname=\"Late\"']\nrunbook = \"drafted\"\n";
    let daemon = Daemon::start(Setup::with(routes));
    daemon.push_live(&wants_fast("heals", ""));
    daemon.push(&wants_fast("drafted", "")).expect(201);
    daemon.cli(&["demote", "drafted", "draft"]).expect(0);
    let warnings = daemon.api().get("/status").json()["warnings"].to_string();
    for said in [
        "route 1 starts nothing: there is no runbook heal; did you mean heals?",
        "route 2 to heals starts nothing",
        "route 3 starts nothing: drafted is a draft, and drafts see no alerts",
    ] {
        assert!(warnings.contains(said), "{said}: {warnings}");
    }
    assert!(daemon.log_text().contains("there is no runbook heal"), "{}", daemon.log_tail());
    let answer = daemon.alert(&[Alert::firing("Slow").label("name", "x")]);
    assert_eq!((answer["unmatched"].as_u64(), started(&answer)), (Some(1), vec![]), "{answer}");
    let said = daemon.cli(&["match", "alertname=Slow", "name=x"]).out;
    assert!(said.contains("the parameters of that route do not fit") && said.contains("nope"), "{said}");
}
