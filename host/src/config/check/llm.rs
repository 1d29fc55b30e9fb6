//! Checks of `[llm]`.

use sandbook_core::duration::{Bytes, DurationMs};
use sandbook_core::effect::closest;

use super::super::tree::join;
use super::super::{BAD_VALUE, MISSING_KEY, RANGE, Sections, UNKNOWN_NAME};
use super::Checker;
use crate::llm::{Purpose, hygiene};

/// Time for one answer: shorter than a second no model answers, longer than ten minutes nobody waits.
const TIMEOUT_MS: (u64, u64) = (1_000, 600_000);
/// Requests for one answer.
const ATTEMPTS: (u32, u32) = (1, 10);
/// Evidence of one question.
const EVIDENCE_BYTES: (u64, u64) = (1 << 10, 256 << 10);
/// The dearest price of a million tokens: beyond it the decimal point is in the wrong place.
const PRICE_MAX: f64 = 100_000.0;

impl Checker<'_> {
    pub(super) fn llm(&mut self, sections: &Sections) {
        let llm = &sections.llm;
        self.url("llm.base_url", llm.base_url.as_ref());
        match (&llm.base_url, &llm.model) {
            (Some(_), None) => {
                self.error(MISSING_KEY, "llm.base_url", "`llm.base_url` stands without `model`", "add model = \"…\"")
            }
            (None, Some(_)) => {
                self.error(MISSING_KEY, "llm.model", "`llm.model` stands without `base_url`", "add base_url = \"…\"")
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let purposes = Purpose::ALL.map(Purpose::name);
        for purpose in llm.models.keys().filter(|purpose| !purposes.contains(&purpose.as_str())) {
            let path = join("llm.models", purpose);
            let help = match closest(purpose, purposes.into_iter()) {
                Some(candidate) => format!("did you mean `{candidate}`?"),
                None => format!("there are {}", purposes.join(", ")),
            };
            self.error(UNKNOWN_NAME, &path, format!("`{path}`: {purpose:?} is no purpose"), help);
        }
        self.range("llm.timeout", llm.timeout, DurationMs(TIMEOUT_MS.0), DurationMs(TIMEOUT_MS.1));
        self.range("llm.attempts", llm.attempts, ATTEMPTS.0, ATTEMPTS.1);
        self.range("llm.evidence", llm.evidence, Bytes(EVIDENCE_BYTES.0), Bytes(EVIDENCE_BYTES.1));
        self.range("llm.confidence", llm.confidence, 0.0, 1.0);
        if llm.redact.len() > hygiene::PATTERNS_MAX {
            let message = format!(
                "`llm.redact` has {} patterns, at most {} are allowed",
                llm.redact.len(),
                hygiene::PATTERNS_MAX
            );
            self.error(RANGE, "llm.redact", message, "");
        }
        for (index, pattern) in llm.redact.iter().enumerate() {
            if let Err(error) = hygiene::compile(pattern) {
                self.error(BAD_VALUE, &format!("llm.redact[{index}]"), error.message, "");
            }
        }
        for (model, price) in &llm.prices {
            let path = join("llm.prices", model);
            self.range(&join(&path, "input"), price.input, 0.0, PRICE_MAX);
            self.range(&join(&path, "output"), price.output, 0.0, PRICE_MAX);
        }
        let budget = &llm.budget;
        let moneys = [
            ("llm.budget.hour.money", budget.hour.money),
            ("llm.budget.day.money", budget.day.money),
            ("llm.budget.run.money", budget.run.money),
        ];
        for (path, money) in moneys.into_iter().filter_map(|(path, money)| Some((path, money?))) {
            self.range(path, money, 0.0, f64::from(u32::MAX));
            for model in llm.model_names().into_iter().filter(|model| !llm.prices.contains_key(*model)) {
                let message = format!("`{path}` limits money, and {model:?} has no price: it counts as free");
                self.warn(path, message, format!("add [llm.prices.\"{model}\"] with input and output"));
            }
        }
    }
}
