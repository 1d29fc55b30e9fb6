//! What this engine has seen before: incidents like the one of the run.
//!
//! Deliberately not here: how alike two incidents are. The host's store answers, and a scenario's table.

use serde::{Deserialize, Serialize};

use super::{Class, Op, Part, Recovery, Scope, check_range};
use crate::error::Error;

/// Incidents of an answer at the most.
pub const SIMILAR_MAX: u32 = 20;

/// An earlier incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Incident {
    pub episode: String,
    pub run: String,
    pub alert: String,
    pub at: String,
    pub runbook: String,
    pub outcome: String,
    pub verification: String,
    pub score: f64,
    pub worked: bool,
    pub changes: Vec<String>,
}

/// Earlier incidents like the one of this run, the most similar first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Similar {
    /// From 1 to [`SIMILAR_MAX`].
    pub limit: u32,
}

impl Op for Similar {
    type Output = Vec<Incident>;
    const NAME: &'static str = "incidents.similar";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = 10_000;
    const OUTPUT_BYTES_MAX: usize = 256 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Part(Part::Incidents)
    }
    fn validate(&self) -> Result<(), Error> {
        check_range("limit", Some(self.limit), 1, SIMILAR_MAX)
    }
}
