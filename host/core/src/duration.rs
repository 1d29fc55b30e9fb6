//! Durations, rates and sizes as people write them: `90s`, `1h30m`, `3/1h`, `64MiB`.
//!
//! One spelling serves manifests, configuration, flags and messages, and what is displayed can be typed back.
//! Deliberately not here: clocks, calendars (a day is 24 hours) and fractions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::problem::{Malformed, quote};

/// The longest duration that can be written: a leap year, in milliseconds.
pub const DURATION_MS_MAX: u64 = 366 * 86_400_000;

/// Units of a duration with their milliseconds, largest first: the order in which they must be written.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of a size with their bytes, largest first.
const BYTES_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A length of time in milliseconds; as text `250ms`, `90s`, `10m`, `1h30m`, `7d`, at most [`DURATION_MS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationMs(pub u64);

impl DurationMs {
    /// For timers.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl FromStr for DurationMs {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed(format!("{} is not a duration: write it like 250ms, 90s, 10m, 1h30m or 7d", quote(text)));
        let too_long = || Malformed(format!("duration {} is too long: at most 366d are allowed", quote(text)));
        let mut rest = text.trim();
        let mut units = DURATION_UNITS.iter();
        let mut total = 0u64;
        if rest.is_empty() {
            return Err(malformed());
        }
        while !rest.is_empty() {
            let (digits, after) = split_at_first(rest, |c| !c.is_ascii_digit());
            let (unit, after) = split_at_first(after, |c| !c.is_ascii_alphabetic());
            // Units left of the last one are used up, which rejects both `1m1m` and `1s1h`.
            let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(malformed)?;
            if digits.is_empty() {
                return Err(malformed());
            }
            let count: u64 = digits.parse().map_err(|_| too_long())?;
            total = count.checked_mul(*unit_ms).and_then(|ms| total.checked_add(ms)).ok_or_else(too_long)?;
            rest = after;
        }
        if total > DURATION_MS_MAX { Err(too_long()) } else { Ok(DurationMs(total)) }
    }
}

impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut rest = self.0;
        for (unit, unit_ms) in DURATION_UNITS {
            if rest >= unit_ms {
                text.push_str(&format!("{}{unit}", rest / unit_ms));
                rest %= unit_ms;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

/// So many in a sliding window; as text `3/1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    /// At most so many; at least 1.
    pub count: u32,
    /// Milliseconds; at least 1000.
    pub window_ms: u64,
}

impl FromStr for Rate {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            |why: &str| Malformed(format!("{} is not a rate: {why}; write it like 3/1h or 7/1d", quote(text)));
        let (count, window) = text.trim().split_once('/').ok_or_else(|| malformed("it has no `/`"))?;
        let count: u32 = parse_digits(count.trim())
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| *count > 0)
            .ok_or_else(|| malformed("the count must be a whole number from 1"))?;
        let window: DurationMs = window.parse().map_err(|Malformed(why)| malformed(&why))?;
        if window.0 < 1_000 {
            return Err(malformed("the window must be at least 1s"));
        }
        Ok(Rate { count, window_ms: window.0 })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.count, DurationMs(self.window_ms)))
    }
}

/// A size in bytes; as text `64MiB`, `1GiB`, `512KiB`, `100B` or plain digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (digits, unit) = split_at_first(text.trim(), |c| !c.is_ascii_digit());
        let unit = unit.trim_start();
        let malformed = || {
            let hint = match unit.to_ascii_lowercase().as_str() {
                "k" | "kb" | "ki" => " (1024 bytes are 1KiB)",
                "m" | "mb" | "mi" => " (1024KiB are 1MiB)",
                "g" | "gb" | "gi" => " (1024MiB are 1GiB)",
                _ => "",
            };
            Malformed(format!("{} is not a size: write it like 64MiB, 1GiB, 512KiB or 100B{hint}", quote(text)))
        };
        let count = parse_digits(digits).ok_or_else(malformed)?;
        let unit_bytes = match unit {
            "" => 1,
            _ => BYTES_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?.1,
        };
        count.checked_mul(unit_bytes).map(Bytes).ok_or_else(|| Malformed(format!("size {} is too large", quote(text))))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, unit_bytes) in BYTES_UNITS {
            if self.0 >= unit_bytes && self.0.is_multiple_of(unit_bytes) {
                return f.pad(&format!("{}{unit}", self.0 / unit_bytes));
            }
        }
        f.pad("0B")
    }
}

fn split_at_first(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// Plain digits only: `u64::from_str` would also take a sign.
fn parse_digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

macro_rules! serde_as_text {
    ($($ty:ty, $expecting:literal, $from_integer:expr;)+) => {$(
        impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $ty;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$ty, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, value: u64) -> Result<$ty, E> {
                        let from: fn(u64) -> Option<$ty> = $from_integer;
                        from(value).ok_or_else(|| E::invalid_type(de::Unexpected::Unsigned(value), &self))
                    }
                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<$ty, E> {
                        match u64::try_from(value) {
                            Ok(value) => self.visit_u64(value),
                            Err(_) => Err(E::invalid_type(de::Unexpected::Signed(value), &self)),
                        }
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    )+};
}

serde_as_text! {
    DurationMs, "a duration in quotes like \"90s\", \"10m\" or \"1h30m\"", |_| None;
    Rate, "a rate in quotes like \"3/1h\"", |_| None;
    Bytes, "a size like \"64MiB\" or a number of bytes", |bytes| Some(Bytes(bytes));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check<T: FromStr<Err = Malformed> + fmt::Display + PartialEq + fmt::Debug>(cases: &[(&str, T, &str)]) {
        for (text, want, shown) in cases {
            assert_eq!(text.parse::<T>().as_ref(), Ok(want), "{text}");
            assert_eq!(want.to_string(), *shown, "{text}");
        }
    }

    #[track_caller]
    fn check_errors<T: FromStr<Err = Malformed> + fmt::Debug>(texts: &[&str], says: &str) {
        for text in texts {
            let error = text.parse::<T>().expect_err(text);
            assert!(error.0.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn durations() {
        check(&[
            ("250ms", DurationMs(250), "250ms"),
            ("90s", DurationMs(90_000), "1m30s"),
            ("10m", DurationMs(600_000), "10m"),
            ("1h30m", DurationMs(5_400_000), "1h30m"),
            ("7d", DurationMs(604_800_000), "7d"),
            ("1d2h3m4s5ms", DurationMs(93_784_005), "1d2h3m4s5ms"),
            (" 0s ", DurationMs(0), "0s"),
            ("366d", DurationMs(DURATION_MS_MAX), "366d"),
        ]);
        check_errors::<DurationMs>(&["", "10", "s", "1x", "1.5h", "-1s", "1m1m", "1s1h", "1 h", "ms1", "1hour"], "90s");
        check_errors::<DurationMs>(&["367d", "366d1ms", "99999999999999999999999s", "18446744073709551615d"], "366d");
    }

    #[test]
    fn rates() {
        check(&[
            ("3/1h", Rate { count: 3, window_ms: 3_600_000 }, "3/1h"),
            ("7/1d", Rate { count: 7, window_ms: 86_400_000 }, "7/1d"),
            ("10 / 10m", Rate { count: 10, window_ms: 600_000 }, "10/10m"),
        ]);
        check_errors::<Rate>(
            &["", "3", "0/1h", "-1/1h", "+1/1h", "3/", "3/1", "/1h", "3/100ms", "5000000000/1h"],
            "3/1h",
        );
    }

    #[test]
    fn sizes() {
        check(&[
            ("64MiB", Bytes(64 << 20), "64MiB"),
            ("1GiB", Bytes(1 << 30), "1GiB"),
            ("512KiB", Bytes(512 << 10), "512KiB"),
            ("100B", Bytes(100), "100B"),
            ("1536", Bytes(1536), "1536B"),
            ("1024", Bytes(1024), "1KiB"),
            ("0", Bytes(0), "0B"),
        ]);
        check_errors::<Bytes>(&["", "MiB", "-1", "1.5MiB", "64MB", "1mib", "64M"], "64MiB");
        check_errors::<Bytes>(&["18446744073709551615KiB"], "too large");
        assert!("64MB".parse::<Bytes>().expect_err("decimal").0.contains("1024KiB are 1MiB"));
    }

    #[test]
    fn they_are_texts_in_json() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct All {
            duration: DurationMs,
            rate: Rate,
            bytes: Bytes,
        }
        let json = serde_json::json!({"duration": "1h30m", "rate": "3/1h", "bytes": "64MiB"});
        let all: All = serde_json::from_value(json.clone()).expect("well-formed");
        assert_eq!(serde_json::to_value(&all).expect("plain"), json);
        assert_eq!(serde_json::from_str::<Bytes>("100").expect("digits"), Bytes(100));
        let error = serde_json::from_str::<DurationMs>("90").expect_err("no unit");
        assert!(error.to_string().contains("in quotes"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_displayed_can_be_typed_back(ms in 0..=DURATION_MS_MAX, count in 1u32.., bytes: u64) {
            prop_assert_eq!(DurationMs(ms).to_string().parse(), Ok(DurationMs(ms)));
            prop_assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
            let rate = Rate { count, window_ms: ms.max(1_000) };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn nothing_panics(text in ".*") {
            let _ = (text.parse::<DurationMs>(), text.parse::<Rate>(), text.parse::<Bytes>());
        }
    }
}
