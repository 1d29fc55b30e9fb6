//! What a guest can import: the effects of the contract, and a deterministic WASI. Nothing else exists for it.
//!
//! Functions are linked from the parsed WIT, so the linker cannot offer what the contract does not name, and a test
//! holds the contract and the effect catalogue together.

use anyhow::{Context as _, Result};
use sandbook_core::effect::Effect;
use sandbook_core::error::{Error, ErrorKind};
use serde_json::{Map, Value};
use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{Linker, Val};
use wasmtime::{Engine, StoreContextMut};

use super::context::{Asks, Context};
use super::{WIT, convert, wasi};

/// Interface through which the interpreter reaches effects by name.
const DYNAMIC: &str = "sandbook:runbook/dynamic@1.0.0";

/// The parsed guest contract.
pub(super) struct Contract {
    functions: Vec<(String, String)>,
}

impl Contract {
    /// Parses the embedded WIT.
    pub(super) fn parse() -> Result<Contract> {
        let (resolve, _, world) = parse_wit()?;
        let mut functions = Vec::new();
        for item in resolve.worlds[world].imports.values() {
            let wit_parser::WorldItem::Interface { id, .. } = item else { continue };
            let interface = &resolve.interfaces[*id];
            let name = interface.name.clone().unwrap_or_default();
            functions.extend(interface.functions.keys().map(|function| (name.clone(), function.clone())));
        }
        Ok(Contract { functions })
    }

    /// Interface and function of every effect.
    pub(super) fn functions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.functions.iter().map(|(interface, function)| (interface.as_str(), function.as_str()))
    }
}

/// Parses the embedded WIT: its items, its package, and the world of everything a runbook may import.
///
/// # Errors
/// When it does not parse, which a test excludes.
pub fn parse_wit() -> Result<(wit_parser::Resolve, wit_parser::PackageId, wit_parser::WorldId)> {
    let mut sources = wit_parser::SourceMap::default();
    for file in WIT.files() {
        let text = file.contents_utf8().context("the guest contract is text")?;
        sources.push_str(&file.path().display().to_string(), text);
    }
    let group =
        sources.parse().map_err(|(_, error)| anyhow::anyhow!("the guest contract does not parse: {error:?}"))?;
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_group(group)?;
    let world = resolve.select_world(&[package], Some("imports"))?;
    Ok((resolve, package, world))
}

/// The linker of runbooks: every effect of the contract and the deterministic WASI.
pub(super) fn runbook(engine: &Engine, contract: &Contract) -> Result<Linker<Context>> {
    let mut linker = Linker::new(engine);
    for (interface, function) in contract.functions() {
        let name = format!("{interface}.{function}");
        let effect = Effect::find(&name).with_context(|| format!("the contract's {name} is not in the catalogue"))?;
        let mut instance = linker.instance(&format!("sandbook:runbook/{interface}@1.0.0"))?;
        instance.func_new_async(function, move |store, ty, params, results| {
            Box::new(call(store, effect.name, ty, params, results))
        })?;
    }
    // Types are shared, so the interface without functions is imported too.
    linker.instance("sandbook:runbook/types@1.0.0")?;
    wasi::link(&mut linker)?;
    Ok(linker)
}

/// The linker of the interpreter: effects by name, and nothing else.
pub(super) fn interpreter(engine: &Engine) -> Result<Linker<Context>> {
    let mut linker = Linker::new(engine);
    linker
        .instance(DYNAMIC)?
        .func_new_async("call", move |store, ty, params, results| Box::new(call_by_name(store, ty, params, results)))?;
    linker.instance("sandbook:runbook/types@1.0.0")?;
    wasi::link(&mut linker)?;
    Ok(linker)
}

/// One host call: convert, perform, convert back.
async fn call(
    store: StoreContextMut<'_, Context>,
    name: &'static str,
    ty: ComponentFunc,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let (asks, output) = (store.data().asks.clone(), store.data().output.clone());
    let mut arguments = Map::new();
    for ((parameter, ty), value) in ty.params().zip(params) {
        let json = convert::to_json(value, &ty).map_err(into_wasmtime)?;
        if !json.is_null() {
            arguments.insert(parameter.replace('-', "_"), json);
        }
    }
    let answer = perform(asks, output, name, Value::Object(arguments)).await;
    let Some(result_ty) = ty.results().next() else { return Ok(()) };
    results[0] = answer_to_val(answer, &result_ty).map_err(into_wasmtime)?;
    Ok(())
}

async fn call_by_name(
    store: StoreContextMut<'_, Context>,
    ty: ComponentFunc,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let (Some(Val::String(name)), Some(Val::String(arguments))) = (params.first(), params.get(1)) else {
        return Err(wasmtime::Error::msg("the interpreter calls with a name and arguments"));
    };
    let (asks, output) = (store.data().asks.clone(), store.data().output.clone());
    let answer = match serde_json::from_str(arguments) {
        Ok(arguments) => perform(asks, output, name, arguments).await,
        Err(error) => Err(Error::invalid(format!("{name}: {error}"))),
    };
    let answer = answer.map(|value| Value::String(value.to_string()));
    let Some(result_ty) = ty.results().next() else { return Ok(()) };
    results[0] = answer_to_val(answer, &result_ty).map_err(into_wasmtime)?;
    Ok(())
}

/// Turns a call into an effect, and what was printed before it into notes.
async fn perform(asks: Asks, output: wasi::Output, name: &str, arguments: Value) -> Result<Value, Error> {
    let effect = Effect::from_arguments(name, arguments)?;
    for line in output.take_lines() {
        // What a full or stopped run says to a note changes nothing for the effect behind it.
        let _ = asks.ask(wasi::note(line)).await;
    }
    asks.ask(effect).await
}

fn answer_to_val(answer: Result<Value, Error>, ty: &Type) -> Result<Val> {
    let Type::Result(ty) = ty else {
        anyhow::bail!("an effect answers with a result");
    };
    Ok(Val::Result(match answer {
        Ok(value) => Ok(match ty.ok() {
            Some(ty) => Some(Box::new(convert::from_json(&value, &ty)?)),
            None => None,
        }),
        Err(error) => Err(ty.err().map(|_| Box::new(error_to_val(&error)))),
    }))
}

fn error_to_val(error: &Error) -> Val {
    Val::Variant(error.kind.name().to_owned(), Some(Box::new(Val::String(error.message.clone()))))
}

/// The guest contract's error as ours.
pub(super) fn error_from_json(json: &Value) -> Error {
    let case = json.as_object().and_then(|object| object.iter().next());
    match case {
        Some((case, message)) => {
            Error::new(ErrorKind::from_name(case).unwrap_or(ErrorKind::Failed), message.as_str().unwrap_or_default())
        }
        None => Error::failed(json.to_string()),
    }
}

fn into_wasmtime(error: anyhow::Error) -> wasmtime::Error {
    wasmtime::Error::msg(format!("{error:#}"))
}
