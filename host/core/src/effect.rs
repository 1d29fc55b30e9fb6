//! Effects: every host call as data before it is code. One struct an effect in one file a domain, wrapped by one closed enum.
//!
//! Names are mechanical: WIT `docker.restart-container` = [`Info::name`] = metric label = documentation anchor = policy
//! action; Rust [`docker::RestartContainer`]; Rhai `docker::restart_container`. The shapes are those of `sdk/wit`, with
//! records as objects of snake_case keys; a parity test holds both together.
//!
//! Invariant: whatever decides class, scope, recovery or simulation matches without `_`, so that a new effect does not
//! compile until its author has answered every question. Deliberately not here: doing anything. See [`crate::gate`].

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::error::Error;

pub mod alertmanager;
mod consequence;
pub mod docker;
pub mod engine;
pub mod http;
pub mod human;
pub mod incidents;
pub mod llm;
pub mod logs;
pub mod metrics;
pub mod net;
pub mod notify;
mod sentence;

pub use sentence::sentence;

/// What an effect may do, and with it who must agree. A policy action group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Clock and random: recorded, no permission.
    Ambient,
    /// Log, progress, evidence: takes no slot, no permission.
    Note,
    /// The runbook's own memory: written in the same transaction as its outcome.
    State,
    /// Sleep and human answers.
    Wait,
    /// Reads of Docker, logs, metrics: needs the manifest's request.
    Observe,
    /// Anything that can carry data out: request and the operator's allow-list.
    Egress,
    /// Notifications: request and a configured channel. Never parks a run.
    Tell,
    /// Changes the world: request and policy.
    Mutate,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 8] = [
        Class::Ambient,
        Class::Note,
        Class::State,
        Class::Wait,
        Class::Observe,
        Class::Egress,
        Class::Tell,
        Class::Mutate,
    ];

    /// The word used everywhere outside.
    pub fn name(self) -> &'static str {
        match self {
            Class::Ambient => "ambient",
            Class::Note => "note",
            Class::State => "state",
            Class::Wait => "wait",
            Class::Observe => "observe",
            Class::Egress => "egress",
            Class::Tell => "tell",
            Class::Mutate => "mutate",
        }
    }

    /// Whether a manifest must request it.
    pub fn needs_request(self) -> bool {
        match self {
            Class::Ambient | Class::Note | Class::State | Class::Wait => false,
            Class::Observe | Class::Egress | Class::Tell | Class::Mutate => true,
        }
    }

    /// Whether the operator has a say beyond the manifest's request.
    pub fn needs_operator(self) -> bool {
        match self {
            Class::Ambient | Class::Note | Class::State | Class::Wait => false,
            // A read needs no permit, but the operator may forbid it.
            Class::Observe | Class::Egress | Class::Tell | Class::Mutate => true,
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How an intent without an outcome is settled after a crash or a lost answer. There is no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recovery {
    /// Nothing was changed: it writes no intent and is simply done again.
    Again,
    /// Compare the world with the journaled pre-image once the intent's horizon has passed.
    Look,
    /// A key or marker makes repeating safe.
    Key,
    /// A person says what happened.
    Ask,
    /// It is written in the same transaction as its outcome, so there is never one without the other.
    Transaction,
}

impl Recovery {
    /// Whether an intent is made durable before the effect is driven.
    pub fn writes_intent(self) -> bool {
        match self {
            Recovery::Again | Recovery::Transaction => false,
            Recovery::Look | Recovery::Key | Recovery::Ask => true,
        }
    }
}

/// What an effect is about, as written by the guest; the host resolves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope<'a> {
    /// One container by handle, name or `host/name`.
    Container(&'a str),
    /// The run's own Docker host.
    Host,
    /// One service by handle, `project/service` or `service`.
    Service(&'a str),
    /// A URL; its host and port are what the operator lists.
    Url(&'a str),
    /// A network host, with a port where there is one.
    Net(&'a str, Option<u16>),
    /// A notification channel; absent is the escalation channel.
    Channel(Option<&'a str>),
    /// The runbook's own memory.
    Memory,
    /// The configured metrics source.
    Metrics,
    /// Something else there is one of.
    Part(Part),
    /// The run itself.
    Run,
}

/// What there is one of, configured by the operator or kept by the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The Alertmanager.
    Alertmanager,
    /// Loki.
    Loki,
    /// The language model.
    Model,
    /// The engine's own record of incidents.
    Incidents,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 4] = [Part::Alertmanager, Part::Loki, Part::Model, Part::Incidents];

    /// As targets name it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Alertmanager => "alertmanager",
            Part::Loki => "loki",
            Part::Model => "model",
            Part::Incidents => "incidents",
        }
    }

    /// As policies name it.
    pub fn entity(self) -> &'static str {
        match self {
            Part::Alertmanager => "Alertmanager",
            Part::Loki => "Loki",
            Part::Model => "Model",
            Part::Incidents => "Incidents",
        }
    }
}

/// An effect's request: a typed value with a name, bounds and answers to every question the gate asks.
pub trait Op: Serialize + DeserializeOwned + Clone {
    /// What the guest gets.
    type Output: Serialize + DeserializeOwned;
    /// `interface.function` of the WIT.
    const NAME: &'static str;
    /// The class in the catalogue. [`Op::class`] may only narrow it for one request.
    const CLASS: Class;
    /// Wall time it may take at the most, in milliseconds, when the request names no shorter one.
    const DEADLINE_MS: u64;
    /// Result size it may have at the most, in bytes of JSON.
    const OUTPUT_BYTES_MAX: usize;

    /// How an intent without an outcome is settled.
    fn recovery(&self) -> Recovery;
    /// What it is about.
    fn scope(&self) -> Scope<'_>;
    /// Checks sizes and ranges; the error names the argument and its bound.
    fn validate(&self) -> Result<(), Error>;
    /// How long to wait for it, in milliseconds, bounds included.
    fn deadline_ms(&self) -> u64 {
        Self::DEADLINE_MS
    }
}

/// One line of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Info {
    /// `interface.function` of the WIT.
    pub name: &'static str,
    /// What it may do.
    pub class: Class,
    /// Wall time at the most, in milliseconds.
    pub deadline_ms: u64,
    /// Result size at the most, in bytes of JSON.
    pub output_bytes_max: usize,
}

macro_rules! catalogue {
    ($($variant:ident($ty:ty)),+ $(,)?) => {
        /// Every effect there is.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Effect { $(#[doc = concat!("See [`", stringify!($ty), "`].")] $variant($ty)),+ }

        impl Effect {
            /// The catalogue, in the order of the domains.
            pub const ALL: &'static [Info] = &[$(Info {
                name: <$ty as Op>::NAME,
                class: <$ty as Op>::CLASS,
                deadline_ms: <$ty as Op>::DEADLINE_MS,
                output_bytes_max: <$ty as Op>::OUTPUT_BYTES_MAX,
            }),+];
            /// Its line in the catalogue.
            pub fn info(&self) -> Info { match self { $(Effect::$variant(_) => Info {
                name: <$ty as Op>::NAME,
                class: <$ty as Op>::CLASS,
                deadline_ms: <$ty as Op>::DEADLINE_MS,
                output_bytes_max: <$ty as Op>::OUTPUT_BYTES_MAX,
            }),+ } }
            /// How an intent without an outcome is settled.
            pub fn recovery(&self) -> Recovery { match self { $(Effect::$variant(op) => op.recovery()),+ } }
            /// What it is about.
            pub fn scope(&self) -> Scope<'_> { match self { $(Effect::$variant(op) => op.scope()),+ } }
            /// Checks sizes and ranges.
            pub fn validate(&self) -> Result<(), Error> { match self { $(Effect::$variant(op) => op.validate()),+ } }
            /// How long to wait for it, in milliseconds.
            pub fn deadline_ms(&self) -> u64 { match self { $(Effect::$variant(op) => op.deadline_ms()),+ } }
            /// Its arguments as journaled, in the shapes of the WIT.
            pub fn arguments(&self) -> Value {
                match self { $(Effect::$variant(op) => serde_json::to_value(op).unwrap_or(Value::Null)),+ }
            }
            /// The effect of that name with those arguments; the error names what is wrong with them.
            pub fn from_arguments(name: &str, arguments: Value) -> Result<Effect, Error> {
                match name {
                    $(<$ty as Op>::NAME => parse::<$ty>(name, arguments).map(Effect::$variant),)+
                    other => Err(Error::invalid(format!("there is no effect `{other}`; `sandbook effects` lists them"))),
                }
            }
            /// Whether a value has the shape of the named effect's output: what a recorded or assumed answer must pass.
            pub fn check_output(name: &str, output: &Value) -> Result<(), String> {
                match name {
                    $(<$ty as Op>::NAME => serde_json::from_value::<<$ty as Op>::Output>(output.clone())
                        .map(drop).map_err(|error| error.to_string()),)+
                    other => Err(format!("there is no effect `{other}`")),
                }
            }
        }
        $(impl From<$ty> for Effect { fn from(op: $ty) -> Effect { Effect::$variant(op) } })+
    };
}

fn parse<T: Op>(name: &str, arguments: Value) -> Result<T, Error> {
    let arguments = if arguments.is_null() { Value::Object(serde_json::Map::new()) } else { arguments };
    serde_json::from_value(arguments).map_err(|error| Error::invalid(format!("{name}: {error}")))
}

catalogue! {
    ListContainers(docker::ListContainers),
    InspectContainer(docker::InspectContainer),
    ContainerStats(docker::ContainerStats),
    ContainerProcesses(docker::ContainerProcesses),
    Dependents(docker::Dependents),
    RecentEvents(docker::RecentEvents),
    ContainerChanges(docker::ContainerChanges),
    ListImages(docker::ListImages),
    DiskUsage(docker::DiskUsage),
    StartContainer(docker::StartContainer),
    StopContainer(docker::StopContainer),
    RestartContainer(docker::RestartContainer),
    KillContainer(docker::KillContainer),
    PauseContainer(docker::PauseContainer),
    UnpauseContainer(docker::UnpauseContainer),
    Exec(docker::Exec),
    UpdateResources(docker::UpdateResources),
    RecreateContainer(docker::RecreateContainer),
    RemoveContainer(docker::RemoveContainer),
    ScaleService(docker::ScaleService),
    ConnectNetwork(docker::ConnectNetwork),
    DisconnectNetwork(docker::DisconnectNetwork),
    PruneImages(docker::PruneImages),
    PruneBuildCache(docker::PruneBuildCache),
    TailContainer(logs::TailContainer),
    SearchContainer(logs::SearchContainer),
    QueryLoki(logs::QueryLoki),
    TruncateContainerLog(logs::TruncateContainerLog),
    Query(metrics::Query),
    QueryRange(metrics::QueryRange),
    HttpProbe(net::HttpProbe),
    TcpCheck(net::TcpCheck),
    DnsLookup(net::DnsLookup),
    Get(http::Get),
    Request(http::Request),
    Send(notify::Send),
    StateGet(engine::StateGet),
    StatePut(engine::StatePut),
    StateCompareAndPut(engine::StateCompareAndPut),
    Now(engine::Now),
    Sleep(engine::Sleep),
    RandomU64(engine::RandomU64),
    Log(engine::Log),
    Progress(engine::Progress),
    AttachEvidence(engine::AttachEvidence),
    Ask(human::Ask),
    ListAlerts(alertmanager::ListAlerts),
    ListSilences(alertmanager::ListSilences),
    CreateSilence(alertmanager::CreateSilence),
    ExpireSilence(alertmanager::ExpireSilence),
    Choose(llm::Choose),
    Summarize(llm::Summarize),
    Extract(llm::Extract),
    Similar(incidents::Similar),
}

impl Effect {
    /// `interface.function` of the WIT.
    pub fn name(&self) -> &'static str {
        self.info().name
    }

    /// What it may do.
    pub fn class(&self) -> Class {
        self.info().class
    }

    /// The catalogue's line of that name.
    pub fn find(name: &str) -> Option<&'static Info> {
        Self::ALL.iter().find(|info| info.name == name)
    }

    /// The catalogue's name most like a misspelt one, for "did you mean".
    pub fn closest(name: &str) -> Option<&'static str> {
        closest(name, Self::ALL.iter().map(|info| info.name))
    }
}

/// The candidate within a small edit distance of a misspelt word.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance; words here are short, so the plain table will do.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = if ca == *cb { diagonal } else { diagonal + 1 };
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

pub(crate) fn check_text(argument: &str, text: &str, bytes_max: usize) -> Result<(), Error> {
    if text.len() > bytes_max {
        return Err(Error::invalid(format!("{argument} has {} bytes, at most {bytes_max} are allowed", text.len())));
    }
    Ok(())
}

pub(crate) fn check_range<T: PartialOrd + std::fmt::Display>(
    argument: &str,
    value: Option<T>,
    min: T,
    max: T,
) -> Result<(), Error> {
    match value {
        Some(value) if value < min || value > max => {
            Err(Error::invalid(format!("{argument} is {value}, it must be from {min} to {max}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Room for connecting, answering and settling beside what an effect itself waits for.
pub(crate) const MARGIN_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_find_themselves() {
        for info in Effect::ALL {
            assert_eq!(Effect::ALL.iter().filter(|other| other.name == info.name).count(), 1, "{}", info.name);
            assert_eq!(Effect::find(info.name), Some(info));
        }
    }

    #[test]
    fn arguments_round_trip() {
        let effect = Effect::from_arguments(
            "docker.restart-container",
            serde_json::json!({"container": "web", "options": {"grace_ms": 10}}),
        )
        .expect("valid");
        assert_eq!(Effect::from_arguments(effect.name(), effect.arguments()).expect("valid"), effect);
        assert_eq!(effect.scope(), Scope::Container("web"));
    }

    #[test]
    fn a_misspelt_argument_is_named() {
        let error = Effect::from_arguments("docker.stop-container", serde_json::json!({"contaner": "web"}))
            .expect_err("misspelt");
        assert!(error.message.contains("contaner"), "{error}");
        assert_eq!(Effect::closest("docker.restart-contaner"), Some("docker.restart-container"));
        assert_eq!(Effect::closest("xyz"), None);
    }

    #[test]
    fn every_mutating_effect_says_how_it_is_settled() {
        for info in Effect::ALL.iter().filter(|info| info.class == Class::Mutate) {
            let arguments = serde_json::json!({
                "container": "web", "argv": ["true"], "options": {}, "resources": {}, "service": "web", "replicas": 1,
                "network": "back", "id": "5c", "silence": {"matchers": [], "duration_ms": 1, "comment": ""},
            });
            let keep = arguments.as_object().expect("object");
            let effect = subsets(keep).into_iter().find_map(|args| Effect::from_arguments(info.name, args).ok());
            let effect = effect.unwrap_or_else(|| panic!("no sample for {}", info.name));
            assert!(effect.recovery().writes_intent(), "{}", info.name);
        }
    }

    fn subsets(all: &serde_json::Map<String, Value>) -> Vec<Value> {
        let keys: Vec<&String> = all.keys().collect();
        (0..1_u32 << keys.len())
            .map(|bits| {
                keys.iter()
                    .enumerate()
                    .filter(|(index, _)| bits & (1 << index) != 0)
                    .map(|(_, key)| ((*key).clone(), all[*key].clone()))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            })
            .collect()
    }
}
