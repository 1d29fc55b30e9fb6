//! The stop switch: from the answer on, nothing that changes the world begins, whatever policy says.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::error::{Error, Result};
use super::extract::JsonOrNothing;
use super::time::Time;
use crate::auth::Caller;
use crate::state::App;
use crate::store::Stop;

/// Why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = StopReason)]
pub(super) struct Reason {
    /// Whoever finds nothing acting reads it.
    reason: String,
}

/// Who stopped everything.
#[derive(Serialize, ToSchema)]
#[schema(as = Stop)]
pub(super) struct StopView {
    by: String,
    reason: String,
    at: Time,
}

impl From<Stop> for StopView {
    fn from(stop: Stop) -> StopView {
        StopView { by: stop.by, reason: stop.reason, at: Time(stop.at) }
    }
}

/// The switch.
#[derive(Serialize, ToSchema)]
pub(super) struct Switch {
    stopped: bool,
    stop: Option<StopView>,
}

/// Stops everything
///
/// Effects under way end as they end; none begins. Runs go on reading and see `limited` where they would change something.
#[utoipa::path(post, path = "/v1/stop", tag = "brakes", request_body = Reason, responses((status = 200, body = Switch)))]
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonOrNothing(why): JsonOrNothing<Reason>,
) -> Result<Answer<Switch>> {
    let stop = Stop { by: caller.who().to_owned(), reason: why.reason, at: app.now_ms() };
    app.store.set_stop(Some(stop.clone())).await?;
    tracing::warn!(by = %stop.by, "everything is stopped: {}", stop.reason);
    app.store.audit(caller.who(), "stop", "everything", json!({"reason": stop.reason}), stop.at).await?;
    Ok(Answer(Switch { stopped: true, stop: Some(stop.into()) }))
}

/// Lets runbooks act again
#[utoipa::path(delete, path = "/v1/stop", tag = "brakes", responses((status = 200, body = Switch)))]
pub(super) async fn release(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer<Switch>> {
    let before = app.store.stopped().await?;
    if let Some(before) = before {
        if !app.store.release_stop(before.clone()).await? {
            return Err(Error::too_late(
                "the stop was set or released by somebody else just now",
                "look at `sandbook status`",
            ));
        }
        tracing::warn!(by = %caller.who(), "runbooks may act again");
        let details = json!({"stopped_by": before.by, "reason": before.reason, "at": Time(before.at)});
        app.store.audit(caller.who(), "release", "everything", details, app.now_ms()).await?;
    }
    Ok(Answer(Switch { stopped: false, stop: None }))
}
