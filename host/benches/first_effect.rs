//! To the first effect driven: aim, lock, sandbox, gate, journal; an in-memory driver, no fsync. Twice: from the answer 202,
//! when its alert is accepted and durable, and from the first byte, with parsing, matching and the store before it.
//!
//! Figures stand in docs/benchmarks.md. Not a test: the machine is noisy, so compare medians of one run.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures::future::BoxFuture;
use sandbook::clock::System;
use sandbook::config::Config;
use sandbook::driver::Steps;
use sandbook::driver::docker::ExecState;
use sandbook::guest::{Compiler, Options, Sandbox};
use sandbook::intake::Intake;
use sandbook::library::{Library, StageChange};
use sandbook::metrics::Metrics;
use sandbook::policy::{Policy, load::Source};
use sandbook::runner::drivers::{Driver, Simulated};
use sandbook::runner::{Brakes, HostMatch, Parts, Runner};
use sandbook::store::{Sqlite, Store};
use sandbook_core::effect::Scope;
use sandbook_core::effect::docker::ContainerDetails;
use sandbook_core::error::Error;
use sandbook_core::gate::Permit;
use sandbook_core::run::{Mode, Stage};
use sandbook_core::target::{Resolved, Target};
use sandbook_core::world::World;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The simulated world, telling when an effect reaches it.
struct Told {
    inner: Simulated,
    tell: mpsc::UnboundedSender<Instant>,
}

impl Driver for Told {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        self.inner.resolve(own_host, scope)
    }
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.inner.members(host, service)
    }
    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>> {
        self.inner.population(host)
    }
    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        self.inner.details(target)
    }
    fn exec_state<'a>(&'a self, host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>> {
        self.inner.exec_state(host, exec)
    }
    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.inner.dependents_of(host, id)
    }
    fn is_own<'a>(&'a self, host: &'a str, name: &'a str) -> BoxFuture<'a, bool> {
        self.inner.is_own(host, name)
    }
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        let _ = self.tell.send(Instant::now());
        self.inner.drive(permit, steps)
    }
}

/// Where the clock starts.
#[derive(Clone, Copy)]
enum Since {
    /// With the message's bytes in memory.
    Read,
    /// With the receipt that is answered as 202: everything in it is committed.
    Accepted,
}

struct Engine {
    intake: Arc<Intake>,
    runner: Arc<Runner>,
    told: tokio::sync::Mutex<mpsc::UnboundedReceiver<Instant>>,
    serial: std::sync::atomic::AtomicU64,
}

impl Engine {
    async fn new() -> Engine {
        let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory().expect("a store"));
        let cache_dir = std::env::temp_dir().join("sandbook-bench-cache");
        let sandbox = Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("an engine");
        let config = Arc::new(Config::default());
        let policy = "permit (principal, action in Action::\"mutate\", resource);".to_owned();
        let policy =
            Policy::from_sources(&[Source { file: "bench.cedar".to_owned(), text: policy }], false).expect("valid");
        let library = Library::new(store.clone(), sandbox.clone(), config.clone());
        library.start().await.expect("a library");
        for name in ["restart-unhealthy", "restart-exited"] {
            let change =
                StageChange { stage: Stage::Live, reason: "bench".to_owned(), by: "bench".to_owned(), person: true };
            let digest = library.find(name, None).expect("built in").digest;
            library.set_stage(name, &digest, change).await.expect("promoted");
        }
        let (tell, told) = mpsc::unbounded_channel();
        let inner = Simulated(Arc::new(Mutex::new(World::invent_demo())));
        let parts = Parts::new(
            store.clone(),
            sandbox,
            Arc::new(Told { inner, tell }),
            Arc::new(System),
            Arc::new(Metrics::default()),
            Mode::Live,
            config.limits.clone(),
            Brakes::default(),
            policy,
        );
        let hosts = vec![HostMatch { name: "local".to_owned(), matchers: Vec::new() }];
        let runner = Runner::new(parts, library.clone(), hosts, 32, 100_000);
        let intake = Intake::new(store, library, runner.clone(), Vec::new());
        Engine { intake, runner, told: tokio::sync::Mutex::new(told), serial: std::sync::atomic::AtomicU64::new(0) }
    }

    /// One alert; how long until its run's first effect reached the driver.
    async fn first_effect(&self, alertname: &str, since: Since) -> Duration {
        let serial = self.serial.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // The healthy container: the runbook looks and finds nothing to do, so that every iteration is the same.
        let body = json!({"version": "4", "alerts": [{
            "status": "firing", "startsAt": "2026-01-01T00:00:00Z",
            "labels": {"alertname": alertname, "name": "shop-db-1", "host": "local", "severity": "warning", "serial": serial.to_string()},
        }]})
        .to_string();
        let mut told = self.told.lock().await;
        while told.try_recv().is_ok() {}
        let read = Instant::now();
        let receipt = self.intake.receive(body.as_bytes(), "bench", None).await.expect("accepted");
        let accepted = Instant::now();
        assert_eq!(receipt.runs.len(), 1, "{alertname} starts a run");
        let driven = told.recv().await.expect("an effect");
        drop(told);
        while self.runner.queue_length() > 0 || self.runner.parts().metrics.runs_active.get() > 0 {
            tokio::task::yield_now().await;
        }
        // Another worker may begin with the run before this one has its receipt in hand.
        driven.saturating_duration_since(match since {
            Since::Read => read,
            Since::Accepted => accepted,
        })
    }
}

fn first_effect(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let engine = Arc::new(runtime.block_on(Engine::new()));
    for (group, since) in [("accepted_to_first_effect", Since::Accepted), ("read_to_first_effect", Since::Read)] {
        let mut group = c.benchmark_group(group);
        group.sample_size(50).measurement_time(Duration::from_secs(8));
        for (name, alertname) in [("rust_guest", "ContainerExited"), ("rhai_page", "ContainerUnhealthy")] {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    // On a worker, where the daemon's own requests are handled.
                    let engine = engine.clone();
                    let measured = runtime.spawn(async move {
                        let mut total = Duration::ZERO;
                        for _ in 0..iterations {
                            total += engine.first_effect(alertname, since).await;
                        }
                        total
                    });
                    runtime.block_on(measured).expect("measured")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, first_effect);
criterion_main!(benches);
