//! One run of a script: input to Rhai values, the entry point, its answer back.

use rhai::{CallFnOptions, Dynamic, Engine, Map, Scope};

use crate::bindings::sandbook::runbook::types::{Alert, Input, Outcome, Target, TargetKind, Value};
use crate::bindings::{Problem, ProblemReport};
use crate::outcome::Verdict;
use crate::problems;

pub(crate) fn run(engine: &Engine, source: &str, entry: &str, input: Input) -> Result<Outcome, ProblemReport> {
    let ast = engine.compile(source).map_err(|error| problems::failed(problems::parse(&error)))?;
    if !ast.iter_functions().any(|function| function.name == entry && function.params.len() == 1) {
        return Err(problems::failed(problems::missing_entry(entry)));
    }
    let options = CallFnOptions::new().eval_ast(false);
    let answer: Dynamic = engine
        .call_fn_with_options(options, &mut Scope::new(), &ast, entry, (input_map(input),))
        .map_err(|error| problems::report(*error))?;
    match entry {
        "verify" => verified(answer),
        _ => decided(answer),
    }
}

fn decided(answer: Dynamic) -> Result<Outcome, ProblemReport> {
    let found = answer.type_name();
    let returned = if answer.is_unit() { "nothing".to_owned() } else { format!("a value of type {found}") };
    match answer.try_cast::<Verdict>() {
        Some(verdict) => Ok(verdict.into()),
        None => Err(problems::failed(Problem {
            line: 0,
            column: 0,
            message: format!("`run` returned {returned}, it must return an outcome"),
            help: "end every path with done(…), fixed(…), nothing_to_do(…) or escalate(…)".into(),
            warning: false,
        })),
    }
}

fn verified(answer: Dynamic) -> Result<Outcome, ProblemReport> {
    match answer.as_bool() {
        Ok(true) => Ok(Outcome::Done("the condition holds".into())),
        Ok(false) => Ok(Outcome::NothingToDo("the condition does not hold".into())),
        Err(found) => Err(problems::failed(Problem {
            line: 0,
            column: 0,
            message: format!("`verify` returned a value of type {found}, it must return true or false"),
            help: String::new(),
            warning: false,
        })),
    }
}

fn input_map(input: Input) -> Map {
    let mut map = Map::new();
    map.insert("alert".into(), input.alert.map_or(Dynamic::UNIT, alert));
    map.insert("target".into(), input.target.map_or(Dynamic::UNIT, target));
    let parameters: Map = input.parameters.into_iter().map(|(name, value)| (name.into(), plain(value))).collect();
    map.insert("parameters".into(), parameters.into());
    map
}

fn plain(value: Value) -> Dynamic {
    match value {
        Value::Text(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Number(number) => number.into(),
        Value::Flag(flag) => flag.into(),
        Value::Duration(milliseconds) => i64::try_from(milliseconds).unwrap_or(i64::MAX).into(),
    }
}

fn alert(alert: Alert) -> Dynamic {
    let texts = |pairs: Vec<(String, String)>| -> Dynamic {
        pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect::<Map>().into()
    };
    let mut map = Map::new();
    map.insert("name".into(), alert.name.into());
    map.insert("labels".into(), texts(alert.labels));
    map.insert("annotations".into(), texts(alert.annotations));
    map.insert("starts_at".into(), alert.starts_at.into());
    map.insert("fingerprint".into(), alert.fingerprint.into());
    map.into()
}

fn target(target: Target) -> Dynamic {
    let kind = match target.kind {
        TargetKind::Container => "container",
        TargetKind::Service => "service",
        TargetKind::Host => "host",
        TargetKind::None => "none",
    };
    let mut map = Map::new();
    map.insert("handle".into(), target.handle.into());
    map.insert("host".into(), target.host.into());
    map.insert("kind".into(), kind.into());
    map.insert("name".into(), target.name.into());
    map.insert("id".into(), target.id.map_or(Dynamic::UNIT, Into::into));
    map.into()
}
