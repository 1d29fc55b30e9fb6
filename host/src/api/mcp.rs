//! `POST /mcp`: the tools of agents over HTTP, each call a request to this very API with the agent's own token.
//!
//! Without sessions: every message stands for itself, so nothing is kept for a client that went away. Deliberately not
//! here: the tools ([`crate::mcp`]), and letting anybody in: the guard has done that, and does it again for each call.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Limited};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tower::ServiceExt as _;

use super::extract::must_be_json;
use super::guard::limits_of;
use crate::mcp::{self, Api, Asked, Server};

/// Bytes of an inner answer at the most; what an agent sees of it is far less.
const INNER_BYTES_MAX: usize = 16 << 20;

/// The API without this route, for the calls of tools.
#[derive(Clone)]
pub(super) struct Inside(pub(super) Router);

/// One agent's calls.
struct Inner {
    router: Router,
    authorization: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl Api for Inner {
    fn send(&self, asked: Asked) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(self.ask(asked))
    }
}

impl Inner {
    async fn ask(&self, asked: Asked) -> Result<Value, String> {
        let mut request = Request::builder().method(asked.method).uri(&asked.path);
        for (name, value) in [(AUTHORIZATION, &self.authorization), (HOST, &self.host)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = match asked.body {
            mcp::Body::None => request.body(Body::empty()),
            mcp::Body::Json(value) => {
                request.header(CONTENT_TYPE, "application/json").body(Body::from(value.to_string()))
            }
            mcp::Body::Script(text) => request.header(CONTENT_TYPE, "text/x-rhai").body(Body::from(text)),
        };
        let request = request.map_err(|error| format!("that makes no request: {error}"))?;
        let answer = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), INNER_BYTES_MAX).collect().await;
        let bytes = bytes.map_err(|_| "the answer is too large; ask for less".to_owned())?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| format!("the answer ({status}) is not JSON"))?;
        if status.is_success() || !value["error"].is_object() { Ok(value) } else { Err(mcp::refusal(&value)) }
    }
}

/// Answers a message of the Model Context Protocol.
pub(super) async fn answer(Extension(Inside(router)): Extension<Inside>, request: Request) -> Response {
    if let Err(error) = must_be_json(request.headers()) {
        return error.into_response();
    }
    let body_max = match limits_of(request.extensions()) {
        Ok(limits) => limits.body_max,
        Err(error) => return error.into_response(),
    };
    let (authorization, host) = (request.headers().get(AUTHORIZATION).cloned(), request.headers().get(HOST).cloned());
    let inner: Arc<dyn Api> = Arc::new(Inner { router, authorization, host });
    let mut config = StreamableHttpServerConfig::default().disable_allowed_hosts();
    // The guard has looked at host and origin. Without sessions an answer is one JSON document.
    config.legacy_session_mode = false;
    config.json_response = true;
    config.max_request_body_bytes = body_max;
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(Server::new(inner.clone())), sessions, config);
    service.handle(request).await.map(Body::new).into_response()
}
