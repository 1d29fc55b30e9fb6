//! Scenarios: a runbook rehearsed in a world that a file describes, and held to what the file expects.
//!
//! A scenario is a rehearsal like a plan, through the same gate and `perform`; its world, policy, people and clock are
//! data, so that it takes milliseconds and always comes to the same. [`read`] understands a file, [`Bench::play`] plays
//! it, [`judge`] compares, [`written`] writes what came of it, [`mark`] finds the branches, [`recorded`] makes a
//! scenario of a run. Deliberately not here: how any of it looks, and where files are.

mod cover;
mod format;
mod judge;
mod play;
mod record;
#[cfg(test)]
mod tests;
mod write;

pub use cover::{MARK, Marked, Point, mark};
pub use format::{
    Alert, Expect, ExpectedContainer, ExpectedEffect, HOST_DEFAULT, Rules, Scenario, UNKNOWN, UNREADABLE, read,
};
pub use judge::{Line, Mismatch, Sign, counted, judge};
pub use play::{Bench, Coverage, Played};
pub use record::{Recorded, recorded};
pub use write::{expectations, updated, written};

use std::path::Path;

use sandbook_core::manifest::Manifest;
use sandbook_core::problem::Problem;

use crate::library::Package;

/// Problems of the scenarios in a folder that is no package yet: its code is not built.
pub fn in_folder(folder: &Path, manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let entries = std::fs::read_dir(folder.join("scenarios")).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Ok(text) = std::fs::read_to_string(path) {
            problems.extend(read(&text, &format!("scenarios/{name}"), manifest).err().unwrap_or_default());
        }
    }
    problems
}

/// Every scenario of a package that can be read, by file, and the problems of those that cannot.
pub fn of(package: &Package) -> (Vec<(String, Scenario)>, Vec<Problem>) {
    let (mut scenarios, mut problems) = (Vec::new(), Vec::new());
    for (file, content) in package.scenarios() {
        match std::str::from_utf8(content) {
            Ok(text) => match read(text, file, &package.manifest) {
                Ok(scenario) => scenarios.push((file.to_owned(), scenario)),
                Err(more) => problems.extend(more),
            },
            Err(error) => problems.push(Problem {
                code: UNREADABLE,
                file: file.to_owned(),
                line: 1,
                column: 1,
                message: format!("it is not UTF-8 at byte {}", error.valid_up_to()),
                help: "save it as UTF-8".to_owned(),
                warning: false,
            }),
        }
    }
    (scenarios, problems)
}
