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
use crate::guest::{Compiler, Options, Report, Sandbox};
use crate::library::{Package, Upload};

mod start;
mod test;

pub use test::TestArgs;
pub(super) use test::{from_run, test};

/// `check` and `inspect`.
#[derive(Debug, Args)]
pub struct PathArgs {
    /// A package: a folder, a .rhai with its manifest in `//!` lines, a .wasm, or a tar
    pub path: PathBuf,
}

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

/// `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// a-z, 0-9 and -, at most 63 characters; a path to put it elsewhere
    pub name: PathBuf,
    /// In which language; this version writes rhai
    #[arg(long, default_value = "rhai")]
    pub lang: Lang,
}

/// A language runbooks are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// A script; nothing to build
    Rhai,
    /// Not yet: compiled to WebAssembly
    #[value(hide = true)]
    Rust,
    /// Not yet: compiled to WebAssembly
    #[value(hide = true)]
    Python,
    /// Not yet: compiled to WebAssembly
    #[value(hide = true)]
    Js,
}

pub(super) fn new(screen: &Screen, args: &NewArgs) -> Result<Exit, Failure> {
    let other = match args.lang {
        Lang::Rhai => None,
        Lang::Rust => Some("rust"),
        Lang::Python => Some("python"),
        Lang::Js => Some("js"),
    };
    if let Some(lang) = other {
        let name = shell(&args.name.display().to_string());
        let message = format!("{lang} is not there yet: this version writes rhai");
        return Err(Failure::usage(message, format!("sandbook new {name} --lang rhai")));
    }
    let files = start::write(&args.name)?;
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
    screen.next(&format!(
        "edit main.rhai, then sandbook check {folder}, sandbook test {folder} and sandbook push {folder}"
    ));
    Ok(Exit::Ok)
}

/// A sandbox with the user's own compile cache: the second check of a script takes milliseconds.
pub(super) fn sandbox() -> Result<std::sync::Arc<Sandbox>, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|dir| dir.join("sandbook"));
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find the own program: {error}"), "start it by its path"))?;
    let options = |cache_dir| Options { cache_dir, compiler: Compiler::Child(program.clone()) };
    if let Some(dir) = home
        && make_private(&dir).is_ok()
        && let Ok(sandbox) = Sandbox::new(options(dir))
    {
        return Ok(sandbox);
    }
    // Without a home (a build container), compiled code goes to a folder nobody else can write.
    let dir = tempfile::Builder::new().prefix("sandbook-cache-").tempdir().map_err(anyhow::Error::from)?;
    Ok(Sandbox::new(options(dir.keep()))?)
}

/// Compiled code is mapped and executed, so nobody else may write where it lies.
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = std::fs::metadata(dir)?;
    let own = metadata.uid() == rustix::process::getuid().as_raw() && metadata.mode() & 0o022 == 0;
    let probe = tempfile::tempfile_in(dir);
    if own { probe.map(drop) } else { Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)) }
}

/// Reads a package and looks at its code; every problem, and the package if there is one.
pub(super) async fn examine(path: &Path) -> Result<(Vec<Problem>, Option<(Package, Report)>), Failure> {
    exists(path)?;
    let (package, mut problems) = match Package::read(Upload::Path(path)) {
        Ok(read) => read,
        Err(problems) => return Ok((problems, None)),
    };
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

pub(super) async fn check(screen: &Screen, args: &PathArgs) -> Result<Exit, Failure> {
    let (problems, package) = examine(&args.path).await?;
    let failed = problems.iter().any(|problem| !problem.warning);
    let exit = if failed { Exit::Failed } else { Exit::Ok };
    if screen.json {
        let about = package.as_ref().map(|(package, report)| {
            json!({"name": package.name, "version": package.version, "digest": package.digest,
                "effects": report.effects, "requests": package.manifest.requests, "has_verify": report.has_verify})
        });
        screen.value(&json!({"ok": !failed, "package": about, "problems": problems}));
        return Ok(exit);
    }
    show_problems(screen, &args.path, &problems);
    let tally = diagnostics::tally(&problems);
    match package {
        Some((package, _)) if !failed => {
            let but = if tally.is_empty() { tally } else { format!(" ({tally})") };
            screen.line(&format!(
                "{}: {} {} {}{but}",
                screen.ink.paint(Paint::Good, "ok"),
                package.name,
                package.version,
                screen.ink.paint(Paint::Dim, &digest(&package.digest)),
            ));
            screen.next(&format!("sandbook push {}", shell(&args.path.display().to_string())));
        }
        Some(_) | None => {
            let coded = problems.iter().find(|problem| !problem.warning && !problem.code.is_empty());
            let explain = coded.map(|problem| format!("; sandbook explain {}", problem.code)).unwrap_or_default();
            screen.line(&format!("{}: {tally}{explain}", screen.ink.paint(Paint::Bad, "failed")));
        }
    }
    Ok(exit)
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
    for warning in list(&answer, "warnings") {
        let text = warning.as_str().map_or_else(|| field(warning, "message"), str::to_owned);
        screen.line(&format!("  {}: {}", screen.ink.paint(Paint::Warn, "warning"), clean(&text)));
    }
    screen.next(&match stage.as_str() {
        "draft" => format!("sandbook promote {} shadow --reason \"…\"", shell(&name)),
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
