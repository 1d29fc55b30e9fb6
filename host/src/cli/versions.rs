//! Versions as a person handles them: their list and history, what differs between two, one as a file, and back.
//!
//! Deliberately not here: signatures, see [`super::sign`], and stages, see [`super::act`].

use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::act::{runbook_name, version};
use super::args::{DiffArgs, ExportArgs, ImportArgs, RollbackArgs, VersionsArgs};
use super::author::package_at;
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::look::{list, paint_state};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{ago, clean, digest, field, shell, size};
use crate::library::difference::between;
use crate::library::{PACKED_BYTES_MAX, Package, Upload};

/// Stages of the history that are shown.
const HISTORY_SHOWN: usize = 10;

/// `trusted dana`, `unknown-key 1A2B…`.
pub(super) fn signature(signed: &Value) -> String {
    let of = match field(signed, "key") {
        key if key.is_empty() => field(signed, "key_id"),
        key => key,
    };
    format!("{} {of}", field(signed, "state")).trim().to_owned()
}

pub(super) async fn versions(client: &Client, screen: &Screen, args: &VersionsArgs) -> Result<Exit, Failure> {
    let name = runbook_name(client, &args.runbook).await?;
    let answer = client.get(&format!("/v1/runbooks/{}/versions", segment(&name)), &[]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["", "VERSION", "DIGEST", "STAGE", "SIGNATURE", "FROM", "BY", "CAME"]);
    let versions = list(&answer, "versions");
    for one in versions {
        let stage = field(one, "stage");
        table.row([
            if one["current"] == true { "*" } else { "" }.into(),
            field(one, "version").into(),
            digest(&field(one, "digest")).into(),
            Cell::new(&stage).paint(paint_state(&stage)),
            signature(&one["signature"]).into(),
            super::look::written(one).into(),
            field(one, "by").into(),
            ago(&one["at"], now).into(),
        ]);
    }
    screen.print(&table.render(screen.ink));
    let history = list(&answer, "history");
    if !history.is_empty() {
        let mut table = Table::new(&["STAGE", "DIGEST", "SET", "BY", "REASON"]);
        for one in history.iter().take(HISTORY_SHOWN) {
            let stage = field(one, "stage");
            table.row([
                Cell::new(&stage).paint(paint_state(&stage)),
                digest(&field(one, "digest")).into(),
                ago(&one["at"], now).into(),
                field(one, "by").into(),
                field(one, "reason").into(),
            ]);
        }
        screen.print(&format!("\n{}", table.render(screen.ink)));
    }
    let name = shell(&name);
    let current = versions.iter().position(|one| one["current"] == true);
    screen.next(&match (versions.first(), current) {
        (Some(newest), Some(current)) if current > 0 => {
            let (used, newest) = (field(&versions[current], "digest"), field(newest, "digest"));
            format!("sandbook diff {name}@{} {name}@{}", short(&used), short(&newest))
        }
        (_, _) => format!("sandbook runbooks {name}"),
    });
    Ok(Exit::Ok)
}

fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

/// A side of a comparison: a package at a path, or a version the daemon has.
async fn side(client: &Client, screen: &Screen, words: &str) -> Result<Option<Package>, Failure> {
    let path = Path::new(words);
    if path.exists() && (words.contains(['/', '.']) || path.is_file()) {
        return package_at(screen, path);
    }
    let (name, of) = version(client, words).await?;
    let bytes = download(client, &name, &of).await?;
    let read = Package::read(Upload::Bytes { bytes: &bytes, content_type: Some("application/x-tar") });
    let (package, _) = read.map_err(|problems| {
        let why = problems.first().map(ToString::to_string).unwrap_or_default();
        Failure::failed(format!("the daemon's package of {words} cannot be read: {why}"), "")
    })?;
    Ok(Some(package))
}

async fn download(client: &Client, name: &str, of: &str) -> Result<Vec<u8>, Failure> {
    let path = format!("/v1/runbooks/{}/package?digest={}", segment(name), segment(of));
    let mut response = client.stream(&path, &[]).await?;
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= PACKED_BYTES_MAX * 2 => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::failed(format!("the package of {name} has no end"), "")),
            Ok(None) => return Ok(bytes),
            Err(error) => {
                return Err(Failure::failed(format!("the package of {name} broke off: {error}"), "try again"));
            }
        }
    }
}

pub(super) async fn diff(client: &Client, screen: &Screen, args: &DiffArgs) -> Result<Exit, Failure> {
    let Some(from) = side(client, screen, &args.from).await? else { return Ok(Exit::Failed) };
    let Some(to) = side(client, screen, &args.to).await? else { return Ok(Exit::Failed) };
    let difference = between(&from, &to);
    let exit = if difference.same || !args.detailed_exitcode { Exit::Ok } else { Exit::WouldChange };
    if screen.json {
        screen.value(&serde_json::to_value(&difference).map_err(anyhow::Error::from)?);
    } else {
        super::difference::show(screen, &difference);
    }
    Ok(exit)
}

/// Written whole or not at all, so that nobody takes half of one for a package.
pub(super) async fn export(client: &Client, screen: &Screen, args: &ExportArgs) -> Result<Exit, Failure> {
    let (name, of) = if args.runbook.contains('@') {
        version(client, &args.runbook).await?
    } else {
        let name = runbook_name(client, &args.runbook).await?;
        let runbook = client.get(&format!("/v1/runbooks/{}", segment(&name)), &[]).await?;
        (name, field(&runbook, "digest"))
    };
    let bytes = download(client, &name, &of).await?;
    let place = args.file.display();
    let created = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.file);
    let mut file = created.map_err(|error| {
        Failure::failed(format!("{place} cannot be created: {error}"), "name a file that does not exist yet")
    })?;
    if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
        let _ = std::fs::remove_file(&args.file);
        return Err(Failure::failed(format!("{place} cannot be written: {error}"), "make room, or name another place"));
    }
    if screen.json {
        screen.value(&json!({"name": name, "digest": of, "file": args.file, "bytes": bytes.len()}));
    } else {
        screen.line(&format!("{} {} is in {place} ({})", clean(&name), digest(&of), size(bytes.len() as u64)));
        screen.next(&format!("sandbook inspect {}", shell(&place.to_string())));
    }
    Ok(Exit::Ok)
}

/// An upload of a file that was exported; what it holds is read here first.
pub(super) async fn import(client: &Client, screen: &Screen, args: &ImportArgs) -> Result<Exit, Failure> {
    if args.file.is_dir() {
        let place = args.file.display();
        let fix = format!("sandbook push {}", shell(&place.to_string()));
        return Err(Failure::usage(format!("{place} is a folder"), fix));
    }
    super::author::push_package(client, screen, &args.file, args.stage).await
}

/// The version that acted before the one in use acts again, in one step of the daemon's.
pub(super) async fn rollback(client: &Client, screen: &Screen, args: &RollbackArgs) -> Result<Exit, Failure> {
    let name = runbook_name(client, &args.runbook).await?;
    let path = format!("/v1/runbooks/{}/rollback", segment(&name));
    let answer = client.send(Method::POST, &path, Some(&json!({"reason": args.reason}))).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let (stage, set) = (field(&answer, "stage"), field(&answer, "set"));
    let said = format!("{} {} {}", clean(&name), clean(&field(&answer, "version")), digest(&field(&answer, "digest")));
    screen.line(&format!("{said} is {} again", screen.ink.paint(Paint::Bold, &clean(&stage))));
    if stage != set {
        screen.line(&format!("not {}: the configuration or an automatic demotion says less", clean(&set)));
    }
    screen.next(&format!("sandbook versions {}", shell(&name)));
    Ok(Exit::Ok)
}
