//! Questions to people: an answer is one transaction with journal, audit and the run's return.

use sandbook_core::run::State;

use super::*;

fn question(id: &str, run: &str) -> Approval {
    Approval {
        id: id.to_owned(),
        run: run.to_owned(),
        slot: 3,
        kind: ApprovalKind::Question,
        runbook: "a".to_owned(),
        effect: "human.ask".to_owned(),
        arguments: json!({"question": "Move it?"}),
        target: None,
        sentence: "Move it?".to_owned(),
        otherwise: "it stays".to_owned(),
        digest: "sha256:00".to_owned(),
        options: vec!["yes".to_owned(), "no".to_owned()],
        reason: "a asks".to_owned(),
        at: T,
        expires_at: T + 1_000,
        decision: None,
    }
}

fn said(kind: ApprovalEnd, at: u64) -> ApprovalDecision {
    let answer = (kind == ApprovalEnd::Approved).then(|| "yes".to_owned());
    ApprovalDecision { kind, by: "dana".to_owned(), reason: "ok".to_owned(), answer, at }
}

/// A run that waits for an answer.
async fn asked(store: &Sqlite, id: &str, episode: Option<&str>) {
    let run = format!("r_{id}");
    store.create_run(NewRun { episode: episode.map(str::to_owned), ..new_run(&run) }).await.expect("created");
    let patch = RunPatch { state: Some(State::Waiting), wake_at: Some(Some(T + 1_000)), ..RunPatch::default() };
    let checkpoint = Checkpoint { records: Vec::new(), patch, approval: Some(question(id, &run)) };
    assert!(store.checkpoint(&run, checkpoint).await.expect("stored"));
}

#[tokio::test]
async fn a_question_is_answered_once_in_time_and_by_its_whole_id() {
    let store = memory();
    for id in ["a_1", "a_2", "a_3", "a_4"] {
        asked(&store, id, None).await;
    }
    assert_eq!(store.approval("a_1").await, Ok(Some(question("a_1", "r_a_1"))), "everything is kept");
    assert_eq!(store.open_approval("r_a_1", 3).await, Ok(Some(question("a_1", "r_a_1"))));
    assert_eq!(store.open_approval("r_a_1", 2).await, Ok(None));
    assert_eq!(store.answer_approval("a_", said(ApprovalEnd::Approved, T)).await, Ok(Decided::Unknown));
    assert!(matches!(store.approval("a_").await, Err(Error::Ambiguous(_))));
    let answer = |n: u64| {
        let kind = if n.is_multiple_of(2) { ApprovalEnd::Approved } else { ApprovalEnd::Denied };
        store.answer_approval("a_1", said(kind, T + 5))
    };
    let answers = futures::future::join_all((0..10).map(answer)).await;
    let done = answers.iter().filter(|answer| matches!(answer, Ok(Decided::Done(_)))).count();
    let already = answers.iter().filter(|answer| matches!(answer, Ok(Decided::Already(_)))).count();
    assert_eq!((done, already), (1, 9), "{answers:?}");
    let late = store.answer_approval("a_2", said(ApprovalEnd::Approved, T + 1_000)).await;
    assert!(matches!(late, Ok(Decided::Expired(_))), "{late:?}");
    assert_eq!(store.withdraw_approvals("r_a_3", "the run was cancelled", T + 9).await, Ok(1));
    let withdrawn = store.answer_approval("a_3", said(ApprovalEnd::Approved, T + 10)).await;
    assert!(matches!(withdrawn, Ok(Decided::Already(_))), "{withdrawn:?}");
    let patch = RunPatch { state: Some(State::Cancelled), ..RunPatch::default() };
    store.update_run("r_a_4", patch).await.expect("cancelled");
    let gone = store.answer_approval("a_4", said(ApprovalEnd::Approved, T + 10)).await;
    assert!(matches!(gone, Ok(Decided::Gone(_))), "{gone:?}");
    assert!(store.records("r_a_4").await.expect("read").is_empty(), "a run that is over hears nothing");
    let lines = store.audit_rows(None, 0, None).await.expect("listed").0;
    assert_eq!(lines.len(), 1, "only what counted is audited: {lines:?}");
    assert_eq!(store.approvals(false).await.expect("listed").len(), 4);
}

#[tokio::test]
async fn an_answer_is_in_the_journal_the_audit_and_the_runs_state_at_once() {
    let store = memory();
    asked(&store, "a_1", None).await;
    let decided = store.answer_approval("a_1", said(ApprovalEnd::Approved, T + 5)).await;
    let Ok(Decided::Done(approval)) = decided else { panic!("{decided:?}") };
    assert_eq!(approval.decision, Some(said(ApprovalEnd::Approved, T + 5)));
    assert_eq!(store.approval("a_1").await.expect("read").as_ref(), Some(&*approval));
    let records = store.records("r_a_1").await.expect("read");
    let [Record::Answered { slot: 3, approved: true, by, answer, withdrawn: false, .. }] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!((by.as_str(), answer.as_deref()), ("dana", Some("yes")));
    let row = store.run("r_a_1").await.expect("read").expect("there");
    assert_eq!((row.state, row.wake_at), (State::Queued, None));
    let line = store.audit_rows(None, 1, None).await.expect("listed").0.remove(0);
    assert_eq!((line.who.as_str(), line.what.as_str(), line.subject.as_str()), ("dana", "approve", "a_1"));
    assert_eq!((&line.details["answer"], &line.details["reason"]), (&json!("yes"), &json!("ok")));
}

#[tokio::test]
async fn questions_are_withdrawn_once_their_alert_resolved_and_not_before() {
    let store = memory();
    let alert = |status, at| incoming(status, "f1", T, at);
    let episode = store.accept(vec![alert(Status::Firing, T)]).await.expect("taken").remove(0).episode;
    asked(&store, "a_1", Some(&episode)).await;
    asked(&store, "a_2", Some("e_other")).await;
    assert_eq!(store.resolved_approvals(Some(&episode)).await, Ok(Vec::new()), "it still fires");
    store.accept(vec![alert(Status::Resolved, T + 1)]).await.expect("taken");
    let found = store.resolved_approvals(Some(&episode)).await.expect("read");
    assert_eq!(found, [question("a_1", "r_a_1")]);
    assert_eq!(store.resolved_approvals(None).await, Ok(found));
    store.answer_approval("a_1", said(ApprovalEnd::Withdrawn, T + 2)).await.expect("withdrawn");
    assert_eq!(store.resolved_approvals(None).await, Ok(Vec::new()));
    let records = store.records("r_a_1").await.expect("read");
    assert!(matches!(records[..], [Record::Answered { approved: false, withdrawn: true, .. }]), "{records:?}");
    assert_eq!(store.audit_rows(None, 1, None).await.expect("listed").0[0].what, "withdraw");
}
