//! What a request carries: bodies within a bound, JSON with line and column of a mistake, queries, times.
//!
//! A body that announces too many bytes is never read into memory; it is read past, for a while, so that the sender
//! gets to see the answer. Deliberately not here: what the fields mean.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use sandbook_core::duration::DurationMs;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{self, Error};
use super::guard::body_max;

/// Room made for a body before it comes; what announces more gets it as it comes.
const ROOM_MAX: usize = 1 << 20;
/// Read past at the most of a body that is refused, and for how long, so that its sender can read why.
const READ_PAST_BYTES_MAX: u64 = 256 << 20;
const READ_PAST_MAX: Duration = Duration::from_secs(5);

/// The whole body, or 413.
pub(super) async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Error> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    let too_large = || {
        let fix = format!("send less; the limit of this path is {} MiB", bytes_max >> 20);
        Error::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            error::TOO_LARGE,
            format!("the body has more than {bytes_max} bytes"),
            fix,
        )
    };
    if announced.is_some_and(|announced| announced > bytes_max as u64) {
        // A sender that asked first has sent nothing yet.
        if headers.get(EXPECT).is_none() {
            read_past(body).await;
        }
        return Err(too_large());
    }
    let mut body = body;
    let room = announced.and_then(|announced| usize::try_from(announced).ok()).unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(room.min(ROOM_MAX));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if is_late(&error) {
                let fix = "send it faster, or raise [server] request_timeout";
                return Error::new(StatusCode::SERVICE_UNAVAILABLE, error::TOOK_TOO_LONG, error.to_string(), fix);
            }
            Error::new(
                StatusCode::BAD_REQUEST,
                error::NOT_JSON,
                format!("the body ended early: {error}"),
                "send it again",
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            drop(bytes);
            read_past(body).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Whether its time was over, wherever in the layers that was noticed.
fn is_late(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn read_past(mut body: Body) {
    let rest = async {
        let mut passed = 0u64;
        while let Some(Ok(frame)) = body.frame().await {
            passed += frame.data_ref().map_or(0, |data| data.len() as u64);
            if passed > READ_PAST_BYTES_MAX {
                return;
            }
        }
    };
    // Whoever is slower than that does without the reason.
    let _ = tokio::time::timeout(READ_PAST_MAX, rest).await;
}

/// The content type without its parameters, lower case; absent when none is given.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(CONTENT_TYPE)?.as_bytes()).to_lowercase();
    Some(text.split(';').next().unwrap_or_default().trim().to_owned())
}

/// Refuses what says it is something else than JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Error> {
    match content_type(headers) {
        None => Ok(()),
        Some(kind) if kind == "application/json" || kind == "text/json" || kind.ends_with("+json") => Ok(()),
        Some(kind) => Err(unsupported(&kind, "application/json")),
    }
}

/// 415.
pub(super) fn unsupported(kind: &str, wanted: &str) -> Error {
    let message = format!("content type `{kind}` is not supported here");
    Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error::CONTENT_TYPE, message, format!("send {wanted}"))
}

/// A body of JSON.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Json<T>, Error> {
        let (parts, body) = request.into_parts();
        must_be_json(&parts.headers)?;
        let bytes = read(&parts.headers, body, body_max(&parts.extensions)).await?;
        parse(&bytes).map(Json)
    }
}

/// A body of JSON that may be left out.
pub(super) struct JsonOrNothing<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for JsonOrNothing<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<JsonOrNothing<T>, Error> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, body_max(&parts.extensions)).await?;
        if bytes.is_empty() {
            return Ok(JsonOrNothing(T::default()));
        }
        must_be_json(&parts.headers)?;
        parse(&bytes).map(JsonOrNothing)
    }
}

/// JSON of a shape: 400 when it is no JSON, 422 when it is of another shape.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // Every body is an object. A list would be taken for one, its entries as fields by their place.
    if bytes.trim_ascii_start().starts_with(b"[") && serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return Err(Error::invalid(
            "the body is a list, and an object is wanted",
            "see `/openapi.json` for what it may hold",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // serde_json puts the place at the end of its message.
        let message = format!("the body cannot be read: {error}");
        if error.is_data() {
            Error::invalid(message, "see `/openapi.json` for what it may hold")
        } else {
            Error::new(StatusCode::BAD_REQUEST, error::NOT_JSON, message, "send JSON")
        }
    })
}

/// The query of a path.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Query<T>, Error> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Query(query.0)).map_err(|error| {
            let message = format!("the query cannot be read: {}", error.body_text());
            Error::new(StatusCode::BAD_REQUEST, error::ARGUMENT, message, "see `/openapi.json` for what it may hold")
        })
    }
}

/// The changing pieces of a path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Error> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Path(path.0)).map_err(|error| {
            let message = format!("the path cannot be read: {}", error.body_text());
            Error::new(
                StatusCode::BAD_REQUEST,
                error::ARGUMENT,
                message,
                "write names in paths as UTF-8, percent-encoded",
            )
        })
    }
}

/// `since`: a duration back from now, or a time; in milliseconds since 1970.
pub(super) fn since(text: Option<&str>, now_ms: u64) -> Result<Option<u64>, Error> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Ok(DurationMs(back)) = text.parse::<DurationMs>() {
        return Ok(Some(now_ms.saturating_sub(back)));
    }
    let time: Result<jiff::Timestamp, _> = text.parse();
    match time {
        Ok(time) => Ok(Some(u64::try_from(time.as_millisecond()).unwrap_or(0))),
        Err(_) => Err(Error::new(
            StatusCode::BAD_REQUEST,
            error::ARGUMENT,
            format!("since `{text}` is neither a duration nor a time"),
            "write 90m, 7d, or 2026-01-31T00:00:00Z",
        )),
    }
}

/// One of a few words in a query.
pub(super) fn word<T: Copy>(
    name: &str,
    text: Option<&str>,
    all: &[T],
    word_of: fn(T) -> &'static str,
) -> Result<Option<T>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match all.iter().find(|value| word_of(**value) == text) {
        Some(value) => Ok(Some(*value)),
        None => {
            let words: Vec<&str> = all.iter().map(|value| word_of(*value)).collect();
            let message = format!("there is no {name} `{text}`");
            Err(Error::new(
                StatusCode::BAD_REQUEST,
                error::ARGUMENT,
                message,
                format!("use one of {}", words.join(", ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_a_wrong_shape() {
        let broken =
            parse::<serde_json::Value>(b"{\n \"a\":").err().map(|error| (error.status, error.code, error.message));
        let message = "the body cannot be read: EOF while parsing a value at line 2 column 5".to_owned();
        assert_eq!(broken, Some((StatusCode::BAD_REQUEST, error::NOT_JSON, message)));
        assert_eq!(parse::<u32>(b"\"a\"").err().map(|error| error.status), Some(StatusCode::UNPROCESSABLE_ENTITY));
    }

    #[test]
    fn since_is_a_duration_or_a_time() {
        assert_eq!(since(Some("1m"), 100_000).ok(), Some(Some(40_000)));
        assert_eq!(since(Some("1970-01-01T00:00:01Z"), 5).ok(), Some(Some(1_000)));
        assert_eq!(since(None, 5).ok(), Some(None));
        assert!(since(Some("yesterday"), 5).is_err());
    }

    #[tokio::test]
    async fn a_large_body_is_refused_without_being_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, "99".parse().expect("a number"));
        let refused = read(&headers, Body::from(vec![b'x'; 99]), 10).await;
        assert_eq!(refused.err().map(|error| error.code), Some(error::TOO_LARGE));
        let refused = read(&HeaderMap::new(), Body::from(vec![b'x'; 11]), 10).await;
        assert_eq!(refused.err().map(|error| error.status), Some(StatusCode::PAYLOAD_TOO_LARGE));
        let taken = read(&HeaderMap::new(), Body::from(vec![b'x'; 10]), 10).await;
        assert_eq!(taken.ok().map(|bytes| bytes.len()), Some(10));
    }
}
