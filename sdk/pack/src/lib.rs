//! Which committed components there are, which sources each is made of, and whether the two still belong together.
//!
//! A component carries the hash of its sources in a custom section, so that a plain `cargo run` needs no wasm toolchain and a
//! test still notices a change that was not rebuilt. Deliberately not here: building (feature `build`, and `sdk/guests.sh`).

pub mod contract;
pub mod languages;
pub mod section;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// The contract every guest is built from.
pub const WIT: &str = "sdk/wit";
/// What guests in Rust are built with.
pub const RUST_SDK: &str = "sdk/rust";
/// The interpreter's folder.
pub const INTERPRETER: &str = "sdk/rhai";
/// The built-in catalogue.
pub const RUNBOOKS: &str = "runbooks";
/// Cases of the tests, each in two languages.
pub const CASES: &str = "tests/cases";

/// One committed component and where it comes from; paths are relative to the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// The package: `sdk/rhai`, `runbooks/restart-exited`.
    pub folder: String,
    /// The component.
    pub file: String,
    /// Folders whose sources go into it.
    pub sources: Vec<String>,
    /// The manifest it carries.
    pub manifest: Option<String>,
    /// Whether its initialised memory is what is committed.
    pub pre_initialised: bool,
}

impl Artefact {
    fn interpreter() -> Self {
        Self {
            folder: INTERPRETER.into(),
            file: format!("{INTERPRETER}/interpreter.wasm"),
            sources: vec![INTERPRETER.into(), WIT.into()],
            manifest: None,
            pre_initialised: true,
        }
    }

    fn runbook(folder: String) -> Self {
        Self {
            file: format!("{folder}/main.wasm"),
            sources: vec![folder.clone(), WIT.into(), RUST_SDK.into()],
            manifest: Some(format!("{folder}/runbook.toml")),
            pre_initialised: false,
            folder,
        }
    }

    /// Fails with what to do when the component is missing or was made of other sources or another manifest.
    pub fn check(&self, root: &Path) -> Result<()> {
        let path = root.join(&self.file);
        let wasm = std::fs::read(&path).with_context(|| format!("{} is missing: run sdk/guests.sh", self.file))?;
        let expected = sources_hash(root, &self.sources)?;
        let found = section::find(&wasm, section::SOURCES).unwrap_or_default();
        anyhow::ensure!(found == expected.as_bytes(), "{} was built from other sources: run sdk/guests.sh", self.file);
        if let Some(manifest) = &self.manifest {
            let text = std::fs::read(root.join(manifest)).with_context(|| format!("reading {manifest}"))?;
            let carried = section::find(&wasm, section::MANIFEST).unwrap_or_default();
            anyhow::ensure!(
                carried == text,
                "{} carries another manifest than {manifest}: run sdk/guests.sh",
                self.file
            );
        }
        Ok(())
    }
}

/// The interpreter, and every built-in runbook and case that has Rust sources.
pub fn artefacts(root: &Path) -> Result<Vec<Artefact>> {
    let mut found = vec![Artefact::interpreter()];
    let mut runbooks = Vec::new();
    for parent in [RUNBOOKS, CASES] {
        let folder = root.join(parent);
        for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                runbooks.push(format!("{parent}/{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    runbooks.sort();
    found.extend(runbooks.into_iter().map(Artefact::runbook));
    Ok(found)
}

/// SHA-256 in hexadecimal over every source of the folders: relative path, NUL, length, contents; sorted by path.
pub fn sources_hash(root: &Path, folders: &[String]) -> Result<String> {
    let mut files = BTreeMap::new();
    for folder in folders {
        collect(root, Path::new(folder), &mut files)?;
    }
    let mut hash = Sha256::new();
    for (name, path) in files {
        let contents = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update((contents.len() as u64).to_le_bytes());
        hash.update(&contents);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `Cargo.toml`, `Cargo.lock`, `build.rs` and `*.wit` of a folder, and everything under its `src`.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let at = root.join(folder);
    for entry in at.read_dir().with_context(|| format!("reading {}", at.display()))? {
        let entry = entry?;
        let relative = folder.join(entry.file_name());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let inside_src = folder.components().any(|part| part.as_os_str() == "src");
        if entry.file_type()?.is_dir() {
            if inside_src || name == "src" {
                collect(root, &relative, files)?;
            }
        } else if inside_src || ["Cargo.toml", "Cargo.lock", "build.rs"].contains(&&*name) || name.ends_with(".wit") {
            let parts: Vec<_> =
                relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            files.insert(parts.join("/"), entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    #[test]
    fn the_hash_covers_sources_and_nothing_else() {
        let root = tempfile::tempdir().expect("a folder");
        let folders = ["guest".to_owned()];
        write(root.path(), "guest/Cargo.toml", "[package]");
        write(root.path(), "guest/src/deep/lib.rs", "fn a() {}");
        let before = sources_hash(root.path(), &folders).expect("a hash");
        write(root.path(), "guest/README.md", "words");
        write(root.path(), "guest/target/x.rs", "output");
        write(root.path(), "guest/main.wasm", "output");
        assert_eq!(before, sources_hash(root.path(), &folders).expect("a hash"));
        write(root.path(), "guest/src/deep/lib.rs", "fn b() {}");
        assert_ne!(before, sources_hash(root.path(), &folders).expect("a hash"));
    }
}
