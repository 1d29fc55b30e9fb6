//! What is going on: alerts, runbooks, targets. Each command ends with what to do next.
//!
//! Deliberately not here: the status, see [`super::status`], runs, see [`super::runs`], and changing anything, see [`super::act`].

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{AlertsArgs, RunbooksArgs};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, clean, digest, field, first_field, shell, short, took};

/// Subjects shown on which a runbook helped least.
const SUBJECTS_SHOWN: usize = 3;

/// The list of an answer.
pub(super) fn list<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

/// A time as the API wants it: a duration back from now, or a time as it stands.
pub(super) fn since(text: &str) -> Result<String, Failure> {
    if let Ok(duration) = text.parse::<sandbook_core::duration::DurationMs>() {
        let back = i64::try_from(duration.0).unwrap_or(i64::MAX);
        let at = Timestamp::from_millisecond(Timestamp::now().as_millisecond().saturating_sub(back));
        return at.map(|at| at.to_string()).map_err(|error| Failure::usage(error.to_string(), "write it like 1d"));
    }
    match text.parse::<Timestamp>() {
        Ok(at) => Ok(at.to_string()),
        Err(_) => Err(Failure::usage(format!("`{text}` is no time"), "write it like 90m, 7d or 2026-01-31T12:00:00Z")),
    }
}

pub(super) fn paint_state(state: &str) -> Paint {
    match state {
        "succeeded" | "fixed" | "done" | "nothing-to-do" | "confirmed" | "live" | "ok" | "ready" | "up" => Paint::Good,
        "failed" | "refused" | "contradicted" | "down" | "tripped" | "error" | "unreachable" => Paint::Bad,
        "running" | "queued" | "" => Paint::Plain,
        "cancelled" | "shadow" | "draft" => Paint::Dim,
        _ => Paint::Warn,
    }
}

/// A part of the status on a line: nested facts as `name value`, lists by name.
pub(super) fn summary(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(summary).collect::<Vec<_>>().join("; "),
        Value::Object(map) => {
            let part = |(name, value): (&String, &Value)| match value {
                Value::Null => None,
                // Said by its status already.
                Value::Bool(_) if name == "ok" => None,
                _ if name == "name" || name == "status" => Some(summary(value)),
                Value::Number(ms) if name.ends_with("_ms") => Some(format!(
                    "{} {}",
                    name.trim_end_matches("_ms").replace('_', " "),
                    took(ms.as_u64().unwrap_or(0))
                )),
                Value::Object(_) => Some(format!("{name}: {}", summary(value))),
                _ => Some(format!("{} {}", name.replace('_', " "), summary(value))),
            };
            map.iter().filter_map(part).collect::<Vec<_>>().join(", ")
        }
    }
}

pub(super) async fn alerts(client: &Client, screen: &Screen, args: &AlertsArgs) -> Result<Exit, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    if args.open {
        query.push(("open", "true".to_owned()));
    }
    if let Some(text) = &args.since {
        query.push(("since", since(text)?));
    }
    let answer = client.get("/v1/alerts", &query).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let episodes = list(&answer, "alerts");
    if episodes.is_empty() {
        screen.line("no alerts");
        screen.next("sandbook config alertmanager prints the receiver to paste into alertmanager.yml");
        return Ok(Exit::Ok);
    }
    let shadows = shadows(client, episodes).await;
    let now = Timestamp::now();
    let mut table = Table::new(&["ALERT", "LABELS", "HEARD", "STATE", "RUNBOOK", "RESULT"]);
    for episode in episodes {
        let open = episode["resolved_at"].is_null() && episode["superseded"] != true;
        let state = if open { Cell::new("firing").paint(Paint::Warn) } else { Cell::new("over").paint(Paint::Dim) };
        let (runbook, result) = matched(episode, &shadows);
        let paint = paint_state(result.split([':', ' ']).next().unwrap_or_default());
        table.row([
            Cell::new(first_field(episode, &["name", "alert", "alertname"])).paint(Paint::Bold),
            Cell::new(labels(&episode["labels"])),
            Cell::new(ago(&episode["first_heard"], now)),
            state,
            Cell::new(runbook),
            Cell::new(result).paint(paint),
        ]);
    }
    screen.print(&table.render(screen.ink));
    screen.next(&alerts_next(episodes));
    Ok(Exit::Ok)
}

fn labels(labels: &Value) -> String {
    const SHOWN: usize = 3;
    let Some(map) = labels.as_object() else { return String::new() };
    let mut shown: Vec<String> = map
        .keys()
        .filter(|name| *name != "alertname")
        .map(|name| format!("{name}={}", short(&field(labels, name), 40)))
        .collect();
    shown.sort_by_key(|label| !["name=", "container=", "service="].iter().any(|telling| label.starts_with(telling)));
    let more = shown.len().saturating_sub(SHOWN);
    shown.truncate(SHOWN);
    if more > 0 {
        shown.push(format!("+{more}"));
    }
    shown.join(" ")
}

/// Runs of these episodes that only watched. What an episode says of its runs does not tell; the runs do.
async fn shadows(client: &Client, episodes: &[Value]) -> BTreeSet<String> {
    const RUNS_MAX: &str = "1000";
    let own: Vec<&Value> = episodes.iter().flat_map(|episode| list(episode, "runs")).collect();
    let watched = |runs: &mut dyn Iterator<Item = &Value>| -> BTreeSet<String> {
        runs.filter(|run| run["mode"] == "shadow").map(|run| field(run, "run")).collect()
    };
    if own.iter().all(|run| run["mode"].is_string()) {
        return watched(&mut own.into_iter());
    }
    // A result without that word is better than no list of alerts.
    let answer = client.get("/v1/runs", &[("limit", RUNS_MAX.to_owned())]).await.unwrap_or(Value::Null);
    watched(&mut list(&answer, "runs").iter())
}

/// Which runbook an episode chose and what came of it, or why none was.
fn matched(episode: &Value, shadows: &BTreeSet<String>) -> (String, String) {
    let chosen = list(&episode["matched"], "chosen");
    let name = |value: &Value| value.as_str().map_or_else(|| field(value, "runbook"), str::to_owned);
    let runs = list(episode, "runs");
    let names: Vec<String> =
        if chosen.is_empty() { runs.iter().map(name).collect() } else { chosen.iter().map(name).collect() };
    let outcome = field(episode, "outcome");
    let acted = runs.iter().rfind(|run| !shadows.contains(&field(run, "run")));
    let result = match (acted.or(runs.last()), outcome.is_empty()) {
        (_, false) => outcome,
        (Some(run), true) if acted.is_none() && run["state"] == "succeeded" => "shadow".to_owned(),
        (Some(run), true) => field(run, "state"),
        (None, true) => {
            let why = chosen.first().map(|one| field(one, "target_why")).filter(|why| !why.is_empty());
            why.unwrap_or_else(|| first_field(&episode["matched"], &["why", "reason"]))
        }
    };
    let result =
        if names.is_empty() && result.is_empty() { "no runbook matches".to_owned() } else { short(&result, 60) };
    (names.join(", "), result)
}

fn alerts_next(episodes: &[Value]) -> String {
    if let Some(run) = episodes.iter().flat_map(|episode| list(episode, "runs")).next() {
        return format!("sandbook show {}", shell(&field(run, "run")));
    }
    let Some(episode) = episodes.first() else { return "sandbook status".to_owned() };
    let Some(map) = episode["labels"].as_object() else { return "sandbook runbooks".to_owned() };
    let labels: Vec<String> =
        map.keys().map(|name| shell(&format!("{name}={}", field(&episode["labels"], name)))).collect();
    format!("sandbook match {}", labels.join(" "))
}

pub(super) async fn runbooks(client: &Client, screen: &Screen, args: &RunbooksArgs) -> Result<Exit, Failure> {
    if let Some(prefix) = &args.runbook {
        return runbook(client, screen, prefix).await;
    }
    let answer = client.get("/v1/runbooks", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let runbooks = list(&answer, "runbooks");
    let mut table = Table::new(&["RUNBOOK", "STAGE", "VERSION", "FROM", "HELPED", "RUNS", "SUMMARY"]);
    for runbook in runbooks {
        let stage = field(runbook, "stage");
        table.row([
            Cell::new(field(runbook, "name")).paint(Paint::Bold),
            Cell::new(if runbook["demoted"].is_string() { format!("{stage} (demoted)") } else { stage.clone() })
                .paint(if runbook["demoted"].is_string() { Paint::Bad } else { paint_state(&stage) }),
            field(runbook, "version").into(),
            written(runbook).into(),
            Cell::new(rate(runbook)),
            field(runbook, "runs").into(),
            short(&field(runbook, "summary"), 70).into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    for broken in list(&answer, "broken") {
        let why = list(broken, "problems").first().map(|problem| field(problem, "message")).unwrap_or_default();
        let line = format!("{} cannot be used: {why}; sandbook check {0}", field(broken, "folder"));
        screen.line(&screen.ink.paint(Paint::Bad, &clean(&line)));
    }
    let acting = |runbook: &&Value| matches!(runbook["stage"].as_str(), Some("live" | "ask"));
    let step = match (runbooks.first(), runbooks.iter().find(acting)) {
        (None, _) => "sandbook new my-runbook".to_owned(),
        (Some(first), None) => {
            format!("none may act yet: sandbook promote {} ask --reason \"…\"", shell(&field(first, "name")))
        }
        (Some(_), Some(_)) => "sandbook grants".to_owned(),
    };
    screen.next(&step);
    Ok(Exit::Ok)
}

/// How often it helped, as a percentage.
fn rate(runbook: &Value) -> String {
    let Some(rate) = runbook["success_rate"].as_f64() else { return String::new() };
    let (confirmed, contradicted) = (runbook["confirmed"].as_u64(), runbook["contradicted"].as_u64());
    let of = confirmed.zip(contradicted).map(|(yes, no)| format!(" ({yes} of {})", yes + no));
    format!("{:.0} %{}", rate * 100.0, of.unwrap_or_default())
}

/// Whether it helped, in words, and where it helped least.
fn helped(runbook: &Value) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let rate_of = rate(runbook);
    if !rate_of.is_empty() {
        let unknown = runbook["unknown"].as_u64().filter(|unknown| *unknown > 0);
        let unknown = unknown.map(|unknown| format!(", {unknown} unknown")).unwrap_or_default();
        lines.push(("helped", format!("{rate_of} in the last 30 days{unknown}")));
    }
    let subjects = list(runbook, "subjects").iter().filter(|subject| subject["contradicted"].as_u64() > Some(0));
    lines.extend(
        subjects.take(SUBJECTS_SHOWN).map(|one| ("least on", format!("{}  {}", field(one, "subject"), rate(one)))),
    );
    let needless = runbook["false_positives"].as_u64().filter(|count| *count > 0);
    lines.extend(needless.map(|count| ("needless", format!("{count} times it changed what was well"))));
    lines.extend(runbook["demoted"].as_str().map(|why| ("demoted", format!("the engine put it into shadow: {why}"))));
    lines
}

/// A line for each parameter: `grace=10s  a duration, at most 5m: how long it gets`.
fn takes(parameters: &Value) -> Vec<String> {
    let value = |value: &Value| value.as_object().and_then(|map| map.values().next()).map(summary).unwrap_or_default();
    let line = |(name, one): (&String, &Value)| {
        let default = if one["default"].is_null() { "…".to_owned() } else { value(&one["default"]) };
        let mut said = format!("{name}={default}  {}", field(one, "type"));
        for (word, key) in [("from", "min"), ("to", "max")] {
            if !one[key].is_null() {
                said.push_str(&format!(" {word} {}", value(&one[key])));
            }
        }
        let choices: Vec<&str> = list(one, "choices").iter().filter_map(Value::as_str).collect();
        if !choices.is_empty() {
            said.push_str(&format!(" of {}", choices.join(", ")));
        }
        let pattern = field(one, "pattern");
        if !pattern.is_empty() {
            said.push_str(&format!(" matching {pattern}"));
        }
        let about = field(one, "summary");
        if about.is_empty() { said } else { format!("{said}: {about}") }
    };
    parameters.as_object().into_iter().flatten().map(line).collect()
}

async fn runbook(client: &Client, screen: &Screen, prefix: &str) -> Result<Exit, Failure> {
    let name = super::act::runbook_name(client, prefix).await?;
    let path = format!("/v1/runbooks/{}", segment(&name));
    let (runbook, versions) = (client.get(&path, &[]).await?, client.get(&format!("{path}/versions"), &[]).await?);
    let shadow = client.get(&format!("{path}/shadow"), &[]).await?;
    if screen.json {
        screen.value(&json!({"runbook": runbook, "versions": versions["versions"], "shadow": shadow}));
        return Ok(Exit::Ok);
    }
    let stage = field(&runbook, "stage");
    let summary = clean(&field(&runbook, "summary")).into_owned();
    screen.line(&format!(
        "{}  {}\n{summary}\n",
        screen.ink.paint(Paint::Bold, &clean(&name)),
        screen.ink.paint(paint_state(&stage), &stage)
    ));
    for (title, key) in [("asks for", "requests"), ("warnings", "warnings")] {
        let items: Vec<String> = list(&runbook, key)
            .iter()
            .map(|item| item.as_str().map_or_else(|| field(item, "message"), str::to_owned))
            .collect();
        if !items.is_empty() {
            screen.line(&format!("  {}  {}", screen.ink.paint(Paint::Dim, title), clean(&items.join(", "))));
        }
    }
    for line in takes(&runbook["manifest"]["parameters"]) {
        screen.line(&format!("  {}  {}", screen.ink.paint(Paint::Dim, "takes"), clean(&line)));
    }
    if runbook["next_fire"].is_string() {
        let due = format!("{} (sandbook schedules {})", ago(&runbook["next_fire"], Timestamp::now()), shell(&name));
        screen.line(&format!("  {}  {}", screen.ink.paint(Paint::Dim, "due"), clean(&due)));
    }
    for (title, said) in helped(&runbook) {
        screen.line(&format!("  {}  {}", screen.ink.paint(Paint::Dim, title), clean(&said)));
    }
    for said in super::plan::compared(&shadow) {
        screen.line(&format!("  {}  {}", screen.ink.paint(Paint::Dim, "in shadow"), clean(&said)));
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["VERSION", "DIGEST", "STAGE", "FROM", "BY", "SINCE"]);
    for version in list(&versions, "versions") {
        let stage = field(version, "stage");
        table.row([
            field(version, "version").into(),
            digest(&field(version, "digest")).into(),
            Cell::new(&stage).paint(paint_state(&stage)),
            written(version).into(),
            field(version, "by").into(),
            ago(&version["at"], now).into(),
        ]);
    }
    screen.print(&format!("\n{}", table.render(screen.ink)));
    // What a model drafted is promoted by its digest and in no other way.
    let version = match field(&runbook, "origin").as_str() {
        "llm" => format!("{}@{}", shell(&name), shell(&field(&runbook, "digest"))),
        _ => shell(&name),
    };
    let step = match stage.as_str() {
        "draft" => format!("sandbook promote {version} shadow --reason \"…\""),
        "shadow" => format!("sandbook promote {version} ask --reason \"…\""),
        "ask" => format!("sandbook promote {version} live --reason \"…\""),
        _ => format!("sandbook runs --runbook {}", shell(&name)),
    };
    screen.next(&step);
    Ok(Exit::Ok)
}

/// Where a version is from; that a model drafted it matters more than the way it came.
pub(in crate::cli) fn written(version: &Value) -> String {
    if field(version, "origin") == "llm" { "a model".to_owned() } else { first_field(version, &["source", "origin"]) }
}

pub(super) async fn targets(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let answer = client.get("/v1/targets", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let targets = list(&answer, "targets");
    let mut table = Table::new(&["HOST", "KIND", "NAME", "STATE", "HEALTH", "SERVICE", "IMAGE", "NOTE"]);
    for one in targets {
        let (state, health) = (first_field(one, &["state", "status"]), field(one, "health"));
        let paint = if health == "unhealthy" { Paint::Bad } else { Paint::Plain };
        let service = [field(one, "project"), field(one, "service")]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>();
        let note = if one["protected"] == true { "protected".to_owned() } else { first_field(one, &["note", "error"]) };
        table.row([
            field(one, "host").into(),
            field(one, "kind").into(),
            Cell::new(field(one, "name")).paint(Paint::Bold),
            Cell::new(&state).paint(if state == "running" || state == "up" { Paint::Plain } else { Paint::Warn }),
            Cell::new(if health == "none" { "" } else { &health }).paint(paint),
            service.join("/").into(),
            field(one, "image").into(),
            note.into(),
        ]);
    }
    if targets.is_empty() {
        screen.line("the daemon sees nothing; `sandbook status` says whether it reaches Docker");
    }
    screen.print(&table.render(screen.ink));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_that_was_only_watched_did_not_succeed() {
        let episode = json!({"matched": {"chosen": [{"runbook": "a"}]}, "outcome": null, "runs": [
            {"run": "r1", "runbook": "a", "state": "succeeded"}, {"run": "r2", "runbook": "b", "state": "succeeded"}]});
        let shadows = |runs: &[&str]| runs.iter().map(|run| (*run).to_owned()).collect();
        assert_eq!(matched(&episode, &shadows(&["r1", "r2"])).1, "shadow");
        assert_eq!(matched(&episode, &shadows(&["r2"])).1, "succeeded");
        assert_eq!(matched(&json!({}), &shadows(&[])).1, "no runbook matches");
    }
}
