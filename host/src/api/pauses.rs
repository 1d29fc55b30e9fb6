//! Pauses: nothing that is selected acts until then.
//!
//! Deliberately not here: the stop switch, which has no end and selects everything; see [`super::stop`].

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use sandbook_core::duration::DurationMs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::error::{Error, Result};
use super::extract::{Json, Path};
use super::time::Time;
use crate::auth::Caller;
use crate::state::App;
use crate::store::{Pause, Selector, id};

/// The longest pause; who needs more demotes the runbook.
const PAUSE_MS_MAX: u64 = 31 * 86_400_000;

/// Globs, all of which must match; none at all selects everything.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Selector)]
pub(super) struct SelectorView {
    /// Name of a runbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<String>,
    /// Subject, or name of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Docker host by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
}

/// A pause.
#[derive(Serialize, ToSchema)]
#[schema(as = Pause)]
pub(super) struct PauseView {
    id: String,
    selector: SelectorView,
    reason: String,
    by: String,
    at: Time,
    until: Time,
}

impl From<Pause> for PauseView {
    fn from(pause: Pause) -> PauseView {
        let Selector { runbook, target, host } = pause.selector;
        PauseView {
            id: pause.id,
            selector: SelectorView { runbook, target, host },
            reason: pause.reason,
            by: pause.by,
            at: Time(pause.at),
            until: Time(pause.until),
        }
    }
}

/// Pauses in force.
#[derive(Serialize, ToSchema)]
pub(super) struct Pauses {
    pauses: Vec<PauseView>,
    next_cursor: Option<String>,
}

/// Pauses in force, newest first
#[utoipa::path(get, path = "/v1/pauses", tag = "brakes", responses((status = 200, body = Pauses)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Answer<Pauses>> {
    let pauses = app.store.pauses(app.now_ms()).await?;
    Ok(Answer(Pauses { pauses: pauses.into_iter().map(PauseView::from).collect(), next_cursor: None }))
}

/// A pause to be begun.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPause {
    /// What is left alone.
    selector: SelectorView,
    /// How long, such as `30m`; at most 31 days.
    #[serde(rename = "for")]
    #[schema(value_type = String)]
    duration: DurationMs,
    /// Whoever finds nothing acting reads it.
    reason: String,
}

/// Begins a pause
#[utoipa::path(post, path = "/v1/pauses", tag = "brakes", request_body = NewPause, responses((status = 201, body = PauseView)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(wanted): Json<NewPause>,
) -> Result<(StatusCode, Answer<PauseView>)> {
    if wanted.duration.0 == 0 || wanted.duration.0 > PAUSE_MS_MAX {
        return Err(Error::invalid(format!("`for` is {}", wanted.duration), "a pause lasts from a moment to 31d"));
    }
    if wanted.reason.trim().is_empty() {
        return Err(Error::invalid("`reason` is empty", "say why; whoever finds nothing acting reads it"));
    }
    let SelectorView { runbook, target, host } = wanted.selector;
    let mut selector = Selector { runbook, target, host };
    if selector == Selector::default() {
        // The store asks for a name, so that nobody pauses everything by leaving one out; here it is said.
        selector.runbook = Some("*".to_owned());
    }
    let at = app.now_ms();
    let until = at.saturating_add(wanted.duration.0);
    let pause = Pause { id: id::new("p"), selector, reason: wanted.reason, by: caller.who().to_owned(), at, until };
    app.store.add_pause(pause.clone()).await?;
    let details = json!({"selector": pause.selector, "until": Time(until), "reason": pause.reason});
    app.store.audit(caller.who(), "pause", &pause.id, details, at).await?;
    Ok((StatusCode::CREATED, Answer(pause.into())))
}

/// What was ended.
#[derive(Serialize, ToSchema)]
pub(super) struct Ended {
    id: String,
}

/// Ends a pause early
#[utoipa::path(delete, path = "/v1/pauses/{id}", tag = "brakes", params(("id" = String, Path, description = "the whole id")),
    responses((status = 200, body = Ended)))]
pub(super) async fn end(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<String>) -> Result<Answer<Ended>> {
    if !app.store.delete_pause(&id).await? {
        return Err(Error::not_found(format!("there is no pause {id}"), "`sandbook pauses` lists them"));
    }
    app.store.audit(caller.who(), "unpause", &id, json!({}), app.now_ms()).await?;
    Ok(Answer(Ended { id }))
}
