//! The model as `/status` shows it: which one, and what it took beside what it may take.
//!
//! Deliberately not here: asking it. A status costs nothing.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::Result;
use crate::llm::Ceiling;
use crate::state::App;
use crate::store::{LlmSpent, LlmWindow};

const HOUR_MS: u64 = 3_600_000;

/// The model and its budgets.
#[derive(Serialize, ToSchema)]
pub(super) struct LlmStatus {
    base_url: String,
    model: Option<String>,
    /// Other models, by purpose.
    models: std::collections::BTreeMap<String, String>,
    hour: Budget,
    day: Budget,
}

/// What was taken in a window, and the most that may be.
#[derive(Serialize, ToSchema)]
#[schema(as = LlmBudget)]
struct Budget {
    calls: Figure,
    /// Of questions and answers.
    tokens: Figure,
    /// In the currency of `[llm.prices]`.
    money: Money,
}

/// So many, of so many.
#[derive(Serialize, ToSchema)]
#[schema(as = LlmFigure)]
struct Figure {
    used: u64,
    /// Absent: any.
    most: Option<u64>,
}

/// So much, of so much.
#[derive(Serialize, ToSchema)]
#[schema(as = LlmMoney)]
struct Money {
    used: f64,
    /// Absent: any.
    most: Option<f64>,
}

impl LlmStatus {
    /// `None`: none is configured.
    pub(super) async fn of(app: &App, now_ms: u64) -> Result<Option<LlmStatus>> {
        let Some(model) = &app.model else { return Ok(None) };
        let settings = model.settings();
        let hour = app.store.llm_spent(LlmWindow::Since(now_ms.saturating_sub(HOUR_MS))).await?;
        let day = app.store.llm_spent(LlmWindow::Since(now_ms.saturating_sub(24 * HOUR_MS))).await?;
        Ok(Some(LlmStatus {
            base_url: settings.base_url.clone(),
            model: Some(settings.model.clone()),
            models: settings.models.clone(),
            hour: budget(hour, &settings.per_hour),
            day: budget(day, &settings.per_day),
        }))
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown, not counted with")]
fn budget(used: LlmSpent, most: &Ceiling) -> Budget {
    Budget {
        calls: Figure { used: used.calls, most: most.calls },
        tokens: Figure { used: used.tokens_in + used.tokens_out, most: most.tokens },
        money: Money { used: used.cost_nanos as f64 / 1_000_000_000.0, most: most.money },
    }
}
