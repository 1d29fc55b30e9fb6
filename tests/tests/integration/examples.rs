//! What stands in `examples/` works: every configuration, every policy, every sample alert.

use std::path::PathBuf;

use sandbook_tests::daemon::{Daemon, Setup, sandbook};
use sandbook_tests::repository;

fn examples(kind: &str, extension: &str) -> Vec<PathBuf> {
    let folder = repository().join("examples").join(kind);
    let entries = folder.read_dir().expect("the examples are there").flatten().map(|entry| entry.path());
    let found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    assert!(!found.is_empty(), "no *.{extension} in {}", folder.display());
    found
}

#[test]
fn every_configuration_is_valid() {
    for config in examples("configs", "toml") {
        // Checked where it stands, so that relative paths mean what they say; the secrets it names are not there.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = folder.path().join("examples/configs");
        std::fs::create_dir_all(copy.join("secrets")).expect("writable");
        std::fs::create_dir_all(folder.path().join("examples/policies")).expect("writable");
        for secret in ["prometheus", "dana", "robot", "slack-url"] {
            std::fs::write(copy.join("secrets").join(secret), "https://example.org/0123456789abcdef0123456789abcdef")
                .expect("writable");
        }
        for policy in examples("policies", "cedar") {
            let name = policy.file_name().expect("a file");
            std::fs::copy(&policy, folder.path().join("examples/policies").join(name)).expect("writable");
        }
        let file = copy.join(config.file_name().expect("a file"));
        std::fs::copy(&config, &file).expect("writable");
        sandbook(&copy, &["config", "check", "--config", &file.to_string_lossy()]).expect(0);
    }
}

#[test]
fn every_policy_is_valid_under_the_generated_schema() {
    for policy in examples("policies", "cedar") {
        let text = std::fs::read_to_string(&policy).expect("readable");
        let daemon =
            Daemon::prepare(Setup::with("[policy]\ndirs = [\"./policy\"]").file("policy/example.cedar", &text));
        daemon.cli(&["policy", "check", "--config", "sandbook.toml"]).expect(0);
    }
}

#[test]
fn every_sample_alert_is_accepted_and_explained() {
    let daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\""));
    for alert in examples("alerts", "json") {
        let text = std::fs::read_to_string(&alert).expect("readable");
        let name = alert.file_name().expect("a file").to_string_lossy().into_owned();
        let path = if name.starts_with("grafana") { "/webhook/grafana" } else { "/webhook/alerts" };
        let headers = [("content-type", "application/json")];
        let answer = daemon.sender().send("POST", path, &headers, text).expect("an answer").expect(202).json();
        assert_eq!(answer["rejected"], serde_json::json!([]), "{name}: {answer}");
        daemon.cli(&["match", "--alert", &alert.to_string_lossy()]).says("restart-");
    }
}
