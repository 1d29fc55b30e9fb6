//! Figures of whether acting helped.

use prometheus::{IntCounterVec, IntGauge, Registry};
use sandbook_core::run::Verification;

use super::{counters, gauge};

/// What is counted.
pub struct Outcomes {
    /// Verifications, by result.
    pub verifications: IntCounterVec,
    /// Runs that changed what was well.
    pub false_positives: IntCounterVec,
    /// Versions demoted for not helping.
    pub demotions: IntCounterVec,
    /// Mean time to repair, in seconds; computed when it is asked for.
    pub mttr_seconds: IntGauge,
}

impl Outcomes {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Outcomes> {
        Ok(Outcomes {
            verifications: counters(
                r,
                "sandbook_verifications_total",
                "Verified runs, by result: confirmed, contradicted, unknown. One that is confirmed first and contradicted later counts as both.",
                &["runbook", "result"],
            )?,
            false_positives: counters(
                r,
                "sandbook_false_positives_total",
                "Runs that changed something which was well in the look just before, by runbook.",
                &["runbook"],
            )?,
            demotions: counters(
                r,
                "sandbook_demotions_total",
                "Versions demoted to shadow because acting did not help, by runbook.",
                &["runbook"],
            )?,
            mttr_seconds: gauge(
                r,
                "sandbook_mttr_seconds",
                "Mean time from an alert's first message to its resolution over the last 7 days, where a run acted; 0 before the first.",
            )?,
        })
    }

    /// A runbook that is installed has its series; what is pending is not counted yet.
    pub(super) fn known(&self, runbook: &str) {
        for result in Verification::ALL.iter().filter(|one| **one != Verification::Pending) {
            self.verifications.with_label_values(&[runbook, result.name()]);
        }
        self.false_positives.with_label_values(&[runbook]);
        self.demotions.with_label_values(&[runbook]);
    }
}
