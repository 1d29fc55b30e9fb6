//! `brakes` and `rearm`: what tripped, how full every window is, and letting it go on.
//!
//! Deliberately not here: pauses and the stop switch, see [`super::rules`] and [`super::act`].

use jiff::Timestamp;
use reqwest::Method;
use sandbook_core::duration::DurationMs;
use serde_json::{Value, json};

use super::args::RearmArgs;
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::look::list;
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, clean, count, field, shell};

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
    screen.print(&tables(brakes, screen, Timestamp::now()));
    if let Some(tripped) = brakes.iter().find(|brake| brake["state"] == "tripped") {
        let (run, id) = (shell(&field(tripped, "run")), shell(&field(tripped, "id")));
        screen.next(&format!("sandbook show {run}, and once the cause is found sandbook rearm {id} --reason \"…\""));
    } else if brakes.iter().any(|brake| brake["state"] == "full") {
        screen.next("one more attempt trips a full window: sandbook runs shows why it acts so often");
    }
    Ok(Exit::Ok)
}

/// What tripped, with what a person needs to re-arm it; below it what only counts.
fn tables(brakes: &[Value], screen: &Screen, now: Timestamp) -> String {
    let (tripped, counting): (Vec<&Value>, Vec<&Value>) = brakes.iter().partition(|brake| brake["state"] == "tripped");
    let mut text = String::new();
    if !tripped.is_empty() {
        let mut table = Table::new(&["TRIPPED", "HOLDS BACK", "COUNTED", "LIMIT", "BY RUN", "SINCE"]);
        for brake in &tripped {
            table.row([
                Cell::new(field(brake, "id")).paint(Paint::Bad),
                Cell::new(field(brake, "about")).paint(Paint::Bold),
                counted(brake).into(),
                field(brake, "label").into(),
                field(brake, "run").into(),
                ago(&brake["at"], now).into(),
            ]);
        }
        text.push_str(&table.render(screen.ink));
    }
    if !tripped.is_empty() && !counting.is_empty() {
        text.push('\n');
    }
    if !counting.is_empty() {
        let mut table = Table::new(&["WINDOW OF", "COUNTED", "LIMIT", "NEWEST", "ROOM AGAIN"]);
        for brake in &counting {
            let paint = if brake["state"] == "full" { Paint::Warn } else { Paint::Plain };
            table.row([
                field(brake, "about").into(),
                Cell::new(counted(brake)).paint(paint),
                field(brake, "label").into(),
                ago(&brake["at"], now).into(),
                ago(&brake["room_at"], now).into(),
            ]);
        }
        text.push_str(&table.render(screen.ink));
    }
    text
}

/// `3 of 3 attempts in 1h`.
fn counted(brake: &Value) -> String {
    let what = if brake["scope"] == "storm" { "container" } else { "attempt" };
    let limit = brake["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
    let within = DurationMs(brake["window_ms"].as_u64().unwrap_or(0));
    format!("{} of {} in {within}", field(brake, "attempts"), count(limit, what))
}

pub(super) async fn rearm(client: &Client, screen: &Screen, args: &RearmArgs) -> Result<Exit, Failure> {
    let path = format!("/v1/brakes/{}/rearm", segment(&args.id));
    let answer = client.send(Method::POST, &path, Some(&json!({"reason": args.reason}))).await?;
    if screen.json {
        screen.value(&answer);
    } else {
        let (id, about, label) = (field(&answer, "id"), field(&answer, "about"), field(&answer, "label"));
        screen.line(&clean(&format!("re-armed {id}: {about} may go on, {label} counts afresh")));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tripped_stands_first_with_what_re_arms_it() {
        let brakes = [
            json!({"id": "t_1", "state": "tripped", "scope": "storm", "about": "host local", "attempts": 3, "limit": 3,
                "window_ms": 600_000, "label": "brakes.storm", "run": "r_9", "at": "2026-01-02T09:50:00Z"}),
            json!({"id": "x", "state": "full", "scope": "subject", "about": "local/web", "attempts": 1, "limit": 1,
                "window_ms": 3_600_000, "label": "brakes.per_target = 1/1h", "at": "2026-01-02T09:50:00Z",
                "room_at": "2026-01-02T10:50:00Z"}),
        ];
        let text = tables(&brakes, &Screen::default(), "2026-01-02T10:00:00Z".parse().expect("a time"));
        assert!(text.contains("3 of 3 containers in 10m") && text.contains("1 of 1 attempt in 1h"), "{text}");
        let (tripped, full) = (text.find("t_1").expect("there"), text.find("local/web").expect("there"));
        assert!(tripped < full && text.contains("r_9") && text.contains("in 50 min"), "{text}");
    }
}
