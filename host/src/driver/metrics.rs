//! Live `metrics` effects: the Prometheus HTTP API, with its own words for what is wrong with a query.
//!
//! Deliberately not here: aggregation. A query that returns too much is refused with the advice to aggregate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sandbook_core::effect::metrics::{Query, QueryRange, SERIES_MAX, Sample, Series};
use sandbook_core::error::Error;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::redact::Secrets;
use super::web;

/// Bytes of an answer read at the most: a thousand series of a thousand points each.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a query may take inside Prometheus: less than the effect's deadline, so that its own error arrives.
const QUERY_SECONDS: u64 = 25;

/// Where metrics are asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Base URL, such as `http://127.0.0.1:9090`; a path prefix is kept.
    pub url: String,
    /// File with a bearer token, read at every query.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// A client of one Prometheus.
#[derive(Debug, Clone)]
pub struct Prometheus {
    base: Url,
    token_file: Option<PathBuf>,
    client: reqwest::Client,
    secrets: Secrets,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

impl Prometheus {
    /// Connects to nothing yet. Errors: `invalid` for a URL that is none.
    pub fn new(source: &Source, secrets: Secrets) -> Result<Prometheus, Error> {
        let mut base = Url::parse(&source.url).map_err(|error| Error::invalid(format!("metrics url: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Error::invalid("metrics url is neither http nor https"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let client = web::client(web::Redirects::Never);
        Ok(Prometheus { base, token_file: source.token_file.clone(), client, secrets })
    }

    /// An instant query, evaluated at `at` (absent: now). Errors: `invalid` with Prometheus' words, `limited`, `timeout`, `failed`.
    pub async fn query(&self, op: &Query, at: Option<jiff::Timestamp>) -> Result<Vec<Sample>, Error> {
        let mut form = vec![("query", op.promql.clone())];
        form.extend(at.map(|at| ("time", super::docker::instant(at))));
        let data = self.ask("api/v1/query", form).await?;
        match data.kind.as_str() {
            "vector" => {
                let items: Vec<Item> = parse(data.result)?;
                bounded(items.len())?;
                items.into_iter().map(|item| sample(item.metric, item.value.unwrap_or_default())).collect()
            }
            "scalar" => Ok(vec![sample(BTreeMap::new(), parse(data.result)?)?]),
            kind => {
                Err(Error::invalid(format!("promql gives a {kind}; an instant query must give a vector or a scalar")))
            }
        }
    }

    /// A range query that ends at `until` (absent: now). Points that are not finite are left out. Errors: as [`Self::query`].
    pub async fn query_range(&self, op: &QueryRange, until: Option<jiff::Timestamp>) -> Result<Vec<Series>, Error> {
        let end = until.unwrap_or_else(jiff::Timestamp::now);
        let back = jiff::SignedDuration::from_millis(i64::try_from(op.range.since_ms).unwrap_or(i64::MAX));
        let start = end.checked_sub(back).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let form = vec![
            ("query", op.promql.clone()),
            ("start", super::docker::instant(start)),
            ("end", super::docker::instant(end)),
            ("step", format!("{}.{:03}", op.range.step_ms / 1_000, op.range.step_ms % 1_000)),
        ];
        let data = self.ask("api/v1/query_range", form).await?;
        let items: Vec<Item> = parse(data.result)?;
        bounded(items.len())?;
        Ok(items
            .into_iter()
            .map(|item| Series {
                labels: item.metric,
                points: item
                    .values
                    .into_iter()
                    .filter_map(|(at, value)| Some((at, number(&value)?)))
                    .filter(|(_, value)| value.is_finite())
                    .collect(),
            })
            .collect())
    }

    async fn ask(&self, path: &str, mut form: Vec<(&str, String)>) -> Result<Data, Error> {
        form.push(("timeout", format!("{QUERY_SECONDS}s")));
        let url = self.base.join(path).expect("a constant relative path joins any base");
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self
            .client
            .post(url)
            .timeout(Duration::from_secs(QUERY_SECONDS + 2))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(file) = &self.token_file {
            let token =
                self.secrets.read(file).await.map_err(|why| Error::failed(format!("metrics token file {why}")))?;
            request = request.bearer_auth(token);
        }
        let trouble = |error: reqwest::Error| match error.is_timeout() {
            true => Error::timeout("prometheus did not answer in time"),
            false => Error::failed(format!(
                "prometheus at {} cannot be asked: {}",
                self.base.authority(),
                web::reason(error)
            )),
        };
        let response = request.send().await.map_err(trouble)?;
        let status = response.status();
        let (bytes, cut) = web::body(response, ANSWER_BYTES_MAX).await.map_err(trouble)?;
        if cut {
            return Err(Error::limited(format!(
                "the answer has more than {ANSWER_BYTES_MAX} bytes; aggregate in the query"
            )));
        }
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| Error::failed(format!("prometheus answered {status} with something that is not its API")))?;
        match (answer.status.as_str(), answer.error_type.as_str(), answer.data) {
            ("success", _, Some(data)) => Ok(data),
            (_, "bad_data" | "execution", _) => Err(Error::invalid(format!("promql: {}", answer.error))),
            (_, "timeout" | "canceled", _) => Err(Error::timeout(format!("prometheus: {}", answer.error))),
            (_, kind, _) => Err(Error::failed(format!("prometheus answered {status} {kind}: {}", answer.error))),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value)
        .map_err(|error| Error::failed(format!("prometheus' answer has an unknown shape: {error}")))
}

fn bounded(series: usize) -> Result<(), Error> {
    if series > SERIES_MAX {
        return Err(Error::limited(format!(
            "the query gives {series} series, at most {SERIES_MAX} are allowed; aggregate in the query"
        )));
    }
    Ok(())
}

fn sample(labels: BTreeMap<String, String>, (at, value): (f64, String)) -> Result<Sample, Error> {
    let value = number(&value).ok_or_else(|| Error::failed(format!("prometheus gave `{value}` as a value")))?;
    let at = jiff::Timestamp::from_millisecond((at * 1_000.0).round() as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Ok(Sample { labels, value, at: at.to_string() })
}

/// Prometheus writes `+Inf`, `-Inf` and `NaN`; Rust reads all three.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}
