//! An explanation as Markdown, for a ticket.
//!
//! Names, labels and log lines are somebody else's text: they are escaped, so that a report renders as it was meant
//! wherever it is pasted. Deliberately not here: making the claims.

use std::fmt::Write as _;

use super::{About, Claim, Link, Sentence};
use crate::similar::Similar;
use crate::store::RunRow;

/// Headings, in order, and what stands under each.
const HEADINGS: &[(&str, About)] = &[
    ("What started it", About::Trigger),
    ("What it found", About::Finding),
    ("What it changed", About::Change),
    ("What was refused, failed or left to a person", About::Refusal),
    ("Whom it told", About::Message),
    ("How it ended", About::End),
];
/// Earlier incidents named.
const SIMILAR_MAX: usize = 5;

/// The report of a run. `url` is the daemon's public address, for the links.
pub fn markdown(row: &RunRow, claims: &[Claim], sentences: &[Sentence], similar: &Similar, url: &str) -> String {
    let base = format!("{url}/v1/runs/{}", row.id);
    let outcome = row.outcome.map_or_else(|| row.state.name(), |outcome| outcome.name());
    let target = row.target.as_ref().map(|target| format!(" on {}", escaped(&target.to_string()))).unwrap_or_default();
    let mut text = format!("# {}{target}: {outcome}\n\n", escaped(&row.runbook));
    for (name, value) in facts(row) {
        let _ = writeln!(text, "- {name}: {}", escaped(&value));
    }
    // Not in a model's words it would be the lists below once more.
    let reworded = sentences.iter().any(|sentence| sentence.reworded);
    if reworded {
        text.push_str("\n## What happened\n\n");
    }
    for sentence in sentences.iter().filter(|_| reworded) {
        let _ = writeln!(text, "{} {}", escaped(&sentence.text), links(&sentence.links, &base));
    }
    for (heading, about) in HEADINGS {
        let under: Vec<&Claim> = claims.iter().filter(|claim| claim.about == *about).collect();
        if under.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {heading}\n\n");
        for claim in under {
            let at = claim.at.as_ref().map(|at| format!("{at} ")).unwrap_or_default();
            let _ =
                writeln!(text, "- {at}{} {}", escaped(&claim.text), links(std::slice::from_ref(&claim.link), &base));
        }
    }
    text.push_str(&earlier(similar));
    text
}

fn facts(row: &RunRow) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("run", row.id.clone()),
        ("version", format!("{} {}", row.version, row.digest)),
        ("mode and stage", format!("{}, {}", row.mode, row.stage)),
        ("written by", row.origin.name().to_owned()),
    ];
    facts.extend(row.episode.clone().map(|episode| ("episode", episode)));
    facts.extend(row.started_at.map(|at| ("started", crate::plan::stamp(at))));
    facts.extend(row.finished_at.map(|at| ("ended", crate::plan::stamp(at))));
    facts.extend(row.verification.map(|word| ("verification", word.name().to_owned())));
    facts
}

/// Such as `[record 4](…)`.
fn links(links: &[Link], base: &str) -> String {
    let link = |link: &Link| match link.record {
        Some(record) => format!("[record {record}]({base}/journal#{record})"),
        None => format!("[run]({base})"),
    };
    format!("({})", links.iter().map(link).collect::<Vec<_>>().join(", "))
}

fn earlier(similar: &Similar) -> String {
    if similar.incidents.is_empty() {
        return String::new();
    }
    let mut text = "\n## Earlier incidents like it\n\n".to_owned();
    for incident in similar.incidents.iter().take(SIMILAR_MAX) {
        let reasons = escaped(&incident.reasons.join(", "));
        let _ = writeln!(text, "- {} {} ({} %: {reasons})", incident.at, escaped(&incident.alert), incident.likeness);
        for run in &incident.runs {
            let helped = match run.helped {
                Some(true) => "helped",
                Some(false) => "did not help",
                None => "nobody can tell whether it helped",
            };
            let did = if run.changes.is_empty() { "changed nothing".to_owned() } else { run.changes.join(", ") };
            let _ = writeln!(text, "  - {} {}: {}: {helped}", run.run, escaped(&run.runbook), escaped(&did));
        }
    }
    text
}

/// Text that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.push(' ');
            continue;
        }
        if "\\`*_{}[]<>#|!~@".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    // What looks like an address would become a link.
    out.replace("://", ":\\//")
}
