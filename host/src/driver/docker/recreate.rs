//! A container is replaced by another like it, with a way back: the old one is kept, under another name and stopped, until
//! the new one is well.
//!
//! Every sub-step is on disk before it is taken: after a crash at any of them, looking at both containers tells how to go
//! on. Before the step `committed` everything leads back to the old container, after it forward to the new one; a new
//! one that turned out well in between is committed. Names of the helpers are made of run and slot, so that a repetition
//! meets what is left of the attempt before. Nothing here removes a volume.
//!
//! Deliberately not here: what the new container is made of ([`config`]), and settling other effects.

use std::time::Duration;

use hyper::Method;
use sandbook_core::effect::docker::{
    ContainerState, Health, RUNS_FOR_MS, RecreateContainer, RecreateOptions, Recreated, Status,
};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::Recovered;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fault::Trouble;
use super::{Host, convert};
use crate::driver::{Settled, Steps, boot_ms};

pub(super) mod config;

/// How long dockerd may be busy with a call whose client is gone, in milliseconds, beyond what the call waits for.
const CALL_MS: u64 = 5_000;
/// Between two looks at a new container, in milliseconds.
const LOOK_MS: u64 = 250;
/// Grace of a container that does not say, in milliseconds.
const GRACE_MS: u64 = 10_000;

/// Where a recreation is. Each is written before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    Creating,
    Connecting,
    /// The old one must not come up by itself while it is only kept.
    Holding,
    Stopping,
    SettingAside,
    Naming,
    Starting,
    Watching,
    /// The new one is it. Only the old one's removal is left.
    Committed,
}

/// A recreation as its sub-steps journal it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Saga {
    recreate: Phase,
    old: String,
    /// Once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    name: String,
    /// What the old one is called meanwhile.
    aside: String,
    /// What the new one is called until then.
    draft: String,
    /// The old one's restart policy, as Docker writes it.
    policy: Value,
    /// Whether the old one ran.
    ran: bool,
    /// When this was written, on the boot clock, and how long its call may be under way.
    boot_ms: u64,
    within_ms: u64,
}

impl Saga {
    /// Whether nothing of the last call can happen any more. After a reboot, dockerd is another one.
    fn is_quiet(&self) -> bool {
        let now = boot_ms();
        now < self.boot_ms || now >= self.boot_ms + self.within_ms
    }
}

/// A recreation under way.
struct Way<'a> {
    host: &'a Host,
    steps: &'a dyn Steps,
    saga: Saga,
}

impl Host {
    pub(in crate::driver) async fn recreate(
        &self,
        id: &str,
        op: &RecreateContainer,
        key: &str,
        steps: &dyn Steps,
    ) -> Result<Recreated, Error> {
        let old = self.raw(id).await?;
        let name = old["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        self.may_recreate(&old, &name).await?;
        let plan = self.plan(&old, &op.options).await?;
        let ran = old["State"]["Running"] == true;
        let saga = Saga {
            recreate: Phase::Creating,
            old: id.to_owned(),
            new: None,
            aside: format!("{name}.old-{key}"),
            draft: format!("{name}.new-{key}"),
            name,
            policy: old["HostConfig"]["RestartPolicy"].clone(),
            ran,
            boot_ms: boot_ms(),
            within_ms: CALL_MS,
        };
        let mut way = Way { host: self, steps, saga };
        let grace_ms = op.options.grace_ms.unwrap_or_else(|| own_grace_ms(&old));
        match way.forward(&plan, grace_ms, op.options.healthy_within_ms()).await {
            Ok(()) => way.finish().await,
            Err(error) => Err(way.give_up(error).await),
        }
    }

    /// Why a container cannot be made anew. Errors: `conflict`, `invalid`.
    async fn may_recreate(&self, old: &Value, name: &str) -> Result<(), Error> {
        if old["HostConfig"]["AutoRemove"] == true {
            let why = "it removes itself when it ends (--rm), so there would be no way back";
            return Err(Error::conflict(format!("container `{name}` cannot be recreated: {why}")));
        }
        if old["Config"]["Labels"]["com.docker.swarm.task.id"].is_string() {
            return Err(Error::invalid(format!(
                "container `{name}` is a task of a swarm service; the swarm makes it anew"
            )));
        }
        if old["State"]["Paused"] == true {
            return Err(Error::conflict(format!("container `{name}` is paused, unpause it first")));
        }
        let id = old["Id"].as_str().unwrap_or_default();
        let shares = |one: &sandbook_core::effect::docker::Dependent| {
            one.why == sandbook_core::effect::docker::Dependency::SharesNetwork
        };
        match self.dependents(id).await?.iter().find(|one| shares(one)) {
            Some(sharer) => {
                let why = format!("`{}` shares its network and would lose it", sharer.name);
                Err(Error::conflict(format!("container `{name}` cannot be recreated: {why}")))
            }
            None => Ok(()),
        }
    }

    async fn plan(&self, old: &Value, options: &RecreateOptions) -> Result<config::Plan, Error> {
        let own = old["Image"].as_str().unwrap_or_default();
        let image = match self.image(own).await {
            Ok(image) => Some(image["Config"].clone()),
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let written = old["Config"]["Image"].as_str().unwrap_or(own);
        let (from, other_image) = match &options.image {
            Some(wanted) => {
                let found = self.image(wanted).await.map_err(|error| match error.kind {
                    ErrorKind::NotFound => Error::not_found(format!(
                        "image `{wanted}` is not on host `{}`; pull it first, or name one of list-images",
                        self.name
                    )),
                    _ => error,
                })?;
                (wanted.clone(), found["Id"] != own)
            }
            // The tag may mean another image by now: what is not named stays.
            None => match self.image(written).await {
                Ok(found) if found["Id"] == own => (written.to_owned(), false),
                Ok(_) | Err(_) => (own.to_owned(), false),
            },
        };
        let network_of = match &options.network_of {
            Some(other) => Some(self.find(other).await?.id),
            None => None,
        };
        config::successor(old, &config::Known { image, from, other_image, network_of }, options)
    }

    /// A container as the engine tells it, with every field.
    pub(super) async fn raw(&self, id: &str) -> Result<Value, Error> {
        super::check_name(id)?;
        let path = format!("/containers/{id}/json");
        self.read(self.wire.json(Method::GET, &path, None)).await.map_err(Trouble::into_read_error)
    }

    async fn image(&self, name: &str) -> Result<Value, Error> {
        let path = format!("/images/{}/json", image_path(name)?);
        self.read(self.wire.json(Method::GET, &path, None)).await.map_err(Trouble::into_read_error)
    }

    /// A call that changes something.
    pub(super) async fn act(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        match self.wire.json(method, path, body).await.map_err(Trouble::from_fault) {
            Ok(answer) => Ok(answer),
            Err(Trouble::NotModified) => Ok(Value::Null),
            Err(trouble) => Err(trouble.into_change_error()),
        }
    }

    /// Makes a container and connects it to its further networks; the answer is its id.
    pub(super) async fn make(&self, name: &str, plan: &config::Plan) -> Result<String, Error> {
        let made = self.act(Method::POST, &format!("/containers/create?name={name}"), Some(&plan.body)).await?;
        let id = made["Id"].as_str().ok_or_else(|| Error::timeout("docker made a container and does not say which"))?;
        Ok(id.to_owned())
    }

    pub(super) async fn join(&self, id: &str, plan: &config::Plan) -> Result<(), Error> {
        for (network, endpoint) in &plan.networks {
            super::check_name(network)?;
            let body = json!({"Container": id, "EndpointConfig": endpoint});
            self.act(Method::POST, &format!("/networks/{network}/connect"), Some(&body)).await?;
        }
        Ok(())
    }

    /// What became of a recreation that nobody saw the end of, and the way on from there.
    pub(in crate::driver) async fn settle_recreation(
        &self,
        last: Option<&Value>,
        steps: &dyn Steps,
        horizon_passed: bool,
    ) -> Result<Settled, Error> {
        // Where it would go is on disk before anything is sent.
        let Some(last) = last else { return Ok(Settled::Is(Recovered::NotDone)) };
        let Ok(saga) = serde_json::from_value::<Saga>(last.clone()) else {
            return Ok(Settled::Is(Recovered::Unknown("its sub-steps cannot be read".to_owned())));
        };
        if !saga.is_quiet() {
            return Ok(Settled::Later(saga.within_ms));
        }
        Way { host: self, steps, saga }.settle(horizon_passed).await
    }
}

impl Way<'_> {
    async fn note(&mut self, phase: Phase, within_ms: u64) -> Result<(), Error> {
        self.saga.recreate = phase;
        self.saga.boot_ms = boot_ms();
        self.saga.within_ms = within_ms + CALL_MS;
        let data = serde_json::to_value(&self.saga).map_err(|error| Error::failed(error.to_string()))?;
        self.steps.step(data).await
    }

    async fn forward(&mut self, plan: &config::Plan, grace_ms: u64, healthy_within_ms: u64) -> Result<(), Error> {
        self.note(Phase::Creating, 0).await?;
        let new = self.host.make(&self.saga.draft, plan).await?;
        self.saga.new = Some(new.clone());
        if !plan.networks.is_empty() {
            self.note(Phase::Connecting, 0).await?;
            self.host.join(&new, plan).await?;
        }
        self.note(Phase::Holding, 0).await?;
        self.update_policy(&json!({"Name": "no", "MaximumRetryCount": 0})).await?;
        self.note(Phase::Stopping, grace_ms).await?;
        let seconds = grace_ms.div_ceil(1_000);
        self.host.act(Method::POST, &format!("/containers/{}/stop?t={seconds}", self.saga.old), None).await?;
        self.note(Phase::SettingAside, 0).await?;
        self.rename(&self.saga.old, &self.saga.aside).await?;
        self.note(Phase::Naming, 0).await?;
        self.rename(&new, &self.saga.name).await?;
        self.note(Phase::Starting, 0).await?;
        self.host.act(Method::POST, &format!("/containers/{new}/start"), None).await?;
        self.note(Phase::Watching, 0).await?;
        self.watch(&new, healthy_within_ms).await?;
        self.note(Phase::Committed, 0).await
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        self.host.act(Method::POST, &format!("/containers/{id}/rename?name={name}"), None).await.map(drop)
    }

    async fn update_policy(&self, policy: &Value) -> Result<(), Error> {
        let body = json!({"RestartPolicy": policy});
        self.host.act(Method::POST, &format!("/containers/{}/update", self.saga.old), Some(&body)).await.map(drop)
    }

    /// Until the new one is well. Errors: `failed`, saying what is wrong with it.
    async fn watch(&self, new: &str, within_ms: u64) -> Result<(), Error> {
        let begun = tokio::time::Instant::now();
        loop {
            let waited_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let found = self.host.inspect(new).await.map_err(Trouble::into_read_error)?;
            match wellness(&convert::state(&found), waited_ms, within_ms) {
                Wellness::Well => return Ok(()),
                Wellness::Ill(why) => return Err(Error::failed(why)),
                Wellness::Unsure => tokio::time::sleep(Duration::from_millis(LOOK_MS)).await,
            }
        }
    }

    /// The old one goes. Errors: `timeout`, when that is not known: then it is settled later.
    async fn finish(&self) -> Result<Recreated, Error> {
        let path = format!("/containers/{}?v=false&force=true", self.saga.old);
        match self.host.act(Method::DELETE, &path, None).await {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::NotFound => {}
            // It is being removed already, or the engine needs another moment.
            Err(error) => {
                return Err(Error::timeout(format!(
                    "the new container is well, the old one is not removed yet: {error}"
                )));
            }
        }
        self.outcome().await
    }

    async fn outcome(&self) -> Result<Recreated, Error> {
        let new = self.saga.new.clone().unwrap_or_default();
        let found = self.host.inspect(&new).await.map_err(Trouble::into_read_error)?;
        Ok(Recreated {
            name: self.saga.name.clone(),
            id: new,
            old_id: self.saga.old.clone(),
            image: found.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default(),
            state: convert::state(&found),
        })
    }

    /// What a failed recreation answers once the old container is back; `timeout` where that is not known.
    async fn give_up(&self, error: Error) -> Error {
        if self.saga.recreate == Phase::Committed {
            return Error::timeout(error.message);
        }
        if error.kind == ErrorKind::Timeout {
            // The lost call may still be under way.
            tokio::time::sleep(Duration::from_millis(self.saga.within_ms)).await;
        }
        match self.back().await {
            Ok(Back::AsItWas) => {
                let kind = if error.kind == ErrorKind::Timeout { ErrorKind::Failed } else { error.kind };
                Error::new(kind, format!("{}; the old container is as it was", error.message))
            }
            Ok(Back::Down(why)) => {
                Error::failed(format!("{}; the old container is back, but does not start: {why}", error.message))
            }
            Err(back) => Error::timeout(format!("{}; the way back is not finished: {}", error.message, back.message)),
        }
    }

    /// The new container's id, also where its making was never answered.
    async fn new_id(&self) -> Result<Option<String>, Error> {
        if let Some(new) = &self.saga.new {
            return Ok(Some(new.clone()));
        }
        match self.host.raw(&self.saga.draft).await {
            Ok(found) => Ok(found["Id"].as_str().map(str::to_owned)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The old container as it was. Each step looks first, so that it can be taken again. An engine that refuses to start it is
    /// not asked again: what it needs went while it ran, such as the container whose network it was in.
    async fn back(&self) -> Result<Back, Error> {
        let old = self.host.raw(&self.saga.old).await?;
        if let Some(new) = self.new_id().await? {
            match self.host.act(Method::DELETE, &format!("/containers/{new}?v=false&force=true"), None).await {
                Ok(_) => {}
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if old["Name"].as_str().unwrap_or_default().trim_start_matches('/') != self.saga.name {
            self.rename(&self.saga.old, &self.saga.name).await?;
        }
        if old["HostConfig"]["RestartPolicy"] != self.saga.policy {
            self.update_policy(&self.saga.policy).await?;
        }
        if !self.saga.ran || old["State"]["Running"] == true {
            return Ok(Back::AsItWas);
        }
        let start = self.host.wire.json(Method::POST, &format!("/containers/{}/start", self.saga.old), None).await;
        match start.map_err(Trouble::from_fault) {
            Ok(_) | Err(Trouble::NotModified) => Ok(Back::AsItWas),
            Err(Trouble::Told(error)) => Ok(Back::Down(error.message)),
            Err(trouble) => Err(trouble.into_change_error()),
        }
    }

    async fn settle(mut self, horizon_passed: bool) -> Result<Settled, Error> {
        if self.saga.recreate == Phase::Committed {
            return self.finish().await.and_then(done);
        }
        if self.saga.recreate >= Phase::Starting
            && let Some(new) = self.saga.new.clone()
        {
            match self.host.inspect(&new).await {
                // It has had its time by now, unless it is still coming up.
                Ok(found) => match wellness(&convert::state(&found), RUNS_FOR_MS, u64::MAX) {
                    Wellness::Well if convert::name(&found) == self.saga.name => {
                        self.note(Phase::Committed, 0).await?;
                        return self.finish().await.and_then(done);
                    }
                    Wellness::Unsure if !horizon_passed => return Ok(Settled::Later(LOOK_MS * 4)),
                    Wellness::Well | Wellness::Unsure | Wellness::Ill(_) => {}
                },
                Err(Trouble::Told(error)) if error.kind == ErrorKind::NotFound => {}
                Err(trouble) => return Err(trouble.into_read_error()),
            }
        }
        match self.back().await {
            Ok(Back::AsItWas | Back::Down(_)) => Ok(Settled::Is(Recovered::NotDone)),
            Err(error) if error.kind == ErrorKind::NotFound => {
                let why = format!("the old container {} is gone before the new one was well", short(&self.saga.old));
                Ok(Settled::Is(Recovered::Unknown(why)))
            }
            Err(error) => Err(error),
        }
    }
}

fn done(recreated: Recreated) -> Result<Settled, Error> {
    let value = serde_json::to_value(recreated).map_err(|error| Error::failed(error.to_string()))?;
    Ok(Settled::Is(Recovered::Done(value)))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// How long a container's own stop waits.
fn own_grace_ms(container: &Value) -> u64 {
    container["Config"]["StopTimeout"].as_u64().map_or(GRACE_MS, |seconds| seconds.saturating_mul(1_000))
}

/// Names of images hold slashes; everything that would end a path is refused.
fn image_path(name: &str) -> Result<&str, Error> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b':' | b'.' | b'_' | b'-' | b'@');
    if !name.is_empty() && name.bytes().all(known) && !name.contains("..") {
        return Ok(name);
    }
    Err(Error::invalid(format!("image `{}` is no name of an image, such as `shop/web:1.4`", name.escape_debug())))
}

/// How the old container is after the way back.
#[derive(Debug, PartialEq, Eq)]
enum Back {
    AsItWas,
    /// In its place, and the engine says why it does not start.
    Down(String),
}

/// How a new container is.
#[derive(Debug, PartialEq, Eq)]
enum Wellness {
    Well,
    Unsure,
    Ill(String),
}

fn wellness(state: &ContainerState, waited_ms: u64, within_ms: u64) -> Wellness {
    let late = waited_ms >= within_ms;
    match (state.status, state.health) {
        (Status::Running, Health::Healthy) => Wellness::Well,
        (Status::Running, Health::None) if state.restart_count > 0 => Wellness::Ill(ended(state)),
        (Status::Running, Health::None) if waited_ms >= RUNS_FOR_MS.min(within_ms) => Wellness::Well,
        (Status::Running, Health::Unhealthy) => Wellness::Ill("the new container is unhealthy".to_owned()),
        (Status::Running, Health::None | Health::Starting) if late => {
            Wellness::Ill(format!("the new container is not healthy within {within_ms} ms"))
        }
        (Status::Running, Health::None | Health::Starting) => Wellness::Unsure,
        (
            Status::Created | Status::Paused | Status::Restarting | Status::Removing | Status::Exited | Status::Dead,
            _,
        ) => Wellness::Ill(ended(state)),
    }
}

fn ended(state: &ContainerState) -> String {
    match (state.exit_code, state.error.as_str()) {
        (_, error) if !error.is_empty() => format!("the new container did not start: {error}"),
        (Some(code), _) => format!("the new container ended with exit code {code}"),
        (None, _) => "the new container ended and was started again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_is_healthy_or_running_for_a_while() {
        let state = |status, health| ContainerState { status, health, ..ContainerState::default() };
        let running = state(Status::Running, Health::None);
        assert_eq!(wellness(&running, 0, 60_000), Wellness::Unsure);
        assert_eq!(wellness(&running, RUNS_FOR_MS, 60_000), Wellness::Well);
        let again = ContainerState { restart_count: 1, ..running };
        assert!(matches!(wellness(&again, RUNS_FOR_MS, 60_000), Wellness::Ill(_)), "it restarts");
        let starting = state(Status::Running, Health::Starting);
        assert_eq!(wellness(&starting, 59_999, 60_000), Wellness::Unsure);
        assert!(matches!(wellness(&starting, 60_000, 60_000), Wellness::Ill(_)));
        assert_eq!(wellness(&state(Status::Running, Health::Healthy), 0, 1), Wellness::Well);
        assert!(matches!(wellness(&state(Status::Exited, Health::None), 0, 1), Wellness::Ill(_)));
    }

    #[test]
    fn names_of_images_reach_no_other_path() {
        for good in ["web", "registry:5000/shop/web:1.4", "web@sha256:00ff"] {
            assert!(image_path(good).is_ok(), "{good}");
        }
        for bad in ["", "../containers", "web?x", "web#", "a b"] {
            assert!(image_path(bad).is_err(), "{bad}");
        }
    }
}
