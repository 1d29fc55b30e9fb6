//! The daemon's own log, on stderr: for eyes on a terminal, JSON for everything else.
//!
//! A line reads alone and carries its values as fields; what belongs to a run is written inside [`run_span`], so that
//! each of its lines has the run's id. The level is the configuration's, or `SANDBOOK_LOG`, which wins.
//!
//! Deliberately not here: secrets. Nothing logs a token, a header or a query; drivers redact what they report.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{Config, LogFormat};

/// Wins over `[log] level`, so that a daemon can be asked to say more without touching its configuration.
pub const VARIABLE: &str = "SANDBOOK_LOG";
/// Said by nobody else, and too much of it: libraries below that are left out unless a level names them.
const QUIET: &str = "hyper=warn,h2=warn,reqwest=warn,rustls=warn,wasmtime=warn,cranelift=warn,bollard=warn,notify=warn";
/// What is shown when a level cannot be read.
const LEVEL: &str = "info";

/// Begins to log as configured. A second call changes nothing, so tests and commands may share a process.
pub fn init(config: &Config) {
    let level = std::env::var(VARIABLE).ok().filter(|level| !level.trim().is_empty());
    let level = level.unwrap_or_else(|| config.log.level.clone());
    let (filter, problem) = filter(&level);
    let terminal = std::io::stderr().is_terminal();
    let json = config.log.format == LogFormat::Json || !terminal;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let begun = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_target(false).with_ansi(std::env::var_os("NO_COLOR").is_none()).try_init()
    };
    // Somebody logs already: then as they like.
    if begun.is_ok()
        && let Some(problem) = problem
    {
        tracing::warn!("{problem}");
    }
}

/// The filter of a level or of directives, and what is wrong with them.
fn filter(level: &str) -> (EnvFilter, Option<String>) {
    match EnvFilter::builder().parse(format!("{QUIET},{level}")) {
        Ok(filter) => (filter, None),
        Err(error) => {
            let problem = format!(
                "log level `{level}` cannot be read ({error}); logging at {LEVEL}: use error, warn, info, debug or trace"
            );
            (EnvFilter::new(format!("{QUIET},{LEVEL}")), Some(problem))
        }
    }
}

/// What everything about a run is logged in.
pub fn run_span(run: &str, runbook: &str) -> tracing::Span {
    tracing::info_span!("run", run, runbook)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one writer").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_within_a_run_has_its_id() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter("info").0)
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _in_run = run_span("r_1", "restart").entered();
            tracing::info!(took_ms = 3, "ended");
            tracing::debug!("not shown");
        });
        let text = String::from_utf8(lines.0.lock().expect("written").clone()).expect("text");
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one line of json");
        assert_eq!((&line["message"], &line["took_ms"]), (&"ended".into(), &3.into()));
        assert_eq!((&line["span"]["run"], &line["span"]["runbook"]), (&"r_1".into(), &"restart".into()));
    }

    #[test]
    fn a_level_that_cannot_be_read_is_said_and_not_fatal() {
        assert!(filter("debug").1.is_none());
        assert!(filter("info,sandbook=trace").1.is_none());
        assert!(filter("sandbook=loudly").1.is_some_and(|problem| problem.contains("loudly")));
    }
}
