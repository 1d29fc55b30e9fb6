//! Python: a module per interface with dataclasses, enums of words, and a function per effect with keyword options.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;

use super::{snake, upper_camel};
use crate::contract::{Contract, Definition, Field, Function, Interface, SHARED, Shape, Ty};

const FOLDER: &str = "sdk/python/src/sandbook";
/// What every function takes that is about a container.
const CONTAINER: &str = "Container";
/// Words a parameter cannot be called.
const KEYWORDS: [&str; 12] =
    ["from", "import", "class", "def", "pass", "return", "lambda", "global", "with", "as", "in", "is"];

pub(super) fn files(contract: &Contract, files: &mut BTreeMap<String, String>) -> Result<()> {
    for interface in std::iter::once(&contract.shared).chain(&contract.interfaces) {
        files.insert(format!("{FOLDER}/{}.py", snake(&interface.name)), module(contract, interface)?);
    }
    let names: Vec<String> = contract.interfaces.iter().map(|one| format!("{:?}", snake(&one.name))).collect();
    let text = format!(
        "\"\"\"Names of the interfaces. Generated from sdk/wit by `sandbook-pack generate`; a test compares.\"\"\"\n\n\
         PACKAGE = {:?}\nINTERFACES = ({},)\n",
        contract.package,
        names.join(", ")
    );
    files.insert(format!("{FOLDER}/_contract.py"), text);
    let modules: Vec<String> = contract.interfaces.iter().map(|one| snake(&one.name)).collect();
    let text = format!(
        "\"\"\"The modules of effects. Generated from sdk/wit by `sandbook-pack generate`; a test compares.\"\"\"\n\n\
         from . import (\n    {},\n)\n\n__all__ = [{}]\n",
        modules.join(",\n    "),
        names.join(", ")
    );
    files.insert(format!("{FOLDER}/_effects.py"), text);
    Ok(())
}

fn module(contract: &Contract, interface: &Interface) -> Result<String> {
    let mut body = String::new();
    for definition in &interface.types {
        define(&mut body, interface, definition);
    }
    for function in &interface.functions {
        effect(&mut body, contract, interface, function)?;
    }
    let mut text = String::from("# Generated from sdk/wit by `sandbook-pack generate`; a test compares.\n");
    let _ = writeln!(text, "{}", docstring("", &interface.docs));
    text.push_str("from __future__ import annotations\n\n");
    if body.contains("@dataclass") {
        text.push_str("from dataclasses import dataclass, field\n");
    }
    text.push_str("\nfrom . import _bridge\n");
    let mut shared = used(interface);
    if body.contains("(Word)") {
        text.push_str("from ._words import Word\n");
    }
    if shared.remove(CONTAINER) {
        let _ = writeln!(text, "from ._input import {CONTAINER}");
    }
    if !shared.is_empty() && interface.name != SHARED {
        let names: Vec<String> = shared.iter().flat_map(|name| [name.clone(), format!("_{name}")]).collect();
        let _ = writeln!(text, "from .types import {}", names.join(", "));
    }
    text.push_str("\n__all__ = [\n");
    let names = interface.types.iter().map(|one| upper_camel(&one.name));
    for name in names.chain(interface.functions.iter().map(|one| identifier(&one.name))) {
        let _ = writeln!(text, "    {name:?},");
    }
    text.push_str("]\n");
    text.push_str(&body);
    Ok(text)
}

/// Shared types that an interface uses, by their class names.
fn used(interface: &Interface) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let records = interface.types.iter().filter_map(|one| match &one.shape {
        Shape::Record(fields) => Some(fields.iter().map(|field| &field.ty).collect::<Vec<_>>()),
        Shape::Enum(_) => None,
    });
    let of_functions = interface.functions.iter().flat_map(|function| {
        function.parameters.iter().map(|parameter| &parameter.ty).chain(std::iter::once(&function.answer))
    });
    for ty in records.flatten().chain(of_functions) {
        shared_within(ty, &mut found);
    }
    found
}

fn shared_within(ty: &Ty, found: &mut BTreeSet<String>) {
    match ty {
        Ty::Named { interface, name } if interface == SHARED => _ = found.insert(upper_camel(name)),
        Ty::Maybe(inner) | Ty::List(inner) | Ty::Pairs(inner) => shared_within(inner, found),
        Ty::Tuple(parts) => parts.iter().for_each(|part| shared_within(part, found)),
        Ty::Container => _ = found.insert(CONTAINER.to_owned()),
        Ty::Named { .. } | Ty::Flag | Ty::Whole { .. } | Ty::Number | Ty::Text | Ty::Unit => {}
    }
}

fn identifier(kebab: &str) -> String {
    let name = snake(kebab);
    if KEYWORDS.contains(&name.as_str()) { name + "_" } else { name }
}

fn define(text: &mut String, interface: &Interface, definition: &Definition) {
    let name = upper_camel(&definition.name);
    let docs = |indent: &str| docstring(indent, &definition.docs);
    match &definition.shape {
        Shape::Enum(cases) => {
            let _ = writeln!(text, "\n\nclass {name}(Word):");
            text.push_str(&docs("    "));
            for (case, comment) in cases {
                let _ = writeln!(text, "    {} = {case:?}", snake(case).to_uppercase());
                text.push_str(&docstring("    ", comment));
            }
            let _ = writeln!(text, "\n\n_{name} = _bridge.Enumeration({:?}, {name})", snake(&interface.name));
        }
        Shape::Record(fields) => {
            let _ = writeln!(text, "\n\n@dataclass\nclass {name}:");
            text.push_str(&docs("    "));
            for field in fields {
                let _ = writeln!(text, "    {}: {} = {}", identifier(&field.name), hint(&field.ty), default(&field.ty));
                text.push_str(&docstring("    ", &field.docs));
            }
            let _ = writeln!(text, "\n\n_{name} = _bridge.Record({:?}, {name}, {{", snake(&interface.name));
            for field in fields {
                let _ = writeln!(text, "    {:?}: {},", identifier(&field.name), shape(&field.ty));
            }
            text.push_str("})\n");
        }
    }
}

fn docstring(indent: &str, docs: &str) -> String {
    if docs.is_empty() {
        return String::new();
    }
    // A quote at the end would close the text too early.
    let docs = docs.replace('\\', "\\\\").replace('\n', &format!("\n{indent}"));
    let end = if docs.ends_with('"') { " " } else { "" };
    format!("{indent}\"\"\"{docs}{end}\"\"\"\n")
}

/// The type as a hint.
fn hint(ty: &Ty) -> String {
    match ty {
        Ty::Flag => "bool".into(),
        Ty::Whole { .. } => "int".into(),
        Ty::Number => "float".into(),
        Ty::Text => "str".into(),
        Ty::Container => "Container".into(),
        Ty::Named { name, .. } => upper_camel(name),
        Ty::Maybe(inner) => format!("{} | None", hint(inner)),
        Ty::List(inner) => format!("list[{}]", hint(inner)),
        Ty::Pairs(value) => format!("dict[str, {}]", hint(value)),
        Ty::Tuple(parts) => format!("tuple[{}]", parts.iter().map(hint).collect::<Vec<_>>().join(", ")),
        Ty::Unit => "None".into(),
    }
}

/// The type as an argument: enums also as their words.
fn argument_hint(contract: &Contract, ty: &Ty) -> Result<String> {
    Ok(match ty {
        Ty::Named { interface, name } => match contract.definition(interface, name)?.shape {
            Shape::Enum(_) => format!("{} | str", upper_camel(name)),
            Shape::Record(_) => upper_camel(name),
        },
        Ty::Maybe(inner) => format!("{} | None", argument_hint(contract, inner)?),
        other => hint(other),
    })
}

/// What a field holds when a test makes an answer and does not say.
fn default(ty: &Ty) -> String {
    match ty {
        Ty::Flag => "False".into(),
        Ty::Whole { .. } => "0".into(),
        Ty::Number => "0.0".into(),
        Ty::Text | Ty::Container => "\"\"".into(),
        Ty::Maybe(_) | Ty::Unit => "None".into(),
        Ty::List(_) => "field(default_factory=list)".into(),
        Ty::Pairs(_) => "field(default_factory=dict)".into(),
        Ty::Tuple(_) => "()".into(),
        Ty::Named { name, .. } => format!("field(default_factory=lambda: _bridge.default({}))", upper_camel(name)),
    }
}

/// How a value crosses.
fn shape(ty: &Ty) -> String {
    match ty {
        Ty::Flag | Ty::Whole { .. } | Ty::Number | Ty::Text | Ty::Unit => "_bridge.PLAIN".into(),
        Ty::Container => "_bridge.CONTAINER".into(),
        Ty::Named { name, .. } => format!("_{}", upper_camel(name)),
        Ty::Maybe(inner) => format!("_bridge.Maybe({})", shape(inner)),
        Ty::List(inner) => format!("_bridge.Sequence({})", shape(inner)),
        Ty::Pairs(value) => format!("_bridge.Pairs({})", shape(value)),
        Ty::Tuple(parts) => format!("_bridge.Parts({})", parts.iter().map(shape).collect::<Vec<_>>().join(", ")),
    }
}

fn effect(text: &mut String, contract: &Contract, interface: &Interface, function: &Function) -> Result<()> {
    let name = identifier(&function.name);
    let spread = contract.spread(function)?;
    let plain = &function.parameters[..function.parameters.len() - usize::from(spread.is_some())];
    let mut signature = Vec::new();
    for (index, parameter) in plain.iter().enumerate() {
        let default = if plain[index..].iter().all(Field::optional) { " = None" } else { "" };
        signature.push(format!(
            "{}: {}{default}",
            identifier(&parameter.name),
            argument_hint(contract, &parameter.ty)?
        ));
    }
    let mut passed: Vec<String> = plain.iter().map(|parameter| identifier(&parameter.name)).collect();
    if let Some((last, fields)) = spread {
        signature.push("*".into());
        let (needed, optional): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|field| !field.optional());
        for field in needed.iter().chain(&optional) {
            let default = if field.optional() { " = None" } else { "" };
            signature.push(format!("{}: {}{default}", identifier(&field.name), argument_hint(contract, &field.ty)?));
        }
        let named: Vec<String> = fields.iter().map(|field| format!("{0}={0}", identifier(&field.name))).collect();
        passed.push(format!("{}({})", hint(&last.ty), named.join(", ")));
    }
    let shapes: Vec<String> = function
        .parameters
        .iter()
        .map(|parameter| format!("({:?}, {})", identifier(&parameter.name), shape(&parameter.ty)))
        .collect();
    let _ = writeln!(
        text,
        "\n\n_{name} = _bridge.Effect({:?}, [{}], {})",
        format!("{}.{}", interface.name, function.name),
        shapes.join(", "),
        shape(&function.answer)
    );
    let one_line = format!("def {name}({}) -> {}:", signature.join(", "), hint(&function.answer));
    if one_line.len() <= 120 {
        let _ = writeln!(text, "\n\n{one_line}");
    } else {
        let _ = writeln!(text, "\n\ndef {name}(\n    {},\n) -> {}:", signature.join(",\n    "), hint(&function.answer));
    }
    let mut docs = function.docs.clone();
    if let Some((_, fields)) = spread {
        let described: Vec<String> = fields
            .iter()
            .filter(|field| !field.docs.is_empty())
            .map(|field| format!("{}: {}", identifier(&field.name), field.docs))
            .collect();
        if !described.is_empty() {
            docs = format!("{docs}\n\n{}\n", described.join("\n"));
        }
    }
    text.push_str(&docstring("    ", &docs).replace("    \n", "\n"));
    let _ = writeln!(text, "    return _{name}({})", passed.join(", "));
    Ok(())
}
