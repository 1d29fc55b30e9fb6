//! The daemon's own address under TLS: commands and a real Alertmanager with certificates of their own, renewed files, and
//! agents that come through it or through a pipe.
//!
//! Deliberately not here: bounds of slow and of many clients, see the listener's own tests.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sandbook_tests::agent::{Agent as _, Pipe};
use sandbook_tests::certs::{Ca, Pair};
use sandbook_tests::daemon::{Daemon, Ran, Setup, binary};
use sandbook_tests::monitoring::{Alertmanager, Files, Ports};
use sandbook_tests::process::free_port;
use sandbook_tests::wait;
use serde_json::json;

/// A debug build compiles its interpreter at the first start.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// Group wait is 1 s here.
const DELIVERED_WITHIN: Duration = Duration::from_secs(90);
/// Files are looked at every 5 s.
const RENEWED_WITHIN: Duration = Duration::from_secs(60);
const SENDER_TOKEN: &str = "a-sender-token-that-only-this-test-knows-0002";
const AGENT_TOKEN: &str = "an-agents-token-that-only-this-test-knows-0003";
const FILE: &str = "alertmanager/alertmanager.yml";

/// A daemon under mutual TLS, and how commands reach it.
struct Bench {
    daemon: Daemon,
    ca: Ca,
    own: Pair,
    client: Pair,
}

impl Bench {
    #[track_caller]
    fn start() -> Bench {
        let ca = Ca::new("ours");
        let (own, client) = (ca.pair("daemon", &["127.0.0.1"]), ca.pair("client", &["client"]));
        let config = format!(
            "[tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\n\
             [auth.tokens.am]\nrole = \"sender\"\ntoken_file = \"./secrets/am\"\n\
             [auth.tokens.robot]\nrole = \"author\"\nagent = true\ntoken_file = \"./secrets/robot\"\n",
            own.cert,
            own.key,
            ca.file()
        );
        let setup = Setup::with(&config).file("secrets/am", SENDER_TOKEN).file("secrets/robot", AGENT_TOKEN);
        let mut daemon = Daemon::prepare(setup);
        daemon.spawn();
        let bench = Bench { daemon, ca, own, client };
        wait::until(
            "the daemon to answer",
            UP_WITHIN,
            || bench.daemon.log_tail(),
            || {
                let ran = bench.command(&["status"]);
                if ran.code == Some(0) { Ok(()) } else { Err(ran.to_string()) }
            },
        );
        bench
    }

    fn url(&self) -> String {
        self.daemon.url().replace("http://", "https://")
    }

    /// A command with the CA and a certificate.
    fn command(&self, arguments: &[&str]) -> Ran {
        let (ca, cert, key) = (text(&self.ca.file()), text(&self.client.cert), text(&self.client.key));
        let url = self.url();
        let trust = ["--server", &url, "--ca", &ca, "--client-cert", &cert, "--client-key", &key];
        self.daemon.cli(&[arguments, &trust].concat())
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}

#[test]
fn commands_and_alertmanager_come_with_certificates_and_renewed_files_are_taken_up() {
    let bench = Bench::start();
    let (url, ca) = (bench.url(), text(&bench.ca.file()));
    // Whom the command does not know, and what the daemon wants, is said with what to do.
    bench.daemon.cli(&["status", "--server", &url]).expect(6).says("--ca");
    bench.daemon.cli(&["status", "--server", &url, "--ca", &ca]).expect(6);
    let printed = bench.command(&["config", "alertmanager", "--config", "sandbook.toml"]).expect(0);
    assert!(printed.out.contains(&format!("url: '{url}/webhook/alerts'")), "{printed}");
    assert!(printed.out.contains("tls_config:"), "{printed}");

    let ports = Ports { daemon: bench.daemon.port(), prometheus: free_port(), alertmanager: free_port() };
    let files = Files::for_test(ports, "unused", SENDER_TOKEN);
    let path = files.path(FILE);
    let shipped = std::fs::read_to_string(&path).expect("the copy is readable");
    let tls = format!(
        "        http_config:\n          tls_config:\n            ca_file: {}\n            cert_file: {}\n            key_file: {}\n",
        ca,
        text(&bench.client.cert),
        text(&bench.client.key)
    );
    let with_tls = shipped.replace(&bench.daemon.url(), &url).replace("        http_config:\n", &tls);
    assert!(with_tls.contains(&url) && with_tls.contains("tls_config"), "the shipped file no longer fits this test");
    std::fs::write(&path, with_tls).expect("the copy is writable");
    let alertmanager = Alertmanager::start(&files, ports);
    let fire = |name: &str| {
        let alert = json!([{"labels": {"alertname": name}, "annotations": {"summary": "posted by a test"}}]);
        alertmanager.api().post("/api/v2/alerts", &alert).expect(200);
        wait::until(
            "the alert to arrive",
            DELIVERED_WITHIN,
            || alertmanager.log_tail(),
            || {
                let ran = bench.command(&["alerts", "--json"]);
                if ran.out.contains(name) { Ok(()) } else { Err(ran.to_string()) }
            },
        );
    };
    fire("ArrivesUnderTls");

    // A certificate is renewed while everything runs; a broken file in between changes nothing.
    let renewed = bench.ca.pair("renewed", &["127.0.0.1", "localhost"]);
    std::fs::write(&bench.own.cert, "half a file").expect("our own file");
    wait::until(
        "the broken file to be noticed",
        RENEWED_WITHIN,
        || bench.daemon.log_tail(),
        || {
            let log = bench.daemon.log_text();
            if log.contains("the old ones stay in force") { Ok(()) } else { Err("not yet".to_owned()) }
        },
    );
    bench.command(&["status"]).expect(0);
    std::fs::copy(&renewed.key, &bench.own.key).expect("our own file");
    std::fs::copy(&renewed.cert, &bench.own.cert).expect("our own file");
    let named = url.replace("127.0.0.1", "localhost");
    let (cert, key) = (text(&bench.client.cert), text(&bench.client.key));
    wait::until(
        "the renewed certificate to be in force",
        RENEWED_WITHIN,
        || bench.daemon.log_tail(),
        || {
            let ran = bench.daemon.cli(&[
                "status",
                "--server",
                &named,
                "--ca",
                &ca,
                "--client-cert",
                &cert,
                "--client-key",
                &key,
            ]);
            if ran.code == Some(0) { Ok(()) } else { Err(ran.to_string()) }
        },
    );
    fire("ArrivesAfterwards");
}

#[test]
fn an_agent_speaks_through_a_pipe_and_is_held_to_its_token() {
    let bench = Bench::start();
    let mut agent = Pipe::start(
        Command::new(binary())
            .args(["mcp", "--server", &bench.url(), "--token", AGENT_TOKEN])
            .env("SANDBOOK_CA", bench.ca.file())
            .env("SANDBOOK_CERT", &bench.client.cert)
            .env("SANDBOOK_KEY", &bench.client.key),
    );
    let hello = agent.greet();
    assert_eq!(hello["serverInfo"]["name"], "sandbook", "{hello}");
    assert!(hello["instructions"].as_str().is_some_and(|said| said.contains("for people")), "{hello}");
    let tools = agent.ask("tools/list", json!({}));
    let names: Vec<&str> =
        tools["tools"].as_array().expect("tools").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert!(names.contains(&"plan") && !names.iter().any(|name| name.contains("approve")), "{names:?}");
    let (failed, status) = agent.call("status", json!({}));
    assert!(!failed, "{status}");
    let (failed, refused) = agent.call("start_run", json!({"runbook": "restart-unhealthy", "reason": "may I?"}));
    assert!(failed && refused.contains("SB0105"), "{refused}");
    assert!(agent.end().success(), "it ends with its input");
}
