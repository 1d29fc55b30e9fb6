//! Earlier incidents like the one of a run, below its story: which, why, and what helped.
//!
//! Deliberately not here: finding them, which the daemon does.

use serde_json::Value;

use super::client::{Client, segment};
use super::look::list;
use super::screen::{Ink, Paint};
use super::text::{clean, count, field, short, time};

/// Characters of a sentence on one line.
const SENTENCE_MAX: usize = 100;
/// Ways that are named of what was tried.
const TRIED_MAX: usize = 3;

/// Of a run; nothing where no alert started it, or the daemon is too old to know.
pub(super) async fn of(client: &Client, run: &Value) -> Value {
    if !run["episode"].is_string() {
        return Value::Null;
    }
    let path = format!("/v1/runs/{}/similar", segment(&field(run, "run")));
    client.get(&path, &[]).await.unwrap_or_default()
}

/// As lines; empty where there are none.
pub(super) fn render(similar: &Value, ink: Ink) -> String {
    let incidents = list(similar, "incidents");
    if incidents.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{} {}\n", ink.paint(Paint::Bold, "like it"), count(incidents.len(), "earlier incident"));
    for incident in incidents {
        let reasons: Vec<&str> = list(incident, "reasons").iter().filter_map(Value::as_str).collect();
        let day = time(&incident["at"]).map(|at| at.strftime("%F %H:%M").to_string()).unwrap_or_default();
        text.push_str(&format!(
            "  {:>3} %  {day}  {}  {}\n",
            field(incident, "likeness"),
            ink.paint(Paint::Bold, &clean(&field(incident, "alert"))),
            ink.paint(Paint::Dim, &clean(&reasons.join(", "))),
        ));
        for run in list(incident, "runs") {
            let (word, paint) = match run["helped"].as_bool() {
                Some(true) => ("helped", Paint::Good),
                Some(false) => ("did not help", Paint::Bad),
                None => ("", Paint::Dim),
            };
            let changes: Vec<&str> = list(run, "changes").iter().filter_map(Value::as_str).collect();
            let did = if changes.is_empty() { field(run, "sentence") } else { changes.join(", ") };
            let line = [clean(&field(run, "runbook")).into_owned(), short(&did, SENTENCE_MAX), ink.paint(paint, word)];
            let line: Vec<String> = line.into_iter().filter(|part| !part.is_empty()).collect();
            text.push_str(&format!("         {}  {}\n", clean(&field(run, "run")), line.join(": ")));
        }
    }
    for tried in list(similar, "tried").iter().take(TRIED_MAX) {
        let effects: Vec<&str> = list(tried, "effects").iter().filter_map(Value::as_str).collect();
        text.push_str(&format!(
            "  tried  {} with {}: helped {} of {}\n",
            clean(&effects.join(", ")),
            clean(&field(tried, "runbook")),
            field(tried, "helped"),
            count(tried["times"].as_u64().unwrap_or(0) as usize, "time"),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_helped_is_said_and_nothing_where_there_is_nothing() {
        let similar = json!({"incidents": [{"episode": "e_1", "alert": "WorkerDown", "likeness": 87,
            "reasons": ["same alert", "same exit code 137"], "at": "2026-01-02T10:00:00Z", "resolved_at": null,
            "runs": [{"run": "r_1", "runbook": "restart-worker", "version": "1.0.0", "outcome": "fixed", "sentence": "restarted",
                "changes": ["restart container local/worker\u{1b}[31m"], "helped": true}]}],
            "tried": [{"runbook": "restart-worker", "effects": ["docker.restart-container"], "times": 3, "helped": 2, "did_not_help": 1}],
            "compared": 9});
        let text = render(&similar, Ink::default());
        for part in [
            "like it 1 earlier incident",
            "87 %  2026-01-02 10:00  WorkerDown  same alert, same exit code 137",
            "r_1  restart-worker: restart container local/worker",
            "helped",
            "tried  docker.restart-container with restart-worker: helped 2 of 3 times",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(render(&json!({"incidents": [], "tried": [], "compared": 4}), Ink::default()), "");
    }
}
