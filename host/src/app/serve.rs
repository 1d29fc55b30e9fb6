//! `sandbook serve`: the daemon from start to a graceful end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sandbook_core::run::Stage as RunbookStage;

use super::{Stage, compiler, list, open_store, problems};
use crate::config::Config;
use crate::listen::{self, tls, tls::Certificates};
use crate::state::{App, policy_dirs, policy_files};
use crate::{about_us, api, digest, otel, telemetry};

/// How often retention is looked after.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often the policy folders are looked at.
const POLICY_EVERY: Duration = Duration::from_secs(2);
/// How long running requests get when the daemon is told to stop; runs continue from their journals at the next start.
const GRACE: Duration = Duration::from_secs(5);

/// Options of the command.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// The configuration file; absent: the defaults.
    pub config: Option<PathBuf>,
}

/// How long traces of the last runs get to be sent.
const TRACES_GRACE: Duration = Duration::from_secs(2);

/// Serves until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub async fn serve(options: ServeOptions) -> Result<ExitCode> {
    let mut config = match Config::load(options.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(found) => return Ok(problems(&found)),
    };
    telemetry::init(&config);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let store = open_store(&config).await?;
    let certificates = config.tls.files().map(Certificates::load).transpose()?.map(Arc::new);
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}; is another daemon running? set `listen`", config.listen))?;
    // Port 0 is any that is free: links and messages name the one it is.
    config.listen_on(listener.local_addr().context("the listener has no address")?);
    let app = App::build(config, Stage::Real, store, compiler()).await?;
    start(&app).await?;
    hello(&app);
    if let Some(certificates) = certificates.clone() {
        let failures = app.metrics.reload_failures.clone();
        tokio::spawn(tls::follow(certificates, move || failures.with_label_values(&["certificates"]).inc()));
    }
    tokio::select! {
        () = answer(&app, listener, certificates, told_to_stop()) => {}
        () = async { told_to_stop().await; tokio::time::sleep(GRACE).await } => {}
    }
    app.runner.close(GRACE).await;
    if let Some(traces) = app.runner.parts().traces() {
        traces.flush(TRACES_GRACE).await;
    }
    tracing::info!("stopped; open runs continue from their journals at the next start");
    Ok(ExitCode::SUCCESS)
}

/// Answers requests until it is told to stop, and those under way.
pub(super) async fn answer(
    app: &Arc<App>,
    listener: tokio::net::TcpListener,
    certificates: Option<Arc<Certificates>>,
    stop: impl Future<Output = ()>,
) {
    let limited = app.metrics.requests_limited.clone();
    let refused = move || limited.with_label_values(&["connections"]).inc();
    let router = api::router(app.clone());
    listen::serve(listener, certificates, app.config.server.bounds(), router, refused, stop).await;
}

/// Starts every part of a built daemon.
pub(super) async fn start(app: &Arc<App>) -> Result<()> {
    app.library.start().await?;
    for warning in app.intake.idle_routes() {
        tracing::warn!("{warning}");
    }
    if let Some(settings) = app.config.otel.settings() {
        let (traces, waiting) = otel::Traces::new(&settings);
        app.runner.parts().set_traces(traces);
        tokio::spawn(otel::follow(settings, waiting, app.store.clone(), app.metrics.clone()));
    }
    app.runner.start().await?;
    tokio::spawn(warm(app.clone()));
    tokio::spawn(prune(app.clone()));
    tokio::spawn(watch_policy(app.clone()));
    tokio::spawn(app.outbox.clone().follow(app.runner.notices()));
    tokio::spawn(about_us::follow(app.clone()));
    tokio::spawn(digest::follow(app.clone()));
    // A simulated world's clock moves by its runs alone.
    if !app.runner.parts().clock.is_virtual() {
        tokio::spawn(app.schedules.clone().follow());
    }
    if let Some(catch_up) = app.catch_up.clone() {
        let silences = app.runner.parts().silences.clone();
        tokio::spawn(async move { silences.follow().await });
        tokio::spawn(catch_up.follow());
    }
    if app.watcher.is_some() {
        tokio::spawn(docker_events(app.clone()));
    }
    Ok(())
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

fn hello(app: &App) {
    let actives = app.library.snapshot();
    let scheme = if app.config.tls.cert_file.is_some() { "https" } else { "http" };
    let acting = actives.iter().filter(|active| active.stage >= RunbookStage::Ask).count();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %app.config.data_dir.display(),
        runbooks = actives.len(),
        acting,
        "listening on {scheme}://{}",
        app.config.listen
    );
    if acting == 0 {
        tracing::info!(
            "no runbook may act yet: point Alertmanager here (`sandbook config alertmanager`), see `sandbook status`"
        );
    }
}

async fn warm(app: Arc<App>) {
    if let Err(error) = app.runner.parts().sandbox.warm().await {
        tracing::error!("the script interpreter does not compile: {error:#}");
    }
}

async fn prune(app: Arc<App>) {
    loop {
        let keep = app.config.retention.runs.0.min(app.config.retention.episodes.0);
        match app.store.prune(app.now_ms().saturating_sub(keep)).await {
            Ok(pruned) if pruned.runs + pruned.episodes + pruned.drafts > 0 => {
                if pruned.drafts > 0
                    && let Err(error) = app.library.read_again().await
                {
                    tracing::warn!("the list of versions cannot be read: {error}");
                }
                tracing::info!(
                    runs = pruned.runs,
                    episodes = pruned.episodes,
                    drafts = pruned.drafts,
                    "removed what is older than [retention] keeps"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("old runs cannot be removed: {error}"),
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

async fn docker_events(app: Arc<App>) {
    let Some(watcher) = &app.watcher else { return };
    let mut events = watcher.subscribe();
    loop {
        match events.recv().await {
            Ok(event) => app.intake.docker_event(&event).await,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "Docker events came faster than they could be handled");
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Reads the policy again when a file changed; a broken one keeps the old policy and says why.
async fn watch_policy(app: Arc<App>) {
    // As it was before the start read them: what changed since then is read now.
    let mut seen = app.policy_files.clone();
    loop {
        tokio::time::sleep(POLICY_EVERY).await;
        let now = policy_files(&app.config);
        if now == seen {
            continue;
        }
        seen = now;
        match app.reload_policy() {
            Ok(()) => {
                tracing::info!("policy reloaded");
                let details = serde_json::json!({ "dirs": policy_dirs(&app.config) });
                if let Err(error) = app.store.audit("engine", "policy", "reload", details, app.now_ms()).await {
                    tracing::warn!("the audit cannot be written: {error}");
                }
            }
            Err(found) => tracing::error!("the policy has problems and the old one stays in force:\n{}", list(&found)),
        }
    }
}
