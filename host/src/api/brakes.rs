//! Brakes: what was attempted how often, against every window that limits it.
//!
//! Deliberately not here: holding back (the intend transaction does), and re-arming: a full window has room again by
//! itself when its oldest attempt is old enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Result;
use super::time::Time;
use crate::state::App;
use crate::store::{AttemptFilter, AttemptRow, PAGE_MAX, Scope, Window};

/// A window that counted something.
#[derive(Serialize, ToSchema)]
#[schema(as = Brake)]
pub(super) struct BrakeView {
    /// What it counts and how, in one word.
    id: String,
    /// Where it is said, such as `brakes.per_host = 10/10m`.
    label: String,
    /// `full` or `counting`.
    state: &'static str,
    /// In the window now.
    attempts: u64,
    /// At most so many.
    limit: u32,
    window_ms: u64,
    runbook: Option<String>,
    subject: Option<String>,
    host: Option<String>,
    /// Of the newest attempt.
    at: Time,
    /// When a full window has room again.
    room_at: Option<Time>,
}

/// Windows.
#[derive(Serialize, ToSchema)]
pub(super) struct Brakes {
    /// Full ones first.
    brakes: Vec<BrakeView>,
    next_cursor: Option<String>,
}

/// What was attempted how often
///
/// Counted among the newest 1000 attempts.
#[utoipa::path(get, path = "/v1/brakes", tag = "brakes", responses((status = 200, body = Brakes)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Answer<Brakes>> {
    let now = app.now_ms();
    let attempts = app.store.attempts(AttemptFilter { limit: PAGE_MAX, ..AttemptFilter::default() }).await?;
    let mut brakes: BTreeMap<String, BrakeView> = BTreeMap::new();
    for active in app.library.snapshot().iter() {
        let manifest = &active.package.manifest;
        for window in app.runner.parts().windows(manifest) {
            for attempt in attempts.iter().filter(|attempt| attempt.runbook == manifest.name) {
                count(&mut brakes, &window, attempt, &attempts, now);
            }
        }
    }
    let mut brakes: Vec<BrakeView> = brakes.into_values().collect();
    brakes.sort_by(|a, b| (b.state == "full", &a.id).cmp(&(a.state == "full", &b.id)));
    Ok(Answer(Brakes { brakes, next_cursor: None }))
}

/// The key of an attempt in a window; windows of policies are counted by their own ids, which attempts do not tell.
fn key(scope: &Scope, attempt: &AttemptRow) -> Option<[Option<String>; 3]> {
    let some = |text: &String| Some(text.clone());
    match scope {
        Scope::RunbookSubject => Some([some(&attempt.runbook), some(&attempt.subject), None]),
        Scope::Subject => Some([None, some(&attempt.subject), None]),
        Scope::Runbook => Some([some(&attempt.runbook), None, None]),
        Scope::Host => Some([None, None, some(&attempt.host)]),
        Scope::Policy(_) => None,
    }
}

fn count(
    brakes: &mut BTreeMap<String, BrakeView>,
    window: &Window,
    attempt: &AttemptRow,
    attempts: &[AttemptRow],
    now: u64,
) {
    let Some(wanted) = key(&window.scope, attempt) else { return };
    let about: Vec<&str> = wanted.iter().flatten().map(String::as_str).collect();
    let id = format!("{}:{}", window.label.replace(' ', ""), about.join(":"));
    if brakes.contains_key(&id) {
        return;
    }
    let after = now.saturating_sub(window.window_ms);
    let counted =
        attempts.iter().filter(|other| other.at > after && key(&window.scope, other).as_ref() == Some(&wanted));
    let times: Vec<u64> = counted.map(|other| other.at).collect();
    let Some(newest) = times.first().copied() else { return };
    let full = times.len() >= window.count as usize;
    // There is room when the one that many places back leaves the window.
    let leaves = (window.count as usize).checked_sub(1).and_then(|place| times.get(place));
    let [runbook, subject, host] = wanted;
    let view = BrakeView {
        id: id.clone(),
        label: window.label.clone(),
        state: if full { "full" } else { "counting" },
        attempts: times.len() as u64,
        limit: window.count,
        window_ms: window.window_ms,
        runbook,
        subject,
        host,
        at: Time(newest),
        room_at: leaves.filter(|_| full).map(|at| Time(at.saturating_add(window.window_ms))),
    };
    brakes.insert(id, view);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_full_until_its_oldest_attempt_leaves_it() {
        let attempt = |id: i64, subject: &str, at: u64| AttemptRow {
            id,
            run: "r".into(),
            runbook: "restart".into(),
            subject: subject.into(),
            host: "local".into(),
            effect: "docker.restart-container".into(),
            at,
        };
        let attempts = [attempt(3, "local/web", 900), attempt(2, "local/db", 800), attempt(1, "local/web", 500)];
        let window = Window { scope: Scope::RunbookSubject, count: 2, window_ms: 600, label: "b = 2/600ms".into() };
        let mut brakes = BTreeMap::new();
        for one in &attempts {
            count(&mut brakes, &window, one, &attempts, 1_000);
        }
        let found: Vec<_> = brakes
            .values()
            .map(|brake| (brake.subject.as_deref(), brake.state, brake.attempts, brake.room_at))
            .collect();
        let want = [(Some("local/db"), "counting", 1, None), (Some("local/web"), "full", 2, Some(Time(1_100)))];
        assert_eq!(found, want);
    }
}
