//! Where an attempt keeps its records and the runbook's memory: on disk for a run that acts, in memory for one that is
//! only thought through (a plan, a scenario, a replay, a look).
//!
//! Both answer alike, so that the same `perform` serves both. Deliberately not here: what is recorded (the gate).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbook_core::error::Error as CoreError;
use sandbook_core::journal::Record;

use crate::store::{Intend, Intended, RecordOf, Result, Store};

/// An attempt's records and memory.
pub enum Ledger {
    /// Of a run in the store.
    Disk {
        /// Where.
        store: Arc<dyn Store>,
        /// Which run.
        run: String,
    },
    /// Kept by whoever rehearses, and gone with it.
    Memory(Rehearsed),
}

/// What a rehearsal keeps.
#[derive(Default)]
pub struct Rehearsed {
    /// Where brakes are asked and what is not in memory is read; without one there are neither.
    store: Option<Arc<dyn Store>>,
    records: Mutex<Vec<Record>>,
    memory: Mutex<BTreeMap<String, String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rehearsed {
    /// Over a store that is read and never written.
    pub fn over(store: Arc<dyn Store>) -> Rehearsed {
        Rehearsed { store: Some(store), ..Rehearsed::default() }
    }

    /// With nothing but this memory.
    pub fn alone(memory: BTreeMap<String, String>) -> Rehearsed {
        Rehearsed { memory: Mutex::new(memory), ..Rehearsed::default() }
    }

    async fn get(&self, runbook: &str, key: &str) -> Result<Option<String>> {
        if let Some(value) = lock(&self.memory).get(key) {
            return Ok(Some(value.clone()));
        }
        match &self.store {
            Some(store) => store.memory_get(runbook, key).await,
            None => Ok(None),
        }
    }
}

impl Ledger {
    /// What was recorded so far; empty for a run in the store.
    pub fn take_records(&self) -> Vec<Record> {
        match self {
            Ledger::Disk { .. } => Vec::new(),
            Ledger::Memory(kept) => std::mem::take(&mut *lock(&kept.records)),
        }
    }

    /// See [`Store::append`].
    pub(super) async fn append(&self, records: Vec<Record>, durable: bool) -> Result<()> {
        match self {
            Ledger::Disk { store, run } => store.append(run, records, durable).await,
            Ledger::Memory(kept) => {
                lock(&kept.records).extend(records);
                Ok(())
            }
        }
    }

    /// See [`Store::intend`]. In memory the brakes are asked and nothing is counted.
    pub(super) async fn intend(&self, record: Record, intend: Intend) -> Result<Intended> {
        match self {
            Ledger::Disk { store, run } => store.intend(run, record, intend).await,
            Ledger::Memory(kept) => {
                let taken = match &kept.store {
                    Some(store) => store.would_intend(intend).await?,
                    None => Intended::Taken,
                };
                if matches!(taken, Intended::Taken) {
                    lock(&kept.records).push(record);
                }
                Ok(taken)
            }
        }
    }

    /// See [`Store::memory_get`].
    pub(super) async fn get(&self, runbook: &str, key: &str) -> Result<Option<String>> {
        match self {
            Ledger::Disk { store, .. } => store.memory_get(runbook, key).await,
            Ledger::Memory(kept) => kept.get(runbook, key).await,
        }
    }

    /// See [`Store::memory_put`].
    pub(super) async fn put(
        &self,
        record: Record,
        runbook: &str,
        key: &str,
        value: &str,
    ) -> Result<std::result::Result<(), CoreError>> {
        match self {
            Ledger::Disk { store, run } => store.memory_put(run, record, runbook, key, value).await,
            Ledger::Memory(kept) => {
                lock(&kept.memory).insert(key.to_owned(), value.to_owned());
                lock(&kept.records).push(record);
                Ok(Ok(()))
            }
        }
    }

    /// See [`Store::memory_compare_and_put`].
    pub(super) async fn compare_and_put(
        &self,
        runbook: &str,
        key: &str,
        expected: Option<&str>,
        value: &str,
        record: RecordOf,
    ) -> Result<std::result::Result<bool, CoreError>> {
        match self {
            Ledger::Disk { store, run } => {
                store.memory_compare_and_put(run, runbook, key, expected, value, record).await
            }
            Ledger::Memory(kept) => {
                let put = kept.get(runbook, key).await?.as_deref() == expected;
                if put {
                    lock(&kept.memory).insert(key.to_owned(), value.to_owned());
                }
                lock(&kept.records).push(record(put));
                Ok(Ok(put))
            }
        }
    }
}
