//! Points in virtual time, as scenario files write them: milliseconds since 1970, RFC 3339, or `-3m` and `+90s` from
//! the world's own now.
//!
//! Deliberately not here: time zones and calendars. Everything a world shows is UTC.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::NOW_MS_MAX;

/// A point in virtual time. After a world is loaded every moment is [`Moment::At`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Milliseconds since 1970.
    At(u64),
    /// Milliseconds from the world's now.
    From(i64),
}

impl Default for Moment {
    fn default() -> Self {
        Moment::From(0)
    }
}

impl Moment {
    /// Milliseconds since 1970, given what time it is.
    pub fn ms(self, now_ms: u64) -> u64 {
        match self {
            Moment::At(ms) => ms,
            Moment::From(offset) => now_ms.saturating_add_signed(offset),
        }
    }

    /// Reads RFC 3339, or `-3m`, `+1h30m` from now.
    pub fn parse(text: &str) -> Result<Moment, String> {
        let wrong =
            || format!("`{text}` is no time: write RFC 3339, milliseconds since 1970, or -3m and +90s from now");
        if let Some(ago) = text.strip_prefix('-') {
            return span(ago).map(|ms| Moment::From(-ms)).ok_or_else(wrong);
        }
        if let Some(ahead) = text.strip_prefix('+') {
            return span(ahead).map(Moment::From).ok_or_else(wrong);
        }
        match parse_rfc3339(text) {
            Some(ms) if ms <= NOW_MS_MAX => Ok(Moment::At(ms)),
            Some(_) | None => Err(wrong()),
        }
    }
}

/// `1h30m` in milliseconds, up to a thousand years.
fn span(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms = match &rest[..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[unit_end..];
        total = total.checked_add(count.checked_mul(unit_ms)?)?;
    }
    (!text.is_empty() && total <= 365_000 * 86_400_000).then_some(total)
}

/// A virtual time as the effects write it.
pub(crate) fn rfc3339(ms: u64) -> String {
    let ms = i64::try_from(ms.min(NOW_MS_MAX)).unwrap_or(0);
    Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}

/// Milliseconds since 1970 of an RFC 3339 text; earlier times are none.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
}

/// A time that cannot be relative: the world's now.
pub(super) fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Moment::deserialize(deserializer)? {
        Moment::At(ms) => Ok(ms),
        Moment::From(_) => Err(D::Error::custom("the world's now cannot be relative to itself")),
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Moment::At(ms) => serializer.serialize_u64(*ms),
            Moment::From(offset) if *offset < 0 => serializer.serialize_str(&format!("-{}ms", offset.unsigned_abs())),
            Moment::From(offset) => serializer.serialize_str(&format!("+{offset}ms")),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(ms) if ms <= NOW_MS_MAX => Ok(Moment::At(ms)),
            Either::Number(ms) => Err(D::Error::custom(format!("{ms} ms is past the year 9999"))),
            Either::Text(text) => Moment::parse(&text).map_err(D::Error::custom),
        }
    }
}
