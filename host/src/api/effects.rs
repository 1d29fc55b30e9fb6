//! The catalogue of effects: everything a runbook can ask for.

use axum::Json as Answer;
use sandbook_core::effect::Effect;
use serde::Serialize;
use utoipa::ToSchema;

use crate::policy::schema::resources;

/// One effect.
#[derive(Serialize, ToSchema)]
#[schema(as = EffectInfo)]
pub(super) struct EffectView {
    /// As in the WIT, in policy and in metrics.
    name: &'static str,
    /// What it may do, and with it who must agree.
    class: &'static str,
    /// The manifest must ask for it.
    needs_request: bool,
    /// What a policy about it names.
    on: &'static [&'static str],
    /// The operator has a say besides.
    needs_operator: bool,
    /// Wall time at the most.
    deadline_ms: u64,
    /// Result size at the most, as JSON.
    output_bytes_max: usize,
}

/// The catalogue.
#[derive(Serialize, ToSchema)]
pub(super) struct Effects {
    effects: Vec<EffectView>,
    next_cursor: Option<String>,
}

/// Every effect a runbook can ask for
#[utoipa::path(get, path = "/v1/effects", tag = "policy", responses((status = 200, body = Effects)))]
pub(super) async fn list() -> Answer<Effects> {
    let effects = Effect::ALL.iter().map(|info| EffectView {
        name: info.name,
        class: info.class.name(),
        needs_request: info.class.needs_request(),
        on: resources(info.name),
        needs_operator: info.class.needs_operator(),
        deadline_ms: info.deadline_ms,
        output_bytes_max: info.output_bytes_max,
    });
    Answer(Effects { effects: effects.collect(), next_cursor: None })
}
