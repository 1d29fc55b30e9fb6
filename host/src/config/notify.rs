//! `[notify]` and `[grafana]`: who hears of what, over which channel, and how much of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sandbook_core::duration::DurationMs;
use sandbook_core::effect::notify::Severity;
use sandbook_core::matching::Matcher;

use super::shape::{section, words};
use crate::driver::notify;

section! {
    /// Notifications.
    Notify {
        /// Channel for alerts about Sandbook itself.
        self_ as "self": Option<String> = None;
        /// Channel for what a runbook escalates; the one of `self` when absent.
        escalation: Option<String> = None;
        /// How long a message that is not taken is tried again; then it is dropped, counted and said. From 1m to 7d.
        give_up: DurationMs = DurationMs(24 * 3_600_000);
        /// The digest of a week.
        digest: DigestConfig = DigestConfig::default();
        /// Channels by name.
        channels: BTreeMap<String, Channel> = BTreeMap::new();
        /// Which channel hears of what.
        routes: Vec<NotifyRoute> = Vec::new();
    }
}

section! {
    /// The digest of a week.
    DigestConfig {
        /// When it is sent, five cron fields such as `0 9 * * 1`; absent: never.
        schedule: Option<String> = None;
        /// Time zone of the schedule.
        timezone: String = "UTC".to_owned();
        /// Channel it goes to; the one of `self` when absent.
        channel: Option<String> = None;
    }
}

section! {
    /// One channel.
    Channel {
        /// How it is spoken to.
        kind: ChannelKind;
        /// File with the URL, where the URL is a secret (Slack, most webhooks).
        url_file: Option<PathBuf> = None;
        /// The URL, where it is none. PagerDuty: another region or a relay.
        url: Option<String> = None;
        /// PagerDuty: file with the integration's routing key.
        routing_key_file: Option<PathBuf> = None;
        /// Webhook: template of the body, such as `{"text": "{{title}}"}`; absent: an object with everything.
        body: Option<String> = None;
        /// Webhook: further headers, no secrets.
        headers: BTreeMap<String, String> = BTreeMap::new();
        /// Mail: the server.
        host: Option<String> = None;
        /// Mail: its port; absent: 587, with `tls` 465, without TLS 25.
        port: Option<u32> = None;
        /// Mail: how the connection is kept from others; absent: starttls.
        tls: MailTls = MailTls::Starttls;
        /// Mail: CA of the server's certificate, PEM; absent: the public ones.
        ca_file: Option<PathBuf> = None;
        /// Mail: who logs in.
        user: Option<String> = None;
        /// Mail: file with the password.
        password_file: Option<PathBuf> = None;
        /// Mail: whom it is from, such as `Sandbook <sandbook@example.org>`.
        from: Option<String> = None;
        /// Mail: whom it goes to.
        to: Vec<String> = Vec::new();
        /// How long the first message of a kind waits for others, to be one with them; absent: not at all. Not for PagerDuty. Up to
        /// 1h.
        group_wait: DurationMs = DurationMs(0);
        /// Messages in a minute; what is beyond waits and becomes one with the others of its kind; absent: 20. From 1 to
        /// 600.
        per_minute: u32 = 20;
    }
}

words! {
    /// How a channel is spoken to.
    ChannelKind ("one of slack, pagerduty, webhook, mail") {
        /// An incoming webhook.
        #[default]
        Slack = "slack",
        /// Events API v2.
        Pagerduty = "pagerduty",
        /// A POST of a templated JSON body.
        Webhook = "webhook",
        /// Mail over SMTP.
        Mail = "mail",
    }
}

words! {
    /// How mail is kept from others on its way.
    MailTls ("one of starttls, tls, none") {
        /// Plain first, then STARTTLS, which must be offered.
        #[default]
        Starttls = "starttls",
        /// From the first byte.
        Tls = "tls",
        /// Not at all: a relay on this machine.
        None = "none",
    }
}

section! {
    /// What goes where.
    NotifyRoute {
        /// What happened; absent: everything.
        on: Vec<Happening> = Vec::new();
        /// Only what is at least so loud; absent: everything.
        severity: Loudness = Loudness::Info;
        /// Matchers on the alert's labels; all must hold.
        matchers as "match": Vec<Matcher> = Vec::new();
        /// Name of a channel.
        channel: String;
    }
}

section! {
    /// Grafana: every change is annotated there.
    Grafana {
        /// Base URL, such as `http://127.0.0.1:3000`.
        url: Option<String> = None;
        /// File with a token of a service account that may write annotations.
        token_file: Option<PathBuf> = None;
    }
}

words! {
    /// How loud.
    Loudness ("one of info, warning, critical") {
        /// Everything.
        #[default]
        Info = "info",
        /// What a person should look at.
        Warning = "warning",
        /// What a person must look at now.
        Critical = "critical",
    }
}

words! {
    /// What people are told of.
    Happening ("one of acted, refused, limited, escalated, contradicted, demoted, approval, tripped, needs-attention, failed") {
        /// A run changed something.
        #[default]
        Acted = "acted",
        /// Something it needed was denied.
        Refused = "refused",
        /// A brake, a pause, a silence or a limit held it back.
        Limited = "limited",
        /// It passed the matter to people; the escalation channel hears of it anyway.
        Escalated = "escalated",
        /// Acting did not help.
        Contradicted = "contradicted",
        /// A version that did not help too often is in shadow now.
        Demoted = "demoted",
        /// A person is asked.
        Approval = "approval",
        /// A brake tripped.
        Tripped = "tripped",
        /// Only a person can tell how it goes on.
        NeedsAttention = "needs-attention",
        /// A run failed.
        Failed = "failed",
    }
}

impl Notify {
    /// Where escalations go.
    pub fn escalation_channel(&self) -> Option<&str> {
        self.escalation.as_deref().or(self.self_.as_deref())
    }
}

impl Loudness {
    /// As messages have it.
    pub fn severity(self) -> Severity {
        match self {
            Loudness::Info => Severity::Info,
            Loudness::Warning => Severity::Warning,
            Loudness::Critical => Severity::Critical,
        }
    }
}

impl Channel {
    /// As the driver takes it.
    pub fn driver(&self) -> notify::Channel {
        notify::Channel {
            kind: match self.kind {
                ChannelKind::Slack => notify::ChannelKind::Slack,
                ChannelKind::Pagerduty => notify::ChannelKind::Pagerduty,
                ChannelKind::Webhook => notify::ChannelKind::Webhook,
                ChannelKind::Mail => notify::ChannelKind::Mail,
            },
            url_file: self.url_file.clone(),
            url: self.url.clone(),
            routing_key_file: self.routing_key_file.clone(),
            body: self.body.clone(),
            headers: self.headers.clone(),
            host: self.host.clone(),
            port: self.port.and_then(|port| u16::try_from(port).ok()),
            tls: match self.tls {
                MailTls::Starttls => notify::MailTls::Starttls,
                MailTls::Tls => notify::MailTls::Tls,
                MailTls::None => notify::MailTls::None,
            },
            ca_file: self.ca_file.clone(),
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
        }
    }
}
