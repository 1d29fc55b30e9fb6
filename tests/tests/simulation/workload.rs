//! What happens to the engine, by seed: alerts as they really come, people, the operator, the clock, containers that fall
//! ill, and hosts and disks that go away for a while.
//!
//! Deliberately not here: faults of single calls; see `sim`.

use sandbook_core::effect::docker::{Health, Status};
use sandbook_core::world::{Container, Life, NOW_MS_DEFAULT, Program, Stopping, World};

use crate::books::alerts;
use crate::dice::Dice;
use crate::law::Rule;
use crate::sim::Chances;

/// Containers of the world.
const CONTAINERS: u64 = 4;
/// Milliseconds in which everything happens.
const SPAN_MS: u64 = 900_000;

/// An alert in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub alert: &'static str,
    pub container: String,
    /// Milliseconds since 1970.
    pub starts_at: u64,
    pub resolved: bool,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message with alerts, and perhaps an entry that is none.
    Message { sent: Vec<Sent>, with_nonsense: bool },
    /// Another policy.
    Policy(Rule),
    /// Somebody answers every open question.
    Answer { yes: bool },
    /// The stop switch.
    Stop(bool),
    /// Everything is paused for so many milliseconds.
    Pause(u64),
    /// The wall clock is set, by so many milliseconds.
    Jump(i64),
    /// A container falls ill, or ends.
    Hurt { container: String, ends: bool },
    /// The Docker host cannot be reached for so long.
    Away(u64),
    /// The disk is full for so long.
    Full(u64),
    /// A person re-arms every brake that tripped.
    Rearm,
}

/// It, and when on the boot clock.
pub type Happening = (u64, What);

/// How bad a seed is: a quarter only has crashes, a quarter only lost answers, the rest has everything.
pub fn chances(seed: u64) -> Chances {
    let mut dice = Dice::new(seed, 2);
    let crash_within = dice.one(&[15, 60, 200]);
    let crashes_max = u32::try_from(dice.within(1, 7)).unwrap_or(1);
    match seed % 4 {
        0 => Chances { crash_within, crashes_max, ..Chances::NONE },
        1 => Chances { refused: 8, lost: 25, slow_store: 5, ..Chances::NONE },
        _ => Chances { slow_store: 10, refused: 8, lost: 20, crash_within, crashes_max },
    }
}

/// The world at the beginning.
pub fn world(seed: u64) -> World {
    let mut dice = Dice::new(seed, 3);
    let mut world = World::new(NOW_MS_DEFAULT);
    world.seed = seed;
    for number in 0..CONTAINERS {
        let mut container = Container::named(&format!("c{number}"), "app:1");
        container.health = Health::Healthy;
        container.has_healthcheck = true;
        container.restart_policy = dice.one(&["no", "unless-stopped"]).to_owned();
        container.stopping = Stopping { takes_ms: dice.one(&[20, 400, 3_000]), ..Stopping::default() };
        let healthy_after_ms = Some(dice.within(500, 9_000));
        let unhealthy_after_ms = dice.percent(20).then(|| dice.within(20_000, 90_000));
        let exit_after_ms = dice.percent(15).then(|| dice.within(500, 30_000));
        container.lives = vec![Life { healthy_after_ms, unhealthy_after_ms, exit_after_ms, ..Life::default() }];
        container.programs = vec![Program {
            argv: vec!["repair".to_owned()],
            exit_code: i32::from(dice.percent(50)),
            takes_ms: dice.one(&[10, 3_000, 20_000]),
            ..Program::default()
        }];
        world.add_container("local", container);
    }
    world
}

/// Everything that happens, in order.
pub fn happenings(seed: u64) -> Vec<Happening> {
    let mut dice = Dice::new(seed, 4);
    let mut all: Vec<Happening> = Vec::new();
    let mut firing: Vec<Sent> = Vec::new();
    let count = dice.within(6, 22);
    let mut at = NOW_MS_DEFAULT + 1_000;
    for number in 0..count {
        at += dice.one(&[0, 50, 700, 5_000, SPAN_MS / count]);
        let what = if number == 0 { message(&mut dice, &mut firing, at) } else { any(&mut dice, &mut firing, at) };
        if let What::Message { sent, .. } = &what {
            // Every container of an alert has something.
            for sent in sent.iter().filter(|sent| !sent.resolved) {
                if dice.percent(80) {
                    let ends = matches!(sent.alert, "ContainerExited" | "SimStuck");
                    all.push((at.saturating_sub(1), What::Hurt { container: sent.container.clone(), ends }));
                }
            }
        }
        all.push((at, what));
    }
    all
}

fn any(dice: &mut Dice, firing: &mut Vec<Sent>, at: u64) -> What {
    match dice.within(0, 100) {
        0..50 => message(dice, firing, at),
        50..57 => What::Policy(dice.one(&[Rule::Allow, Rule::Allow, Rule::Ask, Rule::Forbid])),
        57..70 => What::Answer { yes: dice.percent(70) },
        70..74 => What::Stop(dice.percent(70)),
        74..77 => What::Pause(dice.within(1_000, 60_000)),
        77..81 => What::Jump(jump(dice)),
        81..86 => What::Hurt { container: container(dice), ends: dice.percent(50) },
        86..91 => What::Away(dice.within(500, 90_000)),
        91..96 => What::Full(dice.within(500, 60_000)),
        _ => What::Rearm,
    }
}

/// What a time service corrects in one step. Horizons are kept on the wall clock, so a step of more than their margin
/// between an intent and its look could make one pass too early.
fn jump(dice: &mut Dice) -> i64 {
    let ms = i64::try_from(dice.within(1, 400)).unwrap_or(0);
    if dice.percent(50) { ms } else { -ms }
}

fn container(dice: &mut Dice) -> String {
    format!("c{}", dice.within(0, CONTAINERS))
}

/// New alerts, the same ones again, ends of some, in any order.
fn message(dice: &mut Dice, firing: &mut Vec<Sent>, at: u64) -> What {
    let mut sent = Vec::new();
    for _ in 0..dice.within(1, 4) {
        let known = if firing.is_empty() { None } else { Some(dice.one(firing)) };
        match (dice.within(0, 10), known) {
            (0..3, Some(known)) => sent.push(known),
            (3..5, Some(known)) => {
                firing.retain(|other| *other != known);
                sent.push(Sent { resolved: true, ..known });
            }
            _ => {
                let new = Sent {
                    alert: dice.one(&alerts()),
                    container: container(dice),
                    starts_at: at - dice.within(0, 3) * 700,
                    resolved: false,
                };
                firing.push(new.clone());
                sent.push(new);
            }
        }
    }
    What::Message { sent, with_nonsense: dice.percent(15) }
}

/// A container falls ill, or ends.
pub fn hurt(world: &mut World, name: &str, ends: bool) {
    let now_ms = world.now_ms;
    let Some(container) = world.container_mut("local", name) else { return };
    if container.status != Status::Running {
        return;
    }
    let what = if ends { sandbook_core::world::What::Exit } else { sandbook_core::world::What::Unhealthy };
    let mut due = sandbook_core::world::Due::new(now_ms, what);
    due.code = 1;
    container.due.push(due);
    world.advance(0);
}
