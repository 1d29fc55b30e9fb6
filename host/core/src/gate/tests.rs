//! The gate as a machine: every class without its permission, replay without a world, every prefix of a journal, limits.

use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::journal::{FORMAT, Header, Limits};
use crate::run::{Origin, Stage};

mod asking;
mod bound;
mod lost;

const NOW: Now = Now { unix_ms: 1_767_225_600_000, boot_ms: 5_000 };

fn header(requests: &[&str], mode: Mode) -> Header {
    Header {
        format: FORMAT,
        run: "r_test".to_owned(),
        runbook: "test".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:00".to_owned(),
        interpreter: None,
        abi: "sandbook:runbook@1.0.0".to_owned(),
        mode,
        stage: Stage::Live,
        origin: Origin::Person,
        trigger: "manual".to_owned(),
        episode: None,
        alert: None,
        target: None,
        subject: None,
        host: "local".to_owned(),
        parameters: indexmap::IndexMap::new(),
        requests: requests.iter().map(|name| (*name).to_owned()).collect(),
        limits: Limits::default(),
        seed: 1,
        bound: None,
        at: NOW.unix_ms,
    }
}

fn session(requests: &[&str]) -> Session {
    Session::new(Journal::new(header(requests, Mode::Live)))
}

fn effect(name: &str, arguments: Value) -> Effect {
    Effect::from_arguments(name, arguments).expect("a valid effect")
}

fn restart() -> Effect {
    effect("docker.restart-container", json!({"container": "web"}))
}

fn inspect() -> Effect {
    effect("docker.inspect-container", json!({"container": "web"}))
}

fn web() -> Resolved {
    let target =
        Target { host: "local".to_owned(), kind: Kind::Container, name: "web".to_owned(), id: Some("abc".to_owned()) };
    Resolved { target, subject: "local/web".to_owned(), facts: None, before: Some(json!({"started_at": "a"})) }
}

fn verdict(decision: Decision) -> Verdict {
    Verdict {
        decision,
        policy: vec!["p1".to_owned()],
        limits: Vec::new(),
        reason: format!("{decision} because of a test"),
        fix: "sandbook grant test docker.restart-container --container web".to_owned(),
    }
}

/// What a host does, as far as a test lets it.
#[derive(Clone)]
struct Host {
    decision: Decision,
    intend: Result<(), Error>,
    answer: Result<Value, Error>,
    resolve: Result<Resolved, Error>,
    recovered: Recovered,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            decision: Decision::Allow,
            intend: Ok(()),
            answer: Ok(json!({"changed": true})),
            resolve: Ok(web()),
            recovered: Recovered::NotDone,
        }
    }
}

/// How an effect ended at the gate.
#[derive(Debug, PartialEq)]
enum End {
    Answer(Result<Value, Error>),
    Asked,
    Ended(String),
}

/// Does what the gate says until it answers; returns the records in order and how often a driver was called.
fn perform(session: &mut Session, host: &Host, effect: Effect, log: &mut Vec<Record>) -> (End, u32) {
    let mut drives = 0;
    let mut next = session.begin(effect, NOW);
    loop {
        log.extend(next.records);
        next = match next.step {
            Step::Answer(answer) => return (End::Answer(answer), drives),
            Step::Resolve(_) => session.resolved(host.resolve.clone(), NOW),
            Step::Authorize(_) => session.authorized(verdict(host.decision), NOW),
            Step::Intend(_) => {
                let record = session.intent(NOW).expect("an effect in hand");
                if host.intend.is_ok() {
                    log.push(record.clone());
                }
                session.intended(host.intend.clone().map(|()| record), NOW)
            }
            Step::Drive(permit) => {
                drives += 1;
                session.settle(*permit, host.answer.clone(), NOW)
            }
            Step::Wait(_) => session.woken(NOW),
            Step::Ask(_) => return (End::Asked, drives),
            Step::Recover(..) => session.recovered(host.recovered.clone(), NOW),
            Step::End(fault) => return (End::Ended(fault.to_string()), drives),
        };
    }
}

fn kind_of(end: &End) -> Option<ErrorKind> {
    match end {
        End::Answer(Err(error)) => Some(error.kind),
        End::Answer(Ok(_)) | End::Asked | End::Ended(_) => None,
    }
}

#[test]
fn a_change_writes_its_intent_before_it_is_driven_and_its_outcome_after() {
    let mut log = Vec::new();
    let (end, drives) = perform(&mut session(&["docker.restart-container"]), &Host::default(), restart(), &mut log);
    assert_eq!(end, End::Answer(Ok(json!({"changed": true}))));
    assert_eq!(drives, 1);
    let kinds: Vec<&str> = log.iter().map(Record::kind).collect();
    assert_eq!(kinds, ["intended", "settled"]);
}

#[test]
fn every_class_without_its_request_is_denied_and_nothing_is_driven() {
    for effect in [
        restart(),
        inspect(),
        effect("net.tcp-check", json!({"host": "db", "port": 5432})),
        effect("notify.send", json!({"message": {"title": "t", "text": "x"}})),
    ] {
        let mut log = Vec::new();
        let name = effect.name();
        let (end, drives) = perform(&mut session(&[]), &Host::default(), effect, &mut log);
        assert_eq!((kind_of(&end), drives), (Some(ErrorKind::Denied), 0), "{name}");
        assert!(
            matches!(&log[..], [Record::Settled { decision: Decision::Deny, .. }]),
            "{name}: a denial is journaled"
        );
    }
}

#[test]
fn every_class_that_the_operator_has_a_say_in_obeys_a_denial() {
    let host = Host { decision: Decision::Deny, ..Host::default() };
    for effect in [
        restart(),
        inspect(),
        effect("http.get", json!({"url": "http://a/"})),
        effect("notify.send", json!({"message": {"title": "t", "text": "x"}})),
    ] {
        let name = effect.name();
        let (end, drives) = perform(&mut session(&[name]), &host, effect, &mut Vec::new());
        assert_eq!((kind_of(&end), drives), (Some(ErrorKind::Denied), 0), "{name}");
        let End::Answer(Err(error)) = end else { panic!("{name}") };
        assert!(error.message.contains("sandbook grant"), "{name}: {error}");
    }
}

#[test]
fn ambient_notes_state_and_waits_need_nobody() {
    for (name, arguments) in [
        ("clock.now", json!({})),
        ("random.random-u64", json!({})),
        ("state.get", json!({"key": "k"})),
        ("clock.sleep", json!({"duration_ms": 5})),
        ("log.log", json!({"level": "info", "message": "m"})),
    ] {
        let host = Host { decision: Decision::Deny, answer: Ok(Value::Null), ..Host::default() };
        let (end, _) = perform(&mut session(&[]), &host, effect(name, arguments), &mut Vec::new());
        assert_eq!(end, End::Answer(Ok(Value::Null)), "{name}");
    }
}

#[test]
fn unknown_and_ungranted_names_answer_alike() {
    let unknown =
        Host { decision: Decision::Deny, resolve: Err(Error::not_found("no such container")), ..Host::default() };
    let ungranted = Host { decision: Decision::Deny, ..Host::default() };
    let ask = |host: &Host| perform(&mut session(&["docker.restart-container"]), host, restart(), &mut Vec::new()).0;
    assert_eq!(ask(&unknown), ask(&ungranted));
    let granted = Host { resolve: Err(Error::not_found("no such container")), ..Host::default() };
    assert_eq!(kind_of(&ask(&granted)), Some(ErrorKind::NotFound));
}

#[test]
fn a_brake_is_an_answer_and_nothing_is_driven() {
    let host = Host { intend: Err(Error::limited("3 in 1h")), ..Host::default() };
    let mut log = Vec::new();
    let (end, drives) = perform(&mut session(&["docker.restart-container"]), &host, restart(), &mut log);
    assert_eq!((kind_of(&end), drives), (Some(ErrorKind::Limited), 0));
    assert!(matches!(&log[..], [Record::Settled { decision: Decision::Limited, .. }]));
}

/// A small runbook as its effects.
fn script() -> Vec<Effect> {
    vec![
        inspect(),
        effect("log.log", json!({"level": "info", "message": "going to restart"})),
        restart(),
        effect("clock.sleep", json!({"duration_ms": 2_000})),
        effect("state.put", json!({"key": "last", "value": "now"})),
        inspect(),
    ]
}

const SCRIPT_REQUESTS: [&str; 2] = ["docker.inspect-container", "docker.restart-container"];

fn record_script(host: &Host) -> Vec<Record> {
    let mut log = vec![Record::Begun { header: Box::new(header(&SCRIPT_REQUESTS, Mode::Live)) }];
    let mut session = session(&SCRIPT_REQUESTS);
    for effect in script() {
        perform(&mut session, host, effect, &mut log);
    }
    log
}

#[test]
fn a_recorded_run_replays_without_policy_world_or_driver() {
    let log = record_script(&Host::default());
    let mut replayed = header(&SCRIPT_REQUESTS, Mode::Replay);
    replayed.at = NOW.unix_ms;
    let mut records = log.clone();
    records[0] = Record::Begun { header: Box::new(replayed) };
    let mut session = Session::new(Journal::fold(records).expect("a journal"));
    for effect in script() {
        let next = session.begin(effect, NOW);
        assert!(next.records.is_empty(), "a replay appends nothing");
        assert!(matches!(next.step, Step::Answer(_)), "a replay asks nobody: {:?}", next.step);
    }
    let next = session.begin(restart(), NOW);
    assert!(matches!(next.step, Step::End(Fault::JournalExhausted { slot: 5, .. })), "{:?}", next.step);
}

#[test]
fn another_effect_than_the_recorded_one_ends_the_run() {
    let mut session = Session::new(Journal::fold(record_script(&Host::default())).expect("a journal"));
    let next = session.begin(restart(), NOW);
    assert!(matches!(next.step, Step::End(Fault::ReplayMismatch { slot: 0, .. })), "{:?}", next.step);
}

/// For every prefix: restart there, finish, and require the same journal; a change whose intent is on disk is driven again
/// only when the look says that it did not happen.
#[test]
fn every_prefix_of_a_journal_resumes_to_the_same_journal() {
    let whole = record_script(&Host::default());
    for cut in 1..=whole.len() {
        let mut log = whole[..cut].to_vec();
        let open_intent = matches!(log.last(), Some(Record::Intended { .. }));
        let host = Host { recovered: Recovered::Done(json!({"changed": true})), ..Host::default() };
        let mut session = Session::new(Journal::fold(log.clone()).expect("a prefix folds"));
        let mut restarts = 0;
        for effect in script() {
            let mutates = effect.class() == Class::Mutate;
            let (end, drives) = perform(&mut session, &host, effect, &mut log);
            assert!(matches!(end, End::Answer(Ok(_))), "cut after {cut}: {end:?}");
            restarts += if mutates { drives } else { 0 };
        }
        let recorded = whole[..cut].iter().any(|record| matches!(record, Record::Intended { .. }));
        assert_eq!(restarts, u32::from(!recorded), "cut after {cut}: open intent {open_intent}");
        let answers = |log: &[Record]| {
            Journal::fold(log.to_vec())
                .expect("it folds")
                .slots
                .iter()
                .map(|slot| slot.answer.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(answers(&log), answers(&whole), "cut after {cut}");
        assert_eq!(log.len(), whole.len(), "cut after {cut}");
    }
}

#[test]
fn an_intent_nobody_can_settle_is_left_to_a_person() {
    let whole = record_script(&Host::default());
    let cut = whole.iter().position(|record| matches!(record, Record::Intended { .. })).expect("an intent") + 1;
    let host = Host { recovered: Recovered::Unknown("who knows".to_owned()), ..Host::default() };
    let mut session = Session::new(Journal::fold(whole[..cut].to_vec()).expect("a prefix folds"));
    let ends: Vec<End> =
        script().into_iter().take(3).map(|effect| perform(&mut session, &host, effect, &mut Vec::new()).0).collect();
    let Some(End::Ended(why)) = ends.last() else { panic!("{ends:?}") };
    assert!(why.contains("may or may not have happened: who knows"), "{why}");
}

#[test]
fn probing_is_ended_after_its_budget_of_denials() {
    let mut session = session(&[]);
    let limit = Limits::default().denials;
    for index in 0..limit {
        let (end, _) = perform(&mut session, &Host::default(), restart(), &mut Vec::new());
        assert_eq!(kind_of(&end), Some(ErrorKind::Denied), "denial {index}");
    }
    let (end, _) = perform(&mut session, &Host::default(), restart(), &mut Vec::new());
    assert!(matches!(end, End::Ended(_)), "{end:?}");
}

#[test]
fn effects_beyond_the_limit_are_limited_and_then_ended() {
    let mut session = session(&["docker.inspect-container"]);
    for _ in 0..Limits::default().effects {
        perform(&mut session, &Host::default(), inspect(), &mut Vec::new());
    }
    for _ in 0..OVERRUN_MAX {
        let (end, drives) = perform(&mut session, &Host::default(), inspect(), &mut Vec::new());
        assert_eq!((kind_of(&end), drives), (Some(ErrorKind::Limited), 0));
    }
    let (end, _) = perform(&mut session, &Host::default(), inspect(), &mut Vec::new());
    assert!(matches!(end, End::Ended(_)), "{end:?}");
}

#[test]
fn notes_take_no_slot_and_stop_at_their_limit() {
    let mut session = session(&[]);
    let note = || effect("log.log", json!({"level": "info", "message": "x".repeat(10_000)}));
    let mut log = Vec::new();
    for _ in 0..300 {
        perform(&mut session, &Host::default(), note(), &mut log);
    }
    assert!(session.journal().slots.is_empty());
    let bytes = Limits::default().notes_bytes as usize;
    assert!(log.len() < bytes / 10_000 + 2, "{} notes", log.len());
    let Some(Record::Note { data, .. }) = log.last() else { panic!("a note") };
    assert!(data["message"].as_str().is_some_and(|text| text.contains("are dropped")), "the last one says so");
}

#[test]
fn an_answer_beyond_its_size_is_limited() {
    let host = Host { answer: Ok(json!("x".repeat(2 << 20))), ..Host::default() };
    let (end, _) = perform(&mut session(&["docker.inspect-container"]), &host, inspect(), &mut Vec::new());
    assert_eq!(kind_of(&end), Some(ErrorKind::Limited));
}

#[test]
fn a_permit_says_until_when() {
    let mut session = session(&["docker.inspect-container"]);
    let mut next = session.begin(inspect(), NOW);
    next = match next.step {
        Step::Resolve(_) => session.resolved(Ok(web()), NOW),
        other => panic!("{other:?}"),
    };
    next = match next.step {
        Step::Authorize(_) => session.authorized(verdict(Decision::Allow), NOW),
        other => panic!("{other:?}"),
    };
    let Step::Drive(permit) = next.step else { panic!("{:?}", next.step) };
    assert_eq!(permit.not_after_boot_ms(), NOW.boot_ms + permit.deadline_ms() + HORIZON_MARGIN_MS);
    assert_eq!(permit.route(), Route::Live);
}

/// The journal's format as released: a change of it shows here.
#[test]
fn the_journal_format_is_golden() {
    let lines: Vec<String> =
        record_script(&Host::default()).iter().map(|record| serde_json::to_string(record).expect("data")).collect();
    insta::assert_snapshot!("journal_format_1", lines.join("\n"));
}

/// Journals written by released versions still fold and replay.
#[test]
fn released_journals_still_fold() {
    let text = include_str!("snapshots/sandbook_core__gate__tests__journal_format_1.snap");
    let records: Vec<Record> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("a record of format 1"))
        .collect();
    let journal = Journal::fold(records).expect("a journal of format 1");
    assert_eq!(journal.slots.len(), 5);
}
