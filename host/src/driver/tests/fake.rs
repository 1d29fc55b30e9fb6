//! A Docker daemon that says what a test wants, on a unix socket, one request a connection.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

pub(super) enum Reply {
    /// Status and JSON body.
    Json(u16, Value),
    /// A body that ends with the connection.
    Bytes(Vec<u8>),
    /// Exactly these bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Hang,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Reply {
        Reply::Json(200, body)
    }
    pub(super) fn status(status: u16, body: Value) -> Reply {
        Reply::Json(status, body)
    }
    pub(super) fn bytes(body: Vec<u8>) -> Reply {
        Reply::Bytes(body)
    }

    fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Reply::Json(status, Value::Null) => {
                Some(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").into_bytes())
            }
            Reply::Json(304, _) => Some(b"HTTP/1.1 304 X\r\n\r\n".to_vec()),
            Reply::Json(status, body) => {
                let body = body.to_string();
                let length = body.len();
                Some(format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes())
            }
            Reply::Bytes(body) => Some([b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".as_slice(), &body].concat()),
            Reply::Raw(bytes) => Some(bytes),
            Reply::Hang => None,
        }
    }
}

pub(super) struct Fake {
    pub(super) endpoint: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Fake {
    /// Serves `answer(method, path with query)`; `/version` says API 1.41.
    pub(super) fn start(answer: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Fake {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let log = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    let mut chunk = [0; 4096];
                    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                        match stream.read(&mut chunk).await {
                            Ok(0) | Err(_) => return,
                            Ok(count) => head.extend_from_slice(&chunk[..count]),
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let mut words = head.split(' ');
                    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                    log.lock().expect("unpoisoned").push(format!("{method} {path}"));
                    let reply = match path {
                        "/version" => Reply::ok(serde_json::json!({"ApiVersion": "1.41", "Version": "20.10.24"})),
                        path => answer(method, path),
                    };
                    match reply.into_bytes() {
                        Some(bytes) => drop(stream.write_all(&bytes).await),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Fake { endpoint: format!("unix://{}", path.display()), seen, task, _dir: dir }
    }

    /// `METHOD path` of every request so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}
