//! Building: which language a folder is written in, and from its sources to `main.wasm` with the manifest inside.
//!
//! Deliberately not here: what each compiler wants, see the module of its language.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbook_core::manifest::Manifest;

use super::world::{Narrowed, narrow};
use super::{Trouble, WORK_DIR, c, javascript, python, rust, unpack, write_if_changed};
use crate::library::{MANIFEST_FILE, MANIFEST_SECTION, SCRIPT_FILE, WASM_FILE};

/// What a runbook is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A script; nothing to build.
    Rhai,
    /// A crate.
    Rust,
    /// `main.py`.
    Python,
    /// `main.js`, or `main.ts`.
    JavaScript,
    /// `main.c`.
    C,
}

impl Language {
    /// Files that tell, the first that is there.
    const SIGNS: [(&'static str, Language); 6] = [
        ("Cargo.toml", Language::Rust),
        ("main.py", Language::Python),
        ("main.js", Language::JavaScript),
        ("main.ts", Language::JavaScript),
        ("main.c", Language::C),
        (SCRIPT_FILE, Language::Rhai),
    ];

    /// By the files in a folder; none where there are no sources.
    pub fn of(folder: &Path) -> Option<Language> {
        Self::SIGNS.into_iter().find(|(file, _)| folder.join(file).is_file()).map(|(_, language)| language)
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rhai => "Rhai",
            Language::Rust => "Rust",
            Language::Python => "Python",
            Language::JavaScript => "JavaScript",
            Language::C => "C",
        }
    }

    /// Endings of its sources.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Language::Rhai => &["rhai"],
            Language::Rust => &["rs"],
            Language::Python => &["py"],
            Language::JavaScript => &["js", "mjs", "ts", "json"],
            Language::C => &["c", "h"],
        }
    }
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// From what.
    pub language: Language,
    /// The component; the script where there is nothing to build.
    pub file: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// How long it took.
    pub took: Duration,
}

/// What a language's compiler works from.
pub(super) struct Job<'a> {
    /// The package.
    pub(super) folder: &'a Path,
    /// Where everything made for it goes.
    pub(super) work: PathBuf,
    /// The unpacked SDK.
    pub(super) sdk: PathBuf,
    /// Its world.
    pub(super) world: Narrowed,
    /// A file with its world.
    pub(super) wit: PathBuf,
    /// It exports `verify` as well.
    pub(super) verify: bool,
    /// What is missing is installed.
    pub(super) install: bool,
}

/// Builds a package's sources into its `main.wasm`, its manifest inside. With `install`, what is missing and needs no root is
/// installed first; else it is named.
///
/// # Errors
/// What is wrong with the manifest, what is missing and how to install it, or what the compiler says.
pub async fn build(folder: &Path, install: bool) -> Result<Built, Trouble> {
    let start = Instant::now();
    if !folder.is_dir() {
        let message = format!("there is no folder {}", folder.display());
        return Err(Trouble::failed(message, "name the folder of a package; `sandbook new NAME` makes one"));
    }
    let language = Language::of(folder).ok_or_else(|| {
        let message = format!("{} holds no sources", folder.display());
        Trouble::failed(
            message,
            "a package has Cargo.toml, main.py, main.js, main.ts, main.c or main.rhai; see `sandbook new`",
        )
    })?;
    let path = folder.join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).map_err(Trouble::io("read", &path))?;
    let (manifest, _) = Manifest::parse(&text, MANIFEST_FILE).map_err(Trouble::Problems)?;
    if language == Language::Rhai {
        let file = folder.join(SCRIPT_FILE);
        let bytes = std::fs::metadata(&file).map_or(0, |metadata| metadata.len()) as usize;
        return Ok(Built { language, file, bytes, took: start.elapsed() });
    }
    let from = digest(folder, language);
    let sdk = unpack(folder, language)?;
    let work = folder.join(WORK_DIR).join("build");
    let verify = exports_verify(folder, language);
    let world = narrow(&manifest.requests, verify).map_err(defect)?;
    let wit = work.join("world.wit");
    write_if_changed(&wit, world.text().map_err(defect)?.as_bytes())?;
    let job = Job { folder, work, sdk, world, wit, verify, install };
    let wasm = match language {
        Language::Rhai => Vec::new(),
        Language::Rust => rust::compile(&job).await?,
        Language::Python => python::compile(&job).await?,
        Language::JavaScript => javascript::compile(&job).await?,
        Language::C => c::compile(&job).await?,
    };
    let wasm = finished(&wasm, &text)?;
    // Of what was read before: a save while it was built makes it stale.
    let file = folder.join(WASM_FILE);
    // Never half a component: whoever watches the folder reads the old one or the new one.
    let staged = folder.join(WORK_DIR).join(WASM_FILE);
    std::fs::write(&staged, &wasm)
        .and_then(|()| std::fs::rename(&staged, &file))
        .map_err(Trouble::io("write", &file))?;
    write_if_changed(&stamp(folder), from.as_bytes())?;
    Ok(Built { language, file, bytes: wasm.len(), took: start.elapsed() })
}

fn defect(error: anyhow::Error) -> Trouble {
    Trouble::failed(format!("{error:#}"), "this is a mistake of this program; report it")
}

/// A component, with the manifest in a section of its own.
fn finished(wasm: &[u8], manifest: &str) -> Result<Vec<u8>, Trouble> {
    let mut component = crate::guest::component_of(wasm).map_err(|error| {
        Trouble::failed(format!("what was built is no runbook: {error:#}"), "export `run` as the SDK's guide shows")
    })?;
    crate::guest::append_section(&mut component, MANIFEST_SECTION, manifest.as_bytes());
    Ok(component)
}

/// Whether the sources define `verify`, which makes it another world.
fn exports_verify(folder: &Path, language: Language) -> bool {
    let has = |file: &str, words: &[&str]| {
        std::fs::read_to_string(folder.join(file))
            .is_ok_and(|text| text.lines().any(|line| words.iter().any(|word| line.starts_with(word))))
    };
    match language {
        // The macro of the SDK decides; its world is in the module.
        Language::Rust | Language::Rhai => false,
        Language::Python => has("main.py", &["def verify("]),
        Language::JavaScript => {
            let words = ["export function verify(", "export const verify "];
            has("main.js", &words) || has("main.ts", &words)
        }
        Language::C => has("main.c", &["EXPORT(\"verify\")"]),
    }
}

/// Whether a folder's component is not that of its sources: there is none, or they are others than those it was built from.
/// One that was built elsewhere and copied here is taken as it is.
pub fn is_stale(folder: &Path) -> bool {
    let Some(language) = Language::of(folder).filter(|language| *language != Language::Rhai) else { return false };
    if !folder.join(WASM_FILE).is_file() {
        return true;
    }
    match std::fs::read_to_string(stamp(folder)) {
        Ok(built) => built != digest(folder, language),
        Err(_) => false,
    }
}

/// Where the digest of the sources lies that the component was built from.
fn stamp(folder: &Path) -> PathBuf {
    folder.join(WORK_DIR).join("built-from")
}

/// Of every source and of the manifest.
fn digest(folder: &Path, language: Language) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    let manifests = [MANIFEST_FILE, "Cargo.toml"].map(|name| folder.join(name));
    for path in sources(folder, language).iter().chain(&manifests) {
        let contents = std::fs::read(path).unwrap_or_default();
        hash.update(path.to_string_lossy().as_bytes());
        hash.update((contents.len() as u64).to_le_bytes());
        hash.update(&contents);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Source files of a package, at most so many levels deep, without what tools made.
pub(super) fn sources(folder: &Path, language: Language) -> Vec<PathBuf> {
    const DEPTH_MAX: usize = 8;
    const MADE: [&str; 3] = ["target", "node_modules", "__pycache__"];
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type();
            if name.starts_with('.') || MADE.contains(&name.as_str()) {
                continue;
            }
            if kind.is_ok_and(|kind| kind.is_dir()) {
                if depth < DEPTH_MAX {
                    open.push((path, depth + 1));
                }
            } else if path.extension().is_some_and(|ending| language.endings().iter().any(|one| ending == *one)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
