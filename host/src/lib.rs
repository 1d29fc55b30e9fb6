//! x

pub mod policy;
pub mod config;
pub mod guest;
pub mod store;
pub mod driver;
pub mod watcher;
pub mod clock;
pub mod intake;
pub mod metrics;
pub mod runner;
