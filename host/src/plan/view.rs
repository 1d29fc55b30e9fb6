//! What a plan shows: every effect in order, with what it is about, what it would change, who allowed it, and how sure
//! that is. Made from the journal of the rehearsal alone, so that a plan can say nothing that was not recorded.
//!
//! Deliberately not here: how it looks on a terminal.

use sandbook_core::effect::{Class, Effect, sentence};
use sandbook_core::gate::drove;
use sandbook_core::journal::{Act, Answer, Journal, Record, Slot};
use sandbook_core::run::{Certainty, Decision};
use sandbook_core::target::Target;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One effect of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EffectView {
    /// Its place in the run, from 0.
    pub slot: u32,
    /// Its name.
    pub effect: String,
    /// Its class.
    pub class: String,
    /// What it is about; absent where it is about nothing.
    #[schema(value_type = Object)]
    pub target: Option<Target>,
    /// In the shapes of the guest contract.
    #[schema(value_type = Object)]
    pub arguments: Value,
    /// `allow`, `ask`, `deny` or `limited`.
    pub decision: String,
    /// Ids of the policies that decided.
    pub policy: Vec<String>,
    /// The state before; of changes.
    #[schema(value_type = Object)]
    pub before: Option<Value>,
    /// The state it would leave behind; of changes.
    #[schema(value_type = Object)]
    pub after: Option<Value>,
    /// It was not really done.
    pub simulated: bool,
    /// `real`, `modelled`, `assumed` or `unknown`.
    pub certainty: String,
    /// What it does, in a sentence.
    pub sentence: String,
    /// What it answered, for what can be assumed otherwise with `--assume`.
    #[schema(value_type = Object)]
    pub result: Option<Value>,
    /// Why it was refused or failed, and what to add.
    pub error: Option<String>,
    /// What no compose file would know of afterwards, in a sentence.
    #[serde(default)]
    pub drift: Option<String>,
}

/// How many effects of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Summary {
    /// Reads and probes.
    pub reads: u32,
    /// Changes that policy allows.
    pub changes: u32,
    /// Changes a person would be asked about.
    pub asks: u32,
    /// Messages that would be sent.
    pub tells: u32,
    /// Refused by manifest, policy, protection or a brake.
    pub refused: u32,
    /// Answers that are assumed.
    pub assumed: u32,
}

/// A line the runbook wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NoteView {
    /// Before which slot.
    pub before_slot: u32,
    /// `log.log`, `log.progress` or `log.attach-evidence`.
    pub effect: String,
    /// What it says.
    pub text: String,
}

/// Longest result shown: the whole is in the plan's journal.
const RESULT_BYTES_MAX: usize = 4_096;
/// Longest note shown.
const NOTE_BYTES_MAX: usize = 2_000;

/// Every slot of a rehearsal that asks somebody for something.
pub fn effects(journal: &Journal) -> Vec<EffectView> {
    journal.slots.iter().zip(0..).map(|(slot, number)| effect(slot, number)).collect()
}

fn effect(slot: &Slot, number: u32) -> EffectView {
    let request = &slot.request;
    let class = Effect::find(&request.effect).map_or(Class::Mutate, |info| info.class);
    let parsed = Effect::from_arguments(&request.effect, request.arguments.clone()).ok();
    let certainty = match class {
        // Nothing waits in a plan, and nobody is asked.
        Class::Wait => Certainty::Modelled,
        Class::Ambient | Class::Note | Class::State | Class::Observe | Class::Egress | Class::Tell | Class::Mutate => {
            slot.certainty.unwrap_or(Certainty::Unknown)
        }
    };
    let (result, error) = match &slot.answer {
        Some(Answer::Ok(value)) => (Some(value.clone()), None),
        Some(Answer::Error(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let changes = class == Class::Mutate;
    EffectView {
        slot: number,
        effect: request.effect.clone(),
        class: class.name().to_owned(),
        target: slot.target.clone().or_else(|| slot.resolved.as_ref().map(|resolved| resolved.target.clone())),
        arguments: request.arguments.clone(),
        decision: slot.decision.unwrap_or(Decision::Deny).name().to_owned(),
        policy: slot.policy.clone(),
        before: slot.resolved.as_ref().and_then(|resolved| resolved.before.clone()).filter(|_| changes),
        after: result.as_ref().and_then(|result| result.get("state").cloned()).filter(|_| changes),
        simulated: certainty != Certainty::Real,
        certainty: certainty.name().to_owned(),
        drift: parsed.as_ref().and_then(|effect| drift(effect, slot)),
        sentence: parsed.map_or_else(|| request.effect.clone(), |effect| sentence(&effect, slot.resolved.as_deref())),
        result: result.map(shortened),
        error,
    }
}

/// A change of a compose container that its file does not say.
fn drift(effect: &Effect, slot: &Slot) -> Option<String> {
    let facts = slot.resolved.as_ref()?.facts.as_ref()?;
    let (project, service) = (facts.project.as_ref()?, facts.service.as_ref()?);
    let changed = matches!(&slot.answer, Some(Answer::Ok(answer)) if answer["changed"] != false);
    (changed && effect.drifts())
        .then(|| format!("it then differs from the compose file of {project}/{service}, until compose makes it anew"))
}

fn shortened(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= RESULT_BYTES_MAX {
        return value;
    }
    let mut text = text;
    sandbook_core::error::truncate_at_char(&mut text, RESULT_BYTES_MAX);
    Value::String(text)
}

/// How many of which kind.
pub fn summary(effects: &[EffectView]) -> Summary {
    let mut summary = Summary::default();
    for effect in effects {
        let refused = effect.decision == Decision::Deny.name() || effect.decision == Decision::Limited.name();
        let place = match (refused, effect.class.as_str()) {
            (true, _) => &mut summary.refused,
            (false, "mutate") if effect.decision == Decision::Ask.name() => &mut summary.asks,
            (false, "mutate") => &mut summary.changes,
            (false, "tell") => &mut summary.tells,
            (false, "observe" | "egress") => &mut summary.reads,
            (false, "wait") if effect.decision == Decision::Ask.name() => &mut summary.asks,
            (false, _) => continue,
        };
        *place += 1;
        summary.assumed += u32::from(effect.certainty == Certainty::Assumed.name());
    }
    summary
}

/// What the runbook wrote, in order.
pub fn notes(records: &[Record]) -> Vec<NoteView> {
    let mut slot = 0;
    let mut notes = Vec::new();
    for record in records {
        match record {
            Record::Note { effect, data, .. } => {
                notes.push(NoteView { before_slot: slot, effect: effect.clone(), text: note_text(data) })
            }
            other => slot = other.slot().map_or(slot, |at| at + 1),
        }
    }
    notes
}

fn note_text(data: &Value) -> String {
    let text = |key: &str| data.get(key).and_then(Value::as_str);
    let mut text = match (text("name"), text("text"), text("message")) {
        (Some(name), Some(text), _) => format!("{name}: {text}"),
        (_, _, Some(message)) => message.to_owned(),
        _ => data.to_string(),
    };
    sandbook_core::error::truncate_at_char(&mut text, NOTE_BYTES_MAX);
    text
}

/// The changes it would really make, in order, also those that it would see fail: what an apply is held to.
pub fn acts(journal: &Journal) -> Vec<Act> {
    let act = |slot: &Slot| {
        let target = slot.target.clone().or_else(|| slot.resolved.as_ref().map(|resolved| resolved.target.clone()))?;
        Some(Act { effect: slot.request.effect.clone(), arguments: slot.request.arguments.clone(), target })
    };
    journal.slots.iter().filter(|slot| drove(slot)).filter_map(act).collect()
}
