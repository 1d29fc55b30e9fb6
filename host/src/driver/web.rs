//! The HTTP client under `http`, `net`, `metrics` and `notify`: one TLS setup, no proxy from the environment, bounded bodies.
//!
//! Deliberately not here: which URLs may be reached. Callers ask [`Allow`]; redirects ask it here, because only the
//! client sees them.

use std::sync::{Arc, Once};
use std::time::Duration;

use sandbook_core::error::Error;
use url::Url;

use super::egress::Allow;

/// Redirects followed at the most: what browsers' users never notice, and loops end soon.
const REDIRECTS_MAX: usize = 5;
/// Connections kept open to one host, idle. Probes repeat, notifications do not.
const IDLE_MAX: usize = 2;
/// How long connecting may take; the caller's own deadline is mostly shorter.
const CONNECT_MS: u64 = 10_000;

/// What a client does when it is sent elsewhere.
#[derive(Debug, Clone)]
pub(crate) enum Redirects {
    /// Returns the 3xx as it is.
    Never,
    /// Goes there if the list permits it, else fails.
    Listed(Arc<Allow>),
}

/// Builds a client. Cheap to clone afterwards.
pub(crate) fn client(redirects: Redirects) -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Somebody else may have installed one first; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let policy = || match redirects.clone() {
        Redirects::Never => reqwest::redirect::Policy::none(),
        Redirects::Listed(allow) => reqwest::redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                return attempt.error(format!("more than {REDIRECTS_MAX} redirects"));
            }
            match check(attempt.url(), &allow) {
                Ok(()) => attempt.follow(),
                Err(error) => attempt.error(error),
            }
        }),
    };
    let builder = || {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(policy())
            .referer(false)
            .connect_timeout(Duration::from_millis(CONNECT_MS))
            .pool_max_idle_per_host(IDLE_MAX)
            .user_agent(concat!("sandbook/", env!("CARGO_PKG_VERSION")))
    };
    // Without certificates on the system (an image from scratch) only https is lost, not the client.
    builder()
        .build()
        .or_else(|_| builder().tls_certs_only([]).build())
        .expect("a client without certificates needs nothing from the system")
}

/// A URL that may be asked. Errors: `invalid` for what is no plain web URL, `denied` for what is not listed.
pub(crate) fn listed(text: &str, allow: &Allow) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|error| Error::invalid(format!("url `{text}`: {error}")))?;
    check(&url, allow)?;
    Ok(url)
}

fn check(url: &Url, allow: &Allow) -> Result<(), Error> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::invalid(format!("url scheme `{}` is neither http nor https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("url has a user or password in it; a runbook has no secrets"));
    }
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(0);
    if allow.permits(host, port) { Ok(()) } else { Err(unlisted(host, Some(port))) }
}

/// The denial of a destination, with the line that would allow it.
pub(crate) fn unlisted(host: &str, port: Option<u16>) -> Error {
    let place = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Error::denied(format!("`{place}` is not listed; the operator allows it with [egress] hosts = [\"{place}\"]"))
}

/// At most `bytes_max` of a body, and whether there was more.
pub(crate) async fn body(mut response: reqwest::Response, bytes_max: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = bytes_max - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((bytes, true));
        }
    }
    Ok((bytes, false))
}

/// Why a request got no answer, without its URL: that may hold a secret, and the caller names the place.
pub(crate) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    // The outermost text ("error sending request") says nothing; its causes do.
    match std::error::Error::source(&error) {
        Some(cause) => super::docker::fault::chain(cause),
        None => error.to_string(),
    }
}
