//! The store over real files. What is measured is printed by the ignored tests of [`measure`].

use std::collections::BTreeMap;

use sandbook_core::alert::{Alert, Status};
use sandbook_core::journal::Record;
use sandbook_core::run::{Mode, Origin, Stage};
use serde_json::json;

use super::*;

mod brakes;
mod disk;
mod episodes;
mod journals;
mod measure;
mod operators;
mod outbox;
mod outcomes;
mod questions;
mod traces;

/// Some day in 2023.
const T: u64 = 1_700_000_000_000;

fn open(dir: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(dir.path()).expect("opens")
}

fn memory() -> Sqlite {
    Sqlite::in_memory().expect("opens")
}

fn new_run(id: &str) -> NewRun {
    NewRun {
        id: id.to_owned(),
        runbook: "restart-unhealthy".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:aa".to_owned(),
        mode: Mode::Live,
        stage: Stage::Live,
        origin: Origin::BuiltIn,
        trigger: "alert".to_owned(),
        episode: None,
        parameters: json!({"grace": "30s"}),
        target_hint: json!({"name": "web-1"}),
        priority: 0,
        at: T,
    }
}

fn note(text: &str) -> Record {
    Record::Note { effect: "log.info".to_owned(), data: json!({ "message": text }), at: T }
}

fn at(ms: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(row::int(ms)).expect("a time")
}

fn incoming(status: Status, fingerprint: &str, starts_at: u64, received_at: u64) -> Incoming {
    let labels: BTreeMap<String, String> = [("alertname", "Down"), ("instance", fingerprint)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let alert = Alert {
        status,
        labels,
        annotations: BTreeMap::new(),
        starts_at: at(starts_at),
        ends_at: None,
        generator_url: String::new(),
        fingerprint: fingerprint.to_owned(),
    };
    let runs = vec![NewRun { at: received_at, ..new_run(&id::new("r")) }];
    Incoming {
        alert,
        received_at,
        source: "alertmanager".to_owned(),
        matched: json!({"runbook": "restart-unhealthy"}),
        snapshot: json!(null),
        runs,
        joins: std::collections::BTreeMap::new(),
    }
}
