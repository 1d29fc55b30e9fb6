//! Figures of the model. Its labels are purposes, results and reasons, all closed sets; never a model, a run or a text.

use std::time::Duration;

use prometheus::{Counter, CounterVec, HistogramVec, IntCounterVec, Opts, Registry};

use super::{counters, histograms};
use crate::llm::Usage;

/// What is counted.
pub struct Llm {
    /// Answers asked for, by purpose and result.
    pub answers: IntCounterVec,
    /// Requests to the server.
    pub requests: IntCounterVec,
    /// Tokens, by direction.
    pub tokens: IntCounterVec,
    /// Money, in the currency of the configured prices.
    pub cost: CounterVec,
    /// Time of answers.
    pub seconds: HistogramVec,
    /// Fallbacks, by reason.
    pub fallbacks: IntCounterVec,
}

impl Llm {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Llm> {
        let cost = CounterVec::new(
            Opts::new("sandbook_llm_cost_total", "What the model cost, in the currency of [llm.prices], by purpose."),
            &["purpose"],
        )?;
        r.register(Box::new(cost.clone()))?;
        Ok(Llm {
            answers: counters(
                r,
                "sandbook_llm_answers_total",
                "Answers the model was asked for, by purpose and result: ok, or why there is none.",
                &["purpose", "result"],
            )?,
            requests: counters(
                r,
                "sandbook_llm_requests_total",
                "Requests sent to the model's server, repeated ones included, by purpose.",
                &["purpose"],
            )?,
            tokens: counters(
                r,
                "sandbook_llm_tokens_total",
                "Tokens as the model's server counted them, by purpose and direction: in, out.",
                &["purpose", "direction"],
            )?,
            cost,
            seconds: histograms(
                r,
                "sandbook_llm_answer_duration_seconds",
                "Time until an answer of the model, repeated requests and repair included, by purpose.",
                &["purpose"],
            )?,
            fallbacks: counters(
                r,
                "sandbook_llm_fallbacks_total",
                "Fallbacks taken instead of an answer of the model, by purpose and reason.",
                &["purpose", "reason"],
            )?,
        })
    }

    /// A fallback was taken.
    pub fn fell_back(&self, purpose: &str, reason: &str) {
        self.fallbacks.with_label_values(&[purpose, reason]).inc();
    }

    /// An answer was asked for.
    pub fn called(&self, purpose: &str, result: &str, took: Duration) {
        self.answers.with_label_values(&[purpose, result]).inc();
        self.seconds.with_label_values(&[purpose]).observe(took.as_secs_f64());
    }

    /// A request was sent and came to this.
    pub fn spent(&self, purpose: &str, usage: Usage) {
        self.requests.with_label_values(&[purpose]).inc_by(usage.calls);
        self.tokens.with_label_values(&[purpose, "in"]).inc_by(usage.tokens_in);
        self.tokens.with_label_values(&[purpose, "out"]).inc_by(usage.tokens_out);
        let cost: Counter = self.cost.with_label_values(&[purpose]);
        cost.inc_by(usage.cost());
    }
}
