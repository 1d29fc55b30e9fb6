//! What comes of a run: an outcome, a wait, a question, or a state only a person can settle.

use std::sync::Arc;

use anyhow::Result;
use sandbook_core::error::ErrorKind;
use sandbook_core::gate::Fault;
use sandbook_core::journal::Record;
use sandbook_core::run::{Mode, Outcome, State, Verification};

use super::Runner;
use super::execute::Prepared;
use super::perform::{Attempt, Why};
use super::verify::aftermath;
use crate::guest::{Ended, Place};
use crate::metrics::CANCELLED;
use crate::store::{Approval, Checkpoint, Happened, NewRun, Notice, RunPatch, RunRow};

/// The pages that explain why a run is left to a person.
const MISMATCH: &str = "SB0501";
const ATTENTION: &str = "SB0502";
/// The page on limits of one run, which are no brakes.
const LIMIT: &str = "SB0504";
pub(super) const VERSION_GONE: &str = "SB0510";
pub(super) const JOURNAL: &str = "SB0511";
pub(super) const CRASHES: &str = "SB0512";

/// How often a target is looked for while its Docker host does not answer, in milliseconds.
const HOST_RETRY_MS: u64 = 5_000;
/// For how long: what is wrong with a container an hour ago says little of it now.
const HOST_PATIENCE_MS: u64 = 3_600_000;
/// After a fault of the daemon itself, how long until the run is tried again, in milliseconds.
const RETRY_MS: u64 = 5_000;

impl Runner {
    /// Turns what the guest and the gate said into the run's next state.
    pub(super) async fn conclude(&self, prepared: Prepared, attempt: &Arc<Attempt>, ended: Ended) -> Result<()> {
        let mut prepared = prepared;
        prepared.journal = attempt.session().await.journal().clone();
        for trip in attempt.take_trips() {
            // Stored when it tripped.
            let key = format!("sandbook-{}", trip.id);
            let notice = self.notice(Happened::Tripped, &prepared.row, &trip.refusal());
            self.noticed(vec![Notice { once: key.clone(), key, ..notice }]);
        }
        match (attempt.take_why(), ended) {
            (Some(why), _) => self.stopped(&prepared, why).await,
            (None, Ended::Outcome(outcome, sentence)) => {
                self.finish(&prepared, State::Succeeded, Some(outcome), &sentence, None).await?;
                if to_be_verified(&prepared, Some(outcome)) {
                    self.verify_later(RunRow { finished_at: Some(self.parts.clock.now().unix_ms), ..prepared.row });
                }
                Ok(())
            }
            (None, Ended::Error(error, place)) => {
                let outcome = outcome_of(error.kind);
                let error_text = placed(&prepared, &error.to_string(), place.as_ref());
                self.finish(&prepared, State::Failed, Some(outcome), &error.message, Some(error_text)).await
            }
            (None, Ended::Trap { message, .. }) => {
                let error = placed(&prepared, &message, None);
                self.finish(&prepared, State::Failed, Some(Outcome::Failed), &message, Some(error)).await
            }
            (None, Ended::Stopped) => {
                self.park(&prepared.row, ATTENTION, "it was stopped for no recorded reason: a defect").await
            }
        }
    }

    async fn stopped(&self, prepared: &Prepared, why: Why) -> Result<()> {
        let row = &prepared.row;
        match why {
            Why::Waits(until) => self.suspend(row, until, None).await,
            Why::Asks(claim) => self.put_question(prepared, &claim).await,
            Why::Cancelled(sentence) => self.finish(prepared, State::Cancelled, None, &sentence, None).await,
            Why::Broken(error) => {
                tracing::error!(run = %row.id, "attempt ended by a fault of the daemon, tried again in {} s: {error:#}", RETRY_MS / 1_000);
                self.suspend(row, self.parts.clock.now().unix_ms + RETRY_MS, None).await
            }
            Why::Ended(fault) => self.faulted(prepared, &fault).await,
        }
    }

    async fn faulted(&self, prepared: &Prepared, fault: &Fault) -> Result<()> {
        let sentence = fault.to_string();
        match fault {
            Fault::ReplayMismatch { .. } | Fault::JournalExhausted { .. } => {
                self.park(&prepared.row, MISMATCH, &sentence).await
            }
            Fault::Journal(_) => self.park(&prepared.row, JOURNAL, &sentence).await,
            Fault::NeedsAttention { .. } | Fault::Confused(_) => self.park(&prepared.row, ATTENTION, &sentence).await,
            Fault::Probing(_) => {
                self.finish(prepared, State::Failed, Some(Outcome::Refused), &sentence, Some(sentence.clone())).await
            }
            Fault::Effects(_) | Fault::JournalBytes(_) | Fault::Flooding(_) => {
                let error = format!("[{LIMIT}] {sentence}");
                self.finish(prepared, State::Failed, Some(Outcome::Limited), &sentence, Some(error)).await
            }
        }
    }

    /// Drops the run until a time comes or a person answers.
    pub(super) async fn suspend(&self, row: &RunRow, until: u64, asked: Option<(Approval, Notice)>) -> Result<()> {
        let (approval, notices) =
            asked.map_or_else(Default::default, |(approval, notice)| (Some(approval), vec![notice]));
        let patch = RunPatch {
            from: vec![State::Queued, State::Running],
            state: Some(State::Waiting),
            target: row.target.clone(),
            subject: row.subject.clone(),
            started_at: row.started_at,
            wake_at: Some(Some(until)),
            notices: notices.clone(),
            ..RunPatch::default()
        };
        self.parts.store.checkpoint(&row.id, Checkpoint { records: Vec::new(), patch, approval }).await?;
        self.noticed(notices);
        Ok(())
    }

    /// Leaves a run to a person, visibly.
    pub(super) async fn park(&self, row: &RunRow, code: &str, sentence: &str) -> Result<()> {
        let notice = self.notice(Happened::NeedsAttention, row, sentence);
        // Resumed and left to a person once more is told once more.
        let notices = vec![Notice { once: format!("{}-{}", notice.key, notice.at), ..notice }];
        let patch = RunPatch {
            state: Some(State::NeedsAttention),
            error: Some(format!("[{code}] {sentence}")),
            sentence: Some(sentence.to_owned()),
            notices: notices.clone(),
            ..RunPatch::default()
        };
        self.parts.store.update_run(&row.id, patch).await?;
        tracing::warn!(run = %row.id, runbook = %row.runbook, code, "needs attention: {sentence}");
        self.noticed(notices);
        Ok(())
    }

    /// A run whose Docker host does not answer waits for it: the alert was accepted, so it is not lost.
    pub(super) async fn wait_for_host(&self, row: &RunRow, why: &str) -> Result<Option<Prepared>> {
        let now = self.parts.clock.now().unix_ms;
        if now.saturating_sub(row.at) > HOST_PATIENCE_MS {
            let sentence = format!("its target could not be looked up for an hour: {why}");
            return self.end_early(row, State::Failed, Outcome::Failed, &sentence).await;
        }
        let patch = RunPatch {
            from: vec![State::Queued],
            state: Some(State::Waiting),
            wake_at: Some(Some(now + HOST_RETRY_MS)),
            error: Some(format!("waits for its Docker host: {why}")),
            ..RunPatch::default()
        };
        self.parts.store.update_run(&row.id, patch).await?;
        Ok(None)
    }

    /// Ends a run that never came to execute its guest. Answers `None` for the caller's convenience.
    pub(super) async fn end_early(
        &self,
        row: &RunRow,
        state: State,
        outcome: Outcome,
        sentence: &str,
    ) -> Result<Option<Prepared>> {
        self.end_with(row, state, outcome, sentence, Vec::new()).await?;
        Ok(None)
    }

    /// The same, with runs that take its place. False: it was over already, and they were not made.
    pub(super) async fn end_with(
        &self,
        row: &RunRow,
        state: State,
        outcome: Outcome,
        sentence: &str,
        runs: Vec<NewRun>,
    ) -> Result<bool> {
        let now = self.parts.clock.now().unix_ms;
        let notices: Vec<Notice> = self.notice_of_end(row, Some(outcome), sentence).into_iter().collect();
        let patch = RunPatch {
            from: vec![State::Queued],
            state: Some(state),
            notices: notices.clone(),
            target: row.target.clone(),
            subject: row.subject.clone(),
            started_at: Some(now),
            finished_at: Some(now),
            outcome: Some(outcome),
            sentence: Some(sentence.to_owned()),
            error: (state == State::Failed).then(|| sentence.to_owned()),
            runs,
            ..RunPatch::default()
        };
        let ended = self.parts.store.update_run(&row.id, patch).await?;
        if ended {
            self.ended(row, Some(outcome), sentence, 0);
            self.noticed(notices);
        }
        Ok(ended)
    }

    /// The run's end: its last record and its row, in one transaction, before anybody is told.
    pub(super) async fn finish(
        &self,
        prepared: &Prepared,
        state: State,
        outcome: Option<Outcome>,
        sentence: &str,
        error: Option<String>,
    ) -> Result<()> {
        let row = &prepared.row;
        let now = self.parts.clock.now().unix_ms;
        let verification = to_be_verified(prepared, outcome).then_some(Verification::Pending);
        let aftermath = aftermath(prepared, now, verification.is_some());
        let needless = aftermath.as_ref().is_some_and(|aftermath| aftermath.needless);
        let record = Record::Ended { state, outcome, sentence: sentence.to_owned(), at: now };
        let mut notices: Vec<Notice> = self.notice_of_end(row, outcome, sentence).into_iter().collect();
        if acted(prepared) {
            notices.push(self.notice(Happened::Acted, row, sentence));
        }
        let patch = RunPatch {
            from: vec![State::Queued, State::Running],
            state: Some(state),
            target: row.target.clone(),
            subject: row.subject.clone(),
            started_at: row.started_at,
            finished_at: Some(now),
            outcome,
            sentence: Some(sentence.to_owned()),
            verification,
            aftermath,
            trace: super::trace::of(&prepared.journal),
            notices: notices.clone(),
            error,
            ..RunPatch::default()
        };
        let checkpoint = Checkpoint { records: vec![record], patch, approval: None };
        if self.parts.store.checkpoint(&row.id, checkpoint).await? {
            self.ended(row, outcome, sentence, now.saturating_sub(row.started_at.unwrap_or(now)));
            self.noticed(notices);
            if needless {
                self.parts.metrics.outcomes.false_positives.with_label_values(&[&row.runbook]).inc();
            }
        }
        Ok(())
    }

    fn ended(&self, row: &RunRow, outcome: Option<Outcome>, sentence: &str, took_ms: u64) {
        self.closed(row);
        self.parts.trace_end(&row.id);
        let word = outcome.map_or(CANCELLED, Outcome::name);
        let metrics = &self.parts.metrics;
        metrics.runs.with_label_values(&[row.runbook.as_str(), row.mode.name(), word]).inc();
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a run fit a float exactly")]
        metrics.run_seconds.with_label_values(&[&row.runbook]).observe(took_ms as f64 / 1_000.0);
        tracing::info!(run = %row.id, runbook = %row.runbook, outcome = word, took_ms, "run ended: {sentence}");
    }

    /// What people may want to be told of an end that is not as hoped.
    fn notice_of_end(&self, row: &RunRow, outcome: Option<Outcome>, sentence: &str) -> Option<Notice> {
        if row.mode == Mode::Shadow {
            // What would have been refused or passed to a person wakes nobody.
            return None;
        }
        let event = match outcome? {
            Outcome::Refused => Happened::Refused,
            Outcome::Limited => Happened::Limited,
            Outcome::Escalate => Happened::Escalated,
            Outcome::Failed => Happened::Failed,
            Outcome::Done | Outcome::Fixed | Outcome::NothingToDo | Outcome::NoTarget | Outcome::AmbiguousTarget => {
                return None;
            }
        };
        Some(self.notice(event, row, sentence))
    }
}

/// What an error means that a guest did not handle.
pub(super) fn outcome_of(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::Denied => Outcome::Refused,
        ErrorKind::Limited => Outcome::Limited,
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Timeout | ErrorKind::Failed => {
            Outcome::Failed
        }
    }
}

/// Whether it changed the world and claims that this helped.
fn to_be_verified(prepared: &Prepared, outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Fixed | Outcome::Done)) && acted(prepared)
}

/// Whether it changed the world.
pub(super) fn acted(prepared: &Prepared) -> bool {
    prepared.journal.header.acts() && prepared.journal.slots.iter().any(super::verify::acted)
}

/// An error with its place: script, line, column and the line itself.
fn placed(prepared: &Prepared, message: &str, place: Option<&Place>) -> String {
    let name = &prepared.row.runbook;
    match place {
        Some(place) if place.line > 0 => {
            format!("{name}/main.rhai:{}:{}: {message}\n    {}", place.line, place.column, place.source)
        }
        Some(_) | None => format!("{name}: {message}"),
    }
}
