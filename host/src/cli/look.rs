//! Commands that look: status, alerts, runbooks, targets, runs and what is kept of them. Each ends with what to do next.
//!
//! Deliberately not here: changing anything, see [`super::act`].

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{AlertsArgs, AuditArgs, GrantsArgs, JournalArgs, RunbooksArgs, RunsArgs, ShowArgs};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, between_ms, clean, count, digest, field, first_field, shell, short, target, time, took};
use super::timeline;

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

/// The id of a run: `last` is the newest.
pub(super) async fn run_id(client: &Client, word: &str) -> Result<String, Failure> {
    if word != "last" {
        return Ok(word.to_owned());
    }
    let answer = client.get("/v1/runs", &[("limit", "1".to_owned())]).await?;
    list(&answer, "runs")
        .first()
        .map(|run| field(run, "run"))
        .ok_or_else(|| Failure::failed("there is no run yet", "start one: sandbook run RUNBOOK TARGET"))
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
    for (name, value) in object.iter().filter(|(name, _)| *name != "version" && *name != "next") {
        let said = summary(value);
        let paint = if bad(value) { Paint::Bad } else { Paint::Plain };
        table.row([Cell::new(name.replace('_', " ")).paint(Paint::Dim), Cell::new(said).paint(paint)]);
    }
    screen.print(&table.render(screen.ink).lines().skip(1).map(|line| format!("  {line}\n")).collect::<String>());
    screen.next(&status_next(client, &status).await);
    Ok(Exit::Ok)
}

/// A part of the status on a line: nested facts as `name value`, lists by name.
fn summary(value: &Value) -> String {
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
                _ if name == "name" || name == "status" => Some(summary(value)),
                Value::Number(ms) if name.ends_with("_ms") => {
                    Some(format!("{} {}", name.trim_end_matches("_ms").replace('_', " "), took(ms.as_u64().unwrap_or(0))))
                }
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
            map.get("ok") == Some(&Value::Bool(false)) || matches!(map.get("status").and_then(Value::as_str), Some("down" | "error"))
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
        return format!("{} a person: sandbook approvals", match list(&answer, "approvals").len() {
            1 => "1 question waits for".to_owned(),
            many => format!("{many} questions wait for"),
        });
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
    let names: Vec<String> = if chosen.is_empty() { runs.iter().map(name).collect() } else { chosen.iter().map(name).collect() };
    let outcome = field(episode, "outcome");
    let result = match (runs.last(), outcome.is_empty()) {
        (_, false) => outcome,
        (Some(run), true) => field(run, "state"),
        (None, true) => {
            let why = chosen.first().map(|one| field(one, "target_why")).filter(|why| !why.is_empty());
            why.unwrap_or_else(|| first_field(&episode["matched"], &["why", "reason"]))
        }
    };
    let result = if names.is_empty() && result.is_empty() { "no runbook matches".to_owned() } else { short(&result, 60) };
    (names.join(", "), result)
}

fn alerts_next(episodes: &[Value]) -> String {
    if let Some(run) = episodes.iter().flat_map(|episode| list(episode, "runs")).next() {
        return format!("sandbook show {}", shell(&field(run, "run")));
    }
    let Some(episode) = episodes.first() else { return "sandbook status".to_owned() };
    let Some(map) = episode["labels"].as_object() else { return "sandbook runbooks".to_owned() };
    let labels: Vec<String> = map.keys().map(|name| shell(&format!("{name}={}", field(&episode["labels"], name)))).collect();
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
    screen.line(&format!("{}  {}\n{summary}\n", screen.ink.paint(Paint::Bold, &clean(&name)), screen.ink.paint(paint_state(&stage), &stage)));
    for (title, key) in [("asks for", "requests"), ("warnings", "warnings")] {
        let items: Vec<String> =
            list(&runbook, key).iter().map(|item| item.as_str().map_or_else(|| field(item, "message"), str::to_owned)).collect();
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
        let service = [field(one, "project"), field(one, "service")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
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

pub(super) async fn runs(client: &Client, screen: &Screen, args: &RunsArgs) -> Result<Exit, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in [("state", &args.state), ("runbook", &args.runbook), ("target", &args.target), ("cursor", &args.cursor)] {
        if let Some(value) = value {
            query.push((name, value.clone()));
        }
    }
    if let Some(text) = &args.since {
        query.push(("since", since(text)?));
    }
    let answer = client.get("/v1/runs", &query).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let runs = list(&answer, "runs");
    if runs.is_empty() {
        screen.line("no runs");
        screen.next("sandbook alerts");
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["RUN", "RUNBOOK", "TARGET", "MODE", "STARTED", "TOOK", "OUTCOME", "VERIFIED", ""]);
    for run in runs {
        let outcome = first_field(run, &["outcome", "state"]);
        let verified = run["verification"].as_str().map_or_else(|| field(&run["verification"], "state"), str::to_owned);
        let span = time(&run["started_at"]).zip(time(&run["finished_at"])).map(|(from, to)| took(between_ms(from, to)));
        table.row([
            Cell::new(field(run, "run")),
            Cell::new(field(run, "runbook")).paint(Paint::Bold),
            target(&run["target"]).into(),
            Cell::new(field(run, "mode")).paint(Paint::Dim),
            ago(if run["started_at"].is_null() { &run["at"] } else { &run["started_at"] }, now).into(),
            span.unwrap_or_default().into(),
            Cell::new(&outcome).paint(paint_state(&outcome)),
            Cell::new(&verified).paint(paint_state(&verified)),
            short(&field(run, "sentence"), 60).into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    let step = match runs.iter().find(|run| run["state"] == "needs-attention") {
        Some(run) => format!("sandbook show {}", shell(&field(run, "run"))),
        None => "sandbook show last".to_owned(),
    };
    let more = answer["next_cursor"].as_str().map(|cursor| format!("; older: --cursor {}", shell(cursor))).unwrap_or_default();
    screen.next(&format!("{step}{more}"));
    Ok(Exit::Ok)
}

/// A run and all of its records.
pub(super) async fn run_and_records(client: &Client, word: &str) -> Result<(Value, Vec<Value>), Failure> {
    let path = format!("/v1/runs/{}", segment(&run_id(client, word).await?));
    let run = client.get(&path, &[]).await?;
    let mut records = Vec::new();
    let mut query: Vec<(&str, String)> = Vec::new();
    loop {
        let mut page = client.get(&format!("{path}/journal"), &query).await?;
        let cursor = page["next_cursor"].as_str().map(str::to_owned);
        if let Value::Array(more) = page["records"].take() {
            records.extend(more);
        }
        match cursor {
            // The same cursor twice would go on for ever.
            Some(cursor) if query.first().is_none_or(|(_, before)| *before != cursor) => query = vec![("cursor", cursor)],
            Some(_) | None => return Ok((run, records)),
        }
    }
}

pub(super) async fn show(client: &Client, screen: &Screen, args: &ShowArgs) -> Result<Exit, Failure> {
    let (run, records) = run_and_records(client, &args.run).await?;
    if screen.json {
        let next = timeline::next_step(&run, &records);
        screen.value(&json!({"run": run, "records": records, "next": next}));
        return Ok(Exit::Ok);
    }
    let options = timeline::Options { ink: screen.ink, full: args.full, now: Some(Timestamp::now()) };
    screen.print(&timeline::render(&run, &records, options));
    Ok(Exit::Ok)
}

pub(super) async fn journal(client: &Client, screen: &Screen, args: &JournalArgs) -> Result<Exit, Failure> {
    let (run, records) = run_and_records(client, &args.run).await?;
    let whole = json!({"run": run, "records": records});
    match &args.export {
        Some(path) if path.as_os_str() == "-" => screen.value(&whole),
        Some(path) => {
            std::fs::write(path, format!("{whole:#}\n")).map_err(|error| {
                Failure::failed(format!("{} cannot be written: {error}", path.display()), "check the folder and its permissions")
            })?;
            if screen.json {
                screen.value(&json!({"file": path, "records": records.len()}));
            } else {
                screen.line(&format!("{} written to {}", count(records.len(), "record"), path.display()));
            }
        }
        None if screen.json => screen.value(&whole),
        None => {
            let mut table = Table::new(&["AT", "SLOT", "KIND", "WHAT", ""]);
            for record in &records {
                let [slot, kind, what, said] = timeline::line(record);
                table.row([
                    Cell::new(field(record, "at")).paint(Paint::Dim),
                    slot.into(),
                    kind.into(),
                    Cell::new(what).paint(Paint::Bold),
                    said.into(),
                ]);
            }
            screen.print(&table.render(screen.ink));
        }
    }
    Ok(Exit::Ok)
}

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
    let mut table = Table::new(&["ID", "RUNBOOK", "WANTS", "ON", "BECAUSE", "ASKED", "EXPIRES"]);
    for one in approvals {
        table.row([
            field(one, "id").into(),
            Cell::new(field(one, "runbook")).paint(Paint::Bold),
            field(one, "effect").into(),
            target(&one["target"]).into(),
            short(&field(one, "reason"), 60).into(),
            ago(&one["at"], now).into(),
            ago(&one["expires_at"], now).into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    let first = shell(&field(&approvals[0], "id"));
    screen.next(&format!("sandbook show {}, then sandbook approve {first}", shell(&field(&approvals[0], "run"))));
    Ok(Exit::Ok)
}

pub(super) async fn grants(client: &Client, screen: &Screen, args: &GrantsArgs) -> Result<Exit, Failure> {
    let answer = client.get("/v1/grants", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["RUNBOOK", "", "EFFECTS", "ON", "LIMIT", "ASKS", "WHERE"]);
    let wanted = |grant: &&Value| {
        let name = field(grant, "runbook");
        args.runbook.as_ref().is_none_or(|prefix| name.is_empty() || name.starts_with(prefix.as_str()))
    };
    let grants: Vec<&Value> = list(&answer, "grants").iter().filter(wanted).collect();
    for grant in &grants {
        let (name, forbids) = (field(grant, "runbook"), grant["kind"] == "forbid");
        let effects: Vec<&str> = list(grant, "effects").iter().filter_map(Value::as_str).collect();
        let line = field(grant, "line");
        table.row([
            Cell::new(if name.is_empty() { "every runbook" } else { &name }).paint(Paint::Bold),
            if forbids { Cell::new("may not").paint(Paint::Bad) } else { Cell::new("may").paint(Paint::Good) },
            Cell::new(if effects.is_empty() { "every effect".to_owned() } else { effects.join(", ") }),
            field(grant, "resource").into(),
            field(grant, "limit").into(),
            Cell::new(if grant["ask"] == true { "a person" } else { "" }),
            Cell::new(format!("{}:{line}", field(grant, "file"))).paint(Paint::Dim),
        ]);
    }
    if grants.is_empty() {
        screen.line("nothing is granted: no runbook may change anything");
        screen.next("sandbook grant RUNBOOK EFFECT --container NAME; a refused run names the exact line");
        return Ok(Exit::Ok);
    }
    screen.print(&table.render(screen.ink));
    Ok(Exit::Ok)
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
        let selector = summary(&pause["selector"]);
        let selector = if selector.is_empty() { "everything".to_owned() } else { selector };
        table.row([
            field(pause, "id").into(),
            Cell::new(selector).paint(Paint::Bold),
            ago(&pause["until"], now).into(),
            field(pause, "by").into(),
            field(pause, "reason").into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    screen.next(&format!("sandbook pauses --end {}", shell(&field(&pauses[0], "id"))));
    Ok(Exit::Ok)
}

pub(super) async fn brakes(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let answer = client.get("/v1/brakes", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let brakes = list(&answer, "brakes");
    if brakes.is_empty() {
        screen.line("no brake has counted anything");
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["ID", "STATE", "LIMIT", "ATTEMPTS", "RUNBOOK", "SUBJECT", "SINCE"]);
    for brake in brakes {
        let state = if brake["tripped"] == true { "tripped".to_owned() } else { field(brake, "state") };
        table.row([
            field(brake, "id").into(),
            Cell::new(&state).paint(paint_state(&state)),
            first_field(brake, &["label", "limit"]).into(),
            first_field(brake, &["attempts", "count"]).into(),
            field(brake, "runbook").into(),
            first_field(brake, &["subject", "target", "host"]).into(),
            ago(&brake["at"], now).into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    if let Some(brake) = brakes.iter().find(|brake| brake["tripped"] == true || brake["state"] == "tripped") {
        screen.next(&format!("find out why it acted so often, then sandbook rearm {}", shell(&field(brake, "id"))));
    }
    Ok(Exit::Ok)
}

pub(super) async fn audit(client: &Client, screen: &Screen, args: &AuditArgs) -> Result<Exit, Failure> {
    let answer = client.get("/v1/audit", &[("since", since(&args.since)?)]).await?;
    if screen.json {
        screen.value(&answer);
    } else {
        let mut table = Table::new(&["#", "AT", "WHO", "WHAT", "ON", "DETAILS"]);
        let rows = [list(&answer, "audit"), list(&answer, "entries")].into_iter().find(|rows| !rows.is_empty()).unwrap_or(&[]);
        for row in rows {
            let details = summary(&row["details"]);
            table.row([
                Cell::new(field(row, "seq")).paint(Paint::Dim),
                field(row, "at").into(),
                Cell::new(field(row, "who")).paint(Paint::Bold),
                field(row, "what").into(),
                field(row, "subject").into(),
                short(if details == "none" { "" } else { &details }, 100).into(),
            ]);
        }
        screen.print(&table.render(screen.ink));
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

