//! The manifest as people write it: what is sound, and every problem at its place.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SAMPLE: &str = r#"name = "restart-unhealthy"            # [a-z0-9-]{1,63}
version = "1.2.0"
summary = "Restart a container whose health check fails, once, and verify."
[[trigger]]
alert = ["ContainerUnhealthy"]        # any of these names
match = ['severity=~"warning|critical"']   # Prometheus matchers, all must hold
[[trigger]]
docker_event = ["health_status: unhealthy"]
priority = -3
continue = true
[[trigger]]
schedule = "0 3 * * *"
timezone = "Europe/Berlin"
[target]
kind = "container"                    # container, service, host, none
container_from = ["name", "container", "container_label_com_docker_compose_service"]   # labels, in order
each = false                          # true: one run per member when a service or selector means several
[parameters.grace]
type = "duration"
default = "10s"
[parameters.count]
type = "integer"
summary = "how often"
[requests]
effects = ["docker.inspect-container", "docker.restart-container", "logs.tail-container", "notify.send"]
[limits]
wall = "2m"
memory = "64MiB"
[brake]
attempts = ["3/1h", "7/1d"]
settle = "2m"
[verify]
condition = "healthy"                 # healthy, running, or promql:…
within = "2m"
resolved_within = "15m"               # a missing resolution is unknown, not a contradiction
no_refire = "30m"
"#;

const HEAD: &str = "name = \"x\"\nversion = \"1.0.0\"\nsummary = \"s\"\n";

/// `line:column code text`, with `~` before the code of a warning.
fn lines(problems: &[Problem]) -> Vec<String> {
    let mark = |problem: &Problem| if problem.warning { "~" } else { "" };
    let line = |p: &Problem| {
        let help = if p.help.is_empty() { String::new() } else { format!(" ({})", p.help) };
        format!("{}:{} {}{} {}{help}", p.line, p.column, mark(p), p.code, p.message)
    };
    problems.iter().map(line).collect()
}

/// What is wrong with a manifest that begins with [`HEAD`]; lines count from 1 after it.
#[track_caller]
fn check(rest: &str, want: &[&str]) {
    let mut problems = match Manifest::parse(&format!("{HEAD}{rest}"), "runbook.toml") {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    problems.iter_mut().for_each(|problem| problem.line -= 3);
    assert_eq!(lines(&problems), want, "{rest}");
}

#[test]
fn the_contracts_example_is_sound() {
    let (manifest, warnings) = Manifest::parse(SAMPLE, "runbook.toml").expect("sound");
    assert_eq!(
        lines(&warnings),
        [
            "11:1 ~SB0210 a scheduled run has no labels that could name its target (add target = \"NAME\" to the trigger, or write kind = \"none\" or \"host\" under [target])",
            "11:1 ~SB0210 its scheduled runs do not start: parameter `count` is missing: give it as count=… (a whole number like 3) (add parameters = { count = … } to the trigger, or a default)"
        ]
    );
    assert_eq!(manifest.name, "restart-unhealthy");
    assert_eq!(manifest.triggers.len(), 3);
    assert_eq!(manifest.triggers[0].matchers[0].to_string(), "severity=~\"warning|critical\"");
    assert_eq!((manifest.triggers[1].priority, manifest.triggers[1].continue_), (-3, true));
    assert_eq!(manifest.triggers[2].timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(manifest.target.kind, Kind::Container);
    assert_eq!(manifest.target.container_from.len(), 3);
    assert_eq!(manifest.target.service_from, TargetSpec::default().service_from);
    assert_eq!(manifest.parameters.keys().collect::<Vec<_>>(), ["grace", "count"]);
    assert_eq!(manifest.parameters["grace"].default, Some(ParameterValue::Duration(10_000)));
    assert_eq!(manifest.requests.len(), 4);
    assert_eq!((manifest.limits.wall, manifest.limits.memory), (Some(DurationMs(120_000)), Some(Bytes(64 << 20))));
    assert_eq!(manifest.brake.attempts[1], Rate { count: 7, window_ms: 86_400_000 });
    assert_eq!(manifest.verify, Some(Verify::default()));
    let json = serde_json::to_value(&manifest).expect("plain");
    assert_eq!(json["triggers"][1]["continue"], true);
    assert_eq!(
        json["parameters"]["grace"],
        serde_json::json!({"type": "duration", "default": {"duration": 10_000}, "summary": ""})
    );
    assert_eq!(json["verify"]["condition"], "healthy");
}

#[test]
fn defaults() {
    let (manifest, warnings) = Manifest::parse(HEAD, "x").expect("sound");
    assert!(warnings.is_empty() && manifest.triggers.is_empty() && manifest.verify.is_none());
    assert_eq!(manifest.target, TargetSpec::default());
    assert_eq!((manifest.limits, manifest.brake), (Limits::default(), Brake::default()));
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let text = "nam = \"x\"\nversion = \"1\"\nsummary = \"\"\n[requests]\neffects = [\"docker.restart-contaner\"]\n";
    let problems = Manifest::parse(text, "runbook.toml").expect_err("broken");
    assert_eq!(
        lines(&problems),
        [
            "1:1 SB0202 unknown key `nam` (did you mean `name`?)",
            "1:1 SB0204 `name` is missing (write name = \"restart-unhealthy\")",
            "2:11 SB0205 `version` is \"1\": it must be like 1.2.0 or 1.2.0-rc.1",
            "3:11 SB0205 `summary` is \"\": say in one sentence what it does",
            "5:12 SB0206 there is no effect \"docker.restart-contaner\" (did you mean `docker.restart-container`?)",
        ]
    );
    assert_eq!(problems[0].to_string(), "runbook.toml:1:1: unknown key `nam`");
}

#[test]
fn broken_syntax_is_one_problem_a_line() {
    let problems = Manifest::parse("name = \nversion = \"1.0.0\"\nsummary = x y\n[limits]\ncpu = \"2h\"", "x");
    let found: Vec<(u32, &str)> = problems.expect_err("broken").iter().map(|p| (p.line, p.code)).collect();
    assert_eq!(found, [(1, "SB0201"), (3, "SB0201"), (5, "SB0207")]);
}

#[test]
fn names_and_versions() {
    for (name, version, ok) in [
        ("a", "1.2.0", true),
        ("a-1", "0.0.1-rc.1+b", true),
        ("", "1.2.0", false),
        ("A", "1.2.0", false),
        ("a_b", "1.2.0", false),
        (&"a".repeat(63), "1.2.0", true),
        (&"a".repeat(64), "1.2.0", false),
        ("a", "1.2", false),
        ("a", "v1.2.0", false),
        ("a", "1.2.0-", false),
        ("a", "1.2.0 x", false),
    ] {
        let text = format!("name = \"{name}\"\nversion = \"{version}\"\nsummary = \"s\"");
        assert_eq!(Manifest::parse(&text, "x").is_ok(), ok, "{name} {version}");
    }
}

#[test]
fn triggers_are_checked() {
    let empty = "SB0209 an empty trigger never matches (give it alert, match, docker_event or schedule)";
    check("[[trigger]]", &[&format!("1:1 {empty}")]);
    check("[[trigger]]\nalert = []", &[&format!("1:1 {empty}")]);
    check("[[trigger]]\nalert = \"X\"", &["2:9 SB0203 `trigger.alert` is a text, it must be a list of texts: [\"…\"]"]);
    check("[trigger]\nalert = [\"X\"]", &["1:1 SB0203 `trigger` is a table, it must be a list of tables: [[trigger]]"]);
    check(
        "[[trigger]]\nmatch = ['a=\"b\"', 'a==\"b\"']",
        &[
            "2:19 SB0205 `trigger.match`: \"a==\\\"b\\\"\" is not a matcher: the operators are =, !=, =~, !~ (put a value with = or ~ into double quotes); write it like severity=\"critical\"",
        ],
    );
    check(
        "[[trigger]]\ndocker_event = [\"dye\", \"exec_start\"]",
        &[
            "2:17 SB0205 `trigger.docker_event`: there is no docker event \"dye\" (did you mean \"die\"?)",
            "2:24 SB0205 `trigger.docker_event`: there is no docker event \"exec_start\" (known are: die, oom, start, stop, kill, restart, destroy, pause, unpause, health_status, health_status: healthy, health_status: unhealthy)",
        ],
    );
    let mixed =
        "1:1 SB0209 a trigger listens to alerts, to docker events or to a schedule (write one [[trigger]] for each)";
    check("[[trigger]]\nalert = [\"X\"]\ndocker_event = [\"die\"]", &[mixed]);
    check(
        "[target]\nkind = \"none\"\n[[trigger]]\nschedule = \"0 25 * * *\"",
        &[
            "4:12 SB0205 `trigger.schedule`: schedule \"0 25 * * *\": hour \"25\" is out of range (0 to 23, *, 1-5, */15)",
        ],
    );
    check(
        "[[trigger]]\nalert = [\"X\"]\ntimezone = \"UTC\"\npriority = 9999999999",
        &[
            "1:1 SB0209 `trigger.timezone` stands without a schedule (remove it, or add schedule = \"0 3 * * *\")",
            "4:12 SB0207 `trigger.priority` is 9999999999, it must fit 32 bits",
        ],
    );
}

#[test]
fn sections_are_checked() {
    for (rest, want) in [
        ("target = 3", "1:10 SB0203 `target` is a whole number, it must be a table: [target]"),
        (
            "[target]\nkind = \"pod\"",
            "2:8 SB0205 `target.kind` is \"pod\", it must be one of container, service, host, none",
        ),
        (
            "[parameters.Grace]\ntype = \"text\"",
            "1:13 SB0205 parameter \"Grace\": a name must be up to 63 of a-z, 0-9 and _, a letter first",
        ),
        (
            "[parameters.n]\ndefault = 1",
            "1:1 SB0204 `parameters.n.type` is missing (one of text, integer, number, flag, duration, size, choice)",
        ),
        (
            "[parameters.n]\ntype = \"int\"",
            "2:8 SB0205 `parameters.n.type` is \"int\", it must be one of text, integer, number, flag, duration, size, choice",
        ),
        (
            "[parameters.n]\ntype = \"integer\"\ndefault = \"1\"",
            "3:11 SB0208 `parameters.n.default` must be a whole number like 3 (its type is integer)",
        ),
        (
            "[parameters.n]\ntype = \"number\"\ndefault = nan",
            "3:11 SB0208 `parameters.n.default` must be a number like 0.5 (its type is number)",
        ),
        (
            "[parameters.n]\ntype = \"duration\"\ndefault = \"10\"",
            "3:11 SB0208 `parameters.n.default` must be a duration like 10s or 1h30m (its type is duration)",
        ),
        (
            "[requests]\neffects = [\"log.log\"]",
            "2:12 ~SB0210 `log.log` needs no request: effects of class note are always there (remove it)",
        ),
        (
            "[requests]\neffects = [\"notify.send\", \"notify.send\"]",
            "2:27 ~SB0210 `notify.send` is requested twice (remove one)",
        ),
        ("[limits]\nmemory = \"257MiB\"", "2:10 SB0207 `limits.memory` is 257MiB, it must be from 1B to 256MiB"),
        ("[limits]\nwall = \"25h\"", "2:8 SB0207 `limits.wall` is 1d1h, it must be from 1ms to 1d"),
        ("[limits]\ncpu = \"61s\"", "2:7 SB0207 `limits.cpu` is 1m1s, it must be from 1ms to 1m"),
        ("[limits]\neffects = 0", "2:11 SB0207 `limits.effects` is 0, it must be from 1 to 5000"),
        ("[limits]\nwall = 10", "2:8 SB0203 `limits.wall` is a whole number, it must be a text in quotes"),
        (
            "[brake]\nattempts = [\"3\"]",
            "2:13 SB0205 `brake.attempts`: \"3\" is not a rate: it has no `/`; write it like 3/1h or 7/1d",
        ),
        (
            "[verify]\ncondition = \"ok\"",
            "2:13 SB0205 `verify.condition`: \"ok\" is not a condition: write healthy, running or promql:…",
        ),
        ("[verify]\ncondtion = \"ok\"", "2:1 SB0202 unknown key `verify.condtion` (did you mean `condition`?)"),
    ] {
        check(rest, &[want]);
    }
    check("[limits]\nmemory = 1048576\n[verify]\ncondition = \"promql: up == 1\"", &[]);
}

#[test]
fn parameters_are_typed_and_completed() {
    let text = format!(
        "{HEAD}[parameters.grace]\ntype = \"duration\"\ndefault = \"10s\"\n[parameters.count]\ntype = \"integer\"\n\
         [parameters.share]\ntype = \"number\"\ndefault = 1\n[parameters.force]\ntype = \"flag\"\ndefault = false\n\
         [parameters.why]\ntype = \"text\"\ndefault = \"\""
    );
    let manifest = Manifest::parse(&text, "x").expect("sound").0;
    let given = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let values = manifest.parameters_from(&given(&[("count", "-3"), ("force", "true")])).expect("typed");
    assert_eq!(
        serde_json::to_string(&values).expect("plain"),
        r#"{"grace":{"duration":10000},"count":{"integer":-3},"share":{"number":1.0},"force":{"flag":true},"why":{"text":""}}"#
    );
    let errors =
        manifest.parameters_from(&given(&[("grce", "1s"), ("zzzzzz", ""), ("share", "inf"), ("grace", "ten")]));
    let errors: Vec<String> = errors.expect_err("broken").iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "runbook x has no parameter \"grce\"; did you mean `grace`?",
            "runbook x has no parameter \"zzzzzz\"; it takes grace, count, share, force, why",
            "parameter `grace` is \"ten\", it must be a duration like 10s or 1h30m",
            "parameter `count` is missing: give it as count=… (a whole number like 3)",
            "parameter `share` is \"inf\", it must be a number like 0.5",
        ]
    );
}

#[test]
fn bounds_patterns_and_choices_hold() {
    let text = format!(
        "{HEAD}[parameters.tries]\ntype = \"integer\"\nmin = 1\nmax = 5\ndefault = 2\n\
         [parameters.room]\ntype = \"size\"\nmin = \"1MiB\"\ndefault = 1048576\n\
         [parameters.wait]\ntype = \"duration\"\nmax = \"1m\"\ndefault = \"10s\"\n\
         [parameters.unit]\ntype = \"string\"\npattern = \"[a-z]+-[0-9]\"\ndefault = \"web-1\"\n\
         [parameters.how]\ntype = \"enum\"\nchoices = [\"fast\", \"careful\"]\ndefault = \"careful\"\n\
         [parameters.loud]\ntype = \"boolean\"\ndefault = false\n"
    );
    let manifest = Manifest::parse(&text, "x").expect("sound").0;
    let given = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    for (name, value, wanted) in [
        ("tries", "5", r#"{"integer":5}"#),
        ("tries", "0", "a whole number like 3, from 1 to 5"),
        ("tries", "6", "a whole number like 3, from 1 to 5"),
        ("room", "64MiB", r#"{"integer":67108864}"#),
        ("room", "64", "a size like 64MiB, at least 1MiB"),
        ("room", "1KiB", "a size like 64MiB, at least 1MiB"),
        ("wait", "60s", r#"{"duration":60000}"#),
        ("wait", "61s", "a duration like 10s or 1h30m, at most 1m"),
        ("unit", "db-2", r#"{"text":"db-2"}"#),
        ("unit", "xdb-22", "that matches [a-z]+-[0-9]"),
        ("how", "fast", r#"{"text":"fast"}"#),
        ("how", "quick", "one of fast, careful"),
        ("loud", "yes", "true or false"),
    ] {
        match manifest.parameters_from(&given(name, value)) {
            Ok(values) => assert_eq!(serde_json::to_string(&values[name]).expect("plain"), wanted, "{name}={value}"),
            Err(misfits) => {
                let [misfit] = &misfits[..] else { panic!("{misfits:?}") };
                assert_eq!((misfit.parameter.as_str(), misfit.given.as_deref()), (name, Some(value)));
                let expected = misfit.expected.as_deref().unwrap_or_default();
                assert!(expected.contains(wanted), "{name}={value}: {expected}");
                assert!(misfit.message.contains(&format!("`{name}` is {value:?}, it must be")), "{misfit}");
            }
        }
    }
    for (rest, want) in [
        ("type = \"integer\"\nmin = 3\nmax = 2", "4:7 SB0208 `parameters.n.max` is less than `min`: nothing fits"),
        (
            "type = \"integer\"\nmax = 2\ndefault = 3",
            "4:11 SB0208 `parameters.n.default` must be a whole number like 3, at most 2 (its type is integer)",
        ),
        (
            "type = \"flag\"\nmin = true",
            "3:7 SB0208 `parameters.n.min` means nothing for the type flag (it belongs to integer, number, duration and size)",
        ),
        (
            "type = \"size\"\nmax = \"big\"",
            "3:7 SB0208 `parameters.n.max` must be a size like 64MiB (the type is size)",
        ),
        ("type = \"choice\"", "1:1 SB0204 `parameters.n.choices` is missing (write choices = [\"fast\", \"careful\"])"),
        (
            "type = \"choice\"\nchoices = [\"a\", \"a\"]",
            "3:17 SB0205 `parameters.n.choices` holds \"a\" twice, or nothing",
        ),
    ] {
        check(&format!("[parameters.n]\n{rest}"), &[want]);
    }
    let broken = Manifest::parse(&format!("{HEAD}[parameters.n]\ntype = \"text\"\npattern = \"(\""), "x");
    assert!(broken.expect_err("no pattern")[0].message.contains("no regular expression: unclosed group"));
}

#[test]
fn schedules_are_checked_where_they_stand() {
    let none = "[target]\nkind = \"none\"\n[[trigger]]\n";
    for (rest, want) in [
        ("schedule = \"0 3 * * *\"\ncatch_up = \"skip\"\n", ""),
        ("schedule = \"0 3 * * *\"\ncatch_up_within = \"2h\"\ntarget = \"web-1\"\n", ""),
        (
            "schedule = \"0 0 31 2 *\"",
            "4:12 SB0205 `trigger.schedule`: schedule \"0 0 31 2 *\" is never due: no year has such a day",
        ),
        (
            "schedule = \"0 3 * * *\"\ncatch_up = \"all\"",
            "5:12 SB0205 `trigger.catch_up` is \"all\", it must be one of latest, skip",
        ),
        (
            "schedule = \"0 3 * * *\"\ncatch_up_within = \"8d\"",
            "5:19 SB0207 `trigger.catch_up_within` is 8d, it must be from 1m to 7d",
        ),
        (
            "schedule = \"0 3 * * *\"\ncatch_up = \"skip\"\ncatch_up_within = \"2h\"",
            "3:1 ~SB0210 `trigger.catch_up_within` has no effect: nothing is made up for (remove it, or write catch_up = \"latest\")",
        ),
        (
            "alert = [\"X\"]\ntarget = \"web-1\"",
            "3:1 SB0209 `trigger.target` stands without a schedule (remove it, or add schedule = \"0 3 * * *\")",
        ),
        ("schedule = \"0 3 * * *\"\ntarget = \" \"", "5:10 SB0205 `trigger.target`: it names nothing"),
        (
            "alert = [\"X\"]\nparameters = { lines = 5 }",
            "3:1 SB0209 `trigger.parameters` stands without a schedule (remove it, or add schedule = \"0 3 * * *\")",
        ),
    ] {
        let want: Vec<&str> = [want].into_iter().filter(|want| !want.is_empty()).collect();
        check(&format!("{none}{rest}"), &want);
    }
}

#[test]
fn a_scripts_manifest_is_placed_in_the_script() {
    let script =
        "\n//! name = \"x\"\n//! version = \"1.0.0\"\n//!\n//! sumary = \"s\"\nfn run(input) { }\n//! later = 1\n";
    let (text, offset) = manifest_of_script(script).expect("there");
    assert_eq!((text.lines().count(), offset), (4, 1));
    let problems = Manifest::parse_script(script, "x.rhai").expect("there").expect_err("misspelt");
    assert_eq!(
        lines(&problems),
        [
            "2:1 SB0204 `summary` is missing (say in one sentence what it does)",
            "5:5 SB0202 unknown key `sumary` (did you mean `summary`?)",
        ]
    );
    for none in ["", "fn run(input) {}", "// name = \"x\"", "fn x() {}\n//! name = \"x\""] {
        assert_eq!(manifest_of_script(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in ".*", at: proptest::sample::Index, insert in "[\\[\\]\"'=.,a-z0-9\n{}-]{0,4}") {
        let _ = Manifest::parse(&text, "x");
        let mut mutated = SAMPLE.to_owned();
        let mut at = at.index(mutated.len());
        while !mutated.is_char_boundary(at) {
            at -= 1;
        }
        mutated.insert_str(at, &insert);
        let _ = Manifest::parse(&mutated, "x");
    }
}

#[test]
fn what_schedules_give_their_runs_fits_its_declaration() {
    let declared = "[target]\nkind = \"none\"\n[parameters.lines]\ntype = \"integer\"\nmax = 9\ndefault = 1\n\
                    [parameters.within]\ntype = \"duration\"\n[[trigger]]\nschedule = \"0 3 * * *\"\n";
    for (rest, want) in [
        ("parameters = { lines = 5, within = \"2h\" }", ""),
        (
            "parameters = { lines = 10, within = \"2h\" }",
            "11:24 SB0208 parameter `lines` is \"10\", it must be a whole number like 3, at most 9",
        ),
        (
            "parameters = { lins = 5, within = \"2h\" }",
            "11:23 SB0208 runbook x has no parameter \"lins\"; did you mean `lines`?",
        ),
        ("parameters = { within = [\"2h\"] }", "11:25 SB0203 `within` is a list, it must be a text, number or flag"),
        (
            "parameters = { lines = 5 }",
            "9:1 ~SB0210 its scheduled runs do not start: parameter `within` is missing: give it as within=… (a duration like 10s or 1h30m) \
             (add parameters = { within = … } to the trigger, or a default)",
        ),
        (
            "parameters = { within = \"2h\" }\n[[trigger]]\nschedule = \"0 3 * * *\"\nparameters = { within = \"3h\" }",
            "12:1 SB0209 the same schedule with other parameters: each time is made once (move one of them by a minute)",
        ),
    ] {
        let want: Vec<&str> = [want].into_iter().filter(|want| !want.is_empty()).collect();
        check(&format!("{declared}{rest}"), &want);
    }
}
