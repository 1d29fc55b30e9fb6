//! From what a model wrote to a package: only the files a package has, within bounds, and for a one-off draft a manifest
//! that is ours.
//!
//! Deliberately not here: checking the code, which the library does for every package.

use std::collections::BTreeMap;

use sandbook_core::manifest::MODEL_CHARS_MAX;
use sandbook_core::problem::Problem;
use sha2::{Digest as _, Sha256};

use super::File;
use crate::library::{MANIFEST_FILE, Package, SCRIPT_FILE, Upload, tar};
use crate::store::ASKED;

/// Bytes of a script of a model: the longest of the catalogue has a tenth of it.
pub(super) const SCRIPT_BYTES_MAX: usize = 64 << 10;
/// Scenarios of a draft.
pub(super) const SCENARIOS_MAX: usize = 8;
/// Characters of a summary.
const SUMMARY_CHARS: usize = 120;

/// A package of files; the manifest says whose.
pub(super) fn of(files: &[File]) -> Result<(Package, Vec<Problem>), Vec<Problem>> {
    let files: Vec<(String, Vec<u8>)> =
        files.iter().map(|file| (file.name.clone(), file.text.clone().into_bytes())).collect();
    let bytes = tar(&files);
    Package::read(Upload::Bytes { bytes: &bytes, content_type: Some("application/x-tar") })
}

/// A one-off draft: the script, and a manifest that requests what the script uses and nothing else. The same sentence
/// and script are the same version.
pub(super) fn asked(model: &str, sentence: &str, script: &str, about_container: bool, effects: &[String]) -> Vec<File> {
    let summary: String =
        sentence.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SUMMARY_CHARS).collect();
    let mut hash = Sha256::new();
    let kind = if about_container { "container" } else { "none" };
    for part in [sentence, script, kind] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digits: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let mut manifest = toml::Table::new();
    manifest.insert("name".to_owned(), ASKED.into());
    manifest.insert("version".to_owned(), format!("1.0.0-{digits}").into());
    manifest.insert("summary".to_owned(), summary.into());
    manifest.insert(DRAFTED_BY.to_owned(), named(model).into());
    manifest.insert("target".to_owned(), toml::Table::from_iter([("kind".to_owned(), kind.into())]).into());
    let requests: Vec<toml::Value> = effects.iter().map(|name| name.clone().into()).collect();
    manifest.insert("requests".to_owned(), toml::Table::from_iter([("effects".to_owned(), requests.into())]).into());
    vec![
        File { name: MANIFEST_FILE.to_owned(), text: manifest.to_string() },
        File { name: SCRIPT_FILE.to_owned(), text: script.to_owned() },
    ]
}

/// Key of the manifest that says which model drafted the package.
const DRAFTED_BY: &str = "drafted_by";

/// As much of a model's name as a manifest takes.
fn named(model: &str) -> String {
    model.chars().take(MODEL_CHARS_MAX).collect()
}

/// The manifest with the line that says which model drafted it, in the place of whatever the model says about that.
fn marked(model: &str, manifest: &str) -> String {
    let own = |line: &&str| !line.trim_start().trim_start_matches(['"', '\'']).starts_with(DRAFTED_BY);
    let line = format!("{DRAFTED_BY} = {}", toml::Value::from(named(model)));
    // Keys of the root stand before the first table.
    let kept: Vec<&str> = manifest.lines().filter(own).collect();
    format!("{line}\n{}\n", kept.join("\n"))
}

/// A generated runbook: manifest, script, scenarios by name. What is no file of a package is a problem.
pub(super) fn generated(
    model: &str,
    manifest: &str,
    script: &str,
    scenarios: &BTreeMap<String, String>,
) -> Result<Vec<File>, Vec<String>> {
    let mut problems = Vec::new();
    if script.len() > SCRIPT_BYTES_MAX || manifest.len() > SCRIPT_BYTES_MAX {
        problems.push(format!("a file has more than {SCRIPT_BYTES_MAX} bytes"));
    }
    if scenarios.is_empty() {
        problems.push("there is no scenario: write at least one that heals and one that has nothing to do".to_owned());
    }
    if scenarios.len() > SCENARIOS_MAX {
        problems.push(format!("there are {} scenarios, at most {SCENARIOS_MAX} are read", scenarios.len()));
    }
    let mut files = vec![
        File { name: MANIFEST_FILE.to_owned(), text: marked(model, manifest) },
        File { name: SCRIPT_FILE.to_owned(), text: script.to_owned() },
    ];
    for (name, text) in scenarios {
        let stem = name.strip_suffix(".toml").unwrap_or(name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if stem.is_empty() || stem.len() > 60 || !stem.chars().all(plain) {
            problems.push(format!("scenario name {stem:?} is not of a-z, 0-9 and -"));
            continue;
        }
        if text.len() > SCRIPT_BYTES_MAX {
            problems.push(format!("scenario {stem} has more than {SCRIPT_BYTES_MAX} bytes"));
        }
        files.push(File { name: format!("scenarios/{stem}.toml"), text: text.clone() });
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// Problems as the model is told them.
pub(super) fn told(problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|problem| {
            let help = if problem.help.is_empty() { String::new() } else { format!("; {}", problem.help) };
            format!("{problem}{help}")
        })
        .collect()
}
