//! Runs from trigger to end over the simulated world: real gate, real store, real sandbox, real policy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbook_core::journal::Record;
use sandbook_core::run::{Mode, Origin, Outcome, Stage, State, Verification};
use sandbook_core::world::World;
use serde_json::{Value, json};

use super::drivers::Simulated;
use super::*;
use crate::clock::Virtual;
use crate::config::Config;
use crate::guest::{Compiler, Options, Sandbox};
use crate::library::{Package, Upload};
use crate::policy::{Policy, load::Source as PolicySource};
use crate::store::{Source, Sqlite, Store, VersionRow, id};

const EVERYTHING: &str = r#"
@id("all") permit (principal, action in Action::"mutate", resource);
"#;

mod joins;
mod overlay;
mod released;
mod replaying;
mod verification;

struct Bench {
    runner: Arc<Runner>,
    store: Arc<dyn Store>,
    world: Arc<Mutex<World>>,
}

fn sandbox() -> Arc<Sandbox> {
    static SANDBOX: std::sync::OnceLock<Arc<Sandbox>> = std::sync::OnceLock::new();
    let cache_dir = std::env::temp_dir().join("sandbook-test-cache");
    SANDBOX
        .get_or_init(|| Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("an engine"))
        .clone()
}

fn bench(policy: &str) -> Bench {
    let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory().expect("a store"));
    let world = Arc::new(Mutex::new(World::invent_demo()));
    bench_over(policy, store, world)
}

fn bench_over(policy: &str, store: Arc<dyn Store>, world: Arc<Mutex<World>>) -> Bench {
    let config = Arc::new(Config::default());
    let source = PolicySource { file: "test.cedar".to_owned(), text: policy.to_owned() };
    let policy = Policy::from_sources(&[source], false)
        .expect("a valid policy")
        .with_egress(Box::new(|_, _| true))
        .with_channels(["ops".to_owned()], Some("ops".to_owned()));
    let library = Library::new(store.clone(), sandbox(), config.clone());
    let parts = Parts::new(
        store.clone(),
        sandbox(),
        Arc::new(Simulated(world.clone())),
        Arc::new(Virtual(world.clone())),
        Arc::new(crate::metrics::Metrics::default()),
        Mode::Simulate,
        config.limits.clone(),
        Brakes::default(),
        policy,
    );
    let hosts = vec![HostMatch { name: "local".to_owned(), matchers: Vec::new() }];
    Bench { runner: Runner::new(parts, library, hosts, 4, 100), store, world }
}

impl Bench {
    async fn install(&self, package: &Package) {
        let row = VersionRow {
            name: package.name.clone(),
            version: package.version.clone(),
            digest: package.digest.clone(),
            origin: Origin::Person,
            source: Source::Upload,
            manifest_json: serde_json::to_string(&package.manifest).expect("data"),
            package: package.to_tar(),
            at: 1,
            by: "test".to_owned(),
        };
        self.store.put_version(row).await.expect("stored");
    }

    async fn submit(&self, package: &Package, target: Option<&str>, stage: Stage) -> String {
        self.install(package).await;
        let parameters = package.manifest.parameters_from(&Default::default()).expect("defaults");
        let run = NewRun {
            mode: execute::mode_of(stage, Mode::Simulate),
            stage,
            parameters: serde_json::to_value(parameters).expect("data"),
            target_hint: json!({ "reference": target }),
            ..self.new_run(package)
        };
        let id = run.id.clone();
        self.runner.submit(run, None).await.expect("durable");
        id
    }

    /// A run by hand on the demo's database, not stored yet.
    fn new_run(&self, package: &Package) -> NewRun {
        NewRun {
            id: id::new("r"),
            runbook: package.name.clone(),
            version: package.version.clone(),
            digest: package.digest.clone(),
            mode: Mode::Simulate,
            stage: Stage::Live,
            origin: Origin::Person,
            trigger: "manual".to_owned(),
            episode: None,
            parameters: json!({}),
            target_hint: json!({ "reference": "shop-db-1" }),
            priority: 0,
            at: 1,
        }
    }

    async fn ended(&self, id: &str) -> RunRow {
        for _ in 0..12_000 {
            let row = self.store.run(id).await.expect("readable").expect("there");
            if row.state.is_final() && row.verification != Some(Verification::Pending)
                || row.state == State::NeedsAttention
            {
                self.replays(&row).await;
                return row;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the run did not end: {:?}", self.store.run(id).await);
    }

    /// Whatever a test lets a run do, the run executes again from its journal alone and is the same.
    async fn replays(&self, row: &RunRow) {
        let records = self.store.records(&row.id).await.expect("readable");
        let package = self.runner.library.package_by_digest(&row.digest).await.expect("readable");
        let (Some(package), false) = (package, records.is_empty()) else { return };
        let replay = crate::replay::replay(self.runner.parts(), &package, records).await.expect("a replay");
        let so_far = row.state == State::NeedsAttention;
        let equal = if so_far { crate::replay::Verdict::EqualSoFar } else { crate::replay::Verdict::Equal };
        assert_eq!(replay.verdict, equal, "{row:?} does not replay: {replay:?}");
    }
}

fn script(name: &str, requests: &[&str], body: &str) -> Package {
    let requests: Vec<String> = requests.iter().map(|name| format!("\"{name}\"")).collect();
    let source = format!(
        "//! name = \"{name}\"\n//! version = \"1.0.0\"\n//! summary = \"a test\"\n//! [target]\n//! kind = \"container\"\n\
         //! [requests]\n//! effects = [{}]\n{body}\n",
        requests.join(", ")
    );
    let upload = Upload::Bytes { bytes: source.as_bytes(), content_type: Some("text/x-rhai") };
    Package::read(upload).unwrap_or_else(|problems| panic!("{problems:?}")).0
}

async fn journal(bench: &Bench, id: &str) -> Vec<Value> {
    let records = bench.store.records(id).await.expect("readable");
    records.iter().map(|record| serde_json::to_value(record).expect("data")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_runbook_heals_and_is_verified() {
    let bench = bench(EVERYTHING);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../runbooks/restart-unhealthy");
    let (package, _) = Package::read(Upload::Path(folder.as_ref())).unwrap_or_else(|problems| panic!("{problems:?}"));
    let id = bench.submit(&package, Some("local/shop-web-1"), Stage::Live).await;
    let row = bench.ended(&id).await;
    assert_eq!((row.state, row.outcome), (State::Succeeded, Some(Outcome::Fixed)), "{row:?}");
    assert_eq!(row.verification, Some(Verification::Confirmed));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_nothing_mutates_and_the_grant_is_named() {
    let bench = bench("");
    let package = script(
        "r",
        &["docker.restart-container"],
        "fn run(input) { docker::restart_container(input.target); fixed(\"x\") }",
    );
    let before = bench.world.lock().expect("world").clone();
    let id = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
    let row = bench.ended(&id).await;
    assert_eq!((row.state, row.outcome), (State::Failed, Some(Outcome::Refused)), "{row:?}");
    let sentence = row.sentence.unwrap_or_default();
    assert!(sentence.contains("sandbook grant r docker.restart-container"), "{sentence}");
    assert!(row.error.unwrap_or_default().contains("main.rhai:"), "the place is named");
    assert_eq!(before.hosts, bench.world.lock().expect("world").hosts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_version_does_nothing() {
    let bench = bench(EVERYTHING);
    let package = script(
        "s",
        &["docker.restart-container"],
        "fn run(input) { docker::restart_container(input.target); fixed(\"x\") }",
    );
    let before = bench.world.lock().expect("world").clone();
    let id = bench.submit(&package, Some("shop-db-1"), Stage::Shadow).await;
    let row = bench.ended(&id).await;
    assert_eq!((row.state, row.mode), (State::Succeeded, Mode::Shadow));
    assert_eq!(before.hosts, bench.world.lock().expect("world").hosts, "nothing was done");
    assert!(bench.store.attempts(crate::store::AttemptFilter::default()).await.expect("listed").is_empty());
    let sentence = row.sentence.unwrap_or_default();
    assert!(sentence.contains("it would restart container local/shop-db-1"), "{sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asked_effect_waits_and_goes_on_when_approved() {
    let bench = bench("@id(\"ask\") @approval(\"ask\") permit (principal, action in Action::\"mutate\", resource);");
    let package = script(
        "a",
        &["docker.restart-container"],
        "fn run(input) { docker::restart_container(input.target); fixed(\"x\") }",
    );
    let id = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
    // Asking suspends in live mode; the simulated world takes asking as approved and marks it.
    let row = bench.ended(&id).await;
    assert_eq!(row.outcome, Some(Outcome::Fixed));
    let records = journal(&bench, &id).await;
    let settled = records.iter().find(|record| record["kind"] == "settled").expect("settled");
    assert_eq!(settled["decision"], "ask");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_mean_nothing_or_several_are_normal_outcomes() {
    let bench = bench(EVERYTHING);
    let package = script("t", &[], "fn run(input) { done(\"x\") }");
    let id = bench.submit(&package, Some("nobody"), Stage::Live).await;
    let row = bench.ended(&id).await;
    assert_eq!((row.state, row.outcome), (State::Succeeded, Some(Outcome::NoTarget)), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_of_a_service_gets_its_own_run() {
    let bench = bench(EVERYTHING);
    {
        let mut world = bench.world.lock().expect("world");
        let mut second = world.container("local", "shop-web-1").expect("the demo's").clone();
        second.name = "shop-web-2".to_owned();
        second.labels.insert(sandbook_core::target::LABEL_NUMBER.to_owned(), "2".to_owned());
        world.add_container("local", second);
    }
    let one = script("one", &[], "fn run(input) { done(input.target.name) }");
    let id = bench.submit(&one, Some("shop/web"), Stage::Live).await;
    let row = bench.ended(&id).await;
    assert_eq!(row.outcome, Some(Outcome::AmbiguousTarget), "never the first of several: {row:?}");
    assert!(row.sentence.is_some_and(|why| why.contains("shop-web-1") && why.contains("shop-web-2")));

    let mut each = script("each", &[], "fn run(input) { done(input.target.name) }");
    each = {
        let source = each.file("main.rhai").map(|bytes| String::from_utf8_lossy(bytes).into_owned()).expect("a script");
        let source = source.replace("//! [target]\n", "//! [target]\n//! each = true\n");
        let upload = Upload::Bytes { bytes: source.as_bytes(), content_type: Some("text/x-rhai") };
        Package::read(upload).unwrap_or_else(|problems| panic!("{problems:?}")).0
    };
    let id = bench.submit(&each, Some("shop/web"), Stage::Live).await;
    assert_eq!(bench.ended(&id).await.outcome, Some(Outcome::Done));
    let filter = crate::store::RunFilter { runbook: Some("each".to_owned()), limit: 10, ..Default::default() };
    let (rows, _) = bench.store.runs(filter).await.expect("readable");
    let mut names = Vec::new();
    for row in rows.iter().filter(|row| row.id != id) {
        names.push(bench.ended(&row.id).await.sentence.unwrap_or_default());
    }
    names.sort();
    assert_eq!(names, ["shop-web-1", "shop-web-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn brakes_hold_back_what_was_done_often_enough() {
    let bench = bench("@id(\"lim\") @limit(\"2/1h\") permit (principal, action in Action::\"mutate\", resource);");
    let package = script(
        "b",
        &["docker.restart-container"],
        "fn run(input) { for i in 0..3 { docker::restart_container(input.target); } fixed(\"x\") }",
    );
    let mut notices = bench.runner.notices();
    let id = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
    let row = bench.ended(&id).await;
    assert_eq!((row.state, row.outcome), (State::Failed, Some(Outcome::Limited)), "{row:?}");
    let intents = journal(&bench, &id).await.iter().filter(|record| record["kind"] == "intended").count();
    assert_eq!(intents, 2);
    let trip = bench.store.trips(true).await.expect("readable").remove(0);
    // Whoever comes later is held back by the same brake, and nobody is told of it twice.
    let later = bench.submit(&package, Some("shop-web-1"), Stage::Live).await;
    assert_eq!(bench.ended(&later).await.outcome, Some(Outcome::Limited));
    let told: Vec<Notice> = std::iter::from_fn(|| notices.try_recv().ok()).collect();
    let tripped: Vec<&Notice> = told.iter().filter(|notice| notice.event == Happened::Tripped).collect();
    assert_eq!(tripped.len(), 1, "{told:?}");
    assert_eq!((&tripped[0].run, &tripped[0].key), (&id, &format!("sandbook-{}", trip.id)));
    assert!(tripped[0].sentence.ends_with(&trip.line()), "{:?}", tripped[0]);
    assert_eq!(bench.runner.parts().metrics.brake_trips.with_label_values(&["policy"]).get(), 1);
}

/// The same case in Rust and in Rhai: identical records, header aside.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_and_a_component_leave_the_same_journal() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cases/tour"));
    let manifest = std::fs::read(folder.join("runbook.toml")).expect("a manifest");
    let mut journals = Vec::new();
    for code in ["main.rhai", "main.wasm"] {
        let copy = tempfile::tempdir().expect("a folder");
        std::fs::write(copy.path().join("runbook.toml"), &manifest).expect("written");
        std::fs::copy(folder.join(code), copy.path().join(code)).expect("copied");
        let (package, _) = Package::read(Upload::Path(copy.path())).unwrap_or_else(|problems| panic!("{problems:?}"));
        let bench = bench(EVERYTHING);
        let id = bench.submit(&package, Some("local/shop-web-1"), Stage::Live).await;
        let row = bench.ended(&id).await;
        assert_eq!(row.outcome, Some(Outcome::Done), "{code}: {row:?}");
        let mut records = journal(&bench, &id).await;
        records.remove(0);
        let text = serde_json::to_string_pretty(&records).expect("data").replace(&id, "RUN");
        journals.push(text);
    }
    assert!(journals[0].lines().count() > 300, "the case does nothing");
    assert_eq!(journals[0], journals[1]);
}

fn restarts() -> Package {
    let body = "fn run(input) { docker::restart_container(input.target); fixed(\"x\") }";
    script("c", &["docker.restart-container"], body)
}

/// Cancelled while it was queued: it does not run, although it is in the queue already.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_cancelled_in_the_queue_does_nothing() {
    let bench = bench(EVERYTHING);
    let package = restarts();
    bench.install(&package).await;
    let run = bench.new_run(&package);
    bench.store.create_run(run.clone()).await.expect("created");
    let before = bench.world.lock().expect("world").clone();
    assert!(bench.runner.cancel(&run.id, "dana", "wrong one").await.expect("cancelled"));
    bench.runner.bring_back(row_of(run.clone())).await.expect("queued");
    while bench.runner.queue_length() > 0 || bench.runner.parts().metrics.runs_active.get() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let row = bench.store.run(&run.id).await.expect("readable").expect("there");
    assert_eq!((row.state, row.outcome), (State::Cancelled, None), "{row:?}");
    assert_eq!(before.hosts, bench.world.lock().expect("world").hosts);
}

/// An answer that is lost is never asked for again blindly: the engine looks, and drives again only what did not happen.
#[test]
fn what_is_cancelled_does_not_wait_and_any_other_first_reason_stays() {
    use super::perform::Why;
    let cancelled = || Why::Cancelled("by dana".to_owned());
    let after = |first: Why, then: Why| {
        let mut slot = None;
        first.take_place(&mut slot);
        then.take_place(&mut slot);
        slot
    };
    assert!(matches!(after(Why::Waits(1), cancelled()), Some(Why::Cancelled(_))));
    assert!(matches!(after(cancelled(), Why::Waits(1)), Some(Why::Cancelled(_))));
    assert!(matches!(after(Why::Waits(1), Why::Waits(2)), Some(Why::Waits(1))));
    assert!(matches!(after(Why::Broken(anyhow::anyhow!("x")), cancelled()), Some(Why::Broken(_))));
}

/// Cancelled in the moment in which it begins to run: whoever cancels finds it in neither state, and it acts no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_cancelled_as_it_begins_is_over_and_did_nothing() {
    let bench = bench(EVERYTHING);
    let package = restarts();
    bench.install(&package).await;
    let run = bench.new_run(&package);
    bench.store.create_run(run.clone()).await.expect("created");
    let running = RunPatch { state: Some(State::Running), ..RunPatch::default() };
    bench.store.update_run(&run.id, running).await.expect("begun");
    let cancelling = tokio::spawn({
        let (runner, id) = (bench.runner.clone(), run.id.clone());
        async move { runner.cancel(&id, "dana", "wrong one").await }
    });
    while !bench.runner.cancelled.lock().expect("unpoisoned").contains_key(&run.id) {
        tokio::task::yield_now().await;
    }
    bench.runner.bring_back(row_of(run.clone())).await.expect("queued");
    assert!(cancelling.await.expect("no panic").expect("the store works"), "it was cancelled");
    let row = bench.ended(&run.id).await;
    assert_eq!((row.state, row.sentence.as_deref()), (State::Cancelled, Some("cancelled by dana: wrong one")));
    let restarted = bench.world.lock().expect("world").hosts["local"]
        .events
        .iter()
        .any(|event| event.action == "restart" && event.container == "shop-db-1");
    assert!(!restarted, "nothing was touched");
    assert!(!bench.runner.cancel(&run.id, "dana", "again").await.expect("the store works"), "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_looked_at_and_not_repeated() {
    let package = script(
        "l",
        &["docker.restart-container"],
        "fn run(input) { docker::restart_container(input.target, #{ grace_ms: 0 }); fixed(\"x\") }",
    );
    for (happened, intents) in [(true, 1), (false, 2)] {
        let bench = bench(EVERYTHING);
        bench.world.lock().expect("world").faults.push(sandbook_core::world::Fault {
            effect: "docker.restart-container".to_owned(),
            container: None,
            call: 1,
            times: 1,
            error: sandbook_core::error::ErrorKind::Timeout,
            message: String::new(),
            happened,
            seen: 0,
        });
        bench.runner.start().await.expect("started");
        let id = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
        let row = bench.ended(&id).await;
        assert_eq!((row.state, row.outcome), (State::Succeeded, Some(Outcome::Fixed)), "happened {happened}: {row:?}");
        let records = journal(&bench, &id).await;
        let count = records.iter().filter(|record| record["kind"] == "intended").count();
        assert_eq!(count, intents, "happened {happened}: {records:#?}");
        let restarts = bench.world.lock().expect("world").hosts["local"]
            .events
            .iter()
            .filter(|event| event.action == "restart" && event.container == "shop-db-1")
            .count();
        assert_eq!(restarts, 1, "happened {happened}");
    }
}

/// A daemon that dies at any moment: every prefix of a run's journal resumes to the same end with no further restart than
/// the recorded ones allow.
#[tokio::test(flavor = "multi_thread")]
async fn every_prefix_resumes_to_the_same_end() {
    let package = script(
        "p",
        &["docker.inspect-container", "docker.restart-container"],
        "fn run(input) { let a = docker::inspect_container(input.target); print(a.name); docker::restart_container(input.target); \
         clock::sleep(3000); state::put(\"n\", \"1\"); fixed(docker::inspect_container(input.target).state.status) }",
    );
    let whole = {
        let bench = bench(EVERYTHING);
        let id = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
        bench.ended(&id).await;
        bench.store.records(&id).await.expect("readable")
    };
    for cut in 1..whole.len() {
        let bench = bench(EVERYTHING);
        let id = resume(&bench, &package, &whole[..cut]).await;
        let row = bench.ended(&id).await;
        let intended = whole[..cut].iter().any(|record| matches!(record, Record::Intended { .. }));
        let settled =
            whole[..cut].iter().any(|record| matches!(record, Record::Settled { target: Some(_), slot: 1, .. }));
        assert_eq!(
            row.state,
            State::Succeeded,
            "cut after {cut} of {} (intended {intended}, settled {settled}): {row:?}",
            whole.len()
        );
        let restarts = bench.world.lock().expect("world").hosts["local"]
            .events
            .iter()
            .filter(|event| event.action == "restart" && event.container == "shop-db-1")
            .count();
        assert!(restarts <= 1, "cut after {cut}: restarted {restarts} times");
    }
}

/// Puts a run and a prefix of its journal into a fresh store as a crash would have left them, and brings it back.
async fn resume(bench: &Bench, package: &Package, prefix: &[Record]) -> String {
    bench.install(package).await;
    let Some(Record::Begun { header }) = prefix.first() else { panic!("a header") };
    let run = NewRun {
        id: header.run.clone(),
        runbook: header.runbook.clone(),
        version: header.version.clone(),
        digest: header.digest.clone(),
        mode: header.mode,
        stage: header.stage,
        origin: header.origin,
        trigger: header.trigger.clone(),
        episode: None,
        parameters: json!({}),
        target_hint: json!({ "reference": "shop-db-1" }),
        priority: 0,
        at: 1,
    };
    bench.store.create_run(run).await.expect("created");
    bench.store.append(&header.run, prefix.to_vec(), true).await.expect("appended");
    let patch = RunPatch { state: Some(State::Running), ..RunPatch::default() };
    bench.store.update_run(&header.run, patch).await.expect("running");
    // Time has passed: the horizon of an open intent is over.
    bench.world.lock().expect("world").advance(600_000);
    bench.runner.start().await.expect("started");
    header.run.clone()
}
