//! Commands that change something on the daemon: stages, runs, answers, pauses, stops. Thin: the daemon decides.
//!
//! Names are resolved before anything is sent, so that a mistyped prefix never reaches another runbook.
//! Deliberately not here: what may be done by whom.

use std::io::Write as _;
use std::path::Path;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::args::{
    ApproveArgs, BackupArgs, CancelArgs, DecideArgs, DemoteArgs, MatchArgs, PauseArgs, PausesArgs, PromoteArgs,
    ResumeArgs, RunArgs, StopAllArgs,
};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::look::list;
use super::runs::run_id;
use super::screen::{Paint, Screen};
use super::text::{clean, digest, field, shell, size, target};

/// Largest alert read for `match`, in bytes: what the webhook accepts.
const ALERT_BYTES_MAX: usize = 16 << 20;

/// The name a prefix means. A whole name wins over longer ones.
pub(super) async fn runbook_name(client: &Client, prefix: &str) -> Result<String, Failure> {
    let answer = client.get("/v1/runbooks", &[]).await?;
    let names: Vec<String> = list(&answer, "runbooks").iter().map(|runbook| field(runbook, "name")).collect();
    pick(&names, prefix, "runbook", "`sandbook runbooks` lists them")
}

fn pick(all: &[String], prefix: &str, what: &str, help: &str) -> Result<String, Failure> {
    if all.iter().any(|one| one == prefix) {
        return Ok(prefix.to_owned());
    }
    let begin: Vec<&String> = all.iter().filter(|one| one.starts_with(prefix)).collect();
    match begin.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let near = sandbook_core::effect::closest(prefix, all.iter().map(String::as_str));
            let fix = near.map_or_else(|| help.to_owned(), |near| format!("did you mean {near}? {help}"));
            Err(Failure::failed(format!("there is no {what} `{prefix}`"), fix))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|one| one.as_str()).collect();
            Err(Failure::failed(format!("`{prefix}` begins several names: {}", names.join(", ")), "write more of it"))
        }
    }
}

/// Name and digest of `RUNBOOK[@DIGEST]`, or `RUNBOOK@VERSION`; without either, the version that is newest now.
pub(super) async fn version(client: &Client, words: &str) -> Result<(String, String), Failure> {
    let (prefix, wanted) = words.split_once('@').map_or((words, None), |(name, digest)| (name, Some(digest)));
    let name = runbook_name(client, prefix).await?;
    let answer = client.get(&format!("/v1/runbooks/{}/versions", segment(&name)), &[]).await?;
    let versions = list(&answer, "versions");
    let digests: Vec<String> = versions.iter().map(|version| field(version, "digest")).collect();
    // One number stands for one digest: other bytes of the same number are refused at the door.
    let numbered = |wanted: &str| versions.iter().find(|version| field(version, "version") == wanted);
    if let Some(version) = wanted.and_then(numbered) {
        return Ok((name, field(version, "digest")));
    }
    let digest = match wanted {
        None => {
            digests.first().cloned().ok_or_else(|| Failure::failed(format!("{name} has no version"), "push one"))?
        }
        Some(wanted) => {
            let wanted = if wanted.contains(':') { wanted.to_owned() } else { format!("sha256:{wanted}") };
            pick(&digests, &wanted, "version", &format!("`sandbook runbooks {name}` lists them"))?
        }
    };
    Ok((name, digest))
}

async fn set_stage(
    client: &Client,
    screen: &Screen,
    name: &str,
    of: &str,
    stage: &str,
    reason: &str,
) -> Result<Exit, Failure> {
    let body = json!({"digest": of, "stage": stage, "reason": reason});
    let answer = client.send(Method::PUT, &format!("/v1/runbooks/{}/stage", segment(name)), Some(&body)).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let effective = Some(field(&answer, "stage")).filter(|stage| !stage.is_empty()).unwrap_or_else(|| stage.to_owned());
    screen.line(&format!("{} {} is {}", clean(name), digest(of), screen.ink.paint(Paint::Bold, &clean(&effective))));
    if effective != stage {
        let why = field(&answer, "why");
        let why = if why.is_empty() { "the configuration or an automatic demotion says less".to_owned() } else { why };
        screen.line(&format!("not {stage}: {}", clean(&why)));
    }
    match &answer["backtest"] {
        Value::Null if stage == "live" => {
            screen.line("no backtest of it was made: sandbook backtest says what it would have done")
        }
        Value::Null => {}
        backtest => {
            let said = super::backtest::totals(&backtest["totals"]);
            screen.line(&format!("backtest of {}: {}", clean(&field(backtest, "at")), clean(&said)));
        }
    }
    let step = match effective.as_str() {
        "draft" | "shadow" => format!("sandbook runs --runbook {} shows what it would have matched", shell(name)),
        _ => format!("sandbook grants {} shows what it may change", shell(name)),
    };
    screen.next(&step);
    Ok(Exit::Ok)
}

pub(super) async fn promote(client: &Client, screen: &Screen, args: &PromoteArgs) -> Result<Exit, Failure> {
    let (name, of) = version(client, &args.runbook).await?;
    set_stage(client, screen, &name, &of, args.stage.name(), &args.reason).await
}

pub(super) async fn demote(client: &Client, screen: &Screen, args: &DemoteArgs) -> Result<Exit, Failure> {
    let (name, of) = if args.runbook.contains('@') {
        version(client, &args.runbook).await?
    } else {
        let name = runbook_name(client, &args.runbook).await?;
        // The version in use is what has to be stopped, and it may not be the newest.
        let runbook = client.get(&format!("/v1/runbooks/{}", segment(&name)), &[]).await?;
        match field(&runbook, "digest") {
            of if of.is_empty() => version(client, &name).await?,
            of => (name, of),
        }
    };
    set_stage(client, screen, &name, &of, args.stage.name(), &args.reason).await
}

/// Labels as written, or those of an alert in a file.
fn labels(args: &MatchArgs) -> Result<Value, Failure> {
    let Some(path) = &args.alert else {
        if args.labels.is_empty() {
            return Err(Failure::usage("there is nothing to match", "give LABEL=VALUE… or --alert FILE"));
        }
        let mut labels = Map::new();
        for word in &args.labels {
            let (name, value) = word
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| Failure::usage(format!("`{word}` is no label"), "give LABEL=VALUE… or --alert FILE"))?;
            labels.insert(name.to_owned(), Value::from(value.trim_matches('"')));
        }
        return Ok(Value::Object(labels));
    };
    let bytes = read(path)?;
    let message = sandbook_core::alert::parse_message(&bytes, jiff::Timestamp::now()).map_err(|error| {
        Failure::failed(format!("{}: {error}", path.display()), "an alert, or a message of alerts, as json")
    })?;
    let mut reason = "it holds no alert".to_owned();
    for alert in message.alerts {
        match alert {
            Ok(alert) => return Ok(json!(alert.labels)),
            Err(why) => reason = why,
        }
    }
    Err(Failure::failed(format!("{}: {reason}", path.display()), "an alert needs labels"))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let limit = ALERT_BYTES_MAX as u64 + 1;
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    match read {
        Ok(read) if read > ALERT_BYTES_MAX => Err(Failure::failed(
            format!("{} has more than {}", path.display(), size(ALERT_BYTES_MAX as u64)),
            "send one alert",
        )),
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::failed(format!("{} cannot be read: {error}", path.display()), "check the path")),
    }
}

pub(super) async fn matching(client: &Client, screen: &Screen, args: &MatchArgs) -> Result<Exit, Failure> {
    let answer = client.send(Method::POST, "/v1/match", Some(&json!({"labels": labels(args)?}))).await?;
    let chosen = list(&answer, "chosen");
    let exit = if chosen.is_empty() { Exit::Failed } else { Exit::Ok };
    if screen.json {
        screen.value(&answer);
        return Ok(exit);
    }
    let ink = screen.ink;
    for one in chosen {
        let stage = field(one, "stage");
        screen.line(&format!(
            "{}  {}",
            ink.paint(Paint::Bold, &clean(&field(one, "runbook"))),
            ink.paint(super::look::paint_state(&stage), &clean(&stage)),
        ));
        let via = field(one, "via");
        let why = [via, field(one, "why")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        screen.line(&format!("  {} {}", ink.paint(Paint::Dim, "why   "), clean(&why)));
        let on = target(&one["target"]);
        let target_why = field(one, "target_why");
        let on = if on.is_empty() { ink.paint(Paint::Warn, "none") } else { clean(&on).into_owned() };
        let because = if target_why.is_empty() { String::new() } else { format!(" ({})", clean(&target_why)) };
        screen.line(&format!("  {} {on}{because}", ink.paint(Paint::Dim, "target")));
    }
    if chosen.is_empty() {
        screen.line("no runbook matches");
    }
    let others: Vec<&Value> = list(&answer, "considered")
        .iter()
        .filter(|one| !chosen.iter().any(|chosen| chosen["runbook"] == one["runbook"]))
        .collect();
    if !others.is_empty() {
        screen.line(&format!("\n{}", ink.paint(Paint::Dim, "not the others")));
        let width = others.iter().map(|one| field(one, "runbook").chars().count()).max().unwrap_or(0);
        for one in others {
            screen.line(&format!("  {:<width$}  {}", clean(&field(one, "runbook")), clean(&field(one, "why"))));
        }
    }
    by_the_clock(screen, list(&answer, "schedules"));
    screen.next(&match chosen.first() {
        None => "add a [[routes]] entry to the configuration, or a trigger to a runbook's manifest".to_owned(),
        Some(one) if one["target"].is_null() => "sandbook targets shows what the daemon can see".to_owned(),
        Some(one) if matches!(one["stage"].as_str(), Some("draft" | "shadow")) => {
            format!("it would only watch: sandbook promote {} ask --reason \"…\"", shell(&field(one, "runbook")))
        }
        Some(one) => format!("sandbook run {} {}", shell(&field(one, "runbook")), shell(&target(&one["target"]))),
    });
    Ok(exit)
}

/// Alerts start none of these, so they stand apart.
fn by_the_clock(screen: &Screen, schedules: &[Value]) {
    if schedules.is_empty() {
        return;
    }
    let ink = screen.ink;
    screen.line(&format!("\n{}", ink.paint(Paint::Dim, "by the clock, whatever is alerted")));
    let width = schedules.iter().map(|one| field(one, "runbook").chars().count()).max().unwrap_or(0);
    for one in schedules {
        let word = if one["starts"] == true { "starts" } else { "does not start" };
        let (name, schedule, why) = (field(one, "runbook"), field(one, "schedule"), field(one, "why"));
        screen.line(&format!("  {:<width$}  {word} ({}): {}", clean(&name), clean(&schedule), clean(&why)));
    }
}

/// A target and parameters as typed: a word with `=` is a parameter.
fn run_body(words: &[String]) -> Result<Value, Failure> {
    let mut body = json!({"parameters": {}});
    for word in words {
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                // The manifest types it; what reads as a number or flag is sent as one.
                let typed =
                    serde_json::from_str::<Value>(value).ok().filter(|value| value.is_number() || value.is_boolean());
                body["parameters"][name] = typed.unwrap_or_else(|| Value::from(value));
            }
            _ if body["target"].is_null() => body["target"] = Value::from(word.as_str()),
            _ => return Err(Failure::usage(format!("`{word}` is a second target"), "write parameters as name=value")),
        }
    }
    Ok(body)
}

pub(super) async fn run(client: &Client, screen: &Screen, args: &RunArgs) -> Result<Exit, Failure> {
    let body = run_body(&args.words)?;
    let name = runbook_name(client, &args.runbook).await?;
    let answer = client.send(Method::POST, &format!("/v1/runbooks/{}/runs", segment(&name)), Some(&body)).await?;
    let run = field(&answer, "run");
    if args.watch {
        if !screen.json {
            screen.line(&screen.ink.paint(Paint::Dim, &format!("started {}", clean(&run))));
        }
        return super::watch::run(client, screen, &run).await;
    }
    if screen.json {
        screen.value(&answer);
    } else {
        screen.line(&format!("started {}", clean(&run)));
        screen.next(&format!("sandbook watch {}", shell(&run)));
    }
    Ok(Exit::Ok)
}

/// Sends, and prints the answer or a sentence.
async fn tell(
    client: &Client,
    screen: &Screen,
    call: (Method, &str, Option<Value>),
    said: &str,
) -> Result<Exit, Failure> {
    let (method, path, body) = call;
    let answer = client.send(method, path, body.as_ref()).await?;
    if screen.json {
        screen.value(&answer);
    } else {
        screen.line(&clean(said));
    }
    Ok(Exit::Ok)
}

pub(super) async fn cancel(client: &Client, screen: &Screen, args: &CancelArgs) -> Result<Exit, Failure> {
    let run = run_id(client, &args.run).await?;
    let path = format!("/v1/runs/{}/cancel", segment(&run));
    tell(client, screen, (Method::POST, &path, None), &format!("cancelled {run}")).await
}

pub(super) async fn resume(client: &Client, screen: &Screen, args: &ResumeArgs) -> Result<Exit, Failure> {
    let run = run_id(client, &args.run).await?;
    let path = format!("/v1/runs/{}/resume", segment(&run));
    let body = json!({"as": args.settled_as});
    tell(
        client,
        screen,
        (Method::POST, &path, Some(body)),
        &format!("resumed {run}: its last change is {}", args.settled_as),
    )
    .await
}

pub(super) async fn approve(client: &Client, screen: &Screen, args: &ApproveArgs) -> Result<Exit, Failure> {
    let path = format!("/v1/approvals/{}", segment(&args.decide.id));
    let body = json!({"decision": "approve", "reason": args.decide.reason, "answer": args.answer});
    let answered = args.answer.as_ref().map_or_else(String::new, |answer| format!(": {answer}"));
    tell(client, screen, (Method::POST, &path, Some(body)), &format!("approved {}{answered}", args.decide.id)).await
}

pub(super) async fn deny(client: &Client, screen: &Screen, args: &DecideArgs) -> Result<Exit, Failure> {
    let path = format!("/v1/approvals/{}", segment(&args.id));
    let body = json!({"decision": "deny", "reason": args.reason});
    tell(client, screen, (Method::POST, &path, Some(body)), &format!("denied {}", args.id)).await
}

/// A selector as typed: `all`, a target, or `key=glob` joined by commas.
fn selector(text: &str) -> Result<Value, Failure> {
    let mut selector = Map::new();
    if text == "all" {
        return Ok(Value::Object(selector));
    }
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, glob) = part.split_once('=').unwrap_or(("target", part));
        if !matches!(key, "runbook" | "target" | "host") || glob.is_empty() {
            return Err(Failure::usage(
                format!("`{part}` selects nothing"),
                "write runbook=…, target=… or host=…, or `all` for everything",
            ));
        }
        selector.insert(key.to_owned(), Value::from(glob));
    }
    // An empty selector means everything, which nobody types by accident.
    if selector.is_empty() {
        return Err(Failure::usage("the selector is empty", "write `all` for everything"));
    }
    Ok(Value::Object(selector))
}

pub(super) async fn pause(client: &Client, screen: &Screen, args: &PauseArgs) -> Result<Exit, Failure> {
    let body = json!({"selector": selector(&args.selector)?, "for": args.duration, "reason": args.reason});
    let said = format!("paused {} for {}", args.selector, args.duration);
    tell(client, screen, (Method::POST, "/v1/pauses", Some(body)), &said).await
}

pub(super) async fn pauses(client: &Client, screen: &Screen, args: &PausesArgs) -> Result<Exit, Failure> {
    match &args.end {
        None => super::rules::pauses(client, screen).await,
        Some(id) => {
            let path = format!("/v1/pauses/{}", segment(id));
            tell(client, screen, (Method::DELETE, &path, None), &format!("ended {id}")).await
        }
    }
}

pub(super) async fn stop_all(client: &Client, screen: &Screen, args: &StopAllArgs) -> Result<Exit, Failure> {
    if args.release {
        return tell(client, screen, (Method::DELETE, "/v1/stop", None), "released: runbooks may act again").await;
    }
    let body = json!({"reason": args.reason});
    let said = "stopped: nothing is changed by any runbook until `sandbook stop-all --release`";
    tell(client, screen, (Method::POST, "/v1/stop", Some(body)), said).await
}

/// The copy is written as it comes; a broken one is removed, so that nobody takes it for a backup.
pub(super) async fn backup(client: &Client, screen: &Screen, args: &BackupArgs) -> Result<Exit, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut response = client.stream("/v1/backup", &[]).await?;
    let place = args.file.display();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&args.file).map_err(|error| {
        Failure::failed(format!("{place} cannot be created: {error}"), "name a file that does not exist yet")
    })?;
    let mut bytes = 0;
    let copied = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                bytes += chunk.len() as u64;
                if let Err(error) = file.write_all(&chunk) {
                    break Err(error.to_string());
                }
            }
            Ok(None) => break file.sync_all().map_err(|error| error.to_string()),
            Err(error) => break Err(error.to_string()),
        }
    };
    if let Err(error) = copied {
        let _ = std::fs::remove_file(&args.file);
        return Err(Failure::failed(format!("the backup into {place} broke off: {error}"), "try again"));
    }
    if screen.json {
        screen.value(&json!({"file": args.file, "bytes": bytes}));
    } else {
        screen.line(&format!("{} written to {place}", size(bytes)));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_one_name_or_none() {
        let names = ["restart".to_owned(), "restart-exited".to_owned(), "collect".to_owned()];
        let picked = |prefix: &str| pick(&names, prefix, "runbook", "list them");
        assert_eq!(picked("restart").as_deref(), Ok("restart"));
        assert_eq!(picked("co").as_deref(), Ok("collect"));
        assert!(picked("re").expect_err("two").message.contains("restart, restart-exited"));
        assert!(picked("colect").expect_err("none").fix.contains("did you mean collect"));
    }

    #[test]
    fn words_of_run_are_a_target_and_parameters() {
        let words = |words: &[&str]| run_body(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let body = words(&["web-1", "grace=30s", "tries=3"]).expect("sound");
        assert_eq!(body, json!({"parameters": {"grace": "30s", "tries": 3}, "target": "web-1"}));
        assert_eq!(words(&["a", "b"]).expect_err("two targets").exit, Exit::Usage);
    }

    #[test]
    fn selectors() {
        assert_eq!(selector("web-*").expect("a target"), json!({"target": "web-*"}));
        assert_eq!(selector("host=db1,runbook=r*").expect("two"), json!({"host": "db1", "runbook": "r*"}));
        assert_eq!(selector("all").expect("everything"), json!({}));
        assert!(selector("").is_err() && selector("team=x").is_err());
    }

    #[test]
    fn labels_are_read_from_words() {
        let args = MatchArgs { labels: vec!["alertname=Down".into(), "name=\"web\"".into()], alert: None };
        assert_eq!(labels(&args).expect("sound"), json!({"alertname": "Down", "name": "web"}));
        let args = MatchArgs { labels: vec!["nothing".into()], alert: None };
        assert_eq!(labels(&args).expect_err("no value").exit, Exit::Usage);
        let failure = labels(&MatchArgs { labels: Vec::new(), alert: None }).expect_err("nothing");
        assert_eq!((failure.exit, failure.fix.as_str()), (Exit::Usage, "give LABEL=VALUE… or --alert FILE"));
    }
}
