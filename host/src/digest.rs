//! The digest of a week: what shadow would have done, what people did, how runbooks went, what is noisy, and what to promote.
//!
//! It is read from the store alone and bounded, whatever is kept. Sent on a schedule it goes through the outbox under the
//! time it was due, so each is sent once, also over restarts. Deliberately not here: judging; a suggestion names its
//! figures and the command, and a person types it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sandbook_core::effect::notify::Severity;
use sandbook_core::run::{Mode, Stage, State};
use sandbook_core::schedule::{Patience, Schedule, Step};
use serde::{Deserialize, Serialize};

use crate::runner::shadow::would_act;
use crate::schedules::zone;
use crate::state::App;
use crate::store::{EpisodeFilter, Happened, Notice, PAGE_MAX, Result, RunFilter, ScheduleKey};

/// The name under which its schedule is followed; no runbook can have it.
pub const NAME: &str = "[notify.digest]";
/// A week, in milliseconds.
pub const WEEK_MS: u64 = 7 * 86_400_000;
/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Pages that are read of runs, alerts and audit: ten thousand of each say what a week was like.
const PAGES_MAX: usize = 10;
/// Entries of each part.
const SHOWN_MAX: usize = 10;
/// Shadow runs that would have acted before a promotion is suggested; the same for helped runs in ask.
const ENOUGH: u64 = 5;
/// Episodes of one alert in the time before it is called noisy.
const NOISY: u64 = 5;

/// What a span of time was like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Digest {
    /// From then, RFC 3339.
    pub since: String,
    /// Until then.
    pub until: String,
    /// Alerts that began.
    pub alerts: u64,
    /// Runbooks that ran or would have.
    pub runbooks: Vec<Line>,
    /// What people and the engine did, newest first.
    pub acts: Vec<Act>,
    /// How often each was done.
    pub acted: BTreeMap<String, u64>,
    /// What looks ready for the next stage.
    pub promote: Vec<Suggestion>,
    /// Alerts that came most.
    pub noisy: Vec<Noise>,
}

/// One runbook.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DigestLine)]
pub struct Line {
    pub runbook: String,
    /// Of the version that runs.
    pub stage: String,
    /// Runs that might act.
    pub runs: u64,
    pub confirmed: u64,
    pub contradicted: u64,
    pub failed: u64,
    /// From 0 to 1; absent: none was judged.
    pub rate: Option<f64>,
    /// Runs in shadow.
    pub shadow: u64,
    /// Of those, how many would have changed something.
    pub would_act: u64,
    /// What the newest of them would have done.
    pub would: Option<String>,
}

/// Something that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DigestAct)]
pub struct Act {
    pub at: String,
    pub who: String,
    pub what: String,
    pub subject: String,
}

/// A version that could go one stage up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DigestSuggestion)]
pub struct Suggestion {
    pub runbook: String,
    /// What speaks for it.
    pub why: String,
    /// What to type; the reason is the person's own.
    pub command: String,
}

/// An alert that came often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DigestNoise)]
pub struct Noise {
    pub alert: String,
    pub episodes: u64,
    /// Of those, how many no run came of.
    pub unanswered: u64,
}

/// Reads it.
///
/// # Errors
/// When the store fails.
pub async fn read(app: &App, since: u64, until: u64) -> Result<Digest> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    shadows(app, since, until, &mut lines).await?;
    for tally in app.store.tallies(since, None).await? {
        let line = lines.entry(tally.runbook.clone()).or_default();
        line.confirmed += tally.confirmed;
        line.contradicted += tally.contradicted;
    }
    for standing in app.library.standings().iter().filter(|standing| standing.current) {
        if let Some(line) = lines.get_mut(&standing.name) {
            standing.stage.name().clone_into(&mut line.stage);
        }
    }
    for (name, line) in &mut lines {
        line.runbook.clone_from(name);
        let judged = line.confirmed + line.contradicted;
        #[allow(clippy::cast_precision_loss, reason = "far fewer runs than a float counts exactly")]
        let rate = (judged > 0).then(|| line.confirmed as f64 / judged as f64);
        line.rate = rate;
    }
    let promote = lines.values().filter_map(|line| suggested(app, line)).take(SHOWN_MAX).collect();
    let (alerts, noisy) = noise(app, since, until).await?;
    let (acts, acted) = acts(app, since, until).await?;
    let mut runbooks: Vec<Line> = lines.into_values().filter(|line| line.runs + line.shadow > 0).collect();
    runbooks.sort_by_key(|line| std::cmp::Reverse(line.runs + line.shadow));
    Ok(Digest { since: stamp(since), until: stamp(until), alerts, runbooks, acts, acted, promote, noisy })
}

async fn shadows(app: &App, since: u64, until: u64, lines: &mut BTreeMap<String, Line>) -> Result<()> {
    let mut filter = RunFilter { since: Some(since), limit: PAGE_MAX, ..RunFilter::default() };
    for _ in 0..PAGES_MAX {
        let (rows, next) = app.store.runs(filter.clone()).await?;
        for row in rows.iter().filter(|row| row.at < until) {
            let line = lines.entry(row.runbook.clone()).or_default();
            match row.mode {
                Mode::Shadow => {
                    line.shadow += 1;
                    let would = row.sentence.as_deref().and_then(would_act);
                    line.would_act += u64::from(would.is_some());
                    line.would = line.would.take().or_else(|| would.map(str::to_owned));
                }
                Mode::Live | Mode::Simulate => {
                    line.runs += 1;
                    line.failed += u64::from(row.state == State::Failed);
                }
                Mode::Plan | Mode::Replay => {}
            }
        }
        filter.cursor = next;
        if filter.cursor.is_none() {
            break;
        }
    }
    Ok(())
}

/// Whether the version that runs could go one stage up.
fn suggested(app: &App, line: &Line) -> Option<Suggestion> {
    let standings = app.library.standings();
    let standing = standings.iter().find(|standing| standing.current && standing.name == line.runbook)?;
    if standing.demoted {
        return None;
    }
    let (to, why) = match standing.stage {
        Stage::Shadow if line.would_act >= ENOUGH => {
            let would = line.would.as_deref().unwrap_or_default();
            (
                "ask",
                format!("in shadow {} of {} runs would have acted; of the last: {would}", line.would_act, line.shadow),
            )
        }
        Stage::Ask if line.confirmed >= ENOUGH && line.contradicted == 0 && line.failed == 0 => {
            ("live", format!("{} of {} runs helped and none was contradicted", line.confirmed, line.runs))
        }
        Stage::Draft | Stage::Shadow | Stage::Ask | Stage::Live => return None,
    };
    let command = format!("sandbook promote {} {to} --reason \"…\"", line.runbook);
    Some(Suggestion { runbook: line.runbook.clone(), why, command })
}

async fn noise(app: &App, since: u64, until: u64) -> Result<(u64, Vec<Noise>)> {
    let mut filter = EpisodeFilter { since: Some(since), limit: PAGE_MAX, ..EpisodeFilter::default() };
    let mut names: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for _ in 0..PAGES_MAX {
        let (rows, next) = app.store.episodes(filter.clone()).await?;
        for row in rows.iter().filter(|row| row.first_heard < until) {
            let (episodes, unanswered) = names.entry(row.name.clone()).or_default();
            *episodes += 1;
            *unanswered += u64::from(row.runs.is_empty());
        }
        filter.cursor = next;
        if filter.cursor.is_none() {
            break;
        }
    }
    let alerts = names.values().map(|(episodes, _)| episodes).sum();
    let noisy = names.into_iter().filter(|(_, (episodes, _))| *episodes >= NOISY);
    let mut noisy: Vec<Noise> =
        noisy.map(|(alert, (episodes, unanswered))| Noise { alert, episodes, unanswered }).collect();
    noisy.sort_by_key(|noise| std::cmp::Reverse(noise.episodes));
    noisy.truncate(SHOWN_MAX);
    Ok((alerts, noisy))
}

async fn acts(app: &App, since: u64, until: u64) -> Result<(Vec<Act>, BTreeMap<String, u64>)> {
    let (mut acts, mut counts, mut cursor) = (Vec::new(), BTreeMap::new(), None);
    for _ in 0..PAGES_MAX {
        let (rows, next) = app.store.audit_rows(Some(since), PAGE_MAX, cursor).await?;
        for row in rows.into_iter().filter(|row| row.at < until) {
            *counts.entry(row.what.clone()).or_default() += 1;
            if acts.len() < SHOWN_MAX {
                acts.push(Act { at: stamp(row.at), who: row.who, what: row.what, subject: row.subject });
            }
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    Ok((acts, counts))
}

impl Digest {
    /// As a message.
    pub fn text(&self) -> String {
        let mut text = format!("{} to {}: {} alerts.\n", day(&self.since), day(&self.until), self.alerts);
        section(&mut text, "Runbooks", &self.runbooks, |line| {
            let mut said = format!("{} ({}): {} runs", line.runbook, line.stage, line.runs);
            if let Some(rate) = line.rate {
                let _ = write!(said, ", {:.0} % helped", rate * 100.0);
            }
            if line.failed > 0 {
                let _ = write!(said, ", {} failed", line.failed);
            }
            if line.shadow > 0 {
                let _ = write!(said, "; in shadow {}, {} would have acted", line.shadow, line.would_act);
            }
            said
        });
        let counts: Vec<String> = self.acted.iter().map(|(what, count)| format!("{count} {what}")).collect();
        if !counts.is_empty() {
            let _ = writeln!(text, "\nDone by people and the engine: {}", counts.join(", "));
        }
        section(&mut text, "Noisy", &self.noisy, |noise| {
            format!("{}: {} times, {} without a run", noise.alert, noise.episodes, noise.unanswered)
        });
        section(&mut text, "Promote?", &self.promote, |one| format!("{}: {}\n  {}", one.runbook, one.why, one.command));
        text.truncate(text.trim_end().len());
        text
    }
}

fn section<T>(text: &mut String, title: &str, all: &[T], line: impl Fn(&T) -> String) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for one in all.iter().take(SHOWN_MAX) {
        let _ = writeln!(text, "- {}", line(one));
    }
    if all.len() > SHOWN_MAX {
        let _ = writeln!(text, "- … and {} more", all.len() - SHOWN_MAX);
    }
}

fn stamp(ms: u64) -> String {
    time(ms).to_string()
}

fn day(stamp: &str) -> &str {
    stamp.get(..10).unwrap_or(stamp)
}

fn time(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// Sends it whenever it is due.
pub async fn follow(app: Arc<App>) {
    let config = &app.config.notify;
    let Some(text) = config.digest.schedule.clone() else { return };
    let channel = config.digest.channel.clone().or_else(|| config.self_.clone());
    // Both were checked when the configuration was read.
    let (Some(channel), Ok(schedule)) = (channel, Schedule::parse(&text)) else { return };
    let Ok(zone) = zone(&config.digest.timezone) else { return };
    let key = ScheduleKey {
        runbook: NAME.to_owned(),
        schedule: text,
        timezone: config.digest.timezone.clone(),
        target: String::new(),
    };
    let patience = Patience { within_ms: Patience::WITHIN_MS_MAX, ..Patience::default() };
    let mut seen = None;
    loop {
        let looked = async {
            let since = match seen {
                Some(seen) => seen,
                None => begun(&app, &key).await?,
            };
            let due = match schedule.step(&zone, patience, time(since), time(app.now_ms())) {
                Step::Wait => return Ok::<u64, crate::store::Error>(since),
                Step::Start { due, .. } => {
                    send(&app, &channel, ms(due.at)).await?;
                    due
                }
                Step::Missed { due } => due,
            };
            // Only now: a crash before it sends the same again, and the outbox knows that.
            app.store.follow_schedule(&key, ms(due.at)).await?;
            Ok(ms(due.at))
        };
        let looked = looked.await;
        match looked {
            Ok(until) => seen = Some(until),
            Err(error) => tracing::warn!("the digest cannot be made, tried again: {error}"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Until when its schedule is settled; one that is new is followed from now on.
async fn begun(app: &App, key: &ScheduleKey) -> Result<u64> {
    let rows = app.store.schedules().await?;
    if let Some(row) = rows.into_iter().find(|row| row.key == *key) {
        return Ok(row.seen);
    }
    let now = app.now_ms();
    app.store.follow_schedule(key, now).await?;
    Ok(now)
}

async fn send(app: &App, channel: &str, due: u64) -> Result<()> {
    let digest = read(app, due.saturating_sub(WEEK_MS), due).await?;
    let once = format!("digest-{due}");
    let notice = Notice {
        key: format!("sandbook-{once}"),
        once,
        event: Happened::Digest,
        severity: Severity::Info,
        run: String::new(),
        runbook: String::new(),
        target: String::new(),
        episode: None,
        title: Some(format!("Sandbook, the week until {}", day(&digest.until))),
        sentence: digest.text(),
        channel: Some(channel.to_owned()),
        over: false,
        at: app.now_ms(),
    };
    app.store.put_notice(notice).await?;
    app.outbox.call();
    Ok(())
}

fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_bounded_and_says_what_to_type() {
        let line = |number: usize| Line {
            runbook: format!("book-{number}"),
            stage: "live".to_owned(),
            runs: 3,
            rate: Some(0.5),
            shadow: 2,
            would_act: 1,
            ..Line::default()
        };
        let suggestion = Suggestion {
            runbook: "b".to_owned(),
            why: "it helped".to_owned(),
            command: "sandbook promote b".to_owned(),
        };
        let digest = Digest {
            since: "2026-03-01T00:00:00Z".to_owned(),
            until: "2026-03-08T00:00:00Z".to_owned(),
            alerts: 7,
            runbooks: (0..200).map(line).collect(),
            promote: vec![suggestion],
            ..Digest::default()
        };
        let text = digest.text();
        assert!(text.starts_with("2026-03-01 to 2026-03-08: 7 alerts."), "{text}");
        assert!(text.contains("- book-0 (live): 3 runs, 50 % helped; in shadow 2, 1 would have acted"), "{text}");
        assert!(text.contains("… and 190 more") && text.contains("\n  sandbook promote b"), "{text}");
        assert!(!text.contains("Noisy"), "{text}");
    }
}
