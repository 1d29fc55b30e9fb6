//! Where Alertmanager and Grafana post alerts. Answered only when everything in the message survives a crash.
//!
//! Refusals are chosen for Alertmanager: it sends again after a 5xx and after nothing else, so what can be taken later
//! is a 503 and never a 429. Deliberately not here: what an alert means.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Result;
use super::extract::{must_be_json, read};
use crate::intake::Receipt;
use crate::state::App;

/// One message: the largest groups seen have a few megabytes. More is answered 413, which loses its alerts.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What became of a message.
#[derive(Serialize, ToSchema)]
pub(super) struct Received {
    /// Alerts stored as new episodes or resolutions.
    accepted: u64,
    /// Alerts of an episode that is known.
    duplicate: u64,
    /// Triggers that joined an open run.
    joined: u64,
    /// Alerts held back by a silence or pause.
    suppressed: u64,
    /// New episodes that no runbook wants.
    unmatched: u64,
    /// Entries that are no alert.
    rejected: Vec<Rejected>,
    /// Runs that were started.
    runs: Vec<Started>,
}

/// An entry that is no alert.
#[derive(Serialize, ToSchema)]
struct Rejected {
    /// Its place in the message, from 0.
    index: usize,
    /// What is wrong with it.
    reason: String,
}

/// A run that was started.
#[derive(Serialize, ToSchema)]
struct Started {
    run: String,
    runbook: String,
    episode: String,
}

impl From<Receipt> for Received {
    fn from(receipt: Receipt) -> Received {
        let rejected = receipt.rejected.into_iter().map(|one| Rejected { index: one.index, reason: one.reason });
        let runs =
            receipt.runs.into_iter().map(|one| Started { run: one.run, runbook: one.runbook, episode: one.episode });
        Received {
            accepted: receipt.accepted,
            duplicate: receipt.duplicate,
            joined: receipt.joined,
            suppressed: receipt.suppressed,
            unmatched: receipt.unmatched,
            rejected: rejected.collect(),
            runs: runs.collect(),
        }
    }
}

async fn receive(app: &App, request: Request, source: &str) -> Result<(StatusCode, Json<Received>)> {
    let (parts, body) = request.into_parts();
    must_be_json(&parts.headers)?;
    let bytes = read(&parts.headers, body, MESSAGE_BYTES_MAX).await?;
    let receipt = app.intake.receive(&bytes, source).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt.into())))
}

/// Takes an Alertmanager message
///
/// Also a list of alerts as in Alertmanager's API v2, or one bare alert. A bad alert does not reject the others.
#[utoipa::path(post, path = "/webhook/alerts", tag = "webhooks", request_body(content = Object, content_type = "application/json"),
    responses((status = 202, body = Received, description = "everything in it is durable")))]
pub(super) async fn alerts(State(app): State<Arc<App>>, request: Request) -> Result<(StatusCode, Json<Received>)> {
    receive(&app, request, "alertmanager").await
}

/// Takes a Grafana message
#[utoipa::path(post, path = "/webhook/grafana", tag = "webhooks", request_body(content = Object, content_type = "application/json"),
    responses((status = 202, body = Received, description = "everything in it is durable")))]
pub(super) async fn grafana(State(app): State<Arc<App>>, request: Request) -> Result<(StatusCode, Json<Received>)> {
    receive(&app, request, "grafana").await
}
