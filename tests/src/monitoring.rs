//! Real Prometheus and Alertmanager, with the files shipped in `monitoring/`.
//!
//! What a test changes in those files is ports, and intervals so that it takes seconds and not minutes. Each replacement
//! must hit exactly the text it names, so a changed file cannot silently run unchanged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Leashed, free_port, require};
use crate::{repository, wait};

/// Both are up in under a second.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// Prometheus' file.
const PROMETHEUS: &str = "prometheus/prometheus.yml";
/// Alertmanager's file.
const ALERTMANAGER: &str = "alertmanager/alertmanager.yml";

/// A copy of `monitoring/` for one test.
#[derive(Debug)]
pub struct Files {
    folder: TempDir,
}

/// What the pieces listen on.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Sandbook.
    pub daemon: u16,
    /// Prometheus.
    pub prometheus: u16,
    /// Alertmanager.
    pub alertmanager: u16,
}

impl Ports {
    /// Free ports beside a daemon's.
    pub fn beside(daemon: u16) -> Ports {
        Ports { daemon, prometheus: free_port(), alertmanager: free_port() }
    }
}

impl Files {
    /// The files exactly as shipped, with the two token files beside them.
    #[track_caller]
    pub fn shipped(viewer_token: &str, sender_token: &str) -> Files {
        let folder = TempDir::with_prefix("sandbook-monitoring-").expect("a temporary folder");
        copy_folder(&repository().join("monitoring"), folder.path());
        let files = Files { folder };
        std::fs::write(files.path("prometheus/sandbook-viewer-token"), viewer_token).expect("the copy is writable");
        std::fs::write(files.path("alertmanager/sandbook-sender-token"), sender_token).expect("the copy is writable");
        files
    }

    /// The same for these ports, in seconds instead of minutes.
    #[track_caller]
    pub fn for_test(ports: Ports, viewer_token: &str, sender_token: &str) -> Files {
        let files = Files::shipped(viewer_token, sender_token);
        let daemon = format!("127.0.0.1:{}", ports.daemon);
        let alertmanager = format!("127.0.0.1:{}", ports.alertmanager);
        files.replace(PROMETHEUS, "127.0.0.1:7070", &daemon);
        files.replace(PROMETHEUS, "127.0.0.1:9093", &alertmanager);
        files.replace(PROMETHEUS, "scrape_interval: 15s", "scrape_interval: 1s");
        files.replace(PROMETHEUS, "evaluation_interval: 15s", "evaluation_interval: 1s");
        files.replace("prometheus/rules/containers.yml", "for: 15s", "for: 1s");
        files.replace(ALERTMANAGER, "http://127.0.0.1:7070", &format!("http://{daemon}"));
        files.replace(ALERTMANAGER, "group_wait: 5s", "group_wait: 1s");
        files.replace(ALERTMANAGER, "group_interval: 1m", "group_interval: 5s");
        files.replace(ALERTMANAGER, "repeat_interval: 1m", "repeat_interval: 5s");
        files
    }

    /// A file of the copy.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path(file);
        let text = std::fs::read_to_string(&path).expect("it was just copied");
        assert!(text.contains(from), "monitoring/{file} no longer says {from:?}: the tests change that");
        std::fs::write(&path, text.replace(from, to)).expect("the copy is writable");
    }
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Leashed,
    api: Client,
    _data: TempDir,
}

impl Prometheus {
    /// Starts it on the port that the files were made for.
    #[track_caller]
    pub fn start(files: &Files, ports: Ports) -> Prometheus {
        require("prometheus", "prometheus");
        let data = TempDir::with_prefix("sandbook-prometheus-").expect("a temporary folder");
        let config = format!("--config.file={}", files.path(PROMETHEUS).display());
        let storage = format!("--storage.tsdb.path={}", data.path().join("tsdb").display());
        let listen = format!("--web.listen-address=127.0.0.1:{}", ports.prometheus);
        let log = data.path().join("prometheus.log");
        let command = ["prometheus", &config, &storage, &listen];
        let process = Leashed::start("prometheus", &command, &log, false, None);
        let prometheus = Prometheus { process, api: Client::tcp(ports.prometheus), _data: data };
        await_ready("prometheus", &prometheus.api, &prometheus.process);
        prometheus
    }

    /// The state of an alert about a container: `pending`, `firing`, or none.
    pub fn alert(&self, alert: &str, container: &str) -> Option<String> {
        let answer = self.api.get("/api/v1/alerts").json();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let found = alerts.iter().find(|found| is_about(found, alert, container))?;
        found["state"].as_str().map(str::to_owned)
    }

    /// The result vector of an instant query.
    #[track_caller]
    pub fn query(&self, promql: &str) -> Vec<Value> {
        let answer =
            self.api.get(&format!("/api/v1/query?query={}", crate::docker::percent(promql))).expect(200).json();
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// What it says of its own targets, and the end of its log.
    pub fn log_tail(&self) -> String {
        let answer = self.api.send("GET", "/api/v1/targets?state=active", &[], "");
        let targets = answer.map_or_else(|error| format!("{error:#}"), |answer| answer.text());
        format!("prometheus' targets: {targets}\n{}", self.process.log_tail())
    }
}

/// A running Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    process: Leashed,
    api: Client,
    _data: TempDir,
}

impl Alertmanager {
    /// Starts it on the port that the files were made for.
    #[track_caller]
    pub fn start(files: &Files, ports: Ports) -> Alertmanager {
        require("prometheus-alertmanager", "prometheus-alertmanager");
        let data = TempDir::with_prefix("sandbook-alertmanager-").expect("a temporary folder");
        let config = format!("--config.file={}", files.path(ALERTMANAGER).display());
        let storage = format!("--storage.path={}", data.path().join("data").display());
        let listen = format!("--web.listen-address=127.0.0.1:{}", ports.alertmanager);
        let log = data.path().join("alertmanager.log");
        let command = ["prometheus-alertmanager", &config, &storage, &listen, "--cluster.listen-address="];
        let process = Leashed::start("alertmanager", &command, &log, false, None);
        let alertmanager = Alertmanager { process, api: Client::tcp(ports.alertmanager), _data: data };
        await_ready("alertmanager", &alertmanager.api, &alertmanager.process);
        alertmanager
    }

    /// Whether an alert about a container is active.
    pub fn has(&self, alert: &str, container: &str) -> bool {
        let answer = self.api.get("/api/v2/alerts?active=true").json();
        answer.as_array().is_some_and(|alerts| alerts.iter().any(|found| is_about(found, alert, container)))
    }

    /// Its API.
    pub fn api(&self) -> &Client {
        &self.api
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

fn is_about(found: &Value, alert: &str, container: &str) -> bool {
    found["labels"]["alertname"] == alert && found["labels"]["name"] == container
}

#[track_caller]
fn await_ready(name: &str, api: &Client, process: &Leashed) {
    wait::until(
        &format!("{name} to be ready"),
        UP_WITHIN,
        || process.log_tail(),
        || match api.send("GET", "/-/ready", &[], "") {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(format!("{error:#}")),
        },
    );
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the copy is writable");
    for entry in from.read_dir().unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a readable folder");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("the copy is writable");
        }
    }
}
