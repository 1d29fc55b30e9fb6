//! Runs executed again from their journals, and journals as files.
//!
//! Deliberately not here: what a replay is, see [`crate::replay`].

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use sandbook_core::journal::Record;
use sandbook_core::run::State as RunState;
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::{self, Error, Result};
use super::extract::{Path, must_be_json, parse, read};
use super::runbooks::{of_library, refused};
use super::runs::find;
use crate::library::{PACKED_BYTES_MAX, Package};
use crate::replay::export::Exported;
use crate::replay::{self, Replay};
use crate::state::App;
use crate::store::RunRow;

/// Body of a replay: a package as base64 in JSON.
pub(super) const BODY_BYTES_MAX: usize = PACKED_BYTES_MAX / 3 * 4 + (64 << 10);

/// With what a run is replayed; nothing: with the version it had.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReplayWith {
    /// Another version of the same or another runbook: `name` or `name@digest`.
    runbook: Option<String>,
    /// A package that is not stored: a tar as base64.
    package: Option<String>,
}

/// A run as a file
///
/// Its records and its package on one line of JSON, for `sandbook replay FILE` on any machine.
#[utoipa::path(get, path = "/v1/runs/{id}/export", tag = "runs",
    params(("id" = String, Path, description = "id, its unique beginning, or `last`")),
    responses((status = 200, body = Object, description = "the file")))]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<([(header::HeaderName, &'static str); 1], String)> {
    let row = find(&app, &id).await?;
    let package = package_of(&app, &row).await?;
    let records = records_of(&app, &row).await?;
    if records.is_empty() {
        return Err(not_replayed(&row.id, &replay::Error::Nothing));
    }
    let text = Exported::text(&package, &records).map_err(|error| Error::defect(&error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}

/// Executes a run again from its journal alone
///
/// Nothing is touched and nothing is asked. With another version it says where that differs, and what it would have done
/// from there on over a simulated world.
#[utoipa::path(post, path = "/v1/runs/{id}/replay", tag = "runs", request_body = ReplayWith,
    params(("id" = String, Path, description = "id, its unique beginning, or `last`")), responses((status = 200, body = Replay)))]
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Answer<Replay>> {
    let (parts, body) = request.into_parts();
    let bytes = read(&parts.headers, body, BODY_BYTES_MAX).await?;
    let with = with(&parts.headers, &bytes)?;
    let row = find(&app, &id).await?;
    let package = match (with.runbook, with.package) {
        (None, None) => package_of(&app, &row).await?,
        (Some(runbook), None) => stored(&app, &runbook).await?,
        (None, Some(package)) => sent(&app, &package).await?,
        (Some(_), Some(_)) => {
            return Err(Error::invalid("`runbook` and `package` are two versions", "send one of them"));
        }
    };
    let records = records_of(&app, &row).await?;
    let replayed = replay::replay(app.runner.parts(), &package, records).await;
    Ok(Answer(replayed.map_err(|error| not_replayed(&row.id, &error))?))
}

fn with(headers: &HeaderMap, bytes: &[u8]) -> Result<ReplayWith> {
    if bytes.is_empty() {
        return Ok(ReplayWith::default());
    }
    must_be_json(headers)?;
    parse(bytes)
}

/// What is recorded of a run. One that was cancelled while it waited was not at work to record that itself.
async fn records_of(app: &App, row: &RunRow) -> Result<Vec<Record>> {
    let records = app.store.records_after(&row.id, None).await?;
    let mut records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
    let open = records.last().is_some_and(|last| last.kind() != "ended");
    if open && row.state == RunState::Cancelled {
        records.push(Record::Ended {
            state: row.state,
            outcome: row.outcome,
            sentence: row.sentence.clone().unwrap_or_default(),
            at: row.finished_at.unwrap_or(row.at),
        });
    }
    Ok(records)
}

/// The package a run is pinned to.
async fn package_of(app: &App, row: &RunRow) -> Result<Arc<Package>> {
    let package = app.library.package_by_digest(&row.digest).await.map_err(of_library)?;
    package.ok_or_else(|| {
        let message = format!("run {} is of {} {}, whose package is not stored", row.id, row.runbook, row.version);
        Error::not_found(message, format!("push it again ({})", row.digest))
    })
}

/// A stored version by `name` or `name@digest`.
pub(super) async fn stored(app: &App, runbook: &str) -> Result<Arc<Package>> {
    let (name, digest) = runbook.split_once('@').map_or((runbook, None), |(name, digest)| (name, Some(digest)));
    let standing = app.library.find(name, digest).map_err(of_library)?;
    let package = app.library.package_by_digest(&standing.digest).await.map_err(of_library)?;
    package.ok_or_else(|| Error::defect(&format!("package {} is not stored", standing.digest)))
}

/// A package that was sent along: read, compiled and checked, and kept nowhere.
pub(super) async fn sent(app: &App, package: &str) -> Result<Arc<Package>> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(package);
    let bytes =
        bytes.map_err(|error| Error::invalid(format!("`package` is no base64: {error}"), "send a tar as base64"))?;
    app.library.examine(bytes).await.map(Arc::new).map_err(refused)
}

fn not_replayed(run: &str, error: &replay::Error) -> Error {
    let message = format!("run {run} cannot be replayed: {error}");
    match error {
        replay::Error::Nothing => Error::new(
            StatusCode::CONFLICT,
            error::TOO_LATE,
            message,
            format!("`sandbook show {run}` says why it ended"),
        ),
        replay::Error::Journal(_) => Error::defect(&message),
        replay::Error::TookTooLong => {
            let fix = "export it with `sandbook journal RUN --export FILE` and replay it elsewhere";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, error::TOOK_TOO_LONG, message, fix)
        }
    }
}
