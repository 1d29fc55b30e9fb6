//! Reads of containers: listings, details, samples, who depends on whom, and what happened lately.
//!
//! Deliberately not here: changing anything. Reads take no virtual time.

use std::collections::BTreeSet;

use super::container::Container;
use super::moment::parse_rfc3339;
use super::{Seat, World, settle};
use crate::effect::docker::{
    ContainerDetails, ContainerFilter, ContainerSummary, Dependent, EVENTS_DEFAULT, EVENTS_SINCE_MS_DEFAULT, Event,
    EventFilter, Health, PROCESSES_MAX, Processes, Stats, Status,
};
use crate::error::Error;

impl World {
    pub(super) fn look(&self, seat: &Seat) -> Result<&Container, Error> {
        let lost = || Error::not_found(format!("no such container: {}/{}", seat.host, seat.name));
        self.container(&seat.host, &seat.name).ok_or_else(lost)
    }

    /// Every container of a host, also those that do not run.
    ///
    /// # Errors
    /// `not-found` when there is no such host.
    pub fn containers(&self, host: &str) -> Result<Vec<ContainerSummary>, Error> {
        self.list(host, &ContainerFilter { all: Some(true), ..ContainerFilter::default() })
    }

    pub(super) fn list(&self, host: &str, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error> {
        let of = self.hosts.get(host).ok_or_else(|| Error::not_found(format!("there is no Docker host `{host}`")))?;
        let pattern = match &filter.name {
            Some(name) => Some(
                globset::Glob::new(name).map_err(|error| Error::invalid(format!("name: {error}")))?.compile_matcher(),
            ),
            None => None,
        };
        let wanted = |container: &&Container| {
            let facts = container.facts();
            let runs = matches!(container.status, Status::Running | Status::Paused | Status::Restarting);
            let labelled = |label: &String| match label.split_once('=') {
                Some((key, value)) => facts.labels.get(key).is_some_and(|found| found == value),
                None => facts.labels.contains_key(label),
            };
            (runs || filter.all == Some(true))
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(&container.name))
                && filter.labels.iter().flatten().all(labelled)
                && filter.project.as_ref().is_none_or(|project| facts.project.as_ref() == Some(project))
                && filter.service.as_ref().is_none_or(|service| facts.service.as_ref() == Some(service))
        };
        Ok(of.containers.values().filter(wanted).map(|container| self.summary(host, container)).collect())
    }

    fn summary(&self, host: &str, container: &Container) -> ContainerSummary {
        let facts = container.facts();
        ContainerSummary {
            name: container.name.clone(),
            id: container.id.clone(),
            host: host.to_owned(),
            image: container.image.clone(),
            status: container.status,
            status_text: self.status_text(container),
            project: facts.project,
            service: facts.service,
        }
    }

    /// As `docker ps` words it.
    fn status_text(&self, container: &Container) -> String {
        let since = |at: &Option<String>| {
            let at_ms = at.as_deref().and_then(parse_rfc3339).unwrap_or(self.now_ms);
            human(self.now_ms.saturating_sub(at_ms) / 1_000)
        };
        let code = container.exit_code.unwrap_or(0);
        match container.status {
            Status::Created => "Created".to_owned(),
            Status::Running => {
                let health = match container.health {
                    Health::None => "",
                    Health::Starting => " (health: starting)",
                    Health::Healthy => " (healthy)",
                    Health::Unhealthy => " (unhealthy)",
                };
                format!("Up {}{health}", since(&container.started_at))
            }
            Status::Paused => format!("Up {} (Paused)", since(&container.started_at)),
            Status::Restarting => format!("Restarting ({code}) {} ago", since(&container.finished_at)),
            Status::Removing => "Removal In Progress".to_owned(),
            Status::Exited => format!("Exited ({code}) {} ago", since(&container.finished_at)),
            Status::Dead => "Dead".to_owned(),
        }
    }

    /// Everything there is to know of a container. Errors: `not-found`.
    pub fn details(&self, host: &str, name: &str) -> Result<ContainerDetails, Error> {
        self.inspect(&Seat { host: host.to_owned(), name: name.to_owned() })
    }

    pub(super) fn inspect(&self, seat: &Seat) -> Result<ContainerDetails, Error> {
        let container = self.look(seat)?;
        let (facts, c) = (container.facts(), container.clone());
        Ok(ContainerDetails {
            state: container.state(),
            name: c.name,
            id: c.id,
            host: seat.host.clone(),
            image: c.image,
            image_id: c.image_id,
            health_log: c.health_log,
            created_at: c.created_at,
            command: c.command,
            environment_names: c.environment_names,
            labels: c.labels,
            project: facts.project,
            service: facts.service,
            restart_policy: c.restart_policy,
            network_mode: c.network_mode,
            networks: c.networks,
            mounts: c.mounts,
            limits: c.limits,
            has_healthcheck: c.has_healthcheck,
        })
    }

    fn running(&self, seat: &Seat) -> Result<&Container, Error> {
        let container = self.look(seat)?;
        match container.status {
            Status::Running | Status::Paused => Ok(container),
            Status::Created | Status::Restarting | Status::Removing | Status::Exited | Status::Dead => {
                let word = super::container::status_word(container.status);
                Err(Error::conflict(format!("container {}/{} is not running but {word}", seat.host, seat.name)))
            }
        }
    }

    pub(super) fn stats(&self, seat: &Seat) -> Result<Stats, Error> {
        let container = self.running(seat)?;
        let mut stats = container.stats.clone();
        if stats.memory_limit_bytes == 0 {
            stats.memory_limit_bytes = container.limits.memory_bytes;
        }
        stats.pids = stats.pids.max(1);
        Ok(stats)
    }

    pub(super) fn processes(&self, seat: &Seat) -> Result<Processes, Error> {
        let container = self.running(seat)?;
        let mut processes = container.processes.clone();
        if processes.titles.is_empty() {
            processes.titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec();
        }
        if processes.rows.is_empty() && processes.titles.len() == 8 {
            let command = match container.command.as_slice() {
                [] => container.name.clone(),
                argv => argv.join(" "),
            };
            let row = ["root", "1", "0", "0", "00:00", "?", "00:00:00", &command];
            processes.rows = vec![row.map(str::to_owned).to_vec()];
        }
        processes.rows.truncate(PROCESSES_MAX);
        Ok(processes)
    }

    /// Who stops working when this container restarts, by name; one line a reason.
    pub(super) fn dependents(&self, seat: &Seat) -> Result<Vec<Dependent>, Error> {
        let container = self.look(seat)?;
        let Some(host) = self.hosts.get(&seat.host) else { return Ok(Vec::new()) };
        let node = container.node();
        // Ids this name had before it was recreated.
        let former: Vec<String> =
            (0..container.generation).map(|age| settle::derive_id(&seat.host, &container.name, age)).collect();
        let others = host.containers.values().filter(|other| other.name != container.name);
        Ok(others
            .flat_map(|other| {
                let reasons = node.needed_by(&other.node(), |id| former.iter().any(|old| old == id));
                reasons.into_iter().map(|why| Dependent {
                    name: other.name.clone(),
                    id: other.id.clone(),
                    why,
                    status: other.status,
                })
            })
            .collect())
    }

    /// Subjects of the containers that depend on one, each once, in order.
    pub fn dependents_of(&self, host: &str, id: &str) -> Result<Vec<String>, Error> {
        let lost = || Error::not_found(format!("no such container on {host}: {id}"));
        let of = self.hosts.get(host).ok_or_else(lost)?;
        let name = of.containers.values().find(|one| one.id == id).ok_or_else(lost)?.name.clone();
        let dependents = self.dependents(&Seat { host: host.to_owned(), name })?;
        let subject = |name: &String| Some(of.containers.get(name)?.facts().subject(host, name));
        let subjects: BTreeSet<String> = dependents.iter().filter_map(|one| subject(&one.name)).collect();
        Ok(subjects.into_iter().collect())
    }

    pub(super) fn recent_events(
        &self,
        host: &str,
        about: Option<&Seat>,
        filter: &EventFilter,
    ) -> Result<Vec<Event>, Error> {
        let host = about.map_or(host, |seat| seat.host.as_str());
        let of = self.hosts.get(host).ok_or_else(|| Error::not_found(format!("there is no Docker host `{host}`")))?;
        let since = self.now_ms.saturating_sub(filter.since_ms.unwrap_or(EVENTS_SINCE_MS_DEFAULT));
        let wanted = of
            .events
            .iter()
            .filter(|event| event.at.ms(self.now_ms) >= since && about.is_none_or(|seat| seat.name == event.container));
        let mut events: Vec<Event> = wanted
            .map(|event| Event {
                at: super::moment::rfc3339(event.at.ms(self.now_ms)),
                action: event.action.clone(),
                container: event.container.clone(),
                exit_code: event.exit_code,
            })
            .collect();
        let limit = usize::try_from(filter.limit.unwrap_or(EVENTS_DEFAULT)).unwrap_or(usize::MAX);
        events.drain(..events.len().saturating_sub(limit));
        Ok(events)
    }
}

/// A duration in Docker's words.
fn human(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1_800) / 3_600);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3_600 => format!("{minutes} minutes"),
        _ => match hours {
            0 | 1 => "About an hour".to_owned(),
            2..48 => format!("{hours} hours"),
            48..336 => format!("{} days", hours / 24),
            336..1_440 => format!("{} weeks", hours / 24 / 7),
            1_440..17_520 => format!("{} months", hours / 24 / 30),
            _ => format!("{} years", hours / 24 / 365),
        },
    }
}
