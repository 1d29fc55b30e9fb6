//! A compile cache that all tests share: what the binary brings along is compiled once, not again for each daemon's empty
//! data folder.
//!
//! The product's own command line fills it, and a daemon finds it where it would have put it itself. Deliberately not here:
//! what tests upload, which each daemon compiles; and cold starts, which the tests of the image and the package make.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::daemon::binary;
use crate::repository;

/// Where the command line keeps it below the user's cache folder, and a daemon below its data folder.
const FOLDER: &str = "compiled";
/// One in each language that the binary brings along: the interpreter is compiled for the script.
const BUILT_IN: [&str; 3] = ["restart-unhealthy", "restart-exited", "collect-evidence"];

/// What the binary brings along, compiled; and a user's cache folder, into which commands of tests compile more.
struct Cache {
    home: PathBuf,
    files: Vec<PathBuf>,
}

#[track_caller]
fn cache() -> &'static Cache {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    CACHE.get_or_init(|| {
        let program = binary();
        let user = rustix::process::getuid().as_raw();
        let folder = program.parent().expect("a file is in a folder").join(format!("tests-cache-{user}"));
        let (brought, home) = (folder.join("brought"), folder.join("home"));
        let mut command = Command::new(&program);
        command.arg("test").args(BUILT_IN.map(|name| repository().join("runbooks").join(name)));
        command.env("XDG_CACHE_HOME", &brought).stdin(Stdio::null());
        let done = command.output().expect("the binary starts");
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "compiling once for all tests: {said}");
        let entries = std::fs::read_dir(brought.join("sandbook").join(FOLDER)).expect("it was just filled");
        let files = entries.flatten().map(|entry| entry.path());
        let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|kind| kind == "cwasm")).collect();
        link(&files, &home.join("sandbook").join(FOLDER));
        Cache { home, files }
    })
}

/// That cache folder, for `XDG_CACHE_HOME`.
#[track_caller]
pub fn cache_home() -> &'static Path {
    &cache().home
}

/// Puts it into a daemon's data folder, as if it had started before.
#[track_caller]
pub fn fill(data: &Path) {
    link(&cache().files, &data.join(FOLDER));
}

fn link(files: &[PathBuf], to: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to).expect("a writable folder");
    for file in files {
        let linked = to.join(file.file_name().expect("a file has a name"));
        // Nobody writes into such a file: a new one takes its place.
        if !linked.exists() && std::fs::hard_link(file, &linked).is_err() {
            std::fs::copy(file, &linked).expect("a writable folder");
        }
    }
}
