//! Where Alertmanager and Grafana post alerts. Answered only when everything in the message survives a crash.
//!
//! Refusals are chosen for Alertmanager: it sends again after a 5xx and after nothing else, so what can be taken later
//! is a 503 and never a 429. Deliberately not here: what an alert means.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::error::Result;
use super::extract::{must_be_json, read};
use super::guard::limits_of;
use crate::intake::Receipt;
use crate::otel::Parent;
use crate::state::App;

async fn receive(app: &App, request: Request, source: &str) -> Result<(StatusCode, Json<Receipt>)> {
    let (parts, body) = request.into_parts();
    must_be_json(&parts.headers)?;
    let bytes = read(&parts.headers, body, limits_of(&parts.extensions)?.message_max).await?;
    let parent = parts.headers.get("traceparent").and_then(|header| Parent::parse(header.to_str().ok()?));
    let receipt = app.intake.receive(&bytes, source, parent).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)))
}

/// Takes an Alertmanager message
///
/// Also a list of alerts as in Alertmanager's API v2, or one bare alert. A bad alert does not reject the others.
#[utoipa::path(post, path = "/webhook/alerts", tag = "webhooks", request_body(content = Object, content_type = "application/json"),
    responses((status = 202, body = Receipt, description = "everything in it is durable")))]
pub(super) async fn alerts(State(app): State<Arc<App>>, request: Request) -> Result<(StatusCode, Json<Receipt>)> {
    receive(&app, request, "alertmanager").await
}

/// Takes a Grafana message
#[utoipa::path(post, path = "/webhook/grafana", tag = "webhooks", request_body(content = Object, content_type = "application/json"),
    responses((status = 202, body = Receipt, description = "everything in it is durable")))]
pub(super) async fn grafana(State(app): State<Arc<App>>, request: Request) -> Result<(StatusCode, Json<Receipt>)> {
    receive(&app, request, "grafana").await
}
