//! The console over a whole daemon: who sees what, which form does what, how large a page gets, and that what strangers
//! wrote stays text on every page.

use sandbook_core::run::State;

use super::approvals::{MARKUP, waiting};
use super::*;
use crate::auth::access;
use crate::auth::table::PAGES;
use crate::config::Role;
use crate::store::{ApprovalKind, Delivery, Happened, NewMessage, Notice, RunPatch};

/// A form's way, and the call of the API that it becomes.
const FORMS: [(&str, &str, &str); 18] = [
    ("/approvals/{id}", "POST", "/v1/approvals/{id}"),
    ("/runs/{id}/cancel", "POST", "/v1/runs/{id}/cancel"),
    ("/runs/{id}/resume", "POST", "/v1/runs/{id}/resume"),
    ("/runs/{id}/replay", "POST", "/v1/runs/{id}/replay"),
    ("/plans/{id}/apply", "POST", "/v1/plans/{id}/apply"),
    ("/runbooks/{name}/stage", "PUT", "/v1/runbooks/{name}/stage"),
    ("/runbooks/{name}/rollback", "POST", "/v1/runbooks/{name}/rollback"),
    ("/runbooks/{name}/plan", "POST", "/v1/runbooks/{name}/plan"),
    ("/runbooks/{name}/runs", "POST", "/v1/runbooks/{name}/runs"),
    ("/backtests", "POST", "/v1/backtests"),
    ("/grants", "POST", "/v1/grants"),
    ("/grants/remove", "DELETE", "/v1/grants/{id}"),
    ("/notifications/test", "POST", "/v1/notify/{channel}/test"),
    ("/brakes/{id}/rearm", "POST", "/v1/brakes/{id}/rearm"),
    ("/pauses", "POST", "/v1/pauses"),
    ("/pauses/{id}/end", "DELETE", "/v1/pauses/{id}"),
    ("/stop", "POST", "/v1/stop"),
    ("/stop/release", "DELETE", "/v1/stop"),
];
/// What a phone loads for one page.
const PAGE_BYTES_MAX: usize = 256 << 10;

#[test]
fn a_form_needs_the_role_of_the_call_it_becomes() {
    for (page, method, route) in FORMS {
        let (form, call) = (access("POST", page), access(method, route));
        for role in [Role::Sender, Role::Viewer, Role::Author, Role::Operator, Role::Admin] {
            assert_eq!(form.allows(role), call.allows(role), "{page} becomes {method} {route}, as {role:?}");
        }
    }
    let forms = PAGES.iter().filter(|(method, page, _)| *method == "POST" && !matches!(*page, "/login" | "/logout"));
    let mut known: Vec<&str> = FORMS.iter().map(|(page, _, _)| *page).collect();
    let mut there: Vec<&str> = forms.map(|(_, page, _)| *page).collect();
    known.sort_unstable();
    there.sort_unstable();
    assert_eq!(known, there);
}

/// A page's address with something that exists in it.
fn filled(pattern: &str) -> String {
    let id = match pattern.split('/').nth(1) {
        Some("runs") => "r_1",
        Some("approvals") => "a_1",
        _ => "none",
    };
    pattern.replace("{id}", id).replace("{name}", "restart-unhealthy")
}

#[tokio::test]
async fn every_page_takes_the_roles_of_the_table_and_tokens_only_to_look() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Approval, 60_000).await;
    let mut cookies = Vec::new();
    for role in ROLES {
        cookies.push((role, daemon.log_in(role).await));
    }
    for (method, pattern, access) in PAGES.iter().filter(|(_, pattern, _)| !matches!(*pattern, "/login" | "/logout")) {
        let path = filled(pattern);
        let seen = daemon.browse(method, &path, "", &[]).await;
        assert_eq!(seen.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert!(seen.body.contains("name=\"token\"") && !seen.body.contains("csrf"), "{method} {path}");
        assert!(!seen.body.contains("shop-web-1"), "{method} {path} tells something");
        if *pattern == "/live" {
            // It never ends.
            continue;
        }
        let (status, answer) = daemon.send(request(method, &path, Some("admin"), None)).await;
        assert_eq!(status == StatusCode::UNAUTHORIZED, *method == "POST", "{method} {path}: a token only looks");
        assert!(!answer.to_string().contains("name=\\\"csrf\\\""), "{method} {path}: and gets no form");
        for (role, cookie) in &cookies {
            let wanted = access.allows(daemon.app.config.auth.tokens[&format!("the-{role}")].role);
            let seen = daemon.browse(method, &path, cookie, &[]).await;
            let refused = seen.status == StatusCode::FORBIDDEN && seen.body.contains("SB0105");
            assert_eq!(refused, !wanted, "{method} {path} as {role}: {}", seen.body);
            if *method == "POST" && wanted {
                assert_eq!(seen.status, StatusCode::FORBIDDEN, "{method} {path}");
                assert!(
                    seen.body.contains("SB0110"),
                    "{method} {path} as {role} without its form's word: {}",
                    seen.body
                );
            }
        }
    }
    assert!(daemon.app.store.stopped().await.expect("read").is_none(), "none of it counted");
    let seen = daemon.browse("POST", "/login", "", &[("token", "guess"), ("next", "https://evil.example")]).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
    assert!(!seen.headers.contains_key("set-cookie") && !seen.body.contains("evil"), "{}", seen.body);
}

#[tokio::test]
async fn a_viewer_sees_everything_and_no_button() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Approval, 60_000).await;
    let viewer = daemon.log_in("viewer").await;
    let admin = daemon.log_in("admin").await;
    for path in [
        "/",
        "/alerts",
        "/runs",
        "/runs/r_1",
        "/runs/new",
        "/runs/new?runbook=restart-unhealthy",
        "/approvals",
        "/approvals/a_1",
        "/plans",
        "/runbooks",
        "/runbooks/restart-unhealthy",
        "/runbooks/restart-unhealthy/review",
        "/drafts",
        "/backtests",
        "/schedules",
        "/grants",
        "/brakes",
        "/notifications",
        "/targets",
        "/audit",
    ] {
        let seen = daemon.browse("GET", path, &viewer, &[]).await;
        assert_eq!(seen.status, StatusCode::OK, "{path}: {}", seen.body);
        let forms: Vec<&str> = seen
            .body
            .split("method=\"post\" action=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or_default())
            .collect();
        assert_eq!(forms, ["/logout"], "{path}");
        for there in ["<main id=\"main\"", "<nav id=\"nav\" aria-label=", "<h1>", "lang=\"en\"", "class=\"skip\""] {
            assert!(seen.body.contains(there), "{path} has no {there}");
        }
    }
    for (path, form) in [
        ("/approvals/a_1", "/approvals/a_1"),
        ("/runs/r_1", "/runs/r_1/cancel"),
        ("/runbooks/restart-unhealthy", "/runbooks/restart-unhealthy/stage"),
        ("/runs/new?runbook=restart-unhealthy", "/runbooks/restart-unhealthy/plan"),
        ("/runbooks/restart-unhealthy/review", "/runbooks/restart-unhealthy/plan"),
        ("/runbooks/restart-unhealthy/review", "/runbooks/restart-unhealthy/stage"),
        ("/backtests", "/backtests"),
        ("/grants", "/grants"),
        ("/brakes", "/pauses"),
        ("/stop", "/stop"),
    ] {
        let seen = daemon.browse("GET", path, &admin, &[]).await;
        assert!(seen.body.contains(&format!("method=\"post\" action=\"{form}\"")), "{path} has no form {form}");
    }
}

#[tokio::test]
async fn forms_do_what_the_api_does_and_the_audit_names_the_person() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Approval, 60_000).await;
    let operator = daemon.log_in("operator").await;
    let word = daemon.browse("GET", "/", &operator, &[]).await.word();
    let send = async |path: &str, fields: &[(&str, &str)]| {
        let mut all = vec![("csrf", word.as_str())];
        all.extend(fields);
        daemon.browse("POST", path, &operator, &all).await
    };
    let unsure = send("/stop", &[("reason", "fire")]).await;
    assert_eq!(unsure.status, StatusCode::UNPROCESSABLE_ENTITY, "nobody stops everything by one click");
    assert_eq!(send("/stop", &[("reason", "fire <b>"), ("sure", "yes")]).await.status, StatusCode::SEE_OTHER);
    let page = daemon.browse("GET", "/runs", &operator, &[]).await;
    assert!(page.body.contains("Everything is stopped"), "every page says so");
    assert!(daemon.browse("GET", "/brakes", &operator, &[]).await.body.contains("fire &lt;b&gt;"));
    assert_eq!(send("/stop/release", &[]).await.status, StatusCode::FORBIDDEN, "releasing is an admin's");
    daemon.act("DELETE", "/v1/stop", None).await;
    let pause = [("target", "web-*"), ("runbook", ""), ("host", ""), ("for", "30m"), ("reason", "maintenance")];
    assert_eq!(send("/pauses", &pause).await.status, StatusCode::SEE_OTHER);
    let page = daemon.browse("GET", "/brakes", &operator, &[]).await;
    let (_, rest) = page.body.split_once("action=\"/pauses/").expect("a form that ends it");
    let id = rest.split('/').next().expect("an id");
    assert!(page.body.contains("web-*") && page.body.contains("maintenance"), "{}", page.body);
    assert_eq!(send(&format!("/pauses/{id}/end"), &[]).await.status, StatusCode::SEE_OTHER);
    let stage = [("digest", ""), ("stage", "ask"), ("reason", "watched it for a week")];
    assert_eq!(send("/runbooks/restart-unhealthy/stage", &stage).await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        send("/runbooks/restart-unhealthy/stage", &[("stage", "live"), ("reason", "")]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let page = daemon.browse("GET", "/runbooks/restart-unhealthy", &operator, &[]).await;
    assert!(page.body.contains("watched it for a week"), "{}", page.body);
    let planned = send("/runbooks/restart-unhealthy/plan", &[("target", "shop-web-1"), ("to_apply", "yes")]).await;
    assert_eq!(planned.status, StatusCode::SEE_OTHER, "{}", planned.body);
    let plan = planned.headers["location"].to_str().expect("text").to_owned();
    let page = daemon.browse("GET", &plan, &operator, &[]).await;
    assert!(page.body.contains("restart container local/shop-web-1") && page.body.contains("Before"), "{}", page.body);
    assert_eq!(send("/runs/r_1/cancel", &[("reason", "enough")]).await.status, StatusCode::SEE_OTHER);
    let said: Vec<String> =
        daemon.audited().await.into_iter().filter(|(who, _)| who == "operator").map(|(_, what)| what).collect();
    assert_eq!(said, ["cancel", "stage", "unpause", "pause", "stop"]);
}

#[tokio::test]
async fn a_run_is_started_by_hand_with_typed_parameters_by_whoever_may() {
    let daemon = daemon().await;
    let stage = json!({"digest": "", "stage": "ask", "reason": "so that it may be started"});
    assert_eq!(daemon.act("PUT", "/v1/runbooks/restart-unhealthy/stage", Some(stage)).await.0, StatusCode::OK);
    let path = "/runs/new?runbook=restart-unhealthy&target=shop-web-1";
    for (role, plans, starts) in [("viewer", false, false), ("author", true, false), ("operator", true, true)] {
        let cookie = daemon.log_in(role).await;
        let page = daemon.browse("GET", path, &cookie, &[]).await;
        assert_eq!(page.body.contains("Plan it first"), plans, "{role}");
        assert_eq!(page.body.contains("formaction=\"/runbooks/restart-unhealthy/runs\""), starts, "{role}");
        assert_eq!(page.body.contains("name=\"to_apply\""), starts, "{role}");
    }
    let cookie = daemon.log_in("operator").await;
    let page = daemon.browse("GET", path, &cookie, &[]).await;
    assert!(page.body.contains("name=\"parameter.") && page.body.contains("value=\"shop-web-1\""), "{}", page.body);
    let word = page.word();
    let send = async |path: &str, fields: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = [("csrf", word.as_str())].iter().chain(fields).copied().collect();
        daemon.browse("POST", path, &cookie, &all).await
    };
    let start = "/runbooks/restart-unhealthy/runs";
    let wrong = send(start, &[("target", "shop-web-1"), ("parameter.no-such", "1")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("no-such"), "{}", wrong.body);
    let started = send(start, &[("target", "shop-web-1"), ("reason", "it hangs")]).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.body);
    let run = started.headers["location"].to_str().expect("text").replace("/runs/", "/v1/runs/");
    let (_, run) = daemon.get(&run).await;
    assert_eq!((&run["trigger"], &run["runbook"]), (&json!("manual"), &json!("restart-unhealthy")));
}

/// What the form of a grant sends.
fn grant(word: &str) -> [(&str, &str); 5] {
    let (effect, name) = ("docker.restart-container", "shop-*");
    [("csrf", word), ("runbook", "restart-unhealthy"), ("effect", effect), ("container", name), ("ask", "yes")]
}

#[tokio::test]
async fn a_backtest_is_started_and_read_and_a_grant_is_an_admins() {
    let daemon = daemon().await;
    let (author, admin) = (daemon.log_in("author").await, daemon.log_in("admin").await);
    let word = daemon.browse("GET", "/backtests", &author, &[]).await.word();
    let fields = [("csrf", word.as_str()), ("runbook", "restart-unhealthy"), ("since", "7d")];
    let made = daemon.browse("POST", "/backtests", &author, &fields).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.body);
    let page = daemon.browse("GET", made.headers["location"].to_str().expect("text"), &author, &[]).await;
    assert!(page.body.contains("Of 0 alerts, 0 would have started it"), "{}", page.body);
    let list = daemon.browse("GET", "/backtests?runbook=restart-unhealthy", &author, &[]).await;
    assert!(list.body.contains("had nothing to do"), "{}", list.body);
    let fields = [("csrf", word.as_str()), ("runbook", "no-such"), ("since", "7d")];
    assert_eq!(daemon.browse("POST", "/backtests", &author, &fields).await.status, StatusCode::NOT_FOUND);

    let page = daemon.browse("GET", "/grants", &admin, &[]).await;
    let line = "sandbook grant restart-unhealthy docker.restart-container --container NAME";
    assert!(page.body.contains(line) && page.body.contains("No policy permits anything"), "{}", page.body);
    let refused = daemon.browse("POST", "/grants", &author, &grant(&word)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let granted = daemon.browse("POST", "/grants", &admin, &grant(&page.word())).await;
    assert_eq!(granted.status, StatusCode::SEE_OTHER, "{}", granted.body);
    let page = daemon.browse("GET", "/grants", &admin, &[]).await;
    assert!(page.body.contains("may after asking") && !page.body.contains(line), "{}", page.body);

    let operator = daemon.log_in("operator").await;
    let page = daemon.browse("GET", "/grants", &author, &[]).await;
    assert!(!page.body.contains("/grants/remove"), "an author takes nothing away");
    let page = daemon.browse("GET", "/grants?runbook=restart-unhealthy", &operator, &[]).await;
    let id = "restart-unhealthy/docker.restart-container/container=shop-*";
    let word = page.word();
    assert!(page.body.contains(&format!("name=\"id\" value=\"{id}\"")), "{}", page.body);
    let fields = [("csrf", word.as_str()), ("id", id), ("runbook", "restart-unhealthy")];
    let gone = daemon.browse("POST", "/grants/remove", &operator, &fields).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER, "{}", gone.body);
    assert_eq!(gone.headers["location"], "/grants?runbook=restart-unhealthy");
    let page = daemon.browse("GET", "/grants", &operator, &[]).await;
    assert!(page.body.contains(line) && page.body.contains("No policy permits anything"), "{}", page.body);
    let again = daemon.browse("POST", "/grants/remove", &operator, &fields).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", again.body);
    assert_eq!(daemon.audited().await[0], ("operator".to_owned(), "revoke".to_owned()));
}

#[tokio::test]
async fn the_page_of_notifications_says_what_waits_and_why_as_text() {
    let daemon = daemon().await;
    let viewer = daemon.log_in("viewer").await;
    let page = daemon.browse("GET", "/notifications", &viewer, &[]).await;
    assert!(page.body.contains("No channel is configured"), "{}", page.body);
    let store = &daemon.app.store;
    store.put_notice(told()).await.expect("stored");
    let (notice, _) = store.notices(1).await.expect("read").remove(0);
    let message = NewMessage {
        once: "a".to_owned(),
        channel: MARKUP.to_owned(),
        event: Happened::Acted,
        message: json!({}),
        at: daemon.app.now_ms(),
        opens: None,
    };
    store.route_notice(notice, vec![message], daemon.app.now_ms()).await.expect("stored");
    let row = store.waiting_messages(MARKUP, 1).await.expect("read").remove(0);
    let again = Delivery::Again { due: daemon.app.now_ms() + 9_000, why: format!("it says {MARKUP}") };
    store.settle_messages(vec![row.id], again, daemon.app.now_ms()).await.expect("stored");
    let page = daemon.browse("GET", "/notifications", &viewer, &[]).await;
    let (_, main) = page.body.split_once("<main").expect("a page");
    assert!(main.contains("it says ") && main.contains("not configured") && !main.contains(MARKUP), "{main}");
    let (_, status) = daemon.get("/status").await;
    let channel = &status["notify"][MARKUP];
    assert_eq!((&channel["waiting"], &channel["kind"]), (&json!(1), &Value::Null), "{status}");
    assert!(channel["failing_since"].is_string() && channel["last_sent"].is_null(), "{status}");
}

fn told() -> Notice {
    Notice {
        once: "n".to_owned(),
        key: "k".to_owned(),
        event: Happened::Acted,
        severity: Happened::Acted.severity(),
        run: String::new(),
        runbook: String::new(),
        target: String::new(),
        episode: None,
        title: None,
        sentence: "s".to_owned(),
        channel: None,
        over: false,
        at: 1,
    }
}

#[tokio::test]
async fn a_draft_of_a_model_is_read_whole_and_promoted_by_a_person() {
    let daemon = daemon().await;
    let script = "//! name = \"heals\"\n//! version = \"1.0.0\"\n//! summary = \"<b>\"\n//! [target]\n//! kind = \"container\"\n\
                  //! [requests]\n//! effects = [\"docker.restart-container\"]\n\
                  fn run(input) { docker::restart_container(input.target); fixed(\"<i>done</i>\") }\n";
    daemon.app.library.upload_draft(script.as_bytes(), "robot").await.expect("kept");
    let (viewer, operator) = (daemon.log_in("viewer").await, daemon.log_in("operator").await);
    for path in ["/", "/drafts", "/runbooks", "/runbooks/heals", "/runbooks/heals/review"] {
        let page = daemon.browse("GET", path, &viewer, &[]).await;
        assert!(page.body.contains("to be read"), "{path} says that a draft waits");
    }
    let page = daemon.browse("GET", "/runbooks/heals/review", &viewer, &[]).await;
    for said in
        ["written by a model", "changes", "docker.restart-container: restarts", "+fn run(input)", "&lt;i&gt;done"]
    {
        assert!(page.body.contains(said), "the review does not say {said}: {}", page.body);
    }
    assert!(!page.body.contains("<i>") && !page.body.contains("Promote this version"), "{}", page.body);
    let page = daemon.browse("GET", "/runbooks/heals/review", &operator, &[]).await;
    let (_, rest) = page.body.split_once("name=\"digest\" value=\"").expect("the form names its version");
    let (digest, word) = (rest.split('"').next().expect("a digest"), page.word());
    let fields = [("csrf", word.as_str()), ("digest", digest), ("stage", "shadow"), ("reason", "read every line")];
    assert_eq!(daemon.browse("POST", "/runbooks/heals/stage", &operator, &fields).await.status, StatusCode::SEE_OTHER);
    let (_, runbook) = daemon.get("/v1/runbooks/heals").await;
    assert_eq!((&runbook["stage"], &runbook["drafts"]), (&json!("shadow"), &json!(0)));
    assert_eq!(
        daemon.browse("GET", "/runbooks/heals/review?digest=nope", &viewer, &[]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_strangers_wrote_is_text_on_every_page() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Question, 60_000).await;
    let alert = json!({"version": "4", "status": "firing", "receiver": "x", "groupKey": "g", "alerts": [{
        "status": "firing", "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        "labels": {"alertname": MARKUP, "severity": MARKUP, "container": MARKUP, MARKUP: MARKUP},
        "annotations": {"summary": MARKUP, MARKUP: MARKUP},
    }]});
    let (status, receipt) = daemon.send(request("POST", "/webhook/alerts", Some("sender"), Some(alert))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{receipt}");
    let (_, alerts) = daemon.get("/v1/alerts").await;
    let episode = alerts["alerts"][0]["episode"].as_str().expect("an id").to_owned();
    daemon
        .act("POST", "/v1/pauses", Some(json!({"selector": {"target": MARKUP}, "for": "5m", "reason": MARKUP})))
        .await;
    daemon.act("POST", "/v1/stop", Some(json!({"reason": MARKUP}))).await;
    let patch = RunPatch { sentence: Some(MARKUP.to_owned()), error: Some(MARKUP.to_owned()), ..RunPatch::default() };
    daemon.app.store.update_run("r_1", patch).await.expect("stored");
    let cookie = daemon.log_in("admin").await;
    for path in [
        "/",
        "/alerts",
        &format!("/alerts/{episode}"),
        "/runs",
        "/runs/r_1",
        "/approvals?all=true",
        "/approvals/a_1",
        "/brakes",
        "/audit",
    ] {
        let page = daemon.browse("GET", path, &cookie, &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
        let (_, body) = page.body.split_once("</head>").expect("a head");
        assert!(body.contains("&lt;script&gt;"), "{path} shows it");
        for never in ["<script", "<img", "onerror=alert(1)>"] {
            assert!(!body.contains(never), "{path} has {never}");
        }
        let policy = page.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(
            (&page.headers["x-frame-options"], &page.headers["x-content-type-options"]),
            (&"DENY".parse().expect("a header"), &"nosniff".parse().expect("a header"))
        );
    }
}

#[tokio::test]
async fn ten_thousand_runs_are_read_page_by_page() {
    const RUNS: usize = 10_000;
    let daemon = daemon().await;
    for number in 0..RUNS {
        daemon.app.store.create_run(new_run(&format!("r_{number:05}"))).await.expect("stored");
    }
    let over = RunPatch { state: Some(State::Succeeded), ..RunPatch::default() };
    daemon.app.store.update_run("r_00000", over).await.expect("stored");
    let cookie = daemon.log_in("viewer").await;
    for path in ["/", "/runs", "/runbooks", "/runbooks/restart-unhealthy", "/approvals"] {
        let page = daemon.browse("GET", path, &cookie, &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.body.len() < PAGE_BYTES_MAX, "{path} has {} bytes", page.body.len());
    }
    let mut path = "/runs?runbook=restart-unhealthy".to_owned();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let page = daemon.browse("GET", &path, &cookie, &[]).await;
        let ids: Vec<&str> =
            page.body.split("href=\"/runs/").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()).collect();
        assert_eq!(ids.len(), 50);
        seen.extend(ids.into_iter().map(str::to_owned));
        let (before, _) = page.body.split_once("\">Older").expect("a way on");
        path = before.rsplit("href=\"").next().expect("a link").replace("&amp;", "&");
    }
    assert_eq!(seen.len(), 150, "every page has others");
}

#[tokio::test]
async fn a_thousand_alerts_are_told_by_what_they_have_in_common() {
    let daemon = daemon().await;
    let cookie = daemon.log_in("viewer").await;
    let page = daemon.browse("GET", "/", &cookie, &[]).await;
    assert!(page.body.contains("No alert is firing, nothing waits for you"), "{}", page.body);
    let fire = async |name: &str, numbers: std::ops::Range<usize>| {
        let one = |number: usize| json!({"labels": {"alertname": name, "container": format!("c-{number}")}});
        let alerts: Vec<Value> = numbers.map(one).collect();
        assert_eq!(daemon.act("POST", "/webhook/alerts", Some(Value::from(alerts))).await.0, StatusCode::ACCEPTED);
    };
    fire("OddOne", 0..1).await;
    let page = daemon.browse("GET", "/", &cookie, &[]).await;
    assert!(page.body.contains("1 alert is firing") && page.body.contains("no runbook matched"), "{}", page.body);
    for hundred in 0..10 {
        fire("OddMany", hundred * 100..(hundred + 1) * 100).await;
    }
    let page = daemon.browse("GET", "/", &cookie, &[]).await;
    assert!(page.body.contains("200+ alerts are firing"), "{}", page.body);
    assert!(page.body.contains(">200<") && page.body.contains("OddMany"), "{}", page.body);
    assert!(
        page.body.matches("/alerts/").count() < 40 && page.body.len() < PAGE_BYTES_MAX,
        "{} bytes",
        page.body.len()
    );
}
