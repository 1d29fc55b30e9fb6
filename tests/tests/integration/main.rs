//! The one integration binary: the real `sandbook` against real parts, hostile guests and bad input.
//!
//! - `e2e`: an alert heals a container, with Docker, Prometheus and Alertmanager as they come from Debian
//! - `choice`: which runbook an alert means, and what holds it back
//! - `demo`: the first command, as it looks
//! - `newcomer`: the path of someone who has only the binary
//! - `effects`: effects whose other side is not Docker, and questions to a person
//! - `bad_input`, `hostile`: what must be refused, and what must be survived
//! - `monitoring`: the shipped rules and configurations; `examples`: the shipped examples
//! - `fixtures`: that the fixtures themselves do what the other tests rely on
//! - `tidy`: what a reviewer would otherwise have to look for in every file
//!
//! Deliberately not here: anything that links the daemon.

mod bad_input;
mod choice;
mod demo;
mod e2e;
mod effects;
mod examples;
mod fixtures;
mod hostile;
mod monitoring;
mod newcomer;
mod tidy;
