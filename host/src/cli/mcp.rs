//! `sandbook mcp`: the tools of agents over this process's pipes, as a client of a daemon's API.
//!
//! Standard output is the protocol's alone. Deliberately not here: the tools ([`crate::mcp`]).

use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::Method;
use rmcp::ServiceExt as _;
use serde_json::Value;

use super::client::Client;
use super::exit::{Exit, Failure};
use crate::mcp::{Api, Asked, Body, Server};

/// A daemon, under this command's token.
struct Daemon(Client);

impl Api for Daemon {
    fn send(&self, asked: Asked) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(async move {
            let Asked { method, path, body } = asked;
            let answer = match body {
                Body::Script(text) => self.0.upload(&path, &[], "text/x-rhai", text.into_bytes()).await,
                Body::Json(value) => self.0.send(verb(method), &path, Some(&value)).await,
                Body::None => self.0.send(verb(method), &path, None).await,
            };
            answer.map_err(|failure| crate::mcp::refusal(&failure.json()))
        })
    }
}

fn verb(method: &str) -> Method {
    method.parse().unwrap_or(Method::GET)
}

/// Serves until standard input ends.
pub(super) async fn serve(client: Client) -> Result<Exit, Failure> {
    let broken = |error: &dyn std::fmt::Display| {
        Failure::failed(
            format!("the protocol cannot go on: {error}"),
            "start it from a client of the model context protocol",
        )
    };
    let server = Server::new(Arc::new(Daemon(client)));
    let running = server.serve(rmcp::transport::stdio()).await.map_err(|error| broken(&error))?;
    running.waiting().await.map_err(|error| broken(&error))?;
    Ok(Exit::Ok)
}
