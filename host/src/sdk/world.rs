//! The world of one package: the contract without the effects its manifest does not request.
//!
//! Deliberately not here: what a request is worth; that is the operator's to say.

use anyhow::{Context as _, Result};
use sandbook_core::effect::Effect;
use wit_parser::{PackageId, Resolve, WorldId, WorldItem};

/// The contract narrowed to some effects: its items, its package and the world of runbooks, with `verify` or without.
pub(super) struct Narrowed {
    pub(super) resolve: Resolve,
    pub(super) package: PackageId,
    pub(super) world: WorldId,
    /// Effects that remain, in the order of the contract.
    pub(super) effects: Vec<String>,
}

/// Name of the world that a package exports.
pub(super) fn world_name(verify: bool) -> &'static str {
    if verify { "verified-runbook" } else { "runbook" }
}

/// Narrows the contract: of effects that need a request those that are requested, of the others all.
pub(super) fn narrow(requests: &[String], verify: bool) -> Result<Narrowed> {
    let (mut resolve, package, _) = crate::guest::parse_wit()?;
    let world = resolve.select_world(&[package], Some(world_name(verify)))?;
    let wanted = |name: &str| {
        Effect::find(name)
            .is_some_and(|info| !info.class.needs_request() || requests.iter().any(|request| request == name))
    };
    let mut effects = Vec::new();
    let ids: Vec<_> = resolve.packages[package].interfaces.values().copied().collect();
    for id in ids {
        let interface = &mut resolve.interfaces[id];
        let name = interface.name.clone().unwrap_or_default();
        interface.functions.retain(|function, _| {
            let effect = format!("{name}.{function}");
            let kept = wanted(&effect);
            effects.extend(kept.then_some(effect));
            kept
        });
    }
    let empty = |resolve: &Resolve, item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => {
            let interface = &resolve.interfaces[*id];
            interface.functions.is_empty() && interface.name.as_deref() != Some("types")
        }
        WorldItem::Function(_) | WorldItem::Type { .. } => false,
    };
    let worlds: Vec<WorldId> = resolve.packages[package].worlds.values().copied().collect();
    for id in worlds {
        let imports = std::mem::take(&mut resolve.worlds[id].imports);
        let kept = imports.into_iter().filter(|(_, item)| !empty(&resolve, item)).collect();
        resolve.worlds[id].imports = kept;
    }
    Ok(Narrowed { resolve, package, world, effects })
}

impl Narrowed {
    /// As text, which toolchains read.
    pub(super) fn text(&self) -> Result<String> {
        let mut printer = wit_component::WitPrinter::default();
        printer.print(&self.resolve, self.package, &[]).context("printing the package's world")?;
        Ok(printer.output.to_string())
    }
}

/// The WIT of a package that requests these effects.
///
/// # Errors
/// When the embedded contract does not parse, which a test excludes.
pub fn world(requests: &[String], verify: bool) -> Result<String> {
    narrow(requests, verify)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_has_what_is_requested_and_what_needs_no_request() {
        let requests = ["docker.inspect-container".to_owned(), "logs.tail-container".to_owned()];
        let narrowed = narrow(&requests, false).expect("it narrows");
        let asks = |name: &str| narrowed.effects.iter().any(|effect| effect == name);
        assert!(asks("docker.inspect-container") && asks("logs.tail-container"));
        assert!(asks("clock.sleep") && asks("log.log") && asks("state.put"));
        assert!(!asks("docker.restart-container") && !asks("http.request"));
        let text = narrowed.text().expect("it prints");
        assert!(text.contains("inspect-container: func") && !text.contains("restart-container: func"), "{text}");
        assert!(!text.contains("import http") && !text.contains("import notify"), "{text}");
        // What was printed is a contract again.
        let mut resolve = Resolve::default();
        let package = resolve.push_str("narrow.wit", &text).expect("it parses");
        resolve.select_world(&[package], Some("runbook")).expect("its world");
    }
}
