//! Containers that runs made differ from the compose file they came from.
//!
//! Deliberately not here: reading compose files, which are elsewhere, and undoing. `docker compose up` does that.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Result;
use super::time::Time;
use crate::state::App;
use crate::store::Drift;

/// A container that differs from its compose file.
#[derive(Serialize, ToSchema)]
#[schema(as = Drift)]
pub(super) struct DriftView {
    host: String,
    /// Name of the container when it was changed.
    container: String,
    /// Its id.
    instance: String,
    /// Host, project, service and number: what stays when it is made anew.
    subject: String,
    effect: String,
    /// What differs, in words.
    change: String,
    /// The run that changed it.
    run: String,
    at: Time,
    /// The container was made anew or removed since, and with it the difference. Absent where nobody can tell: its
    /// host does not answer.
    gone: Option<bool>,
}

/// The newest difference of each container.
#[derive(Serialize, ToSchema)]
pub(super) struct Drifts {
    drift: Vec<DriftView>,
    next_cursor: Option<String>,
}

/// What runs changed that compose files do not know, newest first, one line a container
#[utoipa::path(get, path = "/v1/drift", tag = "runs", responses((status = 200, body = Drifts)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Answer<Drifts>> {
    let drifts = app.store.drifts().await?;
    let seen = app.watcher.as_ref().map(|watcher| {
        let up = watcher.connections().into_iter().filter(|(_, connection)| connection.up).map(|(name, _)| name);
        let ids = watcher.snapshot().into_iter().map(|container| container.id);
        (up.collect::<BTreeSet<String>>(), ids.collect::<BTreeSet<String>>())
    });
    let gone = |drift: &Drift| {
        let (up, ids) = seen.as_ref()?;
        up.contains(&drift.host).then(|| !ids.contains(&drift.instance))
    };
    let views = drifts.into_iter().map(|drift| DriftView {
        gone: gone(&drift),
        host: drift.host,
        container: drift.container,
        instance: drift.instance,
        subject: drift.subject,
        effect: drift.effect,
        change: drift.change,
        run: drift.run,
        at: Time(drift.at),
    });
    Ok(Answer(Drifts { drift: views.collect(), next_cursor: None }))
}
