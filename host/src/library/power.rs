//! What a package can do at the very most, in sentences: said before it is installed, and compared between versions.
//!
//! Made from the manifest alone, because that is what the gate holds a run to. The words for an effect are those of the
//! guest contract. Deliberately not here: what the operator grants, which is always less.

use std::sync::LazyLock;

use sandbook_core::duration::{Bytes, DurationMs};
use sandbook_core::effect::{Class, Effect, Info};
use sandbook_core::journal;
use sandbook_core::manifest::{Manifest, Trigger};
use sandbook_core::target::Kind;
use serde::Serialize;

/// The most a package can do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Power {
    /// What it is about, and which labels say so.
    pub about: String,
    /// What starts it.
    pub starts: Vec<String>,
    /// A sentence for each effect it may ask for, by class.
    pub can: Vec<Ability>,
    /// What it can never do, whatever is granted.
    pub cannot: Vec<String>,
    /// What bounds a run.
    pub bounds: Vec<String>,
}

/// One thing it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ability {
    /// Name of the effect.
    pub effect: String,
    /// Of the effect.
    pub class: Class,
    /// `docker.restart-container: restarts a container, running or not, where a policy grants it`.
    pub sentence: String,
}

/// First sentences of the effects in the guest contract, in the order of the catalogue.
static DOCS: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
    let Ok((resolve, _, _)) = crate::guest::parse_wit() else { return Vec::new() };
    let said = |info: &Info| {
        let (interface, function) = info.name.split_once('.')?;
        let interfaces = resolve.interfaces.iter().map(|(_, one)| one);
        let found = interfaces.filter(|one| one.name.as_deref() == Some(interface));
        let docs = found.filter_map(|one| one.functions.get(function)).find_map(|one| one.docs.contents.clone())?;
        let plain = docs.split_whitespace().collect::<Vec<_>>().join(" ");
        let first = plain.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned();
        Some((info.name, first))
    };
    Effect::ALL.iter().filter_map(said).collect()
});

/// What an effect does, as it stands in a sentence: lower case, no full stop.
pub fn words(effect: &str) -> String {
    let docs = DOCS.iter().find(|(name, _)| *name == effect).map(|(_, docs)| docs.as_str()).unwrap_or_default();
    let mut chars = docs.chars();
    match (chars.next(), docs.chars().nth(1)) {
        // `A GET; …` and the like keep their capitals.
        (Some(first), Some(second)) if !second.is_uppercase() && second != ' ' => {
            first.to_lowercase().chain(chars).collect()
        }
        (Some(_), _) => docs.to_owned(),
        (None, _) => effect.split_once('.').map_or(effect, |(_, function)| function).replace('-', " "),
    }
}

/// What an effect of that class needs besides the request.
fn condition(class: Class) -> &'static str {
    match class {
        Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Observe => "",
        Class::Egress => ", to what the operator lists",
        Class::Tell => ", over channels the operator configured",
        Class::Mutate => ", where a policy grants it",
    }
}

fn ability(info: &Info) -> Ability {
    let sentence = format!("{}: {}{}", info.name, words(info.name), condition(info.class));
    Ability { effect: info.name.to_owned(), class: info.class, sentence }
}

/// The most a package with that manifest can do.
pub fn of(manifest: &Manifest) -> Power {
    let asked = |info: &&Info| manifest.requests.iter().any(|name| name == info.name);
    let mut can: Vec<Ability> = Effect::ALL.iter().filter(asked).map(ability).collect();
    can.sort_by_key(|one| Class::ALL.iter().position(|class| *class == one.class));
    let starts: Vec<String> = manifest.triggers.iter().map(trigger).collect();
    Power {
        about: about(manifest),
        starts: if starts.is_empty() { vec!["only a person, or a route of the operator".to_owned()] } else { starts },
        can,
        cannot: cannot(manifest),
        bounds: bounds(manifest),
    }
}

fn about(manifest: &Manifest) -> String {
    let target = &manifest.target;
    let from = |what: &str, labels: &[String]| {
        let each = if target.each { ", one run for each of several" } else { "" };
        format!("one {what}, named by a person or by the labels {}{each}", labels.join(", "))
    };
    match target.kind {
        Kind::None => "nothing in particular".to_owned(),
        Kind::Container => from("container", &target.container_from),
        Kind::Service => from("service", &target.service_from),
        Kind::Host => from("host", &target.host_from),
    }
}

/// What starts it, in words.
pub fn trigger(trigger: &Trigger) -> String {
    let mut parts = Vec::new();
    if !trigger.alert.is_empty() {
        parts.push(format!("alert {}", trigger.alert.join(" or ")));
    }
    if !trigger.docker_event.is_empty() {
        parts.push(format!("event {}", trigger.docker_event.join(" or ")));
    }
    if let Some(schedule) = &trigger.schedule {
        parts.push(format!("schedule {schedule} {}", trigger.timezone.as_deref().unwrap_or("UTC")));
        parts.extend(trigger.target.iter().map(|target| format!("on {target}")));
    }
    parts.extend(trigger.matchers.iter().map(ToString::to_string));
    parts.join(" ")
}

fn cannot(manifest: &Manifest) -> Vec<String> {
    let asks = |name: &str| manifest.requests.iter().any(|request| request == name);
    let class =
        |class: Class| manifest.requests.iter().any(|name| Effect::find(name).is_some_and(|info| info.class == class));
    let mut never = Vec::new();
    if class(Class::Mutate) {
        if !asks("docker.exec") {
            never.push("run a command inside a container".to_owned());
        }
        let others: Vec<&str> = Effect::ALL
            .iter()
            .filter(|info| info.class == Class::Mutate && info.name != "docker.exec" && !asks(info.name))
            .map(|info| info.name)
            .collect();
        if !others.is_empty() {
            never.push(format!("use {}", others.join(", ")));
        }
        never.push("touch what is labelled sandbook.protect, or what Sandbook itself runs on".to_owned());
    } else {
        never.push("change anything".to_owned());
    }
    if !class(Class::Egress) {
        never.push("send anything out over the network".to_owned());
    }
    if !class(Class::Tell) {
        never.push("notify anybody by itself".to_owned());
    }
    if !manifest
        .requests
        .iter()
        .any(|name| name.starts_with("logs.") && Effect::find(name).is_some_and(|info| info.class == Class::Observe))
    {
        never.push("read logs".to_owned());
    }
    never.push("read values of environment variables, files of the host or the Docker socket".to_owned());
    never
}

fn bounds(manifest: &Manifest) -> Vec<String> {
    let (limits, usual) = (&manifest.limits, journal::Limits::default());
    let mut bounds = vec![format!(
        "a run has {} of wall time without waits, {} of processor time, {} of memory and {} effects at the most",
        DurationMs(limits.wall.map_or(usual.wall_ms, |wall| wall.0)),
        DurationMs(limits.cpu.map_or(usual.cpu_ms, |cpu| cpu.0)),
        Bytes(limits.memory.map_or(usual.memory_bytes, |memory| memory.0)),
        limits.effects.unwrap_or(usual.effects),
    )];
    let rates: Vec<String> = manifest.brake.attempts.iter().map(ToString::to_string).collect();
    if !rates.is_empty() {
        bounds.push(format!("it acts {} on one target at the most", rates.join(" and ")));
    }
    bounds
}
