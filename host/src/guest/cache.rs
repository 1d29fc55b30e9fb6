//! Where a user's compiled components lie: what commands without a daemon's data folder compile, and the simulated demo.
//!
//! Deliberately not here: a daemon's own, which lie in its data folder.

use std::path::{Path, PathBuf};

/// Below the user's cache folder.
const FOLDER: &str = "sandbook/compiled";

/// The user's folder for compiled components. Without a home (a build container), or with one that others can write, a
/// new folder that nobody else can write.
///
/// # Errors
/// When no folder can be made at all.
pub fn user_cache() -> std::io::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|base| base.join(FOLDER));
    if let Some(folder) = home
        && make_private(&folder).is_ok()
    {
        return Ok(folder);
    }
    Ok(tempfile::Builder::new().prefix("sandbook-cache-").tempdir()?.keep())
}

/// Compiled code is mapped and executed, so nobody else may write where it lies.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = std::fs::metadata(folder)?;
    let own = metadata.uid() == rustix::process::getuid().as_raw() && metadata.mode() & 0o022 == 0;
    let probe = tempfile::tempfile_in(folder);
    if own { probe.map(drop) } else { Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_others_can_write_holds_no_code() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let folder = base.path().join("a/b");
        make_private(&folder).expect("made");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        make_private(&folder).expect("found");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("our own");
        assert_eq!(make_private(&folder).expect_err("open").kind(), std::io::ErrorKind::PermissionDenied);
    }
}
