//! What a reviewer would have to look for in every file: direction of dependencies, sizes, closed matches, pages for error
//! codes, no traces of the machine it was written on.
//!
//! The rules read text, not syntax: they rely on rustfmt, which the same test run checks. Each failure lists every place
//! at once. Deliberately not here: what Cargo, clippy and privacy already hold.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sandbook_tests::repository;

/// A file a person can keep in mind.
const FILE_LINES_MAX: usize = 600;
/// A function that can be read without scrolling twice.
const FUNCTION_LINES_MAX: usize = 90;
/// Made by tools or by running.
const SKIPPED_FOLDERS: [&str; 4] = ["target", ".git", "node_modules", "sandbook-data"];
/// What is text here and worth reading.
const TEXT: [&str; 18] = [
    "rs", "toml", "md", "wit", "rhai", "cedar", "yml", "yaml", "json", "sh", "sql", "html", "js", "css", "py", "txt",
    "lock", "snap",
];

/// A crate, and the only places of the daemon that may name it; paths begin in `host/src`.
const CRATES: [(&str, &[&str]); 9] = [
    ("bollard", &["driver", "watcher"]),
    ("wasmtime", &["guest"]),
    ("axum", &["api", "app"]),
    ("rusqlite", &["store"]),
    ("cedar_policy", &["policy"]),
    ("async_openai", &["llm"]),
    ("jsonschema", &["llm"]),
    ("opentelemetry_proto", &["otel"]),
    ("prost", &["otel"]),
];

/// A part of the daemon, and what it may never use.
const DIRECTIONS: [(&str, &[&str]); 7] = [
    ("guest", &["driver", "store", "api", "app"]),
    ("driver", &["guest", "store", "api", "app", "runner"]),
    ("store", &["guest", "driver", "api", "app", "runner"]),
    ("api", &["guest", "driver"]),
    ("policy", &["guest", "driver", "api", "app", "runner"]),
    ("llm", &["guest", "api", "app", "runner", "policy"]),
    ("otel", &["guest", "api", "app", "runner", "policy"]),
];

/// Where class, target, approval, recovery and simulation are decided: every match names every case.
const CLOSED: [&str; 8] = [
    "host/core/src/effect.rs",
    "host/core/src/effect",
    "host/core/src/gate.rs",
    "host/core/src/gate",
    "host/core/src/journal.rs",
    "host/core/src/journal",
    "host/core/src/world/perform.rs",
    "host/src/driver.rs",
];

/// A file of the repository: its path from the root, and its text.
struct File {
    path: String,
    text: String,
}

fn all_files() -> Vec<File> {
    let root = repository();
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 50, "only {} files in {}", found.len(), root.display());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<File>) {
    for entry in folder.read_dir().expect("a readable folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !path.is_symlink() {
            if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                collect(root, &path, found);
            }
        } else if is_text(&path)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let relative = path.strip_prefix(root).expect("under the root").to_string_lossy().into_owned();
            found.push(File { path: relative, text });
        }
    }
}

fn is_text(path: &Path) -> bool {
    match path.extension() {
        Some(extension) => TEXT.iter().any(|known| extension == *known),
        None => true,
    }
}

fn rust_files() -> Vec<File> {
    all_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Code without comment lines: prose may name what code may not.
fn code_lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let lines = file.text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Fails with every place, or not at all.
#[track_caller]
fn assert_none(rule: &str, places: &[String]) {
    let mut list = String::new();
    for place in places {
        let _ = writeln!(list, "  {place}");
    }
    assert!(places.is_empty(), "{rule}\n{list}");
}

/// Tests put parts together as only `app` otherwise may.
fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// Whether a path is that part of the daemon: `driver.rs`, or anything in `driver/`.
fn is_part(path: &str, part: &str) -> bool {
    path.strip_prefix("host/src/")
        .is_some_and(|rest| rest == format!("{part}.rs") || rest.starts_with(&format!("{part}/")))
}

/// Whether a line of code names a path that begins so, as a whole word.
fn names(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().last();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '"')
    })
}

#[test]
fn each_outside_crate_is_named_in_its_own_part_only() {
    let mut places = Vec::new();
    for file in rust_files().iter().filter(|file| file.path.starts_with("host/") && !is_test(&file.path)) {
        for (name, parts) in CRATES {
            if parts.iter().any(|part| is_part(&file.path, part)) {
                continue;
            }
            let found = code_lines(file)
                .filter(|(_, line)| names(line, &format!("{name}::")) || line.trim() == format!("use {name};"));
            places.extend(
                found.map(|(number, line)| {
                    format!("{}:{number}: {name} belongs to {parts:?}: {}", file.path, line.trim())
                }),
            );
        }
    }
    assert_none("an outside crate is used outside its part of the daemon", &places);
}

#[test]
fn dependencies_point_one_way() {
    let mut places = Vec::new();
    for file in rust_files().into_iter().filter(|file| !is_test(&file.path)) {
        for (part, forbidden) in DIRECTIONS {
            if !is_part(&file.path, part) {
                continue;
            }
            for (number, line) in code_lines(&file) {
                let wrong = forbidden.iter().find(|other| {
                    names(line, &format!("crate::{other}::")) || names(line, &format!("crate::{other};"))
                });
                if let Some(other) = wrong {
                    places.push(format!("{}:{number}: {part} must not know {other}: {}", file.path, line.trim()));
                }
            }
        }
        let may_know_app = is_part(&file.path, "app") || is_part(&file.path, "cli") || file.path == "host/src/main.rs";
        if file.path.starts_with("host/src/") && !may_know_app {
            let found = code_lines(&file).filter(|(_, line)| names(line, "crate::app::"));
            places.extend(
                found.map(|(number, line)| format!("{}:{number}: nothing may know app: {}", file.path, line.trim())),
            );
        }
    }
    assert_none(
        "a dependency points the wrong way (guest → perform → gate, journal, driver; api → runner; app → all)",
        &places,
    );
}

#[test]
fn every_module_says_what_it_is_and_what_it_is_not() {
    // What is generated says so first.
    let opens = |text: &str| {
        let first = text.strip_prefix("// Generated ").and_then(|text| text.split_once('\n')).map(|(_, rest)| rest);
        first.unwrap_or(text).starts_with("//!")
    };
    let silent = rust_files().into_iter().filter(|file| !opens(&file.text));
    assert_none("a module does not open with //!", &silent.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_can_be_read() {
    let mut places = Vec::new();
    for file in rust_files() {
        let lines: Vec<&str> = file.text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            places.push(format!("{}: {} lines, at most {FILE_LINES_MAX}", file.path, lines.len()));
        }
        for (start, name, length) in functions(&lines) {
            if length > FUNCTION_LINES_MAX {
                places.push(format!("{}:{start}: {name} has {length} lines, at most {FUNCTION_LINES_MAX}", file.path));
            }
        }
    }
    assert_none("too long", &places);
}

/// Line, name and length of every function. In rustfmt's layout a body ends at the first `}` indented like its `fn`.
fn functions<'a>(lines: &[&'a str]) -> Vec<(usize, &'a str, usize)> {
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closes = |line: &&str| {
            let own = line.len() - line.trim_start().len();
            own == indent && (line.trim() == "}" || line.trim_end().ends_with(';'))
        };
        let one_line = line.trim_end().ends_with('}');
        let end = if one_line { Some(0) } else { lines[index..].iter().position(closes) };
        if let Some(length) = end {
            found.push((index + 1, name, length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    for prefix in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        words = words.strip_prefix(prefix).unwrap_or(words);
    }
    let rest = words.strip_prefix("fn ")?;
    Some(&rest[..rest.find(['(', '<']).unwrap_or(rest.len())])
}

#[test]
fn no_match_that_decides_has_an_arm_for_the_rest() {
    let mut places = Vec::new();
    for part in CLOSED {
        let inside = |file: &File| file.path == part || file.path.starts_with(&format!("{part}/"));
        for file in rust_files().into_iter().filter(inside) {
            let before_tests = file.text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
            let found = code_lines(&file).filter(|(number, line)| *number <= before_tests && is_rest_arm(line));
            places.extend(found.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())));
        }
    }
    assert_none("name every case: a new one must be decided by a person, not by `_`", &places);
}

fn is_rest_arm(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("_ =>")
        || line.starts_with("_ if ")
        || line.contains("| _ =>")
        || line.contains(", _ =>")
        || line.contains("{ _ =>")
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let mut used = BTreeSet::new();
    for file in rust_files().iter().filter(|file| file.path.starts_with("host/") && !is_test(&file.path)) {
        let before_tests = file.text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        used.extend(
            code_lines(file).take_while(|(number, _)| *number <= before_tests).flat_map(|(_, line)| codes(line)),
        );
    }
    assert!(used.len() > 10, "the scan found only {used:?}");
    let folder = repository().join("docs/errors");
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten();
    let pages: BTreeSet<String> = entries.filter_map(|entry| page(&entry.path())).collect();
    let without_page: Vec<String> =
        used.difference(&pages).map(|code| format!("{code} has no docs/errors/{code}.md")).collect();
    assert_none("an error code without a page", &without_page);
    let unused: Vec<String> = pages.difference(&used).map(|code| format!("docs/errors/{code}.md")).collect();
    assert_none("a page nobody points to", &unused);
}

fn page(path: &Path) -> Option<String> {
    let code = path.file_stem()?.to_str()?;
    (codes(code).len() == 1).then(|| code.to_owned())
}

fn codes(text: &str) -> BTreeSet<String> {
    let digits = |code: &str| code.len() == 6 && code[2..].bytes().all(|byte| byte.is_ascii_digit());
    text.match_indices("SB")
        .filter_map(|(at, _)| text.get(at..at + 6))
        .filter(|code| digits(code))
        .map(str::to_owned)
        .collect()
}

#[test]
fn nothing_tells_of_the_machine_it_was_written_on() {
    // In pieces, so that this file is not a finding.
    let traces: Vec<String> = [["/ro", "ot/"], ["/ho", "me/"], ["/wo", "rk/"], ["/Us", "ers/"], ["/tmp", "/bash_jobs"]]
        .map(|pieces| pieces.concat())
        .into();
    let mut places = Vec::new();
    for file in all_files() {
        for (index, line) in file.text.lines().enumerate() {
            let trace = traces.iter().find(|trace| is_machine_path(line, trace));
            places.extend(trace.map(|trace| format!("{}:{}: {trace}", file.path, index + 1)));
        }
    }
    assert_none("a path of somebody's machine", &places);
}

/// An absolute path: what stands before it is neither a name nor a dot.
fn is_machine_path(line: &str, trace: &str) -> bool {
    line.match_indices(trace).any(|(at, _)| {
        let before = line[..at].chars().last();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "._-~/}".contains(letter))
    })
}

#[test]
fn nothing_is_left_for_later() {
    let marks: Vec<String> = [["to", "do!("], ["unimple", "mented!("], ["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]]
        .map(|pieces| pieces.concat())
        .into();
    let mut places = Vec::new();
    for file in rust_files() {
        for (index, line) in file.text.lines().enumerate() {
            let mark = marks.iter().find(|mark| names(line, mark));
            places.extend(mark.map(|mark| format!("{}:{}: {mark}", file.path, index + 1)));
        }
    }
    assert_none("unfinished", &places);
}

#[test]
fn the_core_depends_on_nothing_that_acts() {
    let manifest = std::fs::read_to_string(repository().join("host/core/Cargo.toml")).expect("readable");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let dependencies = manifest["dependencies"].as_table().expect("a table");
    let acting = [
        "tokio",
        "wasmtime",
        "axum",
        "bollard",
        "cedar-policy",
        "rusqlite",
        "reqwest",
        "hyper",
        "getrandom",
        "rand",
        "rustix",
        "notify",
    ];
    let found: Vec<String> =
        acting.iter().filter(|name| dependencies.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    assert_none("the core must stay pure", &found);
}

#[test]
fn the_contract_exists_once() {
    let copies: Vec<String> =
        wit_files(&repository()).into_iter().filter(|path| !path.starts_with("sdk/wit/")).collect();
    assert_none("the only copy of the WIT is sdk/wit", &copies);
}

fn wit_files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(root, root, &mut found);
    let wits = found.into_iter().filter(|file| file.path.ends_with(".wit"));
    wits.filter(|file| !file.path.split('/').any(|part| part == "world")).map(|file| file.path).collect()
}

/// Package managers take what lies beside the manifest, and follow no links.
#[test]
fn what_is_packed_carries_the_licence() {
    let read = |name: &str| std::fs::read_to_string(repository().join(name)).expect("it is there");
    for folder in ["sdk/python", "sdk/js"] {
        assert!(read(&format!("{folder}/LICENSE")) == read("LICENSE"), "copy LICENSE into {folder}");
    }
}

#[test]
fn the_scripts_of_the_repository_can_be_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let scripts: Vec<PathBuf> = ["dev", ".ci/run"].map(|name| repository().join(name)).into();
    for script in scripts {
        let mode = std::fs::metadata(&script)
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()))
            .permissions()
            .mode();
        assert!(mode & 0o111 == 0o111, "{} is not executable", script.display());
        let checked = std::process::Command::new("bash").arg("-n").arg(&script).status().expect("bash is there");
        assert!(checked.success(), "{} is not valid bash", script.display());
    }
}

/// Invariants and capabilities name the tests that hold them; a name with this many words is one of a test.
const TEST_WORDS_MIN: usize = 4;

#[test]
fn every_test_that_a_page_names_exists() {
    let files = all_files();
    let code: Vec<&File> = files.iter().filter(|file| file.path.ends_with(".rs")).collect();
    let functions: BTreeSet<&str> =
        code.iter().flat_map(|file| file.text.lines()).filter_map(|line| function_name(line.trim_start())).collect();
    let mut named = 0;
    let mut missing = Vec::new();
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in page.text.lines().enumerate() {
            for word in line.split('`').skip(1).step_by(2).filter(|word| is_test_name(word)) {
                named += 1;
                if !functions.contains(word) {
                    missing.push(format!("{}:{}: {word}", page.path, index + 1));
                }
            }
        }
    }
    assert!(named > 50, "only {named} names of tests were found");
    assert_none("a test that does not exist", &missing);
}

/// Metrics are held by a test of their own.
fn is_test_name(word: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    word.chars().all(plain)
        && word.split('_').count() >= TEST_WORDS_MIN
        && !word.starts_with("sandbook_")
        && !word.starts_with('_')
}
