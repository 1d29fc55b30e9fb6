//! What the configuration says about a runbook's stage: `live`, or `live@sha256:…` for one version.

use std::fmt;
use std::str::FromStr;

use sandbook_core::effect::closest;
use sandbook_core::problem::Malformed;
use sandbook_core::run::Stage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shape::{Kind, Shape, leaf};

/// Hex digits of a pinned digest at the least: two versions of a runbook never share so many.
const PIN_DIGITS_MIN: usize = 12;
/// Hex digits of a whole digest.
const DIGEST_DIGITS: usize = 64;
/// Digests begin so.
const DIGEST_PREFIX: &str = "sha256:";

/// A stage, maybe of one version only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePin {
    /// The stage.
    pub stage: Stage,
    /// Beginning of the version's digest, with `sha256:`; absent: whatever the watched folder holds.
    pub digest: Option<String>,
}

impl StagePin {
    /// Whether it is about that version: pinned to it.
    pub fn pins(&self, digest: &str) -> bool {
        self.digest.as_deref().is_some_and(|pinned| digest.starts_with(pinned))
    }
}

impl FromStr for StagePin {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<StagePin, Malformed> {
        let (word, digest) = match text.split_once('@') {
            Some((word, digest)) => (word, Some(digest)),
            None => (text, None),
        };
        let Some(stage) = Stage::from_name(word) else {
            let words = || Stage::ALL.iter().map(|stage| stage.name());
            let hint = closest(word, words()).map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
            let known: Vec<&str> = words().collect();
            return Err(Malformed(format!("there is no stage {word:?}, there are {}{hint}", known.join(", "))));
        };
        let Some(digest) = digest else { return Ok(StagePin { stage, digest: None }) };
        let digits = digest.strip_prefix(DIGEST_PREFIX).unwrap_or(digest);
        let plain = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !plain || !(PIN_DIGITS_MIN..=DIGEST_DIGITS).contains(&digits.len()) {
            return Err(Malformed(format!(
                "{digest:?} is no digest: write {word}@sha256: and at least {PIN_DIGITS_MIN} of its hex digits, as `sandbook runbooks` shows it"
            )));
        }
        Ok(StagePin { stage, digest: Some(format!("{DIGEST_PREFIX}{digits}")) })
    }
}

impl fmt::Display for StagePin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "{}@{digest}", self.stage),
            None => write!(f, "{}", self.stage),
        }
    }
}

impl Serialize for StagePin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StagePin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Kind for StagePin {
    fn shape() -> Shape {
        leaf::<StagePin>("a stage in quotes, like \"live\" or \"live@sha256:…\"", true)
    }
}
