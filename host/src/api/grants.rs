//! Grants: what each runbook may do, and permitting one more effect.
//!
//! Deliberately not here: writing Cedar (the policy module does), and other ways to change policy: those are files.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use sandbook_core::duration::Rate;
use sandbook_core::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::error::{Error, Result};
use super::extract::Json;
use super::runbooks::of_library;
use crate::auth::Caller;
use crate::policy::grant::{Change, Selector, grant};
use crate::policy::list::{GrantKind, GrantLine};
use crate::state::App;

/// One policy.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
pub(super) struct GrantView {
    /// Its `@id`, else `file:line`.
    id: String,
    /// Absent: every runbook.
    runbook: Option<String>,
    /// Effects or classes; empty: every effect.
    effects: Vec<String>,
    /// What it covers, in words where there are words.
    resource: String,
    /// At most so often, such as `3/1h`.
    limit: Option<String>,
    /// A person is asked first.
    ask: bool,
    /// `permit` or `forbid`.
    kind: &'static str,
    /// Its `@reason`.
    reason: Option<String>,
    file: String,
    line: u32,
}

impl From<GrantLine> for GrantView {
    fn from(line: GrantLine) -> GrantView {
        GrantView {
            id: line.id,
            runbook: line.runbook,
            effects: line.effects,
            resource: line.resource,
            limit: line.limit.map(|limit| limit.to_string()),
            ask: line.ask,
            kind: match line.kind {
                GrantKind::Permit => "permit",
                GrantKind::Forbid => "forbid",
            },
            reason: line.reason,
            file: line.file,
            line: line.line,
        }
    }
}

/// All policies.
#[derive(Serialize, ToSchema)]
pub(super) struct Grants {
    grants: Vec<GrantView>,
    /// What is valid but probably not what was meant.
    #[schema(value_type = Vec<Object>)]
    warnings: Vec<Problem>,
    next_cursor: Option<String>,
}

/// What each runbook may do
#[utoipa::path(get, path = "/v1/grants", tag = "policy", responses((status = 200, body = Grants)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Answer<Grants>> {
    let policy = app.runner.parts().policy();
    let known = app.library.standings().iter().map(|standing| standing.name.clone()).collect();
    let mut warnings = policy.warnings().to_vec();
    warnings.extend(policy.unknown_runbooks(&known));
    let grants = policy.grants().into_iter().map(GrantView::from).collect();
    Ok(Answer(Grants { grants, warnings, next_cursor: None }))
}

/// What is to be permitted; everything named must hold.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGrant {
    /// Name or its unique beginning.
    runbook: String,
    /// Such as `docker.restart-container`.
    effect: String,
    /// Name of a container; `*` stands for any characters.
    container: Option<String>,
    /// Compose `PROJECT/NAME`.
    service: Option<String>,
    /// Docker host by its name in the configuration.
    host: Option<String>,
    /// At most so often, such as `3/1h`.
    limit: Option<String>,
    /// Ask a person each time.
    #[serde(default)]
    ask: bool,
}

/// A grant as it stands in the file.
#[derive(Serialize, ToSchema)]
pub(super) struct Granted {
    /// Its `@id`.
    id: String,
    /// The policy.
    cedar: String,
    /// Where it stands.
    file: String,
    /// `added`, `replaced` or `unchanged`.
    change: &'static str,
}

/// Permits one effect of one runbook on what is named
///
/// Written into the first configured policy folder, or the data directory's own when none is configured, and in force
/// with the answer.
#[utoipa::path(post, path = "/v1/grants", tag = "policy", request_body = NewGrant,
    responses((status = 201, body = Granted, description = "written"), (status = 200, body = Granted, description = "it was there")))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(wanted): Json<NewGrant>,
) -> Result<(StatusCode, Answer<Granted>)> {
    let runbook = app.library.name_of(&wanted.runbook).map_err(of_library)?;
    let limit: Option<Rate> =
        match wanted.limit.as_deref().filter(|limit| !limit.is_empty()).map(str::parse).transpose() {
            Ok(limit) => limit,
            Err(error) => return Err(Error::invalid(format!("`limit`: {error}"), "write it like 3/1h")),
        };
    let selector = Selector { container: wanted.container, service: wanted.service, host: wanted.host };
    let (dir, name, effect, ask) = (app.grants_dir(), runbook.clone(), wanted.effect.clone(), wanted.ask);
    // Files are written and all policies validated.
    let written = tokio::task::spawn_blocking(move || grant(&dir, &name, &effect, &selector, limit, ask)).await;
    let written = written
        .map_err(|error| Error::defect(&error))?
        .map_err(|problems| Error::of_problems("the grant", &problems))?;
    app.reload_policy().map_err(|problems| Error::of_problems("the policy", &problems))?;
    let (change, status) = match written.change {
        Change::Added => ("added", StatusCode::CREATED),
        Change::Replaced => ("replaced", StatusCode::CREATED),
        Change::Unchanged => ("unchanged", StatusCode::OK),
    };
    if written.change != Change::Unchanged {
        let details = json!({"id": written.id, "effect": wanted.effect, "change": change, "cedar": written.cedar, "file": written.file});
        app.store.audit(caller.who(), "grant", &runbook, details, app.now_ms()).await?;
    }
    let file = written.file.display().to_string();
    Ok((status, Answer(Granted { id: written.id, cedar: written.cedar, file, change })))
}
