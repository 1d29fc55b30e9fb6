//! A world for unit tests: says what effects answer, and remembers what was asked. Needs neither the engine nor a build for
//! WebAssembly: `cargo test`.
//!
//! ```
//! use sandbook_sdk::testing::{About, World, play};
//! use sandbook_sdk::{Answer, ContainerState, HealthStatus, Input, docker, fixed, nothing_to_do};
//!
//! fn run(input: Input) -> Answer {
//!     let before = docker::inspect_container(input.container()?)?;
//!     if before.state.health != HealthStatus::Unhealthy {
//!         return nothing_to_do("it is well");
//!     }
//!     docker::restart_container(&before.name, docker::StopOptions::default())?;
//!     fixed("restarted")
//! }
//!
//! let state = ContainerState { health: HealthStatus::Unhealthy, ..Default::default() };
//! let world = World::new()
//!     .answer("docker.inspect-container", docker::ContainerDetails { name: "web-1".into(), state, ..Default::default() })
//!     .answer("docker.restart-container", sandbook_sdk::Change::default());
//! assert_eq!(play(&world, run, About::target("t:1")), fixed("restarted"));
//! assert_eq!(world.effects(), ["docker.inspect-container", "docker.restart-container"]);
//! assert_eq!(world.calls()[1].argument::<String>("container"), "web-1");
//! ```
//!
//! What a package does as a whole is tested by its scenarios: `sandbook test`. Deliberately not here: a simulated Docker,
//! which is the scenarios' own.

use std::any::{Any, TypeId, type_name};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use crate::{Alert, Error, Input, Target, TargetKind, Value};

#[rustfmt::skip]
pub(crate) mod effects;

thread_local! {
    /// The world that answers on this thread while [`play`] runs.
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// What an effect answers, by type.
pub(crate) struct Kind {
    id: TypeId,
    name: &'static str,
}

impl Kind {
    fn of<T: 'static>() -> Kind {
        Kind { id: TypeId::of::<T>(), name: type_name::<T>() }
    }
}

/// Whatever an effect was called with.
trait Argument: Any + fmt::Debug {}
impl<T: Any + fmt::Debug> Argument for T {}

type Given = (&'static str, Rc<dyn Argument>);

fn given(name: &'static str, argument: impl Any + fmt::Debug) -> Given {
    (name, Rc::new(argument))
}

/// One effect that was asked for.
#[derive(Clone)]
pub struct Call {
    /// Its name, such as `docker.restart-container`.
    pub effect: &'static str,
    arguments: Vec<Given>,
}

impl Call {
    /// An argument by its name. What is passed borrowed is owned here: `argument::<String>("container")`.
    ///
    /// # Panics
    /// When there is none of that name or type.
    #[track_caller]
    pub fn argument<T: 'static>(&self, name: &str) -> &T {
        let found = self.arguments.iter().find(|(known, _)| *known == name);
        let (_, argument) = found.unwrap_or_else(|| panic!("{self:?} has no argument {name}"));
        let any: &dyn Any = &**argument;
        any.downcast_ref().unwrap_or_else(|| panic!("{name} of {self:?} is no {}", type_name::<T>()))
    }

    /// The text of a note.
    fn note(&self) -> Option<&String> {
        let (_, text) = self.arguments.iter().find(|(name, _)| ["text", "message"].contains(name))?;
        let any: &dyn Any = &**text;
        any.downcast_ref()
    }

    fn is_note(&self) -> bool {
        self.effect.starts_with("log.")
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        write!(f, "{}({})", self.effect, arguments.join(", "))
    }
}

/// One answer; a function is asked each time.
#[derive(Clone)]
enum Said {
    Value(Rc<dyn Any>),
    Error(Error),
    Function(Rc<dyn Fn(&Call) -> Result<Rc<dyn Any>, Error>>),
}

/// Answers effects. Notes, waits and the runbook's memory need no answer; anything else without one fails the test.
#[derive(Clone, Default)]
pub struct World(Rc<RefCell<State>>);

struct State {
    calls: Vec<Call>,
    now_ms: u64,
    memory: BTreeMap<String, String>,
    answers: HashMap<String, VecDeque<Said>>,
}

impl Default for State {
    fn default() -> State {
        State { calls: Vec::new(), now_ms: 1_700_000_000_000, memory: BTreeMap::new(), answers: HashMap::new() }
    }
}

impl World {
    /// One in which nothing was asked for yet.
    pub fn new() -> World {
        World::default()
    }

    /// What an effect answers; said several times, call by call, and the last one is repeated. An [`Error`] is the effect's
    /// error.
    ///
    /// # Panics
    /// When there is no such effect, or it answers something else.
    #[track_caller]
    pub fn answer<T: Clone + 'static>(self, effect: &str, answer: T) -> World {
        let any: &dyn Any = &answer;
        let said = match any.downcast_ref::<Error>() {
            Some(error) => Said::Error(error.clone()),
            None => {
                expect::<T>(effect);
                Said::Value(Rc::new(answer))
            }
        };
        self.say(effect, said)
    }

    /// The same, by a function of the call.
    ///
    /// # Panics
    /// As [`World::answer`].
    #[track_caller]
    pub fn answer_with<T: 'static>(self, effect: &str, answer: impl Fn(&Call) -> Result<T, Error> + 'static) -> World {
        expect::<T>(effect);
        self.say(effect, Said::Function(Rc::new(move |call| answer(call).map(|value| Rc::new(value) as Rc<dyn Any>))))
    }

    #[track_caller]
    fn say(self, effect: &str, said: Said) -> World {
        known(effect);
        self.0.borrow_mut().answers.entry(effect.to_owned()).or_default().push_back(said);
        self
    }

    /// The clock at the start, in milliseconds since 1970.
    pub fn at(self, now_ms: u64) -> World {
        self.0.borrow_mut().now_ms = now_ms;
        self
    }

    /// What an earlier run left in the runbook's memory.
    pub fn remembering(self, key: &str, value: &str) -> World {
        self.0.borrow_mut().memory.insert(key.to_owned(), value.to_owned());
        self
    }

    /// What was asked for, notes too.
    pub fn calls(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    /// Names of what was asked for, without notes.
    pub fn effects(&self) -> Vec<&'static str> {
        self.0.borrow().calls.iter().filter(|call| !call.is_note()).map(|call| call.effect).collect()
    }

    /// What was logged or kept as evidence, as text.
    pub fn notes(&self) -> Vec<String> {
        self.0.borrow().calls.iter().filter(|call| call.is_note()).filter_map(|call| call.note().cloned()).collect()
    }

    /// The clock; waits move it.
    pub fn now_ms(&self) -> u64 {
        self.0.borrow().now_ms
    }

    /// The runbook's memory.
    pub fn memory(&self, key: &str) -> Option<String> {
        self.0.borrow().memory.get(key).cloned()
    }

    fn answer_to(&self, call: &Call) -> Result<Rc<dyn Any>, Error> {
        let said = {
            let mut state = self.0.borrow_mut();
            state.calls.push(call.clone());
            state.answers.get_mut(call.effect).and_then(|answers| match answers.len() {
                0 | 1 => answers.front().cloned(),
                _ => answers.pop_front(),
            })
        };
        match said {
            Some(Said::Value(value)) => Ok(value),
            Some(Said::Error(error)) => Err(error),
            Some(Said::Function(function)) => function(call),
            None => Ok(self.0.borrow_mut().usual(call)),
        }
    }
}

impl State {
    /// What needs no answer.
    fn usual(&mut self, call: &Call) -> Rc<dyn Any> {
        let key = || call.argument::<String>("key");
        match call.effect {
            "clock.now" => Rc::new(self.now_ms),
            "clock.sleep" => {
                self.now_ms += call.argument::<u64>("duration_ms");
                Rc::new(())
            }
            "random.random-u64" => Rc::new(4_u64),
            "state.get" => Rc::new(self.memory.get(key()).cloned()),
            "state.put" => {
                self.memory.insert(key().clone(), call.argument::<String>("value").clone());
                Rc::new(())
            }
            "state.compare-and-put" => {
                let same = self.memory.get(key()) == call.argument::<Option<String>>("expected").as_ref();
                if same {
                    self.memory.insert(key().clone(), call.argument::<String>("value").clone());
                }
                Rc::new(same)
            }
            effect => panic!("the runbook asked for {call:?}; world.answer({effect:?}, …) says what it gets"),
        }
    }
}

#[track_caller]
fn known(effect: &str) -> Kind {
    effects::kind(effect).unwrap_or_else(|| {
        panic!("there is no effect {effect:?}; their names are as in the manifest, `docker.restart-container`")
    })
}

#[track_caller]
fn expect<T: 'static>(effect: &str) {
    let kind = known(effect);
    assert!(kind.id == TypeId::of::<T>(), "{effect} answers a {}, not a {}", kind.name, type_name::<T>());
}

/// Asks the world of this thread.
fn perform<T: Clone + 'static>(effect: &'static str, arguments: Vec<Given>) -> Result<T, Error> {
    let call = Call { effect, arguments };
    let answer = current(&call).answer_to(&call)?;
    let answer = answer.downcast_ref::<T>().unwrap_or_else(|| panic!("{effect} answers a {}", type_name::<T>()));
    Ok(answer.clone())
}

/// A note, which nothing answers.
fn note(effect: &'static str, arguments: Vec<Given>) {
    let call = Call { effect, arguments };
    current(&call).0.borrow_mut().calls.push(call);
}

fn current(call: &Call) -> World {
    let world = CURRENT.with(|current| current.borrow().clone());
    world.unwrap_or_else(|| {
        panic!("{call:?}: effects exist only inside the engine; a test runs the function with `sandbook_sdk::testing::play`")
    })
}

/// What a run is about: its target, the labels of its alert, parameters as the manifest types them.
#[derive(Debug, Clone, Default)]
pub struct About {
    target: Option<String>,
    labels: Vec<(String, String)>,
    parameters: Vec<(String, Value)>,
}

impl About {
    /// A container. Without a target: `About::default()`.
    pub fn target(name: &str) -> About {
        About { target: Some(name.to_owned()), ..About::default() }
    }

    /// A label of the alert; without any there is no alert.
    pub fn label(mut self, name: &str, value: &str) -> About {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A parameter.
    pub fn parameter(mut self, name: &str, value: Value) -> About {
        self.parameters.push((name.to_owned(), value));
        self
    }

    fn input(self) -> Input {
        let alert = (!self.labels.is_empty()).then(|| {
            let name = self.labels.iter().find(|(name, _)| name == "alertname");
            Alert {
                name: name.map(|(_, value)| value.clone()).unwrap_or_default(),
                labels: self.labels,
                annotations: Vec::new(),
                starts_at: String::new(),
                fingerprint: String::new(),
            }
        });
        let target = self.target.map(|name| Target {
            handle: name.clone(),
            host: "local".to_owned(),
            kind: TargetKind::Container,
            name,
            id: None,
        });
        Input { alert, target, parameters: self.parameters }
    }
}

/// Runs a runbook's function, its `run` or its `verify`, in that world.
pub fn play<T>(world: &World, entry: impl FnOnce(Input) -> T, about: About) -> T {
    /// Puts back what was before, also after a panic.
    struct Back(Option<World>);
    impl Drop for Back {
        fn drop(&mut self) {
            let before = self.0.take();
            CURRENT.with(|current| *current.borrow_mut() = before);
        }
    }
    let _back = Back(CURRENT.with(|current| current.borrow_mut().replace(world.clone())));
    entry(about.input())
}

#[cfg(test)]
mod tests;
