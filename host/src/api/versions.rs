//! Versions of a runbook: what differs between two, one as a file, its signature, and the way back.
//!
//! Deliberately not here: their list and their stages; see [`super::runbooks`].

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{Error, Result};
use super::extract::{Json, Path, Query};
use super::runbooks::of_library;
use crate::auth::Caller;
use crate::state::App;
use crate::trust::Signed;

/// Why the version before comes back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// Stands in the audit.
    reason: String,
}

/// The version that acts again.
#[derive(Serialize, ToSchema)]
#[schema(as = RolledBack)]
pub(super) struct RolledBackView {
    name: String,
    version: String,
    digest: String,
    /// Effective now.
    stage: &'static str,
    /// What was set.
    set: &'static str,
}

/// Lets the version act again that acted before the one that runs, which only watches from then on
#[utoipa::path(post, path = "/v1/runbooks/{name}/rollback", tag = "runbooks", params(("name" = String, Path, description = "name or its unique beginning")),
    request_body = Rollback, responses((status = 200, body = RolledBackView)))]
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<Rollback>,
) -> Result<Answer<RolledBackView>> {
    if wanted.reason.trim().is_empty() {
        return Err(Error::invalid("`reason` is empty", "say why; it stands in the audit"));
    }
    let set = app.library.rollback(&name, caller.who(), &wanted.reason).await.map_err(of_library)?;
    Ok(Answer(RolledBackView {
        name: set.name,
        version: set.version,
        digest: set.digest,
        stage: set.stage.name(),
        set: set.set.name(),
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffQuery {
    /// Beginning of a digest, or a version; absent: the one that runs.
    from: Option<String>,
    /// The same.
    to: Option<String>,
}

/// What differs between two versions: what can be done newly and no longer, the manifest, the files
#[utoipa::path(get, path = "/v1/runbooks/{name}/diff", tag = "runbooks", params(("name" = String, Path, description = "name or its unique beginning"), DiffQuery),
    responses((status = 200, body = Object, description = "`from`, `to`, `same`, `newly`, `no_longer`, `manifest` and `files`")))]
pub(super) async fn difference(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<Answer<Value>> {
    let found = app.library.difference(&name, query.from.as_deref(), query.to.as_deref()).await;
    let found = found.map_err(of_library)?;
    Ok(Answer(serde_json::to_value(found).map_err(|error| Error::defect(&error))?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageQuery {
    /// Beginning of a digest, or a version; absent: the one that runs.
    digest: Option<String>,
}

/// A version's package as a tar, with its signature, as an upload takes it
#[utoipa::path(get, path = "/v1/runbooks/{name}/package", tag = "runbooks", params(("name" = String, Path, description = "name or its unique beginning"), PackageQuery),
    responses((status = 200, description = "the package", content_type = "application/x-tar")))]
pub(super) async fn package(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<PackageQuery>,
) -> Result<Response> {
    let (standing, tar) = app.library.export(&name, query.digest.as_deref()).await.map_err(of_library)?;
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    let version: String = standing.version.chars().map(plain).collect();
    let named = format!("attachment; filename=\"{}-{version}.tar\"", standing.name);
    let headers = [(CONTENT_TYPE, "application/x-tar".to_owned()), (CONTENT_DISPOSITION, named)];
    Ok((headers, tar).into_response())
}

/// A signature of a version.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    /// Beginning of the version's digest.
    digest: String,
    /// In minisign's format, over the line with the digest.
    signature: String,
}

/// What a signature is worth.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedVersion)]
pub(super) struct SignedView {
    name: String,
    version: String,
    digest: String,
    /// `state` is `trusted`, `unknown-key` or `expired`.
    #[schema(value_type = Object)]
    signature: Signed,
    /// The highest stage that it allows.
    ceiling: &'static str,
}

/// Adds a signature to a version
#[utoipa::path(put, path = "/v1/runbooks/{name}/signature", tag = "runbooks", params(("name" = String, Path, description = "name or its unique beginning")),
    request_body = Signature, responses((status = 200, body = SignedView)))]
pub(super) async fn sign(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<Signature>,
) -> Result<Answer<SignedView>> {
    if wanted.digest.trim().is_empty() {
        return Err(Error::invalid("`digest` is empty", "a signature is of one version: name its digest"));
    }
    let signed = app.library.add_signature(&name, &wanted.digest, &wanted.signature, caller.who()).await;
    let signed = signed.map_err(of_library)?;
    Ok(Answer(SignedView {
        name: signed.name,
        version: signed.version,
        digest: signed.digest,
        signature: signed.signed,
        ceiling: signed.ceiling.name(),
    }))
}
