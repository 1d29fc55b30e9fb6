//! A core module made into a component: pre-initialised if asked, lifted, stripped, marked with its sources.

use std::path::Path;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use anyhow::{Context as _, Result};
use sandbook_pack::{Artefact, section, sources_hash};
use wasmtime::{Engine, Instance, Linker, Module, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};
use wit_component::ComponentEncoder;

/// The export that prepares a module's memory.
const INITIALIZE: &str = "wizer-initialize";

/// The component of an artefact, from the core module that cargo built.
pub(crate) fn component(root: &Path, artefact: &Artefact, module: &[u8]) -> Result<Vec<u8>> {
    let module = section::without(module, |name| !name.starts_with("component-type"))?;
    let module = if artefact.pre_initialised { initialised(&module)? } else { module };
    let lifted = ComponentEncoder::default().validate(true).module(&module)?.encode().context("lifting the module")?;
    let mut wasm = section::without(&lifted, |_| true)?;
    section::append(&mut wasm, section::SOURCES, sources_hash(root, &artefact.sources)?.as_bytes());
    if let Some(manifest) = &artefact.manifest {
        let text = std::fs::read(root.join(manifest)).with_context(|| format!("reading {manifest}"))?;
        section::append(&mut wasm, section::MANIFEST, &text);
    }
    Ok(wasm)
}

/// Runs the module's initialiser without any import and takes the memory it leaves as the module's own.
fn initialised(module: &[u8]) -> Result<Vec<u8>> {
    let wizer = {
        let mut wizer = Wizer::new();
        wizer.init_func(INITIALIZE);
        wizer
    };
    let (context, instrumented) = wizer.instrument(module)?;
    let engine = Engine::default();
    let module = Module::new(&engine, &instrumented)?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&module)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let initialize = instance.get_typed_func::<(), ()>(&mut store, INITIALIZE)?;
    let called = initialize.call(&mut store, ());
    called.map_err(|trap| trap.context("the initialiser trapped: it may not perform effects"))?;
    Ok(finished(wizer.snapshot(&context, &mut Initialised { store, instance }))??)
}

/// The result of a future that never waits.
fn finished<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => anyhow::bail!("the snapshot waited for something"),
    }
}

struct Initialised {
    store: Store<()>,
    instance: Instance,
}

impl InstanceState for Initialised {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut self.store, name).expect("wizer exports every global");
        match global.get(&mut self.store) {
            Val::I32(value) => SnapshotVal::I32(value),
            Val::I64(value) => SnapshotVal::I64(value),
            Val::F32(value) => SnapshotVal::F32(value),
            Val::F64(value) => SnapshotVal::F64(value),
            Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            other => unreachable!("wizer refuses modules with a mutable global of type {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut self.store, name).expect("wizer exports every memory");
        contents(memory.data(&self.store));
    }
}
