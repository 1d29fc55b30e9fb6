//! Arguments of commands about versions and their signatures.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::author::EntryStage;

/// `versions`.
#[derive(Debug, Args)]
pub struct VersionsArgs {
    /// Name or unique prefix
    pub runbook: String,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A version the daemon has, or a package: a folder, .rhai, .wasm or tar; without @DIGEST the newest
    #[arg(value_name = "RUNBOOK[@DIGEST]|PATH")]
    pub from: String,
    /// The same, newer
    #[arg(value_name = "RUNBOOK[@DIGEST]|PATH")]
    pub to: String,
    /// End with code 7 when they differ
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Name or unique prefix; without @DIGEST the version in use
    #[arg(value_name = "RUNBOOK[@DIGEST]")]
    pub runbook: String,
    /// Where to; must not exist
    pub file: PathBuf,
}

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What `export` wrote, or any package as a file
    pub file: PathBuf,
    /// Where it enters; it acts only after `promote`
    #[arg(long, default_value = "shadow")]
    pub stage: EntryStage,
}

/// `sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// A package (the signature is written into the folder, or beside the file), or a version the daemon has
    #[arg(value_name = "PATH|RUNBOOK[@DIGEST]")]
    pub what: String,
    /// Secret key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// File with the key's password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `keys …`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key: FILE is secret, FILE.pub is for the daemon's configuration
    New {
        /// Where to; must not exist
        file: PathBuf,
        /// File with a password for it; without one the key has none
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// The number of a public key
    Show {
        /// Public key
        file: PathBuf,
    },
}
