//! Playing a seed: incarnation after incarnation until everything has happened and all is quiet, then the verdict.
//!
//! Deliberately not here: what happens (`workload`) and what must hold (`law`).

use std::path::Path;
use std::sync::Arc;

use sandbook::guest::Sandbox;
use sandbook::intake::Refusal;
use sandbook::store::{
    ApprovalDecision, ApprovalEnd, Decided, EpisodeFilter, Pause, RunFilter, RunRow, Selector, Stop, Store as _, id,
};
use sandbook_core::run::{State, Verification};
use serde_json::{Value, json};

use crate::driver::pass;
use crate::engine::{Engine, data_dir, runtime};
use crate::law::{Acknowledged, Rule};
use crate::sim::{Broken, Chances, Counts, Shared};
use crate::store::block;
use crate::workload::{Happening, Sent, What, chances, happenings, hurt, world};

/// When nothing more goes wrong, everything is over within this time: longer than any wait of the engine (an hour for a
/// host, an hour for a look, half an hour for a person).
const QUIET_MS_MAX: u64 = 3 * 3_600_000;
/// How often it is looked whether all is quiet.
const LOOK_MS: u64 = 5_000;
/// Incarnations at the most: each crash ends one, and a full disk may.
const INCARNATIONS_MAX: u32 = 200;
/// How often a sender tries again.
const SEND_AGAIN_MS: u64 = 5_000;

/// What came of a seed.
pub struct Played {
    pub seed: u64,
    pub counts: Counts,
    pub violations: Vec<String>,
    pub hash: u64,
    pub trace: Vec<String>,
}

/// Plays a seed, with the engine as it is or broken.
pub fn play(seed: u64, broken: Broken, sandbox: &Arc<Sandbox>) -> Played {
    let (chances, happenings) = (chances(seed), happenings(seed));
    play_these(seed, broken, chances, happenings, sandbox)
}

/// Plays what is given.
pub fn play_these(
    seed: u64,
    broken: Broken,
    chances: Chances,
    happenings: Vec<Happening>,
    sandbox: &Arc<Sandbox>,
) -> Played {
    let sim = Shared::new(seed, chances, world(seed));
    sim.lock().broken = broken;
    let dir = data_dir();
    let mut left: std::collections::VecDeque<Happening> = happenings.into();
    let mut incarnation = 0;
    loop {
        incarnation += 1;
        if incarnation > INCARNATIONS_MAX {
            sim.lock().law.holds(false, || "it never comes to an end".to_owned());
            break;
        }
        if live(&sim, dir.path(), &mut left, sandbox) {
            break;
        }
    }
    let mut sim = sim.lock();
    sim.counts.checks = sim.law.checks;
    let (hash, lines) = sim.trace();
    let trace = lines.to_vec();
    Played { seed, counts: sim.counts, violations: sim.law.violations().to_vec(), hash, trace }
}

/// One incarnation. True when all is over.
fn live(sim: &Shared, dir: &Path, left: &mut std::collections::VecDeque<Happening>, sandbox: &Arc<Sandbox>) -> bool {
    let runtime = runtime();
    let over = runtime.block_on(async {
        sim.lock().switch_on();
        sim.lock().say("an incarnation begins");
        let died = sim.lock().died.clone();
        let over = tokio::select! {
            biased;
            () = died.notified() => false,
            over = incarnation(sim, dir, left, sandbox) => over,
        };
        let mut sim = sim.lock();
        let for_ms = sim.dice.one(&[10, 1_000, 20_000, 120_000]);
        sim.switch_off(for_ms);
        over
    });
    // Every task and every part of the engine is gone with its runtime, as with the machine.
    drop(runtime);
    look_at_disk(sim, dir);
    over
}

async fn incarnation(
    sim: &Shared,
    dir: &Path,
    left: &mut std::collections::VecDeque<Happening>,
    sandbox: &Arc<Sandbox>,
) -> bool {
    let engine = match Engine::build(sim, dir, sandbox).await {
        Ok(engine) => engine,
        Err(why) => return give_up(sim, &why).await,
    };
    if let Err(error) = engine.runner.start().await {
        return give_up(sim, &error.to_string()).await;
    }
    while let Some((at, what)) = left.front().cloned() {
        let now = sim.lock().boot_ms();
        pass(at.saturating_sub(now)).await;
        sim.lock().say(&format!("happens: {what:?}"));
        if let What::Jump(_) = what {
            left.pop_front();
        }
        happen(sim, &engine, &what).await;
        left.pop_front_if(|(_, front)| *front == what);
    }
    calm_down(sim, &engine).await;
    settle(sim, &engine).await;
    judge(sim, &engine);
    true
}

/// A daemon that cannot start ends, and is started again.
async fn give_up(sim: &Shared, why: &str) -> bool {
    sim.lock().say(&format!("the daemon cannot start: {why}"));
    pass(2_000).await;
    false
}

async fn happen(sim: &Shared, engine: &Engine, what: &What) {
    match what {
        What::Message { sent, with_nonsense } => send(sim, engine, sent, *with_nonsense).await,
        What::Policy(rule) => engine.rule(sim, *rule),
        What::Answer { yes } => answer(sim, engine, *yes).await,
        What::Stop(on) => stop(sim, engine, *on).await,
        What::Pause(ms) => pause(sim, engine, *ms).await,
        What::Jump(ms) => sim.lock().skew += ms,
        What::Hurt { container, ends } => {
            let mut sim = sim.lock();
            sim.sync();
            hurt(&mut sim.world, container, *ends);
        }
        What::Away(ms) => {
            let mut sim = sim.lock();
            sim.unreachable_until = sim.boot_ms() + ms;
        }
        What::Full(ms) => {
            let mut sim = sim.lock();
            sim.full_until = sim.boot_ms() + ms;
        }
        What::Rearm => rearm(sim, engine).await,
    }
}

/// Sends until it is acknowledged, as Alertmanager does.
async fn send(sim: &Shared, engine: &Engine, sent: &[Sent], with_nonsense: bool) {
    let mut alerts: Vec<Value> = sent.iter().map(|sent| alert_of(sim, sent)).collect();
    if with_nonsense {
        alerts.insert(alerts.len() / 2, json!("no alert"));
    }
    let body = json!({"version": "4", "status": "firing", "receiver": "sandbook", "alerts": alerts}).to_string();
    loop {
        match engine.intake.receive(body.as_bytes(), "simulation", None).await {
            Ok(receipt) => {
                let mut sim = sim.lock();
                for sent in sent.iter().filter(|sent| !sent.resolved) {
                    let (alert, container) = (sent.alert.to_owned(), sent.container.clone());
                    let starts_at = i64::try_from(sent.starts_at).unwrap_or(0);
                    sim.law.acknowledged.insert(Acknowledged { alert, container, starts_at });
                }
                sim.law.promised_runs.extend(receipt.runs.iter().map(|started| started.run.clone()));
                sim.law.holds(receipt.rejected.len() == usize::from(with_nonsense), || {
                    format!("a message with one bad entry or none: rejected {:?}", receipt.rejected)
                });
                return;
            }
            Err(Refusal::Store(_) | Refusal::Full { .. }) => pass(SEND_AGAIN_MS).await,
            Err(Refusal::Unreadable(error)) => {
                sim.lock().law.holds(false, || format!("a message is unreadable: {error}"));
                return;
            }
        }
    }
}

fn alert_of(sim: &Shared, sent: &Sent) -> Value {
    let text =
        |ms: u64| jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(0)).unwrap_or_default().to_string();
    let ends_at = if sent.resolved { text(sim.lock().now().unix_ms) } else { "0001-01-01T00:00:00Z".to_owned() };
    json!({
        "status": if sent.resolved { "resolved" } else { "firing" },
        "labels": { "alertname": sent.alert, "name": sent.container, "host": "local", "severity": "warning" },
        "annotations": {},
        "startsAt": text(sent.starts_at),
        "endsAt": ends_at,
    })
}

async fn answer(sim: &Shared, engine: &Engine, yes: bool) {
    let Ok(open) = engine.store.approvals(true).await else { return };
    for question in open {
        let at = sim.lock().now().unix_ms;
        let kind = if yes { ApprovalEnd::Approved } else { ApprovalEnd::Denied };
        let decision =
            ApprovalDecision { kind, by: "somebody".to_owned(), reason: "simulated".to_owned(), answer: None, at };
        let decided = engine.store.answer_approval(&question.id, decision).await;
        if let Ok(Decided::Done(approval)) = decided
            && let Ok(Some(row)) = engine.store.run(&approval.run).await
        {
            drop(engine.runner.bring_back(row).await);
        }
    }
}

async fn stop(sim: &Shared, engine: &Engine, on: bool) {
    let at = sim.lock().now().unix_ms;
    let stop = on.then(|| Stop { by: "somebody".to_owned(), reason: "simulated".to_owned(), at });
    drop(engine.store.set_stop(stop).await);
}

async fn pause(sim: &Shared, engine: &Engine, ms: u64) {
    let at = sim.lock().now().unix_ms;
    let pause = Pause {
        id: id::new("p"),
        selector: Selector::default(),
        reason: "simulated".to_owned(),
        by: "somebody".to_owned(),
        at,
        until: at + ms,
    };
    drop(engine.store.add_pause(pause).await);
}

async fn rearm(sim: &Shared, engine: &Engine) {
    let Ok(trips) = engine.store.trips(true).await else { return };
    for trip in trips {
        let at = sim.lock().now().unix_ms;
        drop(engine.store.rearm(&trip.id, "somebody", "simulated", at).await);
    }
}

/// From here on nothing goes wrong any more. The daemon is not started anew: it has to come back by itself.
async fn calm_down(sim: &Shared, engine: &Engine) {
    sim.lock().calm = true;
    sim.lock().say("calm");
    stop(sim, engine, false).await;
    engine.rule(sim, Rule::Allow);
}

fn all_runs(engine: &Engine) -> Vec<RunRow> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let filter = RunFilter { cursor: cursor.take(), ..RunFilter::default() };
        let (page, next) = block(engine.store.real().runs(filter)).expect("readable");
        rows.extend(page);
        match next {
            Some(next) => cursor = Some(next),
            None => return rows,
        }
    }
}

/// Waits until nothing is left to do, and holds every law against what is there then.
pub async fn settle(sim: &Shared, engine: &Engine) {
    let until = sim.lock().boot_ms() + QUIET_MS_MAX;
    loop {
        let rows = all_runs(engine);
        let open = |row: &RunRow| {
            !(row.state.is_final() || row.state == State::NeedsAttention)
                || row.verification == Some(Verification::Pending)
        };
        let now = sim.lock().boot_ms();
        if (!rows.iter().any(open) && !sim.lock().has_late()) || now >= until {
            break;
        }
        sim.lock().sync();
        pass(LOOK_MS).await;
    }
}

fn judge(sim: &Shared, engine: &Engine) {
    let rows = all_runs(engine);
    let (episodes, _) = block(engine.store.real().episodes(EpisodeFilter::default())).expect("readable");
    let mut guard = sim.lock();
    let sim = &mut *guard;
    sim.counts.runs = rows.len() as u64;
    for row in rows.iter().rev() {
        let name = sim.name(&row.id);
        let why = row.error.clone().unwrap_or_default();
        let fine = row.state.is_final() || (row.state == State::NeedsAttention && !why.is_empty());
        sim.counts.attention += u64::from(row.state == State::NeedsAttention);
        sim.law.holds(fine, || format!("{name} ({}) is left {} ({why})", row.runbook, row.state));
        sim.law.holds(row.verification != Some(Verification::Pending), || format!("{name} is never verified"));
        sim.say(&format!("{name}: {} {:?} {:?}", row.state, row.outcome, row.verification));
    }
    for run in sim.law.promised_runs.clone() {
        let there = rows.iter().any(|row| row.id == run);
        sim.law.holds(there, || format!("{run} was promised to a sender and is not there"));
    }
    for told in sim.law.acknowledged.clone() {
        let episode = episodes.iter().find(|episode| {
            let label = |key: &str| episode.labels.get(key).map(String::as_str);
            label("alertname") == Some(&told.alert)
                && label("name") == Some(&told.container)
                && episode.starts_at <= told.starts_at
        });
        sim.law.holds(episode.is_some(), || format!("{told:?} was acknowledged and is not there"));
    }
    for episode in &episodes {
        let own = rows.iter().filter(|row| row.episode.as_ref() == Some(&episode.id));
        let mut books: Vec<&str> = own.map(|row| row.runbook.as_str()).collect();
        let all = books.len();
        books.sort_unstable();
        books.dedup();
        sim.law.holds(all == books.len(), || format!("{} has several runs of one runbook", episode.id));
        let handled = !episode.runs.is_empty() || episode.count == 0 || episode.outcome.is_some();
        sim.law.holds(handled, || format!("{} of {} has no run and says nothing", episode.id, episode.name));
    }
}

/// What is on disk while the machine is off: read by another connection, as after a crash.
fn look_at_disk(sim: &Shared, dir: &Path) {
    let runtime = runtime();
    runtime.block_on(async {
        let store = match sandbook::store::Sqlite::open(dir) {
            Ok(store) => store,
            Err(error) => {
                sim.lock().law.holds(false, || format!("the data directory cannot be opened again: {error}"));
                return;
            }
        };
        let (rows, _) = block(store.runs(RunFilter::default())).expect("readable");
        let mut sim = sim.lock();
        for row in rows {
            let records = block(store.records_after(&row.id, None)).expect("readable");
            sim.law.on_disk(&row.id, records.into_iter().map(|(_, record)| record).collect());
            sim.law.stands(&row.id, row.state, row.outcome);
        }
        sim.law.settle_accounts();
    });
}
