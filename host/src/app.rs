//! The composition root: the only place that knows every part.
//!
//! Deliberately not here: behaviour. Parts are built, wired and started; what they do stands with them.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sandbook_core::problem::Problem;
use sandbook_core::run::Mode;
use sandbook_core::world::World;

use crate::auth::Auth;
use crate::catch_up::CatchUp;
use crate::cli::{Ink, diagnostics};
use crate::clock::{Clock, System, Virtual};
use crate::config::Config;
use crate::driver::alertmanager::{self, Alertmanager};
use crate::driver::loki::{self, Loki};
use crate::driver::{Hosts, Live, docker, egress, grafana, metrics as prometheus, notify, redact};
use crate::guest::{Compiler, Options, Sandbox, user_cache};
use crate::intake::Intake;
use crate::library::Library;
use crate::llm::Model;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::runner::drivers::{Driver, Simulated};
use crate::runner::{Asking, Brakes, HostMatch, Parts, Runner};
use crate::schedules::Schedules;
use crate::similar::Remembered;
use crate::state::{App, load_policy, policy_files};
use crate::store::{self, Sqlite, Store};
use crate::trust::Trust;
use crate::watcher::Watcher;

mod demo;
mod serve;

pub use demo::{DemoOptions, demo};
pub use serve::{ServeOptions, serve};

/// Where compiled components are kept, below the data directory.
const CACHE: &str = "compiled";

/// What the daemon acts on.
pub enum Stage {
    /// The configured Docker hosts.
    Real,
    /// A simulated world, whose time is data.
    Simulated(Arc<Mutex<World>>),
}

impl App {
    /// Builds and wires every part; starts nothing.
    ///
    /// # Errors
    /// What cannot be built, and what to do about it.
    pub async fn build(config: Config, stage: Stage, store: Arc<dyn Store>, compiler: Compiler) -> Result<Arc<App>> {
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::new()?);
        let cache_dir = cache_dir(&config, &stage)?;
        let sandbox = Sandbox::new(Options { cache_dir, compiler })?;
        let secrets = redact::Secrets::default();
        let model = model(&config, &store, &metrics, &secrets)?;
        let policy_files = policy_files(&config);
        let policy = load_policy(&config).map_err(|problems| anyhow::anyhow!("{}", coded(&problems)))?;
        let Surroundings { driver, clock, watcher, notifier, grafana, alertmanager, acting, host_names } =
            world(&config, stage, secrets, model.as_ref(), &metrics, &store)?;
        let outbox = Outbox::new(&config, store.clone(), notifier, grafana, metrics.clone(), clock.clone());
        let parts = Parts::new(
            store.clone(),
            sandbox.clone(),
            driver,
            clock,
            metrics.clone(),
            acting,
            config.limits.clone(),
            brakes(&config),
            policy,
        );
        parts.set_asking(Asking { approval_ms: config.approvals.expiry.0, public_url: config.public_url() });
        let started_at_ms = parts.clock.now().unix_ms;
        let library = Library::new(store.clone(), sandbox, config.clone());
        library.trust(Trust::load(&config)?);
        let hosts = host_matches(&config, &host_names);
        let workers = config.workers.count as usize;
        let runner = Runner::new(parts, library.clone(), hosts, workers, config.workers.queue as usize);
        let intake = Intake::new(store.clone(), library.clone(), runner.clone(), config.routes.clone());
        let schedules = Schedules::new(store.clone(), library.clone(), runner.clone(), intake.clone());
        let catch_up = alertmanager.map(|client| {
            let parts = runner.parts();
            parts.silences.ask(client.clone(), metrics.clone());
            let (silences, receiver) = (parts.silences.clone(), config.alertmanager.receiver.clone());
            CatchUp::new(client, receiver, intake.clone(), silences, metrics.clone(), parts.clock.clone())
        });
        let auth = Arc::new(Auth::load(&config, &config.data_dir)?);
        let instance = crate::store::id::new("d");
        Ok(Arc::new(App {
            config,
            store,
            library,
            planner: crate::plan::Planner::new(runner.clone()),
            runner,
            intake,
            schedules,
            watcher,
            metrics,
            auth,
            started_at_ms,
            instance,
            policy_files,
            policy_problems: Mutex::default(),
            catch_up,
            outbox,
            model,
        }))
    }
}

struct Surroundings {
    driver: Arc<dyn Driver>,
    clock: Arc<dyn Clock>,
    watcher: Option<Arc<Watcher>>,
    notifier: Option<notify::Notifier>,
    grafana: Option<grafana::Grafana>,
    alertmanager: Option<Alertmanager>,
    acting: Mode,
    host_names: Vec<String>,
}

fn world(
    config: &Config,
    stage: Stage,
    secrets: redact::Secrets,
    model: Option<&Model>,
    metrics: &Arc<Metrics>,
    store: &Arc<dyn Store>,
) -> Result<Surroundings> {
    match stage {
        Stage::Simulated(world) => {
            let host_names = world.lock().map(|world| world.hosts.keys().cloned().collect()).unwrap_or_default();
            Ok(Surroundings {
                driver: Arc::new(Simulated(world.clone())),
                clock: Arc::new(Virtual(world)),
                watcher: None,
                notifier: None,
                grafana: None,
                alertmanager: None,
                acting: Mode::Simulate,
                host_names,
            })
        }
        Stage::Real => {
            let hosts = docker_hosts(config)?;
            let allow = Arc::new(egress::Allow::new(&config.egress.hosts)?);
            let source = config
                .prometheus
                .url
                .clone()
                .map(|url| prometheus::Source { url, token_file: config.prometheus.token_file.clone() });
            let source = source.map(|source| prometheus::Prometheus::new(&source, secrets.clone())).transpose()?;
            let notifier = notifier(config, &secrets)?;
            let alertmanager = alertmanager(config, &secrets)?;
            let loki = loki(config, &secrets)?;
            let grafana = grafana(config, &secrets)?;
            let live = Live::new(hosts.clone(), allow, source, self::notifier(config, &secrets)?, secrets)
                .with_alertmanager(alertmanager.clone())
                .with_loki(loki)
                .with_model(model.cloned(), metrics.clone())
                .with_incidents(Arc::new(Remembered(store.clone())));
            Ok(Surroundings {
                driver: Arc::new(live),
                clock: Arc::new(System),
                watcher: Some(Arc::new(Watcher::start(&hosts))),
                notifier: Some(notifier),
                grafana,
                alertmanager,
                acting: Mode::Live,
                host_names: config.docker.hosts.keys().cloned().collect(),
            })
        }
    }
}

/// The model, when one is configured. It is asked in a simulated world as well as in the real one: by people.
fn model(
    config: &Config,
    store: &Arc<dyn Store>,
    metrics: &Arc<Metrics>,
    secrets: &redact::Secrets,
) -> Result<Option<Model>> {
    let settings = config.llm.settings();
    let model = settings.map(|settings| Model::new(settings, store.clone(), metrics.clone(), secrets.clone()));
    Ok(model.transpose()?)
}

fn docker_hosts(config: &Config) -> Result<Arc<Hosts>> {
    let mut hosts = Hosts::new();
    for (name, host) in &config.docker.hosts {
        let settings = host.settings().with_context(|| format!("[docker.hosts.{name}]"))?;
        // What is in them is looked at for each connection; that they are there belongs to the configuration.
        for (key, file) in settings.endpoint.files() {
            let place = || format!("[docker.hosts.{name}] {key}: {} cannot be read", file.display());
            std::fs::File::open(file).with_context(place)?;
        }
        hosts.insert(name.clone(), Arc::new(docker::Host::new(name, settings)));
    }
    Ok(Arc::new(hosts))
}

fn notifier(config: &Config, secrets: &redact::Secrets) -> Result<notify::Notifier> {
    let mut channels = BTreeMap::new();
    for (name, channel) in &config.notify.channels {
        let channel = channel.driver();
        channel.check(name)?;
        channels.insert(name.clone(), channel);
    }
    let escalation = config.notify.escalation_channel().map(str::to_owned);
    Ok(notify::Notifier::new(channels, escalation, secrets.clone()))
}

fn alertmanager(config: &Config, secrets: &redact::Secrets) -> Result<Option<Alertmanager>> {
    let Some(url) = config.alertmanager.url.clone() else { return Ok(None) };
    let source = alertmanager::Source { url, token_file: config.alertmanager.token_file.clone() };
    Ok(Some(Alertmanager::new(&source, secrets.clone())?))
}

fn grafana(config: &Config, secrets: &redact::Secrets) -> Result<Option<grafana::Grafana>> {
    let Some(url) = config.grafana.url.clone() else { return Ok(None) };
    let source = grafana::Source { url, token_file: config.grafana.token_file.clone() };
    Ok(Some(grafana::Grafana::new(&source, secrets.clone())?))
}

fn loki(config: &Config, secrets: &redact::Secrets) -> Result<Option<Loki>> {
    let Some(url) = config.loki.url.clone() else { return Ok(None) };
    let source = loki::Source { url, tenant: config.loki.tenant.clone(), token_file: config.loki.token_file.clone() };
    Ok(Some(Loki::new(&source, secrets.clone())?))
}

fn brakes(config: &Config) -> Brakes {
    Brakes {
        per_runbook_target: config.brakes.per_runbook_target.clone(),
        per_target: config.brakes.per_target.clone(),
        per_runbook: config.brakes.per_runbook.clone(),
        per_host: config.brakes.per_host.clone(),
        storm: Some(config.brakes.storm.clone()),
        settle_ms: config.brakes.settle.0,
    }
}

fn host_matches(config: &Config, names: &[String]) -> Vec<HostMatch> {
    let matchers = |name: &String| config.docker.hosts.get(name).map(|host| host.matchers.clone()).unwrap_or_default();
    names.iter().map(|name| HostMatch { name: name.clone(), matchers: matchers(name) }).collect()
}

/// Compiled components outlive a simulated world's data directory, so that a demo starts at once the second time.
fn cache_dir(config: &Config, stage: &Stage) -> Result<PathBuf> {
    match stage {
        Stage::Real => Ok(config.data_dir.join(CACHE)),
        Stage::Simulated(_) => Ok(user_cache()?),
    }
}

fn coded(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("[{}] {problem}", problem.code)).collect::<Vec<_>>().join("\n")
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// How long a start waits for another daemon on the same data to end: a service manager starts the next one at once.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOCK_LOOK: Duration = Duration::from_millis(200);

async fn open_store(config: &Config) -> Result<Arc<dyn Store>> {
    if config.store.url != "sqlite" {
        bail!("[store] url = \"{}\" is not offered yet; use \"sqlite\"", config.store.url);
    }
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match Sqlite::open(&config.data_dir) {
            Ok(store) => return Ok(Arc::new(store)),
            Err(store::Error::Locked { .. }) if Instant::now() < until => tokio::time::sleep(LOCK_LOOK).await,
            Err(error) => bail!("[{}] {error}", store_code(&error)),
        }
    }
}

/// The page that explains why the store does not open.
fn store_code(error: &store::Error) -> &'static str {
    match error {
        store::Error::Locked { .. } => "SB0601",
        store::Error::ReadOnly(_) => "SB0602",
        store::Error::Full(_) => "SB0603",
        store::Error::Newer { .. } => "SB0604",
        store::Error::Damaged(_) => "SB0605",
        store::Error::Io { .. }
        | store::Error::Ambiguous(_)
        | store::Error::UnknownRun(_)
        | store::Error::Invalid(_)
        | store::Error::Closed
        | store::Error::Database(_)
        | store::Error::Defect(_) => "SB0602",
    }
}

/// This program, which compiles untrusted components in a child of its own.
fn compiler() -> Compiler {
    std::env::current_exe().map_or(Compiler::InProcess, Compiler::Child)
}

/// The exit code of a refusal to start because of the configuration.
fn problems(problems: &[Problem]) -> ExitCode {
    let read = |file: &str| std::fs::read_to_string(file).ok();
    let ink = Ink::of(std::io::stderr().is_terminal());
    eprint!("{}", diagnostics::render(problems, ink, read));
    ExitCode::from(2)
}
