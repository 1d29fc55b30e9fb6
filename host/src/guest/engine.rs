//! One engine for all guests, and what is ready to run: compiled components by digest, in memory and on disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::{Mutex, OnceCell};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::audit::Audit;
use super::context::Context;
use super::{Call, Code, Ended, Entry, INTERPRETER, Options, Report, compile, invoke, link};

/// How often guests are looked at: CPU is counted in ticks of this length, in milliseconds. Shorter costs switches,
/// longer makes a 50 ms limit coarse.
pub(super) const TICK_MS: u64 = 5;
/// Guests alive at once: each run needs one instance, and checks a few more. Waiting runs need none.
pub(super) const GUESTS_MAX: u32 = 256;
/// Largest linear memory of one guest, in bytes: what a Python or JavaScript runbook may be given.
pub const MEMORY_BYTES_MAX: usize = 256 << 20;
/// The guest's stack, in bytes. Rhai's own depth limits stay well inside.
const STACK_BYTES: usize = 512 << 10;
/// The fiber's stack: the guest's and room for host calls.
const FIBER_BYTES: usize = 2 << 20;
/// Memory of a slot that stays resident between guests, in bytes: most Rust guests use less.
const KEEP_RESIDENT_BYTES: usize = 128 << 10;
/// Slots given back to the kernel at once: each time interrupts every core.
const DECOMMIT_BATCH: usize = 8;
/// Slots that keep it.
const WARM_SLOTS_MAX: u32 = 32;
/// Compiled programs kept in memory; the catalogue and every uploaded version of a busy month fit.
const PROGRAMS_MAX: usize = 512;

/// A program ready to be instantiated.
pub(super) struct Program {
    pub(super) pre: InstancePre<Context>,
    pub(super) imports: Audit,
    pub(super) has_verify: bool,
}

/// A program that is loaded once, however many ask for it at the same time.
type Loading = Arc<OnceCell<Arc<Program>>>;

/// The sandbox.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Context>,
    interpreter_linker: Linker<Context>,
    options: Options,
    programs: Mutex<HashMap<[u8; 32], Loading>>,
}

/// Settings that decide what compiled code looks like; the same in the compiling child.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_BYTES)
        .memory_init_cow(true);
    config
}

fn pooled() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(GUESTS_MAX)
        // A Python guest is about ten core instances, a Rust one is one or two.
        .total_core_instances(GUESTS_MAX * 8)
        .total_memories(GUESTS_MAX * 2)
        .total_tables(GUESTS_MAX * 8)
        .total_stacks(GUESTS_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .max_core_instances_per_component(40)
        .max_memories_per_component(8)
        .max_tables_per_component(40)
        .max_memories_per_module(4)
        .max_tables_per_module(16)
        // Cleared by writing instead of unmapping: unmapping interrupts every core, once a run.
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(KEEP_RESIDENT_BYTES)
        .decommit_batch_size(DECOMMIT_BATCH)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .table_elements(invoke::TABLE_ELEMENTS_MAX)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

impl Sandbox {
    /// A sandbox with its engine and linkers. Compiles nothing yet.
    ///
    /// # Errors
    /// When the cache directory cannot be made or the machine gives no address space.
    pub fn new(options: Options) -> Result<Arc<Sandbox>> {
        let sandbox = Sandbox::untimed(options)?;
        tick(sandbox.engine.weak());
        Ok(sandbox)
    }

    /// The same without its clock: CPU is not counted and nothing interrupts a guest, so that the order of tasks never
    /// depends on how fast the machine is. For the deterministic simulation, whose guests are known to end.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn untimed(options: Options) -> Result<Arc<Sandbox>> {
        std::fs::create_dir_all(&options.cache_dir)
            .with_context(|| format!("cannot create the compile cache {}", options.cache_dir.display()))?;
        let engine =
            Engine::new(&pooled()).map_err(anyhow::Error::from).context("cannot set up the WebAssembly engine")?;
        let contract = link::Contract::parse()?;
        Ok(Arc::new(Sandbox {
            linker: link::runbook(&engine, &contract)?,
            interpreter_linker: link::interpreter(&engine)?,
            options,
            programs: Mutex::new(HashMap::new()),
            engine,
        }))
    }

    /// Compiles what is not in the cache and keeps it in memory. What is wrong with it is an error for its author.
    pub(super) async fn program(&self, code: &Code) -> Result<Arc<Program>> {
        let (bytes, key, script) = match code {
            Code::Wasm(binary) => (&binary[..], binary.hash(), false),
            Code::Script(_) => (INTERPRETER, [0; 32], true),
        };
        let cell = {
            let mut programs = self.programs.lock().await;
            if programs.len() > PROGRAMS_MAX {
                programs.retain(|_, cell| !cell.initialized() || Arc::strong_count(cell) > 1);
            }
            programs.entry(key).or_default().clone()
        };
        cell.get_or_try_init(|| self.load(bytes, script)).await.cloned()
    }

    async fn load(&self, bytes: &[u8], interpreter: bool) -> Result<Arc<Program>> {
        let component: Component = compile::load(&self.engine, &self.options, bytes).await?;
        let imports = Audit::of(&self.engine, &component);
        let linker = if interpreter { &self.interpreter_linker } else { &self.linker };
        if !interpreter {
            imports.check()?;
        }
        let pre = linker
            .instantiate_pre(&component)
            .map_err(anyhow::Error::from)
            .context("the component does not fit the guest contract")?;
        let export = |name: &str| component.get_export_index(None, name).is_some();
        if !interpreter && !export(Entry::Run.name()) {
            anyhow::bail!("the component exports no function `run`; export the world `runbook` of {}", super::ABI);
        }
        let has_verify = export(Entry::Verify.name());
        Ok(Arc::new(Program { pre, imports, has_verify }))
    }

    /// Compiles ahead of time, and says what the code can ask for. Never runs a component's code; a script is parsed by
    /// the interpreter inside the sandbox.
    ///
    /// # Errors
    /// What is wrong with a component, in a sentence. Problems of a script are in the report.
    pub async fn report(&self, code: &Code) -> Result<Report> {
        let program = self.program(code).await?;
        match code {
            Code::Wasm(_) => {
                Ok(Report { problems: Vec::new(), effects: program.imports.effects(), has_verify: program.has_verify })
            }
            Code::Script(source) => invoke::check_script(&self.engine, &program, source).await,
        }
    }

    /// Every function a script can call, for the audit of what is reachable.
    pub async fn script_functions(&self) -> Result<Vec<String>> {
        let program = self.program(&Code::Script("".into())).await?;
        invoke::script_functions(&self.engine, &program).await
    }

    /// Executes a guest to its end, or until the door stops it.
    pub async fn run(&self, call: Call<'_>) -> Ended {
        let program = match self.program(call.code).await {
            Ok(program) => program,
            Err(error) => return Ended::Trap { exceeded: None, message: format!("{error:#}") },
        };
        invoke::run(&self.engine, &program, call).await
    }

    /// Compiles the interpreter if it is not cached, so that the first script does not wait.
    pub async fn warm(&self) -> Result<()> {
        self.program(&Code::Script("".into())).await.map(drop)
    }

    /// Every import the linkers satisfy, for the audit of what is reachable.
    pub fn contract() -> Result<Vec<String>> {
        Ok(link::Contract::parse()?
            .functions()
            .map(|(interface, function)| format!("{interface}.{function}"))
            .collect())
    }
}

/// Advances the epoch until the engine is gone.
fn tick(engine: wasmtime::EngineWeak) {
    let spawned = std::thread::Builder::new().name("guest-ticks".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(Duration::from_millis(TICK_MS));
        }
    });
    drop(spawned.expect("a thread at start-up"));
}
