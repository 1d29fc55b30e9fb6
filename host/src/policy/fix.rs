//! The line that would allow what was denied, ready to paste.
//!
//! Names and labels of containers are chosen by whoever starts them, hosts by the runbook: whatever is not plain is
//! quoted, so that pasting a suggestion runs nothing but the suggestion. Deliberately not here: deciding.

use sandbook_core::effect::Scope;
use sandbook_core::target::{LABEL_PROTECT, labelled};

use super::Request;

/// Whether a text can stand in a shell line or a Cedar string as it is.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn shell(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// `sandbook grant …` for this effect on this target: the compose service where there is one, because it outlives the
/// container, else its name.
pub(super) fn grant(request: &Request<'_>) -> String {
    let (name, target) = (request.effect.name(), &request.resolved.target);
    let facts = request.resolved.facts.as_ref();
    let service = facts.and_then(|facts| facts.project.as_deref().zip(facts.service.as_deref()));
    let on = match (request.effect.scope(), service) {
        (Scope::Container(_), Some((project, service)))
            if is_plain(project) && is_plain(service) && !request.effect.by_name_only() =>
        {
            format!("--service {project}/{service}")
        }
        (Scope::Container(_), _) => format!("--container {}", shell(&target.name)),
        (Scope::Service(_), _) => format!("--service {}", shell_service(&target.name)),
        (Scope::Part(_), _) => return format!("sandbook grant {} {name}", shell(request.runbook)),
        (_, _) => format!("--host {}", shell(&target.host)),
    };
    format!("sandbook grant {} {name} {on}", shell(request.runbook))
}

/// `project/service`; a swarm service has no project.
fn shell_service(name: &str) -> String {
    match name.split_once('/') {
        Some((project, service)) if is_plain(project) && is_plain(service) => name.to_owned(),
        Some(_) | None => shell(name),
    }
}

/// `sandbook promote …` to the first stage that acts.
pub(super) fn promote(request: &Request<'_>) -> String {
    format!("sandbook promote {} ask --reason \"…\"", shell(request.runbook))
}

/// What is left to do about a container that nothing may change.
pub(super) fn shielded(request: &Request<'_>) -> String {
    let labels = request.resolved.facts.as_ref().map(|facts| &facts.labels);
    match labels.is_some_and(|labels| labelled(labels, LABEL_PROTECT)) {
        true => format!("recreate the container without the label {LABEL_PROTECT}, or do this by hand"),
        false => "do this by hand: an engine that stops itself cannot finish what it began".to_owned(),
    }
}

/// The configuration line that lists a host.
pub(super) fn egress(listed: &str) -> String {
    format!("add {listed:?} to `hosts` under [egress] in the configuration: [egress] hosts = [{listed:?}]")
}

/// The section that configures a channel.
pub(super) fn channel(name: &str, known: Option<&str>) -> String {
    let section = if is_plain(name) { name.to_owned() } else { format!("{name:?}") };
    let meant = known.map_or_else(String::new, |known| format!("did you mean {known:?}? else "));
    format!("{meant}add [notify.channels.{section}] to the configuration")
}
