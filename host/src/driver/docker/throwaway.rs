//! The throw-away container of `sandbook demo --docker`: unhealthy until it is restarted.
//!
//! Deliberately not here: anything a runbook could reach. Creating containers is no effect of this version.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions};

use super::{Host, Settings};

/// Image used when none is named: small, and it has a shell.
pub const IMAGE_DEFAULT: &str = "busybox:latest";
/// Whoever reads `docker ps` shall know where it comes from.
const LABEL: &str = "sandbook.demo";
/// How long it takes to be found unhealthy: two probes, a second apart, and some patience for slow machines.
const SICK_WITHIN: Duration = Duration::from_secs(30);
/// Well from its second start on.
const PROGRAM: &str = "if [ -f /ran ]; then touch /well; fi; touch /ran; \
    echo 'ERROR GET / 500: connection pool exhausted'; trap 'exit 0' TERM; while true; do sleep 1; done";
/// Fails until then.
const PROBE: &str = "test -f /well || { echo 'HTTP 500: connection pool exhausted'; exit 1; }";
/// Docker counts durations of health checks in nanoseconds.
const SECOND_NS: i64 = 1_000_000_000;

/// A container of the demo's own.
pub struct ThrowAway {
    host: Host,
    /// Its name.
    pub name: String,
}

impl ThrowAway {
    /// Creates and starts it, and waits until its health check has failed.
    ///
    /// # Errors
    /// When the engine does not answer, or has no such image.
    pub async fn start(endpoint: &str, image: &str) -> Result<ThrowAway> {
        let host = Host::new("demo", Settings::new(endpoint)?);
        host.ping().await.with_context(|| format!("no Docker engine answers at {endpoint}"))?;
        let name = format!("sandbook-demo-{}", std::process::id());
        let shell = |text: &str| vec!["sh".to_owned(), "-c".to_owned(), text.to_owned()];
        let health = HealthConfig {
            test: Some(vec!["CMD-SHELL".to_owned(), PROBE.to_owned()]),
            interval: Some(SECOND_NS),
            timeout: Some(2 * SECOND_NS),
            retries: Some(2),
            ..HealthConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: Some(shell(PROGRAM)),
            healthcheck: Some(health),
            labels: Some(HashMap::from([(LABEL.to_owned(), "true".to_owned())])),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = host.docker.create_container(Some(options), body).await;
        created.with_context(|| format!("cannot create a container from {image}; `docker pull {image}`, or name an image with a shell by --image"))?;
        let demo = ThrowAway { host, name };
        if let Err(error) = demo.make_sick().await {
            demo.remove().await;
            return Err(error);
        }
        Ok(demo)
    }

    async fn make_sick(&self) -> Result<()> {
        self.host.docker.start_container(&self.name, None::<StartContainerOptions>).await?;
        let until = tokio::time::Instant::now() + SICK_WITHIN;
        while tokio::time::Instant::now() < until {
            let found = self.host.find(&self.name).await?;
            if found.state.health == sandbook_core::effect::docker::Health::Unhealthy {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the demo's container did not become unhealthy within {} s", SICK_WITHIN.as_secs())
    }

    /// Removes it. What fails here is told, not returned: the demo has already shown what it is for.
    pub async fn remove(&self) {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        if let Err(error) = self.host.docker.remove_container(&self.name, Some(options)).await {
            eprintln!("the demo's container {} could not be removed: {error}", self.name);
        }
    }
}
