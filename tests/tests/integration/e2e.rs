//! An alert heals a container: real Docker, Prometheus and Alertmanager, the real binary, the shipped files.
//!
//! A container falls ill; the shipped rule fires on the daemon's own metric; Alertmanager posts; the runbook acts at
//! stage live, permitted by the example policy; health returns; the alert resolves; the run tells all of it. Once with
//! the Rhai runbook, once with the WASM one. Deliberately not here: other ways to raise an alert, and the brakes.

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

/// Everything that runs on a host, with one compose service called `web-1`.
struct Host {
    daemon: Daemon,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Host {
    fn start(docker: &Dockerd) -> Host {
        let policy = std::fs::read_to_string(repository().join("examples/policies/restart-web.cedar"));
        let setup = Setup::with(CONFIG)
            .docker(&docker.endpoint())
            .file("secrets/prometheus", VIEWER_TOKEN)
            .file("policy/restart-web.cedar", &policy.expect("the example is there"));
        let daemon = Daemon::start(setup);
        let ports = Ports::beside(daemon.port());
        let files = Files::for_test(ports, VIEWER_TOKEN, &daemon.token("sender-token"));
        let alertmanager = Alertmanager::start(&files, ports);
        let prometheus = Prometheus::start(&files, ports);
        Host { daemon, prometheus, alertmanager }
    }

    /// What every failure shows.
    fn logs(&self) -> String {
        let (daemon, prometheus) = (self.daemon.log_tail(), self.prometheus.log_tail());
        format!("{daemon}\n{prometheus}\n{}", self.alertmanager.log_tail())
    }

    /// The daemon's container metrics have reached Prometheus, so that a change of them is a change.
    fn await_metrics(&self) {
        let promql = "sandbook_container_running{name=\"web-1\"}";
        wait::until(
            "the container's metrics to reach Prometheus",
            FIRING_WITHIN,
            || self.logs(),
            || {
                let found = self.prometheus.query(promql);
                if found.len() == 1 { Ok(()) } else { Err(format!("{found:?}")) }
            },
        );
    }

    fn await_firing(&self, alert: &str) {
        wait::until(
            &format!("{alert} to fire"),
            FIRING_WITHIN,
            || self.logs(),
            || match self.prometheus.alert(alert, "web-1") {
                Some(state) if state == "firing" => Ok(()),
                seen => Err(format!("{seen:?}")),
            },
        );
    }

    fn await_healed(&self, web: &Container<'_>, started_before: &str) {
        wait::until(
            "web-1 to be restarted and healthy",
            HEALED_WITHIN,
            || self.logs(),
            || {
                let state = web.inspect()["State"].clone();
                let well = state["Health"]["Status"] == "healthy" && state["StartedAt"] != started_before;
                if well { Ok(()) } else { Err(format!("{state}; runs: {:?}", self.daemon.runs(""))) }
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
                let heard = episodes.iter().any(|episode| episode["status"] == "resolved");
                match (self.prometheus.alert(alert, "web-1"), self.alertmanager.has(alert, "web-1"), heard) {
                    (None, false, true) => Ok(()),
                    (rule, active, _) => Err(format!("rule {rule:?}, active {active}, episodes {episodes:?}")),
                }
            },
        );
    }

    /// The only run of a runbook, ended.
    fn only_run(&self, runbook: &str) -> Value {
        let runs = self.daemon.runs(&format!("runbook={runbook}"));
        assert_eq!(runs.len(), 1, "one fault, one run: {runs:?}\n{}", self.logs());
        self.daemon.ended(runs[0]["run"].as_str().expect("a run has an id"))
    }
}

/// Lets `web-1` fall ill, and sees it through until the alert is resolved; returns the run.
fn heals(alert: &str, runbook: &str, effect: &str, fall_ill: impl Fn(&Container<'_>)) -> Value {
    let docker = Dockerd::start();
    let web = docker.create("web-1", &compose_labels());
    let host = Host::start(&docker);
    let promoted = host.daemon.cli(&["promote", runbook, "live", "--reason", "it heals in this test"]);
    promoted.expect(0);
    host.await_metrics();
    let started_before = web.started_at();

    fall_ill(&web);
    host.await_firing(alert);
    let firing = Instant::now();
    host.await_healed(&web, &started_before);
    announce(&format!("{runbook}: firing → healed: {:.1} s", firing.elapsed().as_secs_f64()));
    host.await_resolved(alert);

    let run = host.only_run(runbook);
    assert_eq!(run["state"], "succeeded", "{run}\n{}", host.logs());
    assert_eq!(run["outcome"], "fixed", "{run}");
    assert_eq!(run["mode"], "live", "{run}");
    assert_eq!(run["target"]["name"], "web-1", "{run}");
    let journal = host.daemon.journal(run["run"].as_str().expect("a run has an id"));
    let acted = journal.iter().filter(|record| record["effect"] == effect).count();
    assert!(acted > 0, "the journal tells of {effect}: {journal:?}");
    let shown = host.daemon.cli(&["show", "last"]).expect(0);
    shown.says("web-1").says(effect);
    assert_no_second_run(&host, runbook);
    run
}

/// Alertmanager repeats, Prometheus re-evaluates, the watcher sees events: none of it may start a second run.
fn assert_no_second_run(host: &Host, runbook: &str) {
    std::thread::sleep(Duration::from_secs(2));
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
