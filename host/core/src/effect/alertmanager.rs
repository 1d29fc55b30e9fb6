//! Effects on the configured Alertmanager: the alerts it holds, and its silences.
//!
//! A silence of a run carries run and slot in its comment: after a crash it is looked up by that, so one is never made
//! twice. Deliberately not here: the silences that this engine itself heeds (the host's `silences`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, Op, Part, Recovery, Scope, check_range, check_text};
use crate::error::Error;
use crate::matching::Matcher;

/// Alerts or silences of a listing at the most.
pub const LISTED_MAX: usize = 500;
/// Matchers at the most.
pub const MATCHERS_MAX: usize = 20;
/// Longest matcher.
pub const MATCHER_BYTES_MAX: usize = 1_024;
/// Shortest silence, in milliseconds.
pub const SILENCE_MS_MIN: u64 = 60_000;
/// Longest silence: what is silent for longer is forgotten.
pub const SILENCE_MS_MAX: u64 = 7 * 86_400_000;
/// Longest comment.
pub const COMMENT_BYTES_MAX: usize = 1_024;
/// One answer of Alertmanager.
const ANSWER_MS: u64 = 15_000;

/// Which alerts to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct AlertFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inhibited: Option<bool>,
}

/// What Alertmanager does with an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum AlertState {
    Unprocessed,
    #[default]
    Active,
    Suppressed,
}

/// An alert it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HeldAlert {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub starts_at: String,
    pub fingerprint: String,
    pub state: AlertState,
    pub silenced_by: Vec<String>,
}

/// Which silences to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct SilenceFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
}

/// Whether a silence holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum SilenceState {
    Pending,
    #[default]
    Active,
    Expired,
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Silence {
    pub id: String,
    pub state: SilenceState,
    pub matchers: Vec<String>,
    pub created_by: String,
    pub comment: String,
    pub starts_at: String,
    pub ends_at: String,
}

/// A silence to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct NewSilence {
    pub matchers: Vec<String>,
    pub duration_ms: u64,
    pub comment: String,
}

/// The silence that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SilenceCreated {
    pub id: String,
    pub ends_at: String,
}

/// Whether a silence was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SilenceExpired {
    pub changed: bool,
}

/// What a silence's comment says of where it comes from: recovery finds it by this.
pub fn marker(run: &str, slot: u32) -> String {
    format!("[sandbook run {run} slot {slot}]")
}

/// Reads matchers; the error names the one that is none.
pub fn read_matchers(written: &[String]) -> Result<Vec<Matcher>, Error> {
    check_range("the number of matchers", Some(written.len()), 0, MATCHERS_MAX)?;
    let read = |text: &String| {
        check_text("matchers", text, MATCHER_BYTES_MAX)?;
        text.parse().map_err(|error: crate::problem::Malformed| Error::invalid(format!("matchers: {}", error.0)))
    };
    written.iter().map(read).collect()
}

macro_rules! alertmanager_op {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty),* } -> $output:ty, $effect:literal, $class:ident,
     $recovery:ident, bytes $bytes:expr, |$self_:ident| $validate:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fmeta])* #[allow(missing_docs)] pub $field: $ty),* }
        impl Op for $name {
            type Output = $output;
            const NAME: &'static str = $effect;
            const CLASS: Class = Class::$class;
            const DEADLINE_MS: u64 = ANSWER_MS;
            const OUTPUT_BYTES_MAX: usize = $bytes;
            fn recovery(&self) -> Recovery { Recovery::$recovery }
            fn scope(&self) -> Scope<'_> { Scope::Part(Part::Alertmanager) }
            fn validate(&self) -> Result<(), Error> { let $self_ = self; $validate }
        }
    };
}

alertmanager_op! {
    /// Alerts it holds.
    ListAlerts { #[serde(default)] filter: AlertFilter } -> Vec<HeldAlert>, "alertmanager.list-alerts", Observe, Again,
    bytes 1024 * 1024, |op| read_matchers(op.filter.matchers.as_deref().unwrap_or_default()).map(drop)
}
alertmanager_op! {
    /// Its silences.
    ListSilences { #[serde(default)] filter: SilenceFilter } -> Vec<Silence>, "alertmanager.list-silences", Observe, Again,
    bytes 1024 * 1024, |op| read_matchers(op.filter.matchers.as_deref().unwrap_or_default()).map(drop)
}
alertmanager_op! {
    /// Silences alerts from now on.
    CreateSilence { silence: NewSilence } -> SilenceCreated, "alertmanager.create-silence", Mutate, Key,
    bytes 1024, |op| check_silence(&op.silence)
}
alertmanager_op! {
    /// Ends a silence now.
    ExpireSilence { id: String } -> SilenceExpired, "alertmanager.expire-silence", Mutate, Look,
    bytes 1024, |op| check_id(&op.id)
}

fn check_silence(silence: &NewSilence) -> Result<(), Error> {
    let matchers = read_matchers(&silence.matchers)?;
    // Alertmanager refuses the same: it would silence everything.
    if !matchers.iter().any(|matcher| !matcher.matches(&BTreeMap::new())) {
        return Err(Error::invalid("matchers: at least one must not match the empty text, or it silences everything"));
    }
    check_range("duration_ms", Some(silence.duration_ms), SILENCE_MS_MIN, SILENCE_MS_MAX)?;
    if silence.comment.trim().is_empty() {
        return Err(Error::invalid("comment is empty: say why it is silent"));
    }
    check_text("comment", &silence.comment, COMMENT_BYTES_MAX)
}

fn check_id(id: &str) -> Result<(), Error> {
    let known = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if known { Ok(()) } else { Err(Error::invalid(format!("id `{}` is no id of a silence", id.escape_debug()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_bounded_and_never_of_everything() {
        let silence = |matchers: &[&str], duration_ms, comment: &str| NewSilence {
            matchers: matchers.iter().map(|text| (*text).to_owned()).collect(),
            duration_ms,
            comment: comment.to_owned(),
        };
        let hour = 3_600_000;
        assert!(check_silence(&silence(&["alertname=\"Down\"", "host=~\"web.*\""], hour, "deploy")).is_ok());
        for (wrong, named) in [
            (silence(&[], hour, "x"), "silences everything"),
            (silence(&["host=~\".*\""], hour, "x"), "silences everything"),
            (silence(&["host"], hour, "x"), "matchers"),
            (silence(&["a=\"b\""], 1, "x"), "duration_ms"),
            (silence(&["a=\"b\""], SILENCE_MS_MAX + 1, "x"), "duration_ms"),
            (silence(&["a=\"b\""], hour, " "), "comment"),
        ] {
            let error = check_silence(&wrong).expect_err(named);
            assert!(error.message.contains(named), "{error}");
        }
        assert!(check_id("../alerts").is_err() && check_id("5c5c-1").is_ok());
    }
}
