//! Drivers against fakes at the wire: a Docker daemon on a unix socket and web servers on loopback.
//!
//! With `SANDBOOK_TEST_DOCKER=unix:///path` the ignored tests run against a real engine (`-- --ignored`).

use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sandbook_core::effect::Scope;
use sandbook_core::error::ErrorKind;
use sandbook_core::target::{Kind, Target};
use serde_json::json;

use super::*;
use fake::{Fake, Reply};

mod conformance;
mod fake;
mod far;
mod real;
mod standing;
mod watch;
mod web;

pub(super) const ID: &str = "cafe0123456789abcdefcafe0123456789abcdefcafe0123456789abcdef0000";

/// Steps that only remember.
#[derive(Default)]
pub(super) struct Recorded(pub(super) Mutex<Vec<Value>>);

impl Steps for Recorded {
    fn step<'a>(&'a self, data: Value) -> BoxFuture<'a, Result<(), Error>> {
        self.0.lock().expect("unpoisoned").push(data);
        Box::pin(async { Ok(()) })
    }
}

pub(super) fn live(endpoint: &str, allow: &[&str]) -> Live {
    let mut settings = docker::Settings::new(endpoint).expect("an endpoint");
    settings.read_timeout = Duration::from_millis(2_000);
    let hosts = Hosts::from([("local".to_owned(), Arc::new(Host::new("local", settings)))]);
    let secrets = Secrets::default();
    secrets.remember("hunter22");
    let notifier = notify::Notifier::new(BTreeMap::new(), None, secrets.clone());
    let allow = Arc::new(Allow::new(allow).expect("patterns"));
    Live::new(Arc::new(hosts), allow, None, notifier, secrets)
}

/// Drives an effect as if a permit for it had come, with another deadline if given.
pub(super) async fn drive(
    live: &Live,
    name: &str,
    args: Value,
    id: &str,
    deadline_ms: Option<u64>,
) -> Result<Value, Error> {
    drive_on(live, name, args, ("web", id), deadline_ms).await
}

/// The same for a container of that name and id.
pub(super) async fn drive_on(
    live: &Live,
    name: &str,
    args: Value,
    (called, id): (&str, &str),
    deadline_ms: Option<u64>,
) -> Result<Value, Error> {
    let effect = Effect::from_arguments(name, args).expect("arguments");
    let target =
        Target { host: "local".to_owned(), kind: Kind::Container, name: called.to_owned(), id: Some(id.to_owned()) };
    let resolved = Resolved { target, subject: "local/web".to_owned(), facts: None, before: None };
    let call = Call {
        resolved: Some(&resolved),
        run: "r1",
        slot: 3,
        host: "local",
        deadline_ms: deadline_ms.unwrap_or(effect.deadline_ms()),
        not_after_boot_ms: boot_ms() + 3_600_000,
        effect: &effect,
    };
    let answer = live.call(call, &Recorded::default()).await;
    if let Ok(value) = &answer {
        Effect::check_output(name, value).expect("the shape of the catalogue");
    }
    answer
}

/// Drives an effect on what its own scope means.
pub(super) async fn drive_as_meant(live: &Live, name: &str, args: Value) -> Result<Value, Error> {
    let effect = Effect::from_arguments(name, args).expect("arguments");
    effect.validate().expect("sound arguments");
    let resolved = live.resolve("local", &effect.scope()).await?;
    let call = Call {
        resolved: Some(&resolved),
        run: "r1",
        slot: 3,
        host: "local",
        deadline_ms: effect.deadline_ms(),
        not_after_boot_ms: boot_ms() + 3_600_000,
        effect: &effect,
    };
    let answer = live.call(call, &Recorded::default()).await;
    if let Ok(value) = &answer {
        Effect::check_output(name, value).expect("the shape of the catalogue");
    }
    answer
}

fn container(state: Value) -> Value {
    json!({"Id": ID, "Name": "/web", "State": state, "RestartCount": 1,
        "Config": {"Image": "nginx:1", "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}},
        "HostConfig": {"Memory": 1_048_576}})
}

fn running() -> Value {
    container(json!({"Status": "running", "Running": true, "StartedAt": "2026-01-01T00:00:00Z"}))
}

fn inspect(path: &str) -> bool {
    path.starts_with("/v1.41/containers/") && path.ends_with("/json")
}

#[tokio::test]
async fn a_change_answers_with_the_state_it_left_and_304_is_no_change() {
    let fake = Fake::start(|_, path| match path {
        path if path.ends_with("/start") => Reply::status(304, json!({})),
        path if path.contains("/restart") => Reply::status(204, Value::Null),
        path if inspect(path) => Reply::ok(running()),
        _ => Reply::status(500, json!({"message": "unexpected"})),
    });
    let live = live(&fake.endpoint, &[]);
    let started =
        drive(&live, "docker.start-container", json!({"container": "web"}), ID, None).await.expect("an answer");
    assert_eq!((started["changed"].clone(), started["state"]["status"].clone()), (json!(false), json!("running")));
    let args = json!({"container": "web", "options": {"grace_ms": 1_500}});
    let restarted = drive(&live, "docker.restart-container", args, ID, None).await.expect("an answer");
    assert_eq!(restarted["changed"], true);
    let seen = fake.seen();
    assert!(seen.contains(&format!("POST /v1.41/containers/{ID}/restart?t=2")), "{seen:?}");
    assert_eq!(seen.iter().filter(|line| line.contains("/version")).count(), 1, "negotiated once: {seen:?}");
}

#[tokio::test]
async fn errors_of_the_engine_keep_its_words_and_hide_secrets() {
    for (status, kind) in
        [(404, ErrorKind::NotFound), (409, ErrorKind::Conflict), (500, ErrorKind::Failed), (400, ErrorKind::Failed)]
    {
        let fake = Fake::start(move |_, _| Reply::status(status, json!({"message": "no luck with hunter22"})));
        let error =
            drive(&live(&fake.endpoint, &[]), "docker.stop-container", json!({"container": "web"}), ID, None).await;
        let error = error.expect_err("refused");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains("no luck with [redacted]"), "{error}");
    }
}

#[tokio::test]
async fn silence_is_a_timeout_and_a_cut_answer_may_have_happened() {
    let hanging = Fake::start(|_, _| Reply::Hang);
    let live_hanging = live(&hanging.endpoint, &[]);
    let error = drive(&live_hanging, "docker.restart-container", json!({"container": "web"}), ID, Some(100)).await;
    let error = error.expect_err("late");
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(error.message.contains("may still have happened"), "{error}");
    let read = drive(&live_hanging, "docker.inspect-container", json!({"container": "web"}), ID, Some(100)).await;
    assert!(!read.expect_err("late").message.contains("may still"), "a read changes nothing");

    let cutting = Fake::start(|_, _| Reply::Raw(b"HTTP/1.1 204 No".to_vec()));
    let error =
        drive(&live(&cutting.endpoint, &[]), "docker.kill-container", json!({"container": "web"}), ID, None).await;
    assert_eq!(error.expect_err("cut").kind, ErrorKind::Timeout);
    let cutting = Fake::start(|_, _| Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"Id\":".to_vec()));
    let error =
        drive(&live(&cutting.endpoint, &[]), "docker.inspect-container", json!({"container": "web"}), ID, None).await;
    assert_eq!(error.expect_err("cut").kind, ErrorKind::Failed);
}

#[tokio::test]
async fn an_engine_that_was_never_reached_did_nothing() {
    let live = live("unix:///nowhere/docker.sock", &[]);
    let error =
        drive(&live, "docker.restart-container", json!({"container": "web"}), ID, None).await.expect_err("no engine");
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.message.contains("cannot connect to unix:///nowhere/docker.sock"), "{error}");
}

/// Runs are spawned: what they wait for must be able to move between threads.
#[allow(dead_code, reason = "only compiled")]
fn driving_can_be_spawned(live: &Live, permit: &Permit, steps: &dyn Steps) {
    fn sendable(_: impl Send) {}
    sendable(live.drive(permit, steps));
    sendable(live.resolve("local", &Scope::Host));
}

/// Two runbooks of one full disk ask at once, and an old engine refuses the second.
#[tokio::test]
async fn the_use_of_a_disk_is_asked_for_again_while_the_engine_computes_it_for_another() {
    let busy = std::sync::atomic::AtomicU32::new(2);
    let fake = Fake::start(move |_, path| match path {
        path if path.contains("/system/df") => {
            let left = busy.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            match left {
                Ok(_) => Reply::status(500, json!({"message": "a disk usage operation is already running"})),
                Err(_) => Reply::ok(json!({"LayersSize": 90, "Images": []})),
            }
        }
        path if path.contains("/containers/json") => Reply::ok(json!([])),
        _ => Reply::ok(json!("OK")),
    });
    let used = drive_as_meant(&live(&fake.endpoint, &[]), "docker.disk-usage", json!({})).await.expect("an answer");
    assert_eq!(used["images"]["count"], 0, "{used}");
    let asked = fake.seen().iter().filter(|call| call.contains("/system/df")).count();
    assert_eq!(asked, 3);
    let broken = Fake::start(|_, path| match path {
        path if path.contains("/system/df") => Reply::status(500, json!({"message": "no luck"})),
        _ => Reply::ok(json!([])),
    });
    let error = drive_as_meant(&live(&broken.endpoint, &[]), "docker.disk-usage", json!({})).await;
    assert!(error.expect_err("refused").message.contains("no luck"), "anything else is an answer");
    assert_eq!(broken.seen().iter().filter(|call| call.contains("/system/df")).count(), 1);
}

#[tokio::test]
async fn a_late_permit_and_an_effect_of_the_engine_are_refused() {
    let live = live("unix:///nowhere/docker.sock", &[]);
    let effect = Effect::from_arguments("docker.start-container", json!({"container": "web"})).expect("arguments");
    let call = Call {
        effect: &effect,
        resolved: None,
        run: "r",
        slot: 0,
        host: "local",
        deadline_ms: 1_000,
        not_after_boot_ms: boot_ms(),
    };
    let error = live.call(call, &Recorded::default()).await.expect_err("late");
    assert!(error.message.contains("too old"), "{error}");
    let error = drive(&live, "clock.now", json!({}), ID, None).await.expect_err("not a driver's");
    assert_eq!(error.kind, ErrorKind::Failed);
}

#[tokio::test]
async fn names_services_and_handles_resolve_afresh() {
    let fake = Fake::start(|_, path| match path {
        path if path.contains("/containers/web/json") || path.contains(&format!("/containers/{ID}/json")) => {
            Reply::ok(running())
        }
        // Docker's filters arrive percent-encoded.
        path if path.contains("/containers/json") && path.contains("service%3Dmany") => Reply::ok(json!([
            {"Id": ID, "Names": ["/shop-many-2"], "State": "running"}, {"Id": "b", "Names": ["/x/alias", "/shop-many-1"], "State": "exited"}])),
        path if path.contains("/containers/json") && path.contains("service%3Dweb") => {
            Reply::ok(json!([{"Id": ID, "Names": ["/web"], "State": "running"}]))
        }
        path if path.contains("/containers/json") => Reply::ok(json!([])),
        _ => Reply::status(404, json!({"message": "No such container"})),
    });
    let live = live(&fake.endpoint, &[]);
    for reference in ["web", "/web", "local/web", "shop/web", "local/shop/web", ID] {
        let found = live.resolve("local", &Scope::Container(reference)).await.expect(reference);
        assert_eq!((found.subject.as_str(), found.target.id.as_deref()), ("local/shop/web/1", Some(ID)), "{reference}");
        assert_eq!(found.before.expect("a state")["restart_count"], 1);
    }
    let several = live.resolve("local", &Scope::Container("shop/many")).await.expect_err("several");
    assert_eq!(several.kind, ErrorKind::Invalid);
    assert!(several.message.contains("shop-many-1, shop-many-2"), "{several}");
    let nobody = live.resolve("local", &Scope::Container("nobody")).await.expect_err("nobody");
    assert_eq!(nobody.kind, ErrorKind::NotFound);
    let path = live.resolve("local", &Scope::Container("../images")).await.expect_err("a path");
    assert_eq!(path.kind, ErrorKind::Invalid, "{path}");
    assert!(fake.seen().iter().all(|line| !line.contains("..")), "{:?}", fake.seen());
    assert_eq!(live.resolve("other", &Scope::Host).await.expect_err("unknown").kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_sample_has_the_configured_limit_and_needs_a_running_container() {
    let fake = Fake::start(|_, path| match path {
        path if path.contains("/stats?stream=false&one-shot=false") => Reply::ok(json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 2_000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1_000},
            "memory_stats": {"usage": 500, "limit": 999_999_999}})),
        path if path.contains("/containers/stopped/") => {
            Reply::ok(container(json!({"Status": "exited", "Running": false})))
        }
        path if inspect(path) => Reply::ok(running()),
        _ => Reply::status(500, json!({"message": "unexpected"})),
    });
    let live = live(&fake.endpoint, &[]);
    let sample = drive(&live, "docker.container-stats", json!({"container": "web"}), ID, None).await.expect("a sample");
    assert_eq!((sample["cpu_percent"].as_f64(), sample["memory_limit_bytes"].as_u64()), (Some(100.0), Some(1_048_576)));
    let error = drive(&live, "docker.container-stats", json!({"container": "web"}), "stopped", None).await;
    assert_eq!(error.expect_err("stopped").kind, ErrorKind::Conflict);
}

fn frames(lines: &[(u8, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (stream, line) in lines {
        bytes.extend_from_slice(&[*stream, 0, 0, 0]);
        bytes.extend_from_slice(&u32::try_from(line.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes
}

#[tokio::test]
async fn a_log_is_searched_page_by_page_without_gap_or_repeat() {
    // Ten lines, several with the same time, every second one an error; the fake honours `since` as Docker does.
    let stamp = |line: u32| format!("2026-01-01T00:00:0{}.000000001Z", line / 4);
    let fake = Fake::start(move |_, path| {
        if inspect(path) {
            return Reply::ok(running());
        }
        let since: jiff::Timestamp = path
            .split("since=")
            .nth(1)
            .and_then(|text| text.split_once('.'))
            .map(|(s, n)| jiff::Timestamp::new(s.parse().expect("seconds"), n.parse().expect("nanos")).expect("a time"))
            .unwrap_or_default();
        let lines: Vec<(u8, String)> = (0..10)
            .filter(|line| stamp(*line).parse::<jiff::Timestamp>().expect("a time") >= since)
            .map(|line| {
                (
                    1 + (line % 2) as u8,
                    format!("{} {} {line}\n", stamp(line), if line % 2 == 0 { "ok" } else { "ERROR" }),
                )
            })
            .collect();
        let lines: Vec<(u8, &str)> = lines.iter().map(|(stream, line)| (*stream, line.as_str())).collect();
        Reply::bytes(frames(&lines))
    });
    let live = live(&fake.endpoint, &[]);
    for limit in 1..=6_u32 {
        let (mut found, mut cursor, mut scanned) = (Vec::new(), None::<String>, 0);
        loop {
            // Far enough back for times of the past.
            let mut options = json!({"limit": limit, "context": 1, "since_ms": 600_000_000_u64});
            if let Some(cursor) = &cursor {
                options["cursor"] = json!(cursor);
            } else {
                options["cursor"] = json!("0/0/0");
            }
            let args = json!({"container": "web", "pattern": "^ERROR", "options": options});
            let page = drive(&live, "logs.search-container", args, ID, None).await.expect("a page");
            for item in page["found"].as_array().expect("a list") {
                found.push(item["line"].as_str().expect("a line").to_owned());
                let number: u32 =
                    item["line"].as_str().and_then(|l| l.split(' ').nth(1)).and_then(|n| n.parse().ok()).expect("n");
                let mut around = vec![format!("ok {}", number - 1)];
                around.extend((number < 9).then(|| format!("ok {}", number + 1)));
                assert_eq!(item["context"], json!(around), "limit {limit}");
            }
            scanned += page["scanned"].as_u64().expect("a number");
            match page["cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        assert_eq!(found, ["ERROR 1", "ERROR 3", "ERROR 5", "ERROR 7", "ERROR 9"], "limit {limit}");
        assert_eq!(scanned, 10, "each line once");
    }
}

#[tokio::test]
async fn a_tail_keeps_the_newest_and_takes_streams_apart() {
    let big = "x".repeat(15_000);
    let fake = Fake::start(move |_, path| {
        if inspect(path) {
            return Reply::ok(running());
        }
        let line = format!("2026-01-01T00:00:00Z {big}\n");
        let mut lines = vec![(1_u8, line.as_str()); 30];
        lines.push((2, "2026-01-01T00:00:00Z last\n"));
        Reply::bytes(frames(&lines))
    });
    let page = drive(&live(&fake.endpoint, &[]), "logs.tail-container", json!({"container": "web"}), ID, None)
        .await
        .expect("a page");
    let text = page["text"].as_str().expect("text");
    assert!(text.ends_with("\nlast") && text.len() <= 256 * 1024 && text.len() > 240 * 1024, "{}", text.len());
    assert_eq!(page["truncated"], true);
}
