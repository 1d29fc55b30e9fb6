//! Rust: cargo for `wasm32-unknown-unknown`, with rustup's target or Debian's own wasm toolchain.
//!
//! Deliberately not here: lifting the module, which needs no tool.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use super::Trouble;
use super::build::Job;
use super::toolchain::{self, Step};

const TARGET: &str = "wasm32-unknown-unknown";
/// What Debian's toolchain needs, and the file that says it is there.
const DEBIAN: [(&str, &str); 4] = [
    ("cargo-web", "/usr/bin/cargo"),
    ("rustc-web", "/usr/bin/rustc"),
    ("rust-web-src", "/usr/lib/rustlib/src/rust/library/Cargo.toml"),
    ("lld-22", "/usr/bin/wasm-ld-22"),
];

/// Cargo, ready to build for the target.
async fn cargo() -> Result<Command, Trouble> {
    if has_target().await {
        let mut command = Command::new("cargo");
        command.args(["build", "--target", TARGET]);
        return Ok(command);
    }
    let missing: Vec<&str> =
        DEBIAN.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        let mut command = Command::new("/usr/bin/cargo");
        command
            .args(["build", "--target", TARGET, "-Zbuild-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", "/usr/bin/rustc")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-22");
        return Ok(command);
    }
    let steps = match toolchain::find("rustup") {
        Some(_) => vec![Step::new("rustup", &["target", "add", TARGET])],
        None => vec![Step::by_hand("apt-get", &[&["install"][..], &missing].concat())],
    };
    Err(Trouble::Missing { language: "Rust", what: format!("the target {TARGET}"), steps })
}

/// Whether the Rust in the search path has the target.
async fn has_target() -> bool {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", TARGET]);
    let Ok(dir) = toolchain::output(&mut command, "rustc").await else { return false };
    std::fs::read_dir(dir.trim()).is_ok_and(|mut entries| entries.next().is_some())
        && toolchain::find("cargo").is_some()
}

pub(super) async fn compile(job: &Job<'_>) -> Result<Vec<u8>, Trouble> {
    let mut command = match cargo().await {
        Ok(command) => command,
        Err(Trouble::Missing { language, what, steps }) if job.install => {
            toolchain::install(language, &what, &steps).await?;
            cargo().await?
        }
        Err(trouble) => return Err(trouble),
    };
    command
        .args(["--release", "--quiet", "--lib", "--message-format=json-render-diagnostics"])
        .current_dir(job.folder)
        // Paths of this machine are nobody's business, and would make two builds differ.
        .env("RUSTFLAGS", remapped(job.folder));
    let said = toolchain::output(&mut command, "cargo build").await?;
    let module = module(&said).ok_or_else(|| {
        Trouble::failed(
            "cargo built no WebAssembly module",
            "write crate-type = [\"cdylib\", \"rlib\"] under [lib] of Cargo.toml",
        )
    })?;
    std::fs::read(&module).map_err(Trouble::io("read", &module))
}

fn remapped(folder: &Path) -> String {
    let mut flags = Vec::new();
    if let Ok(folder) = std::path::absolute(folder) {
        flags.push(format!("--remap-path-prefix={}=.", folder.display()));
    }
    if let Some(home) =
        std::env::var_os("CARGO_HOME").or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo").into()))
    {
        flags.push(format!("--remap-path-prefix={}=cargo", Path::new(&home).display()));
    }
    flags.join(" ")
}

/// The module among cargo's messages.
fn module(said: &str) -> Option<PathBuf> {
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artefacts = messages.filter(|message| message["reason"] == "compiler-artifact");
    let files = artefacts.filter_map(|message| Some(message["filenames"].as_array()?.clone())).flatten();
    files
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .rfind(|file| file.extension().is_some_and(|e| e == "wasm"))
}
