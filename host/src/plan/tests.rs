//! Plan, then apply: for random worlds and random sequences of effects, an apply on the world the plan looked at drives
//! exactly the changes of the plan, and asks nobody.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use sandbook_core::effect::docker::{Health, Status};
use sandbook_core::run::{Mode, State};
use sandbook_core::world::{Container, World};
use tokio::runtime::Runtime;

use super::*;
use crate::config::Config;
use crate::guest::{Compiler, Options, Sandbox};
use crate::library::{Library, Upload};
use crate::policy::{Policy, load::Source as PolicySource};
use crate::runner::drivers::Simulated;
use crate::runner::{Brakes, HostMatch, Parts};
use crate::store::{Source, Sqlite, Store, VersionRow};

/// Does what its parameter says, and changes its mind by what it sees.
const MOVES: &str = r#"//! name = "moves"
//! version = "1.0.0"
//! summary = "Does what it is told."
//! [target]
//! kind = "none"
//! [parameters.moves]
//! type = "text"
//! default = ""
//! [requests]
//! effects = ["docker.inspect-container", "docker.list-containers", "docker.restart-container", "docker.start-container", "docker.stop-container", "docker.kill-container", "docker.pause-container", "docker.unpause-container"]
fn run(input) {
    for move in input.parameters.moves.split(" ") {
        let parts = move.split(":");
        try {
            switch parts[0] {
                "restart" => docker::restart_container(parts[1]),
                "start" => docker::start_container(parts[1]),
                "stop" => docker::stop_container(parts[1]),
                "kill" => docker::kill_container(parts[1]),
                "pause" => docker::pause_container(parts[1]),
                "unpause" => docker::unpause_container(parts[1]),
                "wait" => clock::sleep(7000),
                "heal" => if docker::inspect_container(parts[1]).state.health == "unhealthy" { docker::restart_container(parts[1]) },
                "revive" => if docker::inspect_container(parts[1]).state.status != "running" { docker::start_container(parts[1]) },
                "stop_running" => for one in docker::list_containers(#{ all: true }) {
                    if one.status == "running" && one.name == parts[1] { docker::stop_container(one.name); }
                },
            }
        } catch (problem) { print(problem.kind); }
    }
    done("did them")
}
"#;
const NAMES: [&str; 3] = ["a", "b", "c"];
const VERBS: [&str; 10] =
    ["restart", "start", "stop", "kill", "pause", "unpause", "wait", "heal", "revive", "stop_running"];
/// Worlds and runbooks tried: each is a whole engine, a plan and a run.
const CASES: u32 = 48;
const EVERYTHING: &str = "@id(\"all\") permit (principal, action in Action::\"mutate\", resource);";

struct Bench {
    runner: Arc<Runner>,
    planner: Planner,
    store: Arc<dyn Store>,
    package: Arc<Package>,
}

async fn bench(sandbox: &Arc<Sandbox>, world: World) -> Bench {
    let world = Arc::new(Mutex::new(world));
    let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory().expect("a store"));
    let config = Arc::new(Config::default());
    let source = PolicySource { file: "test.cedar".to_owned(), text: EVERYTHING.to_owned() };
    let policy = Policy::from_sources(&[source], false).expect("valid");
    let library = Library::new(store.clone(), sandbox.clone(), config.clone());
    let parts = Parts::new(
        store.clone(),
        sandbox.clone(),
        Arc::new(Simulated(world.clone())),
        Arc::new(Virtual(world)),
        Arc::default(),
        Mode::Simulate,
        config.limits.clone(),
        Brakes::default(),
        policy,
    );
    let hosts = vec![HostMatch { name: "local".to_owned(), matchers: Vec::new() }];
    let runner = Runner::new(parts, library, hosts, 4, 100);
    let upload = Upload::Bytes { bytes: MOVES.as_bytes(), content_type: Some("text/x-rhai") };
    let package = Arc::new(Package::read(upload).unwrap_or_else(|problems| panic!("{problems:?}")).0);
    let row = VersionRow {
        name: package.name.clone(),
        version: package.version.clone(),
        digest: package.digest.clone(),
        origin: package.origin,
        source: Source::Upload,
        manifest_json: serde_json::to_string(&package.manifest).expect("data"),
        package: package.to_tar(),
        at: 1,
        by: "test".to_owned(),
    };
    store.put_version(row).await.expect("stored");
    Bench { planner: Planner::new(runner.clone()), runner, store, package }
}

impl Bench {
    async fn plan(&self, moves: &str) -> Plan {
        let parameters = [("moves".to_owned(), moves.to_owned())].into();
        let (package, hint) = (self.package.clone(), Hint::default());
        let (assumptions, by) = (Vec::new(), "test".to_owned());
        let (stage, to_apply, notify, alert, episode) = (Stage::Live, false, false, None, None);
        let request = Request { package, stage, hint, alert, episode, parameters, assumptions, by, notify, to_apply };
        self.planner.make(request).await.expect("a plan")
    }

    /// What the run that applies it changed, in order, once it is over.
    async fn apply(&self, plan: &Plan) -> Vec<sandbook_core::journal::Act> {
        let row = self.store.plan(&plan.plan).await.expect("read").expect("kept");
        let run = self.planner.apply(&row, "test").await.expect("the world is as it was");
        for _ in 0..30_000 {
            let found = self.store.run(&run).await.expect("read").expect("there");
            assert_ne!(found.state, State::Waiting, "it asks: {:?}", self.store.approvals(true).await);
            if found.state.is_final() {
                assert_eq!(found.outcome, Some(Outcome::Done), "{found:?}");
                let records = self.store.records(&run).await.expect("read");
                return acts(&Journal::fold(records).expect("a journal"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{run} does not end");
    }
}

fn container() -> impl Strategy<Value = Container> {
    let status = prop_oneof![Just(Status::Running), Just(Status::Exited), Just(Status::Paused), Just(Status::Created)];
    let health = prop_oneof![Just(Health::None), Just(Health::Healthy), Just(Health::Unhealthy)];
    (status, health).prop_map(|(status, health)| Container {
        image: "test:1".to_owned(),
        has_healthcheck: health != Health::None,
        status,
        health: if status == Status::Running { health } else { Health::None },
        ..Container::default()
    })
}

fn world() -> impl Strategy<Value = World> {
    prop::collection::vec(container(), NAMES.len()).prop_map(|containers| {
        let mut text = World::default();
        let host = text.hosts.entry("local".to_owned()).or_default();
        for (name, container) in NAMES.iter().zip(containers) {
            host.containers.insert((*name).to_owned(), Container { name: (*name).to_owned(), ..container });
        }
        // Through a file, so that what is left out is filled in as it is everywhere.
        toml::from_str(&toml::to_string(&text).expect("data")).expect("a world")
    })
}

fn moves() -> impl Strategy<Value = String> {
    let one = (prop::sample::select(&VERBS[..]), prop::sample::select(&NAMES[..]));
    let one = one.prop_map(|(verb, name)| format!("{verb}:{name}"));
    prop::collection::vec(one, 1..9).prop_map(|moves| moves.join(" "))
}

#[test]
fn an_apply_drives_exactly_what_was_planned() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { cache_dir: folder.path().to_owned(), compiler: Compiler::InProcess };
    let sandbox = Sandbox::new(options).expect("a sandbox");
    let seen = std::cell::Cell::new(0);
    let mut cases = TestRunner::new(Cases { cases: CASES, failure_persistence: None, ..Cases::default() });
    let tried = cases.run(&(world(), moves()), |(world, moves)| {
        let (planned, applied) = runtime.block_on(async {
            let bench = bench(&sandbox, world).await;
            let plan = bench.plan(&moves).await;
            let row = bench.store.plan(&plan.plan).await.expect("read").expect("kept");
            let planned = acts(&Journal::fold(row.records).expect("a journal"));
            (planned, bench.apply(&plan).await)
        });
        seen.set(seen.get() + planned.len());
        prop_assert_eq!(planned, applied, "{}", moves);
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(seen.get() > 50, "hardly anything was changed: {}", seen.get());
}

#[test]
fn whoever_comes_after_too_many_is_told_to_try_again() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { cache_dir: folder.path().to_owned(), compiler: Compiler::InProcess };
    let sandbox = Sandbox::new(options).expect("a sandbox");
    runtime.block_on(async {
        let bench = bench(&sandbox, World::default()).await;
        let places = bench.planner.places.acquire_many(u32::try_from(AT_ONCE_MAX).expect("few")).await;
        bench.planner.waiting.store(WAITING_MAX, Ordering::Relaxed);
        let request = Request {
            package: bench.package.clone(),
            stage: Stage::Draft,
            hint: Hint::default(),
            alert: None,
            episode: None,
            parameters: BTreeMap::new(),
            assumptions: Vec::new(),
            by: "test".to_owned(),
            notify: false,
            to_apply: false,
        };
        assert!(matches!(bench.planner.make(request.clone()).await, Err(Error::Busy)));
        bench.planner.waiting.store(0, Ordering::Relaxed);
        drop(places);
        bench.planner.make(request).await.expect("there is room again");
        assert_eq!(bench.planner.waiting.load(Ordering::Relaxed), 0);
        drop(bench.runner);
    });
}
