//! The sources beside a component: where they call an effect, and what they call at all.
//!
//! A component says which effects it imports and not where; and toolchains that import a whole world say nothing of what is
//! used. So calls are found in the text, as each language spells them, outside of comments. Deliberately not here: parsing
//! a language. What is found is a place to look at.

use std::path::Path;

use sandbook_core::effect::Effect;
use sandbook_core::problem::line_column;

/// Bytes of sources that are read, all files together; more of them are not looked at.
const BYTES_MAX: usize = 4 << 20;
/// Folders of tools, not of authors.
const MADE: [&str; 4] = ["target", "node_modules", "__pycache__", "scenarios"];
/// Folders below the package's own that are looked into.
const DEPTH_MAX: usize = 6;

/// A language as far as a call's spelling goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// `docker::restart_container(`
    Rust,
    /// `docker.restart_container(`
    Python,
    /// `docker.restartContainer(`
    JavaScript,
    /// `docker_restart_container(`
    C,
}

impl Spelling {
    fn of(name: &str) -> Option<Spelling> {
        let ending = name.rsplit_once('.')?.1;
        let test = name.starts_with("test_") || name.contains(".test.");
        match ending {
            _ if test => None,
            "rs" => Some(Spelling::Rust),
            "py" => Some(Spelling::Python),
            "js" | "mjs" | "ts" => Some(Spelling::JavaScript),
            "c" => Some(Spelling::C),
            _ => None,
        }
    }

    fn call(self, effect: &str) -> String {
        let (interface, function) = effect.split_once('.').unwrap_or((effect, ""));
        let snake = |text: &str| text.replace('-', "_");
        match self {
            Spelling::Rust => format!("{}::{}", snake(interface), snake(function)),
            Spelling::Python => format!("{}.{}", snake(interface), snake(function)),
            Spelling::JavaScript => format!("{}.{}", camel(interface), camel(function)),
            Spelling::C => format!("{}_{}", snake(interface), snake(function)),
        }
    }

    /// Whether its toolchain imports every function of a world, used or not.
    fn imports_everything(self) -> bool {
        matches!(self, Spelling::Python | Spelling::JavaScript)
    }
}

fn camel(kebab: &str) -> String {
    let mut up = false;
    let mut name = String::new();
    for letter in kebab.chars() {
        match letter {
            '-' => up = true,
            letter if std::mem::take(&mut up) => name.push(letter.to_ascii_uppercase()),
            letter => name.push(letter),
        }
    }
    name
}

/// A call in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) effect: &'static str,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// The sources of a package; none for a script, an upload, and a folder without any.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    calls: Vec<Call>,
    imports_everything: bool,
}

impl Sources {
    /// Reads a package's folder.
    pub(super) fn read(folder: &Path) -> Sources {
        let mut sources = Sources::default();
        let mut room = BYTES_MAX;
        let mut open = vec![(folder.to_owned(), 0)];
        while let Some((dir, depth)) = open.pop() {
            let mut entries: Vec<_> = std::fs::read_dir(&dir).into_iter().flatten().flatten().collect();
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') || MADE.contains(&name.as_str()) {
                    continue;
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if depth < DEPTH_MAX {
                        open.push((entry.path(), depth + 1));
                    }
                } else if let Some(spelling) = Spelling::of(&name) {
                    sources.look_into(folder, &entry.path(), spelling, &mut room);
                }
            }
        }
        sources.calls.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        sources
    }

    fn look_into(&mut self, folder: &Path, path: &Path, spelling: Spelling, room: &mut usize) {
        let bytes = std::fs::metadata(path).map_or(usize::MAX, |metadata| metadata.len() as usize);
        let Some(rest) = room.checked_sub(bytes) else { return };
        let Ok(text) = std::fs::read_to_string(path) else { return };
        *room = rest;
        self.imports_everything |= spelling.imports_everything();
        let file = path.strip_prefix(folder).unwrap_or(path).display().to_string();
        for info in Effect::ALL {
            for offset in calls(&text, &spelling.call(info.name)) {
                let (line, column) = line_column(&text, offset);
                self.calls.push(Call { effect: info.name, file: file.clone(), line, column });
            }
        }
    }

    /// The first call of an effect.
    pub(super) fn call(&self, effect: &str) -> Option<&Call> {
        self.calls.iter().find(|call| call.effect == effect)
    }

    /// Effects the text calls, where the component itself does not say; each once.
    pub(super) fn called(&self) -> Option<Vec<String>> {
        let mut names: Vec<String> = self.calls.iter().map(|call| call.effect.to_owned()).collect();
        names.sort();
        names.dedup();
        self.imports_everything.then_some(names)
    }

    /// The same without asking whether the component says it: there may be none yet.
    pub(super) fn all_called(&self) -> Vec<String> {
        let mut names: Vec<String> = self.calls.iter().map(|call| call.effect.to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Where a text names a function to call it, whole words outside of comment lines.
fn calls(text: &str, spelled: &str) -> Vec<usize> {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(spelled)
        .map(|(at, _)| at)
        .filter(|at| {
            let after = &text[at + spelled.len()..];
            let before = text[..*at].chars().next_back();
            let line = text[..*at].rsplit('\n').next().unwrap_or_default().trim_start();
            let comment = ["//", "#", "*", "/*"].iter().any(|mark| line.starts_with(mark));
            after.trim_start().starts_with('(')
                && !before.is_some_and(|letter| word(letter) || letter == '.')
                && !comment
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_as_each_language_spells_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        write("main.py", "# docker.stop_container(x)\nfrom sandbook import docker\n  docker.restart_container(x)\n");
        write("main.js", "a();\ndocker.updateResources(\nmydocker.exec(\n");
        write("test_main.py", "docker.kill_container(x)");
        std::fs::create_dir(dir.path().join("target")).expect("a folder");
        std::fs::write(dir.path().join("target/x.rs"), "docker::pause_container(x)").expect("written");
        let sources = Sources::read(dir.path());
        assert_eq!(
            sources.called(),
            Some(vec!["docker.restart-container".to_owned(), "docker.update-resources".to_owned()])
        );
        let call = sources.call("docker.restart-container").expect("it is called");
        assert_eq!((call.file.as_str(), call.line, call.column), ("main.py", 3, 3));
        assert_eq!(calls("docker::exec(x); docker::exec_more(y)", "docker::exec"), [0]);
        assert_eq!(Sources::read(Path::new("/nowhere")).called(), None);
    }
}
