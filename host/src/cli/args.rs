//! The command line as data: every command, its arguments, and the words of its help.
//!
//! Doc comments are the help texts and, through [`super::reference`], the reference in `docs/reference/cli.md`.
//! Deliberately not here: doing anything, and commands that do not exist yet.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sandbook_core::duration::Rate;

use super::author::{BuildArgs, CheckArgs, DevArgs, NewArgs, PushArgs, TestArgs};
use super::inspect::InspectArgs;

mod drafts;
mod hold;
mod notify;
mod plan;
mod replay;
mod runs;
mod versions;

pub(super) use drafts::{AskArgs, GenerateArgs};
pub(super) use hold::{ApproveArgs, DecideArgs, PauseArgs, PausesArgs, RearmArgs, StopAllArgs};
pub(super) use notify::{DigestArgs, NotifyCommand};
pub(super) use plan::{ApplyArgs, PlanArgs};
pub(super) use replay::{BacktestArgs, ReplayArgs};
pub(super) use runs::{CancelArgs, JournalArgs, ReportArgs, ResumeArgs, RunArgs, RunsArgs, ShowArgs, WatchArgs};
pub(super) use versions::{DiffArgs, ExportArgs, ImportArgs, KeysCommand, SignArgs, VersionsArgs};

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failed, 2 usage, 3 refused, 4 diverged, 5 would ask, 6 daemon unreachable,
7 would change (with --detailed-exitcode).

Start here:
  sandbook demo --exit                     see a container being healed, nothing installed or touched
  sandbook serve                           the daemon on 127.0.0.1:7070
  sandbook config alertmanager             the receiver to paste into alertmanager.yml
  sandbook status                          what is going on, and what to do next";

/// A runbook engine an on-call engineer can trust with the Docker socket.
///
/// The daemon takes alerts, picks a runbook and runs it in a sandbox. A runbook never touches the world: it asks for an
/// effect, and policy, brakes and stages decide.
#[derive(Debug, Parser)]
#[command(name = "sandbook", version, max_term_width = 100, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub global: Global,
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Print JSON instead of words
    #[arg(long, global = true)]
    pub json: bool,
    /// Configuration file of the daemon; commands that talk to it find its address and token with it
    #[arg(long, global = true, value_name = "FILE", env = "SANDBOOK_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Address of the daemon [default: http://127.0.0.1:7070, or what the configuration says]
    #[arg(long, global = true, value_name = "URL", env = "SANDBOOK_SERVER", hide_env_values = true)]
    pub server: Option<String>,
    /// Token [default: the file `admin-token` of the local data directory]
    #[arg(long, global = true, value_name = "TOKEN", env = "SANDBOOK_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// CA of the daemon's certificate, where the system does not know it
    #[arg(long, global = true, value_name = "FILE", env = "SANDBOOK_CA", hide_env_values = true)]
    pub ca: Option<PathBuf>,
    /// Certificate to show, where the daemon wants one of its clients
    #[arg(long, global = true, value_name = "FILE", env = "SANDBOOK_CERT", hide_env_values = true)]
    pub client_cert: Option<PathBuf>,
    /// Private key of --client-cert
    #[arg(long, global = true, value_name = "FILE", env = "SANDBOOK_KEY", hide_env_values = true)]
    pub client_key: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    ///
    /// Without a configuration it listens on 127.0.0.1:7070, keeps its data in ./sandbook-data, uses the local Docker
    /// socket and has the built-in runbooks in stage shadow: they see every alert and change nothing.
    #[command(after_help = "Examples:\n  sandbook serve\n  sandbook serve --config sandbook.toml")]
    Serve,
    /// See an alert being handled: a sick container, a runbook, the heal, the timeline
    #[command(after_help = "Examples:\n  sandbook demo --exit\n  sandbook demo --docker")]
    Demo(DemoArgs),
    /// What is going on, and the next sensible step
    Status,
    /// Whether the daemon answers: for health checks of containers and services, needs no token
    #[command(after_help = "Examples:\n  sandbook health\n  sandbook health --server http://127.0.0.1:7070")]
    Health,
    /// Alerts that arrived, what they matched, or why nothing did
    Alerts(AlertsArgs),
    /// Runbooks with stage, success rate and what they ask for
    Runbooks(RunbooksArgs),
    /// What is due when: schedules with their next and last time, and why nothing is started where nothing is
    #[command(after_help = "Examples:\n  sandbook schedules\n  sandbook schedules nightly-report --next 5")]
    Schedules(SchedulesArgs),
    /// What the daemon can see: hosts and containers a runbook can be about
    Targets,
    /// Start a runbook: a folder that passes `check` as it is
    #[command(after_help = "Examples:\n  sandbook new restart-predictor\n  sandbook new clean-queue --lang python")]
    New(NewArgs),
    /// Build a package's sources into main.wasm, its manifest inside; name or install what is missing
    #[command(after_help = "Examples:\n  sandbook build ./clean-queue\n  sandbook build ./clean-queue --install")]
    Build(BuildArgs),
    /// Find every mistake in a package, without running it and without a daemon
    #[command(
        after_help = "Examples:\n  sandbook check ./restart-predictor\n  sandbook check one-file.rhai --json\n  \
                            sandbook check ./restart-predictor --policy ./policy"
    )]
    Check(CheckArgs),
    /// Play a package's scenarios in a simulated world, without a daemon, and say what is not as expected
    #[command(after_help = "Examples:\n  sandbook test ./restart-predictor\n  sandbook test runbooks --json\n  \
                            sandbook test ./restart-predictor --scenario heals --update\n  \
                            sandbook test ./restart-predictor --from-run last")]
    Test(TestArgs),
    /// Build, check and rehearse a package again on every save
    #[command(
        after_help = "Examples:\n  sandbook dev ./restart-predictor\n  sandbook dev ./restart-predictor --scenario heals\n  \
                            sandbook dev ./restart-predictor --alert alert.json"
    )]
    Dev(DevArgs),
    /// State a package's maximum power before it is installed: what it can read, change and send, what it cannot, and
    /// whose signature it carries
    #[command(after_help = "Examples:\n  sandbook inspect nightly-report.tar\n  \
                            sandbook inspect ./restart-predictor --trust dana.pub")]
    Inspect(InspectArgs),
    /// What differs between two versions: what can be done newly and no longer, the manifest, the code
    #[command(after_help = "Examples:\n  sandbook diff restart-unhealthy@1f3a restart-unhealthy@9c0d\n  \
                            sandbook diff restart-unhealthy ./restart-unhealthy")]
    Diff(DiffArgs),
    /// Versions of a runbook with their signatures, and the stages they had
    #[command(after_help = "Example:\n  sandbook versions restart-unhealthy")]
    Versions(VersionsArgs),
    /// Write a version's package with its signature into a file
    #[command(after_help = "Example:\n  sandbook export restart-unhealthy@1f3a restart-unhealthy.tar")]
    Export(ExportArgs),
    /// Upload a package from a file that was exported; it enters stage shadow
    #[command(
        after_help = "Examples:\n  sandbook inspect restart-unhealthy.tar\n  sandbook import restart-unhealthy.tar"
    )]
    Import(ImportArgs),
    /// Sign a package, or a version the daemon has, with a key in minisign's format
    #[command(after_help = "Examples:\n  sandbook sign ./restart-predictor --key dana\n  \
                            sandbook sign restart-unhealthy@1f3a --key dana\n\n\
                            The same with minisign itself, over the line with the digest:\n  \
                            sandbook inspect ./restart-predictor --json | jq -r .digest > digest\n  \
                            minisign -S -s dana -m digest -x ./restart-predictor/runbook.minisig")]
    Sign(SignArgs),
    /// Make and show keys that sign packages
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Upload a package; it enters stage shadow
    #[command(
        after_help = "Examples:\n  sandbook push ./restart-predictor\n  sandbook push one-file.rhai --stage draft"
    )]
    Push(PushArgs),
    /// Trust a version with more: shadow, ask, live
    #[command(after_help = "Examples:\n  sandbook promote restart-unhealthy ask --reason 'first week'\n  \
                            sandbook promote restart-unhealthy@sha256:1f3a live --reason 'worked in shadow for a week'")]
    Promote(PromoteArgs),
    /// Trust a runbook with less; shadow unless said otherwise
    Demote(DemoteArgs),
    /// Let the version act again that acted before; the one in use only watches then
    Rollback(RollbackArgs),
    /// Permit one effect of one runbook on what is named, and nothing more
    #[command(
        after_help = "Examples:\n  sandbook grant restart-unhealthy docker.restart-container --container 'web-*' --limit 3/1h\n  \
                            sandbook grant restart-unhealthy docker.restart-container --service shop/cart --ask"
    )]
    Grant(GrantArgs),
    /// What each runbook may do; or take one of them away
    #[command(after_help = "Examples:\n  sandbook grants restart-unhealthy\n  \
                            sandbook grants --remove 'restart-unhealthy/docker.restart-container/container=web-*'")]
    Grants(GrantsArgs),
    /// Which runbook and target an alert means, why, and why not the others
    #[command(
        override_usage = "sandbook match LABEL=VALUE…\n       sandbook match --alert FILE|-",
        after_help = "Examples:\n  sandbook match alertname=ContainerUnhealthy name=web-1\n  \
                            sandbook match --alert alert.json\n  amtool alert query -o json | sandbook match --alert -"
    )]
    Match(MatchArgs),
    /// What a runbook would do on the real world now: reads are real, nothing is changed
    ///
    /// Signs: `~` it would change, `?` it would ask a person, `!` it would be refused, `>` it would send a message. What
    /// nobody can know after a change is assumed, and the plan says so.
    #[command(
        override_usage = "sandbook plan [OPTIONS] RUNBOOK|PATH [TARGET] [LABEL=VALUE…]",
        after_help = "Examples:\n  sandbook plan restart-unhealthy web-1\n  \
                            sandbook plan ./restart-predictor web-1 --to-apply\n  \
                            sandbook plan restart-unhealthy --episode e_01jd8z0q\n  \
                            sandbook plan check-shop web-1 --assume net.http-probe=fail"
    )]
    Plan(PlanArgs),
    /// Turn a sentence into a plan, a question or a refusal; nothing is done
    ///
    /// A model drafts it, the engine decides: what the sentence does not say is not done. Needs [llm].
    #[command(after_help = "Examples:\n  sandbook ask \"restart the market predictor if it is unhealthy\"\n  \
                            sandbook ask show me the last log lines of cart")]
    Ask(AskArgs),
    /// Draft a runbook from a description, a page people follow by hand, or an incident
    ///
    /// The draft is compiled, checked, played in its scenarios and planned; it acts only after a person promoted its digest.
    /// Needs [llm].
    #[command(after_help = "Examples:\n  sandbook generate \"restart the worker when its queue stops moving\"\n  \
                            sandbook generate --from-file docs/worker.md\n  sandbook generate --from-run last")]
    Generate(GenerateArgs),
    /// Let a run do what a plan says, and nothing else
    #[command(after_help = "Examples:\n  sandbook apply p_01jd8z0q\n  sandbook apply p_01jd8z0q --watch")]
    Apply(ApplyArgs),
    /// Start a run by hand
    #[command(after_help = "Examples:\n  sandbook run restart-unhealthy web-1\n  \
                            sandbook run restart-unhealthy web-1 grace=30s --watch")]
    Run(RunArgs),
    /// Runs, newest first
    #[command(
        after_help = "Examples:\n  sandbook runs\n  sandbook runs --state needs-attention\n  sandbook runs --since 1d --target web-1"
    )]
    Runs(RunsArgs),
    /// What happened in a run, why, and what next
    #[command(after_help = "Examples:\n  sandbook show last\n  sandbook show last --full")]
    Show(ShowArgs),
    /// A run's records as they are kept
    #[command(after_help = "Examples:\n  sandbook journal last\n  sandbook journal last --export run.json")]
    Journal(JournalArgs),
    /// Execute a run again from its journal alone
    #[command(
        after_help = "Examples:\n  sandbook replay last\n  sandbook replay run.json\n  sandbook replay r_01jd8z0q --path ./restart-unhealthy"
    )]
    Replay(ReplayArgs),
    /// What a draft would have done about the alerts of the last days
    #[command(
        after_help = "Examples:\n  sandbook backtest ./restart-unhealthy --since 30d\n  sandbook backtest restart-unhealthy@3f2a"
    )]
    Backtest(BacktestArgs),
    /// Follow a run, or everything
    Watch(WatchArgs),
    /// End a run
    Cancel(CancelArgs),
    /// Settle a run that needs attention: whether its last change happened
    Resume(ResumeArgs),
    /// Questions that wait for a person
    Approvals,
    /// Let a run do what it asks for, or answer its question
    Approve(ApproveArgs),
    /// Refuse what a run asks for
    Deny(DecideArgs),
    /// Keep runbooks from acting on something for a while
    #[command(
        after_help = "A selector is a target's name, or runbook=…, target=…, host=… with `*`, joined by commas; `all` is everything.\n\n\
                            Examples:\n  sandbook pause 'web-*' --for 30m --reason 'deploy'\n  \
                            sandbook pause host=db1,runbook=restart-* --for 2h --reason 'maintenance'"
    )]
    Pause(PauseArgs),
    /// Pauses in force
    Pauses(PausesArgs),
    /// Keep every runbook from changing anything, at once
    #[command(
        after_help = "Examples:\n  sandbook stop-all --reason 'something is wrong'\n  sandbook stop-all --release"
    )]
    StopAll(StopAllArgs),
    /// What runs changed that compose files do not know
    Drift,
    /// Brakes: what tripped, and what was attempted how often
    Brakes,
    /// Let what a tripped brake holds back go on, once the cause is found
    #[command(after_help = "Example:\n  sandbook rearm t_01jd8z0q --reason 'the disk was full, it has room again'")]
    Rearm(RearmArgs),
    /// Every effect a runbook can ask for
    #[command(after_help = "Examples:\n  sandbook effects\n  sandbook effects docker.restart-container")]
    Effects(EffectsArgs),
    /// What an error code means and what to do; or what happened in a run, in prose
    #[command(
        override_usage = "sandbook explain CODE\n       sandbook explain run RUN",
        after_help = "Examples:\n  sandbook explain SB0206\n  sandbook explain run last"
    )]
    Explain(ExplainArgs),
    /// A run as a report for a ticket, in Markdown
    #[command(after_help = "Examples:\n  sandbook report last\n  sandbook report r_01jd8z0q > incident.md")]
    Report(ReportArgs),
    /// Check and print the configuration, and what other programs need
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check the operator's policy
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Who did what: uploads, grants, stages, approvals, stops
    Audit(AuditArgs),
    /// Try a channel of [notify]
    #[command(subcommand, after_help = "Example:\n  sandbook notify test ops")]
    Notify(NotifyCommand),
    /// What the last days were like: shadow, people, success rates, noise, and what to promote
    #[command(after_help = "Example:\n  sandbook digest --since 7d")]
    Digest(DigestArgs),
    /// Copy the daemon's database into a file, while it runs
    Backup(BackupArgs),
    /// Offer the daemon's tools to an agent, over standard input and output
    ///
    /// Speaks the Model Context Protocol. Give the agent a token of its own with `agent = true`: it looks, plans and
    /// proposes; people approve and promote.
    #[command(
        after_help = "Example, as an agent's configuration has it:\n  {\"command\": \"sandbook\", \"args\": [\"mcp\"], \"env\": {\"SANDBOOK_SERVER\": \"…\", \"SANDBOOK_TOKEN\": \"…\"}}"
    )]
    Mcp,
    /// Completions for a shell
    #[command(after_help = "Example:\n  source <(sandbook completions bash)")]
    Completions(CompletionsArgs),
    /// Compile a component from stdin to stdout, within limits
    #[command(hide = true)]
    CompileComponent,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// On the real Docker engine, with a throw-away container of its own
    #[arg(long)]
    pub docker: bool,
    /// With --docker: the container's image; needs a shell
    #[arg(long, value_name = "IMAGE", requires = "docker")]
    pub image: Option<String>,
    /// With --docker: where the engine listens; else DOCKER_HOST, else unix:///var/run/docker.sock
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    pub endpoint: Option<String>,
    /// End after the timeline instead of serving until Ctrl-C
    #[arg(long)]
    pub exit: bool,
}

/// `alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Only those that still fire
    #[arg(long)]
    pub open: bool,
    /// Only since then: a duration back or a time
    #[arg(long, value_name = "1d|TIME")]
    pub since: Option<String>,
    /// How many at the most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// `runbooks`.
#[derive(Debug, Args)]
pub struct RunbooksArgs {
    /// One runbook in detail, with its versions
    pub runbook: Option<String>,
}

/// `schedules`.
#[derive(Debug, Args)]
pub struct SchedulesArgs {
    /// Only of this runbook, also what no version has any more
    pub runbook: Option<String>,
    /// How many coming times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub next: u32,
}

/// `promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// Name or unique prefix, with @DIGEST for another version than the newest
    #[arg(value_name = "RUNBOOK[@DIGEST]")]
    pub runbook: String,
    /// How far it is trusted
    pub stage: StageWord,
    /// Why; it stands in the audit
    #[arg(long)]
    pub reason: String,
}

/// A stage a person can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StageWord {
    /// Only plan and simulate
    Draft,
    /// Sees every alert, never acts
    Shadow,
    /// Acts, but every change asks a person
    Ask,
    /// Acts as policy permits
    Live,
}

impl StageWord {
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            StageWord::Draft => "draft",
            StageWord::Shadow => "shadow",
            StageWord::Ask => "ask",
            StageWord::Live => "live",
        }
    }
}

/// `demote`.
#[derive(Debug, Args)]
pub struct DemoteArgs {
    /// Name or unique prefix
    #[arg(value_name = "RUNBOOK[@DIGEST]")]
    pub runbook: String,
    /// How far it is still trusted
    #[arg(default_value = "shadow")]
    pub stage: StageWord,
    /// Why; it stands in the audit
    #[arg(long, default_value = "demoted by hand")]
    pub reason: String,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Name or unique prefix
    pub runbook: String,
    /// Why; it stands in the audit
    #[arg(long, default_value = "rolled back by hand")]
    pub reason: String,
}

/// `grant`.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// Name or unique prefix
    pub runbook: String,
    /// Which, such as docker.restart-container
    pub effect: String,
    /// Name of a container; `*` stands for any characters
    #[arg(long, value_name = "GLOB")]
    pub container: Option<String>,
    /// Compose service
    #[arg(long, value_name = "PROJECT/NAME")]
    pub service: Option<String>,
    /// Docker host by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// At most so often
    #[arg(long, value_name = "3/1h")]
    pub limit: Option<Rate>,
    /// Ask a person each time
    #[arg(long)]
    pub ask: bool,
}

/// `grants`.
#[derive(Debug, Args)]
pub struct GrantsArgs {
    /// Only of this runbook
    pub runbook: Option<String>,
    /// Take away the grant of this id; what a person wrote by hand stays
    #[arg(long, value_name = "ID", conflicts_with = "runbook")]
    pub remove: Option<String>,
}

/// `match`.
#[derive(Debug, Args)]
pub struct MatchArgs {
    /// Labels of an alert; these or --alert
    #[arg(value_name = "LABEL=VALUE")]
    pub labels: Vec<String>,
    /// An alert, or a message of alerts whose first is taken; `-` is stdin
    #[arg(long, value_name = "FILE|-", conflicts_with = "labels")]
    pub alert: Option<PathBuf>,
}

/// `effects`.
#[derive(Debug, Args)]
pub struct EffectsArgs {
    /// One effect in detail
    pub effect: Option<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Such as SB0206; or the word `run`
    #[arg(value_name = "CODE|run")]
    pub code: String,
    /// After the word `run`: which; `last` is the newest
    pub run: Option<String>,
    /// Let the model reword it; what does not keep its records stays plain
    #[arg(long, requires = "run")]
    pub reword: bool,
}

/// `config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Find every mistake in the configuration, and files it names that cannot be read, without starting anything
    Check,
    /// The configuration in force: file, environment and defaults
    Print,
    /// The receiver to paste into alertmanager.yml
    Alertmanager,
    /// Every key with its meaning and default
    Reference,
}

/// `policy …`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Find every mistake in *.cedar files
    Check {
        /// Directories [default: those of the configuration]
        dirs: Vec<PathBuf>,
    },
    /// The Cedar schema policies are validated against, for editors
    Schema,
}

/// `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only since then: a duration back or a time
    #[arg(long, value_name = "90d|TIME", default_value = "90d")]
    pub since: String,
    /// Compute the hash of every line again, however many there are
    #[arg(long)]
    pub verify: bool,
}

/// `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where to; must not exist
    pub file: PathBuf,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which
    pub shell: clap_complete::Shell,
}
