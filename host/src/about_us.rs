//! Alerts about Sandbook itself, and the alert that always fires so that its absence is noticed.
//!
//! An alert labelled `sandbook="self"` starts no runbook: a broken engine cannot heal itself. Its firing and its end are
//! told to the channel `[notify] self` through the outbox, once each, also over restarts.
//!
//! An alert labelled `sandbook="watchdog"` fires all the time. While it is heard, Prometheus, Alertmanager and the way
//! here work; when it is not heard for `[alertmanager] watchdog`, nobody else may be left to say so, and Sandbook does.
//!
//! A webhook message that is refused for good is told there too, see [`refused`].
//!
//! Deliberately not here: what tells people that Sandbook is gone; Prometheus does (`monitoring/prometheus/rules`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandbook_core::alert::{Alert, Status};
use sandbook_core::effect::notify::Severity;
use sandbook_core::target::{Facts, Resolved};
use tokio::sync::Notify;

use self::refused::{Reason, Refused, TOLD_EVERY_MS};
use crate::catch_up;
use crate::state::App;
use crate::store::{Accepted, AcceptedKind, EpisodeFilter, Happened, Notice, RunRow};

pub mod refused;

/// The label that says so.
const LABEL: &str = "sandbook";
/// Messages that may wait; beyond it the oldest is dropped, and the episodes still have everything.
const PENDING_MAX: usize = 256;
/// How long until what could not be stored is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How often the watchdog's age is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Ends of so long ago are told after a start, in milliseconds: what was sent is kept for an hour at least, so none twice.
const ENDED_WITHIN_MS: u64 = 3_600_000;
/// Episodes that began so long ago are looked at for that, in milliseconds.
const HEARD_WITHIN_MS: u64 = 7 * 86_400_000;
/// What is told of an alert's annotations, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;
/// Why a run about the engine's own container does not start.
pub const OWN_TARGET: &str =
    "its target is the container this engine runs in: nothing acts on it, the channel [notify] self is told";

/// What an alert says about the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Something is wrong with it.
    Us,
    /// Alerts arrive.
    Watchdog,
}

/// Whether an alert is about the engine; then it starts no runbook.
pub fn about(labels: &BTreeMap<String, String>) -> Option<About> {
    match labels.get(LABEL)?.as_str() {
        "self" => Some(About::Us),
        "watchdog" => Some(About::Watchdog),
        _ => None,
    }
}

/// What is to be told, and when alerts were heard.
pub struct AboutUs {
    pending: Mutex<VecDeque<Message>>,
    more: Notify,
    watchdog: Mutex<Watchdog>,
    /// Webhook messages that were refused for good.
    pub lost: Refused,
}

#[derive(Debug, Clone)]
struct Message {
    title: String,
    text: String,
    severity: Severity,
    /// The same for firing and end, so that a pager shows one incident.
    key: String,
    /// Which of the messages of that key: each is told once.
    serial: String,
    /// It is the end.
    over: bool,
    /// Marked as told on delivery.
    episode: Option<String>,
}

/// The always firing alert.
#[derive(Debug, Clone, Copy)]
pub struct Watchdog {
    /// When it was heard last, or the daemon started.
    since: Instant,
    /// When it was heard last since the start, in milliseconds since 1970.
    pub heard_at: Option<u64>,
    /// It is not heard for too long.
    pub silent: bool,
}

impl Default for AboutUs {
    fn default() -> AboutUs {
        let watchdog = Watchdog { since: Instant::now(), heard_at: None, silent: false };
        let (pending, lost) = (Mutex::default(), Refused::default());
        AboutUs { pending, more: Notify::new(), watchdog: Mutex::new(watchdog), lost }
    }
}

impl AboutUs {
    /// The always firing alert, as it is now.
    pub fn watchdog(&self) -> Watchdog {
        *self.lock_watchdog()
    }

    /// Takes note of an alert that is stored. Never waits.
    pub fn heard(&self, alert: &Alert, accepted: &Accepted, source: &str, now_ms: u64) {
        match (about(&alert.labels), accepted.kind) {
            (None, _) => {}
            // What was fetched says nothing of the way here.
            (Some(About::Watchdog), _) if alert.status == Status::Firing && source != catch_up::SOURCE => {
                let mut watchdog = self.lock_watchdog();
                watchdog.since = Instant::now();
                watchdog.heard_at = Some(now_ms);
            }
            (Some(About::Watchdog), _) => {}
            (Some(About::Us), AcceptedKind::New | AcceptedKind::Refired | AcceptedKind::Resolved) => {
                let over = accepted.kind == AcceptedKind::Resolved;
                self.push(message(&alert.labels, &alert.annotations, &accepted.episode, over));
            }
            // The end of something that was never told.
            (Some(About::Us), AcceptedKind::Duplicate | AcceptedKind::ResolvedUnknown) => {}
        }
    }

    /// Takes a run whose target turned out to be the engine's own container: people are told, and it does not start.
    /// A person's own run starts; whatever it would change there is denied.
    pub fn takes(&self, row: &RunRow, resolved: &Resolved) -> bool {
        let own = resolved.facts.as_ref().is_some_and(Facts::is_own);
        if !own || !matches!(row.trigger.as_str(), "alert" | "docker-event") {
            return false;
        }
        let (target, run) = (&resolved.target, &row.id);
        self.push(Message {
            title: format!("{target}, Sandbook's own container, has trouble"),
            text: format!("{} is meant for it and was not started.\nsandbook show {run}", row.runbook),
            severity: Severity::Critical,
            key: format!("sandbook-self-{target}"),
            serial: run.clone(),
            over: false,
            episode: None,
        });
        true
    }

    /// Takes note of a webhook message that was refused. Never waits.
    pub fn refused(&self, reason: Reason, now_ms: u64) {
        if !self.lost.add(reason, now_ms) {
            return;
        }
        let count = self.lost.counts().get(&reason).map_or(1, |count| count.count);
        let at = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let said = refused::sentence(reason, count, &at.unwrap_or(jiff::Timestamp::MAX).to_string());
        self.push(Message {
            title: format!("Sandbook refuses webhook messages as {}", reason.name()),
            text: format!("{said}. Those after it are counted for an hour.\nsandbook status"),
            severity: Severity::Warning,
            key: format!("sandbook-refused-{}", reason.name()),
            // Also over a restart: the same one within an hour of the clock is stored once.
            serial: (now_ms / TOLD_EVERY_MS).to_string(),
            over: false,
            episode: None,
        });
    }

    fn push(&self, message: Message) {
        let mut pending = lock(&self.pending);
        if pending.len() >= PENDING_MAX
            && let Some(dropped) = pending.pop_front()
        {
            tracing::error!(title = dropped.title, "not told, more messages wait than {PENDING_MAX}");
        }
        pending.push_back(message);
        self.more.notify_one();
    }

    /// Looks at the watchdog's age; tells when it falls silent and when it is heard again.
    fn look(&self, within: Duration) {
        let mut watchdog = self.lock_watchdog();
        let age = watchdog.since.elapsed();
        let silent = age > within;
        if silent == watchdog.silent {
            return;
        }
        watchdog.silent = silent;
        let before = watchdog.heard_at.is_some();
        drop(watchdog);
        let (title, text, severity) = match silent {
            true => (
                "Sandbook hears no alerts any more".to_owned(),
                format!(
                    "The alert that always fires (sandbook=\"watchdog\") was {} for {} s. Prometheus, Alertmanager or the way from there is broken; look at their pages, then at `sandbook status`.",
                    if before { "not heard" } else { "not heard since the start" },
                    age.as_secs()
                ),
                Severity::Critical,
            ),
            false => (
                "Sandbook hears alerts again".to_owned(),
                "The alert that always fires is heard.".to_owned(),
                Severity::Info,
            ),
        };
        tracing::warn!("{title}");
        let (key, serial) = ("sandbook-watchdog".to_owned(), crate::store::id::new("w"));
        self.push(Message { title, text, severity, key, serial, over: !silent, episode: None });
    }

    fn lock_watchdog(&self) -> MutexGuard<'_, Watchdog> {
        lock(&self.watchdog)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    episode: &str,
    over: bool,
) -> Message {
    let label = |name: &str| labels.get(name).map_or("", String::as_str);
    let name = label("alertname");
    let summary = annotations.get("summary").map_or(name, String::as_str);
    let mut text = annotations.get("description").cloned().unwrap_or_default();
    sandbook_core::error::truncate_at_char(&mut text, TEXT_BYTES_MAX);
    let severity = match (over, label("severity")) {
        (true, _) | (false, "info" | "none") => Severity::Info,
        (false, "critical" | "page") => Severity::Critical,
        (false, _) => Severity::Warning,
    };
    Message {
        title: if over { format!("resolved: {summary}") } else { summary.to_owned() },
        text: format!("{text}\nalert {name}, episode {episode}"),
        severity,
        key: format!("sandbook-self-{episode}"),
        serial: if over { "over".to_owned() } else { String::new() },
        over,
        episode: Some(episode.to_owned()),
    }
}

/// Tells the channel `[notify] self`, and watches the watchdog.
pub async fn follow(app: Arc<App>) {
    let about_us = app.runner.parts().about_us.clone();
    if app.config.notify.self_.is_some() {
        tokio::spawn(deliver(app.clone()));
    }
    let Some(within) = app.config.alertmanager.watchdog else { return };
    let within = Duration::from_millis(within.0);
    let (up, heard) = (&app.metrics.alerting.watchdog_up, &app.metrics.alerting.watchdog_heard);
    loop {
        about_us.look(within);
        let watchdog = about_us.watchdog();
        up.with_label_values::<&str>(&[]).set(i64::from(!watchdog.silent));
        let heard_at = watchdog.heard_at.unwrap_or(0) / 1_000;
        heard.with_label_values::<&str>(&[]).set(i64::try_from(heard_at).unwrap_or(i64::MAX));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Puts one message after another into the outbox; one that cannot be stored goes to the front again.
async fn deliver(app: Arc<App>) {
    let about_us = app.runner.parts().about_us.clone();
    let Some(channel) = &app.config.notify.self_ else { return };
    untold(&app, &about_us).await;
    loop {
        let next = lock(&about_us.pending).pop_front();
        let Some(message) = next else {
            about_us.more.notified().await;
            continue;
        };
        match app.store.put_notice(message.notice(channel, app.now_ms())).await {
            Ok(()) => app.outbox.call(),
            Err(error) => {
                tracing::error!(channel, "what is to be told cannot be stored, tried again: {error}");
                lock(&about_us.pending).push_front(message);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Message {
    fn notice(&self, channel: &str, now: u64) -> Notice {
        Notice {
            once: format!("{}-{}", self.key, self.serial),
            key: self.key.clone(),
            event: Happened::Us,
            severity: self.severity,
            run: String::new(),
            runbook: String::new(),
            target: String::new(),
            episode: self.episode.clone(),
            title: Some(self.title.clone()),
            sentence: self.text.clone(),
            channel: Some(channel.to_owned()),
            over: self.over,
            at: now,
        }
    }
}

/// Episodes about the engine whose beginning or end nobody was told of, because it ended itself before it could. What was
/// told is told once: the outbox knows it for longer than [`ENDED_WITHIN_MS`].
async fn untold(app: &App, about_us: &AboutUs) {
    let now = app.now_ms();
    let open = EpisodeFilter { open: true, ..EpisodeFilter::default() };
    let lately = EpisodeFilter { since: Some(now.saturating_sub(HEARD_WITHIN_MS)), ..EpisodeFilter::default() };
    let waits: Vec<String> = lock(&about_us.pending).iter().filter_map(|message| message.episode.clone()).collect();
    let mut seen = BTreeSet::new();
    for filter in [open, lately] {
        let episodes = match app.store.episodes(filter).await {
            Ok((episodes, _)) => episodes,
            Err(error) => {
                tracing::warn!("what was not told before the start cannot be read: {error}");
                continue;
            }
        };
        for episode in episodes.iter().filter(|episode| about(&episode.labels) == Some(About::Us)) {
            if waits.contains(&episode.id) || !seen.insert(episode.id.clone()) {
                continue;
            }
            let ended = episode.resolved_at.is_some_and(|at| at.saturating_add(ENDED_WITHIN_MS) > now);
            let ended = ended && !episode.superseded;
            let say = |over| message(&episode.labels, &episode.annotations, &episode.id, over);
            if episode.outcome.is_none() && (ended || episode.resolved_at.is_none()) {
                about_us.push(say(false));
            }
            if ended {
                about_us.push(say(true));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(value: &str, status: Status) -> Alert {
        let labels = [("alertname", "SandbookDown"), ("sandbook", value), ("severity", "critical")];
        let labels: BTreeMap<String, String> = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let annotations = BTreeMap::from([("summary".to_owned(), "it is down".to_owned())]);
        let starts_at = jiff::Timestamp::UNIX_EPOCH;
        let (ends_at, generator_url, fingerprint) = (None, String::new(), "f".to_owned());
        Alert { status, labels, annotations, starts_at, ends_at, generator_url, fingerprint }
    }

    fn accepted(kind: AcceptedKind) -> Accepted {
        Accepted { episode: "e1".to_owned(), kind, runs: Vec::new(), joined: Vec::new() }
    }

    #[test]
    fn a_firing_and_its_end_are_told_once_each_under_one_key() {
        let about_us = AboutUs::default();
        for (status, kind) in [
            (Status::Firing, AcceptedKind::New),
            (Status::Firing, AcceptedKind::Duplicate),
            (Status::Resolved, AcceptedKind::Resolved),
            (Status::Resolved, AcceptedKind::Duplicate),
            (Status::Resolved, AcceptedKind::ResolvedUnknown),
        ] {
            about_us.heard(&alert("self", status), &accepted(kind), "alertmanager", 1);
        }
        about_us.heard(&alert("other", Status::Firing), &accepted(AcceptedKind::New), "alertmanager", 1);
        let told: Vec<(String, Severity, String)> =
            lock(&about_us.pending).iter().map(|one| (one.title.clone(), one.severity, one.key.clone())).collect();
        let key = "sandbook-self-e1".to_owned();
        let wanted = [
            ("it is down".to_owned(), Severity::Critical, key.clone()),
            ("resolved: it is down".to_owned(), Severity::Info, key),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn what_waits_is_bounded() {
        let about_us = AboutUs::default();
        for _ in 0..PENDING_MAX + 10 {
            about_us.heard(&alert("self", Status::Firing), &accepted(AcceptedKind::New), "alertmanager", 1);
        }
        assert_eq!(lock(&about_us.pending).len(), PENDING_MAX);
    }

    #[test]
    fn the_watchdog_is_missed_once_and_found_once() {
        let about_us = AboutUs::default();
        let within = Duration::from_millis(30);
        about_us.look(Duration::from_secs(60));
        assert!(!about_us.watchdog().silent);
        std::thread::sleep(within * 2);
        about_us.look(within);
        about_us.look(within);
        assert!(about_us.watchdog().silent);
        // Fetched is not heard, and its end is not its firing.
        let firing = alert("watchdog", Status::Firing);
        about_us.heard(&firing, &accepted(AcceptedKind::Duplicate), catch_up::SOURCE, 5);
        about_us.heard(&alert("watchdog", Status::Resolved), &accepted(AcceptedKind::Resolved), "alertmanager", 5);
        about_us.look(within);
        assert!(about_us.watchdog().silent);
        about_us.heard(&firing, &accepted(AcceptedKind::Duplicate), "alertmanager", 6);
        about_us.look(Duration::from_secs(60));
        assert_eq!((about_us.watchdog().silent, about_us.watchdog().heard_at), (false, Some(6)));
        let titles: Vec<String> = lock(&about_us.pending).iter().map(|one| one.title.clone()).collect();
        assert_eq!(titles, ["Sandbook hears no alerts any more", "Sandbook hears alerts again"]);
    }
}
