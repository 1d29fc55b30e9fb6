//! `sandbook build`: sources to `main.wasm`, or exactly what is missing; and building on the way to what needs a component.
//!
//! Deliberately not here: compilers, see [`crate::sdk`].

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use sandbook_core::manifest::Manifest;
use sandbook_core::problem::Problem;
use serde_json::json;

use super::show_problems;
use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Paint, Screen};
use crate::cli::text::{clean, shell, size};
use crate::library::{MANIFEST_FILE, NOT_BUILT, OTHER_BUILD, WASM_FILE, calls_unrequested};
use crate::sdk::{self, Language, Trouble};

/// `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// A package's folder
    pub path: PathBuf,
    /// Install what is missing first, below the user's cache folder; what needs root is only named
    #[arg(long)]
    pub install: bool,
}

pub(in crate::cli) async fn build(screen: &Screen, args: &BuildArgs) -> Result<Exit, Failure> {
    let built = match going_on(screen, &args.path, sdk::build(&args.path, args.install)).await {
        Ok(built) => built,
        Err(Trouble::Problems(problems)) if screen.json => {
            screen.value(&json!({"ok": false, "problems": problems}));
            return Ok(Exit::Failed);
        }
        Err(trouble) => return Err(failure(screen, &args.path, trouble)),
    };
    let took_ms = u64::try_from(built.took.as_millis()).unwrap_or(u64::MAX);
    if screen.json {
        let (file, language) = (&built.file, built.language.name());
        screen
            .value(&json!({"ok": true, "file": file, "language": language, "bytes": built.bytes, "took_ms": took_ms}));
        return Ok(Exit::Ok);
    }
    let file = clean(&built.file.display().to_string()).into_owned();
    let folder = shell(&args.path.display().to_string());
    if built.language == Language::Rhai {
        screen.line(&format!("{}: {file} is a script; there is nothing to build", screen.ink.paint(Paint::Good, "ok")));
    } else {
        screen.line(&format!(
            "{}: {file}  {} of {}  {}",
            screen.ink.paint(Paint::Good, "built"),
            size(built.bytes as u64),
            built.language.name(),
            screen.ink.paint(Paint::Dim, &crate::cli::text::took(took_ms)),
        ));
    }
    screen.next(&format!("sandbook check {folder} and sandbook test {folder}"));
    Ok(Exit::Ok)
}

/// Builds a package whose component is not of its sources; what needs no build is left as it is.
pub(in crate::cli) async fn built(screen: &Screen, path: &Path) -> Result<(), Failure> {
    if !sdk::is_stale(path) {
        return Ok(());
    }
    let built = going_on(screen, path, sdk::build(path, false)).await;
    built.map(drop).map_err(|trouble| failure(screen, path, trouble))
}

/// Says what is built, and on a terminal each second for how long it has been: a first build takes minutes.
pub(super) async fn going_on<T>(screen: &Screen, path: &Path, building: impl Future<Output = T>) -> T {
    let language = Language::of(path).filter(|language| *language != Language::Rhai);
    let Some(language) = language.filter(|_| !screen.json) else { return building.await };
    let what = format!("building {} in {} …", clean(&path.display().to_string()), language.name());
    if !std::io::stderr().is_terminal() {
        screen.error(&format!("{what}\n"));
        return building.await;
    }
    let start = Instant::now();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    tokio::pin!(building);
    loop {
        tokio::select! {
            built = &mut building => {
                screen.error("\r\x1b[K");
                return built;
            }
            _ = seconds.tick() => screen.error(&format!("\r\x1b[K{what} {} s", start.elapsed().as_secs())),
        }
    }
}

/// What a failed build says.
pub(super) fn failure(screen: &Screen, path: &Path, trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Problems(problems) => {
            if !screen.json {
                show_problems(screen, path, &problems);
            }
            Failure::failed(
                "the manifest has mistakes, so there is nothing to build",
                format!("correct {MANIFEST_FILE}"),
            )
        }
        Trouble::Missing { language, what, steps } => {
            let commands: Vec<String> = steps.iter().map(ToString::to_string).collect();
            let by_hand = steps.iter().any(sdk::Step::is_by_hand);
            let fix = match by_hand {
                true => format!("as root: {}", commands.join(" && ")),
                false => format!(
                    "sandbook build {} --install, which runs: {}",
                    shell(&path.display().to_string()),
                    commands.join(" && ")
                ),
            };
            Failure {
                code: MISSING.to_owned(),
                ..Failure::failed(format!("{language} is built with {what}, which is not there"), fix)
            }
        }
        Trouble::Failed { message, output, fix } => {
            if !output.is_empty() && !screen.json {
                screen.error(&format!(
                    "{}\n",
                    output.lines().map(|line| clean(line).into_owned()).collect::<Vec<_>>().join("\n")
                ));
            }
            let details = if screen.json { output.lines().map(serde_json::Value::from).collect() } else { Vec::new() };
            Failure { code: FAILED.to_owned(), details, ..Failure::failed(message, fix) }
        }
    }
}

/// A toolchain is not there.
const MISSING: &str = "SB0253";
/// A toolchain says no.
const FAILED: &str = "SB0254";

/// What can be said of a folder of sources that was never built: everything but the component. `None` where there is one.
pub(super) fn unbuilt(path: &Path) -> Option<Vec<Problem>> {
    let language = Language::of(path).filter(|language| *language != Language::Rhai)?;
    if path.join(WASM_FILE).exists() {
        return None;
    }
    let text = std::fs::read_to_string(path.join(MANIFEST_FILE)).ok()?;
    let mut problems = vec![warning(
        NOT_BUILT,
        format!(
            "this {} is not built yet: its manifest and scenarios were checked, and the calls its sources show",
            language.name()
        ),
        "`sandbook build PATH` makes main.wasm",
    )];
    match Manifest::parse(&text, MANIFEST_FILE) {
        Ok((manifest, warnings)) => {
            problems.extend(warnings);
            problems.extend(calls_unrequested(path, &manifest));
            problems.extend(crate::scenario::in_folder(path, &manifest));
        }
        Err(mistakes) => problems.extend(mistakes),
    }
    Some(problems)
}

/// A component that is not of the sources beside it.
pub(super) fn of_other_sources() -> Problem {
    let message = format!("{WASM_FILE} was built from other sources than those beside it");
    Problem { file: WASM_FILE.to_owned(), ..warning(OTHER_BUILD, message, "build it again: `sandbook build PATH`") }
}

fn warning(code: &'static str, message: String, help: &str) -> Problem {
    let (file, help) = (MANIFEST_FILE.to_owned(), help.to_owned());
    Problem { code, file, line: 1, column: 1, message, help, warning: true }
}
