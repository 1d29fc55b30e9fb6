//! A small HTTP/1.1 client over TCP and unix sockets, blocking, one connection a request.
//!
//! Small on purpose: tests send what no decent client would (broken bodies, lying lengths, nothing at all), and want to
//! see exactly what comes back. Deliberately not here: redirects, TLS, retries.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::runtime::Runtime;

/// Every answer comes within this, or the request failed: far above what any request takes but an upload.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where to send to.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// Loopback TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Sends requests to one endpoint, with one token.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
    authorization: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Client {
    /// A client for a loopback port.
    pub fn tcp(port: u16) -> Client {
        Client { endpoint: Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], port))), authorization: None }
    }

    /// A client for a unix socket.
    pub fn unix(path: &Path) -> Client {
        Client { endpoint: Endpoint::Unix(path.to_owned()), authorization: None }
    }

    /// The same client with a bearer token.
    pub fn with_token(&self, token: &str) -> Client {
        Client { authorization: Some(format!("Bearer {}", token.trim())), ..self.clone() }
    }

    /// The same client with another `Authorization` header, or none.
    pub fn with_authorization(&self, header: Option<&str>) -> Client {
        Client { authorization: header.map(str::to_owned), ..self.clone() }
    }

    /// Sends a request with any headers and body; fails only when no answer came.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Answer> {
        self.send_within(DEADLINE, method, path, headers, body)
    }

    /// [`Client::send`] with another deadline.
    pub fn send_within(
        &self,
        deadline: Duration,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).context("not a request")?;
        let work = async { tokio::time::timeout(deadline, exchange(&self.endpoint, request)).await };
        match runtime().block_on(work) {
            Ok(answer) => answer.with_context(|| format!("{method} {path}")),
            Err(_) => bail!("{method} {path}: no answer within {deadline:?}"),
        }
    }

    /// `GET`, or a panic that says why there was no answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Sends JSON, or a panic that says why there was no answer.
    #[track_caller]
    pub fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// `POST` of JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body)
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("answer {} is not JSON ({error}): {}", self.status, self.text()),
        }
    }

    /// Itself, if the status is that one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "wanted {status}, got {}: {}", self.status, self.text());
        self
    }

    /// Code, message and fix of an error of the API; panics when it is not one.
    #[track_caller]
    pub fn error(&self) -> (String, String, String) {
        let body = self.json();
        let text = |field: &str| body["error"][field].as_str().unwrap_or_default().to_owned();
        let (code, message, fix) = (text("code"), text("message"), text("fix"));
        assert!(code.starts_with("SB"), "not an error of the API: {} {body}", self.status);
        assert!(!message.is_empty(), "error {code} says nothing: {body}");
        (code, message, fix)
    }
}

async fn exchange(endpoint: &Endpoint, request: hyper::Request<Full<Bytes>>) -> Result<Answer> {
    match endpoint {
        Endpoint::Tcp(address) => {
            let stream = tokio::net::TcpStream::connect(address).await.context("connecting")?;
            stream.set_nodelay(true)?;
            exchange_on(stream, request).await
        }
        Endpoint::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            exchange_on(stream.with_context(|| format!("connecting to {}", path.display()))?, request).await
        }
    }
}

async fn exchange_on<S>(stream: S, request: hyper::Request<Full<Bytes>>) -> Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.context("waiting for the answer")?;
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = response.into_body().collect().await.context("reading the answer")?.to_bytes().to_vec();
    connection.abort();
    Ok(Answer { status, headers, body })
}

/// One runtime for every client: tests themselves are plain blocking functions.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("a runtime can be built")
    })
}
