//! Pauses, versions, audit, retention.

use std::collections::BTreeSet;

use sandbook_core::run::State;

use super::brakes::{intend, try_once};
use super::*;

#[tokio::test]
async fn pauses_and_the_stop_switch_hold_back() {
    let store = memory();
    store.create_run(new_run("r")).await.expect("created");
    let pause = |id: &str, selector: &str| Pause {
        id: id.to_owned(),
        selector: Selector::parse(selector).expect("a selector"),
        reason: "upgrade".to_owned(),
        by: "dana".to_owned(),
        at: T,
        until: T + 1_000,
    };
    store.add_pause(pause("p_1", "target=web-* host=local")).await.expect("added");
    store.add_pause(pause("p_2", "runbook=restart-*")).await.expect("added");
    let held = [("a", "local/web-1", true), ("a", "local/db", false), ("restart-x", "local/db", true)];
    for (runbook, subject, expected) in held {
        let result = try_once(&store, intend(runbook, subject, T + 999, vec![])).await;
        assert_eq!(result.is_err(), expected, "{runbook} {subject}");
        try_once(&store, intend(runbook, subject, T + 1_000, vec![])).await.expect("it is over");
    }
    assert!(store.delete_pause("p_1").await.expect("deleted"));
    assert_eq!(store.pauses(T).await.expect("listed").len(), 1);
    for bad in ["", "name=x", "target=", "target=[", "target=a target=b"] {
        assert!(Selector::parse(bad).is_err(), "{bad}");
    }

    let stop = Stop { by: "dana".to_owned(), reason: "storm".to_owned(), at: T };
    store.set_stop(Some(stop.clone())).await.expect("set");
    store.set_stop(Some(stop.clone())).await.expect("set again");
    let refused = try_once(&store, intend("a", "local/db", T, vec![])).await.expect_err("stopped");
    assert!(refused.contains("dana") && refused.contains("storm"), "{refused}");
    assert_eq!(store.stopped().await, Ok(Some(stop)));
    store.set_stop(None).await.expect("cleared");
    try_once(&store, intend("a", "local/db", T, vec![])).await.expect("goes on");
}

fn version(name: &str, version: &str, digest: &str) -> VersionRow {
    VersionRow {
        name: name.to_owned(),
        version: version.to_owned(),
        digest: format!("sha256:{digest}"),
        origin: Origin::Person,
        source: Source::Upload,
        manifest_json: "{}".to_owned(),
        package: digest.as_bytes().to_vec(),
        at: T,
        by: "dana".to_owned(),
    }
}

#[tokio::test]
async fn a_version_keeps_its_bytes_and_the_highest_stage_runs() {
    let store = memory();
    assert_eq!(store.put_version(version("a", "1", "aa1")).await, Ok(PutVersion::Stored));
    assert_eq!(store.put_version(version("a", "1", "aa1")).await, Ok(PutVersion::SameBytes));
    let taken = PutVersion::VersionTaken("sha256:aa1".to_owned());
    assert_eq!(store.put_version(version("a", "1", "bb")).await, Ok(taken));
    store.put_version(version("a", "2", "aa2")).await.expect("stored");
    store.put_version(version("b", "1", "aa1")).await.expect("the same bytes under another name");
    assert_eq!(store.package("sha256:aa2").await, Ok(Some(b"aa2".to_vec())));
    assert_eq!(store.package("sha256:bb").await, Ok(None));
    assert_eq!(store.version("a", "aa").await, Err(Error::Ambiguous("aa".to_owned())));
    assert_eq!(store.version("a", "sha256:aa2").await.expect("found").expect("there").version, "2");
    assert_eq!(store.versions("a").await.expect("listed").len(), 2);
    assert_eq!(store.all_versions().await.expect("listed").len(), 3);

    assert_eq!(store.current("a").await, Ok(None));
    let steps = [
        ("aa1", Stage::Live, "aa1"),
        ("aa2", Stage::Shadow, "aa1"),
        ("aa2", Stage::Live, "aa2"),
        ("aa2", Stage::Draft, "aa1"),
    ];
    for (digest, stage, current) in steps {
        let digest = format!("sha256:{digest}");
        assert!(store.set_stage("a", &digest, stage, "reviewed", "dana", T).await.expect("set"));
        assert_eq!(store.current("a").await.expect("found"), Some(format!("sha256:{current}")));
    }
    assert!(!store.set_stage("a", "sha256:zz", Stage::Live, "", "dana", T).await.expect("set"));
    let latest: Vec<Stage> = store.stages().await.expect("listed").into_iter().map(|row| row.stage).collect();
    assert_eq!(latest, [Stage::Draft, Stage::Live]);
    assert_eq!(store.stage_history("a").await.expect("listed").len(), 4);
}

#[tokio::test]
async fn a_tampered_audit_is_found() {
    let tampering = [
        ("UPDATE audit SET who = 'eve' WHERE seq = 3", 3),
        ("UPDATE audit SET details = '{}' WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE audit SET hash = 'x' WHERE seq = 6", 6),
    ];
    for (sql, broken) in tampering {
        let store = memory();
        for n in 1..=6u64 {
            let details = json!({"z": 1.5e300, "a": {"n": n, "b": [null, "\"\u{1F600}"]}});
            assert_eq!(store.audit("dana", "stage", "a", details, T + n).await, Ok(n));
        }
        assert_eq!(store.verify_audit(false).await, Ok(AuditCheck { rows: 6, broken: None }));
        let (page, next) = store.audit_rows(Some(T + 2), 3, None).await.expect("listed");
        assert_eq!((page.len(), page[0].seq, next.as_deref()), (3, 6, Some("4")));
        assert_eq!(store.audit_rows(Some(T + 2), 3, next).await.expect("listed").0.len(), 2);
        store.write(move |tx| Ok(tx.sql.execute(sql, [])?)).await.expect("tampered");
        assert_eq!(store.verify_audit(true).await, Ok(AuditCheck { rows: broken - 1, broken: Some(broken) }), "{sql}");
    }
}

#[tokio::test]
async fn one_off_drafts_stay_while_somebody_needs_them_and_the_newest_in_any_case() {
    let store = memory();
    let digest = |n: u32| format!("sha256:{n:08x}");
    let most = ASKED_MAX + 120;
    for n in 0..most {
        let row = version(ASKED, &format!("1.0.0-{n}"), &format!("{n:08x}"));
        let row = VersionRow { origin: Origin::Llm, digest: digest(n), ..row };
        assert_eq!(store.put_version(row).await, Ok(PutVersion::Stored));
        assert!(store.set_stage(ASKED, &digest(n), Stage::Draft, "uploaded", "dana", T).await.expect("set"));
    }
    store.put_version(version("other", "1", "ffff")).await.expect("stored");
    // One has a run, one a plan that can be applied, one a plan that cannot any more, and one is trusted with more.
    let run = NewRun { runbook: ASKED.to_owned(), digest: digest(3), ..new_run("r_asked") };
    store.create_run(run).await.expect("created");
    let plan = |id: &str, n: u32, at: u64| PlanRow {
        id: id.to_owned(),
        runbook: ASKED.to_owned(),
        digest: digest(n),
        by: "dana".to_owned(),
        at,
        expires_at: at + 1_000,
        view: json!({}),
        records: Vec::new(),
        applied: None,
    };
    store.put_plan(plan("p_old", 4, T)).await.expect("kept");
    store.put_plan(plan("p_new", 5, T + 5_000)).await.expect("kept");
    assert!(store.set_stage(ASKED, &digest(6), Stage::Shadow, "read it", "dana", T + 1).await.expect("set"));
    let pruned = store.prune(T).await.expect("pruned");
    assert_eq!(pruned, Pruned { drafts: 117, ..Pruned::default() });
    let left = store.versions(ASKED).await.expect("listed");
    let left: BTreeSet<String> = left.into_iter().map(|row| row.digest).collect();
    let kept: BTreeSet<String> = [3, 5, 6].into_iter().chain(120..most).map(digest).collect();
    assert_eq!(left, kept);
    for (n, there) in [(3, true), (4, false), (5, true), (6, true), (119, false), (120, true)] {
        assert_eq!(store.package(&digest(n)).await.expect("read").is_some(), there, "{n}");
    }
    assert_eq!(store.versions("other").await.expect("listed").len(), 1);
    assert_eq!(store.prune(T).await, Ok(Pruned::default()));
}

#[tokio::test]
async fn only_lines_since_the_last_look_are_computed_again_unless_all_are_asked_for() {
    let store = memory();
    let add = async |n: u64| store.audit("dana", "stage", "a", json!({}), T + n).await.expect("written");
    for n in 1..=4 {
        add(n).await;
    }
    assert_eq!(store.verify_audit(false).await, Ok(AuditCheck { rows: 4, broken: None }));
    let spoil = |sql: &'static str| store.write(move |tx| Ok(tx.sql.execute(sql, [])?));
    spoil("UPDATE audit SET who = 'eve' WHERE seq = 2").await.expect("tampered");
    add(5).await;
    assert_eq!(store.verify_audit(false).await, Ok(AuditCheck { rows: 5, broken: None }), "line 2 is not looked at");
    assert_eq!(store.verify_audit(true).await, Ok(AuditCheck { rows: 1, broken: Some(2) }));
    assert_eq!(store.verify_audit(false).await, Ok(AuditCheck { rows: 1, broken: Some(2) }), "and it stays known");
    spoil("UPDATE audit SET who = 'dana' WHERE seq = 2").await.expect("put right");
    assert_eq!(store.verify_audit(false).await, Ok(AuditCheck { rows: 5, broken: None }));
    spoil("UPDATE audit SET hash = 'x' WHERE seq = 5").await.expect("tampered");
    assert_eq!(
        store.verify_audit(false).await,
        Ok(AuditCheck { rows: 4, broken: Some(5) }),
        "the last line is looked at"
    );
}

#[tokio::test]
async fn pruning_leaves_what_is_still_watched_and_what_an_alert_that_fires_has_joined() {
    let store = memory();
    let over = async |n: &str, verify_until: Option<u64>| {
        let accepted = store.accept(vec![incoming(Status::Firing, n, T, T)]).await.expect("accepted").remove(0);
        let run = accepted.runs[0].clone();
        let aftermath = verify_until.map(|at| Aftermath { verify_until: Some(at), ..Aftermath::default() });
        let (state, finished_at) = (Some(State::Succeeded), Some(T));
        let end = RunPatch { state, finished_at, aftermath, ..RunPatch::default() };
        store.update_run(&run, end).await.expect("updated");
        store.accept(vec![incoming(Status::Resolved, n, T, T + 1)]).await.expect("accepted");
        run
    };
    let (gone, watched, joined) =
        (over("gone", None).await, over("watched", Some(T + 9_000)).await, over("joined", None).await);
    let other = store.accept(vec![incoming(Status::Firing, "other", T, T + 500)]).await.expect("accepted").remove(0);
    store.join(&other.episode, &joined).await.expect("joined");
    let left = async || {
        while store.prune(T + 100).await.expect("pruned") != Pruned::default() {}
        let mut left = Vec::new();
        for (name, run) in [("gone", &gone), ("watched", &watched), ("joined", &joined)] {
            if store.run(run).await.expect("read").is_some() {
                left.push(name);
            }
        }
        left
    };
    assert_eq!(left().await, ["watched", "joined"]);
    store.accept(vec![incoming(Status::Resolved, "other", T, T + 600)]).await.expect("accepted");
    let told = RunPatch { aftermath: Some(Aftermath::default()), ..RunPatch::default() };
    store.update_run(&watched, told).await.expect("updated");
    assert!(left().await.is_empty());
}

#[tokio::test]
async fn stages_are_set_together_with_their_audit_or_not_at_all() {
    let store = memory();
    for digest in ["aa", "bb"] {
        assert_eq!(store.put_version(version("heal", digest, digest)).await, Ok(PutVersion::Stored));
    }
    let digests: Vec<String> =
        store.versions("heal").await.expect("listed").into_iter().map(|row| row.digest).collect();
    let change = |digest: &str, stage| {
        let (reason, by) = ("a test".to_owned(), "dana".to_owned());
        (StageRow { name: "heal".to_owned(), digest: digest.to_owned(), stage, reason, by, at: T }, json!({}))
    };
    let half = vec![change(&digests[0], Stage::Shadow), change("sha256:unknown", Stage::Live)];
    assert_eq!(store.set_stages(half).await, Ok(false));
    assert!(store.stage_history("heal").await.expect("listed").is_empty(), "nothing of it");
    let both = vec![change(&digests[0], Stage::Shadow), change(&digests[1], Stage::Live)];
    assert_eq!(store.set_stages(both).await, Ok(true));
    assert_eq!(store.stage_history("heal").await.expect("listed").len(), 2);
    assert_eq!(store.audit_rows(None, 0, None).await.expect("listed").0.len(), 2);
}

#[tokio::test]
async fn whoever_releases_a_stop_releases_the_one_that_was_seen() {
    let store = memory();
    let stop = |by: &str, at| Stop { by: by.to_owned(), reason: "smoke".to_owned(), at };
    store.set_stop(Some(stop("dana", T))).await.expect("set");
    store.set_stop(Some(stop("eve", T + 1))).await.expect("set");
    assert_eq!(store.release_stop(stop("dana", T)).await, Ok(false));
    assert_eq!(store.stopped().await, Ok(Some(stop("eve", T + 1))), "eve's holds");
    assert_eq!(store.release_stop(stop("eve", T + 1)).await, Ok(true));
    assert_eq!(store.stopped().await, Ok(None));
}

#[tokio::test]
async fn runs_that_take_anothers_place_are_made_with_its_end_or_not_at_all() {
    let store = memory();
    store.create_run(new_run("r_all")).await.expect("stored");
    let divided = |id: &str| RunPatch {
        from: vec![State::Queued],
        state: Some(State::Succeeded),
        finished_at: Some(T),
        runs: vec![new_run(id)],
        ..RunPatch::default()
    };
    assert_eq!(store.update_run("r_all", divided("r_one")).await, Ok(true));
    assert_eq!(store.update_run("r_all", divided("r_two")).await, Ok(false), "it is over");
    assert_eq!(store.run("r_one").await.expect("read").map(|row| row.state), Some(State::Queued));
    assert_eq!(store.run("r_two").await, Ok(None));
}

#[tokio::test]
async fn pruning_removes_what_ended_and_a_backup_has_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir);
    for n in 0..120u64 {
        let accepted =
            store.accept(vec![incoming(Status::Firing, &format!("f{n}"), T, T)]).await.expect("accepted").remove(0);
        let run = &accepted.runs[0];
        store.append(run, vec![note("1"), note("2")], true).await.expect("appended");
        if n >= 110 {
            continue;
        }
        let end = RunPatch { state: Some(State::Succeeded), finished_at: Some(T + n), ..RunPatch::default() };
        store.update_run(run, end).await.expect("updated");
        store.accept(vec![incoming(Status::Resolved, &format!("f{n}"), T, T + n)]).await.expect("accepted");
    }
    let pruned = store.prune(T + 100).await.expect("pruned");
    assert_eq!(pruned, Pruned { runs: 100, records: 200, episodes: 100, ..Pruned::default() });
    assert_eq!(store.prune(T + 100).await, Ok(Pruned::default()));

    let file = dir.path().join("backup.db");
    store.backup(&file).await.expect("written");
    assert!(store.backup(&file).await.is_err(), "a file that exists is kept");
    let copy = tempfile::tempdir().expect("a directory");
    std::fs::rename(&file, copy.path().join("sandbook.db")).expect("moved");
    let restored = open(&copy);
    let (runs, _) = restored.runs(RunFilter::default()).await.expect("listed");
    assert_eq!((runs.len(), restored.open_runs().await.expect("listed").len()), (20, 10));
    assert_eq!(runs, store.runs(RunFilter::default()).await.expect("listed").0);
}

#[tokio::test]
async fn every_list_uses_an_index() {
    let store = memory();
    let queries = [
        "SELECT id FROM episodes WHERE fingerprint = 'x' ORDER BY seq DESC LIMIT 1",
        "SELECT * FROM episodes WHERE 1 AND resolved_at IS NULL ORDER BY first_heard DESC, id DESC LIMIT 9",
        "SELECT * FROM runs WHERE 1 AND runbook = 'x' ORDER BY at DESC, id DESC LIMIT 9",
        "SELECT * FROM runs WHERE 1 AND target_name = 'x' ORDER BY at DESC, id DESC LIMIT 9",
        "SELECT * FROM runs INDEXED BY runs_wake WHERE state = 'waiting' AND wake_at IS NOT NULL AND wake_at <= 1 ORDER BY wake_at LIMIT 9",
        "SELECT count(*) FROM attempts WHERE runbook = 'x' AND subject = 'y' AND at > 1 AND id > 0",
        "SELECT count(*) FROM attempts WHERE host = 'x' AND '' = '' AND at > 1 AND id > 0",
        "SELECT * FROM trips WHERE scope = 'x' AND key = 'y' AND rearmed_at IS NULL",
        "SELECT max(rearmed_attempt) FROM trips WHERE scope = 'x' AND key = 'y' AND rearmed_at IS NOT NULL",
        "SELECT seq FROM records WHERE run = 'x' ORDER BY seq DESC LIMIT 1",
    ];
    for query in queries {
        let plan: Vec<String> = store
            .write(move |tx| {
                let mut statement = tx.sql.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
                let rows = statement.query_map([], |row| row.get("detail"))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
            .expect("explained");
        let plan = plan.join("; ");
        assert!(plan.contains("INDEX") || plan.contains("PRIMARY KEY"), "{query}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}
