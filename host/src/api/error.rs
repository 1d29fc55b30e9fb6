//! What every request that fails is answered with: `{"error":{"code","message","fix","details"}}`.
//!
//! A message is lower case, names the thing and fits a line, because Alertmanager writes it to its log. What is nobody's
//! fault but ours is logged with its cause and answered without it. Deliberately not here: what a code means (its page
//! does), and errors of runbooks, which are answers and stand in journals.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use sandbook_core::problem::Problem;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::intake::Refusal;
use crate::store;

/// The body is not JSON.
pub const NOT_JSON: &str = "SB0101";
/// The body is not an alert message.
pub const NOT_A_MESSAGE: &str = "SB0102";
/// The body is too large.
pub const TOO_LARGE: &str = "SB0103";
/// No valid token.
pub const NO_TOKEN: &str = "SB0104";
/// The token's role is not enough.
pub const ROLE: &str = "SB0105";
/// It cannot be made durable now.
pub const NOT_DURABLE: &str = "SB0106";
/// There is no such thing.
pub const NOT_FOUND: &str = "SB0107";
/// The version has other bytes.
pub const VERSION_TAKEN: &str = "SB0108";
/// The content type is not supported.
pub const CONTENT_TYPE: &str = "SB0109";
/// The origin is refused.
pub const ORIGIN: &str = "SB0110";
/// The id is ambiguous.
pub const AMBIGUOUS: &str = "SB0111";
/// An argument is not valid.
pub const ARGUMENT: &str = "SB0112";
/// It is too late for that.
pub const TOO_LATE: &str = "SB0113";
/// A defect of the daemon.
pub const DEFECT: &str = "SB0114";
/// It took too long.
pub const TOOK_TOO_LONG: &str = "SB0115";
/// Too many requests at once.
pub const BUSY: &str = "SB0116";
/// A caller asks too often.
pub const TOO_OFTEN: &str = "SB0120";
/// An agent wants what only a person may do.
pub const PERSON: &str = "SB0121";
/// A policy that a person wrote is not changed by the daemon.
pub const BY_HAND: &str = "SB0308";
/// The stage is too low.
pub const STAGE: &str = "SB0508";
/// A plan is too old to be applied.
pub const PLAN_EXPIRED: &str = "SB0520";
/// A plan was applied.
pub const PLAN_APPLIED: &str = "SB0521";
/// What a plan looked at has changed.
pub const PLAN_CHANGED: &str = "SB0522";
/// The version of a plan is not stored.
pub const PLAN_GONE: &str = "SB0523";
/// A model's draft is not sound.
pub const UNSOUND: &str = "SB0811";
/// A draft is trusted by a person.
pub const NEEDS_PERSON: &str = "SB0812";
/// A version goes live only after a backtest.
pub const NO_BACKTEST: &str = "SB0530";
/// A channel does not take a message.
pub const NOT_TAKEN: &str = "SB0540";
/// The data directory cannot be written.
const READ_ONLY: &str = "SB0602";
/// The disk is full.
const DISK_FULL: &str = "SB0603";
/// The database is damaged.
const DAMAGED: &str = "SB0605";

/// What a handler answers.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal or failure, as HTTP answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// Of HTTP.
    pub status: StatusCode,
    /// Has a page.
    pub code: &'static str,
    /// Lower case, no full stop.
    pub message: String,
    /// What to do; may be empty.
    pub fix: String,
    /// A problem or name each.
    pub details: Vec<Value>,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct Body {
    error: Said,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorSaid)]
struct Said {
    /// Such as `SB0107`; `sandbook explain` has the page.
    #[schema(pattern = "^SB0[0-9]{3}$")]
    code: &'static str,
    /// What is wrong.
    message: String,
    /// What to do; may be empty.
    fix: String,
    /// More of it: problems with file, line and column, or one object for each thing that is wrong.
    #[schema(value_type = Vec<Object>)]
    details: Vec<Value>,
}

impl Error {
    /// Any error.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Error {
        Error { status, code, message: message.into(), fix: fix.into(), details: Vec::new(), retry_after: None }
    }

    /// 404: nothing has that id or name.
    pub fn not_found(message: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::new(StatusCode::NOT_FOUND, NOT_FOUND, message, fix)
    }

    /// 422: an argument cannot be used.
    pub fn invalid(message: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::new(StatusCode::UNPROCESSABLE_ENTITY, ARGUMENT, message, fix)
    }

    /// 409: it exists, but no longer in a state in which this can be done.
    pub fn too_late(message: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::new(StatusCode::CONFLICT, TOO_LATE, message, fix)
    }

    /// 500: logged here with its cause, answered without it.
    pub fn defect(cause: &dyn std::fmt::Display) -> Error {
        tracing::error!("a request failed by a defect: {cause}");
        Error::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            DEFECT,
            "something happened in the daemon that must not happen",
            "the daemon's log has the cause; report it with the log lines of this moment",
        )
    }

    /// As it stands in a stream, whose status went out before.
    pub fn to_json(&self) -> Value {
        serde_json::json!({"code": self.code, "message": self.message, "fix": self.fix, "details": self.details})
    }

    /// The same with details.
    #[must_use]
    pub fn with_details(self, details: Vec<Value>) -> Error {
        Error { details, ..self }
    }

    /// The same with when to try again.
    #[must_use]
    pub fn after(self, wait: Duration) -> Error {
        Error { retry_after: Some(wait), ..self }
    }

    /// 422: problems of a text a person wrote; the first gives code and words, all of them stand in the details.
    pub fn of_problems(what: &str, problems: &[Problem]) -> Error {
        let errors = || problems.iter().filter(|problem| !problem.warning);
        let Some(first) = errors().next().or_else(|| problems.first()) else {
            return Error::defect(&format!("{what} was refused without a problem"));
        };
        let message = match errors().count() {
            0 | 1 => format!("{what}: {first}"),
            count => format!("{what} has {count} problems, the first is {first}"),
        };
        let details = problems.iter().map(|problem| serde_json::to_value(problem).unwrap_or_default()).collect();
        Error::new(StatusCode::UNPROCESSABLE_ENTITY, first.code, message, first.help.clone()).with_details(details)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let Error { status, code, message, fix, details, retry_after } = self;
        let mut response = (status, Json(Body { error: Said { code, message, fix, details } })).into_response();
        if let Some(wait) = retry_after {
            // Whole seconds, and never sooner than it would help.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sandbook\""));
        }
        response
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        use store::Error as Store;
        let message = error.to_string();
        let unavailable = |code| {
            Error::new(StatusCode::SERVICE_UNAVAILABLE, code, message.clone(), "see `store` in `sandbook status`")
        };
        match &error {
            Store::Full(_) => unavailable(DISK_FULL),
            Store::ReadOnly(_) => unavailable(READ_ONLY),
            Store::Io { .. } | Store::Closed | Store::Database(_) | Store::Locked { .. } | Store::Newer { .. } => {
                unavailable(NOT_DURABLE)
            }
            Store::Damaged(_) => {
                tracing::error!("{message}");
                Error::new(StatusCode::INTERNAL_SERVER_ERROR, DAMAGED, message, "stop the daemon and restore a backup")
            }
            Store::Ambiguous(_) => Error::new(StatusCode::CONFLICT, AMBIGUOUS, message, "write more of the id"),
            Store::UnknownRun(_) => Error::not_found(message, "`sandbook runs` lists them"),
            Store::Invalid(_) => Error::invalid(message, ""),
            Store::Defect(cause) => Error::defect(cause),
        }
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Error {
        match error.downcast_ref::<store::Error>() {
            Some(store) => store.clone().into(),
            None => Error::defect(&format!("{error:#}")),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        use sandbook_core::alert::ParseError;
        match refusal {
            Refusal::Unreadable(error @ ParseError::NotJson { .. }) => {
                Error::new(StatusCode::BAD_REQUEST, NOT_JSON, error.to_string(), "send the alert message as JSON")
            }
            Refusal::Unreadable(error @ ParseError::NotAMessage(_)) => Error::new(
                StatusCode::BAD_REQUEST,
                NOT_A_MESSAGE,
                error.to_string(),
                "send what Alertmanager's or Grafana's webhook sends, a list of alerts, or one alert",
            ),
            Refusal::Full { .. } => Error::new(
                StatusCode::SERVICE_UNAVAILABLE,
                NOT_DURABLE,
                refusal.to_string(),
                "nothing of it is stored, send it again; raise [workers] count if this lasts",
            ),
            Refusal::Store(ref cause) => {
                let code = Error::from(cause.clone()).code;
                Error::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    code,
                    refusal.to_string(),
                    "nothing of it is stored, send it again",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_used_here_has_a_page() {
        for code in [
            NOT_JSON,
            NOT_A_MESSAGE,
            TOO_LARGE,
            NO_TOKEN,
            ROLE,
            NOT_DURABLE,
            NOT_FOUND,
            VERSION_TAKEN,
            CONTENT_TYPE,
            ORIGIN,
            AMBIGUOUS,
            ARGUMENT,
            TOO_LATE,
            DEFECT,
            TOOK_TOO_LONG,
            BUSY,
            TOO_OFTEN,
            PERSON,
            STAGE,
            PLAN_EXPIRED,
            PLAN_APPLIED,
            PLAN_CHANGED,
            PLAN_GONE,
            UNSOUND,
            NEEDS_PERSON,
            READ_ONLY,
            DISK_FULL,
            DAMAGED,
        ] {
            assert!(sandbook_core::code::find(code).is_some(), "{code}");
        }
    }

    #[test]
    fn a_store_that_cannot_write_is_a_503_so_that_alertmanager_tries_again() {
        for error in [store::Error::Full("x".into()), store::Error::ReadOnly("x".into()), store::Error::Closed] {
            let refusal = Error::from(Refusal::Store(error));
            assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        let damaged = Error::from(Refusal::Store(store::Error::Damaged("x".into())));
        assert_eq!((damaged.status, damaged.code), (StatusCode::SERVICE_UNAVAILABLE, DAMAGED));
    }

    #[test]
    fn the_cause_of_a_defect_stays_in_the_log() {
        let error = Error::from(anyhow::anyhow!("secret detail"));
        assert_eq!(error.code, DEFECT);
        assert!(!error.message.contains("secret"));
        assert_eq!(Error::from(anyhow::Error::from(store::Error::Ambiguous("r_1".into()))).code, AMBIGUOUS);
    }
}
