//! What the engine answers itself: memory, random numbers, messages and questions.
//!
//! Deliberately not here: delivering anything. A world remembers what was said.

use super::{Notification, SENT_KEPT_MAX, World};
use crate::effect::engine::KEYS_MAX;
use crate::effect::human::{Answer, Ask};
use crate::effect::notify::{Message, Receipt};
use crate::error::Error;

/// The channel of a message that names none.
pub(super) const ESCALATION: &str = "escalation";

/// The next number of a splitmix64 generator.
pub(super) fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl World {
    pub(super) fn put(&mut self, key: &str, value: &str) -> Result<(), Error> {
        if !self.memory.contains_key(key) && self.memory.len() >= usize::try_from(KEYS_MAX).unwrap_or(usize::MAX) {
            return Err(Error::limited(format!("{KEYS_MAX} keys are the most a runbook may have")));
        }
        self.memory.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    pub(super) fn compare_and_put(&mut self, key: &str, expected: Option<&str>, value: &str) -> Result<bool, Error> {
        if self.memory.get(key).map(String::as_str) != expected {
            return Ok(false);
        }
        self.put(key, value).map(|()| true)
    }

    /// Nobody can be asked here: the world says what a person would.
    pub(super) fn person_says(&self, ask: &Ask) -> Answer {
        let listed = self.answers.get(&ask.question).filter(|answer| ask.options.contains(answer));
        let option = listed.cloned().unwrap_or_else(|| ask.assumed());
        let reason = "nobody was asked: this is a simulated world".to_owned();
        Answer { option, by: "simulated".to_owned(), reason, fallback: false }
    }

    pub(super) fn send(&mut self, message: &Message) -> Receipt {
        let channel = message.channel.clone().unwrap_or_else(|| ESCALATION.to_owned());
        let number = self.notifications.len() + 1;
        let dedup_key = message.dedup_key.clone().unwrap_or_else(|| format!("simulated-{}-{number}", self.now_ms));
        self.notifications.push(Notification {
            at_ms: self.now_ms,
            channel: channel.clone(),
            title: message.title.clone(),
            text: message.text.clone(),
            severity: message.severity.unwrap_or_default().name().to_owned(),
            dedup_key: dedup_key.clone(),
        });
        let beyond = self.notifications.len().saturating_sub(SENT_KEPT_MAX);
        self.notifications.drain(..beyond);
        Receipt { channel, dedup_key }
    }
}
