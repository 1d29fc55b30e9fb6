//! An alert heals a container: real Docker, Prometheus and Alertmanager, the real binary, the shipped files.
//!
//! A container falls ill; the shipped rule fires on the daemon's own metric; Alertmanager posts; the runbook acts at
//! stage live, permitted by the example policy; health returns; the alert resolves; the run tells all of it. Once with
//! the Rhai runbook, once with the WASM one.
//!
//! The built-in runbooks also listen to the engine's own events, which are faster than any alert. So here the container
//! falls ill while the runbook still stands in shadow, where the event is recorded and nothing acts; then a person
//! promotes it, and the monitoring comes up and finds the container ill. That events alone heal is a test of its own.

use std::time::{Duration, Instant};

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::{Container, Dockerd};
use sandbook_tests::monitoring::{Alertmanager, Files, Ports, Prometheus};
use sandbook_tests::{announce, repository, wait};
use serde_json::Value;

/// One scrape, one evaluation and the rule's delay are 3 s here; a loaded machine is slower.
const FIRING_WITHIN: Duration = Duration::from_secs(60);
/// Group wait is 1 s here, then a guest is started (in a debug build) and Docker does its part.
const HEALED_WITHIN: Duration = Duration::from_secs(90);
/// A second or two after an event of the engine.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
/// The condition holds at once; whether the alert stays away is watched for longer, and that is not awaited here.
const VERIFIED_WITHIN: Duration = Duration::from_secs(60);
/// After health is back: one scrape, one evaluation, one group interval of 5 s.
const RESOLVED_WITHIN: Duration = Duration::from_secs(60);

/// A viewer for Prometheus; the rest as a new installation has it.
const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[auth.tokens.prometheus]
role = "viewer"
token_file = "./secrets/prometheus"
"#;
const VIEWER_TOKEN: &str = "a-viewer-token-that-only-this-test-knows-0001";

/// A daemon with its policy, and nothing to wake it yet but the engine's events.
fn daemon(docker: &Dockerd) -> Daemon {
    let policy = std::fs::read_to_string(repository().join("examples/policies/restart-web.cedar"));
    let setup = Setup::with(CONFIG)
        .docker(&docker.endpoint())
        .file("secrets/prometheus", VIEWER_TOKEN)
        .file("policy/restart-web.cedar", &policy.expect("the example is there"));
    Daemon::start(setup)
}

fn promote(daemon: &Daemon, runbook: &str) {
    daemon.cli(&["promote", runbook, "live", "--reason", "it heals in this test"]).expect(0);
}

/// The runs of a runbook in a mode.
fn runs(daemon: &Daemon, runbook: &str, mode: &str) -> Vec<Value> {
    let mut runs = daemon.runs(&format!("runbook={runbook}"));
    runs.retain(|run| run["mode"] == mode);
    runs
}

/// Everything that runs on a host.
struct Host {
    daemon: Daemon,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    _files: Files,
}

impl Host {
    fn with_monitoring(daemon: Daemon) -> Host {
        let ports = Ports::beside(daemon.port());
        let files = Files::for_test(ports, VIEWER_TOKEN, &daemon.token("sender-token"));
        let alertmanager = Alertmanager::start(&files, ports);
        let prometheus = Prometheus::start(&files, ports);
        Host { daemon, prometheus, alertmanager, _files: files }
    }

    /// What every failure shows.
    fn logs(&self) -> String {
        let (daemon, prometheus) = (self.daemon.log_tail(), self.prometheus.log_tail());
        format!("{daemon}\n{prometheus}\n{}", self.alertmanager.log_tail())
    }

    fn await_firing(&self, alert: &str) {
        wait::until(
            &format!("{alert} to fire"),
            FIRING_WITHIN,
            || self.logs(),
            || {
                // The cure may be faster than this look.
                let fires = format!("ALERTS{{alertname=\"{alert}\", name=\"web-1\", alertstate=\"firing\"}}");
                match self.prometheus.query(&format!("max_over_time({fires}[5m])")).is_empty() {
                    true => Err(format!("{:?}", self.prometheus.alert(alert, "web-1"))),
                    false => Ok(()),
                }
            },
        );
    }

    fn await_resolved(&self, alert: &str) {
        wait::until(
            &format!("{alert} to be resolved everywhere"),
            RESOLVED_WITHIN,
            || self.logs(),
            || {
                let episodes = self.daemon.episodes();
                let heard = episodes.iter().any(|episode| episode["state"] == "resolved");
                match (self.prometheus.alert(alert, "web-1"), self.alertmanager.has(alert, "web-1"), heard) {
                    (None, false, true) => Ok(()),
                    (rule, active, _) => Err(format!("rule {rule:?}, active {active}, episodes {episodes:?}")),
                }
            },
        );
    }

    /// The only live run of a runbook, ended.
    fn only_run(&self, runbook: &str) -> Value {
        let runs = runs(&self.daemon, runbook, "live");
        assert_eq!(runs.len(), 1, "one fault, one run: {runs:?}\n{}", self.logs());
        self.daemon.ended(runs[0]["run"].as_str().expect("a run has an id"))
    }
}

fn await_healed(web: &Container<'_>, started_before: &str, context: impl Fn() -> String) {
    wait::until("web-1 to be restarted and healthy", HEALED_WITHIN, context, || {
        let state = web.inspect()["State"].clone();
        let well = state["Health"]["Status"] == "healthy" && state["StartedAt"] != started_before;
        if well { Ok(()) } else { Err(state.to_string()) }
    });
}

/// Lets `web-1` fall ill in shadow, promotes, brings up the monitoring, and sees it through until the alert is resolved.
fn heals(alert: &str, runbook: &str, effect: &str, fall_ill: impl Fn(&Container<'_>)) {
    let docker = Dockerd::start();
    let web = docker.create("web-1", &compose_labels());
    let daemon = daemon(&docker);
    let started_before = web.started_at();
    fall_ill(&web);
    wait::until(
        "the event to be recorded in shadow",
        NOTICED_WITHIN,
        || daemon.log_tail(),
        || runs(&daemon, runbook, "shadow").first().map(drop).ok_or_else(|| format!("{:?}", daemon.runs(""))),
    );
    assert_eq!(web.started_at(), started_before, "in shadow nothing acts\n{}", daemon.log_tail());
    promote(&daemon, runbook);

    let host = Host::with_monitoring(daemon);
    host.await_firing(alert);
    let firing = Instant::now();
    await_healed(&web, &started_before, || host.logs());
    announce(&format!("{runbook}: firing → healed: {:.1} s", firing.elapsed().as_secs_f64()));
    host.await_resolved(alert);
    assert_told(&host, runbook, effect);
}

/// The run, its journal and `show` all tell what happened, and it happened once.
fn assert_told(host: &Host, runbook: &str, effect: &str) {
    let run = host.only_run(runbook);
    assert_eq!(run["state"], "succeeded", "{run}\n{}", host.logs());
    assert_eq!(run["outcome"], "fixed", "{run}");
    assert_eq!(run["target"]["name"], "web-1", "{run}");
    assert!(run["episode"].is_string(), "it was the alert: {run}");
    let id = run["run"].as_str().expect("a run has an id");
    let verified = wait::until(
        "the cure to be verified",
        VERIFIED_WITHIN,
        || host.logs(),
        || {
            let run = host.daemon.api().get(&format!("/v1/runs/{id}")).expect(200).json();
            if run["verification"] == "pending" { Err(run.to_string()) } else { Ok(run) }
        },
    );
    assert_eq!(verified["verification"], "confirmed", "{verified}\n{}", host.logs());
    let journal = host.daemon.journal(id);
    assert!(journal.iter().any(|record| record["effect"] == effect), "the journal tells of {effect}: {journal:?}");
    host.daemon.cli(&["show", id]).expect(0).says("web-1").says(effect);
    host.only_run(runbook);
}

fn compose_labels() -> Value {
    serde_json::json!({"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}})
}

#[test]
fn an_unhealthy_container_is_restarted_by_the_rhai_runbook() {
    heals("ContainerUnhealthy", "restart-unhealthy", "docker.restart-container", |web| web.sicken());
}

#[test]
fn an_exited_container_is_started_by_the_wasm_runbook() {
    heals("ContainerExited", "restart-exited", "docker.start-container", |web| web.crash());
}

#[test]
fn without_any_monitoring_the_engines_own_events_are_enough() {
    let docker = Dockerd::start();
    let web = docker.create("web-1", &compose_labels());
    let daemon = daemon(&docker);
    promote(&daemon, "restart-unhealthy");
    let started_before = web.started_at();
    // Not `sicken`: it waits until the container is seen unhealthy, and the daemon may be faster.
    web.exec(&["rm", "-f", "/ok"]);
    let ill = Instant::now();
    await_healed(&web, &started_before, || daemon.log_tail());
    announce(&format!("restart-unhealthy: unhealthy event → healed: {:.1} s", ill.elapsed().as_secs_f64()));
    let runs = runs(&daemon, "restart-unhealthy", "live");
    assert_eq!(runs.len(), 1, "one fault, one run: {runs:?}");
    assert_eq!(runs[0]["trigger"], "docker-event", "{}", runs[0]);
    assert_eq!(docker.events("web-1", "restart"), 1, "once, and not again");
}
