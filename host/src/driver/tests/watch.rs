//! The watcher against a daemon that hangs up.

use super::*;
use crate::watcher::Watcher;

#[tokio::test]
async fn a_cut_stream_is_taken_up_where_it_ended() {
    let event = |action: &str, nanos: u64| {
        json!({"Type": "container", "Action": action, "timeNano": nanos, "time": nanos / 1_000_000_000,
            "Actor": {"ID": ID, "Attributes": {"name": "web", "exitCode": "7", "tier": "front"}}})
    };
    let lines = |events: &[Value]| events.iter().map(|event| format!("{event}\n")).collect::<String>().into_bytes();
    let fake = Fake::start(move |_, path| match path {
        // The second connection repeats what the first one had, as Docker does for `since`, and goes on.
        path if path.contains("/events") && path.contains("since=5.000000001") => Reply::bytes(lines(&[
            event("die", 5_000_000_001),
            event("exec_die", 5_500_000_000),
            event("start", 6_000_000_000),
        ])),
        path if path.contains("/events") && path.contains("since=") => Reply::Hang,
        path if path.contains("/events") => Reply::bytes(lines(&[event("die", 5_000_000_001)])),
        path if path.contains("/containers/json") => {
            Reply::ok(json!([{"Id": ID, "Names": ["/web"], "State": "running"}]))
        }
        path if inspect(path) => Reply::ok(running()),
        _ => Reply::ok(json!("OK")),
    });
    let live = live(&fake.endpoint, &[]);
    let watcher = Watcher::start(live.hosts());
    let mut events = watcher.subscribe();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let next =
            tokio::time::timeout(Duration::from_secs(60), events.recv()).await.expect("in time").expect("an event");
        assert_eq!(next.labels, BTreeMap::from([("tier".to_owned(), "front".to_owned())]));
        heard.push((next.action, next.exit_code));
    }
    assert_eq!(heard, [("die".to_owned(), Some(7)), ("start".to_owned(), Some(7))]);
    let shown = watcher.snapshot();
    assert_eq!((shown.len(), shown[0].last_exit_code, shown[0].exited_unexpectedly), (1, Some(7), true));
    let connection = &watcher.connections()["local"];
    assert_eq!(
        (connection.api_version.as_deref(), connection.engine_version.as_deref()),
        (Some("1.41"), Some("20.10.24"))
    );
    assert!(connection.last_error.is_some());
}
