//! The files in `monitoring/`: accepted by the real tools, right by their own tests, and true to the daemon's metrics.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::monitoring::Files;
use sandbook_tests::process::require;
use sandbook_tests::repository;

/// Runs a tool in a folder; its words are shown when it objects.
#[track_caller]
fn tool(program: &str, package: &str, folder: &Path, arguments: &[&str]) {
    require(program, package);
    let ran = Command::new(program).args(arguments).current_dir(folder).output().expect("it is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{program} {arguments:?}\n{}{}", text(&ran.stdout), text(&ran.stderr));
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn prometheus_accepts_the_shipped_configuration_and_rules() {
    let shipped = Files::shipped("viewer", "sender");
    tool("promtool", "prometheus", &shipped.path("prometheus"), &["check", "config", "prometheus.yml"]);
}

#[test]
fn the_rules_pass_their_own_tests() {
    let folder = repository().join("monitoring/prometheus");
    let tests = files(&folder.join("tests"));
    let rules = files(&folder.join("rules"));
    for rule in &rules {
        let name = rule.file_stem().expect("a file").to_string_lossy().into_owned();
        // `NAME.test.yml`, and `NAME-….test.yml` for what wants another interval.
        let own = |test: &&PathBuf| test.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name));
        let text: String =
            tests.iter().filter(own).map(|test| std::fs::read_to_string(test).expect("readable")).collect();
        for alert in alerts(rule) {
            assert!(text.contains(&format!("alertname: {alert}\n")), "{alert} is not tested in tests/{name}*.test.yml");
        }
    }
    for test in &tests {
        tool("promtool", "prometheus", &folder, &["test", "rules", &test.to_string_lossy()]);
    }
}

fn alerts(rules: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(rules).expect("readable");
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

#[test]
fn alertmanager_accepts_the_shipped_configuration_and_routes_as_it_says() {
    let shipped = Files::shipped("viewer", "sender");
    let folder = shipped.path("alertmanager");
    tool("amtool", "prometheus-alertmanager", &folder, &["check-config", "alertmanager.yml"]);
    let routes = |labels: &str, receivers: &str| {
        let verify = format!("--verify.receivers={receivers}");
        let arguments = ["config", "routes", "test", "--config.file=alertmanager.yml", &verify, labels];
        tool("amtool", "prometheus-alertmanager", &folder, &arguments);
    };
    routes("alertname=ContainerUnhealthy", "sandbook,people");
    routes("alertname=SandbookDown", "people");
    routes("sandbook=watchdog", "sandbook");
}

/// Names that only Prometheus' own label sets or recording could add are not metrics of the daemon.
fn named_metrics() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files(&repository().join("monitoring")) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for (start, _) in text.match_indices("sandbook_") {
            let name: String = text[start..]
                .chars()
                .take_while(|letter| letter.is_ascii_lowercase() || "_0123456789".contains(*letter))
                .collect();
            // A histogram is named once and queried by its parts.
            let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            names.insert(whole.map_or(name.clone(), str::to_owned));
        }
    }
    names
}

#[test]
fn every_metric_that_monitoring_names_exists() {
    let daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\""));
    let exposed = daemon.api().get("/metrics").expect(200).text();
    let reference = std::fs::read_to_string(repository().join("docs/reference/metrics.md")).unwrap_or_default();
    let names = named_metrics();
    assert!(names.len() > 10, "the scan found only {names:?}");
    let missing: Vec<&String> =
        names.iter().filter(|name| !exists(name, &exposed) && !exists(name, &reference)).collect();
    assert!(
        missing.is_empty(),
        "named in monitoring/ but neither in /metrics nor in docs/reference/metrics.md: {missing:?}"
    );
}

/// The whole name, and not the beginning of a longer one.
fn exists(name: &str, text: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        let after = text[start + name.len()..].chars().next();
        !after.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    })
}
