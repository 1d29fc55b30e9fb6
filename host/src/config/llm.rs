//! `[llm]`: the model, what it may take, and what must not reach it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sandbook_core::duration::{Bytes, DurationMs};

use super::shape::section;
use crate::llm;

section! {
    /// The model.
    Llm {
        /// Base URL of an OpenAI-compatible API, such as `http://127.0.0.1:11434/v1`.
        base_url: Option<String> = None;
        /// Name of the model.
        model: Option<String> = None;
        /// File with the key; local servers need none. It is read at every request.
        api_key_file: Option<PathBuf> = None;
        /// Other models by purpose: choose, summarize, extract, generate, ask, explain.
        models: BTreeMap<String, String> = BTreeMap::new();
        /// For one answer, repeated requests and repair included. From 1s to 10m.
        timeout: DurationMs = DurationMs(60_000);
        /// Requests for one answer that may fail. From 1 to 10.
        attempts: u32 = 4;
        /// Evidence of one question at the most; errors and the end of a log stay. From 1KiB to 256KiB.
        evidence: Bytes = Bytes(24 * 1024);
        /// A choice under this confidence is not taken. From 0 to 1.
        confidence: f64 = 0.6;
        /// Regular expressions that are taken out of whatever leaves, besides what looks like a secret.
        redact: Vec<String> = Vec::new();
        /// Whether addresses of mail are taken out as well.
        redact_emails: bool = true;
        /// What models cost, by name.
        prices: BTreeMap<String, LlmPrice> = BTreeMap::new();
        /// What may be spent.
        budget: LlmBudget = LlmBudget::default();
    }
}

section! {
    /// What a model costs, in a currency of your own.
    LlmPrice {
        /// A million tokens of questions.
        input: f64;
        /// A million tokens of answers.
        output: f64;
    }
}

section! {
    /// What may be spent. Used up: runbooks take their fallback, drafts are refused.
    LlmBudget {
        /// In an hour, by everybody.
        hour: LlmHour = LlmHour::default();
        /// In a day, by everybody.
        day: LlmDay = LlmDay::default();
        /// By one run.
        run: LlmRun = LlmRun::default();
    }
}

section! {
    /// In an hour.
    LlmHour {
        /// Requests.
        calls: u32 = 200;
        /// Tokens of questions and answers.
        tokens: u32 = 1_000_000;
        /// In the currency of the prices; absent: any.
        money: Option<f64> = None;
    }
}

section! {
    /// In a day.
    LlmDay {
        /// Requests.
        calls: u32 = 2_000;
        /// Tokens of questions and answers.
        tokens: u32 = 5_000_000;
        /// In the currency of the prices; absent: any.
        money: Option<f64> = None;
    }
}

section! {
    /// Of one run.
    LlmRun {
        /// Requests.
        calls: u32 = 20;
        /// Tokens of questions and answers.
        tokens: u32 = 200_000;
        /// In the currency of the prices; absent: any.
        money: Option<f64> = None;
    }
}

impl Llm {
    /// As the client takes it; `None` when no model is configured.
    pub fn settings(&self) -> Option<llm::Settings> {
        let (base_url, model) = (self.base_url.clone()?, self.model.clone()?);
        let price = |price: &LlmPrice| llm::Price { input: price.input, output: price.output };
        let ceiling = |calls: u32, tokens: u32, money| llm::Ceiling {
            calls: Some(calls.into()),
            tokens: Some(tokens.into()),
            money,
        };
        let LlmBudget { hour, day, run } = &self.budget;
        Some(llm::Settings {
            base_url,
            model,
            models: self.models.clone(),
            api_key_file: self.api_key_file.clone(),
            timeout: self.timeout.to_std(),
            attempts: self.attempts,
            evidence_bytes_max: usize::try_from(self.evidence.0).unwrap_or(usize::MAX),
            confidence_min: self.confidence,
            redact: self.redact.clone(),
            redact_emails: self.redact_emails,
            prices: self.prices.iter().map(|(model, own)| (model.clone(), price(own))).collect(),
            per_hour: ceiling(hour.calls, hour.tokens, hour.money),
            per_day: ceiling(day.calls, day.tokens, day.money),
            per_run: ceiling(run.calls, run.tokens, run.money),
        })
    }

    /// Models that may be asked, each once.
    pub fn model_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.models.values().chain(&self.model).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
