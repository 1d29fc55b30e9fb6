//! What runs can be about: the hosts and containers the daemon sees.
//!
//! Deliberately not here: values of environment variables, which the watcher never reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use sandbook_core::target::LABEL_PROTECT;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::error::Result;
use crate::state::App;
use crate::watcher::Container;

/// A host or container.
#[derive(Serialize, ToSchema)]
#[schema(as = VisibleTarget)]
pub(super) struct TargetLine {
    host: String,
    /// `host` or `container`.
    kind: &'static str,
    name: String,
    id: Option<String>,
    /// Docker's word for a container; `up` or `down` for a host.
    #[schema(value_type = Option<String>)]
    state: Value,
    /// Of a container: `healthy`, `unhealthy`, `starting` or `none`.
    #[schema(value_type = Option<String>)]
    health: Value,
    image: Option<String>,
    /// Compose project.
    project: Option<String>,
    /// Compose service.
    service: Option<String>,
    labels: BTreeMap<String, String>,
    /// The label `sandbook.protect` keeps every change away.
    protected: bool,
    /// Why a host is down.
    error: Option<String>,
}

/// Everything that is visible.
#[derive(Serialize, ToSchema)]
pub(super) struct Targets {
    targets: Vec<TargetLine>,
    next_cursor: Option<String>,
}

fn word(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn container(container: Container) -> TargetLine {
    TargetLine {
        host: container.host,
        kind: "container",
        name: container.name,
        id: Some(container.id),
        state: word(container.state.status),
        health: word(container.state.health),
        image: Some(container.image),
        project: container.project,
        service: container.service,
        protected: container.labels.get(LABEL_PROTECT).is_some_and(|value| value != "false"),
        labels: container.labels,
        error: None,
    }
}

/// Hosts, then containers by host and name
///
/// Over a simulated world there is no watcher, and nothing is listed.
#[utoipa::path(get, path = "/v1/targets", tag = "alerts", responses((status = 200, body = Targets)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Answer<Targets>> {
    let Some(watcher) = &app.watcher else { return Ok(Answer(Targets { targets: Vec::new(), next_cursor: None })) };
    let hosts = watcher.connections().into_iter().map(|(name, connection)| TargetLine {
        host: name.clone(),
        kind: "host",
        name,
        id: None,
        state: Value::from(if connection.up { "up" } else { "down" }),
        health: Value::Null,
        image: None,
        project: None,
        service: None,
        labels: BTreeMap::new(),
        protected: false,
        error: connection.last_error.filter(|_| !connection.up),
    });
    let targets = hosts.chain(watcher.targets().into_iter().map(container)).collect();
    Ok(Answer(Targets { targets, next_cursor: None }))
}
