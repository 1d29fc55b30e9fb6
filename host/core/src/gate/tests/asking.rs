//! Asking at the gate: leave is for one effect on one instance and is authorized again; silence is a no; a runbook's own
//! question; the end of the reason to ask.

use super::*;
use crate::effect::human;

const REQUESTS: [&str; 1] = ["docker.restart-container"];

fn asking() -> Host {
    Host { decision: Decision::Ask, ..Host::default() }
}

fn answered(approved: bool, answer: Option<&str>) -> Record {
    Record::Answered {
        slot: 0,
        approved,
        by: "dana".to_owned(),
        reason: "why".to_owned(),
        answer: answer.map(str::to_owned),
        withdrawn: false,
        at: NOW.unix_ms,
    }
}

/// The journal of a run that asks for leave to restart.
fn asked() -> Vec<Record> {
    let mut log = vec![Record::Begun { header: Box::new(header(&REQUESTS, Mode::Live)) }];
    let mut session = session(&REQUESTS);
    assert_eq!(perform(&mut session, &asking(), restart(), &mut log), (End::Asked, 0));
    log
}

/// Goes on with the journal and further records, as a resumed run does.
fn resume(log: &[Record], more: Record, host: &Host) -> (End, u32, Vec<Record>) {
    let records = log.iter().cloned().chain([more]);
    let mut session = Session::new(Journal::fold(records).expect("a journal"));
    let mut appended = Vec::new();
    let (end, drives) = perform(&mut session, host, restart(), &mut appended);
    (end, drives, appended)
}

#[test]
fn an_asked_effect_waits_for_a_person_and_is_authorized_again() {
    let (log, host) = (asked(), asking());
    let (end, drives, _) = resume(&log, answered(true, None), &host);
    assert_eq!((end, drives), (End::Answer(Ok(json!({"changed": true}))), 1));
    let (end, drives, _) = resume(&log, answered(false, None), &host);
    let End::Answer(Err(error)) = end else { panic!("{end:?}") };
    assert_eq!((error.kind, error.message.as_str(), drives), (ErrorKind::Denied, "dana denied it: why", 0));
    let forbidden = Host { decision: Decision::Deny, ..Host::default() };
    let (end, drives, _) = resume(&log, answered(true, None), &forbidden);
    assert_eq!((kind_of(&end), drives), (Some(ErrorKind::Denied), 0), "policy is asked again");
    let braked = Host { intend: Err(Error::limited("stopped")), ..asking() };
    let (end, drives, _) = resume(&log, answered(true, None), &braked);
    assert_eq!((kind_of(&end), drives), (Some(ErrorKind::Limited), 0), "leave is no way around a brake");
}

#[test]
fn another_instance_is_asked_for_again_and_the_question_says_so() {
    let mut recreated = web();
    recreated.target.id = Some("def".to_owned());
    let recreated = Host { resolve: Ok(recreated), ..asking() };
    let mut log = asked();
    let (end, drives, again) = resume(&log, answered(true, None), &recreated);
    assert_eq!((end, drives), (End::Asked, 0));
    let [Record::Asked { reason, digest, resolved: Some(resolved), .. }] = &again[..] else { panic!("{again:?}") };
    assert!(reason.starts_with("dana approved it for another instance, which is gone; "), "{reason}");
    assert_eq!(resolved.target.id.as_deref(), Some("def"));
    let Record::Asked { digest: before, .. } = &log[1] else { panic!("{log:?}") };
    assert_ne!(digest, before);
    // The second answer is for the second instance.
    log.push(answered(true, None));
    log.extend(again);
    let (end, drives, _) = resume(&log, answered(true, None), &recreated);
    assert_eq!((end, drives), (End::Answer(Ok(json!({"changed": true}))), 1));
    let (end, drives, _) = resume(&log, answered(true, None), &asking());
    assert_eq!((end, drives), (End::Asked, 0), "and not for the first");
}

#[test]
fn what_leave_is_for_depends_on_effect_arguments_and_instance_and_on_nothing_else() {
    let fingerprint_of = |effect: &Effect, resolved: &Resolved| fingerprint(effect, Some(resolved));
    let first = fingerprint_of(&restart(), &web());
    assert!(first.starts_with("sha256:") && first.len() == 71, "{first}");
    let mut other = web();
    other.before = Some(json!({"started_at": "later"}));
    assert_eq!(first, fingerprint_of(&restart(), &other), "its state may change meanwhile");
    let kept = effect("docker.restart-container", json!({"options": {"grace_ms": 1}, "container": "web"}));
    let turned = effect("docker.restart-container", json!({"container": "web", "options": {"grace_ms": 1}}));
    assert_eq!(fingerprint_of(&kept, &web()), fingerprint_of(&turned, &web()));
    let mut elsewhere = web();
    elsewhere.target.host = "db1".to_owned();
    for different in [
        fingerprint_of(&kept, &web()),
        fingerprint_of(&effect("docker.stop-container", json!({"container": "web"})), &web()),
        fingerprint_of(&restart(), &elsewhere),
        fingerprint(&restart(), None),
    ] {
        assert_ne!(first, different);
    }
}

#[test]
fn a_question_nobody_answers_is_a_no() {
    let log = asked();
    let resume = |unix_ms| {
        let mut session = Session::new(Journal::fold(log.clone()).expect("a journal"));
        let next = session.begin(restart(), Now { unix_ms, ..NOW });
        (matches!(next.step, Step::Ask(_)), next.records.iter().map(Record::kind).collect::<Vec<_>>())
    };
    assert_eq!(resume(NOW.unix_ms + APPROVAL_MS - 1), (true, vec![]));
    assert_eq!(resume(NOW.unix_ms + APPROVAL_MS), (false, vec!["answered", "settled"]));
}

#[test]
fn the_operator_says_how_long_is_waited_within_bounds() {
    for (wanted, got) in [(600_000, 600_000), (1, APPROVAL_MS_MIN), (u64::MAX, APPROVAL_MS_MAX)] {
        let mut session = session(&REQUESTS).asking_for(wanted);
        let mut log = Vec::new();
        perform(&mut session, &asking(), restart(), &mut log);
        let Some(Record::Asked { expires_at, .. }) = log.last() else { panic!("{log:?}") };
        assert_eq!(*expires_at, NOW.unix_ms + got);
    }
}

#[test]
fn a_withdrawn_question_is_denied_with_the_reason_and_the_run_goes_on() {
    let withdrawn = Record::Answered {
        slot: 0,
        approved: false,
        by: "the alert".to_owned(),
        reason: "withdrawn: the alert resolved".to_owned(),
        answer: None,
        withdrawn: true,
        at: NOW.unix_ms,
    };
    let (end, drives, records) = resume(&asked(), withdrawn, &asking());
    let End::Answer(Err(error)) = end else { panic!("{end:?}") };
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Denied, "withdrawn: the alert resolved"));
    assert_eq!((drives, records.len()), (0, 1));
}

/// Journals of before questions had a digest: the target is compared as it was then.
#[test]
fn questions_of_older_journals_are_still_for_their_instance() {
    let mut log = asked();
    let Some(Record::Asked { digest, .. }) = log.last_mut() else { panic!("{log:?}") };
    digest.clear();
    let text = serde_json::to_string(&log[1]).expect("data");
    assert!(!text.contains("digest"), "{text}");
    log[1] = serde_json::from_str(&text).expect("a record of before");
    let answer = r#"{"kind":"answered","slot":0,"approved":true,"by":"dana","reason":"","at":1}"#;
    let answer: Record = serde_json::from_str(answer).expect("a record of before");
    assert_eq!(resume(&log, answer.clone(), &asking()).1, 1);
    let mut recreated = web();
    recreated.target.id = Some("def".to_owned());
    assert_eq!(resume(&log, answer, &Host { resolve: Ok(recreated), ..asking() }).0, End::Asked);
}

fn question(fallback: Option<&str>) -> Effect {
    let settings = human::AskSettings { fallback: fallback.map(str::to_owned), ..human::AskSettings::default() };
    let options = vec!["move it".to_owned(), "leave it".to_owned()];
    human::Ask { question: "The disk is full. Move it?".to_owned(), options, settings }.into()
}

fn questioned(fallback: Option<&str>) -> Vec<Record> {
    let mut log = vec![Record::Begun { header: Box::new(header(&[], Mode::Live)) }];
    let (end, drives) = perform(&mut session(&[]), &Host::default(), question(fallback), &mut log);
    assert_eq!((end, drives), (End::Asked, 0), "it needs no request and is asked, not driven");
    log
}

fn settle(log: &[Record], more: Option<Record>, fallback: Option<&str>, unix_ms: u64) -> (Next, Session) {
    let records = log.iter().cloned().chain(more);
    let mut session = Session::new(Journal::fold(records).expect("a journal"));
    let next = session.begin(question(fallback), Now { unix_ms, ..NOW });
    (next, session)
}

#[test]
fn a_runbooks_question_is_answered_by_a_person_and_replays() {
    let log = questioned(None);
    let (next, _) = settle(&log, None, None, NOW.unix_ms + 1);
    assert!(matches!(next.step, Step::Ask(_)) && next.records.is_empty(), "it is put once");
    let (next, session) = settle(&log, Some(answered(true, Some("leave it"))), None, NOW.unix_ms + 1);
    let said = json!({"option": "leave it", "by": "dana", "reason": "why", "fallback": false});
    assert!(matches!(&next.step, Step::Answer(Ok(value)) if *value == said), "{:?}", next.step);
    Effect::check_output("human.ask", &said).expect("the shape of the contract");
    let Session { journal, .. } = session;
    let next = Session::new(journal).begin(question(None), NOW);
    assert!(matches!(&next.step, Step::Answer(Ok(value)) if *value == said) && next.records.is_empty());
    let (next, _) = settle(&log, Some(answered(false, None)), None, NOW.unix_ms + 1);
    assert!(matches!(&next.step, Step::Answer(Err(error)) if error.kind == ErrorKind::Denied), "{:?}", next.step);
}

#[test]
fn an_unanswered_question_has_its_fallback_or_is_denied() {
    let late = NOW.unix_ms + APPROVAL_MS;
    let (next, _) = settle(&questioned(Some("leave it")), None, Some("leave it"), late);
    let Step::Answer(Ok(value)) = &next.step else { panic!("{:?}", next.step) };
    assert_eq!(
        (&value["option"], &value["by"], &value["fallback"]),
        (&json!("leave it"), &json!("nobody"), &json!(true))
    );
    assert!(next.durable, "the silence is recorded");
    let (next, _) = settle(&questioned(None), None, None, late);
    assert!(matches!(&next.step, Step::Answer(Err(error)) if error.kind == ErrorKind::Denied), "{:?}", next.step);
}

#[test]
fn where_nothing_is_real_nobody_is_asked_and_the_record_says_that_one_would_be() {
    for mode in [Mode::Plan, Mode::Simulate] {
        let mut session = Session::new(Journal::new(header(&[], mode)));
        let said = json!({"option": "move it", "by": "simulated", "reason": "", "fallback": false});
        let host = Host { answer: Ok(said.clone()), ..Host::default() };
        let mut log = Vec::new();
        let (end, drives) = perform(&mut session, &host, question(None), &mut log);
        assert_eq!((end, drives), (End::Answer(Ok(said)), 1), "{mode:?}");
        let [Record::Settled { decision: Decision::Ask, certainty: Certainty::Modelled, .. }] = &log[..] else {
            panic!("{mode:?}: {log:?}")
        };
    }
}

/// The records of asking as released: a change of their format shows here.
#[test]
fn the_records_of_asking_are_golden() {
    let mut log = asked();
    log.push(answered(true, Some("leave it")));
    let lines: Vec<String> = log[1..].iter().map(|record| serde_json::to_string(record).expect("data")).collect();
    insta::assert_snapshot!("journal_format_1_asking", lines.join("\n"));
    let text = include_str!("snapshots/sandbook_core__gate__tests__asking__journal_format_1_asking.snap");
    let released = text.lines().filter(|line| line.starts_with('{'));
    let records = released.map(|line| serde_json::from_str(line).expect("a record of format 1"));
    let journal = Journal::fold(log.into_iter().take(1).chain(records)).expect("a journal of format 1");
    assert!(journal.slots[0].said.as_ref().is_some_and(|said| said.approved), "{:?}", journal.slots);
}
