//! Changes of containers: each bound to an instance, each answering with the state it left behind.
//!
//! "Already so" is an answer, not an error. A broken connection is a timeout, because dockerd finishes work whose
//! client is gone. Deliberately not here: deciding whether to change anything, and repeating what was lost.

use bollard::errors::Error as Fault;
use bollard::models;
use bollard::query_parameters::{
    KillContainerOptions, RestartContainerOptions, StartContainerOptions, StopContainerOptions,
};
use sandbook_core::effect::docker::{Change, KillOptions, Resources, Status, StopOptions};
use sandbook_core::error::{Error, ErrorKind};

use super::fault::Trouble;
use super::{Host, convert};

/// Billionths of a core in one.
const NANO: f64 = 1e9;

impl Host {
    pub(in crate::driver) async fn start(&self, id: &str) -> Result<Change, Error> {
        let done = self.docker.start_container(id, None::<StartContainerOptions>).await;
        self.changed(id, done).await
    }

    pub(in crate::driver) async fn stop(&self, id: &str, options: &StopOptions) -> Result<Change, Error> {
        let options = StopContainerOptions { signal: None, t: options.grace_ms.map(seconds) };
        let done = self.docker.stop_container(id, Some(options)).await;
        self.changed(id, done).await
    }

    pub(in crate::driver) async fn restart(&self, id: &str, options: &StopOptions) -> Result<Change, Error> {
        let options = RestartContainerOptions { signal: None, t: options.grace_ms.map(seconds) };
        let done = self.docker.restart_container(id, Some(options)).await;
        self.changed(id, done).await
    }

    pub(in crate::driver) async fn kill(&self, id: &str, options: &KillOptions) -> Result<Change, Error> {
        let signal = options.signal.clone().unwrap_or_else(|| "KILL".to_owned());
        let done = self.docker.kill_container(id, Some(KillContainerOptions { signal })).await;
        // Here a 400 is the argument's fault: there is no such signal.
        self.changed(id, done).await.map_err(|error| match error.message.strip_prefix("docker answered 400: ") {
            Some(said) => Error::invalid(format!("docker: {said}")),
            None => error,
        })
    }

    pub(in crate::driver) async fn pause(&self, id: &str) -> Result<Change, Error> {
        let done = self.docker.pause_container(id).await;
        self.changed_unless(id, done, Status::Paused).await
    }

    pub(in crate::driver) async fn unpause(&self, id: &str) -> Result<Change, Error> {
        let done = self.docker.unpause_container(id).await;
        self.changed_unless(id, done, Status::Running).await
    }

    pub(in crate::driver) async fn update(&self, id: &str, resources: &Resources) -> Result<Change, Error> {
        let before = self.inspect(id).await.map_err(Trouble::into_read_error)?;
        let body = models::ContainerUpdateBody {
            memory: resources.memory_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            memory_swap: resources.memory_swap_bytes,
            nano_cpus: resources.cpus.map(|cpus| (cpus * NANO).round() as i64),
            pids_limit: resources.pids,
            ..models::ContainerUpdateBody::default()
        };
        self.docker.update_container(id, body).await.map_err(|fault| Trouble::from_fault(fault).into_change_error())?;
        let after = self.inspect(id).await.map_err(after_a_change)?;
        let changed = convert::limits(before.host_config.as_ref()) != convert::limits(after.host_config.as_ref());
        Ok(Change { changed, state: convert::state(&after) })
    }

    /// The state after a call that worked, or that found it already so.
    async fn changed(&self, id: &str, done: Result<(), Fault>) -> Result<Change, Error> {
        let changed = match done.map_err(Trouble::from_fault) {
            Ok(()) => true,
            Err(Trouble::NotModified) => false,
            Err(trouble) => return Err(trouble.into_change_error()),
        };
        let after = self.inspect(id).await.map_err(after_a_change)?;
        Ok(Change { changed, state: convert::state(&after) })
    }

    /// Pausing answers a conflict where starting and stopping answer "not modified".
    async fn changed_unless(&self, id: &str, done: Result<(), Fault>, wanted: Status) -> Result<Change, Error> {
        let error = match done.map_err(Trouble::from_fault) {
            Ok(()) => return self.changed(id, Ok(())).await,
            Err(trouble) => trouble.into_change_error(),
        };
        if error.kind != ErrorKind::Conflict && error.kind != ErrorKind::Failed {
            return Err(error);
        }
        match self.inspect(id).await {
            Ok(after) if convert::state(&after).status == wanted => {
                Ok(Change { changed: false, state: convert::state(&after) })
            }
            Ok(_) | Err(_) => Err(error),
        }
    }
}

/// It happened, only its state is not known: the engine looks again. Removed right after (`--rm`) is an answer too.
fn after_a_change(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Told(error) if error.kind == ErrorKind::NotFound => {
            Error::not_found("the change was made and the container is gone now (it removes itself when it ends)")
        }
        Trouble::Told(Error { message, .. }) | Trouble::Unreached(message) | Trouble::Lost(message) => {
            Error::timeout(format!("the change was made, but not what it left behind: {message}"))
        }
        Trouble::NotModified => Error::timeout("the change was made, but not what it left behind"),
    }
}

/// Docker counts whole seconds; rounding down would take grace away.
fn seconds(ms: u64) -> i32 {
    i32::try_from(ms.div_ceil(1_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grace_is_rounded_up() {
        assert_eq!([seconds(0), seconds(1), seconds(1_000), seconds(1_001)], [0, 1, 1, 2]);
    }
}
