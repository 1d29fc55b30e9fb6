//! Reads of Docker: listing, details, samples, processes, dependents, what happened lately.
//!
//! Deliberately not here: logs (their own driver) and anything that changes a container.

use std::collections::{HashMap, VecDeque};

use bollard::models;
use bollard::query_parameters::{EventsOptions, ListContainersOptions, StatsOptions, TopOptions};
use futures::StreamExt;
use sandbook_core::effect::docker::{
    ContainerFilter, ContainerSummary, Dependency, Dependent, EVENTS_DEFAULT, EVENTS_SINCE_MS_DEFAULT, Event,
    EventFilter, PROCESSES_MAX, Processes, Stats,
};
use sandbook_core::error::Error;
use sandbook_core::target::{LABEL_PROJECT, LABEL_SERVICE};

use super::fault::Trouble;
use super::{EngineEvent, Host, convert};

/// What compose notes about dependencies: `db:service_started:false,cache:service_healthy:true`.
const LABEL_DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Inspections under way at once: enough to hide latency, too few to bother an engine in trouble.
pub(super) const INSPECTIONS_AT_ONCE: usize = 8;
/// The columns that show zombies; understood by procps. Busybox is asked without.
const PS_COLUMNS: &str = "-eo pid,ppid,user,stat,rss,etime,args";

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
        let target = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        let name = convert::name(&target);
        let facts = convert::facts(&target);
        let id = target.id.clone().unwrap_or_else(|| id.to_owned());
        let others = self.summaries(true, Vec::new()).await.map_err(Trouble::into_read_error)?;
        let others = others.into_iter().filter(|other| other.id.as_deref() != Some(id.as_str()));
        let found: Vec<Vec<Dependent>> = futures::stream::iter(others)
            .map(|other| {
                let (id, name, facts) = (id.as_str(), name.as_str(), &facts);
                async move {
                    let mut reasons = Vec::new();
                    let mode = other.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
                    if mode.and_then(|mode| mode.strip_prefix("container:")).is_some_and(|of| of == id || of == name) {
                        reasons.push(Dependency::SharesNetwork);
                    }
                    if depends_on(&other, facts.project.as_deref(), facts.service.as_deref()) {
                        reasons.push(Dependency::DependsOn);
                    }
                    if self.takes_volumes(&other, id, name).await {
                        reasons.push(Dependency::VolumesFrom);
                    }
                    let line = convert::summary(self.name(), &other);
                    let dependent =
                        |why| Dependent { name: line.name.clone(), id: line.id.clone(), why, status: line.status };
                    reasons.into_iter().map(dependent).collect()
                }
            })
            .buffered(INSPECTIONS_AT_ONCE)
            .collect()
            .await;
        let mut found: Vec<Dependent> = found.into_iter().flatten().collect();
        found.sort_by(|a, b| (&a.name, a.why as u8).cmp(&(&b.name, b.why as u8)));
        Ok(found)
    }

    /// A container that vanished since the listing takes no volumes.
    async fn takes_volumes(&self, other: &models::ContainerSummary, id: &str, name: &str) -> bool {
        let Some(other) = other.id.as_deref() else { return false };
        let Ok(fixed) = self.fixed(other).await else { return false };
        fixed.volumes_from.iter().any(|from| {
            let from = from.split(':').next().unwrap_or(from);
            from == id || from == name
        })
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

fn depends_on(other: &models::ContainerSummary, project: Option<&str>, service: Option<&str>) -> bool {
    let label = |key: &str| other.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let (Some(project), Some(service)) = (project, service) else { return false };
    label(LABEL_PROJECT) == Some(project)
        && label(LABEL_DEPENDS_ON)
            .is_some_and(|list| list.split(',').any(|item| item.split(':').next() == Some(service)))
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
    fn compose_dependencies_are_words_of_a_list() {
        let other: models::ContainerSummary = serde_json::from_value(serde_json::json!({"Labels": {
            LABEL_PROJECT: "shop", LABEL_DEPENDS_ON: "db:service_started:false,cache:service_healthy:true"}}))
        .expect("a summary");
        assert!(depends_on(&other, Some("shop"), Some("cache")));
        assert!(!depends_on(&other, Some("shop"), Some("cach")));
        assert!(!depends_on(&other, Some("other"), Some("cache")));
    }

    #[test]
    fn zombies_are_found_with_and_without_a_state_column() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(zombie(&words("PID STAT COMMAND"), &words("1 Zs x")));
        assert!(!zombie(&words("PID STAT COMMAND"), &words("1 S Z")));
        assert!(zombie(&words("PID CMD"), &["1".to_owned(), "[sh] <defunct>".to_owned()]));
    }
}
