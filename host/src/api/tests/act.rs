//! What changes something, and what the audit says of it.

use sandbook_core::journal::Answer;
use sandbook_core::run::State;

use super::*;
use crate::store::{Checkpoint, RunPatch};

#[tokio::test]
async fn stopping_pausing_and_granting_take_effect_and_are_audited() {
    let daemon = daemon().await;
    let (status, stop) =
        daemon.send(request("POST", "/v1/stop", Some("operator"), Some(json!({"reason": "smoke"})))).await;
    assert_eq!((status, &stop["stopped"], &stop["stop"]["by"]), (StatusCode::OK, &json!(true), &json!("operator")));
    let (_, status) = daemon.get("/status").await;
    assert_eq!(status["stop"]["reason"], "smoke");
    let (_, released) = daemon.act("DELETE", "/v1/stop", None).await;
    assert_eq!(released, json!({"stopped": false, "stop": null}));

    let pause = json!({"selector": {"target": "web-*"}, "for": "30m", "reason": "deploy"});
    let (status, pause) = daemon.act("POST", "/v1/pauses", Some(pause)).await;
    assert_eq!(
        (status, &pause["selector"], &pause["by"]),
        (StatusCode::CREATED, &json!({"target": "web-*"}), &json!("admin"))
    );
    let (status, everything) =
        daemon.act("POST", "/v1/pauses", Some(json!({"selector": {}, "for": "1m", "reason": "x"}))).await;
    assert_eq!((status, &everything["selector"]), (StatusCode::CREATED, &json!({"runbook": "*"})));
    let (_, pauses) = daemon.get("/v1/pauses").await;
    assert_eq!(pauses["pauses"].as_array().map(Vec::len), Some(2));
    let path = format!("/v1/pauses/{}", pause["id"].as_str().expect("an id"));
    assert_eq!(daemon.act("DELETE", &path, None).await.0, StatusCode::OK);
    assert_eq!(daemon.act("DELETE", &path, None).await.0, StatusCode::NOT_FOUND);
    for wrong in [
        json!({"selector": {"target": "["}, "for": "1m", "reason": "x"}),
        json!({"selector": {}, "for": "0s", "reason": "x"}),
        json!({"selector": {}, "for": "1m", "reason": " "}),
        json!({"selector": {"team": "x"}, "for": "1m", "reason": "x"}),
    ] {
        let (status, answer) = daemon.act("POST", "/v1/pauses", Some(wrong)).await;
        assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"));
    }

    let grant =
        json!({"runbook": "restart-un", "effect": "docker.restart-container", "container": "web-*", "limit": "3/1h"});
    let (status, granted) = daemon.act("POST", "/v1/grants", Some(grant.clone())).await;
    assert_eq!((status, &granted["change"]), (StatusCode::CREATED, &json!("added")), "{granted}");
    assert_eq!(daemon.act("POST", "/v1/grants", Some(grant)).await.0, StatusCode::OK);
    let (_, grants) = daemon.get("/v1/grants").await;
    assert_eq!(
        (&grants["grants"][0]["runbook"], &grants["grants"][0]["limit"]),
        (&json!("restart-unhealthy"), &json!("3/1h"))
    );
    let wrong = json!({"runbook": "restart-unhealthy", "effect": "docker.inspect-container", "container": "x"});
    let (status, answer) = daemon.act("POST", "/v1/grants", Some(wrong)).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0307"));

    let path = "/v1/grants/restart-unhealthy%2Fdocker.restart-container%2Fcontainer%3Dweb-*";
    for (role, wanted) in [("author", StatusCode::FORBIDDEN), ("operator", StatusCode::OK)] {
        let (status, answer) = daemon.send(request("DELETE", path, Some(role), None)).await;
        assert_eq!(status, wanted, "{answer}");
    }
    assert_eq!(daemon.get("/v1/grants").await.1["grants"], json!([]));

    let audited = daemon.audited().await;
    let words: Vec<&str> = audited.iter().map(|(_, what)| what.as_str()).filter(|what| *what != "stage").collect();
    assert_eq!(words, ["revoke", "grant", "unpause", "pause", "pause", "release", "stop"]);
    assert_eq!(audited.last().map(|(who, _)| who.as_str()), Some("operator"));
}

#[tokio::test]
async fn without_its_grant_a_runbook_is_refused_again_and_what_a_person_wrote_stays() {
    let daemon = daemon().await;
    let restart = json!({"runbook": "restart-unhealthy", "effect": "docker.restart-container", "container": "shop-*"});
    let refused = async || {
        let plan = json!({"target": "shop-web-1"});
        let (_, plan) = daemon.act("POST", "/v1/runbooks/restart-unhealthy/plan", Some(plan)).await;
        plan["summary"]["refused"].as_u64().unwrap_or_else(|| panic!("{plan}"))
    };
    assert_eq!(refused().await, 1);
    let (_, granted) = daemon.act("POST", "/v1/grants", Some(restart)).await;
    assert_eq!(refused().await, 0);
    let file = std::path::PathBuf::from(granted["file"].as_str().expect("a file"));
    let mine = "@id(\"mine\")\nforbid (principal, action == Action::\"docker.exec\", resource is Container);\n";
    let mut text = std::fs::read_to_string(&file).expect("readable");
    text.push_str(mine);
    std::fs::write(&file, &text).expect("written");
    daemon.app.reload_policy().expect("sound");
    let (_, grants) = daemon.get("/v1/grants").await;
    let listed = grants["grants"].as_array().expect("a list").iter();
    assert_eq!(listed.map(|grant| grant["granted"].clone()).collect::<Vec<_>>(), [true, false]);

    let (status, answer) = daemon.act("DELETE", "/v1/grants/mine", None).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "SB0308"));
    let says = answer["error"]["message"].as_str().expect("a text");
    assert!(says.contains("grants.cedar:") && says.contains("by a person"), "{says}");
    let near = "/v1/grants/restart-unhealthy%2Fdocker.restart-container%2Fcontainer%3Dshop-";
    let (status, answer) = daemon.act("DELETE", near, None).await;
    assert_eq!((status, code(&answer)), (StatusCode::NOT_FOUND, "SB0107"));
    assert!(answer["error"]["fix"].as_str().is_some_and(|fix| fix.contains("container=shop-*")), "{answer}");
    assert_eq!((refused().await, std::fs::read_to_string(&file).expect("readable")), (0, text), "nothing changed");

    let (status, gone) = daemon.act("DELETE", &format!("{near}*"), None).await;
    assert_eq!((status, &gone["cedar"]), (StatusCode::OK, &granted["cedar"]), "{gone}");
    assert_eq!(refused().await, 1, "refused again with the answer");
    assert!(std::fs::read_to_string(&file).expect("readable").ends_with(mine));
    let (_, audit) = daemon.get("/v1/audit").await;
    let line = &audit["audit"][0];
    assert_eq!((&line["what"], &line["subject"]), (&json!("revoke"), &json!("restart-unhealthy")), "{line}");
    assert_eq!(line["details"]["cedar"], granted["cedar"], "what it was can be read of it");
}

/// Fields by their place would stop everything for a reason that nobody gave.
#[tokio::test]
async fn a_list_is_no_object() {
    let daemon = daemon().await;
    for (path, body) in [("/v1/stop", json!(["a reason"])), ("/v1/pauses", json!([{"target": "web"}, "30m", "x"]))] {
        let (status, answer) = daemon.act("POST", path, Some(body)).await;
        assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"), "{path}: {answer}");
    }
    let (_, stopped) = daemon.get("/v1/pauses").await;
    assert_eq!(stopped["pauses"], json!([]), "{stopped}");
}

#[tokio::test]
async fn a_run_by_hand_needs_a_stage_that_acts_and_parameters_that_fit() {
    let daemon = daemon().await;
    let path = "/v1/runbooks/restart-unhealthy/runs";
    let (status, answer) = daemon.act("POST", path, Some(json!({"target": "shop-web-1"}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "SB0508"));
    assert!(answer["error"]["fix"].as_str().is_some_and(|fix| fix.starts_with("sandbook promote restart-unhealthy")));
    let stage = json!({"stage": "live", "reason": "tested"});
    let (status, set) = daemon.act("PUT", "/v1/runbooks/restart-unhealthy/stage", Some(stage)).await;
    assert_eq!((status, &set["stage"], &set["why"]), (StatusCode::OK, &json!("live"), &Value::Null), "{set}");
    let (status, answer) = daemon.act("POST", path, Some(json!({"parameters": {"colour": "red"}}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"));
    let (status, answer) = daemon.act("POST", path, Some(json!({}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"), "nothing is named: {answer}");
    let (status, answer) = daemon.act("POST", path, Some(json!({"target": {"kind": "container"}}))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let target = json!({"host": "local", "kind": "container", "name": "no-such-container"});
    let (status, started) = daemon.act("POST", path, Some(json!({"target": target}))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    let id = started["run"].as_str().expect("an id").to_owned();
    for _ in 0..500 {
        if daemon.app.store.run(&id).await.expect("read").is_some_and(|row| row.state.is_final()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (_, run) = daemon.get(&format!("/v1/runs/{id}")).await;
    assert_eq!((&run["trigger"], &run["outcome"]), (&json!("manual"), &json!("no-target")), "{run}");
    let (status, answer) = daemon.act("POST", &format!("/v1/runs/{id}/cancel"), None).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "SB0113"));
}

#[tokio::test]
async fn a_change_that_nobody_could_look_up_is_settled_as_a_person_says() {
    let daemon = daemon().await;
    for (id, settled) in [("r_1", "done"), ("r_2", "not-done")] {
        let store = &daemon.app.store;
        store.create_run(new_run(id)).await.expect("stored");
        let resolved = sandbook_core::target::Resolved {
            target: web(),
            subject: "local/shop-web-1".into(),
            facts: None,
            before: None,
        };
        let intended = Record::Intended {
            slot: 0,
            request: restart(),
            resolved: Some(Box::new(resolved)),
            attempt: 1,
            policy: Vec::new(),
            horizon_at: 5_000,
            boot_ms: None,
            at: 2_000,
        };
        let patch = RunPatch { state: Some(State::NeedsAttention), ..RunPatch::default() };
        let checkpoint = Checkpoint { records: vec![begun(id), intended], patch, approval: None };
        assert!(store.checkpoint(id, checkpoint).await.expect("stored"));
        let (status, answer) = daemon.act("POST", &format!("/v1/runs/{id}/resume"), Some(json!({"as": settled}))).await;
        assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("queued")), "{answer}");
        let records = store.records_after(id, Some(1)).await.expect("read");
        let Record::Settled { answer, .. } = &records[0].1 else { panic!("{records:?}") };
        match answer {
            Answer::Ok(value) => assert_eq!((settled, &value["changed"]), ("done", &json!(true))),
            Answer::Error(error) => {
                assert_eq!((settled, error.message.contains("admin settled it")), ("not-done", true))
            }
        }
    }
    let (status, answer) = daemon.act("POST", "/v1/runs/r_1/resume", Some(json!({"as": "maybe"}))).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"));
}

#[tokio::test]
async fn a_package_is_uploaded_once_and_in_shadow() {
    let daemon = daemon().await;
    let script = "//! name = \"wave\"\n//! version = \"1.0.0\"\n//! summary = \"Waves.\"\n//! [target]\n//! kind = \"none\"\n\nfn run(input) { done(\"waved\") }\n";
    let upload = |text: &str, stage: &str| {
        let request = Request::post(format!("/v1/runbooks{stage}"))
            .header("authorization", format!("Bearer {}", token("author")));
        request.header("content-type", "text/x-rhai").body(Body::from(text.to_owned())).expect("a request")
    };
    let (status, answer) = daemon.send(upload(script, "")).await;
    assert_eq!(
        (status, &answer["name"], &answer["stage"]),
        (StatusCode::CREATED, &json!("wave"), &json!("shadow")),
        "{answer}"
    );
    assert_eq!(daemon.send(upload(script, "")).await.0, StatusCode::OK);
    let (status, answer) = daemon.send(upload(&script.replace("waved", "waving"), "")).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "SB0108"));
    let (status, answer) = daemon.send(upload(&script.replace("1.0.0", "1.1.0"), "?stage=live")).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"));
    let (status, answer) = daemon.send(upload(&script.replace("summary", "sumary"), "")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let problem = &answer["error"]["details"][0];
    assert!(problem["line"].as_u64().is_some_and(|line| line > 0) && problem["file"].is_string(), "{answer}");
    code(&answer);
}

#[tokio::test]
async fn a_backup_is_a_database() {
    let daemon = daemon().await;
    let response =
        daemon.router.clone().oneshot(request("GET", "/v1/backup", Some("admin"), None)).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    let size: usize = response.headers()["content-length"].to_str().expect("text").parse().expect("a number");
    let bytes = response.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(bytes.len(), size);
    assert!(bytes.starts_with(b"SQLite format 3\0"));
    let left: Vec<_> =
        std::fs::read_dir(daemon.dir.path().join("data")).expect("a directory").filter_map(Result::ok).collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".backup")), "{left:?}");
}
