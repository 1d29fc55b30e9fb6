//! Turns: whose run goes next when more want to than may.
//!
//! Greatest priority first. Within a priority the groups take turns, so that ten thousand alerts of one kind do not
//! delay a single one of another; within a group the first come goes first. Every eighth turn goes to the least
//! priority that waits, so that nobody waits for ever.
//!
//! Deliberately not here: what a turn is for, and how many may wait (the runner's queue is bounded).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// After so many turns by priority one goes to the least of them: an eighth of the places is little, and enough.
const BY_PRIORITY: u32 = 7;

/// A number of places, given to whoever's turn it is.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Inner>>);

struct Inner {
    free: usize,
    by_priority: u32,
    waiting: BTreeMap<Reverse<i32>, Groups>,
}

/// Those who wait with one priority.
#[derive(Default)]
struct Groups {
    order: VecDeque<String>,
    queues: HashMap<String, VecDeque<oneshot::Sender<Turn>>>,
}

impl Groups {
    fn push(&mut self, group: &str, waiter: oneshot::Sender<Turn>) {
        if let Some(queue) = self.queues.get_mut(group) {
            queue.push_back(waiter);
            return;
        }
        self.order.push_back(group.to_owned());
        self.queues.insert(group.to_owned(), VecDeque::from([waiter]));
    }

    /// The first of the group whose turn it is; that group is last afterwards.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let group = self.order.pop_front()?;
        let queue = self.queues.get_mut(&group)?;
        let waiter = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&group);
        } else {
            self.order.push_back(group);
        }
        waiter
    }
}

impl Inner {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        self.by_priority = (self.by_priority + 1) % (BY_PRIORITY + 1);
        let mut entry = match self.by_priority {
            0 => self.waiting.last_entry()?,
            _ => self.waiting.first_entry()?,
        };
        let waiter = entry.get_mut().pop();
        if entry.get().order.is_empty() {
            entry.remove();
        }
        waiter
    }
}

/// A place, until it is dropped.
pub(super) struct Turn(Option<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

impl Turns {
    pub(super) fn new(places: usize) -> Turns {
        Turns(Arc::new(Mutex::new(Inner { free: places, by_priority: 0, waiting: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(super) async fn take(&self, priority: i32, group: &str) -> Turn {
        let (waiter, turn) = oneshot::channel();
        {
            let mut inner = self.lock();
            if inner.free > 0 {
                inner.free -= 1;
                return Turn(Some(self.clone()));
            }
            inner.waiting.entry(Reverse(priority)).or_default().push(group, waiter);
        }
        // The sender is kept until it is used, so there is always an answer.
        turn.await.unwrap_or(Turn(None))
    }

    /// Gives a place that became free to the next one, or keeps it.
    fn pass_on(&self) {
        loop {
            let waiter = {
                let mut inner = self.lock();
                let waiter = inner.next();
                if waiter.is_none() {
                    inner.free += 1;
                }
                waiter
            };
            let Some(waiter) = waiter else { return };
            match waiter.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // It no longer waits: its turn is the next one's.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn order(turns: &Turns, asks: &[(i32, &'static str, &'static str)]) -> Vec<&'static str> {
        let first = turns.take(0, "first").await;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for (priority, group, name) in asks.iter().copied() {
            let (turns, tell) = (turns.clone(), tell.clone());
            tokio::spawn(async move {
                let _turn = turns.take(priority, group).await;
                tell.send(name).expect("listened to");
            });
            tokio::task::yield_now().await;
        }
        drop((first, tell));
        let mut order = Vec::new();
        while let Some(name) = told.recv().await {
            order.push(name);
        }
        order
    }

    #[tokio::test]
    async fn priority_first_then_groups_in_turn_then_first_come() {
        let asks = [(0, "a", "a1"), (0, "a", "a2"), (0, "a", "a3"), (0, "b", "b1"), (5, "c", "urgent")];
        assert_eq!(order(&Turns::new(1), &asks).await, ["urgent", "a1", "b1", "a2", "a3"]);
    }

    #[tokio::test]
    async fn the_least_is_not_starved() {
        let mut asks = vec![(0, "low", "low")];
        asks.extend(std::iter::repeat_n((9, "high", "high"), 20));
        let order = order(&Turns::new(1), &asks).await;
        let place = order.iter().position(|name| *name == "low").expect("it had its turn");
        assert!((6..=8).contains(&place), "{place}: {order:?}");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_costs_no_place() {
        let turns = Turns::new(1);
        let held = turns.take(0, "a").await;
        let gave_up = tokio::time::timeout(std::time::Duration::from_millis(1), turns.take(0, "a")).await;
        assert!(gave_up.is_err());
        drop(held);
        let all = [turns.take(0, "a").await];
        assert_eq!(turns.lock().free, 0);
        drop(all);
        assert_eq!(turns.lock().free, 1);
    }
}
