//! Earlier incidents like one, what was done about them, and whether it helped: for whoever has to decide now.
//!
//! Deliberately not here: finding them.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::parts::{badge, badge_of, items, link, plain, said, table, when};
use crate::cli::text::field;

/// As many as are asked for: what a person reads at night.
pub(super) const WANTED: &str = "5";

/// The section; nothing where there were none.
pub(super) fn section(similar: &Value, now: Timestamp) -> Markup {
    let rows: Vec<Vec<Markup>> = items(similar, "incidents").iter().map(|incident| row(incident, now)).collect();
    html! {
        @if !rows.is_empty() {
            section aria-labelledby="similar" {
                h2 id="similar" { "Earlier incidents like it" }
                @for tried in items(similar, "tried") { p { (link("/runbooks", &field(tried, "runbook"), &field(tried, "runbook"))) " " (helped(tried)) } }
                (table("Earlier incidents, the most alike first", &["Alert", "Alike by", "What was done", "When"], &rows))
            }
        }
    }
}

/// How often it was tried, and what came of that.
fn helped(tried: &Value) -> String {
    let number = |key: &str| tried[key].as_u64().unwrap_or(0);
    let effects: Vec<&str> = items(tried, "effects").iter().filter_map(Value::as_str).collect();
    let what = if effects.is_empty() { "changed nothing".to_owned() } else { effects.join(", ") };
    plain(&format!(
        "({what}) was tried {} times: helped {}, did not help {}",
        number("times"),
        number("helped"),
        number("did_not_help")
    ))
}

fn row(incident: &Value, now: Timestamp) -> Vec<Markup> {
    let reasons: Vec<&str> = items(incident, "reasons").iter().filter_map(Value::as_str).collect();
    vec![
        html! { (link("/alerts", &field(incident, "episode"), &field(incident, "alert"))) " " span class="quiet" { (said(incident, "likeness")) " %" } },
        html! { (plain(&reasons.join(", "))) },
        html! {
            @if items(incident, "runs").is_empty() { span class="quiet" { "nothing" } }
            @for run in items(incident, "runs") {
                span class="line" {
                    (link("/runs", &field(run, "run"), &field(run, "runbook"))) " " (badge(&field(run, "outcome"))) " "
                    @match run["helped"].as_bool() { Some(true) => (badge_of("helped", "good")), Some(false) => (badge_of("did not help", "bad")), None => "" }
                    " " (said(run, "sentence"))
                }
            }
        },
        when(&incident["at"], now),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_helped_before_is_said_as_text_and_nothing_where_nothing_was() {
        let now = Timestamp::default();
        assert_eq!(section(&json!({"incidents": [], "tried": []}), now).into_string(), "");
        let incident = json!({"episode": "e_1", "alert": "<b>", "likeness": 90, "reasons": ["<i>"], "at": null,
            "runs": [{"run": "r_1", "runbook": "heal", "outcome": "fixed", "sentence": "<u>", "helped": false}]});
        let tried = json!({"runbook": "heal", "effects": ["docker.kill"], "times": 3, "helped": 1, "did_not_help": 2});
        let html = section(&json!({"incidents": [incident], "tried": [tried]}), now).into_string();
        assert!(html.contains("(docker.kill) was tried 3 times: helped 1, did not help 2"), "{html}");
        assert!(
            html.contains("&lt;b&gt;") && html.contains("&lt;u&gt;") && html.contains("did not help</span>"),
            "{html}"
        );
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("<u>"), "{html}");
    }
}
