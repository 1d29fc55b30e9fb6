//! What the model takes: one row a request, counted before it is sent.
//!
//! Deliberately not here: prices and ceilings themselves; they come with each call.

/// A request about to be sent, with the most it can take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LlmCall {
    /// `None`: of nobody's run.
    pub run: Option<String>,
    pub purpose: String,
    pub at: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// Billionths of the operator's currency.
    pub cost_nanos: u64,
}

/// Which requests are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LlmWindow {
    /// Those after that moment.
    Since(u64),
    /// Those of a run.
    Run(String),
}

/// The most that may be taken in a window; absent: any.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LlmCeiling {
    /// The window in words, such as `an hour`.
    pub label: &'static str,
    pub window: LlmWindow,
    pub calls: Option<u64>,
    pub tokens: Option<u64>,
    pub cost_nanos: Option<u64>,
}

/// What was taken in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct LlmSpent {
    pub calls: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cost_nanos: u64,
}

/// Whether a request may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LlmReserved {
    /// It is counted, under that number.
    Taken(i64),
    /// Nothing was counted; which ceiling it would pass, in words.
    Exhausted(String),
}
