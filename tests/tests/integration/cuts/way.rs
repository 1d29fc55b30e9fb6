//! A way between the daemon and its engine or Alertmanager, which holds back a call or its answer.
//!
//! Deliberately not here: what is held, and when the daemon is gone; see [`super`].

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sandbook_tests::docker::Dockerd;

/// Something to connect through: a socket or a port.
trait Stream: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> Self;
    fn end(&self);
}

impl Stream for UnixStream {
    fn twin(&self) -> Self {
        self.try_clone().expect("a descriptor is free")
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Stream for TcpStream {
    fn twin(&self) -> Self {
        self.try_clone().expect("a descriptor is free")
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// A call that is held: all its words are in the request.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    words: Vec<String>,
    /// The other side hears it, and only its answer is held.
    heard: bool,
}

/// The way between, shared by its connections.
#[derive(Debug, Default)]
pub(super) struct Way {
    holds: Mutex<Vec<Hold>>,
    /// Held calls that the other side has not answered yet.
    under_way: AtomicUsize,
    /// Requests that went through, each whole.
    passed: Mutex<Vec<String>>,
}

impl Way {
    pub(super) fn hold(&self, words: &[String], heard: bool) {
        self.holds.lock().expect("unpoisoned").push(Hold { words: words.to_vec(), heard });
    }

    /// How often a request with these words went through.
    pub(super) fn heard(&self, words: &[&str]) -> usize {
        let passed = self.passed.lock().expect("unpoisoned");
        passed.iter().filter(|request| words.iter().all(|word| request.contains(word))).count()
    }

    /// Calls that are not held yet, and how many are that the other side has not answered.
    pub(super) fn left(&self) -> (Vec<Hold>, usize) {
        (self.holds.lock().expect("unpoisoned").clone(), self.under_way.load(Ordering::SeqCst))
    }

    /// One request and its answer. Connections are not used twice.
    fn pass<S: Stream>(&self, mut client: S, connect: impl Fn() -> std::io::Result<S>, close: bool) {
        let Some((head, body)) = request(&mut client) else { return };
        let text = format!("{head}\r\n\r\n{}", String::from_utf8_lossy(&body));
        let hold = {
            let mut holds = self.holds.lock().expect("unpoisoned");
            let fits = |hold: &Hold| hold.words.iter().all(|word| text.contains(word.as_str()));
            let found = if text.starts_with("GET ") { None } else { holds.iter().position(fits) };
            let hold = found.map(|index| holds.remove(index));
            self.under_way.fetch_add(usize::from(hold.as_ref().is_some_and(|hold| hold.heard)), Ordering::SeqCst);
            hold
        };
        if hold.as_ref().is_some_and(|hold| !hold.heard) {
            let _ = client.read(&mut [0; 1]);
            return;
        }
        let Ok(mut server) = connect() else { return };
        let close = if close { "\r\nConnection: close" } else { "" };
        if server.write_all(format!("{head}{close}\r\n\r\n").as_bytes()).and_then(|()| server.write_all(&body)).is_err()
        {
            return;
        }
        self.passed.lock().expect("unpoisoned").push(text);
        if hold.is_some() {
            // It was done and says so; nobody hears.
            let _ = server.read(&mut [0; 1024]);
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            let _ = client.read(&mut [0; 1]);
            return;
        }
        let (mut up, mut to) = (client.twin(), server.twin());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut up, &mut to);
            to.end();
        });
        let _ = std::io::copy(&mut server, &mut client);
        client.end();
    }
}

/// Head without its last line breaks, and body.
fn request(client: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = client.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            return Some((head, bytes.split_off(end + 4)));
        }
    }
}

/// A socket before the engine.
pub(super) fn before_docker(engine: &Dockerd, folder: &Path) -> (Arc<Way>, String) {
    let (socket, engine) = (folder.join("way.sock"), engine.socket().to_owned());
    let listener = UnixListener::bind(&socket).expect("a free path");
    let way = Arc::new(Way::default());
    let shared = way.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (way, engine) = (shared.clone(), engine.clone());
            std::thread::spawn(move || way.pass(client, || UnixStream::connect(&engine), false));
        }
    });
    (way, format!("unix://{}", socket.display()))
}

/// A port before Alertmanager.
pub(super) fn before_alertmanager(port: u16) -> (Arc<Way>, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let own = listener.local_addr().expect("it is bound").port();
    let way = Arc::new(Way::default());
    let shared = way.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let way = shared.clone();
            std::thread::spawn(move || way.pass(client, || TcpStream::connect(("127.0.0.1", port)), true));
        }
    });
    (way, own)
}
