//! Effects on the networks a container is connected to.
//!
//! Deliberately not here: making and removing networks. They belong to whoever deploys.

use serde::{Deserialize, Serialize};

use crate::effect::{Class, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

use super::REFERENCE_BYTES_MAX;

/// Longest name of a network.
const NETWORK_BYTES_MAX: usize = 255;
/// Further names on one network at the most.
const ALIASES_MAX: usize = 16;

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ConnectOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aliases: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_address: Option<String>,
}

/// Which networks a container has afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct NetworkChange {
    pub changed: bool,
    pub networks: Vec<String>,
}

/// Connects a container to a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectNetwork {
    /// Handle, name or `host/name`.
    pub container: String,
    /// By name.
    pub network: String,
    /// How.
    #[serde(default)]
    pub options: ConnectOptions,
}

/// Disconnects a container from a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisconnectNetwork {
    /// Handle, name or `host/name`.
    pub container: String,
    /// By name.
    pub network: String,
}

fn check(container: &str, network: &str) -> Result<(), Error> {
    if container.is_empty() {
        return Err(Error::invalid("container is empty"));
    }
    check_text("container", container, REFERENCE_BYTES_MAX)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if network.is_empty() || !network.bytes().all(plain) {
        return Err(Error::invalid(format!("network `{}` is not a name", network.escape_debug())));
    }
    check_text("network", network, NETWORK_BYTES_MAX)
}

impl Op for ConnectNetwork {
    type Output = NetworkChange;
    const NAME: &'static str = "docker.connect-network";
    const CLASS: Class = Class::Mutate;
    const DEADLINE_MS: u64 = 15_000;
    const OUTPUT_BYTES_MAX: usize = super::CHANGE_BYTES;
    fn recovery(&self) -> Recovery {
        Recovery::Look
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Container(&self.container)
    }
    fn validate(&self) -> Result<(), Error> {
        check(&self.container, &self.network)?;
        let aliases = self.options.aliases.as_deref().unwrap_or_default();
        check_range("the number of aliases", Some(aliases.len()), 0, ALIASES_MAX)?;
        for alias in aliases {
            check_text("aliases", alias, NETWORK_BYTES_MAX)?;
        }
        match &self.options.ipv4_address {
            Some(text) if text.parse::<std::net::Ipv4Addr>().is_err() => {
                Err(Error::invalid(format!("ipv4_address `{}` is no address", text.escape_debug())))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Op for DisconnectNetwork {
    type Output = NetworkChange;
    const NAME: &'static str = "docker.disconnect-network";
    const CLASS: Class = Class::Mutate;
    const DEADLINE_MS: u64 = 15_000;
    const OUTPUT_BYTES_MAX: usize = super::CHANGE_BYTES;
    fn recovery(&self) -> Recovery {
        Recovery::Look
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Container(&self.container)
    }
    fn validate(&self) -> Result<(), Error> {
        check(&self.container, &self.network)
    }
}
