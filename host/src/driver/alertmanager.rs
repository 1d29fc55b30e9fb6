//! A client of Alertmanager's API v2: the alerts it holds, its silences, the names of its receivers.
//!
//! Deliberately not here: when to ask, and what an answer means for a run; see [`crate::catch_up`] and
//! [`crate::silences`].

use std::path::PathBuf;
use std::time::Duration;

use sandbook_core::error::Error;
use sandbook_core::matching::{Matcher, Op};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::redact::Secrets;
use super::web;

mod acts;

/// Bytes of an answer read at the most: ten thousand alerts with long annotations.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How long an answer may take: a busy Alertmanager needs a second for ten thousand alerts.
const ANSWER_MS: u64 = 10_000;
/// Silences kept at the most; an Alertmanager with more of them has other troubles. Each alert is compared with all.
pub const SILENCES_MAX: usize = 10_000;

/// Where Alertmanager is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Base URL, such as `http://127.0.0.1:9093`; a path prefix is kept.
    pub url: String,
    /// File with a bearer token, read at every request.
    pub token_file: Option<PathBuf>,
}

/// A client of one Alertmanager.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    base: Url,
    token_file: Option<PathBuf>,
    client: reqwest::Client,
    secrets: Secrets,
}

/// A silence that is active or will be. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Alertmanager's id.
    pub id: String,
    /// Who created it.
    pub by: String,
    /// Why.
    pub comment: String,
    /// It holds from then.
    pub from: u64,
    /// It holds until then.
    pub until: u64,
    /// All must hold; at least one.
    pub matchers: Vec<Matcher>,
}

/// What is silenced, and which silences cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Silenced {
    /// Active and pending ones.
    pub silences: Vec<Silence>,
    /// A sentence for each that could not be read, or was beyond [`SILENCES_MAX`].
    pub unreadable: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSilence {
    id: String,
    status: WireStatus,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    starts_at: jiff::Timestamp,
    ends_at: jiff::Timestamp,
    matchers: Vec<WireMatcher>,
}

#[derive(Deserialize)]
struct WireStatus {
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMatcher {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    /// Absent in what older versions write: then it is an equality.
    is_equal: Option<bool>,
}

#[derive(Deserialize)]
struct WireReceiver {
    name: String,
}

impl Alertmanager {
    /// Connects to nothing yet. Errors: `invalid` for a URL that is none.
    pub fn new(source: &Source, secrets: Secrets) -> Result<Alertmanager, Error> {
        let mut base = Url::parse(&source.url).map_err(|error| Error::invalid(format!("alertmanager url: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Error::invalid("alertmanager url is neither http nor https"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let client = web::client(web::Redirects::Never);
        Ok(Alertmanager { base, token_file: source.token_file.clone(), client, secrets })
    }

    /// Host and port, for messages.
    pub fn place(&self) -> &str {
        self.base.authority()
    }

    /// Alerts that fire and are neither silenced nor inhibited, of those it sends to that receiver. Each as the API has
    /// it; [`sandbook_core::alert::parse_message`] reads a list of them. Errors: `timeout`, `limited`, `failed`.
    pub async fn alerts(&self, receiver: &str) -> Result<Vec<Value>, Error> {
        let query = "active=true&silenced=false&inhibited=false&unprocessed=false";
        let alerts: Vec<Value> = self.get("api/v2/alerts", Some(query)).await?;
        Ok(alerts.into_iter().filter(|alert| is_for(alert, receiver)).collect())
    }

    /// Silences that are active or pending; one that cannot be read does not cost the others. Errors: as
    /// [`Self::alerts`].
    pub async fn silences(&self) -> Result<Silenced, Error> {
        let values: Vec<Value> = self.get("api/v2/silences", None).await?;
        let mut found = Silenced::default();
        let over = |value: &Value| value["status"]["state"] == "expired";
        for value in values.into_iter().filter(|value| !over(value)) {
            let id = value["id"].as_str().unwrap_or("without id").to_owned();
            if found.silences.len() >= SILENCES_MAX {
                found.unreadable.push(format!("there are more than {SILENCES_MAX} silences; the others are ignored"));
                break;
            }
            match silence(value) {
                Ok(silence) => found.silences.push(silence),
                Err(why) => found.unreadable.push(format!("silence {id} cannot be read and is ignored: {why}")),
            }
        }
        Ok(found)
    }

    /// Names of its receivers. Errors: as [`Self::alerts`].
    pub async fn receivers(&self) -> Result<Vec<String>, Error> {
        let receivers: Vec<WireReceiver> = self.get("api/v2/receivers", None).await?;
        Ok(receivers.into_iter().map(|receiver| receiver.name).collect())
    }

    async fn request(
        &self,
        method: reqwest::Method,
        path: &str,
        query: Option<&str>,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let mut url = self.base.join(path).map_err(|error| Error::invalid(format!("{path}: {error}")))?;
        url.set_query(query);
        let mut request = self.client.request(method, url).timeout(Duration::from_millis(ANSWER_MS));
        if let Some(file) = &self.token_file {
            let token =
                self.secrets.read(file).await.map_err(|why| Error::failed(format!("alertmanager token file {why}")))?;
            request = request.bearer_auth(token);
        }
        Ok(request)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: Option<&str>) -> Result<T, Error> {
        let request = self.request(reqwest::Method::GET, path, query).await?;
        let trouble = |error: reqwest::Error| match error.is_timeout() {
            true => Error::timeout(format!("alertmanager at {} did not answer in time", self.place())),
            false => Error::failed(format!("alertmanager at {} cannot be asked: {}", self.place(), web::reason(error))),
        };
        let response = request.send().await.map_err(trouble)?;
        let status = response.status();
        let (bytes, cut) = web::body(response, ANSWER_BYTES_MAX).await.map_err(trouble)?;
        if !status.is_success() {
            let help = "check [alertmanager] url and token_file";
            return Err(Error::failed(format!("alertmanager at {} answered {status} to {path}; {help}", self.place())));
        }
        if cut {
            let message = format!("alertmanager's answer to {path} has more than {ANSWER_BYTES_MAX} bytes");
            return Err(Error::limited(message));
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            let message =
                format!("alertmanager at {} answered {path} with something that is not its API", self.place());
            Error::failed(message)
        })
    }
}

fn is_for(alert: &Value, receiver: &str) -> bool {
    alert["receivers"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == receiver))
}

fn silence(value: Value) -> Result<Silence, String> {
    let wire: WireSilence = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let matchers: Result<Vec<Matcher>, String> = wire.matchers.into_iter().map(matcher).collect();
    let matchers = matchers?;
    if matchers.is_empty() {
        return Err("it has no matchers".to_owned());
    }
    let ms = |time: jiff::Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
    // Alertmanager says that it holds, so it does, whatever our clock says of its beginning.
    let from = if wire.status.state == "active" { 0 } else { ms(wire.starts_at) };
    Ok(Silence { id: wire.id, by: wire.created_by, comment: wire.comment, from, until: ms(wire.ends_at), matchers })
}

fn matcher(wire: WireMatcher) -> Result<Matcher, String> {
    let op = match (wire.is_regex, wire.is_equal.unwrap_or(true)) {
        (false, true) => Op::Equal,
        (false, false) => Op::NotEqual,
        (true, true) => Op::Matches,
        (true, false) => Op::MatchesNot,
    };
    Matcher::new(wire.name, op, wire.value).map_err(|error| error.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn wire(matchers: &Value) -> Value {
        json!({
            "id": "5c5c", "createdBy": "dana", "comment": "deploy", "status": {"state": "active"},
            "startsAt": "2026-03-01T03:00:00.000Z", "endsAt": "2026-03-01T04:00:00.000Z",
            "updatedAt": "2026-03-01T03:00:00.000Z", "matchers": matchers,
        })
    }

    #[test]
    fn matchers_mean_what_alertmanager_means() {
        // The matcher, a value it accepts, a value it refuses; an absent label is the empty text.
        for (matcher, yes, no) in [
            (json!({"name": "a", "value": "x", "isRegex": false, "isEqual": true}), "x", "xx"),
            (json!({"name": "a", "value": "x", "isRegex": false}), "x", ""),
            (json!({"name": "a", "value": "x", "isRegex": false, "isEqual": false}), "", "x"),
            (json!({"name": "a", "value": "x|y", "isRegex": true, "isEqual": true}), "y", "xy"),
            (json!({"name": "a", "value": "web-.*", "isRegex": true}), "web-1", "my-web-1"),
            (json!({"name": "a", "value": "x.*", "isRegex": true, "isEqual": false}), "y", "xy"),
        ] {
            let silence = silence(wire(&json!([matcher]))).expect("readable");
            let labels = |value: &str| BTreeMap::from([("a".to_owned(), value.to_owned())]);
            assert!(silence.matchers[0].matches(&labels(yes)), "{matcher} {yes}");
            assert!(!silence.matchers[0].matches(&labels(no)), "{matcher} {no}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let bad = json!([{"name": "a", "value": "(", "isRegex": true}]);
        assert!(silence(wire(&bad)).expect_err("no expression").contains("does not compile"));
        assert!(silence(wire(&json!([]))).expect_err("nothing").contains("no matchers"));
        let read = silence(wire(&json!([{"name": "a", "value": "x", "isRegex": false}]))).expect("readable");
        assert_eq!((read.from, read.until), (0, 1_772_337_600_000), "it is active, whatever our clock says");
    }

    #[test]
    fn only_our_receivers_alerts_are_ours() {
        let alert = json!({"receivers": [{"name": "people"}, {"name": "sandbook"}]});
        assert!(is_for(&alert, "sandbook"));
        assert!(!is_for(&alert, "sand"));
        assert!(!is_for(&json!({}), "sandbook"));
    }
}
