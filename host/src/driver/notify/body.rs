//! Messages as Slack, PagerDuty and a plain webhook take them.
//!
//! Whatever came from labels, logs and guests is text there as well: no mention, no link, no markup of its own.

use sandbook_core::effect::notify::Severity;
use sandbook_core::error::truncate_at_char;
use serde_json::{Value, json};

use super::Said;

/// Longest text of a Slack section.
const SLACK_TEXT_MAX: usize = 2_900;
/// Longest header of a Slack message.
const SLACK_TITLE_MAX: usize = 150;
/// Longest summary PagerDuty takes.
const PAGERDUTY_SUMMARY_MAX: usize = 1_024;

pub(super) fn slack(said: &Said) -> Value {
    let mark = match said.severity {
        Severity::Info => ":information_source:",
        Severity::Warning => ":warning:",
        Severity::Critical => ":rotating_light:",
    };
    let title = shortened(&said.title, SLACK_TITLE_MAX);
    // What Slack would take as markup or as a mention (`<!channel>`) came from labels and logs.
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let mut blocks = vec![json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": false}})];
    if !said.text.is_empty() {
        blocks.push(section(shortened(&escape(&shortened(&said.text, SLACK_TEXT_MAX)), SLACK_TEXT_MAX)));
    }
    if !said.evidence.is_empty() {
        let evidence = escape(&shortened(&said.evidence.join("\n").replace('`', "'"), SLACK_TEXT_MAX));
        blocks.push(section(format!("```{}```", shortened(&evidence, SLACK_TEXT_MAX))));
    }
    let mut next = Vec::new();
    if !said.url.is_empty() {
        next.push(format!("<{}|Open in Sandbook>", escape(&said.url).replace('|', "%7C")));
    }
    if !said.command.is_empty() {
        next.push(format!("`{}`", escape(&said.command).replace('`', "'")));
    }
    if !next.is_empty() {
        blocks.push(section(shortened(&next.join(" · "), SLACK_TEXT_MAX)));
    }
    let note = format!("{mark} {} · {}", said.severity.name(), escape(&said.dedup_key));
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": note}]}));
    json!({"text": escape(&title), "blocks": blocks})
}

pub(super) fn pagerduty(routing_key: &str, said: &Said) -> Value {
    if said.resolves {
        return json!({"routing_key": routing_key, "event_action": "resolve", "dedup_key": said.dedup_key});
    }
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": said.dedup_key,
        "payload": {
            "summary": shortened(&said.title, PAGERDUTY_SUMMARY_MAX),
            "source": if said.target.is_empty() { "sandbook" } else { said.target.as_str() },
            "severity": said.severity.name(),
            "class": said.kind,
            "group": said.runbook,
            "custom_details": {
                "text": said.text, "evidence": said.evidence, "next": said.command, "labels": said.labels,
            },
        },
        "client": "Sandbook",
    });
    if !said.url.is_empty() {
        event["client_url"] = json!(said.url);
        event["links"] = json!([{"href": said.url, "text": "Open in Sandbook"}]);
    }
    event
}

pub(super) fn plain(said: &Said) -> Value {
    json!({
        "title": said.title,
        "text": said.whole(),
        "severity": said.severity.name(),
        "dedup_key": said.dedup_key,
        "kind": said.kind,
        "runbook": said.runbook,
        "run": said.run,
        "target": said.target,
        "url": said.url,
        "command": said.command,
        "labels": said.labels,
        "count": said.count.max(1),
    })
}

fn shortened(text: &str, bytes_max: usize) -> String {
    let mut text = text.to_owned();
    truncate_at_char(&mut text, bytes_max);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        Said {
            title: "a \"b\"".to_owned(),
            text: "x\n<!channel>".to_owned(),
            evidence: vec!["``` <b> &".to_owned()],
            severity: Severity::Critical,
            dedup_key: "k".to_owned(),
            url: "https://s/runs/r|<x>".to_owned(),
            command: "sandbook show `r`".to_owned(),
            ..Said::default()
        }
    }

    #[test]
    fn slack_takes_no_markup_from_a_message() {
        let value = slack(&said());
        let body = value.to_string();
        assert!(!body.contains("<!channel>") && body.contains("&lt;!channel&gt;"), "{body}");
        assert_eq!(value["blocks"][2]["text"]["text"], "```''' &lt;b&gt; &amp;```");
        let next = "<https://s/runs/r%7C&lt;x&gt;|Open in Sandbook> · `sandbook show 'r'`";
        assert_eq!(value["blocks"][3]["text"]["text"], next);
        let long = Said { text: "&".repeat(9_000), evidence: vec!["<".repeat(9_000)], ..said() };
        for block in slack(&long)["blocks"].as_array().expect("blocks") {
            assert!(block["text"]["text"].as_str().is_none_or(|text| text.len() <= 3_000), "{block}");
        }
    }

    #[test]
    fn pagerduty_gets_key_severity_and_the_way_back_and_resolves_by_the_same_key() {
        let body = pagerduty("secret", &said());
        assert_eq!((&body["dedup_key"], &body["payload"]["severity"]), (&json!("k"), &json!("critical")));
        assert_eq!(body["links"][0]["href"], said().url);
        let over = pagerduty("secret", &Said { resolves: true, ..said() });
        assert_eq!(over, json!({"routing_key": "secret", "event_action": "resolve", "dedup_key": "k"}));
    }

    #[test]
    fn a_plain_webhook_gets_the_whole_text() {
        let body = plain(&said());
        assert_eq!(body["text"], said().whole());
        assert_eq!(body["count"], 1);
        let asked = Said { text: format!("answer here: {}", said().url), ..said() };
        assert_eq!(asked.whole().matches("https://").count(), 1, "the link is there already");
    }
}
