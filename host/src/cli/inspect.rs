//! `inspect`: a package's maximum power before it is installed, whose signature it carries, and where it comes from.
//!
//! Nothing is run and no daemon is asked. Deliberately not here: what is granted, see [`super::rules`].

use std::path::PathBuf;

use clap::Args;
use sandbook_core::problem::Problem;
use serde_json::{Value, json};

use super::args::Global;
use super::author::{examine, show_problems};
use super::diagnostics;
use super::exit::{Exit, Failure};
use super::screen::{Paint, Screen};
use super::text::{clean, shell};
use crate::config::Config;
use crate::guest::{Code, Report};
use crate::library::{Package, power};
use crate::trust::{self, Broken, Signed, Trust};

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A package: a folder, a .rhai with its manifest in `//!` lines, a .wasm, or a tar
    pub path: PathBuf,
    /// A public key whose signature counts, besides those of the configuration
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<PathBuf>,
}

/// The keys of the configuration and of the command line.
fn trusted(global: &Global, args: &InspectArgs) -> Result<Trust, Failure> {
    let config = match &global.config {
        Some(file) => Config::load(Some(file), std::env::vars()).map_err(|problems| {
            let why = problems.first().map(Problem::to_string).unwrap_or_default();
            Failure::failed(why, "sandbook config check")
        })?,
        None => Config::default(),
    };
    let mut trust = Trust::load(&config)?;
    for file in &args.trust {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let key = trust::public_key(file).map_err(|error| {
            Failure::failed(format!("{}: {error:#}", file.display()), "name a public key of minisign")
        })?;
        trust.add(&name, key, None)?;
    }
    Ok(trust)
}

fn signed(package: &Package, trust: &Trust) -> Result<Signed, Broken> {
    match package.signature() {
        Some(text) => {
            let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
            trust.check(&text, &package.digest, now)
        }
        None => Ok(Signed::Unsigned),
    }
}

/// What is known of who made it, without asking anybody.
fn origin(package: &Package) -> String {
    if crate::library::is_built_in(&package.digest) {
        return format!("the same as {} that is built into this program", package.name);
    }
    let code = match &package.code {
        Code::Script(_) => "a Rhai script",
        Code::Wasm(_) => "a WebAssembly component",
    };
    match &package.manifest.drafted_by {
        Some(model) => {
            format!("{code}, drafted by the model {model}: it acts only after a person promoted this digest")
        }
        None => format!("{code}; who wrote it only a signature tells"),
    }
}

pub(super) async fn inspect(global: &Global, screen: &Screen, args: &InspectArgs) -> Result<Exit, Failure> {
    let trust = trusted(global, args)?;
    let (problems, package) = examine(&args.path).await?;
    let Some((package, report)) = package else {
        if screen.json {
            screen.value(&json!({"ok": false, "problems": problems}));
        } else {
            show_problems(screen, &args.path, &problems);
        }
        return Ok(Exit::Failed);
    };
    let signed = signed(&package, &trust);
    let sound = signed.is_ok() && problems.iter().all(|problem| problem.warning);
    if screen.json {
        screen.value(&value(&package, &report, &signed, &problems));
    } else {
        show(screen, &package, &signed);
        if !problems.is_empty() {
            let path = shell(&args.path.display().to_string());
            screen.line(&format!("\n{}: sandbook check {path}", diagnostics::tally(&problems)));
        }
    }
    Ok(if sound { Exit::Ok } else { Exit::Failed })
}

fn value(package: &Package, report: &Report, signed: &Result<Signed, Broken>, problems: &[Problem]) -> Value {
    let power = power::of(&package.manifest);
    let of = |name: &str| -> Vec<&str> {
        power.can.iter().filter(|one| one.class.name() == name).map(|one| one.effect.as_str()).collect()
    };
    let signature = match signed {
        Ok(signed) => json!(signed),
        Err(broken) => json!({"state": "broken", "code": broken.code(), "why": broken.to_string()}),
    };
    let files: Vec<Value> =
        package.files.iter().map(|(name, content)| json!({"name": name, "bytes": content.len()})).collect();
    json!({
        "name": package.name, "version": package.version, "digest": package.digest, "manifest": package.manifest,
        "power": {"read": of("observe"), "change": of("mutate"), "send": of("egress"), "tell": of("tell")},
        "can": power.can, "cannot": power.cannot, "about": power.about, "starts": power.starts, "bounds": power.bounds,
        "signature": signature, "origin": origin(package),
        "uses": report.effects, "has_verify": report.has_verify, "files": files, "problems": problems,
    })
}

fn show(screen: &Screen, package: &Package, signed: &Result<Signed, Broken>) {
    let ink = screen.ink;
    let power = power::of(&package.manifest);
    let head = ink.paint(Paint::Bold, &package.name);
    screen.line(&format!("{head}  {}  {}", package.version, ink.paint(Paint::Dim, &package.digest)));
    screen.line(&format!("{}\n", clean(&package.manifest.summary)));
    let (paint, said) = match signed {
        Ok(signed @ Signed::Trusted { .. }) => (Paint::Good, signed.to_string()),
        Ok(signed) => (Paint::Warn, signed.to_string()),
        Err(broken) => (Paint::Bad, format!("{broken} [{}]", broken.code())),
    };
    let rows = [
        ("is about", power.about.clone(), Paint::Plain),
        ("starts with", power.starts.join("; "), Paint::Plain),
        ("signature", said, paint),
        ("origin", origin(package), Paint::Plain),
    ];
    for (title, said, paint) in rows {
        screen.line(&format!("  {title:<12} {}", ink.paint(paint, &clean(&said))));
    }
    for bound in &power.bounds {
        screen.line(&format!("  {:<12} {}", "bounds", clean(bound)));
    }
    for (name, parameter) in &package.manifest.parameters {
        let default = parameter.default.as_ref().map(|value| format!(", {} if not given", value.text(parameter.type_)));
        let said = format!("{name}: {}{}", parameter.expected(), default.unwrap_or_default());
        screen.line(&format!("  {:<12} {}", "takes", clean(&said)));
    }
    let titles = [
        ("observe", "can read"),
        ("mutate", "can change, if granted"),
        ("egress", "can send out, to listed hosts"),
        ("tell", "can tell people, on configured channels"),
    ];
    for (class, title) in titles {
        let able: Vec<_> = power.can.iter().filter(|one| one.class.name() == class).collect();
        if !able.is_empty() {
            screen.line(&format!("\n{}", ink.paint(Paint::Bold, title)));
            able.iter().for_each(|one| screen.line(&format!("  {}", clean(&one.sentence))));
        }
    }
    screen.line(&format!("\n{}", ink.paint(Paint::Bold, "cannot, whatever is granted")));
    power.cannot.iter().for_each(|never| screen.line(&format!("  {never}")));
}
