//! Arguments of what a model drafts.

use std::path::PathBuf;

use clap::Args;

/// `ask`.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// What is to be done or looked at, on which container
    #[arg(required = true, value_name = "SENTENCE")]
    pub sentence: Vec<String>,
}

/// `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What the runbook is to do
    #[arg(value_name = "DESCRIPTION", required_unless_present_any = ["from_file", "from_run", "episode"])]
    pub description: Vec<String>,
    /// A page people follow by hand, in Markdown
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
    /// A recorded run to learn from; `last` is the newest
    #[arg(long, value_name = "RUN", conflicts_with = "episode")]
    pub from_run: Option<String>,
    /// An episode to learn from, with its runs
    #[arg(long, value_name = "ID")]
    pub episode: Option<String>,
    /// Draft the next version of this runbook
    #[arg(long, value_name = "RUNBOOK")]
    pub replaces: Option<String>,
    /// Write its files into this new folder as well
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}
