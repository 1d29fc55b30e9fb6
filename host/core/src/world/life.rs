//! What time brings: health checks, exits, out-of-memory kills and the restart policy, in time order.
//!
//! Deliberately not here: what effects do (`changes`). Both meet in [`World::start_now`] and [`World::exit_now`].

use super::container::{Container, Due, HEALTHY_AFTER_MS_DEFAULT, Life, PROBES_MAX, What};
use super::moment::{parse_rfc3339, rfc3339};
use super::{ADVANCE_MS_MAX, Moment, NOW_MS_MAX, Seat, World};
use crate::effect::docker::{Health, HealthProbe, PROBE_BYTES_MAX, Status};
use crate::error::truncate_at_char;

/// The restart policy's first delay, in milliseconds; each further one is twice the last.
pub(super) const BACKOFF_MS_MIN: u64 = 100;
/// The restart policy's longest delay.
const BACKOFF_MS_MAX: u64 = 60_000;
/// A container that ran this long starts again with the first delay.
const RAN_WELL_MS: u64 = 10_000;
/// Exit code of a process killed by SIGKILL.
pub(super) const KILLED: i32 = 137;
/// What Docker records when a container could not be started.
pub(super) const START_FAILED: i32 = 128;

/// A restart policy, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    No,
    Always,
    OnFailure(Option<u32>),
}

impl Policy {
    /// Docker's spelling; `unless-stopped` differs from `always` only when the daemon itself starts.
    pub(super) fn parse(text: &str) -> Option<Policy> {
        match text {
            "" | "no" => Some(Policy::No),
            "always" | "unless-stopped" => Some(Policy::Always),
            "on-failure" => Some(Policy::OnFailure(None)),
            other => other.strip_prefix("on-failure:")?.parse().ok().map(|max| Policy::OnFailure(Some(max))),
        }
    }

    fn restarts(self, exit_code: i32, restart_count: u32) -> bool {
        match self {
            Policy::No => false,
            Policy::Always => true,
            Policy::OnFailure(max) => exit_code != 0 && max.is_none_or(|max| max == 0 || restart_count < max),
        }
    }
}

impl World {
    /// Lets that much time pass, at most [`ADVANCE_MS_MAX`], and everything due in it happen, in time order (at the
    /// same millisecond: by host, then name, then as planned).
    pub fn advance(&mut self, ms: u64) {
        let until = self.now_ms.saturating_add(ms.min(ADVANCE_MS_MAX)).min(NOW_MS_MAX);
        while let Some((seat, due)) = self.next_due(until) {
            self.now_ms = self.now_ms.max(due.at.ms(self.now_ms));
            self.happen(&seat, &due);
        }
        self.now_ms = self.now_ms.max(until);
    }

    /// Takes the earliest thing due until then. A frozen container waits.
    fn next_due(&mut self, until: u64) -> Option<(Seat, Due)> {
        let now_ms = self.now_ms;
        let mut earliest: Option<(u64, Seat, usize)> = None;
        for (host, of) in &self.hosts {
            for (name, container) in of.containers.iter().filter(|(_, c)| c.frozen.is_none()) {
                for (index, due) in container.due.iter().enumerate() {
                    let at = due.at.ms(now_ms);
                    if at <= until && earliest.as_ref().is_none_or(|(first, _, _)| at < *first) {
                        earliest = Some((at, Seat { host: host.clone(), name: name.clone() }, index));
                    }
                }
            }
        }
        let (_, seat, index) = earliest?;
        let due = self.container_mut(&seat.host, &seat.name)?.due.remove(index);
        Some((seat, due))
    }

    fn happen(&mut self, seat: &Seat, due: &Due) {
        let now_ms = self.now_ms;
        let Some(container) = self.container_mut(&seat.host, &seat.name) else { return };
        match (due.what, container.status) {
            (What::Restart, Status::Restarting) => {
                container.due.retain(|due| due.what != What::Restart);
                // A start that fails is recorded in the container; nobody waits for an answer here.
                drop(self.start_now(seat));
            }
            (What::Healthy, Status::Running) => self.probe(seat, Health::Healthy, 0, &due.text),
            (What::Unhealthy, Status::Running) => self.probe(seat, Health::Unhealthy, 1, &due.text),
            (What::Exit, Status::Running) => self.exit_now(seat, due.code, false),
            (What::Log, Status::Running) => container.write_line(now_ms, &due.text),
            (What::Oom, Status::Running) => {
                let limit = container.limits.memory_bytes;
                if due.needs_bytes.is_none_or(|needs| limit != 0 && limit < needs) {
                    self.exit_now(seat, KILLED, true);
                }
            }
            // Planned for a life that is over.
            (What::Restart | What::Healthy | What::Unhealthy | What::Exit | What::Log | What::Oom, _) => {}
        }
    }

    /// A health probe ends; an event only where the word changes, as Docker does it.
    fn probe(&mut self, seat: &Seat, health: Health, exit_code: i32, output: &str) {
        let at = rfc3339(self.now_ms);
        let Some(container) = self.container_mut(&seat.host, &seat.name) else { return };
        let (changed, mut output) = (container.health != health, output.to_owned());
        truncate_at_char(&mut output, PROBE_BYTES_MAX);
        container.health = health;
        container.health_log.push(HealthProbe { started_at: at, exit_code, output });
        let beyond = container.health_log.len().saturating_sub(PROBES_MAX);
        container.health_log.drain(..beyond);
        if changed {
            let word = if health == Health::Healthy { "healthy" } else { "unhealthy" };
            self.note_event(seat, &format!("health_status: {word}"), None);
        }
    }

    /// Begins a life: the state of a start, its event, and what will come of it. The error is Docker's text.
    pub(super) fn start_now(&mut self, seat: &Seat) -> Result<(), String> {
        let now_ms = self.now_ms;
        let Some(container) = self.container_mut(&seat.host, &seat.name) else { return Ok(()) };
        let life = next_life(container);
        container.due.clear();
        container.frozen = None;
        if let Some(error) = life.start_error {
            container.error.clone_from(&error);
            container.exit_code = Some(START_FAILED);
            if container.status != Status::Created {
                container.status = Status::Exited;
                container.finished_at.get_or_insert_with(|| rfc3339(now_ms));
            }
            return Err(error);
        }
        container.status = Status::Running;
        container.error.clear();
        container.oom_killed = false;
        container.exit_code = None;
        container.started_at = Some(rfc3339(now_ms));
        if container.has_healthcheck {
            container.health = Health::Starting;
        }
        for line in &life.logs {
            container.write_line(now_ms, line);
        }
        plan(container, &life, now_ms);
        self.note_event(seat, "start", None);
        Ok(())
    }

    /// Ends a life and lets the restart policy have its say.
    pub(super) fn exit_now(&mut self, seat: &Seat, exit_code: i32, oom: bool) {
        let now_ms = self.now_ms;
        let Some(container) = self.container_mut(&seat.host, &seat.name) else { return };
        container.due.clear();
        container.frozen = None;
        container.exit_code = Some(exit_code);
        container.oom_killed = oom;
        container.finished_at = Some(rfc3339(now_ms));
        if container.has_healthcheck {
            // Docker: "unhealthy when the monitor has stopped", without an event.
            container.health = Health::Unhealthy;
        }
        let policy = Policy::parse(&container.restart_policy).unwrap_or(Policy::No);
        if !container.stopped_by_hand && policy.restarts(exit_code, container.restart_count) {
            container.status = Status::Restarting;
            container.restart_count = container.restart_count.saturating_add(1);
            let started = container.started_at.as_deref().and_then(parse_rfc3339).unwrap_or(now_ms);
            let ran_well = now_ms.saturating_sub(started) >= RAN_WELL_MS;
            container.backoff_ms = match container.backoff_ms {
                _ if ran_well => BACKOFF_MS_MIN,
                0 => BACKOFF_MS_MIN,
                last => last.saturating_mul(2).min(BACKOFF_MS_MAX),
            };
            container.due.push(Due::new(now_ms.saturating_add(container.backoff_ms), What::Restart));
        } else {
            container.status = Status::Exited;
        }
        if oom {
            self.note_event(seat, "oom", None);
        }
        self.note_event(seat, "die", Some(exit_code));
    }
}

/// The life of the next start: the next in the list, the last one for ever.
fn next_life(container: &mut Container) -> Life {
    let index = usize::try_from(container.starts).unwrap_or(usize::MAX);
    container.starts = container.starts.saturating_add(1);
    container.lives.get(index).or(container.lives.last()).cloned().unwrap_or_default()
}

/// Writes what a life brings into the container's future.
fn plan(container: &mut Container, life: &Life, now_ms: u64) {
    let at = |after: u64| Moment::At(now_ms.saturating_add(after).min(NOW_MS_MAX));
    let due = |after: u64, what: What, text: &str| Due {
        at: at(after),
        what,
        code: life.exit_code,
        needs_bytes: life.oom_needs_bytes,
        text: text.to_owned(),
    };
    if container.has_healthcheck {
        let healthy = match (life.healthy_after_ms, life.unhealthy_after_ms) {
            (None, None) => Some(HEALTHY_AFTER_MS_DEFAULT),
            (healthy, _) => healthy,
        };
        container.due.extend(healthy.map(|after| due(after, What::Healthy, "")));
        container.due.extend(life.unhealthy_after_ms.map(|after| due(after, What::Unhealthy, &life.probe_output)));
    }
    container.due.extend(life.oom_after_ms.map(|after| due(after, What::Oom, "")));
    container.due.extend(life.exit_after_ms.map(|after| due(after, What::Exit, "")));
}
