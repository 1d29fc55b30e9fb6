//! Playing a scenario: aim, rehearse over the world, look at the world afterwards.
//!
//! Deliberately not here: whether it came out as expected.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use sandbook_core::journal::{AlertInput, Header, Journal, Limits, Record};
use sandbook_core::manifest::Limits as Ceilings;
use sandbook_core::run::{Mode, Outcome, Stage};
use sandbook_core::world::World;

use super::cover::{MARK, Marked, Point, mark};
use super::format::{HOST_DEFAULT, Scenario};
use crate::clock::Virtual;
use crate::config::Config;
use crate::guest::{Code, Sandbox};
use crate::library::Package;
use crate::metrics::Metrics;
use crate::plan::{EffectView, NoteView, effects, notes};
use crate::policy::Policy;
use crate::runner::aim::{Aim, Aimed, Hint};
use crate::runner::drivers::Simulated;
use crate::runner::ledger::Rehearsed;
use crate::runner::rehearse::{Rehearsal, Stage as Setting, rehearse};
use crate::runner::{Brakes, HostMatch, Parts};
use crate::store::Sqlite;

/// The id every scenario's run has, so that it always comes to the same.
const RUN: &str = "r_scenario";

/// An engine without a daemon: nothing of it outlives the process, and its own world is empty.
pub struct Bench {
    parts: Arc<Parts>,
}

/// What came of a scenario.
#[derive(Debug)]
pub struct Played {
    /// How it ended.
    pub outcome: Outcome,
    /// In the runbook's words.
    pub sentence: String,
    /// Where an error it did not handle came from, as `line:column` of the script.
    pub place: Option<(u32, u32)>,
    /// Every slot, in order.
    pub effects: Vec<EffectView>,
    /// What it wrote.
    pub notes: Vec<NoteView>,
    /// As it was before.
    pub before: World,
    /// As it is in the end.
    pub after: World,
    /// Real time, for playing alone.
    pub took: Duration,
}

/// What the scenarios of a package reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Effects that were asked for at least once.
    pub used: BTreeSet<String>,
    /// How scenarios ended.
    pub outcomes: BTreeSet<&'static str>,
    /// Branches; `None` for a component, and for a script that could not be marked.
    pub points: Option<Vec<Point>>,
    /// Which of them were reached.
    pub reached: BTreeSet<usize>,
}

impl Coverage {
    /// For a package none of whose scenarios was played yet.
    pub fn of(package: &Package) -> Coverage {
        Coverage { points: marked(package).map(|marked| marked.points), ..Coverage::default() }
    }

    /// Requested effects that no scenario used.
    pub fn unused<'a>(&self, package: &'a Package) -> Vec<&'a str> {
        let requests = package.manifest.requests.iter().map(String::as_str);
        requests.filter(|request| !self.used.contains(*request)).collect()
    }

    /// Branches that no scenario reached, each line once, in order.
    pub fn unreached(&self) -> Vec<&Point> {
        let points = self.points.iter().flatten().enumerate();
        let mut missed: Vec<&Point> =
            points.filter(|(number, _)| !self.reached.contains(number)).map(|(_, point)| point).collect();
        missed.sort_by_key(|point| point.line);
        missed.dedup_by_key(|point| point.line);
        missed
    }

    /// Takes in what a scenario used.
    pub fn add(&mut self, played: &Played, reached: BTreeSet<usize>) {
        self.used.extend(played.effects.iter().map(|effect| effect.effect.clone()));
        self.outcomes.insert(played.outcome.name());
        self.reached.extend(reached);
    }
}

fn marked(package: &Package) -> Option<Marked> {
    match &package.code {
        Code::Script(source) => mark(source),
        Code::Wasm(_) => None,
    }
}

/// A script that leaves a note wherever it goes may write more than it usually does.
fn with_room(limits: Limits) -> Limits {
    Limits { notes_bytes: Ceilings::NOTES_BYTES_MAX, journal_bytes: Ceilings::JOURNAL_BYTES_MAX, ..limits }
}

impl Bench {
    /// An engine that executes guests in that sandbox.
    ///
    /// # Errors
    /// When the store in memory cannot be made.
    pub fn new(sandbox: Arc<Sandbox>) -> Result<Bench> {
        let world = Arc::new(Mutex::new(World::default()));
        let parts = Parts::new(
            Arc::new(Sqlite::in_memory()?),
            sandbox,
            Arc::new(Simulated(world.clone())),
            Arc::new(Virtual(world)),
            Arc::new(Metrics::default()),
            Mode::Simulate,
            Config::default().limits.clone(),
            Brakes::default(),
            Policy::default(),
        );
        Ok(Bench { parts })
    }

    /// Plays a scenario of a package.
    pub async fn play(&self, package: &Package, scenario: &Scenario) -> Played {
        self.rehearsed(package, scenario).await.0
    }

    /// The same, with the rehearsal where there was a target.
    pub async fn rehearsed(&self, package: &Package, scenario: &Scenario) -> (Played, Option<Rehearsal>) {
        let began = Instant::now();
        let world = Arc::new(Mutex::new(scenario.world.clone()));
        let header = match self.header(package, scenario, &world).await {
            Ok(header) => header,
            Err((outcome, sentence)) => {
                let played = Played {
                    outcome,
                    sentence,
                    place: None,
                    effects: Vec::new(),
                    notes: Vec::new(),
                    before: scenario.world.clone(),
                    after: scenario.world.clone(),
                    took: began.elapsed(),
                };
                return (played, None);
            }
        };
        let rehearsal = self.rehearse(package, scenario, header, &world).await;
        let after = world.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let played = Played {
            outcome: rehearsal.outcome,
            sentence: rehearsal.sentence.clone(),
            place: rehearsal.place.as_ref().map(|place| (place.line, place.column)),
            effects: effects(&rehearsal.journal),
            notes: notes(&rehearsal.records),
            before: scenario.world.clone(),
            after,
            took: began.elapsed(),
        };
        (played, Some(rehearsal))
    }

    /// Which branches of a script a scenario reaches: another rehearsal, of the marked script.
    pub async fn branches(&self, package: &Package, scenario: &Scenario) -> BTreeSet<usize> {
        let Some(marked) = marked(package) else { return BTreeSet::new() };
        let mut package = package.clone();
        package.code = Code::Script(marked.source.into());
        let world = Arc::new(Mutex::new(scenario.world.clone()));
        let Ok(header) = self.header(&package, scenario, &world).await else { return BTreeSet::new() };
        let header = Header { limits: with_room(header.limits), ..header };
        let rehearsal = self.rehearse(&package, scenario, header, &world).await;
        rehearsal.records.iter().filter_map(mark_in).collect()
    }

    async fn rehearse(
        &self,
        package: &Package,
        scenario: &Scenario,
        header: Header,
        world: &Arc<Mutex<World>>,
    ) -> Rehearsal {
        let setting = Setting {
            driver: Arc::new(Simulated(world.clone())),
            clock: Arc::new(Virtual(world.clone())),
            // It was understood when the file was read.
            policy: Some(Arc::new(scenario.policy.policy().unwrap_or_default())),
            kept: Rehearsed::alone(scenario.world.memory.clone()),
        };
        rehearse(&self.parts, package, Journal::new(header), setting).await
    }

    /// What the run begins with, or how it ends before it does.
    async fn header(
        &self,
        package: &Package,
        scenario: &Scenario,
        world: &Arc<Mutex<World>>,
    ) -> Result<Header, (Outcome, String)> {
        let manifest = &package.manifest;
        let names: Vec<String> = scenario.world.hosts.keys().cloned().collect();
        let names = if names.is_empty() { vec![HOST_DEFAULT.to_owned()] } else { names };
        let hosts = names.into_iter().map(|name| HostMatch { name, matchers: Vec::new() }).collect();
        let hint = Hint {
            reference: scenario.target.as_ref().map(|target| target.get_ref().clone()),
            labels: scenario.alert.as_ref().map(|alert| alert.labels.clone()).unwrap_or_default(),
            ..Hint::default()
        };
        let driver = Simulated(world.clone());
        let (host, target) = match Aim::new(hosts).find(&driver, &manifest.target, &hint).await {
            Aimed::Nothing { host } => (host, None),
            Aimed::At(resolved) => (resolved.target.host.clone(), Some(*resolved)),
            Aimed::Each(members) => {
                let sentence = format!("started one run for each of {}", members.join(", "));
                return Err((Outcome::Done, sentence));
            }
            Aimed::NoTarget(why) => return Err((Outcome::NoTarget, why)),
            Aimed::Ambiguous(why) => return Err((Outcome::AmbiguousTarget, why)),
            Aimed::Unreachable(error) => return Err((Outcome::Failed, error.to_string())),
        };
        let parameters = manifest.parameters_from(&scenario.texts()).map_err(|misfits| {
            let why = crate::intake::sentences(&misfits);
            (Outcome::Failed, format!("the parameters do not fit: {why}"))
        })?;
        let parameters = parameters.into_iter();
        let parameters = parameters.map(|(name, value)| (name, serde_json::to_value(value).unwrap_or_default()));
        let alert = scenario.alert.as_ref().map(|alert| AlertInput {
            name: alert.labels.get("alertname").cloned().unwrap_or_default(),
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: time(scenario.world.now_ms),
            fingerprint: "0000000000000000".to_owned(),
        });
        let (target, subject) = target.map(|resolved| (resolved.target, resolved.subject)).unzip();
        Ok(Header {
            run: RUN.to_owned(),
            mode: Mode::Simulate,
            stage: Stage::Live,
            trigger: if alert.is_some() { "alert" } else { "manual" }.to_owned(),
            alert,
            target,
            subject,
            host,
            parameters: parameters.collect(),
            limits: self.parts.limits(manifest),
            seed: scenario.world.seed,
            at: scenario.world.now_ms,
            ..crate::runner::execute::pinned(package)
        })
    }
}

fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.unwrap_or_default().to_string()
}

fn mark_in(record: &Record) -> Option<usize> {
    let Record::Note { data, .. } = record else { return None };
    data.get("message")?.as_str()?.strip_prefix(MARK)?.parse().ok()
}
