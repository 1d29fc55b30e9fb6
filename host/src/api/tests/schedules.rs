//! Schedules over a world whose clock a test moves: made once, made up for or not, and said why.

use super::*;
use crate::store::{FireResult, Pause, ScheduleKey, Selector, Store as _};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// Runbooks of these tests, beside those that are built in.
const NAMES: [&str; 6] = ["nightly", "hourly", "never", "patient", "jumpy", "report"];
/// A run takes some milliseconds once the interpreter is compiled.
const ENDED_LOOKS: u32 = 6_000;
const ENDED_LOOK: std::time::Duration = std::time::Duration::from_millis(10);

fn nightly(name: &str, version: &str, trigger: &str) -> String {
    format!(
        "//! name = \"{name}\"\n//! version = \"{version}\"\n//! summary = \"s\"\n//! [target]\n//! kind = \"none\"\n\
         //! [[trigger]]\n//! {}\nfn run(input) {{ done(\"reported\") }}\n",
        trigger.replace('\n', "\n//! ")
    )
}

fn at(text: &str) -> u64 {
    let at: jiff::Timestamp = text.parse().expect(text);
    u64::try_from(at.as_millisecond()).expect("after 1970")
}

impl Daemon {
    async fn push(&self, script: &str) -> Value {
        let request = Request::builder()
            .method("POST")
            .uri("/v1/runbooks")
            .header("authorization", format!("Bearer {}", token("author")))
            .header("content-type", "text/x-rhai")
            .body(Body::from(script.to_owned()))
            .expect("a request");
        let (status, answer) = self.send(request).await;
        assert!(status.is_success(), "{answer}");
        answer
    }

    /// The clock shows that, and schedules are looked at.
    async fn clock(&self, text: &str) {
        self.world.lock().expect("no panic").now_ms = at(text);
        self.app.schedules.look().await.expect("looked");
    }

    async fn scheduled(&self) -> Vec<Value> {
        let (_, runs) = self.get("/v1/runs").await;
        let runs = runs["runs"].as_array().expect("runs").clone();
        let own = |run: &Value| run["runbook"].as_str().is_some_and(|name| NAMES.contains(&name));
        runs.into_iter().filter(|run| run["trigger"] == "schedule" && own(run)).collect()
    }

    /// Results of the times of a schedule, newest first.
    async fn results(&self, name: &str, schedule: &str, timezone: &str) -> Vec<String> {
        let key = ScheduleKey {
            runbook: name.to_owned(),
            schedule: schedule.to_owned(),
            timezone: timezone.to_owned(),
            target: String::new(),
        };
        let fires = self.app.store.fires(&key, 100).await.expect("read");
        let said = |ms: u64| super::super::time::Time(ms).to_string();
        fires.iter().map(|fire| format!("{} {}", said(fire.at), fire.result.name())).collect()
    }

    async fn ended(&self, count: usize) {
        for _ in 0..ENDED_LOOKS {
            let runs = self.scheduled().await;
            if runs.len() == count && runs.iter().all(|run| run["state"] == "succeeded") {
                return;
            }
            tokio::time::sleep(ENDED_LOOK).await;
        }
        panic!("{:?}", self.scheduled().await);
    }
}

#[tokio::test]
async fn a_time_is_made_once_also_where_the_clock_is_moved() {
    let daemon = daemon().await;
    daemon.world.lock().expect("no panic").now_ms = at("2026-03-28T12:00:00Z");
    daemon.push(&nightly("nightly", "1.0.0", "schedule = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"")).await;
    daemon.clock("2026-03-28T12:00:01Z").await;
    let (_, shown) = daemon.get("/v1/schedules?runbook=nightly&count=2").await;
    let shown = &shown["schedules"][0];
    assert_eq!(
        (&shown["state"], &shown["last"], &shown["stage"]),
        (&json!("watching"), &Value::Null, &json!("shadow"))
    );
    assert_eq!(shown["next"][0]["at"], "2026-03-29T01:00:00.000Z", "{shown}");
    assert!(shown["next"][0]["note"].as_str().expect("a note").contains("skips 02:30"), "{shown}");
    assert_eq!(
        (&shown["next"][1]["at"], &shown["next"][1]["note"]),
        (&json!("2026-03-30T00:30:00.000Z"), &Value::Null)
    );

    daemon.clock("2026-03-29T00:59:59Z").await;
    assert_eq!(daemon.scheduled().await.len(), 0);
    for _ in 0..3 {
        daemon.clock("2026-03-29T01:00:00Z").await;
    }
    daemon.ended(1).await;
    let run = &daemon.scheduled().await[0];
    assert_eq!((&run["mode"], &run["episode"], &run["outcome"]), (&json!("shadow"), &Value::Null, &json!("done")));
    let key = nightly("nightly", "1.0.1", "schedule = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"");
    daemon.push(&key).await;
    daemon.clock("2026-03-29T01:00:30Z").await;
    assert_eq!(daemon.scheduled().await.len(), 1, "a newer version makes nothing twice");
    // In autumn 2:30 comes twice.
    daemon.clock("2026-10-24T23:00:00Z").await;
    daemon.clock("2026-10-25T00:30:00Z").await;
    daemon.clock("2026-10-25T01:30:00Z").await;
    let results = daemon.results("nightly", "30 2 * * *", "Europe/Berlin").await;
    assert_eq!(results[0], "2026-10-25T00:30:00.000Z started");
    assert_eq!(results.last().expect("one"), "2026-03-29T01:00:00.000Z started");
    let (_, metrics) = daemon.get("/metrics").await;
    let metrics = metrics.as_str().expect("text");
    assert!(metrics.contains("sandbook_schedule_next_timestamp_seconds{runbook=\"nightly\"} 1792978200"), "{metrics}");
    let (_, status) = daemon.get("/status").await;
    let coming = status["schedules"].as_array().expect("a list");
    assert!(coming.contains(&json!({"name": "nightly", "next": "2026-10-26T01:30:00.000Z"})), "{coming:?}");
    let (_, runbook) = daemon.get("/v1/runbooks/nightly").await;
    assert_eq!(runbook["next_fire"], "2026-10-26T01:30:00.000Z");
}

#[tokio::test]
async fn a_restart_makes_up_for_the_newest_and_a_crash_makes_nothing_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = format!("data_dir = {:?}\n[auth]\nmode = \"off\"\n", dir.path().join("data"));
    let world = Arc::new(Mutex::new(World::invent_demo()));
    let store = Arc::new(Sqlite::in_memory().expect("a store"));
    let look = async |now: &str, expected: usize| {
        world.lock().expect("no panic").now_ms = at(now);
        // Each time another daemon over the same store, as after `kill -9`: what is not in there is gone.
        let app = app(&text, &world, store.clone()).await;
        if expected == 0 && store.versions("hourly").await.expect("read").is_empty() {
            for (name, more) in
                [("hourly", ""), ("never", "\ncatch_up = \"skip\""), ("patient", "\ncatch_up_within = \"3h\"")]
            {
                let script = nightly(name, "1.0.0", &format!("schedule = \"0 3 * * *\"{more}"));
                app.library.upload(script.as_bytes(), Some("text/x-rhai"), "dana", None).await.expect("uploaded");
            }
        }
        app.schedules.look().await.expect("looked");
        app.schedules.look().await.expect("looked");
        let over = async || {
            let (runs, _) = store.runs(crate::store::RunFilter::default()).await.expect("read");
            let own: Vec<_> = runs.into_iter().filter(|run| NAMES.contains(&run.runbook.as_str())).collect();
            assert_eq!(own.len(), expected, "{now}: {own:?}");
            own.iter().all(|run| run.state == sandbook_core::run::State::Succeeded)
        };
        for _ in 0..ENDED_LOOKS {
            if over().await {
                break;
            }
            tokio::time::sleep(ENDED_LOOK).await;
        }
        assert!(over().await, "{now}: its runs do not end");
        let rows = store.schedules().await.expect("read");
        let last = |row: &crate::store::ScheduleRow| row.last.as_ref().map_or("-", |last| last.result.name());
        let own = rows.iter().filter(|row| NAMES.contains(&row.key.runbook.as_str()));
        own.map(|row| format!("{} {}", row.key.runbook, last(row))).collect::<Vec<_>>()
    };
    assert_eq!(look("2026-05-01T12:00:00Z", 0).await, ["hourly -", "never -", "patient -"]);
    assert_eq!(look("2026-05-02T03:00:30Z", 3).await, ["hourly started", "never started", "patient started"]);
    assert_eq!(look("2026-05-02T03:00:31Z", 3).await, ["hourly started", "never started", "patient started"]);
    // Down over the time, back 30 minutes later.
    assert_eq!(look("2026-05-03T03:30:00Z", 5).await, ["hourly late", "never missed", "patient late"]);
    assert_eq!(look("2026-05-03T03:30:05Z", 5).await, ["hourly late", "never missed", "patient late"]);
    // Down for days, back two hours after the newest of them: of four only that one, and only for who is so patient.
    assert_eq!(look("2026-05-07T05:00:00Z", 6).await, ["hourly missed", "never missed", "patient late"]);
}

#[tokio::test]
async fn a_clock_that_jumps_makes_nothing_twice_and_does_not_stand_still() {
    let daemon = daemon().await;
    daemon.world.lock().expect("no panic").now_ms = at("2026-05-01T12:00:00Z");
    daemon.push(&nightly("jumpy", "1.0.0", "schedule = \"0 * * * *\"")).await;
    let results = async || daemon.results("jumpy", "0 * * * *", "UTC").await.len();
    daemon.clock("2026-05-01T12:00:01Z").await;
    daemon.clock("2026-05-01T13:00:00Z").await;
    daemon.ended(1).await;
    // Back by minutes, a correction: nothing again, and forward over the same time: still nothing.
    daemon.clock("2026-05-01T12:58:00Z").await;
    daemon.clock("2026-05-01T13:00:02Z").await;
    assert_eq!((daemon.scheduled().await.len(), results().await), (1, 1));
    // Ten years ahead by mistake: the newest of all those times, once.
    daemon.clock("2036-05-01T12:00:10Z").await;
    daemon.ended(2).await;
    assert_eq!(results().await, 2);
    // And back: it goes on, and the time that was made before is not made again.
    daemon.clock("2026-05-01T12:59:00Z").await;
    daemon.clock("2026-05-01T13:00:00Z").await;
    assert_eq!(daemon.scheduled().await.len(), 2, "13:00 was made before the jump");
    daemon.clock("2026-05-01T14:00:00Z").await;
    daemon.ended(3).await;
}

#[tokio::test]
async fn what_is_paused_or_not_over_is_skipped_and_said_why() {
    let daemon = daemon().await;
    daemon.world.lock().expect("no panic").now_ms = at("2026-05-01T12:00:00Z");
    daemon.push(&nightly("report", "1.0.0", "schedule = \"0 * * * *\"")).await;
    daemon.clock("2026-05-01T12:00:01Z").await;
    let pause = async |runbook: &str, hours: u64| {
        let now = daemon.app.now_ms();
        let pause = Pause {
            id: crate::store::id::new("p"),
            selector: Selector { runbook: Some(runbook.to_owned()), ..Selector::default() },
            reason: "the database is moved".to_owned(),
            by: "dana".to_owned(),
            at: now,
            until: now + hours * HOUR,
        };
        daemon.app.store.add_pause(pause).await.expect("paused");
    };
    pause("rep*", 1).await;
    let (_, shown) = daemon.get("/v1/schedules?runbook=report").await;
    assert_eq!(shown["schedules"][0]["state"], "paused", "{shown}");
    assert!(shown["schedules"][0]["why"].as_str().expect("why").contains("dana until"), "{shown}");
    daemon.clock("2026-05-01T13:00:00Z").await;
    let (_, shown) = daemon.get("/v1/schedules?runbook=report").await;
    assert_eq!(shown["schedules"][0]["last"]["why"], "paused by dana: the database is moved");
    // A pause of everything holds changes back; a report still comes.
    pause("*", 1).await;
    daemon.clock("2026-05-01T14:00:00Z").await;
    daemon.ended(1).await;
    // A run that is not over.
    let run = daemon.scheduled().await[0]["run"].as_str().expect("an id").to_owned();
    let patch = crate::store::RunPatch { state: Some(sandbook_core::run::State::Waiting), ..Default::default() };
    daemon.app.store.update_run(&run, patch).await.expect("waits");
    daemon.clock("2026-05-01T15:00:00Z").await;
    assert_eq!(daemon.scheduled().await.len(), 1);
    let (_, shown) = daemon.get("/v1/schedules?runbook=report").await;
    let last = &shown["schedules"][0]["last"];
    assert_eq!(last["result"], FireResult::Overlap.name());
    assert!(last["why"].as_str().expect("why").contains(&run), "{last}");
    // What is no longer there is history.
    daemon.push(&nightly("report", "1.1.0", "schedule = \"5 * * * *\"")).await;
    let (_, shown) = daemon.get("/v1/schedules?runbook=report").await;
    let states: Vec<&Value> = shown["schedules"].as_array().expect("two").iter().map(|one| &one["state"]).collect();
    assert_eq!(states, [&json!("gone"), &json!("watching")], "{shown}");
    let (status, answer) = daemon.get("/v1/schedules?runbook=nobody").await;
    assert_eq!((status, code(&answer)), (StatusCode::NOT_FOUND, "SB0107"));
}

#[tokio::test]
async fn a_time_zone_that_is_none_is_refused_where_it_stands() {
    let daemon = daemon().await;
    let script = nightly("lost", "1.0.0", "schedule = \"0 3 * * *\"\ntimezone = \"Europe/Berln\"");
    let error = daemon.app.library.upload(script.as_bytes(), Some("text/x-rhai"), "dana", None).await;
    let crate::library::UploadError::Problems(problems) = error.expect_err("no such zone") else { panic!("problems") };
    let problem = &problems[0];
    assert_eq!((problem.code, problem.line, problem.column), ("SB0246", 8, 16), "{problem}");
    assert!(problem.message.contains("did you mean Europe/Berlin?"), "{problem}");
}

#[tokio::test]
async fn a_schedule_gives_its_runs_what_its_trigger_says_and_a_match_tells_of_it() {
    let daemon = daemon().await;
    daemon.world.lock().expect("no panic").now_ms = at("2026-05-01T12:30:00Z");
    let given = |name: &str, parameters: &str| {
        let declared =
            "[parameters.lines]\ntype = \"integer\"\ndefault = 1\n[parameters.within]\ntype = \"duration\"\n";
        nightly(name, "1.0.0", &format!("schedule = \"0 * * * *\"\n{parameters}\n{declared}"))
    };
    daemon.push(&given("hourly", "parameters = { lines = 5, within = \"2h\" }")).await;
    daemon.push(&given("never", "")).await;
    daemon.clock("2026-05-01T12:30:01Z").await;
    let asked = json!({"labels": {"alertname": "Nobody"}});
    let (_, answer) = daemon.act("POST", "/v1/match", Some(asked)).await;
    let of = |name: &str| {
        let all = answer["schedules"].as_array().expect("a list").iter();
        all.clone().find(|one| one["runbook"] == name).cloned().unwrap_or_else(|| panic!("{answer}"))
    };
    assert_eq!(
        (&of("hourly")["starts"], &of("hourly")["why"]),
        (&json!(true), &json!("next at 2026-05-01 13:00; its runs change nothing"))
    );
    assert_eq!(of("never")["starts"], false);
    assert!(of("never")["why"].as_str().expect("why").contains("parameter `within` is missing"), "{answer}");

    daemon.clock("2026-05-01T13:00:00Z").await;
    daemon.ended(1).await;
    let run = daemon.scheduled().await[0]["run"].as_str().expect("an id").to_owned();
    let (_, run) = daemon.get(&format!("/v1/runs/{run}")).await;
    assert_eq!(run["parameters"], json!({"lines": {"integer": 5}, "within": {"duration": 7_200_000}}), "{run}");
    let (_, shown) = daemon.get("/v1/schedules?runbook=never").await;
    let never = &shown["schedules"][0];
    assert_eq!((&never["state"], &never["last"]["result"]), (&json!("unfit"), &json!("failed")), "{shown}");
    let (_, shown) = daemon.get("/v1/schedules?runbook=hourly").await;
    assert_eq!(shown["schedules"][0]["parameters"], json!({"lines": "5", "within": "2h"}));
}
