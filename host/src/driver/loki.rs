//! Live `logs.query-loki`: Loki's HTTP API, with its own words for what is wrong with a query.
//!
//! Deliberately not here: queries that give numbers. They belong to a recording rule and to `metrics`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sandbook_core::effect::logs::{
    LokiLine, LokiPage, MATCHES_DEFAULT, PAGE_BYTES_MAX, QueryLoki, SEARCH_SINCE_MS_DEFAULT,
};
use sandbook_core::error::{Error, truncate_at_char};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::redact::Secrets;
use super::web;

/// Bytes of an answer read at the most: a thousand long lines.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How long a query may take: less than the effect's deadline, so that its own error arrives.
const QUERY_MS: u64 = 27_000;
/// Longest line; the rest of a longer one is cut.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// Where Loki is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Base URL, such as `http://127.0.0.1:3100`; a path prefix is kept.
    pub url: String,
    /// Tenant, sent as `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// File with a bearer token, read at every query.
    pub token_file: Option<PathBuf>,
}

/// A client of one Loki.
#[derive(Debug, Clone)]
pub struct Loki {
    base: Url,
    tenant: Option<String>,
    token_file: Option<PathBuf>,
    client: reqwest::Client,
    secrets: Secrets,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    stream: BTreeMap<String, String>,
    /// Nanoseconds since 1970 as text, and the line; newer versions append a third item.
    values: Vec<Vec<Value>>,
}

impl Loki {
    /// Connects to nothing yet. Errors: `invalid` for a URL that is none.
    pub fn new(source: &Source, secrets: Secrets) -> Result<Loki, Error> {
        let mut base = Url::parse(&source.url).map_err(|error| Error::invalid(format!("loki url: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Error::invalid("loki url is neither http nor https"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let client = web::client(web::Redirects::Never);
        let (tenant, token_file) = (source.tenant.clone(), source.token_file.clone());
        Ok(Loki { base, tenant, token_file, client, secrets })
    }

    /// The newest lines a query finds, oldest first. Errors: `invalid` with Loki's words, `limited`, `timeout`, `failed`.
    pub async fn query(&self, op: &QueryLoki) -> Result<LokiPage, Error> {
        let limit = usize::try_from(op.options.limit.unwrap_or(MATCHES_DEFAULT)).unwrap_or(usize::MAX);
        let end = jiff::Timestamp::now();
        let back = i64::try_from(op.options.since_ms.unwrap_or(SEARCH_SINCE_MS_DEFAULT)).unwrap_or(i64::MAX);
        let start = end.checked_sub(jiff::SignedDuration::from_millis(back)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &op.logql)
            .append_pair("start", &start.as_nanosecond().to_string())
            .append_pair("end", &end.as_nanosecond().to_string())
            // One more than asked for tells whether there were more.
            .append_pair("limit", &limit.saturating_add(1).to_string())
            .append_pair("direction", "backward")
            .finish();
        let data = self.ask(&query).await?;
        if data.kind != "streams" {
            return Err(Error::invalid(format!("logql gives a {}; it must give lines", data.kind)));
        }
        let streams: Vec<Stream> = serde_json::from_value(data.result).map_err(|_| not_loki(self))?;
        Ok(page(streams, limit))
    }

    async fn ask(&self, query: &str) -> Result<Data, Error> {
        let mut url = self.base.join("loki/api/v1/query_range").expect("a constant relative path joins any base");
        url.set_query(Some(query));
        let mut request = self.client.get(url).timeout(Duration::from_millis(QUERY_MS));
        if let Some(tenant) = &self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        if let Some(file) = &self.token_file {
            let token = self.secrets.read(file).await.map_err(|why| Error::failed(format!("loki token file {why}")))?;
            request = request.bearer_auth(token);
        }
        let trouble = |error: reqwest::Error| match error.is_timeout() {
            true => Error::timeout(format!("loki at {} did not answer in time", self.base.authority())),
            false => {
                Error::failed(format!("loki at {} cannot be asked: {}", self.base.authority(), web::reason(error)))
            }
        };
        let response = request.send().await.map_err(trouble)?;
        let status = response.status();
        let (bytes, cut) = web::body(response, ANSWER_BYTES_MAX).await.map_err(trouble)?;
        if cut {
            return Err(Error::limited(format!("loki's answer has more than {ANSWER_BYTES_MAX} bytes; ask for less")));
        }
        if !status.is_success() {
            let mut said = String::from_utf8_lossy(&bytes).trim().to_owned();
            truncate_at_char(&mut said, 500);
            let message = format!("loki answered {status}: {said}");
            return Err(if status.as_u16() == 400 { Error::invalid(message) } else { Error::failed(message) });
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| not_loki(self))?;
        Ok(answer.data)
    }
}

fn not_loki(loki: &Loki) -> Error {
    Error::failed(format!(
        "loki at {} answered with something that is not its API; check [loki] url",
        loki.base.authority()
    ))
}

/// The newest lines of all streams in time order, within what a page may have.
fn page(streams: Vec<Stream>, limit: usize) -> LokiPage {
    let mut lines: Vec<(i128, LokiLine)> = Vec::new();
    for stream in streams {
        for value in &stream.values {
            let (Some(at), Some(line)) = (value.first().and_then(Value::as_str), value.get(1).and_then(Value::as_str))
            else {
                continue;
            };
            let Ok(nanos) = at.parse::<i128>() else { continue };
            let at = jiff::Timestamp::from_nanosecond(nanos).map(|at| at.to_string()).unwrap_or_default();
            let mut line = line.to_owned();
            truncate_at_char(&mut line, LINE_BYTES_MAX);
            lines.push((nanos, LokiLine { at, line, labels: stream.stream.clone() }));
        }
    }
    lines.sort_by_key(|(nanos, _)| std::cmp::Reverse(*nanos));
    let mut truncated = lines.len() > limit;
    lines.truncate(limit);
    let mut bytes = 0;
    let mut kept: Vec<LokiLine> = Vec::new();
    for (_, line) in lines {
        bytes += line.line.len() + line.labels.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if bytes > PAGE_BYTES_MAX {
            truncated = true;
            break;
        }
        kept.push(line);
    }
    kept.reverse();
    LokiPage { lines: kept, truncated }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_lines_of_all_streams_stand_in_order() {
        let stream = |app: &str, values: Value| {
            serde_json::from_value::<Stream>(json!({"stream": {"app": app}, "values": values})).expect("a stream")
        };
        let streams = vec![
            stream("a", json!([["3000000000", "third"], ["1000000000", "first"]])),
            stream("b", json!([["2000000000", "second", {}], ["no time", "lost"]])),
        ];
        let found = page(streams, 2);
        let lines: Vec<&str> = found.lines.iter().map(|line| line.line.as_str()).collect();
        assert_eq!((lines, found.truncated), (vec!["second", "third"], true));
        assert_eq!(found.lines[0].at, "1970-01-01T00:00:02Z");
    }
}
