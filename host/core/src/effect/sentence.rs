//! An effect in a plain sentence: what a person is asked to allow.
//!
//! Made from the effect's name, its arguments and what it was resolved to, so that nothing that will be done is left
//! out, and an effect added later has its sentence at once. Deliberately not here: why it is asked.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Effect, Scope};
use crate::duration::Bytes;
use crate::error::truncate_at_char;
use crate::target::Resolved;

/// Longest value shown in full; the arguments themselves stand beside the sentence.
const VALUE_BYTES_MAX: usize = 200;
/// Characters of a container's id that tell it apart, as Docker shows them.
const ID_CHARS: usize = 12;

/// Such as `restart container local/shop-db-1 (id 3f2a…, postgres:15) with grace 10 s`.
pub fn sentence(effect: &Effect, resolved: Option<&Resolved>) -> String {
    if let Effect::Ask(ask) = effect {
        return ask.question.clone();
    }
    let name = effect.name();
    let (domain, function) = name.split_once('.').unwrap_or(("", name));
    let runs = name == "docker.exec";
    let mut words = if runs { "run a program in".to_owned() } else { function.replace('-', " ") };
    match effect.scope() {
        Scope::Container(written) => {
            if runs {
                words.push_str(" container");
            } else if !words.ends_with("container") {
                words.push_str(" of container");
            }
            let _ = write!(words, " {}", resolved.map_or_else(|| written.to_owned(), container));
        }
        Scope::Host => {
            let host = resolved.map_or("its own", |resolved| resolved.target.host.as_str());
            let _ = write!(words, " on host {host}");
        }
        Scope::Service(written) => {
            let _ = write!(words, " {}", resolved.map_or_else(|| written.to_owned(), |it| it.target.to_string()));
        }
        Scope::Url(_)
        | Scope::Net(..)
        | Scope::Channel(_)
        | Scope::Memory
        | Scope::Metrics
        | Scope::Part(_)
        | Scope::Run => {
            words = format!("{domain} {words}");
        }
    }
    let with = arguments(effect);
    if !with.is_empty() {
        let _ = write!(words, " with {with}");
    } else if matches!(name, "docker.restart-container" | "docker.stop-container") {
        words.push_str(" with its own stop timeout");
    }
    words
}

fn container(resolved: &Resolved) -> String {
    let target = &resolved.target;
    let id = target.id.as_deref().map(|id| format!("id {}", id.chars().take(ID_CHARS).collect::<String>()));
    let image = resolved.facts.as_ref().map(|facts| facts.image.clone()).filter(|image| !image.is_empty());
    let known: Vec<String> = id.into_iter().chain(image).collect();
    if known.is_empty() { target.to_string() } else { format!("{target} ({})", known.join(", ")) }
}

/// Every argument but the container itself; options stand beside the others.
fn arguments(effect: &Effect) -> String {
    let Value::Object(all) = effect.arguments() else { return String::new() };
    let mut said = Vec::new();
    for (key, value) in all.iter().filter(|(key, _)| !matches!(key.as_str(), "container" | "service")) {
        match value {
            Value::Object(inner) => said.extend(inner.iter().filter_map(|(key, value)| argument(key, value))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                said.extend(argument(key, value));
            }
        }
    }
    said.join(", ")
}

fn argument(key: &str, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (key, mut shown) = match (key.strip_suffix("_ms"), key.strip_suffix("_bytes"), value.as_u64()) {
        (Some(key), _, Some(ms)) if ms % 1_000 == 0 => (key, format!("{} s", ms / 1_000)),
        (Some(key), _, Some(ms)) => (key, format!("{ms} ms")),
        (None, Some(key), Some(bytes)) => (key, Bytes(bytes).to_string()),
        (_, _, None) | (None, None, Some(_)) => (key, text()),
    };
    if shown.len() > VALUE_BYTES_MAX {
        truncate_at_char(&mut shown, VALUE_BYTES_MAX);
        shown.push('…');
    }
    Some(format!("{} {shown}", key.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::{Facts, Kind, Target};

    fn resolved() -> Resolved {
        let id = Some("3f2a1b4c5d6e7f8091a2".to_owned());
        let target = Target { host: "local".to_owned(), kind: Kind::Container, name: "shop-db-1".to_owned(), id };
        let facts = Some(Facts { image: "postgres:15".to_owned(), ..Facts::default() });
        Resolved { target, subject: "local/shop/db/1".to_owned(), facts, before: None }
    }

    #[test]
    fn it_says_what_on_which_instance_and_with_what() {
        let on = "container local/shop-db-1 (id 3f2a1b4c5d6e, postgres:15)";
        for (name, arguments, said) in [
            (
                "docker.restart-container",
                json!({"container": "db", "options": {"grace_ms": 10_000}}),
                format!("restart {on} with grace 10 s"),
            ),
            ("docker.stop-container", json!({"container": "db"}), format!("stop {on} with its own stop timeout")),
            ("docker.start-container", json!({"container": "db"}), format!("start {on}")),
            (
                "docker.kill-container",
                json!({"container": "db", "options": {"signal": "TERM"}}),
                format!("kill {on} with signal TERM"),
            ),
            (
                "docker.exec",
                json!({"container": "db", "argv": ["pg_ctl", "reload"]}),
                format!(r#"run a program in {on} with argv ["pg_ctl","reload"]"#),
            ),
            (
                "docker.update-resources",
                json!({"container": "db", "resources": {"memory_bytes": 536_870_912}}),
                format!("update resources of {on} with memory 512MiB"),
            ),
            (
                "docker.recreate-container",
                json!({"container": "db", "options": {"image": "postgres:16"}}),
                format!("recreate {on} with image postgres:16"),
            ),
            (
                "docker.disconnect-network",
                json!({"container": "db", "network": "back"}),
                format!("disconnect network of {on} with network back"),
            ),
            ("docker.prune-images", json!({}), "prune images on host local".to_owned()),
            (
                "docker.scale-service",
                json!({"service": "db", "replicas": 3}),
                "scale service local/shop-db-1 with replicas 3".to_owned(),
            ),
            ("human.ask", json!({"question": "Move it?", "options": ["yes"]}), "Move it?".to_owned()),
        ] {
            let effect = Effect::from_arguments(name, arguments).expect(name);
            assert_eq!(sentence(&effect, Some(&resolved())), said);
        }
    }

    #[test]
    fn a_long_argument_is_cut_and_says_so() {
        let arguments = json!({"container": "db", "argv": ["x".repeat(5_000)]});
        let said = sentence(&Effect::from_arguments("docker.exec", arguments).expect("valid"), None);
        assert!(said.len() < 400 && said.ends_with('…'), "{said}");
        assert!(said.starts_with("run a program in container db with argv"), "{said}");
    }
}
