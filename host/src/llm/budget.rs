//! What the model may take and took: requests, tokens and money, of an hour, a day and one run, kept in the store.
//!
//! A request is counted before it is sent, with the most it can take, and corrected by what the server counted. One that
//! never comes back (a crash, a deadline) keeps what was counted before: the books err on the side of the operator.
//! Money is counted in billionths, so that a cheap model's single token is not lost in rounding.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbook_core::error::Error;
use serde::{Deserialize, Serialize};

use super::settings::{Ceiling, Price, Settings};
use super::{Fault, Purpose, Reason};
use crate::clock::{Clock as _, System};
use crate::store::{LlmCall, LlmCeiling, LlmReserved, LlmWindow, Store};

const HOUR_MS: u64 = 3_600_000;
/// Bytes a token has at the least, in text a person reads: what a question takes is rather over- than underestimated.
const TOKEN_BYTES_MIN: usize = 3;
/// Billionths of the operator's currency.
const NANOS: f64 = 1_000_000_000.0;
/// Tokens a price is for.
const PRICED_TOKENS: f64 = 1_000_000.0;

/// Tokens that so many bytes have at the most, about.
pub(super) fn estimate(bytes: usize) -> u64 {
    bytes.div_ceil(TOKEN_BYTES_MIN) as u64
}

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Requests to the server.
    pub calls: u64,
    /// Tokens of questions.
    pub tokens_in: u64,
    /// Tokens of answers.
    pub tokens_out: u64,
    /// Billionths of the operator's currency.
    pub cost_nanos: u64,
}

impl Usage {
    /// Adds another's.
    pub fn add(&mut self, other: Usage) {
        self.calls += other.calls;
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.cost_nanos += other.cost_nanos;
    }

    /// In the operator's currency.
    pub fn cost(&self) -> f64 {
        money(self.cost_nanos)
    }
}

/// Billionths as people write them.
#[allow(clippy::cast_precision_loss, reason = "more than four million of any currency is not spent here")]
pub(super) fn money(nanos: u64) -> f64 {
    nanos as f64 / NANOS
}

/// A request that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spending<'a> {
    pub(super) purpose: Purpose,
    pub(super) run: Option<&'a str>,
    pub(super) model: &'a str,
    pub(super) tokens_in: u64,
    pub(super) tokens_out: u64,
}

/// The books.
pub(super) struct Budget {
    store: Arc<dyn Store>,
    prices: BTreeMap<String, Price>,
    hour: Ceiling,
    day: Ceiling,
    run: Ceiling,
}

/// A request's place in the books.
pub(super) struct Place<'a> {
    budget: &'a Budget,
    id: i64,
    price: Price,
}

impl Budget {
    pub(super) fn new(settings: &Settings, store: Arc<dyn Store>) -> Budget {
        let prices = settings.prices.clone();
        Budget { store, prices, hour: settings.per_hour, day: settings.per_day, run: settings.per_run }
    }

    /// Takes a place. Errors: `budget` with what is used up, `books` when the store does not answer.
    pub(super) async fn reserve(&self, spending: &Spending<'_>) -> Result<Place<'_>, Fault> {
        let price = self.prices.get(spending.model).copied().unwrap_or_default();
        let now = System.now().unix_ms;
        let mut ceilings = vec![
            ceiling("an hour", LlmWindow::Since(now.saturating_sub(HOUR_MS)), &self.hour),
            ceiling("a day", LlmWindow::Since(now.saturating_sub(24 * HOUR_MS)), &self.day),
        ];
        if let Some(run) = spending.run {
            ceilings.push(ceiling("a run", LlmWindow::Run(run.to_owned()), &self.run));
        }
        let call = LlmCall {
            run: spending.run.map(str::to_owned),
            purpose: spending.purpose.name().to_owned(),
            at: now,
            tokens_in: spending.tokens_in,
            tokens_out: spending.tokens_out,
            cost_nanos: cost(price, spending.tokens_in, spending.tokens_out),
        };
        match self.store.llm_reserve(call, ceilings).await {
            Ok(LlmReserved::Taken(id)) => Ok(Place { budget: self, id, price }),
            Ok(LlmReserved::Exhausted(what)) => Err(Fault::new(Reason::Budget, what)),
            Err(error) => Err(books(&error)),
        }
    }

    /// Tells observers of a run.
    pub(super) fn announce(&self, run: &str, progress: serde_json::Value) {
        self.store.announce(run, progress);
    }

    pub(super) async fn spent(&self, since_ms: u64) -> Result<Usage, Error> {
        let spent = self.store.llm_spent(LlmWindow::Since(since_ms)).await;
        spent.map(usage).map_err(|error| Error::failed(format!("what the model took cannot be read: {error}")))
    }
}

impl Place<'_> {
    /// Corrects what was reserved.
    pub(super) async fn settle(self, tokens_in: u64, tokens_out: u64) -> Result<Usage, Fault> {
        let cost_nanos = cost(self.price, tokens_in, tokens_out);
        let settled = self.budget.store.llm_settle(self.id, tokens_in, tokens_out, cost_nanos).await;
        settled.map_err(|error| books(&error))?;
        Ok(Usage { calls: 1, tokens_in, tokens_out, cost_nanos })
    }
}

fn usage(spent: crate::store::LlmSpent) -> Usage {
    let crate::store::LlmSpent { calls, tokens_in, tokens_out, cost_nanos } = spent;
    Usage { calls, tokens_in, tokens_out, cost_nanos }
}

fn books(error: &crate::store::Error) -> Fault {
    Fault::new(Reason::Books, format!("what the model takes cannot be written down, so it is not asked: {error}"))
}

fn ceiling(label: &'static str, window: LlmWindow, ceiling: &Ceiling) -> LlmCeiling {
    let cost_nanos = ceiling.money.map(|money| nanos(money * NANOS));
    LlmCeiling { label, window, calls: ceiling.calls, tokens: ceiling.tokens, cost_nanos }
}

#[allow(clippy::cast_precision_loss, reason = "no answer has more tokens than a float counts exactly")]
fn cost(price: Price, tokens_in: u64, tokens_out: u64) -> u64 {
    let million = price.input * tokens_in as f64 + price.output * tokens_out as f64;
    nanos(million * (NANOS / PRICED_TOKENS))
}

/// Whole billionths, rounded up; saturates.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
fn nanos(value: f64) -> u64 {
    value.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_token_of_a_cheap_model_costs_something() {
        let cheap = Price { input: 0.15, output: 0.6 };
        assert_eq!(cost(cheap, 1, 0), 150);
        assert_eq!(cost(cheap, 1_000_000, 1_000_000), 750_000_000);
        assert_eq!(cost(Price::default(), 1_000, 1_000), 0);
        assert_eq!(estimate(10), 4);
        assert!((Usage { cost_nanos: 750_000_000, ..Usage::default() }.cost() - 0.75).abs() < 1e-9);
    }
}
