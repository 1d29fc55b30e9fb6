//! Journals written by released versions, resumed by this one: the files are never changed, only added to.
//!
//! To add the one of a new format: `cargo test -p sandbook --lib -- --ignored record_a_journal` and name the file.

use std::path::PathBuf;

use sandbook_core::journal::Record;

use super::*;

const SCRIPT: &str = "fn run(input) { let a = docker::inspect_container(input.target); print(a.name); \
                      docker::restart_container(input.target); clock::sleep(3000); state::put(\"n\", \"1\"); \
                      try { docker::stop_container(\"nobody\"); } catch (e) { log::progress(e.kind); } \
                      fixed(docker::inspect_container(input.target).state.status) }";
const REQUESTS: [&str; 3] = ["docker.inspect-container", "docker.restart-container", "docker.stop-container"];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/runner/tests/released"))
}

async fn recorded() -> Vec<Record> {
    let bench = bench(EVERYTHING);
    let id = bench.submit(&script("released", &REQUESTS, SCRIPT), Some("shop-db-1"), Stage::Live).await;
    let row = bench.ended(&id).await;
    assert_eq!(row.state, State::Succeeded, "{row:?}");
    bench.store.records(&id).await.expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the journal of this version, for a release that changes the format"]
async fn record_a_journal() {
    let lines: Vec<String> =
        recorded().await.iter().map(|record| serde_json::to_string(record).expect("data")).collect();
    std::fs::create_dir_all(folder()).expect("a folder");
    std::fs::write(folder().join("new.jsonl"), lines.join("\n") + "\n").expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn journals_of_every_released_format_resume_from_every_record() {
    let package = script("released", &REQUESTS, SCRIPT);
    let mut resumed = 0;
    for file in std::fs::read_dir(folder()).expect("journals are there") {
        let file = file.expect("readable").path();
        let text = std::fs::read_to_string(&file).expect("readable");
        let whole: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        for cut in 1..whole.len() {
            let bench = bench(EVERYTHING);
            let id = resume(&bench, &package, &whole[..cut]).await;
            let row = bench.ended(&id).await;
            assert_eq!(
                (row.state, row.outcome),
                (State::Succeeded, Some(Outcome::Fixed)),
                "{} cut after {cut}: {row:?}",
                file.display()
            );
            resumed += 1;
        }
    }
    assert!(resumed > 0, "there is at least one released journal");
    sandbook_tests::announce(&format!("released journals: resumed from {resumed} places"));
}
