//! A compile cache that all tests share: what the binary brings along is compiled once, not again for each daemon's empty
//! data folder.
//!
//! The product's own command line fills it, and a daemon finds it where it would have put it itself. Deliberately not here:
//! what tests upload, which each daemon compiles; and cold starts, which the tests of the image and the package make.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::daemon::binary;
use crate::repository;

/// Where the command line keeps it below the user's cache folder, and a daemon below its data folder.
const FOLDER: &str = "compiled";
/// One in each language that the binary brings along: the interpreter is compiled for the script.
const BUILT_IN: [&str; 3] = ["restart-unhealthy", "restart-exited", "collect-evidence"];

/// A user's cache folder with everything compiled that the binary brings along, for `XDG_CACHE_HOME`.
#[track_caller]
pub fn cache_home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let program = binary();
        let home = program.parent().expect("a file is in a folder").join("tests-cache");
        let mut command = Command::new(&program);
        command.arg("test").args(BUILT_IN.map(|name| repository().join("runbooks").join(name)));
        command.env("XDG_CACHE_HOME", &home).stdin(Stdio::null());
        let done = command.output().expect("the binary starts");
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "compiling once for all tests: {said}");
        home
    })
}

/// Puts it into a daemon's data folder, as if it had started before.
#[track_caller]
pub fn fill(data: &Path) {
    let (from, to) = (cache_home().join("sandbook").join(FOLDER), data.join(FOLDER));
    std::fs::create_dir_all(&to).expect("a writable folder");
    for entry in std::fs::read_dir(from).expect("it was just filled").flatten() {
        let compiled = entry.path().extension().is_some_and(|extension| extension == "cwasm");
        let linked = to.join(entry.file_name());
        // Nobody writes into such a file: a new one takes its place.
        if compiled && std::fs::hard_link(entry.path(), &linked).is_err() {
            std::fs::copy(entry.path(), &linked).expect("a writable folder");
        }
    }
}
