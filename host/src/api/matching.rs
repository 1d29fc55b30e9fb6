//! Which runbook and target an alert means, and why not the others. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use sandbook_core::alert::{Alert, Status, fingerprint, parse_message};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::error::{self, Error, Result};
use super::extract::Json;
use super::record::TargetView;
use crate::schedules::{self, Shown};
use crate::state::App;

/// An alert, by its labels or whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Labels of a firing alert.
    labels: Option<BTreeMap<String, String>>,
    /// An alert, or a message of alerts whose first is taken.
    #[schema(value_type = Option<Object>)]
    alert: Option<Value>,
}

/// Why an alert starts what it starts.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(super) struct ExplanationView {
    /// Runbooks that would run, best first.
    chosen: Vec<ChosenView>,
    /// The others, and why not.
    considered: Vec<ConsideredView>,
    /// What starts by the clock, whatever is alerted.
    schedules: Vec<ByClockView>,
}

/// A schedule, and what it starts.
#[derive(Serialize, ToSchema)]
#[schema(as = ByClock)]
pub(super) struct ByClockView {
    runbook: String,
    /// Five cron fields and a time zone.
    schedule: String,
    /// Whether its next time starts a run.
    starts: bool,
    /// Why, in a sentence.
    why: String,
}

/// A runbook that would run.
#[derive(Serialize, ToSchema)]
#[schema(as = Chosen)]
pub(super) struct ChosenView {
    runbook: String,
    /// `route 1` or `trigger 1`.
    via: String,
    why: String,
    stage: &'static str,
    target: Option<TargetView>,
    /// Why there is none, or what named it.
    target_why: String,
}

/// A runbook that would not.
#[derive(Serialize, ToSchema)]
#[schema(as = Considered)]
pub(super) struct ConsideredView {
    runbook: String,
    /// Whether its trigger matched all the same.
    matched: bool,
    why: String,
}

/// Which runbook and target an alert means
#[utoipa::path(post, path = "/v1/match", tag = "alerts", request_body = Asked, responses((status = 200, body = ExplanationView)))]
pub(super) async fn explain(State(app): State<Arc<App>>, Json(asked): Json<Asked>) -> Result<Answer<ExplanationView>> {
    let alert = alert(asked, app.now_ms())?;
    let explanation = app.intake.explain(&alert).await;
    let chosen = explanation.chosen.into_iter().map(|one| ChosenView {
        runbook: one.runbook,
        via: one.via,
        why: one.why,
        stage: one.stage.name(),
        target: one.target.as_ref().map(TargetView::from),
        target_why: one.target_why,
    });
    let considered = explanation.considered.into_iter().map(|one| ConsideredView {
        runbook: one.runbook,
        matched: one.matched,
        why: one.why,
    });
    let schedules = app.schedules.list(1).await?.into_iter().filter(|shown| shown.stage.is_some());
    let schedules = schedules.map(ByClockView::from).collect();
    Ok(Answer(ExplanationView { chosen: chosen.collect(), considered: considered.collect(), schedules }))
}

impl From<Shown> for ByClockView {
    fn from(shown: Shown) -> ByClockView {
        let starts =
            matches!(shown.state, schedules::State::On | schedules::State::Watching | schedules::State::Stopped);
        let due = shown.next.first().map(|due| due.clock.strftime("%Y-%m-%d %H:%M").to_string());
        let why = match (due, shown.why) {
            (Some(due), why) if starts && why.is_empty() => format!("next at {due}"),
            (Some(due), why) if starts => format!("next at {due}; {why}"),
            (None, why) if starts && why.is_empty() => "no time of it is to come".to_owned(),
            (_, why) => why,
        };
        let starts = starts && !shown.next.is_empty();
        let schedule = format!("{} {}", shown.key.schedule, shown.key.timezone);
        ByClockView { runbook: shown.key.runbook, schedule, starts, why }
    }
}

fn alert(asked: Asked, now_ms: u64) -> Result<Alert> {
    let now = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(i64::MAX)).unwrap_or_default();
    match (asked.labels, asked.alert) {
        (Some(labels), None) if !labels.is_empty() => Ok(Alert {
            status: Status::Firing,
            fingerprint: fingerprint(&labels),
            labels,
            annotations: BTreeMap::new(),
            starts_at: now,
            ends_at: None,
            generator_url: String::new(),
        }),
        (None, Some(alert)) => {
            let unreadable = |why: String| {
                Error::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    error::NOT_A_MESSAGE,
                    why,
                    "send an alert with labels, or a message of alerts",
                )
            };
            let message =
                parse_message(alert.to_string().as_bytes(), now).map_err(|error| unreadable(error.to_string()))?;
            let first =
                message.alerts.into_iter().next().ok_or_else(|| unreadable("the message has no alert".to_owned()))?;
            first.map_err(unreadable)
        }
        (Some(_), None) => Err(Error::invalid("an alert needs labels", "send at least one, such as alertname")),
        (None, None) | (Some(_), Some(_)) => {
            Err(Error::invalid("send either `labels` or `alert`", "labels: {\"alertname\": \"…\"}"))
        }
    }
}
