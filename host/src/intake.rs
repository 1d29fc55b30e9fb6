//! From a message to durable episodes and runs: parsed, matched, stored, and only then acknowledged.
//!
//! Everything storable in a message is stored; a bad alert does not reject its batch. Only a *new firing* alert that
//! cannot be made durable refuses a message, because Alertmanager sends again after a 5xx and after nothing else.
//!
//! Deliberately not here: HTTP, and looking at targets (the runner does, after the acknowledgement).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sandbook_core::alert::{Alert, ParseError, Status, parse_message};
use sandbook_core::journal::AlertInput;
use sandbook_core::manifest::Misfit;
use sandbook_core::matching::{Candidate, Choice, Chosen, Considered, Route, Via, choose, choose_event, fits};
use sandbook_core::run::Stage;
use serde::Serialize;
use serde_json::{Value, json};

use crate::about_us;
use crate::library::{Active, Library};
use crate::otel::Parent;
use crate::runner::aim::Hint;
use crate::runner::execute::mode_of;
use crate::runner::{Queued, Runner, row_of};
use crate::silences::event_labels;
use crate::store::{self, AcceptedKind, Incoming, NewRun, Store, id};
use crate::watcher::HostEvent;
use beside::Beside;

mod beside;
mod explain;

pub use explain::{Choosing, Considering, Explanation, Start};

/// Takes triggers.
pub struct Intake {
    store: Arc<dyn Store>,
    library: Arc<Library>,
    runner: Arc<Runner>,
    routes: Vec<Route>,
}

/// What became of a message.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct Receipt {
    /// Alerts stored as new episodes or resolutions.
    pub accepted: u64,
    /// Alerts of an episode that is known.
    pub duplicate: u64,
    /// Triggers that joined an open run.
    pub joined: u64,
    /// Alerts held back by a silence or pause.
    pub suppressed: u64,
    /// New episodes that no runbook wants.
    pub unmatched: u64,
    /// Alerts the sender cut off, or beyond what one message may hold: they come again with the next message.
    pub truncated: u64,
    /// Alerts that are none, by their place in the message.
    pub rejected: Vec<Rejected>,
    /// Runs started.
    pub runs: Vec<Started>,
}

/// An entry that is no alert.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Rejected {
    /// Place in the message, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A run that was started.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Started {
    /// Its id.
    pub run: String,
    /// Of which runbook.
    pub runbook: String,
    /// For which episode.
    pub episode: String,
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read. Sending it again does not help.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
    /// The queue has no room for its new alerts. Sending it again helps.
    #[error("the queue is full ({queued} of {capacity} runs are waiting to start)")]
    Full {
        /// Runs waiting to start.
        queued: usize,
        /// How many may.
        capacity: usize,
    },
    /// It cannot be made durable. Sending it again helps.
    #[error("the alerts cannot be made durable: {0}")]
    Store(#[from] store::Error),
}

/// How urgent an alert is: the words of the field's label `severity`, critical first. Greater goes first.
fn priority_of(alert: &Alert) -> i32 {
    match alert.labels.get("severity").map(|severity| severity.to_ascii_lowercase()).as_deref() {
        Some("critical" | "page" | "fatal" | "emergency" | "disaster") => 30,
        Some("error" | "major" | "high") => 20,
        Some("warning" | "warn" | "minor") => 10,
        Some("info" | "low" | "none" | "debug") => -10,
        Some(_) | None => 0,
    }
}

impl Intake {
    /// An intake over the operator's routes and the library's manifests.
    pub fn new(store: Arc<dyn Store>, library: Arc<Library>, runner: Arc<Runner>, routes: Vec<Route>) -> Arc<Intake> {
        Arc::new(Intake { store, library, runner, routes })
    }

    /// Takes a message, and the trace it came from if its sender has one. On `Ok` everything in it survives a crash.
    ///
    /// # Errors
    /// See [`Refusal`]; then nothing of it is stored.
    pub async fn receive(&self, body: &[u8], source: &str, parent: Option<Parent>) -> Result<Receipt, Refusal> {
        let heard = Instant::now();
        let now_ms = self.runner.parts().clock.now().unix_ms;
        let now = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(i64::MAX)).unwrap_or_default();
        let message = parse_message(body, now)?;
        let mut receipt = Receipt { truncated: message.truncated, ..Receipt::default() };
        let mut incoming = Vec::with_capacity(message.alerts.len());
        let actives = self.library.snapshot();
        for (index, alert) in message.alerts.into_iter().enumerate() {
            match alert {
                Ok(alert) => {
                    let mut one = self.incoming(alert, now_ms, source, &actives);
                    if let (Some(parent), true) = (parent, one.matched.is_object()) {
                        one.matched["traceparent"] = parent.to_string().into();
                    }
                    incoming.push(one);
                }
                Err(reason) => receipt.rejected.push(Rejected { index, reason }),
            }
        }
        let beside = Beside::of(self.runner.parts(), &mut incoming, source, now_ms);
        receipt.suppressed = beside.suppressed();
        let runs: usize = incoming.iter().map(|one| one.runs.len()).sum();
        if runs > self.runner.room() {
            let (queued, room) = (self.runner.queue_length(), self.runner.room());
            return Err(Refusal::Full { queued, capacity: queued + room });
        }
        let kept: Vec<(AlertInput, Vec<NewRun>)> =
            incoming.iter().map(|one| (input_of(&one.alert), one.runs.clone())).collect();
        let accepted = self.store.accept(incoming).await?;
        for (index, (accepted, (alert, runs))) in accepted.iter().zip(kept).enumerate() {
            self.count(&mut receipt, &accepted.kind, runs.is_empty() && !beside.holds(index));
            receipt.joined += accepted.joined.len() as u64;
            for mut run in runs.into_iter().filter(|run| accepted.runs.contains(&run.id)) {
                run.episode = Some(accepted.episode.clone());
                let started =
                    Started { run: run.id.clone(), runbook: run.runbook.clone(), episode: accepted.episode.clone() };
                receipt.runs.push(started);
                let row = row_of(run);
                self.runner.enqueue(Queued { row, alert: Some(alert.clone()), accepted: heard, resumed: false });
            }
        }
        for over in accepted.iter().filter(|accepted| accepted.kind == AcceptedKind::Resolved) {
            // What is stored is answered 202: the next start withdraws what is not withdrawn now.
            if let Err(error) = self.runner.withdraw_for_episode(&over.episode).await {
                tracing::warn!(episode = %over.episode, "its questions cannot be withdrawn: {error:#}");
            }
        }
        beside.accepted(&accepted).await;
        let rejected = receipt.rejected.len() as u64;
        let received = &self.runner.parts().metrics.alerts_received;
        received.with_label_values(&["rejected"]).inc_by(rejected);
        received.with_label_values(&["suppressed"]).inc_by(receipt.suppressed);
        received.with_label_values(&["truncated"]).inc_by(receipt.truncated);
        Ok(receipt)
    }

    fn count(&self, receipt: &mut Receipt, kind: &AcceptedKind, unmatched: bool) {
        let word = match kind {
            AcceptedKind::New | AcceptedKind::Refired => {
                receipt.accepted += 1;
                receipt.unmatched += u64::from(unmatched);
                "new"
            }
            AcceptedKind::Duplicate => {
                receipt.duplicate += 1;
                "duplicate"
            }
            AcceptedKind::Resolved | AcceptedKind::ResolvedUnknown => {
                receipt.accepted += 1;
                "resolved"
            }
        };
        self.runner.parts().metrics.alerts_received.with_label_values(&[word]).inc();
    }

    fn incoming(&self, alert: Alert, received_at: u64, source: &str, actives: &[Active]) -> Incoming {
        if alert.status == Status::Resolved {
            return Incoming {
                alert,
                received_at,
                source: source.to_owned(),
                matched: Value::Null,
                snapshot: Value::Null,
                runs: Vec::new(),
                joins: BTreeMap::new(),
            };
        }
        let choice = self.choose_briefly(&alert, actives);
        let hint = |chosen_via: &Via| Hint {
            labels: alert.labels.clone(),
            target_from: self.route(chosen_via).map(|route| route.target_from.clone()).unwrap_or_default(),
            ..Hint::default()
        };
        let (mut runs, mut joins) = (Vec::new(), BTreeMap::new());
        for chosen in &choice.chosen {
            let parameters = self.route(&chosen.via).map(|route| route.parameters.clone()).unwrap_or_default();
            let versions = actives.iter().filter(|active| active.package.manifest.name == chosen.runbook);
            for active in versions {
                let hint = hint(&chosen.via);
                let other = self.open_run(active, &hint);
                let Some(mut run) = self.new_run(active, "alert", hint, &parameters, received_at) else { continue };
                run.priority = priority_of(&alert);
                joins.extend(other.map(|other| (run.id.clone(), other)));
                runs.push(run);
            }
        }
        let matched = json!({
            "chosen": choice.chosen.iter().map(|c| json!({"runbook": c.runbook, "why": c.why})).collect::<Vec<_>>(),
            "considered": choice.considered.iter()
                .map(|c| json!({"runbook": c.runbook, "matched": c.matched, "why": c.why})).collect::<Vec<_>>(),
        });
        Incoming { alert, received_at, source: source.to_owned(), matched, snapshot: Value::Null, runs, joins }
    }

    /// The open run that an alert's run would join, as far as its labels tell; what they do not tell, the runner sees.
    fn open_run(&self, active: &Active, hint: &Hint) -> Option<String> {
        if !acts(active) || active.package.manifest.target.each {
            return None;
        }
        let target = self.runner.aim().guess(&active.package.manifest.target, hint)?;
        self.runner.open_on(&active.package.manifest.name, &target)
    }

    fn route(&self, via: &Via) -> Option<&Route> {
        match via {
            Via::Route(index) => self.routes.get(*index),
            Via::Trigger(_) => None,
        }
    }

    /// What may act is chosen first. What is in shadow is chosen apart and beside it: a runbook that only watches never
    /// takes an alert away from one that heals.
    fn choose(&self, alert: &Alert, actives: &[Active]) -> Choice {
        self.choose_of(alert, actives, |_| true)
    }

    /// The same choice as is kept with an episode: what it went for, and what it nearly went for. That forty others are
    /// about other alerts is said only where nothing was chosen; `sandbook match` says it at any time.
    fn choose_briefly(&self, alert: &Alert, actives: &[Active]) -> Choice {
        let routed = |name: &str| self.routes.iter().any(|route| route.runbook == name);
        let brief = |active: &Active| {
            let manifest = &active.package.manifest;
            fits(alert, manifest) || routed(&manifest.name)
        };
        let choice = self.choose_of(alert, actives, brief);
        if choice.chosen.is_empty() { self.choose(alert, actives) } else { choice }
    }

    fn choose_of(&self, alert: &Alert, actives: &[Active], keep: impl Fn(&Active) -> bool) -> Choice {
        if about_us::about(&alert.labels).is_some() {
            return Choice::default();
        }
        let mut choice = self.choose_among(alert, actives, true, &keep);
        let watching = self.choose_among(alert, actives, false, &keep);
        merge(&mut choice, watching);
        self.without_misfits(&mut choice, actives);
        choice
    }

    /// A route whose parameters its runbook does not take chooses nothing, and the episode says so.
    fn without_misfits(&self, choice: &mut Choice, actives: &[Active]) {
        let why = |one: &Chosen| {
            let route = self.route(&one.via)?;
            let active = actives.iter().find(|active| active.package.manifest.name == one.runbook)?;
            let misfits = active.package.manifest.parameters_from(&route.parameters).err()?;
            Some(format!("{}, but the parameters of that route do not fit: {}", one.why, sentences(&misfits)))
        };
        let (chosen, considered) = (&mut choice.chosen, &mut choice.considered);
        chosen.retain(|one| {
            let Some(why) = why(one) else { return true };
            considered.push(Considered { runbook: one.runbook.clone(), via: one.via, matched: true, why });
            false
        });
    }

    /// A choice among some of the runbooks, by the routes that mean one of them; a route to a runbook that does not
    /// exist is reported once, with those that act.
    fn choose_among(&self, alert: &Alert, actives: &[Active], acting: bool, keep: &impl Fn(&Active) -> bool) -> Choice {
        let find = |name: &str| actives.iter().find(|active| !active.shadow && active.package.manifest.name == name);
        let means = |route: &Route| find(&route.runbook).map_or(acting, |active| acts(active) == acting);
        let kept: Vec<(usize, &Route)> = self.routes.iter().enumerate().filter(|(_, route)| means(route)).collect();
        let routes: Vec<Route> = kept.iter().map(|(_, route)| (*route).clone()).collect();
        let mut choice = choose(alert, &routes, &candidates(actives, acting, keep));
        let back = |via: &mut Via| {
            if let Via::Route(index) = via
                && let Some((original, _)) = kept.get(*index)
            {
                *index = *original;
            }
        };
        choice.chosen.iter_mut().for_each(|one| back(&mut one.via));
        choice.considered.iter_mut().for_each(|one| back(&mut one.via));
        choice
    }

    /// A run of a version, or none when its parameters do not fit (which is logged; the manifest's defaults always do).
    pub(crate) fn new_run(
        &self,
        active: &Active,
        trigger: &str,
        hint: Hint,
        parameters: &BTreeMap<String, String>,
        at: u64,
    ) -> Option<NewRun> {
        let manifest = &active.package.manifest;
        let parameters = match manifest.parameters_from(parameters) {
            Ok(parameters) => serde_json::to_value(parameters).unwrap_or_default(),
            Err(misfits) => {
                tracing::error!(runbook = %manifest.name, "not started, its parameters do not fit: {}", sentences(&misfits));
                return None;
            }
        };
        Some(NewRun {
            id: id::new("r"),
            runbook: manifest.name.clone(),
            version: active.package.version.clone(),
            digest: active.package.digest.clone(),
            mode: mode_of(active.stage, self.runner.parts().acting),
            stage: active.stage,
            origin: active.package.origin,
            trigger: trigger.to_owned(),
            episode: None,
            parameters,
            target_hint: serde_json::to_value(hint).unwrap_or_default(),
            priority: 0,
            at,
        })
    }

    /// A Docker event of a host: unhealthy, out of memory, died.
    pub async fn docker_event(&self, event: &HostEvent) {
        // What a run does to a container is seen as events too; they are its doing and no new fault.
        if self.runner.is_touching(&format!("{}/{}", event.host, event.name)) {
            return;
        }
        // An engine that heals itself would have to run while it does not.
        if self.runner.parts().driver.is_own(&event.host, &event.name).await {
            return;
        }
        let labels = event_labels(Some(&event.labels), &event.host, &event.name);
        let actives = self.library.snapshot();
        let mut choice = choose_event(&event.action, &labels, &candidates(&actives, true, |_| true));
        merge(&mut choice, choose_event(&event.action, &labels, &candidates(&actives, false, |_| true)));
        let now = self.runner.parts().clock.now().unix_ms;
        for chosen in choice.chosen {
            let hint = Hint { reference: Some(format!("{}/{}", event.host, event.name)), ..Hint::default() };
            let Some(active) = actives.iter().find(|active| active.package.manifest.name == chosen.runbook) else {
                continue;
            };
            if self.holds_event(event, &labels, active, now) {
                continue;
            }
            let Some(run) = self.new_run(active, "docker-event", hint, &BTreeMap::new(), now) else { continue };
            if let Err(error) = self.runner.submit(run, None).await {
                tracing::error!(runbook = %chosen.runbook, "a Docker event is lost: {error:#}");
            }
        }
    }
}

/// What does not fit, in one line.
pub(crate) fn sentences(misfits: &[Misfit]) -> String {
    misfits.iter().map(|misfit| misfit.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// Whether a version may change anything.
fn acts(active: &Active) -> bool {
    active.stage >= Stage::Ask
}

/// What can be chosen: of each runbook the version in force. Newer ones in shadow run beside it.
fn candidates(actives: &[Active], acting: bool, keep: impl Fn(&Active) -> bool) -> Vec<Candidate<'_>> {
    actives
        .iter()
        .filter(|active| !active.shadow && acts(active) == acting && keep(active))
        .map(|active| Candidate { name: &active.package.manifest.name, manifest: &active.package.manifest })
        .collect()
}

fn merge(choice: &mut Choice, beside: Choice) {
    choice.chosen.extend(beside.chosen);
    choice.considered.extend(beside.considered);
}

/// What a runbook sees of an alert.
pub fn input_of(alert: &Alert) -> AlertInput {
    AlertInput {
        name: alert.name().to_owned(),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        starts_at: alert.starts_at.to_string(),
        fingerprint: alert.fingerprint.clone(),
    }
}
