//! The configured language model: it fills typed slots, and where it gives no valid answer, the declared fallback counts.
//!
//! Deliberately not here: whether a model may be asked (the gate), and what is done with its answer (the runbook).

use sandbook_core::effect::Effect;
use sandbook_core::error::Error;
use serde_json::Value;

/// Asks the model. Without one the declared fallback is the answer, and says so.
pub(super) async fn answer(effect: &Effect) -> Result<Value, Error> {
    let reason = "no model is configured; set [llm] base_url and model";
    effect.fallen_back(reason).ok_or_else(|| Error::failed(format!("{} asks no model", effect.name())))
}
