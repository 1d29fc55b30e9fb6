//! What a running daemon is made of, as the API and the tasks of the daemon see it.
//!
//! Deliberately not here: building it (the composition root, [`crate::app`], which nothing but the command line may know).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sandbook_core::problem::Problem;

use crate::auth::Auth;
use crate::catch_up::CatchUp;
use crate::config::Config;
use crate::driver::egress;
use crate::intake::Intake;
use crate::library::Library;
use crate::llm::Model;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::plan::Planner;
use crate::policy::Policy;
use crate::runner::Runner;
use crate::schedules::Schedules;
use crate::store::Store;
use crate::watcher::Watcher;

/// Where grants go when the configuration names no policy folder, below the data directory.
const OWN_POLICY: &str = "policy";
/// The running daemon.
pub struct App {
    /// As configured.
    pub config: Arc<Config>,
    /// Remembers everything.
    pub store: Arc<dyn Store>,
    /// Packages, versions and stages.
    pub library: Arc<Library>,
    /// Executes runs.
    pub runner: Arc<Runner>,
    /// Makes plans and applies them.
    pub planner: Planner,
    /// Takes triggers.
    pub intake: Arc<Intake>,
    /// Starts what is due by the clock.
    pub schedules: Arc<Schedules>,
    /// Follows Docker; absent over a simulated world.
    pub watcher: Option<Arc<Watcher>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Knows callers.
    pub auth: Arc<Auth>,
    /// When it was started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Which daemon this is, among several and across restarts.
    pub instance: String,
    /// The policy's files as they were before they were read first.
    pub policy_files: PolicyFiles,
    /// What is wrong with the policy on disk, while the one loaded before stays in force.
    pub policy_problems: Mutex<Vec<Problem>>,
    /// Fetches missed alerts; absent unless an Alertmanager is configured.
    pub catch_up: Option<Arc<CatchUp>>,
    /// Tells people.
    pub outbox: Arc<Outbox>,
    /// Drafts, reads and chooses; absent unless one is configured.
    pub model: Option<Model>,
}

impl App {
    /// Reads the policy folders again. On problems the policy in force stays.
    ///
    /// # Errors
    /// Every problem, with file, line and column.
    pub fn reload_policy(&self) -> Result<(), Vec<Problem>> {
        // Held until it is in force: whoever read older files must not come second.
        let mut shown = self.policy_problems.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = load_policy(&self.config);
        *shown = loaded.as_ref().err().cloned().unwrap_or_default();
        match loaded {
            Ok(policy) => {
                self.runner.parts().set_policy(policy);
                Ok(())
            }
            Err(problems) => {
                self.metrics.reload_failures.with_label_values(&["policy"]).inc();
                Err(problems)
            }
        }
    }

    /// Folder that `sandbook grant` writes to.
    pub fn grants_dir(&self) -> PathBuf {
        self.config.policy.dirs.first().cloned().unwrap_or_else(|| self.config.data_dir.join(OWN_POLICY))
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.runner.parts().clock.now().unix_ms
    }
}

/// Files of the policy: path, time of the last change, bytes.
pub type PolicyFiles = Vec<(PathBuf, Option<std::time::SystemTime>, u64)>;

/// Folders the policy is read from: those of the configuration, or the one that `sandbook grant` writes to.
pub fn policy_dirs(config: &Config) -> Vec<PathBuf> {
    if config.policy.dirs.is_empty() { vec![config.data_dir.join(OWN_POLICY)] } else { config.policy.dirs.clone() }
}

/// Which files the policy is read from, and whether they changed.
pub fn policy_files(config: &Config) -> PolicyFiles {
    let mut files: PolicyFiles = policy_dirs(config)
        .iter()
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "cedar"))
        .map(|entry| {
            let metadata = entry.metadata().ok();
            let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
            (entry.path(), modified, metadata.map_or(0, |metadata| metadata.len()))
        })
        .collect();
    files.sort();
    files
}

/// The policy of the configured folders and of the grants folder, with the operator's lists.
pub fn load_policy(config: &Config) -> Result<Policy, Vec<Problem>> {
    let mut dirs = policy_dirs(config);
    // Its own is made by the first grant; what somebody configured must be there.
    dirs.retain(|dir| !config.policy.dirs.is_empty() || dir.is_dir());
    let policy = Policy::load(&dirs, config.policy.label_grants)?;
    let allow = egress::Allow::new(&config.egress.hosts).unwrap_or_default();
    let permits = move |host: &str, port: Option<u16>| match port {
        Some(port) => allow.permits(host, port),
        None => allow.permits_name(host),
    };
    let escalation = config.notify.escalation_channel().map(str::to_owned);
    Ok(policy.with_egress(Box::new(permits)).with_channels(config.notify.channels.keys().cloned(), escalation))
}
