//! TypeScript: the types and the documentation of every effect, for editors and for checking JavaScript as well.

use std::fmt::Write as _;

use anyhow::Result;

use super::{lower_camel, upper_camel};
use crate::contract::{Contract, Definition, Field, Function, SHARED, Shape, Ty};

pub(super) fn file(contract: &Contract) -> Result<String> {
    let mut text = String::from(
        "// Generated from sdk/wit by `sandbook-pack generate`; a test compares.\n\n\
         import type { Container } from \"./index.js\";\n",
    );
    for definition in &contract.shared.types {
        define(&mut text, "", definition);
    }
    for interface in &contract.interfaces {
        text.push('\n');
        comment(&mut text, "", &interface.docs);
        let _ = writeln!(text, "export namespace {} {{", lower_camel(&interface.name));
        for definition in &interface.types {
            define(&mut text, "  ", definition);
        }
        for function in &interface.functions {
            effect(&mut text, contract, function)?;
        }
        text.push_str("}\n");
    }
    Ok(text)
}

fn comment(text: &mut String, indent: &str, docs: &str) {
    match docs.lines().count() {
        0 => {}
        1 => _ = writeln!(text, "{indent}/** {docs} */"),
        _ => _ = writeln!(text, "{indent}/**\n{}{indent} */", super::commented(&format!("{indent} * "), docs)),
    }
}

fn define(text: &mut String, indent: &str, definition: &Definition) {
    text.push('\n');
    comment(text, indent, &definition.docs);
    let name = upper_camel(&definition.name);
    match &definition.shape {
        Shape::Enum(cases) => {
            let words: Vec<String> = cases.iter().map(|(word, _)| format!("{word:?}")).collect();
            let _ = writeln!(text, "{indent}type {name} = {};", words.join(" | "));
        }
        Shape::Record(fields) => {
            let _ = writeln!(text, "{indent}interface {name} {{");
            for field in fields {
                comment(text, &format!("{indent}  "), &field.docs);
                let _ = writeln!(text, "{indent}  {};", member(field));
            }
            let _ = writeln!(text, "{indent}}}");
        }
    }
    if indent.is_empty() {
        let at = text.rfind(if matches!(definition.shape, Shape::Enum(_)) { "type " } else { "interface " });
        if let Some(at) = at {
            text.insert_str(at, "export ");
        }
    }
}

fn member(field: &Field) -> String {
    match &field.ty {
        Ty::Maybe(inner) => format!("{}?: {}", lower_camel(&field.name), hint(inner)),
        ty => format!("{}: {}", lower_camel(&field.name), hint(ty)),
    }
}

fn hint(ty: &Ty) -> String {
    match ty {
        Ty::Flag => "boolean".into(),
        Ty::Whole { .. } | Ty::Number => "number".into(),
        Ty::Text => "string".into(),
        Ty::Container => "Container".into(),
        Ty::Named { interface, name } if interface == SHARED => upper_camel(name),
        Ty::Named { name, .. } => upper_camel(name),
        Ty::Maybe(inner) => format!("{} | undefined", hint(inner)),
        Ty::List(inner) => format!("Array<{}>", hint(inner)),
        Ty::Pairs(value) => format!("Record<string, {}>", hint(value)),
        Ty::Tuple(parts) => format!("[{}]", parts.iter().map(hint).collect::<Vec<_>>().join(", ")),
        Ty::Unit => "void".into(),
    }
}

fn effect(text: &mut String, contract: &Contract, function: &Function) -> Result<()> {
    text.push('\n');
    comment(text, "  ", &function.docs);
    let mut parameters = Vec::new();
    for (index, parameter) in function.parameters.iter().enumerate() {
        let rest = &function.parameters[index..];
        let may_be_left_out = rest.iter().all(|one| one.optional() || options(contract, &one.ty));
        let ty = if let Ty::Maybe(inner) = &parameter.ty { hint(inner) } else { hint(&parameter.ty) };
        let mark = if may_be_left_out { "?" } else { "" };
        parameters.push(format!("{}{mark}: {ty}", lower_camel(&parameter.name)));
    }
    // A random number has 64 bits, more than a number of JavaScript holds.
    let answer = if function.name == "random-u64" { "bigint".to_owned() } else { hint(&function.answer) };
    let _ = writeln!(text, "  function {}({}): {answer};", lower_camel(&function.name), parameters.join(", "));
    Ok(())
}

/// A record of which nothing has to be said.
fn options(contract: &Contract, ty: &Ty) -> bool {
    let Ty::Named { interface, name } = ty else { return false };
    let definition = contract.definition(interface, name);
    definition.is_ok_and(|one| matches!(&one.shape, Shape::Record(fields) if fields.iter().all(Field::optional)))
}
