//! What holds runbooks back, and what was decided: approvals, grants, pauses, brakes, the audit.
//!
//! Deliberately not here: changing any of it, see [`super::act`].

use jiff::Timestamp;
use serde_json::Value;

use super::args::{AuditArgs, GrantsArgs};
use super::client::Client;
use super::exit::{Exit, Failure};
use super::look::{list, paint_state, since, summary};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, count, field, first_field, shell, short, target};

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
        let state = field(brake, "state");
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
    if brakes.iter().any(|brake| brake["state"] == "full") {
        screen.next("find out why it acted so often: sandbook runs; a full window has room again by itself");
    }
    Ok(Exit::Ok)
}

pub(super) async fn audit(client: &Client, screen: &Screen, args: &AuditArgs) -> Result<Exit, Failure> {
    let answer = client.get("/v1/audit", &[("since", since(&args.since)?)]).await?;
    if screen.json {
        screen.value(&answer);
    } else {
        let mut table = Table::new(&["#", "AT", "WHO", "WHAT", "ON", "DETAILS"]);
        let rows =
            [list(&answer, "audit"), list(&answer, "entries")].into_iter().find(|rows| !rows.is_empty()).unwrap_or(&[]);
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
