//! `ask` and `generate`: what a model drafted, laid out so that a person can judge it.
//!
//! The review is the whole of a draft: what it can touch at the most, every line of it or how it differs from what it is to
//! replace, what came of its scenarios, and what it would do now. Deliberately not here: drafting, which the daemon does.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::act::read;
use super::args::{AskArgs, GenerateArgs};
use super::client::Client;
use super::difference;
use super::exit::{Exit, Failure};
use super::look::list;
use super::runs::run_id;
use super::screen::{Paint, Screen};
use super::text::{clean, count, digest, field, shell};
use crate::library::difference::Difference;

pub(super) async fn ask(client: &Client, screen: &Screen, args: &AskArgs) -> Result<Exit, Failure> {
    let sentence = args.sentence.join(" ");
    let answer = client.send(Method::POST, "/v1/ask", Some(&json!({"sentence": sentence}))).await?;
    let exit = match answer["kind"].as_str() {
        Some("question") => Exit::WouldAsk,
        Some("refusal") => Exit::Refused,
        Some(_) | None => Exit::Ok,
    };
    if screen.json {
        screen.value(&answer);
        return Ok(exit);
    }
    match exit {
        Exit::WouldAsk => {
            screen.line(&format!("{} {}", screen.ink.paint(Paint::Warn, "?"), clean(&field(&answer, "question"))));
            let candidates: Vec<&str> = list(&answer, "candidates").iter().filter_map(Value::as_str).collect();
            if !candidates.is_empty() {
                screen.line(&format!("  may be meant: {}", clean(&candidates.join(", "))));
            }
            screen.next("ask again, naming what is to be done and on which container");
        }
        Exit::Refused => {
            screen.line(&format!("{} {}", screen.ink.paint(Paint::Bad, "refused:"), clean(&field(&answer, "reason"))));
            screen.next("sandbook runbooks, then sandbook plan RUNBOOK CONTAINER");
        }
        _ => review(screen, &answer["draft"]),
    }
    Ok(exit)
}

pub(super) async fn generate(client: &Client, screen: &Screen, args: &GenerateArgs) -> Result<Exit, Failure> {
    let mut body = json!({"description": args.description.join(" ")});
    if let Some(path) = &args.from_file {
        body["prose"] = Value::from(prose(path)?);
    }
    if let Some(run) = &args.from_run {
        body["run"] = Value::from(run_id(client, run).await?);
    }
    if let Some(episode) = &args.episode {
        body["episode"] = Value::from(episode.as_str());
    }
    if let Some(name) = &args.replaces {
        body["replaces"] = Value::from(super::act::runbook_name(client, name).await?);
    }
    if let Some(folder) = args.out.as_ref().filter(|folder| folder.exists()) {
        return Err(Failure::failed(format!("{} exists already", folder.display()), "name a folder that does not"));
    }
    let draft = client.send(Method::POST, "/v1/runbooks/generate", Some(&body)).await?;
    if let Some(folder) = &args.out {
        write(folder, &draft)?;
    }
    if screen.json {
        screen.value(&draft);
    } else {
        review(screen, &draft);
    }
    Ok(Exit::Ok)
}

fn prose(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?)
        .map_err(|_| Failure::failed(format!("{} is not UTF-8", path.display()), "save it as UTF-8"))
}

/// Writes a draft's files into a new folder.
fn write(folder: &Path, draft: &Value) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!("{} cannot be written: {error}", folder.display()), "name a folder that does not exist")
    };
    std::fs::create_dir(folder).map_err(failed)?;
    for file in list(draft, "files") {
        let name = field(file, "name");
        // The daemon names them, and a name leads nowhere else.
        if Path::new(&name).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(Failure::failed(format!("{} is no name of a file of a package", clean(&name)), ""));
        }
        let place = folder.join(&name);
        place.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        std::fs::write(place, field(file, "text")).map_err(failed)?;
    }
    Ok(())
}

/// Everything a person needs to judge a draft.
fn review(screen: &Screen, draft: &Value) {
    let ink = screen.ink;
    screen.line(&format!(
        "{} {}  {}  {}",
        ink.paint(Paint::Bold, &clean(&field(draft, "runbook"))),
        clean(&field(draft, "version")),
        ink.paint(Paint::Dim, &digest(&field(draft, "digest"))),
        ink.paint(Paint::Warn, "draft of a model"),
    ));
    let rounds = count(draft["rounds"].as_u64().unwrap_or(1) as usize, "round");
    screen.line(&format!("written by {} in {rounds}\n", clean(&field(draft, "model"))));
    power(screen, &draft["power"]);
    // A daemon of another version may say it otherwise; the files are then still below.
    match serde_json::from_value::<Difference>(draft["difference"].clone()) {
        Ok(difference) => {
            if let Some(from) = &difference.from {
                let replaced = format!("{} {}", clean(&from.name), clean(&from.version));
                let digest = ink.paint(Paint::Dim, &digest(&from.digest));
                screen.line(&format!("\nin the place of {replaced} {digest}"));
                difference::abilities(screen, &difference);
            }
            difference::files(screen, &difference.files);
        }
        Err(_) => list(draft, "files").iter().for_each(|file| screen.line(&clean(&field(file, "text")))),
    }
    for scenario in list(draft, "scenarios") {
        screen.line(&format!(
            "\n{} {}: {}",
            ink.paint(Paint::Good, "scenario"),
            clean(&field(scenario, "summary")),
            clean(&field(scenario, "outcome")),
        ));
    }
    // An older daemon does not say.
    let with = draft["needs"].as_str().map(|needs| format!(", with {}", clean(needs))).unwrap_or_default();
    let (name, whole) = (shell(&field(draft, "runbook")), shell(&field(draft, "digest")));
    if draft["plan"].is_object() {
        screen.line("");
        super::plan::show(screen, &draft["plan"]);
        let id = shell(&field(&draft["plan"], "plan"));
        if draft["plan"]["to_apply"] == true {
            let changes = draft["plan"]["summary"]["changes"].as_u64().unwrap_or(0);
            let does = if changes == 0 { "it would change nothing now" } else { "nothing was done yet" };
            screen.next(&format!("{does}; sandbook apply {id} does this and nothing else{with}"));
            return;
        }
    } else if let Some(why) = draft["unplanned"].as_str() {
        screen.line(&format!("\nno plan: {}", clean(why)));
    }
    screen.next(&format!("read it, then sandbook promote {name}@{whole} shadow --reason \"…\"{with}"));
}

/// The most it can do, whatever anybody grants.
fn power(screen: &Screen, power: &Value) {
    let ink = screen.ink;
    screen.line(&format!("  is about  {}", clean(&field(power, "about"))));
    for ability in list(power, "can") {
        let paint = if ability["class"] == "mutate" { Paint::Warn } else { Paint::Plain };
        screen.line(&format!("  can       {}", ink.paint(paint, &clean(&field(ability, "sentence")))));
    }
    for never in list(power, "cannot").iter().filter_map(Value::as_str) {
        screen.line(&format!("  cannot    {}", clean(never)));
    }
    for bound in list(power, "bounds").iter().filter_map(Value::as_str) {
        screen.line(&format!("  at most   {}", clean(bound)));
    }
}
