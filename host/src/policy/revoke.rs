//! `sandbook grants --remove`: takes away what `sandbook grant` wrote, and nothing that a person wrote.
//!
//! A grant is told from a policy by its `@id`: from that the grant is composed anew, and only what stands in the file to
//! the letter is removed. So a changed grant, a forbid, and any other policy stay, whatever their ids. All folders are
//! validated without the grant before a byte is written; the file is replaced at once or not at all.
//! Deliberately not here: editing policies by hand, and how often a grant was used, which is kept.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sandbook_core::effect::closest;
use sandbook_core::problem::Problem;

use super::grant::{FILE, Selector, compose, write};
use super::load::{self, Rule};

/// A grant that was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Where it stood.
    pub file: PathBuf,
    /// The policy that is gone.
    pub cedar: String,
    /// Its `@id`.
    pub id: String,
    /// Whose it was.
    pub runbook: String,
    /// What it permitted.
    pub effect: String,
}

/// Why nothing was taken away.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// No policy has that id; the nearest one that is a grant.
    Unknown(Option<String>),
    /// It is a person's policy, or a grant that a person changed; where it stands.
    ByHand(PathBuf, u32),
    /// The folders cannot be read or written, or have mistakes.
    Problems(Vec<Problem>),
}

/// Takes away the grant of that `@id` from the first folder, where grants are written; the others are read with it.
///
/// # Errors
/// [`Kept`]; then no file was changed.
pub fn revoke(dirs: &[PathBuf], id: &str) -> Result<Revoked, Kept> {
    let Some(dir) = dirs.first() else { return Err(Kept::Unknown(None)) };
    let fail = |error: std::io::Error| {
        let message = format!("policy directory {} cannot be written: {error}", dir.display());
        let (file, help) = (dir.display().to_string(), "check that it exists and its permissions".to_owned());
        Kept::Problems(vec![Problem {
            code: load::UNREADABLE,
            file,
            line: 1,
            column: 1,
            message,
            help,
            warning: false,
        }])
    };
    // Held until the end: a grant that is written meanwhile is not lost.
    let lock = match File::open(dir) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Kept::Unknown(None)),
        Err(error) => return Err(fail(error)),
    };
    lock.lock().map_err(fail)?;
    let mut sources = load::read(dirs).map_err(Kept::Problems)?;
    let before = load::rules(&sources).map_err(Kept::Problems)?;
    let path = dir.join(FILE);
    let Some(rule) = before.rules.iter().find(|rule| rule.id == id) else {
        let grants = before.rules.iter().filter(|rule| written(rule, &path).is_some());
        return Err(Kept::Unknown(closest(id, grants.map(|rule| rule.id.as_str())).map(str::to_owned)));
    };
    let by_hand = || Kept::ByHand(PathBuf::from(&rule.file), rule.line);
    let (runbook, effect) = written(rule, &path).ok_or_else(by_hand)?;
    let source = sources.iter_mut().find(|source| source.file == rule.file).ok_or_else(by_hand)?;
    cut(&mut source.text, rule.start, rule.end);
    let text = source.text.clone();
    load::rules(&sources).map_err(Kept::Problems)?;
    write(dir, &path, &text).map_err(fail)?;
    Ok(Revoked { file: path, cedar: rule.text(), id: rule.id.clone(), runbook, effect })
}

/// The same of a policy in that file.
fn written(rule: &Rule, file: &Path) -> Option<(String, String)> {
    as_written(rule).filter(|_| Path::new(&rule.file) == file)
}

/// Runbook and effect of a policy that is, to the letter, what `sandbook grant` writes.
pub(super) fn as_written(rule: &Rule) -> Option<(String, String)> {
    let mut parts = rule.id.splitn(3, '/');
    let (runbook, effect, covers) = (parts.next()?, parts.next()?, parts.next()?);
    let mut selector = Selector::default();
    for cover in covers.split(',').filter(|cover| !cover.is_empty()) {
        let (key, value) = cover.split_once('=')?;
        let value = Some(value.to_owned());
        match key {
            "container" => selector.container = value,
            "service" => selector.service = value,
            "host" => selector.host = value,
            _ => return None,
        }
    }
    let (id, cedar) = compose(runbook, effect, &selector, rule.limit, rule.ask).ok()?;
    (id == rule.id && cedar == rule.text()).then(|| (runbook.to_owned(), effect.to_owned()))
}

/// Takes a policy out of a text, with the empty line before it.
fn cut(text: &mut String, start: usize, end: usize) {
    let end = if text[end..].starts_with('\n') { end + 1 } else { end };
    let start = if text[..start].ends_with("\n\n") { start - 1 } else { start };
    text.replace_range(start..end, "");
}

#[cfg(test)]
mod tests {
    use super::super::grant::grant;
    use super::*;

    const BY_HAND: &str =
        "// Of a person.\n@id(\"mine\")\npermit (principal, action == Action::\"docker.exec\", resource);\n";

    fn given(dir: &Path, container: &str, limit: Option<&str>, ask: bool) -> String {
        let selector = Selector { container: Some(container.to_owned()), ..Selector::default() };
        let limit = limit.map(|limit| limit.parse().expect("a rate"));
        grant(dir, "heals", "docker.restart-container", &selector, limit, ask).expect("granted").id
    }

    fn text(dir: &Path) -> String {
        std::fs::read_to_string(dir.join(FILE)).expect("readable")
    }

    #[test]
    fn what_was_granted_is_taken_away_and_the_rest_of_the_file_is_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let dirs = [dir.path().to_path_buf()];
        let kept = given(dir.path(), "web-*", None, false);
        let before = text(dir.path());
        for (limit, ask) in [(None, false), (Some("3/1h"), true), (Some("90/60m"), false)] {
            let id = given(dir.path(), "db", limit, ask);
            let revoked = revoke(&dirs, &id).expect("taken away");
            assert_eq!((revoked.runbook.as_str(), revoked.effect.as_str()), ("heals", "docker.restart-container"));
            assert!(revoked.cedar.starts_with(&format!("@id(\"{id}\")")), "{}", revoked.cedar);
            assert_eq!(text(dir.path()), before);
        }
        revoke(&dirs, &kept).expect("the last one");
        assert!(
            text(dir.path()).starts_with("// Written by `sandbook grant`.") && !text(dir.path()).contains("permit")
        );
        assert_eq!(revoke(&dirs, &kept), Err(Kept::Unknown(None)), "once");
        given(dir.path(), "web-*", None, false);
        assert_eq!(text(dir.path()), before, "and it can be given again");
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1, "no temporary files stay");
    }

    #[test]
    fn what_a_person_wrote_or_changed_stays_wherever_it_stands() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir_all(&two).expect("created");
        let dirs = [one.clone(), two.clone()];
        let id = given(&one, "web-1", Some("3/1h"), false);
        let as_written = text(&one);
        let by_hand = |kept: Result<Revoked, Kept>| matches!(kept, Err(Kept::ByHand(_, _)));
        for changed in [
            as_written.replace("resource.name == \"web-1\"", "resource.name like \"*\""),
            as_written.replace("permit (", "forbid (").replace("@limit(\"3/1h\")\n", ""),
            as_written.replace("@limit", "@reason(\"dana's\")\n@limit"),
            as_written.replace("principal == Runbook::\"heals\"", "principal"),
        ] {
            std::fs::write(one.join(FILE), &changed).expect("written");
            assert!(by_hand(revoke(&dirs, &id)), "{changed}");
            assert_eq!(text(&one), changed);
        }
        // A limit is part of a grant: `sandbook grant` would have written this one, too.
        std::fs::write(one.join(FILE), as_written.replace("3/1h", "9/1d")).expect("written");
        assert!(revoke(&dirs, &id).is_ok());

        std::fs::write(one.join(FILE), format!("{as_written}{BY_HAND}")).expect("written");
        std::fs::write(two.join("more.cedar"), BY_HAND.replace("mine", "theirs")).expect("written");
        for id in ["mine", "theirs"] {
            assert!(by_hand(revoke(&dirs, id)), "{id}");
        }
        assert_eq!(revoke(&dirs, &id.replace("web-1", "web-2")), Err(Kept::Unknown(Some(id.clone()))));
        assert_eq!(text(&one), format!("{as_written}{BY_HAND}"));
        std::fs::write(two.join("more.cedar"), "permit (").expect("written");
        assert!(matches!(revoke(&dirs, &id), Err(Kept::Problems(_))), "nothing is written beside a mistake");
        assert_eq!(text(&one), format!("{as_written}{BY_HAND}"));
        std::fs::remove_file(two.join("more.cedar")).expect("removed");
        assert!(revoke(&dirs, &id).is_ok());
        assert!(text(&one).ends_with(BY_HAND), "{}", text(&one));
    }
}
