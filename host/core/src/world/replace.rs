//! What effects make and unmake: recreating and removing containers, how many a service has, and their networks.
//!
//! Deliberately not here: the sub-steps of a recreation. Here it happens at once or not at all, as a runbook sees it.

use super::changes::{conflict, created};
use super::moment::rfc3339;
use super::{Container, Seat, World, settle};
use crate::effect::Scope;
use crate::effect::docker::{
    ConnectOptions, Dependency, FileChanges, Health, NetworkChange, RUNS_FOR_MS, RecreateOptions, Recreated, Removed,
    Scaled, Status,
};
use crate::error::Error;
use crate::service::{self, Member, Standing};
use crate::target::{LABEL_NUMBER, Resolved};

/// Between two looks at a new instance, in milliseconds.
const LOOK_MS: u64 = 100;
/// How long Docker takes to make or remove a container, in milliseconds.
const MAKE_MS: u64 = 20;

impl World {
    pub(super) fn recreate(&mut self, seat: &Seat, options: &RecreateOptions) -> Result<Recreated, Error> {
        let old = self.seated(seat)?.clone();
        if matches!(old.status, Status::Removing | Status::Dead) {
            return Err(conflict(seat, "it is marked for removal"));
        }
        if old.status == Status::Paused {
            return Err(conflict(seat, "it is paused, unpause it first"));
        }
        let shares = |one: &crate::effect::docker::Dependent| one.why == Dependency::SharesNetwork;
        if let Some(sharer) = self.dependents(seat)?.iter().find(|one| shares(one)) {
            return Err(conflict(seat, &format!("`{}` shares its network and would lose it", sharer.name)));
        }
        self.check_image(&seat.host, options.image.as_deref())?;
        let new = self.successor(seat, &old, options)?;
        let ran = !matches!(old.status, Status::Created | Status::Exited);
        self.end(seat, options.grace_ms)?;
        let stopped = self.replace(seat, new.clone());
        match self.begin(seat).and_then(|()| self.await_well(seat, options.healthy_within_ms())) {
            Ok(()) => {
                let state = self.seated(seat)?.state();
                Ok(Recreated { name: old.name, id: new.id, old_id: old.id, image: new.image, state })
            }
            Err(error) => {
                if let Some(stopped) = stopped {
                    self.replace(seat, stopped);
                }
                let back = if ran { self.begin(seat) } else { Ok(()) };
                let end = match back {
                    Ok(()) => "the old container is back".to_owned(),
                    Err(back) => format!("the old container is back, but does not start: {}", back.message),
                };
                Err(Error::failed(format!("{}/{}: {}; {end}", seat.host, seat.name, error.message)))
            }
        }
    }

    fn replace(&mut self, seat: &Seat, container: Container) -> Option<Container> {
        self.advance(MAKE_MS);
        self.hosts.get_mut(&seat.host)?.containers.insert(seat.name.clone(), container)
    }

    /// The new instance before its start.
    fn successor(&self, seat: &Seat, old: &Container, options: &RecreateOptions) -> Result<Container, Error> {
        let mut new = fresh(old, &seat.host, self.now_ms);
        if let Some(image) = &options.image {
            new.image.clone_from(image);
            new.image_id = self.image_named(&seat.host, image).map(super::disk::image_id).unwrap_or_default();
        }
        for name in options.environment.iter().flat_map(|all| all.keys()) {
            if !new.environment_names.contains(name) {
                new.environment_names.push(name.clone());
            }
        }
        new.environment_names.retain(|name| !options.remove_environment.iter().flatten().any(|gone| gone == name));
        if let Some(command) = &options.command {
            new.command.clone_from(command);
        }
        for mount in options.mounts.iter().flatten() {
            new.mounts.retain(|known| known.destination != mount.destination);
            new.mounts.push(crate::effect::docker::Mount {
                kind: match mount.kind {
                    crate::effect::docker::MountKind::Bind => "bind".to_owned(),
                    crate::effect::docker::MountKind::Volume => "volume".to_owned(),
                    crate::effect::docker::MountKind::Tmpfs => "tmpfs".to_owned(),
                },
                source: mount.source.clone().unwrap_or_default(),
                destination: mount.destination.clone(),
                writable: mount.writable.unwrap_or(true),
            });
        }
        new.mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
        new.labels.extend(options.labels.clone().unwrap_or_default());
        new.labels.retain(|key, _| !options.remove_labels.iter().flatten().any(|gone| gone == key));
        if let Some(limits) = &options.limits {
            new.limits = created(new.limits, limits)?;
        }
        if let Some(other) = &options.network_of {
            if !new.network_mode.starts_with("container:") {
                return Err(Error::invalid("network_of is for a container that shares another's network already"));
            }
            let (_, other) = self.find(&seat.host, other)?;
            new.network_mode = format!("container:{}", other.id);
        }
        settle::fill(&mut new, &seat.host, self.now_ms);
        Ok(new)
    }

    fn image_named(&self, host: &str, image: &str) -> Option<&super::HostImage> {
        let mut images = self.hosts.get(host)?.images.iter();
        images.find(|one| one.id == image || one.tags.iter().any(|tag| super::disk::tagged(tag, image)))
    }

    fn check_image(&self, host: &str, image: Option<&str>) -> Result<(), Error> {
        let (Some(image), Some(of)) = (image, self.hosts.get(host)) else { return Ok(()) };
        let (known, host) = (self.image_named(host, image).is_some(), of);
        let used = host.containers.values().any(|container| container.image == image);
        if host.images.is_empty() || known || used {
            return Ok(());
        }
        Err(Error::not_found(format!("image `{image}` is not on the host; pull it first, or name one of list-images")))
    }

    /// Waits until an instance is well: healthy, or without a check running for a while.
    fn await_well(&mut self, seat: &Seat, within_ms: u64) -> Result<(), Error> {
        let until = self.now_ms.saturating_add(within_ms);
        let runs_until = self.now_ms.saturating_add(RUNS_FOR_MS.min(within_ms));
        loop {
            let container = self.look(seat)?;
            let (status, health, code) = (container.status, container.health, container.exit_code.unwrap_or_default());
            match (status, health) {
                (Status::Running, Health::Healthy) => return Ok(()),
                (Status::Running, Health::None) if self.now_ms >= runs_until => return Ok(()),
                (Status::Running, Health::Unhealthy) => return Err(Error::failed("the new container is unhealthy")),
                (Status::Running, Health::None | Health::Starting) if self.now_ms < until => self.advance(LOOK_MS),
                (Status::Running, _) => {
                    return Err(Error::failed(format!("the new container is not healthy within {within_ms} ms")));
                }
                (
                    Status::Created
                    | Status::Paused
                    | Status::Restarting
                    | Status::Removing
                    | Status::Exited
                    | Status::Dead,
                    _,
                ) => {
                    return Err(Error::failed(format!("the new container ended with exit code {code}")));
                }
            }
        }
    }

    /// `docker rm`, volumes stay.
    pub(super) fn remove(&mut self, seat: &Seat, force: bool) -> Result<Removed, Error> {
        let container = self.seated(seat)?;
        let (name, id) = (container.name.clone(), container.id.clone());
        let runs = matches!(container.status, Status::Running | Status::Paused | Status::Restarting);
        if runs && !force {
            return Err(conflict(seat, "it runs; stop it first, or say force"));
        }
        if runs {
            self.kill(seat, None)?;
        }
        self.take_away(seat);
        Ok(Removed { name, id })
    }

    fn take_away(&mut self, seat: &Seat) {
        self.advance(MAKE_MS);
        if let Some(host) = self.hosts.get_mut(&seat.host) {
            host.containers.remove(&seat.name);
        }
        self.note_event(seat, "destroy", None);
    }

    pub(super) fn scale(
        &mut self,
        scope: &Scope<'_>,
        resolved: Option<&Resolved>,
        replicas: u32,
        grace_ms: Option<u64>,
    ) -> Result<Scaled, Error> {
        let own_host = self.host_of(resolved);
        let found = match resolved {
            Some(resolved) => self.resolve(&own_host, &Scope::Service(&resolved.target.name))?,
            None => self.resolve(&own_host, scope)?,
        };
        let standing = Standing::of(&found).ok_or_else(|| Error::failed("the service cannot be read"))?;
        let (host, before) = (found.target.host, standing.replicas);
        let mut done =
            Scaled { changed: before != replicas, before, after: replicas, created: vec![], removed: vec![] };
        if standing.swarm.is_some() {
            if let Some(of) = self.hosts.get_mut(&host) {
                of.services.insert(standing.name, replicas);
            }
            return Ok(done);
        }
        let members = self.members(&host, &standing);
        let todo = service::steps(&members, replicas);
        let model = members.first().ok_or_else(|| Error::not_found("the service has no container to go by"))?;
        for number in todo.create {
            let name = service::name_of(model, number);
            self.make_replica(&host, model, &name, number)?;
            done.created.push(name);
        }
        for name in todo.remove {
            let seat = Seat { host: host.clone(), name: name.clone() };
            self.end(&seat, grace_ms)?;
            self.take_away(&seat);
            done.removed.push(name);
        }
        Ok(done)
    }

    fn members(&self, host: &str, standing: &Standing) -> Vec<Member> {
        let containers = standing.members.iter().filter_map(|name| self.container(host, name));
        containers.filter_map(|container| self.member(host, container)).collect()
    }

    fn make_replica(&mut self, host: &str, model: &Member, name: &str, number: u32) -> Result<(), Error> {
        let model = self.seated(&Seat { host: host.to_owned(), name: model.name.clone() })?.clone();
        let mut new = fresh(&model, host, self.now_ms);
        name.clone_into(&mut new.name);
        new.id = settle::derive_id(host, name, 0);
        new.generation = 0;
        new.labels.insert(LABEL_NUMBER.to_owned(), number.to_string());
        let seat = Seat { host: host.to_owned(), name: name.to_owned() };
        self.replace(&seat, new);
        self.begin(&seat)
    }

    pub(super) fn connect(
        &mut self,
        seat: &Seat,
        network: &str,
        _options: &ConnectOptions,
    ) -> Result<NetworkChange, Error> {
        let known = self.hosts.get(&seat.host).is_some_and(|host| {
            let used = host.containers.values().any(|container| container.networks.iter().any(|one| one == network));
            used || host.networks.iter().any(|one| one == network) || matches!(network, "bridge" | "none" | "host")
        });
        if !known {
            return Err(Error::not_found(format!("network {network} not found")));
        }
        let container = self.seated(seat)?;
        if container.network_mode.starts_with("container:") {
            return Err(Error::failed(
                "container sharing network namespace with another container cannot be connected to any other network",
            ));
        }
        let changed = !container.networks.iter().any(|one| one == network);
        let private = |name: &str| matches!(name, "none" | "host");
        if changed && (private(network) || container.networks.iter().any(|one| private(one))) {
            return Err(Error::failed(format!(
                "{}/{}: a container on network none or host cannot be connected to any other, nor any other to these",
                seat.host, seat.name
            )));
        }
        if changed {
            container.networks.push(network.to_owned());
            container.networks.sort();
        }
        Ok(NetworkChange { changed, networks: container.networks.clone() })
    }

    pub(super) fn disconnect(&mut self, seat: &Seat, network: &str) -> Result<NetworkChange, Error> {
        let container = self.seated(seat)?;
        let changed = container.networks.iter().any(|one| one == network);
        container.networks.retain(|one| one != network);
        Ok(NetworkChange { changed, networks: container.networks.clone() })
    }

    pub(super) fn file_changes(&self, seat: &Seat) -> Result<FileChanges, Error> {
        let mut changes = self.look(seat)?.changes.clone();
        let truncated = changes.len() > crate::effect::docker::FILE_CHANGES_MAX;
        changes.truncate(crate::effect::docker::FILE_CHANGES_MAX);
        Ok(FileChanges { changes, truncated })
    }
}

/// The same configuration as a container that was never started.
fn fresh(old: &Container, host: &str, now_ms: u64) -> Container {
    let generation = old.generation + 1;
    Container {
        id: settle::derive_id(host, &old.name, generation),
        generation,
        status: Status::Created,
        health: Health::None,
        exit_code: None,
        oom_killed: false,
        error: String::new(),
        started_at: None,
        finished_at: None,
        restart_count: 0,
        health_log: Vec::new(),
        created_at: rfc3339(now_ms),
        logs: Vec::new(),
        log_bytes: 0,
        changes: Vec::new(),
        logs_forgotten: 0,
        due: Vec::new(),
        backoff_ms: 0,
        stopped_by_hand: false,
        frozen: None,
        ..old.clone()
    }
}
