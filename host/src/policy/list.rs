//! What each runbook may do, in words for people: `sandbook grants`.
//!
//! Conditions on a container's name, service, host or label read as words; whatever is more is shown as the Cedar it
//! is, never left out. Deliberately not here: label grants, which stand on containers and not in a file.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Effect as Kind, EntityUid, PrincipalConstraint, ResourceConstraint};
use sandbook_core::duration::Rate;
use sandbook_core::effect::closest;
use sandbook_core::problem::Problem;
use serde::Serialize;
use serde_json::Value;

use super::Policy;
use super::load::{Rule, SUSPECT};
use super::revoke::as_written;

/// Whether a line permits or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantKind {
    /// Permits, unless something forbids.
    Permit,
    /// Forbids, whatever permits.
    Forbid,
}

/// One policy, as a line of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantLine {
    /// Name of the runbook; absent means every runbook.
    pub runbook: Option<String>,
    /// Effects or classes; empty means every effect.
    pub effects: Vec<String>,
    /// What it covers, in words where there are words.
    pub resource: String,
    /// At most so often.
    pub limit: Option<Rate>,
    /// Whether a person is asked first.
    pub ask: bool,
    /// Where it stands.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// Its `@id`, else `file:line`.
    pub id: String,
    /// Permits or forbids.
    pub kind: GrantKind,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// It is to the letter what `sandbook grant` writes.
    pub granted: bool,
}

impl Policy {
    /// Every policy as a line, in the order of the files.
    pub fn grants(&self) -> Vec<GrantLine> {
        self.rules.iter().map(line).collect()
    }

    /// Warnings for policies about runbooks that do not exist: the schema knows no names of runbooks.
    pub fn unknown_runbooks(&self, known: &BTreeSet<String>) -> Vec<Problem> {
        let lines = self.rules.iter().filter_map(|rule| {
            let name = line(rule).runbook.filter(|name| !known.contains(name))?;
            let help = match closest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `Runbook::\"{near}\"`?"),
                None => "`sandbook runbooks` lists the runbooks".to_owned(),
            };
            Some(Problem {
                code: SUSPECT,
                file: rule.file.clone(),
                line: rule.line,
                column: 1,
                message: format!("there is no runbook `{name}`, so this policy never applies"),
                help,
                warning: true,
            })
        });
        lines.collect()
    }
}

fn line(rule: &Rule) -> GrantLine {
    let name = |uid: EntityUid| uid.id().unescaped().to_owned();
    let runbook = match rule.cedar.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => {
            Some(name(uid))
        }
    };
    let effects = match rule.cedar.action_constraint() {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(uid) => vec![name(uid)],
        ActionConstraint::In(uids) => uids.into_iter().map(name).collect(),
    };
    GrantLine {
        runbook,
        effects,
        resource: resource(rule),
        limit: rule.limit,
        ask: rule.ask,
        file: rule.file.clone(),
        line: rule.line,
        id: rule.id.clone(),
        kind: match rule.kind {
            Kind::Permit => GrantKind::Permit,
            Kind::Forbid => GrantKind::Forbid,
        },
        reason: rule.reason.clone(),
        granted: as_written(rule).is_some(),
    }
}

fn resource(rule: &Rule) -> String {
    let noun = |kind: String| match kind.as_str() {
        "Container" => "container".to_owned(),
        "Host" => "host".to_owned(),
        "Url" => "url".to_owned(),
        "NetHost" => "network host".to_owned(),
        "Channel" => "channel".to_owned(),
        _ => kind.to_lowercase(),
    };
    let scope = match rule.cedar.resource_constraint() {
        ResourceConstraint::Any => "anything".to_owned(),
        ResourceConstraint::Is(kind) => format!("any {}", noun(kind.to_string())),
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
            format!("{} {}", noun(uid.type_name().to_string()), uid.id().unescaped())
        }
    };
    let conditions = rule.cedar.to_json().ok().and_then(|json| json.get("conditions").cloned());
    let conditions: Vec<Value> = conditions.and_then(|value| value.as_array().cloned()).unwrap_or_default();
    if conditions.is_empty() {
        return scope;
    }
    let words: Option<Vec<String>> = conditions
        .iter()
        .map(|condition| {
            let words = words(condition.get("body")?)?;
            Some(if condition.get("kind")? == "unless" { format!("not ({words})") } else { words })
        })
        .collect();
    let conditions = words.map_or_else(|| written(&rule.text()), |words| words.join(" and "));
    match scope.strip_prefix("any ") {
        Some(noun) => format!("{noun} with {conditions}"),
        None => format!("{scope} with {conditions}"),
    }
}

/// A condition in words, if there are words for all of it.
fn words(expression: &Value) -> Option<String> {
    let (operator, operands) = expression.as_object()?.iter().next()?;
    let side = |name: &str| operands.get(name);
    match operator.as_str() {
        "&&" => both(side("left")?, side("right")?),
        "||" => Some(format!("({} or {})", words(side("left")?)?, words(side("right")?)?)),
        "!" => Some(format!("not ({})", words(side("arg")?)?)),
        "==" => Some(format!("{} {}", attribute(side("left")?)?, side("right")?.get("Value")?.as_str()?)),
        "like" => Some(format!("{} {}", attribute(side("left")?)?, pattern(side("pattern")?)?)),
        "hasTag" => Some(format!("label {}", label(operands)?)),
        _ => None,
    }
}

/// `hasTag("x") && getTag("x") == "y"` is one condition to a person.
fn both(left: &Value, right: &Value) -> Option<String> {
    let (left, right) = (words(left)?, words(right)?);
    if right.strip_prefix(&left).is_some_and(|rest| left.starts_with("label ") && rest.starts_with(' ')) {
        return Some(right);
    }
    Some(format!("{left} and {right}"))
}

fn attribute(expression: &Value) -> Option<String> {
    if let Some(tag) = expression.get("getTag") {
        return Some(format!("label {}", label(tag)?));
    }
    let access = expression.get(".")?;
    let of = access.get("left")?.get("Var")?.as_str()?;
    let name = access.get("attr")?.as_str()?;
    Some(if of == "resource" { name.to_owned() } else { format!("{of} {name}") })
}

fn label(operands: &Value) -> Option<&str> {
    let on_resource = operands.get("left")?.get("Var")?.as_str()? == "resource";
    on_resource.then_some(operands.get("right")?.get("Value")?.as_str()?)
}

fn pattern(parts: &Value) -> Option<String> {
    let part = |part: &Value| match part.as_str() {
        Some("Wildcard") => Some("*".to_owned()),
        Some(_) => None,
        None => Some(part.get("Literal")?.as_str()?.to_owned()),
    };
    parts.as_array()?.iter().map(part).collect()
}

/// The conditions as they stand in the file, on one line.
fn written(text: &str) -> String {
    let from = ["when", "unless"].iter().filter_map(|word| text.rfind(&format!(") {word}"))).min();
    let from = from.or_else(|| text.find("when")).or_else(|| text.find("unless")).unwrap_or(0);
    let words: Vec<&str> = text[from..].trim_start_matches(')').split_whitespace().collect();
    words.join(" ").trim_end_matches(';').to_owned()
}
