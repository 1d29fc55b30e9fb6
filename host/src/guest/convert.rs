//! Between component values and JSON in the shapes of the guest contract: records are objects of snake_case keys,
//! absent options are left out, enums are their words, variants are `{"case": payload}`, lists of `(string, T)` are
//! objects. One pair of functions serves every effect, so a front-end has no code per effect.

use anyhow::{Result, bail};
use serde_json::{Map, Number, Value};
use wasmtime::component::Val;
use wasmtime::component::types::Type;

/// Deepest nesting converted; the contract itself nests to 5.
const DEPTH_MAX: u32 = 16;

/// A component value as JSON.
pub(super) fn to_json(value: &Val, ty: &Type) -> Result<Value> {
    to_json_at(value, ty, 0)
}

fn to_json_at(value: &Val, ty: &Type, depth: u32) -> Result<Value> {
    if depth > DEPTH_MAX {
        bail!("a value nests deeper than {DEPTH_MAX}");
    }
    let deeper = depth + 1;
    Ok(match (value, ty) {
        (Val::Bool(b), _) => Value::Bool(*b),
        (Val::S8(n), _) => Value::from(*n),
        (Val::U8(n), _) => Value::from(*n),
        (Val::S16(n), _) => Value::from(*n),
        (Val::U16(n), _) => Value::from(*n),
        (Val::S32(n), _) => Value::from(*n),
        (Val::U32(n), _) => Value::from(*n),
        (Val::S64(n), _) => Value::from(*n),
        (Val::U64(n), _) => Value::from(*n),
        (Val::Float32(n), _) => float(f64::from(*n)),
        (Val::Float64(n), _) => float(*n),
        (Val::Char(c), _) => Value::from(c.to_string()),
        (Val::String(s), _) => Value::from(s.as_str()),
        (Val::Enum(word), _) => Value::from(word.as_str()),
        (Val::Option(None), _) => Value::Null,
        (Val::Option(Some(inner)), Type::Option(option)) => to_json_at(inner, &option.ty(), deeper)?,
        (Val::List(items), Type::List(list)) => list_to_json(items, &list.ty(), deeper)?,
        (Val::Record(fields), Type::Record(record)) => {
            let mut object = Map::new();
            for ((name, value), field) in fields.iter().zip(record.fields()) {
                let json = to_json_at(value, &field.ty, deeper)?;
                if !json.is_null() {
                    object.insert(name.replace('-', "_"), json);
                }
            }
            Value::Object(object)
        }
        (Val::Tuple(items), Type::Tuple(tuple)) => {
            let items: Result<Vec<Value>> =
                items.iter().zip(tuple.types()).map(|(item, ty)| to_json_at(item, &ty, deeper)).collect();
            Value::Array(items?)
        }
        (Val::Variant(case, payload), Type::Variant(variant)) => {
            let ty = variant.cases().find(|candidate| candidate.name == case).and_then(|case| case.ty);
            match (payload, ty) {
                (Some(payload), Some(ty)) => tagged(case, to_json_at(payload, &ty, deeper)?),
                (None, _) | (_, None) => Value::from(case.as_str()),
            }
        }
        (Val::Result(result), Type::Result(ty)) => {
            let (word, payload, ty) = match result {
                Ok(payload) => ("ok", payload, ty.ok()),
                Err(payload) => ("err", payload, ty.err()),
            };
            match (payload, ty) {
                (Some(payload), Some(ty)) => tagged(word, to_json_at(payload, &ty, deeper)?),
                (None, _) | (_, None) => tagged(word, Value::Null),
            }
        }
        _ => bail!("a value of a kind that the guest contract does not use"),
    })
}

fn list_to_json(items: &[Val], ty: &Type, depth: u32) -> Result<Value> {
    if !is_entry(ty) {
        let items: Result<Vec<Value>> = items.iter().map(|item| to_json_at(item, ty, depth)).collect();
        return Ok(Value::Array(items?));
    }
    let mut object = Map::new();
    for item in items {
        if let Value::Array(mut pair) = to_json_at(item, ty, depth)?
            && let (Some(value), Some(Value::String(key))) = (pair.pop(), pair.pop())
        {
            object.insert(key, value);
        }
    }
    Ok(Value::Object(object))
}

/// Whether a list of this type is a map: `tuple<string, T>`.
fn is_entry(ty: &Type) -> bool {
    let Type::Tuple(tuple) = ty else { return false };
    let mut types = tuple.types();
    types.len() == 2 && matches!(types.next(), Some(Type::String))
}

fn tagged(case: &str, payload: Value) -> Value {
    let mut object = Map::new();
    object.insert(case.to_owned(), payload);
    Value::Object(object)
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::from(number.to_string()), Value::Number)
}

/// JSON as a component value of that type.
pub(super) fn from_json(json: &Value, ty: &Type) -> Result<Val> {
    Ok(match ty {
        Type::Bool => Val::Bool(json.as_bool().ok_or_else(|| mismatch("a bool", json))?),
        Type::S8 => Val::S8(integer(json)?.try_into()?),
        Type::U8 => Val::U8(integer(json)?.try_into()?),
        Type::S16 => Val::S16(integer(json)?.try_into()?),
        Type::U16 => Val::U16(integer(json)?.try_into()?),
        Type::S32 => Val::S32(integer(json)?.try_into()?),
        Type::U32 => Val::U32(integer(json)?.try_into()?),
        Type::S64 => Val::S64(integer(json)?.try_into()?),
        Type::U64 => Val::U64(integer(json)?.try_into()?),
        Type::Float32 => {
            #[allow(clippy::cast_possible_truncation, reason = "the guest asked for the narrow type")]
            let narrow = number(json)? as f32;
            Val::Float32(narrow)
        }
        Type::Float64 => Val::Float64(number(json)?),
        Type::String => Val::String(json.as_str().ok_or_else(|| mismatch("a string", json))?.to_owned()),
        Type::Enum(_) => Val::Enum(json.as_str().ok_or_else(|| mismatch("a word", json))?.to_owned()),
        Type::Option(option) if !json.is_null() => Val::Option(Some(Box::new(from_json(json, &option.ty())?))),
        Type::Option(_) => Val::Option(None),
        Type::List(list) => Val::List(list_from_json(json, &list.ty())?),
        Type::Tuple(tuple) => {
            let items = json.as_array().ok_or_else(|| mismatch("a tuple", json))?;
            let items: Result<Vec<Val>> =
                items.iter().zip(tuple.types()).map(|(item, ty)| from_json(item, &ty)).collect();
            Val::Tuple(items?)
        }
        Type::Record(record) => {
            let object = json.as_object().ok_or_else(|| mismatch("an object", json))?;
            let fields: Result<Vec<(String, Val)>> = record
                .fields()
                .map(|field| {
                    let value = object.get(&field.name.replace('-', "_")).unwrap_or(&Value::Null);
                    Ok((field.name.to_owned(), from_json(value, &field.ty)?))
                })
                .collect();
            Val::Record(fields?)
        }
        Type::Variant(variant) => {
            let (case, payload) = match json {
                Value::String(case) => (case.as_str(), None),
                Value::Object(object) if object.len() == 1 => {
                    object.iter().next().map(|(case, payload)| (case.as_str(), Some(payload))).unwrap_or_default()
                }
                _ => return Err(mismatch("a variant", json)),
            };
            let ty = variant.cases().find(|candidate| candidate.name == case).and_then(|case| case.ty);
            let payload = match (payload, ty) {
                (Some(payload), Some(ty)) => Some(Box::new(from_json(payload, &ty)?)),
                (None, _) | (_, None) => None,
            };
            Val::Variant(case.to_owned(), payload)
        }
        _ => bail!("a type that the guest contract does not use"),
    })
}

fn list_from_json(json: &Value, ty: &Type) -> Result<Vec<Val>> {
    if let (Value::Object(object), Type::Tuple(tuple)) = (json, ty) {
        let Some(inner) = tuple.types().nth(1) else { bail!("a map entry has two parts") };
        return object
            .iter()
            .map(|(key, value)| Ok(Val::Tuple(vec![Val::String(key.clone()), from_json(value, &inner)?])))
            .collect();
    }
    json.as_array().ok_or_else(|| mismatch("a list", json))?.iter().map(|item| from_json(item, ty)).collect()
}

fn integer(json: &Value) -> Result<i128> {
    json.as_i64()
        .map(i128::from)
        .or_else(|| json.as_u64().map(i128::from))
        .ok_or_else(|| mismatch("a whole number", json))
}

/// Infinity and NaN travel as words, JSON has neither.
fn number(json: &Value) -> Result<f64> {
    json.as_f64().or_else(|| json.as_str().and_then(|word| word.parse().ok())).ok_or_else(|| mismatch("a number", json))
}

fn mismatch(expected: &str, json: &Value) -> anyhow::Error {
    let mut shown = json.to_string();
    sandbook_core::error::truncate_at_char(&mut shown, 80);
    anyhow::anyhow!("expected {expected}, found {shown}")
}
