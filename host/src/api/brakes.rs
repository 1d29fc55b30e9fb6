//! Brakes: what was attempted how often against every window that limits it, what tripped, and letting it go on.
//!
//! A brake that tripped stands here under its trip's id until a person re-arms it; its windows then count afresh.
//!
//! Deliberately not here: holding back; the intend transaction does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::error::{Error, Result};
use super::extract::{JsonOrNothing, Path};
use super::time::Time;
use crate::auth::Caller;
use crate::state::App;
use crate::store::{AttemptFilter, AttemptRow, PAGE_MAX, Rearmed, Scope, Storm, Trip, Window};

/// Names of scope and key, which together are one brake.
type BrakeKey = (&'static str, String);

/// A brake that tripped, or a window that counted something.
#[derive(Serialize, ToSchema)]
#[schema(as = Brake)]
pub(super) struct BrakeView {
    /// Of a tripped one: what `rearm` takes. Of a window: what it counts and how, in one word.
    id: String,
    /// `runbook-subject`, `subject`, `runbook`, `host`, `policy` or `storm`.
    scope: &'static str,
    /// Where it is said, such as `brakes.per_host = 10/10m`.
    label: String,
    /// `tripped`, `full` or `counting`. A full window trips at the next attempt.
    state: &'static str,
    /// What is counted, such as `restart-unhealthy on local/web-1`.
    about: String,
    /// In the window now, or when it tripped; of a storm limit: containers.
    attempts: u64,
    /// At most so many.
    limit: u32,
    window_ms: u64,
    runbook: Option<String>,
    subject: Option<String>,
    host: Option<String>,
    /// When it tripped, or when the newest attempt was.
    at: Time,
    /// When a full window has room again; a tripped brake has to be re-armed.
    room_at: Option<Time>,
    /// Whose attempt tripped it.
    run: Option<String>,
}

impl From<Trip> for BrakeView {
    fn from(trip: Trip) -> BrakeView {
        let [runbook, subject, host] = parts(&trip.scope, [&trip.runbook, &trip.subject, &trip.host]);
        BrakeView {
            scope: trip.scope.name(),
            state: "tripped",
            about: trip.scope.about(&trip.key),
            id: trip.id,
            label: trip.label,
            attempts: trip.counted,
            limit: trip.allowed,
            window_ms: trip.window_ms,
            runbook,
            subject,
            host,
            at: Time(trip.at),
            room_at: None,
            run: Some(trip.run),
        }
    }
}

/// A brake that waits for a person.
#[derive(Serialize, ToSchema)]
#[schema(as = Trip)]
pub(super) struct TripView {
    id: String,
    scope: &'static str,
    /// What it holds back.
    about: String,
    label: String,
    /// Its figures in a sentence.
    reason: String,
    at: Time,
    run: String,
}

impl From<Trip> for TripView {
    fn from(trip: Trip) -> TripView {
        TripView {
            scope: trip.scope.name(),
            about: trip.scope.about(&trip.key),
            reason: trip.figures(),
            id: trip.id,
            label: trip.label,
            at: Time(trip.at),
            run: trip.run,
        }
    }
}

/// Brakes.
#[derive(Serialize, ToSchema)]
pub(super) struct Brakes {
    /// Tripped ones first, then full ones.
    brakes: Vec<BrakeView>,
    next_cursor: Option<String>,
}

/// What was attempted how often, and what tripped
///
/// Counted among the newest 1000 attempts. The windows of a tripped brake are not listed beside it.
#[utoipa::path(get, path = "/v1/brakes", tag = "brakes", responses((status = 200, body = Brakes)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Answer<Brakes>> {
    let parts = app.runner.parts();
    let attempts = app.store.attempts(AttemptFilter { limit: PAGE_MAX, ..AttemptFilter::default() }).await?;
    let open = app.store.trips(true).await?;
    let mut counts = Counts::new(attempts, &app.store.trips(false).await?, &open, app.now_ms());
    for active in app.library.snapshot().iter() {
        for window in parts.windows(&active.package.manifest) {
            counts.add(&window, &active.package.manifest.name);
        }
    }
    for host in counts.hosts() {
        if let Some(storm) = parts.storm(&host).await {
            counts.add_storm(&host, &storm);
        }
    }
    let brakes = open.into_iter().map(BrakeView::from).chain(counts.views()).collect();
    Ok(Answer(Brakes { brakes, next_cursor: None }))
}

/// Why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = RearmReason)]
pub(super) struct Reason {
    /// What was found and done; it stands in the audit.
    reason: String,
}

/// A brake that goes on.
#[derive(Serialize, ToSchema)]
pub(super) struct Again {
    id: String,
    scope: &'static str,
    /// What is no longer held back.
    about: String,
    label: String,
    rearmed_by: String,
    reason: String,
    rearmed_at: Time,
}

/// Lets what a tripped brake holds back go on
///
/// Its windows count afresh from now on. Other brakes may still hold back the same target.
#[utoipa::path(post, path = "/v1/brakes/{id}/rearm", tag = "brakes", request_body = Reason,
    params(("id" = String, Path, description = "or a unique beginning")), responses((status = 200, body = Again)))]
pub(super) async fn rearm(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    JsonOrNothing(why): JsonOrNothing<Reason>,
) -> Result<Answer<Again>> {
    let now = app.now_ms();
    let trip = match app.store.rearm(&id, caller.who(), &why.reason, now).await? {
        Rearmed::Done(trip) => trip,
        Rearmed::Already(trip) => {
            let by = trip.rearmed.as_ref().map(|rearm| rearm.by.as_str()).unwrap_or_default();
            let message = format!("brake {} was re-armed by {by} already", trip.id);
            return Err(Error::too_late(message, "`sandbook brakes` shows what is tripped now"));
        }
        Rearmed::Unknown => {
            let fix = "`sandbook brakes` lists them; a window that has not tripped needs nobody";
            return Err(Error::not_found(format!("there is no tripped brake {id}"), fix));
        }
    };
    let about = trip.scope.about(&trip.key);
    tracing::warn!(by = %caller.who(), trip = %trip.id, "a brake is re-armed, {about} may go on: {}", why.reason);
    let details = json!({"reason": why.reason, "brake": trip.label, "about": about, "tripped_at": Time(trip.at), "run": trip.run});
    app.store.audit(caller.who(), "re-arm", &trip.id, details, now).await?;
    Ok(Answer(Again {
        scope: trip.scope.name(),
        about,
        label: trip.label,
        id: trip.id,
        rearmed_by: caller.who().to_owned(),
        reason: why.reason,
        rearmed_at: Time(now),
    }))
}

/// Which of runbook, subject and host a scope is about.
fn parts(scope: &Scope, [runbook, subject, host]: [&String; 3]) -> [Option<String>; 3] {
    let some = |text: &String| Some(text.clone());
    match scope {
        Scope::RunbookSubject => [some(runbook), some(subject), None],
        Scope::Subject => [None, some(subject), None],
        Scope::Runbook => [some(runbook), None, None],
        Scope::Host | Scope::Storm => [None, None, some(host)],
        Scope::Policy(_) => [None, None, None],
    }
}

fn key(scope: &Scope, attempt: &AttemptRow) -> String {
    scope.key(&attempt.runbook, &attempt.subject, &attempt.host)
}

/// Windows and what counted in them.
struct Counts {
    /// Newest first.
    attempts: Vec<AttemptRow>,
    /// The newest attempt that no longer counts.
    afresh: BTreeMap<BrakeKey, i64>,
    tripped: BTreeSet<BrakeKey>,
    now: u64,
    views: BTreeMap<String, BrakeView>,
}

impl Counts {
    fn new(attempts: Vec<AttemptRow>, trips: &[Trip], open: &[Trip], now: u64) -> Counts {
        let brake = |trip: &Trip| (trip.scope.name(), trip.key.clone());
        let mut afresh: BTreeMap<BrakeKey, i64> = BTreeMap::new();
        for trip in trips {
            let newest = afresh.entry(brake(trip)).or_default();
            *newest = trip.rearmed.as_ref().map_or(0, |rearm| rearm.attempt).max(*newest);
        }
        Counts { attempts, afresh, tripped: open.iter().map(brake).collect(), now, views: BTreeMap::new() }
    }

    fn hosts(&self) -> BTreeSet<String> {
        self.attempts.iter().map(|attempt| attempt.host.clone()).collect()
    }

    /// Attempts that count for a brake, newest first; none for one that tripped.
    fn counted(&self, scope: &Scope, wanted: &str, window_ms: u64) -> Vec<&AttemptRow> {
        let brake = (scope.name(), wanted.to_owned());
        if self.tripped.contains(&brake) {
            return Vec::new();
        }
        let (after, afresh) = (self.now.saturating_sub(window_ms), self.afresh.get(&brake).copied().unwrap_or(0));
        let counts = |attempt: &&AttemptRow| attempt.at > after && attempt.id > afresh && key(scope, attempt) == wanted;
        self.attempts.iter().filter(counts).collect()
    }

    /// A window of a runbook, for everything that runbook attempted. Windows of policies are counted by their own ids,
    /// which attempts do not tell.
    fn add(&mut self, window: &Window, runbook: &str) {
        let keys: BTreeSet<String> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.runbook == runbook && !matches!(window.scope, Scope::Policy(_)))
            .map(|attempt| key(&window.scope, attempt))
            .collect();
        for wanted in keys {
            let counted = self.counted(&window.scope, &wanted, window.window_ms);
            let Some(newest) = counted.first() else { continue };
            let [runbook, subject, host] = parts(&window.scope, [&newest.runbook, &newest.subject, &newest.host]);
            let full = counted.len() >= window.count as usize;
            // There is room when the one that many places back leaves the window.
            let leaves = (window.count as usize).checked_sub(1).and_then(|place| counted.get(place));
            let view = BrakeView {
                id: format!("{}:{}", window.label, wanted).replace(' ', ""),
                scope: window.scope.name(),
                label: window.label.clone(),
                state: if full { "full" } else { "counting" },
                about: window.scope.about(&wanted),
                attempts: counted.len() as u64,
                limit: window.count,
                window_ms: window.window_ms,
                runbook,
                subject,
                host,
                at: Time(newest.at),
                room_at: leaves.filter(|_| full).map(|oldest| Time(oldest.at.saturating_add(window.window_ms))),
                run: None,
            };
            self.views.insert(view.id.clone(), view);
        }
    }

    fn add_storm(&mut self, host: &str, storm: &Storm) {
        let counted = self.counted(&Scope::Storm, host, storm.window_ms);
        let Some(newest) = counted.first() else { return };
        let subjects: BTreeSet<&str> = counted.iter().map(|attempt| attempt.subject.as_str()).collect();
        let full = subjects.len() >= storm.subjects_max as usize;
        let view = BrakeView {
            id: format!("brakes.storm:{host}"),
            scope: Scope::Storm.name(),
            label: storm.label.clone(),
            state: if full { "full" } else { "counting" },
            about: Scope::Storm.about(host),
            attempts: subjects.len() as u64,
            limit: storm.subjects_max,
            window_ms: storm.window_ms,
            runbook: None,
            subject: None,
            host: Some(host.to_owned()),
            at: Time(newest.at),
            room_at: None,
            run: None,
        };
        self.views.insert(view.id.clone(), view);
    }

    /// Full ones first.
    fn views(self) -> Vec<BrakeView> {
        let mut views: Vec<BrakeView> = self.views.into_values().collect();
        views.sort_by(|a, b| (b.state == "full", &a.id).cmp(&(a.state == "full", &b.id)));
        views
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Rearm;

    fn attempt(id: i64, subject: &str, at: u64) -> AttemptRow {
        AttemptRow {
            id,
            run: "r".into(),
            runbook: "restart".into(),
            subject: subject.into(),
            host: "local".into(),
            effect: "docker.restart-container".into(),
            at,
        }
    }

    fn trip(key: &str, rearmed: Option<i64>) -> Trip {
        let rearm = |attempt| Rearm { by: "dana".into(), reason: "mended".into(), at: 900, attempt };
        Trip {
            id: "t_1".into(),
            scope: Scope::RunbookSubject,
            key: key.into(),
            label: "b = 2/600ms".into(),
            counted: 2,
            allowed: 2,
            window_ms: 600,
            run: "r".into(),
            runbook: "restart".into(),
            subject: "local/web".into(),
            host: "local".into(),
            at: 900,
            rearmed: rearmed.map(rearm),
        }
    }

    fn seen(trips: &[Trip]) -> Vec<(String, &'static str, u64, Option<Time>)> {
        let attempts = vec![attempt(3, "local/web", 900), attempt(2, "local/db", 800), attempt(1, "local/web", 500)];
        let open: Vec<Trip> = trips.iter().filter(|trip| trip.rearmed.is_none()).cloned().collect();
        let mut counts = Counts::new(attempts, trips, &open, 1_000);
        let window = Window { scope: Scope::RunbookSubject, count: 2, window_ms: 600, label: "b = 2/600ms".into() };
        counts.add(&window, "restart");
        counts.add(&window, "another");
        counts.add_storm("local", &Storm { subjects_max: 3, window_ms: 600, label: "storm".into() });
        counts.views().into_iter().map(|view| (view.about, view.state, view.attempts, view.room_at)).collect()
    }

    #[test]
    fn a_window_is_full_until_its_oldest_attempt_leaves_it_or_a_person_re_arms() {
        let (db, storm) =
            (("restart on local/db".to_owned(), "counting", 1, None), ("host local".to_owned(), "counting", 2, None));
        let web = "restart on local/web";
        let full = (web.to_owned(), "full", 2, Some(Time(1_100)));
        assert_eq!(seen(&[]), [full, db.clone(), storm.clone()]);
        let again = (web.to_owned(), "counting", 1, None);
        assert_eq!(seen(&[trip(web, Some(1))]), [db.clone(), again, storm.clone()]);
        assert_eq!(seen(&[trip(web, None), trip(web, Some(1))]), [db, storm], "it is listed as a trip");
    }
}
