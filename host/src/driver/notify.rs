//! Live `notify` effects and the engine's own messages: Slack, PagerDuty Events v2 and templated webhooks.
//!
//! Secrets are read from their files when a message goes out and are remembered for redaction; an error never shows
//! a URL, because a webhook's path is its password. Deliberately not here: which event goes to which channel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbook_core::effect::notify::{Message, Receipt, Severity};
use sandbook_core::error::{Error, truncate_at_char};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::redact::Secrets;
use super::web;

mod channel;

pub use channel::{Channel, ChannelKind};

/// Attempts of one message: a blip of seconds is bridged, an outage is not waited out.
const ATTEMPTS: u32 = 3;
/// Waits between them; together with the attempts they fit the effect's deadline of 15 s.
const BACKOFF_MS: [u64; 2] = [500, 2_000];
/// One attempt.
const ATTEMPT_MS: u64 = 4_000;
/// Text in an error answer shown at the most.
const ANSWER_BYTES_MAX: usize = 300;
/// Longest text of a Slack section.
const SLACK_TEXT_MAX: usize = 2_900;
/// Longest header of a Slack message.
const SLACK_TITLE_MAX: usize = 150;
/// Longest summary PagerDuty takes.
const PAGERDUTY_SUMMARY_MAX: usize = 1_024;
/// Where PagerDuty listens unless a channel names another place (the EU region, a relay).
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Sends messages over configured channels.
#[derive(Debug, Clone)]
pub struct Notifier {
    channels: BTreeMap<String, Channel>,
    escalation: Option<String>,
    client: reqwest::Client,
    secrets: Secrets,
}

/// One message, filled in.
#[derive(Debug, Clone, Copy)]
struct Text<'a> {
    title: &'a str,
    text: &'a str,
    severity: Severity,
    dedup_key: &'a str,
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
            None => {
                let known: Vec<&str> = self.channels.keys().map(String::as_str).collect();
                Err(Error::not_found(format!("channel `{name}` is not configured; there are: {}", known.join(", "))))
            }
        }
    }

    pub(super) async fn send(&self, message: &Message, default_key: &str) -> Result<Receipt, Error> {
        let channel = self.channel(message.channel.as_deref())?.to_owned();
        let dedup_key = message.dedup_key.clone().unwrap_or_else(|| default_key.to_owned());
        let severity = message.severity.unwrap_or_default();
        self.send_message(&channel, &message.title, &message.text, severity, &dedup_key).await?;
        Ok(Receipt { channel, dedup_key })
    }

    /// Sends a message of the engine itself: three attempts, at most 15 s. Errors: `not-found` for an unknown channel,
    /// `failed` or `timeout` in words that hold no secret.
    pub async fn send_message(
        &self,
        channel: &str,
        title: &str,
        text: &str,
        severity: Severity,
        dedup_key: &str,
    ) -> Result<(), Error> {
        let name = self.channel(Some(channel))?;
        let channel = &self.channels[name];
        let text = Text { title, text, severity, dedup_key };
        let prepared = self.prepare(channel, text).await.map_err(|why| self.clean(name, &why))?;
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if let Some(pause) = attempt.checked_sub(1).and_then(|index| BACKOFF_MS.get(index as usize)) {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
            }
            match self.post(&prepared).await {
                Ok(()) => return Ok(()),
                Err((why, true)) => last = why,
                Err((why, false)) => return Err(self.clean(name, &why)),
            }
        }
        Err(self.clean(name, &format!("{last} ({ATTEMPTS} attempts)")))
    }

    fn clean(&self, channel: &str, why: &str) -> Error {
        let mut message = format!("channel `{channel}`: {why}");
        super::redact::redact_text(&mut message, &self.secrets.all());
        Error::failed(message)
    }

    async fn post(&self, prepared: &Prepared) -> Result<(), (String, bool)> {
        let mut request = self.client.post(prepared.url.clone()).timeout(Duration::from_millis(ATTEMPT_MS));
        request = request.header("content-type", "application/json");
        for (name, value) in &prepared.headers {
            request = request.header(name, value);
        }
        let response = request.body(prepared.body.clone()).send().await.map_err(|error| {
            let again = !error.is_builder();
            (format!("{} gave no answer: {}", prepared.place(), web::reason(error)), again)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let (bytes, _) = web::body(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        let again = status.is_server_error() || status.as_u16() == 429;
        Err((format!("{} answered {}: {answer}", prepared.place(), status.as_u16()), again))
    }

    async fn prepare(&self, channel: &Channel, text: Text<'_>) -> Result<Prepared, String> {
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
            (None, None, ChannelKind::Slack | ChannelKind::Webhook) => {
                return Err("has neither url_file nor url".to_owned());
            }
        };
        let url = Url::parse(&url).map_err(|error| format!("its url is none: {error}"))?;
        let body = match channel.kind {
            ChannelKind::Slack => slack(text).to_string(),
            ChannelKind::Pagerduty => {
                let file = channel.routing_key_file.as_deref().ok_or("has no routing_key_file")?;
                pagerduty(&self.secret(file).await?, text).to_string()
            }
            ChannelKind::Webhook => match &channel.body {
                Some(template) => fill(template, text),
                None => default_body(text).to_string(),
            },
        };
        Ok(Prepared { url, headers: channel.headers.clone(), body })
    }

    async fn secret(&self, file: &Path) -> Result<String, String> {
        let secret = tokio::fs::read_to_string(file)
            .await
            .map_err(|error| format!("secret file {}: {error}", file.display()))?;
        let secret = secret.trim().to_owned();
        if secret.is_empty() {
            return Err(format!("secret file {} is empty", file.display()));
        }
        self.secrets.remember(&secret);
        Ok(secret)
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

fn slack(text: Text<'_>) -> Value {
    let mark = match text.severity {
        Severity::Info => ":information_source:",
        Severity::Warning => ":warning:",
        Severity::Critical => ":rotating_light:",
    };
    let title = shortened(text.title, SLACK_TITLE_MAX);
    // What Slack would take as markup or as a mention (`<!channel>`) came from labels and logs.
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = escape(&shortened(text.text, SLACK_TEXT_MAX));
    let mut blocks = vec![json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": false}})];
    if !body.is_empty() {
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": shortened(&body, SLACK_TEXT_MAX)}}));
    }
    let note = format!("{mark} {} · {}", text.severity.name(), escape(text.dedup_key));
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": note}]}));
    json!({"text": escape(&title), "blocks": blocks})
}

fn pagerduty(routing_key: &str, text: Text<'_>) -> Value {
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": text.dedup_key,
        "payload": {
            "summary": shortened(text.title, PAGERDUTY_SUMMARY_MAX),
            "source": "sandbook",
            "severity": text.severity.name(),
            "custom_details": {"text": text.text},
        },
    })
}

fn default_body(text: Text<'_>) -> Value {
    json!({"title": text.title, "text": text.text, "severity": text.severity.name(), "dedup_key": text.dedup_key})
}

/// Fills `{{title}}`, `{{text}}`, `{{severity}}`, `{{dedup_key}}`, each escaped for the inside of a JSON string. One
/// pass, so that a title with `{{text}}` in it stays what it is.
fn fill(template: &str, text: Text<'_>) -> String {
    let mut filled = String::with_capacity(template.len() + text.text.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let (name, tail) = after.split_once("}}").unwrap_or((after, ""));
        let value = match name.trim() {
            "title" => text.title,
            "text" => text.text,
            "severity" => text.severity.name(),
            "dedup_key" => text.dedup_key,
            // Checked when the configuration is read.
            _ => "",
        };
        let quoted = Value::from(value).to_string();
        filled.push_str(&quoted[1..quoted.len() - 1]);
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

fn shortened(text: &str, bytes_max: usize) -> String {
    let mut text = text.to_owned();
    truncate_at_char(&mut text, bytes_max);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Text<'static> =
        Text { title: "a \"b\" {{text}}", text: "x\n<!channel>", severity: Severity::Critical, dedup_key: "k" };

    #[test]
    fn templates_are_filled_once_and_stay_json() {
        let filled = fill(r#"{"t": "{{title}}", "b": "{{ text }}", "s": "{{severity}}/{{dedup_key}}"}"#, TEXT);
        let value: Value = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(value, json!({"t": TEXT.title, "b": TEXT.text, "s": "critical/k"}));
        assert!(default_body(TEXT).is_object());
    }

    #[test]
    fn slack_takes_no_markup_from_a_message() {
        let body = slack(TEXT).to_string();
        assert!(!body.contains("<!channel>") && body.contains("&lt;!channel&gt;"), "{body}");
    }

    #[test]
    fn pagerduty_gets_key_and_severity() {
        let body = pagerduty("secret", TEXT);
        assert_eq!(body["dedup_key"], "k");
        assert_eq!(body["payload"]["severity"], "critical");
    }
}
