//! What a component imports, and whether each import is an effect or a listed deterministic stub.

use anyhow::{Result, bail};
use sandbook_core::effect::{Effect, closest};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::wasi;

/// One imported function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Such as `sandbook:runbook/docker@1.0.0`.
    pub interface: String,
    /// Such as `restart-container`.
    pub function: String,
}

/// Every function a component imports.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// In the component's order.
    pub imports: Vec<Import>,
    /// Imports that are no interface of functions.
    other: Vec<String>,
}

/// Interfaces of the guest contract begin so.
const OURS: &str = "sandbook:runbook/";

impl Audit {
    /// Reads a compiled component's imports.
    pub(super) fn of(engine: &Engine, component: &Component) -> Audit {
        let mut audit = Audit::default();
        for (name, item) in component.component_type().imports(engine) {
            match item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    for (function, item) in instance.exports(engine) {
                        if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                            audit.imports.push(Import { interface: name.to_owned(), function: function.to_owned() });
                        }
                    }
                }
                ComponentItem::Type(_) => {}
                _ => audit.other.push(name.to_owned()),
            }
        }
        audit
    }

    /// Names of the effects it can ask for.
    pub fn effects(&self) -> Vec<String> {
        self.imports.iter().filter_map(Import::effect).collect()
    }

    /// Refuses what we do not offer, naming it and what it may have meant.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(name) = self.other.first() {
            bail!(
                "the component imports `{name}`, which is no interface of {}; a runbook reaches the world only through its effects",
                super::ABI
            );
        }
        for import in &self.imports {
            if let Some(effect) = import.effect() {
                if Effect::find(&effect).is_none() {
                    let hint = closest(&effect, Effect::ALL.iter().map(|info| info.name))
                        .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                    bail!("the component imports the effect `{effect}`, which does not exist{hint}");
                }
            } else if !wasi::OFFERED.iter().any(|(offered, _)| interface_without_version(&import.interface) == *offered)
            {
                bail!(
                    "the component imports `{}#{}`, which is not offered; a runbook has no sockets, files or environment, \
                     only its effects (see `sandbook effects`) and a deterministic WASI 0.2",
                    import.interface,
                    import.function
                );
            }
        }
        Ok(())
    }
}

impl Import {
    /// The effect it is, if it is one of ours.
    fn effect(&self) -> Option<String> {
        let interface = interface_without_version(&self.interface).strip_prefix(OURS)?;
        Some(format!("{interface}.{}", self.function))
    }
}

fn interface_without_version(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(name, _)| name)
}
