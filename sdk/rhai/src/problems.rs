//! Problems with their place: what the parser, the check or a run says is wrong, and what to do about it.

use rhai::{EvalAltResult, LexError, ParseError, ParseErrorType, Position};

use crate::bindings::sandbook::runbook::types::Error;
use crate::bindings::{Problem, ProblemReport};
use crate::effects;

pub(crate) fn at(place: Position, message: impl Into<String>, help: impl Into<String>) -> Problem {
    let part = |value: Option<usize>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    Problem { line: part(place.line()), column: part(place.position()), message: message.into(), help: help.into(), warning: false }
}

pub(crate) fn missing_entry(entry: &str) -> Problem {
    let message = format!("the script has no `fn {entry}(input)`");
    at(Position::NONE, message, "every run calls it with one argument: input.alert, input.target, input.parameters")
}

/// A report whose cause is the script itself.
pub(crate) fn failed(problem: Problem) -> ProblemReport {
    ProblemReport { cause: Error::Failed(problem.message.clone()), problem }
}

pub(crate) fn parse(error: &ParseError) -> Problem {
    let help = match error.err_type() {
        ParseErrorType::Reserved(word) | ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) => match word.as_str() {
            "import" | "export" => "a runbook is one script; there are no modules to load",
            "eval" => "a script cannot make code at run time",
            word if word.starts_with(char::is_alphabetic) => "that word has a meaning of its own in Rhai; use another name",
            _ => "",
        },
        ParseErrorType::ExprTooDeep => "split it up: put the inner parts into variables or functions",
        ParseErrorType::TooManyFunctions => "a script may define up to 500 functions",
        ParseErrorType::LiteralTooLarge(..) => "literals are limited to 1 MiB of text, 100,000 items, 10,000 keys",
        ParseErrorType::UnexpectedEOF => "a bracket, brace or quote is never closed",
        ParseErrorType::MissingToken(token, _) if token == ";" => "put a semicolon at the end of the statement before",
        ParseErrorType::WrongFnDefinition => "functions can only be defined at the top level of the script",
        ParseErrorType::AssignmentToConstant(_) => "declare it with `let`",
        _ => "",
    };
    at(error.position(), error.err_type().to_string(), help)
}

/// Why a run ended without an outcome.
pub(crate) fn report(error: EvalAltResult) -> ProblemReport {
    let (error, place) = innermost(error);
    let (cause, message) = match &error {
        EvalAltResult::ErrorRuntime(thrown, _) => match effects::error_from(thrown) {
            Some(cause) => {
                let (kind, text) = effects::parts(cause.clone());
                (cause, format!("{kind}: {text}"))
            }
            None => {
                let message = if thrown.is_unit() { "the script threw".to_owned() } else { thrown.to_string() };
                (Error::Failed(message.clone()), message)
            }
        },
        other => {
            let message = without_place(other);
            (Error::Failed(message.clone()), message)
        }
    };
    let help = help(&error, &cause);
    ProblemReport { problem: at(place, message, help), cause }
}

fn help(error: &EvalAltResult, cause: &Error) -> &'static str {
    match (error, cause) {
        (EvalAltResult::ErrorRuntime(..), Error::Denied(_)) => "catch it with try { … } catch (e) { if e.kind == \"denied\" { … } }, or grant it",
        (EvalAltResult::ErrorFunctionNotFound(..), _) => "`sandbook check` names the closest function; the types of the arguments count",
        (EvalAltResult::ErrorVariableNotFound(..), _) => "functions do not see outer variables; pass it as an argument",
        (EvalAltResult::ErrorStackOverflow(_), _) => "calls may nest 64 deep",
        (EvalAltResult::ErrorDataTooLarge(..), _) => "strings are limited to 1 MiB, arrays to 100,000 items, maps to 10,000 keys",
        _ => "",
    }
}

/// The error under the calls it passed through, and the innermost place that is known.
fn innermost(mut error: EvalAltResult) -> (EvalAltResult, Position) {
    let mut place = error.position();
    loop {
        match error {
            EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) => {
                error = *inner;
                if !error.position().is_none() {
                    place = error.position();
                }
            }
            other => return (other, place),
        }
    }
}

/// Rhai appends ` (line 3, position 7)`; the place has fields of its own here.
fn without_place(error: &EvalAltResult) -> String {
    let text = error.to_string();
    match text.rfind(" (line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
