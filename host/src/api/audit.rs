//! Who did what: the audit, hash-chained.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::Result;
use super::extract::{Query, since};
use super::time::Time;
use crate::state::App;
use crate::store::{AuditCheck, AuditRow};

/// A line of the audit.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLine)]
pub(super) struct LineView {
    /// From 1, without gaps.
    seq: u64,
    at: Time,
    who: String,
    /// `upload`, `grant`, `stage`, `approve`, `deny`, `pause`, `stop`, `resume`, …
    what: String,
    subject: String,
    #[schema(value_type = Object)]
    details: Value,
    /// Of this line and the one before.
    hash: String,
}

impl From<AuditRow> for LineView {
    fn from(row: AuditRow) -> LineView {
        let AuditRow { seq, at, who, what, subject, details, hash } = row;
        LineView { seq, at: Time(at), who, what, subject, details, hash }
    }
}

/// Whether the whole chain holds.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditCheck)]
pub(super) struct CheckView {
    /// Lines that hold, from the first on.
    rows: u64,
    /// The first that does not.
    broken: Option<u64>,
}

/// A page of the audit.
#[derive(Serialize, ToSchema)]
pub(super) struct Audit {
    audit: Vec<LineView>,
    /// Hashes computed again since the last look, or all of them; only with the first page.
    check: Option<CheckView>,
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Only since: a duration back, or a time.
    since: Option<String>,
    /// How many; at most 1000, which is also the default.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
    /// Compute every hash again, however many there are; without it that is done once an hour.
    #[serde(default)]
    verify: bool,
}

/// The audit, newest first
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditQuery), responses((status = 200, body = Audit)))]
pub(super) async fn list(State(app): State<Arc<App>>, Query(query): Query<AuditQuery>) -> Result<Answer<Audit>> {
    let since = since(query.since.as_deref(), app.now_ms())?;
    let check = match &query.cursor {
        Some(_) => None,
        None => {
            let AuditCheck { rows, broken } = app.store.verify_audit(query.verify).await?;
            Some(CheckView { rows, broken })
        }
    };
    let (rows, next_cursor) = app.store.audit_rows(since, query.limit.unwrap_or(0), query.cursor).await?;
    Ok(Answer(Audit { audit: rows.into_iter().map(LineView::from).collect(), check, next_cursor }))
}
