//! Into the console and out of it: a token for a session, and whose requests reach a page.
//!
//! Deliberately not here: what a session is, see [`super::session`].

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::client::too_little;
use super::frame::{HOME, Refused, go, page};
use super::session::{Form, OwnForm, Session};
use super::visit::Shared;
use super::{Console, Sessions};
use crate::api::guard::within_rate;
use crate::auth::{Access, Caller, Shown, shown};
use crate::state::App;

/// The field for a token, and nothing else.
fn login(next: &str, wrong: Option<&str>) -> Response {
    let body = html! {
        div class="login" {
            h1 { "Log in" }
            @if let Some(wrong) = wrong { p class="wrong" role="alert" { (wrong) } }
            form method="post" action="/login" class="stack" {
                input type="hidden" name="next" value=(next);
                label for="token" { "Your token" }
                input id="token" name="token" type="password" autocomplete="current-password" required autofocus;
                button class="go" { "Log in" }
            }
            p class="quiet" { "Yours is in the file your administrator named; the daemon's own is " code { "admin-token" } " in its data folder." }
            p class="quiet" {
                "Logged in already? A link from elsewhere comes without your session: "
                a href=(next) { "go on" } "."
            }
        }
    };
    page(StatusCode::UNAUTHORIZED, "log in", None, &body)
}

/// A path of our own, whatever a form says.
fn own_path(next: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
    let own = next.starts_with('/') && !next.starts_with("//") && !next.contains("..") && next.len() <= 200;
    if own && next.chars().all(plain) && !next.starts_with("/v1") { next } else { HOME }
}

/// Lets a session's request through to its page, if the role is enough. With authentication off everybody on this
/// machine is the daemon's admin, and has a session for the sake of its forms. A token in the request may look, and has
/// no forms.
pub(in crate::api) async fn admit(
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
        None => match (looking(app, &request), app.auth.is_open().then(|| app.auth.caller(Shown::Nothing)).flatten()) {
            (Some(caller), _) => (Session::without_forms(caller), None),
            (None, Some(caller)) => match sessions.begin(caller) {
                Ok((session, cookie)) => (session, Some(cookie)),
                Err(error) => return Refused(error).into_response(),
            },
            (None, None) => return login(own_path(request.uri().path()), None),
        },
    };
    if !access.allows(session.caller.role) {
        return Refused(too_little(&session.caller, access)).into_response();
    }
    if let Err(error) = within_rate(&request, &session.caller) {
        return Refused(error).into_response();
    }
    request.extensions_mut().insert(session.caller.clone());
    request.extensions_mut().insert(session);
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Whoever looks with a token in the request's header.
fn looking(app: &App, request: &Request) -> Option<Caller> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) || app.auth.is_open() {
        return None;
    }
    let mut scratch = String::new();
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok();
    app.auth.caller(shown(header, false, &mut scratch))
}

/// `GET /login`
pub(super) async fn form() -> Response {
    login(HOME, None)
}

/// `POST /login`: a token for a session.
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    Extension(console): Shared,
    Form(fields): Form,
) -> Result<Response, Refused> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let next = own_path(field("next"));
    let Some(caller) = app.auth.caller(Shown::Token(field("token").trim())) else {
        return Ok(login(next, Some("That token is not known.")));
    };
    if caller.agent {
        return Ok(login(next, Some("That token is an agent's, and these pages are for people.")));
    }
    tracing::info!(who = caller.who(), role = caller.role.name(), "a browser logged in");
    let (_, cookie) = console.sessions.begin(caller)?;
    Ok(go(next, Some(&cookie)))
}

/// `POST /logout`: ends the session.
pub(super) async fn log_out(
    Extension(console): Extension<Arc<Console>>,
    headers: HeaderMap,
    _form: OwnForm,
) -> Response {
    go(HOME, Some(&console.sessions.end(&headers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_to_our_own_pages_only() {
        for own in ["/", "/approvals", "/approvals/a_0123", "/runs/A-b_c", "/runbooks/restart-unhealthy"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "runs",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/approvals/../v1/stop",
            "/v1/stop",
            "/approvals/a b",
            "/runs?x=1\r\nset-cookie: a=b",
        ] {
            assert_eq!(own_path(other), HOME, "{other}");
        }
    }
}
