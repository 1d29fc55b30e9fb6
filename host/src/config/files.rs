//! Files that the configuration names: whether they can be read, looked at only when somebody asks.
//!
//! Deliberately not here: reading the configuration, which needs nothing but its text; it may be checked on another
//! machine than the one whose secrets it names.

use std::path::Path;

use sandbook_core::problem::Problem;
use toml::Value;

use super::tree::{Tree, join};
use super::{Config, SUSPECT};

/// What the keys end with that name a file to be read, and a key that is the whole of it. Others name folders, which may be
/// made later.
const SUFFIX: &str = "_file";
const WHOLE: &str = "file";
/// The one file that need not be there: ssh makes it, where the hosts it meets are accepted.
const MADE: &str = "known_hosts_file";

impl Config {
    /// A warning for each named file that cannot be read here and now, with its place in `text`.
    pub fn unreadable_files(&self, text: &str, env: impl Iterator<Item = (String, String)>) -> Vec<Problem> {
        let Ok(tree) = Tree::read(text, self.file.as_deref(), env) else { return Vec::new() };
        let Ok(value) = Value::try_from(&self.sections) else { return Vec::new() };
        let mut problems = Vec::new();
        look(&value, "", &mut |path, file| {
            let why = match std::fs::metadata(file) {
                // Opening a pipe would wait for whoever writes into it.
                Ok(found) if !found.is_file() => "it is no file".to_owned(),
                Ok(_) => match std::fs::File::open(file) {
                    Ok(_) => return,
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            let message = format!("`{path}` names {}, which cannot be read: {why}", file.display());
            let help = "the daemon needs it; where it runs as somebody else, check as they: `su -s /bin/sh USER -c …`";
            let problem = tree.problem(SUSPECT, path, message, help.to_owned());
            problems.push(Problem { warning: true, ..problem });
        });
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        problems
    }
}

fn look(value: &Value, path: &str, found: &mut impl FnMut(&str, &Path)) {
    let Value::Table(table) = value else { return };
    let accepts = table.get("host_keys").and_then(Value::as_str) == Some("accept-new");
    for (key, value) in table.iter().filter(|(key, _)| !(accepts && *key == MADE)) {
        let path = join(path, key);
        match value.as_str().filter(|_| key.ends_with(SUFFIX) || key == WHOLE) {
            Some(file) => found(&path, Path::new(file)),
            None => look(value, &path, found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_a_warning_at_its_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("sandbook.toml");
        std::fs::write(folder.path().join("there"), "a-token-of-somebody-0123456789").expect("writable");
        let text = "[auth]\nmode = \"token\"\n[auth.tokens.you]\nrole = \"admin\"\nperson = \"you\"\ntoken_file = \"there\"\n\
                    [auth.tokens.other]\nrole = \"viewer\"\ntoken_file = \"nowhere\"\n\
                    [auth.tokens.third]\nrole = \"viewer\"\ntoken_file = \".\"\n\
                    [trust.keys.dana]\nfile = \"dana.pub\"\n\
                    [docker.hosts.far]\nendpoint = \"ssh://ops@far\"\nhost_keys = \"accept-new\"\n\
                    known_hosts_file = \"made-later\"\n";
        let config = Config::from_text(text, Some(&file), std::iter::empty()).expect("sound");
        let problems = config.unreadable_files(text, std::iter::empty());
        let lines: Vec<(u32, bool)> = problems.iter().map(|problem| (problem.line, problem.warning)).collect();
        assert_eq!(lines, [(9, true), (12, true), (14, true)], "{problems:?}");
        let nowhere = folder.path().join("nowhere").display().to_string();
        let first = &problems[0];
        assert!(first.code == SUSPECT && first.message.contains("`auth.tokens.other.token_file` names"), "{first:?}");
        assert!(first.message.contains(&nowhere), "{first:?}");
        assert!(problems[1].message.ends_with("it is no file"), "{problems:?}");
        assert!(problems[2].message.contains("`trust.keys.dana.file` names"), "{problems:?}");
    }
}
