//! Schedules by the real clock, which a test sets: each time is made once, whatever is killed when.

use std::time::{Duration, Instant};

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::package::{Asks, Package};
use sandbook_tests::{announce, wait};
use serde_json::Value;

use crate::machine::WallClock;

/// Jumps, each followed by a kill at another moment.
const KILLS: u64 = 6;
/// How much later than the jump before it kills, so that some come before the look, some in it and some after.
const LATER: Duration = Duration::from_millis(220);
/// A look comes every second; a run of nothing takes less.
const SOON: Duration = Duration::from_secs(30);

fn scheduled(daemon: &Daemon) -> Vec<Value> {
    daemon.runs("limit=1000").into_iter().filter(|run| run["runbook"] == "hourly").collect()
}

#[test]
fn a_time_is_made_once_wherever_the_daemon_is_killed() {
    let began = Instant::now();
    let (clock, setup) = WallClock::of(Setup::with(""));
    let mut daemon = Daemon::start(setup);
    // Half an hour away from now, so that only jumps pass it.
    let minute = (jiff::Timestamp::now().as_second() / 60 + 30) % 60;
    let more = format!("[[trigger]]\nschedule = \"{minute} * * * *\"\n");
    let script = "fn run(input) { done(\"reported\") }\n";
    daemon.push(&Package::rhai("hourly", Asks { more: &more, ..Asks::default() }, script)).expect(201);
    let followed = || {
        let shown = daemon.api().get("/v1/schedules?runbook=hourly").expect(200).json();
        let next = shown["schedules"][0]["next"][0]["at"].as_str().map(str::to_owned);
        let status = daemon.api().get("/status").expect(200).json();
        let follows = status["schedules"].to_string().contains("hourly");
        next.filter(|_| follows).ok_or_else(|| shown.to_string())
    };
    wait::until("the schedule to be followed", SOON, || daemon.log_tail(), followed);
    for kill in 1..=KILLS {
        clock.set(&format!("+{}m", 60 * kill));
        std::thread::sleep(LATER * u32::try_from(kill).expect("few"));
        daemon.kill();
        daemon.restart();
        let wanted = usize::try_from(kill).expect("few");
        let made = || {
            let runs = scheduled(&daemon);
            let over = runs.iter().all(|run| run["state"] == "succeeded");
            if runs.len() >= wanted && over { Ok(()) } else { Err(format!("{runs:?}")) }
        };
        wait::until("the run of a time that passed", SOON, || daemon.log_tail(), made);
        assert_eq!(scheduled(&daemon).len(), wanted, "{}", daemon.log_tail());
    }
    // Nothing is made up for a second time by one more start.
    daemon.kill();
    daemon.restart();
    wait::until(
        "the schedule to be followed again",
        SOON,
        || daemon.log_tail(),
        || {
            let status = daemon.api().get("/status").expect(200).json();
            let coming = status["schedules"].to_string().contains("hourly");
            if coming { Ok(()) } else { Err(status.to_string()) }
        },
    );
    let runs = scheduled(&daemon);
    assert_eq!(runs.len() as u64, KILLS);
    assert!(runs.iter().all(|run| run["mode"] == "shadow" && run["outcome"] == "done"), "{runs:?}");
    daemon.cli(&["schedules"]).expect(0).says("hourly").says(&format!("{minute} * * * * UTC")).says("watching");
    daemon.cli(&["schedules", "hourly", "--next", "3", "--json"]).expect(0).says("\"next\"");
    announce(&format!("schedules: {KILLS} kills, each time made once, {:.0} s", began.elapsed().as_secs_f64()));
}
