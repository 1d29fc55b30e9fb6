//! JavaScript: a table of effects with the shapes in which values cross; what authors read are the types.

use std::fmt::Write as _;

use anyhow::Result;

use super::lower_camel;
use crate::contract::{Contract, Interface, Shape, Ty};

pub(super) fn file(contract: &Contract) -> Result<String> {
    let mut text = String::from(
        "// Generated from sdk/wit by `sandbook-pack generate`; a test compares.\n\
         // Every effect, and how its values cross. Types and documentation are in effects.d.ts.\n\n\
         import { container, effect, flag, list, maybe, number, pairs, record, text, tuple, unit, whole, wide } from \"./bridge.js\";\n",
    );
    for interface in std::iter::once(&contract.shared).chain(&contract.interfaces) {
        text.push('\n');
        for definition in &interface.types {
            let Shape::Record(fields) = &definition.shape else { continue };
            let _ = writeln!(text, "const {} = record({{", constant(&interface.name, &definition.name));
            for field in fields {
                let _ = writeln!(text, "  {}: {},", lower_camel(&field.name), shape(contract, &field.ty)?);
            }
            text.push_str("});\n");
        }
        if !interface.functions.is_empty() {
            functions(&mut text, contract, interface)?;
        }
    }
    Ok(text)
}

fn functions(text: &mut String, contract: &Contract, interface: &Interface) -> Result<()> {
    let _ = writeln!(text, "export const {} = {{", lower_camel(&interface.name));
    for function in &interface.functions {
        let parameters: Result<Vec<String>> = function
            .parameters
            .iter()
            .map(|parameter| Ok(format!("{}: {}", lower_camel(&parameter.name), shape(contract, &parameter.ty)?)))
            .collect();
        let parameters = parameters?;
        let answer = match (interface.name.as_str(), &function.answer) {
            // More than a number of JavaScript holds.
            ("random", ty) if ty.is_wide() => "unit".to_owned(),
            (_, ty) => shape(contract, ty)?,
        };
        let parameters =
            if parameters.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parameters.join(", ")) };
        let _ = writeln!(
            text,
            "  {}: effect(\"{}.{}\", {parameters}, {answer}),",
            lower_camel(&function.name),
            interface.name,
            function.name,
        );
    }
    text.push_str("};\n");
    Ok(())
}

fn constant(interface: &str, name: &str) -> String {
    lower_camel(&format!("{interface}-{name}"))
}

fn shape(contract: &Contract, ty: &Ty) -> Result<String> {
    Ok(match ty {
        Ty::Flag => "flag".into(),
        Ty::Whole { .. } => if ty.is_wide() { "wide" } else { "whole" }.into(),
        Ty::Number => "number".into(),
        Ty::Text => "text".into(),
        Ty::Container => "container".into(),
        Ty::Named { interface, name } => match contract.definition(interface, name)?.shape {
            Shape::Enum(_) => "text".into(),
            Shape::Record(_) => constant(interface, name),
        },
        Ty::Maybe(inner) => format!("maybe({})", shape(contract, inner)?),
        Ty::List(inner) => format!("list({})", shape(contract, inner)?),
        Ty::Pairs(value) => format!("pairs({})", shape(contract, value)?),
        Ty::Tuple(parts) => {
            let parts: Result<Vec<String>> = parts.iter().map(|part| shape(contract, part)).collect();
            format!("tuple({})", parts?.join(", "))
        }
        Ty::Unit => "unit".into(),
    })
}
