//! A receiver of messages at the wire: takes what is posted, or misbehaves as scripted, and keeps what came.
//!
//! It can begin to listen late, on a port that was named before: a channel that is down. Deliberately not here: what a
//! real Slack, pager or Grafana makes of it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A sender that says nothing for so long is given up.
const QUIET_MAX: Duration = Duration::from_secs(10);

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
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Listens on a free port.
    #[track_caller]
    pub fn open() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        Receiver::on(listener)
    }

    /// Listens on a port that nobody listened on until now.
    #[track_caller]
    pub fn open_at(port: u16) -> Receiver {
        Receiver::on(TcpListener::bind(("127.0.0.1", port)).expect("the port is still free"))
    }

    fn on(listener: TcpListener) -> Receiver {
        let port = listener.local_addr().expect("it is bound").port();
        let receiver = Receiver { port, state: Arc::default() };
        let ours = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ours = ours.clone();
                std::thread::spawn(move || ours.take(stream));
            }
        });
        receiver
    }

    /// Where to post to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
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

    fn take(&self, stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(QUIET_MAX)).ok()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let path = line.split_whitespace().nth(1)?.to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length =
            headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let (status, header) = {
            let mut state = self.state();
            state.posts.push(Post { path, headers, body, at: Instant::now() });
            state.script.pop_front().unwrap_or((200, ""))
        };
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let answer = format!("HTTP/1.1 {status} Scripted\r\n{header}content-length: 2\r\nconnection: close\r\n\r\nok");
        reader.get_mut().write_all(answer.as_bytes()).ok()
    }
}
