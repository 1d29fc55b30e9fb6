//! `status`: what is going on, what is broken, and the next sensible step.
//!
//! A part this program does not know is shown as it comes, so that a newer daemon's news are read too. Deliberately not
//! here: the lists behind it, see [`super::look`], [`super::runs`] and [`super::rules`].

use jiff::Timestamp;
use serde_json::Value;

use super::client::Client;
use super::exit::{Exit, Failure};
use super::look::{list, summary};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, clean, field, selector, shell, took};

pub(super) async fn status(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let status = client.get("/status", &[]).await?;
    if screen.json {
        screen.value(&status);
        return Ok(Exit::Ok);
    }
    screen.line(&format!("sandbook {} at {}\n", clean(&field(&status, "version")), client.address()));
    let mut table = Table::new(&["", ""]);
    for (name, said, paint) in rows(&status, Timestamp::now()) {
        table.row([Cell::new(name).paint(Paint::Dim), Cell::new(said).paint(paint)]);
    }
    screen.print(&table.render(screen.ink).lines().skip(1).map(|line| format!("  {line}\n")).collect::<String>());
    screen.next(&status_next(client, &status).await);
    Ok(Exit::Ok)
}

/// Whether it answers. Exit code 0, or 6 when nobody does: what a container's health check looks at.
pub(super) async fn health(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let health = client.get("/health", &[]).await?;
    if screen.json {
        screen.value(&health);
    } else {
        screen.line(&format!("{} answers: {}", client.address(), clean(&field(&health, "status"))));
    }
    Ok(Exit::Ok)
}

/// Name, words and colour of every line; what has several items has a line for each.
fn rows(status: &Value, now: Timestamp) -> Vec<(String, String, Paint)> {
    let mut rows = Vec::new();
    for (name, value) in status.as_object().into_iter().flatten().filter(|(name, value)| !quiet(name, value)) {
        let paint = if bad(value) { Paint::Bad } else { Paint::Plain };
        let label = name.trim_end_matches("_ms").replace('_', " ");
        match (name.as_str(), value) {
            ("broken", Value::Array(folders)) => {
                rows.extend(folders.iter().map(|one| (label.clone(), broken(one), Paint::Bad)));
            }
            ("warnings", Value::Array(warnings)) => {
                rows.extend(warnings.iter().map(|one| ("warning".to_owned(), problem(one), Paint::Warn)));
            }
            ("pauses", Value::Array(pauses)) => {
                rows.extend(pauses.iter().map(|one| ("paused".to_owned(), pause(one, now), Paint::Warn)));
            }
            ("schedules", Value::Array(coming)) => {
                let said = |one: &Value| format!("{} {}", field(one, "name"), ago(&one["next"], now));
                rows.push(("due".to_owned(), coming.iter().map(said).collect::<Vec<_>>().join(", "), paint));
            }
            ("trips", Value::Array(trips)) => {
                let said = |one| format!("{}: {}", field(one, "label"), field(one, "reason"));
                rows.extend(trips.iter().map(|one| ("tripped".to_owned(), said(one), Paint::Bad)));
            }
            ("policy", Value::Object(_)) => {
                let first = list(value, "problems").first().map(problem).unwrap_or_default();
                let said = format!("broken, the old one stays in force{}", more(&first, list(value, "problems").len()));
                rows.push((label, said, Paint::Bad));
            }
            ("notify", Value::Object(channels)) => {
                let said = channels
                    .iter()
                    .filter_map(|(name, one)| Some((label.clone(), channel(name, one, now)?, Paint::Bad)));
                rows.extend(said);
            }
            ("llm", Value::Object(_)) => rows.push((label, model(value), Paint::Plain)),
            ("runs" | "runbooks", _) => rows.push((label, counts(value), paint)),
            (_, _) => match (name.strip_suffix("_ms"), value.as_u64()) {
                (Some(_), Some(ms)) => rows.push((label, took(ms), paint)),
                (_, _) => rows.push((label, summary(value), paint)),
            },
        }
    }
    rows
}

/// `./runbooks/x  main.rhai:2:1 SB0214 message`.
fn broken(one: &Value) -> String {
    let problems: Vec<&Value> = list(one, "problems").iter().filter(|problem| problem["warning"] != true).collect();
    let first = problems.first().map(|first| problem(first)).unwrap_or_default();
    format!("{}{}", field(one, "folder"), more(&first, problems.len()))
}

/// The first of several problems, set apart from what stands before it.
fn more(first: &str, count: usize) -> String {
    match (first.is_empty(), count) {
        (true, _) => String::new(),
        (false, 0 | 1) => format!("  {first}"),
        (false, count) => format!("  {first} (and {} more)", count - 1),
    }
}

/// `main.rhai:2:1 SB0214 message`, or the text it is.
fn problem(value: &Value) -> String {
    if value["message"].is_null() {
        return summary(value);
    }
    let file = field(value, "file");
    let place = match (file.is_empty(), value["line"].as_u64()) {
        (true, _) => String::new(),
        (false, Some(line)) => format!("{file}:{line}:{}", value["column"].as_u64().unwrap_or(1)),
        (false, None) => file,
    };
    let parts = [place, field(value, "code"), field(value, "message")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `web-*, ends in 20 min: deploy (dana)`.
fn pause(one: &Value, now: Timestamp) -> String {
    let ends = ago(&one["until"], now);
    let ends = if ends.is_empty() { ends } else { format!(", ends {ends}") };
    format!("{}{ends}: {} ({})", selector(&one["selector"]), field(one, "reason"), field(one, "by"))
}

/// `ops: 3 messages wait, the oldest 5 min ago, 1 dropped: why`; `None` while all is well.
fn channel(name: &str, one: &Value, now: Timestamp) -> Option<String> {
    let figure = |key: &str| usize::try_from(one[key].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let (waiting, dropped) = (figure("waiting"), figure("dropped"));
    let waits = match waiting {
        0 => None,
        1 => Some(format!("1 message waits, from {}", ago(&one["oldest"], now))),
        count => Some(format!("{count} messages wait, the oldest {}", ago(&one["oldest"], now))),
    };
    let dropped = (dropped > 0).then(|| format!("{dropped} dropped"));
    let said: Vec<String> = waits.into_iter().chain(dropped).collect();
    let error = field(one, "error");
    let why = if error.is_empty() { String::new() } else { format!(": {error}") };
    (!said.is_empty()).then(|| format!("{name}: {}{why}", said.join(", ")))
}

/// `small at http://127.0.0.1:11434/v1, 3 of 200 requests in the last hour, 1200 of 5000000 tokens in the last day`.
fn model(llm: &Value) -> String {
    let of = |figure: &Value, unit: &str, window: &str| {
        let most = figure["most"].as_f64().map_or_else(String::new, |most| format!(" of {most}"));
        format!("{}{most} {unit} in the last {window}", figure["used"].as_f64().unwrap_or_default())
    };
    let mut said = vec![
        format!("{} at {}", field(llm, "model"), field(llm, "base_url")),
        of(&llm["hour"]["calls"], "requests", "hour"),
        of(&llm["day"]["tokens"], "tokens", "day"),
    ];
    if llm["day"]["money"]["used"].as_f64().is_some_and(|used| used > 0.0) {
        said.push(of(&llm["day"]["money"], "in money", "day"));
    }
    said.join(", ")
}

/// What nobody asks about: identities, parts in which nothing stands, and what a warning says as well.
fn quiet(name: &str, value: &Value) -> bool {
    matches!(name, "version" | "next" | "instance" | "started_at" | "refused")
        || value.is_null()
        || (name == "policy" && value["ok"] == true)
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// `2 live, 1 shadow`: only what there is.
fn counts(value: &Value) -> String {
    let some = |(name, number): (&String, &Value)| {
        number.as_u64().filter(|number| *number > 0).map(|number| format!("{number} {name}"))
    };
    let parts: Vec<String> = value.as_object().into_iter().flatten().filter_map(some).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn bad(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            map.get("ok") == Some(&Value::Bool(false))
                || matches!(map.get("status").and_then(Value::as_str), Some("down" | "error"))
        }
        Value::Array(items) => items.iter().any(bad),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// What is broken is mended where it stands.
fn broken_next(status: &Value) -> Option<String> {
    if status["policy"]["ok"] == false {
        return Some("the policy is broken: sandbook policy check, then mend it".to_owned());
    }
    let folder = list(status, "broken").first().map(|one| field(one, "folder"))?;
    Some(format!("a runbook is broken: sandbook check {}", shell(&folder)))
}

/// What a person on call would look at first.
async fn status_next(client: &Client, status: &Value) -> String {
    if let Some(next) = status["next"].as_str().filter(|next| !next.is_empty()) {
        return next.to_owned();
    }
    if status["stop"].is_object() || status["stopped"] == true {
        return "everything is stopped: sandbook stop-all --release when it may act again".to_owned();
    }
    let one = |state: &str| [("state", state.to_owned()), ("limit", "1".to_owned())];
    if let Ok(answer) = client.get("/v1/runs", &one("needs-attention")).await
        && let Some(run) = list(&answer, "runs").first()
    {
        return format!("a run needs attention: sandbook show {}", shell(&field(run, "run")));
    }
    if let Some(step) = broken_next(status) {
        return step;
    }
    if !list(status, "trips").is_empty() {
        return "a brake tripped and holds back: sandbook brakes".to_owned();
    }
    if let Ok(answer) = client.get("/v1/approvals", &[]).await
        && !list(&answer, "approvals").is_empty()
    {
        return format!(
            "{} a person: sandbook approvals",
            match list(&answer, "approvals").len() {
                1 => "1 question waits for".to_owned(),
                many => format!("{many} questions wait for"),
            }
        );
    }
    match client.get("/v1/alerts", &[("limit", "1".to_owned())]).await {
        Ok(answer) if list(&answer, "alerts").is_empty() => without_alerts(status).to_owned(),
        Ok(_) | Err(_) => "sandbook alerts".to_owned(),
    }
}

/// No alert was taken: nothing came, or what came was refused.
fn without_alerts(status: &Value) -> &'static str {
    match list(status, "refused").is_empty() {
        true => "no alert has arrived yet: sandbook config alertmanager prints the receiver to paste",
        false => {
            "what arrived was refused, a warning above says why: sandbook config alertmanager prints the receiver to compare"
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_that_were_refused_have_arrived() {
        assert!(without_alerts(&json!({"refused": []})).starts_with("no alert has arrived yet"));
        let refused = json!({"refused": [{"reason": "too-large", "count": 3, "last": "2026-01-02T10:00:00.000Z"}]});
        assert!(without_alerts(&refused).starts_with("what arrived was refused"));
        assert!(rows(&refused, "2026-01-02T10:00:00Z".parse().expect("a time")).is_empty(), "its warning says it");
    }

    #[test]
    fn what_is_broken_stands_on_a_line_with_its_place() {
        let mistake = json!({"code": "SB0214", "file": "main.rhai", "line": 2, "column": 1, "message": "no `run`", "help": "",
            "warning": false});
        let doubt = json!({"message": "unused", "warning": true});
        let status = json!({"version": "1", "warnings": ["authentication is off"], "uptime_ms": 1_000,
            "broken": [{"folder": "./runbooks/x", "problems": [doubt, mistake, mistake]}],
            "pauses": [{"selector": {"runbook": "*"}, "until": "2026-01-02T10:20:00Z", "reason": "deploy", "by": "dana"}],
            "policy": {"ok": false, "problems": [{"file": "a.cedar", "line": 3, "column": 7, "message": "no such action"}]}});
        let said: Vec<(String, String)> = rows(&status, "2026-01-02T10:00:00Z".parse().expect("a time"))
            .into_iter()
            .map(|(name, said, _)| (name, said))
            .collect();
        for want in [
            ("broken", "./runbooks/x  main.rhai:2:1 SB0214 no `run` (and 1 more)"),
            ("paused", "all, ends in 20 min: deploy (dana)"),
            ("policy", "broken, the old one stays in force  a.cedar:3:7 no such action"),
            ("uptime", "1 s"),
            ("warning", "authentication is off"),
        ] {
            assert!(said.contains(&(want.0.to_owned(), want.1.to_owned())), "{want:?} in {said:?}");
        }
        assert!(broken_next(&status).expect("a step").contains("sandbook policy check"));
        let status = json!({"policy": {"ok": true, "problems": []}, "broken": status["broken"]});
        assert!(broken_next(&status).expect("a step").ends_with("sandbook check ./runbooks/x"));
        assert_eq!(rows(&status, Timestamp::UNIX_EPOCH).len(), 1);
        assert_eq!(broken_next(&json!({"broken": []})), None);
    }
}
