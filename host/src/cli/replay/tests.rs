//! Replays as a person sees them, letter by letter, and what a file that is none is answered with.

use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::cli::screen::Ink;
use crate::cli::{Cli, Command};

fn replay(changes: &Value) -> Replay {
    let version = |version: &str, digest: &str| json!({"runbook": "heal", "version": version, "digest": digest});
    let mut replay = json!({"run": "r_1", "recorded": version("1.2.0", "sha256:0123456789abcdef"),
        "with": version("1.2.0", "sha256:0123456789abcdef"), "verdict": "equal", "slots": 4, "outcome": "fixed",
        "sentence": "restarted", "diverges": null, "would": [], "assumed": 0, "took_ms": 12});
    changes.as_object().expect("fields").iter().for_each(|(key, value)| replay[key] = value.clone());
    serde_json::from_value(replay).expect("a replay")
}

fn shown(changes: &Value) -> String {
    render::render(&replay(changes), Ink::default())
}

#[test]
fn equal_is_one_line() {
    insta::assert_snapshot!("equal", shown(&json!({})));
    insta::assert_snapshot!(
        "equal_so_far",
        shown(&json!({"verdict": "equal-so-far", "outcome": null, "sentence": null}))
    );
}

#[test]
fn a_divergence_shows_both_sides_and_what_would_have_been_done() {
    let effect = |decision: &str, sentence: &str, error: Value| {
        json!({"slot": 1, "effect": "docker.stop-container", "class": "mutate", "target": null, "arguments": {},
            "decision": decision, "policy": [], "before": null, "after": null, "simulated": true,
            "certainty": "modelled", "sentence": sentence, "result": null, "error": error})
    };
    insta::assert_snapshot!(
        "diverges",
        shown(&json!({
            "verdict": "diverges", "slots": 1, "outcome": "done", "sentence": "stopped \u{1b}[2Jit", "assumed": 2,
            "with": {"runbook": "heal", "version": "1.3.0", "digest": "sha256:fedcba9876543210"},
            "diverges": {"slot": 1, "why": "recorded is something else",
                "recorded": {"effect": "docker.restart-container", "arguments": {"container": "local/web"}},
                "asked": {"effect": "docker.stop-container", "arguments": {"container": "local/web"}}},
            "would": [effect("allow", "stop container local/web", Value::Null),
                effect("ask", "remove container local/web", Value::Null),
                effect("deny", "kill container local/web", json!("no policy permits it")),
                effect("allow", "start container local/db", json!("not-found: there is none"))],
        }))
    );
    insta::assert_snapshot!(
        "ends_sooner",
        shown(&json!({
            "verdict": "diverges", "slots": 1, "outcome": "nothing-to-do", "sentence": "it is well",
            "with": {"runbook": "heal", "version": "1.3.0", "digest": "sha256:fedcba9876543210"},
            "diverges": {"slot": 1, "why": "the recorded run goes on with docker.restart-container, and this ends: nothing-to-do, it is well",
                "recorded": {"effect": "docker.restart-container", "arguments": {"container": "local/web"}}, "asked": null},
        }))
    );
}

#[test]
fn a_word_is_a_run_or_a_file() {
    let is = |line: &str| {
        let cli = Cli::try_parse_from(line.split(' ')).expect("understood");
        let Command::Replay(args) = cli.command else { panic!("{line} is no replay") };
        is_file(&args)
    };
    assert!(is("sandbook replay run.json") && is("sandbook replay ./run"));
    assert!(!is("sandbook replay r_01jd8z0q") && !is("sandbook replay last"));
    assert!(Cli::try_parse_from("sandbook replay last --runbook a --path b".split(' ')).is_err(), "two versions");
}

#[test]
fn a_file_that_is_none_says_what_to_do() {
    let changed = Unreadable::Changed { stated: "sha256:a".to_owned(), found: "sha256:b".to_owned() };
    let failure = unreadable("run.json", &changed);
    assert_eq!((failure.exit, failure.fix.as_str()), (Exit::Failed, "export the run again"));
    assert!(failure.message.starts_with("run.json: it was changed after it was exported"), "{failure:?}");
    assert!(unreadable("x", &Unreadable::Format { found: 2 }).fix.contains("version of sandbook that wrote it"));
}
