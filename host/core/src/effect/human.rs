//! Questions a runbook puts to a person.
//!
//! Deliberately not here: asking whether an effect may be done, which is policy's doing and no effect ([`crate::gate`]).

use serde::{Deserialize, Serialize};

use super::engine::SLEEP_MS_MAX;
use super::{Class, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Longest question: it is read on a phone at three in the morning.
pub const QUESTION_BYTES_MAX: usize = 500;
/// Answers to choose from at the most: more is a form, not a question.
pub const OPTIONS_MAX: usize = 10;
/// Longest answer: it stands on a button.
pub const OPTION_BYTES_MAX: usize = 80;
/// Longest text beside the question.
pub const DETAILS_BYTES_MAX: usize = 16 * 1024;
/// Shortest time to answer, in milliseconds: nobody is faster.
pub const TIMEOUT_MS_MIN: u64 = 1_000;

/// What may be said beside the question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskSettings {
    /// Shown below the question; at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The answer when nobody gives one in time; one of the options. Absent: `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Milliseconds to answer in, 1 s to 7 days; default: the operator's `[approvals] expiry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// One of the options.
    pub option: String,
    /// Who.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
    /// Nobody answered in time, and this is the declared fallback.
    pub fallback: bool,
}

/// Asks a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// A sentence.
    pub question: String,
    /// What may be answered.
    pub options: Vec<String>,
    /// The rest.
    #[serde(default)]
    pub settings: AskSettings,
}

impl Ask {
    /// The answer where nobody can be asked, because nothing is real: the fallback, else the first option.
    pub fn assumed(&self) -> String {
        let first = || self.options.first().cloned().unwrap_or_default();
        self.settings.fallback.clone().unwrap_or_else(first)
    }
}

impl Op for Ask {
    type Output = Answer;
    const NAME: &'static str = "human.ask";
    const CLASS: Class = Class::Wait;
    const DEADLINE_MS: u64 = SLEEP_MS_MAX;
    const OUTPUT_BYTES_MAX: usize = 16 * 1024;
    fn recovery(&self) -> Recovery {
        Recovery::Again
    }
    fn scope(&self) -> Scope<'_> {
        Scope::Run
    }
    fn validate(&self) -> Result<(), Error> {
        if self.question.trim().is_empty() {
            return Err(Error::invalid("question is empty"));
        }
        check_text("question", &self.question, QUESTION_BYTES_MAX)?;
        check_range("the number of options", Some(self.options.len()), 1, OPTIONS_MAX)?;
        for (index, option) in self.options.iter().enumerate() {
            if option.trim().is_empty() || self.options[..index].contains(option) {
                return Err(Error::invalid(format!("options[{index}] is empty or there twice")));
            }
            check_text("options", option, OPTION_BYTES_MAX)?;
        }
        check_text("details", self.settings.details.as_deref().unwrap_or(""), DETAILS_BYTES_MAX)?;
        check_range("timeout_ms", self.settings.timeout_ms, TIMEOUT_MS_MIN, SLEEP_MS_MAX)?;
        match &self.settings.fallback {
            Some(fallback) if !self.options.contains(fallback) => {
                Err(Error::invalid(format!("fallback is `{fallback}`, it must be one of the options")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(options: &[&str], fallback: Option<&str>) -> Ask {
        Ask {
            question: "Move it?".to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            settings: AskSettings { fallback: fallback.map(str::to_owned), ..AskSettings::default() },
        }
    }

    #[test]
    fn what_cannot_be_answered_is_not_asked() {
        assert!(ask(&["yes", "no"], Some("no")).validate().is_ok());
        let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
        for (wrong, named) in [
            (ask(&[], None), "number of options"),
            (ask(&eleven, None), "number of options"),
            (ask(&["a", "a"], None), "there twice"),
            (ask(&["a", " "], None), "empty"),
            (ask(&["a"], Some("b")), "one of the options"),
            (ask(&["x".repeat(81).as_str()], None), "at most 80"),
            (Ask { question: "?".repeat(501), ..ask(&["a"], None) }, "at most 500"),
            (Ask { question: " ".to_owned(), ..ask(&["a"], None) }, "question is empty"),
            (
                Ask { settings: AskSettings { timeout_ms: Some(1), ..AskSettings::default() }, ..ask(&["a"], None) },
                "timeout_ms",
            ),
        ] {
            let error = wrong.validate().expect_err(named);
            assert!(error.message.contains(named), "{error}");
        }
    }

    #[test]
    fn without_a_person_the_fallback_counts_and_then_the_first() {
        assert_eq!(ask(&["a", "b"], Some("b")).assumed(), "b");
        assert_eq!(ask(&["a", "b"], None).assumed(), "a");
    }
}
