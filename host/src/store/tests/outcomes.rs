//! Verifications that change, and what they add up to.

use sandbook_core::run::{Outcome, State, Verification};

use super::*;

const MINUTE: u64 = 60_000;

/// A run of an alert that acted and ended, as the runner leaves it.
async fn acted(store: &Sqlite, fingerprint: &str, starts_at: u64, book: &str, subject: &str) -> String {
    let mut heard = incoming(Status::Firing, fingerprint, starts_at, starts_at);
    book.clone_into(&mut heard.runs[0].runbook);
    let accepted = store.accept(vec![heard]).await.expect("accepted").remove(0);
    let id = accepted.runs[0].clone();
    let ended = starts_at + MINUTE;
    let patch = RunPatch {
        state: Some(State::Succeeded),
        subject: Some(subject.to_owned()),
        finished_at: Some(ended),
        outcome: Some(Outcome::Fixed),
        verification: Some(Verification::Pending),
        aftermath: Some(Aftermath {
            acted_at: Some(starts_at + 20_000),
            verify_until: Some(ended + 30 * MINUTE),
            resolve_by: Some(ended + 15 * MINUTE),
            refire_until: Some(ended + 20 * MINUTE),
            ..Aftermath::default()
        }),
        ..RunPatch::default()
    };
    assert!(store.update_run(&id, patch).await.expect("updated"));
    id
}

async fn judged(store: &Sqlite, id: &str, from: Verification, to: Verification, at: u64) -> bool {
    store.set_verification(id, Verdict { from, to, why: to.name().to_owned(), at }).await.expect("set")
}

async fn row(store: &Sqlite, id: &str) -> RunRow {
    store.run(id).await.expect("read").expect("there")
}

#[tokio::test]
async fn what_fires_again_in_time_contradicts_in_the_transaction_that_takes_it() {
    use Verification::{Confirmed, Contradicted, Pending, Unknown};
    for (name, found, after_end, expected) in [
        ("confirmed, and again soon", Some(Confirmed), 4 * MINUTE, Contradicted),
        ("not yet looked at, and again soon", None, 12_000, Contradicted),
        ("again, but later than its window", Some(Confirmed), 20 * MINUTE + 1, Confirmed),
        ("unknown stays unknown", Some(Unknown), 4 * MINUTE, Unknown),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(&dir);
        let id = acted(&store, "f", T, "book", "s").await;
        let other = acted(&store, "other", T, "book", "s").await;
        if let Some(found) = found {
            assert!(judged(&store, &id, Pending, found, T + 2 * MINUTE).await, "{name}");
        }
        drop(store);
        let store = open(&dir);
        let again = T + MINUTE + after_end;
        let accepted = store.accept(vec![incoming(Status::Firing, "f", again, again)]).await.expect("accepted");
        assert_eq!(accepted[0].kind, AcceptedKind::Refired, "{name}");
        let run = row(&store, &id).await;
        assert_eq!(run.verification, Some(expected), "{name}");
        assert_eq!(row(&store, &other).await.verification, Some(Pending), "{name}: another alert's run is left alone");
        if expected == Contradicted {
            let span = if after_end < MINUTE { "12 s" } else { "4 min" };
            let why = format!("fired again {span} after it was fixed");
            assert_eq!(run.aftermath.verification_why, Some(why), "{name}");
            assert_eq!((run.aftermath.verified_at, run.aftermath.verify_until), (Some(again), Some(again)), "{name}");
            let due = store.due_verifications(again).await.expect("listed");
            assert_eq!(due.iter().map(|due| due.run.id.as_str()).collect::<Vec<_>>(), [id.as_str()], "{name}");
            assert!(!judged(&store, &id, Pending, Confirmed, again).await, "{name}: a late look changes nothing");
            let close = async |settled| store.close_verification(&id, settled).await.expect("closed");
            assert!(!close(Confirmed).await, "{name}: whoever saw it confirmed does not close what is to be told");
            assert_eq!(store.due_verifications(again).await.expect("listed").len(), 1, "{name}");
            assert!(close(Contradicted).await, "{name}");
            assert!(!close(Contradicted).await, "{name}");
            assert!(store.due_verifications(again).await.expect("listed").is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn an_alert_that_does_not_resolve_is_due_and_one_that_does_is_not() {
    let store = memory();
    let firing = acted(&store, "firing", T, "book", "s").await;
    let resolved = acted(&store, "resolved", T, "book", "s").await;
    for id in [&firing, &resolved] {
        assert!(judged(&store, id, Verification::Pending, Verification::Confirmed, T + 2 * MINUTE).await);
    }
    store.accept(vec![incoming(Status::Resolved, "resolved", T, T + 5 * MINUTE)]).await.expect("accepted");
    assert!(store.due_verifications(T + 15 * MINUTE).await.expect("listed").is_empty(), "there is still time");
    let due = store.due_verifications(T + 16 * MINUTE).await.expect("listed");
    assert_eq!(
        due.iter().map(|due| (due.run.id.as_str(), due.unresolved)).collect::<Vec<_>>(),
        [(firing.as_str(), true)]
    );
    let due = store.due_verifications(T + 31 * MINUTE).await.expect("listed");
    assert_eq!(due.len(), 2, "the windows are over: {due:?}");
}

/// More than a page: nothing is forgotten however many there are.
#[tokio::test]
async fn every_pending_verification_is_found() {
    let store = memory();
    let patch = || RunPatch {
        verification: Some(Verification::Pending),
        aftermath: Some(Aftermath { verify_until: Some(T), ..Aftermath::default() }),
        ..RunPatch::default()
    };
    for n in 0..u64::from(PAGE_MAX) + 5 {
        let id = format!("r_{n:05}");
        store.create_run(NewRun { at: T + n, ..new_run(&id) }).await.expect("created");
        store.update_run(&id, patch()).await.expect("updated");
    }
    assert_eq!(store.pending_verifications().await.expect("listed").len(), PAGE_MAX as usize + 5);
}

#[tokio::test]
async fn rates_and_contradictions_are_counted() {
    use Verification::{Confirmed, Contradicted, Pending, Unknown};
    let store = memory();
    let found = [Contradicted, Confirmed, Contradicted, Unknown, Contradicted, Confirmed];
    for (n, verification) in found.into_iter().enumerate() {
        let at = T + n as u64 * MINUTE;
        let id = acted(&store, &format!("f{n}"), at, "book", if n < 3 { "a" } else { "b" }).await;
        assert!(judged(&store, &id, Pending, verification, at + 2 * MINUTE).await);
    }
    acted(&store, "open", T, "other", "a").await;
    let tallies = store.tallies(T, None).await.expect("counted");
    let told: Vec<_> = tallies
        .iter()
        .map(|tally| {
            (tally.runbook.as_str(), tally.subject.as_deref().unwrap_or(""), tally.confirmed, tally.contradicted)
        })
        .collect();
    assert_eq!(told, [("book", "a", 1, 2), ("book", "b", 1, 1), ("other", "a", 0, 0)]);
    assert_eq!((tallies[1].unknown, tallies[2].pending, tallies[1].rate(), tallies[2].rate()), (1, 1, Some(0.5), None));
    assert_eq!(store.tallies(T + 1, Some("book".to_owned())).await.expect("counted")[0].runs, 2, "only since then");

    let count = async |since, of| store.contradictions("book", "sha256:aa", since, of).await.expect("counted");
    assert_eq!((count(0, 5).await, count(0, 2).await), (3, 1), "the unknown one is not among the last");
    assert_eq!(count(T + 3 * MINUTE, 5).await, 1, "what was before a promotion does not count");
    assert_eq!(store.contradictions("book", "sha256:bb", 0, 5).await, Ok(0), "another version begins afresh");
}

#[tokio::test]
async fn repairs_and_first_effects_are_means_over_what_acted() {
    let store = memory();
    assert_eq!(store.speed(0).await, Ok(Speed::default()));
    acted(&store, "slow", T, "book", "s").await;
    acted(&store, "fast", T, "book", "s").await;
    store.accept(vec![incoming(Status::Firing, "untouched", T, T)]).await.expect("accepted");
    for (fingerprint, minutes) in [("slow", 6), ("fast", 2), ("untouched", 90)] {
        let end = T + minutes * MINUTE;
        store.accept(vec![incoming(Status::Resolved, fingerprint, T, end)]).await.expect("accepted");
    }
    let speed = store.speed(T).await.expect("computed");
    assert_eq!(speed.repair, Some(Mean { mean_ms: 4 * MINUTE, count: 2 }));
    assert_eq!(speed.first_effect, Some(Mean { mean_ms: 20_000, count: 2 }));
    let later = store.speed(T + 3 * MINUTE).await.expect("computed");
    assert_eq!((later.repair, later.first_effect), (Some(Mean { mean_ms: 6 * MINUTE, count: 1 }), None));
}
