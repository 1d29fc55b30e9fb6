//! The files of a runbook's version, for whoever reviews it.
//!
//! Deliberately not here: comparing two versions; readers do that.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{Error, Result};
use super::extract::{Path, Query};
use super::runbooks::of_library;
use crate::library::power;
use crate::state::App;

/// Bytes of a text that is shown; a larger one is no text that anybody reviews.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// Files listed.
const FILES_MAX: usize = 500;

/// A file of a package.
#[derive(Serialize, ToSchema)]
#[schema(as = PackageFile)]
pub(super) struct FileView {
    name: String,
    bytes: usize,
    /// Absent where it is no text, or a large one.
    text: Option<String>,
}

/// All files of a version.
#[derive(Serialize, ToSchema)]
#[schema(as = PackageFiles)]
pub(super) struct Files {
    name: String,
    version: String,
    digest: String,
    /// The most it can do, whatever anybody grants; derived from its manifest, to which the gate holds its code.
    #[schema(value_type = Object)]
    power: Value,
    files: Vec<FileView>,
    /// Always absent: a package has few files.
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FilesQuery {
    /// Beginning of a version's digest; absent: the version that runs.
    digest: Option<String>,
}

/// Files of a version, by name, with their texts, and the most it can do
#[utoipa::path(get, path = "/v1/runbooks/{name}/files", tag = "runbooks",
    params(("name" = String, Path, description = "name or its unique beginning"), FilesQuery), responses((status = 200, body = Files)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<FilesQuery>,
) -> Result<Answer<Files>> {
    let standing = app.library.find(&name, query.digest.as_deref()).map_err(of_library)?;
    let package = app.library.package_by_digest(&standing.digest).await.map_err(of_library)?;
    let package = package.ok_or_else(|| Error::defect(&format!("package {} is not stored", standing.digest)))?;
    let view = |(name, bytes): &(String, Vec<u8>)| FileView {
        name: name.clone(),
        bytes: bytes.len(),
        text: (bytes.len() <= TEXT_BYTES_MAX).then(|| String::from_utf8(bytes.clone()).ok()).flatten(),
    };
    let files = package.files.iter().take(FILES_MAX).map(view).collect();
    Ok(Answer(Files {
        name: standing.name,
        version: standing.version,
        digest: standing.digest,
        power: serde_json::to_value(power::of(&package.manifest)).map_err(|error| Error::defect(&error))?,
        files,
        next_cursor: None,
    }))
}
