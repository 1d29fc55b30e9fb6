//! Figures of the daemon. A field's doc comment says what it counts; names and HELP texts stand in `docs/reference/metrics.md`.
//!
//! Labels are bounded: effects and outcomes are closed sets, runbooks as many as are installed. No container, alert or
//! person is ever a label here; container state comes from the watcher.

use std::time::Duration;

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use sandbook_core::error::Error;
use sandbook_core::run::{Mode, Outcome};
use serde_json::Value;

use crate::about_us::refused::Reason;
use crate::store::Scope;

mod alerting;
mod llm;
mod notify;
mod outcomes;
mod schedules;

pub use alerting::Alerting;
pub use llm::Llm;
pub use notify::Notify;
pub use outcomes::Outcomes;
pub use schedules::Schedules;

/// Everything the daemon counts.
pub struct Metrics {
    registry: Registry,
    /// Alerts received, by what became of them.
    pub alerts_received: IntCounterVec,
    /// Webhook messages refused, by reason.
    pub webhook_refused: IntCounterVec,
    /// Requests and connections beyond a bound of [server], by which.
    pub requests_limited: IntCounterVec,
    /// Runs ended, by runbook, mode and outcome.
    pub runs: IntCounterVec,
    /// Guests executing now.
    pub runs_active: IntGauge,
    /// Runs accepted and not started.
    pub queue_length: IntGauge,
    /// How many may be.
    pub queue_capacity: IntGauge,
    /// Effects answered, by effect and result.
    pub effects: IntCounterVec,
    /// Time of drivers, by effect.
    pub effect_seconds: HistogramVec,
    /// From the request that brought the alert to the first change driven.
    pub first_effect_seconds: Histogram,
    /// Runs from accepted to ended.
    pub run_seconds: HistogramVec,
    /// Whether the store can write.
    pub store_up: IntGauge,
    /// Time of the last heartbeat, in seconds since 1970: the dead man's switch.
    pub heartbeat: IntGauge,
    /// Whether acting helped.
    pub outcomes: Outcomes,
    /// Reloads of the policy and of certificates that failed.
    pub reload_failures: IntCounterVec,
    /// Brakes tripped, by scope.
    pub brake_trips: IntCounterVec,
    /// Brakes that wait for a person to re-arm them.
    pub brakes_tripped: IntGauge,
    /// Notifications sent by the engine itself, by event and result.
    pub notifications: IntCounterVec,
    /// Traces of runs, by what became of them.
    pub traces: IntCounterVec,
    /// Messages to people, by channel.
    pub notify: Notify,
    /// How alerts come here.
    pub alerting: Alerting,
    /// What the model does and takes.
    pub llm: Llm,
    /// What became of the times of schedules.
    pub schedules: Schedules,
}

/// What a run ended with that a person or a stop ended.
pub const CANCELLED: &str = "cancelled";
/// Seconds: effects answer between half a millisecond and the minute their deadlines allow.
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new().expect("names are unique and valid; a test constructs it")
    }
}

impl Metrics {
    /// A fresh registry.
    ///
    /// # Errors
    /// When a name is used twice or is not valid, which a test excludes.
    pub fn new() -> prometheus::Result<Metrics> {
        let r = Registry::new();
        let metrics = Metrics {
            alerts_received: counters(
                &r,
                "sandbook_alerts_received_total",
                "Alerts received, by result: new, duplicate, resolved, suppressed, rejected, truncated.",
                &["result"],
            )?,
            webhook_refused: counters(
                &r,
                "sandbook_webhook_refused_total",
                "Webhook messages refused, by reason.",
                &["reason"],
            )?,
            requests_limited: requests_limited(&r)?,
            runs: counters(
                &r,
                "sandbook_runs_total",
                "Runs ended, by runbook, mode and outcome.",
                &["runbook", "mode", "outcome"],
            )?,
            runs_active: gauge(&r, "sandbook_runs_active", "Guests executing now.")?,
            queue_length: gauge(&r, "sandbook_queue_length", "Runs accepted and not started.")?,
            queue_capacity: gauge(
                &r,
                "sandbook_queue_capacity",
                "Runs that may be waiting to start before new firing alerts are answered 503.",
            )?,
            effects: counters(
                &r,
                "sandbook_effects_total",
                "Effects driven, by effect and result: ok, or the kind of error.",
                &["effect", "result"],
            )?,
            effect_seconds: histograms(
                &r,
                "sandbook_effect_duration_seconds",
                "Time of drivers, by effect.",
                &["effect"],
            )?,
            first_effect_seconds: histogram(
                &r,
                "sandbook_time_to_first_effect_seconds",
                "From the request that brought the alert to the first change driven.",
            )?,
            run_seconds: histograms(
                &r,
                "sandbook_run_duration_seconds",
                "Runs from their start to their end, by runbook.",
                &["runbook"],
            )?,
            store_up: gauge(&r, "sandbook_store_up", "1 while the store can write, else 0.")?,
            heartbeat: heartbeat(&r)?,
            outcomes: Outcomes::new(&r)?,
            reload_failures: counters(
                &r,
                "sandbook_reload_failures_total",
                "Reloads that kept the old version, by what: policy, certificates.",
                &["what"],
            )?,
            brake_trips: counters(
                &r,
                "sandbook_brake_trips_total",
                "Brakes tripped, by scope: runbook-subject, subject, runbook, host, policy, storm.",
                &["scope"],
            )?,
            brakes_tripped: gauge(
                &r,
                "sandbook_brakes_tripped",
                "Brakes that tripped and wait for a person to re-arm them.",
            )?,
            notifications: counters(
                &r,
                "sandbook_notifications_total",
                "Notifications of the engine itself, by event and result.",
                &["event", "result"],
            )?,
            traces: traces(&r)?,
            notify: Notify::new(&r)?,
            alerting: Alerting::new(&r)?,
            llm: Llm::new(&r)?,
            schedules: Schedules::new(&r)?,
            registry: r,
        };
        build_info(&metrics.registry)?;
        metrics.begin();
        Ok(metrics)
    }

    /// Rare events have their series from the start: Prometheus sees no increase in one that is born at 1.
    fn begin(&self) {
        for reason in Reason::ALL {
            self.webhook_refused.with_label_values(&[reason.name()]);
        }
        for result in ["rejected", "truncated", "suppressed"] {
            self.alerts_received.with_label_values(&[result]);
        }
        for what in ["policy", "certificates"] {
            self.reload_failures.with_label_values(&[what]);
        }
        for by in ["address", "token", "streams", "connections"] {
            self.requests_limited.with_label_values(&[by]);
        }
        for scope in Scope::NAMES {
            self.brake_trips.with_label_values(&[scope]);
        }
    }

    /// A runbook that is installed has its series before it ever ran, for the same reason.
    pub fn known(&self, runbook: &str) {
        let live = Mode::Live.name();
        for word in Outcome::ALL.iter().copied().map(Outcome::name).chain([CANCELLED]) {
            self.runs.with_label_values(&[runbook, live, word]);
        }
        self.outcomes.known(runbook);
    }

    /// An effect was driven.
    pub fn effect(&self, effect: &str, result: &Result<Value, Error>, took: Duration) {
        let word = match result {
            Ok(_) => "ok",
            Err(error) => error.kind.name(),
        };
        self.effects.with_label_values(&[effect, word]).inc();
        self.effect_seconds.with_label_values(&[effect]).observe(took.as_secs_f64());
    }

    /// The first change of a run was driven.
    pub fn first_effect(&self, after: Duration) {
        self.first_effect_seconds.observe(after.as_secs_f64());
    }

    /// The Prometheus text format.
    pub fn encode(&self) -> String {
        let mut buffer = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut buffer) {
            Ok(()) => String::from_utf8_lossy(&buffer).into_owned(),
            Err(error) => format!("# cannot encode metrics: {error}\n"),
        }
    }
}

fn build_info(registry: &Registry) -> prometheus::Result<()> {
    let build = gauges(registry, "sandbook_build_info", "Always 1; the version is a label.", &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(())
}

fn heartbeat(registry: &Registry) -> prometheus::Result<IntGauge> {
    let help = "Time of the last heartbeat in seconds since 1970; a dead man's switch.";
    gauge(registry, "sandbook_heartbeat_timestamp_seconds", help)
}

fn traces(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let help = "Ends and verifications of runs for the collector of traces, by result: sent, failed, dropped (the queue was full).";
    counters(registry, "sandbook_traces_total", help, &["result"])
}

fn requests_limited(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let help = "Requests beyond a bound of [server], by which: address, token, streams, connections.";
    counters(registry, "sandbook_requests_limited_total", help, &["by"])
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn histogram(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Histogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    let histograms = HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?;
    registry.register(Box::new(histograms.clone()))?;
    Ok(histograms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_registers_and_is_shown() {
        let metrics = Metrics::new().expect("unique names");
        metrics.effect("docker.restart-container", &Ok(Value::Null), Duration::from_millis(2));
        let text = metrics.encode();
        assert!(text.contains("sandbook_effects_total{effect=\"docker.restart-container\",result=\"ok\"} 1"), "{text}");
        assert!(text.contains("sandbook_build_info"));
        assert!(text.contains("sandbook_webhook_refused_total{reason=\"too-large\"} 0"), "{text}");
        for name in Scope::NAMES {
            assert_eq!(Scope::parse(name, "").map(|scope| scope.name()), Some(name));
        }
    }
}
