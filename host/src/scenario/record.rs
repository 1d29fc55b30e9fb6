//! A scenario from a run: the world as the run first saw it, what it was started with, and how containers behaved after
//! what it did.
//!
//! A world knows more than a run looked at: whatever it did not ask about has its default. Deliberately not here:
//! fetching records, and expectations, which are those of the scenario played once.

use std::collections::{BTreeMap, BTreeSet};

use sandbook_core::effect::docker::{ContainerDetails, ContainerSummary, Dependency, Dependent, Event, Health, Status};
use sandbook_core::effect::logs::Page;
use sandbook_core::error::ErrorKind;
use sandbook_core::world::{Container, Endpoint, Fault, HostEvent, Life, LogLine, Metric, MetricSample, Moment, World};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::write::quoted;

/// Lines of a log that are taken over: what a person reads of it.
const LINES_MAX: usize = 200;
/// What a container never comes to: longer than any scenario.
const NEVER_MS: u64 = 30 * 86_400_000;

/// A scenario without expectations, and what could not be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The file.
    pub text: String,
    /// Sentences for whoever recorded it.
    pub doubts: Vec<String>,
}

/// One settled slot.
struct Seen<'a> {
    effect: &'a str,
    arguments: &'a Value,
    target: &'a Value,
    decision: &'a str,
    result: &'a Value,
    /// A person said yes before.
    approved: bool,
    at_ms: u64,
}

impl Seen<'_> {
    fn answer<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_value(self.result.get("ok")?.clone()).ok()
    }

    /// Host and name of the container it is about.
    fn container(&self) -> Option<(String, String)> {
        let word = |key: &str| self.target[key].as_str().map(str::to_owned);
        (self.target["kind"] == "container").then_some((word("host")?, word("name")?))
    }

    fn argument(&self, name: &str) -> &str {
        self.arguments[name].as_str().unwrap_or_default()
    }

    fn changes(&self) -> bool {
        sandbook_core::effect::Effect::find(self.effect)
            .is_some_and(|info| info.class == sandbook_core::effect::Class::Mutate)
    }
}

/// A container after a change, while it is not yet known what became of it.
struct Watched {
    since_ms: u64,
    seen_ms: u64,
    had_check: bool,
}

#[derive(Default)]
struct Recorder {
    world: World,
    deny: BTreeSet<String>,
    ask: BTreeSet<String>,
    no: BTreeSet<String>,
    watched: BTreeMap<(String, String), Watched>,
    calls: BTreeMap<String, u32>,
    written: BTreeSet<String>,
    doubts: Vec<String>,
}

/// Makes a scenario of a run and its records as the API shows them.
///
/// # Errors
/// When the run ended before it began, so that nothing is recorded of its world.
pub fn recorded(run: &Value, records: &[Value]) -> Result<Recorded, String> {
    let header = records.first().map(|record| &record["header"]).filter(|header| header.is_object());
    let header = header.ok_or("nothing is recorded of it: it ended before its runbook began")?;
    let now_ms = header["at"].as_u64().unwrap_or(sandbook_core::world::NOW_MS_DEFAULT);
    let mut recorder = Recorder { world: World::new(now_ms), ..Recorder::default() };
    recorder.world.seed =
        header["seed"].as_u64().and_then(|seed| i64::try_from(seed).ok()).map_or(0, i64::unsigned_abs);
    for seen in seen(records) {
        recorder.take(&seen);
    }
    recorder.settle();
    let text = recorder.text(run, header);
    Ok(Recorded { text, doubts: recorder.doubts })
}

fn seen(records: &[Value]) -> Vec<Seen<'_>> {
    static NOTHING: Value = Value::Null;
    let mut arguments: BTreeMap<u64, &Value> = BTreeMap::new();
    let mut approved: BTreeSet<u64> = BTreeSet::new();
    let mut seen = Vec::new();
    for record in records {
        let Some(slot) = record["slot"].as_u64() else { continue };
        if let Some(given) = record.get("arguments").filter(|given| !given.is_null()) {
            arguments.insert(slot, given);
        }
        if record["approved"] == true {
            approved.insert(slot);
        }
        if record["kind"] == "settled" {
            seen.push(Seen {
                effect: record["effect"].as_str().unwrap_or_default(),
                arguments: arguments.get(&slot).copied().unwrap_or(&NOTHING),
                target: &record["target"],
                decision: record["decision"].as_str().unwrap_or_default(),
                result: &record["result"],
                approved: approved.contains(&slot),
                at_ms: record["at"].as_str().and_then(ms).unwrap_or_default(),
            });
        }
    }
    seen
}

fn ms(at: &str) -> Option<u64> {
    let at: jiff::Timestamp = at.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

impl Recorder {
    fn take(&mut self, seen: &Seen<'_>) {
        let call = self.calls.entry(seen.effect.to_owned()).or_default();
        *call += 1;
        let call = *call;
        if seen.decision == "ask" || (seen.approved && seen.effect != "human.ask") {
            self.ask.insert(seen.effect.to_owned());
        }
        if let Some(error) = seen.result.get("error") {
            self.failed(seen, error, call);
            return;
        }
        if seen.changes() {
            if let Some(place) = seen.container() {
                let had_check = self.container(&place).has_healthcheck;
                self.watched.insert(place, Watched { since_ms: seen.at_ms, seen_ms: seen.at_ms, had_check });
            }
            return;
        }
        match seen.effect {
            "docker.inspect-container" => self.inspected(seen),
            "docker.list-containers" => self.listed(seen),
            "docker.dependents" => self.dependents(seen),
            "docker.recent-events" => self.events(seen),
            "docker.container-stats" => {
                if let (Some(stats), Some(place)) = (seen.answer(), seen.container()) {
                    self.container(&place).stats = stats;
                }
            }
            "docker.container-processes" => {
                if let (Some(processes), Some(place)) = (seen.answer(), seen.container()) {
                    self.container(&place).processes = processes;
                }
            }
            "logs.tail-container" => self.tailed(seen),
            _ => self.outside(seen),
        }
    }

    fn container(&mut self, (host, name): &(String, String)) -> &mut Container {
        if self.world.container(host, name).is_none() {
            self.world.add_container(host, Container::named(name, name));
        }
        let containers = &mut self.world.hosts.entry(host.clone()).or_default().containers;
        containers.entry(name.clone()).or_default()
    }

    /// What did not work: refused by policy, or a fault of the world.
    fn failed(&mut self, seen: &Seen<'_>, error: &Value, call: u32) {
        let kind = serde_json::from_value(error["kind"].clone()).unwrap_or(ErrorKind::Failed);
        match (seen.decision, kind) {
            ("ask", ErrorKind::Denied) => drop(self.no.insert(seen.effect.to_owned())),
            ("deny", _) => {
                self.ask.remove(seen.effect);
                self.deny.insert(seen.effect.to_owned());
            }
            // What is not in the world is not found there either.
            (_, ErrorKind::NotFound | ErrorKind::Invalid) => {}
            _ => {
                let message = error["message"].as_str().unwrap_or_default().to_owned();
                let effect = seen.effect.to_owned();
                self.world.faults.push(Fault { effect, call, error: kind, message, ..Fault::default() });
            }
        }
    }

    fn inspected(&mut self, seen: &Seen<'_>) {
        let Some(details) = seen.answer::<ContainerDetails>() else { return };
        let place = (details.host.clone(), details.name.clone());
        let Some(watched) = self.watched.get_mut(&place) else {
            let known = self.world.hosts.get(&place.0).is_some_and(|host| host.containers.contains_key(&place.1));
            let earlier = if known { Some(self.container(&place).clone()) } else { None };
            let mut container = Container::from_details(&details);
            if let Some(earlier) = earlier {
                container.logs = earlier.logs;
                (container.stats, container.processes) = (earlier.stats, earlier.processes);
            }
            // Derived from its name, like the simulated one's.
            container.image_id = String::new();
            self.world.hosts.entry(place.0).or_default().containers.insert(place.1, container);
            return;
        };
        // Between the look before and this one.
        let middle = (watched.seen_ms + seen.at_ms) / 2;
        let after = middle.saturating_sub(watched.since_ms).max(1);
        watched.seen_ms = seen.at_ms;
        let state = &details.state;
        let life = match (state.status, state.health) {
            (Status::Exited | Status::Dead | Status::Restarting, _) => {
                Life { exit_after_ms: Some(after), exit_code: state.exit_code.unwrap_or(1), ..Life::default() }
            }
            (_, Health::Healthy) => Life { healthy_after_ms: Some(after), ..Life::default() },
            (_, Health::Unhealthy) => Life { unhealthy_after_ms: Some(after), ..Life::default() },
            (_, Health::Starting | Health::None) => return,
        };
        self.watched.remove(&place);
        self.container(&place).lives.push(life);
    }

    /// Whoever was never seen well again never gets well.
    fn settle(&mut self) {
        for (place, watched) in std::mem::take(&mut self.watched) {
            if watched.had_check && watched.seen_ms > watched.since_ms {
                let life = Life { healthy_after_ms: Some(NEVER_MS), ..Life::default() };
                self.container(&place).lives.push(life);
            }
        }
    }

    fn listed(&mut self, seen: &Seen<'_>) {
        for line in seen.answer::<Vec<ContainerSummary>>().unwrap_or_default() {
            if self.world.container(&line.host, &line.name).is_none() {
                let container =
                    Container { id: line.id, status: line.status, ..Container::named(&line.name, &line.image) };
                self.world.add_container(&line.host, container);
            }
        }
    }

    fn dependents(&mut self, seen: &Seen<'_>) {
        let Some((host, parent)) = seen.container() else { return };
        for dependent in seen.answer::<Vec<Dependent>>().unwrap_or_default() {
            let place = (host.clone(), dependent.name.clone());
            let container = self.container(&place);
            (container.id, container.status) = (dependent.id, dependent.status);
            match dependent.why {
                Dependency::SharesNetwork => container.network_mode = format!("container:{parent}"),
                Dependency::VolumesFrom => container.volumes_from.push(parent.clone()),
                Dependency::DependsOn => container.depends_on.push(parent.clone()),
            }
        }
    }

    fn events(&mut self, seen: &Seen<'_>) {
        if !self.watched.is_empty() {
            return;
        }
        let host = seen.target["host"].as_str().unwrap_or(super::HOST_DEFAULT).to_owned();
        for event in seen.answer::<Vec<Event>>().unwrap_or_default() {
            let Some(at) = ms(&event.at) else { continue };
            let (action, container) = (event.action, event.container);
            let event = HostEvent { at: Moment::At(at), action, container, exit_code: event.exit_code };
            let events = &mut self.world.hosts.entry(host.clone()).or_default().events;
            if !events.contains(&event) {
                events.push(event);
            }
        }
    }

    fn tailed(&mut self, seen: &Seen<'_>) {
        let (Some(page), Some(place)) = (seen.answer::<Page>(), seen.container()) else { return };
        let now_ms = self.world.now_ms;
        let changed = self.watched.contains_key(&place);
        let container = self.container(&place);
        if container.logs.is_empty() && !changed {
            let skipped = page.text.lines().count().saturating_sub(LINES_MAX);
            let lines = page.text.lines().skip(skipped);
            container.logs = lines.map(|line| LogLine { at: Moment::At(now_ms), line: line.to_owned() }).collect();
        }
    }

    /// What lies outside Docker.
    fn outside(&mut self, seen: &Seen<'_>) {
        let ok = &seen.result["ok"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match seen.effect {
            "net.http-probe" => {
                let status = ok["status"].as_u64().and_then(|status| u16::try_from(status).ok());
                let (at, reason) = (seen.argument("url").to_owned(), text(&ok["reason"]));
                self.endpoint(Endpoint {
                    at,
                    reachable: status.is_some(),
                    reason,
                    status: status.unwrap_or(200),
                    ..Endpoint::default()
                });
            }
            "net.tcp-check" => {
                let at = format!("{}:{}", seen.argument("host"), seen.arguments["port"]);
                let (reachable, reason) = (ok["open"] == true, text(&ok["reason"]));
                self.endpoint(Endpoint { at, reachable, reason, ..Endpoint::default() });
            }
            "http.get" => {
                let status = ok["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
                let (at, body) = (seen.argument("url").to_owned(), text(&ok["body"]));
                self.endpoint(Endpoint { at, status, body, ..Endpoint::default() });
            }
            "metrics.query" => {
                let samples = seen.answer::<Vec<MetricSample>>().or_else(|| {
                    let sample = |value: &Value| {
                        Some(MetricSample {
                            labels: serde_json::from_value(value["labels"].clone()).ok()?,
                            value: value["value"].as_f64()?,
                        })
                    };
                    ok.as_array().map(|list| list.iter().filter_map(sample).collect())
                });
                let promql = seen.argument("promql").to_owned();
                let from = (!self.world.metrics.iter().all(|metric| metric.promql != promql))
                    .then_some(Moment::At(seen.at_ms));
                self.world.metrics.push(Metric { promql, from, samples: samples.unwrap_or_default() });
            }
            "state.put" | "state.compare-and-put" => drop(self.written.insert(seen.argument("key").to_owned())),
            "state.get" => {
                if let (Some(value), false) = (ok.as_str(), self.written.contains(seen.argument("key"))) {
                    self.world.memory.insert(seen.argument("key").to_owned(), value.to_owned());
                }
            }
            "human.ask" => {
                self.world.answers.insert(seen.argument("question").to_owned(), text(&ok["option"]));
            }
            "clock.now" | "clock.sleep" | "random.random-u64" | "notify.send" => {}
            other => self.doubts.push(format!("what {other} answered is not part of a world; fill it in by hand")),
        }
    }

    fn endpoint(&mut self, endpoint: Endpoint) {
        // The first answer is the world's; a later one may follow from what the run did.
        if self.world.endpoints.iter().all(|known| known.at != endpoint.at) {
            self.world.endpoints.push(endpoint);
        }
    }

    fn text(&self, run: &Value, header: &Value) -> String {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut text = format!(
            "summary = {}\n",
            quoted(&format!("As in run {}: {}", word(&header["run"]), word(&run["sentence"])))
        );
        if let Some(name) = header["target"]["name"].as_str() {
            text.push_str(&format!("target = {}\n", quoted(&format!("{}/{name}", word(&header["target"]["host"])))));
        }
        let mut document = toml::Table::new();
        let parameters = header["parameters"].as_object().into_iter().flatten();
        let parameters: Map<String, Value> =
            parameters.filter_map(|(name, value)| Some((name.clone(), typed(value)?))).collect();
        put(&mut document, "parameters", &parameters);
        if let Some(alert) = header["alert"].as_object() {
            let kept =
                ["labels", "annotations"].iter().filter_map(|key| Some(((*key).to_owned(), alert.get(*key)?.clone())));
            put(
                &mut document,
                "alert",
                &kept.filter(|(_, map)| map != &Value::Object(Map::new())).collect::<Map<_, _>>(),
            );
        }
        let mut policy = Map::new();
        for (key, effects) in [("deny", &self.deny), ("ask", &self.ask)] {
            if !effects.is_empty() {
                policy.insert(key.to_owned(), Value::from(effects.iter().cloned().collect::<Vec<_>>()));
            }
        }
        if !self.no.is_empty() {
            let answers: Map<String, Value> = self.no.iter().map(|effect| (effect.clone(), "no".into())).collect();
            policy.insert("answers".to_owned(), answers.into());
        }
        put(&mut document, "policy", &policy);
        put(&mut document, "world", &spare(&self.world));
        text.push('\n');
        text.push_str(&toml::to_string(&document).unwrap_or_default());
        text
    }
}

/// A parameter's value as a person writes it.
fn typed(value: &Value) -> Option<Value> {
    let (kind, value) = value.as_object()?.iter().next()?;
    Some(if kind == "duration" { Value::from(format!("{value}ms")) } else { value.clone() })
}

fn put(document: &mut toml::Table, key: &str, map: &Map<String, Value>) {
    if !map.is_empty()
        && let Ok(value) = toml::Value::try_from(map)
    {
        document.insert(key.to_owned(), value);
    }
}

/// A world without what is as it is by default anyway.
fn spare(world: &World) -> Map<String, Value> {
    let mut whole = differs(world, &World::default());
    whole.insert("now_ms".to_owned(), world.now_ms.into());
    let Some(hosts) = whole.get_mut("hosts").and_then(Value::as_object_mut) else { return whole };
    for (name, host) in hosts {
        let containers = world.hosts.get(name).map(|host| &host.containers).into_iter().flatten();
        let containers = containers.map(|(name, container)| {
            let mut spare = differs(container, &Container::default());
            spare.remove("name");
            lives(&mut spare, container);
            (name.clone(), Value::from(spare))
        });
        let containers: Map<String, Value> = containers.collect();
        if let Some(host) = host.as_object_mut() {
            host.insert("containers".to_owned(), containers.into());
            host.retain(|_, value| value != &Value::Array(Vec::new()));
        }
    }
    for (key, default) in
        [("faults", serde_json::to_value(Fault::default())), ("endpoints", serde_json::to_value(Endpoint::default()))]
    {
        let Some(list) = whole.get_mut(key).and_then(Value::as_array_mut) else { continue };
        list.iter_mut().for_each(|item| without(item, default.as_ref().ok()));
    }
    whole
}

fn lives(spare: &mut Map<String, Value>, container: &Container) {
    let lives: Vec<Value> = container.lives.iter().map(|life| differs(life, &Life::default()).into()).collect();
    if !lives.is_empty() {
        spare.insert("lives".to_owned(), lives.into());
    }
}

/// The keys of a value that are not as in another.
fn differs<T: Serialize>(value: &T, default: &T) -> Map<String, Value> {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    without(&mut value, serde_json::to_value(default).ok().as_ref());
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn without(value: &mut Value, default: Option<&Value>) {
    let Some(map) = value.as_object_mut() else { return };
    map.retain(|key, value| !value.is_null() && default.and_then(|default| default.get(key)) != Some(value));
}
