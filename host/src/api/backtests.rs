//! Backtests: what a version would have done about recorded alerts, told while it is found out.
//!
//! The answer is newline-delimited JSON: `{"progress":{"done","of"}}` as it goes on, then one last line, `{"backtest":{…}}`
//! or `{"error":{…}}`. Who hangs up ends it. Deliberately not here: what a backtest is, see [`crate::backtest`].

use std::sync::Arc;

use axum::Json as Answer;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::error::{self, Error, Result};
use super::extract::{Path, Query, must_be_json, parse, read, since};
use super::replay::{BODY_BYTES_MAX, sent, stored};
use super::runbooks::of_library;
use crate::auth::Caller;
use crate::backtest::{self, Backtest, Place, Progress};
use crate::library::Package;
use crate::state::App;

/// How far back when nothing is said.
const SINCE: &str = "30d";
/// Lines that wait for a slow reader; then the backtest waits for it.
const LINES_WAITING_MAX: usize = 16;

/// What is to be tested.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BacktestOf {
    /// A stored version: `name` or `name@digest`.
    runbook: Option<String>,
    /// A package that is not stored: a tar as base64.
    package: Option<String>,
    /// How far back: a duration, or a time; 30d when absent.
    since: Option<String>,
}

/// A line of the answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = BacktestEvent)]
pub(super) enum Told {
    Progress(Progress),
    Backtest(Box<Backtest>),
    #[schema(value_type = Object)]
    Error(serde_json::Value),
}

/// What a version would have done about recorded alerts
///
/// Nothing is changed, and nothing but metrics is read. The result is kept and stands beside the promotion to live.
#[utoipa::path(post, path = "/v1/backtests", tag = "runbooks", request_body = BacktestOf,
    responses((status = 200, content_type = "application/x-ndjson", body = Told, description = "a line each")))]
pub(super) async fn make(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    must_be_json(&parts.headers)?;
    let asked: BacktestOf = parse(&read(&parts.headers, body, BODY_BYTES_MAX).await?)?;
    let back = asked.since.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(SINCE);
    let since = since(Some(back), app.now_ms())?.unwrap_or(0);
    let package = match (asked.runbook, asked.package) {
        (Some(runbook), None) => stored(&app, &runbook).await?,
        (None, Some(package)) => sent(&app, &package).await?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(Error::invalid("a backtest is of one version", "send either `runbook` or `package`"));
        }
    };
    let place = Place::take().map_err(failed)?;
    let lines = told(app, package, since, caller.who().to_owned(), place);
    let body = Body::from_stream(lines);
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok(axum::response::IntoResponse::into_response((kind, body)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BacktestsQuery {
    /// Only of this runbook: name or its unique beginning.
    runbook: Option<String>,
}

/// Backtests that are kept.
#[derive(Serialize, ToSchema)]
pub(super) struct Backtests {
    /// Each without its `targets` and `lines`.
    #[schema(value_type = Vec<Object>)]
    backtests: Vec<Value>,
    /// Always absent: a few hundred are kept.
    next_cursor: Option<String>,
}

/// Backtests, newest first, without their lines
#[utoipa::path(get, path = "/v1/backtests", tag = "runbooks", params(BacktestsQuery), responses((status = 200, body = Backtests)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<BacktestsQuery>,
) -> Result<Answer<Backtests>> {
    let name = query.runbook.filter(|name| !name.is_empty());
    let name = name.map(|name| app.library.name_of(&name)).transpose().map_err(of_library)?;
    let backtests = app.store.backtests(name).await?.into_iter().map(|row| row.view).collect();
    Ok(Answer(Backtests { backtests, next_cursor: None }))
}

/// One backtest
#[utoipa::path(get, path = "/v1/backtests/{id}", tag = "runbooks", params(("id" = String, Path, description = "the whole id")),
    responses((status = 200, body = Backtest)))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Answer<Value>> {
    let row = app.store.backtest(&id).await?;
    let unknown = || Error::not_found(format!("there is no backtest {id}"), "make one with `sandbook backtest`");
    Ok(Answer(row.ok_or_else(unknown)?.view))
}

/// The answer's lines. Dropping them ends the backtest at its next episode.
fn told(
    app: Arc<App>,
    package: Arc<Package>,
    since: u64,
    by: String,
    place: Place,
) -> impl futures::Stream<Item = std::result::Result<Bytes, std::convert::Infallible>> {
    let (lines, sent) = mpsc::channel::<Told>(LINES_WAITING_MAX);
    tokio::spawn(async move {
        let (progress, mut told) = mpsc::channel(LINES_WAITING_MAX);
        let request = backtest::Request { package, since, by };
        let made = backtest::make((&app.runner, &app.intake), request, &progress, place);
        let passed = async {
            while let Some(step) = told.recv().await {
                if lines.send(Told::Progress(step)).await.is_err() {
                    // Closed, so that the backtest ends too.
                    told.close();
                }
            }
        };
        let made = tokio::select! {
            made = made => made,
            () = passed => Err(backtest::Error::Gone),
        };
        let last = match made {
            Ok(backtest) => Told::Backtest(Box::new(backtest)),
            Err(error) => Told::Error(failed(error).to_json()),
        };
        // Who is gone reads nothing more.
        drop(lines.send(last).await);
    });
    futures::stream::unfold(sent, |mut sent| async move {
        let line = sent.recv().await?;
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        Some((Ok(Bytes::from(text)), sent))
    })
}

fn failed(error: backtest::Error) -> Error {
    let message = error.to_string();
    match error {
        backtest::Error::Busy => {
            Error::new(StatusCode::SERVICE_UNAVAILABLE, error::BUSY, message, "try again when one of them is done")
        }
        backtest::Error::Gone => Error::new(StatusCode::SERVICE_UNAVAILABLE, error::BUSY, message, "ask again"),
        backtest::Error::Store(error) => error.into(),
    }
}
