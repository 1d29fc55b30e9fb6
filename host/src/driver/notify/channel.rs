//! The configuration of one notification channel.
//!
//! Deliberately not here: secrets. Files are named, and read when a message goes out.

use super::{BTreeMap, Deserialize, Error, PathBuf, Url};

/// How a channel is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// An incoming webhook, with blocks.
    Slack,
    /// Events API v2.
    Pagerduty,
    /// A POST of a templated JSON body.
    Webhook,
}

/// One `[notify.channels.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// slack, pagerduty or webhook.
    pub kind: ChannelKind,
    /// File with the URL, where the URL is a secret (Slack, most webhooks).
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// The URL, where it is none. PagerDuty: another region or a relay.
    #[serde(default)]
    pub url: Option<String>,
    /// PagerDuty: file with the integration's routing key.
    #[serde(default)]
    pub routing_key_file: Option<PathBuf>,
    /// Webhook: body with `{{title}}`, `{{text}}`, `{{severity}}`, `{{dedup_key}}`; default an object with these four.
    #[serde(default)]
    pub body: Option<String>,
    /// Webhook: further headers. No secrets here; put them into the URL's file.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Words a template may hold.
const WORDS: [&str; 4] = ["title", "text", "severity", "dedup_key"];

impl Channel {
    /// Checks what belongs together, without reading a file. Errors: `invalid`, naming the key to set or to remove.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        let bad = |why: String| Err(Error::invalid(format!("notify channel `{name}` {why}")));
        if self.url.is_some() && self.url_file.is_some() {
            return bad("has both url and url_file; keep one".to_owned());
        }
        if let Some(url) = &self.url {
            match Url::parse(url) {
                Ok(url) if matches!(url.scheme(), "http" | "https") => {}
                Ok(_) | Err(_) => return bad("has a url that is neither http nor https".to_owned()),
            }
        }
        match self.kind {
            ChannelKind::Pagerduty if self.routing_key_file.is_none() => {
                return bad("needs routing_key_file".to_owned());
            }
            ChannelKind::Slack | ChannelKind::Webhook if self.url.is_none() && self.url_file.is_none() => {
                return bad("needs url_file (or url)".to_owned());
            }
            ChannelKind::Slack | ChannelKind::Webhook if self.routing_key_file.is_some() => {
                return bad("has a routing_key_file, which is for pagerduty".to_owned());
            }
            ChannelKind::Slack | ChannelKind::Pagerduty if self.body.is_some() => {
                return bad("has a body, which is for webhooks".to_owned());
            }
            ChannelKind::Slack | ChannelKind::Pagerduty | ChannelKind::Webhook => {}
        }
        for piece in self.body.as_deref().unwrap_or_default().split("{{").skip(1) {
            match piece.split_once("}}") {
                Some((word, _)) if WORDS.contains(&word.trim()) => {}
                Some((word, _)) => {
                    return bad(format!("has `{{{{{word}}}}}` in its body; there are: {}", WORDS.join(", ")));
                }
                None => return bad("has `{{` without `}}` in its body".to_owned()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(text: &str) -> Channel {
        toml::from_str(text).expect("a channel")
    }

    #[test]
    fn what_belongs_together_is_checked() {
        for good in [
            "kind = \"slack\"\nurl_file = \"./s\"",
            "kind = \"pagerduty\"\nrouting_key_file = \"./k\"",
            "kind = \"webhook\"\nurl = \"http://a/b\"\nbody = '{\"a\":\"{{title}}\"}'",
        ] {
            channel(good).check("ops").expect(good);
        }
        for bad in [
            "kind = \"slack\"",
            "kind = \"pagerduty\"",
            "kind = \"webhook\"\nurl = \"ftp://a\"",
            "kind = \"webhook\"\nurl = \"http://a\"\nbody = \"{{titel}}\"",
            "kind = \"slack\"\nurl_file = \"a\"\nurl = \"http://b\"",
        ] {
            assert!(channel(bad).check("ops").is_err(), "{bad}");
        }
        assert!(toml::from_str::<Channel>("kind = \"slack\"\ntoken = \"x\"").is_err());
    }
}
