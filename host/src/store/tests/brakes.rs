//! Brakes: counting, tripping, re-arming, the storm limit, and what changes none of it.

use std::sync::Arc;

use sandbook_core::journal::Request;

use super::*;

const HOUR: u64 = 3_600_000;

pub(super) fn intend(runbook: &str, subject: &str, at: u64, windows: Vec<Window>) -> Intend {
    Intend {
        runbook: runbook.to_owned(),
        subject: subject.to_owned(),
        host: "local".to_owned(),
        target: subject.rsplit('/').next().unwrap_or(subject).to_owned(),
        effect: "docker.restart-container".to_owned(),
        at,
        windows,
        policy: vec!["policy0".to_owned()],
        storm: None,
    }
}

fn window(scope: Scope, count: u32, window_ms: u64) -> Window {
    let label = format!("brakes {count}/{window_ms}ms");
    Window { scope, count, window_ms, label }
}

/// The message of a refusal, and the brake it tripped.
async fn attempt(store: &Sqlite, intend: Intend) -> std::result::Result<(), (String, Option<Trip>)> {
    match store.intend("r", note("intent"), intend).await.expect("stored") {
        Intended::Taken => Ok(()),
        Intended::Limited { error, tripped } => Err((error.message, tripped.map(|trip| *trip))),
    }
}

pub(super) async fn try_once(store: &Sqlite, intend: Intend) -> std::result::Result<(), String> {
    attempt(store, intend).await.map_err(|(message, _)| message)
}

async fn with_run(store: Sqlite) -> Sqlite {
    store.create_run(new_run("r")).await.expect("created");
    store
}

async fn rearm(store: &Sqlite, trip: &Trip, at: u64) -> Trip {
    match store.rearm(&trip.id, "dana", "mended", at).await.expect("stored") {
        Rearmed::Done(trip) => *trip,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_scope_trips_once_and_holds_until_a_person_re_arms_also_after_a_restart() {
    let scopes = [
        (Scope::RunbookSubject, ("a", "local/x"), Some(("b", "local/x")), "a on local/x"),
        (Scope::Subject, ("b", "local/x"), Some(("b", "local/y")), "local/x"),
        (Scope::Runbook, ("a", "local/y"), Some(("b", "local/x")), "a"),
        (Scope::Host, ("b", "local/y"), None, "local"),
        (Scope::Policy("policy0".to_owned()), ("b", "local/y"), None, "policy0"),
    ];
    for (scope, (runbook, subject), free, key) in scopes {
        let dir = tempfile::tempdir().expect("a directory");
        let store = with_run(open(&dir)).await;
        let next = |at| intend(runbook, subject, at, vec![window(scope.clone(), 2, 1_000)]);
        for at in [T, T + 10] {
            attempt(&store, intend("a", "local/x", at, vec![])).await.expect("room");
        }
        let (message, trip) = attempt(&store, next(T + 20)).await.expect_err("no room");
        let trip = trip.expect("this attempt trips");
        assert_eq!((trip.key.as_str(), trip.counted, trip.allowed, &trip.scope), (key, 2, 2, &scope));
        for part in
            ["brakes 2/1000ms", "2 attempts of", "within 1s", "at most 2", &format!("sandbook rearm {}", trip.id)]
        {
            assert!(message.contains(part), "{part:?} in {message}");
        }
        // The window has long had room, and the daemon was started again: it still holds, and nothing trips twice.
        drop(store);
        let store = open(&dir);
        let (again, twice) = attempt(&store, next(T + HOUR)).await.expect_err("it holds");
        assert_eq!((again, twice), (message, None), "{scope:?}");
        if let Some((runbook, subject)) = free {
            attempt(&store, intend(runbook, subject, T + HOUR, vec![])).await.expect("something else");
        }
        assert_eq!(store.trips(true).await, Ok(vec![trip.clone()]));
        let rearmed = rearm(&store, &trip, T + HOUR).await;
        assert_eq!(rearmed.rearmed.as_ref().map(|rearm| rearm.by.as_str()), Some("dana"));
        assert!(matches!(store.rearm(&trip.id, "eve", "", T).await, Ok(Rearmed::Already(found)) if *found == rearmed));
        assert_eq!(store.trips(true).await, Ok(vec![]));
        drop(store);
        let store = open(&dir);
        // Afresh: as many as the window allows, although the old ones and those of others are in it.
        for at in [T + 30, T + 40] {
            attempt(&store, next(at)).await.unwrap_or_else(|(why, _)| panic!("{scope:?} counts afresh: {why}"));
        }
        let (_, second) = attempt(&store, next(T + 50)).await.expect_err("full again");
        assert_ne!(second.expect("trips again").id, trip.id);
        assert_eq!(store.trips(false).await.expect("read").len(), 2);
    }
}

#[tokio::test]
async fn windows_count_attempts_and_have_room_when_the_oldest_left() {
    let store = with_run(memory()).await;
    let windows = || vec![window(Scope::Host, 9, 500), window(Scope::RunbookSubject, 2, 1_000)];
    for at in [T, T + 10] {
        attempt(&store, intend("a", "local/x", at, windows())).await.expect("room");
    }
    // Exactly one window later the first no longer counts.
    attempt(&store, intend("a", "local/x", T + 1_000, windows())).await.expect("room again");
    let other = vec![window(Scope::RunbookSubject, 2, 1_000), window(Scope::Policy("policy1".to_owned()), 1, 1_000)];
    attempt(&store, intend("b", "local/x", T + 1_000, other)).await.expect("another runbook, another policy");
    // What forbids outright needs no brake.
    for scope in [Scope::RunbookSubject, Scope::Host, Scope::Policy("policy0".to_owned())] {
        let windows = vec![window(Scope::Host, 1, 1_000), window(scope, 0, 1_000)];
        let (why, tripped) = attempt(&store, intend("c", "local/z", T + 1_000, windows)).await.expect_err("forbidden");
        assert!(why.contains("allows no attempt") && tripped.is_none(), "{why}");
    }
    // A clock that was set back does not make room.
    let (why, _) =
        attempt(&store, intend("a", "local/x", T - 5_000, windows())).await.expect_err("attempts of the future");
    assert!(why.contains("3 attempts"), "{why}");
    assert_eq!(store.records("r").await.expect("read").len(), 4, "refused intents append nothing");
    let filter = AttemptFilter { runbook: Some("a".to_owned()), ..AttemptFilter::default() };
    assert_eq!(store.attempts(filter).await.expect("listed").len(), 3);
}

#[tokio::test]
async fn re_arming_counts_afresh_whatever_the_clock_says() {
    let store = with_run(memory()).await;
    let next = |at| intend("a", "local/x", at, vec![window(Scope::Subject, 2, 1_000)]);
    // The clock was a year ahead, and is right now.
    for at in [T + 8_760 * HOUR, T + 8_760 * HOUR] {
        attempt(&store, next(at)).await.expect("room");
    }
    let trip = attempt(&store, next(T)).await.expect_err("full").1.expect("trips");
    rearm(&store, &trip, T).await;
    for _ in 0..2 {
        attempt(&store, next(T)).await.expect("attempts of the future no longer count");
    }
    attempt(&store, next(T)).await.expect_err("those since do, in the same millisecond");
}

#[tokio::test]
async fn two_at_once_cannot_both_take_the_last_place_and_trip_one_brake() {
    let store = with_run(memory()).await;
    let tries = (0..50).map(|_| attempt(&store, intend("a", "local/x", T, vec![window(Scope::Subject, 3, 1_000)])));
    let results = futures::future::join_all(tries).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    let tripped: Vec<&Trip> = results.iter().filter_map(|result| result.as_ref().err()?.1.as_ref()).collect();
    assert_eq!(tripped.len(), 1, "one of 47 refusals tells people");
    assert_eq!(store.trips(false).await.expect("read").len(), 1);
}

#[tokio::test]
async fn successes_and_new_versions_reset_nothing() {
    let store = with_run(memory()).await;
    let next = |at| intend("restart-unhealthy", "local/x", at, vec![window(Scope::RunbookSubject, 2, HOUR)]);
    for (id, digest) in [("r_1", "sha256:aa"), ("r_2", "sha256:bb")] {
        store.create_run(NewRun { digest: digest.to_owned(), ..new_run(id) }).await.expect("created");
        assert_eq!(store.intend(id, note("intent"), next(T)).await, Ok(Intended::Taken));
        let patch = RunPatch {
            state: Some(sandbook_core::run::State::Succeeded),
            outcome: Some(sandbook_core::run::Outcome::Fixed),
            verification: Some(sandbook_core::run::Verification::Confirmed),
            ..RunPatch::default()
        };
        assert!(store.update_run(id, patch).await.expect("ended"));
    }
    // Two versions, each of which succeeded: the third attempt is one too many all the same, and so is a fourth.
    let third = NewRun { digest: "sha256:cc".to_owned(), version: "3.0.0".to_owned(), ..new_run("r_3") };
    store.create_run(third).await.expect("created");
    let refused = store.intend("r_3", note("intent"), next(T + 1)).await.expect("stored");
    let Intended::Limited { tripped: Some(trip), .. } = refused else { panic!("{refused:?}") };
    assert_eq!(trip.run, "r_3");
    attempt(&store, next(T + 2 * HOUR)).await.expect_err("until a person says so");
}

#[tokio::test]
async fn a_further_attempt_of_a_slot_is_counted_once_and_still_held_back_by_people() {
    let store = with_run(memory()).await;
    let record = |attempt| Record::Intended {
        slot: 0,
        request: Request { effect: "docker.restart-container".to_owned(), arguments: json!({}) },
        resolved: None,
        attempt,
        policy: Vec::new(),
        horizon_at: T,
        boot_ms: None,
        at: T,
    };
    let next = || intend("a", "local/x", T, vec![window(Scope::Subject, 1, 1_000)]);
    assert_eq!(store.intend("r", record(1), next()).await, Ok(Intended::Taken));
    assert_eq!(store.intend("r", record(2), next()).await, Ok(Intended::Taken), "the first did nothing");
    assert_eq!(store.attempts(AttemptFilter::default()).await.expect("listed").len(), 1);
    let stop = Stop { by: "dana".to_owned(), reason: "enough".to_owned(), at: T };
    store.set_stop(Some(stop)).await.expect("set");
    assert!(matches!(store.intend("r", record(3), next()).await, Ok(Intended::Limited { tripped: None, .. })));
}

fn storm(subject: &str, at: u64, subjects_max: u32) -> Intend {
    let storm = Storm { subjects_max, window_ms: 1_000, label: "brakes.storm".to_owned() };
    Intend { storm: Some(storm), ..intend("a", subject, at, vec![]) }
}

#[tokio::test]
async fn a_storm_trips_for_the_whole_host_and_one_subject_may_go_on_before() {
    let store = with_run(memory()).await;
    for subject in ["local/a", "local/b", "local/a", "local/c", "local/b"] {
        attempt(&store, storm(subject, T, 3)).await.expect("three subjects");
    }
    let elsewhere = Intend { host: "other".to_owned(), ..storm("other/a", T, 1) };
    attempt(&store, elsewhere).await.expect("another host");
    let (why, trip) = attempt(&store, storm("local/d", T + 999, 3)).await.expect_err("a fourth");
    let trip = trip.expect("trips");
    assert!(why.contains("3 containers of host local touched within 1s, at most 3 may be"), "{why}");
    assert_eq!((&trip.scope, trip.key.as_str()), (&Scope::Storm, "local"));
    // From now on the cause is elsewhere: nothing of the host is touched, with or without a limit in force.
    for intend in [storm("local/a", T + HOUR, 9), intend("b", "local/e", T + HOUR, vec![])] {
        assert_eq!(attempt(&store, intend).await, Err((why.clone(), None)));
    }
    rearm(&store, &trip, T + 999).await;
    for subject in ["local/d", "local/e", "local/f"] {
        attempt(&store, storm(subject, T + 999, 3)).await.expect("afresh");
    }
    attempt(&store, storm("local/a", T + 999, 3)).await.expect_err("a fourth since");
}

#[tokio::test]
async fn asking_counts_nothing_and_trips_nothing() {
    let store = with_run(memory()).await;
    let next = || intend("a", "local/x", T, vec![window(Scope::Subject, 1, 1_000)]);
    let asked = |intend| async {
        match store.would_intend(intend).await.expect("read") {
            Intended::Taken => Ok(()),
            Intended::Limited { error, tripped } => Err((error.message, tripped.map(|trip| *trip))),
        }
    };
    for _ in 0..3 {
        asked(next()).await.expect("room");
    }
    assert_eq!(store.attempts(AttemptFilter::default()).await, Ok(vec![]));
    assert_eq!(store.records("r").await, Ok(vec![]));
    attempt(&store, next()).await.expect("the only place");
    for intend in [next(), storm("local/y", T, 1)] {
        let (why, tripped) = asked(intend).await.expect_err("full");
        assert!(why.contains("would trip") && tripped.is_none(), "{why}");
    }
    assert_eq!(store.trips(false).await, Ok(vec![]));
    // What holds an attempt back holds one that is only asked for back in the same words.
    let (held, _) = attempt(&store, next()).await.expect_err("trips");
    assert_eq!(asked(next()).await, Err((held, None)));
    let stop = Stop { by: "dana".to_owned(), reason: "enough".to_owned(), at: T };
    store.set_stop(Some(stop)).await.expect("set");
    let (stopped, _) = attempt(&store, next()).await.expect_err("stopped");
    assert_eq!(asked(next()).await, Err((stopped, None)));
}

#[tokio::test]
async fn a_trip_is_found_by_a_unique_beginning_and_kept_with_its_count_through_retention() {
    let store = Arc::new(with_run(memory()).await);
    assert_eq!(store.rearm("t_", "dana", "", T).await, Ok(Rearmed::Unknown));
    assert_eq!(store.rearm("", "dana", "", T).await, Ok(Rearmed::Unknown));
    for subject in ["local/x", "local/y"] {
        let next = || intend("a", subject, T, vec![window(Scope::Subject, 1, 1_000)]);
        attempt(&store, next()).await.expect("room");
        attempt(&store, next()).await.expect_err("trips");
    }
    assert!(matches!(store.rearm("t_", "dana", "", T).await, Err(Error::Ambiguous(_))));
    let trips = store.trips(true).await.expect("read");
    rearm(&store, &trips[0], T).await;
    // A year later everything is old. What a person has not looked at stays, and ids of attempts are not used again.
    store.prune(T + 8_760 * HOUR).await.expect("pruned");
    assert_eq!(store.trips(false).await, Ok(vec![trips[1].clone()]));
    let later = T + 8_760 * HOUR;
    attempt(&store, intend("a", "local/y", later, vec![window(Scope::Subject, 1, 1_000)])).await.expect("afresh");
    let attempts = store.attempts(AttemptFilter::default()).await.expect("read");
    assert!(attempts[0].id > 2, "{attempts:?}");
}
