//! Runs, journals, memory, and what one transaction holds together.

use std::sync::Arc;

use sandbook_core::error::ErrorKind;
use sandbook_core::run::{Outcome, State};
use sandbook_core::target::{Kind, Target};

use super::*;

#[tokio::test]
async fn runs_are_queued_claimed_and_found() {
    let store = memory();
    for (id, priority, at) in [("r_b", 0, T + 1), ("r_a", 0, T + 2), ("r_c", 5, T + 3)] {
        store.create_run(NewRun { priority, at, ..new_run(id) }).await.expect("created");
    }
    assert!(store.create_run(new_run("r_a")).await.is_err());
    let ids = |rows: Vec<RunRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(store.queued(10).await.expect("listed")), ["r_c", "r_b", "r_a"]);

    let claim = RunPatch { from: vec![State::Queued], state: Some(State::Running), ..RunPatch::default() };
    assert!(store.update_run("r_c", claim.clone()).await.expect("updated"));
    assert!(!store.update_run("r_c", claim).await.expect("updated"), "only one claims it");
    assert_eq!(ids(store.queued(1).await.expect("listed")), ["r_b"]);

    let target = Target { host: "local".to_owned(), kind: Kind::Container, name: "web-1".to_owned(), id: None };
    let wait = RunPatch {
        state: Some(State::Waiting),
        wake_at: Some(Some(T + 9)),
        target: Some(target),
        ..RunPatch::default()
    };
    assert!(store.update_run("r_a", wait).await.expect("updated"));
    assert!(store.due_waiting(T + 8).await.expect("listed").is_empty());
    assert_eq!(ids(store.due_waiting(T + 9).await.expect("listed")), ["r_a"]);
    let clear = RunPatch { wake_at: Some(None), ..RunPatch::default() };
    assert!(store.update_run("r_a", clear).await.expect("updated"));
    assert!(store.due_waiting(T + 9).await.expect("listed").is_empty());

    let end = RunPatch {
        state: Some(State::Succeeded),
        outcome: Some(Outcome::Fixed),
        finished_at: Some(T + 9),
        ..RunPatch::default()
    };
    assert!(store.update_run("r_c", end).await.expect("updated"));
    assert_eq!(ids(store.open_runs().await.expect("listed")), ["r_b", "r_a"]);
    for target in ["web-1", "local/web-1"] {
        let filter = RunFilter { target: Some(target.to_owned()), ..RunFilter::default() };
        assert_eq!(ids(store.runs(filter).await.expect("listed").0), ["r_a"]);
    }
    let (first, next) = store.runs(RunFilter { limit: 2, ..RunFilter::default() }).await.expect("listed");
    assert_eq!(ids(first), ["r_c", "r_a"]);
    let (rest, none) = store.runs(RunFilter { limit: 2, cursor: next, ..RunFilter::default() }).await.expect("listed");
    assert_eq!((ids(rest), none), (vec!["r_b".to_owned()], None));
    assert_eq!(store.run("last").await.expect("found").expect("there").id, "r_c");
    assert_eq!(store.run("r_c").await.expect("found").expect("there").outcome, Some(Outcome::Fixed));
    store.create_run(new_run("r_ab")).await.expect("created");
    assert_eq!(store.run("r_a").await.expect("found").expect("there").id, "r_a", "the whole id is not ambiguous");
    assert_eq!(store.run("r_").await, Err(Error::Ambiguous("r_".to_owned())));
}

#[tokio::test]
async fn held_records_come_before_the_durable_one_and_observers_see_only_durable_ones() {
    let store = memory();
    store.create_run(new_run("r")).await.expect("created");
    let mut events = store.subscribe();
    store.append("r", vec![note("1"), note("2")], false).await.expect("held");
    assert!(store.records_after("r", None).await.expect("read").is_empty());
    assert!(events.try_recv().is_err());
    store.append("r", vec![note("3")], true).await.expect("appended");
    let seen = store.records_after("r", Some(0)).await.expect("read");
    assert_eq!(seen, [(1, note("2")), (2, note("3"))]);
    for (seq, text) in [(0, "1"), (1, "2"), (2, "3")] {
        let event = events.try_recv().expect("an event");
        assert_eq!(event, Event { run: "r".to_owned(), kind: EventKind::Record(seq, Arc::new(note(text))) });
    }
    // Whoever goes on with the run sees all of it.
    store.append("r", vec![note("4")], false).await.expect("held");
    assert_eq!(store.records("r").await.expect("read").len(), 4);
    // More than may be held back is written at once.
    store.append("r", (0..100).map(|n| note(&n.to_string())).collect(), false).await.expect("written");
    assert_eq!(store.records_after("r", None).await.expect("read").len(), 104);
    assert_eq!(store.append("ghost", vec![note("x")], true).await, Err(Error::UnknownRun("ghost".to_owned())));
}

#[tokio::test]
async fn a_checkpoint_is_one_thing() {
    let store = memory();
    store.create_run(new_run("r")).await.expect("created");
    let checkpoint = |from| Checkpoint {
        records: vec![note("end")],
        patch: RunPatch { from: vec![from], state: Some(State::Succeeded), ..RunPatch::default() },
        approval: None,
    };
    assert!(!store.checkpoint("r", checkpoint(State::Running)).await.expect("done"));
    assert!(store.records("r").await.expect("read").is_empty());
    assert!(store.checkpoint("r", checkpoint(State::Queued)).await.expect("done"));
    assert_eq!(store.records("r").await.expect("read").len(), 1);
    assert_eq!(store.run("r").await.expect("found").expect("there").state, State::Succeeded);
}

#[tokio::test]
async fn memory_is_written_with_its_record() {
    let store = memory();
    store.create_run(new_run("r")).await.expect("created");
    let key = |n: u32| format!("k{n}");
    for n in 0..sandbook_core::effect::engine::KEYS_MAX {
        store.memory_put("r", note("put"), "book", &key(n), "1").await.expect("stored").expect("room");
    }
    let records = store.records("r").await.expect("read").len();
    let refused = store.memory_put("r", note("put"), "book", "one more", "1").await.expect("stored");
    assert_eq!(refused.expect_err("full").kind, ErrorKind::Limited);
    store.memory_put("r", note("put"), "book", &key(0), "2").await.expect("stored").expect("room");
    store.memory_put("r", note("put"), "other", "one more", "2").await.expect("stored").expect("room");

    let record = || -> RecordOf { Box::new(|same| note(if same { "was" } else { "was not" })) };
    let wrong = store.memory_compare_and_put("r", "book", "k0", Some("1"), "3", record()).await;
    assert_eq!(wrong.expect("stored"), Ok(false));
    let right = store.memory_compare_and_put("r", "book", "k0", Some("2"), "3", record()).await;
    assert_eq!(right.expect("stored"), Ok(true));
    let absent = store.memory_compare_and_put("r", "other", "new", None, "3", record()).await;
    assert_eq!(absent.expect("stored"), Ok(true));
    assert_eq!(store.memory_get("book", "k0").await.expect("read").as_deref(), Some("3"));
    assert_eq!(store.memory_get("book", "one more").await.expect("read"), None);
    let all = store.records("r").await.expect("read");
    assert_eq!(&all[records + 2..], [note("was not"), note("was"), note("was")]);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_tears_nothing() {
    let store = memory();
    store.create_run(new_run("r")).await.expect("created");
    for n in 0..200u64 {
        store.append("r", vec![note("held")], false).await.expect("held");
        let mut write = store.append("r", vec![note("durable")], true);
        if n % 2 == 0 {
            // Polled once: its place is taken, its answer never heard.
            let _ = futures::poll!(&mut write);
        }
        drop(write);
    }
    let records = store.records("r").await.expect("read");
    let held = records.iter().filter(|record| **record == note("held")).count();
    assert_eq!((held, records.len()), (200, 300));
}
