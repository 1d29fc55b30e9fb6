//! How much anybody may take: requests by token and address, streams, slow bodies; and what alerts are answered then.

use std::net::SocketAddr;

use super::*;
use crate::listen::Peer;

/// From an address, as the listener hands it over.
fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    let ip = address.parse().expect("an address");
    request.extensions_mut().insert(Peer(SocketAddr::new(ip, 40_000)));
    request
}

fn limited(daemon: &Daemon, by: &str) -> u64 {
    daemon.app.metrics.requests_limited.with_label_values(&[by]).get()
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_when_to_come_again_and_alerts_are_not_lost() {
    let daemon = daemon_with("[server]\nrequests_per_token = \"2/1h\"").await;
    for role in ["viewer", "sender"] {
        let (method, path) = if role == "viewer" { ("GET", "/status") } else { ("POST", "/webhook/alerts") };
        let ask = || request(method, path, Some(role), (role == "sender").then(|| json!([])));
        for _ in 0..2 {
            assert!(daemon.send(ask()).await.0.is_success() || role == "sender");
        }
        let response = daemon.router.clone().oneshot(ask()).await.expect("infallible");
        let wanted = if role == "sender" { 503 } else { 429 };
        assert_eq!(response.status().as_u16(), wanted, "{role}");
        let after: u64 = response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((60..=1_801).contains(&after), "{after}");
        let (_, answer) = daemon.send(ask()).await;
        assert_eq!(code(&answer), "SB0120");
        assert!(answer["error"]["message"].as_str().is_some_and(|said| said.contains(&format!("the-{role}"))));
    }
    assert_eq!(daemon.act("GET", "/status", None).await.0, StatusCode::OK, "another token is not concerned");
    assert_eq!(limited(&daemon, "token"), 4);
}

#[tokio::test]
async fn an_address_is_bounded_before_anybody_looks_at_its_token_and_probes_are_not() {
    let daemon = daemon_with("[server]\nrequests_per_address = \"3/1h\"").await;
    for _ in 0..3 {
        let guess = Request::get("/status").header("authorization", "Bearer guess").body(Body::empty()).expect("one");
        assert_eq!(daemon.send(from("10.0.0.1", guess)).await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, answer) = daemon.send(from("10.0.0.1", request("GET", "/status", Some("admin"), None))).await;
    assert_eq!((status, code(&answer)), (StatusCode::TOO_MANY_REQUESTS, "SB0120"));
    let alerts = request("POST", "/webhook/alerts", Some("sender"), Some(json!([])));
    assert_eq!(daemon.send(from("10.0.0.1", alerts)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(daemon.send(from("10.0.0.1", request("GET", "/health", None, None))).await.0, StatusCode::OK);
    let other = from("10.0.0.2", request("GET", "/status", Some("viewer"), None));
    assert_eq!(daemon.send(other).await.0, StatusCode::OK);
}

#[tokio::test]
async fn event_streams_are_bounded_for_each_token() {
    let daemon = daemon_with("[server]\nstreams_per_token = 1").await;
    let open = |role: &'static str| daemon.router.clone().oneshot(request("GET", "/v1/events", Some(role), None));
    let first = open("viewer").await.expect("infallible");
    assert_eq!(first.status(), StatusCode::OK);
    let second = open("viewer").await.expect("infallible");
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(open("author").await.expect("infallible").status(), StatusCode::OK);
    drop(first);
    assert_eq!(open("viewer").await.expect("infallible").status(), StatusCode::OK, "its place is free again");
    assert_eq!(limited(&daemon, "streams"), 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_and_its_place_with_it() {
    let daemon = daemon_with("[server]\nrequest_timeout = \"200ms\"\nrequests = 1").await;
    for (path, role) in [("/v1/pauses", "operator"), ("/webhook/alerts", "sender")] {
        let slow = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", token(role)))
            .header("content-type", "application/json")
            .body(slow)
            .expect("a request");
        let (status, answer) = daemon.send(request).await;
        assert_eq!((status, code(&answer)), (StatusCode::SERVICE_UNAVAILABLE, "SB0115"), "{path}");
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains("the body did not come in its time"), "{said}");
        assert_eq!(daemon.get("/status").await.0, StatusCode::OK, "its place is free again");
    }
}

#[tokio::test]
async fn the_bounds_of_bodies_are_the_configured_ones() {
    let daemon = daemon_with("[server]\nbody = \"1KiB\"\nmessage = \"2KiB\"").await;
    let text = |bytes: usize| json!({"labels": {"alertname": "x".repeat(bytes)}});
    assert_eq!(daemon.act("POST", "/v1/match", Some(text(1_500))).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let alert = |bytes: usize| json!([{"labels": {"alertname": "x".repeat(bytes)}}]);
    assert_eq!(daemon.act("POST", "/webhook/alerts", Some(alert(1_500))).await.0, StatusCode::ACCEPTED);
    assert_eq!(daemon.act("POST", "/webhook/alerts", Some(alert(2_500))).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}
