//! JSON in what a model says, held to a schema.

use jsonschema::Validator;
use serde::de::Deserialize as _;
use serde_json::Value;

use super::{Fault, Reason};

/// Places of an answer at which JSON is looked for.
const STARTS_MAX: usize = 64;
/// What is wrong with an answer, at the most.
const ERRORS_MAX: usize = 5;
/// Bytes of one such error: it may repeat what the model said.
const ERROR_BYTES_MAX: usize = 200;

/// A schema that answers are held to.
#[derive(Debug)]
pub(super) struct Shape(Validator);

impl Shape {
    /// Reads a schema; nothing outside it is fetched. Errors: `refused`.
    pub(super) fn new(schema: &Value) -> Result<Shape, Fault> {
        let built = jsonschema::validator_for(schema);
        built.map(Shape).map_err(|error| Fault::new(Reason::Refused, format!("the schema is none: {error}")))
    }

    /// The first JSON value in a text that fits; prose around it, and fences, do not matter.
    ///
    /// Errors: what is wrong with the best candidate, for the model to read.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let mut wrong = None;
        for value in candidates(text) {
            match self.check(&value) {
                Ok(()) => return Ok(value),
                Err(why) => wrong = wrong.or(Some(why)),
            }
        }
        Err(wrong.unwrap_or_else(|| "it has no JSON in it".to_owned()))
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        let errors: Vec<String> = self.0.iter_errors(value).take(ERRORS_MAX).map(|error| shown(&error)).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }
}

fn shown(error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { "the whole" } else { &place };
    let mut text = format!("{place}: {error}");
    sandbook_core::error::truncate_at_char(&mut text, ERROR_BYTES_MAX);
    text
}

/// JSON values in a text: all of it, then whatever begins at a bracket.
fn candidates(text: &str) -> impl Iterator<Item = Value> + '_ {
    let whole = serde_json::from_str(text.trim()).ok();
    let inside = text.match_indices(['{', '[']).take(STARTS_MAX).filter_map(|(at, _)| {
        let mut reader = serde_json::Deserializer::from_str(&text[at..]);
        Value::deserialize(&mut reader).ok()
    });
    whole.into_iter().chain(inside)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        Shape::new(&json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}))
            .expect("a schema")
    }

    #[test]
    fn json_is_found_in_prose_and_fences() {
        for text in [
            "{\"n\": 1}",
            "Sure! Here it is:\n```json\n{\"n\": 1}\n```\nAnything else?",
            "I think {that} fits: {\"n\":1}.",
            "[] {\"m\": 2} then {\"n\": 1}",
        ] {
            assert_eq!(shape().read(text), Ok(json!({"n": 1})), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert!(shape().read("{\"n\": \"one\"}").expect_err("a text").contains("/n"));
        assert_eq!(shape().read("no idea").expect_err("prose"), "it has no JSON in it");
        assert!(shape().read("{\"n\": 1").is_err());
        assert!(Shape::new(&json!({"type": "nothing"})).is_err());
        assert!(Shape::new(&json!({"$ref": "http://example.org/schema.json"})).is_err(), "nothing is fetched");
    }
}
