//! x

pub mod policy;
pub mod guest;
pub mod store;
pub mod driver;
pub mod watcher;
