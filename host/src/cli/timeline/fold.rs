//! Records of the API folded into entries of a timeline: one for each slot, one for each note.
//!
//! Tolerant on purpose: what a newer daemon adds is ignored, what an older one lacks is absent. The law of what may
//! follow what is the journal's, not this one's.

use indexmap::IndexMap;
use jiff::Timestamp;
use sandbook_core::effect::{Class, Effect};
use serde_json::Value;

use crate::cli::text::{between_ms, field, first_field, short, suggested, target, time, without_suggestion};

/// A run with everything its header and end say.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) raw: Value,
    pub(crate) run: String,
    pub(crate) runbook: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) stage: String,
    pub(crate) state: String,
    pub(crate) outcome: String,
    /// Without the line to type that is in `advice` or in the refusal.
    pub(crate) sentence: String,
    /// The line to type the engine ends its sentence with. A runbook's own sentence gives none.
    pub(crate) advice: Option<String>,
    pub(crate) verification: String,
    /// What the look found.
    pub(crate) verification_why: String,
    pub(crate) error: String,
    pub(crate) why: String,
    pub(crate) trigger: String,
    pub(crate) alert: String,
    pub(crate) labels: Vec<(String, String)>,
    /// The container a person or a Docker event named.
    pub(crate) reference: String,
    /// The plan it applies, and who does.
    pub(crate) applied: Option<(String, String)>,
    /// What Docker said happened, where that is known.
    pub(crate) event: String,
    pub(crate) parameters: Value,
    pub(crate) target: Option<String>,
    pub(crate) began: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) entries: Vec<Entry>,
}

/// A line of the timeline.
#[derive(Debug)]
pub(crate) enum Entry {
    Note(Note),
    Slot(Box<Slot>),
}

/// What a runbook said.
#[derive(Debug, Default)]
pub(crate) struct Note {
    at: Option<Timestamp>,
    effect: String,
    message: String,
    level: String,
    percent: Option<u64>,
    /// Its text, if it is evidence.
    pub(crate) evidence: Option<String>,
}

/// What a runbook asked for, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) effect: String,
    pub(crate) arguments: Value,
    pub(crate) target: Option<String>,
    pub(crate) decision: String,
    pub(crate) certainty: String,
    pub(crate) policy: Vec<String>,
    pub(crate) question: Option<String>,
    pub(crate) answered: Option<(bool, String, String)>,
    pub(crate) attempt: u64,
    /// The target's state before it.
    pub(crate) before: Option<Value>,
    /// `{"ok": …}` or `{"error": {"kind", "message"}}`.
    pub(crate) result: Option<Value>,
    began: Option<Timestamp>,
    settled: Option<Timestamp>,
}

impl Story {
    pub(crate) fn fold(run: &Value, records: &[Value]) -> Story {
        let begun = records.iter().find(|record| record["kind"] == "begun").unwrap_or(&Value::Null);
        let header = if begun["header"].is_object() { &begun["header"] } else { begun };
        let ended = records.iter().find(|record| record["kind"] == "ended").unwrap_or(&Value::Null);
        let of = |key: &str| first_field(run, &[key]).or_else_text(|| field(header, key));
        let last = |key: &str| first_field(run, &[key]).or_else_text(|| field(ended, key));
        let hint = &run["target_hint"];
        let told = |alert: &&&Value| alert.is_object() && (alert["name"].is_string() || !alert["labels"].is_null());
        let alerts = [&run["alert"], &header["alert"], &run["episode"], hint];
        let alert = alerts.iter().find(told).copied().unwrap_or(&Value::Null);
        let labels = labels(&alert["labels"]);
        let named = labels.iter().find(|(name, _)| name == "alertname").map(|(_, value)| value.clone());
        let mut raw = run.clone();
        if raw["mode"].is_null() && raw.is_object() {
            raw["mode"] = header["mode"].clone();
        }
        let name =
            Some(target(&run["target"])).filter(|name| !name.is_empty()).unwrap_or_else(|| target(&header["target"]));
        let (outcome, said) = (last("outcome"), last("sentence"));
        // In shadow the sentence is the engine's, around the runbook's own.
        let shadow = raw["mode"] == "shadow";
        let engine = shadow || matches!(outcome.as_str(), "refused" | "limited");
        let sentence = if engine { without_suggestion(&said).to_owned() } else { said.clone() };
        let parameters = if run["parameters"].is_object() { &run["parameters"] } else { &header["parameters"] };
        Story {
            run: of("run"),
            runbook: of("runbook"),
            version: of("version"),
            digest: of("digest"),
            stage: of("stage"),
            trigger: of("trigger"),
            state: last("state"),
            outcome,
            sentence,
            advice: suggested(&said).filter(|_| shadow),
            verification: verification(&run["verification"]),
            verification_why: field(run, "verification_why"),
            error: field(run, "error"),
            why: first_field(run, &["why", "matched"]),
            alert: named.unwrap_or_else(|| field(alert, "name")),
            labels,
            reference: field(hint, "reference"),
            applied: header["bound"]
                .is_object()
                .then(|| (field(&header["bound"], "plan"), field(&header["bound"], "by"))),
            event: event(run),
            parameters: parameters.clone(),
            target: Some(name).filter(|name| !name.is_empty()),
            began: time(&run["started_at"]).or_else(|| records.first().and_then(|record| time(&record["at"]))),
            ended: time(&run["finished_at"]).or_else(|| time(&ended["at"])),
            entries: entries(records),
            raw,
        }
    }

    pub(crate) fn mode(&self) -> &str {
        self.raw["mode"].as_str().unwrap_or_default()
    }

    /// The one word for how it stands: the outcome, else the state.
    pub(crate) fn word(&self) -> String {
        let word = if self.outcome.is_empty() { &self.state } else { &self.outcome };
        short(word, 40)
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }

    /// Whether it ended as it should, so that refusals on the way are no longer the matter.
    pub(crate) fn helped(&self) -> bool {
        matches!(self.outcome.as_str(), "fixed" | "done" | "nothing-to-do")
    }

    /// What it is about, for sentences.
    pub(crate) fn on(&self) -> String {
        self.target.clone().unwrap_or_else(|| "what it is about".to_owned())
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Slot(slot) => Some(&**slot),
            Entry::Note(_) => None,
        })
    }

    /// The effect a person is being asked about.
    pub(crate) fn asked(&self) -> Option<&Slot> {
        self.slots().filter(|slot| slot.asks()).last().filter(|_| !self.is_over())
    }

    /// The last effect that was refused.
    pub(crate) fn refusal(&self) -> Option<&Slot> {
        self.slots().filter(|slot| slot.refused()).last()
    }
}

trait OrElseText {
    fn or_else_text(self, other: impl FnOnce() -> String) -> String;
}

impl OrElseText for String {
    fn or_else_text(self, other: impl FnOnce() -> String) -> String {
        if self.is_empty() { other() } else { self }
    }
}

/// A word, or an object that names the action.
fn event(run: &Value) -> String {
    let event = if run["event"].is_null() { &run["target_hint"]["event"] } else { &run["event"] };
    if event.is_object() { first_field(event, &["action", "event"]) } else { event.as_str().unwrap_or_default().into() }
}

/// A word, or an object with one and more beside it.
fn verification(value: &Value) -> String {
    match value {
        Value::Object(_) => first_field(value, &["state", "result", "verification"]),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value.as_str().unwrap_or_default().to_owned()
        }
    }
}

/// Labels as an object, or as pairs; those that name what is wrong first.
fn labels(value: &Value) -> Vec<(String, String)> {
    const TELLING: [&str; 6] = ["alertname", "name", "container", "service", "instance", "severity"];
    let mut labels: Vec<(String, String)> = match value {
        Value::Object(map) => map.iter().map(|(name, _)| (name.clone(), field(value, name))).collect(),
        Value::Array(pairs) => pairs
            .iter()
            .filter_map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    labels.sort_by_key(|(name, _)| TELLING.iter().position(|telling| telling == name).unwrap_or(TELLING.len()));
    labels
}

/// The effect of a record, wherever it stands.
pub(crate) fn effect(record: &Value) -> String {
    first_field(record, &["effect"]).or_else_text(|| field(&record["request"], "effect"))
}

fn entries(records: &[Value]) -> Vec<Entry> {
    let mut slots: IndexMap<u64, usize> = IndexMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut before = records.first().and_then(|record| time(&record["at"]));
    for record in records {
        let at = time(&record["at"]);
        if record["kind"] == "note" {
            entries.push(Entry::Note(Note::of(record)));
        } else if let Some(number) =
            record["slot"].as_u64().filter(|_| record["kind"] != "begun" && record["kind"] != "ended")
        {
            let index = *slots.entry(number).or_insert_with(|| {
                // Effects that write no intent are recorded once, at their end: they began where the one before ended.
                let began = if record["kind"] == "settled" { before.or(at) } else { at };
                entries.push(Entry::Slot(Box::new(Slot { began, ..Slot::default() })));
                entries.len() - 1
            });
            if let Some(Entry::Slot(slot)) = entries.get_mut(index) {
                slot.take(record, at);
            }
        }
        before = at.or(before);
    }
    entries
}

impl Entry {
    pub(crate) fn at(&self) -> Option<Timestamp> {
        match self {
            Entry::Note(note) => note.at,
            Entry::Slot(slot) => slot.began,
        }
    }
}

impl Note {
    pub(crate) fn of(record: &Value) -> Note {
        let data = [&record["data"], &record["arguments"], &record["result"]]
            .into_iter()
            .find(|data| !data.is_null())
            .unwrap_or(&Value::Null);
        let effect = effect(record);
        let evidence = (effect == "log.attach-evidence").then(|| field(data, "text"));
        Note {
            at: time(&record["at"]),
            message: first_field(data, &["message", "name", "text"])
                .or_else_text(|| data.as_str().unwrap_or_default().to_owned()),
            level: field(data, "level"),
            percent: data["percent"].as_u64(),
            evidence,
            effect,
        }
    }

    pub(crate) fn what(&self) -> String {
        match self.effect.as_str() {
            "log.attach-evidence" => "evidence".to_owned(),
            "log.progress" => "progress".to_owned(),
            "log.log" if self.level.is_empty() || self.level == "info" => "note".to_owned(),
            "log.log" => format!("note ({})", self.level),
            other => other.to_owned(),
        }
    }

    pub(crate) fn line(&self, full: bool) -> String {
        const NOTE_CHARS_MAX: usize = 160;
        let message = if full { self.message.clone() } else { short(&self.message, NOTE_CHARS_MAX) };
        self.percent.map_or(message.clone(), |percent| format!("{message} ({percent} %)"))
    }
}

impl Slot {
    fn take(&mut self, record: &Value, at: Option<Timestamp>) {
        let effect = effect(record);
        if !effect.is_empty() {
            self.effect = effect;
        }
        for arguments in [&record["arguments"], &record["request"]["arguments"]] {
            if !arguments.is_null() {
                self.arguments = arguments.clone();
            }
        }
        for on in [&record["target"], &record["resolved"]["target"]] {
            let on = target(on);
            if !on.is_empty() {
                self.target = Some(on);
            }
        }
        if record["before"].is_object() {
            self.before = Some(record["before"].clone());
        }
        for (own, key) in [(&mut self.decision, "decision"), (&mut self.certainty, "certainty")] {
            let word = field(record, key);
            if !word.is_empty() {
                *own = word;
            }
        }
        if let Some(ids) = record["policy"].as_array().filter(|ids| !ids.is_empty()) {
            self.policy = ids.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        } else if let Some(id) = record["policy"].as_str().filter(|id| !id.is_empty()) {
            self.policy = vec![id.to_owned()];
        }
        match record["kind"].as_str().unwrap_or_default() {
            "asked" => self.question = Some(field(record, "reason")),
            "answered" => {
                let approved = record["approved"].as_bool().unwrap_or(false);
                self.answered = Some((approved, field(record, "by"), field(record, "reason")));
            }
            "intended" => self.attempt = record["attempt"].as_u64().unwrap_or(1),
            "settled" => {
                self.settled = at;
                self.result =
                    [&record["result"], &record["answer"]].into_iter().find(|value| !value.is_null()).cloned();
                self.result = self.result.take().or(Some(Value::Null));
            }
            _ => {}
        }
    }

    /// How long it took, as far as records tell.
    pub(crate) fn took_ms(&self) -> Option<u64> {
        Some(between_ms(self.began?, self.settled?))
    }

    pub(crate) fn refused(&self) -> bool {
        matches!(self.decision.as_str(), "deny" | "limited")
            || self
                .result
                .as_ref()
                .is_some_and(|result| matches!(result["error"]["kind"].as_str(), Some("denied" | "limited")))
    }

    /// Whether a person was asked and neither they nor time have answered.
    pub(crate) fn asks(&self) -> bool {
        self.question.is_some() && self.answered.is_none() && self.result.is_none()
    }

    pub(crate) fn error_message(&self) -> Option<&str> {
        self.result.as_ref()?["error"]["message"].as_str()
    }

    /// The value of an answer that worked.
    pub(crate) fn ok(&self) -> Option<&Value> {
        let result = self.result.as_ref()?;
        let object = result.as_object();
        if object.is_some_and(|object| object.contains_key("error") && object.len() == 1) {
            return None;
        }
        Some(object.and_then(|object| object.get("ok")).unwrap_or(result))
    }

    pub(crate) fn mutates(&self) -> bool {
        Effect::find(&self.effect).is_some_and(|info| info.class == Class::Mutate)
    }
}
