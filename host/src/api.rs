//! The HTTP API: every route in one list, and what every request passes on its way to one.
//!
//! A request is logged, bounded in time and number, known by its token, and refused when its role is not enough; then a
//! handler answers. A request that changes something is finished even if its sender hangs up, so that what is durable
//! is also acted on. The document of the API is generated from the handlers and served as `/openapi.json`.
//!
//! Deliberately not here: deciding anything about runs, policy or packages, and trusting `X-Forwarded-*`. One file per
//! resource; each holds its shapes, its documentation and its few calls.

use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::http::{Method, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Json};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

mod alerts;
mod approvals;
mod audit;
mod backtests;
mod backup;
mod brakes;
mod console;
mod document;
mod drafts;
mod drift;
mod effects;
pub mod error;
mod events;
mod explain;
mod extract;
mod files;
mod grants;
mod guard;
mod llm;
mod matching;
mod mcp;
mod metrics;
mod notify;
mod pauses;
mod plans;
mod rates;
mod record;
mod replay;
mod runbooks;
mod runs;
mod schedules;
mod settle;
mod status;
mod stop;
mod targets;
#[cfg(test)]
mod tests;
mod time;
mod versions;
mod webhook;

use error::Error;

/// Every documented route.
fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(document::base())
        // What others send.
        .routes(routes!(webhook::alerts))
        .routes(routes!(webhook::grafana))
        // How the daemon is.
        .routes(routes!(status::health))
        .routes(routes!(status::ready))
        .routes(routes!(status::status))
        .routes(routes!(metrics::metrics))
        // Runbooks.
        .routes(routes!(runbooks::list, runbooks::upload))
        .routes(routes!(drafts::generate))
        .routes(routes!(drafts::ask))
        .routes(routes!(runbooks::show))
        .routes(routes!(runbooks::versions))
        .routes(routes!(files::list))
        .routes(routes!(runbooks::set_stage))
        .routes(routes!(versions::rollback))
        .routes(routes!(versions::difference))
        .routes(routes!(versions::package))
        .routes(routes!(versions::sign))
        .routes(routes!(runs::start))
        .routes(routes!(schedules::list))
        .routes(routes!(plans::make))
        .routes(routes!(plans::shadow))
        .routes(routes!(backtests::list, backtests::make))
        .routes(routes!(backtests::show))
        // Plans.
        .routes(routes!(plans::list, plans::make_of))
        .routes(routes!(plans::show))
        .routes(routes!(plans::apply))
        // Runs.
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::journal))
        .routes(routes!(runs::similar_to))
        .routes(routes!(explain::explanation))
        .routes(routes!(explain::report))
        .routes(routes!(replay::export))
        .routes(routes!(replay::replay))
        .routes(routes!(drift::list))
        .routes(routes!(events::of_run))
        .routes(routes!(settle::cancel))
        .routes(routes!(settle::resume))
        .routes(routes!(events::all))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::show, approvals::decide))
        // Alerts and what they mean.
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::show))
        .routes(routes!(alerts::similar_to))
        .routes(routes!(matching::explain))
        .routes(routes!(targets::list))
        // What holds runbooks back.
        .routes(routes!(grants::list, grants::add))
        .routes(routes!(grants::remove))
        .routes(routes!(pauses::list, pauses::add))
        .routes(routes!(pauses::end))
        .routes(routes!(brakes::list))
        .routes(routes!(brakes::rearm))
        .routes(routes!(stop::stop, stop::release))
        // What people are told.
        .routes(routes!(notify::test))
        .routes(routes!(notify::digest))
        // The record, and the catalogue.
        .routes(routes!(audit::list))
        .routes(routes!(effects::list))
        .routes(routes!(backup::read, backup::take))
}

/// The generated document of the API.
pub fn openapi() -> OpenApi {
    document::complete(documented().into_openapi())
}

/// The whole API over a daemon.
pub fn router(app: Arc<App>) -> Router {
    let (documented, document) = documented().split_for_parts();
    let document = Arc::new(document::complete(document));
    let limits = Arc::new(guard::Limits::new(&app.config.server, app.metrics.clone()));
    let console = Arc::new(console::Console::new(documented.clone(), app.clone()));
    let routes = documented
        .route("/openapi.json", get(move || async move { Json(document).into_response() }))
        .merge(console::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method);
    // What every request passes first.
    let guarded = |routes: Router<Arc<App>>| {
        routes
            .layer(from_fn_with_state(app.clone(), guard::admit))
            .layer(Extension(console.clone()))
            .layer(CatchPanicLayer::custom(guard::panicked))
            .layer(from_fn_with_state(limits.clone(), guard::limit))
            .layer(from_fn_with_state(app.clone(), guard::count))
            .layer(from_fn(guard::log))
            .with_state(app.clone())
    };
    // What tools of agents call passes it as well.
    let inside = guarded(routes.clone());
    let agents = Router::new().route("/mcp", post(mcp::answer)).method_not_allowed_fallback(wrong_method);
    guarded(routes.merge(agents.layer(Extension(mcp::Inside(inside)))))
}

async fn no_route(OriginalUri(uri): OriginalUri) -> Error {
    let path: String = uri.path().chars().take(200).collect();
    Error::not_found(format!("there is no path {path}"), "`/openapi.json` lists the paths")
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> Error {
    let path: String = uri.path().chars().take(200).collect();
    let message = format!("{path} does not take {method}");
    Error::new(StatusCode::METHOD_NOT_ALLOWED, error::NOT_FOUND, message, "`/openapi.json` lists what each path takes")
}
