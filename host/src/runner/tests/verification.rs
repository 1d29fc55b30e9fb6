//! After acting: every way a verification can go, also with a restart in the middle.

use sandbook_core::alert::{Alert, Status as AlertStatus};
use sandbook_core::effect::docker::Health;

use super::*;
use crate::store::{Aftermath, Incoming, Verdict};

const MINUTE: u64 = 60_000;
/// Changes a container and heals nothing.
const TOUCH: &str = "fn run(input) { docker::update_resources(input.target, #{ pids: 100 }); fixed(\"x\") }";
/// Heals the demo's sick container four seconds later.
const RESTART: &str = "fn run(input) { docker::restart_container(input.target); fixed(\"x\") }";
const CHANGES: &[&str] = &["docker.update-resources", "docker.restart-container", "docker.inspect-container"];

/// A script with a `[verify]`.
fn book(name: &str, verify: &str, body: &str) -> Package {
    let requests: Vec<String> = CHANGES.iter().map(|name| format!("\"{name}\"")).collect();
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"a test\"\n[target]\nkind = \"container\"\n[requests]\n\
         effects = [{}]\n{verify}\n",
        requests.join(", ")
    );
    let header: String = manifest.lines().map(|line| format!("//! {line}\n")).collect();
    let source = format!("{header}{body}\n");
    let upload = Upload::Bytes { bytes: source.as_bytes(), content_type: Some("text/x-rhai") };
    Package::read(upload).unwrap_or_else(|problems| panic!("{problems:?}")).0
}

impl Bench {
    fn now(&self) -> u64 {
        self.world.lock().expect("world").now_ms
    }

    fn pass(&self, ms: u64) {
        self.world.lock().expect("world").advance(ms);
    }

    /// The same store and world under a new engine: the daemon was started again.
    fn restarted(&self) -> Bench {
        bench_over(EVERYTHING, self.store.clone(), self.world.clone())
    }

    fn alert(&self, status: AlertStatus, package: &Package, run: Option<&str>) -> Incoming {
        let starts_at = jiff::Timestamp::from_millisecond(i64::try_from(self.now()).expect("a time")).expect("a time");
        let runs = run.map(|id| NewRun {
            id: id.to_owned(),
            trigger: "alert".to_owned(),
            target_hint: json!({ "reference": "shop-web-1" }),
            at: self.now(),
            ..self.new_run(package)
        });
        let alert = Alert {
            status,
            labels: [("alertname".to_owned(), "Sick".to_owned())].into(),
            annotations: Default::default(),
            starts_at,
            ends_at: None,
            generator_url: String::new(),
            fingerprint: "f".to_owned(),
        };
        Incoming {
            alert,
            received_at: self.now(),
            source: "test".to_owned(),
            matched: json!({}),
            snapshot: json!({}),
            runs: runs.into_iter().collect(),
            joins: Default::default(),
        }
    }

    /// An alert fires, its run acts and is verified as far as it can be at once.
    async fn fires(&self, package: &Package) -> String {
        self.install(package).await;
        let id = id::new("r");
        let incoming = self.alert(AlertStatus::Firing, package, Some(&id));
        let mut row = row_of(incoming.runs[0].clone());
        row.episode = Some(self.store.accept(vec![incoming]).await.expect("accepted")[0].episode.clone());
        self.runner.enqueue(Queued { row, alert: None, accepted: Instant::now(), resumed: false });
        self.ended(&id).await;
        id
    }

    async fn verified(&self, id: &str) -> (Option<Verification>, String) {
        self.runner.settle_verifications().await.expect("settled");
        let row = self.store.run(id).await.expect("readable").expect("there");
        (row.verification, row.aftermath.verification_why.unwrap_or_default())
    }
}

fn events(notices: &mut tokio::sync::broadcast::Receiver<Notice>) -> Vec<(&'static str, String)> {
    std::iter::from_fn(|| notices.try_recv().ok())
        .filter(|notice| matches!(notice.event, Happened::Contradicted | Happened::Demoted))
        .map(|notice| (notice.event.name(), notice.sentence))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_ill_at_the_end_of_its_time_contradicts() {
    let bench = bench(EVERYTHING);
    let mut notices = bench.runner.notices();
    let package = book("c", "[verify]\nwithin = \"10s\"", TOUCH);
    let id = bench.submit(&package, Some("shop-web-1"), Stage::Live).await;
    let row = bench.ended(&id).await;
    assert_eq!(row.verification, Some(Verification::Contradicted));
    assert_eq!(bench.verified(&id).await.1, "it was still unhealthy, 10s after the run");
    assert_eq!(
        events(&mut notices),
        [("contradicted", "it acted, but it was still unhealthy, 10s after the run".to_owned())]
    );
    let aftermath = bench.store.run(&id).await.expect("read").expect("there").aftermath;
    assert!(aftermath.acted_at.is_some() && aftermath.verified_at.is_some() && aftermath.verify_until.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_is_confirmed_and_an_alert_that_fires_again_contradicts_it_after_a_restart_too() {
    let before = bench(EVERYTHING);
    let package = book("r", "", RESTART);
    let id = before.fires(&package).await;
    assert_eq!(before.verified(&id).await, (Some(Verification::Confirmed), "it runs and is healthy".to_owned()));
    let bench = before.restarted();
    let mut notices = bench.runner.notices();
    bench.pass(4 * MINUTE);
    bench.store.accept(vec![bench.alert(AlertStatus::Firing, &package, None)]).await.expect("accepted");
    let (verification, why) = bench.verified(&id).await;
    assert_eq!(verification, Some(Verification::Contradicted));
    assert!(why.starts_with("fired again 3 min") || why.starts_with("fired again 4 min"), "{why}");
    assert_eq!(events(&mut notices).len(), 1, "told once");
    bench.verified(&id).await;
    assert!(events(&mut notices).is_empty(), "and not again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_does_not_resolve_leaves_it_unknown_and_one_that_does_closes_it() {
    for resolves in [true, false] {
        let bench = bench(EVERYTHING);
        let package = book("u", "[verify]\nresolved_within = \"5m\"\nno_refire = \"10m\"", RESTART);
        let id = bench.fires(&package).await;
        bench.pass(2 * MINUTE);
        if resolves {
            bench.store.accept(vec![bench.alert(AlertStatus::Resolved, &package, None)]).await.expect("accepted");
        }
        assert_eq!(bench.verified(&id).await.0, Some(Verification::Confirmed), "there is time");
        bench.pass(9 * MINUTE);
        let (verification, why) = bench.verified(&id).await;
        let row = bench.store.run(&id).await.expect("read").expect("there");
        assert_eq!(row.aftermath.verify_until, None, "nothing is left to do");
        if resolves {
            assert_eq!(verification, Some(Verification::Confirmed));
        } else {
            assert_eq!(verification, Some(Verification::Unknown));
            assert_eq!(why, "the condition held, but the alert was not resolved within 5m");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_with_what_was_pending() {
    let before = bench(EVERYTHING);
    let package = book("p", "", RESTART);
    let id = before.submit(&package, Some("shop-web-1"), Stage::Live).await;
    before.ended(&id).await;
    // Its own verification has had its last word.
    tokio::time::sleep(Duration::from_millis(500)).await;
    // As the end of the run left it, before anybody looked.
    let aftermath = Aftermath { verify_until: Some(before.now()), ..Aftermath::default() };
    let patch =
        RunPatch { verification: Some(Verification::Pending), aftermath: Some(aftermath), ..RunPatch::default() };
    before.store.update_run(&id, patch).await.expect("updated");
    let bench = before.restarted();
    bench.runner.start().await.expect("started");
    assert_eq!(bench.ended(&id).await.verification, Some(Verification::Confirmed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_replaced_says_nothing() {
    let bench = bench(EVERYTHING);
    let package = book("n", "", TOUCH);
    let id = bench.submit(&package, Some("shop-web-1"), Stage::Live).await;
    bench.ended(&id).await;
    bench.world.lock().expect("world").container_mut("local", "shop-web-1").expect("there").id = "f".repeat(64);
    let aftermath = Aftermath { verify_until: Some(bench.now()), ..Aftermath::default() };
    let patch =
        RunPatch { verification: Some(Verification::Pending), aftermath: Some(aftermath), ..RunPatch::default() };
    bench.store.update_run(&id, patch).await.expect("updated");
    bench.runner.resume_verifications().await.expect("resumed");
    assert_eq!(bench.ended(&id).await.verification, Some(Verification::Unknown));
    assert_eq!(bench.verified(&id).await.1, "the container it acted on was replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_holds_when_it_has_a_result_and_nothing_of_it_is_zero() {
    for (values, expected, says) in [
        (&[1.0, 2.0][..], Verification::Confirmed, "up holds"),
        (&[1.0, 0.0], Verification::Contradicted, "up is 0"),
        (&[], Verification::Contradicted, "up has no result"),
    ] {
        let bench = bench(EVERYTHING);
        let samples: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
        let metric = serde_json::from_value(json!({ "promql": "up", "samples": samples })).expect("a metric");
        bench.world.lock().expect("world").metrics.push(metric);
        let package = book("q", "[verify]\ncondition = \"promql: up\"\nwithin = \"5s\"", TOUCH);
        let id = bench.submit(&package, Some("shop-web-1"), Stage::Live).await;
        assert_eq!(bench.ended(&id).await.verification, Some(expected), "{values:?}");
        let why = bench.verified(&id).await.1;
        assert!(why.starts_with(says), "{values:?}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runbooks_own_verify_is_asked_instead_until_it_holds() {
    let own = "fn verify(input) { docker::inspect_container(input.target).state.health == \"healthy\" }";
    for (body, expected) in [(RESTART, Verification::Confirmed), (TOUCH, Verification::Contradicted)] {
        let bench = bench(EVERYTHING);
        // A condition that never holds: it must not be looked at.
        let verify = "[verify]\ncondition = \"promql: absent_from_this_world\"\nwithin = \"20s\"";
        let package = book("v", verify, &format!("{body}\n{own}"));
        let id = bench.submit(&package, Some("shop-web-1"), Stage::Live).await;
        assert_eq!(bench.ended(&id).await.verification, Some(expected));
        assert!(bench.verified(&id).await.1.contains("the runbook's `verify` says"), "{expected}");
    }
}

/// Whatever it asks for, `verify` changes nothing and leaves no record, and what it cannot do is no contradiction.
#[tokio::test(flavor = "multi_thread")]
async fn a_verify_may_only_observe() {
    for (call, effect) in [
        ("docker::restart_container(input.target)", "docker.restart-container"),
        ("clock::sleep(5000)", "clock.sleep"),
        ("state::put(\"k\", \"v\")", "state.put"),
        ("docker::list_containers(#{})", "docker.list-containers"),
    ] {
        let bench = bench(EVERYTHING);
        let body = format!("{TOUCH}\nfn verify(input) {{ {call}; true }}");
        let package = book("o", "[verify]\nwithin = \"3s\"", &body);
        let id = bench.submit(&package, Some("shop-web-1"), Stage::Live).await;
        assert_eq!(bench.ended(&id).await.verification, Some(Verification::Unknown), "{call}");
        let why = bench.verified(&id).await.1;
        let reason = if effect == "docker.list-containers" { "is not requested" } else { "`verify` may only observe" };
        assert!(why.contains(reason) && why.contains(effect), "{call}: {why}");
        let records = journal(&bench, &id).await;
        assert_eq!(records.last().expect("an end")["kind"], "ended", "{call}: nothing is recorded after the end");
        let events = bench.world.lock().expect("world").hosts["local"].events.clone();
        assert!(events.iter().all(|event| event.action != "restart"), "{call}");
        assert_eq!(bench.store.memory_get("o", "k").await, Ok(None), "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_what_was_well_is_counted() {
    for (target, needless) in [("shop-web-1", false), ("shop-db-1", true)] {
        let bench = bench(EVERYTHING);
        bench.world.lock().expect("world").container_mut("local", "shop-db-1").expect("there").health = Health::Healthy;
        let package = book("w", "", RESTART);
        let id = bench.submit(&package, Some(target), Stage::Live).await;
        assert_eq!(bench.ended(&id).await.aftermath.needless, needless, "{target}");
        let counted = bench.runner.parts().metrics.outcomes.false_positives.with_label_values(&["w"]).get();
        assert_eq!(counted, u64::from(needless), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_contradictions_demote_a_version_once() {
    let bench = bench(EVERYTHING);
    let mut notices = bench.runner.notices();
    let package = book("d", "[verify]\nwithin = \"2s\"", TOUCH);
    bench.install(&package).await;
    bench.runner.library.start().await.expect("started");
    let change = |stage, by: &str| crate::library::StageChange {
        stage,
        reason: "r".to_owned(),
        by: by.to_owned(),
        person: true,
    };
    bench.runner.library.set_stage("d", &package.digest, change(Stage::Live, "dana")).await.expect("set");
    // The library's clock is the machine's, the runs' is the world's.
    let ahead = u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("after 1970") + MINUTE;
    bench.world.lock().expect("world").now_ms = ahead;
    for n in 1..=4_u64 {
        let id = submit_now(&bench, &package).await;
        assert_eq!(bench.ended(&id).await.verification, Some(Verification::Contradicted));
        bench.verified(&id).await;
        let standing = bench.runner.library.find("d", Some(&package.digest)).expect("there");
        assert_eq!((standing.stage == Stage::Shadow, standing.demoted), (n >= 3, n >= 3), "after {n}: {standing:?}");
    }
    let demoted: Vec<String> =
        events(&mut notices).into_iter().filter(|(event, _)| *event == "demoted").map(|(_, said)| said).collect();
    assert_eq!(demoted.len(), 1, "told once: {demoted:?}");
    assert!(demoted[0].contains("3 of its last 5 runs that acted did not help"), "{demoted:?}");
    let history = bench.store.stage_history("d").await.expect("read");
    assert_eq!((history[0].by.as_str(), history[0].stage), (crate::library::ENGINE, Stage::Shadow));
    let (audit, _) = bench.store.audit_rows(None, 10, None).await.expect("read");
    assert!(audit.iter().any(|row| row.what == "demote" && row.subject == "d"), "{audit:?}");
}

/// A run queued at the world's time.
async fn submit_now(bench: &Bench, package: &Package) -> String {
    let mut run = bench.alert(AlertStatus::Firing, package, Some(&id::new("r"))).runs.remove(0);
    "manual".clone_into(&mut run.trigger);
    let id = run.id.clone();
    bench.runner.submit(run, None).await.expect("durable");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_comes_late_does_not_undo_what_an_alert_said() {
    let bench = bench(EVERYTHING);
    let package = book("l", "", RESTART);
    let id = bench.fires(&package).await;
    let verdict = |from, to| Verdict { from, to, why: "late".to_owned(), at: bench.now() };
    let (confirmed, contradicted) = (Verification::Confirmed, Verification::Contradicted);
    assert!(bench.store.set_verification(&id, verdict(confirmed, contradicted)).await.expect("set"));
    assert!(!bench.store.set_verification(&id, verdict(Verification::Pending, confirmed)).await.expect("set"));
    assert_eq!(bench.verified(&id).await.0, Some(contradicted));
}
