//! The reference of `runbook.toml`. Its prose is kept here by hand, its defaults and bounds come from the types that hold
//! them, and a test reads the parser: a key that is not in this table fails it.

use std::fmt::Write as _;

use sandbook_core::duration::{Bytes, DurationMs};
use sandbook_core::effect::{Class, Effect};
use sandbook_core::journal;
use sandbook_core::manifest::{DOCKER_ACTIONS, Limits, ParameterType, TargetSpec, Verify};
use sandbook_core::schedule::{CatchUp, Patience};

/// A key: name, what it holds, its default, what it means.
type Row = (&'static str, &'static str, String, String);

fn none() -> String {
    "–".to_owned()
}

fn required() -> String {
    "required".to_owned()
}

fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

fn list(labels: &[String]) -> String {
    code(format!("{labels:?}"))
}

/// Title, introduction and keys of each table.
fn sections() -> Vec<(&'static str, &'static str, Vec<Row>)> {
    vec![
        ("The file itself", "", top()),
        (
            "`[[trigger]]`",
            "What starts it: alerts, Docker events or a schedule, one of the three in each trigger. A runbook without a \
             trigger is started by hand or by a route of the operator.",
            trigger(),
        ),
        ("`[target]`", "What it is about, and which labels of an alert name it.", target()),
        (
            "`[parameters.NAME]`",
            "NAME is up to 63 of `a-z`, `0-9` and `_`, a letter first. Values are given by a route's `parameters`, or as \
             `name=value` by hand.",
            parameters(),
        ),
        (
            "`[requests]`",
            "The most it can ever do. An effect that is not listed is denied, whatever policy says.",
            requests(),
        ),
        (
            "`[limits]`",
            "What one run may use up. The manifest's value or the default holds, and never more than the operator's \
             `[limits]`.",
            limits(),
        ),
        ("`[brake]`", "How often it may act on one target. The tightest of engine, policy and manifest wins.", brake()),
        ("`[verify]`", "How the engine tells that acting helped.", verify()),
    ]
}

fn top() -> Vec<Row> {
    vec![
        ("name", "text", required(), "1 to 63 of `a-z`, `0-9` and `-`".to_owned()),
        (
            "version",
            "text",
            required(),
            "`major.minor.patch`, maybe with a suffix such as `-rc.1`; other bytes need another version".to_owned(),
        ),
        ("summary", "text", required(), "what it does, in one sentence of at most 200 characters".to_owned()),
        (
            "drafted_by",
            "text",
            none(),
            "the model that drafted it, written by the engine: such a version is of origin `llm` wherever it is carried; \
             taking the line out makes another version, and whoever uploads that answers for it"
                .to_owned(),
        ),
        ("trigger", "tables", none(), "see below".to_owned()),
        ("target", "table", none(), "see below".to_owned()),
        ("parameters", "tables", none(), "see below".to_owned()),
        ("requests", "table", none(), "see below".to_owned()),
        ("limits", "table", none(), "see below".to_owned()),
        ("brake", "table", none(), "see below".to_owned()),
        ("verify", "table", none(), "see below".to_owned()),
    ]
}

fn trigger() -> Vec<Row> {
    let actions = DOCKER_ACTIONS.map(code).join(", ");
    vec![
        ("alert", "list of texts", none(), "alert names, any of them".to_owned()),
        (
            "match",
            "list of matchers",
            none(),
            "Prometheus matchers such as `'severity=~\"warning|critical\"'`; all must hold".replace('|', "\\|"),
        ),
        (
            "docker_event",
            "list of texts",
            none(),
            format!("any of {actions}; `health_status` alone is any change of health"),
        ),
        ("schedule", "text", none(), "five cron fields, such as `0 3 * * *`".to_owned()),
        ("timezone", "text", code("UTC"), "of the schedule, such as `Europe/Berlin`; a time that the clock skips is made when the clock is moved, one that comes twice is made once".to_owned()),
        (
            "catch_up",
            "text",
            code(CatchUp::default().name()),
            "`latest`: of the times that were missed while the daemon was down the newest is made up for; `skip`: none".to_owned(),
        ),
        (
            "catch_up_within",
            "duration",
            code(DurationMs(Patience::WITHIN_MS)),
            format!("how old that one may be; from {} to {}", code(DurationMs(Patience::WITHIN_MS_MIN)), code(DurationMs(Patience::WITHIN_MS_MAX))),
        ),
        (
            "target",
            "text",
            none(),
            "what scheduled runs are about: `name`, `host/name` or `host/project/service`".to_owned(),
        ),
        (
            "parameters",
            "table",
            none(),
            "what scheduled runs are given, such as `{ within = \"7d\" }`; what is left out has its default".to_owned(),
        ),
        ("priority", "number", code(0), "higher wins whatever is more specific".to_owned()),
        ("continue", "true or false", code(false), "lets the next best runbook run as well".to_owned()),
    ]
}

fn target() -> Vec<Row> {
    let default = TargetSpec::default();
    vec![
        ("kind", "text", code("container"), "`container`, `service`, `host` or `none`".to_owned()),
        (
            "container_from",
            "list of texts",
            list(&default.container_from),
            "labels that may name a container, in order".to_owned(),
        ),
        (
            "service_from",
            "list of texts",
            list(&default.service_from),
            "labels that may name a service, in order".to_owned(),
        ),
        ("host_from", "list of texts", list(&default.host_from), "labels that may name a host, in order".to_owned()),
        (
            "each",
            "true or false",
            code(default.each),
            "when several are meant: one run for each, instead of `ambiguous-target`".to_owned(),
        ),
    ]
}

fn parameters() -> Vec<Row> {
    let types = ParameterType::ALL.map(|one| format!("{} ({})", code(one.name()), one.example())).join(", ");
    vec![
        ("type", "text", required(), types),
        (
            "default",
            "a value of the type",
            none(),
            "durations, sizes and texts in quotes; without a default every run must be given one; a script sees durations in milliseconds and sizes in bytes".to_owned(),
        ),
        ("min", "a value of the type", none(), "nothing less; of integers, numbers, durations and sizes".to_owned()),
        ("max", "a value of the type", none(), "nothing more; of the same".to_owned()),
        ("pattern", "text", none(), "a regular expression that a text matches as a whole".to_owned()),
        ("choices", "list of texts", none(), "what a choice is among; a script sees the chosen text".to_owned()),
        ("summary", "text", none(), "what it is for".to_owned()),
    ]
}

fn requests() -> Vec<Row> {
    let needed: Vec<&str> = Class::ALL.iter().filter(|class| class.needs_request()).map(|class| class.name()).collect();
    let count = Effect::ALL.iter().filter(|info| info.class.needs_request()).count();
    let about = format!(
        "names from the [reference of effects](effects.md); the {count} of classes {} need a request, the others are always there",
        needed.join(", ")
    );
    vec![("effects", "list of texts", none(), about)]
}

fn limits() -> Vec<Row> {
    let usual = journal::Limits::default();
    let duration =
        |usual, max, about: &str| (code(DurationMs(usual)), format!("{about}; at most {}", code(DurationMs(max))));
    let bytes = |usual, max, about: &str| (code(Bytes(usual)), format!("{about}; at most {}", code(Bytes(max))));
    let count = |usual: u32, max: u32, about: &str| (code(usual), format!("{about}; at most {}", code(max)));
    let rows: Vec<(&'static str, &'static str, (String, String))> = vec![
        ("wall", "duration", duration(usual.wall_ms, Limits::WALL_MS_MAX, "wall time, waits excluded")),
        (
            "cpu",
            "duration",
            duration(usual.cpu_ms, Limits::CPU_MS_MAX, "processor time of its own, host calls excluded"),
        ),
        ("memory", "size", bytes(usual.memory_bytes, Limits::MEMORY_BYTES_MAX, "sum of its linear memories")),
        ("effects", "number", count(usual.effects, Limits::EFFECTS_MAX, "effects, notes excluded")),
        ("result", "size", bytes(usual.result_bytes, Limits::RESULT_BYTES_MAX, "one answer")),
        ("journal", "size", bytes(usual.journal_bytes, Limits::JOURNAL_BYTES_MAX, "all records of the run")),
        ("denials", "number", count(usual.denials, Limits::DENIALS_MAX, "denied effects before the run is ended")),
        ("notes", "size", bytes(usual.notes_bytes, Limits::NOTES_BYTES_MAX, "all notes; further ones are dropped")),
    ];
    rows.into_iter().map(|(key, holds, (default, about))| (key, holds, default, about)).collect()
}

fn brake() -> Vec<Row> {
    vec![
        (
            "attempts",
            "list of rates",
            none(),
            "such as `[\"3/1h\", \"7/1d\"]`, at most 8; all hold, and attempts count, not successes".to_owned(),
        ),
        (
            "settle",
            "duration",
            "`[brakes] settle` of the configuration".to_owned(),
            "how long a trigger for the same target joins the run that acted".to_owned(),
        ),
    ]
}

fn verify() -> Vec<Row> {
    let default = Verify::default();
    vec![
        ("condition", "text", code(&default.condition), "`healthy` (running, and healthy where there is a health check), `running`, or `promql:` and a query with at least one value and none of them 0".to_owned()),
        ("within", "duration", code(default.within), "how soon it must hold".to_owned()),
        ("resolved_within", "duration", code(default.resolved_within), "how soon the alert should resolve; later is unknown, not contradicted".to_owned()),
        ("no_refire", "duration", code(default.no_refire), "how long it must not fire again".to_owned()),
    ]
}

/// The text of `docs/reference/manifest.md`.
pub fn manifest() -> String {
    let mut text = String::from(
        "# runbook.toml\n\n\
         <!-- Generated by host/src/reference/manifest.rs; a test compares it and reads the parser's keys. -->\n\n\
         The manifest of a runbook package. A single `.rhai` file carries the same text in its leading `//!` lines.\n\
         Unknown keys are errors. `sandbook check PATH` names every mistake with its line and column.\n\n\
         Durations are texts like `90s` or `1h30m`, sizes like `64MiB`, rates like `3/1h`.\n",
    );
    for (title, about, rows) in sections() {
        let _ = writeln!(text, "\n## {title}\n");
        if !about.is_empty() {
            let _ = writeln!(text, "{about}\n");
        }
        text.push_str("| key | holds | default | meaning |\n|---|---|---|---|\n");
        for (key, holds, default, meaning) in rows {
            let _ = writeln!(text, "| `{key}` | {holds} | {default} | {meaning} |");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The parser's own texts: their lists of known keys are the truth.
    const PARSER: [&str; 2] =
        [include_str!("../../core/src/manifest/parse.rs"), include_str!("../../core/src/manifest/declared.rs")];

    /// Every string in the brackets that follow a list of known keys.
    fn keys_of_the_parser() -> BTreeSet<&'static str> {
        PARSER.into_iter().flat_map(keys_of).collect()
    }

    fn keys_of(parser: &'static str) -> Vec<&'static str> {
        let starts = ["let known =", "known_keys("].iter().flat_map(|start| parser.match_indices(start));
        let lists = starts.filter_map(|(at, _)| {
            let statement = parser[at..].split(';').next()?;
            let list = &statement[statement.find('[')?..];
            list.split(']').next()
        });
        lists.flat_map(|list| list.split('"').skip(1).step_by(2)).collect()
    }

    #[test]
    fn every_key_of_the_parser_is_here_and_no_other() {
        let written: BTreeSet<&str> =
            sections().into_iter().flat_map(|(_, _, rows)| rows).map(|(key, ..)| key).collect();
        let known = keys_of_the_parser();
        assert!(known.len() > 25, "the scan found only {known:?}");
        assert_eq!(written, known);
    }

    #[test]
    fn the_page_of_the_manifest_is_current() {
        super::super::tests::compare("manifest.md", &manifest());
    }
}
