//! Schedules as triggers: each time of a `[[trigger]] schedule` starts its runs once, whatever crashes.
//!
//! Every second the schedules of the versions in force are compared with the clock; [`sandbook_core::schedule`] says what is
//! due, and one transaction of the store settles a time and queues its runs. The same schedule in a newer version is the
//! same schedule, so an upgrade makes nothing twice. What is new is followed from now on.
//!
//! A pause that names the runbook skips its times; `all` and the stop switch hold changes back as in every run, so a report
//! still comes. A time whose run before is not over is skipped. Deliberately not here: what a run may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use globset::Glob;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sandbook_core::manifest::Trigger;
use sandbook_core::run::Stage;
use sandbook_core::schedule::{Due, Patience, Schedule, Step};

use crate::intake::Intake;
use crate::library::{Active, Library};
use crate::runner::aim::Hint;
use crate::runner::{Queued, Runner, row_of};
use crate::store::{Fire, FireResult, FireRow, Fired, Pause, Result, ScheduleKey, Store};

#[cfg(test)]
mod tests;

/// How often the clock is looked at: cron counts in minutes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A clock that went back further than this, in milliseconds, is believed; less is a correction and waited for.
const CLOCK_BACK_MS: u64 = 300_000;
/// Coming times shown of one schedule at the most.
pub const SHOWN_MAX: usize = 100;
/// Where there is no time zone.
const UTC: &str = "UTC";

/// Follows schedules.
pub struct Schedules {
    store: Arc<dyn Store>,
    library: Arc<Library>,
    runner: Arc<Runner>,
    intake: Arc<Intake>,
    known: tokio::sync::Mutex<Known>,
    /// When each is due next, in milliseconds; for the figures.
    coming: Mutex<BTreeMap<String, u64>>,
}

/// What was found out in earlier looks.
#[derive(Default)]
struct Known {
    loaded: bool,
    settled: BTreeMap<ScheduleKey, Settled>,
}

#[derive(Clone, Copy)]
struct Settled {
    /// Everything due until then, in milliseconds.
    seen: u64,
    /// When the next is due, if that was found out.
    next: Option<u64>,
    /// A version in force had it at the last look.
    followed: bool,
}

/// The same schedule in several versions of a runbook; the one that acts first.
struct Group<'a> {
    schedule: Schedule,
    patience: Patience,
    versions: Vec<Version<'a>>,
}

/// A version that has a schedule, and what it gives its runs.
struct Version<'a> {
    active: &'a Active,
    parameters: &'a BTreeMap<String, String>,
}

/// A schedule as people see it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What it is.
    pub key: ScheduleKey,
    /// How far its version is trusted; absent: no version in force has it.
    pub stage: Option<Stage>,
    /// How late is still worth it.
    pub patience: Patience,
    /// What its runs are given, as the trigger says it.
    pub parameters: BTreeMap<String, String>,
    /// What it does now.
    pub state: State,
    /// Why, in a sentence; may be empty.
    pub why: String,
    /// When it is due next.
    pub next: Vec<Due>,
    /// What became of its last time.
    pub last: Option<FireRow>,
}

/// What a schedule does when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It starts runs that may act.
    On,
    /// It starts runs that only watch.
    Watching,
    /// A pause skips its times.
    Paused,
    /// Its runs may change nothing while everything is stopped.
    Stopped,
    /// A parameter has no value, so its runs do not start.
    Unfit,
    /// This machine does not know its time zone.
    NoZone,
    /// No version in force has it.
    Gone,
}

impl Group<'_> {
    /// What its runs lack.
    fn misfit(&self) -> Option<String> {
        let first = self.versions.first()?;
        let misfits = first.active.package.manifest.parameters_from(first.parameters).err()?;
        misfits.into_iter().next().map(|misfit| format!("its runs do not start: {}", misfit.message))
    }
}

impl State {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            State::On => "on",
            State::Watching => "watching",
            State::Paused => "paused",
            State::Stopped => "stopped",
            State::Unfit => "unfit",
            State::NoZone => "no-time-zone",
            State::Gone => "gone",
        }
    }
}

impl Schedules {
    /// Follows nothing yet.
    pub fn new(
        store: Arc<dyn Store>,
        library: Arc<Library>,
        runner: Arc<Runner>,
        intake: Arc<Intake>,
    ) -> Arc<Schedules> {
        Arc::new(Schedules { store, library, runner, intake, known: Default::default(), coming: Default::default() })
    }

    /// Looks again and again.
    pub async fn follow(self: Arc<Self>) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!("schedules are not followed for now: {error}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Starts what is due and was not started.
    ///
    /// # Errors
    /// When the store fails; the next look does what this one could not.
    pub async fn look(&self) -> Result<()> {
        let now = self.now();
        let mut known = self.known.lock().await;
        let first = !known.loaded;
        if first {
            let rows = self.store.schedules().await?;
            let settled = |seen| Settled { seen, next: None, followed: true };
            known.settled = rows.into_iter().map(|row| (row.key, settled(row.seen))).collect();
            known.loaded = true;
        }
        let actives = self.library.snapshot();
        let groups = groups(&actives);
        for (key, group) in &groups {
            let Ok(zone) = zone(&key.timezone) else { continue };
            let settled = self.settled(&mut known, key, now, first).await?;
            self.one(&mut known, key, group, &zone, settled, now).await?;
        }
        for (key, settled) in &mut known.settled {
            settled.followed = groups.contains_key(key);
        }
        self.show(&known);
        Ok(())
    }

    /// How far a schedule is settled. What is followed anew, or by a clock that went back, is settled until now.
    async fn settled(&self, known: &mut Known, key: &ScheduleKey, now: u64, first: bool) -> Result<Settled> {
        let before = known.settled.get(key).copied();
        let back = before.is_some_and(|before| before.seen > now.saturating_add(CLOCK_BACK_MS));
        if let Some(before) = before.filter(|before| !back && (before.followed || first)) {
            return Ok(before);
        }
        if back {
            tracing::warn!(runbook = %key.runbook, schedule = %key.schedule, "the clock went back: its times are counted from now on, and none is made twice");
        }
        self.store.follow_schedule(key, now).await?;
        let settled = Settled { seen: now, next: None, followed: true };
        known.settled.insert(key.clone(), settled);
        Ok(settled)
    }

    async fn one(
        &self,
        known: &mut Known,
        key: &ScheduleKey,
        group: &Group<'_>,
        zone: &TimeZone,
        settled: Settled,
        now: u64,
    ) -> Result<()> {
        let coming = |seen| group.schedule.next(zone, time(seen)).map(|due| ms(due.at));
        let next = settled.next.or_else(|| coming(settled.seen));
        let mut seen = settled.seen;
        if next.is_some_and(|next| next <= now) {
            match group.schedule.step(zone, group.patience, time(seen), time(now)) {
                Step::Wait => {}
                Step::Start { due, late, others } => {
                    if self.start(key, group, due, late, others, now).await? {
                        seen = ms(due.at);
                    }
                }
                Step::Missed { due } => {
                    let why = format!("it was due at {} and noticed too late", due.at);
                    self.settle(key, due, FireResult::Missed, why, Vec::new(), now).await?;
                    seen = ms(due.at);
                }
            }
        }
        let next = if seen == settled.seen { next } else { coming(seen) };
        known.settled.insert(key.clone(), Settled { seen, next, followed: true });
        Ok(())
    }

    /// Starts the runs of a time, or says why not. False: there is no room for them yet.
    async fn start(
        &self,
        key: &ScheduleKey,
        group: &Group<'_>,
        due: Due,
        late: bool,
        others: bool,
        now: u64,
    ) -> Result<bool> {
        if let Some(pause) = self.store.pauses(now).await?.iter().find(|pause| names(pause, &key.runbook)) {
            let why = format!("paused by {}: {}", pause.by, pause.reason);
            self.settle(key, due, FireResult::Paused, why, Vec::new(), now).await?;
            return Ok(true);
        }
        if self.runner.room() < group.versions.len() {
            return Ok(false);
        }
        let reference = Some(key.target.clone()).filter(|target| !target.is_empty());
        let hint = Hint { reference, ..Hint::default() };
        let run = |version: &Version<'_>| {
            self.intake.new_run(version.active, "schedule", hint.clone(), version.parameters, now)
        };
        let runs: Vec<_> = group.versions.iter().filter_map(run).collect();
        let mut why = if late { format!("it was due at {}", due.at) } else { String::new() };
        if others {
            let also = "times before it were missed";
            why = if why.is_empty() { also.to_owned() } else { format!("{why}; {also}") };
        }
        let result = match (runs.is_empty(), late) {
            (true, _) => FireResult::Failed,
            (false, true) => FireResult::Late,
            (false, false) => FireResult::Started,
        };
        if runs.is_empty() {
            why = "it has a parameter without a default".to_owned();
        }
        self.settle(key, due, result, why, runs, now).await?;
        Ok(true)
    }

    async fn settle(
        &self,
        key: &ScheduleKey,
        due: Due,
        result: FireResult,
        why: String,
        runs: Vec<crate::store::NewRun>,
        now: u64,
    ) -> Result<()> {
        let fire = Fire { key: key.clone(), at: ms(due.at), now, result, why, runs: runs.clone() };
        let Fired::Settled(row) = self.store.fire(fire).await? else { return Ok(()) };
        if row.run.is_some() {
            for run in runs {
                self.runner.enqueue(Queued { row: row_of(run), alert: None, accepted: Instant::now(), resumed: false });
            }
        } else {
            tracing::warn!(runbook = %key.runbook, schedule = %key.schedule, due = %due.at, "not started ({}): {}", row.result.name(), row.why);
        }
        self.runner.parts().metrics.schedules.settled(&key.runbook, row.result.name());
        Ok(())
    }

    /// Every schedule, by runbook; `count` coming times of each.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, count: usize) -> Result<Vec<Shown>> {
        let now = self.now();
        let actives = self.library.snapshot();
        let groups = groups(&actives);
        let (pauses, stopped) = (self.store.pauses(now).await?, self.store.stopped().await?.is_some());
        let rows = self.store.schedules().await?;
        let last = |key: &ScheduleKey| rows.iter().find(|row| &row.key == key).and_then(|row| row.last.clone());
        let seen = |key: &ScheduleKey| rows.iter().find(|row| &row.key == key).map_or(now, |row| row.seen.max(now));
        let mut shown: Vec<Shown> = Vec::new();
        for (key, group) in &groups {
            let stage = group.versions.first().map(|version| version.active.stage);
            let found = zone(&key.timezone);
            let next = found.as_ref().map(|zone| upcoming(&group.schedule, zone, seen(key), count)).unwrap_or_default();
            let pause = pauses.iter().find(|pause| names(pause, &key.runbook));
            let misfit = group.misfit();
            let (state, why) = match (found, pause) {
                (Err(why), _) => (State::NoZone, why),
                (Ok(_), Some(pause)) => {
                    let why = format!("paused by {} until {}: {}", pause.by, time(pause.until), pause.reason);
                    (State::Paused, why)
                }
                (Ok(_), None) if stopped => {
                    (State::Stopped, "everything is stopped: its runs may change nothing".into())
                }
                (Ok(_), None) if misfit.is_some() => (State::Unfit, misfit.unwrap_or_default()),
                (Ok(_), None) if stage < Some(Stage::Ask) => (State::Watching, "its runs change nothing".to_owned()),
                (Ok(_), None) => (State::On, String::new()),
            };
            let parameters = group.versions.first().map(|version| version.parameters.clone()).unwrap_or_default();
            let (key, patience, last) = (key.clone(), group.patience, last(key));
            shown.push(Shown { key, stage, patience, parameters, state, why, next, last });
        }
        for row in rows.iter().filter(|row| !groups.contains_key(&row.key) && row.key.runbook != crate::digest::NAME) {
            shown.push(Shown {
                key: row.key.clone(),
                stage: None,
                patience: Patience::default(),
                parameters: BTreeMap::new(),
                state: State::Gone,
                why: "no version in force has it".to_owned(),
                next: Vec::new(),
                last: row.last.clone(),
            });
        }
        shown.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(shown)
    }

    /// When each runbook with a schedule is due next, in milliseconds.
    pub fn coming(&self) -> BTreeMap<String, u64> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, known: &Known) {
        let mut coming: BTreeMap<String, u64> = BTreeMap::new();
        for (key, settled) in known.settled.iter().filter(|(_, settled)| settled.followed) {
            if let Some(next) = settled.next {
                let earliest = coming.entry(key.runbook.clone()).or_insert(next);
                *earliest = (*earliest).min(next);
            }
        }
        self.runner.parts().metrics.schedules.coming(&coming);
        *self.coming.lock().unwrap_or_else(PoisonError::into_inner) = coming;
    }

    fn now(&self) -> u64 {
        self.runner.parts().clock.now().unix_ms
    }
}

/// The schedules of the versions in force.
fn groups(actives: &[Active]) -> BTreeMap<ScheduleKey, Group<'_>> {
    let mut groups: BTreeMap<ScheduleKey, Group<'_>> = BTreeMap::new();
    for active in actives {
        let mut own = BTreeSet::new();
        for trigger in &active.package.manifest.triggers {
            let Some((key, schedule)) = key_of(&active.package.manifest.name, trigger) else { continue };
            if own.insert(key.clone()) {
                let group = groups.entry(key);
                let patience = trigger.patience();
                let group = group.or_insert(Group { schedule, patience, versions: Vec::new() });
                group.versions.push(Version { active, parameters: &trigger.parameters });
            }
        }
    }
    groups
}

fn key_of(runbook: &str, trigger: &Trigger) -> Option<(ScheduleKey, Schedule)> {
    let text = trigger.schedule.as_ref()?;
    let key = ScheduleKey {
        runbook: runbook.to_owned(),
        schedule: text.clone(),
        timezone: trigger.timezone.clone().unwrap_or_else(|| UTC.to_owned()),
        target: trigger.target.clone().unwrap_or_default(),
    };
    Some((key, Schedule::parse(text).ok()?))
}

/// A time zone by its name, or what is wrong with it and what was probably meant.
pub fn zone(name: &str) -> std::result::Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = sandbook_core::effect::closest(name, known.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        format!("there is no time zone {name:?}{near}")
    })
}

/// Whether a pause is about that runbook and about all it does. `*` is not: it holds changes back, and reports come.
fn names(pause: &Pause, runbook: &str) -> bool {
    let selector = &pause.selector;
    let glob =
        selector.runbook.as_ref().filter(|glob| *glob != "*" && selector.target.is_none() && selector.host.is_none());
    glob.is_some_and(|glob| Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(runbook)))
}

fn upcoming(schedule: &Schedule, zone: &TimeZone, after: u64, count: usize) -> Vec<Due> {
    let mut after = time(after);
    let mut next = Vec::new();
    while next.len() < count.min(SHOWN_MAX)
        && let Some(due) = schedule.next(zone, after)
    {
        after = due.at;
        next.push(due);
    }
    next
}

fn time(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}
