//! Which container, host or other thing a reference means. Unknown and ambiguous are errors, never a guess.
//!
//! Deliberately not here: suggestions of similar names. A name that is unknown and one that is not granted answer
//! alike, so a probing runbook learns nothing.

use std::collections::BTreeMap;

use super::{Container, Seat, World, settle};
use crate::depend::{self, Node};
use crate::effect::Scope;
use crate::error::Error;
use crate::service::{self, Member, Standing};
use crate::target::{Kind, LABEL_SELF, Reference, Resolved, Target, labelled};

/// Digits of an id that are enough to name a container: what `docker ps` prints.
const ID_PREFIX_MIN: usize = 12;

impl World {
    /// What a scope means for a run whose own Docker host is `own_host`. Containers carry their facts, and their state
    /// as `before`; everything else has a name and nothing more.
    pub fn resolve(&self, own_host: &str, scope: &Scope<'_>) -> Result<Resolved, Error> {
        match scope {
            Scope::Container(text) => {
                let (host, container) = self.find(own_host, text)?;
                self.resolved_container(host, container)
            }
            Scope::Host => {
                if !self.hosts.contains_key(own_host) {
                    return Err(Error::not_found(format!("there is no Docker host `{own_host}`")));
                }
                let target = target(own_host, Kind::Host, own_host);
                Ok(Resolved { target, subject: own_host.to_owned(), facts: None, before: None })
            }
            Scope::Service(text) => self.resolve_service(own_host, text),
            Scope::Part(part) => Ok(plain(own_host, "engine", part.name())),
            Scope::Url(url) => {
                let place = super::outside::Place::of_url(url)?;
                Ok(plain(own_host, "net", &place.written()))
            }
            Scope::Net(name, Some(port)) => Ok(plain(own_host, "net", &format!("{name}:{port}"))),
            Scope::Net(name, None) => Ok(plain(own_host, "net", name)),
            Scope::Channel(channel) => Ok(plain(own_host, "channel", channel.unwrap_or(super::ambient::ESCALATION))),
            Scope::Memory => Ok(plain(own_host, "engine", "memory")),
            Scope::Metrics => Ok(plain(own_host, "engine", "metrics")),
            Scope::Run => Ok(plain(own_host, "engine", "run")),
        }
    }

    /// The one container a reference means: `name`, an id or its beginning, `host/name`, `project/service` or
    /// `host/project/service`.
    pub(super) fn find<'a>(&'a self, own_host: &'a str, text: &str) -> Result<(&'a str, &'a Container), Error> {
        let lost = || Error::not_found(format!("there is no container `{text}`, seen from host `{own_host}`"));
        let reference = Reference::parse(text);
        let Some(first) = reference.host.as_deref() else {
            return self.on_host(own_host, &reference.name)?.ok_or_else(lost);
        };
        if let Some((project, service)) = reference.name.split_once('/') {
            if service.contains('/') {
                return Err(Error::invalid(format!("`{text}` has too many parts: host/project/service at the most")));
            }
            return self.of_service(first, project, service)?.ok_or_else(lost);
        }
        if let Some(found) = self.on_host(first, &reference.name)? {
            return Ok(found);
        }
        self.of_service(own_host, first, &reference.name)?.ok_or_else(lost)
    }

    /// By id, name, the beginning of an id, or the name of a service of any project, in that order.
    fn on_host(&self, host: &str, name: &str) -> Result<Option<(&str, &Container)>, Error> {
        let Some((host, of)) = self.hosts.get_key_value(host) else { return Ok(None) };
        settle::check_name("container", name).map_err(Error::invalid)?;
        let all = || of.containers.values();
        if let Some(found) = all().find(|c| c.id == name).or_else(|| of.containers.get(name)) {
            return Ok(Some((host, found)));
        }
        let begins = |c: &&Container| name.len() >= ID_PREFIX_MIN && c.id.starts_with(name);
        let meant: Vec<&Container> = all().filter(begins).collect();
        if !meant.is_empty() {
            return one(host, name, meant);
        }
        one(host, name, all().filter(|c| c.facts().service.as_deref() == Some(name)).collect())
    }

    fn of_service(&self, host: &str, project: &str, service: &str) -> Result<Option<(&str, &Container)>, Error> {
        let Some((host, of)) = self.hosts.get_key_value(host) else { return Ok(None) };
        let matches = |c: &&Container| {
            let facts = c.facts();
            facts.project.as_deref() == Some(project) && facts.service.as_deref() == Some(service)
        };
        one(host, &format!("{project}/{service}"), of.containers.values().filter(matches).collect())
    }

    /// The container an effect is performed on: the resolved instance, else what the reference means now.
    pub(super) fn seat(&self, scope: &Scope<'_>, resolved: Option<&Resolved>) -> Result<Seat, Error> {
        let Scope::Container(text) = scope else { return Err(Error::invalid("this effect is about no container")) };
        let own_host = self.host_of(resolved);
        let Some(id) = resolved.and_then(|resolved| resolved.target.id.as_deref()) else {
            let (host, container) = self.find(&own_host, text)?;
            return Ok(Seat { host: host.to_owned(), name: container.name.clone() });
        };
        let found = self.hosts.get(&own_host).and_then(|host| host.containers.values().find(|c| c.id == id));
        let gone =
            || Error::not_found(format!("no such container: {own_host}/{text} ({})", id.get(..12).unwrap_or(id)));
        found.map(|container| Seat { host: own_host.clone(), name: container.name.clone() }).ok_or_else(gone)
    }

    fn resolved_container(&self, host: &str, container: &Container) -> Result<Resolved, Error> {
        let mut facts = container.facts();
        facts.shield = self.shield(host, &container.id).or(facts.shield);
        let before = serde_json::to_value(container.state()).map_err(|error| Error::failed(error.to_string()))?;
        let mut target = target(host, Kind::Container, &container.name);
        target.id = Some(container.id.clone());
        let subject = facts.subject(host, &container.name);
        Ok(Resolved { target, subject, facts: Some(facts), before: Some(before) })
    }

    /// The one service a reference means: `service`, `project/service`, each after `host/`, or a swarm service by name.
    fn resolve_service(&self, own_host: &str, text: &str) -> Result<Resolved, Error> {
        let lost = || Error::not_found(format!("there is no service `{text}`, seen from host `{own_host}`"));
        let (host, name) = match text.split_once('/') {
            Some((host, name)) if self.hosts.contains_key(host) => (host, name),
            Some(_) | None => (own_host, text),
        };
        let of = self.hosts.get(host).ok_or_else(lost)?;
        let members: Vec<Member> = of.containers.values().filter_map(|c| self.member(host, c)).collect();
        let standing = service::named(&members, name)?;
        match (standing, of.services.get(name)) {
            (Some(standing), _) => standing.resolved(host),
            (None, Some(replicas)) => Standing::swarm(name, None, *replicas).resolved(host),
            (None, None) => Err(lost()),
        }
    }

    pub(super) fn member(&self, host: &str, container: &Container) -> Option<Member> {
        let mut facts = container.facts();
        facts.shield = self.shield(host, &container.id).or(facts.shield);
        Member::new(&container.name, &container.id, facts)
    }

    /// What the engine needs to live is known by label only: no simulated engine runs in a simulated container.
    fn shield(&self, host: &str, id: &str) -> Option<String> {
        let own = |labels: &BTreeMap<String, String>| labelled(labels, LABEL_SELF);
        let containers = &self.hosts.get(host)?.containers;
        if !containers.values().any(|container| own(&container.labels)) {
            return None;
        }
        let nodes: Vec<Node> = containers.values().map(Container::node).collect();
        depend::shields(&nodes, |node| own(&node.labels)).remove(id)
    }

    /// The host something was resolved on; where nothing was, `local`, else a world's first.
    pub(super) fn host_of(&self, resolved: Option<&Resolved>) -> String {
        let local = || self.hosts.get_key_value("local").or(self.hosts.first_key_value());
        match resolved {
            Some(resolved) => resolved.target.host.clone(),
            None => local().map_or_else(|| "local".to_owned(), |(name, _)| name.clone()),
        }
    }
}

fn one<'a>(host: &'a str, name: &str, found: Vec<&'a Container>) -> Result<Option<(&'a str, &'a Container)>, Error> {
    match found.as_slice() {
        [] => Ok(None),
        [container] => Ok(Some((host, container))),
        several => {
            let names: Vec<String> = several.iter().map(|c| format!("{host}/{}", c.name)).collect();
            let count = names.len();
            Err(Error::invalid(format!("`{name}` means {count} containers, name one: {}", names.join(", "))))
        }
    }
}

fn target(host: &str, kind: Kind, name: &str) -> Target {
    Target { host: host.to_owned(), kind, name: name.to_owned(), id: None }
}

fn plain(own_host: &str, domain: &str, name: &str) -> Resolved {
    let target = target(own_host, Kind::None, name);
    Resolved { target, subject: format!("{domain}/{name}"), facts: None, before: None }
}
