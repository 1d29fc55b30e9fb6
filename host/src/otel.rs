//! Traces of runs for a collector of OpenTelemetry (OTLP over HTTP): alert, match, aim, each effect, verification.
//!
//! Spans are made after the fact from what is stored: a run that ended is queued by its id, and a task of its own reads
//! its journal and sends. So nothing of it is in the way of a run, a run that a crash interrupted is one trace, and no
//! span can say more than the journal shows. Ids come from the run's id alone: whoever knows a run knows its trace.
//!
//! Deliberately not here: traces of the daemon's own requests, and keeping what a collector does not take. The journal
//! is the record; a trace is a copy that may be missing.

use std::path::PathBuf;
use std::time::Duration;

use sandbook_core::run::Verification;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;

mod export;
mod spans;

pub use export::follow;

/// Runs that wait to be exported at the most; beyond them a run is not traced, which is counted.
const QUEUE_MAX: usize = 1_024;
/// Bytes of a trace's id.
const TRACE_ID_BYTES: usize = 16;
/// Bytes of a span's id.
const SPAN_ID_BYTES: usize = 8;

/// How traces are exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Base URL of the collector.
    pub endpoint: String,
    /// File with headers, read at every export.
    pub headers_file: Option<PathBuf>,
    /// Share of runs.
    pub sample: f64,
    /// What the daemon is called.
    pub service_name: String,
    /// For one export.
    pub timeout: Duration,
}

/// What is to be exported.
#[derive(Debug)]
pub(crate) enum Item {
    /// A run that ended.
    Ended(String),
    /// What was found out of whether it helped.
    Verified(String, Verification),
    /// Whoever waits for everything before it.
    Flush(oneshot::Sender<()>),
}

/// The way to the exporter. Never waits.
#[derive(Debug, Clone)]
pub struct Traces {
    queue: mpsc::Sender<Item>,
    sample: f64,
}

impl Traces {
    /// A way, and what [`follow`] reads at its end.
    pub fn new(settings: &Settings) -> (Traces, Waiting) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        (Traces { queue, sample: settings.sample }, Waiting(waiting))
    }

    /// A run ended.
    pub fn ended(&self, run: &str, metrics: &Metrics) {
        self.put(run, Item::Ended(run.to_owned()), metrics);
    }

    /// It was found out whether a run helped.
    pub fn verified(&self, run: &str, verification: Verification, metrics: &Metrics) {
        self.put(run, Item::Verified(run.to_owned(), verification), metrics);
    }

    fn put(&self, run: &str, item: Item, metrics: &Metrics) {
        if self.id_of(run).is_some() && self.queue.try_send(item).is_err() {
            metrics.traces.with_label_values(&["dropped"]).inc();
        }
    }

    /// The trace of a run, in hexadecimal; `None` where it is not among the share that is traced.
    pub fn id_of(&self, run: &str) -> Option<String> {
        sampled(run, self.sample).then(|| hex(&trace_id(run)))
    }

    /// Waits until what is queued was sent or given up, but no longer than that.
    pub async fn flush(&self, within: Duration) {
        let (done, wait) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                let _ = wait.await;
            }
        };
        let _ = tokio::time::timeout(within, flushed).await;
    }
}

/// The exporter's end of the queue.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<Item>);

/// The trace of a run: of its id, so that every attempt at it is the same trace.
fn trace_id(run: &str) -> [u8; TRACE_ID_BYTES] {
    first_bytes(&format!("trace {run}"))
}

/// A span of a run, by what it is.
fn span_id(run: &str, what: &str) -> [u8; SPAN_ID_BYTES] {
    first_bytes(&format!("span {run} {what}"))
}

fn first_bytes<const N: usize>(text: &str) -> [u8; N] {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest[..N]);
    bytes
}

/// Whether a run is among the share, decided by its trace's id: the same after a restart.
fn sampled(run: &str, share: f64) -> bool {
    #[allow(clippy::cast_precision_loss, reason = "a share is no exact number")]
    let place = u64::from_be_bytes(first_bytes(&format!("sample {run}"))) as f64 / u64::MAX as f64;
    share >= 1.0 || place < share
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let plain = text.len() == 2 * N && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2).filter(|_| plain)?, 16).ok()?;
    }
    (bytes != [0; N]).then_some(bytes)
}

/// Where a message came from, by its sender's header `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: [u8; TRACE_ID_BYTES],
    span: [u8; SPAN_ID_BYTES],
}

impl Parent {
    /// Reads the header as W3C Trace Context has it; what is none is nothing, as that asks for.
    pub fn parse(header: &str) -> Option<Parent> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let plain = |text: &str| text.len() == 2 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // Later versions may append something; this one may not.
        let fits = plain(version) && plain(flags) && version != "ff" && (version != "00" || parts.next().is_none());
        let (trace, span) = (unhex(trace)?, unhex(span)?);
        fits.then_some(Parent { trace, span })
    }
}

impl std::fmt::Display for Parent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-01", hex(&self.trace), hex(&self.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_trace_and_a_share_of_runs_is_traced() {
        assert_eq!(trace_id("r_1"), trace_id("r_1"));
        assert_ne!(trace_id("r_1"), trace_id("r_2"));
        let share = |share: f64| (0..1_000).filter(|run| sampled(&format!("r_{run}"), share)).count();
        assert_eq!((share(0.0), share(1.0)), (0, 1_000));
        assert!((200..300).contains(&share(0.25)), "{}", share(0.25));
        let traced = (0..1_000).map(|run| format!("r_{run}")).find(|run| sampled(run, 0.1)).expect("one of them");
        assert!(sampled(&traced, 0.5), "a greater share takes the same runs and more");
    }

    #[test]
    fn parents_are_read_as_the_standard_has_them() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Parent::parse(header).map(|parent| parent.to_string()).as_deref(), Some(header));
        assert!(Parent::parse(&format!("cc{}-later", &header[2..])).is_some());
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later",
        ] {
            assert_eq!(Parent::parse(wrong), None, "{wrong}");
        }
    }
}
