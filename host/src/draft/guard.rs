//! What decides about a one-off draft, whatever the model says of it: what its code can do, and what its plan does.
//!
//! Two looks: [`of_code`] at the effects the checked script can ask for, [`of_plan`] at the changes it would make now.
//! Both compare with the sentence. Deliberately not here: the sentence alone, see [`super::sentence`].

use std::collections::BTreeSet;

use sandbook_core::effect::{Class, Effect};
use sandbook_core::run::Decision;

use super::sentence::{Named, Sentence, Wish};
use crate::plan::{EffectView, Plan};

/// Changes of one asked-for plan at the most: beyond them nobody reviews it in a terminal.
pub const CHANGES_MAX: usize = 10;
/// Parts of names of effects that take something away: never from a sentence.
const TAKING: &[&str] = &["remove", "prune", "truncate", "delete"];

/// Why a draft does not become a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The person should say more.
    Question(String),
    /// It is not done.
    Refusal(String),
}

/// Looks at what a script can ask for.
pub fn of_code(sentence: &Sentence, effects: &[String]) -> Option<Stop> {
    let mut unsaid = Vec::new();
    for name in effects {
        let class = Effect::find(name).map_or(Class::Mutate, |info| info.class);
        match class {
            Class::Ambient | Class::Note | Class::State | Class::Wait | Class::Observe => continue,
            Class::Egress | Class::Tell | Class::Mutate => {}
        }
        if TAKING.iter().any(|word| name.contains(word)) {
            return Some(Stop::Refusal(format!("the draft uses {name}, which cannot be taken back")));
        }
        if name.starts_with("llm.") {
            return Some(Stop::Refusal(format!(
                "the draft asks a model again, with {name}: a sentence never does that"
            )));
        }
        match sentence.wish(name) {
            Wish::Asked => {}
            Wish::Forbidden => {
                return Some(Stop::Refusal(format!("the draft uses {name}, and the sentence says not to")));
            }
            Wish::Unsaid => unsaid.push(name.as_str()),
        }
    }
    let unsaid = unsaid.join(", ");
    (!unsaid.is_empty()).then(|| {
        Stop::Question(format!("the draft would use {unsaid}, which the sentence does not say: is that meant?"))
    })
}

/// Looks at what a plan would do now.
pub fn of_plan(plan: &Plan, named: &Named<'_>, containers_max: usize) -> Option<Stop> {
    let stands_out =
        |effect: &&EffectView| effect.decision == Decision::Deny.name() || effect.decision == Decision::Limited.name();
    if let Some(refused) = plan.effects.iter().find(stands_out) {
        let why = refused.error.as_deref().unwrap_or("no reason was recorded");
        return Some(Stop::Refusal(format!("to {} would be refused: {why}", refused.sentence)));
    }
    let changes: Vec<&EffectView> = plan.effects.iter().filter(|effect| effect.class == Class::Mutate.name()).collect();
    if changes.is_empty() {
        return None;
    }
    if changes.len() > CHANGES_MAX {
        let count = changes.len();
        return Some(Stop::Question(format!(
            "it would make {count} changes, at most {CHANGES_MAX} are done from a sentence; which of them?"
        )));
    }
    let mut touched: BTreeSet<(&str, &str)> = BTreeSet::new();
    for change in changes {
        let Some(target) = &change.target else {
            return Some(Stop::Refusal(format!("nobody can tell what {} is about", change.sentence)));
        };
        touched.insert((target.host.as_str(), target.name.as_str()));
    }
    let names = |touched: &BTreeSet<(&str, &str)>| {
        touched.iter().map(|(host, name)| format!("{host}/{name}")).collect::<Vec<_>>().join(", ")
    };
    if named.containers.is_empty() {
        return Some(Stop::Question(format!(
            "it would change {}, which the sentence does not name: is that meant?",
            names(&touched)
        )));
    }
    if !named.is_clear() {
        return Some(Stop::Question(format!("which one is meant: {}?", named.listed())));
    }
    let strange: BTreeSet<(&str, &str)> =
        touched.iter().filter(|(host, name)| !named.has(host, name)).copied().collect();
    if !strange.is_empty() {
        let (other, meant) = (names(&strange), named.listed());
        return Some(Stop::Question(format!(
            "it would change {other}, but the sentence names {meant}: which is meant?"
        )));
    }
    if touched.len() > containers_max {
        let all = names(&touched);
        return Some(Stop::Question(format!(
            "it would change {} containers ({all}), at most {containers_max} are changed from a sentence; which of them?",
            touched.len()
        )));
    }
    None
}
