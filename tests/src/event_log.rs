//! What a Docker engine says of its containers, heard from its stream of events as it happens.
//!
//! The engine itself remembers only its last 256 events, health checks among them, so counting afterwards would count too
//! few. Deliberately not here: what an event means, and hearing again after the stream has ended; whoever counts is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::docker::percent;
use crate::http::runtime;

#[derive(Debug, Default)]
struct Heard {
    counts: BTreeMap<(String, String), usize>,
    ended: bool,
}

/// Counts events of some kinds from the moment it was made.
#[derive(Debug)]
pub struct EventLog {
    heard: Arc<Mutex<Heard>>,
    listener: JoinHandle<()>,
}

impl EventLog {
    /// Listens for those actions (`restart`, `start`, `die`) of any container; returns once the engine has answered.
    #[track_caller]
    pub fn listen(socket: &Path, actions: &[&str]) -> EventLog {
        let filters = percent(&json!({"type": ["container"], "event": actions}).to_string());
        let heard = Arc::<Mutex<Heard>>::default();
        let mut body = runtime().block_on(async {
            let stream = UnixStream::connect(socket).await.expect("dockerd listens");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("dockerd speaks HTTP");
            tokio::spawn(connection);
            let request = hyper::Request::get(format!("/events?filters={filters}")).header("host", "docker");
            let request = request.body(Empty::<Bytes>::new()).expect("plain parts");
            let answer = sender.send_request(request).await.expect("dockerd answers");
            assert_eq!(answer.status(), 200, "dockerd has a stream of events");
            answer.into_body()
        });
        let hears = heard.clone();
        let listener = runtime().spawn(async move {
            let mut rest = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    count(&hears, &line);
                }
            }
            lock(&hears).ended = true;
        });
        EventLog { heard, listener }
    }

    /// How often that happened to that container.
    #[track_caller]
    pub fn count(&self, container: &str, action: &str) -> usize {
        let heard = lock(&self.heard);
        assert!(!heard.ended, "dockerd ended its stream of events, so not all of them were heard");
        heard.counts.get(&(container.to_owned(), action.to_owned())).copied().unwrap_or(0)
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(heard: &Mutex<Heard>, line: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    *lock(heard).counts.entry((text("/Actor/Attributes/name"), text("/Action"))).or_default() += 1;
}
