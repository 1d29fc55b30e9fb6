//! Effects that ask the Prometheus HTTP API.
//!
//! Deliberately not here: parsing PromQL. Prometheus says what is wrong with a query better than we could.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Bytes of a query at the most.
pub const PROMQL_BYTES_MAX: usize = 8 * 1024;
/// Samples of an instant query, and series of a range query, at the most.
pub const SERIES_MAX: usize = 1_000;
/// Points of a range at the most: Prometheus' own bound.
pub const POINTS_MAX: u64 = 11_000;
/// How far back a range reaches at the most, in milliseconds.
pub const RANGE_MS_MAX: u64 = 31 * 86_400_000;

/// One value of an instant query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    #[serde(with = "number")]
    pub value: f64,
    pub at: String,
}

/// One series of a range query: seconds since 1970 and value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub points: Vec<(f64, f64)>,
}

/// JSON has no NaN and no infinity, Prometheus has both: those travel as words.
mod number {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.serialize_str(&value.to_string()) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Word(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(number),
            Either::Word(word) => word.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// The extent of a range query that ends now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// How far back, at most [`RANGE_MS_MAX`].
    pub since_ms: u64,
    /// Distance of points, at least a second.
    pub step_ms: u64,
}

/// An instant query, evaluated now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// PromQL.
    pub promql: String,
}

impl Op for Query {
    type Output = Vec<Sample>;
    const NAME: &'static str = "metrics.query";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = 30_000;
    const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Metrics
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("promql", &self.promql, PROMQL_BYTES_MAX)
    }
}

/// A range query that ends now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRange {
    /// PromQL.
    pub promql: String,
    /// Which extent.
    pub range: Range,
}

impl Op for QueryRange {
    type Output = Vec<Series>;
    const NAME: &'static str = "metrics.query-range";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = 30_000;
    const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Metrics
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("promql", &self.promql, PROMQL_BYTES_MAX)?;
        check_range("since_ms", Some(self.range.since_ms), 1, RANGE_MS_MAX)?;
        check_range("step_ms", Some(self.range.step_ms), 1_000, RANGE_MS_MAX)?;
        check_range("points", Some(self.range.since_ms / self.range.step_ms), 0, POINTS_MAX)
    }
}
