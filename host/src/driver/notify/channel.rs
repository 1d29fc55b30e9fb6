//! The configuration of one notification channel.
//!
//! Deliberately not here: secrets. Files are named, and read when a message goes out.

use super::mail::{self, MailTls};
use super::template;
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
    /// Mail over SMTP.
    Mail,
}

impl ChannelKind {
    /// Its word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            ChannelKind::Slack => "slack",
            ChannelKind::Pagerduty => "pagerduty",
            ChannelKind::Webhook => "webhook",
            ChannelKind::Mail => "mail",
        }
    }
}

/// One `[notify.channels.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// slack, pagerduty, webhook or mail.
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
    /// Webhook: template of the body; default an object with everything.
    #[serde(default)]
    pub body: Option<String>,
    /// Webhook: further headers. No secrets here; put them into the URL's file.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Mail: the server.
    #[serde(default)]
    pub host: Option<String>,
    /// Mail: its port; absent: the usual one of `tls`.
    #[serde(default)]
    pub port: Option<u16>,
    /// Mail: how the connection is kept from others.
    #[serde(default)]
    pub tls: MailTls,
    /// Mail: CA of the server's certificate, PEM; absent: the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Mail: who logs in.
    #[serde(default)]
    pub user: Option<String>,
    /// Mail: file with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Mail: whom it is from.
    #[serde(default)]
    pub from: Option<String>,
    /// Mail: whom it goes to.
    #[serde(default)]
    pub to: Vec<String>,
}

/// Addresses of one channel at the most: more is a list's work.
const TO_MAX: usize = 20;

impl Channel {
    /// Checks what belongs together, without reading a file. Errors: `invalid`, naming the key to set or to remove.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        let checked = match self.kind {
            ChannelKind::Slack | ChannelKind::Webhook => self.check_web(),
            ChannelKind::Pagerduty => self.check_pager(),
            ChannelKind::Mail => self.check_mail(),
        };
        let checked = checked.and_then(|()| self.check_url()).and_then(|()| self.check_foreign());
        checked.map_err(|why| Error::invalid(format!("notify channel `{name}` {why}")))
    }

    fn check_web(&self) -> Result<(), String> {
        if self.url.is_none() && self.url_file.is_none() {
            return Err("needs url_file (or url)".to_owned());
        }
        let Some(body) = &self.body else { return Ok(()) };
        let is_json = !self.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        template::check(body, is_json).map_err(|why| format!("has a body that {why}"))
    }

    fn check_pager(&self) -> Result<(), String> {
        if self.routing_key_file.is_none() {
            return Err("needs routing_key_file".to_owned());
        }
        Ok(())
    }

    fn check_mail(&self) -> Result<(), String> {
        let Some(host) = &self.host else { return Err("needs host, the mail server".to_owned()) };
        let Some(from) = &self.from else { return Err("needs from, an address".to_owned()) };
        if self.to.is_empty() || self.to.len() > TO_MAX {
            return Err(format!("needs to, one to {TO_MAX} addresses"));
        }
        for address in self.to.iter().chain([from]) {
            mail::check_address(address)?;
        }
        if self.user.is_some() != self.password_file.is_some() {
            return Err("needs both user and password_file, or neither".to_owned());
        }
        let here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if self.user.is_some() && self.tls == MailTls::None && !here {
            return Err("would send its password in the clear; set tls = \"starttls\" or \"tls\"".to_owned());
        }
        Ok(())
    }

    fn check_url(&self) -> Result<(), String> {
        if self.url.is_some() && self.url_file.is_some() {
            return Err("has both url and url_file; keep one".to_owned());
        }
        let Some(url) = &self.url else { return Ok(()) };
        match Url::parse(url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
            Ok(_) | Err(_) => Err("has a url that is neither http nor https".to_owned()),
        }
    }

    /// Keys of other kinds: whoever wrote them meant something that would not happen.
    fn check_foreign(&self) -> Result<(), String> {
        let kind = self.kind;
        let (web, mail) = (kind != ChannelKind::Mail, kind == ChannelKind::Mail);
        let (pager, hook) = (kind == ChannelKind::Pagerduty, kind == ChannelKind::Webhook);
        let keys = [
            ("url", self.url.is_some(), web, "not for mail"),
            ("url_file", self.url_file.is_some(), web, "not for mail"),
            ("routing_key_file", self.routing_key_file.is_some(), pager, "for pagerduty"),
            ("body", self.body.is_some(), hook, "for webhooks"),
            ("headers", !self.headers.is_empty(), hook || kind == ChannelKind::Slack || pager, "not for mail"),
            ("host", self.host.is_some(), mail, "for mail"),
            ("port", self.port.is_some(), mail, "for mail"),
            ("ca_file", self.ca_file.is_some(), mail, "for mail"),
            ("user", self.user.is_some(), mail, "for mail"),
            ("password_file", self.password_file.is_some(), mail, "for mail"),
            ("from", self.from.is_some(), mail, "for mail"),
            ("to", !self.to.is_empty(), mail, "for mail"),
        ];
        match keys.iter().find(|(_, set, fits, _)| *set && !fits) {
            Some((key, _, _, whose)) => Err(format!("has {key}, which is {whose}")),
            None => Ok(()),
        }
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
            "kind = \"mail\"\nhost = \"m\"\nfrom = \"S <a@b.c>\"\nto = [\"d@e.f\"]\nuser = \"u\"\npassword_file = \"p\"",
            "kind = \"mail\"\nhost = \"localhost\"\ntls = \"none\"\nfrom = \"a@b.c\"\nto = [\"d@e.f\"]",
        ] {
            channel(good).check("ops").expect(good);
        }
        for bad in [
            "kind = \"slack\"",
            "kind = \"pagerduty\"",
            "kind = \"webhook\"\nurl = \"ftp://a\"",
            "kind = \"webhook\"\nurl = \"http://a\"\nbody = \"{{titel}}\"",
            "kind = \"slack\"\nurl_file = \"a\"\nurl = \"http://b\"",
            "kind = \"slack\"\nurl_file = \"a\"\nto = [\"d@e.f\"]",
            "kind = \"mail\"\nfrom = \"a@b.c\"\nto = [\"d@e.f\"]",
            "kind = \"mail\"\nhost = \"m\"\nfrom = \"a@b.c\"\nto = [\"nobody\"]",
            "kind = \"mail\"\nhost = \"m\"\nfrom = \"a@b.c\"\nto = []",
            "kind = \"mail\"\nhost = \"m\"\nfrom = \"a@b.c\"\nto = [\"d@e.f\"]\nuser = \"u\"",
            "kind = \"mail\"\nhost = \"m\"\ntls = \"none\"\nfrom = \"a@b.c\"\nto = [\"d@e.f\"]\nuser = \"u\"\npassword_file = \"p\"",
            "kind = \"mail\"\nhost = \"m\"\nurl = \"http://b\"\nfrom = \"a@b.c\"\nto = [\"d@e.f\"]",
        ] {
            assert!(channel(bad).check("ops").is_err(), "{bad}");
        }
        assert!(toml::from_str::<Channel>("kind = \"slack\"\ntoken = \"x\"").is_err());
    }
}
