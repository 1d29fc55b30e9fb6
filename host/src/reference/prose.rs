//! The documents people read, held to what is there: links, commands, configurations, policies, scripts, named tests.
//!
//! Deliberately not here: whether a sentence is true.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use sandbook_core::manifest::Manifest;

use crate::cli::Cli;
use crate::config::Config;
use crate::guest::{Code, Compiler, Options, Sandbox};
use crate::policy::Policy;
use crate::policy::load::Source;

/// A document: its path and its text.
struct Page {
    path: PathBuf,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> Page {
    let path = root().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Page { path, text }
}

fn pages() -> Vec<Page> {
    let mut pages = vec![page("README.md"), page("CHANGELOG.md")];
    for folder in ["docs", "docs/adr", "docs/reference"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("readable").flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        pages.extend(names.iter().filter(|name| name.ends_with(".md")).map(|name| page(&format!("{folder}/{name}"))));
    }
    pages
}

impl Page {
    /// Fenced blocks of a language, with the line each begins in.
    fn blocks(&self, language: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut open: Option<(bool, usize, String)> = None;
        for (index, line) in self.text.lines().enumerate() {
            open = match (open, line.strip_prefix("```")) {
                (None, Some(word)) => Some((word == language, index + 2, String::new())),
                (None, None) => None,
                (Some((wanted, start, text)), Some(_)) => {
                    if wanted {
                        found.push((start, text));
                    }
                    None
                }
                (Some((wanted, start, text)), None) => Some((wanted, start, format!("{text}{line}\n"))),
            };
        }
        found
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        for (number, line) in page.text.lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap_or_default();
                if file.is_empty() || link.starts_with("https://") {
                    continue;
                }
                let target = page.path.parent().expect("a folder").join(file);
                assert!(target.exists(), "{}: {link} is not there", page.at(number + 1));
            }
        }
    }
}

#[test]
fn every_command_can_be_typed() {
    let mut typed = 0;
    for page in pages() {
        for (start, block) in page.blocks("sh") {
            for (offset, line) in block.lines().enumerate().filter(|(_, line)| line.starts_with("sandbook ")) {
                if let Err(error) = Cli::command().try_get_matches_from(words(line)) {
                    panic!("{}: {line}\n{error}", page.at(start + offset));
                }
                typed += 1;
            }
        }
    }
    assert!(typed > 30, "only {typed} commands were found");
}

/// Words as a shell splits them, quotes and a trailing comment considered.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '#') if words.last().is_some_and(String::is_empty) => break,
            (None, ' ') => words.push(String::new()),
            (_, letter) => words.last_mut().expect("there is always one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_configuration_and_manifest_is_sound() {
    let operating = page("docs/operating.md");
    for (start, block) in operating.blocks("toml") {
        if let Err(problems) = Config::from_text(&block, None, std::iter::empty()) {
            panic!("{}: {}", operating.at(start), problems[0]);
        }
    }
    let writing = page("docs/writing-runbooks.md");
    let mut whole: Option<Manifest> = None;
    let (mut scenarios, head) = (0, "name = \"a\"\nversion = \"1.0.0\"\nsummary = \"A part.\"\n");
    for (start, block) in writing.blocks("toml").into_iter().filter(|(_, block)| !block.starts_with("[package]")) {
        // A part of a manifest stands under one; a scenario is one of the first manifest.
        let read = match &whole {
            Some(manifest) if block.starts_with("summary") => {
                scenarios += 1;
                crate::scenario::read(&block, "scenario", manifest).map(drop)
            }
            Some(_) if block.starts_with('[') => Manifest::parse(&format!("{head}{block}"), "runbook.toml").map(drop),
            _ => Manifest::parse(&block, "runbook.toml").map(|(manifest, _)| whole = Some(manifest)),
        };
        if let Err(problems) = read {
            panic!("{}: {}", writing.at(start), problems[0]);
        }
    }
    assert_eq!(scenarios, 1, "the page shows a scenario");
}

#[test]
fn every_policy_is_valid() {
    for page in pages() {
        for (start, text) in page.blocks("cedar") {
            if let Err(problems) = Policy::from_sources(&[Source { file: page.at(start), text }], false) {
                panic!("{}", problems[0]);
            }
        }
    }
}

#[tokio::test]
async fn every_script_can_be_checked() {
    let cache_dir = std::env::temp_dir().join("sandbook-test-cache");
    let sandbox = Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("an engine");
    for page in [page("README.md"), page("docs/writing-runbooks.md")] {
        for (start, script) in page.blocks("rhai") {
            let report = sandbox.report(&Code::Script(script.into())).await.expect("a report");
            assert!(report.problems.is_empty(), "{}: {:?}", page.at(start), report.problems);
        }
    }
}

#[test]
fn every_test_that_a_page_counts_on_exists() {
    let mut sources = String::new();
    for folder in ["host", "tests", "sdk/pack", "sdk/rust/src"] {
        gather(&root().join(folder), &mut sources);
    }
    for (file, least) in [("docs/ARCHITECTURE.md", 40), ("docs/drafting.md", 20)] {
        let page = page(file);
        let named: Vec<&str> = page.text.split('`').skip(1).step_by(2).filter(|word| is_test_name(word)).collect();
        assert!(named.len() > least, "{file}: only {} tests are named", named.len());
        let missing: Vec<&str> = named.into_iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
        assert!(missing.is_empty(), "{file} names tests that are not there: {missing:?}");
    }
}

fn is_test_name(word: &str) -> bool {
    word.matches('_').count() >= 3
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn gather(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            gather(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
