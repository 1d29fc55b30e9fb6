//! The document as a tree of values with their places, overlaid by variables, and checked against the shape.
//!
//! Deliberately not here: what values mean together; see [`super::check`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbook_core::effect::closest;
use sandbook_core::problem::{Problem, line_column};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::shape::{Key, Kind, Leaf, Shape};
use super::{
    BAD_VALUE, ENV_PREFIX, ENV_RESERVED, ENVIRONMENT, FILE_BYTES_MAX, INLINE_SECRET, MISSING_KEY, OTEL_DISABLED,
    OTEL_ENDPOINT, OTEL_HEADERS, OTEL_PROTOCOL, SUSPECT, SYNTAX, Sections, UNKNOWN_KEY, UNREADABLE,
};

/// What a variable's name is split at.
const ENV_SEPARATOR: &str = "__";
/// Variables of tests.
const ENV_TEST: &str = "SANDBOOK_TEST";
/// Characters of a value that are shown.
const SHOWN_CHARS_MAX: usize = 80;

/// Where something stands.
#[derive(Debug, Clone)]
enum At {
    /// Byte offset in the file.
    File(usize),
    /// Name of the variable.
    Env(String),
}

#[derive(Debug, Clone)]
struct Place {
    key: At,
    value: At,
}

/// Values by key, and where each of them stands.
pub(super) struct Tree {
    text: String,
    file: String,
    /// What relative paths in the file count from.
    base: PathBuf,
    root: Table,
    /// By path such as `routes[0].match`.
    places: BTreeMap<String, Place>,
    /// Of variables.
    problems: Vec<Problem>,
    /// The same, of what is only suspect.
    pub(super) warnings: Vec<Problem>,
}

/// The file's text.
pub(super) fn read_file(path: &Path) -> Result<String, Vec<Problem>> {
    let fail = |why: String, help: &str| {
        let (file, message) = (path.display().to_string(), format!("the configuration {} {why}", path.display()));
        Err(vec![Problem {
            code: UNREADABLE,
            file,
            line: 1,
            column: 1,
            message,
            help: help.to_owned(),
            warning: false,
        }])
    };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            let why = format!("has {} bytes, at most {FILE_BYTES_MAX} are allowed", metadata.len());
            return fail(why, "is it the right file?");
        }
        Ok(_) => {}
        Err(error) => return fail(format!("cannot be read: {error}"), "check --config; without it the defaults apply"),
    }
    std::fs::read_to_string(path)
        .or_else(|error| fail(format!("cannot be read: {error}"), "it must be a text file this user may read"))
}

/// Everything that does not fit the shape, and the configuration without the keys that nobody knows, if it is one then.
pub(super) struct Misfits {
    pub(super) problems: Vec<Problem>,
    pub(super) rest: Option<Box<Sections>>,
}

impl Tree {
    /// Parses and overlays. Only broken syntax is an error here, one a line.
    pub(super) fn read(
        text: &str,
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Tree, Vec<Problem>> {
        let mut tree = Tree {
            text: text.to_owned(),
            file: file.map_or_else(|| "sandbook.toml".to_owned(), |path| path.display().to_string()),
            base: file.and_then(Path::parent).unwrap_or(Path::new("")).to_path_buf(),
            root: Table::new(),
            places: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = Vec::new();
        for error in errors {
            let at = At::File(error.span().map_or(0, |span| span.start));
            let problem = tree.place(&at, SYNTAX, format!("not toml: {}", error.message()), String::new());
            if problems.iter().all(|known| known.line != problem.line) {
                problems.push(problem);
            }
        }
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            return Err(problems);
        }
        tree.root = table(document.get_ref(), "", &mut tree.places);
        let (mut env, others): (Vec<_>, Vec<_>) = env.partition(|(name, _)| name.starts_with(ENV_PREFIX));
        env.sort();
        let shape = Sections::shape();
        for (name, value) in env {
            if !ENV_RESERVED.contains(&name.as_str()) && !name.starts_with(ENV_TEST) {
                tree.overlay(&shape, &name, &value);
            }
        }
        tree.collector(&others);
        Ok(tree)
    }

    /// The collector that every program of a machine sends to, where the operator named no other for this one.
    fn collector(&mut self, env: &[(String, String)]) {
        let set_to = |name: &str| {
            let found = env.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim());
            // As OpenTelemetry says: an empty variable is none.
            found.filter(|value| !value.is_empty())
        };
        let named = self.root.get("otel").and_then(|otel| otel.get("endpoint")).is_some();
        let Some(endpoint) = set_to(OTEL_ENDPOINT).filter(|_| !named) else { return };
        if set_to(OTEL_DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return;
        }
        let at = At::Env(OTEL_ENDPOINT.to_owned());
        self.places.insert("otel.endpoint".to_owned(), Place { key: at.clone(), value: at });
        set(&mut self.root, &["otel".to_owned(), "endpoint".to_owned()], Value::String(endpoint.to_owned()));
        let mut warn = |name: &str, message: String, help: &str| {
            let problem = self.place(&At::Env(name.to_owned()), SUSPECT, message, help.to_owned());
            self.warnings.push(Problem { warning: true, ..problem });
        };
        if set_to(OTEL_HEADERS).is_some() {
            let message = format!("the variable {OTEL_HEADERS} is not read: a secret is named by its file");
            warn(OTEL_HEADERS, message, "write the headers into a file, a `name: value` a line: [otel] headers_file");
        }
        if let Some(protocol) = set_to(OTEL_PROTOCOL).filter(|protocol| *protocol != "http/protobuf") {
            let message = format!("the variable {OTEL_PROTOCOL} says {protocol:?}, but traces go over http/protobuf");
            warn(OTEL_PROTOCOL, message, "name the collector's address for HTTP: [otel] endpoint, mostly port 4318");
        }
    }

    /// The typed configuration, or everything that does not fit the shape.
    pub(super) fn sections(&self) -> Result<Sections, Misfits> {
        let mut problems = self.problems.clone();
        let mut root = Value::Table(self.root.clone());
        self.check(&Sections::shape(), &mut root, "", &mut problems);
        if !problems.is_empty() {
            problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
            // Without the keys nobody knows, the rest may be sound enough to be judged as well.
            return Err(Misfits { problems, rest: root.try_into().ok().map(Box::new) });
        }
        let given = self.root.contains_key("data_dir");
        let mut sections: Sections = root.try_into().map_err(|error: toml::de::Error| Misfits {
            problems: vec![self.problem(BAD_VALUE, "", error.message().to_owned(), String::new())],
            rest: None,
        })?;
        if !given {
            sections.data_dir = self.base.join(&sections.data_dir);
        }
        Ok(sections)
    }

    /// A problem at a key's value, or at the nearest thing around it.
    pub(super) fn problem(&self, code: &'static str, path: &str, message: String, help: String) -> Problem {
        let at = self.find(path).map_or(At::File(0), |place| place.value.clone());
        self.place(&at, code, message, help)
    }

    /// The same at the key itself.
    pub(super) fn problem_at_key(&self, code: &'static str, path: &str, message: String, help: String) -> Problem {
        let at = self.find(path).map_or(At::File(0), |place| place.key.clone());
        self.place(&at, code, message, help)
    }

    fn find(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn place(&self, at: &At, code: &'static str, message: String, help: String) -> Problem {
        let (file, (line, column)) = match at {
            At::File(offset) => (self.file.clone(), line_column(&self.text, *offset)),
            At::Env(name) => (name.clone(), (1, 1)),
        };
        Problem { code, file, line, column, message, help, warning: false }
    }

    /// Puts a variable's value where its name says.
    fn overlay(&mut self, shape: &Shape, name: &str, text: &str) {
        let segments: Vec<String> =
            name[ENV_PREFIX.len()..].split(ENV_SEPARATOR).map(str::to_ascii_lowercase).collect();
        let mut names: Vec<String> = Vec::new();
        let mut shape = shape;
        for segment in &segments {
            let at = names.join(".");
            shape = match shape {
                Shape::Table(keys) => match keys.iter().find(|key| key.name == segment) {
                    Some(key) => {
                        names.push(key.name.to_owned());
                        &key.shape
                    }
                    None => return self.unknown_variable(name, keys, segment, &names),
                },
                Shape::Map(inner) => {
                    names.push(self.chosen_name(&at, segment));
                    inner
                }
                Shape::Leaf(_) | Shape::Leaves(_) | Shape::Tables(_) | Shape::Scalars => {
                    return self.unknown_variable(name, &[], segment, &names);
                }
            };
        }
        let path = names.join(".");
        let value = value_of(shape, text);
        let below = |place: &String| {
            place.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.places.retain(|place, _| !below(place));
        let at = At::Env(name.to_owned());
        self.places.insert(path, Place { key: at.clone(), value: at });
        set(&mut self.root, &names, value);
    }

    /// A name of the operator's own choice, as the file spells it; variables know neither case nor hyphens.
    fn chosen_name(&self, path: &str, segment: &str) -> String {
        let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '.'], "_");
        let mut table = Some(&self.root);
        for name in path.split('.') {
            table = table.and_then(|table| table.get(name)).and_then(Value::as_table);
        }
        let known = table.and_then(|table| table.keys().find(|name| plain(name) == plain(segment)));
        match known {
            Some(name) => name.clone(),
            // Names of runbooks have no underscores.
            None if path == "runbooks.stages" => segment.replace('_', "-"),
            None => segment.to_owned(),
        }
    }

    fn unknown_variable(&mut self, name: &str, keys: &[Key], segment: &str, above: &[String]) {
        let prefix: String = above.iter().map(|name| format!("{}{ENV_SEPARATOR}", name.to_ascii_uppercase())).collect();
        let spelled = |key: &str| format!("{ENV_PREFIX}{prefix}{}", key.to_ascii_uppercase());
        // `STORE_URL` is more likely to be `STORE__URL` than anything of one word.
        let split = keys.iter().find(|key| {
            matches!(key.shape, Shape::Table(_))
                && segment.strip_prefix(key.name).is_some_and(|rest| rest.starts_with('_'))
        });
        let help = match (split, closest(segment, keys.iter().map(|key| key.name))) {
            (Some(key), _) => {
                let rest = segment[key.name.len() + 1..].to_ascii_uppercase();
                format!("did you mean `{}{ENV_SEPARATOR}{rest}`?", spelled(key.name))
            }
            (None, Some(key)) => format!("did you mean `{}`?", spelled(key)),
            (None, None) => "unset it, or write SANDBOOK_SECTION__KEY".to_owned(),
        };
        let message = format!("the variable {name} names no configuration key");
        let problem = self.place(&At::Env(name.to_owned()), ENVIRONMENT, message, help);
        self.problems.push(problem);
    }

    /// Reports what does not fit, takes out the keys nobody knows, and makes paths of the file absolute or relative to the working directory.
    fn check(&self, shape: &Shape, value: &mut Value, path: &str, problems: &mut Vec<Problem>) {
        match (shape, value) {
            (Shape::Table(keys), Value::Table(table)) => self.check_table(keys, table, path, problems),
            (Shape::Map(inner), Value::Table(table)) => {
                for (name, value) in table.iter_mut() {
                    self.check(inner, value, &join(path, name), problems);
                }
            }
            (Shape::Leaf(leaf), value) => self.check_leaf(leaf, value, path, problems),
            (Shape::Leaves(leaf), Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.check_leaf(leaf, item, &format!("{path}[{index}]"), problems);
                }
            }
            (Shape::Tables(keys), Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let path = format!("{path}[{index}]");
                    match item {
                        Value::Table(table) => self.check_table(keys, table, &path, problems),
                        other => problems.push(self.wrong(&path, other, "a table")),
                    }
                }
            }
            (Shape::Scalars, Value::Table(table)) => {
                for (name, value) in table.iter() {
                    if matches!(value, Value::Array(_) | Value::Table(_) | Value::Datetime(_)) {
                        problems.push(self.wrong(&join(path, name), value, "a text, a number, true or false"));
                    }
                }
            }
            (Shape::Table(_) | Shape::Map(_) | Shape::Scalars, other) => {
                problems.push(self.wrong(path, other, &format!("a table: [{path}]")));
            }
            (Shape::Leaves(leaf), other) => {
                problems.push(self.wrong(path, other, &format!("a list in [ ], each {}", leaf.wanted)))
            }
            (Shape::Tables(_), other) => {
                problems.push(self.wrong(path, other, &format!("a list of tables: [[{path}]]")))
            }
        }
    }

    fn check_table(&self, keys: &[Key], table: &mut Table, path: &str, problems: &mut Vec<Problem>) {
        for (name, value) in table.iter_mut() {
            let path = join(path, name);
            match keys.iter().find(|key| key.name == name) {
                Some(key) => self.check(&key.shape, value, &path, problems),
                None => problems.push(self.unknown_key(keys, name, &path)),
            }
        }
        table.retain(|name, _| keys.iter().any(|key| key.name == name));
        for key in keys.iter().filter(|key| key.required && !table.contains_key(key.name)) {
            let missing = join(path, key.name);
            let help = match &key.shape {
                Shape::Leaf(leaf) => format!("write {} = …, {}", key.name, leaf.wanted),
                Shape::Leaves(leaf) => format!("write {} = […], each {}", key.name, leaf.wanted),
                Shape::Table(_) | Shape::Map(_) | Shape::Tables(_) | Shape::Scalars => format!("add [{missing}]"),
            };
            problems.push(self.problem_at_key(MISSING_KEY, path, format!("`{missing}` is missing"), help));
        }
    }

    fn unknown_key(&self, keys: &[Key], name: &str, path: &str) -> Problem {
        let by_file = format!("{name}_file");
        if keys.iter().any(|key| key.name == by_file) {
            let message = format!("`{path}` is a secret in the configuration");
            return self.problem_at_key(
                INLINE_SECRET,
                path,
                message,
                format!("put it into a file and write {by_file} = \"…\""),
            );
        }
        let help = match closest(name, keys.iter().map(|key| key.name)) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None => format!("known here: {}", keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")),
        };
        self.problem_at_key(UNKNOWN_KEY, path, format!("unknown key `{path}`"), help)
    }

    fn check_leaf(&self, leaf: &Leaf, value: &mut Value, path: &str, problems: &mut Vec<Problem>) {
        if let Err(why) = (leaf.check)(value) {
            // serde's own words are about Rust; ours about the file. What our types say is kept.
            let own = ["invalid type", "invalid value", "invalid socket", "unknown variant"];
            if !own.iter().any(|start| why.starts_with(start)) {
                problems.push(self.problem(BAD_VALUE, path, format!("`{path}`: {why}"), String::new()));
                return;
            }
            let mut problem = self.wrong(path, value, leaf.wanted);
            let words = leaf.wanted.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
            if let Some(word) = value.as_str().and_then(|text| closest(text, words.filter(|word| word.len() > 2))) {
                problem.help = format!("did you mean \"{word}\"?");
            }
            problems.push(problem);
            return;
        }
        if let (true, Value::String(text)) = (leaf.path, value)
            && matches!(self.find(path), Some(Place { value: At::File(_), .. }))
        {
            let joined: PathBuf = self.base.join(&text).components().collect();
            *text = joined.to_string_lossy().into_owned();
        }
    }

    fn wrong(&self, path: &str, value: &Value, wanted: &str) -> Problem {
        let found = match value {
            Value::String(text) => {
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                format!("{shown:?}")
            }
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            Value::Datetime(_) => "a time".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        };
        self.problem(BAD_VALUE, path, format!("`{path}` is {found}, it must be {wanted}"), String::new())
    }
}

/// `docker.hosts` for `hosts` in `docker`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn table(source: &DeTable<'_>, path: &str, places: &mut BTreeMap<String, Place>) -> Table {
    let mut table = Table::new();
    for (name, value) in source {
        let path = join(path, name.get_ref());
        let place = Place { key: At::File(name.span().start), value: At::File(value.span().start) };
        places.insert(path.clone(), place);
        table.insert(name.get_ref().to_string(), plain(value.get_ref(), &path, places));
    }
    table
}

fn plain(source: &DeValue<'_>, path: &str, places: &mut BTreeMap<String, Place>) -> Value {
    match source {
        DeValue::String(text) => Value::String(text.to_string()),
        // A number of more than 64 bits stays a text, which no number's key accepts.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.as_str().to_owned()), Value::Integer),
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Float(f64::NAN), Value::Float),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => {
            let item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                let path = format!("{path}[{index}]");
                let at = At::File(item.span().start);
                places.insert(path.clone(), Place { key: at.clone(), value: at });
                plain(item.get_ref(), &path, places)
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        DeValue::Table(source) => Value::Table(table(source, path, places)),
    }
}

/// A variable's value: a text where one is wanted, else TOML. A list of one entry needs no brackets.
fn value_of(shape: &Shape, text: &str) -> Value {
    let written = || format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    match shape {
        Shape::Leaf(leaf) if leaf.text => Value::String(text.to_owned()),
        Shape::Leaves(leaf) if leaf.text && !text.trim_start().starts_with('[') => {
            Value::Array(vec![Value::String(text.to_owned())])
        }
        Shape::Leaf(_) | Shape::Leaves(_) | Shape::Table(_) | Shape::Map(_) | Shape::Tables(_) | Shape::Scalars => {
            written().unwrap_or_else(|| Value::String(text.to_owned()))
        }
    }
}

/// Sets a value, making the tables above it. What is no table is left to be reported.
fn set(root: &mut Table, names: &[String], value: Value) {
    let Some((last, above)) = names.split_last() else { return };
    let mut table = root;
    for name in above {
        match table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => table = inner,
            _ => return,
        }
    }
    table.insert(last.clone(), value);
}
