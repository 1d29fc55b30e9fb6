//! Bad input: each case gets its own clear error, or a degraded state that can be seen; what was accepted is never lost.
//!
//! Statuses are those of the outside contract. Alertmanager retries 5xx only, so nothing it should not send again may be
//! answered with one, and nothing it should send again with anything else.

use std::time::Duration;

use base64::Engine as _;
use sandbook_tests::alert::{Alert, message, message_of};
use sandbook_tests::daemon::{Daemon, Setup, sandbook};
use sandbook_tests::fake_docker::{FakeDocker, Fault};
use sandbook_tests::http::Client;
use sandbook_tests::mount::Mount;
use sandbook_tests::package::{Asks, Package, manifest};
use sandbook_tests::wait;
use serde_json::{Value, json};

/// What the contract allows for a batch: generous beside Alertmanager's own habits.
const BATCH: usize = 50_000;
/// A state of the outside is noticed and shown.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// Long enough for a few files, short of everything else.
const SMALL_DISK: &str = "size=12m";

const TOKENS: &str = "[auth]\nmode = \"token\"";

fn daemon() -> Daemon {
    Daemon::start(Setup::with(TOKENS))
}

/// The daemon still answers, and still takes a good alert.
#[track_caller]
fn assert_well(daemon: &Daemon) {
    assert_eq!(daemon.anonymous().get("/health").expect(200).json()["status"], "ok");
    let answer = daemon.alert(&[Alert::firing("AfterBadInput").label("try", "again")]);
    assert_eq!(answer["rejected"], json!([]), "{answer}");
}

/// An error of the API whose words name what is wrong.
#[track_caller]
fn assert_says(answer: &sandbook_tests::http::Answer, words: &[&str]) {
    let (code, said, fix) = answer.error();
    let said = format!("{said} {fix}").to_lowercase();
    assert!(words.iter().any(|word| said.contains(word)), "{code} should say one of {words:?}: {}", answer.text());
}

fn post(client: &Client, content_type: &str, body: impl Into<Vec<u8>>) -> sandbook_tests::http::Answer {
    let headers = [("content-type", content_type)];
    client.send("POST", "/webhook/alerts", &headers, body.into()).expect("an answer")
}

#[test]
fn what_is_not_an_alert_message_is_400_and_says_why() {
    let daemon = daemon();
    let sender = daemon.sender();
    #[rustfmt::skip]
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("not JSON", b"{\"alerts\": [", &["json"]),
        ("empty", b"", &["empty", "json"]),
        ("bytes", &[0xff, 0xfe, 0x00], &["json", "utf-8"]),
        ("a number", b"42", &["alert"]),
        ("an object without alerts", b"{\"version\": \"4\"}", &["alerts", "labels"]),
        ("alerts that are no list", b"{\"alerts\": \"all of them\"}", &["list"]),
        ("a text", b"\"firing\"", &["alert"]),
        ("two documents", b"{\"alerts\": []} {\"alerts\": []}", &["json", "trailing"]),
        ("YAML", b"alerts:\n  - labels: {}\n", &["json"]),
    ];
    for (name, body, words) in cases {
        let answer = post(&sender, "application/json", body);
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert_says(&answer, words);
    }
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = post(&sender, "application/json", nested);
    let taken = answer.status == 202 && answer.json()["accepted"] == 0;
    assert!(taken || answer.status == 400, "a list of lists holds no alert: {}", answer.text());
    assert_well(&daemon);
}

#[test]
fn a_wrong_content_type_is_refused_by_name() {
    let daemon = daemon();
    let body = message(&[Alert::firing("X")]).to_string();
    for content_type in ["application/x-www-form-urlencoded", "text/html", "application/x-protobuf"] {
        let answer = post(&daemon.sender(), content_type, body.clone());
        assert!(matches!(answer.status, 400 | 415), "{content_type}: {} {}", answer.status, answer.text());
        assert_says(&answer, &["content-type", "application/json"]);
    }
    let answer = post(&daemon.sender(), "application/json; charset=utf-8", body);
    assert_eq!(answer.status, 202, "a charset is no other type: {}", answer.text());
    assert_well(&daemon);
}

#[test]
fn tokens_are_needed_checked_and_never_repeated() {
    let daemon = daemon();
    let body = message(&[Alert::firing("X")]);
    let basic = |password: &str| {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("alertmanager:{password}"));
        daemon.anonymous().with_authorization(Some(&format!("Basic {pair}")))
    };
    let wrong = "a-token-nobody-ever-made-7f3a";
    let refused = [
        ("none", daemon.anonymous()),
        ("wrong", daemon.anonymous().with_token(wrong)),
        ("wrong basic", basic(wrong)),
        ("empty", daemon.anonymous().with_token("")),
        ("garbage", daemon.anonymous().with_authorization(Some("Nonsense"))),
        ("half a token", daemon.anonymous().with_token(&daemon.token("sender-token")[..8])),
    ];
    for (name, client) in refused {
        let answer = client.post("/webhook/alerts", &body);
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        assert_says(&answer, &["token"]);
        assert!(!answer.text().contains(wrong), "{name}: a secret came back: {}", answer.text());
        for path in ["/status", "/metrics", "/v1/runs", "/v1/runbooks", "/v1/alerts", "/v1/audit", "/ready"] {
            assert_eq!(client.get(path).status, 401, "{name}: GET {path}");
        }
        client.get("/health").expect(200);
    }
    basic(&daemon.token("sender-token")).post("/webhook/alerts", &body).expect(202);
    for path in ["/v1/runs", "/v1/runbooks", "/v1/audit"] {
        assert_eq!(daemon.sender().get(path).status, 403, "a sender may only send: GET {path}");
    }
    assert!(!daemon.log_text().contains(wrong), "a secret is in the log");
    assert_well(&daemon);
}

#[test]
fn an_alert_that_cannot_be_used_does_not_reject_its_batch() {
    let daemon = daemon();
    let good = Alert::firing("Good").value();
    let big = "x".repeat(1 << 20);
    let alerts = vec![
        good.clone(),
        json!({"status": "firing", "startsAt": "2026-03-01T03:00:00Z"}),
        json!({"status": "firing", "labels": {}}),
        json!({"status": "firing", "labels": {"alertname": "Big", "big": big}}),
        json!({"status": "firing", "labels": {"alertname": 7}}),
        json!({"status": "simmering", "labels": {"alertname": "X"}}),
        json!({"status": "firing", "labels": {"alertname": "X"}, "startsAt": "yesterday"}),
        Value::Null,
        Alert::firing("AlsoGood").value(),
    ];
    let answer = daemon.sender().post("/webhook/alerts", &message_of(alerts)).expect(202).json();
    let rejected = answer["rejected"].as_array().expect("a list").clone();
    let indices: Vec<u64> = rejected.iter().filter_map(|entry| entry["index"].as_u64()).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5, 6, 7], "{answer}");
    for entry in &rejected {
        let reason = entry["reason"].as_str().expect("a reason");
        assert!((5..500).contains(&reason.len()), "a reason a person can read: {reason:?}");
    }
    let names: Vec<Value> = daemon.episodes().iter().map(|episode| episode["labels"]["alertname"].clone()).collect();
    assert_eq!(names.len(), 2, "the good ones are there: {names:?}");
    assert_well(&daemon);
}

#[test]
fn a_batch_of_fifty_thousand_is_taken_or_refused_as_a_whole_and_said() {
    let daemon = daemon();
    let alerts = (0..BATCH).map(|number| Alert::firing("Storm").label("number", &number.to_string()).value()).collect();
    let answer = daemon.sender().post("/webhook/alerts", &message_of(alerts));
    match answer.status {
        413 => assert_says(&answer, &["large", "big", "bytes", "max_alerts"]),
        202 => {
            let body = answer.json();
            let count = |field: &str| body[field].as_u64().unwrap_or_default();
            let rejected = body["rejected"].as_array().map_or(0, Vec::len) as u64;
            let told = count("accepted") + count("duplicate") + rejected + count("truncated");
            assert!(told >= BATCH as u64, "every alert is accounted for: {told} of {BATCH}: {:.500}", answer.text());
        }
        503 => assert_says(&answer, &["queue", "full", "later"]),
        status => panic!("{status}: {:.500}", answer.text()),
    }
    assert_well(&daemon);
}

#[test]
fn a_body_beyond_the_limit_is_413() {
    let daemon = daemon();
    let mut body = message(&[]).to_string().into_bytes();
    body.resize(64 << 20, b' ');
    match daemon.sender().send("POST", "/webhook/alerts", &[("content-type", "application/json")], body) {
        Ok(answer) => assert_eq!(answer.status, 413, "{}", answer.text()),
        // A server may close while the rest is still being sent; the log then has the count.
        Err(error) => assert!(format!("{error:#}").contains("POST"), "{error:#}"),
    }
    // Its sender never tries again, so people see it, and what to do.
    let warnings = daemon.api().get("/status").expect(200).json()["warnings"].to_string();
    let want = "1 webhook message was refused since the start, at ";
    assert!(warnings.contains(want) && warnings.contains("raise [server] message"), "{warnings}");
    let said = daemon.cli(&["status"]).expect(0).says("what arrived was refused").says("raise [server] message");
    assert!(!said.out.contains("no alert has arrived"), "{}", said.out);
    assert_well(&daemon);
}

#[test]
fn an_upload_with_mistakes_is_422_and_names_each_place() {
    let daemon = daemon();
    let good = manifest("typo", Asks::default());
    let unknown = good.replace("summary", "sumary");
    let package =
        Package::tar("typo", &[("runbook.toml", unknown.as_bytes()), ("main.rhai", b"fn run(input) { done(\"x\") }")]);
    let answer = daemon.push(&package).expect(422);
    assert!(answer.text().contains("sumary"), "{}", answer.text());
    assert!(answer.text().contains("runbook.toml"), "{}", answer.text());
    let details = answer.json()["error"]["details"].clone();
    let first = &details.as_array().unwrap_or_else(|| panic!("a list of problems: {}", answer.text()))[0];
    assert!(first["line"].as_u64().is_some_and(|line| line > 0) && first["column"].is_u64(), "{first}");

    let script = Package::rhai("broken", Asks::default(), "fn run(input) {\n  let x = ;\n  done(\"x\")\n}\n");
    let answer = daemon.push(&script).expect(422);
    let first = answer.json()["error"]["details"][0].clone();
    assert!(
        first["line"].as_u64().is_some_and(|line| line > 1),
        "the place in the file, header included: {}",
        answer.text()
    );

    let wrong_type = Package { content_type: "application/pdf", ..Package::rhai("pdf", Asks::default(), "") };
    assert!(matches!(daemon.push(&wrong_type).status, 400 | 415 | 422));
    let climbing = Package::tar("climb", &[("runbook.toml", good.as_bytes()), ("a/../../climbed.rhai", b"x")]);
    assert!(matches!(daemon.push(&climbing).status, 400 | 422), "a path that climbs out");
    assert_well(&daemon);
}

#[test]
fn a_policy_with_a_typo_is_a_load_error_with_its_place() {
    let typo = "permit (principal, action == Action::\"docker.restart-contaner\", resource is Container);\n";
    let setup = Setup::with("[policy]\ndirs = [\"./policy\"]").file("policy/web.cedar", typo);
    let mut daemon = Daemon::prepare(setup);
    let checked = daemon.cli(&["policy", "check", "--config", "sandbook.toml"]).expect(1);
    checked.says("web.cedar").says("docker.restart-contaner");
    daemon.spawn();
    let code = daemon.ended_by_itself();
    assert_eq!(code, Some(1), "a policy that was misread must not be half in force\n{}", daemon.log_tail());
    assert!(daemon.log_text().contains("web.cedar"), "{}", daemon.log_tail());
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases = [
        ("lissten = \"127.0.0.1:1\"\n", "lissten"),
        ("[docker.hosts.local]\nendpiont = \"unix:///x\"\n", "endpiont"),
        ("[brakes]\nper_host = [\"ten an hour\"]\n", "per_host"),
        ("[auth]\nmode = \"of\"\n", "mode"),
        ("listen = \"everywhere\"\n", "listen"),
        ("listen = \"0.0.0.0:7070\"\n[auth]\nmode = \"off\"\n", "127.0.0.1"),
        ("listen = \"127.0.0.1:1\n", "sandbook.toml"),
    ];
    for (text, named) in cases {
        std::fs::write(folder.path().join("sandbook.toml"), text).expect("writable");
        sandbook(folder.path(), &["config", "check", "--config", "sandbook.toml"]).expect(1).says(named);
        let served = sandbook(folder.path(), &["serve", "--config", "sandbook.toml"]);
        assert!(matches!(served.code, Some(1 | 2)), "{served}");
        // As `config check` shows it: the place, and help only where there is some.
        let served = served.says(named).says("--> sandbook.toml:");
        assert!(!served.to_string().contains("help: \n"), "{served}");
    }
    sandbook(folder.path(), &["serve", "--config", "nowhere.toml"]).says("nowhere.toml");
    let unknown = sandbook(folder.path(), &["frobnicate"]);
    assert_eq!(unknown.code, Some(2), "{unknown}");
    let alone = sandbook(folder.path(), &["--server", "http://127.0.0.1:9", "--token", "x", "runs"]);
    assert_eq!(alone.code, Some(6), "{alone}");
}

#[test]
fn a_read_only_data_folder_is_a_clear_refusal_to_start() {
    let mut daemon = Daemon::prepare(Setup::with(TOKENS));
    let data = daemon.data("");
    let _mount = Mount::tmpfs(&data, "ro,size=1m");
    daemon.spawn();
    let code = daemon.ended_by_itself();
    assert_eq!(code, Some(1), "{}", daemon.log_tail());
    let log = daemon.log_text().to_lowercase();
    assert!(log.contains("sandbook-data") && log.contains("read-only"), "{}", daemon.log_tail());
}

#[test]
fn a_full_data_folder_answers_503_and_loses_nothing() {
    let mut daemon = Daemon::prepare(Setup::with(TOKENS));
    let data = daemon.data("");
    let _mount = Mount::tmpfs(&data, SMALL_DISK);
    daemon.restart();
    let before = daemon.alert(&[Alert::firing("BeforeFull")]);
    assert_eq!(before["accepted"], 1, "{before}");

    let filler = data.join("filler");
    let fill = std::fs::write(&filler, vec![0; 64 << 20]);
    assert!(fill.is_err(), "the small disk is full now");
    let mut taken = 0;
    let refused = wait::until(
        "a new alert to be refused",
        SHOWN_WITHIN,
        || daemon.log_tail(),
        || {
            taken += 1;
            let alert =
                Alert::firing("WhileFull").label("number", &taken.to_string()).label("padding", &"p".repeat(2000));
            let answer = daemon.sender().post("/webhook/alerts", &message(&[alert]));
            if answer.status == 202 { Err(format!("{taken} were taken")) } else { Ok(answer) }
        },
    );
    assert_eq!(refused.status, 503, "only 503 is sent again: {}", refused.text());
    assert_says(&refused, &["space", "full", "disk", "store"]);
    assert_eq!(daemon.anonymous().get("/health").status, 200, "alive, if not well");
    assert_shown(&daemon, "store");

    std::fs::remove_file(&filler).expect("removing needs no space");
    wait::until(
        "alerts to be taken again",
        SHOWN_WITHIN,
        || daemon.log_tail(),
        || {
            let answer = daemon.sender().post("/webhook/alerts", &message(&[Alert::firing("AfterFull")]));
            if answer.status == 202 { Ok(()) } else { Err(answer.text()) }
        },
    );
    daemon.kill();
    daemon.restart();
    let episodes = daemon.api().get("/v1/alerts?limit=1000").expect(200).json();
    let count = episodes["alerts"].as_array().map_or(0, Vec::len);
    assert_eq!(count, taken - 1 + 2, "everything that got a 202 and nothing else\n{}", daemon.log_tail());
}

/// `/status` names the trouble and `/ready` is not 200 or says it as well.
#[track_caller]
fn assert_shown(daemon: &Daemon, what: &str) {
    wait::until(
        &format!("{what} to be shown as degraded"),
        SHOWN_WITHIN,
        || daemon.log_tail(),
        || {
            let (status, ready) = (daemon.api().get("/status"), daemon.api().get("/ready"));
            let shown = ready.status == 503 && ready.text().contains(what) && status.text().contains(what);
            if shown {
                Ok(())
            } else {
                Err(format!("/ready {} {}; /status {}", ready.status, ready.text(), status.text()))
            }
        },
    );
}

/// An alert is taken whatever Docker does, and is still there later.
#[track_caller]
fn assert_taken(daemon: &Daemon) {
    let answer = daemon.alert(&[Alert::unhealthy("web-1")]);
    assert_eq!(answer["accepted"], 1, "{answer}");
    assert_eq!(daemon.episodes().len(), 1);
}

#[test]
fn an_absent_docker_socket_is_shown_and_heals_by_itself() {
    let daemon = Daemon::start(Setup::with(TOKENS));
    assert_taken(&daemon);
    assert_shown(&daemon, "docker");
    let fake = FakeDocker::start_at(&daemon.path("no-docker.sock"));
    fake.container("web-1", "healthy");
    wait::until(
        "docker to be well again",
        SHOWN_WITHIN,
        || daemon.log_tail(),
        || {
            let ready = daemon.api().get("/ready");
            if ready.status == 200 { Ok(()) } else { Err(ready.text()) }
        },
    );
    assert_eq!(daemon.episodes().len(), 1);
}

#[test]
fn a_docker_socket_that_refuses_or_talks_nonsense_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("writable"));
    let daemon = Daemon::start(Setup::with(TOKENS).docker(&format!("unix://{}", dead.display())));
    assert_taken(&daemon);
    assert_shown(&daemon, "docker");

    let fake = FakeDocker::start();
    fake.script("GET", "", Fault::Nonsense("<html>not docker</html>"), usize::MAX);
    let daemon = Daemon::start(Setup::with(TOKENS).docker(&fake.endpoint()));
    assert_taken(&daemon);
    assert_shown(&daemon, "docker");
}

#[test]
fn a_docker_socket_that_hangs_delays_nothing_else() {
    let fake = FakeDocker::start();
    fake.script("GET", "", Fault::Hang, usize::MAX);
    fake.script("HEAD", "", Fault::Hang, usize::MAX);
    let daemon = Daemon::start(Setup::with(TOKENS).docker(&fake.endpoint()));
    let start = std::time::Instant::now();
    assert_taken(&daemon);
    // Reads of Docker are given up after ten seconds.
    assert!(start.elapsed() < Duration::from_secs(9), "intake waited {:?} for docker", start.elapsed());
    assert_shown(&daemon, "docker");
}
