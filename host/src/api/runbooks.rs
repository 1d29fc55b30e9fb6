//! Runbooks: what is installed and how far it is trusted, uploads, stages.
//!
//! Deliberately not here: what an upload or a stage leads to; the library decides and writes the audit.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use sandbook_core::problem::Problem;
use sandbook_core::run::Stage;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{self, Error, Result};
use super::extract::{Json, Path, Query, content_type, read, word};
use super::time::Time;
use crate::auth::Caller;
use crate::library::{self, PACKED_BYTES_MAX, StageChange, Standing, UploadError};
use crate::state::App;
use crate::store::{Source, Tally};
use crate::trust::Signed;

/// Over which time figures are counted: long enough for a rate, short enough to be about today's version.
const FIGURES_MS: u64 = 30 * 24 * 3_600_000;
/// Subjects listed of one runbook: who has more looks at the worst.
const SUBJECTS_MAX: usize = 100;

/// A runbook, in the version that runs.
#[derive(Serialize, ToSchema)]
#[schema(as = Runbook)]
pub(super) struct RunbookView {
    name: String,
    /// Of the manifest.
    summary: String,
    version: String,
    digest: String,
    /// Effective: the lowest of what configuration, API and automatic demotion say.
    stage: &'static str,
    /// Who wrote it: `built-in`, `person` or `llm`.
    origin: &'static str,
    /// Where it came from: `built-in`, `dir` or `upload`.
    source: &'static str,
    /// Effects the manifest asks for.
    requests: Vec<String>,
    /// Why the engine demoted it to shadow; absent when it did not.
    demoted: Option<String>,
    /// What its signature is worth: `state` is `trusted`, `unsigned`, `unknown-key` or `expired`.
    #[schema(value_type = Object)]
    signature: Signed,
    #[serde(flatten)]
    figures: Figures,
    /// The same by what they were about, those that helped least first; only in the answer about one runbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<Vec<SubjectView>>,
    /// When it got its stage.
    since: Time,
    /// Its versions in stage draft: they wait for a person to read them.
    drafts: usize,
    /// When its schedule is due next; absent without one.
    next_fire: Option<Time>,
    /// Why, if somebody gave it.
    reason: Option<String>,
    /// Whole; only in the answer about one runbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    manifest: Option<Value>,
}

/// All runbooks.
#[derive(Serialize, ToSchema)]
pub(super) struct Runbooks {
    runbooks: Vec<RunbookView>,
    /// Folders whose package cannot be used, and why; the version before stays in use.
    broken: Vec<BrokenView>,
    next_cursor: Option<String>,
}

/// A folder with a package that cannot be used.
#[derive(Serialize, ToSchema)]
#[schema(as = Broken)]
pub(super) struct BrokenView {
    folder: String,
    #[schema(value_type = Vec<Object>)]
    problems: Vec<Problem>,
}

/// Folders with mistakes; doubts alone do not count.
pub(super) fn broken(app: &App) -> Vec<BrokenView> {
    let broken = app.library.broken();
    let mistaken = broken.iter().filter(|(_, problems)| problems.iter().any(|problem| !problem.warning));
    mistaken
        .map(|(folder, problems)| BrokenView { folder: folder.display().to_string(), problems: problems.clone() })
        .collect()
}

/// A signature that does not hold.
fn broken_signature(broken: &crate::trust::Broken) -> Error {
    Error::new(StatusCode::UNPROCESSABLE_ENTITY, broken.code(), broken.to_string(), broken.fix())
}

/// What the library says, as an answer.
pub(super) fn of_library(error: library::Error) -> Error {
    match error {
        library::Error::UnknownRunbook { .. } | library::Error::UnknownVersion { .. } => {
            Error::not_found(error.to_string(), "`sandbook runbooks` lists them")
        }
        library::Error::Ambiguous(_) => {
            Error::new(StatusCode::CONFLICT, error::AMBIGUOUS, error.to_string(), "write more of it")
        }
        library::Error::NothingBefore(_) => Error::too_late(error.to_string(), "demote it instead"),
        library::Error::Unsigned { ref signed, .. } => {
            let fix = "sign it with a key under [trust.keys]: sandbook sign RUNBOOK@DIGEST --key FILE";
            Error::new(StatusCode::CONFLICT, signed.code(), error.to_string(), fix)
        }
        library::Error::Signature(broken) => broken_signature(&broken),
        library::Error::NeedsPerson { ref name, ref digest, .. } => {
            let fix = format!("with a token of a person: sandbook promote {name}@{digest} shadow --reason \"…\"");
            Error::new(StatusCode::FORBIDDEN, error::NEEDS_PERSON, error.to_string(), fix)
        }
        library::Error::Store(error) => error.into(),
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::BuiltIn => "built-in",
        Source::Dir => "dir",
        Source::Upload => "upload",
    }
}

/// What came of the runs of the last 30 days.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Figures)]
pub(super) struct Figures {
    /// All of them, whatever their mode.
    runs: u64,
    /// Acted, and it helped.
    confirmed: u64,
    /// Acted, and it did not help.
    contradicted: u64,
    /// Acted, and nobody can tell.
    unknown: u64,
    /// Found nothing wrong.
    nothing_to_do: u64,
    /// Changed what was well in the look just before.
    false_positives: u64,
    /// Confirmed, of those confirmed or contradicted; from 0 to 1, absent before the first one.
    success_rate: Option<f64>,
}

impl From<&Tally> for Figures {
    fn from(tally: &Tally) -> Figures {
        Figures {
            runs: tally.runs,
            confirmed: tally.confirmed,
            contradicted: tally.contradicted,
            unknown: tally.unknown,
            nothing_to_do: tally.nothing_to_do,
            false_positives: tally.needless,
            success_rate: tally.rate(),
        }
    }
}

/// The runs of a runbook on one subject.
#[derive(Serialize, ToSchema)]
#[schema(as = SubjectFigures)]
pub(super) struct SubjectView {
    /// `host/project/service/number`, else `host/name`.
    subject: String,
    #[serde(flatten)]
    figures: Figures,
}

/// Everything counted, added up.
pub(super) async fn figures(app: &App) -> Result<Figures> {
    let mut sum = Tally::default();
    app.store.tallies(since(app), None).await?.iter().for_each(|tally| sum.add(tally));
    Ok(Figures::from(&sum))
}

fn since(app: &App) -> u64 {
    app.now_ms().saturating_sub(FIGURES_MS)
}

async fn by_runbook(app: &App) -> Result<BTreeMap<String, Tally>> {
    let mut sums: BTreeMap<String, Tally> = BTreeMap::new();
    for tally in app.store.tallies(since(app), None).await? {
        sums.entry(tally.runbook.clone()).or_default().add(&tally);
    }
    Ok(sums)
}

/// By subject: the lowest rate first, of equal ones the most runs.
fn by_subject(tallies: &[Tally]) -> Vec<SubjectView> {
    let mut judged: Vec<(&str, &Tally)> = tallies
        .iter()
        .filter(|tally| tally.rate().is_some())
        .filter_map(|tally| Some((tally.subject.as_deref()?, tally)))
        .collect();
    let rate = |tally: &Tally| tally.rate().unwrap_or(1.0);
    judged.sort_by(|(_, a), (_, b)| rate(a).total_cmp(&rate(b)).then(b.runs.cmp(&a.runs)));
    let view = |(subject, tally): (&str, &Tally)| SubjectView { subject: subject.to_owned(), figures: tally.into() };
    judged.into_iter().take(SUBJECTS_MAX).map(view).collect()
}

/// Versions in stage draft, of one runbook or of all.
pub(super) fn drafts(app: &App, name: Option<&str>) -> usize {
    let standings = app.library.standings();
    let own = standings.iter().filter(|standing| name.is_none_or(|name| standing.name == name));
    own.filter(|standing| standing.stage == Stage::Draft).count()
}

async fn view(app: &App, standing: Standing, figures: Figures, whole: Option<Vec<SubjectView>>) -> Result<RunbookView> {
    let package = app.library.package_by_digest(&standing.digest).await.map_err(of_library)?;
    let manifest = package.as_ref().map(|package| &package.manifest);
    Ok(RunbookView {
        summary: manifest.map(|manifest| manifest.summary.clone()).unwrap_or_default(),
        requests: manifest.map(|manifest| manifest.requests.clone()).unwrap_or_default(),
        next_fire: app.schedules.coming().get(&standing.name).copied().map(Time),
        manifest: manifest.filter(|_| whole.is_some()).and_then(|manifest| serde_json::to_value(manifest).ok()),
        drafts: drafts(app, Some(&standing.name)),
        name: standing.name,
        version: standing.version,
        digest: standing.digest,
        stage: standing.stage.name(),
        origin: standing.origin.name(),
        source: source(standing.source),
        signature: standing.signed,
        demoted: standing.reason.clone().filter(|_| standing.demoted),
        figures,
        subjects: whole,
        since: Time(standing.since),
        reason: standing.reason,
    })
}

/// Runbooks by name, each in the version that runs
#[utoipa::path(get, path = "/v1/runbooks", tag = "runbooks", responses((status = 200, body = Runbooks)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Answer<Runbooks>> {
    let standings = app.library.standings();
    let mut chosen: BTreeMap<&str, &Standing> = BTreeMap::new();
    for standing in standings.iter() {
        let place = chosen.entry(&standing.name).or_insert(standing);
        if standing.current {
            *place = standing;
        }
    }
    let tallies = by_runbook(&app).await?;
    let mut runbooks = Vec::with_capacity(chosen.len());
    for (name, standing) in chosen {
        let figures = tallies.get(name).map(Figures::from).unwrap_or_default();
        runbooks.push(view(&app, standing.clone(), figures, None).await?);
    }
    Ok(Answer(Runbooks { runbooks, broken: broken(&app), next_cursor: None }))
}

/// One runbook
#[utoipa::path(get, path = "/v1/runbooks/{name}", tag = "runbooks", params(("name" = String, Path, description = "name or its unique beginning")),
    responses((status = 200, body = RunbookView)))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Answer<RunbookView>> {
    let standing = app.library.find(&name, None).map_err(of_library)?;
    let tallies = app.store.tallies(since(&app), Some(standing.name.clone())).await?;
    let mut sum = Tally::default();
    tallies.iter().for_each(|tally| sum.add(tally));
    Ok(Answer(view(&app, standing, Figures::from(&sum), Some(by_subject(&tallies))).await?))
}

/// A version.
#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
pub(super) struct VersionView {
    version: String,
    digest: String,
    /// Effective.
    stage: &'static str,
    origin: &'static str,
    source: &'static str,
    /// It is the one that runs.
    current: bool,
    /// What its signature is worth: `state` is `trusted`, `unsigned`, `unknown-key` or `expired`.
    #[schema(value_type = Object)]
    signature: Signed,
    /// The highest stage that its signature allows.
    ceiling: &'static str,
    /// When it came.
    at: Time,
    /// Who brought it.
    by: String,
    /// When it got its stage.
    since: Time,
    reason: Option<String>,
}

/// A stage that was set.
#[derive(Serialize, ToSchema)]
#[schema(as = StageGiven)]
pub(super) struct StageView {
    digest: String,
    stage: &'static str,
    reason: String,
    /// Who set it; `[configuration]` and `[sandbook]` are no persons.
    by: String,
    at: Time,
}

/// All versions of a runbook.
#[derive(Serialize, ToSchema)]
pub(super) struct Versions {
    versions: Vec<VersionView>,
    /// Stages that were set, newest first.
    history: Vec<StageView>,
    next_cursor: Option<String>,
}

/// Versions of a runbook, newest first
#[utoipa::path(get, path = "/v1/runbooks/{name}/versions", tag = "runbooks",
    params(("name" = String, Path, description = "name or its unique beginning")), responses((status = 200, body = Versions)))]
pub(super) async fn versions(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Answer<Versions>> {
    let name = app.library.name_of(&name).map_err(of_library)?;
    let standings = app.library.standings();
    let versions = standings.iter().filter(|standing| standing.name == name).map(|standing| VersionView {
        version: standing.version.clone(),
        digest: standing.digest.clone(),
        stage: standing.stage.name(),
        origin: standing.origin.name(),
        source: source(standing.source),
        current: standing.current,
        signature: standing.signed.clone(),
        ceiling: standing.ceiling.name(),
        at: Time(standing.at),
        by: standing.by.clone(),
        since: Time(standing.since),
        reason: standing.reason.clone(),
    });
    let history = app.store.stage_history(&name).await?.into_iter().map(|row| StageView {
        digest: row.digest,
        stage: row.stage.name(),
        reason: row.reason,
        by: row.by,
        at: Time(row.at),
    });
    Ok(Answer(Versions { versions: versions.collect(), history: history.collect(), next_cursor: None }))
}

/// What an upload led to.
#[derive(Serialize, ToSchema)]
#[schema(as = Uploaded)]
pub(super) struct UploadedView {
    name: String,
    version: String,
    digest: String,
    /// Effective.
    stage: &'static str,
    /// Effects the manifest asks for.
    requests: Vec<String>,
    #[schema(value_type = Vec<Object>)]
    warnings: Vec<Problem>,
    /// Its scenarios and pages took the place of those that came with the same code before.
    replaced: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadQuery {
    /// `draft` or `shadow`, which is the default.
    stage: Option<String>,
}

/// Uploads a package
///
/// A tar (plain or gzip), one script with its manifest in leading `//!` lines, or one component with its manifest in a
/// custom section. The code is compiled and checked, and never run.
#[utoipa::path(post, path = "/v1/runbooks", tag = "runbooks", params(UploadQuery),
    request_body(description = "the package", content(("application/x-tar"), ("application/gzip"), ("text/x-rhai"), ("application/wasm"))),
    responses((status = 201, body = UploadedView, description = "it is new"), (status = 200, body = UploadedView, description = "the same bytes were there")))]
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<(StatusCode, Answer<UploadedView>)> {
    let stage = word("stage", query.stage.as_deref(), Stage::ALL, Stage::name)?;
    let (parts, body) = request.into_parts();
    let bytes = read(&parts.headers, body, PACKED_BYTES_MAX).await?;
    let kind = content_type(&parts.headers);
    // What an agent wrote is a draft, whatever it asks for: a person decides what sees alerts.
    let uploaded = match caller.agent {
        true => app.library.upload_draft(&bytes, caller.who()).await,
        false => app.library.upload(&bytes, kind.as_deref(), caller.who(), stage).await,
    };
    let uploaded = uploaded.map_err(refused)?;
    let status = if uploaded.created { StatusCode::CREATED } else { StatusCode::OK };
    let view = UploadedView {
        name: uploaded.name,
        version: uploaded.version,
        digest: uploaded.digest,
        stage: uploaded.stage.name(),
        requests: uploaded.requests,
        warnings: uploaded.warnings,
        replaced: uploaded.replaced,
    };
    Ok((status, Answer(view)))
}

pub(super) fn refused(error: UploadError) -> Error {
    let message = error.to_string();
    match error {
        UploadError::Problems(problems) => {
            let refusal = Error::of_problems("the package", &problems);
            let status = match refusal.code {
                library::MEDIA_TYPE => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                _ => refusal.status,
            };
            Error { status, ..refusal }
        }
        UploadError::VersionTaken { .. } => Error::new(
            StatusCode::CONFLICT,
            error::VERSION_TAKEN,
            message,
            "raise `version` in the manifest and push again",
        ),
        UploadError::StageTooHigh(_) => Error::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            error::ARGUMENT,
            message,
            "push it, then `sandbook promote` it",
        ),
        UploadError::Signature(broken) => broken_signature(&broken),
        UploadError::Unsigned { signed, .. } => Error::new(
            StatusCode::CONFLICT,
            signed.code(),
            message,
            "sign it with a key under [trust.keys]: sandbook sign PATH --key FILE",
        ),
        UploadError::Store(error) => error.into(),
    }
}

/// A stage to be set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetStage {
    /// Beginning of a version's digest. Absent: the newest version when it is to act, else the one that runs.
    #[serde(default)]
    digest: String,
    /// `draft`, `shadow`, `ask` or `live`.
    stage: String,
    /// Stands in the audit.
    reason: String,
}

/// A stage that was set.
#[derive(Serialize, ToSchema)]
#[schema(as = StageSet)]
pub(super) struct StageSetView {
    name: String,
    version: String,
    digest: String,
    /// Effective before.
    from: &'static str,
    /// What was asked for.
    set: &'static str,
    /// Effective now.
    stage: &'static str,
    /// Why it is less than what was asked for.
    why: Option<String>,
    /// The newest backtest of exactly this version, without its lines; absent when there is none.
    #[schema(value_type = Option<Object>)]
    backtest: Option<Value>,
}

/// Sets how far a version is trusted
#[utoipa::path(put, path = "/v1/runbooks/{name}/stage", tag = "runbooks", params(("name" = String, Path, description = "name or its unique beginning")),
    request_body = SetStage, responses((status = 200, body = StageSetView)))]
pub(super) async fn set_stage(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<SetStage>,
) -> Result<Answer<StageSetView>> {
    let stage = word("stage", Some(&wanted.stage), Stage::ALL, Stage::name)?;
    let Some(stage) = stage else {
        return Err(Error::invalid("`stage` is empty", "use one of draft, shadow, ask, live"));
    };
    if wanted.reason.trim().is_empty() {
        return Err(Error::invalid("`reason` is empty", "say why; it stands in the audit"));
    }
    if stage == Stage::Live && app.config.runbooks.backtest_required {
        let of = match wanted.digest.as_str() {
            "" => app.library.newest(&name),
            digest => app.library.find(&name, Some(digest)),
        };
        let of = of.map_err(of_library)?;
        backtested(&app, &of.name, &of.digest).await?;
    }
    let change =
        StageChange { stage, reason: wanted.reason, by: caller.who().to_owned(), person: caller.person.is_some() };
    let set = app.library.set_stage(&name, &wanted.digest, change).await.map_err(of_library)?;
    let why = (set.stage != set.set)
        .then(|| format!("the configuration says less for {}; see `stages` under [runbooks]", set.name));
    let backtest = app.store.newest_backtest(&set.digest).await?.map(|row| {
        let mut view = row.view;
        view.as_object_mut().map(|view| view.remove("lines"));
        view
    });
    Ok(Answer(StageSetView {
        name: set.name,
        version: set.version,
        digest: set.digest,
        from: set.from.name(),
        set: set.set.name(),
        stage: set.stage.name(),
        why,
        backtest,
    }))
}

/// Refuses a version that was never tested against what was recorded.
async fn backtested(app: &App, name: &str, digest: &str) -> Result<()> {
    if app.store.newest_backtest(digest).await?.is_some() {
        return Ok(());
    }
    let message = format!("{name} ({digest}) has no backtest, and `backtest_required` under [runbooks] wants one");
    let fix = format!("sandbook backtest {name}@{digest} --since 30d");
    Err(Error::new(StatusCode::CONFLICT, error::NO_BACKTEST, message, fix))
}
