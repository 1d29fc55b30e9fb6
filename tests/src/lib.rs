//! Fixtures of the integration tests: real parts, started by the test that needs them and gone when it ends.
//!
//! - [`daemon`]: the real `sandbook` binary, its API and its command line
//! - [`docker`]: a Docker engine of its own, an image without any registry, containers that fall ill on request
//! - [`monitoring`]: real Prometheus and Alertmanager with the files shipped in `monitoring/`
//! - [`sshd`]: a real ssh server, the way to an engine elsewhere; [`certs`]: certificates of a test
//! - [`fake_docker`]: an engine at the wire, for faults no real one shows on request and for benches
//! - [`fake_openai`]: a model's server at the wire, scripted; [`fake_otlp`]: a collector of traces; [`fake_smtp`]: a mail
//!   server; [`receiver`]: whoever takes messages
//! - [`package`]: runbook packages, good and hostile; [`alert`]: messages as senders write them
//! - [`event_log`]: what an engine did, counted as it says so; [`mount`]: small disks; [`dice`]: chance with a seed
//! - [`http`], [`process`], [`wait`], `warm`: what those are made of
//!
//! A missing part fails its test and says what to install; nothing is ever skipped. Deliberately not here: the daemon's
//! library. A test that needs its insides belongs beside them.

pub mod agent;
pub mod alert;
pub mod browser;
pub mod certs;
pub mod daemon;
pub mod dice;
pub mod docker;
pub mod event_log;
pub mod fake_docker;
pub mod fake_openai;
pub mod fake_otlp;
pub mod fake_smtp;
pub mod http;
pub mod monitoring;
pub mod mount;
pub mod package;
pub mod process;
pub mod receiver;
pub mod relay;
pub mod sshd;
pub mod wait;
pub mod warm;
mod wire;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the tests are a folder of the repository").to_owned()
}

/// Says something that is seen even when the test passes: the harness captures only what `println!` writes.
pub fn announce(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "    {line}");
}
