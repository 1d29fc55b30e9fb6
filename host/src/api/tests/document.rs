//! Generated reference pages, compared with what is committed. `UPDATE=1` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::driver::Hosts;
use crate::metrics::Metrics;
use crate::watcher::Watcher;

fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/reference/{file} is not what the code says; run UPDATE=1 cargo test -p sandbook --lib api"
    );
}

#[tokio::test]
async fn the_document_of_the_api_is_committed_and_served() {
    let document = serde_json::to_value(crate::api::openapi()).expect("a document");
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            assert!(
                operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
                "{method} {path} has no summary"
            );
            assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/default", "{method} {path}");
        }
    }
    for (status, failure) in document["components"]["responses"].as_object().expect("how requests fail") {
        let shape = &failure["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(shape, "#/components/schemas/Error", "{status}");
    }
    let failures = |path: &str, method: &str| document["paths"][path][method]["responses"].clone();
    let alerts = failures("/webhook/alerts", "post");
    assert!(alerts["503"].is_object() && alerts["413"].is_object() && alerts["429"].is_null(), "{alerts}");
    assert!(failures("/v1/runs/{id}", "get")["404"].is_object() && failures("/v1/runs", "get")["404"].is_null());
    references_resolve(&document, &document);
    compare("openapi.json", &format!("{document:#}\n"));
    let (_, served) = daemon().await.get("/openapi.json").await;
    assert_eq!(served, document);
}

fn references_resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let pointer = reference.trim_start_matches('#');
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            map.values().for_each(|part| references_resolve(document, part));
        }
        Value::Array(parts) => parts.iter().for_each(|part| references_resolve(document, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A metric as its text format tells it.
#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: String,
}

fn metrics_of(text: &str) -> BTreeMap<String, Metric> {
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, rest)) = line.split_once('{') {
            let base = name.trim_end_matches("_bucket");
            let Some(metric) = found.get_mut(base) else { continue };
            let labels = rest.split_once('}').map_or("", |(labels, _)| labels).split(',');
            let names: Vec<&str> =
                labels.filter_map(|label| Some(label.split_once('=')?.0)).filter(|name| *name != "le").collect();
            metric.labels = names.join(", ");
        }
    }
    found
}

/// Labels of the daemon's own figures: closed sets, and runbooks, of which there are as many as are installed.
const BOUNDED: [&str; 14] = [
    "version",
    "by",
    "channel",
    "direction",
    "effect",
    "event",
    "mode",
    "outcome",
    "purpose",
    "reason",
    "result",
    "runbook",
    "scope",
    "what",
];

/// Metrics with labels are shown only once they counted something.
fn touched() -> Metrics {
    let metrics = Metrics::new().expect("unique names");
    for counters in
        [&metrics.alerts_received, &metrics.webhook_refused, &metrics.reload_failures, &metrics.requests_limited]
    {
        counters.with_label_values(&["x"]);
    }
    for counters in [&metrics.effects, &metrics.outcomes.verifications, &metrics.notifications] {
        counters.with_label_values(&["x", "y"]);
    }
    metrics.runs.with_label_values(&["x", "y", "z"]);
    let alerting = &metrics.alerting;
    for gauges in [&alerting.up, &alerting.success] {
        gauges.with_label_values(&["x"]);
    }
    for gauges in [&alerting.silences, &alerting.watchdog_up, &alerting.watchdog_heard] {
        gauges.with_label_values::<&str>(&[]);
    }
    alerting.failures.with_label_values(&["x"]);
    alerting.missed.with_label_values::<&str>(&[]);
    for counters in [&metrics.outcomes.false_positives, &metrics.outcomes.demotions, &metrics.brake_trips] {
        counters.with_label_values(&["x"]);
    }
    let llm = &metrics.llm;
    for counters in [&llm.answers, &llm.tokens, &llm.fallbacks] {
        counters.with_label_values(&["x", "y"]);
    }
    llm.requests.with_label_values(&["x"]);
    llm.cost.with_label_values(&["x"]);
    llm.seconds.with_label_values(&["x"]);
    metrics.traces.with_label_values(&["x"]);
    metrics.notify.known("x");
    metrics.schedules.fires.with_label_values(&["x", "y"]);
    metrics.schedules.next.with_label_values(&["x"]);
    metrics.effect_seconds.with_label_values(&["x"]);
    metrics.run_seconds.with_label_values(&["x"]);
    metrics
}

fn table(text: &mut String, metrics: &BTreeMap<String, Metric>, labels: impl Fn(&str, &Metric) -> String) {
    text.push_str("| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for (name, metric) in metrics {
        let _ = writeln!(text, "| `{name}` | {} | {} | {} |", metric.kind, labels(name, metric), metric.help);
    }
}

#[tokio::test]
async fn the_page_of_metrics_is_committed() {
    let own = metrics_of(&touched().encode());
    let source = include_str!("../../metrics.rs").split("#[cfg(test)]").next().unwrap_or_default();
    let (alerting, outcomes) = (include_str!("../../metrics/alerting.rs"), include_str!("../../metrics/outcomes.rs"));
    let llm = include_str!("../../metrics/llm.rs");
    let schedules = include_str!("../../metrics/schedules.rs");
    let notify = include_str!("../../metrics/notify.rs");
    let source = format!("{source}{alerting}{outcomes}{llm}{schedules}{notify}");
    assert_eq!(source.matches("\"sandbook_").count(), own.len(), "a metric is missing in `touched`");
    let mut watched = String::new();
    Watcher::start(&Hosts::new()).write_metrics(&mut watched);
    let watched = metrics_of(&watched);
    let mut text = String::from(
        "# Metrics\n\n\
         <!-- Generated by host/src/api/tests/document.rs from the registry and the watcher; a test compares. -->\n\n\
         `GET /metrics` answers in the Prometheus text format to a token of role viewer or higher. Labels are bounded:\n\
         effects, outcomes and results are closed sets, and there are as many runbooks as are installed and as many channels\n\
         as are configured.\n\n\
         ## The daemon\n\n",
    );
    for (name, metric) in &own {
        let odd = metric.labels.split(", ").find(|label| !label.is_empty() && !BOUNDED.contains(label));
        assert!(odd.is_none(), "{name} has the label {odd:?}: whatever is not a closed set makes series without end");
    }
    table(&mut text, &own, |_, metric| metric.labels.clone());
    text.push_str(
        "\nAlert on `sandbook_heartbeat_timestamp_seconds` that stands still, and on any increase of\n\
         `sandbook_webhook_refused_total{reason=\"too-large\"}`: those alerts are lost until they are sent again.\n\n\
         `increase()` does not see a series that begins at 1, so what is rare begins at 0. From the start that is every value\n\
         of `sandbook_webhook_refused_total`, `sandbook_reload_failures_total`, `sandbook_requests_limited_total` and\n\
         `sandbook_brake_trips_total`, and rejected, truncated and suppressed of `sandbook_alerts_received_total`; from a\n\
         runbook's installation its `sandbook_verifications_total`, `sandbook_false_positives_total`,\n\
         `sandbook_demotions_total`, and `sandbook_runs_total{mode=\"live\"}` of every outcome.\n\n\
         ## Containers and hosts\n\nOf every container the daemon sees, at most 2000 a host.\n\n",
    );
    table(&mut text, &watched, |name, _| {
        let labels = match name {
            "sandbook_docker_up" | "sandbook_docker_breaker_open" | "sandbook_containers_dropped" => "host",
            "sandbook_container_health" => "host, name, project, service, status",
            "sandbook_container_start_failed" => "host, name, project, service, reason",
            _ => "host, name, project, service",
        };
        labels.to_owned()
    });
    assert_eq!(crate::watcher::CONTAINERS_MAX, 2_000, "the page says so");
    compare("metrics.md", &text);
}
