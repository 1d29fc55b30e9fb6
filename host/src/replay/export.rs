//! A run as one file: its records, the package it was of, and what executed it. Everything a replay needs, and nothing
//! that is secret, because journals hold no secrets.
//!
//! The checksum covers the text as it stands, so that a file that was damaged or edited says so instead of replaying
//! into nonsense. It proves nothing about who wrote the file. Deliberately not here: reading and writing files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbook_core::journal::Record;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest as _, Sha256};

use crate::library::{Package, Upload};

/// Version of the file's format.
pub const FORMAT: u32 = 1;
/// Largest file read, in bytes: the largest package as base64 and the largest journal, with room for JSON.
pub const FILE_BYTES_MAX: usize = 256 << 20;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    /// [`FORMAT`].
    pub sandbook_export: u32,
    /// Version of the engine that wrote it.
    pub engine: String,
    /// The run.
    pub run: String,
    /// Digest of the interpreter the run had; absent for components.
    pub interpreter: Option<String>,
    /// Digest of the package.
    pub digest: String,
    /// Its files, a tar as base64.
    pub package: String,
    /// Every record, as it is kept.
    pub records: Box<RawValue>,
    /// SHA-256 over all of this.
    pub checksum: String,
}

/// Why a file is none of a run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Unreadable {
    #[error("it is no exported run: {0}")]
    NotOne(String),
    #[error("it has format {found}, and this version reads {FORMAT}")]
    Format { found: u64 },
    #[error("it was changed after it was exported: its checksum is {stated}, and its contents have {found}")]
    Changed { stated: String, found: String },
    #[error("its package cannot be read: {0}")]
    Package(String),
}

#[derive(Deserialize)]
struct Head {
    sandbook_export: u64,
}

impl Exported {
    /// A run's file, as text on one line.
    ///
    /// # Errors
    /// When a record is no JSON, which none is.
    pub fn text(package: &Package, records: &[Record]) -> serde_json::Result<String> {
        let header = records.iter().find_map(|record| match record {
            Record::Begun { header } => Some(header.as_ref()),
            Record::Note { .. }
            | Record::Asked { .. }
            | Record::Answered { .. }
            | Record::Waiting { .. }
            | Record::Intended { .. }
            | Record::Step { .. }
            | Record::Settled { .. }
            | Record::Ended { .. } => None,
        });
        let mut exported = Exported {
            sandbook_export: FORMAT,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            run: header.map(|header| header.run.clone()).unwrap_or_default(),
            interpreter: header.and_then(|header| header.interpreter.clone()),
            digest: package.digest.clone(),
            package: STANDARD.encode(package.to_tar()),
            records: to_raw_value(records)?,
            checksum: String::new(),
        };
        exported.checksum = exported.sum();
        let mut text = serde_json::to_string(&exported)?;
        text.push('\n');
        Ok(text)
    }

    fn sum(&self) -> String {
        let Exported { sandbook_export, engine, run, interpreter, digest, package, records, checksum: _ } = self;
        let mut hash = Sha256::new();
        let interpreter = interpreter.as_deref().unwrap_or_default();
        let format = sandbook_export.to_string();
        for part in [&format, engine, run, interpreter, digest, package, records.get()] {
            // With its length, so that nothing can move from one part into the next.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// Package and records of a file's text.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn read(text: &str) -> Result<(Exported, Package, Vec<Record>), Unreadable> {
        let not_one = |error: serde_json::Error| Unreadable::NotOne(error.to_string());
        let head: Head = serde_json::from_str(text).map_err(not_one)?;
        if head.sandbook_export != u64::from(FORMAT) {
            return Err(Unreadable::Format { found: head.sandbook_export });
        }
        let exported: Exported = serde_json::from_str(text).map_err(not_one)?;
        let found = exported.sum();
        if found != exported.checksum {
            return Err(Unreadable::Changed { stated: exported.checksum, found });
        }
        let records: Vec<Record> = serde_json::from_str(exported.records.get()).map_err(not_one)?;
        let package = package(&exported.package)?;
        if package.digest != exported.digest {
            let message = format!("it has the digest {}, and the run was of {}", package.digest, exported.digest);
            return Err(Unreadable::Package(message));
        }
        Ok((exported, package, records))
    }
}

fn package(text: &str) -> Result<Package, Unreadable> {
    let tar = STANDARD.decode(text).map_err(|error| Unreadable::Package(error.to_string()))?;
    let read = Package::read(Upload::Bytes { bytes: &tar, content_type: Some("application/x-tar") });
    let (package, _) =
        read.map_err(|problems| Unreadable::Package(problems.first().map(ToString::to_string).unwrap_or_default()))?;
    Ok(package)
}
