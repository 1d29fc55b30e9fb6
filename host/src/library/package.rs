//! A runbook package: manifest, code and files, read from a folder, a tar, a single script or a single component.
//!
//! However it arrived, it becomes the same value, and its digest covers what decides a run: manifest and code, not
//! scenarios, file order or times. Deliberately not here: compiling; see [`Package::check`].

use std::path::Path;

use sandbook_core::manifest::Manifest;
use sandbook_core::problem::Problem;
use sandbook_core::run::Origin;
use sha2::{Digest as _, Sha256};

use super::archive::{self, Files};
use super::sources::Sources;
use super::{INCOMPLETE, TOO_LARGE, UNREADABLE, problem};
use crate::guest::{COMPONENT_BYTES_MAX, Code};
use crate::store::Source;

/// The manifest of a package.
pub const MANIFEST_FILE: &str = "runbook.toml";
/// A script.
pub const SCRIPT_FILE: &str = "main.rhai";
/// A component.
pub const WASM_FILE: &str = "main.wasm";
/// Where a single component carries its manifest.
pub const MANIFEST_SECTION: &str = "sandbook:manifest";
/// A signature of the package's digest, in minisign's format; not part of the digest.
pub const SIGNATURE_FILE: &str = "runbook.minisig";
/// Bytes of a script at the most: a long one has 20 KiB.
pub const SCRIPT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a manifest at the most.
const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Further files that are read from a folder, besides `scenarios/*.toml`.
const README_FILE: &str = "README.md";
const SCENARIOS_DIR: &str = "scenarios";
/// What is digested first, so that another way of digesting gives other digests.
const DIGEST_DOMAIN: &[u8] = b"sandbook package 1\n";

/// What a package is read from.
#[derive(Debug, Clone, Copy)]
pub enum Upload<'a> {
    /// Bytes as they came over HTTP. Without a content type they are looked at.
    Bytes {
        /// What came.
        bytes: &'a [u8],
        /// `application/x-tar`, `application/gzip`, `text/x-rhai` or `application/wasm`, maybe with parameters.
        content_type: Option<&'a str>,
    },
    /// A folder, or a file of one of the kinds above.
    Path(&'a Path),
}

/// A package that was read: its manifest is sound; its code was not looked at.
#[derive(Clone)]
pub struct Package {
    /// The manifest's.
    pub name: String,
    /// The manifest's; with `+` and a piece of the digest where the same version of a watched folder had other bytes.
    pub version: String,
    /// `sha256:…` of code and manifest.
    pub digest: String,
    /// What it asks for.
    pub manifest: Manifest,
    /// What is executed.
    pub code: Code,
    /// Every file, sorted by path.
    pub files: Vec<(String, Vec<u8>)>,
    /// Who wrote it; whoever reads a package says so.
    pub origin: Origin,
    /// Where it came from.
    pub source: Source,
    /// Name of the code's file, for problems.
    pub(super) code_file: String,
    /// Name and text of the manifest, for problems; the code's file where it is in there.
    pub(super) manifest_file: String,
    /// What it was built from, where that lies beside it.
    pub(super) sources: Sources,
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Package({} {} {})", self.name, self.version, self.digest)
    }
}

impl Package {
    /// Reads a package; the warnings with it, or every problem.
    pub fn read(upload: Upload<'_>) -> Result<(Package, Vec<Problem>), Vec<Problem>> {
        match upload {
            Upload::Bytes { bytes, content_type } => from_bytes(bytes, content_type, "package"),
            Upload::Path(path) if path.is_dir() => {
                let (package, warnings) = assemble(folder(path)?, SCRIPT_FILE, WASM_FILE)?;
                let sources = match package.code {
                    Code::Script(_) => Sources::default(),
                    Code::Wasm(_) => Sources::read(path),
                };
                Ok((Package { sources, ..package }, warnings))
            }
            Upload::Path(path) => {
                let shown = path
                    .file_name()
                    .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
                let bytes = read_file(path, &shown, archive::PACKED_BYTES_MAX)?;
                let (mut package, warnings) = from_bytes(&bytes, None, &shown)?;
                package.take_signature_beside(path)?;
                Ok((package, warnings))
            }
        }
    }

    /// The signature beside a file: `main.rhai.minisig`, as minisign names it.
    fn take_signature_beside(&mut self, path: &Path) -> Result<(), Vec<Problem>> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".minisig");
        let beside = Path::new(&beside);
        if beside.is_file() && self.signature().is_none() {
            let text = read_file(beside, SIGNATURE_FILE, crate::trust::TEXT_BYTES_MAX)?;
            self.files.push((SIGNATURE_FILE.to_owned(), text));
            self.files.sort();
        }
        Ok(())
    }

    /// The canonical tar: the same files are the same bytes.
    pub fn to_tar(&self) -> Vec<u8> {
        archive::pack(&self.files)
    }

    /// A file's bytes.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(known, _)| known == name).map(|(_, content)| content.as_slice())
    }

    /// Files that its digest does not cover and that are no signature: scenarios and pages.
    pub fn beside(&self) -> Vec<&(String, Vec<u8>)> {
        let covered = [MANIFEST_FILE, SIGNATURE_FILE];
        let code = |name: &str| name.starts_with("main.");
        self.files.iter().filter(|(name, _)| !covered.contains(&name.as_str()) && !code(name)).collect()
    }

    /// The signature it came with, as text.
    pub fn signature(&self) -> Option<String> {
        self.file(SIGNATURE_FILE).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// The manifest that the component carries, where it carries one and the folder has one as well.
    pub fn carried_manifest(&self) -> Option<Vec<u8>> {
        match &self.code {
            Code::Wasm(bytes) if self.file(MANIFEST_FILE).is_some() => manifest_section(bytes),
            Code::Wasm(_) | Code::Script(_) => None,
        }
    }

    /// What a person reads first; empty where there is none.
    pub fn readme(&self) -> String {
        self.file(README_FILE).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }

    /// The scenarios, by path.
    pub fn scenarios(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let scenario = |name: &str| name.starts_with("scenarios/") && name.ends_with(".toml");
        self.files
            .iter()
            .filter(move |(name, _)| scenario(name))
            .map(|(name, content)| (name.as_str(), content.as_slice()))
    }
}

fn from_bytes(bytes: &[u8], content_type: Option<&str>, file: &str) -> Result<(Package, Vec<Problem>), Vec<Problem>> {
    let kind = content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let is_tar = bytes.get(257..262) == Some(b"ustar");
    let shown = |usual: &str| if file == "package" { usual.to_owned() } else { file.to_owned() };
    let single = |name: &str| Files::from([(name.to_owned(), bytes.to_vec())]);
    match kind.as_deref() {
        Some("application/x-tar" | "application/gzip" | "application/x-gzip" | "application/tar") => {
            assemble(archive::unpack(bytes, file)?, SCRIPT_FILE, WASM_FILE)
        }
        Some("text/x-rhai") => assemble(single(SCRIPT_FILE), &shown(SCRIPT_FILE), WASM_FILE),
        Some("application/wasm") => assemble(single(WASM_FILE), SCRIPT_FILE, &shown(WASM_FILE)),
        None | Some("application/octet-stream" | "") if is_tar || bytes.starts_with(&[0x1f, 0x8b]) => {
            assemble(archive::unpack(bytes, file)?, SCRIPT_FILE, WASM_FILE)
        }
        None | Some("application/octet-stream" | "") if bytes.starts_with(b"\0asm") => {
            assemble(single(WASM_FILE), SCRIPT_FILE, &shown(WASM_FILE))
        }
        None | Some("application/octet-stream" | "" | "text/plain") => {
            assemble(single(SCRIPT_FILE), &shown(SCRIPT_FILE), WASM_FILE)
        }
        Some(other) => {
            let message = format!("content type {other:?} is no package");
            let help = "send application/x-tar, application/gzip, text/x-rhai or application/wasm";
            Err(vec![problem(super::MEDIA_TYPE, file, message, help)])
        }
    }
}

/// Only what belongs to a package: build output beside it is not read.
fn folder(path: &Path) -> Result<Files, Vec<Problem>> {
    let mut files = Files::new();
    let base = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for (name, bytes_max) in [
        (MANIFEST_FILE, MANIFEST_BYTES_MAX),
        (SCRIPT_FILE, SCRIPT_BYTES_MAX),
        (WASM_FILE, COMPONENT_BYTES_MAX),
        (README_FILE, MANIFEST_BYTES_MAX),
        (SIGNATURE_FILE, crate::trust::TEXT_BYTES_MAX),
    ] {
        let file = path.join(name);
        if file.exists() {
            files.insert(name.to_owned(), read_inside(&base, &file, name, bytes_max)?);
        }
    }
    let scenarios = path.join(SCENARIOS_DIR);
    let Ok(entries) = std::fs::read_dir(&scenarios) else { return Ok(files) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !name.starts_with('.') && files.len() < archive::FILES_MAX {
            let name = format!("{SCENARIOS_DIR}/{name}");
            let content = read_inside(&base, &entry.path(), &name, SCRIPT_BYTES_MAX)?;
            files.insert(name, content);
        }
    }
    Ok(files)
}

/// A file of a folder. A link may lead through the folder, as mounts of configurations do, but not out of it: what is
/// read here is handed out again.
fn read_inside(base: &Path, file: &Path, name: &str, bytes_max: usize) -> Result<Vec<u8>, Vec<Problem>> {
    if let Ok(real) = file.canonicalize()
        && !real.starts_with(base)
    {
        let message = format!("{name} is a link out of the package");
        return Err(vec![problem(super::ARCHIVE, name, message, "put the file itself into the folder")]);
    }
    read_file(file, name, bytes_max)
}

fn read_file(path: &Path, name: &str, bytes_max: usize) -> Result<Vec<u8>, Vec<Problem>> {
    let unreadable = |error: std::io::Error| {
        vec![problem(
            UNREADABLE,
            name,
            format!("{} cannot be read: {error}", path.display()),
            "make it readable for this user",
        )]
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > bytes_max as u64 {
        let message = format!("{name} has {} bytes, at most {bytes_max} are accepted", metadata.len());
        return Err(vec![problem(TOO_LARGE, name, message, "build it for release, without debug information")]);
    }
    std::fs::read(path).map_err(unreadable)
}

/// From files to a package. The names of the code's files are those people know them by.
fn assemble(files: Files, script_name: &str, wasm_name: &str) -> Result<(Package, Vec<Problem>), Vec<Problem>> {
    let (code, code_file) = match (files.get(SCRIPT_FILE), files.get(WASM_FILE)) {
        (Some(script), None) => (script_code(script, script_name)?, script_name),
        (None, Some(wasm)) => (wasm_code(wasm, wasm_name)?, wasm_name),
        (Some(_), Some(_)) => {
            let message = format!("the package has both {SCRIPT_FILE} and {WASM_FILE}");
            let both = problem(INCOMPLETE, MANIFEST_FILE, message, "remove the one that is not meant");
            return Err(with_manifests_own(&files, both));
        }
        (None, None) => return Err(with_manifests_own(&files, without_code(&files))),
    };
    let (parsed, manifest_text, manifest_file) = match files.get(MANIFEST_FILE) {
        Some(bytes) => {
            let text = text_of(bytes, MANIFEST_FILE)?;
            (Manifest::parse(text, MANIFEST_FILE), text.as_bytes().to_vec(), MANIFEST_FILE)
        }
        // The manifest is part of the code, and digested with it.
        None => (manifest_in(&code, code_file)?, Vec::new(), code_file),
    };
    let (manifest, warnings) = parsed?;
    // A draft stays one wherever it is carried: the digest covers who drafted it.
    let origin = if manifest.drafted_by.is_some() { Origin::Llm } else { Origin::Person };
    let package = Package {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        digest: digest(&manifest_text, &code),
        manifest,
        origin,
        source: Source::Upload,
        code_file: code_file.to_owned(),
        manifest_file: manifest_file.to_owned(),
        sources: Sources::default(),
        code,
        files: files.into_iter().collect(),
    };
    Ok((package, warnings))
}

/// A mistake about the code, and those of the manifest with it: neither hides the other.
fn with_manifests_own(files: &Files, about_code: Problem) -> Vec<Problem> {
    let text = files.get(MANIFEST_FILE).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let parsed = text.map(|text| Manifest::parse(text, MANIFEST_FILE));
    let own = match parsed {
        Some(Ok((_, warnings))) => warnings,
        Some(Err(problems)) => problems,
        None => Vec::new(),
    };
    std::iter::once(about_code).chain(own).collect()
}

fn without_code(files: &Files) -> Problem {
    let message = format!("the package has neither {SCRIPT_FILE} nor {WASM_FILE}");
    let sources = ["Cargo.toml", "package.json", "pyproject.toml", "app.py", "main.py", "main.js", "src/lib.rs"];
    let help = if sources.iter().any(|name| files.contains_key(*name)) {
        "it holds sources: `sandbook build PATH` makes main.wasm of them"
    } else if files.contains_key(MANIFEST_FILE) {
        "add the code; `sandbook new NAME` shows a complete package"
    } else {
        "a package is a folder with runbook.toml and main.rhai or main.wasm"
    };
    problem(INCOMPLETE, MANIFEST_FILE, message, help)
}

fn text_of<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, Vec<Problem>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("{file} is not UTF-8 at byte {}", error.valid_up_to());
        vec![problem(INCOMPLETE, file, message, "save it as UTF-8")]
    })
}

fn script_code(bytes: &[u8], name: &str) -> Result<Code, Vec<Problem>> {
    if bytes.len() > SCRIPT_BYTES_MAX {
        let message = format!("{name} has {} bytes, at most {SCRIPT_BYTES_MAX} are accepted", bytes.len());
        return Err(vec![problem(TOO_LARGE, name, message, "move data out of the script")]);
    }
    if name.ends_with(".wasm") && std::str::from_utf8(bytes).is_err() {
        let message = format!("{name} is no WebAssembly: it does not begin as a module or component does");
        let help = "it may be cut off or another file; `sandbook build PATH` makes one of sources";
        return Err(vec![problem(INCOMPLETE, name, message, help)]);
    }
    Ok(Code::Script(text_of(bytes, name)?.into()))
}

fn wasm_code(bytes: &[u8], name: &str) -> Result<Code, Vec<Problem>> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        let message = format!("{name} has {} bytes, at most {COMPONENT_BYTES_MAX} are accepted", bytes.len());
        return Err(vec![problem(TOO_LARGE, name, message, "build it for release, without debug information")]);
    }
    Ok(Code::Wasm(bytes.to_vec().into()))
}

type Parsed = Result<(Manifest, Vec<Problem>), Vec<Problem>>;

/// The manifest inside the code, where there is no `runbook.toml`.
fn manifest_in(code: &Code, file: &str) -> Result<Parsed, Vec<Problem>> {
    let help = format!("add {MANIFEST_FILE}, or push the folder");
    match code {
        Code::Script(source) => Manifest::parse_script(source, file).ok_or_else(|| {
            let message = format!("{file} has no manifest: a single script carries it in leading `//!` lines");
            vec![problem(
                INCOMPLETE,
                file,
                message,
                "begin it with //! name = \"…\", //! version = \"1.0.0\", //! summary = \"…\"",
            )]
        }),
        Code::Wasm(bytes) => match manifest_section(bytes) {
            Some(content) => Ok(Manifest::parse(text_of(&content, MANIFEST_SECTION)?, MANIFEST_SECTION)),
            None => {
                let message = format!(
                    "{file} has no manifest: a single component carries it in the custom section `{MANIFEST_SECTION}`"
                );
                Err(vec![problem(INCOMPLETE, file, message, &help)])
            }
        },
    }
}

/// The custom section of a module or component; also of a module inside a component, where lifting leaves it.
fn manifest_section(bytes: &[u8]) -> Option<Vec<u8>> {
    // Bytes that are no WebAssembly end the search; the compiler says what is wrong with them.
    wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok).find_map(|payload| match payload {
        wasmparser::Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
            Some(section.data().to_vec())
        }
        _ => None,
    })
}

/// Lengths go in with the bytes, so that no two packages digest the same input.
fn digest(manifest: &[u8], code: &Code) -> String {
    let (kind, bytes): (&[u8], &[u8]) = match code {
        Code::Script(text) => (b"rhai", text.as_bytes()),
        Code::Wasm(bytes) => (b"wasm", bytes),
    };
    let mut hash = Sha256::new_with_prefix(DIGEST_DOMAIN);
    for part in [manifest, kind, bytes] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
