//! HTTP to hosts the operator lists.
//!
//! Deliberately not here: secrets. A header that needs one belongs to a notification channel or a configured source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::net::URL_BYTES_MAX;
use super::{Class, MARGIN_MS, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Longest a request may wait, in milliseconds.
pub const REQUEST_MS_MAX: u64 = 60_000;
/// How long a request waits when it does not say, in milliseconds.
pub const REQUEST_MS_DEFAULT: u64 = 10_000;
/// Bytes of a request body at the most.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a response body at the most; longer ones are cut and say so.
pub const RESPONSE_BYTES_MAX: usize = 900 * 1024;
/// Headers of a request at the most, in bytes.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// Options of [`Get`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct GetOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Options of [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct RequestOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
}

/// Request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As sent.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub truncated: bool,
}

fn check_headers(headers: Option<&BTreeMap<String, String>>) -> Result<(), Error> {
    let bytes: usize = headers.map_or(0, |headers| headers.iter().map(|(k, v)| k.len() + v.len()).sum());
    check_range("headers bytes", Some(bytes), 0, HEADERS_BYTES_MAX)
}

/// A GET; any status is an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// `http` or `https`.
    pub url: String,
    /// How.
    #[serde(default)]
    pub options: GetOptions,
}

impl Op for Get {
    type Output = Response;
    const NAME: &'static str = "http.get";
    const CLASS: Class = Class::Egress;
    const DEADLINE_MS: u64 = REQUEST_MS_MAX + MARGIN_MS;
    const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Url(&self.url)
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("url", &self.url, URL_BYTES_MAX)?;
        check_headers(self.options.headers.as_ref())?;
        check_range("timeout_ms", self.options.timeout_ms, 1, REQUEST_MS_MAX)
    }
    fn deadline_ms(&self) -> u64 {
        self.options.timeout_ms.unwrap_or(REQUEST_MS_DEFAULT) + MARGIN_MS
    }
}

/// Any method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub method: Method,
    /// `http` or `https`.
    pub url: String,
    /// How.
    #[serde(default)]
    pub options: RequestOptions,
}

impl Op for Request {
    type Output = Response;
    const NAME: &'static str = "http.request";
    const CLASS: Class = Class::Egress;
    const DEADLINE_MS: u64 = REQUEST_MS_MAX + MARGIN_MS;
    const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
    fn recovery(&self) -> Recovery {
        match (self.method, self.options.idempotent) {
            (Method::Get | Method::Head, _) => Recovery::Again,
            (Method::Post | Method::Put | Method::Patch | Method::Delete, Some(true)) => Recovery::Key,
            (Method::Post | Method::Put | Method::Patch | Method::Delete, Some(false) | None) => Recovery::Ask,
        }
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Url(&self.url)
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("url", &self.url, URL_BYTES_MAX)?;
        check_headers(self.options.headers.as_ref())?;
        check_text("body", self.options.body.as_deref().unwrap_or(""), BODY_BYTES_MAX)?;
        check_range("timeout_ms", self.options.timeout_ms, 1, REQUEST_MS_MAX)
    }
    fn deadline_ms(&self) -> u64 {
        self.options.timeout_ms.unwrap_or(REQUEST_MS_DEFAULT) + MARGIN_MS
    }
}
