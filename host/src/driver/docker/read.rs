//! Reads of Docker: listing, details, samples, processes, dependents, what happened lately.
//!
//! Deliberately not here: logs (their own driver) and anything that changes a container.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bollard::models;
use bollard::query_parameters::{EventsOptions, ListContainersOptions, StatsOptions, TopOptions};
use futures::StreamExt;
use sandbook_core::depend::Node;
use sandbook_core::effect::docker::{
    ContainerFilter, ContainerSummary, Dependency, Dependent, EVENTS_DEFAULT, EVENTS_SINCE_MS_DEFAULT, Event,
    EventFilter, PROCESSES_MAX, Processes, Stats,
};
use sandbook_core::error::Error;
use sandbook_core::target::{Facts, LABEL_PROJECT, LABEL_SERVICE};

use super::fault::Trouble;
use super::{EngineEvent, Host, convert};

/// Inspections under way at once: enough to hide latency, too few to bother an engine in trouble.
pub(super) const INSPECTIONS_AT_ONCE: usize = 8;
/// Containers that are gone and asked about for one answer: each costs a look into the engine's memory.
const GONE_MAX: usize = 8;
/// The columns that show zombies and count threads; understood by procps. Busybox is asked without.
const PS_COLUMNS: &str = "-eo pid,ppid,user,stat,nlwp,rss,etime,args";

impl Host {
    pub(in crate::driver) async fn list(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error> {
        let pattern = filter.name.as_deref().map(glob).transpose()?;
        let mut labels = filter.labels.clone().unwrap_or_default();
        labels.extend(filter.project.iter().map(|project| format!("{LABEL_PROJECT}={project}")));
        labels.extend(filter.service.iter().map(|service| format!("{LABEL_SERVICE}={service}")));
        let found = self.summaries(filter.all.unwrap_or(false), labels).await.map_err(Trouble::into_read_error)?;
        let mut found: Vec<ContainerSummary> = found
            .iter()
            .map(|container| convert::summary(self.name(), container))
            .filter(|container| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&container.name)))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    pub(super) async fn summaries(
        &self,
        all: bool,
        labels: Vec<String>,
    ) -> Result<Vec<models::ContainerSummary>, Trouble> {
        let filters = (!labels.is_empty()).then(|| HashMap::from([("label".to_owned(), labels)]));
        let options = ListContainersOptions { all, filters, ..ListContainersOptions::default() };
        self.read(self.docker.list_containers(Some(options))).await
    }

    pub(in crate::driver) async fn stats(&self, id: &str) -> Result<Stats, Error> {
        let container = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        self.must_run(&container)?;
        let limit = convert::limits(container.host_config.as_ref()).memory_bytes;
        // Not one-shot: then the engine takes a second sample, without which there is no CPU share.
        let options = StatsOptions { stream: false, one_shot: false };
        let mut samples = Box::pin(self.docker.stats(id, Some(options)));
        match samples.next().await {
            Some(Ok(sample)) => Ok(convert::stats(&sample, limit)),
            Some(Err(fault)) => Err(Trouble::from_fault(fault).into_read_error()),
            None => Err(Error::failed("docker ended the statistics without a sample")),
        }
    }

    pub(in crate::driver) async fn processes(&self, id: &str) -> Result<Processes, Error> {
        let container = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        self.must_run(&container)?;
        let options = TopOptions { ps_args: PS_COLUMNS.to_owned() };
        let answer = match self.docker.top_processes(id, Some(options)).await {
            Ok(answer) => answer,
            Err(_) => self
                .docker
                .top_processes(id, None)
                .await
                .map_err(|fault| Trouble::from_fault(fault).into_read_error())?,
        };
        let titles = answer.titles.unwrap_or_default();
        let mut rows = answer.processes.unwrap_or_default();
        let zombies = u32::try_from(rows.iter().filter(|row| zombie(&titles, row)).count()).unwrap_or(u32::MAX);
        rows.truncate(PROCESSES_MAX);
        Ok(Processes { titles, rows, zombies })
    }

    fn must_run(&self, container: &models::ContainerInspectResponse) -> Result<(), Error> {
        if container.state.as_ref().and_then(|state| state.running).unwrap_or(false) {
            return Ok(());
        }
        let word = convert::status_word(convert::state(container).status);
        Err(Error::conflict(format!("container `{}` is {word}, it must run for this", convert::name(container))))
    }

    pub(in crate::driver) async fn dependents(&self, id: &str) -> Result<Vec<Dependent>, Error> {
        Ok(self.who_depends(id).await?.into_iter().map(|(dependent, _)| dependent).collect())
    }

    /// Subjects of the containers that depend on this one, each once, in order. Errors: `not-found`, `failed`.
    pub(in crate::driver) async fn dependent_subjects(&self, id: &str) -> Result<Vec<String>, Error> {
        let found = self.who_depends(id).await?;
        let subjects: BTreeSet<String> = found.into_iter().map(|(_, subject)| subject).collect();
        Ok(subjects.into_iter().collect())
    }

    /// One line a reason, by name, with the subject of each.
    async fn who_depends(&self, id: &str) -> Result<Vec<(Dependent, String)>, Error> {
        let target = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        let node = Node {
            id: target.id.clone().unwrap_or_else(|| id.to_owned()),
            name: convert::name(&target),
            labels: convert::labels(&target),
            ..Node::default()
        };
        let all = self.summaries(true, Vec::new()).await.map_err(Trouble::into_read_error)?;
        let others: Vec<_> = all.into_iter().filter(|other| other.id.as_deref() != Some(node.id.as_str())).collect();
        let others = self.nodes(others).await;
        let former = self.former(&node, &others).await;
        let mut found = Vec::new();
        for (other, theirs) in &others {
            let line = convert::summary(self.name(), other);
            let facts = Facts::from_labels(String::new(), String::new(), theirs.labels.clone());
            for why in node.needed_by(theirs, |id| former.contains(id)) {
                let dependent = Dependent { name: line.name.clone(), id: line.id.clone(), why, status: line.status };
                found.push((dependent, facts.subject(self.name(), &line.name)));
            }
        }
        found.sort_by(|(a, _), (b, _)| (&a.name, a.why as u8).cmp(&(&b.name, b.why as u8)));
        Ok(found)
    }

    /// Ids that are gone and whose network others still share, as far as they were this container before it was made
    /// anew: by the name they had, or because compose says that the sharer depends on this service.
    async fn former(&self, node: &Node, others: &[(models::ContainerSummary, Node)]) -> BTreeSet<String> {
        let exists = |of: &str| {
            let is = |node: &Node| node.name == of || node.id.starts_with(of);
            is(node) || others.iter().any(|(_, other)| is(other))
        };
        let mut former = BTreeSet::new();
        let mut asked = 0;
        for (_, other) in others {
            let Some(of) = other.shares().filter(|of| !exists(of)) else { continue };
            if former.contains(of) {
                continue;
            }
            let by_compose = node.needed_by(other, |_| false).contains(&Dependency::DependsOn);
            asked += usize::from(!by_compose);
            if by_compose || (asked <= GONE_MAX && self.was_called(of, &node.name).await) {
                former.insert(of.to_owned());
            }
        }
        former
    }

    /// Listed containers as far as dependence goes. One that vanished since the listing takes no volumes.
    pub(super) async fn nodes(&self, listed: Vec<models::ContainerSummary>) -> Vec<(models::ContainerSummary, Node)> {
        let node = |one: models::ContainerSummary| async move {
            let line = convert::summary(self.name(), &one);
            let fixed = self.fixed(&line.id).await;
            let network_mode = one.host_config.as_ref().and_then(|config| config.network_mode.clone());
            let node = Node {
                labels: convert::sorted(one.labels.as_ref()),
                network_mode: network_mode.unwrap_or_default(),
                volumes_from: fixed.map(|fixed| fixed.volumes_from.clone()).unwrap_or_default(),
                depends_on: Vec::new(),
                name: line.name,
                id: line.id,
            };
            (one, node)
        };
        futures::stream::iter(listed).map(node).buffered(INSPECTIONS_AT_ONCE).collect().await
    }

    /// The newest events, oldest first. `exec_*` and `top` are left out: health checks alone would fill the page.
    pub(in crate::driver) async fn recent_events(
        &self,
        filter: &EventFilter,
        id: Option<&str>,
    ) -> Result<Vec<Event>, Error> {
        let now = jiff::Timestamp::now();
        let back = i64::try_from(filter.since_ms.unwrap_or(EVENTS_SINCE_MS_DEFAULT)).unwrap_or(i64::MAX);
        let since = now.checked_sub(jiff::SignedDuration::from_millis(back)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let limit = filter.limit.unwrap_or(EVENTS_DEFAULT) as usize;
        let mut filters = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
        if let Some(id) = id {
            filters.insert("container".to_owned(), vec![id.to_owned()]);
        }
        let options = EventsOptions { since: Some(instant(since)), until: Some(instant(now)), filters: Some(filters) };
        let mut stream = Box::pin(self.docker.events(Some(options)));
        let mut kept = VecDeque::new();
        while let Some(message) = stream.next().await {
            let message = message.map_err(|fault| Trouble::from_fault(fault).into_read_error())?;
            let Some(event) = EngineEvent::from_message(message).filter(|event| !event.is_noise()) else { continue };
            if kept.len() == limit {
                kept.pop_front();
            }
            let at = event.at.to_string();
            kept.push_back(Event { at, action: event.action, container: event.name, exit_code: event.exit_code });
        }
        Ok(kept.into())
    }
}

/// Seconds and nanoseconds, as Docker takes times.
pub(in crate::driver) fn instant(at: jiff::Timestamp) -> String {
    format!("{}.{:09}", at.as_second(), at.subsec_nanosecond())
}

fn glob(pattern: &str) -> Result<globset::GlobMatcher, Error> {
    globset::Glob::new(pattern)
        .map(|glob| glob.compile_matcher())
        .map_err(|error| Error::invalid(format!("name: `{pattern}` is no shell-style pattern: {}", error.kind())))
}

fn zombie(titles: &[String], row: &[String]) -> bool {
    let column = titles.iter().position(|title| title == "STAT" || title == "S");
    match column.and_then(|column| row.get(column)) {
        Some(state) => state.starts_with('Z'),
        None => row.last().is_some_and(|command| command.contains("<defunct>")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zombies_are_found_with_and_without_a_state_column() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(zombie(&words("PID STAT COMMAND"), &words("1 Zs x")));
        assert!(!zombie(&words("PID STAT COMMAND"), &words("1 S Z")));
        assert!(zombie(&words("PID CMD"), &["1".to_owned(), "[sh] <defunct>".to_owned()]));
    }
}
