//! The configuration: one TOML file, overridden by `SANDBOOK_SECTION__KEY`, checked as a whole before anything starts.
//!
//! Every mistake is reported at once with file, line, column and a way out; an unknown key is an error, because a
//! misspelt brake would be no brake. Secrets are only named by file (`*_file`), so the whole of it can be shown.
//! Relative paths count from the file; those in variables from the working directory. Of variables that are not ours only
//! [`OTEL_ENDPOINT`] is read.
//!
//! Deliberately not here: reading the files that are named (secrets, policies, packages), and reloading: a change of the
//! configuration is a restart, which loses nothing.

use std::path::{Path, PathBuf};

use sandbook_core::problem::Problem;

mod check;
mod drafts;
mod files;
mod llm;
mod notify;
mod otel;
mod print;
mod sections;
mod server;
mod shape;
mod stage;
#[cfg(test)]
mod tests;
mod tree;

pub use drafts::{CONTAINERS_MAX, Context, Drafts, ROUNDS_MAX, Trusted};
pub use llm::{Llm, LlmBudget, LlmDay, LlmHour, LlmPrice, LlmRun};
pub use notify::{Channel, ChannelKind, DigestConfig, Grafana, Happening, Loudness, MailTls, Notify, NotifyRoute};
pub use otel::Otel;
pub use print::{alertmanager_receiver, reference};
pub use sections::*;
pub use server::Server;
pub use stage::StagePin;

/// The file cannot be read.
pub const UNREADABLE: &str = "SB0401";
/// It is not TOML.
pub const SYNTAX: &str = "SB0402";
/// A key is unknown.
pub const UNKNOWN_KEY: &str = "SB0403";
/// A value has the wrong type or form.
pub const BAD_VALUE: &str = "SB0404";
/// A key is missing.
pub const MISSING_KEY: &str = "SB0405";
/// A secret stands where everyone can read it.
pub const INLINE_SECRET: &str = "SB0406";
/// An environment variable is wrong.
pub const ENVIRONMENT: &str = "SB0407";
/// Without authentication on the network.
pub const OPEN: &str = "SB0408";
/// Something is named that is not configured.
pub const UNKNOWN_NAME: &str = "SB0409";
/// Not supported yet.
pub const UNSUPPORTED: &str = "SB0410";
/// Out of range.
pub const RANGE: &str = "SB0411";
/// The same twice.
pub const DUPLICATE: &str = "SB0412";
/// Valid, but probably not what was meant.
pub const SUSPECT: &str = "SB0413";

/// Bytes of a configuration file at the most: a thousand routes have a tenth of it.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
/// Runs executing at once at the most: the sandbox has instances for so many, and some to spare for checks.
pub const WORKERS_MAX: u32 = 200;
/// Queued runs at the most.
pub const QUEUE_MAX: u32 = 1_000_000;
/// Rates of one brake at the most: each is counted at every change.
pub const RATES_MAX: usize = 8;
/// Routes at the most: each alert is compared with all of them.
pub const ROUTES_MAX: usize = 1_000;
/// The shortest retention: shorter would remove runs whose verification is still open.
pub const RETENTION_MS_MIN: u64 = 3_600_000;
/// Variables beginning so override keys.
pub const ENV_PREFIX: &str = "SANDBOOK_";
/// Variables of the command line, ignored here. Those beginning with `SANDBOOK_TEST` are ignored as well.
pub const ENV_RESERVED: [&str; 7] = [
    "SANDBOOK_SERVER",
    "SANDBOOK_TOKEN",
    "SANDBOOK_CONFIG",
    "SANDBOOK_LOG",
    "SANDBOOK_CA",
    "SANDBOOK_CERT",
    "SANDBOOK_KEY",
];

/// The one variable of another family that is read: OpenTelemetry's base URL of a collector, where `[otel]` names none.
pub const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Says `true`: then that one is not read.
pub const OTEL_DISABLED: &str = "OTEL_SDK_DISABLED";
/// Not read, and that is said: headers hold secrets.
pub const OTEL_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Not read, and that is said where it names another than ours.
pub const OTEL_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

/// Name of the Docker host when none is configured.
pub const LOCAL_HOST: &str = "local";
/// Its endpoint.
pub const LOCAL_ENDPOINT: &str = "unix:///var/run/docker.sock";

/// The effective configuration: file, variables and defaults, checked. Its fields are those of [`Sections`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Everything that is configured.
    pub sections: Sections,
    /// Where it was read from; absent: nowhere.
    pub file: Option<PathBuf>,
    /// What is valid but probably not what was meant.
    pub warnings: Vec<Problem>,
}

impl std::ops::Deref for Config {
    type Target = Sections;

    fn deref(&self) -> &Sections {
        &self.sections
    }
}

impl Default for Config {
    fn default() -> Self {
        let mut sections = Sections::default();
        sections.complete();
        Config { sections, file: None, warnings: Vec::new() }
    }
}

impl Config {
    /// Reads the file (absent: only defaults) and the variables. Every problem at once, or a sound configuration.
    pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Config, Vec<Problem>> {
        let text = match path {
            Some(path) => tree::read_file(path)?,
            None => String::new(),
        };
        Config::from_text(&text, path, env)
    }

    /// The same from a text at hand; `file` is quoted, and relative paths count from its directory.
    pub fn from_text(
        text: &str,
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, Vec<Problem>> {
        let tree = tree::Tree::read(text, file, env)?;
        let mut sections = tree.sections().map_err(|misfits| check::beside(misfits, &tree))?;
        sections.complete();
        let warnings = check::check(&sections, &tree)?;
        Ok(Config { sections, file: file.map(Path::to_path_buf), warnings })
    }

    /// Where people reach the daemon, without a slash at the end.
    pub fn public_url(&self) -> String {
        let scheme = if self.sections.tls.cert_file.is_some() { "https" } else { "http" };
        let own = || format!("{scheme}://{}", self.sections.listen);
        self.sections.public_url.as_ref().map_or_else(own, |url| url.trim_end_matches('/').to_owned())
    }

    /// Where it really listens, once that is known.
    pub fn listen_on(&mut self, address: std::net::SocketAddr) {
        self.sections.listen = address;
    }

    /// The effective configuration as TOML that can be loaded again. It holds no secrets, because none can be in it.
    pub fn to_toml(&self) -> String {
        print::to_toml(&self.sections)
    }
}
