//! What outlives an incarnation of the engine: the world, the time, what dockerd still has in hand, the injected faults,
//! the trace, and what the laws have seen.
//!
//! Everything here is behind one lock that is never held over a wait, and only one thread ever asks. Deliberately not
//! here: the engine, which comes and goes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbook_core::effect::{Class, Effect};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::{HORIZON_MARGIN_MS, Now};
use sandbook_core::journal::Record;
use sandbook_core::target::Resolved;
use sandbook_core::world::World;
use serde_json::Value;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::law::Law;

/// Lines of a trace that are kept for people; the hash covers all of them.
const TRACE_KEPT_MAX: usize = 4_000;
/// How long a program goes on that nobody waits for any more.
const PROGRAM_GOES_ON_MS: u64 = 10_000;

/// A deliberately broken behaviour: what the laws must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Broken {
    /// Nothing is broken.
    #[default]
    Nothing,
    /// Intents are answered and never written.
    DropsIntents,
    /// Changes are driven twice.
    DrivesTwice,
    /// An alert is acknowledged and forgotten.
    LosesAlerts,
    /// The windows of the brakes are not looked at.
    ForgetsBrakes,
    /// The stop switch is not looked at.
    IgnoresStop,
}

/// How often what goes wrong, of a hundred.
#[derive(Debug, Clone, Copy)]
pub struct Chances {
    /// A call of the store takes long.
    pub slow_store: u64,
    /// A drive fails at once, with nothing done.
    pub refused: u64,
    /// A drive's answer is lost.
    pub lost: u64,
    /// Points (before and after each call) between crashes, at the most; 0 is none.
    pub crash_within: u64,
    /// Crashes at the most.
    pub crashes_max: u32,
}

impl Chances {
    /// Nothing goes wrong.
    pub const NONE: Chances = Chances { slow_store: 0, refused: 0, lost: 0, crash_within: 0, crashes_max: 0 };
}

/// Figures of a seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub seeds: u64,
    pub crashes: u64,
    pub faults: u64,
    pub executions: u64,
    pub checks: u64,
    pub runs: u64,
    pub attention: u64,
}

impl Counts {
    /// Adds those of another seed.
    pub fn add(&mut self, other: Counts) {
        self.seeds += other.seeds;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.executions += other.executions;
        self.checks += other.checks;
        self.runs += other.runs;
        self.attention += other.attention;
    }
}

/// Something that dockerd does although its client is gone.
struct Late {
    at: u64,
    effect: Effect,
    resolved: Option<Resolved>,
    act: Act,
}

/// Which drive it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Act {
    pub run: String,
    pub slot: u32,
    pub attempt: u32,
}

impl Act {
    /// The id under which it starts a program.
    pub fn exec_id(&self) -> String {
        format!("{}-{}-{}", self.run, self.slot, self.attempt)
    }
}

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The machine is off: no answer, ever.
    Dead,
    /// The disk is full.
    Full,
    /// It is done; and then the machine goes off, or not.
    Go { die: bool },
}

/// The world at a moment.
#[derive(Clone)]
pub struct Snapshot {
    /// Changes made so far.
    pub changes: u64,
    world: World,
    boot_ms: u64,
    programs: HashMap<String, (u64, i32)>,
}

/// One seed's state.
pub struct Sim {
    pub dice: Dice,
    pub chances: Chances,
    pub broken: Broken,
    pub world: World,
    pub law: Law,
    pub counts: Counts,
    /// Boot time until when the Docker host does not answer.
    pub unreachable_until: u64,
    /// Boot time until when nothing can be written.
    pub full_until: u64,
    /// How far the wall clock is ahead of the boot clock, in milliseconds.
    pub skew: i64,
    /// Nothing more goes wrong.
    pub calm: bool,
    pub dead: bool,
    pub died: Arc<Notify>,
    base: u64,
    origin: Option<tokio::time::Instant>,
    points: u64,
    crash_at: u64,
    late: Vec<Late>,
    /// The world at each record of a run, when somebody wants it.
    pub snapshots: Option<Vec<Snapshot>>,
    /// Programs that were started, until when they run, and their exit codes, by the id they were started under.
    programs: HashMap<String, (u64, i32)>,
    names: HashMap<String, String>,
    trace: Vec<String>,
    hash: DefaultHasher,
}

/// The one handle.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Sim>>);

impl Shared {
    /// A seed's state before anything happens.
    pub fn new(seed: u64, chances: Chances, world: World) -> Shared {
        let mut sim = Sim {
            dice: Dice::new(seed, 1),
            chances,
            broken: Broken::Nothing,
            law: Law::default(),
            counts: Counts { seeds: 1, ..Counts::default() },
            unreachable_until: 0,
            full_until: 0,
            skew: 0,
            calm: false,
            dead: false,
            died: Arc::default(),
            base: world.now_ms,
            world,
            origin: None,
            points: 0,
            crash_at: u64::MAX,
            late: Vec::new(),
            snapshots: None,
            programs: HashMap::new(),
            names: HashMap::new(),
            trace: Vec::new(),
            hash: DefaultHasher::new(),
        };
        sim.plan_crash();
        Shared(Arc::new(Mutex::new(sim)))
    }

    /// Never held over a wait.
    pub fn lock(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sim {
    /// The boot clock, in milliseconds: never jumps.
    pub fn boot_ms(&self) -> u64 {
        let passed = self.origin.map_or(0, |origin| origin.elapsed().as_millis());
        self.base + u64::try_from(passed).unwrap_or(0)
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        let boot_ms = self.boot_ms();
        Now { unix_ms: boot_ms.saturating_add_signed(self.skew), boot_ms }
    }

    /// An incarnation begins; called inside its runtime.
    pub fn switch_on(&mut self) {
        (self.dead, self.died) = (false, Arc::default());
        self.origin = Some(tokio::time::Instant::now());
    }

    /// An incarnation is over, and the machine stays off for so long. Called inside its runtime.
    pub fn switch_off(&mut self, for_ms: u64) {
        self.base = self.boot_ms() + for_ms;
        self.origin = None;
    }

    fn plan_crash(&mut self) {
        let left = self.chances.crash_within > 0 && self.counts.crashes < u64::from(self.chances.crashes_max);
        self.crash_at = if left { self.points + self.dice.within(1, self.chances.crash_within) } else { u64::MAX };
    }

    /// One more place where the machine may go off.
    fn point(&mut self) -> bool {
        self.points += 1;
        !self.calm && self.points >= self.crash_at
    }

    /// The machine goes off.
    pub fn die(&mut self) {
        self.dead = true;
        self.counts.crashes += 1;
        self.plan_crash();
        self.died.notify_one();
        self.say("the machine goes off");
    }

    /// What happens to a call of the store.
    pub fn fate(&mut self, writes: bool) -> Fate {
        if self.dead {
            return Fate::Dead;
        }
        if self.point() {
            self.die();
            return Fate::Dead;
        }
        if writes && !self.calm && self.boot_ms() < self.full_until {
            self.counts.faults += 1;
            return Fate::Full;
        }
        Fate::Go { die: writes && self.point() }
    }

    /// How long a call of the store takes, in milliseconds.
    pub fn slowness(&mut self) -> u64 {
        if self.calm || self.dead || !self.dice.percent(self.chances.slow_store) {
            return 0;
        }
        self.counts.faults += 1;
        if self.dice.percent(5) { self.dice.within(1_000, 20_000) } else { self.dice.within(1, 200) }
    }

    /// Brings the world up to the present, and what dockerd still had in hand.
    pub fn sync(&mut self) {
        let now = self.boot_ms();
        while let Some(index) =
            (0..self.late.len()).filter(|index| self.late[*index].at <= now).min_by_key(|index| self.late[*index].at)
        {
            let late = self.late.remove(index);
            self.world.advance(late.at.saturating_sub(self.world.now_ms));
            let done = self.world.perform(&late.effect, late.resolved.as_ref());
            self.executed(&late.effect, &late.act, &done, "late");
        }
        self.world.advance(now.saturating_sub(self.world.now_ms));
    }

    /// Something that happens by itself within the deadline, its client gone, or in the margin after it.
    pub fn later(&mut self, after: u64, effect: Effect, resolved: Option<Resolved>, act: Act) {
        let at = self.boot_ms() + after;
        self.late.push(Late { at, effect, resolved, act });
    }

    /// Records are handed to the store.
    pub fn append(&mut self, run: &str, records: &[Record]) {
        self.law.append(run, records);
        if self.snapshots.is_some() {
            self.sync();
            let now = Snapshot {
                changes: self.counts.executions,
                world: self.world.clone(),
                boot_ms: self.boot_ms(),
                programs: self.programs.clone(),
            };
            self.snapshots.get_or_insert_default().extend(records.iter().map(|_| now.clone()));
        }
    }

    /// Puts the world back to what it was.
    pub fn put_back(&mut self, snapshot: &Snapshot) {
        (self.world, self.base) = (snapshot.world.clone(), snapshot.boot_ms);
        self.programs.clone_from(&snapshot.programs);
    }

    /// What became of a program: absent when it was never started, no code while it runs.
    pub fn program(&self, exec: &str) -> Option<Option<i32>> {
        if self.late.iter().any(|late| late.act.exec_id() == exec) {
            return Some(None);
        }
        self.programs.get(exec).map(|(until, code)| (*until <= self.boot_ms()).then_some(*code))
    }

    /// A program was started, unless the container did not let it.
    fn started(&mut self, act: &Act, answer: &Result<Value, Error>) -> bool {
        let (until, code) = match answer {
            Ok(result) => (self.world.now_ms, result["exit_code"].as_i64().unwrap_or_default()),
            // It goes on inside the container; only nobody waits any more.
            Err(error) if error.kind == ErrorKind::Timeout => (self.world.now_ms + PROGRAM_GOES_ON_MS, 0),
            Err(_) => return false,
        };
        self.programs.insert(act.exec_id(), (until, i32::try_from(code).unwrap_or(-1)));
        true
    }

    /// Whether dockerd has something in hand.
    pub fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Performs it now; how long it took, in milliseconds, and its answer.
    pub fn perform(&mut self, effect: &Effect, resolved: Option<&Resolved>, act: &Act) -> (u64, Result<Value, Error>) {
        self.sync();
        let before = self.world.now_ms;
        let answer = self.world.perform(effect, resolved);
        self.executed(effect, act, &answer, "at once");
        (self.world.now_ms.saturating_sub(before), answer)
    }

    fn executed(&mut self, effect: &Effect, act: &Act, answer: &Result<Value, Error>, when: &str) {
        let changed = match (effect, answer) {
            (Effect::Exec(_), _) => self.started(act, answer),
            (_, Ok(value)) => value.get("changed").and_then(Value::as_bool).unwrap_or(true),
            (_, Err(_)) => false,
        };
        if matches!(effect.class(), Class::Mutate | Class::Tell) && changed {
            self.counts.executions += u64::from(effect.class() == Class::Mutate);
            self.law.executed(act, effect);
            let run = self.name(&act.run);
            self.say(&format!("world: {} of {run} slot {} attempt {} {when}", effect.name(), act.slot, act.attempt));
        }
    }

    /// A drive's fault, or none.
    pub fn mishap(&mut self, effect: &Effect) -> Option<Mishap> {
        if self.calm {
            return None;
        }
        let deadline = effect.deadline_ms();
        let mishap = if self.dice.percent(self.chances.refused) {
            Mishap::Refused(self.dice.within(0, 3))
        } else if self.dice.percent(self.chances.lost) {
            match self.dice.within(0, 4) {
                0 => Mishap::LostDone,
                1 => Mishap::LostNotDone,
                2 => Mishap::LostLater(self.dice.within(1, deadline.max(2))),
                _ => Mishap::LostLater(deadline + self.dice.within(1, HORIZON_MARGIN_MS - 500)),
            }
        } else {
            return None;
        };
        self.counts.faults += 1;
        Some(mishap)
    }

    /// Whether the machine goes off around a drive: before it, or while dockerd does it.
    pub fn drive_fate(&mut self) -> Fate {
        if self.dead {
            return Fate::Dead;
        }
        if self.point() {
            self.die();
            return Fate::Dead;
        }
        Fate::Go { die: self.point() }
    }

    /// A short name for an id: ids differ from one execution to the next, traces must not.
    pub fn name(&mut self, id: &str) -> String {
        let next = self.names.len() + 1;
        let kind = id.chars().next().unwrap_or('x');
        self.names.entry(id.to_owned()).or_insert_with(|| format!("{kind}{next}")).clone()
    }

    /// A line of the trace.
    pub fn say(&mut self, line: &str) {
        let line = format!("{:>9} {line}", self.boot_ms().saturating_sub(sandbook_core::world::NOW_MS_DEFAULT));
        line.hash(&mut self.hash);
        if self.trace.len() < TRACE_KEPT_MAX {
            self.trace.push(line);
        }
    }

    /// Its hash, and the kept lines.
    pub fn trace(&self) -> (u64, &[String]) {
        (self.hash.finish(), &self.trace)
    }
}

/// What goes wrong with a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// Told at once, nothing happened.
    Refused(u64),
    /// It happened, and its answer is lost.
    LostDone,
    /// It did not happen, and nobody says so.
    LostNotDone,
    /// It happens so many milliseconds after it was sent, with nobody waiting.
    LostLater(u64),
}
