//! Rhai: definition files for editors, one module per interface, and the words every script has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use super::{commented, snake, upper_camel};
use crate::contract::{Contract, Field, Shape, Ty};

const FOLDER: &str = "sdk/rhai/definitions";

/// What every script has besides the effects.
const WORDS: &str = "\
/// Did what it is for; nothing was broken. The sentence is what a person reads first.
fn done(sentence: String) -> outcome;

/// Changed something and believes it is fixed; the engine verifies.
fn fixed(sentence: String) -> outcome;

/// Found nothing wrong.
fn nothing_to_do(sentence: String) -> outcome;

/// A person is needed.
fn escalate(sentence: String) -> outcome;

/// Waits for so many seconds; waiting costs nothing. The same as `clock::sleep`, in seconds.
fn sleep(seconds: int);
";

pub(super) fn files(contract: &Contract, files: &mut BTreeMap<String, String>) -> Result<()> {
    let head = "// Generated from sdk/wit by `sandbook-pack generate`; a test compares.\n";
    files.insert(format!("{FOLDER}/sandbook.d.rhai"), format!("{head}module static;\n\n{WORDS}"));
    for interface in &contract.interfaces {
        let mut text = format!("{head}{}module {};\n", commented("/// ", &interface.docs), snake(&interface.name));
        for function in &interface.functions {
            let required = function.parameters.len()
                - function.parameters.iter().rev().take_while(|one| may_be_left_out(contract, &one.ty)).count();
            // A definition has no optional parameters: one line for each number of arguments.
            for count in required..=function.parameters.len() {
                let given = &function.parameters[..count];
                text.push('\n');
                text.push_str(&commented("/// ", &function.docs));
                for parameter in given {
                    options(&mut text, contract, parameter)?;
                }
                let parameters: Vec<String> =
                    given.iter().map(|one| format!("{}: {}", snake(&one.name), hint(contract, &one.ty))).collect();
                let _ = writeln!(
                    text,
                    "fn {}({}) -> {};",
                    snake(&function.name),
                    parameters.join(", "),
                    hint(contract, &function.answer)
                );
            }
        }
        files.insert(format!("{FOLDER}/{}.d.rhai", snake(&interface.name)), text);
    }
    Ok(())
}

/// The keys of a map, in its comment.
fn options(text: &mut String, contract: &Contract, parameter: &Field) -> Result<()> {
    let Ty::Named { interface, name } = &parameter.ty else { return Ok(()) };
    let Shape::Record(fields) = &contract.definition(interface, name)?.shape else { return Ok(()) };
    let _ = writeln!(text, "///\n/// `{}` is a map:", snake(&parameter.name));
    for field in fields {
        let docs = field.docs.split_whitespace().collect::<Vec<_>>().join(" ");
        let dash = if docs.is_empty() { "" } else { " - " };
        let _ = writeln!(text, "/// * `{}: {}`{dash}{docs}", snake(&field.name), words(contract, &field.ty));
    }
    Ok(())
}

/// A type for a reader.
fn words(contract: &Contract, ty: &Ty) -> String {
    match ty {
        Ty::Maybe(inner) => words(contract, inner),
        Ty::List(inner) => format!("[{}]", words(contract, inner)),
        Ty::Named { interface, name } => match contract.definition(interface, name).map(|one| &one.shape) {
            Ok(Shape::Enum(cases)) => {
                cases.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
            }
            Ok(Shape::Record(_)) | Err(_) => upper_camel(name),
        },
        other => hint(contract, other),
    }
}

/// The type as Rhai has it.
fn hint(contract: &Contract, ty: &Ty) -> String {
    match ty {
        Ty::Flag => "bool".into(),
        Ty::Whole { .. } => "int".into(),
        Ty::Number => "float".into(),
        Ty::Text => "String".into(),
        // A name, or a target.
        Ty::Container => "?".into(),
        Ty::Named { interface, name } => match contract.definition(interface, name).map(|one| &one.shape) {
            Ok(Shape::Enum(_)) => "String".into(),
            Ok(Shape::Record(_)) | Err(_) => "Map".into(),
        },
        Ty::Maybe(_) => "?".into(),
        Ty::List(_) | Ty::Tuple(_) => "Array".into(),
        Ty::Pairs(_) => "Map".into(),
        Ty::Unit => "()".into(),
    }
}

fn may_be_left_out(contract: &Contract, ty: &Ty) -> bool {
    match ty {
        Ty::Maybe(_) => true,
        Ty::Named { interface, name } => contract
            .definition(interface, name)
            .is_ok_and(|one| matches!(&one.shape, Shape::Record(fields) if fields.iter().all(Field::optional))),
        _ => false,
    }
}
