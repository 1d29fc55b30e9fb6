//! A mail server at the wire: takes mail in a real conversation, with STARTTLS and a login, or misbehaves as scripted.
//!
//! Deliberately not here: delivering mail, and any command a client of ours does not send.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certs::Pair;

/// A client that says nothing for so long is given up.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// What the server does with the next mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Answers its recipient with that line, such as `451 later`.
    Answer(&'static str),
    /// Says nothing any more once the recipient was named.
    Hang,
}

/// One mail that was taken.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    /// From whom.
    pub from: String,
    /// To whom.
    pub to: Vec<String>,
    /// Headers and parts as they came.
    pub data: String,
    /// `user:password` of the login, or nothing.
    pub login: String,
    /// It came under TLS.
    pub tls: bool,
}

#[derive(Default)]
struct State {
    moods: VecDeque<Mood>,
    mails: Vec<Mail>,
    /// Mails that were begun.
    begun: usize,
}

/// A server on loopback, until the test ends.
#[derive(Clone)]
pub struct FakeSmtp {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl FakeSmtp {
    /// Listens; with a certificate it offers STARTTLS and takes no mail without it.
    #[track_caller]
    pub fn open(certificate: Option<&Pair>) -> FakeSmtp {
        let tls = certificate.map(|pair| Arc::new(config(pair)));
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let server = FakeSmtp { port, state: Arc::default() };
        let ours = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (ours, tls) = (ours.clone(), tls.clone());
                // A client that goes away ends its conversation, nothing else.
                std::thread::spawn(move || ours.converse(stream, tls));
            }
        });
        server
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Does that with the next mail; then it takes mail again.
    pub fn mood(&self, mood: Mood) -> &FakeSmtp {
        self.state().moods.push_back(mood);
        self
    }

    /// What was taken, in order.
    pub fn mails(&self) -> Vec<Mail> {
        self.state().mails.clone()
    }

    /// How many were begun, taken or not.
    pub fn begun(&self) -> usize {
        self.state().begun
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converse(&self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> std::io::Result<()> {
        stream.set_read_timeout(Some(QUIET_MAX))?;
        let mut plain = BufReader::new(stream);
        say(&mut plain, "220 fake ready")?;
        if !self.talk(&mut plain, tls.is_some(), false)? {
            return Ok(());
        }
        let Some(tls) = tls else { return Ok(()) };
        let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
        let mut secure = BufReader::new(StreamOwned::new(connection, plain.into_inner()));
        self.talk(&mut secure, false, true).map(drop)
    }

    /// One conversation. True: the client wants TLS from here on.
    fn talk<S: Read + Write>(&self, stream: &mut BufReader<S>, offers_tls: bool, tls: bool) -> std::io::Result<bool> {
        let mut mail = Mail { tls, ..Mail::default() };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(false);
            }
            let line = line.trim();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" if offers_tls => say(stream, "250-fake\r\n250 STARTTLS")?,
                "EHLO" => say(stream, "250-fake\r\n250 AUTH PLAIN")?,
                "STARTTLS" => {
                    say(stream, "220 go ahead")?;
                    return Ok(true);
                }
                _ if offers_tls => say(stream, "530 STARTTLS first")?,
                "AUTH" => {
                    let told = STANDARD.decode(line.rsplit(' ').next().unwrap_or_default()).unwrap_or_default();
                    let told = String::from_utf8_lossy(&told).into_owned();
                    mail.login = told.trim_start_matches('\0').replace('\0', ":");
                    let word = if mail.login.ends_with(":right") { "235 welcome" } else { "535 wrong password" };
                    say(stream, word)?;
                }
                "MAIL" => {
                    mail.from = address(line);
                    say(stream, "250 ok")?;
                }
                "RCPT" => {
                    self.state().begun += 1;
                    let mood = self.state().moods.pop_front();
                    match mood {
                        Some(Mood::Answer(answer)) => say(stream, answer)?,
                        Some(Mood::Hang) => std::thread::sleep(QUIET_MAX),
                        None => {
                            mail.to.push(address(line));
                            say(stream, "250 ok")?;
                        }
                    }
                }
                "DATA" => {
                    say(stream, "354 go ahead")?;
                    mail.data = data(stream)?;
                    self.state().mails.push(mail.clone());
                    say(stream, "250 taken")?;
                }
                "QUIT" => {
                    say(stream, "221 bye")?;
                    return Ok(false);
                }
                _ => say(stream, "250 ok")?,
            }
        }
    }
}

fn config(pair: &Pair) -> ServerConfig {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&pair.cert).expect("a certificate").collect();
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_no_client_auth();
    builder.with_single_cert(chain.expect("PEM"), key).expect("they belong together")
}

fn say<S: Read + Write>(stream: &mut BufReader<S>, line: &str) -> std::io::Result<()> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
    stream.get_mut().flush()
}

fn data<S: Read>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(&line);
    }
}

fn address(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
