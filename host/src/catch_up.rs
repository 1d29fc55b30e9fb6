//! Missed alerts: what fires in Alertmanager and was never heard here.
//!
//! A webhook that found nobody is tried again for some minutes and then not until the alert's next repeat, hours later.
//! So at the start, after Alertmanager was gone, and every [`EVERY`] the alerts it would send us are fetched and
//! handed to the intake. What is known starts nothing there; a silence that ended, or a runbook promoted meanwhile, starts
//! its run by it.
//!
//! Deliberately not here: ending episodes whose alert is gone. That it is not listed may mean a restart of Alertmanager.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::clock::Clock;
use crate::driver::alertmanager::Alertmanager;
use crate::intake::{Intake, Refusal};
use crate::metrics::Metrics;
use crate::silences::Silences;

/// Source of episodes first heard so.
pub const SOURCE: &str = "alertmanager-api";
/// How often what fires is compared with what is known: the longest an alert can be missed, and a silence's end unseen.
const EVERY: Duration = Duration::from_secs(300);
/// First pause after a request in vain.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Alerts handed over at once: a queue with room for so many takes them, and the rest comes when there is room again.
const BATCH: usize = 100;
/// What is counted as, beside fetching silences.
const WHAT: &str = "alerts";

/// Fetches missed alerts.
pub struct CatchUp {
    client: Alertmanager,
    /// Name of the receiver in Alertmanager that posts here.
    receiver: String,
    intake: Arc<Intake>,
    silences: Arc<Silences>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    progress: Mutex<Progress>,
}

/// How it goes, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// When everything that fired was handed over last, in milliseconds since 1970.
    pub last_success: Option<u64>,
    /// Times in a row that it could not be.
    pub failures: u64,
    /// Why the last time.
    pub error: Option<String>,
    /// Alerts that fired and were not known, since the start.
    pub missed: u64,
    /// Runs started by it, since the start.
    pub runs: u64,
}

impl CatchUp {
    /// Asks nothing yet.
    pub fn new(
        client: Alertmanager,
        receiver: String,
        intake: Arc<Intake>,
        silences: Arc<Silences>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Arc<CatchUp> {
        Arc::new(CatchUp { client, receiver, intake, silences, metrics, clock, progress: Mutex::default() })
    }

    /// How it goes.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Host and port of the Alertmanager that is asked.
    pub fn place(&self) -> &str {
        self.client.place()
    }

    /// Fetches them again and again.
    pub async fn follow(self: Arc<Self>) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let result = self.once().await;
            let pause = match &result {
                Ok(()) => EVERY,
                Err(_) => backoff,
            };
            backoff = if result.is_ok() { BACKOFF_MIN } else { (backoff * 2).min(BACKOFF_MAX) };
            self.note(result);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.silences.answers_again() => {}
            }
        }
    }

    /// Hands over everything that fires. Stops at the first batch there is no room for; what was taken is taken.
    async fn once(&self) -> Result<(), String> {
        let receivers = self.client.receivers().await.map_err(|error| error.message)?;
        if !receivers.contains(&self.receiver) {
            let there = receivers.join(", ");
            return Err(format!(
                "alertmanager has no receiver `{}`, so its alerts cannot be told apart; set [alertmanager] receiver to one of: {there}",
                self.receiver
            ));
        }
        let alerts = self.client.alerts(&self.receiver).await.map_err(|error| error.message)?;
        for batch in alerts.chunks(BATCH) {
            self.hand_over(batch).await?;
        }
        Ok(())
    }

    async fn hand_over(&self, batch: &[Value]) -> Result<(), String> {
        let body = serde_json::to_vec(batch).map_err(|error| error.to_string())?;
        let receipt = match self.intake.receive(&body, SOURCE, None).await {
            Ok(receipt) => receipt,
            Err(refusal @ (Refusal::Full { .. } | Refusal::Store(_))) => return Err(refusal.to_string()),
            Err(Refusal::Unreadable(error)) => return Err(format!("alertmanager's alerts cannot be read: {error}")),
        };
        if receipt.accepted > 0 || !receipt.runs.is_empty() {
            tracing::info!(missed = receipt.accepted, runs = receipt.runs.len(), "alerts fetched from alertmanager");
        }
        self.metrics.alerting.missed.with_label_values::<&str>(&[]).inc_by(receipt.accepted);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.missed += receipt.accepted;
        progress.runs += receipt.runs.len() as u64;
        Ok(())
    }

    fn note(&self, result: Result<(), String>) {
        self.metrics.alerting.asked(WHAT, result.is_ok());
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                progress.last_success = Some(self.clock.now().unix_ms);
                progress.failures = 0;
                progress.error = None;
            }
            Err(why) => {
                if progress.error.as_ref() != Some(&why) {
                    tracing::warn!("alerts cannot be fetched from alertmanager, tried again: {why}");
                }
                progress.failures += 1;
                progress.error = Some(why);
            }
        }
    }
}
