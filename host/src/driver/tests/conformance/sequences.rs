//! What is asked of both worlds, as data: containers, effects in order, and what happens meanwhile.
//!
//! Deliberately not here: how they are asked and compared.

use sandbook_core::world::{Due, Life, LogLine, Moment, Program, Stopping, What};

use super::*;

mod limits;
mod lives;
mod looks;
mod makes;
mod policies;

/// Gives in to TERM, lives through HUP, and exits with 1 once `/crash` is there.
const OBEYS: &str = "trap 'exit 0' TERM; trap : HUP; echo up; while [ ! -e /crash ]; do sleep 0.05; done; exit 1";
/// The first process of a container gets no signal it did not ask for.
const IGNORES: &str = "exec sleep 1000";

fn given(name: &'static str, script: &str, inside: fn(&mut Container, u64)) -> Given {
    Given { name, request: json!({"Cmd": ["sh", "-c", script]}), started: true, ready: "", inside }
}

/// A running container that gives in.
fn obeys(name: &'static str) -> Given {
    let inside = |container: &mut Container, now_ms| {
        container.stopping = Stopping { exit_code: 0, ..Stopping::default() };
        container.lives = vec![Life { logs: vec!["up".to_owned()], ..Life::default() }];
        if container.state().started_at.is_some() {
            container.write_line(now_ms, "up");
        }
    };
    // A signal before its traps are set would not be the case in question.
    given(name, OBEYS, inside).ready("up")
}

/// A running container that has to be killed.
fn ignores(name: &'static str) -> Given {
    given(name, IGNORES, |container, _| container.stopping.ignores_term = true)
}

/// One that exits by itself after 300 ms, with 1; not started yet.
fn crashes(name: &'static str, policy: Value) -> Given {
    let inside = |container: &mut Container, _| {
        container.lives = vec![Life { exit_after_ms: Some(300), exit_code: 1, ..Life::default() }];
        container.stopping.ignores_term = true;
    };
    given(name, "sleep 0.3; exit 1", inside).created().with(json!({"HostConfig": {"RestartPolicy": policy}}))
}

/// A health check on a file; it is healthy when taken over.
fn checked(name: &'static str) -> Given {
    let inside = |container: &mut Container, _| {
        container.stopping.exit_code = 0;
        container.lives = vec![Life { healthy_after_ms: Some(500), ..Life::default() }];
    };
    let check = json!({
        "Test": ["CMD-SHELL", "test -e /ok || { echo gone; exit 1; }"],
        "Interval": 500_000_000, "Timeout": 5_000_000_000_u64, "Retries": 2,
    });
    given(name, &OBEYS.replace("echo up", "touch /ok"), inside).with(json!({"Healthcheck": check}))
}

impl Given {
    fn with(mut self, changes: Value) -> Given {
        merge(&mut self.request, &changes);
        self
    }

    fn host(self, changes: Value) -> Given {
        self.with(json!({"HostConfig": changes}))
    }

    fn ready(self, ready: &'static str) -> Given {
        Given { ready, ..self }
    }

    fn created(self) -> Given {
        Given { started: false, ready: "", ..self }
    }

    fn known(self, inside: fn(&mut Container, u64)) -> Given {
        Given { inside, ..self }
    }
}

fn sequence(name: &'static str, given: Vec<Given>, steps: Vec<Step>) -> Sequence {
    Sequence { name, images: Vec::new(), networks: Vec::new(), given, steps }
}

fn on(effect: &'static str, on: &'static str) -> Step {
    with(effect, on, json!({}))
}

fn with(effect: &'static str, on: &'static str, args: Value) -> Step {
    Step::Do { effect, on, args, but: Vec::new() }
}

impl Step {
    /// That field may differ, for a reason in the table.
    fn but(mut self, field: &'static str, words: &'static str) -> Step {
        if let Step::Do { but, .. } = &mut self {
            but.push((field, words));
        }
        self
    }
}

fn start(name: &'static str) -> Step {
    on("docker.start-container", name)
}

fn inspect(name: &'static str) -> Step {
    on("docker.inspect-container", name)
}

fn stop(name: &'static str, grace_ms: u64) -> Step {
    with("docker.stop-container", name, json!({"options": {"grace_ms": grace_ms}}))
}

fn restart(name: &'static str, grace_ms: u64) -> Step {
    with("docker.restart-container", name, json!({"options": {"grace_ms": grace_ms}}))
}

fn kill(name: &'static str, signal: &str) -> Step {
    with("docker.kill-container", name, json!({"options": {"signal": signal}}))
}

/// A signal that a program answers when it comes to it.
fn soon(kill: Step) -> Step {
    ["status", "exit_code", "finished_at"].into_iter().fold(kill, |kill, field| kill.but(field, "how soon"))
}

fn pause(name: &'static str) -> Step {
    on("docker.pause-container", name)
}

fn unpause(name: &'static str) -> Step {
    on("docker.unpause-container", name)
}

fn exec(name: &'static str, argv: &[&str]) -> Step {
    with("docker.exec", name, json!({"argv": argv}))
}

fn update(name: &'static str, resources: Value) -> Step {
    with("docker.update-resources", name, json!({"resources": resources}))
}

fn events(name: &'static str) -> Step {
    with("docker.recent-events", name, all_events(name))
}

fn list(filter: Value) -> Step {
    with("docker.list-containers", "", json!({"filter": filter}))
}

/// A program that was just started sets its traps; and an engine hears of a pause that it made itself, which it would take
/// for a second one if it came after the end of the first.
fn settles() -> Step {
    Step::Pass(700)
}

fn until(name: &'static str, field: &'static str, wanted: Value) -> Step {
    Step::Until(name, field, wanted)
}

/// Something the program does by itself, now.
fn happens(world: &mut World, name: &str, what: What, code: i32, text: &str) {
    let now_ms = world.now_ms;
    let container = world.container_mut("local", name).expect("taken over");
    let due = Due { code, text: text.to_owned(), ..Due::new(now_ms + 50, what) };
    container.due.push(due);
}

pub(super) fn all() -> Vec<Sequence> {
    [lives::all(), limits::all(), policies::all(), looks::all(), makes::all()].into_iter().flatten().collect()
}

/// Objects are merged, everything else replaced.
pub(super) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
