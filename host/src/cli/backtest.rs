//! `backtest`: what a version would have done about the alerts of the last days, told while the daemon finds out.
//!
//! Hanging up ends it. Deliberately not here: what a backtest is, see [`crate::backtest`].

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};

use super::args::BacktestArgs;
use super::author::package_at;
use super::client::Client;
use super::exit::{Exit, Failure};
use super::look::since;
use super::plan::is_path;
use super::screen::{Cell, Ink, Paint, Screen, Table};
use super::text::{clean, count, digest, field, shell, short};

#[cfg(test)]
mod tests;

/// Longest line of the answer read, in bytes: a backtest with all of its lines.
const LINE_BYTES_MAX: usize = 64 << 20;
/// Lines of episodes that are shown; all of them are in `--json`.
const SHOWN_MAX: usize = 20;
/// Characters of a sentence that are shown.
const SENTENCE_CHARS_MAX: usize = 80;

pub(super) async fn backtest(client: &Client, screen: &Screen, args: &BacktestArgs) -> Result<Exit, Failure> {
    let mut body = json!({"since": since(&args.since)?});
    if is_path(&args.runbook) || Path::new(&args.runbook).is_dir() {
        let Some(package) = package_at(screen, Path::new(&args.runbook))? else { return Ok(Exit::Failed) };
        body["package"] = Value::from(base64::engine::general_purpose::STANDARD.encode(package.to_tar()));
    } else {
        body["runbook"] = Value::from(args.runbook.as_str());
    }
    let mut response = client.send_stream("/v1/backtests", &body).await?;
    let mut waiting = Vec::new();
    let broke = |why: String| Failure::failed(format!("the backtest broke off: {why}"), "try again");
    let mut told = Progress { shown: !screen.json && std::io::stderr().is_terminal() };
    while let Some(chunk) = response.chunk().await.map_err(|error| broke(error.to_string()))? {
        waiting.extend_from_slice(&chunk);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let line: Value = serde_json::from_slice(&line).map_err(|error| broke(error.to_string()))?;
            if let Some(done) = finished(&line, &mut told)? {
                return Ok(show(screen, done, args));
            }
        }
        if waiting.len() > LINE_BYTES_MAX {
            return Err(broke("a line of the answer has no end".to_owned()));
        }
    }
    Err(broke("the daemon hung up".to_owned()))
}

/// The backtest, if a line of the answer is it.
fn finished<'a>(line: &'a Value, told: &mut Progress) -> Result<Option<&'a Value>, Failure> {
    if let Some(error) = line.get("error") {
        told.over();
        return Err(Failure::failed(field(error, "message"), field(error, "fix")));
    }
    if let Some(progress) = line.get("progress") {
        told.tell(progress);
    }
    let done = line.get("backtest");
    if done.is_some() {
        told.over();
    }
    Ok(done)
}

/// One line on a terminal that is written anew.
struct Progress {
    shown: bool,
}

impl Progress {
    fn tell(&mut self, progress: &Value) {
        if self.shown {
            // Whether a terminal shows it is no matter of the backtest.
            let _ = write!(std::io::stderr(), "\r{} of {} episodes", progress["done"], progress["of"]);
        }
    }

    fn over(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn show(screen: &Screen, backtest: &Value, args: &BacktestArgs) -> Exit {
    if screen.json {
        screen.value(backtest);
    } else {
        screen.print(&render(backtest, screen.ink));
        screen.next(&next(backtest, args));
    }
    Exit::Ok
}

fn next(backtest: &Value, args: &BacktestArgs) -> String {
    let totals = &backtest["totals"];
    match (totals["refused"].as_u64(), is_path(&args.runbook)) {
        (Some(refused), _) if refused > 0 => "grant what was refused, then test again".to_owned(),
        (_, true) => format!("sandbook push {}", shell(&args.runbook)),
        (_, false) => {
            let of = format!("{}@{}", field(backtest, "runbook"), digest(&field(backtest, "digest")));
            format!("sandbook promote {} live --reason \"…\"", shell(&of))
        }
    }
}

/// The whole backtest.
pub(super) fn render(backtest: &Value, ink: Ink) -> String {
    let mut text = format!(
        "{}@{} {}\n{} since {}\n\n",
        ink.paint(Paint::Bold, &clean(&field(backtest, "runbook"))),
        clean(&field(backtest, "version")),
        ink.paint(Paint::Dim, &digest(&field(backtest, "digest"))),
        totals(&backtest["totals"]),
        clean(&field(backtest, "since")),
    );
    let list = |key: &str| backtest[key].as_array().cloned().unwrap_or_default();
    let targets = list("targets");
    if !targets.is_empty() {
        let mut table =
            Table::new(&["TARGET", "ALERTS", "ACTS", "ASKS", "REFUSED", "BRAKED", "NOTHING", "FAILED", "UNKNOWN"]);
        for target in &targets {
            let name = field(target, "target");
            let mut cells = vec![Cell::new(if name.is_empty() { "-" } else { &name }).paint(Paint::Bold)];
            let kinds = ["matched", "acts", "asks", "refused", "braked", "nothing", "failed", "unknown"];
            cells.extend(kinds.map(|kind| Cell::new(target[kind].to_string())));
            table.row(cells);
        }
        text.push_str(&table.render(ink));
        text.push('\n');
    }
    let lines = list("lines");
    for line in lines.iter().rev().take(SHOWN_MAX) {
        text.push_str(&episode(line, ink));
    }
    if lines.len() > SHOWN_MAX {
        text.push_str(&format!("{} more; --json shows all\n", lines.len() - SHOWN_MAX));
    }
    if backtest["truncated"] == true {
        text.push_str("older episodes were left out; ask for less with --since\n");
    }
    text
}

fn episode(line: &Value, ink: Ink) -> String {
    let verdict = field(line, "verdict");
    let paint = match verdict.as_str() {
        "acts" => Paint::Good,
        "refused" | "failed" => Paint::Bad,
        "asks" | "braked" | "unknown" => Paint::Warn,
        _ => Paint::Dim,
    };
    let changes: Vec<String> =
        line["changes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let sentence = short(&field(line, "sentence"), SENTENCE_CHARS_MAX);
    let said = if changes.is_empty() { sentence } else { format!("{}: {sentence}", clean(&changes.join(", then "))) };
    let assumed = match line["assumed"].as_u64() {
        Some(many) if many > 0 => ink.paint(Paint::Dim, &format!(" ({many} assumed)")),
        Some(_) | None => String::new(),
    };
    let what = format!("{} {}", clean(&field(line, "at")), clean(&field(line, "alert")));
    format!("{} {what}: {said}{assumed}\n", ink.paint(paint, &format!("{:<8}", clean(&verdict))))
}

/// Such as `12 of 40 alerts would have started it: 9 acts, 3 braked`.
pub(super) fn totals(totals: &Value) -> String {
    let of = |key: &str| totals[key].as_u64().unwrap_or(0);
    let kinds = ["acts", "asks", "refused", "braked", "nothing", "failed", "unknown"];
    let parts: Vec<String> =
        kinds.iter().filter(|kind| of(kind) > 0).map(|kind| format!("{} {kind}", of(kind))).collect();
    let alerts = count(usize::try_from(of("episodes")).unwrap_or(usize::MAX), "alert");
    let parts = if parts.is_empty() { parts.join("") } else { format!(": {}", parts.join(", ")) };
    format!("{} of {alerts} would have started it{parts}", of("matched"))
}
