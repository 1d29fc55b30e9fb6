//! `--assume EFFECT=RESULT`: an answer as JSON, as an error, or as a word for what is asked most.
//!
//! Deliberately not here: whether the answer has the shape the effect promises; the same check as in the daemon says so
//! before anything is sent.

use sandbook_core::effect::Effect;
use serde_json::{Value, json};

use crate::cli::exit::Failure;

/// What `{"effect", "result"}` a word means.
pub(super) fn assumption(word: &str) -> Result<Value, Failure> {
    let Some((effect, result)) = word.split_once('=') else {
        return Err(Failure::usage(format!("`{word}` assumes nothing"), "write --assume EFFECT=RESULT"));
    };
    if Effect::find(effect).is_none() {
        let near = Effect::closest(effect).map_or_else(String::new, |near| format!("did you mean {near}? "));
        return Err(Failure::usage(
            format!("there is no effect `{effect}`"),
            format!("{near}`sandbook effects` lists them"),
        ));
    }
    let value = meant(effect, result)?;
    if value["error"]["kind"].is_null()
        && let Err(why) = Effect::check_output(effect, &value)
    {
        let fix = format!("`sandbook effects {effect}` shows what it answers");
        return Err(Failure::usage(format!("{effect} cannot answer `{result}`: {why}"), fix));
    }
    Ok(json!({"effect": effect, "result": value}))
}

fn meant(effect: &str, result: &str) -> Result<Value, Failure> {
    if let Some(error) = result.strip_prefix("error:") {
        let (kind, message) = error.split_once(':').unwrap_or((error, "assumed"));
        return Ok(json!({"error": {"kind": kind, "message": message}}));
    }
    if let Some(value) = in_a_word(effect, result) {
        return Ok(value);
    }
    serde_json::from_str(result).map_err(|error| {
        let words = words(effect).map_or_else(String::new, |words| format!("{words}, "));
        Failure::usage(
            format!("what {effect} is to answer cannot be read: {error}"),
            format!("write {words}JSON, or error:KIND:MESSAGE"),
        )
    })
}

/// Words there are for an effect's answers.
fn words(effect: &str) -> Option<&'static str> {
    Some(match effect {
        "net.http-probe" => "ok, fail",
        "net.tcp-check" => "open, closed",
        "docker.exec" => "an exit code",
        "http.get" | "http.request" => "a status",
        "metrics.query" => "empty, a number",
        "llm.choose" => "one of the options",
        "llm.summarize" => "a text",
        _ => return None,
    })
}

fn in_a_word(effect: &str, word: &str) -> Option<Value> {
    let probe = |ok: bool, status: u16| json!({"ok": ok, "status": status, "duration_ms": 0, "reason": "assumed"});
    Some(match (effect, word) {
        ("net.http-probe", "ok") => probe(true, 200),
        ("net.http-probe", "fail") => probe(false, 503),
        ("net.tcp-check", "open" | "closed") => {
            json!({"open": word == "open", "duration_ms": 0, "reason": "assumed"})
        }
        ("docker.exec", code) => {
            json!({"exit_code": code.parse::<i32>().ok()?, "stdout": "", "stderr": "", "truncated": false})
        }
        ("http.get" | "http.request", status) => {
            json!({"status": status.parse::<u16>().ok()?, "headers": {}, "body": "", "truncated": false})
        }
        ("metrics.query", "empty") => json!([]),
        ("metrics.query", number) => {
            json!([{"labels": {}, "value": number.parse::<f64>().ok()?, "at": "1970-01-01T00:00:00Z"}])
        }
        ("llm.choose", option) if !option.starts_with(['{', '[']) => {
            json!({"option": option, "confidence": 1.0, "quote": "", "fallback": false, "reason": "assumed"})
        }
        ("llm.summarize", text) if !text.starts_with(['{', '[']) => {
            json!({"text": text, "fallback": false, "reason": ""})
        }
        (_, _) => return None,
    })
}
