//! `[otel]`: where traces of runs go.

use std::path::PathBuf;

use sandbook_core::duration::DurationMs;

use super::shape::section;
use crate::otel;

section! {
    /// Traces of runs.
    Otel {
        /// Base URL of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; absent: what the variable
        /// `OTEL_EXPORTER_OTLP_ENDPOINT` says; without it no traces.
        endpoint: Option<String> = None;
        /// File with headers for the collector, a `name: value` a line. It is read at every export.
        headers_file: Option<PathBuf> = None;
        /// Share of runs that are traced. From 0 to 1.
        sample: f64 = 1.0;
        /// What the daemon is called in traces.
        service_name: String = "sandbook".to_owned();
        /// For one export. From 100ms to 1m.
        timeout: DurationMs = DurationMs(5_000);
    }
}

impl Otel {
    /// As the exporter takes it; `None` when no collector is configured.
    pub fn settings(&self) -> Option<otel::Settings> {
        Some(otel::Settings {
            endpoint: self.endpoint.clone()?,
            headers_file: self.headers_file.clone(),
            sample: self.sample,
            service_name: self.service_name.clone(),
            timeout: self.timeout.to_std(),
        })
    }
}
