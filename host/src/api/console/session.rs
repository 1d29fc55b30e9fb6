//! Sessions of browsers: a token shown once, then a cookie; and the word that only the session's own forms know.
//!
//! A cookie is same-site strict and not readable by scripts; it holds 256 random bits, of which only the hash is kept.
//! Sessions are in memory: a restart ends them. Whatever a page changes is sent by POST with the session's word, so that
//! another site's form, which a browser would send with the cookie, does nothing.
//!
//! Deliberately not here: what the pages show, and which role each needs ([`crate::auth::table`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::frame::Refused;
use crate::api::error::{self, Error};
use crate::api::extract::{content_type, read, unsupported};
use crate::auth::Caller;

/// Name of the cookie.
const COOKIE_NAME: &str = "sandbook_session";
/// How long a session lasts: a shift. Whoever has a token logs in again.
const LIFETIME: Duration = Duration::from_secs(8 * 3_600);
/// Sessions at once; beyond it the oldest ends. A team has tens.
const SESSIONS_MAX: usize = 1_000;
/// Random bytes of a session's id, and of its word.
const SECRET_BYTES: usize = 32;
/// Bytes of a form at the most: a reason, a choice and a token.
const FORM_BYTES_MAX: usize = 64 << 10;
/// The field with the session's word.
pub(super) const WORD_FIELD: &str = "csrf";

/// A browser that showed a token.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Whose token it was.
    pub(super) caller: Caller,
    /// What its forms send back.
    pub(super) word: String,
    began: Instant,
}

impl Session {
    /// Of a request that showed its token itself: it looks, and no form of it is ever taken.
    pub(super) fn without_forms(caller: Caller) -> Session {
        Session { caller, word: String::new(), began: Instant::now() }
    }

    /// Whether its pages have forms.
    pub(super) fn has_forms(&self) -> bool {
        !self.word.is_empty()
    }
}

/// All sessions.
pub(in crate::api) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
    /// Whether people reach the daemon through TLS: then the cookie never crosses without it.
    secure: bool,
}

impl Sessions {
    pub(super) fn new(public_url: &str) -> Sessions {
        Sessions { open: Mutex::default(), secure: public_url.starts_with("https://") }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session, and the cookie that opens it.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn begin(&self, caller: Caller) -> Result<(Session, String), Error> {
        let (id, word) = (secret()?, secret()?);
        let session = Session { caller, word, began: Instant::now() };
        let mut open = self.lock();
        open.retain(|_, session| session.began.elapsed() < LIFETIME);
        if open.len() >= SESSIONS_MAX
            && let Some(oldest) = open.iter().min_by_key(|(_, session)| session.began).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        open.insert(hash(&id), session.clone());
        Ok((session, self.cookie(&id, LIFETIME.as_secs())))
    }

    /// The session that a request's cookie opens.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Session> {
        let session = self.lock().get(&hash(shown(headers)?)).cloned()?;
        (session.began.elapsed() < LIFETIME).then_some(session)
    }

    /// Ends it; answers with the cookie that makes the browser forget.
    pub(super) fn end(&self, headers: &HeaderMap) -> String {
        if let Some(id) = shown(headers) {
            self.lock().remove(&hash(id));
        }
        self.cookie("", 0)
    }

    fn cookie(&self, id: &str, seconds: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{COOKIE_NAME}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }
}

fn secret() -> Result<String, Error> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::defect(&format!("no random numbers: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The id in the request's cookies.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, id)| id)
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Session, Refused> {
        let session = parts.extensions.get::<Session>().cloned();
        session.ok_or_else(|| Refused(Error::defect(&"a page without a session asks who looks")))
    }
}

/// The fields of a form, of whoever sent it.
pub(super) struct Form(pub(super) BTreeMap<String, String>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Form, Refused> {
        let (parts, body) = request.into_parts();
        let kind = content_type(&parts.headers).unwrap_or_default();
        if kind != "application/x-www-form-urlencoded" {
            return Err(Refused(unsupported(&kind, "the page's own form")));
        }
        let bytes = read(&parts.headers, body, FORM_BYTES_MAX).await.map_err(Refused)?;
        let fields = url::form_urlencoded::parse(&bytes);
        Ok(Form(fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }
}

/// The fields of a form of this very session; 403 for any other.
pub(super) struct OwnForm {
    pub(super) fields: BTreeMap<String, String>,
}

impl<S: Send + Sync> FromRequest<S> for OwnForm {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<OwnForm, Refused> {
        let (mut parts, body) = request.into_parts();
        let session = Session::from_request_parts(&mut parts, state).await?;
        let Form(fields) = Form::from_request(Request::from_parts(parts, body), state).await?;
        let word = fields.get(WORD_FIELD).map(String::as_str).unwrap_or_default();
        // Hashes, so that the time it takes tells nothing of the word.
        if !session.has_forms() || hash(word) != hash(&session.word) {
            let (message, fix) = ("this form is not of this session", "open the page again and decide there");
            return Err(Refused(Error::new(StatusCode::FORBIDDEN, error::ORIGIN, message, fix)));
        }
        Ok(OwnForm { fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn caller(name: &str) -> Caller {
        Caller { name: name.to_owned(), person: None, role: Role::Operator, agent: false }
    }

    fn headers(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().expect("a pair");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("theme=dark; {pair}").parse().expect("a header"));
        headers
    }

    #[test]
    fn a_cookie_opens_its_session_until_it_ends() {
        let sessions = Sessions::new("http://127.0.0.1:7070");
        let (session, cookie) = sessions.begin(caller("dana")).expect("random numbers");
        assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains("Secure"), "{cookie}");
        assert!(Sessions::new("https://x").begin(caller("a")).expect("random numbers").1.ends_with("; Secure"));
        let found = sessions.find(&headers(&cookie)).expect("open");
        assert_eq!((found.caller.who(), &found.word), ("dana", &session.word));
        assert!(!cookie.contains(&session.word), "the word is not in the cookie");
        for other in ["sandbook_session=", "sandbook_session=guess", "other=1"] {
            assert!(sessions.find(&headers(other)).is_none(), "{other}");
        }
        assert!(sessions.end(&headers(&cookie)).contains("Max-Age=0"));
        assert!(sessions.find(&headers(&cookie)).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes_first() {
        let sessions = Sessions::new("");
        let (_, first) = sessions.begin(caller("first")).expect("random numbers");
        let mut last = String::new();
        for _ in 0..SESSIONS_MAX {
            last = sessions.begin(caller("other")).expect("random numbers").1;
        }
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
        assert!(sessions.find(&headers(&first)).is_none());
        assert!(sessions.find(&headers(&last)).is_some());
    }
}
