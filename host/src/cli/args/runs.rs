//! Arguments of commands about runs.

use std::path::PathBuf;

use clap::Args;

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Name or unique prefix
    pub runbook: String,
    /// A container, `host/container` or `host/project/service`, then parameters
    #[arg(value_name = "TARGET|NAME=VALUE")]
    pub words: Vec<String>,
    /// Follow it to its end
    #[arg(long)]
    pub watch: bool,
}

/// `runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Only in this state
    #[arg(long, value_parser = ["queued", "running", "waiting", "succeeded", "failed", "cancelled", "needs-attention"])]
    pub state: Option<String>,
    /// Only of this runbook
    #[arg(long)]
    pub runbook: Option<String>,
    /// Only on this target
    #[arg(long)]
    pub target: Option<String>,
    /// Only since then: a duration back or a time
    #[arg(long, value_name = "1d|TIME")]
    pub since: Option<String>,
    /// How many at the most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// The page after: what the page before named
    #[arg(long)]
    pub cursor: Option<String>,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which; `last` is the newest
    #[arg(default_value = "last")]
    pub run: String,
    /// Whole arguments, results and evidence
    #[arg(long)]
    pub full: bool,
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Which; `last` is the newest
    #[arg(default_value = "last")]
    pub run: String,
    /// Let the model reword it; what does not keep its records stays plain
    #[arg(long)]
    pub reword: bool,
}

/// `journal`.
#[derive(Debug, Args)]
pub struct JournalArgs {
    /// Which; `last` is the newest
    pub run: String,
    /// Write the run with its package into one file, for `sandbook replay FILE` anywhere; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
}

/// `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Which; without it, everything
    pub run: Option<String>,
}

/// `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Which; `last` is the newest
    pub run: String,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Which; `last` is the newest
    pub run: String,
    /// What a look at the world says about the change it stopped at
    #[arg(long = "as", value_parser = ["done", "not-done"])]
    pub settled_as: String,
}
