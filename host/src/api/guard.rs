//! What every request passes: the log, the count of lost alerts, bounds of number and time, the token and the role.
//!
//! Deliberately not here: which role a route needs, see [`crate::auth::table`].

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use url::Url;

use super::console::{self, Console, Refused};
use super::error::{self, Error};
use crate::auth::{Access, Caller, access, shown};
use crate::state::App;

/// Requests being answered at once. Event streams do not count once they stream; they have a bound of their own.
const REQUESTS_MAX: usize = 512;
/// How long an answer may take: Alertmanager's own patience is longer, and nothing here waits for Docker for so long.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// An upload is compiled, for two minutes at the most; a backup copies the database.
const SLOW_ANSWER_MAX: Duration = Duration::from_secs(150);
/// Paths that may take that long.
const SLOW: [&str; 9] = [
    "/v1/runbooks",
    "/v1/backup",
    "/v1/plans",
    "/v1/runs/{id}/replay",
    "/v1/backtests",
    "/v1/runbooks/generate",
    "/v1/ask",
    "/runs/{id}/replay",
    "/runbooks/{name}/plan",
];

/// Bounds of all requests together.
pub(super) struct Limits {
    requests: Arc<Semaphore>,
    answer_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { requests: Arc::new(Semaphore::new(REQUESTS_MAX)), answer_max: ANSWER_MAX }
    }
}

#[cfg(test)]
impl Limits {
    /// Tighter ones.
    pub(super) fn of(requests: usize, answer_max: Duration) -> Limits {
        Limits { requests: Arc::new(Semaphore::new(requests)), answer_max }
    }
}

fn path_of(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    matched.unwrap_or_else(|| "(none)".to_owned())
}

/// A line of the log for each request; never its query or headers, which may hold what is secret.
pub(super) async fn log(request: Request, next: Next) -> Response {
    let (method, path, began) = (request.method().clone(), path_of(&request), Instant::now());
    let response = next.run(request).await;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(%method, path, status = response.status().as_u16(), took_ms, "answered");
    response
}

/// Counts messages that were refused. Those that their sender does not send again are lost, so they are also logged.
pub(super) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let webhook = request.uri().path().starts_with("/webhook/");
    let response = next.run(request).await;
    let reason = match response.status().as_u16() {
        _ if !webhook => return response,
        ..400 => return response,
        401 | 403 => "not-allowed",
        404 | 405 => "no-such-path",
        413 => "too-large",
        415 => "content-type",
        503 => "not-durable",
        500.. => "defect",
        400.. => "unreadable",
    };
    app.metrics.webhook_refused.with_label_values(&[reason]).inc();
    let status = response.status().as_u16();
    if status >= 500 {
        tracing::warn!(status, reason, "a webhook message was refused; Alertmanager sends it again");
    } else {
        tracing::error!(
            status,
            reason,
            "a webhook message was refused and its alerts are lost until they are sent again"
        );
    }
    response
}

/// Bounds number and time. What changes something is finished even if its sender hangs up: once an alert is durable,
/// its runs must also be queued.
pub(super) async fn limit(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let Ok(place) = limits.requests.clone().try_acquire_owned() else {
        let message = format!("{REQUESTS_MAX} requests are being answered already");
        return Error::new(StatusCode::SERVICE_UNAVAILABLE, error::BUSY, message, "try again").into_response();
    };
    let slow = request.extensions().get::<MatchedPath>().is_some_and(|path| SLOW.contains(&path.as_str()));
    let answer_max = if slow { SLOW_ANSWER_MAX } else { limits.answer_max };
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = next.run(request);
    let answered = if looks {
        let answered = tokio::time::timeout(answer_max, answer).await;
        drop(place);
        answered
    } else {
        let task = tokio::spawn(async move {
            let response = answer.await;
            drop(place);
            response
        });
        let joined = tokio::time::timeout(answer_max, task).await;
        joined.map(|joined| joined.unwrap_or_else(|error| Error::defect(&error).into_response()))
    };
    answered.unwrap_or_else(|_| {
        let message = format!("there is no answer after {} s", answer_max.as_secs());
        let fix = "it may still happen: look before sending it again";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, error::TOOK_TOO_LONG, message, fix).into_response()
    })
}

/// A handler that panicked is a defect, not a lost connection.
#[allow(clippy::needless_pass_by_value, reason = "the shape tower-http asks for")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::defect(&format!("a handler panicked: {}", said.unwrap_or("without a word"))).into_response()
}

/// Lets through whoever may, and says to the handler who it is.
pub(super) async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let access = path.map(|path| access(request.method().as_str(), path.as_str()));
    if let Some(access @ (Access::Page(_) | Access::Login)) = access {
        if let Err(error) = at_home(&app, request.method(), request.headers()) {
            return Refused(error).into_response();
        }
        return match request.extensions().get::<Arc<Console>>().cloned() {
            Some(shared) => console::admit(&app, &shared.sessions, access, request, next).await,
            None => Error::defect(&"pages without the console").into_response(),
        };
    }
    if access != Some(Access::Open) {
        match known(&app, request.method(), request.headers(), access) {
            Ok(caller) => drop(request.extensions_mut().insert(caller)),
            Err(error) => return error.into_response(),
        }
    }
    next.run(request).await
}

/// Who it is, if that is enough. A path that does not exist still needs some token.
fn known(app: &App, method: &Method, headers: &HeaderMap, access: Option<Access>) -> Result<Caller, Error> {
    at_home(app, method, headers)?;
    let mut scratch = String::new();
    let header = text(headers, AUTHORIZATION);
    let shown = shown(header, access == Some(Access::Alerts), &mut scratch);
    let Some(caller) = app.auth.caller(shown) else {
        let message = if header.is_some() { "the token is not known" } else { "there is no token" };
        let fix = "send `Authorization: Bearer TOKEN`; the daemon wrote `admin-token` and `sender-token` into its data directory";
        return Err(Error::new(StatusCode::UNAUTHORIZED, error::NO_TOKEN, message, fix));
    };
    match access {
        Some(access) if !access.allows(caller.role) => {
            let message = format!(
                "the token `{}` has the role {}, this needs {}",
                caller.name,
                caller.role.name(),
                access.wanted()
            );
            Err(Error::new(StatusCode::FORBIDDEN, error::ROLE, message, "use another token, or ask whoever has one"))
        }
        Some(_) | None => Ok(caller),
    }
}

/// Whether it comes from where this daemon is called by its own name.
fn at_home(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    refuse_foreign(method, headers)?;
    if app.auth.is_open() { refuse_rebound(headers) } else { Ok(()) }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A page of another site may not change anything with what a browser knows of this one.
fn refuse_foreign(method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    let own = text(headers, HOST).is_some_and(|host| !authority.is_empty() && host.eq_ignore_ascii_case(authority));
    if own { Ok(()) } else { Err(foreign(format!("the origin `{}` is not this daemon's own", cut(origin)))) }
}

/// Without authentication a name that somebody pointed at this machine must not be a way in.
fn refuse_rebound(headers: &HeaderMap) -> Result<(), Error> {
    let Some(host) = text(headers, HOST) else { return Ok(()) };
    let local = match Url::parse(&format!("http://{host}/")).ok().as_ref().and_then(Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if local {
        Ok(())
    } else {
        Err(foreign(format!("the host `{}` is not this machine's own, and authentication is off", cut(host))))
    }
}

fn foreign(message: String) -> Error {
    Error::new(
        StatusCode::FORBIDDEN,
        error::ORIGIN,
        message,
        "call the daemon by its own address, not from another site's page",
    )
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Caller, Error> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Error::defect(&"a route without access asks who calls"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header"))).collect()
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let own = headers(&[(HOST, "127.0.0.1:7070"), (ORIGIN, "http://127.0.0.1:7070")]);
        let other = headers(&[(HOST, "127.0.0.1:7070"), (ORIGIN, "http://evil.example")]);
        let null = headers(&[(HOST, "127.0.0.1:7070"), (ORIGIN, "null")]);
        assert!(refuse_foreign(&Method::POST, &own).is_ok());
        assert!(refuse_foreign(&Method::POST, &HeaderMap::new()).is_ok());
        assert!(refuse_foreign(&Method::GET, &other).is_ok());
        for foreign in [&other, &null] {
            let refused = refuse_foreign(&Method::DELETE, foreign).expect_err("another site");
            assert_eq!((refused.status, refused.code), (StatusCode::FORBIDDEN, error::ORIGIN));
        }
    }

    #[test]
    fn names_pointed_at_this_machine_are_no_way_in() {
        for (host, local) in
            [("localhost:7070", true), ("127.0.0.1", true), ("[::1]:7070", true), ("rebound.example:7070", false)]
        {
            assert_eq!(refuse_rebound(&headers(&[(HOST, host)])).is_ok(), local, "{host}");
        }
    }
}
