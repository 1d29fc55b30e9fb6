//! `plan` and `apply`: what a runbook would do now, and letting it do that and nothing else.
//!
//! Deliberately not here: how a plan looks, see [`render`], and what may be assumed of an effect, see [`assume`].

use std::path::Path;

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::act::{read, runbook_name};
use super::args::{ApplyArgs, PlanArgs};
use super::author::{built, package_at};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::screen::{Paint, Screen};
use super::text::{clean, field, shell, target};

mod assume;
pub(super) mod render;
#[cfg(test)]
mod tests;

/// Endings that make a word the path of a package.
const PACKAGE_ENDINGS: [&str; 4] = [".rhai", ".wasm", ".tar", ".tar.gz"];

pub(super) async fn plan(client: &Client, screen: &Screen, args: &PlanArgs) -> Result<Exit, Failure> {
    let mut body = body(args)?;
    let plan = if is_path(&args.runbook) {
        if args.digest.is_some() {
            return Err(Failure::usage("--digest names a stored version", "leave it out, or name a runbook"));
        }
        built(screen, Path::new(&args.runbook)).await?;
        let Some(package) = package_at(screen, Path::new(&args.runbook))? else { return Ok(Exit::Failed) };
        body["package"] = Value::from(base64::engine::general_purpose::STANDARD.encode(package.to_tar()));
        client.send(Method::POST, "/v1/plans", Some(&body)).await?
    } else {
        let name = runbook_name(client, &args.runbook).await?;
        client.send(Method::POST, &format!("/v1/runbooks/{}/plan", segment(&name)), Some(&body)).await?
    };
    if screen.json {
        screen.value(&plan);
    } else {
        let width = super::screen::width();
        screen.print(&render::render(&plan, render::Options { ink: screen.ink, width, typed: &typed(args) }));
        screen.next(&render::next(&plan, &typed(args)));
    }
    Ok(exit(&plan, args.detailed_exitcode))
}

/// A plan that something else made.
pub(super) fn show(screen: &Screen, plan: &Value) {
    let options = render::Options { ink: screen.ink, width: super::screen::width(), typed: "sandbook ask" };
    screen.print(&render::render(plan, options));
}

/// Whether a word is the path of a package and not the name of a runbook, which has none of these characters.
pub(super) fn is_path(word: &str) -> bool {
    word.contains('/') || word.starts_with('.') || PACKAGE_ENDINGS.iter().any(|ending| word.ends_with(ending))
}

fn body(args: &PlanArgs) -> Result<Value, Failure> {
    let mut body = json!({});
    let mut labels = Map::new();
    for word in &args.words {
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                labels.insert(name.to_owned(), Value::from(value.trim_matches('"')));
            }
            _ if body["target"].is_null() => body["target"] = Value::from(word.as_str()),
            _ => return Err(Failure::usage(format!("`{word}` is a second target"), "write labels as NAME=VALUE")),
        }
    }
    let alert = args.alert.as_deref().map(alert_in).transpose()?;
    match (alert, labels.is_empty()) {
        (Some(_), false) => return Err(Failure::usage("labels and --alert are two alerts", "give one of them")),
        (Some(alert), true) => body["alert"] = alert,
        (None, false) => body["alert"] = json!({ "labels": labels }),
        (None, true) => {}
    }
    for (key, value) in [("episode", &args.episode), ("host", &args.host), ("digest", &args.digest)] {
        if let Some(value) = value {
            body[key] = Value::from(value.as_str());
        }
    }
    for word in &args.parameters {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage(format!("`{word}` is no parameter"), "write --param NAME=VALUE"));
        };
        body["parameters"][name] = Value::from(value);
    }
    let assumed = args.assume.iter().map(|word| assume::assumption(word)).collect::<Result<Vec<_>, _>>()?;
    if !assumed.is_empty() {
        body["assume"] = Value::from(assumed);
    }
    if args.to_apply {
        body["to_apply"] = Value::from(true);
    }
    if args.notify {
        body["notify"] = Value::from(true);
    }
    Ok(body)
}

fn alert_in(path: &Path) -> Result<Value, Failure> {
    serde_json::from_slice(&read(path)?).map_err(|error| {
        Failure::failed(format!("{}: {error}", path.display()), "an alert, or a message of alerts, as json")
    })
}

/// The command as it was typed, for lines that repeat it with a little more.
fn typed(args: &PlanArgs) -> String {
    let mut line = format!("sandbook plan {}", shell(&args.runbook));
    args.words.iter().for_each(|word| line.push_str(&format!(" {}", shell(word))));
    let alert = args.alert.as_ref().map(|path| path.display().to_string());
    for (name, value) in [("alert", &alert), ("episode", &args.episode), ("host", &args.host), ("digest", &args.digest)]
    {
        if let Some(value) = value {
            line.push_str(&format!(" --{name} {}", shell(value)));
        }
    }
    args.parameters.iter().for_each(|word| line.push_str(&format!(" --param {}", shell(word))));
    args.assume.iter().for_each(|word| line.push_str(&format!(" --assume {}", shell(word))));
    for (flag, given) in [("--to-apply", args.to_apply), ("--notify", args.notify)] {
        if given {
            line.push_str(&format!(" {flag}"));
        }
    }
    line
}

/// Broken beats refused beats asked beats changed.
fn exit(plan: &Value, detailed: bool) -> Exit {
    let count = |key: &str| plan["summary"][key].as_u64().unwrap_or(0);
    let refused = count("refused") > 0 || matches!(plan["outcome"].as_str(), Some("refused" | "limited"));
    if plan["fault"].is_string() {
        Exit::Failed
    } else if refused {
        Exit::Refused
    } else if count("asks") > 0 {
        Exit::WouldAsk
    } else if plan["outcome"] == "failed" {
        Exit::Failed
    } else if detailed && count("changes") > 0 {
        Exit::WouldChange
    } else {
        Exit::Ok
    }
}

/// Episodes whose difference is shown of a runbook; the API has more.
const DIFFERENCES_SHOWN: usize = 3;

/// What its version in shadow would have done, beside the one that acts: a count, and the newest differences.
pub(super) fn compared(answer: &Value) -> Vec<String> {
    let episodes = answer["episodes"].as_array().map_or(&[][..], Vec::as_slice);
    let (Some(first), Some(same)) = (episodes.first(), answer["same"].as_u64()) else { return Vec::new() };
    let version = field(&first["shadow"], "version");
    let mut lines = vec![format!("{version} would have done the same in {same} of {} episodes", episodes.len())];
    let said = |side: &Value| {
        let changes: Vec<&str> = side["changes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if changes.is_empty() { "nothing".to_owned() } else { changes.join(", then ") }
    };
    for one in episodes.iter().filter(|one| one["same"] == false).take(DIFFERENCES_SHOWN) {
        let late = if one["same_world"] == true { "" } else { " (the two found different states)" };
        let (episode, acted, shadow) = (field(one, "episode"), said(&one["acted"]), said(&one["shadow"]));
        lines.push(format!("{episode}: did {acted}; in shadow: {shadow}{late}"));
    }
    lines
}

pub(super) async fn apply(client: &Client, screen: &Screen, args: &ApplyArgs) -> Result<Exit, Failure> {
    let plan = client.get(&format!("/v1/plans/{}", segment(&args.plan)), &[]).await?;
    let id = field(&plan, "plan");
    let answer = client.send(Method::POST, &format!("/v1/plans/{}/apply", segment(&id)), None).await?;
    let run = field(&answer, "run");
    if screen.json && !args.watch {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    if !screen.json {
        let on = target(&plan["target"]);
        let on = if on.is_empty() { on } else { format!(" on {}", clean(&on)) };
        let said = format!("{} applies plan {}{on}", clean(&run), clean(&id));
        screen.line(&screen.ink.paint(if args.watch { Paint::Dim } else { Paint::Plain }, &said));
    }
    if args.watch {
        return super::watch::run(client, screen, &run).await;
    }
    screen.next(&format!("sandbook watch {}", shell(&run)));
    Ok(Exit::Ok)
}
