//! `schedules`: what is due when, in the words of the place, and why nothing happens where nothing does.
//!
//! Deliberately not here: changing one. A schedule stands in the manifest; `pause` holds it back.

use jiff::Timestamp;
use serde_json::Value;

use super::args::SchedulesArgs;
use super::client::Client;
use super::exit::{Exit, Failure};
use super::look::{list, paint_state};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, clean, field, shell};

pub(super) async fn schedules(client: &Client, screen: &Screen, args: &SchedulesArgs) -> Result<Exit, Failure> {
    let mut query = vec![("count", args.next.to_string())];
    query.extend(args.runbook.iter().map(|name| ("runbook", name.clone())));
    let answer = client.get("/v1/schedules", &query).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let found = list(&answer, "schedules");
    if found.is_empty() {
        screen.line(match &args.runbook {
            Some(_) => "it has no schedule",
            None => "no runbook in force has a schedule",
        });
        screen.next("add [[trigger]] schedule = \"0 3 * * *\" to a manifest and push it");
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["RUNBOOK", "SCHEDULE", "STATE", "NEXT", "LAST"]);
    for one in found {
        let state = field(one, "state");
        table.row([
            Cell::new(field(one, "runbook")).paint(Paint::Bold),
            format!("{} {}", field(one, "schedule"), field(one, "timezone")).into(),
            Cell::new(&state).paint(if state == "on" { Paint::Good } else { paint_state(&state) }),
            list(one, "next").first().map(|due| coming(due, now)).unwrap_or_default().into(),
            last(&one["last"], now).into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    for one in found {
        explain(screen, one, now, args.next > 1);
    }
    screen.next(&next_step(found));
    Ok(Exit::Ok)
}

/// `2026-03-29 02:30 (in 5 h)`.
fn coming(due: &Value, now: Timestamp) -> String {
    format!("{} ({})", field(due, "clock"), ago(&due["at"], now))
}

/// `started 3 h ago`.
fn last(fire: &Value, now: Timestamp) -> String {
    if fire.is_null() { "never yet".to_owned() } else { format!("{} {}", field(fire, "result"), ago(&fire["at"], now)) }
}

/// What the table has no room for: why, where the clock is moved, further times.
fn explain(screen: &Screen, one: &Value, now: Timestamp, all: bool) {
    let name = field(one, "runbook");
    let mut lines = Vec::new();
    let why = field(one, "why");
    if !why.is_empty() {
        lines.push(why);
    }
    let given = one["parameters"].as_object().into_iter().flatten();
    let given: Vec<String> =
        given.map(|(name, text)| format!("{name}={}", text.as_str().unwrap_or_default())).collect();
    if !given.is_empty() {
        lines.push(format!("given {}", given.join(" ")));
    }
    let fire = &one["last"];
    let why = field(fire, "why");
    if !why.is_empty() {
        lines.push(format!("last time {}: {why}", field(fire, "result")));
    }
    for due in list(one, "next") {
        let note = field(due, "note");
        match (all, note.is_empty()) {
            (true, true) => lines.push(format!("due {}", coming(due, now))),
            (_, false) => lines.push(format!("due {}: {note}", coming(due, now))),
            (false, true) => {}
        }
    }
    for line in lines {
        screen.line(&format!("  {}  {}", screen.ink.paint(Paint::Dim, &clean(&name)), clean(&line)));
    }
}

fn next_step(found: &[Value]) -> String {
    if let Some(run) = found.iter().map(|one| field(&one["last"], "run")).find(|run| !run.is_empty()) {
        return format!("sandbook show {}", shell(&run));
    }
    let watching = found.iter().find(|one| one["state"] == "watching");
    match watching {
        Some(one) => {
            format!("it only watches: sandbook promote {} ask --reason \"…\"", shell(&field(one, "runbook")))
        }
        None => "sandbook schedules RUNBOOK --next 5 shows its coming times".to_owned(),
    }
}
