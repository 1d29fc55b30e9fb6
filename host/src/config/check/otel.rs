//! Checks of `[otel]`.

use sandbook_core::duration::DurationMs;

use super::super::{BAD_VALUE, MISSING_KEY, Sections};
use super::Checker;

/// Time for one export: a collector is near, and what waits longer only fills the queue.
const TIMEOUT_MS: (u64, u64) = (100, 60_000);
/// Bytes of a service's name.
const NAME_BYTES_MAX: usize = 128;

impl Checker<'_> {
    pub(super) fn otel(&mut self, sections: &Sections) {
        let otel = &sections.otel;
        self.url("otel.endpoint", otel.endpoint.as_ref());
        if otel.endpoint.is_none() && otel.headers_file.is_some() {
            let message = "`otel.headers_file` stands without `endpoint`";
            self.error(MISSING_KEY, "otel.headers_file", message, "add endpoint = \"…\"");
        }
        self.range("otel.sample", otel.sample, 0.0, 1.0);
        self.range("otel.timeout", otel.timeout, DurationMs(TIMEOUT_MS.0), DurationMs(TIMEOUT_MS.1));
        let name = &otel.service_name;
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
            let message = format!("`otel.service_name` must have 1 to {NAME_BYTES_MAX} bytes");
            self.error(BAD_VALUE, "otel.service_name", message, "");
        }
    }
}
