//! Events of an engine about containers: one at a time, and as an endless stream of lines.
//!
//! Deliberately not here: what they mean for a table or a trigger.

use std::collections::BTreeMap;

use bollard::models;
use futures::Stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sandbook_core::error::Error;

/// Longest event: labels of one container, with much room.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// One event of an engine about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// The engine's clock.
    pub at: jiff::Timestamp,
    /// Such as `die` or `health_status: unhealthy`.
    pub action: String,
    /// Container id.
    pub id: String,
    /// Container name.
    pub name: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// Of `die`.
    pub exit_code: Option<i32>,
    /// Of `kill`: name or number of the signal.
    pub signal: Option<String>,
}

/// Attributes of events that are no labels.
const ATTRIBUTES: [&str; 6] = ["name", "image", "exitCode", "signal", "execDuration", "execID"];

impl EngineEvent {
    pub(super) fn from_message(message: models::EventMessage) -> Option<EngineEvent> {
        let actor = message.actor?;
        let attributes = actor.attributes.unwrap_or_default();
        let nanos = message.time_nano.map(i128::from).or(message.time.map(|s| i128::from(s) * 1_000_000_000))?;
        Some(EngineEvent {
            at: jiff::Timestamp::from_nanosecond(nanos).ok()?,
            action: message.action?.trim().to_owned(),
            id: actor.id?,
            name: attributes.get("name").cloned().unwrap_or_default(),
            exit_code: attributes.get("exitCode").and_then(|code| code.parse().ok()),
            signal: attributes.get("signal").cloned(),
            labels: attributes.into_iter().filter(|(key, _)| !ATTRIBUTES.contains(&key.as_str())).collect(),
        })
    }

    /// Bookkeeping of health checks and of readers like us, which says nothing about the container.
    pub fn is_noise(&self) -> bool {
        self.action.starts_with("exec_") || matches!(self.action.as_str(), "top" | "attach" | "detach" | "resize")
    }
}

/// Where container events since a time are read.
pub(super) fn path(since: Option<jiff::Timestamp>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("filters", r#"{"type":["container"]}"#);
    query.extend_pairs(since.map(|since| ("since", super::instant(since))));
    format!("/events?{}", query.finish())
}

/// A body of JSON lines as events. Ends after the first error, and without one when the engine closes it.
pub(super) fn stream(body: Incoming) -> impl Stream<Item = Result<EngineEvent, Error>> + Send + use<> {
    let reading = Some((body, Vec::new()));
    futures::stream::unfold(reading, |reading| async move {
        let (mut body, mut buffer) = reading?;
        loop {
            match next_line(&mut buffer) {
                // What is no event of a container (a newer engine's) is passed over.
                Some(line) => match serde_json::from_slice(&line).ok().and_then(EngineEvent::from_message) {
                    Some(event) => return Some((Ok(event), Some((body, buffer)))),
                    None => continue,
                },
                None if buffer.len() > EVENT_BYTES_MAX => {
                    return Some((Err(Error::failed("docker sent an event without end")), None));
                }
                None => {}
            }
            match body.frame().await? {
                Ok(frame) => buffer.extend(frame.into_data().into_iter().flatten()),
                Err(error) => {
                    let why = super::fault::chain(&error);
                    return Some((Err(Error::failed(format!("docker's events were cut off: {why}"))), None));
                }
            }
        }
    })
}

fn next_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let rest = buffer.split_off(end + 1);
    Some(std::mem::replace(buffer, rest))
}
