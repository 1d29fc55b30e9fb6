//! What happened in a run, in prose: claims, each with the record it comes from, and a report for a ticket.
//!
//! The claims are made from the journal and the run's row alone ([`claims`]), so that an explanation can say nothing that
//! was not recorded, and the same run is explained in the same words. A model may reword them ([`reword`]); a sentence of
//! its own counts only while it keeps the records and the facts of what it rewords, and is replaced otherwise.
//! [`report`] lays it out as Markdown.
//!
//! Deliberately not here: fetching, and what to do next, which `sandbook show` says.

use serde::{Deserialize, Serialize};

pub mod claims;
pub mod report;
pub mod reword;
#[cfg(test)]
mod tests;

/// Where a claim comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Link {
    /// Number of the record in the run's journal, from 0; absent: the run's own row.
    pub record: Option<u64>,
    /// Which effect of the run, from 0; absent for the header, notes and the end.
    pub slot: Option<u32>,
}

/// What a claim is about: the report's headings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// What started it, and on what.
    Trigger,
    /// What it looked at and asked.
    Finding,
    /// What it changed, or tried to.
    Change,
    /// What was refused, failed, or left to a person.
    Refusal,
    /// Whom it told.
    Message,
    /// How it ended, and whether that helped.
    End,
}

/// One sentence with its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Claim {
    /// From 1, in order.
    pub id: u32,
    pub about: About,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// A sentence without a full stop.
    pub text: String,
    pub link: Link,
}

/// A sentence of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Sentence {
    pub text: String,
    /// Where it comes from; never empty.
    pub links: Vec<Link>,
    /// A model worded it.
    pub reworded: bool,
}

impl From<&Claim> for Sentence {
    fn from(claim: &Claim) -> Sentence {
        Sentence { text: format!("{}.", claim.text), links: vec![claim.link.clone()], reworded: false }
    }
}

/// The claims as they are, a sentence each.
pub fn plain(claims: &[Claim]) -> Vec<Sentence> {
    claims.iter().map(Sentence::from).collect()
}
