//! `sandbook grant`: writes the Cedar that permits one effect of one runbook on what is named, and nothing more.
//!
//! A grant is keyed by runbook, effect and what it covers: the same one again changes nothing, the same one with
//! another limit replaces the first under its id, so that its attempts stay counted. The whole directory is validated
//! with the grant in it before a byte is written; the file is replaced at once or not at all.
//! Deliberately not here: editing policies that a person wrote under another id or in another file, and taking a grant
//! away; see [`super::revoke`].

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sandbook_core::duration::Rate;
use sandbook_core::effect::{Class, Effect, Info};
use sandbook_core::problem::Problem;
use serde::Serialize;

use super::fix::is_plain;
use super::load::{self, Source};
use super::schema;

/// What was asked for cannot be granted.
pub const REFUSED: &str = "SB0307";

/// The file grants are written to, in the policy directory.
pub const FILE: &str = "grants.cedar";

/// Longest name or pattern: Docker's own bound on names.
const NAME_BYTES_MAX: usize = 255;

/// What a grant covers; everything named must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Name of a container, `*` standing for any characters.
    pub container: Option<String>,
    /// Compose `PROJECT/NAME`.
    pub service: Option<String>,
    /// Docker host by its name in the configuration.
    pub host: Option<String>,
}

/// What came of writing a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Added,
    /// It was there with another limit or approval.
    Replaced,
    /// It was there.
    Unchanged,
}

/// A grant as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Where.
    pub file: PathBuf,
    /// The policy.
    pub cedar: String,
    /// Its `@id`.
    pub id: String,
    /// What happened.
    pub change: Change,
}

/// Permits `effect` of `runbook` on what the selector names, at most as often as `limit`, and if `ask`, asking first.
pub fn grant(
    dir: &Path,
    runbook: &str,
    effect: &str,
    selector: &Selector,
    limit: Option<Rate>,
    ask: bool,
) -> Result<Grant, Vec<Problem>> {
    let path = dir.join(FILE);
    let refuse = |(message, help)| vec![problem(REFUSED, &path, message, help)];
    let (id, cedar) = compose(runbook, effect, selector, limit, ask).map_err(refuse)?;
    let fail = |error: std::io::Error| {
        let message = format!("policy directory {} cannot be written: {error}", dir.display());
        vec![problem(load::UNREADABLE, &path, message, "check that it exists and its permissions".to_owned())]
    };
    std::fs::create_dir_all(dir).map_err(fail)?;
    // Held until the end: of two grants at once, neither is lost.
    let lock = File::open(dir).map_err(fail)?;
    lock.lock().map_err(fail)?;
    let mut sources = load::read(&[dir.to_path_buf()])?;
    let before = load::rules(&sources)?;
    let file = path.display().to_string();
    let index = sources.iter().position(|source| source.file == file).unwrap_or_else(|| {
        sources.push(Source { file: file.clone(), text: String::new() });
        sources.len() - 1
    });
    let text = &mut sources[index].text;
    let change = match before.rules.iter().find(|rule| rule.id == id) {
        Some(rule) if rule.text() == cedar => {
            return Ok(Grant { file: PathBuf::from(&rule.file), cedar, id, change: Change::Unchanged });
        }
        Some(rule) if rule.file != file => {
            let message = format!("the grant `{id}` stands in {}:{} and differs", rule.file, rule.line);
            return Err(refuse((message, "change it there, or remove it first".to_owned())));
        }
        Some(rule) => {
            text.replace_range(rule.start..rule.end, &cedar);
            Change::Replaced
        }
        None => {
            append(text, &cedar);
            Change::Added
        }
    };
    load::rules(&sources)?;
    write(dir, &path, &sources[index].text).map_err(fail)?;
    Ok(Grant { file: path, cedar, id, change })
}

fn problem(code: &'static str, path: &Path, message: String, help: String) -> Problem {
    Problem { code, file: path.display().to_string(), line: 1, column: 1, message, help, warning: false }
}

fn append(text: &mut String, cedar: &str) {
    if text.is_empty() {
        text.push_str("// Written by `sandbook grant`. Edit freely; keep the @id lines, limits are counted by them.\n");
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push('\n');
    text.push_str(cedar);
    text.push('\n');
}

/// Writes a file beside it and renames, keeping the permissions of the one it replaces.
pub(super) fn write(dir: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    // Policy holds no secrets, and a reviewer should be able to read it.
    let mode = std::fs::metadata(path).map_or_else(|_| Permissions::from_mode(0o644), |old| old.permissions());
    let mut file = tempfile::Builder::new().prefix(".grants-").suffix(".tmp").tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// The policy and its id, without writing it: what `sandbook grant` prints.
pub fn compose(
    runbook: &str,
    effect: &str,
    selector: &Selector,
    limit: Option<Rate>,
    ask: bool,
) -> Result<(String, String), (String, String)> {
    if runbook.is_empty() || runbook.len() > 63 || !runbook.bytes().all(is_name_byte) {
        let message = format!("runbook {runbook:?} is not a name");
        return Err((message, "names are a-z, 0-9 and -, at most 63 characters".to_owned()));
    }
    let info = grantable(effect)?;
    let resources = schema::resources(info.name);
    let conditions = conditions(info, resources, selector)?;
    let covers: Vec<String> = conditions.iter().map(|condition| condition.key.clone()).collect();
    let id = format!("{runbook}/{}/{}", info.name, covers.join(","));
    let when: Vec<&str> = conditions.iter().map(|condition| condition.cedar.as_str()).collect();
    let on_container = resources.contains(&"Container") && !only_host(selector, resources);
    let kind =
        if on_container { "Container" } else { resources.iter().find(|kind| **kind != "Container").unwrap_or(&"Host") };
    let when = if when.is_empty() { String::new() } else { format!(" when {{ {} }}", when.join(" && ")) };
    let mut cedar = format!("@id(\"{id}\")\n");
    if let Some(limit) = limit {
        cedar.push_str(&format!("@limit(\"{limit}\")\n"));
    }
    if ask {
        cedar.push_str("@approval(\"ask\")\n");
    }
    cedar.push_str(&format!(
        "permit (\n  principal == Runbook::\"{runbook}\",\n  action == Action::\"{}\",\n  resource is {kind}\n){when};",
        info.name,
    ));
    Ok((id, cedar))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// Whether the effect is about a host and can be about nothing narrower that is named.
fn only_host(selector: &Selector, resources: &[&str]) -> bool {
    resources.contains(&"Host") && selector.container.is_none() && selector.service.is_none()
}

/// The effect, if policy is what it lacks; else what it needs instead.
fn grantable(effect: &str) -> Result<&'static Info, (String, String)> {
    let Some(info) = Effect::find(effect) else {
        let help = match Effect::closest(effect) {
            Some(near) => format!("did you mean {near}?"),
            None => "`sandbook effects` lists the effects".to_owned(),
        };
        return Err((format!("there is no effect {effect:?}"), help));
    };
    let instead = match info.class {
        Class::Mutate => return Ok(info),
        Class::Observe => {
            "a read needs no grant: name it in `effects` under [requests] of the runbook's manifest".to_owned()
        }
        Class::Egress => "list the host: `hosts` under [egress] in the configuration".to_owned(),
        Class::Tell => "configure the channel: [notify.channels.NAME] in the configuration".to_owned(),
        Class::Ambient | Class::Note | Class::State | Class::Wait => "every runbook may do it".to_owned(),
    };
    Err((format!("{} is of class {} and takes no grant", info.name, info.class), instead))
}

struct Condition {
    key: String,
    cedar: String,
}

fn conditions(info: &Info, resources: &[&str], selector: &Selector) -> Result<Vec<Condition>, (String, String)> {
    let on_container = resources.contains(&"Container");
    let on_service = resources.contains(&"Service");
    let on_host = on_container || on_service || resources.contains(&"Host");
    let mut conditions = Vec::new();
    let by_name = ["logs.truncate-container-log"].contains(&info.name);
    let named = selector.container.as_deref().is_some_and(|name| !name.contains('*'));
    if by_name && !named {
        let message = format!("{} is granted by the container's name only", info.name);
        return Err((message, "name one container with --container, without `*`".to_owned()));
    }
    if on_service && selector.container.is_some() {
        let message = format!("{} is about a service, not about a container", info.name);
        return Err((message, "name it with --service PROJECT/NAME".to_owned()));
    }
    if on_host && !on_container && !on_service && (selector.container.is_some() || selector.service.is_some()) {
        let message = format!("{} is about a host, not about a container", info.name);
        return Err((message, "name the host with --host".to_owned()));
    }
    if !on_host {
        if *selector != Selector::default() {
            let message = format!("{} is about no container, service or host", info.name);
            return Err((message, "leave --container, --service and --host out".to_owned()));
        }
        return Ok(conditions);
    }
    if let Some(pattern) = &selector.container {
        check("container", pattern, |byte| is_docker_byte(byte) || byte == b'*')?;
        let comparison = if pattern.contains('*') { "like" } else { "==" };
        conditions.push(Condition {
            key: format!("container={pattern}"),
            cedar: format!("resource.name {comparison} \"{pattern}\""),
        });
    }
    if let Some(service) = &selector.service {
        let (project, name) = service
            .split_once('/')
            .ok_or_else(|| (format!("service {service:?} has no project"), "write it as PROJECT/NAME".to_owned()))?;
        check("project", project, is_docker_byte)?;
        check("service", name, is_docker_byte)?;
        conditions.push(Condition {
            key: format!("service={project}/{name}"),
            cedar: format!("resource.project == \"{project}\" && resource.service == \"{name}\""),
        });
    }
    if let Some(host) = &selector.host {
        check("host", host, is_docker_byte)?;
        let attribute = if on_service || (on_container && !only_host(selector, resources)) { "host" } else { "name" };
        conditions
            .push(Condition { key: format!("host={host}"), cedar: format!("resource.{attribute} == \"{host}\"") });
    }
    if conditions.is_empty() {
        let message = format!("it is not said what {} may touch", info.name);
        let all = "--container '*' means every container".to_owned();
        let help = if on_service {
            "name it with --service or --host".to_owned()
        } else if on_container {
            format!("name it with --container, --service or --host; {all}")
        } else {
            "name the host with --host".to_owned()
        };
        return Err((message, help));
    }
    Ok(conditions)
}

fn is_docker_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn check(what: &str, text: &str, allowed: impl Fn(u8) -> bool) -> Result<(), (String, String)> {
    let plain = is_plain(&text.replace('*', "x"));
    if plain && text.len() <= NAME_BYTES_MAX && text.bytes().all(allowed) {
        return Ok(());
    }
    let star = if what == "container" { ", and * for any characters" } else { "" };
    Err((
        format!("{what} {text:?} is not a name"),
        format!("use letters, digits, `.`, `_` and `-`{star}; write other conditions in Cedar by hand"),
    ))
}
