//! Server-sent events: what happens, once it is durable.
//!
//! `record` has a run's next record, `state` its new state, `lagged` says that events were missed; the records missed
//! follow from disk, so a reader need not care. The stream of one run begins with what is recorded already, numbers its
//! records as `id` (a new connection goes on after `Last-Event-ID`) and ends with the run.
//!
//! `progress` alone is not on disk: how far an answer has come that is being waited for. Deliberately not here: anything
//! else that is not durable yet. Nobody takes for done what a crash could undo.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures::Stream;
use sandbook_core::journal::Record;
use sandbook_core::run::State as RunState;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::error::Result;
use super::extract::Path;
use super::guard::Limits;
use super::rates::StreamPlace;
use super::record::Viewer;
use super::runs::find;
use crate::auth::Caller;
use crate::state::App;
use crate::store::{Event, EventKind, Store};

/// A comment when nothing happens, so that proxies keep the connection and a dead one is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Runs whose records one stream follows at once; of further ones it may miss records when it lags.
const FOLLOWED_MAX: usize = 10_000;

/// One reader.
struct Reader {
    store: Arc<dyn Store>,
    events: Receiver<Event>,
    /// Only this run.
    only: Option<String>,
    /// Number of the last record sent, and the viewer, by run.
    followed: BTreeMap<String, Followed>,
    /// To be sent next.
    pending: VecDeque<Sent>,
    ended: bool,
    _place: StreamPlace,
}

#[derive(Default)]
struct Followed {
    last: Option<u64>,
    viewer: Viewer,
}

/// Everything that happens
#[utoipa::path(get, path = "/v1/events", tag = "runs",
    responses((status = 200, content_type = "text/event-stream", description = "events `record`, `state`, `progress` and `lagged`")))]
pub(super) async fn all(
    State(app): State<Arc<App>>,
    Extension(limits): Extension<Arc<Limits>>,
    caller: Caller,
) -> Result<Sse<impl Stream<Item = std::result::Result<Sent, Infallible>>>> {
    Ok(stream(Reader::new(&app, place(&limits, &caller)?)))
}

/// What happens in a run, from its beginning to its end
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs", params(("id" = String, Path, description = "id, its unique beginning, or `last`")),
    responses((status = 200, content_type = "text/event-stream", description = "events `record`, `state`, `progress` and `lagged`; ends with the run")))]
pub(super) async fn of_run(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(limits): Extension<Arc<Limits>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = std::result::Result<Sent, Infallible>>>> {
    // Listening begins before reading, so nothing falls between both.
    let mut reader = Reader::new(&app, place(&limits, &caller)?);
    let row = find(&app, &id).await?;
    reader.only = Some(row.id.clone());
    let seen =
        headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    reader.begin(&row.id, seen).await?;
    if row.state.is_final() {
        reader.state(&row.id, row.state);
    }
    Ok(stream(reader))
}

fn place(limits: &Limits, caller: &Caller) -> Result<StreamPlace> {
    limits.counted("streams", limits.rates.stream(caller))
}

fn stream(reader: Reader) -> Sse<impl Stream<Item = std::result::Result<Sent, Infallible>>> {
    let events = futures::stream::unfold(reader, |mut reader| async move {
        let sent = reader.next().await?;
        Some((Ok(sent), reader))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"))
}

impl Reader {
    fn new(app: &App, place: StreamPlace) -> Reader {
        Reader {
            store: app.store.clone(),
            events: app.store.subscribe(),
            only: None,
            followed: BTreeMap::new(),
            pending: VecDeque::new(),
            ended: false,
            _place: place,
        }
    }

    /// What is recorded already, after the record seen last. The viewer still reads all of it.
    async fn begin(&mut self, run: &str, seen: Option<u64>) -> Result<()> {
        for (seq, record) in self.store.records_after(run, None).await? {
            let sent = self.view(run, seq, &record);
            if seen.is_none_or(|seen| seq > seen) {
                self.pending.extend(sent);
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.pending.pop_front() {
                return Some(sent);
            }
            if self.ended {
                return None;
            }
            match self.events.recv().await {
                Ok(event) => self.take(event),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(missed)) => self.catch_up(missed).await,
            }
        }
    }

    fn take(&mut self, event: Event) {
        if self.only.as_ref().is_some_and(|only| *only != event.run) {
            return;
        }
        match event.kind {
            EventKind::Record(seq, record) => {
                let sent = self.view(&event.run, seq, &record);
                self.pending.extend(sent);
            }
            EventKind::State(state) => self.state(&event.run, state),
            EventKind::Progress(progress) => {
                self.pending.push_back(self::event("progress", &json!({"run": event.run, "progress": &*progress})));
            }
        }
    }

    /// A record that was not sent before.
    fn view(&mut self, run: &str, seq: u64, record: &Record) -> Option<Sent> {
        if self.followed.len() >= FOLLOWED_MAX && !self.followed.contains_key(run) {
            self.followed.pop_first();
        }
        let followed = self.followed.entry(run.to_owned()).or_default();
        if followed.last.is_some_and(|last| seq <= last) {
            return None;
        }
        followed.last = Some(seq);
        let view = followed.viewer.view(seq, record);
        let sent = event("record", &json!({"run": run, "record": view}));
        // Numbers of different runs say nothing about each other.
        Some(if self.only.is_some() { sent.id(seq.to_string()) } else { sent })
    }

    fn state(&mut self, run: &str, state: RunState) {
        self.pending.push_back(event("state", &json!({"run": run, "state": state.name()})));
        if state.is_final() {
            self.followed.remove(run);
            self.ended = self.only.is_some();
        }
    }

    /// Says so, and sends what was missed of every run that is open or was followed.
    async fn catch_up(&mut self, missed: u64) {
        self.pending.push_back(event("lagged", &json!({"missed": missed})));
        let mut runs: Vec<String> = match &self.only {
            Some(only) => vec![only.clone()],
            None => self.followed.keys().cloned().collect(),
        };
        if self.only.is_none() {
            let open = self.store.open_runs().await.unwrap_or_default();
            runs.extend(open.into_iter().map(|row| row.id));
            runs.sort();
            runs.dedup();
        }
        for run in runs {
            let after = self.followed.get(&run).and_then(|followed| followed.last);
            match self.store.records_after(&run, after).await {
                Ok(records) => {
                    for (seq, record) in records {
                        let sent = self.view(&run, seq, &record);
                        self.pending.extend(sent);
                    }
                }
                Err(error) => tracing::warn!(run = %run, "a reader of events cannot be caught up: {error}"),
            }
            if let Ok(Some(row)) = self.store.run(&run).await {
                self.state(&run, row.state);
            }
        }
    }
}

fn event(name: &str, data: &serde_json::Value) -> Sent {
    Sent::default().event(name).data(data.to_string())
}
