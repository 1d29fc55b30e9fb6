//! Secrets that must not come back: every result and error of a driver passes here before anything records it.
//!
//! Known strings are replaced wherever they occur, in values, keys and messages. Deliberately not here: guessing what
//! looks like a secret; that belongs to what is sent to a model.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, RwLock};

use serde_json::Value;

/// Shorter strings are not searched for: they would occur by chance and make results unreadable.
pub const SECRET_BYTES_MIN: usize = 6;
/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// The secrets this process has read. Shared; grows, because a rotated secret can still stand in an old log.
#[derive(Clone, Default)]
pub struct Secrets {
    known: Arc<RwLock<BTreeSet<String>>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Remembers a secret; whitespace around it and strings under [`SECRET_BYTES_MIN`] are ignored.
    pub fn remember(&self, secret: &str) {
        let secret = secret.trim();
        if secret.len() >= SECRET_BYTES_MIN {
            self.known.write().expect("nothing panics while holding it").insert(secret.to_owned());
        }
    }

    /// The secret a file holds, read now, so that a rotated one is used at once, and remembered. Errors: why there is none,
    /// naming the file.
    pub async fn read(&self, file: &Path) -> Result<String, String> {
        let secret = tokio::fs::read_to_string(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
        let secret = secret.trim().to_owned();
        if secret.is_empty() {
            return Err(format!("{} is empty", file.display()));
        }
        self.remember(&secret);
        Ok(secret)
    }

    /// All of them, longest first, so that one that contains another goes first.
    pub fn all(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.known.read().expect("nothing panics while holding it").iter().cloned().collect();
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all
    }
}

/// Replaces every known secret in every string and key of a value.
pub fn redact(value: &mut Value, secrets: &[String]) {
    if secrets.is_empty() {
        return;
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => redact_text(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, secrets)),
        Value::Object(map) => {
            if map.keys().any(|key| secrets.iter().any(|secret| key.contains(secret.as_str()))) {
                let entries = std::mem::take(map);
                map.extend(entries.into_iter().map(|(mut key, value)| {
                    redact_text(&mut key, secrets);
                    (key, value)
                }));
            }
            map.values_mut().for_each(|value| redact(value, secrets));
        }
    }
}

/// Replaces every known secret in a text.
pub fn redact_text(text: &mut String, secrets: &[String]) {
    for secret in secrets {
        if text.contains(secret.as_str()) {
            *text = text.replace(secret.as_str(), REDACTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_vanish_from_values_keys_and_nested_lists() {
        let secrets = Secrets::default();
        secrets.remember("hunter22\n");
        secrets.remember("hunter22-long");
        secrets.remember("abc");
        let mut value =
            serde_json::json!({"a": ["x hunter22-long y"], "hunter22": {"b": "hunter22"}, "abc": "abc", "n": 1});
        redact(&mut value, &secrets.all());
        assert_eq!(
            value,
            serde_json::json!({"a": ["x [redacted] y"], "abc": "abc", "n": 1, "[redacted]": {"b": "[redacted]"}})
        );
    }
}
