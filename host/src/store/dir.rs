//! The data directory: only for its owner, and only for one daemon at a time.
//!
//! The lock is the kernel's (`flock`), so it ends with the process, however that ends; the file's text only tells
//! people who holds it. Deliberately not here: network file systems that do not know locks.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Error, Result};

const LOCK_FILE: &str = "lock";
const DATABASE_FILE: &str = "sandbook.db";
/// More than any holder writes.
const HOLDER_BYTES_MAX: u64 = 200;

/// A data directory that is ours until this is dropped.
pub(super) struct DataDir {
    pub(super) database: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates what is missing (the directory as 0700, the database as 0600) and takes the lock.
    pub(super) fn open(dir: &Path) -> Result<DataDir> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| Error::io(dir, &error))?;
        let lock = lock(dir)?;
        let database = dir.join(DATABASE_FILE);
        // SQLite gives its two side files the rights of the database.
        private(OpenOptions::new().create(true).append(true))
            .open(&database)
            .map_err(|error| Error::io(&database, &error))?;
        // New names are only on disk once the directories are.
        for dir in [Some(dir), dir.parent()].into_iter().flatten() {
            let _ = File::open(dir).and_then(|dir| dir.sync_all());
        }
        Ok(DataDir { database, _lock: lock })
    }
}

/// Files for nobody but their owner.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let io = |error: &std::io::Error| Error::io(&path, error);
    let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
        .open(&path)
        .map_err(|error| io(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
            let holder = if holder.trim().is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() };
            return Err(Error::Locked { dir: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(io(&error)),
    }
    let text = format!("pid {} since {}\n", std::process::id(), jiff::Timestamp::now());
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(|error| io(&error))?;
    Ok(file)
}
