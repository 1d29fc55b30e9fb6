//! Grants: permitting one effect, what is permitted, and taking it away again. Thin: the daemon writes and judges policy.
//!
//! Deliberately not here: policies that a person wrote; they are files, and `policy check` reads them.

use reqwest::Method;
use serde_json::{Value, json};

use super::act::runbook_name;
use super::args::{GrantArgs, GrantsArgs};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::look::list;
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{clean, field, shell};

/// `grant`.
pub(super) async fn grant(client: &Client, screen: &Screen, args: &GrantArgs) -> Result<Exit, Failure> {
    let name = runbook_name(client, &args.runbook).await?;
    let body = json!({
        "runbook": name, "effect": args.effect, "container": args.container, "service": args.service,
        "host": args.host, "limit": args.limit, "ask": args.ask,
    });
    let answer = client.send(Method::POST, "/v1/grants", Some(&body)).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    for line in field(&answer, "cedar").lines() {
        screen.line(&clean(line));
    }
    let file = field(&answer, "file");
    let said = match field(&answer, "change").as_str() {
        "unchanged" => "it stood already in",
        "replaced" => "replaced in",
        _ => "added to",
    };
    screen.line(&format!("\n{} {}", screen.ink.paint(Paint::Dim, said), clean(&file)));
    let runbook = client.get(&format!("/v1/runbooks/{}", segment(&name)), &[]).await.unwrap_or(Value::Null);
    let step = match field(&runbook, "stage").as_str() {
        "draft" | "shadow" => format!("it is only watching: sandbook promote {} ask --reason \"…\"", shell(&name)),
        _ => format!("sandbook grants {}", shell(&name)),
    };
    screen.next(&step);
    Ok(Exit::Ok)
}

/// `grants`: what there is, or without one of them.
pub(super) async fn grants(client: &Client, screen: &Screen, args: &GrantsArgs) -> Result<Exit, Failure> {
    if let Some(id) = &args.remove {
        return remove(client, screen, id).await;
    }
    let answer = client.get("/v1/grants", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["RUNBOOK", "", "EFFECTS", "ON", "LIMIT", "ASKS", "WHERE", "ID"]);
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
            // The name of what a person wrote is where it stands.
            Cell::new(if grant["granted"] == true { field(grant, "id") } else { String::new() }).paint(Paint::Dim),
        ]);
    }
    if grants.is_empty() {
        screen.line("nothing is granted: no runbook may change anything");
        screen.next("sandbook grant RUNBOOK EFFECT --container NAME; a refused run names the exact line");
        return Ok(Exit::Ok);
    }
    screen.print(&table.render(screen.ink));
    if let Some(grant) = grants.iter().find(|grant| grant["granted"] == true) {
        screen.next(&format!("sandbook grants --remove {} takes that one away", shell(&field(grant, "id"))));
    }
    Ok(Exit::Ok)
}

async fn remove(client: &Client, screen: &Screen, id: &str) -> Result<Exit, Failure> {
    let answer = client.send(Method::DELETE, &format!("/v1/grants/{}", segment(id)), None).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    for line in field(&answer, "cedar").lines() {
        screen.line(&clean(line));
    }
    let said = screen.ink.paint(Paint::Dim, "taken out of");
    screen.line(&format!("\n{said} {}", clean(&field(&answer, "file"))));
    screen.next("sandbook grants");
    Ok(Exit::Ok)
}
