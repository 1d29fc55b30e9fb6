//! A collector of OpenTelemetry at the wire: takes spans over HTTP, keeps them decoded, misbehaves as told.
//!
//! Deliberately not here: anything a collector does with spans.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::wire::Wire;

/// How exports are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// Taken.
    #[default]
    Takes,
    /// That status.
    Status(u16),
    /// Nothing, for ever.
    Hangs,
}

/// A span as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Of its trace, in hexadecimal.
    pub trace: String,
    /// Its own.
    pub id: String,
    /// Of its parent; empty for the root.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// From and to, in nanoseconds since 1970.
    pub times: (u64, u64),
    /// Attributes, lists joined with commas.
    pub said: BTreeMap<String, String>,
    /// What it failed with.
    pub failed: Option<String>,
    /// Trace and span of each link.
    pub links: Vec<(String, String)>,
    /// `service.name` of whoever sent it.
    pub service: String,
}

#[derive(Default)]
struct State {
    mood: Mood,
    requests: usize,
    headers: Vec<BTreeMap<String, String>>,
    spans: Vec<Seen>,
}

type Shared = Arc<Mutex<State>>;

/// A fake collector on a free port; gone when dropped.
pub struct FakeOtlp {
    state: Shared,
    wire: Wire,
}

impl FakeOtlp {
    /// Listens.
    #[track_caller]
    pub fn start() -> FakeOtlp {
        let state = Shared::default();
        let ours = state.clone();
        let wire = Wire::listen(0, move |request| answer(request, ours.clone()));
        FakeOtlp { state, wire }
    }

    /// Its base URL as the configuration has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.wire.address)
    }

    /// Answers so from now on.
    pub fn mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Requests so far, taken or not.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Headers of each request.
    pub fn headers(&self) -> Vec<BTreeMap<String, String>> {
        self.state().headers.clone()
    }

    /// Spans taken so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.state().spans.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(request: Request<Incoming>, state: Shared) -> Result<Response<Full<Bytes>>, Infallible> {
    let right = request.method() == "POST"
        && request.uri().path() == "/v1/traces"
        && request.headers().get("content-type").is_some_and(|kind| kind == "application/x-protobuf");
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    let headers = headers.collect();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mood = {
        let mut state = lock(&state);
        state.requests += 1;
        state.headers.push(headers);
        state.mood
    };
    let status = match mood {
        Mood::Takes if right => match ExportTraceServiceRequest::decode(body) {
            Ok(export) => {
                lock(&state).spans.extend(seen(&export));
                200
            }
            Err(_) => 400,
        },
        Mood::Takes => 404,
        Mood::Status(status) => status,
        Mood::Hangs => std::future::pending().await,
    };
    Ok(Response::builder().status(status).body(Full::default()).expect("a status and nothing"))
}

fn seen(export: &ExportTraceServiceRequest) -> Vec<Seen> {
    let mut spans = Vec::new();
    for resource in &export.resource_spans {
        let about = resource.resource.as_ref().map(|resource| said(&resource.attributes)).unwrap_or_default();
        let service = about.get("service.name").cloned().unwrap_or_default();
        let within = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        spans.extend(within.map(|span| one(span, &service)));
    }
    spans
}

fn one(span: &Span, service: &str) -> Seen {
    Seen {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        times: (span.start_time_unix_nano, span.end_time_unix_nano),
        said: said(&span.attributes),
        failed: span.status.as_ref().filter(|status| status.code == 2).map(|status| status.message.clone()),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        service: service.to_owned(),
    }
}

fn said(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |one: &KeyValue| one.value.as_ref().and_then(|any| any.value.as_ref()).map(word).unwrap_or_default();
    attributes.iter().map(|one| (one.key.clone(), value(one))).collect()
}

fn word(value: &any_value::Value) -> String {
    match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::ArrayValue(list) => {
            list.values.iter().filter_map(|any| any.value.as_ref()).map(word).collect::<Vec<_>>().join(",")
        }
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
