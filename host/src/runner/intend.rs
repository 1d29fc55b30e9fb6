//! Before a change: what policy says, who else is at work, and the one transaction that counts and records.
//!
//! Deliberately not here: deciding any of it. Policy, silences, locks and the store's brakes do; this asks them in the
//! gate's order.

use std::sync::PoisonError;

use sandbook_core::effect::Class;
use sandbook_core::error::Error;
use sandbook_core::gate::{Claim, Fault, Next, Session, Verdict};
use sandbook_core::run::{Mode, Stage};
use sandbook_core::service;

use super::perform::{Attempt, Why, broken};
use crate::policy;
use crate::silences::{Change, Silence};
use crate::store::{self, Intend, Intended, Scope as WindowScope, Trip, Window};

/// How far back attempts are counted for policy.
const ATTEMPTS_SINCE_MS: u64 = 86_400_000;

impl Attempt {
    /// Whether it may touch a subject now: it holds the lock, or takes it without waiting.
    fn lock(&self, subject: &str) -> Result<(), Error> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.locks
            .add(&mut held, subject)
            .map_err(|other| Error::conflict(format!("{other} is at work on {subject}; try again when it has ended")))
    }

    pub(super) async fn authorize(&self, session: &Session, claim: &Claim) -> Result<Verdict, Why> {
        let header = &session.journal().header;
        let policy = self.parts.policy();
        let attempts = if policy.counts_attempts(&header.runbook, &claim.effect) {
            let filter = store::AttemptFilter {
                runbook: Some(header.runbook.clone()),
                subject: Some(claim.resolved.subject.clone()),
                since: Some(self.parts.clock.now().unix_ms.saturating_sub(ATTEMPTS_SINCE_MS)),
                limit: store::PAGE_MAX,
                ..store::AttemptFilter::default()
            };
            self.parts.store.attempts(filter).await.map_err(broken)?.len() as u64
        } else {
            0
        };
        let now = jiff::Timestamp::from_millisecond(i64::try_from(self.parts.clock.now().unix_ms).unwrap_or(i64::MAX))
            .unwrap_or_default()
            .to_zoned(jiff::tz::TimeZone::system());
        Ok(policy.decide(&policy::Request {
            runbook: &header.runbook,
            digest: &header.digest,
            // A plan shows what promoting would do.
            stage: match header.mode {
                Mode::Live | Mode::Simulate => header.stage,
                Mode::Plan | Mode::Shadow | Mode::Replay => Stage::Live,
            },
            origin: header.origin,
            effect: &claim.effect,
            resolved: &claim.resolved,
            alert_labels: &self.labels,
            attempts,
            now: policy::Moment::from(&now),
            // Whoever applies a plan permits what it says; anything else needs a policy as ever.
            applied_by: header.bound.as_ref().filter(|_| session.planned(claim)).map(|bound| bound.by.as_str()),
        }))
    }

    pub(super) async fn intend(&self, session: &mut Session, claim: &Claim) -> Result<Next, Why> {
        // First, because it may wait for an answer.
        let silenced = self.silenced(session, claim).await;
        let now = self.parts.clock.now();
        let Some(record) = session.intent(now) else {
            return Err(Why::Ended(Fault::Confused("an intent without an effect in hand")));
        };
        if claim.effect.class() != Class::Mutate {
            // Notifications and requests are exempt from brakes and stop-all; their intent is durable all the same.
            self.append(vec![record.clone()], true).await?;
            return Ok(session.intended(Ok(record), now));
        }
        if let Some(silence) = silenced {
            return Ok(session.intended(Err(Error::limited(silence.sentence())), now));
        }
        if let Some(left_alone) = self.left_alone(session, claim).await? {
            return Ok(session.intended(Err(left_alone), now));
        }
        // Whoever scales a service holds its containers, too.
        let members = service::Standing::of(&claim.resolved).map(|standing| standing.subjects).unwrap_or_default();
        let members = members.iter().map(|subject| format!("{}{subject}", claim.resolved.target.host));
        for subject in std::iter::once(claim.resolved.subject.clone()).chain(members) {
            if let Err(busy) = self.lock(&subject) {
                return Ok(session.intended(Err(busy), now));
            }
        }
        let mut windows = self.windows.clone();
        windows.extend(claim.limits.iter().map(|limit| Window {
            scope: WindowScope::Policy(limit.key.clone()),
            count: limit.count,
            window_ms: limit.window_ms,
            label: format!("the limit of policy {}", limit.key),
        }));
        let header = &session.journal().header;
        let intend = Intend {
            runbook: header.runbook.clone(),
            subject: claim.resolved.subject.clone(),
            host: claim.resolved.target.host.clone(),
            target: claim.resolved.target.name.clone(),
            effect: claim.effect.name().to_owned(),
            at: now.unix_ms,
            windows,
            policy: claim.limits.iter().map(|limit| limit.key.clone()).collect(),
            storm: self.parts.storm(&claim.resolved.target.host).await,
        };
        let taken = match self.ledger.intend(record.clone(), intend).await.map_err(broken)? {
            Intended::Taken => Ok(record),
            Intended::Limited { error, tripped } => {
                self.note_trip(tripped);
                Err(error)
            }
        };
        Ok(session.intended(taken, self.parts.clock.now()))
    }

    /// The silence that forbids a change now.
    async fn silenced(&self, session: &Session, claim: &Claim) -> Option<Silence> {
        if claim.effect.class() != Class::Mutate {
            return None;
        }
        let (header, target) = (&session.journal().header, &claim.resolved.target);
        let change = Change {
            trigger: &header.trigger,
            alert: header.alert.as_ref().map(|alert| &alert.labels),
            container: claim.resolved.facts.as_ref().map(|facts| &facts.labels),
            host: &target.host,
            name: &target.name,
        };
        self.parts.silences.holds(&change, self.parts.clock.now().unix_ms).await
    }

    fn note_trip(&self, tripped: Option<Box<Trip>>) {
        let Some(trip) = tripped else { return };
        self.parts.metrics.brake_trips.with_label_values(&[trip.scope.name()]).inc();
        tracing::warn!(run = %self.run, trip = %trip.id, "a brake tripped: {}", trip.refusal());
        self.trips.lock().unwrap_or_else(PoisonError::into_inner).push(*trip);
    }
}
