//! Services of a host: of compose by the labels of their containers, of the swarm by its own list.
//!
//! Scaling goes towards a number, so a repetition goes on where the attempt before it ended. Deliberately not here: what
//! a name means among containers, and which of them go ([`sandbook_core::service`]).

use hyper::Method;
use sandbook_core::effect::docker::{ScaleService, Scaled};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::Recovered;
use sandbook_core::service::{self, Member, Standing};
use sandbook_core::target::{LABEL_PROJECT, LABEL_SERVICE, Resolved};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fault::Trouble;
use super::recreate::config;
use super::{Host, check_name};
use crate::driver::{Settled, Steps};

impl Host {
    /// The one service of that name as it stands. Errors: `not-found`, `invalid` for several of that name, `failed`.
    pub(in crate::driver) async fn service(&self, name: &str) -> Result<Standing, Error> {
        let members = self.service_members(name).await?;
        if let Some(standing) = service::named(&members, name)? {
            return Ok(standing);
        }
        self.swarm_service(name).await
    }

    /// Containers that could be of that service, shields included.
    pub(super) async fn service_members(&self, name: &str) -> Result<Vec<Member>, Error> {
        let (project, service) = match name.split_once('/') {
            Some((project, service)) => (Some(project), service),
            None => (None, name),
        };
        check_name(service)?;
        let mut labels = vec![format!("{LABEL_SERVICE}={service}")];
        if let Some(project) = project {
            check_name(project)?;
            labels.push(format!("{LABEL_PROJECT}={project}"));
        }
        let listed = self.summaries(true, labels).await.map_err(Trouble::into_read_error)?;
        let mut members = Vec::new();
        for id in listed.into_iter().filter_map(|one| one.id) {
            let found = match self.find(&id).await {
                Ok(found) => found,
                // Gone since the listing.
                Err(error) if error.kind == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut facts = found.facts.clone();
            facts.shield = self.shield(&found).await?.or(facts.shield);
            members.extend(Member::new(&found.name, &found.id, facts));
        }
        Ok(members)
    }

    async fn swarm_service(&self, name: &str) -> Result<Standing, Error> {
        let lost = || Error::not_found(format!("there is no service `{name}` on host `{}`", self.name));
        // A stack's service is called stack_service.
        let name = name.replace('/', "_");
        check_name(&name)?;
        let found = match self.read(self.wire.json(Method::GET, &format!("/services/{name}"), None)).await {
            Ok(found) => found,
            Err(Trouble::Told(error)) if error.kind == ErrorKind::NotFound => return Err(lost()),
            // Not in a swarm, or no manager of one.
            Err(Trouble::Told(error)) if error.message.contains("503") => return Err(lost()),
            Err(trouble) => return Err(trouble.into_read_error()),
        };
        let replicas = found["Spec"]["Mode"]["Replicated"]["Replicas"].as_u64();
        let replicas = replicas.and_then(|count| u32::try_from(count).ok()).ok_or_else(|| {
            Error::conflict(format!("swarm service `{name}` runs once on every node, it has no number of replicas"))
        })?;
        let name = found["Spec"]["Name"].as_str().unwrap_or(&name).to_owned();
        let mut standing = Standing::swarm(&name, found["ID"].as_str(), replicas);
        let labels = found["Spec"]["Labels"].as_object().into_iter().flatten();
        standing.facts.labels =
            labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        let image = &found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"];
        standing.facts.image = image.as_str().unwrap_or_default().to_owned();
        let read =
            sandbook_core::target::Facts::from_labels(String::new(), String::new(), standing.facts.labels.clone());
        standing.facts.shield = read.shield;
        Ok(standing)
    }
}

/// Where a scaling is, as its sub-steps journal it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Going {
    scale: String,
    name: String,
}

impl Host {
    pub(in crate::driver) async fn scale(
        &self,
        name: &str,
        op: &ScaleService,
        steps: &dyn Steps,
    ) -> Result<Scaled, Error> {
        let standing = self.service(name).await?;
        let (before, after) = (standing.replicas, op.replicas);
        let mut done = Scaled { changed: before != after, before, after, created: Vec::new(), removed: Vec::new() };
        if let Some(id) = &standing.swarm {
            if done.changed {
                self.scale_swarm(id, after).await?;
            }
            return Ok(done);
        }
        let members = self.service_members(&standing.name).await?;
        // Made by an attempt before this one and not started yet.
        for member in members.iter().filter(|member| member.facts.state == "created") {
            self.start_replica(&member.name, &member.id).await?;
            done.changed = true;
        }
        let todo = service::steps(&members, after);
        for number in todo.create {
            done.created.push(self.make_replica(&members, number, steps).await?);
        }
        let leaving: Vec<&Member> = members.iter().filter(|member| todo.remove.contains(&member.name)).collect();
        for member in &leaving {
            note(steps, "removing", &member.name).await?;
        }
        // Each may take its whole grace; together they take it once.
        let gone =
            futures::future::join_all(leaving.iter().map(|member| self.retire(member, op.options.grace_ms))).await;
        gone.into_iter().collect::<Result<Vec<()>, Error>>()?;
        done.removed = todo.remove;
        Ok(done)
    }

    async fn scale_swarm(&self, id: &str, replicas: u32) -> Result<(), Error> {
        check_name(id)?;
        let found = self.read(self.wire.json(Method::GET, &format!("/services/{id}"), None)).await;
        let found = found.map_err(Trouble::into_read_error)?;
        let mut spec = found["Spec"].clone();
        spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
        // Refused when somebody else changed it meanwhile.
        let version = found["Version"]["Index"].as_u64().unwrap_or_default();
        self.act(Method::POST, &format!("/services/{id}/update?version={version}"), Some(&spec)).await.map(drop)
    }

    async fn make_replica(&self, members: &[Member], number: u32, steps: &dyn Steps) -> Result<String, Error> {
        let running = members.iter().find(|member| member.facts.state == "running");
        let Some(model) = running.or(members.first()) else {
            return Err(Error::not_found("the service has no container to go by"));
        };
        let name = service::name_of(model, number);
        let plan = config::replica(&self.raw(&model.id).await?, number)
            .map_err(|error| Error::new(error.kind, format!("container `{}`: {}", model.name, error.message)))?;
        check_name(&name)?;
        note(steps, "creating", &name).await?;
        let id = self.make(&name, &plan).await?;
        self.join(&id, &plan).await?;
        note(steps, "starting", &name).await?;
        match self.start_replica(&name, &id).await {
            Ok(()) => Ok(name),
            Err(error) if error.kind == ErrorKind::Timeout => Err(error),
            Err(error) => {
                // What does not start is no replica.
                let _ = self.act(Method::DELETE, &format!("/containers/{id}?v=false&force=true"), None).await;
                Err(error)
            }
        }
    }

    async fn start_replica(&self, name: &str, id: &str) -> Result<(), Error> {
        let started = self.act(Method::POST, &format!("/containers/{id}/start"), None).await;
        started.map(drop).map_err(|error| Error::new(error.kind, format!("container `{name}`: {}", error.message)))
    }

    async fn retire(&self, member: &Member, grace_ms: Option<u64>) -> Result<(), Error> {
        let grace = grace_ms.map_or_else(String::new, |ms| format!("?t={}", ms.div_ceil(1_000)));
        let gone = async {
            self.act(Method::POST, &format!("/containers/{}/stop{grace}", member.id), None).await?;
            self.act(Method::DELETE, &format!("/containers/{}?v=false", member.id), None).await
        };
        match gone.await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How a scaling turned out: done when there are as many as wanted and all were started.
    pub(in crate::driver) async fn settle_scaling(
        &self,
        resolved: &Resolved,
        op: &ScaleService,
        horizon_passed: bool,
    ) -> Result<Settled, Error> {
        let (Some(before), now) = (Standing::of(resolved), self.service(&resolved.target.name).await?) else {
            return Ok(Settled::Is(Recovered::Unknown("how many there were was not recorded".to_owned())));
        };
        let members = match &now.swarm {
            Some(_) => Vec::new(),
            None => self.service_members(&now.name).await?,
        };
        if now.replicas == op.replicas && members.iter().all(|member| member.facts.state != "created") {
            let new = |name: &&String| !before.members.contains(name);
            let gone = |name: &&String| !now.members.contains(name);
            let scaled = Scaled {
                changed: before.replicas != op.replicas,
                before: before.replicas,
                after: now.replicas,
                created: now.members.iter().filter(new).cloned().collect(),
                removed: before.members.iter().filter(gone).cloned().collect(),
            };
            let value = serde_json::to_value(scaled).map_err(|error| Error::failed(error.to_string()))?;
            return Ok(Settled::Is(Recovered::Done(value)));
        }
        // The number is what is asked for, so going on from here repeats nothing.
        Ok(if horizon_passed { Settled::Is(Recovered::NotDone) } else { Settled::AtHorizon })
    }
}

async fn note(steps: &dyn Steps, what: &str, name: &str) -> Result<(), Error> {
    let going = Going { scale: what.to_owned(), name: name.to_owned() };
    steps.step(serde_json::to_value(going).map_err(|error| Error::failed(error.to_string()))?).await
}
