//! From TOML to a [`Manifest`]: which keys there are, what they mean, and what they may be.
//!
//! Deliberately not here: places and messages about types; see [`super::read`].

use std::collections::BTreeMap;
use std::fmt::Display;

use toml::{Spanned, de::DeValue};

use super::{
    Brake, Condition, Limits, Manifest, TargetSpec, Trigger, Verify, declared,
    read::{self, Reader, Section, Span},
};
use crate::{
    duration::{Bytes, DurationMs},
    effect::{Effect, closest},
    problem::{Problem, quote},
    schedule::{CatchUp, Patience, Schedule, check_timezone},
    target::Kind,
};

/// What a trigger's `docker_event` may name. `health_status` alone means any change of health.
pub const DOCKER_ACTIONS: [&str; 12] = [
    "die",
    "oom",
    "start",
    "stop",
    "kill",
    "restart",
    "destroy",
    "pause",
    "unpause",
    "health_status",
    "health_status: healthy",
    "health_status: unhealthy",
];

/// The name of a model, in characters.
pub const MODEL_CHARS_MAX: usize = 100;
/// A summary, in characters.
const SUMMARY_CHARS_MAX: usize = 200;
/// Rates of one brake.
const RATES_MAX: usize = 8;
/// Windows of settling and verifying, in milliseconds: a week.
const WINDOW_MS_MAX: u64 = 7 * 86_400_000;

pub(super) fn parse(text: &str, file: &str) -> Result<(Manifest, Vec<Problem>), Vec<Problem>> {
    let mut reader = Reader::new(text, file);
    let document = reader.document();
    let root = Section { path: String::new(), table: document.get_ref(), span: document.span() };
    let known = [
        "name",
        "version",
        "summary",
        "drafted_by",
        "trigger",
        "target",
        "parameters",
        "requests",
        "limits",
        "brake",
        "verify",
    ];
    reader.known_keys(&root, &known);
    let target = target(&mut reader, &root);
    let mut manifest = Manifest {
        name: name(&mut reader, &root),
        version: version(&mut reader, &root),
        summary: summary(&mut reader, &root),
        drafted_by: drafted_by(&mut reader, &root),
        triggers: triggers(&mut reader, &root, target.kind),
        target,
        parameters: declared::parameters(&mut reader, &root),
        requests: requests(&mut reader, &root),
        limits: limits(&mut reader, &root),
        brake: brake(&mut reader, &root),
        verify: verify(&mut reader, &root),
    };
    scheduled_parameters(&mut reader, &root, &mut manifest);
    reader.forgive_consequences();
    let problems = reader.into_problems();
    if problems.iter().all(|problem| problem.warning) { Ok((manifest, problems)) } else { Err(problems) }
}

fn name(reader: &mut Reader<'_>, root: &Section<'_>) -> String {
    required(reader, root, "name", "write name = \"restart-unhealthy\"", |name| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=63).contains(&name.len()) && name.bytes().all(plain);
        (!fits).then(|| "it must be 1 to 63 of a-z, 0-9 and -".to_owned())
    })
}

fn version(reader: &mut Reader<'_>, root: &Section<'_>) -> String {
    required(reader, root, "version", "write version = \"1.0.0\"", |version| {
        let end = version.find(['-', '+']).unwrap_or(version.len());
        let (numbers, suffix) = version.split_at(end);
        let parts: Vec<&str> = numbers.split('.').collect();
        let numeric = |part: &&str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
        let fits = parts.len() == 3 && parts.iter().all(numeric);
        let suffix_fits = suffix.len() != 1 && suffix.len() <= 64 && suffix.bytes().all(plain);
        (!fits || !suffix_fits).then(|| "it must be like 1.2.0 or 1.2.0-rc.1".to_owned())
    })
}

fn summary(reader: &mut Reader<'_>, root: &Section<'_>) -> String {
    required(reader, root, "summary", "say in one sentence what it does", |summary| match summary.chars().count() {
        0 => Some("say in one sentence what it does".to_owned()),
        _ if summary.trim().is_empty() => Some("say in one sentence what it does".to_owned()),
        chars if chars > SUMMARY_CHARS_MAX => {
            Some(format!("it has {chars} characters, at most {SUMMARY_CHARS_MAX} are allowed"))
        }
        _ => None,
    })
}

fn drafted_by(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<String> {
    let (model, span) = reader.string(root, "drafted_by")?;
    let chars = model.chars().count();
    if model.trim().is_empty() || chars > MODEL_CHARS_MAX {
        let why = format!("`drafted_by` is {}: it names a model with 1 to {MODEL_CHARS_MAX} characters", quote(&model));
        reader.error(read::BAD_VALUE, &span, why, "leave it out where no model drafted it".to_owned());
    }
    Some(model)
}

/// A text that must be there; `check` says what is wrong with it.
fn required(
    reader: &mut Reader<'_>,
    root: &Section<'_>,
    key: &str,
    help: &str,
    check: impl Fn(&str) -> Option<String>,
) -> String {
    if root.find(key).is_none() {
        reader.missing(root, key, help);
    }
    let Some((text, span)) = reader.string(root, key) else { return String::new() };
    if let Some(why) = check(&text) {
        reader.error(read::BAD_VALUE, &span, format!("`{key}` is {}: {why}", quote(&text)), String::new());
    }
    text
}

fn triggers(reader: &mut Reader<'_>, root: &Section<'_>, kind: Kind) -> Vec<Trigger> {
    let Some(value) = root.find("trigger") else { return Vec::new() };
    let DeValue::Array(list) = value.get_ref() else {
        reader.wrong_type("trigger", value, "a list of tables: [[trigger]]");
        return Vec::new();
    };
    let mut triggers = Vec::with_capacity(list.len());
    for item in list {
        match item.get_ref() {
            DeValue::Table(table) => {
                let section = Section { path: "trigger".to_owned(), table, span: item.span() };
                triggers.push(trigger(reader, &section, kind));
            }
            _ => reader.wrong_type("trigger", item, "a table: [[trigger]]"),
        }
    }
    triggers
}

fn trigger(reader: &mut Reader<'_>, section: &Section<'_>, kind: Kind) -> Trigger {
    let known = [
        "alert",
        "match",
        "docker_event",
        "schedule",
        "timezone",
        "catch_up",
        "catch_up_within",
        "target",
        "parameters",
        "priority",
        "continue",
    ];
    reader.known_keys(section, &known);
    let priority = reader.integer(section, "priority").map_or(0, |(number, span)| {
        i32::try_from(number).unwrap_or_else(|_| {
            let message = format!("`trigger.priority` is {number}, it must fit 32 bits");
            reader.error(read::LIMIT, &span, message, String::new());
            0
        })
    });
    let trigger = Trigger {
        alert: alert_names(reader, section),
        matchers: reader.parsed_list(section, "match"),
        docker_event: docker_events(reader, section),
        schedule: checked(reader, section, "schedule", |text| Schedule::parse(text).map(drop)),
        timezone: checked(reader, section, "timezone", check_timezone),
        catch_up: word(reader, section, "catch_up", &CatchUp::ALL.map(|one| (one.name(), one))),
        catch_up_within: reader.parsed(section, "catch_up_within").and_then(|found| {
            let bounds = (DurationMs(Patience::WITHIN_MS_MIN), DurationMs(Patience::WITHIN_MS_MAX));
            within(reader, &section.key("catch_up_within"), found, bounds)
        }),
        target: checked(reader, section, "target", |text| match text.trim().is_empty() {
            true => Err("it names nothing"),
            false => Ok(()),
        }),
        parameters: BTreeMap::new(),
        priority,
        continue_: reader.flag(section, "continue").unwrap_or(false),
    };
    check_sources(reader, section, kind);
    trigger
}

/// What schedules give their runs, each held to its declaration. What is left out has its default.
fn scheduled_parameters(reader: &mut Reader<'_>, root: &Section<'_>, manifest: &mut Manifest) {
    let Some(DeValue::Array(list)) = root.find("trigger").map(Spanned::get_ref) else { return };
    let tables = list.iter().filter_map(|item| match item.get_ref() {
        DeValue::Table(table) => Some(Section { path: "trigger".to_owned(), table, span: item.span() }),
        _ => None,
    });
    for (index, section) in tables.enumerate() {
        if manifest.triggers.get(index).is_none_or(|trigger| trigger.schedule.is_none()) {
            continue;
        }
        let given = reader.table(&section, "parameters");
        let (mut texts, mut readable) = (BTreeMap::new(), true);
        for (name, value) in given.iter().flat_map(|given| given.table.iter()) {
            match value.get_ref() {
                DeValue::String(text) => drop(texts.insert(name.get_ref().to_string(), text.to_string())),
                DeValue::Boolean(flag) => drop(texts.insert(name.get_ref().to_string(), flag.to_string())),
                DeValue::Float(number) => drop(texts.insert(name.get_ref().to_string(), number.as_str().to_owned())),
                number @ DeValue::Integer(_) => {
                    let text = read::integer(number).map(|number| number.to_string()).unwrap_or_default();
                    texts.insert(name.get_ref().to_string(), text);
                }
                DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                    reader.wrong_type(name.get_ref(), value, "a text, number or flag");
                    readable = false;
                }
            }
        }
        if !readable {
            continue;
        }
        for misfit in manifest.parameters_from(&texts).err().into_iter().flatten() {
            let place = given.as_ref().and_then(|given| given.find(&misfit.parameter)).map(Spanned::span);
            match place {
                Some(span) => reader.error(read::PARAMETER, &span, misfit.message, String::new()),
                // A version before this one may be stored; its times say the same.
                None => {
                    let message = format!("its scheduled runs do not start: {}", misfit.message);
                    let help = format!("add parameters = {{ {} = … }} to the trigger, or a default", misfit.parameter);
                    reader.warn(&section.span, message, help);
                }
            }
        }
        let same = |other: &Trigger| {
            let key = |one: &Trigger| (one.schedule.clone(), one.timezone.clone(), one.target.clone());
            key(other) == key(&manifest.triggers[index])
        };
        if manifest.triggers[..index].iter().any(|other| same(other) && other.parameters != texts) {
            let message = "the same schedule with other parameters: each time is made once".to_owned();
            reader.error(read::TRIGGER, &section.span, message, "move one of them by a minute".to_owned());
        }
        manifest.triggers[index].parameters = texts;
    }
}

fn alert_names(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<String> {
    let names = reader.strings(section, "alert");
    for (_, span) in names.iter().filter(|(name, _)| name.trim().is_empty()) {
        reader.error(read::BAD_VALUE, span, "`trigger.alert` holds an empty name".to_owned(), String::new());
    }
    names.into_iter().map(|(name, _)| name).collect()
}

fn docker_events(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<String> {
    let actions = reader.strings(section, "docker_event");
    for (action, span) in actions.iter().filter(|(action, _)| !DOCKER_ACTIONS.contains(&action.as_str())) {
        let help = match closest(action, DOCKER_ACTIONS.into_iter()) {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("known are: {}", DOCKER_ACTIONS.join(", ")),
        };
        let message = format!("`trigger.docker_event`: there is no docker event {}", quote(action));
        reader.error(read::BAD_VALUE, span, message, help);
    }
    actions.into_iter().map(|(action, _)| action).collect()
}

fn checked<E: Display>(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    check: impl Fn(&str) -> Result<(), E>,
) -> Option<String> {
    let (text, span) = reader.string(section, key)?;
    if let Err(error) = check(&text) {
        reader.error(read::BAD_VALUE, &span, format!("`{}`: {error}", section.key(key)), String::new());
    }
    Some(text)
}

/// One trigger has one source: alerts, Docker events or a schedule. Looks at what is written, not at what could be read.
fn check_sources(reader: &mut Reader<'_>, section: &Section<'_>, kind: Kind) {
    let written = |key: &str| match section.find(key).map(Spanned::get_ref) {
        Some(DeValue::Array(list)) => !list.is_empty(),
        other => other.is_some(),
    };
    let mut error = |message: &str, help: &str| {
        reader.error(read::TRIGGER, &section.span, message.to_owned(), help.to_owned());
    };
    let (alert, matchers, event) = (written("alert"), written("match"), written("docker_event"));
    let schedule = written("schedule");
    if !(alert || matchers || event || schedule) {
        error("an empty trigger never matches", "give it alert, match, docker_event or schedule");
    }
    if (alert && event) || (schedule && (alert || matchers || event)) {
        error("a trigger listens to alerts, to docker events or to a schedule", "write one [[trigger]] for each");
    }
    let only_there = ["timezone", "catch_up", "catch_up_within", "target", "parameters"];
    for key in only_there.into_iter().filter(|key| written(key) && !schedule) {
        let message = format!("`trigger.{key}` stands without a schedule");
        error(&message, "remove it, or add schedule = \"0 3 * * *\"");
    }
    if schedule && !written("target") && matches!(kind, Kind::Container | Kind::Service) {
        let message = "a scheduled run has no labels that could name its target";
        let help = "add target = \"NAME\" to the trigger, or write kind = \"none\" or \"host\" under [target]";
        reader.warn(&section.span, message.to_owned(), help.to_owned());
    }
    if written("catch_up_within")
        && section.find("catch_up").is_some_and(|word| word.get_ref().as_str() == Some("skip"))
    {
        let message = "`trigger.catch_up_within` has no effect: nothing is made up for";
        reader.warn(&section.span, message.to_owned(), "remove it, or write catch_up = \"latest\"".to_owned());
    }
}

fn target(reader: &mut Reader<'_>, root: &Section<'_>) -> TargetSpec {
    let mut target = TargetSpec::default();
    let Some(section) = reader.table(root, "target") else { return target };
    reader.known_keys(&section, &["kind", "container_from", "service_from", "host_from", "each"]);
    let kinds =
        [("container", Kind::Container), ("service", Kind::Service), ("host", Kind::Host), ("none", Kind::None)];
    if let Some(kind) = word(reader, &section, "kind", &kinds) {
        target.kind = kind;
    }
    let lists = [
        ("container_from", &mut target.container_from),
        ("service_from", &mut target.service_from),
        ("host_from", &mut target.host_from),
    ];
    for (key, list) in lists {
        let given = reader.strings(&section, key);
        if !given.is_empty() {
            *list = given.into_iter().map(|(label, _)| label).collect();
        }
    }
    target.each = reader.flag(&section, "each").unwrap_or(false);
    target
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let (text, span) = reader.string(section, key)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{}` is {}, it must be one of {}", section.key(key), quote(&text), known.join(", "));
        let help = closest(&text, known.into_iter()).map(|word| format!("did you mean `{word}`?"));
        reader.error(read::BAD_VALUE, &span, message, help.unwrap_or_default());
    }
    found
}

fn requests(reader: &mut Reader<'_>, root: &Section<'_>) -> Vec<String> {
    let Some(section) = reader.table(root, "requests") else { return Vec::new() };
    reader.known_keys(&section, &["effects"]);
    let mut requests = Vec::new();
    for (name, span) in reader.strings(&section, "effects") {
        match Effect::find(&name) {
            None => {
                let help = match Effect::closest(&name) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => "`sandbook effects` lists them".to_owned(),
                };
                reader.error(read::UNKNOWN_EFFECT, &span, format!("there is no effect {}", quote(&name)), help);
            }
            Some(info) if !info.class.needs_request() => {
                let message = format!("`{name}` needs no request: effects of class {} are always there", info.class);
                reader.warn(&span, message, "remove it".to_owned());
            }
            Some(_) if requests.contains(&name) => {
                reader.warn(&span, format!("`{name}` is requested twice"), "remove one".to_owned());
            }
            Some(_) => requests.push(name),
        }
    }
    requests
}

fn limits(reader: &mut Reader<'_>, root: &Section<'_>) -> Limits {
    let Some(section) = reader.table(root, "limits") else { return Limits::default() };
    reader.known_keys(&section, &["wall", "cpu", "memory", "effects", "result", "journal", "denials", "notes"]);
    Limits {
        wall: duration(reader, &section, "wall", Limits::WALL_MS_MAX),
        cpu: duration(reader, &section, "cpu", Limits::CPU_MS_MAX),
        memory: bytes(reader, &section, "memory", Limits::MEMORY_BYTES_MAX),
        effects: count(reader, &section, "effects", Limits::EFFECTS_MAX),
        result: bytes(reader, &section, "result", Limits::RESULT_BYTES_MAX),
        journal: bytes(reader, &section, "journal", Limits::JOURNAL_BYTES_MAX),
        denials: count(reader, &section, "denials", Limits::DENIALS_MAX),
        notes: bytes(reader, &section, "notes", Limits::NOTES_BYTES_MAX),
    }
}

fn within<T: Display + PartialOrd + Copy>(
    reader: &mut Reader<'_>,
    key: &str,
    (value, span): (T, Span),
    (min, max): (T, T),
) -> Option<T> {
    if value >= min && value <= max {
        return Some(value);
    }
    reader.error(read::LIMIT, &span, format!("`{key}` is {value}, it must be from {min} to {max}"), String::new());
    None
}

fn duration(reader: &mut Reader<'_>, section: &Section<'_>, key: &str, max_ms: u64) -> Option<DurationMs> {
    let found = reader.parsed(section, key)?;
    within(reader, &section.key(key), found, (DurationMs(1), DurationMs(max_ms)))
}

fn bytes(reader: &mut Reader<'_>, section: &Section<'_>, key: &str, max: u64) -> Option<Bytes> {
    let value = section.find(key)?;
    let found = match read::integer(value.get_ref()).and_then(|number| u64::try_from(number).ok()) {
        Some(number) => (Bytes(number), value.span()),
        None => reader.parsed(section, key)?,
    };
    within(reader, &section.key(key), found, (Bytes(1), Bytes(max)))
}

fn count(reader: &mut Reader<'_>, section: &Section<'_>, key: &str, max: u32) -> Option<u32> {
    let found = reader.integer(section, key)?;
    within(reader, &section.key(key), found, (1, i64::from(max))).and_then(|number| u32::try_from(number).ok())
}

fn brake(reader: &mut Reader<'_>, root: &Section<'_>) -> Brake {
    let Some(section) = reader.table(root, "brake") else { return Brake::default() };
    reader.known_keys(&section, &["attempts", "settle"]);
    let attempts = reader.parsed_list(&section, "attempts");
    if attempts.len() > RATES_MAX {
        let message = format!("`brake.attempts` has {} rates, at most {RATES_MAX} are allowed", attempts.len());
        reader.error(read::LIMIT, &section.span, message, String::new());
    }
    Brake { attempts, settle: duration(reader, &section, "settle", WINDOW_MS_MAX) }
}

fn verify(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<Verify> {
    let section = reader.table(root, "verify")?;
    reader.known_keys(&section, &["condition", "within", "resolved_within", "no_refire"]);
    let default = Verify::default();
    let condition = reader.parsed::<Condition>(&section, "condition");
    Some(Verify {
        condition: condition.map_or(default.condition, |(condition, _)| condition),
        within: duration(reader, &section, "within", WINDOW_MS_MAX).unwrap_or(default.within),
        resolved_within: duration(reader, &section, "resolved_within", WINDOW_MS_MAX)
            .unwrap_or(default.resolved_within),
        no_refire: duration(reader, &section, "no_refire", WINDOW_MS_MAX).unwrap_or(default.no_refire),
    })
}
