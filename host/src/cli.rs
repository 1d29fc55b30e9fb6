//! The command line: every command a person or script types, as a client of the daemon's API or on files at hand.
//!
//! - `args`: commands, arguments and help as data; [`reference`] is generated from it
//! - `client`, `exit`: how a daemon is reached, and how answers become exit codes
//! - `status`, `look`, `runs`, `rules`, `brakes`, `grants`, `act`, `plan`, `watch`: commands that talk to a daemon
//! - `author`, `local`: commands that need none
//! - [`timeline`]: a run as a person reads it, also for the demo
//! - `screen`, `text`, `diagnostics`: how things look; whatever strangers wrote is made harmless on the way
//!
//! Deliberately not here: decisions. What the daemon refuses is refused, and the CLI only says so well. Commands that do
//! not work yet are not listed.

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser as _};

mod act;
mod args;
mod author;
mod backtest;
mod brakes;
pub(crate) mod client;
pub(crate) mod diagnostics;
mod difference;
mod drafts;
mod drift;
mod exit;
mod explain;
mod grants;
mod inspect;
mod local;
mod look;
mod mcp;
mod notify;
mod plan;
mod reference;
mod replay;
mod rules;
mod runs;
mod schedules;
mod screen;
mod sign;
mod similar;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub mod timeline;
mod versions;
mod watch;

pub use args::{Cli, Command};
pub use exit::{Exit, Failure};
pub use reference::reference;
pub use screen::{Ink, Screen};
pub use text::clean;

use client::Client;

impl Cli {
    /// The process's own command line. Wrong words are explained and end the process with code 2.
    pub fn from_process() -> Cli {
        Cli::parse()
    }

    /// Whether the command runs runbooks or serves, and so wants every core.
    pub fn wants_threads(&self) -> bool {
        matches!(self.command, Command::Serve | Command::Demo(_))
    }

    /// Does what was typed.
    pub async fn execute(self) -> ExitCode {
        let screen = Screen::new(self.global.json);
        match self.dispatch(&screen).await {
            Ok(code) => code,
            Err(failure) => {
                failure.report(&screen);
                failure.exit.code()
            }
        }
    }

    async fn dispatch(self, screen: &Screen) -> Result<ExitCode, Failure> {
        match &self.command {
            Command::Serve => return Ok(Box::pin(serve(&self)).await?),
            Command::Demo(args) => return Ok(Box::pin(demo(args, screen)).await?),
            _ => {}
        }
        let exit = match self.without_daemon(screen).await {
            Some(exit) => exit?,
            None => Box::pin(self.with_daemon(screen)).await?,
        };
        Ok(exit.code())
    }

    /// Commands on files at hand.
    async fn without_daemon(&self, screen: &Screen) -> Option<Result<Exit, Failure>> {
        Some(match &self.command {
            Command::New(args) => author::new(screen, args),
            Command::Build(args) => Box::pin(author::build(screen, args)).await,
            Command::Check(args) if !args.daemon => Box::pin(author::check(None, screen, args)).await,
            Command::Dev(args) if args.alert.is_none() => Box::pin(author::dev(None, screen, args)).await,
            Command::Test(args) if args.from_run.is_none() => Box::pin(author::test(screen, args)).await,
            Command::Inspect(args) => Box::pin(inspect::inspect(&self.global, screen, args)).await,
            Command::Sign(args) => sign::sign(&self.global, screen, args).await,
            Command::Keys(command) => sign::keys(screen, command),
            Command::Effects(args) => local::effects(screen, args),
            Command::Explain(args) if args.run.is_none() => local::explain(screen, args),
            Command::Config(command) => local::config(screen, &self.global, command),
            Command::Policy(command) => local::policy(screen, &self.global, command),
            Command::Completions(args) => Ok(local::completions(screen, args)),
            Command::Replay(args) if replay::is_file(args) => Box::pin(replay::of_file(screen, args)).await,
            _ => return None,
        })
    }

    /// Commands that talk to a daemon.
    async fn with_daemon(&self, screen: &Screen) -> Result<Exit, Failure> {
        let client = &Client::new(&self.global)?;
        match &self.command {
            Command::Status => status::status(client, screen).await,
            Command::Health => status::health(client, screen).await,
            Command::Alerts(args) => look::alerts(client, screen, args).await,
            Command::Runbooks(args) => look::runbooks(client, screen, args).await,
            Command::Schedules(args) => schedules::schedules(client, screen, args).await,
            Command::Targets => look::targets(client, screen).await,
            Command::Push(args) => author::push(client, screen, args).await,
            Command::Check(args) => Box::pin(author::check(Some(client), screen, args)).await,
            Command::Dev(args) => Box::pin(author::dev(Some(client), screen, args)).await,
            Command::Test(args) => {
                let run = args.from_run.as_deref().unwrap_or_default();
                Box::pin(author::from_run(client, screen, args, run)).await
            }
            Command::Promote(args) => act::promote(client, screen, args).await,
            Command::Demote(args) => act::demote(client, screen, args).await,
            Command::Rollback(args) => versions::rollback(client, screen, args).await,
            Command::Versions(args) => versions::versions(client, screen, args).await,
            Command::Diff(args) => Box::pin(versions::diff(client, screen, args)).await,
            Command::Export(args) => versions::export(client, screen, args).await,
            Command::Import(args) => versions::import(client, screen, args).await,
            Command::Grant(args) => grants::grant(client, screen, args).await,
            Command::Grants(args) => grants::grants(client, screen, args).await,
            Command::Match(args) => act::matching(client, screen, args).await,
            Command::Plan(args) => plan::plan(client, screen, args).await,
            Command::Apply(args) => plan::apply(client, screen, args).await,
            Command::Run(args) => act::run(client, screen, args).await,
            Command::Runs(args) => runs::runs(client, screen, args).await,
            Command::Show(args) => runs::show(client, screen, args).await,
            Command::Journal(args) => runs::journal(client, screen, args).await,
            Command::Explain(args) => explain::run(client, screen, args).await,
            Command::Ask(args) => drafts::ask(client, screen, args).await,
            Command::Generate(args) => drafts::generate(client, screen, args).await,
            Command::Report(args) => explain::report(client, screen, args).await,
            Command::Replay(args) => replay::of_run(client, screen, args).await,
            Command::Backtest(args) => backtest::backtest(client, screen, args).await,
            Command::Watch(args) => watch::watch(client, screen, args).await,
            Command::Cancel(args) => act::cancel(client, screen, args).await,
            Command::Resume(args) => act::resume(client, screen, args).await,
            Command::Approvals => rules::approvals(client, screen).await,
            Command::Approve(args) => act::approve(client, screen, args).await,
            Command::Deny(args) => act::deny(client, screen, args).await,
            Command::Pause(args) => act::pause(client, screen, args).await,
            Command::Pauses(args) => act::pauses(client, screen, args).await,
            Command::StopAll(args) => act::stop_all(client, screen, args).await,
            Command::Drift => drift::drift(client, screen).await,
            Command::Brakes => brakes::brakes(client, screen).await,
            Command::Rearm(args) => brakes::rearm(client, screen, args).await,
            Command::Audit(args) => rules::audit(client, screen, args).await,
            Command::Notify(command) => notify::notify(client, screen, command).await,
            Command::Digest(args) => notify::digest(client, screen, args).await,
            Command::Backup(args) => act::backup(client, screen, args).await,
            Command::Mcp => Box::pin(mcp::serve(Client::new(&self.global)?)).await,
            Command::Serve
            | Command::Demo(_)
            | Command::New(_)
            | Command::Build(_)
            | Command::Inspect(_)
            | Command::Sign(_)
            | Command::Keys(_)
            | Command::Effects(_)
            | Command::Config(_)
            | Command::Policy(_)
            | Command::Completions(_)
            | Command::CompileComponent => Err(Failure::failed("this command talks to no daemon", "")),
        }
    }
}

async fn serve(cli: &Cli) -> Result<ExitCode> {
    crate::app::serve(crate::app::ServeOptions { config: cli.global.config.clone() }).await
}

async fn demo(args: &args::DemoArgs, screen: &Screen) -> Result<ExitCode> {
    let options = crate::app::DemoOptions {
        docker: args.docker,
        image: args.image.clone(),
        endpoint: args.endpoint.clone(),
        exit: args.exit,
        json: screen.json,
        color: screen.ink.color,
    };
    crate::app::demo(options).await
}

/// The definitions, for completions, the reference and tests.
pub fn definitions() -> clap::Command {
    Cli::command()
}
