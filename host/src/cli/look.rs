//! What is going on: status, alerts, runbooks, targets. Each command ends with what to do next.
//!
//! Deliberately not here: runs, see [`super::runs`], and changing anything, see [`super::act`].

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{AlertsArgs, RunbooksArgs};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, clean, digest, field, first_field, shell, short, took};

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

pub(super) async fn status(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let status = client.get("/status", &[]).await?;
    if screen.json {
        screen.value(&status);
        return Ok(Exit::Ok);
    }
    screen.line(&format!("sandbook {} at {}\n", clean(&field(&status, "version")), client.address()));
    let Some(object) = status.as_object() else { return Ok(Exit::Ok) };
    let mut table = Table::new(&["", ""]);
    for (name, value) in object.iter().filter(|(name, value)| !quiet(name, value)) {
        let said = match (name.strip_suffix("_ms"), value.as_u64()) {
            (Some(_), Some(ms)) => took(ms),
            (_, _) if matches!(name.as_str(), "runs" | "runbooks") => counts(value),
            (_, _) => summary(value),
        };
        let paint = if bad(value) { Paint::Bad } else { Paint::Plain };
        table.row([
            Cell::new(name.trim_end_matches("_ms").replace('_', " ")).paint(Paint::Dim),
            Cell::new(said).paint(paint),
        ]);
    }
    screen.print(&table.render(screen.ink).lines().skip(1).map(|line| format!("  {line}\n")).collect::<String>());
    screen.next(&status_next(client, &status).await);
    Ok(Exit::Ok)
}

/// What nobody asks about: identities, and parts in which nothing stands.
fn quiet(name: &str, value: &Value) -> bool {
    matches!(name, "version" | "next" | "instance" | "started_at")
        || value.is_null()
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
        Ok(answer) if list(&answer, "alerts").is_empty() => {
            "no alert has arrived yet: sandbook config alertmanager prints the receiver to paste".to_owned()
        }
        Ok(_) | Err(_) => "sandbook alerts".to_owned(),
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
    let now = Timestamp::now();
    let mut table = Table::new(&["ALERT", "LABELS", "HEARD", "STATE", "RUNBOOK", "RESULT"]);
    for episode in episodes {
        let open = episode["resolved_at"].is_null() && episode["superseded"] != true;
        let state = if open { Cell::new("firing").paint(Paint::Warn) } else { Cell::new("over").paint(Paint::Dim) };
        let (runbook, result) = matched(episode);
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

/// Which runbook an episode chose and what came of it, or why none was.
fn matched(episode: &Value) -> (String, String) {
    let chosen = list(&episode["matched"], "chosen");
    let name = |value: &Value| value.as_str().map_or_else(|| field(value, "runbook"), str::to_owned);
    let runs = list(episode, "runs");
    let names: Vec<String> =
        if chosen.is_empty() { runs.iter().map(name).collect() } else { chosen.iter().map(name).collect() };
    let outcome = field(episode, "outcome");
    let result = match (runs.last(), outcome.is_empty()) {
        (_, false) => outcome,
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
            Cell::new(&stage).paint(paint_state(&stage)),
            field(runbook, "version").into(),
            first_field(runbook, &["source", "origin"]).into(),
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
    let rate = [&runbook["success_rate"], &runbook["success"]["rate"]].into_iter().find_map(Value::as_f64);
    rate.map(|rate| format!("{:.0} %", rate * 100.0)).unwrap_or_default()
}

async fn runbook(client: &Client, screen: &Screen, prefix: &str) -> Result<Exit, Failure> {
    let name = super::act::runbook_name(client, prefix).await?;
    let path = format!("/v1/runbooks/{}", segment(&name));
    let (runbook, versions) = (client.get(&path, &[]).await?, client.get(&format!("{path}/versions"), &[]).await?);
    if screen.json {
        screen.value(&json!({"runbook": runbook, "versions": versions["versions"]}));
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
    let now = Timestamp::now();
    let mut table = Table::new(&["VERSION", "DIGEST", "STAGE", "FROM", "BY", "SINCE"]);
    for version in list(&versions, "versions") {
        let stage = field(version, "stage");
        table.row([
            field(version, "version").into(),
            digest(&field(version, "digest")).into(),
            Cell::new(&stage).paint(paint_state(&stage)),
            field(version, "source").into(),
            field(version, "by").into(),
            ago(&version["at"], now).into(),
        ]);
    }
    screen.print(&format!("\n{}", table.render(screen.ink)));
    let step = match stage.as_str() {
        "draft" => format!("sandbook promote {} shadow --reason \"…\"", shell(&name)),
        "shadow" => format!("sandbook promote {} ask --reason \"…\"", shell(&name)),
        "ask" => format!("sandbook promote {} live --reason \"…\"", shell(&name)),
        _ => format!("sandbook runs --runbook {}", shell(&name)),
    };
    screen.next(&step);
    Ok(Exit::Ok)
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
