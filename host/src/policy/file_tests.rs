//! Tables: what loading says of mistakes, what grants write and refuse, and how long a decision takes.

use std::collections::BTreeSet;
use std::path::Path;

use sandbook_core::run::Decision;

use super::Policy;
use super::grant::{Change, Selector, grant};
use super::load::Source;
use super::tests::{CONTRACT, RESTART, on, policy};

/// What `load` says of a text: one line a problem.
#[track_caller]
fn problems(text: &str) -> Vec<String> {
    let source = Source { file: "p.cedar".to_owned(), text: text.to_owned() };
    let problems = Policy::from_sources(&[source], false).expect_err("invalid");
    problems.iter().map(|problem| format!("{} {problem} | {}", problem.code, problem.help)).collect()
}

#[test]
fn mistakes_are_named_with_place_and_way_out() {
    for (text, says) in [
        (
            "permit (principal,\n  action == Action::\"docker.restart-contaner\", resource);",
            "SB0303 p.cedar:2:13: unrecognized action `Action::\"docker.restart-contaner\"` | did you mean `Action::\"docker.restart-container\"`?",
        ),
        (
            "permit (principal, action == Action::\"clock.sleep\", resource);",
            "SB0303 p.cedar:1:30: unrecognized action `Action::\"clock.sleep\"` | effects of class wait need no permission, so no policy can speak of clock.sleep",
        ),
        (
            "permit (principal, action in Action::\"mutat\", resource);",
            "SB0303 p.cedar:1:30: unrecognized action `Action::\"mutat\"` | did you mean `Action::\"mutate\"`?",
        ),
        (
            "permit (principal, action == Action::\"docker.exec\", resource)\nwhen { resource.nam == \"web\" };",
            "SB0303 p.cedar:2:8: attribute `nam` on entity type `Container` not found | did you mean `name`?",
        ),
        (
            "permit (principal, action, resource is Contaner);",
            "SB0303 p.cedar:1:40: unrecognized entity type `Contaner` | did you mean `Container`?",
        ),
        (
            "\n@aproval(\"ask\")\npermit (principal, action, resource);",
            "SB0304 p.cedar:2:1: unknown annotation `@aproval` | did you mean `@approval`?",
        ),
        (
            "@approval(\"always\") permit (principal, action, resource);",
            "SB0304 p.cedar:1:1: @approval is \"always\" | the only value is @approval(\"ask\")",
        ),
        (
            "@limit(\"3/1h\") forbid (principal, action, resource);",
            "SB0304 p.cedar:1:1: @limit on a forbid has no meaning: a forbid always refuses | put @limit on the permit, or remove it",
        ),
        (
            "permit (principal, action, resource == Container::\"web\");",
            "SB0303 p.cedar:1:1: `Container::\"web\"` never matches: the id of a Container is not its name | compare an attribute, such as resource.name == \"…\"",
        ),
        (
            "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);",
            "SB0305 p.cedar:2:1: the id `a` is also that of the policy at p.cedar:1 | give one of them another @id",
        ),
    ] {
        assert_eq!(problems(text), [says]);
    }
    let limit = problems("@limit(\"3\") permit (principal, action, resource);");
    assert!(limit[0].starts_with("SB0304 p.cedar:1:1: @limit: \"3\" is not a rate"), "{limit:?}");
    let syntax = problems("permit (principal, action, resource)\nwhen { resource.name = \"x\" };");
    assert!(syntax[0].starts_with("SB0302 p.cedar:2:"), "{syntax:?}");
    assert!(problems("permit (principal == ?principal, action, resource);")[0].contains("templates are not supported"));
    let several = problems(
        "permit (principal, action == Action::\"x\", resource is Y);\n@z(\"\") permit (principal, action, resource);",
    );
    assert!(several.len() >= 3, "{several:?}");
}

#[test]
fn doubts_are_warnings() {
    for (text, says) in [
        ("permit (principal, action == Action::\"http.get\", resource);", "this permit has no effect"),
        ("@approval(\"ask\") permit (principal, action in Action::\"tell\", resource);", "@approval has no effect"),
        (
            "permit (principal, action == Action::\"docker.exec\", resource is Url);",
            "unable to find an applicable action",
        ),
        ("permit (principal, action == Action::\"docker.exec\", resource) when { false };", "policy is impossible"),
    ] {
        let warnings = policy(text).warnings().to_vec();
        assert!(
            warnings.len() == 1 && warnings[0].warning && warnings[0].message.contains(says),
            "{text}: {warnings:?}"
        );
    }
    assert!(policy(CONTRACT).warnings().is_empty());
    assert!(
        policy("@limit(\"5/1h\") permit (principal, action == Action::\"http.get\", resource);").warnings().is_empty()
    );
    let known = BTreeSet::from(["restart-unhealty".to_owned()]);
    let unknown = policy(CONTRACT).unknown_runbooks(&known);
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].help, "did you mean `Runbook::\"restart-unhealty\"`?");
}

#[test]
fn directories_are_read_and_a_missing_one_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("b.cedar"), format!("{RESTART};")).expect("written");
    std::fs::write(dir.path().join("notes.txt"), "not a policy").expect("written");
    let dirs = [dir.path().to_path_buf()];
    assert_eq!(Policy::load(&dirs, false).expect("valid").grants().len(), 1);
    let problems = Policy::load(&[dir.path().join("absent")], false).expect_err("missing");
    assert!(problems[0].message.contains("cannot be read"), "{problems:?}");
}

fn selector(container: Option<&str>, service: Option<&str>, host: Option<&str>) -> Selector {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Selector { container: owned(container), service: owned(service), host: owned(host) }
}

fn write_grant(dir: &Path, effect: &str, on: &Selector, limit: Option<&str>, ask: bool) -> Result<Change, String> {
    let limit = limit.map(|limit| limit.parse().expect("a rate"));
    grant(dir, "restart-unhealthy", effect, on, limit, ask).map(|grant| grant.change).map_err(|problems| {
        problems.iter().map(|p| format!("{} | {}", p.message, p.help)).collect::<Vec<_>>().join("\n")
    })
}

#[test]
fn a_grant_is_written_once_and_replaced_under_its_id() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("base.cedar"),
        "forbid (principal, action, resource is Container) when { resource.name == \"db\" };",
    )
    .expect("written");
    let (restart, web) = ("docker.restart-container", selector(Some("web-*"), None, Some("local")));
    assert_eq!(write_grant(dir.path(), restart, &web, Some("3/1h"), false), Ok(Change::Added));
    assert_eq!(write_grant(dir.path(), restart, &web, Some("3/1h"), false), Ok(Change::Unchanged));
    let shop = selector(None, Some("shop/db"), None);
    assert_eq!(write_grant(dir.path(), "docker.exec", &shop, None, true), Ok(Change::Added));
    assert_eq!(write_grant(dir.path(), restart, &web, Some("9/1h"), true), Ok(Change::Replaced));
    let policy = Policy::load(&[dir.path().to_path_buf()], false).expect("valid");
    let lines: Vec<_> = policy
        .grants()
        .into_iter()
        .map(|line| {
            format!(
                "{:?} {:?} {} {:?} {} {}",
                line.kind,
                line.runbook,
                line.resource,
                line.limit.map(|rate| rate.to_string()),
                line.ask,
                line.id.rsplit_once("base").map_or(line.id.clone(), |(_, end)| end.to_owned())
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#"Forbid None container with name db None false .cedar:1"#,
            r#"Permit Some("restart-unhealthy") container with name web-* and host local Some("9/1h") true restart-unhealthy/docker.restart-container/container=web-*,host=local"#,
            r#"Permit Some("restart-unhealthy") container with project shop and service db None true restart-unhealthy/docker.exec/service=shop/db"#,
        ]
    );
    let verdict = policy.decide(&on("web-1", &[]).request());
    assert_eq!((verdict.decision, verdict.limits[0].count), (Decision::Ask, 9));
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 2, "no temporary files stay");
}

#[test]
fn a_grant_that_makes_no_sense_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let all = selector(Some("*"), None, None);
    for (effect, on, says) in [
        ("docker.restart-contaner", all.clone(), "did you mean docker.restart-container?"),
        ("docker.inspect-container", all.clone(), "under [requests]"),
        ("http.get", all.clone(), "under [egress]"),
        ("notify.send", all.clone(), "[notify.channels.NAME]"),
        ("clock.sleep", all.clone(), "every runbook may do it"),
        ("docker.exec", Selector::default(), "--container '*' means every container"),
        ("docker.exec", selector(Some("web-[12]"), None, None), "is not a name"),
        ("docker.exec", selector(Some("x\" || true || \""), None, None), "is not a name"),
        ("docker.exec", selector(None, Some("db"), None), "PROJECT/NAME"),
        ("docker.exec", selector(None, Some("shop/*"), None), "is not a name"),
    ] {
        let error = write_grant(dir.path(), effect, &on, None, false).expect_err(effect);
        assert!(error.contains(says), "{effect}: {error}");
    }
    let error = grant(dir.path(), "Bad Name", "docker.exec", &all, None, false).expect_err("a bad name");
    assert!(error[0].message.contains("is not a name"), "{error:?}");
    std::fs::write(dir.path().join("broken.cedar"), "permit (").expect("written");
    assert!(write_grant(dir.path(), "docker.exec", &all, None, false).is_err());
    assert!(!dir.path().join("grants.cedar").exists());
}

/// `cargo test --release -p sandbook --lib policy -- --ignored --nocapture measure`
#[test]
#[ignore = "it measures and asserts nothing"]
fn measure_a_decision() {
    let mut text = CONTRACT.to_owned();
    for index in 0..50 {
        text.push_str(&format!("permit (principal == Runbook::\"other-{index}\", action == Action::\"docker.restart-container\", resource is Container) when {{ resource.name like \"a{index}-*\" }};\n"));
    }
    let policy = policy(&text);
    let labels: Vec<(String, String)> =
        (0..12).map(|index| (format!("label.{index}"), format!("value-{index}"))).collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let case = on("web-1", &labels);
    let measure = |name: &str, before: &dyn Fn()| {
        let mut times: Vec<u128> = (0..20_000)
            .map(|_| {
                before();
                let start = std::time::Instant::now();
                assert_eq!(policy.decide(&case.request()).decision, Decision::Allow);
                start.elapsed().as_nanos()
            })
            .collect();
        times.sort_unstable();
        println!("{name}: p50 {:.1} µs, p99 {:.1} µs", times[10_000] as f64 / 1e3, times[19_800] as f64 / 1e3);
    };
    measure("53 policies, 12 labels, container kept", &|| ());
    measure("53 policies, 12 labels, container new", &|| policy.forget("id-of-web-1"));
}
