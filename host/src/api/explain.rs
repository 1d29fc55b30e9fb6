//! What happened in a run, in prose with the record of each sentence, and the report for a ticket.
//!
//! Deliberately not here: making either, see [`crate::explain`].

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Result;
use super::extract::{Path, Query};
use super::runs::find;
use crate::auth::Caller;
use crate::config::Role;
use crate::explain::{self, Claim, Sentence, reword};
use crate::llm::{Message, Model, Purpose, Request, Schema};
use crate::similar::{self, Similar};
use crate::state::App;
use crate::store::RunRow;

/// An explanation.
#[derive(Serialize, ToSchema)]
pub(super) struct Explanation {
    run: String,
    runbook: String,
    /// In order; each says where it comes from.
    sentences: Vec<Sentence>,
    /// What they are made of.
    claims: Vec<Claim>,
    /// Why a model was asked and its words are not used at all; absent where they are, or none was asked.
    plain_because: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RewordQuery {
    /// Let the model reword it; sentences that do not keep their records and facts stay as they are. For authors: a model
    /// is paid for it.
    #[serde(default)]
    reword: bool,
}

/// A report.
#[derive(Serialize, ToSchema)]
pub(super) struct Report {
    run: String,
    runbook: String,
    /// For a ticket.
    markdown: String,
    /// As in the explanation.
    plain_because: Option<String>,
}

/// Everything an explanation is made of.
struct Explained {
    row: RunRow,
    claims: Vec<Claim>,
    sentences: Vec<Sentence>,
    plain_because: Option<String>,
}

async fn explained(app: &App, caller: &Caller, id: &str, query: &RewordQuery) -> Result<Explained> {
    let row = find(app, id).await?;
    let records = app.store.records_after(&row.id, None).await?;
    let claims = explain::claims::of(&row, &records);
    let reworded = match (&app.model, query.reword) {
        (_, false) => Ok(explain::plain(&claims)),
        (Some(_), true) if caller.role < Role::Author => {
            Err("rewording needs a token of role author or higher".to_owned())
        }
        (Some(model), true) => reworded(model, &claims).await,
        (None, true) => Err("no model is configured; set [llm] base_url and model".to_owned()),
    };
    let (sentences, plain_because) = match reworded {
        Ok(sentences) => (sentences, None),
        Err(why) => (explain::plain(&claims), Some(why)),
    };
    Ok(Explained { row, claims, sentences, plain_because })
}

/// The claims in a model's words, where those hold.
async fn reworded(model: &Model, claims: &[Claim]) -> std::result::Result<Vec<Sentence>, String> {
    let evidence = crate::llm::hygiene::Evidence { source: "claims about a run", text: &reword::evidence(claims) };
    let shown = model.hygiene().exhibit(evidence, reword::EVIDENCE_BYTES_MAX);
    let messages = vec![Message::system(reword::INSTRUCTIONS), Message::user(shown.text)];
    let schema = Some(Schema { name: "sentences".to_owned(), schema: reword::schema(), strict: true });
    let request = Request { schema, ..Request::new(Purpose::Explain, messages) };
    match model.complete(request).await {
        Ok(answer) => Ok(reword::held(claims, &answer.json.unwrap_or_default())),
        Err(fault) => {
            model.fell_back(Purpose::Explain, fault.reason);
            Err(fault.to_string())
        }
    }
}

/// A run in plain sentences, for whoever drafts a runbook from it.
pub(super) async fn told(app: &App, row: &RunRow) -> Result<String> {
    let records = app.store.records_after(&row.id, None).await?;
    let claims = explain::claims::of(row, &records);
    Ok(claims.into_iter().map(|claim| claim.text + "\n").collect())
}

/// What happened in a run, in prose
///
/// Each sentence names the records it comes from.
#[utoipa::path(get, path = "/v1/runs/{id}/explanation", tag = "runs",
    params(("id" = String, Path, description = "id, its unique beginning, or `last`"), RewordQuery), responses((status = 200, body = Explanation)))]
pub(super) async fn explanation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<RewordQuery>,
) -> Result<Answer<Explanation>> {
    let Explained { row, claims, sentences, plain_because } = explained(&app, &caller, &id, &query).await?;
    Ok(Answer(Explanation { run: row.id, runbook: row.runbook, sentences, claims, plain_because }))
}

/// A run as a report for a ticket, in Markdown
#[utoipa::path(get, path = "/v1/runs/{id}/report", tag = "runs",
    params(("id" = String, Path, description = "id, its unique beginning, or `last`"), RewordQuery), responses((status = 200, body = Report)))]
pub(super) async fn report(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<RewordQuery>,
) -> Result<Answer<Report>> {
    let Explained { row, claims, sentences, plain_because } = explained(&app, &caller, &id, &query).await?;
    let similar = match &row.episode {
        Some(episode) => similar::of_episode(&*app.store, episode, similar::INCIDENTS_DEFAULT).await?,
        None => None,
    };
    let similar: Similar = similar.unwrap_or_default();
    let markdown = explain::report::markdown(&row, &claims, &sentences, &similar, &app.config.public_url());
    Ok(Answer(Report { run: row.id, runbook: row.runbook, markdown, plain_because }))
}
