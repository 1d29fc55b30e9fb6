//! The guest contract as the generators of the SDKs see it: interfaces, types and functions with their prose.
//!
//! Every shape an effect may have is one of [`Ty`] and [`Shape`]; another one fails here, so that no language silently lacks
//! it. Deliberately not here: how a language spells any of it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use wit_parser::{Resolve, Type, TypeDefKind, TypeId, TypeOwner};

/// The interface whose types all others share.
pub const SHARED: &str = "types";
/// Interfaces that no runbook's author sees.
const HIDDEN: [&str; 1] = ["dynamic"];
/// Shared types that every SDK writes by hand: one error, one input, one outcome.
const BY_HAND: [&str; 6] = ["error", "value", "input", "outcome", "alert", "target"];

/// A type as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ty {
    /// True or false.
    Flag,
    /// A whole number.
    Whole {
        /// As Rust calls it, such as `u64`.
        width: &'static str,
    },
    /// A number with a fraction.
    Number,
    /// A text.
    Text,
    /// A container: a name or a target.
    Container,
    /// A record or enum, of an interface.
    Named {
        /// Which interface defines it.
        interface: String,
        /// Its name.
        name: String,
    },
    /// It may be absent.
    Maybe(Box<Ty>),
    /// A list.
    List(Box<Ty>),
    /// A list of text and value, which authors see as a map.
    Pairs(Box<Ty>),
    /// A tuple.
    Tuple(Vec<Ty>),
    /// Nothing.
    Unit,
}

/// A field or a parameter.
#[derive(Debug, Clone)]
pub struct Field {
    /// As in the WIT.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// Its type.
    pub ty: Ty,
}

impl Ty {
    /// A whole number of 64 bits, which JavaScript carries differently.
    pub fn is_wide(&self) -> bool {
        matches!(self, Ty::Whole { width: "u64" | "i64" })
    }
}

impl Field {
    /// Whether it can be left out.
    pub fn optional(&self) -> bool {
        matches!(self.ty, Ty::Maybe(_))
    }
}

/// What a named type is.
#[derive(Debug, Clone)]
pub enum Shape {
    /// One of these words, with their comments.
    Enum(Vec<(String, String)>),
    /// Fields.
    Record(Vec<Field>),
}

/// A named type.
#[derive(Debug, Clone)]
pub struct Definition {
    /// As in the WIT.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// What it is.
    pub shape: Shape,
}

/// One effect.
#[derive(Debug, Clone)]
pub struct Function {
    /// As in the WIT.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// In order.
    pub parameters: Vec<Field>,
    /// What it answers.
    pub answer: Ty,
    /// Whether it can answer an error.
    pub fallible: bool,
}

/// One interface.
#[derive(Debug, Clone)]
pub struct Interface {
    /// As in the WIT.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// Its own types, each after those it uses.
    pub types: Vec<Definition>,
    /// Its effects; empty for the shared types.
    pub functions: Vec<Function>,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Package and version, such as `sandbook:runbook@1.0.0`.
    pub package: String,
    /// Types all others share.
    pub shared: Interface,
    /// Those with effects, in the order of the world.
    pub interfaces: Vec<Interface>,
}

impl Contract {
    /// Reads the WIT of a repository.
    pub fn read(root: &Path) -> Result<Contract> {
        let mut resolve = Resolve::default();
        let (id, _) = resolve.push_dir(root.join(crate::WIT))?;
        let package = &resolve.packages[id];
        let world = *package.worlds.get("imports").context("the contract has a world `imports`")?;
        let mut interfaces = Vec::new();
        for item in resolve.worlds[world].imports.values() {
            let wit_parser::WorldItem::Interface { id, .. } = item else { continue };
            let name = resolve.interfaces[*id].name.clone().unwrap_or_default();
            if name != SHARED && !HIDDEN.contains(&name.as_str()) {
                interfaces.push(interface(&resolve, *id)?);
            }
        }
        let shared = *package.interfaces.get(SHARED).context("the contract has shared types")?;
        Ok(Contract { package: package.name.to_string(), shared: interface(&resolve, shared)?, interfaces })
    }

    /// A named type.
    pub fn definition(&self, interface: &str, name: &str) -> Result<&Definition> {
        let all = std::iter::once(&self.shared).chain(&self.interfaces);
        all.filter(|one| one.name == interface)
            .flat_map(|one| &one.types)
            .find(|definition| definition.name == name)
            .with_context(|| format!("{interface} has no type {name}"))
    }

    /// The fields that a function's last parameter is made of, where authors write them as options of the call: a record
    /// none of whose fields is called like another parameter.
    pub fn spread<'a>(&'a self, function: &'a Function) -> Result<Option<(&'a Field, &'a [Field])>> {
        let Some((last, before)) = function.parameters.split_last() else { return Ok(None) };
        let Ty::Named { interface, name } = &last.ty else { return Ok(None) };
        let Shape::Record(fields) = &self.definition(interface, name)?.shape else { return Ok(None) };
        let taken = fields.iter().any(|field| before.iter().any(|parameter| parameter.name == field.name));
        Ok((!taken).then_some((last, fields.as_slice())))
    }
}

fn interface(resolve: &Resolve, id: wit_parser::InterfaceId) -> Result<Interface> {
    let found = &resolve.interfaces[id];
    let mut types = Vec::new();
    for (name, ty) in &found.types {
        define(resolve, name, *ty, &mut types)?;
    }
    let mut functions = Vec::new();
    for (name, function) in &found.functions {
        let parameters = function.params.iter().map(|parameter| field(resolve, &parameter.name, None, &parameter.ty));
        let (answer, fallible) = answer(resolve, function.result.as_ref())?;
        functions.push(Function {
            name: name.clone(),
            docs: docs(&function.docs),
            parameters: parameters.collect::<Result<_>>().with_context(|| format!("effect {name}"))?,
            answer,
            fallible,
        });
    }
    Ok(Interface { name: found.name.clone().unwrap_or_default(), docs: docs(&found.docs), types, functions })
}

fn docs(docs: &wit_parser::Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().to_owned()
}

/// Adds a type after those of the same interface that it uses.
fn define(resolve: &Resolve, name: &str, id: TypeId, types: &mut Vec<Definition>) -> Result<()> {
    let ty = &resolve.types[id];
    if BY_HAND.contains(&name) || types.iter().any(|known| known.name == name) {
        return Ok(());
    }
    let shape = match &ty.kind {
        // Used from another interface, or another name for what there is.
        TypeDefKind::Type(_) => return Ok(()),
        TypeDefKind::Enum(cases) => {
            Shape::Enum(cases.cases.iter().map(|case| (case.name.clone(), docs(&case.docs))).collect())
        }
        TypeDefKind::Record(record) => {
            let mut fields = Vec::new();
            for one in &record.fields {
                for inner in named_within(resolve, &one.ty) {
                    if resolve.types[inner].owner == ty.owner {
                        define(resolve, resolve.types[inner].name.as_deref().unwrap_or_default(), inner, types)?;
                    }
                }
                fields.push(field(resolve, &one.name, Some(&one.docs), &one.ty)?);
            }
            Shape::Record(fields)
        }
        other => bail!("type {name} is a {}, which the SDKs have no words for", other.as_str()),
    };
    types.push(Definition { name: name.to_owned(), docs: docs(&ty.docs), shape });
    Ok(())
}

/// Named types that a type holds.
fn named_within(resolve: &Resolve, ty: &Type) -> Vec<TypeId> {
    let Type::Id(id) = ty else { return Vec::new() };
    match &resolve.types[*id].kind {
        TypeDefKind::Option(inner) | TypeDefKind::List(inner) | TypeDefKind::Type(inner) => {
            let mut found = named_within(resolve, inner);
            found.extend(resolve.types[*id].name.is_some().then_some(*id));
            found
        }
        _ => vec![*id],
    }
}

fn field(resolve: &Resolve, name: &str, comment: Option<&wit_parser::Docs>, ty: &Type) -> Result<Field> {
    let ty = describe(resolve, ty).with_context(|| format!("field {name}"))?;
    Ok(Field { name: name.to_owned(), docs: comment.map(docs).unwrap_or_default(), ty })
}

/// What a function answers, and whether it may answer an error instead.
fn answer(resolve: &Resolve, result: Option<&Type>) -> Result<(Ty, bool)> {
    match result {
        None => Ok((Ty::Unit, false)),
        Some(Type::Id(id)) => match &resolve.types[*id].kind {
            TypeDefKind::Result(result) => {
                Ok((result.ok.as_ref().map_or(Ok(Ty::Unit), |ok| describe(resolve, ok))?, true))
            }
            _ => Ok((describe(resolve, &Type::Id(*id))?, false)),
        },
        Some(other) => Ok((describe(resolve, other)?, false)),
    }
}

fn describe(resolve: &Resolve, ty: &Type) -> Result<Ty> {
    Ok(match ty {
        Type::Bool => Ty::Flag,
        Type::U8 => Ty::Whole { width: "u8" },
        Type::U16 => Ty::Whole { width: "u16" },
        Type::U32 => Ty::Whole { width: "u32" },
        Type::U64 => Ty::Whole { width: "u64" },
        Type::S8 => Ty::Whole { width: "i8" },
        Type::S16 => Ty::Whole { width: "i16" },
        Type::S32 => Ty::Whole { width: "i32" },
        Type::S64 => Ty::Whole { width: "i64" },
        Type::F32 | Type::F64 => Ty::Number,
        Type::Char | Type::String => Ty::Text,
        Type::ErrorContext => bail!("error-context has no meaning in an effect"),
        Type::Id(id) => return described(resolve, *id),
    })
}

fn described(resolve: &Resolve, id: TypeId) -> Result<Ty> {
    let definition = &resolve.types[id];
    if definition.name.as_deref() == Some("container") {
        return Ok(Ty::Container);
    }
    Ok(match &definition.kind {
        TypeDefKind::Type(inner) => describe(resolve, inner)?,
        TypeDefKind::Option(inner) => Ty::Maybe(Box::new(describe(resolve, inner)?)),
        TypeDefKind::List(inner) => match describe(resolve, inner)? {
            Ty::Tuple(parts) if parts.len() == 2 && parts[0] == Ty::Text => Ty::Pairs(Box::new(parts[1].clone())),
            inner => Ty::List(Box::new(inner)),
        },
        TypeDefKind::Tuple(tuple) => {
            Ty::Tuple(tuple.types.iter().map(|ty| describe(resolve, ty)).collect::<Result<_>>()?)
        }
        TypeDefKind::Record(_) | TypeDefKind::Enum(_) => {
            let name = definition.name.clone().context("a record has a name")?;
            let TypeOwner::Interface(owner) = definition.owner else { bail!("{name} belongs to no interface") };
            Ty::Named { interface: resolve.interfaces[owner].name.clone().unwrap_or_default(), name }
        }
        other => bail!("a {} is nothing the SDKs have words for", other.as_str()),
    })
}
