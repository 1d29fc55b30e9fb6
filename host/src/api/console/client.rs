//! The console as a client of the API, inside the process: the same routes, handlers, roles and audit as anybody's.
//!
//! A page asks for what the API shows and sends what the API takes, so there is one way to look and one way to act. The
//! caller is the session's; which role a route needs is asked of the same table. Deliberately not here: HTTP between
//! processes, tokens, and shapes of its own.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, Limited};
use sandbook_core::code;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::api::error::{self, Error};
use crate::api::guard::in_person;
use crate::auth::{Access, Caller, access};
use crate::state::App;

/// Bytes of an answer at the most: a whole journal has 8 MiB, and JSON escapes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// An answer that tells how far it is, a line each, and what came of it in the last one.
const LINES: &str = "application/x-ndjson";

/// The API's routes without what only strangers need to pass.
pub(super) struct Inside {
    api: Router,
}

impl Inside {
    pub(super) fn new(documented: Router<Arc<App>>, app: Arc<App>) -> Inside {
        Inside { api: documented.layer(from_fn(permit)).with_state(app) }
    }

    /// The answer of a route, or its error.
    pub(super) async fn ask(
        &self,
        caller: &Caller,
        method: Method,
        uri: &str,
        body: Option<Value>,
    ) -> Result<Value, Error> {
        let mut request = Request::builder().method(method).uri(uri).extension(caller.clone());
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|error| Error::defect(&format!("{uri}: {error}")))?;
        let Ok(response) = self.api.clone().oneshot(request).await;
        let status = response.status();
        let in_lines = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == LINES);
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = bytes.map_err(|error| Error::defect(&format!("{uri}: {error}")))?.to_bytes();
        let bytes: &[u8] = if in_lines { last_line(&bytes) } else { &bytes };
        let answer: Value =
            serde_json::from_slice(bytes).map_err(|error| Error::defect(&format!("{uri} answered {error}")))?;
        if status.is_success() { Ok(answer) } else { Err(refused(status, &answer["error"])) }
    }
}

/// What such an answer ends with.
fn last_line(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// The error that the last line of an answer holds: it began well.
pub(super) fn said_in(said: &Value) -> Error {
    refused(StatusCode::SERVICE_UNAVAILABLE, said)
}

/// The error that an answer holds.
fn refused(status: StatusCode, said: &Value) -> Error {
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    let code = code::find(&text("code")).map_or(error::DEFECT, |known| known.code);
    let details = said["details"].as_array().cloned().unwrap_or_default();
    Error::new(status, code, text("message"), text("fix")).with_details(details)
}

/// Whether the role is enough, by the one table.
async fn permit(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let caller = request.extensions().get::<Caller>();
    match caller {
        Some(caller) => match refusal_of(caller, request.method().as_str(), &path) {
            None => next.run(request).await,
            Some(error) => error.into_response(),
        },
        None => Error::defect(&"the console asks for nobody").into_response(),
    }
}

/// Whether somebody may call a route, by its method and pattern.
pub(super) fn may(caller: &Caller, method: &str, pattern: &str) -> bool {
    refusal_of(caller, method, pattern).is_none()
}

/// Why somebody may not: the role is too little, or it is an agent and the route is for people.
fn refusal_of(caller: &Caller, method: &str, pattern: &str) -> Option<Error> {
    let access = access(method, pattern);
    if !access.allows(caller.role) {
        return Some(too_little(caller, access));
    }
    in_person(caller, method, pattern).err()
}

/// The role is not enough.
pub(super) fn too_little(caller: &Caller, access: Access) -> Error {
    let message = format!("your token has the role {}, this needs {}", caller.role.name(), access.wanted());
    Error::new(StatusCode::FORBIDDEN, error::ROLE, message, "ask whoever may")
}

/// A path's query, percent-encoded; empty values are left out.
pub(super) fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::table::PEOPLE;
    use crate::config::Role;

    #[test]
    fn a_query_says_what_is_given_and_escapes_it() {
        assert_eq!(query("/runs", &[("state", ""), ("runbook", "a&b=c d")]), "/runs?runbook=a%26b%3Dc+d");
        assert_eq!(query("/runs", &[("state", "")]), "/runs");
    }

    #[test]
    fn an_agent_has_no_form_for_what_people_do_whatever_its_role() {
        let caller = |agent| Caller { name: "robot".to_owned(), person: None, role: Role::Admin, agent };
        for (method, pattern) in PEOPLE {
            assert!(may(&caller(false), method, pattern) && !may(&caller(true), method, pattern), "{method} {pattern}");
            let refused = refusal_of(&caller(true), method, pattern).expect("refused");
            assert_eq!(refused.code, error::PERSON, "{method} {pattern}");
        }
        assert!(may(&caller(true), "POST", "/v1/runbooks/{name}/plan"), "planning is an agent's, too");
    }

    #[test]
    fn an_answer_in_lines_is_its_last_line() {
        assert_eq!(last_line(b"{\"progress\":1}\n{\"backtest\":2}\n"), b"{\"backtest\":2}");
        assert_eq!(last_line(b""), b"");
    }

    #[test]
    fn an_answers_error_keeps_its_words() {
        let said = serde_json::json!({"code": "SB0107", "message": "m", "fix": "f", "details": [1]});
        let error = refused(StatusCode::NOT_FOUND, &said);
        assert_eq!(
            (error.code, error.message.as_str(), error.fix.as_str(), error.details.len()),
            ("SB0107", "m", "f", 1)
        );
        assert_eq!(refused(StatusCode::BAD_GATEWAY, &Value::Null).code, error::DEFECT);
    }
}
