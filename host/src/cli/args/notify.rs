//! Arguments of `notify` and `digest`.

use clap::{Args, Subcommand};

/// `notify …`.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a message that says that it is a test, and print what the receiver answered
    Test {
        /// Name under [notify.channels]
        channel: String,
    },
}

/// `digest`.
#[derive(Debug, Args)]
pub struct DigestArgs {
    /// From when: a duration back or a time
    #[arg(long, value_name = "7d|TIME", default_value = "7d")]
    pub since: String,
}
