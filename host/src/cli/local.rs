//! Commands that need no daemon: the catalogue, error pages, configuration, policy, completions.
//!
//! Deliberately not here: packages, see [`super::author`].

use std::path::PathBuf;

use clap::CommandFactory as _;
use sandbook_core::effect::{Class, Effect, Info, closest};
use sandbook_core::problem::Problem;
use serde_json::{Value, json};

use super::args::{Cli, CompletionsArgs, ConfigCommand, EffectsArgs, ExplainArgs, Global, PolicyCommand};
use super::diagnostics;
use super::exit::{Exit, Failure};
use super::screen::{Cell, Paint, Screen, Table};
use super::text::{clean, size, took};
use crate::config::{self, Config};
use crate::guest::WIT;
use crate::policy::{Policy, schema};

/// A page for each error code.
static PAGES: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/../docs/errors");

/// Where grants go when the configuration names no policy folder, below the data directory.
const OWN_POLICY: &str = "policy";

/// What the guest contract says of an effect.
#[derive(Debug, Default, Clone)]
struct Words {
    docs: String,
    signature: String,
}

/// Comment and signature of an effect's function, as the contract has them.
fn words(name: &str) -> Words {
    let Some((interface, function)) = name.split_once('.') else { return Words::default() };
    let begin = format!("interface {interface} {{");
    let texts = WIT.files().filter_map(|file| file.contents_utf8());
    let Some(text) = texts.filter_map(|text| text.split_once(&begin)).map(|(_, after)| after).next() else {
        return Words::default();
    };
    let mut docs = Vec::new();
    for line in text.lines().map(str::trim).take_while(|line| !line.starts_with("interface ")) {
        if let Some(comment) = line.strip_prefix("///") {
            docs.push(comment.trim());
        } else if let Some(signature) = line.strip_prefix(function).and_then(|rest| rest.strip_prefix(": func")) {
            return Words { docs: docs.join(" "), signature: signature.trim_end_matches(';').to_owned() };
        } else {
            docs.clear();
        }
    }
    Words::default()
}

/// What an effect's class needs before it may happen.
fn needs(class: Class) -> &'static str {
    match class {
        Class::Ambient | Class::Note | Class::State | Class::Wait => "nothing",
        Class::Observe => "the manifest's request",
        Class::Egress => "the manifest's request, and the host under [egress]",
        Class::Tell => "the manifest's request, and a channel under [notify]",
        Class::Mutate => "the manifest's request, a grant, and stage ask or live",
    }
}

fn effect_json(info: &Info) -> Value {
    let words = words(info.name);
    json!({
        "effect": info.name, "class": info.class, "rhai": rhai(info.name), "docs": words.docs,
        "signature": words.signature, "needs": needs(info.class), "deadline_ms": info.deadline_ms,
        "output_bytes_max": info.output_bytes_max,
    })
}

fn rhai(name: &str) -> String {
    name.replace('-', "_").replacen('.', "::", 1)
}

pub(super) fn effects(screen: &Screen, args: &EffectsArgs) -> Result<Exit, Failure> {
    let Some(name) = &args.effect else {
        if screen.json {
            screen.value(&json!({"effects": Effect::ALL.iter().map(effect_json).collect::<Vec<_>>()}));
            return Ok(Exit::Ok);
        }
        let mut table = Table::new(&["EFFECT", "CLASS", "WHAT IT DOES"]);
        for info in Effect::ALL {
            let paint = if info.class == Class::Mutate { Paint::Warn } else { Paint::Plain };
            let docs = words(info.name).docs;
            let first = docs.split_inclusive(". ").next().unwrap_or_default().trim().to_owned();
            table.row([
                Cell::new(info.name).paint(Paint::Bold),
                Cell::new(info.class.name()).paint(paint),
                first.into(),
            ]);
        }
        screen.print(&table.render(screen.ink));
        screen.next("sandbook effects docker.restart-container");
        return Ok(Exit::Ok);
    };
    let name = name.replacen("::", ".", 1).replace('_', "-");
    let info = Effect::find(&name).ok_or_else(|| {
        let fix = Effect::closest(&name)
            .map_or("`sandbook effects` lists them".to_owned(), |near| format!("did you mean {near}?"));
        Failure::failed(format!("there is no effect `{name}`"), fix)
    })?;
    if screen.json {
        screen.value(&effect_json(info));
        return Ok(Exit::Ok);
    }
    let words = words(info.name);
    screen.line(&format!("{}\n{}\n", screen.ink.paint(Paint::Bold, info.name), words.docs));
    for (title, value) in [
        ("class", info.class.name().to_owned()),
        ("needs", needs(info.class).to_owned()),
        ("in Rhai", rhai(info.name)),
        ("contract", words.signature),
        ("deadline", took(info.deadline_ms)),
        ("result", format!("at most {}", size(info.output_bytes_max as u64))),
    ] {
        screen.line(&format!("  {} {value}", screen.ink.paint(Paint::Dim, &format!("{title:<9}"))));
    }
    Ok(Exit::Ok)
}

pub(super) fn explain(screen: &Screen, args: &ExplainArgs) -> Result<Exit, Failure> {
    if args.code == "run" {
        return Err(Failure::usage("which run is not said", "sandbook explain run last"));
    }
    let digits = args.code.trim().to_ascii_uppercase();
    let code = if digits.bytes().all(|byte| byte.is_ascii_digit()) { format!("SB{digits:0>4}") } else { digits };
    let Some(page) = PAGES.get_file(format!("{code}.md")).and_then(|file| file.contents_utf8()) else {
        let codes: Vec<&str> = PAGES.files().filter_map(|file| file.path().file_stem()?.to_str()).collect();
        let near = closest(&code, codes.into_iter()).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        return Err(Failure::failed(
            format!("there is no page for `{}`", args.code),
            format!("{near}codes look like SB0206"),
        ));
    };
    if screen.json {
        screen.value(&json!({"code": code, "page": page}));
    } else {
        screen.print(page);
    }
    Ok(Exit::Ok)
}

/// Prints problems, as JSON or quoted. The exit code is 1 when one of them is an error.
pub(super) fn report(screen: &Screen, problems: &[Problem], fine: &str) -> Exit {
    let failed = problems.iter().any(|problem| !problem.warning);
    if screen.json {
        screen.value(&json!({"ok": !failed, "problems": problems}));
    } else {
        let read = |file: &str| std::fs::read_to_string(file).ok();
        screen.print(&diagnostics::render(problems, screen.ink, read));
        if failed {
            screen.line(&format!("{}: {}", screen.ink.paint(Paint::Bad, "failed"), diagnostics::tally(problems)));
        } else {
            let tally = diagnostics::tally(problems);
            let but = if tally.is_empty() { tally } else { format!(" ({tally})") };
            screen.line(&format!("{}: {fine}{but}", screen.ink.paint(Paint::Good, "ok")));
        }
    }
    if failed { Exit::Failed } else { Exit::Ok }
}

fn load(global: &Global) -> Result<Config, Vec<Problem>> {
    Config::load(global.config.as_deref(), variables())
}

/// Variables that are not text cannot be keys of ours.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

pub(super) fn config(screen: &Screen, global: &Global, command: &ConfigCommand) -> Result<Exit, Failure> {
    if matches!(command, ConfigCommand::Reference) {
        screen.print(&config::reference());
        return Ok(Exit::Ok);
    }
    let config = match load(global) {
        Ok(config) => config,
        Err(problems) => return Ok(report(screen, &problems, "")),
    };
    match command {
        ConfigCommand::Check => {
            let place =
                global.config.as_ref().map_or("no file, the defaults".to_owned(), |path| path.display().to_string());
            let mut problems = config.warnings.clone();
            let text = global.config.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
            problems.extend(config.unreadable_files(&text, variables()));
            // A policy that does not load keeps the daemon from starting just as well.
            match Policy::load(&config.policy.dirs, config.policy.label_grants) {
                Ok(policy) => problems.extend_from_slice(policy.warnings()),
                Err(more) => problems.extend(more),
            }
            return Ok(report(screen, &problems, &format!("{}, with policies", clean(&place))));
        }
        ConfigCommand::Print if screen.json => {
            let value = toml::from_str::<Value>(&config.to_toml())
                .map_err(|error| Failure::failed(format!("the configuration is no json: {error}"), ""))?;
            screen.value(&value);
        }
        ConfigCommand::Print => screen.print(&config.to_toml()),
        ConfigCommand::Alertmanager => {
            let token = std::path::absolute(config.data_dir.join("sender-token"))
                .unwrap_or(config.data_dir.join("sender-token"));
            let scheme = if config.tls.cert_file.is_some() { "https" } else { "http" };
            let url = global.server.clone().unwrap_or_else(|| format!("{scheme}://{}", config.listen));
            let text = config::alertmanager_receiver(&config, &token.display().to_string(), &url);
            if screen.json {
                screen.value(&json!({"receiver": text, "token_file": token, "url": url}))
            } else {
                screen.print(&text)
            }
        }
        ConfigCommand::Reference => {}
    }
    Ok(Exit::Ok)
}

pub(super) fn policy(screen: &Screen, global: &Global, command: &PolicyCommand) -> Result<Exit, Failure> {
    let dirs: Vec<PathBuf> = match command {
        PolicyCommand::Schema => {
            screen.print(&schema::text());
            return Ok(Exit::Ok);
        }
        PolicyCommand::Check { dirs } if dirs.is_empty() => match load(global) {
            Ok(config) if config.policy.dirs.is_empty() && config.data_dir.join(OWN_POLICY).is_dir() => {
                vec![config.data_dir.join(OWN_POLICY)]
            }
            Ok(config) if config.policy.dirs.is_empty() => {
                let fix = "name a directory, or --config with `dirs` under [policy]";
                return Err(Failure::usage("there is no policy to check", fix));
            }
            Ok(config) => config.policy.dirs.clone(),
            Err(problems) => return Ok(report(screen, &problems, "")),
        },
        PolicyCommand::Check { dirs } => dirs.clone(),
    };
    Ok(match Policy::load(&dirs, false) {
        Ok(policy) => {
            let found = match policy.grants().len() {
                1 => "1 policy".to_owned(),
                many => format!("{many} policies"),
            };
            report(screen, policy.warnings(), &found)
        }
        Err(problems) => report(screen, &problems, ""),
    })
}

pub(super) fn completions(screen: &Screen, args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sandbook", &mut script);
    screen.print(&String::from_utf8_lossy(&script));
    Exit::Ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_effect_has_words_from_the_contract() {
        for info in Effect::ALL {
            let words = words(info.name);
            assert!(!words.signature.is_empty(), "{} is not in the contract", info.name);
        }
        let restart = words("docker.restart-container");
        assert_eq!(restart.docs, "Restarts a container, running or not.");
        assert_eq!(restart.signature, "(container: container, options: stop-options) -> result<change, error>");
        assert_eq!(rhai("docker.restart-container"), "docker::restart_container");
    }

    #[test]
    fn every_manifest_code_has_a_page() {
        for (code, _) in sandbook_core::manifest::CODES {
            assert!(PAGES.get_file(format!("{code}.md")).is_some(), "{code}");
        }
    }
}
