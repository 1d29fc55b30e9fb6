//! What lies outside Docker: network endpoints, HTTP, and the metrics source. All of it tables in the world.
//!
//! Deliberately not here: PromQL (a query is compared as text) and real URLs (enough is read to find host and port).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::moment::rfc3339;
use super::{Moment, RequestMade, SENT_KEPT_MAX, World};
use crate::effect::docker::{Health, Status};
use crate::effect::http::{REQUEST_MS_DEFAULT, RESPONSE_BYTES_MAX, Response};
use crate::effect::metrics::{Range, SERIES_MAX, Sample, Series};
use crate::effect::net::{
    CHECK_MS_DEFAULT, CheckOptions, CheckResult, LookupResult, PROBE_BODY_BYTES_MAX, PROBE_MS_DEFAULT, ProbeOptions,
    ProbeResult,
};
use crate::error::{Error, truncate_at_char};

/// Something that can be reached, or should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// A URL, or `host:port`. A URL that is listed as a whole wins over its host and port.
    pub at: String,
    /// Default true.
    pub reachable: bool,
    /// Why it is not reachable.
    pub reason: String,
    /// HTTP status; default 200.
    pub status: u16,
    /// HTTP body.
    pub body: String,
    /// HTTP headers of the answer.
    pub headers: BTreeMap<String, String>,
    /// How long an answer takes, in milliseconds; default 5.
    pub latency_ms: u64,
    /// What its name resolves to; default `10.0.0.2`.
    pub addresses: Vec<String>,
    /// The container behind it, as `host/name`, or `name` on host `local` (else the first host): it answers
    /// while that runs, and with 503 while that is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint {
            at: String::new(),
            reachable: true,
            reason: "connection refused".to_owned(),
            status: 200,
            body: String::new(),
            headers: BTreeMap::new(),
            latency_ms: 5,
            addresses: vec!["10.0.0.2".to_owned()],
            container: None,
        }
    }
}

/// What the metrics source answers to one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Compared as text, white space at the ends aside.
    pub promql: String,
    /// From then on; the latest that has begun answers. Absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// The answer.
    #[serde(default)]
    pub samples: Vec<MetricSample>,
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSample {
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// A finite number.
    pub value: f64,
}

/// Host and port of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    host: String,
    port: Option<u16>,
    secure: bool,
}

impl Place {
    /// Reads `http(s)://host[:port]/…`.
    pub(super) fn of_url(url: &str) -> Result<Place, Error> {
        let wrong = |why: &str| Error::invalid(format!("url `{}`: {why}", url.escape_debug()));
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong("white space and control characters must be encoded"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it must begin with http:// or https://"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("it must begin with http:// or https://")),
        };
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
        if authority.contains('@') {
            return Err(wrong("it must carry no user name or password"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| wrong("its port is no number"))?;
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        Ok(Place { host: host.to_ascii_lowercase(), port, secure })
    }

    /// `host`, or `host:port` where the URL says a port.
    pub(super) fn written(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    fn full(&self) -> (String, u16) {
        (self.host.clone(), self.port.unwrap_or(if self.secure { 443 } else { 80 }))
    }
}

/// `host:port`, `[v6]:port` or either without its port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    match colon {
        Some(colon) => authority[colon + 1..].parse().ok().map(|port| (&authority[..colon], Some(port))),
        None => Some((authority, None)),
    }
}

/// What an endpoint does at this moment.
struct Answer {
    problem: Option<String>,
    status: u16,
    latency_ms: u64,
}

impl World {
    fn endpoint(&self, matches: impl Fn(&(String, u16)) -> bool, url: Option<&str>) -> Option<&Endpoint> {
        let whole = url.and_then(|url| self.endpoints.iter().find(|endpoint| endpoint.at == url));
        whole.or_else(|| self.endpoints.iter().find(|endpoint| place_of(endpoint).is_some_and(|place| matches(&place))))
    }

    fn ask(&self, endpoint: Option<&Endpoint>, name: &str) -> Answer {
        let Some(endpoint) = endpoint else {
            let problem = Some(format!("no route to {name}: this world lists no such endpoint"));
            return Answer { problem, status: 0, latency_ms: 1 };
        };
        let (mut problem, mut status) = ((!endpoint.reachable).then(|| endpoint.reason.clone()), endpoint.status);
        if let Some(behind) = &endpoint.container {
            match self.find(&self.host_of(None), behind) {
                Ok((_, container)) if container.status == Status::Running => {
                    if matches!(container.health, Health::Starting | Health::Unhealthy) && status < 400 {
                        status = 503;
                    }
                }
                Ok(_) => problem = Some("connection refused".to_owned()),
                Err(error) => problem = Some(error.message),
            }
        }
        Answer { problem, status, latency_ms: endpoint.latency_ms }
    }

    /// Waits for an answer, at most that long; the text says why there is none.
    fn wait(&mut self, answer: &Answer, timeout_ms: u64) -> (u64, Option<String>) {
        let duration_ms = answer.latency_ms.min(timeout_ms);
        self.advance(duration_ms);
        match &answer.problem {
            _ if answer.latency_ms > timeout_ms => (duration_ms, Some(format!("no answer within {timeout_ms} ms"))),
            problem => (duration_ms, problem.clone()),
        }
    }

    pub(super) fn http_probe(&mut self, url: &str, options: &ProbeOptions) -> Result<ProbeResult, Error> {
        let place = Place::of_url(url)?;
        let endpoint = self.endpoint(|known| *known == place.full(), Some(url)).cloned();
        let answer = self.ask(endpoint.as_ref(), &place.written());
        let (duration_ms, problem) = self.wait(&answer, options.timeout_ms.unwrap_or(PROBE_MS_DEFAULT));
        if let Some(reason) = problem {
            return Ok(ProbeResult { ok: false, status: None, duration_ms, reason });
        }
        let mut reason = match options.expect_status {
            Some(wanted) if wanted != answer.status => format!("status {}, expected {wanted}", answer.status),
            None if !(200..300).contains(&answer.status) => format!("status {}, expected 200 to 299", answer.status),
            Some(_) | None => String::new(),
        };
        if let (Some(pattern), true) = (&options.expect_body, reason.is_empty()) {
            let mut body = endpoint.map(|endpoint| endpoint.body).unwrap_or_default();
            truncate_at_char(&mut body, PROBE_BODY_BYTES_MAX);
            let wanted = regex::Regex::new(pattern).map_err(|error| Error::invalid(format!("expect_body: {error}")))?;
            if !wanted.is_match(&body) {
                reason = format!("the body does not match `{pattern}`");
            }
        }
        Ok(ProbeResult { ok: reason.is_empty(), status: Some(answer.status), duration_ms, reason })
    }

    pub(super) fn tcp_check(&mut self, host: &str, port: u16, options: &CheckOptions) -> CheckResult {
        let wanted = (host.to_ascii_lowercase(), port);
        let answer = self.ask(self.endpoint(|known| *known == wanted, None), &format!("{host}:{port}"));
        let (duration_ms, problem) = self.wait(&answer, options.timeout_ms.unwrap_or(CHECK_MS_DEFAULT));
        CheckResult { open: problem.is_none(), duration_ms, reason: problem.unwrap_or_default() }
    }

    /// Names resolve while their endpoint is listed, reachable or not.
    pub(super) fn dns_lookup(&mut self, name: &str, options: &CheckOptions) -> Result<LookupResult, Error> {
        let wanted = name.to_ascii_lowercase();
        let Some(endpoint) = self.endpoint(|(host, _)| *host == wanted, None) else {
            return Err(Error::not_found(format!("no such host: {name}")));
        };
        let (addresses, duration_ms) = (endpoint.addresses.clone(), 1);
        self.advance(duration_ms.min(options.timeout_ms.unwrap_or(CHECK_MS_DEFAULT)));
        Ok(LookupResult { addresses, duration_ms })
    }

    /// A request of any method; remembered even where nobody answers.
    pub(super) fn request(
        &mut self,
        method: &str,
        url: &str,
        body: &str,
        timeout_ms: Option<u64>,
    ) -> Result<Response, Error> {
        let place = Place::of_url(url)?;
        let (at_ms, method) = (self.now_ms, method.to_owned());
        self.requests.push(RequestMade { at_ms, method: method.clone(), url: url.to_owned(), body: body.to_owned() });
        let beyond = self.requests.len().saturating_sub(SENT_KEPT_MAX);
        self.requests.drain(..beyond);
        let endpoint = self.endpoint(|known| *known == place.full(), Some(url)).cloned();
        let answer = self.ask(endpoint.as_ref(), &place.written());
        let timeout_ms = timeout_ms.unwrap_or(REQUEST_MS_DEFAULT);
        if let (_, Some(problem)) = self.wait(&answer, timeout_ms) {
            let text = format!("{method} {url}: {problem}");
            return Err(if answer.latency_ms > timeout_ms { Error::timeout(text) } else { Error::failed(text) });
        }
        let (mut body, headers) = endpoint.map(|endpoint| (endpoint.body, endpoint.headers)).unwrap_or_default();
        if method == "HEAD" {
            body.clear();
        }
        let truncated = body.len() > RESPONSE_BYTES_MAX;
        truncate_at_char(&mut body, RESPONSE_BYTES_MAX);
        Ok(Response { status: answer.status, headers, body, truncated })
    }

    /// What a query answers at that time.
    fn metric_at(&self, promql: &str, at_ms: u64) -> &[MetricSample] {
        let begun = |metric: &&Metric| {
            metric.promql.trim() == promql.trim() && metric.from.is_none_or(|from| from.ms(self.now_ms) <= at_ms)
        };
        let latest = self.metrics.iter().filter(begun).max_by_key(|m| m.from.map_or(0, |from| from.ms(self.now_ms)));
        latest.map_or(&[], |metric| metric.samples.as_slice())
    }

    pub(super) fn query(&self, promql: &str) -> Result<Vec<Sample>, Error> {
        let samples = self.metric_at(promql, self.now_ms);
        if samples.len() > SERIES_MAX {
            return Err(Error::limited(format!("{} samples, {SERIES_MAX} are the most", samples.len())));
        }
        let at = rfc3339(self.now_ms);
        Ok(samples.iter().map(|s| Sample { labels: s.labels.clone(), value: s.value, at: at.clone() }).collect())
    }

    pub(super) fn query_range(&self, promql: &str, range: &Range) -> Result<Vec<Series>, Error> {
        let mut series: BTreeMap<&BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        let mut at_ms = self.now_ms.saturating_sub(range.since_ms);
        while at_ms <= self.now_ms {
            for sample in self.metric_at(promql, at_ms) {
                // Milliseconds since 1970 fit a double exactly.
                #[allow(clippy::cast_precision_loss)]
                series.entry(&sample.labels).or_default().push((at_ms as f64 / 1_000.0, sample.value));
            }
            at_ms = at_ms.saturating_add(range.step_ms.max(1));
        }
        if series.len() > SERIES_MAX {
            return Err(Error::limited(format!("{} series, {SERIES_MAX} are the most", series.len())));
        }
        Ok(series.into_iter().map(|(labels, points)| Series { labels: labels.clone(), points }).collect())
    }
}

/// Host and port of an endpoint's address.
fn place_of(endpoint: &Endpoint) -> Option<(String, u16)> {
    if endpoint.at.contains("://") {
        return Place::of_url(&endpoint.at).ok().map(|place| place.full());
    }
    let (host, port) = split_port(&endpoint.at)?;
    Some((host.to_ascii_lowercase(), port?))
}
