//! What stands around Docker in a simulated world: Alertmanager, Loki, the language model, earlier incidents. All tables.
//!
//! Deliberately not here: LogQL (a query is compared as text), and anything a model would think of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::moment::rfc3339;
use super::{Moment, World};
use crate::effect::Effect;
use crate::effect::alertmanager::{
    AlertFilter, AlertState, HeldAlert, LISTED_MAX, NewSilence, Silence, SilenceCreated, SilenceExpired, SilenceFilter,
    SilenceState, marker, read_matchers,
};
use crate::effect::incidents::Incident;
use crate::effect::llm::{Choice, Extraction, Summary};
use crate::effect::logs::{LokiLine, LokiOptions, LokiPage, MATCHES_DEFAULT, SEARCH_SINCE_MS_DEFAULT};
use crate::error::Error;
use crate::matching::Matcher;

/// An alert that Alertmanager holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownAlert {
    /// Its name is the label `alertname`.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Default five minutes ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Moment>,
    /// Derived from the labels when empty.
    pub fingerprint: String,
    /// Whether another alert inhibits it.
    pub inhibited: bool,
}

/// A silence of Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownSilence {
    /// Unique.
    pub id: String,
    /// As Alertmanager writes them.
    pub matchers: Vec<String>,
    /// Who.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Default now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Moment>,
    /// Default in an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Moment>,
}

/// What Loki answers to one query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogAnswer {
    /// Compared as text, white space at the ends aside.
    pub logql: String,
    /// Of every line.
    pub labels: BTreeMap<String, String>,
    /// Oldest first.
    pub lines: Vec<super::LogLine>,
}

/// What the language model answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelAnswer {
    /// `llm.choose`, `llm.summarize` or `llm.extract`; any when empty.
    pub effect: String,
    /// A text that question or evidence contain; the first answer that fits is given.
    pub about: String,
    /// What is chosen. One that the runbook does not offer makes it the fallback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// How sure the model is; default 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// What it quotes.
    pub quote: String,
    /// Of a summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of an extraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// The model's reason; where nothing is answered, why.
    pub reason: String,
}

/// How long ago an alert began that does not say, in milliseconds.
const STARTED_MS: u64 = 300_000;
/// How long a silence holds that does not say, in milliseconds.
const SILENT_MS: u64 = 3_600_000;
/// How sure a scripted model is that does not say.
const CONFIDENCE: f64 = 0.9;

fn matchers(written: Option<&Vec<String>>) -> Result<Vec<Matcher>, Error> {
    read_matchers(written.map_or(&[], Vec::as_slice))
}

impl World {
    pub(super) fn list_alerts(&self, filter: &AlertFilter) -> Result<Vec<HeldAlert>, Error> {
        let wanted = matchers(filter.matchers.as_ref())?;
        let mut held = Vec::new();
        for alert in self.alerts.iter().filter(|alert| wanted.iter().all(|matcher| matcher.matches(&alert.labels))) {
            let silenced_by = self.silencing(&alert.labels)?;
            let fits = filter.silenced.is_none_or(|silenced| silenced != silenced_by.is_empty())
                && filter.inhibited.is_none_or(|inhibited| inhibited == alert.inhibited);
            if !fits {
                continue;
            }
            let starts = alert.starts_at.map_or(self.now_ms.saturating_sub(STARTED_MS), |at| at.ms(self.now_ms));
            let suppressed = alert.inhibited || !silenced_by.is_empty();
            held.push(HeldAlert {
                name: alert.labels.get("alertname").cloned().unwrap_or_default(),
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: rfc3339(starts),
                fingerprint: fingerprint(alert),
                state: if suppressed { AlertState::Suppressed } else { AlertState::Active },
                silenced_by,
            });
        }
        held.truncate(LISTED_MAX);
        Ok(held)
    }

    /// Ids of the silences that hold for these labels now.
    fn silencing(&self, labels: &BTreeMap<String, String>) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        for silence in self.silences.iter().filter(|silence| self.silence_state(silence) == SilenceState::Active) {
            if read_matchers(&silence.matchers)?.iter().all(|matcher| matcher.matches(labels)) {
                ids.push(silence.id.clone());
            }
        }
        Ok(ids)
    }

    fn span(&self, silence: &KnownSilence) -> (u64, u64) {
        let starts = silence.starts_at.map_or(self.now_ms, |at| at.ms(self.now_ms));
        let ends = silence.ends_at.map_or(self.now_ms.saturating_add(SILENT_MS), |at| at.ms(self.now_ms));
        (starts, ends)
    }

    fn silence_state(&self, silence: &KnownSilence) -> SilenceState {
        match self.span(silence) {
            (_, ends) if ends <= self.now_ms => SilenceState::Expired,
            (starts, _) if starts > self.now_ms => SilenceState::Pending,
            (_, _) => SilenceState::Active,
        }
    }

    pub(super) fn list_silences(&self, filter: &SilenceFilter) -> Result<Vec<Silence>, Error> {
        let wanted = matchers(filter.matchers.as_ref())?;
        let mut listed = Vec::new();
        for silence in &self.silences {
            let (state, own) = (self.silence_state(silence), read_matchers(&silence.matchers)?);
            let over = state == SilenceState::Expired && filter.expired != Some(true);
            if over || !wanted.iter().all(|matcher| own.contains(matcher)) {
                continue;
            }
            let (starts, ends) = self.span(silence);
            listed.push(Silence {
                id: silence.id.clone(),
                state,
                matchers: own.iter().map(ToString::to_string).collect(),
                created_by: silence.created_by.clone(),
                comment: silence.comment.clone(),
                starts_at: rfc3339(starts),
                ends_at: rfc3339(ends),
            });
        }
        listed.truncate(LISTED_MAX);
        Ok(listed)
    }

    pub(super) fn create_silence(&mut self, silence: &NewSilence) -> SilenceCreated {
        let ends = self.now_ms.saturating_add(silence.duration_ms);
        let number = u32::try_from(self.silences.len()).unwrap_or(u32::MAX) + 1;
        let id = format!("simulated-{number}");
        self.silences.push(KnownSilence {
            id: id.clone(),
            matchers: silence.matchers.clone(),
            created_by: "sandbook".to_owned(),
            comment: format!("{} {}", silence.comment, marker("simulated", number)),
            starts_at: Some(Moment::At(self.now_ms)),
            ends_at: Some(Moment::At(ends)),
        });
        SilenceCreated { id, ends_at: rfc3339(ends) }
    }

    pub(super) fn expire_silence(&mut self, id: &str) -> Result<SilenceExpired, Error> {
        let place = self.silences.iter().position(|silence| silence.id == id);
        let place = place.ok_or_else(|| Error::not_found(format!("there is no silence `{id}`")))?;
        let changed = self.silence_state(&self.silences[place]) != SilenceState::Expired;
        if changed {
            self.silences[place].ends_at = Some(Moment::At(self.now_ms));
        }
        Ok(SilenceExpired { changed })
    }

    pub(super) fn query_loki(&self, logql: &str, options: &LokiOptions) -> LokiPage {
        let since = self.now_ms.saturating_sub(options.since_ms.unwrap_or(SEARCH_SINCE_MS_DEFAULT));
        let answers = self.loki.iter().filter(|answer| answer.logql.trim() == logql.trim());
        let mut lines: Vec<LokiLine> = answers
            .flat_map(|answer| answer.lines.iter().map(move |line| (answer, line, line.at.ms(self.now_ms))))
            .filter(|(_, _, at)| *at >= since)
            .map(|(answer, line, at)| LokiLine {
                at: rfc3339(at),
                line: line.line.clone(),
                labels: answer.labels.clone(),
            })
            .collect();
        lines.sort_by(|a, b| a.at.cmp(&b.at));
        let limit = usize::try_from(options.limit.unwrap_or(MATCHES_DEFAULT)).unwrap_or(usize::MAX);
        let beyond = lines.len().saturating_sub(limit);
        lines.drain(..beyond);
        LokiPage { lines, truncated: beyond > 0 }
    }

    fn scripted(&self, name: &str, texts: [&str; 2]) -> Option<&ModelAnswer> {
        self.model.iter().find(|answer| {
            let about = answer.about.is_empty() || texts.iter().any(|text| text.contains(&answer.about));
            about && (answer.effect.is_empty() || answer.effect == name)
        })
    }

    /// What a scenario says the model answers, else the declared fallback.
    pub(super) fn model_says(&self, effect: &Effect) -> Result<serde_json::Value, Error> {
        let texts = match effect {
            Effect::Choose(op) => [op.question.as_str(), op.evidence.as_str()],
            Effect::Summarize(op) => [op.options.instructions.as_deref().unwrap_or(""), op.evidence.as_str()],
            Effect::Extract(op) => [op.schema.as_str(), op.evidence.as_str()],
            _ => return Err(Error::failed(format!("{} asks no model", effect.name()))),
        };
        let answer = self.scripted(effect.name(), texts);
        let fallback = |why: &str| {
            effect.fallen_back(why).ok_or_else(|| Error::failed(format!("{} has no fallback", effect.name())))
        };
        let Some(answer) = answer else { return fallback("this world has no model's answer for it") };
        let why = if answer.reason.is_empty() { "the model gave no valid answer" } else { &answer.reason };
        let reason = String::new();
        let said = match (effect, &answer.option, &answer.text, &answer.json) {
            (Effect::Choose(op), Some(option), _, _) if op.options.contains(option) => serde_json::to_value(Choice {
                option: option.clone(),
                confidence: answer.confidence.unwrap_or(CONFIDENCE).clamp(0.0, 1.0),
                quote: answer.quote.clone(),
                fallback: false,
                reason: answer.reason.clone(),
            }),
            (Effect::Summarize(_), _, Some(text), _) => {
                serde_json::to_value(Summary { text: text.clone(), fallback: false, reason })
            }
            (Effect::Extract(_), _, _, Some(json)) => {
                serde_json::to_value(Extraction { json: json.clone(), fallback: false, reason })
            }
            _ => return fallback(why),
        };
        said.map_err(|error| Error::failed(error.to_string()))
    }

    pub(super) fn similar(&self, limit: u32) -> Vec<Incident> {
        let mut similar = self.incidents.clone();
        similar.sort_by(|a, b| b.score.total_cmp(&a.score));
        similar.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        similar
    }
}

fn fingerprint(alert: &KnownAlert) -> String {
    if !alert.fingerprint.is_empty() {
        return alert.fingerprint.clone();
    }
    let labels: Vec<String> = alert.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    super::settle::derive_id("alert", &labels.join(","), 0)[..16].to_owned()
}
