//! `/metrics`: the daemon's own figures, and the state of every container it sees.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;

use crate::state::App;

/// The Prometheus text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Figures for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, content_type = "text/plain", body = String)))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> ([(HeaderName, &'static str); 1], String) {
    let metrics = &app.metrics;
    metrics.store_up.set(i64::from(app.store.health().ok));
    let queued = app.runner.queue_length();
    metrics.queue_length.set(i64::try_from(queued).unwrap_or(i64::MAX));
    metrics.queue_capacity.set(i64::try_from(queued + app.runner.room()).unwrap_or(i64::MAX));
    // A store that cannot be read says so itself; the last figure stays.
    if let Ok(trips) = app.store.trips(true).await {
        metrics.brakes_tripped.set(i64::try_from(trips.len()).unwrap_or(i64::MAX));
    }
    let since = app.now_ms().saturating_sub(super::status::SPEED_MS);
    match app.store.speed(since).await {
        Ok(speed) => {
            let mean_ms = speed.repair.map_or(0, |mean| mean.mean_ms);
            metrics.outcomes.mttr_seconds.set(i64::try_from(mean_ms.div_ceil(1_000)).unwrap_or(i64::MAX));
        }
        Err(error) => tracing::warn!("the mean time to repair cannot be read: {error}"),
    }
    for active in app.library.snapshot().iter() {
        metrics.known(&active.package.manifest.name);
    }
    let mut text = metrics.encode();
    if let Some(watcher) = &app.watcher {
        watcher.write_metrics(&mut text);
    }
    ([(CONTENT_TYPE, TEXT)], text)
}
