//! One fault, one run: what joins, what waits for a window, and what goes on after it.

use sandbook_core::alert::{Alert, Status};
use sandbook_core::run::{Outcome, State};
use serde_json::Value;

use super::*;
use crate::store::{Incoming, RunPatch};

const RESTART: &str = "fn run(input) { docker::restart_container(input.target); fixed(\"restarted\") }";
const SETTLE_MS: u64 = 120_000;

fn restarting(name: &str) -> Package {
    let source = format!(
        "//! name = \"{name}\"\n//! version = \"1.0.0\"\n//! summary = \"a test\"\n//! [target]\n//! kind = \"container\"\n\
         //! [requests]\n//! effects = [\"docker.restart-container\"]\n//! [brake]\n//! attempts = [\"9/1h\"]\n\
         //! settle = \"2m\"\n{RESTART}\n"
    );
    let upload = Upload::Bytes { bytes: source.as_bytes(), content_type: Some("text/x-rhai") };
    Package::read(upload).unwrap_or_else(|problems| panic!("{problems:?}")).0
}

fn message(bench: &Bench, fingerprint: &str, status: Status) -> Incoming {
    let now = bench.runner.parts().clock.now().unix_ms;
    let starts_at = jiff::Timestamp::from_millisecond(i64::try_from(now).expect("a time")).expect("a time");
    let labels = [("alertname".to_owned(), "Sick".to_owned()), ("serial".to_owned(), fingerprint.to_owned())].into();
    let alert = Alert {
        status,
        labels,
        annotations: BTreeMap::new(),
        starts_at,
        ends_at: None,
        generator_url: String::new(),
        fingerprint: fingerprint.to_owned(),
    };
    Incoming {
        alert,
        received_at: now,
        source: "test".to_owned(),
        matched: Value::Null,
        snapshot: Value::Null,
        runs: Vec::new(),
        joins: BTreeMap::new(),
    }
}

impl Bench {
    async fn episode(&self, fingerprint: &str) -> String {
        let incoming = message(self, fingerprint, Status::Firing);
        self.store.accept(vec![incoming]).await.expect("accepted").remove(0).episode
    }

    async fn resolve(&self, fingerprint: &str) {
        self.store.accept(vec![message(self, fingerprint, Status::Resolved)]).await.expect("accepted");
    }

    /// A run that an alert started.
    async fn alerted(&self, package: &Package, episode: &str) -> String {
        self.install(package).await;
        let run = NewRun {
            trigger: "alert".to_owned(),
            episode: Some(episode.to_owned()),
            at: self.runner.parts().clock.now().unix_ms,
            ..self.new_run(package)
        };
        let id = run.id.clone();
        self.runner.submit(run, None).await.expect("durable");
        id
    }

    async fn until(&self, id: &str, state: State) -> RunRow {
        for _ in 0..12_000 {
            let row = self.store.run(id).await.expect("readable").expect("there");
            if row.state == state {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not {state}: {:?}", self.store.run(id).await);
    }

    async fn attempts(&self) -> usize {
        self.store.attempts(crate::store::AttemptFilter::default()).await.expect("listed").len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_joins_the_run_that_is_open_also_after_a_restart() {
    let bench = bench(EVERYTHING);
    let package = restarting("restart");
    let open = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
    let row = bench.ended(&open).await;
    let patch = RunPatch { state: Some(State::NeedsAttention), ..RunPatch::default() };
    bench.store.update_run(&open, patch).await.expect("updated");
    let again = bench_over(EVERYTHING, bench.store.clone(), bench.world.clone());
    again.runner.start().await.expect("started");
    let episode = again.episode("f1").await;
    let joined = again.alerted(&package, &episode).await;
    let ended = again.until(&joined, State::Succeeded).await;
    assert_eq!(ended.outcome, Some(Outcome::NothingToDo), "{ended:?}");
    let sentence = ended.sentence.unwrap_or_default();
    assert!(sentence.contains(&open) && sentence.contains("joins"), "{sentence}");
    let runs = again.store.episode(&episode).await.expect("readable").expect("there").runs;
    assert!(runs.iter().any(|run| run.run == open), "the episode shows whose run it joined: {runs:?}");
    assert_eq!(again.attempts().await, 1);
    assert_eq!(again.runner.open_on("restart", &row.target.expect("aimed").to_string()), Some(open));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_in_a_settle_window_waits_for_its_end() {
    let bench = bench(EVERYTHING);
    let package = restarting("restart");
    bench.runner.start().await.expect("started");
    let first = bench.episode("f1").await;
    let acted = bench.alerted(&package, &first).await;
    bench.until(&acted, State::Succeeded).await;
    let (gone, stays) = (bench.episode("gone").await, bench.episode("stays").await);
    let joins = bench.alerted(&package, &gone).await;
    let waiting = bench.until(&joins, State::Waiting).await;
    assert!(waiting.sentence.unwrap_or_default().contains(&acted));
    assert_eq!(bench.attempts().await, 1, "nothing acts inside the window");
    bench.resolve("gone").await;
    bench.world.lock().expect("world").advance(SETTLE_MS);
    let ended = bench.until(&joins, State::Succeeded).await;
    assert_eq!(ended.outcome, Some(Outcome::NothingToDo), "{ended:?}");
    assert_eq!(bench.attempts().await, 1);
    // The window is over and this alert still fires: it is a fault of its own now.
    let goes_on = bench.alerted(&package, &stays).await;
    let ended = bench.until(&goes_on, State::Succeeded).await;
    assert_eq!((ended.outcome, bench.attempts().await), (Some(Outcome::Fixed), 2), "{ended:?}");
}

/// The engine is slow: its answer is lost, and a look tells that the restart happened. That is an act like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_found_done_opens_the_window_as_well() {
    let bench = bench(EVERYTHING);
    bench.world.lock().expect("world").faults.push(sandbook_core::world::Fault {
        effect: "docker.restart-container".to_owned(),
        error: sandbook_core::error::ErrorKind::Timeout,
        happened: true,
        ..Default::default()
    });
    let package = restarting("restart");
    bench.runner.start().await.expect("started");
    let first = bench.episode("f1").await;
    let acted = bench.alerted(&package, &first).await;
    assert_eq!(bench.until(&acted, State::Succeeded).await.outcome, Some(Outcome::Fixed));
    let second = bench.episode("f2").await;
    let waits = bench.alerted(&package, &second).await;
    let waiting = bench.until(&waits, State::Waiting).await;
    assert!(waiting.sentence.unwrap_or_default().contains(&acted));
    assert_eq!(bench.attempts().await, 1, "nothing acts inside the window");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_outlasts_the_window_is_not_lost() {
    let bench = bench(EVERYTHING);
    let package = restarting("restart");
    bench.runner.start().await.expect("started");
    let first = bench.episode("f1").await;
    let acted = bench.alerted(&package, &first).await;
    bench.until(&acted, State::Succeeded).await;
    let still = bench.episode("f2").await;
    let waits = bench.alerted(&package, &still).await;
    bench.until(&waits, State::Waiting).await;
    bench.world.lock().expect("world").advance(SETTLE_MS);
    let ended = bench.until(&waits, State::Succeeded).await;
    assert_eq!((ended.outcome, bench.attempts().await), (Some(Outcome::Fixed), 2), "{ended:?}");
}
