//! Incidents at the pager that wait for a person, and the pace of a channel: both over a kill.
//!
//! Deliberately not here: incidents that end with their alert; they are beside this, in `notify`.

use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::receiver::Receiver;
use serde_json::json;

use super::{POLICY, channel, escalates, hook, posts, restarts};

#[test]
fn re_arming_a_brake_resolves_the_incident_that_its_trip_opened_also_over_a_kill() {
    let fake = FakeDocker::start();
    fake.container("web-1", "none");
    let pager = Receiver::open();
    let config = format!(
        "[policy]\ndirs = [\"./policy\"]\n[notify.channels.pager]\nkind = \"pagerduty\"\nurl = \"{}\"\n\
         routing_key_file = \"./secrets/key\"\n[[notify.routes]]\non = [\"tripped\"]\nchannel = \"pager\"\n",
        pager.url()
    );
    let setup = Setup::with(&config).docker(&fake.endpoint()).file("policy/p.cedar", POLICY);
    let mut daemon = Daemon::start(setup.file("secrets/key", "R0UT1NGKEY\n"));
    daemon.push_live(&restarts());
    let run = daemon.run("restarts", &json!({"target": "web-1"}));
    daemon.ended(&run);
    let opened = posts(&daemon, &pager, 1)[0].json();
    assert_eq!((&opened["event_action"], &opened["payload"]["class"]), (&json!("trigger"), &json!("tripped")));
    channel(&daemon, "pager", |pager| pager["sent"] == 1);
    let brakes = daemon.api().get("/v1/brakes").expect(200).json();
    let trip = brakes["brakes"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(opened["dedup_key"], format!("sandbook-{trip}"), "{opened}");
    assert_eq!(pager.posts().len(), 1, "it stays open while the brake is tripped: {:?}", pager.posts());

    daemon.cli(&["rearm", &trip, "--reason", "the disk had been full"]).expect(0);
    daemon.kill();
    daemon.restart();
    let over = posts(&daemon, &pager, 2)[1].json();
    let wanted = json!({"routing_key": "R0UT1NGKEY", "event_action": "resolve", "dedup_key": opened["dedup_key"]});
    assert_eq!(over, wanted);
    channel(&daemon, "pager", |pager| pager["sent"] == 2 && pager["waiting"] == 0);
    daemon.kill();
    daemon.restart();
    channel(&daemon, "pager", |pager| pager["sent"] == 2 && pager["waiting"] == 0);
    assert_eq!(pager.posts().len(), 2, "once: {:?}", pager.posts());
}

#[test]
fn a_channel_gets_no_more_in_a_minute_because_the_daemon_was_started_again() {
    let receiver = Receiver::open();
    let mut daemon = Daemon::start(Setup::with(&hook(&receiver.url(), "per_minute = 2")));
    daemon.push_live(&escalates());
    for count in 1..=2 {
        let run = daemon.run("passes-on", &json!({}));
        daemon.ended(&run);
        posts(&daemon, &receiver, count);
    }
    channel(&daemon, "ops", |ops| ops["sent"] == 2);
    daemon.kill();
    daemon.restart();
    let run = daemon.run("passes-on", &json!({}));
    daemon.ended(&run);
    channel(&daemon, "ops", |ops| ops["waiting"] == 1);
    // Its lane looks every second; without what the store remembers it would be gone by then.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(receiver.posts().len(), 2, "{:?}", receiver.posts());
    let status = channel(&daemon, "ops", |ops| ops["waiting"] == 1);
    assert!(
        status["failing_since"].is_null() && status["last_sent"].is_string(),
        "it waits, and does not fail: {status}"
    );
}
