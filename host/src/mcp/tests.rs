//! What calls become, and what answers look like.

use serde_json::json;

use super::*;

fn asked(tool: &str, arguments: &Value) -> Result<Asked, String> {
    let tool = TOOLS.iter().find(|known| known.name == tool).expect("a tool");
    tool.asked(arguments.as_object().expect("an object"))
}

#[test]
fn a_call_is_one_request_and_names_stay_in_their_place() {
    let runs = asked("runs", &json!({"state": "failed", "target": "a b&c", "limit": 5})).expect("sound");
    assert_eq!(
        (runs.method, runs.path.as_str(), runs.body),
        ("GET", "/v1/runs?state=failed&target=a+b%26c&limit=5", Body::None)
    );
    let run = asked("evidence", &json!({"run": "../stop?x=1"})).expect("sound");
    assert_eq!(run.path, "/v1/runs/..%2Fstop%3Fx%3D1/journal");
    let plan = asked("plan", &json!({"runbook": "a", "target": "web", "parameters": {"n": 1}})).expect("sound");
    assert_eq!(plan.path, "/v1/runbooks/a/plan");
    assert_eq!(plan.body, Body::Json(json!({"target": "web", "parameters": {"n": 1}})));
    let draft = asked("plan_draft", &json!({"script": "x"})).expect("sound");
    assert_eq!(draft.body, Body::Json(json!({"package": "eA=="})));
    let proposed = asked("propose", &json!({"script": "x"})).expect("sound");
    assert_eq!((proposed.path.as_str(), proposed.body), ("/v1/runbooks?stage=draft", Body::Script("x".to_owned())));
}

#[test]
fn a_call_that_makes_no_sense_says_why() {
    for (tool, arguments, wanted) in [
        ("run", json!({}), "run needs `run`"),
        ("run", json!({"run": 5}), "`run` must be of the kind string"),
        ("status", json!({"x": 1}), "status takes no `x`"),
        ("propose", json!({"script": "x".repeat(300 << 10)}), "must be of the kind string"),
    ] {
        let why = asked(tool, &arguments).expect_err("refused");
        assert!(why.contains(wanted), "{why}");
    }
}

#[test]
fn names_cannot_climb_out_of_their_place() {
    assert_eq!(segment("a/../b c"), "a%2F..%2Fb%20c");
    assert_eq!(segment(".."), "%2E%2E");
    assert_eq!(segment("sha256:ab"), "sha256:ab");
}

#[test]
fn answers_are_cut_and_say_so_and_refusals_say_how_to_go_on() {
    let long = bounded(&json!("ä".repeat(ANSWER_BYTES_MAX)));
    assert!(long.len() < ANSWER_BYTES_MAX + 200 && long.contains("cut here: "), "{} bytes", long.len());
    assert_eq!(bounded(&json!("<b>\u{1b}[2J")), "\"‹b›\\u001b[2J\"");
    let said = refusal(&json!({"error": {"code": "SB0105", "message": "no", "fix": "ask", "details": [{"line": 3}]}}));
    assert_eq!(said, "refused [SB0105]: no. To go on: ask.\n{\"line\":3}");
}
