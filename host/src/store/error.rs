//! Why a call of the store failed. Cloned to every write of a failed commit, so causes are text.
//!
//! Deliberately not here: what a runbook sees. A failed store ends the attempt of a run; it is never an answer.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("the disk of the data directory is full ({0}); free space, then writing goes on by itself")]
    Full(String),
    #[error("the data directory cannot be written ({0}); make it writable for this user or choose another data_dir")]
    ReadOnly(String),
    #[error("{dir} is in use by another sandbook ({holder}); stop that one or choose another data_dir", dir = dir.display())]
    Locked { dir: PathBuf, holder: String },
    #[error("{path}: {message}", path = path.display())]
    Io { path: PathBuf, message: String },
    #[error("the database is damaged ({0}); restore a backup")]
    Damaged(String),
    #[error("the database was written by a newer version (schema {found}, this one knows {known}); use that version")]
    Newer { found: i64, known: i64 },
    #[error("`{0}` is the beginning of several ids; write more of it")]
    Ambiguous(String),
    #[error("there is no run {0}")]
    UnknownRun(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the store is closed")]
    Closed,
    #[error("the database failed: {0}")]
    Database(String),
    #[error("defect in the store: {0}")]
    Defect(String),
}

impl Error {
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                Error::ReadOnly(format!("{}: {error}", path.display()))
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Error::Full(format!("{}: {error}", path.display()))
            }
            _ => Error::Io { path: path.to_owned(), message: error.to_string() },
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        let text = error.to_string();
        if matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
        ) {
            return Error::Damaged(format!("a stored value is no longer readable: {text}"));
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::Full(text),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Error::ReadOnly(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Damaged(text),
            _ => Error::Database(text),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::Damaged(format!("a stored value is no longer readable: {error}"))
    }
}
