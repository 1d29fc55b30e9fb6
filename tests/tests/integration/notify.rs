//! What people are told, at the wire: over kills, past refusals, as one message of many, and in each receiver's own form.
//!
//! Receivers are fakes that keep what came; the daemon is the real binary. Deliberately not here: which event a run leads
//! to; the tests of brakes, of people and of closing have those.

use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::{FakeDocker, Fault};
use sandbook_tests::package::{Asks, Package};
use sandbook_tests::process::free_port;
use sandbook_tests::receiver::{Post, Receiver};
use sandbook_tests::wait;
use serde_json::{Value, json};

mod examples;
mod mail;
mod pager;

/// A message goes out in a second; one that was refused is tried again within a few.
const TOLD_WITHIN: Duration = Duration::from_secs(40);

/// Passes everything to people.
fn escalates() -> Package {
    let more = "[[trigger]]\nalert = [\"Odd\"]\n";
    Package::rhai("passes-on", Asks { more, ..Asks::default() }, "fn run(input) { escalate(\"look at the disk\") }")
}

/// A webhook that hears of escalations.
fn hook(url: &str, more: &str) -> String {
    format!(
        "public_url = \"https://sandbook.test/\"\n[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{url}\"\n{more}\n\
         [[notify.routes]]\non = [\"escalated\"]\nchannel = \"ops\"\n"
    )
}

/// Waits until so many posts came, and returns them.
#[track_caller]
fn posts(daemon: &Daemon, receiver: &Receiver, count: usize) -> Vec<Post> {
    wait::until(
        &format!("{count} messages"),
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            let posts = receiver.posts();
            if posts.len() >= count { Ok(posts) } else { Err(format!("{posts:?}")) }
        },
    )
}

/// Waits until the status of a channel is as wanted.
#[track_caller]
fn channel(daemon: &Daemon, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until(
        &format!("channel {name} to be as wanted"),
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            let status = daemon.api().get("/status").expect(200).json();
            let found = status["notify"][name].clone();
            if wanted(&found) { Ok(found) } else { Err(found.to_string()) }
        },
    )
}

#[test]
fn a_notice_outlives_kills_while_its_channel_is_down_and_arrives_once() {
    let port = free_port();
    let mut daemon = Daemon::start(Setup::with(&hook(&format!("http://127.0.0.1:{port}/"), "")));
    daemon.push_live(&escalates());
    let run = daemon.run("passes-on", &json!({}));
    daemon.ended(&run);
    daemon.kill();
    daemon.restart();
    let waits = channel(&daemon, "ops", |ops| ops["waiting"] == 1 && !ops["error"].is_null());
    assert!(waits["error"].as_str().is_some_and(|why| why.contains("gave no answer")), "{waits}");
    daemon.cli(&["status"]).expect(0).says("1 message waits");
    daemon.kill();
    let receiver = Receiver::open_at(port);
    daemon.restart();
    let told = posts(&daemon, &receiver, 1)[0].json();
    assert_eq!(told["dedup_key"], format!("sandbook-{run}-escalated"), "{told}");
    let text = told["text"].as_str().unwrap_or_default();
    for part in ["look at the disk", &format!("https://sandbook.test/runs/{run}"), &format!("sandbook show {run}")] {
        assert!(text.contains(part), "{part}: {text}");
    }
    channel(&daemon, "ops", |ops| ops["waiting"] == 0 && ops["sent"] == 1);
    daemon.kill();
    daemon.restart();
    channel(&daemon, "ops", |ops| ops["waiting"] == 0 && ops["sent"] == 1);
    assert_eq!(receiver.posts().len(), 1, "{:?}", receiver.posts());
}

/// Trips its brake and then waits for a log that does not come.
const TRIPS: &str = r#"fn run(input) {
    docker::restart_container(input.target, #{ grace_ms: 0 });
    try { docker::restart_container(input.target, #{ grace_ms: 0 }); } catch (error) { print(error.kind); }
    let tail = logs::tail_container(input.target, #{ lines: 5 });
    fixed("restarted")
}"#;

fn restarts() -> Package {
    let manifest = "//! name = \"restarts\"\n//! version = \"1.0.0\"\n//! summary = \"Made by a test.\"\n//! [target]\n\
        //! kind = \"container\"\n//! container_from = [\"name\"]\n//! [requests]\n\
        //! effects = [\"docker.restart-container\", \"logs.tail-container\"]\n\
        //! [brake]\n//! attempts = [\"1/1h\"]\n//! settle = \"1s\"\n\
        //! [verify]\n//! condition = \"running\"\n//! within = \"1s\"\n//! resolved_within = \"1s\"\n//! no_refire = \"1s\"\n";
    Package::rhai_file("restarts", &format!("{manifest}{TRIPS}"))
}

const POLICY: &str = "permit (principal, action == Action::\"docker.restart-container\", resource is Container);";

#[test]
fn a_trip_is_told_although_the_daemon_dies_before_its_run_ends() {
    let fake = FakeDocker::start();
    fake.container("web-1", "none");
    fake.script("GET", "/logs", Fault::Hang, 1);
    let port = free_port();
    let config = format!(
        "[policy]\ndirs = [\"./policy\"]\n[notify.channels.ops]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\n\
         [[notify.routes]]\non = [\"tripped\"]\nchannel = \"ops\"\n"
    );
    let mut daemon = Daemon::start(Setup::with(&config).docker(&fake.endpoint()).file("policy/p.cedar", POLICY));
    daemon.push_live(&restarts());
    let run = daemon.run("restarts", &json!({"target": "web-1"}));
    channel(&daemon, "ops", |ops| ops["waiting"] == 1);
    let state = daemon.api().get(&format!("/v1/runs/{run}")).expect(200).json();
    assert_eq!(state["state"], "running", "it waits for a log: {state}");
    daemon.kill();
    let receiver = Receiver::open_at(port);
    daemon.restart();
    let told = posts(&daemon, &receiver, 1)[0].json();
    assert!(told["text"].as_str().is_some_and(|text| text.contains("sandbook rearm")), "{told}");
    assert_eq!((&told["kind"], &told["target"]), (&json!("tripped"), &json!("local/web-1")), "{told}");
    daemon.ended(&run);
    channel(&daemon, "ops", |ops| ops["waiting"] == 0 && ops["sent"] == 1);
    assert_eq!(receiver.posts().len(), 1, "{:?}", receiver.posts());
}

/// What is wrong with the engine itself is told from memory; the next start tells what this one did not come to.
#[test]
fn what_was_wrong_with_the_engine_and_its_end_are_told_although_it_is_killed_at_once() {
    let receiver = Receiver::open();
    let own =
        format!("[notify]\nself = \"ops\"\n[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{}\"\n", receiver.url());
    let mut daemon = Daemon::start(Setup::with(&own));
    let down = Alert::firing("SandbookStoreSlow").label("sandbook", "self");
    for alert in [down.clone(), down.resolved()] {
        daemon.alert(&[alert]);
        daemon.kill();
        daemon.restart();
    }
    let titles = || -> Vec<String> {
        receiver.posts().iter().map(|post| post.json()["title"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let over = || titles().iter().any(|title| title.starts_with("resolved: "));
    wait::until(
        "the end to be told",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || if over() { Ok(()) } else { Err(format!("{:?}", titles())) },
    );
    assert!(!titles()[0].starts_with("resolved: "), "{:?}", titles());
    let told = titles().len();
    daemon.stop();
    daemon.restart();
    channel(&daemon, "ops", |ops| ops["waiting"] == 0);
    assert_eq!(titles().len(), told, "and not again: {:?}", titles());
}

#[test]
fn a_busy_receiver_says_when_and_one_that_refuses_is_not_asked_again() {
    let receiver = Receiver::open();
    receiver.answer(429, "retry-after: 4");
    let daemon = Daemon::start(Setup::with(&hook(&receiver.url(), "")));
    daemon.push_live(&escalates());
    let run = daemon.run("passes-on", &json!({}));
    daemon.ended(&run);
    let came = posts(&daemon, &receiver, 2);
    let pause = came[1].at - came[0].at;
    assert!(pause >= Duration::from_millis(3_900), "asked again after {pause:?}");
    assert_eq!(came[0].json()["dedup_key"], came[1].json()["dedup_key"]);

    receiver.answer(400, "");
    let second = daemon.run("passes-on", &json!({}));
    daemon.ended(&second);
    let ops = channel(&daemon, "ops", |ops| ops["dropped"] == 1);
    assert!(ops["error"].as_str().is_some_and(|why| why.contains("answered 400")), "{ops}");
    assert_eq!(receiver.posts().len(), 3, "it is not asked again");
    // The audit's line follows.
    wait::until(
        "the audit to name it",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            let audit = daemon.cli(&["audit"]).expect(0).out;
            if audit.contains("drop-messages") { Ok(()) } else { Err(audit) }
        },
    );
    daemon.cli(&["status"]).expect(0).says("1 dropped");
    // What waits is counted every few seconds, what went out at once.
    let none = "sandbook_notify_waiting{channel=\"ops\"} 0";
    wait::until(
        "the metric to say that none waits",
        Duration::from_secs(30),
        || daemon.log_tail(),
        || {
            let text = daemon.api().get("/metrics").text();
            if text.contains(none) { Ok(()) } else { Err(text) }
        },
    );
    let metrics = daemon.api().get("/metrics").text();
    for line in [
        "sandbook_notify_messages_total{channel=\"ops\",result=\"sent\"} 1",
        "sandbook_notify_messages_total{channel=\"ops\",result=\"failed\"} 1",
        "sandbook_notify_messages_total{channel=\"ops\",result=\"dropped\"} 1",
        "sandbook_notify_waiting{channel=\"ops\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn what_happens_at_once_is_one_message_and_nothing_is_left_out() {
    let receiver = Receiver::open();
    let daemon = Daemon::start(Setup::with(&hook(&receiver.url(), "group_wait = \"15s\"")));
    daemon.push_live(&escalates());
    let runs: Vec<String> = (0..3).map(|_| daemon.run("passes-on", &json!({}))).collect();
    for run in &runs {
        daemon.ended(run);
    }
    let told = posts(&daemon, &receiver, 1)[0].json();
    assert_eq!((&told["count"], &told["title"]), (&json!(3), &json!("3 × escalated: passes-on")), "{told}");
    for run in &runs {
        assert!(told["text"].as_str().is_some_and(|text| text.contains(&format!("sandbook show {run}"))), "{told}");
    }
    channel(&daemon, "ops", |ops| ops["waiting"] == 0 && ops["sent"] == 3);
    assert_eq!(receiver.posts().len(), 1);
}

#[test]
fn the_pager_gets_each_with_its_way_back_and_the_end_of_the_alert_ends_it_also_over_a_kill() {
    let (pager, other) = (Receiver::open(), Receiver::open());
    let config = format!(
        "public_url = \"https://sandbook.test\"\n[notify.channels.pager]\nkind = \"pagerduty\"\nurl = \"{}\"\n\
         routing_key_file = \"./secrets/key\"\n[notify.channels.other]\nkind = \"webhook\"\nurl = \"{}\"\n\
         [[notify.routes]]\nseverity = \"critical\"\nmatch = ['team=\"shop\"']\nchannel = \"pager\"\n\
         [[notify.routes]]\nmatch = ['team=\"bank\"']\nchannel = \"other\"\n",
        pager.url(),
        other.url()
    );
    let mut daemon = Daemon::start(Setup::with(&config).file("secrets/key", "R0UT1NGKEY\n"));
    daemon.push_live(&escalates());
    let odd = Alert::firing("Odd").label("team", "shop").label("host", "</script>\"");
    let answer = daemon.alert(std::slice::from_ref(&odd));
    let run = answer["runs"][0]["run"].as_str().expect("a run").to_owned();
    daemon.ended(&run);
    let event = posts(&daemon, &pager, 1)[0].json();
    assert_eq!((&event["event_action"], &event["routing_key"]), (&json!("trigger"), &json!("R0UT1NGKEY")), "{event}");
    assert_eq!(event["links"][0]["href"], format!("https://sandbook.test/runs/{run}"), "{event}");
    assert_eq!(event["payload"]["custom_details"]["labels"]["host"], "</script>\"", "{event}");
    channel(&daemon, "pager", |pager| pager["sent"] == 1);
    daemon.alert(&[odd.resolved()]);
    daemon.kill();
    daemon.restart();
    let over = posts(&daemon, &pager, 2)[1].json();
    assert_eq!((&over["event_action"], &over["dedup_key"]), (&json!("resolve"), &event["dedup_key"]), "{over}");
    channel(&daemon, "pager", |pager| pager["sent"] == 2 && pager["waiting"] == 0);
    assert!(other.posts().is_empty(), "its labels are others: {:?}", other.posts());
    assert!(!daemon.log_text().contains("R0UT1NGKEY"), "a key in the log");
}

#[test]
fn a_change_is_annotated_once_and_its_message_has_evidence() {
    let fake = FakeDocker::start();
    fake.container("web-1", "none");
    fake.logs("web-1", "starting\nout of memory <b>\n");
    let (grafana, hook) = (Receiver::open(), Receiver::open());
    let config = format!(
        "public_url = \"https://sandbook.test\"\n[policy]\ndirs = [\"./policy\"]\n[grafana]\nurl = \"{}graphs\"\n\
         token_file = \"./secrets/grafana\"\n[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{}\"\n\
         [[notify.routes]]\non = [\"acted\"]\nchannel = \"ops\"\n",
        grafana.url(),
        hook.url()
    );
    let setup = Setup::with(&config).docker(&fake.endpoint()).file("policy/p.cedar", POLICY);
    let mut daemon = Daemon::start(setup.file("secrets/grafana", "gr4fana-t0ken\n"));
    grafana.answer(500, "");
    daemon.push_live(&restarts());
    let run = daemon.run("restarts", &json!({"target": "web-1"}));
    daemon.ended(&run);
    daemon.kill();
    daemon.restart();
    let all = posts(&daemon, &grafana, 2);
    let (first, second) = (&all[0], &all[1]);
    assert_eq!(
        (first.path.as_str(), first.header("authorization")),
        ("/graphs/api/annotations", "Bearer gr4fana-t0ken")
    );
    assert_eq!(first.json(), second.json(), "the same again");
    let annotation = second.json();
    assert_eq!(annotation["tags"], json!(["sandbook", "restarts", "docker.restart-container", "local/web-1"]));
    assert!(
        annotation["text"].as_str().is_some_and(|text| text.contains("restart container local/web-1")),
        "{annotation}"
    );
    let journal = daemon.journal(&run);
    let settled = journal.iter().filter(|record| record["kind"] == "settled").count();
    assert!(settled >= 3 && annotation["time"].as_u64().is_some(), "{annotation}");
    channel(&daemon, "[grafana]", |grafana| grafana["waiting"] == 0 && grafana["sent"] == 1);

    let told = posts(&daemon, &hook, 1)[0].json();
    let text = told["text"].as_str().unwrap_or_default();
    for part in ["before: running", "after: running", "last log line: \"out of memory <b>\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_digest_is_sent_once_for_its_time_and_can_be_read_at_any() {
    let receiver = Receiver::open();
    let digest = "[notify.digest]\nschedule = \"0 9 * * 1\"\ntimezone = \"Europe/Berlin\"\nchannel = \"ops\"\n";
    let mut daemon = Daemon::start(Setup::with(&format!("{}{digest}", hook(&receiver.url(), ""))));
    daemon.push_live(&escalates());
    for number in 0..5 {
        daemon.alert(&[Alert::firing("Odd").label("number", &number.to_string())]);
    }
    let said = daemon.cli(&["digest", "--since", "1h"]).expect(0);
    said.says("passes-on (live)").says("Odd: 5 times").says("stage");
    daemon.api().get("/v1/digest?since=nonsense").expect(400);
    let week = daemon.api().get("/v1/digest").expect(200).json();
    assert_eq!(week["noisy"][0]["episodes"], 5, "{week}");
    let schedules = daemon.api().get("/v1/schedules").expect(200).text();
    assert!(!schedules.contains("notify.digest"), "it is no runbook's: {schedules}");
    posts(&daemon, &receiver, 1);
    let digests = || receiver.posts().into_iter().filter(|post| post.json()["kind"] == "digest").collect::<Vec<_>>();
    assert!(digests().is_empty(), "nothing was due");

    // It was down when the digest was due, and is killed before it notes that it made up for it.
    daemon.kill();
    set_back(&daemon);
    daemon.restart();
    let told = wait::until(
        "the digest",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || digests().first().cloned().ok_or_else(|| format!("{:?}", receiver.posts())),
    );
    let settled = sqlite(&daemon, SEEN);
    daemon.kill();
    set_back(&daemon);
    daemon.restart();
    wait::until(
        "the same time to be settled again",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            let seen = sqlite(&daemon, SEEN);
            if seen == settled { Ok(()) } else { Err(seen) }
        },
    );
    channel(&daemon, "ops", |ops| ops["waiting"] == 0);
    assert_eq!(digests().len(), 1, "{:?}", digests());
    let told = told.json();
    assert!(told["title"].as_str().is_some_and(|title| title.contains("the week until")), "{told}");
}

#[test]
fn a_digest_says_what_shadow_would_have_done_and_which_line_promotes_it() {
    let fake = FakeDocker::start();
    fake.container("web-1", "none");
    let config = "[policy]\ndirs = [\"./policy\"]\n";
    let daemon = Daemon::start(Setup::with(config).docker(&fake.endpoint()).file("policy/p.cedar", POLICY));
    for (name, effect, call) in [
        ("restarts", "docker.restart-container", "docker::restart_container"),
        ("stops", "docker.stop-container", "docker::stop_container"),
    ] {
        let manifest = format!(
            "//! name = \"{name}\"\n//! version = \"1.0.0\"\n//! summary = \"Made by a test.\"\n//! [[trigger]]\n\
             //! alert = [\"{name}\"]\n//! [target]\n//! kind = \"container\"\n//! container_from = [\"name\"]\n\
             //! [requests]\n//! effects = [\"{effect}\"]\n"
        );
        let code = format!("{manifest}fn run(input) {{ {call}(input.target); fixed(\"well\") }}");
        let pushed = daemon.push(&Package::rhai_file(name, &code));
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        let alert = |number: usize| Alert::firing(name).label("name", "web-1").label("number", &number.to_string());
        let answer = daemon.alert(&(0..5).map(alert).collect::<Vec<_>>());
        for run in answer["runs"].as_array().expect("a list") {
            daemon.ended(run["run"].as_str().expect("an id"));
        }
    }
    let week = daemon.api().get("/v1/digest").expect(200).json();
    let line = |name: &str| {
        let lines = week["runbooks"].as_array().into_iter().flatten();
        lines.clone().find(|line| line["runbook"] == name).cloned().unwrap_or_else(|| panic!("{name}: {week}"))
    };
    assert_eq!((&line("restarts")["shadow"], &line("restarts")["would_act"]), (&json!(5), &json!(5)), "{week}");
    assert_eq!((&line("stops")["shadow"], &line("stops")["would_act"]), (&json!(5), &json!(0)), "{week}");
    let promote = week["promote"].as_array().expect("a list");
    assert_eq!(promote.len(), 1, "what would be refused is not promoted: {week}");
    assert!(promote[0]["why"].as_str().is_some_and(|why| why.contains("it would restart container")), "{week}");
    daemon.cli(&["digest"]).expect(0).says("sandbook promote restarts ask --reason");
}

/// How far the digest's schedule is settled.
const SEEN: &str = "SELECT seen FROM schedules WHERE runbook = '[notify.digest]'";

/// As if the daemon had been down for eight days.
#[track_caller]
fn set_back(daemon: &Daemon) {
    let back = "UPDATE schedules SET seen = seen - 691200000 WHERE runbook = '[notify.digest]'; SELECT changes()";
    assert_eq!(sqlite(daemon, back), "1", "its schedule is followed");
}

#[track_caller]
fn sqlite(daemon: &Daemon, statement: &str) -> String {
    let database = daemon.data("sandbook.db");
    let ran = std::process::Command::new("sqlite3").arg(database).arg(statement).output().expect("sqlite3 is there");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}
