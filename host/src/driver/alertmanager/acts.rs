//! What runbooks ask of Alertmanager: its alerts and silences, and silences made and ended.
//!
//! A silence carries run and slot in its comment; whoever wonders whether it was made looks for that. Deliberately not
//! here: which silences this engine heeds itself.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use sandbook_core::effect::alertmanager::{
    AlertFilter, AlertState, CreateSilence, HeldAlert, LISTED_MAX, Silence, SilenceCreated, SilenceExpired,
    SilenceFilter, SilenceState, marker, read_matchers,
};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::Recovered;
use sandbook_core::matching::{Matcher, Op};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Alertmanager, WireSilence};
use crate::driver::Settled;

/// Who made a silence, as Alertmanager shows it.
const AUTHOR: &str = "sandbook";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAlert {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default)]
    fingerprint: String,
    status: WireAlertStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAlertStatus {
    state: AlertState,
    #[serde(default)]
    silenced_by: Vec<String>,
    #[serde(default)]
    inhibited_by: Vec<String>,
}

impl Alertmanager {
    /// Alerts it holds. Errors: `invalid`, `timeout`, `limited`, `failed`.
    pub async fn list_alerts(&self, filter: &AlertFilter) -> Result<Vec<HeldAlert>, Error> {
        let wanted = read_matchers(filter.matchers.as_deref().unwrap_or_default())?;
        let query = "active=true&silenced=true&inhibited=true&unprocessed=true";
        let alerts: Vec<WireAlert> = self.get("api/v2/alerts", Some(query)).await?;
        let fits = |alert: &WireAlert| {
            wanted.iter().all(|matcher| matcher.matches(&alert.labels))
                && filter.silenced.is_none_or(|silenced| silenced != alert.status.silenced_by.is_empty())
                && filter.inhibited.is_none_or(|inhibited| inhibited != alert.status.inhibited_by.is_empty())
        };
        let held = alerts.into_iter().filter(fits).take(LISTED_MAX).map(|alert| HeldAlert {
            name: alert.labels.get("alertname").cloned().unwrap_or_default(),
            labels: alert.labels,
            annotations: alert.annotations,
            starts_at: alert.starts_at,
            fingerprint: alert.fingerprint,
            state: alert.status.state,
            silenced_by: alert.status.silenced_by,
        });
        Ok(held.collect())
    }

    /// Its silences. Errors: as [`Self::list_alerts`].
    pub async fn list_silences(&self, filter: &SilenceFilter) -> Result<Vec<Silence>, Error> {
        let wanted = read_matchers(filter.matchers.as_deref().unwrap_or_default())?;
        let values: Vec<Value> = self.get("api/v2/silences", None).await?;
        let mut listed = Vec::new();
        for value in values {
            let Ok((silence, own)) = read(value) else { continue };
            let over = silence.state == SilenceState::Expired && filter.expired != Some(true);
            if !over && wanted.iter().all(|matcher| own.contains(matcher)) {
                listed.push(silence);
            }
        }
        listed.truncate(LISTED_MAX);
        Ok(listed)
    }

    /// Makes a silence that says which run and slot made it. Errors: as [`Self::list_alerts`]; a lost answer is a `timeout`.
    pub async fn create_silence(&self, op: &CreateSilence, run: &str, slot: u32) -> Result<SilenceCreated, Error> {
        let wanted = &op.silence;
        let matchers: Vec<Value> = read_matchers(&wanted.matchers)?.iter().map(wire).collect();
        let now = jiff::Timestamp::now();
        let ms = i64::try_from(wanted.duration_ms).unwrap_or(i64::MAX);
        let ends = now
            .checked_add(jiff::SignedDuration::from_millis(ms))
            .map_err(|error| Error::invalid(format!("duration_ms: {error}")))?;
        let body = json!({
            "matchers": matchers,
            "startsAt": now.to_string(),
            "endsAt": ends.to_string(),
            "createdBy": AUTHOR,
            "comment": format!("{} {}", wanted.comment, marker(run, slot)),
        });
        let made: Value = self.change(Method::POST, "api/v2/silences", Some(&body)).await?;
        let id = made["silenceID"]
            .as_str()
            .ok_or_else(|| Error::timeout("alertmanager made a silence and does not say which"))?;
        Ok(SilenceCreated { id: id.to_owned(), ends_at: ends.to_string() })
    }

    /// Ends a silence. Errors: `not-found`; as [`Self::create_silence`].
    pub async fn expire_silence(&self, id: &str) -> Result<SilenceExpired, Error> {
        if self.silence_state(id).await? == SilenceState::Expired {
            return Ok(SilenceExpired { changed: false });
        }
        let _: Value = self.change(Method::DELETE, &format!("api/v2/silence/{id}"), None).await?;
        Ok(SilenceExpired { changed: true })
    }

    async fn silence_state(&self, id: &str) -> Result<SilenceState, Error> {
        let found: Value = self.get(&format!("api/v2/silence/{id}"), None).await.map_err(|error| {
            let unknown = error.message.contains("404");
            if unknown { Error::not_found(format!("there is no silence `{id}`")) } else { error }
        })?;
        read(found).map(|(silence, _)| silence.state).map_err(Error::failed)
    }

    /// Whether this run's silence was made: it is found by what its comment says.
    pub(in crate::driver) async fn settle_silence(
        &self,
        run: &str,
        slot: u32,
        horizon_passed: bool,
    ) -> Result<Settled, Error> {
        let all = self.list_silences(&SilenceFilter { matchers: None, expired: Some(true) }).await?;
        let marker = marker(run, slot);
        if let Some(made) = all.into_iter().find(|silence| silence.comment.ends_with(&marker)) {
            let value = serde_json::to_value(SilenceCreated { id: made.id, ends_at: made.ends_at });
            return Ok(Settled::Is(Recovered::Done(value.map_err(|error| Error::failed(error.to_string()))?)));
        }
        Ok(if horizon_passed { Settled::Is(Recovered::NotDone) } else { Settled::AtHorizon })
    }

    /// Whether a silence is over.
    pub(in crate::driver) async fn settle_expiry(&self, id: &str, horizon_passed: bool) -> Result<Settled, Error> {
        match self.silence_state(id).await {
            Ok(SilenceState::Expired) => {
                let value = serde_json::to_value(SilenceExpired { changed: true });
                Ok(Settled::Is(Recovered::Done(value.map_err(|error| Error::failed(error.to_string()))?)))
            }
            Ok(SilenceState::Active | SilenceState::Pending) if horizon_passed => Ok(Settled::Is(Recovered::NotDone)),
            Ok(SilenceState::Active | SilenceState::Pending) => Ok(Settled::AtHorizon),
            Err(error) if error.kind == ErrorKind::NotFound => {
                Ok(Settled::Is(Recovered::Unknown("alertmanager does not know the silence any more".to_owned())))
            }
            Err(error) => Err(error),
        }
    }

    /// A call that changes something: a lost answer may have happened.
    async fn change<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let lost = |why: String| {
            Error::timeout(format!("alertmanager at {}: {why}; it may still have happened", self.place()))
        };
        let mut request = self.request(method, path, None).await?.timeout(Duration::from_millis(super::ANSWER_MS));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| match error.is_connect() {
            true => Error::failed(format!("alertmanager at {} cannot be reached", self.place())),
            false => lost(super::web::reason(error)),
        })?;
        let status = response.status();
        let (bytes, _) = super::web::body(response, super::ANSWER_BYTES_MAX)
            .await
            .map_err(|error| lost(super::web::reason(error)))?;
        if !status.is_success() {
            let said = String::from_utf8_lossy(&bytes).trim().trim_matches('"').to_owned();
            let message = format!("alertmanager at {} answered {status}: {said}", self.place());
            return Err(match status.as_u16() {
                400 | 422 => Error::invalid(message),
                404 => Error::not_found(message),
                _ => Error::failed(message),
            });
        }
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|_| lost("its answer is not its API".to_owned()))
    }
}

fn read(value: Value) -> Result<(Silence, Vec<Matcher>), String> {
    let wire: WireSilence = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let state = match wire.status.state.as_str() {
        "active" => SilenceState::Active,
        "pending" => SilenceState::Pending,
        _ => SilenceState::Expired,
    };
    let matchers: Vec<Matcher> =
        wire.matchers.into_iter().map(super::matcher).collect::<Result<Vec<Matcher>, String>>()?;
    let silence = Silence {
        id: wire.id,
        state,
        matchers: matchers.iter().map(ToString::to_string).collect(),
        created_by: wire.created_by,
        comment: wire.comment,
        starts_at: wire.starts_at.to_string(),
        ends_at: wire.ends_at.to_string(),
    };
    Ok((silence, matchers))
}

/// A matcher as the API takes it.
fn wire(matcher: &Matcher) -> Value {
    let (is_regex, is_equal) = match matcher.op() {
        Op::Equal => (false, true),
        Op::NotEqual => (false, false),
        Op::Matches => (true, true),
        Op::MatchesNot => (true, false),
    };
    json!({"name": matcher.label(), "value": matcher.value(), "isRegex": is_regex, "isEqual": is_equal})
}

#[cfg(test)]
mod tests {
    use super::super::WireMatcher;
    use super::*;

    #[test]
    fn matchers_survive_the_way_there_and_back() {
        for written in ["a=\"b\"", "a!=\"b\"", "a=~\"b.*\"", "a!~\"b|c\""] {
            let matcher: Matcher = written.parse().expect(written);
            let back: WireMatcher = serde_json::from_value(wire(&matcher)).expect("the API's shape");
            assert_eq!(super::super::matcher(back).expect("a matcher").to_string(), written);
        }
    }
}
