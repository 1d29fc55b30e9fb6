//! Grants: what each runbook may do, permitting one more effect, and taking that away again.
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

use super::error::{BY_HAND, Error, Result};
use super::extract::{Json, Path};
use super::runbooks::of_library;
use crate::auth::Caller;
use crate::policy::grant::{Change, FILE, Selector, grant};
use crate::policy::list::{GrantKind, GrantLine};
use crate::policy::revoke::{Kept, revoke};
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
    /// `sandbook grant` wrote it and nobody changed it: it can be taken away.
    granted: bool,
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
            granted: line.granted,
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
    let own = app.grants_dir().join(FILE);
    let view = |line: GrantLine| {
        let granted = line.granted && own == std::path::Path::new(&line.file);
        GrantView { granted, ..GrantView::from(line) }
    };
    let grants = policy.grants().into_iter().map(view).collect();
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

/// A grant that is gone.
#[derive(Serialize, ToSchema)]
pub(super) struct Taken {
    /// Its `@id`.
    id: String,
    /// The policy that stood there.
    cedar: String,
    /// Where it stood.
    file: String,
}

/// Takes a grant away
///
/// Only what `sandbook grant` wrote, and nobody changed since: a policy that a person wrote is theirs (409). No longer in
/// force with the answer; what is being done at that moment ends as it ends.
#[utoipa::path(delete, path = "/v1/grants/{id}", tag = "policy",
    params(("id" = String, Path, description = "the whole `@id`, its slashes escaped")),
    responses((status = 200, body = Taken), (status = 409, description = "a person wrote or changed it")))]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<Taken>> {
    let mut dirs = vec![app.grants_dir()];
    dirs.extend(app.config.policy.dirs.iter().skip(1).cloned());
    let wanted = id.clone();
    // Files are written and all policies validated.
    let gone = tokio::task::spawn_blocking(move || revoke(&dirs, &wanted)).await;
    let gone = gone.map_err(|error| Error::defect(&error))?.map_err(|kept| not_taken(&id, kept))?;
    app.reload_policy().map_err(|problems| Error::of_problems("the policy", &problems))?;
    let file = gone.file.display().to_string();
    tracing::warn!(by = %caller.who(), grant = %gone.id, "a grant is taken away");
    let details = json!({"id": gone.id, "effect": gone.effect, "cedar": gone.cedar, "file": file});
    app.store.audit(caller.who(), "revoke", &gone.runbook, details, app.now_ms()).await?;
    Ok(Answer(Taken { id: gone.id, cedar: gone.cedar, file }))
}

fn not_taken(id: &str, kept: Kept) -> Error {
    match kept {
        Kept::Unknown(near) => {
            let fix = match near {
                Some(near) => format!("did you mean {near}? `sandbook grants` lists them"),
                None => "`sandbook grants` lists them".to_owned(),
            };
            Error::not_found(format!("there is no grant {id:?}"), fix)
        }
        Kept::ByHand(file, line) => {
            let message = format!("{}:{line}: the policy `{id}` was written or changed by a person", file.display());
            let fix = "delete it there; the daemon reads its folders again by itself";
            Error::new(StatusCode::CONFLICT, BY_HAND, message, fix)
        }
        Kept::Problems(problems) => Error::of_problems("the policy", &problems),
    }
}
