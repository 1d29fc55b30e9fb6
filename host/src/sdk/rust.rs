//! Rust: cargo for `wasm32-unknown-unknown`, or for `wasm32-wasip2` where the package says so, with rustup's targets or
//! Debian's own wasm toolchain.
//!
//! Deliberately not here: lifting a module that imports effects only, which needs no tool.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};

use super::Trouble;
use super::build::Job;
use super::toolchain::{self, Step};

/// What a package is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Effects and nothing else.
    Bare,
    /// The standard library whole, over the sandbox's WASI.
    Wasi,
}

/// Where a package says which, in its Cargo.toml.
const SETTING: &str = "[package.metadata.sandbook] target";
/// C's library for WebAssembly, on which the standard library stands there.
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

impl Target {
    const ALL: [Target; 2] = [Target::Bare, Target::Wasi];

    fn name(self) -> &'static str {
        match self {
            Target::Bare => "wasm32-unknown-unknown",
            Target::Wasi => "wasm32-wasip2",
        }
    }

    /// As the package's Cargo.toml says; effects only where it says nothing.
    fn of(folder: &Path) -> Result<Target, Trouble> {
        let path = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).map_err(Trouble::io("read", &path))?;
        // What else is wrong with it, cargo says better.
        let table: toml::Table = text.parse().unwrap_or_default();
        let keys = ["metadata", "sandbook", "target"];
        let said = keys.iter().try_fold(table.get("package"), |at, key| Some(at?.get(key)));
        let Some(said) = said.flatten() else { return Ok(Target::Bare) };
        Target::ALL.into_iter().find(|target| said.as_str() == Some(target.name())).ok_or_else(|| {
            let names = Target::ALL.map(Target::name).join(" or ");
            Trouble::failed(format!("{SETTING} = {said} in Cargo.toml makes no runbook"), format!("write {names}"))
        })
    }

    /// What Debian's toolchain needs, and the file that says it is there.
    fn debian(self) -> &'static [(&'static str, &'static str)] {
        static PACKAGES: [(&str, &str); 5] = [
            ("cargo-web", "/usr/bin/cargo"),
            ("rustc-web", "/usr/bin/rustc"),
            ("rust-web-src", "/usr/lib/rustlib/src/rust/library/Cargo.toml"),
            ("lld-22", "/usr/bin/wasm-ld-22"),
            ("wasi-libc", "/usr/lib/wasm32-wasi/libc.a"),
        ];
        match self {
            Target::Bare => PACKAGES.split_at(4).0,
            Target::Wasi => &PACKAGES,
        }
    }
}

/// Packages with the linker of this machine: build scripts of what a guest depends on run here.
const LINKER: (&str, [&str; 2]) = ("cc", ["gcc", "libc6-dev"]);

/// Cargo, ready to build for the target, and flags of the compiler.
async fn cargo(target: Target) -> Result<(Command, Vec<String>), Trouble> {
    if toolchain::find(LINKER.0).is_none() {
        let steps = vec![Step::by_hand("apt-get", &[&["install"][..], &LINKER.1].concat())];
        return Err(Trouble::Missing { language: "Rust", what: format!("a linker called {}", LINKER.0), steps });
    }
    if has_target(target).await {
        let mut command = Command::new("cargo");
        command.args(["build", "--target", target.name()]);
        return Ok((command, Vec::new()));
    }
    let missing: Vec<&str> =
        target.debian().iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        let linker = format!("CARGO_TARGET_{}_LINKER", target.name().to_uppercase().replace('-', "_"));
        let mut command = Command::new("/usr/bin/cargo");
        command
            .args(["build", "--target", target.name(), "-Zbuild-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", "/usr/bin/rustc")
            .env(linker, "wasm-ld-22");
        let libraries = (target == Target::Wasi).then(|| format!("-L{WASI_LIBC}"));
        return Ok((command, libraries.into_iter().collect()));
    }
    let steps = match toolchain::find("rustup") {
        Some(_) => vec![Step::new("rustup", &["target", "add", target.name()])],
        None => vec![Step::by_hand("apt-get", &[&["install"][..], &missing].concat())],
    };
    Err(Trouble::Missing { language: "Rust", what: format!("the target {}", target.name()), steps })
}

/// Whether the Rust in the search path has the target.
async fn has_target(target: Target) -> bool {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", target.name()]);
    let Ok(dir) = toolchain::output(&mut command, "rustc").await else { return false };
    std::fs::read_dir(dir.trim()).is_ok_and(|mut entries| entries.next().is_some())
        && toolchain::find("cargo").is_some()
}

pub(super) async fn compile(job: &Job<'_>) -> Result<Vec<u8>, Trouble> {
    let target = Target::of(job.folder)?;
    let (mut command, flags) = match cargo(target).await {
        Ok(found) => found,
        Err(Trouble::Missing { language, what, steps }) if job.install => {
            toolchain::install(language, &what, &steps).await?;
            cargo(target).await?
        }
        Err(trouble) => return Err(trouble),
    };
    command
        .args(["--release", "--quiet", "--lib", "--message-format=json-render-diagnostics"])
        .current_dir(job.folder)
        // Paths of this machine are nobody's business, and would make two builds differ.
        .env("RUSTFLAGS", [flags, remapped(job.folder)].concat().join(" "));
    let said = toolchain::output(&mut command, "cargo build").await.map_err(without_messages)?;
    let module = module(&said).ok_or_else(|| {
        Trouble::failed(
            "cargo built no WebAssembly module",
            "write crate-type = [\"cdylib\", \"rlib\"] under [lib] of Cargo.toml",
        )
    })?;
    let built = std::fs::read(&module).map_err(Trouble::io("read", &module))?;
    match target {
        Target::Bare => Ok(built),
        Target::Wasi => adapted(built),
    }
}

/// A component. Rustup's linker makes one itself; a plain linker leaves a module in which C's library speaks the first
/// WASI, and an adapter translates that.
fn adapted(built: Vec<u8>) -> Result<Vec<u8>, Trouble> {
    if !built.starts_with(b"\0asm\x01\0\0\0") {
        return Ok(built);
    }
    wit_component::ComponentEncoder::default()
        .module(&built)
        .and_then(|encoder| encoder.adapter(ADAPTER_NAME, ADAPTER))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            let fix = "the guide of the SDK says what a runbook for wasm32-wasip2 may use";
            Trouble::failed(format!("the module makes no component: {error:#}"), fix)
        })
}

fn remapped(folder: &Path) -> Vec<String> {
    let mut flags = Vec::new();
    if let Ok(folder) = std::path::absolute(folder) {
        flags.push(format!("--remap-path-prefix={}=.", folder.display()));
    }
    if let Some(home) =
        std::env::var_os("CARGO_HOME").or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo").into()))
    {
        flags.push(format!("--remap-path-prefix={}=cargo", Path::new(&home).display()));
    }
    flags
}

/// What cargo says to people, without what it says to programs.
fn without_messages(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Failed { message, output, fix } => {
            let lines: Vec<&str> = output.lines().collect();
            // They come first, the oldest perhaps cut.
            let messages = lines.iter().rposition(|line| line.starts_with("{\"reason\":")).map_or(0, |last| last + 1);
            Trouble::Failed { message, output: lines[messages..].join("\n"), fix }
        }
        other @ (Trouble::Problems(_) | Trouble::Missing { .. }) => other,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_says_what_it_is_compiled_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = |text: &str| {
            std::fs::write(folder.path().join("Cargo.toml"), text).expect("writable");
            Target::of(folder.path())
        };
        assert_eq!(target("[package]\nname = \"x\"\n").expect("said nothing"), Target::Bare);
        let wasi = target("[package.metadata.sandbook]\ntarget = \"wasm32-wasip2\"\n");
        assert_eq!(wasi.expect("said so"), Target::Wasi);
        let Err(Trouble::Failed { message, fix, .. }) =
            target("[package.metadata.sandbook]\ntarget = \"wasm32-wasip1\"\n")
        else {
            panic!("it is refused")
        };
        assert!(message.contains("\"wasm32-wasip1\" in Cargo.toml makes no runbook"), "{message}");
        assert_eq!(fix, "write wasm32-unknown-unknown or wasm32-wasip2");
        assert!(Target::Wasi.debian().iter().any(|(package, _)| *package == "wasi-libc"));
        assert!(!Target::Bare.debian().iter().any(|(package, _)| *package == "wasi-libc"));
    }
}
