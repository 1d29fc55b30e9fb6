//! What differs between two versions: what the newer can newly do and can no longer do, the manifest key by key, the code
//! line by line. Of the first of its name everything is new.
//!
//! Deliberately not here: which of them is better. What it would have done in an incident says a replay.

use std::collections::{BTreeMap, BTreeSet};

use sandbook_core::manifest::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::TextDiff;

use super::{Package, power};

/// Lines around a change.
const CONTEXT: usize = 3;
/// Bytes of a diff at the most: whoever changed more reads the files.
const DIFF_BYTES_MAX: usize = 512 << 10;

/// What differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The older; absent where there is none.
    pub from: Option<Side>,
    /// The newer.
    pub to: Side,
    /// The digests are the same: they do the same.
    pub same: bool,
    /// `can newly restart a container …`, a sentence each.
    pub newly: Vec<String>,
    /// What it could and can no longer, a sentence each.
    pub no_longer: Vec<String>,
    /// Keys of the manifest that differ.
    pub manifest: Vec<Change>,
    /// Files that differ.
    pub files: Vec<FileChange>,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Side {
    pub name: String,
    pub version: String,
    pub digest: String,
}

/// A key that differs; absent on the side that has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Change {
    pub key: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path in the package.
    pub file: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// Unified, of a text; of others how large they are.
    pub diff: String,
}

fn side(package: &Package) -> Side {
    Side { name: package.name.clone(), version: package.version.clone(), digest: package.digest.clone() }
}

/// What differs between two packages.
pub fn between(from: &Package, to: &Package) -> Difference {
    let (newly, no_longer) = abilities(&from.manifest, &to.manifest);
    Difference {
        from: Some(side(from)),
        to: side(to),
        same: from.digest == to.digest,
        newly,
        no_longer,
        manifest: keys(Some(&from.manifest), &to.manifest),
        files: files(Some(from), to),
    }
}

/// Of the first of its name: all of it is new.
pub fn of_new(to: &Package) -> Difference {
    let power = power::of(&to.manifest);
    let starts = power.starts.iter().map(|one| format!("be started by {one}"));
    Difference {
        from: None,
        to: side(to),
        same: false,
        newly: power.can.iter().map(|one| one.sentence.clone()).chain(starts).collect(),
        no_longer: Vec::new(),
        manifest: keys(None, &to.manifest),
        files: files(None, to),
    }
}

/// What can be done with one manifest and not with the other, both ways.
fn abilities(from: &Manifest, to: &Manifest) -> (Vec<String>, Vec<String>) {
    let (before, after) = (power::of(from), power::of(to));
    let sentences =
        |power: &power::Power| -> BTreeSet<String> { power.can.iter().map(|one| one.sentence.clone()).collect() };
    let (could, can) = (sentences(&before), sentences(&after));
    let mut newly: Vec<String> = can.difference(&could).cloned().collect();
    let mut no_longer: Vec<String> = could.difference(&can).cloned().collect();
    let starts = |power: &power::Power| -> BTreeSet<String> { power.starts.iter().cloned().collect() };
    let (started, start) = (starts(&before), starts(&after));
    newly.extend(start.difference(&started).map(|one| format!("be started by {one}")));
    no_longer.extend(started.difference(&start).map(|one| format!("be started by {one}")));
    if before.about != after.about {
        newly.push(format!("be about {}", after.about));
        no_longer.push(format!("be about {}", before.about));
    }
    looser(from, to, &mut newly, &mut no_longer);
    (newly, no_longer)
}

/// Limits and brakes: a higher one is more power, a missing one the engine's.
fn looser(from: &Manifest, to: &Manifest, newly: &mut Vec<String>, no_longer: &mut Vec<String>) {
    let usual = sandbook_core::journal::Limits::default();
    let numbers = |manifest: &Manifest| {
        let limits = &manifest.limits;
        [
            ("milliseconds of wall time", limits.wall.map_or(usual.wall_ms, |one| one.0)),
            ("milliseconds of processor time", limits.cpu.map_or(usual.cpu_ms, |one| one.0)),
            ("bytes of memory", limits.memory.map_or(usual.memory_bytes, |one| one.0)),
            ("effects", u64::from(limits.effects.unwrap_or(usual.effects))),
            ("bytes a result", limits.result.map_or(usual.result_bytes, |one| one.0)),
            ("bytes of journal", limits.journal.map_or(usual.journal_bytes, |one| one.0)),
            ("denials", u64::from(limits.denials.unwrap_or(usual.denials))),
            ("bytes of notes", limits.notes.map_or(usual.notes_bytes, |one| one.0)),
        ]
    };
    for ((what, before), (_, after)) in numbers(from).into_iter().zip(numbers(to)) {
        let said = format!("use up {} {what} in a run, {} before", after, before);
        if after > before {
            newly.push(said);
        } else if after < before {
            no_longer.push(format!("use up {before} {what} in a run, {after} at the most now"));
        }
    }
    let rates =
        |manifest: &Manifest| -> BTreeSet<String> { manifest.brake.attempts.iter().map(ToString::to_string).collect() };
    let (held, holds) = (rates(from), rates(to));
    newly.extend(
        held.difference(&holds)
            .map(|rate| format!("act more often than {rate} on one target, if the operator lets it")),
    );
    no_longer.extend(holds.difference(&held).map(|rate| format!("act more often than {rate} on one target")));
}

/// Every key of a manifest with its value, lists as a whole.
fn flat(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flat(&path, value, found);
            }
        }
        Value::Null => {}
        other => drop(found.insert(prefix.to_owned(), other.clone())),
    }
}

fn keys(from: Option<&Manifest>, to: &Manifest) -> Vec<Change> {
    let all = |manifest: &Manifest| {
        let mut found = BTreeMap::new();
        flat("", &serde_json::to_value(manifest).unwrap_or_default(), &mut found);
        found
    };
    let (before, after) = (from.map(all).unwrap_or_default(), all(to));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| Change { key: key.clone(), before: before.get(key).cloned(), after: after.get(key).cloned() })
        .collect()
}

fn files(from: Option<&Package>, to: &Package) -> Vec<FileChange> {
    let old = from.map(|from| from.files.as_slice()).unwrap_or_default();
    let names: BTreeSet<&str> = old.iter().chain(&to.files).map(|(name, _)| name.as_str()).collect();
    let mut left = DIFF_BYTES_MAX;
    let changed = names.into_iter().filter_map(|name| {
        let (before, after) = (from.and_then(|from| from.file(name)), to.file(name));
        let change = match (before, after) {
            (Some(before), Some(after)) if before == after => return None,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "removed",
            (None, _) => "added",
        };
        let diff = diff(name, before.unwrap_or_default(), after.unwrap_or_default(), &mut left);
        Some(FileChange { file: name.to_owned(), change: change.to_owned(), diff })
    });
    changed.collect()
}

fn diff(name: &str, before: &[u8], after: &[u8], left: &mut usize) -> String {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return format!("{name} is no text: {} bytes before, {} now", before.len(), after.len());
    };
    let text = TextDiff::from_lines(old, new);
    let mut said =
        text.unified_diff().context_radius(CONTEXT).header(&format!("a/{name}"), &format!("b/{name}")).to_string();
    if said.len() > *left {
        sandbook_core::error::truncate_at_char(&mut said, *left);
        said.push_str("\n… and more\n");
    }
    *left = left.saturating_sub(said.len());
    said
}
