//! Runs executed again from their journals: equal, changed anywhere, with another version, and as a file.

use sandbook_core::journal::{Answer, Record};
use sandbook_core::run::Decision;

use super::*;
use crate::replay::export::{Exported, FORMAT, Unreadable};
use crate::replay::{Replay, Verdict, alone, replay};

const HEAL: &str = "fn run(input) { let a = docker::inspect_container(input.target); print(a.name); \
                    if a.state.status != \"running\" { return nothing_to_do(\"it is stopped\"); } \
                    docker::restart_container(input.target); clock::sleep(3000); \
                    let b = docker::inspect_container(input.target); fixed(\"restarted, \" + b.state.status) }";
const REQUESTS: [&str; 3] = ["docker.inspect-container", "docker.restart-container", "docker.stop-container"];

async fn recorded(body: &str) -> (Package, Vec<Record>) {
    let bench = bench(EVERYTHING);
    let package = script("heal", &REQUESTS, body);
    let id = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
    bench.ended(&id).await;
    (package, bench.store.records(&id).await.expect("readable"))
}

async fn replayed(package: &Package, records: Vec<Record>) -> Replay {
    replay(&alone(sandbox()).expect("parts"), package, records).await.expect("a replay")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_replays_equal_and_every_recorded_answer_matters() {
    let (package, records) = recorded(HEAL).await;
    let same = replayed(&package, records.clone()).await;
    assert_eq!((same.verdict, same.slots, same.outcome.as_deref()), (Verdict::Equal, 4, Some("fixed")), "{same:?}");
    assert_eq!(same.sentence.as_deref(), Some("restarted, running"));
    // Whatever is changed in the record is noticed: an answer, a request, a note, the end.
    let changed = |change: &dyn Fn(&mut Record)| {
        let mut records = records.clone();
        let before = records.clone();
        records.iter_mut().for_each(change);
        assert_ne!(records, before, "the test changes something");
        records
    };
    let answer = changed(&|record| {
        if let Record::Settled { slot: 0, answer: Answer::Ok(value), .. } = record {
            value["state"]["status"] = "exited".into();
        }
    });
    let other = replayed(&package, answer).await;
    let differs = other.diverges.expect("it ends sooner");
    assert_eq!((other.verdict, differs.slot, differs.asked), (Verdict::Diverges, 1, None));
    assert!(differs.why.contains("docker.restart-container"), "{}", differs.why);
    let request = changed(&|record| {
        if let Record::Intended { request, .. } = record {
            request.arguments["container"] = "local/other".into();
        }
    });
    let differs = replayed(&package, request).await.diverges.expect("another request");
    assert_eq!(differs.slot, 1);
    assert_eq!(differs.recorded.expect("recorded").arguments["container"], "local/other");
    let note = changed(&|record| {
        if let Record::Note { data, .. } = record {
            data["message"] = "somebody else".into();
        }
    });
    assert!(replayed(&package, note).await.diverges.expect("another note").why.contains("somebody else"));
    let end = changed(&|record| {
        if let Record::Ended { sentence, .. } = record {
            "all well".clone_into(sentence);
        }
    });
    assert!(replayed(&package, end).await.diverges.expect("another end").why.contains("all well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_beginning_of_a_journal_is_equal_so_far() {
    let (package, records) = recorded(HEAL).await;
    for cut in 1..records.len() {
        let so_far = replayed(&package, records[..cut].to_vec()).await;
        assert_eq!(so_far.verdict, Verdict::EqualSoFar, "cut after {cut}: {so_far:?}");
        assert!(so_far.diverges.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_goes_on_over_what_is_recorded() {
    let (_, records) = recorded(HEAL).await;
    // The same in other words is equal.
    let reworded = script("heal", &REQUESTS, &format!("// another digest\n{HEAL}"));
    assert_eq!(replayed(&reworded, records.clone()).await.verdict, Verdict::Equal);
    // One that stops where the other restarted sees what its own change does.
    let stops = script(
        "heal",
        &REQUESTS,
        "fn run(input) { let a = docker::inspect_container(input.target); print(a.name); \
         docker::stop_container(input.target); \
         try { docker::inspect_container(\"never-seen\"); } catch (e) { print(e.kind); } \
         done(docker::inspect_container(input.target).state.status) }",
    );
    let other = replayed(&stops, records).await;
    assert_eq!(other.verdict, Verdict::Diverges);
    let differs = other.diverges.as_ref().expect("it differs");
    assert_eq!((differs.slot, differs.why.contains("docker.stop-container")), (1, true), "{differs:?}");
    assert_eq!(other.would.len(), 1, "{:?}", other.would);
    assert!(other.would[0].sentence.starts_with("stop container local/shop-db-1"), "{:?}", other.would);
    assert_eq!(other.would[0].decision, Decision::Allow.name());
    assert_eq!((other.outcome.as_deref(), other.sentence.as_deref()), (Some("done"), Some("exited")), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_the_gate_or_a_limit_ended_replay_equal() {
    for (body, outcome) in [
        // Ended after its budget of denials.
        (
            "fn run(input) { for i in 0..100 { try { docker::kill_container(input.target); } catch { } } done(\"x\") }",
            "refused",
        ),
        // Beyond its effects.
        ("fn run(input) { for i in 0..2000 { try { clock::now(); } catch { } } done(\"x\") }", "limited"),
        // Notes beyond their limit.
        (
            "fn run(input) { let text = \"x\"; text.pad(9000, 'x'); for i in 0..300 { log::progress(text); } done(\"noted\") }",
            "done",
        ),
        // An error nobody handled.
        ("fn run(input) { docker::inspect_container(\"nobody\"); done(\"x\") }", "failed"),
    ] {
        let bench = bench(EVERYTHING);
        let package = script("heal", &REQUESTS, body);
        let id = bench.submit(&package, Some("shop-db-1"), Stage::Live).await;
        // The bench replays it.
        let row = bench.ended(&id).await;
        assert_eq!(row.outcome.map(Outcome::name), Some(outcome), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_a_file_that_says_when_it_was_changed() {
    let (package, records) = recorded(HEAL).await;
    let text = Exported::text(&package, &records).expect("json");
    let (exported, read, again) = Exported::read(&text).expect("its own file");
    assert_eq!((exported.sandbook_export, &read.digest, &again), (FORMAT, &package.digest, &records));
    assert_eq!(replayed(&read, again).await.verdict, Verdict::Equal);
    let unreadable = |text: &str| Exported::read(text).map(|_| ()).expect_err("no file of a run");
    let tampered = text.replacen("restarted, running", "restarted, walking", 1);
    assert_ne!(tampered, text);
    assert!(matches!(unreadable(&tampered), Unreadable::Changed { .. }));
    let newer = text.replacen("\"sandbook_export\":1", "\"sandbook_export\":2", 1);
    assert_eq!(unreadable(&newer).to_string(), "it has format 2, and this version reads 1");
    assert!(matches!(unreadable("{\"runs\": []}"), Unreadable::NotOne(_)));
    assert!(matches!(unreadable(&text[..text.len() / 2]), Unreadable::NotOne(_)));
}
