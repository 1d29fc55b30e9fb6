//! A backtest as a person sees it, letter by letter, and the lines it comes in.

use super::*;

fn backtest() -> Value {
    let line = |verdict: &str, target: &str, changes: &[&str], sentence: &str, assumed: u32| {
        json!({"episode": "e_1", "alert": "Down", "at": "2026-01-02T03:04:05.000Z", "target": target, "verdict": verdict,
            "changes": changes, "outcome": "fixed", "sentence": sentence, "assumed": assumed})
    };
    json!({"backtest": "t_1", "runbook": "heal", "version": "1.2.0", "digest": "sha256:0123456789abcdef", "by": "dana",
        "at": "2026-01-31T00:00:00.000Z", "since": "2026-01-01T00:00:00.000Z", "truncated": false,
        "totals": {"episodes": 40, "matched": 3, "unmatched": 37, "acts": 1, "asks": 0, "refused": 1, "braked": 1,
            "nothing": 0, "failed": 0, "unknown": 0},
        "targets": [{"target": "local/web", "matched": 2, "acts": 1, "asks": 0, "refused": 0, "braked": 1, "nothing": 0,
            "failed": 0, "unknown": 0}, {"target": "", "matched": 1, "acts": 0, "asks": 0, "refused": 1, "braked": 0,
            "nothing": 0, "failed": 0, "unknown": 0}],
        "lines": [line("acts", "local/web", &["restart container local/web"], "restarted \u{1b}[2J", 0),
            line("braked", "local/web", &["restart container local/web"], "held back by manifest.brake = 1/1h", 0),
            line("refused", "", &["stop container local/db"], "no policy permits it", 2)]})
}

#[test]
fn a_backtest_reads_like_this() {
    insta::assert_snapshot!("backtest", render(&backtest(), Ink::default()));
    let mut empty = backtest();
    empty["totals"] = json!({"episodes": 1, "matched": 0});
    (empty["targets"], empty["lines"]) = (json!([]), json!([]));
    empty["truncated"] = json!(true);
    insta::assert_snapshot!("empty", render(&empty, Ink::default()));
}

#[test]
fn the_last_line_is_a_result_or_an_error() {
    let mut told = Progress { shown: false };
    let mut last = |line: Value| finished(&line, &mut told).map(|done| done.cloned());
    assert_eq!(last(json!({"progress": {"done": 1, "of": 2}})).expect("progress"), None);
    assert_eq!(last(json!({"backtest": {"backtest": "t_1"}})).expect("a result"), Some(json!({"backtest": "t_1"})));
    let failure = last(json!({"error": {"message": "the disk is full", "fix": "make room"}})).expect_err("an error");
    assert_eq!((failure.message.as_str(), failure.fix.as_str()), ("the disk is full", "make room"));
}

#[test]
fn what_comes_next_depends_on_what_was_found() {
    let args = |word: &str| BacktestArgs { runbook: word.to_owned(), since: "30d".to_owned() };
    let mut backtest = backtest();
    assert_eq!(next(&backtest, &args("heal")), "grant what was refused, then test again");
    backtest["totals"]["refused"] = json!(0);
    assert!(next(&backtest, &args("./heal")).starts_with("sandbook push "));
    assert!(next(&backtest, &args("heal")).contains(" live --reason "));
}
