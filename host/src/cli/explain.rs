//! What happened in a run as prose, and as a report to paste into a ticket.
//!
//! Deliberately not here: making either, which the daemon does, and the pages of error codes, see [`super::local`].

use serde_json::Value;

use super::args::{ExplainArgs, ReportArgs};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::look::list;
use super::runs::run_id;
use super::screen::{Paint, Screen};
use super::text::{clean, field, shell};

pub(super) async fn run(client: &Client, screen: &Screen, args: &ExplainArgs) -> Result<Exit, Failure> {
    let run = args.run.as_deref().unwrap_or("last");
    if args.code != "run" {
        let message = format!("`{}` stands before a run", clean(&args.code));
        return Err(Failure::usage(message, format!("sandbook explain run {}", shell(run))));
    }
    let path = format!("/v1/runs/{}/explanation", segment(&run_id(client, run).await?));
    let answer = client.get(&path, &reworded(args.reword)).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    plainly(screen, &answer);
    for sentence in list(&answer, "sentences") {
        let links: Vec<String> = list(sentence, "links").iter().map(link).collect();
        let links = screen.ink.paint(Paint::Dim, &format!("[{}]", links.join(", ")));
        screen.line(&format!("{} {links}", clean(&field(sentence, "text"))));
    }
    screen.next(&format!("sandbook report {}", shell(&field(&answer, "run"))));
    Ok(Exit::Ok)
}

/// What the daemon is asked besides.
fn reworded(reword: bool) -> Vec<(&'static str, String)> {
    if reword { vec![("reword", "true".to_owned())] } else { Vec::new() }
}

/// Says why a model's words were wanted and are not there; on stderr, so that a report stays a report.
fn plainly(screen: &Screen, answer: &Value) {
    if let Some(why) = answer["plain_because"].as_str() {
        screen.error(&format!(
            "in plain words: {}
",
            clean(why)
        ));
    }
}

/// `record 4`, as `sandbook journal` counts them; `run` where no record says it.
fn link(link: &Value) -> String {
    link["record"].as_u64().map_or_else(|| "run".to_owned(), |record| format!("record {record}"))
}

pub(super) async fn report(client: &Client, screen: &Screen, args: &ReportArgs) -> Result<Exit, Failure> {
    let path = format!("/v1/runs/{}/report", segment(&run_id(client, &args.run).await?));
    let answer = client.get(&path, &reworded(args.reword)).await?;
    if screen.json {
        screen.value(&answer);
    } else {
        plainly(screen, &answer);
        // Markdown holds no control characters: the daemon took them out.
        screen.print(&field(&answer, "markdown"));
    }
    Ok(Exit::Ok)
}
