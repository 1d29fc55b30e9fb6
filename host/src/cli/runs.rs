//! Runs: the list, one with its story, its records.
//!
//! Deliberately not here: how a story is told, see [`super::timeline`], and following one, see [`super::watch`].

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{JournalArgs, RunsArgs, ShowArgs};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::look::{list, paint_state, since};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, between_ms, clean, field, first_field, shell, short, target, time, took};
use super::{similar, timeline};

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

pub(super) async fn runs(client: &Client, screen: &Screen, args: &RunsArgs) -> Result<Exit, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in
        [("state", &args.state), ("runbook", &args.runbook), ("target", &args.target), ("cursor", &args.cursor)]
    {
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
    if let Some(cursor) = answer["next_cursor"].as_str() {
        screen.line(&format!("\n{} {}", screen.ink.paint(Paint::Dim, "older:"), clean(&older(args, cursor))));
    }
    screen.next(&step);
    Ok(Exit::Ok)
}

/// The next page as a line to type: the same filters, from the cursor on.
fn older(args: &RunsArgs, cursor: &str) -> String {
    const LIMIT: u32 = 20;
    let limit = (args.limit != LIMIT).then(|| args.limit.to_string());
    let mut line = "sandbook runs".to_owned();
    for (name, value) in [
        ("state", &args.state),
        ("runbook", &args.runbook),
        ("target", &args.target),
        ("since", &args.since),
        ("limit", &limit),
        ("cursor", &Some(cursor.to_owned())),
    ] {
        if let Some(value) = value {
            line.push_str(&format!(" --{name} {}", shell(value)));
        }
    }
    line
}

/// A run and all of its records.
pub(super) async fn run_and_records(client: &Client, word: &str) -> Result<(Value, Vec<Value>), Failure> {
    let path = format!("/v1/runs/{}", segment(&run_id(client, word).await?));
    let mut run = client.get(&path, &[]).await?;
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
            Some(cursor) if query.first().is_none_or(|(_, before)| *before != cursor) => {
                query = vec![("cursor", cursor)]
            }
            Some(_) | None => break,
        }
    }
    name_alert(client, &mut run, &records).await;
    Ok((run, records))
}

/// A run that ended before it began has no header that names its alert; its episode does.
async fn name_alert(client: &Client, run: &mut Value, records: &[Value]) {
    let header = |record: &Value| record["header"]["alert"].is_object() || record["alert"].is_object();
    if run["alert"].is_object() || records.iter().any(header) {
        return;
    }
    let Some(id) = run["episode"].as_str() else { return };
    // Without it the story only lacks the alert's name.
    if let Ok(episode) = client.get(&format!("/v1/alerts/{}", segment(id)), &[]).await {
        run["alert"] = json!({"name": episode["name"], "labels": episode["labels"]});
    }
}

pub(super) async fn show(client: &Client, screen: &Screen, args: &ShowArgs) -> Result<Exit, Failure> {
    let (run, records) = run_and_records(client, &args.run).await?;
    let similar = similar::of(client, &run).await;
    if screen.json {
        let next = timeline::next_step(&run, &records);
        screen.value(&json!({"run": run, "records": records, "similar": similar, "next": next}));
        return Ok(Exit::Ok);
    }
    let options = timeline::Options { ink: screen.ink, full: args.full, now: Some(Timestamp::now()) };
    screen.print(&timeline::render(&run, &records, options));
    screen.print(&similar::render(&similar, screen.ink));
    Ok(Exit::Ok)
}

pub(super) async fn journal(client: &Client, screen: &Screen, args: &JournalArgs) -> Result<Exit, Failure> {
    if let Some(path) = &args.export {
        return super::replay::export(client, screen, &args.run, path).await;
    }
    let (run, records) = run_and_records(client, &args.run).await?;
    if screen.json {
        screen.value(&json!({"run": run, "records": records}));
    } else if records.is_empty() {
        let over = run["finished_at"].is_string();
        screen.line(if over { "nothing was recorded of it" } else { "nothing is recorded of it yet" });
    } else {
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
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_can_be_typed() {
        let mut args = RunsArgs { state: None, runbook: None, target: None, since: None, limit: 20, cursor: None };
        assert_eq!(older(&args, "1700.r_1"), "sandbook runs --cursor 1700.r_1");
        (args.target, args.limit) = (Some("web 1".to_owned()), 5);
        assert_eq!(older(&args, "c"), "sandbook runs --target 'web 1' --limit 5 --cursor c");
    }
}
