//! Arguments of commands that hold runbooks back or let them go on.
//!
//! Deliberately not here: the commands themselves, which stand together in [`super::Command`].

use clap::Args;
use sandbook_core::duration::DurationMs;

/// `approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// What is answered and why.
    #[command(flatten)]
    pub decide: DecideArgs,
    /// The answer to a runbook's question, one of its options
    #[arg(long, value_name = "TEXT")]
    pub answer: Option<String>,
}

/// `deny`, and what it shares with `approve`.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// From `sandbook approvals`
    pub id: String,
    /// Why; it stands in the audit
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// What is left alone
    pub selector: String,
    /// How long
    #[arg(long = "for", value_name = "30m")]
    pub duration: DurationMs,
    /// Why; whoever finds nothing acting reads it
    #[arg(long)]
    pub reason: String,
}

/// `pauses`.
#[derive(Debug, Args)]
pub struct PausesArgs {
    /// End this one early
    #[arg(long, value_name = "ID")]
    pub end: Option<String>,
}

/// `rearm`.
#[derive(Debug, Args)]
pub struct RearmArgs {
    /// From `sandbook brakes`, or a unique beginning
    pub id: String,
    /// What was found; it stands in the audit
    #[arg(long, default_value = "re-armed by hand")]
    pub reason: String,
}

/// `stop-all`.
#[derive(Debug, Args)]
pub struct StopAllArgs {
    /// Let runbooks act again
    #[arg(long)]
    pub release: bool,
    /// Why; it stands in the audit
    #[arg(long, default_value = "stopped by hand")]
    pub reason: String,
}
