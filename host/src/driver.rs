//! The live drivers: the only code that touches the world, and only for a permit of the gate.
//!
//! [`Live::drive`] is one exhaustive match from effect to call, under the permit's deadline and refusing permits that
//! are late; whatever comes back is bounded and free of known secrets. [`Live::resolve`] turns what a guest wrote into
//! who is meant, looked up afresh each time. Deliberately not here: deciding, recording and settling (gate, journal,
//! `perform`), the simulated world, and effects the engine answers itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sandbook_core::effect::docker::{ContainerDetails, ContainerFilter, ContainerSummary};
use sandbook_core::effect::incidents::Incident;
use sandbook_core::effect::{Class, Effect};
use sandbook_core::error::Error;
use sandbook_core::gate::{Permit, Recovered};
use sandbook_core::target::{Resolved, Target};
use serde::Serialize;
use serde_json::Value;

pub mod alertmanager;
pub mod docker;
pub mod egress;
pub mod grafana;
mod http;
mod llm;
mod logs;
pub mod loki;
pub mod metrics;
mod net;
pub mod notify;
pub mod redact;
mod resolve;
#[cfg(test)]
mod tests;
pub(crate) mod web;

use crate::llm::Model;
use crate::metrics::Metrics;
use docker::Host;
use egress::Allow;
use redact::Secrets;

/// Journals sub-steps inside a slot, durably.
pub trait Steps: Send + Sync {
    /// Returns once `data` is on disk. A driver goes on only then.
    fn step<'a>(&'a self, data: Value) -> BoxFuture<'a, Result<(), Error>>;
}

/// What a driver finds of an effect that nobody saw the end of.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// So it turned out.
    Is(Recovered),
    /// It is looked at again after that many milliseconds.
    Later(u64),
    /// It is looked at again when nothing of it can happen any more.
    AtHorizon,
}

/// What this engine has seen: earlier incidents, for `incidents.similar`, and what a run has read so far, for saying where
/// evidence comes from.
pub trait Incidents: Send + Sync {
    /// Earlier incidents like the one of that run, the most similar first.
    fn similar<'a>(&'a self, run: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<Incident>, Error>>;
    /// Texts of logs that run has read so far, oldest first. None when that cannot be told.
    fn read_by<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Vec<Read>>;
}

/// A text that a run has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Where it comes from, such as `log of local/web-1 (call 2)`.
    pub source: String,
    /// As it was answered.
    pub text: String,
}

/// Configured Docker hosts by name.
pub type Hosts = BTreeMap<String, Arc<Host>>;

/// The real world, as far as the operator configured it.
pub struct Live {
    hosts: Arc<Hosts>,
    allow: Arc<Allow>,
    metrics: Option<metrics::Prometheus>,
    notifier: notify::Notifier,
    http: http::Http,
    net: net::Net,
    incidents: Option<Arc<dyn Incidents>>,
    alertmanager: Option<alertmanager::Alertmanager>,
    loki: Option<loki::Loki>,
    model: Option<Model>,
    figures: Option<Arc<Metrics>>,
    secrets: Secrets,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// What a permit says, as drivers need it.
#[derive(Debug, Clone, Copy)]
struct Call<'a> {
    effect: &'a Effect,
    resolved: Option<&'a Resolved>,
    run: &'a str,
    slot: u32,
    host: &'a str,
    deadline_ms: u64,
    not_after_boot_ms: u64,
}

impl Live {
    /// Connects to nothing yet.
    pub fn new(
        hosts: Arc<Hosts>,
        allow: Arc<Allow>,
        metrics: Option<metrics::Prometheus>,
        notifier: notify::Notifier,
        secrets: Secrets,
    ) -> Live {
        let (http, net) = (http::Http::new(allow.clone()), net::Net::new(allow.clone()));
        Live {
            hosts,
            allow,
            metrics,
            notifier,
            http,
            net,
            incidents: None,
            alertmanager: None,
            loki: None,
            model: None,
            figures: None,
            secrets,
        }
    }

    /// What `alertmanager` effects ask. Without it they are `not-found`.
    #[must_use]
    pub fn with_alertmanager(self, alertmanager: Option<alertmanager::Alertmanager>) -> Live {
        Live { alertmanager, ..self }
    }

    /// What `logs.query-loki` asks. Without it it is `not-found`.
    #[must_use]
    pub fn with_loki(self, loki: Option<loki::Loki>) -> Live {
        Live { loki, ..self }
    }

    /// Who answers `llm` effects, and where fallbacks are counted. Without a model the declared fallback is the answer.
    #[must_use]
    pub fn with_model(self, model: Option<Model>, figures: Arc<Metrics>) -> Live {
        Live { model, figures: Some(figures), ..self }
    }

    /// Where earlier incidents are found. Without it there are none.
    #[must_use]
    pub fn with_incidents(self, incidents: Arc<dyn Incidents>) -> Live {
        Live { incidents: Some(incidents), ..self }
    }

    /// Drives an effect. The answer is the effect's output as JSON, within its size limit and without known secrets.
    ///
    /// Errors: those of the effect; `timeout` when the deadline passed (a change may still have happened); `limited`
    /// when the output is too large; `failed` for a late permit and for effects the engine answers itself.
    pub async fn drive(&self, permit: &Permit, steps: &dyn Steps) -> Result<Value, Error> {
        let call = Call {
            effect: permit.effect(),
            resolved: permit.resolved(),
            run: permit.run(),
            slot: permit.slot(),
            host: permit.host(),
            deadline_ms: permit.deadline_ms(),
            not_after_boot_ms: permit.not_after_boot_ms(),
        };
        self.call(call, steps).await
    }

    async fn call(&self, call: Call<'_>, steps: &dyn Steps) -> Result<Value, Error> {
        let info = call.effect.info();
        let now = boot_ms();
        // Its whole time must be left: what is begun late could still happen after its intent's horizon.
        let left_ms = call.not_after_boot_ms.saturating_sub(now);
        if left_ms < call.deadline_ms {
            return Err(Error::failed(format!("{}: the permit is too old, nothing was done", info.name)));
        }
        let budget = Duration::from_millis(call.deadline_ms);
        let mut answer = match tokio::time::timeout(budget, Box::pin(self.dispatch(call, steps))).await {
            Ok(answer) => answer,
            Err(_) => Err(late(call.effect, budget)),
        };
        let secrets = self.secrets.all();
        match &mut answer {
            Ok(value) => redact::redact(value, &secrets),
            Err(error) => redact::redact_text(&mut error.message, &secrets),
        }
        let bytes = answer.as_ref().map_or(0, |value| value.to_string().len());
        if bytes > info.output_bytes_max {
            let max = info.output_bytes_max;
            return Err(Error::limited(format!(
                "{}: the answer has {bytes} bytes, at most {max} are allowed; ask for less",
                info.name
            )));
        }
        answer
    }

    async fn dispatch(&self, call: Call<'_>, steps: &dyn Steps) -> Result<Value, Error> {
        match call.effect {
            Effect::ListContainers(op) => json(self.host(call.host)?.list(&op.filter).await?),
            Effect::InspectContainer(_) => with(self, call, async |host, id| host.details_as_resolved(id).await).await,
            Effect::ContainerStats(_) => with(self, call, async |host, id| host.stats(id).await).await,
            Effect::ContainerProcesses(_) => with(self, call, async |host, id| host.processes(id).await).await,
            Effect::Dependents(_) => with(self, call, async |host, id| host.dependents(id).await).await,
            Effect::RecentEvents(op) => match op.filter.container {
                Some(_) => with(self, call, async |host, id| host.recent_events(&op.filter, Some(id)).await).await,
                None => json(self.host(call.host)?.recent_events(&op.filter, None).await?),
            },
            Effect::StartContainer(_) => with(self, call, async |host, id| host.start(id).await).await,
            Effect::StopContainer(op) => with(self, call, async |host, id| host.stop(id, &op.options).await).await,
            Effect::RestartContainer(op) => {
                with(self, call, async |host, id| host.restart(id, &op.options).await).await
            }
            Effect::KillContainer(op) => with(self, call, async |host, id| host.kill(id, &op.options).await).await,
            Effect::PauseContainer(_) => with(self, call, async |host, id| host.pause(id).await).await,
            Effect::UnpauseContainer(_) => with(self, call, async |host, id| host.unpause(id).await).await,
            Effect::Exec(op) => with(self, call, async |host, id| host.exec(id, op, steps).await).await,
            Effect::UpdateResources(op) => {
                with(self, call, async |host, id| host.update(id, &op.resources).await).await
            }
            Effect::ContainerChanges(_) => with(self, call, async |host, id| host.file_changes(id).await).await,
            Effect::ListImages(op) => json(self.host(call.host)?.images(&op.filter).await?),
            Effect::DiskUsage(_) => json(self.host(call.host)?.disk_usage().await?),
            Effect::RecreateContainer(op) => {
                let key = key(call);
                with(self, call, async |host, id| host.recreate(id, op, &key, steps).await).await
            }
            Effect::RemoveContainer(op) => {
                let target = about(call)?;
                with(self, call, async |host, id| host.remove(target, id, op).await).await
            }
            Effect::ScaleService(op) => {
                let target = about(call)?;
                json(self.host(&target.host)?.scale(&target.name, op, steps).await?)
            }
            Effect::ConnectNetwork(op) => with(self, call, async |host, id| host.connect(id, op, steps).await).await,
            Effect::DisconnectNetwork(op) => {
                with(self, call, async |host, id| host.disconnect(id, op, steps).await).await
            }
            Effect::PruneImages(op) => json(self.host(call.host)?.prune_images(&op.options).await?),
            Effect::PruneBuildCache(op) => json(self.host(call.host)?.prune_build_cache(&op.options).await?),
            Effect::QueryLoki(op) => json(self.loki()?.query(op).await?),
            Effect::TruncateContainerLog(_) => {
                with(self, call, async |host, id| host.truncate_log(id, steps).await).await
            }
            Effect::ListAlerts(op) => json(self.alertmanager()?.list_alerts(&op.filter).await?),
            Effect::ListSilences(op) => json(self.alertmanager()?.list_silences(&op.filter).await?),
            Effect::CreateSilence(op) => json(self.alertmanager()?.create_silence(op, call.run, call.slot).await?),
            Effect::ExpireSilence(op) => json(self.alertmanager()?.expire_silence(&op.id).await?),
            Effect::Choose(_) | Effect::Summarize(_) | Effect::Extract(_) => self.ask_model(call).await,
            Effect::Similar(op) => match &self.incidents {
                Some(incidents) => json(incidents.similar(call.run, op.limit).await?),
                None => json(Vec::<Incident>::new()),
            },
            Effect::TailContainer(op) => {
                with(self, call, async |host, id| logs::tail(host, id, &op.options).await).await
            }
            Effect::SearchContainer(op) => {
                with(self, call, async |host, id| logs::search(host, id, &op.pattern, &op.options).await).await
            }
            Effect::Query(op) => json(self.prometheus()?.query(op, None).await?),
            Effect::QueryRange(op) => json(self.prometheus()?.query_range(op, None).await?),
            Effect::HttpProbe(op) => json(self.net.http_probe(op).await?),
            Effect::TcpCheck(op) => json(self.net.tcp_check(op).await?),
            Effect::DnsLookup(op) => json(self.net.dns_lookup(op).await?),
            Effect::Get(op) => json(self.http.get(op).await?),
            Effect::Request(op) => json(self.http.request(op, key(call)).await?),
            Effect::Send(op) => json(self.notifier.send(&op.message, &key(call)).await?),
            Effect::StateGet(_)
            | Effect::StatePut(_)
            | Effect::StateCompareAndPut(_)
            | Effect::Now(_)
            | Effect::Sleep(_)
            | Effect::RandomU64(_)
            | Effect::Log(_)
            | Effect::Progress(_)
            | Effect::AttachEvidence(_)
            | Effect::Ask(_) => {
                Err(Error::failed(format!("{} is answered by the engine, not by a driver", call.effect.name())))
            }
        }
    }

    /// Asks the model, saying which logs the run has read.
    async fn ask_model(&self, call: Call<'_>) -> Result<Value, Error> {
        let Call { effect, run, slot, host, deadline_ms, .. } = call;
        let incidents = self.incidents.as_ref().filter(|_| self.model.is_some());
        let read = match incidents {
            Some(incidents) => incidents.read_by(run).await,
            None => Vec::new(),
        };
        let asking = llm::Asking { effect, run, slot, host, deadline_ms, read: &read };
        llm::answer(self.model.as_ref(), self.figures.as_deref(), asking).await
    }

    /// A configured host. Errors: `not-found`, listing the configured ones.
    pub fn host(&self, name: &str) -> Result<&Arc<Host>, Error> {
        self.hosts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.hosts.keys().map(String::as_str).collect();
            Error::not_found(format!("docker host `{name}` is not configured; there are: {}", known.join(", ")))
        })
    }

    /// All configured hosts.
    pub fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// The operator's list of destinations.
    pub fn allow(&self) -> &Arc<Allow> {
        &self.allow
    }

    /// Channels, for the engine's own messages.
    pub fn notifier(&self) -> &notify::Notifier {
        &self.notifier
    }

    /// The metrics source. Errors: `not-found` without one.
    pub fn prometheus(&self) -> Result<&metrics::Prometheus, Error> {
        self.metrics.as_ref().ok_or_else(|| Error::not_found("no metrics source is configured; set [prometheus] url"))
    }

    fn alertmanager(&self) -> Result<&alertmanager::Alertmanager, Error> {
        let help = "no Alertmanager is configured; set [alertmanager] url";
        self.alertmanager.as_ref().ok_or_else(|| Error::not_found(help))
    }

    fn loki(&self) -> Result<&loki::Loki, Error> {
        self.loki.as_ref().ok_or_else(|| Error::not_found("no Loki is configured; set [loki] url"))
    }

    /// How an effect turned out that nobody saw the end of, as its driver finds it, and what is left to do of it done.
    ///
    /// `last` is what the slot journaled last. Errors: when nobody can tell now and it is worth asking again.
    pub async fn settle(
        &self,
        permit: &Permit,
        last: Option<&Value>,
        steps: &dyn Steps,
        horizon_passed: bool,
    ) -> Result<Settled, Error> {
        let call = Call {
            effect: permit.effect(),
            resolved: permit.resolved(),
            run: permit.run(),
            slot: permit.slot(),
            host: permit.host(),
            deadline_ms: permit.deadline_ms(),
            not_after_boot_ms: permit.not_after_boot_ms(),
        };
        let target = about(call)?;
        let host = || self.host(&target.host);
        let id = target.id.as_deref().unwrap_or_default();
        match call.effect {
            Effect::RecreateContainer(_) => host()?.settle_recreation(last, steps, horizon_passed).await,
            Effect::RemoveContainer(_) => host()?.settle_removal(target, id, horizon_passed).await,
            Effect::ScaleService(op) => match call.resolved {
                Some(resolved) => host()?.settle_scaling(resolved, op, horizon_passed).await,
                None => Ok(Settled::Is(Recovered::Unknown("the service was not recorded".to_owned()))),
            },
            Effect::ConnectNetwork(op) => host()?.settle_network(id, (&op.network, true), last, horizon_passed).await,
            Effect::DisconnectNetwork(op) => {
                host()?.settle_network(id, (&op.network, false), last, horizon_passed).await
            }
            Effect::TruncateContainerLog(_) => host()?.settle_truncation(id, last).await,
            Effect::CreateSilence(_) => self.alertmanager()?.settle_silence(call.run, call.slot, horizon_passed).await,
            Effect::ExpireSilence(op) => self.alertmanager()?.settle_expiry(&op.id, horizon_passed).await,
            // What is unused by then goes, and what went is gone: doing it again repeats nothing.
            Effect::PruneImages(_) | Effect::PruneBuildCache(_) if horizon_passed => {
                Ok(Settled::Is(Recovered::NotDone))
            }
            Effect::PruneImages(_) | Effect::PruneBuildCache(_) => Ok(Settled::AtHorizon),
            other => Ok(Settled::Is(Recovered::Unknown(format!("{} is settled elsewhere", other.name())))),
        }
    }

    /// Answers a query of metrics as of then, in milliseconds since 1970. Errors: as the effects, `timeout`.
    pub async fn metrics_at(&self, permit: &Permit, at_ms: u64) -> Result<Value, Error> {
        let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let effect = permit.effect();
        let asked = async {
            match effect {
                Effect::Query(op) => json(self.prometheus()?.query(op, at).await?),
                Effect::QueryRange(op) => json(self.prometheus()?.query_range(op, at).await?),
                other => Err(Error::failed(format!("{} is no query of metrics", other.name()))),
            }
        };
        let budget = Duration::from_millis(effect.deadline_ms());
        tokio::time::timeout(budget, asked).await.unwrap_or_else(|_| Err(late(effect, budget)))
    }

    /// Every container of a host, also those that do not run. Errors: `not-found` for the host, `failed`, `timeout`.
    pub async fn containers(&self, host: &str) -> Result<Vec<ContainerSummary>, Error> {
        let everything = ContainerFilter { all: Some(true), ..ContainerFilter::default() };
        self.host(host)?.list(&everything).await
    }

    /// Everything there is to know of a container now. Errors: `not-found`, `failed`, `timeout`.
    pub async fn details(&self, target: &Target) -> Result<ContainerDetails, Error> {
        self.host(&target.host)?.details(target.id.as_deref().unwrap_or(&target.name)).await
    }

    /// The same of one that was resolved a moment ago, without asking Docker again. Errors: those of [`Live::details`].
    pub async fn details_as_resolved(&self, target: &Target) -> Result<ContainerDetails, Error> {
        let host = self.host(&target.host)?;
        let id = target.id.as_deref().unwrap_or(&target.name);
        match host.seen(id) {
            Some(details) => Ok(details),
            None => host.details(id).await,
        }
    }

    /// What became of an exec whose id a step journaled. Errors: `not-found` for the host, `failed`.
    pub async fn exec_state(&self, host: &str, exec: &str) -> Result<docker::ExecState, Error> {
        self.host(host)?.exec_state(exec).await
    }
}

/// What the permit is about.
fn about<'a>(call: Call<'a>) -> Result<&'a Target, Error> {
    let target = call.resolved.map(|resolved| &resolved.target);
    target.ok_or_else(|| Error::failed(format!("{}: the permit names nothing", call.effect.name())))
}

/// Calls a driver with the host and instance the permit is bound to, never with a name.
async fn with<T: Serialize>(
    live: &Live,
    call: Call<'_>,
    act: impl AsyncFnOnce(&Host, &str) -> Result<T, Error>,
) -> Result<Value, Error> {
    let target = call.resolved.map(|resolved| &resolved.target);
    let Some((target, id)) = target.and_then(|target| Some((target, target.id.as_deref()?))) else {
        return Err(Error::failed(format!("{}: the permit names no container", call.effect.name())));
    };
    json(act(live.host(&target.host)?, id).await?)
}

fn json<T: Serialize>(value: T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::failed(format!("the answer cannot be written as JSON: {error}")))
}

/// Run and slot: the key that makes a repetition recognisable.
fn key(call: Call<'_>) -> String {
    format!("sandbook-{}-{}", call.run, call.slot)
}

fn late(effect: &Effect, budget: Duration) -> Error {
    let (name, ms) = (effect.name(), budget.as_millis());
    match effect.class() {
        Class::Mutate | Class::Tell => {
            Error::timeout(format!("{name}: no answer within {ms} ms; it may still have happened"))
        }
        Class::Egress if effect.recovery().writes_intent() => {
            Error::timeout(format!("{name}: no answer within {ms} ms; it may still have happened"))
        }
        Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Observe | Class::Egress => {
            Error::timeout(format!("{name}: no answer within {ms} ms"))
        }
    }
}

/// Milliseconds of the boot clock: runs on while the machine sleeps and never jumps.
pub fn boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}
