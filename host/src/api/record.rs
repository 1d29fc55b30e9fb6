//! A journal's records as answers and events have them: one shape for every kind, with the effect named in each.
//!
//! Deliberately not here: folding records into a story; readers do that, each in its own way.

use std::collections::BTreeMap;

use sandbook_core::journal::{Record, Request};
use sandbook_core::target::{Kind, Resolved, Target};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::time::Time;

/// What a run is about, or what an effect touched.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Target)]
pub(super) struct TargetView {
    host: String,
    /// `container`, `service`, `host` or `none`.
    kind: &'static str,
    name: String,
    /// The instance; absent for services and hosts.
    id: Option<String>,
}

impl From<&Target> for TargetView {
    fn from(target: &Target) -> TargetView {
        let kind = match target.kind {
            Kind::Container => "container",
            Kind::Service => "service",
            Kind::Host => "host",
            Kind::None => "none",
        };
        TargetView { host: target.host.clone(), kind, name: target.name.clone(), id: target.id.clone() }
    }
}

/// A record. Keys beyond the first seven stand only where the kind has them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Record)]
pub(super) struct RecordView {
    /// Its number in the journal, from 0.
    seq: u64,
    /// Which effect of the run, from 0; absent for the header, notes and the end.
    slot: Option<u32>,
    /// `begun`, `note`, `asked`, `answered`, `waiting`, `intended`, `step`, `settled` or `ended`.
    kind: &'static str,
    /// Name in the catalogue.
    effect: Option<String>,
    target: Option<TargetView>,
    at: Option<Time>,
    /// `{"ok": …}` or `{"error": {"kind", "message"}}`.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    arguments: Option<Value>,
    /// The target's state before a change, as it was looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    /// Ids of the policies that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Which option a person chose, where there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// Which try of the slot, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    /// Of a note or step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<Value>,
    /// Of the first record: everything the run was started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    header: Option<Value>,
    /// Of the last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<String>,
}

/// Shows the records of one run in their order. Remembers what each slot asked for, which later records do not repeat.
#[derive(Debug, Default)]
pub(super) struct Viewer {
    slots: BTreeMap<u32, (String, Option<TargetView>)>,
}

impl Viewer {
    /// The next record.
    pub(super) fn view(&mut self, seq: u64, record: &Record) -> RecordView {
        let mut view = RecordView {
            seq,
            slot: record.slot(),
            kind: record.kind(),
            at: Some(Time(record.at())),
            ..RecordView::default()
        };
        match record {
            Record::Begun { header } => {
                view.target = header.target.as_ref().map(TargetView::from);
                view.header = serde_json::to_value(header).ok();
            }
            Record::Note { effect, data, .. } => {
                view.effect = Some(effect.clone());
                view.data = Some(data.clone());
            }
            Record::Asked { request, resolved, reason, policy, expires_at, .. } => {
                view.ask(request, resolved.as_deref());
                view.reason = Some(reason.clone());
                view.policy = Some(policy.clone());
                view.expires_at = Some(Time(*expires_at));
            }
            Record::Answered { approved, by, reason, answer, .. } => {
                view.approved = Some(*approved);
                view.answer.clone_from(answer);
                view.by = Some(by.clone());
                view.reason = Some(reason.clone());
            }
            Record::Waiting { request, until, .. } => {
                view.ask(request, None);
                view.until = Some(Time(*until));
            }
            Record::Intended { request, resolved, attempt, policy, .. } => {
                view.ask(request, resolved.as_deref());
                view.attempt = Some(*attempt);
                view.policy = Some(policy.clone());
            }
            Record::Step { data, .. } => view.data = Some(data.clone()),
            Record::Settled { request, target, decision, certainty, policy, answer, .. } => {
                if let Some(request) = request {
                    view.ask(request, None);
                }
                view.target = target.as_ref().map(TargetView::from);
                view.decision = Some(decision.name());
                view.certainty = Some(certainty.name());
                view.policy = Some(policy.clone());
                view.result = serde_json::to_value(answer).ok();
            }
            Record::Ended { state, outcome, sentence, .. } => {
                view.state = Some(state.name());
                view.outcome = outcome.map(|outcome| outcome.name());
                view.sentence = Some(sentence.clone());
            }
        }
        self.complete(&mut view);
        view
    }

    fn complete(&mut self, view: &mut RecordView) {
        let Some(slot) = view.slot else { return };
        let (effect, target) = self.slots.entry(slot).or_default();
        match &view.effect {
            Some(known) => effect.clone_from(known),
            None => view.effect = Some(effect.clone()).filter(|effect| !effect.is_empty()),
        }
        match &view.target {
            Some(known) => *target = Some(known.clone()),
            None => view.target.clone_from(target),
        }
    }
}

impl RecordView {
    fn ask(&mut self, request: &Request, resolved: Option<&Resolved>) {
        self.effect = Some(request.effect.clone());
        self.arguments = Some(request.arguments.clone());
        self.target = resolved.map(|resolved| TargetView::from(&resolved.target));
        self.before = resolved.and_then(|resolved| resolved.before.clone());
    }
}

#[cfg(test)]
mod tests {
    use sandbook_core::journal::Answer;
    use sandbook_core::run::{Certainty, Decision};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_names_its_effect_and_target_though_only_the_first_of_the_slot_has_them() {
        let target = Target { host: "local".into(), kind: Kind::Container, name: "web".into(), id: Some("i1".into()) };
        let resolved = Resolved { target, subject: "local/web".into(), facts: None, before: None };
        let request = Request { effect: "docker.restart-container".into(), arguments: json!({"container": "web"}) };
        let intended = Record::Intended {
            slot: 0,
            request,
            resolved: Some(Box::new(resolved)),
            attempt: 1,
            policy: vec!["p".into()],
            horizon_at: 9,
            boot_ms: None,
            at: 1,
        };
        let settled = Record::Settled {
            slot: 0,
            request: None,
            target: None,
            decision: Decision::Allow,
            certainty: Certainty::Real,
            policy: Vec::new(),
            answer: Answer::Ok(json!(null)),
            at: 2,
        };
        let mut viewer = Viewer::default();
        let first = serde_json::to_value(viewer.view(1, &intended)).expect("plain");
        let last = serde_json::to_value(viewer.view(2, &settled)).expect("plain");
        assert_eq!(first["arguments"], json!({"container": "web"}));
        assert_eq!(last["effect"], "docker.restart-container");
        assert_eq!(last["target"], json!({"host": "local", "kind": "container", "name": "web", "id": "i1"}));
        assert_eq!((&last["result"], &last["at"]), (&json!({"ok": null}), &json!("1970-01-01T00:00:00.002Z")));
        assert!(last.get("attempt").is_none() && first["result"].is_null());
    }
}
