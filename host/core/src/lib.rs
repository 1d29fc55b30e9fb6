//! Sandbook's pure heart. *A runbook never touches the world; it asks for an effect, and one function answers.*
//!
//! - [`effect`]: what can be asked for, one struct an effect, wrapped by one closed enum
//! - [`gate`]: the machine that decides what happens to an effect: bound, resolve, authorize, intend, drive, settle
//! - [`journal`]: what is recorded of a run, and which records may follow which
//! - [`recovery`]: how an intent without an outcome is settled by looking
//! - [`manifest`], [`duration`]: `runbook.toml`, and durations and rates as people write them
//! - [`alert`], [`matching`]: what arrives, and which runbook and target it means
//! - [`schedule`]: when cron fields are due, and what is made up for
//! - [`run`]: states, modes, outcomes and stages of runs and versions
//! - [`target`]: hosts, subjects and instances; [`depend`], [`stopped`]: who needs whom, and what somebody stopped
//! - [`similar`]: what incidents look like, and which are alike
//! - [`world`]: the simulated Docker world of plans, scenarios and the demo; its time is data
//! - [`code`]: error codes for people, each with a page
//!
//! Deliberately not here: anything that does I/O, reads a clock or draws a random number. `Cargo.toml` keeps the crates
//! out, `clippy.toml` the standard library. The daemon around it is the crate `sandbook`.
#![warn(missing_docs)]

pub mod alert;
pub mod code;
pub mod depend;
pub mod duration;
pub mod effect;
pub mod error;
pub mod gate;
pub mod journal;
pub mod manifest;
pub mod matching;
pub mod problem;
pub mod recovery;
pub mod run;
pub mod schedule;
pub mod service;
pub mod similar;
pub mod stopped;
pub mod target;
pub mod world;
