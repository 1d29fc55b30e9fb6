//! Plans: making one of a stored version or of a package that is sent along, looking at it, applying it; and what
//! versions in shadow would have done.
//!
//! Deliberately not here: what a plan is and what holds a run to it, see [`crate::plan`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine as _;
use sandbook_core::alert::{Alert, parse_message};
use sandbook_core::effect::{Class, Effect};
use sandbook_core::error::{Error as EffectError, ErrorKind};
use sandbook_core::journal::{AlertInput, Record};
use sandbook_core::run::{Origin, Stage};
use sandbook_core::target::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::error::{self, Error, Result};
use super::extract::{JsonOrNothing, Path, Query, must_be_json, parse, read};
use super::runbooks::{of_library, refused};
use super::runs::{Started, texts};
use crate::auth::Caller;
use crate::config::Trusted;
use crate::intake::input_of;
use crate::library::{PACKED_BYTES_MAX, Package};
use crate::plan::compare::{Compared, compared};
use crate::plan::{self, Plan, Summary};
use crate::runner::aim::Hint;
use crate::runner::overlay::Assumption;
use crate::state::App;
use crate::store::PlanRow;

/// Assumptions of one plan: one for each effect there is would be more than anybody reviews.
const ASSUMED_MAX: usize = 50;
/// Body of a request with a package: as text it is a third longer, and the rest is small.
const BODY_BYTES_MAX: usize = PACKED_BYTES_MAX / 3 * 4 + (1 << 20);

/// What is to be planned.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ask {
    /// The alert it is for: one with labels, or a message whose first is taken.
    #[schema(value_type = Option<Object>)]
    alert: Option<Value>,
    /// Id of an episode, in the place of an alert.
    episode: Option<String>,
    /// A container, `host/container` or `host/project/service`, or such a target as runs show it.
    #[schema(value_type = Option<Object>)]
    target: Option<Value>,
    /// Texts, numbers and flags by name; the manifest types them.
    #[schema(value_type = Object)]
    parameters: BTreeMap<String, Value>,
    /// Beginning of a version's digest; absent: the version that runs.
    digest: Option<String>,
    /// The Docker host, where names and labels do not say it.
    host: Option<String>,
    /// Answers in the place of what nobody can know.
    assume: Vec<Assume>,
    /// Whoever asks is going to apply it: their word stands in for policies that permit. Forbids, protection and brakes
    /// hold all the same.
    to_apply: bool,
    /// Its messages are really sent, instead of only shown.
    notify: bool,
    /// In the place of the real world: the name of a scenario that came with the package, or one as TOML. The plan is not
    /// kept, and nothing else is looked at then.
    scenario: Option<String>,
}

/// What an effect is assumed to answer.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Assume {
    /// Its name.
    effect: String,
    /// Its answer in the shape of the guest contract, or `{"error": {"kind", "message"}}`.
    #[schema(value_type = Object)]
    result: Value,
}

/// The same with a package that is not stored.
#[derive(Deserialize, ToSchema)]
pub(super) struct AskOf {
    /// A tar, plain or gzip, a script or a component, as base64.
    package: String,
    #[serde(flatten)]
    ask: Value,
}

/// Plans a runbook
///
/// Reads are real, changes are simulated; nothing is changed.
#[utoipa::path(post, path = "/v1/runbooks/{name}/plan", tag = "plans", params(("name" = String, Path, description = "name or its unique beginning")),
    request_body = Ask, responses((status = 200, body = Plan)))]
pub(super) async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    JsonOrNothing(ask): JsonOrNothing<Ask>,
) -> Result<Answer<Plan>> {
    let standing = app.library.find(&name, ask.digest.as_deref()).map_err(of_library)?;
    let package = app.library.package_by_digest(&standing.digest).await.map_err(of_library)?;
    let package = package.ok_or_else(|| Error::defect(&format!("package {} is not stored", standing.digest)))?;
    planned(&app, &caller, ask, package, standing.stage).await
}

/// Plans a package that is not stored
///
/// Its code is compiled, checked and rehearsed; nothing of it is kept but the plan.
#[utoipa::path(post, path = "/v1/plans", tag = "plans", request_body = AskOf, responses((status = 200, body = Plan)))]
pub(super) async fn make_of(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Result<Answer<Plan>> {
    let (parts, body) = request.into_parts();
    must_be_json(&parts.headers)?;
    let AskOf { package, ask } = parse(&read(&parts.headers, body, BODY_BYTES_MAX).await?)?;
    let unreadable = |error: String| Error::invalid(format!("`package` is no base64: {error}"), "send a tar as base64");
    let bytes = base64::engine::general_purpose::STANDARD.decode(package);
    let bytes = bytes.map_err(|error| unreadable(error.to_string()))?;
    let ask: Ask = serde_json::from_value(ask)
        .map_err(|error| Error::invalid(format!("the body cannot be read: {error}"), "see `/openapi.json`"))?;
    if ask.digest.is_some() {
        return Err(Error::invalid("`digest` names a stored version", "send either it or `package`"));
    }
    let package = app.library.examine(bytes).await.map_err(refused)?;
    planned(&app, &caller, ask, Arc::new(package), Stage::Draft).await
}

async fn planned(app: &App, caller: &Caller, ask: Ask, package: Arc<Package>, stage: Stage) -> Result<Answer<Plan>> {
    if let Some(text) = &ask.scenario {
        return simulated(app, caller, text, &package, stage).await;
    }
    let assumptions = assumptions(ask.assume)?;
    let (alert, episode) = cause(app, ask.alert, ask.episode).await?;
    let (mut hint, mut parameters) = match &alert {
        Some(Cause::Alert(alert)) => app.intake.aimed_at(alert, &package.name),
        Some(Cause::Episode(input)) => (Hint { labels: input.labels.clone(), ..Hint::default() }, BTreeMap::new()),
        None => Default::default(),
    };
    hint.reference = reference(ask.target)?;
    hint.host = ask.host.filter(|host| !host.is_empty());
    if hint.reference.is_none() && hint.labels.is_empty() {
        may_be_about_nothing(&package, "send `target`, or the `alert` it is for")?;
    }
    parameters.extend(texts(&ask.parameters)?);
    let request = plan::Request {
        package,
        stage,
        hint,
        alert: alert.map(Cause::input),
        episode,
        parameters,
        assumptions,
        by: caller.who().to_owned(),
        notify: ask.notify,
        to_apply: ask.to_apply,
    };
    Ok(Answer(app.planner.make(request).await.map_err(not_made)?))
}

/// What a runbook does in a scenario: nothing of it is kept, and it cannot be applied.
async fn simulated(app: &App, caller: &Caller, asked: &str, package: &Package, stage: Stage) -> Result<Answer<Plan>> {
    let (file, text) = scenario_of(package, asked)?;
    let scenario = crate::scenario::read(&text, &file, &package.manifest).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let fix = problems.into_iter().map(|problem| problem.help).find(|help| !help.is_empty());
        Error::invalid(all.join("; "), fix.unwrap_or_else(|| "`sandbook check` reads scenarios too".to_owned()))
    })?;
    Ok(Answer(app.planner.simulate(package, stage, &scenario, caller.who()).await.map_err(not_made)?))
}

/// A scenario's file and text. No scenario is one line without an `=`.
fn scenario_of<'a>(package: &'a Package, asked: &'a str) -> Result<(String, Cow<'a, str>)> {
    if asked.is_empty() || asked.contains(['=', '\n']) {
        return Ok(("scenario".to_owned(), Cow::Borrowed(asked)));
    }
    let file = format!("scenarios/{}.toml", asked.trim_start_matches("scenarios/").trim_end_matches(".toml"));
    if let Some(text) = package.file(&file) {
        return Ok((file, String::from_utf8_lossy(text)));
    }
    let stem = |path: &str| path.trim_start_matches("scenarios/").trim_end_matches(".toml").to_owned();
    let known: Vec<String> = package.scenarios().map(|(path, _)| stem(path)).collect();
    let fix = if known.is_empty() {
        "no scenarios came with this version: send one as TOML".to_owned()
    } else {
        format!("it has {}; or send one as TOML", known.join(", "))
    };
    Err(Error::invalid(format!("`{}` has no scenario `{asked}`", package.name), fix))
}

/// What a plan is for.
enum Cause {
    Alert(Box<Alert>),
    Episode(AlertInput),
}

impl Cause {
    fn input(self) -> AlertInput {
        match self {
            Cause::Alert(alert) => input_of(&alert),
            Cause::Episode(input) => input,
        }
    }
}

async fn cause(app: &App, alert: Option<Value>, episode: Option<String>) -> Result<(Option<Cause>, Option<String>)> {
    match (alert, episode.filter(|id| !id.is_empty())) {
        (None, None) => Ok((None, None)),
        (Some(_), Some(_)) => Err(Error::invalid("send either `alert` or `episode`", "an episode has its alert")),
        (Some(alert), None) => {
            let now = i64::try_from(app.now_ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            let unreadable = |why: String| Error::invalid(format!("`alert`: {why}"), "send an alert with labels");
            let message = parse_message(alert.to_string().as_bytes(), now.unwrap_or_default())
                .map_err(|error| unreadable(error.to_string()))?;
            let first = message.alerts.into_iter().next().ok_or_else(|| unreadable("it holds no alert".to_owned()))?;
            Ok((Some(Cause::Alert(Box::new(first.map_err(unreadable)?))), None))
        }
        (None, Some(id)) => {
            let found = app.store.episode(&id).await?;
            let unknown = || Error::not_found(format!("there is no episode {id}"), "`sandbook alerts` lists them");
            let episode = found.ok_or_else(unknown)?;
            let input = AlertInput {
                name: episode.name,
                labels: episode.labels,
                annotations: episode.annotations,
                starts_at: jiff::Timestamp::from_millisecond(episode.starts_at).unwrap_or_default().to_string(),
                fingerprint: episode.fingerprint,
            };
            Ok((Some(Cause::Episode(input)), Some(episode.id)))
        }
    }
}

/// Refuses what is about a container or service, for a request that names neither.
pub(super) fn may_be_about_nothing(package: &Package, fix: &str) -> Result<()> {
    match package.manifest.target.kind {
        Kind::Container | Kind::Service => {
            let message = format!("{} is about a container or service, and none is named", package.name);
            Err(Error::invalid(message, fix))
        }
        Kind::Host | Kind::None => Ok(()),
    }
}

/// A target as a text, or as runs and plans show it.
pub(super) fn reference(target: Option<Value>) -> Result<Option<String>> {
    match target {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(Value::Object(target)) if target.get("name").is_some_and(Value::is_string) => {
            let text = |key: &str| target.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (host, name) = (text("host"), text("name"));
            Ok(Some(if host.is_empty() || host == name { name } else { format!("{host}/{name}") }))
        }
        Some(other) => {
            let message = format!("`target` {other} names nothing");
            Err(Error::invalid(message, "send a name, host/name, or an object with `name`"))
        }
    }
}

/// Assumptions whose answers have the shape that the guest contract promises.
fn assumptions(assumed: Vec<Assume>) -> Result<Vec<Assumption>> {
    if assumed.len() > ASSUMED_MAX {
        return Err(Error::invalid(format!("there are more than {ASSUMED_MAX} assumptions"), "assume less at once"));
    }
    assumed.into_iter().map(assumption).collect()
}

fn assumption(Assume { effect, result }: Assume) -> Result<Assumption> {
    let Some(info) = Effect::find(&effect) else {
        let near = Effect::closest(&effect).map_or_else(String::new, |near| format!("did you mean {near}? "));
        let fix = format!("{near}`sandbook effects` lists them");
        return Err(Error::invalid(format!("there is no effect `{effect}` to assume anything of"), fix));
    };
    match info.class {
        Class::Observe | Class::Egress | Class::Mutate => {}
        Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Tell => {
            let message = format!("{effect} is of class {}, and its answer is never in doubt", info.class.name());
            return Err(Error::invalid(message, "assume what is read, probed, or printed by a program"));
        }
    }
    if info.class == Class::Mutate && effect != "docker.exec" {
        let message = format!("what {effect} answers follows from the state of its container");
        return Err(Error::invalid(message, "assume what is read, probed, or printed by a program"));
    }
    if let Some(error) = result.get("error").filter(|error| error["kind"].is_string()) {
        let kind: ErrorKind = serde_json::from_value(error["kind"].clone()).map_err(|_| {
            let message = format!("there is no kind of error {}", error["kind"]);
            Error::invalid(message, "use denied, invalid, not-found, conflict, timeout, limited or failed")
        })?;
        let message = error["message"].as_str().unwrap_or("assumed").to_owned();
        return Ok(Assumption { effect, answer: Err(EffectError { kind, message }) });
    }
    if let Err(why) = Effect::check_output(&effect, &result) {
        let fix = format!("`sandbook effects {effect}` shows what it answers");
        return Err(Error::invalid(format!("{effect} cannot answer that: {why}"), fix));
    }
    Ok(Assumption { effect, answer: Ok(result) })
}

/// Why a plan is not made or applied, as an answer.
pub(super) fn not_made(error: plan::Error) -> Error {
    let message = error.to_string();
    let conflict = |code, fix: &str| Error::new(StatusCode::CONFLICT, code, message.clone(), fix);
    match error {
        plan::Error::Invalid(_) => Error::invalid(message, "see `/openapi.json` for what it may hold"),
        plan::Error::Unreachable(_) => {
            let fix = "`sandbook status` says which Docker hosts answer";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, error::TOOK_TOO_LONG, message, fix)
        }
        plan::Error::Busy => Error::new(StatusCode::SERVICE_UNAVAILABLE, error::BUSY, message, "try again in a moment"),
        plan::Error::TookTooLong => {
            let fix = "nothing was changed; look whether Docker answers slowly: `sandbook status`";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, error::TOOK_TOO_LONG, message, fix)
        }
        plan::Error::Expired { .. } => conflict(error::PLAN_EXPIRED, "make a new one with `sandbook plan`"),
        plan::Error::Applied { .. } => conflict(error::PLAN_APPLIED, "make a new one to do it once more"),
        plan::Error::Changed { .. } => {
            conflict(error::PLAN_CHANGED, "nothing was done; make a new one with `sandbook plan`")
        }
        plan::Error::Gone { .. } => conflict(
            error::PLAN_GONE,
            "push exactly what was planned (`sandbook push PATH --stage draft`) and apply again",
        ),
        plan::Error::Store(error) => error.into(),
    }
}

/// A plan on one line.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanLine)]
pub(super) struct LineView {
    plan: String,
    runbook: String,
    version: String,
    digest: String,
    target: Value,
    by: String,
    at: String,
    expires_at: String,
    outcome: String,
    sentence: String,
    complete: bool,
    summary: Summary,
    /// The run that applied it.
    applied: Option<String>,
}

/// A page of plans.
#[derive(Serialize, ToSchema)]
pub(super) struct Plans {
    plans: Vec<LineView>,
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PlansQuery {
    /// How many; at most 1000, which is also the default.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// Plans, newest first, without their effects
#[utoipa::path(get, path = "/v1/plans", tag = "plans", params(PlansQuery), responses((status = 200, body = Plans)))]
pub(super) async fn list(State(app): State<Arc<App>>, Query(query): Query<PlansQuery>) -> Result<Answer<Plans>> {
    let (rows, next_cursor) = app.store.plans(query.limit.unwrap_or(0), query.cursor).await?;
    let plans = rows.into_iter().map(|row| seen(row).map(line)).collect::<Result<Vec<_>>>()?;
    Ok(Answer(Plans { plans, next_cursor }))
}

fn line(plan: Plan) -> LineView {
    LineView {
        plan: plan.plan,
        runbook: plan.runbook,
        version: plan.version,
        digest: plan.digest,
        target: json!(plan.target),
        by: plan.by,
        at: plan.at,
        expires_at: plan.expires_at,
        outcome: plan.outcome,
        sentence: plan.sentence,
        complete: plan.complete,
        summary: plan.summary,
        applied: plan.applied,
    }
}

fn seen(row: PlanRow) -> Result<Plan> {
    serde_json::from_value(row.view).map_err(|error| Error::defect(&format!("plan {} cannot be read: {error}", row.id)))
}

/// The plan an id means: whole, or the unique beginning of one.
async fn find(app: &App, id: &str) -> Result<PlanRow> {
    let row = app.store.plan(id).await?;
    row.ok_or_else(|| Error::not_found(format!("there is no plan {id}"), "make one with `sandbook plan`"))
}

/// One plan
#[utoipa::path(get, path = "/v1/plans/{id}", tag = "plans", params(("id" = String, Path, description = "id or its unique beginning")),
    responses((status = 200, body = Plan)))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Answer<Plan>> {
    seen(find(&app, &id).await?).map(Answer)
}

/// Applies a reviewed plan
///
/// Starts a run that may do the plan's changes and nothing else: it asks a person at the first that differs. It counts as
/// permitted by whoever applies it; forbids, protection, brakes and the stop switch hold.
#[utoipa::path(post, path = "/v1/plans/{id}/apply", tag = "plans", params(("id" = String, Path, description = "the whole id")),
    responses((status = 202, body = Started, description = "the run is durable and queued")))]
pub(super) async fn apply(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Answer<Started>)> {
    let row = find(&app, &id).await?;
    if row.id != id {
        return Err(Error::not_found(format!("there is no plan {id}"), "applying needs the whole id"));
    }
    by_a_person(&app, &caller, &row)?;
    if app.runner.room() == 0 {
        let message = format!("the queue is full ({} runs are waiting to start)", app.runner.queue_length());
        let fix = "try again when there is room";
        return Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, error::NOT_DURABLE, message, fix));
    }
    let run = app.planner.apply(&row, caller.who()).await.map_err(not_made)?;
    Ok((StatusCode::ACCEPTED, Answer(Started { run })))
}

/// A plan of what a model drafted is applied by a person, unless the operator decided otherwise.
fn by_a_person(app: &App, caller: &Caller, row: &PlanRow) -> Result<()> {
    let origin = row.records.first().and_then(|record| match record {
        Record::Begun { header } => Some(header.origin),
        _ => None,
    });
    match origin {
        Some(Origin::BuiltIn | Origin::Person) => Ok(()),
        Some(Origin::Llm) | None if may_trust(app, caller) => Ok(()),
        Some(Origin::Llm) | None => {
            let message = format!("plan {} is of a draft of a model, and this token belongs to no person", row.id);
            Err(Error::new(StatusCode::FORBIDDEN, error::NEEDS_PERSON, message, format!("apply it with {NEEDS}")))
        }
    }
}

/// What it takes to trust a draft of a model.
pub(super) const NEEDS: &str = "a token that has a `person` under [auth.tokens]";

/// Whether a caller may apply and trust what a model drafted.
pub(super) fn may_trust(app: &App, caller: &Caller) -> bool {
    match app.config.drafts.trusted_by {
        Trusted::Anybody => true,
        Trusted::Person => caller.person.is_some(),
    }
}

/// What the version in shadow would have done, beside what was done.
#[derive(Serialize, ToSchema)]
#[schema(as = ShadowCompared)]
pub(super) struct ComparedView {
    /// Newest episodes first, at most 100.
    episodes: Vec<Compared>,
    /// Episodes about which both made the same changes.
    same: usize,
    /// Those about which they did not, though both found the same.
    differs: usize,
    /// Always absent: the newest are enough.
    next_cursor: Option<String>,
}

/// What a version in shadow would have done, beside the one that acts
#[utoipa::path(get, path = "/v1/runbooks/{name}/shadow", tag = "runbooks", params(("name" = String, Path, description = "name or its unique beginning")),
    responses((status = 200, body = ComparedView)))]
pub(super) async fn shadow(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Answer<ComparedView>> {
    let name = app.library.name_of(&name).map_err(of_library)?;
    let episodes = compared(&*app.store, &name).await?;
    let same = episodes.iter().filter(|one| one.same).count();
    let differs = episodes.iter().filter(|one| !one.same && one.same_world).count();
    Ok(Answer(ComparedView { episodes, same, differs, next_cursor: None }))
}
