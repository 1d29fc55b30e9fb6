//! A Docker engine at the wire: a unix socket that answers like one, misbehaves as scripted, and counts every request.
//!
//! For what a real engine does not do on request (hang, cut, nonsense) and for benches, where its own speed must not be
//! measured. It keeps just enough state that a restart is seen by the next inspect. Its faults are at the connection and
//! not in a client library, so the daemon's whole Docker path is exercised. Deliberately not here: Docker's behaviour in
//! full; [`crate::docker`] has the real thing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::http::runtime;

/// What the fake says it is: the API of the Docker in Debian 12.
const API_VERSION: &str = "1.41";
/// Between the first half of an answer and the cut: what is written together with a cut would not be sent at all.
const HALF_FIRST: Duration = Duration::from_millis(20);

/// How a request is answered instead of properly.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Properly, but that much later.
    Delay(Duration),
    /// The connection is cut without a word, the request done or not.
    Cut {
        /// Whether the change happens all the same.
        done: bool,
    },
    /// Nothing, for ever; nothing is done.
    Hang,
    /// It is done, and nothing is said, for ever.
    Mute,
    /// It is done, and the answer ends in its middle: half of the bytes its length promises.
    Half,
    /// The same in chunks, without the last one.
    Torn,
    /// That status, with Docker's `{"message": …}`.
    Status(u16, &'static str),
    /// 200 and a body that is not what Docker says there.
    Nonsense(&'static str),
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET`, `POST`…
    pub method: String,
    /// Without query and version prefix: `/containers/web-1/restart`.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// When.
    pub at: Instant,
}

/// A scripted answer for matching requests.
#[derive(Debug)]
struct Rule {
    method: &'static str,
    suffix: String,
    fault: Fault,
    times: usize,
}

#[derive(Debug)]
struct Model {
    name: String,
    id: String,
    running: bool,
    health: String,
    exit_code: i64,
    starts: u64,
    changes: usize,
    log: String,
}

#[derive(Debug, Default)]
struct State {
    containers: Vec<Model>,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
}

type Shared = Arc<Mutex<State>>;
type Body = BoxBody<Bytes, std::io::Error>;

/// A fake engine on its own socket; gone when dropped.
#[derive(Debug)]
pub struct FakeDocker {
    state: Shared,
    socket: PathBuf,
    server: JoinHandle<()>,
    _folder: Option<TempDir>,
}

impl FakeDocker {
    /// A fake in a folder of its own.
    #[track_caller]
    pub fn start() -> FakeDocker {
        let folder = TempDir::with_prefix("sandbook-fake-docker-").expect("a temporary folder");
        let mut fake = FakeDocker::start_at(&folder.path().join("docker.sock"));
        fake._folder = Some(folder);
        fake
    }

    /// A fake on that socket.
    #[track_caller]
    pub fn start_at(socket: &Path) -> FakeDocker {
        let state = Shared::default();
        let _inside = runtime().enter();
        let listener = UnixListener::bind(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        let server = runtime().spawn(serve(listener, state.clone()));
        FakeDocker { state, socket: socket.to_owned(), server, _folder: None }
    }

    /// Its address as Sandbook's configuration has it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Adds a running container; `health` as Docker says it, or `none`. Returns its id.
    pub fn container(&self, name: &str, health: &str) -> String {
        self.add(name, health, true)
    }

    /// Adds a container that has ended. Returns its id.
    pub fn ended_container(&self, name: &str) -> String {
        self.add(name, "none", false)
    }

    fn add(&self, name: &str, health: &str, running: bool) -> String {
        let id = format!("{:0>64}", self.state().containers.len() + 1);
        let (name, health, log) = (name.to_owned(), health.to_owned(), "started\n".to_owned());
        let model = Model { name, id: id.clone(), running, health, exit_code: 0, starts: 1, changes: 0, log };
        self.state().containers.push(model);
        id
    }

    /// What a container says in its log, all of it.
    #[track_caller]
    pub fn logs(&self, name: &str, text: &str) {
        let mut state = self.state();
        let model = state.containers.iter_mut().find(|model| model.is(name)).expect("it was added");
        let stamped = |line: &str| format!("2026-01-01T00:00:00.000000000Z {line}\n");
        model.log = text.lines().map(stamped).collect();
    }

    /// How often a container was really changed, whatever was asked and answered.
    #[track_caller]
    pub fn changes(&self, name: &str) -> usize {
        self.state().containers.iter().find(|model| model.is(name)).expect("it was added").changes
    }

    /// Answers the next `times` requests of that method whose path ends so with a fault.
    pub fn script(&self, method: &'static str, suffix: &str, fault: Fault, times: usize) {
        self.state().rules.push(Rule { method, suffix: suffix.to_owned(), fault, times });
    }

    /// Answers properly from now on, whatever was scripted.
    pub fn recover(&self) {
        self.state().rules.clear();
    }

    /// Requests of that method whose path ends so.
    pub fn seen(&self, method: &str, suffix: &str) -> Vec<Seen> {
        let state = self.state();
        state.seen.iter().filter(|seen| seen.method == method && seen.path.ends_with(suffix)).cloned().collect()
    }

    /// Forgets what was seen.
    pub fn forget(&self) {
        self.state().seen.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        self.server.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: UnixListener, state: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, state.clone()));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An error ends the connection, which is how a cut is made.
async fn answer(request: Request<Incoming>, state: Shared) -> Result<Response<Body>, std::io::Error> {
    let (method, query) = (request.method().to_string(), request.uri().query().unwrap_or_default().to_owned());
    let path = without_version(request.uri().path()).to_owned();
    let _ = request.into_body().collect().await;
    let query_of = query.clone();
    lock(&state).seen.push(Seen { method: method.clone(), path: path.clone(), query, at: Instant::now() });
    // No container here has labels, so a list of those with some is empty.
    let labelled = path == "/containers/json" && query_of.contains("label");
    match fault(&state, &method, &path) {
        None => {}
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Mute) => {
            let _ = lock(&state).answer(&method, &path);
            std::future::pending().await
        }
        Some(fault @ (Fault::Half | Fault::Torn)) => {
            let answer = lock(&state).answer(&method, &path);
            return Ok(broken(answer, matches!(fault, Fault::Half)).await);
        }
        Some(Fault::Status(status, message)) => return Ok(reply(status, &json!({"message": message}))),
        Some(Fault::Nonsense(body)) => return Ok(plain(200, body.to_owned())),
        Some(Fault::Cut { done }) => {
            if done {
                let _ = lock(&state).answer(&method, &path);
            }
            return Err(std::io::Error::other("cut as scripted"));
        }
    }
    if labelled {
        return Ok(reply(200, &json!([])));
    }
    if path == "/events" {
        return Ok(Response::new(Pending.boxed()));
    }
    Ok(lock(&state).answer(&method, &path))
}

/// An answer that ends in its middle; one without a body is given one.
async fn broken(answer: Response<Body>, sized: bool) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let whole = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let whole = if whole.is_empty() { Bytes::from_static(b"{\"message\": \"done\"}") } else { whole };
    if parts.status == 204 || parts.status == 304 {
        parts.status = hyper::StatusCode::OK;
    }
    let length = sized.then_some(whole.len() as u64);
    let (half, sent) = (Some(whole.slice(..whole.len() / 2)), Box::pin(tokio::time::sleep(HALF_FIRST)));
    let breaking = Breaking { half, length, sent };
    Response::from_parts(parts, breaking.boxed())
}

/// The next scripted fault for that request.
fn fault(state: &Shared, method: &str, path: &str) -> Option<Fault> {
    let mut state = lock(state);
    let rule =
        state.rules.iter_mut().find(|rule| rule.times > 0 && rule.method == method && path.ends_with(&rule.suffix))?;
    rule.times -= 1;
    Some(rule.fault.clone())
}

fn without_version(path: &str) -> &str {
    match path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|slash| &rest[slash..])) {
        Some(rest) => rest,
        None => path,
    }
}

impl State {
    fn answer(&mut self, method: &str, path: &str) -> Response<Body> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (method, parts.as_slice()) {
            (_, ["_ping"]) => plain(200, "OK".to_owned()),
            ("GET", ["version"]) => reply(
                200,
                &json!({"Version": "20.10.24", "ApiVersion": API_VERSION, "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}),
            ),
            ("GET", ["info"]) => reply(
                200,
                &json!({"ID": "FAKE", "Name": "fake", "ServerVersion": "20.10.24", "Containers": self.containers.len()}),
            ),
            ("GET", ["containers", "json"]) => reply(200, &self.containers.iter().map(Model::listed).collect()),
            (_, ["exec", id, rest]) => match self.containers.iter_mut().find(|model| exec_id(&model.name) == *id) {
                Some(model) => model.answer_exec(rest),
                None => reply(404, &json!({"message": format!("No such exec instance: {id}")})),
            },
            (_, ["containers", reference, rest @ ..]) => {
                match self.containers.iter_mut().find(|model| model.is(reference)) {
                    Some(model) => model.answer(method, rest),
                    None => reply(404, &json!({"message": format!("No such container: {reference}")})),
                }
            }
            (_, _) => reply(404, &json!({"message": "page not found"})),
        }
    }
}

/// One program a container.
fn exec_id(name: &str) -> String {
    format!("{name:f>64}")
}

impl Model {
    fn is(&self, reference: &str) -> bool {
        self.name == reference || self.id.starts_with(reference)
    }

    fn answer(&mut self, method: &str, rest: &[&str]) -> Response<Body> {
        match (method, rest) {
            ("GET", ["json"]) => reply(200, &self.inspected()),
            ("GET", ["logs"]) => framed(&self.log),
            ("POST", ["exec"]) => reply(201, &json!({"Id": exec_id(&self.name)})),
            ("POST", ["start"]) if self.running => plain(304, String::new()),
            ("POST", ["stop"]) if !self.running => plain(304, String::new()),
            ("POST", ["kill"]) if !self.running => {
                reply(409, &json!({"message": format!("Container {} is not running", self.name)}))
            }
            ("POST", ["start" | "restart"]) => {
                self.starts += 1;
                self.changes += 1;
                self.running = true;
                if self.health == "unhealthy" {
                    "healthy".clone_into(&mut self.health);
                }
                plain(204, String::new())
            }
            ("POST", ["stop" | "kill"]) => {
                self.changes += 1;
                self.running = false;
                plain(204, String::new())
            }
            (_, _) => reply(404, &json!({"message": "page not found"})),
        }
    }

    /// A program that was started has ended well at once.
    fn answer_exec(&mut self, rest: &str) -> Response<Body> {
        match rest {
            "start" => {
                self.changes += 1;
                plain(200, String::new())
            }
            "json" => {
                let code = (self.changes > 0).then_some(0);
                reply(200, &json!({"ID": exec_id(&self.name), "Running": false, "ExitCode": code}))
            }
            _ => reply(404, &json!({"message": "page not found"})),
        }
    }

    fn status(&self) -> &'static str {
        if self.running { "running" } else { "exited" }
    }

    fn listed(&self) -> Value {
        json!({
            "Id": self.id, "Names": [format!("/{}", self.name)], "Image": "fake:latest", "ImageID": "sha256:0",
            "Command": "sh", "Created": 1_767_225_600, "Ports": [], "Labels": {}, "State": self.status(),
            "Status": format!("Up ({})", self.health), "HostConfig": {"NetworkMode": "none"},
            "NetworkSettings": {"Networks": {}}, "Mounts": [],
        })
    }

    fn inspected(&self) -> Value {
        let health = (self.health != "none").then(|| json!({"Status": self.health, "FailingStreak": 0, "Log": []}));
        json!({
            "Id": self.id, "Name": format!("/{}", self.name), "Created": "2026-01-01T00:00:00Z", "Path": "sh", "Args": [],
            "Image": "sha256:0", "RestartCount": 0, "Platform": "linux", "Driver": "overlay2",
            "State": {
                "Status": self.status(), "Running": self.running, "Paused": false, "Restarting": false,
                "OOMKilled": false, "Dead": false, "Pid": 1, "ExitCode": self.exit_code, "Error": "",
                "StartedAt": format!("2026-01-01T00:00:00.{:09}Z", self.starts), "FinishedAt": "0001-01-01T00:00:00Z",
                "Health": health,
            },
            "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
            "Config": {"Hostname": "fake", "Image": "fake:latest", "Labels": {}, "Env": [], "Cmd": ["sh"]},
            "Mounts": [], "NetworkSettings": {"Networks": {}},
        })
    }
}

fn reply(status: u16, value: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.header("api-version", API_VERSION).body(whole(value.to_string())).expect("plain parts")
}

fn plain(status: u16, body: String) -> Response<Body> {
    Response::builder().status(status).body(whole(body)).expect("plain parts")
}

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

/// A log, as Docker frames those of containers without a terminal.
fn framed(text: &str) -> Response<Body> {
    let mut frame = vec![1, 0, 0, 0];
    frame.extend_from_slice(&u32::try_from(text.len()).expect("a short log").to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    Response::new(whole(frame))
}

type Frame = std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>>;

/// A stream of events in which nothing happens.
struct Pending;

impl hyper::body::Body for Pending {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Frame {
        std::task::Poll::Pending
    }
}

/// The first half of a body, then, once that was sent, the end of the connection.
struct Breaking {
    half: Option<Bytes>,
    /// What the whole would have; absent: sent in chunks.
    length: Option<u64>,
    sent: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl hyper::body::Body for Breaking {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Frame {
        if let Some(half) = self.half.take() {
            return std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(half))));
        }
        let cut = || Some(Err(std::io::Error::other("cut as scripted")));
        self.sent.as_mut().poll(context).map(|()| cut())
    }
    fn size_hint(&self) -> hyper::body::SizeHint {
        self.length.map_or_else(hyper::body::SizeHint::default, hyper::body::SizeHint::with_exact)
    }
}
