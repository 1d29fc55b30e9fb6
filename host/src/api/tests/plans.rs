//! Plans over the whole daemon: what they say, that they change nothing, and what holds an apply back.

use super::*;
use crate::store::{AttemptFilter, PlanRow};

const WEB: &str = "shop-web-1";
/// Restarts, unless its memory says that stopping is better by now.
const CHANGES_ITS_MIND: &str = r#"//! name = "changes-its-mind"
//! version = "1.0.0"
//! summary = "Restarts, or stops."
//! [target]
//! kind = "container"
//! [parameters.note]
//! type = "flag"
//! default = false
//! [requests]
//! effects = ["docker.restart-container", "docker.stop-container"]
fn run(input) {
    if input.parameters.note { state::put("stop", "yes"); return done("noted"); }
    if state::get("stop") == () { docker::restart_container(input.target); } else { docker::stop_container(input.target); }
    done("did it")
}
"#;
/// Asks the network whether the restart helped.
const PROBES: &str = r#"//! name = "probes"
//! version = "1.0.0"
//! summary = "Restarts and probes."
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.restart-container", "net.http-probe"]
fn run(input) {
    docker::restart_container(input.target);
    if net::http_probe("http://web:8080/").ok { return fixed("it answers"); }
    escalate("it does not answer")
}
"#;

/// The plan that the command line's own test shows.
fn golden(plan: &Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/golden.json");
    let text = format!("{plan:#}\n");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).expect("written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "src/plan/golden.json is not what a plan says; run UPDATE=1 cargo test -p sandbook --lib plans\n{text}"
    );
}

async fn plan(daemon: &Daemon, runbook: &str, body: Value) -> Value {
    let path = format!("/v1/runbooks/{runbook}/plan");
    let (status, plan) = daemon.send(request("POST", &path, Some("author"), Some(body))).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    plan
}

async fn apply(daemon: &Daemon, plan: &Value) -> (StatusCode, Value) {
    let path = format!("/v1/plans/{}/apply", plan["plan"].as_str().expect("an id"));
    daemon.send(request("POST", &path, Some("operator"), None)).await
}

async fn run_of(daemon: &Daemon, answer: (StatusCode, Value), states: &[&str]) -> Value {
    assert_eq!(answer.0, StatusCode::ACCEPTED, "{}", answer.1);
    let path = format!("/v1/runs/{}", answer.1["run"].as_str().expect("an id"));
    for _ in 0..1_000 {
        let (_, run) = daemon.get(&path).await;
        if run["state"].as_str().is_some_and(|state| states.contains(&state)) {
            return run;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not {states:?}: {}", daemon.get(&path).await.1);
}

async fn upload(daemon: &Daemon, script: &str) {
    let request = Request::post("/v1/runbooks").header("authorization", format!("Bearer {}", token("author")));
    let request = request.header("content-type", "text/x-rhai").body(Body::from(script.to_owned()));
    let (status, answer) = daemon.send(request.expect("a request")).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

async fn grant(daemon: &Daemon, runbook: &str, effect: &str) {
    let grant = json!({"runbook": runbook, "effect": effect, "container": "shop-*"});
    assert_eq!(daemon.act("POST", "/v1/grants", Some(grant)).await.0, StatusCode::CREATED);
}

async fn state_of(daemon: &Daemon, name: &str) -> Value {
    let target = Target { name: name.to_owned(), ..web() };
    let details = daemon.app.runner.parts().driver.details(&target).await.expect("it is there");
    serde_json::to_value(details.state).expect("data")
}

fn changes(plan: &Value) -> Vec<&Value> {
    plan["effects"].as_array().expect("effects").iter().filter(|effect| effect["class"] == "mutate").collect()
}

/// Without what differs from one time to the next.
fn told(mut plan: Value) -> Value {
    for key in ["plan", "at", "expires_at", "digest"] {
        plan[key] = json!(format!("<{key}>"));
    }
    plan
}

#[tokio::test]
async fn a_plan_says_everything_and_changes_nothing() {
    let daemon = daemon().await;
    let (before, now) = (state_of(&daemon, WEB).await, daemon.app.now_ms());
    let refused = plan(&daemon, "restart-unhealthy", json!({"target": WEB})).await;
    assert_eq!((&refused["summary"]["refused"], &refused["outcome"]), (&json!(1), &json!("refused")), "{refused}");
    let error = changes(&refused)[0]["error"].as_str().expect("a reason").to_owned();
    assert!(error.contains("sandbook grant restart-unhealthy docker.restart-container"), "{error}");

    grant(&daemon, "restart-unhealthy", "docker.restart-container").await;
    let alert = json!({"labels": {"alertname": "ContainerUnhealthy", "name": WEB}});
    let planned = plan(&daemon, "restart-un", json!({"alert": alert})).await;
    let change = changes(&planned)[0];
    assert_eq!((&change["decision"], &change["certainty"]), (&json!("allow"), &json!("modelled")));
    assert_eq!((&change["before"]["health"], &change["after"]["health"]), (&json!("unhealthy"), &json!("starting")));
    assert!(change["policy"][0].as_str().is_some_and(|policy| !policy.is_empty()), "{change}");
    assert_eq!((&planned["outcome"], &planned["complete"]), (&json!("fixed"), &json!(true)), "{planned}");
    assert_eq!((&planned["stage"], &planned["alert"]), (&json!("shadow"), &json!("ContainerUnhealthy")));

    assert_eq!((state_of(&daemon, WEB).await, daemon.app.now_ms()), (before, now), "nothing was touched");
    assert!(daemon.app.store.attempts(AttemptFilter::default()).await.expect("read").is_empty(), "nothing counted");
    let (_, runs) = daemon.get("/v1/runs").await;
    assert_eq!(runs["runs"], json!([]), "a plan is no run");
    let id = planned["plan"].as_str().expect("an id");
    assert_eq!(daemon.get(&format!("/v1/plans/{}", &id[..id.len() - 2])).await.1, planned);
    let (_, plans) = daemon.get("/v1/plans?limit=1").await;
    assert_eq!((&plans["plans"][0]["plan"], plans["next_cursor"].is_string()), (&json!(id), true), "{plans}");
    golden(&told(planned));
}

#[tokio::test]
async fn applying_does_what_was_planned_once_and_is_audited() {
    let daemon = daemon().await;
    // Neither a grant nor a stage: whoever applies it answers for it.
    let planned = plan(&daemon, "restart-unhealthy", json!({"target": WEB, "to_apply": true})).await;
    assert_eq!(planned["summary"]["changes"], 1, "{planned}");
    let run = run_of(&daemon, apply(&daemon, &planned).await, &["succeeded"]).await;
    assert_eq!((&run["trigger"], &run["outcome"], &run["stage"]), (&json!("apply"), &json!("fixed"), &json!("shadow")));
    assert_eq!(state_of(&daemon, WEB).await["health"], "healthy");
    let id = run["run"].as_str().expect("an id");
    let (_, journal) = daemon.get(&format!("/v1/runs/{id}/journal")).await;
    let records = journal["records"].as_array().expect("records").clone();
    let bound = &records[0]["header"]["bound"];
    assert_eq!((&bound["plan"], &bound["by"]), (&planned["plan"], &json!("operator")));
    let intents: Vec<&Value> = records.iter().filter(|record| record["kind"] == "intended").collect();
    assert_eq!(intents.len(), 1);
    assert!(intents[0]["policy"].to_string().contains("applied by operator"), "{}", intents[0]);
    assert!(daemon.audited().await.contains(&("operator".to_owned(), "apply".to_owned())));

    let (status, again) = apply(&daemon, &planned).await;
    assert_eq!((status, code(&again)), (StatusCode::CONFLICT, "SB0521"));
    assert!(again["error"]["message"].as_str().is_some_and(|message| message.contains(id)), "{again}");
    let (_, shown) = daemon.get(&format!("/v1/plans/{}", planned["plan"].as_str().expect("an id"))).await;
    assert_eq!(shown["applied"], run["run"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_apply_at_once_start_one_run() {
    let daemon = daemon().await;
    let planned = plan(&daemon, "restart-unhealthy", json!({"target": WEB, "to_apply": true})).await;
    let answers = futures::future::join_all((0..8).map(|_| apply(&daemon, &planned))).await;
    let started = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    assert_eq!(started, 1, "{answers:?}");
    for (_, answer) in answers.iter().filter(|(status, _)| *status != StatusCode::ACCEPTED) {
        // Whoever looks late may find the world changed by the one that was first.
        assert!(matches!(code(answer), "SB0521" | "SB0522"), "{answer}");
    }
    let (_, runs) = daemon.get("/v1/runs").await;
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_old_plan_and_another_world_are_refused_and_say_why() {
    let daemon = daemon().await;
    let (first, second) = (
        plan(&daemon, "restart-unhealthy", json!({"target": WEB, "to_apply": true})).await,
        plan(&daemon, "restart-unhealthy", json!({"target": WEB, "to_apply": true})).await,
    );
    run_of(&daemon, apply(&daemon, &first).await, &["succeeded"]).await;
    let (status, changed) = apply(&daemon, &second).await;
    assert_eq!((status, code(&changed)), (StatusCode::CONFLICT, "SB0522"));
    let message = changed["error"]["message"].as_str().expect("a text");
    assert!(message.contains("local/shop-web-1") && message.contains("health was unhealthy, now healthy"), "{message}");

    let id = second["plan"].as_str().expect("an id");
    let row = daemon.app.store.plan(id).await.expect("read").expect("there");
    let old = PlanRow { id: "p_old".to_owned(), expires_at: row.at, ..row };
    daemon.app.store.put_plan(old).await.expect("stored");
    let (status, expired) = apply(&daemon, &json!({"plan": "p_old"})).await;
    assert_eq!((status, code(&expired)), (StatusCode::CONFLICT, "SB0520"));
    let (status, unknown) = apply(&daemon, &json!({"plan": "p_nothing"})).await;
    assert_eq!((status, code(&unknown)), (StatusCode::NOT_FOUND, "SB0107"));
}

#[tokio::test]
async fn a_run_that_comes_to_something_else_asks_and_shows_both() {
    let daemon = daemon().await;
    upload(&daemon, CHANGES_ITS_MIND).await;
    let stage = json!({"stage": "live", "reason": "tested"});
    daemon.act("PUT", "/v1/runbooks/changes-its-mind/stage", Some(stage)).await;
    for effect in ["docker.restart-container", "docker.stop-container"] {
        grant(&daemon, "changes-its-mind", effect).await;
    }
    let planned = plan(&daemon, "changes-its-mind", json!({"target": WEB})).await;
    let other = plan(&daemon, "changes-its-mind", json!({"target": WEB})).await;
    assert_eq!(changes(&planned)[0]["effect"], "docker.restart-container");
    let note = json!({"target": WEB, "parameters": {"note": true}});
    let noted = daemon.act("POST", "/v1/runbooks/changes-its-mind/runs", Some(note)).await;
    run_of(&daemon, noted, &["succeeded"]).await;

    let waiting = run_of(&daemon, apply(&daemon, &planned).await, &["waiting"]).await;
    let (_, open) = daemon.get("/v1/approvals").await;
    let reason = open["approvals"][0]["reason"].as_str().expect("a reason");
    let (says, now) = reason.split_once(", but now it is ").expect("both");
    assert!(says.contains("docker.restart-container on local/shop-web-1"), "{reason}");
    assert!(now.contains("docker.stop-container on local/shop-web-1"), "{reason}");
    assert_eq!(state_of(&daemon, WEB).await["status"], "running", "nothing is done before somebody says so");
    let id = open["approvals"][0]["id"].as_str().expect("an id");
    let yes = json!({"decision": "approve", "reason": "stopping is right"});
    let (status, answer) = daemon.act("POST", &format!("/v1/approvals/{id}"), Some(yes)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let run = run_of(&daemon, (StatusCode::ACCEPTED, waiting), &["succeeded"]).await;
    assert_eq!(run["outcome"], "done", "{run}");
    assert_eq!(state_of(&daemon, WEB).await["status"], "exited");

    let (status, changed) = apply(&daemon, &other).await;
    assert_eq!((status, code(&changed)), (StatusCode::CONFLICT, "SB0522"));
}

#[tokio::test]
async fn whoever_applies_does_not_override_a_stop_or_a_forbid() {
    let daemon = daemon().await;
    let planned = plan(&daemon, "restart-unhealthy", json!({"target": WEB, "to_apply": true})).await;
    daemon.act("POST", "/v1/stop", Some(json!({"reason": "fire"}))).await;
    let run = run_of(&daemon, apply(&daemon, &planned).await, &["succeeded", "failed"]).await;
    assert_eq!(run["outcome"], "limited", "{run}");
    daemon.act("DELETE", "/v1/stop", None).await;

    let planned = plan(&daemon, "restart-unhealthy", json!({"target": WEB, "to_apply": true})).await;
    let folder = daemon.app.grants_dir();
    std::fs::create_dir_all(&folder).expect("made");
    let forbid = "@id(\"hands-off\") forbid (principal, action in Action::\"mutate\", resource);\n";
    std::fs::write(folder.join("forbid.cedar"), forbid).expect("written");
    daemon.app.reload_policy().expect("valid");
    let run = run_of(&daemon, apply(&daemon, &planned).await, &["succeeded", "failed"]).await;
    assert_eq!(run["outcome"], "refused", "{run}");
    assert_eq!(state_of(&daemon, WEB).await["health"], "unhealthy");
    let planned = plan(&daemon, "restart-unhealthy", json!({"target": WEB, "to_apply": true})).await;
    assert_eq!(planned["summary"]["refused"], 1, "{planned}");
}

#[tokio::test]
async fn a_package_that_is_not_stored_is_planned_and_applied_once_it_is() {
    use base64::Engine as _;
    let daemon = daemon().await;
    let script = PROBES.replace("name = \"probes\"", "name = \"unseen\"");
    let upload_of = crate::library::Upload::Bytes { bytes: script.as_bytes(), content_type: Some("text/x-rhai") };
    let (package, _) = crate::library::Package::read(upload_of).expect("sound");
    let bytes = base64::engine::general_purpose::STANDARD.encode(package.to_tar());
    let body = json!({"package": bytes, "target": WEB, "to_apply": true});
    let (status, planned) = daemon.send(request("POST", "/v1/plans", Some("author"), Some(body))).await;
    assert_eq!((status, &planned["stage"]), (StatusCode::OK, &json!("draft")), "{planned}");
    assert_eq!(planned["summary"]["changes"], 1, "{planned}");
    let (status, _) = daemon.get("/v1/runbooks/unseen").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "nothing is kept of it");
    let (status, gone) = apply(&daemon, &planned).await;
    assert_eq!((status, code(&gone)), (StatusCode::CONFLICT, "SB0523"));
    upload(&daemon, &script).await;
    let run = run_of(&daemon, apply(&daemon, &planned).await, &["succeeded", "failed"]).await;
    assert_eq!(run["digest"], planned["digest"], "{run}");
    let broken = base64::engine::general_purpose::STANDARD.encode("no tar");
    let (status, answer) = daemon.act("POST", "/v1/plans", Some(json!({"package": broken}))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    code(&answer);
}

#[tokio::test]
async fn a_scenario_is_named_where_the_package_brought_it_or_sent_as_text() {
    use base64::Engine as _;
    let daemon = daemon().await;
    let folder = std::path::Path::new("../runbooks/restart-unhealthy");
    let (package, _) = crate::library::Package::read(crate::library::Upload::Path(folder)).expect("sound");
    let bytes = base64::engine::general_purpose::STANDARD.encode(package.to_tar());
    let planned = async |scenario: &str| {
        daemon.act("POST", "/v1/plans", Some(json!({"package": bytes, "scenario": scenario}))).await
    };
    let text = std::fs::read_to_string(folder.join("scenarios/heals.toml")).expect("readable");
    let (status, by_name) = planned("heals").await;
    assert_eq!((status, &by_name["outcome"]), (StatusCode::OK, &json!("fixed")), "{by_name}");
    assert_eq!(planned("scenarios/heals.toml").await.1, by_name);
    assert_eq!((planned("heals.toml").await.1, planned(&text).await.1), (by_name.clone(), by_name));
    let (status, answer) = planned("heels").await;
    assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"), "{answer}");
    assert_eq!(answer["error"]["message"], "`restart-unhealthy` has no scenario `heels`");
    assert!(answer["error"]["fix"].as_str().is_some_and(|fix| fix.contains("heals, ")), "{answer}");
    assert_eq!(state_of(&daemon, WEB).await["health"], "unhealthy", "nothing is done to the world");
}

#[tokio::test]
async fn what_nobody_can_know_is_assumed_and_the_other_branch_can_be_seen() {
    let daemon = daemon_with("[egress]\nhosts = [\"web:8080\"]").await;
    upload(&daemon, PROBES).await;
    grant(&daemon, "probes", "docker.restart-container").await;
    let planned = plan(&daemon, "probes", json!({"target": WEB})).await;
    let probe = &planned["effects"][1];
    assert_eq!((&probe["effect"], &probe["certainty"]), (&json!("net.http-probe"), &json!("assumed")), "{planned}");
    assert_eq!((&planned["complete"], &planned["outcome"]), (&json!(false), &json!("fixed")));
    assert_eq!(planned["summary"]["assumed"], 1);
    let fails = json!({"ok": false, "status": 503, "duration_ms": 0, "reason": "assumed"});
    let body = json!({"target": WEB, "assume": [{"effect": "net.http-probe", "result": fails}]});
    assert_eq!(plan(&daemon, "probes", body).await["outcome"], "escalate");
    let timeout = json!({"error": {"kind": "timeout", "message": "no answer"}});
    let body = json!({"target": WEB, "assume": [{"effect": "net.http-probe", "result": timeout}]});
    let planned = plan(&daemon, "probes", body).await;
    assert_eq!((&planned["outcome"], &planned["effects"][1]["certainty"]), (&json!("failed"), &json!("assumed")));
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_with_what_to_do() {
    let daemon = daemon().await;
    for (body, said) in [
        (json!({}), "none is named"),
        (json!({"scenario": "x"}), "scenario"),
        (json!({"target": 5}), "names nothing"),
        (json!({"target": WEB, "parameters": {"colour": "red"}}), "colour"),
        (json!({"target": WEB, "assume": [{"effect": "net.http-prob", "result": {}}]}), "net.http-prob"),
        (json!({"target": WEB, "assume": [{"effect": "net.http-probe", "result": {"well": 1}}]}), "cannot answer"),
        (json!({"target": WEB, "assume": [{"effect": "clock.sleep", "result": null}]}), "never in doubt"),
        (json!({"target": WEB, "assume": [{"effect": "docker.stop-container", "result": null}]}), "follows from"),
        (json!({"alert": {"labels": {"a": "b"}}, "episode": "e"}), "either"),
    ] {
        let (status, answer) = daemon.act("POST", "/v1/runbooks/restart-unhealthy/plan", Some(body.clone())).await;
        assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"), "{body}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| message.contains(said)), "{answer}");
    }
    let nobody = plan(&daemon, "restart-unhealthy", json!({"target": "nobody"})).await;
    assert_eq!(nobody["outcome"], "no-target", "{nobody}");
    let elsewhere = plan(&daemon, "restart-unhealthy", json!({"target": WEB, "host": "mars"})).await;
    assert_eq!(elsewhere["outcome"], "ambiguous-target", "{elsewhere}");
    let (status, _) = daemon.act("POST", "/v1/runbooks/restart-unhealthy/plan", Some(json!({"episode": "e_0"}))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_plans_at_once_are_equal_and_disturb_nothing() {
    let daemon = Arc::new(daemon().await);
    grant(&daemon, "restart-unhealthy", "docker.restart-container").await;
    let before = state_of(&daemon, WEB).await;
    let make = |_| {
        let daemon = daemon.clone();
        tokio::spawn(async move { told(plan(&daemon, "restart-unhealthy", json!({"target": WEB})).await) })
    };
    let plans = futures::future::join_all((0..100).map(make)).await;
    let plans: Vec<Value> = plans.into_iter().map(|plan| plan.expect("no panic")).collect();
    assert_eq!(plans[0]["summary"]["changes"], 1, "{}", plans[0]);
    assert!(plans.iter().all(|plan| *plan == plans[0]), "all alike");
    assert_eq!(state_of(&daemon, WEB).await, before);
}

#[tokio::test]
async fn a_version_in_shadow_is_compared_with_the_one_that_acts() {
    let daemon = daemon().await;
    let script = |version: &str, line: &str| {
        CHANGES_ITS_MIND
            .replace("changes-its-mind", "compared")
            .replace("version = \"1.0.0\"", &format!("version = \"{version}\""))
            .replace("//! [target]", "//! [[trigger]]\n//! alert = [\"Ill\"]\n//! [target]")
            .replace(
                "if input.parameters.note {",
                &format!("{line} return done(\"x\");\n    if input.parameters.note {{"),
            )
    };
    upload(&daemon, &script("1.0.0", "docker::restart_container(input.target);")).await;
    let stage = json!({"stage": "live", "reason": "tested"});
    daemon.act("PUT", "/v1/runbooks/compared/stage", Some(stage)).await;
    upload(&daemon, &script("1.1.0", "docker::stop_container(input.target);")).await;
    for effect in ["docker.restart-container", "docker.stop-container"] {
        grant(&daemon, "compared", effect).await;
    }
    let alert = json!([{"labels": {"alertname": "Ill", "name": WEB}, "startsAt": "2026-01-01T00:00:00Z"}]);
    let (_, receipt) = daemon.send(request("POST", "/webhook/alerts", Some("sender"), Some(alert))).await;
    let runs = receipt["runs"].as_array().expect("runs").clone();
    let ours: Vec<Value> = runs.into_iter().filter(|run| run["runbook"] == "compared").collect();
    assert_eq!(ours.len(), 2, "{receipt}");
    let mut shadows = 0;
    for run in ours {
        let run = run_of(&daemon, (StatusCode::ACCEPTED, run), &["succeeded"]).await;
        if run["mode"] == "shadow" {
            shadows += 1;
            let said = run["sentence"].as_str().expect("a sentence");
            assert!(said.starts_with("in shadow: it would stop container local/shop-web-1"), "{said}");
            assert!(said.contains("nothing was done"), "{said}");
        }
    }
    assert_eq!(shadows, 1);
    assert_eq!(state_of(&daemon, WEB).await["status"], "running", "the version in shadow stopped nothing");
    let (status, compared) = daemon.get("/v1/runbooks/compared/shadow").await;
    assert_eq!(status, StatusCode::OK, "{compared}");
    let one = &compared["episodes"][0];
    assert_eq!((&one["same"], compared["episodes"].as_array().map(Vec::len)), (&json!(false), Some(1)), "{compared}");
    assert!(one["acted"]["changes"][0].as_str().is_some_and(|said| said.starts_with("docker.restart-container on")));
    assert!(one["shadow"]["changes"][0].as_str().is_some_and(|said| said.starts_with("docker.stop-container on")));
}
