//! Pages for people, opened from a notification: no scripts, nothing from elsewhere, everything escaped.
//!
//! Opening a page decides nothing. Without a session it shows a field for a token and nothing else; what it changes is
//! sent by POST from its own form. Deliberately not here: what a question is, and answering it ([`super::approvals`]).

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::error::{self, Error};
use super::session::{Form, OwnForm, Session, Sessions, WORD_FIELD};
use crate::auth::{Access, Shown};
use crate::state::App;

pub(super) mod approvals;

const STYLE: &str = include_str!("page/style.css");
/// Where a browser goes when nothing better is known.
const HOME: &str = "/approvals";

/// Nothing but this page's own style and its own forms.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// A page; `session` shows who looks and lets them leave.
fn page(status: StatusCode, title: &str, session: Option<&Session>, body: &Markup) -> Response {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Sandbook" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    a href=(HOME) { "Sandbook" }
                    @if let Some(session) = session {
                        form method="post" action="/logout" {
                            input type="hidden" name=(WORD_FIELD) value=(session.word);
                            span { (session.caller.who()) " · " (session.caller.role.name()) }
                            button class="quiet" { "log out" }
                        }
                    }
                }
                main { (body) }
            }
        }
    };
    let mut response = (status, Html(whole.into_string())).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Not `no-referrer`: with it browsers send a form's origin as `null`, and the guard could not tell it from a stranger's.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// A refusal as a page.
pub(super) struct Refused(pub(super) Error);

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Error { status, code, message, fix, .. } = self.0;
        let body = html! {
            h1 { (message) }
            @if !fix.is_empty() { p { (fix) } }
            p class="quiet" { (code) " · sandbook explain " (code) }
            p { a href=(HOME) { "all open questions" } }
        };
        page(status, code, None, &body)
    }
}

/// The field for a token, and nothing else.
fn login(next: &str, wrong: Option<&str>) -> Response {
    let body = html! {
        h1 { "Log in" }
        @if let Some(wrong) = wrong { p class="wrong" role="alert" { (wrong) } }
        form method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            label for="token" { "Your token" }
            input id="token" name="token" type="password" autocomplete="current-password" required autofocus;
            button class="yes" { "Log in" }
        }
        p class="quiet" {
            "Logged in already? A link from elsewhere comes without your session: "
            a href=(next) { "go on" } "."
        }
    };
    page(StatusCode::UNAUTHORIZED, "log in", None, &body)
}

/// A path of our own, whatever a form says.
fn own_path(next: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-');
    let own = next == HOME || next.strip_prefix("/approvals/").is_some_and(|id| !id.contains('/'));
    if own && next.chars().all(plain) { next } else { HOME }
}

fn go(to: &str, cookie: Option<&str>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static(HOME)));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(cookie).ok()) {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

/// Lets a session's request through to its page, if the role is enough. With authentication off everybody on this
/// machine is the daemon's admin, and has a session for the sake of its forms.
pub(super) async fn admit(
    app: &App,
    sessions: &Sessions,
    access: Access,
    mut request: Request,
    next: Next,
) -> Response {
    if access == Access::Login {
        return next.run(request).await;
    }
    let (session, cookie) = match sessions.find(request.headers()) {
        Some(session) => (session, None),
        None => match app.auth.is_open().then(|| app.auth.caller(Shown::Nothing)).flatten() {
            Some(caller) => match sessions.begin(caller) {
                Ok((session, cookie)) => (session, Some(cookie)),
                Err(error) => return Refused(error).into_response(),
            },
            None => return login(own_path(request.uri().path()), None),
        },
    };
    if !access.allows(session.caller.role) {
        let message = format!("your token has the role {}, this needs {}", session.caller.role.name(), access.wanted());
        let error = Error::new(StatusCode::FORBIDDEN, error::ROLE, message, "ask whoever may");
        return Refused(error).into_response();
    }
    request.extensions_mut().insert(session);
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// `POST /login`: a token for a session.
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    Extension(sessions): Extension<Arc<Sessions>>,
    Form(fields): Form,
) -> Result<Response, Refused> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let next = own_path(field("next"));
    let Some(caller) = app.auth.caller(Shown::Token(field("token").trim())) else {
        return Ok(login(next, Some("That token is not known.")));
    };
    tracing::info!(who = caller.who(), role = caller.role.name(), "a browser logged in");
    let (_, cookie) = sessions.begin(caller)?;
    Ok(go(next, Some(&cookie)))
}

/// `POST /logout`: ends the session.
pub(super) async fn log_out(
    Extension(sessions): Extension<Arc<Sessions>>,
    headers: HeaderMap,
    _form: OwnForm,
) -> Response {
    go(HOME, Some(&sessions.end(&headers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_to_our_own_pages_only() {
        for own in ["/approvals", "/approvals/a_0123", "/approvals/A-b_c"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "//evil.example",
            "https://evil.example",
            "/approvals/../v1/stop",
            "/approvals//x",
            "/status",
            "/approvals/a b",
        ] {
            assert_eq!(own_path(other), HOME, "{other}");
        }
    }
}
