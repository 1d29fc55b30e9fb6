//! Probes from the daemon's place in the network. Egress: each can carry data out, in a name or a path.
//!
//! Deliberately not here: ICMP, which needs privileges that the daemon should not have.

use serde::{Deserialize, Serialize};

use super::{Class, MARGIN_MS, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Longest a probe may wait, in milliseconds.
pub const PROBE_MS_MAX: u64 = 60_000;
/// How long an HTTP probe waits when the request does not say, in milliseconds.
pub const PROBE_MS_DEFAULT: u64 = 5_000;
/// How long a connect or a lookup waits when the request does not say, in milliseconds.
pub const CHECK_MS_DEFAULT: u64 = 3_000;
/// Longest URL or name.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a body that a probe looks at.
pub const PROBE_BODY_BYTES_MAX: usize = 64 * 1024;

/// What a probe expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ProbeOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_body: Option<String>,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ProbeResult {
    pub ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub duration_ms: u64,
    pub reason: String,
}

/// How long a check waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct CheckOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a connection attempt found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct CheckResult {
    pub open: bool,
    pub duration_ms: u64,
    pub reason: String,
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LookupResult {
    pub addresses: Vec<String>,
    pub duration_ms: u64,
}

/// A GET that asks: is it well?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// `http` or `https`.
    pub url: String,
    /// What is expected.
    #[serde(default)]
    pub options: ProbeOptions,
}

impl Op for HttpProbe {
    type Output = ProbeResult;
    const NAME: &'static str = "net.http-probe";
    const CLASS: Class = Class::Egress;
    const DEADLINE_MS: u64 = PROBE_MS_MAX + MARGIN_MS;
    const OUTPUT_BYTES_MAX: usize = 16 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Url(&self.url)
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("url", &self.url, URL_BYTES_MAX)?;
        check_range("timeout_ms", self.options.timeout_ms, 1, PROBE_MS_MAX)?;
        let Some(pattern) = &self.options.expect_body else { return Ok(()) };
        regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map(drop)
            .map_err(|error| Error::invalid(format!("expect_body: {error}")))
    }
    fn deadline_ms(&self) -> u64 {
        self.options.timeout_ms.unwrap_or(PROBE_MS_DEFAULT) + MARGIN_MS
    }
}

/// Does something accept connections there?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {
    /// Name or address.
    pub host: String,
    /// From 1.
    pub port: u16,
    /// How long.
    #[serde(default)]
    pub options: CheckOptions,
}

impl Op for TcpCheck {
    type Output = CheckResult;
    const NAME: &'static str = "net.tcp-check";
    const CLASS: Class = Class::Egress;
    const DEADLINE_MS: u64 = PROBE_MS_MAX + MARGIN_MS;
    const OUTPUT_BYTES_MAX: usize = 16 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Net(&self.host, Some(self.port))
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("host", &self.host, 255)?;
        check_range("port", Some(self.port), 1, u16::MAX)?;
        check_range("timeout_ms", self.options.timeout_ms, 1, PROBE_MS_MAX)
    }
    fn deadline_ms(&self) -> u64 {
        self.options.timeout_ms.unwrap_or(CHECK_MS_DEFAULT) + MARGIN_MS
    }
}

/// Addresses of a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsLookup {
    /// A DNS name.
    pub name: String,
    /// How long.
    #[serde(default)]
    pub options: CheckOptions,
}

impl Op for DnsLookup {
    type Output = LookupResult;
    const NAME: &'static str = "net.dns-lookup";
    const CLASS: Class = Class::Egress;
    const DEADLINE_MS: u64 = PROBE_MS_MAX + MARGIN_MS;
    const OUTPUT_BYTES_MAX: usize = 16 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Net(&self.name, None)
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("name", &self.name, 255)?;
        check_range("timeout_ms", self.options.timeout_ms, 1, PROBE_MS_MAX)
    }
    fn deadline_ms(&self) -> u64 {
        self.options.timeout_ms.unwrap_or(CHECK_MS_DEFAULT) + MARGIN_MS
    }
}
