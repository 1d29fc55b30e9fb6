//! The Rhai interpreter as a component: one sandbox for scripts and compiled runbooks alike.
//!
//! Built once, pre-initialised (the engine with every package and module already stands in memory when a run starts) and
//! committed. A script's only way out is `dynamic.call`. Deliberately not here: a CPU or memory limit (the host counts both),
//! modules, `eval`, files, clocks.

mod arguments;
mod check;
mod effects;
mod engine;
mod json;
mod outcome;
mod problems;
mod run;
mod suggest;

mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "interpreter",
        generate_all,
    });
}

use bindings::sandbook::runbook::types::{Input, Outcome};
use bindings::{Guest, ProblemReport, Script};

struct Interpreter;

impl Guest for Interpreter {
    fn functions() -> Vec<String> {
        engine::with(engine::functions)
    }

    fn check(source: String) -> Script {
        engine::with(|engine| check::check(engine, &source))
    }

    fn run_script(source: String, entry: String, input: Input) -> Result<Outcome, ProblemReport> {
        engine::with(|engine| run::run(engine, &source, &entry, input))
    }
}

/// Called once while the artefact is built; its memory is what every run starts from.
#[unsafe(export_name = "wizer-initialize")]
extern "C" fn initialize() {
    engine::with(engine::warm_up);
}

bindings::export!(Interpreter with_types_in bindings);
