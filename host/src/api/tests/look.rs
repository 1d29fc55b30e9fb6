//! What can be looked at.

use super::*;
use crate::store::{Checkpoint, RunPatch};
use sandbook_core::run::{Outcome, State};

fn firing(name: &str) -> Value {
    json!({"version": "4", "alerts": [{
        "status": "firing", "labels": {"alertname": "ContainerUnhealthy", "name": name, "severity": "warning"},
        "annotations": {}, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
    }, {"labels": {}}]})
}

#[tokio::test]
async fn an_alert_is_durable_counted_once_and_shown_with_what_it_matched() {
    let daemon = daemon().await;
    let post = || request("POST", "/webhook/alerts", Some("sender"), Some(firing("shop-web-1")));
    let (status, receipt) = daemon.send(post()).await;
    assert_eq!((status, &receipt["accepted"]), (StatusCode::ACCEPTED, &json!(1)), "{receipt}");
    assert_eq!(receipt["rejected"][0]["index"], 1);
    assert_eq!(receipt["runs"][0]["runbook"], "restart-unhealthy");
    let (status, receipt) = daemon.send(post()).await;
    assert_eq!((status, &receipt["duplicate"], &receipt["runs"]), (StatusCode::ACCEPTED, &json!(1), &json!([])));
    let (_, alerts) = daemon.get("/v1/alerts?open=true&since=2d&limit=5").await;
    let episode = &alerts["alerts"][0];
    assert_eq!((&episode["state"], &episode["count"]), (&json!("firing"), &json!(2)), "{alerts}");
    assert_eq!(episode["starts_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(episode["matched"]["chosen"][0]["runbook"], "restart-unhealthy");
    let (_, run) = daemon.get(&format!("/v1/runs/{}", episode["runs"][0]["run"].as_str().expect("a run"))).await;
    assert_eq!(
        (&run["mode"], &run["trigger"], &run["episode"]),
        (&json!("shadow"), &json!("alert"), &episode["episode"]),
        "{run}"
    );
    let (_, one) = daemon.get(&format!("/v1/alerts/{}", episode["episode"].as_str().expect("an id"))).await;
    assert_eq!(one["name"], "ContainerUnhealthy");
}

#[tokio::test]
async fn a_match_says_which_and_why() {
    let daemon = daemon().await;
    let asked = json!({"labels": {"alertname": "ContainerUnhealthy", "name": "shop-web-1"}});
    let (status, answer) = daemon.act("POST", "/v1/match", Some(asked)).await;
    assert_eq!((status, &answer["chosen"][0]["runbook"]), (StatusCode::OK, &json!("restart-unhealthy")), "{answer}");
    assert_eq!(answer["chosen"][0]["target"]["name"], "shop-web-1");
    let whole = json!({"alert": firing("nobody")});
    let (_, answer) = daemon.act("POST", "/v1/match", Some(whole)).await;
    assert_eq!(answer["chosen"][0]["target"], Value::Null);
    assert!(!answer["chosen"][0]["target_why"].as_str().expect("a reason").is_empty());
}

#[tokio::test]
async fn runs_are_listed_page_by_page_and_filtered() {
    let daemon = daemon().await;
    for id in ["r_1", "r_2", "r_3"] {
        daemon.app.store.create_run(new_run(id)).await.expect("stored");
    }
    let patch = RunPatch {
        state: Some(State::Failed),
        outcome: Some(Outcome::Refused),
        finished_at: Some(2_000),
        ..RunPatch::default()
    };
    daemon.app.store.update_run("r_2", patch).await.expect("stored");
    let (_, page) = daemon.get("/v1/runs?limit=2").await;
    assert_eq!((&page["runs"][0]["run"], page["runs"].as_array().map(Vec::len)), (&json!("r_3"), Some(2)));
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let (_, rest) = daemon.get(&format!("/v1/runs?limit=2&cursor={cursor}")).await;
    assert_eq!((&rest["runs"][0]["run"], &rest["next_cursor"]), (&json!("r_1"), &Value::Null));
    let (_, failed) = daemon.get("/v1/runs?state=failed").await;
    let run = &failed["runs"][0];
    assert_eq!((&run["run"], &run["outcome"], &run["verification"]), (&json!("r_2"), &json!("refused"), &Value::Null));
    assert_eq!(run["finished_at"], "1970-01-01T00:00:02.000Z");
    for (path, want) in [
        ("/v1/runs?state=lost", (400, "SB0112")),
        ("/v1/runs?since=yesterday", (400, "SB0112")),
        ("/v1/runs?colour=red", (400, "SB0112")),
        ("/v1/runs/r_9", (404, "SB0107")),
        ("/v1/runs/r_", (409, "SB0111")),
        ("/v1/runs/r_9/journal", (404, "SB0107")),
        ("/v1/runs/r_9/events", (404, "SB0107")),
        ("/v1/alerts/e_9", (404, "SB0107")),
        ("/v1/runbooks/nothing", (404, "SB0107")),
        ("/v1/approvals/a_9", (404, "SB0107")),
    ] {
        let (status, answer) = daemon.get(path).await;
        assert_eq!((status.as_u16(), code(&answer)), want, "{path}");
    }
}

#[tokio::test]
async fn a_journal_has_its_records_with_numbers_and_times() {
    let daemon = daemon().await;
    daemon.app.store.create_run(new_run("r_1")).await.expect("stored");
    let records = vec![begun("r_1"), note(2_000)];
    let checkpoint = Checkpoint { records, ..Checkpoint::default() };
    daemon.app.store.checkpoint("r_1", checkpoint).await.expect("stored");
    let (_, journal) = daemon.get("/v1/runs/last/journal").await;
    let kinds: Vec<&Value> =
        journal["records"].as_array().expect("records").iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["begun", "note"]);
    let note = &journal["records"][1];
    assert_eq!(
        (&note["seq"], &note["slot"], &note["at"]),
        (&json!(1), &Value::Null, &json!("1970-01-01T00:00:02.000Z"))
    );
    assert_eq!(
        journal["records"][0]["target"],
        json!({"host": "local", "kind": "container", "name": "shop-web-1", "id": null})
    );
}

#[tokio::test]
async fn the_status_says_what_is_going_on() {
    let daemon = daemon().await;
    let (status, answer) = daemon.get("/status").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["store"]["ok"], &answer["stop"], &answer["mttr"]), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(answer["runbooks"]["live"], 0);
    assert!(answer["runbooks"]["shadow"].as_u64().is_some_and(|count| count > 0), "{answer}");
    assert!(answer["queue"]["capacity"].as_u64().is_some_and(|capacity| capacity > 0));
    let (status, health) = daemon.send(request("GET", "/health", None, None)).await;
    assert_eq!((status, health), (StatusCode::OK, json!({"status": "ok"})));
    let (_, runbooks) = daemon.get("/v1/runbooks").await;
    let named =
        |name: &str| runbooks["runbooks"].as_array().expect("runbooks").iter().find(|one| one["name"] == name).cloned();
    let one = named("restart-unhealthy").expect("it is built in");
    assert_eq!(
        (&one["stage"], &one["origin"], &one["success_rate"]),
        (&json!("shadow"), &json!("built-in"), &Value::Null)
    );
    let (_, versions) = daemon.get("/v1/runbooks/restart-un/versions").await;
    assert_eq!(
        (&versions["versions"][0]["digest"], &versions["versions"][0]["current"]),
        (&one["digest"], &json!(true))
    );
    let (_, effects) = daemon.get("/v1/effects").await;
    assert_eq!(effects["effects"].as_array().map(Vec::len), Some(sandbook_core::effect::Effect::ALL.len()));
    let (_, metrics) = daemon.get("/metrics").await;
    assert!(metrics.as_str().is_some_and(|text| text.contains("sandbook_store_up 1")), "{metrics}");
}
