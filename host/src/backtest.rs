//! Backtests: what a version would have done about the alerts of the last days.
//!
//! Each recorded episode is matched as intake matches, aimed at the target as it was then (the episode's snapshot), and
//! rehearsed over that: metrics are asked for at that time, all else is modelled or assumed. Policy is the one of now.
//! Brakes are counted over the recorded times, in order ([`count`]).
//!
//! Deliberately not here: limits that a policy sets, silences and settle windows, which depend on more than was recorded;
//! and what a runbook would do about a brake it meets half-way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use sandbook_core::alert::{Alert, Status};
use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal::{Header, Journal};
use sandbook_core::run::{Mode, Outcome, Stage};
use sandbook_core::target::{Resolved, Target};
use sandbook_core::world::{Container, World};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::clock::Virtual;
use crate::intake::{Intake, input_of};
use crate::library::Package;
use crate::plan::{self, EffectView};
use crate::replay::past::Past;
use crate::runner::Runner;
use crate::runner::aim::Aimed;
use crate::runner::execute::pinned;
use crate::runner::ledger::Rehearsed;
use crate::runner::rehearse::{self, Rehearsal, rehearse};
use crate::runner::snapshot::Snapshot;
use crate::store::{self, BacktestRow, EpisodeFilter, EpisodeRow, id};

mod count;
#[cfg(test)]
mod tests;

pub use count::{TargetLine, Totals};

/// Episodes looked at: the newest. More than one person's month of alerts, few enough for a minute.
pub const EPISODES_MAX: usize = 5_000;
/// Episodes rehearsed at once: each holds a guest's memory.
pub const AT_ONCE_MAX: usize = 4;
/// Backtests at once.
pub const BACKTESTS_MAX: usize = 2;
/// How long one episode may take: a guest that computes for its whole CPU limit, and a query of metrics.
const EPISODE_WITHIN: Duration = Duration::from_secs(60);
/// Lines that are kept and shown: those of the newest episodes that matched.
pub const LINES_MAX: usize = 1_000;

static PLACES: Semaphore = Semaphore::const_new(BACKTESTS_MAX);

/// What came of one episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It would have changed something.
    Acts,
    /// It would have asked a person.
    Asks,
    /// Policy would have refused a change.
    Refused,
    /// A brake would have held it back.
    Braked,
    /// It would have changed nothing.
    Nothing,
    /// It would have failed.
    Failed,
    /// What it would have been about was not recorded, or is something else than what was.
    Unknown,
}

/// An episode that would have started it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BacktestLine)]
pub struct Line {
    pub episode: String,
    pub alert: String,
    /// When it was first heard.
    pub at: String,
    /// On what, as `host/name`; absent where that is unknown or nothing.
    pub target: Option<String>,
    pub verdict: Verdict,
    /// Its changes in sentences, in order.
    pub changes: Vec<String>,
    /// What the runbook would have come to.
    pub outcome: Option<String>,
    /// In its own words, or why the verdict is what it is.
    pub sentence: String,
    /// Answers that are assumed.
    pub assumed: u32,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) at_ms: u64,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) subjects: Vec<(String, String)>,
}

/// A backtest as everybody sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Backtest {
    /// Its id.
    pub backtest: String,
    pub runbook: String,
    pub version: String,
    pub digest: String,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub at: String,
    /// From when on episodes were looked at.
    pub since: String,
    pub totals: Totals,
    /// Some episodes were left out: only so many of the newest are looked at.
    pub truncated: bool,
    /// By target, most changed first.
    pub targets: Vec<TargetLine>,
    /// Oldest first.
    pub lines: Vec<Line>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BacktestProgress)]
pub struct Progress {
    /// Episodes looked at.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

/// Why there is no backtest.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("{BACKTESTS_MAX} backtests are being made already")]
    Busy,
    #[error("whoever asked for it is gone")]
    Gone,
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What is wanted.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Request {
    pub package: Arc<Package>,
    /// Milliseconds since 1970.
    pub since: u64,
    pub by: String,
}

/// A place among the backtests that are being made.
pub struct Place(#[allow(dead_code, reason = "held until dropped")] SemaphorePermit<'static>);

impl Place {
    /// A place, if there is one.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn take() -> Result<Place, Error> {
        PLACES.try_acquire().map(Place).map_err(|_| Error::Busy)
    }
}

/// Makes a backtest and keeps it. Ends early when nobody listens to its progress any more.
///
/// # Errors
/// When nobody listens any more, or the store fails.
pub async fn make(
    (runner, intake): (&Runner, &Intake),
    request: Request,
    progress: &mpsc::Sender<Progress>,
    _place: Place,
) -> Result<Backtest, Error> {
    let parts = runner.parts();
    let (episodes, truncated) = episodes(&*parts.store, request.since).await?;
    let of = episodes.len();
    let mut lines = Vec::new();
    let mut unmatched = 0;
    let judged = stream::iter(episodes).map(|episode| judged(runner, intake, &request, episode));
    let mut judged = std::pin::pin!(judged.buffered(AT_ONCE_MAX));
    let mut done = 0;
    while let Some(line) = judged.next().await {
        done += 1;
        match line {
            Some(line) => lines.push(line),
            None => unmatched += 1,
        }
        progress.send(Progress { done, of }).await.map_err(|_| Error::Gone)?;
    }
    let manifest = &request.package.manifest;
    let mut storms = BTreeMap::new();
    for (_, host) in lines.iter().flat_map(|line| &line.subjects) {
        if !storms.contains_key(host) {
            storms.insert(host.clone(), parts.storm(host).await);
        }
    }
    count::brake(&mut lines, &manifest.name, &parts.windows(manifest), &storms);
    let (totals, targets) = (count::totals(of, unmatched, &lines), count::by_target(&lines));
    lines.drain(..lines.len().saturating_sub(LINES_MAX));
    let now = parts.clock.now().unix_ms;
    let backtest = Backtest {
        backtest: id::new("t"),
        runbook: request.package.name.clone(),
        version: request.package.version.clone(),
        digest: request.package.digest.clone(),
        by: request.by.clone(),
        at: stamp(now),
        since: stamp(request.since),
        totals,
        truncated,
        targets,
        lines,
    };
    keep(&*parts.store, &backtest, now).await?;
    Ok(backtest)
}

async fn keep(store: &dyn store::Store, backtest: &Backtest, at: u64) -> Result<(), Error> {
    let row = BacktestRow {
        id: backtest.backtest.clone(),
        runbook: backtest.runbook.clone(),
        digest: backtest.digest.clone(),
        by: backtest.by.clone(),
        at,
        view: serde_json::to_value(backtest).unwrap_or_default(),
    };
    Ok(store.put_backtest(row).await?)
}

/// Episodes since then, oldest first, and whether there are more.
async fn episodes(store: &dyn store::Store, since: u64) -> Result<(Vec<EpisodeRow>, bool), Error> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let filter = EpisodeFilter { since: Some(since), cursor: cursor.take(), ..EpisodeFilter::default() };
        let (page, next) = store.episodes(filter).await?;
        found.extend(page);
        cursor = next;
        if cursor.is_none() || found.len() >= EPISODES_MAX {
            break;
        }
    }
    let truncated = cursor.is_some() || found.len() > EPISODES_MAX;
    found.truncate(EPISODES_MAX);
    found.reverse();
    Ok((found, truncated))
}

fn stamp(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", at.unwrap_or_default())
}

fn alert_of(episode: &EpisodeRow) -> Alert {
    Alert {
        status: Status::Firing,
        labels: episode.labels.clone(),
        annotations: episode.annotations.clone(),
        starts_at: jiff::Timestamp::from_millisecond(episode.starts_at).unwrap_or_default(),
        ends_at: None,
        generator_url: String::new(),
        fingerprint: episode.fingerprint.clone(),
    }
}

/// What it would have done about one episode; `None` when that would not have started it.
async fn judged(runner: &Runner, intake: &Intake, request: &Request, episode: EpisodeRow) -> Option<Line> {
    let alert = alert_of(&episode);
    let manifest = &request.package.manifest;
    let start = intake.would_start(&alert, manifest).ok()?;
    let line = |verdict, sentence: String| Line {
        episode: episode.id.clone(),
        alert: episode.name.clone(),
        at: stamp(episode.first_heard),
        target: None,
        verdict,
        changes: Vec::new(),
        outcome: None,
        sentence,
        assumed: 0,
        at_ms: episode.first_heard,
        subjects: Vec::new(),
    };
    let parameters = match manifest.parameters_from(&start.parameters) {
        Ok(parameters) => parameters,
        Err(misfits) => {
            let why = crate::intake::sentences(&misfits);
            return Some(line(Verdict::Failed, format!("its parameters do not fit: {why}")));
        }
    };
    let snapshot: Option<Snapshot> = serde_json::from_value(episode.snapshot.clone()).ok();
    let past = Arc::new(Past::over(
        world(snapshot.as_ref(), episode.first_heard),
        Some((runner.parts().driver.clone(), episode.first_heard)),
    ));
    let aimed = runner.aim().find(&*past, &manifest.target, &start.hint).await;
    let (host, target) = match aimed {
        Aimed::Nothing { host } => (host, None),
        Aimed::At(resolved) => (resolved.target.host.clone(), Some(resolved)),
        Aimed::Each(_) | Aimed::NoTarget(_) | Aimed::Ambiguous(_) | Aimed::Unreachable(_) => {
            return Some(line(Verdict::Unknown, missing(snapshot.as_ref())));
        }
    };
    let values = parameters.into_iter();
    let header = Header {
        run: episode.id.clone(),
        mode: Mode::Plan,
        stage: Stage::Live,
        trigger: "alert".to_owned(),
        episode: Some(episode.id.clone()),
        alert: Some(input_of(&alert)),
        target: target.as_ref().map(|resolved| resolved.target.clone()),
        subject: target.as_ref().map(|resolved| resolved.subject.clone()),
        host,
        parameters: values.map(|(name, value)| (name, serde_json::to_value(value).unwrap_or_default())).collect(),
        limits: runner.parts().limits(manifest),
        at: episode.first_heard,
        ..pinned(&request.package)
    };
    let clock = Arc::new(Virtual(past.world()));
    let over = rehearse::Stage { driver: past, clock, policy: None, kept: Rehearsed::alone(BTreeMap::new()) };
    let rehearsed = rehearse(runner.parts(), &request.package, Journal::new(header), over);
    match tokio::time::timeout(EPISODE_WITHIN, rehearsed).await {
        Ok(rehearsal) => Some(told(line(Verdict::Nothing, String::new()), target.as_deref(), &rehearsal)),
        Err(_) => Some(line(Verdict::Failed, format!("not done within {} s", EPISODE_WITHIN.as_secs()))),
    }
}

fn missing(snapshot: Option<&Snapshot>) -> String {
    match snapshot {
        None => "what its target was like is not recorded".to_owned(),
        Some(snapshot) => format!("it is about something else than {}, which was recorded", snapshot.target),
    }
}

/// The world of an episode: the host with the one container that was recorded.
fn world(snapshot: Option<&Snapshot>, at: u64) -> World {
    let mut world = World::new(at);
    if let Some(Snapshot { target, details, .. }) = snapshot {
        world.add_container(&target.host, Container::from_details(details));
    }
    world
}

fn told(mut line: Line, target: Option<&Resolved>, rehearsal: &Rehearsal) -> Line {
    let views = plan::effects(&rehearsal.journal);
    let changes = |decisions: &[&str]| -> Vec<&EffectView> {
        let mutates = |view: &&EffectView| Effect::find(&view.effect).is_some_and(|info| info.class == Class::Mutate);
        views.iter().filter(mutates).filter(|view| decisions.contains(&view.decision.as_str())).collect()
    };
    let (acts, asks, refused) = (changes(&["allow"]), changes(&["ask"]), changes(&["deny", "limited"]));
    let acts: Vec<&EffectView> = acts.into_iter().filter(|view| view.error.is_none()).collect();
    line.verdict = match (refused.first(), asks.first(), acts.first()) {
        (Some(_), _, _) => Verdict::Refused,
        (None, Some(_), _) => Verdict::Asks,
        (None, None, Some(_)) => Verdict::Acts,
        (None, None, None) if rehearsal.fault.is_some() || rehearsal.outcome == Outcome::Failed => Verdict::Failed,
        (None, None, None) => Verdict::Nothing,
    };
    let summary = plan::effects(&rehearsal.journal);
    line.assumed = u32::try_from(summary.iter().filter(|view| view.certainty == "assumed").count()).unwrap_or(u32::MAX);
    line.changes = acts.iter().chain(&asks).chain(&refused).map(|view| view.sentence.clone()).collect();
    line.target = target.map(|resolved| resolved.target.to_string());
    line.outcome = Some(rehearsal.outcome.name().to_owned());
    line.sentence = match refused.first() {
        Some(view) => view.error.clone().unwrap_or_default(),
        None => rehearsal.sentence.clone(),
    };
    let subject = |view: &&EffectView| {
        let Target { host, .. } = view.target.clone()?;
        // The run's own target is counted by its subject, others by their name.
        let own = target.filter(|own| view.target.as_ref() == Some(&own.target)).map(|own| own.subject.clone());
        Some((own.or_else(|| view.target.as_ref().map(ToString::to_string))?, host))
    };
    line.subjects = acts.iter().filter_map(subject).collect();
    line
}
