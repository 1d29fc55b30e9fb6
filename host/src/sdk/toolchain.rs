//! Where toolchains lie, what each consists of, and the exact commands that install them.
//!
//! Versions are pinned: a runbook built today and in a year is built by the same compiler. Nothing is installed unless it is
//! asked for. Deliberately not here: using them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::Trouble;

/// What compiles Python, from PyPI.
pub(super) const PYTHON_PACKAGE: &str = "componentize-py==0.25.1";
/// What compiles JavaScript, from npm; the shim is needed by the first and not named by it.
pub(super) const JAVASCRIPT_PACKAGES: [&str; 3] =
    ["@bytecodealliance/componentize-js@0.23.0", "@bytecodealliance/preview2-shim@0.17.9", "esbuild@0.25.12"];
/// Bytes of a tool's output that are kept, the last ones.
const OUTPUT_BYTES_MAX: usize = 16 << 10;

/// A command, as it is run and as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    program: String,
    arguments: Vec<String>,
    /// It needs root, and is named, never run.
    by_hand: bool,
}

impl Step {
    pub(super) fn new(program: impl Into<String>, arguments: &[&str]) -> Step {
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        Step { program: program.into(), arguments, by_hand: false }
    }

    /// A command that a person runs, because it needs root or changes more than this toolchain.
    pub(super) fn by_hand(program: &str, arguments: &[&str]) -> Step {
        Step { by_hand: true, ..Step::new(program, arguments) }
    }

    /// Whether it is only named.
    pub fn is_by_hand(&self) -> bool {
        self.by_hand
    }

    async fn run(&self) -> Result<(), Trouble> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        output(&mut command, &self.to_string()).await.map(drop)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

/// The folder of toolchains that `build --install` fills: below the user's cache.
pub fn folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("sandbook/toolchains")
}

/// A program in the search path.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs the steps; those by hand are left to a person, and then it is still missing.
pub(super) async fn install(language: &'static str, what: &str, steps: &[Step]) -> Result<(), Trouble> {
    if steps.iter().any(Step::is_by_hand) {
        return Err(Trouble::Missing { language, what: what.to_owned(), steps: steps.to_vec() });
    }
    for step in steps {
        step.run().await?;
    }
    Ok(())
}

/// Runs a tool; what it printed if it succeeds.
pub(super) async fn output(command: &mut Command, name: &str) -> Result<String, Trouble> {
    let finished = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = finished.map_err(|error| Trouble::failed(format!("cannot start {name}: {error}"), "install it"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    let kept = &said[said.len().saturating_sub(OUTPUT_BYTES_MAX)..];
    Err(Trouble::Failed {
        message: format!("{name} failed ({})", output.status),
        output: String::from_utf8_lossy(kept).trim_end().to_owned(),
        fix: "what it printed says where".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_needs_root_is_named_and_not_run() {
        let steps = [Step::by_hand("apt-get", &["install", "clang"]), Step::new("false", &[])];
        let Err(Trouble::Missing { steps, .. }) = install("C", "clang", &steps).await else { panic!("it is missing") };
        assert_eq!(steps[0].to_string(), "apt-get install clang");
        let Err(Trouble::Failed { message, .. }) = install("C", "x", &steps[1..]).await else { panic!("it fails") };
        assert!(message.starts_with("false failed"), "{message}");
    }
}
