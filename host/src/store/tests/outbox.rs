//! What people are to be told: once, in order, bounded, and over restarts.

use sandbook_core::effect::notify::Severity;

use super::*;

fn notice(once: &str, at: u64) -> Notice {
    Notice {
        once: once.to_owned(),
        key: format!("key-{once}"),
        event: Happened::Acted,
        severity: Severity::Info,
        run: "r_1".to_owned(),
        runbook: "heal".to_owned(),
        target: "local/web".to_owned(),
        episode: None,
        title: None,
        sentence: "restarted".to_owned(),
        channel: None,
        over: false,
        at,
    }
}

fn message(once: &str, opens: Option<&str>) -> NewMessage {
    NewMessage {
        once: once.to_owned(),
        channel: "ops".to_owned(),
        event: Happened::Acted,
        message: json!({"title": once}),
        at: T,
        opens: opens.map(str::to_owned),
    }
}

async fn routed(store: &Sqlite, messages: Vec<NewMessage>) -> Vec<(String, u64)> {
    store.put_notice(notice("n", T)).await.expect("written");
    let (id, _) = store.notices(1).await.expect("read").remove(0);
    store.route_notice(id, messages, T).await.expect("written")
}

async fn waiting(store: &Sqlite) -> Vec<MessageRow> {
    store.waiting_messages("ops", 10).await.expect("read")
}

#[tokio::test]
async fn a_notice_becomes_its_messages_once_also_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir);
    for _ in 0..2 {
        store.put_notice(notice("a", T)).await.expect("written");
    }
    let found = store.notices(10).await.expect("read");
    assert_eq!(found.len(), 1, "the same is kept once");
    assert_eq!(found[0].1, notice("a", T));
    drop(store);
    let store = open(&dir);
    routed(&store, vec![message("ops|a", None)]).await;
    // The crash came after the routing was written and before anybody knew: it is all done again.
    routed(&store, vec![message("ops|a", None), message("ops|b", None)]).await;
    let rows = waiting(&store).await;
    assert_eq!(rows.iter().map(|row| row.message["title"].clone()).collect::<Vec<_>>(), ["ops|a", "ops|b"]);
    let first = rows[0].id;
    store.settle_messages(vec![first], Delivery::Sent, T).await.expect("written");
    routed(&store, vec![message("ops|a", None)]).await;
    assert_eq!(waiting(&store).await.len(), 1, "what was sent is not queued again");
}

#[tokio::test]
async fn what_came_of_it_is_kept_and_a_batch_stays_together() {
    let store = Sqlite::in_memory().expect("a store");
    routed(&store, vec![message("a", None), message("b", None), message("c", None)]).await;
    let ids: Vec<i64> = waiting(&store).await.iter().map(|row| row.id).collect();
    store.batch_messages(ids[..2].to_vec()).await.expect("written");
    let why = "away".to_owned();
    store.settle_messages(ids[..2].to_vec(), Delivery::Again { due: T + 9, why }, T).await.expect("written");
    let rows = waiting(&store).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.batch, row.attempts, row.due)).collect();
    assert_eq!(seen, [(Some(ids[0]), 1, T + 9), (Some(ids[0]), 1, T + 9), (None, 0, 0)]);
    store.settle_messages(ids[..2].to_vec(), Delivery::Sent, T + 10).await.expect("written");
    store.settle_messages(ids[2..].to_vec(), Delivery::Dropped("too old".to_owned()), T + 11).await.expect("written");
    let counts = store.message_counts().await.expect("read").remove(0);
    assert_eq!((counts.waiting, counts.oldest, counts.sent, counts.dropped), (0, None, 2, 1));
    assert_eq!(counts.last_error.as_deref(), Some("too old"));
    store.prune(T + 11).await.expect("pruned");
    let counts = store.message_counts().await.expect("read").remove(0);
    assert_eq!((counts.sent, counts.dropped), (0, 1), "what is over goes with the rest that is old");
}

#[tokio::test]
async fn a_queue_has_an_end_and_the_oldest_go() {
    let store = Sqlite::in_memory().expect("a store");
    let many = (0..WAITING_MAX + 3).map(|number| message(&number.to_string(), None)).collect();
    let dropped = routed(&store, many).await;
    assert_eq!(dropped.iter().map(|(_, count)| count).sum::<u64>(), 3, "{dropped:?}");
    assert_eq!(waiting(&store).await[0].message["title"], "3");
    let counts = store.message_counts().await.expect("read").remove(0);
    assert_eq!((counts.waiting, counts.dropped), (u64::from(WAITING_MAX), 3));
}

#[tokio::test]
async fn the_end_of_an_alert_ends_the_incident_that_was_sent_once() {
    let store = Sqlite::in_memory().expect("a store");
    let accepted = store.accept(vec![incoming(Status::Firing, "f", T, T)]).await.expect("accepted").remove(0);
    routed(&store, vec![message("a", Some(&accepted.episode))]).await;
    assert_eq!(store.resolve_incidents(T).await, Ok(0));
    store.accept(vec![incoming(Status::Resolved, "f", T, T + 5)]).await.expect("accepted");
    assert_eq!(store.resolve_incidents(T + 6).await, Ok(0), "it was not sent yet");
    let id = waiting(&store).await[0].id;
    store.settle_messages(vec![id], Delivery::Sent, T + 7).await.expect("written");
    assert_eq!(store.resolve_incidents(T + 8).await, Ok(1));
    assert_eq!(store.resolve_incidents(T + 9).await, Ok(0), "once");
    let rows = waiting(&store).await;
    assert_eq!((rows.len(), rows[0].event), (1, Happened::Resolved));
    assert_eq!(rows[0].message, json!({"title": "a", "resolves": true}));
}

#[tokio::test]
async fn an_alert_that_fires_again_keeps_the_incident_of_its_first_time_open() {
    let store = Sqlite::in_memory().expect("a store");
    let accepted = store.accept(vec![incoming(Status::Firing, "f", T, T)]).await.expect("accepted").remove(0);
    routed(&store, vec![message("a", Some(&accepted.episode))]).await;
    let id = waiting(&store).await[0].id;
    store.settle_messages(vec![id], Delivery::Sent, T + 1).await.expect("written");
    let over =
        RunPatch { state: Some(sandbook_core::run::State::Succeeded), finished_at: Some(T + 2), ..RunPatch::default() };
    store.update_run(&accepted.runs[0], over).await.expect("updated");
    // Another episode begins, which ends the first; nothing is over for whoever was called.
    let again = store.accept(vec![incoming(Status::Firing, "f", T + 10, T + 10)]).await.expect("accepted").remove(0);
    assert_eq!(again.kind, AcceptedKind::Refired);
    assert_eq!(store.resolve_incidents(T + 11).await, Ok(0), "it fires");
    assert_eq!(store.prune(T + 1_000).await.expect("pruned").runs, 1);
    assert_eq!(store.prune(T + 1_000).await.expect("pruned").episodes, 0);
    store.accept(vec![incoming(Status::Resolved, "f", T + 10, T + 2_000)]).await.expect("accepted");
    assert_eq!(store.resolve_incidents(T + 2_001).await, Ok(1), "over, and the retention left what opened it");
    assert_eq!(store.resolve_incidents(T + 2_002).await, Ok(0), "once");
}

/// Everything but the notice could be written, and then nothing is.
#[tokio::test]
async fn a_demotion_its_audit_and_its_notice_are_written_together_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir);
    let version = VersionRow {
        name: "heal".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:aa".to_owned(),
        origin: Origin::Person,
        source: Source::Upload,
        manifest_json: "{}".to_owned(),
        package: vec![1],
        at: T,
        by: "dana".to_owned(),
    };
    store.put_version(version).await.expect("stored");
    let demotion = |digest: &str| Demotion {
        stage: StageRow {
            name: "heal".to_owned(),
            digest: digest.to_owned(),
            stage: Stage::Shadow,
            reason: "it did not help".to_owned(),
            by: "engine".to_owned(),
            at: T,
        },
        details: json!({"why": "it did not help"}),
        notice: Notice { event: Happened::Demoted, ..notice("d", T) },
    };
    let written = async || {
        let (audit, _) = store.audit_rows(None, 10, None).await.expect("read");
        let stages = store.stage_history("heal").await.expect("read").len();
        (stages, audit.len(), store.notices(10).await.expect("read").len())
    };
    let other = rusqlite::Connection::open(dir.path().join("sandbook.db")).expect("opens");
    let fails = "CREATE TRIGGER full BEFORE INSERT ON notices BEGIN SELECT RAISE(ABORT, 'no room'); END";
    other.execute_batch(fails).expect("created");
    store.demote(demotion("sha256:aa")).await.expect_err("its notice cannot be kept");
    assert_eq!(written().await, (0, 0, 0), "a version in shadow of which nobody is told");
    other.execute_batch("DROP TRIGGER full").expect("dropped");
    assert_eq!(store.demote(demotion("sha256:bb")).await, Ok(false), "there is no such version");
    assert_eq!(written().await, (0, 0, 0));
    assert_eq!(store.demote(demotion("sha256:aa")).await, Ok(true));
    assert_eq!(written().await, (1, 1, 1));
    drop(store);
    let notices = open(&dir).notices(10).await.expect("read");
    assert_eq!(notices[0].1.event, Happened::Demoted, "over a restart as well");
}

#[tokio::test]
async fn re_arming_ends_the_incident_of_a_trip_also_one_that_is_sent_afterwards() {
    let store = Sqlite::in_memory().expect("a store");
    store.create_run(new_run("r_1")).await.expect("stored");
    let trip = async |subject: &str| {
        let window =
            Window { scope: Scope::RunbookSubject, count: 1, window_ms: 60_000, label: "one a minute".to_owned() };
        let (runbook, subject, windows) = ("heal".to_owned(), subject.to_owned(), vec![window]);
        let intend = Intend { runbook, subject, windows, at: T, ..Intend::default() };
        store.intend("r_1", note("once"), intend.clone()).await.expect("written");
        match store.intend("r_1", note("twice"), intend).await.expect("written") {
            Intended::Limited { tripped: Some(trip), .. } => trip.id,
            other => panic!("{other:?}"),
        }
    };
    let (early, late, kept) = (trip("a").await, trip("b").await, trip("c").await);
    for (id, _) in store.notices(10).await.expect("read") {
        store.route_notice(id, Vec::new(), T).await.expect("written");
    }
    routed(&store, [&early, &late, &kept].map(|trip| message(trip, Some(trip))).to_vec()).await;
    let ids: Vec<i64> = waiting(&store).await.iter().map(|row| row.id).collect();
    store.settle_messages(vec![ids[0], ids[2]], Delivery::Sent, T + 1).await.expect("written");
    assert_eq!(store.resolve_incidents(T + 2).await, Ok(0), "no brake is re-armed");
    for trip in [&early, &late] {
        store.rearm(trip, "dana", "mended", T + 3).await.expect("written");
    }
    assert_eq!(store.resolve_incidents(T + 4).await, Ok(1), "the one that was sent");
    store.settle_messages(vec![ids[1]], Delivery::Sent, T + 5).await.expect("written");
    assert_eq!(store.resolve_incidents(T + 6).await, Ok(1), "what opened late ends, too");
    assert_eq!(store.resolve_incidents(T + 7).await, Ok(0), "once, and the third brake is tripped still");
    let over: Vec<_> = waiting(&store).await.into_iter().map(|row| (row.event, row.message)).collect();
    let ends = |trip: &String| (Happened::Resolved, json!({"title": trip, "resolves": true}));
    assert_eq!(over, [ends(&early), ends(&late)]);
}

#[tokio::test]
async fn a_channel_tells_when_it_took_what_and_since_when_it_does_not() {
    let store = Sqlite::in_memory().expect("a store");
    let at = |once: &str, at: u64| NewMessage { at, ..message(once, None) };
    routed(&store, vec![at("a", T), at("b", T + 1), at("c", T + 2), at("d", T + 3), at("e", T + 4)]).await;
    let ids: Vec<i64> = waiting(&store).await.iter().map(|row| row.id).collect();
    let counts = store.message_counts().await.expect("read").remove(0);
    assert_eq!((counts.last_sent, counts.failing_since, counts.last_dropped), (None, None, None));
    store.batch_messages(ids[..2].to_vec()).await.expect("written");
    store.settle_messages(ids[..2].to_vec(), Delivery::Sent, T + 10).await.expect("written");
    store.settle_messages(vec![ids[2]], Delivery::Sent, T + 20).await.expect("written");
    store.settle_messages(vec![ids[3]], Delivery::Dropped("400".to_owned()), T + 30).await.expect("written");
    let again = Delivery::Again { due: T + 99, why: "away".to_owned() };
    store.settle_messages(vec![ids[4]], again, T + 40).await.expect("written");
    let counts = store.message_counts().await.expect("read").remove(0);
    assert_eq!(
        (counts.last_sent, counts.failing_since, counts.last_dropped),
        (Some(T + 20), Some(T + 4), Some(T + 30))
    );
    assert_eq!(counts.last_error.as_deref(), Some("away"));
    let times = async |channel: &str, after: u64| store.sent_times(channel, after).await.expect("read");
    assert_eq!(times("ops", T).await, [T + 10, T + 20], "what went out together counts once, what was dropped never");
    assert_eq!((times("ops", T + 10).await, times("other", T).await), (vec![T + 20], vec![]));
}
