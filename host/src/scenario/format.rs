//! What a scenario file says: types, and every mistake with its place.
//!
//! Deliberately not here: playing it. The world has its own description, see [`sandbook_core::world`].

use std::collections::BTreeMap;

use sandbook_core::effect::{Effect, Scope, closest};
use sandbook_core::manifest::Manifest;
use sandbook_core::problem::{Problem, line_column};
use sandbook_core::run::{Decision, Outcome};
use sandbook_core::target::{Kind, Reference};
use sandbook_core::world::World;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::policy::{Policy, load::Source};

/// A scenario cannot be read.
pub const UNREADABLE: &str = "SB0220";
/// A scenario names something that is not there.
pub const UNKNOWN: &str = "SB0221";

/// The host of a world that has none.
pub const HOST_DEFAULT: &str = "local";
/// The channel of a scenario that names none.
const CHANNEL_DEFAULT: &str = "ops";

/// A scenario: a world, what starts the runbook, and what is expected of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// In a sentence, what it is about.
    pub summary: String,
    /// `name` or `host/name`; else the alert's labels say it, as the manifest maps them.
    #[serde(default)]
    pub target: Option<Spanned<String>>,
    /// As `sandbook run` takes them.
    #[serde(default)]
    pub parameters: BTreeMap<String, Spanned<toml::Value>>,
    /// What starts it; without one a person does.
    #[serde(default)]
    pub alert: Option<Alert>,
    /// The operator's say.
    #[serde(default)]
    pub policy: Rules,
    /// Everything there is.
    #[serde(default)]
    pub world: World,
    /// Answers of a model. Reserved: no effect asks one yet.
    #[serde(default)]
    pub llm: Option<Spanned<toml::Table>>,
    /// What must come of it; `sandbook test --update` writes it.
    #[serde(default)]
    pub expect: Option<Expect>,
}

/// The alert.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// With `alertname`.
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What the operator allows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Every requested effect, egress and channels included. Changes are then up to `cedar` where there is one.
    pub allow: bool,
    /// Policies as the operator writes them.
    pub cedar: Option<Spanned<String>>,
    /// Effects that are refused.
    pub deny: Vec<Spanned<String>>,
    /// Effects a person is asked about.
    pub ask: Vec<Spanned<String>>,
    /// What they say, by effect: `yes`, which is the default, or `no`.
    pub answers: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Channels that are configured; the first is meant where a message names none.
    pub channels: Vec<String>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            allow: true,
            cedar: None,
            deny: Vec::new(),
            ask: Vec::new(),
            answers: BTreeMap::new(),
            channels: vec![CHANNEL_DEFAULT.to_owned()],
        }
    }
}

/// What must come of it; what is left out is not looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How it ends, such as `fixed`.
    pub outcome: Option<Spanned<String>>,
    /// Part of its last sentence.
    pub sentence: Option<String>,
    /// Changes, messages and HTTP requests, each of them, in order, refused ones included. A read that is listed has to
    /// happen at some time.
    pub effects: Option<Vec<Spanned<ExpectedEffect>>>,
    /// In the end, by `host/name`.
    pub containers: BTreeMap<Spanned<String>, ExpectedContainer>,
    /// Each is part of some note.
    pub notes: Vec<String>,
    /// How many messages were sent.
    pub messages: Option<usize>,
}

/// An effect that must happen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedEffect {
    /// Its name.
    pub effect: String,
    /// `name` or `host/name`; any where it is left out.
    #[serde(default)]
    pub target: Option<String>,
    /// `allow`, `ask`, `deny` or `limited`; left out: it went ahead, asked or not.
    #[serde(default)]
    pub decision: Option<String>,
    /// Part of its arguments.
    #[serde(default)]
    pub arguments: Option<Value>,
    /// Part of the error it answered.
    #[serde(default)]
    pub error: Option<String>,
}

/// A container in the end.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedContainer {
    /// Docker's word, such as `running`.
    pub status: Option<String>,
    /// Docker's word, such as `healthy`.
    pub health: Option<String>,
    /// Of its last exit.
    pub exit_code: Option<i32>,
    /// Starts since the scenario began, by whomever.
    pub starts: Option<u32>,
    /// Restarts by its restart policy.
    pub restart_count: Option<u32>,
}

/// A file's text while its problems are collected.
struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn report(&mut self, code: &'static str, offset: usize, message: impl Into<String>, help: impl Into<String>) {
        let (line, column) = line_column(self.text, offset);
        let file = self.file.to_owned();
        let (message, help) = (message.into(), help.into());
        self.problems.push(Problem { code, file, line, column, message, help, warning: false });
    }
}

/// Reads a scenario of that runbook; every problem, in the order of the text.
pub fn read(text: &str, file: &str, manifest: &Manifest) -> Result<Scenario, Vec<Problem>> {
    let mut reader = Reader { text, file, problems: Vec::new() };
    let parsed = toml::Deserializer::parse(text).and_then(Scenario::deserialize);
    let scenario = match parsed {
        Ok(scenario) => scenario,
        Err(error) => {
            let (offset, help) = (place_of(text, &error), suggestion(error.message()));
            reader.report(UNREADABLE, offset, error.message().trim().to_owned(), help);
            return Err(reader.problems);
        }
    };
    check_cause(&mut reader, &scenario, manifest);
    check_rules(&mut reader, &scenario.policy);
    if let Some(expect) = &scenario.expect {
        check_expect(&mut reader, expect, &scenario.world);
    }
    reader.problems.sort_by_key(|problem| (problem.line, problem.column));
    if reader.problems.is_empty() { Ok(scenario) } else { Err(reader.problems) }
}

/// Where an error is: what the world itself complains of is placed at the word it quotes.
fn place_of(text: &str, error: &toml::de::Error) -> usize {
    let span = error.span().unwrap_or(0..0);
    let known = ["unknown field", "missing field", "unknown variant", "invalid type", "invalid value", "duplicate"];
    let message = error.message();
    if known.iter().any(|start| message.starts_with(start)) {
        return span.start;
    }
    let quoted = message.split('`').nth(1).filter(|word| !word.is_empty());
    let container = message.split_once(": ").map(|(name, _)| format!("containers.{name}"));
    let near = quoted.and_then(|word| text.find(word)).or_else(|| text.find(&container?));
    near.unwrap_or(span.start)
}

/// "did you mean", from a message that lists what is known.
fn suggestion(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let Some(wrong) = words.next().filter(|_| message.starts_with("unknown ")) else { return String::new() };
    closest(wrong, words).map(|word| format!("did you mean `{word}`?")).unwrap_or_default()
}

fn check_cause(reader: &mut Reader<'_>, scenario: &Scenario, manifest: &Manifest) {
    if let Some(target) = &scenario.target
        && manifest.target.kind == Kind::Container
        && !exists(&scenario.world, target.get_ref())
    {
        missing_container(reader, &scenario.world, target.get_ref(), target.span().start);
    }
    if let Err(misfits) = manifest.parameters_from(&scenario.texts()) {
        let first = scenario.parameters.values().next().map_or(0, |value| value.span().start);
        for misfit in misfits {
            let place = scenario.parameters.get(&misfit.parameter).map_or(first, |value| value.span().start);
            reader.report(UNKNOWN, place, misfit.message, "`[parameters]` of the manifest lists them");
        }
    }
    if let Some(llm) = &scenario.llm {
        reader.report(UNREADABLE, llm.span().start, "`llm` is reserved: no effect asks a model yet", "remove it");
    }
}

fn check_effect(reader: &mut Reader<'_>, name: &str, offset: usize) -> bool {
    if Effect::find(name).is_some() {
        return true;
    }
    let help = match Effect::closest(name) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "`sandbook effects` lists them".to_owned(),
    };
    reader.report(UNKNOWN, offset, format!("there is no effect `{name}`"), help);
    false
}

fn check_rules(reader: &mut Reader<'_>, rules: &Rules) {
    let mut known = true;
    for effect in rules.deny.iter().chain(&rules.ask) {
        known &= check_effect(reader, effect.get_ref(), effect.span().start);
    }
    for (effect, answer) in &rules.answers {
        if rules.ask.iter().all(|asked| asked.get_ref() != effect.get_ref()) {
            let message = format!("nobody is asked about `{}`", effect.get_ref());
            reader.report(UNKNOWN, effect.span().start, message, "list it under `ask`");
        }
        if !matches!(answer.get_ref().as_str(), "yes" | "no") {
            let message = format!("a person says yes or no, not `{}`", answer.get_ref());
            reader.report(UNREADABLE, answer.span().start, message, "");
        }
    }
    if !known {
        return;
    }
    if let Err(problems) = rules.policy() {
        let place = rules.cedar.as_ref().map_or(0, |cedar| cedar.span().start);
        for problem in problems {
            let message = format!("`cedar`, line {}: {}", problem.line, problem.message);
            reader.report(UNREADABLE, place, message, problem.help);
        }
    }
}

fn check_expect(reader: &mut Reader<'_>, expect: &Expect, world: &World) {
    if let Some(outcome) = &expect.outcome
        && Outcome::from_name(outcome.get_ref()).is_none()
    {
        let known: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
        let message = format!("there is no outcome `{}`", outcome.get_ref());
        reader.report(UNKNOWN, outcome.span().start, message, format!("there are {}", known.join(", ")));
    }
    for expected in expect.effects.iter().flatten() {
        let (at, effect) = (expected.span().start, expected.get_ref());
        let at = at + reader.text[at..expected.span().end].find(&effect.effect).unwrap_or(0);
        if !check_effect(reader, &effect.effect, at) {
            continue;
        }
        if let Some(decision) = &effect.decision
            && Decision::from_name(decision).is_none()
        {
            let message = format!("there is no decision `{decision}`");
            reader.report(UNKNOWN, at, message, "there are allow, ask, deny and limited");
        }
        let container = effect.effect.starts_with("docker.") || effect.effect.starts_with("logs.");
        if let Some(target) = &effect.target
            && container
            && !exists(world, target)
            && !is_service(world, target)
            && !world.hosts.contains_key(target)
        {
            missing_container(reader, world, target, at);
        }
    }
    for name in expect.containers.keys().filter(|name| !exists(world, name.get_ref())) {
        missing_container(reader, world, name.get_ref(), name.span().start);
    }
}

/// Whether a world has a container of that name, or a service.
fn exists(world: &World, name: &str) -> bool {
    find(world, name).is_some() || world.resolve(first_host(world), &Scope::Container(name)).is_ok()
}

/// Whether a world has a service of that name, which may have several containers.
fn is_service(world: &World, name: &str) -> bool {
    world.resolve(first_host(world), &Scope::Service(name)).is_ok()
}

fn first_host(world: &World) -> &str {
    world.hosts.keys().next().map_or(HOST_DEFAULT, String::as_str)
}

/// A container by `host/name`, or by its name on the first host that has it.
pub fn find<'w>(world: &'w World, name: &str) -> Option<&'w sandbook_core::world::Container> {
    let Reference { host, name } = Reference::parse(name);
    match host {
        Some(host) => world.container(&host, &name),
        None => world.hosts.values().find_map(|host| host.containers.get(&name)),
    }
}

fn missing_container(reader: &mut Reader<'_>, world: &World, name: &str, offset: usize) {
    let known: Vec<String> = world
        .hosts
        .iter()
        .flat_map(|(host, of)| of.containers.keys().map(move |name| format!("{host}/{name}")))
        .collect();
    let help = match closest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it has none; add [world.hosts.local.containers.NAME]".to_owned(),
        None => format!("it has {}", known.join(", ")),
    };
    reader.report(UNKNOWN, offset, format!("this world has no container `{name}`"), help);
}

impl Scenario {
    /// The parameters as a person types them.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.parameters.iter().map(|(name, value)| (name.clone(), text(value.get_ref()))).collect()
    }
}

impl Rules {
    /// As the engine knows policies.
    pub fn policy(&self) -> Result<Policy, Vec<Problem>> {
        let mut text = self.cedar.as_ref().map_or_else(String::new, |cedar| format!("{}\n", cedar.get_ref()));
        if self.allow && self.cedar.is_none() {
            text.push_str("@id(\"scenario-allow\") permit (principal, action in Action::\"mutate\", resource);\n");
        }
        for effect in &self.ask {
            let effect = effect.get_ref();
            text.push_str(&format!(
                "@id(\"scenario-ask {effect}\") @approval(\"ask\") permit (principal, action == Action::\"{effect}\", resource);\n"
            ));
        }
        let refused = self.answers.iter().filter(|(_, answer)| answer.get_ref() == "no");
        let refused = refused.map(|(effect, _)| (effect, "a person says no"));
        let denied = self.deny.iter().map(|effect| (effect, "the scenario denies it"));
        for (effect, reason) in denied.chain(refused) {
            let effect = effect.get_ref();
            text.push_str(&format!(
                "@id(\"scenario-deny {effect}\") @reason(\"{reason}\") forbid (principal, action == Action::\"{effect}\", resource);\n"
            ));
        }
        let policy = Policy::from_sources(&[Source { file: "scenario".to_owned(), text }], false)?;
        if !self.allow {
            return Ok(policy);
        }
        let first = self.channels.first().cloned();
        Ok(policy.with_egress(Box::new(|_, _| true)).with_channels(self.channels.iter().cloned(), first))
    }
}
