//! The simulated world against a real engine: the same effects on both, and what a runbook would see of each compared.
//!
//! A sequence's containers are made on the real engine; the simulated world takes them over as a plan's overlay does
//! and is told what nobody can read from the outside: how the programs inside behave. What differs is a fault of the
//! world, unless the step says so in the words of the world's own table. Deliberately not here: effects that do not
//! concern Docker, and values that are never equal (times, ids of execs, use of resources).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use sandbook_core::world::{Container, HostImage, World, conformance::TABLE};
use sandbook_tests::docker::{Dockerd, IMAGE};

use super::*;
use seen::{failure, same_length};

mod scene;
mod seen;
mod sequences;

/// Sequences under way at once: most of their time is waiting.
const AT_ONCE: usize = 6;
/// How long a container may take to become what a sequence waits for, in milliseconds.
const UNTIL_MS: u64 = 30_000;
/// Between two looks, in milliseconds.
const LOOK_MS: u64 = 25;
/// Marks a page of events that does not reach back to the take-over.
const FORGOTTEN: &str = "forgotten";

/// A named list of effects and the containers they are about.
struct Sequence {
    name: &'static str,
    /// Images of an engine that this sequence has for itself, each with files beside busybox; none: the common engine.
    images: Vec<(&'static str, &'static [&'static str])>,
    /// Networks made for it, each a part of the engine's addresses.
    networks: Vec<(&'static str, u8)>,
    given: Vec<Given>,
    steps: Vec<Step>,
}

/// A container before the first step.
struct Given {
    name: &'static str,
    /// Of Docker's create request; `$name` is another container of the sequence.
    request: Value,
    /// Running when taken over; else only created.
    started: bool,
    /// Taken over once its log says so, and once it is healthy where it has a health check.
    ready: &'static str,
    /// What its program is known to do.
    inside: fn(&mut Container, u64),
}

enum Step {
    /// An effect, on a container unless empty, and fields that may differ, each with words of the table's last column.
    Do { effect: &'static str, on: &'static str, args: Value, but: Vec<(&'static str, &'static str)> },
    /// What a reference means; `$name` and `$name#12` stand for a container's name and the beginning of its id.
    Resolve(&'static str),
    /// All pages of a search.
    Pages { on: &'static str, pattern: &'static str, options: Value },
    /// Both go on until a field of the container's details is so.
    Until(&'static str, &'static str, Value),
    /// Time passes.
    Pass(u64),
    /// Something happens that is no effect: a Docker command line, and its meaning.
    Meanwhile(&'static [&'static str], fn(&mut World, &str)),
}

/// What of an answer a runbook can rely on, field by field.
type Seen = BTreeMap<String, Value>;

/// One sequence under way in both worlds.
struct Stage<'a> {
    engine: &'a Dockerd,
    live: Live,
    world: World,
    sequence: &'a Sequence,
    /// Real ids by the sequence's names.
    ids: BTreeMap<String, String>,
    /// When the last event before the take-over was.
    events: BTreeMap<&'static str, String>,
    /// Times and ids shown last, by side, container and field: only whether they changed is compared.
    shown: BTreeMap<(bool, String, &'static str), Value>,
    differences: Vec<String>,
    compared: usize,
}

#[test]
fn the_simulated_world_answers_like_a_real_engine() {
    let began = Instant::now();
    let engine = Dockerd::start();
    let version = engine.api().get("/version").expect(200).json();
    let sequences = sequences::all();
    let queue: Mutex<VecDeque<&Sequence>> = Mutex::new(sequences.iter().collect());
    let (compared, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                while let Some(sequence) = { queue.lock().expect("unpoisoned").pop_front() } {
                    let own = sequence.own_engine();
                    let (count, found) = runtime.block_on(play(own.as_ref().unwrap_or(&engine), sequence));
                    compared.fetch_add(count, Relaxed);
                    differences.lock().expect("unpoisoned").extend(found);
                }
            });
        }
    });
    let (differences, compared) = (differences.into_inner().expect("unpoisoned"), compared.into_inner());
    let took = began.elapsed();
    sandbook_tests::announce(&format!(
        "{} sequences, {compared} comparisons, engine {} with API {}, {:.1} s",
        sequences.len(),
        version["Version"],
        version["ApiVersion"],
        took.as_secs_f32()
    ));
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 5 * sequences.len(), "too little is compared: {compared}");
}

#[test]
fn the_table_names_what_the_sequences_do_and_what_they_pass_over() {
    let sequences = sequences::all();
    assert!(sequences.len() >= 25, "only {} sequences", sequences.len());
    let names: BTreeSet<&str> = sequences.iter().map(|sequence| sequence.name).collect();
    assert_eq!(names.len(), sequences.len(), "names are unique");
    let mut done = BTreeSet::new();
    for sequence in &sequences {
        for step in &sequence.steps {
            match step {
                Step::Do { effect, but, .. } => {
                    let line = TABLE.iter().find(|line| line.effect == *effect);
                    let line = line.unwrap_or_else(|| panic!("{}: {effect} is not in the table", sequence.name));
                    done.insert(*effect);
                    for (field, words) in but {
                        let named = line.not_modelled.contains(words);
                        assert!(named, "{}: {effect} {field}: the table does not say `{words}`", sequence.name);
                    }
                }
                Step::Pages { .. } => drop(done.insert("logs.search-container")),
                Step::Resolve(_) | Step::Until(..) | Step::Pass(_) | Step::Meanwhile(..) => {}
            }
        }
    }
    let docker = |effect: &&str| effect.starts_with("docker.") || effect.contains("-container");
    let wanted: BTreeSet<&str> = TABLE.iter().map(|line| line.effect).filter(docker).collect();
    assert_eq!(done, wanted, "each effect on Docker is in a sequence");
}

async fn play(engine: &Dockerd, sequence: &Sequence) -> (usize, Vec<String>) {
    let mut stage = Stage::set(engine, sequence).await;
    for (index, step) in sequence.steps.iter().enumerate() {
        let place = format!("{} step {}", sequence.name, index + 1);
        stage.step(&place, step).await;
    }
    stage.learn_ids().await;
    for id in stage.ids.values() {
        stage.ask("DELETE", &format!("/containers/{id}?force=1&v=1"), &json!({}));
    }
    (stage.compared, stage.differences)
}

impl Stage<'_> {
    async fn step(&mut self, place: &str, step: &Step) {
        match step {
            Step::Do { effect, on, args, but } => self.both(place, effect, on, args, but).await,
            Step::Resolve(reference) => self.resolve_both(place, reference).await,
            Step::Pages { on, pattern, options } => self.pages(place, on, pattern, options).await,
            Step::Until(on, field, wanted) => self.until(place, on, field, wanted).await,
            Step::Pass(ms) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                self.world.advance(*ms);
            }
            Step::Meanwhile(argv, simulated) => {
                let argv: Vec<String> = argv.iter().map(|word| self.filled(word)).collect();
                let endpoint = self.engine.endpoint();
                let done = std::process::Command::new("docker").args(["-H", &endpoint]).args(&argv).output();
                let done = done.expect("docker runs");
                assert!(done.status.success(), "{place} {argv:?}: {}", String::from_utf8_lossy(&done.stderr));
                simulated(&mut self.world, &format!("{}.", self.sequence.name));
            }
        }
    }

    async fn both(&mut self, place: &str, effect: &str, on: &str, args: &Value, but: &[(&'static str, &'static str)]) {
        let args = serde_json::from_str::<Value>(&self.filled(&args.to_string())).expect("JSON");
        let real = self.real(effect, on, args.clone()).await;
        let simulated = self.simulated(effect, on, args);
        if matches!(effect, "docker.recreate-container" | "docker.scale-service") {
            self.learn_ids().await;
        }
        let but_fields: Vec<&str> = but.iter().map(|(field, _)| *field).collect();
        let mut real = self.seen(true, effect, on, &but_fields, real);
        let mut simulated = self.seen(false, effect, on, &but_fields, simulated);
        same_length(&mut real, &mut simulated);
        self.compare(&format!("{place} {effect} {on}"), &real, &simulated, but);
    }

    async fn resolve_both(&mut self, place: &str, reference: &str) {
        let reference = self.filled(reference);
        let scope = Scope::Container(&reference);
        let real = self.live.resolve("local", &scope).await;
        let simulated = self.world.resolve("local", &scope);
        let seen = |found: Result<Resolved, Error>| match found {
            Ok(found) => {
                let stop = found.facts.as_ref().map(|facts| facts.stop.is_some());
                let target = [("target", json!(found.target)), ("subject", json!(found.subject))];
                let facts = [("state", json!(found.facts.map(|facts| facts.state))), ("stop", json!(stop))];
                target.into_iter().chain(facts).map(|(key, value)| (key.to_owned(), value)).collect()
            }
            Err(error) => failure(&error),
        };
        self.compare(&format!("{place} resolve {reference}"), &seen(real), &seen(simulated), &[]);
    }

    async fn pages(&mut self, place: &str, on: &str, pattern: &str, options: &Value) {
        let (mut real, mut simulated) = (Seen::new(), Seen::new());
        for (is_real, pages) in [(true, &mut real), (false, &mut simulated)] {
            let mut options = options.clone();
            for number in 0..20 {
                let args = json!({"pattern": pattern, "options": options});
                let page = match is_real {
                    true => self.real("logs.search-container", on, args).await,
                    false => self.simulated("logs.search-container", on, args),
                };
                let cursor = page.as_ref().ok().and_then(|page| page["cursor"].as_str().map(str::to_owned));
                let seen = self.seen(is_real, "logs.search-container", on, &[], page);
                pages.extend(seen.into_iter().map(|(key, value)| (format!("{number} {key}"), value)));
                let Some(cursor) = cursor else { break };
                options["cursor"] = json!(cursor);
            }
        }
        self.compare(&format!("{place} pages of {on}"), &real, &simulated, &[]);
    }

    async fn until(&mut self, place: &str, on: &'static str, field: &str, wanted: &Value) {
        self.await_real(on, field, wanted).await;
        let from = self.world.now_ms;
        let is = |world: &World, name: &str| {
            let details = serde_json::to_value(world.details("local", name).ok()).unwrap_or_default();
            details.pointer(field) == Some(wanted)
        };
        while !is(&self.world, &self.name(on)) {
            self.world.advance(LOOK_MS);
            if self.world.now_ms - from > UNTIL_MS {
                let now = json!(self.world.details("local", &self.name(on)).ok());
                self.differences.push(format!("{place}: {field} never is {wanted} in the world: {now}"));
                return;
            }
        }
    }

    /// `$name` as the container's real name, `$name#12` as the beginning of its id.
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Longest first, so that no name is taken for the beginning of another.
        let known = self.sequence.given.iter().map(|given| given.name);
        let mut given: Vec<&str> = known.chain(self.ids.keys().map(String::as_str)).collect();
        given.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in given {
            if let Some(id) = self.ids.get(name) {
                for digits in [5, 11, 12, 64] {
                    text = text.replace(&format!("${name}#{digits}"), &id[..digits]);
                }
            }
            text = text.replace(&format!("${name}"), &self.name(name));
        }
        text
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.sequence.name)
    }

    async fn await_real(&mut self, on: &'static str, field: &str, wanted: &Value) {
        let began = Instant::now();
        loop {
            let details = self.real("docker.inspect-container", on, json!({})).await.expect("details");
            if details.pointer(field) == Some(wanted) {
                return;
            }
            if began.elapsed() > Duration::from_millis(UNTIL_MS) {
                self.differences.push(format!("{} {on}: {field} never is {wanted}: {details}", self.sequence.name));
                return;
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    fn about(&self, on: &str, mut args: Value) -> Value {
        if !on.is_empty() && args.get("filter").is_none() {
            args["container"] = json!(self.name(on));
        }
        args
    }

    /// What both made meanwhile is the same container to the steps that follow: the world's takes the real one's id.
    async fn learn_ids(&mut self) {
        let of_all = json!({"filter": {"all": true, "name": format!("{}.*", self.sequence.name)}});
        let listed = self.real("docker.list-containers", "", of_all).await.expect("a list");
        self.ids.clear();
        for one in listed.as_array().into_iter().flatten() {
            let (name, id) = (one["name"].as_str().unwrap_or_default(), one["id"].as_str().unwrap_or_default());
            if let Some(container) = self.world.container_mut("local", name) {
                id.clone_into(&mut container.id);
            }
            let name = name.split_once('.').map_or(name, |(_, name)| name);
            self.ids.insert(name.to_owned(), id.to_owned());
        }
    }

    async fn real(&self, effect: &str, on: &str, args: Value) -> Result<Value, Error> {
        let args: Value = serde_json::from_str(&self.filled(&self.about(on, args).to_string())).expect("JSON");
        if on.is_empty() && effect != "docker.list-containers" {
            return drive_as_meant(&self.live, effect, args).await;
        }
        let id = self.ids.get(on).map_or("none", String::as_str);
        drive_on(&self.live, effect, args, (&self.name(on), id), None).await
    }

    fn simulated(&mut self, effect: &str, on: &str, args: Value) -> Result<Value, Error> {
        let args = serde_json::from_str(&self.filled(&self.about(on, args).to_string())).expect("JSON");
        let effect = Effect::from_arguments(effect, args)?;
        let target = Target {
            host: "local".to_owned(),
            kind: Kind::Container,
            name: self.name(on),
            id: self.ids.get(on).cloned(),
        };
        let resolved = Resolved { target, subject: String::new(), facts: None, before: None };
        let answer = self.world.perform(&effect, Some(&resolved).filter(|_| !on.is_empty()));
        if let Ok(value) = &answer {
            Effect::check_output(effect.name(), value).expect("the shape of the catalogue");
        }
        answer
    }

    fn compare(&mut self, place: &str, real: &Seen, simulated: &Seen, but: &[(&str, &str)]) {
        let fields: BTreeSet<&String> = real.keys().chain(simulated.keys()).collect();
        for field in fields.into_iter().filter(|field| but.iter().all(|(except, _)| except != field)) {
            self.compared += 1;
            let (real, simulated) = (real.get(field), simulated.get(field));
            if real != simulated {
                let shown = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
                self.differences.push(format!(
                    "{place}: {field} is {} in Docker, {} in the world",
                    shown(real),
                    shown(simulated)
                ));
            }
        }
    }
}

fn all_events(on: &str) -> Value {
    json!({"filter": {"container": format!("${on}"), "limit": 500}})
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("after 1970")
}
