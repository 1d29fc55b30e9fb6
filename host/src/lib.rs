//! The daemon and the command line around the pure core.
//!
//! Direction: guest → perform (in [`runner`]) → gate, journal and driver; api → runner; app → everything. Never guest →
//! driver, guest → store, api → guest, anything → app but the command line. A test holds this.

pub mod about_us;
pub mod api;
pub mod app;
pub mod auth;
pub mod backtest;
pub mod catch_up;
pub mod cli;
pub mod clock;
pub mod config;
pub mod digest;
pub mod draft;
pub mod driver;
pub mod explain;
pub mod guest;
pub mod intake;
pub mod library;
pub mod listen;
pub mod llm;
pub mod mcp;
pub mod metrics;
pub mod otel;
pub mod outbox;
pub mod plan;
pub mod policy;
pub mod reference;
pub mod replay;
pub mod runner;
pub mod scenario;
pub mod schedules;
pub mod sdk;
pub mod seldom;
pub mod silences;
pub mod similar;
pub mod state;
pub mod store;
pub mod telemetry;
pub mod trust;
pub mod watcher;
