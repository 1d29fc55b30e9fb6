//! Reading `*.cedar` files: parsed, annotated, validated, every mistake with file, line, column and a way out.
//!
//! All mistakes of all files are reported at once. Annotations are part of the language here: an unknown one is an
//! error, because a misspelt `@approval` would turn "ask" into "allow". A policy without `@id` is called `file:line`;
//! an explicit `@id` keeps its limits counted when the file is edited.
//! Deliberately not here: slicing and asking, see [`super`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{ActionConstraint, Effect as Kind, EntityUid, Policy as Cedar, PolicyId, PolicySet, ValidationMode};
use sandbook_core::duration::Rate;
use sandbook_core::effect::{Class, Effect, closest};
use sandbook_core::problem::{Problem, line_column};

use super::schema;

/// A policy directory or file cannot be read.
pub const UNREADABLE: &str = "SB0301";
/// A policy is not Cedar.
pub const SYNTAX: &str = "SB0302";
/// A policy speaks of something the schema does not have.
pub const INVALID: &str = "SB0303";
/// An annotation is unknown, misplaced or malformed.
pub const ANNOTATION: &str = "SB0304";
/// Two policies have the same `@id`.
pub const DUPLICATE: &str = "SB0305";
/// A policy is valid but probably not what was meant.
pub const SUSPECT: &str = "SB0306";

/// Bytes of one policy file at the most: ten thousand grants, and a bound on what validation costs.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Annotations there are.
const ANNOTATIONS: [&str; 4] = ["id", "approval", "limit", "reason"];
/// Entity types whose ids are not names, so that a policy must compare attributes instead.
const NAMELESS: [(&str, &str); 4] = [
    ("Container", "resource.name == \"…\""),
    ("Url", "resource.host == \"…\""),
    ("NetHost", "resource.host == \"…\""),
    ("Alert", "context.alertname == \"…\""),
];

/// A policy file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As shown in messages.
    pub file: String,
    /// Cedar.
    pub text: String,
}

/// One policy with what its annotations say.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) file: String,
    pub(super) line: u32,
    /// Byte range in its file.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    pub(super) ask: bool,
    pub(super) limit: Option<Rate>,
    pub(super) reason: Option<String>,
    pub(super) cedar: Cedar,
}

impl Rule {
    /// The policy as written.
    pub(super) fn text(&self) -> String {
        self.cedar.to_cedar().unwrap_or_else(|| self.cedar.to_string())
    }
}

/// What loading found: rules in order, and warnings.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) rules: Vec<Rule>,
    pub(super) warnings: Vec<Problem>,
}

/// The `*.cedar` files of the directories, sorted by name within each.
pub(super) fn read(dirs: &[PathBuf]) -> Result<Vec<Source>, Vec<Problem>> {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for dir in dirs {
        match files(dir) {
            Ok(files) => {
                for file in files {
                    match read_file(&file) {
                        Ok(source) => sources.push(source),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            // A missing directory may be the one with the forbids.
            Err(error) => problems.push(unreadable(
                dir,
                format!("policy directory {} cannot be read: {error}", dir.display()),
                "create it, or remove it from `dirs` under [policy]",
            )),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(problems) }
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "cedar") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source, Problem> {
    let fail = |why: String| {
        unreadable(path, format!("policy file {} {why}", path.display()), "make it readable, or move it away")
    };
    let metadata = std::fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(fail(format!("has {} bytes, at most {FILE_BYTES_MAX} are allowed", metadata.len())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    Ok(Source { file: path.display().to_string(), text })
}

fn unreadable(path: &Path, message: String, help: &str) -> Problem {
    let file = path.display().to_string();
    Problem { code: UNREADABLE, file, line: 1, column: 1, message, help: help.to_owned(), warning: false }
}

/// Parses, annotates and validates; all problems at once.
pub(super) fn rules(sources: &[Source]) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    let mut places: HashMap<String, (String, u32)> = HashMap::new();
    for source in sources {
        match source.text.parse::<PolicySet>() {
            Ok(set) => {
                problems.extend(set.templates().map(|template| {
                    let at = template.to_cedar();
                    let offset = source.text.find(&at).unwrap_or(0);
                    let help = "write one policy for each principal and resource".to_owned();
                    problem(SYNTAX, source, offset, "templates are not supported", help)
                }));
                for rule in in_order(&set) {
                    rules.push(annotated(source, rule, &mut places, &mut problems));
                }
            }
            Err(errors) => problems.extend(errors.iter().map(|error| {
                let detail = DetailedError::from(error);
                let offset = detail.source_locations.first().map_or(0, |label| label.loc.start);
                let label = detail.source_locations.first().and_then(|label| label.label.clone());
                let help = detail.help.or(label).unwrap_or_default();
                problem(SYNTAX, source, offset, &format!("this is not Cedar: {}", detail.message), help)
            })),
        }
    }
    let mut loaded = Loaded { rules, warnings: Vec::new() };
    validate(sources, &mut loaded, &mut problems);
    if problems.is_empty() { Ok(loaded) } else { Err(sorted(problems)) }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    problems.dedup();
    problems
}

/// Policies with their byte ranges, as they stand in the file.
fn in_order(set: &PolicySet) -> Vec<(usize, usize, Cedar)> {
    let mut policies: Vec<_> = set
        .policies()
        .map(|policy| {
            let loc = policy.as_ref().loc();
            (loc.map_or(0, |loc| loc.start()), loc.map_or(0, |loc| loc.end()), policy.clone())
        })
        .collect();
    policies.sort_by_key(|(start, _, _)| *start);
    policies
}

fn annotated(
    source: &Source,
    (start, end, cedar): (usize, usize, Cedar),
    places: &mut HashMap<String, (String, u32)>,
    problems: &mut Vec<Problem>,
) -> Rule {
    let (line, column) = line_column(&source.text, start);
    let mut rule = Rule {
        id: format!("{}:{line}", source.file),
        file: source.file.clone(),
        line,
        start,
        end,
        kind: cedar.effect(),
        ask: false,
        limit: None,
        reason: None,
        cedar: cedar.clone(),
    };
    if places.contains_key(&rule.id) {
        rule.id = format!("{}:{line}:{column}", source.file);
    }
    for (name, value) in cedar.annotations() {
        let within = source.text.get(start..end).and_then(|text| text.find(&format!("@{name}"))).unwrap_or(0);
        if let Err((message, help)) = annotation(&mut rule, name, value) {
            problems.push(problem(ANNOTATION, source, start + within, &message, help));
        }
    }
    if let Some((file, line)) = places.insert(rule.id.clone(), (source.file.clone(), rule.line)) {
        let message = format!("the id `{}` is also that of the policy at {file}:{line}", rule.id);
        problems.push(problem(DUPLICATE, source, start, &message, "give one of them another @id".to_owned()));
    }
    for uid in cedar.entity_literals() {
        problems.extend(nameless(&uid).map(|(message, help)| problem(INVALID, source, start, &message, help)));
    }
    rule.cedar = cedar.new_id(PolicyId::new(&rule.id));
    rule
}

fn annotation(rule: &mut Rule, name: &str, value: &str) -> Result<(), (String, String)> {
    let permit_only = |what: &str| {
        let message = format!("@{what} on a forbid has no meaning: a forbid always refuses");
        (message, format!("put @{what} on the permit, or remove it"))
    };
    match name {
        "id" if value.trim().is_empty() => Err(("@id is empty".to_owned(), "write @id(\"a-name\")".to_owned())),
        "id" => {
            value.clone_into(&mut rule.id);
            Ok(())
        }
        "reason" => {
            rule.reason = Some(value.to_owned());
            Ok(())
        }
        "approval" if rule.kind == Kind::Forbid => Err(permit_only("approval")),
        "approval" if value == "ask" => {
            rule.ask = true;
            Ok(())
        }
        "approval" => Err((format!("@approval is {value:?}"), "the only value is @approval(\"ask\")".to_owned())),
        "limit" if rule.kind == Kind::Forbid => Err(permit_only("limit")),
        "limit" => match value.parse::<Rate>() {
            Ok(rate) => {
                rule.limit = Some(rate);
                Ok(())
            }
            Err(error) => Err((format!("@limit: {error}"), "write it like @limit(\"3/10m\")".to_owned())),
        },
        other => {
            let help = match closest(other, ANNOTATIONS.into_iter()) {
                Some(near) => format!("did you mean `@{near}`?"),
                None => "there are @id, @approval, @limit and @reason".to_owned(),
            };
            Err((format!("unknown annotation `@{other}`"), help))
        }
    }
}

fn nameless(uid: &EntityUid) -> Option<(String, String)> {
    let kind = uid.type_name().to_string();
    let (_, instead) = NAMELESS.iter().find(|(name, _)| *name == kind)?;
    let message = format!("`{uid}` never matches: the id of a {kind} is not its name");
    Some((message, format!("compare an attribute, such as {instead}")))
}

fn validate(sources: &[Source], loaded: &mut Loaded, problems: &mut Vec<Problem>) {
    let ids: HashMap<PolicyId, usize> =
        loaded.rules.iter().enumerate().map(|(index, rule)| (rule.cedar.id().clone(), index)).collect();
    // Policies with the same id are reported already and cannot be in one set.
    let Ok(set) = PolicySet::from_policies(ids.values().map(|index| loaded.rules[*index].cedar.clone())) else {
        return;
    };
    let result = schema::validator().validate(&set, ValidationMode::Strict);
    let place = |id: &PolicyId, detail: &DetailedError| {
        let rule = ids.get(id).and_then(|index| loaded.rules.get(*index))?;
        let source = sources.iter().find(|source| source.file == rule.file)?;
        let offset = detail.source_locations.first().map_or(rule.start, |label| label.loc.start);
        Some((source, offset))
    };
    for error in result.validation_errors() {
        let mut detail = DetailedError::from(error);
        better_help(&mut detail);
        if let Some((source, offset)) = place(error.policy_id(), &detail) {
            problems.push(problem(INVALID, source, offset, plain(&detail.message), detail.help.unwrap_or_default()));
        }
    }
    let mut warnings = Vec::new();
    for warning in result.validation_warnings() {
        let detail = DetailedError::from(warning);
        if let Some((source, offset)) = place(warning.policy_id(), &detail) {
            let help =
                detail.help.unwrap_or_else(|| "it never applies: compare it with `sandbook policy schema`".into());
            let found = problem(SUSPECT, source, offset, plain(&detail.message), help);
            warnings.push(Problem { warning: true, ..found });
        }
    }
    for rule in &loaded.rules {
        let Some(source) = sources.iter().find(|source| source.file == rule.file) else { continue };
        if let Some((message, help)) = idle(rule) {
            warnings.push(Problem { warning: true, ..problem(SUSPECT, source, rule.start, message, help.to_owned()) });
        }
    }
    // Cedar doubts some policies in two ways; the first says more.
    loaded.warnings = sorted(warnings);
    loaded
        .warnings
        .dedup_by(|next, first| (&next.file, next.line, next.column) == (&first.file, first.line, first.column));
}

/// A permit, or an approval, of what policy does not grant: it is allowed elsewhere.
fn idle(rule: &Rule) -> Option<(&'static str, &'static str)> {
    let actions = match rule.cedar.action_constraint() {
        ActionConstraint::Any => return None,
        ActionConstraint::Eq(uid) => vec![uid],
        ActionConstraint::In(uids) => uids,
    };
    let class_of = |uid: &EntityUid| {
        let name = uid.id().unescaped();
        let class = Class::ALL.into_iter().find(|class| class.name() == name);
        Effect::find(name).map(|info| info.class).or(class)
    };
    let has = |class: Class| actions.iter().any(|uid| class_of(uid) == Some(class));
    if rule.kind == Kind::Forbid || has(Class::Mutate) || actions.iter().any(|uid| class_of(uid).is_none()) {
        return None;
    }
    if rule.ask && !has(Class::Egress) {
        return Some(("@approval has no effect: reads and messages never ask", "remove it, or write a forbid"));
    }
    let help = "reads are allowed by the manifest, hosts by [egress], channels by [notify]; only a forbid or a @limit \
                adds to that";
    (!rule.ask && rule.limit.is_none()).then_some(("this permit has no effect: policy grants only mutate", help))
}

/// Cedar's message without the policy's id, which the place already says.
fn plain(message: &str) -> &str {
    message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")).map_or(message, |(_, plain)| plain)
}

/// Actions are effect names, so the catalogue knows better what a misspelt one was meant to be.
fn better_help(detail: &mut DetailedError) {
    let Some((_, name)) = detail.message.split_once("unrecognized action `Action::\"") else { return };
    let name = name.trim_end_matches('`').trim_end_matches('"');
    detail.help = Some(match (Effect::find(name), Effect::closest(name)) {
        (Some(info), _) => {
            format!("effects of class {} need no permission, so no policy can speak of {name}", info.class)
        }
        (None, Some(near)) => format!("did you mean `Action::\"{near}\"`?"),
        (None, None) => match closest(name, ["observe", "egress", "tell", "mutate"].into_iter()) {
            Some(near) => format!("did you mean `Action::\"{near}\"`?"),
            None => "`sandbook effects` lists the effects".to_owned(),
        },
    });
}

fn problem(code: &'static str, source: &Source, offset: usize, message: &str, help: String) -> Problem {
    let (line, column) = line_column(&source.text, offset);
    Problem { code, file: source.file.clone(), line, column, message: message.to_owned(), help, warning: false }
}
