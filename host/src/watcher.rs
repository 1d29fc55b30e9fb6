//! Follows every Docker host: what its containers do, for triggers, and what they are, for metrics and `targets`.
//!
//! One task a host reads the engine's events. A broken connection is taken up again with back-off; events the engine
//! still remembers are delivered late rather than not at all, then the table is made new from a listing. Deliberately
//! not here: what an event leads to (matching), and any authority; this only looks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use sandbook_core::error::{Error, ErrorKind};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::driver::Hosts;
use crate::driver::docker::breaker::Silence;
use crate::driver::docker::{EngineEvent, Host};

mod exposition;
mod table;

pub use table::{CONTAINERS_MAX, Container, ContainerTable};

/// Events kept for a slow subscriber: a host that restarts everything sends a few hundred.
const EVENTS_KEPT: usize = 4_096;
/// First wait before connecting again.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait: an engine that comes back is seen within half a minute.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How often a silent connection is checked: half-open ones are found within two of these.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Inspections under way at once while the table is made.
const INSPECTIONS_AT_ONCE: usize = 8;
/// What triggers can hear; `health_status: …` too.
const TOLD: [&str; 7] = ["die", "oom", "start", "stop", "kill", "destroy", "restart"];

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostEvent {
    /// Configured name of the host.
    pub host: String,
    /// `die`, `oom`, `health_status: …`, `start`, `stop`, `kill`, `restart` or `destroy`.
    pub action: String,
    /// Container name.
    pub name: String,
    /// Container id.
    pub id: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// Of `die`.
    pub exit_code: Option<i32>,
    /// By the engine's clock.
    pub at: jiff::Timestamp,
}

/// How a host is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// Whether its events are being followed.
    pub up: bool,
    /// Where it listens.
    pub endpoint: String,
    /// Negotiated API version; absent before the first connection.
    pub api_version: Option<String>,
    /// The engine's own version; absent before the first connection.
    pub engine_version: Option<String>,
    /// Why it is or was last down.
    pub last_error: Option<String>,
    /// Since when it is up or down.
    pub since: jiff::Timestamp,
}

/// Follows hosts until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    watched: BTreeMap<String, Arc<Watched>>,
    events: broadcast::Sender<HostEvent>,
    followers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Watched {
    host: Arc<Host>,
    table: Mutex<ContainerTable>,
    connection: Mutex<Connection>,
    events: broadcast::Sender<HostEvent>,
}

impl Watcher {
    /// Starts one task a host. Needs a tokio runtime.
    pub fn start(hosts: &Hosts) -> Watcher {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let watched: BTreeMap<String, Arc<Watched>> = hosts
            .iter()
            .map(|(name, host)| {
                let connection = Connection {
                    up: false,
                    endpoint: host.endpoint(),
                    api_version: None,
                    engine_version: None,
                    last_error: None,
                    since: jiff::Timestamp::now(),
                };
                let watched = Watched {
                    host: host.clone(),
                    table: Mutex::new(ContainerTable::default()),
                    connection: Mutex::new(connection),
                    events: events.clone(),
                };
                (name.clone(), Arc::new(watched))
            })
            .collect();
        let followers = watched.values().map(|watched| tokio::spawn(follow(watched.clone()))).collect();
        Watcher { watched, events, followers }
    }

    /// Events from now on. A subscriber that falls 4,096 behind learns how many it lost.
    pub fn subscribe(&self) -> broadcast::Receiver<HostEvent> {
        self.events.subscribe()
    }

    /// Every known container, by host and name. At most [`CONTAINERS_MAX`] a host.
    pub fn snapshot(&self) -> Vec<Container> {
        let mut all: Vec<Container> = Vec::new();
        for watched in self.watched.values() {
            all.extend(watched.table().iter().cloned());
        }
        all.sort_by(|a, b| (&a.host, &a.name).cmp(&(&b.host, &b.name)));
        all
    }

    /// What runs can be about: as [`Self::snapshot`], without containers that are being removed.
    pub fn targets(&self) -> Vec<Container> {
        use sandbook_core::effect::docker::Status;
        let mut all = self.snapshot();
        all.retain(|container| !matches!(container.state.status, Status::Removing | Status::Dead));
        all
    }

    /// How each host is doing, by name.
    pub fn connections(&self) -> BTreeMap<String, Connection> {
        self.watched.iter().map(|(name, watched)| (name.clone(), watched.connection().clone())).collect()
    }

    /// Hosts that do not answer, while calls to them fail at once.
    pub fn silent(&self) -> BTreeMap<String, Silence> {
        self.watched.iter().filter_map(|(name, watched)| Some((name.clone(), watched.host.silence()?))).collect()
    }

    /// Appends every metric in the Prometheus text format.
    pub fn write_metrics(&self, out: &mut String) {
        let hosts: Vec<exposition::HostLine<'_>> = self
            .watched
            .iter()
            .map(|(name, watched)| exposition::HostLine {
                name,
                up: watched.connection().up,
                silent: watched.host.silence().is_some(),
                dropped: watched.table().dropped(),
            })
            .collect();
        exposition::write(out, &hosts, &self.snapshot());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.followers.iter().for_each(JoinHandle::abort);
    }
}

impl Watched {
    fn table(&self) -> std::sync::MutexGuard<'_, ContainerTable> {
        self.table.lock().expect("nothing panics while holding it")
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().expect("nothing panics while holding it")
    }

    fn set(&self, up: bool, error: Option<String>) {
        let mut connection = self.connection();
        if connection.up != up {
            connection.since = jiff::Timestamp::now();
        }
        connection.up = up;
        if error.is_some() {
            connection.last_error = error;
        }
    }

    /// Reads until the connection breaks. `last` is the time of the newest event seen, moved on as they come.
    async fn session(&self, last: &mut Option<jiff::Timestamp>, came_up: &mut bool) -> Error {
        let versions = match self.host.versions().await {
            Ok(versions) => versions,
            Err(error) => return error,
        };
        {
            let mut connection = self.connection();
            connection.api_version = Some(versions.api);
            connection.engine_version = Some(versions.engine);
        }
        // The stream is opened before the listing: what happens in between is in one of them.
        let mut events = match self.host.follow_events(*last).await {
            Ok(events) => Box::pin(events),
            Err(error) => return error,
        };
        let from = *last;
        if let Err(error) = self.resync().await {
            return error;
        }
        self.set(true, None);
        *came_up = true;
        tracing::info!(host = self.host.name(), "following docker events");
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) if from.is_some_and(|from| event.at <= from) => {}
                    Some(Ok(event)) => {
                        *last = Some(last.map_or(event.at, |last| last.max(event.at)));
                        self.apply(event).await;
                    }
                    Some(Err(error)) => return error,
                    None => return Error::failed("docker ended the stream of events"),
                },
                _ = ping.tick() => if let Err(error) = self.look_around().await {
                    return error;
                },
            }
        }
    }

    /// Whether the engine answers, and what changed without an event.
    async fn look_around(&self) -> Result<(), Error> {
        self.host.ping().await?;
        let ids = self.table().to_look_at();
        for id in ids {
            self.refresh(&id).await?;
        }
        Ok(())
    }

    async fn resync(&self) -> Result<(), Error> {
        let mut ids = self.host.ids().await?;
        {
            let mut table = self.table();
            table.keep_only(&ids);
            // Those already shown stay; a full host does not change its choice at every connection.
            ids.sort_by_key(|id| !table.shows(id));
        }
        let mut looks = futures::stream::iter(ids.clone().into_iter().take(CONTAINERS_MAX))
            .map(|id| async move { self.refresh(&id).await })
            .buffer_unordered(INSPECTIONS_AT_ONCE);
        while let Some(look) = looks.next().await {
            look?;
        }
        drop(looks);
        self.table().drop_rest(&ids[ids.len().min(CONTAINERS_MAX)..]);
        Ok(())
    }

    /// Looks at one container again. One that is gone is no error.
    async fn refresh(&self, id: &str) -> Result<(), Error> {
        match self.host.look(id).await {
            Ok((_, details)) => {
                self.table().put(details);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.table().remove(id);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn apply(&self, event: EngineEvent) {
        if event.is_noise() {
            return;
        }
        self.table().note(&event);
        if event.action == "destroy" {
            self.table().remove(&event.id);
        } else if let Err(error) = self.refresh(&event.id).await {
            tracing::warn!(host = self.host.name(), container = event.name, %error, "cannot look at a container");
        }
        if TOLD.contains(&event.action.as_str()) || event.action.starts_with("health_status") {
            // Nobody listening is fine.
            let _ = self.events.send(HostEvent {
                host: self.host.name().to_owned(),
                action: event.action,
                name: event.name,
                id: event.id,
                labels: event.labels,
                exit_code: event.exit_code,
                at: event.at,
            });
        }
    }
}

async fn follow(watched: Arc<Watched>) {
    let mut last = None;
    let mut backoff = BACKOFF_MIN;
    loop {
        let mut came_up = false;
        let error = watched.session(&mut last, &mut came_up).await;
        watched.host.forget_version().await;
        watched.set(false, Some(error.message.clone()));
        if came_up {
            backoff = BACKOFF_MIN;
        }
        tracing::warn!(host = watched.host.name(), %error, wait_ms = backoff.as_millis(), "docker host is not followed");
        // A host that answers again is followed at once, however long it was silent.
        let answers = async {
            match watched.host.silence() {
                Some(_) => watched.host.until_answering().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = answers => {}
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}
