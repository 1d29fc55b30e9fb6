//! [`Store`] for [`Sqlite`]: each call goes to the writer or to a reader, and nothing else happens here.

use std::path::Path;

use futures::future::FutureExt;
use sandbook_core::error::Error as CoreError;
use sandbook_core::journal::Record;
use sandbook_core::run::{Stage, Verification};
use serde_json::Value;
use tokio::sync::broadcast;

use super::*;

impl Store for Sqlite {
    fn accept(&self, incoming: Vec<Incoming>) -> Answer<'_, Vec<Accepted>> {
        self.write(move |tx| intake::accept(tx, incoming)).boxed()
    }
    fn episodes(&self, filter: EpisodeFilter) -> Answer<'_, (Vec<EpisodeRow>, Option<String>)> {
        self.readers.read(move |sql| intake::list(sql, filter)).boxed()
    }
    fn episode(&self, id: &str) -> Answer<'_, Option<EpisodeRow>> {
        let id = id.to_owned();
        self.readers.read(move |sql| intake::get(sql, &id)).boxed()
    }
    fn join(&self, episode: &str, run: &str) -> Answer<'_, ()> {
        let (episode, run) = (episode.to_owned(), run.to_owned());
        self.write(move |tx| intake::join(tx, &episode, &run)).boxed()
    }
    fn set_episode_outcome(&self, id: &str, outcome: &str) -> Answer<'_, bool> {
        let (id, outcome) = (id.to_owned(), outcome.to_owned());
        self.write(move |tx| intake::set_outcome(tx, &id, &outcome)).boxed()
    }

    fn past(&self, filter: PastFilter) -> Answer<'_, Vec<PastEpisode>> {
        self.readers.read(move |sql| traces::past(sql, &filter)).boxed()
    }
    fn log_patterns(&self, episode: &str) -> Answer<'_, Vec<String>> {
        let episode = episode.to_owned();
        self.readers.read(move |sql| traces::logs_of(sql, &episode)).boxed()
    }

    fn create_run(&self, run: NewRun) -> Answer<'_, ()> {
        self.write(move |tx| runs::create(tx, &run)).boxed()
    }
    fn queued(&self, limit: u32) -> Answer<'_, Vec<RunRow>> {
        self.readers.read(move |sql| runs::queued(sql, limit)).boxed()
    }
    fn update_run(&self, id: &str, patch: RunPatch) -> Answer<'_, bool> {
        let id = id.to_owned();
        self.write(move |tx| runs::update(tx, &id, patch)).boxed()
    }
    fn start_run(&self, id: &str, start: Start) -> Answer<'_, ()> {
        let Start { patch, begun, snapshot } = start;
        self.held.start(id, patch, snapshot);
        self.append(id, vec![begun], false)
    }
    fn flush(&self, run: &str) -> Answer<'_, ()> {
        let run = run.to_owned();
        async move {
            if self.held.has(&run) { self.write_run(run, |_, _| Ok(())).await } else { self.held.check(&run) }
        }
        .boxed()
    }
    fn run(&self, id: &str) -> Answer<'_, Option<RunRow>> {
        let id = id.to_owned();
        self.readers.read(move |sql| runs::get(sql, &id)).boxed()
    }
    fn runs(&self, filter: RunFilter) -> Answer<'_, (Vec<RunRow>, Option<String>)> {
        self.readers.read(move |sql| runs::list(sql, filter)).boxed()
    }
    fn open_runs(&self) -> Answer<'_, Vec<RunRow>> {
        self.readers.read(runs::open).boxed()
    }
    fn due_waiting(&self, now: u64) -> Answer<'_, Vec<RunRow>> {
        self.readers.read(move |sql| runs::due_waiting(sql, now)).boxed()
    }

    fn set_verification(&self, id: &str, verdict: Verdict) -> Answer<'_, bool> {
        let id = id.to_owned();
        self.write(move |tx| outcomes::set(tx, &id, &verdict)).boxed()
    }
    fn pending_verifications(&self) -> Answer<'_, Vec<RunRow>> {
        self.readers.read(outcomes::pending).boxed()
    }
    fn due_verifications(&self, now: u64) -> Answer<'_, Vec<Due>> {
        self.readers.read(move |sql| outcomes::due(sql, now)).boxed()
    }
    fn close_verification(&self, id: &str, settled: Verification) -> Answer<'_, bool> {
        let id = id.to_owned();
        self.write(move |tx| outcomes::close(tx, &id, settled)).boxed()
    }
    fn tallies(&self, since: u64, runbook: Option<String>) -> Answer<'_, Vec<Tally>> {
        self.readers.read(move |sql| outcomes::tallies(sql, since, runbook.as_deref())).boxed()
    }
    fn contradictions(&self, name: &str, digest: &str, since: u64, limit: u32) -> Answer<'_, u64> {
        let (name, digest) = (name.to_owned(), digest.to_owned());
        self.readers.read(move |sql| outcomes::contradictions(sql, &name, &digest, since, limit)).boxed()
    }
    fn speed(&self, since: u64) -> Answer<'_, Speed> {
        self.readers.read(move |sql| outcomes::speed(sql, since)).boxed()
    }

    fn append(&self, run: &str, records: Vec<Record>, durable: bool) -> Answer<'_, ()> {
        let run = run.to_owned();
        async move {
            self.held.check(&run)?;
            let now = if durable { Some(records) } else { self.held.hold(&run, records) };
            let Some(records) = now else { return Ok(()) };
            self.write_run(run, move |tx, run| journal::append(tx, run, records)).await
        }
        .boxed()
    }
    fn checkpoint(&self, run: &str, checkpoint: Checkpoint) -> Answer<'_, bool> {
        let (run, records) = (run.to_owned(), !checkpoint.records.is_empty());
        let work = move |tx: &mut writer::Tx<'_>, run: &str, held| journal::checkpoint(tx, run, held, checkpoint);
        async move {
            if records {
                self.held.check(&run)?;
            }
            self.write_held(run, work).await
        }
        .boxed()
    }
    fn intend(&self, run: &str, record: Record, intend: Intend) -> Answer<'_, Intended> {
        let run = run.to_owned();
        async move {
            self.held.check(&run)?;
            self.write_run(run, move |tx, run| brakes::intend(tx, run, record, &intend)).await
        }
        .boxed()
    }
    fn would_intend(&self, intend: Intend) -> Answer<'_, Intended> {
        self.readers.read(move |sql| brakes::would(sql, &intend)).boxed()
    }
    fn records(&self, run: &str) -> Answer<'_, Vec<Record>> {
        let run = run.to_owned();
        async move {
            // Also waits for writes of an attempt that was given up while they were in the queue.
            self.write_run(run.clone(), |_, _| Ok(())).await?;
            self.held.read_again(&run);
            let records = self.readers.read(move |sql| journal::from(sql, &run, 0)).await?;
            Ok(records.into_iter().map(|(_, record)| record).collect())
        }
        .boxed()
    }
    fn records_after(&self, run: &str, seq: Option<u64>) -> Answer<'_, Vec<(u64, Record)>> {
        let (run, from) = (run.to_owned(), seq.map_or(0, |seq| seq.saturating_add(1)));
        self.readers.read(move |sql| journal::from(sql, &run, from)).boxed()
    }
    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
    fn announce(&self, run: &str, progress: Value) {
        let kind = EventKind::Progress(std::sync::Arc::new(progress));
        // Nobody listens: nobody misses it.
        let _ = self.events.send(Event { run: run.to_owned(), kind });
    }

    fn memory_get(&self, runbook: &str, key: &str) -> Answer<'_, Option<String>> {
        let (runbook, key) = (runbook.to_owned(), key.to_owned());
        self.readers.read(move |sql| memory::get(sql, &runbook, &key)).boxed()
    }
    fn memory_put(
        &self,
        run: &str,
        record: Record,
        runbook: &str,
        key: &str,
        value: &str,
    ) -> Answer<'_, std::result::Result<(), CoreError>> {
        let (runbook, key, value) = (runbook.to_owned(), key.to_owned(), value.to_owned());
        let work = move |tx: &mut writer::Tx<'_>, run: &str| {
            if let Err(limited) = memory::put(tx, &runbook, &key, &value)? {
                return Ok(Err(limited));
            }
            journal::append(tx, run, vec![record]).map(Ok)
        };
        let run = run.to_owned();
        async move {
            self.held.check(&run)?;
            self.write_run(run, work).await
        }
        .boxed()
    }
    fn memory_compare_and_put(
        &self,
        run: &str,
        runbook: &str,
        key: &str,
        expected: Option<&str>,
        value: &str,
        record: RecordOf,
    ) -> Answer<'_, std::result::Result<bool, CoreError>> {
        let (runbook, key, value) = (runbook.to_owned(), key.to_owned(), value.to_owned());
        let expected = expected.map(str::to_owned);
        let work = move |tx: &mut writer::Tx<'_>, run: &str| {
            memory::compare_and_put(tx, run, (&runbook, &key), expected.as_deref(), &value, record)
        };
        let run = run.to_owned();
        async move {
            self.held.check(&run)?;
            self.write_run(run, work).await
        }
        .boxed()
    }

    fn put_version(&self, version: VersionRow) -> Answer<'_, PutVersion> {
        self.write(move |tx| versions::put(tx, &version)).boxed()
    }
    fn versions(&self, name: &str) -> Answer<'_, Vec<VersionRow>> {
        let name = name.to_owned();
        self.readers.read(move |sql| versions::list(sql, &name)).boxed()
    }
    fn version(&self, name: &str, digest: &str) -> Answer<'_, Option<VersionRow>> {
        let (name, digest) = (name.to_owned(), digest.to_owned());
        self.readers.read(move |sql| versions::get(sql, &name, &digest)).boxed()
    }
    fn all_versions(&self) -> Answer<'_, Vec<VersionRow>> {
        self.readers.read(versions::all).boxed()
    }
    fn package(&self, digest: &str) -> Answer<'_, Option<Vec<u8>>> {
        let digest = digest.to_owned();
        self.readers.read(move |sql| versions::package(sql, &digest)).boxed()
    }
    fn set_stage(&self, name: &str, digest: &str, stage: Stage, reason: &str, by: &str, at: u64) -> Answer<'_, bool> {
        let (name, digest, reason, by) = (name.to_owned(), digest.to_owned(), reason.to_owned(), by.to_owned());
        let row = StageRow { name, digest, stage, reason, by, at };
        self.write(move |tx| versions::set_stage(tx, &row)).boxed()
    }
    fn set_stages(&self, changes: Vec<(StageRow, Value)>) -> Answer<'_, bool> {
        self.write(move |tx| versions::set_stages(tx, changes)).boxed()
    }
    fn demote(&self, demotion: Demotion) -> Answer<'_, bool> {
        self.write(move |tx| versions::demote(tx, demotion)).boxed()
    }
    fn stages(&self) -> Answer<'_, Vec<StageRow>> {
        self.readers.read(versions::stages).boxed()
    }
    fn stage_history(&self, name: &str) -> Answer<'_, Vec<StageRow>> {
        let name = name.to_owned();
        self.readers.read(move |sql| versions::history(sql, &name)).boxed()
    }
    fn current(&self, name: &str) -> Answer<'_, Option<String>> {
        let name = name.to_owned();
        self.readers.read(move |sql| versions::current(sql, &name)).boxed()
    }

    fn put_signature(&self, signature: SignatureRow) -> Answer<'_, bool> {
        self.write(move |tx| signatures::put(tx, &signature)).boxed()
    }
    fn signatures(&self) -> Answer<'_, Vec<SignatureRow>> {
        self.readers.read(signatures::list).boxed()
    }

    fn schedules(&self) -> Answer<'_, Vec<ScheduleRow>> {
        self.readers.read(schedules::list).boxed()
    }
    fn fires(&self, key: &ScheduleKey, limit: u32) -> Answer<'_, Vec<FireRow>> {
        let key = key.clone();
        self.readers.read(move |sql| schedules::fires(sql, &key, limit)).boxed()
    }
    fn follow_schedule(&self, key: &ScheduleKey, seen: u64) -> Answer<'_, ()> {
        let key = key.clone();
        self.write(move |tx| schedules::follow(tx, &key, seen)).boxed()
    }
    fn fire(&self, fire: Fire) -> Answer<'_, Fired> {
        self.write(move |tx| schedules::fire(tx, fire)).boxed()
    }

    fn audit(&self, who: &str, what: &str, subject: &str, details: Value, at: u64) -> Answer<'_, u64> {
        let (who, what, subject) = (who.to_owned(), what.to_owned(), subject.to_owned());
        let line = audit::Line { who, what, subject, details, at };
        self.write(move |tx| audit::add(tx, &line)).boxed()
    }
    fn audit_rows(
        &self,
        since: Option<u64>,
        limit: u32,
        cursor: Option<String>,
    ) -> Answer<'_, (Vec<AuditRow>, Option<String>)> {
        self.readers.read(move |sql| audit::list(sql, since, limit, cursor)).boxed()
    }
    fn verify_audit(&self, whole: bool) -> Answer<'_, AuditCheck> {
        let known = self.audited.clone();
        self.readers.read(move |sql| audit::verify(sql, &known, whole)).boxed()
    }

    fn approval(&self, id: &str) -> Answer<'_, Option<Approval>> {
        let id = id.to_owned();
        self.readers.read(move |sql| approvals::get(sql, &id)).boxed()
    }
    fn approvals(&self, open_only: bool) -> Answer<'_, Vec<Approval>> {
        self.readers.read(move |sql| approvals::list(sql, open_only)).boxed()
    }
    fn open_approval(&self, run: &str, slot: u32) -> Answer<'_, Option<Approval>> {
        let run = run.to_owned();
        self.readers.read(move |sql| approvals::open(sql, &run, slot)).boxed()
    }
    fn resolved_approvals(&self, episode: Option<&str>) -> Answer<'_, Vec<Approval>> {
        let episode = episode.map(str::to_owned);
        self.readers.read(move |sql| approvals::resolved(sql, episode)).boxed()
    }
    fn answer_approval(&self, id: &str, decision: ApprovalDecision) -> Answer<'_, Decided> {
        let id = id.to_owned();
        async move {
            let whole = id.clone();
            let Some(run) = self.readers.read(move |sql| approvals::run_of(sql, &whole)).await? else {
                return Ok(Decided::Unknown);
            };
            self.write_run(run, move |tx, _| approvals::answer(tx, &id, decision)).await
        }
        .boxed()
    }
    fn withdraw_approvals(&self, run: &str, reason: &str, at: u64) -> Answer<'_, u64> {
        let (run, reason) = (run.to_owned(), reason.to_owned());
        self.write(move |tx| approvals::withdraw(tx, &run, &reason, at)).boxed()
    }

    fn put_plan(&self, plan: PlanRow) -> Answer<'_, ()> {
        self.write(move |tx| plans::put(tx, &plan)).boxed()
    }
    fn plan(&self, id: &str) -> Answer<'_, Option<PlanRow>> {
        let id = id.to_owned();
        self.readers.read(move |sql| plans::get(sql, &id)).boxed()
    }
    fn plans(&self, limit: u32, cursor: Option<String>) -> Answer<'_, (Vec<PlanRow>, Option<String>)> {
        self.readers.read(move |sql| plans::list(sql, limit, cursor)).boxed()
    }
    fn put_backtest(&self, backtest: BacktestRow) -> Answer<'_, ()> {
        self.write(move |tx| backtests::put(tx, &backtest)).boxed()
    }
    fn newest_backtest(&self, digest: &str) -> Answer<'_, Option<BacktestRow>> {
        let digest = digest.to_owned();
        self.readers.read(move |sql| backtests::newest(sql, &digest)).boxed()
    }
    fn backtests(&self, runbook: Option<String>) -> Answer<'_, Vec<BacktestRow>> {
        self.readers.read(move |sql| backtests::list(sql, runbook.as_deref())).boxed()
    }
    fn backtest(&self, id: &str) -> Answer<'_, Option<BacktestRow>> {
        let id = id.to_owned();
        self.readers.read(move |sql| backtests::get(sql, &id)).boxed()
    }
    fn apply_plan(&self, id: &str, run: NewRun) -> Answer<'_, bool> {
        let id = id.to_owned();
        self.write(move |tx| plans::apply(tx, &id, &run)).boxed()
    }

    fn llm_reserve(&self, call: LlmCall, ceilings: Vec<LlmCeiling>) -> Answer<'_, LlmReserved> {
        self.write(move |tx| llm::reserve(tx, &call, &ceilings)).boxed()
    }
    fn llm_settle(&self, id: i64, tokens_in: u64, tokens_out: u64, cost_nanos: u64) -> Answer<'_, ()> {
        self.write(move |tx| llm::settle(tx, id, tokens_in, tokens_out, cost_nanos)).boxed()
    }
    fn llm_spent(&self, window: LlmWindow) -> Answer<'_, LlmSpent> {
        self.readers.read(move |sql| llm::spent(sql, &window)).boxed()
    }

    fn put_notice(&self, notice: Notice) -> Answer<'_, ()> {
        self.write(move |tx| outbox::put_notice(tx, &notice)).boxed()
    }
    fn notices(&self, limit: u32) -> Answer<'_, Vec<(i64, Notice)>> {
        self.readers.read(move |sql| outbox::notices(sql, limit)).boxed()
    }
    fn route_notice(&self, notice: i64, messages: Vec<NewMessage>, now: u64) -> Answer<'_, Vec<(String, u64)>> {
        self.write(move |tx| outbox::route(tx, notice, &messages, now)).boxed()
    }
    fn waiting_messages(&self, channel: &str, limit: u32) -> Answer<'_, Vec<MessageRow>> {
        let channel = channel.to_owned();
        self.readers.read(move |sql| outbox::waiting(sql, &channel, limit)).boxed()
    }
    fn sent_times(&self, channel: &str, after: u64) -> Answer<'_, Vec<u64>> {
        let channel = channel.to_owned();
        self.readers.read(move |sql| outbox::sent_times(sql, &channel, after)).boxed()
    }
    fn batch_messages(&self, ids: Vec<i64>) -> Answer<'_, ()> {
        self.write(move |tx| outbox::batch(tx, &ids)).boxed()
    }
    fn settle_messages(&self, ids: Vec<i64>, delivery: Delivery, at: u64) -> Answer<'_, ()> {
        self.write(move |tx| outbox::settle(tx, &ids, &delivery, at)).boxed()
    }
    fn resolve_incidents(&self, now: u64) -> Answer<'_, u64> {
        async move {
            // Looked at first: most of the time there is nothing to write.
            match self.readers.read(outbox::any_over).await? {
                true => self.write(move |tx| outbox::resolve(tx, now)).await,
                false => Ok(0),
            }
        }
        .boxed()
    }
    fn message_counts(&self) -> Answer<'_, Vec<ChannelCount>> {
        self.readers.read(outbox::counts).boxed()
    }

    fn add_pause(&self, pause: Pause) -> Answer<'_, ()> {
        self.write(move |tx| pauses::add(tx, &pause)).boxed()
    }
    fn pauses(&self, now: u64) -> Answer<'_, Vec<Pause>> {
        self.readers.read(move |sql| pauses::list(sql, now)).boxed()
    }
    fn delete_pause(&self, id: &str) -> Answer<'_, bool> {
        let id = id.to_owned();
        self.write(move |tx| pauses::delete(tx, &id)).boxed()
    }
    fn stopped(&self) -> Answer<'_, Option<Stop>> {
        self.readers.read(pauses::stopped).boxed()
    }
    fn release_stop(&self, stop: Stop) -> Answer<'_, bool> {
        self.write(move |tx| pauses::release_stop(tx, &stop)).boxed()
    }
    fn set_stop(&self, stop: Option<Stop>) -> Answer<'_, ()> {
        self.write(move |tx| pauses::set_stop(tx, stop)).boxed()
    }
    fn trips(&self, open_only: bool) -> Answer<'_, Vec<Trip>> {
        self.readers.read(move |sql| trips::list(sql, open_only)).boxed()
    }
    fn rearm(&self, id: &str, by: &str, reason: &str, at: u64) -> Answer<'_, Rearmed> {
        let (id, by, reason) = (id.to_owned(), by.to_owned(), reason.to_owned());
        self.write(move |tx| trips::rearm(tx, &id, &by, &reason, at)).boxed()
    }
    fn add_drift(&self, drift: Drift) -> Answer<'_, ()> {
        self.write(move |tx| drifts::add(tx, &drift)).boxed()
    }
    fn drifts(&self) -> Answer<'_, Vec<Drift>> {
        self.readers.read(drifts::newest).boxed()
    }
    fn drifts_of(&self, run: &str) -> Answer<'_, Vec<Drift>> {
        let run = run.to_owned();
        self.readers.read(move |sql| drifts::of_run(sql, &run)).boxed()
    }
    fn attempts(&self, filter: AttemptFilter) -> Answer<'_, Vec<AttemptRow>> {
        self.readers.read(move |sql| brakes::list(sql, filter)).boxed()
    }

    fn prune(&self, before: u64) -> Answer<'_, Pruned> {
        async move {
            let mut total = Pruned::default();
            loop {
                let pruned = self.write(move |tx| prune::batch(tx, before)).await?;
                if pruned == Pruned::default() {
                    return Ok(total);
                }
                total.runs += pruned.runs;
                total.records += pruned.records;
                total.episodes += pruned.episodes;
                total.attempts += pruned.attempts;
                total.drafts += pruned.drafts;
            }
        }
        .boxed()
    }
    fn backup(&self, file: &Path) -> Answer<'_, ()> {
        let (database, file) = (self.dir.database.clone(), file.to_owned());
        async move {
            let work = tokio::task::spawn_blocking(move || prune::backup(&database, &file));
            work.await.map_err(|error| Error::Defect(format!("a backup panicked: {error}")))?
        }
        .boxed()
    }
    fn health(&self) -> Health {
        self.gauge.health(self.writes_queued())
    }
    fn stats(&self) -> Stats {
        self.gauge.stats(self.writes_queued())
    }
}
