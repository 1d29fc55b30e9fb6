//! Docker engines by name: the only place that speaks to them.
//!
//! One [`Host`] is one configured engine. Effects arrive with an instance id and leave as plain data; names are
//! resolved here and afresh every time, only what Docker never changes about an id is remembered. Deliberately not
//! here: authority. Whoever calls has a permit, or only reads.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error as Fault;
use bollard::models;
use futures::{Stream, StreamExt as _};
use sandbook_core::effect::docker::{ContainerDetails, ContainerState};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::target::Facts;

pub mod breaker;
mod change;
mod client;
pub(in crate::driver) mod convert;
mod dial;
mod disk;
mod endpoint;
mod event;
mod exec;
pub(in crate::driver) mod fault;
mod network;
mod own;
mod past;
mod population;
mod read;
mod recreate;
mod service;
pub mod throwaway;

pub use client::{CONNECT_MS_DEFAULT, READ_MS_DEFAULT, Versions};
pub use endpoint::{Endpoint, Identity, Ssh, Tls};
pub use event::EngineEvent;
pub use exec::ExecState;
pub use past::LastExit;
pub(in crate::driver) use read::instant;

use client::Wire;
use fault::Trouble;

/// Containers whose fixed facts are remembered: a few hosts' worth, each a few hundred bytes.
const FIXED_MAX: usize = 8_192;
/// Shortest id prefix taken for an id: what `docker ps` prints. Shorter ones are rather names that look like hex.
const ID_PREFIX_MIN: usize = 12;
/// Longest container name or id prefix Docker knows.
const NAME_BYTES_MAX: usize = 255;

/// How one engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one read outside an effect's own deadline may take.
    pub read_timeout: Duration,
}

impl Settings {
    /// Default timeouts for an endpoint such as `unix:///var/run/docker.sock`. Errors: `invalid`.
    pub fn new(endpoint: &str) -> Result<Settings, Error> {
        Ok(Settings {
            endpoint: Endpoint::parse(endpoint)?,
            connect_timeout: Duration::from_millis(CONNECT_MS_DEFAULT),
            read_timeout: Duration::from_millis(READ_MS_DEFAULT),
        })
    }
}

/// What Docker never changes about a container id.
#[derive(Debug)]
pub(in crate::driver) struct Fixed {
    /// Whether its log is raw: no streams, no frames.
    pub(in crate::driver) tty: bool,
    pub(in crate::driver) volumes_from: Vec<String>,
}

/// A container found by name, with a fresh look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Full id.
    pub id: String,
    /// Without Docker's leading `/`.
    pub name: String,
    /// Image, state and labels.
    pub facts: Facts,
    /// As it is now.
    pub state: ContainerState,
    /// Docker's word, such as `unless-stopped`.
    pub restart_policy: String,
}

/// How long a look made to resolve an effect may answer it: the gate is microseconds away.
const SEEN_FOR: Duration = Duration::from_millis(50);
/// Looks kept at the most: more than runs at once.
const SEEN_MAX: usize = 256;

/// One configured engine. Building it connects to nothing.
pub struct Host {
    name: String,
    wire: Wire,
    docker: Docker,
    read_timeout: Duration,
    fixed: Mutex<HashMap<String, Arc<Fixed>>>,
    /// What the latest resolutions saw, for the inspection they were made for.
    seen: Mutex<HashMap<String, (Instant, models::ContainerInspectResponse)>>,
    counted: population::Counted,
    /// What events told.
    past: Arc<past::Past>,
    /// Ids this process may run under.
    own_ids: Vec<String>,
    /// What the engine itself needs on this host, while that is known.
    known: Arc<Mutex<Option<Arc<own::Known>>>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({} at {})", self.name, self.wire.endpoint())
    }
}

impl Host {
    /// An engine under its configured name.
    pub fn new(name: impl Into<String>, settings: Settings) -> Host {
        let name = name.into();
        let wire = Wire::new(name.clone(), settings.endpoint, settings.connect_timeout, settings.read_timeout);
        Host {
            name,
            docker: wire.docker(),
            wire,
            read_timeout: settings.read_timeout,
            fixed: Mutex::new(HashMap::new()),
            seen: Mutex::default(),
            counted: population::Counted::default(),
            past: Arc::default(),
            own_ids: own::own_ids(),
            known: Arc::default(),
        }
    }

    /// The same as if this process ran in a container of that id.
    #[cfg(test)]
    pub(in crate::driver) fn running_in(self, id: &str) -> Host {
        Host { own_ids: vec![id.to_owned()], ..self }
    }

    /// Since when the engine does not answer and why, while calls to it fail at once.
    pub fn silence(&self) -> Option<breaker::Silence> {
        self.wire.breaker().silence()
    }

    /// Returns once calls to the engine go through, at once where they do.
    pub async fn until_answering(&self) {
        self.wire.breaker().until_closed().await;
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens, for people.
    pub fn endpoint(&self) -> String {
        self.wire.endpoint().to_string()
    }

    /// API and engine version. Errors: `failed` when it cannot be reached.
    pub async fn versions(&self) -> Result<Versions, Error> {
        self.read(self.wire.versions()).await.map_err(Trouble::into_read_error)
    }

    /// Whether it answers, within the read timeout.
    pub async fn ping(&self) -> Result<(), Error> {
        self.read(self.docker.ping()).await.map(drop).map_err(Trouble::into_read_error)
    }

    /// Forgets the negotiated version; called when the engine was lost and may come back as another one.
    pub async fn forget_version(&self) {
        self.wire.forget().await;
    }

    /// Everything worth knowing of one container. Errors: `not-found`, `failed`.
    pub async fn details(&self, id: &str) -> Result<ContainerDetails, Error> {
        let container = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        Ok(convert::details(&self.name, &container))
    }

    /// The same for an effect that was resolved a moment ago: the look that resolved it is its answer, once. Any other
    /// caller wants [`Host::details`], which always looks.
    pub async fn details_as_resolved(&self, id: &str) -> Result<ContainerDetails, Error> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        match seen {
            Some((at, container)) if at.elapsed() < SEEN_FOR => Ok(convert::details(&self.name, &container)),
            Some(_) | None => self.details(id).await,
        }
    }

    /// What the look that resolved it a moment ago saw; stays there for whoever asks next.
    pub fn seen(&self, id: &str) -> Option<ContainerDetails> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(id).filter(|(at, _)| at.elapsed() < SEEN_FOR).map(|(_, at)| convert::details(&self.name, at))
    }

    fn keep_seen(&self, id: &str, container: models::ContainerInspectResponse) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_MAX {
            seen.retain(|_, (at, _)| at.elapsed() < SEEN_FOR);
        }
        if seen.len() < SEEN_MAX {
            seen.insert(id.to_owned(), (Instant::now(), container));
        }
    }

    /// Ids of all containers, running or not. Errors: `failed`.
    pub async fn ids(&self) -> Result<Vec<String>, Error> {
        let found = self.summaries(true, Vec::new()).await.map_err(Trouble::into_read_error)?;
        Ok(found.into_iter().filter_map(|container| container.id).collect())
    }

    /// One container by `name`, id, `project/service`, or the name of a service of any project, in that order.
    /// Errors: `not-found`; `invalid` for no name at all or a service with several containers, listing them.
    pub async fn find(&self, name: &str) -> Result<Found, Error> {
        let name = name.trim_start_matches('/');
        if let Some((project, service)) = name.split_once('/') {
            check_name(project)?;
            check_name(service)?;
            let labels =
                [(sandbook_core::target::LABEL_PROJECT, project), (sandbook_core::target::LABEL_SERVICE, service)];
            return self.find_service(name, &labels).await;
        }
        check_name(name)?;
        let inspected = self.inspect(name).await;
        match inspected {
            Ok(container) if is_meant(name, &container) => {
                let found = found(&container);
                self.keep_seen(&found.id, container);
                Ok(found)
            }
            Ok(_) => self.find_service(name, &[(sandbook_core::target::LABEL_SERVICE, name)]).await,
            Err(Trouble::Told(error)) if error.kind == ErrorKind::NotFound => {
                self.find_service(name, &[(sandbook_core::target::LABEL_SERVICE, name)]).await
            }
            Err(trouble) => Err(trouble.into_read_error()),
        }
    }

    async fn find_service(&self, name: &str, labels: &[(&str, &str)]) -> Result<Found, Error> {
        let filter = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let members = self.summaries(true, filter).await.map_err(Trouble::into_read_error)?;
        let mut members: Vec<_> = members.iter().map(|member| convert::summary(&self.name, member)).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        match members.as_slice() {
            [] => Err(Error::not_found(format!("there is no container `{name}` on host `{}`", self.name))),
            [one] => {
                let container = self.inspect(&one.id).await.map_err(Trouble::into_read_error)?;
                Ok(found(&container))
            }
            several => {
                let names: Vec<&str> = several.iter().map(|member| member.name.as_str()).collect();
                Err(Error::invalid(format!(
                    "`{name}` on host `{}` means {} containers: {}; name one of them",
                    self.name,
                    names.len(),
                    names.join(", ")
                )))
            }
        }
    }

    /// The container's facts and state by id, for tables. Errors: `not-found`, `failed`.
    pub async fn look(&self, id: &str) -> Result<(Found, ContainerDetails), Error> {
        let container = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        Ok((found(&container), convert::details(&self.name, &container)))
    }

    /// Container events from `since` on (absent: from now on), without end. Returns once the engine has answered, so
    /// that whatever happens after that is in the stream. A broken connection ends it with an error. Errors: `failed`.
    pub async fn follow_events(
        &self,
        since: Option<jiff::Timestamp>,
    ) -> Result<impl Stream<Item = Result<EngineEvent, Error>> + Send + use<>, Error> {
        let path = event::path(since);
        let response = self.read(self.wire.get(&path)).await.map_err(Trouble::into_read_error)?;
        let (past, known) = (self.past.clone(), self.known.clone());
        Ok(event::stream(response.into_body()).inspect(move |event| {
            if let Ok(event) = event {
                past.note(event);
                Host::forget_known(&known, &event.action);
            }
        }))
    }

    async fn inspect(&self, id: &str) -> Result<models::ContainerInspectResponse, Trouble> {
        check_name(id).map_err(Trouble::Told)?;
        Box::pin(self.read(self.docker.inspect_container(id, None))).await
    }

    /// A call under the read timeout.
    async fn read<T>(&self, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Trouble> {
        match tokio::time::timeout(self.read_timeout, call).await {
            Ok(answer) => answer.map_err(Trouble::from_fault),
            Err(_) => {
                let ms = self.read_timeout.as_millis();
                Err(Trouble::Told(Error::timeout(format!("docker host `{}` did not answer within {ms} ms", self.name))))
            }
        }
    }

    pub(in crate::driver) async fn fixed(&self, id: &str) -> Result<Arc<Fixed>, Error> {
        if let Some(fixed) = self.fixed.lock().expect("nothing panics while holding it").get(id) {
            return Ok(fixed.clone());
        }
        let container = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        let fixed = Arc::new(Fixed {
            tty: container.config.as_ref().and_then(|config| config.tty).unwrap_or(false),
            volumes_from: container.host_config.and_then(|config| config.volumes_from).unwrap_or_default(),
        });
        let mut known = self.fixed.lock().expect("nothing panics while holding it");
        if known.len() >= FIXED_MAX {
            known.clear();
        }
        known.insert(id.to_owned(), fixed.clone());
        Ok(fixed)
    }

    /// The bytes of a container's log, as Docker frames them.
    pub(in crate::driver) async fn raw_log(&self, id: &str, query: &str) -> Result<hyper::body::Incoming, Error> {
        check_name(id)?;
        let path = format!("/containers/{id}/logs?{query}");
        let response = self.read(self.wire.get(&path)).await.map_err(Trouble::into_read_error)?;
        Ok(response.into_body())
    }
}

fn found(container: &models::ContainerInspectResponse) -> Found {
    Found {
        id: container.id.clone().unwrap_or_default(),
        name: convert::name(container),
        facts: convert::facts(container),
        state: convert::state(container),
        restart_policy: convert::restart_policy_of(container),
    }
}

/// Docker also takes any prefix of an id; a short one is more likely a misspelt name.
fn is_meant(name: &str, container: &models::ContainerInspectResponse) -> bool {
    let id = container.id.as_deref().unwrap_or_default();
    convert::name(container) == name || (name.len() >= ID_PREFIX_MIN && id.starts_with(name))
}

/// Names go into a URL path unescaped, so only Docker's own alphabet passes.
fn check_name(name: &str) -> Result<(), Error> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first
        && name.len() <= NAME_BYTES_MAX
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Error::invalid(format!("`{}` is no container name: letters, digits, `_`, `.` and `-`", shown.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_reach_another_path_are_no_names() {
        for bad in ["", "..", "a/../b", "a?x=1", "-a", "a b", "ä", "a%2f", "a#"] {
            assert_eq!(check_name(bad).expect_err("refused").kind, ErrorKind::Invalid, "{bad}");
        }
        check_name("web_1.a-b").expect("a name");
    }

    #[test]
    fn a_short_hex_name_is_not_an_id_prefix() {
        let container: models::ContainerInspectResponse =
            serde_json::from_value(serde_json::json!({"Id": "cafe0123456789abcdef", "Name": "/web"}))
                .expect("an answer");
        assert!(!is_meant("cafe", &container));
        assert!(is_meant("cafe01234567", &container) && is_meant("web", &container));
    }
}
