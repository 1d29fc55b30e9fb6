//! What Cedar is asked: a request as entities and context.
//!
//! Building a container's entity costs more than asking does (its labels are tags), so it is kept by instance. A kept
//! one is used only while every fact it was made of is the same: nothing depends on hearing of a change.
//! Hosts are compared in one spelling (lower case, no trailing dot, addresses in their usual form), so that a forbid on
//! a host cannot be spelt around. Deliberately not here: what the answer means, see [`super`].

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv6Addr;
use std::sync::{PoisonError, RwLock};

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use sandbook_core::effect::docker::RecreateOptions;
use sandbook_core::effect::{Effect, Scope};
use sandbook_core::target::{Facts, Resolved};
use serde_json::Value;

use super::Request;
use super::schema::{self, Presence, Shape};

/// Containers kept at the most: what a large fleet runs, at a few kilobytes each. A full store is emptied.
const CONTAINERS_MAX: usize = 10_000;

/// Entities that outlive a request, by container id.
#[derive(Debug, Default)]
pub(super) struct Cache {
    containers: RwLock<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    host: String,
    name: String,
    facts: Facts,
    entities: Entities,
}

/// What an effect is about, as Cedar sees it.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) uid: EntityUid,
    pub(super) entities: Entities,
}

/// Where an egress effect goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    /// In its one spelling.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// As an operator would list it.
    pub(super) listed: String,
}

pub(super) fn uid(kind: &str, id: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().expect("entity types are plain words of the schema");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn entity<'a>(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = (&'a str, RestrictedExpression)>,
    parents: Option<EntityUid>,
    tags: &BTreeMap<String, String>,
) -> Result<Entity, String> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
    let tags = tags.iter().map(|(key, value)| (key.clone(), text(value)));
    Entity::new_with_tags(uid, attributes, parents, tags).map_err(|error| error.to_string())
}

fn alone(entity: Entity) -> Result<Entities, String> {
    Entities::from_entities([entity], None).map_err(|error| error.to_string())
}

impl Cache {
    /// The entity of the effect's target. A container that was not found is known by name alone, so that policy speaks
    /// of unknown and ungranted names alike.
    ///
    /// A message that names no channel is about the default one, so that a forbid on that channel covers it.
    pub(super) fn resource(
        &self,
        effect: &Effect,
        resolved: &Resolved,
        default_channel: Option<&str>,
    ) -> Result<Resource, String> {
        let none = BTreeMap::new();
        let (uid, attributes) = match effect.scope() {
            Scope::Container(_) => return self.container(resolved),
            Scope::Host => (uid("Host", &resolved.target.host), vec![("name", text(&resolved.target.host))]),
            Scope::Service(_) => {
                let (name, host) = (resolved.target.name.as_str(), resolved.target.host.as_str());
                let (project, service) = name.split_once('/').unwrap_or(("", name));
                let attributes = vec![
                    ("host", text(host)),
                    ("name", text(name)),
                    ("project", text(project)),
                    ("service", text(service)),
                ];
                (uid("Service", &resolved.target.handle()), attributes)
            }
            Scope::Part(part) => (uid(part.entity(), part.name()), Vec::new()),
            Scope::Url(url) => {
                let parsed = parse_url(url)?;
                let host = url_host(&parsed)?;
                let port = i64::from(parsed.port_or_known_default().unwrap_or_default());
                let attributes = vec![
                    ("scheme", text(parsed.scheme())),
                    ("host", text(&host)),
                    ("port", RestrictedExpression::new_long(port)),
                    ("path", text(parsed.path())),
                ];
                (uid("Url", url), attributes)
            }
            Scope::Net(host, port) => {
                let host = one_spelling(host)?;
                let mut attributes = vec![("host", text(&host))];
                attributes.extend(port.map(|port| ("port", RestrictedExpression::new_long(i64::from(port)))));
                (uid("NetHost", &host), attributes)
            }
            Scope::Channel(channel) => {
                let name = channel.or(default_channel).unwrap_or("");
                (uid("Channel", name), vec![("name", text(name))])
            }
            Scope::Metrics => (uid("Metrics", "metrics"), Vec::new()),
            Scope::Memory | Scope::Run => (uid("Run", "run"), Vec::new()),
        };
        let entities = alone(entity(uid.clone(), attributes, None, &none)?)?;
        Ok(Resource { uid, entities })
    }

    fn container(&self, resolved: &Resolved) -> Result<Resource, String> {
        let target = &resolved.target;
        let (Some(id), Some(facts)) = (&target.id, &resolved.facts) else {
            return container(resolved, resolved.facts.as_ref().unwrap_or(&Facts::default()));
        };
        let uid = uid("Container", id);
        let kept = self.containers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(id)
            && kept.name == target.name
            && kept.host == target.host
            && kept.facts == *facts
        {
            return Ok(Resource { uid, entities: kept.entities.clone() });
        }
        drop(kept);
        let resource = container(resolved, facts)?;
        let kept = Kept {
            host: target.host.clone(),
            name: target.name.clone(),
            facts: facts.clone(),
            entities: resource.entities.clone(),
        };
        let mut containers = self.containers.write().unwrap_or_else(PoisonError::into_inner);
        if containers.len() >= CONTAINERS_MAX {
            containers.clear();
        }
        containers.insert(id.clone(), kept);
        Ok(resource)
    }

    /// Drops what is kept of a container that is gone.
    pub(super) fn forget(&self, id: &str) {
        self.containers.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

fn container(resolved: &Resolved, facts: &Facts) -> Result<Resource, String> {
    let target = &resolved.target;
    let id = target.id.as_deref().unwrap_or("");
    let uid = if id.is_empty() { uid("Container", &target.handle()) } else { uid("Container", id) };
    let attributes = [
        ("name", text(&target.name)),
        ("id", text(id)),
        ("image", text(&facts.image)),
        ("host", text(&target.host)),
        ("project", text(facts.project.as_deref().unwrap_or(""))),
        ("service", text(facts.service.as_deref().unwrap_or(""))),
        ("state", text(&facts.state)),
    ];
    let entities = alone(entity(uid.clone(), attributes, None, &facts.labels)?)?;
    Ok(Resource { uid, entities })
}

/// The runbook that asks.
pub(super) fn principal(request: &Request<'_>) -> Result<Entity, String> {
    let attributes = [
        ("name", text(request.runbook)),
        ("digest", text(request.digest)),
        ("stage", text(request.stage.name())),
        ("origin", text(request.origin.name())),
    ];
    entity(uid("Runbook", request.runbook), attributes, None, &BTreeMap::new())
}

/// The effect as a member of its class.
pub(super) fn action(effect: &Effect) -> Result<Entity, String> {
    let class = uid("Action", effect.class().name());
    entity(uid("Action", effect.name()), [], Some(class), &BTreeMap::new())
}

/// The alert with its labels as tags.
pub(super) fn alert(request: &Request<'_>) -> Result<Entity, String> {
    let label = |name: &str| text(request.alert_labels.get(name).map_or("", String::as_str));
    let attributes = [("name", label("alertname")), ("severity", label("severity"))];
    entity(uid("Alert", "alert"), attributes, None, request.alert_labels)
}

/// Time, attempts, the alert's name and the arguments the schema knows.
pub(super) fn context(request: &Request<'_>) -> Result<Context, String> {
    let label = |name: &str| text(request.alert_labels.get(name).map_or("", String::as_str));
    let long = RestrictedExpression::new_long;
    let mut pairs = vec![
        ("alert".to_owned(), RestrictedExpression::new_entity_uid(uid("Alert", "alert"))),
        ("alertname".to_owned(), label("alertname")),
        ("severity".to_owned(), label("severity")),
        ("attempts".to_owned(), long(i64::try_from(request.attempts).unwrap_or(i64::MAX))),
        ("minute_of_day".to_owned(), long(i64::from(request.now.minute_of_day))),
        ("weekday".to_owned(), long(i64::from(request.now.weekday))),
    ];
    let mut known = schema::arguments(request.effect.name()).peekable();
    if known.peek().is_some() {
        let arguments = request.effect.arguments();
        for argument in known {
            let value = arguments.pointer(argument.pointer).filter(|value| !value.is_null());
            let value = match (value, argument.presence) {
                (Some(value), _) => shaped(argument.shape, value)
                    .ok_or_else(|| format!("argument {} cannot be put to policy: {value}", argument.name))?,
                (None, Presence::Default(value)) => text(value),
                (None, Presence::Optional) => continue,
                (None, Presence::Always) => return Err(format!("argument {} is missing", argument.name)),
            };
            pairs.push((argument.name.to_owned(), value));
        }
    }
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}

fn shaped(shape: Shape, value: &Value) -> Option<RestrictedExpression> {
    match shape {
        Shape::Text => value.as_str().map(text),
        Shape::Signal => value.as_str().map(|signal| text(&signal_name(signal))),
        Shape::Long => value.as_i64().map(RestrictedExpression::new_long),
        // Requests are validated before: at most 4,096 CPUs, far inside what both types hold exactly.
        Shape::Thousandths => value
            .as_f64()
            .filter(|number| number.is_finite() && number.abs() < 1e12)
            .map(|number| RestrictedExpression::new_long((number * 1000.0).round() as i64)),
        Shape::Changes => {
            let options: RecreateOptions = serde_json::from_value(value.clone()).ok()?;
            Some(RestrictedExpression::new_set(options.changes().into_iter().map(text)))
        }
        Shape::Texts => {
            let items: Option<Vec<_>> = value.as_array()?.iter().map(|item| item.as_str().map(text)).collect();
            items.map(RestrictedExpression::new_set)
        }
    }
}

/// Linux signals 1 to 31, as Docker numbers them.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

fn signal_name(signal: &str) -> String {
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = name.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    match (number.and_then(|index| SIGNALS.get(index)), name) {
        (Some(name), _) => (*name).to_owned(),
        (None, "IOT") => "ABRT".to_owned(),
        (None, "CLD") => "CHLD".to_owned(),
        (None, "POLL") => "IO".to_owned(),
        (None, other) => other.to_owned(),
    }
}

/// Where an effect goes, if it is about a URL or a network host.
pub(super) fn destination(effect: &Effect) -> Option<Result<Destination, String>> {
    match effect.scope() {
        Scope::Url(url) => Some(url_destination(url)),
        Scope::Net(host, port) => Some(one_spelling(host).map(|host| {
            let listed = port.map_or_else(|| host.clone(), |port| format!("{}:{port}", bracketed(&host)));
            Destination { host, port, listed }
        })),
        Scope::Container(_)
        | Scope::Host
        | Scope::Service(_)
        | Scope::Channel(_)
        | Scope::Memory
        | Scope::Metrics
        | Scope::Part(_)
        | Scope::Run => None,
    }
}

fn url_destination(url: &str) -> Result<Destination, String> {
    let parsed = parse_url(url)?;
    let host = url_host(&parsed)?;
    let listed = parsed.port().map_or_else(|| host.clone(), |port| format!("{}:{port}", bracketed(&host)));
    Ok(Destination { port: parsed.port_or_known_default(), host, listed })
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn parse_url(url: &str) -> Result<url::Url, String> {
    let parsed = url::Url::parse(url).map_err(|error| format!("url {url:?} cannot be read: {error}"))?;
    match parsed.scheme() {
        "http" | "https" => Ok(parsed),
        other => Err(format!("url {url:?} has scheme `{other}`, only http and https are possible")),
    }
}

fn url_host(url: &url::Url) -> Result<String, String> {
    let host = url.host().ok_or_else(|| format!("url {:?} has no host", url.as_str()))?;
    Ok(plain(&host.to_owned()))
}

fn one_spelling(host: &str) -> Result<String, String> {
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    let parsed = url::Host::parse(host).map_err(|error| format!("host {host:?} cannot be read: {error}"))?;
    Ok(plain(&parsed))
}

fn plain(host: &url::Host<String>) -> String {
    match host {
        url::Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
        url::Host::Ipv4(address) => address.to_string(),
        url::Host::Ipv6(address) => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_spelling() {
        for (written, one) in [
            ("Web-1", "web-1"),
            ("web-1.", "web-1"),
            ("my_db", "my_db"),
            ("127.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("::1", "::1"),
            ("[0:0::1]", "::1"),
        ] {
            assert_eq!(one_spelling(written).as_deref(), Ok(one), "{written}");
        }
        assert!(one_spelling("a b").is_err() && one_spelling("").is_err());
        let there = |url: &str| url_destination(url).expect("a url");
        assert_eq!(there("http://WEB.:8080/x").listed, "web:8080");
        assert_eq!((there("https://web/x").listed.as_str(), there("https://web/x").port), ("web", Some(443)));
        assert_eq!(there("http://[::1]:81/").listed, "[::1]:81");
        assert!(url_destination("file:///etc/passwd").is_err());
    }

    #[test]
    fn signals_have_one_name() {
        for signal in ["KILL", "kill", "SIGKILL", "9", "09", "+9"] {
            assert_eq!(signal_name(signal), "KILL", "{signal}");
        }
        assert_eq!(signal_name("RTMIN+3"), "RTMIN+3");
        assert_eq!(signal_name("0"), "0");
    }
}
