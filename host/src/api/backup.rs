//! A consistent copy of the database, while everything goes on.
//!
//! Copied beside the database first, so that a slow reader holds nothing up, then sent and removed. Deliberately not
//! here: restoring; that is putting the file into an empty data directory.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::error::{Error, Result};
use crate::auth::Caller;
use crate::state::App;
use crate::store;

/// Read and sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// A copy of the database
#[utoipa::path(get, path = "/v1/backup", tag = "audit",
    responses((status = 200, content_type = "application/vnd.sqlite3", description = "an SQLite database")))]
pub(super) async fn read(State(app): State<Arc<App>>, caller: Caller) -> Result<Response> {
    copy(&app, &caller).await
}

/// A copy of the database
#[utoipa::path(post, path = "/v1/backup", tag = "audit",
    responses((status = 200, content_type = "application/vnd.sqlite3", description = "an SQLite database")))]
pub(super) async fn take(State(app): State<Arc<App>>, caller: Caller) -> Result<Response> {
    copy(&app, &caller).await
}

async fn copy(app: &App, caller: &Caller) -> Result<Response> {
    // Where there is room for the database there is most likely room for its copy, and nobody else can read it there.
    let place =
        tempfile::Builder::new().prefix(".backup-").tempdir_in(&app.config.data_dir).or_else(|_| tempfile::tempdir());
    let place = place.map_err(|error| unwritable(&error))?;
    let file = place.path().join("sandbook.db");
    app.store.backup(&file).await?;
    let open = tokio::fs::File::open(&file).await.map_err(|error| unwritable(&error))?;
    let size = open.metadata().await.map_err(|error| unwritable(&error))?.len();
    app.store.audit(caller.who(), "backup", "everything", json!({"bytes": size}), app.now_ms()).await?;
    let pieces = futures::stream::unfold(Some((place, open)), |state| async move {
        let (place, mut open) = state?;
        let mut piece = vec![0; PIECE_BYTES];
        match open.read(&mut piece).await {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(Bytes::from(piece)), Some((place, open))))
            }
            // Cut short of its length, so that nobody takes it for whole.
            Err(error) => Some((Err(error), None)),
        }
    });
    let headers = [
        (CONTENT_TYPE, "application/vnd.sqlite3".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
        (CONTENT_DISPOSITION, "attachment; filename=\"sandbook.db\"".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn unwritable(error: &std::io::Error) -> Error {
    store::Error::ReadOnly(format!("a place for the copy: {error}")).into()
}
