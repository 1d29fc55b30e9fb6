//! Arguments of `plan` and `apply`.

use std::path::PathBuf;

use clap::Args;

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Name or unique prefix; or the path of a package, with a `/`, that is sent along and stored nowhere
    #[arg(value_name = "RUNBOOK|PATH")]
    pub runbook: String,
    /// A container, `host/container` or `host/project/service`, then labels of the alert
    #[arg(value_name = "TARGET|LABEL=VALUE")]
    pub words: Vec<String>,
    /// The alert it is for, or a message of alerts whose first is taken; `-` is stdin
    #[arg(long, value_name = "FILE|-", conflicts_with = "episode")]
    pub alert: Option<PathBuf>,
    /// The alert of that episode
    #[arg(long, value_name = "ID")]
    pub episode: Option<String>,
    /// Docker host by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Beginning of a version's digest [default: the version that runs]
    #[arg(long)]
    pub digest: Option<String>,
    /// A parameter of the runbook
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// What an effect is taken to answer, as JSON, `error:KIND:MESSAGE`, or a word: net.http-probe=fail, docker.exec=1
    #[arg(long, value_name = "EFFECT=RESULT")]
    pub assume: Vec<String>,
    /// Plan it as you would apply it: your word stands in for policies that permit
    #[arg(long)]
    pub to_apply: bool,
    /// Really send its messages, instead of only showing them
    #[arg(long)]
    pub notify: bool,
    /// End with code 7 when it would change something
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Id of a plan, or its unique beginning
    pub plan: String,
    /// Follow the run to its end
    #[arg(long)]
    pub watch: bool,
}
