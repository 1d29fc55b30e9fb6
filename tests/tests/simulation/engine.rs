//! One incarnation of the engine: intake, runner, gate, guests, library, policy and SQLite as the daemon builds them, over
//! the simulated clock, driver and store.
//!
//! Deliberately not here: what happens to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sandbook::config::Config;
use sandbook::guest::{Compiler, Options, Sandbox};
use sandbook::intake::Intake;
use sandbook::library::{Library, Package, StageChange, Upload};
use sandbook::metrics::Metrics;
use sandbook::policy::{Policy, load::Source};
use sandbook::runner::{Brakes, HostMatch, Parts, Runner};
use sandbook::store::{self, Sqlite, Store, VersionRow};
use sandbook_core::duration::Rate;
use sandbook_core::run::{Mode, Origin, Stage};

use crate::books::{BOOKS, BUILT_IN};
use crate::driver::{SimClock, SimDriver};
use crate::law::Rule;
use crate::sim::Shared;
use crate::store::SimStore;

/// The file in a data directory.
const DATABASE: &str = "sandbook.db";
/// Guests at once: fewer than runs, so that some wait for their turn.
const WORKERS: usize = 3;
/// Runs that may wait to start.
const QUEUE_MAX: usize = 64;

/// An engine at work.
pub struct Engine {
    pub store: Arc<SimStore>,
    pub library: Arc<Library>,
    pub runner: Arc<Runner>,
    pub intake: Arc<Intake>,
}

/// Where directories of the simulation are made: in memory, where the machine has such a place.
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// A sandbox that no tick of the machine's clock interrupts. One for each thread: its locks are not shared.
pub fn sandbox() -> Arc<Sandbox> {
    let cache_dir = std::env::temp_dir().join("sandbook-test-cache");
    Sandbox::untimed(Options { cache_dir, compiler: Compiler::InProcess }).expect("a sandbox")
}

/// A runtime of one thread whose clock stands still unless everybody waits.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

/// The policy of a rule.
pub fn policy(rule: Rule) -> Policy {
    let allow = "@id(\"allow\") permit (principal, action in Action::\"mutate\", resource);";
    let text = match rule {
        Rule::Allow => allow.to_owned(),
        Rule::Ask => format!("@id(\"ask\") @approval(\"ask\") {}", &allow["@id(\"allow\") ".len()..]),
        Rule::Forbid => {
            format!("{allow}\n@id(\"no\") forbid (principal, action in Action::\"mutate\", resource);")
        }
    };
    Policy::from_sources(&[Source { file: "simulation.cedar".to_owned(), text }], false)
        .expect("a valid policy")
        .with_egress(Box::new(|_, _| true))
        .with_channels(["ops".to_owned()], Some("ops".to_owned()))
}

fn rate(count: u32, window_ms: u64) -> Vec<Rate> {
    vec![Rate { count, window_ms }]
}

/// The folders of `tests/cases`.
pub fn cases() -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    let entries = std::fs::read_dir(folder).expect("cases").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.join("runbook.toml").is_file()).collect();
    cases.sort();
    cases
}

/// A case as a component; its twin in Rhai leaves the same journal.
pub fn component_of(case: &Path) -> Package {
    let copy = tempfile::tempdir().expect("a directory");
    for file in ["runbook.toml", "main.wasm"] {
        std::fs::copy(case.join(file), copy.path().join(file)).expect("copied");
    }
    let read = Package::read(Upload::Path(copy.path()));
    read.unwrap_or_else(|problems| panic!("{}: {problems:?}", case.display())).0
}

/// A database in which every runbook of the simulation is promoted: copied for each seed.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<tempfile::TempDir> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            let dir = tempfile::tempdir_in(scratch()).expect("a directory");
            // On another thread: this one may be inside a runtime.
            let path = dir.path().to_owned();
            std::thread::spawn(move || runtime().block_on(fill(&path))).join().expect("filled");
            // Whoever closes it without having read leaves everything in the one file.
            drop(Sqlite::open(dir.path()).expect("a store"));
            dir
        })
        .path()
}

async fn fill(dir: &Path) {
    let database: Arc<dyn Store> = Arc::new(Sqlite::open(dir).expect("a store"));
    let sandbox = sandbox();
    let library = Library::new(database.clone(), sandbox.clone(), Arc::new(Config::default()));
    library.start().await.expect("a library");
    for book in BOOKS {
        let file = book.file();
        library.upload(file.as_bytes(), Some("text/x-rhai"), "simulation", None).await.unwrap_or_else(|error| {
            panic!("{}: {error}: {error:?}", book.name());
        });
    }
    for case in cases() {
        // Not uploaded: a case may ask for what its manifest does not request.
        let package = component_of(&case);
        let row = VersionRow {
            name: package.name.clone(),
            version: package.version.clone(),
            digest: package.digest.clone(),
            origin: Origin::Person,
            source: store::Source::Upload,
            manifest_json: serde_json::to_string(&package.manifest).expect("data"),
            package: package.to_tar(),
            at: 1,
            by: "simulation".to_owned(),
        };
        database.put_version(row).await.expect("stored");
        sandbox.report(&package.code).await.expect("it compiles");
    }
    let built_in = BUILT_IN.iter().map(|(_, name)| *name);
    for name in BOOKS.iter().map(|book| book.name()).chain(built_in) {
        let change = StageChange {
            stage: Stage::Live,
            reason: "simulated".to_owned(),
            by: "simulation".to_owned(),
            person: true,
        };
        let digest = library.find(name, None).expect("known").digest;
        // What is not in the cache is compiled on another thread, while the simulated engine goes on: a seed would not play
        // the same twice. So everything is compiled before one is played.
        let package = library.package_by_digest(&digest).await.expect("read").expect("stored");
        sandbox.report(&package.code).await.expect("it compiles");
        library.set_stage(name, &digest, change).await.expect("promoted");
    }
}

/// A data directory with every runbook in it.
pub fn data_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(scratch()).expect("a directory");
    std::fs::copy(template().join(DATABASE), dir.path().join(DATABASE)).expect("copied");
    dir
}

impl Engine {
    /// Built over a data directory, not started. An error is what a daemon would end with.
    pub async fn build(sim: &Shared, dir: &Path, sandbox: &Arc<Sandbox>) -> Result<Engine, String> {
        let sqlite = Sqlite::open(dir).map_err(|error| error.to_string())?;
        let store = Arc::new(SimStore::new(sqlite, sim.clone()));
        let config = Arc::new(Config::default());
        let library = Library::new(store.clone(), sandbox.clone(), config.clone());
        library.start().await.map_err(|error| error.to_string())?;
        let brakes = Brakes {
            per_runbook_target: rate(3, 600_000),
            per_host: rate(14, 600_000),
            settle_ms: 20_000,
            ..Brakes::default()
        };
        let (rule, unbraked) = {
            let sim = sim.lock();
            (sim.law.rule, sim.law.unbraked)
        };
        let brakes = if unbraked { Brakes::default() } else { brakes };
        let parts = Parts::new(
            store.clone(),
            sandbox.clone(),
            Arc::new(SimDriver(sim.clone())),
            Arc::new(SimClock(sim.clone())),
            Arc::new(Metrics::default()),
            Mode::Live,
            config.limits.clone(),
            brakes,
            policy(rule),
        );
        let hosts = vec![HostMatch { name: "local".to_owned(), matchers: Vec::new() }];
        let runner = Runner::new(parts, library.clone(), hosts, WORKERS, QUEUE_MAX);
        let intake = Intake::new(store.clone(), library.clone(), runner.clone(), Vec::new());
        Ok(Engine { store, library, runner, intake })
    }

    /// The policy in force from now on.
    pub fn rule(&self, sim: &Shared, rule: Rule) {
        sim.lock().law.rule = rule;
        self.runner.parts().set_policy(policy(rule));
    }
}
