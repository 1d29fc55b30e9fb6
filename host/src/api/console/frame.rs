//! What every page has around it: head, navigation, the banner of a stop, and headers that keep everything else out.
//!
//! The only style is the page's own, the only script the console's own file, both named by their hash in the policy; the
//! script is not needed for anything but news. Deliberately not here: what the pages say.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::parts::glyph;
use super::session::{Session, WORD_FIELD};
use crate::api::error::Error;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("console.js");
/// Where a browser goes when nothing better is known.
pub(super) const HOME: &str = "/";

static SCRIPT_HASH: LazyLock<String> = LazyLock::new(|| hash(SCRIPT));

/// Nothing but the console's own style, script, forms and answers.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        hash(STYLE),
        *SCRIPT_HASH
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// A page's place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Alerts,
    Runs,
    Approvals,
    Plans,
    Runbooks,
    Drafts,
    Backtests,
    Schedules,
    Grants,
    Brakes,
    Notifications,
    Targets,
    Audit,
}

impl Place {
    const ALL: [Place; 14] = [
        Place::Overview,
        Place::Alerts,
        Place::Runs,
        Place::Approvals,
        Place::Plans,
        Place::Runbooks,
        Place::Drafts,
        Place::Backtests,
        Place::Schedules,
        Place::Grants,
        Place::Brakes,
        Place::Notifications,
        Place::Targets,
        Place::Audit,
    ];

    fn link(self) -> (&'static str, &'static str) {
        match self {
            Place::Overview => ("/", "Overview"),
            Place::Alerts => ("/alerts", "Alerts"),
            Place::Runs => ("/runs", "Runs"),
            Place::Approvals => ("/approvals", "Approvals"),
            Place::Plans => ("/plans", "Plans"),
            Place::Runbooks => ("/runbooks", "Runbooks"),
            Place::Drafts => ("/drafts", "Drafts"),
            Place::Backtests => ("/backtests", "Backtests"),
            Place::Schedules => ("/schedules", "Schedules"),
            Place::Grants => ("/grants", "Grants"),
            Place::Brakes => ("/brakes", "Brakes"),
            Place::Notifications => ("/notifications", "Notifications"),
            Place::Targets => ("/targets", "Targets"),
            Place::Audit => ("/audit", "Audit"),
        }
    }
}

/// What is around a page of a session.
pub(super) struct Surroundings<'a> {
    pub(super) session: &'a Session,
    pub(super) place: Place,
    /// Open ones.
    pub(super) questions: usize,
    /// Versions that wait to be read.
    pub(super) drafts: usize,
    pub(super) stopped: bool,
}

impl Surroundings<'_> {
    /// How much waits for a person at a place, and what the number means.
    fn waiting(&self, place: Place) -> (usize, &'static str) {
        if place == Place::Approvals {
            (self.questions, "open")
        } else if place == Place::Drafts {
            (self.drafts, "to be read")
        } else {
            (0, "")
        }
    }
}

/// A page; without surroundings nobody is logged in.
pub(super) fn page(status: StatusCode, title: &str, around: Option<&Surroundings<'_>>, body: &Markup) -> Response {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Sandbook" }
                style { (PreEscaped(STYLE)) }
                @if around.is_some() {
                    script src={ "/console.js?" (SCRIPT_HASH.replace(['+', '/', '='], "")) } integrity=(SCRIPT_HASH.as_str()) defer {}
                }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                @match around {
                    Some(around) => (bar(around)),
                    None => header class="bar" { a class="name" href=(HOME) { "Sandbook" } },
                }
                main id="main" tabindex="-1" { (body) }
            }
        }
    };
    let mut response = (status, Html(whole.into_string())).into_response();
    protect(&mut response, "no-store");
    response
}

fn bar(around: &Surroundings<'_>) -> Markup {
    let session = around.session;
    html! {
        header class="bar" {
            a class="name" href=(HOME) { "Sandbook" }
            nav id="nav" aria-label="Console" {
                ul {
                    @for place in Place::ALL {
                        @let (href, word) = place.link();
                        @let here = (place == around.place).then_some("page");
                        li {
                            a href=(href) aria-current=[here] {
                                (word)
                                @let (count, means) = around.waiting(place);
                                @if count > 0 { " " span class="count" { (count) span class="hidden" { " " (means) } } }
                            }
                        }
                    }
                }
            }
            div class="who" {
                span id="live" class="live" role="status" {}
                span { (session.caller.who()) " · " (session.caller.role.name()) }
                @if session.has_forms() {
                    form method="post" action="/logout" {
                        input type="hidden" name=(WORD_FIELD) value=(session.word);
                        button class="plain" { "Log out" }
                    }
                }
            }
        }
        div id="banner" {
            @if around.stopped {
                p class="banner bad" role="alert" {
                    (glyph("bad")) " Everything is stopped: no runbook changes anything. " a href="/brakes" { "Who stopped it, and releasing it" }
                }
            }
        }
    }
}

fn protect(response: &mut Response, cache: &'static str) {
    const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
    const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CACHE_CONTROL, cache),
        // Not `no-referrer`: with it browsers send a form's origin as `null`, and the guard could not tell it from a
        // stranger's.
        (REFERRER_POLICY, "same-origin"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
        (PERMISSIONS, "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// `GET /console.js`: its address holds its hash, so it may be kept.
pub(super) async fn script() -> Response {
    let mut response = SCRIPT.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    protect(&mut response, "private, max-age=86400");
    response
}

/// A refusal as a page.
pub(in crate::api) struct Refused(pub(in crate::api) Error);

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
            p class="quiet" { (code) " · " code { "sandbook explain " (code) } " has a page about it" }
            p { a href=(HOME) { "Back to the overview" } }
        };
        page(status, code, None, &body)
    }
}

/// Sends a browser on, after a form.
pub(super) fn go(to: &str, cookie: Option<&str>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static(HOME)));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(cookie).ok()) {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}
