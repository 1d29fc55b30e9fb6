//! The SDKs' generated files: types, effects and prose in each language, all from the one WIT.
//!
//! `sandbook-pack generate` writes them and a test compares, so that an effect added to `sdk/wit` is in every SDK or the
//! test fails. Deliberately not here: what an SDK adds by hand (entry points, errors, test worlds).

mod javascript;
mod python;
mod rhai;
mod rust;
mod typescript;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::contract::Contract;

/// Every generated file: path in the repository, text.
pub fn generated(root: &Path) -> Result<BTreeMap<String, String>> {
    let contract = Contract::read(root)?;
    let mut files = BTreeMap::new();
    python::files(&contract, &mut files)?;
    files.insert("sdk/js/effects.js".to_owned(), javascript::file(&contract)?);
    files.insert("sdk/js/effects.d.ts".to_owned(), typescript::file(&contract)?);
    files.insert("sdk/rust/src/testing/effects.rs".to_owned(), rust::file(&contract)?);
    rhai::files(&contract, &mut files)?;
    Ok(files)
}

/// Which generated files are not as generated.
pub fn stale(root: &Path) -> Result<Vec<String>> {
    let differs =
        |(path, text): &(String, String)| std::fs::read_to_string(root.join(path)).ok().as_ref() != Some(text);
    Ok(generated(root)?.into_iter().filter(differs).map(|(path, _)| path).collect())
}

/// Writes every generated file.
pub fn write(root: &Path) -> Result<()> {
    for (path, text) in generated(root)? {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn snake(kebab: &str) -> String {
    kebab.replace('-', "_")
}

/// `restart-container` as `RestartContainer`.
fn upper_camel(kebab: &str) -> String {
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    kebab.split('-').map(capital).collect()
}

/// `restart-container` as `restartContainer`.
fn lower_camel(kebab: &str) -> String {
    let camel = upper_camel(kebab);
    let mut letters = camel.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// A comment's lines, each after a prefix.
fn commented(prefix: &str, docs: &str) -> String {
    docs.lines().map(|line| format!("{prefix}{line}").trim_end().to_owned() + "\n").collect()
}
