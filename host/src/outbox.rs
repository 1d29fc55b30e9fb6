//! What people are told by the engine: routed, grouped, paced, and tried again until it is taken or given up.
//!
//! A notice is in the store no later than the fact it tells of; here it becomes a message for each channel that hears of
//! it, and each channel sends its own, one after another. Nothing here is ever in the way of a run, and no channel in the
//! way of another. A crash between a receiver's yes and our note of it sends a message twice, under the same key.
//!
//! What is not taken is tried again with growing pauses, also after restarts, until `[notify] give_up`; then it is dropped,
//! counted and said. Deliberately not here: the look of a channel, and who writes notices.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::clock::Clock;
use crate::config::{Config, NotifyRoute};
use crate::driver::grafana::Grafana;
use crate::driver::notify::{ChannelKind, Fault, Notifier, Retry, Said};
use crate::metrics::Metrics;
use crate::store::{self, Delivery, Happened, MessageRow, NewMessage, Notice, Store};

mod batch;
mod words;

use batch::{Pace, Pick};

/// The channel of annotations; no operator's channel can have that name.
pub const GRAFANA: &str = "[grafana]";
/// How often is looked, when nobody calls.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two counts of what waits: counting reads all that is kept.
const SHOWN_EVERY: u32 = 5;
/// Notices routed at once.
const ROUTED_MAX: u32 = 100;
/// The first pause after a failure, in milliseconds; each further one is twice as long.
const BACKOFF_MS: u64 = 2_000;
/// The longest: a receiver that is back is noticed within five minutes.
const BACKOFF_MS_MAX: u64 = 300_000;
/// Doublings until then.
const DOUBLINGS_MAX: u32 = 8;
/// What a minute is, for paces, in milliseconds.
const MINUTE_MS: u64 = 60_000;
/// The same.
const MINUTE: Duration = Duration::from_millis(MINUTE_MS);

/// Sends what waits.
pub struct Outbox {
    store: Arc<dyn Store>,
    notifier: Option<Notifier>,
    grafana: Option<Grafana>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    paces: BTreeMap<String, Pace>,
    routes: Vec<NotifyRoute>,
    escalation: Option<String>,
    give_up_ms: u64,
    home: String,
    /// A notice was stored.
    more: Notify,
    /// A message was queued.
    queued: Notify,
}

impl Outbox {
    /// As configured; without a notifier (a simulated world) notices are only forgotten.
    pub fn new(
        config: &Config,
        store: Arc<dyn Store>,
        notifier: Option<Notifier>,
        grafana: Option<Grafana>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Outbox> {
        let mut paces = BTreeMap::new();
        if let Some(notifier) = &notifier {
            for (name, channel) in &config.notify.channels {
                let groups = notifier.kind(name) != Some(ChannelKind::Pagerduty);
                let (group_wait_ms, per_minute) = (channel.group_wait.0, channel.per_minute);
                paces.insert(name.clone(), Pace { group_wait_ms, per_minute, groups });
            }
        }
        if grafana.is_some() {
            paces.insert(GRAFANA.to_owned(), Pace { group_wait_ms: 0, per_minute: 600, groups: false });
        }
        paces.keys().for_each(|channel| metrics.notify.known(channel));
        Arc::new(Outbox {
            store,
            notifier,
            grafana,
            metrics,
            clock,
            paces,
            routes: config.notify.routes.clone(),
            escalation: config.notify.escalation_channel().map(str::to_owned),
            give_up_ms: config.notify.give_up.0,
            home: config.public_url(),
            more: Notify::new(),
            queued: Notify::new(),
        })
    }

    /// Says that a notice was stored.
    pub fn call(&self) {
        self.more.notify_one();
    }

    /// Sends a message that says that it is a test, and answers with what the receiver said. `None`: there is no such channel.
    pub async fn test(&self, channel: &str, by: &str) -> Option<Result<String, String>> {
        let notifier = self.notifier.as_ref()?;
        notifier.kind(channel)?;
        let now = self.now();
        let said = Said {
            title: "a test of this channel".to_owned(),
            text: format!("{by} tries whether messages arrive. Nothing happened, nothing is to be done."),
            dedup_key: format!("sandbook-test-{now}"),
            kind: "test".to_owned(),
            url: format!("{}/", self.home),
            command: "sandbook status".to_owned(),
            count: 1,
            at: now,
            ..Said::default()
        };
        Some(notifier.attempt(channel, &said).await.map_err(|fault| fault.why))
    }

    /// Which channels there are, in words.
    pub fn listed(&self) -> String {
        self.notifier.as_ref().map_or_else(|| "there are none in a simulated world".to_owned(), Notifier::listed)
    }

    /// Channels that are configured, annotations included, each with how it is spoken to.
    pub fn channels_known(&self) -> Vec<(&str, &'static str)> {
        let kind = |name: &str| self.notifier.as_ref().and_then(|notifier| notifier.kind(name));
        let word = |name: &str| kind(name).map_or("grafana", ChannelKind::name);
        self.paces.keys().map(|name| (name.as_str(), word(name))).collect()
    }

    /// Routes and sends for ever.
    pub async fn follow(self: Arc<Self>, mut notices: Receiver<Notice>) {
        for channel in self.paces.keys().cloned() {
            tokio::spawn(self.clone().serve(channel));
        }
        let (mut listening, mut looks) = (true, 0_u32);
        loop {
            let shows = looks.is_multiple_of(SHOWN_EVERY);
            looks = looks.wrapping_add(1);
            if let Err(error) = self.look(shows).await {
                tracing::warn!("what people are to be told cannot be read, tried again: {error}");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            tokio::select! {
                heard = notices.recv(), if listening => listening = !matches!(heard, Err(RecvError::Closed)),
                () = self.more.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Routes what is not routed, ends incidents that are over, and shows what waits.
    async fn look(&self, shows: bool) -> store::Result<()> {
        loop {
            let notices = self.store.notices(ROUTED_MAX).await?;
            if notices.is_empty() {
                break;
            }
            for (id, notice) in notices {
                let messages = self.messages(&notice).await?;
                let crowded = self.store.route_notice(id, messages, self.now()).await?;
                for (channel, dropped) in crowded {
                    tracing::error!(channel, dropped, "messages are dropped: more wait than {}", store::WAITING_MAX);
                    self.metrics.notify.count(&channel, "dropped", dropped);
                    let details = serde_json::json!({"messages": dropped, "why": "more wait than may"});
                    self.store.audit("engine", "drop-messages", &channel, details, self.now()).await?;
                }
            }
            self.queued.notify_waiters();
        }
        if self.notifier.is_some() {
            if self.store.resolve_incidents(self.now()).await? > 0 {
                self.queued.notify_waiters();
            }
            if shows {
                self.show().await?;
            }
        }
        Ok(())
    }

    async fn show(&self) -> store::Result<()> {
        let counts = self.store.message_counts().await?;
        self.metrics.notify.waits(&counts, self.now());
        for gone in counts.iter().filter(|one| one.waiting > 0 && !self.paces.contains_key(&one.channel)) {
            let rows = self.store.waiting_messages(&gone.channel, store::WAITING_MAX).await?;
            self.dropped(&gone.channel, &rows, "the channel is not configured any more").await?;
        }
        Ok(())
    }

    /// The messages a notice becomes.
    async fn messages(&self, notice: &Notice) -> store::Result<Vec<NewMessage>> {
        if self.notifier.is_none() {
            return Ok(Vec::new());
        }
        let labels = match &notice.episode {
            Some(episode) => self.store.episode(episode).await?.map(|row| row.labels).unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let channels = self.channels(notice, &labels);
        let annotates = self.grafana.is_some() && matches!(notice.event, Happened::Acted | Happened::NeedsAttention);
        if channels.is_empty() && !annotates {
            return Ok(Vec::new());
        }
        let records = match notice.run.as_str() {
            "" => Vec::new(),
            run => self.store.records_after(run, None).await?,
        };
        let mut said = serde_json::to_value(words::said(notice, labels, &records, &self.home)).unwrap_or_default();
        said["episode"] = notice.episode.clone().into();
        let message = |channel: String| NewMessage {
            once: format!("{channel}|{}", notice.once),
            opens: ends(notice).filter(|_| self.is_pager(&channel)),
            channel,
            event: notice.event,
            message: said.clone(),
            at: notice.at,
        };
        let mut messages: Vec<NewMessage> = channels.into_iter().map(message).collect();
        if annotates {
            let changes = words::changes(notice, &records, &self.home).into_iter();
            messages.extend(changes.map(|change| NewMessage {
                once: format!("{GRAFANA}|{}|{}", notice.run, change.slot),
                channel: GRAFANA.to_owned(),
                event: Happened::Annotation,
                message: change.annotation,
                at: change.at.max(notice.at),
                opens: None,
            }));
        }
        Ok(messages)
    }

    /// Who hears of it.
    fn channels(&self, notice: &Notice, labels: &BTreeMap<String, String>) -> Vec<String> {
        if let Some(channel) = &notice.channel {
            return vec![channel.clone()];
        }
        let routed = self.routes.iter().filter(|route| hears(route, notice, labels)).map(|route| route.channel.clone());
        let mut channels: Vec<String> = routed.collect();
        if notice.event == Happened::Escalated {
            channels.extend(self.escalation.clone());
        }
        channels.sort_unstable();
        channels.dedup();
        channels
    }

    /// Whether each of its messages opens an incident.
    fn is_pager(&self, channel: &str) -> bool {
        self.notifier.as_ref().and_then(|notifier| notifier.kind(channel)) == Some(ChannelKind::Pagerduty)
    }

    /// Sends the messages of one channel, one after another.
    async fn serve(self: Arc<Self>, channel: String) {
        let Some(pace) = self.paces.get(&channel).copied() else { return };
        let mut lane = self.lane(&channel).await;
        loop {
            let called = self.queued.notified();
            match self.step(&channel, pace, &mut lane).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(channel, "its messages cannot be read, tried again: {error}"),
            }
            tokio::select! {
                () = called => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// How a channel went in the last minute, also before a restart.
    async fn lane(&self, channel: &str) -> Lane {
        let now = self.now();
        match self.store.sent_times(channel, now.saturating_sub(MINUTE_MS)).await {
            Ok(times) => Lane::after(&times, now),
            Err(error) => {
                tracing::warn!(channel, "when it took messages cannot be read, its pace begins anew: {error}");
                Lane::default()
            }
        }
    }

    /// Sends what is due. False: nothing was.
    async fn step(&self, channel: &str, pace: Pace, lane: &mut Lane) -> store::Result<bool> {
        let now = self.now();
        if !lane.has_room(pace, now) {
            return Ok(false);
        }
        let rows = self.store.waiting_messages(channel, store::WAITING_MAX).await?;
        match batch::pick(&rows, pace, now, self.give_up_ms) {
            Pick::Nothing => Ok(false),
            Pick::Expired(ids) => {
                let old: Vec<MessageRow> = rows.into_iter().filter(|row| ids.contains(&row.id)).collect();
                self.dropped(channel, &old, "not taken for as long as [notify] give_up says").await?;
                Ok(true)
            }
            Pick::Send(rows) => {
                let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
                if ids.len() > 1 && rows.iter().any(|row| row.batch.is_none()) {
                    self.store.batch_messages(ids.clone()).await?;
                }
                lane.sent.push_back(Instant::now());
                match self.attempt(channel, &rows).await {
                    Ok(_) => {
                        (lane.failures, lane.not_before) = (0, 0);
                        self.sent(channel, &rows).await?;
                    }
                    Err(fault) if fault.retry == Retry::Never => self.dropped(channel, &rows, &fault.why).await?,
                    Err(fault) => self.failed(channel, &rows, fault, lane).await?,
                }
                Ok(true)
            }
        }
    }

    async fn attempt(&self, channel: &str, rows: &[MessageRow]) -> Result<String, Fault> {
        let nobody = || Fault { why: "nobody sends it".to_owned(), retry: Retry::Later, after: None };
        if channel == GRAFANA {
            let (grafana, row) = self.grafana.as_ref().zip(rows.first()).ok_or_else(nobody)?;
            return grafana.annotate(&row.message).await;
        }
        let notifier = self.notifier.as_ref().ok_or_else(nobody)?;
        let all = rows.iter().filter_map(|row| serde_json::from_value::<Said>(row.message.clone()).ok()).collect();
        let first = rows.first().map_or(0, |row| row.id);
        notifier.attempt(channel, &batch::together(all, first, &self.home)).await
    }

    async fn sent(&self, channel: &str, rows: &[MessageRow]) -> store::Result<()> {
        let ids = rows.iter().map(|row| row.id).collect();
        self.store.settle_messages(ids, Delivery::Sent, self.now()).await?;
        self.metrics.notify.count(channel, "sent", 1);
        self.metrics.notify.count(channel, "grouped", rows.len().saturating_sub(1) as u64);
        for row in rows {
            self.metrics.notifications.with_label_values(&[row.event.name(), "ok"]).inc();
            let episode = row.message["episode"].as_str().filter(|_| row.event == Happened::Us);
            if let Some(episode) = episode {
                self.store.set_episode_outcome(episode, &format!("told channel {channel}")).await?;
            }
        }
        Ok(())
    }

    async fn failed(&self, channel: &str, rows: &[MessageRow], fault: Fault, lane: &mut Lane) -> store::Result<()> {
        let now = self.now();
        let asked = fault.after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        lane.failures = lane.failures.saturating_add(1);
        lane.not_before = now.saturating_add(backoff_ms(lane.failures).max(asked));
        let tried = rows.iter().map(|row| row.attempts).max().unwrap_or(0).saturating_add(1);
        let due = now.saturating_add(backoff_ms(tried).max(asked));
        tracing::error!(
            channel,
            tried,
            "a message is not taken, tried again in {} s: {}",
            (due - now) / 1_000,
            fault.why
        );
        self.metrics.notify.count(channel, "failed", 1);
        self.count_failed(rows);
        let ids = rows.iter().map(|row| row.id).collect();
        self.store.settle_messages(ids, Delivery::Again { due, why: fault.why }, now).await
    }

    /// Gives messages up, visibly.
    async fn dropped(&self, channel: &str, rows: &[MessageRow], why: &str) -> store::Result<()> {
        let now = self.now();
        let ids = rows.iter().map(|row| row.id).collect();
        self.store.settle_messages(ids, Delivery::Dropped(why.to_owned()), now).await?;
        self.metrics.notify.count(channel, "dropped", rows.len() as u64);
        self.count_failed(rows);
        tracing::error!(channel, messages = rows.len(), "dropped: {why}");
        let details = serde_json::json!({"messages": rows.len(), "why": why});
        self.store.audit("engine", "drop-messages", channel, details, now).await.map(drop)
    }

    fn count_failed(&self, rows: &[MessageRow]) {
        for row in rows {
            self.metrics.notifications.with_label_values(&[row.event.name(), "failed"]).inc();
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().unix_ms
    }
}

/// How a channel went lately. A restart knows when it took messages, and what waits has its own times; it forgets attempts
/// that failed.
#[derive(Default)]
struct Lane {
    sent: VecDeque<Instant>,
    /// In a row.
    failures: u32,
    not_before: u64,
}

impl Lane {
    /// Of a channel that took messages at these times, in milliseconds since 1970, earliest first. What was in the future (a
    /// clock was set back) was just now.
    fn after(times: &[u64], now: u64) -> Lane {
        let at = |ms: &u64| {
            let age = Duration::from_millis(now.saturating_sub(*ms));
            let here = Instant::now();
            here.checked_sub(age).unwrap_or(here)
        };
        Lane { sent: times.iter().map(at).collect(), ..Lane::default() }
    }

    /// Whether one more may go out now.
    fn has_room(&mut self, pace: Pace, now: u64) -> bool {
        while self.sent.front().is_some_and(|at| at.elapsed() > MINUTE) {
            self.sent.pop_front();
        }
        now >= self.not_before && self.sent.len() < pace.per_minute as usize
    }
}

/// What ends the incident that a notice opens at a pager: the end of its alert, or the re-arming of its brake. What else
/// waits for a person stays.
fn ends(notice: &Notice) -> Option<String> {
    match notice.event {
        Happened::Acted
        | Happened::Refused
        | Happened::Limited
        | Happened::Escalated
        | Happened::Contradicted
        | Happened::Approval
        | Happened::Failed => notice.episode.clone(),
        Happened::Tripped => notice.key.strip_prefix("sandbook-").map(str::to_owned),
        Happened::Demoted
        | Happened::NeedsAttention
        | Happened::Us
        | Happened::Resolved
        | Happened::Digest
        | Happened::Annotation => None,
    }
}

fn backoff_ms(tried: u32) -> u64 {
    (BACKOFF_MS << tried.saturating_sub(1).min(DOUBLINGS_MAX)).min(BACKOFF_MS_MAX)
}

/// Whether a route hears of a notice.
fn hears(route: &NotifyRoute, notice: &Notice, labels: &BTreeMap<String, String>) -> bool {
    let kind = route.on.is_empty() || route.on.iter().any(|on| on.name() == notice.event.name());
    let loud = notice.severity >= route.severity.severity();
    kind && loud && route.matchers.iter().all(|matcher| matcher.matches(labels))
}

#[cfg(test)]
mod tests;
