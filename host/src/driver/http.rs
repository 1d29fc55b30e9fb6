//! Live `http` effects: requests to listed hosts, answers as bounded text.
//!
//! Deliberately not here: secrets, and headers by which a request would mean another host than its URL says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sandbook_core::effect::http::{Get, Method, REQUEST_MS_DEFAULT, RESPONSE_BYTES_MAX, Request, Response};
use sandbook_core::error::{Error, truncate_at_char};

use super::egress::Allow;
use super::web;

/// Bytes of response headers at the most: the rest of a result is the body's.
const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// Headers the client sets itself, or that would reach behind the listed host.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
    "proxy-connection",
];

/// Sends requests of runbooks.
#[derive(Debug, Clone)]
pub(super) struct Http {
    allow: Arc<Allow>,
    client: reqwest::Client,
}

struct Sent<'a> {
    method: Method,
    url: &'a str,
    headers: Option<&'a BTreeMap<String, String>>,
    body: Option<String>,
    timeout_ms: Option<u64>,
    key: Option<String>,
}

impl Http {
    pub(super) fn new(allow: Arc<Allow>) -> Http {
        Http { client: web::client(web::Redirects::Listed(allow.clone())), allow }
    }

    pub(super) async fn get(&self, op: &Get) -> Result<Response, Error> {
        let (url, headers, timeout_ms) = (op.url.as_str(), op.options.headers.as_ref(), op.options.timeout_ms);
        self.send(Sent { method: Method::Get, url, headers, body: None, timeout_ms, key: None }).await
    }

    /// `key` is sent as `Idempotency-Key` where the request is declared idempotent and names none itself.
    pub(super) async fn request(&self, op: &Request, key: String) -> Result<Response, Error> {
        let options = &op.options;
        self.send(Sent {
            method: op.method,
            url: &op.url,
            headers: options.headers.as_ref(),
            body: options.body.clone(),
            timeout_ms: options.timeout_ms,
            key: (options.idempotent == Some(true)).then_some(key),
        })
        .await
    }

    async fn send(&self, sent: Sent<'_>) -> Result<Response, Error> {
        let url = web::listed(sent.url, &self.allow)?;
        let place = format!("{}://{}", url.scheme(), url.authority());
        let method = reqwest::Method::from_bytes(sent.method.name().as_bytes()).expect("names of methods are methods");
        let timeout = Duration::from_millis(sent.timeout_ms.unwrap_or(REQUEST_MS_DEFAULT));
        let mut headers = headers(sent.headers)?;
        if let Some(key) = sent.key.and_then(|key| HeaderValue::from_str(&key).ok()) {
            headers.entry("idempotency-key").or_insert(key);
        }
        let mut request = self.client.request(method, url).timeout(timeout).headers(headers);
        if let Some(body) = sent.body {
            request = request.body(body);
        }
        let harmless = matches!(sent.method, Method::Get | Method::Head);
        let response = request.send().await.map_err(|error| trouble(&place, error, harmless))?;
        let status = response.status().as_u16();
        let headers = response_headers(response.headers());
        let (bytes, mut truncated) =
            web::body(response, RESPONSE_BYTES_MAX).await.map_err(|error| trouble(&place, error, harmless))?;
        let mut body = String::from_utf8_lossy(&bytes).into_owned();
        truncated |= cut_to_json(&mut body, RESPONSE_BYTES_MAX);
        Ok(Response { status, headers, body, truncated })
    }
}

fn headers(given: Option<&BTreeMap<String, String>>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in given.into_iter().flatten() {
        if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(Error::invalid(format!("header `{name}` is set by the client; leave it out")));
        }
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let Some((name, value)) = parsed else {
            return Err(Error::invalid(format!(
                "header `{}` has characters a header cannot have",
                name.escape_debug()
            )));
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Lower-case names; repeated headers joined as HTTP allows. What exceeds the bound is left out.
fn response_headers(found: &HeaderMap) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    let mut bytes = 0;
    for (name, value) in found {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        bytes += name.as_str().len() + value.len();
        if bytes > HEADERS_BYTES_MAX {
            break;
        }
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|known| {
                known.push_str(", ");
                known.push_str(&value);
            })
            .or_insert(value);
    }
    headers
}

fn trouble(place: &str, error: reqwest::Error, harmless: bool) -> Error {
    let (timeout, connect, redirect) = (error.is_timeout(), error.is_connect(), error.is_redirect());
    let why = web::reason(error);
    match (redirect, timeout, connect, harmless) {
        (true, _, _, true) => Error::denied(format!("{place} redirects: {why}")),
        // The first host has answered: it has done what it does.
        (true, _, _, false) => Error::failed(format!("{place} took the request and redirects: {why}")),
        (false, true, false, false) => Error::timeout(format!("{place}: {why}; it may still have taken the request")),
        (false, true, _, _) => Error::timeout(format!("{place}: {why}")),
        (false, false, true, _) => Error::failed(format!("{place} cannot be reached: {why}")),
        (false, false, false, true) => Error::failed(format!("{place}: {why}")),
        (false, false, false, false) => Error::timeout(format!("{place}: {why}; it may still have taken the request")),
    }
}

/// Cuts a text so that its JSON fits; true when something was cut.
fn cut_to_json(text: &mut String, bytes_max: usize) -> bool {
    let mut bytes = 0;
    let mut end = text.len();
    for (index, character) in text.char_indices() {
        bytes += super::logs::json_len(character.encode_utf8(&mut [0; 4]));
        if bytes > bytes_max {
            end = index;
            break;
        }
    }
    let cut = end < text.len();
    truncate_at_char(text, end);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_mean_another_host_are_refused() {
        for name in ["Host", "content-length", "a b", "x\r\ny"] {
            let given = BTreeMap::from([(name.to_owned(), "v".to_owned())]);
            assert!(headers(Some(&given)).is_err(), "{name}");
        }
        let given = BTreeMap::from([("x".to_owned(), "a\r\nb: c".to_owned())]);
        assert!(headers(Some(&given)).is_err());
    }

    #[test]
    fn bodies_are_cut_by_what_they_weigh_as_json() {
        let mut text = "\u{1}".repeat(10);
        assert!(cut_to_json(&mut text, 13));
        assert_eq!(text.len(), 2);
        let mut text = "ab".to_owned();
        assert!(!cut_to_json(&mut text, 2));
    }
}
