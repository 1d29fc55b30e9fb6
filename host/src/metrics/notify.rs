//! Figures of messages to people, by channel: as many series as there are channels.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{counters, gauges};
use crate::store::ChannelCount;

/// What is counted.
pub struct Notify {
    /// Messages, by channel and what came of them.
    pub messages: IntCounterVec,
    /// Those that wait, by channel.
    pub waiting: IntGaugeVec,
    /// How long the oldest waits, in seconds, by channel.
    pub oldest: IntGaugeVec,
}

impl Notify {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Notify> {
        Ok(Notify {
            messages: counters(
                r,
                "sandbook_notify_messages_total",
                "Messages to channels, by result: sent, grouped (sent inside another), failed (tried again), dropped.",
                &["channel", "result"],
            )?,
            waiting: gauges(r, "sandbook_notify_waiting", "Messages that wait for a channel.", &["channel"])?,
            oldest: gauges(
                r,
                "sandbook_notify_oldest_seconds",
                "How long the oldest message waits for a channel, in seconds; 0 when none does.",
                &["channel"],
            )?,
        })
    }

    /// Messages of a channel came to that.
    pub fn count(&self, channel: &str, result: &str, count: u64) {
        self.messages.with_label_values(&[channel, result]).inc_by(count);
    }

    /// What waits now.
    pub fn waits(&self, counts: &[ChannelCount], now: u64) {
        for one in counts {
            let age = one.oldest.map_or(0, |oldest| now.saturating_sub(oldest) / 1_000);
            self.waiting.with_label_values(&[&one.channel]).set(i64::try_from(one.waiting).unwrap_or(i64::MAX));
            self.oldest.with_label_values(&[&one.channel]).set(i64::try_from(age).unwrap_or(i64::MAX));
        }
    }

    /// A channel that is configured has its series from the start.
    pub fn known(&self, channel: &str) {
        for result in ["sent", "grouped", "failed", "dropped"] {
            self.count(channel, result, 0);
        }
        self.waiting.with_label_values(&[channel]).set(0);
        self.oldest.with_label_values(&[channel]).set(0);
    }
}
