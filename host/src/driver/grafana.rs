//! Annotations in Grafana: what was changed, at its time, in every graph that shows them.
//!
//! Deliberately not here: what is annotated; the outbox says.

use std::path::PathBuf;
use std::time::Duration;

use sandbook_core::error::Error;
use serde_json::Value;
use url::Url;

use super::notify::{Fault, Retry, answered};
use super::redact::Secrets;
use super::web;

/// One attempt.
const ATTEMPT_MS: u64 = 4_000;

/// Where Grafana listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Base URL, such as `http://127.0.0.1:3000`; a path prefix is kept.
    pub url: String,
    /// File with a token of a service account, read for each annotation.
    pub token_file: Option<PathBuf>,
}

/// A client of one Grafana.
#[derive(Debug, Clone)]
pub struct Grafana {
    place: Url,
    token_file: Option<PathBuf>,
    client: reqwest::Client,
    secrets: Secrets,
}

impl Grafana {
    /// Connects to nothing yet. Errors: `invalid` for a URL that is none.
    pub fn new(source: &Source, secrets: Secrets) -> Result<Grafana, Error> {
        let invalid = |why: &str| Error::invalid(format!("grafana url: {why}"));
        let mut base = Url::parse(&source.url).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(invalid("is neither http nor https"));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let place = base.join("api/annotations").map_err(|error| invalid(&error.to_string()))?;
        let client = web::client(web::Redirects::Never);
        Ok(Grafana { place, token_file: source.token_file.clone(), client, secrets })
    }

    /// Posts one annotation. Answers with what Grafana said; a fault shows no secret.
    pub async fn annotate(&self, annotation: &Value) -> Result<String, Fault> {
        let mut request = self.client.post(self.place.clone()).timeout(Duration::from_millis(ATTEMPT_MS));
        if let Some(file) = &self.token_file {
            let unreadable = |why: String| Fault::new(Retry::Later, format!("[grafana] token_file {why}"));
            request = request.bearer_auth(self.secrets.read(file).await.map_err(unreadable)?);
        }
        let place = self.place.host_str().unwrap_or("its host");
        let response = request.json(annotation).send().await;
        answered(place, response).await.map_err(|mut fault| {
            super::redact::redact_text(&mut fault.why, &self.secrets.all());
            fault
        })
    }
}
