//! What effects change about containers, with Docker's rules about which state allows what.
//!
//! Every change takes a little virtual time, so that two starts never show the same time. Deliberately not here: what
//! follows by itself (`life`).

use super::life::{KILLED, START_FAILED};
use super::moment::rfc3339;
use super::{Container, Seat, World};
use crate::effect::docker::{Change, Exec, ExecResult, Health, Limits, Resources, Status};
use crate::error::{Error, truncate_at_char};

/// How long Docker takes to start a container, in milliseconds.
const START_MS: u64 = 100;
/// How long a kill or a freeze takes.
const SIGNAL_MS: u64 = 10;
/// How long Docker waits for the end of a container it has killed.
const KILL_WAIT_MS: u64 = 10_000;
/// When a frozen health check is heard of again, in milliseconds.
const PROBE_INTERVAL_MS: u64 = 5_000;

impl World {
    pub(super) fn seated(&mut self, seat: &Seat) -> Result<&mut Container, Error> {
        let lost = || Error::not_found(format!("no such container: {}/{}", seat.host, seat.name));
        self.hosts.get_mut(&seat.host).and_then(|host| host.containers.get_mut(&seat.name)).ok_or_else(lost)
    }

    fn change(&mut self, seat: &Seat, changed: bool) -> Result<Change, Error> {
        Ok(Change { changed, state: self.seated(seat)?.state() })
    }

    /// `docker start`.
    pub(super) fn start(&mut self, seat: &Seat) -> Result<Change, Error> {
        match self.seated(seat)?.status {
            // To Docker a container between two restarts is running.
            Status::Running | Status::Restarting => return self.change(seat, false),
            Status::Paused => return Err(conflict(seat, "cannot start a paused container, try unpause instead")),
            Status::Removing | Status::Dead => return Err(conflict(seat, "it is marked for removal")),
            Status::Created | Status::Exited => {}
        }
        self.begin(seat)?;
        self.change(seat, true)
    }

    /// `docker restart`.
    pub(super) fn restart(&mut self, seat: &Seat, grace_ms: Option<u64>) -> Result<Change, Error> {
        self.seated(seat)?;
        // Docker wraps whatever went wrong, so that its kind is lost.
        self.end_and_begin(seat, grace_ms).map_err(|error| Error::failed(error.message))?;
        self.note_event(seat, "restart", None);
        self.change(seat, true)
    }

    fn end_and_begin(&mut self, seat: &Seat, grace_ms: Option<u64>) -> Result<(), Error> {
        match self.seated(seat)?.status {
            Status::Removing | Status::Dead => return Err(conflict(seat, "it is marked for removal")),
            Status::Running | Status::Paused | Status::Restarting => drop(self.end(seat, grace_ms)?),
            Status::Created | Status::Exited => {}
        }
        self.begin(seat)
    }

    /// `docker stop`.
    pub(super) fn stop(&mut self, seat: &Seat, grace_ms: Option<u64>) -> Result<Change, Error> {
        let changed = self.end(seat, grace_ms)?;
        self.change(seat, changed)
    }

    pub(super) fn begin(&mut self, seat: &Seat) -> Result<(), Error> {
        let joined = self.check_shared_network(seat);
        let container = self.seated(seat)?;
        // What is started on request begins to count anew.
        container.restart_count = 0;
        container.backoff_ms = 0;
        if let Err(error) = joined {
            container.error.clone_from(&error.message);
            container.exit_code = Some(START_FAILED);
            return Err(error);
        }
        self.advance(START_MS);
        self.seated(seat)?.stopped_by_hand = false;
        self.start_now(seat).map_err(|error| Error::failed(format!("{}/{}: {error}", seat.host, seat.name)))
    }

    /// A container that shares another's network starts only while that one runs.
    fn check_shared_network(&mut self, seat: &Seat) -> Result<(), Error> {
        let mode = self.seated(seat)?.network_mode.clone();
        let Some(other) = mode.strip_prefix("container:") else { return Ok(()) };
        let Some(host) = self.hosts.get(&seat.host) else { return Ok(()) };
        match host.containers.values().find(|c| c.name == other || c.id == other) {
            Some(found) if matches!(found.status, Status::Running | Status::Paused) => Ok(()),
            Some(found) => {
                Err(conflict(seat, &format!("cannot join network of a non running container: {}", found.id)))
            }
            None => Err(conflict(seat, &format!("joining network namespace of container: no such container: {other}"))),
        }
    }

    /// Ends a life on request; false when there was none.
    pub(super) fn end(&mut self, seat: &Seat, grace_ms: Option<u64>) -> Result<bool, Error> {
        let container = self.seated(seat)?;
        let (grace_ms, stopping) = (grace_ms.unwrap_or(container.stop_grace_ms), container.stopping.clone());
        let paused = container.status == Status::Paused;
        match container.status {
            Status::Created | Status::Exited | Status::Dead => return Ok(false),
            Status::Removing => return Err(conflict(seat, "it is marked for removal")),
            Status::Restarting => {
                self.cancel_restart(seat)?;
                self.note_event(seat, "stop", None);
                return Ok(true);
            }
            Status::Paused | Status::Running => {}
        }
        self.seated(seat)?.stopped_by_hand = true;
        self.note_event(seat, "kill", None);
        if paused {
            self.thaw(seat)?;
        }
        let obeys = !stopping.ignores_term && !stopping.cannot_be_killed && stopping.takes_ms <= grace_ms;
        self.advance(if obeys { stopping.takes_ms } else { grace_ms });
        if self.seated(seat)?.status == Status::Running {
            if obeys {
                self.exit_now(seat, stopping.exit_code, false);
            } else {
                self.note_event(seat, "kill", None);
                self.kill_process(seat)?;
            }
        }
        self.note_event(seat, "stop", None);
        Ok(true)
    }

    fn kill_process(&mut self, seat: &Seat) -> Result<(), Error> {
        if self.seated(seat)?.stopping.cannot_be_killed {
            self.advance(KILL_WAIT_MS);
            let text = "tried to kill container, but did not receive an exit event";
            return Err(Error::failed(format!("{}/{}: {text}", seat.host, seat.name)));
        }
        self.advance(SIGNAL_MS);
        if matches!(self.seated(seat)?.status, Status::Running | Status::Paused) {
            self.exit_now(seat, KILLED, false);
        }
        Ok(())
    }

    fn cancel_restart(&mut self, seat: &Seat) -> Result<(), Error> {
        let container = self.seated(seat)?;
        container.due.clear();
        container.stopped_by_hand = true;
        container.status = Status::Exited;
        self.advance(SIGNAL_MS);
        // Only now Docker writes down when it ended.
        let now_ms = self.now_ms;
        self.seated(seat)?.finished_at = Some(rfc3339(now_ms));
        Ok(())
    }

    /// `docker kill`. Docker's restart policy rests after any signal.
    pub(super) fn kill(&mut self, seat: &Seat, signal: Option<&str>) -> Result<Change, Error> {
        let signal = read_signal(signal.unwrap_or("KILL"))?;
        let container = self.seated(seat)?;
        match container.status {
            Status::Running | Status::Paused => {}
            Status::Restarting => {
                self.cancel_restart(seat)?;
                return self.change(seat, true);
            }
            Status::Created | Status::Removing | Status::Exited | Status::Dead => {
                return Err(conflict(seat, "it is not running, so there is nothing to kill"));
            }
        }
        let container = self.seated(seat)?;
        container.stopped_by_hand = true;
        let (stopping, paused) = (container.stopping.clone(), container.status == Status::Paused);
        self.note_event(seat, "kill", None);
        if paused && !matches!(signal, Signal::Kill) {
            self.thaw(seat)?;
        }
        match signal {
            Signal::Kill => self.kill_process(seat)?,
            Signal::Ends(code) if !stopping.ignores_term && !stopping.cannot_be_killed => {
                let code = if code == 143 { stopping.exit_code } else { code };
                let mut due = super::Due::new(self.now_ms.saturating_add(stopping.takes_ms), super::What::Exit);
                due.code = code;
                self.seated(seat)?.due.push(due);
            }
            // The first process of a container gets only the signals it asked for.
            Signal::Ends(_) | Signal::Ignored => {}
        }
        self.change(seat, true)
    }

    /// `docker pause`.
    pub(super) fn pause(&mut self, seat: &Seat) -> Result<Change, Error> {
        match self.seated(seat)?.status {
            Status::Running => {}
            // To Docker a conflict; the driver looks and finds it already so.
            Status::Paused => return self.change(seat, false),
            Status::Restarting => return Err(conflict(seat, "it is restarting, wait until it is running")),
            Status::Created | Status::Removing | Status::Exited | Status::Dead => {
                return Err(conflict(seat, "it is not running"));
            }
        }
        self.advance(SIGNAL_MS);
        let now_ms = self.now_ms;
        let container = self.seated(seat)?;
        if container.status != Status::Running {
            return Err(conflict(seat, "it is not running"));
        }
        container.frozen = Some((now_ms, container.health));
        container.status = Status::Paused;
        if container.has_healthcheck {
            container.health = Health::Unhealthy;
        }
        self.note_event(seat, "pause", None);
        self.change(seat, true)
    }

    /// `docker unpause`.
    pub(super) fn unpause(&mut self, seat: &Seat) -> Result<Change, Error> {
        match self.seated(seat)?.status {
            Status::Paused => {}
            Status::Running => return self.change(seat, false),
            Status::Created | Status::Restarting | Status::Removing | Status::Exited | Status::Dead => {
                // Docker gives it no kind of its own.
                return Err(Error::failed(format!("container {}/{}: it is not paused", seat.host, seat.name)));
            }
        }
        self.advance(SIGNAL_MS);
        self.thaw(seat)?;
        self.change(seat, true)
    }

    /// Lets a frozen life go on where it stopped.
    fn thaw(&mut self, seat: &Seat) -> Result<(), Error> {
        let now_ms = self.now_ms;
        let container = self.seated(seat)?;
        container.status = Status::Running;
        if let Some((since_ms, health)) = container.frozen.take() {
            let frozen_ms = now_ms.saturating_sub(since_ms);
            for due in &mut container.due {
                due.at = super::Moment::At(due.at.ms(now_ms).saturating_add(frozen_ms).min(super::NOW_MS_MAX));
            }
            if health == Health::Healthy {
                container.due.push(super::Due::new(now_ms.saturating_add(PROBE_INTERVAL_MS), super::What::Healthy));
            }
        }
        self.note_event(seat, "unpause", None);
        Ok(())
    }

    /// `docker update`.
    pub(super) fn update(&mut self, seat: &Seat, wanted: &Resources) -> Result<Change, Error> {
        let container = self.seated(seat)?;
        if matches!(container.status, Status::Removing | Status::Dead) {
            return Err(conflict(seat, "it is marked for removal"));
        }
        let limits = updated(seat, container.limits, wanted)?;
        let changed = limits != container.limits;
        container.limits = limits;
        self.note_event(seat, "update", None);
        self.change(seat, changed)
    }

    /// `docker exec`.
    pub(super) fn exec(&mut self, seat: &Seat, op: &Exec) -> Result<ExecResult, Error> {
        let container = self.seated(seat)?;
        match container.status {
            Status::Running => {}
            Status::Paused => return Err(conflict(seat, "it is paused, unpause it before an exec")),
            Status::Restarting => return Err(conflict(seat, "it is restarting, wait until it is running")),
            Status::Created | Status::Removing | Status::Exited | Status::Dead => {
                return Err(conflict(seat, "it is not running"));
            }
        }
        let found = container.programs.iter().find(|program| op.argv.starts_with(&program.argv)).cloned();
        let argv = op.argv.join(" ");
        let Some(program) = found else {
            let stdout = format!(
                "OCI runtime exec failed: exec failed: exec: \"{}\": executable file not found in $PATH: unknown",
                op.argv.first().map_or("", String::as_str)
            );
            return Ok(ExecResult { exit_code: 126, stdout, stderr: String::new(), truncated: false });
        };
        let timeout_ms = op.options.timeout_ms.unwrap_or(10_000);
        if program.takes_ms > timeout_ms {
            self.advance(timeout_ms);
            return Err(Error::timeout(format!("`{argv}` did not end within {timeout_ms} ms; it may still run")));
        }
        self.advance(program.takes_ms);
        // Whoever ends the container ends the program.
        let alive = self.seated(seat)?.status == Status::Running;
        let exit_code = if alive { program.exit_code } else { KILLED };
        let (mut stdout, mut stderr) = (program.stdout, program.stderr);
        let bytes = stdout.len().max(stderr.len());
        truncate_at_char(&mut stdout, crate::effect::docker::EXEC_STREAM_BYTES_MAX);
        truncate_at_char(&mut stderr, crate::effect::docker::EXEC_STREAM_BYTES_MAX);
        let truncated = bytes > crate::effect::docker::EXEC_STREAM_BYTES_MAX;
        Ok(ExecResult { exit_code, stdout, stderr, truncated })
    }
}

pub(super) fn conflict(seat: &Seat, why: &str) -> Error {
    Error::conflict(format!("container {}/{}: {why}", seat.host, seat.name))
}

/// New limits by Docker's rules; its swap limit counts memory and swap together, -1 is none.
pub(super) fn updated(seat: &Seat, mut limits: Limits, wanted: &Resources) -> Result<Limits, Error> {
    if let Some(memory) = wanted.memory_bytes {
        let swap_after = wanted.memory_swap_bytes.filter(|swap| *swap != 0);
        // Docker compares with the number as it is: with no swap limit (0 or -1) it refuses, too.
        let above = i128::from(memory) > i128::from(limits.memory_swap_bytes);
        if above && swap_after.is_none() {
            let text = "memory limit should be smaller than already set memoryswap limit, \
                        update the memoryswap at the same time (memory_swap_bytes)";
            return Err(conflict(seat, text));
        }
        limits.memory_bytes = memory;
    }
    if let Some(swap) = wanted.memory_swap_bytes.filter(|swap| *swap != 0) {
        if limits.memory_bytes == 0 && swap != -1 {
            return Err(Error::failed("memory_swap_bytes needs a memory limit: name memory_bytes, too"));
        }
        if swap != -1 && i128::from(swap) < i128::from(limits.memory_bytes) {
            return Err(Error::failed("memory_swap_bytes must not be below memory_bytes: it counts both together"));
        }
        limits.memory_swap_bytes = swap;
    }
    limits.cpus = wanted.cpus.unwrap_or(limits.cpus);
    // Docker writes "no limit" as 0 or -1.
    limits.pids = wanted.pids.map_or(limits.pids, |pids| pids.max(0));
    Ok(limits)
}

/// The limits of a container made with these: what Docker fills in and refuses at a creation, which is not what it does
/// with an update.
pub(super) fn created(mut limits: Limits, wanted: &Resources) -> Result<Limits, Error> {
    if let Some(memory) = wanted.memory_bytes {
        // Twice the memory is Docker's own default: it follows.
        if i128::from(limits.memory_swap_bytes) == 2 * i128::from(limits.memory_bytes) {
            limits.memory_swap_bytes = 0;
        }
        limits.memory_bytes = memory;
    }
    limits.memory_swap_bytes = wanted.memory_swap_bytes.unwrap_or(limits.memory_swap_bytes);
    let (memory, swap) = (limits.memory_bytes, limits.memory_swap_bytes);
    if swap > 0 && memory == 0 {
        return Err(Error::failed("memory_swap_bytes needs a memory limit: name memory_bytes, too"));
    }
    if swap > 0 && i128::from(swap) < i128::from(memory) {
        return Err(Error::failed("memory_swap_bytes must not be below memory_bytes: it counts both together"));
    }
    if swap == 0 {
        limits.memory_swap_bytes = i64::try_from(memory.saturating_mul(2)).unwrap_or(i64::MAX);
    }
    limits.cpus = wanted.cpus.unwrap_or(limits.cpus);
    limits.pids = wanted.pids.map_or(limits.pids, |pids| pids.max(0));
    Ok(limits)
}

/// What a signal does to the first process of a container.
enum Signal {
    Kill,
    /// Ends it with this exit code.
    Ends(i32),
    Ignored,
}

fn read_signal(text: &str) -> Result<Signal, Error> {
    let upper = text.to_ascii_uppercase();
    match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "KILL" | "9" => Ok(Signal::Kill),
        "TERM" | "15" => Ok(Signal::Ends(143)),
        "INT" | "2" => Ok(Signal::Ends(130)),
        "QUIT" | "3" => Ok(Signal::Ends(131)),
        "HUP" | "1" | "ABRT" | "6" | "USR1" | "10" | "USR2" | "12" | "PIPE" | "13" | "ALRM" | "14" | "CHLD" | "17"
        | "CONT" | "18" | "STOP" | "19" | "TSTP" | "20" | "TTIN" | "21" | "TTOU" | "22" | "URG" | "23" | "WINCH"
        | "28" | "IO" | "29" | "PWR" | "30" => Ok(Signal::Ignored),
        _ => Err(Error::invalid(format!("invalid signal: {text}"))),
    }
}
