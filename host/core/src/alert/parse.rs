//! Reading a message in one pass: every value is taken whatever its type, so that only broken syntax fails as a whole and
//! a wrong type costs one alert.
//!
//! Deliberately not here: what the parts mean together; see [`super`].

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    ALERTS_MAX, Alert, Format, LABEL_BYTES_MAX, LABELS_BYTES_MAX, Message, ParseError, REJECTED_MAX, Status,
    fingerprint,
};
use crate::{error::truncate_at_char, problem::quote};

/// A sender's fingerprint, in bytes; a longer or odd one is replaced by our own.
const FINGERPRINT_BYTES_MAX: usize = 64;

/// Parses a request's body. `now` is the start of an alert that names none, and decides whether an alert without
/// a status has ended. Invalid UTF-8 is replaced, as no alert should be lost to it.
pub fn parse_message(body: &[u8], now: Timestamp) -> Result<Message, ParseError> {
    let text = String::from_utf8_lossy(body);
    let mut json = serde_json::Deserializer::from_str(&text);
    let not_json = |error: serde_json::Error| {
        let shown = error.to_string();
        let message = shown.split_once(" at line ").map_or(shown.as_str(), |(message, _)| message).to_owned();
        ParseError::NotJson { line: error.line(), column: error.column(), message }
    };
    let message = json.deserialize_any(MessageVisitor { now }).map_err(not_json)?;
    json.end().map_err(not_json)?;
    message.map_err(ParseError::NotAMessage)
}

/// Every key we know, of a message and of an alert.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    Alerts,
    TruncatedAlerts,
    #[serde(rename = "groupKey")]
    Group,
    Receiver,
    #[serde(rename = "externalURL")]
    ExternalUrl,
    OrgId,
    Status,
    Labels,
    Annotations,
    StartsAt,
    EndsAt,
    #[serde(rename = "generatorURL")]
    GeneratorUrl,
    Fingerprint,
    #[serde(other)]
    Other,
}

/// What a JSON value turned out to be. Reading one never fails on its type, only on its syntax.
enum Loose {
    Null,
    Text(String),
    Number(f64),
    Flag,
    List,
    /// Texts by name; the first value that is no text is a reason.
    Object(BTreeMap<String, String>, Option<String>),
}

impl Loose {
    fn kind(&self) -> &'static str {
        match self {
            Loose::Null => "null",
            Loose::Text(_) => "a text",
            Loose::Number(_) => "a number",
            Loose::Flag => "true or false",
            Loose::List => "a list",
            Loose::Object(..) => "an object",
        }
    }

    fn text(self) -> String {
        match self {
            Loose::Text(text) => text,
            Loose::Null | Loose::Number(_) | Loose::Flag | Loose::List | Loose::Object(..) => String::new(),
        }
    }
}

/// Reads any JSON value; `depth` levels of objects are kept, what is deeper is read and forgotten.
struct LooseSeed {
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for LooseSeed {
    type Value = Loose;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Loose, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LooseSeed {
    type Value = Loose;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Null)
    }
    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::Flag)
    }
    fn visit_f64<E>(self, number: f64) -> Result<Loose, E> {
        Ok(Loose::Number(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose::Number(number as f64))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
        Ok(Loose::Number(number as f64))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::List)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Loose, A::Error> {
        let (mut texts, mut reason) = (BTreeMap::new(), None);
        if self.depth == 0 {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Loose::Object(texts, reason));
        }
        while let Some(name) = object.next_key::<String>()? {
            match object.next_value_seed(LooseSeed { depth: self.depth - 1 })? {
                Loose::Text(value) => drop(texts.insert(name, value)),
                other => {
                    reason.get_or_insert_with(|| format!("{} is {}, not a text", quote(&name), other.kind()));
                }
            }
        }
        Ok(Loose::Object(texts, reason))
    }
}

/// An alert's fields as they came.
#[derive(Default)]
struct Raw {
    status: Option<Loose>,
    labels: Option<Loose>,
    annotations: Option<Loose>,
    starts_at: Option<Loose>,
    ends_at: Option<Loose>,
    generator_url: Option<Loose>,
    fingerprint: Option<Loose>,
}

impl Raw {
    /// Reads the value of one key; keys of messages are no alert's and are skipped.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: Key, object: &mut A) -> Result<(), A::Error> {
        let field = match key {
            Key::Status => &mut self.status,
            Key::Labels => &mut self.labels,
            Key::Annotations => &mut self.annotations,
            Key::StartsAt => &mut self.starts_at,
            Key::EndsAt => &mut self.ends_at,
            Key::GeneratorUrl => &mut self.generator_url,
            Key::Fingerprint => &mut self.fingerprint,
            Key::Alerts | Key::TruncatedAlerts | Key::Group | Key::Receiver => return skip(object),
            Key::ExternalUrl | Key::OrgId | Key::Other => return skip(object),
        };
        *field = Some(object.next_value_seed(LooseSeed { depth: 1 })?);
        Ok(())
    }

    fn finish(self, now: Timestamp) -> Result<Alert, String> {
        let labels = labels(self.labels)?;
        let starts_at = match self.starts_at {
            None | Some(Loose::Null) => now,
            Some(Loose::Text(text)) => time(&text)
                .ok_or_else(|| format!("startsAt {} is not a time like 2026-01-31T12:00:00Z", quote(&text)))?
                .unwrap_or(now),
            Some(other) => return Err(format!("startsAt is {}, not a time in a text", other.kind())),
        };
        let ends_at = self.ends_at.and_then(|value| time(&value.text())).flatten();
        let status = status(self.status, ends_at, now)?;
        let given = self.fingerprint.map(Loose::text).unwrap_or_default();
        let usable = (1..=FINGERPRINT_BYTES_MAX).contains(&given.len())
            && given.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let mut generator_url = self.generator_url.map(Loose::text).unwrap_or_default();
        truncate_at_char(&mut generator_url, LABEL_BYTES_MAX);
        Ok(Alert {
            status,
            annotations: annotations(self.annotations),
            starts_at,
            // The end of a firing alert is only when its sender would give up on it.
            ends_at: ends_at.filter(|_| status == Status::Resolved),
            generator_url,
            fingerprint: if usable { given } else { fingerprint(&labels) },
            labels,
        })
    }
}

fn skip<'de, A: MapAccess<'de>>(object: &mut A) -> Result<(), A::Error> {
    object.next_value::<IgnoredAny>().map(drop)
}

fn labels(value: Option<Loose>) -> Result<BTreeMap<String, String>, String> {
    let labels = match value {
        None | Some(Loose::Null) => return Err("it has no labels".to_owned()),
        Some(Loose::Object(_, Some(reason))) => return Err(format!("label {reason}")),
        Some(Loose::Object(labels, None)) => labels,
        Some(other) => return Err(format!("labels is {}, not an object", other.kind())),
    };
    if labels.is_empty() {
        return Err("it has no labels".to_owned());
    }
    let mut bytes = 0;
    for (name, value) in &labels {
        if name.is_empty() {
            return Err("a label has no name".to_owned());
        }
        if value.len() > LABEL_BYTES_MAX {
            let has = value.len();
            return Err(format!("label {} has {has} bytes, at most {LABEL_BYTES_MAX} are allowed", quote(name)));
        }
        bytes += name.len() + value.len();
    }
    if bytes > LABELS_BYTES_MAX {
        return Err(format!("its labels have {bytes} bytes, at most {LABELS_BYTES_MAX} are allowed"));
    }
    Ok(labels)
}

/// Annotations only inform: what is no text is left out, what is too long is cut.
fn annotations(value: Option<Loose>) -> BTreeMap<String, String> {
    let Some(Loose::Object(mut annotations, _)) = value else { return BTreeMap::new() };
    let mut room = LABELS_BYTES_MAX;
    annotations.retain(|name, value| {
        truncate_at_char(value, LABEL_BYTES_MAX);
        let fits = name.len() + value.len() <= room;
        room -= if fits { name.len() + value.len() } else { 0 };
        fits
    });
    annotations
}

/// A time; the zero time, which senders write for "none", is none.
#[expect(clippy::option_option, reason = "outer: readable; inner: present")]
fn time(text: &str) -> Option<Option<Timestamp>> {
    if text.starts_with("0001-01-01T00:00:00") {
        return Some(None);
    }
    text.parse().ok().map(Some)
}

fn status(value: Option<Loose>, ends_at: Option<Timestamp>, now: Timestamp) -> Result<Status, String> {
    let word = match value {
        None | Some(Loose::Null) => String::new(),
        Some(Loose::Text(word)) => word,
        // API v2: {"state": "active", "silencedBy": [], "inhibitedBy": []}
        Some(Loose::Object(mut fields, _)) => fields.remove("state").unwrap_or_default(),
        Some(other) => return Err(format!("status is {}, not firing or resolved", other.kind())),
    };
    match word.as_str() {
        "" if ends_at.is_some_and(|end| end <= now) => Ok(Status::Resolved),
        "" | "firing" | "active" | "suppressed" | "unprocessed" => Ok(Status::Firing),
        "resolved" => Ok(Status::Resolved),
        other => Err(format!("status is {}, not firing or resolved", quote(other))),
    }
}

/// One alert of a list.
struct EntrySeed {
    now: Timestamp,
}

impl<'de> DeserializeSeed<'de> for EntrySeed {
    type Value = Result<Alert, String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! visit_scalars {
    ($value:ty, $reject:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }
        fn visit_unit<E>(self) -> Result<$value, E> {
            Ok($reject("null"))
        }
        fn visit_str<E>(self, _: &str) -> Result<$value, E> {
            Ok($reject("a text"))
        }
        fn visit_bool<E>(self, _: bool) -> Result<$value, E> {
            Ok($reject("true or false"))
        }
        fn visit_f64<E>(self, _: f64) -> Result<$value, E> {
            Ok($reject("a number"))
        }
        fn visit_u64<E>(self, _: u64) -> Result<$value, E> {
            Ok($reject("a number"))
        }
        fn visit_i64<E>(self, _: i64) -> Result<$value, E> {
            Ok($reject("a number"))
        }
    };
}

impl<'de> Visitor<'de> for EntrySeed {
    type Value = Result<Alert, String>;
    visit_scalars!(Self::Value, |kind| Err(format!("it is {kind}, not an object")));
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err("it is a list, not an object".to_owned()))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut raw = Raw::default();
        while let Some(key) = object.next_key::<Key>()? {
            raw.read(key, &mut object)?;
        }
        Ok(raw.finish(self.now))
    }
}

/// The alerts of a list, and how many beyond both bounds were only counted.
type Entries = (Vec<Result<Alert, String>>, u64);

fn read_entries<'de, A: SeqAccess<'de>>(now: Timestamp, list: &mut A) -> Result<Entries, A::Error> {
    let (mut alerts, mut counted) = (Vec::new(), 0);
    while alerts.len() < ALERTS_MAX {
        match list.next_element_seed(EntrySeed { now })? {
            Some(alert) => alerts.push(alert),
            None => return Ok((alerts, counted)),
        }
    }
    while list.next_element::<IgnoredAny>()?.is_some() {
        if alerts.len() < ALERTS_MAX + REJECTED_MAX {
            alerts.push(Err(format!("a message may hold {ALERTS_MAX} alerts; set max_alerts or group_by")));
        } else {
            counted += 1;
        }
    }
    Ok((alerts, counted))
}

/// The value of `alerts`: a list, or null for none.
struct AlertsSeed {
    now: Timestamp,
}

impl<'de> DeserializeSeed<'de> for AlertsSeed {
    type Value = Result<Entries, String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AlertsSeed {
    type Value = Result<Entries, String>;
    visit_scalars!(Self::Value, |kind| match kind {
        "null" => Ok((Vec::new(), 0)),
        kind => Err(format!("`alerts` is {kind}, not a list")),
    });
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        read_entries(self.now, &mut list).map(Ok)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err("`alerts` is an object, not a list".to_owned()))
    }
}

struct MessageVisitor {
    now: Timestamp,
}

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Result<Message, String>;
    visit_scalars!(Self::Value, |kind| Err(format!(
        "it is {kind}; send a webhook message, a list of alerts or an alert"
    )));
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        Ok(Ok(Message::new(Format::ApiV2, read_entries(self.now, &mut list)?)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let (mut raw, mut entries, mut format) = (Raw::default(), None, Format::Alertmanager);
        let mut message = Message::new(format, (Vec::new(), 0));
        let loose = || LooseSeed { depth: 0 };
        while let Some(key) = object.next_key::<Key>()? {
            match key {
                Key::Alerts => entries = Some(object.next_value_seed(AlertsSeed { now: self.now })?),
                Key::TruncatedAlerts => {
                    if let Loose::Number(count) = object.next_value_seed(loose())? {
                        message.truncated = count as u64;
                    }
                }
                Key::Group => message.group_key = object.next_value_seed(loose())?.text(),
                Key::Receiver => message.receiver = object.next_value_seed(loose())?.text(),
                Key::ExternalUrl => message.external_url = object.next_value_seed(loose())?.text(),
                Key::OrgId => {
                    format = Format::Grafana;
                    skip(&mut object)?;
                }
                key => raw.read(key, &mut object)?,
            }
        }
        let (format, (alerts, counted)) = match (entries, &raw.labels) {
            (Some(Ok(entries)), _) => (format, entries),
            (Some(Err(why)), _) => return Ok(Err(why)),
            (None, Some(_)) => (Format::Bare, (vec![raw.finish(self.now)], 0)),
            (None, None) => return Ok(Err("the object has neither `alerts` nor `labels`".to_owned())),
        };
        let truncated = message.truncated.saturating_add(counted);
        Ok(Ok(Message { alerts, truncated, format, ..message }))
    }
}

impl Message {
    fn new(format: Format, (alerts, truncated): Entries) -> Message {
        let (group_key, receiver, external_url) = (String::new(), String::new(), String::new());
        Message { alerts, truncated, group_key, receiver, external_url, format }
    }
}
