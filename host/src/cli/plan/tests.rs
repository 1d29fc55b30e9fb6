//! Plans as a person sees them, letter by letter, and what they end with.

use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::cli::screen::Ink;
use crate::cli::{Cli, Command};

/// What the daemon answered in its own test: an unhealthy container, restarted.
const PLANNED: &str = include_str!("../../plan/golden.json");

fn args(line: &str) -> PlanArgs {
    let cli = Cli::try_parse_from(line.split(' ')).expect("understood");
    let Command::Plan(args) = cli.command else { panic!("{line} is no plan") };
    args
}

fn shown(plan: &Value, typed: &str, width: Option<usize>) -> String {
    let options = render::Options { ink: Ink::default(), width, typed };
    format!("{}next: {}\n", render::render(plan, options), render::next(plan, typed))
}

fn effect(class: &str, effect: &str, more: &Value) -> Value {
    let mut one = json!({"slot": 0, "effect": effect, "class": class, "target": null, "arguments": {}, "decision": "allow",
        "policy": [], "before": null, "after": null, "simulated": false, "certainty": "real", "sentence": effect,
        "result": null, "error": null});
    more.as_object().expect("fields").iter().for_each(|(key, value)| one[key] = value.clone());
    one
}

fn plan_of(summary: &Value, effects: Vec<Value>) -> Value {
    json!({"plan": "p_1", "runbook": "heal", "version": "1.2.0", "digest": "sha256:0123456789abcdef", "stage": "shadow",
        "target": {"host": "local", "kind": "container", "name": "web", "id": "3f2a"}, "alert": null, "by": "dana",
        "to_apply": false, "expires_at": "2026-01-01T00:30:00.000Z", "outcome": "done", "sentence": "tried",
        "complete": true, "summary": summary, "effects": effects, "notes": [], "place": null, "fault": null})
}

#[test]
fn the_plan_of_a_restart_reads_like_this() {
    let plan: Value = serde_json::from_str(PLANNED).expect("json");
    let typed = "sandbook plan restart-unhealthy alertname=ContainerUnhealthy name=shop-web-1";
    insta::assert_snapshot!("restart", shown(&plan, typed, None));
    let narrow = shown(&plan, typed, Some(60));
    insta::assert_snapshot!("restart_narrow", narrow);
    assert!(!narrow.contains('\x1b'), "colours only on a terminal");
}

#[test]
fn refusals_questions_messages_and_doubts_read_like_this() {
    let refused = "no policy permits docker.stop-container on local/web for runbook heal; sandbook grant heal docker.stop-container --container web";
    let probe = json!({"ok": true, "status": 200, "duration_ms": 0, "reason": "assumed"});
    let plan = plan_of(
        &json!({"reads": 1, "changes": 0, "asks": 1, "tells": 1, "refused": 1, "assumed": 1}),
        vec![
            effect(
                "mutate",
                "docker.stop-container",
                &json!({"decision": "deny", "error": refused, "sentence": "stop container local/web"}),
            ),
            effect(
                "mutate",
                "docker.restart-container",
                &json!({"decision": "ask", "policy": ["careful"], "sentence": "restart container local/web",
                "before": {"status": "running", "health": "unhealthy", "error": ""}, "after": {"status": "running", "health": "starting", "error": ""},
                "certainty": "modelled", "result": {"changed": true}}),
            ),
            effect(
                "egress",
                "net.http-probe",
                &json!({"certainty": "assumed", "result": probe, "sentence": "net http probe with url http://web/"}),
            ),
            effect(
                "tell",
                "notify.send",
                &json!({"certainty": "modelled", "sentence": "notify send with \u{1b}[2Jtitle x"}),
            ),
        ],
    );
    let mut plan = plan;
    plan["complete"] = json!(false);
    insta::assert_snapshot!("everything", shown(&plan, "sandbook plan heal web", None));
}

#[test]
fn a_version_in_shadow_is_compared_in_a_line() {
    assert!(compared(&json!({"episodes": [], "same": 0})).is_empty());
    let side = |changes: Value| json!({"version": "1.1.0", "changes": changes});
    let one = |same: bool, shadow: Value| json!({"episode": "e_1", "same": same, "same_world": true, "acted": side(json!(["restart a"])), "shadow": side(shadow)});
    let answer = json!({"same": 1, "episodes": [one(true, json!(["restart a"])), one(false, json!([]))]});
    let want = ["1.1.0 would have done the same in 1 of 2 episodes", "e_1: did restart a; in shadow: nothing"];
    assert_eq!(compared(&answer), want);
}

#[test]
fn codes_tell_scripts_what_it_comes_to() {
    let code = |summary: Value, outcome: &str, detailed| {
        let mut plan = plan_of(&summary, Vec::new());
        plan["outcome"] = json!(outcome);
        exit(&plan, detailed)
    };
    assert_eq!(code(json!({"changes": 1}), "fixed", false), Exit::Ok);
    assert_eq!(code(json!({"changes": 1}), "fixed", true), Exit::WouldChange);
    assert_eq!(code(json!({"changes": 0}), "nothing-to-do", true), Exit::Ok);
    assert_eq!(code(json!({"changes": 1, "asks": 1}), "fixed", true), Exit::WouldAsk);
    assert_eq!(code(json!({"asks": 1, "refused": 1}), "done", true), Exit::Refused);
    assert_eq!(code(json!({}), "refused", false), Exit::Refused);
    assert_eq!(code(json!({}), "failed", false), Exit::Failed);
    let mut broken = plan_of(&json!({"refused": 1}), Vec::new());
    broken["fault"] = json!("it probed");
    assert_eq!(exit(&broken, false), Exit::Failed);
    assert_eq!((Exit::WouldAsk as u8, Exit::WouldChange as u8), (5, 7));
}

#[test]
fn what_is_typed_is_what_is_asked() {
    let args = args(
        "sandbook plan heal web severity=\"critical\" --host db1 --param grace=3s --assume docker.exec=1 --to-apply",
    );
    let body = body(&args).expect("sound");
    let exec = json!({"exit_code": 1, "stdout": "", "stderr": "", "truncated": false});
    assert_eq!(
        body,
        json!({"target": "web", "alert": {"labels": {"severity": "critical"}}, "host": "db1", "parameters": {"grace": "3s"},
            "assume": [{"effect": "docker.exec", "result": exec}], "to_apply": true})
    );
    assert_eq!(
        typed(&args),
        "sandbook plan heal web 'severity=\"critical\"' --host db1 --param grace=3s --assume docker.exec=1 --to-apply"
    );
    for (word, path) in [("heal", false), ("./heal", true), ("a/b", true), ("x.rhai", true), ("heal@sha256:1", false)] {
        assert_eq!(is_path(word), path, "{word}");
    }
}

#[test]
fn assumptions_are_checked_before_anything_is_sent() {
    for word in [
        "net.http-probe=ok",
        "net.http-probe=fail",
        "net.tcp-check=closed",
        "docker.exec=137",
        "http.get=500",
        "http.request=200",
        "metrics.query=0.5",
        "metrics.query=empty",
        "net.http-probe=error:timeout:no answer",
        "net.dns-lookup={\"addresses\":[\"10.0.0.1\"],\"duration_ms\":1}",
    ] {
        let assumed = assume::assumption(word).unwrap_or_else(|failure| panic!("{word}: {failure:?}"));
        assert_eq!(assumed["effect"], word.split('=').next().expect("a name"));
    }
    for (word, said) in [
        ("net.http-probe", "assumes nothing"),
        ("net.http-prob=ok", "there is no effect"),
        ("net.http-probe=perhaps", "cannot be read"),
        ("net.http-probe={\"ok\":1}", "cannot answer"),
        ("docker.exec={}", "cannot answer"),
    ] {
        let failure = assume::assumption(word).expect_err(word);
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains(said), "{word}: {}", failure.message);
    }
}
