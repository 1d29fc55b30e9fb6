//! Alertmanager's active silences: what nobody wants to be acted on.
//!
//! Fetched every [`EVERY`], and afresh before a change of the world. While Alertmanager does not answer, the silences
//! heard last hold until they end: acting during a maintenance is worse than acting late.
//!
//! A container's own event has no alert's labels. It stands for the alerts that its runbook answers, and a silence that
//! names the container covers it even when it also speaks of labels that only an alert has (`severity`, `job`).
//!
//! Deliberately not here: pauses, which are Sandbook's own (the store), and a person's own run: who starts one by hand
//! knows of the silence.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sandbook_core::alert::Status;
use sandbook_core::matching::Matcher;
use tokio::sync::Notify;

use crate::driver::alertmanager::{Alertmanager, Silenced};
use crate::metrics::Metrics;
use crate::store::{Accepted, AcceptedKind, Incoming, Store};

pub use crate::driver::alertmanager::Silence;

/// How often silences are fetched: a silence set before somebody touches a machine holds when they do.
const EVERY: Duration = Duration::from_secs(15);
/// Silences older than this are fetched again before a change.
const FRESH: Duration = Duration::from_secs(5);
/// How long a change waits for them; then those heard last decide.
const FRESH_WITHIN: Duration = Duration::from_secs(2);
/// What is quoted of a silence's comment, in bytes: enough for a sentence.
const COMMENT_BYTES_MAX: usize = 300;
/// Labels of an event that do not tell which container it is about.
const NOT_THE_CONTAINER: [&str; 2] = ["alertname", "host"];
/// How a silence's sentence begins.
const SILENCED: &str = "silenced by ";
/// What is counted as, beside fetching alerts.
const WHAT: &str = "silences";

/// The silences that hold. Without a client there are none.
#[derive(Default)]
pub struct Silences {
    asked: OnceLock<(Alertmanager, Arc<Metrics>)>,
    known: RwLock<Known>,
    /// One request at a time: those who wait for it use its answer.
    asking: tokio::sync::Mutex<()>,
    back: Notify,
}

/// What is known of them, for people.
#[derive(Debug, Clone, Default)]
pub struct Known {
    silences: Arc<Vec<Silence>>,
    tried: Option<Instant>,
    /// Silences that cannot be read, a sentence each.
    pub unreadable: Vec<String>,
    /// Requests in a row without an answer.
    pub failures: u64,
    /// Why the last one had none.
    pub error: Option<String>,
}

impl Known {
    /// How many silences are active or pending.
    pub fn count(&self) -> usize {
        self.silences.len()
    }
}

impl Silences {
    /// From now on that Alertmanager is asked. The first client stays.
    pub fn ask(&self, client: Alertmanager, metrics: Arc<Metrics>) {
        drop(self.asked.set((client, metrics)));
    }

    /// What is known.
    pub fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves when Alertmanager answers again after it did not.
    pub async fn answers_again(&self) {
        self.back.notified().await;
    }

    /// Fetches them again and again.
    pub async fn follow(&self) {
        loop {
            self.refresh(EVERY / 2, EVERY).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The silence that covers an alert at that time (milliseconds since 1970), of several the one that lasts longest.
    pub fn covers(&self, labels: &BTreeMap<String, String>, now_ms: u64) -> Option<Silence> {
        self.longest(now_ms, |matchers| matchers.iter().all(|matcher| matcher.matches(labels)))
    }

    /// The same for something of a container itself; `alerts` are the names of alerts that it stands for.
    pub fn covers_container(
        &self,
        labels: &BTreeMap<String, String>,
        alerts: &[String],
        now_ms: u64,
    ) -> Option<Silence> {
        self.longest(now_ms, |matchers| covers_container(matchers, labels, alerts))
    }

    /// The silence that covers a run's change, from silences not older than [`FRESH`]. Waits at most [`FRESH_WITHIN`].
    pub async fn holds(&self, change: &Change<'_>, now_ms: u64) -> Option<Silence> {
        // Whoever starts a run by hand means it now; a plan may have been made before the silence was.
        let may_be_held = matches!(change.trigger, "alert" | "docker-event" | "schedule" | "apply");
        if !may_be_held || self.asked.get().is_none() {
            return None;
        }
        self.refresh(FRESH, FRESH_WITHIN).await;
        if let Some(labels) = change.alert {
            return self.covers(labels, now_ms);
        }
        let labels = event_labels(change.container, change.host, change.name);
        self.covers_container(&labels, &[], now_ms)
    }

    /// Takes the runs from firing alerts that are silenced. For each alert in its place: by which silence.
    pub fn hold(&self, incoming: &mut [Incoming], now_ms: u64) -> Vec<Option<Silence>> {
        let hold = |one: &mut Incoming| {
            let firing = one.alert.status == Status::Firing;
            let silence = firing.then(|| self.covers(&one.alert.labels, now_ms)).flatten()?;
            one.runs.clear();
            Some(silence)
        };
        incoming.iter_mut().map(hold).collect()
    }

    fn longest(&self, now_ms: u64, covers: impl Fn(&[Matcher]) -> bool) -> Option<Silence> {
        let silences = self.known.read().unwrap_or_else(PoisonError::into_inner).silences.clone();
        let holds = |silence: &&Silence| silence.from <= now_ms && now_ms < silence.until;
        let found = silences.iter().filter(holds).filter(|silence| covers(&silence.matchers));
        found.max_by_key(|silence| silence.until).cloned()
    }

    /// Asks unless somebody did within `age`; also a request in vain counts, so that changes do not wait one by one.
    async fn refresh(&self, age: Duration, within: Duration) {
        let Some((client, metrics)) = self.asked.get() else { return };
        let fresh = || self.known().tried.is_some_and(|tried| tried.elapsed() < age);
        if fresh() {
            return;
        }
        let ask = async {
            let _one = self.asking.lock().await;
            if !fresh() {
                let answer = tokio::time::timeout(within, client.silences()).await;
                self.learn(answer.unwrap_or_else(|_| {
                    Err(sandbook_core::error::Error::timeout("alertmanager did not answer in time"))
                }));
                self.show(metrics);
            }
        };
        // Another's request may be slower than this one's patience.
        drop(tokio::time::timeout(within, ask).await);
    }

    fn learn(&self, answer: Result<Silenced, sandbook_core::error::Error>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.tried = Some(Instant::now());
        match answer {
            Ok(found) => {
                if known.failures > 0 {
                    tracing::info!("alertmanager answers again");
                    self.back.notify_one();
                }
                for why in found.unreadable.iter().filter(|why| !known.unreadable.contains(why)) {
                    tracing::warn!("{why}");
                }
                let (silences, unreadable) = (Arc::new(found.silences), found.unreadable);
                *known = Known { silences, tried: known.tried, unreadable, failures: 0, error: None };
            }
            Err(error) => {
                if known.failures == 0 {
                    tracing::warn!("silences cannot be fetched, those heard last hold: {error}");
                }
                known.failures += 1;
                known.error = Some(error.to_string());
            }
        }
    }

    fn show(&self, metrics: &Metrics) {
        let known = self.known();
        metrics.alerting.asked(WHAT, known.error.is_none());
        metrics.alerting.silences.with_label_values::<&str>(&[]).set(i64::try_from(known.count()).unwrap_or(i64::MAX));
    }
}

/// A change that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What started the run: `alert`, `docker-event`, `schedule`, `manual`.
    pub trigger: &'a str,
    /// Labels of the run's alert, if an alert started it.
    pub alert: Option<&'a BTreeMap<String, String>>,
    /// Labels of the container that is changed, if it is one.
    pub container: Option<&'a BTreeMap<String, String>>,
    /// Name of its Docker host.
    pub host: &'a str,
    /// Its own name.
    pub name: &'a str,
}

impl Silence {
    /// `silenced by dana until 2026-03-01T04:00:00Z: deploy (silence 5c5c)`.
    pub fn sentence(&self) -> String {
        let until = i64::try_from(self.until).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let until = until.map_or_else(|| "its end".to_owned(), |until| until.to_string());
        let by = if self.by.is_empty() { "somebody" } else { &self.by };
        let mut comment = self.comment.replace('\n', " ");
        sandbook_core::error::truncate_at_char(&mut comment, COMMENT_BYTES_MAX);
        format!("{SILENCED}{by} until {until}: {comment} (silence {})", self.id)
    }
}

/// Says in the episodes which silence held them back, and that one is over once its alert's run starts after all.
pub async fn note_outcomes(store: &dyn Store, held: &[Option<Silence>], accepted: &[Accepted]) {
    for (silence, accepted) in held.iter().zip(accepted) {
        let outcome = match silence {
            Some(silence) => match store.episode(&accepted.episode).await {
                Ok(Some(episode)) if episode.runs.is_empty() => silence.sentence(),
                Ok(_) | Err(_) => continue,
            },
            None if accepted.kind == AcceptedKind::Duplicate && !accepted.runs.is_empty() => {
                match store.episode(&accepted.episode).await {
                    Ok(Some(episode)) if episode.outcome.as_deref().is_some_and(|text| text.starts_with(SILENCED)) => {
                        "its silence is over and it still fires".to_owned()
                    }
                    Ok(_) | Err(_) => continue,
                }
            }
            None => continue,
        };
        if let Err(error) = store.set_episode_outcome(&accepted.episode, &outcome).await {
            tracing::warn!(episode = accepted.episode, "its silence cannot be noted: {error}");
        }
    }
}

/// What a silence of a container can speak of: its labels, its name, its host.
pub fn event_labels(labels: Option<&BTreeMap<String, String>>, host: &str, name: &str) -> BTreeMap<String, String> {
    let mut labels = labels.cloned().unwrap_or_default();
    labels.insert("name".to_owned(), name.to_owned());
    labels.insert("host".to_owned(), host.to_owned());
    labels
}

fn covers_container(matchers: &[Matcher], labels: &BTreeMap<String, String>, alerts: &[String]) -> bool {
    let (mut named, mut left_out) = (false, false);
    for matcher in matchers {
        let label = matcher.label();
        let holds = match labels.get(label) {
            Some(value) => matcher.matches_value(value),
            None if label == "alertname" && !alerts.is_empty() => {
                alerts.iter().any(|alert| matcher.matches_value(alert))
            }
            None => {
                left_out = true;
                continue;
            }
        };
        if !holds {
            return false;
        }
        named |= labels.contains_key(label) && !NOT_THE_CONTAINER.contains(&label);
    }
    named || !left_out
}

#[cfg(test)]
mod tests;
