//! Server-sent events: from the beginning, in order, once, and caught up after falling behind.

use futures::StreamExt as _;
use sandbook_core::run::{Outcome, State};

use super::*;
use crate::store::{Checkpoint, EVENTS_MAX, RunPatch};

/// Events as `event` and `data`, with their `id` where there is one.
fn events(text: &str) -> Vec<(String, Value, Option<u64>)> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned)
    };
    let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data").expect("data")).expect("json");
            (field(block, "event").expect("a name"), data, field(block, "id").and_then(|id| id.parse().ok()))
        })
        .collect()
}

async fn whole(daemon: &Daemon, last: Option<&str>) -> Vec<(String, Value, Option<u64>)> {
    let mut request = request("GET", "/v1/runs/r_1/events", Some("viewer"), None);
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.parse().expect("a header"));
    }
    let (status, text) = daemon.send(request).await;
    assert_eq!(status, StatusCode::OK);
    events(text.as_str().expect("a stream"))
}

fn ended() -> Checkpoint {
    let record =
        Record::Ended { state: State::Succeeded, outcome: Some(Outcome::Done), sentence: "done".to_owned(), at: 9_000 };
    let patch = RunPatch { state: Some(State::Succeeded), ..RunPatch::default() };
    Checkpoint { records: vec![record], patch, approval: None }
}

#[tokio::test]
async fn a_run_that_ended_is_told_whole_and_from_where_a_reader_left_off() {
    let daemon = daemon().await;
    let store = &daemon.app.store;
    store.create_run(new_run("r_1")).await.expect("stored");
    store.append("r_1", vec![begun("r_1"), note(2_000)], true).await.expect("stored");
    store.checkpoint("r_1", ended()).await.expect("stored");
    let told = whole(&daemon, None).await;
    let ids: Vec<Option<u64>> = told.iter().map(|(_, _, id)| *id).collect();
    assert_eq!(ids, [Some(0), Some(1), Some(2), None]);
    assert_eq!(
        (told[1].0.as_str(), &told[1].1["run"], &told[1].1["record"]["kind"]),
        ("record", &json!("r_1"), &json!("note"))
    );
    assert_eq!((told[3].0.as_str(), &told[3].1), ("state", &json!({"run": "r_1", "state": "succeeded"})));
    let rest = whole(&daemon, Some("1")).await;
    assert_eq!(rest.iter().map(|(_, _, id)| *id).collect::<Vec<_>>(), [Some(2), None]);
}

#[tokio::test]
async fn a_run_under_way_is_followed_to_its_end_and_a_slow_reader_misses_nothing() {
    let daemon = daemon().await;
    let store = &daemon.app.store;
    store.create_run(new_run("r_1")).await.expect("stored");
    store.append("r_1", vec![begun("r_1")], true).await.expect("stored");
    let request = request("GET", "/v1/runs/r_1/events", Some("viewer"), None);
    let response = daemon.router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    // Nobody reads meanwhile.
    let notes = EVENTS_MAX as u64 + 50;
    for at in 0..notes {
        store.append("r_1", vec![note(at)], true).await.expect("stored");
    }
    store.checkpoint("r_1", ended()).await.expect("stored");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while let Some(piece) = body.next().await {
        text.push_str(&String::from_utf8_lossy(&piece.expect("a piece")));
    }
    let told = events(&text);
    let ids: Vec<u64> = told.iter().filter_map(|(_, _, id)| *id).collect();
    assert_eq!(ids, (0..=notes + 1).collect::<Vec<u64>>());
    assert_eq!(told.iter().filter(|(name, ..)| name == "lagged").count(), 1);
    assert_eq!(
        told.last().map(|(name, data, _)| (name.as_str(), data["state"].clone())),
        Some(("state", json!("succeeded")))
    );
}

#[tokio::test]
async fn everything_is_told_without_an_end() {
    let daemon = daemon().await;
    let response =
        daemon.router.clone().oneshot(request("GET", "/v1/events", Some("viewer"), None)).await.expect("infallible");
    let mut body = response.into_body().into_data_stream();
    let store = &daemon.app.store;
    store.create_run(new_run("r_1")).await.expect("stored");
    store.append("r_1", vec![begun("r_1")], true).await.expect("stored");
    store.checkpoint("r_1", ended()).await.expect("stored");
    let mut text = String::new();
    while !text.contains("succeeded\"}") {
        let piece = tokio::time::timeout(std::time::Duration::from_secs(10), body.next()).await.expect("in time");
        text.push_str(&String::from_utf8_lossy(&piece.expect("goes on").expect("a piece")));
    }
    let names: Vec<String> = events(&text).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["state", "record", "record", "state"]);
}
