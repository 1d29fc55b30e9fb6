//! Networks of a container, and containers that go.
//!
//! Deliberately not here: making and removing networks, and volumes, which stay.

use hyper::Method;
use sandbook_core::effect::docker::{ConnectNetwork, DisconnectNetwork, NetworkChange, RemoveContainer, Removed};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::Recovered;
use sandbook_core::target::Target;
use serde_json::{Value, json};

use super::fault::Trouble;
use super::{Host, check_name};
use crate::driver::{Settled, Steps};

impl Host {
    pub(in crate::driver) async fn connect(
        &self,
        id: &str,
        op: &ConnectNetwork,
        steps: &dyn Steps,
    ) -> Result<NetworkChange, Error> {
        let before = self.networks_of(id).await?;
        if before.contains(&op.network) {
            return Ok(NetworkChange { changed: false, networks: before });
        }
        let network = self.network(&op.network).await?;
        let mut endpoint = json!({});
        if let Some(aliases) = &op.options.aliases {
            endpoint["Aliases"] = json!(aliases);
        }
        if let Some(address) = &op.options.ipv4_address {
            endpoint["IPAMConfig"] = json!({"IPv4Address": address});
        }
        steps.step(json!({"networks": before})).await?;
        let body = json!({"Container": id, "EndpointConfig": endpoint});
        self.act(Method::POST, &format!("/networks/{network}/connect"), Some(&body)).await?;
        Ok(NetworkChange { changed: true, networks: self.networks_of(id).await.map_err(after)? })
    }

    pub(in crate::driver) async fn disconnect(
        &self,
        id: &str,
        op: &DisconnectNetwork,
        steps: &dyn Steps,
    ) -> Result<NetworkChange, Error> {
        let before = self.networks_of(id).await?;
        if !before.contains(&op.network) {
            return Ok(NetworkChange { changed: false, networks: before });
        }
        let network = self.network(&op.network).await?;
        steps.step(json!({"networks": before})).await?;
        let body = json!({"Container": id, "Force": false});
        self.act(Method::POST, &format!("/networks/{network}/disconnect"), Some(&body)).await?;
        Ok(NetworkChange { changed: true, networks: self.networks_of(id).await.map_err(after)? })
    }

    /// A network by its name, and by nothing else: an id would not be found among a container's networks.
    async fn network(&self, name: &str) -> Result<String, Error> {
        check_name(name)?;
        let found = self.read(self.wire.json(Method::GET, &format!("/networks/{name}"), None)).await;
        let found = found.map_err(Trouble::into_read_error)?;
        match found["Name"].as_str() {
            Some(known) if known == name => Ok(name.to_owned()),
            Some(known) => Err(Error::invalid(format!("`{name}` is the id of network `{known}`; give the name"))),
            None => Err(Error::failed(format!("docker says nothing of network `{name}`"))),
        }
    }

    async fn networks_of(&self, id: &str) -> Result<Vec<String>, Error> {
        let found = self.raw(id).await?;
        let networks = found["NetworkSettings"]["Networks"].as_object();
        Ok(networks.into_iter().flat_map(|all| all.keys().cloned()).collect())
    }

    /// Whether a container became connected or not; both show in its networks.
    pub(in crate::driver) async fn settle_network(
        &self,
        id: &str,
        (network, connected): (&str, bool),
        last: Option<&Value>,
        horizon_passed: bool,
    ) -> Result<Settled, Error> {
        // They are recorded before anything is sent.
        if last.is_none() {
            return Ok(Settled::Is(Recovered::NotDone));
        }
        let networks = match self.networks_of(id).await {
            Ok(networks) => networks,
            Err(error) if error.kind == ErrorKind::NotFound => {
                return Ok(Settled::Is(Recovered::Unknown("the container is gone".to_owned())));
            }
            Err(error) => return Err(error),
        };
        if networks.iter().any(|one| one == network) == connected {
            let value = serde_json::to_value(NetworkChange { changed: true, networks });
            return Ok(Settled::Is(Recovered::Done(value.map_err(|error| Error::failed(error.to_string()))?)));
        }
        Ok(if horizon_passed { Settled::Is(Recovered::NotDone) } else { Settled::AtHorizon })
    }

    pub(in crate::driver) async fn remove(
        &self,
        target: &Target,
        id: &str,
        op: &RemoveContainer,
    ) -> Result<Removed, Error> {
        let force = op.options.force == Some(true);
        self.act(Method::DELETE, &format!("/containers/{id}?v=false&force={force}"), None).await?;
        Ok(Removed { name: target.name.clone(), id: id.to_owned() })
    }

    /// Whether a container is gone.
    pub(in crate::driver) async fn settle_removal(
        &self,
        target: &Target,
        id: &str,
        horizon_passed: bool,
    ) -> Result<Settled, Error> {
        match self.raw(id).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                let value = serde_json::to_value(Removed { name: target.name.clone(), id: id.to_owned() });
                Ok(Settled::Is(Recovered::Done(value.map_err(|error| Error::failed(error.to_string()))?)))
            }
            Err(error) => Err(error),
            Ok(_) if horizon_passed => Ok(Settled::Is(Recovered::NotDone)),
            Ok(_) => Ok(Settled::AtHorizon),
        }
    }
}

/// It happened, only what it left behind is not known.
fn after(error: Error) -> Error {
    Error::timeout(format!("the change was made, but not what it left behind: {}", error.message))
}
