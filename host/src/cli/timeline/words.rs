//! Arguments, decisions and results of effects in a few words.
//!
//! An effect without words of its own is shown as short JSON, so that a new one is visible before anybody words it.

use serde_json::Value;

use super::fold::Slot;
use crate::cli::screen::Paint;
use crate::cli::text::{count, field, short, size, took};

/// Characters of one argument or result shown without `--full`.
const WORDS_MAX: usize = 80;

/// Arguments worth reading: the target stands first, a duration as one, what is absent not at all.
pub(crate) fn arguments(slot: &Slot, run_target: Option<&str>, full: bool) -> String {
    let mut parts = Vec::new();
    if let Some(on) = &slot.target {
        // On the run's own host the name says enough.
        let host = run_target.and_then(|target| target.split_once('/')).map(|(host, _)| format!("{host}/"));
        parts.push(host.and_then(|host| on.strip_prefix(&host)).unwrap_or(on).to_owned());
    } else if let Some(container) = slot.arguments["container"].as_str() {
        parts.push(container.to_owned());
    }
    flatten(&slot.arguments, full, &mut parts);
    parts.join(" ")
}

fn flatten(value: &Value, full: bool, parts: &mut Vec<String>) {
    let Some(object) = value.as_object() else { return };
    for (name, value) in object {
        match (name.as_str(), value) {
            ("container", _) | (_, Value::Null) => {}
            ("options" | "filter" | "resources" | "message" | "range", Value::Object(_)) => flatten(value, full, parts),
            ("argv", Value::Array(words)) => {
                parts.push(
                    words.iter().filter_map(Value::as_str).map(crate::cli::text::shell).collect::<Vec<_>>().join(" "),
                );
            }
            ("duration_ms", Value::Number(_)) => parts.push(took(value.as_u64().unwrap_or(0))),
            ("url" | "host" | "name" | "key" | "promql" | "title", Value::String(text)) => {
                parts.push(if full { text.clone() } else { short(text, WORDS_MAX) });
            }
            ("text" | "body" | "headers", _) if !full => {}
            (_, _) => parts.push(pair(name, value, full)),
        }
    }
}

/// `grace 10 s`, `lines 50`.
pub(crate) fn pair(name: &str, value: &Value, full: bool) -> String {
    let value = match value {
        // A typed parameter as the guest contract writes it: {"duration": 10000}.
        Value::Object(typed) if typed.len() == 1 => match typed.iter().next() {
            Some((kind, value)) if kind == "duration" => {
                return format!("{name} {}", took(value.as_u64().unwrap_or(0)));
            }
            Some((_, value)) => value,
            None => value,
        },
        other => other,
    };
    let name = name.replace('_', " ");
    if let (Some(name), Some(ms)) = (name.strip_suffix(" ms"), value.as_u64()) {
        return format!("{name} {}", took(ms));
    }
    if let (Some(name), Some(bytes)) = (name.strip_suffix(" bytes"), value.as_u64()) {
        return format!("{name} {}", size(bytes));
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{name} {}", if full { text } else { short(&text, WORDS_MAX) })
}

/// Characters of policy ids that fit beside the decision; longer ones stand below.
const POLICY_MAX: usize = 24;

/// What was decided, and by which policy. In a simulated world every result is modelled, which is said once.
pub(crate) fn decision(slot: &Slot, mode: &str) -> String {
    let word = match slot.decision.as_str() {
        "allow" | "" if slot.policy.is_empty() => "",
        "allow" | "" => "allowed",
        "deny" => "denied",
        other => other,
    };
    let by = slot.policy.join(", ");
    let by = if by.is_empty() || policy_below(slot).is_some() { String::new() } else { format!("by {by}") };
    let certainty = match slot.certainty.as_str() {
        "real" | "" => String::new(),
        "modelled" if mode == "simulate" => String::new(),
        other => format!("({other})"),
    };
    [word.to_owned(), by, certainty].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The policies on a line of their own, when they are long.
pub(crate) fn policy_below(slot: &Slot) -> Option<String> {
    let by = slot.policy.join(", ");
    (by.chars().count() > POLICY_MAX).then(|| format!("by policy {by}"))
}

pub(crate) fn decision_paint(slot: &Slot) -> Paint {
    match slot.decision.as_str() {
        "deny" | "limited" => Paint::Bad,
        "ask" => Paint::Warn,
        _ => Paint::Dim,
    }
}

/// The result in a few words, and how it looks.
pub(crate) fn result(slot: &Slot, full: bool) -> (String, Paint) {
    let Some(result) = &slot.result else {
        return match (&slot.question, &slot.answered) {
            (Some(_), None) => ("waits for a person".to_owned(), Paint::Warn),
            (_, _) => ("not settled yet".to_owned(), Paint::Warn),
        };
    };
    if slot.refused() {
        return ("refused".to_owned(), Paint::Bad);
    }
    if let Some(message) = slot.error_message() {
        let kind = field(&result["error"], "kind");
        let message = if full { message.to_owned() } else { short(message, WORDS_MAX) };
        return (format!("{kind}: {message}"), Paint::Bad);
    }
    match slot.ok() {
        Some(value) => (of_effect(&slot.effect, value), Paint::Plain),
        None => (String::new(), Paint::Plain),
    }
}

/// What one record says, for lists of records.
pub(crate) fn record(record: &Value) -> String {
    let result = if record["result"].is_null() { &record["answer"] } else { &record["result"] };
    if let Some(message) = result["error"]["message"].as_str() {
        return format!("{}: {}", field(&result["error"], "kind"), short(message, WORDS_MAX));
    }
    match record["kind"].as_str().unwrap_or_default() {
        "begun" => [field(record, "runbook"), field(&record["header"], "runbook")].concat(),
        "asked" => short(&field(record, "reason"), WORDS_MAX),
        "answered" => {
            let verdict = if record["approved"] == true { "approved" } else { "denied" };
            format!("{verdict} by {}", field(record, "by"))
        }
        "settled" => of_effect(&super::fold::effect(record), result.get("ok").unwrap_or(result)),
        _ => String::new(),
    }
}

/// What an effect answered, in a few words.
pub(crate) fn of_effect(effect: &str, value: &Value) -> String {
    let list = |thing: &str| value.as_array().map_or_else(String::new, |items| count(items.len(), thing));
    match effect {
        "docker.inspect-container" => state(&value["state"]),
        "docker.list-containers" => list("container"),
        "docker.recent-events" => list("event"),
        "docker.dependents" => list("dependent"),
        "docker.container-processes" => {
            let zombies = value["zombies"].as_u64().unwrap_or(0);
            format!("{} processes, {zombies} of them zombies", value["rows"].as_array().map_or(0, Vec::len))
        }
        "docker.container-stats" => {
            let memory = value["memory_bytes"].as_u64().map(size).unwrap_or_default();
            let limit = value["memory_limit_bytes"]
                .as_u64()
                .filter(|limit| *limit > 0)
                .map(|limit| format!(" of {}", size(limit)));
            format!(
                "cpu {:.1} %, memory {memory}{}",
                value["cpu_percent"].as_f64().unwrap_or(0.0),
                limit.unwrap_or_default()
            )
        }
        "docker.exec" => exec(value),
        "docker.recreate-container" => {
            let id = field(value, "id");
            format!("new instance {} of {}", id.get(..12).unwrap_or(&id), field(value, "image"))
        }
        "docker.remove-container" => "gone".to_owned(),
        "docker.scale-service" => format!("{} before, {} now", field(value, "before"), field(value, "after")),
        "docker.connect-network" | "docker.disconnect-network" => {
            let networks: Vec<&str> =
                value["networks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("on {}", networks.join(", "))
        }
        "docker.prune-images" | "docker.prune-build-cache" => {
            format!("{} gone, {} freed", field(value, "deleted"), size(value["freed_bytes"].as_u64().unwrap_or(0)))
        }
        "logs.truncate-container-log" => format!("{} freed", size(value["freed_bytes"].as_u64().unwrap_or(0))),
        "alertmanager.create-silence" => format!("silence {} until {}", field(value, "id"), field(value, "ends_at")),
        "alertmanager.expire-silence" => {
            (if value["changed"] == true { "over now" } else { "was over already" }).to_owned()
        }
        "llm.choose" => {
            let by = if value["fallback"] == true { " (fallback)" } else { "" };
            format!("{}{by}", field(value, "option"))
        }
        "llm.summarize" | "llm.extract" if value["fallback"] == true => "the fallback".to_owned(),
        _ if value["changed"].is_boolean() => {
            let state = state(&value["state"]);
            if value["changed"] == true { format!("now {state}") } else { format!("was so already: {state}") }
        }
        "logs.tail-container" => {
            let more = if value["truncated"] == true { ", cut" } else { "" };
            format!("{}{more}", count(value["lines"].as_u64().unwrap_or(0) as usize, "line"))
        }
        "logs.search-container" => {
            let found = value["found"].as_array().map_or(0, Vec::len);
            format!("{found} of {} match", count(value["scanned"].as_u64().unwrap_or(0) as usize, "line"))
        }
        "metrics.query" => match value.as_array().map(Vec::as_slice) {
            Some([sample]) => field(sample, "value"),
            Some(samples) => count(samples.len(), "sample"),
            None => fallback(value),
        },
        "metrics.query-range" => format!("{} series", value.as_array().map_or(0, Vec::len)),
        _ if effect.starts_with("net.") || effect.starts_with("http.") => of_network(effect, value),
        "notify.send" => format!("told {}", field(value, "channel")),
        "clock.sleep" => "waited".to_owned(),
        "human.ask" => format!("{} said {}", field(value, "by"), field(value, "option")),
        "state.put" => "kept".to_owned(),
        "state.get" if value.is_null() => "not set".to_owned(),
        _ => fallback(value),
    }
}

fn of_network(effect: &str, value: &Value) -> String {
    match effect {
        "net.http-probe" => {
            let status = field(value, "status");
            if value["ok"] == true {
                format!("ok {status}")
            } else {
                format!("not ok {status} {}", short(&field(value, "reason"), WORDS_MAX))
            }
        }
        "net.tcp-check" => {
            if value["open"] == true {
                "open".to_owned()
            } else {
                format!("closed {}", short(&field(value, "reason"), WORDS_MAX))
            }
        }
        "net.dns-lookup" => value["addresses"].as_array().map_or_else(
            || fallback(value),
            |all| all.iter().filter_map(Value::as_str).take(3).collect::<Vec<_>>().join(", "),
        ),
        "http.get" | "http.request" => {
            let bytes = value["body"].as_str().map(|body| format!(", {}", size(body.len() as u64))).unwrap_or_default();
            format!("{}{bytes}", field(value, "status"))
        }
        _ => fallback(value),
    }
}

/// `running, unhealthy, exit code 137, 3 restarts`.
fn state(state: &Value) -> String {
    let mut parts = vec![field(state, "status")];
    let health = field(state, "health");
    if health != "none" {
        parts.push(health);
    }
    if state["status"] != "running"
        && let Some(code) = state["exit_code"].as_i64()
    {
        parts.push(format!("exit code {code}"));
    }
    if state["oom_killed"] == true {
        parts.push("out of memory".to_owned());
    }
    if let Some(restarts) = state["restart_count"].as_u64().filter(|restarts| *restarts > 0) {
        parts.push(count(restarts as usize, "restart"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn exec(value: &Value) -> String {
    let said = [field(value, "stdout"), field(value, "stderr")].into_iter().find(|text| !text.trim().is_empty());
    let said = said.map(|text| format!(": {}", short(&text, WORDS_MAX))).unwrap_or_default();
    format!("exit code {}{said}", field(value, "exit_code"))
}

fn fallback(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => short(text, WORDS_MAX),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => short(&value.to_string(), WORDS_MAX),
    }
}
