//! Live `net` effects: probes whose unreachable target is an answer, not an error.
//!
//! Deliberately not here: retries. A probe is one look; a runbook that wants three takes three.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbook_core::effect::net::{
    CHECK_MS_DEFAULT, CheckResult, DnsLookup, HttpProbe, LookupResult, PROBE_BODY_BYTES_MAX, PROBE_MS_DEFAULT,
    ProbeResult, TcpCheck,
};
use sandbook_core::error::{Error, truncate_at_char};

use super::egress::Allow;
use super::web;

/// Addresses of a lookup at the most: far more than any name has.
const ADDRESSES_MAX: usize = 100;
/// Longest reason.
const REASON_BYTES_MAX: usize = 1_024;

/// Probes from the daemon's place in the network.
#[derive(Debug, Clone)]
pub(super) struct Net {
    allow: Arc<Allow>,
    following: reqwest::Client,
    plain: reqwest::Client,
}

impl Net {
    pub(super) fn new(allow: Arc<Allow>) -> Net {
        Net {
            following: web::client(web::Redirects::Listed(allow.clone())),
            plain: web::client(web::Redirects::Never),
            allow,
        }
    }

    pub(super) async fn http_probe(&self, op: &HttpProbe) -> Result<ProbeResult, Error> {
        let url = web::listed(&op.url, &self.allow)?;
        let pattern = op.options.expect_body.as_deref().map(regex).transpose()?;
        let timeout = Duration::from_millis(op.options.timeout_ms.unwrap_or(PROBE_MS_DEFAULT));
        // Whoever expects a redirect wants to see it.
        let redirect_expected = op.options.expect_status.is_some_and(|status| (300..400).contains(&status));
        let client = if redirect_expected { &self.plain } else { &self.following };
        let started = Instant::now();
        let (status, reason) = match client.get(url).timeout(timeout).send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                (Some(status), self.judge(op, status, response, pattern.as_ref()).await)
            }
            Err(error) => (error.status().map(|status| status.as_u16()), web::reason(error)),
        };
        Ok(ProbeResult { ok: reason.is_empty(), status, duration_ms: elapsed(started), reason: short(reason) })
    }

    /// Why an answer is not the expected one; empty if it is.
    async fn judge(
        &self,
        op: &HttpProbe,
        status: u16,
        response: reqwest::Response,
        body: Option<&regex::Regex>,
    ) -> String {
        match op.options.expect_status {
            Some(expected) if status != expected => return format!("status {status}, expected {expected}"),
            None if !(200..300).contains(&status) => return format!("status {status}, expected 200 to 299"),
            Some(_) | None => {}
        }
        let Some(pattern) = body else { return String::new() };
        match web::body(response, PROBE_BODY_BYTES_MAX).await {
            Ok((bytes, _)) if pattern.is_match(&String::from_utf8_lossy(&bytes)) => String::new(),
            Ok((bytes, _)) => format!("`{pattern}` does not match the first {} bytes of the body", bytes.len()),
            Err(error) => format!("the body was cut off: {}", web::reason(error)),
        }
    }

    pub(super) async fn tcp_check(&self, op: &TcpCheck) -> Result<CheckResult, Error> {
        if !self.allow.permits(&op.host, op.port) {
            return Err(web::unlisted(&op.host, Some(op.port)));
        }
        let host = op.host.trim_start_matches('[').trim_end_matches(']');
        let timeout_ms = op.options.timeout_ms.unwrap_or(CHECK_MS_DEFAULT);
        let started = Instant::now();
        let connect = tokio::net::TcpStream::connect((host, op.port));
        let reason = match tokio::time::timeout(Duration::from_millis(timeout_ms), connect).await {
            Ok(Ok(_)) => String::new(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {timeout_ms} ms"),
        };
        Ok(CheckResult { open: reason.is_empty(), duration_ms: elapsed(started), reason: short(reason) })
    }

    pub(super) async fn dns_lookup(&self, op: &DnsLookup) -> Result<LookupResult, Error> {
        if !self.allow.permits_name(&op.name) {
            return Err(web::unlisted(&op.name, None));
        }
        let timeout_ms = op.options.timeout_ms.unwrap_or(CHECK_MS_DEFAULT);
        let started = Instant::now();
        let lookup = tokio::net::lookup_host((op.name.as_str(), 0));
        let found = tokio::time::timeout(Duration::from_millis(timeout_ms), lookup)
            .await
            .map_err(|_| Error::timeout(format!("no answer about `{}` within {timeout_ms} ms", op.name)))?
            .map_err(|error| Error::not_found(format!("`{}` has no address: {error}", op.name)))?;
        let mut addresses: Vec<_> = found.map(|address| address.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        let addresses = addresses.into_iter().map(|address| address.to_string()).collect();
        Ok(LookupResult { addresses, duration_ms: elapsed(started) })
    }
}

fn regex(pattern: &str) -> Result<regex::Regex, Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| Error::invalid(format!("expect_body: {error}")))
}

fn elapsed(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn short(mut reason: String) -> String {
    truncate_at_char(&mut reason, REASON_BYTES_MAX);
    reason
}
