//! What one guest carries: its door, its limits, and the resources of its deterministic WASI.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sandbook_core::effect::Effect;
use sandbook_core::error::Error;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use wasmtime::ResourceLimiter;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use super::{Perform, wasi};

/// An effect on its way from a guest's fiber to whoever runs the guest, and the way back.
pub(super) type Ask = (Effect, oneshot::Sender<Result<Value, Error>>);

/// A guest's way to ask. Effects are performed by the task that runs the guest and never on the guest's fiber: its small
/// stack is the guest's, and libraries that measure the thread's stack (Cedar does) must not find themselves on another.
#[derive(Clone)]
pub(super) struct Asks(mpsc::UnboundedSender<Ask>);

impl Asks {
    /// The two ends. A guest waits for each answer, so that no more than a few asks are ever under way.
    pub(super) fn channel() -> (Asks, mpsc::UnboundedReceiver<Ask>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Asks(sender), receiver)
    }

    /// The answer; never one when the run was stopped, because then the guest is dropped.
    pub(super) async fn ask(&self, effect: Effect) -> Result<Value, Error> {
        let (sender, receiver) = oneshot::channel();
        if self.0.send((effect, sender)).is_ok()
            && let Ok(answer) = receiver.await
        {
            return answer;
        }
        std::future::pending().await
    }
}

/// State of one guest's store.
pub(super) struct Context {
    pub(super) door: Arc<dyn Perform>,
    pub(super) asks: Asks,
    pub(super) memory: Memory,
    pub(super) output: wasi::Output,
    pub(super) wasi: WasiCtx,
    pub(super) table: ResourceTable,
    /// CPU used, in ticks.
    pub(super) ticks: u64,
    pub(super) ticks_max: u64,
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
