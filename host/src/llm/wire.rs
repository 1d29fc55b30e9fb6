//! One request to the server and what came of it, bounded at every byte.
//!
//! The key is read from its file for each request and remembered for redaction. Nothing a server says reaches the log.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use sandbook_core::error::{Error, truncate_at_char};
use serde_json::Value;
use url::Url;

use super::stream::Folded;
use super::{Fault, Reason, Settings};
use crate::driver::redact::{Secrets, redact_text};
use crate::driver::web;

/// Bytes of one response at the most: the longest answer with the wrapping of a stream, a dozen bytes for each of its own.
const WIRE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a refusal that are shown.
const REFUSAL_SHOWN_MAX: usize = 300;
/// Bytes of a key at the most: a longer file is the wrong one.
const KEY_BYTES_MAX: usize = 8 * 1024;

/// A server and the way to it.
pub(super) struct Wire {
    client: reqwest::Client,
    url: Url,
    place: String,
    key_file: Option<PathBuf>,
    secrets: Secrets,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) text: String,
    /// The model had no more tokens.
    pub(super) cut: bool,
    /// As the server counted.
    pub(super) tokens_in: Option<u64>,
    pub(super) tokens_out: Option<u64>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server refused or failed.
    Status { code: u16, message: String, retry_after: Option<Duration> },
    /// The server cannot be reached, or the connection broke.
    Lost(String),
    /// The answer ended before it was over.
    Torn,
    /// The answer is longer than it may be.
    TooLong(usize),
    /// What came is no answer.
    Nonsense(String),
    /// There is no key to send.
    Key(String),
}

impl Trouble {
    pub(super) fn fault(&self, place: &str) -> Fault {
        let (reason, message) = match self {
            Trouble::Status { code: code @ (401 | 403), message, .. } => {
                (Reason::Key, format!("{place} refused the key ({code}): {message}"))
            }
            Trouble::Status { code: code @ 429, message, retry_after } => {
                let wait = retry_after.map_or_else(String::new, |wait| format!(", wants {} s of rest", wait.as_secs()));
                (Reason::Overloaded, format!("{place} has no room ({code}{wait}): {message}"))
            }
            Trouble::Status { code: code @ 500..=599, message, .. } => {
                (Reason::Server, format!("{place} failed ({code}): {message}"))
            }
            Trouble::Status { code, message, .. } => {
                (Reason::Refused, format!("{place} refused the request ({code}): {message}"))
            }
            Trouble::Lost(why) => (Reason::Unreachable, format!("{place}: {why}")),
            Trouble::Torn => (Reason::Unreachable, format!("{place} broke off in the middle of its answer")),
            Trouble::TooLong(max) => (Reason::TooLong, format!("{place} answered more than {max} bytes")),
            Trouble::Nonsense(why) => (Reason::Server, format!("{place} does not answer as the protocol says: {why}")),
            Trouble::Key(why) => (Reason::Key, why.clone()),
        };
        Fault::new(reason, message)
    }
}

impl Wire {
    pub(super) fn new(settings: &Settings, secrets: Secrets) -> Result<Wire, Error> {
        let text = format!("{}/chat/completions", settings.base_url.trim_end_matches('/'));
        let url = Url::parse(&text).map_err(|error| Error::invalid(format!("[llm] base_url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::invalid("[llm] base_url is neither http nor https"));
        }
        let place = format!("{}://{}", url.scheme(), url.authority());
        let client = web::client(web::Redirects::Never);
        Ok(Wire { client, url, place, key_file: settings.api_key_file.clone(), secrets })
    }

    /// Where the server is, without anything secret.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    async fn key(&self) -> Result<Option<String>, Trouble> {
        let Some(file) = &self.key_file else { return Ok(None) };
        let read = tokio::fs::read_to_string(file).await;
        let key = read.map_err(|error| Trouble::Key(format!("[llm] api_key_file {}: {error}", file.display())))?;
        let key = key.trim();
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Trouble::Key(format!("[llm] api_key_file {} holds no key", file.display())));
        }
        self.secrets.remember(key);
        Ok(Some(key.to_owned()))
    }

    /// Posts a body. `hears` is told how much of the answer is here.
    pub(super) async fn post(
        &self,
        body: Vec<u8>,
        bytes_max: usize,
        hears: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Reply, Trouble> {
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        request = request.header(ACCEPT, "text/event-stream, application/json");
        if let Some(key) = self.key().await? {
            request = request.bearer_auth(key);
        }
        let response = request.body(body).send().await.map_err(|error| Trouble::Lost(web::reason(error)))?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(response.headers());
            let (bytes, _) = web::body(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
            let message = self.refusal(&bytes);
            return Err(Trouble::Status { code: status.as_u16(), message, retry_after });
        }
        let streamed = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().unwrap_or_default().trim_start().to_ascii_lowercase().starts_with("text/event-stream")
        });
        if streamed {
            read_stream(response, bytes_max, hears).await
        } else {
            read_whole(response, bytes_max, hears).await
        }
    }

    /// A server's own words, bounded and without secrets: some repeat the key they refuse.
    fn refusal(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let parsed: Option<Value> = serde_json::from_str(&text).ok();
        let said = parsed.as_ref().and_then(|value| {
            let error = value.get("error").unwrap_or(value);
            error.get("message").unwrap_or(error).as_str()
        });
        let mut message = said.unwrap_or(&text).trim().to_owned();
        redact_text(&mut message, &self.secrets.all());
        truncate_at_char(&mut message, REFUSAL_SHOWN_MAX);
        if message.is_empty() { "it did not say why".to_owned() } else { message }
    }
}

async fn read_stream(
    mut response: reqwest::Response,
    bytes_max: usize,
    hears: &(dyn Fn(usize) + Send + Sync),
) -> Result<Reply, Trouble> {
    let (mut folded, mut bytes) = (Folded::default(), 0);
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return folded.end(),
            // Some servers close the connection right after the last event.
            Err(_) if folded.over() => return folded.end(),
            Err(error) => return Err(Trouble::Lost(web::reason(error))),
        };
        bytes += chunk.len();
        if bytes > WIRE_BYTES_MAX {
            return Err(Trouble::TooLong(WIRE_BYTES_MAX));
        }
        let done = folded.feed(&chunk)?;
        if folded.text_len() > bytes_max {
            return Err(Trouble::TooLong(bytes_max));
        }
        hears(folded.text_len());
        if done {
            return folded.end();
        }
    }
}

async fn read_whole(
    response: reqwest::Response,
    bytes_max: usize,
    hears: &(dyn Fn(usize) + Send + Sync),
) -> Result<Reply, Trouble> {
    let read = web::body(response, WIRE_BYTES_MAX).await;
    let (bytes, more) = read.map_err(|error| Trouble::Lost(web::reason(error)))?;
    if more {
        return Err(Trouble::TooLong(WIRE_BYTES_MAX));
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| match error.is_eof() {
        true => Trouble::Torn,
        false => Trouble::Nonsense(format!("no JSON: {error}")),
    })?;
    let mut folded = Folded::default();
    folded.whole(&value)?;
    if folded.text_len() > bytes_max {
        return Err(Trouble::TooLong(bytes_max));
    }
    hears(folded.text_len());
    folded.end()
}

/// Seconds, or a date of HTTP.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millisecond()).ok()?);
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_wanted_in_seconds_or_until_a_date() {
        let header = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a header"))]);
        assert_eq!(retry_after(&header("2")), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(&header("0.5")), Some(Duration::from_millis(500)));
        assert_eq!(retry_after(&header("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        assert_eq!(retry_after(&header("soon")), None);
        assert_eq!(retry_after(&header("-1")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
