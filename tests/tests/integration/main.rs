//! The one integration binary: the real `sandbook` against real parts, hostile guests and bad input.
//!
//! - `e2e`: an alert heals a container, with Docker, Prometheus and Alertmanager as they come from Debian
//! - `choice`: which runbook an alert means, and what holds it back
//! - `closing`: whether acting helped, and what follows when it did not
//! - `demo`: the first command, as it looks
//! - `commands`: every command of the documentation, typed in
//! - `newcomer`: the path of someone who has only the binary
//! - `alertmanager`: missed alerts, silences, alerts about Sandbook itself
//! - `effects`: effects whose other side is not Docker, and questions to a person
//! - `bad_input`, `hostile`: what must be refused, and what must be survived
//! - `kills`: the daemon is killed a hundred times; `faults`: an engine that misbehaves; `machine`: full disks, locked
//!   files, clocks that jump, a process that stands still; `waiting`: ten thousand runs that wait
//! - `hosts`: engines behind ssh and TLS; `secure`: the daemon's own address under TLS, and agents
//! - `brakes`: what is done often enough is held back until a person has looked
//! - `person`: what people did or own is left alone; `silence`: an engine that hangs
//! - `catalogue`: the runbooks that come with the binary, their faults really produced
//! - `plan`: what a runbook would do, and letting it do that and nothing else
//! - `replay`: runs executed again from their journals, and drafts tried on recorded alerts
//! - `authoring`: a package in every language with its real toolchain, diagnostics, `dev`; `languages`: Rust over WASI,
//!   and the examples in Python and JavaScript
//! - `scenarios`: tests of runbooks, at the author's desk and recorded from a run
//! - `schedules`: each time of a schedule is made once; `versions`: signed, compared, carried and put back
//! - `notify`: what people are told, over kills, refusals and in each receiver's form
//! - `llm`: the model at run time, its budgets and its key; `llm_planted`: texts that try to steer it
//! - `drafting`, `generating`: what a model drafts of sentences, prose and incidents, and who trusts it
//! - `people`: a runbook's own questions, the page that a message links to, and what ends a question
//! - `console`: what a person sees, clicks and tabs through, in a real Chromium
//! - `traces`: traces of runs, and a collector that fails
//! - `monitoring`: the shipped rules and configurations; `examples`: the shipped examples;
//!   `stack`: everything on one machine
//! - `fixtures`: that the fixtures themselves do what the other tests rely on
//! - `tidy`: what a reviewer would otherwise have to look for in every file
//!
//! Deliberately not here: anything that links the daemon.

mod agents;
mod alertmanager;
mod authoring;
mod bad_input;
mod brakes;
mod catalogue;
mod choice;
mod clicking;
mod closing;
mod commands;
mod console;
mod cuts;
mod demo;
mod drafting;
mod e2e;
mod effects;
mod examples;
mod faults;
mod fixtures;
mod generating;
mod hostile;
mod hosts;
mod install;
mod kills;
mod languages;
mod llm;
mod llm_planted;
mod machine;
mod monitoring;
mod newcomer;
mod notify;
mod orderly;
mod people;
mod person;
mod plan;
mod replacing;
mod replay;
mod scenarios;
mod schedules;
mod secure;
mod silence;
mod stack;
mod tidy;
mod traces;
mod versions;
mod waiting;
