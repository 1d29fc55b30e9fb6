//! The wire to one Docker engine: an endpoint, its connections, the API version both sides speak.
//!
//! bollard gives the types and calls; the transport below it is ours because three things must be seen that its own
//! transports hide: whether the engine was reached at all (then nothing happened), whether it answered `304 not
//! modified`, and the bytes of a log before anyone believes the lengths in them. The version is put into the path here
//! too: bollard's URL joining drops it. Deliberately not here: what the calls mean, deadlines of effects, and how an
//! endpoint is reached ([`super::dial`]).

use std::io::ErrorKind;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bollard::errors::Error as Fault;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, body_full};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::Mutex;

use super::breaker::{Breaker, Call, PING, PING_EVERY, PING_WITHIN};
use super::dial::Dialer;
use super::endpoint::Endpoint;

/// How long connecting may take when the configuration does not say: a socket answers at once or is dead.
pub const CONNECT_MS_DEFAULT: u64 = 5_000;
/// How long a read may take when the configuration does not say.
pub const READ_MS_DEFAULT: u64 = 10_000;
/// bollard's own timeout counts to the response head; ours is tighter and per call, so this one only must not interfere.
const BOLLARD_TIMEOUT_SECONDS: u64 = 3_600;
/// Connections kept for the next read, and for how long: a run makes its reads within milliseconds.
const IDLE_MAX: usize = 16;
const IDLE_FOR: Duration = Duration::from_secs(5);
/// Bytes of a version answer at the most: a real one has 1 KiB.
const VERSION_BYTES_MAX: usize = 256 * 1024;
/// The oldest API that is spoken: of Docker 20.10, and of Podman 4.
const API_OLDEST: Version = (1, 41);
/// The page on engines with which there is no common version.
const TOO_OLD: &str = "SB0703";
/// Bytes of any other answer at the most: the disk usage of a host with thousands of images has a few.
const JSON_BYTES_MAX: usize = 32 << 20;

/// Major and minor.
type Version = (usize, usize);

/// The body of a request, whose name bollard keeps to itself.
trait HasBody {
    type Body;
}

impl<B> HasBody for Request<B> {
    type Body = B;
}

type BollardBody = <BollardRequest as HasBody>::Body;

/// What both sides speak, and what the engine calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Of the API, such as `1.41`: the lower of what engine and client know.
    pub api: String,
    /// Of the engine, such as `20.10.24`.
    pub engine: String,
}

/// One engine's endpoint. Cheap to clone; negotiates once and again after it could not be reached.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    connect_timeout: Duration,
    read_timeout: Duration,
    versions: Mutex<Option<Versions>>,
    idle: Arc<Idle>,
    host: String,
    breaker: Breaker,
}

/// Connections whose last answer was read to its end, for the next read. Changes never use one: a connection that the
/// engine closes at that very moment would leave a change whose answer is lost.
#[derive(Debug, Default)]
struct Idle(std::sync::Mutex<Vec<(SendRequest<BollardBody>, Instant)>>);

impl Idle {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(SendRequest<BollardBody>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<SendRequest<BollardBody>> {
        let mut idle = self.lock();
        idle.retain(|(sender, since)| since.elapsed() < IDLE_FOR && sender.is_ready());
        idle.pop().map(|(sender, _)| sender)
    }

    /// Keeps a connection once its answer was read.
    async fn keep(self: Arc<Idle>, mut sender: SendRequest<BollardBody>) {
        let ready = tokio::time::timeout(IDLE_FOR, sender.ready()).await;
        let mut idle = self.lock();
        if matches!(ready, Ok(Ok(()))) && idle.len() < IDLE_MAX {
            idle.push((sender, Instant::now()));
        }
    }
}

impl Wire {
    /// A wire to the engine of that host; connects to nothing yet.
    pub(super) fn new(host: String, endpoint: Endpoint, connect_timeout: Duration, read_timeout: Duration) -> Wire {
        Wire {
            inner: Arc::new(Inner {
                dialer: Dialer::new(endpoint, connect_timeout),
                connect_timeout,
                read_timeout,
                versions: Mutex::new(None),
                idle: Arc::default(),
                host,
                breaker: Breaker::default(),
            }),
        }
    }

    /// Whether its engine answers.
    pub(super) fn breaker(&self) -> &Breaker {
        &self.inner.breaker
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.inner.dialer.endpoint()
    }

    /// bollard on this wire. Never connects by itself.
    pub(super) fn docker(&self) -> Docker {
        let wire = self.clone();
        let transport = move |request: BollardRequest| {
            let wire = wire.clone();
            async move { wire.send(request).await }
        };
        Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            BOLLARD_TIMEOUT_SECONDS,
            API_DEFAULT_VERSION,
        )
        .expect("building a client on a custom transport does no I/O and cannot fail")
    }

    /// Versions, negotiated at the first call and after the engine was lost.
    pub(super) async fn versions(&self) -> Result<Versions, Fault> {
        let mut slot = self.inner.versions.lock().await;
        if let Some(versions) = slot.as_ref() {
            return Ok(versions.clone());
        }
        let negotiated = tokio::time::timeout(self.inner.read_timeout, self.negotiate())
            .await
            .map_err(|_| Fault::RequestTimeoutError)??;
        *slot = Some(negotiated.clone());
        Ok(negotiated)
    }

    /// Forgets the version: the engine behind the endpoint may be another one after a restart.
    pub(super) async fn forget(&self) {
        *self.inner.versions.lock().await = None;
    }

    async fn negotiate(&self) -> Result<Versions, Fault> {
        let response = self.exchange(get("/version")).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), VERSION_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Fault::from(std::io::Error::other(error.to_string())))?.to_bytes();
        if !status.is_success() {
            return Err(Fault::DockerResponseServerError {
                status_code: status.as_u16(),
                message: String::from_utf8_lossy(&body).into_owned(),
            });
        }
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        let text = |key: &str| answer.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let theirs = parse_version(&text("ApiVersion")).ok_or(Fault::APIVersionParseError {})?;
        let engine = text("Version");
        let api = agreed(theirs, parse_version(&text("MinAPIVersion"))).map_err(|why| {
            Fault::from(std::io::Error::new(ErrorKind::Unsupported, format!("docker {engine} {why}")))
        })?;
        Ok(Versions { api, engine })
    }

    /// A bollard request, versioned. `304` comes back as an error so that callers see it.
    async fn send(&self, request: BollardRequest) -> Result<Response<Incoming>, Fault> {
        let versions = self.versions().await?;
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::try_from(format!("/v{}{path}", versions.api))?;
        let response = self.exchange(Request::from_parts(parts, body)).await?;
        if response.status() == hyper::StatusCode::NOT_MODIFIED {
            return Err(Fault::DockerResponseServerError { status_code: 304, message: "already so".to_owned() });
        }
        Ok(response)
    }

    /// A GET whose body is read raw; errors of the engine become faults with its message.
    pub(super) async fn get(&self, path: &str) -> Result<Response<Incoming>, Fault> {
        let response = self.send(get(path)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = http_body_util::Limited::new(response.into_body(), VERSION_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let message = serde_json::from_slice::<serde_json::Value>(&body)
            .ok()
            .and_then(|value| value.get("message").and_then(|text| text.as_str()).map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        Err(Fault::DockerResponseServerError { status_code: status.as_u16(), message })
    }

    /// Any call with JSON on both sides, for what bollard's types would lose a field of. An empty answer is null; errors
    /// of the engine become faults with its message.
    pub(super) async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Fault> {
        let (bytes, kind) = match body {
            Some(body) => (Bytes::from(body.to_string()), "application/json"),
            None => (Bytes::new(), "text/plain"),
        };
        let request = Request::builder().method(method).uri(path).header(hyper::header::CONTENT_TYPE, kind);
        let response = self.send(request.body(body_full(bytes))?).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), JSON_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Fault::from(std::io::Error::other(error.to_string())))?.to_bytes();
        if status.is_success() {
            return if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&body)?) };
        }
        let message = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|value| value.get("message").and_then(Value::as_str).map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        Err(Fault::DockerResponseServerError { status_code: status.as_u16(), message })
    }

    /// One call, unless the breaker is open: then it fails at once, as one that was never sent.
    async fn exchange(&self, request: BollardRequest) -> Result<Response<Incoming>, Fault> {
        let inner = &self.inner;
        if let Some(silence) = inner.breaker.silence() {
            let every = PING_EVERY.as_secs();
            let message = format!(
                "docker host `{}` {silence}; nothing was sent, and nothing is until it answers a ping, tried every {every} s",
                inner.host
            );
            return Err(Fault::from(std::io::Error::new(ErrorKind::NotConnected, message)));
        }
        let read = request.method() == hyper::Method::GET;
        let call = Call::begin(read, inner.read_timeout, |why: &str| self.unanswered(why));
        let answer = self.transmit(request).await;
        match &answer {
            Ok(_) => {
                inner.breaker.answered();
                call.end();
            }
            Err(Fault::IOError { err }) if err.kind() == ErrorKind::NotConnected => call.fail(&err.to_string()),
            // A cut connection says neither that it is there nor that it is not.
            Err(_) => call.end(),
        }
        answer
    }

    fn unanswered(&self, why: &str) {
        if !self.inner.breaker.unanswered(why) {
            return;
        }
        tracing::warn!(host = self.inner.host, "docker host does not answer, calls fail at once from now on: {why}");
        // A call that is given up while the daemon ends has no runtime around it any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let inner = Arc::downgrade(&self.inner);
        runtime.spawn(async move {
            loop {
                let Some(inner) = inner.upgrade() else { return };
                let wire = Wire { inner };
                // Connecting has its own time, which a tunnel needs.
                let within = wire.inner.connect_timeout + PING_WITHIN;
                let ping = tokio::time::timeout(within, wire.transmit(get(PING))).await;
                if matches!(ping, Ok(Ok(answer)) if answer.status().is_success()) {
                    tracing::info!(host = wire.inner.host, "docker host answers again");
                    wire.forget().await;
                    wire.inner.breaker.answered();
                }
                if wire.inner.breaker.silence().is_none() {
                    return;
                }
                drop(wire);
                tokio::time::sleep(PING_EVERY).await;
            }
        });
    }

    async fn transmit(&self, mut request: BollardRequest) -> Result<Response<Incoming>, Fault> {
        let host = hyper::header::HeaderValue::from_static("docker");
        request.headers_mut().insert(hyper::header::HOST, host);
        let read = request.method() == hyper::Method::GET && !request.headers().contains_key(hyper::header::UPGRADE);
        if read && let Some(mut sender) = self.inner.idle.take() {
            let (parts, body) = request.into_parts();
            let again = Request::from_parts(parts.clone(), body_full(Bytes::new()));
            match sender.send_request(Request::from_parts(parts, body)).await {
                Ok(response) => return Ok(self.kept(sender, response)),
                // The engine closed it meanwhile: a read is simply asked again.
                Err(_) => request = again,
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await?;
        Ok(if read { self.kept(sender, response) } else { response })
    }

    fn kept(&self, sender: SendRequest<BollardBody>, response: Response<Incoming>) -> Response<Incoming> {
        tokio::spawn(self.inner.idle.clone().keep(sender));
        response
    }

    async fn connect(&self) -> Result<SendRequest<BollardBody>, Fault> {
        let dialer = &self.inner.dialer;
        let stream = match tokio::time::timeout(self.inner.connect_timeout, dialer.stream()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unreached(&error.to_string()).await),
            Err(_) => {
                let late = std::io::Error::other("no connection within the connect timeout");
                return Err(self.unreached(&dialer.explain(&late)).await);
            }
        };
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// The fault that says nothing was sent. See [`super::fault::Trouble`].
    async fn unreached(&self, why: &str) -> Fault {
        // Not while negotiating, which holds the lock: then there is nothing to forget.
        if let Ok(mut slot) = self.inner.versions.try_lock() {
            *slot = None;
        }
        let message = format!("cannot connect to {}: {why}", self.endpoint());
        Fault::from(std::io::Error::new(ErrorKind::NotConnected, message))
    }
}

fn get(path: &str) -> BollardRequest {
    Request::builder().uri(path).body(body_full(Bytes::new())).expect("paths here are built from checked parts")
}

/// The version that both sides speak: the newest one, so that an engine's own dropping of old ones comes late.
fn agreed(theirs: Version, their_oldest: Option<Version>) -> Result<String, String> {
    let newest = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    let text = |(major, minor): Version| format!("{major}.{minor}");
    if theirs < API_OLDEST {
        return Err(format!(
            "speaks version {} of its API, and at least {} is needed, which Docker 20.10 has: update Docker [{TOO_OLD}]",
            text(theirs),
            text(API_OLDEST)
        ));
    }
    match their_oldest {
        Some(oldest) if oldest > newest => Err(format!(
            "speaks no version of its API before {}, and this daemon none after {}: update Sandbook [{TOO_OLD}]",
            text(oldest),
            text(newest)
        )),
        Some(_) | None => Ok(text(theirs.min(newest))),
    }
}

fn parse_version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_sides_speak_is_taken() {
        let newest = format!("{}.{}", API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
        for (theirs, oldest, agrees_on) in [
            ((1, 41), Some((1, 12)), "1.41"),
            ((1, 43), None, "1.43"),
            ((1, 52), Some((1, 44)), "1.52"),
            ((1, 99), Some((1, 44)), newest.as_str()),
            ((2, 0), Some((1, 44)), newest.as_str()),
        ] {
            assert_eq!(agreed(theirs, oldest).as_deref(), Ok(agrees_on), "{theirs:?} {oldest:?}");
        }
    }

    #[test]
    fn without_a_common_version_it_is_said_who_is_too_old() {
        let old = agreed((1, 40), Some((1, 12))).expect_err("too old");
        assert_eq!(
            old,
            "speaks version 1.40 of its API, and at least 1.41 is needed, which Docker 20.10 has: update Docker [SB0703]"
        );
        let new = agreed((2, 3), Some((2, 0))).expect_err("too new");
        assert!(new.starts_with("speaks no version of its API before 2.0, and this daemon none after 1."), "{new}");
        assert!(new.ends_with(": update Sandbook [SB0703]"), "{new}");
    }
}
