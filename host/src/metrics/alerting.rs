//! Figures of how alerts come here: Alertmanager's API, silences, and the alert that always fires. What is not configured
//! has no series, so that a rule about it is quiet.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{counters, gauges};

/// What is counted.
pub struct Alerting {
    /// Whether Alertmanager answers, by what is fetched.
    pub up: IntGaugeVec,
    /// When it last did, in seconds since 1970.
    pub success: IntGaugeVec,
    /// Requests to it in vain.
    pub failures: IntCounterVec,
    /// Alerts that only it knew.
    pub missed: IntCounterVec,
    /// Silences it has.
    pub silences: IntGaugeVec,
    /// Whether the always firing alert is heard.
    pub watchdog_up: IntGaugeVec,
    /// When it was heard last, in seconds since 1970.
    pub watchdog_heard: IntGaugeVec,
}

impl Alerting {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Alerting> {
        Ok(Alerting {
            up: gauges(
                r,
                "sandbook_alertmanager_up",
                "1 while Alertmanager answers, else 0, by what is fetched: alerts, silences.",
                &["what"],
            )?,
            success: gauges(
                r,
                "sandbook_alertmanager_last_success_timestamp_seconds",
                "When Alertmanager answered last in seconds since 1970, by what is fetched.",
                &["what"],
            )?,
            failures: counters(
                r,
                "sandbook_alertmanager_failures_total",
                "Times that Alertmanager could not be asked, by what is fetched.",
                &["what"],
            )?,
            missed: counters(
                r,
                "sandbook_missed_alerts_total",
                "Alerts that fired in Alertmanager and were never heard, until they were fetched from there.",
                &[],
            )?,
            silences: gauges(r, "sandbook_silences", "Silences in Alertmanager, active and pending.", &[])?,
            watchdog_up: gauges(r, "sandbook_watchdog_up", "1 while the always firing alert is heard, else 0.", &[])?,
            watchdog_heard: gauges(
                r,
                "sandbook_watchdog_heard_timestamp_seconds",
                "When the always firing alert was heard last in seconds since 1970; 0: not since the start.",
                &[],
            )?,
        })
    }

    /// Alertmanager was asked for something.
    pub fn asked(&self, what: &str, answered: bool) {
        self.up.with_label_values(&[what]).set(i64::from(answered));
        match answered {
            true => self.success.with_label_values(&[what]).set(jiff::Timestamp::now().as_second()),
            false => self.failures.with_label_values(&[what]).inc(),
        }
    }
}
