//! What happens to a message beside starting runs: silences hold alerts back, and alerts about the engine itself are
//! told to people.

use std::collections::BTreeMap;

use sandbook_core::alert::Alert;

use crate::about_us;
use crate::library::Active;
use crate::runner::Parts;
use crate::silences::{self, Silence};
use crate::store::{Accepted, Incoming};
use crate::watcher::HostEvent;

/// What is beside the runs, for each alert of a message in its place.
pub(super) struct Beside<'a> {
    parts: &'a Parts,
    source: &'a str,
    now_ms: u64,
    held: Vec<Option<Silence>>,
    about_us: Vec<Option<Alert>>,
}

impl<'a> Beside<'a> {
    /// Takes the runs from what is silenced.
    pub(super) fn of(parts: &'a Parts, incoming: &mut [Incoming], source: &'a str, now_ms: u64) -> Beside<'a> {
        let held = parts.silences.hold(incoming, now_ms);
        let about_us = incoming.iter().zip(&held).map(|(one, held)| {
            let told = held.is_none() && about_us::about(&one.alert.labels).is_some();
            told.then(|| one.alert.clone())
        });
        Beside { parts, source, now_ms, about_us: about_us.collect(), held }
    }

    /// Whether a silence holds that alert back.
    pub(super) fn holds(&self, index: usize) -> bool {
        self.held.get(index).is_some_and(Option::is_some)
    }

    /// How many are held back.
    pub(super) fn suppressed(&self) -> u64 {
        self.held.iter().flatten().count() as u64
    }

    /// Once the message is on disk.
    pub(super) async fn accepted(&self, accepted: &[Accepted]) {
        for (alert, accepted) in self.about_us.iter().zip(accepted) {
            if let Some(alert) = alert {
                self.parts.about_us.heard(alert, accepted, self.source, self.now_ms);
            }
        }
        silences::note_outcomes(&*self.parts.store, &self.held, accepted).await;
    }
}

impl super::Intake {
    /// Whether a silence keeps a runbook from being started by a container's event.
    pub(super) fn holds_event(
        &self,
        event: &HostEvent,
        labels: &BTreeMap<String, String>,
        active: &Active,
        now_ms: u64,
    ) -> bool {
        let manifest = &active.package.manifest;
        let stands_for: Vec<String> = manifest.triggers.iter().flat_map(|trigger| trigger.alert.clone()).collect();
        let parts = self.runner.parts();
        let Some(silence) = parts.silences.covers_container(labels, &stands_for, now_ms) else { return false };
        let (container, runbook) = (format!("{}/{}", event.host, event.name), &manifest.name);
        tracing::info!(%container, %runbook, event = event.action, "not started: {}", silence.sentence());
        parts.metrics.alerts_received.with_label_values(&["suppressed"]).inc();
        true
    }
}
