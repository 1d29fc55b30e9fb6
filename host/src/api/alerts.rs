//! Alerts that arrived, as episodes: what each matched and started, or why nothing did; and earlier ones like it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{Error, Result};
use super::extract::{Path, Query, since};
use super::time::Time;
use crate::similar::{self, Similar};
use crate::state::App;
use crate::store::{EpisodeFilter, EpisodeRow};

/// One firing of an alert, from its first message to its end.
#[derive(Serialize, ToSchema)]
#[schema(as = Episode)]
pub(super) struct EpisodeView {
    episode: String,
    /// The label `alertname`.
    name: String,
    /// `firing` or `resolved`.
    state: &'static str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    fingerprint: String,
    /// The earliest start it was heard with.
    starts_at: Time,
    first_heard: Time,
    last_heard: Time,
    /// Messages that told of its firing.
    count: u64,
    resolved_at: Option<Time>,
    /// It was never reported as over: the alert started to fire anew.
    superseded: bool,
    /// Who sent it.
    source: String,
    /// `{"chosen": [{"runbook", "why"}], "considered": [{"runbook", "matched", "why"}]}`, and `traceparent` where its sender
    /// has a trace.
    #[schema(value_type = Object)]
    matched: Value,
    /// What came of it, in a sentence.
    outcome: Option<String>,
    runs: Vec<EpisodeRunView>,
}

/// A run of an episode.
#[derive(Serialize, ToSchema)]
#[schema(as = EpisodeRun)]
pub(super) struct EpisodeRunView {
    run: String,
    runbook: String,
    state: &'static str,
    /// What it came to, once it has ended.
    outcome: Option<&'static str>,
}

impl From<EpisodeRow> for EpisodeView {
    fn from(row: EpisodeRow) -> EpisodeView {
        let over = row.resolved_at.is_some() || row.superseded;
        let runs = row.runs.into_iter().map(|run| EpisodeRunView {
            run: run.run,
            runbook: run.runbook,
            state: run.state.name(),
            outcome: run.outcome.map(|outcome| outcome.name()),
        });
        EpisodeView {
            episode: row.id,
            name: row.name,
            state: if over { "resolved" } else { "firing" },
            labels: row.labels,
            annotations: row.annotations,
            fingerprint: row.fingerprint,
            starts_at: Time(u64::try_from(row.starts_at).unwrap_or(0)),
            first_heard: Time(row.first_heard),
            last_heard: Time(row.last_heard),
            count: row.count,
            resolved_at: row.resolved_at.map(Time),
            superseded: row.superseded,
            source: row.source,
            matched: row.matched,
            outcome: row.outcome,
            runs: runs.collect(),
        }
    }
}

/// A page of episodes.
#[derive(Serialize, ToSchema)]
pub(super) struct Alerts {
    alerts: Vec<EpisodeView>,
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsQuery {
    /// Only those that still fire.
    #[serde(default)]
    open: bool,
    /// Only those first heard since: a duration back, or a time.
    since: Option<String>,
    /// How many; at most 1000, which is also the default.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// Episodes, newest first
#[utoipa::path(get, path = "/v1/alerts", tag = "alerts", params(AlertsQuery), responses((status = 200, body = Alerts)))]
pub(super) async fn list(State(app): State<Arc<App>>, Query(query): Query<AlertsQuery>) -> Result<Answer<Alerts>> {
    let filter = EpisodeFilter {
        open: query.open,
        since: since(query.since.as_deref(), app.now_ms())?,
        limit: query.limit.unwrap_or(0),
        cursor: query.cursor,
    };
    let (rows, next_cursor) = app.store.episodes(filter).await?;
    Ok(Answer(Alerts { alerts: rows.into_iter().map(EpisodeView::from).collect(), next_cursor }))
}

/// One episode
#[utoipa::path(get, path = "/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path, description = "id or its unique beginning")),
    responses((status = 200, body = EpisodeView)))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Answer<EpisodeView>> {
    let row = app.store.episode(&id).await?;
    row.map(|row| Answer(row.into()))
        .ok_or_else(|| Error::not_found(format!("there is no episode {id}"), "`sandbook alerts` lists them"))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SimilarQuery {
    /// How many; at most 20, and 5 when it is left out.
    limit: Option<usize>,
}

impl SimilarQuery {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(similar::INCIDENTS_DEFAULT)
    }
}

/// Earlier incidents like this one, and what helped
#[utoipa::path(get, path = "/v1/alerts/{id}/similar", tag = "alerts", params(("id" = String, Path, description = "id or its unique beginning"), SimilarQuery),
    responses((status = 200, body = Similar)))]
pub(super) async fn similar_to(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<SimilarQuery>,
) -> Result<Answer<Similar>> {
    let found = similar::of_episode(&*app.store, &id, query.limit()).await?;
    found
        .map(Answer)
        .ok_or_else(|| Error::not_found(format!("there is no episode {id}"), "`sandbook alerts` lists them"))
}
