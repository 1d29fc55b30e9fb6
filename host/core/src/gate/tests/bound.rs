//! Holding a run to a reviewed plan: the same change passes, anything else asks, and both stand in the question.

use super::*;
use crate::journal::{Act, Bound};

const REQUESTS: [&str; 3] = ["docker.restart-container", "docker.stop-container", "docker.inspect-container"];

fn act(effect: &Effect) -> Act {
    Act { effect: effect.name().to_owned(), arguments: effect.arguments(), target: web().target }
}

fn stop() -> Effect {
    effect("docker.stop-container", json!({"container": "web"}))
}

/// A run that applies a plan with these changes.
fn applying(acts: Vec<Act>, mode: Mode) -> Session {
    let bound = Some(Box::new(Bound { plan: "p_1".to_owned(), by: "dana".to_owned(), acts }));
    Session::new(Journal::new(Header { bound, ..header(&REQUESTS, mode) }))
}

fn reason(log: &[Record]) -> &str {
    let asked = log.iter().find_map(|record| match record {
        Record::Asked { reason, .. } => Some(reason.as_str()),
        Record::Begun { .. }
        | Record::Note { .. }
        | Record::Answered { .. }
        | Record::Waiting { .. }
        | Record::Intended { .. }
        | Record::Step { .. }
        | Record::Settled { .. }
        | Record::Ended { .. } => None,
    });
    asked.expect("it asks")
}

#[test]
fn the_plans_changes_pass_in_their_order_and_reads_do_not_matter() {
    let mut session = applying(vec![act(&restart()), act(&stop())], Mode::Live);
    for effect in [inspect(), restart(), inspect(), stop()] {
        let (end, drives) = perform(&mut session, &Host::default(), effect, &mut Vec::new());
        assert_eq!((end, drives), (End::Answer(Ok(json!({"changed": true}))), 1));
    }
    let mut log = Vec::new();
    assert_eq!(perform(&mut session, &Host::default(), restart(), &mut log), (End::Asked, 0), "once too often");
    assert!(
        reason(&log).starts_with("plan p_1 says nothing is changed here any more, but now it is"),
        "{}",
        reason(&log)
    );
}

#[test]
fn another_effect_argument_or_instance_asks_and_shows_both() {
    let patient = effect("docker.restart-container", json!({"container": "web", "options": {"grace_ms": 9}}));
    let mut recreated = web();
    recreated.target.id = Some("def".to_owned());
    for (now, resolved) in [(stop(), web()), (patient, web()), (restart(), recreated)] {
        let mut session = applying(vec![act(&restart())], Mode::Live);
        let (host, mut log) = (Host { resolve: Ok(resolved), ..Host::default() }, Vec::new());
        assert_eq!(perform(&mut session, &host, now.clone(), &mut log), (End::Asked, 0), "{now:?}");
        let reason = reason(&log);
        assert!(reason.starts_with("plan p_1 says docker.restart-container on local/web (abc)"), "{reason}");
        assert!(reason.contains(&format!("but now it is {}", now.name())), "{reason}");
    }
}

#[test]
fn a_change_that_fails_is_one_of_the_plans_all_the_same() {
    let mut session = applying(vec![act(&restart()), act(&stop())], Mode::Live);
    let fails = Host { answer: Err(Error::conflict("no")), ..Host::default() };
    assert_eq!(perform(&mut session, &fails, restart(), &mut Vec::new()).1, 1);
    assert_eq!(perform(&mut session, &Host::default(), stop(), &mut Vec::new()).1, 1);
}

#[test]
fn who_applies_permits_what_the_plan_says_and_nothing_else() {
    let planned = |session: &mut Session, effect: Effect| {
        let mut next = session.begin(effect, NOW);
        while let Step::Resolve(_) = next.step {
            next = session.resolved(Ok(web()), NOW);
        }
        let Step::Authorize(claim) = next.step else { panic!("policy is asked") };
        session.planned(&claim)
    };
    assert!(planned(&mut applying(vec![act(&restart())], Mode::Live), restart()));
    assert!(!planned(&mut applying(vec![act(&restart())], Mode::Live), stop()));
    assert!(!planned(&mut session(&REQUESTS), restart()), "a run that applies nothing");
    assert!(planned(&mut applying(Vec::new(), Mode::Plan), stop()), "a plan for whoever is going to apply it");
    let denied = Host { decision: Decision::Deny, ..Host::default() };
    let mut session = applying(vec![act(&restart())], Mode::Live);
    let (end, drives) = perform(&mut session, &denied, restart(), &mut Vec::new());
    assert_eq!((kind_of(&end), drives), (Some(ErrorKind::Denied), 0), "a forbid holds");
}
