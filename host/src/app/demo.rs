//! `sandbook demo`: the main job in one command. An alert arrives through the real intake, a runbook is matched, its
//! effects pass the real gate, the result is verified, and the timeline says what happened, why, and what to do next.
//!
//! The world is simulated and its time is data, unless a real engine is asked for; then it gets a throw-away container of
//! its own. Deliberately not here: anything that only a demo can do. It uses the HTTP API like everyone else.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sandbook_core::run::Stage as RunbookStage;
use sandbook_core::world::World;
use serde_json::{Value, json};

use super::{Stage, compiler, serve};
use crate::cli::timeline;
use crate::config::{Config, LOCAL_HOST};
use crate::driver::docker::throwaway::{self, ThrowAway};
use crate::library;
use crate::policy::grant::{Selector, grant};
use crate::state::App;
use crate::store::Sqlite;

/// Options of the command.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// On the real local engine, with a throw-away container.
    pub docker: bool,
    /// Image of the throw-away container; needs a shell.
    pub image: Option<String>,
    /// Where the engine listens; absent: the default socket.
    pub endpoint: Option<String>,
    /// End after the timeline.
    pub exit: bool,
    /// Print JSON instead of prose.
    pub json: bool,
    /// With colours.
    pub color: bool,
}

/// The runbook that is shown.
const RUNBOOK: &str = "restart-unhealthy";
/// How long the whole run may take on a real engine: a start, a probe interval, and the runbook's own patience.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the demo.
///
/// # Errors
/// What keeps it from running.
pub async fn demo(options: DemoOptions) -> Result<ExitCode> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (mut config, victim) = prepare(&options, folder.path()).await?;
    let stage = match &victim {
        Some(_) => Stage::Real,
        None => Stage::Simulated(Arc::new(Mutex::new(World::invent_demo()))),
    };
    let shown = match &stage {
        Stage::Simulated(world) => world_lines(&world.lock().unwrap_or_else(PoisonError::into_inner)),
        Stage::Real => {
            victim.as_ref().map(|victim| format!("  local/{}  unhealthy\n", victim.name)).unwrap_or_default()
        }
    };
    let name = victim.as_ref().map_or("shop-web-1", |victim| victim.name.as_str()).to_owned();
    let listener = tokio::net::TcpListener::bind(config.listen).await.context("cannot listen on loopback")?;
    let address = listener.local_addr()?;
    config.listen_on(address);
    let app = App::build(config, stage, Arc::new(Sqlite::in_memory()?), compiler()).await?;
    serve::start(&app).await?;
    let served = app.clone();
    let server = tokio::spawn(async move { serve::answer(&served, listener, None, std::future::pending()).await });
    promote(&app).await?;
    let told = tell(&options, &format!("http://{address}"), folder.path(), &name, &shown).await;
    if let Some(victim) = &victim {
        victim.remove().await;
    }
    let healed = told?;
    if !options.exit {
        println!("\nServing on http://{address} until Ctrl-C. Try:\n");
        println!(
            "  export SANDBOOK_SERVER=http://{address} SANDBOOK_TOKEN=$(cat {}/admin-token)",
            folder.path().display()
        );
        println!("  sandbook status\n  sandbook show last\n");
        println!("Console: http://{address}/ — log in with the token in {}/admin-token", folder.path().display());
        let _ = tokio::signal::ctrl_c().await;
    }
    server.abort();
    Ok(if healed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Configuration and, on a real engine, the container that will be sick.
async fn prepare(options: &DemoOptions, folder: &std::path::Path) -> Result<(Config, Option<ThrowAway>)> {
    let policy = folder.join("policy");
    std::fs::create_dir_all(&policy)?;
    let text = format!("data_dir = {folder:?}\nlisten = \"127.0.0.1:0\"\n[policy]\ndirs = [{policy:?}]\n");
    let endpoint = options.endpoint.as_ref().filter(|_| options.docker);
    let text = match endpoint {
        Some(endpoint) => format!("{text}[docker.hosts.{LOCAL_HOST}]\nendpoint = {endpoint:?}\n"),
        None => text,
    };
    let config = Config::from_text(&text, None, std::iter::empty())
        .map_err(|problems| anyhow::anyhow!("{}", super::list(&problems)))?;
    let victim = if options.docker {
        let image = options.image.as_deref().unwrap_or(throwaway::IMAGE_DEFAULT);
        Some(ThrowAway::start(&config.docker.hosts[LOCAL_HOST].endpoint, image).await?)
    } else {
        None
    };
    let container = victim.as_ref().map_or("shop-web-*", |victim| victim.name.as_str()).to_owned();
    let selector = Selector { container: Some(container), ..Selector::default() };
    let granted = grant(&policy, RUNBOOK, "docker.restart-container", &selector, None, false);
    granted.map_err(|problems| anyhow::anyhow!("{}", super::list(&problems)))?;
    Ok((config, victim))
}

/// In the demo, the person who reviews and promotes is the demo.
async fn promote(app: &App) -> Result<()> {
    let actives = app.library.snapshot();
    let active = actives.iter().find(|active| active.package.manifest.name == RUNBOOK);
    let digest = active.context("the built-in runbook is missing")?.package.digest.clone();
    let change = library::StageChange {
        stage: RunbookStage::Live,
        reason: "demo".to_owned(),
        by: "demo".to_owned(),
        person: false,
    };
    app.library.set_stage(RUNBOOK, &digest, change).await?;
    Ok(())
}

fn world_lines(world: &World) -> String {
    let mut lines = String::new();
    for (host, contents) in &world.hosts {
        for (name, container) in &contents.containers {
            let state = container.state();
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (status, health) = (word(&json!(state.status)), word(&json!(state.health)));
            let probe = container.health_log.last().map(|probe| probe.output.trim().to_owned());
            let why = probe.filter(|_| health == "unhealthy").unwrap_or_default();
            lines.push_str(format!("  {:<24}{status:<10}{health:<11}{why}", format!("{host}/{name}")).trim_end());
            lines.push('\n');
        }
    }
    lines
}

/// The story, through the API. True when it ended well.
async fn tell(options: &DemoOptions, server: &str, folder: &std::path::Path, name: &str, shown: &str) -> Result<bool> {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).map(|token| token.trim().to_owned());
    let (sender, admin) = (read("sender-token")?, read("admin-token")?);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let alert = message(name);
    let began = std::time::Instant::now();
    let answer = client.post(format!("{server}/webhook/alerts")).bearer_auth(sender).json(&alert).send().await?;
    let (status, took) = (answer.status(), began.elapsed());
    let receipt: Value = answer.json().await?;
    let Some(run) = receipt["runs"][0]["run"].as_str() else {
        bail!("no runbook wanted the alert: {status} {receipt}")
    };
    if !options.json {
        println!("A container is sick.\n\n{shown}");
        println!(
            "An alert arrives: ContainerUnhealthy for {name}. Stored and answered {status} in {} ms.\n",
            took.as_millis()
        );
    }
    let get = async |path: String| -> Result<Value> {
        Ok(client.get(format!("{server}{path}")).bearer_auth(&admin).send().await?.json().await?)
    };
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            let row = get(format!("/v1/runs/{run}")).await?;
            let open = matches!(row["state"].as_str(), Some("queued" | "running" | "waiting"));
            if !open && row["verification"] != "pending" {
                return anyhow::Ok(row);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    let row = ended.await.context("the run did not end in time; see the daemon's log")??;
    let journal = get(format!("/v1/runs/{run}/journal")).await?;
    let records = journal["records"].as_array().cloned().unwrap_or_default();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "receipt": receipt, "run": row, "records": records }))?);
    } else {
        let ink = crate::cli::Ink { color: options.color };
        println!("{}", timeline::render(&row, &records, timeline::Options { ink, full: false, now: None }));
    }
    Ok(row["outcome"] == "fixed" && row["verification"] == "confirmed")
}

/// What Alertmanager sends.
fn message(name: &str) -> Value {
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"ContainerUnhealthy\"}",
        "status": "firing",
        "receiver": "sandbook",
        "alerts": [{
            "status": "firing",
            "labels": { "alertname": "ContainerUnhealthy", "severity": "critical", "host": LOCAL_HOST, "name": name },
            "annotations": { "summary": format!("{name} fails its health check") },
            "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
        }],
    })
}
