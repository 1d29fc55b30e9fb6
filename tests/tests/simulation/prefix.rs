//! Every prefix: a run's journal is cut after every record, the world put back to what it was then, and a new engine
//! comes to the same end, with every change made once.
//!
//! Where the cut is between an intent and its outcome there are two worlds, one in which the change happened and one in
//! which it did not; both are tried. Deliberately not here: cuts in the middle of a record; the store's own tests have
//! those.

use std::path::Path;
use std::sync::Arc;

use sandbook::guest::Sandbox;
use sandbook::runner::execute::mode_of;
use sandbook::store::{NewRun, RunPatch, RunRow, Sqlite, Store as _, id};
use sandbook_core::effect::docker::{Health, Status};
use sandbook_core::journal::Record;
use sandbook_core::run::{Mode, Origin, Stage, State};
use sandbook_core::world::World;
use serde_json::json;

use crate::books::{BOOKS, BUILT_IN};
use crate::engine::{Engine, cases, component_of, data_dir, runtime, sandbox};
use crate::play::settle;
use crate::sim::{Chances, Shared, Snapshot};
use crate::store::block;
use crate::workload;

/// A run, whole.
struct Recorded {
    row: RunRow,
    records: Vec<Record>,
    worlds: Vec<Snapshot>,
    changes: u64,
}

/// One that is to be recorded: a runbook, its target, and the world it finds.
struct Case {
    runbook: String,
    /// Absent: the version that runs.
    digest: Option<String>,
    target: &'static str,
    world: World,
}

fn all_cases() -> Vec<Case> {
    let own = BOOKS.iter().map(|book| book.name()).chain(BUILT_IN.iter().map(|(_, name)| *name));
    let sick = own.map(|name| {
        let mut world = workload::world(0);
        let container = world.container_mut("local", "c1").expect("there");
        // Well again after every start, and for good.
        container.lives = vec![sandbook_core::world::Life::default()];
        container.restart_policy = "no".to_owned();
        if name == "restart-exited" {
            (container.status, container.exit_code) = (Status::Exited, Some(1));
        } else {
            container.health = Health::Unhealthy;
        }
        Case { runbook: name.to_owned(), digest: None, target: "local/c1", world }
    });
    let shop = cases().into_iter().map(|folder| {
        let package = component_of(&folder);
        let (runbook, digest) = (package.name, Some(package.digest));
        Case { runbook, digest, target: "local/shop-web-1", world: World::invent_demo() }
    });
    sick.chain(shop).collect()
}

/// Runs an engine over a world until all is quiet; what the run came to.
fn quietly(sim: &Shared, dir: &Path, sandbox: &Arc<Sandbox>, start: Option<&Case>) -> (RunRow, Vec<Record>) {
    let runtime = runtime();
    runtime.block_on(async {
        sim.lock().switch_on();
        let engine = Engine::build(sim, dir, sandbox).await.expect("an engine");
        engine.runner.start().await.expect("started");
        if let Some(case) = start {
            submit(sim, &engine, case).await;
        }
        settle(sim, &engine).await;
        let row = block(engine.store.real().run("last")).expect("readable").expect("there");
        let records = block(engine.store.real().records(&row.id)).expect("readable");
        (row, records)
    })
}

async fn submit(sim: &Shared, engine: &Engine, case: &Case) {
    let current = || engine.library.find(&case.runbook, None).expect("known").digest;
    let digest = case.digest.clone().unwrap_or_else(current);
    let package = engine.library.package_by_digest(&digest).await.expect("readable").expect("there");
    let parameters = package.manifest.parameters_from(&std::collections::BTreeMap::default()).expect("defaults");
    let run = NewRun {
        id: id::new("r"),
        runbook: package.name.clone(),
        version: package.version.clone(),
        digest,
        mode: mode_of(Stage::Live, Mode::Live),
        stage: Stage::Live,
        origin: Origin::Person,
        trigger: "manual".to_owned(),
        episode: None,
        parameters: serde_json::to_value(parameters).expect("data"),
        target_hint: json!({ "reference": case.target }),
        priority: 0,
        at: sim.lock().now().unix_ms,
    };
    engine.runner.submit(run, None).await.expect("durable");
}

fn record(case: &Case, sandbox: &Arc<Sandbox>) -> Recorded {
    let sim = Shared::new(0, Chances::NONE, case.world.clone());
    // A cut run has no attempts behind it: brakes are not what is tried here.
    sim.lock().law.unbraked = true;
    sim.lock().snapshots = Some(Vec::new());
    let (row, records) = quietly(&sim, data_dir().path(), sandbox, Some(case));
    let mut sim = sim.lock();
    let worlds = sim.snapshots.take().unwrap_or_default();
    assert_eq!(worlds.len(), records.len(), "{}: a world for each record", case.runbook);
    assert!(sim.law.violations().is_empty(), "{}: {:?}", case.runbook, sim.law.violations());
    Recorded { row, records, worlds, changes: sim.counts.executions }
}

/// The run as a crash left it after so many records, in that world; how it ends and what was changed after.
fn resume(recorded: &Recorded, cut: usize, world: &Snapshot, sandbox: &Arc<Sandbox>) -> (RunRow, u64, Vec<String>) {
    let dir = data_dir();
    let row = &recorded.row;
    runtime().block_on(async {
        let store = Sqlite::open(dir.path()).expect("a store");
        let run = NewRun {
            id: row.id.clone(),
            runbook: row.runbook.clone(),
            version: row.version.clone(),
            digest: row.digest.clone(),
            mode: row.mode,
            stage: row.stage,
            origin: row.origin,
            trigger: row.trigger.clone(),
            episode: None,
            parameters: row.parameters.clone(),
            target_hint: row.target_hint.clone(),
            priority: row.priority,
            at: row.at,
        };
        store.create_run(run).await.expect("created");
        store.append(&row.id, recorded.records[..cut].to_vec(), true).await.expect("appended");
        let patch = RunPatch {
            state: Some(State::Running),
            target: row.target.clone(),
            subject: row.subject.clone(),
            started_at: row.started_at,
            ..RunPatch::default()
        };
        store.update_run(&row.id, patch).await.expect("running");
    });
    let sim = Shared::new(0, Chances::NONE, World::new(0));
    sim.lock().law.unbraked = true;
    sim.lock().put_back(world);
    let (ended, _) = quietly(&sim, dir.path(), sandbox, None);
    let sim = sim.lock();
    let twice = sim.law.violations().iter().filter(|violation| violation.contains("more than once"));
    (ended, sim.counts.executions, twice.cloned().collect())
}

#[test]
fn every_prefix_comes_to_the_same_end() {
    let sandbox = sandbox();
    let mut cuts = 0;
    let cases = all_cases();
    for case in &cases {
        let recorded = record(case, &sandbox);
        assert!(recorded.row.state.is_final(), "{}: {:?}", case.runbook, recorded.row);
        for cut in 1..recorded.records.len() {
            let open = matches!(recorded.records[cut - 1], Record::Intended { .. } | Record::Step { .. });
            let settles = matches!(recorded.records[cut], Record::Settled { .. });
            let happened = (open && settles).then(|| &recorded.worlds[cut]);
            for world in std::iter::once(&recorded.worlds[cut - 1]).chain(happened) {
                let (ended, after, twice) = resume(&recorded, cut, world, &sandbox);
                cuts += 1;
                let place = format!("{} cut after {cut}, {:?}", case.runbook, recorded.records[cut - 1]);
                assert!(twice.is_empty(), "{place}: {twice:?}");
                assert_eq!(world.changes + after, recorded.changes, "{place}: changes made in all");
                assert_eq!(
                    (ended.state, ended.outcome),
                    (recorded.row.state, recorded.row.outcome),
                    "{place}: {:?} {:?}",
                    ended.sentence,
                    ended.error
                );
            }
        }
        assert!(recorded.changes > 0 || recorded.records.len() > 3, "{} does nothing", case.runbook);
    }
    sandbook_tests::announce(&format!("simulation: {cuts} cuts of {} journals come to the same end", cases.len()));
}
