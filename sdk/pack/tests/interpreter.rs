//! The committed interpreter, really run: scripts against scripted effects, and what `check` says of bad ones.
//!
//! Here and not in the engine's tests because it needs nothing of the engine: the component, its one import, values.
#![cfg(feature = "build")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{Config, Engine, Store};

type Call = (String, String);
/// JSON, or kind and text of an error.
type Answer = Result<&'static str, (&'static str, &'static str)>;

/// Answers of effects, in order of their names; what was called is kept.
#[derive(Clone, Default)]
struct World {
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Vec<(&'static str, Answer)>,
}

struct Guest {
    store: Store<()>,
    instance: Instance,
    world: World,
}

fn text(value: &str) -> Val {
    Val::String(value.to_owned())
}

fn some(value: Val) -> Val {
    Val::Option(Some(Box::new(value)))
}

fn record(fields: &[(&str, Val)]) -> Val {
    Val::Record(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn input() -> Val {
    let pairs = |name: &str, value: &str| Val::List(vec![Val::Tuple(vec![text(name), text(value)])]);
    let alert = record(&[
        ("name", text("ContainerUnhealthy")),
        ("labels", pairs("severity", "warning")),
        ("annotations", pairs("summary", "it is ill")),
        ("starts-at", text("2026-11-01T03:00:00Z")),
        ("fingerprint", text("f00")),
    ]);
    let target = record(&[
        ("handle", text("t:web-1")),
        ("host", text("local")),
        ("kind", Val::Enum("container".into())),
        ("name", text("web-1")),
        ("id", some(text("abc"))),
    ]);
    let grace = Val::Variant("duration".into(), Some(Box::new(Val::U64(10_000))));
    let parameters = Val::List(vec![Val::Tuple(vec![text("grace"), grace])]);
    record(&[("alert", some(alert)), ("target", some(target)), ("parameters", parameters)])
}

fn shared() -> (Engine, Component) {
    let mut config = Config::new();
    config.cranelift_nan_canonicalization(true);
    let engine = Engine::new(&config).expect("an engine");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rhai/interpreter.wasm");
    let component = Component::from_file(&engine, file).expect("the interpreter");
    (engine, component)
}

fn guest(engine: &Engine, component: &Component, world: World) -> Guest {
    let mut linker = Linker::<()>::new(engine);
    let answering = world.clone();
    linker
        .instance("sandbook:runbook/dynamic@1.0.0")
        .expect("an instance")
        .func_new("call", move |_, _, arguments, results| {
            let [Val::String(effect), Val::String(json)] = arguments else { panic!("call takes two strings") };
            answering.calls.lock().expect("a lock").push((effect.clone(), json.clone()));
            let found = answering.answers.iter().find(|(name, _)| name == effect);
            results[0] = Val::Result(match found {
                Some((_, Ok(answer))) => Ok(Some(Box::new(text(answer)))),
                Some((_, Err((kind, message)))) => {
                    Err(Some(Box::new(Val::Variant((*kind).into(), Some(Box::new(text(message)))))))
                }
                None => Ok(Some(Box::new(text("null")))),
            });
            Ok(())
        })
        .expect("a function");
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, component).expect("an instance");
    Guest { store, instance, world }
}

fn fresh(world: World) -> Guest {
    let (engine, component) = shared();
    guest(&engine, &component, world)
}

impl Guest {
    fn function(&mut self, name: &str) -> Func {
        self.instance.get_func(&mut self.store, name).expect("an export")
    }

    fn call(&mut self, name: &str, arguments: &[Val]) -> wasmtime::Result<Val> {
        let function = self.function(name);
        let mut results = [Val::Bool(false)];
        function.call(&mut self.store, arguments, &mut results)?;
        let [result] = results;
        Ok(result)
    }

    fn run(&mut self, source: &str, entry: &str) -> String {
        match self.call("run-script", &[text(source), text(entry), input()]) {
            Ok(value) => short(&value),
            Err(trap) => format!("trap: {}", trap.root_cause()),
        }
    }

    fn check(&mut self, source: &str) -> Vec<String> {
        let Ok(Val::Record(fields)) = self.call("check", &[text(source)]) else { panic!("check answers a record") };
        fields.iter().map(|(name, value)| format!("{name}: {}", short(value))).collect()
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.world.calls.lock().expect("a lock");
        calls.iter().map(|(effect, json)| format!("{effect} {json}")).collect()
    }
}

/// A value on one line.
fn short(value: &Val) -> String {
    match value {
        Val::String(text) => format!("{text:?}"),
        Val::U32(number) => number.to_string(),
        Val::Bool(flag) => flag.to_string(),
        Val::List(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", ")),
        Val::Record(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", short(value))).collect();
            format!("{{{}}}", fields.join(" "))
        }
        Val::Variant(case, payload) => format!("{case}({})", payload.as_deref().map(short).unwrap_or_default()),
        Val::Result(Ok(value)) => format!("ok {}", value.as_deref().map(short).unwrap_or_default()),
        Val::Result(Err(value)) => format!("err {}", value.as_deref().map(short).unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

const CONTRACT: &str = r#"//! name = "restart"
fn run(input) {
    let before = docker::inspect_container(input.target);
    if before.state.health == "healthy" { return nothing_to_do("healthy again"); }
    let tail = logs::tail_container(input.target, #{ lines: 50 });
    log::attach_evidence("last log lines", tail.text);
    docker::restart_container(input.target);
    clock::sleep(2000);
    print("restarted after " + input.parameters.grace + " " + input.alert.labels.severity);
    fixed("restarted")
}
"#;

fn world() -> World {
    World {
        answers: vec![
            (
                "docker.inspect-container",
                Ok(r#"{"name":"web-1","state":{"health":"unhealthy","exit_code":null,"restart_count":0}}"#),
            ),
            ("logs.tail-container", Ok(r#"{"text":"a \"line\"\nß\u00e9\ud83d\ude00","lines":2,"truncated":false}"#)),
            ("docker.stop-container", Err(("denied", "not permitted: sandbook grant restart docker.stop-container"))),
            ("random.random-u64", Ok("18446744073709551615")),
        ],
        ..World::default()
    }
}

#[test]
fn the_contract_example_runs() {
    let mut guest = fresh(world());
    assert_eq!(guest.run(CONTRACT, "run"), r#"ok fixed("restarted")"#);
    assert_eq!(
        guest.calls(),
        [
            r#"docker.inspect-container {"container":"t:web-1"}"#,
            r#"logs.tail-container {"container":"t:web-1","options":{"lines":50}}"#,
            "log.attach-evidence {\"name\":\"last log lines\",\"text\":\"a \\\"line\\\"\\nßé😀\"}",
            r#"docker.restart-container {"container":"t:web-1","options":{}}"#,
            r#"clock.sleep {"duration_ms":2000}"#,
            r#"log.log {"level":"info","message":"restarted after 10000 warning"}"#,
        ]
    );
}

#[test]
fn errors_are_caught_or_placed() {
    let mut guest = fresh(world());
    let caught = r#"fn run(input) { try { docker::stop_container("db"); } catch (e) { return escalate(e.kind + ": " + e.message); } done("") }"#;
    assert_eq!(
        guest.run(caught, "run"),
        r#"ok escalate("denied: not permitted: sandbook grant restart docker.stop-container")"#
    );
    for (script, expected) in [
        (
            "fn helper() {\n  docker::stop_container(\"db\");\n}\nfn run(input) { helper(); }",
            "line=2 column=11 message=\"denied: not permitted",
        ),
        ("fn run(input) { throw \"enough\"; }", "err {cause=failed(\"enough\")"),
        ("fn run(input) { let x = 1 / 0; done(\"\") }", "err {cause=failed("),
        ("fn run(input) { 5 }", "`run` returned a value of type i64, it must return an outcome"),
        ("fn run(input) { let x = done(\"\"); }", "`run` returned nothing"),
        ("fn run(input) { docker::restart_container(input.target, #{ grase_ms: 5 }) }", "did you mean `grace_ms`?"),
        ("fn run(input) { docker::restart_container(5) }", "`container` must be a name or a target, not i64"),
        ("fn run(input) { log::log(\"loud\", \"x\") }", "`level` must be one of debug, info, warn, error, not `loud`"),
        ("fn run(input) { let a = [1]; a[7] }", "line=1 column="),
        ("fn start(input) { done(\"\") }", "the script has no `fn run(input)`"),
    ] {
        let answer = guest.run(script, "run");
        println!("{answer}");
        assert!(answer.contains(expected), "{script}\n{answer}");
    }
    assert_eq!(
        guest.run("fn run(i) { exit(done(`${random::random_u64()} ${i.target.id} ${i.alert.name}`)) }", "run"),
        r#"ok done("9223372036854775807 abc ContainerUnhealthy")"#
    );
    assert_eq!(guest.run("fn verify(i) { true }", "verify"), r#"ok done("the condition holds")"#);
    assert_eq!(guest.run("fn verify(i) { 1 > 2 }", "verify"), r#"ok nothing-to-do("the condition does not hold")"#);
}

#[test]
fn arguments_become_one_object() {
    let mut guest = fresh(world());
    let script = r#"fn run(i) {
        docker::list_containers();
        docker::recent_events(#{ container: i.target, limit: 5 });
        docker::exec(i.target, ["ls", "-l"], ());
        http::get("u", #{ headers: #{ a: "b" } });
        state::compare_and_put("k", (), "v");
        log::progress("half", 50);
        sleep(0.5);
        done("")
    }"#;
    assert_eq!(guest.run(script, "run"), r#"ok done("")"#);
    assert_eq!(
        guest.calls(),
        [
            r#"docker.list-containers {"filter":{}}"#,
            r#"docker.recent-events {"filter":{"container":"t:web-1","limit":5}}"#,
            r#"docker.exec {"container":"t:web-1","argv":["ls","-l"],"options":{}}"#,
            r#"http.get {"url":"u","options":{"headers":{"a":"b"}}}"#,
            r#"state.compare-and-put {"key":"k","value":"v"}"#,
            r#"log.progress {"message":"half","percent":50}"#,
            r#"clock.sleep {"duration_ms":500}"#,
        ]
    );
}

#[test]
fn check_names_what_is_wrong() {
    let mut guest = fresh(World::default());
    println!("{:#?}", guest.check(CONTRACT));
    for (script, expected) in [
        ("fn run(input) { dokcer::inspect_container(input.target) }", "did you mean `docker`?"),
        ("fn run(input) { docker::restart_contaner(input.target) }", "did you mean `docker::restart_container`?"),
        ("fn run(input) { docker::restart_container() }", "takes 1 to 2 arguments, not 0"),
        ("fn run(input) { docker::restart_container(input.target, #{ grase_ms: 1 }) }", "did you mean `grace_ms`?"),
        ("fn run(input) { log::log(\"loud\", \"\") }", "one of debug, info, warn, error"),
        ("fn run(input) { restart_container(input.target) }", "did you mean `docker::restart_container`?"),
        ("fn run(input) { nothing_to_doo(\"\") }", "did you mean `nothing_to_do`?"),
        ("fn run(input) { let f = |x| done(x); f(\"\") }", "is called as `f.call(…)`"),
        ("fn run() { done(\"\") }", "`run` must take one argument"),
        ("fn main(input) { done(\"\") }", "the script has no `fn run(input)`"),
        ("let x = 1; fn run(input) { done(\"\") }", "this never runs"),
        ("fn run(input) { done(\"\" }", "line=1 column="),
        ("fn run(input) { import \"x\" as y; done(\"\") }", "there are no modules to load"),
        ("fn run(input) { eval(\"1\") }", "cannot make code"),
    ] {
        let answer = guest.check(script).join("\n");
        println!("{script}\n  {answer}");
        assert!(answer.contains(expected), "{script}\n{answer}");
    }
    let used = guest.check("fn run(i) { let f = || docker::stop_container(\"a\"); [1].map(|x| sleep(x)); f.call(); print(1); done(\"\".trim()) } fn verify(i) { true }");
    assert_eq!(
        used,
        ["problems: []", r#"effects: ["clock.sleep", "docker.stop-container", "log.log"]"#, "has-verify: true"]
    );
}

#[test]
fn hostile_scripts_end() {
    let (engine, component) = shared();
    let nested = format!("fn run(i) {{ let x = {}1{}; done(\"\") }}", "(".repeat(20_000), ")".repeat(20_000));
    let arrays = format!("fn run(i) {{ let x = {}1{}; done(\"\") }}", "[".repeat(20_000), "]".repeat(20_000));
    let blocks = format!("fn run(i) {{ {} {} done(\"\") }}", "if true {".repeat(20_000), "}".repeat(20_000));
    let closures = format!("fn run(i) {{ let x = {}1; done(\"\") }}", "|a| ".repeat(20_000));
    let negations = format!("fn run(i) {{ let x = {}1; done(\"\") }}", "-".repeat(20_000));
    let chain = format!("fn run(i) {{ let x = 1{}; done(\"\") }}", "+1".repeat(20_000));
    let dots = format!("fn run(i) {{ let x = i{}; done(\"\") }}", ".a".repeat(20_000));
    let strings = format!("fn run(i) {{ let x = {}1{}; done(\"\") }}", "`${".repeat(2_000), "}`".repeat(2_000));
    let comments = format!("{} fn run(i) {{ done(\"\") }}", "/*".repeat(20_000));
    let recursion = "fn f(n) { f(n + 1) } fn run(i) { f(0) }";
    let data = "fn run(i) { let a = []; for n in 0..5000 { a = [a]; } let s = to_string(a); done(\"\") }";
    for script in
        [&nested, &arrays, &blocks, &closures, &negations, &chain, &dots, &strings, &comments, recursion, data]
    {
        let began = std::time::Instant::now();
        let mut guest = guest(&engine, &component, World::default());
        let checked = guest
            .call("check", &[text(script)])
            .map(|value| short(&value))
            .unwrap_or_else(|trap| format!("trap: {}", trap.root_cause()));
        let mut fresh = self::guest(&engine, &component, World::default());
        let ran = fresh.run(script, "run");
        println!("{:.40} {:?}\n  check {checked:.160}\n  run {ran:.160}", script, began.elapsed());
        assert!(began.elapsed().as_secs() < 20);
    }
}

#[test]
fn what_is_reachable_and_how_long_it_takes() {
    let (engine, component) = shared();
    for (name, item) in component.component_type().imports(&engine) {
        println!("import {name}: {item:?}");
    }
    for (name, _) in component.component_type().exports(&engine) {
        println!("export {name}");
    }
    let mut first = guest(&engine, &component, World::default());
    let Ok(Val::List(functions)) = first.call("functions", &[]) else { panic!("functions answers a list") };
    println!("{} functions: {}", functions.len(), functions.iter().map(short).collect::<Vec<_>>().join(" "));
    let long = format!("{CONTRACT}{}", "fn helper_N(a, b) {\n    let sum = 0;\n    for item in a { if item > b { sum += item * 2; } else { sum -= 1; } }\n    sum\n}\n".repeat(10).replace('N', "x"));
    let long = (0..10).fold(long, |script, n| script.replacen("helper_x", &format!("helper_{n}"), 1));
    println!("{} lines", long.lines().count());
    for (name, script) in
        [("one line", "fn run(input) { done(\"\") }"), ("contract", CONTRACT), ("60 lines", long.as_str())]
    {
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let began = std::time::Instant::now();
                let mut guest = guest(&engine, &component, world());
                let answer = guest.run(script, "run");
                assert!(answer.starts_with("ok"), "{answer}");
                began.elapsed()
            })
            .collect();
        times.sort();
        println!("{name}: p50 {:?} p99 {:?}", times[100], times[197]);
    }
}
