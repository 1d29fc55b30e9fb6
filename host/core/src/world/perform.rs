//! One function answers: every effect, matched one by one, faults first.
//!
//! Deliberately not here: the answers themselves, which stand with their domain.

use serde_json::Value;

use super::{World, ambient};
use crate::effect::docker::GRACE_MS_MAX;
use crate::effect::{Effect, Op};
use crate::error::{Error, ErrorKind};
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
