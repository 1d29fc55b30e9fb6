//! `sandbook drift`: what runs changed that compose files do not know.
//!
//! Deliberately not here: undoing it. Whoever owns the file writes the change there, or lets compose make it anew.

use jiff::Timestamp;

use super::client::Client;
use super::exit::{Exit, Failure};
use super::look::list;
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, field, shell};

pub(super) async fn drift(client: &Client, screen: &Screen) -> Result<Exit, Failure> {
    let answer = client.get("/v1/drift", &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let drifts = list(&answer, "drift");
    if drifts.is_empty() {
        screen.line("no run made a container differ from its compose file");
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["CONTAINER", "DIFFERS IN", "SINCE", "RUN", "STILL"]);
    for one in drifts {
        let still = match one["gone"].as_bool() {
            Some(true) => Cell::new("gone: made anew or removed").paint(Paint::Dim),
            Some(false) => Cell::new("yes"),
            None => Cell::new("unknown").paint(Paint::Dim),
        };
        table.row([
            Cell::new(format!("{}/{}", field(one, "host"), field(one, "container"))).paint(Paint::Bold),
            field(one, "change").into(),
            ago(&one["at"], now).into(),
            field(one, "run").into(),
            still,
        ]);
    }
    screen.print(&table.render(screen.ink));
    if let Some(first) = drifts.iter().find(|one| one["gone"] != true) {
        let run = shell(&field(first, "run"));
        screen.next(&format!("write it into the compose file, or undo it with docker compose up; sandbook show {run}"));
    }
    Ok(Exit::Ok)
}
