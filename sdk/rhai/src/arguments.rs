//! Arguments of an effect as one JSON object, checked against the types of the WIT, so that a misspelt option is an error with
//! the right name in it instead of an option that silently does nothing.

use rhai::{Dynamic, Map};

use crate::effects::{Effect, Parameter, Ty};
use crate::{json, suggest};

/// The object `{parameter: value}`. A record that was left out is `{}`, an option that was left out is absent.
pub(crate) fn object(effect: &Effect, arguments: &[&mut Dynamic]) -> Result<String, String> {
    let mut out = String::from("{");
    for (position, parameter) in effect.parameters.iter().enumerate() {
        match arguments.get(position).filter(|value| !value.is_unit()) {
            Some(value) => {
                key(&mut out, parameter.name);
                write(&mut out, &parameter.ty, value, parameter.name)?;
            }
            None if position < effect.required && !matches!(parameter.ty, Ty::Maybe(_)) => return Err(format!("`{}` is `()`, it must be {}", parameter.name, noun(&parameter.ty))),
            None if matches!(parameter.ty, Ty::Record(_)) => {
                key(&mut out, parameter.name);
                out.push_str("{}");
            }
            None => {}
        }
    }
    out.push('}');
    Ok(out)
}

fn key(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    json::text(out, name);
    out.push(':');
}

/// What is wrong with the keys of a map given for a record, if anything. The static check asks the same.
pub(crate) fn unknown_key(fields: &[Parameter], given: &str) -> Option<String> {
    if fields.iter().any(|field| field.name == given) {
        return None;
    }
    let names = || fields.iter().map(|field| field.name);
    Some(match suggest::closest(given, names()) {
        Some(close) => format!("has no `{given}`; did you mean `{close}`?"),
        None => format!("has no `{given}`; it has {}", names().collect::<Vec<_>>().join(", ")),
    })
}

fn noun(ty: &Ty) -> String {
    match ty {
        Ty::Flag => "true or false".into(),
        Ty::Whole { .. } => "a whole number".into(),
        Ty::Number => "a number".into(),
        Ty::Text => "a string".into(),
        Ty::Container => "a name or a target".into(),
        Ty::OneOf(cases) => format!("one of {}", cases.join(", ")),
        Ty::Maybe(inner) => noun(inner),
        Ty::List(_) => "an array".into(),
        Ty::Pairs(_) | Ty::Record(_) => "a map".into(),
    }
}

fn write(out: &mut String, ty: &Ty, value: &Dynamic, path: &str) -> Result<(), String> {
    let wrong = || format!("`{path}` must be {}, not {}", noun(ty), value.type_name());
    match ty {
        Ty::Flag => out.push_str(if value.as_bool().map_err(|_| wrong())? { "true" } else { "false" }),
        Ty::Whole { min, max } => {
            let number = value.as_int().map_err(|_| wrong())?;
            if number < *min || number > *max {
                return Err(format!("`{path}` must be between {min} and {max}, not {number}"));
            }
            out.push_str(&number.to_string());
        }
        Ty::Number => {
            let number = value.as_float().or_else(|_| value.as_int().map(|int| int as f64)).map_err(|_| wrong())?;
            if !number.is_finite() {
                return Err(format!("`{path}` is {number}, which is not a number to send"));
            }
            json::number(out, number);
        }
        Ty::Text => json::text(out, &string(value).ok_or_else(wrong)?),
        Ty::Container => {
            let handle = match value.as_map_ref() {
                Ok(map) => map.get("handle").and_then(string),
                Err(_) => string(value),
            };
            json::text(out, &handle.ok_or_else(wrong)?);
        }
        Ty::OneOf(cases) => {
            let case = string(value).ok_or_else(wrong)?;
            if !cases.contains(&case.as_str()) {
                return Err(format!("`{path}` must be one of {}, not `{case}`", cases.join(", ")));
            }
            json::text(out, &case);
        }
        Ty::Maybe(_) if value.is_unit() => out.push_str("null"),
        Ty::Maybe(inner) => write(out, inner, value, path)?,
        Ty::List(inner) => {
            let list = value.as_array_ref().map_err(|_| wrong())?;
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(out, inner, item, &format!("{path}[{i}]"))?;
            }
            out.push(']');
        }
        Ty::Pairs(inner) => {
            let map = value.as_map_ref().map_err(|_| wrong())?;
            out.push('{');
            for (name, item) in map.iter() {
                key(out, name);
                write(out, inner, item, &format!("{path}.{name}"))?;
            }
            out.push('}');
        }
        Ty::Record(fields) => write_record(out, fields, &*value.as_map_ref().map_err(|_| wrong())?, path)?,
    }
    Ok(())
}

fn write_record(out: &mut String, fields: &[Parameter], map: &Map, path: &str) -> Result<(), String> {
    for given in map.keys() {
        if let Some(wrong) = unknown_key(fields, given) {
            return Err(format!("`{path}` {wrong}"));
        }
    }
    out.push('{');
    for field in fields {
        match map.get(field.name).filter(|value| !value.is_unit()) {
            Some(value) => {
                key(out, field.name);
                write(out, &field.ty, value, &format!("{path}.{}", field.name))?;
            }
            None if matches!(field.ty, Ty::Maybe(_)) => {}
            None => return Err(format!("`{path}` lacks `{}`, {}", field.name, noun(&field.ty))),
        }
    }
    out.push('}');
    Ok(())
}

/// Strings and single characters.
fn string(value: &Dynamic) -> Option<String> {
    match value.as_char() {
        Ok(character) => Some(character.into()),
        Err(_) => value.as_immutable_string_ref().ok().map(|text| text.to_string()),
    }
}
