//! Where a user's compiled components lie: what commands without a daemon's data folder compile, and the simulated demo.
//!
//! Deliberately not here: a daemon's own, which lie in its data folder.

use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Permissions of a folder that only its owner reads and writes, and what others have to write one.
const OWNER_ONLY: u32 = 0o700;
const OTHERS_WRITE: u32 = 0o022;
/// Below the user's cache folder: ours, and in it what is compiled.
const OURS: &str = "sandbook";
const FOLDER: &str = "compiled";

/// The user's folder for compiled components. Without a home (a build container), or with one that others can write, a
/// new folder that nobody else can write.
///
/// # Errors
/// When no folder can be made at all.
pub fn user_cache() -> std::io::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|base| base.join(OURS));
    if let Some(ours) = home
        && let folder = ours.join(FOLDER)
        && closed(&ours).and_then(|()| private(&folder)).is_ok()
    {
        return Ok(folder);
    }
    let mut builder = tempfile::Builder::new();
    Ok(builder.prefix("sandbook-cache-").permissions(Permissions::from_mode(OWNER_ONLY)).tempdir()?.keep())
}

/// Makes a folder that nobody else can write, or closes one of ours to others: who can write it can exchange what is in it.
fn closed(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(folder)?;
    let metadata = std::fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::getuid().as_raw() {
        return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
    }
    match metadata.mode() & 0o7777 {
        mode if mode & OTHERS_WRITE == 0 => Ok(()),
        mode => std::fs::set_permissions(folder, Permissions::from_mode(mode & !OTHERS_WRITE)),
    }
}

/// The same for compiled code, which is mapped and executed: what lay where others could write is not kept.
fn private(folder: &Path) -> std::io::Result<()> {
    if std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.mode() & OTHERS_WRITE != 0) {
        std::fs::remove_dir_all(folder)?;
    }
    closed(folder)?;
    tempfile::tempfile_in(folder).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn code_that_lay_where_others_can_write_is_not_kept() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let (ours, folder) = (base.path().join("ours"), base.path().join("ours/compiled"));
        let made = || closed(&ours).and_then(|()| private(&folder));
        made().expect("made");
        assert_eq!((mode(&ours), mode(&folder)), (0o700, 0o700));
        std::fs::write(folder.join("code"), "x").expect("writable");
        made().expect("found");
        assert!(folder.join("code").exists(), "what nobody else could write stays");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("our own");
        std::fs::set_permissions(&ours, Permissions::from_mode(0o775)).expect("our own");
        made().expect("closed again");
        assert_eq!((mode(&ours), mode(&folder)), (0o755, 0o700));
        assert!(!folder.join("code").exists());
    }

    #[test]
    fn a_link_to_somewhere_else_is_no_place_for_code() {
        let base = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::symlink(base.path(), base.path().join("link")).expect("writable");
        assert_eq!(closed(&base.path().join("link")).expect_err("a link").kind(), std::io::ErrorKind::PermissionDenied);
    }
}
