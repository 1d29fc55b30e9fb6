//! One function answers: every effect, matched one by one, faults first.
//!
//! Deliberately not here: the answers themselves, which stand with their domain.

use serde_json::Value;

use super::{World, ambient};
use crate::effect::docker::{GRACE_MS_MAX, NetworkChange, Recreated, Removed, ScaleService, Scaled};
use crate::effect::{Effect, Op, Scope};
use crate::error::{Error, ErrorKind};
use crate::service::Standing;
use crate::target::Resolved;

impl World {
    /// Performs an effect on what it was resolved to (or, without that, on what its reference means now) and returns
    /// its typed output as JSON. A [`super::Fault`] may lose the answer, the effect, or both.
    pub fn perform(&mut self, effect: &Effect, resolved: Option<&Resolved>) -> Result<Value, Error> {
        effect.validate()?;
        let seat = self.seat(&effect.scope(), resolved).ok();
        let Some(fault) = self.strike(effect, seat.as_ref()) else { return self.answer(effect, resolved) };
        let deadline_ms = effect.deadline_ms();
        let until = self.now_ms.saturating_add(deadline_ms);
        if fault.happened {
            // What would have been answered is lost, an error as well as a result.
            drop(self.answer(effect, resolved));
        }
        if fault.error == ErrorKind::Timeout {
            self.advance(until.saturating_sub(self.now_ms));
        }
        let message = match (fault.message.is_empty(), fault.error) {
            (false, _) => fault.message,
            (true, ErrorKind::Timeout) => format!("{}: no answer within {deadline_ms} ms", effect.name()),
            (true, kind) => format!("{}: {} as the world's faults have it", effect.name(), kind.name()),
        };
        Err(Error::new(fault.error, message))
    }

    /// What an effect answered that happened although nobody heard it, as far as the world shows; `None`: it did not.
    pub fn happened(&self, effect: &Effect, resolved: Option<&Resolved>) -> Option<Value> {
        let before = resolved?;
        let (host, name) = (before.target.host.as_str(), before.target.name.as_str());
        let now = self.container(host, name);
        let id = before.target.id.clone().unwrap_or_default();
        match effect {
            Effect::RecreateContainer(op) => {
                let (new, name) = (now.filter(|new| new.id != id)?, name.to_owned());
                let (state, image) = (new.state(), new.image.clone());
                out(op, Recreated { name, id: new.id.clone(), old_id: id, image, state }).ok()
            }
            Effect::RemoveContainer(op) if now.is_none_or(|now| now.id != id) => {
                out(op, Removed { name: name.to_owned(), id }).ok()
            }
            Effect::ScaleService(op) => self.scaled(op, before),
            Effect::ConnectNetwork(op) if now?.networks.contains(&op.network) => {
                out(op, NetworkChange { changed: true, networks: now?.networks.clone() }).ok()
            }
            Effect::DisconnectNetwork(op) if !now?.networks.contains(&op.network) => {
                out(op, NetworkChange { changed: true, networks: now?.networks.clone() }).ok()
            }
            // All others may be done again: they go towards the same end.
            Effect::ListContainers(_)
            | Effect::InspectContainer(_)
            | Effect::ContainerStats(_)
            | Effect::ContainerProcesses(_)
            | Effect::Dependents(_)
            | Effect::RecentEvents(_)
            | Effect::ContainerChanges(_)
            | Effect::ListImages(_)
            | Effect::DiskUsage(_)
            | Effect::StartContainer(_)
            | Effect::StopContainer(_)
            | Effect::RestartContainer(_)
            | Effect::KillContainer(_)
            | Effect::PauseContainer(_)
            | Effect::UnpauseContainer(_)
            | Effect::Exec(_)
            | Effect::UpdateResources(_)
            | Effect::RemoveContainer(_)
            | Effect::ConnectNetwork(_)
            | Effect::DisconnectNetwork(_)
            | Effect::PruneImages(_)
            | Effect::PruneBuildCache(_)
            | Effect::TailContainer(_)
            | Effect::SearchContainer(_)
            | Effect::QueryLoki(_)
            | Effect::TruncateContainerLog(_)
            | Effect::Query(_)
            | Effect::QueryRange(_)
            | Effect::HttpProbe(_)
            | Effect::TcpCheck(_)
            | Effect::DnsLookup(_)
            | Effect::Get(_)
            | Effect::Request(_)
            | Effect::Send(_)
            | Effect::StateGet(_)
            | Effect::StatePut(_)
            | Effect::StateCompareAndPut(_)
            | Effect::Now(_)
            | Effect::Sleep(_)
            | Effect::RandomU64(_)
            | Effect::Log(_)
            | Effect::Progress(_)
            | Effect::AttachEvidence(_)
            | Effect::Ask(_)
            | Effect::ListAlerts(_)
            | Effect::ListSilences(_)
            | Effect::CreateSilence(_)
            | Effect::ExpireSilence(_)
            | Effect::Choose(_)
            | Effect::Summarize(_)
            | Effect::Extract(_)
            | Effect::Similar(_) => None,
        }
    }

    /// What a scaling came to, once the service has as many replicas as were asked for.
    fn scaled(&self, op: &ScaleService, before: &Resolved) -> Option<Value> {
        let found = self.resolve(&before.target.host, &Scope::Service(&before.target.name)).ok()?;
        let (was, is) = (Standing::of(before)?, Standing::of(&found)?);
        let scaled = Scaled {
            changed: was.replicas != op.replicas,
            before: was.replicas,
            after: is.replicas,
            created: is.members.iter().filter(|name| !was.members.contains(name)).cloned().collect(),
            removed: was.members.iter().filter(|name| !is.members.contains(name)).cloned().collect(),
        };
        if is.replicas == op.replicas { out(op, scaled).ok() } else { None }
    }

    fn answer(&mut self, effect: &Effect, resolved: Option<&Resolved>) -> Result<Value, Error> {
        let scope = effect.scope();
        let grace = |grace_ms: Option<u64>| grace_ms.map(|ms| ms.min(GRACE_MS_MAX));
        match effect {
            Effect::ListContainers(op) => out(op, self.list(&self.host_of(resolved), &op.filter)?),
            Effect::InspectContainer(op) => out(op, self.inspect(&self.seat(&scope, resolved)?)?),
            Effect::ContainerStats(op) => out(op, self.stats(&self.seat(&scope, resolved)?)?),
            Effect::ContainerProcesses(op) => out(op, self.processes(&self.seat(&scope, resolved)?)?),
            Effect::Dependents(op) => out(op, self.dependents(&self.seat(&scope, resolved)?)?),
            Effect::RecentEvents(op) => {
                let about = op.filter.container.as_ref().map(|_| self.seat(&scope, resolved)).transpose()?;
                out(op, self.recent_events(&self.host_of(resolved), about.as_ref(), &op.filter)?)
            }
            Effect::ContainerChanges(op) => out(op, self.file_changes(&self.seat(&scope, resolved)?)?),
            Effect::ListImages(op) => out(op, self.images(&self.host_of(resolved), &op.filter)?),
            Effect::DiskUsage(op) => out(op, self.disk_usage(&self.host_of(resolved))?),
            Effect::RecreateContainer(op) => out(op, self.recreate(&self.seat(&scope, resolved)?, &op.options)?),
            Effect::RemoveContainer(op) => {
                out(op, self.remove(&self.seat(&scope, resolved)?, op.options.force == Some(true))?)
            }
            Effect::ScaleService(op) => out(op, self.scale(&scope, resolved, op.replicas, grace(op.options.grace_ms))?),
            Effect::ConnectNetwork(op) => {
                out(op, self.connect(&self.seat(&scope, resolved)?, &op.network, &op.options)?)
            }
            Effect::DisconnectNetwork(op) => out(op, self.disconnect(&self.seat(&scope, resolved)?, &op.network)?),
            Effect::PruneImages(op) => out(op, self.prune_images(&self.host_of(resolved), &op.options)?),
            Effect::PruneBuildCache(op) => out(op, self.prune_build_cache(&self.host_of(resolved), &op.options)),
            Effect::QueryLoki(op) => out(op, self.query_loki(&op.logql, &op.options)),
            Effect::TruncateContainerLog(op) => out(op, self.truncate_log(&self.seat(&scope, resolved)?)?),
            Effect::ListAlerts(op) => out(op, self.list_alerts(&op.filter)?),
            Effect::ListSilences(op) => out(op, self.list_silences(&op.filter)?),
            Effect::CreateSilence(op) => out(op, self.create_silence(&op.silence)),
            Effect::ExpireSilence(op) => out(op, self.expire_silence(&op.id)?),
            Effect::Choose(_) | Effect::Summarize(_) | Effect::Extract(_) => self.model_says(effect),
            Effect::Similar(op) => out(op, self.similar(op.limit)),
            Effect::StartContainer(op) => out(op, self.start(&self.seat(&scope, resolved)?)?),
            Effect::StopContainer(op) => out(op, self.stop(&self.seat(&scope, resolved)?, grace(op.options.grace_ms))?),
            Effect::RestartContainer(op) => {
                out(op, self.restart(&self.seat(&scope, resolved)?, grace(op.options.grace_ms))?)
            }
            Effect::KillContainer(op) => {
                out(op, self.kill(&self.seat(&scope, resolved)?, op.options.signal.as_deref())?)
            }
            Effect::PauseContainer(op) => out(op, self.pause(&self.seat(&scope, resolved)?)?),
            Effect::UnpauseContainer(op) => out(op, self.unpause(&self.seat(&scope, resolved)?)?),
            Effect::Exec(op) => out(op, self.exec(&self.seat(&scope, resolved)?, op)?),
            Effect::UpdateResources(op) => out(op, self.update(&self.seat(&scope, resolved)?, &op.resources)?),
            Effect::TailContainer(op) => out(op, self.tail(&self.seat(&scope, resolved)?, &op.options)?),
            Effect::SearchContainer(op) => {
                out(op, self.search(&self.seat(&scope, resolved)?, &op.pattern, &op.options)?)
            }
            Effect::Query(op) => out(op, self.query(&op.promql)?),
            Effect::QueryRange(op) => out(op, self.query_range(&op.promql, &op.range)?),
            Effect::HttpProbe(op) => out(op, self.http_probe(&op.url, &op.options)?),
            Effect::TcpCheck(op) => out(op, self.tcp_check(&op.host, op.port, &op.options)),
            Effect::DnsLookup(op) => out(op, self.dns_lookup(&op.name, &op.options)?),
            Effect::Get(op) => out(op, self.request("GET", &op.url, "", op.options.timeout_ms)?),
            Effect::Request(op) => {
                let body = op.options.body.as_deref().unwrap_or("");
                out(op, self.request(op.method.name(), &op.url, body, op.options.timeout_ms)?)
            }
            Effect::Send(op) => out(op, self.send(&op.message)),
            Effect::StateGet(op) => out(op, self.memory.get(&op.key).cloned()),
            Effect::StatePut(op) => out(op, self.put(&op.key, &op.value)?),
            Effect::StateCompareAndPut(op) => {
                out(op, self.compare_and_put(&op.key, op.expected.as_deref(), &op.value)?)
            }
            Effect::Now(op) => out(op, self.now_ms),
            Effect::Sleep(op) => {
                self.advance(op.duration_ms);
                out(op, ())
            }
            Effect::RandomU64(op) => out(op, ambient::splitmix64(&mut self.seed)),
            Effect::Log(op) => out(op, ()),
            Effect::Progress(op) => out(op, ()),
            Effect::AttachEvidence(op) => out(op, ()),
            Effect::Ask(op) => out(op, self.person_says(op)),
        }
    }
}

/// Holds an answer to its effect's type.
fn out<O: Op>(_: &O, output: O::Output) -> Result<Value, Error> {
    serde_json::to_value(output).map_err(|error| Error::failed(format!("{}: {error}", O::NAME)))
}
