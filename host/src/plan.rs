//! Plans: what a runbook would do on the real world now, and holding it to that.
//!
//! A plan is a rehearsal over an [`Overlay`]: reads are real, changes are simulated, nothing is ever changed. It is kept
//! with its records, so that it can be reviewed, replayed and applied. Applying starts a run that may do the plan's
//! changes and nothing else ([`apply`]); what versions in shadow would have done is compared in [`compare`].
//!
//! Deliberately not here: HTTP, and how a plan looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandbook_core::effect::Op as _;
use sandbook_core::effect::incidents::{Incident, Similar};
use sandbook_core::journal::{AlertInput, Bound, Header, Journal, Record};
use sandbook_core::run::{Mode, Outcome, Stage};
use sandbook_core::target::{Kind, Target};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::clock::Virtual;
use crate::guest::Place;
use crate::library::Package;
use crate::runner::Runner;
use crate::runner::aim::{Aimed, Hint};
use crate::runner::ledger::Rehearsed;
use crate::runner::overlay::{Assumption, Overlay};
use crate::runner::rehearse::{self, Rehearsal, rehearse};
use crate::store::{PlanRow, id};

mod apply;
pub mod compare;
mod simulate;
#[cfg(test)]
mod tests;
mod view;

pub use view::{EffectView, NoteView, Summary, acts, effects, notes};

/// How long a plan can be applied, in milliseconds: who reviews it longer than this reviews another world.
pub const EXPIRES_MS: u64 = 30 * 60_000;
/// How long making one may take: somebody waits for it, and a request is answered within half a minute.
pub const MADE_WITHIN: Duration = Duration::from_secs(25);
/// Plans made at once: each holds a guest's memory and asks Docker.
pub const AT_ONCE_MAX: usize = 8;
/// Plans that wait for their turn: who comes after them is told to try again.
pub const WAITING_MAX: usize = 256;

/// What is to be planned.
#[derive(Clone)]
pub struct Request {
    /// The version.
    pub package: Arc<Package>,
    /// Its effective stage.
    pub stage: Stage,
    /// What it is about.
    pub hint: Hint,
    /// What starts it.
    pub alert: Option<AlertInput>,
    /// Of which episode.
    pub episode: Option<String>,
    /// As written; the manifest says what they mean.
    pub parameters: BTreeMap<String, String>,
    /// In the place of what nobody can know.
    pub assumptions: Vec<Assumption>,
    /// Who asks.
    pub by: String,
    /// Its messages are really sent.
    pub notify: bool,
    /// They are going to apply it, so that their word stands in for policies that permit.
    pub to_apply: bool,
}

/// A plan as everybody sees it. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// Its id.
    pub plan: String,
    pub runbook: String,
    pub version: String,
    pub digest: String,
    /// Of that version: what would have to change for it to act by itself.
    pub stage: String,
    #[schema(value_type = Object)]
    pub target: Option<Target>,
    /// Name of the alert it is for.
    pub alert: Option<String>,
    /// Who made it.
    pub by: String,
    /// It counts on whoever made it applying it: their word stands in for policies that permit.
    pub to_apply: bool,
    /// When it was made.
    pub at: String,
    /// Until when it can be applied.
    pub expires_at: String,
    /// What the runbook comes to.
    pub outcome: String,
    /// In its own words.
    pub sentence: String,
    /// False: something in it is assumed, so that it may turn out otherwise.
    pub complete: bool,
    pub summary: Summary,
    pub effects: Vec<EffectView>,
    /// What the runbook wrote.
    pub notes: Vec<NoteView>,
    /// Where an error it did not handle came from.
    #[schema(value_type = Object)]
    pub place: Option<Place>,
    /// Why it was ended before its end.
    pub fault: Option<String>,
    /// The run that applied it.
    pub applied: Option<String>,
}

/// Why a plan cannot be made or applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A Docker host does not answer.
    #[error("the target cannot be looked up: {0}")]
    Unreachable(String),
    /// Too many are being made.
    #[error("{AT_ONCE_MAX} plans are being made and {WAITING_MAX} wait")]
    Busy,
    /// It is not made in time.
    #[error("the plan is not made within {} s", MADE_WITHIN.as_secs())]
    TookTooLong,
    /// It is too old.
    #[error("plan {plan} expired at {at}")]
    Expired {
        /// Which.
        plan: String,
        /// When.
        at: String,
    },
    /// It was applied already.
    #[error("plan {plan} was applied already, by run {run}")]
    Applied {
        /// Which.
        plan: String,
        /// By which run.
        run: String,
    },
    /// What it looked at is no longer so.
    #[error("the world has changed since plan {plan} was made: {what}")]
    Changed {
        /// Which.
        plan: String,
        /// What, in a sentence.
        what: String,
    },
    /// The version it is of is not stored.
    #[error("plan {plan} is of {runbook} {version}, whose package is not stored here ({digest})")]
    Gone {
        /// Which.
        plan: String,
        /// Of which runbook.
        runbook: String,
        /// Its version.
        version: String,
        /// Its digest.
        digest: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

/// Makes plans and applies them.
pub struct Planner {
    runner: Arc<Runner>,
    places: Semaphore,
    waiting: AtomicUsize,
}

/// One of those that wait, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Planner {
    /// A planner over the engine's parts.
    pub fn new(runner: Arc<Runner>) -> Planner {
        Planner { runner, places: Semaphore::new(AT_ONCE_MAX), waiting: AtomicUsize::new(0) }
    }

    /// Makes a plan and keeps it.
    ///
    /// # Errors
    /// When the request makes no sense, the target's host does not answer, or there are too many.
    pub async fn make(&self, request: Request) -> Result<Plan, Error> {
        self.in_turn(Box::pin(self.made(request))).await
    }

    /// One of those that are made at once, and within the time for one.
    async fn in_turn(&self, make: impl Future<Output = Result<Plan, Error>>) -> Result<Plan, Error> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        let waiting = Waiting(&self.waiting);
        // Whoever gives up is out of the queue, and a guest that is dropped ends.
        let made = async {
            let place = self.places.acquire().await;
            drop(waiting);
            let made = make.await;
            drop(place);
            made
        };
        tokio::time::timeout(MADE_WITHIN, made).await.map_err(|_| Error::TookTooLong)?
    }

    async fn made(&self, request: Request) -> Result<Plan, Error> {
        let parts = self.runner.parts();
        let now = parts.clock.now().unix_ms;
        let plan = id::new("p");
        let spec = &request.package.manifest.target;
        let header = match self.runner.aim().find(&*parts.driver, spec, &request.hint).await {
            Aimed::Nothing { host } => self.header(&request, &plan, now, host, None)?,
            Aimed::At(resolved) => {
                let host = resolved.target.host.clone();
                self.header(&request, &plan, now, host, Some((resolved.target, resolved.subject)))?
            }
            Aimed::NoTarget(why) => return self.unaimed(&request, &plan, now, Outcome::NoTarget, &why).await,
            Aimed::Ambiguous(why) => return self.unaimed(&request, &plan, now, Outcome::AmbiguousTarget, &why).await,
            Aimed::Each(members) => {
                let several = format!("it starts one run for each of {}; plan one of them", members.join(", "));
                return Err(Error::Invalid(several));
            }
            Aimed::Unreachable(error) => return Err(Error::Unreachable(error.to_string())),
        };
        let rehearsal = self.rehearse(&request.package, header, request.assumptions.clone(), request.notify).await;
        let view = describe(&request, &plan, now, &rehearsal);
        self.keep(&request, now, view, rehearsal.records).await
    }

    /// The rehearsal of a runbook over the real world as it is now; its messages are sent only where that is wanted.
    async fn rehearse(
        &self,
        package: &Package,
        header: Header,
        assumptions: Vec<Assumption>,
        notify: bool,
    ) -> Rehearsal {
        let parts = self.runner.parts();
        let now = parts.clock.now().unix_ms;
        let recalled = self.recalled(&header, now).await;
        let overlay = Overlay::new(parts.driver.clone(), now, assumptions).telling(notify).recalling(recalled);
        let overlay = Arc::new(overlay);
        let clock = Arc::new(Virtual(overlay.world()));
        let kept = Rehearsed::over(parts.store.clone());
        let stage = rehearse::Stage { driver: overlay, clock, policy: None, kept };
        rehearse(parts, package, Journal::new(header), stage).await
    }

    /// Earlier incidents, for a runbook that asks for them.
    async fn recalled(&self, header: &Header, now: u64) -> Option<Result<Vec<Incident>, sandbook_core::error::Error>> {
        if !header.requests.iter().any(|effect| effect == Similar::NAME) {
            return None;
        }
        let parts = self.runner.parts();
        let details = match &header.target {
            Some(target) if target.kind == Kind::Container => parts.driver.details_as_resolved(target).await.ok(),
            Some(_) | None => None,
        };
        let state = details.as_ref().map(|details| &details.state);
        Some(crate::similar::of_plan(&*parts.store, header, state, now).await)
    }

    fn header(
        &self,
        request: &Request,
        plan: &str,
        now: u64,
        host: String,
        target: Option<(Target, String)>,
    ) -> Result<Header, Error> {
        let manifest = &request.package.manifest;
        let parameters = manifest.parameters_from(&request.parameters).map_err(|misfits| {
            Error::Invalid(format!("the parameters do not fit: {}", crate::intake::sentences(&misfits)))
        })?;
        let parameters = parameters.into_iter();
        let parameters = parameters.map(|(name, value)| (name, serde_json::to_value(value).unwrap_or_default()));
        let run = Planned { id: plan, now, host, target, parameters: parameters.collect() };
        Ok(run.header(request, self.runner.parts().limits(manifest)))
    }

    /// A plan that ends before it begins, as the run would.
    async fn unaimed(
        &self,
        request: &Request,
        plan: &str,
        now: u64,
        outcome: Outcome,
        why: &str,
    ) -> Result<Plan, Error> {
        let header = self.header(request, plan, now, String::new(), None)?;
        let records = vec![Record::Begun { header: Box::new(header.clone()) }];
        let rehearsal = Rehearsal {
            records: records.clone(),
            journal: Journal::new(header),
            outcome,
            sentence: why.to_owned(),
            place: None,
            fault: None,
        };
        self.keep(request, now, describe(request, plan, now, &rehearsal), records).await
    }

    async fn keep(&self, request: &Request, now: u64, view: Plan, records: Vec<Record>) -> Result<Plan, Error> {
        let row = PlanRow {
            id: view.plan.clone(),
            runbook: view.runbook.clone(),
            digest: view.digest.clone(),
            by: request.by.clone(),
            at: now,
            expires_at: now + EXPIRES_MS,
            view: serde_json::to_value(&view).unwrap_or_default(),
            records,
            applied: None,
        };
        self.runner.parts().store.put_plan(row).await?;
        Ok(view)
    }
}

/// A time as people and programs read it.
pub(crate) fn stamp(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", at.unwrap_or_default())
}

/// What is known of a plan before it is rehearsed.
struct Planned<'a> {
    id: &'a str,
    now: u64,
    host: String,
    target: Option<(Target, String)>,
    parameters: indexmap::IndexMap<String, serde_json::Value>,
}

impl Planned<'_> {
    fn header(self, request: &Request, limits: sandbook_core::journal::Limits) -> Header {
        let (target, subject) = self.target.unzip();
        let package = &request.package;
        Header {
            run: self.id.to_owned(),
            mode: Mode::Plan,
            stage: request.stage,
            trigger: match (request.to_apply, &request.alert) {
                (true, _) => "apply",
                (false, Some(_)) => "alert",
                (false, None) => "manual",
            }
            .to_owned(),
            episode: request.episode.clone(),
            alert: request.alert.clone(),
            target,
            subject,
            host: self.host,
            parameters: self.parameters,
            limits,
            // It says nothing about which changes: those are what it is to find out.
            bound: request
                .to_apply
                .then(|| Box::new(Bound { plan: self.id.to_owned(), by: request.by.clone(), acts: Vec::new() })),
            at: self.now,
            ..crate::runner::execute::pinned(package)
        }
    }
}

fn describe(request: &Request, plan: &str, now: u64, rehearsal: &Rehearsal) -> Plan {
    let package = &request.package;
    let effects = view::effects(&rehearsal.journal);
    let summary = view::summary(&effects);
    Plan {
        plan: plan.to_owned(),
        runbook: package.manifest.name.clone(),
        version: package.version.clone(),
        digest: package.digest.clone(),
        stage: request.stage.name().to_owned(),
        target: rehearsal.journal.header.target.clone(),
        alert: request.alert.as_ref().map(|alert| alert.name.clone()),
        by: request.by.clone(),
        to_apply: request.to_apply,
        at: stamp(now),
        expires_at: stamp(now + EXPIRES_MS),
        outcome: rehearsal.outcome.name().to_owned(),
        sentence: rehearsal.sentence.clone(),
        complete: summary.assumed == 0 && rehearsal.fault.is_none(),
        summary,
        effects,
        notes: view::notes(&rehearsal.records),
        place: rehearsal.place.clone(),
        fault: rehearsal.fault.clone(),
        applied: None,
    }
}

/// What a run that applies a plan is held to.
pub fn bound(row: &PlanRow, by: &str) -> Option<Bound> {
    let journal = Journal::fold(row.records.clone()).ok()?;
    Some(Bound { plan: row.id.clone(), by: by.to_owned(), acts: acts(&journal) })
}
