//! Who is chosen, who is not, and the sentences that say why.

use super::*;
use crate::alert::parse_message;

fn manifest(name: &str, rest: &str) -> Manifest {
    let text = format!("name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"x\"\n{rest}");
    Manifest::parse(&text, "runbook.toml").unwrap_or_else(|problems| panic!("{name}: {problems:?}")).0
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn route(toml: &str) -> Route {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"))
}

fn lines(choice: &Choice) -> Vec<String> {
    let via = |via: Via| match via {
        Via::Route(index) => format!("r{index}"),
        Via::Trigger(index) => format!("t{index}"),
    };
    let chosen = choice.chosen.iter().map(|c| format!("+ {} {} {}", c.runbook, via(c.via), c.why));
    let considered = choice
        .considered
        .iter()
        .map(|c| format!("{} {} {} {}", if c.matched { "=" } else { "-" }, c.runbook, via(c.via), c.why));
    chosen.chain(considered).collect()
}

/// Alert `Down{severity="critical", name="web"}`.
#[track_caller]
fn check(routes: &[&str], runbooks: &[(&str, &str)], want: &[&str]) {
    let body = br#"{"labels":{"alertname":"Down","severity":"critical","name":"web"}}"#;
    let alert = parse_message(body, jiff::Timestamp::UNIX_EPOCH).expect("sound").alerts.remove(0).expect("sound");
    let manifests: Vec<Manifest> = runbooks.iter().map(|(name, rest)| manifest(name, rest)).collect();
    let candidates: Vec<Candidate<'_>> =
        manifests.iter().map(|manifest| Candidate { name: &manifest.name, manifest }).collect();
    let routes: Vec<Route> = routes.iter().map(|toml| route(toml)).collect();
    let choice = choose(&alert, &routes, &candidates);
    assert_eq!(lines(&choice), want);
    for manifest in &manifests {
        let via_trigger = |runbook: &str, via: Via| runbook == manifest.name && matches!(via, Via::Trigger(_));
        let matched = choice.chosen.iter().any(|one| via_trigger(&one.runbook, one.via))
            || choice.considered.iter().any(|one| one.matched && via_trigger(&one.runbook, one.via));
        assert_eq!(fits(&alert, manifest), matched, "{}", manifest.name);
    }
}

const NAMED: (&str, &str) = ("named", "[[trigger]]\nalert = [\"Down\"]");

#[test]
fn the_most_specific_trigger_wins() {
    check(&[], &[NAMED], &["+ named t0 it names the alert Down"]);
    check(
        &[],
        &[
            ("any", "[[trigger]]\nmatch = ['severity=\"critical\"', 'name=\"web\"']"),
            NAMED,
            ("other", "[[trigger]]\nalert = [\"Up\", \"Slow\"]"),
            ("soft", "[[trigger]]\nalert = [\"Down\"]\nmatch = ['severity=~\"warning|info\"']"),
            ("timed", "[target]\nkind = \"none\"\n[[trigger]]\nschedule = \"0 3 * * *\""),
        ],
        &[
            "+ named t0 it names the alert Down",
            "- other t0 alertname=\"Down\" is not \"Up\" or \"Slow\"",
            "- soft t0 severity=\"critical\" does not match severity=~\"warning|info\"",
            "- timed t0 this trigger listens to a schedule, not to alerts",
            "= any t0 less specific than named",
        ],
    );
}

#[test]
fn equality_beats_expressions_names_break_ties_and_priority_comes_first() {
    check(
        &[],
        &[
            ("loose", "[[trigger]]\nmatch = ['severity=~\"critical\"']"),
            ("tied-b", "[[trigger]]\nmatch = ['severity=\"critical\"']"),
            ("tied-a", "[[trigger]]\nmatch = ['name=\"web\"']"),
        ],
        &[
            "+ tied-a t0 name=\"web\" holds",
            "= tied-b t0 as specific as tied-a, which comes first by name",
            "= loose t0 less specific than tied-a",
        ],
    );
    check(
        &[],
        &[NAMED, ("first", "[[trigger]]\nmatch = ['severity!=\"info\"']\npriority = 10")],
        &["+ first t0 severity!=\"info\" holds", "= named t0 priority 0 is lower than 10 of first"],
    );
}

#[test]
fn continue_lets_the_next_one_run_and_a_runbook_is_chosen_once() {
    let evidence =
        "[[trigger]]\nmatch = ['severity=~\".+\"']\npriority = 1\ncontinue = true\n[[trigger]]\nalert = [\"Down\"]";
    check(
        &[],
        &[NAMED, ("evidence", evidence), ("late", "[[trigger]]\nmatch = ['name=\"web\"']")],
        &[
            "+ evidence t0 severity=~\".+\" holds",
            "+ named t0 it names the alert Down",
            "= evidence t1 evidence is already chosen",
            "= late t0 less specific than named",
        ],
    );
}

#[test]
fn routes_win_in_order() {
    let down = "match = ['alertname=\"Down\"']\nrunbook = \"plain\"";
    check(
        &["match = ['alertname=\"Up\"']\nrunbook = \"plain\"", down, "runbook = \"plain\"", down],
        &[("plain", ""), NAMED],
        &[
            "+ plain r1 the operator's route 2: alertname=\"Down\" holds",
            "- plain r0 alertname=\"Down\" does not match alertname=\"Up\"",
            "- plain r2 without matchers nothing matches; alertname=~\".+\" would be every alert",
            "= plain r3 the operator's route 2 comes first",
            "= named t0 the operator's route 2 wins over triggers",
        ],
    );
    check(
        &[
            "match = ['name=\"web\"']\nrunbook = \"plan\"",
            "match = ['name=\"web\"']\nrunbook = \"plain\"\ncontinue = true",
        ],
        &[("plain", ""), NAMED],
        &[
            "+ plain r1 the operator's route 2: name=\"web\" holds",
            "+ named t0 it names the alert Down",
            "= plan r0 there is no runbook `plan`; did you mean `plain`?",
        ],
    );
    check(
        &[down, "match = ['name=\"web\"']\nrunbook = \"named\"\npriority = 1"],
        &[("plain", ""), NAMED],
        &[
            "+ named r1 the operator's route 2: name=\"web\" holds",
            "= plain r0 the operator's route 2 comes first",
            "= named t0 named is already chosen",
        ],
    );
}

#[test]
fn docker_events_choose_by_action_and_labels() {
    let unhealthy = manifest("unhealthy", "[[trigger]]\ndocker_event = [\"health_status: unhealthy\"]");
    let health = manifest("health", "[[trigger]]\ndocker_event = [\"health_status\"]");
    let db = "[[trigger]]\ndocker_event = [\"die\", \"oom\"]\nmatch = ['com.docker.compose.service=\"db\"']";
    let db = manifest("db", db);
    let alerts = manifest("alerts", "[[trigger]]\nalert = [\"Down\"]");
    let candidates: Vec<Candidate<'_>> = [&unhealthy, &health, &db, &alerts]
        .into_iter()
        .map(|manifest| Candidate { name: &manifest.name, manifest })
        .collect();
    let of = |service: &str| labels(&[("com.docker.compose.service", service), ("name", "x"), ("host", "local")]);
    for (action, service, want) in [
        ("health_status: unhealthy", "web", Some("unhealthy")),
        ("health_status: healthy", "web", Some("health")),
        ("die", "db", Some("db")),
        ("oom", "db", Some("db")),
        ("die", "web", None),
        ("died", "db", None),
        ("exec_die", "db", None),
    ] {
        let choice = choose_event(action, &of(service), &candidates);
        assert_eq!(choice.chosen.first().map(|chosen| chosen.runbook.as_str()), want, "{action} {service}");
        assert_eq!(choice.chosen.len() + choice.considered.len(), 4, "{action}");
    }
    let choice = choose_event("die", &of("web"), &candidates);
    assert!(lines(&choice).contains(&"- alerts t0 this trigger listens to alerts, not to docker events".to_owned()));
    assert!(choice.considered.iter().any(|c| c.why.starts_with("com.docker.compose.service=\"web\" does not match")));
}

const COMPOSE_SERVICE: &str = "container_label_com_docker_compose_service";

#[test]
fn labels_name_targets() {
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: &[(&str, Pairs, &[&str], Pairs)] = &[
        (
            "container",
            &[("name", "/web"), ("container", ""), ("container_name", "web2")],
            &[],
            &[("name", "web"), ("container_name", "web2")],
        ),
        ("container", &[("name", "web"), ("container", "web")], &[], &[("name", "web")]),
        ("container", &[("name", "web"), ("pod", "p")], &["pod"], &[("pod", "p")]),
        ("container", &[("severity", "x")], &[], &[]),
        ("container", &[("name", "/")], &[], &[]),
        ("service", &[(COMPOSE_SERVICE, "web"), (PROJECT_LABELS[1], "shop")], &[], &[(COMPOSE_SERVICE, "shop/web")]),
        ("service", &[("service", "web"), ("project", "shop")], &[], &[("service", "shop/web")]),
        ("service", &[("service", "shop/web"), ("project", "x")], &[], &[("service", "shop/web")]),
        ("service", &[("service", "web")], &[], &[("service", "web")]),
        ("host", &[("instance", "web1:9100")], &[], &[("instance", "web1")]),
        (
            "host",
            &[("host", "web1"), ("instance", "10.0.0.1:9100")],
            &[],
            &[("host", "web1"), ("instance", "10.0.0.1")],
        ),
        (
            "host",
            &[("instance", "[fe80::1]:9100"), ("host", "fe80::1:2")],
            &[],
            &[("host", "fe80::1:2"), ("instance", "[fe80::1]")],
        ),
        ("none", &[("name", "web")], &["name"], &[]),
    ];
    for (kind, given, route_from, want) in cases {
        let spec = manifest("x", &format!("[target]\nkind = \"{kind}\"")).target;
        let route_from: Vec<String> = route_from.iter().map(|label| (*label).to_owned()).collect();
        let want: Vec<(String, String)> = want.iter().map(|(l, v)| ((*l).to_owned(), (*v).to_owned())).collect();
        assert_eq!(target_names(&labels(given), &spec, &route_from), want, "{kind} {given:?}");
    }
}

#[test]
fn routes_are_read_from_configuration() {
    let text = "match = ['a=\"b\"']\nrunbook = \"x\"\ntarget_from = [\"service\"]\nparameters = { grace = \"30s\", n = 3, f = true }";
    let route = route(text);
    assert_eq!(route.parameters, labels(&[("f", "true"), ("grace", "30s"), ("n", "3")]));
    assert!(!route.continue_ && route.priority == 0);
    let json = serde_json::to_value(&route).expect("plain");
    assert_eq!(serde_json::from_value::<Route>(json).expect("round trip"), route);
    let error = toml::from_str::<Route>("match = ['a=~\"(\"']\nrunbook = \"x\"").expect_err("broken");
    assert!(error.to_string().contains("unclosed group"), "{error}");
}
