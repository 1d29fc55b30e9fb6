//! Claims of fixed runs, reports that render as meant, and models that say something else.

use std::collections::BTreeMap;

use sandbook_core::error::Error;
use sandbook_core::journal::{AlertInput, Answer, Header, Limits, Record, Request};
use sandbook_core::run::{Certainty, Decision, Mode, Origin, Outcome, Stage, State, Verification};
use sandbook_core::target::{Kind, Target};
use serde_json::{Value, json};

use super::*;
use crate::similar::Similar;
use crate::store::{Aftermath, RunRow};

const T: u64 = 1_767_348_000_000;

fn web() -> Target {
    Target { host: "local".to_owned(), kind: Kind::Container, name: "web-1".to_owned(), id: Some("3f2a".to_owned()) }
}

fn header(label: &str) -> Header {
    let labels = [("alertname", "ContainerUnhealthy"), ("name", label)];
    let labels: BTreeMap<String, String> = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Header {
        format: 1,
        run: "r_1".to_owned(),
        runbook: "restart-unhealthy".to_owned(),
        version: "1.2.0".to_owned(),
        digest: "sha256:aa".to_owned(),
        interpreter: None,
        abi: "sandbook:runbook@1.0.0".to_owned(),
        mode: Mode::Live,
        stage: Stage::Live,
        origin: Origin::Person,
        trigger: "alert".to_owned(),
        episode: Some("e_1".to_owned()),
        alert: Some(AlertInput {
            name: "ContainerUnhealthy".to_owned(),
            labels,
            annotations: BTreeMap::new(),
            starts_at: String::new(),
            fingerprint: "f".to_owned(),
        }),
        target: Some(web()),
        subject: Some("local/web-1".to_owned()),
        host: "local".to_owned(),
        parameters: indexmap::IndexMap::new(),
        requests: Vec::new(),
        limits: Limits::default(),
        seed: 1,
        at: T,
        bound: None,
    }
}

fn settled(slot: u32, effect: &str, arguments: Value, decision: Decision, answer: Answer) -> Record {
    Record::Settled {
        slot,
        request: Some(Request { effect: effect.to_owned(), arguments }),
        target: Some(web()),
        decision,
        certainty: Certainty::Real,
        policy: Vec::new(),
        answer,
        at: T + 1_000 * u64::from(slot + 1),
    }
}

fn row() -> RunRow {
    RunRow {
        id: "r_1".to_owned(),
        runbook: "restart-unhealthy".to_owned(),
        version: "1.2.0".to_owned(),
        digest: "sha256:aa".to_owned(),
        mode: Mode::Live,
        stage: Stage::Live,
        origin: Origin::Person,
        trigger: "alert".to_owned(),
        episode: Some("e_1".to_owned()),
        parameters: Value::Null,
        target_hint: Value::Null,
        target: Some(web()),
        subject: Some("local/web-1".to_owned()),
        priority: 0,
        at: T,
        state: State::Succeeded,
        started_at: Some(T),
        finished_at: Some(T + 9_000),
        outcome: Some(Outcome::Fixed),
        sentence: Some("restarted".to_owned()),
        verification: Some(Verification::Confirmed),
        wake_at: None,
        error: None,
        crashes: 0,
        aftermath: Aftermath { verification_why: Some("healthy after 4 s".to_owned()), ..Aftermath::default() },
    }
}

fn records(label: &str) -> Vec<(u64, Record)> {
    let unhealthy = json!({"state": {"status": "running", "health": "unhealthy", "oom_killed": false}});
    let restarted = json!({"changed": true, "state": {"status": "running", "health": "starting"}});
    let container = || json!({"container": "web-1"});
    let message = json!({"message": "restarting", "level": "info"});
    let denied = Answer::Error(Error::denied("no policy permits it"));
    let all = vec![
        Record::Begun { header: Box::new(header(label)) },
        settled(0, "docker.inspect-container", container(), Decision::Allow, Answer::Ok(unhealthy)),
        Record::Note { effect: "log.log".to_owned(), data: message, at: T + 1_500 },
        settled(1, "docker.restart-container", container(), Decision::Allow, Answer::Ok(restarted)),
        settled(2, "docker.stop-container", container(), Decision::Deny, denied),
        Record::Ended {
            state: State::Succeeded,
            outcome: Some(Outcome::Fixed),
            sentence: "restarted".to_owned(),
            at: T + 9_000,
        },
    ];
    (0..).zip(all).collect()
}

#[test]
fn every_claim_has_its_record_and_the_same_run_the_same_words() {
    let claims = claims::of(&row(), &records("web-1"));
    let said: Vec<(Option<u64>, Option<u32>, &str)> =
        claims.iter().map(|claim| (claim.link.record, claim.link.slot, claim.text.as_str())).collect();
    let began = "restart-unhealthy 1.2.0 began in mode live on local/web-1 for the alert \"ContainerUnhealthy\" with name=\"web-1\"";
    let expected = [
        (Some(0), None, began),
        (Some(1), Some(0), "docker.inspect-container on local/web-1 found: running, unhealthy"),
        (Some(2), None, "it noted \"restarting\""),
        (Some(3), Some(1), "it did restart container web-1 with its own stop timeout, which left it running, starting"),
        (Some(4), Some(2), "to stop container web-1 with its own stop timeout was refused: \"no policy permits it\""),
        (Some(5), None, "it ended as fixed: \"restarted\""),
        (None, None, "afterwards the condition was confirmed: \"healthy after 4 s\""),
    ];
    assert_eq!(said, expected);
    assert!(claims.iter().map(|claim| claim.id).eq(1..=7));
    let sentences = plain(&claims);
    assert!(sentences.iter().all(|sentence| sentence.links.len() == 1 && !sentence.reworded));
}

#[test]
fn a_shadow_run_never_says_that_it_did_anything() {
    let shadow = RunRow { mode: Mode::Shadow, ..row() };
    let claims = claims::of(&shadow, &records("web-1"));
    assert!(
        claims.iter().all(|claim| claim.about != About::Change || claim.text.starts_with("it would")),
        "{claims:?}"
    );
}

#[test]
fn a_long_journal_is_counted_and_its_end_stays() {
    let mut long = records("web-1");
    let end = long.pop().expect("an end").1;
    let note = |n: u64| Record::Note { effect: "log.log".to_owned(), data: json!({"message": "x"}), at: T + n };
    long.extend((5..1_000).map(|n| (n, note(n))));
    long.push((1_000, end));
    let claims = claims::of(&row(), &long);
    assert!(claims.len() <= claims::CLAIMS_MAX + 4);
    assert!(claims.iter().any(|claim| claim.link.record == Some(1_000)));
    assert!(claims.iter().any(|claim| claim.text == "850 more records are in its journal"), "{:?}", claims.last());
}

#[test]
fn hostile_labels_stay_text_in_a_report() {
    let label = "web`1](http://evil.example) <img src=x>\n# Approved by dana";
    let claims = claims::of(&row(), &records(label));
    let text = report::markdown(&row(), &claims, &plain(&claims), &Similar::default(), "https://sandbook.example");
    assert!(text.contains("[record 3](https://sandbook.example/v1/runs/r_1/journal#3)"), "{text}");
    assert!(!text.contains("http://evil") && !text.contains(" <img") && !text.contains("](http://"), "{text}");
    assert!(text.lines().all(|line| !line.starts_with("# Approved")), "{text}");
    for heading in ["## What started it", "## What it changed", "## What was refused, failed or left to a person"] {
        assert!(text.contains(heading), "{heading}");
    }
    assert!(!text.contains("## What happened"), "the same is not said twice");
    let mut told = plain(&claims);
    told[0].reworded = true;
    let text = report::markdown(&row(), &claims, &told, &Similar::default(), "https://sandbook.example");
    assert!(text.contains("## What happened"), "a model's words stand before the lists");
}

/// What a model answers, and how many of its sentences stand.
const ANSWERS: &[(&str, usize)] = &[
    // Good: same facts, other words.
    (
        r#"{"sentences": [{"text": "Looking at local/web-1, docker.inspect-container answered that it was running and unhealthy.", "claims": [2]}]}"#,
        1,
    ),
    // Two claims in one sentence.
    (
        r#"{"sentences": [{"text": "docker.inspect-container answered of local/web-1 that it was running but unhealthy, and then it noted \"restarting\".", "claims": [2, 3]}]}"#,
        1,
    ),
    // No link, a wrong one, one out of order, too many, twice.
    (r#"{"sentences": [{"text": "It ended as fixed: \"restarted\".", "claims": []}]}"#, 0),
    (r#"{"sentences": [{"text": "It ended as fixed: \"restarted\".", "claims": [99]}]}"#, 0),
    (r#"{"sentences": [{"text": "It ended as fixed: \"restarted\".", "claims": [6, 1]}]}"#, 0),
    (r#"{"sentences": [{"text": "It ended as fixed: \"restarted\".", "claims": [1, 2, 3, 4, 5, 6]}]}"#, 0),
    (
        r#"{"sentences": [{"text": "It ended as fixed: \"restarted\".", "claims": [6]}, {"text": "It ended as fixed: \"restarted\".", "claims": [6]}]}"#,
        1,
    ),
    // A link to another claim than the words are of.
    (r#"{"sentences": [{"text": "It ended as fixed: \"restarted\".", "claims": [3]}]}"#, 0),
    // A refusal turned around, a claim softened, one made up.
    (r#"{"sentences": [{"text": "It did stop container web-1 with its own stop timeout.", "claims": [5]}]}"#, 0),
    (
        r#"{"sentences": [{"text": "To stop container web-1 with its own stop timeout was not refused: \"no policy permits it\".", "claims": [5]}]}"#,
        0,
    ),
    (
        r#"{"sentences": [{"text": "Afterwards the condition was confirmed: \"healthy after 9 s\".", "claims": [7]}]}"#,
        0,
    ),
    (r#"{"sentences": [{"text": "It noted \"restarting\" and db-7 was lost.", "claims": [3]}]}"#, 0),
    // Links and markup.
    (r#"{"sentences": [{"text": "It noted \"restarting\", see https://evil.example/x.", "claims": [3]}]}"#, 0),
    (r#"{"sentences": [{"text": "It noted \"restarting\" **now**.", "claims": [3]}]}"#, 0),
    (r#"{"sentences": [{"text": "", "claims": [3]}]}"#, 0),
    // No such shape at all.
    (r#"{"answer": "all is well"}"#, 0),
    (r#""all is well""#, 0),
];

#[test]
fn a_model_can_reword_and_say_nothing_else() {
    let claims = claims::of(&row(), &records("web-1"));
    let plain = plain(&claims);
    for (answer, stand) in ANSWERS {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        let sentences = reword::held(&claims, &answer);
        assert_eq!(sentences.iter().filter(|sentence| sentence.reworded).count(), *stand, "{answer}: {sentences:#?}");
        // Every claim's record is there, once and in order, whatever was answered.
        let links = |sentences: &[Sentence]| -> Vec<Link> {
            sentences.iter().flat_map(|sentence| sentence.links.clone()).collect()
        };
        assert_eq!(links(&sentences), links(&plain), "{answer}");
    }
}
