//! Small TCP fixtures: a way that can be opened later, and a listener that keeps what is posted to it.
//!
//! Deliberately not here: HTTP beyond what a notification needs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A peer that says nothing for so long is given up.
const QUIET_MAX: Duration = Duration::from_secs(30);
/// Bytes of one message at the most.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Listens on a port and passes everything on to another, until the test ends.
#[track_caller]
pub fn open_way(from: u16, to: u16) {
    let listener = TcpListener::bind(("127.0.0.1", from)).expect("the port was free");
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            for (mut source, mut sink) in [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))]
                .into_iter()
                .filter_map(|(source, sink)| Some((source.ok()?, sink.ok()?)))
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut source, &mut sink);
                    let _ = sink.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
}

/// A channel's other side: answers 200 to everything and keeps the bodies.
#[derive(Debug, Clone)]
pub struct Inbox {
    port: u16,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Inbox {
    /// Listens on a free port until the test ends.
    #[track_caller]
    pub fn open() -> Inbox {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let inbox = Inbox { port, bodies: Arc::default() };
        let bodies = inbox.bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(body) = take(stream) {
                    bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                }
            }
        });
        inbox
    }

    /// Where to post to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// What was posted, in order.
    pub fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request's body, answered.
fn take(mut stream: TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(QUIET_MAX)).ok()?;
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        let Some(head) = head else { continue };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())?;
        if length > MESSAGE_BYTES_MAX {
            return None;
        }
        if bytes.len() >= head + length {
            break (head, length);
        }
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
    Some(String::from_utf8_lossy(&bytes[head..head + length]).into_owned())
}
