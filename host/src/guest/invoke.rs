//! One execution: a new store with its limits, an instance, a call, and what came of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbook_core::journal::Limits;
use sandbook_core::run::Outcome;
use serde_json::{Value, json};
use wasmtime::component::{Func, Instance, ResourceTable, Val};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

use super::context::{Ask, Asks, Context, Memory};
use super::engine::{Program, TICK_MS};
use super::{Call, Code, Ended, Exceeded, GuestProblem, Perform, Place, Report, Stopped, convert, link, wasi};

/// Table elements of one guest at the most: the interpreter has 3,000, a Python guest 12,000.
pub(super) const TABLE_ELEMENTS_MAX: usize = 50_000;
/// Bytes a guest may have the host allocate in one call: strings and lists lifted into JSON.
const HOSTCALL_BYTES: usize = 2 << 20;
/// Limits of a check: it parses, it never runs code.
const CHECK_CPU_MS: u64 = 5_000;
/// How often the wall clock is looked at.
const WALL_LOOK: Duration = Duration::from_millis(200);

/// What a script's source is compared with.
fn source_of(code: &Code) -> Option<&str> {
    match code {
        Code::Script(source) => Some(source),
        Code::Wasm(_) => None,
    }
}

/// Executes `run` or `verify` of a program.
pub(super) async fn run(engine: &Engine, program: &Program, call: Call<'_>) -> Ended {
    let door = call.door.clone();
    let (asks, asked) = Asks::channel();
    let mut store = store(engine, door.clone(), asks, call.limits, call.seed);
    let refused = store.data().memory.refused.clone();
    let output = store.data().output.clone();
    let guest = async {
        let instance = program.pre.instantiate_async(&mut store).await?;
        match call.code {
            Code::Wasm(_) => invoke(&mut store, &instance, call.entry.name(), std::slice::from_ref(call.input)).await,
            Code::Script(source) => {
                let arguments = [json!(source.as_ref()), json!(call.entry.name()), call.input.clone()];
                invoke(&mut store, &instance, "run-script", &arguments).await
            }
        }
    };
    let answer = match attend(guest, asked, &door, call.limits).await {
        Ok(answer) => answer,
        Err(ended) => return ended,
    };
    for line in output.take_all() {
        if door.perform(wasi::note(line)).await == Err(Stopped) {
            return Ended::Stopped;
        }
    }
    match answer {
        Ok(json) => read_answer(&json, source_of(call.code)),
        Err(error) => trapped(&error, refused.load(Ordering::Relaxed), call.limits),
    }
}

/// Executes the guest and performs what it asks for, one effect at a time, on this task's own stack. An effect that was
/// begun is brought to its end even when the run is stopped meanwhile: its outcome must be recorded.
async fn attend(
    guest: impl Future<Output = Result<Value>>,
    mut asked: tokio::sync::mpsc::UnboundedReceiver<Ask>,
    door: &Arc<dyn Perform>,
    limits: &Limits,
) -> Result<Result<Value>, Ended> {
    let mut guest = std::pin::pin!(guest);
    let mut wall = std::pin::pin!(out_of_wall(door, limits.wall_ms));
    loop {
        tokio::select! {
            biased;
            () = door.stopped() => return Err(Ended::Stopped),
            () = &mut wall => return Err(exceeded(Exceeded::Wall, limits)),
            Some((effect, reply)) = asked.recv() => match door.perform(effect).await {
                // A guest that is gone takes no answer.
                Ok(answer) => drop(reply.send(answer)),
                Err(Stopped) => return Err(Ended::Stopped),
            },
            answer = &mut guest => return Ok(answer),
        }
    }
}

/// Resolves when the run has used up its wall time; waits do not count because they drop the guest or are subtracted by
/// whoever performs them.
async fn out_of_wall(door: &Arc<dyn Perform>, wall_ms: u64) {
    let mut left = Duration::from_millis(wall_ms);
    loop {
        let before = Instant::now();
        tokio::time::sleep(WALL_LOOK.min(left)).await;
        if !door.replaying() && !door.waiting() {
            left = left.saturating_sub(before.elapsed());
        }
        if left.is_zero() {
            return;
        }
    }
}

fn store(engine: &Engine, door: Arc<dyn Perform>, asks: Asks, limits: &Limits, seed: u64) -> Store<Context> {
    let output = wasi::Output::default();
    let context = Context {
        wasi: wasi::context(&door, &output, seed),
        memory: Memory::new(limits.memory_bytes, TABLE_ELEMENTS_MAX),
        table: ResourceTable::new(),
        ticks: 0,
        ticks_max: limits.cpu_ms.div_ceil(TICK_MS),
        output,
        door,
        asks,
    };
    let mut store = Store::new(engine, context);
    store.limiter(|context| &mut context.memory);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let context = context.data_mut();
        if !context.door.replaying() {
            context.ticks += 1;
        }
        if context.ticks > context.ticks_max {
            return Err(wasmtime::Error::msg(OUT_OF_CPU));
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

/// How the callback's error is recognised again.
const OUT_OF_CPU: &str = "the guest used up its CPU time";

/// Calls an export with JSON arguments; the answer as JSON.
async fn invoke(store: &mut Store<Context>, instance: &Instance, name: &str, arguments: &[Value]) -> Result<Value> {
    let function: Func =
        instance.get_func(&mut *store, name).with_context(|| format!("the component exports no function `{name}`"))?;
    let ty = function.ty(&*store);
    let params: Result<Vec<Val>> =
        ty.params().zip(arguments).map(|((_, ty), json)| convert::from_json(json, &ty)).collect();
    let params = params.with_context(|| format!("`{name}` does not have the parameters of {}", super::ABI))?;
    let result_ty = ty.results().next();
    let mut results = vec![Val::Bool(false); usize::from(result_ty.is_some())];
    function.call_async(&mut *store, &params, &mut results).await.map_err(anyhow::Error::from)?;
    match (results.first(), result_ty) {
        (Some(value), Some(ty)) => convert::to_json(value, &ty),
        (None, _) | (_, None) => Ok(Value::Null),
    }
}

fn read_answer(json: &Value, source: Option<&str>) -> Ended {
    if let Some(outcome) = json.get("ok") {
        return read_outcome(outcome);
    }
    let Some(report) = json.get("err") else {
        return Ended::Trap { exceeded: None, message: format!("the guest returned {json}, which is no outcome") };
    };
    match report.get("cause") {
        Some(cause) => {
            let mut error = link::error_from_json(cause);
            let problem = read_problem(&report["problem"]);
            if error.message.is_empty() {
                error.message.clone_from(&problem.message);
            }
            Ended::Error(error, source.and_then(|source| place(&problem, source)))
        }
        None => Ended::Error(link::error_from_json(report), None),
    }
}

fn read_outcome(json: &Value) -> Ended {
    // `verify` of a component answers with a bool.
    if let Some(holds) = json.as_bool() {
        return Ended::Outcome(if holds { Outcome::Done } else { Outcome::NothingToDo }, String::new());
    }
    let case = json.as_object().and_then(|object| object.iter().next());
    let Some((word, sentence)) = case else {
        return Ended::Trap { exceeded: None, message: "the guest returned no outcome".to_owned() };
    };
    let mut sentence = sentence.as_str().unwrap_or_default().to_owned();
    sandbook_core::error::truncate_at_char(&mut sentence, SENTENCE_BYTES_MAX);
    match Outcome::from_name(word) {
        Some(outcome) => Ended::Outcome(outcome, sentence),
        None => Ended::Trap { exceeded: None, message: format!("the guest returned an unknown outcome `{word}`") },
    }
}

/// An outcome is a sentence, not a report: that is what evidence is for.
const SENTENCE_BYTES_MAX: usize = 2_000;

fn place(problem: &GuestProblem, source: &str) -> Option<Place> {
    let line = usize::try_from(problem.line).ok()?.checked_sub(1)?;
    let text = source.lines().nth(line).unwrap_or("").trim_end().to_owned();
    Some(Place { line: problem.line, column: problem.column, source: text })
}

fn trapped(error: &anyhow::Error, refused_memory: bool, limits: &Limits) -> Ended {
    let trap = error.downcast_ref::<Trap>();
    if format!("{error:#}").contains(OUT_OF_CPU) {
        return exceeded(Exceeded::Cpu, limits);
    }
    if refused_memory {
        return exceeded(Exceeded::Memory, limits);
    }
    if trap == Some(&Trap::StackOverflow) {
        return exceeded(Exceeded::Stack, limits);
    }
    let message = match trap {
        Some(Trap::UnreachableCodeReached) => "the guest aborted (a panic or an explicit trap)".to_owned(),
        Some(trap) => format!("the guest trapped: {trap}"),
        None => format!("the guest failed: {}", error.root_cause()),
    };
    Ended::Trap { exceeded: None, message }
}

/// How a guest ends at one of its limits.
pub fn exceeded(limit: Exceeded, limits: &Limits) -> Ended {
    let message = match limit {
        Exceeded::Cpu => {
            format!("used more than its {} ms of CPU; raise `cpu` under [limits] if it needs more", limits.cpu_ms)
        }
        Exceeded::Memory => {
            format!(
                "used more than its {} MiB of memory; raise `memory` under [limits] if it needs more",
                limits.memory_bytes >> 20
            )
        }
        Exceeded::Wall => format!(
            "took longer than {} s without its waits; raise `wall` under [limits] if it needs more",
            limits.wall_ms / 1000
        ),
        Exceeded::Stack => "recursed too deeply for its stack".to_owned(),
    };
    Ended::Trap { exceeded: Some(limit), message }
}

/// A door that leads nowhere: checks run no effects.
struct NoDoor;

impl Perform for NoDoor {
    fn perform(
        &self,
        _effect: sandbook_core::effect::Effect,
    ) -> futures::future::BoxFuture<'_, Result<Result<Value, sandbook_core::error::Error>, Stopped>> {
        Box::pin(async { Ok(Err(sandbook_core::error::Error::denied("a check performs no effects"))) })
    }
    fn journal_time_ms(&self) -> u64 {
        0
    }
    fn replaying(&self) -> bool {
        false
    }
    fn waiting(&self) -> bool {
        false
    }
    fn stopped(&self) -> futures::future::BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

async fn ask_interpreter(engine: &Engine, program: &Program, export: &str, arguments: &[Value]) -> Result<Value> {
    let limits = Limits { cpu_ms: CHECK_CPU_MS, ..Limits::default() };
    let mut store = store(engine, Arc::new(NoDoor), Asks::channel().0, &limits, 0);
    let instance = program.pre.instantiate_async(&mut store).await?;
    invoke(&mut store, &instance, export, arguments).await
}

/// Parses and checks a script; never runs its code.
pub(super) async fn check_script(engine: &Engine, program: &Program, source: &str) -> Result<Report> {
    let json = match ask_interpreter(engine, program, "check", &[json!(source)]).await {
        Ok(json) => json,
        Err(error) => {
            let message = format!("the script cannot be parsed within the sandbox's limits: {}", error.root_cause());
            let problem = GuestProblem {
                line: 1,
                column: 1,
                message,
                help: "make it smaller and less nested".to_owned(),
                warning: false,
            };
            return Ok(Report { problems: vec![problem], ..Report::default() });
        }
    };
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    Ok(Report {
        problems: json["problems"].as_array().into_iter().flatten().map(read_problem).collect(),
        effects: strings(&json["effects"]),
        has_verify: json["has_verify"].as_bool().unwrap_or(false),
    })
}

/// Every function a script can call.
pub(super) async fn script_functions(engine: &Engine, program: &Program) -> Result<Vec<String>> {
    let json = ask_interpreter(engine, program, "functions", &[]).await?;
    Ok(json.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

fn read_problem(json: &Value) -> GuestProblem {
    let number = |key: &str| json[key].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    GuestProblem {
        line: number("line"),
        column: number("column"),
        message: text("message"),
        help: text("help"),
        warning: json["warning"].as_bool().unwrap_or(false),
    }
}
