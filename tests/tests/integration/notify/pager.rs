//! The pace of a channel over a kill.
//!
//! Deliberately not here: incidents that end with their alert; they are beside this, in `notify`.

use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::receiver::Receiver;
use serde_json::json;

use super::{channel, escalates, hook, posts};

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
}
