//! One look at whether a run helped: the runbook's own `verify`, else the manifest's condition.
//!
//! Every look goes through `perform` like a run does, over a journal that is kept nowhere, and may only observe. So what
//! a look can see is what the gate lets a runbook see, and drivers have one caller.
//!
//! Deliberately not here: how often to look, and what follows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sandbook_core::effect::docker::{
    ContainerDetails, ContainerFilter, ContainerState, ContainerSummary, Health, InspectContainer, ListContainers,
    RecreateContainer, Recreated, Status,
};
use sandbook_core::effect::metrics::{Query, Sample};
use sandbook_core::effect::{Class, Effect, Op};
use sandbook_core::error::Error;
use sandbook_core::gate::Session;
use sandbook_core::journal::{Answer, Header, Journal};
use sandbook_core::manifest::Condition;
use sandbook_core::run::Outcome;
use sandbook_core::target::{Kind, Target};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::execute::input;
use super::super::ledger::{Ledger, Rehearsed};
use super::super::perform::{Attempt, Why};
use super::super::{Parts, Runner};
use crate::guest::{Call, Code, Ended, Entry, Perform as _};
use crate::library::Package;
use crate::store::RunRow;

/// A `verify` that looks for longer is stopped: it is polled, so one look need not wait for anything.
const LOOK_WALL_MS_MAX: u64 = 30_000;
/// One look at a condition of the engine: drivers have deadlines of their own, well below.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// What a look says; each with why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Holds(String),
    NotYet(String),
    Cannot(String),
    /// Looking again is of no use.
    Never(String),
}

/// What to look at.
pub(super) struct Lookout {
    header: Header,
    what: What,
}

enum What {
    /// The runbook's own.
    Export(Code),
    /// The manifest's, on what the run was about.
    Condition(Condition, Option<Target>),
    /// There is nothing.
    Nothing(String),
}

impl Runner {
    /// What tells whether a run helped.
    pub(super) async fn lookout(&self, row: &RunRow, package: Option<&Package>) -> anyhow::Result<Lookout> {
        let records = self.parts.store.records_after(&row.id, None).await?;
        let journal = Journal::fold(records.into_iter().map(|(_, record)| record))
            .map_err(|error| anyhow::anyhow!("its journal cannot be read: {error}"))?;
        let target = row.target.clone().map(|target| followed(target, &journal));
        let mut header = journal.header;
        let Some(package) = package else {
            let what = What::Nothing(format!("its version {} is no longer stored", row.digest));
            return Ok(Lookout { header, what });
        };
        let own = self.parts.sandbox.report(&package.code).await.is_ok_and(|report| report.has_verify);
        if own {
            header.limits.wall_ms = header.limits.wall_ms.min(LOOK_WALL_MS_MAX);
            return Ok(Lookout { header, what: What::Export(package.code.clone()) });
        }
        header.requests =
            [InspectContainer::NAME, ListContainers::NAME, Query::NAME].iter().map(|name| (*name).to_owned()).collect();
        let condition = package.manifest.verify.as_ref().map_or(Condition::Healthy, |verify| verify.condition.clone());
        Ok(Lookout { header, what: What::Condition(condition, target) })
    }
}

/// The instance a run left behind: where it made its target anew, that is the last one it made.
fn followed(mut target: Target, journal: &Journal) -> Target {
    for slot in &journal.slots {
        let Some(Answer::Ok(value)) = slot.answer.as_ref().filter(|_| slot.request.effect == RecreateContainer::NAME)
        else {
            continue;
        };
        if let Ok(made) = serde_json::from_value::<Recreated>(value.clone())
            && target.id.as_ref() == Some(&made.old_id)
        {
            target.id = Some(made.id);
        }
    }
    target
}

impl Lookout {
    /// Looks once.
    pub(super) async fn look(&self, parts: &Arc<Parts>) -> Look {
        let attempt = Attempt::observing(parts.clone(), self.header.clone());
        let look = async {
            match &self.what {
                What::Nothing(why) => Look::Never(why.clone()),
                What::Export(code) => self.ask_runbook(parts, &attempt, code).await,
                What::Condition(Condition::Promql(query), _) => query_holds(&attempt, query).await,
                What::Condition(condition, target) => target_holds(&attempt, condition, target.as_ref()).await,
            }
        };
        let late = |_| Look::Cannot(format!("looking took longer than {} s", LOOK_MAX.as_secs()));
        tokio::time::timeout(LOOK_MAX, look).await.unwrap_or_else(late)
    }

    async fn ask_runbook(&self, parts: &Parts, attempt: &Arc<Attempt>, code: &Code) -> Look {
        let input = input(&self.header);
        let call = Call {
            code,
            entry: Entry::Verify,
            input: &input,
            limits: &self.header.limits,
            seed: self.header.seed,
            door: attempt.clone(),
        };
        match parts.sandbox.run(call).await {
            Ended::Outcome(Outcome::NothingToDo, _) => Look::NotYet("the runbook's `verify` says no".to_owned()),
            Ended::Outcome(..) => Look::Holds("the runbook's `verify` says yes".to_owned()),
            Ended::Error(error, place) => {
                let line = place.filter(|place| place.line > 0).map(|place| format!(" in line {}", place.line));
                Look::Cannot(format!("the runbook's `verify` failed{}: {error}", line.unwrap_or_default()))
            }
            Ended::Trap { message, .. } => Look::Cannot(format!("the runbook's `verify` broke: {message}")),
            Ended::Stopped => Look::Cannot(match attempt.take_why() {
                Some(Why::Ended(fault)) => format!("the runbook's `verify` was ended: {fault}"),
                Some(Why::Waits(_) | Why::Asks(_) | Why::Cancelled(_) | Why::Broken(_)) | None => {
                    "the runbook's `verify` was stopped".to_owned()
                }
            }),
        }
    }
}

impl Attempt {
    /// An attempt that may only observe and is kept nowhere.
    fn observing(parts: Arc<Parts>, header: Header) -> Arc<Attempt> {
        let session = Session::new(Journal::new(header));
        let ledger = Ledger::Memory(Rehearsed::default());
        let attempt = Attempt::over(parts, ledger, session, Vec::new(), Instant::now(), Default::default());
        attempt.observing.store(true, Ordering::Release);
        attempt
    }
}

/// Refuses what a look may not do.
pub(in crate::runner) fn only_observes(effect: &Effect) -> Result<(), Error> {
    match effect.class() {
        Class::Ambient | Class::Note | Class::Observe => Ok(()),
        Class::State | Class::Wait | Class::Egress | Class::Tell | Class::Mutate => {
            let class = effect.class().name();
            Err(Error::denied(format!("`verify` may only observe; {} is of class {class}", effect.name())))
        }
    }
}

/// Asks through `perform`.
async fn observe<T: DeserializeOwned>(attempt: &Attempt, effect: Effect) -> Result<T, String> {
    let answer: Value = match attempt.perform(effect).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Err("the look was stopped".to_owned()),
    };
    serde_json::from_value(answer).map_err(|error| format!("the answer has an unknown shape: {error}"))
}

/// A query holds when it has a result and no value of it is zero. NaN is none: it says that nothing was measured.
async fn query_holds(attempt: &Attempt, query: &str) -> Look {
    let samples: Vec<Sample> = match observe(attempt, Effect::Query(Query { promql: query.to_owned() })).await {
        Ok(samples) => samples,
        Err(why) => return Look::Cannot(format!("{query} cannot be asked: {why}")),
    };
    match samples.iter().find(|sample| sample.value == 0.0 || sample.value.is_nan()) {
        Some(sample) => Look::NotYet(format!("{query} is {}", sample.value)),
        None if samples.is_empty() => Look::NotYet(format!("{query} has no result")),
        None => Look::Holds(format!("{query} holds")),
    }
}

async fn target_holds(attempt: &Attempt, condition: &Condition, target: Option<&Target>) -> Look {
    let Some(target) = target else { return Look::Never("it is about nothing that could be looked at".to_owned()) };
    match target.kind {
        Kind::Container => container_holds(attempt, condition, target).await,
        Kind::Service => service_holds(attempt, condition, target).await,
        Kind::Host | Kind::None => {
            Look::Never(format!("{target} has no health; give the manifest a condition in PromQL"))
        }
    }
}

async fn container_holds(attempt: &Attempt, condition: &Condition, target: &Target) -> Look {
    let inspect = Effect::InspectContainer(InspectContainer { container: target.handle() });
    let details: ContainerDetails = match observe(attempt, inspect).await {
        Ok(details) => details,
        Err(why) => return Look::Cannot(why),
    };
    if target.id.as_ref().is_some_and(|id| *id != details.id) {
        return Look::Never("the container it acted on was replaced".to_owned());
    }
    state_holds(condition, &details.state)
}

/// Every member must be well.
async fn service_holds(attempt: &Attempt, condition: &Condition, target: &Target) -> Look {
    let (project, service) = target.name.split_once('/').unwrap_or(("", target.name.as_str()));
    let filter = ContainerFilter {
        all: Some(true),
        project: Some(project.to_owned()).filter(|project| !project.is_empty()),
        service: Some(service.to_owned()),
        ..ContainerFilter::default()
    };
    let members: Vec<ContainerSummary> = match observe(attempt, Effect::ListContainers(ListContainers { filter })).await
    {
        Ok(members) => members,
        Err(why) => return Look::Cannot(why),
    };
    for member in &members {
        let container = format!("{}/{}", target.host, member.name);
        let inspect = Effect::InspectContainer(InspectContainer { container });
        match observe::<ContainerDetails>(attempt, inspect).await.map(|details| state_holds(condition, &details.state))
        {
            Ok(Look::Holds(_)) => {}
            Ok(other) => return other.about(&member.name),
            Err(why) => return Look::Cannot(why),
        }
    }
    if members.is_empty() {
        return Look::NotYet(format!("{target} has no containers"));
    }
    Look::Holds("all of its containers are well".to_owned())
}

impl Look {
    fn about(self, name: &str) -> Look {
        let named = |why: String| format!("{name}: {why}");
        match self {
            Look::Holds(why) => Look::Holds(named(why)),
            Look::NotYet(why) => Look::NotYet(named(why)),
            Look::Cannot(why) => Look::Cannot(named(why)),
            Look::Never(why) => Look::Never(named(why)),
        }
    }
}

fn state_holds(condition: &Condition, state: &ContainerState) -> Look {
    let needs_health = match condition {
        Condition::Healthy => true,
        Condition::Running | Condition::Promql(_) => false,
    };
    match (state.status, state.health) {
        (Status::Running, Health::Healthy) => Look::Holds("it runs and is healthy".to_owned()),
        (Status::Running, Health::None) => Look::Holds("it runs; it has no health check".to_owned()),
        (Status::Running, Health::Starting | Health::Unhealthy) if !needs_health => Look::Holds("it runs".to_owned()),
        (Status::Running, Health::Starting) => Look::NotYet("it was still starting".to_owned()),
        (Status::Running, Health::Unhealthy) => Look::NotYet("it was still unhealthy".to_owned()),
        (
            Status::Created | Status::Paused | Status::Restarting | Status::Removing | Status::Exited | Status::Dead,
            _,
        ) => Look::NotYet("it did not run".to_owned()),
    }
}
