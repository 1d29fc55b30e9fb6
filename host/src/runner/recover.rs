//! Settling what nobody knows the end of: an intent without an outcome, after a crash or a lost answer.
//!
//! As its effect declares, and never by blind repetition: what can be seen is looked at, also again and again while the
//! engine does not answer or the change may still happen; what has a key is repeated or looked up by it; the rest is a
//! person's. The same code settles after a crash and after a live timeout.
//!
//! Deliberately not here: deciding from what was seen; [`sandbook_core::recovery`] is pure.

use sandbook_core::effect::docker::{Change, ContainerState, ExecResult, Limits, UpdateResources};
use sandbook_core::effect::{Class, Effect, Recovery};
use sandbook_core::error::ErrorKind;
use sandbook_core::gate::{Claim, Now, Permit, Recovered, Session};
use sandbook_core::journal::Slot;
use sandbook_core::recovery;
use sandbook_core::target::{Resolved, Target};
use serde_json::{Value, json};

use super::perform::{Attempt, Why};
use crate::driver::Settled;
use crate::driver::docker::ExecState;

/// How often a look is tried while the engine does not answer, in milliseconds.
const LOOK_EVERY_MS: u64 = 5_000;
/// For how long after an intent's horizon, in milliseconds.
const LOOK_PATIENCE_MS: u64 = 3_600_000;
/// How often a program that still runs is looked at, in milliseconds.
const EXEC_EVERY_MS: u64 = 2_000;

/// What a recovery starts from.
struct Open<'a> {
    claim: &'a Claim,
    host: &'a str,
    /// What the slot's last attempt journaled inside it.
    steps: &'a [Value],
    /// When nothing of it can happen any more, on the wall clock. Later than recorded when that clock was set forward.
    horizon_at: u64,
    now: u64,
}

/// The horizon on the wall clock, once it has passed on the boot clock too. After a reboot that one begins anew: then
/// the wall clock alone counts until it is as late again.
fn horizon(slot: &Slot, now: Now) -> u64 {
    let horizon_at = slot.horizon_at.unwrap_or(now.unix_ms);
    let Some((at, Some(boot_ms))) = slot.intended else { return horizon_at };
    let wait = horizon_at.saturating_sub(at);
    match now.boot_ms.checked_sub(boot_ms) {
        Some(since) if since < wait => horizon_at.max(now.unix_ms + (wait - since)),
        Some(_) | None => horizon_at,
    }
}

impl Open<'_> {
    fn horizon_passed(&self) -> bool {
        self.now >= self.horizon_at
    }

    /// Looks again later, or nobody can tell any more.
    fn unanswered(&self, why: &str) -> Result<Recovered, Why> {
        if self.now < self.horizon_at + LOOK_PATIENCE_MS {
            return Err(Why::Waits(self.now + LOOK_EVERY_MS));
        }
        unknown(why)
    }

    /// What is not certain yet is looked at when nothing of it can happen any more.
    fn at_horizon(&self, recovered: Recovered) -> Result<Recovered, Why> {
        match recovered {
            Recovered::Unknown(_) if !self.horizon_passed() => Err(Why::Waits(self.horizon_at)),
            recovered => Ok(recovered),
        }
    }
}

fn unknown(why: &str) -> Result<Recovered, Why> {
    Ok(Recovered::Unknown(why.to_owned()))
}

impl Attempt {
    /// Settles an intent without an outcome as its effect declares.
    pub(super) async fn recover(&self, session: &mut Session, claim: &Claim, how: Recovery) -> Result<Recovered, Why> {
        if settles_itself(&claim.effect) {
            return self.recover_by_driver(session, claim).await;
        }
        let journal = session.journal();
        let slot = &journal.slots[claim.slot as usize];
        let now = self.parts.clock.now();
        let open = Open {
            claim,
            host: &journal.header.host,
            steps: &slot.steps,
            horizon_at: horizon(slot, now),
            now: now.unix_ms,
        };
        match (how, &claim.effect) {
            (Recovery::Again | Recovery::Transaction, _) => Ok(Recovered::NotDone),
            (Recovery::Ask, _) => unknown("only a person can tell whether it happened"),
            (Recovery::Key, Effect::Exec(_)) => self.recover_exec(&open).await,
            // The receiver knows the key and does it once.
            (Recovery::Key, _) if claim.effect.class() != Class::Mutate => Ok(Recovered::NotDone),
            (Recovery::Key, _) => unknown("its key is not known to anybody who could be asked"),
            (Recovery::Look, Effect::UpdateResources(op)) => self.recover_update(&open, op).await,
            (Recovery::Look, _) => self.recover_by_state(&open).await,
        }
    }

    /// The effect's own driver looks, and finishes or takes back what is half done: under the permit of the attempt
    /// it belongs to, which policy and brakes have let through.
    async fn recover_by_driver(&self, session: &mut Session, claim: &Claim) -> Result<Recovered, Why> {
        let now = self.parts.clock.now();
        let slot = &session.journal().slots[claim.slot as usize];
        let (last, horizon_at) = (slot.steps.last().cloned(), horizon(slot, now));
        let Some(permit) = session.reissue(now) else {
            return Err(Why::Ended(sandbook_core::gate::Fault::Confused("nothing is being recovered")));
        };
        let passed = now.unix_ms >= horizon_at;
        let settled = {
            let steps = self.recorder(session);
            self.parts.driver.settle(&permit, last.as_ref(), &steps, passed).await
        };
        match settled {
            Ok(Settled::Is(recovered)) => Ok(recovered),
            Ok(Settled::Later(ms)) => Err(Why::Waits(now.unix_ms + ms)),
            Ok(Settled::AtHorizon) => Err(Why::Waits(horizon_at.max(now.unix_ms))),
            Err(error) if now.unix_ms < horizon_at + LOOK_PATIENCE_MS => {
                tracing::warn!(run = %self.run(), "{} is not settled yet: {error}", claim.effect.name());
                Err(Why::Waits(now.unix_ms + LOOK_EVERY_MS))
            }
            Err(error) => unknown(&error.to_string()),
        }
    }

    async fn recover_by_state(&self, open: &Open<'_>) -> Result<Recovered, Why> {
        let before = open.claim.resolved.before.clone().and_then(|json| serde_json::from_value(json).ok());
        let Some(before) = before else { return unknown("its state before was not recorded") };
        let after = match self.look_at(open).await? {
            Ok(after) => after,
            Err(recovered) => return Ok(recovered),
        };
        let Some(after) = after.before.and_then(|json| serde_json::from_value(json).ok()) else {
            return unknown("its state is not visible");
        };
        open.at_horizon(recovery::look(&open.claim.effect, &before, &after, open.horizon_passed()))
    }

    /// The same instance as it is now, or that there is nothing to compare with.
    async fn look_at(&self, open: &Open<'_>) -> Result<Result<Resolved, Recovered>, Why> {
        let resolved = match self.parts.driver.resolve(open.host, &open.claim.effect.scope()).await {
            Ok(resolved) => resolved,
            Err(error) if error.kind == ErrorKind::NotFound => return unknown(&error.to_string()).map(Err),
            Err(error) => return open.unanswered(&error.to_string()).map(Err),
        };
        if resolved.target.id != open.claim.resolved.target.id {
            return unknown("the container was replaced meanwhile").map(Err);
        }
        Ok(Ok(resolved))
    }

    async fn recover_update(&self, open: &Open<'_>, op: &UpdateResources) -> Result<Recovered, Why> {
        let before = open.steps.last().and_then(|step| serde_json::from_value::<Limits>(step["limits"].clone()).ok());
        // The limits are recorded before the change is sent: without them nothing was.
        let Some(before) = before else { return Ok(Recovered::NotDone) };
        let resolved = match self.look_at(open).await? {
            Ok(resolved) => resolved,
            Err(recovered) => return Ok(recovered),
        };
        let after = match self.limits(&resolved.target).await {
            Ok(after) => after,
            Err(error) => return open.unanswered(&error.to_string()),
        };
        let state = resolved.before.and_then(|json| serde_json::from_value::<ContainerState>(json).ok());
        let recovered = recovery::look_at_limits(&op.resources, &before, &after, open.horizon_passed());
        open.at_horizon(match recovered {
            Recovered::Done(_) => {
                let change = Change { changed: before != after, state: state.unwrap_or_default() };
                Recovered::Done(serde_json::to_value(change).unwrap_or_default())
            }
            other => other,
        })
    }

    /// A program has an id that is recorded before it starts, and Docker starts no id twice.
    async fn recover_exec(&self, open: &Open<'_>) -> Result<Recovered, Why> {
        let Some(exec) = open.steps.last().and_then(|step| step["exec"].as_str()) else {
            return open.at_horizon(match open.horizon_passed() {
                true => Recovered::NotDone,
                false => Recovered::Unknown("it may still be started".to_owned()),
            });
        };
        let host = &open.claim.resolved.target.host;
        match self.parts.driver.exec_state(host, exec).await {
            Ok(ExecState::Ended(code)) => Ok(ended(code)),
            Ok(ExecState::Running) if !open.horizon_passed() => Err(Why::Waits(open.now + EXEC_EVERY_MS)),
            Ok(ExecState::Running) => unknown("the program still runs inside the container"),
            Ok(ExecState::NotStarted) if open.horizon_passed() => Ok(Recovered::NotDone),
            Ok(ExecState::NotStarted) => Err(Why::Waits(open.horizon_at)),
            Ok(ExecState::Unknown) => unknown("Docker no longer knows the program it was to start"),
            Err(error) => open.unanswered(&error.to_string()),
        }
    }

    /// What recovery will need to know, on disk before the change is sent.
    pub(super) async fn note_before(&self, session: &mut Session, permit: &Permit) -> Result<(), Why> {
        let Effect::UpdateResources(_) = permit.effect() else { return Ok(()) };
        let Some(resolved) = permit.resolved() else { return Ok(()) };
        // A container that cannot be read cannot be changed either; the driver says why.
        let Ok(limits) = self.limits(&resolved.target).await else { return Ok(()) };
        let record = session.step(json!({ "limits": limits }), self.parts.clock.now()).map_err(Why::Ended)?;
        self.append(vec![record], true).await
    }

    async fn limits(&self, target: &Target) -> Result<Limits, sandbook_core::error::Error> {
        self.parts.driver.details(target).await.map(|details| details.limits)
    }

    /// A change whose answer was lost is looked at, never repeated.
    pub(super) async fn look_after_timeout(&self, permit: &Permit) -> Option<Value> {
        let by_state = !matches!(permit.effect(), Effect::UpdateResources(_)) && !settles_itself(permit.effect());
        if permit.effect().recovery() != Recovery::Look || !by_state {
            return None;
        }
        let before: ContainerState = serde_json::from_value(permit.resolved()?.before.clone()?).ok()?;
        let resolved = self.parts.driver.resolve(permit.host(), &permit.effect().scope()).await.ok()?;
        let after: ContainerState = serde_json::from_value(resolved.before?).ok()?;
        match recovery::look(permit.effect(), &before, &after, false) {
            Recovered::Done(value) => Some(value),
            Recovered::NotDone | Recovered::Unknown(_) => None,
        }
    }

    /// The intent stays open: once nothing of it can happen any more, the run comes back by replay and looks again.
    pub(super) async fn until_horizon(&self, session: &Session, slot: u32) -> Why {
        let slot = session.journal().slots.get(slot as usize);
        let until = slot.and_then(|slot| slot.horizon_at).unwrap_or_else(|| self.parts.clock.now().unix_ms);
        if self.parts.clock.is_virtual() {
            self.parts.clock.sleep_until(until).await;
        }
        Why::Waits(until)
    }
}

/// Whether an effect's driver settles it, because no state of one container tells.
fn settles_itself(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::RecreateContainer(_)
            | Effect::RemoveContainer(_)
            | Effect::ScaleService(_)
            | Effect::ConnectNetwork(_)
            | Effect::DisconnectNetwork(_)
            | Effect::PruneImages(_)
            | Effect::PruneBuildCache(_)
            | Effect::TruncateContainerLog(_)
            | Effect::CreateSilence(_)
            | Effect::ExpireSilence(_)
    )
}

/// What is left of a program that ended while nobody listened.
fn ended(exit_code: i32) -> Recovered {
    let result = ExecResult {
        exit_code,
        stdout: String::new(),
        stderr: "(its output was lost with the connection)".to_owned(),
        truncated: true,
    };
    serde_json::to_value(result).map_or_else(|error| Recovered::Unknown(error.to_string()), Recovered::Done)
}

#[cfg(test)]
mod tests {
    use sandbook_core::journal::{Journal, Record};
    use serde_json::from_value;

    use super::*;

    fn intended(boot_ms: Option<u64>) -> Slot {
        let text = include_str!("tests/released/format-1.jsonl");
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut kept = Vec::new();
        for mut record in records {
            let last = record["kind"] == "intended";
            if last {
                record["at"] = json!(1_000);
                record["horizon_at"] = json!(11_000);
                record["boot_ms"] = json!(boot_ms);
            }
            kept.push(from_value::<Record>(record).expect("a record"));
            if last {
                break;
            }
        }
        Journal::fold(kept).expect("a journal").slots.pop().expect("the open intent")
    }

    /// A wall clock that is set forward makes nothing safe; after a reboot the boot clock says nothing until it is as late.
    #[test]
    fn a_horizon_passes_on_both_clocks() {
        let at = |unix_ms, boot_ms| horizon(&intended(Some(500)), Now { unix_ms, boot_ms });
        assert_eq!(at(11_000, 10_500), 11_000);
        assert_eq!(at(3_600_000, 600), 3_600_000 + 9_900, "an hour forward after a tenth of a second");
        assert_eq!(at(12_000, 100), 11_000, "rebooted");
        assert_eq!(horizon(&intended(None), Now { unix_ms: 12_000, boot_ms: 7 }), 11_000, "of an older version");
    }
}
