//! Brakes: who may see and re-arm them, and what is said of it.

use super::*;
use crate::store::{Intend, Intended, Scope, Trip, Window};

/// Attempts of `restart-unhealthy` on each subject, until its brake trips.
async fn tripped(daemon: &Daemon, others: &[&str]) -> Trip {
    let store = &daemon.app.store;
    store.create_run(new_run("r_1")).await.expect("stored");
    let intend = |subject: &str, windows| Intend {
        runbook: "restart-unhealthy".to_owned(),
        subject: subject.to_owned(),
        host: "local".to_owned(),
        effect: "docker.restart-container".to_owned(),
        at: daemon.app.now_ms(),
        windows,
        ..Intend::default()
    };
    for other in others {
        assert_eq!(store.intend("r_1", note(1), intend(other, vec![])).await, Ok(Intended::Taken));
    }
    let label = "brakes.per_runbook_target = 1/1h".to_owned();
    let window = Window { scope: Scope::RunbookSubject, count: 1, window_ms: 3_600_000, label };
    let next = || intend("local/shop-web-1", vec![window.clone()]);
    assert_eq!(store.intend("r_1", note(1), next()).await, Ok(Intended::Taken));
    match store.intend("r_1", note(1), next()).await.expect("stored") {
        Intended::Limited { tripped: Some(trip), .. } => *trip,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tripped_brake_is_seen_everywhere_until_an_operator_re_arms_it() {
    let daemon = daemon().await;
    let trip = tripped(&daemon, &[]).await;
    let path = format!("/v1/brakes/{}/rearm", trip.id);

    let (_, answer) = daemon.get("/v1/brakes").await;
    let first = &answer["brakes"][0];
    let said = ["id", "state", "scope", "about", "run"].map(|field| first[field].as_str().expect("a text").to_owned());
    assert_eq!(said, [&trip.id, "tripped", "runbook-subject", "restart-unhealthy on local/shop-web-1", "r_1"]);
    let figures = (&first["attempts"], &first["limit"], &first["window_ms"]);
    assert_eq!(figures, (&json!(1), &json!(1), &json!(3_600_000)));
    let (_, status) = daemon.get("/status").await;
    assert_eq!((&status["trips"][0]["id"], &status["trips"][1]), (&json!(trip.id), &Value::Null));
    assert_eq!(status["trips"][0]["reason"], trip.figures());
    let metrics = |text: Value, line: &str| text.as_str().is_some_and(|text| text.lines().any(|found| found == line));
    assert!(metrics(daemon.get("/metrics").await.1, "sandbook_brakes_tripped 1"));

    let why = json!({"reason": "the disk was full"});
    for role in ["sender", "viewer", "author"] {
        let (status, answer) = daemon.send(request("POST", &path, Some(role), Some(why.clone()))).await;
        assert_eq!((status, code(&answer)), (StatusCode::FORBIDDEN, "SB0105"), "{role}");
    }
    assert_eq!(daemon.app.store.trips(true).await.expect("read").len(), 1, "nothing was re-armed");
    let (status, answer) = daemon.act("POST", "/v1/brakes/t_nobody/rearm", Some(why.clone())).await;
    assert_eq!((status, code(&answer)), (StatusCode::NOT_FOUND, "SB0107"));
    let (status, answer) = daemon.act("POST", &path, Some(json!({"because": "x"}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"));

    // A beginning of the id is enough.
    let short = format!("/v1/brakes/{}/rearm", &trip.id[..12]);
    let (status, again) = daemon.send(request("POST", &short, Some("operator"), Some(why.clone()))).await;
    assert_eq!((status, &again["id"], &again["rearmed_by"]), (StatusCode::OK, &json!(trip.id), &json!("operator")));
    let (status, answer) = daemon.act("POST", &path, Some(why)).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "SB0113"));

    let (_, audit) = daemon.get("/v1/audit").await;
    let line = &audit["audit"][0];
    assert_eq!(
        (&line["what"], &line["who"], &line["subject"]),
        (&json!("re-arm"), &json!("operator"), &json!(trip.id)),
        "{line}"
    );
    assert_eq!(line["details"]["reason"], "the disk was full");
    assert_eq!(daemon.get("/status").await.1["trips"], json!([]));
    assert!(metrics(daemon.get("/metrics").await.1, "sandbook_brakes_tripped 0"));
    let (_, answer) = daemon.get("/v1/brakes").await;
    let states: Vec<&Value> = answer["brakes"].as_array().expect("a list").iter().map(|one| &one["state"]).collect();
    assert!(!states.contains(&&json!("tripped")), "{answer}");
    assert!(
        answer["brakes"].as_array().expect("a list").iter().all(|one| one["scope"] != "runbook-subject"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_storm_limit_is_shown_with_the_share_of_the_hosts_containers() {
    let daemon = daemon_with("[brakes]\nstorm = { min = 1, share = 0.5, window = \"10m\" }").await;
    tripped(&daemon, &["local/a", "local/b"]).await;
    let containers = daemon.app.runner.parts().driver.population("local").await.expect("a world knows");
    let (_, answer) = daemon.get("/v1/brakes").await;
    let brakes = answer["brakes"].as_array().expect("a list");
    let storm = brakes.iter().find(|one| one["scope"] == "storm").expect("the storm limit");
    assert_eq!((&storm["about"], &storm["attempts"]), (&json!("host local"), &json!(3)));
    assert_eq!(storm["limit"], json!(containers.div_ceil(2)));
    assert_eq!(daemon.app.runner.parts().storm("nowhere").await.expect("a limit").subjects_max, 1, "only the minimum");
}
