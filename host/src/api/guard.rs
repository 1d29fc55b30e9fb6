//! What every request passes: the log, the count of lost alerts, bounds of number and time, the token and the role.
//!
//! Deliberately not here: which role a route needs, see [`crate::auth::table`].

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use sandbook_core::duration::Bytes;
use tokio::sync::Semaphore;
use url::Url;

use super::console::{self, Console, Refused};
use super::error::{self, Error};
use super::rates::Rates;
use crate::about_us::refused::Reason;
use crate::auth::{Access, Caller, access, needs_person, shown};
use crate::config::Server;
use crate::listen::Peer;
use crate::metrics::Metrics;
use crate::seldom::Seldom;
use crate::state::App;

/// An upload is compiled, for two minutes at the most; a backup copies the database: so many times the usual time.
const SLOW_TIMES: u32 = 5;
/// Of a request's time its body may take two thirds: then there is still time to say so.
const BODY_SHARE: (u32, u32) = (2, 3);
/// What a body that did not come in time ends with.
const SLOW_BODY: &str = "the body did not come in its time";
/// Bytes of a body that a page of our own sends.
const OWN_BODY_MAX: usize = 1 << 20;
/// Refused messages in the log: one line of each reason in so long, with how many others there were; the metric has all.
static REFUSED: Seldom = Seldom::every(Duration::from_secs(10));
/// Where probes look; it counts for nobody.
const HEALTH: &str = "/health";
/// Paths that may take longer.
const SLOW: [&str; 10] = [
    "/v1/runbooks",
    "/v1/backup",
    "/v1/plans",
    "/v1/runs/{id}/replay",
    "/v1/backtests",
    "/v1/runbooks/generate",
    "/v1/ask",
    // One of its tools is the line before.
    "/mcp",
    "/runs/{id}/replay",
    "/runbooks/{name}/plan",
];

/// Bounds of all requests together.
pub(super) struct Limits {
    /// Being answered at once. Event streams do not count once they stream; they have a bound of their own.
    requests: Arc<Semaphore>,
    requests_max: u32,
    /// How long an answer may take: nothing here waits for Docker for so long.
    answer_max: Duration,
    /// Bytes of a message of alerts, and of any other body.
    pub(super) message_max: usize,
    pub(super) body_max: usize,
    /// Of each caller.
    pub(super) rates: Rates,
    metrics: Arc<Metrics>,
}

impl Limits {
    pub(super) fn new(server: &Server, metrics: Arc<Metrics>) -> Limits {
        let bytes = |bytes: Bytes| usize::try_from(bytes.0).unwrap_or(usize::MAX);
        Limits {
            requests: Arc::new(Semaphore::new(server.requests as usize)),
            requests_max: server.requests,
            answer_max: server.request_timeout(),
            message_max: bytes(server.message),
            body_max: bytes(server.body),
            rates: Rates::new(server),
            metrics,
        }
    }

    /// The same answer, counted.
    pub(super) fn counted<T>(&self, by: &str, answer: Result<T, Error>) -> Result<T, Error> {
        if answer.is_err() {
            self.metrics.requests_limited.with_label_values(&[by]).inc();
        }
        answer
    }
}

/// The limits a request is under, as its handler finds them.
pub(super) fn limits_of(extensions: &Extensions) -> Result<&Arc<Limits>, Error> {
    extensions.get::<Arc<Limits>>().ok_or_else(|| Error::defect(&"a request without limits"))
}

/// Bytes of a body. Calls of our own pages come without limits: what they are made of was bounded when it came in.
pub(super) fn body_max(extensions: &Extensions) -> usize {
    extensions.get::<Arc<Limits>>().map_or(OWN_BODY_MAX, |limits| limits.body_max)
}

/// Whether alerts are posted there: their senders try again after a 503 and after nothing else.
fn is_webhook(path: &str) -> bool {
    path.starts_with("/webhook/")
}

/// Counts a request for its token.
pub(super) fn within_rate(request: &Request, caller: &Caller) -> Result<(), Error> {
    let limits = limits_of(request.extensions())?;
    limits.counted("token", limits.rates.token(caller, is_webhook(request.uri().path())))
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

/// Counts messages that were refused. Those that their sender does not send again are lost, so people hear of them too:
/// in the log, in the status and by the channel `[notify] self`.
pub(super) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let webhook = is_webhook(request.uri().path());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let Some(cause) = Reason::of(status).filter(|_| webhook) else { return response };
    let reason = cause.name();
    app.metrics.webhook_refused.with_label_values(&[reason]).inc();
    app.runner.parts().about_us.refused(cause, app.now_ms());
    let Some(left_out) = REFUSED.now(reason) else { return response };
    if cause.is_lost() {
        tracing::error!(
            status,
            reason,
            left_out,
            "a webhook message was refused and its alerts are lost until they are sent again"
        );
    } else {
        tracing::warn!(status, reason, left_out, "a webhook message was refused; Alertmanager sends it again");
    }
    response
}

/// Bounds number and time. What changes something is finished even if its sender hangs up: once an alert is durable,
/// its runs must also be queued.
pub(super) async fn limit(State(limits): State<Arc<Limits>>, mut request: Request, next: Next) -> Response {
    if let Some(peer) = request.extensions().get::<Peer>()
        && request.uri().path() != HEALTH
    {
        let taken = limits.rates.address(peer.counted(), is_webhook(request.uri().path()));
        if let Err(error) = limits.counted("address", taken) {
            return error.into_response();
        }
    }
    request.extensions_mut().insert(limits.clone());
    let Ok(place) = limits.requests.clone().try_acquire_owned() else {
        let message = format!("{} requests are being answered already", limits.requests_max);
        return Error::new(StatusCode::SERVICE_UNAVAILABLE, error::BUSY, message, "try again").into_response();
    };
    let slow = request.extensions().get::<MatchedPath>().is_some_and(|path| SLOW.contains(&path.as_str()));
    let answer_max = if slow { limits.answer_max * SLOW_TIMES } else { limits.answer_max };
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = next.run(request.map(|body| timed(body, answer_max * BODY_SHARE.0 / BODY_SHARE.1)));
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

/// A body that must be there in time. What comes a byte at a time would otherwise take a place for ever.
fn timed(body: Body, within: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let deadline = tokio::time::Instant::now() + within;
    let chunks = futures::stream::unfold(Some(body.into_data_stream()), move |rest| async move {
        let mut rest = rest?;
        match tokio::time::timeout_at(deadline, rest.next()).await {
            Ok(chunk) => chunk.map(|chunk| (chunk.map_err(std::io::Error::other), Some(rest))),
            Err(_) => Some((Err(std::io::Error::new(std::io::ErrorKind::TimedOut, SLOW_BODY)), None)),
        }
    });
    Body::from_stream(chunks)
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
        if let Err(error) = at_home(&app, request.headers()) {
            return Refused(error).into_response();
        }
        return match request.extensions().get::<Arc<Console>>().cloned() {
            Some(shared) => console::admit(&app, &shared.sessions, access, request, next).await,
            None => Error::defect(&"pages without the console").into_response(),
        };
    }
    if access != Some(Access::Open) {
        match known(&app, request.headers(), access) {
            Ok(caller) => {
                let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
                let may =
                    in_person(&caller, request.method().as_str(), path).and_then(|()| within_rate(&request, &caller));
                if let Err(error) = may {
                    return error.into_response();
                }
                request.extensions_mut().insert(caller);
            }
            Err(error) => return error.into_response(),
        }
    }
    next.run(request).await
}

/// Who it is, if that is enough. A path that does not exist still needs some token.
fn known(app: &App, headers: &HeaderMap, access: Option<Access>) -> Result<Caller, Error> {
    at_home(app, headers)?;
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

/// Refuses an agent what a person answers for.
pub(super) fn in_person(caller: &Caller, method: &str, path: &str) -> Result<(), Error> {
    if !caller.agent || !needs_person(method, path) {
        return Ok(());
    }
    let message = format!("the token `{}` is an agent's, and this is for a person to do", caller.name);
    let fix = "propose it: upload a draft or make a plan, and ask a person to look at it";
    Err(Error::new(StatusCode::FORBIDDEN, error::PERSON, message, fix))
}

/// Whether it comes from where this daemon is called by its own name.
fn at_home(app: &App, headers: &HeaderMap) -> Result<(), Error> {
    refuse_foreign(headers)?;
    if app.auth.is_open() { refuse_rebound(headers) } else { Ok(()) }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A page of another site may neither change nor read anything with what a browser knows of this one.
fn refuse_foreign(headers: &HeaderMap) -> Result<(), Error> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
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
    fn pages_of_other_sites_get_nothing() {
        let own = headers(&[(HOST, "127.0.0.1:7070"), (ORIGIN, "http://127.0.0.1:7070")]);
        let other = headers(&[(HOST, "127.0.0.1:7070"), (ORIGIN, "http://evil.example")]);
        let null = headers(&[(HOST, "127.0.0.1:7070"), (ORIGIN, "null")]);
        assert!(refuse_foreign(&own).is_ok());
        assert!(refuse_foreign(&HeaderMap::new()).is_ok());
        for foreign in [&other, &null] {
            let refused = refuse_foreign(foreign).expect_err("another site");
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
