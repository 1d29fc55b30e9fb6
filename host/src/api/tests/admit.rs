//! Who is let through, and what is refused before anything happens.

use std::time::Duration;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use sandbook_core::duration::DurationMs;
use tower_http::catch_panic::CatchPanicLayer;

use super::*;
use crate::api::guard;
use crate::auth::Access;
use crate::auth::table::{PAGES, TABLE};
use crate::config::Server;
use crate::metrics::Metrics;

#[tokio::test]
async fn every_route_takes_the_roles_of_the_table_and_no_others() {
    let daemon = daemon().await;
    for (method, pattern, access) in TABLE {
        let path = pattern.replace("{id}", "none").replace("{name}", "none");
        let (status, answer) = daemon.send(request(method, &path, None, None)).await;
        if *access == Access::Open {
            assert_eq!(status, StatusCode::OK, "{method} {path}");
            continue;
        }
        assert_eq!((status, code(&answer)), (StatusCode::UNAUTHORIZED, "SB0104"), "{method} {path}");
        for role in ROLES {
            let wanted = access.allows(daemon.app.config.auth.tokens[&format!("the-{role}")].role);
            let response =
                daemon.router.clone().oneshot(request(method, &path, Some(role), None)).await.expect("infallible");
            assert_eq!(response.status() != StatusCode::FORBIDDEN, wanted, "{method} {path} as {role}");
            assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path} as {role}");
        }
    }
}

/// Methods and paths of every `.route(…)` in a source of the API.
fn routes_in(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices(".route(\"") {
        let rest = &source[at + ".route(\"".len()..];
        let Some((path, rest)) = rest.split_once('"') else { continue };
        // Until the call ends: as many brackets closed as were opened.
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let call = &rest[..end.unwrap_or(rest.len())];
        for method in ["get", "post", "put", "patch", "delete", "any"] {
            let named = call
                .match_indices(&format!("{method}("))
                .any(|(at, _)| !call[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
            if named {
                found.push((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    found
}

#[test]
fn no_route_is_served_that_no_table_names() {
    let mut sources = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api.rs")];
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")];
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir().expect("a folder").flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true if !path.ends_with("tests") => folders.push(path),
                true => {}
                false => sources.push(path),
            }
        }
    }
    let rust = sources.iter().filter(|path| path.extension().is_some_and(|found| found == "rs"));
    let served: Vec<(String, String)> =
        rust.flat_map(|path| routes_in(&std::fs::read_to_string(path).expect("readable"))).collect();
    let named = |method: &str, path: &str| {
        TABLE.iter().chain(PAGES).any(|(known, pattern, _)| (*known, *pattern) == (method, path))
    };
    let forgotten: Vec<_> = served.iter().filter(|(method, path)| !named(method, path)).collect();
    assert!(forgotten.is_empty(), "in neither TABLE nor PAGES: {forgotten:?}");
    // Each page is served, and the reader of sources sees what is there.
    for (method, path, _) in PAGES {
        assert!(served.contains(&((*method).to_owned(), (*path).to_owned())), "{method} {path}");
    }
    let sample = r#".route("/a/{id}", get(page::show).post(page::decide)).route("/b", any(x))"#;
    let sample: Vec<String> = routes_in(sample).into_iter().map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(sample, ["GET /a/{id}", "POST /a/{id}", "ANY /b"]);
}

#[tokio::test]
async fn the_table_and_the_document_have_the_same_routes() {
    let document = serde_json::to_value(crate::api::openapi()).expect("a document");
    let mut documented: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        documented
            .extend(item.as_object().expect("methods").keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    documented.push(("GET".to_owned(), "/openapi.json".to_owned()));
    documented.push(("POST".to_owned(), "/mcp".to_owned()));
    let mut table: Vec<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    documented.sort();
    table.sort();
    assert_eq!(documented, table);
}

#[tokio::test]
async fn without_a_token_nothing_is_told_not_even_what_exists() {
    let daemon = daemon().await;
    for path in ["/v1/nothing", "/v1/runs", "/ready"] {
        let (status, answer) = daemon.send(request("GET", path, None, None)).await;
        assert_eq!((status, code(&answer)), (StatusCode::UNAUTHORIZED, "SB0104"), "{path}");
    }
    let wrong = Request::get("/status").header("authorization", "Bearer guess").body(Body::empty()).expect("a request");
    let response = daemon.router.clone().oneshot(wrong).await.expect("infallible");
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"sandbook\"");
    let (status, answer) = daemon.get("/v1/nothing").await;
    assert_eq!((status, code(&answer)), (StatusCode::NOT_FOUND, "SB0107"));
    let (status, answer) = daemon.act("PATCH", "/v1/runs", None).await;
    assert_eq!((status, code(&answer)), (StatusCode::METHOD_NOT_ALLOWED, "SB0107"));
}

#[tokio::test]
async fn webhooks_take_a_password_and_nothing_else_does() {
    use base64::Engine as _;
    let daemon = daemon().await;
    let basic = |name: &str| {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("anybody:{}", token(name))))
    };
    let post = Request::post("/webhook/alerts")
        .header("authorization", basic("sender"))
        .body(Body::from("[]"))
        .expect("a request");
    assert_ne!(daemon.send(post).await.0, StatusCode::UNAUTHORIZED);
    let get = Request::get("/status").header("authorization", basic("admin")).body(Body::empty()).expect("a request");
    assert_eq!(daemon.send(get).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn another_sites_page_changes_and_reads_nothing() {
    let daemon = daemon().await;
    let mut foreign = request("GET", "/v1/runs", Some("admin"), None);
    foreign.headers_mut().insert("origin", "http://evil.example".parse().expect("a header"));
    let (status, answer) = daemon.send(foreign).await;
    assert_eq!((status, code(&answer)), (StatusCode::FORBIDDEN, "SB0110"));
    let mut foreign = request("POST", "/v1/stop", Some("admin"), Some(json!({})));
    foreign.headers_mut().insert("origin", "http://evil.example".parse().expect("a header"));
    foreign.headers_mut().insert("host", "127.0.0.1:7070".parse().expect("a header"));
    let (status, answer) = daemon.send(foreign).await;
    assert_eq!((status, code(&answer)), (StatusCode::FORBIDDEN, "SB0110"));
    assert_eq!(daemon.app.store.stopped().await, Ok(None));
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_each_refused_in_their_own_way() {
    let daemon = daemon().await;
    let body = |path: &str, kind: &str, body: Body| {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", token("admin")))
            .header("content-type", kind);
        request.body(body).expect("a request")
    };
    for (path, kind, text, want) in [
        ("/webhook/alerts", "application/json", "{\"alerts\":", (400, "SB0101")),
        ("/webhook/alerts", "application/json", "{\"hello\": 1}", (400, "SB0102")),
        ("/webhook/alerts", "application/x-www-form-urlencoded", "a=b", (415, "SB0109")),
        ("/v1/match", "text/plain", "{}", (415, "SB0109")),
        ("/v1/match", "application/json", "{\"labels\":{\"a\":1}}", (422, "SB0112")),
        ("/v1/match", "application/json", "{\"labels\"\n:x}", (400, "SB0101")),
        ("/v1/match", "application/json", "{}", (422, "SB0112")),
        ("/v1/runbooks", "application/zip", "PK", (415, "SB0109")),
        ("/v1/runbooks?stage=loud", "application/x-tar", "", (400, "SB0112")),
    ] {
        let (status, answer) = daemon.send(body(path, kind, Body::from(text))).await;
        assert_eq!((status.as_u16(), code(&answer)), want, "{path} {text}: {answer}");
    }
    let (_, answer) = daemon.send(body("/v1/match", "application/json", Body::from("{\"labels\"\n:x}"))).await;
    assert!(answer["error"]["message"].as_str().is_some_and(|message| message.contains("line 2 column 2")), "{answer}");
    let refused = daemon.app.metrics.webhook_refused.clone();
    for reason in ["unreadable", "content-type"] {
        assert!(refused.with_label_values(&[reason]).get() > 0, "{reason}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read() {
    let daemon = daemon().await;
    for (path, announced) in [("/v1/runbooks", 200u64 << 20), ("/webhook/alerts", 17 << 20), ("/v1/pauses", 2 << 20)] {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", token("admin")))
            .header("content-length", announced)
            .header("expect", "100-continue")
            .body(Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>()))
            .expect("a request");
        let (status, answer) = daemon.send(request).await;
        assert_eq!((status, code(&answer)), (StatusCode::PAYLOAD_TOO_LARGE, "SB0103"), "{path}");
    }
    assert_eq!(daemon.app.metrics.webhook_refused.with_label_values(&["too-large"]).get(), 1);
    let (_, status) = daemon.get("/status").await;
    assert_eq!((&status["refused"][0]["reason"], &status["refused"][0]["count"]), (&json!("too-large"), &json!(1)));
}

/// A channel of `[notify] self` that nobody listens at; the outbox does not run here.
const SELF: &str = r#"
[notify]
self = "ops"
[notify.channels.ops]
kind = "webhook"
url = "http://127.0.0.1:9/hook"
"#;

#[tokio::test]
async fn what_is_refused_for_good_is_visible_and_told_once_unless_a_stranger_sent_it() {
    let daemon = daemon_with(SELF).await;
    let follow = tokio::spawn(crate::about_us::follow(daemon.app.clone()));
    let post = |role: Option<&str>, path: &str, kind: &str| {
        let mut request = Request::post(path).header("content-type", kind);
        if let Some(role) = role {
            request = request.header("authorization", format!("Bearer {}", token(role)));
        }
        request.body(Body::from("{\"hello\": 1}")).expect("a request")
    };
    let (sender, json, text) = (Some("sender"), "application/json", "text/plain");
    for (role, path, kind, want) in [
        (sender, "/webhook/alerts", text, 415),
        (sender, "/webhook/alerts", text, 415),
        (sender, "/webhook/alerts", json, 400),
        (sender, "/webhook/alert", json, 404),
        (None, "/webhook/alerts", json, 401),
        // A stranger does not learn what is there, and causes nothing else.
        (None, "/webhook/alert", text, 401),
    ] {
        let (status, answer) = daemon.send(post(role, path, kind)).await;
        assert_eq!(status.as_u16(), want, "{path}: {answer}");
    }
    let (status, _) = daemon.send(request("GET", "/webhook/alerts", None, None)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "also with a method that is none");
    let (_, status) = daemon.get("/status").await;
    let counts: Vec<(&str, u64)> = status["refused"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["reason"].as_str().unwrap_or_default(), one["count"].as_u64().unwrap_or_default()))
        .collect();
    assert_eq!(counts, [("not-allowed", 3), ("no-such-path", 1), ("content-type", 2), ("unreadable", 1)]);
    let warnings = status["warnings"].to_string();
    for words in [
        "2 webhook messages were refused since the start, the last at ",
        " as content-type: their alerts are lost",
        "sender-token",
    ] {
        assert!(warnings.contains(words), "{words}: {warnings}");
    }
    let mut keys = Vec::new();
    for _ in 0..200 {
        let notices = daemon.app.store.notices(10).await.expect("read");
        keys = notices.iter().map(|(_, notice)| notice.key.clone()).collect();
        if keys.len() >= 3 {
            assert!(notices.iter().all(|(_, notice)| notice.channel.as_deref() == Some("ops")), "{notices:?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    follow.abort();
    let key = |reason: &str| format!("sandbook-refused-{reason}");
    assert_eq!(keys, [key("content-type"), key("unreadable"), key("no-such-path")], "each once");
}

#[tokio::test]
async fn what_is_rare_has_its_figures_before_it_happens() {
    let daemon = daemon().await;
    let (status, text) = daemon.get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let text = text.as_str().expect("a text");
    for series in [
        r#"sandbook_webhook_refused_total{reason="too-large"}"#,
        r#"sandbook_reload_failures_total{what="policy"}"#,
        r#"sandbook_requests_limited_total{by="streams"}"#,
        r#"sandbook_brake_trips_total{scope="storm"}"#,
        r#"sandbook_verifications_total{result="contradicted",runbook="restart-unhealthy"}"#,
        r#"sandbook_false_positives_total{runbook="restart-unhealthy"}"#,
        r#"sandbook_demotions_total{runbook="restart-unhealthy"}"#,
        r#"sandbook_runs_total{mode="live",outcome="failed",runbook="restart-unhealthy"}"#,
        r#"sandbook_runs_total{mode="live",outcome="cancelled",runbook="restart-unhealthy"}"#,
    ] {
        assert!(text.lines().any(|line| line == format!("{series} 0")), "{series}: {text}");
    }
}

/// Under a clock that goes on only when all wait: a slow machine is no slow handler.
#[tokio::test(start_paused = true)]
async fn requests_are_bounded_in_number_and_time_and_panics_are_answers() {
    let server = Server { requests: 1, request_timeout: DurationMs(20), ..Server::default() };
    let limits = Arc::new(guard::Limits::new(&server, Arc::new(Metrics::new().expect("unique names"))));
    let (sender, finished) = tokio::sync::oneshot::channel();
    let sender = Arc::new(Mutex::new(Some(sender)));
    let slow = move || async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        if let Some(sender) = sender.lock().expect("one at a time").take() {
            let _ = sender.send(());
        }
    };
    let router = Router::new()
        .route("/slow", post(slow))
        .route("/panics", get(|| async { panic!("on purpose") as () }))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(from_fn_with_state(limits, guard::limit))
        .layer(from_fn(guard::log));
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        let router = router.clone();
        async move {
            let response = router.oneshot(request).await.expect("infallible");
            let status = response.status();
            let bytes = response.into_body().collect().await.expect("a body").to_bytes();
            (status, serde_json::from_slice::<Value>(&bytes).expect("an error"))
        }
    };
    let (status, answer) = ask("GET", "/panics").await;
    assert_eq!((status, code(&answer)), (StatusCode::INTERNAL_SERVER_ERROR, "SB0114"));
    assert!(!answer.to_string().contains("purpose"));
    let (status, answer) = ask("POST", "/slow").await;
    assert_eq!((status, code(&answer)), (StatusCode::SERVICE_UNAVAILABLE, "SB0115"));
    let (status, answer) = ask("GET", "/panics").await;
    assert_eq!((status, code(&answer)), (StatusCode::SERVICE_UNAVAILABLE, "SB0116"), "its place is still taken");
    finished.await.expect("what changes something is finished though nobody waits for it");
}
