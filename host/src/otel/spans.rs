//! What a trace says of a run: its spans, made of its row, its episode and its records.
//!
//! A span has the words of a closed set, names that stand in the journal, and where something failed the sentence that
//! says so; no argument and no answer.
//! The clock of records counts milliseconds, and an effect that only looks is recorded once, at its end: its span begins
//! where the record before it stands, as `sandbook show` has it.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use sandbook_core::effect::Effect;
use sandbook_core::error::truncate_at_char;
use sandbook_core::journal::{Answer, Journal, Record, Slot};
use sandbook_core::run::{State, Verification};

use super::{Parent, span_id, trace_id};
use crate::store::{EpisodeRow, RunRow};

/// Effects of one run that have spans; the root says how many more there were.
const EFFECTS_MAX: usize = 500;
/// Bytes of one text.
const TEXT_BYTES_MAX: usize = 256;
/// Policies named by one span.
const POLICIES_MAX: usize = 8;

/// Spans of one daemon, as a collector takes them.
pub(super) fn within(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let version = env!("CARGO_PKG_VERSION");
    let about = vec![text("service.name", service), text("service.version", version)];
    let scope = InstrumentationScope { name: "sandbook".to_owned(), version: version.to_owned(), ..Default::default() };
    ResourceSpans {
        resource: Some(Resource { attributes: about, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

/// Every span of a run that ended.
pub(super) fn of(row: &RunRow, episode: Option<&EpisodeRow>, records: impl Iterator<Item = Record>) -> Vec<Span> {
    let records: Vec<Record> = records.collect();
    // A run that found no target has no journal.
    let journal = Journal::fold(records.iter().cloned()).ok();
    let ended = row.finished_at.or_else(|| records.last().map(Record::at)).unwrap_or(row.at);
    let mut spans = vec![root(row, episode, journal.as_ref(), ended)];
    if let Some(episode) = episode {
        spans.push(span(row, "intake", Some("root"), (begin(row, Some(episode)), row.at), intake(episode)));
        spans.push(span(row, "match", Some("root"), (row.at, row.at), matched(row, episode)));
    }
    let aimed = journal.as_ref().map_or(ended, |journal| journal.header.at);
    let target = row.target.as_ref().map(|target| text("sandbook.target", &target.to_string()));
    spans.push(span(row, "aim", Some("root"), (row.at, aimed), target.into_iter().collect()));
    if let (Some(journal), Some(started)) = (&journal, row.started_at) {
        spans.push(span(row, "run", Some("root"), (started, ended), Vec::new()));
        spans.extend(effects(row, journal, &records));
        spans.extend(questions(row, &records));
    }
    spans
}

/// Of whether it helped, from its end until that was known.
pub(super) fn verify(row: &RunRow, verification: Verification) -> Span {
    let ended = row.finished_at.unwrap_or(row.at);
    let known = row.aftermath.verified_at.unwrap_or(ended);
    let said = vec![text("sandbook.verification", verification.name())];
    let id = format!("verify {}", verification.name());
    let mut span = span(row, &id, Some("root"), (ended, known), said);
    span.name = "verify".to_owned();
    span.status = match verification {
        Verification::Contradicted => failed(row.aftermath.verification_why.as_deref().unwrap_or_default()),
        Verification::Confirmed | Verification::Pending | Verification::Unknown => None,
    };
    span
}

fn begin(row: &RunRow, episode: Option<&EpisodeRow>) -> u64 {
    episode.map_or(row.at, |episode| episode.first_heard.min(row.at))
}

fn root(row: &RunRow, episode: Option<&EpisodeRow>, journal: Option<&Journal>, ended: u64) -> Span {
    let mut said = vec![
        text("sandbook.run", &row.id),
        text("sandbook.runbook", &row.runbook),
        text("sandbook.version", &row.version),
        text("sandbook.digest", &row.digest),
        text("sandbook.mode", row.mode.name()),
        text("sandbook.stage", row.stage.name()),
        text("sandbook.trigger", &row.trigger),
        text("sandbook.state", row.state.name()),
    ];
    said.extend(row.outcome.map(|outcome| text("sandbook.outcome", outcome.name())));
    said.extend(row.target.as_ref().map(|target| text("sandbook.target", &target.to_string())));
    said.extend(row.episode.as_deref().map(|episode| text("sandbook.episode", episode)));
    said.extend((row.crashes > 0).then(|| number("sandbook.crashes", row.crashes.into())));
    let more = journal.map_or(0, |journal| journal.slots.len().saturating_sub(EFFECTS_MAX));
    said.extend((more > 0).then(|| number("sandbook.effects_left_out", more as u64)));
    let mut root = span(row, "root", None, (begin(row, episode), ended), said);
    root.name = row.runbook.clone();
    root.kind = SpanKind::Consumer.into();
    root.status = match row.state {
        State::Failed | State::NeedsAttention => failed(row.sentence.as_deref().unwrap_or_default()),
        State::Queued | State::Running | State::Waiting | State::Succeeded | State::Cancelled => None,
    };
    let parent = episode.and_then(|episode| Parent::parse(episode.matched["traceparent"].as_str()?));
    root.links.extend(parent.map(|parent| Link {
        trace_id: parent.trace.to_vec(),
        span_id: parent.span.to_vec(),
        ..Link::default()
    }));
    root
}

fn intake(episode: &EpisodeRow) -> Vec<KeyValue> {
    vec![
        text("sandbook.alert", &episode.name),
        text("sandbook.fingerprint", &episode.fingerprint),
        text("sandbook.source", &episode.source),
    ]
}

fn matched(row: &RunRow, episode: &EpisodeRow) -> Vec<KeyValue> {
    let chosen = episode.matched["chosen"].as_array().into_iter().flatten();
    let why = chosen.filter(|one| one["runbook"] == *row.runbook).find_map(|one| one["why"].as_str());
    why.map(|why| text("sandbook.why", why)).into_iter().collect()
}

fn effects(row: &RunRow, journal: &Journal, records: &[Record]) -> Vec<Span> {
    let began = begins(records);
    let slots = journal.slots.iter().enumerate().take(EFFECTS_MAX);
    slots
        .map(|(number, slot)| {
            let began = began.get(number).copied().unwrap_or(slot.began_at);
            let mut span = span(row, &effect_id(number), Some("run"), (began, slot.at), effect(slot));
            span.name.clone_from(&slot.request.effect);
            span.kind = SpanKind::Client.into();
            span.status = match &slot.answer {
                Some(Answer::Error(error)) => failed(&format!("{}: {}", error.kind.name(), error.message)),
                Some(Answer::Ok(_)) | None => None,
            };
            span
        })
        .collect()
}

/// When each slot began: with its first record, or where the record before stands if that one is all there is.
fn begins(records: &[Record]) -> Vec<u64> {
    let mut began = Vec::new();
    let mut before = None;
    for record in records {
        if record.slot().is_some_and(|slot| slot as usize == began.len()) {
            let only = matches!(record, Record::Settled { .. });
            began.push(before.filter(|_| only).unwrap_or(record.at()));
        }
        before = Some(record.at());
    }
    began
}

fn effect_id(slot: usize) -> String {
    format!("effect {slot}")
}

fn effect(slot: &Slot) -> Vec<KeyValue> {
    let mut said = vec![text("sandbook.effect", &slot.request.effect)];
    let class = Effect::find(&slot.request.effect).map(|info| info.class.name());
    said.extend(class.map(|class| text("sandbook.class", class)));
    said.extend(slot.target.as_ref().map(|target| text("sandbook.target", &target.to_string())));
    said.extend(slot.decision.map(|decision| text("sandbook.decision", decision.name())));
    said.extend(slot.certainty.map(|certainty| text("sandbook.certainty", certainty.name())));
    if !slot.policy.is_empty() {
        said.push(texts("sandbook.policy", slot.policy.iter().take(POLICIES_MAX)));
    }
    said.extend((slot.attempt > 0).then(|| number("sandbook.attempt", slot.attempt.into())));
    let outcome = slot.answer.as_ref().map(|answer| match answer {
        Answer::Ok(_) => "ok",
        Answer::Error(error) => error.kind.name(),
    });
    said.extend(outcome.map(|outcome| text("sandbook.outcome", outcome)));
    said
}

/// Waits for a person, within the effect that they are about.
fn questions(row: &RunRow, records: &[Record]) -> Vec<Span> {
    let mut spans = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let Record::Asked { slot, at, .. } = record else { continue };
        if *slot as usize >= EFFECTS_MAX {
            continue;
        }
        let next = records[place + 1..].iter().find(|later| later.slot() == Some(*slot));
        let until = next.or(records.last()).map_or(*at, Record::at);
        let answer = match next {
            Some(Record::Answered { withdrawn: true, .. }) => "withdrawn",
            Some(Record::Answered { approved: true, .. }) => "approved",
            Some(Record::Answered { approved: false, .. }) => "refused",
            Some(_) | None => "none",
        };
        let parent = effect_id(*slot as usize);
        let id = format!("question {place}");
        let mut span = span(row, &id, Some(&parent), (*at, until), vec![text("sandbook.answer", answer)]);
        span.name = "wait for a person".to_owned();
        spans.push(span);
    }
    spans
}

/// A span named like what it is, below another one.
fn span(row: &RunRow, id: &str, parent: Option<&str>, (from, to): (u64, u64), attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: trace_id(&row.id).to_vec(),
        span_id: span_id(&row.id, id).to_vec(),
        parent_span_id: parent.map(|parent| span_id(&row.id, parent).to_vec()).unwrap_or_default(),
        name: id.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(from),
        end_time_unix_nano: nanos(to.max(from)),
        attributes,
        ..Span::default()
    }
}

fn nanos(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

fn failed(why: &str) -> Option<Status> {
    Some(Status { message: cut(why), code: StatusCode::Error.into() })
}

fn cut(text: &str) -> String {
    let mut text = text.to_owned();
    truncate_at_char(&mut text, TEXT_BYTES_MAX);
    text
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, any_value::Value::StringValue(cut(value)))
}

fn number(key: &str, value: u64) -> KeyValue {
    key_value(key, any_value::Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn texts<'a>(key: &str, values: impl Iterator<Item = &'a String>) -> KeyValue {
    let value = |text: &String| AnyValue { value: Some(any_value::Value::StringValue(cut(text))) };
    key_value(key, any_value::Value::ArrayValue(ArrayValue { values: values.map(value).collect() }))
}
