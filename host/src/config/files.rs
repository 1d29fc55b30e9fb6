//! Files that the configuration names: whether they can be read, looked at only when somebody asks.
//!
//! Deliberately not here: reading the configuration, which needs nothing but its text; it may be checked on another
//! machine than the one whose secrets it names.

use std::path::Path;

use sandbook_core::problem::Problem;
use toml::Value;

use super::tree::{Tree, join};
use super::{Config, SUSPECT};

/// What the keys end with that name a file to be read. A key that ends otherwise names a folder, which may be made later.
const SUFFIX: &str = "_file";

impl Config {
    /// A warning for each named file that cannot be read here and now, with its place in `text`.
    pub fn unreadable_files(&self, text: &str, env: impl Iterator<Item = (String, String)>) -> Vec<Problem> {
        let Ok(tree) = Tree::read(text, self.file.as_deref(), env) else { return Vec::new() };
        let Ok(value) = Value::try_from(&self.sections) else { return Vec::new() };
        let mut problems = Vec::new();
        look(&value, "", &mut |path, file| {
            let Err(error) = std::fs::File::open(file) else { return };
            let message = format!("`{path}` names {}, which cannot be read: {error}", file.display());
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
    for (key, value) in table {
        let path = join(path, key);
        match value.as_str().filter(|_| key.ends_with(SUFFIX)) {
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
                    [auth.tokens.other]\nrole = \"viewer\"\ntoken_file = \"nowhere\"\n";
        let config = Config::from_text(text, Some(&file), std::iter::empty()).expect("sound");
        let problems = config.unreadable_files(text, std::iter::empty());
        let [problem] = problems.as_slice() else { panic!("one of two is missing: {problems:?}") };
        assert_eq!((problem.code, problem.line, problem.warning), (SUSPECT, 9, true), "{problem:?}");
        let nowhere = folder.path().join("nowhere");
        assert!(problem.message.contains("`auth.tokens.other.token_file` names"), "{problem:?}");
        assert!(problem.message.contains(&nowhere.display().to_string()), "{problem:?}");
    }
}
