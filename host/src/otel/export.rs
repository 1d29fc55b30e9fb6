//! Sending: reads what is queued, makes spans of it, and posts them. A collector that is gone costs a line a minute.
//!
//! Deliberately not here: what a span says, see [`super::spans`].

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use reqwest::StatusCode;

use super::{Item, Settings, Waiting, spans};
use crate::driver::web;
use crate::metrics::Metrics;
use crate::seldom::Seldom;
use crate::store::Store;

/// Runs read and sent together.
const TOGETHER_MAX: usize = 32;
/// Spans of one request: half a megabyte at the most.
const SPANS_MAX: usize = 512;
/// How often the same spans are sent before they are given up: a restart of the collector takes a moment.
const ATTEMPTS: u32 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two lines of the log about the same trouble.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// Bytes of the file with headers.
const HEADERS_BYTES_MAX: u64 = 64 << 10;
/// Where OTLP over HTTP takes spans, below the base URL.
const PATH: &str = "v1/traces";

/// Exports what is queued, until the queue is gone.
pub async fn follow(settings: Settings, waiting: Waiting, store: Arc<dyn Store>, metrics: Arc<Metrics>) {
    let client = web::client(web::Redirects::Never);
    let exporter = Exporter { settings, client, store, metrics, said: Seldom::every(SAID_EVERY) };
    let Waiting(mut queue) = waiting;
    let mut items = Vec::new();
    while queue.recv_many(&mut items, TOGETHER_MAX).await > 0 {
        exporter.export(&mut items).await;
    }
}

struct Exporter {
    settings: Settings,
    client: reqwest::Client,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    said: Seldom,
}

impl Exporter {
    async fn export(&self, items: &mut Vec<Item>) {
        let (mut made, mut of, mut waits) = (Vec::new(), 0, Vec::new());
        for item in items.drain(..) {
            match self.spans(item).await {
                Ok(Made::Spans(spans)) => {
                    made.extend(spans);
                    of += 1;
                }
                Ok(Made::Nothing(done)) => waits.push(done),
                Err(error) => self.count("failed", 1, Some(&error)),
            }
        }
        let mut sent = Ok(());
        for spans in made.chunks(SPANS_MAX) {
            sent = self.send(spans.to_vec()).await;
            if sent.is_err() {
                break;
            }
        }
        match sent {
            Ok(()) => self.count("sent", of, None),
            Err(error) => self.count("failed", of, Some(&error)),
        }
        for done in waits {
            // Whoever waited too long has gone.
            let _ = done.send(());
        }
    }

    async fn spans(&self, item: Item) -> Result<Made> {
        let (run, verification) = match item {
            Item::Ended(run) => (run, None),
            Item::Verified(run, verification) => (run, Some(verification)),
            Item::Flush(done) => return Ok(Made::Nothing(done)),
        };
        let Some(row) = self.store.run(&run).await? else { bail!("run {run} is gone already") };
        if let Some(verification) = verification {
            return Ok(Made::Spans(vec![spans::verify(&row, verification)]));
        }
        let episode = match &row.episode {
            Some(id) => self.store.episode(id).await?,
            None => None,
        };
        let records = self.store.records_after(&row.id, None).await?;
        Ok(Made::Spans(spans::of(&row, episode.as_ref(), records.into_iter().map(|(_, record)| record))))
    }

    /// Posts spans; again where that may help.
    async fn send(&self, spans: Vec<Span>) -> Result<()> {
        let body =
            ExportTraceServiceRequest { resource_spans: vec![spans::within(&self.settings.service_name, spans)] };
        let body = bytes::Bytes::from(body.encode_to_vec());
        let mut attempt = 1;
        loop {
            match self.post(body.clone()).await {
                Ok(()) => return Ok(()),
                Err(Trouble { again: true, .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(trouble) => return Err(trouble.why),
            }
        }
    }

    async fn post(&self, body: bytes::Bytes) -> Result<(), Trouble> {
        let url = format!("{}/{PATH}", self.settings.endpoint.trim_end_matches('/'));
        let mut request = self.client.post(url).timeout(self.settings.timeout);
        for (name, value) in self.headers().map_err(|why| Trouble { why, again: false })? {
            request = request.header(name, value);
        }
        let request = request.header("content-type", "application/x-protobuf").body(body);
        let answer = request
            .send()
            .await
            .map_err(|error| Trouble { why: anyhow::anyhow!("{}", web::reason(error)), again: true })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Trouble { why: anyhow::anyhow!("it answers {status}"), again })
    }

    fn headers(&self) -> Result<Vec<(String, String)>> {
        let Some(file) = &self.settings.headers_file else { return Ok(Vec::new()) };
        let read = || format!("[otel] headers_file: {} cannot be read", file.display());
        if std::fs::metadata(file).with_context(read)?.len() > HEADERS_BYTES_MAX {
            bail!("[otel] headers_file: {} is longer than {HEADERS_BYTES_MAX} bytes", file.display());
        }
        let text = std::fs::read_to_string(file).with_context(read)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                let none = || format!("[otel] headers_file: line {} is not `name: value`", index + 1);
                let (name, value) = line.split_once(':').with_context(none)?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect()
    }

    fn count(&self, result: &str, runs: u64, trouble: Option<&anyhow::Error>) {
        self.metrics.traces.with_label_values(&[result]).inc_by(runs);
        let Some(trouble) = trouble else { return };
        if let Some(left_out) = self.said.now("trouble") {
            tracing::warn!(
                endpoint = %self.settings.endpoint,
                left_out,
                "traces do not arrive; runs go on, and sandbook_traces_total counts what is missing: {trouble:#}"
            );
        }
    }
}

enum Made {
    Spans(Vec<Span>),
    Nothing(tokio::sync::oneshot::Sender<()>),
}

struct Trouble {
    why: anyhow::Error,
    /// Whether sending the same again may help.
    again: bool,
}
