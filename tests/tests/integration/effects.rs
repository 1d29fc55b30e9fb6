//! Effects against the real other side, through the real binary: metrics from Prometheus, network and HTTP on loopback,
//! several Docker hosts, and questions to a person that outlive the daemon.
//!
//! Docker's own effects stand with the driver, in the crate of the daemon.

use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup, sandbook};
use sandbook_tests::docker::{Dockerd, IMAGE};
use sandbook_tests::monitoring::{Files, Ports, Prometheus};
use sandbook_tests::package::{Asks, Package};
use sandbook_tests::wait;
use serde_json::{Value, json};

/// Prometheus scrapes every second here.
const SCRAPED_WITHIN: Duration = Duration::from_secs(30);
/// A question is put as soon as the effect is reached.
const ASKED_WITHIN: Duration = Duration::from_secs(30);

fn outcome_of(daemon: &Daemon, package: &Package, request: &Value) -> Value {
    daemon.push_live(package);
    let run = daemon.run(&package.name, request);
    daemon.ended(&run)
}

#[test]
fn metrics_are_asked_of_a_real_prometheus() {
    // A port that nothing listens on: the target is scraped and down, which is all the queries need.
    let ports = Ports::beside(1);
    let files = Files::for_test(ports, "unused", "unused");
    let prometheus = Prometheus::start(&files, ports);
    wait::until(
        "a first scrape",
        SCRAPED_WITHIN,
        || prometheus.log_tail(),
        || if prometheus.query("up").is_empty() { Err("no samples".to_owned()) } else { Ok(()) },
    );
    let url = format!("[prometheus]\nurl = \"http://127.0.0.1:{}\"\n", ports.prometheus);
    let daemon = Daemon::start(Setup::with(&url));
    let script = r#"fn run(input) {
        let up = metrics::query("up");
        let range = metrics::query_range("up", #{ since_ms: 60000, step_ms: 1000 });
        let complaint = "";
        try { metrics::query("up{"); } catch (e) { complaint = e.kind; }
        if up.len() == 0 || range[0].points.len() == 0 { throw "no samples"; }
        done(`job ${up[0].labels.job} is ${up[0].value}, a broken query is ${complaint}`)
    }"#;
    let asks = Asks { effects: &["metrics.query", "metrics.query-range"], ..Asks::default() };
    let run = outcome_of(&daemon, &Package::rhai("asks-metrics", asks, script), &json!({}));
    assert_eq!(run["outcome"], "done", "{run}");
    let sentence = run["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("is 0") && sentence.ends_with("a broken query is invalid"), "{sentence}");
}

#[test]
fn network_effects_reach_listed_hosts_and_no_others() {
    let closed = Daemon::prepare(Setup::with("")).port();
    let other = Daemon::start(Setup::with(""));
    let daemon =
        Daemon::start(Setup::with(&format!("[egress]\nhosts = [\"127.0.0.1:{}\", \"localhost\"]\n", other.port())));
    let script = format!(
        r#"fn run(input) {{
            let probe = net::http_probe("http://127.0.0.1:{open}/health", #{{ expect_body: "ok" }});
            let tcp = net::tcp_check("127.0.0.1", {open});
            let got = http::get("http://127.0.0.1:{open}/health");
            let names = net::dns_lookup("localhost");
            let refused = "";
            try {{ net::tcp_check("127.0.0.1", {closed}); }} catch (e) {{ refused = e.kind; }}
            done(`${{probe.ok}} ${{tcp.open}} ${{got.status}} ${{names.addresses.len() > 0}} ${{refused}}`)
        }}"#,
        open = other.port(),
    );
    let effects = &["net.http-probe", "net.tcp-check", "http.get", "net.dns-lookup"];
    let run =
        outcome_of(&daemon, &Package::rhai("asks-network", Asks { effects, ..Asks::default() }, &script), &json!({}));
    assert_eq!(run["sentence"], "true true 200 true denied", "{run}");
}

#[test]
fn the_demo_heals_a_real_container() {
    let docker = Dockerd::start();
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = docker.endpoint();
    let ran = sandbook(folder.path(), &["demo", "--docker", "--image", IMAGE, "--endpoint", &endpoint, "--exit"]);
    ran.expect(0).says("docker.restart-container").says("confirmed");
    let left = docker.api().get("/containers/json?all=true").json();
    assert_eq!(left.as_array().map(Vec::len), Some(0), "its container is gone: {left}");
}

/// `@approval("ask")`: the run waits without a guest, survives `kill -9`, and acts once when a person says yes.
#[test]
fn a_question_outlives_the_daemon_and_is_answered_once() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let policy = "@id(\"ask\") @approval(\"ask\") permit (principal, action in Action::\"mutate\", resource);";
    let setup =
        Setup::with("[policy]\ndirs = [\"./policy\"]\n").docker(&docker.endpoint()).file("policy/ask.cedar", policy);
    let mut daemon = Daemon::start(setup);
    let script = "fn run(input) { docker::restart_container(\"web-1\", #{ grace_ms: 0 }); fixed(\"restarted\") }";
    let asks = Asks { effects: &["docker.restart-container"], ..Asks::default() };
    daemon.push_live(&Package::rhai("asks-first", asks, script));
    for (decision, restarts, outcome) in [("deny", 0, "refused"), ("approve", 1, "fixed")] {
        let run = daemon.run("asks-first", &json!({}));
        let approval = open_question(&daemon);
        assert_eq!(docker.events(web.name(), "restart"), 0, "nothing happens before the answer");
        daemon.kill();
        daemon.restart();
        assert_eq!(open_question(&daemon), approval, "it is the same question after a kill");
        daemon.cli(&[decision, &approval, "--reason", "a test says so"]).expect(0);
        let ended = daemon.ended(&run);
        assert_eq!(ended["outcome"], outcome, "{ended}");
        assert_eq!(docker.events(web.name(), "restart"), restarts);
        let again = daemon.cli(&["approve", &approval, "--reason", "once more"]);
        assert_ne!(again.code, Some(0), "a question is answered once: {again}");
    }
}

fn open_question(daemon: &Daemon) -> String {
    wait::until(
        "a question to a person",
        ASKED_WITHIN,
        || daemon.log_tail(),
        || {
            let open = daemon.api().get("/v1/approvals").json();
            let first = open["approvals"].as_array().and_then(|open| open.first());
            let id = first.and_then(|one| one["approval"].as_str().or(one["id"].as_str()));
            id.map(str::to_owned).ok_or_else(|| open.to_string())
        },
    )
}
