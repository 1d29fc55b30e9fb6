//! `sandbook dev`: on every save build, check and rehearse, and say in a screenful what came of it.
//!
//! Without a daemon a package is rehearsed in its scenarios; with `--alert` in the daemon's real world, as a plan. Deliberately
//! not here: any of the steps, which are those of `build`, `check`, `test` and `plan`.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use clap::Args;
use notify::{EventKind, RecursiveMode, Watcher as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Examined, build, diagnostics, examine, sandbox};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::plan::render;
use crate::cli::screen::{Paint, Screen};
use crate::cli::text::{clean, shell};
use crate::library::{Package, WASM_FILE};
use crate::scenario::{self, Bench, Mismatch, Played, Scenario};
use crate::sdk::{self, WORK_DIR};

/// An editor writes a file in several steps: the look waits until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(60);
/// What tools write, and nobody saves.
const MADE: [&str; 5] = [WORK_DIR, "target", "node_modules", "__pycache__", ".git"];

/// `dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// A package's folder
    pub path: PathBuf,
    /// Rehearse this scenario only, and show every effect of it
    #[arg(long, value_name = "NAME", conflicts_with = "alert")]
    pub scenario: Option<String>,
    /// Plan against this alert in the daemon's real world; an alert, or a message of alerts, as JSON
    #[arg(long, value_name = "FILE")]
    pub alert: Option<PathBuf>,
    /// One round, then end with its exit code
    #[arg(long)]
    pub once: bool,
}

pub(in crate::cli) async fn dev(client: Option<&Client>, screen: &Screen, args: &DevArgs) -> Result<Exit, Failure> {
    if !args.path.is_dir() {
        let message = format!("{} is no folder", args.path.display());
        return Err(Failure::usage(message, "name a package's folder; `sandbook new NAME` starts one"));
    }
    let bench = Bench::new(sandbox()?)?;
    let (saved, mut saves) = mpsc::channel(1);
    let _watcher = watch(&args.path, saved)?;
    loop {
        let exit = round(client, screen, args, &bench).await;
        if args.once {
            return exit;
        }
        if let Err(failure) = exit {
            failure.report(screen);
        }
        if !screen.json {
            screen.line(&screen.ink.paint(Paint::Dim, "waiting for a save; Ctrl-C ends"));
        }
        let Some(()) = saves.recv().await else { return Ok(Exit::Ok) };
        while tokio::time::timeout(QUIET, saves.recv()).await.is_ok_and(|save| save.is_some()) {}
    }
}

/// Tells of every save below the folder that is a person's.
fn watch(folder: &Path, saved: mpsc::Sender<()>) -> Result<notify::RecommendedWatcher, Failure> {
    let root = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let told = {
        let root = root.clone();
        move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            // Reading is an event as well, and ours.
            let changed = !matches!(event.kind, EventKind::Access(_));
            if changed && event.paths.iter().any(|path| is_source(&root, path)) {
                // One that waits is enough.
                let _ = saved.try_send(());
            }
        }
    };
    let watcher = notify::recommended_watcher(told)
        .and_then(|mut watcher| watcher.watch(&root, RecursiveMode::Recursive).map(|()| watcher));
    watcher.map_err(|error| {
        Failure::failed(
            format!("{} cannot be watched: {error}", folder.display()),
            "raise fs.inotify.max_user_watches, or use --once",
        )
    })
}

/// Whether a person wrote it: not what building writes.
fn is_source(root: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(root) else { return false };
    let made = |part: Component<'_>| MADE.iter().any(|name| part.as_os_str() == *name);
    inside != Path::new(WASM_FILE) && inside != Path::new("Cargo.lock") && !inside.components().any(made)
}

/// One round; how it ended as an exit code.
async fn round(client: Option<&Client>, screen: &Screen, args: &DevArgs, bench: &Bench) -> Result<Exit, Failure> {
    let start = Instant::now();
    if sdk::is_stale(&args.path) {
        let built = build::going_on(screen, &args.path, sdk::build(&args.path, false)).await;
        let built = built.map_err(|trouble| build::failure(screen, &args.path, trouble))?;
        step(screen, Paint::Good, "built", &format!("{} in {} ms", built.language.name(), built.took.as_millis()));
    }
    let (problems, package) = examine(&args.path).await?;
    let (package, report) = package.unzip();
    let examined = Examined { problems, package, report };
    let Some(package) = examined.package.as_ref().filter(|_| !examined.failed()) else {
        return Ok(examined.show(screen, &args.path));
    };
    let tally = diagnostics::tally(&examined.problems);
    if !screen.json {
        super::show_problems(screen, &args.path, &examined.problems);
    }
    let checked =
        format!("{} {}  {}", package.name, package.version, if tally.is_empty() { "no problems" } else { &tally });
    step(screen, Paint::Good, "checked", &checked);
    let exit = match (client, &args.alert) {
        (Some(client), Some(alert)) => plan(client, screen, args, package, alert).await?,
        (_, _) => rehearse(screen, args, bench, package).await?,
    };
    if !screen.json {
        let ms = start.elapsed().as_millis();
        screen.line(&screen.ink.paint(Paint::Dim, &format!("{ms} ms in all")));
    }
    Ok(exit)
}

fn step(screen: &Screen, paint: Paint, word: &str, text: &str) {
    if !screen.json {
        screen.line(&format!("{}  {}", screen.ink.paint(paint, word), clean(text)));
    }
}

/// The plan against an alert, by the daemon.
async fn plan(
    client: &Client,
    screen: &Screen,
    args: &DevArgs,
    package: &Package,
    alert: &Path,
) -> Result<Exit, Failure> {
    let text = std::fs::read(alert).map_err(|error| {
        Failure::failed(format!("{} cannot be read: {error}", alert.display()), "name a file with an alert")
    })?;
    let alert: Value = serde_json::from_slice(&text).map_err(|error| {
        Failure::failed(format!("{}: {error}", alert.display()), "an alert, or a message of alerts, as json")
    })?;
    let package = base64::engine::general_purpose::STANDARD.encode(package.to_tar());
    let plan = client.send(Method::POST, "/v1/plans", Some(&json!({"alert": alert, "package": package}))).await?;
    if screen.json {
        screen.value(&plan);
    } else {
        let typed = format!("sandbook plan {}", shell(&args.path.display().to_string()));
        let options = render::Options { ink: screen.ink, width: crate::cli::screen::width(), typed: &typed };
        screen.print(&render::render(&plan, options));
    }
    Ok(Exit::Ok)
}

/// Every scenario in a line, or one of them in full.
async fn rehearse(screen: &Screen, args: &DevArgs, bench: &Bench, package: &Package) -> Result<Exit, Failure> {
    let (scenarios, _) = scenario::of(package);
    let name_of = |file: &str| file.trim_start_matches("scenarios/").trim_end_matches(".toml").to_owned();
    let wanted = |file: &str| args.scenario.as_ref().is_none_or(|wanted| *wanted == name_of(file));
    let mut failed = 0;
    let mut values = Vec::new();
    for (file, scenario) in scenarios.iter().filter(|(file, _)| wanted(file)) {
        let played = bench.play(package, scenario).await;
        let mismatches = scenario.expect.as_ref().map(|expect| scenario::judge(expect, &played)).unwrap_or_default();
        failed += usize::from(!mismatches.is_empty());
        if screen.json {
            values
                .push(json!({"scenario": name_of(file), "ok": mismatches.is_empty(), "outcome": played.outcome.name(),
                "sentence": played.sentence, "effects": played.effects, "mismatches": mismatches}));
            continue;
        }
        let full = args.scenario.is_some() || !mismatches.is_empty();
        show(screen, &name_of(file), scenario, &played, &mismatches, full);
    }
    if screen.json {
        screen.value(&json!({"ok": failed == 0, "package": package.name, "scenarios": values}));
    }
    match &args.scenario {
        Some(name) if !scenarios.iter().any(|(file, _)| wanted(file)) => Err(Failure::failed(
            format!("there is no scenario {name}"),
            "scenarios/NAME.toml; `sandbook test` plays them all",
        )),
        _ => Ok(if failed == 0 { Exit::Ok } else { Exit::Failed }),
    }
}

fn show(screen: &Screen, name: &str, scenario: &Scenario, played: &Played, mismatches: &[Mismatch], full: bool) {
    let ink = screen.ink;
    let (sign, paint) = if mismatches.is_empty() { ("✓", Paint::Good) } else { ("✗", Paint::Bad) };
    let ended = format!("{}: {}", played.outcome.name(), played.sentence);
    screen.line(&format!(
        "{} {}  {}",
        ink.paint(paint, sign),
        clean(name),
        ink.paint(Paint::Dim, &clean(&scenario.summary))
    ));
    if full {
        for effect in &played.effects {
            let refused = matches!(effect.decision.as_str(), "deny" | "limited");
            let mark = if refused { ink.paint(Paint::Bad, &effect.decision) } else { " ".repeat(4) };
            let error = effect.error.as_ref().map(|error| format!("  {error}")).unwrap_or_default();
            screen.line(&format!("    {mark} {}{}", clean(&effect.sentence), clean(&error)));
        }
        for note in &played.notes {
            screen.line(&format!("         {}", ink.paint(Paint::Dim, &clean(&note.text.replace('\n', " ")))));
        }
        for mismatch in mismatches {
            super::test::show_mismatch(screen, mismatch);
        }
    }
    screen.line(&format!("    {}", clean(&ended)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_building_writes_is_no_save() {
        let root = Path::new("/p");
        for (path, is) in [
            ("/p/main.py", true),
            ("/p/scenarios/a.toml", true),
            ("/p/src/lib.rs", true),
            ("/p/main.wasm", false),
            ("/p/.sandbook/build/world.wit", false),
            ("/p/target/release/x.wasm", false),
            ("/q/main.py", false),
        ] {
            assert_eq!(is_source(root, Path::new(path)), is, "{path}");
        }
    }
}
