//! From an author's sources to a component: the SDKs and the contract embedded in the binary, the world a package gets, and
//! the toolchain of each language.
//!
//! A toolchain that imports every function of a world gets a world with only what the manifest requests, so that a
//! component's imports stay its permission request. Everything made on the way lies in the package's own `.sandbook`, which
//! no package carries. Deliberately not here: checking what was built, and how any of it looks.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use sandbook_core::problem::Problem;

mod build;
mod c;
mod javascript;
mod python;
mod rust;
mod toolchain;
mod world;

pub use build::{Built, Language, build, is_stale};
pub use toolchain::{Step, folder as toolchains};
pub use world::world;

/// What is made for a package and belongs to no version of it.
pub const WORK_DIR: &str = ".sandbook";

static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/rust/src");
static RUST_MANIFEST: &str = include_str!("../../sdk/rust/Cargo.toml");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/python/src/sandbook");
static PYTHON_MANIFEST: &str = include_str!("../../sdk/python/pyproject.toml");
static JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/js");

/// Why nothing was built.
#[derive(Debug)]
pub enum Trouble {
    /// The manifest has mistakes.
    Problems(Vec<Problem>),
    /// A toolchain is not there, or not whole.
    Missing {
        /// What for, such as `Python`.
        language: &'static str,
        /// What is not there.
        what: String,
        /// Commands that install it.
        steps: Vec<Step>,
    },
    /// The toolchain says no; its own words.
    Failed {
        /// Lower case, no full stop.
        message: String,
        /// What the tool printed.
        output: String,
        /// What to do.
        fix: String,
    },
}

impl Trouble {
    fn failed(message: impl Into<String>, fix: impl Into<String>) -> Trouble {
        Trouble::Failed { message: message.into(), output: String::new(), fix: fix.into() }
    }

    fn io(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Trouble {
        let message = format!("cannot {doing} {}", path.display());
        move |error| Trouble::failed(format!("{message}: {error}"), "check its folder and permissions")
    }
}

/// Writes the SDK of a language, and the contract, into the package's work folder: always those of this binary.
pub fn unpack(folder: &Path, language: Language) -> Result<PathBuf, Trouble> {
    let sdk = folder.join(WORK_DIR).join("sdk");
    match language {
        Language::Rhai => {}
        Language::Rust => {
            unpack_dir(&RUST, &sdk.join("rust/src"))?;
            write_if_changed(&sdk.join("rust/Cargo.toml"), RUST_MANIFEST.as_bytes())?;
        }
        Language::Python => {
            unpack_dir(&PYTHON, &sdk.join("python/src/sandbook"))?;
            write_if_changed(&sdk.join("python/pyproject.toml"), PYTHON_MANIFEST.as_bytes())?;
        }
        Language::JavaScript => unpack_dir(&JAVASCRIPT, &sdk.join("js"))?,
        Language::C => {}
    }
    unpack_dir(&crate::guest::WIT, &sdk.join("wit"))?;
    // Nothing in there is anybody's source.
    write_if_changed(&folder.join(WORK_DIR).join(".gitignore"), b"*\n")?;
    Ok(sdk)
}

fn unpack_dir(dir: &Dir<'_>, to: &Path) -> Result<(), Trouble> {
    for file in dir.files() {
        let name = file.path().file_name().unwrap_or_default();
        if file.path().extension().is_some_and(|extension| extension == "pyc") {
            continue;
        }
        write_if_changed(&to.join(name), file.contents())?;
    }
    for inner in dir.dirs() {
        let name = inner.path().file_name().unwrap_or_default();
        if name != "tests" && name != "__pycache__" && name != "node_modules" {
            unpack_dir(inner, &to.join(name))?;
        }
    }
    Ok(())
}

/// An unchanged file keeps its time, so that nothing is built again for it.
fn write_if_changed(path: &Path, contents: &[u8]) -> Result<(), Trouble> {
    if std::fs::read(path).is_ok_and(|now| now == contents) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Trouble::io("create", parent))?;
    }
    std::fs::write(path, contents).map_err(Trouble::io("write", path))
}
