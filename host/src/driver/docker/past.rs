//! What events told of containers: which exit was asked for, and which name an id had that is gone.
//!
//! Docker's inspections show neither. Whoever follows a host's events feeds this; what happened before the daemon looked
//! is read from the engine's own short memory when it is needed. Deliberately not here: who asked. Docker does not say.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::query_parameters::EventsOptions;
use futures::StreamExt;
use sandbook_core::effect::docker::{ContainerState, Status};
use sandbook_core::stopped;
use sandbook_core::target::Stop;

use super::{EngineEvent, Host, instant};

/// How long after a signal an exit still counts as asked for: the longest stop grace, with room for a slow engine.
const ASKED_SECONDS: i64 = 600;
/// Signals that programs handle and go on: they ask for something else than an end.
const HARMLESS: [&str; 10] = ["1", "HUP", "10", "USR1", "12", "USR2", "28", "WINCH", "18", "CONT"];
/// Containers remembered a host; more than are watched. A full memory is emptied, the engine is asked again then.
const REMEMBERED_MAX: usize = 8_192;
/// Events read of one container at the most: the engine itself keeps 256.
const EVENTS_READ_MAX: usize = 1_000;

/// The last exit of one container, told by its events in order.
#[derive(Debug, Clone, Default)]
pub struct LastExit {
    asked_at: Option<jiff::Timestamp>,
    asked: Option<bool>,
}

impl LastExit {
    /// Takes the next event in.
    pub fn note(&mut self, event: &EngineEvent) {
        match event.action.as_str() {
            "kill" => {
                let signal = event.signal.as_deref().unwrap_or("KILL");
                if !HARMLESS.contains(&signal.trim_start_matches("SIG")) {
                    self.asked_at = Some(event.at);
                }
            }
            // Docker reports it after `die` where the process was done before its stop.
            "stop" => {
                self.asked_at = Some(event.at);
                self.asked = Some(true);
            }
            "die" => {
                let within = |asked: jiff::Timestamp| event.at.as_second() - asked.as_second() <= ASKED_SECONDS;
                self.asked = Some(self.asked_at.take().is_some_and(within));
            }
            "start" => *self = LastExit::default(),
            _ => {}
        }
    }

    /// Whether a stop or a signal that ends came before it. Absent while it runs, and where nothing was heard.
    pub fn asked(&self) -> Option<bool> {
        self.asked
    }
}

/// What a host's events told so far.
#[derive(Debug, Default)]
pub(super) struct Past {
    exits: Mutex<HashMap<String, LastExit>>,
    gone: Mutex<HashMap<String, String>>,
}

fn lock<T>(map: &Mutex<HashMap<String, T>>) -> MutexGuard<'_, HashMap<String, T>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Past {
    pub(super) fn note(&self, event: &EngineEvent) {
        if event.is_noise() {
            return;
        }
        let mut exits = lock(&self.exits);
        if event.action == "destroy" {
            exits.remove(&event.id);
            let mut gone = lock(&self.gone);
            if gone.len() >= REMEMBERED_MAX {
                gone.clear();
            }
            gone.insert(event.id.clone(), event.name.clone());
            return;
        }
        if exits.len() >= REMEMBERED_MAX && !exits.contains_key(&event.id) {
            exits.clear();
        }
        exits.entry(event.id.clone()).or_default().note(event);
    }
}

impl Host {
    /// Whether a container that does not run was stopped on request.
    pub(in crate::driver) async fn stop_of(&self, id: &str, state: &ContainerState, policy: &str) -> Option<Stop> {
        if state.status != Status::Exited {
            return None;
        }
        // The events only add to what the state says: where they cannot be read, that has to do.
        let heard = lock(&self.past.exits).get(id).and_then(LastExit::asked);
        let asked = match heard {
            Some(asked) => Some(asked),
            None => self.asked_before(id, state).await,
        };
        stopped::on_request(state, policy, asked)
    }

    /// The same from the engine's own memory, for what happened before this daemon looked.
    async fn asked_before(&self, id: &str, state: &ContainerState) -> Option<bool> {
        let ended: jiff::Timestamp = state.finished_at.as_deref()?.parse().ok()?;
        let since = ended.checked_sub(jiff::SignedDuration::from_secs(ASKED_SECONDS)).ok()?;
        let mut exit = LastExit::default();
        self.each_event(id, since, |event| exit.note(event)).await;
        exit.asked()
    }

    /// Whether a container that is gone was called so.
    pub(super) async fn was_called(&self, gone: &str, name: &str) -> bool {
        let known = lock(&self.past.gone).get(gone).cloned();
        if let Some(known) = known {
            return known == name;
        }
        let mut called = false;
        self.each_event(gone, jiff::Timestamp::UNIX_EPOCH, |event| called = event.name == name).await;
        called
    }

    /// Passes what the engine remembers of a container; nothing where it does not answer.
    async fn each_event(&self, id: &str, since: jiff::Timestamp, mut take: impl FnMut(&EngineEvent)) {
        let filters = [("type", "container"), ("container", id)];
        let filters = filters.map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).into();
        let until = Some(instant(jiff::Timestamp::now()));
        let options = EventsOptions { since: Some(instant(since)), until, filters: Some(filters) };
        let reading = async {
            let mut events = Box::pin(self.docker.events(Some(options))).take(EVENTS_READ_MAX);
            while let Some(Ok(message)) = events.next().await {
                if let Some(event) = EngineEvent::from_message(message) {
                    take(&event);
                }
            }
        };
        let _ = tokio::time::timeout(self.read_timeout, reading).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, signal: Option<&str>, second: i64) -> EngineEvent {
        EngineEvent {
            at: jiff::Timestamp::from_second(second).expect("in range"),
            action: action.to_owned(),
            id: "a".to_owned(),
            name: "web".to_owned(),
            labels: std::collections::BTreeMap::new(),
            exit_code: None,
            signal: signal.map(str::to_owned),
        }
    }

    fn asked(events: &[EngineEvent]) -> Option<bool> {
        let mut exit = LastExit::default();
        events.iter().for_each(|event| exit.note(event));
        exit.asked()
    }

    #[test]
    fn a_stop_and_a_deadly_signal_ask_for_an_exit() {
        let (kill, die, stop) = (event("kill", Some("15"), 1), event("die", None, 2), event("stop", None, 2));
        assert_eq!(asked(&[kill.clone(), die.clone(), stop.clone()]), Some(true));
        assert_eq!(asked(&[kill.clone(), die.clone()]), Some(true));
        assert_eq!(asked(&[die.clone(), stop]), Some(true), "it was done before its stop");
        assert_eq!(asked(std::slice::from_ref(&die)), Some(false));
        assert_eq!(asked(&[event("kill", Some("HUP"), 1), die.clone()]), Some(false));
        assert_eq!(asked(&[kill.clone(), event("die", None, 1_000)]), Some(false), "long after the signal");
        assert_eq!(asked(&[kill, die, event("start", None, 3)]), None, "it runs again");
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn what_is_gone_keeps_its_name() {
        let past = Past::default();
        past.note(&event("destroy", None, 1));
        assert_eq!(lock(&past.gone).get("a").map(String::as_str), Some("web"));
        assert!(lock(&past.exits).is_empty());
    }
}
