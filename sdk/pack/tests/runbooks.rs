//! The built-in runbooks, really run against scripted answers, and held against their manifests: what a component imports, or
//! a script calls, is what its `runbook.toml` requests.
#![cfg(feature = "build")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Store};

/// Effects that need no request.
const FREE: [&str; 4] = ["log.", "clock.", "state.", "random."];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the world answers: by effect, one answer per call, the last one repeated; `null` where nothing is scripted.
#[derive(Clone, Default)]
struct World {
    answers: BTreeMap<&'static str, Vec<Value>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn with(mut self, effect: &'static str, answers: &[Value]) -> Self {
        self.answers.insert(effect, answers.to_vec());
        self
    }

    /// An answer `{"denied": "…"}` or `{"limited": "…"}` is an error.
    fn answer(&self, effect: &str) -> Value {
        let mut calls = self.calls.lock().expect("a lock");
        let before = calls.iter().filter(|called| *called == effect).count();
        calls.push(effect.to_owned());
        let scripted = self.answers.get(effect);
        scripted.and_then(|answers| answers.get(before).or(answers.last())).cloned().unwrap_or(Value::Null)
    }

    fn called(&self) -> Vec<String> {
        self.calls.lock().expect("a lock").iter().filter(|effect| !effect.starts_with("log.")).cloned().collect()
    }
}

fn denied(value: &Value) -> Option<Val> {
    let (kind, text) = ["denied", "limited"].iter().find_map(|kind| Some((*kind, value.get(*kind)?.as_str()?)))?;
    Some(Val::Variant(kind.into(), Some(Box::new(Val::String(text.into())))))
}

/// A value of a WIT type from the JSON that the contract maps it to.
fn val(ty: &Type, value: &Value) -> Val {
    let number = || value.as_f64().unwrap_or_default();
    match ty {
        Type::Bool => Val::Bool(value.as_bool().unwrap_or_default()),
        Type::U8 => Val::U8(number() as u8),
        Type::U32 => Val::U32(number() as u32),
        Type::U64 => Val::U64(number() as u64),
        Type::S32 => Val::S32(number() as i32),
        Type::S64 => Val::S64(number() as i64),
        Type::Float64 => Val::Float64(number()),
        Type::String => Val::String(value.as_str().unwrap_or_default().into()),
        Type::Enum(cases) => {
            Val::Enum(value.as_str().map_or_else(|| cases.names().next().expect("a case").into(), str::to_owned))
        }
        Type::Option(_) if value.is_null() => Val::Option(None),
        Type::Option(inner) => Val::Option(Some(Box::new(val(&inner.ty(), value)))),
        Type::List(inner) => {
            Val::List(value.as_array().into_iter().flatten().map(|item| val(&inner.ty(), item)).collect())
        }
        Type::Record(record) => {
            let field = |name: &str| value.get(name.replace('-', "_")).cloned().unwrap_or(Value::Null);
            Val::Record(
                record.fields().map(|entry| (entry.name.to_owned(), val(&entry.ty, &field(entry.name)))).collect(),
            )
        }
        other => panic!("no answer has type {other:?}"),
    }
}

/// `grace` and `patience` are what the built-ins know.
fn input() -> Val {
    let target = [("handle", "t:web"), ("host", "local"), ("name", "web")]
        .map(|(name, text)| (name.to_owned(), Val::String(text.into())));
    let [handle, host, name] = target;
    let kind = ("kind".to_owned(), Val::Enum("container".into()));
    let target = Val::Record(vec![handle, host, kind, name, ("id".to_owned(), Val::Option(None))]);
    let grace = Val::Variant("duration".into(), Some(Box::new(Val::U64(5_000))));
    let patience = Val::Variant("duration".into(), Some(Box::new(Val::U64(6_000))));
    let parameters = [("grace", grace), ("patience", patience)];
    let parameters = parameters.map(|(name, value)| Val::Tuple(vec![Val::String(name.into()), value]));
    let parameters = Val::List(parameters.to_vec());
    Val::Record(vec![
        ("alert".into(), Val::Option(None)),
        ("target".into(), Val::Option(Some(Box::new(target)))),
        ("parameters".into(), parameters),
    ])
}

fn outcome(result: &Val) -> String {
    match result {
        Val::Result(Ok(Some(value)) | Err(Some(value))) => outcome(value),
        Val::Variant(case, Some(text)) => format!("{case}: {}", outcome(text)),
        Val::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// The effects a component imports, each answered by the world.
fn link(engine: &Engine, component: &Component, linker: &mut Linker<()>, world: &World) -> BTreeSet<String> {
    let mut imported = BTreeSet::new();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { panic!("{name} is no interface") };
        let interface = name.trim_start_matches("sandbook:runbook/").trim_end_matches("@1.0.0");
        for (function, item) in
            instance.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
        {
            let effect = format!("{interface}.{function}");
            imported.insert(effect.clone());
            let ComponentItem::ComponentFunc(_) = item.ty else { continue };
            let world = world.clone();
            let answer = move |_: wasmtime::StoreContextMut<'_, ()>,
                               ty: wasmtime::component::types::ComponentFunc,
                               arguments: &[Val],
                               results: &mut [Val]| {
                if effect == "dynamic.call" {
                    let Val::String(called) = &arguments[0] else { panic!("a name") };
                    let value = world.answer(called);
                    results[0] = Val::Result(match denied(&value) {
                        Some(error) => Err(Some(Box::new(error))),
                        None => Ok(Some(Box::new(Val::String(value.to_string())))),
                    });
                    return Ok(());
                }
                let value = world.answer(&effect);
                if let Some(Type::Result(result)) = ty.results().next() {
                    results[0] = Val::Result(match denied(&value) {
                        Some(error) => Err(Some(Box::new(error))),
                        None => Ok(result.ok().map(|ty| Box::new(val(&ty, &value)))),
                    });
                }
                Ok(())
            };
            linker.instance(name).expect("an interface").func_new(function, answer).expect("a function");
        }
    }
    imported
}

/// Runs a built-in; says how it ended, what it imports, and what it called besides notes.
fn run(runbook: &str, world: &World) -> (String, BTreeSet<String>, Vec<String>) {
    let folder = root().join("runbooks").join(runbook);
    let script = std::fs::read_to_string(folder.join("main.rhai")).ok();
    let file = if script.is_some() { root().join("sdk/rhai/interpreter.wasm") } else { folder.join("main.wasm") };
    let engine = Engine::default();
    let component = Component::from_file(&engine, file).expect("a component");
    let mut linker = Linker::new(&engine);
    let imported = link(&engine, &component, &mut linker, world);
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let mut results = [Val::Bool(false)];
    match script {
        Some(source) => {
            let arguments = [Val::String(source), Val::String("run".into()), input()];
            instance.get_func(&mut store, "run-script").expect("run-script").call(&mut store, &arguments, &mut results)
        }
        None => instance.get_func(&mut store, "run").expect("run").call(&mut store, &[input()], &mut results),
    }
    .expect("an answer");
    (outcome(&results[0]), imported, world.called())
}

fn requested(runbook: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("runbooks").join(runbook).join("runbook.toml")).expect("a manifest");
    let manifest: toml::Table = text.parse().expect("TOML");
    let effects = manifest["requests"]["effects"].as_array().expect("a list");
    effects.iter().map(|effect| effect.as_str().expect("a name").to_owned()).collect()
}

fn needing_a_request(effects: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    effects.into_iter().filter(|effect| !FREE.iter().any(|free| effect.starts_with(free))).collect()
}

fn container(status: &str, health: &str, exit_code: Value) -> Value {
    json!({"name": "web", "state": {"status": status, "health": health, "exit_code": exit_code}, "health_log": []})
}

#[test]
fn committed_components_belong_to_their_sources() {
    for artefact in sandbook_pack::artefacts(&root()).expect("artefacts") {
        artefact.check(&root()).expect("built from these sources");
    }
}

#[test]
fn committed_runbooks_are_small() {
    const BYTES_MAX: usize = 100_000;
    let mut seen = 0;
    for artefact in sandbook_pack::artefacts(&root()).expect("artefacts").iter().filter(|one| one.manifest.is_some()) {
        let bytes = std::fs::read(root().join(&artefact.file)).expect("a component").len();
        assert!(
            bytes < BYTES_MAX,
            "{} has {bytes} bytes: what exists off the engine only is not for it",
            artefact.file
        );
        seen += 1;
    }
    assert!(seen >= 2, "{seen}");
}

#[test]
fn components_import_what_their_manifest_requests() {
    for runbook in ["restart-exited", "collect-evidence"] {
        let (_, imported, _) = run(runbook, &World::default());
        assert_eq!(needing_a_request(imported), requested(runbook), "{runbook}");
    }
}

#[test]
fn scripts_call_what_their_manifests_request() {
    for runbook in ["restart-unhealthy", "restart-with-dependents"] {
        assert_eq!(called_by_script(runbook), requested(runbook), "{runbook}");
    }
}

/// What the interpreter finds a script calls, and that it finds nothing wrong with it.
fn called_by_script(runbook: &str) -> BTreeSet<String> {
    let file = root().join("runbooks").join(runbook).join("main.rhai");
    let source = std::fs::read_to_string(file).expect("a script");
    let engine = Engine::default();
    let component = Component::from_file(&engine, root().join("sdk/rhai/interpreter.wasm")).expect("the interpreter");
    let mut linker = Linker::new(&engine);
    link(&engine, &component, &mut linker, &World::default());
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let mut results = [Val::Bool(false)];
    let check = instance.get_func(&mut store, "check").expect("check");
    check.call(&mut store, &[Val::String(source)], &mut results).expect("an answer");
    let Val::Record(fields) = &results[0] else { panic!("a record") };
    assert_eq!(fields[0].1, Val::List(Vec::new()), "problems");
    let Val::List(effects) = &fields[1].1 else { panic!("effects") };
    needing_a_request(effects.iter().map(outcome))
}

#[test]
fn restart_unhealthy_restarts_once_and_waits() {
    let ill = container("running", "unhealthy", Value::Null);
    let well = container("running", "healthy", Value::Null);
    let starting = container("running", "starting", Value::Null);
    let world = World::default()
        .with("docker.inspect-container", &[ill.clone(), starting, well.clone()])
        .with("logs.tail-container", &[json!({"text": "line"})]);
    let (ended, _, called) = run("restart-unhealthy", &world);
    assert_eq!(ended, "fixed: restarted web, healthy after about 4 seconds");
    assert_eq!(called.iter().filter(|effect| *effect == "docker.restart-container").count(), 1);

    let (ended, _, called) = run("restart-unhealthy", &World::default().with("docker.inspect-container", &[well]));
    assert_eq!(ended, "nothing-to-do: web is not unhealthy, its health is healthy");
    assert_eq!(called, ["docker.inspect-container"]);

    let never = World::default()
        .with("docker.inspect-container", &[ill])
        .with("logs.tail-container", &[json!({"denied": "no"})]);
    let (ended, _, called) = run("restart-unhealthy", &never);
    assert_eq!(ended, "escalate: restarted web, but it is not healthy after a minute");
    assert_eq!(called.iter().filter(|effect| *effect == "clock.sleep").count(), 30);
}

#[test]
fn restart_unhealthy_tells_a_broken_probe_from_a_broken_application() {
    let probed = |exit_code: i32, output: &str| {
        let mut details = container("running", "unhealthy", Value::Null);
        details["health_log"] = json!([{"started_at": "t", "exit_code": exit_code, "output": output}]);
        let world = World::default()
            .with("docker.inspect-container", &[details, container("running", "healthy", Value::Null)])
            .with("logs.tail-container", &[json!({"text": ""})]);
        run("restart-unhealthy", &world).0
    };
    assert!(
        probed(-1, "OCI runtime exec failed: exec: \"curl\": executable file not found")
            .starts_with("escalate: the health check")
    );
    assert!(probed(127, "sh: curl: not found").starts_with("escalate: the health check"));
    assert!(probed(-1, "Health check exceeded timeout (3s)").starts_with("fixed"));
    assert!(probed(1, "connection refused").starts_with("fixed"));
    let stopped =
        World::default().with("docker.inspect-container", &[container("exited", "unhealthy", json!(143))]).with(
            "docker.recent-events",
            &[json!([{"action": "start"}, {"action": "kill"}, {"action": "die"}, {"action": "stop"}])],
        );
    assert_eq!(run("restart-unhealthy", &stopped).0, "nothing-to-do: web was stopped on request");
}

#[test]
fn restart_exited_starts_what_died() {
    let crashed = container("exited", "none", json!(1));
    let world = World::default()
        .with("docker.inspect-container", &[crashed.clone(), container("running", "none", Value::Null)])
        .with("docker.recent-events", &[json!([{"action": "start"}, {"action": "die", "exit_code": 1}])]);
    let (ended, _, called) = run("restart-exited", &world);
    assert_eq!(ended, "fixed: web died with exit code 1; started, and running a second later");
    assert_eq!(
        called[2..],
        ["logs.tail-container", "docker.start-container", "clock.sleep", "docker.inspect-container"]
    );

    let refused = World::default()
        .with("docker.inspect-container", &[crashed])
        .with("docker.start-container", &[json!({"denied": "grant it"})]);
    assert_eq!(run("restart-exited", &refused).0, "denied: grant it");
    let ended = |code: i32| {
        run(
            "restart-exited",
            &World::default().with("docker.inspect-container", &[container("exited", "none", json!(code))]),
        )
        .0
    };
    assert_eq!(ended(0), "nothing-to-do: web ended by itself, without an error");
    assert_eq!(ended(127), "escalate: web cannot start: its command was not found, exit code 127");
}

#[test]
fn restart_exited_leaves_alone_what_the_engine_holds_back() {
    let crashed = container("exited", "none", json!(143));
    let held = World::default()
        .with("docker.inspect-container", &[crashed])
        .with("docker.start-container", &[json!({"limited": "left alone: somebody stopped it (exit 143)"})]);
    assert_eq!(run("restart-exited", &held).0, "nothing-to-do: left alone: somebody stopped it (exit 143)");
}

#[test]
fn restart_with_dependents_goes_in_order_and_stops_at_the_first_that_fails() {
    let well = container("running", "healthy", Value::Null);
    let dependents = json!([
        {"name": "app", "id": "1", "why": "depends-on", "status": "running"},
        {"name": "app", "id": "1", "why": "shares-network", "status": "running"},
        {"name": "web", "id": "2", "why": "depends-on", "status": "running"},
        {"name": "off", "id": "3", "why": "shares-network", "status": "exited"},
    ]);
    let world = |inspected: &[Value]| {
        World::default()
            .with("docker.dependents", std::slice::from_ref(&dependents))
            .with("docker.inspect-container", inspected)
            .with("logs.tail-container", &[json!({"text": "line"})])
    };
    let restarts = |called: &[String]| called.iter().filter(|one| *one == "docker.restart-container").count();
    let ill = container("running", "unhealthy", Value::Null);
    let (ended, _, called) = run("restart-with-dependents", &world(&[ill.clone(), well.clone()]));
    assert_eq!(ended, "fixed: restarted web, app, web, all well");
    assert_eq!(restarts(&called), 3);
    assert_eq!(
        called[..4],
        ["docker.inspect-container", "docker.dependents", "logs.tail-container", "docker.restart-container"]
    );

    let (ended, _, called) = run("restart-with-dependents", &world(std::slice::from_ref(&ill)));
    assert_eq!(
        ended,
        "escalate: restarted web, but web is running and unhealthy after 6 seconds; left as they are: app, web"
    );
    assert_eq!(restarts(&called), 1);

    let died = container("exited", "none", json!(1));
    let (ended, _, called) = run("restart-with-dependents", &world(&[ill, well, died]));
    assert_eq!(
        ended,
        "escalate: restarted web, then app, but app ended again, exited with exit code 1; left as they are: web"
    );
    assert_eq!(restarts(&called), 2);
}

#[test]
fn collect_evidence_keeps_what_it_can() {
    let world = World::default()
        .with("docker.inspect-container", &[container("exited", "none", json!(1))])
        .with("docker.container-stats", &[json!({"denied": "not running"})]);
    let (ended, _, _) = run("collect-evidence", &world);
    assert_eq!(
        ended,
        "done: collected state and health, last log lines, processes, recent events of web; not resource use (not running)"
    );
}

#[test]
#[ignore = "prints what the components import, for whoever wants to see it"]
fn imports() {
    for runbook in ["restart-exited", "collect-evidence", "restart-unhealthy", "restart-with-dependents"] {
        println!("{runbook}: {:?}", run(runbook, &World::default()).1);
    }
}
