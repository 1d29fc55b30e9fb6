//! Mail over SMTP: plain text with the same as simple HTML beside it.
//!
//! What is told is escaped in HTML and takes no line of a header. The password is read from its file for each message.
//! Deliberately not here: a queue; the outbox keeps what a server does not take yet.

use std::path::Path;
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use sandbook_core::error::truncate_at_char;

use super::{Channel, Fault, Retry, Said};

/// One message, connecting included; with a second attempt it fits the deadline of `notify.send`.
const SEND_MS: u64 = 7_000;
/// Longest subject.
const SUBJECT_BYTES_MAX: usize = 250;
/// Answers that say that the sender is not let in: a person mends that.
const NOT_LET_IN: [u16; 4] = [530, 534, 535, 538];

/// How the connection is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Plain first, then STARTTLS, which must be offered.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all: a relay on this machine.
    None,
}

impl MailTls {
    fn port(self) -> u16 {
        match self {
            MailTls::Starttls => 587,
            MailTls::Tls => 465,
            MailTls::None => 25,
        }
    }
}

/// Sends one message. Answers with what the server said.
pub(super) async fn send(channel: &Channel, password: Option<String>, said: &Said) -> Result<String, Fault> {
    let never = |why: String| Fault::new(Retry::Never, why);
    let later = |why: String| Fault::new(Retry::Later, why);
    let host = channel.host.as_deref().ok_or_else(|| later("has no host".to_owned()))?;
    let message = message(channel, said).map_err(never)?;
    let tls = match channel.tls {
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters(host, channel.ca_file.as_deref()).await.map_err(later)?),
        MailTls::Tls => Tls::Wrapper(parameters(host, channel.ca_file.as_deref()).await.map_err(later)?),
    };
    let within = Duration::from_millis(SEND_MS);
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(channel.port.unwrap_or_else(|| channel.tls.port()))
        .tls(tls)
        .timeout(Some(within));
    if let (Some(user), Some(password)) = (channel.user.clone(), password) {
        builder = builder.credentials(Credentials::new(user, password));
    }
    let transport = builder.build();
    match tokio::time::timeout(within, transport.send(message)).await {
        Ok(Ok(response)) => Ok(format!("{host} answered {}", response.code())),
        Ok(Err(error)) => Err(fault(host, &error)),
        Err(_) => Err(Fault::new(Retry::Soon, format!("{host} gave no answer within {SEND_MS} ms"))),
    }
}

fn fault(host: &str, error: &lettre::transport::smtp::Error) -> Fault {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !why.contains(&said) {
            why = format!("{why}: {said}");
        }
        cause = inner.source();
    }
    let not_let_in = error.status().is_some_and(|code| NOT_LET_IN.contains(&u16::from(code)));
    let retry = match (error.is_permanent(), error.is_client() || error.is_tls()) {
        (true, _) if not_let_in => Retry::Later,
        (true, _) => Retry::Never,
        (false, true) => Retry::Later,
        (false, false) => Retry::Soon,
    };
    Fault::new(retry, format!("{host}: {why}"))
}

async fn parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(file) = ca_file {
        let unreadable = |error: &dyn std::fmt::Display| format!("ca_file {}: {error}", file.display());
        let pem = tokio::fs::read(file).await.map_err(|error| unreadable(&error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| unreadable(&error))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| format!("TLS cannot be set up: {error}"))
}

fn message(channel: &Channel, said: &Said) -> Result<Message, String> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("{text:?} is no address: {error}"));
    let from = mailbox(channel.from.as_deref().unwrap_or_default())?;
    let domain = from.email.domain().to_owned();
    let mut subject = format!("[sandbook] {}", one_line(&said.title));
    truncate_at_char(&mut subject, SUBJECT_BYTES_MAX);
    let mut builder = Message::builder().from(from).subject(subject);
    for to in &channel.to {
        builder = builder.to(mailbox(to)?);
    }
    // The same message twice has the same id, and most servers then show one.
    let id = said.dedup_key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' });
    let id = format!("<{}.{}@{domain}>", id.collect::<String>(), said.at);
    let parts = MultiPart::alternative_plain_html(said.whole(), html(said));
    builder.message_id(Some(id)).multipart(parts).map_err(|error| format!("it makes no mail: {error}"))
}

fn html(said: &Said) -> String {
    let mut html = format!(
        "<h2>{}</h2>\n<p>{}</p>\n",
        escaped(&one_line(&said.title)),
        escaped(&said.text).replace('\n', "<br>\n")
    );
    if !said.evidence.is_empty() {
        html.push_str(&format!("<pre>{}</pre>\n", escaped(&said.evidence.join("\n"))));
    }
    if !said.url.is_empty() {
        html.push_str(&format!("<p><a href=\"{}\">Open in Sandbook</a></p>\n", escaped(&said.url)));
    }
    if !said.command.is_empty() {
        html.push_str(&format!("<p><code>{}</code></p>\n", escaped(&said.command)));
    }
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether an address is one. Errors: why not.
pub(super) fn check_address(text: &str) -> Result<(), String> {
    text.parse::<Mailbox>().map(drop).map_err(|error| format!("has {text:?}, which is no address: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_takes_no_header_and_no_markup() {
        let channel: Channel = toml::from_str(
            "kind = \"mail\"\nhost = \"h\"\nfrom = \"Sandbook <s@example.org>\"\nto = [\"a@example.org\"]",
        )
        .expect("a channel");
        let said = Said {
            title: "x\r\nBcc: evil@example.org".to_owned(),
            text: "<img src=x> & \"".to_owned(),
            dedup_key: "k\r\nX: y".to_owned(),
            ..Said::default()
        };
        let mail = String::from_utf8(message(&channel, &said).expect("a mail").formatted()).expect("text");
        assert!(!mail.lines().any(|line| line.starts_with("Bcc:") || line.starts_with("X:")), "{mail}");
        assert!(mail.contains("Message-ID: <k..X..y.0@example.org>"), "{mail}");
        assert!(html(&said).contains("&lt;img src=x&gt; &amp; &quot;"), "{}", html(&said));
    }
}
