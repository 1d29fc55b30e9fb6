//! Rust: what stands in the place of the imports off the engine, so that a runbook's own code runs in a plain `cargo test`.
//!
//! Signatures repeat what the binding generator makes of the WIT; each is compared with it by the compiler, in a constant
//! beside it. Deliberately not here: what guests call inside the engine, which the binding generator makes while they are
//! built.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use anyhow::Result;

use super::{commented, snake, upper_camel};
use crate::contract::{Contract, Field, Function, Interface, Shape, Ty};

/// Words of Rust that the contract uses as names.
const KEYWORDS: [&str; 4] = ["match", "type", "ref", "move"];
/// Types of the contract, as the SDK's crate names them.
const BINDINGS: &str = "crate::bindings::sandbook::runbook";

pub(super) fn file(contract: &Contract) -> Result<String> {
    let mut text = String::from(
        "// Generated from sdk/wit by `sandbook-pack generate`; a test compares.\n\
         //! The effects off the engine: the same functions, answered by a [`World`](super::World).\n\n\
         use super::{Kind, given, note, perform};\n",
    );
    for interface in &contract.interfaces {
        module(&mut text, contract, interface)?;
    }
    kinds(&mut text, contract);
    defaults(&mut text, contract)?;
    Ok(text)
}

fn module(text: &mut String, contract: &Contract, interface: &Interface) -> Result<()> {
    let name = snake(&interface.name);
    text.push('\n');
    text.push_str(&commented("/// ", &interface.docs));
    let _ = writeln!(text, "pub mod {name} {{\n    use super::*;\n\n    pub use {BINDINGS}::{name}::*;");
    for function in &interface.functions {
        effect(text, contract, interface, function)?;
    }
    text.push_str("}\n");
    Ok(())
}

fn effect(text: &mut String, contract: &Contract, interface: &Interface, function: &Function) -> Result<()> {
    let name = identifier(&function.name);
    let mut parameters = Vec::new();
    let mut types = Vec::new();
    let mut kept = Vec::new();
    for parameter in &function.parameters {
        let (ty, owned) = borrowed(contract, &parameter.ty)?;
        let parameter = snake(&parameter.name);
        kept.push(format!("given({parameter:?}, {parameter}{owned})"));
        parameters.push(format!("{parameter}: {ty}"));
        types.push(ty);
    }
    let answer = owned(&function.answer);
    let (door, answer) = match function.fallible {
        true => ("perform", format!(" -> Result<{answer}, crate::Error>")),
        false => ("note", String::new()),
    };
    text.push('\n');
    text.push_str(&commented("    /// ", &function.docs));
    let _ = writeln!(text, "    pub fn {name}({}){answer} {{", parameters.join(", "));
    let _ = writeln!(text, "        {door}(\"{}.{}\", vec![{}])", interface.name, function.name, kept.join(", "));
    let _ = writeln!(
        text,
        "    }}\n    const _: fn({}){answer} = {BINDINGS}::{}::{name};",
        types.join(", "),
        snake(&interface.name)
    );
    Ok(())
}

/// What each effect answers, so that a test that says something else is told where it says so.
fn kinds(text: &mut String, contract: &Contract) {
    text.push_str(
        "\n/// What an effect answers; none where there is no such effect.\n\
         pub(super) fn kind(effect: &str) -> Option<Kind> {\n    Some(match effect {\n",
    );
    for interface in &contract.interfaces {
        for function in &interface.functions {
            let answer = qualified(&function.answer);
            let _ = writeln!(text, "        \"{}.{}\" => Kind::of::<{answer}>(),", interface.name, function.name);
        }
    }
    text.push_str("        _ => return None,\n    })\n}\n");
}

/// `Default` for what effects answer, so that a test says only what matters to it.
fn defaults(text: &mut String, contract: &Contract) -> Result<()> {
    text.push_str(
        "\nmacro_rules! defaults {\n    ($($record:path { $($field:ident),* })*) => {$(\n        impl Default for $record {\n\
         \x20           fn default() -> Self {\n                Self { $($field: Default::default()),* }\n            }\n        }\n    )*};\n}\n\n\
         macro_rules! first {\n    ($($word:path: $case:ident,)*) => {$(\n        impl Default for $word {\n\
         \x20           fn default() -> Self {\n                Self::$case\n            }\n        }\n    )*};\n}\n",
    );
    let (mut records, mut words) = (String::new(), String::new());
    for (interface, name) in answered(contract)? {
        let path = path(&interface, &name);
        match &contract.definition(&interface, &name)?.shape {
            Shape::Record(fields) => {
                let names: Vec<String> = fields.iter().map(|field| identifier(&field.name)).collect();
                let _ = writeln!(records, "    {path} {{ {} }}", names.join(", "));
            }
            Shape::Enum(cases) => {
                let first = cases.first().map(|(case, _)| upper_camel(case)).unwrap_or_default();
                let _ = writeln!(words, "    {path}: {first},");
            }
        }
    }
    let _ = write!(text, "\ndefaults! {{\n{records}}}\n\nfirst! {{\n{words}}}\n");
    Ok(())
}

/// Records and enums within answers, by interface and name.
fn answered(contract: &Contract) -> Result<BTreeSet<(String, String)>> {
    let functions = contract.interfaces.iter().flat_map(|interface| &interface.functions);
    let mut open: VecDeque<Ty> = functions.map(|function| function.answer.clone()).collect();
    let mut found = BTreeSet::new();
    while let Some(ty) = open.pop_front() {
        match ty {
            Ty::Named { interface, name } => {
                if let Shape::Record(fields) = &contract.definition(&interface, &name)?.shape {
                    open.extend(fields.iter().map(|field: &Field| field.ty.clone()));
                }
                found.insert((interface, name));
            }
            Ty::Maybe(inner) | Ty::List(inner) | Ty::Pairs(inner) => open.push_back(*inner),
            Ty::Tuple(parts) => open.extend(parts),
            Ty::Flag | Ty::Whole { .. } | Ty::Number | Ty::Text | Ty::Container | Ty::Unit => {}
        }
    }
    Ok(found)
}

fn path(interface: &str, name: &str) -> String {
    format!("{BINDINGS}::{}::{}", snake(interface), upper_camel(name))
}

fn identifier(kebab: &str) -> String {
    let name = snake(kebab);
    if KEYWORDS.contains(&name.as_str()) { format!("{name}_") } else { name }
}

/// A parameter's type, and what makes it one's own to keep.
fn borrowed(contract: &Contract, ty: &Ty) -> Result<(String, &'static str)> {
    Ok(match ty {
        Ty::Text | Ty::Container => ("&str".into(), ".to_owned()"),
        Ty::List(_) | Ty::Pairs(_) => (format!("&[{}]", element(ty)), ".to_vec()"),
        Ty::Maybe(inner) => match &**inner {
            Ty::Text | Ty::Container => ("Option<&str>".into(), ".map(str::to_owned)"),
            Ty::List(_) | Ty::Pairs(_) => (format!("Option<&[{}]>", element(inner)), ".map(<[_]>::to_vec)"),
            inner if copies(contract, inner)? => (format!("Option<{}>", owned(inner)), ""),
            inner => (format!("Option<&{}>", owned(inner)), ".cloned()"),
        },
        ty if copies(contract, ty)? => (owned(ty), ""),
        ty => (format!("&{}", owned(ty)), ".clone()"),
    })
}

/// Whether the binding generator makes it `Copy`, and so takes it by value.
fn copies(contract: &Contract, ty: &Ty) -> Result<bool> {
    let all = |types: &mut dyn Iterator<Item = &Ty>| {
        types.map(|ty| copies(contract, ty)).collect::<Result<Vec<bool>>>().map(|each| each.iter().all(|one| *one))
    };
    match ty {
        Ty::Flag | Ty::Whole { .. } | Ty::Number | Ty::Unit => Ok(true),
        Ty::Text | Ty::Container | Ty::List(_) | Ty::Pairs(_) => Ok(false),
        Ty::Maybe(inner) => copies(contract, inner),
        Ty::Tuple(parts) => all(&mut parts.iter()),
        Ty::Named { interface, name } => match &contract.definition(interface, name)?.shape {
            Shape::Enum(_) => Ok(true),
            Shape::Record(fields) => all(&mut fields.iter().map(|field| &field.ty)),
        },
    }
}

fn element(list: &Ty) -> String {
    match list {
        Ty::Pairs(value) => format!("(String, {})", owned(value)),
        Ty::List(inner) => owned(inner),
        other => owned(other),
    }
}

/// A type as an answer holds it, within its interface's module.
fn owned(ty: &Ty) -> String {
    spelt(ty, &|_, name| upper_camel(name))
}

/// The same, with its whole path.
fn qualified(ty: &Ty) -> String {
    spelt(ty, &|interface, name| path(interface, name))
}

fn spelt(ty: &Ty, named: &dyn Fn(&str, &str) -> String) -> String {
    let inner = |ty: &Ty| spelt(ty, named);
    match ty {
        Ty::Flag => "bool".into(),
        Ty::Whole { width } => (*width).into(),
        Ty::Number => "f64".into(),
        Ty::Text | Ty::Container => "String".into(),
        Ty::Named { interface, name } => named(interface, name),
        Ty::Maybe(one) => format!("Option<{}>", inner(one)),
        Ty::List(one) => format!("Vec<{}>", inner(one)),
        Ty::Pairs(value) => format!("Vec<(String, {})>", inner(value)),
        Ty::Tuple(parts) => format!("({})", parts.iter().map(inner).collect::<Vec<_>>().join(", ")),
        Ty::Unit => "()".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_effect_stands_in_with_its_own_signature() {
        let contract = Contract::read(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")));
        let text = file(&contract.expect("the contract is read")).expect("it is written");
        for said in [
            "pub fn inspect_container(container: &str) -> Result<ContainerDetails, crate::Error> {",
            "pub fn restart_container(container: &str, options: StopOptions) -> Result<Change, crate::Error> {",
            "pub fn list_containers(filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, crate::Error> {",
            "pub fn progress(message: &str, percent: Option<u8>) {",
            "\"state.put\" => Kind::of::<()>(),",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }
}
