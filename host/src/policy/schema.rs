//! The Cedar schema, generated from the effect catalogue: what a policy may speak of.
//!
//! Policies are validated against it when they load, so that a misspelt action, attribute or argument is a load error
//! and not a grant that never applies. One table says which arguments of an effect a policy sees; schema and context
//! are both made from it, so they cannot drift. A new effect is an action as soon as it is in the catalogue.
//!
//! Compose project and service are always there, empty for a container outside compose, and so are alert name and
//! severity: a condition on them needs no `has`. What a request may leave out is optional and does need it.
//! Deliberately not here: the effects of class ambient, note, state and wait. Nothing can forbid them, so a policy that
//! names one is refused instead of being ignored.

use std::fmt::Write as _;
use std::sync::LazyLock;

use cedar_policy::{Schema, Validator};
use sandbook_core::effect::{Class, Effect, Info};

/// How an argument looks to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `String`.
    Text,
    /// `String`, a signal's plain name: `TERM` for `SIGTERM`, `term` and `15`, so that a forbid cannot be spelt around.
    Signal,
    /// `Long`.
    Long,
    /// `Long`, thousandths of a fraction: Cedar has no floats.
    Thousandths,
    /// `Set<String>`.
    Texts,
    /// `Set<String>`: what of a container's configuration a recreation changes, such as `image` and `mounts`.
    Changes,
}

impl Shape {
    fn cedar(self) -> &'static str {
        match self {
            Shape::Text | Shape::Signal => "String",
            Shape::Long | Shape::Thousandths => "Long",
            Shape::Texts | Shape::Changes => "Set<String>",
        }
    }
}

/// An argument of an effect that policies see in their context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument {
    /// Effects that have it.
    pub(crate) effects: &'static [&'static str],
    /// Where it stands in the effect's arguments (JSON pointer).
    pub(crate) pointer: &'static str,
    /// Attribute of the context.
    pub(crate) name: &'static str,
    /// How it looks.
    pub(crate) shape: Shape,
    /// Whether it may be missing, and if not, what stands for a missing one.
    pub(crate) presence: Presence,
}

/// Whether an argument may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The request always has it.
    Always,
    /// The request may leave it out, and this is what happens then.
    Default(&'static str),
    /// The request may leave it out.
    Optional,
}

const fn argument(
    effects: &'static [&'static str],
    pointer: &'static str,
    name: &'static str,
    shape: Shape,
    presence: Presence,
) -> Argument {
    Argument { effects, pointer, name, shape, presence }
}

/// Every argument a policy sees. Argument vectors are sets in Cedar, so `program` names the first item by itself.
pub(crate) const ARGUMENTS: &[Argument] = &[
    argument(
        &["docker.stop-container", "docker.restart-container"],
        "/options/grace_ms",
        "grace_ms",
        Shape::Long,
        Presence::Optional,
    ),
    argument(&["docker.kill-container"], "/options/signal", "signal", Shape::Signal, Presence::Default("KILL")),
    argument(&["docker.exec"], "/argv/0", "program", Shape::Text, Presence::Always),
    argument(&["docker.exec"], "/argv", "argv", Shape::Texts, Presence::Always),
    argument(&["docker.exec"], "/options/user", "user", Shape::Text, Presence::Optional),
    argument(&["docker.exec"], "/options/workdir", "workdir", Shape::Text, Presence::Optional),
    argument(&["docker.exec"], "/options/timeout_ms", "timeout_ms", Shape::Long, Presence::Optional),
    argument(&["docker.update-resources"], "/resources/memory_bytes", "memory_bytes", Shape::Long, Presence::Optional),
    argument(
        &["docker.update-resources"],
        "/resources/memory_swap_bytes",
        "memory_swap_bytes",
        Shape::Long,
        Presence::Optional,
    ),
    argument(
        &["docker.update-resources"],
        "/resources/cpus",
        "cpus_thousandths",
        Shape::Thousandths,
        Presence::Optional,
    ),
    argument(&["docker.update-resources"], "/resources/pids", "pids", Shape::Long, Presence::Optional),
    argument(&["docker.recreate-container"], "/options", "changes", Shape::Changes, Presence::Always),
    argument(&["docker.recreate-container"], "/options/image", "image", Shape::Text, Presence::Optional),
    argument(&["docker.recreate-container"], "/options/command", "command", Shape::Texts, Presence::Optional),
    argument(&["docker.scale-service"], "/replicas", "replicas", Shape::Long, Presence::Always),
    argument(
        &["docker.connect-network", "docker.disconnect-network"],
        "/network",
        "network",
        Shape::Text,
        Presence::Always,
    ),
    argument(
        &["docker.prune-images", "docker.prune-build-cache"],
        "/options/older_than_ms",
        "older_than_ms",
        Shape::Long,
        Presence::Optional,
    ),
    argument(&["logs.query-loki"], "/logql", "logql", Shape::Text, Presence::Always),
    argument(&["alertmanager.create-silence"], "/silence/duration_ms", "duration_ms", Shape::Long, Presence::Always),
    argument(&["alertmanager.create-silence"], "/silence/matchers", "matchers", Shape::Texts, Presence::Always),
    argument(&["http.request"], "/method", "method", Shape::Text, Presence::Always),
    argument(&["metrics.query", "metrics.query-range"], "/promql", "promql", Shape::Text, Presence::Always),
    argument(&["notify.send"], "/message/severity", "message_severity", Shape::Text, Presence::Default("info")),
];

/// The arguments of an effect that policies see.
pub(crate) fn arguments(effect: &str) -> impl Iterator<Item = &'static Argument> {
    ARGUMENTS.iter().filter(move |argument| argument.effects.contains(&effect))
}

/// The entity types an effect's target can have. A test holds this together with what effects say of themselves; an
/// effect of an unknown domain may be about anything, which makes policies on it awkward, never wrong.
pub(crate) fn resources(effect: &str) -> &'static [&'static str] {
    let domain = effect.split_once('.').map_or(effect, |(domain, _)| domain);
    match (domain, effect) {
        (_, "docker.list-containers" | "docker.list-images" | "docker.disk-usage" | "docker.prune-images")
        | (_, "docker.prune-build-cache") => &["Host"],
        (_, "docker.recent-events") => &["Container", "Host"],
        (_, "docker.scale-service") => &["Service"],
        (_, "logs.query-loki") => &["Loki"],
        ("metrics", _) => &["Metrics"],
        ("alertmanager", _) => &["Alertmanager"],
        ("llm", _) => &["Model"],
        ("incidents", _) => &["Incidents"],
        ("docker" | "logs", _) => &["Container"],
        (_, "net.http-probe") | ("http", _) => &["Url"],
        ("net", _) => &["NetHost"],
        ("notify", _) => &["Channel"],
        (_, _) => &[
            "Container",
            "Host",
            "Service",
            "Url",
            "NetHost",
            "Channel",
            "Metrics",
            "Alertmanager",
            "Loki",
            "Model",
            "Incidents",
            "Run",
        ],
    }
}

/// Effects that policies can speak of.
pub(crate) fn actions() -> impl Iterator<Item = &'static Info> {
    Effect::ALL.iter().filter(|info| info.class.needs_request())
}

const ENTITIES: &str = r#"// Generated by `sandbook policy schema`: what policies may speak of.

// The principal. `stage` is draft, shadow, ask or live; `origin` is built-in, person or llm.
entity Runbook = { name: String, digest: String, stage: String, origin: String };

// A container; its labels are tags. Outside compose, `project` and `service` are empty.
entity Container = {
  name: String, id: String, image: String, host: String, project: String, service: String, state: String,
} tags String;

// A Docker host, by its name in the configuration.
entity Host = { name: String };

// A compose service (`name` is project/service) or a swarm service (`project` is empty).
entity Service = { host: String, name: String, project: String, service: String };

// What http effects reach. `scheme` is http or https, `host` lower case without brackets.
entity Url = { scheme: String, host: String, port: Long, path: String };

// What net effects reach; a lookup has no port.
entity NetHost = { host: String, port?: Long };

// A notification channel, by its name in the configuration.
entity Channel = { name: String };

// The configured metrics source.
entity Metrics;

// The configured Alertmanager.
entity Alertmanager;

// The configured Loki.
entity Loki;

// The configured language model.
entity Model;

// The engine's own record of incidents.
entity Incidents;

// The run itself.
entity Run;

// The alert a run started with; its labels are tags. Without one, name and severity are empty.
entity Alert = { name: String, severity: String } tags String;

"#;

/// The schema as Cedar text: what `sandbook policy schema` prints.
pub fn text() -> String {
    let mut text = ENTITIES.to_owned();
    for class in Class::ALL.into_iter().filter(|class| class.needs_request()) {
        let _ = writeln!(text, "action \"{class}\";");
    }
    for info in actions() {
        let _ = write!(
            text,
            "\naction \"{}\" in [\"{}\"] appliesTo {{\n  principal: [Runbook],\n  resource: [{}],\n  context: {{\n",
            info.name,
            info.class,
            resources(info.name).join(", "),
        );
        text.push_str("    alert: Alert, alertname: String, severity: String,\n");
        text.push_str("    attempts: Long, minute_of_day: Long, weekday: Long,\n");
        for argument in arguments(info.name) {
            let optional = if argument.presence == Presence::Optional { "?" } else { "" };
            let _ = writeln!(text, "    {}{optional}: {},", argument.name, argument.shape.cedar());
        }
        text.push_str("  },\n};\n");
    }
    text
}

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let (schema, _warnings) =
        Schema::from_cedarschema_str(&text()).expect("the generated schema is Cedar, which a test makes sure of");
    Validator::new(schema)
});

/// The validator of the generated schema, made once.
pub(crate) fn validator() -> &'static Validator {
    &VALIDATOR
}

#[cfg(test)]
mod tests {
    use sandbook_core::effect::Scope;
    use serde_json::json;

    use super::*;

    /// One request for every effect a policy can speak of. A new effect belongs here.
    fn sample(name: &str) -> Option<Effect> {
        let arguments = match name {
            "docker.list-containers" | "docker.recent-events" => json!({}),
            "docker.exec" => json!({"container": "web", "argv": ["true"]}),
            "logs.search-container" => json!({"container": "web", "pattern": "x"}),
            "metrics.query" => json!({"promql": "up"}),
            "metrics.query-range" => json!({"promql": "up", "range": {"since_ms": 60_000, "step_ms": 1_000}}),
            "net.http-probe" | "http.get" => json!({"url": "http://web:80/"}),
            "http.request" => json!({"url": "http://web:80/", "method": "post"}),
            "net.tcp-check" => json!({"host": "web", "port": 80}),
            "net.dns-lookup" => json!({"name": "web"}),
            "docker.list-images" | "docker.disk-usage" | "docker.prune-images" | "docker.prune-build-cache" => {
                json!({})
            }
            "docker.scale-service" => json!({"service": "shop/web", "replicas": 2}),
            "docker.connect-network" | "docker.disconnect-network" => json!({"container": "web", "network": "back"}),
            "logs.query-loki" => json!({"logql": "{app=\"web\"}"}),
            "alertmanager.list-alerts" | "alertmanager.list-silences" => json!({}),
            "alertmanager.create-silence" => {
                json!({"silence": {"matchers": ["a=\"b\""], "duration_ms": 60_000, "comment": "c"}})
            }
            "alertmanager.expire-silence" => json!({"id": "5c"}),
            "llm.choose" => json!({"question": "q", "evidence": "e", "options": ["a", "b"], "fallback": "a"}),
            "llm.summarize" => json!({"evidence": "e", "fallback": "f"}),
            "llm.extract" => json!({"evidence": "e", "schema": "{}", "fallback": "{}"}),
            "incidents.similar" => json!({"limit": 3}),
            "notify.send" => json!({"message": {"title": "t", "text": "t"}}),
            _ => json!({"container": "web"}),
        };
        Effect::from_arguments(name, arguments).ok()
    }

    #[test]
    fn every_effects_scope_is_among_its_resources() {
        let mut seen = 0;
        for info in actions() {
            let effect = sample(info.name).unwrap_or_else(|| panic!("{} has no sample request here", info.name));
            let kind = match effect.scope() {
                Scope::Container(_) => "Container",
                Scope::Host => "Host",
                Scope::Service(_) => "Service",
                Scope::Part(part) => part.entity(),
                Scope::Url(_) => "Url",
                Scope::Net(..) => "NetHost",
                Scope::Channel(_) => "Channel",
                Scope::Metrics => "Metrics",
                Scope::Memory | Scope::Run => "Run",
            };
            assert!(resources(info.name).contains(&kind), "{} is about a {kind}", info.name);
            seen += 1;
        }
        assert_eq!(seen, actions().count());
    }

    #[test]
    fn the_schema_is_cedar_and_has_every_effect() {
        let schema = validator().schema();
        let actions: Vec<String> = schema.actions().map(ToString::to_string).collect();
        for info in super::actions() {
            assert!(actions.contains(&format!("Action::\"{}\"", info.name)), "{}", info.name);
        }
        assert!(!text().contains("clock."), "{}", text());
    }

    #[test]
    fn every_argument_belongs_to_an_effect() {
        for argument in ARGUMENTS {
            for effect in argument.effects {
                assert!(Effect::find(effect).is_some(), "{effect}");
            }
        }
    }
}
