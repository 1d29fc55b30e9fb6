//! The operator's list of network destinations, as a matcher that drivers and policy share.
//!
//! A name is matched as written, an address as an address; what a name resolves to plays no part. Deliberately not
//! here: who may use the list (the gate), and paths of URLs.

use std::net::Ipv6Addr;

use sandbook_core::error::Error;

/// Patterns of a list at the most: each request is compared with all of them.
const PATTERNS_MAX: usize = 1_000;
/// Ports a pattern without one stands for: plain and encrypted web.
const WEB_PORTS: [u16; 2] = [80, 443];

/// A list of `host`, `host:port` and `host:*`. `*` and `?` in a host stand for characters of one label, a lone `*` for
/// every host; IPv6 addresses stand in brackets; letters' case does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    host: String,
    port: Port,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Any,
    Web,
    One(u16),
}

impl Allow {
    /// Parses a list. Errors: `invalid`, naming the pattern and what is wrong with it.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Allow, Error> {
        let patterns: Vec<Pattern> =
            patterns.into_iter().map(|text| Pattern::parse(text.as_ref())).collect::<Result<_, _>>()?;
        if patterns.len() > PATTERNS_MAX {
            return Err(Error::invalid(format!(
                "{} egress patterns, at most {PATTERNS_MAX} are allowed",
                patterns.len()
            )));
        }
        Ok(Allow { patterns })
    }

    /// Whether the list has nothing on it.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether connections to that host and port are allowed.
    pub fn permits(&self, host: &str, port: u16) -> bool {
        let host = canonical(host);
        self.patterns.iter().any(|pattern| {
            let port_fits = match pattern.port {
                Port::Any => true,
                Port::Web => WEB_PORTS.contains(&port),
                Port::One(one) => one == port,
            };
            port_fits && matches(&pattern.host, &host)
        })
    }

    /// Whether the name may be looked up: some port of it is allowed.
    pub fn permits_name(&self, host: &str) -> bool {
        let host = canonical(host);
        self.patterns.iter().any(|pattern| matches(&pattern.host, &host))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, Error> {
        let bad =
            |why: &str| Error::invalid(format!("egress pattern `{text}` {why}; write `host`, `host:port` or `host:*`"));
        let trimmed = text.trim();
        let (host, port) = match trimmed.strip_prefix('[') {
            Some(rest) => {
                let (inside, after) = rest.split_once(']').ok_or_else(|| bad("has no closing bracket"))?;
                if inside.parse::<Ipv6Addr>().is_err() {
                    return Err(bad("has no IPv6 address in its brackets"));
                }
                (
                    inside,
                    after
                        .strip_prefix(':')
                        .or(after.is_empty().then_some(""))
                        .ok_or_else(|| bad("goes on after `]`"))?,
                )
            }
            None => match trimmed.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(bad("is an IPv6 address without brackets")),
                Some((_, "")) => return Err(bad("ends with a colon")),
                Some((host, port)) => (host, port),
                None => (trimmed, ""),
            },
        };
        let known = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '?' | ':');
        if host.is_empty() || !host.chars().all(known) {
            return Err(bad("has no host name"));
        }
        let port = match port {
            "" => Port::Web,
            "*" => Port::Any,
            number => match number.parse::<u16>() {
                Ok(number) if number > 0 => Port::One(number),
                Ok(_) | Err(_) => return Err(bad("has no port from 1 to 65535")),
            },
        };
        Ok(Pattern { host: canonical(host), port })
    }
}

/// Lower case, without brackets and trailing dot; IPv6 in its one canonical spelling.
fn canonical(host: &str) -> String {
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<Ipv6Addr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_lowercase(),
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    if pattern == "*" {
        return !host.is_empty();
    }
    if pattern.contains(':') || host.contains(':') {
        return pattern == host;
    }
    let (mut patterns, mut labels) = (pattern.split('.'), host.split('.'));
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) if label_matches(pattern.as_bytes(), label.as_bytes()) => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// Greedy with one point to go back to: linear for one star, quadratic at worst.
fn label_matches(pattern: &[u8], label: &[u8]) -> bool {
    let (mut p, mut l) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while l < label.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, l));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == label[l]) {
            p += 1;
            l += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            p = star + 1;
            l = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_hosts_and_ports() {
        let allow = Allow::new(["web-*:8080", "Status.example.org", "10.0.0.5:*", "[FD00::1]:443", "*.internal:9?9x"]);
        assert!(allow.is_err(), "ports have no wildcards inside");
        let allow = Allow::new(["web-*:8080", "Status.example.org", "10.0.0.5:*", "[FD00::1]:443", "*.internal:99"])
            .expect("valid");
        for (host, port) in [
            ("web-1", 8080),
            ("WEB-abc", 8080),
            ("web-", 8080),
            ("status.example.org.", 443),
            ("status.example.org", 80),
            ("10.0.0.5", 1),
            ("[fd00:0:0::1]", 443),
            ("fd00::1", 443),
            ("a.internal", 99),
        ] {
            assert!(allow.permits(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("web-1", 80),
            ("web-1.evil.com", 8080),
            ("xweb-1", 8080),
            ("status.example.org", 8443),
            ("a.status.example.org", 443),
            ("10.0.0.51", 1),
            ("fd00::2", 443),
            ("a.b.internal", 99),
            ("", 80),
        ] {
            assert!(!allow.permits(host, port), "{host}:{port}");
        }
        assert!(allow.permits_name("web-9") && !allow.permits_name("example.org"));
    }

    #[test]
    fn a_lone_star_is_every_host_and_an_empty_list_none() {
        let all = Allow::new(["*:*"]).expect("valid");
        assert!(all.permits("a.b.c", 1) && all.permits("::1", 2));
        assert!(!Allow::default().permits("a", 80));
    }

    #[test]
    fn malformed_patterns_are_named() {
        for bad in ["", ":80", "a:", "a:0", "a:70000", "fd00::1", "[x]:1", "[::1", "[::1]x", "http://a", "a b"] {
            let error = Allow::new([bad]).expect_err(bad);
            assert!(error.message.contains(bad), "{error}");
        }
    }
}
