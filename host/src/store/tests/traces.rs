//! What runs leave for the next incident: found by name and by log, bounded, and gone with the run.

use std::sync::Arc;

use sandbook_core::run::{State, Verification};

use super::*;
use crate::similar;

/// An episode with a run that ended, helped or not, and what it left.
async fn episode(store: &dyn Store, name: &str, heard: u64, logs: &[&str], helped: Option<bool>) -> (String, String) {
    let mut incoming = incoming(Status::Firing, &id::new("f"), heard, heard);
    incoming.alert.labels.insert("alertname".to_owned(), name.to_owned());
    incoming.alert.labels.insert("service".to_owned(), "worker".to_owned());
    incoming.snapshot = json!({"details": {"state": {"status": "exited", "exit_code": 137, "oom_killed": false}}});
    let accepted = store.accept(vec![incoming]).await.expect("accepted").remove(0);
    let run = accepted.runs[0].clone();
    let change = Change { effect: "docker.restart-container".to_owned(), sentence: "restart container w".to_owned() };
    let trace = Trace {
        changes: if helped.is_some() { vec![change] } else { Vec::new() },
        logs: logs.iter().map(|log| (*log).to_owned()).collect(),
    };
    let patch = RunPatch {
        state: Some(State::Succeeded),
        finished_at: Some(heard + 9),
        verification: helped.map(|helped| if helped { Verification::Confirmed } else { Verification::Contradicted }),
        aftermath: helped.map(|_| Aftermath { acted_at: Some(heard + 1), ..Aftermath::default() }),
        trace: Some(trace),
        ..RunPatch::default()
    };
    assert!(store.update_run(&run, patch).await.expect("ended"));
    (accepted.episode, run)
}

#[tokio::test]
async fn earlier_incidents_are_found_by_name_and_by_log_and_say_what_helped() {
    let store = memory();
    let lost = ["ERROR lost connection to <*> after <*> ms"];
    let (first, run) = episode(&store, "WorkerDown", T, &lost, Some(true)).await;
    episode(&store, "WorkerDown", T + 10, &lost, Some(false)).await;
    let (other_name, _) = episode(&store, "QueueStuck", T + 20, &lost, Some(true)).await;
    episode(&store, "DiskFull", T + 30, &["ERROR no space left on device"], Some(true)).await;
    let (new, _) = episode(&store, "WorkerDown", T + 40, &lost, None).await;
    let (later, _) = episode(&store, "WorkerDown", T + 50, &lost, Some(true)).await;

    let found = similar::of_episode(&store, &new, 20).await.expect("read").expect("an episode");
    let episodes: Vec<&str> = found.incidents.iter().map(|incident| incident.episode.as_str()).collect();
    assert_eq!(episodes.len(), 3, "{found:#?}");
    assert!(!episodes.contains(&later.as_str()) && !episodes.contains(&new.as_str()), "only what was before");
    assert_eq!(episodes[2], other_name, "another alert is less alike");
    let oldest = found.incidents.iter().find(|incident| incident.episode == first).expect("found");
    assert_eq!(oldest.likeness, 100);
    assert_eq!(oldest.reasons, ["same alert", "same service=worker", "same exit code 137", "1 of 1 log patterns"]);
    assert_eq!((oldest.runs[0].run.as_str(), oldest.runs[0].helped), (run.as_str(), Some(true)));
    assert_eq!(oldest.runs[0].changes, ["restart container w"]);
    assert_eq!((found.tried[0].times, found.tried[0].helped, found.tried[0].did_not_help), (3, 2, 1));
    assert_eq!(similar::of_episode(&store, &new, 1).await.expect("read").expect("found").incidents.len(), 1);
    assert_eq!(similar::of_episode(&store, "e_none", 1).await.expect("read"), None);
}

#[tokio::test]
async fn a_run_hears_of_earlier_incidents_and_a_run_without_an_alert_of_none() {
    use crate::driver::Incidents as _;
    let store: Arc<dyn Store> = Arc::new(memory());
    let lost = ["ERROR lost connection to <*> after <*> ms"];
    episode(&*store, "WorkerDown", T, &lost, Some(true)).await;
    let (_, run) = episode(&*store, "WorkerDown", T + 40, &lost, None).await;
    store.create_run(new_run("r_by_hand")).await.expect("created");
    let remembered = similar::Remembered(store);
    let heard = remembered.similar(&run, 3).await.expect("read");
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].alert.as_str(), heard[0].worked, heard[0].score), ("WorkerDown", true, 1.0));
    assert_eq!(
        (heard[0].verification.as_str(), heard[0].changes.as_slice()),
        ("confirmed", &["restart container w".to_owned()][..])
    );
    assert_eq!(remembered.similar("r_by_hand", 3).await.expect("read"), []);
    assert_eq!(remembered.similar("r_nobody", 3).await.expect("read"), []);
}

#[tokio::test]
async fn traces_go_with_their_runs_and_are_left_by_episodes_only() {
    let store = memory();
    let (_, run) = episode(&store, "WorkerDown", T, &["ERROR a b c"], Some(true)).await;
    store.create_run(new_run("r_by_hand")).await.expect("created");
    let trace = Some(Trace { changes: Vec::new(), logs: vec!["ERROR a b c".to_owned()] });
    let over = RunPatch { state: Some(State::Failed), finished_at: Some(T), trace, ..RunPatch::default() };
    assert!(store.update_run("r_by_hand", over).await.expect("ended"));
    let filter = || PastFilter { patterns: vec!["ERROR a b c".to_owned()], before: T + 1, ..PastFilter::default() };
    let past = store.past(filter()).await.expect("read");
    assert_eq!(past.iter().flat_map(|past| &past.runs).map(|run| &run.id).collect::<Vec<_>>(), [&run]);
    let resolved = store.episodes(EpisodeFilter::default()).await.expect("read").0.remove(0);
    let mut end = incoming(Status::Resolved, &resolved.fingerprint, T, T + 5);
    end.runs.clear();
    store.accept(vec![end]).await.expect("resolved");
    while store.prune(T + 1_000_000).await.expect("pruned") != Pruned::default() {}
    assert_eq!(store.past(filter()).await.expect("read"), []);
}

#[test]
fn a_store_with_years_of_incidents_is_asked_through_its_indexes() {
    let mut sql = rusqlite::Connection::open_in_memory().expect("opens");
    schema::migrate(&mut sql, schema::MIGRATIONS).expect("migrates");
    for query in crate::store::traces::QUERIES {
        let mut plan = sql.prepare(&format!("EXPLAIN QUERY PLAN {query}")).expect(query);
        let none = vec![1; plan.parameter_count()];
        let lines = plan.query_map(rusqlite::params_from_iter(none), |row| row.get::<_, String>("detail"));
        let lines: Vec<String> = lines.expect("planned").collect::<rusqlite::Result<_>>().expect("read");
        assert!(
            lines.iter().all(|line| !line.starts_with("SCAN") && !line.contains("TEMP B-TREE")),
            "{query}: {lines:?}"
        );
    }
}
