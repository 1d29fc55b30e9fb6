//! Turns the WIT into the table of effects that scripts can call, so that no Rhai function is written by hand: an effect added
//! to `sdk/wit` is in the interpreter after the next build. Only argument types are kept; results are plain data.

use std::fmt::Write as _;
use std::path::PathBuf;

use wit_parser::{Resolve, Type, TypeDefKind};

/// Interfaces that hold no effects.
const NOT_EFFECTS: [&str; 2] = ["types", "dynamic"];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!("cargo:rerun-if-changed=../wit");
    println!("cargo:rerun-if-changed=build.rs");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir("../wit").map_err(|error| format!("{error:?}"))?;
    let mut table = String::from("pub static EFFECTS: &[Effect] = &[\n");
    for (interface, id) in &resolve.packages[package].interfaces {
        if NOT_EFFECTS.contains(&interface.as_str()) {
            continue;
        }
        for (name, function) in &resolve.interfaces[*id].functions {
            let doc = function.docs.contents.as_deref().unwrap_or_default().trim();
            let mut parameters = String::new();
            for parameter in &function.params {
                let ty = describe(&resolve, &parameter.ty)?;
                write!(parameters, "Parameter {{ name: {:?}, ty: {ty} }}, ", snake(&parameter.name))?;
            }
            let required = required(&resolve, function.params.iter().map(|parameter| &parameter.ty));
            writeln!(
                table,
                "    Effect {{ interface: {:?}, function: {:?}, name: {:?}, doc: {doc:?}, parameters: &[{parameters}], required: {required} }},",
                snake(interface),
                snake(name),
                format!("{interface}.{name}"),
            )?;
        }
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("effects.rs");
    std::fs::write(out, table)?;
    Ok(())
}

fn snake(kebab: &str) -> String {
    kebab.replace('-', "_")
}

/// How many leading parameters must be given: trailing options, and records of options only, may be left out.
fn required<'a>(resolve: &Resolve, types: impl DoubleEndedIterator<Item = &'a Type> + ExactSizeIterator) -> usize {
    let total = types.len();
    total - types.rev().take_while(|ty| may_be_omitted(resolve, ty)).count()
}

fn may_be_omitted(resolve: &Resolve, ty: &Type) -> bool {
    let Type::Id(id) = ty else { return false };
    match &resolve.types[*id].kind {
        TypeDefKind::Option(_) => true,
        TypeDefKind::Record(record) => record.fields.iter().all(|field| is_option(resolve, &field.ty)),
        TypeDefKind::Type(inner) => may_be_omitted(resolve, inner),
        _ => false,
    }
}

fn is_option(resolve: &Resolve, ty: &Type) -> bool {
    matches!(ty, Type::Id(id) if matches!(resolve.types[*id].kind, TypeDefKind::Option(_)))
}

/// The type as an expression of `effects::Ty`.
fn describe(resolve: &Resolve, ty: &Type) -> Result<String, Failure> {
    Ok(match ty {
        Type::Bool => "Ty::Flag".into(),
        Type::U8 => whole(0, u8::MAX.into()),
        Type::U16 => whole(0, u16::MAX.into()),
        Type::U32 => whole(0, u32::MAX.into()),
        Type::U64 => whole(0, i64::MAX),
        Type::S8 => whole(i8::MIN.into(), i8::MAX.into()),
        Type::S16 => whole(i16::MIN.into(), i16::MAX.into()),
        Type::S32 => whole(i32::MIN.into(), i32::MAX.into()),
        Type::S64 => whole(i64::MIN, i64::MAX),
        Type::F32 | Type::F64 => "Ty::Number".into(),
        Type::Char | Type::String => "Ty::Text".into(),
        Type::ErrorContext => return Err("error-context has no meaning in an effect".into()),
        Type::Id(id) => {
            let definition = &resolve.types[*id];
            if matches!(definition.name.as_deref(), Some("container" | "service")) {
                return Ok("Ty::Container".into());
            }
            describe_kind(resolve, &definition.kind)?
        }
    })
}

fn whole(min: i64, max: i64) -> String {
    format!("Ty::Whole {{ min: {min}, max: {max} }}")
}

fn describe_kind(resolve: &Resolve, kind: &TypeDefKind) -> Result<String, Failure> {
    Ok(match kind {
        TypeDefKind::Type(inner) => describe(resolve, inner)?,
        TypeDefKind::Option(inner) => format!("Ty::Maybe(&{})", describe(resolve, inner)?),
        TypeDefKind::List(inner) => match pair(resolve, inner) {
            Some(value) => format!("Ty::Pairs(&{})", describe(resolve, value)?),
            None => format!("Ty::List(&{})", describe(resolve, inner)?),
        },
        TypeDefKind::Enum(cases) => {
            let names: Vec<&str> = cases.cases.iter().map(|case| case.name.as_str()).collect();
            format!("Ty::OneOf(&{names:?})")
        }
        TypeDefKind::Record(record) => {
            let mut fields = String::new();
            for field in &record.fields {
                let ty = describe(resolve, &field.ty)?;
                write!(fields, "Parameter {{ name: {:?}, ty: {ty} }}, ", snake(&field.name))?;
            }
            format!("Ty::Record(&[{fields}])")
        }
        other => return Err(format!("effects take no argument of kind {}", other.as_str()).into()),
    })
}

/// The value type of `tuple<string, T>`, which crosses as a map.
fn pair<'a>(resolve: &'a Resolve, ty: &Type) -> Option<&'a Type> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[*id].kind {
        TypeDefKind::Tuple(tuple) => match tuple.types.as_slice() {
            [Type::String, value] => Some(value),
            _ => None,
        },
        _ => None,
    }
}
