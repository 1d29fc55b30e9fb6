//! Checking a package's code without running it: it compiles, its requests are complete, its triggers can match.
//!
//! Deliberately not here: what the operator grants. A sound package may still be allowed nothing.

use std::collections::BTreeMap;
use std::path::Path;

use sandbook_core::effect::Effect;
use sandbook_core::manifest::{Manifest, Trigger};
use sandbook_core::matching::{Matcher, Op};
use sandbook_core::problem::{Problem, line_column};

use super::sources::Sources;
use super::{CODE, NEVER, Package, TIMEZONE, UNREQUESTED, UNUSED, problem};
use crate::guest::{Code, GuestProblem, Report, Sandbox};

/// Where a text says something and means it: not in a comment and not as the beginning of a longer word. Else the first
/// place that has it: a sign of comments may stand in a text as well.
fn place_of(text: &str, what: &str, comment: &str) -> Option<usize> {
    let means = |&(offset, _): &(usize, &str)| {
        let line = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let longer = text[offset + what.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_');
        // A script's own manifest stands in comments of its own kind.
        let before = text[line..offset].trim_start_matches("//!");
        !before.contains(comment) && !longer
    };
    text.match_indices(what).find(means).map(|(offset, _)| offset).or_else(|| text.find(what))
}

impl Package {
    /// Everything that can be known about the code without running it, errors and warnings, in the order of the text.
    pub async fn check(&self, sandbox: &Sandbox) -> Vec<Problem> {
        self.examine(sandbox).await.0
    }

    /// The same with what the code can ask for. The report is empty when the code does not compile.
    pub async fn examine(&self, sandbox: &Sandbox) -> (Vec<Problem>, Report) {
        let mut problems = self.never_matching();
        problems.extend(self.unknown_zones());
        let report = match Box::pin(sandbox.report(&self.code)).await {
            Ok(report) => report,
            Err(error) => {
                let help = "`sandbook check PATH` shows the same; build it with the SDK of its language";
                problems.push(problem(CODE, &self.code_file, format!("{error:#}"), help));
                return (problems, Report::default());
            }
        };
        problems.extend(report.problems.iter().map(|found| self.placed(found)));
        problems.extend(self.other_manifest());
        // What a script with a mistake uses is not known.
        if !report.problems.iter().any(|found| !found.warning) {
            // A component of a toolchain that imports everything does not say what it uses; its sources do.
            let used = self.sources.called().unwrap_or_else(|| report.effects.clone());
            self.compare(&used, &mut problems);
        }
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        (problems, report)
    }

    /// A component that was built with another manifest than the one beside it.
    fn other_manifest(&self) -> Option<Problem> {
        let carried = self.carried_manifest()?;
        if Some(carried.as_slice()) == self.file(super::MANIFEST_FILE) {
            return None;
        }
        let message = format!("{} was built with another {}", self.code_file, super::MANIFEST_FILE);
        let help = "build it again: `sandbook build PATH`";
        Some(Problem { warning: true, ..problem(super::OTHER_BUILD, &self.code_file, message, help) })
    }

    fn placed(&self, found: &GuestProblem) -> Problem {
        Problem {
            code: CODE,
            file: self.code_file.clone(),
            line: found.line.max(1),
            column: found.column.max(1),
            message: found.message.clone(),
            help: found.help.clone(),
            warning: found.warning,
        }
    }

    /// What is used but not requested, and the other way round.
    fn compare(&self, used: &[String], problems: &mut Vec<Problem>) {
        let needs_request = |name: &&String| Effect::find(name).is_some_and(|info| info.class.needs_request());
        let missing: Vec<&String> =
            used.iter().filter(needs_request).filter(|name| !self.manifest.requests.contains(name)).collect();
        for name in &missing {
            let (file, line, column) = self.use_of(name);
            let message = format!("the code uses `{name}`, which the manifest does not request");
            let help = request_all(&self.manifest.requests, &missing);
            problems.push(Problem { code: UNREQUESTED, file, line, column, message, help, warning: false });
        }
        for name in self.manifest.requests.iter().filter(|name| !used.contains(name)) {
            let (line, column) = self.in_manifest(&format!("{name:?}"));
            let message = format!("`{name}` is requested, but the code never uses it");
            let help = "remove it: what is not requested can never be granted by mistake".to_owned();
            let file = self.manifest_file.clone();
            problems.push(Problem { code: UNUSED, file, line, column, message, help, warning: true });
        }
    }

    /// Where the code names an effect; the manifest's requests where it cannot be seen.
    pub fn use_of(&self, effect: &str) -> (String, u32, u32) {
        if let Code::Script(source) = &self.code {
            let spelled = effect.replace('.', "::").replace('-', "_");
            if let Some(offset) = place_of(source, &spelled, "//") {
                let (line, column) = line_column(source, offset);
                return (self.code_file.clone(), line, column);
            }
        }
        if let Some(call) = self.sources.call(effect) {
            return (call.file.clone(), call.line, call.column);
        }
        let (line, column) = self.in_manifest(&format!("{effect:?}"));
        (self.manifest_file.clone(), line, column)
    }

    /// The text the manifest stands in; empty where that is a component.
    fn manifest_text(&self) -> &str {
        match (self.file(&self.manifest_file), &self.code) {
            (Some(text), _) => std::str::from_utf8(text).unwrap_or_default(),
            (None, Code::Script(source)) => source,
            (None, Code::Wasm(_)) => "",
        }
    }

    /// Where the manifest's text has something; its beginning otherwise.
    pub(super) fn in_manifest(&self, what: &str) -> (u32, u32) {
        let text = self.manifest_text();
        place_of(text, what, "#").map_or((1, 1), |offset| line_column(text, offset))
    }

    /// Warnings about triggers that contradict themselves.
    fn never_matching(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, trigger) in self.manifest.triggers.iter().enumerate() {
            let Some((why, about)) = contradiction(trigger) else { continue };
            let (line, column) = self.in_trigger(index, &about);
            let message = format!("trigger {} can never match: {why}", index + 1);
            let help =
                "all matchers of a trigger must hold; for one or the other write two [[trigger]] tables".to_owned();
            let file = self.manifest_file.clone();
            problems.push(Problem { code: NEVER, file, line, column, message, help, warning: true });
        }
        problems
    }

    /// Time zones that this machine does not know.
    fn unknown_zones(&self) -> Vec<Problem> {
        let zones = self.manifest.triggers.iter().filter_map(|trigger| trigger.timezone.as_deref());
        let unknown = zones.filter_map(|name| {
            let message = crate::schedules::zone(name).err()?;
            let (line, column) = self.in_manifest(&format!("{name:?}"));
            let help = "write a name of the time zone database, like Europe/Berlin".to_owned();
            let file = self.manifest_file.clone();
            Some(Problem { code: TIMEZONE, file, line, column, message, help, warning: false })
        });
        unknown.collect()
    }

    /// Where a trigger names something; its beginning where that cannot be seen.
    fn in_trigger(&self, index: usize, what: &str) -> (u32, u32) {
        let text = self.manifest_text();
        let Some((start, _)) = text.match_indices("[[trigger]]").nth(index) else { return (1, 1) };
        let rest = &text[start + 1..];
        let end = rest.find("\n[").map_or(text.len(), |end| start + 1 + end);
        line_column(text, text[start..end].find(what).map_or(start, |offset| start + offset))
    }
}

/// Calls in a folder's sources that its manifest does not request, and requests no source calls, before there is a component.
pub fn calls_unrequested(folder: &Path, manifest: &Manifest) -> Vec<Problem> {
    let sources = Sources::read(folder);
    let used = sources.all_called();
    let needs_request = |name: &&String| Effect::find(name).is_some_and(|info| info.class.needs_request());
    let missing: Vec<&String> =
        used.iter().filter(needs_request).filter(|name| !manifest.requests.contains(name)).collect();
    let mut problems = Vec::new();
    for call in missing.iter().filter_map(|name| sources.call(name)) {
        problems.push(Problem {
            code: UNREQUESTED,
            file: call.file.clone(),
            line: call.line,
            column: call.column,
            message: format!("the code uses `{}`, which the manifest does not request", call.effect),
            help: request_all(&manifest.requests, &missing),
            warning: false,
        });
    }
    problems
}

/// The line that requests what is missing as well.
fn request_all(requests: &[String], missing: &[&String]) -> String {
    let all: Vec<String> = requests.iter().chain(missing.iter().copied()).map(|name| format!("{name:?}")).collect();
    format!("write under [requests]: effects = [{}]", all.join(", "))
}

/// Why no labels can satisfy a trigger, and the matcher as the manifest writes it.
fn contradiction(trigger: &Trigger) -> Option<(String, String)> {
    let mut by_label: BTreeMap<&str, Vec<&Matcher>> = BTreeMap::new();
    for matcher in &trigger.matchers {
        by_label.entry(matcher.label()).or_default().push(matcher);
    }
    for (label, matchers) in &by_label {
        // A label that must have one value has it: every other matcher can be tried on it.
        let Some(equal) = matchers.iter().find(|matcher| matcher.op() == Op::Equal) else {
            // Or one of a few words: if none of them passes the others, nothing does.
            let Some((few, words)) = matchers.iter().find_map(|matcher| Some((matcher, few_words(matcher)?))) else {
                continue;
            };
            if words.iter().all(|word| matchers.iter().any(|matcher| !matcher.matches_value(word))) {
                let others: Vec<String> = matchers.iter().filter(|one| one != &few).map(ToString::to_string).collect();
                let why = format!("{few} and {} exclude each other (label {label})", others.join(" and "));
                return Some((why, few.to_string()));
            }
            continue;
        };
        if let Some(other) = matchers.iter().find(|matcher| !matcher.matches_value(equal.value())) {
            return Some((format!("{equal} and {other} exclude each other (label {label})"), other.to_string()));
        }
    }
    let names = by_label.get("alertname").filter(|_| !trigger.alert.is_empty())?;
    let possible = trigger.alert.iter().any(|name| names.iter().all(|matcher| matcher.matches_value(name)));
    let about = names.first().map_or_else(String::new, ToString::to_string);
    let why = || format!("none of the alerts {} satisfies its matchers on alertname", trigger.alert.join(", "));
    (!possible).then(|| (why(), about))
}

/// The only values a matcher lets pass, where its expression is a list of plain words: `warning|critical`.
fn few_words(matcher: &Matcher) -> Option<Vec<String>> {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|letter| letter.is_alphanumeric() || "_-".contains(letter));
    let words: Vec<String> = matcher.value().split('|').map(str::to_owned).collect();
    (matcher.op() == Op::Matches && words.iter().all(|word| plain(word))).then_some(words)
}
