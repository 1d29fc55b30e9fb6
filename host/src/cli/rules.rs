//! What holds runbooks back, and what was decided: approvals, pauses, the audit.
//!
//! Deliberately not here: changing any of it, see [`super::act`]; brakes and grants, see [`super::brakes`], [`super::grants`].

use jiff::Timestamp;
use serde_json::Value;

use super::args::AuditArgs;
use super::client::Client;
use super::exit::{Exit, Failure};
use super::look::{list, since, summary};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, clean, count, digest, field, selector, shell, short, target};

pub(super) async fn approvals(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let answer = client.get("/v1/approvals", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let approvals = list(&answer, "approvals");
    if approvals.is_empty() {
        screen.line("nothing waits for a person");
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["ID", "RUNBOOK", "ASKS", "BECAUSE", "ASKED", "EXPIRES"]);
    for one in approvals {
        table.row([
            field(one, "id").into(),
            Cell::new(field(one, "runbook")).paint(Paint::Bold),
            short(&asks(one), 100).into(),
            short(&field(one, "reason"), 60).into(),
            ago(&one["at"], now).into(),
            ago(&one["expires_at"], now).into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    let first = shell(&field(&approvals[0], "id"));
    let answer = list(&approvals[0], "options").first().and_then(Value::as_str);
    let answer = answer.map_or_else(String::new, |answer| format!(" --answer {}", shell(answer)));
    screen
        .next(&format!("sandbook show {}, then sandbook approve {first}{answer}", shell(&field(&approvals[0], "run"))));
    Ok(Exit::Ok)
}

/// What a question is, with its answers where it has some.
fn asks(one: &Value) -> String {
    let options: Vec<&str> = list(one, "options").iter().filter_map(Value::as_str).collect();
    // Questions put before there were sentences have none.
    let sentence = match field(one, "sentence") {
        said if said.is_empty() => format!("{} on {}", field(one, "effect"), target(&one["target"])),
        said => said,
    };
    if options.is_empty() { sentence } else { format!("{sentence} [{}]", options.join(" | ")) }
}

pub(super) async fn pauses(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let answer = client.get("/v1/pauses", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let pauses = list(&answer, "pauses");
    if pauses.is_empty() {
        screen.line("nothing is paused");
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["ID", "WHAT", "ENDS", "BY", "REASON"]);
    for pause in pauses {
        table.row([
            field(pause, "id").into(),
            Cell::new(selector(&pause["selector"])).paint(Paint::Bold),
            ago(&pause["until"], now).into(),
            field(pause, "by").into(),
            field(pause, "reason").into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    screen.next(&format!("sandbook pauses --end {}", shell(&field(&pauses[0], "id"))));
    Ok(Exit::Ok)
}

pub(super) async fn audit(client: &Client, screen: &Screen, args: &AuditArgs) -> Result<Exit, Failure> {
    let answer =
        client.get("/v1/audit", &[("since", since(&args.since)?), ("verify", args.verify.to_string())]).await?;
    if screen.json {
        screen.value(&answer);
    } else {
        let rows =
            [list(&answer, "audit"), list(&answer, "entries")].into_iter().find(|rows| !rows.is_empty()).unwrap_or(&[]);
        screen.print(&audit_lines(rows, screen));
        screen.line(&format!("\n{}", count(rows.len(), "line")));
    }
    match [&answer["check"]["broken"], &answer["broken"]].into_iter().find_map(Value::as_u64) {
        Some(seq) => Err(Failure::failed(
            format!("the audit was altered: line {seq} does not follow from the one before"),
            "compare with a backup; somebody wrote into the database",
        )),
        None => Ok(Exit::Ok),
    }
}

/// A line for each row, and below it the policy a grant wrote. Whole when a program reads.
fn audit_lines(rows: &[Value], screen: &Screen) -> String {
    let mut table = Table::new(&["#", "AT", "WHO", "WHAT", "ON", "DETAILS"]);
    for row in rows {
        let details = details(&row["details"]);
        table.row([
            Cell::new(field(row, "seq")).paint(Paint::Dim),
            field(row, "at").into(),
            Cell::new(field(row, "who")).paint(Paint::Bold),
            field(row, "what").into(),
            field(row, "subject").into(),
            if screen.terminal { short(&details, DETAILS_CHARS_MAX).into() } else { details.into() },
        ]);
    }
    let mut text = String::new();
    for (index, line) in table.render(screen.ink).lines().enumerate() {
        text.push_str(&format!("{line}\n"));
        let row = index.checked_sub(1).and_then(|index| rows.get(index));
        let cedar = row.map(|row| field(&row["details"], "cedar")).unwrap_or_default();
        for line in cedar.lines().filter(|line| !line.trim().is_empty()) {
            text.push_str(&format!("        {}\n", screen.ink.paint(Paint::Dim, &clean(&line.replace('\t', "    ")))));
        }
    }
    text
}

/// Characters of details on a terminal.
const DETAILS_CHARS_MAX: usize = 160;

/// The reason first, then what else is known; digests as people tell them apart.
fn details(details: &Value) -> String {
    let Some(map) = details.as_object() else {
        return if details.is_null() { String::new() } else { summary(details) };
    };
    let mut parts = vec![field(details, "reason")];
    let other = map.iter().filter(|(name, _)| !matches!(name.as_str(), "reason" | "cedar"));
    parts.extend(other.filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) if text.starts_with("sha256:") => Some(format!("{name} {}", digest(text))),
        Value::Object(_) if name == "selector" => Some(format!("on {}", selector(value))),
        Value::Object(_) if name == "target" => Some(format!("on {}", target(value))),
        _ => Some(format!("{} {}", name.replace('_', " "), summary(value))),
    }));
    parts.retain(|part| !part.trim().is_empty());
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_audit_says_why_first_and_digests_briefly() {
        let long = "because ".repeat(40);
        let rows = [
            json!({"seq": 2, "what": "stage", "details": {"digest": "sha256:0123456789abcdef", "reason": "first week", "stage": "ask"}}),
            json!({"seq": 1, "what": "grant", "details": {"id": "r/x", "cedar": "permit (\n  principal\n);\n", "reason": ""}}),
            json!({"seq": 0, "what": "stop", "details": {"reason": long}}),
        ];
        let piped = audit_lines(&rows, &Screen::default());
        assert!(piped.contains("stage  first week, digest sha256:0123456789ab, stage ask\n"), "{piped}");
        assert!(piped.contains("grant  id r/x\n        permit (\n          principal\n        );\n"), "{piped}");
        assert!(piped.contains(long.trim_end()) && !piped.contains("reason"), "{piped}");
        assert!(!audit_lines(&rows, &Screen { terminal: true, ..Screen::default() }).contains(long.trim_end()));
    }
}
