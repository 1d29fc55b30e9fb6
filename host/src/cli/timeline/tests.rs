//! Stories of fixed runs: what a person reads, letter by letter.

use serde_json::{Value, json};

use super::*;

fn begun(stage: &str) -> Value {
    json!({"slot": null, "kind": "begun", "effect": null, "target": null, "at": "2026-01-02T10:00:00Z", "result": null,
        "header": {"run": "r-7f3k", "runbook": "restart-unhealthy", "version": "1.0.0",
            "digest": "sha256:0123456789abcdef0123", "mode": "live", "stage": stage, "trigger": "alert",
            "alert": {"name": "ContainerUnhealthy", "labels": {"alertname": "ContainerUnhealthy", "severity": "warning", "name": "web-1"}},
            "target": {"host": "local", "kind": "container", "name": "web-1", "id": "3f2a"},
            "parameters": {"grace": {"duration": 10_000}}}})
}

fn settled(slot: u32, effect: &str, arguments: Value, at: &str, decision: &str, result: Value) -> Value {
    json!({"slot": slot, "kind": "settled", "effect": effect, "arguments": arguments, "decision": decision,
        "target": {"host": "local", "name": "web-1"}, "certainty": "real", "at": at, "result": result})
}

fn healed() -> (Value, Vec<Value>) {
    let run = json!({"run": "r-7f3k", "runbook": "restart-unhealthy", "mode": "live", "state": "succeeded",
        "target": {"host": "local", "kind": "container", "name": "web-1"}, "outcome": "fixed",
        "sentence": "restarted web-1, healthy after about 2 seconds", "verification": "confirmed",
        "started_at": "2026-01-02T10:00:00Z", "finished_at": "2026-01-02T10:00:03.250Z"});
    let unhealthy = json!({"ok": {"state": {"status": "running", "health": "unhealthy", "restart_count": 0}}});
    let restarted =
        json!({"ok": {"changed": true, "state": {"status": "running", "health": "starting", "restart_count": 0}}});
    let evidence = (1..=9).map(|line| format!("line {line}\tx\x1b[31m")).collect::<Vec<_>>().join("\n");
    let records = vec![
        begun("live"),
        settled(
            0,
            "docker.inspect-container",
            json!({"container": "local/web-1"}),
            "2026-01-02T10:00:00.012Z",
            "allow",
            unhealthy,
        ),
        json!({"slot": null, "kind": "note", "effect": "log.attach-evidence", "at": "2026-01-02T10:00:00.013Z",
            "data": {"name": "last log lines", "text": evidence}}),
        json!({"slot": null, "kind": "note", "effect": "log.progress", "at": "2026-01-02T10:00:00.014Z",
            "data": {"message": "restarting web-1", "percent": 30}}),
        json!({"slot": 1, "kind": "intended", "effect": "docker.restart-container", "at": "2026-01-02T10:00:00.020Z",
            "arguments": {"container": "local/web-1", "options": {"grace_ms": 10_000}}, "attempt": 1, "policy": ["restart-web"],
            "target": {"host": "local", "name": "web-1"}, "result": null}),
        settled(1, "docker.restart-container", Value::Null, "2026-01-02T10:00:01.220Z", "allow", restarted),
        json!({"slot": 2, "kind": "waiting", "effect": "clock.sleep", "arguments": {"duration_ms": 2_000}, "at": "2026-01-02T10:00:01.230Z"}),
        json!({"slot": 2, "kind": "settled", "effect": "clock.sleep", "at": "2026-01-02T10:00:03.230Z", "decision": "allow", "result": {"ok": null}}),
        json!({"kind": "ended", "state": "succeeded", "outcome": "fixed", "at": "2026-01-02T10:00:03.250Z",
            "sentence": "restarted web-1, healthy after about 2 seconds"}),
    ];
    (run, records)
}

#[test]
fn a_healed_container() {
    let (run, records) = healed();
    let now = "2026-01-02T10:03:00Z".parse().expect("a time");
    let text = render(&run, &records, Options { now: Some(now), ..Options::default() });
    let want = r#"restart-unhealthy  fixed  local/web-1

  run       r-7f3k · live · 3 min ago · took 3.2 s
  version   1.0.0 sha256:0123456789ab · stage live
  why       alert ContainerUnhealthy name="web-1" severity="warning"
  with      grace 10 s
  outcome   fixed: restarted web-1, healthy after about 2 seconds
  verified  confirmed: the condition holds

   +0.000s  docker.inspect-container  web-1                                     12 ms  running, unhealthy
   +0.013s  evidence                  last log lines
            │ line 1    x\u{1b}[31m
            │ line 2    x\u{1b}[31m
            │ line 3    x\u{1b}[31m
            │ line 4    x\u{1b}[31m
            │ line 5    x\u{1b}[31m
            │ line 6    x\u{1b}[31m
            │ … 3 more lines (--full shows them)
   +0.014s  progress                  restarting web-1 (30 %)
   +0.020s  docker.restart-container  web-1 grace 10 s  allowed by restart-web  1.2 s  now running, starting
   +1.230s  clock.sleep               2 s                                       2 s    waited

what happened restarted web-1, healthy after about 2 seconds; docker.restart-container on local/web-1 (2 other effects)
why           alert ContainerUnhealthy name="web-1" severity="warning"
what next     nothing
"#;
    assert_eq!(text, want, "\n{text}");
}

#[test]
fn a_refusal_names_the_line_to_type() {
    let (mut run, mut records) = healed();
    let message = "no policy permits docker.restart-container on web-1; sandbook grant restart-unhealthy docker.restart-container --container web-1";
    let error = json!({"error": {"kind": "denied", "message": message}});
    records.truncate(2);
    let arguments = json!({"container": "local/web-1", "options": {}});
    records.push(settled(1, "docker.restart-container", arguments, "2026-01-02T10:00:00.020Z", "deny", error));
    run["state"] = json!("failed");
    run["outcome"] = json!("refused");
    run["verification"] = Value::Null;
    run["sentence"] = json!("docker.restart-container was denied at line 23");
    let text = render(&run, &records, Options::default());
    let from = text.find("   +0.012s").expect("the refusal");
    let want = "   +0.012s  docker.restart-container  web-1  denied  8 ms   refused
            │ because no policy permits docker.restart-container on web-1

what happened docker.restart-container was denied at line 23; docker.restart-container on local/web-1 was refused (1 other effect)
why           no policy permits docker.restart-container on web-1
what next     sandbook grant restart-unhealthy docker.restart-container --container web-1
";
    assert_eq!(&text[from..], want, "\n{text}");
    run["sentence"] = json!(message);
    let text = render(&run, &records, Options::default());
    assert_eq!(text.matches("sandbook grant").count(), 1, "\n{text}");
}

#[test]
fn what_holds_everything_back_names_its_own_way_out() {
    let (mut run, mut records) = healed();
    (run["state"], run["outcome"], run["verification"]) = (json!("failed"), json!("limited"), Value::Null);
    for (message, want) in [
        (
            "everything is stopped by dana since 10:00: fire; lift it with `sandbook stop-all --release`",
            "sandbook stop-all --release",
        ),
        ("paused by dana until 11:00: deploy (pause p_1)", "sandbook pauses"),
        ("brakes.per_runbook_target 3/1h is full", "sandbook brakes"),
    ] {
        records.truncate(2);
        let error = json!({"error": {"kind": "limited", "message": message}});
        records.push(settled(1, "docker.restart-container", json!({}), "2026-01-02T10:00:01Z", "limited", error));
        run["sentence"] = json!(message);
        assert_eq!(next_step(&run, &records), want);
        let text = render(&run, &records, Options::default());
        assert_eq!(text.matches("--release").count(), usize::from(want.contains("--release")), "\n{text}");
    }
}

#[test]
fn a_run_that_only_watched_says_so_once() {
    let (mut run, records) = healed();
    let said =
        "in shadow: it would restart container local/web-1; nothing was done. The runbook's own words: restarted web-1";
    run["mode"] = json!("shadow");
    run["outcome"] = json!("done");
    run["verification"] = Value::Null;
    run["sentence"] = json!(format!("{said}. To let it act: sandbook promote restart-unhealthy live --reason \"…\""));
    let text = render(&run, &records[..1], Options::default());
    let from = text.find("  outcome").expect("the outcome");
    let want = format!(
        "  outcome   done: {said}\n\n  no effects were performed\n\nwhat happened {said}\n\
         why           alert ContainerUnhealthy name=\"web-1\" severity=\"warning\"\n\
         what next     sandbook promote restart-unhealthy live --reason \"…\"\n"
    );
    assert_eq!(&text[from..], want, "\n{text}");
}

#[test]
fn a_run_that_never_began_names_what_started_it() {
    let why = |more: Value| {
        let mut run =
            json!({"run": "r1", "runbook": "r", "state": "succeeded", "outcome": "no-target", "target": null});
        for (key, value) in more.as_object().expect("fields") {
            run[key] = value.clone();
        }
        let text = render(&run, &[], Options::default());
        let line = text.lines().find(|line| line.starts_with("why ")).expect("a line").to_owned();
        line.trim_start_matches("why").trim().to_owned()
    };
    let labels = json!({"alertname": "Down", "name": "web"});
    let want = "alert Down name=\"web\"";
    assert_eq!(why(json!({"trigger": "alert", "alert": {"name": "Down", "labels": labels}})), want);
    assert_eq!(why(json!({"trigger": "alert", "episode": {"name": "Down", "labels": labels}})), want);
    assert_eq!(why(json!({"trigger": "alert", "episode": "e_1", "target_hint": {"labels": labels}})), want);
    let hint = json!({"reference": "local/web"});
    assert_eq!(why(json!({"trigger": "docker-event", "target_hint": hint})), "an event of Docker about local/web");
    let event = json!({"trigger": "docker-event", "event": {"action": "oom"}, "target_hint": hint});
    assert_eq!(why(event), "the Docker event oom of local/web");
    assert_eq!(why(json!({"trigger": "manual", "target_hint": hint})), "started by hand for local/web");
    assert_eq!(why(json!({"trigger": "alert"})), "alert");
}

#[test]
fn a_question_and_its_answer() {
    let (mut run, mut records) = healed();
    records.truncate(2);
    run["state"] = json!("waiting");
    run["outcome"] = Value::Null;
    run["sentence"] = Value::Null;
    run["verification"] = Value::Null;
    run["finished_at"] = Value::Null;
    records.push(json!({"slot": 1, "kind": "asked", "effect": "docker.restart-container", "arguments": {"container": "local/web-1"},
        "target": {"host": "local", "name": "web-1"}, "reason": "stage ask", "policy": [], "at": "2026-01-02T10:00:01Z"}));
    let text = render(&run, &records, Options::default());
    assert!(text.contains("waits for a person\n            │ asked a person: stage ask\n"), "\n{text}");
    let want = "what happened a person is asked about docker.restart-container on local/web-1 (1 other effect)\n\
                why           stage ask\nwhat next     sandbook approvals\n";
    assert!(text.ends_with(want), "\n{text}");
    records.push(json!({"slot": 1, "kind": "answered", "approved": true, "by": "dana", "reason": "go", "at": "2026-01-02T10:02:00Z"}));
    let text = render(&run, &records, Options::default());
    assert!(text.contains("│ approved by dana: go\n"), "\n{text}");
    assert_eq!(next_step(&run, &records), "sandbook watch r-7f3k");
}

#[test]
fn what_comes_next_follows_from_how_it_stands() {
    let (base, records) = healed();
    let next = |changes: Value| {
        let mut run = base.clone();
        for (key, value) in changes.as_object().expect("changes") {
            run[key] = value.clone();
        }
        next_step(&run, &records[..1])
    };
    for (changes, want) in [
        (json!({"state": "running"}), "sandbook watch r-7f3k"),
        (json!({"state": "needs-attention"}), "look at local/web-1, then sandbook resume r-7f3k --as done|not-done"),
        (json!({"mode": "shadow"}), "sandbook promote restart-unhealthy ask --reason \"…\""),
        (json!({"outcome": "escalate"}), "a person is needed: look at local/web-1"),
        (json!({"outcome": "no-target"}), "sandbook targets, then name one by a label or a route"),
        (json!({"outcome": "limited"}), "sandbook brakes"),
        (
            json!({"outcome": "limited", "error": "[SB0504] it asked for more effects than its limit of 20"}),
            "sandbook explain SB0504",
        ),
        (json!({"state": "failed", "outcome": "failed"}), "sandbook status says whether everything is reachable"),
        (
            json!({"verification": "contradicted"}),
            "it did not help: look at local/web-1 yourself, then sandbook journal r-7f3k",
        ),
    ] {
        assert_eq!(next(changes.clone()), want, "{changes}");
    }
}

#[test]
fn hostile_text_and_missing_fields_do_no_harm() {
    let run = json!({"run": "x\x1b]0;pwned\x07", "runbook": "a\nb", "state": "failed", "sentence": "\u{202e}gnp"});
    let text = render(
        &run,
        &[json!({}), json!({"kind": "settled"}), json!(null), json!({"kind": "note"})],
        Options::default(),
    );
    assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
    assert!(render(&Value::Null, &[], Options::default()).contains("nothing is recorded"));
}

#[test]
fn records_on_a_line() {
    let (_, records) = healed();
    assert_eq!(line(&records[0])[3], "restart-unhealthy");
    assert_eq!(line(&records[5]), ["1", "settled", "docker.restart-container local/web-1", "now running, starting"]);
    assert_eq!(line(&records[8])[3], "fixed: restarted web-1, healthy after about 2 seconds");
}
