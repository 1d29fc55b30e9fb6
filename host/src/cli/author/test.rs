//! `sandbook test`: plays a package's scenarios here, without a daemon, and says what is not as expected; and records a
//! scenario from a run of the daemon.
//!
//! Deliberately not here: what a scenario is and how it is judged, see [`crate::scenario`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use sandbook_core::problem::Problem;
use serde_json::{Value, json};

use super::super::diagnostics;
use super::{built, package_at, sandbox, show_problems};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::runs::run_and_records;
use crate::cli::screen::{Paint, Screen};
use crate::cli::text::{clean, count, field, shell};
use crate::guest::Code;
use crate::library::Package;
use crate::scenario::{self, Bench, Coverage, Mismatch, Played, Recorded, Scenario, Sign};

/// Characters of a script's line that are shown.
const LINE_CHARS_MAX: usize = 70;
/// Characters of a value that differs.
const VALUE_CHARS_MAX: usize = 400;

/// `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Packages, or folders of packages
    #[arg(required_unless_present = "from_run")]
    pub paths: Vec<PathBuf>,
    /// Only scenarios whose file is called so
    #[arg(long, value_name = "NAME", conflicts_with = "from_run")]
    pub scenario: Option<String>,
    /// Write what came of failing scenarios as their expectations; everything else in the file stays
    #[arg(long, conflicts_with = "from_run")]
    pub update: bool,
    /// Make a scenario of this run of the daemon: into the package's folder, or to stdout without one
    #[arg(long, value_name = "RUN")]
    pub from_run: Option<String>,
}

/// A scenario that was played.
struct Outcome {
    name: String,
    file: String,
    summary: String,
    played: Played,
    mismatches: Vec<Mismatch>,
    /// It was given what came of it as its expectations.
    updated: bool,
    /// It cannot be judged or updated, and why.
    trouble: Option<String>,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.trouble.is_none() && (self.updated || self.mismatches.is_empty())
    }
}

/// A package whose scenarios were played.
struct Tested {
    path: PathBuf,
    package: Package,
    problems: Vec<Problem>,
    results: Vec<Outcome>,
    coverage: Coverage,
    /// Every scenario was played, so that what is not covered says something.
    whole: bool,
}

pub(in crate::cli) async fn test(screen: &Screen, args: &TestArgs) -> Result<Exit, Failure> {
    let paths = packages(&args.paths)?;
    let bench = Bench::new(sandbox()?)?;
    let (mut played, mut failed, mut values) = (0, 0, Vec::new());
    for path in paths {
        built(screen, &path).await?;
        let Some(package) = package_at(screen, &path)? else { return Ok(Exit::Failed) };
        let tested = test_package(&bench, path, package, args).await?;
        played += tested.results.len();
        failed += tested.results.iter().filter(|result| !result.passed()).count() + tested.problems.len();
        if screen.json {
            values.push(value(&tested));
        } else {
            show(screen, &tested);
        }
    }
    let exit = if failed > 0 || played == 0 { Exit::Failed } else { Exit::Ok };
    if screen.json {
        screen.value(&json!({"ok": exit == Exit::Ok, "packages": values}));
        return Ok(exit);
    }
    if played == 0 && failed == 0 {
        let message = match &args.scenario {
            Some(name) => format!("there is no scenario {name}"),
            None => "there are no scenarios".to_owned(),
        };
        return Err(Failure::failed(message, "`sandbook test PATH --from-run RUN` records one from a run"));
    }
    let but = if failed > 0 {
        screen.ink.paint(Paint::Bad, &format!("{failed} failed"))
    } else {
        screen.ink.paint(Paint::Good, "all passed")
    };
    screen.line(&format!("{}, {but}", count(played, "scenario")));
    Ok(exit)
}

/// Packages as named; a folder of packages means each of them.
fn packages(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let inside = ["runbook.toml", "main.rhai", "main.wasm"].iter().any(|name| path.join(name).exists());
        let mut below: Vec<PathBuf> = match path.is_dir() && !inside {
            true => std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect(),
            false => Vec::new(),
        };
        below.retain(|path| path.join("runbook.toml").exists());
        below.sort();
        if below.is_empty() { found.push(path.clone()) } else { found.extend(below) }
    }
    Ok(found)
}

async fn test_package(bench: &Bench, path: PathBuf, package: Package, args: &TestArgs) -> Result<Tested, Failure> {
    let (scenarios, problems) = scenario::of(&package);
    let mut coverage = Coverage::of(&package);
    let mut results = Vec::new();
    // The first run of a package also compiles it, which is nobody's time.
    if let Some((_, first)) = scenarios.first() {
        drop(bench.play(&package, first).await);
    }
    for (file, scenario) in &scenarios {
        let name = file.trim_start_matches("scenarios/").trim_end_matches(".toml");
        if args.scenario.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let played = bench.play(&package, scenario).await;
        coverage.add(&played, bench.branches(&package, scenario).await);
        results.push(judged(&path, name, file, scenario, played, args.update));
    }
    Ok(Tested { path, package, problems, results, coverage, whole: args.scenario.is_none() })
}

fn judged(path: &Path, name: &str, file: &str, scenario: &Scenario, played: Played, update: bool) -> Outcome {
    let mismatches = scenario.expect.as_ref().map(|expect| scenario::judge(expect, &played));
    let missing = mismatches.is_none();
    let mismatches = mismatches.unwrap_or_default();
    let mut result = Outcome {
        name: name.to_owned(),
        file: file.to_owned(),
        summary: scenario.summary.clone(),
        played,
        mismatches,
        updated: false,
        trouble: None,
    };
    if !missing && result.mismatches.is_empty() {
        return result;
    }
    if update {
        let expectations = scenario::expectations(&result.played, scenario.expect.as_ref());
        match rewrite(&path.join(file), &expectations) {
            Ok(()) => result.updated = true,
            Err(why) => result.trouble = Some(why),
        }
    } else if missing {
        result.trouble = Some("it expects nothing; `sandbook test --update` writes what came of it".to_owned());
    }
    result
}

fn rewrite(file: &Path, expectations: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let updated = scenario::updated(&text, expectations)?;
    std::fs::write(file, updated).map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

fn show(screen: &Screen, tested: &Tested) {
    let ink = screen.ink;
    screen.line(&format!("{}  {}", ink.paint(Paint::Bold, &tested.package.name), tested.package.version));
    show_problems(screen, &tested.path, &tested.problems);
    let width = tested.results.iter().map(|result| result.name.chars().count()).max().unwrap_or(0);
    for result in &tested.results {
        let (sign, paint) = match (result.passed(), result.updated) {
            (true, true) => ("↻", Paint::Warn),
            (true, false) => ("✓", Paint::Good),
            (false, _) => ("✗", Paint::Bad),
        };
        screen.line(&format!(
            "  {} {:width$}  {}  {}",
            ink.paint(paint, sign),
            clean(&result.name),
            ink.paint(Paint::Dim, &format!("{:>6}", span(result.played.took))),
            clean(&result.summary),
        ));
        if let Some(trouble) = &result.trouble {
            screen.line(&format!("      {}", clean(trouble)));
        }
        for mismatch in &result.mismatches {
            show_mismatch(screen, mismatch);
        }
        if !result.passed()
            && let Some((line, column)) = result.played.place
        {
            screen.line(&format!("      at {line}:{column} of the script"));
        }
    }
    show_coverage(screen, tested);
    screen.line("");
}

pub(super) fn show_mismatch(screen: &Screen, mismatch: &Mismatch) {
    let ink = screen.ink;
    match mismatch {
        Mismatch::Value { what, expected, actual } => {
            screen.line(&format!("      {}", clean(what)));
            screen
                .line(&format!("        {}", ink.paint(Paint::Bad, &format!("- {}", cut(expected, VALUE_CHARS_MAX)))));
            screen.line(&format!("        {}", ink.paint(Paint::Good, &format!("+ {}", cut(actual, VALUE_CHARS_MAX)))));
        }
        Mismatch::Effects { lines } => {
            screen.line("      effects");
            for line in lines {
                let (sign, paint) = match line.sign {
                    Sign::Both => (' ', Paint::Plain),
                    Sign::Expected => ('-', Paint::Bad),
                    Sign::Happened => ('+', Paint::Good),
                };
                screen.line(&format!(
                    "        {}",
                    ink.paint(paint, &format!("{sign} {}", cut(&line.text, VALUE_CHARS_MAX)))
                ));
            }
        }
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    let clean = clean(text).replace('\n', " ");
    match clean.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

fn show_coverage(screen: &Screen, tested: &Tested) {
    if !tested.whole || tested.results.is_empty() {
        return;
    }
    let ink = screen.ink;
    let unused = tested.coverage.unused(&tested.package);
    if !unused.is_empty() {
        screen.line(&format!("  {} {}", ink.paint(Paint::Warn, "never used:"), unused.join(", ")));
    }
    match (&tested.package.code, &tested.coverage.points) {
        (Code::Script(source), Some(_)) => {
            let unreached = tested.coverage.unreached();
            if !unreached.is_empty() {
                screen.line(&format!("  {}", ink.paint(Paint::Warn, "never reached:")));
            }
            for point in unreached {
                let line = source.lines().nth((point.line as usize).saturating_sub(1)).unwrap_or_default().trim();
                screen.line(&format!(
                    "    {:>4}  {:18}  {}",
                    point.line,
                    point.what,
                    ink.paint(Paint::Dim, &cut(line, LINE_CHARS_MAX))
                ));
            }
        }
        (Code::Script(_), None) => screen.line("  its branches cannot be told apart, so they are not counted"),
        (Code::Wasm(_), _) => {
            let outcomes: Vec<&str> = tested.coverage.outcomes.iter().copied().collect();
            screen.line(&format!("  {} {}", ink.paint(Paint::Dim, "came to:"), outcomes.join(", ")));
        }
    }
}

fn span(took: Duration) -> String {
    let tenths = took.as_micros() / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

fn value(tested: &Tested) -> Value {
    let results: Vec<Value> = tested
        .results
        .iter()
        .map(|result| {
            json!({
                "name": result.name, "file": result.file, "summary": result.summary, "ok": result.passed(),
                "updated": result.updated, "trouble": result.trouble, "took_ms": result.played.took.as_secs_f64() * 1e3,
                "outcome": result.played.outcome.name(), "sentence": result.played.sentence,
                "effects": result.played.effects, "notes": result.played.notes, "mismatches": result.mismatches,
            })
        })
        .collect();
    let coverage = &tested.coverage;
    let of_all = |value: Value| if tested.whole { value } else { Value::Null };
    json!({
        "path": tested.path, "name": tested.package.name, "version": tested.package.version,
        "digest": tested.package.digest, "problems": tested.problems, "scenarios": results,
        "coverage": of_all(json!({
            "unused_effects": coverage.unused(&tested.package), "outcomes": coverage.outcomes,
            "branches": coverage.points.as_ref().map(Vec::len),
            "unreached": coverage.points.as_ref().map(|_| coverage.unreached()),
        })),
    })
}

/// A scenario from a run of the daemon.
pub(in crate::cli) async fn from_run(
    client: &Client,
    screen: &Screen,
    args: &TestArgs,
    run: &str,
) -> Result<Exit, Failure> {
    let path = match &args.paths[..] {
        [] => None,
        [path] => Some(path),
        [..] => return Err(Failure::usage("a scenario is recorded into one package", "name one of them")),
    };
    let (run, records) = run_and_records(client, run).await?;
    let Recorded { text, doubts } = scenario::recorded(&run, &records)
        .map_err(|why| Failure::failed(why, "choose a run that acted, or looked: `sandbook runs`"))?;
    let Some(path) = path else {
        screen.print(&text);
        screen
            .error("without a package it expects nothing yet: save it into scenarios/, then sandbook test --update\n");
        return Ok(Exit::Ok);
    };
    let Some(package) = package_at(screen, path)? else { return Ok(Exit::Failed) };
    if package.name != field(&run, "runbook") {
        let message = format!("the run is of {}, and {} is {}", field(&run, "runbook"), path.display(), package.name);
        return Err(Failure::failed(message, "name the folder of its runbook"));
    }
    let name = format!("scenarios/{}.toml", field(&run, "run"));
    let scenario = match scenario::read(&text, &name, &package.manifest) {
        Ok(scenario) => scenario,
        Err(problems) => {
            screen.print(&diagnostics::render(&problems, screen.ink, |_| Some(text.clone())));
            return Err(Failure::failed("no scenario can be made of this run", "write one by hand"));
        }
    };
    let played = Bench::new(sandbox()?)?.play(&package, &scenario).await;
    let file = path.join(&name);
    let whole = scenario::written(&text, &scenario::expectations(&played, None));
    create(&file, &whole)?;
    let mut doubts = doubts;
    doubts.extend(differences(&run, &records, &played));
    if screen.json {
        let (outcome, sentence) = (played.outcome.name(), &played.sentence);
        screen.value(&json!({"file": file, "outcome": outcome, "sentence": sentence, "doubts": doubts}));
        return Ok(Exit::Ok);
    }
    screen.line(&format!("{} {}", screen.ink.paint(Paint::Good, "new"), clean(&file.display().to_string())));
    for doubt in doubts {
        screen.line(&format!("  {} {}", screen.ink.paint(Paint::Warn, "note:"), clean(&doubt)));
    }
    screen.next(&format!("sandbook test {}", shell(&path.display().to_string())));
    Ok(Exit::Ok)
}

fn create(file: &Path, text: &str) -> Result<(), Failure> {
    let fail = |error: std::io::Error| {
        let fix = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "move it away first: nothing is overwritten",
            _ => "name a package's folder that you can write",
        };
        Failure::failed(format!("{} cannot be created: {error}", file.display()), fix)
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    use std::io::Write as _;
    std::fs::File::create_new(file).and_then(|mut file| file.write_all(text.as_bytes())).map_err(fail)
}

/// Where the simulated world comes to something else than the real one did.
fn differences(run: &Value, records: &[Value], played: &Played) -> Vec<String> {
    let mut found = Vec::new();
    let outcome = field(run, "outcome");
    if outcome != played.outcome.name() {
        found.push(format!(
            "the run came to {outcome}, the scenario comes to {}: {}",
            played.outcome.name(),
            played.sentence
        ));
    }
    let mut slots = BTreeSet::new();
    let real: Vec<&str> = records
        .iter()
        .filter(|record| record["kind"] == "settled" && record["slot"].as_u64().is_some_and(|slot| slots.insert(slot)))
        .filter_map(|record| record["effect"].as_str())
        .filter(|effect| scenario::counted(effect))
        .collect();
    let simulated = played.effects.iter().map(|effect| effect.effect.as_str());
    let simulated: Vec<&str> = simulated.filter(|effect| scenario::counted(effect)).collect();
    if real != simulated {
        found.push(format!("the run did {real:?}, the scenario does {simulated:?}"));
    }
    found
}
