//! The path of someone who has only the binary: no configuration file, no Prometheus, no Alertmanager.
//!
//! `serve`, the receiver to paste, an alert, what became of it, why nothing was done, the one line that permits it,
//! promotion, the cure, and the account of it. Every line is typed as a person types it, and the line that `grant`s is the
//! one the daemon itself names, verbatim.

use std::time::Duration;

use sandbook_tests::alert::{Alert, message};
use sandbook_tests::daemon::{Daemon, Ran, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

/// Both are patient for the sake of debug builds on loaded machines.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
const HEALED_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn from_nothing_to_a_healed_container() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let daemon = Daemon::start(Setup::without_file().docker(&docker.endpoint()));
    let type_in = |line: &str| daemon.shell(line);

    type_in("sandbook status").expect(0);
    let runbooks = type_in("sandbook runbooks").expect(0);
    runbooks
        .says("restart-unhealthy")
        .says("restart-exited")
        .says("restart-with-dependents")
        .says("collect-evidence")
        .says("shadow");
    // What Docker has is listed as soon as it was asked.
    let listed = || {
        let targets = type_in("sandbook targets").expect(0).out;
        if targets.contains("web-1") { Ok(()) } else { Err(targets) }
    };
    wait::until("the container to be listed", NOTICED_WITHIN, || daemon.log_tail(), listed);
    assert_receiver(&daemon, type_in("sandbook config alertmanager").expect(0));

    web.sicken();
    let started_before = web.started_at();
    let first = Alert::unhealthy("web-1").starts_at("2026-03-01T03:00:00Z");
    post_as_alertmanager(&daemon, &first);
    await_episode(&daemon, 1);
    type_in("sandbook alerts").expect(0).says("ContainerUnhealthy").says("restart-unhealthy");
    let matched = type_in("sandbook match alertname=ContainerUnhealthy name=web-1 severity=warning").expect(0);
    matched.says("restart-unhealthy").says("web-1");
    assert_eq!(web.started_at(), started_before, "in shadow nothing acts\n{}", daemon.log_tail());

    type_in("sandbook promote restart-unhealthy live --reason 'watched it for a while'").expect(0);
    let refused = run_and_show(&daemon, "sandbook run restart-unhealthy web-1");
    assert_eq!(web.started_at(), started_before, "without a grant nothing acts\n{refused}");
    let grant = grant_line(&refused);
    announce(&format!("the refusal names: {grant}"));
    type_in(&grant).expect(0);
    type_in("sandbook grants").expect(0).says("restart-unhealthy").says("docker.restart-container");

    let resolved = message(&[first.clone().resolved()]);
    daemon.sender().post("/webhook/alerts", &resolved).expect(202);
    let answer = post_as_alertmanager(&daemon, &first.starts_at("2026-03-01T05:00:00Z"));
    let run =
        answer["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("the alert starts a run: {answer}")).to_owned();
    wait::until(
        "web-1 to be restarted and healthy",
        HEALED_WITHIN,
        || daemon.log_tail(),
        || {
            let state = web.inspect()["State"].clone();
            let well = state["Health"]["Status"] == "healthy" && state["StartedAt"] != started_before.as_str();
            if well { Ok(()) } else { Err(format!("{state}; runs {:?}", daemon.runs(""))) }
        },
    );
    assert_eq!(docker.events("web-1", "restart"), 1, "once, and not again");
    daemon.ended(&run);
    type_in(&format!("sandbook show {run}")).expect(0).says("web-1").says("docker.restart-container").says("fixed");
    type_in("sandbook audit").expect(0).says("stage").says("grant");
    // The restart itself is an event of the engine; that must not push the account of it out of sight.
    type_in("sandbook show last").expect(0).says("docker.restart-container").says("fixed");
}

/// The receiver can be pasted: Alertmanager itself accepts a configuration with it, and it posts to this daemon.
fn assert_receiver(daemon: &Daemon, printed: Ran) {
    let printed = printed.says("/webhook/alerts").says(&daemon.port().to_string());
    // Pasted into a configuration with a receiver of one's own, as the printed comment says.
    let own = "- name: people\n  - name: sandbook";
    let config =
        printed.out.replacen("route:\n", "route:\n  receiver: people\n", 1).replacen("- name: sandbook", own, 1);
    daemon.write("alertmanager.yml", &config);
    let checked = daemon.shell("amtool check-config alertmanager.yml");
    assert_eq!(checked.code, Some(0), "{checked}\n{config}");
}

fn post_as_alertmanager(daemon: &Daemon, alert: &Alert) -> Value {
    let answer = daemon.sender().post("/webhook/alerts", &message(std::slice::from_ref(alert))).expect(202).json();
    assert_eq!(answer["rejected"], json!([]), "{answer}");
    answer
}

fn await_episode(daemon: &Daemon, count: usize) {
    wait::until(
        "the episode to be listed",
        NOTICED_WITHIN,
        || daemon.log_tail(),
        || {
            let episodes = daemon.episodes();
            if episodes.len() == count { Ok(()) } else { Err(format!("{episodes:?}")) }
        },
    );
}

fn newest_run(daemon: &Daemon) -> Value {
    daemon.runs("limit=1").first().cloned().unwrap_or_else(|| panic!("there is no run\n{}", daemon.log_tail()))
}

/// Starts a run by hand, waits for its end, and returns everything a person would see of it.
fn run_and_show(daemon: &Daemon, line: &str) -> String {
    let ran = daemon.shell(line);
    wait::until(
        "the run to be listed",
        NOTICED_WITHIN,
        || format!("{ran}\n{}", daemon.log_tail()),
        || {
            let run = newest_run(daemon);
            if run["trigger"] == "manual" { Ok(()) } else { Err(run.to_string()) }
        },
    );
    daemon.ended(newest_run(daemon)["run"].as_str().expect("a run has an id"));
    let shown = daemon.shell("sandbook show last").expect(0);
    format!("{ran}\n{shown}")
}

/// The line beginning with `sandbook grant`, without the quotes or the prose around it.
fn grant_line(text: &str) -> String {
    let start = text.find("sandbook grant ").unwrap_or_else(|| panic!("no `sandbook grant …` is named in:\n{text}"));
    let rest = &text[start..];
    let closing = match text[..start].chars().last() {
        Some('`') => '`',
        Some('"') => '"',
        Some(_) | None => '\n',
    };
    rest.split([closing, '\n']).next().unwrap_or(rest).trim().to_owned()
}
