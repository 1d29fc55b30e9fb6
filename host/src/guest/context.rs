//! What one guest carries: its door, its limits, and the resources of its deterministic WASI.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::ResourceLimiter;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use super::{Perform, wasi};

/// State of one guest's store.
pub(super) struct Context {
    pub(super) door: Arc<dyn Perform>,
    pub(super) memory: Memory,
    pub(super) output: wasi::Output,
    pub(super) wasi: WasiCtx,
    pub(super) table: ResourceTable,
    /// CPU used, in ticks.
    pub(super) ticks: u64,
    pub(super) ticks_max: u64,
    pub(super) out_of_cpu: bool,
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Caps the *sum* of linear memories and of table elements.
pub(super) struct Memory {
    bytes: usize,
    bytes_max: usize,
    elements: usize,
    elements_max: usize,
    pub(super) refused: Arc<AtomicBool>,
}

impl Memory {
    pub(super) fn new(bytes_max: u64, elements_max: usize) -> Memory {
        Memory {
            bytes: 0,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            elements: 0,
            elements_max,
            refused: Arc::default(),
        }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.bytes_max {
            self.refused.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        self.bytes = bytes;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.elements_max {
            self.refused.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }
}
