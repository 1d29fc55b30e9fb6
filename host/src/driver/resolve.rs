//! From what a guest wrote to who is meant: canonical target, subject, facts and pre-image, looked up afresh.
//!
//! Deliberately not here: whether the guest may know. The gate makes unknown and ungranted names answer alike.

use sandbook_core::effect::Scope;
use sandbook_core::effect::docker::ContainerFilter;
use sandbook_core::error::Error;
use sandbook_core::target::{Facts, Kind, Resolved, Target};

use super::Live;

impl Live {
    /// Who an effect's scope means, for a run on `own_host`.
    ///
    /// A container is `name`, an id, `project/service`, or each of these after `host/` where the first part is a
    /// configured host. Errors: `not-found`; `invalid` for a service with several containers, listing them, and for
    /// what is no name or URL; `failed` or `timeout` when the engine does not answer.
    pub async fn resolve(&self, own_host: &str, scope: &Scope<'_>) -> Result<Resolved, Error> {
        match scope {
            Scope::Container(reference) => self.resolve_container(own_host, reference).await,
            Scope::Host => Ok(plain(own_host, Kind::Host, self.host(own_host)?.name(), own_host)),
            Scope::Service(reference) => self.resolve_service(own_host, reference).await,
            Scope::Part(part) => Ok(plain(own_host, Kind::None, part.name(), part.name())),
            Scope::Url(text) => {
                let url = url::Url::parse(text).map_err(|error| Error::invalid(format!("url `{text}`: {error}")))?;
                let host = url.host_str().ok_or_else(|| Error::invalid(format!("url `{text}` has no host")))?;
                let place = match url.port_or_known_default() {
                    Some(port) => format!("{host}:{port}"),
                    None => host.to_owned(),
                };
                Ok(plain(own_host, Kind::None, &place, &format!("net/{place}")))
            }
            Scope::Net(host, port) => {
                let host = host.to_lowercase();
                let place = match port {
                    Some(port) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
                    Some(port) => format!("{host}:{port}"),
                    None => host,
                };
                Ok(plain(own_host, Kind::None, &place, &format!("net/{place}")))
            }
            Scope::Channel(name) => {
                let name = self.notifier.channel(*name)?;
                Ok(plain(own_host, Kind::None, name, &format!("channel/{name}")))
            }
            Scope::Memory => Ok(plain(own_host, Kind::None, "memory", "memory")),
            Scope::Metrics => Ok(plain(own_host, Kind::None, "metrics", "metrics")),
            Scope::Run => Ok(plain(own_host, Kind::None, "run", "run")),
        }
    }

    /// A service on that host: of compose by its containers, else of the swarm by its name.
    async fn resolve_service(&self, own_host: &str, reference: &str) -> Result<Resolved, Error> {
        let (host, name) = match reference.split_once('/') {
            Some((host, name)) if self.hosts.contains_key(host) => (host, name),
            Some(_) | None => (own_host, reference),
        };
        self.host(host)?.service(name).await?.resolved(host)
    }

    /// Names of the containers of a compose service `project/service`, running or not, on that host.
    pub async fn members(&self, host: &str, service: &str) -> Result<Vec<String>, Error> {
        let (project, service) = match service.split_once('/') {
            Some((project, service)) => (Some(project.to_owned()), service.to_owned()),
            None => (None, service.to_owned()),
        };
        let filter = ContainerFilter { all: Some(true), project, service: Some(service), ..ContainerFilter::default() };
        Ok(self.host(host)?.list(&filter).await?.into_iter().map(|member| member.name).collect())
    }

    /// Subjects of the containers that depend on one. Errors: `not-found`, `failed`.
    pub async fn dependents_of(&self, host: &str, id: &str) -> Result<Vec<String>, Error> {
        self.host(host)?.dependent_subjects(id).await
    }

    /// Whether a name on that host means a container this engine runs in. False where nobody can tell.
    pub async fn is_own(&self, host: &str, name: &str) -> bool {
        match self.host(host) {
            Ok(host) => host.is_own(name).await,
            Err(_) => false,
        }
    }

    async fn resolve_container(&self, own_host: &str, reference: &str) -> Result<Resolved, Error> {
        let reference = reference.strip_prefix('/').unwrap_or(reference);
        let (host, name) = match reference.split_once('/') {
            Some((host, name)) if self.hosts.contains_key(host) => (host, name),
            Some(_) | None => (own_host, reference),
        };
        let engine = self.host(host)?;
        let found = engine.find(name).await?;
        let shield = engine.shield(&found).await?;
        let stop = engine.stop_of(&found.id, &found.state, &found.restart_policy).await;
        let before = serde_json::to_value(&found.state)
            .map_err(|error| Error::failed(format!("the state of `{name}` cannot be written: {error}")))?;
        Ok(Resolved {
            subject: found.facts.subject(host, &found.name),
            target: Target { host: host.to_owned(), kind: Kind::Container, name: found.name, id: Some(found.id) },
            facts: Some(Facts { shield, stop, ..found.facts }),
            before: Some(before),
        })
    }
}

fn plain(host: &str, kind: Kind, name: &str, subject: &str) -> Resolved {
    Resolved {
        target: Target { host: host.to_owned(), kind, name: name.to_owned(), id: None },
        subject: subject.to_owned(),
        facts: None,
        before: None,
    }
}
