//! The effects a script can call: a table generated from the WIT, one static Rhai module per interface.
//!
//! Every function does the same: arguments to one JSON object, `dynamic.call`, JSON back to a value; an error of the effect is
//! thrown as `#{kind, message}`. Deliberately not here: what an effect means, and whether it is allowed.

use std::any::TypeId;
use std::collections::BTreeMap;

use rhai::{Dynamic, Engine, EvalAltResult, FuncRegistration, Map, Module, NativeCallContext, Position, RhaiFunc, Shared};

use crate::bindings::sandbook::runbook::dynamic;
use crate::bindings::sandbook::runbook::types::Error;
use crate::{arguments, json};

include!(concat!(env!("OUT_DIR"), "/effects.rs"));

/// One function of the WIT.
pub(crate) struct Effect {
    /// The Rhai module.
    pub(crate) interface: &'static str,
    /// The Rhai function.
    pub(crate) function: &'static str,
    /// As the engine names it: `docker.restart-container`.
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// How many of them must be given.
    pub(crate) required: usize,
}

pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) ty: Ty,
}

/// What an argument must look like.
pub(crate) enum Ty {
    Flag,
    Whole { min: i64, max: i64 },
    Number,
    Text,
    /// A container's or service's name, or a map with `handle`, which is what `input.target` is.
    Container,
    OneOf(&'static [&'static str]),
    Maybe(&'static Ty),
    List(&'static Ty),
    Pairs(&'static Ty),
    Record(&'static [Parameter]),
}

impl Effect {
    /// `docker::restart_container(container, [options])`
    pub(crate) fn signature(&self) -> String {
        let shown: Vec<String> = (self.parameters.iter().enumerate())
            .map(|(i, parameter)| if i < self.required { parameter.name.to_owned() } else { format!("[{}]", parameter.name) })
            .collect();
        format!("{}::{}({})", self.interface, self.function, shown.join(", "))
    }
}

pub(crate) fn find(interface: &str, function: &str) -> Option<&'static Effect> {
    EFFECTS.iter().find(|effect| effect.interface == interface && effect.function == function)
}

pub(crate) fn interfaces() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    EFFECTS.iter().map(|effect| effect.interface).filter(move |name| std::mem::replace(&mut last, name) != *name)
}

pub(crate) fn register(engine: &mut Engine) {
    let mut modules: BTreeMap<&str, Module> = BTreeMap::new();
    for effect in EFFECTS {
        let module = modules.entry(effect.interface).or_default();
        for count in effect.required..=effect.parameters.len() {
            let types = vec![TypeId::of::<Dynamic>(); count];
            let func = RhaiFunc::Pure {
                func: Shared::new(move |context: Option<NativeCallContext>, arguments: &mut [&mut Dynamic]| {
                    let place = context.map_or(Position::NONE, |context| context.call_position());
                    perform(effect, arguments).map_err(|mut error| {
                        error.set_position(place);
                        error
                    })
                }),
                has_context: true,
                is_pure: true,
                is_volatile: true,
            };
            FuncRegistration::new(effect.function).in_internal_namespace().set_into_module_raw(module, types, func);
        }
    }
    for (name, mut module) in modules {
        module.build_index();
        engine.register_static_module(name, module.into());
    }
}

fn perform(effect: &Effect, arguments: &mut [&mut Dynamic]) -> Result<Dynamic, Box<EvalAltResult>> {
    let json = arguments::object(effect, arguments).map_err(|message| thrown("invalid", format!("{}: {message}", effect.signature())))?;
    call(effect.name, &json)
}

/// Calls an effect by name, with arguments already in JSON.
pub(crate) fn call(name: &str, arguments: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    let answer = dynamic::call(name, arguments).map_err(|error| {
        let (kind, message) = parts(error);
        thrown(kind, message)
    })?;
    json::parse(&answer).map_err(|message| thrown("failed", format!("{name} answered what is not JSON: {message}")))
}

/// What a script catches.
fn thrown(kind: &str, message: String) -> Box<EvalAltResult> {
    let mut map = Map::new();
    map.insert("kind".into(), kind.into());
    map.insert("message".into(), message.into());
    Box::new(EvalAltResult::ErrorRuntime(map.into(), Position::NONE))
}

/// The kind as scripts spell it, and the text.
pub(crate) fn parts(error: Error) -> (&'static str, String) {
    match error {
        Error::Denied(text) => ("denied", text),
        Error::Invalid(text) => ("invalid", text),
        Error::NotFound(text) => ("not-found", text),
        Error::Conflict(text) => ("conflict", text),
        Error::Timeout(text) => ("timeout", text),
        Error::Limited(text) => ("limited", text),
        Error::Failed(text) => ("failed", text),
    }
}

/// The reverse, for what a script threw or threw on; `None` where it is no error of an effect.
pub(crate) fn error_from(thrown: &Dynamic) -> Option<Error> {
    let map = thrown.as_map_ref().ok()?;
    let kind = map.get("kind")?.as_immutable_string_ref().ok()?;
    let text = map.get("message")?.clone().into_string().ok()?;
    Some(match kind.as_str() {
        "denied" => Error::Denied(text),
        "invalid" => Error::Invalid(text),
        "not-found" => Error::NotFound(text),
        "conflict" => Error::Conflict(text),
        "timeout" => Error::Timeout(text),
        "limited" => Error::Limited(text),
        "failed" => Error::Failed(text),
        _ => return None,
    })
}
