//! What a runbook's author does at their own desk: start one, check it, test it, see its maximum power, upload it.
//!
//! Only `test` runs a runbook's code, in a simulated world; for the rest scripts are parsed by the interpreter inside the sandbox, components are compiled
//! and their imports read. Deliberately not here: what makes a package sound, see [`crate::library`].

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sandbook_core::problem::Problem;
use serde_json::{Value, json};

use super::args::StageWord;
use super::client::Client;
use super::diagnostics;
use super::exit::{Exit, Failure};
use super::look::list;
use super::screen::{Paint, Screen};
use super::text::{clean, digest, field, shell};
use crate::guest::{Compiler, Options, Report, Sandbox, user_cache};
use crate::library::{Package, Upload};
use crate::sdk::Language;

mod against;
mod build;
mod dev;
mod start;
mod test;

pub use build::BuildArgs;
pub(super) use build::{build, built};
pub use dev::DevArgs;
pub(super) use dev::dev;
pub use test::TestArgs;
pub(super) use test::{from_run, test};

/// `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// A package: a folder, a .rhai with its manifest in `//!` lines, a .wasm, or a tar
    pub path: PathBuf,
    /// Where it enters; it acts only after `promote`
    #[arg(long, default_value = "shadow")]
    pub stage: EntryStage,
}

/// A stage a package can enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EntryStage {
    /// Only plan and simulate
    Draft,
    /// Sees every alert, never acts
    Shadow,
}

impl EntryStage {
    fn word(self) -> StageWord {
        match self {
            EntryStage::Draft => StageWord::Draft,
            EntryStage::Shadow => StageWord::Shadow,
        }
    }
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A package: a folder, a .rhai with its manifest in `//!` lines, a .wasm, or a tar
    pub path: PathBuf,
    /// Also say what the policies of this folder would refuse; can be given several times
    #[arg(long, value_name = "DIR")]
    pub policy: Vec<PathBuf>,
    /// Also say what the daemon's policy would refuse
    #[arg(long, conflicts_with = "policy")]
    pub daemon: bool,
}

/// `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// a-z, 0-9 and -, at most 63 characters; a path to put it elsewhere
    pub name: PathBuf,
    /// In which language
    #[arg(long, default_value = "rhai")]
    pub lang: Lang,
}

/// A language runbooks are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// A script; nothing to build
    Rhai,
    /// A crate, compiled to some ten kilobytes
    Rust,
    /// Compiled with its interpreter
    Python,
    /// JavaScript; TypeScript is a main.ts in its place
    Js,
}

pub(super) fn new(screen: &Screen, args: &NewArgs) -> Result<Exit, Failure> {
    let (language, main) = match args.lang {
        Lang::Rhai => (Language::Rhai, "main.rhai"),
        Lang::Rust => (Language::Rust, "src/lib.rs"),
        Lang::Python => (Language::Python, "main.py"),
        Lang::Js => (Language::JavaScript, "main.js"),
    };
    let files = start::write(&args.name, language)?;
    let folder = shell(&args.name.display().to_string());
    if screen.json {
        screen.value(&json!({"folder": args.name, "files": files}));
        return Ok(Exit::Ok);
    }
    for file in files {
        screen.line(&format!(
            "  {} {}",
            screen.ink.paint(Paint::Good, "new"),
            clean(&args.name.join(file).display().to_string())
        ));
    }
    let build = if language == Language::Rhai { String::new() } else { format!("sandbook build {folder}, ") };
    screen.next(&format!(
        "edit {main}, then {build}sandbook check {folder}, sandbook test {folder} and sandbook push {folder}"
    ));
    Ok(Exit::Ok)
}

/// A sandbox with the user's own compile cache: the second check of a script takes milliseconds.
pub(super) fn sandbox() -> Result<std::sync::Arc<Sandbox>, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find the own program: {error}"), "start it by its path"))?;
    let cache_dir = user_cache().map_err(|error| {
        Failure::failed(format!("there is no place for compiled code: {error}"), "set TMPDIR to a folder you can write")
    })?;
    Ok(Sandbox::new(Options { cache_dir, compiler: Compiler::Child(program) })?)
}

/// Reads a package and looks at its code; every problem, and the package if there is one.
pub(super) async fn examine(path: &Path) -> Result<(Vec<Problem>, Option<(Package, Report)>), Failure> {
    exists(path)?;
    let (package, mut problems) = match Package::read(Upload::Path(path)) {
        Ok(read) => read,
        Err(problems) => return Ok((problems, None)),
    };
    if crate::sdk::is_stale(path) {
        problems.push(build::of_other_sources());
    }
    let sandbox = sandbox()?;
    let (more, report) = package.examine(&sandbox).await;
    problems.extend(more);
    problems.extend(crate::scenario::of(&package).1);
    Ok((problems, Some((package, report))))
}

/// A folder that holds packages is no package: which one was meant is not guessed.
fn exists(path: &Path) -> Result<(), Failure> {
    if !path.exists() {
        return Err(Failure::failed(format!("there is no {}", path.display()), "name a package's folder or file"));
    }
    if !path.is_dir() || ["runbook.toml", "main.rhai", "main.wasm"].iter().any(|name| path.join(name).exists()) {
        return Ok(());
    }
    let mut inside: Vec<String> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("runbook.toml").exists())
        .map(|entry| entry.path().display().to_string())
        .collect();
    inside.sort();
    if inside.is_empty() {
        return Ok(());
    }
    let message = format!("{} holds several packages: {}", path.display(), inside.join(", "));
    Err(Failure::failed(message, "name one of them"))
}

/// Where the text of a problem's file stands: the file itself, or in the folder.
fn source(path: &Path, file: &str) -> Option<String> {
    let place = if path.is_dir() { path.join(file) } else { path.to_owned() };
    std::fs::read_to_string(place).ok()
}

pub(super) fn show_problems(screen: &Screen, path: &Path, problems: &[Problem]) {
    let mut shown = problems.to_vec();
    if path.is_dir() {
        for problem in &mut shown {
            problem.file = path.join(&problem.file).display().to_string();
        }
    }
    let read = |file: &str| match Path::new(file).strip_prefix(path) {
        Ok(inside) if path.is_dir() => source(path, &inside.to_string_lossy()),
        Ok(_) | Err(_) => source(path, file),
    };
    screen.print(&diagnostics::render(&shown, screen.ink, read));
}

pub(super) async fn check(client: Option<&Client>, screen: &Screen, args: &CheckArgs) -> Result<Exit, Failure> {
    let mut found = match build::unbuilt(&args.path) {
        Some(problems) => Examined { problems, ..Examined::default() },
        None => {
            let (problems, package) = examine(&args.path).await?;
            let (package, report) = package.unzip();
            Examined { problems, package, report }
        }
    };
    if let Some(package) = &found.package {
        found.problems.extend(against::policy(client, package, args).await?);
    }
    Ok(found.show(screen, &args.path))
}

/// What a check came to.
#[derive(Default)]
pub(super) struct Examined {
    problems: Vec<Problem>,
    package: Option<Package>,
    report: Option<Report>,
}

impl Examined {
    fn failed(&self) -> bool {
        self.problems.iter().any(|problem| !problem.warning)
    }

    fn show(&self, screen: &Screen, path: &Path) -> Exit {
        let exit = if self.failed() { Exit::Failed } else { Exit::Ok };
        if screen.json {
            let report = self.report.as_ref();
            let about = self.package.as_ref().map(|package| {
                json!({"name": package.name, "version": package.version, "digest": package.digest,
                    "effects": report.map(|report| &report.effects), "requests": package.manifest.requests,
                    "has_verify": report.is_some_and(|report| report.has_verify)})
            });
            screen.value(&json!({"ok": exit == Exit::Ok, "package": about, "problems": self.problems}));
            return exit;
        }
        show_problems(screen, path, &self.problems);
        self.conclude(screen, path);
        exit
    }

    /// The last line, and the next step.
    fn conclude(&self, screen: &Screen, path: &Path) {
        let tally = diagnostics::tally(&self.problems);
        let but = if tally.is_empty() { String::new() } else { format!(" ({tally})") };
        let (ink, shown) = (screen.ink, shell(&path.display().to_string()));
        match &self.package {
            _ if self.failed() => {
                let coded = self.problems.iter().find(|problem| !problem.warning && !problem.code.is_empty());
                let explain = coded.map(|problem| format!("; sandbook explain {}", problem.code)).unwrap_or_default();
                screen.line(&format!("{}: {tally}{explain}", ink.paint(Paint::Bad, "failed")));
            }
            Some(package) => {
                let digest = ink.paint(Paint::Dim, &digest(&package.digest));
                let ok = ink.paint(Paint::Good, "ok");
                screen.line(&format!("{ok}: {} {} {digest}{but}", package.name, package.version));
                screen.next(&format!("sandbook push {shown}"));
            }
            None => {
                screen.line(&format!("{}: as far as it is built{but}", ink.paint(Paint::Good, "ok")));
                screen.next(&format!("sandbook build {shown}"));
            }
        }
    }
}

/// The package at a path, read here before anything is sent: mistakes are shown with their lines, and build output beside
/// a package stays where it is. `None`: it has mistakes, which were shown.
pub(super) fn package_at(screen: &Screen, path: &Path) -> Result<Option<Package>, Failure> {
    exists(path)?;
    match Package::read(Upload::Path(path)) {
        Ok((package, _)) => return Ok(Some(package)),
        Err(problems) if screen.json => screen.value(&json!({"ok": false, "problems": problems})),
        Err(problems) => {
            show_problems(screen, path, &problems);
            screen.line(&format!("{}: nothing was sent", diagnostics::tally(&problems)));
        }
    }
    Ok(None)
}

pub(super) async fn push(client: &Client, screen: &Screen, args: &PushArgs) -> Result<Exit, Failure> {
    push_package(client, screen, &args.path, args.stage).await
}

/// Uploads the package at a path, with the signature beside or inside it.
pub(super) async fn push_package(
    client: &Client,
    screen: &Screen,
    path: &Path,
    stage: EntryStage,
) -> Result<Exit, Failure> {
    built(screen, path).await?;
    let Some(package) = package_at(screen, path)? else { return Ok(Exit::Failed) };
    // A single file has no place for a signature; in a tar its digest is the same.
    let single = path.is_file() && package.signature().is_none();
    let extension = path.extension().and_then(|extension| extension.to_str()).filter(|_| single);
    let whole = || {
        std::fs::read(path).map_err(|error| Failure::failed(format!("{} cannot be read: {error}", path.display()), ""))
    };
    let (content_type, bytes) = match extension {
        Some("rhai") => ("text/x-rhai", whole()?),
        Some("wasm") => ("application/wasm", whole()?),
        Some(_) | None => ("application/x-tar", package.to_tar()),
    };
    let query = [("stage", stage.word().name().to_owned())];
    let answer = match client.upload("/v1/runbooks", &query, content_type, bytes).await {
        Ok(answer) => answer,
        Err(failure) => return Err(quoted(screen, path, failure)),
    };
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    let (name, stage) = (field(&answer, "name"), field(&answer, "stage"));
    screen.line(&format!(
        "{} {} {}  {}",
        screen.ink.paint(Paint::Bold, &clean(&name)),
        clean(&field(&answer, "version")),
        screen.ink.paint(Paint::Dim, &digest(&field(&answer, "digest"))),
        screen.ink.paint(super::look::paint_state(&stage), &clean(&stage)),
    ));
    let requests: Vec<&str> = list(&answer, "requests").iter().filter_map(Value::as_str).collect();
    if !requests.is_empty() {
        screen.line(&format!("  asks for {}", clean(&requests.join(", "))));
    }
    if answer["replaced"] == true {
        screen.line("  the code was there: its scenarios and pages are replaced");
    }
    for warning in list(&answer, "warnings") {
        let text = warning.as_str().map_or_else(|| field(warning, "message"), str::to_owned);
        screen.line(&format!("  {}: {}", screen.ink.paint(Paint::Warn, "warning"), clean(&text)));
    }
    screen.next(&match stage.as_str() {
        "draft" => {
            let digest = field(&answer, "digest");
            format!("sandbook promote {}@{} shadow --reason \"…\"", shell(&name), shell(&digest))
        }
        "shadow" => {
            format!("it sees alerts and changes nothing; then sandbook promote {} ask --reason \"…\"", shell(&name))
        }
        _ => format!("sandbook grants {}", shell(&name)),
    });
    Ok(Exit::Ok)
}

/// A 422 whose details are problems: shown with their lines, which only this side has.
fn quoted(screen: &Screen, path: &Path, failure: Failure) -> Failure {
    if screen.json {
        return failure;
    }
    let problem = |detail: &Value| {
        let number = |key: &str| detail[key].as_u64().and_then(|number| u32::try_from(number).ok());
        Some(Problem {
            // Codes in problems are static words; the catalogue of pages has the one that was sent.
            code: "",
            file: detail["file"].as_str()?.to_owned(),
            line: number("line")?,
            column: number("column")?,
            message: format!("{}{}", bracketed(&field(detail, "code")), detail["message"].as_str()?),
            help: field(detail, "help"),
            warning: detail["warning"] == true,
        })
    };
    let problems: Option<Vec<Problem>> = failure.details.iter().map(problem).collect();
    match problems {
        Some(problems) if !problems.is_empty() => {
            show_problems(screen, path, &problems);
            Failure { details: Vec::new(), ..failure }
        }
        Some(_) | None => failure,
    }
}

fn bracketed(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!("{code}: ") }
}
