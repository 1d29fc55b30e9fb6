//! Tables: policies, a request, and what must come of it, fix line included.

use std::collections::BTreeMap;

use sandbook_core::effect::{Class, Effect};
use sandbook_core::run::{Decision, Origin, Stage};
use sandbook_core::target::{Facts, Kind, LABEL_PROJECT, LABEL_SERVICE, Resolved, Target};
use serde_json::json;

use super::load::Source;
use super::{Moment, Policy, Request, Verdict};

pub(super) const CONTRACT: &str = r#"@limit("3/10m")
permit (
  principal == Runbook::"restart-unhealthy",
  action == Action::"docker.restart-container",
  resource is Container
) when { resource.name like "web-*" };

@approval("ask")
permit (principal, action == Action::"docker.update-resources", resource is Container)
when { resource.project == "shop" && resource.service == "market-predictor" };

forbid (principal, action in Action::"mutate", resource is Container)
when { resource.hasTag("team") && resource.getTag("team") == "payments" };
"#;

/// A request with everything a test does not care about filled in.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) runbook: &'static str,
    pub(super) stage: Stage,
    pub(super) origin: Origin,
    pub(super) effect: Effect,
    pub(super) resolved: Resolved,
    pub(super) alert: BTreeMap<String, String>,
    pub(super) attempts: u64,
}

pub(super) fn effect(name: &str, arguments: serde_json::Value) -> Effect {
    Effect::from_arguments(name, arguments).expect("a valid effect")
}

pub(super) fn on(name: &str, labels: &[(&str, &str)]) -> Case {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let target = Target {
        host: "local".to_owned(),
        kind: Kind::Container,
        name: name.to_owned(),
        id: Some(format!("id-of-{name}")),
    };
    Case {
        runbook: "restart-unhealthy",
        stage: Stage::Live,
        origin: Origin::Person,
        effect: effect("docker.restart-container", json!({"container": name, "options": {"grace_ms": 10_000}})),
        resolved: Resolved {
            subject: target.handle(),
            target,
            facts: Some(Facts::from_labels("nginx:1.27".to_owned(), "running".to_owned(), labels)),
            before: None,
        },
        alert: BTreeMap::from([
            ("alertname".to_owned(), "Down".to_owned()),
            ("severity".to_owned(), "critical".to_owned()),
            ("team".to_owned(), "web".to_owned()),
        ]),
        attempts: 1,
    }
}

impl Case {
    fn doing(self, name: &str, arguments: serde_json::Value) -> Case {
        Case { effect: effect(name, arguments), ..self }
    }

    fn at(self, stage: Stage) -> Case {
        Case { stage, ..self }
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            runbook: self.runbook,
            digest: "sha256:00",
            stage: self.stage,
            origin: self.origin,
            effect: &self.effect,
            resolved: &self.resolved,
            alert_labels: &self.alert,
            attempts: self.attempts,
            applied_by: None,
            now: Moment { minute_of_day: 180, weekday: 1 },
        }
    }
}

pub(super) fn policy(text: &str) -> Policy {
    let source = Source { file: "test.cedar".to_owned(), text: text.to_owned() };
    Policy::from_sources(&[source], false)
        .expect("valid policies")
        .with_egress(Box::new(|host, port| host == "status.example.org" || (host == "web-1" && port == Some(8080))))
        .with_channels(["ops".to_owned()], Some("ops".to_owned()))
}

pub(super) const RESTART: &str =
    r#"@id("r") permit (principal, action == Action::"docker.restart-container", resource is Container)"#;

#[track_caller]
fn check(policies: &str, case: &Case, decision: Decision, by: &[&str], fix: &str) -> Verdict {
    let verdict = policy(policies).decide(&case.request());
    assert_eq!(
        (verdict.decision, verdict.policy.iter().map(String::as_str).collect::<Vec<_>>(), verdict.fix.as_str()),
        (decision, by.to_vec(), fix),
        "{}",
        verdict.reason
    );
    verdict
}

#[test]
fn mutate_needs_a_permit_and_says_which() {
    let web = on("web-1", &[]);
    let shop = on("shop-db-1", &[(LABEL_PROJECT, "shop"), (LABEL_SERVICE, "db")]);
    let hostile = on("x", &[(LABEL_PROJECT, "$(reboot)"), (LABEL_SERVICE, "db")]);
    let grant = "sandbook grant restart-unhealthy docker.restart-container";
    let any = format!("{RESTART};");
    let web_only = format!("{RESTART} when {{ resource.name like \"web-*\" }};");
    let (deny, allow) = (Decision::Deny, Decision::Allow);
    check("", &web, deny, &[], &format!("{grant} --container web-1"));
    check("", &shop, deny, &[], &format!("{grant} --service shop/db"));
    check("", &hostile, deny, &[], &format!("{grant} --container x"));
    check(&web_only, &web, allow, &["r"], "");
    check(&web_only, &shop, deny, &[], &format!("{grant} --service shop/db"));
    check(&any, &web.clone().at(Stage::Ask), Decision::Ask, &["r"], "");
    let promote = "sandbook promote restart-unhealthy ask --reason \"…\"";
    check(&any, &web.clone().at(Stage::Shadow), deny, &["r"], promote);
    check(&any, &web.clone().at(Stage::Draft), deny, &["r"], promote);
    check("", &web.clone().at(Stage::Shadow), deny, &[], &format!("{grant} --container web-1 && {promote}"));
    let mut unknown = web.clone();
    (unknown.resolved.facts, unknown.resolved.target.id) = (None, None);
    check("", &unknown, deny, &[], &format!("{grant} --container web-1"));
    check(&web_only, &unknown, allow, &["r"], "");
}

#[test]
fn forbids_protection_and_failures_win() {
    let any = format!("{RESTART};");
    let forbid = format!("{any}\n@reason(\"ask dana\") forbid (principal, action in Action::\"mutate\", resource);");
    let verdict = check(
        &forbid,
        &on("web-1", &[]),
        Decision::Deny,
        &["test.cedar:2"],
        "change the forbid at test.cedar:2, which wins over every grant",
    );
    assert_eq!(verdict.reason, "policy `test.cedar:2` forbids docker.restart-container on local/web-1: ask dana");
    let fix = "recreate the container without the label sandbook.protect, or do this by hand";
    let verdict = check(&any, &on("web-1", &[("sandbook.protect", "")]), Decision::Deny, &[], fix);
    assert!(
        verdict.reason.ends_with("whatever policy says: its label sandbook.protect protects it"),
        "{}",
        verdict.reason
    );
    let fix = "do this by hand: an engine that stops itself cannot finish what it began";
    let verdict = check(&any, &on("web-1", &[("sandbook.self", "true")]), Decision::Deny, &[], fix);
    assert!(verdict.reason.ends_with("this engine runs in it"), "{}", verdict.reason);
    check(&any, &on("web-1", &[("sandbook.self", "false")]), Decision::Allow, &["r"], "");
    check(&any, &on("web-1", &[("sandbook.protect", "false")]), Decision::Allow, &["r"], "");
    let fails = format!(
        "{any}\n@id(\"f\") permit (principal, action, resource) when {{ context.attempts + 9223372036854775807 > 0 }};"
    );
    let verdict = check(&fails, &on("web-1", &[]), Decision::Deny, &["f"], "correct the policy at test.cedar:2");
    assert!(verdict.reason.contains("overflow"), "{}", verdict.reason);
}

#[test]
fn any_ask_asks_and_every_limit_holds() {
    let both = r#"
        @id("a") @limit("3/10m") permit (principal, action, resource);
        @id("b") @limit("9/1d") @approval("ask") @reason("it serves users")
        permit (principal == Runbook::"restart-unhealthy", action, resource is Container);
        @id("c") @limit("1/1h") permit (principal == Runbook::"another", action, resource);"#;
    let verdict = check(both, &on("web-1", &[]), Decision::Ask, &["a", "b"], "");
    let limits: Vec<_> =
        verdict.limits.iter().map(|limit| (limit.key.as_str(), limit.count, limit.window_ms)).collect();
    assert_eq!(limits, [("a", 3, 600_000), ("b", 9, 86_400_000)]);
    assert_eq!(verdict.reason, "policy `b` wants a person's approval: it serves users");
}

#[test]
fn classes_need_what_they_need() {
    let base = on("web-1", &[]);
    let (deny, allow) = (Decision::Deny, Decision::Allow);
    for (name, arguments) in [
        ("clock.now", json!({})),
        ("random.random-u64", json!({})),
        ("log.progress", json!({"message": "x"})),
        ("state.put", json!({"key": "k", "value": "v"})),
        ("clock.sleep", json!({"duration_ms": 5})),
        ("docker.inspect-container", json!({"container": "web-1"})),
        ("docker.list-containers", json!({})),
        ("metrics.query", json!({"promql": "up"})),
    ] {
        check("", &base.clone().doing(name, arguments).at(Stage::Draft), allow, &[], "");
    }
    let list = |host: &str| {
        format!("add \"{host}\" to `hosts` under [egress] in the configuration: [egress] hosts = [\"{host}\"]")
    };
    for (name, arguments, missing) in [
        ("http.get", json!({"url": "https://status.example.org/x"}), None),
        ("net.http-probe", json!({"url": "http://WEB-1:8080/"}), None),
        ("net.tcp-check", json!({"host": "web-1", "port": 8080}), None),
        ("net.tcp-check", json!({"host": "web-1", "port": 22}), Some("web-1:22")),
        ("net.dns-lookup", json!({"name": "secret.evil.example"}), Some("secret.evil.example")),
        ("http.request", json!({"method": "post", "url": "https://evil.example/"}), Some("evil.example")),
        ("http.get", json!({"url": "http://status.example.org@evil.example/"}), Some("evil.example")),
    ] {
        let case = base.clone().doing(name, arguments);
        let decision = if missing.is_some() { deny } else { allow };
        check("", &case, decision, &[], &missing.map(list).unwrap_or_default());
    }
    let bad = base.clone().doing("http.get", json!({"url": "file:///etc/shadow"}));
    check("permit (principal, action, resource);", &bad, deny, &[], "give a host or an http url");
    let tell = |channel: Option<&str>| {
        base.clone().doing("notify.send", json!({"message": {"title": "t", "text": "t", "channel": channel}}))
    };
    check("", &tell(None), allow, &[], "");
    check("", &tell(Some("ops")), allow, &[], "");
    check("", &tell(Some("dev")), deny, &[], "add [notify.channels.dev] to the configuration");
    check("", &tell(Some("op")), deny, &[], "did you mean \"ops\"? else add [notify.channels.op] to the configuration");
    assert_eq!(Policy::default().decide(&tell(None).request()).decision, deny);
}

#[test]
fn forbids_reach_reads_egress_and_messages() {
    let base = on("web-1", &[]);
    for (policies, case) in [
        (
            r#"forbid (principal, action in Action::"egress", resource is NetHost) when { resource.host == "web-1" };"#,
            base.clone().doing("net.tcp-check", json!({"host": "WEB-1.", "port": 8080})),
        ),
        (
            r#"forbid (principal, action, resource is Url) when { resource.scheme == "https" };"#,
            base.clone().doing("http.get", json!({"url": "https://status.example.org/"})),
        ),
        (
            r#"forbid (principal, action == Action::"notify.send", resource == Channel::"ops");"#,
            base.clone().doing("notify.send", json!({"message": {"title": "t", "text": "t"}})),
        ),
        (
            r#"forbid (principal, action in Action::"observe", resource is Container);"#,
            base.clone().doing("logs.tail-container", json!({"container": "web-1"})),
        ),
    ] {
        let fix = "change the forbid at test.cedar:1, which wins over every grant";
        check(policies, &case, Decision::Deny, &["test.cedar:1"], fix);
    }
}

#[test]
fn arguments_alert_and_time_can_be_conditions() {
    let exec = on("web-1", &[]).doing("docker.exec", json!({"container": "web-1", "argv": ["nginx", "-s", "reload"]}));
    let kill =
        on("web-1", &[]).doing("docker.kill-container", json!({"container": "web-1", "options": {"signal": "9"}}));
    for (condition, case, decision) in [
        (r#"context.program == "nginx" && context.argv.contains("reload")"#, &exec, Decision::Allow),
        (r#"context.argv.contains("stop")"#, &exec, Decision::Deny),
        (r#"context.signal == "KILL""#, &kill, Decision::Allow),
        (r#"context has grace_ms && context.grace_ms <= 10000"#, &on("web-1", &[]), Decision::Allow),
        (r#"context.alertname == "Down" && context.severity == "critical""#, &exec, Decision::Allow),
        (r#"context.alert.hasTag("team") && context.alert.getTag("team") == "web""#, &exec, Decision::Allow),
        (r#"context.alert.hasTag("team") && context.alert.getTag("team") == "db""#, &exec, Decision::Deny),
        ("context.minute_of_day >= 120 && context.minute_of_day < 240 && context.weekday == 1", &exec, Decision::Allow),
        ("context.attempts < 1", &exec, Decision::Deny),
        (r#"principal.origin == "person" && principal.stage == "live""#, &exec, Decision::Allow),
        (
            r#"resource.host == "local" && resource.image like "nginx:*" && resource.state == "running""#,
            &exec,
            Decision::Allow,
        ),
    ] {
        let text = format!(
            "permit (principal, action == Action::\"{}\", resource is Container) when {{ {condition} }};",
            case.effect.name()
        );
        let verdict = policy(&text).decide(&case.request());
        assert_eq!(verdict.decision, decision, "{condition}: {}", verdict.reason);
    }
}

#[test]
fn a_label_grants_only_when_switched_on() {
    let sources = [Source { file: "a.cedar".to_owned(), text: String::new() }];
    let on_switch = Policy::from_sources(&sources, true).expect("empty");
    for (allowed, decision) in [
        ("restart", Decision::Allow),
        ("start, restart", Decision::Allow),
        ("docker.restart-container", Decision::Allow),
        ("start", Decision::Deny),
        ("*", Decision::Deny),
        ("", Decision::Deny),
    ] {
        let case = on("web-1", &[("sandbook.allow", allowed)]);
        let verdict = on_switch.decide(&case.request());
        assert_eq!(verdict.decision, decision, "{allowed}: {}", verdict.reason);
        assert_eq!(policy("").decide(&case.request()).decision, Decision::Deny, "{allowed}");
    }
    let both = on("web-1", &[("sandbook.allow", "restart"), ("sandbook.protect", "true")]);
    assert_eq!(on_switch.decide(&both.request()).decision, Decision::Deny);
    let ask = on_switch.decide(&on("web-1", &[("sandbook.allow", "restart")]).at(Stage::Ask).request());
    assert_eq!((ask.decision, ask.policy), (Decision::Ask, vec!["label sandbook.allow".to_owned()]));
}

#[test]
fn the_contracts_policies_hold() {
    let policy = policy(CONTRACT);
    let verdict = policy.decide(&on("web-1", &[]).request());
    assert_eq!((verdict.decision, verdict.limits.len()), (Decision::Allow, 1));
    assert_eq!(verdict.policy, ["test.cedar:1"]);
    assert_eq!(policy.decide(&on("web-1", &[("team", "payments")]).request()).decision, Decision::Deny);
    let shop = on("m", &[(LABEL_PROJECT, "shop"), (LABEL_SERVICE, "market-predictor")])
        .doing("docker.update-resources", json!({"container": "m", "resources": {"memory_bytes": 1 << 30}}));
    assert_eq!(policy.decide(&shop.request()).decision, Decision::Ask);
}

#[test]
fn what_is_kept_of_a_container_is_never_stale() {
    let policy = policy(&format!("{RESTART} when {{ resource.state == \"running\" && resource.name == \"web-1\" }};"));
    let mut case = on("web-1", &[]);
    for (state, name, decision) in [
        ("running", "web-1", Decision::Allow),
        ("exited", "web-1", Decision::Deny),
        ("running", "web-1", Decision::Allow),
        ("running", "renamed", Decision::Deny),
    ] {
        case.resolved.facts.as_mut().expect("facts").state = state.to_owned();
        case.resolved.target.name = name.to_owned();
        assert_eq!(policy.decide(&case.request()).decision, decision, "{state} {name}");
    }
    policy.forget("id-of-web-1");
}

#[test]
fn without_a_policy_nothing_mutates_and_a_forbid_never_allows() {
    let policies = [
        "",
        RESTART,
        r#"permit (principal, action, resource)"#,
        r#"@approval("ask") permit (principal, action in Action::"mutate", resource)"#,
        r#"permit (principal, action in [Action::"egress", Action::"tell"], resource)"#,
    ];
    let forbids = [
        r#"forbid (principal, action, resource is Container) when { resource.name == "db" };"#,
        r#"forbid (principal == Runbook::"another", action, resource);"#,
        r#"forbid (principal, action, resource);"#,
    ];
    for info in Effect::ALL {
        let arguments = [
            json!({"container": "web-1"}),
            json!({"container": "web-1", "argv": ["true"]}),
            json!({"container": "web-1", "resources": {"pids": 5}}),
            json!({"url": "http://web-1:8080/"}),
            json!({"message": {"title": "t", "text": "t"}}),
            json!({}),
        ];
        let Some(effect) = arguments.into_iter().find_map(|it| Effect::from_arguments(info.name, it).ok()) else {
            continue;
        };
        for stage in Stage::ALL {
            let case = Case { effect: effect.clone(), stage: *stage, ..on("web-1", &[("a", "b")]) };
            let without = policy("").decide(&case.request());
            assert!(info.class != Class::Mutate || without.decision == Decision::Deny, "{}", info.name);
            for permit in policies {
                let permit = if permit.is_empty() { String::new() } else { format!("{permit};") };
                let before = policy(&permit).decide(&case.request());
                for forbid in forbids {
                    let after = policy(&format!("{permit}{forbid}")).decide(&case.request());
                    let rank = |verdict: &Verdict| match verdict.decision {
                        Decision::Deny | Decision::Limited => 0,
                        Decision::Ask => 1,
                        Decision::Allow => 2,
                    };
                    assert!(rank(&after) <= rank(&before), "{} {permit} {forbid}", info.name);
                }
            }
        }
    }
}
