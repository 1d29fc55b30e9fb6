//! One look at a page: who looks, when, and their way to the API.
//!
//! Deliberately not here: what a page shows.

use std::sync::Arc;

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::Console;
use super::client::{self, query};
use super::frame::{self, Place, Refused, Surroundings};
use super::session::{Session, WORD_FIELD};
use crate::api::error::{Error, Result};
use crate::api::runbooks::drafts;
use crate::state::App;

/// A request for a page by somebody who may see it.
pub(super) struct Visit {
    pub(super) session: Session,
    pub(super) now: Timestamp,
    console: Arc<Console>,
    app: Arc<App>,
}

impl Visit {
    /// What a GET of the API shows, with a query; empty values are left out.
    pub(super) async fn get(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Value> {
        self.send(Method::GET, &query(path, pairs), None).await
    }

    /// What a route of the API answers this caller.
    pub(super) async fn send(&self, method: Method, uri: &str, body: Option<Value>) -> Result<Value> {
        self.console.inside.ask(&self.session.caller, method, uri, body).await
    }

    /// The same beyond the end of this request, for what may take long.
    pub(super) fn send_on(
        &self,
        method: Method,
        uri: &'static str,
        body: Value,
    ) -> impl Future<Output = Result<Value>> + Send + use<> {
        let (console, caller) = (self.console.clone(), self.session.caller.clone());
        async move { console.inside.ask(&caller, method, uri, Some(body)).await }
    }

    /// Whether this caller may use a route of the API from a form.
    pub(super) fn may(&self, method: &str, pattern: &str) -> bool {
        self.session.has_forms() && client::may(&self.session.caller, method, pattern)
    }

    /// A form of this session; nothing where the session has none.
    pub(super) fn form(&self, action: &str, class: &str, fields: &Markup) -> Markup {
        if !self.session.has_forms() {
            return html! {};
        }
        html! {
            form method="post" action=(action) class=(class) {
                input type="hidden" name=(WORD_FIELD) value=(self.session.word);
                (fields)
            }
        }
    }

    /// A page with everything around it.
    pub(super) async fn page(
        &self,
        place: Place,
        title: &str,
        body: &Markup,
    ) -> std::result::Result<Response, Refused> {
        let open = self.get("/v1/approvals", &[]).await?;
        let surroundings = Surroundings {
            session: &self.session,
            place,
            questions: open["approvals"].as_array().map_or(0, Vec::len),
            drafts: drafts(&self.app, None),
            stopped: self.app.store.stopped().await.map_err(Error::from)?.is_some(),
        };
        Ok(frame::page(StatusCode::OK, title, Some(&surroundings), body))
    }

    /// Name of the Docker hosts, the model and the like as configured.
    pub(super) fn app(&self) -> &App {
        &self.app
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> std::result::Result<Visit, Refused> {
        let session = Session::from_request_parts(parts, app).await?;
        Visit::of(parts.extensions.get::<Arc<Console>>(), app, session)
    }
}

impl Visit {
    /// Of a session that is known already.
    pub(super) fn of(
        console: Option<&Arc<Console>>,
        app: &Arc<App>,
        session: Session,
    ) -> std::result::Result<Visit, Refused> {
        let console = console.cloned().ok_or_else(|| Refused(Error::defect(&"a page without the console")))?;
        let now = i64::try_from(app.now_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Ok(Visit { session, now: now.unwrap_or_default(), console, app: app.clone() })
    }
}

/// As extension, for forms.
pub(super) type Shared = Extension<Arc<Console>>;
