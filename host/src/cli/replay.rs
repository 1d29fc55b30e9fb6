//! `replay` and `journal --export`: a run executed again from what was recorded of it, here or on the daemon.
//!
//! A file is replayed in this process: without a daemon, Docker or a policy. Deliberately not here: how a replay looks,
//! see [`render`], and what it is, see [`crate::replay`].

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::args::ReplayArgs;
use super::author::{package_at, sandbox};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::runs::run_id;
use super::screen::Screen;
use super::text::{field, size};
use crate::replay::export::{Exported, FILE_BYTES_MAX, Unreadable};
use crate::replay::{self, Replay, Verdict};

mod render;
#[cfg(test)]
mod tests;

/// Whether a word means a file and not a run, whose ids have no dot and no slash.
pub(super) fn is_file(args: &ReplayArgs) -> bool {
    args.of.contains(['/', '.']) || Path::new(&args.of).is_file()
}

/// Replays a run on the daemon.
pub(super) async fn of_run(client: &Client, screen: &Screen, args: &ReplayArgs) -> Result<Exit, Failure> {
    let run = run_id(client, &args.of).await?;
    let mut body = json!({});
    if let Some(runbook) = &args.runbook {
        body["runbook"] = Value::from(runbook.as_str());
    }
    if let Some(path) = &args.path {
        let Some(package) = package_at(screen, path)? else { return Ok(Exit::Failed) };
        body["package"] = Value::from(base64::engine::general_purpose::STANDARD.encode(package.to_tar()));
    }
    let answer = client.send(Method::POST, &format!("/v1/runs/{}/replay", segment(&run)), Some(&body)).await?;
    let replay: Replay = serde_json::from_value(answer).map_err(|error| {
        Failure::failed(format!("the answer is no replay: {error}"), "is the daemon as new as this?")
    })?;
    Ok(told(screen, &replay))
}

/// Replays an exported run here.
pub(super) async fn of_file(screen: &Screen, args: &ReplayArgs) -> Result<Exit, Failure> {
    if args.runbook.is_some() {
        let fix = "name a folder with --path, or replay the run itself";
        return Err(Failure::usage("--runbook names a version that a daemon has, and a file is replayed here", fix));
    }
    let text = text_of(Path::new(&args.of))?;
    let (_, own, records) = Exported::read(&text).map_err(|error| unreadable(&args.of, &error))?;
    let package = match &args.path {
        None => own,
        Some(path) => match package_at(screen, path)? {
            Some(package) => package,
            None => return Ok(Exit::Failed),
        },
    };
    let parts = replay::alone(sandbox()?)?;
    let replay = replay::replay(&parts, &package, records).await;
    let replay = replay
        .map_err(|error| Failure::failed(format!("{} cannot be replayed: {error}", args.of), "export the run again"))?;
    Ok(told(screen, &replay))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let failed = |why: String, fix: &str| Failure::failed(format!("{} cannot be read: {why}", path.display()), fix);
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string(), "check the path"))?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| failed(error.to_string(), "name a file that `sandbook journal RUN --export FILE` wrote"))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(failed(format!("it has more than {}", size(FILE_BYTES_MAX as u64)), "no exported run is as large"));
    }
    Ok(text)
}

fn unreadable(file: &str, error: &Unreadable) -> Failure {
    let fix = match error {
        Unreadable::NotOne(_) => "name a file that `sandbook journal RUN --export FILE` wrote",
        Unreadable::Format { .. } => "replay it with the version of sandbook that wrote it, or a newer one",
        Unreadable::Changed { .. } | Unreadable::Package(_) => "export the run again",
    };
    Failure::failed(format!("{file}: {error}"), fix)
}

fn told(screen: &Screen, replay: &Replay) -> Exit {
    if screen.json {
        screen.value(&json!(replay));
    } else {
        screen.print(&render::render(replay, screen.ink));
    }
    match replay.verdict {
        Verdict::Equal | Verdict::EqualSoFar => Exit::Ok,
        Verdict::Diverges => Exit::Diverged,
    }
}

/// Writes a run as a file.
pub(super) async fn export(client: &Client, screen: &Screen, run: &str, path: &Path) -> Result<Exit, Failure> {
    let run = run_id(client, run).await?;
    let mut response = client.stream(&format!("/v1/runs/{}/export", segment(&run)), &[]).await?;
    let mut bytes = Vec::new();
    let broke = |error: reqwest::Error| Failure::failed(format!("the export of {run} broke off: {error}"), "try again");
    while let Some(chunk) = response.chunk().await.map_err(broke)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Failure::failed(format!("the export has more than {}", size(FILE_BYTES_MAX as u64)), ""));
        }
    }
    if path.as_os_str() == "-" {
        std::io::stdout().write_all(&bytes).map_err(anyhow::Error::from)?;
        return Ok(Exit::Ok);
    }
    std::fs::write(path, &bytes).map_err(|error| {
        Failure::failed(
            format!("{} cannot be written: {error}", path.display()),
            "check the folder and its permissions",
        )
    })?;
    let written: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if screen.json {
        screen.value(
            &json!({"file": path, "bytes": bytes.len(), "run": written["run"], "checksum": written["checksum"]}),
        );
    } else {
        let shown = path.display();
        screen.line(&format!(
            "{} with its package written to {shown}, {}",
            field(&written, "run"),
            size(bytes.len() as u64)
        ));
        screen.next(&format!("sandbook replay {}", super::text::shell(&path.display().to_string())));
    }
    Ok(Exit::Ok)
}
