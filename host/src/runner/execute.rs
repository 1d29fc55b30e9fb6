//! One run: aim it, write its header, execute its guest, and hand what came of it to [`super::ending`].

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use sandbook_core::gate::Session;
use sandbook_core::journal::{AlertInput, Bound, FORMAT, Header, Journal, Record};
use sandbook_core::run::{Mode, Outcome, Stage, State};
use sandbook_core::target::{Kind, Target};
use serde_json::{Value, json};

use super::aim::{Aimed, Hint};
use super::ending::{JOURNAL, VERSION_GONE};
use super::locks::Held;
use super::perform::{Attempt, Why};
use super::{Queued, Runner, row_of};
use crate::about_us;
use crate::guest::{ABI, Call, Code, Ended, Entry, INTERPRETER};
use crate::library::Package;
use crate::store::{NewRun, RunPatch, RunRow, Start, id};

/// A run that has its target.
pub(super) struct Prepared {
    pub(super) row: RunRow,
    pub(super) package: Arc<Package>,
    pub(super) journal: Journal,
    pub(super) accepted: Instant,
    /// Whether the header is already on disk.
    pub(super) recorded: bool,
    /// Whether an earlier attempt, or an earlier daemon, had it.
    resumed: bool,
    /// What its episode's target is like now, written with its start.
    snapshot: Option<(String, Value)>,
}

/// When a run that is still at work becomes visible as running.
const SEEN_AFTER: Duration = Duration::from_millis(100);

impl Prepared {
    pub(super) fn subject(&self) -> Option<&str> {
        self.journal.header.subject.as_deref()
    }
}

impl Runner {
    /// Loads what is recorded, or finds the target and makes a header. `None`: the run ended here.
    pub(super) async fn aim_run(&self, queued: Queued, group: &str) -> Result<Option<Prepared>> {
        let Queued { row, alert, accepted, resumed } = queued;
        let Some(package) = self.library.package_by_digest(&row.digest).await? else {
            let sentence = format!(
                "its version {} is no longer stored; push it again, then `sandbook resume {}`",
                row.digest, row.id
            );
            self.park(&row, VERSION_GONE, &sentence).await?;
            return Ok(None);
        };
        let records = if resumed { self.parts.store.records(&row.id).await? } else { Vec::new() };
        if !records.is_empty() {
            return match Journal::fold(records) {
                Ok(journal) => {
                    Ok(Some(Prepared { row, package, journal, accepted, recorded: true, resumed, snapshot: None }))
                }
                Err(error) => {
                    self.park(&row, JOURNAL, &format!("its journal cannot be read: {error}")).await?;
                    Ok(None)
                }
            };
        }
        let _turn = self.aiming.take(row.priority, group).await;
        let hint: Hint = serde_json::from_value(row.target_hint.clone()).unwrap_or_default();
        let aimed = self.aim.find(&*self.parts.driver, &package.manifest.target, &hint).await;
        let (target, subject, host) = match aimed {
            Aimed::Nothing { host } => (None, None, host),
            Aimed::At(resolved) if self.parts.about_us.takes(&row, &resolved) => {
                return self.end_early(&row, State::Succeeded, Outcome::Refused, about_us::OWN_TARGET).await;
            }
            Aimed::At(resolved) => {
                let host = resolved.target.host.clone();
                (Some(resolved.target), Some(resolved.subject), host)
            }
            Aimed::Each(members) => {
                self.one_each(&row, alert, &members).await?;
                return Ok(None);
            }
            Aimed::NoTarget(why) => return self.end_early(&row, State::Succeeded, Outcome::NoTarget, &why).await,
            Aimed::Ambiguous(why) => {
                return self.end_early(&row, State::Succeeded, Outcome::AmbiguousTarget, &why).await;
            }
            Aimed::Unreachable(error) => return self.wait_for_host(&row, &error.to_string()).await,
        };
        let snapshot = self.snapshot(&row, target.as_ref(), subject.as_deref()).await;
        let mut header = self.header(&row, &package, alert, target, subject, host);
        header.bound = self.bound(&hint).await?;
        Ok(Some(Prepared { row, package, journal: Journal::new(header), accepted, recorded: false, resumed, snapshot }))
    }

    fn header(
        &self,
        row: &RunRow,
        package: &Package,
        alert: Option<AlertInput>,
        target: Option<Target>,
        subject: Option<String>,
        host: String,
    ) -> Header {
        let parameters = row.parameters.as_object().cloned().unwrap_or_default();
        Header {
            run: row.id.clone(),
            version: row.version.clone(),
            mode: row.mode,
            stage: row.stage,
            trigger: row.trigger.clone(),
            episode: row.episode.clone(),
            alert,
            target,
            subject,
            host,
            parameters: parameters.into_iter().collect(),
            limits: self.parts.limits(&package.manifest),
            at: self.parts.clock.now().unix_ms,
            ..pinned(package)
        }
    }

    /// What a run is held to that applies a plan.
    async fn bound(&self, hint: &Hint) -> Result<Option<Box<Bound>>> {
        let (Some(plan), Some(by)) = (&hint.plan, &hint.applied_by) else { return Ok(None) };
        let Some(row) = self.parts.store.plan(plan).await? else { anyhow::bail!("plan {plan} is no longer stored") };
        let Some(bound) = crate::plan::bound(&row, by) else { anyhow::bail!("plan {plan} cannot be read") };
        Ok(Some(Box::new(bound)))
    }

    /// One run per member, each on its own; made in the transaction that ends this one, so that a crash makes none twice.
    async fn one_each(&self, row: &RunRow, alert: Option<AlertInput>, members: &[String]) -> Result<()> {
        let mut runs = Vec::with_capacity(members.len());
        for member in members {
            let hint = Hint { reference: Some(member.clone()), ..Hint::default() };
            runs.push(NewRun {
                id: id::new("r"),
                runbook: row.runbook.clone(),
                version: row.version.clone(),
                digest: row.digest.clone(),
                mode: row.mode,
                stage: row.stage,
                origin: row.origin,
                trigger: row.trigger.clone(),
                episode: row.episode.clone(),
                parameters: row.parameters.clone(),
                target_hint: serde_json::to_value(hint)?,
                priority: row.priority,
                at: self.parts.clock.now().unix_ms,
            });
        }
        let sentence = format!("started one run for each of {}", members.join(", "));
        if self.end_with(row, State::Succeeded, Outcome::Done, &sentence, runs.clone()).await? {
            for run in runs {
                let accepted = Instant::now();
                self.enqueue(Queued { row: row_of(run), alert: alert.clone(), accepted, resumed: false });
            }
        }
        Ok(())
    }

    /// Executes a run that has its target and its subject's lock.
    pub(super) async fn execute(&self, mut prepared: Prepared, held: Held) -> Result<()> {
        let Prepared { row, package, journal, recorded, resumed, snapshot, .. } = &mut prepared;
        let header = &journal.header;
        row.target.clone_from(&header.target);
        row.subject.clone_from(&header.subject);
        if let Some(window) = self.joins_window(row, package)
            && self.defer(row, &window).await?
        {
            return Ok(());
        }
        row.started_at = Some(row.started_at.unwrap_or_else(|| self.parts.clock.now().unix_ms));
        self.begin(row, header, *recorded, *resumed, snapshot.take()).await?;
        if row.mode == Mode::Shadow {
            return self.shadow(prepared).await;
        }
        let windows = self.parts.windows(&prepared.package.manifest);
        let session = Session::new(prepared.journal.clone()).asking_for(self.parts.asking().approval_ms);
        let attempt = Attempt::new(self.parts.clone(), session, windows, prepared.accepted, (self.locks.clone(), held));
        self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(prepared.row.id.clone(), attempt.clone());
        if self.closing.load(Ordering::Acquire) {
            attempt.stop(Why::Waits(self.parts.clock.now().unix_ms));
        }
        let cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).remove(&prepared.row.id);
        if let Some(sentence) = cancelled {
            self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&prepared.row.id);
            attempt.release();
            // Ended already, unless it began to run in that very moment.
            return self.finish(&prepared, State::Cancelled, None, &sentence, None).await;
        }
        let ended = self.call_visibly(&prepared, &attempt, Entry::Run).await;
        if attempt.changes() > 0 {
            self.remember_acted(&prepared.row);
        }
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&prepared.row.id);
        let concluded = Box::pin(self.conclude(prepared, &attempt, ended)).await;
        attempt.release();
        concluded
    }

    /// Writes that it runs. A first start waits for no disk: what must be there before a change is the intent, and a
    /// crash before anything is on disk leaves a queued run, which starts again. A run that was there before the daemon
    /// started does wait, so that one which crashes the daemon is counted.
    async fn begin(
        &self,
        row: &RunRow,
        header: &Header,
        recorded: bool,
        resumed: bool,
        snapshot: Option<(String, Value)>,
    ) -> Result<()> {
        let patch = RunPatch {
            from: vec![State::Queued],
            state: Some(State::Running),
            target: row.target.clone(),
            subject: row.subject.clone(),
            started_at: row.started_at,
            ..RunPatch::default()
        };
        if recorded {
            self.parts.store.update_run(&row.id, patch).await?;
            return Ok(());
        }
        let begun = Record::Begun { header: Box::new(header.clone()) };
        self.parts.store.start_run(&row.id, Start { patch, begun, snapshot }).await?;
        if resumed {
            self.parts.store.flush(&row.id).await?;
        }
        Ok(())
    }

    /// The guest, and after a moment whatever is held back of its journal: a run that works for long is seen to run.
    async fn call_visibly(&self, prepared: &Prepared, attempt: &Arc<Attempt>, entry: Entry) -> Ended {
        let mut call = std::pin::pin!(self.call(prepared, attempt, entry));
        tokio::select! {
            biased;
            ended = &mut call => return ended,
            () = tokio::time::sleep(SEEN_AFTER) => {}
        }
        let seen = async {
            // What was held back is lost then: nothing may follow it in the journal.
            if let Err(error) = self.parts.store.flush(&prepared.row.id).await {
                attempt.stop(Why::Broken(error.into()));
            }
        };
        tokio::join!(call, seen).0
    }

    pub(super) async fn call(&self, prepared: &Prepared, attempt: &Arc<Attempt>, entry: Entry) -> Ended {
        let header = &prepared.journal.header;
        let input = input(header);
        let call = Call {
            code: &prepared.package.code,
            entry,
            input: &input,
            limits: &header.limits,
            seed: header.seed,
            door: attempt.clone(),
        };
        self.parts.sandbox.run(call).await
    }
}

/// Which stage a run is started with, and how it relates to the world then.
pub fn mode_of(stage: Stage, acting: Mode) -> Mode {
    match stage {
        Stage::Draft | Stage::Shadow => Mode::Shadow,
        Stage::Ask | Stage::Live => acting,
    }
}

/// What the guest's `run` gets, in the shape of the guest contract.
pub fn input(header: &Header) -> Value {
    let target = header.target.as_ref().map(|target| {
        json!({
            "handle": target.handle(),
            "host": target.host,
            "kind": match target.kind {
                Kind::Container => "container",
                Kind::Service => "service",
                Kind::Host => "host",
                Kind::None => "none",
            },
            "name": target.name,
            "id": target.id,
        })
    });
    let alert = header.alert.as_ref().map(|alert| {
        json!({
            "name": alert.name,
            "labels": alert.labels,
            "annotations": alert.annotations,
            "starts_at": alert.starts_at,
            "fingerprint": alert.fingerprint,
        })
    });
    let parameters: BTreeMap<&String, &Value> = header.parameters.iter().collect();
    json!({ "alert": alert, "target": target, "parameters": parameters })
}

/// The part of a header that says which code runs, everything else blank.
pub fn pinned(package: &Package) -> Header {
    Header {
        format: FORMAT,
        run: String::new(),
        runbook: package.manifest.name.clone(),
        version: package.version.clone(),
        digest: package.digest.clone(),
        interpreter: match package.code {
            Code::Script(_) => Some(interpreter_digest()),
            Code::Wasm(_) => None,
        },
        abi: ABI.to_owned(),
        mode: Mode::Plan,
        stage: Stage::Draft,
        origin: package.origin,
        trigger: String::new(),
        episode: None,
        alert: None,
        target: None,
        subject: None,
        host: String::new(),
        parameters: indexmap::IndexMap::new(),
        requests: package.manifest.requests.clone(),
        limits: sandbook_core::journal::Limits::default(),
        seed: getrandom::u64().unwrap_or(0),
        bound: None,
        at: 0,
    }
}

/// Of the interpreter that executes scripts here.
pub fn interpreter_digest() -> String {
    use sha2::{Digest as _, Sha256};
    static DIGEST: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    DIGEST
        .get_or_init(|| {
            let hex: String = Sha256::digest(INTERPRETER).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256:{hex}")
        })
        .clone()
}
