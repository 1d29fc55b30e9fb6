//! Where an engine listens, as the configuration writes it: `unix:///path`, `tcp://host:port`, `ssh://user@host`.
//!
//! Deliberately not here: reaching it ([`super::dial`]), and looking at the files that are named.

use std::path::{Path, PathBuf};

use sandbook_core::error::Error;

/// Where the engine listens on another machine unless the endpoint says so.
const SOCKET: &str = "/var/run/docker.sock";
/// Longest name of a user or machine.
const NAME_BYTES_MAX: usize = 253;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://host:port`, plain.
    Tcp(String),
    /// `tcp://host:port` under TLS.
    Tls(Tls),
    /// `ssh://user@host:port/path`.
    Ssh(Ssh),
}

/// An engine behind TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `host:port`.
    pub address: String,
    /// CA of the engine's certificate, PEM.
    pub ca_file: PathBuf,
    /// Certificate and key the engine wants of its clients, PEM.
    pub identity: Option<Identity>,
}

/// What proves who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
}

/// An engine's socket on a machine that is reached by ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Absent: whom the user's own ssh configuration says.
    pub user: Option<String>,
    /// Name or address.
    pub host: String,
    /// Absent: what ssh says, 22.
    pub port: Option<u16>,
    /// On that machine.
    pub socket: PathBuf,
    /// Private key; absent: ssh's own, and its agent's.
    pub key_file: Option<PathBuf>,
    /// Keys of machines; absent: the user's and the system's own.
    pub known_hosts_file: Option<PathBuf>,
    /// Whether a machine never seen before is believed. One whose key changed never is.
    pub accept_new: bool,
}

impl Endpoint {
    /// Parses an endpoint without what files add to it. Errors: `invalid`, naming what is supported.
    pub fn parse(text: &str) -> Result<Endpoint, Error> {
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Endpoint::Unix(PathBuf::from(path)))
            } else {
                let example = "such as unix:///var/run/docker.sock";
                Err(Error::invalid(format!("endpoint `{text}` needs an absolute path, {example}")))
            };
        }
        if let Some(address) = text.strip_prefix("tcp://") {
            let address = address.trim_end_matches('/');
            let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
            return match port.and_then(|port| port.parse::<u16>().ok()) {
                Some(port) if port > 0 => Ok(Endpoint::Tcp(address.to_owned())),
                Some(_) | None => {
                    Err(Error::invalid(format!("endpoint `{text}` needs a port, such as tcp://10.0.0.5:2375")))
                }
            };
        }
        if let Some(rest) = text.strip_prefix("ssh://") {
            return ssh(rest).map(Endpoint::Ssh).map_err(|why| {
                Error::invalid(format!("endpoint `{text}` {why}; write it like ssh://deploy@web1.example.org:22"))
            });
        }
        let known = "neither unix:///path nor tcp://host:port nor ssh://user@host";
        Err(Error::invalid(format!("endpoint `{text}` is {known}")))
    }

    /// The files it needs, by the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        match self {
            Endpoint::Unix(_) | Endpoint::Tcp(_) => Vec::new(),
            Endpoint::Tls(tls) => {
                let identity = tls.identity.iter();
                let identity = identity
                    .flat_map(|own| [("cert_file", own.cert_file.as_path()), ("key_file", own.key_file.as_path())]);
                std::iter::once(("ca_file", tls.ca_file.as_path())).chain(identity).collect()
            }
            Endpoint::Ssh(ssh) => {
                let known = ssh.known_hosts_file.as_deref().filter(|_| !ssh.accept_new);
                let named = [("key_file", ssh.key_file.as_deref()), ("known_hosts_file", known)];
                named.into_iter().filter_map(|(key, path)| Some((key, path?))).collect()
            }
        }
    }

    /// Whether something between here and the engine accepts connections for it, so that a connection alone says nothing.
    pub(super) fn is_far(&self) -> bool {
        match self {
            Endpoint::Unix(_) | Endpoint::Tcp(_) => false,
            Endpoint::Tls(_) | Endpoint::Ssh(_) => true,
        }
    }
}

impl Tls {
    /// The machine's name, which its certificate must have.
    pub(super) fn name(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp(address) | Endpoint::Tls(Tls { address, .. }) => write!(f, "tcp://{address}"),
            Endpoint::Ssh(ssh) => {
                f.write_str("ssh://")?;
                if let Some(user) = &ssh.user {
                    write!(f, "{user}@")?;
                }
                if ssh.host.contains(':') {
                    write!(f, "[{}]", ssh.host)?
                } else {
                    f.write_str(&ssh.host)?
                }
                ssh.port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

/// `user@host:port/path`. Names go to another program as arguments, so only plain ones pass.
fn ssh(rest: &str) -> Result<Ssh, String> {
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, place) = match place.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, place),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return Err("has no port from 1 to 65535".to_owned()),
    };
    if !is_plain(host) {
        return Err("names no machine".to_owned());
    }
    match &user {
        Some(user) if user.contains(':') => return Err("has a password in it; use a key, in key_file".to_owned()),
        Some(user) if !is_plain(user) => return Err("names no user before the @".to_owned()),
        Some(_) | None => {}
    }
    let path = path.trim_end_matches('/');
    if path.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':') {
        return Err("has a path that is no socket's".to_owned());
    }
    let socket = PathBuf::from(if path.is_empty() { SOCKET } else { path });
    let host = host.to_owned();
    Ok(Ssh { user, host, port, socket, key_file: None, known_hosts_file: None, accept_new: false })
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('-') && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_parse_or_say_what_is_missing() {
        assert_eq!(Endpoint::parse("unix:///a/b").expect("valid").to_string(), "unix:///a/b");
        assert_eq!(Endpoint::parse("tcp://h:2375/").expect("valid"), Endpoint::Tcp("h:2375".to_owned()));
        for bad in ["unix://a", "tcp://h", "tcp://:1", "tcp://h:0", "npipe:x", ""] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ssh_endpoints_name_a_user_a_machine_and_a_socket() {
        for (text, user, host, port, socket) in [
            ("ssh://dana@web1", Some("dana"), "web1", None, SOCKET),
            ("ssh://web1:2222/", None, "web1", Some(2222), SOCKET),
            ("ssh://a.b@[::1]:22/run/docker.sock", Some("a.b"), "::1", Some(22), "/run/docker.sock"),
        ] {
            let Ok(Endpoint::Ssh(ssh)) = Endpoint::parse(text) else { panic!("{text}") };
            assert_eq!((ssh.user.as_deref(), ssh.host.as_str(), ssh.port), (user, host, port), "{text}");
            assert_eq!(ssh.socket, PathBuf::from(socket), "{text}");
            assert_eq!(Endpoint::Ssh(ssh).to_string(), text.trim_end_matches('/').trim_end_matches("/run/docker.sock"));
        }
    }

    #[test]
    fn names_that_another_program_would_take_for_options_are_refused() {
        for bad in
            ["", "-oProxyCommand=x", "u@-x", "-l@h", "u:p@h", "u@h:0", "u@h:x", "u@", "a b@h", "u@h/a b", "u@h/s:1"]
        {
            assert!(Endpoint::parse(&format!("ssh://{bad}")).is_err(), "{bad}");
        }
    }
}
