//! The daemon's API as a command sees it: where it is, what proves who asks, and answers or failures.
//!
//! The local token is only ever sent to this machine: a `--server` elsewhere needs a token given with it.
//! Deliberately not here: what answers mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::args::Global;
use super::exit::{Exit, Failure};
pub(crate) use crate::mcp::segment;

/// Where the daemon listens unless told otherwise.
pub(super) const SERVER: &str = "http://127.0.0.1:7070";
/// How long connecting may take: somebody waits at a terminal.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. An upload is compiled first, which may take the compiler's whole two minutes.
const ANSWER: Duration = Duration::from_secs(180);
/// Largest answer read, in bytes: a journal of the largest size with room for JSON.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A daemon and how to talk to it.
pub(super) struct Client {
    base: Url,
    token: Option<String>,
    http: reqwest::Client,
}

/// What the configuration file says about where the daemon is. Only these keys are read, so that a mistake elsewhere
/// in the file keeps nobody from stopping a daemon.
#[derive(Debug, Default, PartialEq)]
struct Place {
    listen: Option<String>,
    tls: bool,
    data_dir: Option<PathBuf>,
}

/// Whom the command believes, and what it shows of itself.
struct Trust {
    /// Only these; absent: the system's.
    roots: Option<Vec<reqwest::Certificate>>,
    identity: Option<reqwest::Identity>,
}

impl Trust {
    fn read(global: &Global) -> Result<Trust, Failure> {
        let pem = |file: &Path, option: &str| {
            std::fs::read(file).map_err(|error| {
                Failure::usage(format!("{} cannot be read: {error}", file.display()), format!("check {option}"))
            })
        };
        let unusable = |file: &Path, option: &str, error: &dyn std::fmt::Display| {
            Failure::usage(format!("{} cannot be used: {error}", file.display()), format!("{option} takes PEM"))
        };
        let roots = match &global.ca {
            None => None,
            Some(file) => {
                let bundle = reqwest::Certificate::from_pem_bundle(&pem(file, "--ca")?);
                let roots = bundle.map_err(|error| unusable(file, "--ca", &error))?;
                if roots.is_empty() {
                    return Err(unusable(file, "--ca", &"it holds no certificate"));
                }
                Some(roots)
            }
        };
        let identity = match (&global.client_cert, &global.client_key) {
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let message = "a certificate and its key belong together";
                return Err(Failure::usage(message, "give both --client-cert and --client-key"));
            }
            (Some(cert), Some(key)) => {
                let both = [pem(cert, "--client-cert")?, b"\n".to_vec(), pem(key, "--client-key")?].concat();
                let identity = reqwest::Identity::from_pem(&both);
                Some(identity.map_err(|error| unusable(cert, "--client-cert", &error))?)
            }
        };
        Ok(Trust { roots, identity })
    }
}

impl Client {
    /// The daemon of the command line, the environment, the configuration file, or this machine's own.
    pub(super) fn new(global: &Global) -> Result<Client, Failure> {
        let place = Place::read(global.config.as_deref())?;
        let (text, given) = match &global.server {
            Some(server) => (server.clone(), true),
            None => (place.server(), false),
        };
        let text = if text.contains("://") { text } else { format!("http://{text}") };
        let mut base = Url::parse(&text).map_err(|error| {
            Failure::usage(format!("server `{text}` is no url: {error}"), "write it like http://127.0.0.1:7070")
        })?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(Failure::usage(
                format!("server `{text}` is neither http nor https"),
                format!("write it like {SERVER}"),
            ));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let token = match &global.token {
            Some(token) => Some(token.trim().to_owned()),
            None if !given || is_local(&base) => local_token(&place),
            None => None,
        };
        // Somebody else may have installed one first; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trust = Trust::read(global)?;
        let builder = || {
            let builder = reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .user_agent(concat!("sandbook/", env!("CARGO_PKG_VERSION")));
            match &trust.identity {
                Some(identity) => builder.identity(identity.clone()),
                None => builder,
            }
        };
        let built = match trust.roots {
            Some(roots) => builder().tls_certs_only(roots).build(),
            // Without certificates on the system only https is lost, not the client.
            None => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
        };
        let http = built.map_err(|error| Failure::failed(format!("cannot set up an http client: {error}"), ""))?;
        Ok(Client { base, token, http })
    }

    /// Asks.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let bytes = self.bytes(self.request(Method::GET, path)?.query(query), path).await?;
        parse(&bytes, path)
    }

    /// Asks for something with a body, or to remove something.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut request = self.request(method, path)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let bytes = self.bytes(request, path).await?;
        if bytes.is_empty() { Ok(Value::Null) } else { parse(&bytes, path) }
    }

    /// Sends a file's bytes.
    pub(super) async fn upload(
        &self,
        path: &str,
        query: &[(&str, String)],
        content_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path)?.query(query).header("content-type", content_type).body(bytes);
        parse(&self.bytes(request, path).await?, path)
    }

    /// An answer that goes on for as long as its reader likes.
    pub(super) async fn stream(&self, path: &str, headers: &[(&str, String)]) -> Result<reqwest::Response, Failure> {
        let mut request = self.request(Method::GET, path)?;
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.streamed(request, path).await
    }

    /// The same to something with a body.
    pub(super) async fn send_stream(&self, path: &str, body: &Value) -> Result<reqwest::Response, Failure> {
        self.streamed(self.request(Method::POST, path)?.json(body), path).await
    }

    async fn streamed(&self, request: reqwest::RequestBuilder, path: &str) -> Result<reqwest::Response, Failure> {
        let request = request.timeout(Duration::from_secs(30 * 86_400));
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        Err(Failure::of_answer(status, path, &self.read(response).await?))
    }

    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let url = self
            .base
            .join(path.trim_start_matches('/'))
            .map_err(|error| Failure::usage(format!("`{path}` makes no url: {error}"), "check the name"))?;
        let request =
            self.http.request(method, url).timeout(ANSWER).header("accept", "application/json, text/event-stream");
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    async fn bytes(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Vec<u8>, Failure> {
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        let status = response.status();
        let body = self.read(response).await?;
        if status.is_success() { Ok(body) } else { Err(Failure::of_answer(status.as_u16(), path, &body)) }
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Failure::failed(
                    format!("the answer has more than {} MiB", ANSWER_BYTES_MAX >> 20),
                    "ask for less: --limit, --since",
                ));
            }
        }
        Ok(body)
    }

    /// What the daemon is called in messages.
    pub(super) fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    fn lost(&self, error: &reqwest::Error) -> Failure {
        let address = self.address();
        if error.is_builder() {
            return Failure::usage(
                "the token or address has characters http does not allow",
                "check --token and --server",
            );
        }
        if error.is_timeout() && !error.is_connect() {
            return Failure::new(
                Exit::Unreachable,
                format!("{address} took the request but did not answer in {} s", ANSWER.as_secs()),
                "it may still do what was asked: look with `sandbook status` before trying again",
            );
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause_text = cause.to_string();
        let fix = if cause_text.contains("UnknownIssuer") {
            "name the CA of its certificate with --ca or SANDBOOK_CA"
        } else if cause_text.contains("CertificateRequired") {
            "it wants a certificate of its clients: --client-cert and --client-key"
        } else if is_local(&self.base) {
            "start it with `sandbook serve`, or name another with --server or SANDBOOK_SERVER"
        } else {
            "check the address and that the daemon runs there"
        };
        Failure::new(Exit::Unreachable, format!("no daemon answers at {address}: {cause}"), fix)
    }
}

fn parse(bytes: &[u8], path: &str) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::failed(format!("the answer to {path} is not json: {error}"), "is the server really a sandbook daemon?")
    })
}

fn is_local(base: &Url) -> bool {
    match base.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The token the daemon wrote at its first start. Without one the daemon itself says what is missing.
fn local_token(place: &Place) -> Option<String> {
    let dir = place.data_dir.clone().unwrap_or_else(|| PathBuf::from("sandbook-data"));
    let text = std::fs::read_to_string(dir.join("admin-token")).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

impl Place {
    /// Of a file, and of the environment, which wins over it.
    fn read(config: Option<&Path>) -> Result<Place, Failure> {
        let mut place = match config {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Failure::failed(
                        format!("configuration {} cannot be read: {error}", path.display()),
                        "check --config",
                    )
                })?;
                Place::parse(&text, path.parent().unwrap_or(Path::new("")))
            }
            None => Place::default(),
        };
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(listen) = variable("SANDBOOK_LISTEN") {
            place.listen = Some(listen);
        }
        if let Some(dir) = variable("SANDBOOK_DATA_DIR") {
            place.data_dir = Some(dir.into());
        }
        Ok(place)
    }

    fn parse(text: &str, beside: &Path) -> Place {
        let table: toml::Table = text.parse().unwrap_or_default();
        let key = |name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        Place {
            listen: key("listen"),
            tls: table.get("tls").is_some_and(|tls| tls.get("cert_file").is_some()),
            data_dir: key("data_dir").map(|dir| beside.join(dir)),
        }
    }

    /// A daemon that listens on every address is reached on this machine's own.
    fn server(&self) -> String {
        let Some(listen) = &self.listen else { return SERVER.to_owned() };
        let scheme = if self.tls { "https" } else { "http" };
        let address = match listen.parse::<std::net::SocketAddr>() {
            Ok(mut address) if address.ip().is_unspecified() => {
                address.set_ip(if address.is_ipv4() {
                    std::net::Ipv4Addr::LOCALHOST.into()
                } else {
                    std::net::Ipv6Addr::LOCALHOST.into()
                });
                address.to_string()
            }
            Ok(_) | Err(_) => listen.clone(),
        };
        format!("{scheme}://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_where_the_daemon_is() {
        let place = Place::parse(
            "listen = \"0.0.0.0:8080\"\ndata_dir = \"./data\"\n[tls]\ncert_file = \"x\"",
            Path::new("/etc/s"),
        );
        assert_eq!(place.server(), "https://127.0.0.1:8080");
        assert_eq!(place.data_dir, Some(PathBuf::from("/etc/s/./data")));
        assert_eq!(Place::default().server(), SERVER);
        assert_eq!(Place::parse("broken [", Path::new("")), Place::default());
    }

    #[test]
    fn a_local_token_stays_on_this_machine() {
        for (url, local) in [
            ("http://127.0.0.1:1/", true),
            ("http://localhost/", true),
            ("http://[::1]/", true),
            ("https://ops.example/", false),
        ] {
            assert_eq!(is_local(&Url::parse(url).expect("a url")), local, "{url}");
        }
        let global = Global { server: Some("https://ops.example".into()), ..Global::default() };
        assert_eq!(Client::new(&global).expect("a client").token, None);
    }

    #[test]
    fn a_server_that_is_none_is_refused() {
        assert!(Client::new(&Global { server: Some("ftp://x".into()), ..Global::default() }).is_err());
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let client = Client::new(&Global { server: Some(address.to_string()), ..Global::default() }).expect("a client");
        let failure = client.get("/status", &[]).await.expect_err("nobody listens");
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.fix.contains("sandbook serve"), "{failure:?}");
    }
}
