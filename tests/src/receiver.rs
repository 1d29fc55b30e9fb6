//! A receiver of messages at the wire: takes what is posted, or misbehaves as scripted, and keeps what came.
//!
//! It can begin to listen late, on a port that was named before: a channel that is down. Deliberately not here: what a
//! real Slack, pager or Grafana makes of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use serde_json::Value;

use crate::wire::Wire;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Post {
    /// The path.
    pub path: String,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// When.
    pub at: Instant,
}

impl Post {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<(u16, &'static str)>,
    posts: Vec<Post>,
}

/// A server on loopback, until the test ends.
#[derive(Clone)]
pub struct Receiver {
    wire: Arc<Wire>,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Listens on a free port.
    #[track_caller]
    pub fn open() -> Receiver {
        Receiver::open_at(0)
    }

    /// Listens on a port that nobody listened on until now.
    #[track_caller]
    pub fn open_at(port: u16) -> Receiver {
        let state: Arc<Mutex<State>> = Arc::default();
        let ours = state.clone();
        let wire = Wire::listen(port, move |request| take(request, ours.clone()));
        Receiver { wire: Arc::new(wire), state }
    }

    /// Where to post to.
    pub fn url(&self) -> String {
        format!("http://{}/", self.wire.address)
    }

    /// Answers the next request with that status and that header line (or none); then with 200 again.
    pub fn answer(&self, status: u16, header: &'static str) -> &Receiver {
        self.state().script.push_back((status, header));
        self
    }

    /// What came, refused or not, in order.
    pub fn posts(&self) -> Vec<Post> {
        self.state().posts.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<String>, Infallible> {
    let path = request.uri().to_string();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let (status, header) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.posts.push(Post { path, headers, body, at: Instant::now() });
        state.script.pop_front().unwrap_or((200, ""))
    };
    let mut answer = Response::builder().status(status).header("connection", "close");
    if let Some((name, value)) = header.split_once(": ") {
        answer = answer.header(name, value);
    }
    Ok(answer.body("ok".to_owned()).expect("scripted as HTTP has it"))
}
