//! When contradictions take a version out of action, and what brings it back.

use sandbook_core::run::{Mode, Verification};
use serde_json::json;

use super::*;
use crate::store::{Aftermath, Happened, NewRun, Notice, RunPatch, Verdict};

/// Demotes where that is due; says why.
async fn demote(library: &Library, digest: &str) -> Option<String> {
    let told = |why: &str| Notice {
        once: format!("demoted-{digest}-{why}"),
        key: "k".to_owned(),
        event: Happened::Demoted,
        severity: Happened::Demoted.severity(),
        run: String::new(),
        runbook: "tidy".to_owned(),
        target: String::new(),
        episode: None,
        title: None,
        sentence: why.to_owned(),
        channel: None,
        over: false,
        at: now_ms(),
    };
    let demoted = library.demote_contradicted("tidy", digest, told).await.expect("judged")?;
    assert_eq!(demoted.notice.sentence, demoted.reason);
    Some(demoted.reason)
}

/// Runs of a version that acted and were judged, queued so many milliseconds from now.
async fn judged(fixture: &Fixture, digest: &str, from_now_ms: i64, contradicted: &[bool]) {
    for helped in contradicted.iter().map(|contradicted| !contradicted) {
        let at = now_ms().saturating_add_signed(from_now_ms);
        let run = NewRun {
            id: crate::store::id::new("r"),
            runbook: "tidy".to_owned(),
            version: "1.0.0".to_owned(),
            digest: digest.to_owned(),
            mode: Mode::Live,
            stage: Stage::Live,
            origin: Origin::Person,
            trigger: "manual".to_owned(),
            episode: None,
            parameters: json!({}),
            target_hint: json!({}),
            priority: 0,
            at,
        };
        let id = run.id.clone();
        fixture.store.create_run(run).await.expect("created");
        let patch = RunPatch {
            finished_at: Some(at),
            verification: Some(Verification::Pending),
            aftermath: Some(Aftermath { verify_until: Some(at), ..Aftermath::default() }),
            ..RunPatch::default()
        };
        fixture.store.update_run(&id, patch).await.expect("updated");
        let to = if helped { Verification::Confirmed } else { Verification::Contradicted };
        let verdict = Verdict { from: Verification::Pending, to, why: String::new(), at };
        assert!(fixture.store.set_verification(&id, verdict).await.expect("set"));
    }
}

fn live(by: &str) -> StageChange {
    StageChange { stage: Stage::Live, reason: "r".to_owned(), by: by.to_owned(), person: true }
}

#[tokio::test]
async fn three_of_five_demote_and_a_later_promotion_lifts_it() {
    let fixture = Fixture::new();
    let library = fixture.library("").await;
    let one = library.upload(script_with(MANIFEST).as_bytes(), None, "dana", None).await.expect("taken");
    library.set_stage("tidy", "", live("dana")).await.expect("set");
    let stage = || library.find("tidy", Some(&one.digest)).expect("there");
    let demoted = async || demote(&library, &one.digest).await;

    judged(&fixture, &one.digest, -60_000, &[true, true, true]).await;
    assert_eq!(demoted().await, None, "they are older than the promotion");
    judged(&fixture, &one.digest, 1_000, &[true, false, true, false]).await;
    assert_eq!((demoted().await, stage().stage), (None, Stage::Live), "two of four");
    judged(&fixture, &one.digest, 2_000, &[true]).await;
    let why = "3 of its last 5 runs that acted did not help";
    assert_eq!(demoted().await.as_deref(), Some(why));
    assert_eq!((stage().stage, stage().demoted, stage().reason.as_deref()), (Stage::Shadow, true, Some(why)));
    assert_eq!(demoted().await, None, "once");
    assert_eq!(demote_audits(&fixture).await, 1);
    let told = fixture.store.notices(10).await.expect("read");
    assert_eq!(told.iter().map(|(_, notice)| notice.sentence.as_str()).collect::<Vec<_>>(), [why], "kept with it");

    // A new digest begins afresh, whatever its elder did.
    let newer = script_with(&MANIFEST.replace("1.0.0", "1.1.0"));
    let two = library.upload(newer.as_bytes(), None, "dana", None).await.expect("taken");
    library.set_stage("tidy", &two.digest, live("dana")).await.expect("set");
    assert_eq!(demote(&library, &two.digest).await, None);

    std::thread::sleep(std::time::Duration::from_millis(2_100));
    library.set_stage("tidy", &one.digest, live("dana")).await.expect("set");
    assert_eq!((stage().stage, stage().demoted), (Stage::Live, false));
    assert_eq!(demoted().await, None, "what was before the promotion does not count");
    judged(&fixture, &one.digest, 1_000, &[true, true, true]).await;
    assert!(demoted().await.is_some(), "what is after it does");
    assert_eq!(demote_audits(&fixture).await, 2);
}

async fn demote_audits(fixture: &Fixture) -> usize {
    fixture.audit().await.iter().filter(|(who, what, _)| who == ENGINE && what == "demote tidy").count()
}

/// The lowest of all opinions counts, also over a restart and when the configuration says live.
#[tokio::test]
async fn a_pin_to_live_does_not_keep_it_acting() {
    let fixture = Fixture::new();
    fixture.package("tidy", MANIFEST, SCRIPT);
    let library = fixture.library("tidy = \"live\"\n").await;
    let digest = library.find("tidy", None).expect("there").digest;
    assert_eq!(shown(&library), ["tidy 1.0.0 live"]);
    judged(&fixture, &digest, 0, &[true, true, true]).await;
    assert!(demote(&library, &digest).await.is_some());
    assert_eq!(shown(&library), ["tidy 1.0.0 shadow"]);
    let library = fixture.library("tidy = \"live\"\n").await;
    assert_eq!(shown(&library), ["tidy 1.0.0 shadow"], "a restart changes nothing");
    library.set_stage("tidy", &digest, live("dana")).await.expect("set");
    assert_eq!(shown(&library), ["tidy 1.0.0 live"]);
}

#[tokio::test]
async fn the_configuration_says_how_many_are_too_many() {
    for (limits, demotes) in [("contradicted = 0", false), ("contradicted = 1\nof = 1", true), ("", false)] {
        let fixture = Fixture::new();
        fixture.package("tidy", MANIFEST, SCRIPT);
        let library = fixture.library(&format!("tidy = \"live\"\n[runbooks.demotion]\n{limits}\n")).await;
        let digest = library.find("tidy", None).expect("there").digest;
        judged(&fixture, &digest, 0, &[true]).await;
        let why = demote(&library, &digest).await;
        assert_eq!(why.is_some(), demotes, "{limits}");
    }
}
