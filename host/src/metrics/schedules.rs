//! Figures of schedules. A runbook without one has no series.

use std::collections::BTreeMap;

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{counters, gauges};

/// What is counted.
pub struct Schedules {
    /// Times that were settled, by runbook and result.
    pub fires: IntCounterVec,
    /// When it is due next, in seconds since 1970.
    pub next: IntGaugeVec,
}

impl Schedules {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Schedules> {
        Ok(Schedules {
            fires: counters(
                r,
                "sandbook_schedule_fires_total",
                "Times of schedules, by runbook and result: started, late, missed, paused, overlap, failed.",
                &["runbook", "result"],
            )?,
            next: gauges(
                r,
                "sandbook_schedule_next_timestamp_seconds",
                "When a runbook's schedule is due next in seconds since 1970.",
                &["runbook"],
            )?,
        })
    }

    /// A time was settled.
    pub fn settled(&self, runbook: &str, result: &str) {
        self.fires.with_label_values(&[runbook, result]).inc();
    }

    /// What comes next, in milliseconds; who is not there has no schedule any more.
    pub fn coming(&self, coming: &BTreeMap<String, u64>) {
        self.next.reset();
        for (runbook, ms) in coming {
            self.next.with_label_values(&[runbook]).set(i64::try_from(ms / 1_000).unwrap_or(i64::MAX));
        }
    }
}
