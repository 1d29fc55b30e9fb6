//! Facts about a script found without running it: problems with place and help, the effects it calls, whether it verifies.
//!
//! Errors are only what cannot work at all; a type that may be wrong is left to the run. Deliberately not here: what the
//! manifest requests and the policy permits (the host compares `effects` with both).

use std::collections::{BTreeMap, BTreeSet};

use rhai::{ASTNode, Engine, Expr, FnCallExpr, Position, Stmt, AST};

use crate::bindings::{Problem, Script};
use crate::effects::{self, Effect, Ty};
use crate::{arguments, problems, suggest};

/// Words that are called like functions and are part of the language.
const LANGUAGE: [&str; 9] = ["print", "debug", "type_of", "is_shared", "is_def_fn", "is_def_var", "Fn", "call", "curry"];

pub(crate) fn check(engine: &Engine, source: &str) -> Script {
    let ast = match engine.compile(source) {
        Ok(ast) => ast,
        Err(error) => return Script { problems: vec![problems::parse(&error)], effects: Vec::new(), has_verify: false },
    };
    let mut checker = Checker::new(engine, &ast);
    ast.walk(&mut |path: &[ASTNode]| {
        checker.node(path.last());
        true
    });
    checker.entries(&ast);
    checker.top_level(&ast);
    let has_verify = checker.script.get("verify").is_some_and(|arities| arities.contains(&1));
    checker.problems.sort_by_key(|problem| (problem.warning, problem.line, problem.column));
    Script { problems: checker.problems, effects: checker.effects.into_iter().map(str::to_owned).collect(), has_verify }
}

type Arities = BTreeMap<String, BTreeSet<usize>>;

struct Checker {
    problems: Vec<Problem>,
    effects: BTreeSet<&'static str>,
    script: Arities,
    native: Arities,
}

impl Checker {
    fn new(engine: &Engine, ast: &AST) -> Self {
        let mut script = Arities::new();
        for function in ast.iter_functions() {
            script.entry(function.name.to_owned()).or_default().insert(function.params.len());
        }
        let named = |function: rhai::FuncInfo| {
            function.namespace.is_empty().then(|| (function.metadata.name.to_string(), function.metadata.num_params))
        };
        let mut native = Arities::new();
        for (name, count) in engine.collect_fn_metadata(None, named, true) {
            native.entry(name).or_default().insert(count);
        }
        Self { problems: Vec::new(), effects: BTreeSet::new(), script, native }
    }

    fn node(&mut self, node: Option<&ASTNode>) {
        match node {
            Some(ASTNode::Expr(Expr::FnCall(call, place)) | ASTNode::Stmt(Stmt::FnCall(call, place))) => {
                if call.namespace.is_empty() {
                    self.plain_call(call, *place, 0);
                } else {
                    self.qualified_call(call, *place);
                }
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, place))) => self.plain_call(call, *place, 1),
            _ => {}
        }
    }

    fn error(&mut self, place: Position, message: String, help: impl Into<String>) {
        self.problems.push(problems::at(place, message, help));
    }

    fn warning(&mut self, place: Position, message: String, help: &str) {
        self.problems.push(Problem { warning: true, ..problems::at(place, message, help) });
    }

    fn qualified_call(&mut self, call: &FnCallExpr, place: Position) {
        let path: Vec<&str> = call.namespace.path.iter().map(|part| part.as_str()).collect();
        let [interface] = path.as_slice() else {
            let message = format!("there is no module `{}`", path.join("::"));
            return self.error(place, message, modules_help());
        };
        if !effects::interfaces().any(|known| known == *interface) {
            let help = match suggest::closest(interface, effects::interfaces()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => modules_help(),
            };
            return self.error(place, format!("there is no module `{interface}`"), help);
        }
        match effects::find(interface, &call.name) {
            Some(effect) => self.effect_call(effect, call, place),
            None => {
                let known = || effects::EFFECTS.iter().filter(|effect| effect.interface == *interface).map(|effect| effect.function);
                let help = match suggest::closest(&call.name, known()) {
                    Some(close) => format!("did you mean `{interface}::{close}`?"),
                    None => format!("`{interface}` has {}", known().collect::<Vec<_>>().join(", ")),
                };
                self.error(place, format!("there is no function `{interface}::{}`", call.name), help);
            }
        }
    }

    fn effect_call(&mut self, effect: &'static Effect, call: &FnCallExpr, place: Position) {
        self.effects.insert(effect.name);
        let (given, total) = (call.args.len(), effect.parameters.len());
        if given < effect.required || given > total {
            let wanted = counted(effect.required, total);
            let message = format!("`{}::{}` takes {wanted}, not {given}", effect.interface, effect.function);
            return self.error(place, message, format!("{}: {}", effect.signature(), effect.doc));
        }
        for (parameter, argument) in effect.parameters.iter().zip(&call.args) {
            match (&parameter.ty, argument) {
                (Ty::Record(fields), Expr::Map(literal, _)) => {
                    for (key, _) in &literal.0 {
                        if let Some(wrong) = arguments::unknown_key(fields, key.name.as_str()) {
                            self.error(key.pos, format!("`{}` of `{}` {wrong}", parameter.name, effect.signature()), "");
                        }
                    }
                }
                (Ty::OneOf(cases), Expr::StringConstant(text, at)) if !cases.contains(&text.as_str()) => {
                    let message = format!("`{}` of `{}` cannot be \"{text}\"", parameter.name, effect.signature());
                    self.error(*at, message, format!("one of {}", cases.join(", ")));
                }
                _ => {}
            }
        }
    }

    /// `receiver`: 1 for `x.name(…)`, where `x` is the first argument of a native function and `this` of a script's.
    fn plain_call(&mut self, call: &FnCallExpr, place: Position, receiver: usize) {
        let name = call.name.as_str();
        if call.op_token.is_some() || !rhai::is_valid_identifier(name) {
            return;
        }
        match name {
            "print" | "debug" => _ = self.effects.insert("log.log"),
            "sleep" => _ = self.effects.insert("clock.sleep"),
            _ => {}
        }
        if LANGUAGE.contains(&name) {
            return;
        }
        let given = call.args.len();
        let (script, native) = (self.script.get(name), self.native.get(name));
        let fits = script.is_some_and(|arities| arities.contains(&given)) || native.is_some_and(|arities| arities.contains(&(given + receiver)));
        if fits {
            return;
        }
        let mut arities: BTreeSet<usize> = script.into_iter().flatten().copied().collect();
        arities.extend(native.into_iter().flatten().filter_map(|count| count.checked_sub(receiver)));
        if !arities.is_empty() {
            let wanted: Vec<String> = arities.iter().map(ToString::to_string).collect();
            return self.error(place, format!("`{name}` takes {} arguments, not {given}", wanted.join(" or ")), "");
        }
        let elsewhere = effects::EFFECTS.iter().find(|effect| effect.function == name);
        let help = match elsewhere {
            Some(effect) => format!("did you mean `{}::{name}`?", effect.interface),
            None => match suggest::closest(name, self.script.keys().chain(self.native.keys()).map(String::as_str)) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("a function held in a variable is called as `{name}.call(…)`"),
            },
        };
        self.error(place, format!("there is no function `{name}`"), help);
    }

    fn entries(&mut self, ast: &AST) {
        for (entry, needed) in [("run", true), ("verify", false)] {
            match self.script.get(entry) {
                Some(arities) if !arities.contains(&1) => {
                    let message = format!("`{entry}` must take one argument: `fn {entry}(input)`");
                    self.error(Position::NONE, message, "");
                }
                None if needed => {
                    let close = suggest::closest(entry, ast.iter_functions().map(|function| function.name));
                    let mut problem = problems::missing_entry(entry);
                    if let Some(close) = close {
                        problem.help = format!("`{close}` looks like it; the engine calls `{entry}`");
                    }
                    self.problems.push(problem);
                }
                _ => {}
            }
        }
    }

    /// Only functions are used; what else stands at the top level never runs.
    fn top_level(&mut self, ast: &AST) {
        for statement in ast.statements().iter().filter(|statement| !matches!(statement, Stmt::Noop(_))).take(5) {
            let help = "move it into `run`; a constant becomes a function: `fn name() { value }`";
            self.warning(statement.position(), "this never runs: only functions are called".into(), help);
        }
    }
}

fn modules_help() -> String {
    format!("modules are {}", effects::interfaces().collect::<Vec<_>>().join(", "))
}

fn counted(least: usize, most: usize) -> String {
    let noun = if most == 1 { "argument" } else { "arguments" };
    if least == most { format!("{most} {noun}") } else { format!("{least} to {most} {noun}") }
}
