//! Drafts of the model: a runbook from a description, a plan from a sentence.
//!
//! Deliberately not here: making either, see [`crate::draft`].

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::error::{self, Error, Result};
use super::extract::Json;
use super::plans::{NEEDS, may_trust, not_made};
use super::runbooks::{of_library, refused};
use super::runs::find;
use crate::auth::Caller;
use crate::draft::ask::Asked;
use crate::draft::generate::Matter;
use crate::draft::{self, Desk, Draft};
use crate::llm::{Fault, Model, Reason};
use crate::state::App;

/// What a runbook is to be drafted from.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Generate {
    /// In a sentence or a few: what it is to do.
    description: String,
    /// A runbook people follow by hand, in Markdown.
    prose: String,
    /// A recorded run to learn from: id, its unique beginning, or `last`.
    run: Option<String>,
    /// An episode to learn from, with its runs: id or its unique beginning.
    episode: Option<String>,
    /// A runbook whose next version it is to be: name or its unique beginning.
    replaces: Option<String>,
}

/// A sentence.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sentence {
    /// What is to be done, on what.
    sentence: String,
}

/// Drafts a runbook from a description, prose or an incident
///
/// The draft was compiled, checked, played in its scenarios and planned. It is kept in stage draft with origin `llm`: only a
/// person can trust it with more, by its digest.
#[utoipa::path(post, path = "/v1/runbooks/generate", tag = "drafts", request_body = Generate,
    responses((status = 201, body = Draft, description = "it is kept")))]
pub(super) async fn generate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(wanted): Json<Generate>,
) -> Result<(StatusCode, Answer<Draft>)> {
    let model = model(&app, BY_HAND_RUNBOOK)?;
    let replaces = wanted.replaces.filter(|name| !name.is_empty());
    let mut matter = Matter { description: wanted.description, prose: wanted.prose, replaces, ..Matter::default() };
    if let Some(id) = wanted.run.filter(|id| !id.is_empty()) {
        let row = find(&app, &id).await?;
        matter.incident = super::explain::told(&app, &row).await?;
        if let Some(episode) = &row.episode {
            with_labels(&app, episode, &mut matter).await?;
        }
    } else if let Some(id) = wanted.episode.filter(|id| !id.is_empty()) {
        with_labels(&app, &id, &mut matter).await?;
        matter.incident = of_episode(&app, &id).await?;
    }
    let hosts = hosts(&app);
    let made = desk(&app, model, &hosts, &caller).generate(&matter).await;
    let mut draft = made.map_err(|error| not_drafted(error, BY_HAND_RUNBOOK))?;
    draft.needs = needs(&app, &caller);
    let details =
        json!({"version": draft.version, "digest": draft.digest, "model": draft.model, "rounds": draft.rounds});
    app.store.audit(caller.who(), "generate", &draft.runbook, details, app.now_ms()).await?;
    Ok((StatusCode::CREATED, Answer(draft)))
}

/// Turns a sentence into a plan, a question or a refusal
///
/// Nothing is changed. A plan is applied like any other, by a person, and does what it says and nothing else.
#[utoipa::path(post, path = "/v1/ask", tag = "drafts", request_body = Sentence, responses((status = 200, body = Asked)))]
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(asked): Json<Sentence>,
) -> Result<Answer<Asked>> {
    let model = model(&app, BY_HAND_PLAN)?;
    let hosts = hosts(&app);
    let answer = desk(&app, model, &hosts, &caller).ask(&asked.sentence).await;
    let mut answer = answer.map_err(|error| not_drafted(error, BY_HAND_PLAN))?;
    if let Asked::Plan { draft } = &mut answer {
        draft.needs = needs(&app, &caller);
    }
    let (what, digest) = match &answer {
        Asked::Plan { draft } => ("plan", Value::from(draft.digest.clone())),
        Asked::Question { .. } => ("question", Value::Null),
        Asked::Refusal { .. } => ("refusal", Value::Null),
    };
    app.store
        .audit(caller.who(), "ask", what, json!({"sentence": asked.sentence, "digest": digest}), app.now_ms())
        .await?;
    Ok(Answer(answer))
}

/// Said with the draft, not first when it is refused.
fn needs(app: &App, caller: &Caller) -> Option<String> {
    (!may_trust(app, caller)).then(|| NEEDS.to_owned())
}

/// The same by hand.
const BY_HAND_RUNBOOK: &str = "sandbook new NAME, then sandbook check NAME and sandbook push NAME --stage draft";
const BY_HAND_PLAN: &str = "sandbook runbooks, then sandbook plan RUNBOOK CONTAINER and sandbook apply PLAN";

fn model<'a>(app: &'a App, by_hand: &str) -> Result<&'a Model> {
    app.model.as_ref().ok_or_else(|| of_fault(Fault::unconfigured(), by_hand))
}

fn hosts(app: &App) -> Vec<String> {
    app.config.docker.hosts.keys().cloned().collect()
}

fn desk<'a>(app: &'a App, model: &'a Model, hosts: &'a [String], caller: &'a Caller) -> Desk<'a> {
    Desk {
        model,
        library: &app.library,
        planner: &app.planner,
        runner: &app.runner,
        intake: &app.intake,
        settings: &app.config.drafts,
        hosts,
        by: caller.who(),
    }
}

async fn with_labels(app: &App, episode: &str, matter: &mut Matter) -> Result<()> {
    let found = app.store.episode(episode).await?;
    let unknown = || Error::not_found(format!("there is no episode {episode}"), "`sandbook alerts` lists them");
    matter.labels = found.ok_or_else(unknown)?.labels;
    Ok(())
}

/// What its runs came to, in words.
async fn of_episode(app: &App, id: &str) -> Result<String> {
    let mut told = String::new();
    for run in app.store.episode(id).await?.map(|episode| episode.runs).unwrap_or_default() {
        let row = find(app, &run.run).await?;
        told.push_str(&super::explain::told(app, &row).await?);
        told.push('\n');
    }
    Ok(told)
}

fn of_fault(fault: Fault, by_hand: &str) -> Error {
    let status = match fault.reason {
        Reason::Unconfigured => StatusCode::NOT_IMPLEMENTED,
        Reason::Budget
        | Reason::Overloaded
        | Reason::Timeout
        | Reason::Unreachable
        | Reason::Server
        | Reason::Key
        | Reason::Refused
        | Reason::TooLong
        | Reason::Answer
        | Reason::NotOffered
        | Reason::Quote
        | Reason::Unsure
        | Reason::Books => StatusCode::SERVICE_UNAVAILABLE,
    };
    Error::new(status, fault.reason.code(), fault.message, format!("by hand: {by_hand}"))
}

/// Why there is no draft, as an answer.
fn not_drafted(error: draft::Error, by_hand: &str) -> Error {
    let message = error.to_string();
    match error {
        draft::Error::Invalid(_) => Error::invalid(message, "say in a sentence what is to be done, and on what"),
        draft::Error::Model(fault) => of_fault(fault, by_hand),
        draft::Error::Unsound { problems, .. } => {
            let details = problems.into_iter().map(|problem| json!({ "message": problem })).collect();
            let fix = format!("say it in other words, or by hand: {by_hand}");
            Error::new(StatusCode::UNPROCESSABLE_ENTITY, error::UNSOUND, message, fix).with_details(details)
        }
        draft::Error::Library(error) => of_library(error),
        draft::Error::Plan(error) => not_made(error),
        draft::Error::Upload(error) => refused(error),
    }
}
