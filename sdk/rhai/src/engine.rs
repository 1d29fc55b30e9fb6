//! The one engine: packages, effects, limits. Built before the artefact is committed; a run only reads it.

use std::any::TypeId;
use std::collections::BTreeSet;

use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{Package, StandardPackage};
use rhai::{Array, Blob, CallFnOptions, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, OptimizationLevel, Scope};

use crate::outcome::Verdict;
use crate::{effects, json, outcome};

thread_local! {
    static ENGINE: Engine = build();
}

pub(crate) fn with<T>(use_it: impl FnOnce(&Engine) -> T) -> T {
    ENGINE.with(use_it)
}

fn build() -> Engine {
    // Function hashes must not differ from build to build.
    let _already_set = rhai::config::hashing::set_hashing_seed(Some([2, 3, 5, 7]));
    let mut engine = Engine::new_raw();
    StandardPackage::new().register_into_engine(&mut engine);
    engine.set_module_resolver(DummyModuleResolver::new());
    for symbol in ["eval", "import", "export"] {
        engine.disable_symbol(symbol);
    }
    engine.set_optimization_level(OptimizationLevel::None);
    engine.on_print(|text| note("info", text));
    engine.on_debug(|text, _, place| note("debug", &format!("{place}: {text}")));
    limit(&mut engine);
    outcome::register(&mut engine);
    effects::register(&mut engine);
    // Rhai's own `sleep` would block the thread; here it is the recorded wait, in Rhai's unit.
    engine.register_fn("sleep", |seconds: i64| sleep(seconds as f64));
    engine.register_fn("sleep", sleep);
    engine
}

/// Every limit of the engine. Operations are unlimited because the host counts CPU, and memory has the host's cap besides.
fn limit(engine: &mut Engine) {
    engine
        .set_max_call_levels(64)
        .set_max_expr_depths(64, 48)
        .set_max_operations(0)
        .set_max_string_size(1 << 20)
        .set_max_array_size(100_000)
        .set_max_map_size(10_000)
        .set_max_variables(1_000)
        .set_max_functions(500)
        .set_max_modules(0)
        .set_strict_variables(false);
}

/// A note never fails a script.
fn note(level: &str, text: &str) {
    let mut arguments = format!("{{\"level\":\"{level}\",\"message\":");
    json::text(&mut arguments, text);
    arguments.push('}');
    let _refused = effects::call("log.log", &arguments);
}

fn sleep(seconds: f64) -> Result<(), Box<EvalAltResult>> {
    let milliseconds = (seconds * 1000.0) as u64;
    effects::call("clock.sleep", &format!("{{\"duration_ms\":{milliseconds}}}")).map(|_| ())
}

/// Touches what the engine makes on first use, so that it is in the committed memory. Performs no effect.
pub(crate) fn warm_up(engine: &Engine) {
    let source = r#"
        fn run(input) {
            let total = 0;
            for item in [1, 2, 3].filter(|n| n > 1) { total += item; }
            let text = `${total} of ${input.parameters.len()}`.to_upper();
            try { throw #{ kind: "failed", message: text }; } catch (error) { if error.kind == "failed" { text += "!"; } }
            switch total { 5 => nothing_to_do(text), _ => escalate(text) }
        }
    "#;
    let mut input = Map::new();
    input.insert("parameters".into(), Map::new().into());
    if let Ok(ast) = engine.compile(source) {
        let options = CallFnOptions::new().eval_ast(false);
        let _outcome: Result<Dynamic, _> = engine.call_fn_with_options(options, &mut Scope::new(), &ast, "run", (input,));
    }
}

/// Every function that can be called by name, with parameter types where Rust gives them and names where the WIT does.
pub(crate) fn functions(engine: &Engine) -> Vec<String> {
    let mut all = BTreeSet::new();
    all.extend(effects::EFFECTS.iter().map(effects::Effect::signature));
    let native = engine.collect_fn_metadata(
        None,
        |function| {
            let shown: Vec<&str> = function.metadata.param_types.iter().map(|ty| type_name(*ty)).collect();
            function.namespace.is_empty().then(|| format!("{}({})", function.metadata.name, shown.join(", ")))
        },
        true,
    );
    all.extend(native);
    all.extend(["print(any)", "debug(any)", "type_of(any)", "is_shared(any)", "is_def_fn(string, int)", "is_def_var(string)"].map(str::to_owned));
    all.extend(["Fn(string)", "call(Fn, ..)", "curry(Fn, ..)"].map(str::to_owned));
    all.into_iter().collect()
}

fn type_name(ty: TypeId) -> &'static str {
    macro_rules! names {
        ($($rust:ty => $name:literal),* $(,)?) => { $(if ty == TypeId::of::<$rust>() { return $name; })* };
    }
    names! {
        Dynamic => "any", () => "()", bool => "bool", i64 => "int", f64 => "float", char => "char", ImmutableString => "string",
        Array => "array", Map => "map", Blob => "blob", FnPtr => "Fn", Verdict => "outcome", u8 => "u8", u16 => "u16", u32 => "u32",
        u64 => "u64", i8 => "i8", i16 => "i16", i32 => "i32", u128 => "u128", i128 => "i128", f32 => "f32", usize => "usize",
        std::ops::Range<i64> => "range", std::ops::RangeInclusive<i64> => "range=",
    }
    "other"
}
