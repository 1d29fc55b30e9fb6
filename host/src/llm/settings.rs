//! How the model is reached and what it may take, as the configuration says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::Purpose;

/// Everything the client needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Base URL; `chat/completions` is below it.
    pub base_url: String,
    /// The model where a purpose has none of its own.
    pub model: String,
    /// Own models by purpose.
    pub models: BTreeMap<String, String>,
    /// File with the key, read at every request.
    pub api_key_file: Option<PathBuf>,
    /// For one answer, retries and repair included.
    pub timeout: Duration,
    /// Requests for one answer that fail at the most.
    pub attempts: u32,
    /// Bytes of evidence sent at the most.
    pub evidence_bytes_max: usize,
    /// Under this a choice is not taken.
    pub confidence_min: f64,
    /// Patterns of the operator, taken out as secrets are.
    pub redact: Vec<String>,
    /// Whether addresses of mail are taken out as well.
    pub redact_emails: bool,
    /// Prices by model.
    pub prices: BTreeMap<String, Price>,
    /// In an hour, a day, and of one run.
    pub per_hour: Ceiling,
    /// See `per_hour`.
    pub per_day: Ceiling,
    /// See `per_hour`.
    pub per_run: Ceiling,
}

/// What a million tokens cost, in the operator's currency.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Price {
    /// Of questions.
    pub input: f64,
    /// Of answers.
    pub output: f64,
}

/// What may be spent at the most; absent: any.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ceiling {
    /// Requests.
    pub calls: Option<u64>,
    /// Tokens of questions and answers.
    pub tokens: Option<u64>,
    /// In the currency of the prices.
    pub money: Option<f64>,
}

impl Settings {
    /// The model asked for a purpose.
    pub fn model_for(&self, purpose: Purpose) -> &str {
        self.models.get(purpose.name()).unwrap_or(&self.model)
    }
}
