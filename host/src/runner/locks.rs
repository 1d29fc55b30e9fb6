//! Locks: one run at a time per subject, and per the subjects that depend on it.
//!
//! A run takes all of its locks as one set, in the order of their names, before its guest begins; so two runs never
//! wait for each other. What it touches beyond them it locks when it does, without waiting. Waiting runs hold none.
//!
//! Deliberately not here: brakes and settle windows, which outlive a run.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

/// Subjects remembered before those that nobody holds are forgotten: every container of some large hosts.
const SUBJECTS_MAX: usize = 10_000;

/// Every lock there is.
#[derive(Default)]
pub struct Locks(Mutex<HashMap<String, Lock>>);

struct Lock {
    lock: Weak<tokio::sync::Mutex<()>>,
    /// Which run had it last.
    holder: String,
}

/// The locks of one run, until it is dropped.
#[derive(Default)]
pub struct Held {
    run: String,
    subjects: BTreeSet<String>,
    guards: Vec<OwnedMutexGuard<()>>,
}

impl Locks {
    fn map(&self) -> MutexGuard<'_, HashMap<String, Lock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, subject: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut map = self.map();
        if map.len() > SUBJECTS_MAX {
            map.retain(|_, lock| lock.lock.strong_count() > 0);
        }
        if let Some(lock) = map.get(subject).and_then(|lock| lock.lock.upgrade()) {
            return lock;
        }
        let lock = Arc::<tokio::sync::Mutex<()>>::default();
        map.insert(subject.to_owned(), Lock { lock: Arc::downgrade(&lock), holder: String::new() });
        lock
    }

    fn held_by(&self, subject: &str, run: &str) {
        if let Some(lock) = self.map().get_mut(subject) {
            run.clone_into(&mut lock.holder);
        }
    }

    /// Waits until all are free at their turn.
    pub(super) async fn take(&self, run: &str, subjects: BTreeSet<String>) -> Held {
        let mut guards = Vec::with_capacity(subjects.len());
        for subject in &subjects {
            guards.push(self.of(subject).lock_owned().await);
            self.held_by(subject, run);
        }
        Held { run: run.to_owned(), subjects, guards }
    }

    /// Adds one more if nobody has it. Errors: the run that has it.
    pub(super) fn add(&self, held: &mut Held, subject: &str) -> Result<(), String> {
        if held.subjects.contains(subject) {
            return Ok(());
        }
        match self.of(subject).try_lock_owned() {
            Ok(guard) => {
                self.held_by(subject, &held.run);
                held.subjects.insert(subject.to_owned());
                held.guards.push(guard);
                Ok(())
            }
            Err(_) => Err(self.map().get(subject).map(|lock| lock.holder.clone()).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(subjects: &[&str]) -> BTreeSet<String> {
        subjects.iter().map(|subject| (*subject).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_set_is_taken_whole_and_nobody_waits_for_each_other() {
        let locks = Arc::new(Locks::default());
        let both = |names: [&'static str; 2]| {
            let locks = locks.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    let held = locks.take("r", set(&names)).await;
                    tokio::task::yield_now().await;
                    drop(held);
                }
            })
        };
        let done = tokio::time::timeout(std::time::Duration::from_secs(10), async {
            let (one, other) = tokio::join!(both(["a", "b"]), both(["b", "a"]));
            (one.expect("ends"), other.expect("ends"))
        });
        assert!(done.await.is_ok());
    }

    #[tokio::test]
    async fn what_another_run_has_is_not_waited_for() {
        let locks = Locks::default();
        let mut one = locks.take("r_one", set(&["a"])).await;
        let mut other = locks.take("r_other", set(&["b"])).await;
        assert_eq!(locks.add(&mut other, "a"), Err("r_one".to_owned()));
        assert_eq!(locks.add(&mut one, "a"), Ok(()));
        drop(one);
        assert_eq!(locks.add(&mut other, "a"), Ok(()));
    }
}
