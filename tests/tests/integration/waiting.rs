//! Waiting costs nothing: ten thousand runs that wait hold no guest and no memory to speak of, and survive a kill.
//!
//! Deliberately not here: what a wait is recorded as and how it ends; the engine's own tests and `kills` have that.

use std::time::{Duration, Instant};

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::package::{Asks, Package};
use sandbook_tests::{announce, wait};
use serde_json::json;

/// As many as the promise names.
const RUNS: usize = 10_000;
/// What they may add to the daemon's resident memory, in KiB.
const GROWTH_KIB_MAX: u64 = 100 << 10;
/// Alerts of one message: a storm comes in several.
const BATCH: usize = 500;
/// A debug build starts some hundred guests a second.
const ALL_WAIT_WITHIN: Duration = Duration::from_secs(240);
/// Bringing them back reads them once.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Runs of one page.
const PAGE: usize = 1_000;

/// How many wait, counted page by page.
#[track_caller]
fn waiting(daemon: &Daemon) -> usize {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let path = format!("/v1/runs?state=waiting&limit={PAGE}{cursor}");
        let page = daemon.api().get(&path).expect(200).json();
        count += page["runs"].as_array().map_or(0, Vec::len);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", sandbook_tests::docker::percent(next)),
            None => return count,
        }
    }
}

#[test]
fn ten_thousand_waiting_runs_cost_nothing() {
    let began = Instant::now();
    let mut daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\"\n[workers]\nqueue = 20000\n"));
    let asks = Asks { more: "[[trigger]]\nalert = [\"Wait\"]", ..Asks::default() };
    daemon.push_live(&Package::rhai("sleeper", asks, "fn run(input) { clock::sleep(3600000); done(\"slept\") }"));
    let warm = Alert::firing("Wait").fingerprint("00000000000000ff").label("number", "warm");
    daemon.alert(&[warm]);
    await_waiting(&daemon, 1, ALL_WAIT_WITHIN);
    let before = daemon.resident_kib();

    for batch in 0..RUNS / BATCH {
        let numbers = (batch * BATCH..(batch + 1) * BATCH).map(|number| number + 0x1000);
        let alert = |number: usize| Alert::firing("Wait").fingerprint(&format!("{number:016x}"));
        let alerts: Vec<Alert> = numbers.map(|number| alert(number).label("number", &number.to_string())).collect();
        assert_eq!(daemon.alert(&alerts)["accepted"], BATCH);
    }
    await_waiting(&daemon, RUNS + 1, ALL_WAIT_WITHIN);
    let (started, after) = (began.elapsed(), daemon.resident_kib());
    let growth = after.saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{RUNS} waiting runs added {growth} KiB to {before} KiB");

    daemon.kill();
    let restart = Instant::now();
    daemon.restart();
    await_waiting(&daemon, RUNS + 1, BACK_WITHIN);
    let (back, fresh) = (restart.elapsed(), daemon.resident_kib());
    let one = daemon.runs("state=waiting&limit=1")[0]["run"].as_str().expect("a run has an id").to_owned();
    let answer = daemon.api().post(&format!("/v1/runs/{one}/cancel"), &json!({"reason": "one of many"}));
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    assert_eq!(daemon.ended(&one)["state"], "cancelled");
    assert_eq!(waiting(&daemon), RUNS, "the others go on waiting\n{}", daemon.log_tail());
    announce(&format!(
        "waiting: {RUNS} runs after {:.0} s, resident {} → {} MiB; killed, all back after {:.1} s with {} MiB; {:.0} s in all",
        started.as_secs_f64(),
        before >> 10,
        after >> 10,
        back.as_secs_f64(),
        fresh >> 10,
        began.elapsed().as_secs_f64()
    ));
}

#[track_caller]
fn await_waiting(daemon: &Daemon, count: usize, within: Duration) {
    wait::until(
        &format!("{count} runs to wait"),
        within,
        || daemon.log_tail(),
        || {
            let found = waiting(daemon);
            if found == count { Ok(()) } else { Err(format!("{found} wait")) }
        },
    );
}
