//! The sandbox against guests that work and guests that do not: scripts and WAT, with a scripted door.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use sandbook_core::effect::{Class, Effect};
use sandbook_core::error::Error;
use sandbook_core::journal::Limits;
use sandbook_core::run::Outcome;
use serde_json::{Value, json};

use super::*;

/// A door that records what is asked and answers like an empty world.
#[derive(Default)]
struct Door {
    asked: Mutex<Vec<(String, Value)>>,
}

impl Perform for Door {
    fn perform(&self, effect: Effect) -> BoxFuture<'_, Result<Result<Value, Error>, Stopped>> {
        self.asked.lock().expect("not poisoned").push((effect.name().to_owned(), effect.arguments()));
        let answer = match effect.name() {
            "clock.now" => Ok(json!(1_700_000_000_000_u64)),
            "random.random-u64" => Ok(json!(u64::MAX)),
            "state.get" => Ok(json!("kept")),
            "logs.tail-container" => Ok(json!({"text": "a\nb", "lines": 2, "truncated": false})),
            "docker.restart-container" => {
                Err(Error::denied("not permitted; sandbook grant x docker.restart-container"))
            }
            _ if effect.class() == Class::Note => Ok(Value::Null),
            _ => Ok(Value::Null),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
    fn journal_time_ms(&self) -> u64 {
        1_700_000_000_000
    }
    fn replaying(&self) -> bool {
        false
    }
    fn waiting(&self) -> bool {
        false
    }
    fn stopped(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn sandbox() -> Arc<Sandbox> {
    static SANDBOX: std::sync::OnceLock<Arc<Sandbox>> = std::sync::OnceLock::new();
    SANDBOX
        .get_or_init(|| {
            let cache_dir = std::env::temp_dir().join("sandbook-test-cache");
            Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("an engine")
        })
        .clone()
}

async fn run(code: Code, limits: Limits) -> (Ended, Vec<(String, Value)>) {
    let door = Arc::new(Door::default());
    let input = json!({"alert": null, "target": {"handle": "local/web", "host": "local", "kind": "container", "name": "web", "id": "abc"},
        "parameters": {"grace": {"duration": 10_000}}});
    let call = Call { code: &code, entry: Entry::Run, input: &input, limits: &limits, seed: 7, door: door.clone() };
    let ended = sandbox().run(call).await;
    let asked = std::mem::take(&mut *door.asked.lock().expect("not poisoned"));
    (ended, asked)
}

fn script(source: &str) -> Code {
    Code::Script(source.into())
}

fn wat(text: &str) -> Code {
    Code::Wasm(wat::parse_str(text).expect("valid WAT").into())
}

fn quick() -> Limits {
    Limits { cpu_ms: 400, ..Limits::default() }
}

#[tokio::test]
async fn a_script_asks_and_answers() {
    let (ended, asked) = run(
        script(
            r#"fn run(input) {
                let tail = logs::tail_container(input.target, #{ lines: 50 });
                print("saw " + tail.lines);
                try { docker::restart_container(input.target, #{ grace_ms: input.parameters.grace }); }
                catch (e) { return escalate(e.kind + ": " + e.message); }
                fixed("no")
            }"#,
        ),
        Limits::default(),
    )
    .await;
    let Ended::Outcome(Outcome::Escalate, sentence) = ended else { panic!("{ended:?}") };
    assert!(sentence.starts_with("denied: "), "{sentence}");
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["logs.tail-container", "log.log", "docker.restart-container"]);
    assert_eq!(asked[2].1, json!({"container": "local/web", "options": {"grace_ms": 10_000}}));
}

#[tokio::test]
async fn an_uncaught_error_has_a_place() {
    let (ended, _) =
        run(script("fn run(input) {\n  docker::restart_container(\"web\");\n  fixed(\"x\")\n}"), quick()).await;
    let Ended::Error(error, Some(place)) = ended else { panic!("{ended:?}") };
    assert_eq!(error.kind, sandbook_core::error::ErrorKind::Denied);
    assert_eq!((place.line, place.source.trim()), (2, "docker::restart_container(\"web\");"));
}

#[tokio::test]
async fn hostile_scripts_are_stopped() {
    let bombs: &[(&str, &str)] = &[
        ("endless loop", "fn run(input) { loop { } }"),
        ("nested memory", "fn run(input) { let a = [1]; loop { a = [a, a, a]; let s = a.to_string(); } }"),
        (
            "curried memory",
            "fn run(input) { let s = \"x\"; for i in 0..20 { s += s; } let all = []; for i in 0..1500 { all.push(Fn(\"f\").curry(s + i)); } done(\"no\") } fn f(x) { x }",
        ),
        (
            "closures",
            "fn run(input) { let f = |x| x; for i in 0..100000 { let g = f; f = |x| g.call(x); } f.call(1); done(\"no\") }",
        ),
        ("recursion", "fn run(input) { run(input) }"),
        ("strings", "fn run(input) { let s = \"0123456789\"; loop { s += s; } }"),
        ("arrays", "fn run(input) { let a = []; loop { a.push(a.len()); } }"),
    ];
    for (name, source) in bombs {
        let (ended, _) = run(script(source), quick()).await;
        assert!(matches!(ended, Ended::Trap { .. } | Ended::Error(..)), "{name}: {ended:?}");
    }
    let (ended, _) = run(script("fn run(input) { done(\"well\") }"), quick()).await;
    assert_eq!(ended, Ended::Outcome(Outcome::Done, "well".to_owned()));
}

#[tokio::test]
async fn deep_sources_do_not_break_the_check() {
    let deep = format!("fn run(input) {{ {}1{} }}", "(".repeat(20_000), ")".repeat(20_000));
    let report = sandbox().report(&script(&deep)).await.expect("a report");
    assert!(!report.problems.is_empty());
}

#[tokio::test]
async fn components_are_refused_or_stopped() {
    let cases = [
        (
            "unknown import",
            r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func)))))"#,
            "not offered",
        ),
        (
            "misspelt effect",
            r#"(component (import "sandbook:runbook/docker@1.0.0" (instance (export "restart-contaner" (func)))))"#,
            "restart-container",
        ),
        ("no run", "(component)", "exports no function `run`"),
    ];
    for (name, text, expected) in cases {
        let error = sandbox().report(&wat(text)).await.expect_err(name);
        assert!(format!("{error:#}").contains(expected), "{name}: {error:#}");
    }
    for (name, bytes) in [("random", &b"\0asm garbage"[..]), ("empty", b""), ("truncated", b"\0asm\x0d\0\x01\0\x07")] {
        assert!(sandbox().report(&Code::Wasm(bytes.to_vec().into())).await.is_err(), "{name}");
    }
}

/// A component whose `run` executes the given core instructions.
fn body(code: &str) -> Code {
    wat(&format!(
        r#"(component
          (core module $m
            (memory (export "memory") 1)
            (table $t 10 funcref)
            (func $deep (call $deep))
            (func (export "run") {code})
          )
          (core instance $i (instantiate $m))
          (func (export "run") (canon lift (core func $i "run")))
        )"#
    ))
}

#[tokio::test]
async fn hostile_components_are_stopped() {
    let cases = [
        ("loop", "(loop (br 0))", Some(Exceeded::Cpu)),
        (
            "memory",
            "(loop (if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) (br 0))",
            Some(Exceeded::Memory),
        ),
        ("stack", "(call $deep)", Some(Exceeded::Stack)),
        (
            "table",
            "(loop (if (i32.eq (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1)) (then unreachable)) (br 0))",
            Some(Exceeded::Memory),
        ),
        ("trap", "unreachable", None),
    ];
    for (name, code, expected) in cases {
        let (ended, _) = run(body(code), quick()).await;
        let Ended::Trap { exceeded, message } = ended else { panic!("{name}: {ended:?}") };
        assert_eq!(exceeded, expected, "{name}: {message}");
    }
}

/// Parity: the contract's functions are the catalogue, and a script can call each.
#[tokio::test]
async fn contract_catalogue_and_script_functions_agree() {
    let mut contract = Sandbox::contract().expect("the contract parses");
    let mut catalogue: Vec<String> = Effect::ALL.iter().map(|info| info.name.to_owned()).collect();
    let functions = sandbox().script_functions().await.expect("the interpreter answers");
    for name in &catalogue {
        let rhai = name.replacen('.', "::", 1).replace('-', "_");
        assert!(functions.iter().any(|f| f.starts_with(&format!("{rhai}("))), "{rhai} is missing for scripts");
    }
    let modules: Vec<&str> =
        catalogue.iter().filter_map(|name| name.split_once('.').map(|(module, _)| module)).collect();
    for function in &functions {
        if let Some((module, rest)) = function.split_once("::")
            && modules.contains(&module)
        {
            let name = rest.split('(').next().unwrap_or_default().replace('_', "-");
            assert!(catalogue.contains(&format!("{module}.{name}")), "{function} is no effect");
        }
    }
    contract.sort();
    catalogue.sort();
    assert_eq!(contract, catalogue);
}

/// Everything a script can call beside effects, as reviewed: values in, values out. A new function shows here.
#[tokio::test]
async fn script_functions_are_audited() {
    let mut functions = sandbox().script_functions().await.expect("the interpreter answers");
    functions.retain(|function| {
        let effect = function.split('(').next().unwrap_or_default().replacen("::", ".", 1).replace('_', "-");
        Effect::find(&effect).is_none()
    });
    functions.sort();
    for forbidden in ["eval", "import", "timestamp", "open", "exec", "env", "spawn"] {
        assert!(!functions.iter().any(|function| function.starts_with(&format!("{forbidden}("))), "{forbidden}");
    }
    insta::assert_snapshot!("script_functions", functions.join("\n"));
}

/// Interfaces of WASI that are offered, each with its reason. A new one shows here.
#[test]
fn wasi_interfaces_are_audited() {
    let offered: Vec<String> =
        wasi::OFFERED.iter().map(|(interface, reason)| format!("{interface}: {reason}")).collect();
    assert!(offered.iter().all(|line| !line.contains("http")));
    let dead = ["refused", "unreachable", "nothing can be reached"];
    let sockets = || offered.iter().filter(|line| line.contains("sockets"));
    assert!(sockets().all(|line| dead.iter().any(|word| line.contains(word))), "{offered:?}");
    insta::assert_snapshot!("wasi_interfaces", offered.join("\n"));
}

/// A guest whose `run` returns a number, read back from the complaint that a number is no outcome.
fn number_of(ended: &Ended) -> u64 {
    let Ended::Trap { message, .. } = ended else { panic!("{ended:?}") };
    let number = message.split(' ').find_map(|word| word.trim_end_matches(',').parse().ok());
    number.unwrap_or_else(|| panic!("{message}"))
}

/// Python's own library imports sockets, so they are there; none can be made.
#[tokio::test]
async fn no_socket_can_be_made() {
    for kind in ["tcp", "udp"] {
        let refused = socket_guest(kind);
        let (ended, asked) = run(wat(&refused), quick()).await;
        // `error-code` 1 of `wasi:sockets/network` is access-denied.
        assert_eq!(number_of(&ended), 0x0101, "{kind}: {ended:?}");
        assert!(asked.is_empty(), "{kind}: {asked:?}");
    }
}

/// Calls `create-…-socket` and returns the two bytes of its answer as what is no pointer to an outcome.
fn socket_guest(kind: &str) -> String {
    format!(
        r#"(component
          (import "wasi:sockets/network@0.2.0" (instance $network
            (type $e (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
              "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
              "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
              "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
              "permanent-resolver-failure"))
            (export "error-code" (type (eq $e)))
            (type $f (enum "ipv4" "ipv6"))
            (export "ip-address-family" (type (eq $f)))))
          (alias export $network "error-code" (type $error))
          (alias export $network "ip-address-family" (type $family))
          (import "wasi:sockets/{kind}@0.2.0" (instance $kind (export "{kind}-socket" (type (sub resource)))))
          (alias export $kind "{kind}-socket" (type $socket))
          (import "wasi:sockets/{kind}-create-socket@0.2.0" (instance $create
            (alias outer 1 $error (type $outer-error))
            (export "error-code" (type $e (eq $outer-error)))
            (alias outer 1 $family (type $outer-family))
            (export "ip-address-family" (type $f (eq $outer-family)))
            (alias outer 1 $socket (type $outer-socket))
            (export "{kind}-socket" (type $s (eq $outer-socket)))
            (export "create-{kind}-socket"
              (func (param "address-family" $f) (result (result (own $s) (error $e)))))))
          (core module $memory (memory (export "memory") 1))
          (core instance $m (instantiate $memory))
          (core func $create (canon lower (func $create "create-{kind}-socket") (memory $m "memory")))
          (core module $guest
            (import "m" "memory" (memory 1))
            (import "s" "create" (func $create (param i32 i32)))
            (func (export "run") (result i64)
              (call $create (i32.const 0) (i32.const 64))
              (i64.or
                (i64.load8_u (i32.const 64))
                (i64.shl (i64.load8_u (i32.const 68)) (i64.const 8)))))
          (core instance $g (instantiate $guest
            (with "m" (instance $m)) (with "s" (instance (export "create" (func $create))))))
          (func (export "run") (result u64) (canon lift (core func $g "run"))))"#
    )
}

fn wasi_number(imports: &str, call: &str) -> Code {
    wat(&format!(
        r#"(component
          {imports}
          (core func $lowered (canon lower (func $f)))
          (core module $m
            (import "host" "f" (func $f (result i64)))
            (func (export "run") (result i64) {call}))
          (core instance $host (export "f" (func $lowered)))
          (core instance $i (instantiate $m (with "host" (instance $host))))
          (func (export "run") (result u64) (canon lift (core func $i "run")))
        )"#
    ))
}

#[tokio::test]
async fn wasi_clocks_show_the_journal_and_random_is_the_runs_own() {
    let clock = wasi_number(
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" (instance $w (export "now" (func (result u64)))))
           (alias export $w "now" (func $f))"#,
        "(call $f)",
    );
    let (ended, _) = run(clock, quick()).await;
    assert_eq!(number_of(&ended), 1_700_000_000_000 * 1_000_000);
    let random = wasi_number(
        r#"(import "wasi:random/random@0.2.0" (instance $w (export "get-random-u64" (func (result u64)))))
           (alias export $w "get-random-u64" (func $f))"#,
        "(i64.add (call $f) (call $f))",
    );
    let (first, _) = run(random.clone(), quick()).await;
    let (second, _) = run(random, quick()).await;
    assert_eq!(number_of(&first), number_of(&second), "the same seed gives the same numbers");
}

#[tokio::test]
async fn blocking_on_a_wasi_timer_is_a_sleep() {
    let code = wat(r#"(component
          (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $p))))))
          (alias export $poll "pollable" (type $pollable))
          (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $q))
            (export "pollable" (type $r (eq $q)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $r))))))
          (alias export $poll "[method]pollable.block" (func $block))
          (alias export $clock "subscribe-duration" (func $subscribe))
          (core func $block_ (canon lower (func $block)))
          (core func $subscribe_ (canon lower (func $subscribe)))
          (core module $m
            (import "host" "block" (func $block (param i32)))
            (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
            (func (export "run") (call $block (call $subscribe (i64.const 2500000000)))))
          (core instance $host (export "block" (func $block_)) (export "subscribe" (func $subscribe_)))
          (core instance $i (instantiate $m (with "host" (instance $host))))
          (func (export "run") (canon lift (core func $i "run")))
        )"#);
    let (_, asked) = run(code, quick()).await;
    assert_eq!(asked, [("clock.sleep".to_owned(), json!({"duration_ms": 2_500}))]);
}
