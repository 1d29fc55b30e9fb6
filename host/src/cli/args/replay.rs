//! Arguments of `replay` and `backtest`.

use std::path::PathBuf;

use clap::Args;

/// `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A run, or a file that `sandbook journal RUN --export FILE` wrote, which needs no daemon
    #[arg(value_name = "RUN|FILE")]
    pub of: String,
    /// With another stored version [default: the one that ran]
    #[arg(long, value_name = "NAME[@DIGEST]", conflicts_with = "path")]
    pub runbook: Option<String>,
    /// With a package that is stored nowhere
    #[arg(long, value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// `backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Name or unique prefix, with `@` and the beginning of a digest for one version; or the path of a package
    #[arg(value_name = "PATH|RUNBOOK")]
    pub runbook: String,
    /// How far back: 30d, or a time
    #[arg(long, default_value = "30d")]
    pub since: String,
}
