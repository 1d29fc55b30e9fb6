//! Effects that let the configured language model fill a typed slot: choose, summarise, extract.
//!
//! Evidence is data and adds no option; whatever goes wrong, the declared fallback is the answer and says so. A call costs
//! money, so an intent is on disk before it is driven. Deliberately not here: prompts, budgets and the client (the host).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Class, Effect, Op, Part, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Longest question, instruction.
pub const QUESTION_BYTES_MAX: usize = 2 * 1024;
/// Longest evidence: a page of a log.
pub const EVIDENCE_BYTES_MAX: usize = 256 * 1024;
/// Options at the most.
pub const OPTIONS_MAX: usize = 10;
/// Longest option, and fallback of a choice.
pub const OPTION_BYTES_MAX: usize = 200;
/// Longest schema.
pub const SCHEMA_BYTES_MAX: usize = 16 * 1024;
/// Longest fallback of a summary or an extraction, and longest answer.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Words of a summary when the request does not say.
pub const WORDS_DEFAULT: u32 = 150;
/// Words of a summary at the most.
pub const WORDS_MAX: u32 = 1_000;
/// How long an answer may take, in milliseconds: a small model on a CPU needs half of it.
pub const ANSWER_MS: u64 = 60_000;

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Choice {
    pub option: String,
    pub confidence: f64,
    pub quote: String,
    pub fallback: bool,
    pub reason: String,
}

/// How to summarise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct SummarizeOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_words: Option<u32>,
}

/// The evidence in fewer words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Summary {
    pub text: String,
    pub fallback: bool,
    pub reason: String,
}

/// What the evidence says, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Extraction {
    pub json: String,
    pub fallback: bool,
    pub reason: String,
}

macro_rules! llm_op {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty),* } -> $output:ty, $effect:literal,
     |$self_:ident| $validate:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fmeta])* #[allow(missing_docs)] pub $field: $ty),* }
        impl Op for $name {
            type Output = $output;
            const NAME: &'static str = $effect;
            const CLASS: Class = Class::Egress;
            const DEADLINE_MS: u64 = ANSWER_MS;
            const OUTPUT_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;
            // Asking again does no harm but costs: the intent makes everything before it durable.
            fn recovery(&self) -> Recovery { Recovery::Key }
            fn scope(&self) -> Scope<'_> { Scope::Part(Part::Model) }
            fn validate(&self) -> Result<(), Error> { let $self_ = self; $validate }
        }
    };
}

llm_op! {
    /// One of the options the runbook offers.
    Choose { question: String, evidence: String, options: Vec<String>, fallback: String } -> Choice, "llm.choose",
    |op| check_choose(op)
}
llm_op! {
    /// The evidence in fewer words.
    Summarize { evidence: String, #[serde(default)] options: SummarizeOptions, fallback: String } -> Summary, "llm.summarize",
    |op| check_summarize(op)
}
llm_op! {
    /// What the evidence says, in the shape of a schema.
    Extract { evidence: String, schema: String, fallback: String } -> Extraction, "llm.extract", |op| check_extract(op)
}

impl Effect {
    /// The declared fallback as the answer, for that reason; `None` for what asks no model.
    pub fn fallen_back(&self, reason: &str) -> Option<Value> {
        let reason = reason.to_owned();
        // What asks no model is everything else, whatever joins the catalogue.
        let answer = if let Effect::Choose(op) = self {
            serde_json::to_value(Choice {
                option: op.fallback.clone(),
                confidence: 0.0,
                quote: String::new(),
                fallback: true,
                reason,
            })
        } else if let Effect::Summarize(op) = self {
            serde_json::to_value(Summary { text: op.fallback.clone(), fallback: true, reason })
        } else if let Effect::Extract(op) = self {
            serde_json::to_value(Extraction { json: op.fallback.clone(), fallback: true, reason })
        } else {
            return None;
        };
        answer.ok()
    }
}

fn check_choose(op: &Choose) -> Result<(), Error> {
    if op.question.trim().is_empty() {
        return Err(Error::invalid("question is empty"));
    }
    check_text("question", &op.question, QUESTION_BYTES_MAX)?;
    check_text("evidence", &op.evidence, EVIDENCE_BYTES_MAX)?;
    check_range("the number of options", Some(op.options.len()), 2, OPTIONS_MAX)?;
    for (index, option) in op.options.iter().enumerate() {
        if option.trim().is_empty() || op.options[..index].contains(option) {
            return Err(Error::invalid(format!("options[{index}] is empty or there twice")));
        }
        check_text("options", option, OPTION_BYTES_MAX)?;
    }
    check_text("fallback", &op.fallback, OPTION_BYTES_MAX)
}

fn check_summarize(op: &Summarize) -> Result<(), Error> {
    check_text("evidence", &op.evidence, EVIDENCE_BYTES_MAX)?;
    check_text("instructions", op.options.instructions.as_deref().unwrap_or(""), QUESTION_BYTES_MAX)?;
    check_range("max_words", op.options.max_words, 1, WORDS_MAX)?;
    check_text("fallback", &op.fallback, TEXT_BYTES_MAX)
}

fn check_extract(op: &Extract) -> Result<(), Error> {
    check_text("evidence", &op.evidence, EVIDENCE_BYTES_MAX)?;
    check_text("schema", &op.schema, SCHEMA_BYTES_MAX)?;
    check_text("fallback", &op.fallback, TEXT_BYTES_MAX)?;
    match serde_json::from_str::<Value>(&op.schema) {
        Ok(Value::Object(_)) => {}
        Ok(_) => return Err(Error::invalid("schema is no JSON object")),
        Err(error) => return Err(Error::invalid(format!("schema is no JSON: {error}"))),
    }
    serde_json::from_str::<Value>(&op.fallback)
        .map(drop)
        .map_err(|error| Error::invalid(format!("fallback is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn effect(name: &str, arguments: Value) -> Effect {
        Effect::from_arguments(name, arguments).expect("the shape")
    }

    #[test]
    fn what_makes_no_sense_is_not_asked() {
        let choose = |options: Value| {
            effect("llm.choose", json!({"question": "q", "evidence": "", "options": options, "fallback": "a"}))
                .validate()
        };
        assert!(choose(json!(["a", "b"])).is_ok());
        for options in [json!(["a"]), json!(["a", "a"]), json!(["a", " "]), json!(["a", "x".repeat(201)])] {
            assert!(choose(options).is_err());
        }
        let extract = |schema: &str, fallback: &str| {
            effect("llm.extract", json!({"evidence": "e", "schema": schema, "fallback": fallback})).validate()
        };
        assert!(extract("{\"type\": \"object\"}", "{}").is_ok());
        assert!(extract("[]", "{}").is_err() && extract("{", "{}").is_err() && extract("{}", "no").is_err());
    }

    #[test]
    fn the_fallback_is_a_valid_answer() {
        for (name, arguments) in [
            ("llm.choose", json!({"question": "q", "evidence": "e", "options": ["a", "b"], "fallback": "a"})),
            ("llm.summarize", json!({"evidence": "e", "fallback": "nothing"})),
            ("llm.extract", json!({"evidence": "e", "schema": "{}", "fallback": "{}"})),
        ] {
            let answer = effect(name, arguments).fallen_back("no model is configured").expect(name);
            Effect::check_output(name, &answer).expect("the output's shape");
            assert_eq!((&answer["fallback"], &answer["reason"]), (&json!(true), &json!("no model is configured")));
        }
    }
}
