//! Messages over channels: Slack, PagerDuty Events v2, templated webhooks and mail, for `notify` effects and the engine.
//!
//! Secrets are read from their files when a message goes out and are remembered for redaction; an error never shows
//! a URL, because a webhook's path is its password. Deliberately not here: which event goes to which channel, and
//! keeping what could not be sent; the outbox does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbook_core::effect::notify::{Message, Receipt};
use sandbook_core::error::Error;
use serde::Deserialize;
use url::Url;

use super::redact::Secrets;
use super::web;

mod body;
mod channel;
mod mail;
mod said;
mod template;

pub use channel::{Channel, ChannelKind};
pub use mail::MailTls;
pub use said::{Fault, Retry, Said};

/// Attempts of a runbook's message: a blip of seconds is bridged, an outage is not waited out.
const ATTEMPTS: u32 = 3;
/// Waits between them; together with the attempts they fit the effect's deadline of 15 s.
const BACKOFF_MS: [u64; 2] = [500, 2_000];
/// One attempt.
const ATTEMPT_MS: u64 = 4_000;
/// Text in an error answer shown at the most.
const ANSWER_BYTES_MAX: usize = 300;
/// The longest that a receiver may tell us to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Where PagerDuty listens unless a channel names another place (the EU region, a relay).
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// The kind of a runbook's own message.
const MESSAGE: &str = "message";

/// Sends messages over configured channels.
#[derive(Debug, Clone)]
pub struct Notifier {
    channels: BTreeMap<String, Channel>,
    escalation: Option<String>,
    client: reqwest::Client,
    secrets: Secrets,
}

impl Notifier {
    /// Channels by name, and the one used where a message names none.
    pub fn new(channels: BTreeMap<String, Channel>, escalation: Option<String>, secrets: Secrets) -> Notifier {
        Notifier { channels, escalation, client: web::client(web::Redirects::Never), secrets }
    }

    /// The channel a message goes to. Errors: `not-found`, listing what is configured.
    pub fn channel(&self, name: Option<&str>) -> Result<&str, Error> {
        let Some(name) = name.or(self.escalation.as_deref()) else {
            return Err(Error::not_found(
                "no escalation channel is configured; set [notify] escalation or name a channel",
            ));
        };
        match self.channels.get_key_value(name) {
            Some((known, _)) => Ok(known),
            None => Err(Error::not_found(format!("channel `{name}` is not configured; {}", self.listed()))),
        }
    }

    /// Which channels there are, in words.
    pub fn listed(&self) -> String {
        let known: Vec<&str> = self.channels.keys().map(String::as_str).collect();
        if known.is_empty() { "there are none".to_owned() } else { format!("there are: {}", known.join(", ")) }
    }

    /// How a channel is spoken to, if there is one of that name.
    pub fn kind(&self, channel: &str) -> Option<ChannelKind> {
        self.channels.get(channel).map(|channel| channel.kind)
    }

    /// A runbook's message: three attempts, at most 15 s. Errors: `not-found` for an unknown channel, `failed` in words
    /// that hold no secret.
    pub(super) async fn send(&self, message: &Message, default_key: &str) -> Result<Receipt, Error> {
        let channel = self.channel(message.channel.as_deref())?.to_owned();
        let dedup_key = message.dedup_key.clone().unwrap_or_else(|| default_key.to_owned());
        let said = Said {
            title: message.title.clone(),
            text: message.text.clone(),
            severity: message.severity.unwrap_or_default(),
            dedup_key: dedup_key.clone(),
            kind: MESSAGE.to_owned(),
            ..Said::default()
        };
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if let Some(pause) = attempt.checked_sub(1).and_then(|index| BACKOFF_MS.get(index as usize)) {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
            }
            match self.attempt(&channel, &said).await {
                Ok(_) => return Ok(Receipt { channel, dedup_key }),
                Err(Fault { why, retry: Retry::Soon, .. }) => last = why,
                Err(fault) => return Err(Error::failed(fault.why)),
            }
        }
        Err(Error::failed(format!("{last} ({ATTEMPTS} attempts)")))
    }

    /// Sends a message once. Answers with what the receiver said; a fault shows no secret.
    pub async fn attempt(&self, channel: &str, said: &Said) -> Result<String, Fault> {
        let clean = |mut fault: Fault| {
            fault.why = format!("channel `{channel}`: {}", fault.why);
            super::redact::redact_text(&mut fault.why, &self.secrets.all());
            fault
        };
        let Some(found) = self.channels.get(channel) else {
            return Err(clean(Fault::new(Retry::Later, "is not configured any more")));
        };
        let sent = match found.kind {
            ChannelKind::Mail => match self.password(found).await {
                Ok(password) => mail::send(found, password, said).await,
                Err(why) => Err(Fault::new(Retry::Later, why)),
            },
            ChannelKind::Slack | ChannelKind::Pagerduty | ChannelKind::Webhook => match self.prepare(found, said).await
            {
                Ok(prepared) => self.post(&prepared).await,
                Err(why) => Err(Fault::new(Retry::Later, why)),
            },
        };
        sent.map_err(clean)
    }

    async fn password(&self, channel: &Channel) -> Result<Option<String>, String> {
        match &channel.password_file {
            Some(file) => self.secret(file).await.map(Some),
            None => Ok(None),
        }
    }

    async fn post(&self, prepared: &Prepared) -> Result<String, Fault> {
        let mut request = self.client.post(prepared.url.clone()).timeout(Duration::from_millis(ATTEMPT_MS));
        if !prepared.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &prepared.headers {
            request = request.header(name, value);
        }
        let response = request.body(prepared.body.clone()).send().await;
        answered(&prepared.place(), response).await
    }

    async fn prepare(&self, channel: &Channel, said: &Said) -> Result<Prepared, String> {
        let url = match (&channel.url_file, &channel.url, channel.kind) {
            (Some(file), _, _) => {
                let url = self.secret(file).await?;
                // The path is the secret part; the host alone may stand in an error.
                if let Ok(url) = Url::parse(&url) {
                    self.secrets.remember(url.path().trim_start_matches('/'));
                }
                url
            }
            (None, Some(url), _) => url.clone(),
            (None, None, ChannelKind::Pagerduty) => PAGERDUTY_URL.to_owned(),
            (None, None, ChannelKind::Slack | ChannelKind::Webhook | ChannelKind::Mail) => {
                return Err("has neither url_file nor url".to_owned());
            }
        };
        let url = Url::parse(&url).map_err(|error| format!("its url is none: {error}"))?;
        let body = match (channel.kind, &channel.body) {
            (ChannelKind::Slack, _) => body::slack(said).to_string(),
            (ChannelKind::Pagerduty, _) => {
                let file = channel.routing_key_file.as_deref().ok_or("has no routing_key_file")?;
                body::pagerduty(&self.secret(file).await?, said).to_string()
            }
            (ChannelKind::Webhook, Some(template)) => template::fill(template, said)?,
            (ChannelKind::Webhook | ChannelKind::Mail, _) => body::plain(said).to_string(),
        };
        Ok(Prepared { url, headers: channel.headers.clone(), body })
    }

    async fn secret(&self, file: &Path) -> Result<String, String> {
        self.secrets.read(file).await.map_err(|why| format!("secret file {why}"))
    }
}

struct Prepared {
    url: Url,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Prepared {
    /// The part of the URL that is no secret.
    fn place(&self) -> String {
        self.url.host_str().unwrap_or("its host").to_owned()
    }
}

/// What a receiver on the web said. Its URL is in no fault.
pub(super) async fn answered(
    place: &str,
    response: Result<reqwest::Response, reqwest::Error>,
) -> Result<String, Fault> {
    let response = response.map_err(|error| {
        let retry = if error.is_builder() { Retry::Later } else { Retry::Soon };
        Fault::new(retry, format!("{place} gave no answer: {}", web::reason(error)))
    })?;
    let status = response.status();
    let after = response.headers().get("retry-after").and_then(|value| retry_after(value.to_str().ok()?));
    let (bytes, _) = web::body(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let answer = format!("{place} answered {}: {}", status.as_u16(), String::from_utf8_lossy(&bytes).trim());
    if status.is_success() {
        return Ok(answer);
    }
    let retry = match status.as_u16() {
        408 | 425 | 429 | 500..=599 => Retry::Soon,
        300..=399 | 401 | 403 | 404 | 405 | 407 | 410 => Retry::Later,
        _ => Retry::Never,
    };
    Err(Fault { why: answer, retry, after })
}

/// Seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
            let left = at.as_millisecond().saturating_sub(jiff::Timestamp::now().as_millisecond());
            Duration::from_millis(u64::try_from(left).unwrap_or(0))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_in_seconds_or_by_the_clock_when_to_come_again() {
        assert_eq!(retry_after(" 30 "), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("Wed, 21 Oct 2065 07:28:00 GMT"), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after("soon"), None);
    }
}
