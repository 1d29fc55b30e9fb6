//! What a script returns: made by `done`, `fixed`, `nothing_to_do` and `escalate`, and by nothing else.

use rhai::{Engine, ImmutableString};

use crate::bindings::sandbook::runbook::types::Outcome;

/// The type a script sees; `kind` and `text` can be read, nothing can be changed.
#[derive(Clone)]
pub(crate) struct Verdict {
    kind: Kind,
    text: ImmutableString,
}

#[derive(Clone, Copy)]
enum Kind {
    Done,
    Fixed,
    NothingToDo,
    Escalate,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Fixed => "fixed",
            Self::NothingToDo => "nothing-to-do",
            Self::Escalate => "escalate",
        }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        let text = verdict.text.into_owned();
        match verdict.kind {
            Kind::Done => Self::Done(text),
            Kind::Fixed => Self::Fixed(text),
            Kind::NothingToDo => Self::NothingToDo(text),
            Kind::Escalate => Self::Escalate(text),
        }
    }
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Verdict>("outcome");
    for (name, kind) in
        [("done", Kind::Done), ("fixed", Kind::Fixed), ("nothing_to_do", Kind::NothingToDo), ("escalate", Kind::Escalate)]
    {
        engine.register_fn(name, move |text: ImmutableString| Verdict { kind, text });
    }
    engine.register_get("kind", |verdict: &mut Verdict| verdict.kind.name());
    engine.register_get("text", |verdict: &mut Verdict| verdict.text.clone());
    engine.register_fn("to_string", |verdict: &mut Verdict| format!("{}: {}", verdict.kind.name(), verdict.text));
    engine.register_fn("to_debug", |verdict: &mut Verdict| format!("{}({:?})", verdict.kind.name(), verdict.text.as_str()));
}
