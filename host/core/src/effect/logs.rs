//! Effects on logs: a container's own, filtered, bounded and paged on the host side, and those Loki keeps.
//!
//! Deliberately not here: following a log. A run reads pages; streams would not replay.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::docker::REFERENCE_BYTES_MAX;
use super::{Class, Op, Part, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Lines of a tail when the request does not say.
pub const TAIL_LINES_DEFAULT: u32 = 100;
/// Lines of a tail at the most.
pub const TAIL_LINES_MAX: u32 = 5_000;
/// Bytes of one page at the most: what a person or a model can still read, and a quarter of a result.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// How far back a search reads when the request does not say, in milliseconds.
pub const SEARCH_SINCE_MS_DEFAULT: u64 = 3_600_000;
/// How far back a search reads at the most.
pub const SEARCH_SINCE_MS_MAX: u64 = 7 * 86_400_000;
/// Matches a page when the request does not say.
pub const MATCHES_DEFAULT: u32 = 100;
/// Matches a page at the most.
pub const MATCHES_MAX: u32 = 1_000;
/// Lines of context around a match at the most.
pub const CONTEXT_MAX: u32 = 20;
/// Bytes of a regular expression at the most.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// How much of the end of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TailOptions {
    /// At most [`TAIL_LINES_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
    /// Only younger lines, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

/// Part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Page {
    pub text: String,
    pub lines: u32,
    pub truncated: bool,
}

/// How a log is searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct SearchOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A line that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Match {
    pub at: String,
    pub line: String,
    pub context: Vec<String>,
}

/// A page of matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Matches {
    pub found: Vec<Match>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    pub scanned: u32,
}

/// The last lines of a container's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailContainer {
    /// Handle, name or `host/name`.
    pub container: String,
    /// How much.
    #[serde(default)]
    pub options: TailOptions,
}

impl Op for TailContainer {
    type Output = Page;
    const NAME: &'static str = "logs.tail-container";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = 15_000;
    const OUTPUT_BYTES_MAX: usize = 2 * PAGE_BYTES_MAX;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Container(&self.container)
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("container", &self.container, REFERENCE_BYTES_MAX)?;
        check_range("lines", self.options.lines, 1, TAIL_LINES_MAX)
    }
}

/// Lines that match a regular expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchContainer {
    /// Handle, name or `host/name`.
    pub container: String,
    /// Linear-time regular expression (crate regex).
    pub pattern: String,
    /// How.
    #[serde(default)]
    pub options: SearchOptions,
}

impl Op for SearchContainer {
    type Output = Matches;
    const NAME: &'static str = "logs.search-container";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = 30_000;
    const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Container(&self.container)
    }
    fn validate(&self) -> Result<(), Error> {
        check_text("container", &self.container, REFERENCE_BYTES_MAX)?;
        check_text("pattern", &self.pattern, PATTERN_BYTES_MAX)?;
        check_text("cursor", self.options.cursor.as_deref().unwrap_or(""), 256)?;
        check_range("since_ms", self.options.since_ms, 1, SEARCH_SINCE_MS_MAX)?;
        check_range("limit", self.options.limit, 1, MATCHES_MAX)?;
        check_range("context", self.options.context, 0, CONTEXT_MAX)?;
        regex::RegexBuilder::new(&self.pattern)
            .size_limit(1 << 20)
            .build()
            .map(drop)
            .map_err(|error| Error::invalid(format!("pattern: {error}")))
    }
}

/// Bytes of a log query at the most.
pub const LOGQL_BYTES_MAX: usize = 8 * 1024;

/// How much of a log query's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct LokiOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A line that Loki keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LokiLine {
    pub at: String,
    pub line: String,
    pub labels: BTreeMap<String, String>,
}

/// Lines that Loki found, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LokiPage {
    pub lines: Vec<LokiLine>,
    pub truncated: bool,
}

/// What emptying a log gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Truncated {
    pub freed_bytes: u64,
}

/// A log query to Loki.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryLoki {
    /// LogQL, a query of lines.
    pub logql: String,
    /// How much.
    #[serde(default)]
    pub options: LokiOptions,
}

impl Op for QueryLoki {
    type Output = LokiPage;
    const NAME: &'static str = "logs.query-loki";
    const CLASS: Class = Class::Observe;
    const DEADLINE_MS: u64 = 30_000;
    const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Part(Part::Loki)
    }
    fn validate(&self) -> Result<(), Error> {
        if self.logql.trim().is_empty() {
            return Err(Error::invalid("logql is empty"));
        }
        check_text("logql", &self.logql, LOGQL_BYTES_MAX)?;
        check_range("since_ms", self.options.since_ms, 1, SEARCH_SINCE_MS_MAX)?;
        check_range("limit", self.options.limit, 1, MATCHES_MAX)
    }
}

/// Empties the file of a container's log. Permitted by the container's name only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncateContainerLog {
    /// Handle, name or `host/name`.
    pub container: String,
}

impl Op for TruncateContainerLog {
    type Output = Truncated;
    const NAME: &'static str = "logs.truncate-container-log";
    const CLASS: Class = Class::Mutate;
    const DEADLINE_MS: u64 = 10_000;
    const OUTPUT_BYTES_MAX: usize = 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Look
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Container(&self.container)
    }
    fn validate(&self) -> Result<(), Error> {
        if self.container.is_empty() {
            return Err(Error::invalid("container is empty"));
        }
        check_text("container", &self.container, REFERENCE_BYTES_MAX)
    }
}
